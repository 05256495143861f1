// SPDX-License-Identifier: GPL-2.0
/*
 * What nouveau maps on the GPU in SVM_BIND: the GPU uses that memory without a
 * page fault, whether it has moved to VRAM or not, and finds it where it is now.
 * QEMU counts the page faults of gpu0, which is GPU0.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "exporter.h"
#include "machine.h"
#include "mem.h"

#define SIZE		(2 * MIB)
#define PART		(64 * PAGE)
/* Of the memory: what a pipe holds, and what moves */
#define HELD		(64 * PAGE)
#define MOVED		(256 * PAGE)

FIXTURE(nouveau_bind) {
	struct exporter exp;
	FILE *monitor;
	unsigned char *mem, *other, *ref;
	void *map[2];
	size_t map_size;
	int pipe[2];
};

FIXTURE_VARIANT(nouveau_bind) {
	bool thp;
};

FIXTURE_VARIANT_ADD(nouveau_bind, pte) { };
FIXTURE_VARIANT_ADD(nouveau_bind, thp) { .thp = true };

FIXTURE_SETUP(nouveau_bind)
{
	ASSERT_NE(NULL, getenv("GPU0"));
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	ASSERT_STREQ("nouveau", self->exp.ops->driver);
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	self->mem = map_aligned(SIZE, variant->thp, &self->map[0],
				&self->map_size);
	self->other = map_aligned(SIZE, false, &self->map[1], &self->map_size);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->mem);
	ASSERT_NE(NULL, self->other);
	ASSERT_NE(NULL, self->ref);
	pattern_fill(self->ref, SIZE, 1, 0);
	memcpy(self->mem, self->ref, SIZE);
	ASSERT_EQ(0, pipe(self->pipe));
	/* What a first copy of a process does on its way is not counted. */
	memset(self->other, 0, SIZE);
	ASSERT_EQ(0, exporter_place(&self->exp, self->other, SIZE));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->other, self->other, SIZE));
}

FIXTURE_TEARDOWN(nouveau_bind)
{
	device_set(self->monitor, "gpu0", "x-hang-copies", 0);
	close(self->pipe[0]);
	close(self->pipe[1]);
	munmap(self->map[0], self->map_size);
	munmap(self->map[1], self->map_size);
	free(self->ref);
	fclose(self->monitor);
	exporter_close(&self->exp);
}

/* Pages in a pipe cannot migrate, for the references that it has on them. */
static bool hold(struct _test_data_nouveau_bind *self, void *addr, size_t size)
{
	struct iovec iov = { .iov_base = addr, .iov_len = size };

	return fcntl(self->pipe[1], F_SETPIPE_SZ, MIB) >= 0 &&
	       vmsplice(self->pipe[1], &iov, 1, 0) == size;
}

/* SVM_BIND, once */
static int bind_once(struct _test_data_nouveau_bind *self, void *mem)
{
	return self->exp.ops->place(&self->exp, mem, SIZE);
}

/* The rest is in VRAM then; all of it is in RAM if it is one huge page. */
static void bind_held(struct __test_metadata *_metadata,
		      struct _test_data_nouveau_bind *self, bool thp)
{
	ASSERT_TRUE(hold(self, self->mem + HELD, PART));
	ASSERT_EQ(0, bind_once(self, self->mem));
	ASSERT_EQ(0, exporter_pages(self->mem + HELD, PART));
	if (thp) {
		ASSERT_EQ(0, exporter_pages(self->mem, SIZE));
	} else {
		ASSERT_LT(nr_pages(SIZE) / 2, exporter_pages(self->mem, SIZE));
	}
}

/* Copies by the GPU, of which it has to fault @least to @most pages */
static void copy(struct __test_metadata *_metadata,
		 struct _test_data_nouveau_bind *self, void *dst,
		 const void *src, size_t size, uint64_t least, uint64_t most)
{
	uint64_t before, after;

	ASSERT_EQ(0, device_get(self->monitor, "gpu0", "stat-faults", &before));
	ASSERT_EQ(0, exporter_copy(&self->exp, dst, src, size));
	ASSERT_EQ(0, device_get(self->monitor, "gpu0", "stat-faults", &after));
	EXPECT_LE(least, after - before);
	EXPECT_GE(most, after - before);
}

TEST_F(nouveau_bind, moved)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	copy(_metadata, self, self->other, self->mem, SIZE, 0, 0);
	copy(_metadata, self, self->mem, self->mem + PART, PART, 0, 0);
	EXPECT_EQ(nr_pages(SIZE), exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->other, self->ref, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref + PART, PART));
	EXPECT_EQ(0, memcmp(self->mem + PART, self->ref + PART, SIZE - PART));
}

/* What stays is read and written where it is, like what has moved. */
TEST_F(nouveau_bind, held)
{
	unsigned char *held = self->mem + HELD, *moved = self->mem + MOVED;

	bind_held(_metadata, self, variant->thp);
	copy(_metadata, self, moved, held, PART, 0, 0);
	copy(_metadata, self, held, moved + PART, PART, 0, 0);
	EXPECT_EQ(0, exporter_pages(held, PART));
	EXPECT_EQ(0, memcmp(moved, self->ref + HELD, PART));
	EXPECT_EQ(0, memcmp(held, self->ref + MOVED + PART, PART));
}

static void *bind_other(void *arg)
{
	struct _test_data_nouveau_bind *self = arg;

	bind_once(self, self->other);
	return NULL;
}

/* It can be used while the rest, small pages as well, is on its way to VRAM. */
TEST_F(nouveau_bind, held_while_copied)
{
	unsigned char *held = self->other + HELD;
	pthread_t thread;
	int tries = 500;

	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	pattern_fill(self->other, SIZE, 2, 0);
	ASSERT_TRUE(hold(self, held, PART));
	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-hang-copies", 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, bind_other, self));
	/* A page that is being migrated is not in RAM. */
	while (exporter_pages(self->other, PAGE) != 1 && --tries)
		usleep(10000);
	ASSERT_NE(0, tries);
	usleep(500000);

	copy(_metadata, self, self->mem, held, PART, 0, 0);
	copy(_metadata, self, held, self->mem + PART, PART, 0, 0);
	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-hang-copies", 0));
	ASSERT_EQ(0, pthread_join(thread, NULL));

	/* Nor has the rest of SVM_BIND taken it away. */
	copy(_metadata, self, self->mem + PART, held, PART, 0, 0);
	EXPECT_EQ(nr_pages(SIZE - PART), exporter_pages(self->other, SIZE));
	EXPECT_EQ(0, memcmp(held, self->ref + PART, PART));
	EXPECT_EQ(0, memcmp(self->mem + PART, self->ref + PART, PART));
	pattern_fill(self->ref, SIZE, 2, 0);
	EXPECT_EQ(0, memcmp(self->mem, self->ref + HELD, PART));
	EXPECT_EQ(0, memcmp(self->other, self->ref, HELD));
	EXPECT_EQ(0, memcmp(held + PART, self->ref + HELD + PART,
			    SIZE - HELD - PART));
}

/* Holes are filled in VRAM, which takes all of the chunk from the GPU again. */
TEST_F(nouveau_bind, holes)
{
	unsigned char *mem;
	size_t map_size;
	void *map;

	mem = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, mem);
	memcpy(mem + HELD, self->ref, PART);
	ASSERT_TRUE(hold(self, mem + HELD, PART));
	ASSERT_EQ(0, bind_once(self, mem));
	copy(_metadata, self, self->other, mem, SIZE, 0, 0);
	EXPECT_LT(nr_pages(SIZE) / 2, exporter_pages(mem, SIZE));

	memmove(self->ref + HELD, self->ref, PART);
	memset(self->ref, 0, HELD);
	memset(self->ref + HELD + PART, 0, SIZE - HELD - PART);
	EXPECT_EQ(0, memcmp(self->other, self->ref, SIZE));
	munmap(map, map_size);
}

/* Bound again, it is mapped again: mprotect() has unmapped it. */
TEST_F(nouveau_bind, again)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	copy(_metadata, self, self->other, self->mem, SIZE, 0, 0);
	EXPECT_EQ(nr_pages(SIZE), exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->other, self->ref, SIZE));
}

/* What the CPU may not write, the GPU may not either. */
TEST_F(nouveau_bind, read_only)
{
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
	ASSERT_EQ(0, bind_once(self, self->mem));
	copy(_metadata, self, self->other, self->mem, SIZE, 0, 0);
	EXPECT_EQ(0, memcmp(self->other, self->ref, SIZE));
	memset(self->other, 0, SIZE);
	/* The channel is killed. */
	exporter_copy(&self->exp, self->mem, self->other, SIZE);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* Shared after fork(), in RAM: the GPU writes to a copy, after a fault. */
TEST_F(nouveau_bind, held_and_forked)
{
	unsigned char *held = self->mem + HELD;
	int go[2], status;
	pid_t child;

	ASSERT_TRUE(hold(self, held, PART));
	ASSERT_EQ(0, pipe(go));
	/* The GPU can go on to write there. */
	ASSERT_EQ(0, madvise(self->other, SIZE, MADV_DONTFORK));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(go[1]);
		if (read(go[0], &status, 1) != 0)
			_exit(2);
		_exit(memcmp(self->mem, self->ref, SIZE) != 0);
	}
	close(go[0]);
	ASSERT_EQ(0, bind_once(self, self->mem));
	ASSERT_EQ(0, exporter_pages(held, PART));
	copy(_metadata, self, self->other, held, PART, 0, 0);
	EXPECT_EQ(0, memcmp(self->other, self->ref + HELD, PART));
	pattern_fill(self->other, SIZE, 3, 0);
	ASSERT_EQ(0, exporter_place(&self->exp, self->other, SIZE));
	copy(_metadata, self, held, self->other, PART, 1, 2 * nr_pages(PART));
	EXPECT_EQ(0, memcmp(held, self->other, PART));
	close(go[1]);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

/* Memory of a file cannot move. What of it is there is mapped. */
TEST_F(nouveau_bind, file)
{
	unsigned char *mem;
	int fd = memfd_create("bound", 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, 2 * SIZE));
	mem = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, mem);
	memcpy(mem, self->ref, SIZE);
	ASSERT_EQ(0, self->exp.ops->place(&self->exp, mem, 2 * SIZE));
	copy(_metadata, self, self->other, mem, SIZE, 0, 0);
	copy(_metadata, self, mem + PART, mem, PART, 0, 0);
	EXPECT_EQ(0, memcmp(self->other, self->ref, SIZE));
	EXPECT_EQ(0, memcmp(mem + PART, self->ref, PART));
	/* It is not read in for this. */
	EXPECT_EQ(SIZE, lseek(fd, 0, SEEK_HOLE));
	munmap(mem, 2 * SIZE);
	close(fd);
}

/* A child that has the file has other memory at the same addresses. */
TEST_F(nouveau_bind, foreign)
{
	int status;
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		memset(self->mem, 0x5a, SIZE);
		_exit(bind_once(self, self->mem) != -EINVAL);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, exporter_copy(&self->exp, self->other, self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->other, self->ref, SIZE));
}

struct churn {
	unsigned char *mem;
	volatile bool stop;
};

/* Pages go and come while they are bound. */
static void *churn(void *arg)
{
	struct churn *c = arg;
	uint64_t round;
	size_t i;

	for (round = 0; !c->stop; round++) {
		i = round * 7 % nr_pages(SIZE) * PAGE;
		madvise(c->mem + i, PAGE, MADV_DONTNEED);
		if (round % 3)
			*(uint64_t *)(c->mem + i) = round;
		usleep(100);
	}
	return NULL;
}

/* After all of that the GPU reads what the CPU reads. */
TEST_F_TIMEOUT(nouveau_bind, churn, 120)
{
	struct churn c = { .mem = self->mem };
	pthread_t thread;
	size_t i;

	ASSERT_EQ(0, pthread_create(&thread, NULL, churn, &c));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(0, bind_once(self, self->mem));
	EXPECT_EQ(0, exporter_copy(&self->exp, self->other, self->mem, SIZE));
	for (i = 0; i < 10; i++)
		EXPECT_EQ(0, bind_once(self, self->mem));
	c.stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(0, exporter_copy(&self->exp, self->other, self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->other, self->mem, SIZE));
}

/*
 * The process that has mapped it exits. A child has the file, and so the
 * channel, but what is at these addresses is nobody's.
 */
TEST_F(nouveau_bind, exited)
{
	uint64_t before = 0, after = 0;
	int told[2], status;
	pid_t parent;

	ASSERT_EQ(0, pipe(told));
	parent = fork();
	ASSERT_LE(0, parent);
	if (!parent) {
		struct exporter own;

		if (exporter_open(&own, getenv("GPU0")) ||
		    exporter_copy(&own, self->other, self->mem, SIZE))
			_exit(1);
		if (fork())
			_exit(0);
		sleep(1);
		device_get(self->monitor, "gpu0", "stat-faults", &before);
		/* If they are still mapped, this changes nothing there. */
		exporter_copy(&own, self->mem, self->mem, SIZE);
		device_get(self->monitor, "gpu0", "stat-faults", &after);
		before = after - before;
		if (write(told[1], &before, sizeof(before)) != sizeof(before))
			_exit(2);
		_exit(0);
	}
	close(told[1]);
	ASSERT_EQ(parent, waitpid(parent, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(sizeof(before), read(told[0], &before, sizeof(before)));
	EXPECT_LT(0, before);
	close(told[0]);
}

TEST_HARNESS_MAIN
