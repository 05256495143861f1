/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of several programs expect. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "../kselftest_harness.h"
#include "dma.h"
#include "mem.h"
#include "rdma.h"
#include "trace.h"

/*
 * The two sides of consent, since rdma_env_mark(): all in place and through
 * aliases, or moved to RAM and none aliased.
 */
static inline void expect_consent(struct __test_metadata *_metadata,
				  struct rdma_env *env, bool consent)
{
	struct drm_ivgpu_counters d;

	ASSERT_EQ(0, rdma_env_delta(env, &d));
	if (consent) {
		EXPECT_EQ(0, d.pages_to_ram);
		EXPECT_LT(0, d.alias_pages);
	} else {
		EXPECT_LT(0, d.pages_to_ram);
		EXPECT_EQ(0, d.alias_pages);
	}
}

/* Where the data has been all the time, and what it is at both ends. */
static inline void expect_place(struct __test_metadata *_metadata,
				struct dma_env *env)
{
	struct drm_ivgpu_counters now;
	uint64_t sum;

	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	if (env->alias) {
		EXPECT_LT(0, now.alias_pages - env->base.alias_pages);
		EXPECT_EQ(0, now.pages_to_ram - env->base.pages_to_ram);
		EXPECT_EQ(0, gpu_sum(&env->gpu, env->mem, env->size,
				     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
		EXPECT_EQ(pattern_sum(env->ref, env->size, 0), sum);
	} else {
		EXPECT_EQ(0, now.alias_pages - env->base.alias_pages);
		EXPECT_LT(0, now.pages_to_ram - env->base.pages_to_ram);
	}
	EXPECT_EQ(0, memcmp(env->mem, env->ref, env->size));
}

/* The file of an importer that is gone is of no use, and does no harm. */
static inline void expect_orphan(struct __test_metadata *_metadata,
				 struct dma_env *env)
{
	struct hmm_dma_query query;

	EXPECT_EQ(-ENODEV, dma_fault(env->fd, env->mem, env->size, NULL));
	EXPECT_EQ(-ENODEV, dma_query(env->fd, env->mem, &query));
	EXPECT_EQ(-ENODEV, dma_xfer(env->fd, (uintptr_t)env->mem, LEN, 0));
}

#endif /* FIXTURE_H */
