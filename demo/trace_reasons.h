/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's decisions about aliases, counted from its trace.
 */
#ifndef TRACE_REASONS_H
#define TRACE_REASONS_H

#include <stdint.h>

#define DECISIONS_MAX	8

/**
 * struct decisions - how many pages were decided how
 * @n: number of different decisions
 * @what: the event and its key=value words that tell one from another
 * @pages: pages that it was taken for
 * @lost: events that were lost, at least
 */
struct decisions {
	unsigned int n;
	char what[DECISIONS_MAX][160];
	uint64_t pages[DECISIONS_MAX];
	uint64_t lost;
};

/* Both return 0 or a negative errno. */
int decisions_start(void);
int decisions_stop(struct decisions *d);
/* Pages that were granted */
uint64_t decisions_granted(const struct decisions *d);
/* After a start, whatever became of it */
void decisions_end(void);

#endif /* TRACE_REASONS_H */
