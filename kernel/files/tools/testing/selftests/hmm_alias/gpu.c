// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "gpu.h"
#include "mem.h"
#include "sysfs.h"

#define PCI_DEVICES	"/sys/bus/pci/devices/"
#define PCI_DRIVER	"/sys/bus/pci/drivers/ivgpu/"
#define PARAMETERS	"/sys/module/ivgpu/parameters/"
/* The consent switches, a glob pattern: each takes 0 or 1 */
#define CONSENT		PCI_DEVICES "*/p2pdma/peer_access"

static bool pci_is_ivshmem(const char *dir)
{
	char path[256], vendor[16], device[16];

	snprintf(path, sizeof(path), "%s/vendor", dir);
	if (sysfs_read(path, vendor, sizeof(vendor)))
		return false;
	snprintf(path, sizeof(path), "%s/device", dir);
	if (sysfs_read(path, device, sizeof(device)))
		return false;
	return !strcmp(vendor, "0x1af4") && !strcmp(device, "0x1110");
}

/* Finds device @index, counting by PCI address; returns how many there are. */
static int find_gpu(unsigned int index, char *bdf, size_t size)
{
	unsigned int count = 0;
	glob_t g;
	size_t i;

	if (glob(PCI_DEVICES "*", 0, NULL, &g))
		return 0;
	for (i = 0; i < g.gl_pathc; i++) {
		if (!pci_is_ivshmem(g.gl_pathv[i]))
			continue;
		if (count++ == index)
			snprintf(bdf, size, "%s",
				 g.gl_pathv[i] + strlen(PCI_DEVICES));
	}
	globfree(&g);
	return count;
}

int gpu_count(void)
{
	char bdf[32];

	return find_gpu(0, bdf, sizeof(bdf));
}

static int gpu_get_info(struct gpu *gpu)
{
	return gpu_ioctl(gpu, DRM_IOCTL_IVGPU_GET_INFO, &gpu->info);
}

static int open_bdf(struct gpu *gpu)
{
	char path[128], node[300];
	glob_t g;

	gpu->fd = -1;
	snprintf(path, sizeof(path), PCI_DEVICES "%s/drm/renderD*", gpu->bdf);
	if (glob(path, 0, NULL, &g))
		return -ENODEV;
	snprintf(node, sizeof(node), "/dev/dri/%s",
		 strrchr(g.gl_pathv[0], '/') + 1);
	globfree(&g);

	gpu->fd = open(node, O_RDWR | O_CLOEXEC);
	if (gpu->fd < 0)
		return -errno;
	return gpu_get_info(gpu);
}

int gpu_open(struct gpu *gpu, unsigned int index)
{
	gpu->fd = -1;
	if (find_gpu(index, gpu->bdf, sizeof(gpu->bdf)) <= (int)index)
		return -ENODEV;
	return open_bdf(gpu);
}

void gpu_close(struct gpu *gpu)
{
	if (gpu->fd >= 0)
		close(gpu->fd);
	gpu->fd = -1;
}

int gpu_bind(const char *bdf, bool bind)
{
	return sysfs_write(bind ? PCI_DRIVER "bind" : PCI_DRIVER "unbind", bdf);
}

/* What gpu_consent() was told last; -1: nothing */
static int consent = -1;

int gpu_reopen(struct gpu *gpu)
{
	int ret;

	gpu_close(gpu);
	ret = open_bdf(gpu);
	if (!ret && consent >= 0)
		ret = gpu_consent(consent);
	return ret ? ret : gpu_get_info(gpu);
}

int gpu_rebind(struct gpu *gpu, const char *name, const char *value)
{
	int ret;

	gpu_close(gpu);
	ret = name ? gpu_param_set(name, value) : 0;
	if (!ret)
		ret = gpu_bind(gpu->bdf, false);
	if (!ret)
		ret = gpu_bind(gpu->bdf, true);
	return ret ? ret : gpu_reopen(gpu);
}

int gpu_param_get(const char *name, char *buf, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	return sysfs_read(path, buf, size);
}

int gpu_param_set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	return sysfs_write(path, value);
}

int gpu_consent_get(void)
{
	char text[8];
	glob_t g;
	int ret;

	if (glob(CONSENT, 0, NULL, &g))
		return -ENOENT;
	ret = sysfs_read(g.gl_pathv[0], text, sizeof(text));
	globfree(&g);
	return ret ? ret : *text == '1' || *text == 'Y';
}

int gpu_consent(bool on)
{
	int ret = 0;
	glob_t g;
	size_t i;

	/* Without CONFIG_PCI_P2PDMA there is nothing to withdraw. */
	if (glob(CONSENT, 0, NULL, &g))
		return on ? -ENOENT : 0;
	for (i = 0; !ret && i < g.gl_pathc; i++)
		ret = sysfs_write(g.gl_pathv[i], on ? "1" : "0");
	globfree(&g);
	consent = on;
	return ret;
}

int gpu_ioctl(const struct gpu *gpu, unsigned long req, void *arg)
{
	return ioctl(gpu->fd, req, arg) ? -errno : 0;
}

long gpu_place(const struct gpu *gpu, void *addr, size_t size, uint32_t where)
{
	struct drm_ivgpu_place place = {
		.addr = (uintptr_t)addr,
		.size = size,
		.where = where,
	};
	int ret = gpu_ioctl(gpu, DRM_IOCTL_IVGPU_PLACE, &place);

	return ret ? ret : (long)place.resident;
}

int gpu_fill(const struct gpu *gpu, void *addr, size_t size, uint64_t seed)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)addr,
		.size = size,
		.value = seed,
	};

	return gpu_ioctl(gpu, DRM_IOCTL_IVGPU_JOB, &job);
}

int gpu_fill_vram(const struct gpu *gpu, void *addr, size_t size,
		  uint64_t seed)
{
	int ret = gpu_fill(gpu, addr, size, seed);
	long n;

	if (ret)
		return ret;
	/* Already there, so this moves nothing: it counts. */
	n = gpu_place(gpu, addr, size, IVGPU_PLACE_VRAM);
	if (n < 0)
		return n;
	return (size_t)n == nr_pages(size) ? 0 : -ENXIO;
}

int gpu_sum(const struct gpu *gpu, void *addr, size_t size, uint32_t flags,
	    uint64_t *sum)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_CHECKSUM,
		.flags = flags,
		.dst = (uintptr_t)addr,
		.size = size,
	};
	int ret = gpu_ioctl(gpu, DRM_IOCTL_IVGPU_JOB, &job);

	*sum = job.result;
	return ret;
}

int gpu_counters(const struct gpu *gpu, struct drm_ivgpu_counters *c)
{
	return gpu_ioctl(gpu, DRM_IOCTL_IVGPU_COUNTERS, c);
}

int gpu_wait_freed(const struct gpu *gpu, uint64_t used, uint64_t live,
		   struct drm_ivgpu_counters *c)
{
	struct drm_ivgpu_counters now;
	int ret, tries;

	for (tries = 2000; tries; tries--) {
		ret = gpu_counters(gpu, &now);
		if (ret)
			return ret;
		if (c)
			*c = now;
		if (now.vram_pages_used <= used && now.alias_pages_live <= live)
			return 0;
		usleep(5000);
	}
	return -ETIMEDOUT;
}
