// SPDX-License-Identifier: GPL-2.0
/* ivgpu as an exporter of the tests: one ioctl for each. */
#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <drivers/gpu/drm/ivgpu/ivgpu_ioctl.h>

#include "exporter.h"

static int place(struct exporter *exp, void *addr, size_t size, uint32_t where)
{
	struct drm_ivgpu_place place = {
		.addr = (uintptr_t)addr,
		.size = size,
		.where = where,
	};

	return ioctl(exp->fd, DRM_IOCTL_IVGPU_PLACE, &place) ? -errno : 0;
}

static int ivgpu_place(struct exporter *exp, void *addr, size_t size)
{
	return place(exp, addr, size, IVGPU_PLACE_VRAM);
}

static int ivgpu_evict(struct exporter *exp, void *addr, size_t size)
{
	return place(exp, addr, size, IVGPU_PLACE_RAM);
}

/* NO_MIGRATE: where it is */
static int ivgpu_copy(struct exporter *exp, void *dst, const void *src,
		      size_t size)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_COPY,
		.flags = IVGPU_JOB_FLAG_NO_MIGRATE,
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.size = size,
	};

	return ioctl(exp->fd, DRM_IOCTL_IVGPU_JOB, &job) ? -errno : 0;
}

const struct exporter_ops exporter_ivgpu = {
	.driver = "ivgpu",
	.place = ivgpu_place,
	.evict = ivgpu_evict,
	.copy = ivgpu_copy,
};
