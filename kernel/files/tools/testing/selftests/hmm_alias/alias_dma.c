// SPDX-License-Identifier: GPL-2.0
/*
 * DMA of another PCI device to device memory: what the fabric between the two
 * allows is done in place, all else in RAM, and nothing after its time.
 */
#include <pthread.h>
#include <time.h>

#include "alias_test.h"
#include "dma_env.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)
#define BUF		HMM_DMA_BUF_SIZE
/* What a page is looked at with: across no boundary, and unaligned. */
#define ODD		1021
#define LEN		1501

FIXTURE(alias_dma) {
	struct alias_gpu gpu;
	const char *bdf;
	int fd;
	bool iommu;
	enum verdict verdict;
	bool alias;
	uint64_t mapped;
	unsigned char *mem;
	unsigned char *ref;
	void *map;
	size_t map_size;
	struct drm_ivgpu_counters base;
	struct dma_faults faults;
	bool small_aperture;
	bool narrow;
};

FIXTURE_VARIANT(alias_dma) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(alias_dma, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(alias_dma, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(alias_dma, refused_pte) { };

/* All is in VRAM, nothing is mapped for the device. */
static int fill(struct _test_data_alias_dma *self, uint64_t seed)
{
	int ret = alias_gpu_fill(&self->gpu, self->mem, SIZE, seed);

	if (!ret && alias_gpu_place(&self->gpu, self->mem, SIZE,
				    IVGPU_PLACE_VRAM) != alias_pages(SIZE))
		ret = -ENXIO;
	if (!ret)
		ret = alias_gpu_counters(&self->gpu, &self->base);
	alias_pattern(self->ref, SIZE, seed, 0);
	return ret;
}

FIXTURE_SETUP(alias_dma)
{
	int verdict;

	self->bdf = getenv("DMA0");
	if (!getenv("GPU0") || !self->bdf)
		SKIP(return, "GPU0 and DMA0 are not set");
	ASSERT_EQ(0, alias_param_set("p2p", variant->consent ? "Y" : "N"));
	ASSERT_EQ(0, alias_gpu_open(&self->gpu, 0));
	ASSERT_STREQ(getenv("GPU0"), self->gpu.bdf);
	verdict = dma_verdict("GPU0", "DMA0");
	ASSERT_LE(0, verdict);
	self->verdict = verdict;
	self->alias = variant->consent && dma_allowed(verdict);
	self->mapped = dma_mapped_as(variant->consent, verdict);
	self->iommu = pci_translated(self->bdf);
	ASSERT_EQ(0, dma_faults_open(&self->faults, self->bdf));

	self->mem = alias_map(SIZE, variant->thp, &self->map, &self->map_size);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->mem);
	ASSERT_NE(NULL, self->ref);
	self->fd = dma_open(self->bdf);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
	ASSERT_EQ(0, fill(self, 1));
	ASSERT_EQ(0, dma_all(self->fd, self->mem, SIZE, 0));
}

FIXTURE_TEARDOWN(alias_dma)
{
	EXPECT_EQ(0, dma_faults_close(&self->faults));
	dma_trace_stop();
	close(self->fd);
	if (self->narrow)
		EXPECT_EQ(0, dma_rebind(self->bdf, "64"));
	if (self->small_aperture)
		EXPECT_EQ(0, alias_gpu_rebind(&self->gpu, "aperture", "0"));
	alias_gpu_close(&self->gpu);
	munmap(self->map, self->map_size);
	free(self->ref);
	alias_param_set("p2p", "Y");
}

/* Where the data has been all the time, and what it is at both ends. */
static void expect_place(struct __test_metadata *_metadata,
			 struct _test_data_alias_dma *self)
{
	struct drm_ivgpu_counters now;
	uint64_t sum;

	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &now));
	if (self->alias) {
		EXPECT_LT(0, now.alias_pages - self->base.alias_pages);
		EXPECT_EQ(0, now.pages_to_ram - self->base.pages_to_ram);
		EXPECT_EQ(0, alias_gpu_sum(&self->gpu, self->mem, SIZE,
					   IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
		EXPECT_EQ(alias_sum(self->ref, SIZE, 0), sum);
	} else {
		EXPECT_EQ(0, now.alias_pages - self->base.alias_pages);
		EXPECT_LT(0, now.pages_to_ram - self->base.pages_to_ram);
	}
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* Both directions, at pages that differ in where they are in their folio. */
TEST_F_TIMEOUT(alias_dma, both_ways, 120)
{
	static const size_t pages[] = { 0, 1, HALF / PAGE - 1, HALF / PAGE + 7,
					SIZE / PAGE - 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		unsigned char *mem = self->mem + pages[i] * PAGE + ODD;
		unsigned char *ref = self->ref + pages[i] * PAGE + ODD;

		EXPECT_EQ(0, dma_check(self->fd, mem, ref, LEN))
			TH_LOG("page %zu", pages[i]);
		EXPECT_EQ(0, dma_write(self->fd, mem + 7, ref + 7, LEN - 11,
				       10 + i))
			TH_LOG("page %zu", pages[i]);
		EXPECT_EQ(0, dma_check(self->fd, mem, ref, LEN))
			TH_LOG("page %zu", pages[i]);
	}
	expect_place(_metadata, self);
}

/* What the engine writes, the device reads through the same mapping. */
TEST_F_TIMEOUT(alias_dma, engine_then_read, 60)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)self->mem,
		.size = SIZE,
		.value = 3,
	};

	EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, LEN));
	ASSERT_EQ(0, alias_gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	alias_pattern(self->ref, SIZE, 3, 0);
	EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, LEN));
	expect_place(_metadata, self);
}

/* All of it in one call, each page mapped as the verdict wants it. */
TEST_F(alias_dma, whole_range)
{
	struct drm_ivgpu_counters now;
	struct hmm_dma_query query;
	size_t off;

	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &now));
	EXPECT_EQ(self->alias ? alias_pages(SIZE) : 0,
		  now.alias_pages - self->base.alias_pages);
	EXPECT_EQ(self->alias ? 0 : alias_pages(SIZE),
		  now.pages_to_ram - self->base.pages_to_ram);
	for (off = 0; off < SIZE; off += HALF / 2) {
		ASSERT_EQ(0, dma_query(self->fd, self->mem + off, &query));
		/* The BAR is where its bus address is, on this machine. */
		EXPECT_EQ(self->alias && (self->verdict == BUS_ADDR ||
					  !self->iommu),
			  pci_in_bar2(self->gpu.bdf, query.dma_addr));
	}

	/* Again, nothing is new. */
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
	EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF));
	expect_place(_metadata, self);
}

TEST_F(alias_dma, trace)
{
	char exporter[64], importer[64];

	snprintf(exporter, sizeof(exporter), "exporter=%s", self->gpu.bdf);
	snprintf(importer, sizeof(importer), "importer=%s", self->bdf);
	ASSERT_EQ(0, dma_trace_start());
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, PAGE, NULL));
	if (self->alias) {
		EXPECT_EQ(1, dma_trace_count(self->mem, "hmm_alias_grant",
					     exporter));
		EXPECT_EQ(1, dma_trace_count(self->mem, "hmm_alias_grant",
					     importer));
		EXPECT_EQ(1, dma_trace_count(self->mem, "hmm_alias_grant",
					     "access=dma"));
		EXPECT_EQ(0, dma_trace_count(self->mem, "hmm_alias_refuse",
					     importer));
	} else {
		EXPECT_EQ(0, dma_trace_count(self->mem, "hmm_alias_grant",
					     importer));
		EXPECT_LT(0, dma_trace_count(self->mem, "hmm_alias_refuse",
					     importer));
		EXPECT_LT(0, dma_trace_count(self->mem, "hmm_alias_refuse",
					     dma_reason(self->verdict)));
		EXPECT_LT(0, dma_trace_count(self->mem, "hmm_alias_refuse",
					     "fallback=ram"));
	}
	ASSERT_LE(0, alias_gpu_place(&self->gpu, self->mem, SIZE,
				     IVGPU_PLACE_RAM));
	EXPECT_EQ(self->alias,
		  dma_trace_count(NULL, "hmm_alias_invalidate",
				  importer) > 0);
}

/*
 * Each GPU has a part of one range, RAM another, and one is not there yet. Each
 * importer gets of it what it can reach. Exporters move 2 MiB at a time, so the
 * parts are of that size.
 */
TEST_F_TIMEOUT(alias_dma, mixed, 120)
{
	static const char *const importers[] = { "DMA0", "DMA1" };
	const uint64_t ram = dma_mapped_as(false, NOT_SUPPORTED);
	const size_t part = 2 * MIB, size = 4 * part;
	unsigned char *mem, *ref = malloc(size);
	struct alias_gpu second;
	int fd[2] = { -1, -1 };
	size_t map_size, i, j;
	void *map;

	ASSERT_EQ(0, alias_gpu_open(&second, 1));
	ASSERT_STREQ(getenv("GPU1"), second.bdf);
	mem = alias_map(size, variant->thp, &map, &map_size);
	ASSERT_NE(NULL, mem);
	ASSERT_NE(NULL, ref);
	for (i = 0; i < ARRAY_SIZE(importers) && getenv(importers[i]); i++) {
		int first = dma_verdict("GPU0", importers[i]);
		int other = dma_verdict("GPU1", importers[i]);

		ASSERT_LE(0, first);
		ASSERT_LE(0, other);
		ASSERT_EQ(0, madvise(mem, size, MADV_DONTNEED));
		ASSERT_EQ(0, alias_gpu_fill(&self->gpu, mem, part, 20));
		memset(mem + part, 0x5a, part);
		ASSERT_EQ(0, alias_gpu_fill(&second, mem + 2 * part, part, 21));
		alias_pattern(ref, part, 20, 0);
		memset(ref + part, 0x5a, part);
		alias_pattern(ref + 2 * part, part, 21, 0);
		memset(ref + 3 * part, 0, part);

		fd[i] = dma_open(getenv(importers[i]));
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, dma_register(fd[i], mem, size));
		ASSERT_EQ(0, dma_fault(fd[i], mem, size, NULL));
		EXPECT_EQ(0, dma_all(fd[i], mem, part,
				     dma_mapped_as(variant->consent, first)));
		EXPECT_EQ(0, dma_all(fd[i], mem + part, part, ram));
		EXPECT_EQ(0, dma_all(fd[i], mem + 2 * part, part,
				     dma_mapped_as(variant->consent, other)));
		EXPECT_EQ(0, dma_all(fd[i], mem + 3 * part, part, ram));
		for (j = 0; j < size; j += part) {
			EXPECT_EQ(0, dma_check(fd[i], mem + j, ref + j, LEN));
			EXPECT_EQ(0, dma_write(fd[i], mem + j + ODD,
					       ref + j + ODD, LEN, 30 + j));
		}
	}

	/* What the last one made move has left the first one, too. */
	if (fd[1] >= 0) {
		EXPECT_EQ(0, dma_fault(fd[0], mem, size, NULL));
		for (j = 0; j < size; j += part)
			EXPECT_EQ(0, dma_check(fd[0], mem + j, ref + j, BUF));
		close(fd[1]);
	}
	EXPECT_EQ(0, memcmp(mem, ref, size));
	close(fd[0]);
	munmap(map, map_size);
	free(ref);
	alias_gpu_close(&second);
}

/* The alias of one page cannot be mapped: RAM is asked for, once, for it. */
TEST_F(alias_dma, late_failure)
{
	const uint64_t ram = dma_mapped_as(false, 0);
	unsigned char *fail = self->mem + 5 * PAGE;
	struct drm_ivgpu_counters now;
	struct hmm_dma_query query;
	uint64_t sum;

	ASSERT_EQ(0, dma_trace_start());
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, fail));
	EXPECT_EQ(self->alias, dma_trace_count(NULL, "hmm_alias_map_fail",
					       "reason=no-fabric"));
	ASSERT_EQ(0, dma_query(self->fd, fail, &query));
	EXPECT_EQ(ram, query.flags);
	EXPECT_EQ(0, dma_all(self->fd, self->mem + HALF, HALF, self->mapped));
	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &now));
	if (self->alias) {
		/* The exporter may move the neighbours too, up to 2 MiB. */
		EXPECT_LT(0, now.pages_to_ram - self->base.pages_to_ram);
		EXPECT_GE(alias_pages(HALF),
			  now.pages_to_ram - self->base.pages_to_ram);
		EXPECT_EQ(0, alias_gpu_sum(&self->gpu, self->mem + HALF, HALF,
					   IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
		EXPECT_EQ(alias_sum(self->ref + HALF, HALF, 0), sum);
	}
	EXPECT_EQ(0, dma_check(self->fd, fail, self->ref + 5 * PAGE, LEN));
	EXPECT_EQ(0, dma_write(self->fd, fail, self->ref + 5 * PAGE, LEN, 4));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));

	/* The next request is a new one. */
	ASSERT_EQ(0, fill(self, 5));
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
}

/* The memory is registered anew, with addresses of so many bits. */
static int narrow(struct _test_data_alias_dma *self, const char *bits)
{
	int ret;

	self->narrow = true;
	close(self->fd);
	ret = dma_rebind(self->bdf, bits);
	if (ret)
		return ret;
	self->fd = dma_open(self->bdf);
	return self->fd < 0 ? self->fd :
		dma_register(self->fd, self->mem, SIZE);
}

/* The BAR is on the same bus, and out of reach: it is above 2 GiB. */
TEST_F(alias_dma, narrow_mask)
{
	const uint64_t ram = dma_mapped_as(false, 0);
	struct drm_ivgpu_counters now;

	/* Elsewhere the DMA API or the IOMMU sees to it. */
	if (self->verdict != BUS_ADDR)
		return;
	ASSERT_EQ(0, narrow(self, "31"));
	ASSERT_EQ(0, dma_trace_start());
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, ram));
	EXPECT_EQ(self->alias ? alias_pages(SIZE) : 0,
		  dma_trace_count(NULL, "hmm_alias_map_fail", "err=-34"));
	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &now));
	EXPECT_EQ(alias_pages(SIZE),
		  now.pages_to_ram - self->base.pages_to_ram);
	EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
	EXPECT_EQ(0, dma_write(self->fd, self->mem + HALF, self->ref + HALF,
			       LEN, 4));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

#define HOGS	8	/* per size */

/*
 * Registers memory until a device of 32 bits has no IOVA left but in pieces
 * below 1 MiB; what those are is then mapped page by page. Returns 0 when not
 * one page is left.
 */
static int hog(struct _test_data_alias_dma *self, int *fds, size_t n,
	       unsigned char *mem, unsigned char *rest, size_t rest_size)
{
	size_t size = 1024 * MIB, i, off;
	int ret = 0;

	for (i = 0; !ret && i < n - 1; i++) {
		fds[i] = dma_open(self->bdf);
		ret = dma_register(fds[i], mem, size);
		if (i % HOGS == HOGS - 1)
			size /= 2;
	}
	fds[i] = dma_open(self->bdf);
	if (!ret)
		ret = dma_register(fds[i], rest, rest_size);
	for (off = 0; !ret && off < rest_size; off += 16 * PAGE)
		ret = dma_fault(fds[i], rest + off, 16 * PAGE, NULL);
	return ret == -EIO ? 0 : ret ? ret : -ENOSPC;
}

/*
 * With no IOVA left, neither aliases nor RAM can be mapped: the fault fails,
 * nothing else does, and all is well when there is IOVA again.
 */
TEST_F_TIMEOUT(alias_dma, iova_exhausted, 120)
{
	const size_t big = 1024 * MIB, rest_size = 16 * MIB;
	int fds[11 * HOGS + 1];
	struct hmm_dma_query query, next;
	unsigned char *rest;
	void *all, *map;
	size_t map_size, i, round;

	if (!self->iommu || self->verdict == BUS_ADDR)
		return;
	all = mmap(NULL, big, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, all);
	rest = alias_map(rest_size, false, &map, &map_size);
	ASSERT_NE(NULL, rest);

	/* What the first round might leak, the second one would miss. */
	for (round = 0; round < 2; round++) {
		ASSERT_EQ(0, narrow(self, "32"));
		close(self->fd);
		for (i = 0; i < ARRAY_SIZE(fds); i++)
			fds[i] = -1;
		EXPECT_EQ(0, hog(self, fds, ARRAY_SIZE(fds), all, rest,
				 rest_size));
		self->fd = dma_open(self->bdf);
		ASSERT_LE(0, self->fd);
		ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
		ASSERT_EQ(0, fill(self, 60 + round));
		ASSERT_EQ(0, dma_trace_start());
		EXPECT_EQ(-EIO, dma_fault(self->fd, self->mem, SIZE, NULL));
		EXPECT_EQ(self->alias ? alias_pages(SIZE) : 0,
			  dma_trace_count(NULL, "hmm_alias_map_fail",
					  "reason=no-mapping"));
		dma_trace_stop();
		EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, 0));
		EXPECT_EQ(-EIO, dma_xfer(self->fd, (uintptr_t)self->mem, LEN,
					 0));
		EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));

		/* The same MR, which got no IOVA of its own, page by page. */
		for (i = 0; i < ARRAY_SIZE(fds); i++)
			close(fds[i]);
		ASSERT_EQ(0, fill(self, 70 + round));
		EXPECT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
		EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
		EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
		EXPECT_EQ(0, dma_write(self->fd, self->mem + HALF,
				       self->ref + HALF, LEN, 4));
		expect_place(_metadata, self);
		close(self->fd);

		/* A new one has one piece again. */
		self->fd = dma_open(self->bdf);
		ASSERT_LE(0, self->fd);
		ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
		ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
		ASSERT_EQ(0, dma_query(self->fd, self->mem, &query));
		ASSERT_EQ(0, dma_query(self->fd, self->mem + SIZE - PAGE,
				       &next));
		EXPECT_EQ(query.dma_addr + SIZE - PAGE, next.dma_addr);
	}
	munmap(all, big);
	munmap(map, map_size);
}

/* The exporter refuses what is outside of its aperture: nearly all, here. */
TEST_F(alias_dma, small_aperture)
{
	struct drm_ivgpu_counters now;

	self->small_aperture = true;
	ASSERT_EQ(0, alias_gpu_rebind(&self->gpu, "aperture", "1"));
	ASSERT_EQ(0, fill(self, 8));
	ASSERT_EQ(0, dma_trace_start());
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE,
			     dma_mapped_as(false, 0)));
	EXPECT_EQ(self->alias, dma_trace_count(self->mem, "hmm_alias_refuse",
					       "err=-34") > 0);
	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &now));
	if (self->alias) {
		EXPECT_LT(self->base.alias_refused, now.alias_refused);
		EXPECT_LT(0, dma_trace_count(self->mem, "hmm_alias_refuse",
					     "reason=exporter-refused"));
	}
	EXPECT_EQ(alias_pages(SIZE),
		  now.pages_to_ram - self->base.pages_to_ram);
	EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
	EXPECT_EQ(0, dma_write(self->fd, self->mem + HALF, self->ref + HALF,
			       LEN, 4));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* A transfer by the DMA address that is no longer: it faults, moves nothing. */
static void expect_dead(struct __test_metadata *_metadata,
			struct _test_data_alias_dma *self, uint64_t dma_addr,
			const unsigned char *vram)
{
	/* Without an IOMMU such a transfer would go where the address says. */
	if (self->iommu && !pci_in_bar2(self->gpu.bdf, dma_addr))
		EXPECT_EQ(0, dma_dead(self->fd, &self->faults, dma_addr, vram));
}

/* A page in use, in the middle of the memory: at the start of a huge page. */
struct held {
	unsigned char *mem;
	uint64_t dma_addr;
	unsigned char *vram;
};

/* Everything is mapped for the device, and this page is where it should be. */
static void hold(struct __test_metadata *_metadata,
		 struct _test_data_alias_dma *self, struct held *held)
{
	struct hmm_dma_query query;
	unsigned char buf[BUF];
	char line[512], importer[64];
	unsigned long phys;

	held->mem = self->mem + HALF;
	held->vram = NULL;
	ASSERT_EQ(0, dma_trace_start());
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	ASSERT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
	ASSERT_EQ(0, dma_query(self->fd, held->mem, &query));
	held->dma_addr = query.dma_addr;
	if (self->alias) {
		snprintf(importer, sizeof(importer), "importer=%s", self->bdf);
		ASSERT_LT(0, alias_trace_find(held->mem, "hmm_alias_grant",
					      importer, line, sizeof(line)));
		ASSERT_NE(NULL, strstr(line, " phys="));
		phys = strtoul(strstr(line, " phys=") + 6, NULL, 16);
		held->vram = pci_bar2_map(self->gpu.bdf, phys);
		ASSERT_NE(NULL, held->vram);
		EXPECT_EQ(0, memcmp(held->vram, self->ref + HALF, PAGE));
	}
	dma_trace_stop();

	/* What expect_dead() does not see afterwards, it would see now. */
	ASSERT_EQ(0, dma_xfer(self->fd, held->dma_addr, BUF, HMM_DMA_RAW));
	ASSERT_EQ(0, dma_buf_get(self->fd, buf));
	EXPECT_EQ(0, memcmp(buf, self->ref + HALF, BUF));
	alias_pattern(buf, BUF, 98, 0);
	ASSERT_EQ(0, dma_buf_set(self->fd, buf));
	ASSERT_EQ(0, dma_xfer(self->fd, held->dma_addr, BUF,
			      HMM_DMA_RAW | HMM_DMA_WRITE));
	memcpy(self->ref + HALF, buf, BUF);
	if (held->vram)
		EXPECT_EQ(0, memcmp(held->vram, buf, BUF));
}

/* The page was taken away from the device; @dma_addr leads nowhere. */
static void expect_gone(struct __test_metadata *_metadata,
			struct _test_data_alias_dma *self, struct held *held)
{
	EXPECT_EQ(0, dma_all(self->fd, held->mem, HALF, 0));
	expect_dead(_metadata, self, held->dma_addr, held->vram);
}

static void let_go(struct held *held)
{
	if (held->vram)
		munmap(held->vram, PAGE);
}

/* The device reaches all of the memory, as it is now. */
static void expect_data(struct __test_metadata *_metadata,
			struct _test_data_alias_dma *self)
{
	static const size_t offs[] = { 0, HALF, SIZE - PAGE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offs); i++)
		EXPECT_EQ(0, dma_check(self->fd, self->mem + offs[i],
				       self->ref + offs[i], BUF))
			TH_LOG("offset %#zx", offs[i]);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_F(alias_dma, munmap)
{
	struct held held;

	hold(_metadata, self, &held);
	ASSERT_EQ(0, munmap(held.mem, HALF));
	expect_gone(_metadata, self, &held);
	let_go(&held);
	EXPECT_EQ(-EFAULT, dma_xfer(self->fd, (uintptr_t)held.mem, LEN, 0));

	/* The first half is as it was. */
	EXPECT_EQ(0, dma_all(self->fd, self->mem, HALF, self->mapped));
	ASSERT_EQ(held.mem, mmap(held.mem, HALF, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				 -1, 0));
	memset(held.mem, 0x77, HALF);
	memset(self->ref + HALF, 0x77, HALF);
	expect_data(_metadata, self);
}

TEST_F(alias_dma, mremap)
{
	struct held held;
	size_t map_size;
	void *map, *new;

	hold(_metadata, self, &held);
	new = alias_map(HALF, false, &map, &map_size);
	ASSERT_NE(NULL, new);
	ASSERT_EQ(new, mremap(held.mem, HALF, HALF,
			      MREMAP_MAYMOVE | MREMAP_FIXED, new));
	EXPECT_EQ(0, dma_all(self->fd, held.mem, HALF, 0));
	/* The memory is still there, under another address. */
	expect_dead(_metadata, self, held.dma_addr, held.vram);
	EXPECT_EQ(0, memcmp(new, self->ref + HALF, HALF));
	let_go(&held);
	munmap(map, map_size);
}

/* Where the data goes, the device follows. */
TEST_F_TIMEOUT(alias_dma, migrated, 120)
{
	struct held held;
	size_t i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, fill(self, 40 + i));
		hold(_metadata, self, &held);
		ASSERT_EQ(0, alias_gpu_place(&self->gpu, self->mem, SIZE,
					     IVGPU_PLACE_RAM));
		if (self->alias)
			expect_gone(_metadata, self, &held);
		let_go(&held);
		expect_data(_metadata, self);
	}
}

TEST_F(alias_dma, cpu_access)
{
	struct held held;

	hold(_metadata, self, &held);
	/* Written by the device, last. */
	EXPECT_EQ(0, memcmp(held.mem, self->ref + HALF, HALF));
	if (self->alias)
		expect_gone(_metadata, self, &held);
	let_go(&held);
	expect_data(_metadata, self);
}

/* VRAM is full and somebody else needs it. */
TEST_F_TIMEOUT(alias_dma, evicted, 120)
{
	size_t size = self->gpu.info.vram_size;
	struct held held;
	unsigned char *other;
	size_t map_size;
	void *map;

	hold(_metadata, self, &held);
	if (self->alias) {
		other = alias_map(size, false, &map, &map_size);
		ASSERT_NE(NULL, other);
		ASSERT_EQ(0, alias_gpu_fill(&self->gpu, other, size, 50));
		/* The place may have a new owner: it must not be disturbed. */
		expect_gone(_metadata, self, &held);
		munmap(map, map_size);
	}
	let_go(&held);
	expect_data(_metadata, self);
}

TEST_F(alias_dma, exporter_unbound)
{
	struct held held;

	hold(_metadata, self, &held);
	ASSERT_EQ(0, alias_gpu_bind(self->gpu.bdf, false));
	if (self->alias)
		expect_gone(_metadata, self, &held);
	let_go(&held);
	expect_data(_metadata, self);
	ASSERT_EQ(0, alias_gpu_bind(self->gpu.bdf, true));
	alias_gpu_close(&self->gpu);
	ASSERT_EQ(0, alias_gpu_open(&self->gpu, 0));
	ASSERT_EQ(0, fill(self, 6));
	EXPECT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
	expect_data(_metadata, self);
}

/* The device itself goes away, and comes back. */
TEST_F(alias_dma, exporter_unplugged)
{
	struct held held;

	hold(_metadata, self, &held);
	let_go(&held);
	held.vram = NULL;
	ASSERT_EQ(0, pci_remove(self->gpu.bdf));
	if (self->alias)
		expect_gone(_metadata, self, &held);
	expect_data(_metadata, self);
	alias_gpu_close(&self->gpu);
	ASSERT_EQ(0, pci_rescan());
	ASSERT_EQ(0, alias_gpu_open(&self->gpu, 0));
	ASSERT_EQ(0, fill(self, 6));
	EXPECT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
	expect_data(_metadata, self);
}

/* The file of an importer that is gone is of no use, and does no harm. */
static void expect_orphan(struct __test_metadata *_metadata,
			  struct _test_data_alias_dma *self)
{
	struct hmm_dma_query query;

	EXPECT_EQ(-ENODEV, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(-ENODEV, dma_query(self->fd, self->mem, &query));
	EXPECT_EQ(-ENODEV, dma_xfer(self->fd, (uintptr_t)self->mem, LEN, 0));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* Back again; the old file is closed only now. */
static void reopen(struct __test_metadata *_metadata,
		   struct _test_data_alias_dma *self, struct held *held)
{
	int fd = dma_open(self->bdf);

	ASSERT_LE(0, fd);
	close(self->fd);
	self->fd = fd;
	expect_dead(_metadata, self, held->dma_addr, held->vram);
	let_go(held);
	ASSERT_EQ(0, fill(self, 7));
	ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
	EXPECT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
	expect_data(_metadata, self);
}

TEST_F(alias_dma, importer_closed)
{
	struct held held;

	hold(_metadata, self, &held);
	close(self->fd);
	self->fd = dma_open(self->bdf);
	reopen(_metadata, self, &held);
}

TEST_F(alias_dma, importer_unbound)
{
	struct held held;

	hold(_metadata, self, &held);
	ASSERT_EQ(0, alias_write(DMA_DRIVER "unbind", self->bdf));
	expect_orphan(_metadata, self);
	ASSERT_EQ(0, alias_write(DMA_DRIVER "bind", self->bdf));
	expect_orphan(_metadata, self);
	reopen(_metadata, self, &held);
}

TEST_F(alias_dma, importer_unplugged)
{
	struct held held;

	hold(_metadata, self, &held);
	ASSERT_EQ(0, pci_remove(self->bdf));
	expect_orphan(_metadata, self);
	ASSERT_EQ(0, pci_rescan());
	expect_orphan(_metadata, self);
	reopen(_metadata, self, &held);
}

struct traffic {
	int fd;
	unsigned char *mem;
	bool stop;
	unsigned long count;
	int error;
};

/* Writes pieces to the second half and reads of the first, until it fails. */
static void *traffic(void *arg)
{
	struct traffic *t = arg;
	size_t i = 0;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED) && !t->error) {
		size_t off = i++ * 37 * PAGE % SIZE;

		t->error = dma_xfer(t->fd, (uintptr_t)t->mem + off, BUF,
				    off < HALF ? 0 : HMM_DMA_WRITE);
		if (!t->error)
			__atomic_add_fetch(&t->count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* With a transfer on its way all the time, everything moves and goes away. */
TEST_F_TIMEOUT(alias_dma, in_flight, 120)
{
	const struct timespec beat = { .tv_nsec = 150000000 };
	struct traffic t = { .fd = self->fd, .mem = self->mem };
	unsigned char zero[BUF] = { 0 };
	pthread_t thread;
	size_t i, j;

	/* What the device writes is what is there: no write can be seen. */
	memset(self->mem, 0, SIZE);
	ASSERT_EQ(0, dma_buf_set(self->fd, zero));
	ASSERT_EQ(0, pthread_create(&thread, NULL, traffic, &t));
	for (i = 0; i < 6; i++) {
		/* Best effort: a transfer may hold a page back. */
		EXPECT_LE(0, alias_gpu_place(&self->gpu, self->mem, SIZE,
					     IVGPU_PLACE_VRAM));
		nanosleep(&beat, NULL);
		EXPECT_EQ(0, alias_gpu_place(&self->gpu, self->mem, SIZE,
					     IVGPU_PLACE_RAM));
		nanosleep(&beat, NULL);
	}
	EXPECT_LE(0, alias_gpu_place(&self->gpu, self->mem, SIZE,
				     IVGPU_PLACE_VRAM));
	nanosleep(&beat, NULL);
	ASSERT_EQ(0, alias_gpu_bind(self->gpu.bdf, false));
	nanosleep(&beat, NULL);
	ASSERT_EQ(0, alias_gpu_bind(self->gpu.bdf, true));
	alias_gpu_close(&self->gpu);
	ASSERT_EQ(0, alias_gpu_open(&self->gpu, 0));
	EXPECT_LE(0, alias_gpu_place(&self->gpu, self->mem, SIZE,
				     IVGPU_PLACE_VRAM));
	nanosleep(&beat, NULL);
	EXPECT_EQ(0, __atomic_load_n(&t.error, __ATOMIC_RELAXED));

	ASSERT_EQ(0, pci_remove(self->bdf));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(-ENODEV, t.error);
	EXPECT_LT(3, t.count);
	ASSERT_EQ(0, pci_rescan());
	for (i = 0, j = 0; i < SIZE; i++)
		j += self->mem[i];
	EXPECT_EQ(0, j);
}

TEST_HARNESS_MAIN
