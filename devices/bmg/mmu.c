/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GGTT and page tables, and access through them */
#include "bmg.h"

#define PRESENT         (1ULL << 0)
#define RW              (1ULL << 1)
#define GGTT_DM         (1ULL << 1)     /* device memory */
#define COMPACT         (1ULL << 6)     /* a page table of 32 pages of 64 KiB */
#define PS              (1ULL << 7)     /* a page, above level 0 */
#define PTE_NULL        (1ULL << 9)
#define PTE_AE          (1ULL << 10)    /* atomics allowed */
#define PTE_DM          (1ULL << 11)
#define ADDR(shift)     MAKE_64BIT_MASK(shift, 52 - (shift))

bool bmg_phys_rw(Bmg *s, bool vram, uint64_t addr, void *buf, uint64_t len,
                 bool write)
{
    if (!vram) {
        /* Maybe a peer's BAR, maybe its own: then bmg_guc_notify() waits */
        return model_dma(PCI_DEVICE(s), addr, buf, len, write);
    }
    if (addr >= s->vram_size || len > s->vram_size - addr) {
        WARN(s, "VRAM address %" PRIx64 " is past the end", addr);
        return false;
    }
    if (write) {
        memcpy(s->vram + addr, buf, len);
        memory_region_set_dirty(&s->vram_mr, addr, len);
    } else {
        memcpy(buf, s->vram + addr, len);
    }
    return true;
}

bool bmg_ggtt_rw(Bmg *s, uint64_t addr, void *buf, uint64_t len, bool write)
{
    while (len) {
        uint64_t part = MIN(len, 4096 - (addr & 4095)), pte;

        if (addr >> 32) {
            WARN(s, "GGTT address %" PRIx64 "", addr);
            return false;
        }
        pte = le64_to_cpu(qatomic_read(&s->gsm[addr >> 12]));
        if (!(pte & PRESENT)) {
            WARN(s, "GGTT %" PRIx64 " is not present (%016" PRIx64 ")", addr,
                 pte);
            return false;
        }
        if (!bmg_phys_rw(s, pte & GGTT_DM, (pte & MAKE_64BIT_MASK(12, 40)) |
                         (addr & 4095), buf, part, write)) {
            return false;
        }
        addr += part;
        buf += part;
        len -= part;
    }
    return true;
}

uint32_t bmg_ggtt_rd32(Bmg *s, uint64_t addr)
{
    uint32_t value = 0;

    bmg_ggtt_rw(s, addr, &value, 4, false);
    return le32_to_cpu(value);
}

void bmg_ggtt_wr32(Bmg *s, uint64_t addr, uint32_t value)
{
    value = cpu_to_le32(value);
    bmg_ggtt_rw(s, addr, &value, 4, true);
}

void bmg_ggtt_wr8(Bmg *s, uint64_t addr, uint8_t value)
{
    bmg_ggtt_rw(s, addr, &value, 1, true);
}

/*
 * Five levels. Page tables are in VRAM and entries that point to them do not
 * say so; those of pages do.
 */
static bool walk(Bmg *s, uint64_t root, uint64_t va, uint64_t *pte,
                 uint64_t *left, uint64_t *addr)
{
    uint64_t table = root;
    bool compact = false;
    int level;

    for (level = 4; level >= 0; level--) {
        int shift = compact ? 16 : 12 + 9 * level;
        uint64_t offset = (va >> shift & (compact ? 31 : 511)) * 8;

        if (!bmg_phys_rw(s, true, table + offset, pte, 8, false)) {
            return false;
        }
        *pte = le64_to_cpu(*pte);
        *left = (1ULL << shift) - (va & MAKE_64BIT_MASK(0, shift));
        if (!(*pte & PRESENT)) {
            s->fault = (Fault){ true, va, level, FAULT_NOT_PRESENT };
            return false;
        }
        if (!level || (*pte & PTE_NULL) || ((level < 3) && (*pte & PS))) {
            *addr = (*pte & ADDR(shift)) | (va & MAKE_64BIT_MASK(0, shift));
            return true;
        }
        compact = level == 1 && (*pte & COMPACT);
        table = *pte & ADDR(12);
    }
    return false;
}

/*
 * By pages of 4 KiB, also for big ones. What is not there is not remembered.
 * An invalidation must name the pages: xe has to say all that it took away.
 */
static TlbEntry *tlb_entry(Bmg *s, uint64_t root, uint64_t va)
{
    return &s->tlb[(va >> 12 ^ root >> 12) % TLB_SIZE];
}

void bmg_tlb_flush(Bmg *s)
{
    memset(s->tlb, 0, TLB_SIZE * sizeof(*s->tlb));
}

void bmg_tlb_flush_root(Bmg *s, uint64_t root)
{
    int i;

    for (i = 0; i < TLB_SIZE; i++) {
        if (s->tlb[i].root == root) {
            s->tlb[i].valid = false;
        }
    }
}

void bmg_tlb_flush_range(Bmg *s, uint64_t root, uint64_t va, uint64_t len)
{
    int i;

    for (i = 0; i < TLB_SIZE; i++) {
        if (s->tlb[i].root == root && s->tlb[i].va - va < len) {
            s->tlb[i].valid = false;
        }
    }
}

static bool translate(Bmg *s, uint64_t root, uint64_t va, uint64_t *pte,
                      uint64_t *left, uint64_t *addr)
{
    TlbEntry *e = tlb_entry(s, root, va);

    if (!s->use_tlb) {
        return walk(s, root, va, pte, left, addr);
    }
    if (!e->valid || e->root != root || e->va != (va & ~4095ULL)) {
        if (!walk(s, root, va, pte, left, addr)) {
            return false;
        }
        *e = (TlbEntry){ root, va & ~4095ULL, *pte, *addr & ~4095ULL, true };
    }
    *pte = e->pte;
    *addr = e->addr | (va & 4095);
    *left = 4096 - (va & 4095);
    return true;
}

bool bmg_va_rw(Bmg *s, uint64_t root, uint64_t va, void *buf, uint64_t len,
               bool write)
{
    while (len) {
        uint64_t pte, left, addr, part;

        if (!translate(s, root, va, &pte, &left, &addr)) {
            s->fault.access = write ? ACCESS_WRITE : ACCESS_READ;
            return false;
        }
        part = MIN(len, left);
        if (pte & PTE_NULL) {
            if (!write) {
                memset(buf, 0, part);
            }
        } else if (write && !(pte & RW)) {
            s->fault = (Fault){ true, va, 0, FAULT_NO_WRITE, ACCESS_WRITE };
            return false;
        } else if (!bmg_phys_rw(s, pte & PTE_DM, addr, buf, part, write)) {
            return false;
        }
        va += part;
        buf += part;
        len -= part;
    }
    return true;
}

/* May there be an atomic access? If not, that's a fault. */
bool bmg_va_atomic(Bmg *s, uint64_t root, uint64_t va)
{
    uint64_t pte, left, addr;

    if (!translate(s, root, va, &pte, &left, &addr)) {
        s->fault.access = ACCESS_ATOMIC;
        return false;
    }
    if (!(pte & PTE_AE) || !(pte & RW)) {
        s->fault = (Fault){ true, va, 0, pte & RW ? FAULT_NO_ATOMIC :
                            FAULT_NO_WRITE, ACCESS_ATOMIC };
        tlb_entry(s, root, va)->valid = false;
        return false;
    }
    return true;
}
