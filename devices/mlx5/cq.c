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

    if (!cq) {
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

/* Moderation needs nothing done; resizing is not offered. */
uint8_t mlx5_modify_cq(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    if (!cq_get(d, MLX5_GET(modify_cq_in, in, cqn))) {
        return MLX5_ST_BAD_RES;
    }
    return MLX5_GET(modify_cq_in, in, op_mod) ? MLX5_ST_BAD_PARAM : MLX5_ST_OK;
}
