/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared receive queues, which the driver makes as RMPs: a list of WQEs, each
 * of which names the next. XRC's exist, but nothing arrives there.
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
    *index = srq->head;
    *len = n - NEXT_SEG;
    memcpy(raw, wqe + NEXT_SEG, *len);
    srq->head = lduw_be_p(wqe + NEXT_INDEX);
    srq->ci++;
    return 1;
}

uint8_t mlx5_create_rmp(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    const void *wq = MLX5_PTR(create_rmp_in, in, ctx.wq);
    unsigned pas = MLX5_OFF(create_rmp_in, ctx.wq.pas) / 8;
    unsigned shift = MLX5_GET(wq, wq, log_wq_stride);
    uint32_t nwqe = 1u << MLX5_GET(wq, wq, log_wq_sz);
    Mlx5Buf buf;
    Mlx5Srq *srq;

    if (g_hash_table_size(d->srqs) >= MLX5_OBJECTS_MAX) {
        return MLX5_ST_NO_RES;
    }
    if (inlen < pas || shift < 5 ||
        mlx5_buf_init(&buf, in + pas, inlen - pas,
                      12 + MLX5_GET(wq, wq, log_wq_pg_sz),
                      MLX5_GET(wq, wq, page_offset),
                      (uint64_t)nwqe << shift)) {
        return MLX5_ST_BAD_PARAM;
    }
    srq = srq_new(d);
    memcpy(srq->ctx, MLX5_PTR(create_rmp_in, in, ctx), sizeof(srq->ctx));
    srq->buf = buf;
    srq->nwqe = nwqe;
    srq->shift = shift;
    srq->dbr = MLX5_GET(wq, wq, dbr_addr);
    MLX5_SET(create_rmp_out, out, rmpn, srq->srqn);
    return MLX5_ST_OK;
}

uint8_t mlx5_query_rmp(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    Mlx5Srq *srq = srq_get(d, MLX5_GET(query_rmp_in, in, rmpn));

    if (!srq) {
        return MLX5_ST_BAD_RES;
    }
    memcpy(MLX5_PTR(query_rmp_out, out, rmp_context), srq->ctx,
           sizeof(srq->ctx));
    return MLX5_ST_OK;
}

uint8_t mlx5_create_xrc_srq(Mlx5Dev *d, const void *in, unsigned inlen,
                            void *out, unsigned outlen)
{
    if (g_hash_table_size(d->srqs) >= MLX5_OBJECTS_MAX) {
        return MLX5_ST_NO_RES;
    }
    MLX5_SET(create_xrc_srq_out, out, xrc_srqn, srq_new(d)->srqn);
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
