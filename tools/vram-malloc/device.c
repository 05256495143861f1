// SPDX-License-Identifier: GPL-2.0
/* The device that memory is moved to: which one it is, and whether it is still there. */
#define _GNU_SOURCE
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <drm/drm.h>

#include "exporter.h"
#include "vram-malloc.h"

/* The first device of a driver that is known */
static int device_find(char *bdf, size_t size)
{
	static const char *const drivers[] = { "ivgpu", "nouveau", "xe" };
	const char *name = getenv("VRAM_MALLOC_DEVICE");
	char path[64];
	size_t i;
	glob_t g;

	if (name) {
		snprintf(bdf, size, "%s", name);
		return 0;
	}
	for (i = 0; i < sizeof(drivers) / sizeof(*drivers); i++) {
		snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/0*",
			 drivers[i]);
		if (glob(path, 0, NULL, &g))
			continue;
		snprintf(bdf, size, "%s", strrchr(g.gl_pathv[0], '/') + 1);
		globfree(&g);
		return 0;
	}
	return -ENODEV;
}

int device_open(struct exporter *device)
{
	int ret;

	memset(device, 0, sizeof(*device));
	ret = device_find(device->bdf, sizeof(device->bdf));
	return ret ? ret : exporter_open(device, device->bdf);
}

/* All ioctls of DRM say so, before they look at what they are given. */
bool device_gone(const struct exporter *device)
{
	struct drm_version version = { 0 };

	return ioctl(device->fd, DRM_IOCTL_VERSION, &version) && errno == ENODEV;
}
