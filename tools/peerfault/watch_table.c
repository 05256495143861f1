// SPDX-License-Identifier: GPL-2.0
/* Decisions of the kernel, added up for each process and pair of devices. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "watch.h"

static int copy(char to[WATCH_NAME], const char *from)
{
	return snprintf(to, WATCH_NAME, "%s", from) < WATCH_NAME ? 0 : -EPROTO;
}

/* -ENOENT: the decision has no such word */
static int take_word(struct decision *d, const char *key, const char *value)
{
	if (!strcmp(key, "pid"))
		return sscanf(value, "%d", &d->pid) == 1 ? 0 : -EPROTO;
	if (!strcmp(key, "pages"))
		return sscanf(value, "%" SCNu64, &d->pages) == 1 ? 0 : -EPROTO;
	if (!strcmp(key, "reason"))
		return copy(d->reason, value);
	if (!strcmp(key, "exporter"))
		return copy(d->exporter, value);
	if (!strcmp(key, "importer"))
		return copy(d->importer, value);
	if (!strcmp(key, "fallback"))
		d->moved = !strcmp(value, "ram");
	return 0;
}

int decision_parse(const char *event, char *text, struct decision *d)
{
	bool grant = !strcmp(event, "hmm_alias_grant");
	char *word, *value, *save;
	int ret;

	if (!grant && strcmp(event, "hmm_alias_refuse"))
		return -ENOENT;
	memset(d, 0, sizeof(*d));
	for (word = strtok_r(text, " \n", &save); word;
	     word = strtok_r(NULL, " \n", &save)) {
		value = strchr(word, '=');
		if (!value)
			continue;
		*value++ = '\0';
		ret = take_word(d, word, value);
		if (ret)
			return ret;
	}
	if (!d->pages || !*d->exporter || !*d->importer || grant == !!*d->reason)
		return -EPROTO;
	return 0;
}

/* Its name, while it is there */
static void find_process(struct watch_row *row)
{
	char path[32], *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", row->pid);
	file = fopen(path, "re");
	if (!file || !fgets(row->process, sizeof(row->process), file))
		strcpy(row->process, "?");
	if (file)
		fclose(file);
	/* It is one word of a line. */
	for (end = row->process; *end && *end != '\n'; end++)
		if (*end <= ' ')
			*end = '_';
	*end = '\0';
}

static struct watch_row *find_row(struct watch *watch, const struct decision *d)
{
	struct watch_row *row;
	size_t i;

	for (i = 0; i < watch->n_rows; i++) {
		row = &watch->rows[i];
		if (row->pid == d->pid && !strcmp(row->exporter, d->exporter) &&
		    !strcmp(row->importer, d->importer))
			return row;
	}
	row = reallocarray(watch->rows, watch->n_rows + 1, sizeof(*row));
	if (!row)
		return NULL;
	watch->rows = row;
	row += watch->n_rows++;
	memset(row, 0, sizeof(*row));
	row->pid = d->pid;
	strcpy(row->exporter, d->exporter);
	strcpy(row->importer, d->importer);
	find_process(row);
	return row;
}

static int find_reason(struct watch *watch, const char *reason)
{
	int i;

	for (i = 0; i < WATCH_REASONS && *watch->reasons[i]; i++)
		if (!strcmp(watch->reasons[i], reason))
			return i;
	if (i == WATCH_REASONS)
		return -EOVERFLOW;
	strcpy(watch->reasons[i], reason);
	return i;
}

int watch_add(struct watch *watch, const struct decision *d)
{
	struct watch_row *row = find_row(watch, d);
	int i;

	if (!row)
		return -ENOMEM;
	if (!*d->reason) {
		row->now.granted += d->pages;
		return 0;
	}
	i = find_reason(watch, d->reason);
	if (i < 0)
		return i;
	row->now.why[i] += d->pages;
	if (d->moved)
		row->now.moved += d->pages;
	else
		row->now.refused += d->pages;
	return 0;
}

static void print_text(struct watch *watch, const struct watch_row *row,
		       const struct pages *pages, const char *when)
{
	bool any = false;
	int i;

	if (!watch->header)
		printf("%8s %7s %-15s %-13s %-13s %9s %9s %9s  %s\n", "seconds",
		       "pid", "process", "exporter", "importer", "granted",
		       "refused", "moved", "why not");
	watch->header = true;
	printf("%8s %7d %-15s %-13s %-13s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " ",
	       when, row->pid, row->process, row->exporter, row->importer,
	       pages->granted, pages->refused, pages->moved);
	for (i = 0; i < WATCH_REASONS; i++) {
		if (!pages->why[i])
			continue;
		printf(" %s:%" PRIu64, watch->reasons[i], pages->why[i]);
		any = true;
	}
	puts(any ? "" : " -");
}

static void json_name(const char *key, const char *value)
{
	printf("\"%s\": ", key);
	json_string(value);
	fputs(", ", stdout);
}

static void print_json(struct watch *watch, const struct watch_row *row,
		       const struct pages *pages)
{
	int i, n = 0;

	printf("{\"pid\": %d, ", row->pid);
	json_name("process", row->process);
	json_name("exporter", row->exporter);
	json_name("importer", row->importer);
	printf("\"granted\": %" PRIu64 ", \"refused\": %" PRIu64
	       ", \"moved\": %" PRIu64 ", \"why_not\": {", pages->granted,
	       pages->refused, pages->moved);
	for (i = 0; i < WATCH_REASONS; i++) {
		if (!pages->why[i])
			continue;
		json_comma(n++);
		json_string(watch->reasons[i]);
		printf(": %" PRIu64, pages->why[i]);
	}
	fputs("}}", stdout);
}

static bool is_empty(const struct pages *pages)
{
	return !pages->granted && !pages->refused && !pages->moved;
}

/* What is new counts in the total from now on. */
static void add_up(struct watch *watch)
{
	size_t i, w;

	for (i = 0; i < watch->n_rows; i++) {
		struct watch_row *row = &watch->rows[i];

		row->total.granted += row->now.granted;
		row->total.refused += row->now.refused;
		row->total.moved += row->now.moved;
		for (w = 0; w < WATCH_REASONS; w++)
			row->total.why[w] += row->now.why[w];
		memset(&row->now, 0, sizeof(row->now));
	}
	watch->total_lost += watch->lost;
	watch->lost = 0;
}

void watch_print(struct watch *watch, double seconds, bool total)
{
	uint64_t lost;
	char when[32];
	int n = 0;
	size_t i;

	if (total)
		add_up(watch);
	lost = total ? watch->total_lost : watch->lost;
	snprintf(when, sizeof(when), "%.1f", seconds);
	if (watch->json)
		printf("{\"seconds\": %s, \"total\": %s, \"lost\": %" PRIu64
		       ", \"pages\": [", when, total ? "true" : "false", lost);
	for (i = 0; i < watch->n_rows; i++) {
		const struct watch_row *row = &watch->rows[i];
		const struct pages *pages = total ? &row->total : &row->now;

		if (is_empty(pages))
			continue;
		if (watch->json)
			json_comma(n++);
		if (watch->json)
			print_json(watch, row, pages);
		else
			print_text(watch, row, pages, total ? "total" : when);
	}
	if (watch->json)
		puts("]}");
	else if (lost)
		printf("%8s at least %" PRIu64 " events were lost: there are more pages than these\n",
		       total ? "total" : when, lost);
	else if (total && !watch->n_rows)
		puts("no device asked for memory of another one");
	add_up(watch);
}

void watch_free(struct watch *watch)
{
	free(watch->rows);
	memset(watch, 0, sizeof(*watch));
}
