// SPDX-License-Identifier: GPL-2.0
/*
 * Every RDMA operation on device memory, against a reference copy.
 *
 * RDMA FLUSH is not here: libibverbs 44 has no call for it.
 */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "fixture.h"

#define SIZE		(4 * MIB)

FIXTURE(rdma_data) {
	struct rdma_env env;
};

FIXTURE_VARIANT(rdma_data) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(rdma_data, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(rdma_data, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(rdma_data, refused_pte) { };
FIXTURE_VARIANT_ADD(rdma_data, refused_thp) { .thp = true };

FIXTURE_SETUP(rdma_data)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(&self->env, SIZE, variant->consent,
				   variant->thp));
	/* Small pages move as they are, a hole would become a huge page. */
	if (!variant->thp)
		memset(self->env.mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(&self->env, 1));
}

FIXTURE_TEARDOWN(rdma_data)
{
	rdma_env_close(&self->env);
	gpu_consent(true);
}

/* Where the data is afterwards, and that nothing but it has changed. */
static void expect_final(struct __test_metadata *_metadata,
			 struct rdma_env *env, bool consent)
{
	expect_consent(_metadata, env, consent);
	if (consent)
		EXPECT_EQ(0, rdma_env_vram(env, 0, env->size));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, env->size));
}

TEST_F(rdma_data, read)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(variant->consent ? nr_pages(SIZE) : 0, d.alias_pages);
	EXPECT_EQ(variant->consent ? 0 : nr_pages(SIZE), d.pages_to_ram);

	/* Again: an alias is granted once. */
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(variant->consent ? nr_pages(SIZE) : 0, d.alias_pages);
	expect_final(_metadata, env, variant->consent);
}

TEST_F(rdma_data, write)
{
	struct rdma_env *env = &self->env;

	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 2));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

/* The engine writes what the peer then reads, through the same alias. */
TEST_F(rdma_data, engine_then_read)
{
	struct rdma_env *env = &self->env;

	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_consent(_metadata, env, variant->consent);
	ASSERT_EQ(0, rdma_env_fill(env, 3));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_data, odd_ranges)
{
	static const struct {
		size_t off, len;
	} ranges[] = {
		{ 0, 1 }, { 1, 1 }, { 7, 9 }, { PAGE - 1, 2 },
		{ PAGE - 3, PAGE + 7 }, { 3 * PAGE + 5, 65537 },
		{ 2 * MIB - 5, 10 }, { 2 * MIB - PAGE, 2 * PAGE },
		{ MIB + 1, 2 * MIB - 3 }, { SIZE - 1, 1 },
	};
	struct rdma_env *env = &self->env;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		EXPECT_EQ(0, rdma_env_read(env, ranges[i].off, ranges[i].len))
			TH_LOG("range %zu", i);
		EXPECT_EQ(0, rdma_env_write(env, ranges[i].off, ranges[i].len,
					    10 + i))
			TH_LOG("range %zu", i);
		EXPECT_EQ(0, rdma_env_read(env, ranges[i].off, ranges[i].len))
			TH_LOG("range %zu", i);
	}
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

/* One byte beyond the MR is refused, and nothing is read or written. */
TEST_F(rdma_data, out_of_range)
{
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_WRITE,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = 2,
		.remote = (uintptr_t)env->mem + SIZE - 1,
		.rkey = env->mr->rkey,
	};

	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_run(&env->peer, &wr));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	wr.remote = (uintptr_t)env->mem - 1;
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_run(&env->peer, &wr));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

static int atomic_op(struct rdma_env *env, enum ibv_wr_opcode op, size_t off,
		     uint64_t a, uint64_t b, uint64_t *old)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = sizeof(uint64_t),
		.remote = (uintptr_t)env->mem + off,
		.rkey = env->mr->rkey,
		.a = a,
		.b = b,
	};
	int ret = rdma_run(&env->peer, &wr);

	memcpy(old, env->stage, sizeof(*old));
	return ret;
}

TEST_F(rdma_data, atomics)
{
	static const size_t offs[] = {
		0, 8, PAGE - 8, PAGE, 2 * MIB - 8, 2 * MIB, SIZE - 8,
	};
	struct rdma_env *env = &self->env;
	uint64_t *word, old;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		word = (uint64_t *)(env->ref + offs[i]);
		EXPECT_EQ(0, atomic_op(env, IBV_WR_ATOMIC_FETCH_AND_ADD,
				       offs[i], 0x123456789abcdefULL, 0,
				       &old));
		EXPECT_EQ(*word, old);
		*word += 0x123456789abcdefULL;

		/* A compare that misses changes nothing. */
		EXPECT_EQ(0, atomic_op(env, IBV_WR_ATOMIC_CMP_AND_SWP, offs[i],
				       *word + 1, 77, &old));
		EXPECT_EQ(*word, old);
		EXPECT_EQ(0, atomic_op(env, IBV_WR_ATOMIC_CMP_AND_SWP, offs[i],
				       *word, 0xfeedULL + i, &old));
		EXPECT_EQ(*word, old);
		*word = 0xfeedULL + i;
	}
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

/* Atomics of the engine and of the peer on one word add up. */
TEST_F(rdma_data, atomics_of_both)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_ADD,
		.dst = (uintptr_t)env->mem,
		.size = PAGE,
		.value = 1000,
	};
	uint64_t *word = (uint64_t *)env->ref;
	uint64_t old;
	size_t i;

	for (i = 0; i < 8; i++) {
		job.done = 0;
		EXPECT_EQ(0, gpu_ioctl(&env->gpu, DRM_IOCTL_IVGPU_JOB, &job));
		EXPECT_EQ(0, atomic_op(env, IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 1,
				       0, &old));
		EXPECT_EQ(word[0] + i * 1001 + 1000, old);
	}
	word[0] += 8 * 1001;
	for (i = 1; i < PAGE / sizeof(*word); i++)
		word[i] += 8 * 1000;
	expect_final(_metadata, env, variant->consent);
}

TEST_F(rdma_data, atomic_unaligned)
{
	struct rdma_env *env = &self->env;
	uint64_t value = ~0ULL;
	struct rdma_wr wr = {
		.op = env->peer.atomic_write ? IBV_WR_ATOMIC_WRITE :
					       IBV_WR_ATOMIC_FETCH_AND_ADD,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = sizeof(value),
		.remote = (uintptr_t)env->mem + 4,
		.rkey = env->mr->rkey,
		.a = value,
	};
	int ret = rdma_run(&env->peer, &wr);

	/* The provider or the responder may be the one that refuses. */
	EXPECT_NE(0, ret);
	EXPECT_NE(-ETIMEDOUT, ret);
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

TEST_F(rdma_data, atomic_write)
{
	static const size_t offs[] = { 0, PAGE - 8, 2 * MIB, SIZE - 8 };
	struct rdma_env *env = &self->env;
	size_t i;

	if (!env->peer.atomic_write)
		SKIP(return, "libmlx5 has no ATOMIC WRITE");
	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		struct rdma_wr wr = {
			.op = IBV_WR_ATOMIC_WRITE,
			.remote = (uintptr_t)env->mem + offs[i],
			.rkey = env->mr->rkey,
			.a = 0xabad1deaULL << i,
		};

		EXPECT_EQ(0, rdma_run(&env->peer, &wr));
		memcpy(env->ref + offs[i], &wr.a, sizeof(wr.a));
	}
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

/* The memory is the source of a SEND, at its own end. */
TEST_F(rdma_data, send_from)
{
	static const size_t off = PAGE - 9, len = 3 * 65536 + 5;
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.mr = env->mr,
		.local = env->mem + off,
		.len = len,
	};

	memset(env->stage, 0, SIZE);
	ASSERT_EQ(0, rdma_post_recv(&env->peer, env->stage_mr, env->stage + 3,
				    len));
	EXPECT_EQ(0, rdma_run(&env->own, &wr));
	EXPECT_EQ(0, rdma_wait(&env->peer, NULL));
	EXPECT_EQ(0, memcmp(env->stage + 3, env->ref + off, len));
	EXPECT_EQ(0, env->stage[2]);
	EXPECT_EQ(0, env->stage[3 + len]);
	expect_final(_metadata, env, variant->consent);
}

/* The memory is where a RECV goes, at its own end. */
TEST_F(rdma_data, recv_into)
{
	static const size_t off = 2 * MIB - 70001, len = 3 * 65536 + 5;
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.mr = env->stage_mr,
		.local = env->stage + 3,
		.len = len,
	};

	pattern_fill(env->stage, SIZE, 4, 0);
	ASSERT_EQ(0, rdma_post_recv(&env->own, env->mr, env->mem + off, len));
	EXPECT_EQ(0, rdma_run(&env->peer, &wr));
	EXPECT_EQ(0, rdma_wait(&env->own, NULL));
	memcpy(env->ref + off, env->stage + 3, len);
	expect_final(_metadata, env, variant->consent);
}

/*
 * The memory is the local side of what its own end initiates, with the peer's
 * pinned memory as the remote side.
 */
TEST_F(rdma_data, initiator)
{
	static const size_t off = PAGE + 1, len = 5 * PAGE + 3;
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_WRITE,
		.mr = env->mr,
		.local = env->mem + off,
		.len = len,
		.remote = (uintptr_t)env->stage,
		.rkey = env->stage_mr->rkey,
	};

	memset(env->stage, 0, SIZE);
	EXPECT_EQ(0, rdma_run(&env->own, &wr));
	EXPECT_EQ(0, memcmp(env->stage, env->ref + off, len));
	EXPECT_EQ(0, env->stage[len]);

	pattern_fill(env->stage, SIZE, 5, 0);
	wr.op = IBV_WR_RDMA_READ;
	EXPECT_EQ(0, rdma_run(&env->own, &wr));
	memcpy(env->ref + off, env->stage, len);
	expect_final(_metadata, env, variant->consent);
}

static int advise(struct rdma_env *env, enum ibv_advise_mr_advice advice,
		  uint32_t flags)
{
	return rdma_advise(&env->own, advice, flags, env->mr, env->mem, SIZE);
}

TEST_F(rdma_data, prefetch)
{
	static const enum ibv_advise_mr_advice advices[] = {
		IBV_ADVISE_MR_ADVICE_PREFETCH,
		IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
	};
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		/* New pages, else the second would find the first's aliases. */
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE,
				       IVGPU_PLACE_RAM));
		ASSERT_EQ(0, rdma_env_fill(env, 20 + i));
		EXPECT_EQ(0, advise(env, advices[i],
				    IBV_ADVISE_MR_FLAG_FLUSH));
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(variant->consent ? nr_pages(SIZE) : 0,
			  d.alias_pages);
		EXPECT_EQ(variant->consent ? 0 : nr_pages(SIZE),
			  d.pages_to_ram);
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_write(env, 1, SIZE - 2, 30 + i));
		expect_final(_metadata, env, variant->consent);
	}
}

/* It must not fault, so without consent it must not move anything either. */
TEST_F(rdma_data, prefetch_no_fault)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	EXPECT_EQ(0, advise(env, IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
			    IBV_ADVISE_MR_FLAG_FLUSH));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(0, d.pages_to_ram);
	EXPECT_EQ(variant->consent ? nr_pages(SIZE) : 0, d.alias_pages);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

/* Without FLUSH it only has to happen some time; 10 s is a hang. */
TEST_F(rdma_data, prefetch_async)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	int tries = 10000;
	uint64_t done;

	EXPECT_EQ(0, advise(env, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE, 0));
	do {
		nanosleep(&ms, NULL);
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		done = variant->consent ? d.alias_pages : d.pages_to_ram;
	} while (done < nr_pages(SIZE) && --tries);
	EXPECT_EQ(nr_pages(SIZE), done);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_final(_metadata, env, variant->consent);
}

/* What is granted stays granted; only what comes later is refused. */
TEST_F(rdma_data, consent_withdrawn)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	size_t half = nr_pages(SIZE / 2);

	if (!variant->consent)
		ASSERT_EQ(0, gpu_consent(true));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE / 2));
	ASSERT_EQ(0, gpu_consent(false));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE / 2));
	EXPECT_EQ(0, rdma_env_write(env, 3, SIZE / 2 - 5, 6));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(half, d.alias_pages);
	EXPECT_EQ(0, d.pages_to_ram);

	EXPECT_EQ(0, rdma_env_read(env, SIZE / 2, SIZE / 2));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(half, d.alias_pages);
	EXPECT_EQ(half, d.pages_to_ram);
	/* The exporter was not even asked */
	EXPECT_EQ(0, d.alias_refused);

	ASSERT_EQ(0, gpu_consent(true));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

struct toggler {
	bool stop;
	unsigned long toggles;
	int error;
};

static void *toggle_consent(void *arg)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct toggler *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED) && !t->error) {
		t->error = gpu_consent(t->toggles++ & 1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

TEST_F_TIMEOUT(rdma_data, consent_toggled_in_flight, 300)
{
	struct rdma_env *env = &self->env;
	struct toggler t = { 0 };
	pthread_t thread;
	size_t i;

	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle_consent, &t));
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(nr_pages(SIZE), gpu_place(&env->gpu, env->mem, SIZE,
						    IVGPU_PLACE_VRAM));
		EXPECT_EQ(0, rdma_env_fill(env, 40 + i));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_write(env, 5, SIZE - 9, 50 + i));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	}
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, t.error);
	EXPECT_LT(2, t.toggles);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_HARNESS_MAIN
