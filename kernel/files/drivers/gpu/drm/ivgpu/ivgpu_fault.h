/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IVGPU_FAULT_H_
#define _IVGPU_FAULT_H_

#include <linux/types.h>

struct drm_pagemap_addr;
struct ivgpu_device;
struct ivgpu_range;
struct ivgpu_snapshot;
struct ivgpu_svm;

/**
 * struct ivgpu_view - a piece of address space as the engine sees it
 * @range: the range that it is in, with a reference; NULL if @snapshot is set
 * @snapshot: where the pages are if nothing may be moved
 * @start: user address of the first page in @addr
 * @end: the view ends here
 * @addr: where the pages are, packed: each entry covers 1 << order pages
 * @vram_dev: the device that DRM_INTERCONNECT_DRIVER entries of @addr belong to
 * @write: the engine will write
 */
struct ivgpu_view {
	struct ivgpu_range *range;
	struct ivgpu_snapshot *snapshot;
	unsigned long start;
	unsigned long end;
	struct drm_pagemap_addr *addr;
	struct ivgpu_device *vram_dev;
	bool write;
};

int ivgpu_view_fault(struct ivgpu_svm *svm, struct ivgpu_view *view,
		     unsigned long addr, bool write, bool migrate);
int ivgpu_view_vram_only(struct ivgpu_svm *svm, struct ivgpu_view *view,
			 unsigned long addr, unsigned long end, bool write);
int ivgpu_view_check(struct ivgpu_svm *svm, struct ivgpu_view *view);
void ivgpu_view_put(struct ivgpu_view *view);

#endif /* _IVGPU_FAULT_H_ */
