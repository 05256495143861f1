/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IVGPU_H_
#define _IVGPU_H_

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/gpu_buddy.h>

#include <drm/drm_device.h>
#include <drm/drm_gpusvm.h>
#include <drm/drm_pagemap.h>
#include <drm/drm_pagemap_util.h>

#include "ivgpu_ioctl.h"

struct drm_file;
struct p2pdma_provider;
struct pci_dev;
struct task_struct;

/* The sizes in which memory is mapped and moved, as &struct drm_gpusvm has. */
#define IVGPU_CHUNK_MAX		SZ_2M
#define IVGPU_CHUNK_MID		SZ_64K
#define IVGPU_CHUNK_MIN		SZ_4K

/* The counters of struct drm_ivgpu_counters, but for vram_pages_used */
struct ivgpu_counters {
	atomic64_t pages_to_vram;
	atomic64_t pages_to_ram;
	atomic64_t pages_evicted;
	atomic64_t engine_faults;
	atomic64_t alias_pages;
	atomic64_t alias_pages_live;
	atomic64_t alias_refused;
};

/**
 * struct ivgpu_vram - the memory of one device
 * @base: the BAR, mapped for the CPU, which stands in for the engine
 * @bar_start: CPU physical address of the BAR
 * @size: size of the BAR in bytes
 * @aperture: bytes of it, from offset 0, that other devices may reach
 * @provider: the BAR as pci/p2pdma knows it, or NULL
 * @pagemap: the device-private pages, one for each page of the BAR
 * @dpagemap: what drm_pagemap knows about @pagemap
 * @peer: our membership in a private-interconnect group
 * @buddy: which parts of the BAR are in use
 * @evictor: the task that makes room now
 * @lru: allocations with pages in use, least recently placed first
 * @dead: allocations whose last page is gone, waiting for @free_work
 * @free_work: gives the blocks of @dead back to @buddy
 * @granted: one bit for each page that has been granted an alias
 */
struct ivgpu_vram {
	void __iomem *base;
	phys_addr_t bar_start;
	u64 size;
	u64 aperture;
	struct p2pdma_provider *provider;
	struct dev_pagemap pagemap;
	struct drm_pagemap dpagemap;
	struct drm_pagemap_peer peer;
	/** @lock: protects @buddy */
	struct mutex lock;
	struct gpu_buddy buddy;
	/** @evict_lock: one eviction at a time; protects @evictor */
	struct mutex evict_lock;
	struct task_struct *evictor;
	/** @lru_lock: protects @lru and &struct ivgpu_alloc.released */
	spinlock_t lru_lock;
	struct list_head lru;
	struct llist_head dead;
	struct work_struct free_work;
	unsigned long *granted;
	/** @atomic_lock: makes the engine's atomics on VRAM atomic to each other */
	spinlock_t atomic_lock;
};

/**
 * struct ivgpu_device - one ivshmem device
 * @drm: the DRM device
 * @vram: its memory
 * @counters: what it did
 * @link: entry in the list of bound devices
 * @files: every open file, so that unbind finds the DMA mappings
 */
struct ivgpu_device {
	struct drm_device drm;
	struct ivgpu_vram vram;
	struct ivgpu_counters counters;
	struct list_head link;
	/**
	 * @group_sem: held for reading by code that compares owners of pages,
	 * for writing to change the owner of this device's pages
	 */
	struct rw_semaphore group_sem;
	/** @files_lock: protects @files */
	struct mutex files_lock;
	struct list_head files;
};

/**
 * struct ivgpu_svm - the address space of an open file
 * @ivgpu: the device
 * @gpusvm: the mirror of the opener's address space
 * @link: entry in &struct ivgpu_device.files
 * @unmapped: ranges whose memory was unmapped, to be removed
 */
struct ivgpu_svm {
	struct ivgpu_device *ivgpu;
	struct drm_gpusvm gpusvm;
	struct list_head link;
	/** @lock: protects the ranges, while they are faulted in and used */
	struct mutex lock;
	/** @unmapped_lock: protects @unmapped */
	spinlock_t unmapped_lock;
	struct list_head unmapped;
};

/**
 * struct ivgpu_range - what the engine's MMU maps at a piece of address space
 * @base: the gpusvm range
 * @pages: where its pages are
 * @unmapped_link: entry in &struct ivgpu_svm.unmapped
 * @writable: the engine may write all of @pages; notifier lock
 * @in_vram: all of @pages are in this device's VRAM; notifier lock
 */
struct ivgpu_range {
	struct drm_gpusvm_range base;
	struct drm_gpusvm_pages pages;
	struct list_head unmapped_link;
	bool writable;
	bool in_vram;
};

/**
 * struct ivgpu_view - a piece of address space as the engine sees it
 * @range: the range that it is in; a reference is held
 * @start: user address of the first page in @addr
 * @end: the view ends here
 * @addr: where the pages are, packed: each entry covers 1 << order pages
 * @vram: the device that DRM_INTERCONNECT_DRIVER entries of @addr belong to
 * @write: the engine will write
 * @vram_only: nothing may be moved; @addr is made from @pfns
 * @pfns: for @vram_only: a snapshot of the CPU page tables
 * @seq: for @vram_only: the notifier sequence of @pfns
 */
struct ivgpu_view {
	struct ivgpu_range *range;
	unsigned long start;
	unsigned long end;
	struct drm_pagemap_addr *addr;
	struct ivgpu_device *vram;
	bool write;
	bool vram_only;
	unsigned long *pfns;
	unsigned long seq;
};

static inline struct ivgpu_device *to_ivgpu_device(struct drm_device *drm)
{
	return container_of(drm, struct ivgpu_device, drm);
}

static inline struct ivgpu_device *
dpagemap_to_ivgpu(struct drm_pagemap *dpagemap)
{
	return container_of(dpagemap, struct ivgpu_device, vram.dpagemap);
}

static inline struct ivgpu_range *to_ivgpu_range(struct drm_gpusvm_range *range)
{
	return container_of(range, struct ivgpu_range, base);
}

/* ivgpu_vram.c */
int ivgpu_vram_init(struct ivgpu_device *ivgpu, struct pci_dev *pdev);
void ivgpu_vram_evict_all(struct ivgpu_device *ivgpu);
u64 ivgpu_vram_pages_used(struct ivgpu_vram *vram);
bool ivgpu_vram_p2p(struct ivgpu_vram *vram);
bool ivgpu_vram_cpu_access(struct ivgpu_vram *vram);
struct page *ivgpu_vram_page(struct ivgpu_vram *vram, void __iomem *ptr);
struct page *ivgpu_dma_page(struct device *dev, dma_addr_t addr);

/* ivgpu_svm.c */
int ivgpu_svm_open(struct ivgpu_device *ivgpu, struct drm_file *file);
void ivgpu_svm_close(struct ivgpu_device *ivgpu, struct drm_file *file);
void ivgpu_svm_unmap_all(struct ivgpu_device *ivgpu);
int ivgpu_svm_lock(struct ivgpu_svm *svm);
void ivgpu_svm_unlock(struct ivgpu_svm *svm);
int ivgpu_svm_check(struct ivgpu_svm *svm, u64 addr, u64 size);
int ivgpu_svm_view(struct ivgpu_svm *svm, struct ivgpu_view *view,
		   unsigned long addr, unsigned long end, bool write,
		   bool migrate, bool vram_only);
int ivgpu_svm_view_check(struct ivgpu_svm *svm, struct ivgpu_view *view);
void ivgpu_svm_view_put(struct ivgpu_view *view);
int ivgpu_place_ioctl(struct drm_device *drm, void *data,
		      struct drm_file *file);

/* ivgpu_job.c */
int ivgpu_job_ioctl(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* _IVGPU_H_ */
