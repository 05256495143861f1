/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copy commands. One of them can be for 64 GiB and meet a page fault at any
 * page: how far it has come is in the context, and it goes on from there.
 */
#include "bmg.h"

#define XY_CTRL_SURF_COPY_BLT   0x48
#define MEM_COPY                0x5a
#define MEM_SET                 0x5b

#define MATRIX          (1 << 17)       /* rows with a pitch, else linear */
#define BY_PAGES        (1 << 19)       /* the width is in 256 bytes */
#define TO_STATE        (1 << 20)       /* to the compression state */

/* Rows of @width bytes; a fill if there is no source */
typedef struct Copy {
    bool fill;
    uint8_t value;
    uint64_t src, dst, width, height, src_pitch, dst_pitch;
} Copy;

static uint64_t address(const uint32_t *dw)
{
    return dw[0] | (uint64_t)(dw[1] & 0xffff) << 32;
}

static Result copy(Bmg *s, Context *c, const Copy *op)
{
    if (op->fill) {
        memset(s->buf, op->value, MIN(op->width, BUF_SIZE));
    } else if (!c->done && s->fail_copies) {
        s->fail_copies--;
        return STOP;
    }
    while (c->done < op->width * op->height) {
        uint64_t row = c->done / op->width, at = c->done % op->width;
        uint64_t part = MIN(op->width - at, BUF_SIZE);

        if (s->slice <= 0) {
            return WAIT;
        }
        if (!(op->fill || bmg_va_rw(s, c->root, op->src + row * op->src_pitch +
                                    at, s->buf, part, false)) ||
            !bmg_va_rw(s, c->root, op->dst + row * op->dst_pitch + at, s->buf,
                       part, true)) {
            return STOP;
        }
        c->done += part;
        bmg_pay(s, part + COST);
        *(op->fill ? &s->set : &s->copied) += part;
    }
    c->done = 0;
    return NEXT;
}

static Result mem_copy(Bmg *s, Context *c, const uint32_t *dw)
{
    Copy op = {
        .src = address(dw + 5),
        .dst = address(dw + 7),
        .width = (dw[1] & 0x3ffff) + 1,
        .height = 1,
    };

    if (dw[0] & BY_PAGES) {
        op.width *= 256;
    } else if (dw[0] & MATRIX) {
        op.height = (dw[2] & 0x3ffff) + 1;
        op.src_pitch = (dw[3] & 0x3ffff) + 1;
        op.dst_pitch = (dw[4] & 0x3ffff) + 1;
    } else {
        op.width = (dw[1] & 0xffffff) + 1;
    }
    return copy(s, c, &op);
}

static Result mem_set(Bmg *s, Context *c, const uint32_t *dw)
{
    Copy op = {
        .fill = true,
        .value = dw[6] >> 24,
        .dst = address(dw + 4),
        .width = (dw[1] & 0x3ffff) + 1,
        .height = 1,
    };

    if (dw[0] & MATRIX) {
        op.height = (dw[2] & 0x3ffff) + 1;
        op.dst_pitch = (dw[3] & 0x3ffff) + 1;
        if (op.dst_pitch == op.width) {
            op.width *= op.height;
            op.height = 1;
        }
    } else {
        op.width = (dw[1] & 0xffffff) + 1;
    }
    return copy(s, c, &op);
}

/* There is no compression: what is read of its state is zero */
static Result ctrl_surf_copy(Bmg *s, Context *c, const uint32_t *dw)
{
    Copy op = {
        .fill = true,
        .dst = address(dw + 3),
        .width = ((dw[0] >> 9 & 0x3ff) + 1) * 8,
        .height = 1,
    };

    return dw[0] & TO_STATE ? NEXT : copy(s, c, &op);
}

Result bmg_blt(Bmg *s, Context *c, const uint32_t *dw, uint32_t len)
{
    switch (dw[0] >> 22 & 0x7f) {
    case MEM_COPY:
        return len >= 10 ? mem_copy(s, c, dw) : STOP;
    case MEM_SET:
        return len >= 7 ? mem_set(s, c, dw) : STOP;
    case XY_CTRL_SURF_COPY_BLT:
        return len >= 5 ? ctrl_surf_copy(s, c, dw) : STOP;
    }
    WARN(s, "blitter command %08x", dw[0]);
    return NEXT;
}
