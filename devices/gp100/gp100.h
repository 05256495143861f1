/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A model of an NVIDIA GP100 with one copy engine and no graphics, display or
 * video, written from Linux' nouveau driver and for it. What is in a file:
 *
 *   pci.c    the PCI function: BARs, interrupts, properties
 *   mmio.c   BAR0: a register file, and the registers that do something
 *   vbios.c  makes the VBIOS image
 *   mmu.c    page tables (version 2), and access through them
 *   fifo.c   runlists, channels, waiting and recovery
 *   pbdma.c  push buffers, and methods of the host
 *   ce.c     the copy class PASCAL_DMA_COPY_A (c0b5)
 *   fault.c  the replayable fault buffer, and faults that are not replayable
 *
 * Registers are named by their offset in BAR0, as nouveau does. All runs under
 * QEMU's big lock. The guest may write whatever it likes wherever it likes:
 * each index and size that comes from it is checked where it is used, and work
 * is done in portions.
 */
#ifndef GP100_H
#define GP100_H

#include "model.h"

#define TYPE_GP100 "gp100-model"
OBJECT_DECLARE_SIMPLE_TYPE(Gp100, GP100)

#define BAR0_SIZE       (16 * MiB)
#define BAR2_SIZE       (32 * MiB) /* what nouveau calls BAR2 is PCI BAR 3 */
#define PROM            0x300000
#define PROM_SIZE       4096
#define NR_CHANNELS     512
#define USERD_SIZE      0x200
#define CE_METHODS      0x800      /* below 0x2000 */
#define FAULT_ENTRIES   256        /* in the fault buffer, at most */
#define PORTION         (256 * KiB) /* bytes of copies in a turn */

/* Bits of the interrupt tree's first leaf (0x100) */
#define INTR_FIFO       0x00000100
#define INTR_FAULT      0x00000200
#define INTR_TIMER      0x00100000

/* Bits of the FIFO's interrupt register (0x2100) */
#define FIFO_MMU_FAULT  0x10000000
#define FIFO_RUNLIST    0x40000000
#define FIFO_NONSTALL   0x80000000

/* MMU fault units: the engines' are announced in the topology table */
#define UNIT_GR         0x00
#define UNIT_BAR1       0x04
#define UNIT_BAR2       0x05
#define UNIT_HOST0      0x06
#define UNIT_CE0        0x15

/* Reasons of MMU faults */
#define FAULT_PDE       0x00
#define FAULT_PTE       0x02
#define FAULT_LIMIT     0x03
#define FAULT_UNBOUND   0x04
#define FAULT_RO        0x06

typedef struct Fault {
    uint64_t inst;              /* instance block */
    uint64_t va;
    uint8_t reason;
    bool write;
    bool replayable;
} Fault;

/* What the MMU remembers of a page until the driver invalidates it */
#define TLB_SIZE        4096

typedef struct TlbEntry {
    uint64_t pdb;               /* the space: its page directory */
    uint64_t va;                /* by 4 KiB */
    uint64_t addr;
    bool valid, vram, ro;
} TlbEntry;

/* Why a channel does not go on; HUNG: a test has said so */
typedef enum Wait {
    RUN, WAIT_SEMAPHORE, WAIT_REPLAY, WAIT_RECOVERY, HUNG
} Wait;

typedef struct Channel {
    bool enabled;
    int runlist;                /* that it is on, from 1; 0: none */
    Wait wait;
    Fault fault;                /* that it waits for */
    uint64_t reported;          /* its number in the buffer; 0: found it full */
    uint32_t gp_get, gp_put;
    uint64_t pb;                /* rest of the push buffer: address, words */
    uint32_t pb_left;
    uint32_t mthd, subc, count; /* rest of the method: data words to come */
    bool increment, increment_once;
    uint32_t sem[4];
    uint32_t ce[CE_METHODS];
    uint32_t line, line_done;   /* of the copy that is going on */
    uint32_t turn;              /* bytes that were copied in this turn */
} Channel;

struct Gp100 {
    PCIDevice parent_obj;
    MemoryRegion bar0, bar1, bar2, vram_mr;
    uint64_t vram_size, bar1_size;
    uint8_t *vram;
    uint32_t *regs;             /* BAR0's, by number */
    uint8_t prom[PROM_SIZE];
    bool in_dma;                /* a DMA of its own is going on */

    uint32_t intr_mask[2];
    bool msi_sent;              /* and not rearmed */
    bool fault_intr;
    uint64_t fault_seen;        /* buffered when the driver saw fault_intr */
    uint32_t fault_entries;
    uint32_t cancel;            /* the channel in 0x409b00 */
    int64_t time_offset;
    QEMUTimer *alarm;

    QEMUBH *run;
    QEMUTimer *poll;            /* of semaphores */
    Channel channels[NR_CHANNELS];
    TlbEntry tlb[TLB_SIZE];

    bool trace;
    uint64_t fail_copies;       /* so many copies end with a fault, from now */
    uint64_t hang_copies;       /* not 0: copies do not begin until it is 0;
                                 * 2: the next one does not */
    uint64_t copies;            /* launched, and faults reported: for tests */
    uint64_t faults;
    uint64_t buffered;          /* those that found room in the buffer, ... */
    uint64_t overflows;         /* ... and those that did not */
    uint64_t taken;             /* of the buffered ones, by the driver */
};

static inline uint32_t *gp100_reg(Gp100 *s, uint32_t addr)
{
    return &s->regs[addr / 4];
}

static inline uint64_t gp100_bits(uint64_t value, int high, int low)
{
    return extract64(value, low, high - low + 1);
}

/* pci.c */
void gp100_intr_update(Gp100 *s);
void gp100_intr_rearm(Gp100 *s);
uint32_t gp100_intr_pending(Gp100 *s, int leaf);

/* mmio.c */
extern const MemoryRegionOps gp100_mmio_ops;
void gp100_mmio_reset(Gp100 *s);
uint64_t gp100_time(Gp100 *s);
void gp100_alarm(void *opaque);

/* vbios.c */
void gp100_vbios_make(Gp100 *s);

/* mmu.c */
uint32_t gp100_vram_rd32(Gp100 *s, uint64_t addr);
void gp100_vram_wr32(Gp100 *s, uint64_t addr, uint32_t value);
bool gp100_phys_rw(Gp100 *s, bool vram, uint64_t addr, void *buf, uint64_t len,
                   bool write);
bool gp100_va_rw(Gp100 *s, uint64_t inst, uint64_t va, void *buf, uint64_t len,
                 bool write, Fault *fault);
bool gp100_va_mapped(Gp100 *s, uint64_t inst, uint64_t va, bool write);
bool gp100_bar_inst(Gp100 *s, uint32_t reg, uint64_t *inst);
void gp100_tlb_invalidate(Gp100 *s, bool all);

/* What became of a step of a channel */
typedef enum Step {
    STEP_NEXT,                  /* done, go on */
    STEP_WAIT,                  /* to be done again when Channel.wait is over */
    STEP_YIELD,                 /* to be gone on with: others are next */
    STEP_IDLE,                  /* there is nothing to do */
} Step;

/* fifo.c */
void gp100_fifo_reset(Gp100 *s);
void gp100_fifo_runlist(Gp100 *s, uint32_t value);
void gp100_fifo_channel(Gp100 *s, uint32_t chid, bool control_written);
void gp100_fifo_userd(Gp100 *s, uint64_t addr, uint32_t value);
void gp100_fifo_kick(Gp100 *s);
void gp100_fifo_replay(Gp100 *s);
uint32_t gp100_fifo_current(Gp100 *s);
void gp100_fifo_cancel(Gp100 *s);
void gp100_fifo_intr(Gp100 *s, uint32_t bits);
void gp100_fifo_run(void *opaque);
bool gp100_channel_bound(Gp100 *s, uint32_t chid);
uint64_t gp100_channel_inst(Gp100 *s, uint32_t chid);
Step gp100_channel_fault(Gp100 *s, Channel *ch, int unit, const Fault *fault);

/* pbdma.c */
Step gp100_pbdma_step(Gp100 *s, Channel *ch, uint32_t chid);

/* ce.c */
Step gp100_ce_launch(Gp100 *s, Channel *ch, uint64_t inst);

/* fault.c */
void gp100_fault(Gp100 *s, int unit, const Fault *fault);
void gp100_fault_get(Gp100 *s, uint32_t value);

#define TRACE(s, ...) model_trace((s)->trace, TYPE_GP100, __VA_ARGS__)

#endif
