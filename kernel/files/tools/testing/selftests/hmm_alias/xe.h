/* SPDX-License-Identifier: GPL-2.0 */
/*
 * xe's shared virtual memory, with a GPU that copies: what its tests and the
 * exporter of that driver share.
 *
 * Functions return 0 or a negative errno.
 */
#ifndef XE_H
#define XE_H

#include <stddef.h>
#include <stdint.h>

#define XE_RAM		0	/* memory regions of prefetch */
#define XE_VRAM		1

#define XE_CMD_SIZE	(2 * 1024 * 1024UL)

/**
 * struct xe - a VM that mirrors this process, and a queue of a copy engine
 * @fd: the render node
 * @vm: VM in fault mode
 * @queue: of copy engine 0; 0: not yet
 * @cmd: memory for commands, 2 MiB that stay in RAM
 * @fence: what the engine writes last, in @cmd
 * @map: what to munmap() of @cmd
 * @map_size: size of @map
 * @seq: what @fence was told last
 */
struct xe {
	int fd;
	uint32_t vm;
	uint32_t queue;
	uint32_t *cmd;
	uint64_t *fence;
	void *map;
	size_t map_size;
	uint64_t seq;
};

/* All memory of this process, on the device that @fd is a render node of */
int xe_open(struct xe *xe, int fd);
/* Does not close @fd. */
void xe_close(struct xe *xe);

/* Moves, and maps for the GPU. @region: as above, or as madvise has it, -1 */
int xe_prefetch(struct xe *xe, void *addr, size_t size, int region);
/* The GPU has it as it is, without the mirror: a userptr mapping */
int xe_map_userptr(struct xe *xe, void *addr, size_t size);
/*
 * Where memory shall be when the GPU faults on it: the render node of a device,
 * 0 for the VM's own, -1 for RAM
 */
int xe_prefer(struct xe *xe, void *addr, size_t size, int fd);

/* The engine copies whole pages, by page faults if need be. */
int xe_copy_start(struct xe *xe, void *dst, const void *src, size_t size);
/* -ETIMEDOUT: it has not ended in @seconds */
int xe_copy_wait(struct xe *xe, unsigned int seconds);
int xe_copy(struct xe *xe, void *dst, const void *src, size_t size);

#endif /* XE_H */
