// SPDX-License-Identifier: GPL-2.0
/*
 * The GPU of nouveau uses memory by its addresses in the process: what it does
 * not find it faults in, and what has moved it must not use.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <drm/nouveau_drm.h>

#include "exporter.h"
#include "mem.h"
#include "pci.h"

#define SIZE		(2 * MIB)

FIXTURE(nouveau_gpu) {
	struct exporter exp;
	unsigned char *src, *dst;
	void *map[2];
	size_t map_size;
};

FIXTURE_VARIANT(nouveau_gpu) {
	bool thp;
};

FIXTURE_VARIANT_ADD(nouveau_gpu, pte) { };
FIXTURE_VARIANT_ADD(nouveau_gpu, thp) { .thp = true };

FIXTURE_SETUP(nouveau_gpu)
{
	if (!getenv("GPU0"))
		SKIP(return, "GPU0, a PCI address, is not set");
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	ASSERT_STREQ("nouveau", self->exp.ops->driver);
	self->src = map_aligned(SIZE, variant->thp, &self->map[0],
				&self->map_size);
	ASSERT_NE(NULL, self->src);
	self->dst = map_aligned(SIZE, variant->thp, &self->map[1],
				&self->map_size);
	ASSERT_NE(NULL, self->dst);
	pattern_fill(self->src, SIZE, 1, 0);
	memset(self->dst, 0xee, SIZE);
}

FIXTURE_TEARDOWN(nouveau_gpu)
{
	munmap(self->map[0], self->map_size);
	munmap(self->map[1], self->map_size);
	exporter_close(&self->exp);
}

TEST_F(nouveau_gpu, ram_to_ram)
{
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	EXPECT_EQ(0, exporter_pages(self->dst, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
}

/* Each stays where it is. */
TEST_F(nouveau_gpu, vram_to_ram)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->src, SIZE));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	EXPECT_EQ(SIZE / PAGE, exporter_pages(self->src, SIZE));
	EXPECT_EQ(0, exporter_pages(self->dst, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
}

TEST_F(nouveau_gpu, ram_to_vram)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->dst, SIZE));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	EXPECT_EQ(SIZE / PAGE, exporter_pages(self->dst, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
}

/*
 * The GPU has mapped the memory when it moves, to VRAM and back. It must find
 * it where it is now: what it writes the CPU sees, and what the CPU writes, it.
 */
TEST_F_TIMEOUT(nouveau_gpu, moved_while_mapped, 120)
{
	size_t i;

	for (i = 2; i < 5; i++) {
		/* Mapped in RAM; moved; written by the GPU */
		ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src,
					   SIZE));
		ASSERT_EQ(0, exporter_place(&self->exp, self->dst, SIZE));
		pattern_fill(self->src, SIZE, i, 0);
		ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src,
					   SIZE));
		EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));

		/* Mapped in VRAM; moved by the CPU; written by the GPU */
		ASSERT_EQ(0, exporter_pages(self->dst, SIZE));
		pattern_fill(self->src, SIZE, 10 + i, 0);
		ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src,
					   SIZE));
		EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
	}
}

/*
 * VRAM is not where it was after a suspend: a buffer that was in front of the
 * only chunk of SVM memory is gone. The GPU finds the memory where it is.
 */
TEST_F_TIMEOUT(nouveau_gpu, suspended, 120)
{
	struct drm_nouveau_gem_new bo = {
		.info = {
			.size = 64 * MIB,
			.domain = NOUVEAU_GEM_DOMAIN_VRAM,
		},
	};
	struct drm_gem_close close = { };
	struct exporter exp;

	if (!getenv("HMM_ALIAS_SUSPEND"))
		SKIP(return, "HMM_ALIAS_SUSPEND is not set");
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	ASSERT_EQ(0, exporter_open(&exp, getenv("GPU0")));
	ASSERT_EQ(0, ioctl(exp.fd, DRM_IOCTL_NOUVEAU_GEM_NEW, &bo));
	ASSERT_EQ(0, exporter_place(&exp, self->dst, SIZE));
	ASSERT_EQ(0, exporter_copy(&exp, self->dst, self->src, SIZE));
	close.handle = bo.info.handle;
	ASSERT_EQ(0, ioctl(exp.fd, DRM_IOCTL_GEM_CLOSE, &close));

	ASSERT_EQ(0, pci_suspend());
	EXPECT_EQ(SIZE / PAGE, exporter_pages(self->dst, SIZE));
	pattern_fill(self->src, SIZE, 2, 0);
	ASSERT_EQ(0, exporter_copy(&exp, self->dst, self->src, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
	exporter_close(&exp);
}

/* What was unmapped and given to another mapping is not reached any more. */
TEST_F(nouveau_gpu, replaced)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->src, SIZE));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	ASSERT_EQ(self->src, mmap(self->src, SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				  -1, 0));
	pattern_fill(self->src, SIZE, 6, 0);
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
}

/* Another page is there afterwards: a pipe has the one that was there. */
static bool page_replace(void *page, uint64_t seed)
{
	struct iovec iov = { .iov_base = page, .iov_len = PAGE };
	bool done;
	int fd[2];

	if (pipe(fd))
		return false;
	done = vmsplice(fd[1], &iov, 1, 0) == PAGE &&
	       !madvise(page, PAGE, MADV_DONTNEED);
	pattern_fill(page, PAGE, seed, 0);
	close(fd[0]);
	close(fd[1]);
	return done;
}

/* Nor is a page of it that is unmapped alone. */
TEST_F(nouveau_gpu, replaced_part)
{
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	ASSERT_TRUE(page_replace(self->src + SIZE / 2, 7));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
}

/* The GPU has mapped all of it when a part moves, and writes it where it is. */
TEST_F(nouveau_gpu, part_moved_while_mapped)
{
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	ASSERT_EQ(0, exporter_place(&self->exp, self->dst + SIZE / 4,
				    SIZE / 4));
	pattern_fill(self->src, SIZE, 8, 0);
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
}

/* The GPU maps small pages, a huge one and small ones, side by side. */
TEST_F(nouveau_gpu, mixed)
{
	const size_t size = 3 * SIZE;
	unsigned char *src, *dst;
	size_t map_size, i;
	void *map[2];

	src = map_aligned(size, false, &map[0], &map_size);
	dst = map_aligned(size, false, &map[1], &map_size);
	ASSERT_NE(NULL, src);
	ASSERT_NE(NULL, dst);
	ASSERT_EQ(0, madvise(src + (variant->thp ? SIZE : 0), SIZE,
			     MADV_HUGEPAGE));
	pattern_fill(src, size, 9, 0);
	ASSERT_EQ(0, exporter_copy(&self->exp, dst, src, size));
	EXPECT_EQ(0, memcmp(dst, src, size));

	for (i = 0; i < 3; i++) {
		ASSERT_TRUE(page_replace(src + i * SIZE + PAGE, 10 + i));
		ASSERT_EQ(0, exporter_copy(&self->exp, dst, src, size));
		EXPECT_EQ(0, memcmp(dst, src, size));
	}
	ASSERT_EQ(0, munmap(map[0], map_size));
	ASSERT_EQ(0, munmap(map[1], map_size));
}

/*
 * After a fork() the GPU maps pages to read them, and to write once more. The
 * first mapping for DMA must not be lost, which DMA_API_DEBUG tells.
 */
TEST_F(nouveau_gpu, read_then_written)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child)
		_exit(0);
	ASSERT_EQ(child, waitpid(child, NULL, 0));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	pattern_fill(self->dst, SIZE, 2, 0);
	ASSERT_EQ(0, exporter_copy(&self->exp, self->src, self->dst, SIZE));
	EXPECT_EQ(0, memcmp(self->src, self->dst, SIZE));
}

/* Read-only memory is read, and not written. */
TEST_F(nouveau_gpu, read_only)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->src, SIZE));
	ASSERT_EQ(0, mprotect(self->src, SIZE, PROT_READ));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
	/* The CPU has moved it. Now the GPU has it mapped again. */
	ASSERT_EQ(0, exporter_copy(&self->exp, self->dst, self->src, SIZE));
	memset(self->dst, 0, SIZE);
	/* The channel is killed. */
	exporter_copy(&self->exp, self->src, self->dst, SIZE);
	ASSERT_EQ(0, mprotect(self->src, SIZE, PROT_READ | PROT_WRITE));
	pattern_fill(self->dst, SIZE, 1, 0);
	EXPECT_EQ(0, memcmp(self->dst, self->src, SIZE));
}

/* A process that copies, of which the last copy is of nothing: an exit code */
static int copy_nothing(const char *bdf, size_t size, bool wild)
{
	unsigned char *src, *dst;
	struct exporter exp;
	size_t map_size, i;
	void *map[2];

	if (exporter_open(&exp, bdf))
		return 2;
	src = map_aligned(size, false, &map[0], &map_size);
	dst = map_aligned(size, false, &map[1], &map_size);
	if (!src || !dst)
		return 3;
	for (i = 0; i < 3; i++) {
		pattern_fill(src, size, i, 0);
		if (exporter_copy(&exp, dst, src, size))
			return 4;
		if (memcmp(dst, src, size))
			return 5;
	}
	if (!wild)
		return 0;
	munmap(map[0], map_size);
	memset(dst, 0x5a, size);
	exporter_copy(&exp, dst, src, size);
	for (i = 0; i < size; i++)
		if (dst[i] != 0x5a)
			return 6;
	return 0;
}

/*
 * Several processes fault at a time, and some at addresses where nothing is. On
 * GPU1 the fault buffer has room for one.
 */
static void many_faults(struct __test_metadata *_metadata, const char *bdf,
			size_t size)
{
	pid_t pid[6];
	int status;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			_exit(copy_nothing(bdf, size, i % 2));
	}
	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status)
			TH_LOG("process %zu", i);
	}
}

TEST_F_TIMEOUT(nouveau_gpu, many_faults, 120)
{
	many_faults(_metadata, getenv("GPU0"), SIZE);
}

TEST_F_TIMEOUT(nouveau_gpu, small_fault_buffer, 120)
{
	ASSERT_NE(NULL, getenv("GPU1"));
	/* Each page is a fault of its own there, and takes its time. */
	many_faults(_metadata, getenv("GPU1"), 16 * PAGE);
}

TEST_HARNESS_MAIN
