// SPDX-License-Identifier: GPL-2.0
/* VRAM that is too small, and memory that is freed while it is there. */
#define _GNU_SOURCE
#include <err.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "transfer.h"

#define CHUNK		(2 * MIB)

/* The device adds to each chunk, in order or not, and the peer reads another. */
static void f8_pass(struct transfer *t, struct area *a, bool shuffle, bool peer)
{
	size_t chunks = a->size / CHUNK, i, chunk;

	for (i = 0; i < chunks; i++) {
		chunk = shuffle ? pattern_word(1, i) % chunks : i;
		gpu_add(t, a->mem + chunk * CHUNK, CHUNK, 1);
		chunk = (chunk + chunks / 2) % chunks;
		if (peer)
			peer_move(t, IBV_WR_RDMA_READ, a->mr,
				  a->mem + chunk * CHUNK, CHUNK);
	}
}

static void f8_case(struct transfer *t, unsigned int times, bool shuffle)
{
	struct drm_ivgpu_counters before, after;
	struct area a;

	area_open(&a, times * t->env.gpu.info.vram_size, true);
	area_register(t, &a, ON_DEMAND);
	f8_pass(t, &a, false, false);
	f8_pass(t, &a, shuffle, true);
	must(gpu_counters(&t->env.gpu, &before), "the exporter's counters");
	f8_pass(t, &a, shuffle, true);
	must(gpu_counters(&t->env.gpu, &after), "the exporter's counters");
	result_open("F8", shuffle ? "any order" : "in order", times);
	result_value("pages", nr_pages(a.size));
	result_value("to_vram", after.pages_to_vram - before.pages_to_vram);
	result_value("to_ram", after.pages_to_ram - before.pages_to_ram);
	result_value("evicted", after.pages_evicted - before.pages_evicted);
	result_close();
	area_close(t, &a);
}

void vram_f8(struct transfer *t)
{
	unsigned int times;

	for (times = 1; times <= 4; times++) {
		f8_case(t, times, false);
		f8_case(t, times, true);
	}
}

#define HEAP		(24 * MIB)
#define THREADS_MAX	8

/**
 * struct toucher - a thread that is the first to write to pages again
 * @thread: the thread
 * @start: when all begin
 * @mem: the memory
 * @first: the first page
 * @step: from one page to the next
 * @faults: page faults that it has taken
 */
struct toucher {
	pthread_t thread;
	pthread_barrier_t *start;
	unsigned char *mem;
	size_t first, step;
	uint64_t faults;
};

static uint64_t faults_now(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage))
		err(1, "getrusage");
	return usage.ru_minflt + usage.ru_majflt;
}

static void *touch(void *arg)
{
	struct toucher *toucher = arg;
	uint64_t before;
	size_t i;

	/* This call may fault as well. */
	faults_now();
	pthread_barrier_wait(toucher->start);
	before = faults_now();
	for (i = toucher->first; i < nr_pages(HEAP); i += toucher->step)
		*(volatile uint64_t *)(toucher->mem + i * PAGE) = i;
	toucher->faults = faults_now() - before;
	return NULL;
}

static uint64_t f9_touch(unsigned char *mem, unsigned int threads)
{
	struct toucher toucher[THREADS_MAX];
	pthread_barrier_t start;
	uint64_t faults = 0;
	unsigned int i;

	pthread_barrier_init(&start, NULL, threads);
	for (i = 0; i < threads; i++) {
		toucher[i] = (struct toucher){
			.start = &start, .mem = mem, .first = i,
			.step = threads,
		};
		if (pthread_create(&toucher[i].thread, NULL, touch,
				   &toucher[i]))
			errx(1, "pthread_create");
	}
	for (i = 0; i < threads; i++) {
		pthread_join(toucher[i].thread, NULL);
		faults += toucher[i].faults;
	}
	pthread_barrier_destroy(&start);
	return faults;
}

/* What was not overwritten is what the device has left. */
static void f9_verify(const unsigned char *mem, uint64_t seed)
{
	const uint64_t *word = (const void *)mem;
	size_t i, in_page = PAGE / sizeof(*word);

	for (i = 0; i < HEAP / sizeof(*word); i++)
		if (word[i] != (i % in_page ? pattern_word(seed, i) :
				i / in_page))
			errx(1, "word %zu is wrong", i);
}

/* A block of the heap; @mem is the part of it that is used. */
static void *heap_block(unsigned char **mem)
{
	void *block = malloc(HEAP + CHUNK);

	if (!block)
		err(1, "malloc");
	*mem = block;
	*mem += -(uintptr_t)block % CHUNK;
	return block;
}

/* The heap gives out again what was freed while it was in the device. */
static void *heap_reuse(struct transfer *t, bool thp, uint64_t seed,
			unsigned char **mem)
{
	void *block = heap_block(mem);
	uintptr_t was = (uintptr_t)block;

	/* Whatever was there before: folios of the size that is wanted */
	if (madvise(*mem, HEAP, MADV_DONTNEED) ||
	    madvise(*mem, HEAP, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		err(1, "madvise");
	if (thp)
		memset(*mem, 0, HEAP);
	must(gpu_fill_vram(&t->env.gpu, *mem, HEAP, seed), "FILL");
	free(block);
	block = heap_block(mem);
	if ((uintptr_t)block != was)
		errx(1, "malloc() has not returned what was freed");
	return block;
}

static void f9_case(struct transfer *t, bool thp, unsigned int threads)
{
	struct drm_ivgpu_counters before, after;
	unsigned char *mem;
	uint64_t faults;
	void *block;

	block = heap_reuse(t, thp, threads, &mem);
	must(gpu_counters(&t->env.gpu, &before), "the exporter's counters");
	/* A page fault calls migrate_to_ram() once, or waits for another. */
	faults = f9_touch(mem, threads);
	must(gpu_counters(&t->env.gpu, &after), "the exporter's counters");
	f9_verify(mem, threads);
	if (after.pages_to_ram - before.pages_to_ram != nr_pages(HEAP))
		errx(1, "the threads have not brought all pages back");
	result_open("F9", thp ? "2 MiB" : "4 KiB", threads);
	result_value("blocks", HEAP / CHUNK);
	result_value("faults", faults);
	result_value("to_ram", after.pages_to_ram - before.pages_to_ram);
	result_close();
	free(block);
}

void vram_f9(struct transfer *t)
{
	unsigned int threads;

	/* One heap, by brk(), which does not shrink */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 32 * MIB);
	mallopt(M_TRIM_THRESHOLD, 512 * MIB);
	for (threads = 1; threads <= THREADS_MAX; threads *= 2) {
		f9_case(t, false, threads);
		f9_case(t, true, threads);
	}
}
