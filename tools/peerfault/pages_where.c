// SPDX-License-Identifier: GPL-2.0
/*
 * Where a page is, by its entry in pagemap and /proc/iomem.
 *
 * pagemap calls each entry swapped that maps no page: those of swap areas, whose type
 * is the number of the area, and those whose type says that the kernel means something
 * else by them. Linux 7.3 has up to 24 areas and 8 types above them: a poisoned page, a
 * page that is being moved (3), device-private memory (write, read), a page that a
 * device has for itself, and a marker that has no page. Without the configuration for
 * some of them, the others and the areas move up. So the type tells an area from the
 * rest, but not what the rest is. The rest but the marker has a page, and the place of
 * that page does tell it: device-private memory has a range of physical addresses that
 * nothing else is at, which /proc/iomem lists with the name of its device.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"

#define PRESENT		(1ULL << 63)
#define SWAPPED		(1ULL << 62)
#define PFN_MASK	((1ULL << 55) - 1)
#define TYPE_BITS	5
#define TYPE_MASK	((1ULL << TYPE_BITS) - 1)
#define TYPE_MARKER	31

static struct range *grow(struct ranges *ranges)
{
	struct range *range = reallocarray(ranges->ranges, ranges->n + 1,
					   sizeof(*range));

	if (!range)
		return NULL;
	ranges->ranges = range;
	range += ranges->n++;
	memset(range, 0, sizeof(*range));
	return range;
}

int pages_read_ranges(struct ranges *ranges, FILE *iomem)
{
	const uint64_t size = sysconf(_SC_PAGESIZE);
	uint64_t first, last;
	struct range *range;
	bool ram = false;
	char line[256];
	int at;

	while (fgets(line, sizeof(line), iomem)) {
		if (sscanf(line, " %" SCNx64 "-%" SCNx64 " : %n", &first, &last,
			   &at) != 2)
			return -EPROTO;
		range = grow(ranges);
		if (!range)
			return -ENOMEM;
		range->first = first / size;
		range->last = last / size;
		line[strcspn(line, "\n")] = '\0';
		snprintf(range->name, sizeof(range->name), "%s", line + at);
		/* Also RAM that a driver has added: "System RAM (kmem)" */
		range->ram = !strncmp(range->name, "System RAM", 10);
		/* All addresses are 0 for those who may not see them. */
		ram = ram || (range->ram && last);
	}
	if (ferror(iomem))
		return -EIO;
	return ram ? 0 : -EACCES;
}

/* The innermost range that has a page, or RAM around it; NULL: none */
static const struct range *find(const struct ranges *ranges, uint64_t pfn)
{
	const struct range *found = NULL, *range;

	for (range = ranges->ranges; range < ranges->ranges + ranges->n; range++) {
		if (pfn < range->first || pfn > range->last)
			continue;
		found = range;
		if (range->ram)
			break;
	}
	return found;
}

static int count_device(struct places *places, struct ranges *ranges,
			const struct range *range)
{
	const char *name = range ? range->name : "?";
	size_t i;

	for (i = 0; i < ranges->n_devices; i++)
		if (!strcmp(ranges->devices[i], name))
			break;
	if (i == PLACES_DEVICES)
		return -ENOSPC;
	if (i == ranges->n_devices)
		snprintf(ranges->devices[ranges->n_devices++], PLACES_NAME, "%s",
			 name);
	places->device++;
	places->on[i]++;
	return 0;
}

int pages_count(struct places *places, struct ranges *ranges, uint64_t entry)
{
	uint64_t value = entry & PFN_MASK, type = value & TYPE_MASK;
	const struct range *range;

	if (entry & PRESENT) {
		range = find(ranges, value);
		if (range && range->ram)
			places->ram++;
		else
			places->other++;
	} else if (!(entry & SWAPPED) || type == TYPE_MARKER) {
		places->absent++;
	} else if (type < PLACES_AREAS) {
		places->swapped++;
	} else {
		range = find(ranges, value >> TYPE_BITS);
		if (!range || !range->ram)
			return count_device(places, ranges, range);
		places->ram++;
	}
	return 0;
}
