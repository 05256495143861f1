// SPDX-License-Identifier: GPL-2.0
/*
 * A GPU and an RDMA peer that work on the same memory at the same time: messages
 * that the engine reads as they come, and atomics of both.
 */
#include <pthread.h>

#include "fixture.h"

/* A message crosses a page, and its ends are at other places in each slot. */
#define SLOT		(PAGE + PAGE / 2 + 24)
#define SLOTS		RDMA_DEPTH
#define SIZE		(32 * PAGE)
#define MESSAGES	300
#define ADDS		200	/* of each of those that add */
#define BATCH		8

FIXTURE(rdma_gpu) {
	struct rdma_env env;
	struct rdma_end own, peer;	/* of a second connection */
	struct ibv_mr *mr;
	struct gpu file;		/* a second one of the same GPU */
};

FIXTURE_SETUP(rdma_gpu)
{
	struct rdma_env *env = &self->env;

	self->file.fd = -1;
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
}

FIXTURE_TEARDOWN(rdma_gpu)
{
	gpu_close(&self->file);
	if (self->mr)
		ibv_dereg_mr(self->mr);
	rdma_end_close(&self->peer);
	rdma_end_close(&self->own);
	rdma_env_close(&self->env);
}

/* All of it stayed in VRAM, and is what the reference says. */
static void expect_in_place(struct __test_metadata *_metadata,
			    struct rdma_env *env)
{
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* A header, what belongs to it, and a footer: of no other message */
static void message_fill(void *buf, uint64_t number)
{
	uint64_t *word = buf;

	pattern_fill(buf, SLOT, number, 0);
	word[0] = number;
	word[SLOT / sizeof(*word) - 1] = ~number;
}

/*
 * A ring of receives in VRAM. The engine sees the whole message as soon as its
 * receive has completed; what is in the slot before is an earlier message.
 */
TEST_F_TIMEOUT(rdma_gpu, ring, 120)
{
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = SLOT,
	};
	unsigned char *slot;
	uint64_t sum;
	int i;

	for (i = 0; i < SLOTS; i++)
		ASSERT_EQ(0, rdma_post_recv(&env->own, env->mr,
					    env->mem + i * SLOT, SLOT));
	for (i = 0; i < MESSAGES; i++) {
		slot = env->mem + i % SLOTS * SLOT;
		message_fill(env->stage, i);
		ASSERT_EQ(0, rdma_post(&env->peer, &wr, i));
		ASSERT_EQ(0, rdma_wait(&env->own, NULL));
		ASSERT_EQ(0, gpu_sum(&env->gpu, slot, SLOT,
				     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
		ASSERT_EQ(pattern_sum(env->stage, SLOT, 0), sum)
			TH_LOG("message %d", i);
		memcpy(env->ref + (slot - env->mem), env->stage, SLOT);
		ASSERT_EQ(0, rdma_wait(&env->peer, NULL));
		ASSERT_EQ(0, rdma_post_recv(&env->own, env->mr, slot, SLOT));
	}
	expect_in_place(_metadata, env);
}

/* One that adds 1 to a word, ADDS times */
struct adder {
	pthread_t thread;
	struct rdma_end *peer;
	struct rdma_wr wr;
	struct gpu *gpu;
	uint64_t addr;
	int error;
};

static void *add_peer(void *arg)
{
	struct adder *a = arg;
	uint64_t *old = a->wr.local;
	int i, n;

	for (i = 0; !a->error && i < ADDS; i += n) {
		/* Several at a time, each with a place for what was there */
		for (n = 0; !a->error && n < BATCH; n++) {
			a->wr.local = old + i + n;
			a->error = rdma_post(a->peer, &a->wr, i + n);
		}
		for (n = 0; !a->error && n < BATCH; n++)
			a->error = rdma_wait(a->peer, NULL);
	}
	return NULL;
}

static void *add_gpu(void *arg)
{
	struct adder *a = arg;
	int i;

	for (i = 0; !a->error && i < ADDS; i++) {
		struct drm_ivgpu_job job = {
			.op = IVGPU_JOB_ADD,
			.flags = IVGPU_JOB_FLAG_VRAM_ONLY,
			.dst = a->addr,
			.size = sizeof(uint64_t),
			.value = 1,
		};

		a->error = gpu_ioctl(a->gpu, DRM_IOCTL_IVGPU_JOB, &job);
	}
	return NULL;
}

/*
 * Atomics of the peers are atomic to each other, also by two connections and
 * two MRs, and those of the engine are, by two files. Nobody says that the one
 * are atomic to the other, as ivshmem has no PCIe AtomicOps: they add to words
 * side by side, at the same time, and neither loses what the other writes.
 */
TEST_F_TIMEOUT(rdma_gpu, atomics, 120)
{
	struct rdma_env *env = &self->env;
	uint64_t *word = (uint64_t *)env->ref, *old = (uint64_t *)env->stage;
	bool seen[2 * ADDS] = { false };
	struct adder a[4] = {
		{ .peer = &env->peer }, { .peer = &self->peer },
		{ .gpu = &env->gpu }, { .gpu = &self->file },
	};
	int i;

	ASSERT_EQ(0, rdma_end_twin(&self->own, &env->own));
	ASSERT_EQ(0, rdma_end_twin(&self->peer, &env->peer));
	ASSERT_EQ(0, rdma_connect(&self->own, &self->peer));
	ASSERT_EQ(0, gpu_open(&self->file, 0));
	self->mr = rdma_reg_odp(&env->own, env->mem, SIZE);
	ASSERT_NE(NULL, self->mr);

	memset(env->stage, 0xa5, SIZE);
	for (i = 0; i < ARRAY_SIZE(a); i++) {
		a[i].wr = (struct rdma_wr) {
			.op = IBV_WR_ATOMIC_FETCH_AND_ADD,
			.mr = env->stage_mr,
			.local = old + i * ADDS,
			.len = sizeof(*old),
			.remote = (uintptr_t)env->mem,
			.rkey = (i ? self->mr : env->mr)->rkey,
			.a = 1,
		};
		a[i].addr = (uintptr_t)env->mem + sizeof(*word);
		ASSERT_EQ(0, pthread_create(&a[i].thread, NULL,
					    a[i].peer ? add_peer : add_gpu,
					    &a[i]));
	}
	for (i = 0; i < ARRAY_SIZE(a); i++) {
		pthread_join(a[i].thread, NULL);
		EXPECT_EQ(0, a[i].error) TH_LOG("of number %d", i);
	}

	/* Each of the peers' adds has found another value. */
	for (i = 0; i < 2 * ADDS; i++) {
		uint64_t nth = old[i] - word[0];

		ASSERT_GT(2 * ADDS, nth) TH_LOG("of add %d", i);
		EXPECT_FALSE(seen[nth]) TH_LOG("%d twice", (int)nth);
		seen[nth] = true;
	}
	word[0] += 2 * ADDS;
	word[1] += 2 * ADDS;
	expect_in_place(_metadata, env);
}

/* An MR without IBV_ACCESS_REMOTE_ATOMIC: it can be written, but not so. */
TEST_F(rdma_gpu, atomics_refused)
{
	static const enum ibv_wr_opcode ops[] = {
		IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_ATOMIC_CMP_AND_SWP,
	};
	struct rdma_env *env = &self->env;
	uint64_t *word = (uint64_t *)env->ref, *stage = (uint64_t *)env->stage;
	struct rdma_wr wr = {
		.mr = env->stage_mr,
		.local = stage,
		.len = sizeof(*stage),
		.remote = (uintptr_t)env->mem,
		.a = word[0],
		.b = 77,
	};
	size_t i;

	self->mr = ibv_reg_mr(env->own.pd, env->mem, SIZE, IBV_ACCESS_ON_DEMAND |
			      (RDMA_ACCESS & ~IBV_ACCESS_REMOTE_ATOMIC));
	ASSERT_NE(NULL, self->mr);
	wr.rkey = self->mr->rkey;
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		*stage = 55;
		wr.op = ops[i];
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_run(&env->peer, &wr));
		EXPECT_EQ(55, *stage);
		ASSERT_EQ(0, rdma_env_reconnect(env));
	}
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));

	*stage = 66;
	wr.op = IBV_WR_RDMA_WRITE;
	EXPECT_EQ(0, rdma_run(&env->peer, &wr));
	word[0] = 66;
	expect_in_place(_metadata, env);
}

TEST_HARNESS_MAIN
