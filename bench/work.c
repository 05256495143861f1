// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <x86intrin.h>

#include "clock.h"
#include "work.h"

/* The longest that the idle loop takes when nothing interrupts it */
#define UNDISTURBED	100

static atomic_uint_fast64_t idle;

static void *take_the_rest(void *arg)
{
	const struct sched_param param = { 0 };
	uint64_t last, now;

	if (sched_setscheduler(0, SCHED_IDLE, &param))
		err(1, "SCHED_IDLE");
	for (last = __rdtsc();; last = now) {
		now = __rdtsc();
		if (now - last < UNDISTURBED)
			atomic_store_explicit(&idle, idle + now - last,
					      memory_order_relaxed);
	}
	return arg;
}

uint64_t work_now(void)
{
	return __rdtsc() - idle;
}

static uint64_t work_of_loop(void)
{
	unsigned long n = BENCH_LOOP / 2;
	uint64_t work = work_now();

	asm volatile("1: dec %0\n\tjnz 1b" : "+r" (n));
	return work_now() - work;
}

/* Neither does the clock count anything else, nor what waits. */
static void work_check(void)
{
	uint64_t loop = 0, wait = 0;
	int i;

	for (i = 0; i < 5; i++) {
		loop = work_of_loop();
		wait = work_now();
		usleep(100000);
		wait = work_now() - wait;
		if (loop >= BENCH_LOOP * 0.99 && loop <= BENCH_LOOP * 1.05 &&
		    wait < BENCH_LOOP)
			return;
	}
	errx(1, "%d instructions count as %" PRIu64 ", and 100 ms without any as %" PRIu64 ": not with ACCEL=icount?",
	     BENCH_LOOP, loop, wait);
}

void work_init(void)
{
	pthread_t thread;

	if (sysconf(_SC_NPROCESSORS_ONLN) != 1)
		errx(1, "instructions are counted on one CPU only");
	if (pthread_create(&thread, NULL, take_the_rest, NULL))
		errx(1, "pthread_create");
	work_check();
}

uint64_t allocated_pages(void)
{
	FILE *file = fopen("/proc/vmstat", "r");
	uint64_t value, sum = 0;
	char name[64];

	if (!file)
		err(1, "/proc/vmstat");
	while (fscanf(file, "%63s %" SCNu64, name, &value) == 2) {
		if (!strncmp(name, "pgalloc_", strlen("pgalloc_")))
			sum += value;
		else if (!strcmp(name, "pgfree"))
			sum -= value;
	}
	fclose(file);
	return sum;
}
