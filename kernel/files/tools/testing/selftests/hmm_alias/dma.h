/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The importer with a DMA engine (lib/test_hmm_dma.c), and the environment of
 * its tests.
 *
 * Environment variables tell the tests about the machine. GPU0 and GPU1
 * (ivshmem-plain), DMA0 and DMA1 (edu) are PCI addresses. HMM_ALIAS_REACH is
 * the path of a table of what PCI/P2PDMA must say of each two, in lines
 *
 *	GPU0 DMA0 not-supported|untrusted|bus-addr|thru-host-bridge
 *
 * Without them there is nothing to compare the kernel's decisions with, and the
 * tests are skipped.
 *
 * Functions return 0 (or a count) or a negative errno, unless they say
 * otherwise.
 */
#ifndef DMA_H
#define DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lib/test_hmm_dma_uapi.h>

#include "gpu.h"
#include "mem.h"
#include "pci.h"

#define REACH		"HMM_ALIAS_REACH"
/* All of the device's buffer, the most that it moves at a time */
#define BUF		HMM_DMA_BUF_SIZE
/* What a page is looked at with: less than a page, and unaligned */
#define LEN		1501

/*
 * What the kernel says of an exporter and an importer: PCI/P2PDMA's answer, or
 * that the importer is not trusted.
 */
enum reach { NOT_SUPPORTED, UNTRUSTED, BUS_ADDR, THRU_HOST_BRIDGE };

/* What the table says of two devices, an enum reach */
int reach_between(const char *provider, const char *client);
bool reach_allowed(enum reach reach);
/* "reason=" in the trace of a refusal by @reach, else by the exporter */
const char *reach_reason(enum reach reach);

/* How a writable page is mapped (HMM_DMA_PAGE_*) that came from VRAM. */
uint64_t dma_mapped_as(bool consent, enum reach reach);
/* The same when it is in RAM */
#define DMA_MAPPED_RAM	dma_mapped_as(false, NOT_SUPPORTED)

/* The importer. Returns a file descriptor. */
int dma_open(const char *bdf);
int dma_register(int fd, void *addr, size_t size);
int dma_register_as(int fd, void *addr, size_t size, uint64_t flags);
int dma_bind(const char *bdf, bool bind);
/* Rebinds it as if its addresses had so many bits; files become useless. */
int dma_rebind(const char *bdf, const char *bits);
/* For writing. The alias of the page at @fail cannot be mapped. */
int dma_fault(int fd, void *addr, size_t size, void *fail);
/* Between @addr and the device's buffer. @flags: HMM_DMA_WRITE, HMM_DMA_RAW */
int dma_xfer(int fd, uint64_t addr, size_t len, uint64_t flags);
int dma_query(int fd, void *addr, struct hmm_dma_query *query);
/* -EILSEQ unless every page of the range is mapped as @flags says */
int dma_all_mapped_as(int fd, unsigned char *addr, size_t size, uint64_t flags);

/* All of the device's buffer, BUF bytes */
int dma_buf_get(int fd, void *buf);
int dma_buf_set(int fd, const void *buf);

/* The device reads @len bytes; -EILSEQ if they are not @want. */
int dma_check(int fd, void *addr, const void *want, size_t len);
/* The device writes @len bytes of a pattern to memory and to @ref. */
int dma_write(int fd, void *addr, void *ref, size_t len, uint64_t seed);
/*
 * Both, at pages that differ in where they are in their folio, of memory of 4 MiB
 * or more, and at odd addresses. Prints the page that is not right.
 */
int dma_both_ways(int fd, unsigned char *mem, unsigned char *ref, size_t size);

/*
 * The device reads and writes at an IOVA that is no longer mapped: -ENOMSG if
 * the IOMMU has not reported it, -EILSEQ if a byte has moved. @vram: the page in
 * question as pci_bar2_map() shows it, or NULL.
 */
int dma_expect_fault(int fd, struct iommu_faults *faults, uint64_t iova,
		     const unsigned char *vram);

/**
 * struct dma_env - the environment of a test
 * @gpu: the exporter, GPU0
 * @bdf: the importer, DMA0
 * @fd: its file, where @mem is registered
 * @iommu: an IOMMU translates the importer's addresses
 * @reach: what the fabric between the two allows
 * @alias: with the consent that there is, pages in VRAM are mapped in place
 * @mapped: how they are mapped, HMM_DMA_PAGE_*
 * @mem: the memory under test, aligned to 2 MiB
 * @ref: what @mem must contain
 * @size: size of @mem
 * @map: what to munmap() of the mapping that @mem is in
 * @map_size: size of @map
 * @base: counters when @mem was filled last
 * @faults: what the IOMMU reports of the importer
 */
struct dma_env {
	struct gpu gpu;
	const char *bdf;
	int fd;
	bool iommu;
	enum reach reach;
	bool alias;
	uint64_t mapped;
	unsigned char *mem;
	unsigned char *ref;
	size_t size;
	void *map;
	size_t map_size;
	struct drm_ivgpu_counters base;
	struct iommu_faults faults;
};

/* What is absent, or NULL: nothing else is a reason to skip. */
const char *dma_env_absent(void);

/*
 * Opens everything. @consent is put in force first. @mem is registered with
 * @flags, filled, and not mapped for the device.
 */
int dma_env_open(struct dma_env *env, size_t size, bool consent, bool thp,
		 uint64_t flags);
/* -EIO if the IOMMU has reported a fault that no test has asked for */
int dma_env_close(struct dma_env *env);

/* The engine fills all of @mem; so does the CPU @ref. All must be in VRAM. */
int dma_env_fill(struct dma_env *env, uint64_t seed);

#endif /* DMA_H */
