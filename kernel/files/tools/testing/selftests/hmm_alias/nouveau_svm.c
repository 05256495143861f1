// SPDX-License-Identifier: GPL-2.0
/*
 * nouveau's shared virtual memory alone, without peers: what is moved to VRAM
 * keeps its contents, whoever moves, reads or forgets it.
 */
#include "../kselftest_harness.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "exporter.h"
#include "mem.h"

#define SIZE		(4 * MIB)
/* More copies than the push buffer has room for */
#define MANY		(3000 * PAGE)
#define HUGE		(2 * MIB)
/* At least what the GPU has */
#define VRAM		(1024 * MIB)
#define PART		(16 * MIB)

FIXTURE(nouveau_svm) {
	struct exporter exp;
	unsigned char *mem;
	size_t size;
	void *map;
	size_t map_size;
};

FIXTURE_VARIANT(nouveau_svm) {
	bool thp;
};

FIXTURE_VARIANT_ADD(nouveau_svm, pte) { };
FIXTURE_VARIANT_ADD(nouveau_svm, thp) { .thp = true };

static const char *absent(void)
{
	return getenv("GPU0") ? NULL : "GPU0, a PCI address, is not set";
}

/* Words of the pattern of @seed that are not there */
static size_t wrong(const void *mem, size_t size, uint64_t seed)
{
	const uint64_t *word = mem;
	size_t i, n = 0;

	for (i = 0; i < size / sizeof(*word); i++)
		n += word[i] != pattern_word(seed, i);
	return n;
}

FIXTURE_SETUP(nouveau_svm)
{
	if (absent())
		SKIP(return, "%s", absent());
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	ASSERT_STREQ("nouveau", self->exp.ops->driver);
	self->size = SIZE;
	self->mem = map_aligned(SIZE, variant->thp, &self->map,
				&self->map_size);
	ASSERT_NE(NULL, self->mem);
	pattern_fill(self->mem, SIZE, 1, 0);
}

FIXTURE_TEARDOWN(nouveau_svm)
{
	if (self->map)
		munmap(self->map, self->map_size);
	exporter_close(&self->exp);
}

TEST_F(nouveau_svm, round_trip)
{
	size_t i;

	for (i = 1; i < 4; i++) {
		ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
		EXPECT_EQ(0, wrong(self->mem, SIZE, i));
		EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
		pattern_fill(self->mem, SIZE, i + 1, 0);
	}
}

/* What was never touched is zero, whatever was in VRAM before. */
TEST_F(nouveau_svm, untouched)
{
	unsigned char *mem;
	size_t map_size, i;
	uint64_t any = 0;
	void *map;

	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	munmap(self->map, self->map_size);
	self->map = NULL;

	mem = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, mem);
	if (variant->thp)
		ASSERT_EQ(0, madvise(mem, SIZE, MADV_HUGEPAGE));
	ASSERT_EQ(0, exporter_place(&self->exp, mem, SIZE));
	for (i = 0; i < SIZE / sizeof(any); i++)
		any |= ((uint64_t *)mem)[i];
	EXPECT_EQ(0, any);
	munmap(map, map_size);
}

/* As many copies as do not fit into the push buffer, all at once and twice */
TEST_F_TIMEOUT(nouveau_svm, many_pages, 120)
{
	size_t map_size, i;
	unsigned char *mem;
	void *map;

	mem = map_aligned(MANY, variant->thp, &map, &map_size);
	ASSERT_NE(NULL, mem);
	for (i = 0; i < 2; i++) {
		pattern_fill(mem, MANY, 7 + i, 0);
		ASSERT_EQ(0, exporter_place(&self->exp, mem, MANY));
		EXPECT_EQ(0, wrong(mem, MANY, 7 + i));
	}
	munmap(map, map_size);
}

/*
 * Of what was never touched, as much as there is room for in huge pages; nothing
 * is left there.
 */
static size_t use_all(struct exporter *exp)
{
	size_t map_size, n;
	unsigned char *mem;
	void *map;

	mem = map_aligned(VRAM, false, &map, &map_size);
	if (!mem || madvise(mem, VRAM, MADV_HUGEPAGE))
		return 0;
	for (n = 0; n < VRAM; n += PART)
		if (exp->ops->place(exp, mem + n, PART) ||
		    exporter_pages(mem + n, PART) != PART / PAGE)
			break;
	munmap(map, map_size);
	return n;
}

/* A huge page on the exporter, of which the CPU touches a part */
static int use_split(struct exporter *exp)
{
	size_t map_size;
	unsigned char *mem;
	void *map;
	int ret;

	mem = map_aligned(HUGE, false, &map, &map_size);
	if (!mem || madvise(mem, HUGE, MADV_HUGEPAGE))
		return -ENOMEM;
	ret = exporter_place(exp, mem, HUGE);
	if (!ret && madvise(mem, PAGE, MADV_DONTNEED))
		ret = -errno;
	if (!ret && (mem[PAGE] || exporter_pages(mem, HUGE) !=
				  HUGE / PAGE - 2))
		ret = -EILSEQ;
	munmap(map, map_size);
	return ret;
}

/* Huge pages had all of VRAM before, as a whole and in parts. */
TEST_F_TIMEOUT(nouveau_svm, huge_before, 240)
{
	size_t size = use_all(&self->exp), i;

	ASSERT_LT(0, size);
	ASSERT_GT(VRAM, size);
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	EXPECT_EQ(0, wrong(self->mem, SIZE, 1));

	for (i = 0; i <= size / HUGE; i++)
		ASSERT_EQ(0, use_split(&self->exp));
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	EXPECT_EQ(0, wrong(self->mem, SIZE, 1));
	EXPECT_EQ(size, use_all(&self->exp));
}

/* A process of its own that migrates there and back: an exit code */
static int migrate_often(uint64_t seed, bool thp)
{
	struct exporter exp;
	size_t map_size, i;
	unsigned char *mem;
	void *map;

	if (exporter_open(&exp, getenv("GPU0")))
		return 2;
	mem = map_aligned(SIZE, thp, &map, &map_size);
	if (!mem)
		return 3;
	for (i = 0; i < 4; i++) {
		pattern_fill(mem, SIZE, seed + i, 0);
		if (exporter_place(&exp, mem, SIZE))
			return 4;
		if (wrong(mem, SIZE, seed + i))
			return 5;
	}
	exporter_close(&exp);
	return 0;
}

/* Processes that use the one copy engine at the same time */
TEST_F_TIMEOUT(nouveau_svm, processes, 240)
{
	pid_t pid[4];
	int status;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			_exit(migrate_often(100 * i, variant->thp));
	}
	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		ASSERT_EQ(pid[i], waitpid(pid[i], &status, 0));
		EXPECT_EQ(0, status)
			TH_LOG("process %zu", i);
	}
}

/* The file that memory was bound with is closed before it is touched. */
TEST_F(nouveau_svm, close_first)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	exporter_close(&self->exp);
	/* The svmm is freed after a grace period. */
	usleep(300000);
	EXPECT_EQ(SIZE / PAGE, exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, wrong(self->mem, SIZE, 1));
}

/* A child has it, and the parent, whose file it was, has exited. */
TEST_F(nouveau_svm, child_after_parent)
{
	int told[2], byte;
	pid_t parent;

	ASSERT_EQ(0, pipe(told));
	parent = fork();
	ASSERT_LE(0, parent);
	if (!parent) {
		struct exporter own;

		if (exporter_open(&own, getenv("GPU0")) ||
		    exporter_place(&own, self->mem, SIZE))
			_exit(1);
		if (fork())
			_exit(0);
		close(own.fd);
		close(self->exp.fd);
		sleep(1);
		byte = wrong(self->mem, SIZE, 1) != 0;
		if (write(told[1], &byte, sizeof(byte)) != sizeof(byte))
			_exit(2);
		_exit(0);
	}
	close(told[1]);
	ASSERT_EQ(parent, waitpid(parent, &byte, 0));
	ASSERT_EQ(0, byte);
	ASSERT_EQ(sizeof(byte), read(told[0], &byte, sizeof(byte)));
	EXPECT_EQ(0, byte);
	close(told[0]);
}

/* Both have what was there when they parted. */
TEST_F(nouveau_svm, fork)
{
	int go[2], status;
	pid_t child;

	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, pipe(go));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(go[1]);
		if (read(go[0], &status, 1) != 0)
			_exit(2);
		_exit(wrong(self->mem, SIZE, 1) != 0);
	}
	close(go[0]);
	pattern_fill(self->mem, SIZE, 2, 0);
	close(go[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, wrong(self->mem, SIZE, 2));
}

/* Of a huge page, parts are unmapped, moved and read-only. */
TEST_F(nouveau_svm, parts)
{
	const size_t part = MIB / 2;
	unsigned char *to;

	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, munmap(self->mem + part, part));
	ASSERT_EQ(0, mprotect(self->mem + 2 * MIB, part, PROT_READ));
	to = mremap(self->mem + 3 * part, part, part, MREMAP_MAYMOVE |
		    MREMAP_FIXED, self->mem + part);
	ASSERT_EQ(self->mem + part, to);
	ASSERT_EQ(0, madvise(self->mem + 2 * MIB + part, part, MADV_DONTNEED));

	EXPECT_EQ(0, wrong(self->mem, part, 1));
	EXPECT_EQ(pattern_word(1, 3 * part / 8), *(uint64_t *)to);
	EXPECT_EQ(pattern_word(1, 4 * part / 8 - 1),
		  *(uint64_t *)(to + part - 8));
	EXPECT_EQ(pattern_word(1, 2 * MIB / 8),
		  *(uint64_t *)(self->mem + 2 * MIB));
	EXPECT_EQ(0, *(uint64_t *)(self->mem + 2 * MIB + part));
	EXPECT_EQ(pattern_word(1, 3 * MIB / 8),
		  *(uint64_t *)(self->mem + 3 * MIB));
}

/* The driver is unbound and brings it home; it is of use again afterwards. */
TEST_F_TIMEOUT(nouveau_svm, unbound, 120)
{
	struct exporter again;

	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, wrong(self->mem, SIZE, 1));
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	EXPECT_EQ(0, wrong(self->mem, SIZE, 1));

	ASSERT_EQ(0, exporter_open(&again, getenv("GPU0")));
	ASSERT_EQ(0, exporter_place(&again, self->mem, SIZE));
	EXPECT_EQ(0, wrong(self->mem, SIZE, 1));
	exporter_close(&again);
}

/* A process is killed while its memory is moved there and back. */
TEST_F_TIMEOUT(nouveau_svm, killed, 120)
{
	int status;
	size_t i;
	pid_t pid;

	for (i = 0; i < 5; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		while (!pid)
			migrate_often(i, variant->thp);
		usleep(700000);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
	}
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	EXPECT_EQ(0, wrong(self->mem, SIZE, 1));
}

/* From one GPU to the other, by way of RAM */
TEST_F(nouveau_svm, two_gpus)
{
	struct exporter second;
	size_t i;

	ASSERT_NE(NULL, getenv("GPU1"));
	ASSERT_EQ(0, exporter_open(&second, getenv("GPU1")));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
		EXPECT_EQ(0, wrong(self->mem, SIZE / 2, 1));
		ASSERT_EQ(0, exporter_place(&second, self->mem, SIZE / 2));
		EXPECT_EQ(0, wrong(self->mem, SIZE, 1));
	}
	exporter_close(&second);
}

TEST_HARNESS_MAIN
