// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "alias_env.h"
#include "dma_env.h"

#define VERDICTS	"/etc/peerfault/verdicts"
#define BUF		HMM_DMA_BUF_SIZE
/* Bytes of a transfer that must not go anywhere: few faults, if one a word */
#define DEAD		16

static const char *const verdicts[] = {
	[NOT_SUPPORTED] = "not-supported",
	[UNTRUSTED] = "untrusted",
	[BUS_ADDR] = "bus-addr",
	[THRU_HOST_BRIDGE] = "thru-host-bridge",
};

int dma_verdict(const char *provider, const char *client)
{
	char line[128], p[32], c[32], map[32];
	FILE *f = fopen(VERDICTS, "r");
	int ret = -ENOENT;
	size_t i;

	if (!f)
		return -errno;
	while (ret < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %31s %31s", p, c, map) != 3 ||
		    strcmp(p, provider) || strcmp(c, client))
			continue;
		for (i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++)
			if (!strcmp(map, verdicts[i]))
				ret = i;
	}
	fclose(f);
	return ret;
}

bool dma_allowed(enum verdict verdict)
{
	return verdict == BUS_ADDR || verdict == THRU_HOST_BRIDGE;
}

const char *dma_reason(enum verdict verdict)
{
	switch (verdict) {
	case NOT_SUPPORTED:
		return "reason=no-fabric";
	case UNTRUSTED:
		return "reason=untrusted-importer";
	default:
		return "reason=exporter-refused";
	}
}

uint64_t dma_mapped_as(bool consent, enum verdict verdict)
{
	uint64_t flags = HMM_DMA_PAGE_MAPPED | HMM_DMA_PAGE_WRITE;

	if (consent && dma_allowed(verdict))
		flags |= HMM_DMA_PAGE_ALIAS;
	if (consent && verdict == BUS_ADDR)
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

int dma_rebind(const char *bdf, const char *bits)
{
	int ret = alias_write("/sys/module/test_hmm_dma/parameters/dma_bits",
			      bits);

	if (!ret)
		ret = alias_write(DMA_DRIVER "unbind", bdf);
	return ret ? ret : alias_write(DMA_DRIVER "bind", bdf);
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
		.fail = (uintptr_t)fail,
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

int dma_all(int fd, unsigned char *addr, size_t size, uint64_t flags)
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

	alias_pattern(buf, BUF, seed, 0);
	ret = dma_buf_set(fd, buf);
	if (!ret)
		ret = dma_xfer(fd, (uintptr_t)addr, len, HMM_DMA_WRITE);
	if (!ret)
		memcpy(ref, buf, len);
	return ret;
}

int dma_trace_start(void)
{
	int ret = alias_trace_write("trace", "");

	return ret ? ret : alias_trace_write("events/hmm/enable", "1");
}

int dma_trace_stop(void)
{
	return alias_trace_write("events/hmm/enable", "0");
}

int dma_trace_count(const void *addr, const char *event, const char *word)
{
	return alias_trace_find(addr, event, word, NULL, 0);
}

int pci_remove(const char *bdf)
{
	char path[64];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/remove", bdf);
	return alias_write(path, "1");
}

int pci_rescan(void)
{
	return alias_write("/sys/bus/pci/rescan", "1");
}

bool pci_translated(const char *bdf)
{
	char path[96], type[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/iommu_group/type", bdf);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(type, sizeof(type), f))
		type[0] = '\0';
	fclose(f);
	return !strncmp(type, "DMA", 3);
}

static bool bar2_find(const char *bdf, unsigned long *start, unsigned long *end)
{
	char path[96];
	bool found;
	FILE *f;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/resource", bdf);
	f = fopen(path, "r");
	if (!f)
		return false;
	found = fscanf(f, "%*[^\n]\n%*[^\n]\n%lx %lx", start, end) == 2;
	fclose(f);
	return found;
}

bool pci_in_bar2(const char *bdf, uint64_t addr)
{
	unsigned long start, end;

	return bar2_find(bdf, &start, &end) && addr >= start && addr <= end;
}

unsigned char *pci_bar2_map(const char *bdf, uint64_t phys)
{
	unsigned long start, end;
	char path[96];
	void *p;
	int fd;

	if (!bar2_find(bdf, &start, &end) || phys < start || phys > end)
		return NULL;
	snprintf(path, sizeof(path), PCI_DEVICES "%s/resource2", bdf);
	fd = open(path, O_RDWR | O_CLOEXEC);
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, phys - start);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

int dma_faults_open(struct dma_faults *faults, const char *bdf)
{
	faults->bdf = bdf;
	faults->count = 0;
	faults->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (faults->kmsg < 0 || lseek(faults->kmsg, 0, SEEK_END) < 0)
		return -errno;
	return 0;
}

/* Is it the report of a fault of this device, by VT-d or by virtio-iommu? */
static bool fault_parse(const char *record, const char *bdf, uint64_t *addr)
{
	unsigned int bus, dev, fn, ep;
	const char *p = strstr(record, "Request device [");
	unsigned long long at;
	char who[32];
	bool found;

	if (p) {
		found = sscanf(p, "Request device [%31[^]]] fault addr %llx",
			       who, &at) == 2 && !strcmp(who, bdf);
	} else {
		p = strstr(record, "fault from EP ");
		found = p && sscanf(bdf, "%*x:%x:%x.%x", &bus, &dev, &fn) == 3 &&
			sscanf(p, "fault from EP %u at %llx", &ep, &at) == 2 &&
			ep == (bus << 8 | dev << 3 | fn);
	}
	if (found)
		*addr = at;
	return found;
}

int dma_faults_read(struct dma_faults *faults, uint64_t addr)
{
	char record[1024];
	uint64_t at;
	int here = 0;
	ssize_t n;

	while ((n = read(faults->kmsg, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		if (!fault_parse(record, faults->bdf, &at))
			continue;
		faults->count++;
		if (at / PAGE == addr / PAGE)
			here++;
	}
	return n < 0 && errno != EAGAIN ? -errno : here;
}

int dma_faults_close(struct dma_faults *faults)
{
	int ret = dma_faults_read(faults, 0);

	close(faults->kmsg);
	return ret < 0 ? ret : faults->count ? -EIO : 0;
}

/*
 * The kernel reports few faults in 5 s and nothing of those that it leaves out.
 * Waits until it would report two.
 */
static void faults_reportable(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	unsigned long long us, last = 0;
	struct timespec ts;
	char record[1024];
	ssize_t n;

	while ((n = read(fd, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		if ((strstr(record, "DMAR: ") ||
		     strstr(record, "fault from EP ")) &&
		    sscanf(record, "%*u,%*u,%llu", &us) == 1)
			last = us;
	}
	close(fd);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	us = ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
	if (last && us < last + 5500000)
		usleep(last + 5500000 - us);
}

int dma_dead(int fd, struct dma_faults *faults, uint64_t iova,
	     const unsigned char *vram)
{
	unsigned char poison[BUF], buf[BUF], before[PAGE];
	uint64_t flags;
	int ret, here, tries;
	size_t i;

	if (vram)
		memcpy(before, vram, PAGE);
	alias_pattern(poison, BUF, 99, 0);
	faults_reportable();
	for (flags = 0; flags <= HMM_DMA_WRITE; flags += HMM_DMA_WRITE) {
		ret = dma_buf_set(fd, poison);
		if (!ret)
			ret = dma_xfer(fd, iova, DEAD, flags | HMM_DMA_RAW);
		if (ret)
			return ret;
		for (here = 0, tries = 2000; !here && tries; tries--) {
			here = dma_faults_read(faults, iova);
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
	here = dma_faults_read(faults, iova);
	if (here < 0)
		return here;
	faults->count -= here;
	return 0;
}
