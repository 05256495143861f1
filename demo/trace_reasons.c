// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alias_common.h"
#include "trace_reasons.h"

int decisions_start(void)
{
	int ret;

	/* For each CPU: one event for each page of the default size, twice. */
	ret = alias_trace_write("buffer_size_kb", "16384");
	if (!ret)
		ret = alias_trace_write("trace", "");
	if (!ret)
		ret = alias_trace_write("events/hmm/hmm_alias_grant/enable",
					"1");
	if (!ret)
		ret = alias_trace_write("events/hmm/hmm_alias_refuse/enable",
					"1");
	return ret;
}

/* Words that say where, not why: they would make every event a kind. */
static bool is_place(const char *word)
{
	static const char * const keys[] = { "addr=", "pages=", "phys=" };
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strncmp(word, keys[i], strlen(keys[i])))
			return true;
	return false;
}

static int count_event(struct decisions *d, char *event)
{
	char what[sizeof(d->what[0])] = "", *save, *word;
	uint64_t pages = 0;
	unsigned int i;

	for (word = strtok_r(event, " \n", &save); word;
	     word = strtok_r(NULL, " \n", &save)) {
		if (!strncmp(word, "pages=", 6))
			pages = strtoull(word + 6, NULL, 10);
		if (is_place(word))
			continue;
		if (strlen(what) + strlen(word) + 2 > sizeof(what))
			return -EOVERFLOW;
		if (*what)
			strcat(what, " ");
		strcat(what, word);
	}
	for (i = 0; i < d->n && strcmp(d->what[i], what); i++)
		;
	if (i == DECISIONS_MAX)
		return -EOVERFLOW;
	if (i == d->n) {
		strcpy(d->what[i], what);
		d->n++;
	}
	d->pages[i] += pages;
	return 0;
}

int decisions_stop(struct decisions *d)
{
	char line[512], *event;
	int ret;
	FILE *f;

	memset(d, 0, sizeof(*d));
	ret = alias_trace_write("events/hmm/enable", "0");
	if (ret)
		return ret;
	f = fopen(ALIAS_TRACE "trace", "r");
	if (!f)
		return -errno;
	while (!ret && fgets(line, sizeof(line), f)) {
		uint64_t kept, all;

		/* "# entries-in-buffer/entries-written: 10/10   #P:2" */
		if (sscanf(line, "# entries-in-buffer/entries-written: %"
			   SCNu64 "/%" SCNu64, &kept, &all) == 2)
			d->lost = all - kept;
		event = strstr(line, ": hmm_alias_");
		if (*line != '#' && event)
			ret = count_event(d, event + strlen(": hmm_alias_"));
	}
	fclose(f);
	return ret;
}
