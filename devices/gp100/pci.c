/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI function: BARs, interrupts, and what QEMU's user may set and read.
 * BAR0 has the registers. BAR1 and BAR3, which nouveau calls BAR2, are windows
 * to virtual address spaces: what is behind them the driver says with page
 * tables.
 *
 * The device does not reach itself over the bus. If an engine is told to copy
 * to a BAR of its own device, the access is ignored, and reads are all ones.
 */
#include "gp100.h"
#include "hw/pci/msi.h"
#include "hw/pci/pcie.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include <sys/mman.h>

/* --- interrupts: level inside, one message until the driver has rearmed it */

uint32_t gp100_intr_pending(Gp100 *s, int leaf)
{
    uint32_t pending = 0;

    if (leaf) {
        return 0;
    }
    if (*gp100_reg(s, 0x2100) & *gp100_reg(s, 0x2140)) {
        pending |= INTR_FIFO;
    }
    if (s->fault_intr) {
        pending |= INTR_FAULT;
    }
    if (*gp100_reg(s, 0x9100) & *gp100_reg(s, 0x9140)) {
        pending |= INTR_TIMER;
    }
    return pending;
}

void gp100_intr_update(Gp100 *s)
{
    PCIDevice *pci = PCI_DEVICE(s);
    bool level = gp100_intr_pending(s, 0) & s->intr_mask[0];

    if (!msi_enabled(pci)) {
        pci_set_irq(pci, level);
    } else if (level && !s->msi_sent) {
        s->msi_sent = true;
        msi_notify(pci, 0);
    }
}

void gp100_intr_rearm(Gp100 *s)
{
    s->msi_sent = false;
    if (s->fault_seen == s->buffered) {
        s->fault_intr = false;
    }
    gp100_intr_update(s);
}

/* --- BAR1 and BAR2 are windows to virtual address spaces */

static uint64_t window_read(Gp100 *s, uint32_t reg, int unit, hwaddr addr,
                            unsigned size)
{
    uint64_t inst, value = 0;
    Fault fault = {};

    if (s->in_dma || !gp100_bar_inst(s, reg, &inst)) {
        return ~0ULL;
    }
    if (!gp100_va_rw(s, inst, addr, &value, size, false, &fault)) {
        gp100_fault(s, unit, &fault);
        return ~0ULL;
    }
    return le64_to_cpu(value);
}

static void window_write(Gp100 *s, uint32_t reg, int unit, hwaddr addr,
                         uint64_t value, unsigned size)
{
    uint64_t inst, data = cpu_to_le64(value);
    Fault fault = {};

    if (s->in_dma || !gp100_bar_inst(s, reg, &inst)) {
        return;
    }
    if (!gp100_va_rw(s, inst, addr, &data, size, true, &fault)) {
        gp100_fault(s, unit, &fault);
    }
}

static uint64_t bar1_read(void *opaque, hwaddr addr, unsigned size)
{
    return window_read(opaque, 0x1704, UNIT_BAR1, addr, size);
}

static void bar1_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Gp100 *s = opaque;

    window_write(s, 0x1704, UNIT_BAR1, addr, value, size);
    if (size == 4 && !s->in_dma) {
        gp100_fifo_userd(s, addr, value);
    }
}

static uint64_t bar2_read(void *opaque, hwaddr addr, unsigned size)
{
    return window_read(opaque, 0x1714, UNIT_BAR2, addr, size);
}

static void bar2_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    window_write(opaque, 0x1714, UNIT_BAR2, addr, value, size);
}

static const MemoryRegionOps bar1_ops = {
    .read = bar1_read,
    .write = bar1_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

static const MemoryRegionOps bar2_ops = {
    .read = bar2_read,
    .write = bar2_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

/* --- the device */

static bool sizes_ok(Gp100 *s, Error **errp)
{
    if (!is_power_of_2(s->bar1_size) || s->bar1_size < 64 * MiB) {
        error_setg(errp, "bar1 must be a power of 2, and 64M at least");
        return false;
    }
    /* Page tables have 33 bits for an address in VRAM, by 4 KiB and less */
    if (!s->vram_size || s->vram_size % (64 * MiB) || s->vram_size > 64 * GiB) {
        error_setg(errp, "vram must be a multiple of 64M, and 64G at most");
        return false;
    }
    if (s->fault_entries < 2 || s->fault_entries > FAULT_ENTRIES) {
        error_setg(errp, "fault-entries must be from 2 to %d", FAULT_ENTRIES);
        return false;
    }
    return true;
}

static void gp100_realize(PCIDevice *pci, Error **errp)
{
    Gp100 *s = GP100(pci);
    Error *err = NULL;

    if (!sizes_ok(s, errp)) {
        return;
    }
    memory_region_init_ram(&s->vram_mr, OBJECT(s), "gp100.vram", s->vram_size,
                           &err);
    if (err) {
        error_propagate(errp, err);
        return;
    }
    s->vram = memory_region_get_ram_ptr(&s->vram_mr);
    if (pcie_endpoint_cap_init(pci, 0x78) < 0) {
        error_setg(errp, "no room for the PCIe capability");
        return;
    }
    if (msi_init(pci, 0x68, 1, true, false, errp)) {
        pcie_cap_exit(pci);
        return;
    }
    pci->config[PCI_INTERRUPT_PIN] = 1;

    memory_region_init_io(&s->bar0, OBJECT(s), &gp100_mmio_ops, s, "gp100.bar0",
                          BAR0_SIZE);
    memory_region_init_io(&s->bar1, OBJECT(s), &bar1_ops, s, "gp100.bar1",
                          s->bar1_size);
    memory_region_init_io(&s->bar2, OBJECT(s), &bar2_ops, s, "gp100.bar2",
                          BAR2_SIZE);
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->bar0);
    pci_register_bar(pci, 1, PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->bar1);
    pci_register_bar(pci, 3, PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &s->bar2);

    s->regs = mmap(NULL, BAR0_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->regs == MAP_FAILED) {
        abort(); /* as QEMU does if it has no memory */
    }
    s->alarm = timer_new_ns(QEMU_CLOCK_VIRTUAL, gp100_alarm, s);
    s->run = qemu_bh_new(gp100_fifo_run, s);
    s->poll = timer_new_ns(QEMU_CLOCK_VIRTUAL, gp100_fifo_run, s);
    gp100_vbios_make(s);
}

static void gp100_exit(PCIDevice *pci)
{
    Gp100 *s = GP100(pci);

    timer_free(s->alarm);
    timer_free(s->poll);
    qemu_bh_delete(s->run);
    msi_uninit(pci);
    pcie_cap_exit(pci);
    munmap(s->regs, BAR0_SIZE);
}

static void gp100_reset(DeviceState *dev)
{
    Gp100 *s = GP100(dev);

    s->intr_mask[0] = s->intr_mask[1] = 0;
    s->msi_sent = s->fault_intr = false;
    s->fault_seen = s->taken = s->buffered;
    s->cancel = 0;
    s->time_offset = 0;
    timer_del(s->alarm);
    gp100_tlb_invalidate(s, true);
    gp100_mmio_reset(s);
    gp100_fifo_reset(s);
}

static ModelProperty gp100_properties[] = {
    DEFINE_PROP_SIZE("vram", Gp100, vram_size, 1 * GiB),
    DEFINE_PROP_SIZE("bar1", Gp100, bar1_size, 512 * MiB),
    DEFINE_PROP_UINT32("fault-entries", Gp100, fault_entries, FAULT_ENTRIES),
    DEFINE_PROP_BOOL("x-trace", Gp100, trace, false),
    MODEL_PROPERTIES_END
};

static const ModelStat gp100_stats[] = {
    { "stat-copies", offsetof(Gp100, copies) },
    { "stat-faults", offsetof(Gp100, faults) },
    { "stat-buffered", offsetof(Gp100, buffered) },
    { "stat-overflows", offsetof(Gp100, overflows) },
    { "x-fail-copies", offsetof(Gp100, fail_copies), true },
    { "x-hang-copies", offsetof(Gp100, hang_copies), true },
    { }
};

static void gp100_init(Object *obj)
{
    model_add_stats(obj, gp100_stats);
}

static void gp100_class_init(ObjectClass *klass, void *data)
{
    static const VMStateDescription vmstate = {
        .name = TYPE_GP100,
        .unmigratable = 1,
    };
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    model_check_layout(TYPE_GP100, sizeof(Gp100));
    dc->desc = "NVIDIA GP100 without graphics";
    model_set_reset(dc, gp100_reset);
    dc->vmsd = &vmstate;
    device_class_set_props(dc, gp100_properties);
    set_bit(DEVICE_CATEGORY_MISC, dc->categories);
    pc->realize = gp100_realize;
    pc->exit = gp100_exit;
    pc->vendor_id = 0x10de;
    pc->device_id = 0x15f8;
    pc->revision = 0xa1;
    pc->class_id = PCI_CLASS_DISPLAY_3D;
    pc->subsystem_vendor_id = 0x10de;
    pc->subsystem_id = 0x118f;
}

static const TypeInfo gp100_info = {
    .name = TYPE_GP100,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(Gp100),
    .instance_init = gp100_init,
    .class_init = gp100_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void gp100_register(void)
{
    type_register_static(&gp100_info);
}

type_init(gp100_register)
