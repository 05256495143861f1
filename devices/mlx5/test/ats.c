/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ATS without a guest: the stand-in is the IOMMU. */
#include "ats.h"
#include "check.h"

/* Behind an IOMMU, and the keys of B use ATS */
static void ats_begin(void)
{
    Mlx5Mkey *mk;

    standin_iommu = true;
    for (int i = 0; i < ARRAY_SIZE(standin_iova); i++) {
        standin_iova[i] = (uint64_t)i * 4096;
    }
    open_both("ats=1", MLX5_ST_RC);
    mk = g_hash_table_lookup(MLX5(b.pci)->mkeys, GUINT_TO_POINTER(b.key >> 8));
    MLX5_SET(mkc, mk->ctx, ma_translation_mode, 1);
}

static void ats_end(void)
{
    close_both();
    standin_iommu = false;
    open_both(NULL, MLX5_ST_RC);
}

/* ATS: an answer is kept until the IOMMU takes it back, and no longer. */
void t_ats(void)
{
    ats_begin();
    memset(hca_mem(&a, DATA), 0x42, 4096);
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA, b.key, 4096);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(MLX5(b.pci)->stat.ats_requests == 1);
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA, b.key, 4096);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(MLX5(b.pci)->stat.ats_requests == 1);
    CHECK(!MLX5(b.pci)->stat.ats_stale);
    /* The driver has unmapped it and the IOMMU has not told yet */
    standin_iova[(b.base + DATA) / 4096] = UINT64_MAX;
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA, b.key, 4096);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(MLX5(b.pci)->stat.ats_stale == 1);
    standin_unmap(b.base + DATA, 4096);
    memset(hca_mem(&b, DATA), 0, 4096);
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA, b.key, 4096);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ_ERR);
    CHECK(!hca_mem(&b, DATA)[0]);
    CHECK(MLX5(b.pci)->stat.ats_unmaps == 1);
    ats_end();
}

/* The page is somewhere else while a request is on its way. Where it then is */
static uint64_t moved_in_request(uint64_t deaf)
{
    enum { OLD = DATA, NEW = DATA + 0x100000 };
    uint64_t *iova;

    ats_begin();
    iova = &standin_iova[(b.base + OLD) / 4096];
    MLX5(b.pci)->inject.ats_delay = 10;
    MLX5(b.pci)->inject.ats_deaf = deaf;
    memset(hca_mem(&a, DATA), 0x42, 4096);
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + OLD, b.key, 4096);
    CHECK(hca_poll(&a, NULL) == -1);
    CHECK(MLX5(b.pci)->stat.ats_requests == 1);
    CHECK(MLX5(b.pci)->stat.ats_waits == 1);
    standin_unmap(b.base + OLD, 4096);
    *iova = b.base + NEW;
    for (int i = 0; i < 50; i++) {
        standin_pass(SCALE_MS);
    }
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(MLX5(b.pci)->stat.ats_crossed == 1);
    return hca_mem(&b, OLD)[0] ? OLD : hca_mem(&b, NEW)[0] ? NEW : 0;
}

/* What crosses an invalidation is asked again; if not, that is seen. */
void t_ats_crossed(void)
{
    CHECK(moved_in_request(0) == DATA + 0x100000);
    CHECK(MLX5(b.pci)->stat.ats_requests == 2);
    CHECK(!MLX5(b.pci)->stat.ats_stale);
    ats_end();
    close_both();
    CHECK(moved_in_request(ATS_DEAF_ASKED) == DATA);
    CHECK(MLX5(b.pci)->stat.ats_requests == 1);
    CHECK(MLX5(b.pci)->stat.ats_stale == 1);
    ats_end();
}
