/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams, also those of QP 1. Nobody hears of one that is lost. */
#include "wire.h"

static gboolean is_special(gpointer qpn, gpointer qp, gpointer st)
{
    return MLX5_GET(qpc, ((Mlx5Qp *)qp)->ctx, st) == GPOINTER_TO_UINT(st);
}

/* Where a datagram goes; QP 0 and 1 are whoever was created as such. */
static Mlx5Qp *ud_peer(Mlx5Qp *qp, const uint8_t *av, bool grh)
{
    uint16_t rlid = lduw_be_p(av + 14);
    uint32_t qpn = ldl_be_p(av + 8) & 0xffffff, qkey = ldl_be_p(av);
    Mlx5Dev *d = rlid ? mlx5_by_lid(qp->dev, rlid) :
                 grh ? mlx5_by_gid(qp->dev, av + 32) : NULL;
    Mlx5Qp *peer;

    if (!d) {
        return NULL;
    }
    peer = qpn > 1 ? mlx5_qp(d, qpn) :
           g_hash_table_find(d->qps, is_special,
                             GUINT_TO_POINTER(qpn ? MLX5_ST_QP1 : MLX5_ST_QP0));
    if (!peer || (qp_state(peer) != MLX5_QPS_RTR &&
                  qp_state(peer) != MLX5_QPS_RTS)) {
        return NULL;
    }
    if (qkey >> 31) {
        qkey = MLX5_GET(qpc, qp->ctx, q_key);
    }
    return qpn < 2 || qkey == MLX5_GET(qpc, peer->ctx, q_key) ? peer : NULL;
}

/* The message as it goes over the wire */
static Mlx5Xlt ud_gather(Mlx5Qp *qp, Mlx5Sg sg, uint8_t *to, uint64_t total,
                         Mlx5Span *span)
{
    for (uint64_t off = 0, n; off < total; off += n) {
        Mlx5Xlt r = sg_span(qp, sg, off, MLX5_LOCAL_READ, span);

        if (r != MLX5_XLT_OK) {
            return r;
        }
        n = MIN(span->len, total - off);
        if (mlx5_span_rw(span, to + off, n, false)) {
            return MLX5_XLT_PROT;
        }
    }
    return MLX5_XLT_OK;
}

static Mlx5Xlt ud_scatter(Mlx5Qp *peer, uint8_t *from, uint64_t total,
                          Mlx5Span *span)
{
    Mlx5Sg sg = sg_recv(peer);

    for (uint64_t off = 0, n; off < total; off += n) {
        Mlx5Xlt r = sg_span(peer, sg, off, MLX5_LOCAL_WRITE, span);

        if (r != MLX5_XLT_OK) {
            return r;
        }
        n = MIN(span->len, total - off);
        if (mlx5_span_rw(span, from + off, n, true)) {
            return MLX5_XLT_PROT;
        }
    }
    return MLX5_XLT_OK;
}

/* To one QP, which may have no room: then it is lost. */
static Step ud_deliver(Mlx5Qp *qp, Mlx5Qp *peer, uint8_t *msg, uint64_t total,
                       bool grh, bool wait)
{
    const uint8_t *w = qp->wqe.raw;
    bool gsi = MLX5_GET(qpc, qp->ctx, st) == MLX5_ST_QP1 ||
               MLX5_GET(qpc, qp->ctx, deth_sqpn) == 1;
    bool imm = w[3] == OP_SEND_IMM;
    Mlx5Span span;

    if (mlx5_qp_fetch_recv(peer) <= 0 ||
        total > sg_bytes(sg_recv(peer))) {
        return STEP_DONE;
    }
    switch (ud_scatter(peer, msg, total, &span)) {
    case MLX5_XLT_FAULT:
        if (wait) {
            return fault_wait(qp, peer, MLX5_PF_RESP, &span);
        }
        /* fallthrough */
    case MLX5_XLT_PROT:
        recv_failed(peer, SYN_LOCAL_PROT);
        return STEP_DONE;
    case MLX5_XLT_OK:
        break;
    }
    peer->rwqe.slid = qp->in ? qp->in->req.slid : qp->dev->lid;
    peer->rwqe.rqpn = grh << 28 | (gsi ? 1 : qp->qpn);
    recv_done(peer, imm ? MLX5_CQE_RESP_SEND_IMM : MLX5_CQE_RESP_SEND,
              imm ? ldl_be_p(w + 12) : 0xffff, total, w[11] & CTRL_SOLICITED);
    return STEP_DONE;
}

/* All QPs that are in the group, of all devices */
static void ud_multicast(Mlx5Qp *qp, const uint8_t *av, uint8_t *msg,
                         uint64_t total)
{
    bool block = MLX5_GET(qpc, qp->ctx, block_lb_mc);

    for (Mlx5Dev *d = mlx5_next(NULL); d; d = mlx5_next(d)) {
        for (unsigned i = 0; i < d->groups->len; i++) {
            Mlx5Group *g = &g_array_index(d->groups, Mlx5Group, i);
            Mlx5Qp *peer = mlx5_qp(d, g->qpn);

            if (peer && !memcmp(g->gid, av + 32, 16) &&
                mlx5_by_lid(qp->dev, d->lid) == d &&
                (qp_state(peer) == MLX5_QPS_RTR ||
                 qp_state(peer) == MLX5_QPS_RTS) &&
                ldl_be_p(av) == MLX5_GET(qpc, peer->ctx, q_key) &&
                !(block && d == qp->dev)) {
                ud_deliver(qp, peer, msg, total, true, false);
            }
        }
    }
}

/* A GRH is in front of the message, if there is one; room for it always. */
static void ud_grh(Mlx5Qp *qp, const uint8_t *av, uint8_t *grh, uint64_t total)
{
    stl_be_p(grh, 6u << 28);
    stw_be_p(grh + 4, total);
    grh[6] = 0x1b;
    stq_be_p(grh + 8, 0xfe80000000000000ull);
    stq_be_p(grh + 16, qp->dev->guid + 1);
    memcpy(grh + 24, av + 32, 16);
}

enum { AV_SHORT = 16, AV_LONG = 48, GRH_BYTES = 40, MULTICAST = 0xffffff };

static bool has_grh(const uint8_t *av)
{
    return ldl_be_p(av + 8) >> 31 && ldl_be_p(av + 28) >> 30 & 1;
}

static bool is_multicast(const uint8_t *av)
{
    return has_grh(av) && (ldl_be_p(av + 8) & 0xffffff) == MULTICAST;
}

/* To whom it is for, in this QEMU */
static Step ud_local(Mlx5Qp *qp, const uint8_t *av, uint8_t *msg, uint64_t total)
{
    Mlx5Qp *peer;

    if (is_multicast(av)) {
        ud_multicast(qp, av, msg, total);
        return STEP_DONE;
    }
    peer = ud_peer(qp, av, has_grh(av));
    return peer && MLX5_GET(qpc, qp->ctx, st) != MLX5_ST_QP0 ?
           ud_deliver(qp, peer, msg, total, has_grh(av), true) : STEP_DONE;
}

Step ud_arrive(Mlx5Qp *qp, uint8_t *msg, uint64_t total)
{
    return total >= GRH_BYTES ?
           ud_local(qp, qp->wqe.raw + CTRL_BYTES, msg, total) : STEP_FAILED;
}

/* Whether it is, or is as well, for another QEMU */
static bool ud_far(Mlx5Qp *qp, const uint8_t *av)
{
    uint16_t rlid = lduw_be_p(av + 14);

    return mlx5_wired(qp->dev) && MLX5_GET(qpc, qp->ctx, st) != MLX5_ST_QP0 &&
           (is_multicast(av) || (rlid ? rlid != qp->dev->lid :
            has_grh(av) && ldq_be_p(av + 40) != qp->dev->guid + 1));
}

/* Datagrams, also of QP 1. They are lost without a word. */
Step ud_step(Mlx5Qp *qp)
{
    uint8_t *w = qp->wqe.raw, *av = w + CTRL_BYTES, msg[GRH_BYTES + UD_MAX];
    bool extended = ldl_be_p(av + 8) >> 31;
    Mlx5Sg sg = sg_send(qp, CTRL_BYTES + (extended ? AV_LONG : AV_SHORT));
    uint64_t total = sg_bytes(sg);
    Step step;
    Mlx5Span span;

    if (total > UD_MAX) {
        return send_failed(qp, SYN_LOCAL_LENGTH);
    }
    switch (ud_gather(qp, sg, msg + GRH_BYTES, total, &span)) {
    case MLX5_XLT_FAULT:
        return fault_wait(qp, qp, MLX5_PF_REQ_SEND, &span);
    case MLX5_XLT_PROT:
        return send_failed(qp, SYN_LOCAL_PROT);
    case MLX5_XLT_OK:
        break;
    }
    memset(msg, 0, GRH_BYTES);
    if (has_grh(av)) {
        ud_grh(qp, av, msg, total);
    }
    step = ud_local(qp, av, msg, GRH_BYTES + total);
    if (step == STEP_DONE && ud_far(qp, av)) {
        mlx5_wire_datagram(qp, msg, GRH_BYTES + total);
    }
    if (step == STEP_DONE) {
        send_done(qp, total);
    }
    return step;
}

static int group_find(Mlx5Dev *d, const void *gid, uint32_t qpn)
{
    for (unsigned i = 0; i < d->groups->len; i++) {
        Mlx5Group *g = &g_array_index(d->groups, Mlx5Group, i);

        if (g->qpn == qpn && !memcmp(g->gid, gid, sizeof(g->gid))) {
            return i;
        }
    }
    return -1;
}

uint8_t mlx5_attach_to_mcg(Mlx5Dev *d, const void *in, unsigned inlen,
                           void *out, unsigned outlen)
{
    enum { GROUPS_MAX = 1 << 10 };
    Mlx5Group g = { .qpn = MLX5_GET(attach_to_mcg_in, in, qpn) };

    memcpy(g.gid, MLX5_PTR(attach_to_mcg_in, in, multicast_gid), sizeof(g.gid));
    if (!mlx5_qp(d, g.qpn)) {
        return MLX5_ST_BAD_RES;
    }
    if (d->groups->len >= GROUPS_MAX) {
        return MLX5_ST_NO_RES;
    }
    if (group_find(d, g.gid, g.qpn) < 0) {
        g_array_append_val(d->groups, g);
    }
    return MLX5_ST_OK;
}

uint8_t mlx5_detach_from_mcg(Mlx5Dev *d, const void *in, unsigned inlen,
                             void *out, unsigned outlen)
{
    int i = group_find(d, MLX5_PTR(detach_from_mcg_in, in, multicast_gid),
                       MLX5_GET(detach_from_mcg_in, in, qpn));

    if (i < 0) {
        return MLX5_ST_BAD_RES;
    }
    g_array_remove_index_fast(d->groups, i);
    return MLX5_ST_OK;
}
