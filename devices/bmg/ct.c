/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GuC's command buffers, and the requests in them */
#include "bmg.h"

/* A buffer's descriptor: head, tail and status; in dwords */
#define HEAD    0
#define TAIL    4

#define GUC2HOST        15      /* its byte in the GuC's status vector */
#define TURN            256     /* messages, then others run */

static void g2h(Bmg *s, Guc *g, uint32_t fence, const uint32_t *hxg,
                uint32_t len)
{
    uint32_t size = MIN(g->g2h_size, CT_SIZE_MAX) / 4, tail, head, i;

    if (!size || !g->ct_on) {
        return;
    }
    tail = bmg_ggtt_rd32(s, g->g2h_desc + TAIL) % size;
    head = bmg_ggtt_rd32(s, g->g2h_desc + HEAD) % size;
    if ((head + size - tail - 1) % size < len + 1) {
        WARN(s, "no room for a message to the host");
        return;
    }
    bmg_ggtt_wr32(s, g->g2h + tail * 4, fence << 16 | len);
    for (i = 0; i < len; i++) {
        tail = (tail + 1) % size;
        bmg_ggtt_wr32(s, g->g2h + tail * 4, hxg[i]);
    }
    smp_wmb();
    bmg_ggtt_wr32(s, g->g2h_desc + TAIL, (tail + 1) % size);
    TRACE(s, "g2h %08x %08x %08x", hxg[0], len > 1 ? hxg[1] : 0,
          len > 2 ? hxg[2] : 0);

    bmg_ggtt_wr8(s, g->irq_status + GUC2HOST, 0xff);
    bmg_ggtt_wr8(s, g->irq_source, 0xff);
    bmg_msi(s);
}

void bmg_g2h_event(Bmg *s, Guc *g, uint32_t action, const uint32_t *data,
                   uint32_t len)
{
    uint32_t hxg[CT_MAX] = { HXG_GUC | HXG(EVENT) | action };

    assert(len < CT_MAX);
    memcpy(hxg + 1, data, len * 4);
    g2h(s, g, 0, hxg, len + 1);
}

static void respond(Bmg *s, Guc *g, uint32_t fence, uint32_t type,
                    uint32_t data)
{
    uint32_t hxg = HXG_GUC | type | data;

    g2h(s, g, fence, &hxg, 1);
}

static void tlb_invalidation(Bmg *s, const uint32_t *m, uint32_t len)
{
    uint32_t type = m[2] & 0xff;

    if (s->deaf || type == XE_GUC_TLB_INVAL_GUC) {
        return;
    }
    /* ASID, address, and the logarithm of a number of pages */
    if (type == XE_GUC_TLB_INVAL_PAGE_SELECTIVE && len >= 7 && m[6] < 36) {
        bmg_sched_tlb_flush(s, m[3], m[4] | (uint64_t)m[5] << 32,
                            4096ULL << m[6]);
    } else {
        bmg_tlb_flush(s);
    }
}

/*
 * False: the request is bad. What a short message does not have is zero.
 */
static bool request(Bmg *s, Guc *g, const uint32_t *m, uint32_t len)
{
    uint32_t data[CT_MAX], n;

    switch (HXG_ACTION(m[0])) {
    case XE_GUC_ACTION_UPDATE_SCHEDULING_POLICIES_KLV:
    case XE_GUC_ACTION_SET_CONTEXT_PRIORITY:
    case XE_GUC_ACTION_SET_CONTEXT_EXECUTION_QUANTUM:
    case XE_GUC_ACTION_SET_CONTEXT_PREEMPTION_TIMEOUT:
    case XE_GUC_ACTION_HOST2GUC_UPDATE_CONTEXT_POLICIES:
    case XE_GUC_ACTION_OPT_IN_FEATURE_KLV:
        return true;
    case XE_GUC_ACTION_REGISTER_CONTEXT:
        bmg_sched_register(s, m, len);
        return true;
    case XE_GUC_ACTION_DEREGISTER_CONTEXT:
        if (!bmg_sched_deregister(s, m[1])) {
            return false;
        }
        data[0] = m[1];
        bmg_g2h_event(s, g, XE_GUC_ACTION_DEREGISTER_CONTEXT_DONE, data, 1);
        return true;
    case XE_GUC_ACTION_SCHED_CONTEXT:
        bmg_sched_kick(s);
        return true;
    case XE_GUC_ACTION_SCHED_CONTEXT_MODE_SET:
        if (!bmg_sched_mode(s, m[1], m[2])) {
            return false;
        }
        data[0] = m[1];
        data[1] = m[2];
        bmg_g2h_event(s, g, XE_GUC_ACTION_SCHED_CONTEXT_MODE_DONE, data, 2);
        return true;
    case XE_GUC_ACTION_VF2GUC_RELAY_TO_PF:
        data[0] = m[1];
        n = len > 2 ? bmg_pf_request(s, m + 2, len - 2, data + 1) : 0;
        if (n) {
            bmg_g2h_event(s, g, XE_GUC_ACTION_GUC2VF_RELAY_FROM_PF, data,
                          n + 1);
        }
        return true;
    case XE_GUC_ACTION_PAGE_FAULT_RES_DESC:
        bmg_sched_fault_answer(s, m);
        return true;
    case XE_GUC_ACTION_TLB_INVALIDATION:
        tlb_invalidation(s, m, len);
        data[0] = m[1];
        bmg_g2h_event(s, g, XE_GUC_ACTION_TLB_INVALIDATION_DONE, data, 1);
        return true;
    case XE_GUC_ACTION_TLB_INVALIDATION_ALL:
        if (!s->deaf) {
            bmg_tlb_flush(s);
        }
        data[0] = m[1];
        bmg_g2h_event(s, g, XE_GUC_ACTION_TLB_INVALIDATION_DONE, data, 1);
        return true;
    }
    return false;
}

static void handle(Bmg *s, Guc *g, uint32_t fence, const uint32_t *m,
                   uint32_t len)
{
    bool good = request(s, g, m, len);

    s->requests++;
    TRACE(s, "h2g %08x %08x %08x %08x", m[0], m[1], m[2], m[3]);
    if (!good) {
        WARN(s, "request %08x %08x %08x: not known or bad", m[0], m[1], m[2]);
    }
    if (HXG_TYPE(m[0]) == GUC_HXG_TYPE_REQUEST) {
        respond(s, g, fence,
                good ? HXG(RESPONSE_SUCCESS) : HXG(RESPONSE_FAILURE), 0);
    } else if (HXG_TYPE(m[0]) == GUC_HXG_TYPE_FAST_REQUEST && !good) {
        respond(s, g, fence, HXG(RESPONSE_FAILURE), 0x8);
    }
}

/* True: there is more */
bool bmg_ct_run(Bmg *s, Guc *g)
{
    uint32_t size = MIN(g->h2g_size, CT_SIZE_MAX) / 4;
    uint32_t head, turn;

    if (!size) {
        return false;
    }
    head = bmg_ggtt_rd32(s, g->h2g_desc + HEAD) % size;
    for (turn = 0; turn < TURN; turn++) {
        uint32_t m[CT_MAX] = { 0 }, header, len, i;

        if (head == bmg_ggtt_rd32(s, g->h2g_desc + TAIL) % size) {
            return false;
        }
        header = bmg_ggtt_rd32(s, g->h2g + head * 4);
        len = header & 0xff;    /* 0: filled up to the end of the buffer */
        head = (head + 1) % size;
        for (i = 0; i < len; i++) {
            m[i] = bmg_ggtt_rd32(s, g->h2g + head * 4);
            head = (head + 1) % size;
        }
        bmg_ggtt_wr32(s, g->h2g_desc + HEAD, head);
        if (len) {
            handle(s, g, header >> 16, m, len);
        }
        if (!g->ct_on) {        /* reset */
            return false;
        }
    }
    return true;
}
