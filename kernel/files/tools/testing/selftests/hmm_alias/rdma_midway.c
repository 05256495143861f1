// SPDX-License-Identifier: GPL-2.0
/* Memory that goes away in the middle of a large WRITE of a peer. */
#include <sys/mman.h>
#include <time.h>

#include "fixture.h"

#define LARGE		(16 * MIB)

FIXTURE(rdma_midway) {
	struct rdma_env env;
	unsigned char *other;
	void *map;
	size_t map_size;
};

FIXTURE_VARIANT(rdma_midway) {
	enum { UNMAP, DEREGISTER, EVICT } what;
};

FIXTURE_VARIANT_ADD(rdma_midway, munmap) { .what = UNMAP };
FIXTURE_VARIANT_ADD(rdma_midway, dereg) { .what = DEREGISTER };
FIXTURE_VARIANT_ADD(rdma_midway, evict) { .what = EVICT };

FIXTURE_SETUP(rdma_midway)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(&self->env, LARGE, true, true));
	self->other = map_aligned(LARGE, true, &self->map, &self->map_size);
	ASSERT_NE(NULL, self->other);
}

FIXTURE_TEARDOWN(rdma_midway)
{
	munmap(self->map, self->map_size);
	rdma_env_close(&self->env);
}

/*
 * That takes a bounded time, and afterwards nothing lands where the data were
 * going: others have that VRAM.
 */
TEST_F_TIMEOUT(rdma_midway, write, 240)
{
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_WRITE,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = LARGE,
	};
	bool evict = variant->what == EVICT;
	int round, status, cut = 0;
	unsigned char *mem;
	uint64_t sum, want;
	time_t from;

	for (round = 0; round < 4; round++) {
		mem = env->mem;
		ASSERT_EQ(0, rdma_env_fill(env, round));
		/* All of it is aliased */
		ASSERT_EQ(0, rdma_advise(&env->own,
					 IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
					 IBV_ADVISE_MR_FLAG_FLUSH, env->mr, mem,
					 LARGE));
		pattern_fill(env->stage, LARGE, 100 + round, 0);
		wr.remote = (uintptr_t)mem;
		wr.rkey = env->mr->rkey;
		ASSERT_EQ(0, rdma_post(&env->peer, &wr, 0));
		if (round)
			usleep(10000 << round);

		from = time(NULL);
		if (variant->what == DEREGISTER) {
			ASSERT_EQ(0, ibv_dereg_mr(env->mr));
			env->mr = NULL;
		}
		if (evict) {
			ASSERT_LE(0, gpu_place(&env->gpu, mem, LARGE,
					       IVGPU_PLACE_RAM));
		} else {
			ASSERT_EQ(0, munmap(mem, LARGE));
		}
		EXPECT_GT(10, time(NULL) - from);

		/* The VRAM that is free now */
		if (!evict)
			ASSERT_EQ(0, gpu_fill_vram(&env->gpu, self->other,
						   LARGE, 200 + round));
		status = rdma_wait(&env->peer, NULL);
		EXPECT_TRUE(!status ||
			    (!evict && status == IBV_WC_REM_ACCESS_ERR))
			TH_LOG("status %d", status);
		cut += !!status;
		if (evict) {
			memcpy(env->ref, env->stage, LARGE);
			EXPECT_EQ(0, rdma_env_cpu(env, 0, LARGE));
			continue;
		}

		pattern_fill(env->ref, LARGE, 200 + round, 0);
		want = pattern_sum(env->ref, LARGE, 0);
		EXPECT_EQ(0, gpu_sum(&env->gpu, self->other, LARGE,
				     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
		EXPECT_EQ(want, sum);
		ASSERT_LE(0, gpu_place(&env->gpu, self->other, LARGE,
				       IVGPU_PLACE_RAM));
		EXPECT_EQ(0, memcmp(self->other, env->ref, LARGE));

		if (status)
			ASSERT_EQ(0, rdma_env_reconnect(env));
		ASSERT_EQ(mem, mmap(mem, LARGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				    -1, 0));
		ASSERT_EQ(0, madvise(mem, LARGE, MADV_HUGEPAGE));
		if (!env->mr)
			env->mr = rdma_reg_odp(&env->own, mem, LARGE);
		ASSERT_NE(NULL, env->mr);
	}
	/* Some were in the middle, if it is a CPU that copies */
	if (!evict && env->own.cpu)
		EXPECT_LT(0, cut);
}

TEST_HARNESS_MAIN
