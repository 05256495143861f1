// SPDX-License-Identifier: GPL-2.0
/*
 * Two machines that read and write each other's device memory, of which machine 1
 * is killed in the middle: its QEMU ends. Machine 0 is as it was.
 */
#include "fixture.h"
#include "machine.h"
#include "pair_env.h"

#define SIZE		(2 * MIB)
#define ROUNDS		6

FIXTURE(pair_lost) {
	struct pair p;
};

FIXTURE_SETUP(pair_lost)
{
	if (pair_absent())
		SKIP(return, "%s", pair_absent());
	ASSERT_EQ(0, pair_open(&self->p, SIZE, true));
}

FIXTURE_TEARDOWN(pair_lost)
{
	pair_close(&self->p);
}

/* Transfers in both directions. What one of them ended with that failed, or 0 */
static int traffic(struct pair *p, int rounds)
{
	int i, ret = 0;

	for (i = 0; !ret && (!rounds || i < rounds); i++) {
		pattern_fill(p->buf, SIZE, pair_seed(!p->me, 0), 0);
		ret = pair_run(p, i % 2 ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ);
	}
	return ret;
}

TEST_F_TIMEOUT(pair_lost, killed, 400)
{
	struct pair *p = &self->p;
	struct rdma_env *env = &p->env;
	FILE *monitor;

	ASSERT_EQ(0, pair_meet(p));
	if (p->me) {
		monitor = monitor_open();
		ASSERT_NE(NULL, monitor);
		ASSERT_EQ(0, traffic(p, ROUNDS));
		/* It does not come back from this. */
		monitor_do(monitor, "quit", "");
		traffic(p, 0);
		ASSERT_TRUE(false);
	}
	EXPECT_EQ(IBV_WC_RETRY_EXC_ERR, traffic(p, 0));
	/* It had the other one's writes, which were what was there before. */
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	/* The HCA still works, also with what it had mapped for the other one. */
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 7));
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_HARNESS_MAIN
