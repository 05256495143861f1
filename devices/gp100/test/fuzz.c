/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: an input is what a guest does to a GP100 whose page tables and first
 * channel are in order: it writes registers, page tables, rings and push buffers,
 * reads, and resets. Nothing of that may crash the model.
 */
#include "standin.h"
#include "input.h"

#define RAM_AT  0x1000000       /* guest memory that copies use */
/* In VRAM */
enum {
    INST = 0x10000, PD = 0x20000, PT = 0x30000, GPFIFO = 0x40000,
    PUSH = 0x50000, USERD = 0x60000, LIST = 0x70000,
};

static PCIDevice *gpu;
static void wr(uint32_t reg, uint32_t value)
{
    value = cpu_to_le32(value);
    standin_rw(standin_bar(gpu, 0) + reg, &value, 4, true);
}

static uint32_t rd(uint32_t reg)
{
    uint32_t value = 0;

    standin_rw(standin_bar(gpu, 0) + reg, &value, 4, false);
    return le32_to_cpu(value);
}

static void vram(uint32_t addr, uint32_t word)
{
    wr(0x1700, addr >> 16);
    wr(0x700000 + (addr & 0xffff), word);
}

static void vram64(uint32_t addr, uint64_t value)
{
    vram(addr, value);
    vram(addr + 4, value >> 32);
}

static void kick(uint32_t chid, uint32_t put)
{
    put = cpu_to_le32(put);
    standin_rw(standin_bar(gpu, 1) + USERD + chid * 0x200 + 0x8c, &put, 4, true);
    standin_run();
}

/* A space whose first 2 MiB are small pages, and channel @chid of it on */
static void channel(uint32_t chid)
{
    static const uint32_t own[] = { GPFIFO, PUSH, USERD };
    int i;

    vram64(INST + 0x200, PD | 1 << 10 | (uint64_t)(chid ? 3 << 4 : 0));
    vram64(INST + 0x208, (1ull << 49) - 1);
    for (i = 0; i < 3; i++) {
        vram64(PD + i * 0x1000, (PD + (i + 1) * 0x1000) >> 4 | 2);
        vram64(PT + (own[i] >> 12) * 8, own[i] >> 4 | 1);
    }
    vram64(PD + 0x3008, PT >> 4 | 2);
    vram64(INST, 0);
    vram64(INST + 8, USERD);
    vram(INST + 0x14, 0);
    vram(INST + 0x48, GPFIFO);
    vram(INST + 0x4c, 9 << 16);
    wr(0x1704, 0x80000000 | INST >> 12);
    wr(0x1714, 0x80000000 | INST >> 12);
    wr(0x2254, 0x10000000 | USERD >> 12);
    wr(0x800000 + chid * 8, 0x80000000 | INST >> 12);
    vram64(LIST, chid);
    wr(0x2270, LIST >> 12);
    wr(0x2274, 1);
    wr(0x800004 + chid * 8, 0x400);
}

/* Values that mean something, most of the time */
static uint32_t value(void)
{
    static const uint32_t known[] = {
        INST, PD, PT, GPFIFO, PUSH, USERD, LIST, RAM_AT
    };

    switch (take(1) % 4) {
    case 0:
        return take(1);
    case 1:
        return known[take(1) % ARRAY_SIZE(known)] >> take(1) % 16 |
               (uint32_t)take(1) << 24;
    case 2:
        return 1u << take(1) % 32;
    default:
        return take(4);
    }
}

static void push(uint32_t chid)
{
    static const uint16_t methods[] = {
        0x10, 0x14, 0x18, 0x1c, 0x20, 0x240, 0x260, 0x300, 0x300, 0x300,
        0x400, 0x408, 0x410, 0x418, 0x41c, 0x700, 0x704, 0x708
    };
    uint32_t words = 0, n = take(1) % 64, put = take(1) % 8;

    while (words < n) {
        uint32_t mthd = methods[take(1) % ARRAY_SIZE(methods)];
        uint32_t count = take(1) % 9;

        vram(PUSH + words++ * 4, take(1) % 16 ? 1 << 29 | count << 16 |
             4 << 13 | mthd >> 2 : value());
        while (count--) {
            vram(PUSH + words++ * 4, value());
        }
    }
    vram64(GPFIFO + put * 8, PUSH | (uint64_t)words << 42);
    kick(chid, put + 1);
}

static void one(void)
{
    static const uint32_t special[] = {
        0x100, 0x140, 0x160, 0x180, 0x1700, 0x1704, 0x1714, 0x2100, 0x2140,
        0x2254, 0x2270, 0x2274, 0x259c, 0x2634, 0x2a00, 0x2a70, 0x2a74, 0x2a7c,
        0x9100, 0x9140, 0x9400, 0x9420, 0x88704, 0x100cb8, 0x100cbc, 0x100cec,
        0x409504, 0x409b00
    };
    static const uint32_t tables[] = {
        INST, INST + 0x200, PD, PD + 0x3000, PT, GPFIFO, LIST
    };
    uint64_t data;

    switch (take(1) % 10) {
    case 0:
        wr(special[take(1) % ARRAY_SIZE(special)], value());
        break;
    case 1:
        wr(take(3) & ~3, value());
        break;
    case 2:
        wr(0x800000 + take(1) % 16 * 4, value());
        break;
    case 3:
        vram(tables[take(1) % ARRAY_SIZE(tables)] + take(1) % 64 * 4, value());
        break;
    case 4:
        rd(take(3) & ~3);
        break;
    case 5:
        standin_rw(standin_bar(gpu, take(1) % 2 ? 1 : 3) + (take(3) & ~7),
                   &data, 1u << take(1) % 4, take(1) % 2);
        break;
    case 6:
        standin_pass(take(2) * 1000);
        break;
    case 7:
        channel(take(1) % 2);
        break;
    default:
        push(take(1) % 2);
        break;
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    gpu = standin_new("gp100-model", "vram=67108864", "bar1=67108864", NULL);
    standin_turns = 16;         /* a turn may be 256 KiB of each channel */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    standin_reset(gpu);
    in = data;
    left = size;
    channel(0);
    while (left) {
        one();
    }
    standin_clean();
    return 0;
}
