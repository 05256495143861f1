// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exporter.h"
#include "mem.h"
#include "pci.h"
#include "sysfs.h"

/* Of an entry of pagemap */
#define PRESENT		(1ULL << 63)
#define SWAPPED		(1ULL << 62)

static const struct exporter_ops *const all[] = {
	&exporter_ivgpu,
	&exporter_nouveau,
	&exporter_xe,
};

/* The operations of the driver that is bound to @bdf */
static const struct exporter_ops *ops_find(const char *bdf)
{
	char path[64], driver[256];
	const char *name;
	ssize_t len;
	size_t i;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/driver", bdf);
	len = readlink(path, driver, sizeof(driver) - 1);
	if (len < 0)
		return NULL;
	driver[len] = '\0';
	name = strrchr(driver, '/');
	for (i = 0; name && i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(all[i]->driver, name + 1))
			return all[i];
	return NULL;
}

static int node_open(const char *bdf)
{
	char path[64], node[300];
	glob_t g;
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/drm/renderD*", bdf);
	if (glob(path, 0, NULL, &g))
		return -ENODEV;
	snprintf(node, sizeof(node), "/dev/dri/%s",
		 strrchr(g.gl_pathv[0], '/') + 1);
	globfree(&g);
	fd = open(node, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int exporter_open(struct exporter *exp, const char *bdf)
{
	char name[sizeof(exp->bdf)];
	int ret;

	/* It may be that of @exp. */
	snprintf(name, sizeof(name), "%s", bdf);
	memset(exp, 0, sizeof(*exp));
	exp->fd = -1;
	memcpy(exp->bdf, name, sizeof(name));
	exp->ops = ops_find(exp->bdf);
	if (!exp->ops)
		return -ENODEV;
	exp->fd = node_open(exp->bdf);
	if (exp->fd < 0)
		return exp->fd;
	ret = exp->ops->open ? exp->ops->open(exp) : 0;
	if (ret) {
		close(exp->fd);
		exp->fd = -1;
	}
	return ret;
}

void exporter_close(struct exporter *exp)
{
	if (!exp->ops || exp->fd < 0)
		return;
	if (exp->ops->close)
		exp->ops->close(exp);
	close(exp->fd);
	exp->fd = -1;
}

int exporter_place(struct exporter *exp, void *addr, size_t size)
{
	long n;
	int ret, tries;

	/* A page that something else holds for a moment is left out. */
	for (tries = 0; tries < 20; tries++) {
		ret = exp->ops->place(exp, addr, size);
		if (ret)
			return ret;
		n = exporter_pages(addr, size);
		if (n < 0 || (size_t)n == nr_pages(size))
			return n < 0 ? n : 0;
		usleep(20000);
	}
	return -ENXIO;
}

int exporter_evict(struct exporter *exp, void *addr, size_t size)
{
	const char *p = addr;
	size_t off;
	int ret;
	long n;

	if (exp->ops->evict) {
		ret = exp->ops->evict(exp, addr, size);
		if (ret)
			return ret;
	} else {
		for (off = 0; off < size; off += PAGE)
			__atomic_load_n(&p[off], __ATOMIC_RELAXED);
	}
	n = exporter_pages(addr, size);
	return n < 0 ? n : n ? -EBUSY : 0;
}

int exporter_copy(struct exporter *exp, void *dst, const void *src,
		  size_t size)
{
	return exp->ops->copy ? exp->ops->copy(exp, dst, src, size) :
	       -EOPNOTSUPP;
}

long exporter_pages(const void *addr, size_t size)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry;
	long n = 0;
	size_t i;

	if (fd < 0)
		return -errno;
	for (i = 0; i < nr_pages(size); i++) {
		if (pread(fd, &entry, sizeof(entry), sizeof(entry) *
			  ((uintptr_t)addr / PAGE + i)) != sizeof(entry)) {
			n = -EIO;
			break;
		}
		n += (entry & (PRESENT | SWAPPED)) == SWAPPED;
	}
	close(fd);
	return n;
}

int exporter_consent_get(const char *bdf)
{
	char path[96], text[8];
	int ret;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/p2pdma/peer_access", bdf);
	ret = sysfs_read(path, text, sizeof(text));
	return ret ? ret : *text == '1';
}

int exporter_consent(const char *bdf, bool on)
{
	char path[96];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/p2pdma/peer_access", bdf);
	return sysfs_write(path, on ? "1" : "0");
}

int exporter_bind(struct exporter *exp, bool bind)
{
	char path[96];

	if (!exp->ops)
		return -ENODEV;
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s",
		 exp->ops->driver, bind ? "bind" : "unbind");
	return sysfs_write(path, exp->bdf);
}
