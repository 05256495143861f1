// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault watch: which pages of which process the kernel lets a device reach
 * in place, which not and why, and which it moves to RAM, as it happens.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "peerfault.h"
#include "watch.h"

static const char usage[] =
"usage: peerfault watch [OPTION]...\n"
"\n"
"Prints, for each process and each pair of devices, how many pages the kernel\n"
"granted (the importer reaches them in place), refused and why (they stay where\n"
"they are) and moved (it refused them, and the access moved them to RAM).\n"
"Ends on SIGINT or SIGTERM, and prints the totals then.\n"
"\n"
"  -i, --interval SECONDS  print what is new so often (default: 1)\n"
"  -n, --count N           end after N intervals\n"
"  -j, --json              print one JSON document a line for each interval\n"
"  -h, --help              print this\n"
"  -V, --version           print the version\n"
"\n"
"A page counts each time that the kernel decides about it: it asks again after\n"
"the page has moved, and not for each access. Only root can run it.\n"
"\n"
"exit codes: 0 done; 1 error; 2 usage\n";

/* True: it is positive, and all of @text */
static bool read_number(const char *text, double *number)
{
	char *end;

	errno = 0;
	*number = strtod(text, &end);
	return end != text && !*end && !errno && *number > 0 && *number < 1e9;
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - start->tv_sec + (now.tv_nsec - start->tv_nsec) / 1e9;
}

/* False: a signal came that ends it */
static bool sleep_until(const struct timespec *start, double when,
			const sigset_t *ends)
{
	struct timespec wait;
	double left;

	while ((left = when - seconds_since(start)) > 0) {
		wait.tv_sec = left;
		wait.tv_nsec = (left - wait.tv_sec) * 1e9;
		if (sigtimedwait(ends, NULL, &wait) > 0)
			return false;
	}
	return true;
}

static int run(struct watch *watch, double interval, double count)
{
	struct timespec start;
	double n = 0;
	sigset_t ends;
	bool on = true;
	int ret;

	/* Whatever ends this, the trace buffer has to go. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal(SIGPIPE, SIG_IGN);

	ret = watch_trace_open();
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (!ret)
		fputs("peerfault: watching\n", stderr);
	while (!ret && on) {
		on = sleep_until(&start, (n + 1) * interval, &ends);
		ret = watch_trace_read(watch);
		watch_print(watch, seconds_since(&start), false);
		if (!ret && fflush(stdout))
			break;
		on = on && ++n != count;
	}
	watch_trace_close();
	if (!ret)
		watch_print(watch, seconds_since(&start), true);
	watch_free(watch);
	return ret ? EXIT_ERROR : close_stdout();
}

int watch_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 }
	};
	double interval = 1, count = 0;
	struct watch watch = { 0 };
	int opt;

	while ((opt = getopt_long(argc, argv, "i:n:jhV", options, NULL)) != -1) {
		switch (opt) {
		case 'i':
			if (read_number(optarg, &interval) && interval >= 0.1)
				break;
			fputs("peerfault: an interval is at least 0.1 seconds\n",
			      stderr);
			return EXIT_USAGE;
		case 'n':
			if (read_number(optarg, &count) && count == (long)count)
				break;
			fputs("peerfault: a count is a positive number\n",
			      stderr);
			return EXIT_USAGE;
		case 'j':
			watch.json = true;
			break;
		default:
			return common_option(opt, usage);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return run(&watch, interval, count);
}
