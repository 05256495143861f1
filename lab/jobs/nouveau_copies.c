// SPDX-License-Identifier: GPL-2.0
/*
 * nouveau when its copy engine fails: QEMU is told to have the next copy of gpu0
 * end with a fault, which kills the channel, or not to begin. That GPU is GPU0.
 */
#include "../kselftest_harness.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "exporter.h"
#include "machine.h"
#include "mem.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)

FIXTURE(nouveau_copies) {
	struct exporter exp;
	FILE *monitor;
	unsigned char *mem, *ref;
	void *map;
	size_t map_size;
};

FIXTURE_VARIANT(nouveau_copies) {
	bool thp;
};

FIXTURE_VARIANT_ADD(nouveau_copies, pte) { };
FIXTURE_VARIANT_ADD(nouveau_copies, thp) { .thp = true };

FIXTURE_SETUP(nouveau_copies)
{
	ASSERT_NE(NULL, getenv("GPU0"));
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	self->mem = map_aligned(SIZE, variant->thp, &self->map,
				&self->map_size);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->mem);
	ASSERT_NE(NULL, self->ref);
	pattern_fill(self->ref, SIZE, 1, 0);
	memcpy(self->mem, self->ref, SIZE);
}

/* The channel is dead. With the driver bound anew all works again. */
FIXTURE_TEARDOWN(nouveau_copies)
{
	struct exporter again;

	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	exporter_close(&self->exp);
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	ASSERT_EQ(0, exporter_open(&again, getenv("GPU0")));
	memcpy(self->mem, self->ref, SIZE);
	ASSERT_EQ(0, exporter_place(&again, self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	exporter_close(&again);
	munmap(self->map, self->map_size);
	free(self->ref);
	fclose(self->monitor);
}

/* What cannot be copied back by the engine is read by the CPU. */
TEST_F_TIMEOUT(nouveau_copies, killed, 120)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-fail-copies", 1));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, PAGE));
	/* Now the channel is dead before the copy. */
	EXPECT_EQ(0, memcmp(self->mem + HALF, self->ref + HALF, HALF));
	EXPECT_EQ(0, exporter_pages(self->mem + HALF, HALF));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* Neither is it lost when the driver is unbound then. */
TEST_F_TIMEOUT(nouveau_copies, killed_unbound, 120)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-fail-copies", 1));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
}

/* What cannot be copied to VRAM stays in RAM, with its contents. */
TEST_F_TIMEOUT(nouveau_copies, killed_on_the_way_there, 120)
{
	size_t i;

	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-fail-copies", 1));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-ENXIO, exporter_place(&self->exp, self->mem, SIZE));
		EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
		EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	}
}

static int hang(struct _test_data_nouveau_copies *self, bool on)
{
	return device_set(self->monitor, "gpu0", "x-hang-copies", on);
}

/*
 * Copies do not end. They have to be given up before anybody uses the memory:
 * what was to be copied would come late.
 */
TEST_F_TIMEOUT(nouveau_copies, hung, 240)
{
	uint64_t copies, now;

	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, hang(self, true));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	pattern_fill(self->ref, SIZE, 2, 0);
	memcpy(self->mem, self->ref, SIZE);
	ASSERT_EQ(0, device_get(self->monitor, "gpu0", "stat-copies", &copies));
	ASSERT_EQ(0, hang(self, false));
	sleep(1);
	ASSERT_EQ(0, device_get(self->monitor, "gpu0", "stat-copies", &now));
	EXPECT_EQ(copies, now);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_F_TIMEOUT(nouveau_copies, hung_on_the_way_there, 240)
{
	uint64_t copies, now;

	ASSERT_EQ(0, device_get(self->monitor, "gpu0", "stat-copies", &copies));
	ASSERT_EQ(0, hang(self, true));
	EXPECT_EQ(-ENXIO, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, hang(self, false));
	sleep(1);
	ASSERT_EQ(0, device_get(self->monitor, "gpu0", "stat-copies", &now));
	EXPECT_EQ(copies, now);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/*
 * What was never touched is not shown before it is cleared: in VRAM is what
 * somebody else has left there.
 */
TEST_F_TIMEOUT(nouveau_copies, hung_before_the_clear, 240)
{
	unsigned char *mem;
	size_t map_size, i;
	uint64_t any = 0;
	void *map;

	mem = map_aligned(SIZE, variant->thp, &map, &map_size);
	ASSERT_NE(NULL, mem);
	pattern_fill(mem, SIZE, 3, 0);
	ASSERT_EQ(0, exporter_place(&self->exp, mem, SIZE));
	ASSERT_EQ(0, munmap(map, map_size));

	mem = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, mem);
	if (variant->thp)
		ASSERT_EQ(0, madvise(mem, SIZE, MADV_HUGEPAGE));
	ASSERT_EQ(0, hang(self, true));
	EXPECT_EQ(-ENXIO, exporter_place(&self->exp, mem, SIZE));
	ASSERT_EQ(0, hang(self, false));
	for (i = 0; i < SIZE / sizeof(any); i++)
		any |= ((uint64_t *)mem)[i];
	EXPECT_EQ(0, any);
	munmap(map, map_size);
}

TEST_F_TIMEOUT(nouveau_copies, hung_unbound, 240)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, hang(self, true));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	ASSERT_EQ(0, hang(self, false));
	EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
}

TEST_HARNESS_MAIN
