/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Executes send WQEs, in the main loop: of the QPs that have any, one piece of
 * one WQE each in turn. A page fault leaves the WQE where it is, to be continued
 * when the fault is resumed.
 */
#include "wire.h"
#include "qemu/main-loop.h"

enum { BUDGET = 64, POLL_NS = SCALE_MS };

void mlx5_qp_kick(Mlx5Qp *qp)
{
    if (!qp->queued && !qp->fault) {
        qp->queued = true;
        QTAILQ_INSERT_TAIL(&qp->dev->run, qp, run);
        qemu_bh_schedule(qp->dev->bh);
    }
}

/* Nobody rings when a receive WQE is posted. */
void mlx5_qp_poll(Mlx5Qp *qp)
{
    Mlx5Dev *d = qp->dev;

    if (!qp->polled) {
        qp->polled = true;
        QLIST_INSERT_HEAD(&d->poll, qp, poll);
        timer_mod(d->timer, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + POLL_NS);
    }
}

void mlx5_timer(void *opaque)
{
    Mlx5Dev *d = opaque;

    while (!QLIST_EMPTY(&d->poll)) {
        Mlx5Qp *qp = QLIST_FIRST(&d->poll);

        QLIST_REMOVE(qp, poll);
        qp->polled = false;
        mlx5_qp_kick(qp);
    }
}

unsigned qp_state(Mlx5Qp *qp)
{
    return MLX5_GET(qpc, qp->ctx, state);
}

static void qp_cqe(Mlx5Qp *qp, bool send, unsigned opcode, uint32_t imm,
                   uint32_t bytes, uint8_t syndrome, bool solicited)
{
    uint8_t cqe[64] = { 0 };
    uint32_t cqn = send ? MLX5_GET(qpc, qp->ctx, cqn_snd) :
                          MLX5_GET(qpc, qp->ctx, cqn_rcv);
    uint32_t uidx = MLX5_GET(qpc, qp->ctx, user_index);
    uint16_t counter = send ? qp->wqe.raw[1] << 8 | qp->wqe.raw[2] :
                              qp->rwqe.index;

    if (!send && qp->xrc.srqn) {
        cqn = qp->xrc.cqn;
        uidx = qp->xrc.uidx;
    }
    if (!send) {
        stw_be_p(cqe + 22, qp->rwqe.slid);
        stl_be_p(cqe + 24, qp->rwqe.rqpn);
    }
    stl_be_p(cqe + 32, uidx);
    stl_be_p(cqe + 36, imm);
    stl_be_p(cqe + 44, bytes);
    stq_be_p(cqe + 48, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL));
    if (syndrome) {
        stl_be_p(cqe + 36, 0);
        stq_be_p(cqe + 48, 0);
        cqe[55] = syndrome;
    }
    stl_be_p(cqe + 56, qp->qpn | (send ? (uint32_t)qp->wqe.raw[3] << 24 : 0));
    stw_be_p(cqe + 60, counter);
    mlx5_cqe(qp->dev, cqn, cqe, opcode, solicited);
}

void recv_done(Mlx5Qp *qp, unsigned opcode, uint32_t imm, uint32_t bytes,
                      bool solicited)
{
    qp_cqe(qp, false, opcode, imm, bytes, 0, solicited);
    qp->rq_ci++;
    qp->rwqe.active = false;
    qp->rwqe.slid = qp->rwqe.rqpn = 0;
}

/* No more of a shared receive queue's WQEs go to this QP. */
void mlx5_qp_last_wqe(Mlx5Qp *qp)
{
    if (MLX5_GET(qpc, qp->ctx, rq_type) == MLX5_RQ_SRQ) {
        mlx5_eqe_number(qp->dev, MLX5_EV_QP_LAST_WQE, qp->qpn);
    }
}

static void qp_error(Mlx5Qp *qp)
{
    if (qp_state(qp) != MLX5_QPS_ERR) {
        MLX5_SET(qpc, qp->ctx, state, MLX5_QPS_ERR);
        mlx5_qp_last_wqe(qp);
    }
    mlx5_qp_kick(qp);
}

/*
 * The responder found the error: its receive WQE, if it uses one, ends as well.
 * If not, there is an event.
 */
void recv_failed(Mlx5Qp *peer, uint8_t syndrome)
{
    if (syndrome == SYN_REMOTE_ACCESS || syndrome == SYN_REMOTE_INVAL_REQ) {
        mlx5_eqe_number(peer->dev, syndrome == SYN_REMOTE_ACCESS ?
                        MLX5_EV_QP_ACCESS : MLX5_EV_QP_INVAL_REQ, peer->qpn);
    } else if (peer->rwqe.active) {
        qp_cqe(peer, false, MLX5_CQE_RESP_ERR, 0, 0, syndrome, false);
        peer->rq_ci++;
        peer->rwqe.active = false;
    }
    qp_error(peer);
}

static void send_end(Mlx5Qp *qp)
{
    unsigned bb = DIV_ROUND_UP(qp->wqe.len, 64);

    qp->sq_ci += MAX(bb, 1);
    qp->wqe.active = false;
    qp->fault_failed = false;
    mlx5_wire_forget(qp);
    qp->dev->stat.wqes++;
}

void send_done(Mlx5Qp *qp, uint32_t bytes)
{
    if (qp->in) {
        return;
    }
    if (qp->wqe.raw[11] & CTRL_CQ_UPDATE) {
        qp_cqe(qp, true, MLX5_CQE_REQ, 0, bytes, 0, false);
    }
    send_end(qp);
}

Step send_failed(Mlx5Qp *qp, uint8_t syndrome)
{
    mlx5_trace(qp->dev, "qp %#x: opcode %#x failed: syndrome %#x", qp->qpn,
               qp->wqe.raw[3], syndrome);
    if (qp->in) {
        mlx5_remote_end(qp, syndrome);
        return STEP_FAILED;
    }
    qp_cqe(qp, true, MLX5_CQE_REQ_ERR, 0, 0, syndrome, false);
    send_end(qp);
    qp_error(qp);
    return STEP_FAILED;
}

/* Without a queue for faults there is nobody who could help. */
Step fault_wait(Mlx5Qp *qp, Mlx5Qp *at, unsigned type,
                       const Mlx5Span *span)
{
    if (!mlx5_eq_wants(at->dev, MLX5_EV_PAGE_FAULT)) {
        return send_failed(qp, at == qp ? SYN_LOCAL_PROT : SYN_REMOTE_ACCESS);
    }
    mlx5_fault(qp, at, type, span);
    return STEP_FAULTED;
}

static Step umr_step(Mlx5Qp *qp)
{
    Mlx5Span span;
    Mlx5Xlt r = mlx5_umr(qp, &span);

    if (r == MLX5_XLT_FAULT) {
        return fault_wait(qp, qp, MLX5_PF_REQ_SEND, &span);
    } else if (r != MLX5_XLT_OK) {
        return send_failed(qp, SYN_MW_BIND);
    }
    send_done(qp, 0);
    return STEP_DONE;
}

/* All that is posted, and will be, ends with an error. */
static Step flush_step(Mlx5Qp *qp)
{
    if (mlx5_qp_fetch_send(qp) > 0) {
        qp_cqe(qp, true, MLX5_CQE_REQ_ERR, 0, 0, SYN_FLUSH, false);
        send_end(qp);
        return STEP_DONE;
    }
    if (qp->rq_nwqe && mlx5_qp_fetch_recv(qp) > 0) {
        qp_cqe(qp, false, MLX5_CQE_RESP_ERR, 0, 0, SYN_FLUSH, false);
        qp->rq_ci++;
        qp->rwqe.active = false;
        return STEP_DONE;
    }
    return STEP_NOT_READY;
}

static Step qp_step(Mlx5Qp *qp)
{
    int got;

    if (qp->in) {
        return mlx5_remote_step(qp);
    }
    if (qp_state(qp) == MLX5_QPS_ERR) {
        return flush_step(qp);
    }
    if (qp_state(qp) != MLX5_QPS_RTS) {
        return STEP_FAILED;
    }
    got = mlx5_qp_fetch_send(qp);
    if (got <= 0) {
        if (got < 0) {
            qp_error(qp);
        }
        return STEP_FAILED;
    }
    if (qp->fault_failed) {
        return qp->fault_remote ? rc_fault_failed(qp) :
                                  send_failed(qp, SYN_LOCAL_PROT);
    }
    if (qp->wqe.raw[3] == OP_UMR) {
        return umr_step(qp);
    }
    if (qp->wqe.raw[3] == OP_NOP) {
        send_done(qp, 0);
        return STEP_DONE;
    }
    switch (MLX5_GET(qpc, qp->ctx, st)) {
    case MLX5_ST_RC:
    case MLX5_ST_UC:
    case MLX5_ST_XRC:
        return qp->wqe.raw[3] == OP_ATOMIC_CS || qp->wqe.raw[3] == OP_ATOMIC_FA ?
               atomic_step(qp) : rc_step(qp);
    default:
        return ud_step(qp);
    }
}

/* A command sees what was posted before it as executed, if that can be. */
void mlx5_run_posted(Mlx5Dev *d)
{
    for (int i = 0; i < BUDGET && !QTAILQ_EMPTY(&d->run); i++) {
        Mlx5Qp *qp = QTAILQ_FIRST(&d->run);

        QTAILQ_REMOVE(&d->run, qp, run);
        qp->queued = false;
        switch (qp_step(qp)) {
        case STEP_DONE:
        case STEP_MORE:
            mlx5_qp_kick(qp);
            break;
        case STEP_NOT_READY:
            mlx5_qp_poll(qp);
            break;
        case STEP_FAULTED:
        case STEP_FAILED:
        case STEP_GONE:
            break;
        }
    }
}

void mlx5_run(void *opaque)
{
    Mlx5Dev *d = opaque;

    /* With the firmware all stands still, until there is a reset. */
    if (d->inject.syndrome || !mlx5_begin(d)) {
        return;
    }
    mlx5_run_posted(d);
    if (!QTAILQ_EMPTY(&d->run)) {
        qemu_bh_schedule(d->bh);
    }
    mlx5_end();
}
