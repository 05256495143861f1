/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: an input is what a guest does to a VF whose GGTT, page tables and
 * command buffers are in order: it sends requests and mailbox messages, writes
 * rings, batches, page tables and registers, and resets. Nothing of that may
 * crash the model.
 */
#include "standin.h"
#include "input.h"

/* RAM that the first part of the VF's GGTT shows; in there, as in VRAM: */
enum { GGTT = 0x10000000, GGTT_PAGES = 1024, MEM = 0x1000000 };
enum {
    H2G_DESC = 0x0, H2G = 0x1000, G2H_DESC = 0x2000, G2H = 0x4000,
    STATUS = 0x8000, SOURCE = 0x8800, LRC = 0x100000, LRC_BYTES = 0x10000,
    RING = 0x8000, RING_DWORDS = 256, CT_DWORDS = 1024, CONTEXTS = 4,
};
enum { GSM = 8 << 20, FLAG = 0x190240, NOTIFY = 0x1901f0 };
/* VRAM has the page tables, then the first 2 MiB of the address space. */
enum { ROOT = 0x10000, VRAM_VA = 0, RAM_VA = 2 << 20, RAM_PAGE = 0x1800000 };
enum { REQUEST = 0, FAST = 2 };

static PCIDevice *gpu;
static void wr32(uint64_t addr, uint32_t value)
{
    value = cpu_to_le32(value);
    standin_rw(addr, &value, 4, true);
}

static void wr64(uint64_t addr, uint64_t value)
{
    value = cpu_to_le64(value);
    standin_rw(addr, &value, 8, true);
}

static void notify(void)
{
    wr32(standin_bar(gpu, 0) + NOTIFY, 0);
    standin_run();
}

static void mailbox(const uint32_t *words, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        wr32(standin_bar(gpu, 0) + FLAG + i * 4, words[i]);
    }
    notify();
}

static void self_cfg(uint32_t key, uint64_t value)
{
    mailbox((uint32_t[]) { 0x508, key << 16 | 2, value, value >> 32 }, 4);
}

static void h2g(const uint32_t *words, unsigned n)
{
    uint32_t tail;

    memcpy(&tail, standin_ram + MEM + H2G_DESC + 4, 4);
    tail = le32_to_cpu(tail) % CT_DWORDS;
    wr32(MEM + H2G + tail * 4, 7 << 16 | n);
    for (unsigned i = 0; i < n; i++) {
        tail = (tail + 1) % CT_DWORDS;
        wr32(MEM + H2G + tail * 4, words[i]);
    }
    wr32(MEM + H2G_DESC + 4, (tail + 1) % CT_DWORDS);
    notify();
}

static void setup(void)
{
    static const struct {
        uint16_t key;
        uint32_t value;
    } config[] = {
        { 0x900, GGTT + STATUS }, { 0x901, GGTT + SOURCE }, { 0x902, GGTT + H2G },
        { 0x903, GGTT + H2G_DESC }, { 0x904, CT_DWORDS * 4 }, { 0x905, GGTT + G2H },
        { 0x906, GGTT + G2H_DESC }, { 0x907, CT_DWORDS * 4 },
    };
    uint64_t gsm = standin_bar(gpu, 0) + GSM, vram = standin_bar(gpu, 2);
    uint64_t table = ROOT;

    for (unsigned page = 0; page < GGTT_PAGES; page++) {
        wr64(gsm + ((GGTT >> 12) + page) * 8, (MEM + page * 4096ull) | 1);
    }
    for (unsigned level = 0; level < 3; level++) {
        wr64(vram + table, (table + 4096) | 3);
        table += 4096;
    }
    wr64(vram + table, 0x200000 | 1 << 11 | 1 << 7 | 3);
    wr64(vram + table + 8, RAM_PAGE | 1 << 7 | 3);
    mailbox((uint32_t[]) { 0x4509, 0 }, 2);
    for (unsigned i = 0; i < ARRAY_SIZE(config); i++) {
        self_cfg(config[i].key, config[i].value);
    }
    mailbox((uint32_t[]) { 0x4509, 1 }, 2);
}

static void context(uint32_t n)
{
    uint32_t lrc = GGTT + LRC + n * LRC_BYTES, at = MEM + LRC + n * LRC_BYTES + 4096;

    wr32(at + 9 * 4, lrc + RING);
    wr32(at + 0x2f * 4, n + 1);
    wr32(at + 0x33 * 4, ROOT);
    wr32(at + 0x57 * 4, GGTT + STATUS);
    wr32(at + 0x59 * 4, GGTT + SOURCE);
    h2g((uint32_t[]) { 0x4502, 0, n, 3, 1, 0, 0, 0, 0, 0, lrc, 0 }, 12);
    h2g((uint32_t[]) { 0x1001, n, 1 }, 3);
}

/* Values that mean something, most of the time */
static uint32_t value(void)
{
    static const uint32_t known[] = {
        VRAM_VA, RAM_VA, GGTT, GGTT + H2G, GGTT + LRC, ROOT, 4 << 20, RAM_PAGE
    };

    switch (take(1) % 4) {
    case 0:
        return take(1);
    case 1:
        return known[take(1) % ARRAY_SIZE(known)] + (take(2) << 2);
    case 2:
        return 1u << take(1) % 32;
    default:
        return take(4);
    }
}

/* Commands, with the operands that the input has */
static void batch(uint64_t at)
{
    static const uint32_t commands[] = {
        0, 0xa << 23, 0x31 << 23 | 1 << 8 | 1, 0x31 << 23 | 1 << 22 | 1,
        0x20 << 23 | 2, 0x20 << 23 | 1 << 22 | 2, 2u << 29 | 0x5a << 22 | 1 << 19 | 8,
        2u << 29 | 0x5b << 22 | 1 << 17 | 5, 2u << 29 | 0x48 << 22 | 3,
        0x1c << 23 | 4 << 12 | 2, 2 << 23, 0x1a << 23 | 3, 0x2f << 23 | 1,
        0x26 << 23 | 1 << 14 | 3, 0x22 << 23 | 1, 0x24 << 23 | 2, 0x29 << 23 | 2,
        0x2a << 23 | 1, 0x2e << 23 | 3, 0x36 << 23 | 2, 0x7a000004,
    };
    unsigned n = take(1) % 32;

    while (n--) {
        uint32_t c = take(1) % 16 ? commands[take(1) % ARRAY_SIZE(commands)] :
                                    value();
        unsigned operands = c ? (c & 0xff) + 1 : 0;

        wr32(at, c);
        at += 4;
        for (unsigned i = 0; i < MIN(operands, 12); i++, at += 4) {
            wr32(at, value());
        }
    }
}

static void ring(uint32_t n)
{
    uint64_t at = MEM + LRC + n * LRC_BYTES;

    batch(at + RING);
    wr32(at + 4096 + 5 * 4, 0);
    wr32(at + 4096 + 7 * 4, take(1) * 8);
    h2g((uint32_t[]) { 0x1000, n }, 2);
}

static void request(void)
{
    static const uint16_t actions[] = {
        0x1000, 0x1001, 0x4502, 0x4503, 0x5103, 0x6003, 0x7000, 0x7002, 0x509
    };
    uint32_t words[32];
    unsigned n = 1 + take(1) % ARRAY_SIZE(words);

    words[0] = (take(1) % 2 ? REQUEST : FAST) << 28 |
               (take(1) % 16 ? actions[take(1) % ARRAY_SIZE(actions)] : take(2));
    for (unsigned i = 1; i < n; i++) {
        words[i] = value();
    }
    h2g(words, n);
}

static void one(void)
{
    static const uint16_t boxes[] = { 0x508, 0x4100, 0x4509, 0x5500, 0x5507, 0x5509 };
    uint64_t bar0 = standin_bar(gpu, 0), data;

    switch (take(1) % 10) {
    case 0:
        context(take(1) % CONTEXTS);
        break;
    case 1:
        batch(RAM_PAGE + take(1) % 16 * 4096);
        break;
    case 2:
        mailbox((uint32_t[]) {
                take(1) % 8 ? boxes[take(1) % ARRAY_SIZE(boxes)] : value(),
                value(), value(), value()
            }, 4);
        break;
    case 3:
        wr64(standin_bar(gpu, 2) + ROOT + take(1) % 4 * 4096 + take(1) % 4 * 8,
             value() | (uint64_t)value() << 32);
        break;
    case 4:
        wr64(bar0 + GSM + ((GGTT >> 12) + take(2) % GGTT_PAGES) * 8, value() | 1);
        break;
    case 5:
        standin_rw(bar0 + (take(3) & ~7), &data, 1u << take(1) % 4, take(1) % 2);
        break;
    case 6:
        standin_pass(take(2) * 1000);
        break;
    case 7:
        setup();
        break;
    case 8:
        request();
        break;
    default:
        ring(take(1) % CONTEXTS);
        break;
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    gpu = standin_new("bmg-model", "vram=16777216", NULL);
    standin_turns = 16;         /* a turn may be 256 messages, or 64 MiB */
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    standin_reset(gpu);
    in = data;
    left = size;
    setup();
    while (left) {
        one();
    }
    standin_run();
    standin_clean();
    return 0;
}
