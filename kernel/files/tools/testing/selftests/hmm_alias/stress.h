/* SPDX-License-Identifier: GPL-2.0 */
/* The race of stress.c: what it is about, and what its threads do. */
#ifndef STRESS_H
#define STRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../kselftest.h"
#include "dma.h"
#include "gpu.h"
#include "mem.h"
#include "verbs.h"

#define BLOCK		(2 * MIB)
#define BLOCK_PAGES	(BLOCK / PAGE)
#define NR_BLOCKS	8
#define SIZE		(NR_BLOCKS * BLOCK)
#define NR_PAGES	(SIZE / PAGE)
/* What one operation locks at most, unless it takes a block */
#define RUN		16

/**
 * struct race - what the threads work on
 * @mem: SIZE bytes
 * @aside: where a block goes for a while
 * @gpus: the exporters
 * @own: the end of the RDMA connection that owns @mem
 * @peer: the other one
 * @mr: @mem, of @own, on demand
 * @stage: the peer's memory, RUN pages
 * @stage_mr: its MR
 * @dma: file of the DMA importer
 * @swapped: pages that were seen in swap, one counted each time
 * @collapsed: blocks that became huge pages
 * @stop: the threads end
 * @failed: so does the test
 */
struct race {
	unsigned char *mem;
	unsigned char *aside;
	struct gpu gpus[2];
	struct rdma_end own, peer;
	struct ibv_mr *mr;
	unsigned char *stage;
	struct ibv_mr *stage_mr;
	int dma;
	uint64_t swapped;
	uint64_t collapsed;
	bool stop;
	bool failed;
};

extern struct race race;

#define MAX_OPS		5

struct worker;

struct op {
	const char *name;
	void (*run)(struct worker *w);
};

/**
 * struct worker - one thread
 * @name: of the thread
 * @ops: what it does, in random order; ends with an empty one
 * @pause: at most so many us between two, for what is done quickly and would
 *	leave the others no time
 * @gpu: which of the devices, for those that use one
 * @nr_ops: number of @ops
 * @random: state of its random numbers
 * @done: how often it has done each
 * @total: the sum
 * @thread: the thread
 */
struct worker {
	const char *name;
	const struct op *ops;
	unsigned int pause;
	int gpu;
	int nr_ops;
	uint64_t random;
	uint64_t done[MAX_OPS];
	uint64_t total;
	pthread_t thread;
};

/* The operations of each kind of thread */
extern const struct op gpu_ops[], cpu_ops[], rdma_ops[], dma_ops[], fork_ops[],
	map_ops[], pageout_ops[], huge_ops[];

/* The first one says why; all threads stop. */
__printf(1, 2) void fail(const char *format, ...);

uint64_t random_next(struct worker *w);
size_t below(struct worker *w, size_t n);
/* A run of pages, at most @max, across blocks as well */
size_t pick(struct worker *w, size_t max, size_t *count);

#define WORDS		(PAGE / sizeof(uint64_t))

/* Before there are threads: all is zero. */
void content_init(void);
/* Pages are by their number from @mem on. */
unsigned char *at(size_t page);
void lock(size_t page, size_t count);
void unlock(size_t page, size_t count);
/* What the pages must contain from now on; to be called with their locks */
void set(size_t page, size_t count, uint64_t seed);
void set_zero(size_t page, size_t count);
void set_copy(size_t to, size_t from, size_t count);
/* What a page must contain */
void expected(void *buf, size_t page);
/* Returns the first wrong word of what should be page @page, or -1. */
int wrong(const void *data, size_t page);
/* Fails unless @data is what @count pages from page @page should be. */
void verify(const unsigned char *data, size_t page, size_t count,
	    const char *who);

#endif /* STRESS_H */
