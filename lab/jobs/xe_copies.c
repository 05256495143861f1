// SPDX-License-Identifier: GPL-2.0
/*
 * xe when copies to and from VRAM fail: QEMU is told to have those of gpu0 do so.
 * The driver resets the device, tries again, and gives the device up. That GPU is
 * GPU0.
 */
#include <sys/mman.h>

#include "machine.h"
#include "xe_fixture.h"

#define SIZE		(4 * MIB)
#define ALWAYS		1000000
#define LEFT		(256 * MIB)
#define LEFT_BYTE	0x5a

FIXTURE(xe_copies) {
	struct exporter exp;
	struct xe_mem m;
	FILE *monitor;
};

FIXTURE_VARIANT(xe_copies) {
	bool thp;
};

FIXTURE_VARIANT_ADD(xe_copies, pte) { };
FIXTURE_VARIANT_ADD(xe_copies, thp) { .thp = true };

FIXTURE_SETUP(xe_copies)
{
	if (xe_absent("GPU0"))
		SKIP(return, "%s", xe_absent("GPU0"));
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU0")));
	ASSERT_EQ(0, xe_mem_open(&self->m, SIZE, variant->thp));
	xe_mem_fill(&self->m, 1);
}

/* With the driver bound anew all works again. */
FIXTURE_TEARDOWN(xe_copies)
{
	struct exporter again;

	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-fail-copies", 0));
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	exporter_close(&self->exp);
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	ASSERT_EQ(0, exporter_open(&again, getenv("GPU0")));
	xe_mem_fill(&self->m, 2);
	ASSERT_EQ(0, exporter_place(&again, self->m.mem, SIZE));
	expect_data(_metadata, &self->m);
	exporter_close(&again);
	xe_mem_close(&self->m);
	fclose(self->monitor);
}

static size_t not_zero(const struct xe_mem *m)
{
	const uint64_t *word = (void *)m->mem;
	size_t i, n = 0;

	for (i = 0; i < m->size / sizeof(*word); i++)
		n += word[i] != 0;
	return n;
}

/*
 * What cannot be copied back is lost: the process gets an error and, when the
 * driver goes, zeroes. It never gets what is in RAM by chance.
 */
TEST_F_TIMEOUT(xe_copies, to_ram, 240)
{
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, exporter_place(&self->exp, self->m.mem, SIZE));
	ASSERT_EQ(0, mem_leave(LEFT, LEFT_BYTE));
	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-fail-copies",
				ALWAYS));
	/* The CPU reads it, in the kernel. */
	EXPECT_EQ(-1, write(pipes[1], self->m.mem, PAGE));
	EXPECT_EQ(EFAULT, errno);
	expect_vram(_metadata, &self->m, SIZE);
	ASSERT_EQ(0, exporter_bind(&self->exp, false));
	expect_vram(_metadata, &self->m, 0);
	EXPECT_EQ(0, not_zero(&self->m));
	ASSERT_EQ(0, exporter_bind(&self->exp, true));
	close(pipes[0]);
	close(pipes[1]);
}

/* What cannot be copied there stays, with its contents. */
TEST_F_TIMEOUT(xe_copies, to_vram, 240)
{
	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "x-fail-copies",
				ALWAYS));
	EXPECT_NE(0, exporter_place(&self->exp, self->m.mem, SIZE));
	expect_vram(_metadata, &self->m, 0);
	expect_data(_metadata, &self->m);
}

TEST_HARNESS_MAIN
