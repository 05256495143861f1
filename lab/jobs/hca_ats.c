// SPDX-License-Identifier: GPL-2.0
/*
 * What an HCA with ATS keeps of the IOMMU's answers: none is used that was taken
 * back, also when that came while the request was on its way. HCA0 is hca0 to
 * QEMU, whose monitor is the file QMP.
 */
#include <errno.h>

#include "fixture.h"
#include "hca_env.h"

#define SIZE		(2 * MIB)
/* Until it is made shorter, when the page has moved */
#define DELAY_MS	30000
/* Of x-ats-deaf: invalidations of what is kept, or asked for, are ignored. */
#define DEAF_KEPT	1
#define DEAF_ASKED	2

FIXTURE(hca_ats) {
	struct rdma_env env;
	FILE *monitor;
};

static uint64_t stat_of(struct _test_data_hca_ats *self, const char *name)
{
	uint64_t value = ~0ULL;

	return device_get(self->monitor, HCA_ID, name, &value) ? ~0ULL : value;
}

static int set(struct _test_data_hca_ats *self, const char *name,
	       uint64_t value)
{
	return device_set(self->monitor, HCA_ID, name, value);
}

/* With relaxed ordering the driver uses ATS. */
FIXTURE_SETUP(hca_ats)
{
	struct rdma_env *env = &self->env;
	uint64_t requests;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	if (!getenv("QMP"))
		SKIP(return, "QMP is not set");
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	requests = stat_of(self, "stat-ats-requests");
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, ibv_dereg_mr(env->mr));
	env->mr = ibv_reg_mr(env->own.pd, env->mem, SIZE, RDMA_ACCESS |
			     IBV_ACCESS_ON_DEMAND |
			     IBV_ACCESS_RELAXED_ORDERING);
	ASSERT_NE(NULL, env->mr);
	memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	ASSERT_EQ(0, rdma_env_read(env, 0, SIZE));
	ASSERT_LT(requests, stat_of(self, "stat-ats-requests"));
}

FIXTURE_TEARDOWN(hca_ats)
{
	EXPECT_EQ(0, set(self, "x-ats-delay", 0));
	EXPECT_EQ(0, set(self, "x-ats-deaf", 0));
	rdma_env_close(&self->env);
	fclose(self->monitor);
}

/* No translation is used that the driver has taken back. */
TEST_F_TIMEOUT(hca_ats, kept, 120)
{
	struct rdma_env *env = &self->env;
	uint64_t unmaps = stat_of(self, "stat-ats-unmaps");
	uint64_t stale = stat_of(self, "stat-ats-stale");
	int i;

	for (i = 0; i < 4; i++) {
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, i % 2 ?
				       IVGPU_PLACE_VRAM : IVGPU_PLACE_RAM));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_write(env, 1, SIZE - 2, i));
	}
	EXPECT_LT(unmaps, stat_of(self, "stat-ats-unmaps"));
	EXPECT_EQ(stale, stat_of(self, "stat-ats-stale"));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/*
 * A page that has just moved, so that its translation is not known, is read, and
 * moves again before the IOMMU's answer is there. 0: the request and the
 * invalidation have crossed.
 */
static int cross(struct _test_data_hca_ats *self)
{
	struct rdma_env *env = &self->env;
	uint64_t waits, crossed = stat_of(self, "stat-ats-crossed");
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = PAGE,
		.remote = (uintptr_t)env->mem,
		.rkey = env->mr->rkey,
	};
	int tries, ret;

	if (gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM) ||
	    gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_VRAM) <= 0)
		return -EBUSY;
	ret = set(self, "x-ats-delay", DELAY_MS);
	/* Not all requests: there are others, for what the driver posts. */
	waits = stat_of(self, "stat-ats-waits");
	if (!ret)
		ret = rdma_post(&env->peer, &wr, 0);
	for (tries = 1000; !ret && stat_of(self, "stat-ats-waits") == waits;
	     tries--) {
		if (!tries)
			ret = -ETIMEDOUT;
		usleep(5000);
	}
	if (ret)
		return ret;
	if (gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM))
		return -EBUSY;
	ret = set(self, "x-ats-delay", 1);
	if (!ret)
		ret = rdma_wait(&env->peer, NULL);
	if (ret)
		return ret;
	if (stat_of(self, "stat-ats-crossed") == crossed)
		return -EAGAIN;
	return memcmp(env->stage, env->ref, PAGE) ? -EILSEQ : 0;
}

TEST_F_TIMEOUT(hca_ats, crossed, 120)
{
	uint64_t stale = stat_of(self, "stat-ats-stale");
	int i;

	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, cross(self)) TH_LOG("round %d", i);
	EXPECT_EQ(stale, stat_of(self, "stat-ats-stale"));
	EXPECT_EQ(0, rdma_env_cpu(&self->env, 0, SIZE));
}

/*
 * What the two tests above rely on: an HCA that ignores invalidations is found
 * out. Its data may well be wrong.
 */
TEST_F_TIMEOUT(hca_ats, deaf_asked, 120)
{
	uint64_t stale = stat_of(self, "stat-ats-stale");
	int ret;

	ASSERT_EQ(0, set(self, "x-ats-deaf", DEAF_ASKED));
	ret = cross(self);
	EXPECT_TRUE(!ret || ret == -EILSEQ) TH_LOG("%d", ret);
	EXPECT_LT(stale, stat_of(self, "stat-ats-stale"));
	EXPECT_EQ(0, rdma_env_cpu(&self->env, 0, SIZE));
}

/* What the driver posts is wrong then as well: a read may end with anything. */
TEST_F_TIMEOUT(hca_ats, deaf_kept, 120)
{
	struct rdma_env *env = &self->env;
	uint64_t stale = stat_of(self, "stat-ats-stale");
	int i;

	/* A page of RAM has the IOVA that another had, two moves before. */
	ASSERT_EQ(0, set(self, "x-ats-deaf", DEAF_KEPT));
	for (i = 0; i < 6 && stat_of(self, "stat-ats-stale") == stale; i++) {
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, i % 2 ?
				       IVGPU_PLACE_VRAM : IVGPU_PLACE_RAM));
		rdma_env_read(env, 0, SIZE);
	}
	EXPECT_LT(stale, stat_of(self, "stat-ats-stale"));
}

TEST_HARNESS_MAIN
