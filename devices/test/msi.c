/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stand-in's MSI, and other calls that only some models make.
 */
#include "standin.h"
#include "hw/pci/msi.h"
#include "qapi/error.h"

bool msi_enabled(const PCIDevice *pci)
{
    return true;
}

int msi_init(PCIDevice *pci, uint8_t offset, unsigned int nr_vectors,
             bool msi64bit, bool msi_per_vector_mask, Error **errp)
{
    return 0;
}

void msi_uninit(PCIDevice *pci)
{
}

void msi_notify(PCIDevice *pci, unsigned int vector)
{
    standin_interrupts++;
}

void pci_set_irq(PCIDevice *pci, int level)
{
}

void error_propagate(Error **dst, Error *local)
{
    abort();
}
