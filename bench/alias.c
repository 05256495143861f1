// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guest: prepares memory, has alias_bench.ko call hmm_range_fault()
 * for it, and prints one JSON object a line.
 *
 * Exit code 1: something could not be measured as described.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alias_bench.h"
#include "guest.h"

#define PAGE	4096UL
#define HUGE	(512 * PAGE)
#define AREA	(8 * HUGE)
#define REPS	5

enum content { RAM, HOLES, COW, DEVICE };

/**
 * struct test_case - what is in memory, and what is asked for
 * @name: in the results
 * @content: what is in the range
 * @huge: in 2 MiB folios
 * @shuffle: device memory whose pages have no neighbours
 * @single: the exporter answers page by page
 * @importer: who asks
 * @want: for what
 */
static const struct test_case {
	const char *name;
	enum content content;
	bool huge, shuffle, single;
	enum alias_bench_importer importer;
	enum alias_bench_want want;
} cases[] = {
	{ "ram, look", RAM, .want = WANT_LOOK },
	{ "ram, read", RAM, .want = WANT_READ },
	{ "ram, write", RAM, .want = WANT_WRITE },
	{ "ram 2 MiB, write", RAM, .huge = true, .want = WANT_WRITE },
	{ "holes, write", HOLES, .want = WANT_WRITE },
	{ "shared after fork(), write", COW, .want = WANT_WRITE },
	{ "own, write", DEVICE, .importer = IMPORTER_OWNER,
	  .want = WANT_WRITE },
	{ "own 2 MiB, write", DEVICE, .huge = true,
	  .importer = IMPORTER_OWNER, .want = WANT_WRITE },
	{ "ram, write, cpu", RAM, .importer = IMPORTER_CPU,
	  .want = WANT_WRITE },
	{ "alias, neighbours, cpu", DEVICE, .importer = IMPORTER_CPU,
	  .want = WANT_WRITE },
	{ "alias, neighbours, pci", DEVICE, .importer = IMPORTER_PCI,
	  .want = WANT_WRITE },
	{ "alias, shuffled, cpu", DEVICE, .shuffle = true,
	  .importer = IMPORTER_CPU, .want = WANT_WRITE },
	{ "alias, shuffled, pci", DEVICE, .shuffle = true,
	  .importer = IMPORTER_PCI, .want = WANT_WRITE },
	{ "alias, page by page, cpu", DEVICE, .single = true,
	  .importer = IMPORTER_CPU, .want = WANT_WRITE },
	{ "alias, page by page, pci", DEVICE, .single = true,
	  .importer = IMPORTER_PCI, .want = WANT_WRITE },
	{ "alias 2 MiB, cpu", DEVICE, .huge = true, .importer = IMPORTER_CPU,
	  .want = WANT_WRITE },
	{ "alias 2 MiB, pci", DEVICE, .huge = true, .importer = IMPORTER_PCI,
	  .want = WANT_WRITE },
};

static const size_t sizes[] = { 1, 8, 64, 512, 4096 };

static int bench;

/* Pages that the kernel has given out since it booted */
static unsigned long long allocated(void)
{
	unsigned long long value, sum = 0;
	FILE *file = fopen("/proc/vmstat", "r");
	char name[64];

	if (!file)
		err(1, "/proc/vmstat");
	while (fscanf(file, "%63s %llu", name, &value) == 2)
		if (!strncmp(name, "pgalloc_", 8))
			sum += value;
	fclose(file);
	return sum;
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

static char *make_area(const struct test_case *c)
{
	char *map, *p;

	map = mmap(NULL, AREA + HUGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		err(1, "mmap");
	p = map + (-(uintptr_t)map & (HUGE - 1));
	if (madvise(p, AREA, c->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		err(1, "madvise");
	if (p > map)
		munmap(map, p - map);
	munmap(p + AREA, map + HUGE - p);
	return p;
}

static void fill(const struct test_case *c, char *p)
{
	struct alias_bench_place place = {
		.addr = (uintptr_t)p, .size = AREA, .huge = c->huge,
		.shuffle = c->shuffle, .single = c->single,
	};

	if (c->content == DEVICE) {
		if (ioctl(bench, ALIAS_BENCH_PLACE, &place))
			err(1, "%s: ALIAS_BENCH_PLACE", c->name);
	} else if (c->content != HOLES) {
		memset(p, 1, AREA);
	}
}

/* One call. A measurement of something else than its name says is an error. */
static bool call(const struct test_case *c, char *p, size_t pages,
		 struct alias_bench_run *run)
{
	bool alias = c->content == DEVICE && c->importer != IMPORTER_OWNER;
	pid_t child = 0;
	int ret;

	if (c->content == HOLES && madvise(p, pages * PAGE, MADV_DONTNEED))
		err(1, "madvise");
	if (c->content == COW)
		child = have_child();
	*run = (struct alias_bench_run) {
		.addr = (uintptr_t)p, .size = pages * PAGE,
		.importer = c->importer, .want = c->want,
	};
	ret = ioctl(bench, ALIAS_BENCH_RUN, run) ? errno : 0;
	if (child) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (ret == EOPNOTSUPP)
		return false;
	if (ret)
		errx(1, "%s: %s", c->name, strerror(ret));
	if (run->valid != pages || run->aliases != (alias ? pages : 0) ||
	    run->huge != (c->huge ? pages : 0))
		errx(1, "%s: of %zu pages %llu valid, %llu aliases, %llu huge",
		     c->name, pages, run->valid, run->aliases, run->huge);
	return true;
}

static void run_case(const struct test_case *c)
{
	struct alias_bench_run run;
	char *p = make_area(c);
	size_t s;
	int i;

	fill(c, p);
	for (s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
		/* A page in the middle of a folio */
		char *start = sizes[s] == 1 ? p + 5 * PAGE : p;
		unsigned long long before;

		/* The first one only warms up. */
		if (!call(c, start, sizes[s], &run))
			break;
		before = allocated();
		call(c, start, sizes[s], &run);
		printf("{\"case\": \"%s\", \"pages\": %zu, \"allocated\": %lld, \"ticks\": [",
		       c->name, sizes[s], allocated() - before);
		for (i = 0; i < REPS; i++) {
			call(c, start, sizes[s], &run);
			printf("%s%llu", i ? ", " : "", run.ticks);
		}
		printf("]}\n");
		fflush(stdout);
	}
	munmap(p, AREA);
}

static void set_up(void)
{
	glob_t g = { 0 };
	size_t i;

	/* The base kernel has no such files. */
	if (!glob("/sys/bus/pci/devices/*/p2pdma/peer_access", 0, NULL, &g))
		for (i = 0; i < g.gl_pathc; i++)
			put(g.gl_pathv[i], "1");
	bench = bench_open("/dev/alias_bench");
	bench_quiet();
}

int main(void)
{
	struct utsname uts;
	size_t c;

	set_up();
	bench_check_clock(bench);
	uname(&uts);
	printf("{\"kernel\": \"%s %s\"}\n", uts.release, uts.version);
	for (c = 0; c < sizeof(cases) / sizeof(*cases); c++)
		run_case(&cases[c]);
	return 0;
}
