/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The model's driver in tests without a guest: it posts commands and work
 * requests as mlx5_core, mlx5_ib and libmlx5 do, in memory that it lays out as
 * below.
 */
#ifndef MLX5_GUEST_H
#define MLX5_GUEST_H

#include "mlx5.h"
#include "standin.h"

enum {
    HCAS = 2, PER_HCA = 8 << 20,        /* what each HCA has of memory */
    /* in that */
    CMDQ = 0x0000, BOX_IN = 0x10000, BOX_OUT = 0x80000, EQ_BUF = 0x100000,
    PF_EQ_BUF = 0x110000, CQ_BUF = 0x120000, QP_BUF = 0x130000,
    DBR = 0x140000, SRQ_BUF = 0x150000, CQ2_BUF = 0x160000, DATA = 0x400000,
    DATA_BYTES = 0x200000,
    EQ_NENT = 64, CQ_NENT = 64, SQ_NBB = 64, RQ_NENT = 16,
};

typedef struct Hca {
    PCIDevice *pci;
    uint64_t base;                      /* of its memory */
    uint32_t eqn, pf_eqn, cqn, pd, qpn, key, srqn;
    uint32_t cq_ci, eq_ci, pf_ci;
    uint16_t sq_pi, rq_pi, srq_pi;
    uint8_t status;                     /* of the last command */
    uint8_t delivery;
    uint8_t out[4096];
} Hca;

/* The memory at an offset of an HCA's own */
uint8_t *hca_mem(Hca *h, uint64_t off);
/* Executes a command; out is in h->out. 0, or the status it ended with */
int hca_cmd(Hca *h, const void *in, unsigned inlen, unsigned outlen);
/* HCA with EQs, a CQ, a PD, a mkey over DATA (bus addresses are its IOVAs) */
void hca_open(Hca *h, int n, const char *prop);
void hca_close(Hca *h);
uint32_t hca_mkey(Hca *h, uint64_t iova, uint64_t len, uint32_t pages,
                  bool odp);
/* A shared receive queue of 16 WQEs of 64 bytes: h->srqn. xrcd: one of XRC */
int hca_srq(Hca *h, uint32_t xrcd, uint16_t limit);
void hca_post_srq(Hca *h, uint64_t addr, uint32_t len, uint32_t key);
/* QPs of a transport, connected to each other and in RTS */
void hca_qp(Hca *h, unsigned st, uint32_t srqn);
int hca_move(Hca *h, uint16_t op, uint32_t opt, Hca *peer);
void hca_connect(Hca *a, Hca *b, unsigned st);

/* Posts a WQE: op, and segments after the control segment; rings */
void hca_post(Hca *h, uint8_t op, uint32_t imm, const void *segs, unsigned len);
void hca_post_recv(Hca *h, uint64_t addr, uint32_t len, uint32_t key);
/* The next CQE's opcode, or -1; its syndrome, if it is an error's */
int hca_poll(Hca *h, uint8_t *syndrome);
/* The next event of the EQ for page faults, or of the other: its data, or NULL */
const uint8_t *hca_event(Hca *h, bool pf);
int hca_resume(Hca *h, const uint8_t *data, bool error);

#endif
