/* SPDX-License-Identifier: GPL-2.0 */
/* Between migrate_bench.ko and the program that loads it. */
#ifndef MIGRATE_BENCH_H
#define MIGRATE_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* How a driver gets pages ready to be moved, in the order of its calls. */
enum migrate_bench_way {
	WAY_SETUP,		/* migrate_vma_setup(), as far as it goes */
	WAY_SETUP_FAULT_SETUP,	/* the rest with hmm_range_fault(), once more */
	WAY_FAULT_SETUP,	/* hmm_range_fault(), migrate_vma_setup() */
	WAY_ONE_SETUP,		/* migrate_vma_setup() with FAULT and WRITE */
	WAY_ONE_FAULT,		/* hmm_range_fault() with REQ_MIGRATE */
	NR_WAYS
};

/**
 * struct migrate_bench_run - get a range ready to be moved, and put it back
 * @addr: start of the range, page aligned, in one mapping of the caller
 * @size: multiple of the page size
 * @way: enum migrate_bench_way
 * @pad: not used
 * @ticks: out: TSC ticks, without putting back at the end
 * @setups: out: calls of the function that collects
 * @missed: out: pages that were not collected, or not to be written
 *
 * Errors: EOPNOTSUPP (this kernel does not have @way), those of
 * hmm_range_fault() and migrate_vma_setup().
 */
struct migrate_bench_run {
	__u64 addr;
	__u64 size;
	__u32 way;
	__u32 pad;
	__u64 ticks;
	__u64 setups;
	__u64 missed;
};

#define MIGRATE_BENCH_RUN	_IOWR('H', 0x60, struct migrate_bench_run)

#endif /* MIGRATE_BENCH_H */
