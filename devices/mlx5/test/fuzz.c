/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: an input is what a guest does to two HCAs that are connected: it
 * posts commands and work requests, writes to memory and registers, answers page
 * faults, resets. Nothing of that may crash the model.
 */
#include "guest.h"
#include "input.h"

static Hca a, b;
static uint32_t odp_key;
static uint32_t take_key(Hca *h)
{
    switch (take(1) % 8) {
    case 0:
        return take(4);
    case 1:
        return odp_key;
    case 2:
        return MLX5_NULL_MKEY;
    case 3:
        return MLX5_TERMINATE_LKEY;
    case 4:
        return (h == &a ? b : a).key;
    case 5:
        return 0x1000 + (take(1) << 8);     /* those made by commands */
    default:
        return h->key;
    }
}

/* Numbers of objects that are there, most of the time */
static uint32_t take_number(Hca *h)
{
    switch (take(1) % 8) {
    case 0:
        return take(3);
    case 1:
        return h->cqn;
    case 2:
        return h->eqn;
    case 3:
        return take_key(h) >> 8;
    case 4:
        return h->srqn;
    case 5:
        return take(1);
    default:
        return h->qpn;
    }
}

static void command(Hca *h)
{
    uint8_t cmd[4096] = { 0 };
    unsigned len = 16 + take(2) % (sizeof(cmd) - 16), n = take(1);

    MLX5_SET(mbox_in, cmd, opcode, take(2) % MLX5_CMD_OP_MAX);
    MLX5_SET(mbox_in, cmd, op_mod, take(1));
    stl_be_p(cmd + 8, take_number(h));
    for (unsigned i = 0; i < n; i++) {
        unsigned at = 8 + take(2) % (sizeof(cmd) - 16);

        switch (take(1) % 4) {
        case 0:
            cmd[at] = take(1);
            break;
        case 1:
            stl_be_p(cmd + at, take(4));
            break;
        case 2:
            stl_be_p(cmd + at, take_number(h));
            break;
        case 3:
            /* an address */
            stq_be_p(cmd + at, h->base + (take(2) % 0x600) * 4096);
            break;
        }
    }
    hca_cmd(h, cmd, len, 16 + take(2) % 8192);
}

static void work(Hca *h)
{
    Hca *peer = h == &a ? &b : &a;
    uint8_t segs[1008] = { 0 }, op = take(1);
    unsigned n = take(1) % (sizeof(segs) / 16);

    for (unsigned i = 0; i < n; i++) {
        uint8_t *seg = segs + i * 16;

        switch (take(1) % 4) {
        case 0:                         /* raw */
            stq_be_p(seg, take(8));
            stq_be_p(seg + 8, take(8));
            break;
        case 1:                         /* remote address */
            stq_be_p(seg, peer->base + DATA + take(3) % DATA_BYTES);
            stl_be_p(seg + 8, take_key(peer));
            break;
        default:                        /* data */
            stl_be_p(seg, take(1) & 1 ? take(4) : take(2));
            stl_be_p(seg + 4, take_key(h));
            stq_be_p(seg + 8, h->base + DATA + take(3) % DATA_BYTES);
        }
    }
    hca_post(h, op, take_key(peer), segs, n * 16);
}

static void registers(Hca *h)
{
    uint64_t at = take(1) & 1 ? take(3) : 4 * 4096 + take(2) % 4096, v = take(8);
    unsigned size = 1 << take(1) % 4;

    standin_rw(standin_bar(h->pci, 0) + (at & -size), &v, size, take(1) & 1);
}

static void scribble(Hca *h)
{
    static const uint32_t places[] = {
        CMDQ, BOX_IN, EQ_BUF, CQ_BUF, QP_BUF, QP_BUF + RQ_NENT * 64, DBR,
        SRQ_BUF, DATA,
    };
    uint64_t at = places[take(1) % ARRAY_SIZE(places)] + take(2) % 8192;

    stq_be_p(hca_mem(h, at), take(8));
}

static void step(void)
{
    uint8_t what = take(1);
    Hca *h = what & 0x80 ? &b : &a;
    const uint8_t *eqe;

    switch (what % 16) {
    default:
        command(h);
        break;
    case 4:
    case 5:
    case 6:
        work(h);
        break;
    case 7:
        registers(h);
        break;
    case 8:
        scribble(h);
        break;
    case 9:
        hca_post_recv(h, h->base + DATA + take(3) % DATA_BYTES, take(4),
                      take_key(h));
        break;
    case 10:
        standin_pass(take(2) * 1000);
        break;
    case 11:
        while ((eqe = hca_event(h, true))) {
            hca_resume(h, eqe, take(1) & 1);
        }
        standin_run();
        break;
    case 12:
        hca_move(h, MLX5_CMD_OP_RST2INIT_QP + take(1) % 16, take(4),
                 h == &a ? &b : &a);
        break;
    case 13:
        hca_poll(h, NULL);
        break;
    case 14:
        if (take(1) % 16 == 0) {
            standin_reset(h->pci);
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t kinds[] = { MLX5_ST_RC, MLX5_ST_UC, MLX5_ST_UD };

    in = data;
    left = size;
    hca_open(&a, 0, NULL);
    hca_open(&b, 1, NULL);
    hca_connect(&a, &b, kinds[take(1) % ARRAY_SIZE(kinds)]);
    odp_key = hca_mkey(&b, b.base + DATA, DATA_BYTES, 512, true);
    if (take(1) & 1) {
        MLX5_SET(odp_cap, MLX5(b.pci)->cap_cur[2], mem_page_fault, 1);
    }
    while (left) {
        step();
    }
    standin_pass(10 * SCALE_MS);
    hca_close(&a);
    hca_close(&b);
    standin_clean();
    /* What is written here; mailboxes are written whole. */
    for (int i = 0; i < HCAS; i++) {
        uint8_t *mem = standin_ram + i * PER_HCA;

        memset(mem + CMDQ, 0, 12288);
        memset(mem + EQ_BUF, 0, SRQ_BUF + 12288 - EQ_BUF);
        memset(mem + DATA, 0, 12288);
    }
    return 0;
}
