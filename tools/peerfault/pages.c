// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault pages: where the pages of a process are, in RAM, in the memory of a
 * device or in swap, for each of its mappings.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json.h"
#include "pages.h"
#include "peerfault.h"

static const char usage[] =
"usage: peerfault pages [OPTION]... PID [ADDRESS SIZE]\n"
"\n"
"Prints, for each mapping of a process, how many of its pages are in RAM, in the\n"
"memory of a device (and of which), in swap, and not there at all.\n"
"With ADDRESS and SIZE, in bytes: only what is mapped in that range.\n"
"\n"
"  -j, --json        print one JSON document instead of a table\n"
"  -p, --proc DIR    read DIR instead of /proc\n"
"  -h, --help        print this\n"
"  -V, --version     print the version\n"
"\n"
"\"device\" is memory that no CPU maps: an access of the process moves the page.\n"
"\"other\" is what a CPU maps and is no RAM, as the BAR of a device. Pages move while\n"
"they are counted. Only root can run it.\n"
"\n"
"exit codes: 0 done; 1 error; 2 usage\n";

struct request {
	const char *proc;
	unsigned long pid;
	uint64_t from, to;	/* bytes; @to is not included */
	bool json;
};

static int fail(const struct request *request, int err)
{
	fprintf(stderr, "peerfault: process %lu: %s\n", request->pid,
		strerror(err == -ENOENT ? ESRCH : -err));
	return EXIT_ERROR;
}

__attribute__((format(printf, 2, 3)))
static FILE *proc_open(const struct request *request, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	size_t n;

	n = snprintf(path, sizeof(path), "%s/", request->proc);
	if (n >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	va_start(args, fmt);
	vsnprintf(path + n, sizeof(path) - n, fmt, args);
	va_end(args);
	return fopen(path, "re");
}

/* Swap areas in use */
static size_t read_areas(const struct request *request)
{
	FILE *file = proc_open(request, "swaps");
	size_t lines = 0;
	int c;

	if (!file)
		return 0;
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines ? lines - 1 : 0;
}

static int read_ranges(const struct request *request, struct ranges *ranges)
{
	FILE *file = proc_open(request, "iomem");
	int ret = file ? pages_read_ranges(ranges, file) : -errno;

	if (file)
		fclose(file);
	if (!ret)
		return EXIT_DONE;
	fprintf(stderr, "peerfault: cannot see what is RAM, and what a device's%s: %s\n",
		ret == -EACCES ? " (only root can)" : "", strerror(-ret));
	return EXIT_ERROR;
}

/* -ESRCH: the process has ended */
static int count(struct places *places, struct ranges *ranges, int pagemap,
		 uint64_t start, uint64_t end)
{
	const uint64_t size = sysconf(_SC_PAGESIZE);
	uint64_t entries[8192], page = start / size, last = end / size;
	size_t want;
	ssize_t n;
	int ret, i;

	while (page < last) {
		want = last - page;
		if (want > sizeof(entries) / sizeof(*entries))
			want = sizeof(entries) / sizeof(*entries);
		n = pread(pagemap, entries, want * sizeof(*entries),
			  page * sizeof(*entries));
		if (n < 0)
			return -errno;
		n /= sizeof(*entries);
		if (!n)
			return -ESRCH;
		for (i = 0; i < n; i++) {
			ret = pages_count(places, ranges, entries[i]);
			if (ret)
				return ret;
		}
		page += n;
	}
	return 0;
}

static uint64_t sum(const struct places *places)
{
	return places->ram + places->device + places->swapped + places->absent +
	       places->other;
}

static void add(struct places *to, const struct places *places)
{
	size_t i;

	to->ram += places->ram;
	to->device += places->device;
	to->swapped += places->swapped;
	to->absent += places->absent;
	to->other += places->other;
	for (i = 0; i < PLACES_DEVICES; i++)
		to->on[i] += places->on[i];
}

static void print_json(const struct places *places, const struct ranges *ranges)
{
	size_t i;
	int n = 0;

	printf("\"pages\": %" PRIu64 ", \"ram\": %" PRIu64 ", \"device\": %" PRIu64
	       ", \"swapped\": %" PRIu64 ", \"absent\": %" PRIu64 ", \"other\": %"
	       PRIu64 ", \"devices\": {", sum(places), places->ram,
	       places->device, places->swapped, places->absent, places->other);
	for (i = 0; i < ranges->n_devices; i++) {
		if (!places->on[i])
			continue;
		json_comma(n++);
		json_string(ranges->devices[i]);
		printf(": %" PRIu64, places->on[i]);
	}
	fputs("}}", stdout);
}

static void print_text(const char *address, const char *name,
		       const struct places *places, const struct ranges *ranges)
{
	bool any = false;
	size_t i;

	printf("%-25s %10" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9"
	       PRIu64 " %9" PRIu64 "  ", address, sum(places), places->ram,
	       places->device, places->swapped, places->absent, places->other);
	for (i = 0; i < ranges->n_devices; i++) {
		if (!places->on[i])
			continue;
		printf("%s%s:%" PRIu64, any ? "," : "", ranges->devices[i],
		       places->on[i]);
		any = true;
	}
	printf("%s  %s\n", any ? "" : "-", *name ? name : "-");
}

/* A line of maps, whose pages are counted and printed */
static int do_mapping(const struct request *request, struct ranges *ranges,
		      struct places *total, int pagemap, char *line, size_t *rows)
{
	struct places places = { 0 };
	uint64_t start, end;
	char address[64];
	int name = 0, ret;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %*s %*s %*s %n", &start, &end,
		   &name) != 2 || !name)
		return -EPROTO;
	/* It is the kernel's: [vsyscall] */
	if (start >> 63)
		return 0;
	if (start < request->from)
		start = request->from;
	if (end > request->to)
		end = request->to;
	if (start >= end)
		return 0;
	ret = count(&places, ranges, pagemap, start, end);
	if (ret)
		return ret;
	add(total, &places);
	if (request->json) {
		json_comma(*rows);
		printf("{\"start\": \"%#" PRIx64 "\", \"size\": %" PRIu64
		       ", \"name\": ", start, end - start);
		json_string(line[name] ? line + name : NULL);
		fputs(", ", stdout);
		print_json(&places, ranges);
	} else {
		snprintf(address, sizeof(address), "%" PRIx64 "-%" PRIx64, start,
			 end);
		print_text(address, line + name, &places, ranges);
	}
	(*rows)++;
	return 0;
}

static int print_pages(const struct request *request, struct ranges *ranges,
		       FILE *maps, int pagemap)
{
	struct places total = { 0 };
	size_t rows = 0, room = 0;
	char *line = NULL;
	int ret = 0;

	if (request->json)
		printf("{\"pid\": %lu, \"mappings\": [", request->pid);
	else
		printf("%-25s %10s %9s %9s %9s %9s %9s  %s  %s\n", "address",
		       "pages", "ram", "device", "swapped", "absent", "other",
		       "devices", "mapping");
	while (!ret && getline(&line, &room, maps) > 0)
		ret = do_mapping(request, ranges, &total, pagemap, line, &rows);
	free(line);
	if (!ret && ferror(maps))
		ret = -EIO;
	if (request->json) {
		fputs("], \"total\": {", stdout);
		print_json(&total, ranges);
		puts("}");
	} else {
		print_text("total", "", &total, ranges);
	}
	return ret;
}

static int run(const struct request *request)
{
	struct ranges ranges = { 0 };
	FILE *maps = NULL, *pagemap = NULL;
	int ret;

	if (read_areas(request) > PLACES_AREAS) {
		fprintf(stderr, "peerfault: with more than %d swap areas, device memory cannot be told from swap\n",
			PLACES_AREAS);
		return EXIT_ERROR;
	}
	ret = read_ranges(request, &ranges);
	if (ret)
		goto free;
	maps = proc_open(request, "%lu/maps", request->pid);
	if (maps)
		pagemap = proc_open(request, "%lu/pagemap", request->pid);
	if (!pagemap) {
		ret = fail(request, -errno);
		goto free;
	}
	ret = print_pages(request, &ranges, maps, fileno(pagemap));
	if (ret)
		ret = fail(request, ret);
free:
	if (maps)
		fclose(maps);
	if (pagemap)
		fclose(pagemap);
	free(ranges.ranges);
	return ret ? ret : close_stdout();
}

/* True: it is all of @text */
static bool read_number(const char *text, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 0);
	return end != text && !*end && !errno && !strchr(text, '-');
}

/* The pages that the range has a part of */
static bool read_range(struct request *request, const char *from, const char *size)
{
	const uint64_t page = sysconf(_SC_PAGESIZE);

	if (!read_number(from, &request->from) || !read_number(size, &request->to) ||
	    !request->to || request->to > INT64_MAX - request->from - page ||
	    request->from > INT64_MAX - page)
		return false;
	request->to += request->from + page - 1;
	request->to -= request->to % page;
	request->from -= request->from % page;
	return true;
}

int pages_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "proc", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 }
	};
	struct request request = { .proc = "/proc", .to = INT64_MAX };
	uint64_t pid;
	int opt;

	while ((opt = getopt_long(argc, argv, "jp:hV", options, NULL)) != -1) {
		switch (opt) {
		case 'j':
			request.json = true;
			break;
		case 'p':
			request.proc = optarg;
			break;
		default:
			return common_option(opt, usage);
		}
	}
	argc -= optind;
	argv += optind;
	if ((argc != 1 && argc != 3) || !read_number(argv[0], &pid) || !pid ||
	    pid > INT_MAX ||
	    (argc == 3 && !read_range(&request, argv[1], argv[2]))) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	request.pid = pid;
	return run(&request);
}
