// SPDX-License-Identifier: GPL-2.0
/*
 * xe with a BAR that does not show all of VRAM: memory behind it has an alias,
 * the rest goes to RAM when an importer faults on it. xe gives out first what
 * the BAR does not show.
 */
#include <sys/mman.h>

#include "trace.h"
#include "xe_fixture.h"

#define SIZE	(4 * MIB)
#define LARGE	(224 * MIB)	/* of 256, of which the BAR shows 64 */

FIXTURE(xe_small) {
	struct exporter exp;
	struct xe_mem m;
	int dma;
};

FIXTURE_VARIANT(xe_small) {
	bool thp;
};

FIXTURE_VARIANT_ADD(xe_small, pte) { };
FIXTURE_VARIANT_ADD(xe_small, thp) { .thp = true };

FIXTURE_SETUP(xe_small)
{
	if (xe_absent("GPU0"))
		SKIP(return, "%s", xe_absent("GPU0"));
	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_EQ(BUS_ADDR, reach_between("GPU0", "DMA0"));
	ASSERT_EQ(0, exporter_consent(getenv("GPU0"), true));
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	self->dma = dma_open(getenv("DMA0"));
	ASSERT_LE(0, self->dma);
}

FIXTURE_TEARDOWN(xe_small)
{
	xe_mem_close(&self->m);
	close(self->dma);
	exporter_close(&self->exp);
}

static void place(struct __test_metadata *_metadata,
		  struct _test_data_xe_small *self, size_t size, bool thp)
{
	ASSERT_EQ(0, xe_mem_open(&self->m, size, thp));
	xe_mem_fill(&self->m, 1);
	ASSERT_EQ(0, exporter_place(&self->exp, self->m.mem, size));
	ASSERT_EQ(0, dma_register(self->dma, self->m.mem, size));
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, dma_fault(self->dma, self->m.mem, size, NULL));
	trace_stop();
}

TEST_F_TIMEOUT(xe_small, hidden, 60)
{
	struct xe_mem *m = &self->m;

	place(_metadata, self, SIZE, variant->thp);
	EXPECT_EQ(0, dma_all_mapped_as(self->dma, m->mem, SIZE,
				       DMA_MAPPED_RAM));
	EXPECT_LT(0, trace_count(m->mem, "hmm_alias_refuse",
				 "reason=exporter-refused"));
	expect_vram(_metadata, m, 0);
	EXPECT_EQ(0, xe_mem_dma(m, self->dma, SIZE / 2));
	expect_data(_metadata, m);
}

TEST_F_TIMEOUT(xe_small, partly, 300)
{
	struct hmm_dma_query query;
	struct xe_mem *m = &self->m;
	size_t off, alias = 0, ram = 0;

	place(_metadata, self, LARGE, variant->thp);
	for (off = 0; off < LARGE; off += PAGE) {
		ASSERT_EQ(0, dma_query(self->dma, m->mem + off, &query));
		if (query.flags & HMM_DMA_PAGE_ALIAS) {
			EXPECT_TRUE(pci_in_bar2(self->exp.bdf,
						query.dma_addr));
			if (!alias++)
				EXPECT_EQ(0, xe_mem_dma(m, self->dma, off));
		} else {
			if (!ram++)
				EXPECT_EQ(0, xe_mem_dma(m, self->dma, off));
		}
	}
	EXPECT_LT(0, alias);
	EXPECT_LT(0, ram);
	EXPECT_EQ((long)alias, exporter_pages(m->mem, LARGE));
	expect_data(_metadata, m);
}

TEST_HARNESS_MAIN
