// SPDX-License-Identifier: GPL-2.0
/* The library's parts without a device: whose word is it, and what the trace says. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vram-malloc.h"

#define WORDS	1000

static char said[256];
static int failed, number;

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

static void result(const char *name, int good)
{
	printf("%sok %d %s\n", good ? "" : "not ", ++number, name);
	failed |= !good;
}

static int tells(struct region *region, size_t own, size_t peer, size_t other)
{
	char want[256];

	pattern_report(region, 1);
	snprintf(want, sizeof(want),
		 "region 0: of %d words %zu are its own, %zu the peer's in their "
		 "order, %zu neither",
		 WORDS, own, peer, other);
	if (strcmp(said, want))
		printf("# %s, not %s\n", said, want);
	return !strcmp(said, want);
}

static void patterns(void)
{
	uint64_t mine[WORDS], peers[WORDS];
	struct region region = { .data = (char *)mine, .length = sizeof(mine) };
	struct region peer = { .data = (char *)peers, .length = sizeof(peers) };

	pattern_write(&region, 1);
	pattern_write(&peer, 2);
	result("own", tells(&region, WORDS, 0, 0));
	memcpy(mine + 100, peers, 500 * sizeof(*mine));
	result("peer", tells(&region, WORDS - 500, 500, 0));
	/* A word of the right writer in the wrong place, and one of nobody */
	mine[300] = peers[7];
	mine[5] ^= 1;
	result("wrong", tells(&region, WORDS - 501, 499, 2));
	/* All but the last are one too far to the front. */
	pattern_write(&region, 1);
	memmove(mine, mine + 1, (WORDS - 1) * sizeof(*mine));
	result("own, in the wrong place", tells(&region, 1, 0, WORDS - 1));
}

static size_t granted, refused;

static void each(uintptr_t addr, size_t pages, bool grant)
{
	if (addr == 0x7f0000001000)
		*(grant ? &granted : &refused) += pages;
}

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		abort();
}

static void decisions(void)
{
	char dir[64];
	int ret;

	snprintf(dir, sizeof(dir), INSTANCES "/vram-malloc-%d", getpid());
	result("no tracefs", decisions_open() < 0 && decisions_read(each) < 0);
	if (mkdir(INSTANCES, 0700) || mkdir(dir, 0700) || chdir(dir) ||
	    mkdir("events", 0700) || mkdir("events/hmm", 0700) ||
	    mkdir("events/hmm/hmm_alias_grant", 0700) ||
	    mkdir("events/hmm/hmm_alias_refuse", 0700))
		abort();
	put("buffer_size_kb", "");
	put("events/hmm/hmm_alias_grant/enable", "");
	put("events/hmm/hmm_alias_refuse/enable", "");
	put("trace",
	    "# entries-in-buffer/entries-written: 3/3   #P:2\n"
	    " p-1 [0] 1.0: hmm_alias_grant: addr=0x7f0000001000 pages=3 phys=0x1 write=1\n"
	    " p-1 [0] 1.0: hmm_alias_refuse: addr=0x7f0000001000 pages=5 reason=no-consent err=0 fallback=ram exporter=a\n"
	    " p-1 [0] 1.0: hmm_alias_refuse: addr=0x7f0000001000 pages=7 reason=no-consent err=0 fallback=none exporter=a\n");
	ret = decisions_open();
	ret = ret ? ret : decisions_read(each);
	result("granted and moved", !ret && granted == 3 && refused == 5);
	put("trace", "# entries-in-buffer/entries-written: 3/9   #P:2\n");
	result("some were lost", decisions_read(each) < 0);
}

int main(void)
{
	puts("KTAP version 1\n1..7");
	patterns();
	decisions();
	return failed;
}
