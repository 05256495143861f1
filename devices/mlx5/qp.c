/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Queue pairs: contexts, state changes, and how WQEs are read. */
#include "mlx5.h"

enum { WQEBB = 64, DBR_RECV = 0, DBR_SEND = 4 };

Mlx5Qp *mlx5_qp(Mlx5Dev *d, uint32_t qpn)
{
    return g_hash_table_lookup(d->qps, GUINT_TO_POINTER(qpn));
}

/* Whatever the QP was doing or waiting for. */
void mlx5_qp_stop(Mlx5Qp *qp)
{
    if (qp->queued) {
        QTAILQ_REMOVE(&qp->dev->run, qp, run);
        qp->queued = false;
    }
    if (qp->fault) {
        QLIST_REMOVE(qp, waits);
        qp->fault = NULL;
    }
    if (qp->polled) {
        QLIST_REMOVE(qp, poll);
        qp->polled = false;
    }
    mlx5_wire_forget(qp);
    qp->fault_failed = false;
    qp->wqe.active = qp->rwqe.active = false;
}

void mlx5_qp_free(gpointer p)
{
    Mlx5Qp *qp = p;

    mlx5_qp_stop(qp);
    mlx5_buf_free(&qp->buf);
    g_free(qp);
}

/* The low half of a doorbell record is the producer's counter. */
static int qp_pi(Mlx5Qp *qp, unsigned which, uint16_t *pi)
{
    uint32_t rec;

    if (mlx5_dma(qp->dev, MLX5_GET(qpc, qp->ctx, dbr_addr) + which, &rec, 4,
                 false)) {
        return -1;
    }
    *pi = be32_to_cpu(rec);
    return 0;
}

/* 1: there is one, 0: there is none, -1: it cannot be read */
int mlx5_qp_fetch_send(Mlx5Qp *qp)
{
    uint64_t off = (uint64_t)(qp->sq_ci & (qp->sq_nbb - 1)) * WQEBB;
    uint8_t *raw = qp->wqe.raw;
    uint16_t pi;
    uint32_t n;

    if (qp->wqe.active) {
        return 1;
    }
    if (!qp->sq_nbb || qp_pi(qp, DBR_SEND, &pi) || pi == (uint16_t)qp->sq_ci) {
        return 0;
    }
    if (mlx5_buf_rw(qp->dev, &qp->buf, qp->rq_bytes + off, raw, WQEBB, false)) {
        return -1;
    }
    n = (ldl_be_p(raw + 4) & 0x3f) * 16;
    qp->wqe.len = n;
    for (uint32_t at = WQEBB; at < n; at += WQEBB) {
        off = (off + WQEBB) % ((uint64_t)qp->sq_nbb * WQEBB);
        if (mlx5_buf_rw(qp->dev, &qp->buf, qp->rq_bytes + off, raw + at, WQEBB,
                        false)) {
            return -1;
        }
    }
    qp->wqe.active = true;
    qp->wqe.done = 0;
    qp->wqe.rnr = 0;
    qp->wqe.rnr_until = 0;
    return 1;
}

uint32_t mlx5_qp_srqn(const Mlx5Qp *qp)
{
    if (MLX5_GET(qpc, qp->ctx, rq_type) != MLX5_RQ_SRQ) {
        return 0;
    }
    return qp->xrc.srqn ?: MLX5_GET(qpc, qp->ctx, srqn_rmpn_xrqn);
}

int mlx5_qp_fetch_recv(Mlx5Qp *qp)
{
    uint64_t stride = 1ull << qp->rq_shift;
    uint16_t pi;
    int got;

    if (qp->rwqe.active) {
        return 1;
    }
    if (MLX5_GET(qpc, qp->ctx, rq_type) == MLX5_RQ_SRQ) {
        got = mlx5_srq_fetch(qp->dev, mlx5_qp_srqn(qp), qp->rwqe.raw,
                             &qp->rwqe.len, &qp->rwqe.index);
        qp->rwqe.active = got > 0;
        return got;
    }
    if (!qp->rq_nwqe || qp_pi(qp, DBR_RECV, &pi) || pi == (uint16_t)qp->rq_ci) {
        return 0;
    }
    qp->rwqe.len = MIN(stride, sizeof(qp->rwqe.raw));
    if (mlx5_buf_rw(qp->dev, &qp->buf,
                    (qp->rq_ci & (qp->rq_nwqe - 1)) * stride, qp->rwqe.raw,
                    qp->rwqe.len, false)) {
        return -1;
    }
    qp->rwqe.index = qp->rq_ci;
    qp->rwqe.active = true;
    mlx5_trace(qp->dev, "qp %#x: rq pi %u ci %u", qp->qpn, pi, qp->rq_ci);
    return 1;
}

uint8_t mlx5_create_qp(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    const void *c = MLX5_PTR(create_qp_in, in, qpc);
    unsigned pas = MLX5_BYTES(create_qp_in);
    Mlx5Qp *qp;

    if (g_hash_table_size(d->qps) >= MLX5_OBJECTS_MAX) {
        return MLX5_ST_NO_RES;
    }
    qp = g_new0(Mlx5Qp, 1);
    qp->dev = d;
    memcpy(qp->ctx, c, sizeof(qp->ctx));
    if (MLX5_GET(qpc, c, rq_type) == MLX5_RQ_OWN) {
        qp->rq_nwqe = 1u << MLX5_GET(qpc, c, log_rq_size);
        qp->rq_shift = MLX5_GET(qpc, c, log_rq_stride) + 4;
        qp->rq_bytes = qp->rq_nwqe << qp->rq_shift;
    }
    if (!MLX5_GET(qpc, c, no_sq)) {
        qp->sq_nbb = 1u << MLX5_GET(qpc, c, log_sq_size);
    }
    if (inlen < pas || mlx5_buf_init(&qp->buf, in + pas, inlen - pas,
                                     12 + MLX5_GET(qpc, c, log_page_size),
                                     MLX5_GET(qpc, c, page_offset),
                                     qp->rq_bytes +
                                     (uint64_t)qp->sq_nbb * WQEBB)) {
        g_free(qp);
        return MLX5_ST_BAD_PARAM;
    }
    MLX5_SET(qpc, qp->ctx, state, MLX5_QPS_RST);
    do {
        qp->qpn = ++d->next[MLX5_NEXT_QP] & 0xffffff;
    } while (qp->qpn < 0x40 || mlx5_qp(d, qp->qpn));
    g_hash_table_insert(d->qps, GUINT_TO_POINTER(qp->qpn), qp);
    MLX5_SET(create_qp_out, out, qpn, qp->qpn);
    mlx5_trace(d, "qp %#x st %u: rq %u << %u type %u, sq %u, pages of %u, offset %"
               PRIu64 " dbr %#" PRIx64, qp->qpn, (int)MLX5_GET(qpc, c, st), qp->rq_nwqe,
               qp->rq_shift, (int)MLX5_GET(qpc, c, rq_type), qp->sq_nbb,
               qp->buf.shift, qp->buf.offset,
               (uint64_t)MLX5_GET(qpc, c, dbr_addr));
    return MLX5_ST_OK;
}

uint8_t mlx5_destroy_qp(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    uint32_t qpn = MLX5_GET(destroy_qp_in, in, qpn);

    return g_hash_table_remove(d->qps, GUINT_TO_POINTER(qpn)) ?
           MLX5_ST_OK : MLX5_ST_BAD_RES;
}

uint8_t mlx5_query_qp(Mlx5Dev *d, const void *in, unsigned inlen,
                      void *out, unsigned outlen)
{
    Mlx5Qp *qp = mlx5_qp(d, MLX5_GET(query_qp_in, in, qpn));

    if (!qp) {
        return MLX5_ST_BAD_RES;
    }
    memcpy(MLX5_PTR(query_qp_out, out, qpc), qp->ctx, sizeof(qp->ctx));
    return MLX5_ST_OK;
}

enum { OPT_RRE = 1 << 1, OPT_RAE = 1 << 2, OPT_RWE = 1 << 3, OPT_PKEY = 1 << 4,
       OPT_QKEY = 1 << 5, OPT_RNR_TIMEOUT = 1 << 6, OPT_PATH = 1 << 7,
       OPT_RETRY = 1 << 12, OPT_RNR_RETRY = 1 << 13 };

/* The fields that a command sets, and those that it may set. */
static void qp_take(uint8_t *to, const void *from, uint16_t op, uint32_t opt)
{
    bool init = op == MLX5_CMD_OP_RST2INIT_QP || op == MLX5_CMD_OP_INIT2INIT_QP;
    bool rtr = op == MLX5_CMD_OP_INIT2RTR_QP;
    bool rts = op == MLX5_CMD_OP_RTR2RTS_QP;

#define TAKE(cond, f) \
    if (cond) { \
        MLX5_SET(qpc, to, f, MLX5_GET(qpc, from, f)); \
    }
    TAKE(init || opt & OPT_RRE, rre);
    TAKE(init || opt & OPT_RAE, rae);
    TAKE(init || opt & OPT_RWE, rwe);
    TAKE(init || opt & OPT_QKEY, q_key);
    TAKE(init, pm_state);
    TAKE(init && MLX5_GET(qpc, from, dbr_addr), dbr_addr);
    TAKE(rtr, mtu);
    TAKE(rtr, log_msg_max);
    TAKE(rtr, remote_qpn);
    TAKE(rtr, log_rra_max);
    TAKE(rtr, next_rcv_psn);
    TAKE(rtr || opt & OPT_RNR_TIMEOUT, min_rnr_nak);
    TAKE(rts, log_sra_max);
    TAKE(rts, next_send_psn);
    TAKE(rts || opt & OPT_RETRY, retry_count);
    TAKE(rts || opt & OPT_RNR_RETRY, rnr_retry);
#undef TAKE
    if (init || rtr || opt & (OPT_PATH | OPT_PKEY)) {
        memcpy(MLX5_PTR(qpc, to, primary_address_path),
               MLX5_PTR(qpc, from, primary_address_path), MLX5_BYTES(ads));
    }
}

uint8_t mlx5_modify_qp(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    static const struct {
        uint16_t op;
        uint8_t from, to;       /* from: a mask */
    } moves[] = {
        { MLX5_CMD_OP_RST2INIT_QP, 1 << MLX5_QPS_RST, MLX5_QPS_INIT },
        { MLX5_CMD_OP_INIT2INIT_QP, 1 << MLX5_QPS_INIT, MLX5_QPS_INIT },
        { MLX5_CMD_OP_INIT2RTR_QP, 1 << MLX5_QPS_INIT, MLX5_QPS_RTR },
        { MLX5_CMD_OP_RTR2RTS_QP, 1 << MLX5_QPS_RTR, MLX5_QPS_RTS },
        { MLX5_CMD_OP_RTS2RTS_QP, 1 << MLX5_QPS_RTS, MLX5_QPS_RTS },
        { MLX5_CMD_OP_SQERR2RTS_QP, 1 << MLX5_QPS_SQER, MLX5_QPS_RTS },
        { MLX5_CMD_OP_SQD_RTS_QP, 1 << MLX5_QPS_SQD, MLX5_QPS_RTS },
        { MLX5_CMD_OP_2ERR_QP, 0xff, MLX5_QPS_ERR },
        { MLX5_CMD_OP_2RST_QP, 0xff, MLX5_QPS_RST },
    };
    uint16_t op = MLX5_GET(rst2init_qp_in, in, opcode);
    Mlx5Qp *qp = mlx5_qp(d, MLX5_GET(rst2init_qp_in, in, qpn));
    int i;

    if (!qp) {
        return MLX5_ST_BAD_RES;
    }
    for (i = 0; moves[i].op != op; i++) {
    }
    if (!(moves[i].from >> MLX5_GET(qpc, qp->ctx, state) & 1)) {
        return MLX5_ST_BAD_RES_STATE;
    }
    if (op == MLX5_CMD_OP_2RST_QP) {
        mlx5_qp_stop(qp);
        qp->sq_ci = qp->rq_ci = 0;
    } else if (op != MLX5_CMD_OP_2ERR_QP) {
        qp_take(qp->ctx, MLX5_PTR(rst2init_qp_in, in, qpc), op,
                MLX5_GET(rst2init_qp_in, in, opt_param_mask));
    }
    if (op == MLX5_CMD_OP_2ERR_QP && MLX5_GET(qpc, qp->ctx, state) != MLX5_QPS_ERR) {
        mlx5_qp_last_wqe(qp);
    }
    MLX5_SET(qpc, qp->ctx, state, moves[i].to);
    if (moves[i].to == MLX5_QPS_RTS || moves[i].to == MLX5_QPS_ERR) {
        mlx5_qp_kick(qp);
    }
    return MLX5_ST_OK;
}
