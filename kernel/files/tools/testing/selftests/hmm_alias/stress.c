// SPDX-License-Identifier: GPL-2.0
/*
 * Two devices migrate memory, and two more read and write it, while the process
 * does to it all that a process may do. At any time each byte is known.
 *
 *	stress [SECONDS [SEED]]	20 s, another seed each time
 *
 * What changes the contents of a page, or looks at it, holds the page's lock.
 * What only moves it or maps it otherwise holds none, and races with all else.
 * SEED decides what each thread does; when it gets to it, the scheduler does.
 *
 * Needs two ivshmem-plain devices, an edu device (environment variable DMA0),
 * an RDMA device with on-demand paging, and swap.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

/* No operation takes so long, however slow the machine, unless it hangs. */
#define STUCK		180

struct race race;

void fail(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The first one says it; the others may be its consequences. */
	if (!__atomic_exchange_n(&race.failed, true, __ATOMIC_SEQ_CST))
		ksft_print_msg("%s\n", text);
	__atomic_store_n(&race.stop, true, __ATOMIC_SEQ_CST);
}

static struct worker workers[] = {
	{ "gpu0", gpu_ops, 0, 0 },
	{ "gpu1", gpu_ops, 0, 1 },
	{ "cpu", cpu_ops, 20000 },
	{ "rdma", rdma_ops },
	{ "dma", dma_ops },
	{ "fork", fork_ops, 200000 },
	{ "map", map_ops, 200000 },
	{ "pageout", pageout_ops, 200000 },
	{ "huge", huge_ops, 200000 },
};

#define NR_WORKERS	(sizeof(workers) / sizeof(*workers))

static void *work(void *arg)
{
	struct worker *w = arg;
	size_t op;

	while (!__atomic_load_n(&race.stop, __ATOMIC_RELAXED)) {
		op = below(w, w->nr_ops);
		w->ops[op].run(w);
		w->done[op]++;
		__atomic_add_fetch(&w->total, 1, __ATOMIC_RELAXED);
		if (w->pause)
			usleep(below(w, w->pause));
	}
	return NULL;
}

/* What must have been provoked, or the run shows nothing. */
struct effects {
	uint64_t swapped_in, collapsed, to_vram[2], to_ram[2];
	uint64_t aliased;
};

static void effects_get(struct effects *e)
{
	struct drm_ivgpu_counters c;
	struct rusage usage;
	int i;

	memset(e, 0, sizeof(*e));
	getrusage(RUSAGE_SELF, &usage);
	e->swapped_in = usage.ru_majflt;
	e->collapsed = __atomic_load_n(&race.collapsed, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++) {
		if (gpu_counters(&race.gpus[i], &c))
			ksft_exit_fail_msg("no counters\n");
		e->to_vram[i] = c.pages_to_vram;
		e->to_ram[i] = c.pages_to_ram;
		e->aliased += c.alias_pages;
	}
}

static unsigned char *map_blocks(size_t size)
{
	size_t map_size;
	void *map;
	unsigned char *p = map_aligned(size, false, &map, &map_size);

	if (!p || madvise(p, size, MADV_HUGEPAGE))
		ksft_exit_fail_msg("no memory\n");
	return p;
}

static void set_up_rdma(void)
{
	int ret = rdma_end_open(&race.own, NULL);

	if (ret == -ENODEV)
		ksft_exit_skip("no RDMA device with on-demand paging\n");
	if (!ret)
		ret = rdma_end_open(&race.peer, NULL);
	if (!ret)
		ret = rdma_connect(&race.own, &race.peer);
	if (ret)
		ksft_exit_fail_msg("RDMA: %s\n", strerror(-ret));

	race.stage = mmap(NULL, RUN * PAGE, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (race.stage == MAP_FAILED)
		ksft_exit_fail_msg("no memory\n");
	race.stage_mr = ibv_reg_mr(race.peer.pd, race.stage, RUN * PAGE,
				   RDMA_ACCESS);
	race.mr = rdma_reg_odp(&race.own, race.mem, SIZE);
	if (!race.stage_mr || !race.mr)
		ksft_exit_fail_msg("MR: %s\n", strerror(errno));
}

static void set_up_dma(void)
{
	const char *bdf = getenv("DMA0");
	int ret;

	if (!bdf)
		ksft_exit_skip("no edu device\n");
	race.dma = dma_open(bdf);
	ret = race.dma < 0 ? race.dma :
			     dma_register(race.dma, race.mem, SIZE);
	if (ret)
		ksft_exit_fail_msg("importer %s: %s\n", bdf, strerror(-ret));
}

static void set_up(void)
{
	size_t i;
	int ret;

	for (i = 0; i < 2; i++) {
		ret = gpu_open(&race.gpus[i], i);
		if (ret == -ENODEV)
			ksft_exit_skip("no two ivshmem-plain devices\n");
		if (ret)
			ksft_exit_fail_msg("GPU: %s\n", strerror(-ret));
	}
	race.mem = map_blocks(SIZE);
	race.aside = map_blocks(BLOCK);
	content_init();
	set_up_rdma();
	set_up_dma();
}

/* Has each thread done all that it does? */
static bool complete(void)
{
	size_t i;
	int j;

	for (i = 0; i < NR_WORKERS; i++)
		for (j = 0; j < workers[i].nr_ops; j++)
			if (!workers[i].done[j])
				return false;
	return __atomic_load_n(&race.collapsed, __ATOMIC_RELAXED);
}

/*
 * Until the time is over, or something fails, or nothing happens any more. A
 * slow machine gets more time to do each thing once.
 */
static void supervise(unsigned int seconds)
{
	uint64_t last[NR_WORKERS] = { 0 };
	unsigned int since[NR_WORKERS] = { 0 };
	unsigned int now;
	size_t i;

	for (now = 1; !__atomic_load_n(&race.stop, __ATOMIC_RELAXED); now++) {
		if (now > seconds && (complete() || now > 10 * seconds))
			return;
		sleep(1);
		for (i = 0; i < NR_WORKERS; i++) {
			uint64_t total = __atomic_load_n(&workers[i].total,
							 __ATOMIC_RELAXED);

			if (total != last[i])
				since[i] = now;
			else if (now - since[i] >= STUCK)
				fail("%s: stuck for %d s", workers[i].name,
				     STUCK);
			last[i] = total;
		}
		if (now % 60)
			continue;
		ksft_print_msg("%u s:", now);
		for (i = 0; i < NR_WORKERS; i++)
			printf(" %s %llu", workers[i].name,
			       (unsigned long long)last[i]);
		printf("\n");
	}
}

static void finish(void)
{
	struct timespec limit;
	size_t i;

	__atomic_store_n(&race.stop, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < NR_WORKERS; i++) {
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += STUCK;
		if (pthread_timedjoin_np(workers[i].thread, NULL, &limit)) {
			fail("%s: does not end", workers[i].name);
			return;
		}
	}
	/* All of it, once more, with nothing racing */
	if (!__atomic_load_n(&race.failed, __ATOMIC_RELAXED))
		verify(race.mem, 0, NR_PAGES, "at the end");
}

static void result(const char *what, uint64_t count)
{
	ksft_print_msg("%s: %llu\n", what, (unsigned long long)count);
	ksft_test_result(count > 0, "%s\n", what);
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? atoi(argv[1]) : 20;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : time(NULL);
	struct effects before, after;
	unsigned int plan = 1 + 8;
	char name[64];
	size_t i;
	int j;

	ksft_print_header();
	for (i = 0; i < NR_WORKERS; i++) {
		while (workers[i].ops[workers[i].nr_ops].run)
			workers[i].nr_ops++;
		plan += workers[i].nr_ops;
	}
	set_up();
	ksft_set_plan(plan);
	ksft_print_msg("%u s, seed %llu\n", seconds, (unsigned long long)seed);
	effects_get(&before);

	for (i = 0; i < NR_WORKERS; i++) {
		workers[i].random = pattern_word(seed, i);
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			ksft_exit_fail_msg("no thread\n");
	}
	supervise(seconds);
	finish();
	ksft_test_result(!race.failed, "data\n");

	for (i = 0; i < NR_WORKERS; i++) {
		for (j = 0; j < workers[i].nr_ops; j++) {
			snprintf(name, sizeof(name), "%s.%s", workers[i].name,
				 workers[i].ops[j].name);
			result(name, workers[i].done[j]);
		}
	}
	effects_get(&after);
	result("pages seen in swap", race.swapped);
	result("pages swapped in", after.swapped_in - before.swapped_in);
	result("blocks collapsed", after.collapsed);
	result("pages to VRAM, GPU 0", after.to_vram[0] - before.to_vram[0]);
	result("pages to VRAM, GPU 1", after.to_vram[1] - before.to_vram[1]);
	result("pages to RAM, GPU 0", after.to_ram[0] - before.to_ram[0]);
	result("pages to RAM, GPU 1", after.to_ram[1] - before.to_ram[1]);
	result("pages aliased", after.aliased - before.aliased);
	ksft_finished();
}
