/* SPDX-License-Identifier: GPL-2.0 */
/* What the tests of xe expect, and the memory that they do it with. */
#ifndef XE_FIXTURE_H
#define XE_FIXTURE_H

#include "../kselftest_harness.h"
#include "dma.h"
#include "exporter.h"
#include "mem.h"
#include "xe.h"

/**
 * struct xe_mem - anonymous memory under test
 * @mem: aligned to 2 MiB
 * @size: of @mem
 * @map: what to munmap()
 * @map_size: size of @map
 * @seed: the pattern that it must have
 */
struct xe_mem {
	unsigned char *mem;
	size_t size;
	void *map;
	size_t map_size;
	uint64_t seed;
};

static inline int xe_mem_open(struct xe_mem *m, size_t size, bool thp)
{
	m->size = size;
	m->mem = map_aligned(size, thp, &m->map, &m->map_size);
	return m->mem ? 0 : -ENOMEM;
}

static inline void xe_mem_close(struct xe_mem *m)
{
	if (m->map)
		munmap(m->map, m->map_size);
	m->map = NULL;
}

static inline void xe_mem_fill(struct xe_mem *m, uint64_t seed)
{
	m->seed = seed;
	pattern_fill(m->mem, m->size, seed, 0);
}

/* Words that are not what they must be; moves all of it to RAM */
static inline size_t xe_mem_wrong(const struct xe_mem *m)
{
	const uint64_t *word = (void *)m->mem;
	size_t i, wrong = 0;

	for (i = 0; i < m->size / sizeof(*word); i++)
		wrong += word[i] != pattern_word(m->seed, i);
	return wrong;
}

/* The importer reads what there must be at @off. */
static inline int xe_mem_dma(const struct xe_mem *m, int fd, size_t off)
{
	unsigned char want[BUF];

	pattern_fill(want, BUF, m->seed, off / sizeof(uint64_t));
	return dma_check(fd, m->mem + off, want, BUF);
}

/* Why a device of the environment is not one for these tests, or NULL */
static inline const char *xe_absent(const char *name)
{
	const char *bdf = getenv(name);
	struct exporter exp;
	bool found;

	if (!bdf)
		return "no such device in this machine";
	found = !exporter_open(&exp, bdf) && !strcmp(exp.ops->driver, "xe");
	exporter_close(&exp);
	return found ? NULL : "the device is not bound to xe";
}

#define expect_data(_metadata, m) __expect_data(_metadata, m, __LINE__)
static inline void __expect_data(struct __test_metadata *_metadata,
				 const struct xe_mem *m, int line)
{
	EXPECT_EQ(0, xe_mem_wrong(m))
		TH_LOG("line %d", line);
}

/* That much of it is in VRAM. */
#define expect_vram(_metadata, m, size) \
	__expect_vram(_metadata, m, size, __LINE__)
static inline void __expect_vram(struct __test_metadata *_metadata,
				 const struct xe_mem *m, size_t size, int line)
{
	EXPECT_EQ((long)nr_pages(size), exporter_pages(m->mem, m->size))
		TH_LOG("line %d", line);
}

#endif /* XE_FIXTURE_H */
