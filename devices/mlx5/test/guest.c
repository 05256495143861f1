/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The model's driver in tests without a guest, see guest.h. */
#include "guest.h"

enum { DBELL = 0x18, UAR = 4 * 4096, UAR_EQ_ARM = 0x40, UAR_BF = 0x800 };

uint8_t *hca_mem(Hca *h, uint64_t off)
{
    return standin_ram + h->base + off;
}

static void hca_write(Hca *h, uint64_t addr, uint32_t value)
{
    uint32_t v = cpu_to_be32(value);

    standin_rw(standin_bar(h->pci, 0) + addr, &v, 4, true);
}

/* Mailboxes lie one after the other, 1 KiB apart. */
static void boxes(Hca *h, uint64_t at, unsigned len)
{
    for (unsigned i = 0; i * 512 < len; i++) {
        uint64_t next = (i + 1) * 512 < len ? h->base + at + (i + 1) * 1024 : 0;

        stq_be_p(hca_mem(h, at + i * 1024 + 0x230), next);
    }
}

int hca_cmd(Hca *h, const void *in, unsigned inlen, unsigned outlen)
{
    uint8_t *ent = hca_mem(h, CMDQ);
    unsigned head = MIN(inlen, 16), left;

    memset(ent, 0, 64);
    memset(h->out, 0, sizeof(h->out));
    stl_be_p(ent + 4, inlen);
    memcpy(ent + 16, in, head);
    stl_be_p(ent + 56, outlen);
    ent[63] = 1;
    if (inlen > 16) {
        stq_be_p(ent + 8, h->base + BOX_IN);
        boxes(h, BOX_IN, inlen - 16);
        for (unsigned at = 0; at < inlen - 16; at += 512) {
            memcpy(hca_mem(h, BOX_IN + at * 2), (const uint8_t *)in + 16 + at,
                   MIN(inlen - 16 - at, 512));
        }
    }
    if (outlen > 16) {
        stq_be_p(ent + 48, h->base + BOX_OUT);
        boxes(h, BOX_OUT, outlen - 16);
    }
    hca_write(h, DBELL, 1);
    h->delivery = ent[63] >> 1;
    memcpy(h->out, ent + 32, 16);
    left = MIN(outlen, sizeof(h->out));
    for (unsigned at = 16; at < left; at += 512) {
        memcpy(h->out + at, hca_mem(h, BOX_OUT + (at - 16) * 2),
               MIN(left - at, 512));
    }
    h->status = h->out[0];
    return h->delivery ? -h->delivery : h->status;
}

#define CMD(h, name, in, out) ({ \
    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_##name); \
    hca_cmd(h, in, sizeof(in), out); })

static void pas(Hca *h, uint8_t *to, uint64_t at, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++) {
        stq_be_p(to + i * 8, h->base + at + i * 4096);
    }
}

static uint32_t create_eq(Hca *h, uint64_t buf, uint64_t events)
{
    uint8_t in[MLX5_BYTES(create_eq_in) + 8] = { 0 };
    void *ctx = MLX5_PTR(create_eq_in, in, eq_context_entry);

    MLX5_SET(eqc, ctx, log_eq_size, 6);
    stq_be_p(MLX5_PTR(create_eq_in, in, event_bitmask), events);
    pas(h, in + MLX5_BYTES(create_eq_in), buf, 1);
    for (int i = 0; i < EQ_NENT; i++) {
        *hca_mem(h, buf + i * 64 + 63) = 1;
    }
    g_assert(!CMD(h, CREATE_EQ, in, 16));
    return MLX5_GET(create_eq_out, h->out, eq_number);
}

static void create_cq(Hca *h)
{
    uint8_t in[MLX5_BYTES(create_cq_in) + 8] = { 0 };
    void *ctx = MLX5_PTR(create_cq_in, in, cq_context);

    MLX5_SET(cqc, ctx, log_cq_size, 6);
    MLX5_SET(cqc, ctx, c_eqn_or_apu_element, h->eqn);
    MLX5_SET(cqc, ctx, dbr_addr, h->base + DBR + 64);
    pas(h, in + MLX5_BYTES(create_cq_in), CQ_BUF, 1);
    for (int i = 0; i < CQ_NENT; i++) {
        *hca_mem(h, CQ_BUF + i * 64 + 63) = 0xf1;
    }
    memset(hca_mem(h, DBR + 64), 0, 8);
    g_assert(!CMD(h, CREATE_CQ, in, 16));
    h->cqn = MLX5_GET(create_cq_out, h->out, cqn);
    h->cq_ci = 0;
}

uint32_t hca_mkey(Hca *h, uint64_t iova, uint64_t len, uint32_t pages, bool odp)
{
    unsigned size = MLX5_BYTES(create_mkey_in) + pages * 8;
    g_autofree uint8_t *in = g_malloc0(size);
    void *c = MLX5_PTR(create_mkey_in, in, memory_key_mkey_entry);

    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_CREATE_MKEY);
    MLX5_SET(create_mkey_in, in, translations_octword_actual_size,
             DIV_ROUND_UP(pages, 2));
    MLX5_SET(create_mkey_in, in, pg_access, odp);
    MLX5_SET(mkc, c, access_mode_1_0, 1);
    MLX5_SET(mkc, c, umr_en, 1);
    MLX5_SET(mkc, c, lr, 1);
    MLX5_SET(mkc, c, lw, 1);
    MLX5_SET(mkc, c, rr, 1);
    MLX5_SET(mkc, c, rw, 1);
    MLX5_SET(mkc, c, a, 1);
    MLX5_SET(mkc, c, qpn, 0xffffff);
    MLX5_SET(mkc, c, pd, h->pd);
    MLX5_SET(mkc, c, start_addr, iova);
    MLX5_SET(mkc, c, len, len);
    MLX5_SET(mkc, c, log_page_size, 12);
    MLX5_SET(mkc, c, translations_octword_size, DIV_ROUND_UP(pages, 2));
    if (!odp) {
        pas(h, in + MLX5_BYTES(create_mkey_in), iova - h->base, pages);
    }
    if (hca_cmd(h, in, size, 16)) {
        return 0;
    }
    return MLX5_GET(create_mkey_out, h->out, mkey_index) << 8;
}

void hca_open(Hca *h, int n, const char *prop)
{
    uint8_t in[16] = { 0 };

    memset(h, 0, sizeof(*h));
    h->base = n * PER_HCA;
    h->pci = standin_new(TYPE_MLX5, prop, NULL);
    hca_write(h, 0x10, 0);
    hca_write(h, 0x14, h->base + CMDQ);
    h->eqn = create_eq(h, EQ_BUF, ~(1ull << MLX5_EV_PAGE_FAULT));
    h->pf_eqn = create_eq(h, PF_EQ_BUF, 1ull << MLX5_EV_PAGE_FAULT);
    create_cq(h);
    g_assert(!CMD(h, ALLOC_PD, in, 16));
    h->pd = ldl_be_p(h->out + 8);
    h->key = hca_mkey(h, h->base + DATA, DATA_BYTES, DATA_BYTES / 4096, false);
    g_assert(h->key);
}

void hca_close(Hca *h)
{
    standin_delete(h->pci);
    h->pci = NULL;
}

int hca_srq(Hca *h, uint32_t xrcd, uint16_t limit)
{
    uint8_t rmp[MLX5_OFF(create_rmp_in, ctx.wq.pas) / 8 + 8] = { 0 };
    uint8_t in[MLX5_BYTES(create_xrc_srq_in) + 8] = { 0 };
    void *wq = MLX5_PTR(create_rmp_in, rmp, ctx.wq);
    void *c = MLX5_PTR(create_xrc_srq_in, in, xrc_srq_context_entry);
    int status;

    memset(hca_mem(h, DBR + 128), 0, 8);
    for (int i = 0; i < RQ_NENT; i++) {
        stw_be_p(hca_mem(h, SRQ_BUF + i * 64 + 2), i + 1);
    }
    h->srq_pi = 0;
    if (xrcd) {
        MLX5_SET(xrc_srqc, c, log_xrc_srq_size, 4);
        MLX5_SET(xrc_srqc, c, log_rq_stride, 2);
        MLX5_SET(xrc_srqc, c, xrcd, xrcd);
        MLX5_SET(xrc_srqc, c, cqn, h->cqn);
        MLX5_SET(xrc_srqc, c, pd, h->pd);
        MLX5_SET(xrc_srqc, c, lwm, limit);
        MLX5_SET(xrc_srqc, c, user_index, 0x777);
        MLX5_SET(xrc_srqc, c, db_record_addr_l, (h->base + DBR + 128) >> 2);
        pas(h, in + MLX5_BYTES(create_xrc_srq_in), SRQ_BUF, 1);
        status = CMD(h, CREATE_XRC_SRQ, in, 16);
    } else {
        MLX5_SET(wq, wq, log_wq_sz, 4);
        MLX5_SET(wq, wq, log_wq_stride, 6);
        MLX5_SET(wq, wq, lwm, limit);
        MLX5_SET(wq, wq, dbr_addr, h->base + DBR + 128);
        pas(h, rmp + MLX5_OFF(create_rmp_in, ctx.wq.pas) / 8, SRQ_BUF, 1);
        status = CMD(h, CREATE_RMP, rmp, 16);
    }
    h->srqn = ldl_be_p(h->out + 8) & 0xffffff;
    return status;
}

void hca_post_srq(Hca *h, uint64_t addr, uint32_t len, uint32_t key)
{
    uint8_t *w = hca_mem(h, SRQ_BUF + h->srq_pi % RQ_NENT * 64 + 16);

    memset(w, 0, 48);
    stl_be_p(w, len);
    stl_be_p(w + 4, key);
    stq_be_p(w + 8, addr);
    stl_be_p(w + 20, MLX5_TERMINATE_LKEY);
    h->srq_pi++;
    stl_be_p(hca_mem(h, DBR + 128), h->srq_pi);
}

void hca_qp(Hca *h, unsigned st, uint32_t srqn)
{
    uint8_t in[MLX5_BYTES(create_qp_in) + 16] = { 0 };
    void *c = MLX5_PTR(create_qp_in, in, qpc);

    MLX5_SET(qpc, c, st, st);
    MLX5_SET(qpc, c, pd, h->pd);
    MLX5_SET(qpc, c, log_rq_size, 4);
    MLX5_SET(qpc, c, log_rq_stride, 2);
    MLX5_SET(qpc, c, log_sq_size, 6);
    MLX5_SET(qpc, c, rq_type, srqn ? 1 : 0);
    MLX5_SET(qpc, c, srqn_rmpn_xrqn, srqn);
    MLX5_SET(qpc, c, cqn_snd, h->cqn);
    MLX5_SET(qpc, c, cqn_rcv, h->cqn);
    MLX5_SET(qpc, c, dbr_addr, h->base + DBR);
    pas(h, in + MLX5_BYTES(create_qp_in), QP_BUF, 2);
    memset(hca_mem(h, DBR), 0, 8);
    h->sq_pi = h->rq_pi = 0;
    g_assert(!CMD(h, CREATE_QP, in, 16));
    h->qpn = MLX5_GET(create_qp_out, h->out, qpn);
    h->srqn = srqn;
}

int hca_move(Hca *h, uint16_t op, uint32_t opt, Hca *peer)
{
    uint8_t in[MLX5_BYTES(rst2init_qp_in)] = { 0 };
    void *c = MLX5_PTR(rst2init_qp_in, in, qpc);

    MLX5_SET(rst2init_qp_in, in, opcode, op);
    MLX5_SET(rst2init_qp_in, in, qpn, h->qpn);
    MLX5_SET(rst2init_qp_in, in, opt_param_mask, opt);
    MLX5_SET(qpc, c, rre, 1);
    MLX5_SET(qpc, c, rwe, 1);
    MLX5_SET(qpc, c, rae, 1);
    MLX5_SET(qpc, c, q_key, 0x11);
    if (peer) {
        MLX5_SET(qpc, c, remote_qpn, peer->qpn);
        MLX5_SET(qpc, c, primary_address_path.rlid, MLX5(peer->pci)->lid);
    }
    MLX5_SET(qpc, c, rnr_retry, 7);
    return hca_cmd(h, in, sizeof(in), 16);
}

static void hca_rts(Hca *h, Hca *peer)
{
    g_assert(!hca_move(h, MLX5_CMD_OP_RST2INIT_QP, 0, peer));
    g_assert(!hca_move(h, MLX5_CMD_OP_INIT2RTR_QP, 0, peer));
    g_assert(!hca_move(h, MLX5_CMD_OP_RTR2RTS_QP, 0, peer));
}

void hca_connect(Hca *a, Hca *b, unsigned st)
{
    hca_qp(a, st, a->srqn);
    hca_qp(b, st, b->srqn);
    hca_rts(a, b);
    hca_rts(b, a);
}

void hca_post(Hca *h, uint8_t op, uint32_t imm, const void *segs, unsigned len)
{
    uint64_t sq = QP_BUF + (h->srqn ? 0 : RQ_NENT * 64), bell;
    uint8_t w[1024] = { 0 };

    stl_be_p(w, (uint32_t)h->sq_pi << 8 | op);
    stl_be_p(w + 4, h->qpn << 8 | DIV_ROUND_UP(16 + len, 16));
    w[11] = 2 << 2;
    stl_be_p(w + 12, imm);
    if (len) {
        memcpy(w + 16, segs, len);
    }
    for (unsigned at = 0; at < 16 + len; at += 64) {
        memcpy(hca_mem(h, sq + h->sq_pi++ % SQ_NBB * 64), w + at, 64);
    }
    stl_be_p(hca_mem(h, DBR + 4), h->sq_pi);
    memcpy(&bell, w, 8);
    standin_rw(standin_bar(h->pci, 0) + UAR + UAR_BF, &bell, 8, true);
    standin_run();
}

void hca_post_recv(Hca *h, uint64_t addr, uint32_t len, uint32_t key)
{
    uint8_t *w = hca_mem(h, QP_BUF + h->rq_pi % RQ_NENT * 64);

    memset(w, 0, 64);
    stl_be_p(w, len);
    stl_be_p(w + 4, key);
    stq_be_p(w + 8, addr);
    stl_be_p(w + 20, MLX5_TERMINATE_LKEY);
    h->rq_pi++;
    stl_be_p(hca_mem(h, DBR), h->rq_pi);
}

int hca_poll(Hca *h, uint8_t *syndrome)
{
    uint8_t *cqe = hca_mem(h, CQ_BUF + h->cq_ci % CQ_NENT * 64);
    int op = cqe[63] >> 4;

    if (op == 0xf || (cqe[63] & 1) != !!(h->cq_ci & CQ_NENT)) {
        return -1;
    }
    if (syndrome) {
        *syndrome = op >= MLX5_CQE_REQ_ERR ? cqe[55] : 0;
    }
    h->cq_ci++;
    stl_be_p(hca_mem(h, DBR + 64), h->cq_ci);
    return op;
}

const uint8_t *hca_event(Hca *h, bool pf)
{
    uint32_t *ci = pf ? &h->pf_ci : &h->eq_ci;
    uint8_t *eqe = hca_mem(h, (pf ? PF_EQ_BUF : EQ_BUF) + *ci % EQ_NENT * 64);

    if ((eqe[63] & 1) != !!(*ci & EQ_NENT)) {
        return NULL;
    }
    ++*ci;
    hca_write(h, UAR + UAR_EQ_ARM,
              (pf ? h->pf_eqn : h->eqn) << 24 | (*ci & 0xffffff));
    return eqe;
}

int hca_resume(Hca *h, const uint8_t *eqe, bool error)
{
    uint8_t in[MLX5_BYTES(page_fault_resume_in)] = { 0 };

    MLX5_SET(mbox_in, in, opcode, MLX5_CMD_OP_PAGE_FAULT_RESUME);
#define INFO(f, v) MLX5_SET(page_fault_resume_in, in, page_fault_info.f, v)
    if (eqe[3] == 2) {
        INFO(mem_page_fault_info.fault_token_47_32, lduw_be_p(eqe + 32 + 6));
        INFO(mem_page_fault_info.fault_token_31_0, ldl_be_p(eqe + 32 + 8));
    } else {
        INFO(trans_page_fault_info.fault_token, eqe[3] ?
             ldl_be_p(eqe + 32 + 24) & 0xffffff : ldl_be_p(eqe + 32 + 12));
    }
    INFO(trans_page_fault_info.error, error);
#undef INFO
    return hca_cmd(h, in, sizeof(in), 16);
}
