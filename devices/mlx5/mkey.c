/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory keys. A key leads to bus addresses directly (PA), through a table of
 * pages (MTT), or to other keys (KLM, KSM). An MTT that lacks the right it is
 * used with is a page fault. UMR work requests change keys and tables.
 */
#include "mlx5.h"

enum { MODE_PA = 0, MODE_MTT = 1, MODE_KLM = 2, MODE_KSM = 3, ATS = 1 };
enum { MTT_READ = 1, MTT_WRITE = 2, DEPTH_MAX = 6, XLT_MAX = 128 << 20,
       XLT_ALL_MAX = 1 << 30, MKEYS_MAX = 1 << 20 };

static unsigned mkc_mode(const void *c)
{
    return MLX5_GET(mkc, c, access_mode_4_2) << 2 |
           MLX5_GET(mkc, c, access_mode_1_0);
}

void mlx5_mkey_free(gpointer p)
{
    Mlx5Mkey *mk = p;

    mk->dev->xlt_bytes -= mk->octwords * 16;
    g_free(mk->xlt);
    g_free(mk);
}

static Mlx5Mkey *mkey_get(Mlx5Dev *d, uint32_t key)
{
    return g_hash_table_lookup(d->mkeys, GUINT_TO_POINTER(key >> 8));
}

/* The driver has written @n octwords of the table, from @first on. */
static void mkey_written(Mlx5Mkey *mk, uint64_t first, uint64_t n)
{
    for (uint64_t i = 2 * first; i < 2 * (first + n); i++) {
        if (mkc_mode(mk->ctx) == MODE_MTT && mk->xlt[i * 8 + 7] & MTT_READ) {
            mk->dev->stat.translations++;
        }
    }
}

uint8_t mlx5_create_mkey(Mlx5Dev *d, const void *in, unsigned inlen,
                         void *out, unsigned outlen)
{
    const void *c = MLX5_PTR(create_mkey_in, in, memory_key_mkey_entry);
    unsigned pas = MLX5_BYTES(create_mkey_in);
    bool access = MLX5_GET(create_mkey_in, in, pg_access);
    uint64_t given = MLX5_GET(create_mkey_in, in,
                              translations_octword_actual_size) * 16;
    uint64_t size = MLX5_GET(mkc, c, translations_octword_size) * 16;
    uint32_t index;
    Mlx5Mkey *mk;

    given = MIN(given, inlen - MIN(inlen, pas));
    size = MAX(size, ROUND_UP(given, 16));
    if (size > XLT_MAX) {
        return MLX5_ST_BAD_PARAM;
    }
    if (g_hash_table_size(d->mkeys) >= MKEYS_MAX ||
        d->xlt_bytes + size > XLT_ALL_MAX) {
        return MLX5_ST_NO_RES;
    }
    mk = g_new0(Mlx5Mkey, 1);
    mk->dev = d;
    d->xlt_bytes += size;
    memcpy(mk->ctx, c, sizeof(mk->ctx));
    mk->octwords = size / 16;
    mk->xlt = g_malloc0(size);
    if (given) {
        memcpy(mk->xlt, in + pas, given);
    }
    if (!access && mkc_mode(c) == MODE_MTT) {
        for (unsigned i = 0; i < given / 8; i++) {
            mk->xlt[i * 8 + 7] |= MTT_READ | MTT_WRITE;
        }
    }
    mkey_written(mk, 0, DIV_ROUND_UP(given, 16));
    do {
        index = MLX5_MKEY_FIRST + d->next[MLX5_NEXT_MKEY]++ % 0xfffff0;
    } while (mkey_get(d, index << 8));
    mk->key = index << 8 | MLX5_GET(mkc, c, mkey_7_0);
    g_hash_table_insert(d->mkeys, GUINT_TO_POINTER(index), mk);
    MLX5_SET(create_mkey_out, out, mkey_index, index);
    return MLX5_ST_OK;
}

uint8_t mlx5_destroy_mkey(Mlx5Dev *d, const void *in, unsigned inlen,
                          void *out, unsigned outlen)
{
    uint32_t index = MLX5_GET(destroy_mkey_in, in, mkey_index);

    return g_hash_table_remove(d->mkeys, GUINT_TO_POINTER(index)) ?
           MLX5_ST_OK : MLX5_ST_BAD_RES;
}

uint8_t mlx5_query_mkey(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    Mlx5Mkey *mk = mkey_get(d, MLX5_GET(query_mkey_in, in, mkey_index) << 8);
    unsigned at = MLX5_OFF(query_mkey_out, bsf0_klm0_pas_mtt0_1) / 8;

    if (!mk) {
        return MLX5_ST_BAD_RES;
    }
    memcpy(MLX5_PTR(query_mkey_out, out, memory_key_mkey_entry), mk->ctx,
           sizeof(mk->ctx));
    if (outlen > at) {
        memcpy(out + at, mk->xlt, MIN(outlen - at, mk->octwords * 16));
    }
    return MLX5_ST_OK;
}

uint8_t mlx5_query_special_contexts(Mlx5Dev *d, const void *in, unsigned inlen,
                                    void *out, unsigned outlen)
{
#define CTX(f, v) MLX5_SET(query_special_contexts_out, out, f, v)
    CTX(resd_lkey, MLX5_RESD_LKEY);
    CTX(null_mkey, MLX5_NULL_MKEY);
    CTX(terminate_scatter_list_mkey, MLX5_TERMINATE_LKEY);
#undef CTX
    return MLX5_ST_OK;
}

/*
 * Rights are those of the key that was named; of keys that it leads to, they
 * are the owner's own: a memory window over what its owner may not write gives
 * nobody the right to write.
 */
static unsigned owners_access(unsigned access)
{
    return access & MLX5_ANY_WRITE ? MLX5_LOCAL_WRITE : MLX5_LOCAL_READ;
}

static bool mkc_allows(Mlx5Qp *qp, const void *c, unsigned access)
{
    uint32_t qpn = MLX5_GET(mkc, c, qpn);
    uint32_t pd = qp->xrc.srqn ? qp->xrc.pd : MLX5_GET(qpc, qp->ctx, pd);
    bool umr = MLX5_GET(qpc, qp->ctx, st) == MLX5_ST_UMR;    /* has no PD */

    return !MLX5_GET(mkc, c, free) &&
           (qpn == 0xffffff || qpn == qp->qpn) &&
           (umr || MLX5_GET(mkc, c, pd) == pd) &&
           (!(access & MLX5_LOCAL_WRITE) || MLX5_GET(mkc, c, lw)) &&
           (!(access & MLX5_REMOTE_READ) || MLX5_GET(mkc, c, rr)) &&
           (!(access & MLX5_REMOTE_WRITE) || MLX5_GET(mkc, c, rw)) &&
           (!(access & MLX5_REMOTE_ATOMIC) || MLX5_GET(mkc, c, a));
}

/*
 * Where the first bytes of a range are, and how many lie together. A key is
 * looked up by its index, and has to be the whole key.
 */
Mlx5Xlt mlx5_translate(Mlx5Dev *d, Mlx5Qp *qp, uint32_t key, uint64_t va,
                       uint64_t len, unsigned access, Mlx5Span *span)
{
    *span = (Mlx5Span) { .dev = d, .dma = va, .len = len };
    if (key == MLX5_RESD_LKEY && !(access & ~(MLX5_LOCAL_READ |
                                              MLX5_LOCAL_WRITE))) {
        return MLX5_XLT_OK;
    }
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        Mlx5Mkey *mk = mkey_get(d, key);
        uint64_t start, page, i, off;
        const uint8_t *c, *e;
        unsigned shift;

        span->key = key;
        span->va = va;
        span->len = len;
        if (key == MLX5_NULL_MKEY) {
            return MLX5_XLT_FAULT;
        }
        if (!mk || mk->key != key ||
            !mkc_allows(qp, mk->ctx, depth ? owners_access(access) : access)) {
            mlx5_trace(d, "key %#x of qp %#x: %s", key, qp->qpn,
                       !mk ? "none" : mk->key != key ? "other" : "refused");
            return MLX5_XLT_PROT;
        }
        c = mk->ctx;
        span->ats = MLX5_GET(mkc, c, ma_translation_mode) == ATS && d->ats;
        start = MLX5_GET(mkc, c, start_addr);
        if (!MLX5_GET(mkc, c, length64)) {
            uint64_t size = MLX5_GET(mkc, c, len);

            if (va - start >= size || len > size - (va - start)) {
                return MLX5_XLT_PROT;
            }
        }
        if (MLX5_GET(mkc, c, translations_octword_size) == 0 &&
            mkc_mode(c) == MODE_MTT) {
            return MLX5_XLT_PROT;
        }
        shift = MLX5_GET(mkc, c, log_page_size);
        page = 1ull << shift;
        switch (mkc_mode(c)) {
        case MODE_PA:
            span->dma = va;
            return MLX5_XLT_OK;
        case MODE_MTT:
            i = (va - (start & ~(page - 1))) >> shift;
            off = va & (page - 1);
            if (i < mk->octwords * 2) {
                uint64_t mtt = ldq_be_p(mk->xlt + i * 8);

                if (mtt & (access & MLX5_ANY_WRITE ? MTT_WRITE : MTT_READ)) {
                    span->dma = (mtt & ~(page - 1)) + off;
                    span->len = MIN(len, page - off);
                    return MLX5_XLT_OK;
                }
            }
            return MLX5_XLT_FAULT;
        case MODE_KSM:
            i = (va - (start & ~(page - 1))) >> shift;
            if (i >= mk->octwords) {
                return MLX5_XLT_PROT;
            }
            e = mk->xlt + i * 16;
            off = va & (page - 1);
            len = MIN(len, page - off);
            va = ldq_be_p(e + 8) + off;
            key = ldl_be_p(e + 4);
            break;
        case MODE_KLM:
            off = va - start;
            for (i = 0; i < mk->octwords; i++) {
                e = mk->xlt + i * 16;
                if (off < ldl_be_p(e)) {
                    break;
                }
                off -= ldl_be_p(e);
            }
            if (i == mk->octwords) {
                return MLX5_XLT_PROT;
            }
            len = MIN(len, ldl_be_p(e) - off);
            va = ldq_be_p(e + 8) + off;
            key = ldl_be_p(e + 4);
            break;
        default:
            return MLX5_XLT_PROT;
        }
    }
    return MLX5_XLT_PROT;
}

int mlx5_span_rw(Mlx5Span *s, void *p, size_t len, bool write)
{
    if (s->host) {
        memcpy(write ? (void *)s->host : p, write ? p : (void *)s->host, len);
        return 0;
    }
    if (mlx5_peer_lies(s, p, len, write)) {
        return 0;
    }
    if (s->ats) {
        return mlx5_ats_dma(s->dev, s->dma, p, len, write);
    }
    return mlx5_dma(s->dev, s->dma, p, len, write);
}

/*
 * SEND with invalidate: the key is of no use until a UMR enables it again. False:
 * it is not one that the peer of this QP may invalidate.
 */
bool mlx5_mkey_invalidate(Mlx5Qp *qp, uint32_t key)
{
    Mlx5Mkey *mk = mkey_get(qp->dev, key);

    if (!mk || mk->key != key || !MLX5_GET(mkc, mk->ctx, umr_en) ||
        !MLX5_GET(mkc, mk->ctx, en_rinval) || !mkc_allows(qp, mk->ctx, 0)) {
        return false;
    }
    MLX5_SET(mkc, mk->ctx, free, 1);
    return true;
}

enum {
    UMR_CTRL = 16, UMR_MKC = UMR_CTRL + 48, UMR_DATA = UMR_MKC + 64,
    UMR_INLINE = 1 << 7, UMR_CHECK_FREE = 2 << 5, UMR_CHECK_NOT_FREE = 1 << 5,
    UMR_OFFSET = 1 << 4, UMR_CHECK_QPN = 1 << 3,
};

static void umr_mkc(uint8_t *to, const void *from, uint64_t mask)
{
#define TAKE(bit, f) \
    if (mask >> (bit) & 1) { \
        MLX5_SET(mkc, to, f, MLX5_GET(mkc, from, f)); \
    }
    TAKE(0, len);
    TAKE(0, length64);
    TAKE(1, log_page_size);
    TAKE(6, start_addr);
    TAKE(7, pd);
    TAKE(8, en_rinval);
    TAKE(12, bsf_en);
    TAKE(13, mkey_7_0);
    TAKE(14, qpn);
    TAKE(17, lr);
    TAKE(18, lw);
    TAKE(19, rr);
    TAKE(20, rw);
    TAKE(21, a);
    TAKE(23, small_fence_on_rdma_read_response);
    TAKE(25, relaxed_ordering_write);
    TAKE(29, free);
    TAKE(47, relaxed_ordering_read);
#undef TAKE
}

/* Executes the QP's current WQE, which is a UMR, up to its completion. */
Mlx5Xlt mlx5_umr(Mlx5Qp *qp, Mlx5Span *span)
{
    uint8_t *w = qp->wqe.raw, *ctrl = w + UMR_CTRL, flags = ctrl[0];
    uint32_t key = ldl_be_p(w + 12);
    uint32_t octwords = lduw_be_p(ctrl + 4);
    uint64_t offset = 0, mask = ldq_be_p(ctrl + 8);
    Mlx5Mkey *mk = mkey_get(qp->dev, key);
    uint32_t n;

    if (!mk || (MLX5_GET(qpc, qp->ctx, st) != MLX5_ST_UMR &&
                MLX5_GET(mkc, mk->ctx, pd) != MLX5_GET(qpc, qp->ctx, pd))) {
        return MLX5_XLT_PROT;
    }
    if (flags & UMR_OFFSET) {
        offset = (uint64_t)ldl_be_p(ctrl + 16) << 16 | lduw_be_p(ctrl + 6);
    }
    if (((flags & 0x60) == UMR_CHECK_FREE && MLX5_GET(mkc, mk->ctx, free)) ||
        ((flags & 0x60) == UMR_CHECK_NOT_FREE && !MLX5_GET(mkc, mk->ctx, free)) ||
        (flags & UMR_CHECK_QPN && MLX5_GET(mkc, mk->ctx, qpn) != qp->qpn) ||
        !MLX5_GET(mkc, mk->ctx, umr_en)) {
        mlx5_warn(qp->dev, "umr of key %#x: flags %#x free %d umr_en %d", key,
                 flags, (int)MLX5_GET(mkc, mk->ctx, free),
                 (int)MLX5_GET(mkc, mk->ctx, umr_en));
        return MLX5_XLT_PROT;
    }
    if (offset + octwords > mk->octwords) {
        /* padding of the last entries is more than the table has */
        octwords = mk->octwords - MIN(offset, mk->octwords);
    }
    if (octwords && flags & UMR_INLINE) {
        memcpy(mk->xlt + offset * 16, w + UMR_DATA,
               MIN(octwords * 16, sizeof(qp->wqe.raw) - UMR_DATA));
    } else if (octwords && qp->wqe.len > UMR_DATA) {
        uint32_t lkey = ldl_be_p(w + UMR_DATA + 4);
        uint64_t va = ldq_be_p(w + UMR_DATA + 8);

        for (uint32_t at = 0; at < octwords * 16; at += n) {
            Mlx5Xlt r = mlx5_translate(qp->dev, qp, lkey, va + at,
                                       octwords * 16 - at, MLX5_LOCAL_READ,
                                       span);

            if (r != MLX5_XLT_OK) {
                return r;
            }
            n = span->len;
            if (mlx5_span_rw(span, mk->xlt + offset * 16 + at, n, false)) {
                return MLX5_XLT_PROT;
            }
        }
    }
    mkey_written(mk, offset, octwords);
    umr_mkc(mk->ctx, w + UMR_MKC, mask);
    mk->key = (mk->key & ~0xffu) | MLX5_GET(mkc, mk->ctx, mkey_7_0);
    qp->dev->stat.umrs++;
    mlx5_trace(qp->dev, "umr key %#x octwords %u at %" PRIu64 " mask %#" PRIx64,
               key, octwords, offset, mask);
    return MLX5_XLT_OK;
}
