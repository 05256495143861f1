/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of a ConnectX HCA with one InfiniBand port, for the Linux drivers
 * mlx5_core and mlx5_ib. What is in a file:
 *
 *   pci.c    the PCI function: BAR, init segment, doorbells, interrupts
 *   cmd.c    the command queue, and the table of commands
 *   caps.c   what the device says that it can do
 *   port.c   the port: addresses, state, registers, MADs
 *   eq.c     event queues
 *   cq.c     completion queues
 *   qp.c     queue pairs: their contexts, states and work queues
 *   srq.c    shared receive queues
 *   send.c   executes work requests, of all QPs in turn
 *   sg.c     the data segments of work requests
 *   rc.c     RC and UC: sends, RDMA, atomics
 *   ud.c     datagrams
 *   mkey.c   memory keys: translation, and UMR, which changes them
 *   odp.c    page faults
 *   ats.c    address translation by the IOMMU, asked for and kept
 *   peer.c   a fabric between devices that lies, for tests
 *   wire.c   the wire to another QEMU
 *
 * Contexts are kept as the driver wrote them, big endian, and read with
 * MLX5_GET(). All runs under QEMU's big lock.
 */
#ifndef MLX5_H
#define MLX5_H

#include "bits.h"
#include "chardev/char-fe.h"
#include "qemu/queue.h"
#include "model.h"

#define TYPE_MLX5 "mlx5-model"
OBJECT_DECLARE_SIMPLE_TYPE(Mlx5Dev, MLX5)

enum {
    MLX5_VECTORS = 16,
    MLX5_EQS = 64,
    MLX5_UAR_FIRST = 4,         /* the init segment is below */
    MLX5_UARS = 4096,
    MLX5_CAP_BYTES = 4096,
    MLX5_CAP_TYPES = 0x40,
    MLX5_OBJECTS_MAX = 1 << 18,         /* of a kind, as the caps say */
    MLX5_NEXT_QP = 64, MLX5_NEXT_MKEY = 65, MLX5_NEXT_SRQ = 66,    /* in Mlx5Dev.next */
};

enum {
    MLX5_RESD_LKEY = 0x000001fe,
    MLX5_NULL_MKEY = 0x000002fe,
    MLX5_TERMINATE_LKEY = 0x00000100,
    MLX5_MKEY_FIRST = 0x10,
};

/* A queue's memory: pages of the same size, from an offset in the first. */
typedef struct Mlx5Buf {
    uint64_t *pas;
    uint32_t npas;
    uint32_t shift;
    uint64_t offset;
} Mlx5Buf;

typedef struct Mlx5Eq {
    uint8_t ctx[MLX5_BYTES(eqc)];
    Mlx5Buf buf;
    uint64_t mask[4];
    uint32_t eqn, nent, pi, ci;
    bool used, armed;
} Mlx5Eq;

typedef struct Mlx5Cq {
    uint8_t ctx[MLX5_BYTES(cqc)];
    Mlx5Buf buf;
    uint32_t cqn, ncqe, stride, pi;
    uint32_t ci;                /* of the driver, when it was looked at */
    bool overrun;
    uint32_t solicited;         /* pi after the last solicited CQE */
    enum { CQ_UNARMED, CQ_ARMED_SOLICITED, CQ_ARMED } armed;
} Mlx5Cq;

typedef struct Mlx5Srq {
    uint8_t ctx[MLX5_OFF(rmpc, wq.pas) / 8];    /* or an xrc_srqc */
    Mlx5Buf buf;
    uint64_t dbr;
    uint32_t srqn, nwqe, shift, ci;
    uint16_t head, lwm;
    bool xrc;
} Mlx5Srq;

typedef struct Mlx5Mkey {
    Mlx5Dev *dev;
    uint32_t key;
    uint8_t ctx[MLX5_BYTES(mkc)];
    uint8_t *xlt;               /* MTTs, or KLMs or KSMs */
    uint32_t octwords;
} Mlx5Mkey;

/* Bytes that the device can move at once; or cannot: the key and the address
 * that a page fault is about. */
typedef struct Mlx5Span {
    Mlx5Dev *dev;
    uint64_t dma;
    uint8_t *host;              /* inline data instead */
    uint64_t len;
    bool ats;
    uint32_t key;
    uint64_t va;
} Mlx5Span;

/* A list of data segments: of a WQE, or of a receive WQE. */
typedef struct Mlx5Sg {
    uint8_t *seg;
    unsigned len;
    bool may_inline;            /* data in the list itself: only a sender's */
} Mlx5Sg;

typedef struct Mlx5Group {
    uint8_t gid[16];
    uint32_t qpn;
} Mlx5Group;

typedef struct Mlx5Fault Mlx5Fault;
typedef struct Mlx5Qp Mlx5Qp;
typedef struct Mlx5Remote Mlx5Remote;

struct Mlx5Qp {
    Mlx5Dev *dev;
    uint32_t qpn;
    uint8_t ctx[MLX5_BYTES(qpc)];
    Mlx5Buf buf;
    uint32_t rq_bytes;          /* the SQ follows the RQ */
    uint32_t sq_nbb, rq_nwqe, rq_shift;
    uint32_t sq_ci, rq_ci;

    struct {                    /* the send WQE that is executed */
        bool active;
        uint8_t raw[1024];
        uint32_t len;
        uint64_t done;
        unsigned rnr;
        int64_t rnr_until;
    } wqe;
    struct {                    /* the receive WQE that is filled */
        bool active;
        uint8_t raw[512];
        uint32_t len;
        uint16_t index;
        uint16_t slid;          /* of a datagram: who sent it */
        uint32_t rqpn;
    } rwqe;
    struct {                    /* of an XRC request: whose SRQ it names */
        uint32_t srqn, cqn, uidx, pd;
    } xrc;

    struct {                    /* the piece that another QEMU executes */
        bool waits, answered;
        uint32_t tag, piece, at, step, syndrome;
        uint8_t *data;
    } far;
    Mlx5Remote *in;             /* stands in for a QP of another QEMU */

    bool queued;
    QTAILQ_ENTRY(Mlx5Qp) run;
    Mlx5Fault *fault;           /* is waited for */
    QLIST_ENTRY(Mlx5Qp) waits;
    bool fault_remote, fault_failed;
    bool polled;                /* looked at again by the timer */
    QLIST_ENTRY(Mlx5Qp) poll;
};

struct Mlx5Fault {
    Mlx5Dev *dev;
    unsigned type;              /* MLX5_PF_, or 0: memory scheme */
    uint64_t token;
    uint32_t key;
    uint64_t va;
    QLIST_HEAD(, Mlx5Qp) waiters;
    QLIST_ENTRY(Mlx5Fault) next;
};

struct Mlx5Dev {
    PCIDevice pci;
    MemoryRegion bar;
    QLIST_ENTRY(Mlx5Dev) wire;

    /* properties */
    uint16_t lid;
    uint64_t guid;
    bool odp, odp_memory, ats, trace;
    uint32_t odp_events;        /* of a fault, at most */
    bool reset_wanted;
    uint32_t boot_pages, init_pages;

    uint64_t cmdq;
    unsigned nic_interface;     /* who owns the device, as the driver writes it */
    GArray *pages;              /* given by the driver */
    GArray *groups;             /* Mlx5Group: QPs that are in multicast groups */
    uint8_t *cap_max[MLX5_CAP_TYPES], *cap_cur[MLX5_CAP_TYPES];
    uint32_t next[64 + 3];      /* numbers given */
    uint32_t held;              /* slots, because of inject.hold_cmd */
    uint64_t xlt_bytes;         /* in all translation tables */
    Mlx5Eq eq[MLX5_EQS];
    GHashTable *cqs, *qps, *srqs, *mkeys;
    QEMUBH *bh;
    QEMUTimer *timer;
    QTAILQ_HEAD(, Mlx5Qp) run;
    QLIST_HEAD(, Mlx5Qp) poll;
    QLIST_HEAD(, Mlx5Fault) faults;
    uint64_t token;
    GHashTable *atc;
    MemoryListener ats_listener;
    QLIST_HEAD(, AtsListen) ats_listens;
    QLIST_HEAD(, AtsRequest) ats_requests;
    struct {                    /* to another QEMU */
        CharBackend chr;
        bool open;
        guint watch;
        uint32_t tag;
        GByteArray *in, *out;
        QLIST_HEAD(, Mlx5Remote) remotes;
    } wire_out;
    struct {                    /* what a test wants to go wrong */
        uint64_t fail_cmd;      /* opcode | status << 16 */
        uint64_t drop_cmd;      /* this opcode is not executed */
        uint64_t hold_cmd;      /* nor is this one, as long as it is here */
        uint64_t cmd_event;     /* slots that events name as well */
        uint64_t syndrome;      /* the firmware has died of this */
        uint64_t cmd_timeout;   /* ms, that the driver is told; 0: nothing */
        uint64_t ats_delay;     /* ms until a translation request completes */
        uint64_t ats_deaf;      /* invalidations that are ignored: ATS_DEAF_ */
        uint64_t peer_read;     /* of other devices' BARs: PEER_ */
        uint64_t peer_write;
        uint64_t peer_offset;   /* bytes that writes there land too far */
    } inject;
    struct {
        uint64_t faults, resumes, umrs, wqes, bytes, ats_requests, ats_unmaps,
                 ats_waits, ats_crossed, ats_stale, commands, refused, translations,
                 peer_dropped, peer_corrupted, peer_displaced, peer_held;
    } stat;
};

#define mlx5_trace(d, fmt, ...) \
    model_trace((d)->trace, TYPE_MLX5, "%d: " fmt, (d)->lid, ##__VA_ARGS__)
#define mlx5_warn(d, fmt, ...) \
    model_warn(TYPE_MLX5, "%d: " fmt, (d)->lid, ##__VA_ARGS__)

/* pci.c */
bool mlx5_begin(Mlx5Dev *d);
void mlx5_end(void);
/* Who has that address, of those that FROM shares its wire with */
Mlx5Dev *mlx5_by_lid(Mlx5Dev *from, uint16_t lid);
Mlx5Dev *mlx5_by_gid(Mlx5Dev *from, const uint8_t *gid);
/* All on the wire, one after the other; NULL: the first one, or no more */
Mlx5Dev *mlx5_next(Mlx5Dev *d);
int mlx5_dma(Mlx5Dev *d, uint64_t addr, void *buf, size_t len, bool write);
int mlx5_buf_init(Mlx5Buf *b, const void *pas, unsigned bytes, unsigned shift,
                  unsigned page_offset, uint64_t size);
void mlx5_buf_free(Mlx5Buf *b);
int mlx5_buf_rw(Mlx5Dev *d, Mlx5Buf *b, uint64_t off, void *p, size_t len,
                bool write);

/* cmd.c; a command returns its status */
typedef uint8_t Mlx5Cmd(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen);
enum {
    MLX5_ST_OK = 0, MLX5_ST_INT_ERR = 1, MLX5_ST_BAD_OP = 2,
    MLX5_ST_BAD_PARAM = 3, MLX5_ST_BAD_SYS_STATE = 4, MLX5_ST_BAD_RES = 5,
    MLX5_ST_RES_BUSY = 6, MLX5_ST_BAD_RES_STATE = 9, MLX5_ST_BAD_INDEX = 0xa,
    MLX5_ST_NO_RES = 0xf, MLX5_ST_OUTS_CQES = 0x40,
};
void mlx5_cmd_doorbell(Mlx5Dev *d, uint32_t slots);

/* caps.c */
void mlx5_caps_init(Mlx5Dev *d);
void mlx5_caps_exit(Mlx5Dev *d);
Mlx5Cmd mlx5_query_hca_cap, mlx5_set_hca_cap;

/* port.c */
Mlx5Cmd mlx5_query_vport_ctx, mlx5_query_vport_gid, mlx5_query_vport_pkey;
Mlx5Cmd mlx5_access_reg, mlx5_mad_ifc, mlx5_query_adapter;

/* eq.c */
Mlx5Cmd mlx5_create_eq, mlx5_destroy_eq, mlx5_query_eq;
void mlx5_eq_doorbell(Mlx5Dev *d, uint32_t val, bool arm);
bool mlx5_eq_wants(Mlx5Dev *d, uint8_t type);
void mlx5_eqe(Mlx5Dev *d, uint8_t type, uint8_t sub, const void *data);
void mlx5_eqe_to(Mlx5Dev *d, uint32_t eqn, uint8_t type, uint8_t sub,
                 const void *data);
void mlx5_eq_reset(Mlx5Dev *d);
enum { MLX5_EV_COMP = 0, MLX5_EV_CQ_ERROR = 0x04, MLX5_EV_CMD = 0xa,
       MLX5_EV_PAGE_FAULT = 0xc, MLX5_EV_QP_INVAL_REQ = 0x10,
       MLX5_EV_QP_ACCESS = 0x11, MLX5_EV_QP_LAST_WQE = 0x13,
       MLX5_EV_SRQ_LIMIT = 0x14 };
/* An event of a QP or an SRQ */
void mlx5_eqe_number(Mlx5Dev *d, uint8_t type, uint32_t number);

/* cq.c */
Mlx5Cmd mlx5_create_cq, mlx5_destroy_cq, mlx5_query_cq, mlx5_modify_cq;
void mlx5_cq_doorbell(Mlx5Dev *d, uint32_t cqn, uint32_t val);
void mlx5_cqe(Mlx5Dev *d, uint32_t cqn, uint8_t *cqe, unsigned opcode,
              bool solicited);
void mlx5_cq_free(gpointer cq);
enum { MLX5_CQE_REQ = 0, MLX5_CQE_RESP_WR_IMM = 1, MLX5_CQE_RESP_SEND = 2,
       MLX5_CQE_RESP_SEND_IMM = 3, MLX5_CQE_RESP_SEND_INV = 4,
       MLX5_CQE_RESIZE = 5,
       MLX5_CQE_REQ_ERR = 13, MLX5_CQE_RESP_ERR = 14 };

/* qp.c */
Mlx5Cmd mlx5_create_qp, mlx5_destroy_qp, mlx5_modify_qp, mlx5_query_qp;
void mlx5_qp_free(gpointer qp);
Mlx5Qp *mlx5_qp(Mlx5Dev *d, uint32_t qpn);
int mlx5_qp_fetch_send(Mlx5Qp *qp);
/* The SRQ that it receives from, or 0 */
uint32_t mlx5_qp_srqn(const Mlx5Qp *qp);
int mlx5_qp_fetch_recv(Mlx5Qp *qp);
void mlx5_qp_stop(Mlx5Qp *qp);
enum { MLX5_RQ_OWN = 0, MLX5_RQ_SRQ = 1 };
enum { MLX5_QPS_RST = 0, MLX5_QPS_INIT = 1, MLX5_QPS_RTR = 2, MLX5_QPS_RTS = 3,
       MLX5_QPS_SQER = 4, MLX5_QPS_SQD = 5, MLX5_QPS_ERR = 6 };
enum { MLX5_ST_RC = 0, MLX5_ST_UC = 1, MLX5_ST_UD = 2, MLX5_ST_XRC = 3,
       MLX5_ST_QP0 = 7,
       MLX5_ST_QP1 = 8, MLX5_ST_UMR = 0xc };

/* srq.c */
Mlx5Cmd mlx5_create_rmp, mlx5_query_rmp, mlx5_modify_rmp, mlx5_destroy_srq;
Mlx5Cmd mlx5_create_xrc_srq, mlx5_query_xrc_srq, mlx5_arm_xrc_srq;
Mlx5Srq *mlx5_xrc_srq(Mlx5Dev *d, uint32_t srqn);
void mlx5_srq_free(gpointer srq);
int mlx5_srq_fetch(Mlx5Dev *d, uint32_t srqn, uint8_t *raw, uint32_t *len,
                   uint16_t *index);

/* send.c */
void mlx5_qp_kick(Mlx5Qp *qp);
void mlx5_qp_last_wqe(Mlx5Qp *qp);
void mlx5_qp_poll(Mlx5Qp *qp);
void mlx5_run(void *opaque);
void mlx5_run_posted(Mlx5Dev *d);
void mlx5_timer(void *opaque);

/* ud.c */
Mlx5Cmd mlx5_attach_to_mcg, mlx5_detach_from_mcg;

/* mkey.c */
Mlx5Cmd mlx5_create_mkey, mlx5_destroy_mkey, mlx5_query_mkey;
Mlx5Cmd mlx5_query_special_contexts;
void mlx5_mkey_free(gpointer mkey);
enum { MLX5_LOCAL_READ = 1, MLX5_LOCAL_WRITE = 2, MLX5_REMOTE_READ = 4,
       MLX5_REMOTE_WRITE = 8, MLX5_REMOTE_ATOMIC = 16,
       MLX5_ANY_WRITE = MLX5_LOCAL_WRITE | MLX5_REMOTE_WRITE |
                        MLX5_REMOTE_ATOMIC };
typedef enum { MLX5_XLT_OK, MLX5_XLT_FAULT, MLX5_XLT_PROT } Mlx5Xlt;
Mlx5Xlt mlx5_translate(Mlx5Dev *d, Mlx5Qp *qp, uint32_t key, uint64_t va,
                       uint64_t len, unsigned access, Mlx5Span *span);
Mlx5Xlt mlx5_umr(Mlx5Qp *qp, Mlx5Span *span);
bool mlx5_mkey_invalidate(Mlx5Qp *qp, uint32_t key);
int mlx5_span_rw(Mlx5Span *s, void *p, size_t len, bool write);

/* wire.c */
void mlx5_wire_init(Mlx5Dev *d);
void mlx5_wire_reset(Mlx5Dev *d);
void mlx5_wire_exit(Mlx5Dev *d);
bool mlx5_wired(Mlx5Dev *d);
void mlx5_wire_forget(Mlx5Qp *qp);

/* ats.c */
void mlx5_ats_init(Mlx5Dev *d);
void mlx5_ats_exit(Mlx5Dev *d);
void mlx5_ats_reset(Mlx5Dev *d);
int mlx5_ats_dma(Mlx5Dev *d, uint64_t addr, void *buf, size_t len, bool write);
/* What of x-ats-deaf: for what is kept, and for what is asked for just then */
enum { ATS_DEAF_KEPT = 1, ATS_DEAF_ASKED = 2 };
/* False: requests are on their way that have to complete first. */
bool mlx5_ats_ready(Mlx5Dev *d, uint64_t addr, size_t len, bool write);

/* peer.c */
/* What of x-peer-read and x-peer-write; to hold: not to end while it is set */
enum { PEER_DROP = 1, PEER_CORRUPT = 2, PEER_HOLD = 3 };
/* True: the access has been made, and went wrong. */
bool mlx5_peer_lies(Mlx5Span *s, void *p, size_t len, bool write);
bool mlx5_peer_holds(const Mlx5Span *s, bool write);

/* odp.c */
enum { MLX5_PF_RMP = 0, MLX5_PF_REQ_SEND = 1, MLX5_PF_RESP = 2,
       MLX5_PF_REQ_READ = 3, MLX5_PF_RDMA = 8 };
void mlx5_fault(Mlx5Qp *qp, Mlx5Qp *at, unsigned type, const Mlx5Span *span);
Mlx5Cmd mlx5_page_fault_resume;
void mlx5_fault_reset(Mlx5Dev *d);

#endif
