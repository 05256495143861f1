/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RC, UC and XRC: sends, RDMA and atomics. The responder is another device of this
 * machine, or the same one; its memory is reached with its own DMA. If it is in
 * another QEMU, wire.c has this done there.
 */
#include "wire.h"

enum { XRC_BYTES = 16, RADDR_BYTES = 16, ATOMIC_BYTES = 16 };

static Mlx5Qp *rc_peer(Mlx5Qp *qp)
{
    const void *path = MLX5_PTR(qpc, qp->ctx, primary_address_path);
    Mlx5Dev *d = MLX5_GET(ads, path, rlid) ?
                 mlx5_by_lid(qp->dev, MLX5_GET(ads, path, rlid)) :
                 mlx5_by_gid(qp->dev, MLX5_PTR(ads, path, rgid_rip));
    Mlx5Qp *peer = d && !d->inject.syndrome ?
                   mlx5_qp(d, MLX5_GET(qpc, qp->ctx, remote_qpn)) : NULL;

    if (!peer || MLX5_GET(qpc, peer->ctx, st) != MLX5_GET(qpc, qp->ctx, st) ||
        MLX5_GET(qpc, peer->ctx, remote_qpn) != qp->qpn ||
        (qp_state(peer) != MLX5_QPS_RTR && qp_state(peer) != MLX5_QPS_RTS)) {
        return NULL;
    }
    return peer;
}

/* Whether it is somewhere else, if anywhere */
static bool rc_far(Mlx5Qp *qp)
{
    const void *path = MLX5_PTR(qpc, qp->ctx, primary_address_path);
    uint16_t rlid = MLX5_GET(ads, path, rlid);

    return !qp->in && mlx5_wired(qp->dev) &&
           (rlid ? rlid != qp->dev->lid :
            ldq_be_p(MLX5_PTR(ads, path, rgid_rip) + 8) != qp->dev->guid + 1);
}

/* The requester's own memory */
static uint64_t own_bytes(Mlx5Qp *qp, Mlx5Sg sg)
{
    return qp->in ? mlx5_remote_total(qp) : sg_bytes(sg);
}

static Mlx5Xlt own_span(Mlx5Qp *qp, Mlx5Sg sg, uint64_t off, unsigned access,
                        Mlx5Span *span)
{
    return qp->in ? mlx5_remote_span(qp, span) :
                    sg_span(qp, sg, off, access, span);
}

static bool is_xrc(Mlx5Qp *qp)
{
    return MLX5_GET(qpc, qp->ctx, st) == MLX5_ST_XRC;
}

/* A request of XRC names an SRQ, whose PD counts, and whose CQ is told. */
static bool xrc_target(Mlx5Qp *qp, Mlx5Qp *peer)
{
    uint32_t srqn = ldl_be_p(qp->wqe.raw + CTRL_BYTES) & 0xffffff;
    Mlx5Srq *srq = mlx5_xrc_srq(peer->dev, srqn);

    if (!srq || MLX5_GET(xrc_srqc, srq->ctx, xrcd) !=
                MLX5_GET(qpc, peer->ctx, xrcd)) {
        return false;
    }
    peer->xrc.srqn = srqn;
    peer->xrc.cqn = MLX5_GET(xrc_srqc, srq->ctx, cqn);
    peer->xrc.uidx = MLX5_GET(xrc_srqc, srq->ctx, user_index);
    peer->xrc.pd = MLX5_GET(xrc_srqc, srq->ctx, pd);
    return true;
}

/* What the responder's timer says, in units of 10 us */
static int64_t rnr_timer(Mlx5Qp *peer)
{
    static const uint16_t units[32] = {
        65535, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384,
        512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576,
        32768, 49152,
    };

    return units[MLX5_GET(qpc, peer->ctx, min_rnr_nak)] * 10 * SCALE_US;
}

/* The responder has no receive WQE yet. */
static Step rnr(Mlx5Qp *qp, Mlx5Qp *peer)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    unsigned retry = MLX5_GET(qpc, qp->ctx, rnr_retry);

    if (MLX5_GET(qpc, qp->ctx, st) == MLX5_ST_UC) {
        send_done(qp, 0);       /* lost */
        return STEP_DONE;
    }
    if (now < qp->wqe.rnr_until) {
        return STEP_NOT_READY;
    }
    if (retry != 7 && qp->wqe.rnr++ >= retry) {
        return send_failed(qp, SYN_RNR_EXC);
    }
    qp->wqe.rnr_until = now + rnr_timer(peer);
    return STEP_NOT_READY;
}

/* Atomic among the devices, not with CPUs. Values in memory are the host's. */
Step atomic_step(Mlx5Qp *qp)
{
    unsigned at = CTRL_BYTES + (is_xrc(qp) ? XRC_BYTES : 0);
    uint8_t *w = qp->wqe.raw, *raddr = w + at, *seg = raddr + RADDR_BYTES;
    unsigned hdr = at + RADDR_BYTES + ATOMIC_BYTES;
    Mlx5Sg sg = sg_send(qp, hdr);
    uint64_t old, new, arg = ldq_be_p(seg), compare = ldq_be_p(seg + 8);
    Mlx5Qp *peer = rc_peer(qp);
    Mlx5Span here, there;
    Mlx5Xlt r;

    if (rc_far(qp)) {
        return mlx5_wire_step(qp, sg, 8, true);
    }
    if (!peer) {
        return send_failed(qp, SYN_RETRY_EXC);
    }
    if (!MLX5_GET(qpc, peer->ctx, rae) || ldq_be_p(raddr) % 8 ||
        MLX5_GET(qpc, qp->ctx, st) == MLX5_ST_UC ||
        (is_xrc(qp) && !xrc_target(qp, peer))) {
        recv_failed(peer, SYN_REMOTE_INVAL_REQ);
        return send_failed(qp, SYN_REMOTE_INVAL_REQ);
    }
    r = own_span(qp, sg, 0, MLX5_LOCAL_WRITE, &here);
    if (r == MLX5_XLT_FAULT) {
        return fault_wait(qp, qp, MLX5_PF_REQ_READ, &here);
    } else if (r != MLX5_XLT_OK || here.len < 8) {
        return send_failed(qp, SYN_LOCAL_PROT);
    }
    r = mlx5_translate(peer->dev, peer, ldl_be_p(raddr + 8), ldq_be_p(raddr), 8,
                       MLX5_REMOTE_ATOMIC, &there);
    if (r == MLX5_XLT_FAULT) {
        return fault_wait(qp, peer, MLX5_PF_RDMA, &there);
    } else if (r != MLX5_XLT_OK || mlx5_span_rw(&there, &old, 8, false)) {
        recv_failed(peer, SYN_REMOTE_ACCESS);
        return send_failed(qp, SYN_REMOTE_ACCESS);
    }
    old = le64_to_cpu(old);
    new = w[3] == OP_ATOMIC_FA ? old + arg : old == compare ? arg : old;
    old = cpu_to_le64(old);
    new = cpu_to_le64(new);
    if (mlx5_span_rw(&there, &new, 8, true) ||
        mlx5_span_rw(&here, &old, 8, true)) {
        return send_failed(qp, SYN_REMOTE_OP);
    }
    send_done(qp, 8);
    return STEP_DONE;
}

/* The responder's driver could not resolve a page fault. */
Step rc_fault_failed(Mlx5Qp *qp)
{
    uint8_t op = qp->wqe.raw[3];
    bool send = op == OP_SEND || op == OP_SEND_IMM || op == OP_SEND_INVAL;
    Mlx5Qp *peer = rc_peer(qp);

    if (peer) {
        recv_failed(peer, send ? SYN_LOCAL_PROT : SYN_REMOTE_ACCESS);
    }
    return send_failed(qp, send ? SYN_REMOTE_OP : SYN_REMOTE_ACCESS);
}

Step rc_step(Mlx5Qp *qp)
{
    uint8_t *w = qp->wqe.raw, op = w[3];
    bool rdma = op == OP_RDMA_WRITE || op == OP_RDMA_WRITE_IMM ||
                op == OP_RDMA_READ;
    bool takes = op == OP_SEND || op == OP_SEND_IMM || op == OP_SEND_INVAL ||
                 op == OP_RDMA_WRITE_IMM;
    unsigned raddr = CTRL_BYTES + (is_xrc(qp) ? XRC_BYTES : 0);
    unsigned hdr = raddr + (rdma ? RADDR_BYTES : 0);
    Mlx5Sg sg = sg_send(qp, hdr), rsg;
    uint64_t total = own_bytes(qp, sg);
    Mlx5Qp *peer = rc_peer(qp);
    Mlx5Span here, there;
    Mlx5Xlt r;
    Step step;

    if (rc_far(qp)) {
        return !rdma && !takes ? send_failed(qp, SYN_LOCAL_QP_OP) :
               total > MSG_MAX ? send_failed(qp, SYN_LOCAL_LENGTH) :
               mlx5_wire_step(qp, sg, total, op == OP_RDMA_READ);
    }
    if (!peer && MLX5_GET(qpc, qp->ctx, st) == MLX5_ST_UC) {
        send_done(qp, total);   /* lost */
        return STEP_DONE;
    }
    if (!peer) {
        return send_failed(qp, SYN_RETRY_EXC);
    }
    if (!rdma && !takes) {
        return send_failed(qp, SYN_LOCAL_QP_OP);
    }
    if (total > MSG_MAX) {
        return send_failed(qp, SYN_LOCAL_LENGTH);
    }
    if ((op == OP_RDMA_READ && !MLX5_GET(qpc, peer->ctx, rre)) ||
        (op != OP_RDMA_READ && rdma && !MLX5_GET(qpc, peer->ctx, rwe)) ||
        (is_xrc(qp) && !xrc_target(qp, peer))) {
        recv_failed(peer, SYN_REMOTE_INVAL_REQ);
        return send_failed(qp, SYN_REMOTE_INVAL_REQ);
    }
    if (takes) {
        int got = mlx5_qp_fetch_recv(peer);

        if (got < 0) {
            return send_failed(qp, SYN_REMOTE_OP);
        } else if (!got) {
            return rnr(qp, peer);
        }
    }
    rsg = sg_recv(peer);
    if (takes && !rdma && total > sg_bytes(rsg)) {
        recv_failed(peer, SYN_LOCAL_LENGTH);
        return send_failed(qp, SYN_REMOTE_INVAL_REQ);
    }

    if (qp->wqe.done < total) {
        r = own_span(qp, sg, qp->wqe.done,
                     op == OP_RDMA_READ ? MLX5_LOCAL_WRITE : MLX5_LOCAL_READ,
                     &here);
        if (r == MLX5_XLT_FAULT) {
            return fault_wait(qp, qp, op == OP_RDMA_READ ? MLX5_PF_REQ_READ :
                                                           MLX5_PF_REQ_SEND,
                              &here);
        } else if (r != MLX5_XLT_OK) {
            return send_failed(qp, SYN_LOCAL_PROT);
        }
        if (rdma) {
            r = mlx5_translate(peer->dev, peer, ldl_be_p(w + raddr + 8),
                               ldq_be_p(w + raddr) + qp->wqe.done,
                               total - qp->wqe.done,
                               op == OP_RDMA_READ ? MLX5_REMOTE_READ :
                                                    MLX5_REMOTE_WRITE,
                               &there);
        } else {
            r = sg_span(peer, rsg, qp->wqe.done, MLX5_LOCAL_WRITE, &there);
        }
        if (r == MLX5_XLT_FAULT) {
            return fault_wait(qp, peer, rdma ? MLX5_PF_RDMA : MLX5_PF_RESP,
                              &there);
        } else if (r != MLX5_XLT_OK) {
            recv_failed(peer, rdma ? SYN_REMOTE_ACCESS : SYN_LOCAL_PROT);
            return send_failed(qp, rdma ? SYN_REMOTE_ACCESS : SYN_REMOTE_OP);
        }
        step = op == OP_RDMA_READ ? span_move(qp, &there, &here) :
                                    span_move(qp, &here, &there);
        if (step == STEP_FAILED) {
            recv_failed(peer, SYN_LOCAL_PROT);
            return send_failed(qp, SYN_REMOTE_OP);
        }
        if (step == STEP_NOT_READY || qp->wqe.done < total) {
            return step;
        }
    }
    if (op == OP_SEND_INVAL && !mlx5_mkey_invalidate(peer, ldl_be_p(w + 12))) {
        recv_failed(peer, SYN_MW_BIND);
        return send_failed(qp, SYN_REMOTE_OP);
    }
    if (takes) {
        recv_done(peer, op == OP_SEND ? MLX5_CQE_RESP_SEND :
                        op == OP_SEND_IMM ? MLX5_CQE_RESP_SEND_IMM :
                        op == OP_SEND_INVAL ? MLX5_CQE_RESP_SEND_INV :
                                              MLX5_CQE_RESP_WR_IMM,
                  ldl_be_p(w + 12), total, w[11] & CTRL_SOLICITED);
    }
    send_done(qp, total);
    return STEP_DONE;
}

