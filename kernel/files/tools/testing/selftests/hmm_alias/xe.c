// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm/xe_drm.h>

#include "mem.h"
#include "xe.h"

#define SPAN		(1ULL << 47)	/* of a process */
#define FENCE_AT	(1 * MIB)	/* in the memory for commands */

#define MEM_COPY	(2U << 29 | 0x5a << 22 | 1 << 19 | 8)
#define COPY_UNIT	256		/* bytes, of a copy's width */
#define BATCH_END	(0xa << 23)

#define PAT_INDEX	1

/* As drmIoctl() of libdrm */
static int xe_ioctl(struct xe *xe, unsigned long req, void *arg)
{
	int ret;

	do {
		ret = ioctl(xe->fd, req, arg) ? -errno : 0;
	} while (ret == -EINTR || ret == -EAGAIN);
	return ret;
}

static int cmd_open(struct xe *xe)
{
	xe->cmd = map_aligned(XE_CMD_SIZE, false, &xe->map, &xe->map_size);
	if (!xe->cmd)
		return -ENOMEM;
	memset(xe->cmd, 0, XE_CMD_SIZE);
	xe->fence = (void *)((char *)xe->cmd + FENCE_AT);
	return xe_prefer(xe, xe->cmd, XE_CMD_SIZE,
			 DRM_XE_PREFERRED_LOC_DEFAULT_SYSTEM);
}

int xe_open(struct xe *xe, int fd)
{
	struct drm_xe_vm_create create = {
		.flags = DRM_XE_VM_CREATE_FLAG_LR_MODE |
			 DRM_XE_VM_CREATE_FLAG_FAULT_MODE,
	};
	struct drm_xe_vm_bind mirror = {
		.num_binds = 1,
		.bind = {
			.op = DRM_XE_VM_BIND_OP_MAP,
			.flags = DRM_XE_VM_BIND_FLAG_CPU_ADDR_MIRROR,
			.range = SPAN,
			.pat_index = PAT_INDEX,
		},
	};
	int ret;

	memset(xe, 0, sizeof(*xe));
	xe->fd = fd;
	ret = xe_ioctl(xe, DRM_IOCTL_XE_VM_CREATE, &create);
	if (ret)
		return ret;
	xe->vm = create.vm_id;
	mirror.vm_id = xe->vm;
	ret = xe_ioctl(xe, DRM_IOCTL_XE_VM_BIND, &mirror);
	if (!ret)
		ret = cmd_open(xe);
	if (ret)
		xe_close(xe);
	return ret;
}

void xe_close(struct xe *xe)
{
	struct drm_xe_exec_queue_destroy queue = {
		.exec_queue_id = xe->queue,
	};
	struct drm_xe_vm_destroy vm = { .vm_id = xe->vm };

	/* The device may be gone. Then these fail, and the file's end does it. */
	if (xe->queue)
		xe_ioctl(xe, DRM_IOCTL_XE_EXEC_QUEUE_DESTROY, &queue);
	xe_ioctl(xe, DRM_IOCTL_XE_VM_DESTROY, &vm);
	if (xe->map)
		munmap(xe->map, xe->map_size);
	memset(xe, 0, sizeof(*xe));
}

int xe_prefetch(struct xe *xe, void *addr, size_t size, int region)
{
	struct drm_xe_vm_bind bind = {
		.vm_id = xe->vm,
		.num_binds = 1,
		.bind = {
			.op = DRM_XE_VM_BIND_OP_PREFETCH,
			.addr = (uintptr_t)addr,
			.range = size,
			.prefetch_mem_region_instance = region,
			.pat_index = PAT_INDEX,
		},
	};

	return xe_ioctl(xe, DRM_IOCTL_XE_VM_BIND, &bind);
}

int xe_map_userptr(struct xe *xe, void *addr, size_t size)
{
	struct drm_xe_vm_bind bind = {
		.vm_id = xe->vm,
		.num_binds = 1,
		.bind = {
			.op = DRM_XE_VM_BIND_OP_MAP_USERPTR,
			.flags = DRM_XE_VM_BIND_FLAG_IMMEDIATE,
			.userptr = (uintptr_t)addr,
			.addr = (uintptr_t)addr,
			.range = size,
			.pat_index = PAT_INDEX,
		},
	};

	return xe_ioctl(xe, DRM_IOCTL_XE_VM_BIND, &bind);
}

int xe_prefer(struct xe *xe, void *addr, size_t size, int fd)
{
	struct drm_xe_madvise advice = {
		.start = (uintptr_t)addr,
		.range = size,
		.vm_id = xe->vm,
		.type = DRM_XE_MEM_RANGE_ATTR_PREFERRED_LOC,
		.preferred_mem_loc = {
			.devmem_fd = fd,
			.region_instance = fd > 0 ? XE_VRAM : 0,
		},
	};

	return xe_ioctl(xe, DRM_IOCTL_XE_MADVISE, &advice);
}

static int queue_open(struct xe *xe)
{
	struct drm_xe_engine_class_instance engine = {
		.engine_class = DRM_XE_ENGINE_CLASS_COPY,
	};
	struct drm_xe_exec_queue_create create = {
		.width = 1,
		.num_placements = 1,
		.vm_id = xe->vm,
		.instances = (uintptr_t)&engine,
	};
	int ret = xe_ioctl(xe, DRM_IOCTL_XE_EXEC_QUEUE_CREATE, &create);

	if (!ret)
		xe->queue = create.exec_queue_id;
	return ret;
}

int xe_copy_start(struct xe *xe, void *dst, const void *src, size_t size)
{
	uint64_t from = (uintptr_t)src, to = (uintptr_t)dst;
	const uint32_t words[] = {
		MEM_COPY, size / COPY_UNIT - 1, 0, 0, 0,
		from, from >> 32, to, to >> 32, 0, BATCH_END,
	};
	struct drm_xe_sync sync = {
		.type = DRM_XE_SYNC_TYPE_USER_FENCE,
		.flags = DRM_XE_SYNC_FLAG_SIGNAL,
		.addr = (uintptr_t)xe->fence,
	};
	struct drm_xe_exec exec = {
		.num_syncs = 1,
		.syncs = (uintptr_t)&sync,
		.address = (uintptr_t)xe->cmd,
		.num_batch_buffer = 1,
	};
	int ret;

	if (!xe->queue) {
		ret = queue_open(xe);
		if (ret)
			return ret;
	}
	memcpy(xe->cmd, words, sizeof(words));
	exec.exec_queue_id = xe->queue;
	sync.timeline_value = ++xe->seq;
	return xe_ioctl(xe, DRM_IOCTL_XE_EXEC, &exec);
}

int xe_copy_wait(struct xe *xe, unsigned int seconds)
{
	unsigned long tries;

	for (tries = seconds * 1000UL; tries; tries--) {
		if (__atomic_load_n(xe->fence, __ATOMIC_ACQUIRE) == xe->seq)
			return 0;
		usleep(1000);
	}
	return -ETIMEDOUT;
}

int xe_copy(struct xe *xe, void *dst, const void *src, size_t size)
{
	int ret = xe_copy_start(xe, dst, src, size);

	return ret ? ret : xe_copy_wait(xe, 60);
}
