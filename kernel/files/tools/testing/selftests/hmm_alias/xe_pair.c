// SPDX-License-Identifier: GPL-2.0
/*
 * Two devices of xe: each reaches the other's VRAM by their private interconnect,
 * in place. Who is not of their kind is given an alias, and without consent the
 * pages go to RAM.
 */
#include <sys/mman.h>

#include "trace.h"
#include "xe_fixture.h"

#define SIZE	(4 * MIB)
#define HALF	(SIZE / 2)

FIXTURE(xe_pair) {
	struct exporter exp[2];
	struct xe_mem m;
	struct xe_mem dst;
};

FIXTURE_VARIANT(xe_pair) {
	bool thp;
};

FIXTURE_VARIANT_ADD(xe_pair, pte) { };
FIXTURE_VARIANT_ADD(xe_pair, thp) { .thp = true };

/* Device 1 shall find it where device 0 has it. */
static int prefer_other(struct _test_data_xe_pair *self)
{
	return xe_prefer(self->exp[1].priv, self->m.mem, SIZE,
			 self->exp[0].fd);
}

FIXTURE_SETUP(xe_pair)
{
	if (xe_absent("GPU0"))
		SKIP(return, "GPU0: %s", xe_absent("GPU0"));
	if (xe_absent("GPU1"))
		SKIP(return, "GPU1: %s", xe_absent("GPU1"));
	ASSERT_EQ(0, exporter_consent(getenv("GPU0"), true));
	ASSERT_EQ(0, exporter_open(&self->exp[0], getenv("GPU0")));
	ASSERT_EQ(0, exporter_open(&self->exp[1], getenv("GPU1")));
	ASSERT_EQ(0, xe_mem_open(&self->m, SIZE, variant->thp));
	ASSERT_EQ(0, xe_mem_open(&self->dst, SIZE, variant->thp));
	xe_mem_fill(&self->m, 1);
	xe_mem_fill(&self->dst, 2);
	ASSERT_EQ(0, exporter_place(&self->exp[0], self->m.mem, SIZE));
	ASSERT_EQ(0, prefer_other(self));
	ASSERT_EQ(0, xe_prefetch(self->exp[1].priv, self->dst.mem, SIZE,
				 XE_RAM));
	ASSERT_EQ(0, trace_start());
}

FIXTURE_TEARDOWN(xe_pair)
{
	trace_stop();
	exporter_consent(getenv("GPU0"), true);
	xe_mem_close(&self->m);
	xe_mem_close(&self->dst);
	exporter_close(&self->exp[1]);
	exporter_close(&self->exp[0]);
}

/* Aliases, granted or refused, since the last one */
static int asked(struct _test_data_xe_pair *self)
{
	char exporter[64];

	snprintf(exporter, sizeof(exporter), "exporter=%s", self->exp[0].bdf);
	return trace_count(NULL, "hmm_alias_grant", exporter) +
	       trace_count(NULL, "hmm_alias_refuse", exporter);
}

/* Device 1 reads it: no page moves, and nobody is asked for an alias. */
static void expect_in_place(struct __test_metadata *_metadata,
			    struct _test_data_xe_pair *self)
{
	ASSERT_EQ(0, trace_clear());
	ASSERT_EQ(0, xe_copy(self->exp[1].priv, self->dst.mem, self->m.mem,
			     SIZE));
	expect_vram(_metadata, &self->m, SIZE);
	EXPECT_EQ(0, asked(self));
	self->dst.seed = self->m.seed;
	expect_data(_metadata, &self->dst);
	ASSERT_EQ(0, xe_prefetch(self->exp[1].priv, self->dst.mem, SIZE,
				 XE_RAM));
}

TEST_F_TIMEOUT(xe_pair, interconnect, 120)
{
	struct xe_mem from = self->dst;

	expect_in_place(_metadata, self);
	xe_mem_fill(&from, 3);
	ASSERT_EQ(0, xe_prefetch(self->exp[1].priv, from.mem, SIZE, XE_RAM));
	ASSERT_EQ(0, xe_copy(self->exp[1].priv, self->m.mem, from.mem, SIZE));
	expect_vram(_metadata, &self->m, SIZE);
	self->m.seed = 3;
	expect_data(_metadata, &self->m);
}

/* Consent is about others. */
TEST_F_TIMEOUT(xe_pair, no_consent, 120)
{
	ASSERT_EQ(0, exporter_consent(self->exp[0].bdf, false));
	expect_in_place(_metadata, self);
}

/* The three cases in one: interconnect, alias, RAM. */
TEST_F_TIMEOUT(xe_pair, order, 120)
{
	int reach = reach_between("GPU0", "DMA0"), dma;
	uint64_t want;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_LE(0, reach);
	want = dma_mapped_as(true, reach);
	dma = dma_open(getenv("DMA0"));
	ASSERT_LE(0, dma);
	ASSERT_EQ(0, dma_register(dma, self->m.mem, SIZE));

	expect_in_place(_metadata, self);
	ASSERT_EQ(0, dma_fault(dma, self->m.mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(dma, self->m.mem, SIZE, want));
	EXPECT_LT(0, asked(self));
	EXPECT_EQ(0, xe_mem_dma(&self->m, dma, HALF));
	expect_vram(_metadata, &self->m, reach_allowed(reach) ? SIZE : 0);

	/* Both at once */
	ASSERT_EQ(0, exporter_place(&self->exp[0], self->m.mem, SIZE));
	expect_in_place(_metadata, self);
	EXPECT_EQ(0, xe_mem_dma(&self->m, dma, 0));

	/* Taken back, and then refused: the other device sees it in RAM. */
	ASSERT_EQ(0, exporter_consent(self->exp[0].bdf, false));
	ASSERT_EQ(0, exporter_evict(&self->exp[0], self->m.mem, SIZE));
	ASSERT_EQ(0, exporter_place(&self->exp[0], self->m.mem, SIZE));
	expect_in_place(_metadata, self);
	ASSERT_EQ(0, dma_fault(dma, self->m.mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(dma, self->m.mem, SIZE,
				       DMA_MAPPED_RAM));
	expect_vram(_metadata, &self->m, 0);
	EXPECT_EQ(0, xe_mem_dma(&self->m, dma, HALF));
	expect_data(_metadata, &self->m);
	close(dma);
}

/* One leaves the group, and comes back to it: the other's mappings end. */
TEST_F_TIMEOUT(xe_pair, rebound, 120)
{
	expect_in_place(_metadata, self);
	ASSERT_EQ(0, exporter_bind(&self->exp[0], false));
	expect_vram(_metadata, &self->m, 0);
	expect_data(_metadata, &self->m);
	exporter_close(&self->exp[0]);
	ASSERT_EQ(0, exporter_bind(&self->exp[0], true));
	ASSERT_EQ(0, exporter_open(&self->exp[0], getenv("GPU0")));
	xe_mem_fill(&self->m, 4);
	ASSERT_EQ(0, exporter_place(&self->exp[0], self->m.mem, SIZE));
	ASSERT_EQ(0, prefer_other(self));
	expect_in_place(_metadata, self);
	expect_data(_metadata, &self->m);
}

TEST_HARNESS_MAIN
