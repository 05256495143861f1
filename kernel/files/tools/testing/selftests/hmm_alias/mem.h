/* SPDX-License-Identifier: GPL-2.0 */
/* Memory under test, and contents of it that are known at every word. */
#ifndef MEM_H
#define MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uffd_msg;

#define PAGE		4096UL
#define MIB		(1024UL * 1024)

static inline size_t nr_pages(size_t size)
{
	return size / PAGE;
}

/*
 * Anonymous memory aligned to 2 MiB, with or without huge pages. It is not
 * populated unless @thp, then it is, with huge pages, and zero. @map and
 * @map_size are what to munmap(). NULL on error.
 */
void *map_aligned(size_t size, bool thp, void **map, size_t *map_size);

/*
 * A userfaultfd that is told of each page fault on memory that is not there. The
 * fault waits until UFFDIO_ZEROPAGE or the like. Returns it, or a negative errno.
 */
int uffd_missing(void *addr, size_t len);
/* The next that it is told of, within @ms; -ETIMEDOUT if there is none */
int uffd_next(int fd, int ms, struct uffd_msg *msg);

/* Frees RAM that is full of @byte: the next one to get it must not see that. */
int mem_leave(size_t size, unsigned char byte);

/* Word @index of what a FILL of ivgpu with @seed writes */
static inline uint64_t pattern_word(uint64_t seed, uint64_t index)
{
	uint64_t x = seed + index * 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	return x ^ (x >> 27);
}

/* What FILL and CHECKSUM do, on the CPU: words from @first on */
void pattern_fill(void *buf, size_t size, uint64_t seed, uint64_t first);
uint64_t pattern_sum(const void *buf, size_t size, uint64_t first);

#endif /* MEM_H */
