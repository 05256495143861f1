/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small stand-in for QEMU, for tests of a model without a guest: memory, the
 * bus, timers and bottom halves, and as much of QOM as a model's type needs. A
 * test is the guest: it writes to memory and registers, and lets the model run.
 */
#ifndef DEVICES_STANDIN_H
#define DEVICES_STANDIN_H

#include "model.h"

#define STANDIN_RAM     (32 * MiB)      /* from bus address 0 on */
#define STANDIN_BARS    0x100000000ull  /* BARs are from here on, by STANDIN_BAR */
#define STANDIN_BAR     0x40000000ull

extern uint8_t standin_ram[STANDIN_RAM];
extern unsigned standin_interrupts;     /* MSI and MSI-X */
/* With an IOMMU each page of RAM is where this says; ~0: not mapped */
extern bool standin_iommu;
extern uint64_t standin_iova[STANDIN_RAM / 4096];

/* A device, realized; "name=value" for its properties, the last one NULL */
PCIDevice *standin_new(const char *type, ...);
void standin_delete(PCIDevice *pci);
void standin_reset(PCIDevice *pci);

/* Bus address of a BAR. Accesses to it are what a guest's or a device's are. */
uint64_t standin_bar(PCIDevice *pci, int bar);
bool standin_rw(uint64_t addr, void *buf, uint64_t len, bool write);

/* Zeroes the pages that devices have written to */
void standin_clean(void);

/* Bottom halves, until there are none that are scheduled, or so many have run */
extern unsigned standin_turns;          /* 1000 */
void standin_run(void);
/* Time goes on, and the timers that are due run, and bottom halves */
void standin_pass(int64_t ns);
/* The IOMMU forgets a range, and says so to those who asked */
void standin_unmap(uint64_t iova, uint64_t size);

#endif
