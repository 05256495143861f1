// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shared virtual memory: the mirror of a process' address space, and the ranges
 * of it that the engine has faulted on.
 */

#include <linux/sched/mm.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "ivgpu.h"

#define IVGPU_NOTIFIER_SIZE	SZ_512M

static const unsigned long ivgpu_chunk_sizes[] = {
	IVGPU_CHUNK_MAX,
	IVGPU_CHUNK_MID,
	IVGPU_CHUNK_MIN,
};

static struct ivgpu_svm *to_ivgpu_svm(struct drm_gpusvm *gpusvm)
{
	return container_of(gpusvm, struct ivgpu_svm, gpusvm);
}

/**
 * ivgpu_range_npages() - the size of a range
 * @range: the range
 *
 * Return: how many pages it has.
 */
unsigned long ivgpu_range_npages(struct ivgpu_range *range)
{
	return drm_gpusvm_range_size(&range->base) >> PAGE_SHIFT;
}

/* Unmap the range from the engine. Notifier lock held for writing. */
static void ivgpu_range_unmap(struct ivgpu_range *range)
{
	const struct drm_gpusvm_ctx ctx = { .in_notifier = true };

	drm_gpusvm_unmap_pages(range->base.gpusvm, &range->pages,
			       ivgpu_range_npages(range), &ctx);
	range->writable = false;
	range->in_vram = false;
}

/*
 * Unmap a range that nothing may be mapped in again: drm_gpusvm_get_pages()
 * refuses. The next job removes it. Notifier lock held for writing.
 */
static void ivgpu_range_revoke(struct ivgpu_svm *svm, struct ivgpu_range *range,
			       const struct mmu_notifier_range *mmu_range)
{
	ivgpu_range_unmap(range);
	drm_gpusvm_range_set_unmapped(&range->base, &range->pages, 1,
				      mmu_range);
	if (list_empty(&range->unmapped_link))
		list_add_tail(&range->unmapped_link, &svm->unmapped);
}

static struct drm_gpusvm_range *ivgpu_range_alloc(struct drm_gpusvm *gpusvm)
{
	struct ivgpu_svm *svm = to_ivgpu_svm(gpusvm);
	struct ivgpu_range *range;

	range = kzalloc_obj(*range, GFP_KERNEL_ACCOUNT);
	if (!range)
		return NULL;

	drm_gpusvm_init_pages(&range->pages, &svm->ivgpu->drm);
	INIT_LIST_HEAD(&range->unmapped_link);
	/* For ivgpu_svm_unmap_all(), which may find the range from here on. */
	range->base.gpusvm = gpusvm;

	down_write(&gpusvm->notifier_lock);
	list_add_tail(&range->link, &svm->ranges);
	range->pages.flags.unmapped = svm->unplugged;
	up_write(&gpusvm->notifier_lock);

	return &range->base;
}

static void ivgpu_range_free(struct drm_gpusvm_range *base)
{
	struct ivgpu_range *range = to_ivgpu_range(base);

	drm_gpusvm_free_pages(base->gpusvm, &range->pages,
			      ivgpu_range_npages(range));
	kfree(range);
}

static void ivgpu_invalidate(struct drm_gpusvm *gpusvm,
			     struct drm_gpusvm_notifier *notifier,
			     const struct mmu_notifier_range *mmu_range)
{
	struct ivgpu_svm *svm = to_ivgpu_svm(gpusvm);
	struct drm_gpusvm_range *base = NULL;

	drm_gpusvm_for_each_range(base, notifier, mmu_range->start,
				  mmu_range->end) {
		struct ivgpu_range *range = to_ivgpu_range(base);

		if (mmu_range->event == MMU_NOTIFY_UNMAP)
			ivgpu_range_revoke(svm, range, mmu_range);
		else
			ivgpu_range_unmap(range);
	}
}

static const struct drm_gpusvm_ops ivgpu_gpusvm_ops = {
	.range_alloc = ivgpu_range_alloc,
	.range_free = ivgpu_range_free,
	.invalidate = ivgpu_invalidate,
};

/**
 * ivgpu_range_remove() - remove a range, and its notifier if it was the last one
 * @svm: the mirror; its lock is held
 * @range: the range. It stays unmapped; a job with a reference must not use its
 *	notifier any more.
 */
void ivgpu_range_remove(struct ivgpu_svm *svm, struct ivgpu_range *range)
{
	lockdep_assert_held(&svm->lock);

	drm_gpusvm_range_get(&range->base);
	down_write(&svm->gpusvm.notifier_lock);
	ivgpu_range_unmap(range);
	range->pages.flags.unmapped = true;
	up_write(&svm->gpusvm.notifier_lock);

	drm_gpusvm_range_remove(&svm->gpusvm, &range->base);

	/* ivgpu_invalidate() does not find the range any more, to add it. */
	down_write(&svm->gpusvm.notifier_lock);
	list_del(&range->link);
	list_del_init(&range->unmapped_link);
	up_write(&svm->gpusvm.notifier_lock);
	drm_gpusvm_range_put(&range->base);
}

/**
 * ivgpu_svm_collect_unmapped() - remove the ranges that lost memory to munmap()
 * @svm: the mirror; its lock is held
 *
 * The rest of their memory may stay in VRAM: a new range will find it there, and
 * it is evicted like any other memory when room is needed.
 *
 * Call it before a job takes a range: its view of the address space is current
 * then. A range that the job has, and the notifier of it, must stay.
 */
void ivgpu_svm_collect_unmapped(struct ivgpu_svm *svm)
{
	struct ivgpu_range *range;

	for (;;) {
		drm_gpusvm_notifier_lock(&svm->gpusvm);
		range = list_first_entry_or_null(&svm->unmapped,
						 struct ivgpu_range,
						 unmapped_link);
		drm_gpusvm_notifier_unlock(&svm->gpusvm);
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
					       LONG_MAX) {
			ivgpu_range_remove(svm, to_ivgpu_range(range));
			cond_resched();
		}
	}
	mutex_unlock(&svm->lock);
}

static int ivgpu_svm_link(struct ivgpu_svm *svm)
{
	struct ivgpu_device *ivgpu = svm->ivgpu;

	guard(mutex)(&ivgpu->files_lock);
	/* Unbind may have been through the list already. */
	if (drm_dev_is_unplugged(&ivgpu->drm))
		return -ENODEV;
	list_add_tail(&svm->link, &ivgpu->files);

	return 0;
}

static void ivgpu_svm_destroy(struct ivgpu_svm *svm)
{
	mutex_lock(&svm->lock);
	drm_gpusvm_fini(&svm->gpusvm);
	mutex_unlock(&svm->lock);
	mutex_destroy(&svm->lock);
	kfree(svm);
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

	svm = kzalloc_obj(*svm, GFP_KERNEL_ACCOUNT);
	if (!svm)
		return -ENOMEM;

	svm->ivgpu = ivgpu;
	mutex_init(&svm->lock);
	INIT_LIST_HEAD(&svm->ranges);
	INIT_LIST_HEAD(&svm->unmapped);
	err = drm_gpusvm_init(&svm->gpusvm, "ivgpu", current->mm, 0, TASK_SIZE,
			      IVGPU_NOTIFIER_SIZE, &ivgpu_gpusvm_ops,
			      ivgpu_chunk_sizes, ARRAY_SIZE(ivgpu_chunk_sizes));
	if (err) {
		mutex_destroy(&svm->lock);
		kfree(svm);
		return err;
	}
	drm_gpusvm_driver_set_lock(&svm->gpusvm, &svm->lock);

	err = ivgpu_svm_link(svm);
	if (err) {
		ivgpu_svm_destroy(svm);
		return err;
	}
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

	ivgpu_svm_remove_all(svm);
	/* Unbind takes care of the mappings of what is in the list. */
	mutex_lock(&ivgpu->files_lock);
	list_del(&svm->link);
	mutex_unlock(&ivgpu->files_lock);
	ivgpu_svm_destroy(svm);
}

/**
 * ivgpu_svm_unmap_all() - drop all that is mapped for the engine
 * @ivgpu: the device
 *
 * This waits for the engine, and not for a job that waits for a page fault. If
 * the device is unplugged nothing is mapped again.
 */
void ivgpu_svm_unmap_all(struct ivgpu_device *ivgpu)
{
	const struct mmu_notifier_range all = { .end = ULONG_MAX };
	struct ivgpu_range *range;
	struct ivgpu_svm *svm;

	guard(mutex)(&ivgpu->files_lock);
	list_for_each_entry(svm, &ivgpu->files, link) {
		down_write(&svm->gpusvm.notifier_lock);
		svm->unplugged = drm_dev_is_unplugged(&ivgpu->drm);
		list_for_each_entry(range, &svm->ranges, link)
			ivgpu_range_revoke(svm, range, &all);
		up_write(&svm->gpusvm.notifier_lock);
	}
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
