/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire to another QEMU: frames on a character device. A requester sends a
 * piece of its work request at a time, and waits for what becomes of it. At the
 * responder's a stand-in for the requester's QP executes the piece, as if the
 * requester were in the same QEMU.
 */
#ifndef MLX5_WIRE_H
#define MLX5_WIRE_H

#include "send.h"

enum { WIRE_PIECE = 64 << 10, WIRE_HDR = 96 };

/* All that a frame begins with; in the byte order of the host, which both have. */
typedef struct Mlx5Frame {
    uint32_t bytes;             /* of the whole frame */
    uint32_t magic;
    uint32_t type;
    uint32_t tag;               /* of a request, and of its answer */
    uint16_t slid, dlid;
    uint32_t sqpn, dqpn;
    uint64_t sguid;
    uint8_t dgid[16];           /* if there is no dlid */
    /* of a request */
    uint8_t wqe[WIRE_HDR];      /* its WQE, as far as it is no data */
    uint64_t total, done;       /* bytes of the message, and before this piece */
    uint32_t piece;
    uint32_t st, rnr_retry, qkey;
    /* of an answer: what a step ends with */
    uint32_t step, syndrome;
} Mlx5Frame;

/* Of a QP that stands in for one of another QEMU */
struct Mlx5Remote {
    Mlx5Frame req;
    uint8_t *data;              /* the piece */
    uint32_t syndrome;
    QLIST_ENTRY(Mlx5Remote) next;
    Mlx5Qp *qp;
};

/* The requester: a piece of its WQE. FETCH: it brings data, and takes none. */
Step mlx5_wire_step(Mlx5Qp *qp, Mlx5Sg sg, uint64_t total, bool fetch);
/* A datagram, which is not answered. DATA: as it goes over the wire */
void mlx5_wire_datagram(Mlx5Qp *qp, const uint8_t *data, uint32_t len);
/*
 * The responder: a step of a QP that stands in, which is gone after its last one;
 * the requester's message, and the memory that the piece is in; and what
 * send_done() and send_failed() do for it
 */
Step mlx5_remote_step(Mlx5Qp *qp);
uint64_t mlx5_remote_total(Mlx5Qp *qp);
Mlx5Xlt mlx5_remote_span(Mlx5Qp *qp, Mlx5Span *span);
void mlx5_remote_end(Mlx5Qp *qp, uint8_t syndrome);

#endif
