// SPDX-License-Identifier: GPL-2.0-only
/*
 * The jobs of the engine, which the CPU plays.
 */

#include <linux/atomic.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "ivgpu.h"
#include "ivgpu_fault.h"

/**
 * struct ivgpu_job - a job in progress
 * @args: the arguments of the ioctl, in and out
 * @svm: the address space of @args
 * @bounce: one page for data on its way
 * @last: where the engine has written VRAM last
 */
struct ivgpu_job {
	struct drm_ivgpu_job *args;
	struct ivgpu_svm *svm;
	__le64 *bounce;
	void __iomem *last;
};

/**
 * struct ivgpu_cursor - a walk upwards through a view
 * @view: the view
 * @entry: the entry of &struct ivgpu_view.addr that was used last
 * @base: user address of the first byte of @entry
 */
struct ivgpu_cursor {
	struct ivgpu_view *view;
	unsigned long entry;
	unsigned long base;
};

/* Where the byte at @va is. Calls for one cursor have to go upwards. */
static int ivgpu_cursor_map(struct ivgpu_job *job, struct ivgpu_cursor *cursor,
			    unsigned long va, struct ivgpu_mapping *map)
{
	struct drm_pagemap_addr *addr = &cursor->view->addr[cursor->entry];

	while (va >= cursor->base + (PAGE_SIZE << addr->order)) {
		cursor->base += PAGE_SIZE << addr->order;
		cursor->entry++;
		addr++;
	}

	return ivgpu_engine_map(job->svm->ivgpu->drm.dev, addr,
				va - cursor->base, map);
}

/*
 * The device has no page table with a dirty bit. A page for which MADV_FREE was
 * called before could be discarded together with the engine's writes, in VRAM as
 * well as in RAM.
 *
 * The notifier lock is held, so the page is still mapped.
 */
static void ivgpu_job_dirty(struct ivgpu_job *job, struct ivgpu_view *view,
			    struct ivgpu_mapping *map)
{
	struct page *page = map->page;

	if (map->iomem) {
		job->last = map->iomem;
		page = ivgpu_vram_page(&view->vram_dev->vram, map->iomem);
	}
	folio_mark_dirty(page_folio(page));
}

/*
 * In RAM this is atomic for all users. In VRAM it is atomic only among the jobs
 * of this device and of its interconnect group: ivshmem has no PCIe AtomicOps,
 * which other devices on the bus would need.
 */
static void ivgpu_job_add(struct ivgpu_job *job, struct ivgpu_view *view,
			  struct ivgpu_mapping *map, size_t n)
{
	u64 value = job->args->value;
	size_t i;

	if (map->vaddr) {
		for (i = 0; i < n; i += sizeof(u64))
			atomic64_add(value, (atomic64_t *)(map->vaddr + i));
		return;
	}

	spin_lock(&view->vram_dev->vram.atomic_lock);
	for (i = 0; i < n; i += sizeof(u64))
		writeq(readq(map->iomem + i) + value, map->iomem + i);
	/* A write-combining buffer must not outlive the lock. */
	wmb();
	spin_unlock(&view->vram_dev->vram.atomic_lock);
}

static u64 ivgpu_sum(const __le64 *words, u64 index, size_t n)
{
	u64 sum = 0;
	size_t i;

	for (i = 0; i < n / sizeof(*words); i++, index++)
		sum += le64_to_cpu(words[i]) * (2 * index + 1);

	return sum;
}

/* One word of IVGPU_JOB_FILL: see struct drm_ivgpu_job. */
static u64 ivgpu_fill_word(u64 seed, u64 index)
{
	u64 x = seed + index * 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	return x ^ (x >> 27);
}

static void ivgpu_fill(__le64 *words, u64 seed, u64 index, size_t n)
{
	size_t i;

	for (i = 0; i < n / sizeof(*words); i++, index++)
		words[i] = cpu_to_le64(ivgpu_fill_word(seed, index));
}

static int ivgpu_job_piece(struct ivgpu_job *job, struct ivgpu_cursor *dst,
			   struct ivgpu_cursor *src, size_t n)
{
	struct drm_ivgpu_job *args = job->args;
	u64 index = args->done / sizeof(u64);
	struct ivgpu_mapping map;
	int err;

	if (args->op == IVGPU_JOB_COPY) {
		err = ivgpu_cursor_map(job, src, args->src + args->done, &map);
		if (err)
			return err;
		ivgpu_engine_read(&map, job->bounce, n);
		ivgpu_engine_unmap(&map);
	} else if (args->op == IVGPU_JOB_FILL) {
		ivgpu_fill(job->bounce, args->value, index, n);
	}

	err = ivgpu_cursor_map(job, dst, args->dst + args->done, &map);
	if (err)
		return err;

	switch (args->op) {
	case IVGPU_JOB_FILL:
	case IVGPU_JOB_COPY:
		ivgpu_engine_write(&map, job->bounce, n);
		break;
	case IVGPU_JOB_ADD:
		ivgpu_job_add(job, dst->view, &map, n);
		break;
	case IVGPU_JOB_CHECKSUM:
		ivgpu_engine_read(&map, job->bounce, n);
		args->result += ivgpu_sum(job->bounce, index, n);
		break;
	}
	if (args->op != IVGPU_JOB_CHECKSUM)
		ivgpu_job_dirty(job, dst->view, &map);
	ivgpu_engine_unmap(&map);

	return 0;
}

static size_t ivgpu_left_in_page(unsigned long va)
{
	return PAGE_SIZE - offset_in_page(va);
}

/* Work up to the end of the shorter view. The notifier lock is held. */
static int ivgpu_job_run(struct ivgpu_job *job, struct ivgpu_view *dst_view,
			 struct ivgpu_view *src_view)
{
	struct ivgpu_cursor dst = { .view = dst_view, .base = dst_view->start };
	struct ivgpu_cursor src = { .view = src_view, .base = src_view->start };
	struct drm_ivgpu_job *args = job->args;
	bool copy = args->op == IVGPU_JOB_COPY;
	int err = 0;

	while (!err && args->done < args->size) {
		u64 to = args->dst + args->done;
		u64 from = args->src + args->done;
		size_t n = min(args->size - args->done, ivgpu_left_in_page(to));

		if (copy)
			n = min(n, ivgpu_left_in_page(from));
		if (to >= dst_view->end || (copy && from >= src_view->end))
			break;

		err = ivgpu_job_piece(job, &dst, &src, n);
		if (!err)
			args->done += n;
	}
	ivgpu_engine_flush(job->last);
	job->last = NULL;

	return err;
}

static int ivgpu_job_view(struct ivgpu_job *job, struct ivgpu_view *view,
			  u64 addr, bool write, bool migrate)
{
	struct drm_ivgpu_job *args = job->args;

	if (args->flags & IVGPU_JOB_FLAG_VRAM_ONLY)
		return ivgpu_view_vram_only(job->svm, view, addr + args->done,
					    addr + args->size, write);

	return ivgpu_view_fault(job->svm, view, addr + args->done, write,
				migrate);
}

/*
 * A driver would write the device's page tables here. In ivgpu the CPU does the
 * work of the device instead. An invalidation of the pages waits for the
 * notifier lock, and unbind until drm_dev_exit().
 */
static int ivgpu_job_commit(struct ivgpu_job *job, struct ivgpu_view *dst,
			    struct ivgpu_view *src)
{
	struct ivgpu_svm *svm = job->svm;
	int err, idx;

	if (!drm_dev_enter(&svm->ivgpu->drm, &idx))
		return -ENODEV;
	drm_gpusvm_notifier_lock(&svm->gpusvm);
	err = ivgpu_view_check(svm, dst);
	if (!err && job->args->op == IVGPU_JOB_COPY)
		err = ivgpu_view_check(svm, src);
	if (!err)
		err = ivgpu_job_run(job, dst, src);
	drm_gpusvm_notifier_unlock(&svm->gpusvm);
	drm_dev_exit(idx);

	return err;
}

static int ivgpu_job_step(struct ivgpu_job *job, bool migrate)
{
	struct drm_ivgpu_job *args = job->args;
	struct ivgpu_view dst = {}, src = {};
	int err;

	ivgpu_svm_collect_unmapped(job->svm);
	err = ivgpu_job_view(job, &dst, args->dst,
			     args->op != IVGPU_JOB_CHECKSUM, migrate);
	if (!err && args->op == IVGPU_JOB_COPY)
		err = ivgpu_job_view(job, &src, args->src, false, migrate);
	if (!err)
		err = ivgpu_job_commit(job, &dst, &src);
	ivgpu_view_put(&src);
	ivgpu_view_put(&dst);

	return err;
}

static int ivgpu_job_loop(struct ivgpu_job *job)
{
	struct drm_ivgpu_job *args = job->args;
	struct ivgpu_svm *svm = job->svm;
	bool migrate = !(args->flags & IVGPU_JOB_FLAG_NO_MIGRATE);
	bool progress = true;
	int err;

	while (args->done < args->size) {
		u64 done = args->done;

		if (signal_pending(current))
			return -EINTR;
		if (drm_dev_is_unplugged(&svm->ivgpu->drm))
			return -ENODEV;
		err = mutex_lock_interruptible(&svm->lock);
		if (err)
			return err;
		/*
		 * If another user wants the same pages, avoid a ping-pong: use
		 * them where they are until there is some progress.
		 */
		err = ivgpu_job_step(job, migrate && progress);
		mutex_unlock(&svm->lock);
		if (err && err != -EAGAIN)
			return err;
		progress = args->done != done;
		cond_resched();
	}

	return 0;
}

static bool ivgpu_job_args_valid(const struct drm_ivgpu_job *args)
{
	if (args->op > IVGPU_JOB_ADD ||
	    args->flags & ~(IVGPU_JOB_FLAG_NO_MIGRATE |
			    IVGPU_JOB_FLAG_VRAM_ONLY))
		return false;
	if (args->op != IVGPU_JOB_COPY && args->src)
		return false;
	if (args->done > args->size || !IS_ALIGNED(args->done, sizeof(u64)))
		return false;

	return args->size && IS_ALIGNED(args->size, sizeof(u64)) &&
	       IS_ALIGNED(args->dst, sizeof(u64)) &&
	       IS_ALIGNED(args->src, sizeof(u64));
}

/**
 * ivgpu_job_ioctl() - DRM_IOCTL_IVGPU_JOB
 * @drm: the device
 * @data: &struct drm_ivgpu_job
 * @file: the caller's file
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_job_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct ivgpu_job job = { .args = data, .svm = file->driver_priv };
	struct drm_ivgpu_job *args = data;
	int err;

	if (args->op != IVGPU_JOB_CHECKSUM)
		args->result = 0;
	if (!ivgpu_job_args_valid(args))
		return -EINVAL;
	err = ivgpu_svm_check(job.svm, args->dst, args->size);
	if (err)
		return err;
	if (args->op == IVGPU_JOB_COPY) {
		err = ivgpu_svm_check(job.svm, args->src, args->size);
		if (err)
			return err;
		if (args->src < args->dst + args->size &&
		    args->dst < args->src + args->size)
			return -EINVAL;
	}

	job.bounce = (__le64 *)__get_free_page(GFP_KERNEL);
	if (!job.bounce)
		return -ENOMEM;
	err = ivgpu_job_loop(&job);
	free_page((unsigned long)job.bounce);

	return err;
}
