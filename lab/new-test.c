// SPDX-License-Identifier: GPL-2.0
/*
 * TODO(new test): say in one or two sentences what must hold, and why.
 */
#include "fixture.h"

#define SIZE		(4 * MIB)

/*
 * dma.h has the environment: GPU0 (the exporter), DMA0 (the importer, with a DMA
 * engine), @mem and what it must contain, @ref. For RDMA it is rdma.h, with
 * struct rdma_env in place of this one.
 */
FIXTURE(NAME) {
	struct dma_env env;
};

/* Both answers of an exporter: each test runs once for each of these. */
FIXTURE_VARIANT(NAME) {
	bool consent;
};

FIXTURE_VARIANT_ADD(NAME, consent) { .consent = true };
FIXTURE_VARIANT_ADD(NAME, refused) { .consent = false };

FIXTURE_SETUP(NAME)
{
	/* A skip needs a line in lab/expect/skips, or it fails the run. */
	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_EQ(0, dma_env_open(&self->env, SIZE, variant->consent, false,
				  HMM_DMA_ALLOW_P2P));
}

FIXTURE_TEARDOWN(NAME)
{
	EXPECT_EQ(0, dma_env_close(&self->env));
}

/* The program's data is in VRAM, and the device reads it. */
TEST_F(NAME, read)
{
	struct dma_env *env = &self->env;

	/* ASSERT ends the test, EXPECT goes on. Assert counts, never times. */
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, BUF));
	/* In place with consent, from RAM without: counters say which. */
	expect_place(_metadata, env);
	/* TODO(new test): do what the test is about, then look again. */
}

TEST_HARNESS_MAIN
