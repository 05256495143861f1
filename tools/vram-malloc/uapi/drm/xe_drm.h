/* SPDX-License-Identifier: MIT */
/*
 * Of the kernel's include/uapi/drm/xe_drm.h, what this library uses: see drm.h.
 *
 * Copyright © 2023 Intel Corporation
 */
#ifndef VRAM_MALLOC_XE_DRM_H
#define VRAM_MALLOC_XE_DRM_H

#include "drm.h"

struct drm_xe_engine_class_instance {
#define DRM_XE_ENGINE_CLASS_COPY		1
	__u16 engine_class;
	__u16 engine_instance;
	__u16 gt_id;
	__u16 pad;
};

struct drm_xe_vm_create {
	__u64 extensions;
#define DRM_XE_VM_CREATE_FLAG_LR_MODE		(1 << 1)
#define DRM_XE_VM_CREATE_FLAG_FAULT_MODE	(1 << 2)
	__u32 flags;
	__u32 vm_id;
	__u64 reserved[2];
};

struct drm_xe_vm_destroy {
	__u32 vm_id;
	__u32 pad;
	__u64 reserved[2];
};

struct drm_xe_vm_bind_op {
	__u64 extensions;
	__u32 obj;
	__u16 pat_index;
	__u16 pad;
	union {
		__u64 obj_offset;
		__u64 userptr;
		__s64 cpu_addr_mirror_offset;
	};
	__u64 range;
	__u64 addr;
#define DRM_XE_VM_BIND_OP_MAP			0x0
#define DRM_XE_VM_BIND_OP_MAP_USERPTR		0x2
#define DRM_XE_VM_BIND_OP_PREFETCH		0x4
	__u32 op;
#define DRM_XE_VM_BIND_FLAG_IMMEDIATE		(1 << 1)
#define DRM_XE_VM_BIND_FLAG_CPU_ADDR_MIRROR	(1 << 5)
	__u32 flags;
	__u32 prefetch_mem_region_instance;
	__u32 pad2;
	__u64 reserved[3];
};

struct drm_xe_vm_bind {
	__u64 extensions;
	__u32 vm_id;
	__u32 exec_queue_id;
	__u32 pad;
	__u32 num_binds;
	union {
		struct drm_xe_vm_bind_op bind;
		__u64 vector_of_binds;
	};
	__u32 pad2;
	__u32 num_syncs;
	__u64 syncs;
	__u64 reserved[2];
};

struct drm_xe_exec_queue_create {
	__u64 extensions;
	__u16 width;
	__u16 num_placements;
	__u32 vm_id;
	__u32 flags;
	__u32 exec_queue_id;
	__u64 instances;
	__u64 reserved[2];
};

struct drm_xe_exec_queue_destroy {
	__u32 exec_queue_id;
	__u32 pad;
	__u64 reserved[2];
};

struct drm_xe_sync {
	__u64 extensions;
#define DRM_XE_SYNC_TYPE_USER_FENCE		0x2
	__u32 type;
#define DRM_XE_SYNC_FLAG_SIGNAL			(1 << 0)
	__u32 flags;
	union {
		__u32 handle;
		__u64 addr;
	};
	__u64 timeline_value;
	__u64 reserved[2];
};

struct drm_xe_exec {
	__u64 extensions;
	__u32 exec_queue_id;
	__u32 num_syncs;
	__u64 syncs;
	__u64 address;
	__u16 num_batch_buffer;
	__u16 pad[3];
	__u64 reserved[2];
};

/* It has more kinds of attributes, in a union of one size. */
struct drm_xe_madvise {
	__u64 extensions;
	__u64 start;
	__u64 range;
	__u32 vm_id;
#define DRM_XE_MEM_RANGE_ATTR_PREFERRED_LOC	0
	__u32 type;
	struct {
#define DRM_XE_PREFERRED_LOC_DEFAULT_SYSTEM	-1
		__u32 devmem_fd;
		__u16 migration_policy;
		__u16 region_instance;
		__u64 reserved;
	} preferred_mem_loc;
	__u64 reserved[2];
};

#define DRM_IOCTL_XE_VM_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + 0x03, struct drm_xe_vm_create)
#define DRM_IOCTL_XE_VM_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + 0x04, struct drm_xe_vm_destroy)
#define DRM_IOCTL_XE_VM_BIND \
	DRM_IOW(DRM_COMMAND_BASE + 0x05, struct drm_xe_vm_bind)
#define DRM_IOCTL_XE_EXEC_QUEUE_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + 0x06, struct drm_xe_exec_queue_create)
#define DRM_IOCTL_XE_EXEC_QUEUE_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + 0x07, struct drm_xe_exec_queue_destroy)
#define DRM_IOCTL_XE_EXEC \
	DRM_IOW(DRM_COMMAND_BASE + 0x09, struct drm_xe_exec)
#define DRM_IOCTL_XE_MADVISE \
	DRM_IOW(DRM_COMMAND_BASE + 0x0c, struct drm_xe_madvise)

#endif /* VRAM_MALLOC_XE_DRM_H */
