// SPDX-License-Identifier: GPL-2.0
/* Read by libtracefs, from a trace buffer that nobody else uses. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <trace-seq.h>
#include <tracefs.h>

#include "trace_reasons.h"

#define INSTANCE	"peerfault-demo"
/* For each CPU: one event for each page of the default size, twice. */
#define BUFFER_KB	"16384"

static struct tracefs_instance *instance;

int decisions_start(void)
{
	instance = tracefs_instance_create(INSTANCE);
	if (!instance)
		return -errno;
	/* Somebody may have left one. */
	if (tracefs_instance_file_write(instance, "trace", "") < 0 ||
	    tracefs_instance_file_write(instance, "buffer_size_kb",
					BUFFER_KB) < 0 ||
	    tracefs_event_enable(instance, "hmm", "hmm_alias_grant") ||
	    tracefs_event_enable(instance, "hmm", "hmm_alias_refuse")) {
		decisions_end();
		return -EIO;
	}
	return 0;
}

/* Words that say where, not why: they would make every event a kind. */
static bool is_place(const char *word)
{
	static const char * const keys[] = { "addr=", "pages=", "phys=", "pid=" };
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strncmp(word, keys[i], strlen(keys[i])))
			return true;
	return false;
}

static int count_decision(struct decisions *d, const char *name, char *info,
			  uint64_t pages)
{
	char what[sizeof(d->what[0])], *save, *word;
	unsigned int i;
	size_t n;

	n = snprintf(what, sizeof(what), "%s:", name);
	for (word = strtok_r(info, " ", &save); word && n < sizeof(what);
	     word = strtok_r(NULL, " ", &save))
		if (!is_place(word))
			n += snprintf(what + n, sizeof(what) - n, " %s", word);
	for (i = 0; i < d->n && strcmp(d->what[i], what); i++)
		;
	if (n >= sizeof(what) || i == DECISIONS_MAX)
		return -EOVERFLOW;
	if (i == d->n)
		strcpy(d->what[d->n++], what);
	d->pages[i] += pages;
	return 0;
}

struct reading {
	struct decisions *d;
	int ret;
};

static int read_event(struct tep_event *event, struct tep_record *record,
		      int cpu, void *context)
{
	const char prefix[] = "hmm_alias_";
	struct reading *reading = context;
	unsigned long long pages;
	struct trace_seq info;

	(void)cpu;
	/* How many were lost is not always known. */
	if (record->missed_events)
		reading->d->lost += record->missed_events > 0 ?
				    record->missed_events : 1;
	if (strncmp(event->name, prefix, strlen(prefix)))
		return 0;
	if (tep_get_field_val(NULL, event, "npages", record, &pages, 1)) {
		reading->ret = -EPROTO;
		return 1;
	}
	trace_seq_init(&info);
	tep_print_event(event->tep, &info, record, "%s", TEP_PRINT_INFO);
	trace_seq_terminate(&info);
	reading->ret = count_decision(reading->d, event->name + strlen(prefix),
				      info.buffer, pages);
	trace_seq_destroy(&info);
	return reading->ret;
}

int decisions_stop(struct decisions *d)
{
	const char * const systems[] = { "hmm", NULL };
	struct reading reading = { .d = d };
	struct tep_handle *tep;

	memset(d, 0, sizeof(*d));
	if (tracefs_event_disable(instance, "hmm", NULL))
		return -EIO;
	tep = tracefs_local_events_system(NULL, systems);
	if (!tep)
		return -EIO;
	if (tracefs_iterate_raw_events(tep, instance, NULL, 0, read_event,
				       &reading) < 0 && !reading.ret)
		reading.ret = -EIO;
	tep_free(tep);
	return reading.ret;
}

uint64_t decisions_granted(const struct decisions *d)
{
	uint64_t pages = 0;
	unsigned int i;

	for (i = 0; i < d->n; i++)
		if (!strncmp(d->what[i], "grant:", strlen("grant:")))
			pages += d->pages[i];
	return pages;
}

void decisions_end(void)
{
	if (!instance)
		return;
	tracefs_instance_destroy(instance);
	tracefs_instance_free(instance);
	instance = NULL;
}
