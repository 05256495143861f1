// SPDX-License-Identifier: GPL-2.0
/*
 * xe's shared virtual memory: a process and the GPU see the same data, wherever
 * it is, and it is where it was asked to be.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <drm/xe_drm.h>

#include "xe_fixture.h"

#define SIZE	(4 * MIB)
#define HALF	(SIZE / 2)

FIXTURE(xe_svm) {
	struct exporter exp;
	struct xe *xe;
	struct xe_mem src;
	struct xe_mem dst;
};

FIXTURE_VARIANT(xe_svm) {
	bool thp;
};

FIXTURE_VARIANT_ADD(xe_svm, pte) { };
FIXTURE_VARIANT_ADD(xe_svm, thp) { .thp = true };

FIXTURE_SETUP(xe_svm)
{
	if (xe_absent("GPU0"))
		SKIP(return, "%s", xe_absent("GPU0"));
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	self->xe = self->exp.priv;
	ASSERT_EQ(0, xe_mem_open(&self->src, SIZE, variant->thp));
	ASSERT_EQ(0, xe_mem_open(&self->dst, SIZE, variant->thp));
	xe_mem_fill(&self->src, 1);
	xe_mem_fill(&self->dst, 2);
}

FIXTURE_TEARDOWN(xe_svm)
{
	xe_mem_close(&self->src);
	xe_mem_close(&self->dst);
	exporter_close(&self->exp);
}

TEST_F(xe_svm, prefetch)
{
	struct xe_mem *m = &self->src;
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, exporter_place(&self->exp, m->mem, SIZE));
		expect_vram(_metadata, m, SIZE);
		EXPECT_EQ(0, xe_prefetch(self->xe, m->mem, SIZE, XE_RAM));
		expect_vram(_metadata, m, 0);
		expect_data(_metadata, m);
	}
	ASSERT_EQ(0, exporter_place(&self->exp, m->mem, SIZE));
	expect_data(_metadata, m);
	expect_vram(_metadata, m, 0);
}

TEST_F(xe_svm, madvise)
{
	struct xe_mem *m = &self->src;
	const int consult = DRM_XE_CONSULT_MEM_ADVISE_PREF_LOC;

	ASSERT_EQ(0, xe_prefer(self->xe, m->mem, HALF,
			       DRM_XE_PREFERRED_LOC_DEFAULT_DEVICE));
	ASSERT_EQ(0, xe_prefer(self->xe, m->mem + HALF, HALF,
			       DRM_XE_PREFERRED_LOC_DEFAULT_SYSTEM));
	EXPECT_EQ(0, xe_prefetch(self->xe, m->mem, SIZE, consult));
	EXPECT_EQ(nr_pages(HALF), exporter_pages(m->mem, HALF));
	EXPECT_EQ(0, exporter_pages(m->mem + HALF, HALF));

	ASSERT_EQ(0, xe_prefer(self->xe, m->mem, HALF,
			       DRM_XE_PREFERRED_LOC_DEFAULT_SYSTEM));
	ASSERT_EQ(0, xe_prefer(self->xe, m->mem + HALF, HALF,
			       DRM_XE_PREFERRED_LOC_DEFAULT_DEVICE));
	EXPECT_EQ(0, xe_prefetch(self->xe, m->mem, SIZE, consult));
	EXPECT_EQ(0, exporter_pages(m->mem, HALF));
	EXPECT_EQ(nr_pages(HALF), exporter_pages(m->mem + HALF, HALF));
	expect_data(_metadata, m);
}

/* Each side in VRAM or in RAM; both stay there. */
TEST_F_TIMEOUT(xe_svm, copy, 120)
{
	struct xe_mem *src = &self->src, *dst = &self->dst;
	size_t from, to;
	int i;

	for (i = 0; i < 4; i++) {
		from = i & 1 ? SIZE : 0;
		to = i & 2 ? SIZE : 0;
		xe_mem_fill(src, 10 + i);
		xe_mem_fill(dst, 20);
		ASSERT_EQ(0, xe_prefetch(self->xe, src->mem, SIZE,
					 from ? XE_VRAM : XE_RAM));
		ASSERT_EQ(0, xe_prefetch(self->xe, dst->mem, SIZE,
					 to ? XE_VRAM : XE_RAM));
		ASSERT_EQ(0, self->exp.ops->copy(&self->exp, dst->mem, src->mem,
						 SIZE));
		expect_vram(_metadata, src, from);
		expect_vram(_metadata, dst, to);
		dst->seed = src->seed;
		expect_data(_metadata, dst);
		expect_data(_metadata, src);
	}
}

/* The GPU faults on all that it touches, which then is in VRAM. */
TEST_F_TIMEOUT(xe_svm, faults, 120)
{
	struct xe_mem *src = &self->src, *dst = &self->dst;

	ASSERT_EQ(0, xe_copy(self->xe, dst->mem, src->mem, SIZE));
	expect_vram(_metadata, src, SIZE);
	expect_vram(_metadata, dst, SIZE);
	dst->seed = src->seed;
	expect_data(_metadata, dst);
	expect_data(_metadata, src);
}

/* What the CPU took away and changed, the GPU sees as it is now. */
TEST_F_TIMEOUT(xe_svm, invalidated, 240)
{
	struct xe_mem *src = &self->src, *dst = &self->dst;
	int i;

	for (i = 0; i < 4; i++) {
		if (i == 2)
			ASSERT_EQ(src->mem,
				  mmap(src->mem, SIZE, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				       -1, 0));
		xe_mem_fill(src, 30 + i);
		ASSERT_EQ(0, xe_copy(self->xe, dst->mem, src->mem, SIZE));
		dst->seed = src->seed;
		expect_data(_metadata, dst);
	}
}

struct poller {
	uint64_t *word;
	bool stop;
	unsigned long count;
};

static void *poll_word(void *arg)
{
	struct poller *p = arg;

	while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
		(void)__atomic_load_n(p->word, __ATOMIC_RELAXED);
		p->count++;
		usleep(1000);
	}
	return NULL;
}

/*
 * A CPU reads a word all the time, and the GPU works on pages next to it. Each
 * takes the pages away from the other, and both get on.
 */
TEST_F_TIMEOUT(xe_svm, polled, 240)
{
	struct xe_mem *src = &self->src, *dst = &self->dst;
	struct poller p = { .word = (void *)(dst->mem + MIB) };
	pthread_t thread;
	int i, ret = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_word, &p));
	for (i = 0; i < 8 && !ret; i++)
		ret = xe_copy(self->xe, dst->mem, src->mem, MIB);
	EXPECT_EQ(0, ret)
		TH_LOG("round %d", i);
	__atomic_store_n(&p.stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(0, p.count);
	EXPECT_EQ(0, memcmp(dst->mem, src->mem, MIB));
}

/* The same with the commands and the fence, which both move all the time */
TEST_F_TIMEOUT(xe_svm, polled_fence, 240)
{
	struct xe_mem *src = &self->src, *dst = &self->dst;
	int i, ret = 0;

	ASSERT_EQ(0, xe_prefer(self->xe, self->xe->cmd, XE_CMD_SIZE,
			       DRM_XE_PREFERRED_LOC_DEFAULT_DEVICE));
	for (i = 0; i < 8 && !ret; i++) {
		xe_mem_fill(src, 60 + i);
		ret = xe_copy(self->xe, dst->mem, src->mem, SIZE);
		EXPECT_EQ(0, ret)
			TH_LOG("round %d", i);
		dst->seed = src->seed;
		expect_data(_metadata, dst);
	}
}

/*
 * Memory that the process itself may not touch: the job fails, and neither the
 * driver nor the process is stuck.
 */
TEST_F_TIMEOUT(xe_svm, no_access, 60)
{
	struct xe_mem *src = &self->src, *dst = &self->dst;

	/* It was allowed to once. */
	ASSERT_EQ(0, xe_copy(self->xe, dst->mem, src->mem, SIZE));
	dst->seed = src->seed;
	ASSERT_EQ(0, mprotect(src->mem, SIZE, PROT_NONE));
	ASSERT_EQ(0, xe_copy_start(self->xe, dst->mem, src->mem, SIZE));
	EXPECT_EQ(-ETIMEDOUT, xe_copy_wait(self->xe, 3));
	exporter_close(&self->exp);
	ASSERT_EQ(0, mprotect(src->mem, SIZE, PROT_READ));
	expect_data(_metadata, src);
	expect_data(_metadata, dst);

	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	self->xe = self->exp.priv;
	ASSERT_EQ(0, xe_copy(self->xe, dst->mem + HALF, dst->mem, HALF));
	EXPECT_EQ(0, memcmp(dst->mem + HALF, dst->mem, HALF));
}

/*
 * A part of what the driver maps at once. Whether the rest can be used is the
 * driver's choice, but it does not try for ever.
 */
TEST_F_TIMEOUT(xe_svm, part_no_access, 60)
{
	struct xe_mem *src = &self->src, *dst = &self->dst;
	int ret;

	ASSERT_EQ(0, xe_copy(self->xe, dst->mem, src->mem, SIZE));
	ASSERT_EQ(0, mprotect(src->mem + MIB, MIB, PROT_NONE));
	pattern_fill(src->mem, MIB, 50, 0);
	memset(dst->mem, 0, MIB);
	ASSERT_EQ(0, xe_copy_start(self->xe, dst->mem, src->mem, MIB));
	ret = xe_copy_wait(self->xe, 5);
	EXPECT_TRUE(!ret || ret == -ETIMEDOUT);
	EXPECT_TRUE(ret || !memcmp(dst->mem, src->mem, MIB));
	exporter_close(&self->exp);

	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	self->xe = self->exp.priv;
	ASSERT_EQ(0, xe_copy(self->xe, dst->mem + HALF, dst->mem, HALF));
	EXPECT_EQ(0, memcmp(dst->mem + HALF, dst->mem, HALF));
}

static uint64_t vram_size(struct xe *xe)
{
	struct drm_xe_device_query query = {
		.query = DRM_XE_DEVICE_QUERY_MEM_REGIONS,
	};
	struct drm_xe_query_mem_regions *regions;
	uint64_t size = 0;
	size_t i;

	if (ioctl(xe->fd, DRM_IOCTL_XE_DEVICE_QUERY, &query))
		return 0;
	regions = calloc(1, query.size);
	query.data = (uintptr_t)regions;
	if (regions && !ioctl(xe->fd, DRM_IOCTL_XE_DEVICE_QUERY, &query))
		for (i = 0; i < regions->num_mem_regions; i++)
			if (regions->mem_regions[i].mem_class ==
			    DRM_XE_MEM_REGION_CLASS_VRAM)
				size += regions->mem_regions[i].total_size;
	free(regions);
	return size;
}

/*
 * More than there is VRAM, and aliases of what has to leave. No byte is lost.
 * The importer lets go of what leaves, and then reads it where it is.
 */
TEST_F_TIMEOUT(xe_svm, pressure, 600)
{
	size_t size = vram_size(self->xe) / 2 / HALF * HALF;
	struct xe_mem first, second;
	int dma = -1, i;

	ASSERT_LT(SIZE, size);
	size += SIZE;
	ASSERT_EQ(0, xe_mem_open(&first, size, variant->thp));
	ASSERT_EQ(0, xe_mem_open(&second, size, variant->thp));
	xe_mem_fill(&first, 40);
	xe_mem_fill(&second, 41);
	if (!dma_env_absent()) {
		dma = dma_open(getenv("DMA0"));
		ASSERT_LE(0, dma);
		ASSERT_EQ(0, dma_register(dma, first.mem, SIZE));
	}
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, exporter_place(&self->exp, first.mem, size));
		if (dma >= 0) {
			ASSERT_EQ(0, dma_fault(dma, first.mem, SIZE, NULL));
			EXPECT_EQ(0, xe_mem_dma(&first, dma, HALF));
		}
		ASSERT_EQ(0, exporter_place(&self->exp, second.mem, size));
		EXPECT_GT(nr_pages(size), exporter_pages(first.mem, size));
		if (dma >= 0)
			EXPECT_EQ(0, xe_mem_dma(&first, dma, 0));
		expect_data(_metadata, &first);
		expect_data(_metadata, &second);
	}
	if (dma >= 0)
		close(dma);
	xe_mem_close(&first);
	xe_mem_close(&second);
}

TEST_HARNESS_MAIN
