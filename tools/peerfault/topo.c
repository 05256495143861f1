// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault topo: for each exporter of device-private memory and each importer
 * on this machine, whether the importer reaches the memory in place.
 *
 * The kernel alone knows what the fabric carries: that is read from debugfs
 * (Documentation/ABI/testing/debugfs-pci-p2pdma). All else is in sysfs.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <drm/ivgpu_drm.h>

#include "peerfault.h"

#define NAME_LEN	256
#define CONFIG_SIZE	4096

/* An answer that may not be there */
enum answer { NO, YES, UNKNOWN };

/* A line "client=" of the kernel */
struct client {
	char bdf[NAME_LEN];
	char map[NAME_LEN];
	int distance;
	bool untrusted;
};

struct exporter {
	char bdf[NAME_LEN];
	char driver[NAME_LEN];
	char iommu[NAME_LEN];
	int bar;		/* -1: it has no device-private memory */
	uint64_t size;		/* of the BAR */
	uint64_t aperture;	/* bytes of it that peers may reach */
	enum answer consent;
	bool cpu;
	struct client *clients;
	size_t n_clients;
};

struct importer {
	char name[NAME_LEN];
	char bdf[NAME_LEN];	/* "": it has no DMA engine */
	char iommu[NAME_LEN];
	int dma_bits;		/* 0: unknown */
};

struct pair {
	const struct exporter *exporter;
	const struct importer *importer;
	const struct client *client;	/* NULL without DMA, or if unknown */
	bool below_one;			/* there is a bridge above both */
	enum answer acs;
	char acs_at[256];		/* bridges that redirect */
	char why[512];			/* not; "" if nothing is in the way */
};

struct topo {
	struct exporter *exporters;
	size_t n_exporters;
	struct importer *importers;
	size_t n_importers;
	struct pair *pairs;
	size_t n_pairs;
	char missing[2][PATH_MAX + 256];
	size_t n_missing;
};

static const char *sys = "/sys";

static const char usage[] =
"usage: peerfault topo [OPTION]...\n"
"\n"
"For each exporter (a device with device-private memory behind a PCI BAR) and\n"
"each importer (an RDMA device, or a device of test_hmm_dma): does the importer\n"
"reach the memory in place, and why not.\n"
"\n"
"  -j, --json        one JSON document instead of tables\n"
"  -s, --sysfs DIR   read DIR instead of /sys: what another machine has there\n"
"  -h, --help        this\n"
"\n"
"A yes means that nothing known from outside is in the way. It is left to the\n"
"importer's driver to ask, and to the exporter's to grant each page: the trace\n"
"events of hmm tell what they did. Consent is parameter p2p of the exporter's\n"
"module. Where the aperture cannot be known it is taken for the whole BAR.\n"
"\n"
"Who is an exporter, and what the fabric carries, is in debugfs, for root. What\n"
"could not be read is named under \"missing\".\n"
"\n"
"exit codes: 0 done, also if there is no exporter or something is missing;\n"
"1 error; 2 usage\n";

/* Reading sysfs. Paths are relative to @sys; 0 or a negative errno. */

__attribute__((format(printf, 2, 0)))
static int sys_vpath(char path[PATH_MAX], const char *fmt, va_list args)
{
	size_t n = snprintf(path, PATH_MAX, "%s/", sys);

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

/* The first line of a file */
__attribute__((format(printf, 3, 4)))
static int sys_line(char *line, size_t size, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	int ret = 0;
	FILE *f;

	va_start(args, fmt);
	ret = sys_vpath(path, fmt, args);
	va_end(args);
	if (ret)
		return ret;
	f = fopen(path, "re");
	if (!f)
		return -errno;
	if (fgets(line, size, f))
		line[strcspn(line, "\n")] = '\0';
	else
		ret = -EIO;
	fclose(f);
	return ret;
}

/* Where a link leads, without links; in @path */
__attribute__((format(printf, 2, 3)))
static int sys_real(char path[PATH_MAX], const char *fmt, ...)
{
	char link[PATH_MAX];
	va_list args;
	int ret;

	va_start(args, fmt);
	ret = sys_vpath(link, fmt, args);
	va_end(args);
	if (ret)
		return ret;
	return realpath(link, path) ? 0 : -errno;
}

static void copy(char to[NAME_LEN], const char *from)
{
	snprintf(to, NAME_LEN, "%s", from);
}

/* Append to what there is in @to, cut where it is full. */
__attribute__((format(printf, 4, 5)))
static void append(char *to, size_t size, const char *between,
		   const char *fmt, ...)
{
	size_t n = strlen(to);
	va_list args;

	if (n)
		n += snprintf(to + n, size - n, "%s", between);
	if (n >= size)
		return;
	va_start(args, fmt);
	vsnprintf(to + n, size - n, fmt, args);
	va_end(args);
}

/* One more element for an array that grows; zeroed. */
static void *grow(void *array, size_t *n, size_t size)
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

#define GROW(array, n)	((array) = grow(array, &(n), sizeof(*(array))), \
			 &(array)[(n) - 1])

__attribute__((format(printf, 2, 3)))
static void missing(struct topo *topo, const char *fmt, ...)
{
	char *to = topo->missing[topo->n_missing];
	va_list args;

	va_start(args, fmt);
	vsnprintf(to, sizeof(topo->missing[0]), fmt, args);
	va_end(args);
	topo->n_missing++;
}

static bool is_bdf(const char *name)
{
	unsigned int domain, bus, dev, fn;
	int end = 0;

	return sscanf(name, "%8x:%2x:%2x.%1x%n", &domain, &bus, &dev, &fn,
		      &end) == 4 && !name[end];
}

/* What the kernel calls the DMA domain of the device, "none" without IOMMU */
static void read_iommu(char iommu[NAME_LEN], const char *bdf)
{
	if (sys_line(iommu, NAME_LEN, "bus/pci/devices/%s/iommu_group/type",
		     bdf))
		copy(iommu, "none");
}

static bool iommu_translates(const char *iommu)
{
	return !strncmp(iommu, "DMA", 3);
}

/* Exporters */

/* Only the driver knows how much of its BAR it offers. */
static uint64_t read_aperture(const struct exporter *exporter)
{
	struct drm_ivgpu_info info;
	uint64_t aperture = exporter->size;
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (strcmp(exporter->driver, "ivgpu") || strcmp(sys, "/sys") ||
	    sys_path(path, "bus/pci/devices/%s/drm", exporter->bdf))
		return aperture;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "renderD", 7))
			continue;
		snprintf(path, sizeof(path), "/dev/dri/%s", entry->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!ioctl(fd, DRM_IOCTL_IVGPU_GET_INFO, &info))
			aperture = info.aperture_size;
		close(fd);
	}
	if (dir)
		closedir(dir);
	return aperture;
}

static void read_driver(struct exporter *exporter)
{
	char path[PATH_MAX], line[NAME_LEN];

	copy(exporter->driver, "none");
	if (!sys_real(path, "bus/pci/devices/%s/driver", exporter->bdf))
		copy(exporter->driver, strrchr(path, '/') + 1);
	read_iommu(exporter->iommu, exporter->bdf);
	exporter->consent = UNKNOWN;
	if (!sys_line(line, sizeof(line),
		      "bus/pci/devices/%s/driver/module/parameters/p2p",
		      exporter->bdf))
		exporter->consent = *line == 'Y' || *line == '1' ? YES : NO;
	exporter->aperture = read_aperture(exporter);
}

/* One file of the kernel: the lines of BARs are before those of clients. */
static int read_provider(struct topo *topo, const char *bdf)
{
	size_t first = topo->n_exporters, i;
	struct client *clients = NULL;
	size_t n_clients = 0;
	char path[PATH_MAX], line[1024];
	FILE *f;
	int ret;

	ret = sys_path(path, "kernel/debug/pci-p2pdma/%s", bdf);
	if (ret)
		return ret;
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		struct client client = { 0 };
		struct exporter *exporter;
		int bar, alias, cpu, untrusted;
		uint64_t size;

		if (sscanf(line, "bar=%d size=%" SCNu64 " alias=%d cpu=%d",
			   &bar, &size, &alias, &cpu) == 4) {
			if (!alias)
				continue;
			exporter = GROW(topo->exporters, topo->n_exporters);
			exporter->bar = bar;
			exporter->size = size;
			exporter->cpu = cpu;
		} else if (sscanf(line, "client=%255s map=%255s distance=%d untrusted=%d",
				  client.bdf, client.map, &client.distance,
				  &untrusted) == 4) {
			client.untrusted = untrusted;
			*GROW(clients, n_clients) = client;
		} else {
			fprintf(stderr, "peerfault: %s: cannot read: %s", path,
				line);
			exit(EXIT_ERROR);
		}
	}
	fclose(f);

	if (topo->n_exporters == first)
		GROW(topo->exporters, topo->n_exporters)->bar = -1;
	for (i = first; i < topo->n_exporters; i++) {
		struct exporter *exporter = &topo->exporters[i];

		copy(exporter->bdf, bdf);
		read_driver(exporter);
		exporter->clients = clients;
		exporter->n_clients = n_clients;
	}
	return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static bool is_empty(const char *path)
{
	struct dirent **names;
	int i, n = scandir(path, &names, NULL, NULL);

	for (i = 0; i < n; i++)
		free(names[i]);
	if (n >= 0)
		free(names);
	return n == 2;	/* . and .. */
}

static void find_exporters(struct topo *topo)
{
	struct dirent **names;
	char path[PATH_MAX];
	int i, n, ret;

	if (sys_path(path, "kernel/debug/pci-p2pdma"))
		return;
	n = scandir(path, &names, NULL, by_name);
	if (n < 0) {
		ret = errno;
		*strrchr(path, '/') = '\0';
		if (ret != ENOENT)
			missing(topo, "exporters and the fabric: %s: %s%s",
				path, strerror(ret),
				ret == EACCES ? " (only root may)" : "");
		else if (is_empty(path))
			missing(topo, "exporters and the fabric: debugfs is not mounted at %s",
				path);
		else
			missing(topo, "exporters and the fabric: this kernel has no pci-p2pdma in debugfs");
		return;
	}
	for (i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		ret = is_bdf(name) ? read_provider(topo, name) : 0;
		/* One that has just been unbound is none any more. */
		if (ret && ret != -ENOENT && !topo->n_missing)
			missing(topo, "exporters and the fabric: %s/%s: %s",
				path, name, strerror(-ret));
		free(names[i]);
	}
	free(names);
}

/* Importers */

/* The PCI device that a class device is on, "" if on none */
static void read_pci_parent(char bdf[NAME_LEN], const char *class,
			    const char *name)
{
	char path[PATH_MAX], *last;

	*bdf = '\0';
	if (sys_real(path, "class/%s/%s/device", class, name))
		return;
	/* There may be an auxiliary device in between. */
	while ((last = strrchr(path, '/'))) {
		if (is_bdf(last + 1)) {
			copy(bdf, last + 1);
			return;
		}
		*last = '\0';
	}
}

static void find_importers(struct topo *topo, const char *class,
			   const char *prefix)
{
	struct dirent **names;
	char path[PATH_MAX], line[NAME_LEN];
	int i, n;

	if (sys_path(path, "class/%s", class))
		return;
	n = scandir(path, &names, NULL, by_name);
	for (i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (*name != '.' && !strncmp(name, prefix, strlen(prefix))) {
			struct importer *importer =
				GROW(topo->importers, topo->n_importers);

			copy(importer->name, name);
			read_pci_parent(importer->bdf, class, name);
			copy(importer->iommu, "none");
			if (*importer->bdf) {
				read_iommu(importer->iommu, importer->bdf);
				if (!sys_line(line, sizeof(line),
					      "bus/pci/devices/%s/dma_mask_bits",
					      importer->bdf))
					importer->dma_bits = atoi(line);
			}
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

/* Pairs */

/* Does ACS of this device send peer-to-peer requests to the host bridge? */
static enum answer acs_redirects(const char *bdf)
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

/* Adds what redirects on @path, which leads to a device, from @common on. */
static void read_acs(struct pair *pair, const char *path, size_t common)
{
	char copy_of[PATH_MAX], *save, *name;

	snprintf(copy_of, sizeof(copy_of), "%s", path + common);
	for (name = strtok_r(copy_of, "/", &save); name;
	     name = strtok_r(NULL, "/", &save)) {
		enum answer acs = is_bdf(name) ? acs_redirects(name) : NO;

		if (acs == UNKNOWN || (acs == YES && pair->acs == NO))
			pair->acs = acs;
		if (acs == YES)
			append(pair->acs_at, sizeof(pair->acs_at), " ", "%s",
			       name);
	}
}

static void find_acs(struct pair *pair)
{
	char a[PATH_MAX], b[PATH_MAX];
	size_t i, common = 0;

	if (sys_real(a, "bus/pci/devices/%s", pair->exporter->bdf) ||
	    sys_real(b, "bus/pci/devices/%s", pair->importer->bdf)) {
		pair->acs = UNKNOWN;
		return;
	}
	for (i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			common = i;
	a[common] = '\0';
	pair->below_one = is_bdf(strrchr(a, '/') + 1);
	a[common] = '/';
	read_acs(pair, a, common);
	read_acs(pair, b, common);
}

/* The address that follows the BAR; 0 if unknown */
static uint64_t bar_end(const struct exporter *exporter)
{
	uint64_t end = 0;
	char path[PATH_MAX], line[256];
	int bar;
	FILE *f;

	if (sys_path(path, "bus/pci/devices/%s/resource", exporter->bdf))
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;
	for (bar = 0; bar <= exporter->bar && fgets(line, sizeof(line), f);
	     bar++)
		if (bar == exporter->bar)
			sscanf(line, "%*x %" SCNx64, &end);
	fclose(f);
	return end;
}

static void why_not_dma(struct pair *pair)
{
	const struct importer *importer = pair->importer;
	const struct client *client = pair->client;
	const bool bus = client && !strcmp(client->map, "bus-addr");
	const size_t size = sizeof(pair->why);
	uint64_t end;

	if (!client) {
		append(pair->why, size, "; ",
		       "the kernel knows no such importer: no driver is bound");
		return;
	}
	if (client->untrusted)
		append(pair->why, size, "; ",
		       "the importer is an untrusted (external) device");
	if (!strcmp(client->map, "not-supported")) {
		if (pair->below_one && *pair->acs_at)
			append(pair->why, size, "; ",
			       "ACS at %s sends it through the host bridge, which is not known to forward",
			       pair->acs_at);
		else
			append(pair->why, size, "; ",
			       "no common switch, and the host bridge is not known to forward between root ports");
		return;
	}
	end = bar_end(pair->exporter);
	if ((bus || !iommu_translates(importer->iommu)) &&
	    importer->dma_bits && importer->dma_bits < 64 &&
	    end >> importer->dma_bits)
		append(pair->why, size, "; ",
		       "the importer's DMA mask of %d bits does not reach the BAR, which ends at %#" PRIx64,
		       importer->dma_bits, end);
}

/* In the order in which the kernel decides, the exporter last */
static void judge(struct pair *pair)
{
	const struct exporter *exporter = pair->exporter;
	const size_t size = sizeof(pair->why);

	if (*pair->importer->bdf)
		why_not_dma(pair);
	else if (!exporter->cpu)
		append(pair->why, size, "; ",
		       "the importer is a CPU, and the exporter lets none access its BAR");
	if (exporter->consent == NO)
		append(pair->why, size, "; ",
		       "the exporter does not consent (parameter p2p of %s)",
		       exporter->driver);
}

static void find_pairs(struct topo *topo)
{
	size_t e, i, c;

	for (e = 0; e < topo->n_exporters; e++) {
		const struct exporter *exporter = &topo->exporters[e];

		for (i = 0; exporter->bar >= 0 && i < topo->n_importers; i++) {
			struct pair *pair = GROW(topo->pairs, topo->n_pairs);

			pair->exporter = exporter;
			pair->importer = &topo->importers[i];
			for (c = 0; c < exporter->n_clients; c++)
				if (!strcmp(exporter->clients[c].bdf,
					    pair->importer->bdf))
					pair->client = &exporter->clients[c];
			if (*pair->importer->bdf)
				find_acs(pair);
			judge(pair);
		}
	}
	for (i = 0; i < topo->n_pairs; i++) {
		if (topo->pairs[i].acs != UNKNOWN)
			continue;
		missing(topo, "ACS: the configuration space of PCI devices (only root may read all of it)");
		break;
	}
}

static const char *fabric(const struct pair *pair)
{
	if (!*pair->importer->bdf)
		return "cpu";
	return pair->client ? pair->client->map : "unknown";
}

/* Output */

static const char *size_text(char text[32], uint64_t size)
{
	if (size % (1 << 20))
		snprintf(text, 32, "%" PRIu64 " B", size);
	else
		snprintf(text, 32, "%" PRIu64 " MiB", size >> 20);
	return text;
}

static const char * const answer_text[] = { "no", "yes", "unknown" };
static const char * const answer_json[] = { "false", "true", "null" };

static void print_text(const struct topo *topo)
{
	size_t i, exporters = 0;

	for (i = 0; i < topo->n_exporters; i++) {
		const struct exporter *e = &topo->exporters[i];
		char size[32], aperture[32];

		if (e->bar < 0)
			continue;
		if (!exporters++)
			printf("%-13s %-10s %3s %10s %10s %-8s %-10s %s\n",
			       "exporter", "driver", "bar", "size", "aperture",
			       "consent", "cpu-access", "iommu");
		printf("%-13s %-10s %3d %10s %10s %-8s %-10s %s\n", e->bdf,
		       e->driver, e->bar, size_text(size, e->size),
		       size_text(aperture, e->aperture),
		       answer_text[e->consent], answer_text[e->cpu], e->iommu);
	}
	if (!exporters)
		puts(topo->n_missing ? "exporters: not known, see \"missing\"" :
		     "no exporter: no driver offers device-private memory through a PCI BAR");
	for (i = 0; i < topo->n_exporters; i++)
		if (topo->exporters[i].bar < 0)
			printf("%s (%s) is no exporter: it has BARs for peer-to-peer DMA, but no device-private memory in them\n",
			       topo->exporters[i].bdf,
			       topo->exporters[i].driver);

	putchar('\n');
	if (!topo->n_importers)
		puts("no importer: there is no RDMA device and none of test_hmm_dma");
	else
		printf("%-20s %-13s %-8s %s\n", "importer", "device",
		       "dma-mask", "iommu");
	for (i = 0; i < topo->n_importers; i++) {
		const struct importer *m = &topo->importers[i];
		char bits[16] = "-";

		if (m->dma_bits)
			snprintf(bits, sizeof(bits), "%d", m->dma_bits);
		printf("%-20s %-13s %-8s %s\n", m->name,
		       *m->bdf ? m->bdf : "cpu", bits, m->iommu);
	}

	if (topo->n_pairs)
		printf("\n%-13s %-20s %-16s %4s %-13s %s\n", "exporter",
		       "importer", "fabric", "dist", "acs-redirect",
		       "peer access");
	for (i = 0; i < topo->n_pairs; i++) {
		const struct pair *p = &topo->pairs[i];
		char dist[16] = "-";

		if (p->client)
			snprintf(dist, sizeof(dist), "%d", p->client->distance);
		printf("%-13s %-20s %-16s %4s %-13s %s%s\n", p->exporter->bdf,
		       p->importer->name, fabric(p), dist,
		       !*p->importer->bdf ? "-" : p->acs == YES ? p->acs_at :
		       answer_text[p->acs], *p->why ? "no: " : "yes", p->why);
	}
	for (i = 0; i < topo->n_missing; i++)
		printf("%smissing: %s\n", i ? "" : "\n", topo->missing[i]);
}

/* @key and @value; @key may be NULL for a string in a list */
static void json_string(const char *key, const char *value, const char *end)
{
	if (key)
		printf("\"%s\": ", key);
	if (!value) {
		printf("null%s", end);
		return;
	}
	putchar('"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		if ((unsigned char)*value < ' ')
			printf("\\u%04x", (unsigned char)*value);
		else
			putchar(*value);
	}
	printf("\"%s", end);
}

/* A list of the words in @value */
static void json_words(const char *key, const char *value, const char *end)
{
	size_t n;

	printf("\"%s\": %s", key, value ? "[" : "null");
	for (; value && *value; value += n + (value[n] == ' ')) {
		n = strcspn(value, " ");
		printf("\"%.*s\"%s", (int)n, value, value[n] ? ", " : "");
	}
	printf("%s%s", value ? "]" : "", end);
}

/* Each object of a list on a line of its own, so that grep finds it. */
static void json_next(bool *first)
{
	printf("%s\n  {", *first ? "" : ",");
	*first = false;
}

static void print_json(const struct topo *topo)
{
	bool first = true;
	size_t i;

	printf("{\n\"exporters\": [");
	for (i = 0; i < topo->n_exporters; i++) {
		const struct exporter *e = &topo->exporters[i];

		if (e->bar < 0)
			continue;
		json_next(&first);
		json_string("device", e->bdf, ", ");
		json_string("driver", e->driver, ", ");
		printf("\"bar\": %d, \"bar_size\": %" PRIu64
		       ", \"aperture\": %" PRIu64
		       ", \"consent\": %s, \"cpu_access\": %s, ", e->bar,
		       e->size, e->aperture, answer_json[e->consent],
		       answer_json[e->cpu]);
		json_string("iommu", e->iommu, "}");
	}

	first = true;
	printf("\n],\n\"importers\": [");
	for (i = 0; i < topo->n_importers; i++) {
		const struct importer *m = &topo->importers[i];

		json_next(&first);
		json_string("name", m->name, ", ");
		json_string("device", *m->bdf ? m->bdf : NULL, ", ");
		if (m->dma_bits)
			printf("\"dma_mask_bits\": %d, ", m->dma_bits);
		else
			printf("\"dma_mask_bits\": null, ");
		json_string("iommu", m->iommu, "}");
	}

	first = true;
	printf("\n],\n\"pairs\": [");
	for (i = 0; i < topo->n_pairs; i++) {
		const struct pair *p = &topo->pairs[i];

		json_next(&first);
		json_string("exporter", p->exporter->bdf, ", ");
		printf("\"bar\": %d, ", p->exporter->bar);
		json_string("importer", p->importer->name, ", ");
		json_string("importer_device",
			    *p->importer->bdf ? p->importer->bdf : NULL, ", ");
		json_string("fabric", fabric(p), ", ");
		if (p->client)
			printf("\"distance\": %d, \"untrusted\": %s, ",
			       p->client->distance,
			       answer_json[p->client->untrusted]);
		else
			printf("\"distance\": null, \"untrusted\": null, ");
		json_words("acs_redirect", p->acs == UNKNOWN ||
			   !*p->importer->bdf ? NULL : p->acs_at, ", ");
		printf("\"peer_access\": %s, ", *p->why ? "false" : "true");
		json_string("why_not", *p->why ? p->why : NULL, "}");
	}

	printf("\n],\n\"missing\": [");
	for (i = 0; i < topo->n_missing; i++) {
		printf("%s\n  ", i ? "," : "");
		json_string(NULL, topo->missing[i], "");
	}
	printf("\n]\n}\n");
}

static void topo_free(struct topo *topo)
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

int topo_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "sysfs", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct topo topo = { 0 };
	bool json = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "js:h", options, NULL)) != -1) {
		switch (opt) {
		case 'j':
			json = true;
			break;
		case 's':
			sys = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_DONE;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}

	find_exporters(&topo);
	find_importers(&topo, "infiniband", "");
	find_importers(&topo, "misc", "hmm_dma-");
	find_pairs(&topo);
	if (json)
		print_json(&topo);
	else
		print_text(&topo);
	topo_free(&topo);
	if (fflush(stdout) || ferror(stdout)) {
		perror("peerfault: stdout");
		return EXIT_ERROR;
	}
	return EXIT_DONE;
}
