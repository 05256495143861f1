/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page faults without a guest: the test is the driver that answers. */
#include "check.h"
#include "faults.h"

/* A fault is an event, the WQE waits, and goes on when the MTT is there. */
static void odp(bool memory)
{
    uint64_t iova = PER_HCA + DATA + 0x100000;
    const uint8_t *eqe;
    uint8_t syndrome;
    Mlx5Mkey *mk;
    uint32_t key;

    open_both(NULL, MLX5_ST_RC);
    if (memory) {
        /* what the driver does by SET_HCA_CAP */
        MLX5_SET(odp_cap, MLX5(b.pci)->cap_cur[2], mem_page_fault, 1);
    }
    key = hca_mkey(&b, iova, 8192, 2, true);
    CHECK(key);
    /* those of DATA, and none of the new key, whose table is empty */
    CHECK(MLX5(b.pci)->stat.translations == DATA_BYTES / 4096);
    mk = g_hash_table_lookup(MLX5(b.pci)->mkeys, GUINT_TO_POINTER(key >> 8));
    memset(hca_mem(&a, DATA), 0x42, 8192);
    rdma(OP_WRITE, a.base + DATA, a.key, iova, key, 8192);
    for (int page = 0; page < 2; page++) {
        CHECK(hca_poll(&a, NULL) == -1);
        eqe = hca_event(&b, true);
        CHECK(eqe);
        if (!eqe) {
            return;
        }
        stq_be_p(mk->xlt + page * 8, (iova + page * 4096) | 3);
        CHECK(!hca_resume(&b, eqe, false));
        standin_run();
        CHECK(hca_resume(&b, eqe, false));  /* there is none any more */
    }
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&b, DATA + 0x100000), 8192));

    /* For reading only: a WRITE faults, and the driver says no. */
    stq_be_p(mk->xlt, iova | 1);
    rdma(OP_READ, a.base + DATA, a.key, iova, key, 8);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    rdma(OP_WRITE, a.base + DATA, a.key, iova, key, 8);
    eqe = hca_event(&b, true);
    CHECK(eqe && hca_poll(&a, NULL) == -1);
    CHECK(eqe && !hca_resume(&b, eqe, true));
    standin_run();
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR && syndrome == 0x13);
}

void t_odp_transport(void)
{
    odp(false);
}

void t_odp_memory(void)
{
    odp(true);
}

/* Several events of one fault: it is resumed at the last, which has a flag. */
void t_odp_events(void)
{
    uint64_t iova = PER_HCA + DATA + 0x100000;
    Mlx5Mkey *mk;
    uint32_t key;

    open_both("x-odp-events=3", MLX5_ST_RC);
    MLX5_SET(odp_cap, MLX5(b.pci)->cap_cur[2], mem_page_fault, 1);
    key = hca_mkey(&b, iova, 5 * 4096, 5, true);
    mk = g_hash_table_lookup(MLX5(b.pci)->mkeys, GUINT_TO_POINTER(key >> 8));
    memset(hca_mem(&a, DATA), 0x42, 5 * 4096);
    rdma(OP_WRITE, a.base + DATA, a.key, iova, key, 5 * 4096);
    for (int page = 0; page < 5; page++) {
        const uint8_t *eqe = hca_event(&b, true);
        bool last = page == 2 || page == 4;

        CHECK(eqe && ldq_be_p(eqe + 32 + 20) == iova + page * 4096);
        CHECK(eqe && !!(eqe[32] & 0x80) == last);
        CHECK(eqe && lduw_be_p(eqe + 32 + 2) == (page == 2 ? 2 : 0));
        CHECK(hca_poll(&a, NULL) == -1);
        stq_be_p(mk->xlt + page * 8, (iova + page * 4096) | 3);
        if (eqe && last) {
            CHECK(!hca_event(&b, true));
            CHECK(!hca_resume(&b, eqe, false));
            standin_run();
        }
    }
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&b, DATA + 0x100000), 5 * 4096));
}

/* In the transport scheme a fault of a receive names its queue: QP's, or SRQ. */
void t_odp_recv(void)
{
    uint64_t iova = PER_HCA + DATA + 0x100000;

    for (int srq = 0; srq < 2; srq++) {
        const uint8_t *eqe;
        Mlx5Mkey *mk;
        uint32_t key;

        if (srq) {
            close_both();
        }
        hca_open(&a, 0, NULL);
        hca_open(&b, 1, NULL);
        CHECK(!srq || !hca_srq(&b, 0, 0));
        hca_connect(&a, &b, MLX5_ST_RC);
        key = hca_mkey(&b, iova, 4096, 1, true);
        mk = g_hash_table_lookup(MLX5(b.pci)->mkeys,
                                 GUINT_TO_POINTER(key >> 8));
        (srq ? hca_post_srq : hca_post_recv)(&b, iova, 4096, key);
        memset(hca_mem(&a, DATA), 0x42, 4096);
        send_bytes(OP_SEND, a.base + DATA, a.key, 4096);
        eqe = hca_event(&b, true);
        CHECK(eqe && eqe[3] == 0);
        if (eqe) {
            CHECK(ldl_be_p(eqe + 32 + 24) == (srq ? b.srqn : 2 << 24 | b.qpn));
            CHECK(lduw_be_p(eqe + 32 + 6) == 0);
            stq_be_p(mk->xlt, iova | 3);
            CHECK(!hca_resume(&b, eqe, false));
            standin_run();
        }
        CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
        CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND);
        CHECK(hca_mem(&b, DATA + 0x100000)[4095] == 0x42);
    }
}

/* The device is reset, or unplugged, while the peer's request waits. */
void t_reset_in_fault(void)
{
    uint64_t iova = PER_HCA + DATA + 0x100000;
    uint8_t syndrome;
    uint32_t key;

    for (int what = 0; what < 4; what++) {
        open_both(NULL, MLX5_ST_RC);
        key = hca_mkey(&b, iova, 8192, 2, true);
        rdma(OP_WRITE, a.base + DATA, a.key, iova, key, 8192);
        CHECK(hca_event(&b, true) != NULL);
        switch (what) {
        case 0:
            standin_reset(b.pci);
            break;
        case 1:
            standin_delete(b.pci);
            break;
        case 2:
            standin_reset(a.pci);
            break;
        case 3:
            standin_delete(a.pci);
            break;
        }
        standin_pass(10 * SCALE_MS);
        if (what < 2) {
            CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR);
            hca_close(&a);
        } else {
            CHECK(hca_poll(&a, NULL) == -1);
            hca_close(&b);
        }
        if (what == 0) {
            hca_close(&b);
        } else if (what == 2) {
            hca_close(&a);
        }
    }
    open_both(NULL, MLX5_ST_RC);
}
