/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contexts: registered, on, off; which engine runs what. A context runs until
 * its ring is empty, it waits for a semaphore, or its turn is over. All take
 * turns, so there are no priorities, and nothing is preempted in a command.
 */
#include "bmg.h"

#define FAULT_FAILED    (1 << 1)        /* in its answer */

/* Copy engine 8 is the one that xe keeps for itself: second of its class */
static const Engine engines[] = {
    { "rcs0", 0, 0, 0x002000, 0 },
    { "bcs0", 3, 0, 0x022000, 15 },
    { "bcs8", 3, 1, 0x3ee000, 23 },
    { "ccs0", 4, 0, 0x01a000, 4 },
};

static Context *context(Bmg *s, uint32_t id)
{
    return id < NR_CONTEXTS && s->contexts[id].registered ? &s->contexts[id] :
           NULL;
}

void bmg_sched_reset(Bmg *s)
{
    memset(s->contexts, 0, NR_CONTEXTS * sizeof(*s->contexts));
    memset(&s->fault, 0, sizeof(s->fault));
    s->top = s->next = 0;
    bmg_tlb_flush(s);
}

/* msg: action, flags, id, class, mask, work queue (5), LRC (2) */
void bmg_sched_register(Bmg *s, const uint32_t *msg, uint32_t len)
{
    Context *c;
    int i;

    if (len < 12 || msg[2] >= NR_CONTEXTS) {
        WARN(s, "registration of context %u, %u dwords", msg[2], len);
        return;
    }
    c = &s->contexts[msg[2]];
    memset(c, 0, sizeof(*c));
    for (i = 0; i < ARRAY_SIZE(engines); i++) {
        if (engines[i].class == msg[3] && (msg[4] & 1 << engines[i].logical)) {
            c->engine = &engines[i];
            break;
        }
    }
    if (!c->engine) {
        WARN(s, "no engine of class %u, mask %x", msg[3], msg[4]);
        return;
    }
    c->lrc = msg[10] & 0xfffff000;
    c->registered = true;
    s->top = MAX(s->top, msg[2] + 1);
    TRACE(s, "context %u: %s, lrc %" PRIx64 "", msg[2], c->engine->name,
          c->lrc);
}

bool bmg_sched_deregister(Bmg *s, uint32_t id)
{
    Context *c = context(s, id);

    if (!c) {
        return false;
    }
    c->registered = c->enabled = false;
    return true;
}

bool bmg_sched_mode(Bmg *s, uint32_t id, bool enable)
{
    Context *c = context(s, id);

    if (!c) {
        return false;
    }
    c->enabled = enable;
    c->loaded = false;
    bmg_sched_kick(s);
    return true;
}

void bmg_sched_kick(Bmg *s)
{
    qemu_bh_schedule(s->run);
}

/* The TLB knows page directories, the driver address spaces */
void bmg_sched_tlb_flush(Bmg *s, uint32_t asid, uint64_t va, uint64_t len)
{
    uint64_t last = 0;
    uint32_t i;

    for (i = 0; i < s->top; i++) {
        Context *c = &s->contexts[i];

        if (c->root && c->asid == asid && c->root != last) {
            bmg_tlb_flush_range(s, c->root, va, len);
            last = c->root;
        }
    }
}

/* The context is lost: an error that is the context's own, and its reset */
void bmg_sched_stop(Bmg *s, Context *c)
{
    uint32_t id = c - s->contexts;

    c->enabled = c->faulted = c->waiting = false;
    bmg_g2h_event(s, &s->guc[0], XE_GUC_ACTION_NOTIFY_MEMORY_CAT_ERROR, &id, 1);
    bmg_g2h_event(s, &s->guc[0], XE_GUC_ACTION_CONTEXT_RESET_NOTIFICATION, &id,
                  1);
}

/* A page fault: its number, that the answer has, is the context's */
void bmg_sched_fault(Bmg *s, Context *c)
{
    uint32_t id = c - s->contexts;
    Fault *f = &s->fault;
    uint32_t desc[4] = {
        f->level | (uint32_t)c->engine->class << 25 | (id & 15) << 28,
        id >> 4 | c->asid << 12,
        f->access | f->type << 2 | (f->va & 0xfffff000),
        f->va >> 32,
    };

    TRACE(s, "context %u: fault at %" PRIx64 ", level %u, type %u, access %u",
          id, f->va, f->level, f->type, f->access);
    f->pending = false;
    c->faulted = true;
    s->faults++;
    bmg_g2h_event(s, &s->guc[0], XE_GUC_ACTION_REPORT_PAGE_FAULT_REQ_DESC, desc,
                  4);
}

/* msg: action; valid, failed, ASID; number of the fault in the upper half */
void bmg_sched_fault_answer(Bmg *s, const uint32_t *msg)
{
    Context *c = context(s, msg[2] >> 16);

    if (!c || !c->faulted) {
        return;
    }
    c->faulted = false;
    if (msg[1] & FAULT_FAILED) {
        bmg_sched_stop(s, c);
    } else {
        bmg_sched_kick(s);
    }
}

void bmg_sched_run(void *opaque)
{
    Bmg *s = opaque;
    bool waiting = false;
    uint32_t i;

    if (s->busy) {
        return;
    }
    s->busy = true;
    bmg_guc_run(s);
    s->budget = TURN_BUDGET;
    for (i = 0; i < s->top; i++) {
        Context *c = &s->contexts[(s->next + i) % s->top];

        if (c->enabled && !c->faulted) {
            if (s->budget <= 0) {
                waiting = true;
                break;
            }
            bmg_cs_run(s, c);
            waiting |= c->waiting;
        }
    }
    s->next = s->top ? (s->next + i) % s->top : 0;
    s->busy = false;
    if (waiting) {
        timer_mod(s->poll, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) +
                  100 * SCALE_US);
    }
}
