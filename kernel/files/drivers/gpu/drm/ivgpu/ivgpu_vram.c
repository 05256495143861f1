// SPDX-License-Identifier: GPL-2.0-only
/*
 * VRAM: which allocation has which part of it, and how it is placed and evicted.
 */

#include <linux/delay.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/pci.h>
#include <linux/sched/signal.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "ivgpu.h"

/**
 * struct ivgpu_alloc - VRAM allocated for one migration
 * @base: what drm_pagemap knows about it
 * @ref: one for the device pages in use, and one for each eviction in progress.
 *	The blocks are reused only when the last is gone, so that an eviction
 *	never hits the pages of another allocation.
 * @vram: where the blocks are from
 * @blocks: the buddy blocks
 * @lru: entry in &struct ivgpu_vram.lru
 * @dead: entry in &struct ivgpu_vram.dead
 * @released: no page is in use any more
 */
struct ivgpu_alloc {
	struct drm_pagemap_devmem base;
	struct kref ref;
	struct ivgpu_vram *vram;
	struct list_head blocks;
	struct list_head lru;
	struct llist_node dead;
	bool released;
};

static struct ivgpu_alloc *to_ivgpu_alloc(struct drm_pagemap_devmem *devmem)
{
	return container_of(devmem, struct ivgpu_alloc, base);
}

static int ivgpu_populate_devmem_pfn(struct drm_pagemap_devmem *devmem,
				     unsigned long npages, unsigned long *pfn)
{
	struct ivgpu_alloc *alloc = to_ivgpu_alloc(devmem);
	struct ivgpu_vram *vram = alloc->vram;
	struct gpu_buddy_block *block;
	unsigned long i, n = 0;

	list_for_each_entry(block, &alloc->blocks, link) {
		unsigned long first = ivgpu_vram_first_pfn(vram) +
				      PHYS_PFN(gpu_buddy_block_offset(block));

		for (i = 0; i < PHYS_PFN(gpu_buddy_block_size(&vram->buddy,
							      block)); i++) {
			if (n == npages)
				return 0;
			pfn[n++] = first + i;
		}
	}

	return n == npages ? 0 : -EINVAL;
}

static void ivgpu_alloc_destroy(struct ivgpu_alloc *alloc)
{
	struct ivgpu_vram *vram = alloc->vram;
	struct gpu_buddy_block *block;

	mutex_lock(&vram->lock);
	list_for_each_entry(block, &alloc->blocks, link)
		ivgpu_count_freed(vram_to_ivgpu(vram),
				  PHYS_PFN(gpu_buddy_block_offset(block)),
				  PHYS_PFN(gpu_buddy_block_size(&vram->buddy,
								block)));
	gpu_buddy_free_list(&vram->buddy, &alloc->blocks, 0);
	mutex_unlock(&vram->lock);

	kfree(alloc);
}

static void ivgpu_vram_free_work(struct work_struct *work)
{
	struct ivgpu_vram *vram = container_of(work, struct ivgpu_vram,
					       free_work);
	struct ivgpu_alloc *alloc, *next;

	llist_for_each_entry_safe(alloc, next, llist_del_all(&vram->dead), dead)
		ivgpu_alloc_destroy(alloc);
}

static void ivgpu_alloc_free(struct kref *ref)
{
	struct ivgpu_alloc *alloc = container_of(ref, struct ivgpu_alloc, ref);

	/* The last page may be freed in atomic context. */
	if (llist_add(&alloc->dead, &alloc->vram->dead))
		schedule_work(&alloc->vram->free_work);
}

static void ivgpu_alloc_put(struct ivgpu_alloc *alloc)
{
	kref_put(&alloc->ref, ivgpu_alloc_free);
}

/*
 * No CPU page table and no importer has any of the pages any more: all MMU
 * notifiers have returned before the last reference to a folio is dropped. Only
 * from here on may the VRAM be allocated again.
 */
static void ivgpu_devmem_release(struct drm_pagemap_devmem *devmem)
{
	struct ivgpu_alloc *alloc = to_ivgpu_alloc(devmem);
	unsigned long flags;

	spin_lock_irqsave(&alloc->vram->lru_lock, flags);
	alloc->released = true;
	list_del_init(&alloc->lru);
	spin_unlock_irqrestore(&alloc->vram->lru_lock, flags);

	ivgpu_alloc_put(alloc);
}

static const struct drm_pagemap_devmem_ops ivgpu_devmem_ops = {
	.devmem_release = ivgpu_devmem_release,
	.populate_devmem_pfn = ivgpu_populate_devmem_pfn,
	.copy_to_devmem = ivgpu_engine_copy_to_devmem,
	.copy_to_ram = ivgpu_engine_copy_to_ram,
};

/* Evict the least recently placed allocation. Returns its size, or an error. */
static long ivgpu_vram_evict_one(struct ivgpu_vram *vram, bool make_room)
{
	struct ivgpu_alloc *alloc;
	long ret;

	mutex_lock(&vram->evict_lock);
	spin_lock_irq(&vram->lru_lock);
	alloc = list_first_entry_or_null(&vram->lru, struct ivgpu_alloc, lru);
	if (alloc) {
		kref_get(&alloc->ref);
		/* If it cannot be evicted now, the next one is tried first. */
		list_move_tail(&alloc->lru, &vram->lru);
	}
	spin_unlock_irq(&vram->lru_lock);

	ret = -ENOENT;
	if (alloc) {
		if (make_room)
			WRITE_ONCE(vram->evictor, current);
		ret = drm_pagemap_evict_to_ram(&alloc->base);
		WRITE_ONCE(vram->evictor, NULL);
		if (!ret)
			ret = alloc->base.size;
		ivgpu_alloc_put(alloc);
	}
	mutex_unlock(&vram->evict_lock);

	return ret;
}

static struct ivgpu_alloc *ivgpu_alloc_create(struct ivgpu_device *ivgpu,
					      struct mm_struct *mm, u64 size)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	/* A device-private huge page needs one aligned piece of VRAM. */
	u64 align = size == IVGPU_CHUNK_MAX ? size : PAGE_SIZE;
	struct ivgpu_alloc *alloc;
	unsigned int tries = 0;
	u64 evicted = 0;
	int err;

	alloc = kzalloc_obj(*alloc, GFP_KERNEL_ACCOUNT);
	if (!alloc)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&alloc->blocks);
	INIT_LIST_HEAD(&alloc->lru);

	for (;;) {
		long ret;

		mutex_lock(&vram->lock);
		err = gpu_buddy_alloc_blocks(&vram->buddy, 0, vram->size, size,
					     align, &alloc->blocks, 0);
		mutex_unlock(&vram->lock);
		if (err != -ENOSPC)
			break;

		/*
		 * Evicting more than twice what is needed did not help: VRAM is
		 * fragmented, or others take it as fast as we free it. The
		 * caller is better off with smaller pieces, or with RAM.
		 */
		if (evicted >= 2 * size || tries++ > 2 * PHYS_PFN(size))
			break;

		ret = ivgpu_vram_evict_one(vram, true);
		if (ret == -ENOENT)
			break;
		if (ret > 0)
			evicted += ret;
		flush_work(&vram->free_work);
	}
	if (err) {
		kfree(alloc);
		return ERR_PTR(err);
	}

	kref_init(&alloc->ref);
	alloc->vram = vram;
	drm_pagemap_devmem_init(&alloc->base, ivgpu->drm.dev, mm,
				&ivgpu_devmem_ops, &vram->dpagemap, size, NULL);

	return alloc;
}

static int ivgpu_vram_migrate_chunk(struct ivgpu_device *ivgpu,
				    struct mm_struct *mm, unsigned long start,
				    unsigned long end,
				    unsigned long timeslice_ms)
{
	const struct drm_pagemap_migrate_details details = {
		.timeslice_ms = timeslice_ms,
		.can_migrate_same_pagemap = 1,
	};
	struct ivgpu_vram *vram = &ivgpu->vram;
	struct ivgpu_alloc *alloc;
	int err;

	alloc = ivgpu_alloc_create(ivgpu, mm, end - start);
	if (IS_ERR(alloc))
		return PTR_ERR(alloc);

	kref_get(&alloc->ref);
	err = drm_pagemap_migrate_to_devmem(&alloc->base, mm, start, end,
					    &details);

	/*
	 * Also after an error some of the pages may be in use. And also after
	 * success all may be gone again.
	 */
	spin_lock_irq(&vram->lru_lock);
	if (!alloc->released)
		list_add_tail(&alloc->lru, &vram->lru);
	spin_unlock_irq(&vram->lru_lock);
	ivgpu_alloc_put(alloc);

	return err;
}

/*
 * The largest chunk at @addr that is aligned, as drm_pagemap and huge pages need
 * it, and not larger than @max.
 */
static unsigned long ivgpu_chunk(unsigned long addr, unsigned long end,
				 unsigned long max)
{
	static const unsigned long sizes[] = {
		IVGPU_CHUNK_MAX, IVGPU_CHUNK_MID,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (sizes[i] <= max && IS_ALIGNED(addr, sizes[i]) &&
		    sizes[i] <= end - addr)
			return sizes[i];

	return IVGPU_CHUNK_MIN;
}

/* Best effort: the first error is returned, but all of the range is tried. */
static int ivgpu_vram_migrate(struct ivgpu_device *ivgpu, unsigned long start,
			      unsigned long end, struct mm_struct *mm,
			      unsigned long timeslice_ms)
{
	unsigned long max = IVGPU_CHUNK_MAX;
	unsigned long addr, chunk;
	int err, ret = 0;

	for (addr = start; addr < end; addr += chunk) {
		/* One large request that fails evicts others. Do not repeat. */
		if (IS_ALIGNED(addr, IVGPU_CHUNK_MAX))
			max = IVGPU_CHUNK_MAX;
		for (;;) {
			chunk = ivgpu_chunk(addr, end, max);
			err = ivgpu_vram_migrate_chunk(ivgpu, mm, addr,
						       addr + chunk,
						       timeslice_ms);
			if (err != -ENOSPC || chunk == IVGPU_CHUNK_MIN)
				break;
			max = chunk - 1;
		}
		if (err && !ret)
			ret = err;
		if (err == -ENOSPC || err == -ENOMEM)
			break;
	}

	return ret;
}

/**
 * ivgpu_vram_populate_mm() - &drm_pagemap_ops.populate_mm
 * @dpagemap: of the device that the memory goes to
 * @start: first address, page aligned
 * @end: end of the range
 * @mm: the address space; its mmap lock is held for reading
 * @timeslice_ms: how long the pages stay at least
 *
 * Return: 0 or a negative error code. Also after an error some of the pages may
 * have been moved.
 */
int ivgpu_vram_populate_mm(struct drm_pagemap *dpagemap, unsigned long start,
			   unsigned long end, struct mm_struct *mm,
			   unsigned long timeslice_ms)
{
	struct ivgpu_device *ivgpu = dpagemap_to_ivgpu(dpagemap);
	int err, idx;

	if (!drm_dev_enter(&ivgpu->drm, &idx))
		return -ENODEV;
	err = down_read_killable(&ivgpu->group_sem);
	if (!err) {
		err = ivgpu_vram_migrate(ivgpu, start, end, mm, timeslice_ms);
		up_read(&ivgpu->group_sem);
	}
	drm_dev_exit(idx);

	return err;
}

/**
 * ivgpu_vram_pages_used() - VRAM in use
 * @vram: the VRAM
 *
 * Return: the number of pages that are allocated.
 */
u64 ivgpu_vram_pages_used(struct ivgpu_vram *vram)
{
	guard(mutex)(&vram->lock);

	return PHYS_PFN(vram->buddy.size - vram->buddy.avail);
}

/**
 * ivgpu_vram_evict_all() - bring all data back to RAM
 * @ivgpu: the device; nothing new is placed in its VRAM
 * @may_fail: do not wait for pages in use for more than 10 s, nor if a signal is
 *	pending
 *
 * Pages that cannot be evicted now are tried again: their users have references,
 * and unbind has to wait for these.
 *
 * Return: 0, or if @may_fail -EBUSY or -EINTR.
 */
int ivgpu_vram_evict_all(struct ivgpu_device *ivgpu, bool may_fail)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	unsigned long warn = jiffies + 10 * HZ;
	long ret;

	for (;;) {
		ret = ivgpu_vram_evict_one(vram, false);
		if (ret == -ENOENT)
			return 0;
		if (may_fail && signal_pending(current))
			return -EINTR;
		if (ret > 0)
			continue;
		if (time_after(jiffies, warn)) {
			drm_warn(&ivgpu->drm,
				 "drm_pagemap_evict_to_ram() leaves %llu pages in VRAM (%pe)\n",
				 ivgpu_vram_pages_used(vram), ERR_PTR(ret));
			if (may_fail)
				return -EBUSY;
			warn = jiffies + 10 * HZ;
		}
		msleep(20);
	}
}

/* After the pagemap has gone: the last pages are freed while it goes. */
static void ivgpu_vram_fini(void *data)
{
	struct ivgpu_vram *vram = data;

	flush_work(&vram->free_work);
	gpu_buddy_fini(&vram->buddy);
	mutex_destroy(&vram->evict_lock);
	mutex_destroy(&vram->lock);
}

/**
 * ivgpu_vram_init() - set up the VRAM, without its pages
 * @ivgpu: the device
 * @pdev: its PCI device, enabled, BAR 2 requested
 *
 * Everything is undone by devres, in reverse order.
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_vram_init(struct ivgpu_device *ivgpu, struct pci_dev *pdev)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	struct device *dev = &pdev->dev;
	int err;

	mutex_init(&vram->lock);
	mutex_init(&vram->evict_lock);
	spin_lock_init(&vram->lru_lock);
	spin_lock_init(&vram->atomic_lock);
	INIT_LIST_HEAD(&vram->lru);
	init_llist_head(&vram->dead);
	INIT_WORK(&vram->free_work, ivgpu_vram_free_work);

	vram->size = ALIGN_DOWN(pci_resource_len(pdev, 2), IVGPU_CHUNK_MAX);
	if (!vram->size)
		return dev_err_probe(dev, -ENODEV, "BAR 2, the VRAM, is smaller than 2 MiB\n");

	vram->base = devm_ioremap_wc(dev, pci_resource_start(pdev, 2),
				     vram->size);
	if (!vram->base)
		return -ENOMEM;

	/* Before ivgpu_vram_fini() is, which frees the last pages */
	vram->granted = devm_bitmap_zalloc(dev, PHYS_PFN(vram->size),
					   GFP_KERNEL);
	if (!vram->granted)
		return -ENOMEM;

	err = gpu_buddy_init(&vram->buddy, vram->size, PAGE_SIZE);
	if (err)
		return err;
	gpu_buddy_driver_set_lock(&vram->buddy, &vram->lock);

	return devm_add_action_or_reset(dev, ivgpu_vram_fini, vram);
}
