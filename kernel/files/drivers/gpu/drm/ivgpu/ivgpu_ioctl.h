/* SPDX-License-Identifier: MIT */
/*
 * The ioctls of ivgpu, a GPU made of QEMU's ivshmem-plain device.
 *
 * BAR 2 of the device is its VRAM. All addresses in this interface are
 * ordinary user virtual addresses of the process that opened the render node.
 *
 * Private to the driver and its tests, tools/testing/selftests/hmm_alias: no
 * other program may rely on it, and it is not installed with the kernel's
 * headers.
 */
#ifndef _IVGPU_IOCTL_H_
#define _IVGPU_IOCTL_H_

#include <drm/drm.h>

#define DRM_IVGPU_GET_INFO	0x00
#define DRM_IVGPU_PLACE		0x01
#define DRM_IVGPU_JOB		0x02
#define DRM_IVGPU_COUNTERS	0x03

#define DRM_IOCTL_IVGPU_GET_INFO \
	DRM_IOR(DRM_COMMAND_BASE + DRM_IVGPU_GET_INFO, struct drm_ivgpu_info)
#define DRM_IOCTL_IVGPU_PLACE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_IVGPU_PLACE, struct drm_ivgpu_place)
#define DRM_IOCTL_IVGPU_JOB \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_IVGPU_JOB, struct drm_ivgpu_job)
#define DRM_IOCTL_IVGPU_COUNTERS \
	DRM_IOR(DRM_COMMAND_BASE + DRM_IVGPU_COUNTERS, \
		struct drm_ivgpu_counters)

/**
 * struct drm_ivgpu_info - what this device is
 * @vram_size: size of the VRAM in bytes
 * @aperture_size: bytes of VRAM, from offset 0, that other devices can reach
 *	on the bus; 0 when the device was bound without an aperture
 * @flags: IVGPU_INFO_* bits
 * @pad: zero
 */
struct drm_ivgpu_info {
	__u64 vram_size;
	__u64 aperture_size;
/* Peers may be granted aliases now (sysfs p2pdma/peer_access is 1). */
#define IVGPU_INFO_P2P		(1 << 0)
/* The aperture may also be accessed by CPU-side importers. */
#define IVGPU_INFO_CPU_ACCESS	(1 << 1)
	__u32 flags;
	__u32 pad;
};

/**
 * struct drm_ivgpu_place - move a range of the caller's memory
 * @addr: start of the range, page aligned
 * @size: size of the range in bytes, a multiple of the page size
 * @where: IVGPU_PLACE_RAM or IVGPU_PLACE_VRAM
 * @flags: must be zero
 * @resident: out: pages of the range in this device's VRAM when the call
 *	returns
 *
 * Moving is best effort, as it is for every driver on drm_pagemap: pages that
 * cannot be in VRAM (file pages, pinned pages) stay where they are.
 * IVGPU_PLACE_RAM moves only pages that are in this device's VRAM.
 *
 * Memory moves in chunks. IVGPU_PLACE_VRAM moves nothing beside the range: of
 * the range, aligned chunks of 2 MiB, where these do not fit of 64 KiB, and
 * single pages at last. A chunk moves as a whole or not at all, so that one page
 * which is pinned keeps the other 511 of its 2 MiB in RAM. It also comes back as
 * a whole, pages outside of the range included: when a CPU touches one of its
 * pages, when a device does that has no alias, for IVGPU_PLACE_RAM, and when
 * VRAM is needed.
 *
 * Errors: EINVAL (flags, where, zero or unaligned addr or size), EFAULT (the
 * range is not wholly user address space or overflows), EXDEV (called by a
 * process other than the one that opened the file), ENODEV (unplugged),
 * EINTR, ENOMEM.
 */
struct drm_ivgpu_place {
	__u64 addr;
	__u64 size;
#define IVGPU_PLACE_RAM		0
#define IVGPU_PLACE_VRAM	1
	__u32 where;
	__u32 flags;
	__u64 resident;
};

/**
 * struct drm_ivgpu_job - run one engine job, wait for it
 * @op: IVGPU_JOB_*
 * @flags: IVGPU_JOB_FLAG_* bits
 * @dst: destination address (FILL, COPY, ADD); for CHECKSUM the address read
 * @src: source address (COPY), otherwise zero
 * @size: bytes to process, a multiple of 8
 * @value: FILL: seed of the pattern; ADD: the addend
 * @result: in: CHECKSUM: 0, or the sum of the first @done bytes; out: CHECKSUM:
 *	the sum; otherwise 0
 * @done: in: bytes to leave out, as they were processed before: 0 for a new job;
 *	out: bytes processed, also when the job failed
 *
 * A job that is interrupted, EINTR, goes on if the ioctl is repeated with the
 * structure as it is.
 *
 * The engine faults as a GPU does: it moves the pages it touches into VRAM,
 * evicting others when VRAM is full, and uses the pages where they are when
 * they cannot be moved.
 *
 * @dst and @src are multiples of 8. FILL writes the 64-bit little-endian word
 * with index i (from @dst) as a mix of @value and i in which no two words of a
 * fill are equal: x = @value + i * 0x9e3779b97f4a7c15, then
 * x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9, then x ^ (x >> 27). CHECKSUM is the
 * 64-bit sum of word[i] * (2 * i + 1), so that it depends on the order. ADD adds
 * @value to every 64-bit word with the engine's atomics. COPY goes upwards;
 * overlapping ranges are refused.
 *
 * Errors: EINVAL (op, flags, alignment, size zero, overlap, done larger than
 * size), EFAULT (the range is not wholly user address space, overflows, or a page
 * cannot be faulted), EPERM (a write to a mapping without PROT_WRITE), ENXIO
 * (IVGPU_JOB_FLAG_VRAM_ONLY and a page is not in this device's VRAM), EXDEV,
 * ENODEV, EINTR, ENOMEM.
 */
struct drm_ivgpu_job {
#define IVGPU_JOB_FILL		0
#define IVGPU_JOB_COPY		1
#define IVGPU_JOB_CHECKSUM	2
#define IVGPU_JOB_ADD		3
	__u32 op;
/* Use the pages where they are: do not move any page into VRAM. */
#define IVGPU_JOB_FLAG_NO_MIGRATE	(1 << 0)
/* Fail with ENXIO, moving nothing, unless the page is in this VRAM. */
#define IVGPU_JOB_FLAG_VRAM_ONLY	(1 << 1)
	__u32 flags;
	__u64 dst;
	__u64 src;
	__u64 size;
	__u64 value;
	__u64 result;
	__u64 done;
};

/**
 * struct drm_ivgpu_counters - what the device did since it was bound
 * @pages_to_vram: pages whose contents were moved (or cleared) into VRAM
 * @pages_to_ram: pages whose contents were copied from VRAM to RAM, for any
 *	reason: CPU fault, eviction, PLACE
 * @pages_evicted: those of @pages_to_ram that made room for others
 * @engine_faults: faults the engine took
 * @alias_pages: pages granted an alias; a page counts once until it is freed
 * @alias_pages_live: pages that were granted, until their allocation is freed
 * @alias_refused: grants refused by this driver (aperture, unplugged)
 * @vram_pages_used: pages of VRAM allocated now
 *
 * Pages are of the kernel's page size. All but @alias_pages_live and
 * @vram_pages_used only grow.
 */
struct drm_ivgpu_counters {
	__u64 pages_to_vram;
	__u64 pages_to_ram;
	__u64 pages_evicted;
	__u64 engine_faults;
	__u64 alias_pages;
	__u64 alias_pages_live;
	__u64 alias_refused;
	__u64 vram_pages_used;
};

#endif /* _IVGPU_IOCTL_H_ */
