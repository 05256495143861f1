/* SPDX-License-Identifier: GPL-2.0 */
/* What `peerfault topo` knows: read by topo_read.c, printed by topo_print.c. */
#ifndef TOPO_H
#define TOPO_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LEN	256

/* An answer that may not be there */
enum answer { NO, YES, UNKNOWN };

/* A line of p2pdma/clients */
struct client {
	char bdf[NAME_LEN];
	char map[NAME_LEN];
	int distance;
	bool untrusted;
	bool vetoed;
};

/* A line of p2pdma/bars, and the device that it is of */
struct exporter {
	char bdf[NAME_LEN];
	char driver[NAME_LEN];
	char iommu[NAME_LEN];
	int bar;
	uint64_t size;		/* of the BAR */
	uint64_t last;		/* address of its last byte; 0: unknown */
	uint64_t aperture;	/* bytes of it that peers may reach */
	enum answer consent;
	bool cpu;		/* CPUs may access it */
	struct client *clients;	/* shared by the BARs of a device */
	size_t n_clients;
};

struct importer {
	char name[NAME_LEN];
	char bdf[NAME_LEN];	/* "": it has no DMA engine */
	char iommu[NAME_LEN];
	int dma_bits;		/* 0: unknown */
	bool rdma;		/* or else a device of test_hmm_dma */
	enum answer odp;	/* it can fault: memory regions on demand */
	enum answer aliases;	/* and its driver takes aliases */
};

struct pair {
	const struct exporter *exporter;
	const struct importer *importer;
	const struct client *client;	/* NULL without DMA, or if unknown */
	bool below_one;			/* there is a bridge above both */
	bool nearest;			/* of the importer's exporters */
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

/* Which sysfs is read, /sys unless changed before topo_read() */
extern const char *topo_sysfs;

/* Finds exporters and importers. Exits when memory runs out. */
void topo_read(struct topo *topo);
void topo_free(struct topo *topo);

/* A word on what could not be read; at most one of each caller */
__attribute__((format(printf, 2, 3)))
void topo_missing(struct topo *topo, const char *fmt, ...);

/* One more, zeroed, for the array of @n elements */
void *topo_grow(void *array, size_t *n, size_t size);
#define GROW(array, n)	((array) = topo_grow(array, &(n), sizeof(*(array))), \
			 &(array)[(n) - 1])

/* Where a PCI device is in sysfs, without links. False: there is none. */
bool topo_pci_path(char path[PATH_MAX], const char *bdf);
bool topo_is_bdf(const char *name);
/* Does ACS of this device send peer-to-peer requests to the host bridge? */
enum answer topo_acs_redirects(const char *bdf);

bool topo_iommu_translates(const char *iommu);
/* How the importer gets to the exporter: "bus-addr", ..., "cpu", "unknown" */
const char *topo_fabric(const struct pair *pair);

void topo_print_text(const struct topo *topo);
void topo_print_json(const struct topo *topo);

#endif /* TOPO_H */
