// SPDX-License-Identifier: GPL-2.0
/*
 * What does it cost to get a range of memory ready to be moved to a device?
 *
 * Nothing is moved: no destination is given, and migrate_vma_finalize() puts
 * everything back. What is left are the walks, the faults and the collecting.
 *
 * This is a module outside of the tree because one source has to run on the
 * base kernel, which stays as it is, and on ours.
 */

#include <linux/hmm.h>
#include <linux/migrate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include "clock.h"
#include "migrate_bench.h"

struct bench {
	struct migrate_bench_run *run;
	struct mm_struct *mm;
	struct mmu_interval_notifier notifier;
	struct hmm_range range;
	struct migrate_vma migrate;
	/* src, dst and hmm_pfns, a third each */
	unsigned long *arrays;
};

/* A device that migrates, and the owner of what it migrates */
static int owner;

static void clock_start(struct bench *b)
{
	b->run->ticks -= rdtsc_ordered();
}

static void clock_stop(struct bench *b)
{
	b->run->ticks += rdtsc_ordered();
}

/* As test_hmm does it: a migration of the device's own changes nothing. */
static bool bench_invalidate(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long seq)
{
	if (range->event != MMU_NOTIFY_MIGRATE || range->owner != &owner)
		mmu_interval_set_seq(notifier, seq);
	return true;
}

static const struct mmu_interval_notifier_ops bench_notifier_ops = {
	.invalidate = bench_invalidate,
};

/* Pages of what was collected that a driver could not move and write to */
static unsigned long bench_missed(const struct migrate_vma *migrate)
{
	unsigned long i, step, missed = 0;

	for (i = 0; i < migrate->npages; i += step) {
		unsigned long src = migrate->src[i];
		bool valid = src & MIGRATE_PFN_VALID;

		step = 1;
		if (src & MIGRATE_PFN_COMPOUND)
			step = HPAGE_PMD_NR;
		if (!(src & MIGRATE_PFN_MIGRATE) ||
		    (valid && !(src & MIGRATE_PFN_WRITE)))
			missed += step;
	}
	return missed;
}

static void bench_args(struct bench *b, unsigned long addr, unsigned long flags)
{
	unsigned long end = b->run->addr + b->run->size;
	unsigned long first = (addr - b->run->addr) >> PAGE_SHIFT;
	unsigned long pages = b->run->size >> PAGE_SHIFT;

	b->migrate = (struct migrate_vma) {
		.src = b->arrays + first,
		.dst = b->arrays + pages + first,
		.start = addr,
		.end = end,
		.pgmap_owner = &owner,
		.flags = MIGRATE_VMA_SELECT_SYSTEM |
			 MIGRATE_VMA_SELECT_COMPOUND | flags,
	};
	b->range = (struct hmm_range) {
		.notifier = &b->notifier,
		.start = addr,
		.end = end,
		.hmm_pfns = b->arrays + 2 * pages + first,
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
		.dev_private_owner = &owner,
	};
}

/* What hmm_range_fault() asks for: again while others change the range. */
static int bench_fault(struct bench *b)
{
	int ret;

	do {
		b->range.notifier_seq = mmu_interval_read_begin(&b->notifier);
		mmap_read_lock(b->mm);
		ret = hmm_range_fault(&b->range);
		mmap_read_unlock(b->mm);
	} while (ret == -EBUSY);
	return ret;
}

/* Collects the range, in as many calls as that takes, and puts it back. */
static int bench_setup(struct bench *b, unsigned long flags, bool retry)
{
	unsigned long addr, end = b->run->addr + b->run->size;
	int ret = 0;

	b->run->missed = 0;
	mmap_read_lock(b->mm);
	for (addr = b->run->addr; !ret && addr < end; addr = b->migrate.end) {
		bench_args(b, addr, flags);
		b->migrate.vma = vma_lookup(b->mm, addr);
		clock_start(b);
		ret = migrate_vma_setup(&b->migrate);
		clock_stop(b);
		if (ret)
			break;
		b->run->setups++;
		b->run->missed += bench_missed(&b->migrate);
		/* Giving up is a part of the way, the last time is not. */
		if (retry && b->run->missed)
			clock_start(b);
		migrate_vma_finalize(&b->migrate);
		if (retry && b->run->missed)
			clock_stop(b);
		if (b->migrate.end <= addr)
			ret = -EIO;
	}
	mmap_read_unlock(b->mm);
	return ret;
}

static int bench_fault_setup(struct bench *b)
{
	int ret;

	bench_args(b, b->run->addr, 0);
	clock_start(b);
	ret = bench_fault(b);
	clock_stop(b);
	return ret ?: bench_setup(b, 0, false);
}

#ifdef HAVE_ONE_WALK
#define ONE_WALK	(MIGRATE_VMA_FAULT | MIGRATE_VMA_WRITE)

static int bench_one_fault(struct bench *b)
{
	unsigned long addr, end = b->run->addr + b->run->size;
	int ret;

	for (addr = b->run->addr; addr < end; addr = b->migrate.end) {
		bench_args(b, addr, ONE_WALK);
		b->range.default_flags |= HMM_PFN_REQ_MIGRATE;
		b->range.migrate = &b->migrate;
		do {
			clock_start(b);
			b->range.notifier_seq =
				mmu_interval_read_begin(&b->notifier);
			mmap_read_lock(b->mm);
			ret = hmm_range_fault(&b->range);
			clock_stop(b);
			if (ret)
				mmap_read_unlock(b->mm);
		} while (ret == -EBUSY);
		if (ret)
			return ret;
		b->run->setups++;
		b->run->missed += bench_missed(&b->migrate);
		migrate_vma_finalize(&b->migrate);
		mmap_read_unlock(b->mm);
		if (b->migrate.end <= addr)
			return -EIO;
	}
	return 0;
}

#define LAST_WAY	WAY_ONE_FAULT
#else
#define LAST_WAY	WAY_FAULT_SETUP
#endif

static int bench_way(struct bench *b)
{
	int ret;

	switch (b->run->way) {
	case WAY_SETUP:
		return bench_setup(b, 0, false);
	case WAY_SETUP_FAULT_SETUP:
		ret = bench_setup(b, 0, true);
		if (ret || !b->run->missed)
			return ret;
		return bench_fault_setup(b);
	case WAY_FAULT_SETUP:
		return bench_fault_setup(b);
#ifdef HAVE_ONE_WALK
	case WAY_ONE_SETUP:
		return bench_setup(b, ONE_WALK, false);
	case WAY_ONE_FAULT:
		return bench_one_fault(b);
#endif
	}
	return -EINVAL;
}

static int bench_run(struct migrate_bench_run *run)
{
	struct bench b = { .run = run, .mm = current->mm };
	int ret;

	if (run->way > LAST_WAY)
		return -EOPNOTSUPP;
	if (!run->size || !PAGE_ALIGNED(run->addr | run->size))
		return -EINVAL;
	run->ticks = 0;
	run->setups = 0;
	run->missed = 0;

	b.arrays = kvcalloc(3 * (run->size >> PAGE_SHIFT), sizeof(*b.arrays),
			    GFP_KERNEL);
	if (!b.arrays)
		return -ENOMEM;
	/* bench/report.py counts from here to _remove(). */
	ret = mmu_interval_notifier_insert(&b.notifier, b.mm, run->addr,
					   run->size, &bench_notifier_ops);
	if (!ret) {
		ret = bench_way(&b);
		mmu_interval_notifier_remove(&b.notifier);
	}
	kvfree(b.arrays);
	return ret;
}

static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct migrate_bench_run run;
	long ret;

	switch (cmd) {
	case MIGRATE_BENCH_RUN:
		if (copy_from_user(&run, user, sizeof(run)))
			return -EFAULT;
		ret = bench_run(&run);
		if (!ret && copy_to_user(user, &run, sizeof(run)))
			ret = -EFAULT;
		return ret;
	case BENCH_TICKS:
		return bench_ticks(user);
	}
	return -ENOTTY;
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = bench_ioctl,
};

static struct miscdevice bench_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "migrate_bench",
	.fops = &bench_fops,
};
module_misc_device(bench_misc);

MODULE_DESCRIPTION("What fault and migration cost");
MODULE_LICENSE("GPL");
