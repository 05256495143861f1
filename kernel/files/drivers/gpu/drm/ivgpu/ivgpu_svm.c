// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared virtual memory: the mirror of a process' address space, and the faults
 * that the engine takes in it.
 */

#include <linux/hmm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "ivgpu.h"

#define IVGPU_NOTIFIER_SIZE	SZ_512M
#define IVGPU_HMM_TIMEOUT	msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT)

static const unsigned long ivgpu_chunk_sizes[] = {
	IVGPU_CHUNK_MAX,
	IVGPU_CHUNK_MID,
	IVGPU_CHUNK_MIN,
};

static struct ivgpu_svm *to_ivgpu_svm(struct drm_gpusvm *gpusvm)
{
	return container_of(gpusvm, struct ivgpu_svm, gpusvm);
}

static unsigned long ivgpu_range_npages(struct ivgpu_range *range)
{
	return drm_gpusvm_range_size(&range->base) >> PAGE_SHIFT;
}

static struct drm_gpusvm_range *ivgpu_range_alloc(struct drm_gpusvm *gpusvm)
{
	struct ivgpu_range *range = kzalloc_obj(*range);

	if (!range)
		return NULL;

	drm_gpusvm_init_pages(&range->pages, &to_ivgpu_svm(gpusvm)->ivgpu->drm);
	INIT_LIST_HEAD(&range->unmapped_link);

	return &range->base;
}

static void ivgpu_range_free(struct drm_gpusvm_range *base)
{
	struct ivgpu_range *range = to_ivgpu_range(base);

	drm_gpusvm_free_pages(base->gpusvm, &range->pages,
			      ivgpu_range_npages(range));
	kfree(range);
}

/* Notifier lock held for writing: the engine is not using any range. */
static void ivgpu_invalidate(struct drm_gpusvm *gpusvm,
			     struct drm_gpusvm_notifier *notifier,
			     const struct mmu_notifier_range *mmu_range)
{
	const struct drm_gpusvm_ctx ctx = { .in_notifier = true };
	struct ivgpu_svm *svm = to_ivgpu_svm(gpusvm);
	struct drm_gpusvm_range *base = NULL;

	drm_gpusvm_for_each_range(base, notifier, mmu_range->start,
				  mmu_range->end) {
		struct ivgpu_range *range = to_ivgpu_range(base);

		drm_gpusvm_unmap_pages(gpusvm, &range->pages,
				       ivgpu_range_npages(range), &ctx);
		range->writable = false;
		range->in_vram = false;

		if (mmu_range->event != MMU_NOTIFY_UNMAP)
			continue;

		drm_gpusvm_range_set_unmapped(base, &range->pages, 1,
					      mmu_range);
		spin_lock(&svm->unmapped_lock);
		if (list_empty(&range->unmapped_link))
			list_add_tail(&range->unmapped_link, &svm->unmapped);
		spin_unlock(&svm->unmapped_lock);
	}
}

static const struct drm_gpusvm_ops ivgpu_gpusvm_ops = {
	.range_alloc = ivgpu_range_alloc,
	.range_free = ivgpu_range_free,
	.invalidate = ivgpu_invalidate,
};

static void ivgpu_range_remove(struct ivgpu_svm *svm, struct ivgpu_range *range)
{
	const struct drm_gpusvm_ctx ctx = {};

	lockdep_assert_held(&svm->lock);

	drm_gpusvm_range_get(&range->base);
	drm_gpusvm_unmap_pages(&svm->gpusvm, &range->pages,
			       ivgpu_range_npages(range), &ctx);
	drm_gpusvm_range_remove(&svm->gpusvm, &range->base);

	/* No notifier finds the range any more, or adds it to the list. */
	spin_lock(&svm->unmapped_lock);
	list_del_init(&range->unmapped_link);
	spin_unlock(&svm->unmapped_lock);
	drm_gpusvm_range_put(&range->base);
}

/*
 * Remove the ranges of which a part was unmapped. The rest of their memory may
 * stay in VRAM: a new range will find it there, and it is evicted like any
 * other memory when room is needed.
 */
static void ivgpu_svm_collect_unmapped(struct ivgpu_svm *svm)
{
	struct ivgpu_range *range;

	for (;;) {
		spin_lock(&svm->unmapped_lock);
		range = list_first_entry_or_null(&svm->unmapped,
						 struct ivgpu_range,
						 unmapped_link);
		spin_unlock(&svm->unmapped_lock);
		if (!range)
			break;
		ivgpu_range_remove(svm, range);
	}
}

static void ivgpu_svm_remove_all(struct ivgpu_svm *svm)
{
	struct drm_gpusvm_notifier *notifier, *next;

	mutex_lock(&svm->lock);
	drm_gpusvm_for_each_notifier_safe(notifier, next, &svm->gpusvm, 0,
					  LONG_MAX) {
		struct drm_gpusvm_range *range, *__next;

		drm_gpusvm_for_each_range_safe(range, __next, notifier, 0,
					       LONG_MAX)
			ivgpu_range_remove(svm, to_ivgpu_range(range));
	}
	mutex_unlock(&svm->lock);
}

/**
 * ivgpu_svm_open() - mirror the address space of the caller
 * @ivgpu: the device
 * @file: the file that the caller opened
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_svm_open(struct ivgpu_device *ivgpu, struct drm_file *file)
{
	struct ivgpu_svm *svm;
	int err;

	if (!current->mm)
		return -EINVAL;

	svm = kzalloc_obj(*svm);
	if (!svm)
		return -ENOMEM;

	svm->ivgpu = ivgpu;
	mutex_init(&svm->lock);
	spin_lock_init(&svm->unmapped_lock);
	INIT_LIST_HEAD(&svm->unmapped);
	err = drm_gpusvm_init(&svm->gpusvm, "ivgpu", current->mm, 0, TASK_SIZE,
			      IVGPU_NOTIFIER_SIZE, &ivgpu_gpusvm_ops,
			      ivgpu_chunk_sizes, ARRAY_SIZE(ivgpu_chunk_sizes));
	if (err) {
		kfree(svm);
		return err;
	}
	drm_gpusvm_driver_set_lock(&svm->gpusvm, &svm->lock);

	mutex_lock(&ivgpu->files_lock);
	list_add_tail(&svm->link, &ivgpu->files);
	mutex_unlock(&ivgpu->files_lock);
	file->driver_priv = svm;

	return 0;
}

/**
 * ivgpu_svm_close() - undo ivgpu_svm_open()
 * @ivgpu: the device
 * @file: the file
 */
void ivgpu_svm_close(struct ivgpu_device *ivgpu, struct drm_file *file)
{
	struct ivgpu_svm *svm = file->driver_priv;

	/* The DMA mappings must be gone when unbind finds the list empty. */
	mutex_lock(&ivgpu->files_lock);
	ivgpu_svm_remove_all(svm);
	list_del(&svm->link);
	mutex_unlock(&ivgpu->files_lock);

	mutex_lock(&svm->lock);
	drm_gpusvm_fini(&svm->gpusvm);
	mutex_unlock(&svm->lock);
	mutex_destroy(&svm->lock);
	kfree(svm);
}

/**
 * ivgpu_svm_unmap_all() - drop all that is mapped for the engine
 * @ivgpu: the device; unplugged, or its group_sem is held for writing
 */
void ivgpu_svm_unmap_all(struct ivgpu_device *ivgpu)
{
	struct ivgpu_svm *svm;

	mutex_lock(&ivgpu->files_lock);
	list_for_each_entry(svm, &ivgpu->files, link)
		ivgpu_svm_remove_all(svm);
	mutex_unlock(&ivgpu->files_lock);
}

/**
 * ivgpu_svm_lock() - lock the ranges, to fault them in and use them
 * @svm: the mirror
 *
 * Until ivgpu_svm_unlock(), the group of the device is the same, too.
 *
 * Return: 0 or -EINTR.
 */
int ivgpu_svm_lock(struct ivgpu_svm *svm)
{
	int err;

	err = down_read_interruptible(&svm->ivgpu->group_sem);
	if (err)
		return err;

	err = mutex_lock_interruptible(&svm->lock);
	if (err)
		up_read(&svm->ivgpu->group_sem);

	return err;
}

/**
 * ivgpu_svm_unlock() - undo ivgpu_svm_lock()
 * @svm: the mirror
 */
void ivgpu_svm_unlock(struct ivgpu_svm *svm)
{
	mutex_unlock(&svm->lock);
	up_read(&svm->ivgpu->group_sem);
}

/**
 * ivgpu_svm_check() - may this process work on this range
 * @svm: the mirror
 * @addr: start of the range
 * @size: its size in bytes
 *
 * Return: 0, -EFAULT if the range is not all user address space, or -EXDEV if
 * the caller has another address space than the process that opened the file.
 */
int ivgpu_svm_check(struct ivgpu_svm *svm, u64 addr, u64 size)
{
	if (addr >= TASK_SIZE || size > TASK_SIZE - addr)
		return -EFAULT;
	if (current->mm != svm->gpusvm.mm)
		return -EXDEV;

	return 0;
}

static void *ivgpu_svm_owner(struct ivgpu_svm *svm)
{
	return svm->ivgpu->vram.pagemap.owner;
}

static bool ivgpu_svm_is_own_page(struct ivgpu_svm *svm, unsigned long pfn)
{
	struct page *page;

	if (!(pfn & HMM_PFN_VALID))
		return false;
	page = hmm_pfn_to_page(pfn);

	return is_device_private_page(page) &&
	       page_pgmap(page) == &svm->ivgpu->vram.pagemap;
}

/*
 * Read the CPU page tables without changing anything. The result is valid until
 * mmu_interval_read_retry() with @seq says otherwise.
 */
static int ivgpu_svm_snapshot(struct ivgpu_svm *svm, struct ivgpu_range *range,
			      unsigned long start, unsigned long end,
			      unsigned long *pfns, unsigned long *seq)
{
	struct hmm_range hmm_range = {
		.notifier = &range->base.notifier->notifier,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
		.dev_private_owner = ivgpu_svm_owner(svm),
	};
	int err;

	err = hmm_range_fault_unlocked_timeout(&hmm_range, IVGPU_HMM_TIMEOUT);
	*seq = hmm_range.notifier_seq;

	return err == -EBUSY ? -EAGAIN : err;
}

/* Let the CPU fault a range in. Device pages of @owner stay where they are. */
static int ivgpu_svm_cpu_fault(struct ivgpu_range *range, unsigned long start,
			       unsigned long end, void *owner, bool write)
{
	unsigned long npages = (end - start) >> PAGE_SHIFT;
	struct hmm_range hmm_range = {
		.notifier = &range->base.notifier->notifier,
		.start = start,
		.end = end,
		.default_flags = HMM_PFN_REQ_FAULT |
				 (write ? HMM_PFN_REQ_WRITE : 0),
		.dev_private_owner = owner,
	};
	int err;

	hmm_range.hmm_pfns = kvcalloc(npages, sizeof(*hmm_range.hmm_pfns),
				      GFP_KERNEL);
	if (!hmm_range.hmm_pfns)
		return -ENOMEM;

	err = hmm_range_fault_unlocked_timeout(&hmm_range, IVGPU_HMM_TIMEOUT);
	kvfree(hmm_range.hmm_pfns);

	return err == -EBUSY ? -EAGAIN : err;
}

enum ivgpu_select {
	IVGPU_SELECT_OWN,	/* in this VRAM */
	IVGPU_SELECT_READ_ONLY,	/* present, but not writable */
};

static bool ivgpu_svm_selected(struct ivgpu_svm *svm, unsigned long pfn,
			       enum ivgpu_select select)
{
	if (select == IVGPU_SELECT_READ_ONLY)
		return (pfn & HMM_PFN_VALID) && !(pfn & HMM_PFN_WRITE);

	return ivgpu_svm_is_own_page(svm, pfn);
}

/*
 * Count pages, and let the CPU fault on them if @fault is set: that brings
 * device pages back to RAM and breaks copy-on-write.
 */
static long ivgpu_svm_select(struct ivgpu_svm *svm, struct ivgpu_range *range,
			     unsigned long start, unsigned long end,
			     enum ivgpu_select select, bool fault)
{
	struct mmu_interval_notifier *notifier = &range->base.notifier->notifier;
	unsigned long npages = (end - start) >> PAGE_SHIFT;
	unsigned long *pfns, i, seq;
	long count = 0;
	int err;

	pfns = kvcalloc(npages, sizeof(*pfns), GFP_KERNEL);
	if (!pfns)
		return -ENOMEM;

	err = ivgpu_svm_snapshot(svm, range, start, end, pfns, &seq);
	if (err)
		goto out;

	/* Under the lock, because a peer's unbind frees its struct pages. */
	drm_gpusvm_notifier_lock(&svm->gpusvm);
	if (mmu_interval_read_retry(notifier, seq))
		err = -EAGAIN;
	for (i = 0; !err && i < npages; i++) {
		pfns[i] = ivgpu_svm_selected(svm, pfns[i], select);
		count += pfns[i];
	}
	drm_gpusvm_notifier_unlock(&svm->gpusvm);

	for (i = 0; !err && fault && i < npages;) {
		unsigned long from = start + i * PAGE_SIZE;
		bool selected = pfns[i];

		while (i < npages && pfns[i] == selected)
			i++;
		if (selected)
			err = ivgpu_svm_cpu_fault(range, from,
						  start + i * PAGE_SIZE, NULL,
						  select ==
						  IVGPU_SELECT_READ_ONLY);
	}
out:
	kvfree(pfns);

	return err ?: count;
}

static int ivgpu_svm_migrate(struct ivgpu_svm *svm, struct ivgpu_range *range,
			     unsigned long start, unsigned long end)
{
	struct drm_pagemap *dpagemap = &svm->ivgpu->vram.dpagemap;
	long own;
	int err;

	own = ivgpu_svm_select(svm, range, start, end, IVGPU_SELECT_OWN, false);
	if (own < 0)
		return own;
	if (own == (end - start) >> PAGE_SHIFT)
		return 0;

	err = drm_pagemap_populate_mm(dpagemap, start, end, svm->gpusvm.mm, 0);
	/* The range is not, or no longer, in one mapping. */
	if (err == -ENOENT || err == -EINVAL)
		return -EFAULT;
	if (err != -EBUSY)
		return err;

	/*
	 * Only what is in RAM, in this VRAM, or nowhere can be collected. Bring
	 * back what is in swap or on another device, and try once more. Pages
	 * that are pinned stay where they are.
	 */
	err = ivgpu_svm_cpu_fault(range, start, end, ivgpu_svm_owner(svm),
				  false);
	if (err)
		return err;

	return drm_pagemap_populate_mm(dpagemap, start, end, svm->gpusvm.mm, 0);
}

static bool ivgpu_range_usable(struct ivgpu_svm *svm, struct ivgpu_range *range,
			       bool write)
{
	return drm_gpusvm_pages_valid(&svm->gpusvm, &range->pages) &&
	       (!write || range->writable);
}

static bool ivgpu_range_all_own(struct ivgpu_svm *svm,
				struct ivgpu_range *range)
{
	unsigned long i, j;

	if (range->pages.dpagemap != &svm->ivgpu->vram.dpagemap)
		return false;

	for (i = 0, j = 0; i < ivgpu_range_npages(range); j++) {
		struct drm_pagemap_addr *addr = &range->pages.dma_addr[j];

		if (addr->proto != DRM_INTERCONNECT_DRIVER)
			return false;
		i += NR_PAGES(addr->order);
	}

	return true;
}

/* Map a range for the engine, where its pages are now. */
static int ivgpu_range_map(struct ivgpu_svm *svm, struct ivgpu_range *range,
			   const struct drm_gpusvm_ctx *ctx)
{
	struct mmu_interval_notifier *notifier = &range->base.notifier->notifier;
	unsigned long start = drm_gpusvm_range_start(&range->base);
	unsigned long end = drm_gpusvm_range_end(&range->base);
	unsigned long seq = 0;
	int err;

	/* The present mapping may be read-only, or one of RAM. */
	drm_gpusvm_unmap_pages(&svm->gpusvm, &range->pages,
			       ivgpu_range_npages(range), ctx);

	/*
	 * drm_gpusvm_get_pages() takes care that system pages are writable, but
	 * it takes device pages as they are. After fork() they are shared with
	 * the child, and read-only, and a write by the engine would reach the
	 * child. So break copy-on-write first, by a CPU fault, and remember
	 * when we saw that all was well: fork() invalidates.
	 */
	if (!ctx->read_only) {
		long shared;

		seq = mmu_interval_read_begin(notifier);
		shared = ivgpu_svm_select(svm, range, start, end,
					  IVGPU_SELECT_READ_ONLY, true);
		if (shared < 0)
			return shared;
		if (shared)
			return -EAGAIN;
	}

	err = drm_gpusvm_get_pages(&svm->gpusvm, &range->pages, svm->gpusvm.mm,
				   notifier, start, end, ctx);
	if (err == -EOPNOTSUPP) {
		/* A mix of the VRAM of several devices. */
		err = drm_gpusvm_range_evict(&svm->gpusvm, &range->base);
		return err && err != -ETIME ? err : -EAGAIN;
	}
	if (err)
		return err == -EBUSY ? -EAGAIN : err;

	drm_gpusvm_notifier_lock(&svm->gpusvm);
	if (!drm_gpusvm_pages_valid(&svm->gpusvm, &range->pages) ||
	    (!ctx->read_only && mmu_interval_read_retry(notifier, seq))) {
		err = -EAGAIN;
	} else {
		range->writable = !ctx->read_only;
		range->in_vram = ivgpu_range_all_own(svm, range);
	}
	drm_gpusvm_notifier_unlock(&svm->gpusvm);

	return err;
}

static struct ivgpu_range *
ivgpu_range_find(struct ivgpu_svm *svm, unsigned long addr, unsigned long start,
		 unsigned long end, bool write)
{
	const struct drm_gpusvm_ctx ctx = {
		.device_private_page_owner = ivgpu_svm_owner(svm),
		.devmem_possible = true,
		.read_only = !write,
	};
	struct drm_gpusvm_range *range;

	lockdep_assert_held(&svm->lock);

	/* First, so that the view of the address space is current. */
	ivgpu_svm_collect_unmapped(svm);
	range = drm_gpusvm_range_find_or_insert(&svm->gpusvm, addr, start, end,
						&ctx);
	if (IS_ERR(range))
		return ERR_CAST(range);

	return to_ivgpu_range(range);
}

/*
 * The engine's page fault handler. -EAGAIN means that the address space has
 * changed in the meantime, and that the engine has to try again. There is no
 * limit to the retries: the ioctl can be interrupted.
 */
static int ivgpu_svm_fault(struct ivgpu_svm *svm, struct ivgpu_range *range,
			   bool write, bool migrate)
{
	const struct drm_gpusvm_ctx ctx = {
		.device_private_page_owner = ivgpu_svm_owner(svm),
		.allow_mixed = true,
		.read_only = !write,
	};
	bool usable;
	int err;

	if (!range->base.flags.migrate_devmem)
		migrate = false;

	drm_gpusvm_notifier_lock(&svm->gpusvm);
	usable = ivgpu_range_usable(svm, range, write) &&
		 (!migrate || range->in_vram);
	drm_gpusvm_notifier_unlock(&svm->gpusvm);
	if (usable)
		return 0;

	atomic64_inc(&svm->ivgpu->counters.engine_faults);

	if (write) {
		long shared;

		/*
		 * Before the migration, which would move pages that are shared
		 * with a child for both, only to have them come back.
		 */
		shared = ivgpu_svm_select(svm, range,
					  drm_gpusvm_range_start(&range->base),
					  drm_gpusvm_range_end(&range->base),
					  IVGPU_SELECT_READ_ONLY, true);
		if (shared < 0)
			return shared;
	}
	if (migrate) {
		err = ivgpu_svm_migrate(svm, range,
					drm_gpusvm_range_start(&range->base),
					drm_gpusvm_range_end(&range->base));
		/* Best effort. The engine can use the pages where they are. */
		if (err && err != -EBUSY && err != -ENOSPC && err != -ENOMEM)
			return err;
	}

	return ivgpu_range_map(svm, range, &ctx);
}

static int ivgpu_svm_view_vram_only(struct ivgpu_svm *svm,
				    struct ivgpu_view *view)
{
	unsigned long npages = (view->end - view->start) >> PAGE_SHIFT;

	view->vram_only = true;
	view->vram = svm->ivgpu;
	view->pfns = kvcalloc(npages, sizeof(*view->pfns), GFP_KERNEL);
	view->addr = kvcalloc(npages, sizeof(*view->addr), GFP_KERNEL);
	if (!view->pfns || !view->addr)
		return -ENOMEM;

	return ivgpu_svm_snapshot(svm, view->range, view->start, view->end,
				  view->pfns, &view->seq);
}

/**
 * ivgpu_svm_view() - get ready to use a piece of address space
 * @svm: the mirror; its lock is held
 * @view: filled in; release it with ivgpu_svm_view_put(), also after an error
 * @addr: first address that will be used
 * @end: end of what will be used; the view may end before it, but not at @addr
 * @write: the engine will write
 * @migrate: move the pages into VRAM if possible
 * @vram_only: move nothing; all pages must be in VRAM
 *
 * The pages may move at any time until ivgpu_svm_view_check() has found the
 * view to be valid.
 *
 * Return: 0, -EAGAIN if the address space changed meanwhile, or another
 * negative error code.
 */
int ivgpu_svm_view(struct ivgpu_svm *svm, struct ivgpu_view *view,
		   unsigned long addr, unsigned long end, bool write,
		   bool migrate, bool vram_only)
{
	struct ivgpu_range *range;
	bool refit = true;
	int err;

	memset(view, 0, sizeof(*view));
	view->write = write;
retry:
	range = ivgpu_range_find(svm, addr, 0, TASK_SIZE, write);
	if (IS_ERR(range)) {
		err = PTR_ERR(range);
		/* No memory there, or none that has pages. */
		return err == -ENOENT || err == -EIO ? -EFAULT : err;
	}

	if (!vram_only) {
		err = ivgpu_svm_fault(svm, range, write, migrate);
		if ((err == -EFAULT || err == -EPERM) && refit) {
			/*
			 * Part of the range may have become unmapped or
			 * protected after it was made. Make one that fits.
			 */
			refit = false;
			ivgpu_range_remove(svm, range);
			goto retry;
		}
		if (err)
			return err;
	}

	drm_gpusvm_range_get(&range->base);
	view->range = range;
	view->start = drm_gpusvm_range_start(&range->base);
	view->end = drm_gpusvm_range_end(&range->base);
	if (!vram_only)
		return 0;

	view->start = max(view->start, ALIGN_DOWN(addr, PAGE_SIZE));
	view->end = min(view->end, PAGE_ALIGN(end));

	return ivgpu_svm_view_vram_only(svm, view);
}

/**
 * ivgpu_svm_view_check() - are the pages of a view still there
 * @svm: the mirror; its notifier lock is held
 * @view: the view
 *
 * Return: 0 if the view may be used until the notifier lock is dropped, -EAGAIN
 * if the address space has changed, -ENXIO if not all pages are in VRAM and
 * they have to be.
 */
int ivgpu_svm_view_check(struct ivgpu_svm *svm, struct ivgpu_view *view)
{
	struct drm_pagemap *dpagemap = &svm->ivgpu->vram.dpagemap;
	struct ivgpu_range *range = view->range;
	unsigned long i;

	if (!view->vram_only) {
		if (!ivgpu_range_usable(svm, range, view->write))
			return -EAGAIN;
		view->addr = range->pages.dma_addr;
		view->vram = range->pages.dpagemap ?
			dpagemap_to_ivgpu(range->pages.dpagemap) : NULL;
		return 0;
	}

	if (mmu_interval_read_retry(&range->base.notifier->notifier, view->seq))
		return -EAGAIN;

	for (i = 0; i < (view->end - view->start) >> PAGE_SHIFT; i++) {
		unsigned long pfn = view->pfns[i];

		if (!ivgpu_svm_is_own_page(svm, pfn))
			return -ENXIO;
		/* It may be shared with a child, and must be copied first. */
		if (view->write && !(pfn & HMM_PFN_WRITE))
			return -ENXIO;
		view->addr[i] = dpagemap->ops->device_map(dpagemap,
						svm->ivgpu->drm.dev,
						hmm_pfn_to_page(pfn), 0,
						DMA_BIDIRECTIONAL);
	}

	return 0;
}

/**
 * ivgpu_svm_view_put() - undo ivgpu_svm_view()
 * @view: the view
 */
void ivgpu_svm_view_put(struct ivgpu_view *view)
{
	if (view->vram_only) {
		kvfree(view->addr);
		kvfree(view->pfns);
	}
	if (view->range)
		drm_gpusvm_range_put(&view->range->base);
}

typedef long (*ivgpu_place_fn)(struct ivgpu_svm *svm, struct ivgpu_range *range,
			       unsigned long start, unsigned long end);

static long ivgpu_place_vram(struct ivgpu_svm *svm, struct ivgpu_range *range,
			     unsigned long start, unsigned long end)
{
	int err = 0;

	if (range->base.flags.migrate_devmem)
		err = ivgpu_svm_migrate(svm, range, start, end);

	/* Best effort, apart from what the caller should know. */
	return err == -EBUSY || err == -ENOSPC ? 0 : err;
}

static long ivgpu_place_ram(struct ivgpu_svm *svm, struct ivgpu_range *range,
			    unsigned long start, unsigned long end)
{
	return ivgpu_svm_select(svm, range, start, end, IVGPU_SELECT_OWN, true);
}

static long ivgpu_place_count(struct ivgpu_svm *svm, struct ivgpu_range *range,
			      unsigned long start, unsigned long end)
{
	return ivgpu_svm_select(svm, range, start, end, IVGPU_SELECT_OWN,
				false);
}

/* One step: do it for the memory at *@addr and move *@addr on. */
static long ivgpu_place_step(struct ivgpu_svm *svm, unsigned long *addr,
			     unsigned long start, unsigned long end,
			     unsigned long *refit, ivgpu_place_fn fn)
{
	struct ivgpu_range *range;
	unsigned long stop;
	long ret;

	range = ivgpu_range_find(svm, *addr, start, end, false);
	if (range == ERR_PTR(-ENOENT)) {
		stop = drm_gpusvm_find_vma_start(&svm->gpusvm, *addr, end);
		*addr = clamp(stop, *addr + PAGE_SIZE, end);
		return 0;
	}
	if (range == ERR_PTR(-EIO)) {
		*addr += PAGE_SIZE;
		return 0;
	}
	if (IS_ERR(range))
		return PTR_ERR(range);

	stop = min(end, drm_gpusvm_range_end(&range->base));
	ret = fn(svm, range, *addr, stop);
	if (ret == -EFAULT || ret == -EPERM) {
		/*
		 * The range may have been made for another mapping than there
		 * is now: let the next step make one that fits. If it did fit,
		 * this is memory that cannot be moved.
		 */
		ivgpu_range_remove(svm, range);
		if (*refit != *addr) {
			*refit = *addr;
			return -EAGAIN;
		}
		ret = 0;
	}
	if (ret >= 0)
		*addr = stop;

	return ret;
}

static long ivgpu_place(struct ivgpu_svm *svm, unsigned long start,
			unsigned long end, ivgpu_place_fn fn)
{
	unsigned long addr = start, refit = end;
	long ret, sum = 0;
	int idx;

	while (addr < end) {
		if (signal_pending(current))
			return -EINTR;
		if (!drm_dev_enter(&svm->ivgpu->drm, &idx))
			return -ENODEV;
		ret = ivgpu_svm_lock(svm);
		if (!ret) {
			ret = ivgpu_place_step(svm, &addr, start, end,
					       &refit, fn);
			ivgpu_svm_unlock(svm);
		}
		drm_dev_exit(idx);
		if (ret < 0 && ret != -EAGAIN)
			return ret;
		if (ret > 0)
			sum += ret;
		cond_resched();
	}

	return sum;
}

/**
 * ivgpu_place_ioctl() - DRM_IOCTL_IVGPU_PLACE
 * @drm: the device
 * @data: &struct drm_ivgpu_place
 * @file: the caller's file
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_place_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct ivgpu_svm *svm = file->driver_priv;
	struct drm_ivgpu_place *args = data;
	ivgpu_place_fn fn;
	long ret;
	int err;

	args->resident = 0;
	if (args->flags || args->where > IVGPU_PLACE_VRAM || !args->size ||
	    !PAGE_ALIGNED(args->addr) || !PAGE_ALIGNED(args->size))
		return -EINVAL;
	err = ivgpu_svm_check(svm, args->addr, args->size);
	if (err)
		return err;

	fn = args->where == IVGPU_PLACE_VRAM ? ivgpu_place_vram :
					       ivgpu_place_ram;
	ret = ivgpu_place(svm, args->addr, args->addr + args->size, fn);
	if (ret < 0)
		return ret;

	ret = ivgpu_place(svm, args->addr, args->addr + args->size,
			  ivgpu_place_count);
	if (ret < 0)
		return ret;
	args->resident = ret;

	return 0;
}
