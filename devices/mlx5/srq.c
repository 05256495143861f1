/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared receive queues, which the driver makes as RMPs, and those of XRC: a list
 * of WQEs, each of which names the next.
 */
#include "mlx5.h"

enum { NEXT_SEG = 16, NEXT_INDEX = 2 };

void mlx5_srq_free(gpointer p)
{
    Mlx5Srq *srq = p;

    mlx5_buf_free(&srq->buf);
    g_free(srq);
}

static Mlx5Srq *srq_get(Mlx5Dev *d, uint32_t srqn)
{
    return g_hash_table_lookup(d->srqs, GUINT_TO_POINTER(srqn));
}

static Mlx5Srq *srq_new(Mlx5Dev *d)
{
    Mlx5Srq *srq = g_new0(Mlx5Srq, 1);

    do {
        srq->srqn = ++d->next[MLX5_NEXT_SRQ] & 0xffffff;
    } while (!srq->srqn || srq_get(d, srq->srqn));
    g_hash_table_insert(d->srqs, GUINT_TO_POINTER(srq->srqn), srq);
    return srq;
}

/* The WQE at the head, without its link. 1: there is one, 0: none, -1: error */
int mlx5_srq_fetch(Mlx5Dev *d, uint32_t srqn, uint8_t *raw, uint32_t *len,
                   uint16_t *index)
{
    Mlx5Srq *srq = srq_get(d, srqn);
    uint8_t wqe[512 + NEXT_SEG];
    uint32_t rec, n;

    if (!srq || !srq->nwqe) {
        return -1;
    }
    if (mlx5_dma(d, srq->dbr, &rec, 4, false)) {
        return -1;
    }
    if ((uint16_t)be32_to_cpu(rec) == (uint16_t)srq->ci) {
        return 0;
    }
    n = MIN(1u << srq->shift, sizeof(wqe));
    if (mlx5_buf_rw(d, &srq->buf,
                    (uint64_t)(srq->head & (srq->nwqe - 1)) << srq->shift, wqe,
                    n, false)) {
        return -1;
    }
    if (srq->lwm && (uint16_t)(be32_to_cpu(rec) - srq->ci) <= srq->lwm) {
        srq->lwm = 0;           /* once, until it is armed again */
        mlx5_eqe_number(d, MLX5_EV_SRQ_LIMIT, srqn);
    }
    *index = srq->head;
    *len = n - NEXT_SEG;
    memcpy(raw, wqe + NEXT_SEG, *len);
    srq->head = lduw_be_p(wqe + NEXT_INDEX);
    srq->ci++;
    return 1;
}

/* What RMPs and XRC SRQs have in common. NULL, with the status of the command */
static Mlx5Srq *srq_create(Mlx5Dev *d, const void *pas, unsigned bytes,
                           unsigned page_shift, unsigned page_offset,
                           unsigned log_size, unsigned shift, uint8_t *status)
{
    uint32_t nwqe = 1u << log_size;
    Mlx5Srq *srq;
    Mlx5Buf buf;

    if (g_hash_table_size(d->srqs) >= MLX5_OBJECTS_MAX) {
        *status = MLX5_ST_NO_RES;
        return NULL;
    }
    if (shift < 5 || mlx5_buf_init(&buf, pas, bytes, page_shift, page_offset,
                                   (uint64_t)nwqe << shift)) {
        *status = MLX5_ST_BAD_PARAM;
        return NULL;
    }
    srq = srq_new(d);
    srq->buf = buf;
    srq->nwqe = nwqe;
    srq->shift = shift;
    *status = MLX5_ST_OK;
    return srq;
}

uint8_t mlx5_create_rmp(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    const void *wq = MLX5_PTR(create_rmp_in, in, ctx.wq);
    unsigned pas = MLX5_OFF(create_rmp_in, ctx.wq.pas) / 8;
    uint8_t status;
    Mlx5Srq *srq;

    srq = srq_create(d, in + pas, inlen - MIN(inlen, pas),
                     12 + MLX5_GET(wq, wq, log_wq_pg_sz),
                     MLX5_GET(wq, wq, page_offset),
                     MLX5_GET(wq, wq, log_wq_sz),
                     MLX5_GET(wq, wq, log_wq_stride), &status);
    if (srq) {
        memcpy(srq->ctx, MLX5_PTR(create_rmp_in, in, ctx), sizeof(srq->ctx));
        srq->dbr = MLX5_GET(wq, wq, dbr_addr);
        srq->lwm = MLX5_GET(wq, wq, lwm);
        MLX5_SET(create_rmp_out, out, rmpn, srq->srqn);
    }
    return status;
}

uint8_t mlx5_query_rmp(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    Mlx5Srq *srq = srq_get(d, MLX5_GET(query_rmp_in, in, rmpn));
    uint8_t *ctx = MLX5_PTR(query_rmp_out, out, rmp_context);

    if (!srq || srq->xrc) {
        return MLX5_ST_BAD_RES;
    }
    memcpy(ctx, srq->ctx, sizeof(srq->ctx));
    MLX5_SET(rmpc, ctx, wq.lwm, srq->lwm);
    return MLX5_ST_OK;
}

/* All that can be changed is the limit. */
uint8_t mlx5_modify_rmp(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    Mlx5Srq *srq = srq_get(d, MLX5_GET(modify_rmp_in, in, rmpn));

    if (!srq || srq->xrc) {
        return MLX5_ST_BAD_RES;
    }
    if (MLX5_GET(modify_rmp_in, in, bitmask.lwm)) {
        srq->lwm = MLX5_GET(modify_rmp_in, in, ctx.wq.lwm);
    }
    return MLX5_ST_OK;
}

uint8_t mlx5_create_xrc_srq(Mlx5Dev *d, const void *in, unsigned inlen,
                            void *out, unsigned outlen)
{
    const void *c = MLX5_PTR(create_xrc_srq_in, in, xrc_srq_context_entry);
    unsigned pas = MLX5_BYTES(create_xrc_srq_in);
    uint8_t status;
    Mlx5Srq *srq;

    srq = srq_create(d, in + pas, inlen - MIN(inlen, pas),
                     12 + MLX5_GET(xrc_srqc, c, log_page_size),
                     MLX5_GET(xrc_srqc, c, page_offset),
                     MLX5_GET(xrc_srqc, c, log_xrc_srq_size),
                     4 + MLX5_GET(xrc_srqc, c, log_rq_stride), &status);
    if (srq) {
        memcpy(srq->ctx, c, MLX5_BYTES(xrc_srqc));
        srq->dbr = (uint64_t)MLX5_GET(xrc_srqc, c, db_record_addr_h) << 32 |
                   MLX5_GET(xrc_srqc, c, db_record_addr_l) << 2;
        srq->lwm = MLX5_GET(xrc_srqc, c, lwm);
        srq->xrc = true;
        MLX5_SET(create_xrc_srq_out, out, xrc_srqn, srq->srqn);
    }
    return status;
}

Mlx5Srq *mlx5_xrc_srq(Mlx5Dev *d, uint32_t srqn)
{
    Mlx5Srq *srq = srq_get(d, srqn);

    return srq && srq->xrc ? srq : NULL;
}

uint8_t mlx5_query_xrc_srq(Mlx5Dev *d, const void *in, unsigned inlen,
                           void *out, unsigned outlen)
{
    Mlx5Srq *srq = mlx5_xrc_srq(d, MLX5_GET(query_xrc_srq_in, in, xrc_srqn));
    uint8_t *c = MLX5_PTR(query_xrc_srq_out, out, xrc_srq_context_entry);

    if (!srq) {
        return MLX5_ST_BAD_RES;
    }
    memcpy(c, srq->ctx, MLX5_BYTES(xrc_srqc));
    MLX5_SET(xrc_srqc, c, lwm, srq->lwm);
    return MLX5_ST_OK;
}

uint8_t mlx5_arm_xrc_srq(Mlx5Dev *d, const void *in, unsigned inlen,
                         void *out, unsigned outlen)
{
    Mlx5Srq *srq = mlx5_xrc_srq(d, MLX5_GET(arm_xrc_srq_in, in, xrc_srqn));

    if (!srq) {
        return MLX5_ST_BAD_RES;
    }
    srq->lwm = MLX5_GET(arm_xrc_srq_in, in, lwm);
    return MLX5_ST_OK;
}

/* RMPs and XRC SRQs: the number is in the same place. */
uint8_t mlx5_destroy_srq(Mlx5Dev *d, const void *in, unsigned inlen,
                         void *out, unsigned outlen)
{
    uint32_t srqn = MLX5_GET(destroy_rmp_in, in, rmpn);

    return g_hash_table_remove(d->srqs, GUINT_TO_POINTER(srqn)) ?
           MLX5_ST_OK : MLX5_ST_BAD_RES;
}
