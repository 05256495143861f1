// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPU page tables without a range: to look at them, or to move memory, leaves
 * nothing allocated.
 */

#include <linux/hmm.h>

#include "ivgpu.h"

#define IVGPU_HMM_TIMEOUT	msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT)

/* As drm_gpusvm does it, so that one lock stops all that the engine uses. */
static bool ivgpu_snapshot_invalidate(struct mmu_interval_notifier *notifier,
				      const struct mmu_notifier_range *range,
				      unsigned long seq)
{
	struct ivgpu_snapshot *snapshot =
		container_of(notifier, struct ivgpu_snapshot, notifier);

	if (!mmu_notifier_range_blockable(range))
		return false;

	down_write(&snapshot->svm->gpusvm.notifier_lock);
	mmu_interval_set_seq(notifier, seq);
	up_write(&snapshot->svm->gpusvm.notifier_lock);

	return true;
}

static const struct mmu_interval_notifier_ops ivgpu_snapshot_ops = {
	.invalidate = ivgpu_snapshot_invalidate,
};

static int ivgpu_snapshot_walk(struct ivgpu_snapshot *snapshot,
			       unsigned long start, unsigned long end,
			       unsigned long *pfns, unsigned long flags,
			       void *owner)
{
	struct hmm_range range = {
		.notifier = &snapshot->notifier,
		.start = start,
		.end = end,
		.hmm_pfns = pfns,
		.default_flags = flags,
		.dev_private_owner = owner,
	};
	int err;

	err = hmm_range_fault_unlocked_timeout(&range, IVGPU_HMM_TIMEOUT);
	snapshot->seq = range.notifier_seq;

	return err == -EBUSY ? -EAGAIN : err;
}

/**
 * ivgpu_snapshot_take() - read the CPU page tables without changing anything
 * @svm: the mirror of the caller's address space
 * @start: the first address, page aligned
 * @end: the end, at most IVGPU_SNAPSHOT_MAX pages later
 *
 * Return: the snapshot, to be dropped by ivgpu_snapshot_drop(), or an ERR_PTR().
 */
struct ivgpu_snapshot *ivgpu_snapshot_take(struct ivgpu_svm *svm,
					   unsigned long start,
					   unsigned long end)
{
	struct ivgpu_snapshot *snapshot;
	int err;

	snapshot = kzalloc_obj(*snapshot);
	if (!snapshot)
		return ERR_PTR(-ENOMEM);

	snapshot->svm = svm;
	snapshot->start = start;
	snapshot->npages = (end - start) >> PAGE_SHIFT;
	err = mmu_interval_notifier_insert(&snapshot->notifier, svm->gpusvm.mm,
					   start, end - start,
					   &ivgpu_snapshot_ops);
	if (err) {
		kfree(snapshot);
		return ERR_PTR(err);
	}

	err = ivgpu_snapshot_walk(snapshot, start, end, snapshot->pfns, 0,
				  READ_ONCE(svm->ivgpu->vram.pagemap.owner));
	if (err) {
		ivgpu_snapshot_drop(snapshot);
		return ERR_PTR(err);
	}

	return snapshot;
}

/**
 * ivgpu_snapshot_valid() - are the pages still where they were
 * @snapshot: the snapshot; the notifier lock of its mirror is held
 *
 * Return: true if they are, and stay until the lock is dropped.
 */
bool ivgpu_snapshot_valid(struct ivgpu_snapshot *snapshot)
{
	lockdep_assert_held(&snapshot->svm->gpusvm.notifier_lock);

	return !mmu_interval_read_retry(&snapshot->notifier, snapshot->seq);
}

/**
 * ivgpu_snapshot_is_own() - is a page in the VRAM of the mirror's device
 * @snapshot: a valid snapshot; the notifier lock is held, because the unbind of
 *	another device frees its struct pages
 * @i: which page
 *
 * Return: true if it is.
 */
bool ivgpu_snapshot_is_own(struct ivgpu_snapshot *snapshot, unsigned long i)
{
	struct page *page;

	if (!(snapshot->pfns[i] & HMM_PFN_VALID))
		return false;
	page = hmm_pfn_to_page(snapshot->pfns[i]);

	return is_device_private_page(page) &&
	       page_pgmap(page) == &snapshot->svm->ivgpu->vram.pagemap;
}

/**
 * ivgpu_snapshot_find_own() - find the pages in the VRAM of the mirror's device
 * @snapshot: the snapshot, whose @own is filled in
 *
 * Return: how many there are, or -EAGAIN if some have moved in the meantime.
 */
long ivgpu_snapshot_find_own(struct ivgpu_snapshot *snapshot)
{
	long count = -EAGAIN;
	unsigned long i;

	drm_gpusvm_notifier_lock(&snapshot->svm->gpusvm);
	if (ivgpu_snapshot_valid(snapshot)) {
		for (i = 0; i < snapshot->npages; i++)
			if (ivgpu_snapshot_is_own(snapshot, i))
				__set_bit(i, snapshot->own);
		count = bitmap_weight(snapshot->own, snapshot->npages);
	}
	drm_gpusvm_notifier_unlock(&snapshot->svm->gpusvm);

	return count;
}

/**
 * ivgpu_snapshot_fault() - let the CPU fault on pages, which brings them to RAM
 * @snapshot: the snapshot, which is not valid afterwards
 * @first: the first page
 * @last: the page after the last one
 *
 * Waits for user space if the memory is registered with userfaultfd, so the
 * caller holds no lock.
 *
 * Return: 0, -EAGAIN, or another negative error code.
 */
int ivgpu_snapshot_fault(struct ivgpu_snapshot *snapshot, unsigned long first,
			 unsigned long last)
{
	memset(&snapshot->pfns[first], 0,
	       (last - first) * sizeof(*snapshot->pfns));

	return ivgpu_snapshot_walk(snapshot,
				   snapshot->start + first * PAGE_SIZE,
				   snapshot->start + last * PAGE_SIZE,
				   &snapshot->pfns[first], HMM_PFN_REQ_FAULT,
				   NULL);
}

/**
 * ivgpu_snapshot_drop() - undo ivgpu_snapshot_take()
 * @snapshot: the snapshot; the notifier lock is not held
 */
void ivgpu_snapshot_drop(struct ivgpu_snapshot *snapshot)
{
	mmu_interval_notifier_remove(&snapshot->notifier);
	kfree(snapshot);
}
