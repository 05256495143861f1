/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The port's type, see acsport.h. */
#include "acsport.h"
#include "model.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_port.h"
#include "qapi/error.h"
#include "qemu/module.h"

/* Behind the port's advanced error reporting, which is at 0x100 */
enum { ACS_OFFSET = 0x150 };

static void (*parent_realize)(PCIDevice *pci, Error **errp);
static void (*parent_reset)(DeviceState *dev);

static void acsport_realize(PCIDevice *pci, Error **errp)
{
    ERRP_GUARD();

    parent_realize(pci, errp);
    if (!*errp) {
        pcie_acs_init(pci, ACS_OFFSET);
    }
}

static void acsport_reset(DeviceState *dev)
{
    parent_reset(dev);
    pcie_acs_reset(PCI_DEVICE(dev));
}

static void acsport_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    model_check_layout(TYPE_ACSPORT, sizeof(PCIESlot));

    dc->desc = "Downstream port of a switch, with ACS";
    parent_realize = pc->realize;
    pc->realize = acsport_realize;
    parent_reset = model_reset_of(dc);
    model_set_reset(dc, acsport_reset);
}

static const TypeInfo acsport_type = {
    .name = TYPE_ACSPORT,
    .parent = "xio3130-downstream",
    .class_init = acsport_class_init,
};

static void acsport_register(void)
{
    type_register_static(&acsport_type);
}
type_init(acsport_register)
