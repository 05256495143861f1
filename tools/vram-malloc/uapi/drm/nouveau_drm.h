/* SPDX-License-Identifier: MIT */
/*
 * Of the kernel's include/uapi/drm/nouveau_drm.h, what this library uses: see drm.h.
 *
 * Copyright 2005 Stephane Marchesin.
 * All Rights Reserved.
 */
#ifndef VRAM_MALLOC_NOUVEAU_DRM_H
#define VRAM_MALLOC_NOUVEAU_DRM_H

#include "drm.h"

#define NOUVEAU_FIFO_ENGINE_CE		0x30

struct drm_nouveau_channel_alloc {
	__u32 fb_ctxdma_handle;
	__u32 tt_ctxdma_handle;
	__s32 channel;
	__u32 pushbuf_domains;
	__u32 notifier_handle;
	struct {
		__u32 handle;
		__u32 grclass;
	} subchan[8];
	__u32 nr_subchan;
};

#define NOUVEAU_GEM_DOMAIN_GART		(1 << 2)
#define NOUVEAU_GEM_DOMAIN_MAPPABLE	(1 << 3)

struct drm_nouveau_gem_info {
	__u32 handle;
	__u32 domain;
	__u64 size;
	__u64 offset;
	__u64 map_handle;
	__u32 tile_mode;
	__u32 tile_flags;
};

struct drm_nouveau_gem_new {
	struct drm_nouveau_gem_info info;
	__u32 channel_hint;
	__u32 align;
};

struct drm_nouveau_gem_pushbuf_bo_presumed {
	__u32 valid;
	__u32 domain;
	__u64 offset;
};

struct drm_nouveau_gem_pushbuf_bo {
	__u64 user_priv;
	__u32 handle;
	__u32 read_domains;
	__u32 write_domains;
	__u32 valid_domains;
	struct drm_nouveau_gem_pushbuf_bo_presumed presumed;
};

struct drm_nouveau_gem_pushbuf_push {
	__u32 bo_index;
	__u32 pad;
	__u64 offset;
	__u64 length;
};

struct drm_nouveau_gem_pushbuf {
	__u32 channel;
	__u32 nr_buffers;
	__u64 buffers;
	__u32 nr_relocs;
	__u32 nr_push;
	__u64 relocs;
	__u64 push;
	__u32 suffix0;
	__u32 suffix1;
	__u64 vram_available;
	__u64 gart_available;
};

#define NOUVEAU_GEM_CPU_PREP_WRITE	0x00000004

struct drm_nouveau_gem_cpu_prep {
	__u32 handle;
	__u32 flags;
};

struct drm_nouveau_svm_init {
	__u64 unmanaged_addr;
	__u64 unmanaged_size;
};

struct drm_nouveau_svm_bind {
	__u64 header;
	__u64 va_start;
	__u64 va_end;
	__u64 npages;
	__u64 stride;
	__u64 result;
	__u64 reserved0;
	__u64 reserved1;
};

#define NOUVEAU_SVM_BIND_COMMAND_SHIFT		0
#define NOUVEAU_SVM_BIND_TARGET_SHIFT		16
#define NOUVEAU_SVM_BIND_COMMAND__MIGRATE	0
#define NOUVEAU_SVM_BIND_TARGET__GPU_VRAM	(1UL << 31)

#define DRM_IOCTL_NOUVEAU_CHANNEL_ALLOC \
	DRM_IOWR(DRM_COMMAND_BASE + 0x02, struct drm_nouveau_channel_alloc)
#define DRM_IOCTL_NOUVEAU_SVM_INIT \
	DRM_IOWR(DRM_COMMAND_BASE + 0x08, struct drm_nouveau_svm_init)
#define DRM_IOCTL_NOUVEAU_SVM_BIND \
	DRM_IOWR(DRM_COMMAND_BASE + 0x09, struct drm_nouveau_svm_bind)
#define DRM_IOCTL_NOUVEAU_GEM_NEW \
	DRM_IOWR(DRM_COMMAND_BASE + 0x40, struct drm_nouveau_gem_new)
#define DRM_IOCTL_NOUVEAU_GEM_PUSHBUF \
	DRM_IOWR(DRM_COMMAND_BASE + 0x41, struct drm_nouveau_gem_pushbuf)
#define DRM_IOCTL_NOUVEAU_GEM_CPU_PREP \
	DRM_IOW(DRM_COMMAND_BASE + 0x42, struct drm_nouveau_gem_cpu_prep)

#endif /* VRAM_MALLOC_NOUVEAU_DRM_H */
