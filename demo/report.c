// SPDX-License-Identifier: GPL-2.0
/* What the two runs cost, and whether that shows what the demo claims. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "demo.h"
#include "json.h"

/* Says what was shown; every way to be wrong has its own words. */
static int conclude(const struct run *off, const struct run *on, uint64_t size,
		    char *text, size_t len)
{
	uint64_t pages = size / sysconf(_SC_PAGESIZE);

	if (on->to_ram || on->to_vram) {
		snprintf(text, len, "with consent, %" PRIu64 " pages moved;"
			 " none should have", on->to_ram + on->to_vram);
	} else if (on->aliased != pages) {
		snprintf(text, len, "with consent, %" PRIu64 " of %" PRIu64
			 " pages were served through an alias", on->aliased,
			 pages);
	} else if (off->to_ram < pages || off->to_vram < pages) {
		snprintf(text, len, "without consent, only %" PRIu64 " of %"
			 PRIu64 " pages moved to RAM and %" PRIu64 " back,"
			 " so that consent avoided nothing", off->to_ram, pages,
			 off->to_vram);
	} else if (off->aliased) {
		snprintf(text, len, "%" PRIu64 " pages were aliased without"
			 " consent", off->aliased);
	} else if (off->verified != 2 * size || on->verified != 2 * size) {
		snprintf(text, len, "not every byte was verified");
	} else {
		snprintf(text, len, "RDMA read and wrote %" PRIu64 " MiB of"
			 " device memory in place: 0 pages moved with consent,"
			 " %" PRIu64 " without", size / MIB,
			 off->to_ram + off->to_vram);
		return EXIT_SHOWN;
	}
	return EXIT_WRONG;
}

static void print_table(const struct run *off, const struct run *on)
{
	static const struct {
		const char *name;
		size_t offset;
	} rows[] = {
		{ "pages moved to RAM", offsetof(struct run, to_ram) },
		{ "pages moved back to VRAM", offsetof(struct run, to_vram) },
		{ "pages served through an alias",
		  offsetof(struct run, aliased) },
		{ "bytes verified", offsetof(struct run, verified) },
		{ "guest time (ms)", offsetof(struct run, ms) },
	};
	size_t i;

	printf("%-30s %14s %14s\n", "consent to peer access", "off", "on");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *a = (const char *)off + rows[i].offset;
		const char *b = (const char *)on + rows[i].offset;

		printf("%-30s %14" PRIu64 " %14" PRIu64 "\n", rows[i].name,
		       *(const uint64_t *)a, *(const uint64_t *)b);
	}
}

/* Each decision of the kernel's, with its reason, and for how many pages. */
static void print_why(const struct run *run)
{
	const struct decisions *d = &run->why;
	unsigned int i;

	for (i = 0; i < d->n; i++)
		printf("consent %-3s %9" PRIu64 " pages: %s\n",
		       run->consent ? "on" : "off", d->pages[i], d->what[i]);
	if (d->lost)
		printf("consent %-3s %9" PRIu64 " more in events lost\n",
		       run->consent ? "on" : "off", d->lost);
}

static void json_why(const struct decisions *d)
{
	unsigned int i;

	printf("{\"lost\": %" PRIu64 ", \"kinds\": [", d->lost);
	for (i = 0; i < d->n; i++) {
		json_comma(i);
		printf("{\"pages\": %" PRIu64 ", \"what\": ", d->pages[i]);
		json_string(d->what[i]);
		putchar('}');
	}
	printf("]}");
}

static void json_run(const struct run *run)
{
	printf("{\"consent\": %s, \"pages_to_ram\": %" PRIu64
	       ", \"pages_to_vram\": %" PRIu64 ", \"pages_aliased\": %" PRIu64
	       ", \"bytes_verified\": %" PRIu64 ", \"ms\": %" PRIu64
	       ", \"decisions\": ", run->consent ? "true" : "false",
	       run->to_ram, run->to_vram, run->aliased, run->verified, run->ms);
	json_why(&run->why);
	putchar('}');
}

int report(const struct run *off, const struct run *on, uint64_t size,
	   bool json)
{
	char conclusion[200];
	int ret = conclude(off, on, size, conclusion, sizeof(conclusion));

	if (json) {
		printf("{\"size\": %" PRIu64 ", \"runs\": [", size);
		json_run(off);
		json_comma(1);
		json_run(on);
		printf("], \"shown\": %s, \"conclusion\": ",
		       ret ? "false" : "true");
		json_string(conclusion);
		puts("}");
	} else {
		print_table(off, on);
		print_why(off);
		print_why(on);
		printf("%s: %s\n", ret ? "FAILED" : "shown", conclusion);
	}
	if (fflush(stdout) || ferror(stdout)) {
		perror("peerfault-demo: stdout");
		return EXIT_WRONG;
	}
	return ret;
}
