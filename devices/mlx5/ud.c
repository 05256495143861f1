/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams, also those of QP 1. Nobody hears of one that is lost. */
#include "send.h"

static gboolean is_special(gpointer qpn, gpointer qp, gpointer st)
{
    return MLX5_GET(qpc, ((Mlx5Qp *)qp)->ctx, st) == GPOINTER_TO_UINT(st);
}

/* Where a datagram goes; QP 0 and 1 are whoever was created as such. */
static Mlx5Qp *ud_peer(Mlx5Qp *qp, const uint8_t *av, bool grh)
{
    uint16_t rlid = lduw_be_p(av + 14);
    uint32_t qpn = ldl_be_p(av + 8) & 0xffffff, qkey = ldl_be_p(av);
    Mlx5Dev *d = rlid ? mlx5_by_lid(rlid) : grh ? mlx5_by_gid(av + 32) : NULL;
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

/* Datagrams, also of QP 1. They are lost without a word. */
Step ud_step(Mlx5Qp *qp)
{
    enum { AV_SHORT = 16, AV_LONG = 48, GRH_BYTES = 40 };
    uint8_t *w = qp->wqe.raw, *av = w + CTRL_BYTES;
    bool extended = ldl_be_p(av + 8) >> 31;
    bool grh = extended && ldl_be_p(av + 28) >> 30 & 1;
    unsigned hdr = CTRL_BYTES + (extended ? AV_LONG : AV_SHORT);
    Mlx5Sg sg = sg_send(qp, hdr), rsg;
    uint64_t total = sg_bytes(sg);
    Mlx5Qp *peer = ud_peer(qp, av, grh);
    unsigned st = MLX5_GET(qpc, qp->ctx, st);
    bool gsi = st == MLX5_ST_QP1 || MLX5_GET(qpc, qp->ctx, deth_sqpn) == 1;
    bool imm = w[3] == OP_SEND_IMM;
    Mlx5Span here, there;
    Mlx5Xlt r;

    if (total > UD_MAX) {
        return send_failed(qp, SYN_LOCAL_LENGTH);
    }
    if (!peer || st == MLX5_ST_QP0 || mlx5_qp_fetch_recv(peer) <= 0) {
        send_done(qp, total);
        return STEP_DONE;
    }
    rsg = sg_recv(peer);
    if (total + GRH_BYTES > sg_bytes(rsg)) {
        send_done(qp, total);
        return STEP_DONE;
    }
    while (qp->wqe.done < total) {
        r = sg_span(qp, sg, qp->wqe.done, MLX5_LOCAL_READ, &here);
        if (r == MLX5_XLT_FAULT) {
            return fault_wait(qp, qp, MLX5_PF_REQ_SEND, &here);
        } else if (r != MLX5_XLT_OK) {
            return send_failed(qp, SYN_LOCAL_PROT);
        }
        r = sg_span(peer, rsg, GRH_BYTES + qp->wqe.done, MLX5_LOCAL_WRITE,
                    &there);
        if (r == MLX5_XLT_FAULT) {
            return fault_wait(qp, peer, MLX5_PF_RESP, &there);
        } else if (r != MLX5_XLT_OK || span_move(qp, &here, &there) == STEP_FAILED) {
            recv_failed(peer, SYN_LOCAL_PROT);
            send_done(qp, total);
            return STEP_DONE;
        }
    }
    peer->rwqe.slid = qp->dev->lid;
    peer->rwqe.rqpn = grh << 28 | (gsi ? 1 : qp->qpn);
    recv_done(peer, imm ? MLX5_CQE_RESP_SEND_IMM : MLX5_CQE_RESP_SEND,
              imm ? ldl_be_p(w + 12) : 0xffff, total + GRH_BYTES,
              w[11] & CTRL_SOLICITED);
    send_done(qp, total);
    return STEP_DONE;
}

