// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dma.h"
#include "sysfs.h"
#include "trace.h"

#define DRIVER		"/sys/bus/pci/drivers/test_hmm_dma/"
#define DMA_BITS	"/sys/module/test_hmm_dma/parameters/dma_bits"
/* Bytes of a transfer that must not go anywhere: few faults, if one a word */
#define DEAD		16

static const char *const reaches[] = {
	[NOT_SUPPORTED] = "not-supported",
	[UNTRUSTED] = "untrusted",
	[BUS_ADDR] = "bus-addr",
	[THRU_HOST_BRIDGE] = "thru-host-bridge",
};

int reach_between(const char *provider, const char *client)
{
	char line[128], p[32], c[32], map[32];
	const char *path = getenv(REACH);
	FILE *f = path ? fopen(path, "r") : NULL;
	int ret = -ENOENT;
	size_t i;

	if (!path)
		return -ENOKEY;
	if (!f)
		return -errno;
	while (ret < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %31s %31s", p, c, map) != 3 ||
		    strcmp(p, provider) || strcmp(c, client))
			continue;
		for (i = 0; i < sizeof(reaches) / sizeof(*reaches); i++)
			if (!strcmp(map, reaches[i]))
				ret = i;
	}
	fclose(f);
	return ret;
}

bool reach_allowed(enum reach reach)
{
	return reach == BUS_ADDR || reach == THRU_HOST_BRIDGE;
}

const char *reach_reason(enum reach reach)
{
	switch (reach) {
	case NOT_SUPPORTED:
		return "reason=no-fabric";
	case UNTRUSTED:
		return "reason=untrusted-importer";
	default:
		return "reason=exporter-refused";
	}
}

uint64_t dma_mapped_as(bool consent, enum reach reach)
{
	uint64_t flags = HMM_DMA_PAGE_MAPPED | HMM_DMA_PAGE_WRITE;

	if (consent && reach_allowed(reach))
		flags |= HMM_DMA_PAGE_ALIAS;
	if (consent && reach == BUS_ADDR)
		flags |= HMM_DMA_PAGE_BUS;
	return flags;
}

static int dev_ioctl(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

int dma_open(const char *bdf)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/hmm_dma-%s", bdf);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int dma_bind(const char *bdf, bool bind)
{
	return sysfs_write(bind ? DRIVER "bind" : DRIVER "unbind", bdf);
}

int dma_rebind(const char *bdf, const char *bits)
{
	int ret = sysfs_write(DMA_BITS, bits);

	if (!ret)
		ret = dma_bind(bdf, false);
	return ret ? ret : dma_bind(bdf, true);
}

int dma_register_as(int fd, void *addr, size_t size, uint64_t flags)
{
	struct hmm_dma_register reg = {
		.addr = (uintptr_t)addr,
		.size = size,
		.flags = flags,
	};

	return dev_ioctl(fd, HMM_DMA_REGISTER, &reg);
}

int dma_register(int fd, void *addr, size_t size)
{
	return dma_register_as(fd, addr, size, HMM_DMA_ALLOW_P2P);
}

int dma_fault(int fd, void *addr, size_t size, void *fail)
{
	struct hmm_dma_fault fault = {
		.addr = (uintptr_t)addr,
		.size = size,
		.flags = HMM_DMA_WRITE,
		.fail_addr = (uintptr_t)fail,
	};

	return dev_ioctl(fd, HMM_DMA_FAULT, &fault);
}

int dma_xfer(int fd, uint64_t addr, size_t len, uint64_t flags)
{
	struct hmm_dma_xfer xfer = {
		.addr = addr,
		.size = len,
		.flags = flags,
	};

	return dev_ioctl(fd, HMM_DMA_XFER, &xfer);
}

int dma_query(int fd, void *addr, struct hmm_dma_query *query)
{
	query->addr = (uintptr_t)addr;
	return dev_ioctl(fd, HMM_DMA_QUERY, query);
}

int dma_all_mapped_as(int fd, unsigned char *addr, size_t size, uint64_t flags)
{
	struct hmm_dma_query query;
	size_t off;
	int ret;

	for (off = 0; off < size; off += PAGE) {
		ret = dma_query(fd, addr + off, &query);
		if (ret)
			return ret;
		if (query.flags != flags)
			return -EILSEQ;
	}
	return 0;
}

int dma_buf_get(int fd, void *buf)
{
	ssize_t n = pread(fd, buf, BUF, 0);

	return n < 0 ? -errno : n == BUF ? 0 : -EIO;
}

int dma_buf_set(int fd, const void *buf)
{
	ssize_t n = pwrite(fd, buf, BUF, 0);

	return n < 0 ? -errno : n == BUF ? 0 : -EIO;
}

int dma_check(int fd, void *addr, const void *want, size_t len)
{
	unsigned char buf[BUF];
	int ret = dma_xfer(fd, (uintptr_t)addr, len, 0);

	if (!ret)
		ret = dma_buf_get(fd, buf);
	if (!ret && memcmp(buf, want, len))
		ret = -EILSEQ;
	return ret;
}

int dma_write(int fd, void *addr, void *ref, size_t len, uint64_t seed)
{
	unsigned char buf[BUF];
	int ret;

	pattern_fill(buf, BUF, seed, 0);
	ret = dma_buf_set(fd, buf);
	if (!ret)
		ret = dma_xfer(fd, (uintptr_t)addr, len, HMM_DMA_WRITE);
	if (!ret)
		memcpy(ref, buf, len);
	return ret;
}

int dma_both_ways(int fd, unsigned char *mem, unsigned char *ref, size_t size)
{
	const size_t odd = 1021, n = nr_pages(size);
	const size_t pages[] = { 0, 1, n / 2 - 1, n / 2 + 7, n - 1 };
	size_t i, off;
	int ret = 0;

	for (i = 0; !ret && i < sizeof(pages) / sizeof(*pages); i++) {
		off = pages[i] * PAGE + odd;
		ret = dma_check(fd, mem + off, ref + off, LEN);
		if (!ret)
			ret = dma_write(fd, mem + off + 7, ref + off + 7,
					LEN - 11, 10 + i);
		if (!ret)
			ret = dma_check(fd, mem + off, ref + off, LEN);
		if (ret)
			printf("# page %zu: %d\n", pages[i], ret);
	}
	return ret;
}

int dma_expect_fault(int fd, struct iommu_faults *faults, uint64_t iova,
		     const unsigned char *vram)
{
	unsigned char poison[BUF], buf[BUF], before[PAGE];
	uint64_t flags;
	int ret, here, tries;
	size_t i;

	if (vram)
		memcpy(before, vram, PAGE);
	pattern_fill(poison, BUF, 99, 0);
	iommu_faults_reportable();
	for (flags = 0; flags <= HMM_DMA_WRITE; flags += HMM_DMA_WRITE) {
		ret = dma_buf_set(fd, poison);
		if (!ret)
			ret = dma_xfer(fd, iova, DEAD, flags | HMM_DMA_RAW);
		if (ret)
			return ret;
		for (here = 0, tries = 2000; !here && tries; tries--) {
			here = iommu_faults_read(faults, iova);
			usleep(1000);
		}
		if (here < 0)
			return here;
		faults->count -= here;
		if (vram && memcmp(before, vram, PAGE))
			return -EILSEQ;
		if (!here)
			return -ENOMSG;
		if (flags)
			continue;
		/* An aborted read completes with nothing of the memory. */
		ret = dma_buf_get(fd, buf);
		if (ret)
			return ret;
		for (i = 0; vram && i < DEAD; i += 4)
			if (!memcmp(buf + i, before + i, 4))
				return -EILSEQ;
	}
	/* Some IOMMUs report each word, and not all at once. */
	usleep(100000);
	here = iommu_faults_read(faults, iova);
	if (here < 0)
		return here;
	faults->count -= here;
	return 0;
}

const char *dma_env_absent(void)
{
	static char path_missing[300];
	const char *path = getenv(REACH);

	if (!getenv("GPU0") || !getenv("DMA0"))
		return "GPU0 and DMA0, PCI addresses, are not set";
	if (!path)
		return REACH ", the table of this machine, is not set";
	if (!access(path, R_OK))
		return NULL;
	snprintf(path_missing, sizeof(path_missing), REACH ": cannot read %s",
		 path);
	return path_missing;
}

static int env_open(struct dma_env *env, bool consent, bool thp, uint64_t flags)
{
	int ret;

	ret = gpu_consent(consent);
	if (!ret)
		ret = gpu_open(&env->gpu, 0);
	if (ret)
		return ret;
	if (strcmp(getenv("GPU0"), env->gpu.bdf))
		return -ENODEV;
	ret = reach_between("GPU0", "DMA0");
	if (ret < 0)
		return ret;
	env->reach = ret;
	env->mapped = dma_mapped_as(consent, env->reach);
	env->alias = env->mapped & HMM_DMA_PAGE_ALIAS;
	env->iommu = pci_translated(env->bdf);
	ret = iommu_faults_open(&env->faults, env->bdf);
	if (ret)
		return ret;

	env->mem = map_aligned(env->size, thp, &env->map, &env->map_size);
	env->ref = malloc(env->size);
	if (!env->mem || !env->ref)
		return -ENOMEM;
	env->fd = dma_open(env->bdf);
	if (env->fd < 0)
		return env->fd;
	ret = dma_register_as(env->fd, env->mem, env->size, flags);
	return ret ? ret : dma_env_fill(env, 1);
}

int dma_env_open(struct dma_env *env, size_t size, bool consent, bool thp,
		 uint64_t flags)
{
	int ret;

	memset(env, 0, sizeof(*env));
	env->bdf = getenv("DMA0");
	env->gpu.fd = -1;
	env->faults.kmsg = -1;
	env->fd = -1;
	env->size = size;
	ret = env_open(env, consent, thp, flags);
	if (ret)
		dma_env_close(env);
	return ret;
}

int dma_env_close(struct dma_env *env)
{
	int ret = 0;

	trace_stop();
	if (env->fd >= 0)
		close(env->fd);
	if (env->map)
		munmap(env->map, env->map_size);
	free(env->ref);
	gpu_close(&env->gpu);
	if (env->faults.kmsg >= 0)
		ret = iommu_faults_close(&env->faults);
	return ret;
}

int dma_env_fill(struct dma_env *env, uint64_t seed)
{
	int ret = gpu_fill_vram(&env->gpu, env->mem, env->size, seed);

	pattern_fill(env->ref, env->size, seed, 0);
	return ret ? ret : gpu_counters(&env->gpu, &env->base);
}
