/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The FIFO: runlists, channels, and what a channel waits for. Its push buffers
 * are executed in a bottom half after the driver has written GP_PUT through
 * BAR1, until they are done or the channel has to wait: for a semaphore, for
 * the replay of a fault, or for the driver to recover it.
 *
 * Kinder than hardware: a runlist is taken and a channel preempted at once.
 */
#include "gp100.h"
#include "qemu/main-loop.h"

/* In the instance block, which the driver saves while the board sleeps */
#define RAMFC_GP_PUT    0x00
#define RAMFC_GP_GET    0x14
/* In USERD */
#define USERD_GP_PUT    0x8c

#define POLL_NS         (200 * SCALE_US)
#define STEPS           32768      /* words of a channel at a time */

uint64_t gp100_channel_inst(Gp100 *s, uint32_t chid)
{
    uint32_t reg = *gp100_reg(s, 0x800000 + chid * 8);

    return (uint64_t)gp100_bits(reg, 27, 0) << 12;
}

bool gp100_channel_bound(Gp100 *s, uint32_t chid)
{
    return *gp100_reg(s, 0x800000 + chid * 8) & 0x80000000;
}

void gp100_fifo_reset(Gp100 *s)
{
    memset(s->channels, 0, sizeof(s->channels));
    timer_del(s->poll);
    qemu_bh_cancel(s->run);
}

void gp100_fifo_intr(Gp100 *s, uint32_t bits)
{
    uint32_t *intr = gp100_reg(s, 0x2100);

    *intr |= bits;
    *intr &= ~(FIFO_RUNLIST | FIFO_MMU_FAULT);
    *intr |= *gp100_reg(s, 0x2a00) ? FIFO_RUNLIST : 0;
    *intr |= *gp100_reg(s, 0x259c) ? FIFO_MMU_FAULT : 0;
    gp100_intr_update(s);
}

/* 0x2274: take the list at 0x2270. Entries of 8 bytes: groups, and channels */
void gp100_fifo_runlist(Gp100 *s, uint32_t value)
{
    uint32_t where = *gp100_reg(s, 0x2270), runl = gp100_bits(value, 23, 20), i;
    uint64_t addr = (uint64_t)gp100_bits(where, 27, 0) << 12;
    uint32_t count = gp100_bits(value, 15, 0), e[2];

    for (i = 0; i < NR_CHANNELS; i++) {
        if (s->channels[i].runlist == runl + 1) {
            s->channels[i].runlist = 0;
        }
    }
    for (i = 0; i < count; i++) {
        if (!gp100_phys_rw(s, gp100_bits(where, 29, 28) == 0, addr + i * 8, e,
                           8, false)) {
            break;
        }
        if (!(le32_to_cpu(e[0]) & 0x2000)) {
            s->channels[le32_to_cpu(e[0]) % NR_CHANNELS].runlist = runl + 1;
        }
    }
    TRACE(s, "runlist %u: %u entries", runl, count);
    *gp100_reg(s, 0x2a00) |= 1u << runl;
    gp100_fifo_intr(s, 0);
    gp100_fifo_kick(s);
}

/* A channel's two registers: its instance block, and what is to be done */
void gp100_fifo_channel(Gp100 *s, uint32_t chid, bool control_written)
{
    Channel *ch = &s->channels[chid];
    uint64_t inst = gp100_channel_inst(s, chid);
    uint32_t *control = gp100_reg(s, 0x800004 + chid * 8);

    if (!control_written) {
        int runlist = ch->runlist;

        memset(ch, 0, sizeof(*ch));
        ch->runlist = runlist;
        *control = 0;
        if (gp100_channel_bound(s, chid)) {
            ch->gp_get = gp100_vram_rd32(s, inst + RAMFC_GP_GET);
            ch->gp_put = gp100_vram_rd32(s, inst + RAMFC_GP_PUT);
        }
        return;
    }
    if (*control & 0x400) {
        *control |= 1;
    }
    if (*control & 0x800) {
        *control &= ~1;
    }
    *control &= ~0xc00;
    ch->enabled = *control & 1;
    gp100_fifo_kick(s);
}

/* The host watches USERD, which the driver has in BAR1 at 0x2254. */
void gp100_fifo_userd(Gp100 *s, uint64_t addr, uint32_t value)
{
    uint32_t reg = *gp100_reg(s, 0x2254);
    uint64_t base = (uint64_t)gp100_bits(reg, 27, 0) << 12;
    uint32_t chid = (addr - base) / USERD_SIZE;

    if (!(reg & 0x10000000) || addr < base || chid >= NR_CHANNELS ||
        (addr - base) % USERD_SIZE != USERD_GP_PUT ||
        !gp100_channel_bound(s, chid)) {
        return;
    }
    s->channels[chid].gp_put = value;
    gp100_vram_wr32(s, gp100_channel_inst(s, chid) + RAMFC_GP_PUT, value);
    gp100_fifo_kick(s);
}

void gp100_fifo_kick(Gp100 *s)
{
    qemu_bh_schedule(s->run);
}

void gp100_fifo_replay(Gp100 *s)
{
    int i;

    for (i = 0; i < NR_CHANNELS; i++) {
        if (s->channels[i].wait == WAIT_REPLAY) {
            s->channels[i].wait = RUN;
        }
    }
    gp100_fifo_kick(s);
}

/*
 * Is the page still missing that this channel waits for, and has the driver read
 * about it? Of a fault that found the buffer full it knows nothing.
 */
static bool unresolved(Gp100 *s, const Channel *ch)
{
    return ch->wait == WAIT_REPLAY && ch->reported &&
           ch->reported <= s->taken &&
           !gp100_va_mapped(s, ch->fault.inst, ch->fault.va, ch->fault.write);
}

/*
 * 0x409b00, the context of the graphics engine. The driver gives up on a
 * channel only if it finds it here, so this has to be the one whose fault the
 * driver has just failed to resolve. It goes through the faults by instance
 * block.
 *
 * Kinder than hardware, where a fault of a channel that is switched out stays.
 */
uint32_t gp100_fifo_current(Gp100 *s)
{
    uint64_t inst = 0;
    int i;

    for (i = 0; i < NR_CHANNELS; i++) {
        const Channel *ch = &s->channels[i];

        if (unresolved(s, ch) && (!inst || ch->fault.inst < inst)) {
            inst = ch->fault.inst;
        }
    }
    s->cancel = inst ? 0x80000000 | (uint32_t)(inst >> 12) : 0;
    return s->cancel;
}

/* The driver gives up on the channel that it has last found there. */
void gp100_fifo_cancel(Gp100 *s)
{
    uint64_t inst = (uint64_t)gp100_bits(s->cancel, 27, 0) << 12;
    int i;

    for (i = 0; i < NR_CHANNELS; i++) {
        Channel *ch = &s->channels[i];

        if (ch->wait == WAIT_REPLAY && ch->fault.inst == inst) {
            ch->wait = WAIT_RECOVERY;
            ch->fault.replayable = false;
            gp100_fault(s, UNIT_CE0, &ch->fault);
        }
    }
}

/* The channel has to wait. */
Step gp100_channel_fault(Gp100 *s, Channel *ch, int unit, const Fault *fault)
{
    uint64_t buffered = s->buffered;

    ch->wait = fault->replayable ? WAIT_REPLAY : WAIT_RECOVERY;
    ch->fault = *fault;
    gp100_fault(s, unit, fault);
    ch->reported = s->buffered == buffered ? 0 : s->buffered;
    return STEP_WAIT;
}

/* Returns true if there is more to do at once. */
static bool run(Gp100 *s, uint32_t chid)
{
    Channel *ch = &s->channels[chid];
    int i;

    if (ch->wait == WAIT_SEMAPHORE || (ch->wait == HUNG && !s->hang_copies)) {
        ch->wait = RUN;
    }
    ch->turn = 0;
    for (i = 0; i < STEPS && ch->wait == RUN && ch->turn < PORTION; i++) {
        switch (gp100_pbdma_step(s, ch, chid)) {
        case STEP_WAIT:
        case STEP_IDLE:
            return false;
        case STEP_YIELD:
            return true;
        case STEP_NEXT:
            break;
        }
    }
    return ch->wait == RUN;
}

void gp100_fifo_run(void *opaque)
{
    Gp100 *s = opaque;
    bool polls = false, more = false;
    uint32_t i;

    for (i = 0; i < NR_CHANNELS; i++) {
        Channel *ch = &s->channels[i];

        if (ch->enabled && ch->runlist && gp100_channel_bound(s, i)) {
            more |= run(s, i);
            polls |= ch->wait == WAIT_SEMAPHORE || ch->wait == HUNG;
        }
    }
    if (more) {
        gp100_fifo_kick(s);
    }
    if (polls) {
        timer_mod(s->poll, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + POLL_NS);
    }
}
