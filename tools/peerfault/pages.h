/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What `peerfault pages` knows: which ranges of physical addresses are RAM and which
 * a device's, and how many pages of a process are where.
 */
#ifndef PAGES_H
#define PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PLACES_NAME	64	/* of a device, as /proc/iomem has it */
#define PLACES_DEVICES	32
#define PLACES_AREAS	24	/* types below it are swap areas, always */

/* Pages of a mapping, or of all of them */
struct places {
	uint64_t ram;
	uint64_t device;		/* and no CPU maps it */
	uint64_t swapped;
	uint64_t absent;
	uint64_t other;			/* mapped, and no RAM */
	uint64_t on[PLACES_DEVICES];	/* of @device, by struct ranges.devices */
};

/* A line of /proc/iomem; in pages, both included */
struct range {
	uint64_t first, last;
	bool ram;
	char name[PLACES_NAME];
};

struct ranges {
	struct range *ranges;
	size_t n;
	char devices[PLACES_DEVICES][PLACES_NAME];
	size_t n_devices;
};

/* 0 or a negative errno, also if only root may read it */
int pages_read_ranges(struct ranges *ranges, FILE *iomem);

/* Count an entry of pagemap. -ENOSPC: a device too many */
int pages_count(struct places *places, struct ranges *ranges, uint64_t entry);

#endif /* PAGES_H */
