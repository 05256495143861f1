/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What `peerfault watch` knows: read from the kernel's trace by watch_trace.c,
 * added up and printed by watch_table.c.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef WATCH_H
#define WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WATCH_NAME	64	/* of a device, a process or a reason */
#define WATCH_REASONS	16	/* the kernel has nine */

/**
 * struct decision - what the kernel decided about some pages of a process
 * @pid: whose memory it is; 0: unknown
 * @exporter: the device that has it
 * @importer: the device that asked
 * @reason: why it was refused; "": it was granted
 * @pages: so many
 * @moved: refused, and moved to RAM by this access
 */
struct decision {
	pid_t pid;
	char exporter[WATCH_NAME];
	char importer[WATCH_NAME];
	char reason[WATCH_NAME];
	uint64_t pages;
	bool moved;
};

/**
 * decision_parse() - read an event as the kernel prints it
 * @event: its name
 * @text: its "key=value" words; they are cut from one another
 * @d: the decision
 *
 * Return: 0, -ENOENT for an event of another kind, -EPROTO for one that has not
 * the words that a decision has.
 */
int decision_parse(const char *event, char *text, struct decision *d);

/* Pages */
struct pages {
	uint64_t granted;
	uint64_t refused;	/* and left where they are */
	uint64_t moved;		/* refused, and moved to RAM */
	uint64_t why[WATCH_REASONS];	/* of both, by reason */
};

/* One process and one pair of devices */
struct watch_row {
	pid_t pid;
	char process[WATCH_NAME];
	char exporter[WATCH_NAME];
	char importer[WATCH_NAME];
	struct pages now, total;
};

struct watch {
	struct watch_row *rows;
	size_t n_rows;
	char reasons[WATCH_REASONS][WATCH_NAME];
	uint64_t lost, total_lost;	/* events, at least */
	bool json;
	bool header;			/* was printed */
};

/* -ENOMEM, or -EOVERFLOW for a reason too many */
int watch_add(struct watch *watch, const struct decision *d);
/* What was added since the last call; or all of it. @seconds since the start */
void watch_print(struct watch *watch, double seconds, bool total);
void watch_free(struct watch *watch);

/* The kernel's trace, in a buffer of our own; 0 or an errno with a message */
int watch_trace_open(void);
int watch_trace_read(struct watch *watch);
void watch_trace_close(void);

#endif /* WATCH_H */
