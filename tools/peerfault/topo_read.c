// SPDX-License-Identifier: GPL-2.0
/*
 * What sysfs says of exporters and importers. The kernel alone knows which BARs
 * hold device-private memory and what the fabric carries: p2pdma/bars and
 * p2pdma/clients of a PCI device, Documentation/ABI/testing/sysfs-bus-pci.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peerfault.h"
#include "topo.h"

#define CONFIG_SIZE	4096

const char *topo_sysfs = "/sys";

/* Paths are relative to topo_sysfs. 0 or a negative errno */
__attribute__((format(printf, 2, 0)))
static int sys_vpath(char path[PATH_MAX], const char *fmt, va_list args)
{
	size_t n = snprintf(path, PATH_MAX, "%s/", topo_sysfs);

	if (n < PATH_MAX)
		n += vsnprintf(path + n, PATH_MAX - n, fmt, args);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

__attribute__((format(printf, 2, 3)))
static int sys_path(char path[PATH_MAX], const char *fmt, ...)
{
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = sys_vpath(path, fmt, args);
	va_end(args);
	return ret;
}

/* NULL: errno says why */
__attribute__((format(printf, 1, 2)))
static FILE *sys_open(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = sys_vpath(path, fmt, args);
	va_end(args);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	return fopen(path, "re");
}

/* The first line of file @name of a PCI device; false: it cannot be read */
static bool pci_line(char *line, size_t size, const char *bdf, const char *name)
{
	FILE *f = sys_open("bus/pci/devices/%s/%s", bdf, name);
	bool found;

	if (!f)
		return false;
	found = fgets(line, size, f);
	if (found)
		line[strcspn(line, "\n")] = '\0';
	fclose(f);
	return found;
}

static void copy(char to[NAME_LEN], const char *from)
{
	snprintf(to, NAME_LEN, "%s", from);
}

void *topo_grow(void *array, size_t *n, size_t size)
{
	char *p = reallocarray(array, *n + 1, size);

	if (!p) {
		fputs("peerfault: out of memory\n", stderr);
		exit(EXIT_ERROR);
	}
	memset(p + *n * size, 0, size);
	(*n)++;
	return p;
}

void topo_missing(struct topo *topo, const char *fmt, ...)
{
	char *to = topo->missing[topo->n_missing];
	va_list args;

	va_start(args, fmt);
	vsnprintf(to, sizeof(topo->missing[0]), fmt, args);
	va_end(args);
	topo->n_missing++;
}

bool topo_is_bdf(const char *name)
{
	unsigned int domain, bus, dev, fn;
	int end = 0;

	return sscanf(name, "%8x:%2x:%2x.%1x%n", &domain, &bus, &dev, &fn,
		      &end) == 4 && !name[end];
}

bool topo_pci_path(char path[PATH_MAX], const char *bdf)
{
	char link[PATH_MAX];

	return !sys_path(link, "bus/pci/devices/%s", bdf) &&
	       realpath(link, path);
}

/* What the kernel calls the DMA domain of the device, "none" without IOMMU */
static void read_iommu(char iommu[NAME_LEN], const char *bdf)
{
	if (!pci_line(iommu, NAME_LEN, bdf, "iommu_group/type"))
		copy(iommu, "none");
}

/* The files of a directory, sorted; -1: errno says why */
static int sys_list(const char *dir, struct dirent ***names)
{
	char path[PATH_MAX];
	int ret = sys_path(path, "%s", dir);

	if (ret) {
		errno = -ret;
		return -1;
	}
	return scandir(path, names, NULL, alphasort);
}

/* Exporters */

/* The address of the last byte of the BAR; 0: unknown */
static uint64_t read_bar_last(const char *bdf, int bar)
{
	FILE *f = sys_open("bus/pci/devices/%s/resource", bdf);
	uint64_t last = 0;
	char line[256];
	int i;

	if (!f)
		return 0;
	for (i = 0; i <= bar && fgets(line, sizeof(line), f); i++)
		if (i == bar && sscanf(line, "%*x %" SCNx64, &last) != 1)
			last = 0;
	fclose(f);
	return last;
}

static void read_device(struct exporter *exporter, const char *bdf)
{
	char path[PATH_MAX], link[PATH_MAX], line[NAME_LEN];

	copy(exporter->bdf, bdf);
	copy(exporter->driver, "none");
	if (!sys_path(link, "bus/pci/devices/%s/driver", bdf) &&
	    realpath(link, path))
		copy(exporter->driver, strrchr(path, '/') + 1);
	read_iommu(exporter->iommu, bdf);
	exporter->consent = UNKNOWN;
	if (pci_line(line, sizeof(line), bdf, "p2pdma/peer_access"))
		exporter->consent = *line == '1' ? YES : NO;
	exporter->last = read_bar_last(bdf, exporter->bar);
}

static void read_clients(const char *bdf, struct client **clients, size_t *n)
{
	FILE *f = sys_open("bus/pci/devices/%s/p2pdma/clients", bdf);
	char line[1024];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		struct client client = { 0 };
		int untrusted, vetoed;

		/* A line may be cut when devices come and go meanwhile. */
		if (sscanf(line, "client=%255s map=%255s distance=%d untrusted=%d vetoed=%d",
			   client.bdf, client.map, &client.distance,
			   &untrusted, &vetoed) != 5)
			continue;
		client.untrusted = untrusted;
		client.vetoed = vetoed;
		*GROW(*clients, *n) = client;
	}
	fclose(f);
}

/* Returns 0, or errno if the device's BARs cannot be read. */
static int read_exporter(struct topo *topo, const char *bdf)
{
	FILE *f = sys_open("bus/pci/devices/%s/p2pdma/bars", bdf);
	struct client *clients = NULL;
	size_t n_clients = 0, first = topo->n_exporters, i;
	char line[1024];

	if (!f)
		return errno;
	while (fgets(line, sizeof(line), f)) {
		struct exporter exporter = { 0 };
		int cpu;

		if (sscanf(line, "bar=%d size=%" SCNu64 " aperture=%" SCNu64 " cpu=%d",
			   &exporter.bar, &exporter.size, &exporter.aperture,
			   &cpu) != 4) {
			fprintf(stderr, "peerfault: p2pdma/bars of %s: cannot read: %s",
				bdf, line);
			exit(EXIT_ERROR);
		}
		if (!exporter.aperture)
			continue;
		exporter.cpu = cpu;
		read_device(&exporter, bdf);
		*GROW(topo->exporters, topo->n_exporters) = exporter;
	}
	fclose(f);
	if (topo->n_exporters == first)
		return 0;
	read_clients(bdf, &clients, &n_clients);
	for (i = first; i < topo->n_exporters; i++) {
		topo->exporters[i].clients = clients;
		topo->exporters[i].n_clients = n_clients;
	}
	return 0;
}

static void find_exporters(struct topo *topo)
{
	struct dirent **names;
	int i, ret, n = sys_list("bus/pci/devices", &names);

	if (n < 0) {
		topo_missing(topo, "exporters: cannot read %s/bus/pci/devices: %s",
			     topo_sysfs, strerror(errno));
		return;
	}
	for (i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		ret = topo_is_bdf(name) ? read_exporter(topo, name) : 0;
		/* Most devices are none, or have just been unbound. */
		if (ret && ret != ENOENT && !topo->n_missing)
			topo_missing(topo, "exporters: cannot read p2pdma/bars of %s: %s",
				     name, strerror(ret));
		free(names[i]);
	}
	free(names);
}

/* Importers */

/* The PCI device that a class device is on, "" if on none */
static void read_pci_parent(char bdf[NAME_LEN], const char *class,
			    const char *name)
{
	char link[PATH_MAX], path[PATH_MAX], *last;

	*bdf = '\0';
	if (sys_path(link, "class/%s/%s/device", class, name) ||
	    !realpath(link, path))
		return;
	/* There may be an auxiliary device in between. */
	while ((last = strrchr(path, '/'))) {
		if (topo_is_bdf(last + 1)) {
			copy(bdf, last + 1);
			return;
		}
		*last = '\0';
	}
}

/* The words of file odp of an RDMA device; an older kernel does not have it. */
static void read_odp(struct importer *importer)
{
	FILE *f = sys_open("class/infiniband/%s/odp", importer->name);
	char line[NAME_LEN], *word, *save;

	importer->odp = UNKNOWN;
	importer->aliases = UNKNOWN;
	if (!f)
		return;
	if (fgets(line, sizeof(line), f)) {
		importer->odp = NO;
		importer->aliases = NO;
		for (word = strtok_r(line, " \n", &save); word;
		     word = strtok_r(NULL, " \n", &save)) {
			if (!strcmp(word, "explicit"))
				importer->odp = YES;
			if (!strcmp(word, "alias"))
				importer->aliases = YES;
		}
	}
	fclose(f);
}

static void find_importers(struct topo *topo, const char *class,
			   const char *prefix)
{
	struct dirent **names;
	char dir[NAME_LEN], line[NAME_LEN];
	int i, n;

	snprintf(dir, sizeof(dir), "class/%s", class);
	n = sys_list(dir, &names);
	for (i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (*name != '.' && !strncmp(name, prefix, strlen(prefix))) {
			struct importer *importer =
				GROW(topo->importers, topo->n_importers);

			copy(importer->name, name);
			copy(importer->iommu, "none");
			importer->odp = YES;
			importer->aliases = YES;
			importer->rdma = !*prefix;
			if (importer->rdma)
				read_odp(importer);
			read_pci_parent(importer->bdf, class, name);
			if (*importer->bdf)
				read_iommu(importer->iommu, importer->bdf);
			if (*importer->bdf &&
			    pci_line(line, sizeof(line), importer->bdf,
				     "dma_mask_bits"))
				importer->dma_bits = atoi(line);
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

enum answer topo_acs_redirects(const char *bdf)
{
	unsigned char config[CONFIG_SIZE];
	unsigned int pos = 0x100, left = CONFIG_SIZE / 8;
	char path[PATH_MAX];
	struct stat st;
	ssize_t size;
	int fd;

	if (sys_path(path, "bus/pci/devices/%s/config", bdf))
		return UNKNOWN;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return UNKNOWN;
	size = fstat(fd, &st) ? -1 : pread(fd, config, sizeof(config), 0);
	close(fd);
	/* Anybody but root gets the beginning only. */
	if (size < 0 || size < st.st_size)
		return UNKNOWN;

	while (pos >= 0x100 && pos + 8 <= size && left--) {
		unsigned int id = config[pos] | config[pos + 1] << 8;

		/* P2P request redirect, completion redirect, egress control */
		if (id == 0x0d)
			return config[pos + 6] & 0x2c ? YES : NO;
		pos = (config[pos + 2] | config[pos + 3] << 8) >> 4 & ~3;
	}
	return NO;
}

void topo_read(struct topo *topo)
{
	find_exporters(topo);
	find_importers(topo, "infiniband", "");
	find_importers(topo, "misc", "hmm_dma-");
}

void topo_free(struct topo *topo)
{
	size_t i;

	for (i = 0; i < topo->n_exporters; i++)
		if (!i || topo->exporters[i].clients !=
			  topo->exporters[i - 1].clients)
			free(topo->exporters[i].clients);
	free(topo->exporters);
	free(topo->importers);
	free(topo->pairs);
}
