/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files share that execute work requests: send.c, sg.c, rc.c, ud.c.
 */
#ifndef MLX5_SEND_H
#define MLX5_SEND_H

#include "mlx5.h"

enum {
    OP_NOP = 0x00, OP_SEND_INVAL = 0x01, OP_RDMA_WRITE = 0x08,
    OP_RDMA_WRITE_IMM = 0x09, OP_SEND = 0x0a, OP_SEND_IMM = 0x0b,
    OP_RDMA_READ = 0x10, OP_ATOMIC_CS = 0x11, OP_ATOMIC_FA = 0x12,
    OP_UMR = 0x25,
};
enum { CTRL_BYTES = 16, CTRL_SOLICITED = 1 << 1, CTRL_CQ_UPDATE = 2 << 2 };
enum { SYN_LOCAL_LENGTH = 0x01, SYN_LOCAL_QP_OP = 0x02, SYN_LOCAL_PROT = 0x04,
       SYN_FLUSH = 0x05, SYN_MW_BIND = 0x06, SYN_REMOTE_INVAL_REQ = 0x12,
       SYN_REMOTE_ACCESS = 0x13,
       SYN_REMOTE_OP = 0x14, SYN_RETRY_EXC = 0x15, SYN_RNR_EXC = 0x16 };
enum { MSG_MAX = 1 << 30, UD_MAX = 4096 };

/* What became of a piece. */
typedef enum { STEP_DONE, STEP_MORE, STEP_FAULTED, STEP_NOT_READY,
               STEP_FAILED, STEP_GONE } Step;

/* send.c */
unsigned qp_state(Mlx5Qp *qp);
void recv_done(Mlx5Qp *qp, unsigned opcode, uint32_t imm, uint32_t bytes,
               bool solicited);
void recv_failed(Mlx5Qp *peer, uint8_t syndrome);
void send_done(Mlx5Qp *qp, uint32_t bytes);
Step send_failed(Mlx5Qp *qp, uint8_t syndrome);
Step fault_wait(Mlx5Qp *qp, Mlx5Qp *at, unsigned type, const Mlx5Span *span);

/* sg.c */
Mlx5Sg sg_send(Mlx5Qp *qp, unsigned hdr);
Mlx5Sg sg_recv(Mlx5Qp *qp);
uint64_t sg_bytes(Mlx5Sg sg);
Mlx5Xlt sg_span(Mlx5Qp *qp, Mlx5Sg sg, uint64_t off, unsigned access,
                Mlx5Span *span);
Step span_move(Mlx5Qp *qp, Mlx5Span *from, Mlx5Span *to);

/* rc.c, ud.c */
Step rc_step(Mlx5Qp *qp);
Step atomic_step(Mlx5Qp *qp);
Step rc_fault_failed(Mlx5Qp *qp);
Step ud_step(Mlx5Qp *qp);
/* The same, of a datagram that came from another QEMU */
Step ud_arrive(Mlx5Qp *qp, uint8_t *msg, uint64_t total);

#endif
