// SPDX-License-Identifier: GPL-2.0
/*
 * DMA of another PCI device to device memory: what the fabric between the two
 * allows is done in place, all else in RAM.
 */
#include "fixture.h"
#include "sysfs.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)
#define ODD		1021	/* offset in a page */

FIXTURE(dma_data) {
	struct dma_env env;
};

FIXTURE_VARIANT(dma_data) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(dma_data, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(dma_data, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(dma_data, refused_pte) { };

static int client_write(const struct dma_env *env, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pdma_client",
		 env->bdf);
	return sysfs_write(path, value);
}

FIXTURE_SETUP(dma_data)
{
	struct dma_env *env = &self->env;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_EQ(0, dma_env_open(env, SIZE, variant->consent, variant->thp,
				  HMM_DMA_ALLOW_P2P));
	ASSERT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, 0));
}

FIXTURE_TEARDOWN(dma_data)
{
	EXPECT_EQ(0, client_write(&self->env, "1"));
	EXPECT_EQ(0, dma_env_close(&self->env));
	gpu_consent(true);
}

/* Both directions, at pages that differ in where they are in their folio. */
TEST_F_TIMEOUT(dma_data, both_ways, 120)
{
	struct dma_env *env = &self->env;

	EXPECT_EQ(0, dma_both_ways(env->fd, env->mem, env->ref, SIZE));
	expect_place(_metadata, env);
}

/* What the engine writes, the device reads through the same mapping. */
TEST_F_TIMEOUT(dma_data, engine_then_read, 60)
{
	struct dma_env *env = &self->env;
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)env->mem,
		.size = SIZE,
		.value = 3,
	};

	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, LEN));
	ASSERT_EQ(0, gpu_ioctl(&env->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	pattern_fill(env->ref, SIZE, 3, 0);
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, LEN));
	expect_place(_metadata, env);
}

/* All of it in one call, each page mapped as the reach wants it. */
TEST_F(dma_data, whole_range)
{
	struct dma_env *env = &self->env;
	struct drm_ivgpu_counters now;
	struct hmm_dma_query query;
	size_t off;

	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	EXPECT_EQ(env->alias ? nr_pages(SIZE) : 0,
		  now.alias_pages - env->base.alias_pages);
	EXPECT_EQ(env->alias ? 0 : nr_pages(SIZE),
		  now.pages_to_ram - env->base.pages_to_ram);
	for (off = 0; off < SIZE; off += HALF / 2) {
		ASSERT_EQ(0, dma_query(env->fd, env->mem + off, &query));
		/* The BAR is where its bus address is, on this machine. */
		EXPECT_EQ(env->alias && (env->reach == BUS_ADDR || !env->iommu),
			  pci_in_bar2(env->gpu.bdf, query.dma_addr));
	}

	/* Again, nothing is new. */
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	EXPECT_EQ(0, dma_check(env->fd, env->mem + HALF, env->ref + HALF,
			       BUF));
	expect_place(_metadata, env);
}

TEST_F(dma_data, trace)
{
	struct dma_env *env = &self->env;
	char exporter[64], importer[64];

	snprintf(exporter, sizeof(exporter), "exporter=%s", env->gpu.bdf);
	snprintf(importer, sizeof(importer), "importer=%s", env->bdf);
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, PAGE, NULL));
	if (env->alias) {
		EXPECT_EQ(1, trace_count(env->mem, "hmm_alias_grant",
					 exporter));
		EXPECT_EQ(1, trace_count(env->mem, "hmm_alias_grant",
					 importer));
		EXPECT_EQ(1, trace_count(env->mem, "hmm_alias_grant",
					 "access=dma"));
		EXPECT_EQ(0, trace_count(env->mem, "hmm_alias_refuse",
					 importer));
	} else {
		EXPECT_EQ(0, trace_count(env->mem, "hmm_alias_grant",
					 importer));
		EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
					 importer));
		EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
					 variant->consent ?
					 reach_reason(env->reach) :
					 "reason=no-consent"));
		EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
					 "fallback=ram"));
	}
	ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_EQ(env->alias, trace_count(NULL, "hmm_alias_invalidate",
					  importer) > 0);
}

/*
 * Each GPU has a part of one range, RAM another, and one is not there yet. Each
 * importer gets of it what it can reach. Exporters move 2 MiB at a time, so the
 * parts are of that size.
 */
TEST_F_TIMEOUT(dma_data, mixed, 120)
{
	struct dma_env *env = &self->env;
	static const char *const importers[] = { "DMA0", "DMA1" };
	const uint64_t ram = DMA_MAPPED_RAM;
	const size_t part = 2 * MIB, size = 4 * part;
	unsigned char *mem, *ref = malloc(size);
	struct gpu second;
	int fd[2] = { -1, -1 };
	size_t map_size, i, j;
	void *map;

	ASSERT_EQ(0, gpu_open(&second, 1));
	ASSERT_STREQ(getenv("GPU1"), second.bdf);
	mem = map_aligned(size, variant->thp, &map, &map_size);
	ASSERT_NE(NULL, mem);
	ASSERT_NE(NULL, ref);
	for (i = 0; i < ARRAY_SIZE(importers) && getenv(importers[i]); i++) {
		int first = reach_between("GPU0", importers[i]);
		int other = reach_between("GPU1", importers[i]);

		ASSERT_LE(0, first);
		ASSERT_LE(0, other);
		ASSERT_EQ(0, madvise(mem, size, MADV_DONTNEED));
		ASSERT_EQ(0, gpu_fill(&env->gpu, mem, part, 20));
		memset(mem + part, 0x5a, part);
		ASSERT_EQ(0, gpu_fill(&second, mem + 2 * part, part, 21));
		pattern_fill(ref, part, 20, 0);
		memset(ref + part, 0x5a, part);
		pattern_fill(ref + 2 * part, part, 21, 0);
		memset(ref + 3 * part, 0, part);

		fd[i] = dma_open(getenv(importers[i]));
		ASSERT_LE(0, fd[i]);
		ASSERT_EQ(0, dma_register(fd[i], mem, size));
		ASSERT_EQ(0, dma_fault(fd[i], mem, size, NULL));
		EXPECT_EQ(0, dma_all_mapped_as(fd[i], mem, part,
					       dma_mapped_as(variant->consent,
							     first)));
		EXPECT_EQ(0, dma_all_mapped_as(fd[i], mem + part, part, ram));
		EXPECT_EQ(0, dma_all_mapped_as(fd[i], mem + 2 * part, part,
					       dma_mapped_as(variant->consent,
							     other)));
		EXPECT_EQ(0, dma_all_mapped_as(fd[i], mem + 3 * part, part,
					       ram));
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
	gpu_close(&second);
}

/* An administrator forbids aliases to this importer, and later no more. */
TEST_F(dma_data, vetoed)
{
	struct dma_env *env = &self->env;
	struct drm_ivgpu_counters now;

	ASSERT_EQ(0, client_write(env, "0"));
	ASSERT_EQ(0, trace_start());
	EXPECT_EQ(0, dma_fault(env->fd, env->mem, PAGE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, PAGE,
				       DMA_MAPPED_RAM));
	EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
				 "reason=no-consent"));
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, LEN));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &now));
	EXPECT_EQ(env->base.alias_pages, now.alias_pages);

	ASSERT_EQ(0, client_write(env, "1"));
	EXPECT_EQ(-EINVAL, client_write(env, "x"));
	ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_VRAM));
	EXPECT_EQ(0, dma_fault(env->fd, env->mem, PAGE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, PAGE, env->mapped));
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, LEN));
}

TEST_HARNESS_MAIN
