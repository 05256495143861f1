// SPDX-License-Identifier: GPL-2.0
/*
 * What can happen to an HCA, and what the model counts: commands that fail, events
 * of commands that nobody has sent, being unplugged and pulled out. HCA0 is hca0
 * to QEMU, whose monitor is the file QMP.
 */
#include <errno.h>

#include "fixture.h"
#include "hca_env.h"

#define SIZE		(2 * MIB)
#define ALLOC_PD	0x800
#define MOVES		8

FIXTURE(hca) {
	struct rdma_env env;
	FILE *monitor;
	const char *bdf;
	bool closed;
};

FIXTURE_SETUP(hca)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	self->bdf = getenv("HCA0");
	if (!getenv("QMP") || !self->bdf)
		SKIP(return, "QMP or HCA0 is not set");
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
}

FIXTURE_TEARDOWN(hca)
{
	if (!self->closed)
		rdma_env_close(&self->env);
	fclose(self->monitor);
}

static uint64_t stat_of(struct _test_data_hca *self, const char *name)
{
	uint64_t value = ~0ULL;

	return device_get(self->monitor, HCA_ID, name, &value) ? ~0ULL : value;
}

/* The model counts what the driver and the wire do. */
TEST_F(hca, counters)
{
	struct rdma_env *env = &self->env;
	uint64_t faults = stat_of(self, "stat-faults"), umrs, now;

	ASSERT_NE(~0ULL, faults);
	umrs = stat_of(self, "stat-umrs");
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	now = stat_of(self, "stat-faults");
	EXPECT_LT(faults, now);
	EXPECT_EQ(now, stat_of(self, "stat-resumes"));
	EXPECT_LT(umrs, stat_of(self, "stat-umrs"));
	/* What is mapped does not fault again. */
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(now, stat_of(self, "stat-faults"));
	umrs = stat_of(self, "stat-umrs");
	ASSERT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_LT(umrs, stat_of(self, "stat-umrs"));
}

/* What the HCA is asked to do for an MR, all of whose pages move back and forth */
struct cost {
	uint64_t faults, umrs, commands;
};

static void measure(struct __test_metadata *_metadata,
		    struct _test_data_hca *self, struct ibv_mr *mr,
		    struct cost *cost)
{
	struct rdma_env *env = &self->env;
	struct ibv_mr *was = env->mr;
	int i;

	env->mr = mr;
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	cost->faults = stat_of(self, "stat-faults");
	cost->umrs = stat_of(self, "stat-umrs");
	cost->commands = stat_of(self, "stat-commands");
	for (i = 0; i < MOVES; i++) {
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, i % 2 ?
				       IVGPU_PLACE_VRAM : IVGPU_PLACE_RAM));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	}
	cost->faults = stat_of(self, "stat-faults") - cost->faults;
	cost->umrs = stat_of(self, "stat-umrs") - cost->umrs;
	cost->commands = stat_of(self, "stat-commands") - cost->commands;
	env->mr = was;
	printf("# %d moves: %llu faults, %llu UMRs, %llu commands\n", MOVES,
	       (unsigned long long)cost->faults,
	       (unsigned long long)cost->umrs,
	       (unsigned long long)cost->commands);
}

/*
 * A part of an implicit MR goes with its last page, and comes with the next. That
 * is a few UMRs more for each move, and no command: its mkey is one of a pool.
 */
TEST_F(hca, implicit_parts)
{
	struct rdma_env *env = &self->env;
	struct cost explicit, implicit;
	struct ibv_mr *mr;

	mr = ibv_reg_mr(env->own.pd, NULL, SIZE_MAX,
			RDMA_ACCESS | IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, mr);
	measure(_metadata, self, env->mr, &explicit);
	ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_VRAM));
	measure(_metadata, self, mr, &implicit);
	EXPECT_GE(explicit.umrs + 8 * MOVES, implicit.umrs);
	EXPECT_GE(explicit.commands + 4 * MOVES, implicit.commands);
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* The firmware refuses a command: the program hears of it, once. */
TEST_F(hca, command_fails)
{
	struct rdma_env *env = &self->env;
	const uint64_t no_res = 0xf;
	struct ibv_pd *pd;

	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-fail-cmd",
				ALLOC_PD | no_res << 16));
	pd = ibv_alloc_pd(env->own.ctx);
	EXPECT_EQ(NULL, pd);
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-fail-cmd", 0));
	pd = ibv_alloc_pd(env->own.ctx);
	ASSERT_NE(NULL, pd);
	EXPECT_EQ(0, ibv_dealloc_pd(pd));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
}

/* An event names command slots that no command is in. */
TEST_F(hca, idle_slots)
{
	struct rdma_env *env = &self->env;
	struct ibv_pd *pd;
	int i;

	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-cmd-event", 0x0ffffffe));
	for (i = 0; i < 8; i++) {
		pd = ibv_alloc_pd(env->own.ctx);
		EXPECT_NE(NULL, pd);
		if (pd)
			EXPECT_EQ(0, ibv_dealloc_pd(pd));
	}
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-cmd-event", 0));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
}

/*
 * The importer goes in the middle of transfers. The memory stays in VRAM, with
 * what is in it, and with the HCA back it is reached again.
 */
static void check_gone(struct __test_metadata *_metadata,
		       struct _test_data_hca *self, bool surprise)
{
	struct rdma_env *env = &self->env;
	struct hca_reader r;

	ASSERT_EQ(0, hca_reader_start(&r, env));
	ASSERT_EQ(0, surprise ? pull(self->bdf) :
				unplug(self->monitor, HCA_ID, self->bdf));
	EXPECT_EQ(0, hca_reader_fails(&r));
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));

	ASSERT_EQ(0, plug(self->monitor, HCA_ID));
	ASSERT_EQ(0, hca_back(self->bdf, 0));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	rdma_env_close(env);
	self->closed = true;
	EXPECT_EQ(0, hca_in_place(SIZE));
}

TEST_F_TIMEOUT(hca, unplugged, 180)
{
	check_gone(_metadata, self, false);
}

TEST_F_TIMEOUT(hca, pulled, 180)
{
	check_gone(_metadata, self, true);
}

TEST_HARNESS_MAIN
