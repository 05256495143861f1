// SPDX-License-Identifier: GPL-2.0
/*
 * `peerfault pages` of a process whose pages were put where it has to find them: what
 * it says is compared with what ivgpu says of its memory. Needs swap, and no other
 * process on the devices.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "exporter.h"
#include "fixture.h"
#include "words.h"

#define SIZE		(64 * PAGE)
#define PARTS		5
#define N		(SIZE / PAGE)

FIXTURE(pages) {
	struct gpu gpu[2];
	uint64_t used[2];	/* pages of VRAM, before */
	unsigned char *map;
	unsigned char *mem;	/* on the one device, in RAM, nowhere, in swap, the other */
	char total[256];	/* the line of that name */
};

FIXTURE_SETUP(pages)
{
	struct drm_ivgpu_counters c;
	int i;

	if (gpu_count() < 2)
		SKIP(return, "two ivshmem-plain devices wanted");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, gpu_open(&self->gpu[i], i));
		ASSERT_EQ(0, gpu_counters(&self->gpu[i], &c));
		self->used[i] = c.vram_pages_used;
	}
	self->map = mmap(NULL, (PARTS + 2) * SIZE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	self->mem = self->map + SIZE;
	ASSERT_EQ(0, mprotect(self->mem, PARTS * SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, madvise(self->mem, PARTS * SIZE, MADV_NOHUGEPAGE));
}

FIXTURE_TEARDOWN(pages)
{
	munmap(self->map, (PARTS + 2) * SIZE);
	gpu_close(&self->gpu[0]);
	gpu_close(&self->gpu[1]);
}

/* The total that is said of a range of @pid; its exit code, or a negative errno */
static int look(char *total, size_t size, pid_t pid, const void *addr, size_t bytes)
{
	char command[128], line[256];
	FILE *f;
	int status;

	*total = '\0';
	snprintf(command, sizeof(command), "peerfault pages %d %p %zu 2>&1", pid,
		 addr, bytes);
	f = popen(command, "r");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		printf("# %s", line);
		if (!strncmp(line, "total ", 6))
			snprintf(total, size, "%s", line);
	}
	status = pclose(f);
	squeeze(total);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

__attribute__((format(printf, 4, 5)))
static void expect_total(struct __test_metadata *_metadata, const char *total, int ret,
			 const char *format, ...)
{
	char want[256];
	va_list args;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);
	EXPECT_EQ(0, ret);
	EXPECT_STREQ(want, total);
}

/* Pages of VRAM that are in use since the setup */
static uint64_t used(const struct gpu *gpu, uint64_t before)
{
	struct drm_ivgpu_counters c = { 0 };

	return gpu_counters(gpu, &c) ? 0 : c.vram_pages_used - before;
}

/* The device moves what it can: not what is in use at that moment. */
static int place_all(const struct gpu *gpu, void *addr, size_t size)
{
	int tries;
	long n;

	for (tries = 0; tries < 20; tries++) {
		n = gpu_place(gpu, addr, size, IVGPU_PLACE_VRAM);
		if (n < 0 || n == size / PAGE)
			return n < 0 ? n : 0;
		usleep(20000);
	}
	return -ENXIO;
}

static int swap_out(void *addr, size_t size)
{
	int tries;

	for (tries = 0; tries < 100; tries++) {
		if (madvise(addr, size, MADV_PAGEOUT))
			return -errno;
		if (exporter_pages(addr, size) == size / PAGE)
			return 0;
		usleep(20000);
	}
	return -EBUSY;
}

TEST_F(pages, everywhere)
{
	unsigned char *mem = self->mem;
	char *total = self->total;
	int ret;

	memset(mem, 1, SIZE);
	memset(mem + SIZE, 2, SIZE);
	memset(mem + 3 * SIZE, 4, 2 * SIZE);
	ASSERT_EQ(0, place_all(&self->gpu[0], mem, SIZE));
	ASSERT_EQ(0, place_all(&self->gpu[1], mem + 4 * SIZE, SIZE));
	ASSERT_EQ(0, swap_out(mem + 3 * SIZE, SIZE));

	/* Looking moves nothing. */
	for (int i = 0; i < 2; i++) {
		ret = look(total, sizeof(self->total), getpid(), mem, PARTS * SIZE);
		expect_total(_metadata, total, ret,
			     "total %lu %lu %lu %lu %lu 0 %s:%lu,%s:%lu -",
			     PARTS * N, N, 2 * N, N, N, self->gpu[0].bdf, N,
			     self->gpu[1].bdf, N);
		EXPECT_EQ(N, used(&self->gpu[0], self->used[0]));
		EXPECT_EQ(N, used(&self->gpu[1], self->used[1]));
	}

	/* Half of a part, and what is not mapped */
	ret = look(total, sizeof(self->total), getpid(), mem - SIZE / 2, SIZE);
	expect_total(_metadata, total, ret, "total %lu 0 %lu 0 %lu 0 %s:%lu -", N,
		     N / 2, N / 2, self->gpu[0].bdf, N / 2);

	/* A page comes back: ivgpu moves those of its allocation with it. */
	EXPECT_EQ(1, *(volatile unsigned char *)mem);
	ASSERT_EQ(0, gpu_place(&self->gpu[0], mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_EQ(4, *(volatile unsigned char *)(mem + 3 * SIZE));
	ret = look(total, sizeof(self->total), getpid(), mem, SIZE);
	expect_total(_metadata, total, ret, "total %lu %lu 0 0 0 0 - -", N, N);
}

/* A child has what its parent has on the device, for reading. */
TEST_F(pages, shared)
{
	unsigned char *mem = self->mem;
	char c, *total = self->total;
	int fd[2], ret, status;
	pid_t pid;

	memset(mem, 1, SIZE);
	ASSERT_EQ(0, place_all(&self->gpu[0], mem, SIZE));
	ASSERT_EQ(0, pipe(fd));
	pid = fork();
	if (!pid) {
		close(fd[1]);
		_exit(read(fd[0], &c, 1));
	}
	close(fd[0]);
	ASSERT_LT(0, pid);
	ret = look(total, sizeof(self->total), pid, mem, SIZE);
	expect_total(_metadata, total, ret, "total %lu 0 %lu 0 0 0 %s:%lu -", N, N,
		     self->gpu[0].bdf, N);
	ret = look(total, sizeof(self->total), getpid(), mem, SIZE);
	expect_total(_metadata, total, ret, "total %lu 0 %lu 0 0 0 %s:%lu -", N, N,
		     self->gpu[0].bdf, N);
	close(fd[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* One entry for 512 pages, and a part of it */
TEST_F(pages, huge)
{
	char *total = self->total;
	size_t map_size;
	void *map, *mem;
	int ret;

	mem = map_aligned(2 * MIB, true, &map, &map_size);
	ASSERT_NE(NULL, mem);
	ASSERT_EQ(0, place_all(&self->gpu[0], mem, 2 * MIB));
	ret = look(total, sizeof(self->total), getpid(), mem, 2 * MIB);
	expect_total(_metadata, total, ret, "total 512 0 512 0 0 0 %s:512 -",
		     self->gpu[0].bdf);
	ret = look(total, sizeof(self->total), getpid(), mem + 5 * PAGE, 7 * PAGE);
	expect_total(_metadata, total, ret, "total 7 0 7 0 0 0 %s:7 -",
		     self->gpu[0].bdf);
	munmap(map, map_size);
}

TEST_HARNESS_MAIN
