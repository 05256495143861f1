/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data segments of work requests: how much they describe, where it is, and
 * how a piece of it moves.
 */
#include "send.h"

enum { SEG_BYTES = 16, SEG_INLINE = 1u << 31, PIECE = 64 << 10 };

Mlx5Sg sg_send(Mlx5Qp *qp, unsigned hdr)
{
    return (Mlx5Sg) {
        .seg = qp->wqe.raw + hdr, .len = qp->wqe.len - MIN(qp->wqe.len, hdr),
        .may_inline = true,
    };
}

Mlx5Sg sg_recv(Mlx5Qp *qp)
{
    return (Mlx5Sg) { .seg = qp->rwqe.raw, .len = qp->rwqe.len };
}

typedef struct Seg {
    uint32_t bytes, key;
    uint64_t va;
    uint8_t *host;              /* inline data */
} Seg;

/* The segment at *at, and *at is the next one's. False: there are no more. */
static bool seg_next(Mlx5Sg sg, unsigned *at, Seg *seg)
{
    uint8_t *s = sg.seg + *at;
    uint32_t n;

    if (*at > sg.len || sg.len - *at < SEG_BYTES) {
        return false;
    }
    n = ldl_be_p(s);
    *seg = (Seg) { .key = ldl_be_p(s + 4), .va = ldq_be_p(s + 8) };
    if (sg.may_inline && n & SEG_INLINE) {
        seg->host = s + 4;
        seg->bytes = MIN(n & 0x3ff, sg.len - *at - 4);
        *at += ROUND_UP(4 + seg->bytes, SEG_BYTES);
        return true;
    }
    *at += SEG_BYTES;
    seg->bytes = n & ~SEG_INLINE ?: SEG_INLINE;
    return n || seg->key != MLX5_TERMINATE_LKEY;
}

/* Bytes that the data segments describe. */
uint64_t sg_bytes(Mlx5Sg sg)
{
    uint64_t sum = 0;
    unsigned at = 0;
    Seg seg;

    while (seg_next(sg, &at, &seg)) {
        sum += seg.bytes;
    }
    return sum;
}

/* The memory at an offset into the data segments. */
Mlx5Xlt sg_span(Mlx5Qp *qp, Mlx5Sg sg, uint64_t off, unsigned access,
                Mlx5Span *span)
{
    unsigned at = 0;
    Seg seg;

    while (seg_next(sg, &at, &seg)) {
        if (off >= seg.bytes) {
            off -= seg.bytes;
            continue;
        }
        if (!seg.host) {
            return mlx5_translate(qp->dev, qp, seg.key, seg.va + off,
                                  seg.bytes - off, access, span);
        }
        if (access != MLX5_LOCAL_READ) {
            return MLX5_XLT_PROT;
        }
        *span = (Mlx5Span) { .host = seg.host + off, .len = seg.bytes - off };
        return MLX5_XLT_OK;
    }
    return MLX5_XLT_PROT;
}

static bool span_ready(const Mlx5Span *s, size_t len, bool write)
{
    return (!s->ats || mlx5_ats_ready(s->dev, s->dma, len, write)) &&
           !mlx5_peer_holds(s, write);
}

Step span_move(Mlx5Qp *qp, Mlx5Span *from, Mlx5Span *to)
{
    static uint8_t bounce[PIECE];
    size_t n = MIN(MIN(from->len, to->len), sizeof(bounce));
    bool ready = span_ready(from, n, false);

    if (!span_ready(to, n, true) || !ready) {
        return STEP_NOT_READY;
    }
    if (mlx5_span_rw(from, bounce, n, false) ||
        mlx5_span_rw(to, bounce, n, true)) {
        return STEP_FAILED;
    }
    qp->wqe.done += n;
    qp->dev->stat.bytes += n;
    return STEP_MORE;
}

