/* SPDX-License-Identifier: GPL-2.0 */
/* The clock of each module here, and how its program sees that it can be used. */
#ifndef BENCH_CLOCK_H
#define BENCH_CLOCK_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Ticks that a loop of BENCH_LOOP instructions takes */
#define BENCH_LOOP	1000000
#define BENCH_TICKS	_IOR('H', 0x61, __u64)

#ifdef __KERNEL__
#include <linux/timex.h>
#include <linux/uaccess.h>

static inline long bench_ticks(void __user *user)
{
	unsigned long n = BENCH_LOOP / 2;
	u64 ticks = rdtsc_ordered();

	asm volatile("1: dec %0\n\tjnz 1b" : "+r" (n));
	ticks = rdtsc_ordered() - ticks;
	return copy_to_user(user, &ticks, sizeof(ticks)) ? -EFAULT : 0;
}
#endif

#endif /* BENCH_CLOCK_H */
