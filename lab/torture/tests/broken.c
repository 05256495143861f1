// SPDX-License-Identifier: GPL-2.0
/*
 * Preloaded into the fuzzer: a system that does something wrong, which BROKEN
 * names. The fuzzer has to see it.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int broken(const char *name)
{
	const char *what = getenv("BROKEN");

	return what && !strcmp(what, name);
}

int madvise(void *addr, size_t len, int advice)
{
	uint64_t *word = addr;

	if (broken("lost") && advice == MADV_DONTNEED)
		return 0;
	if (broken("flip") && advice == MADV_COLD)
		word[3] ^= 1;
	if (broken("leak") && advice == MADV_COLD)
		word[0] = 0xffff888012345678ULL;
	if (broken("slow") && advice == MADV_COLD)
		sleep(5);
	if (broken("dead") && advice == MADV_COLD)
		raise(SIGKILL);
	if (broken("wild") && advice == MADV_COLD)
		*(volatile int *)8 = 0;
	return syscall(SYS_madvise, addr, len, advice);
}

int munmap(void *addr, size_t len)
{
	return broken("kept") ? 0 : syscall(SYS_munmap, addr, len);
}

int mprotect(void *addr, size_t len, int prot)
{
	if (broken("open"))
		prot |= PROT_WRITE | PROT_READ;
	if (broken("shut"))
		prot = PROT_READ;
	return syscall(SYS_mprotect, addr, len, prot);
}
