/* SPDX-License-Identifier: MIT */
/*
 * Of the kernel's include/uapi/drm/drm.h, what this library uses. Debian 12 has
 * drm's headers in libdrm-dev only, and no distribution's have all that the patched
 * kernel's have. tests/headers.sh compares the files here with those.
 *
 * Copyright 1999 Precision Insight, Inc., Cedar Park, Texas.
 * Copyright 2000 VA Linux Systems, Inc., Sunnyvale, California.
 * All rights reserved.
 */
#ifndef VRAM_MALLOC_DRM_H
#define VRAM_MALLOC_DRM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define DRM_COMMAND_BASE	0x40

#define DRM_IOR(nr, type)	_IOR('d', nr, type)
#define DRM_IOW(nr, type)	_IOW('d', nr, type)
#define DRM_IOWR(nr, type)	_IOWR('d', nr, type)

struct drm_version {
	int version_major;
	int version_minor;
	int version_patchlevel;
	__kernel_size_t name_len;
	char *name;
	__kernel_size_t date_len;
	char *date;
	__kernel_size_t desc_len;
	char *desc;
};

#define DRM_IOCTL_VERSION	DRM_IOWR(0x00, struct drm_version)

#endif /* VRAM_MALLOC_DRM_H */
