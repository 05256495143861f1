// SPDX-License-Identifier: GPL-2.0
/*
 * nouveau when its copy engine fails: QEMU is told to have the next copy of gpu0
 * end with a fault, which kills the channel. That GPU is GPU0.
 */
#include "../kselftest_harness.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "exporter.h"
#include "machine.h"
#include "mem.h"

#define SIZE		(4 * MIB)

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

/* The signal that ends a process that reads there; 0: none */
static int signal_of_read(const unsigned char *mem)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		_exit(__atomic_load_n(mem, __ATOMIC_RELAXED) & 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* What cannot be copied back is not given to the program as zeroes. */
TEST_F_TIMEOUT(nouveau_copies, killed, 120)
{
	ASSERT_EQ(0, exporter_place(&self->exp, self->mem, SIZE));
	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "fail-copies", 1));
	EXPECT_EQ(SIGBUS, signal_of_read(self->mem));
	/* Now the channel is dead before the copy. */
	EXPECT_EQ(SIGBUS, signal_of_read(self->mem + SIZE / 2));
	EXPECT_EQ(SIGBUS, signal_of_read(self->mem));
	EXPECT_EQ(SIZE / PAGE, exporter_pages(self->mem, SIZE));
}

/* What cannot be copied to VRAM stays in RAM, with its contents. */
TEST_F_TIMEOUT(nouveau_copies, killed_on_the_way_there, 120)
{
	size_t i;

	ASSERT_EQ(0, device_set(self->monitor, "gpu0", "fail-copies", 1));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-ENXIO, exporter_place(&self->exp, self->mem, SIZE));
		EXPECT_EQ(0, exporter_pages(self->mem, SIZE));
		EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	}
}

TEST_HARNESS_MAIN
