/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests of the DMA importer (lib/test_hmm_dma.c) share: the importer, what
 * the fabric must say of a pair of devices, and what PCI and the IOMMU say.
 *
 * Devices are GPU0, GPU1 (ivshmem-plain), DMA0, DMA1 (edu): environment
 * variables with their PCI addresses.
 *
 * Functions return 0 (or a count) or a negative errno, unless they say
 * otherwise.
 */
#ifndef DMA_ENV_H
#define DMA_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lib/test_hmm_dma_uapi.h>

#define PAGE		4096
#define PCI_DEVICES	"/sys/bus/pci/devices/"
#define DMA_DRIVER	"/sys/bus/pci/drivers/test_hmm_dma/"

/*
 * What the kernel says of an exporter and an importer: PCI/P2PDMA's answer, or
 * that the importer is not trusted.
 */
enum verdict { NOT_SUPPORTED, UNTRUSTED, BUS_ADDR, THRU_HOST_BRIDGE };

/*
 * The verdict on two devices, by the topology's file, whose lines are
 * "PROVIDER CLIENT not-supported|untrusted|bus-addr|thru-host-bridge".
 */
int dma_verdict(const char *provider, const char *client);
bool dma_allowed(enum verdict verdict);
/* "reason=" in the trace of a refusal by @verdict, else by the exporter */
const char *dma_reason(enum verdict verdict);

/* How a writable page is mapped (HMM_DMA_PAGE_*) that came from VRAM. */
uint64_t dma_mapped_as(bool consent, enum verdict verdict);

/* The importer. Returns a file descriptor. */
int dma_open(const char *bdf);
int dma_register(int fd, void *addr, size_t size);
int dma_register_as(int fd, void *addr, size_t size, uint64_t flags);
/* As if its addresses had so many bits, from now on; files become useless. */
int dma_rebind(const char *bdf, const char *bits);
/* For writing. The alias of the page at @fail cannot be mapped. */
int dma_fault(int fd, void *addr, size_t size, void *fail);
/* Between @addr and the device's buffer. @flags: HMM_DMA_WRITE, HMM_DMA_RAW */
int dma_xfer(int fd, uint64_t addr, size_t len, uint64_t flags);
int dma_query(int fd, void *addr, struct hmm_dma_query *query);
/* -EILSEQ unless every page of the range is mapped as @flags says */
int dma_all(int fd, unsigned char *addr, size_t size, uint64_t flags);

/* All of the device's buffer, HMM_DMA_BUF_SIZE bytes */
int dma_buf_get(int fd, void *buf);
int dma_buf_set(int fd, const void *buf);

/* The device reads @len bytes; -EILSEQ if they are not @want. */
int dma_check(int fd, void *addr, const void *want, size_t len);
/* The device writes @len bytes of a pattern to memory and to @ref. */
int dma_write(int fd, void *addr, void *ref, size_t len, uint64_t seed);

/* The trace of hmm's events, from now on; alias_trace_find() looks into it. */
int dma_trace_start(void);
int dma_trace_stop(void);
int dma_trace_count(const void *addr, const char *event, const char *word);

int pci_remove(const char *bdf);
int pci_rescan(void);

/* Does an IOMMU stand between this device and memory? */
bool pci_translated(const char *bdf);
/* Is it an address in the device's BAR 2? */
bool pci_in_bar2(const char *bdf, uint64_t addr);
/*
 * VRAM as the exporter's BAR shows it, at the physical address @phys, behind
 * the kernel's back. NULL on error; one page, munmap() it.
 */
unsigned char *pci_bar2_map(const char *bdf, uint64_t phys);

/**
 * struct dma_faults - the faults that the IOMMU reports of a device
 * @kmsg: where it reports them
 * @bdf: the device
 * @count: those that no test has asked for
 */
struct dma_faults {
	int kmsg;
	const char *bdf;
	int count;
};

/* From now on */
int dma_faults_open(struct dma_faults *faults, const char *bdf);
/* Adds the new ones to @count; returns how many of them are in @addr's page. */
int dma_faults_read(struct dma_faults *faults, uint64_t addr);
/* As close() does; -EIO if there was one that no test has asked for */
int dma_faults_close(struct dma_faults *faults);

/*
 * The device reads and writes at an IOVA that is no longer: -ENOMSG if the IOMMU
 * has not reported it, -EILSEQ if a byte has moved. @vram: the page in question
 * as pci_bar2_map() shows it, or NULL.
 */
int dma_dead(int fd, struct dma_faults *faults, uint64_t iova,
	     const unsigned char *vram);

#endif /* DMA_ENV_H */
