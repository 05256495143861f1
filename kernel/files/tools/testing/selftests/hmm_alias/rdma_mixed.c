// SPDX-License-Identifier: GPL-2.0
/*
 * One MR over all kinds of memory, in blocks of 2 MiB: the engine moves its
 * surroundings along with what it touches.
 */
#include <sys/mman.h>

#include "fixture.h"
#include "sysfs.h"

#define BLOCK		(2 * MIB)
#define NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"

enum { B_VRAM, B_RAM, B_HOLE, B_ZERO, B_RDONLY, B_VRAM2, NR_BLOCKS };

FIXTURE(rdma_mixed) {
	struct rdma_env env;
};

FIXTURE_VARIANT(rdma_mixed) {
	bool consent;
};

FIXTURE_VARIANT_ADD(rdma_mixed, consent) { .consent = true };
FIXTURE_VARIANT_ADD(rdma_mixed, refused) { };

FIXTURE_SETUP(rdma_mixed)
{
	static const int in_vram[] = { B_VRAM, B_RDONLY, B_VRAM2 };
	struct rdma_env *env = &self->env;
	size_t i;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, NR_BLOCKS * BLOCK, variant->consent,
				   false));
	for (i = 0; i < ARRAY_SIZE(in_vram); i++) {
		unsigned char *p = env->mem + in_vram[i] * BLOCK;

		ASSERT_EQ(0, gpu_fill(&env->gpu, p, BLOCK, 1 + i));
		pattern_fill(env->ref + in_vram[i] * BLOCK, BLOCK, 1 + i, 0);
	}
	pattern_fill(env->mem + B_RAM * BLOCK, BLOCK, 9, 0);
	pattern_fill(env->ref + B_RAM * BLOCK, BLOCK, 9, 0);
	/* Reading maps the zero page. */
	ASSERT_EQ(0, rdma_env_cpu(env, B_ZERO * BLOCK, BLOCK));
	ASSERT_EQ(0, mprotect(env->mem + B_RDONLY * BLOCK, BLOCK, PROT_READ));
	ASSERT_EQ(0, rdma_env_mark(env));
}

FIXTURE_TEARDOWN(rdma_mixed)
{
	rdma_env_close(&self->env);
	gpu_consent(true);
}

TEST_F(rdma_mixed, read)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	EXPECT_EQ(0, rdma_env_readable(env, B_RDONLY * BLOCK, BLOCK));
	EXPECT_EQ(0, rdma_env_read(env, 0, env->size));
	expect_consent(_metadata, env, variant->consent);
	if (variant->consent) {
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(nr_pages(3 * BLOCK), d.alias_pages);
	}
	EXPECT_EQ(0, rdma_env_cpu(env, 0, env->size));
}

TEST_F(rdma_mixed, write)
{
	struct rdma_env *env = &self->env;
	size_t rdonly = B_RDONLY * BLOCK, after = B_VRAM2 * BLOCK;

	EXPECT_EQ(0, rdma_env_write(env, 3, rdonly - 5, 20));
	EXPECT_EQ(0, rdma_env_write(env, after + 3, BLOCK - 5, 21));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  rdma_env_write(env, rdonly + PAGE, PAGE, 22));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_readable(env, rdonly, BLOCK));
	EXPECT_EQ(0, rdma_env_read(env, 0, env->size));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, env->size));
}

/*
 * Pages that a fault has to populate, each followed by pages in VRAM: what is
 * faulted for the ones must not move the others.
 */
TEST_F(rdma_mixed, holes_among_vram)
{
	struct rdma_env *env = &self->env;
	size_t i;

	for (i = 0; i < BLOCK; i += 16 * PAGE) {
		ASSERT_EQ(0, madvise(env->mem + i, PAGE, MADV_DONTNEED));
		memset(env->ref + i, 0, PAGE);
	}
	ASSERT_EQ(0, rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
				 IBV_ADVISE_MR_FLAG_FLUSH, env->mr, env->mem,
				 BLOCK));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(0, rdma_env_read(env, 0, BLOCK));
	EXPECT_EQ(0, rdma_env_write(env, 0, BLOCK, 23));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, BLOCK));
}

/* A hole in the middle fails what touches it, and only that. */
TEST_F(rdma_mixed, unmapped)
{
	struct rdma_env *env = &self->env;
	size_t hole = B_HOLE * BLOCK;

	ASSERT_EQ(0, munmap(env->mem + hole, BLOCK));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  rdma_env_read(env, hole + PAGE, PAGE));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, hole));
	EXPECT_EQ(0, rdma_env_readable(env, B_RDONLY * BLOCK, BLOCK));
	EXPECT_EQ(0, rdma_env_read(env, hole + BLOCK,
				   env->size - hole - BLOCK));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, hole));
	EXPECT_EQ(0, rdma_env_cpu(env, hole + BLOCK, env->size - hole - BLOCK));
}

/* Memory of all sources, and of two GPUs */
enum { K_GPU, K_FILE, K_GPU2, K_ZERO, K_LOCKED, K_HOLE, K_HUGETLB, K_RAM,
	NR_KINDS };

FIXTURE(rdma_kinds) {
	struct rdma_env env;
	struct gpu second;
	int fd;
	char hugepages[16];
};

/* Something of its own in place of a block */
static void replace(struct __test_metadata *_metadata, struct rdma_env *env,
		    int kind, int flags, int fd)
{
	unsigned char *p = env->mem + kind * BLOCK;

	ASSERT_EQ(p, mmap(p, BLOCK, PROT_READ | PROT_WRITE, MAP_FIXED | flags,
			  fd, 0));
}

FIXTURE_SETUP(rdma_kinds)
{
	static const int by_cpu[] = { K_FILE, K_HUGETLB, K_RAM };
	static const int by_gpu[] = { K_GPU, K_GPU2, K_LOCKED };
	struct rdma_env *env = &self->env;
	size_t i;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	if (gpu_count() < 2)
		SKIP(return, "one ivshmem-plain device only");
	ASSERT_EQ(0, rdma_env_open(env, NR_KINDS * BLOCK, true, false));
	ASSERT_EQ(0, gpu_open(&self->second, 1));
	ASSERT_EQ(0, sysfs_read(NR_HUGEPAGES, self->hugepages,
				sizeof(self->hugepages)));
	ASSERT_EQ(0, sysfs_write(NR_HUGEPAGES, "2"));
	self->fd = memfd_create("kinds", 0);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, ftruncate(self->fd, BLOCK));
	replace(_metadata, env, K_FILE, MAP_SHARED, self->fd);
	replace(_metadata, env, K_HUGETLB,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1);
	ASSERT_EQ(0, mlock(env->mem + K_LOCKED * BLOCK, BLOCK));
	ASSERT_EQ(0, munmap(env->mem + K_HOLE * BLOCK, BLOCK));

	for (i = 0; i < ARRAY_SIZE(by_cpu); i++) {
		pattern_fill(env->mem + by_cpu[i] * BLOCK, BLOCK, 1 + i, 0);
		pattern_fill(env->ref + by_cpu[i] * BLOCK, BLOCK, 1 + i, 0);
	}
	for (i = 0; i < ARRAY_SIZE(by_gpu); i++) {
		ASSERT_EQ(0, gpu_fill_vram(by_gpu[i] == K_GPU2 ? &self->second :
					   &env->gpu,
					   env->mem + by_gpu[i] * BLOCK, BLOCK,
					   11 + i));
		pattern_fill(env->ref + by_gpu[i] * BLOCK, BLOCK, 11 + i, 0);
	}
	/* Reading maps the zero page. */
	ASSERT_EQ(0, rdma_env_cpu(env, K_ZERO * BLOCK, BLOCK));
	ASSERT_EQ(0, rdma_env_mark(env));
}

FIXTURE_TEARDOWN(rdma_kinds)
{
	gpu_close(&self->second);
	close(self->fd);
	rdma_env_close(&self->env);
	EXPECT_EQ(0, sysfs_write(NR_HUGEPAGES, self->hugepages));
}

/*
 * One MR over all of them. Each part is right, what is in a GPU is so where it
 * is, and the hole fails what touches it.
 */
TEST_F_TIMEOUT(rdma_kinds, in_place, 120)
{
	struct rdma_env *env = &self->env;
	size_t hole = K_HOLE * BLOCK, after = hole + BLOCK;
	struct drm_ivgpu_counters before, d;
	unsigned char word[8];

	ASSERT_EQ(0, gpu_counters(&self->second, &before));
	EXPECT_EQ(0, rdma_env_read(env, 0, hole));
	EXPECT_EQ(0, rdma_env_read(env, after, env->size - after));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_read(env, hole, BLOCK));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  rdma_env_write(env, after - PAGE, PAGE, 20));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_write(env, 3, hole - 5, 21));
	EXPECT_EQ(0, rdma_env_write(env, after + 3, env->size - after - 5, 22));
	EXPECT_EQ(0, rdma_env_read(env, 0, hole));

	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(2 * BLOCK), d.alias_pages);
	EXPECT_EQ(0, d.pages_to_ram);
	ASSERT_EQ(0, gpu_counters(&self->second, &d));
	EXPECT_EQ(nr_pages(BLOCK), d.alias_pages - before.alias_pages);
	EXPECT_EQ(0, d.pages_to_ram - before.pages_to_ram);
	EXPECT_EQ(0, rdma_env_vram(env, K_GPU * BLOCK, BLOCK));
	EXPECT_EQ(0, rdma_env_vram(env, K_LOCKED * BLOCK, BLOCK));

	/* The file has it, not a copy of its page. */
	ASSERT_EQ(8, pread(self->fd, word, 8, PAGE));
	EXPECT_EQ(0, memcmp(word, env->ref + K_FILE * BLOCK + PAGE, 8));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, hole));
	EXPECT_EQ(0, rdma_env_cpu(env, after, env->size - after));
}

/* hugetlb stays in RAM, also when a GPU wants it, and devices share it there. */
TEST_F_TIMEOUT(rdma_kinds, hugetlb, 120)
{
	size_t off = K_HUGETLB * BLOCK;
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	uint64_t sum;

	/* What is beside it moves. */
	EXPECT_EQ(nr_pages(BLOCK), gpu_place(&env->gpu, env->mem + off,
					     2 * BLOCK, IVGPU_PLACE_VRAM));
	EXPECT_EQ(0, rdma_env_vram(env, K_RAM * BLOCK, BLOCK));
	EXPECT_EQ(-ENXIO, rdma_env_vram(env, off, BLOCK));
	EXPECT_EQ(0, rdma_env_read(env, off, 2 * BLOCK));
	EXPECT_EQ(0, rdma_env_write(env, off + 3, 2 * BLOCK - 5, 20));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(BLOCK), d.alias_pages);
	EXPECT_EQ(0, d.pages_to_ram);
	EXPECT_EQ(0, gpu_sum(&env->gpu, env->mem + off, BLOCK, 0, &sum));
	EXPECT_EQ(pattern_sum(env->ref + off, BLOCK, 0), sum);
	EXPECT_EQ(0, rdma_env_cpu(env, off, 2 * BLOCK));
}

TEST_HARNESS_MAIN
