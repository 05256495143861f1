/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BAR0: a register file, and the registers that do something */
#include "bmg.h"

#define VF_CAP                  0x1901f8
#define GUC_HOST_INTERRUPT      0x1901f0
#define MED_GUC_HOST_INTERRUPT  0x190304

/* Ticks of the GPU's clock, 19.2 MHz */
uint64_t bmg_time(void)
{
    return muldiv64(qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), 19200,
                    1000 * 1000);
}

static uint64_t mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    Bmg *s = opaque;
    uint32_t value = *bmg_reg(s, addr);

    if (addr == VF_CAP) {
        return 1;
    }
    TRACE(s, "rd %06" HWADDR_PRIx " %08x", addr, value);
    return value;
}

static void mmio_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Bmg *s = opaque;

    if (addr != VF_CAP) {
        TRACE(s, "wr %06" HWADDR_PRIx " %08" PRIx64, addr, value);
    }
    switch (addr) {
    case VF_CAP:                /* written as a barrier */
        return;
    case GUC_HOST_INTERRUPT:
        bmg_guc_notify(s, &s->guc[0]);
        return;
    case MED_GUC_HOST_INTERRUPT:
        bmg_guc_notify(s, &s->guc[1]);
        return;
    }
    *bmg_reg(s, addr) = value;
}

const MemoryRegionOps bmg_mmio_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

/* Doorbells that are not set up: a process may map the last one as a barrier */
static uint64_t doorbell_read(void *opaque, hwaddr addr, unsigned size)
{
    return 0xdeadbeef;
}

static void doorbell_write(void *opaque, hwaddr addr, uint64_t value,
                           unsigned size)
{
}

const MemoryRegionOps bmg_doorbell_ops = {
    .read = doorbell_read,
    .write = doorbell_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};
