/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire to another QEMU, without a guest: both ends are in this process. */
#include "check.h"
#include "wired.h"

static void open_wired(void)
{
    hca_open(&a, 0, "chardev=1");
    hca_open(&b, 1, "chardev=2");
    hca_connect(&a, &b, MLX5_ST_RC);
    for (int i = 0; i < DATA_BYTES; i++) {
        hca_mem(&a, DATA)[i] = i * 7;
    }
}

/* Messages of many pieces, none, and one */
static void moves(void)
{
    enum { LEN = 300001 };

    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA + 3, b.key, LEN);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&b, DATA + 3), LEN));
    CHECK(!hca_mem(&b, DATA + 2)[0] && !hca_mem(&b, DATA + 3 + LEN)[0]);
    memset(hca_mem(&a, DATA + 0x100000), 0, LEN + 1);
    rdma(OP_READ, a.base + DATA + 0x100000, a.key, b.base + DATA + 3, b.key,
         LEN);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&a, DATA + 0x100000), LEN));
    CHECK(!hca_mem(&a, DATA + 0x100000 + LEN)[0]);
    send_bytes(OP_SEND_IMM, a.base + DATA, a.key, 100000);
    CHECK(hca_poll(&a, NULL) == -1);    /* nobody receives yet */
    hca_post_recv(&b, b.base + DATA, 0x100000, b.key);
    standin_pass(2 * SCALE_MS);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND_IMM);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&b, DATA), 100000));
    hca_post_recv(&b, b.base + DATA, 0x100000, b.key);
    hca_post(&a, OP_SEND_IMM, 0x1234, NULL, 0);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND_IMM);
}

/* A datagram, of which the receiver sees who sent it */
static void datagram(void)
{
    uint8_t segs[32] = { 0 };

    hca_open(&a, 0, "chardev=1");
    hca_open(&b, 1, "chardev=2");
    hca_connect(&a, &b, MLX5_ST_UD);
    memset(hca_mem(&a, DATA), 0x42, 1000);
    hca_post_recv(&b, b.base + DATA, 4096, b.key);
    stl_be_p(segs, 0x11);
    stl_be_p(segs + 8, b.qpn);
    stw_be_p(segs + 14, MLX5(b.pci)->lid);
    stl_be_p(segs + 16, 1000);
    stl_be_p(segs + 20, a.key);
    stq_be_p(segs + 24, a.base + DATA);
    hca_post(&a, OP_SEND, 0, segs, sizeof(segs));
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&b, DATA + 40), 1000));
    CHECK(lduw_be_p(hca_mem(&b, CQ_BUF + 22)) == MLX5(a.pci)->lid);
    CHECK(ldl_be_p(hca_mem(&b, CQ_BUF + 24)) == a.qpn);
    close_both();
}

void t_wire(void)
{
    uint8_t syndrome = 0;

    datagram();
    open_wired();
    moves();
    check_fetch_add();
    /* What the responder refuses */
    rdma(OP_READ, a.base + DATA, a.key, b.base + DATA, b.key ^ 0x100, 8);
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR && syndrome == 0x13);
    rdma(OP_READ, a.base + DATA, a.key, b.base + DATA, b.key, 8);
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR && syndrome == 5);
}

/* The other end goes while a request waits there, and when nothing does. */
void t_wire_cut(void)
{
    uint8_t syndrome = 0;

    open_wired();
    send_bytes(OP_SEND_IMM, a.base + DATA, a.key, 100);
    CHECK(hca_poll(&a, NULL) == -1);
    CHECK(!QLIST_EMPTY(&MLX5(b.pci)->wire_out.remotes));
    qemu_chr_fe_disconnect(&MLX5(b.pci)->wire_out.chr);
    standin_run();
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR && syndrome == 0x15);
    CHECK(QLIST_EMPTY(&MLX5(b.pci)->wire_out.remotes));
    close_both();
    open_wired();
    qemu_chr_fe_disconnect(&MLX5(b.pci)->wire_out.chr);
    rdma(OP_READ, a.base + DATA, a.key, b.base + DATA, b.key, 8);
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR && syndrome == 0x15);
    close_both();
    /* A reset of the responder, which then knows no such QP */
    open_wired();
    send_bytes(OP_SEND_IMM, a.base + DATA, a.key, 100);
    standin_reset(b.pci);
    standin_run();
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR && syndrome == 0x15);
}
