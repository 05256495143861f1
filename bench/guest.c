// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "guest.h"

/* The modules that this program needs in its kernel: a size, and the file */
extern const char modules[], modules_end[];

void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		err(1, "%s", path);
	close(fd);
}

int bench_load(void)
{
	const char *at;
	__u64 size;
	int n = 0;

	for (at = modules; at < modules_end; at += sizeof(size) + size) {
		at += -(uintptr_t)at % sizeof(size);
		memcpy(&size, at, sizeof(size));
		if (syscall(SYS_init_module, at + sizeof(size), size, ""))
			err(1, "module %d of this program", n);
		n++;
	}
	return n;
}

int bench_open(const char *device)
{
	int bench;

	bench_load();
	bench = open(device, O_RDWR | O_CLOEXEC);
	if (bench < 0)
		err(1, "%s", device);
	return bench;
}

void bench_check_clock(int bench)
{
	__u64 ticks;
	int i;

	for (i = 0; i < 5; i++) {
		if (ioctl(bench, BENCH_TICKS, &ticks))
			err(1, "BENCH_TICKS");
		if (ticks >= BENCH_LOOP * 0.99 && ticks <= BENCH_LOOP * 1.02)
			return;
	}
	errx(1, "%d instructions take %llu ticks: not with ACCEL=icount?",
	     BENCH_LOOP, ticks);
}

void bench_quiet(void)
{
	put("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs",
	    "4000000000");
}
