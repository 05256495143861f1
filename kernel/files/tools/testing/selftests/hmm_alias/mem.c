// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/userfaultfd.h>

#include "mem.h"

#define THP_SIZE	(2 * MIB)

void *map_aligned(size_t size, bool thp, void **map, size_t *map_size)
{
	char *p;

	*map_size = size + THP_SIZE;
	p = mmap(NULL, *map_size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	*map = p;
	p += -(uintptr_t)p % THP_SIZE;
	if (madvise(p, size, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return NULL;
	/* The engine's fault alone may choose small pages. */
	if (thp)
		memset(p, 0, size);
	return p;
}

int uffd_missing(void *addr, size_t len)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	/* Without O_NONBLOCK poll() returns at once, with POLLERR. */
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return fd;
}

int uffd_next(int fd, int ms, struct uffd_msg *msg)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int ret = poll(&pfd, 1, ms);

	if (!ret)
		return -ETIMEDOUT;
	if (ret < 0)
		return -errno;
	if (pfd.revents != POLLIN)
		return -EIO;
	ret = read(fd, msg, sizeof(*msg));
	return ret == sizeof(*msg) ? 0 : -EIO;
}

int mem_leave(size_t size, unsigned char byte)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	memset(p, byte, size);
	return munmap(p, size) ? -errno : 0;
}

void pattern_fill(void *buf, size_t size, uint64_t seed, uint64_t first)
{
	uint64_t *word = buf;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		word[i] = pattern_word(seed, first + i);
}

uint64_t pattern_sum(const void *buf, size_t size, uint64_t first)
{
	const uint64_t *word = buf;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		sum += word[i] * (2 * (first + i) + 1);
	return sum;
}
