/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Completion queues. */
#include "mlx5.h"

enum { CQE_BYTES = 64, CQE_OP_OWN = 63 };
enum { ARM_SOLICITED = 1 << 24 };

void mlx5_cq_free(gpointer p)
{
    Mlx5Cq *cq = p;

    mlx5_buf_free(&cq->buf);
    g_free(cq);
}

static Mlx5Cq *cq_get(Mlx5Dev *d, uint32_t cqn)
{
    return g_hash_table_lookup(d->cqs, GUINT_TO_POINTER(cqn));
}

static uint32_t cq_unseen(const Mlx5Cq *cq)
{
    return (cq->pi - cq->ci) & 0xffffff;
}

/* The driver says in the doorbell record how far it has got. */
static void cq_look(Mlx5Dev *d, Mlx5Cq *cq)
{
    uint32_t rec;

    if (!mlx5_dma(d, MLX5_GET(cqc, cq->ctx, dbr_addr), &rec, 4, false)) {
        cq->ci = be32_to_cpu(rec) & 0xffffff;
    }
}

static bool cq_full(Mlx5Dev *d, Mlx5Cq *cq)
{
    if (cq_unseen(cq) < cq->ncqe) {
        return false;
    }
    cq_look(d, cq);
    return cq_unseen(cq) >= cq->ncqe;
}

/* There was no room for a completion: the CQ is of no use any more. */
static void cq_overrun(Mlx5Dev *d, Mlx5Cq *cq)
{
    enum { SYN_OVERRUN = 1 };
    uint8_t data[28] = { [11] = SYN_OVERRUN };

    cq->overrun = true;
    stl_be_p(data, cq->cqn);
    mlx5_eqe(d, MLX5_EV_CQ_ERROR, 0, data);
}

static void cq_event(Mlx5Dev *d, Mlx5Cq *cq)
{
    uint8_t data[28] = { 0 };

    cq->armed = CQ_UNARMED;
    stl_be_p(data + 24, cq->cqn);
    mlx5_eqe_to(d, MLX5_GET(cqc, cq->ctx, c_eqn_or_apu_element), MLX5_EV_COMP,
                0, data);
}

void mlx5_cq_doorbell(Mlx5Dev *d, uint32_t cqn, uint32_t val)
{
    Mlx5Cq *cq = cq_get(d, cqn);
    bool solicited = val & ARM_SOLICITED;
    uint32_t seen, ci = val & 0xffffff;

    if (!cq) {
        return;
    }
    cq->armed = solicited ? CQ_ARMED_SOLICITED : CQ_ARMED;
    seen = solicited ? cq->solicited : cq->pi;
    if (((seen - ci) & 0xffffff) - 1 < 0x800000) {
        cq_event(d, cq);
    }
}

/* The caller has filled in all but the opcode and the owner bit. */
void mlx5_cqe(Mlx5Dev *d, uint32_t cqn, uint8_t *cqe, unsigned opcode,
              bool solicited)
{
    bool error = opcode == MLX5_CQE_REQ_ERR || opcode == MLX5_CQE_RESP_ERR;
    Mlx5Cq *cq = cq_get(d, cqn);
    uint64_t off;

    if (!cq || cq->overrun) {
        return;
    }
    if (!MLX5_GET(cqc, cq->ctx, oi) && cq_full(d, cq)) {
        cq_overrun(d, cq);
        return;
    }
    cqe[CQE_OP_OWN] = opcode << 4 | solicited << 1 | !!(cq->pi & cq->ncqe);
    off = (uint64_t)(cq->pi & (cq->ncqe - 1)) * cq->stride +
          cq->stride - CQE_BYTES;
    mlx5_buf_rw(d, &cq->buf, off, cqe, CQE_BYTES - 1, true);
    mlx5_buf_rw(d, &cq->buf, off + CQE_OP_OWN, cqe + CQE_OP_OWN, 1, true);
    cq->pi++;
    if (solicited || error) {
        cq->solicited = cq->pi;
    }
    if (cq->armed == CQ_ARMED ||
        (cq->armed == CQ_ARMED_SOLICITED && (solicited || error))) {
        cq_event(d, cq);
    }
}

uint8_t mlx5_create_cq(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    const void *ctx = MLX5_PTR(create_cq_in, in, cq_context);
    unsigned pas = MLX5_BYTES(create_cq_in);
    Mlx5Cq *cq;

    if (g_hash_table_size(d->cqs) >= MLX5_OBJECTS_MAX) {
        return MLX5_ST_NO_RES;
    }
    cq = g_new0(Mlx5Cq, 1);
    memcpy(cq->ctx, ctx, sizeof(cq->ctx));
    cq->ncqe = 1u << MLX5_GET(cqc, ctx, log_cq_size);
    cq->stride = MLX5_GET(cqc, ctx, cqe_sz) ? 128 : 64;
    if (inlen < pas || mlx5_buf_init(&cq->buf, in + pas, inlen - pas,
                                     12 + MLX5_GET(cqc, ctx, log_page_size),
                                     MLX5_GET(cqc, ctx, page_offset),
                                     (uint64_t)cq->ncqe * cq->stride)) {
        g_free(cq);
        return MLX5_ST_BAD_PARAM;
    }
    do {
        cq->cqn = ++d->next[0] & 0xffffff;
    } while (!cq->cqn || cq_get(d, cq->cqn));
    g_hash_table_insert(d->cqs, GUINT_TO_POINTER(cq->cqn), cq);
    MLX5_SET(create_cq_out, out, cqn, cq->cqn);
    return MLX5_ST_OK;
}

uint8_t mlx5_destroy_cq(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    uint32_t cqn = MLX5_GET(destroy_cq_in, in, cqn);

    return g_hash_table_remove(d->cqs, GUINT_TO_POINTER(cqn)) ?
           MLX5_ST_OK : MLX5_ST_BAD_RES;
}

uint8_t mlx5_query_cq(Mlx5Dev *d, const void *in, unsigned inlen,
                      void *out, unsigned outlen)
{
    Mlx5Cq *cq = cq_get(d, MLX5_GET(query_cq_in, in, cqn));

    if (!cq) {
        return MLX5_ST_BAD_RES;
    }
    memcpy(MLX5_PTR(query_cq_out, out, cq_context), cq->ctx, sizeof(cq->ctx));
    return MLX5_ST_OK;
}

/*
 * The last CQE in the old buffer says so, and counts: the next one is in the new
 * buffer, at the index that follows.
 */
static uint8_t cq_resize(Mlx5Dev *d, Mlx5Cq *cq, const void *in, unsigned inlen)
{
    const void *ctx = MLX5_PTR(modify_cq_in, in, cq_context);
    unsigned pas = MLX5_BYTES(modify_cq_in);
    uint32_t ncqe = 1u << MLX5_GET(cqc, ctx, log_cq_size);
    uint32_t stride = MLX5_GET(cqc, ctx, cqe_sz) ? 128 : 64;
    uint8_t cqe[CQE_BYTES] = { 0 };
    Mlx5Buf buf;

    if (inlen < pas || mlx5_buf_init(&buf, in + pas, inlen - pas,
                                     12 + MLX5_GET(cqc, ctx, log_page_size),
                                     MLX5_GET(cqc, ctx, page_offset),
                                     (uint64_t)ncqe * stride)) {
        return MLX5_ST_BAD_PARAM;
    }
    mlx5_run_posted(d);
    cq_look(d, cq);
    if (cq_unseen(cq) > ncqe) {
        mlx5_buf_free(&buf);
        return MLX5_ST_OUTS_CQES;
    }
    mlx5_cqe(d, cq->cqn, cqe, MLX5_CQE_RESIZE, false);
    mlx5_buf_free(&cq->buf);
    cq->buf = buf;
    cq->ncqe = ncqe;
    cq->stride = stride;
#define TAKE(f) MLX5_SET(cqc, cq->ctx, f, MLX5_GET(cqc, ctx, f))
    TAKE(log_cq_size);
    TAKE(log_page_size);
    TAKE(page_offset);
    TAKE(cqe_sz);
#undef TAKE
    return MLX5_ST_OK;
}

/* Moderation needs nothing done. */
uint8_t mlx5_modify_cq(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    enum { MODERATION = 0, RESIZE = 1 };
    Mlx5Cq *cq = cq_get(d, MLX5_GET(modify_cq_in, in, cqn));

    if (!cq) {
        return MLX5_ST_BAD_RES;
    }
    switch (MLX5_GET(modify_cq_in, in, op_mod)) {
    case MODERATION:
        return MLX5_ST_OK;
    case RESIZE:
        return cq_resize(d, cq, in, inlen);
    }
    return MLX5_ST_BAD_PARAM;
}
