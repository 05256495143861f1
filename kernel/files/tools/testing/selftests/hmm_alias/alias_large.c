// SPDX-License-Identifier: GPL-2.0
/*
 * Aliases of huge device-private folios: answered and mapped whole, until the
 * program takes a part of one away; then page by page, still in place.
 */
#include <sys/wait.h>

#include "alias_test.h"
#include "dma_env.h"

#define HUGE		(2 * MIB)
#define SIZE		(2 * HUGE)
#define PIECE		(HUGE / 4)
#define LEN		1501

/*
 * The first huge page is left alone, the second one loses a part.
 */
FIXTURE(alias_large) {
	struct alias_gpu gpu;
	const char *bdf;
	int fd;
	bool iommu;
	uint64_t mapped;
	unsigned char *mem;
	unsigned char *ref;
	unsigned char *huge;
	void *map;
	size_t map_size;
	struct drm_ivgpu_counters base;
	struct dma_faults faults;
	uint64_t dma_addr;
	unsigned char *vram;
};

FIXTURE_VARIANT(alias_large) {
	uint64_t flags;
};

FIXTURE_VARIANT_ADD(alias_large, small_entries) {
	.flags = HMM_DMA_ALLOW_P2P,
};

FIXTURE_VARIANT_ADD(alias_large, huge_entries) {
	.flags = HMM_DMA_ALLOW_P2P | HMM_DMA_HUGE,
};

/* Counters follow when a worker has freed what was used last. */
static int in_use(struct alias_gpu *gpu, size_t size)
{
	struct drm_ivgpu_counters now;
	int ret, tries;

	for (tries = 200; tries; tries--) {
		ret = alias_gpu_counters(gpu, &now);
		if (ret)
			return ret;
		if (now.vram_pages_used == alias_pages(size) &&
		    now.alias_pages_live == alias_pages(size))
			return 0;
		usleep(10000);
	}
	fprintf(stderr, "# %llu pages used, %llu aliased, want %zu\n",
		now.vram_pages_used, now.alias_pages_live, alias_pages(size));
	return -EDQUOT;
}

/* Times that an IOVA was mapped at a go in this size. */
static int iommu_maps(uint64_t iova, size_t size)
{
	char line[512], from[64], len[64];
	FILE *f = fopen(ALIAS_TRACE "trace", "r");
	int n = 0;

	if (!f)
		return -errno;
	snprintf(from, sizeof(from), " map: IOMMU: iova=0x%016llx ",
		 (unsigned long long)iova);
	snprintf(len, sizeof(len), " size=%zu\n", size);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, from) && strstr(line, len);
	fclose(f);
	return n;
}

FIXTURE_SETUP(alias_large)
{
	const bool huge = variant->flags & HMM_DMA_HUGE;
	struct hmm_dma_query query;
	char line[512];
	int verdict;
	size_t off;

	self->bdf = getenv("DMA0");
	if (!getenv("GPU0") || !self->bdf)
		SKIP(return, "GPU0 and DMA0 are not set");
	ASSERT_EQ(0, alias_gpu_open(&self->gpu, 0));
	ASSERT_STREQ(getenv("GPU0"), self->gpu.bdf);
	verdict = dma_verdict("GPU0", "DMA0");
	ASSERT_LE(0, verdict);
	ASSERT_TRUE(dma_allowed(verdict));
	self->mapped = dma_mapped_as(true, verdict);
	self->iommu = verdict == THRU_HOST_BRIDGE && pci_translated(self->bdf);
	ASSERT_EQ(0, dma_faults_open(&self->faults, self->bdf));

	self->mem = alias_map(SIZE, true, &self->map, &self->map_size);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->mem);
	ASSERT_NE(NULL, self->ref);
	self->huge = self->mem + HUGE;
	ASSERT_EQ(0, alias_gpu_fill(&self->gpu, self->mem, SIZE, 1));
	alias_pattern(self->ref, SIZE, 1, 0);
	ASSERT_EQ(alias_pages(SIZE), alias_gpu_place(&self->gpu, self->mem,
						     SIZE, IVGPU_PLACE_VRAM));
	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &self->base));

	/* One answer and one mapping for each, however small the entries */
	self->fd = dma_open(self->bdf);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, dma_register_as(self->fd, self->mem, SIZE,
				     variant->flags));
	ASSERT_EQ(0, dma_trace_start());
	ASSERT_EQ(0, alias_trace_write("events/iommu/map/enable", "1"));
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	alias_trace_write("events/iommu/map/enable", "0");
	dma_trace_stop();
	ASSERT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped |
			     (huge ? HMM_DMA_PAGE_HUGE : 0)));
	for (off = 0; off < SIZE; off += HUGE) {
		ASSERT_EQ(1, alias_trace_find(self->mem + off,
					      "hmm_alias_grant", "pages=512",
					      line, sizeof(line)));
		ASSERT_EQ(0, dma_query(self->fd, self->mem + off, &query));
		if (self->iommu)
			ASSERT_EQ(1, iommu_maps(query.dma_addr,
						huge ? HUGE : PAGE));
	}
	ASSERT_EQ(0, in_use(&self->gpu, SIZE));

	/* The page in the middle of the second, which all tests take away */
	ASSERT_EQ(0, dma_query(self->fd, self->huge + HUGE / 2, &query));
	self->dma_addr = query.dma_addr;
	ASSERT_NE(NULL, strstr(line, " phys="));
	self->vram = pci_bar2_map(self->gpu.bdf, HUGE / 2 +
				  strtoul(strstr(line, " phys=") + 6, NULL,
					  16));
	ASSERT_NE(NULL, self->vram);
	ASSERT_EQ(0, memcmp(self->vram, self->ref + HUGE + HUGE / 2, PAGE));

	for (off = 0; off < SIZE; off += HUGE) {
		EXPECT_EQ(0, dma_check(self->fd, self->mem + off,
				       self->ref + off, LEN));
		EXPECT_EQ(0, dma_write(self->fd, self->mem + off + HUGE - LEN,
				       self->ref + off + HUGE - LEN, LEN, 2));
	}
}

FIXTURE_TEARDOWN(alias_large)
{
	EXPECT_EQ(0, dma_faults_close(&self->faults));
	close(self->fd);
	munmap(self->vram, PAGE);
	munmap(self->map, self->map_size);
	free(self->ref);
	EXPECT_EQ(0, in_use(&self->gpu, 0));
	alias_gpu_close(&self->gpu);
}

/*
 * The page in the middle was just taken away from the device, and with it, if
 * they have one entry, all of the huge page. It was no page of the first one.
 */
static void expect_taken(struct __test_metadata *_metadata,
			 struct _test_data_alias_large *self, uint64_t flags)
{
	const bool huge = flags & HMM_DMA_HUGE;
	const uint64_t other = self->dma_addr + (huge ? HUGE / 2 - PAGE : 0);

	EXPECT_EQ(0, dma_all(self->fd, self->huge + HUGE / 2, PAGE, 0));
	if (huge)
		EXPECT_EQ(0, dma_all(self->fd, self->huge, HUGE, 0));
	EXPECT_EQ(0, dma_all(self->fd, self->mem, HUGE, self->mapped |
			     (huge ? HMM_DMA_PAGE_HUGE : 0)));
	if (!self->iommu)
		return;
	EXPECT_EQ(0, dma_dead(self->fd, &self->faults, self->dma_addr,
			      self->vram));
	if (huge)
		EXPECT_EQ(0, dma_dead(self->fd, &self->faults, other, NULL));
}

/* These pages of the second one are where they were, mapped one by one. */
static void expect_pages(struct __test_metadata *_metadata,
			 struct _test_data_alias_large *self, size_t off,
			 size_t size)
{
	unsigned char *mem = self->huge + off, *ref = self->ref + HUGE + off;
	struct drm_ivgpu_counters now;
	uint64_t sum;

	EXPECT_EQ(0, dma_fault(self->fd, mem, size, NULL));
	EXPECT_EQ(0, dma_all(self->fd, mem, size, self->mapped));
	EXPECT_EQ(0, dma_check(self->fd, mem, ref, LEN));
	EXPECT_EQ(0, dma_write(self->fd, mem + size - LEN, ref + size - LEN,
			       LEN, 3 + off));
	EXPECT_EQ(0, alias_gpu_sum(&self->gpu, mem, size,
				   IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
	EXPECT_EQ(alias_sum(ref, size, 0), sum);
	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &now));
	EXPECT_EQ(0, now.pages_to_ram - self->base.pages_to_ram);
}

/* VRAM comes back when the last page that was migrated together is freed. */
TEST_F_TIMEOUT(alias_large, munmap, 60)
{
	ASSERT_EQ(0, munmap(self->huge + PIECE, HUGE / 2));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	expect_pages(_metadata, self, 0, PIECE);
	expect_pages(_metadata, self, HUGE - PIECE, PIECE);
	EXPECT_EQ(-EFAULT, dma_fault(self->fd, self->huge + HUGE / 2, PAGE,
				     NULL));
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	EXPECT_EQ(0, memcmp(self->huge, self->ref + HUGE, PIECE));
	EXPECT_EQ(0, memcmp(self->huge + HUGE - PIECE,
			    self->ref + SIZE - PIECE, PIECE));
}

TEST_F_TIMEOUT(alias_large, mremap, 60)
{
	unsigned char *from = self->huge + HUGE / 2;
	size_t map_size;
	void *map, *to;
	int fd;

	to = alias_map(HUGE, false, &map, &map_size);
	ASSERT_NE(NULL, to);
	to += PAGE;
	ASSERT_EQ(to, mremap(from, HUGE / 2, HUGE / 2,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	expect_pages(_metadata, self, 0, HUGE / 2);

	/* What has moved is an alias at its new address. */
	fd = dma_open(self->bdf);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, dma_register(fd, to, HUGE / 2));
	EXPECT_EQ(0, dma_fault(fd, to, HUGE / 2, NULL));
	EXPECT_EQ(0, dma_all(fd, to, HUGE / 2, self->mapped));
	EXPECT_EQ(0, dma_check(fd, to, self->ref + HUGE + HUGE / 2, LEN));
	EXPECT_EQ(0, dma_write(fd, to + HUGE / 2 - LEN,
			       self->ref + SIZE - LEN, LEN, 4));
	EXPECT_EQ(0, memcmp(self->vram, self->ref + HUGE + HUGE / 2, PAGE));
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	EXPECT_EQ(0, memcmp(to, self->ref + HUGE + HUGE / 2, HUGE / 2));
	close(fd);
	munmap(map, map_size);
}

TEST_F_TIMEOUT(alias_large, dontneed, 60)
{
	unsigned char *page = self->huge + HUGE / 2;

	ASSERT_EQ(0, madvise(page, PAGE, MADV_DONTNEED));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	memset(self->ref + HUGE + HUGE / 2, 0, PAGE);

	/* Around the hole, which the fault fills with RAM */
	EXPECT_EQ(0, dma_fault(self->fd, self->huge, HUGE, NULL));
	EXPECT_EQ(0, dma_all(self->fd, page, PAGE, dma_mapped_as(false, 0)));
	expect_pages(_metadata, self, 0, HUGE / 2);
	expect_pages(_metadata, self, HUGE / 2 + PAGE, HUGE / 2 - PAGE);
	EXPECT_EQ(0, dma_check(self->fd, page, self->ref + HUGE + HUGE / 2,
			       LEN));
	EXPECT_EQ(0, dma_write(self->fd, page, self->ref + HUGE + HUGE / 2, LEN,
			       5));
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_F_TIMEOUT(alias_large, mprotect, 60)
{
	unsigned char *ro = self->huge + HUGE / 2;

	ASSERT_EQ(0, mprotect(ro, HUGE / 2, PROT_READ));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	expect_pages(_metadata, self, 0, HUGE / 2);
	EXPECT_EQ(0, dma_check(self->fd, ro, self->ref + HUGE + HUGE / 2,
			       LEN));
	EXPECT_EQ(0, dma_all(self->fd, ro, PAGE,
			     self->mapped & ~HMM_DMA_PAGE_WRITE));
	EXPECT_EQ(-EPERM, dma_xfer(self->fd, (uintptr_t)ro, LEN,
				   HMM_DMA_WRITE));
	ASSERT_EQ(0, mprotect(ro, HUGE / 2, PROT_READ | PROT_WRITE));

	/* The entries stay read-only until a fault, which is a fault to RAM. */
	EXPECT_EQ(0, dma_check(self->fd, ro + HUGE / 2 - PAGE,
			       self->ref + SIZE - PAGE, LEN));
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	EXPECT_EQ(0, dma_write(self->fd, ro, self->ref + HUGE + HUGE / 2, LEN,
			       7));
	EXPECT_EQ(0, in_use(&self->gpu, HUGE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* The child still has what was there when it was forked. */
TEST_F_TIMEOUT(alias_large, fork, 60)
{
	struct drm_ivgpu_counters now;
	int go[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		close(go[1]);
		if (read(go[0], &status, 1) != 0)
			_exit(2);
		_exit(!!memcmp(self->mem, self->ref, SIZE));
	}
	close(go[0]);

	/* Nobody may write to what is shared; reading is done in place. */
	EXPECT_EQ(0, dma_all(self->fd, self->mem, SIZE, 0));
	if (self->iommu)
		EXPECT_EQ(0, dma_dead(self->fd, &self->faults, self->dma_addr,
				      self->vram));
	EXPECT_EQ(0, in_use(&self->gpu, SIZE));
	EXPECT_EQ(0, dma_check(self->fd, self->huge, self->ref + HUGE, LEN));
	EXPECT_EQ(0, dma_all(self->fd, self->huge, PAGE,
			     (self->mapped & ~HMM_DMA_PAGE_WRITE) |
			     (variant->flags & HMM_DMA_HUGE ?
			      HMM_DMA_PAGE_HUGE : 0)));
	ASSERT_EQ(0, alias_gpu_counters(&self->gpu, &now));
	EXPECT_EQ(0, now.pages_to_ram - self->base.pages_to_ram);

	EXPECT_EQ(0, dma_write(self->fd, self->huge + HUGE / 2,
			       self->ref + HUGE + HUGE / 2, LEN, 6));
	EXPECT_EQ(0, in_use(&self->gpu, HUGE));
	EXPECT_EQ(0, dma_check(self->fd, self->huge, self->ref + HUGE, LEN));
	EXPECT_EQ(0, dma_check(self->fd, self->huge + HUGE / 2,
			       self->ref + HUGE + HUGE / 2, LEN));

	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_HARNESS_MAIN
