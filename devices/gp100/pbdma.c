/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PBDMA: fetches GPFIFO entries and push buffers, and executes methods:
 * those of the host here, others in the copy engine. A step is one entry or one
 * word. A word that has to wait is executed again.
 */
#include "gp100.h"

/* In the instance block */
#define RAMFC_USERD     0x08
#define RAMFC_GP_GET    0x14
#define RAMFC_GP_BASE   0x48       /* and the log of its size in the next */
/* In USERD */
#define USERD_GP_GET    0x88

/* Methods of the host */
#define SEMAPHORE_A     0x10
#define SEMAPHORE_D     0x1c
#define NON_STALL_INTERRUPT 0x20
#define HOST_METHODS    0x100
/* A method of the copy engine */
#define LAUNCH_DMA      0x300

static Step semaphore(Gp100 *s, Channel *ch, uint64_t inst)
{
    uint64_t va = (uint64_t)(ch->sem[0] & 0xff) << 32 | (ch->sem[1] & ~3);
    uint32_t op = ch->sem[3] & 0xf, payload = ch->sem[2], now;
    Fault fault;
    bool ok;

    if (op == 2) {
        uint64_t release[2] = { cpu_to_le64(payload),
                                cpu_to_le64(gp100_time(s)) };

        if (gp100_va_rw(s, inst, va, release, ch->sem[3] & 1 << 24 ? 4 : 16,
                        true, &fault)) {
            return STEP_NEXT;
        }
        return gp100_channel_fault(s, ch, UNIT_HOST0, &fault);
    }
    if (!gp100_va_rw(s, inst, va, &now, 4, false, &fault)) {
        return gp100_channel_fault(s, ch, UNIT_HOST0, &fault);
    }
    now = le32_to_cpu(now);
    switch (op) {
    case 1:
        ok = now == payload;
        break;
    case 4:
        ok = (int32_t)(now - payload) >= 0;
        break;
    case 8:
        ok = now & payload;
        break;
    default:
        return STEP_NEXT;
    }
    if (ok) {
        return STEP_NEXT;
    }
    ch->wait = WAIT_SEMAPHORE;
    return STEP_WAIT;
}

static Step method(Gp100 *s, Channel *ch, uint32_t chid, uint32_t mthd,
                   uint32_t value)
{
    uint64_t inst = gp100_channel_inst(s, chid);

    if (mthd < HOST_METHODS) {
        switch (mthd) {
        case SEMAPHORE_A ... SEMAPHORE_D:
            ch->sem[(mthd - SEMAPHORE_A) / 4] = value;
            return mthd == SEMAPHORE_D ? semaphore(s, ch, inst) : STEP_NEXT;
        case NON_STALL_INTERRUPT:
            gp100_fifo_intr(s, FIFO_NONSTALL);
            break;
        }
        return STEP_NEXT; /* SET_OBJECT: there is one engine and class */
    }
    ch->ce[mthd / 4 % CE_METHODS] = value;
    return mthd == LAUNCH_DMA ? gp100_ce_launch(s, ch, inst) : STEP_NEXT;
}

static void header(Channel *ch, uint32_t word)
{
    ch->subc = gp100_bits(word, 15, 13);
    ch->mthd = gp100_bits(word, 11, 0) << 2;
    ch->count = gp100_bits(word, 28, 16);
    ch->increment = ch->increment_once = false;
    switch (word >> 29) {
    case 0: /* the old form; 0 does nothing */
        ch->mthd = word & 0x1ffc;
        ch->count = gp100_bits(word, 28, 18);
        ch->increment = true;
        break;
    case 1:
        ch->increment = true;
        break;
    case 3:
        break;
    case 5:
        ch->increment = ch->increment_once = true;
        break;
    case 7:
        ch->pb_left = ch->count = 0;
        break;
    default:
        ch->count = 0;
        break;
    }
}

static Step word(Gp100 *s, Channel *ch, uint32_t chid, uint32_t value)
{
    Step step;

    if (!ch->count) {
        if (value >> 29 == 4) {
            return method(s, ch, chid, gp100_bits(value, 11, 0) << 2,
                          gp100_bits(value, 28, 16));
        }
        header(ch, value);
        return STEP_NEXT;
    }
    step = method(s, ch, chid, ch->mthd, value);
    if (step != STEP_NEXT) {
        return step;
    }
    ch->count--;
    if (ch->increment) {
        ch->mthd += 4;
    }
    if (ch->increment_once) {
        ch->increment = ch->increment_once = false;
    }
    return STEP_NEXT;
}

static Step next_entry(Gp100 *s, Channel *ch, uint32_t chid)
{
    uint64_t inst = gp100_channel_inst(s, chid), userd, entry;
    uint32_t size = gp100_vram_rd32(s, inst + RAMFC_GP_BASE + 4);
    uint64_t base = (uint64_t)(size & 0xff) << 32 |
                    gp100_vram_rd32(s, inst + RAMFC_GP_BASE);
    uint32_t mask = (1u << gp100_bits(size, 20, 16)) - 1;
    Fault fault;

    ch->gp_get &= mask;
    if (ch->gp_get == (ch->gp_put & mask)) {
        return STEP_IDLE;
    }
    if (!gp100_va_rw(s, inst, base + (uint64_t)ch->gp_get * 8, &entry, 8, false,
                     &fault)) {
        fault.replayable = false;
        return gp100_channel_fault(s, ch, UNIT_HOST0, &fault);
    }
    entry = le64_to_cpu(entry);
    ch->pb = gp100_bits(entry, 39, 2) << 2;
    ch->pb_left = gp100_bits(entry, 62, 42);
    ch->gp_get = (ch->gp_get + 1) & mask;
    gp100_vram_wr32(s, inst + RAMFC_GP_GET, ch->gp_get);
    userd = (uint64_t)gp100_vram_rd32(s, inst + RAMFC_USERD + 4) << 32 |
            (gp100_vram_rd32(s, inst + RAMFC_USERD) & ~0x1ff);
    gp100_vram_wr32(s, userd + USERD_GP_GET, ch->gp_get);
    return STEP_NEXT;
}

Step gp100_pbdma_step(Gp100 *s, Channel *ch, uint32_t chid)
{
    uint32_t value;
    Fault fault;
    Step step;

    if (!ch->pb_left) {
        return next_entry(s, ch, chid);
    }
    if (!gp100_va_rw(s, gp100_channel_inst(s, chid), ch->pb, &value, 4, false,
                     &fault)) {
        fault.replayable = false;
        return gp100_channel_fault(s, ch, UNIT_HOST0, &fault);
    }
    step = word(s, ch, chid, le32_to_cpu(value));
    if (step == STEP_NEXT) {
        ch->pb += 4;
        if (ch->pb_left) {
            ch->pb_left--;
        }
    }
    return step;
}
