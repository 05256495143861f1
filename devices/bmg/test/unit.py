#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""unit.py LIBRARY [SECONDS [SEED]]: tests bmg-model without a guest, in KTAP.

LIBRARY is bmg-model.so; with SANITIZER=PATH that library is loaded before it.
The last test writes random requests and commands for so many seconds, 20 by
default. A failure prints the seed that repeats it.
"""
import random
import sys
import time

from qtest import Machine, run_tests

GGTT = 0x10000000           # the VF's part of it ...
MEM = 0x1000000             # ... shows RAM from here on
H2G_DESC, H2G, G2H_DESC, G2H = 0x0, 0x1000, 0x2000, 0x4000
CT_DW = 1024
STATUS, SOURCE = 0x8000, 0x8800
LRC = 0x100000              # of context i: 64 KiB each
RING = 0x8000               # in there
GSM = 8 << 20               # in BAR 0
FLAG, NOTIFY = 0x190240, 0x1901f0
ROOT = 0x10000              # page tables, in VRAM
VRAM_VA, RAM_VA = 0, 2 << 20
RAM_PAGE = 0x2000000

REQUEST, FAST = 0, 2
SUCCESS, FAILURE = 7, 6

MI_BB_END = 0xa << 23
MI_BB_START = 0x31 << 23 | 1 << 8 | 1
SECOND_LEVEL = 1 << 22


def mi_store(addr, value, ggtt=0):
    return [0x20 << 23 | ggtt << 22 | 2, addr, addr >> 32, value]


def mem_copy(src, dst, units):
    return [2 << 29 | 0x5a << 22 | 1 << 19 | 8, units - 1, 0, 0, 0,
            src, src >> 32, dst, dst >> 32, 0]


class Gpu(Machine):
    """A VF whose buffers and page tables are set up as xe does."""

    def __init__(self, library, props=""):
        super().__init__(library, "bmg-model,vram=64M" + props)
        self.contexts = set()
        self.events = []    # all that answers() has read
        self.setup()

    def setup(self):
        bar0, bar2 = self.bars
        for page in range(1024):
            self.write64(bar0 + GSM + ((GGTT >> 12) + page) * 8,
                         MEM + page * 4096 | 1)
        table = ROOT
        for _ in range(3):
            self.write64(bar2 + table, table + 4096 | 3)
            table += 4096
        self.write64(bar2 + table, 0x200000 | 1 << 11 | 1 << 7 | 3)
        self.write64(bar2 + table + 8, RAM_PAGE | 1 << 7 | 3)
        self.buffers(CT_DW * 4)

    def buffers(self, size):
        self.mailbox(0x4509, 0)
        for key, value in ((0x900, STATUS), (0x901, SOURCE), (0x902, H2G),
                           (0x903, H2G_DESC), (0x905, G2H), (0x906, G2H_DESC)):
            self.config_self(key, GGTT + value)
        good = [self.config_self(key, size) for key in (0x904, 0x907)]
        self.write_words(MEM + H2G_DESC, [0, 0])
        self.write_words(MEM + G2H_DESC, [0, 0])
        self.head = 0
        self.mailbox(0x4509, 1)
        return good

    def mailbox(self, *words):
        """The four words of the answer"""
        for i, word in enumerate(words):
            self.write32(self.bars[0] + FLAG + 4 * i, word)
        self.write32(self.bars[0] + NOTIFY, 0)
        return [self.read32(self.bars[0] + FLAG + 4 * i) for i in range(4)]

    def config_self(self, key, value):
        answer = self.mailbox(0x508, key << 16 | 2, value, value >> 32)
        return answer[0] >> 28 & 7 == SUCCESS

    def send(self, *messages, notify=True):
        """Requests, into the command buffer"""
        tail = self.read32(MEM + H2G_DESC + 4) % CT_DW
        for words in messages:
            for word in [7 << 16 | len(words) & 0xff, *words]:
                self.write32(MEM + H2G + tail * 4, word)
                tail = (tail + 1) % CT_DW
        self.write32(MEM + H2G_DESC + 4, tail)
        if notify:
            self.write32(self.bars[0] + NOTIFY, 0)

    def answers(self):
        """What has come from the GuC: lists of dwords"""
        got = []
        tail = self.read32(MEM + G2H_DESC + 4) % CT_DW
        for _ in range(CT_DW):      # random commands write here as well
            if self.head == tail:
                break
            length = self.read32(MEM + G2H + self.head * 4) & 0xff
            got.append([self.read32(MEM + G2H + (self.head + 1 + i) % CT_DW * 4)
                        for i in range(length)])
            self.head = (self.head + 1 + length) % CT_DW
        self.head = tail
        self.write32(MEM + G2H_DESC, tail)
        self.events += got
        return got

    def request(self, *words):
        """True: it was answered with success"""
        self.answers()
        self.send([REQUEST << 28 | words[0], *words[1:]])
        return any(a[0] >> 28 & 7 == SUCCESS for a in self.answers())

    def context(self, number, engine_class=3, mask=1):
        lrc = GGTT + LRC + number * 0x10000
        at = MEM + LRC + number * 0x10000
        words = [0] * 0x60
        words[9] = lrc + RING
        words[0x2f] = number + 1
        words[0x33] = ROOT
        words[0x57] = GGTT + STATUS
        words[0x59] = GGTT + SOURCE
        self.write_words(at + 4096, words)
        ok = self.request(0x4502, 0, number, engine_class, mask, 0, 0, 0, 0, 0,
                          lrc, 0)
        if number not in self.contexts:
            self.contexts.add(number)
        return ok and self.request(0x1001, number, 1)

    def run(self, number, words, tail=None):
        """Words in the ring of a context that was just made"""
        at = MEM + LRC + number * 0x10000
        self.write_words(at + RING, words)
        self.write32(at + 4096 + 7 * 4,
                     (len(words) * 4 + 7 & ~7) if tail is None else tail)
        self.request(0x1000, number)
        self.step()

    def step(self):
        """Each context has a turn."""
        self.send([FAST << 28 | 0x1000, 0])
        self.read32(self.bars[0] + FLAG)

    def event(self, action):
        """Those that have come"""
        self.answers()
        return [e for e in self.events if e[0] & 0xffff == action]

    def word(self, va):
        """What the GPU has at that address"""
        if va < RAM_VA:
            return self.read32(self.bars[1] + 0x200000 + va)
        return self.read32(RAM_PAGE + va - RAM_VA)

    def works(self):
        self.mailbox(0x5507)
        self.setup()
        assert self.mailbox(0x5500, 0)[1] == 0x10200
        assert self.context(9)
        value = random.getrandbits(32)
        self.run(9, mi_store(RAM_VA + 0x100, value) +
                 mem_copy(RAM_VA, VRAM_VA, 2))
        assert self.word(VRAM_VA + 0x100) == value


def test_mailbox(gpu):
    assert gpu.mailbox(0x5500, 0)[:2] == [0xf0000000, 0x10200]
    assert gpu.mailbox(0x5509, 0x0003)[1] == 64 << 20
    for bad in ((0x5509, 0xffff), (0x508, 0xabc << 16), (0x1234,)):
        assert gpu.mailbox(*bad)[0] >> 28 & 7 == FAILURE, bad
    assert gpu.mailbox(0x4100, 0, 0, 0)[0] & 0xffff == 24
    gpu.mailbox(0x4100, GGTT + 0x9000, 0, 0xffffffff)
    assert gpu.read32(MEM + 0x9000) == 1
    gpu.mailbox(0x4100, 0xfffff000, 0xffffffff, 24)


def test_requests(gpu):
    assert gpu.context(0)
    assert not gpu.context(0, engine_class=7)
    assert gpu.context(0)
    for bad in ((0x1001, 1, 1), (0x1001, 0xffffffff, 1), (0x4503, 5),
                (0xabc, 1), (0x1001,), (0x4503,)):
        assert not gpu.request(*bad) or len(bad) == 1, bad
    gpu.send([FAST << 28 | 0x7000, 77, 1, 1, 0, 0, 200])
    assert [0x90007001, 77] in gpu.answers()
    for short in ([0x4502], [0x5103], [0x5103, 1], [0x6003], [0x7000], [0]):
        gpu.send([FAST << 28 | short[0], *short[1:]])
    gpu.answers()
    assert gpu.request(0x5103, 1, 0x101, 0)
    gpu.send([0x1000] * 255)
    assert not gpu.request(0x1001, 0x2000, 1)


def test_buffers(gpu):
    """Sizes and places of the command buffers that cannot be"""
    assert gpu.buffers(0xffffffff) == [False, False]
    gpu.write_words(MEM + H2G_DESC, [5, 0xfffffff0])
    gpu.write32(gpu.bars[0] + NOTIFY, 0)
    assert gpu.buffers(0) == [True, True]
    gpu.write32(gpu.bars[0] + NOTIFY, 0)
    gpu.buffers(CT_DW * 4)
    gpu.config_self(0x902, 0xffffffffffffff00)
    gpu.config_self(0x905, 0xfffffffffffffffc)
    gpu.write_words(MEM + H2G_DESC, [5, 900])
    gpu.write32(gpu.bars[0] + NOTIFY, 0)
    for _ in range(10):
        gpu.step()


def test_store_too_short(gpu):
    assert gpu.context(0)
    gpu.run(0, [0x20 << 23 | 0, RAM_VA, 0, 5])
    assert gpu.event(0x1008)
    for dw in range(0, 64):
        gpu.context(1)
        gpu.run(1, [dw << 23, 0xffffffff])


def test_endless(gpu):
    """Of three batches that do not end, none keeps the others from work."""
    batch = RAM_VA + 0x10000
    gpu.write_words(RAM_PAGE + 0x10000, [0, MI_BB_START, batch, 0])
    gpu.write_words(RAM_PAGE + 0x20000,
                    [MI_BB_START | SECOND_LEVEL, RAM_VA + 0x20000, 0])
    for number in range(2):
        assert gpu.context(number)
        gpu.run(number, [MI_BB_START, batch + number * 0x10000, 0])
    assert gpu.context(2)
    gpu.run(2, [0] * 4, tail=0x1ffff0)
    assert gpu.context(3)
    gpu.run(3, mi_store(RAM_VA + 8, 0x55))
    for _ in range(20):
        gpu.step()
    assert gpu.word(RAM_VA + 8) == 0x55


def test_huge_copy(gpu):
    """64 MiB, and 64 GiB in rows: others have their turn meanwhile."""
    assert gpu.context(0)
    gpu.run(0, [2 << 29 | 0x5b << 22 | 1 << 17 | 5, 0x3ffff, 0x3ffff, 0,
                RAM_VA, 0, 0xab << 24])
    assert gpu.context(1)
    gpu.run(1, mem_copy(RAM_VA, VRAM_VA, 0x40000))
    assert gpu.context(3)
    gpu.run(3, mi_store(RAM_VA + 8, 0x66))
    for _ in range(20):
        gpu.step()
    assert gpu.event(0x6002)


def test_own_registers(gpu):
    """Page tables and GGTT that lead to the device's own doorbell"""
    bar0 = gpu.bars[0]
    gpu.write64(gpu.bars[1] + ROOT + 3 * 4096 + 16,
                bar0 & ~0x1fffff | 1 << 7 | 3)
    gpu.write64(bar0 + GSM + ((GGTT >> 12) + 0x300) * 8,
                bar0 + 0x190000 | 1)
    assert gpu.context(0)
    gpu.run(0, mi_store((4 << 20) + 0x1901f0, 1) * 20)
    # The GuC's answers go to its own doorbell.
    gpu.config_self(0x906, GGTT + 0x300000 + 0x1f0 - 4)
    gpu.config_self(0x905, GGTT + 0x300000 + 0x1f0)
    for _ in range(20):
        gpu.send([0x1000, 0])
        gpu.step()


def test_reset(gpu):
    assert gpu.context(0)
    gpu.run(0, mem_copy(0x12345678000, VRAM_VA, 16))
    gpu.mailbox(0x5507)
    gpu.step()
    gpu.setup()
    assert not gpu.request(0x1001, 0, 1)
    gpu.send([FAST << 28 | 0x6003, 1, 0])


def test_compact(gpu):
    """A page table of 32 entries, each of them 64 KiB"""
    bar2 = gpu.bars[1]
    table = ROOT + 4 * 4096
    gpu.write64(bar2 + ROOT + 3 * 4096 + 8, table | 1 << 6 | 3)
    for page in range(32):
        gpu.write64(bar2 + table + page * 8,
                    RAM_PAGE + (31 - page) * 0x10000 | 3)
    for page in 0, 1, 31:
        gpu.write32(RAM_PAGE + (31 - page) * 0x10000 + 0x1234, page + 1)
    assert gpu.context(0)
    gpu.run(0, mem_copy(RAM_VA, VRAM_VA, 0x2000))
    for page in 0, 1, 31:
        assert gpu.word(VRAM_VA + page * 0x10000 + 0x1234) == page + 1


def test_fail(gpu):
    """As many copies fail as shall, and no fill; each context is lost."""
    gpu.set("x-fail-copies", 2)
    gpu.write32(RAM_PAGE, 0x88)
    for number in range(3):
        assert gpu.context(number)
        gpu.run(number, [2 << 29 | 0x5b << 22 | 5, 0xff, 0, 0, VRAM_VA, 0,
                         0xab << 24] + mem_copy(RAM_VA, VRAM_VA, 2))
        assert gpu.word(VRAM_VA) == (0x88 if number == 2 else 0xabababab)
    assert [e[1] for e in gpu.event(0x1008)] == [0, 1]


def test_fault(gpu):
    """A copy goes on where the page was not there."""
    assert gpu.context(0)
    table = ROOT + 3 * 4096
    gpu.write64(gpu.bars[1] + table + 8, 0)
    gpu.write32(RAM_PAGE + 0x1000, 0x77)
    gpu.run(0, mem_copy(RAM_VA + 0x1000, VRAM_VA, 16))
    fault = gpu.event(0x6002)
    assert len(fault) == 1 and fault[0][3] & 0xfffff000 == RAM_VA + 0x1000, fault
    gpu.write64(gpu.bars[1] + table + 8, RAM_PAGE | 1 << 7 | 3)
    gpu.request(0x6003, 1, (fault[0][1] >> 28 | fault[0][2] << 4 & 0xfff0) << 16)
    gpu.step()
    assert gpu.word(VRAM_VA) == 0x77


def noise(rng, words):
    """Some of the bits of some of the words are others."""
    words = list(words)
    for _ in range(rng.randrange(4)):
        words[rng.randrange(len(words))] ^= rng.choice(
            (1 << rng.randrange(32), rng.getrandbits(32), 0xffffffff))
    return words[:rng.choice((len(words), rng.randrange(1, len(words) + 1)))]


def commands(rng):
    at = rng.choice((VRAM_VA, RAM_VA, 4 << 20)) + rng.randrange(0, 1 << 21, 4)
    to = rng.choice((VRAM_VA, RAM_VA)) + rng.randrange(0, 1 << 20, 256)
    return noise(rng, rng.choice((
        mi_store(at, 1), mi_store(GGTT + at % 0x300000, 2, 1),
        mem_copy(at, to, rng.randrange(1, 64)),
        [2 << 29 | 0x5b << 22 | 1 << 17 | 5, 64, 4, 128, to, 0, 1 << 24],
        [2 << 29 | 0x48 << 22 | 3, 0, 0, to, 0],
        [MI_BB_START, at, 0], [MI_BB_START | SECOND_LEVEL, at, 0], [MI_BB_END],
        [0x1c << 23 | 4 << 12 | 2, 1, at, 0], [2 << 23], [0x1a << 23 | 3, *(
            rng.getrandbits(32) for _ in range(4))],
        [0x2f << 23 | rng.randrange(16) << 8 | 1, at, 0],
        [0x26 << 23 | 1 << 14 | 3, at, 0, 1, 2], [0x22 << 23 | 1, 0x2178, 1],
        [0x24 << 23 | 2, 0x22600, at, 0], [0x29 << 23 | 2, 0x22600, at, 0],
        [0x2e << 23 | 3, at, 0, to, 0], [0x36 << 23 | 2, 0, at, 0],
        [0x7a000004, 1 << 14, at, 0, 1, 2])))


def requests(rng):
    number = rng.randrange(4)
    return noise(rng, rng.choice((
        [0x4502, 0, number, 3, 1, 0, 0, 0, 0, 0,
         GGTT + LRC + number * 0x10000, 0],
        [0x1001, number, rng.randrange(2)], [0x1000, number], [0x4503, number],
        [0x6003, rng.randrange(4), number << 16], [0x5103, 1, 1, 0],
        [0x5103, 1, 0x101, 2], [0x7000, 1, 1, 1, 0, 0, rng.randrange(64)],
        [0x7002, 1], [0x7000, 1, 3])))


def fuzz(gpu, seconds, seed):
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        number = rng.randrange(4)
        if number not in gpu.contexts or not rng.randrange(20):
            gpu.context(number)
        ring = []
        while len(ring) < 64:
            ring += commands(rng)
        at = MEM + LRC + number * 0x10000
        gpu.write_words(at + RING, ring[:64])
        gpu.write_words(RAM_PAGE + rng.randrange(0, 1 << 20, 4), ring[:64])
        gpu.write_words(at + 4096 + 5 * 4, [0, 0, 256])
        for _ in range(8):
            gpu.send([rng.choice((REQUEST, FAST)) << 28 | 0] +
                     [0], notify=False)
            words = requests(rng)
            words[0] |= rng.choice((REQUEST, FAST)) << 28
            gpu.send(words)
        gpu.step()
        gpu.answers() if rng.randrange(4) else None
        if not rng.randrange(50):
            gpu.mailbox(*noise(rng, (0x508, 0x904 << 16 | 2, 4096, 0)))
        if not rng.randrange(20):
            gpu.works()
        count += 1
    print(f"# seed {seed}, {count} rounds of 64 dwords and 16 requests")


if __name__ == "__main__":
    sys.exit(run_tests(Gpu, globals(), fuzz))
