// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine, emulated by the CPU. It accesses memory as a device does: VRAM
 * through the BAR, and system memory at the addresses that the DMA API
 * returned.
 */

#include <linux/atomic.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>

#include "ivgpu.h"

/**
 * struct ivgpu_job - a job in progress
 * @args: the arguments of the ioctl, in and out
 * @svm: the address space of @args
 * @regs: the engine's local memory, one page
 */
struct ivgpu_job {
	struct drm_ivgpu_job *args;
	struct ivgpu_svm *svm;
	__le64 *regs;
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

/**
 * struct ivgpu_piece - memory within one page, as the engine reaches it
 * @page: the page
 * @iomem: where it is if it is in VRAM
 * @vaddr: where it is otherwise
 */
struct ivgpu_piece {
	struct page *page;
	void __iomem *iomem;
	void *vaddr;
};

static int ivgpu_piece_get(struct ivgpu_job *job, struct ivgpu_cursor *cursor,
			   unsigned long va, struct ivgpu_piece *piece)
{
	struct ivgpu_view *view = cursor->view;
	struct drm_pagemap_addr *addr = &view->addr[cursor->entry];
	dma_addr_t dma;

	while (va >= cursor->base + (PAGE_SIZE << addr->order)) {
		cursor->base += PAGE_SIZE << addr->order;
		cursor->entry++;
		addr++;
	}
	dma = addr->addr + (va - cursor->base);

	memset(piece, 0, sizeof(*piece));
	if (addr->proto == DRM_INTERCONNECT_DRIVER) {
		piece->iomem = (void __iomem *)dma;
		piece->page = ivgpu_vram_page(&view->vram->vram, piece->iomem);
		return 0;
	}

	piece->page = ivgpu_dma_page(job->svm->ivgpu->drm.dev, dma);
	if (!piece->page)
		return -EFAULT;
	piece->vaddr = kmap_local_page(piece->page) + offset_in_page(va);

	return 0;
}

static void ivgpu_piece_put(struct ivgpu_piece *piece, bool written)
{
	if (piece->vaddr)
		kunmap_local(piece->vaddr);
	/*
	 * The device has no page table with a dirty bit. A page for which
	 * MADV_FREE was called before could be discarded together with the
	 * engine's writes, in VRAM as well as in RAM.
	 *
	 * The notifier lock is held, so the page is still mapped.
	 */
	if (written)
		folio_mark_dirty(page_folio(piece->page));
}

static void ivgpu_piece_read(struct ivgpu_piece *piece, void *to, size_t n)
{
	if (piece->vaddr)
		memcpy(to, piece->vaddr, n);
	else
		memcpy_fromio(to, piece->iomem, n);
}

static void ivgpu_piece_write(struct ivgpu_piece *piece, const void *from,
			      size_t n)
{
	if (piece->vaddr)
		memcpy(piece->vaddr, from, n);
	else
		memcpy_toio(piece->iomem, from, n);
}

/*
 * In RAM this is atomic for all users. In VRAM it is atomic only among the jobs
 * of this device and of its interconnect group: ivshmem has no PCIe AtomicOps,
 * which other devices on the bus would need.
 */
static void ivgpu_piece_add(struct ivgpu_job *job, struct ivgpu_view *view,
			    struct ivgpu_piece *piece, size_t n)
{
	u64 value = job->args->value;
	size_t i;

	if (piece->vaddr) {
		for (i = 0; i < n; i += sizeof(u64))
			atomic64_add(value, (atomic64_t *)(piece->vaddr + i));
		return;
	}

	spin_lock(&view->vram->vram.atomic_lock);
	for (i = 0; i < n; i += sizeof(u64))
		writeq(readq(piece->iomem + i) + value, piece->iomem + i);
	spin_unlock(&view->vram->vram.atomic_lock);
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
	struct ivgpu_piece piece;
	int err;

	if (args->op == IVGPU_JOB_COPY) {
		err = ivgpu_piece_get(job, src, args->src + args->done, &piece);
		if (err)
			return err;
		ivgpu_piece_read(&piece, job->regs, n);
		ivgpu_piece_put(&piece, false);
	} else if (args->op == IVGPU_JOB_FILL) {
		ivgpu_fill(job->regs, args->value, index, n);
	}

	err = ivgpu_piece_get(job, dst, args->dst + args->done, &piece);
	if (err)
		return err;

	switch (args->op) {
	case IVGPU_JOB_FILL:
	case IVGPU_JOB_COPY:
		ivgpu_piece_write(&piece, job->regs, n);
		break;
	case IVGPU_JOB_ADD:
		ivgpu_piece_add(job, dst->view, &piece, n);
		break;
	case IVGPU_JOB_CHECKSUM:
		ivgpu_piece_read(&piece, job->regs, n);
		args->result += ivgpu_sum(job->regs, index, n);
		break;
	}
	ivgpu_piece_put(&piece, args->op != IVGPU_JOB_CHECKSUM);

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
	/* VRAM is mapped write-combined; a peer may read it next. */
	wmb();

	return err;
}

static int ivgpu_job_step(struct ivgpu_job *job, bool migrate)
{
	struct drm_ivgpu_job *args = job->args;
	bool vram_only = args->flags & IVGPU_JOB_FLAG_VRAM_ONLY;
	unsigned long left = args->size - args->done;
	struct ivgpu_svm *svm = job->svm;
	struct ivgpu_view dst, src = {};
	u64 va;
	int err;

	va = args->dst + args->done;
	err = ivgpu_svm_view(svm, &dst, va, va + left,
			     args->op != IVGPU_JOB_CHECKSUM, migrate,
			     vram_only);
	if (err)
		goto out_dst;

	if (args->op == IVGPU_JOB_COPY) {
		va = args->src + args->done;
		err = ivgpu_svm_view(svm, &src, va, va + left, false, migrate,
				     vram_only);
		if (err)
			goto out_src;
	}

	/*
	 * A driver would write the device's page tables here. In ivgpu the CPU
	 * does the work of the device instead. An invalidation of the pages
	 * waits for the notifier lock.
	 */
	drm_gpusvm_notifier_lock(&svm->gpusvm);
	err = ivgpu_svm_view_check(svm, &dst);
	if (!err && args->op == IVGPU_JOB_COPY)
		err = ivgpu_svm_view_check(svm, &src);
	if (!err)
		err = ivgpu_job_run(job, &dst, &src);
	drm_gpusvm_notifier_unlock(&svm->gpusvm);
out_src:
	ivgpu_svm_view_put(&src);
out_dst:
	ivgpu_svm_view_put(&dst);

	return err;
}

static int ivgpu_job_loop(struct ivgpu_job *job)
{
	struct drm_ivgpu_job *args = job->args;
	struct ivgpu_svm *svm = job->svm;
	bool migrate = true;
	int err, idx;

	while (args->done < args->size) {
		u64 done = args->done;

		if (signal_pending(current))
			return -EINTR;
		if (!drm_dev_enter(&svm->ivgpu->drm, &idx))
			return -ENODEV;
		err = ivgpu_svm_lock(svm);
		if (!err) {
			if (args->flags & (IVGPU_JOB_FLAG_NO_MIGRATE |
					   IVGPU_JOB_FLAG_VRAM_ONLY))
				migrate = false;
			err = ivgpu_job_step(job, migrate);
			ivgpu_svm_unlock(svm);
		}
		drm_dev_exit(idx);

		if (err && err != -EAGAIN)
			return err;
		/*
		 * If another user wants the same pages, avoid a ping-pong: use
		 * them where they are until there is some progress.
		 */
		migrate = args->done != done;
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

	args->result = 0;
	args->done = 0;
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

	job.regs = (__le64 *)__get_free_page(GFP_KERNEL);
	if (!job.regs)
		return -ENOMEM;
	err = ivgpu_job_loop(&job);
	free_page((unsigned long)job.regs);
	if (args->op != IVGPU_JOB_CHECKSUM)
		args->result = 0;

	return err;
}
