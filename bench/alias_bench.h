/* SPDX-License-Identifier: GPL-2.0 */
/* Between alias_bench.ko and the program that loads it. */
#ifndef ALIAS_BENCH_H
#define ALIAS_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Who calls hmm_range_fault() */
enum alias_bench_importer {
	IMPORTER_OTHER,		/* a driver that takes no aliases */
	IMPORTER_OWNER,		/* the owner of the device memory */
	IMPORTER_CPU,		/* takes aliases, and a CPU accesses them */
	IMPORTER_PCI,		/* takes aliases, a PCI function does */
	NR_IMPORTERS
};

/* What is asked for */
enum alias_bench_want {
	WANT_LOOK,		/* what is there */
	WANT_READ,
	WANT_WRITE,
	NR_WANTS
};

/**
 * struct alias_bench_place - move holes to device memory
 * @addr: start of the range, 2 MiB aligned, in one mapping of the caller
 * @size: multiple of 2 MiB
 * @huge: 2 MiB folios, not 4 KiB
 * @shuffle: no page is next to its neighbour in device memory
 * @single: the exporter answers for one page at a time, not for a run
 * @pad: not used
 *
 * Errors: EBUSY (device memory is in use), ENOSPC, ENXIO (a page did not
 * migrate), those of migrate_vma_setup().
 */
struct alias_bench_place {
	__u64 addr;
	__u64 size;
	__u32 huge;
	__u32 shuffle;
	__u32 single;
	__u32 pad;
};

/**
 * struct alias_bench_run - time hmm_range_fault()
 * @addr: start of the range, page aligned
 * @size: multiple of the page size
 * @importer: enum alias_bench_importer
 * @want: enum alias_bench_want
 * @ticks: out: TSC ticks of hmm_range_fault() alone
 * @valid: out: pages that were answered
 * @aliases: out: those of them with an alias
 * @huge: out: those of them with an order
 *
 * Errors: EOPNOTSUPP (this kernel has no aliases), those of hmm_range_fault().
 */
struct alias_bench_run {
	__u64 addr;
	__u64 size;
	__u32 importer;
	__u32 want;
	__u64 ticks;
	__u64 valid;
	__u64 aliases;
	__u64 huge;
};

#define ALIAS_BENCH_PLACE	_IOW('H', 0x70, struct alias_bench_place)
#define ALIAS_BENCH_RUN		_IOWR('H', 0x71, struct alias_bench_run)

#endif /* ALIAS_BENCH_H */
