// SPDX-License-Identifier: GPL-2.0
/*
 * The trace says why each decision was taken: what each test causes is the
 * reason that must be in it.
 */
#include "fixture.h"

#define SIZE		(64 * 1024UL)

FIXTURE(rdma_trace) {
	struct rdma_env env;
	char cpu_access[8];
	bool rebound;
};

FIXTURE_SETUP(rdma_trace)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, gpu_param_get("cpu_access", self->cpu_access,
				   sizeof(self->cpu_access)));
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, trace_start());
}

FIXTURE_TEARDOWN_PARENT(rdma_trace)
{
	trace_stop();
	gpu_consent(true);
	if (self->rebound) {
		struct gpu gpu = self->env.gpu;

		gpu.fd = -1;
		EXPECT_EQ(0, gpu_rebind(&gpu, "cpu_access", self->cpu_access));
		gpu_close(&gpu);
	}
}

TEST_F(rdma_trace, granted_and_invalidated)
{
	struct rdma_env *env = &self->env;
	char exporter[64], owner[32];

	snprintf(exporter, sizeof(exporter), "exporter=%s", env->gpu.bdf);
	/* Whoever it was that faulted for the importer */
	snprintf(owner, sizeof(owner), "pid=%d", getpid());
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_LT(0, trace_count(env->mem, "hmm_alias_grant", rdma_env_access(env)));
	EXPECT_LT(0, trace_count(env->mem, "hmm_alias_grant", exporter));
	EXPECT_LT(0, trace_count(env->mem, "hmm_alias_grant", owner));
	EXPECT_EQ(0, trace_count(env->mem, "hmm_alias_refuse", rdma_env_access(env)));

	ASSERT_EQ(0, trace_clear());
	EXPECT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_LT(0, trace_count(NULL, "hmm_alias_invalidate", exporter));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, trace_count(env->mem, "hmm_alias_grant", rdma_env_access(env)));
}

TEST_F(rdma_trace, no_consent)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, gpu_consent(false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
				 "reason=no-consent"));
	EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse", "fallback=ram"));
	EXPECT_EQ(0, trace_count(env->mem, "hmm_alias_grant", rdma_env_access(env)));
}

/* That is about what the CPU does: a device with a DMA engine is granted it. */
TEST_F(rdma_trace, no_cpu_access)
{
	struct rdma_env *env = &self->env;

	self->rebound = true;
	ASSERT_EQ(0, gpu_rebind(&env->gpu, "cpu_access", "N"));
	ASSERT_EQ(0, env->gpu.info.flags & IVGPU_INFO_CPU_ACCESS);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(env->own.cpu, !!trace_count(env->mem, "hmm_alias_refuse",
					      "reason=no-cpu-access"));
	EXPECT_EQ(!env->own.cpu, !!trace_count(env->mem, "hmm_alias_grant",
					       rdma_env_access(env)));
}

/* A huge page is answered whole, and so are small pages side by side in VRAM. */
TEST_F(rdma_trace, answered_whole)
{
	struct rdma_env env;
	int thp;

	for (thp = 0; thp < 2; thp++) {
		ASSERT_EQ(0, rdma_env_open(&env, 2 * MIB, true, thp));
		if (!thp)
			memset(env.mem, 0, env.size);
		ASSERT_EQ(0, rdma_env_fill(&env, 1));
		ASSERT_EQ(0, trace_clear());
		ASSERT_EQ(0, rdma_advise(&env.own,
					 IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
					 IBV_ADVISE_MR_FLAG_FLUSH, env.mr,
					 env.mem, env.size));
		EXPECT_EQ(1, trace_count(env.mem, "hmm_alias_grant",
					 "pages=512"));
		rdma_env_close(&env);
	}
}

TEST_HARNESS_MAIN
