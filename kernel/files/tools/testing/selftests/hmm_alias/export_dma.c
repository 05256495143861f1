// SPDX-License-Identifier: GPL-2.0
/*
 * An exporter of any driver, and an importer with a DMA engine: GPU0 and DMA0.
 * Memory on the exporter is read and written in place if the administrator
 * consents and the two can reach each other; all else is done in RAM.
 *
 * An exporter may refuse at first, for instance because it makes room in its
 * BAR when it is asked. The page is in RAM then, and is moved and asked for
 * again.
 */
#define _GNU_SOURCE
#include "../kselftest_harness.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "dma.h"
#include "exporter.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)
#define ODD		1021	/* offset in a page */
/* So long may an exporter refuse */
#define PATIENCE	50	/* tenths of a second */

FIXTURE(export_dma) {
	struct exporter exp;
	int fd;
	bool alias;
	uint64_t mapped;
	unsigned char *mem, *ref;
	void *map;
	size_t map_size;
};

FIXTURE_VARIANT(export_dma) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(export_dma, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(export_dma, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(export_dma, refused_pte) { };

/* All of it on the exporter, with contents that @ref has as well. */
static int fill(struct exporter *exp, unsigned char *mem, unsigned char *ref,
		uint64_t seed)
{
	pattern_fill(ref, SIZE, seed, 0);
	memcpy(mem, ref, SIZE);
	return exporter_place(exp, mem, SIZE);
}

/* The same, until the exporter does not refuse: all can be mapped in place. */
static int fill_ready(struct exporter *exp, int fd, unsigned char *mem,
		      unsigned char *ref, uint64_t seed)
{
	int ret, tries;

	for (tries = 0; tries < PATIENCE; tries++) {
		ret = fill(exp, mem, ref, seed);
		if (!ret)
			ret = dma_fault(fd, mem, SIZE, NULL);
		if (ret)
			return ret;
		if (exporter_pages(mem, SIZE) == SIZE / PAGE)
			return 0;
		usleep(100000);
	}
	return -ETIMEDOUT;
}

FIXTURE_SETUP(export_dma)
{
	int reach;

	self->fd = -1;
	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	reach = reach_between("GPU0", "DMA0");
	ASSERT_LE(0, reach);
	self->mapped = dma_mapped_as(variant->consent, reach);
	self->alias = self->mapped & HMM_DMA_PAGE_ALIAS;
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	ASSERT_EQ(0, exporter_consent(self->exp.bdf, variant->consent));
	self->mem = map_aligned(SIZE, variant->thp, &self->map,
				&self->map_size);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->mem);
	ASSERT_NE(NULL, self->ref);
	self->fd = dma_open(getenv("DMA0"));
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
	if (self->alias) {
		ASSERT_EQ(0, fill_ready(&self->exp, self->fd, self->mem,
					self->ref, 1));
	} else {
		ASSERT_EQ(0, fill(&self->exp, self->mem, self->ref, 1));
	}
}

FIXTURE_TEARDOWN(export_dma)
{
	if (self->fd >= 0)
		close(self->fd);
	if (self->map)
		munmap(self->map, self->map_size);
	free(self->ref);
	exporter_close(&self->exp);
	exporter_consent(getenv("GPU0"), true);
}

/* Where it has been all the time, and what it is at the end. */
#define expect_place()							\
do {									\
	EXPECT_EQ(self->alias ? SIZE / PAGE : 0,			\
		  exporter_pages(self->mem, SIZE));			\
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));		\
} while (0)

/* Both directions, at pages that differ in where they are in their folio */
TEST_F_TIMEOUT(export_dma, both_ways, 120)
{
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(self->fd, self->mem, SIZE,
				       self->mapped));
	EXPECT_EQ(0, dma_both_ways(self->fd, self->mem, self->ref, SIZE));
	expect_place();
}

/* The exporter's engine and the importer use the same pages. */
TEST_F_TIMEOUT(export_dma, engine_as_well, 120)
{
	unsigned char *out;
	size_t map_size;
	void *map;

	out = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, out);
	EXPECT_EQ(0, dma_write(self->fd, self->mem + HALF + ODD,
			       self->ref + HALF + ODD, LEN, 3));
	ASSERT_EQ(0, exporter_copy(&self->exp, out, self->mem, SIZE));
	EXPECT_EQ(0, memcmp(out, self->ref, SIZE));
	pattern_fill(self->ref, SIZE, 4, 0);
	memcpy(out, self->ref, SIZE);
	ASSERT_EQ(0, exporter_copy(&self->exp, self->mem, out, SIZE));
	EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF));
	EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
	if (self->alias)
		EXPECT_EQ(SIZE / PAGE, exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	munmap(map, map_size);
}

/*
 * Pages in RAM that the kernel may drop unless they are written: what the engine
 * writes counts as written. The other half shows that the kernel does drop.
 */
TEST_F_TIMEOUT(export_dma, madv_free, 120)
{
	size_t i, map_size, dropped = 0;
	unsigned char *mem;
	cpu_set_t cpus;
	void *map;

	/* MADV_FREE works in batches, one per CPU. */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	mem = map_aligned(SIZE, variant->thp, &map, &map_size);
	ASSERT_NE(NULL, mem);
	memset(mem, 0x55, SIZE);
	ASSERT_EQ(0, madvise(mem, SIZE, MADV_FREE));
	ASSERT_EQ(0, exporter_copy(&self->exp, mem, self->mem, HALF));
	ASSERT_EQ(0, exporter_pages(mem, SIZE));

	ASSERT_EQ(0, madvise(mem, SIZE, MADV_PAGEOUT));
	for (i = HALF; i < SIZE; i += PAGE)
		dropped += !mem[i];
	EXPECT_LT(0, dropped)
		TH_LOG("the kernel reclaims nothing: this shows nothing");
	EXPECT_EQ(0, memcmp(mem, self->ref, HALF));
	munmap(map, map_size);
}

/* What moves the importer loses, and finds again where it is. */
TEST_F_TIMEOUT(export_dma, moved, 120)
{
	size_t i;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
		EXPECT_EQ(0, dma_write(self->fd, self->mem + HALF,
				       self->ref + HALF, BUF, 20 + i));
		ASSERT_EQ(0, exporter_evict(&self->exp, self->mem, SIZE));
		if (self->alias)
			EXPECT_EQ(0, dma_all_mapped_as(self->fd, self->mem,
						       SIZE, 0));
		EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
		EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF,
				       self->ref + HALF, BUF));
		ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
		EXPECT_EQ(0, dma_all_mapped_as(self->fd, self->mem, SIZE, 0));
		EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF,
				       self->ref + HALF, BUF));
	}
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* Consent decides about what is mapped from then on. */
TEST_F_TIMEOUT(export_dma, consent_comes_and_goes, 120)
{
	size_t i;
	bool on;

	for (i = 0; i < 4; i++) {
		on = i % 2;
		ASSERT_EQ(0, exporter_consent(self->exp.bdf, on));
		/* To be mapped anew: it was not on the exporter before. */
		ASSERT_EQ(0, exporter_evict(&self->exp, self->mem, SIZE));
		ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
		EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
		/* The exporter may take some time to be ready again. */
		if (!on)
			EXPECT_GT(SIZE / PAGE, exporter_pages(self->mem, SIZE));
	}
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_F_TIMEOUT(export_dma, munmap, 60)
{
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	ASSERT_EQ(0, munmap(self->mem + HALF, HALF));
	EXPECT_EQ(0, dma_all_mapped_as(self->fd, self->mem + HALF, HALF, 0));
	EXPECT_EQ(-EFAULT, dma_xfer(self->fd, (uintptr_t)self->mem + HALF, LEN,
				    0));
	EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
	EXPECT_EQ(self->alias ? HALF / PAGE : 0,
		  exporter_pages(self->mem, HALF));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, HALF));
}

/* The driver brings all home, and the importer follows. */
TEST_F_TIMEOUT(export_dma, unbound, 120)
{
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_write(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF, 5));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF));
	exporter_close(&self->exp);
	ASSERT_EQ(0, exporter_bind(&self->exp, true));

	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	ASSERT_EQ(0, exporter_consent(self->exp.bdf, variant->consent));
	if (!self->alias)
		return;
	ASSERT_EQ(0, fill_ready(&self->exp, self->fd, self->mem, self->ref,
				6));
	EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF));
	expect_place();
}

/* The device is taken off the bus, and found again. */
TEST_F_TIMEOUT(export_dma, removed, 120)
{
	char bdf[32];

	snprintf(bdf, sizeof(bdf), "%s", self->exp.bdf);
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	ASSERT_EQ(0, pci_remove(bdf));
	EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF));
	exporter_close(&self->exp);
	ASSERT_EQ(0, pci_rescan());

	ASSERT_EQ(0, exporter_open(&self->exp, bdf));
	ASSERT_EQ(0, exporter_consent(bdf, variant->consent));
	if (!self->alias)
		return;
	ASSERT_EQ(0, fill_ready(&self->exp, self->fd, self->mem, self->ref,
				6));
	EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF));
	expect_place();
}

/* The machine sleeps while the memory is aliased. */
TEST_F_TIMEOUT(export_dma, suspended, 120)
{
	size_t i;

	if (!getenv("HMM_ALIAS_SUSPEND"))
		SKIP(return, "HMM_ALIAS_SUSPEND is not set");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
		EXPECT_EQ(0, dma_write(self->fd, self->mem + HALF,
				       self->ref + HALF, BUF, 5));
		ASSERT_EQ(0, pci_suspend());
		EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF,
				       self->ref + HALF, BUF));
		EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
		EXPECT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
		if (!self->alias)
			continue;
		ASSERT_EQ(0, fill_ready(&self->exp, self->fd, self->mem,
					self->ref, 6 + i));
		EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF,
				       self->ref + HALF, BUF));
		expect_place();
	}
}

/* Its memory is aliased, and a process is killed in the middle of transfers. */
TEST_F_TIMEOUT(export_dma, killed, 60)
{
	int go[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct exporter exp;
		int fd = dma_open(getenv("DMA0"));

		if (fd < 0 || exporter_open(&exp, getenv("GPU0")) ||
		    dma_register(fd, self->mem, SIZE) ||
		    fill(&exp, self->mem, self->ref, 8))
			_exit(2);
		for (status = 0; ; status++) {
			if (dma_check(fd, self->mem + HALF, self->ref + HALF,
				      BUF))
				_exit(3);
			if (status == 1 && write(go[1], &status, 1) != 1)
				_exit(4);
		}
	}
	close(go[1]);
	ASSERT_EQ(1, read(go[0], &status, 1));
	close(go[0]);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));

	/* The parent has what it had. */
	EXPECT_EQ(0, dma_check(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_HARNESS_MAIN
