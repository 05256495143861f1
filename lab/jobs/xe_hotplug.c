// SPDX-License-Identifier: GPL-2.0
/*
 * A device of xe is taken out of the machine and put back, with memory of
 * processes in its VRAM: by QEMU's device_del, which asks the guest.
 */
#include <sys/mman.h>

#include "machine.h"
#include "xe_fixture.h"

#define SIZE	(4 * MIB)
#define HALF	(SIZE / 2)

FIXTURE(xe_hotplug) {
	struct exporter exp;
	struct xe_mem m;
	struct xe_mem ram;
	FILE *monitor;
	int dma;
};

FIXTURE_VARIANT(xe_hotplug) {
	bool thp;
};

FIXTURE_VARIANT_ADD(xe_hotplug, pte) { };
FIXTURE_VARIANT_ADD(xe_hotplug, thp) { .thp = true };

FIXTURE_SETUP(xe_hotplug)
{
	if (xe_absent("GPU0"))
		SKIP(return, "%s", xe_absent("GPU0"));
	if (!getenv("QMP"))
		SKIP(return, "QMP is not set");
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, exporter_consent(getenv("GPU0"), true));
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	ASSERT_EQ(0, xe_mem_open(&self->m, SIZE, variant->thp));
	ASSERT_EQ(0, xe_mem_open(&self->ram, SIZE, variant->thp));
	xe_mem_fill(&self->m, 1);
	xe_mem_fill(&self->ram, 2);
	ASSERT_EQ(0, exporter_place(&self->exp, self->m.mem, SIZE));
	ASSERT_EQ(0, xe_prefetch(self->exp.priv, self->ram.mem, SIZE, XE_RAM));
	self->dma = dma_open(getenv("DMA0"));
	ASSERT_LE(0, self->dma);
	ASSERT_EQ(0, dma_register(self->dma, self->m.mem, SIZE));
}

FIXTURE_TEARDOWN(xe_hotplug)
{
	close(self->dma);
	xe_mem_close(&self->m);
	xe_mem_close(&self->ram);
	exporter_close(&self->exp);
	fclose(self->monitor);
}

/* When its driver is there. */
static int gpu_back(struct exporter *exp)
{
	int tries, ret = -ENODEV;

	exporter_close(exp);
	for (tries = 3000; ret && tries; tries--) {
		usleep(20000);
		ret = exporter_open(exp, getenv("GPU0"));
	}
	return ret;
}

TEST_F_TIMEOUT(xe_hotplug, exporter, 300)
{
	struct hmm_dma_query query;

	ASSERT_EQ(0, dma_fault(self->dma, self->m.mem, SIZE, NULL));
	ASSERT_EQ(0, dma_query(self->dma, self->m.mem, &query));
	EXPECT_TRUE(query.flags & HMM_DMA_PAGE_ALIAS);
	ASSERT_EQ(0, unplug(self->monitor, "gpu0", self->exp.bdf));
	expect_vram(_metadata, &self->m, 0);
	EXPECT_EQ(0, xe_mem_dma(&self->m, self->dma, HALF));
	expect_data(_metadata, &self->m);
	expect_data(_metadata, &self->ram);
	ASSERT_EQ(0, munmap(self->ram.mem, HALF));

	ASSERT_EQ(0, plug(self->monitor, "gpu0"));
	ASSERT_EQ(0, gpu_back(&self->exp));
	xe_mem_fill(&self->m, 3);
	ASSERT_EQ(0, exporter_place(&self->exp, self->m.mem, SIZE));
	ASSERT_EQ(0, dma_fault(self->dma, self->m.mem, SIZE, NULL));
	expect_vram(_metadata, &self->m, SIZE);
	EXPECT_EQ(0, xe_mem_dma(&self->m, self->dma, HALF));
	expect_data(_metadata, &self->m);
}

TEST_HARNESS_MAIN
