/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire to another QEMU, see wire.h. */
#include "wire.h"

enum { MAGIC = 0x6d6c7835, REQUEST = 1, ANSWER = 2 };
enum { FRAME_MAX = sizeof(Mlx5Frame) + WIRE_PIECE };

/* --- frames */

static void wire_flush(Mlx5Dev *d);

static gboolean wire_more(void *do_not_use, GIOCondition cond, void *opaque)
{
    Mlx5Dev *d = opaque;

    d->wire_out.watch = 0;
    wire_flush(d);
    return FALSE;
}

/* As much as the other end takes now; never waits for it, which may wait for us */
static void wire_flush(Mlx5Dev *d)
{
    GByteArray *out = d->wire_out.out;

    while (out->len && !d->wire_out.watch) {
        int n = qemu_chr_fe_write(&d->wire_out.chr, out->data, out->len);

        if (n > 0) {
            g_byte_array_remove_range(out, 0, n);
        } else {
            d->wire_out.watch = qemu_chr_fe_add_watch(&d->wire_out.chr,
                                                  G_IO_OUT | G_IO_HUP,
                                                  wire_more, d);
            if (!d->wire_out.watch) {
                g_byte_array_set_size(out, 0);
            }
        }
    }
}

static void wire_send(Mlx5Dev *d, Mlx5Frame *f, const void *data, uint32_t len)
{
    if (!d->wire_out.open) {
        return;
    }
    f->magic = MAGIC;
    f->bytes = sizeof(*f) + len;
    g_byte_array_append(d->wire_out.out, (void *)f, sizeof(*f));
    if (len) {
        g_byte_array_append(d->wire_out.out, data, len);
    }
    wire_flush(d);
}

/* --- the requester */

bool mlx5_wired(Mlx5Dev *d)
{
    return qemu_chr_fe_backend_connected(&d->wire_out.chr);
}

/* Whatever the QP has asked for: nobody waits for the answer any more. */
void mlx5_wire_forget(Mlx5Qp *qp)
{
    g_free(qp->far.data);
    memset(&qp->far, 0, sizeof(qp->far));
}

static bool is_datagram(unsigned st)
{
    return st == MLX5_ST_UD || st == MLX5_ST_QP1;
}

static void wire_request(Mlx5Qp *qp, uint64_t total, uint32_t piece,
                         const void *data)
{
    const void *path = MLX5_PTR(qpc, qp->ctx, primary_address_path);
    Mlx5Frame f = {
        .type = REQUEST, .tag = ++qp->dev->wire_out.tag,
        .slid = qp->dev->lid, .sqpn = qp->qpn, .sguid = qp->dev->guid,
        .dlid = MLX5_GET(ads, path, rlid),
        .dqpn = MLX5_GET(qpc, qp->ctx, remote_qpn),
        .total = total, .done = qp->wqe.done, .piece = piece,
        .st = MLX5_GET(qpc, qp->ctx, st),
        .rnr_retry = MLX5_GET(qpc, qp->ctx, rnr_retry),
        .qkey = MLX5_GET(qpc, qp->ctx, q_key),
    };

    memcpy(f.dgid, MLX5_PTR(ads, path, rgid_rip), sizeof(f.dgid));
    memcpy(f.wqe, qp->wqe.raw, sizeof(f.wqe));
    qp->far.tag = f.tag;
    qp->far.piece = piece;
    qp->far.waits = !is_datagram(f.st);
    wire_send(qp->dev, &f, data, data ? piece : 0);
}

void mlx5_wire_datagram(Mlx5Qp *qp, const uint8_t *data, uint32_t len)
{
    qp->wqe.done = 0;
    wire_request(qp, len, len, data);
}

/* Between the buffer and the QP's own memory; OK: all of it is done. */
static Mlx5Xlt wire_move(Mlx5Qp *qp, Mlx5Sg sg, uint8_t *buf, uint32_t *at,
                         uint32_t len, bool write, Mlx5Span *span)
{
    while (*at < len) {
        Mlx5Xlt r = sg_span(qp, sg, qp->wqe.done + *at,
                            write ? MLX5_LOCAL_WRITE : MLX5_LOCAL_READ, span);
        size_t n;

        if (r != MLX5_XLT_OK) {
            return r;
        }
        n = MIN(span->len, len - *at);
        if (mlx5_span_rw(span, buf + *at, n, write)) {
            return MLX5_XLT_PROT;
        }
        *at += n;
    }
    return MLX5_XLT_OK;
}

static Step wire_failed(Mlx5Qp *qp, Mlx5Xlt r, bool write, const Mlx5Span *span)
{
    return r == MLX5_XLT_FAULT ?
           fault_wait(qp, qp, write ? MLX5_PF_REQ_READ : MLX5_PF_REQ_SEND,
                      span) : send_failed(qp, SYN_LOCAL_PROT);
}

/* A piece of the QP's WQE. FETCH: it brings data, and takes none. */
Step mlx5_wire_step(Mlx5Qp *qp, Mlx5Sg sg, uint64_t total, bool fetch)
{
    uint32_t piece = MIN(total - qp->wqe.done, WIRE_PIECE), at = 0;
    g_autofree uint8_t *buf = NULL;
    Mlx5Span span;
    Mlx5Xlt r;

    if (qp->far.waits) {
        return STEP_FAULTED;    /* the answer kicks it */
    }
    if (!qp->dev->wire_out.open) {
        qp->far.answered = true;
        qp->far.step = STEP_FAILED;
        qp->far.syndrome = SYN_RETRY_EXC;
    }
    if (qp->far.answered && qp->far.step == STEP_FAILED) {
        uint32_t syndrome = qp->far.syndrome;

        if (MLX5_GET(qpc, qp->ctx, st) == MLX5_ST_UC) {
            send_done(qp, total);       /* lost */
            return STEP_DONE;
        }
        return send_failed(qp, syndrome);
    }
    if (qp->far.answered) {
        if (fetch) {
            r = wire_move(qp, sg, qp->far.data, &qp->far.at, qp->far.piece,
                          true, &span);
            if (r != MLX5_XLT_OK) {
                return wire_failed(qp, r, true, &span);
            }
        }
        qp->wqe.done += qp->far.piece;
        qp->dev->stat.bytes += qp->far.piece;
        mlx5_wire_forget(qp);
        if (qp->wqe.done < total) {
            return STEP_MORE;
        }
        send_done(qp, total);
        return STEP_DONE;
    }
    if (!fetch && piece) {
        buf = g_malloc(piece);
        r = wire_move(qp, sg, buf, &at, piece, false, &span);
        if (r != MLX5_XLT_OK) {
            return wire_failed(qp, r, false, &span);
        }
    }
    wire_request(qp, total, piece, buf);
    return STEP_FAULTED;
}

static void wire_answered(Mlx5Dev *d, const Mlx5Frame *f, const void *data,
                          uint32_t len)
{
    Mlx5Qp *qp = mlx5_qp(d, f->dqpn);

    if (!qp || !qp->far.waits || qp->far.tag != f->tag ||
        (len && len != qp->far.piece)) {
        return;                 /* to a QP that has forgotten it */
    }
    qp->far.waits = false;
    qp->far.answered = true;
    qp->far.step = f->step;
    qp->far.syndrome = f->syndrome;
    qp->far.at = 0;
    qp->far.data = g_malloc0(MAX(qp->far.piece, 1));
    memcpy(qp->far.data, data, len);
    mlx5_qp_kick(qp);
}

/* --- the responder */

static void remote_free(Mlx5Remote *in)
{
    QLIST_REMOVE(in, next);
    mlx5_qp_stop(in->qp);
    g_free(in->qp);
    g_free(in->data);
    g_free(in);
}

/* What became of the piece */
static void remote_answer(Mlx5Remote *in, Step step)
{
    Mlx5Dev *d = in->qp->dev;
    uint8_t op = in->req.wqe[3];
    bool fetches = step != STEP_FAILED && (op == OP_RDMA_READ ||
                   op == OP_ATOMIC_CS || op == OP_ATOMIC_FA);
    Mlx5Frame f = {
        .type = ANSWER, .tag = in->req.tag, .dlid = in->req.slid,
        .sqpn = in->req.dqpn, .dqpn = in->req.sqpn,
        .step = step, .syndrome = in->syndrome,
    };

    stq_be_p(f.dgid + 8, in->req.sguid + 1);
    if (is_datagram(in->req.st)) {
        remote_free(in);
        return;
    }
    wire_send(d, &f, in->data, fetches ? in->req.piece : 0);
    remote_free(in);
}

/* What send_done() and send_failed() do for a QP of another QEMU */
void mlx5_remote_end(Mlx5Qp *qp, uint8_t syndrome)
{
    qp->in->syndrome = syndrome;
}

/* The requester's memory is the piece that came, or goes back. */
Mlx5Xlt mlx5_remote_span(Mlx5Qp *qp, Mlx5Span *span)
{
    Mlx5Remote *in = qp->in;
    uint64_t at = qp->wqe.done - in->req.done;

    if (at >= in->req.piece) {
        return MLX5_XLT_PROT;
    }
    *span = (Mlx5Span) { .dev = qp->dev, .host = in->data + at,
                         .len = in->req.piece - at };
    return MLX5_XLT_OK;
}

uint64_t mlx5_remote_total(Mlx5Qp *qp)
{
    return qp->in->req.total;
}

/* A step of a QP that stands in for another QEMU's. It is gone afterwards if that
 * was the last one. */
Step mlx5_remote_step(Mlx5Qp *qp)
{
    Mlx5Remote *in = qp->in;
    uint8_t op = qp->wqe.raw[3];
    Step step;

    if (qp->fault_failed && !is_datagram(in->req.st)) {
        step = rc_fault_failed(qp);
    } else if (qp->fault_failed) {
        step = STEP_FAILED;
    } else if (is_datagram(in->req.st)) {
        step = ud_arrive(qp, in->data, in->req.piece);
    } else {
        step = op == OP_ATOMIC_CS || op == OP_ATOMIC_FA ? atomic_step(qp) :
                                                          rc_step(qp);
    }
    if (step == STEP_MORE && qp->wqe.done < in->req.done + in->req.piece) {
        return STEP_MORE;
    }
    if (step == STEP_NOT_READY || step == STEP_FAULTED) {
        return step;
    }
    remote_answer(in, step);
    return STEP_GONE;
}

/* A QP like the one that sends, in the place of which it is executed */
static void wire_requested(Mlx5Dev *d, const Mlx5Frame *f, const void *data,
                           uint32_t len)
{
    bool here = is_datagram(f->st) ||           /* ud_arrive() looks */
                (f->dlid ? f->dlid == d->lid :
                           d->guid + 1 == ldq_be_p(f->dgid + 8));
    Mlx5Remote *in = g_new0(Mlx5Remote, 1);
    Mlx5Qp *qp = g_new0(Mlx5Qp, 1);
    void *path;

    in->req = *f;
    in->data = g_malloc0(MAX(f->piece, 8));
    memcpy(in->data, data, MIN(len, f->piece));
    in->qp = qp;
    qp->in = in;
    qp->dev = d;
    QLIST_INSERT_HEAD(&d->wire_out.remotes, in, next);
    if (!here || d->inject.syndrome) {
        in->syndrome = SYN_RETRY_EXC;
        remote_answer(in, STEP_FAILED);
        return;
    }
    qp->qpn = f->sqpn;
    qp->wqe.active = true;
    qp->wqe.done = f->done;
    qp->wqe.len = sizeof(f->wqe);
    memcpy(qp->wqe.raw, f->wqe, sizeof(f->wqe));
    MLX5_SET(qpc, qp->ctx, state, MLX5_QPS_RTS);
    MLX5_SET(qpc, qp->ctx, st, f->st);
    MLX5_SET(qpc, qp->ctx, remote_qpn, f->dqpn);
    MLX5_SET(qpc, qp->ctx, rnr_retry, f->rnr_retry);
    MLX5_SET(qpc, qp->ctx, q_key, f->qkey);
    path = MLX5_PTR(qpc, qp->ctx, primary_address_path);
    MLX5_SET(ads, path, rlid, d->lid);
    mlx5_qp_kick(qp);
}

/* --- the character device */

static int wire_can_read(void *opaque)
{
    return FRAME_MAX;
}

static void wire_read(void *opaque, const uint8_t *buf, int size)
{
    Mlx5Dev *d = opaque;
    GByteArray *in = d->wire_out.in;
    Mlx5Frame f;

    g_byte_array_append(in, buf, size);
    while (in->len >= sizeof(f)) {
        memcpy(&f, in->data, sizeof(f));
        if (f.magic != MAGIC || f.bytes < sizeof(f) || f.bytes > FRAME_MAX ||
            f.piece > WIRE_PIECE || f.done > f.total ||
            f.piece > f.total - f.done) {
            mlx5_warn(d, "no frame of a model's: the wire is cut");
            g_byte_array_set_size(in, 0);
            qemu_chr_fe_disconnect(&d->wire_out.chr);
            return;
        }
        if (in->len < f.bytes) {
            break;
        }
        if (f.type == REQUEST) {
            wire_requested(d, &f, in->data + sizeof(f), f.bytes - sizeof(f));
        } else if (f.type == ANSWER) {
            wire_answered(d, &f, in->data + sizeof(f), f.bytes - sizeof(f));
        }
        g_byte_array_remove_range(in, 0, f.bytes);
    }
}

/* The other end is gone: nothing comes back of what was sent. */
static void wire_closed(Mlx5Dev *d)
{
    GHashTableIter it;
    gpointer value;

    d->wire_out.open = false;
    g_byte_array_set_size(d->wire_out.in, 0);
    g_byte_array_set_size(d->wire_out.out, 0);
    while (!QLIST_EMPTY(&d->wire_out.remotes)) {
        remote_free(QLIST_FIRST(&d->wire_out.remotes));
    }
    g_hash_table_iter_init(&it, d->qps);
    while (g_hash_table_iter_next(&it, NULL, &value)) {
        Mlx5Qp *qp = value;

        if (qp->far.waits) {
            qp->far.waits = false;
            qp->far.answered = true;
            qp->far.step = STEP_FAILED;
            qp->far.syndrome = SYN_RETRY_EXC;
            mlx5_qp_kick(qp);
        }
    }
}

static void wire_event(void *opaque, QEMUChrEvent event)
{
    Mlx5Dev *d = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        d->wire_out.open = true;
        break;
    case CHR_EVENT_CLOSED:
        wire_closed(d);
        break;
    default:
        break;
    }
}

void mlx5_wire_init(Mlx5Dev *d)
{
    d->wire_out.in = g_byte_array_new();
    d->wire_out.out = g_byte_array_new();
    QLIST_INIT(&d->wire_out.remotes);
    if (mlx5_wired(d)) {
        qemu_chr_fe_set_handlers(&d->wire_out.chr, wire_can_read, wire_read,
                                 wire_event, NULL, d, NULL, true);
    }
}

/* What is on its way for others; the wire stays. */
void mlx5_wire_reset(Mlx5Dev *d)
{
    while (!QLIST_EMPTY(&d->wire_out.remotes)) {
        Mlx5Remote *in = QLIST_FIRST(&d->wire_out.remotes);

        in->syndrome = SYN_RETRY_EXC;
        remote_answer(in, STEP_FAILED);
    }
}

void mlx5_wire_exit(Mlx5Dev *d)
{
    mlx5_wire_reset(d);
    if (d->wire_out.watch) {
        g_source_remove(d->wire_out.watch);
    }
    qemu_chr_fe_deinit(&d->wire_out.chr, false);
    g_byte_array_unref(d->wire_out.in);
    g_byte_array_unref(d->wire_out.out);
}
