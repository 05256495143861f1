// SPDX-License-Identifier: GPL-2.0
/* Coverage: of the kernel if it has KCOV, else of what operations have returned */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kcov.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "torture.h"

#define KCOV_WORDS	(64UL << 10)

/* A thread's own; a child of fork() has none of its parent's. */
static __thread uint64_t *cover;
static __thread uint64_t last;

void covered(uint64_t what)
{
	uint64_t x = what * 0x9e3779b97f4a7c15ULL;
	uint8_t *seen;

	/* The place, and from where it was reached */
	x ^= last;
	last = what * 0xbf58476d1ce4e5b9ULL;
	seen = &shared->seen[(x ^ x >> 32) % sizeof(shared->seen)];
	if (!*seen) {
		*seen = 1;
		shared->fresh++;
	}
}

bool kcov_open(void)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	cover = NULL;
	if (fd < 0)
		return false;
	if (!ioctl(fd, KCOV_INIT_TRACE, KCOV_WORDS)) {
		cover = mmap(NULL, KCOV_WORDS * sizeof(*cover),
			     PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (cover == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC))
			cover = NULL;
	}
	/* What is enabled ends with the thread, and the mapping holds the file. */
	close(fd);
	return cover;
}

void kcov_begin(void)
{
	if (cover)
		__atomic_store_n(cover, 0, __ATOMIC_RELAXED);
}

void kcov_end(void)
{
	uint64_t i, n = cover ? __atomic_load_n(cover, __ATOMIC_RELAXED) : 0;

	last = 0;
	for (i = 1; i <= n; i++)
		covered(cover[i]);
}
