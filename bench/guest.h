/* SPDX-License-Identifier: GPL-2.0 */
/* What the programs share. Each ends with exit code 1 if something fails. */
#ifndef BENCH_GUEST_H
#define BENCH_GUEST_H

/* Loads the modules that are in the program. Returns how many there are. */
int bench_load(void);
/* Loads them and opens the device of one. */
int bench_open(const char *device);
/* The clock of that device counts instructions. */
void bench_check_clock(int bench);
/* Nothing is to happen but what is measured. */
void bench_quiet(void);
/* Writes to a file of sysfs or procfs */
void put(const char *path, const char *text);

#endif /* BENCH_GUEST_H */
