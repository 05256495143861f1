/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MI commands: memory and registers, flow of batches, arithmetic, semaphores.
 * The command streamer has zeroes behind a command that is too short.
 */
#include "bmg.h"

/* Registers of an engine, from its base */
#define PR_CTR_CTRL             0x178
#define GPR0                    0x600           /* 16 of 8 bytes */
#define CTX_TIMESTAMP           0x3a8
#define CTX_TIMESTAMP_UDW       0x3ac

#define GGTT            (1 << 22)       /* the address is in the GGTT */
#define SECOND_LEVEL    (1 << 22)       /* of MI_BATCH_BUFFER_START */
#define RELATIVE        (1 << 19)       /* a register of this engine */

/* MI opcodes */
enum {
    MI_NOOP = 0x00,
    MI_USER_INTERRUPT = 0x02,
    MI_ARB_CHECK = 0x05,
    MI_ARB_ON_OFF = 0x08,
    MI_MEM_FENCE = 0x09,
    MI_BATCH_BUFFER_END = 0x0a,
    MI_TOPOLOGY_FILTER = 0x0d,
    MI_SET_APPID = 0x0e,
    MI_MATH = 0x1a,
    MI_SEMAPHORE_WAIT = 0x1c,
    MI_FORCE_WAKEUP = 0x1d,
    MI_LOAD_REGISTER_IMM = 0x22,
    MI_STORE_REGISTER_MEM = 0x24,
    MI_LOAD_REGISTER_MEM = 0x29,
    MI_LOAD_REGISTER_REG = 0x2a,
    MI_COPY_MEM_MEM = 0x2e,
    MI_ATOMIC = 0x2f,
    MI_BATCH_BUFFER_START = 0x31,
    MI_CONDITIONAL_BATCH_BUFFER_END = 0x36,
};

/* MI_MATH: what it does, and where to */
enum {
    ALU_LOAD = 0x080, ALU_LOADINV = 0x480, ALU_LOAD0 = 0x081,
    ALU_LOAD1 = 0x481, ALU_ADD = 0x100, ALU_SUB = 0x101, ALU_AND = 0x102,
    ALU_OR = 0x103, ALU_XOR = 0x104, ALU_STORE = 0x180, ALU_STOREINV = 0x580,
};
enum { ALU_SRCA = 0x20, ALU_SRCB, ALU_ACCU = 0x31, ALU_ZF, ALU_CF };

static uint64_t address(const uint32_t *dw)
{
    return dw[0] | (uint64_t)dw[1] << 32;
}

static uint32_t reg_rd(Bmg *s, Context *c, uint32_t reg, bool relative)
{
    if (relative) {
        switch (reg) {
        case CTX_TIMESTAMP:
            return bmg_time();
        case CTX_TIMESTAMP_UDW:
            return bmg_time() >> 32;
        }
        reg += c->engine->base;
    }
    if (reg - c->engine->base - GPR0 < sizeof(c->gpr)) {
        return c->gpr[(reg - c->engine->base - GPR0) / 4];
    }
    return *bmg_reg(s, reg);
}

static void reg_wr(Bmg *s, Context *c, uint32_t reg, bool relative,
                   uint32_t value)
{
    if (relative) {
        if (reg == PR_CTR_CTRL) {
            c->watchdog = !(value & 0x7fffffff);
        }
        reg += c->engine->base;
    }
    if (reg - c->engine->base - GPR0 < sizeof(c->gpr)) {
        c->gpr[(reg - c->engine->base - GPR0) / 4] = value;
        return;
    }
    *bmg_reg(s, reg) = value;
}

static void math(Context *c, const uint32_t *dw, uint32_t len)
{
    uint64_t src[2] = { 0, 0 }, accu = 0, value;
    bool carry = false;
    uint32_t i;

    for (i = 1; i < len; i++) {
        uint32_t op = dw[i] >> 20, a = dw[i] >> 10 & 0x3ff, b = dw[i] & 0x3ff;
        bool store = op == ALU_STORE || op == ALU_STOREINV;
        uint32_t *r = c->gpr + 2 * ((store ? a : b) & 15);

        switch (op) {
        case ALU_LOAD:
        case ALU_LOADINV:
            value = r[0] | (uint64_t)r[1] << 32;
            src[a & 1] = op == ALU_LOAD ? value : ~value;
            break;
        case ALU_LOAD0:
        case ALU_LOAD1:
            src[a & 1] = op == ALU_LOAD0 ? 0 : ~0ULL;
            break;
        case ALU_ADD:
            accu = src[0] + src[1];
            carry = accu < src[0];
            break;
        case ALU_SUB:
            accu = src[0] - src[1];
            carry = src[0] < src[1];
            break;
        case ALU_AND:
            accu = src[0] & src[1];
            break;
        case ALU_OR:
            accu = src[0] | src[1];
            break;
        case ALU_XOR:
            accu = src[0] ^ src[1];
            break;
        case ALU_STORE:
        case ALU_STOREINV:
            value = b == ALU_ZF ? (accu ? 0 : ~0ULL) :
                    b == ALU_CF ? (carry ? ~0ULL : 0) : accu;
            value = op == ALU_STORE ? value : ~value;
            r[0] = value;
            r[1] = value >> 32;
            break;
        }
    }
}

static void user_interrupt(Bmg *s, Context *c)
{
    uint32_t status = bmg_image_rd(s, c, IMAGE_STATUS_REPORT);
    uint32_t source = bmg_image_rd(s, c, IMAGE_SOURCE_REPORT);

    bmg_ggtt_wr8(s, status + c->engine->irq * 16, 0xff);
    bmg_ggtt_wr8(s, source + c->engine->irq, 0xff);
    bmg_msi(s);
}

static bool compare(uint32_t op, uint32_t a, uint32_t b)
{
    switch (op) {
    case 0:
        return a > b;
    case 1:
        return a >= b;
    case 2:
        return a < b;
    case 3:
        return a <= b;
    case 4:
        return a == b;
    case 5:
        return a != b;
    }
    return true;
}

/* One that xe's users need: on 4 or 8 bytes, what was there is not returned */
static bool atomic(Bmg *s, Context *c, const uint32_t *dw, uint32_t len)
{
    uint64_t addr = address(dw + 1) & MAKE_64BIT_MASK(2, 46), v = 0, arg = 1;
    uint32_t size = (dw[0] >> 19 & 3) ? 8 : 4;
    bool ggtt = dw[0] & GGTT;

    if (!(ggtt || bmg_va_atomic(s, c->root, addr)) ||
        !bmg_cs_rw(s, c, ggtt, addr, &v, size, false)) {
        return false;
    }
    if (len > 4 && (dw[0] & 1 << 18)) { /* operand in the command */
        arg = size == 8 ? dw[3] | (uint64_t)dw[5] << 32 : dw[3];
    } else {
        arg = c->gpr[0] | (uint64_t)c->gpr[1] << 32;
    }
    switch (dw[0] >> 8 & 0x1f) {
    case 0x01: v &= arg; break;
    case 0x02: v |= arg; break;
    case 0x03: v ^= arg; break;
    case 0x04: v = arg; break;
    case 0x05: v++; break;
    case 0x06: v--; break;
    case 0x07: v += arg; break;
    case 0x08: v -= arg; break;
    default:
        WARN(s, "atomic %08x", dw[0]);
    }
    return bmg_cs_rw(s, c, ggtt, addr, &v, size, true);
}

static Result batch_start(Context *c, const uint32_t *dw, uint32_t len)
{
    if (!c->level) {            /* what a batch starts is where it is */
        c->ppgtt = dw[0] & 1 << 8;
        c->level = 1;
    } else if (dw[0] & SECOND_LEVEL) {  /* comes back */
        if (c->level == ARRAY_SIZE(c->ret)) {
            return STOP;
        }
        c->ret[c->level++] = c->pc + len * 4;
    }
    c->pc = address(dw + 1) & ~3ULL;
    return JUMP;
}

static Result flush(Bmg *s, Context *c, const uint32_t *dw, uint32_t len)
{
    uint64_t addr = address(dw + 1) & ~7ULL;
    bool ggtt = dw[1] & 4;

    if (dw[0] & 1 << 18) {
        bmg_tlb_flush_root(s, c->root);
    }
    if ((dw[0] >> 14 & 3) != 1) {       /* writes nothing */
        return NEXT;
    }
    if (dw[0] & 1 << 21) {              /* in the status page */
        addr = c->lrc + (dw[1] & 0xff8);
        ggtt = true;
    }
    return bmg_cs_rw(s, c, ggtt, addr, (void *)(dw + 3), len > 4 ? 8 : 4,
                     true) ? NEXT : STOP;
}

static Result semaphore(Bmg *s, Context *c, const uint32_t *dw)
{
    uint32_t value;

    if (dw[0] & 1 << 16) {              /* of a register */
        value = cpu_to_le32(reg_rd(s, c, dw[2] & 0x7ffffc, false));
    } else if (!bmg_cs_rw(s, c, dw[0] & GGTT, address(dw + 2) & ~3ULL, &value,
                          4, false)) {
        return STOP;
    }
    if (compare(dw[0] >> 12 & 7, le32_to_cpu(value), dw[1])) {
        return NEXT;
    }
    /*
     * xe makes a VF's first context hang with a watchdog on, to get an engine
     * reset. Here, the context goes on as if it had been reset.
     */
    return c->watchdog ? NEXT : WAIT;
}

Result bmg_mi(Bmg *s, Context *c, const uint32_t *dw, uint32_t len)
{
    uint32_t op = dw[0] >> 23 & 0x3f, value, i;
    bool ggtt = dw[0] & GGTT;
    uint8_t buf[8];

    switch (op) {
    case MI_NOOP:
    case MI_ARB_CHECK:
    case MI_ARB_ON_OFF:
    case MI_MEM_FENCE:
    case MI_TOPOLOGY_FILTER:
    case MI_SET_APPID:
    case MI_FORCE_WAKEUP:
        return NEXT;
    case MI_ATOMIC:
        return atomic(s, c, dw, len) ? NEXT : STOP;
    case MI_MATH:
        math(c, dw, len);
        return NEXT;
    case MI_CONDITIONAL_BATCH_BUFFER_END:
        if (!bmg_cs_rw(s, c, ggtt, address(dw + 2) & ~3ULL, &value, 4, false)) {
            return STOP;
        }
        if (compare(dw[0] >> 12 & 7, le32_to_cpu(value), dw[1]) || !c->level) {
            return NEXT;
        }
        c->pc = c->ret[--c->level];
        return JUMP;
    case MI_USER_INTERRUPT:
        user_interrupt(s, c);
        return NEXT;
    case MI_BATCH_BUFFER_END:
        if (!c->level) {
            return STOP;
        }
        c->pc = c->ret[--c->level];
        return JUMP;
    case MI_BATCH_BUFFER_START:
        return batch_start(c, dw, len);
    case MI_STORE_DATA_IMM:
        return len > 3 && bmg_cs_rw(s, c, ggtt, address(dw + 1) & ~3ULL,
                                    (void *)(dw + 3), (len - 3) * 4, true) ?
               NEXT : STOP;
    case MI_LOAD_REGISTER_IMM:
        for (i = 1; i + 1 < len; i += 2) {
            reg_wr(s, c, dw[i] & 0x7ffffc, dw[0] & RELATIVE, dw[i + 1]);
        }
        return NEXT;
    case MI_STORE_REGISTER_MEM:
        value = cpu_to_le32(reg_rd(s, c, dw[1] & 0x7ffffc, dw[0] & RELATIVE));
        return bmg_cs_rw(s, c, ggtt, address(dw + 2) & ~3ULL, &value, 4, true) ?
               NEXT : STOP;
    case MI_LOAD_REGISTER_MEM:
        if (!bmg_cs_rw(s, c, ggtt, address(dw + 2) & ~3ULL, &value, 4, false)) {
            return STOP;
        }
        reg_wr(s, c, dw[1] & 0x7ffffc, dw[0] & RELATIVE, le32_to_cpu(value));
        return NEXT;
    case MI_LOAD_REGISTER_REG:
        reg_wr(s, c, dw[2] & 0x7ffffc, dw[0] & RELATIVE,
               reg_rd(s, c, dw[1] & 0x7ffffc, dw[0] & 1 << 18));
        return NEXT;
    case MI_COPY_MEM_MEM:
        return bmg_cs_rw(s, c, dw[0] & GGTT, address(dw + 3), buf, 4, false) &&
               bmg_cs_rw(s, c, dw[0] & 1 << 21, address(dw + 1), buf, 4, true) ?
               NEXT : STOP;
    case MI_FLUSH_DW:
        return flush(s, c, dw, len);
    case MI_SEMAPHORE_WAIT:
        return semaphore(s, c, dw);
    }
    WARN(s, "MI command %08x", dw[0]);
    return NEXT;
}
