/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BAR0: a register file that reads as it was written, with the values that
 * nouveau must find and the few registers that do something.
 */
#include "gp100.h"
#include <sys/mman.h>

static const struct { uint32_t reg, value; } after_reset[] = {
    { 0x000000, 0x130000a1 }, /* GP100, revision a1 */
    { 0x101000, 0x00400040 }, /* straps: crystal of 25 MHz, memory 0 */
    { 0x02240c, 0x00000002 }, /* the firmware has initialised the board */
    { 0x021c04, 0x00000001 }, /* fuses: no display */
    /* memory: one partition with one L2 slice; its size is in 0x90020c */
    { 0x022438, 1 }, { 0x022450, 1 }, { 0x022458, 1 },
    { 0x12006c, 1 }, { 0x17e280, 1 << 28 },
    /* FIFO: two PBDMAs, for runlist 0 and for runlist 1 */
    { 0x002004, 2 }, { 0x002008, NR_CHANNELS },
    { 0x002390, 1 }, { 0x002394, 2 },
    /*
     * Topology: a logical copy engine, engine 0 on runlist 0, interrupt 5,
     * reset 6; instance 0, its fault unit, registers at 0x104000. The graphics
     * engine is there by name only: engine 1 on runlist 1, interrupt 12, reset
     * 12. Without one nouveau lets no user have a channel.
     */
    { 0x022700, 0x80000000 | 0x13 << 2 | 3 },
    { 0x022704, 0x80000000 | 0 << 26 | 0x20 | 0 << 21 | 0x10 | 5 << 15 | 8 |
                6 << 9 | 4 | 2 },
    { 0x022708, 0 << 26 | 0x104000 | UNIT_CE0 << 3 | 4 | 1 },
    { 0x02270c, 0x80000000 | 0x00 << 2 | 3 },
    { 0x022710, 0x80000000 | 1 << 26 | 0x20 | 1 << 21 | 0x10 | 12 << 15 | 8 |
                12 << 9 | 4 | 2 },
    { 0x022714, 0 << 26 | 0x400000 | UNIT_GR << 3 | 4 | 1 },
};

void gp100_mmio_reset(Gp100 *s)
{
    int i;

    /* Zeroes, and costs nothing for those that nobody has written to */
    madvise(s->regs, BAR0_SIZE, MADV_DONTNEED);
    for (i = 0; i < ARRAY_SIZE(after_reset); i++) {
        *gp100_reg(s, after_reset[i].reg) = after_reset[i].value;
    }
    *gp100_reg(s, 0x90020c) = s->vram_size / MiB;
    *gp100_reg(s, 0x002a78) = s->fault_entries;
}

/* --- the timer */

uint64_t gp100_time(Gp100 *s)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + s->time_offset;
}

void gp100_alarm(void *opaque)
{
    Gp100 *s = opaque;

    *gp100_reg(s, 0x9100) |= 1;
    gp100_intr_update(s);
}

static void alarm_set(Gp100 *s, uint32_t when)
{
    uint32_t ns = when - (uint32_t)gp100_time(s);

    timer_mod(s->alarm, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + ns);
}

/* --- registers */

static uint64_t pramin(Gp100 *s, uint32_t addr)
{
    return ((uint64_t)*gp100_reg(s, 0x1700) << 16) + (addr & 0xfffff);
}

static uint32_t reg_read(Gp100 *s, uint32_t addr)
{
    uint32_t value = *gp100_reg(s, addr);

    switch (addr) {
    case 0x000100:
        s->fault_seen = s->buffered;
        return gp100_intr_pending(s, 0);
    case 0x000104:
        return gp100_intr_pending(s, 1);
    case 0x000140:
    case 0x000144:
        return s->intr_mask[(addr - 0x140) / 4];
    case 0x009400:
        return gp100_time(s);
    case 0x009410:
        return gp100_time(s) >> 32;
    case 0x001710: /* BAR1 and BAR2 are bound at once */
    case 0x070000: /* flushes are done at once */
    case 0x070004:
    case 0x070010:
        return 0;
    case 0x100c80: /* invalidations are done at once */
        return value | 0x00ff8000;
    case PROM ... PROM + PROM_SIZE - 1:
        return ldl_le_p(s->prom + (addr - PROM));
    case 0x409b00:
        return gp100_fifo_current(s);
    case 0x700000 ... 0x7fffff:
        return gp100_vram_rd32(s, pramin(s, addr));
    }
    return value;
}

static void reg_write(Gp100 *s, uint32_t addr, uint32_t value)
{
    uint32_t *reg = gp100_reg(s, addr);

    switch (addr) {
    case 0x000000:
    case 0x000004: /* little endian for ever */
    case 0x002a78: /* the fault buffer's size and PUT are not the driver's */
    case 0x002a80:
        return;
    case 0x000160:
    case 0x000164:
        s->intr_mask[(addr - 0x160) / 4] |= value;
        gp100_intr_update(s);
        return;
    case 0x000180:
    case 0x000184:
        s->intr_mask[(addr - 0x180) / 4] &= ~value;
        gp100_intr_update(s);
        return;
    case 0x002100:
        *reg &= ~value;
        gp100_fifo_intr(s, 0);
        return;
    case 0x00259c: /* units with an MMU fault */
    case 0x002a00: /* runlists that were committed */
        *reg &= ~value;
        gp100_fifo_intr(s, 0);
        return;
    case 0x002140:
        *reg = value;
        gp100_fifo_intr(s, 0);
        return;
    case 0x002274:
        *reg = value;
        gp100_fifo_runlist(s, value);
        return;
    case 0x002634: /* preempted at once: nothing runs by itself */
        return;
    case 0x002a7c:
        gp100_fault_get(s, value);
        return;
    case 0x009100:
        *reg &= ~value;
        gp100_intr_update(s);
        return;
    case 0x009140:
        *reg = value;
        gp100_intr_update(s);
        return;
    case 0x009400:
        s->time_offset += ((uint64_t)*gp100_reg(s, 0x9410) << 32 | value) -
                          gp100_time(s);
        return;
    case 0x009420:
        *reg = value;
        alarm_set(s, value);
        return;
    case 0x088704:
        gp100_intr_rearm(s);
        return;
    case 0x001704: /* BAR1 and BAR2 get a space */
    case 0x001714:
        *reg = value;
        gp100_tlb_invalidate(s, true);
        return;
    case 0x100cbc:
        gp100_tlb_invalidate(s, value & 2);
        if (gp100_bits(value, 5, 3) == 3) {
            gp100_fifo_cancel(s);
        } else if (gp100_bits(value, 5, 3)) {
            gp100_fifo_replay(s);
        }
        return;
    case 0x409504: /* requests to stop and start context switches */
        *gp100_reg(s, 0x409804) = 1;
        return;
    case 0x700000 ... 0x7fffff:
        gp100_vram_wr32(s, pramin(s, addr), value);
        return;
    case 0x800000 ... 0x800000 + NR_CHANNELS * 8 - 1:
        *reg = value;
        gp100_fifo_channel(s, (addr - 0x800000) / 8, addr & 4);
        return;
    }
    *reg = value;
}

static uint64_t mmio_read(void *opaque, hwaddr addr, unsigned size)
{
    Gp100 *s = opaque;
    uint32_t value;

    if (s->in_dma) {
        return ~0ULL;
    }
    value = reg_read(s, addr & ~3);
    TRACE(s, "r %06x %08x", (int)addr, value);
    return extract64(value, (addr & 3) * 8, size * 8);
}

static void mmio_write(void *opaque, hwaddr addr, uint64_t value, unsigned size)
{
    Gp100 *s = opaque;

    if (s->in_dma) {
        return;
    }
    TRACE(s, "w %06x %08x", (int)addr, (int)value);
    if (size < 4) {
        value = deposit32(*gp100_reg(s, addr & ~3), (addr & 3) * 8, size * 8,
                          value);
    }
    reg_write(s, addr & ~3, value);
}

const MemoryRegionOps gp100_mmio_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 4 },
    .impl = { .min_access_size = 1, .max_access_size = 4 },
};
