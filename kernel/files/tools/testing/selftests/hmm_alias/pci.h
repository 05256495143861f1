/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What PCI and the IOMMU say of a device, and taking it off the bus.
 *
 * Functions return 0 (or a count) or a negative errno, unless they say
 * otherwise.
 */
#ifndef PCI_H
#define PCI_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_DEVICES	"/sys/bus/pci/devices/"

int pci_remove(const char *bdf);
int pci_rescan(void);
/*
 * All devices of the machine are suspended, and resumed (CONFIG_PM_DEBUG). The
 * platform is not. -ENOENT: the kernel does not have that.
 */
int pci_suspend(void);

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
 * struct iommu_faults - the faults that the IOMMU reports of a device
 * @kmsg: where it reports them
 * @bdf: the device
 * @count: those that no test has asked for
 */
struct iommu_faults {
	int kmsg;
	const char *bdf;
	int count;
};

/* From now on */
int iommu_faults_open(struct iommu_faults *faults, const char *bdf);
/* Adds the new ones to @count; returns how many of them are in @addr's page. */
int iommu_faults_read(struct iommu_faults *faults, uint64_t addr);
/* As close() does; -EIO if there was one that no test has asked for */
int iommu_faults_close(struct iommu_faults *faults);
/*
 * The kernel reports few faults in 5 s and nothing of those that it leaves out.
 * Waits until it would report two.
 */
void iommu_faults_reportable(void);

#endif /* PCI_H */
