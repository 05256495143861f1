// SPDX-License-Identifier: GPL-2.0
/*
 * DMA to device memory whose alias cannot be mapped or is not granted: the
 * importer gets RAM, and the next request begins anew.
 */
#include "fixture.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)

FIXTURE(dma_errors) {
	struct dma_env env;
	bool narrow;
	bool small_aperture;
};

FIXTURE_VARIANT(dma_errors) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(dma_errors, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(dma_errors, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(dma_errors, refused_pte) { };

FIXTURE_SETUP(dma_errors)
{
	struct dma_env *env = &self->env;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_EQ(0, dma_env_open(env, SIZE, variant->consent, variant->thp,
				  HMM_DMA_ALLOW_P2P));
	ASSERT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, 0));
}

FIXTURE_TEARDOWN(dma_errors)
{
	struct dma_env *env = &self->env;

	close(env->fd);
	env->fd = -1;
	if (self->narrow)
		EXPECT_EQ(0, dma_rebind(env->bdf, "64"));
	if (self->small_aperture)
		EXPECT_EQ(0, gpu_rebind(&env->gpu, "aperture", "0"));
	EXPECT_EQ(0, dma_env_close(env));
	gpu_consent(true);
}

/* The alias of one page cannot be mapped: RAM is asked for, once, for it. */
TEST_F(dma_errors, late_failure)
{
	struct dma_env *env = &self->env;
	const uint64_t ram = DMA_MAPPED_RAM;
	unsigned char *fail = env->mem + 5 * PAGE;
	struct drm_ivgpu_counters now;
	struct hmm_dma_query query;
	uint64_t sum;

	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, fail));
	EXPECT_EQ(env->alias, trace_count(NULL, "hmm_alias_map_fail",
					  "reason=no-fabric"));
	ASSERT_EQ(0, dma_query(env->fd, fail, &query));
	EXPECT_EQ(ram, query.flags);
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem + HALF, HALF,
				       env->mapped));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	if (env->alias) {
		/* The exporter may move the neighbours too, up to 2 MiB. */
		EXPECT_LT(0, now.pages_to_ram - env->base.pages_to_ram);
		EXPECT_GE(nr_pages(HALF),
			  now.pages_to_ram - env->base.pages_to_ram);
		EXPECT_EQ(0, gpu_sum(&env->gpu, env->mem + HALF, HALF,
				     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
		EXPECT_EQ(pattern_sum(env->ref + HALF, HALF, 0), sum);
	}
	EXPECT_EQ(0, dma_check(env->fd, fail, env->ref + 5 * PAGE, LEN));
	EXPECT_EQ(0, dma_write(env->fd, fail, env->ref + 5 * PAGE, LEN, 4));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));

	/* The next request is a new one. */
	ASSERT_EQ(0, dma_env_fill(env, 5));
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
}

/* The memory is registered anew, with addresses of so many bits. */
static int narrow(struct dma_env *env, const char *bits)
{
	int ret;

	close(env->fd);
	ret = dma_rebind(env->bdf, bits);
	if (ret)
		return ret;
	env->fd = dma_open(env->bdf);
	return env->fd < 0 ? env->fd :
		dma_register(env->fd, env->mem, SIZE);
}

/*
 * The BAR is above 2 GiB, and the importer's addresses are not, unless an IOMMU
 * translates them. That is known before an alias is granted.
 */
TEST_F(dma_errors, narrow_mask)
{
	struct dma_env *env = &self->env;
	bool alias = env->alias && env->iommu && env->reach != BUS_ADDR;
	struct drm_ivgpu_counters now;
	char importer[64];

	snprintf(importer, sizeof(importer), "importer=%s", env->bdf);
	self->narrow = true;
	/* With an IOMMU, HMM needs a device that has 32 bits. */
	if (env->iommu)
		EXPECT_EQ(-EOPNOTSUPP, narrow(env, "31"));
	ASSERT_EQ(0, narrow(env, env->iommu ? "32" : "31"));
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE,
				       alias ? env->mapped : DMA_MAPPED_RAM));
	EXPECT_EQ(0, trace_count(NULL, "hmm_alias_map_fail", importer));
	EXPECT_EQ(alias, trace_count(env->mem, "hmm_alias_grant",
				     importer) > 0);
	if (env->alias && !alias)
		EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
					 "reason=no-fabric"));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	EXPECT_EQ(alias ? 0 : nr_pages(SIZE),
		  now.pages_to_ram - env->base.pages_to_ram);
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, BUF));
	EXPECT_EQ(0, dma_write(env->fd, env->mem + HALF, env->ref + HALF,
			       LEN, 4));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

#define HOGS	8	/* per size */

/*
 * Registers memory until a device of 32 bits has no IOVA left but in pieces
 * below 1 MiB; what those are is then mapped page by page. Returns 0 when not
 * one page is left.
 */
static int hog(struct dma_env *env, int *fds, size_t n,
	       unsigned char *mem, unsigned char *rest, size_t rest_size)
{
	size_t size = 1024 * MIB, i, off;
	int ret = 0;

	for (i = 0; !ret && i < n - 1; i++) {
		fds[i] = dma_open(env->bdf);
		ret = dma_register(fds[i], mem, size);
		if (i % HOGS == HOGS - 1)
			size /= 2;
	}
	fds[i] = dma_open(env->bdf);
	if (!ret)
		ret = dma_register(fds[i], rest, rest_size);
	for (off = 0; !ret && off < rest_size; off += 16 * PAGE)
		ret = dma_fault(fds[i], rest + off, 16 * PAGE, NULL);
	return ret == -EIO ? 0 : ret ? ret : -ENOSPC;
}

/*
 * With no IOVA left, neither aliases nor RAM can be mapped: the fault fails,
 * nothing else does, and the MR works again when there is IOVA.
 */
TEST_F_TIMEOUT(dma_errors, iova_exhausted, 120)
{
	struct dma_env *env = &self->env;
	const size_t big = 1024 * MIB, rest_size = 16 * MIB;
	int fds[11 * HOGS + 1];
	struct hmm_dma_query query, next;
	unsigned char *rest;
	void *all, *map;
	size_t map_size, i, round;

	if (!env->iommu || env->reach == BUS_ADDR)
		SKIP(return, "the device is given no IOVA here");
	all = mmap(NULL, big, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, all);
	rest = map_aligned(rest_size, false, &map, &map_size);
	ASSERT_NE(NULL, rest);

	/* What the first round might leak, the second one would miss. */
	for (round = 0; round < 2; round++) {
		self->narrow = true;
		ASSERT_EQ(0, narrow(env, "32"));
		close(env->fd);
		for (i = 0; i < ARRAY_SIZE(fds); i++)
			fds[i] = -1;
		EXPECT_EQ(0, hog(env, fds, ARRAY_SIZE(fds), all, rest,
				 rest_size));
		env->fd = dma_open(env->bdf);
		ASSERT_LE(0, env->fd);
		ASSERT_EQ(0, dma_register(env->fd, env->mem, SIZE));
		ASSERT_EQ(0, dma_env_fill(env, 60 + round));
		ASSERT_EQ(0, trace_start());
		EXPECT_EQ(-EIO, dma_fault(env->fd, env->mem, SIZE, NULL));
		EXPECT_EQ(env->alias ? nr_pages(SIZE) : 0,
			  trace_count(NULL, "hmm_alias_map_fail",
				      "reason=no-mapping"));
		trace_stop();
		EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, 0));
		EXPECT_EQ(-EIO, dma_xfer(env->fd, (uintptr_t)env->mem, LEN,
					 0));
		EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));

		/* The same MR, which got no IOVA of its own, page by page. */
		for (i = 0; i < ARRAY_SIZE(fds); i++)
			close(fds[i]);
		ASSERT_EQ(0, dma_env_fill(env, 70 + round));
		EXPECT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
		EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE,
					       env->mapped));
		EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, BUF));
		EXPECT_EQ(0, dma_write(env->fd, env->mem + HALF,
				       env->ref + HALF, LEN, 4));
		expect_place(_metadata, env);
		close(env->fd);

		/* A new one has one piece again. */
		env->fd = dma_open(env->bdf);
		ASSERT_LE(0, env->fd);
		ASSERT_EQ(0, dma_register(env->fd, env->mem, SIZE));
		ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
		ASSERT_EQ(0, dma_query(env->fd, env->mem, &query));
		ASSERT_EQ(0, dma_query(env->fd, env->mem + SIZE - PAGE,
				       &next));
		EXPECT_EQ(query.dma_addr + SIZE - PAGE, next.dma_addr);
	}
	munmap(all, big);
	munmap(map, map_size);
}

/* The exporter refuses what is outside of its aperture: nearly all, here. */
TEST_F(dma_errors, small_aperture)
{
	struct dma_env *env = &self->env;
	struct drm_ivgpu_counters now;

	self->small_aperture = true;
	ASSERT_EQ(0, gpu_rebind(&env->gpu, "aperture", "1"));
	ASSERT_EQ(0, dma_env_fill(env, 8));
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE,
				       DMA_MAPPED_RAM));
	EXPECT_EQ(env->alias, trace_count(env->mem, "hmm_alias_refuse",
					  "err=-34") > 0);
	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	if (env->alias) {
		EXPECT_LT(env->base.alias_refused, now.alias_refused);
		EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
					 "reason=exporter-refused"));
	}
	EXPECT_EQ(nr_pages(SIZE),
		  now.pages_to_ram - env->base.pages_to_ram);
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, BUF));
	EXPECT_EQ(0, dma_write(env->fd, env->mem + HALF, env->ref + HALF,
			       LEN, 4));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_HARNESS_MAIN
