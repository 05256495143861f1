// SPDX-License-Identifier: GPL-2.0
/*
 * In the place of a device and of the kernel's trace. FAKE=full: there is room for
 * three pages; FAKE=gone: it is unbound once something was moved to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporter.h"
#include "mem.h"
#include "vram-malloc.h"

#define REGIONS	4

static const void *on[REGIONS];		/* regions that were moved to it */
static size_t number;
static bool left;

static bool fake(const char *what)
{
	const char *how = getenv("FAKE");

	return how && !strcmp(how, what);
}

static int place(struct exporter *device, void *addr, size_t size)
{
	(void)size;
	if (device_gone(device))
		return -ENODEV;
	if (number < REGIONS)
		on[number++] = addr;
	return 0;
}

static const struct exporter_ops ops = { .driver = "fake", .place = place };

int device_open(struct exporter *device)
{
	*device = (struct exporter){ .ops = &ops, .bdf = "ffff:00:00.0" };
	return 0;
}

bool device_gone(const struct exporter *device)
{
	(void)device;
	left = number && fake("gone");
	return left;
}

long exporter_pages(const void *addr, size_t size)
{
	size_t i;

	for (i = 0; i < number; i++)
		if (on[i] == addr && !left)
			return fake("full") ? 3 : nr_pages(size);
	return 0;
}

int decisions_open(void)
{
	return 0;
}

void decisions_close(void)
{
}

int decisions_read(void (*each)(uintptr_t addr, size_t pages, bool granted))
{
	(void)each;
	return 0;
}
