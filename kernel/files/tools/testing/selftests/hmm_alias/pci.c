// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mem.h"
#include "pci.h"
#include "sysfs.h"

int pci_remove(const char *bdf)
{
	char path[64];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/remove", bdf);
	return sysfs_write(path, "1");
}

int pci_rescan(void)
{
	return sysfs_write("/sys/bus/pci/rescan", "1");
}

int pci_suspend(void)
{
	int ret = sysfs_write("/sys/power/pm_test", "platform");

	if (ret)
		return ret;
	/* It would wait for five. */
	sysfs_write("/sys/module/suspend/parameters/pm_test_delay", "1");
	ret = sysfs_write("/sys/power/state", "freeze");
	sysfs_write("/sys/power/pm_test", "none");
	return ret;
}

bool pci_translated(const char *bdf)
{
	char path[96], type[16];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/iommu_group/type", bdf);
	return !sysfs_read(path, type, sizeof(type)) &&
	       !strncmp(type, "DMA", 3);
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

int iommu_faults_open(struct iommu_faults *faults, const char *bdf)
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
		found = p && sscanf(bdf, "%*x:%x:%x.%x", &bus, &dev,
				    &fn) == 3 &&
			sscanf(p, "fault from EP %u at %llx", &ep, &at) == 2 &&
			ep == (bus << 8 | dev << 3 | fn);
	}
	if (found)
		*addr = at;
	return found;
}

int iommu_faults_read(struct iommu_faults *faults, uint64_t addr)
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

int iommu_faults_close(struct iommu_faults *faults)
{
	int ret = iommu_faults_read(faults, 0);

	close(faults->kmsg);
	return ret < 0 ? ret : faults->count ? -EIO : 0;
}

void iommu_faults_reportable(void)
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
