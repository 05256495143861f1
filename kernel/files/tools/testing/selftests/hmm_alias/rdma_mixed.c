// SPDX-License-Identifier: GPL-2.0
/*
 * One MR over all kinds of memory, in blocks of 2 MiB: the engine moves its
 * surroundings along with what it touches.
 */
#include "fixture.h"

#define BLOCK		(2 * MIB)

enum { B_VRAM, B_RAM, B_HOLE, B_ZERO, B_RDONLY, B_VRAM2, NR_BLOCKS };

FIXTURE(rdma_mixed) {
	struct rdma_env env;
};

FIXTURE_VARIANT(rdma_mixed) {
	bool consent;
};

FIXTURE_VARIANT_ADD(rdma_mixed, consent) { .consent = true };
FIXTURE_VARIANT_ADD(rdma_mixed, refused) { };

FIXTURE_SETUP(rdma_mixed)
{
	static const int in_vram[] = { B_VRAM, B_RDONLY, B_VRAM2 };
	struct rdma_env *env = &self->env;
	size_t i;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, NR_BLOCKS * BLOCK, variant->consent,
				   false));
	for (i = 0; i < ARRAY_SIZE(in_vram); i++) {
		unsigned char *p = env->mem + in_vram[i] * BLOCK;

		ASSERT_EQ(0, gpu_fill(&env->gpu, p, BLOCK, 1 + i));
		pattern_fill(env->ref + in_vram[i] * BLOCK, BLOCK, 1 + i, 0);
	}
	pattern_fill(env->mem + B_RAM * BLOCK, BLOCK, 9, 0);
	pattern_fill(env->ref + B_RAM * BLOCK, BLOCK, 9, 0);
	/* Reading maps the zero page. */
	ASSERT_EQ(0, rdma_env_cpu(env, B_ZERO * BLOCK, BLOCK));
	ASSERT_EQ(0, mprotect(env->mem + B_RDONLY * BLOCK, BLOCK, PROT_READ));
	ASSERT_EQ(0, rdma_env_mark(env));
}

FIXTURE_TEARDOWN(rdma_mixed)
{
	rdma_env_close(&self->env);
	gpu_consent(true);
}

TEST_F(rdma_mixed, read)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	EXPECT_EQ(0, rdma_env_readable(env, B_RDONLY * BLOCK, BLOCK));
	EXPECT_EQ(0, rdma_env_read(env, 0, env->size));
	expect_consent(_metadata, env, variant->consent);
	if (variant->consent) {
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(nr_pages(3 * BLOCK), d.alias_pages);
	}
	EXPECT_EQ(0, rdma_env_cpu(env, 0, env->size));
}

TEST_F(rdma_mixed, write)
{
	struct rdma_env *env = &self->env;
	size_t rdonly = B_RDONLY * BLOCK, after = B_VRAM2 * BLOCK;

	EXPECT_EQ(0, rdma_env_write(env, 3, rdonly - 5, 20));
	EXPECT_EQ(0, rdma_env_write(env, after + 3, BLOCK - 5, 21));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  rdma_env_write(env, rdonly + PAGE, PAGE, 22));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_readable(env, rdonly, BLOCK));
	EXPECT_EQ(0, rdma_env_read(env, 0, env->size));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, env->size));
}

/*
 * Pages that a fault has to populate, each followed by pages in VRAM: what is
 * faulted for the ones must not move the others.
 */
TEST_F(rdma_mixed, holes_among_vram)
{
	struct rdma_env *env = &self->env;
	size_t i;

	for (i = 0; i < BLOCK; i += 16 * PAGE) {
		ASSERT_EQ(0, madvise(env->mem + i, PAGE, MADV_DONTNEED));
		memset(env->ref + i, 0, PAGE);
	}
	ASSERT_EQ(0, rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
				 IBV_ADVISE_MR_FLAG_FLUSH, env->mr, env->mem,
				 BLOCK));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(0, rdma_env_read(env, 0, BLOCK));
	EXPECT_EQ(0, rdma_env_write(env, 0, BLOCK, 23));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, BLOCK));
}

/* A hole in the middle fails what touches it, and only that. */
TEST_F(rdma_mixed, unmapped)
{
	struct rdma_env *env = &self->env;
	size_t hole = B_HOLE * BLOCK;

	ASSERT_EQ(0, munmap(env->mem + hole, BLOCK));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  rdma_env_read(env, hole + PAGE, PAGE));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, hole));
	EXPECT_EQ(0, rdma_env_readable(env, B_RDONLY * BLOCK, BLOCK));
	EXPECT_EQ(0, rdma_env_read(env, hole + BLOCK,
				   env->size - hole - BLOCK));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, hole));
	EXPECT_EQ(0, rdma_env_cpu(env, hole + BLOCK, env->size - hole - BLOCK));
}

TEST_HARNESS_MAIN
