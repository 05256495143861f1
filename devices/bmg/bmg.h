/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of an Intel Battlemage GPU as the guest of an SR-IOV host sees it: a
 * virtual function with copy engines, a render and a compute engine that run
 * no shaders, no media and no display. It was written for Linux' xe driver and
 * its shared virtual memory. What is in a file:
 *
 *   pci.c    the PCI function: BARs, interrupts, properties
 *   mmio.c   BAR0: a register file, and the registers that do something
 *   mmu.c    GGTT, page tables and TLB, and access through them
 *   guc.c    the GuC's mailbox: version, what the VF has, where its buffers are
 *   ct.c     the GuC's command buffers, and the requests in them
 *   pf.c     the relay to the PF's driver: fuses
 *   sched.c  contexts: registered, on, off; which engine runs what
 *   cs.c     command streamer: rings and batches
 *   mi.c     MI commands
 *   blt.c    copy commands
 *
 * Registers and requests have xe's names. Everything runs under QEMU's big
 * lock, and nothing in the model trusts the guest: not a length, not an
 * address, not that a batch ends.
 */
#ifndef BMG_H
#define BMG_H

#include "abi.h"
#include "model.h"
#include "qemu/main-loop.h"

#define TYPE_BMG "bmg-model"
OBJECT_DECLARE_SIMPLE_TYPE(Bmg, BMG)

#define BAR0_SIZE       (16 * MiB)
#define REGS_SIZE       (4 * MiB)
#define GSM_OFFSET      (8 * MiB)       /* GGTT's entries in BAR0 */
#define GSM_SIZE        (8 * MiB)

/* The part of the GGTT that the VF has */
#define GGTT_START      0x10000000ULL
#define GGTT_SIZE       0x40000000ULL

#define NR_CONTEXTS     8192
#define CT_MAX          256             /* dwords of a message */
#define CT_SIZE_MAX     (1 * MiB)       /* of a command buffer */

/* A GuC: one of the main GT; that of the media GT says that there is none */
typedef struct Guc {
    bool media;
    bool notified;              /* while the device was busy */
    uint64_t irq_source, irq_status;
    uint64_t h2g_desc, h2g, g2h_desc, g2h;
    uint32_t h2g_size, g2h_size;        /* bytes */
    bool ct_on;
} Guc;

typedef struct Engine {
    const char *name;
    uint8_t class;              /* GuC's: 0 render, 3 copy, 4 compute */
    uint8_t logical;
    uint32_t base;              /* of its registers */
    uint8_t irq;                /* its byte in the interrupt source page */
} Engine;

/* What the MMU remembers of a page until it is told to forget it */
#define TLB_SIZE        8192

typedef struct TlbEntry {
    uint64_t root, va, pte, addr;       /* va and addr by 4 KiB */
    bool valid;
} TlbEntry;

/* Why an access failed */
enum { FAULT_NOT_PRESENT, FAULT_NO_WRITE, FAULT_NO_ATOMIC };
enum { ACCESS_READ, ACCESS_WRITE, ACCESS_ATOMIC };

typedef struct Fault {
    bool pending;
    uint64_t va;
    uint8_t level, type, access;
} Fault;

typedef struct Context {
    bool registered, enabled;
    bool loaded;                /* ran since it was enabled */
    bool waiting;               /* for a semaphore, or for its next turn */
    bool faulted;               /* waits for the answer to a page fault */
    bool watchdog;
    const Engine *engine;
    uint64_t lrc;               /* GGTT address: PPHWSP, then the image */
    uint64_t root;              /* page directory, in VRAM; 0: none */
    uint32_t asid;
    /* where it stopped, if in a batch */
    int level;
    uint64_t ret[3];
    bool ppgtt;
    uint64_t pc;
    uint64_t done;              /* bytes of the copy at pc */
    uint32_t gpr[32];
} Context;

struct Bmg {
    PCIDevice parent_obj;
    MemoryRegion bar0, regs_mr, doorbells, gsm_mr, vram_mr, bar2, window;
    uint64_t vram_size, bar2_size;      /* a small BAR shows the first part */
    uint8_t *vram;
    uint64_t *gsm;
    uint32_t *regs;
    uint8_t *buf;               /* of a copy, BUF_SIZE */

    Guc guc[2];                 /* main, media */
    bool busy;                  /* its own DMA may reach its registers */
    QEMUBH *run;
    QEMUTimer *poll;
    Context *contexts;          /* NR_CONTEXTS */
    uint32_t top;               /* of the contexts ever registered */
    uint32_t next;              /* the one that runs first */
    int64_t budget, slice;      /* of all in this turn; of who runs */

    Fault fault;
    bool use_tlb, deaf;         /* deaf: a mutation, to see that tests notice */
    uint64_t fail_copies;       /* so many copies fail, from now */
    TlbEntry *tlb;              /* TLB_SIZE */

    /* for QMP's qom-get */
    uint64_t copied, set, requests, faults, malformed;
    bool trace;
};

#define BUF_SIZE        65536

/* What contexts may cost, in bytes that are copied, before others run */
#define TURN_BUDGET     (64 * MiB)
#define TURN_SLICE      (4 * MiB)
#define COST            256             /* of a command, or a part of a copy */

static inline uint32_t *bmg_reg(Bmg *s, uint32_t addr)
{
    return &s->regs[(addr & (REGS_SIZE - 1)) / 4];
}

static inline void bmg_pay(Bmg *s, uint64_t cost)
{
    s->budget -= cost;
    s->slice -= cost;
}

/* pci.c */
void bmg_msi(Bmg *s);

/* mmio.c */
extern const MemoryRegionOps bmg_mmio_ops, bmg_doorbell_ops;
uint64_t bmg_time(void);

/* mmu.c */
bool bmg_phys_rw(Bmg *s, bool vram, uint64_t addr, void *buf, uint64_t len,
                 bool write);
bool bmg_ggtt_rw(Bmg *s, uint64_t addr, void *buf, uint64_t len, bool write);
bool bmg_va_rw(Bmg *s, uint64_t root, uint64_t va, void *buf, uint64_t len,
               bool write);
bool bmg_va_atomic(Bmg *s, uint64_t root, uint64_t va);
void bmg_tlb_flush(Bmg *s);
void bmg_tlb_flush_root(Bmg *s, uint64_t root);
void bmg_tlb_flush_range(Bmg *s, uint64_t root, uint64_t va, uint64_t len);
uint32_t bmg_ggtt_rd32(Bmg *s, uint64_t addr);
void bmg_ggtt_wr32(Bmg *s, uint64_t addr, uint32_t value);
void bmg_ggtt_wr8(Bmg *s, uint64_t addr, uint8_t value);

/* guc.c */
void bmg_guc_reset(Bmg *s);
void bmg_guc_notify(Bmg *s, Guc *g);
void bmg_guc_run(Bmg *s);

/* ct.c */
bool bmg_ct_run(Bmg *s, Guc *g);
void bmg_g2h_event(Bmg *s, Guc *g, uint32_t action, const uint32_t *data,
                   uint32_t len);

/* pf.c */
uint32_t bmg_pf_request(Bmg *s, const uint32_t *msg, uint32_t len,
                        uint32_t *reply);

/* sched.c */
void bmg_sched_reset(Bmg *s);
void bmg_sched_register(Bmg *s, const uint32_t *msg, uint32_t len);
bool bmg_sched_deregister(Bmg *s, uint32_t id);
bool bmg_sched_mode(Bmg *s, uint32_t id, bool enable);
void bmg_sched_kick(Bmg *s);
void bmg_sched_fault(Bmg *s, Context *c);
void bmg_sched_fault_answer(Bmg *s, const uint32_t *msg);
void bmg_sched_tlb_flush(Bmg *s, uint32_t asid, uint64_t va, uint64_t len);
void bmg_sched_stop(Bmg *s, Context *c);
void bmg_sched_run(void *opaque);

/* cs.c */
typedef enum Result { NEXT, JUMP, WAIT, STOP } Result;

/* Dwords of the context's image, which is a page behind the LRC's address */
#define IMAGE_STATUS_REPORT     0x57
#define IMAGE_SOURCE_REPORT     0x59

uint32_t bmg_image_rd(Bmg *s, Context *c, uint32_t index);
bool bmg_cs_rw(Bmg *s, Context *c, bool ggtt, uint64_t addr, void *buf,
               uint64_t len, bool write);
void bmg_cs_run(Bmg *s, Context *c);

/* mi.c */
enum {
    MI_STORE_DATA_IMM = 0x20,
    MI_FLUSH_DW = 0x26,
};

Result bmg_mi(Bmg *s, Context *c, const uint32_t *dw, uint32_t len);

/* blt.c */
Result bmg_blt(Bmg *s, Context *c, const uint32_t *dw, uint32_t len);

#define TRACE(s, ...)   model_trace((s)->trace, TYPE_BMG, __VA_ARGS__)
/* What hardware would not like */
#define WARN(s, ...) do {               \
        (s)->malformed++;               \
        model_warn(TYPE_BMG, __VA_ARGS__);      \
    } while (0)

#endif
