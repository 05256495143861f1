// SPDX-License-Identifier: GPL-2.0
/* What an on-demand MR costs: when it is used, made, and how much memory it has. */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exporter.h"
#include "machine.h"
#include "transfer.h"
#include "work.h"

#define REPS		3

/* Populated, in the device or not */
static void populate(struct transfer *t, struct area *a, bool vram)
{
	size_t off;
	long n;

	if (vram) {
		n = gpu_place(&t->env.gpu, a->mem, a->size, IVGPU_PLACE_VRAM);
		if (n != (long)nr_pages(a->size))
			errx(1, "PLACE: %ld", n);
	} else {
		for (off = 0; off < a->size; off += PAGE)
			a->mem[off] = 1;
	}
}

/* The last MiB of it has contents that nothing else has had. */
static void mark(struct transfer *t, struct area *a, bool vram)
{
	unsigned char *last = a->mem + a->size - MIB;
	static uint64_t seed = 1000;

	seed++;
	if (vram)
		must(gpu_fill_vram(&t->env.gpu, last, MIB, seed), "FILL");
	else
		pattern_fill(last, MIB, seed, 0);
}

static void prefetch(struct transfer *t, struct area *a)
{
	must(rdma_advise(&t->env.own, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
			 IBV_ADVISE_MR_FLAG_FLUSH, a->mr, a->mem, a->size),
	     "ibv_advise_mr");
}

/* It is where it was. */
static void check_place(struct area *a, bool vram)
{
	long n = exporter_pages(a->mem, a->size);

	if (n != (vram ? (long)nr_pages(a->size) : 0))
		errx(1, "%ld pages are in the device", n);
}

/* And the device, the CPU and the peer agree about the last @piece of it. */
static void check(struct transfer *t, struct area *a, bool vram, size_t piece)
{
	unsigned char *last = a->mem + a->size - piece;
	uint64_t sum;

	check_place(a, vram);
	must(gpu_sum(&t->env.gpu, last, piece, IVGPU_JOB_FLAG_NO_MIGRATE, &sum),
	     "CHECKSUM");
	if (sum != pattern_sum(t->env.stage, piece, 0))
		errx(1, "the device and the peer do not have the same");
	if (memcmp(last, t->env.stage, piece))
		errx(1, "the CPU and the peer do not have the same");
}

static void f5_case(struct transfer *t, const char *name, bool vram)
{
	/* Where the CPU does not copy, hardly anything is left for a byte. */
	unsigned int i, r, times = t->env.own.cpu ? 1 : 16;
	uint64_t read[REPS], write[REPS];
	struct area a;

	area_open(&a, 4 * MIB, false);
	area_register(t, &a, ON_DEMAND);
	populate(t, &a, vram);
	peer_move_all(t, IBV_WR_RDMA_READ, &a, MIB);
	pattern_fill(t->env.stage, STAGE, 2, 0);
	peer_move_all(t, IBV_WR_RDMA_WRITE, &a, MIB);
	for (r = 0; r < REPS; r++) {
		read[r] = work_now();
		for (i = 0; i < times; i++)
			peer_move_all(t, IBV_WR_RDMA_READ, &a, MIB);
		read[r] = work_now() - read[r];
		write[r] = work_now();
		for (i = 0; i < times; i++)
			peer_move_all(t, IBV_WR_RDMA_WRITE, &a, MIB);
		write[r] = work_now() - write[r];
	}
	check(t, &a, vram, MIB);
	result_open("F5", name, times * a.size);
	result_values("read", read, REPS);
	result_values("write", write, REPS);
	result_close();
	area_close(t, &a);
}

void mr_f5(struct transfer *t)
{
	f5_case(t, "RAM", false);
	/* Elsewhere it does not stay there. */
	if (t->ours)
		f5_case(t, "device", true);
}

static const char * const stats[] = {
	"faults", "umrs", "commands", "translations"
};

#define NR_STATS	(sizeof(stats) / sizeof(*stats))

/* What the model of the HCA that has the MR has counted */
static void stats_now(FILE *monitor, uint64_t *value)
{
	char name[32];
	size_t i;

	for (i = 0; i < NR_STATS; i++) {
		snprintf(name, sizeof(name), "stat-%s", stats[i]);
		must(device_get(monitor, "hca0", name, &value[i]), name);
	}
}

static void f6_print(const char *when, const uint64_t *a, const uint64_t *b)
{
	char key[64];
	size_t i;

	for (i = 0; i < NR_STATS; i++) {
		snprintf(key, sizeof(key), "%s_%s", when, stats[i]);
		result_value(key, b[i] - a[i]);
	}
}

static void f6_case(struct transfer *t, FILE *monitor, const char *name,
		    enum registered how, bool vram, bool thp, size_t piece)
{
	uint64_t begin[NR_STATS], made[NR_STATS], used[NR_STATS];
	struct area a;

	area_open(&a, 64 * MIB, thp);
	populate(t, &a, vram);
	mark(t, &a, vram);
	stats_now(monitor, begin);
	area_register(t, &a, how);
	stats_now(monitor, made);
	peer_move_all(t, IBV_WR_RDMA_READ, &a, piece);
	stats_now(monitor, used);
	if (t->ours || !vram)
		check(t, &a, vram, piece);
	result_open("F6", name, piece);
	result_value("size", a.size);
	f6_print("register", begin, made);
	f6_print("touch", made, used);
	result_close();
	area_close(t, &a);
}

void mr_f6(struct transfer *t)
{
	/* The rest of a request is what the HCA hints at in its page fault. */
	static const size_t pieces[] = { PAGE, MIB };
	FILE *monitor = monitor_open();
	size_t i;

	if (!monitor)
		errx(1, "QEMU's monitor does not answer");
	for (i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		f6_case(t, monitor, "device 4 KiB", ON_DEMAND, true, false,
			pieces[i]);
		f6_case(t, monitor, "device 2 MiB", ON_DEMAND, true, true,
			pieces[i]);
		f6_case(t, monitor, "RAM 4 KiB", ON_DEMAND, false, false,
			pieces[i]);
		f6_case(t, monitor, "RAM 2 MiB", ON_DEMAND, false, true,
			pieces[i]);
		f6_case(t, monitor, "pinned 4 KiB", PINNED, false, false,
			pieces[i]);
		f6_case(t, monitor, "pinned 2 MiB", PINNED, false, true,
			pieces[i]);
	}
	fclose(monitor);
}

/* Instructions of one MR of @size bytes: made, prefetched, dropped */
static void f11_size(struct transfer *t, const char *name, bool vram, bool thp,
		     size_t size)
{
	uint64_t make[REPS], fetch[REPS], drop[REPS], now;
	struct area a;
	int r;

	area_open(&a, size, thp);
	populate(t, &a, vram);
	for (r = 0; r < REPS; r++) {
		now = work_now();
		area_register(t, &a, ON_DEMAND);
		make[r] = work_now() - now;
		now = work_now();
		prefetch(t, &a);
		fetch[r] = work_now() - now;
		now = work_now();
		area_deregister(&a);
		drop[r] = work_now() - now;
	}
	check_place(&a, vram);
	result_open("F11", name, nr_pages(size));
	result_values("make", make, REPS);
	result_values("fetch", fetch, REPS);
	result_values("drop", drop, REPS);
	result_close();
	area_close(t, &a);
}

#define MRS_MAX		64

/* The same page in @n MRs, until it is freed */
static void f11_mrs(struct transfer *t, const char *name, bool vram, int n)
{
	uint64_t fetch[REPS], gone[REPS], now;
	struct area a, mr[MRS_MAX];
	int r, i;

	area_open(&a, PAGE, false);
	for (i = 0; i < n; i++) {
		mr[i] = a;
		area_register(t, &mr[i], ON_DEMAND);
	}
	/* The first one warms up. */
	for (r = -1; r < REPS; r++) {
		populate(t, &a, vram);
		now = work_now();
		for (i = 0; i < n; i++)
			prefetch(t, &mr[i]);
		fetch[r < 0 ? 0 : r] = work_now() - now;
		now = work_now();
		if (madvise(a.mem, PAGE, MADV_DONTNEED))
			err(1, "madvise");
		gone[r < 0 ? 0 : r] = work_now() - now;
	}
	for (i = 0; i < n; i++)
		area_deregister(&mr[i]);
	result_open("F11", name, n);
	result_values("fetch", fetch, REPS);
	result_values("gone", gone, REPS);
	result_close();
	area_close(t, &a);
}

void mr_f11(struct transfer *t)
{
	size_t pages, max = nr_pages(t->env.gpu.info.vram_size);
	int n;

	for (pages = 1; pages <= max; pages *= 16) {
		f11_size(t, "RAM 4 KiB", false, false, pages * PAGE);
		if (t->ours)
			f11_size(t, "device 4 KiB", true, false, pages * PAGE);
		if (pages < PAGE / 8)
			continue;
		f11_size(t, "RAM 2 MiB", false, true, pages * PAGE);
		if (t->ours)
			f11_size(t, "device 2 MiB", true, true, pages * PAGE);
	}
	for (n = 1; n <= MRS_MAX; n *= 4) {
		f11_mrs(t, "MRs of a page of RAM", false, n);
		if (t->ours)
			f11_mrs(t, "MRs of a page of the device", true, n);
	}
}

static void f12_mr(struct transfer *t, const char *name, bool vram)
{
	uint64_t before, after;
	struct area a;
	int i;

	area_open(&a, 64 * MIB, false);
	populate(t, &a, vram);
	/* The second time, what caches keep is there. */
	for (i = 0; i < 2; i++) {
		area_deregister(&a);
		sleep(1);
		before = allocated_pages();
		area_register(t, &a, ON_DEMAND);
		prefetch(t, &a);
		sleep(1);
		after = allocated_pages();
	}
	check_place(&a, vram);
	result_open("F12", name, nr_pages(a.size));
	result_value("bytes", (after - before) * PAGE);
	result_close();
	area_close(t, &a);
}

/* What the driver of a device takes when it is bound, its struct pages above all */
static void f12_bind(void)
{
	const char *bdf = getenv("GPU1");
	uint64_t before = 0, after = 0;
	struct gpu gpu;
	int i;

	if (!bdf)
		errx(1, "GPU1 is not set");
	for (i = 0; i < 2; i++) {
		must(gpu_bind(bdf, false), "unbind");
		sleep(1);
		before = allocated_pages();
		must(gpu_bind(bdf, true), "bind");
		sleep(1);
		after = allocated_pages();
	}
	must(gpu_open(&gpu, 1), "GPU1");
	result_open("F12", "exported page", nr_pages(gpu.info.vram_size));
	result_value("bytes", (after - before) * PAGE);
	result_close();
	gpu_close(&gpu);
}

void mr_f12(struct transfer *t)
{
	f12_mr(t, "RAM", false);
	if (t->ours)
		f12_mr(t, "device", true);
	f12_bind();
}
