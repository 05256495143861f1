// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guest: prepares memory, has migrate_bench.ko get it ready to be
 * moved in each way that the kernel has, and prints one JSON object a line.
 *
 *	migrate-bench [once]	"once": nothing is timed, only what the host counts
 *
 * Exit code 1: something could not be measured as described.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/fs.h>

#include "migrate_bench.h"
#include "guest.h"

#define PAGE	4096UL
#define HUGE	(512 * PAGE)
#define MAX_REPS	5

enum content { PRESENT, MISSING, SWAPPED };

/**
 * struct test_case - what is in the range
 * @name: in the results
 * @some: what is in every @every-th page; the others are present
 * @every: 1 for all
 * @thp: huge pages
 * @fork: a child has the memory as well, copy on write
 */
static const struct test_case {
	const char *name;
	enum content some;
	unsigned int every;
	bool thp;
	bool fork;
} cases[] = {
	{ .name = "present", .some = PRESENT, .every = 1 },
	{ .name = "missing", .some = MISSING, .every = 1 },
	{ .name = "missing-1%", .some = MISSING, .every = 100 },
	{ .name = "swapped", .some = SWAPPED, .every = 1 },
	{ .name = "swapped-1%", .some = SWAPPED, .every = 100 },
	{ .name = "cow", .some = PRESENT, .every = 1, .fork = true },
	{ .name = "huge", .some = PRESENT, .every = 1, .thp = true },
	{ .name = "huge-cow", .some = PRESENT, .every = 1, .thp = true,
	  .fork = true },
};

/* @skew: how far the range is from a boundary of 2 MiB */
static const struct {
	const char *name;
	size_t size, skew;
	int reps;
} sizes[] = {
	{ "4 KiB", PAGE, 0, 5 },
	{ "64 KiB", 16 * PAGE, 0, 5 },
	{ "2 MiB", HUGE, 0, 5 },
	{ "2 MiB + 4 KiB, unaligned", HUGE + PAGE, 256 * PAGE, 5 },
	{ "16 MiB", 8 * HUGE, 0, 3 },
	{ "64 MiB", 32 * HUGE, 0, 3 },
};

static const char *const ways[NR_WAYS] = {
	[WAY_SETUP] = "setup",
	[WAY_SETUP_FAULT_SETUP] = "setup-fault-setup",
	[WAY_FAULT_SETUP] = "fault-setup",
	[WAY_ONE_SETUP] = "one-setup",
	[WAY_ONE_FAULT] = "one-fault",
};

static int bench, pagemap;

static size_t count_pages(char *start, char *end, uint64_t mask)
{
	struct page_region regions[256];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)start,
		.end = (uintptr_t)end,
		.vec = (uintptr_t)regions,
		.vec_len = 256,
		.category_mask = mask,
		.return_mask = mask,
	};
	size_t count = 0;
	long i, n;

	do {
		n = ioctl(pagemap, PAGEMAP_SCAN, &arg);
		if (n < 0)
			err(1, "PAGEMAP_SCAN");
		for (i = 0; i < n; i++)
			count += (regions[i].end - regions[i].start) / PAGE;
		arg.start = arg.walk_end;
	} while (arg.start < arg.end);
	return count;
}

/* A measurement of something else than its name says is worse than none. */
static void check(const struct test_case *c, char *p, size_t size)
{
	size_t pages = size / PAGE;
	size_t some = (pages + c->every - 1) / c->every;
	size_t want[] = {
		[PRESENT] = pages, [MISSING] = 0, [SWAPPED] = 0,
	};
	size_t present, swapped, huge;

	if (c->some != PRESENT) {
		want[PRESENT] -= some;
		want[c->some] = some;
	}
	present = count_pages(p, p + size, PAGE_IS_PRESENT);
	swapped = count_pages(p, p + size, PAGE_IS_SWAPPED);
	huge = count_pages(p, p + size, PAGE_IS_HUGE);
	if (present != want[PRESENT] || swapped != want[SWAPPED] ||
	    huge != (c->thp ? pages : 0))
		errx(1, "%s: of %zu pages %zu present, %zu swapped, %zu huge",
		     c->name, pages, present, swapped, huge);
}

static void drop(const struct test_case *c, char *p, size_t size)
{
	int advice = c->some == MISSING ? MADV_DONTNEED : MADV_PAGEOUT;
	size_t step = c->every == 1 ? size : c->every * PAGE;
	size_t len = c->every == 1 ? size : PAGE;
	size_t off;

	/* A page that was just written may be busy; ask again. */
	for (off = 0; off < size; off += step) {
		int tries = 10;

		do {
			if (madvise(p + off, len, advice))
				err(1, "madvise");
		} while (--tries && c->some == SWAPPED &&
			 count_pages(p + off, p + off + len, PAGE_IS_PRESENT));
	}
}

static pid_t have_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		pause();
		_exit(0);
	}
	/* It takes faults of its own before it gets to pause(). */
	usleep(10000);
	return pid;
}

/* Prepares memory, runs @run on it. Returns false if there is no such way. */
static bool measure(const struct test_case *c, size_t size, size_t skew,
		    struct migrate_bench_run *run)
{
	size_t area = (skew + size + HUGE - 1) / HUGE * HUGE;
	size_t mapped = area + HUGE;
	char *map, *p, *range;
	pid_t child = 0;
	int ret;

	map = mmap(NULL, mapped, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		err(1, "mmap");
	p = map + (-(uintptr_t)map & (HUGE - 1));
	range = p + skew;
	if (madvise(map, mapped, c->thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		err(1, "madvise");
	if (c->thp)
		memset(p, 1, area);
	else if (c->some == PRESENT || c->every > 1 || c->some == SWAPPED)
		memset(range, 1, size);
	if (c->some != PRESENT)
		drop(c, range, size);
	if (c->fork)
		child = have_child();
	check(c, range, size);

	run->addr = (uintptr_t)range;
	run->size = size;
	ret = ioctl(bench, MIGRATE_BENCH_RUN, run) ? errno : 0;
	if (ret && ret != EOPNOTSUPP)
		errx(1, "%s, %zu bytes, %s: %s", c->name, size, ways[run->way],
		     strerror(ret));

	if (child) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	munmap(map, mapped);
	return !ret;
}

static void run_way(const struct test_case *c, int s, uint32_t way, bool once)
{
	struct migrate_bench_run run = { .way = way };
	struct migrate_bench_run first;
	int i;

	/* The first one only warms up. */
	if (!measure(c, sizes[s].size, sizes[s].skew, &run))
		return;
	first = run;
	if (way != WAY_SETUP && run.missed)
		errx(1, "%s, %s, %s: %llu pages missed", c->name, sizes[s].name,
		     ways[way], run.missed);

	printf("{\"case\": \"%s\", \"size\": \"%s\", ", c->name,
	       sizes[s].name);
	printf("\"bytes\": %zu, \"skew\": %zu, \"way\": \"%s\", ",
	       sizes[s].size, sizes[s].skew, ways[way]);
	printf("\"setups\": %llu, \"missed\": %llu, \"ticks\": [",
	       run.setups, run.missed);
	for (i = 0; !once && i < sizes[s].reps; i++) {
		measure(c, sizes[s].size, sizes[s].skew, &run);
		if (run.missed != first.missed || run.setups != first.setups)
			errx(1, "%s, %s, %s: %llu and %llu pages missed, %llu and %llu setups",
			     c->name, sizes[s].name, ways[way], run.missed,
			     first.missed, run.setups, first.setups);
		printf("%s%llu", i ? ", " : "", run.ticks);
	}
	printf("]}\n");
	fflush(stdout);
}

static void set_up(void)
{
	bench = bench_open("/dev/migrate_bench");
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		err(1, "pagemap");
	bench_quiet();
	if (system("mkswap /dev/ram0 >/dev/null"))
		errx(1, "mkswap");
	if (swapon("/dev/ram0", 0))
		err(1, "swapon");
}

int main(int argc, char **argv)
{
	bool once = argc > 1 && !strcmp(argv[1], "once");
	struct utsname uts;
	size_t c, s;
	uint32_t w;

	set_up();
	if (!once)
		bench_check_clock(bench);
	uname(&uts);
	printf("{\"kernel\": \"%s %s\"}\n", uts.release, uts.version);
	for (c = 0; c < sizeof(cases) / sizeof(*cases); c++)
		for (s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
			for (w = 0; w < NR_WAYS; w++)
				run_way(&cases[c], s, w, once);
	return 0;
}
