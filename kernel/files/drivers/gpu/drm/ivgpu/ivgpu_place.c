// SPDX-License-Identifier: GPL-2.0-only
/*
 * DRM_IOCTL_IVGPU_PLACE: memory is moved on request. No lock is held while it
 * is, and no range is made for it.
 */

#include <linux/hugetlb.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include <drm/drm_file.h>

#include "ivgpu.h"

typedef long (*ivgpu_place_fn)(struct ivgpu_svm *svm, unsigned long start,
			       unsigned long end);

static long ivgpu_place_count(struct ivgpu_svm *svm, unsigned long start,
			      unsigned long end)
{
	struct ivgpu_snapshot *snapshot = ivgpu_snapshot_take(svm, start, end);
	long count;

	if (IS_ERR(snapshot))
		return PTR_ERR(snapshot);
	count = ivgpu_snapshot_find_own(snapshot);
	ivgpu_snapshot_drop(snapshot);

	return count;
}

/* CPU faults bring back what is in this VRAM. */
static long ivgpu_place_ram(struct ivgpu_svm *svm, unsigned long start,
			    unsigned long end)
{
	struct ivgpu_snapshot *snapshot = ivgpu_snapshot_take(svm, start, end);
	unsigned long first, last;
	long ret;

	if (IS_ERR(snapshot))
		return PTR_ERR(snapshot);
	ret = ivgpu_snapshot_find_own(snapshot);
	if (ret > 0) {
		ret = 0;
		for_each_set_bitrange(first, last, snapshot->own,
				      snapshot->npages) {
			ret = ivgpu_snapshot_fault(snapshot, first, last);
			/* Memory that is not mapped any more, or PROT_NONE. */
			if (ret == -EFAULT || ret == -EPERM)
				ret = 0;
			if (ret)
				break;
		}
	}
	ivgpu_snapshot_drop(snapshot);

	return ret;
}

static int ivgpu_place_fault(struct ivgpu_svm *svm, unsigned long start,
			     unsigned long end)
{
	struct ivgpu_snapshot *snapshot = ivgpu_snapshot_take(svm, start, end);
	int err;

	if (IS_ERR(snapshot))
		return PTR_ERR(snapshot);
	err = ivgpu_snapshot_fault(snapshot, 0, snapshot->npages);
	ivgpu_snapshot_drop(snapshot);

	return err;
}

/**
 * ivgpu_place_migrate() - move memory into VRAM
 * @svm: the mirror of the caller's address space
 * @start: the first address, page aligned
 * @end: the end, at most IVGPU_SNAPSHOT_MAX pages later, in the same mapping
 *
 * Return: 0 if all is there, -EBUSY if pages are in use, -EFAULT if the memory is
 * not in one mapping, -EAGAIN if pages moved meanwhile, or another negative error
 * code.
 */
int ivgpu_place_migrate(struct ivgpu_svm *svm, unsigned long start,
			unsigned long end)
{
	struct drm_pagemap *dpagemap = &svm->ivgpu->vram.dpagemap;
	struct mm_struct *mm = svm->gpusvm.mm;
	long own;
	int err;

	own = ivgpu_place_count(svm, start, end);
	if (own < 0)
		return own;
	if (own == (end - start) >> PAGE_SHIFT)
		return 0;

	err = drm_pagemap_populate_mm(dpagemap, start, end, mm, 0);
	if (err == -EBUSY) {
		/*
		 * Only what is in RAM, in this VRAM, or nowhere can be
		 * collected. Bring back what is in swap or on another device,
		 * and try once more. Pages that are pinned stay where they are.
		 */
		err = ivgpu_place_fault(svm, start, end);
		if (!err)
			err = drm_pagemap_populate_mm(dpagemap, start, end, mm,
						      0);
	}

	return err == -ENOENT || err == -EINVAL ? -EFAULT : err;
}

/* The first part of [*@start, *@end) that has memory which can be moved */
static int ivgpu_place_find(struct mm_struct *mm, unsigned long *start,
			    unsigned long *end)
{
	VMA_ITERATOR(vmi, mm, *start);
	struct vm_area_struct *vma;
	int err;

	err = mmap_read_lock_killable(mm);
	if (err)
		return err;
	err = -ENOENT;
	for_each_vma_range(vmi, vma, *end) {
		if (!vma_is_anonymous(vma) || is_vm_hugetlb_page(vma) ||
		    vma->vm_flags & (VM_IO | VM_PFNMAP))
			continue;
		*start = max(*start, vma->vm_start);
		*end = min(*end, vma->vm_end);
		err = 0;
		break;
	}
	mmap_read_unlock(mm);

	return err;
}

/* Best effort, apart from what the caller should know. */
static long ivgpu_place_vram(struct ivgpu_svm *svm, unsigned long start,
			     unsigned long end)
{
	int err;

	while (start < end) {
		unsigned long stop = end;

		err = ivgpu_place_find(svm->gpusvm.mm, &start, &stop);
		if (err)
			return err == -ENOENT ? 0 : err;
		err = ivgpu_place_migrate(svm, start, stop);
		if (err && err != -EBUSY && err != -ENOSPC && err != -EFAULT)
			return err;
		start = stop;
	}

	return 0;
}

static long ivgpu_place(struct ivgpu_svm *svm, unsigned long addr,
			unsigned long end, ivgpu_place_fn fn)
{
	unsigned long next;
	long ret, sum = 0;

	while (addr < end) {
		if (signal_pending(current))
			return -EINTR;
		cond_resched();

		addr = max(addr, drm_gpusvm_find_vma_start(&svm->gpusvm, addr,
							   end));
		if (addr >= end)
			break;
		next = min(end, ALIGN(addr + 1, IVGPU_CHUNK_MAX));
		ret = fn(svm, addr, next);
		if (ret == -EAGAIN)
			continue;
		if (ret < 0)
			return ret;
		sum += ret;
		addr = next;
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
