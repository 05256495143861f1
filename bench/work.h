/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest's only CPU does, in instructions, and what the kernel gives out.
 * Each ends with exit code 1 if something fails.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <stdint.h>

/*
 * From here on a thread of the lowest priority takes the time that is left over,
 * and tells it from work. -icount has to be in force.
 */
void work_init(void);
/* Instructions until now, without those that waited for something */
uint64_t work_now(void);

/* Pages that the kernel has given out and not got back yet */
uint64_t allocated_pages(void);

#endif /* BENCH_WORK_H */
