/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hmm's events in the kernel's trace. Functions return 0 (or a count) or a
 * negative errno.
 */
#ifndef TRACE_H
#define TRACE_H

#include <stddef.h>

#define TRACEFS	"/sys/kernel/tracing/"

/* A file of tracefs */
int trace_write(const char *file, const char *text);

/* The trace of hmm's events, from now on */
int trace_start(void);
int trace_clear(void);
int trace_stop(void);

/*
 * Number of events @event that contain @word, a whole key=value, and are about
 * the page at @addr unless NULL: some events know no address. The last one goes
 * to @line.
 */
int trace_find(const void *addr, const char *event, const char *word,
	       char *line, size_t size);
/* The same without @line */
int trace_count(const void *addr, const char *event, const char *word);

#endif /* TRACE_H */
