// SPDX-License-Identifier: GPL-2.0
/*
 * What a NIC with a DMA engine gets on this machine: HMM_ALIAS_REACH says what
 * PCI/P2PDMA must answer for GPU0 and HCA0, and what follows from that is tested.
 */
#include <fcntl.h>
#include <linux/pci_regs.h>

#include "fixture.h"

#define SIZE		(4 * MIB)
#define EXT_CAP		0x100

FIXTURE(rdma_reach) {
	struct rdma_env env;
	enum reach reach;
	bool alias;
};

FIXTURE_VARIANT(rdma_reach) {
	bool thp;
	bool relaxed;
};

FIXTURE_VARIANT_ADD(rdma_reach, pte) { };
FIXTURE_VARIANT_ADD(rdma_reach, thp) { .thp = true };
/* With relaxed ordering the driver uses ATS, if the device has it. */
FIXTURE_VARIANT_ADD(rdma_reach, relaxed) { .relaxed = true };

static bool has_ats(const char *bdf)
{
	uint32_t cap = EXT_CAP, header = 0;
	char path[64];
	bool found = false;
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/config", bdf);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && cap && !found &&
	       pread(fd, &header, 4, cap) == 4) {
		found = PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_ATS;
		cap = PCI_EXT_CAP_NEXT(header);
	}
	close(fd);
	return found;
}

FIXTURE_SETUP(rdma_reach)
{
	const char *bdf = getenv("HCA0");
	struct rdma_env *env = &self->env;
	int reach = reach_between("GPU0", "HCA0");

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	if (!bdf || reach < 0)
		SKIP(return, "HCA0 or HMM_ALIAS_REACH is not set");
	self->reach = reach;
	self->alias = reach_allowed(reach);
	/* Translated requests do not go to bus addresses. */
	if (variant->relaxed && reach == BUS_ADDR && has_ats(bdf) &&
	    pci_translated(bdf))
		self->alias = false;
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, variant->thp));
	if (variant->relaxed) {
		ASSERT_EQ(0, ibv_dereg_mr(env->mr));
		env->mr = ibv_reg_mr(env->own.pd, env->mem, SIZE, RDMA_ACCESS |
				     IBV_ACCESS_ON_DEMAND |
				     IBV_ACCESS_RELAXED_ORDERING);
		ASSERT_NE(NULL, env->mr);
	}
	if (!variant->thp)
		memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	ASSERT_EQ(0, trace_start());
}

FIXTURE_TEARDOWN(rdma_reach)
{
	trace_stop();
	rdma_env_close(&self->env);
	gpu_consent(true);
}

static void expect_verdict(struct __test_metadata *_metadata,
			   struct _test_data_rdma_reach *self)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(self->alias ? 0 : nr_pages(SIZE), d.pages_to_ram);
	if (self->alias)
		EXPECT_EQ(nr_pages(SIZE), d.alias_pages);
	if (reach_allowed(self->reach))
		return;
	EXPECT_EQ(0, d.alias_pages);
	EXPECT_LT(0, trace_count(NULL, "hmm_alias_refuse",
				 reach_reason(self->reach)));
	EXPECT_LT(0, trace_count(NULL, "hmm_alias_refuse", "fallback=ram"));
}

/* The call that is refused is the one that moves the page. */
TEST_F(rdma_reach, read)
{
	struct rdma_env *env = &self->env;

	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_verdict(_metadata, self);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_reach, write)
{
	struct rdma_env *env = &self->env;

	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 2));
	expect_verdict(_metadata, self);
	if (self->alias)
		EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/*
 * What was mapped, by whatever way, is not reached any more after the page has
 * moved: the peer sees and writes the place where it is now.
 */
TEST_F(rdma_reach, moves)
{
	struct rdma_env *env = &self->env;
	int i;

	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 10 + i));
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE,
				       i % 2 ? IVGPU_PLACE_VRAM :
					       IVGPU_PLACE_RAM));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_write(env, 3, SIZE - 5, 20 + i));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	}
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_HARNESS_MAIN
