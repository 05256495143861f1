// SPDX-License-Identifier: GPL-2.0-only
/*
 * The faults that the engine takes, and what it sees of an address space.
 */

#include <linux/hmm.h>

#include "ivgpu.h"
#include "ivgpu_fault.h"

static void *ivgpu_svm_owner(struct ivgpu_svm *svm)
{
	return READ_ONCE(svm->ivgpu->vram.pagemap.owner);
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
			   bool write)
{
	const struct drm_gpusvm_ctx ctx = {
		.device_private_page_owner = ivgpu_svm_owner(svm),
		.allow_mixed = true,
		.read_only = !write,
	};
	int err;

	/* The present mapping may be read-only, or one of RAM. */
	drm_gpusvm_unmap_pages(&svm->gpusvm, &range->pages,
			       ivgpu_range_npages(range), &ctx);

	err = drm_gpusvm_get_pages(&svm->gpusvm, &range->pages, svm->gpusvm.mm,
				   &range->base.notifier->notifier,
				   drm_gpusvm_range_start(&range->base),
				   drm_gpusvm_range_end(&range->base), &ctx);
	if (err == -EOPNOTSUPP) {
		/* A mix of the VRAM of several devices. */
		err = drm_gpusvm_range_evict(&svm->gpusvm, &range->base);
		return err && err != -ETIME ? err : -EAGAIN;
	}
	if (err)
		return err == -EBUSY ? -EAGAIN : err;

	drm_gpusvm_notifier_lock(&svm->gpusvm);
	if (!drm_gpusvm_pages_valid(&svm->gpusvm, &range->pages) ||
	    ctx.device_private_page_owner != ivgpu_svm_owner(svm)) {
		err = -EAGAIN;
	} else {
		range->writable = write;
		range->in_vram = ivgpu_range_all_own(svm, range);
	}
	drm_gpusvm_notifier_unlock(&svm->gpusvm);
	if (err)
		drm_gpusvm_unmap_pages(&svm->gpusvm, &range->pages,
				       ivgpu_range_npages(range), &ctx);

	return err;
}

/*
 * The engine's page fault handler. It waits for user space if the memory is
 * registered with userfaultfd, or backed by FUSE. So the only lock that is held is
 * that of the caller's own file.
 */
static int ivgpu_range_fault(struct ivgpu_svm *svm, struct ivgpu_range *range,
			     bool write, bool migrate)
{
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

	if (migrate) {
		err = ivgpu_place_migrate(svm,
					  drm_gpusvm_range_start(&range->base),
					  drm_gpusvm_range_end(&range->base));
		/* Best effort. The engine can use the pages where they are. */
		if (err && err != -EBUSY && err != -ENOSPC && err != -ENOMEM)
			return err;
	}

	return ivgpu_range_map(svm, range, write);
}

/* Memory of the range was unmapped, or the device's mappings were dropped. */
static bool ivgpu_range_revoked(struct ivgpu_svm *svm,
				struct ivgpu_range *range)
{
	bool revoked;

	drm_gpusvm_notifier_lock(&svm->gpusvm);
	revoked = range->pages.flags.unmapped;
	drm_gpusvm_notifier_unlock(&svm->gpusvm);

	return revoked;
}

/**
 * ivgpu_view_fault() - get ready to use a piece of address space
 * @svm: the mirror; its lock is held
 * @view: filled in; release it with ivgpu_view_put(), also after an error
 * @addr: first address that will be used; the view ends where it has to
 * @write: the engine will write
 * @migrate: move the pages into VRAM if possible
 *
 * The pages may move at any time until ivgpu_view_check() has found the view to
 * be valid.
 *
 * Return: 0, -EAGAIN if the address space changed meanwhile, or another
 * negative error code. There is no limit to the retries of the caller: the ioctl
 * can be interrupted.
 */
int ivgpu_view_fault(struct ivgpu_svm *svm, struct ivgpu_view *view,
		     unsigned long addr, bool write, bool migrate)
{
	const struct drm_gpusvm_ctx ctx = {
		.device_private_page_owner = ivgpu_svm_owner(svm),
		.devmem_possible = true,
		.read_only = !write,
	};
	struct drm_gpusvm_range *base;
	bool rebuilt = false;
	int err;

	lockdep_assert_held(&svm->lock);

	*view = (struct ivgpu_view) { .write = write };
retry:
	base = drm_gpusvm_range_find_or_insert(&svm->gpusvm, addr, 0, TASK_SIZE,
					       &ctx);
	if (IS_ERR(base)) {
		err = PTR_ERR(base);
		/* No memory there, or none that has pages. */
		return err == -ENOENT || err == -EIO ? -EFAULT : err;
	}

	err = ivgpu_range_fault(svm, to_ivgpu_range(base), write, migrate);
	if (err == -EFAULT || err == -EPERM) {
		/* The caller collects it and tries again. */
		if (ivgpu_range_revoked(svm, to_ivgpu_range(base)))
			return -EAGAIN;
		/*
		 * Part of the range may have become protected after it was
		 * made. Make one that fits.
		 */
		if (!rebuilt) {
			rebuilt = true;
			ivgpu_range_remove(svm, to_ivgpu_range(base));
			goto retry;
		}
	}
	if (err)
		return err;

	drm_gpusvm_range_get(base);
	view->range = to_ivgpu_range(base);
	view->start = drm_gpusvm_range_start(base);
	view->end = drm_gpusvm_range_end(base);

	return 0;
}

/**
 * ivgpu_view_vram_only() - get ready to use what is in VRAM, moving nothing
 * @svm: the mirror
 * @view: filled in; release it with ivgpu_view_put(), also after an error
 * @addr: first address that will be used
 * @end: end of what will be used; the view may end before it, but not at @addr
 * @write: the engine will write
 *
 * Return: 0, -EAGAIN if the address space changed meanwhile, or another
 * negative error code.
 */
int ivgpu_view_vram_only(struct ivgpu_svm *svm, struct ivgpu_view *view,
			 unsigned long addr, unsigned long end, bool write)
{
	struct ivgpu_snapshot *snapshot;

	*view = (struct ivgpu_view) {
		.start = ALIGN_DOWN(addr, PAGE_SIZE),
		.end = min(PAGE_ALIGN(end), ALIGN(addr + 1, IVGPU_CHUNK_MAX)),
		.vram_dev = svm->ivgpu,
		.write = write,
	};

	snapshot = ivgpu_snapshot_take(svm, view->start, view->end);
	if (IS_ERR(snapshot))
		return PTR_ERR(snapshot);
	view->snapshot = snapshot;
	view->addr = kvcalloc(snapshot->npages, sizeof(*view->addr),
			      GFP_KERNEL);

	return view->addr ? 0 : -ENOMEM;
}

static int ivgpu_view_check_vram(struct ivgpu_svm *svm, struct ivgpu_view *view)
{
	struct drm_pagemap *dpagemap = &svm->ivgpu->vram.dpagemap;
	struct ivgpu_snapshot *snapshot = view->snapshot;
	unsigned long i;

	if (!ivgpu_snapshot_valid(snapshot))
		return -EAGAIN;

	for (i = 0; i < snapshot->npages; i++) {
		unsigned long pfn = snapshot->pfns[i];

		if (!ivgpu_snapshot_is_own(snapshot, i))
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
 * ivgpu_view_check() - are the pages of a view still there
 * @svm: the mirror; its notifier lock is held
 * @view: the view
 *
 * Return: 0 if the view may be used until the notifier lock is dropped, -EAGAIN
 * if the address space has changed, -ENXIO if not all pages are in VRAM and
 * they have to be.
 */
int ivgpu_view_check(struct ivgpu_svm *svm, struct ivgpu_view *view)
{
	struct ivgpu_range *range = view->range;

	if (view->snapshot)
		return ivgpu_view_check_vram(svm, view);

	/* A range that was removed since has no pages, and no notifier. */
	if (!ivgpu_range_usable(svm, range, view->write))
		return -EAGAIN;
	view->addr = range->pages.dma_addr;
	view->vram_dev = range->pages.dpagemap ?
		dpagemap_to_ivgpu(range->pages.dpagemap) : NULL;

	return 0;
}

/**
 * ivgpu_view_put() - undo ivgpu_view_fault() or ivgpu_view_vram_only()
 * @view: the view; the notifier lock is not held
 */
void ivgpu_view_put(struct ivgpu_view *view)
{
	if (view->snapshot) {
		ivgpu_snapshot_drop(view->snapshot);
		kvfree(view->addr);
	}
	if (view->range)
		drm_gpusvm_range_put(&view->range->base);
}
