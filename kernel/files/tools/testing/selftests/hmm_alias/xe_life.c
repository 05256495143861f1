// SPDX-License-Identifier: GPL-2.0
/*
 * xe's device goes away, or the process does, with memory in VRAM and mapped for
 * the GPU. The data stay, and the device can be used again.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "xe_fixture.h"

#define SIZE	(4 * MIB)
#define HALF	(SIZE / 2)

FIXTURE(xe_life) {
	const char *bdf;
	struct exporter exp;
	struct xe *xe;
	struct xe_mem m;
	struct xe_mem other;
};

FIXTURE_VARIANT(xe_life) {
	bool thp;
};

FIXTURE_VARIANT_ADD(xe_life, pte) { };
FIXTURE_VARIANT_ADD(xe_life, thp) { .thp = true };

FIXTURE_SETUP(xe_life)
{
	if (xe_absent("GPU0"))
		SKIP(return, "%s", xe_absent("GPU0"));
	self->bdf = getenv("GPU0");
	ASSERT_EQ(0, exporter_open(&self->exp, self->bdf));
	self->xe = self->exp.priv;
	ASSERT_EQ(0, xe_mem_open(&self->m, SIZE, variant->thp));
	ASSERT_EQ(0, xe_mem_open(&self->other, SIZE, variant->thp));
	xe_mem_fill(&self->m, 1);
	xe_mem_fill(&self->other, 2);
	ASSERT_EQ(0, exporter_place(&self->exp, self->m.mem, SIZE));
}

FIXTURE_TEARDOWN(xe_life)
{
	xe_mem_close(&self->m);
	xe_mem_close(&self->other);
	exporter_close(&self->exp);
}

/* The device is back, or has never been away: it works. */
static void expect_works(struct __test_metadata *_metadata,
			 struct _test_data_xe_life *self)
{
	struct xe_mem *m = &self->other;

	exporter_close(&self->exp);
	ASSERT_EQ(0, exporter_open(&self->exp, self->bdf));
	self->xe = self->exp.priv;
	xe_mem_fill(m, 3);
	ASSERT_EQ(0, exporter_place(&self->exp, m->mem, SIZE));
	expect_vram(_metadata, m, SIZE);
	ASSERT_EQ(0, xe_copy(self->xe, m->mem + HALF, m->mem, HALF));
	EXPECT_EQ(0, memcmp(m->mem, m->mem + HALF, HALF));
}

/* Everything is home, and what the process does with it is its own affair. */
TEST_F_TIMEOUT(xe_life, unbind_unmap, 120)
{
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	expect_vram(_metadata, &self->m, 0);
	expect_data(_metadata, &self->m);
	ASSERT_EQ(0, munmap(self->m.mem, HALF));
	ASSERT_EQ(0, munmap(self->m.mem + HALF, HALF));
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	expect_works(_metadata, self);
}

/* The GPU has mapped memory in RAM, which no eviction takes away. */
TEST_F_TIMEOUT(xe_life, unbind_mapped, 120)
{
	struct xe_mem *m = &self->other;
	int status;
	pid_t pid;

	ASSERT_EQ(0, xe_prefetch(self->xe, m->mem, SIZE, XE_RAM));
	ASSERT_EQ(0, xe_copy(self->xe, m->mem, self->m.mem, HALF));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));

	/* A fork protects the pages, a write makes new ones. */
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(0);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, memcmp(m->mem, self->m.mem, HALF));
	xe_mem_fill(m, 4);
	expect_data(_metadata, m);
	ASSERT_EQ(0, munmap(m->mem, HALF));
	expect_data(_metadata, &self->m);
	ASSERT_EQ(m->mem, mmap(m->mem, HALF, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			       -1, 0));
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	expect_works(_metadata, self);
}

/* The same with memory that is not in the mirror */
TEST_F_TIMEOUT(xe_life, unbind_userptr, 120)
{
	struct xe_mem *m = &self->other;

	ASSERT_EQ(0, xe_map_userptr(self->xe, m->mem, SIZE));
	ASSERT_EQ(0, xe_copy(self->xe, m->mem, self->m.mem, HALF));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	EXPECT_EQ(0, memcmp(m->mem, self->m.mem, HALF));
	ASSERT_EQ(0, munmap(m->mem, HALF));
	ASSERT_EQ(m->mem, mmap(m->mem, HALF, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
			       -1, 0));
	expect_data(_metadata, &self->m);
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	expect_works(_metadata, self);
}

/* The same with the end of the process, before that of its files */
TEST_F_TIMEOUT(xe_life, unbind_exit, 120)
{
	int status, ready[2], go[2];
	char c = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct exporter exp;
		int ret = exporter_open(&exp, self->bdf);

		if (!ret)
			ret = exporter_place(&exp, self->m.mem, HALF);
		if (!ret)
			ret = xe_prefetch(exp.priv, self->other.mem, SIZE,
					  XE_RAM);
		if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 1)
			ret = -EIO;
		_exit(ret ? 1 : 0);
	}
	ASSERT_EQ(1, read(ready[0], &c, 1));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	ASSERT_EQ(1, write(go[1], &c, 1));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	expect_data(_metadata, &self->m);
	expect_works(_metadata, self);
}

/* What is in VRAM is a child's, and who placed it there has gone. */
TEST_F_TIMEOUT(xe_life, unbind_orphan, 120)
{
	struct xe_mem *m = &self->other;
	int ready[2], go[2], done[2];
	char c = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, pipe(done));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct exporter exp;

		if (exporter_open(&exp, self->bdf) ||
		    exporter_place(&exp, m->mem, SIZE) || fork())
			_exit(0);
		/* Not the VM, which is the parent's: the memory alone */
		close(exp.fd);
		close(self->exp.fd);
		close(done[0]);
		c = exporter_pages(m->mem, SIZE) == (long)nr_pages(SIZE);
		if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(1);
		c = !exporter_pages(m->mem, SIZE) && !xe_mem_wrong(m);
		_exit(write(done[1], &c, 1) != 1);
	}
	close(done[1]);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_EQ(1, read(ready[0], &c, 1));
	EXPECT_EQ(1, c);
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	ASSERT_EQ(1, write(go[1], &c, 1));
	EXPECT_EQ(1, read(done[0], &c, 1));
	EXPECT_EQ(1, c);
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	expect_works(_metadata, self);
}

struct toucher {
	struct xe_mem *m;
	bool stop;
	size_t wrong;
};

static void *touch(void *arg)
{
	struct toucher *t = arg;
	size_t i, words = t->m->size / sizeof(uint64_t);
	uint64_t *word = (void *)t->m->mem;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED))
		for (i = 0; i < words; i += 512)
			t->wrong += __atomic_load_n(&word[i], __ATOMIC_RELAXED)
				    != pattern_word(t->m->seed, i);
	return NULL;
}

/*
 * The eviction at an unbind finds pages that are locked, because a CPU faults on
 * them or an importer does. It has to wait for them.
 */
TEST_F_TIMEOUT(xe_life, unbind_busy, 300)
{
	struct toucher t = { .m = &self->m };
	pthread_t thread;
	int dma = -1, i;

	if (!dma_env_absent()) {
		dma = dma_open(getenv("DMA0"));
		ASSERT_LE(0, dma);
		ASSERT_EQ(0, dma_register(dma, self->other.mem, SIZE));
	}
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(0, exporter_place(&self->exp, self->other.mem, SIZE));
		ASSERT_EQ(0, exporter_place(&self->exp, self->m.mem, SIZE));
		t.stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, touch, &t));
		if (dma >= 0)
			EXPECT_EQ(0, dma_fault(dma, self->other.mem, SIZE,
					       NULL));
		EXPECT_EQ(0, exporter_bind(&self->exp, false));
		expect_vram(_metadata, &self->m, 0);
		expect_vram(_metadata, &self->other, 0);
		__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
		ASSERT_EQ(0, pthread_join(thread, NULL));
		EXPECT_EQ(0, t.wrong);
		expect_data(_metadata, &self->m);
		expect_data(_metadata, &self->other);
		exporter_close(&self->exp);
		ASSERT_EQ(0, exporter_bind(&self->exp, true));
		ASSERT_EQ(0, exporter_open(&self->exp, self->bdf));
		self->xe = self->exp.priv;
	}
	if (dma >= 0)
		close(dma);
	expect_works(_metadata, self);
}

/* The GPU is at work, and has page faults. */
TEST_F_TIMEOUT(xe_life, unbind_running, 120)
{
	size_t i;

	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, xe_copy_start(self->xe, self->other.mem,
					   self->m.mem, SIZE));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	expect_vram(_metadata, &self->m, 0);
	expect_data(_metadata, &self->m);
	/* Each word is what it was, or what was copied. */
	for (i = 0; i < SIZE / 8; i++)
		if (((uint64_t *)self->other.mem)[i] != pattern_word(1, i) &&
		    ((uint64_t *)self->other.mem)[i] != pattern_word(2, i))
			break;
	EXPECT_EQ(SIZE / 8, i);
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	expect_works(_metadata, self);
}

/* The device leaves the bus, and comes back. */
TEST_F_TIMEOUT(xe_life, removed, 120)
{
	ASSERT_EQ(0, xe_prefetch(self->xe, self->other.mem, SIZE, XE_RAM));
	ASSERT_EQ(0, pci_remove(self->bdf));
	expect_vram(_metadata, &self->m, 0);
	expect_data(_metadata, &self->m);
	expect_data(_metadata, &self->other);
	ASSERT_EQ(0, pci_rescan());
	expect_works(_metadata, self);
}

TEST_F_TIMEOUT(xe_life, forked, 120)
{
	struct xe_mem *m = &self->m;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (xe_mem_wrong(m))
			_exit(1);
		xe_mem_fill(m, 5);
		_exit(xe_mem_wrong(m) ? 2 : 0);
	}
	/* Of both, until one writes */
	ASSERT_EQ(0, xe_copy(self->xe, self->other.mem, m->mem, SIZE));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	expect_data(_metadata, m);
	self->other.seed = m->seed;
	expect_data(_metadata, &self->other);
	ASSERT_EQ(0, xe_copy(self->xe, self->other.mem, m->mem, SIZE));
	expect_data(_metadata, &self->other);
}

TEST_F_TIMEOUT(xe_life, killed, 120)
{
	int status, ready[2], i;
	char c = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	for (i = 0; i < 3; i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			struct exporter exp;

			if (exporter_open(&exp, self->bdf) ||
			    exporter_place(&exp, self->other.mem, HALF) ||
			    xe_copy_start(exp.priv, self->other.mem,
					  self->m.mem, SIZE) ||
			    write(ready[1], &c, 1) != 1)
				_exit(1);
			pause();
			_exit(2);
		}
		ASSERT_EQ(1, read(ready[0], &c, 1));
		usleep(i * 3000);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
	}
	expect_data(_metadata, &self->m);
	expect_works(_metadata, self);
}

TEST_HARNESS_MAIN
