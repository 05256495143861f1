/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults. Those of a space with replay go to the buffer that the driver has put
 * in BAR2's address space, and the channel waits for a replay. If the buffer is
 * full, such a fault is dropped, and comes again with the next replay. Others
 * end up in the unit's registers.
 *
 * Kinder than hardware: GP100 replays faults of its graphics engine only; this
 * one has none, and does it for the copy engine.
 */
#include "gp100.h"

#define ENTRY_SIZE      32

/* False if there is no buffer. Between GET and PUT one entry stays free. */
static bool buffer_put(Gp100 *s, int unit, const Fault *fault)
{
    uint32_t base = *gp100_reg(s, 0x2a70), put = *gp100_reg(s, 0x2a80);
    uint32_t next = (put + 1) % s->fault_entries, e[ENTRY_SIZE / 4] = {};
    uint64_t inst, time = gp100_time(s);
    uint64_t at = (uint64_t)*gp100_reg(s, 0x2a74) << 32 | (base & ~0xfff);
    Fault nested;

    if (!(base & 1) || !gp100_bar_inst(s, 0x1714, &inst)) {
        return false;
    }
    if (next == *gp100_reg(s, 0x2a7c)) {
        s->overflows++;
        return true;
    }
    stl_le_p(e + 0, fault->inst);
    stl_le_p(e + 1, fault->inst >> 32);
    stl_le_p(e + 2, fault->va & ~0xfff);
    stl_le_p(e + 3, fault->va >> 32);
    stl_le_p(e + 4, time);
    stl_le_p(e + 5, time >> 32);
    stl_le_p(e + 6, unit);
    stl_le_p(e + 7, 0x80000000 | 1 << 20 /* hub */ | fault->write << 16 |
             1 << 8 /* client CE0 */ | fault->reason);
    if (!gp100_va_rw(s, inst, at + put * ENTRY_SIZE, e, sizeof(e), true,
                     &nested)) {
        return false;
    }
    *gp100_reg(s, 0x2a80) = next;
    s->buffered++;
    s->fault_intr = true;
    gp100_intr_update(s);
    return true;
}

void gp100_fault(Gp100 *s, int unit, const Fault *fault)
{
    uint32_t at = 0x2800 + unit * 0x10;

    TRACE(s, "fault unit %02x inst %" PRIx64 " va %" PRIx64
          " %s reason %d%s", unit, fault->inst, fault->va,
          fault->write ? "write" : "read", fault->reason,
          fault->replayable ? " replayable" : "");
    s->faults++;
    if (fault->replayable && buffer_put(s, unit, fault)) {
        return;
    }
    *gp100_reg(s, at + 0x0) = fault->inst >> 12;
    *gp100_reg(s, at + 0x4) = fault->va;
    *gp100_reg(s, at + 0x8) = fault->va >> 32;
    *gp100_reg(s, at + 0xc) = 1 << 20 | fault->write << 16 | 1 << 8 |
                              fault->reason;
    *gp100_reg(s, 0x259c) |= 1u << unit;
    gp100_fifo_intr(s, 0);
}

/* GET is the driver's; a number that is no entry would never meet PUT */
void gp100_fault_get(Gp100 *s, uint32_t value)
{
    uint32_t put = *gp100_reg(s, 0x2a80);

    value %= s->fault_entries;
    *gp100_reg(s, 0x2a7c) = value;
    s->taken = s->buffered -
               (put + s->fault_entries - value) % s->fault_entries;
    if (value == put) {
        s->fault_intr = false;
    }
    gp100_intr_update(s);
}
