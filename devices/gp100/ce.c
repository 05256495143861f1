/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The copy class PASCAL_DMA_COPY_A (c0b5): pitch layouts only. A copy is done
 * in portions, and goes on where it was after a fault that is replayed;
 * hardware may begin anew.
 */
#include "gp100.h"

#define SEMAPHORE_A     0x240
#define SEMAPHORE_PAYLOAD 0x248
#define SRC_PHYS_MODE   0x260
#define DST_PHYS_MODE   0x264
#define LAUNCH_DMA      0x300
#define OFFSET_IN       0x400
#define OFFSET_OUT      0x408
#define PITCH_IN        0x410
#define PITCH_OUT       0x414
#define LINE_LENGTH     0x418
#define LINE_COUNT      0x41c
#define REMAP_CONST_A   0x700
#define REMAP_CONST_B   0x704
#define REMAP_COMPONENTS 0x708

enum { REMAP_CONST = 4, REMAP_NO_WRITE = 6 };

typedef struct Side {
    uint64_t addr;
    uint64_t inst;
    bool physical, vram;
} Side;

static uint32_t m(const Channel *ch, uint32_t mthd)
{
    return ch->ce[mthd / 4];
}

static uint64_t m64(const Channel *ch, uint32_t mthd)
{
    return (uint64_t)m(ch, mthd) << 32 | m(ch, mthd + 4);
}

static bool side_rw(Gp100 *s, const Side *side, uint64_t off, void *buf,
                    uint64_t len, bool write, Fault *fault)
{
    uint64_t addr = side->addr + off;

    if (!side->physical) {
        return gp100_va_rw(s, side->inst, addr, buf, len, write, fault);
    }
    if (!gp100_phys_rw(s, side->vram, addr, buf, len, write)) {
        *fault = (Fault) { .inst = side->inst, .va = addr, .write = write,
                           .reason = FAULT_PTE };
        return false;
    }
    return true;
}

/* Makes the destination's components of the source's and of constants. */
static void remap(const Channel *ch, const uint8_t *src, uint8_t *dst, int n)
{
    uint32_t comp = m(ch, REMAP_COMPONENTS);
    int size = gp100_bits(comp, 17, 16) + 1;
    int nsrc = gp100_bits(comp, 21, 20) + 1;
    int ndst = gp100_bits(comp, 25, 24) + 1;
    int i, c;

    for (i = 0; i < n; i++, src += nsrc * size) {
        for (c = 0; c < ndst; c++, dst += size) {
            int from = extract32(comp, c * 4, 3);

            if (from < REMAP_CONST) {
                /* One that the source does not have is its last. */
                memcpy(dst, src + MIN(from, nsrc - 1) * size, size);
            } else if (from < REMAP_NO_WRITE) {
                uint8_t value[4];

                stl_le_p(value,
                         m(ch, REMAP_CONST_A + (from - REMAP_CONST) * 4));
                memcpy(dst, value, size);
            }
        }
    }
}

/* How the current copy treats elements: sizes in bytes */
typedef struct Element {
    bool remaps, reads, keeps;
    int in, out;
} Element;

static Element element(const Channel *ch)
{
    uint32_t comp = m(ch, REMAP_COMPONENTS), c;
    int size = gp100_bits(comp, 17, 16) + 1, ndst;
    Element e = { .reads = true, .in = 1, .out = 1 };

    if (!gp100_bits(m(ch, LAUNCH_DMA), 10, 10)) {
        return e;
    }
    ndst = gp100_bits(comp, 25, 24) + 1;
    e = (Element) { .remaps = true, .out = size * ndst,
                    .in = size * (gp100_bits(comp, 21, 20) + 1) };
    for (c = 0; c < ndst; c++) {
        e.reads |= extract32(comp, c * 4, 3) < REMAP_CONST;
        e.keeps |= extract32(comp, c * 4, 3) >= REMAP_NO_WRITE;
    }
    return e;
}

/* Part of a line. Returns the bytes that it moved, or 0: a fault */
static uint32_t part(Gp100 *s, Channel *ch, const Element *e, const Side *in,
                     const Side *out, Fault *fault)
{
    uint8_t src[0x1000], dst[0x1000];
    uint32_t left = m(ch, LINE_LENGTH) - ch->line_done;
    uint32_t n = MIN(left, sizeof(src) / MAX(e->in, e->out));
    uint64_t in_off = (uint64_t)ch->line * m(ch, PITCH_IN) +
                      (uint64_t)ch->line_done * e->in;
    uint64_t out_off = (uint64_t)ch->line * m(ch, PITCH_OUT) +
                       (uint64_t)ch->line_done * e->out;

    if (e->reads && !side_rw(s, in, in_off, src, n * e->in, false, fault)) {
        return 0;
    }
    if (e->keeps && !side_rw(s, out, out_off, dst, n * e->out, false, fault)) {
        return 0;
    }
    if (e->remaps) {
        remap(ch, src, dst, n);
    }
    if (!side_rw(s, out, out_off, e->remaps ? dst : src, n * e->out, true,
                 fault)) {
        return 0;
    }
    ch->line_done += n;
    return n * e->out;
}

/* With 2, one hangs, whichever comes first, and the others do not. */
static bool hangs(Gp100 *s)
{
    int i;

    for (i = 0; s->hang_copies == 2 && i < NR_CHANNELS; i++) {
        if (s->channels[i].wait == HUNG) {
            return false;
        }
    }
    return s->hang_copies;
}

/* False if it has to go on: with @fault, after that one */
static bool copy(Gp100 *s, Channel *ch, uint64_t inst, bool *faulted,
                 Fault *fault)
{
    uint32_t launch = m(ch, LAUNCH_DMA), moved;
    uint32_t lines = gp100_bits(launch, 9, 9) ? m(ch, LINE_COUNT) : 1;
    Element e = element(ch);
    Side in = { m64(ch, OFFSET_IN), inst, gp100_bits(launch, 12, 12),
                gp100_bits(m(ch, SRC_PHYS_MODE), 1, 0) == 0 };
    Side out = { m64(ch, OFFSET_OUT), inst, gp100_bits(launch, 13, 13),
                 gp100_bits(m(ch, DST_PHYS_MODE), 1, 0) == 0 };

    if (!ch->line && !ch->line_done) {
        if (hangs(s)) {
            ch->wait = HUNG;
            return false;
        }
        s->copies++;
        TRACE(s, "copy %08x %s%" PRIx64 " -> %s%" PRIx64 " %u x %u", launch,
              in.physical ? in.vram ? "vram:" : "host:" : "", in.addr,
              out.physical ? out.vram ? "vram:" : "host:" : "", out.addr,
              m(ch, LINE_LENGTH), lines);
        if (s->fail_copies) {
            s->fail_copies--;
            *fault = (Fault) { .inst = inst, .va = out.addr,
                               .reason = FAULT_PTE, .write = true };
            *faulted = true;
            return false;
        }
        if (gp100_bits(launch, 8, 7) != 3) {
            model_warn(TYPE_GP100, "block-linear copy is not modelled");
        }
    }
    for (; ch->line < lines; ch->line++, ch->line_done = 0) {
        /* Lines of no length count, too: there may be 2^32 of them. */
        ch->turn += 64;
        while (ch->line_done < m(ch, LINE_LENGTH)) {
            if (ch->turn >= PORTION) {
                return false;
            }
            moved = part(s, ch, &e, &in, &out, fault);
            if (!moved) {
                *faulted = true;
                return false;
            }
            ch->turn += moved;
        }
        if (ch->turn >= PORTION) {
            ch->line++;
            ch->line_done = 0;
            return false;
        }
    }
    return true;
}

Step gp100_ce_launch(Gp100 *s, Channel *ch, uint64_t inst)
{
    uint32_t launch = m(ch, LAUNCH_DMA);
    bool faulted = false;
    Fault fault;

    if (gp100_bits(launch, 1, 0) && !copy(s, ch, inst, &faulted, &fault)) {
        return faulted ? gp100_channel_fault(s, ch, UNIT_CE0, &fault) :
               STEP_YIELD;
    }
    if (gp100_bits(launch, 4, 3)) {
        uint64_t release[2] = { cpu_to_le64(m(ch, SEMAPHORE_PAYLOAD)),
                                cpu_to_le64(gp100_time(s)) };

        if (!gp100_va_rw(s, inst, m64(ch, SEMAPHORE_A), release,
                         gp100_bits(launch, 4, 3) == 1 ? 4 : 16, true,
                         &fault)) {
            return gp100_channel_fault(s, ch, UNIT_CE0, &fault);
        }
    }
    ch->line = ch->line_done = 0;
    return STEP_NEXT;
}
