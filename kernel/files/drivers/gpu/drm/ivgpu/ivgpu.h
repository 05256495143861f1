/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _IVGPU_H_
#define _IVGPU_H_

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/memremap.h>
#include <linux/mmu_notifier.h>
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

struct dma_fence;
struct drm_file;
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
 * @size: size of the BAR in bytes
 * @pagemap: the device-private pages, one for each page of the BAR
 * @dpagemap: what drm_pagemap knows about @pagemap
 * @peer: our membership in a private-interconnect group
 * @grouped: what the module parameter owner_group was when @peer joined
 * @buddy: which parts of the BAR are in use
 * @evictor: the task that makes room now
 * @lru: allocations with pages in use, least recently placed first
 * @dead: allocations whose last page is gone, waiting for @free_work
 * @free_work: gives the blocks of @dead back to @buddy
 * @granted: one bit for each page that has been granted an alias
 */
struct ivgpu_vram {
	void __iomem *base;
	u64 size;
	struct dev_pagemap pagemap;
	struct drm_pagemap dpagemap;
	struct drm_pagemap_peer peer;
	bool grouped;
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
	 * @group_sem: held for reading to place pages in VRAM, for writing to
	 * change their owner
	 */
	struct rw_semaphore group_sem;
	/** @files_lock: protects @files */
	struct mutex files_lock;
	struct list_head files;
};

/**
 * struct ivgpu_svm - the address space of an open file
 * @ivgpu: the device
 * @gpusvm: the mirror of the opener's address space. Its notifier lock, held for
 *	writing, protects @ranges, @unmapped and @unplugged
 * @link: entry in &struct ivgpu_device.files
 * @ranges: all ranges
 * @unmapped: those whose memory was unmapped, to be removed
 * @unplugged: nothing may be mapped for the device any more
 */
struct ivgpu_svm {
	struct ivgpu_device *ivgpu;
	struct drm_gpusvm gpusvm;
	struct list_head link;
	/**
	 * @lock: one job at a time; held while it finds ranges, faults them in
	 * and uses them, and to remove a range
	 */
	struct mutex lock;
	struct list_head ranges;
	struct list_head unmapped;
	bool unplugged;
};

/**
 * struct ivgpu_range - what the engine's MMU maps at a piece of address space
 * @base: the gpusvm range
 * @pages: where its pages are
 * @link: entry in &struct ivgpu_svm.ranges until the range is removed
 * @unmapped_link: entry in &struct ivgpu_svm.unmapped
 * @writable: the engine may write all of @pages; notifier lock
 * @in_vram: all of @pages are in this device's VRAM; notifier lock
 */
struct ivgpu_range {
	struct drm_gpusvm_range base;
	struct drm_gpusvm_pages pages;
	struct list_head link;
	struct list_head unmapped_link;
	bool writable;
	bool in_vram;
};

/**
 * struct ivgpu_snapshot - the CPU page tables of a piece of address space
 * @notifier: of the piece
 * @svm: the mirror of the address space
 * @start: the first address
 * @npages: at most IVGPU_SNAPSHOT_MAX
 * @seq: the sequence of @notifier when @pfns was made
 * @own: the pages in the VRAM of the mirror's device
 * @pfns: as hmm_range_fault() returns them without a fault
 */
struct ivgpu_snapshot {
	struct mmu_interval_notifier notifier;
	struct ivgpu_svm *svm;
	unsigned long start;
	unsigned long npages;
	unsigned long seq;
#define IVGPU_SNAPSHOT_MAX	PHYS_PFN(IVGPU_CHUNK_MAX)
	DECLARE_BITMAP(own, IVGPU_SNAPSHOT_MAX);
	unsigned long pfns[IVGPU_SNAPSHOT_MAX];
};

/**
 * struct ivgpu_mapping - memory within one page, as the engine reaches it
 * @iomem: where it is if it is in VRAM
 * @vaddr: where it is otherwise, mapped by ivgpu_engine_map()
 * @page: its page if it is not in VRAM
 */
struct ivgpu_mapping {
	void __iomem *iomem;
	void *vaddr;
	struct page *page;
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

static inline struct ivgpu_device *vram_to_ivgpu(struct ivgpu_vram *vram)
{
	return container_of(vram, struct ivgpu_device, vram);
}

/* ivgpu_pagemap.c */
int ivgpu_pagemap_init(struct ivgpu_device *ivgpu, struct pci_dev *pdev);
bool ivgpu_pagemap_p2p(struct ivgpu_vram *vram);
bool ivgpu_pagemap_cpu_access(struct ivgpu_vram *vram);
unsigned long ivgpu_vram_first_pfn(struct ivgpu_vram *vram);
struct ivgpu_vram *ivgpu_page_vram(struct page *page);
void __iomem *ivgpu_page_ptr(struct page *page);
struct page *ivgpu_vram_page(struct ivgpu_vram *vram, void __iomem *ptr);

/* ivgpu_vram.c */
int ivgpu_vram_init(struct ivgpu_device *ivgpu, struct pci_dev *pdev);
int ivgpu_vram_evict_all(struct ivgpu_device *ivgpu, bool may_fail);
u64 ivgpu_vram_pages_used(struct ivgpu_vram *vram);
int ivgpu_vram_populate_mm(struct drm_pagemap *dpagemap, unsigned long start,
			   unsigned long end, struct mm_struct *mm,
			   unsigned long timeslice_ms);

/* ivgpu_engine.c */
int ivgpu_engine_init(struct ivgpu_device *ivgpu);
int ivgpu_engine_map(struct device *dev, const struct drm_pagemap_addr *addr,
		     u64 offset, struct ivgpu_mapping *map);
void ivgpu_engine_unmap(struct ivgpu_mapping *map);
void ivgpu_engine_read(struct ivgpu_mapping *map, void *to, size_t n);
void ivgpu_engine_write(struct ivgpu_mapping *map, const void *from, size_t n);
void ivgpu_engine_flush(void __iomem *last);
int ivgpu_engine_copy_to_devmem(struct page **pages,
				struct drm_pagemap_addr *pagemap_addr,
				unsigned long npages,
				struct dma_fence *pre_migrate_fence);
int ivgpu_engine_copy_to_ram(struct page **pages,
			     struct drm_pagemap_addr *pagemap_addr,
			     unsigned long npages,
			     struct dma_fence *pre_migrate_fence);

/* ivgpu_group.c */
int ivgpu_group_join(struct ivgpu_device *ivgpu);

/* ivgpu_counters.c */
int ivgpu_counters_init(struct ivgpu_device *ivgpu);
void ivgpu_count_freed(struct ivgpu_device *ivgpu, unsigned long bit,
		       unsigned long npages);
int ivgpu_counters_ioctl(struct drm_device *drm, void *data,
			 struct drm_file *file);

/* ivgpu_svm.c */
int ivgpu_svm_open(struct ivgpu_device *ivgpu, struct drm_file *file);
void ivgpu_svm_close(struct ivgpu_device *ivgpu, struct drm_file *file);
void ivgpu_svm_unmap_all(struct ivgpu_device *ivgpu);
int ivgpu_svm_check(struct ivgpu_svm *svm, u64 addr, u64 size);
void ivgpu_svm_collect_unmapped(struct ivgpu_svm *svm);
unsigned long ivgpu_range_npages(struct ivgpu_range *range);
void ivgpu_range_remove(struct ivgpu_svm *svm, struct ivgpu_range *range);

/* ivgpu_snapshot.c */
struct ivgpu_snapshot *ivgpu_snapshot_take(struct ivgpu_svm *svm,
					   unsigned long start,
					   unsigned long end);
bool ivgpu_snapshot_valid(struct ivgpu_snapshot *snapshot);
bool ivgpu_snapshot_is_own(struct ivgpu_snapshot *snapshot, unsigned long i);
long ivgpu_snapshot_find_own(struct ivgpu_snapshot *snapshot);
int ivgpu_snapshot_fault(struct ivgpu_snapshot *snapshot, unsigned long first,
			 unsigned long last);
void ivgpu_snapshot_drop(struct ivgpu_snapshot *snapshot);

/* ivgpu_place.c */
int ivgpu_place_migrate(struct ivgpu_svm *svm, unsigned long start,
			unsigned long end);
int ivgpu_place_ioctl(struct drm_device *drm, void *data,
		      struct drm_file *file);

/* ivgpu_job.c */
int ivgpu_job_ioctl(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* _IVGPU_H_ */
