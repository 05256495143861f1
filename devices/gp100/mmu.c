/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables of version 2: four levels of directories for 49 bits, the last
 * with entries that are a page of 2 MiB or point to two tables, of pages of
 * 64 KiB and of 4 KiB.
 */
#include "gp100.h"

#define INST_PDB        0x200 /* in the instance block */
#define INST_LIMIT      0x208

#define PDB_APERTURE(pdb)  ((pdb) & 3) /* 0: VRAM */
#define PDB_REPLAY      (3ULL << 4)
#define PDB_VERSION_2   (1ULL << 10)

#define PTE_VALID       (1ULL << 0)
#define PTE_APERTURE(pte)  (((pte) >> 1) & 3) /* PTE: 0 is VRAM */
#define PTE_PRIV        (1ULL << 5)
#define PTE_RO          (1ULL << 6)
#define PDE_APERTURE(pde)  (((pde) >> 1) & 3) /* PDE: 1 is VRAM */

uint32_t gp100_vram_rd32(Gp100 *s, uint64_t addr)
{
    uint32_t value = ~0;

    if (addr <= s->vram_size - 4) {
        value = ldl_le_p(s->vram + addr);
    }
    return value;
}

void gp100_vram_wr32(Gp100 *s, uint64_t addr, uint32_t value)
{
    if (addr <= s->vram_size - 4) {
        stl_le_p(s->vram + addr, value);
    }
}

bool gp100_phys_rw(Gp100 *s, bool vram, uint64_t addr, void *buf, uint64_t len,
                   bool write)
{
    bool ok;

    if (!vram) {
        if (s->in_dma) {
            return false;
        }
        s->in_dma = true;
        ok = model_dma(PCI_DEVICE(s), addr, buf, len, write);
        s->in_dma = false;
        return ok;
    }
    if (addr > s->vram_size || len > s->vram_size - addr) {
        return false;
    }
    if (write) {
        memcpy(s->vram + addr, buf, len);
    } else {
        memcpy(buf, s->vram + addr, len);
    }
    return true;
}

static bool entry_read(Gp100 *s, bool vram, uint64_t table, uint64_t index,
                       int words, uint64_t *entry)
{
    int i;

    if (!gp100_phys_rw(s, vram, table + index * words * 8, entry, words * 8,
                       false)) {
        return false;
    }
    for (i = 0; i < words; i++) {
        entry[i] = le64_to_cpu(entry[i]);
    }
    return true;
}

/* Bits 8.. hold the address by 4 KiB; tables of 64 KiB pages are smaller. */
static uint64_t entry_addr(uint64_t entry, bool vram, int low)
{
    uint64_t mask = MAKE_64BIT_MASK(low, (vram ? 33 : 54) - low);

    return (entry & mask) << 4;
}

/* The leaf for @va: 0 if there is none. */
static bool walk(Gp100 *s, uint64_t pdb, uint64_t va, uint64_t *pte, int *shift)
{
    static const struct { int high, low; } dir[] = {
        { 48, 47 }, { 46, 38 }, { 37, 29 }
    };
    bool vram = PDB_APERTURE(pdb) == 0;
    uint64_t table = pdb & MAKE_64BIT_MASK(12, 52), e[2];
    int i;

    for (i = 0; i < ARRAY_SIZE(dir); i++) {
        if (!entry_read(s, vram, table, gp100_bits(va, dir[i].high, dir[i].low),
                        1, e) || !PDE_APERTURE(e[0])) {
            return false;
        }
        vram = PDE_APERTURE(e[0]) == 1;
        table = entry_addr(e[0], vram, 8);
    }
    if (!entry_read(s, vram, table, gp100_bits(va, 28, 21), 2, e)) {
        return false;
    }
    *pte = 0;
    if (e[0] & PTE_VALID) {
        *pte = e[0];
        *shift = 21;
        return true;
    }
    if (PDE_APERTURE(e[0])) {
        vram = PDE_APERTURE(e[0]) == 1;
        *shift = 16;
        if (!entry_read(s, vram, entry_addr(e[0], vram, 4),
                        gp100_bits(va, 20, 16), 1, pte)) {
            return false;
        }
        /* Invalid and private: the small page does not count either */
        if (*pte & (PTE_VALID | PTE_PRIV)) {
            return true;
        }
    }
    if (PDE_APERTURE(e[1])) {
        vram = PDE_APERTURE(e[1]) == 1;
        *shift = 12;
        return entry_read(s, vram, entry_addr(e[1], vram, 8),
                          gp100_bits(va, 20, 12), 1, pte);
    }
    return PDE_APERTURE(e[0]);
}

static TlbEntry *tlb_entry(Gp100 *s, uint64_t pdb, uint64_t va)
{
    return &s->tlb[((va >> 12) ^ (pdb >> 12) * 61) % TLB_SIZE];
}

/* 0x100cbc: forget one space, whose page directory is in 0x100cb8, or all */
void gp100_tlb_invalidate(Gp100 *s, bool all)
{
    uint64_t pdb = ((uint64_t)*gp100_reg(s, 0x100cec) << 32 |
                    *gp100_reg(s, 0x100cb8)) >> 4 << 12;
    int i;

    for (i = 0; i < TLB_SIZE; i++) {
        if (all || s->tlb[i].pdb == pdb) {
            s->tlb[i].valid = false;
        }
    }
}

static bool translate(Gp100 *s, uint64_t inst, uint64_t va, bool write,
                      bool *vram, uint64_t *addr, Fault *fault)
{
    uint64_t space[2], pdb, page = va & MAKE_64BIT_MASK(12, 52), pte = 0;
    TlbEntry *tlb;
    int shift = 12;

    *fault = (Fault) { .inst = inst, .va = va, .write = write };
    if (!entry_read(s, true, inst + INST_PDB, 0, 2, space) ||
        !(space[0] & PDB_VERSION_2)) {
        fault->reason = FAULT_UNBOUND;
        return false;
    }
    fault->replayable = space[0] & PDB_REPLAY;
    if (va > (space[1] | 0xfff)) {
        fault->reason = FAULT_LIMIT;
        fault->replayable = false;
        return false;
    }
    pdb = space[0] & MAKE_64BIT_MASK(12, 52);
    tlb = tlb_entry(s, pdb, va);
    if (tlb->valid && tlb->pdb == pdb && tlb->va == page &&
        !(write && tlb->ro)) {
        *vram = tlb->vram;
        *addr = tlb->addr + (va & 0xfff);
        return true;
    }
    if (!walk(s, space[0], va, &pte, &shift)) {
        fault->reason = FAULT_PDE;
        return false;
    }
    if (!(pte & PTE_VALID)) {
        fault->reason = FAULT_PTE;
        return false;
    }
    if (write && (pte & PTE_RO)) {
        fault->reason = FAULT_RO;
        return false;
    }
    *vram = PTE_APERTURE(pte) == 0;
    *addr = entry_addr(pte, *vram, 8) + (va & MAKE_64BIT_MASK(0, shift));
    *tlb = (TlbEntry) {
        .valid = true, .pdb = pdb, .va = page, .vram = *vram,
        .addr = *addr & MAKE_64BIT_MASK(12, 52), .ro = pte & PTE_RO,
    };
    return true;
}

bool gp100_va_mapped(Gp100 *s, uint64_t inst, uint64_t va, bool write)
{
    uint64_t addr;
    Fault fault;
    bool vram;

    return translate(s, inst, va, write, &vram, &addr, &fault);
}

bool gp100_va_rw(Gp100 *s, uint64_t inst, uint64_t va, void *buf, uint64_t len,
                 bool write, Fault *fault)
{
    while (len) {
        uint64_t addr, part = MIN(len, 0x1000 - (va & 0xfff));
        bool vram;

        if (!translate(s, inst, va, write, &vram, &addr, fault)) {
            return false;
        }
        if (!gp100_phys_rw(s, vram, addr, buf, part, write)) {
            *fault = (Fault) { .inst = inst, .va = va, .write = write,
                               .reason = FAULT_PTE };
            return false;
        }
        va += part;
        buf += part;
        len -= part;
    }
    return true;
}

/* The instance block of a BAR, if the window is on */
bool gp100_bar_inst(Gp100 *s, uint32_t reg, uint64_t *inst)
{
    uint32_t value = *gp100_reg(s, reg);

    *inst = (uint64_t)gp100_bits(value, 27, 0) << 12;
    return value & 0x80000000;
}
