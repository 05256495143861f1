/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command streamer: fetches commands from a context's ring and its batches, and
 * remembers in the context where it stopped.
 */
#include "bmg.h"

/* Dwords of the context's image, which is a page behind the LRC's address */
#define IMAGE           4096
#define RING_HEAD       0x05
#define RING_TAIL       0x07
#define RING_START      0x09
#define RING_CTL        0x0b
#define TIMESTAMP       0x23
#define TIMESTAMP_UDW   0x25
#define ASID            0x2f
#define PDP0_UDW        0x31
#define PDP0_LDW        0x33

#define MAX_DW  1024                    /* of a command */
#define PAD_DW  16                      /* zeroes behind it: none reads more */

uint32_t bmg_image_rd(Bmg *s, Context *c, uint32_t index)
{
    return bmg_ggtt_rd32(s, c->lrc + IMAGE + index * 4);
}

static void image_wr(Bmg *s, Context *c, uint32_t index, uint32_t value)
{
    bmg_ggtt_wr32(s, c->lrc + IMAGE + index * 4, value);
}

bool bmg_cs_rw(Bmg *s, Context *c, bool ggtt, uint64_t addr, void *buf,
               uint64_t len, bool write)
{
    return ggtt ? bmg_ggtt_rw(s, addr, buf, len, write) :
           bmg_va_rw(s, c->root, addr & MAKE_64BIT_MASK(0, 48), buf, len,
                     write);
}

static uint64_t address(const uint32_t *dw)
{
    return dw[0] | (uint64_t)dw[1] << 32;
}

static uint32_t length(uint32_t dw)
{
    switch (dw >> 29) {
    case 0:
        if ((dw >> 23 & 0x3f) < 0x10) {
            return 1;
        }
        if ((dw >> 23 & 0x3f) == MI_STORE_DATA_IMM) {
            return (dw & 0x3ff) + 2;
        }
        if ((dw >> 23 & 0x3f) == MI_FLUSH_DW) {
            return (dw & 0x3f) + 2;
        }
        return (dw & 0xff) + 2;
    case 3:
        if ((dw >> 27 & 3) == 1) {      /* single dword */
            return 1;
        }
        if ((dw >> 16 & 0x1fff) == 0x1917) {    /* 3DSTATE_SO_DECL_LIST */
            return (dw & 0x1ff) + 2;
        }
        return (dw & 0xff) + 2;
    }
    return (dw & 0xff) + 2;
}

static Result pipe_control(Bmg *s, Context *c, const uint32_t *dw)
{
    if (dw[1] & 1 << 18) {
        bmg_tlb_flush_root(s, c->root);
    }
    if ((dw[1] >> 14 & 3) == 1) {       /* write immediate data */
        uint64_t addr = address(dw + 2) & ~7ULL;
        bool ggtt = dw[1] & 1 << 24;

        if (dw[1] & 1 << 21) {          /* in the status page */
            addr = c->lrc + (dw[2] & 0xff8);
            ggtt = true;
        }
        return bmg_cs_rw(s, c, ggtt, addr, (void *)(dw + 4), 8, true) ?
               NEXT : STOP;
    }
    return NEXT;
}

static Result command(Bmg *s, Context *c, const uint32_t *dw, uint32_t len)
{
    switch (dw[0] >> 29) {
    case 0:
        return bmg_mi(s, c, dw, len);
    case 2:
        return bmg_blt(s, c, dw, len);
    case 3:
        if (dw[0] >> 16 == 0x7a00) {
            return pipe_control(s, c, dw);
        }
        return NEXT;
    }
    WARN(s, "command %08x", dw[0]);
    return NEXT;
}

static bool fetch(Bmg *s, Context *c, uint64_t ring, uint32_t size,
                  uint64_t pc, uint32_t *dw, uint32_t count)
{
    uint32_t i;

    if (!c->level) {
        for (i = 0; i < count; i++) {
            dw[i] = bmg_ggtt_rd32(s, ring + (pc + i * 4) % size);
        }
        return true;
    }
    if (!bmg_cs_rw(s, c, !c->ppgtt, pc, dw, count * 4, false)) {
        return false;
    }
    for (i = 0; i < count; i++) {
        le32_to_cpus(&dw[i]);
    }
    return true;
}

/* One command, at c->pc: of the ring, whose head is @head, or of a batch */
static Result step(Bmg *s, Context *c, uint64_t ring, uint32_t size,
                   uint32_t head)
{
    uint32_t dw[MAX_DW + PAD_DW], len;
    uint64_t at = c->pc;
    Result r;

    if (!fetch(s, c, ring, size, at, dw, 1)) {
        return STOP;
    }
    len = length(dw[0]);
    if (len > MAX_DW) {
        WARN(s, "command %08x of %u dwords", dw[0], len);
        return STOP;
    }
    if (len > 1 && !fetch(s, c, ring, size, at, dw, len)) {
        return STOP;
    }
    memset(dw + len, 0, PAD_DW * sizeof(*dw));
    if (!c->level) {
        /* a batch returns to the command behind its start */
        c->ret[0] = (head + len * 4) % size;
    }
    r = command(s, c, dw, len);
    if (r == NEXT) {
        c->pc = at + len * 4;
    } else if (r == STOP && !s->fault.pending) {
        WARN(s, "%s: command %08x at %" PRIx64 " failed", c->engine->name,
             dw[0], at);
    }
    return r;
}

void bmg_cs_run(Bmg *s, Context *c)
{
    uint32_t ctl = bmg_image_rd(s, c, RING_CTL);
    uint32_t size = (ctl & 0x1ff000) + 4096;
    uint64_t ring = bmg_image_rd(s, c, RING_START) & 0xfffff000;
    uint32_t head = bmg_image_rd(s, c, RING_HEAD) & 0x1ffffc;
    Result r = NEXT;

    c->root = ((uint64_t)bmg_image_rd(s, c, PDP0_UDW) << 32 |
               bmg_image_rd(s, c, PDP0_LDW)) & MAKE_64BIT_MASK(12, 40);
    c->asid = bmg_image_rd(s, c, ASID);
    /* xe counts on it when it binds again after preemption */
    if (!c->loaded) {
        bmg_tlb_flush_root(s, c->root);
        c->loaded = true;
    }
    s->slice = TURN_SLICE;
    while (r == NEXT || r == JUMP) {
        if (!c->level) {
            if (head == (bmg_image_rd(s, c, RING_TAIL) & 0x1ffff8)) {
                break;
            }
            c->pc = head;
        }
        if (s->slice <= 0) {    /* endless, maybe */
            r = WAIT;
            break;
        }
        bmg_pay(s, COST);
        r = step(s, c, ring, size, head);
        if (!c->level && (r == NEXT || r == JUMP)) {
            head = c->pc % size;
            image_wr(s, c, RING_HEAD, head);
        }
    }
    c->waiting = r == WAIT;
    if (r == STOP && s->fault.pending && c->asid) {
        bmg_sched_fault(s, c);
    } else if (r == STOP) {
        WARN(s, "%s: context at %" PRIx64 " stopped, head %x, level %d, pc %"
             PRIx64 "%s %" PRIx64 "", c->engine->name, c->lrc, head, c->level,
             c->pc, s->fault.pending ? ", fault at" : ", last fault",
             s->fault.va);
        s->fault.pending = false;
        bmg_sched_stop(s, c);
    }
    image_wr(s, c, TIMESTAMP, bmg_time());
    image_wr(s, c, TIMESTAMP_UDW, bmg_time() >> 32);
}
