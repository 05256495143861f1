/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tests of the model without a guest: commands and work requests as the driver
 * makes them, and malformed ones. KTAP on stdout.
 */
#include "check.h"
#include "ats.h"
#include "faults.h"
#include "peer.h"
#include "wired.h"

static int number, failed;

static void t_rdma(void)
{
    open_both(NULL, MLX5_ST_RC);
    for (int i = 0; i < 100000; i++) {
        hca_mem(&a, DATA)[i] = i * 7;
    }
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA + 3, b.key, 100000);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&b, DATA + 3), 100000));
    CHECK(!hca_mem(&b, DATA + 2)[0] && !hca_mem(&b, DATA + 100003)[0]);
    rdma(OP_READ, a.base + DATA + 0x80000, a.key, b.base + DATA + 3, b.key, 9);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&a, DATA + 0x80000), 9));
    CHECK(hca_poll(&a, NULL) == -1);
}

static void t_send(void)
{
    uint8_t seg[16] = { 0 };

    open_both(NULL, MLX5_ST_RC);
    memset(hca_mem(&a, DATA), 0x42, 8192);
    send_bytes(OP_SEND_IMM, a.base + DATA, a.key, 5000);
    CHECK(hca_poll(&a, NULL) == -1);    /* nobody receives yet */
    hca_post_recv(&b, b.base + DATA, 8192, b.key);
    standin_pass(2 * SCALE_MS);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND_IMM);
    CHECK(!memcmp(hca_mem(&a, DATA), hca_mem(&b, DATA), 5000));
    CHECK(!hca_mem(&b, DATA + 5000)[0]);

    /* Inline data ends with its WQE, whatever its length says. */
    hca_post_recv(&b, b.base + DATA, 8192, b.key);
    stl_be_p(seg, 1u << 31 | 0x3ff);
    hca_post(&a, OP_SEND, 0, seg, sizeof(seg));
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND);
    CHECK(ldl_be_p(hca_mem(&b, CQ_BUF + 64 + 44)) == 12);
}

static void t_atomic(void)
{
    open_both(NULL, MLX5_ST_RC);
    check_fetch_add();
}

/* Each error of the responder or requester, then all is flushed */
static void error_case(uint64_t laddr, uint32_t lkey, uint64_t raddr,
                       uint32_t rkey, uint32_t len, uint8_t want)
{
    uint8_t syndrome = 0;

    open_both(NULL, MLX5_ST_RC);
    memset(hca_mem(&a, DATA), 0x42, DATA_BYTES);
    rdma(OP_WRITE, laddr, lkey ?: a.key, raddr, rkey ?: b.key, len);
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR);
    CHECK(syndrome == want);
    /* Not even the part that would have been allowed */
    for (unsigned i = 0; i < DATA_BYTES; i++) {
        if (hca_mem(&b, DATA)[i]) {
            CHECK(!"written");
            break;
        }
    }
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA, b.key, 8);
    CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR && syndrome == 5);
    close_both();
}

static void t_errors(void)
{
    uint64_t d = DATA, p = PER_HCA + DATA;

    error_case(d, 0, p, 0x12345600, 8, 0x13);
    error_case(d, 0, p + DATA_BYTES - 4, 0, 8, 0x13);
    error_case(d, 0, p - 1, 0, 8, 0x13);
    error_case(d, 0x12345600, p, 0, 8, 0x04);
    error_case(d + DATA_BYTES - 4, 0, p, 0, 8, 0x04);
    error_case(d, 0, p, 0, (1 << 30) + 1, 0x01);
    open_both(NULL, MLX5_ST_RC);
}

/* Each command, with no input to speak of, with 0xff, and cut short */
static void t_malformed(void)
{
    static uint8_t in[8192];

    open_both(NULL, MLX5_ST_RC);
    for (unsigned fill = 0; fill < 3; fill++) {
        static const unsigned lens[] = { 16, 17, 24, 64, 300, 8192 };

        for (unsigned op = 0; op < MLX5_CMD_OP_MAX; op++) {
            for (int i = 0; i < ARRAY_SIZE(lens); i++) {
                memset(in, fill == 1 ? 0xff : fill == 2 ? 0x55 : 0, sizeof(in));
                MLX5_SET(mbox_in, in, opcode, op);
                hca_cmd(&a, in, lens[i], 16);
                hca_cmd(&a, in, lens[i], 4096);
                standin_run();
            }
        }
    }
    MLX5_SET(mbox_in, in, opcode, 0x0ff0);
    CHECK(hca_cmd(&a, in, 16, 16) == MLX5_ST_BAD_OP);
    in[2] = in[3] = 0;
    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_DESTROY_QP);
    MLX5_SET(destroy_qp_in, in, qpn, 0x654321);
    CHECK(hca_cmd(&a, in, 16, 16) == MLX5_ST_BAD_RES);
}

/* A delivery error: mailboxes that are not there, lengths that cannot be */
static void t_delivery(void)
{
    uint8_t *ent, in[64] = { 0 };
    uint32_t bell = cpu_to_be32(2);

    open_both(NULL, MLX5_ST_RC);
    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_QUERY_ISSI);
    CHECK(!hca_cmd(&a, in, 16, 112));
    ent = hca_mem(&a, CMDQ + 64);
    for (int what = 0; what < 3; what++) {
        memcpy(ent, hca_mem(&a, CMDQ), 64);
        ent[63] = 1;
        stl_be_p(ent + 4, what == 0 ? UINT32_MAX : what == 1 ? 4096 : 16);
        stq_be_p(ent + 8, 0);
        stl_be_p(ent + 56, what == 2 ? 4096 : 16);
        stq_be_p(ent + 48, what == 2 ? 0x7fffffff000 : 0);
        standin_rw(standin_bar(a.pci, 0) + 0x18, &bell, 4, true);
        CHECK(!(ent[63] & 1) && ent[63] >> 1);
    }
}

/* A device that rings its own doorbell, or the other's: that is dropped. */
static void t_own_doorbell(void)
{
    uint64_t bar;
    uint8_t in[16] = { 0 };

    open_both(NULL, MLX5_ST_RC);
    /* The slot destroys the QP that writes to the doorbell */
    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_DESTROY_QP);
    MLX5_SET(destroy_qp_in, in, qpn, a.qpn);
    bar = standin_bar(a.pci, 0);
    for (int i = 0; i < 1 << 12; i += 4) {
        stl_be_p(hca_mem(&a, DATA + i), 1);
    }
    memset(hca_mem(&a, CMDQ), 0, 64);
    stl_be_p(hca_mem(&a, CMDQ + 4), 16);
    memcpy(hca_mem(&a, CMDQ + 16), in, 16);
    stl_be_p(hca_mem(&a, CMDQ + 56), 16);
    {
        Mlx5Mkey *mk = g_hash_table_lookup(MLX5(b.pci)->mkeys,
                                           GUINT_TO_POINTER(b.key >> 8));

        stq_be_p(mk->xlt, bar | 3);     /* DATA's first page is the BAR */
    }
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA + 0x18, b.key, 4);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(mlx5_qp(MLX5(a.pci), a.qpn));
}

/* An SRQ's limit is an event, once, and so is the last WQE of a QP that fails. */
static void t_srq(void)
{
    const uint8_t *eqe;

    hca_open(&a, 0, NULL);
    hca_open(&b, 1, NULL);
    CHECK(!hca_srq(&b, 0, 2));
    hca_connect(&a, &b, MLX5_ST_RC);
    for (int i = 0; i < 4; i++) {
        hca_post_srq(&b, b.base + DATA + i * 4096, 4096, b.key);
    }
    for (int i = 0; i < 4; i++) {
        memset(hca_mem(&a, DATA), i + 1, 4096);
        send_bytes(OP_SEND, a.base + DATA, a.key, 4096);
        CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
        CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND);
        CHECK(hca_mem(&b, DATA + i * 4096)[4095] == i + 1);
        while ((eqe = hca_event(&b, false)) && eqe[1] != MLX5_EV_SRQ_LIMIT) {
        }
        CHECK(!!eqe == (i == 2));
        CHECK(!eqe || ldl_be_p(eqe + 32 + 24) == b.srqn);
    }
    CHECK(!hca_move(&b, MLX5_CMD_OP_2ERR_QP, 0, NULL));
    while ((eqe = hca_event(&b, false)) && eqe[1] != MLX5_EV_QP_LAST_WQE) {
    }
    CHECK(eqe && ldl_be_p(eqe + 32 + 24) == b.qpn);
}

/* XRC: the SRQ is the one that the request names, and its CQ is told. */
static void t_xrc(void)
{
    uint8_t segs[32] = { 0 };
    uint8_t syndrome;
    Mlx5Qp *qp;

    for (int bad = 0; bad < 2; bad++) {
        hca_open(&a, 0, NULL);
        hca_open(&b, 1, NULL);
        CHECK(!hca_srq(&b, 5, 0));
        hca_connect(&a, &b, MLX5_ST_XRC);
        qp = mlx5_qp(MLX5(b.pci), b.qpn);
        MLX5_SET(qpc, qp->ctx, xrcd, 5 + bad);
        MLX5_SET(qpc, qp->ctx, pd, 0x99);       /* does not count */
        MLX5_SET(qpc, qp->ctx, cqn_rcv, 0);
        hca_post_srq(&b, b.base + DATA, 4096, b.key);
        memset(hca_mem(&a, DATA), 0x42, 100);
        stl_be_p(segs, b.srqn);
        stl_be_p(segs + 16, 100);
        stl_be_p(segs + 20, a.key);
        stq_be_p(segs + 24, a.base + DATA);
        hca_post(&a, OP_SEND, 0, segs, sizeof(segs));
        if (bad) {
            CHECK(hca_poll(&a, &syndrome) == MLX5_CQE_REQ_ERR);
            CHECK(syndrome == 0x12);
            break;
        }
        CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
        CHECK(hca_poll(&b, NULL) == MLX5_CQE_RESP_SEND);
        CHECK(ldl_be_p(hca_mem(&b, CQ_BUF + 32)) == 0x777);
        CHECK(hca_mem(&b, DATA)[99] == 0x42);
        close_both();
    }
}

static int resize_cq(Hca *h, unsigned log_size)
{
    uint8_t in[MLX5_BYTES(modify_cq_in) + 8] = { 0 };
    void *ctx = MLX5_PTR(modify_cq_in, in, cq_context);

    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_MODIFY_CQ);
    MLX5_SET(modify_cq_in, in, op_mod, 1);
    MLX5_SET(modify_cq_in, in, cqn, h->cqn);
    MLX5_SET(cqc, ctx, log_cq_size, log_size);
    stq_be_p(in + MLX5_BYTES(modify_cq_in), h->base + CQ2_BUF);
    return hca_cmd(h, in, sizeof(in), 16);
}

/* The old buffer ends with a CQE that says so; the new one can overrun. */
static void t_cq(void)
{
    uint64_t d = PER_HCA + DATA;
    const uint8_t *eqe;

    open_both(NULL, MLX5_ST_RC);
    CHECK(resize_cq(&a, 20) == MLX5_ST_BAD_PARAM);
    /* What was posted before is not overtaken. */
    standin_turns = 0;
    rdma(OP_WRITE, a.base + DATA, a.key, d, b.key, 8);
    rdma(OP_WRITE, a.base + DATA, a.key, d, b.key, 8);
    CHECK(resize_cq(&a, 0) == MLX5_ST_OUTS_CQES);
    standin_turns = 1000;
    CHECK(!resize_cq(&a, 2));
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_RESIZE);
    for (int i = 0; i < 5; i++) {
        rdma(OP_WRITE, a.base + DATA, a.key, d, b.key, 8);
    }
    /* indexes 3 to 6 of 4: three of them with the other owner bit */
    for (int i = 3; i < 7; i++) {
        CHECK(hca_mem(&a, CQ2_BUF + i % 4 * 64)[63] == !!(i & 4));
    }
    while ((eqe = hca_event(&a, false)) && eqe[1] != MLX5_EV_CQ_ERROR) {
    }
    CHECK(eqe && ldl_be_p(eqe + 32) == a.cqn && eqe[32 + 11] == 1);
}

/* To all in the group but those who have left, with a GRH in front */
static void t_multicast(void)
{
    uint8_t in[MLX5_BYTES(attach_to_mcg_in)] = { 0 }, segs[64] = { 0 };
    uint8_t *gid = MLX5_PTR(attach_to_mcg_in, in, multicast_gid);

    open_both(NULL, MLX5_ST_UD);
    gid[0] = 0xff;
    gid[15] = 0x42;
    stl_be_p(segs, 0x11);                   /* Q_Key */
    stl_be_p(segs + 8, 1u << 31 | 0xffffff);
    stw_be_p(segs + 14, 0xc001);
    stl_be_p(segs + 28, 1u << 30);
    memcpy(segs + 32, gid, 16);
    stl_be_p(segs + 48, 100);
    stl_be_p(segs + 52, a.key);
    stq_be_p(segs + 56, a.base + DATA);
    memset(hca_mem(&a, DATA), 0x42, 100);
    for (int i = 0; i < 3; i++) {
        MLX5_SET(mbox_in, in, opcode, i == 2 ? MLX5_CMD_OP_DETACH_FROM_MCG :
                 MLX5_CMD_OP_ATTACH_TO_MCG);
        MLX5_SET(attach_to_mcg_in, in, qpn, b.qpn);
        CHECK(!i || !hca_cmd(&b, in, sizeof(in), 16));
        hca_post_recv(&b, b.base + DATA, 4096, b.key);
        hca_post(&a, OP_SEND, 0, segs, sizeof(segs));
        CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
        CHECK(hca_poll(&b, NULL) == (i == 1 ? MLX5_CQE_RESP_SEND : -1));
    }
    CHECK(hca_mem(&b, DATA)[24] == 0xff && hca_mem(&b, DATA)[139] == 0x42);
    CHECK(hca_cmd(&b, in, sizeof(in), 16) == MLX5_ST_BAD_RES);
}

/* What a test injects: commands that fail, do not end, or end late; death */
static void t_inject(void)
{
    uint8_t in[16] = { 0 };
    const uint8_t *eqe;
    uint32_t word;

    open_both(NULL, MLX5_ST_RC);
    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_ALLOC_PD);
    MLX5(a.pci)->inject.fail_cmd = MLX5_CMD_OP_ALLOC_PD | MLX5_ST_NO_RES << 16;
    CHECK(hca_cmd(&a, in, 16, 16) == MLX5_ST_NO_RES);
    MLX5(a.pci)->inject.fail_cmd = 0;
    MLX5(a.pci)->inject.drop_cmd = MLX5_CMD_OP_ALLOC_PD;
    hca_cmd(&a, in, 16, 16);
    CHECK(hca_mem(&a, CMDQ)[63] == 1);  /* the device's still */
    MLX5(a.pci)->inject.drop_cmd = 0;
    MLX5(a.pci)->inject.hold_cmd = MLX5_CMD_OP_ALLOC_PD;
    hca_cmd(&a, in, 16, 16);
    CHECK(hca_mem(&a, CMDQ)[63] == 1);
    MLX5(a.pci)->inject.hold_cmd = 0;
    mlx5_cmd_doorbell(MLX5(a.pci), 0);
    CHECK(!hca_mem(&a, CMDQ)[63]);
    while (hca_event(&a, false)) {
    }
    MLX5(a.pci)->inject.cmd_event = 0xf0;
    CHECK(!hca_cmd(&a, in, 16, 16));
    eqe = hca_event(&a, false);
    CHECK(eqe && ldl_be_p(eqe + 32) == 0xf1);
    MLX5(a.pci)->inject.syndrome = 7;
    standin_rw(standin_bar(a.pci, 0) + 0x23c, &word, 4, false);
    CHECK(be32_to_cpu(word) >> 16 == 7);
    hca_cmd(&a, in, 16, 16);
    CHECK(hca_mem(&a, CMDQ)[63] == 1);
    /* What is posted to it is not answered, and goes with a reset. */
    rdma(OP_WRITE, b.base + DATA, b.key, b.base + DATA, b.key, 4);
    CHECK(hca_poll(&a, NULL) == -1);
    word = cpu_to_be32(7 << 8 | (a.base + CMDQ));
    standin_rw(standin_bar(a.pci, 0) + 0x14, &word, 4, true);
    CHECK(!MLX5(a.pci)->inject.syndrome);
    CHECK(!mlx5_qp(MLX5(a.pci), a.qpn));
    standin_rw(standin_bar(a.pci, 0) + 0x14, &word, 4, false);
    CHECK((be32_to_cpu(word) >> 8 & 7) == 1);
}

static void run(const char *name, void (*test)(void))
{
    check_ok = true;
    test();
    close_both();
    failed += !check_ok;
    printf("%sok %d %s\n", check_ok ? "" : "not ", ++number, name);
    fflush(stdout);
}

int main(void)
{
    static const struct {
        const char *name;
        void (*test)(void);
    } tests[] = {
        { "rdma", t_rdma }, { "send", t_send }, { "atomic", t_atomic },
        { "errors", t_errors }, { "odp_transport", t_odp_transport },
        { "odp_recv", t_odp_recv },
        { "odp_memory", t_odp_memory }, { "odp_events", t_odp_events },
        { "reset_in_fault", t_reset_in_fault }, { "malformed", t_malformed },
        { "delivery", t_delivery }, { "own_doorbell", t_own_doorbell },
        { "ats", t_ats },
        { "ats_crossed", t_ats_crossed }, { "srq", t_srq }, { "xrc", t_xrc }, { "cq", t_cq },
        { "multicast", t_multicast },
        { "wire", t_wire }, { "wire_cut", t_wire_cut }, { "inject", t_inject },
        { "peer_reads", t_peer_reads }, { "peer_writes", t_peer_writes },
        { "peer_own", t_peer_own }, { "peer_held", t_peer_held },
        { "peer_ats", t_peer_ats },
    };

    printf("KTAP version 1\n1..%zu\n", ARRAY_SIZE(tests));
    for (int i = 0; i < ARRAY_SIZE(tests); i++) {
        run(tests[i].name, tests[i].test);
    }
    return !!failed;
}
