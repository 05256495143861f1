// SPDX-License-Identifier: GPL-2.0
/*
 * The trace says why each decision was taken: what each test causes is the
 * reason that must be in it.
 */
#include "alias_test.h"

#define SIZE		(64 * 1024UL)

FIXTURE(alias_trace) {
	struct alias_env env;
	char cpu_access[8];
	bool rebound;
};

/* Reads begin at the first page. */
static int trace_count(struct alias_env *env, const char *event,
		       const char *word)
{
	return alias_trace_find(env->mem, event, word, NULL, 0);
}

FIXTURE_SETUP(alias_trace)
{
	struct alias_env *env = &self->env;

	if (alias_env_absent())
		SKIP(return, "%s", alias_env_absent());
	ASSERT_EQ(0, alias_param_get("cpu_access", self->cpu_access,
				     sizeof(self->cpu_access)));
	ASSERT_EQ(0, alias_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, alias_trace_write("trace", ""));
	ASSERT_EQ(0, alias_trace_write("events/hmm/enable", "1"));
}

FIXTURE_TEARDOWN_PARENT(alias_trace)
{
	alias_trace_write("events/hmm/enable", "0");
	alias_param_set("p2p", "Y");
	if (self->rebound) {
		struct alias_gpu gpu = self->env.gpu;

		gpu.fd = -1;
		EXPECT_EQ(0, alias_gpu_rebind(&gpu, "cpu_access",
					      self->cpu_access));
		alias_gpu_close(&gpu);
	}
}

TEST_F(alias_trace, granted_and_invalidated)
{
	struct alias_env *env = &self->env;
	char exporter[64];

	snprintf(exporter, sizeof(exporter), "exporter=%s", env->gpu.bdf);
	ASSERT_EQ(0, alias_env_fill(env, 1));
	EXPECT_EQ(0, alias_env_read(env, 0, SIZE));
	EXPECT_LT(0, trace_count(env, "hmm_alias_grant", "access=cpu"));
	EXPECT_LT(0, trace_count(env, "hmm_alias_grant", exporter));
	EXPECT_EQ(0, trace_count(env, "hmm_alias_refuse", "access=cpu"));

	ASSERT_EQ(0, alias_trace_write("trace", ""));
	EXPECT_EQ(0, alias_gpu_place(&env->gpu, env->mem, SIZE,
				     IVGPU_PLACE_RAM));
	EXPECT_LT(0, alias_trace_find(NULL, "hmm_alias_invalidate",
				      exporter, NULL, 0));
	EXPECT_EQ(0, alias_env_read(env, 0, SIZE));
	EXPECT_EQ(0, trace_count(env, "hmm_alias_grant", "access=cpu"));
}

TEST_F(alias_trace, exporter_refused)
{
	struct alias_env *env = &self->env;

	ASSERT_EQ(0, alias_param_set("p2p", "N"));
	ASSERT_EQ(0, alias_env_fill(env, 1));
	EXPECT_EQ(0, alias_env_read(env, 0, SIZE));
	EXPECT_LT(0, trace_count(env, "hmm_alias_refuse",
				 "reason=exporter-refused"));
	EXPECT_LT(0, trace_count(env, "hmm_alias_refuse", "fallback=ram"));
	EXPECT_EQ(0, trace_count(env, "hmm_alias_grant", "access=cpu"));
}

TEST_F(alias_trace, no_cpu_access)
{
	struct alias_env *env = &self->env;

	self->rebound = true;
	ASSERT_EQ(0, alias_gpu_rebind(&env->gpu, "cpu_access", "N"));
	ASSERT_EQ(0, env->gpu.info.flags & IVGPU_INFO_CPU_ACCESS);
	ASSERT_EQ(0, alias_env_fill(env, 1));
	EXPECT_EQ(0, alias_env_read(env, 0, SIZE));
	EXPECT_LT(0, trace_count(env, "hmm_alias_refuse",
				 "reason=no-cpu-access"));
	EXPECT_EQ(0, trace_count(env, "hmm_alias_grant", "access=cpu"));
}

/* A huge page is answered whole, small pages one by one. */
TEST_F(alias_trace, answered_whole)
{
	struct alias_env env;
	int thp;

	for (thp = 0; thp < 2; thp++) {
		ASSERT_EQ(0, alias_env_open(&env, 2 * MIB, true, thp));
		if (!thp)
			memset(env.mem, 0, env.size);
		ASSERT_EQ(0, alias_env_fill(&env, 1));
		ASSERT_EQ(0, alias_trace_write("trace", ""));
		ASSERT_EQ(0, alias_advise(&env.own,
				IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
				IBV_ADVISE_MR_FLAG_FLUSH, env.mr, env.mem,
				env.size));
		EXPECT_EQ(1, trace_count(&env, "hmm_alias_grant",
					 thp ? "pages=512" : "pages=1"));
		alias_env_close(&env);
	}
}

TEST_HARNESS_MAIN
