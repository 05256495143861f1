// SPDX-License-Identifier: GPL-2.0
/*
 * Aliases of huge device-private folios: answered and mapped whole, until the
 * program takes a part of one away; then page by page, still in place.
 */
#include <sys/wait.h>

#include "fixture.h"

#define HUGE		(2 * MIB)
#define SIZE		(2 * HUGE)
#define PIECE		(HUGE / 4)

/*
 * The first huge page is left alone, the second one, @huge, loses a part: at
 * least the page in its middle, which is at @dma_addr for the device and @vram
 * in the exporter's BAR.
 */
FIXTURE(dma_huge) {
	struct dma_env env;
	unsigned char *huge;
	uint64_t dma_addr;
	unsigned char *vram;
};

FIXTURE_VARIANT(dma_huge) {
	uint64_t flags;
};

FIXTURE_VARIANT_ADD(dma_huge, small_entries) {
	.flags = HMM_DMA_ALLOW_P2P,
};

FIXTURE_VARIANT_ADD(dma_huge, huge_entries) {
	.flags = HMM_DMA_ALLOW_P2P | HMM_DMA_HUGE,
};

/* So much VRAM is in use, and all of it is aliased. */
static int in_use(struct gpu *gpu, size_t size)
{
	const uint64_t pages = nr_pages(size);
	struct drm_ivgpu_counters now;
	int ret = gpu_wait_freed(gpu, pages, pages, &now);

	if (!ret && now.vram_pages_used == pages &&
	    now.alias_pages_live == pages)
		return 0;
	fprintf(stderr, "# %llu pages used, %llu aliased, want %zu\n",
		now.vram_pages_used, now.alias_pages_live, nr_pages(size));
	return ret ? ret : -EDQUOT;
}

/* Times that an IOVA was mapped at a go in this size. */
static int iommu_maps(uint64_t iova, size_t size)
{
	char line[512], from[64], len[64];
	FILE *f = fopen(TRACEFS "trace", "r");
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

FIXTURE_SETUP(dma_huge)
{
	const bool huge = variant->flags & HMM_DMA_HUGE;
	struct dma_env *env = &self->env;
	struct hmm_dma_query query;
	char line[512];
	size_t off;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_EQ(0, dma_env_open(env, SIZE, true, true, variant->flags));
	ASSERT_TRUE(env->alias);
	/* A bus address is none of the IOMMU's. */
	env->iommu = env->iommu && env->reach == THRU_HOST_BRIDGE;
	self->huge = env->mem + HUGE;

	/* One answer and one mapping for each, however small the entries */
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, trace_write("events/iommu/map/enable", "1"));
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	trace_write("events/iommu/map/enable", "0");
	trace_stop();
	ASSERT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped |
				       (huge ? HMM_DMA_PAGE_HUGE : 0)));
	for (off = 0; off < SIZE; off += HUGE) {
		ASSERT_EQ(1, trace_find(env->mem + off, "hmm_alias_grant",
					"pages=512", line, sizeof(line)));
		ASSERT_EQ(0, dma_query(env->fd, env->mem + off, &query));
		if (env->iommu)
			ASSERT_EQ(1, iommu_maps(query.dma_addr,
						huge ? HUGE : PAGE));
	}
	ASSERT_EQ(0, in_use(&env->gpu, SIZE));

	/* The page in the middle of the second, which all tests take away */
	ASSERT_EQ(0, dma_query(env->fd, self->huge + HUGE / 2, &query));
	self->dma_addr = query.dma_addr;
	ASSERT_NE(NULL, strstr(line, " phys="));
	self->vram = pci_bar2_map(env->gpu.bdf, HUGE / 2 +
				  strtoul(strstr(line, " phys=") + 6, NULL,
					  16));
	ASSERT_NE(NULL, self->vram);
	ASSERT_EQ(0, memcmp(self->vram, env->ref + HUGE + HUGE / 2, PAGE));

	for (off = 0; off < SIZE; off += HUGE) {
		EXPECT_EQ(0, dma_check(env->fd, env->mem + off,
				       env->ref + off, LEN));
		EXPECT_EQ(0, dma_write(env->fd, env->mem + off + HUGE - LEN,
				       env->ref + off + HUGE - LEN, LEN, 2));
	}
}

FIXTURE_TEARDOWN(dma_huge)
{
	struct dma_env *env = &self->env;

	close(env->fd);
	env->fd = -1;
	munmap(self->vram, PAGE);
	munmap(env->map, env->map_size);
	env->map = NULL;
	EXPECT_EQ(0, in_use(&env->gpu, 0));
	EXPECT_EQ(0, dma_env_close(env));
}

/*
 * The page in the middle was just taken away from the device, and with it, if
 * they have one entry, all of the huge page. It was no page of the first one.
 */
static void expect_taken(struct __test_metadata *_metadata,
			 struct _test_data_dma_huge *self, uint64_t flags)
{
	const bool huge = flags & HMM_DMA_HUGE;
	const uint64_t other = self->dma_addr + (huge ? HUGE / 2 - PAGE : 0);
	struct dma_env *env = &self->env;

	EXPECT_EQ(0, dma_all_mapped_as(env->fd, self->huge + HUGE / 2, PAGE,
				       0));
	if (huge)
		EXPECT_EQ(0, dma_all_mapped_as(env->fd, self->huge, HUGE, 0));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, HUGE, env->mapped |
				       (huge ? HMM_DMA_PAGE_HUGE : 0)));
	if (!env->iommu)
		return;
	EXPECT_EQ(0, dma_expect_fault(env->fd, &env->faults, self->dma_addr,
				      self->vram));
	if (huge)
		EXPECT_EQ(0, dma_expect_fault(env->fd, &env->faults, other,
					      NULL));
}

/* These pages of the second one are where they were, mapped one by one. */
static void expect_pages(struct __test_metadata *_metadata,
			 struct _test_data_dma_huge *self, size_t off,
			 size_t size)
{
	struct dma_env *env = &self->env;
	unsigned char *mem = self->huge + off, *ref = env->ref + HUGE + off;
	struct drm_ivgpu_counters now;
	uint64_t sum;

	EXPECT_EQ(0, dma_fault(env->fd, mem, size, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, mem, size, env->mapped));
	EXPECT_EQ(0, dma_check(env->fd, mem, ref, LEN));
	EXPECT_EQ(0, dma_write(env->fd, mem + size - LEN, ref + size - LEN,
			       LEN, 3 + off));
	EXPECT_EQ(0, gpu_sum(&env->gpu, mem, size, IVGPU_JOB_FLAG_VRAM_ONLY,
			     &sum));
	EXPECT_EQ(pattern_sum(ref, size, 0), sum);
	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	EXPECT_EQ(0, now.pages_to_ram - env->base.pages_to_ram);
}

/* VRAM comes back when the last page that was migrated together is freed. */
TEST_F_TIMEOUT(dma_huge, munmap, 60)
{
	struct dma_env *env = &self->env;

	ASSERT_EQ(0, munmap(self->huge + PIECE, HUGE / 2));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	expect_pages(_metadata, self, 0, PIECE);
	expect_pages(_metadata, self, HUGE - PIECE, PIECE);
	EXPECT_EQ(-EFAULT, dma_fault(env->fd, self->huge + HUGE / 2, PAGE,
				     NULL));
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	EXPECT_EQ(0, memcmp(self->huge, env->ref + HUGE, PIECE));
	EXPECT_EQ(0, memcmp(self->huge + HUGE - PIECE,
			    env->ref + SIZE - PIECE, PIECE));
}

TEST_F_TIMEOUT(dma_huge, mremap, 60)
{
	struct dma_env *env = &self->env;
	unsigned char *from = self->huge + HUGE / 2;
	size_t map_size;
	void *map, *to;
	int fd;

	to = map_aligned(HUGE, false, &map, &map_size);
	ASSERT_NE(NULL, to);
	to += PAGE;
	ASSERT_EQ(to, mremap(from, HUGE / 2, HUGE / 2,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	expect_pages(_metadata, self, 0, HUGE / 2);

	/* What has moved is an alias at its new address. */
	fd = dma_open(env->bdf);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, dma_register(fd, to, HUGE / 2));
	EXPECT_EQ(0, dma_fault(fd, to, HUGE / 2, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(fd, to, HUGE / 2, env->mapped));
	EXPECT_EQ(0, dma_check(fd, to, env->ref + HUGE + HUGE / 2, LEN));
	EXPECT_EQ(0, dma_write(fd, to + HUGE / 2 - LEN,
			       env->ref + SIZE - LEN, LEN, 4));
	EXPECT_EQ(0, memcmp(self->vram, env->ref + HUGE + HUGE / 2, PAGE));
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	EXPECT_EQ(0, memcmp(to, env->ref + HUGE + HUGE / 2, HUGE / 2));
	close(fd);
	munmap(map, map_size);
}

TEST_F_TIMEOUT(dma_huge, dontneed, 60)
{
	struct dma_env *env = &self->env;
	unsigned char *page = self->huge + HUGE / 2;

	ASSERT_EQ(0, madvise(page, PAGE, MADV_DONTNEED));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	memset(env->ref + HUGE + HUGE / 2, 0, PAGE);

	/* Around the hole, which the fault fills with RAM */
	EXPECT_EQ(0, dma_fault(env->fd, self->huge, HUGE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, page, PAGE, DMA_MAPPED_RAM));
	expect_pages(_metadata, self, 0, HUGE / 2);
	expect_pages(_metadata, self, HUGE / 2 + PAGE, HUGE / 2 - PAGE);
	EXPECT_EQ(0, dma_check(env->fd, page, env->ref + HUGE + HUGE / 2,
			       LEN));
	EXPECT_EQ(0, dma_write(env->fd, page, env->ref + HUGE + HUGE / 2, LEN,
			       5));
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_F_TIMEOUT(dma_huge, mprotect, 60)
{
	struct dma_env *env = &self->env;
	unsigned char *ro = self->huge + HUGE / 2;

	ASSERT_EQ(0, mprotect(ro, HUGE / 2, PROT_READ));
	expect_taken(_metadata, self, variant->flags);
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	expect_pages(_metadata, self, 0, HUGE / 2);
	EXPECT_EQ(0, dma_check(env->fd, ro, env->ref + HUGE + HUGE / 2,
			       LEN));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, ro, PAGE,
				       env->mapped & ~HMM_DMA_PAGE_WRITE));
	EXPECT_EQ(-EPERM, dma_xfer(env->fd, (uintptr_t)ro, LEN,
				   HMM_DMA_WRITE));
	ASSERT_EQ(0, mprotect(ro, HUGE / 2, PROT_READ | PROT_WRITE));

	/* The entries stay read-only until a fault, which is a fault to RAM. */
	EXPECT_EQ(0, dma_check(env->fd, ro + HUGE / 2 - PAGE,
			       env->ref + SIZE - PAGE, LEN));
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	EXPECT_EQ(0, dma_write(env->fd, ro, env->ref + HUGE + HUGE / 2, LEN,
			       7));
	EXPECT_EQ(0, in_use(&env->gpu, HUGE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* The child still has what was there when it was forked. */
TEST_F_TIMEOUT(dma_huge, fork, 60)
{
	struct dma_env *env = &self->env;
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
		_exit(!!memcmp(env->mem, env->ref, SIZE));
	}
	close(go[0]);

	/* Nobody may write to what is shared; reading is done in place. */
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, 0));
	if (env->iommu)
		EXPECT_EQ(0, dma_expect_fault(env->fd, &env->faults,
					      self->dma_addr, self->vram));
	EXPECT_EQ(0, in_use(&env->gpu, SIZE));
	EXPECT_EQ(0, dma_check(env->fd, self->huge, env->ref + HUGE, LEN));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, self->huge, PAGE,
				       (env->mapped & ~HMM_DMA_PAGE_WRITE) |
				       (variant->flags & HMM_DMA_HUGE ?
					HMM_DMA_PAGE_HUGE : 0)));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	EXPECT_EQ(0, now.pages_to_ram - env->base.pages_to_ram);

	EXPECT_EQ(0, dma_write(env->fd, self->huge + HUGE / 2,
			       env->ref + HUGE + HUGE / 2, LEN, 6));
	EXPECT_EQ(0, in_use(&env->gpu, HUGE));
	EXPECT_EQ(0, dma_check(env->fd, self->huge, env->ref + HUGE, LEN));
	EXPECT_EQ(0, dma_check(env->fd, self->huge + HUGE / 2,
			       env->ref + HUGE + HUGE / 2, LEN));

	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_HARNESS_MAIN
