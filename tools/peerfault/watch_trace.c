// SPDX-License-Identifier: GPL-2.0
/* The kernel's decisions, by libtracefs, from a trace buffer of our own */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <trace-seq.h>
#include <tracefs.h>

#include "watch.h"

/* For each CPU: some 100000 events between two looks */
#define BUFFER_KB	"16384"

static struct tracefs_instance *instance;
static struct tep_handle *tep;

static int failed(const char *what, int err)
{
	fprintf(stderr, "peerfault: %s: %s\n", what, strerror(err));
	return err;
}

int watch_trace_open(void)
{
	const char * const systems[] = { "hmm", NULL };
	char name[32];

	errno = 0;
	snprintf(name, sizeof(name), "peerfault-watch-%d", getpid());
	instance = tracefs_instance_create(name);
	if (!instance)
		return failed("cannot make a trace buffer (only root can)",
			      errno ?: ENOENT);
	tep = tracefs_local_events_system(NULL, systems);
	if (!tep || !tep_find_event_by_name(tep, "hmm", "hmm_alias_grant"))
		return failed("this kernel has no trace event hmm:hmm_alias_grant",
			      ENOENT);
	if (tracefs_instance_file_write(instance, "buffer_size_kb",
					BUFFER_KB) < 0 ||
	    tracefs_event_enable(instance, "hmm", "hmm_alias_grant") ||
	    tracefs_event_enable(instance, "hmm", "hmm_alias_refuse"))
		return failed("cannot enable the trace events", errno ?: EIO);
	return 0;
}

struct reading {
	struct watch *watch;
	int ret;
};

static int read_event(struct tep_event *event, struct tep_record *record,
		      int cpu, void *context)
{
	struct reading *reading = context;
	struct decision decision;
	struct trace_seq text;

	(void)cpu;
	/* How many were lost is not always known. */
	if (record->missed_events)
		reading->watch->lost += record->missed_events > 0 ?
					record->missed_events : 1;
	trace_seq_init(&text);
	tep_print_event(event->tep, &text, record, "%s", TEP_PRINT_INFO);
	trace_seq_terminate(&text);
	reading->ret = decision_parse(event->name, text.buffer, &decision);
	trace_seq_destroy(&text);
	if (!reading->ret)
		reading->ret = watch_add(reading->watch, &decision);
	else if (reading->ret == -ENOENT)
		reading->ret = 0;
	return reading->ret;
}

int watch_trace_read(struct watch *watch)
{
	struct reading reading = { .watch = watch };
	int ret = tracefs_iterate_raw_events(tep, instance, NULL, 0, read_event,
					     &reading);

	if (reading.ret)
		return failed("cannot read a trace event", -reading.ret);
	return ret < 0 ? failed("cannot read the trace", errno ?: EIO) : 0;
}

void watch_trace_close(void)
{
	tep_free(tep);
	tep = NULL;
	if (!instance)
		return;
	tracefs_instance_destroy(instance);
	tracefs_instance_free(instance);
	instance = NULL;
}
