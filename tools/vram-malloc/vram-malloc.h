/* SPDX-License-Identifier: GPL-2.0 */
/*
 * vram-malloc: what the files of the library share.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef VRAM_MALLOC_H
#define VRAM_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exporter;
struct ibv_mr;

/**
 * struct region - a memory region, from its registration on
 * @next: in the list of all
 * @mr: what the program has
 * @start: first address, of a page
 * @size: up to the end of its last page
 * @data: its own first address
 * @length: its own length
 * @access: IBV_ACCESS_*
 * @fill: it shall have the pattern
 * @filled: it has it
 * @placed: pages that were moved to the device
 * @there: pages that were there when it was looked at last, or an errno
 * @aliased: one byte for each page; 1: a device has had an alias of it
 * @moved: pages that the access of an RDMA device has moved to RAM
 * @number: counts from 1
 */
struct region {
	struct region *next;
	struct ibv_mr *mr;
	char *start;
	size_t size;
	char *data;
	size_t length;
	int access;
	bool fill;
	bool filled;
	size_t placed;
	long there;
	unsigned char *aliased;
	size_t moved;
	unsigned int number;
};

/* One line on stderr, with the name of the library */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The device to use, as the environment says, or the first that is found */
int device_open(struct exporter *device);
/* Its driver was unbound, or it was removed, since then */
bool device_gone(const struct exporter *device);

/* The decisions of the kernel about pages of this process, from its trace */
int decisions_open(void);
void decisions_close(void);
/* Calls @each for what is new: @granted an alias, or moved to RAM instead. */
int decisions_read(void (*each)(uintptr_t addr, size_t pages, bool granted));

/* What is in memory, to tell afterwards whose word each one is */
void pattern_write(struct region *region, uint64_t seed);
/* Says it. @seed: this process's; every other one is a peer's */
void pattern_report(const struct region *region, uint64_t seed);

#endif /* VRAM_MALLOC_H */
