/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PCI function: BARs, interrupts, properties, and what QMP can ask for */
#include "bmg.h"
#include "hw/pci/msi.h"
#include "hw/pci/pcie.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/module.h"

/* Without MSI-X xe takes one MSI, and looks into the page of interrupt bytes */
void bmg_msi(Bmg *s)
{
    PCIDevice *pci = PCI_DEVICE(s);

    if (msi_enabled(pci)) {
        msi_notify(pci, 0);
    }
}

static void bmg_realize(PCIDevice *pci, Error **errp)
{
    Bmg *s = BMG(pci);

    if (!s->bar2_size) {
        s->bar2_size = pow2ceil(s->vram_size);
    }
    if (!s->vram_size || s->vram_size % (2 * MiB) ||
        s->bar2_size < MiB || !is_power_of_2(s->bar2_size)) {
        error_setg(errp, "bar must be a power of 2, vram a multiple of 2M");
        return;
    }
    if (pcie_endpoint_cap_init(pci, 0x78) < 0) {
        error_setg(errp, "no room for the PCIe capability");
        return;
    }
    if (msi_init(pci, 0x68, 1, true, false, errp)) {
        return;
    }
    s->regs = g_malloc0(REGS_SIZE);
    s->buf = g_malloc(BUF_SIZE);
    s->contexts = g_new0(Context, NR_CONTEXTS);
    s->tlb = g_new0(TlbEntry, TLB_SIZE);

    memory_region_init(&s->bar0, OBJECT(s), "bmg.bar0", BAR0_SIZE);
    memory_region_init_io(&s->regs_mr, OBJECT(s), &bmg_mmio_ops, s, "bmg.regs",
                          REGS_SIZE);
    memory_region_init_io(&s->doorbells, OBJECT(s), &bmg_doorbell_ops, s,
                          "bmg.doorbells", GSM_OFFSET - REGS_SIZE);
    memory_region_init_ram(&s->gsm_mr, OBJECT(s), "bmg.gsm", GSM_SIZE,
                           &error_fatal);
    memory_region_add_subregion(&s->bar0, 0, &s->regs_mr);
    memory_region_add_subregion(&s->bar0, REGS_SIZE, &s->doorbells);
    memory_region_add_subregion(&s->bar0, GSM_OFFSET, &s->gsm_mr);
    s->gsm = memory_region_get_ram_ptr(&s->gsm_mr);
    memory_region_init_ram(&s->vram_mr, OBJECT(s), "bmg.vram", s->vram_size,
                           &error_fatal);
    s->vram = memory_region_get_ram_ptr(&s->vram_mr);

    memory_region_init(&s->bar2, OBJECT(s), "bmg.bar2", s->bar2_size);
    if (s->bar2_size < s->vram_size) {
        memory_region_init_alias(&s->window, OBJECT(s), "bmg.window",
                                 &s->vram_mr, 0, s->bar2_size);
        memory_region_add_subregion(&s->bar2, 0, &s->window);
    } else {
        memory_region_add_subregion(&s->bar2, 0, &s->vram_mr);
    }
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_MEM_TYPE_64, &s->bar0);
    pci_register_bar(pci, 2, PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->bar2);

    s->run = qemu_bh_new(bmg_sched_run, s);
    s->poll = timer_new_ns(QEMU_CLOCK_VIRTUAL, bmg_sched_run, s);
}

static void bmg_exit(PCIDevice *pci)
{
    Bmg *s = BMG(pci);

    /* A region in another holds the device */
    memory_region_del_subregion(&s->bar0, &s->regs_mr);
    memory_region_del_subregion(&s->bar0, &s->doorbells);
    memory_region_del_subregion(&s->bar0, &s->gsm_mr);
    memory_region_del_subregion(&s->bar2, s->bar2_size < s->vram_size ?
                                &s->window : &s->vram_mr);
    timer_free(s->poll);
    qemu_bh_delete(s->run);
    msi_uninit(pci);
    pcie_cap_exit(pci);
    g_free(s->tlb);
    g_free(s->contexts);
    g_free(s->buf);
    g_free(s->regs);
}

static void bmg_reset(DeviceState *dev)
{
    Bmg *s = BMG(dev);

    memset(s->regs, 0, REGS_SIZE);
    timer_del(s->poll);
    bmg_guc_reset(s);
    bmg_sched_reset(s);
}

static const ModelStat stats[] = {
    { "stat-copied", offsetof(Bmg, copied) },
    { "stat-set", offsetof(Bmg, set) },
    { "stat-requests", offsetof(Bmg, requests) },
    { "stat-faults", offsetof(Bmg, faults) },
    { "stat-malformed", offsetof(Bmg, malformed) },
    { "x-fail-copies", offsetof(Bmg, fail_copies), true },
    { }
};

static void stats_init(Object *obj)
{
    model_add_stats(obj, stats);
}

static ModelProperty bmg_properties[] = {
    DEFINE_PROP_SIZE("vram", Bmg, vram_size, 1 * GiB),
    DEFINE_PROP_SIZE("bar", Bmg, bar2_size, 0),
    DEFINE_PROP_BOOL("x-tlb", Bmg, use_tlb, true),
    DEFINE_PROP_BOOL("x-deaf", Bmg, deaf, false),
    DEFINE_PROP_BOOL("x-trace", Bmg, trace, false),
    MODEL_PROPERTIES_END
};

static void bmg_class_init(ObjectClass *klass, void *data)
{
    static const VMStateDescription vmstate = {
        .name = TYPE_BMG,
        .unmigratable = 1,
    };
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    model_check_layout(TYPE_BMG, sizeof(Bmg));
    dc->desc = "Intel Battlemage virtual function without shaders";
    model_set_reset(dc, bmg_reset);
    dc->vmsd = &vmstate;
    device_class_set_props(dc, bmg_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    pc->realize = bmg_realize;
    pc->exit = bmg_exit;
    pc->vendor_id = PCI_VENDOR_ID_INTEL;
    pc->device_id = 0xe20b;
    pc->revision = 0;
    pc->class_id = PCI_CLASS_DISPLAY_OTHER;
    pc->subsystem_vendor_id = PCI_VENDOR_ID_INTEL;
    pc->subsystem_id = 0x1100;
}

static const TypeInfo bmg_info = {
    .name = TYPE_BMG,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(Bmg),
    .instance_init = stats_init,
    .class_init = bmg_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void bmg_register(void)
{
    type_register_static(&bmg_info);
}

type_init(bmg_register)
