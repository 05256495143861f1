#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""unit.py LIBRARY [SECONDS [SEED]]: tests gp100-model without a guest, in KTAP.

LIBRARY is gp100-model.so; with SANITIZER=PATH that library is loaded before it.
The test is the driver: it writes registers, page tables and push buffers, and looks
at what comes of it. QEMU's clock stands still, so a channel that waits looks again
when it is kicked. The last test writes rubbish for so many seconds, 20 by default.
A failure prints the seed that repeats it.
"""
import random
import sys
import time

from qtest import BUS_MASTER, MEMORY, Machine, run_tests

BAR0, BAR1, BAR3 = 0xE0000000, 0x800000000, 0x8C0000000
VRAM = 64 << 20
RAM = 0x1000000                  # guest memory that the tests use
# In VRAM: instance block, page directories and table, GPFIFO, push buffer
INST, PD, PT, GPFIFO, PUSH, USERD = 0x10000, 0x20000, 0x30000, 0x40000, 0x50000, 0x60000


class Gpu(Machine):
    """A GP100 with all of its BARs mapped."""

    def __init__(self, library, props=""):
        super().__init__(library, f"gp100-model,vram={VRAM},bar1=64M{props}")
        # BAR 0 has 32 bits of address, BAR 1 and BAR 3 have 64.
        self.config_write(4, 0)
        for reg, value in ((0x10, BAR0), (0x14, BAR1), (0x18, BAR1 >> 32),
                           (0x1C, BAR3), (0x20, BAR3 >> 32)):
            self.config_write(reg, value & 0xFFFFFFFF)
        self.config_write(4, BUS_MASTER | MEMORY)

    def rd(self, reg):
        return self.read32(BAR0 + reg)

    def wr(self, reg, value):
        self.write32(BAR0 + reg, value)

    def vram(self, addr, *words):
        self.wr(0x1700, addr >> 16)
        for i, word in enumerate(words):
            self.wr(0x700000 + (addr & 0xFFFF) + i * 4, word)

    def vram64(self, addr, *values):
        self.vram(addr, *(v >> s & 0xFFFFFFFF for v in values for s in (0, 32)))

    def kick(self, put, chid=0):
        """Writes GP_PUT, and lets the channel run."""
        self.write32(BAR1 + USERD + chid * 0x200 + 0x8C, put)
        for _ in range(4):
            self.rd(0)

    def works(self):
        assert self.rd(0) == 0x130000A1


def pde(addr):
    return addr >> 4 | 2


def channel(q, chid=0, inst=INST, replay=False):
    """A space whose first 2 MiB are small pages, and channel CHID of it on."""
    q.vram64(inst + 0x200, PD | 1 << 10 | replay * 0x30, (1 << 49) - 1)
    for level in range(3):
        q.vram64(PD + level * 0x1000, pde(PD + (level + 1) * 0x1000))
    q.vram64(PD + 0x3000, 0, pde(PT))
    for page, addr in ((GPFIFO, GPFIFO), (PUSH, PUSH), (USERD, USERD)):
        q.vram64(PT + (page >> 12) * 8, addr >> 4 | 1)
    q.vram(inst + 8, USERD + chid * 0x200, 0)
    q.vram(inst + 0x48, GPFIFO, 9 << 16)
    q.vram(inst, *[0] * 2)
    # BAR1 shows the same space; USERD of all channels is in it
    q.wr(0x1704, 0x80000000 | INST >> 12)
    q.wr(0x2254, 0x10000000 | USERD >> 12)
    q.wr(0x800000 + chid * 8, 0x80000000 | inst >> 12)
    for other in range(chid + 1):
        q.vram(0x70000 + other * 8, other, 0)
    q.wr(0x2270, 0x70000 >> 12)
    q.wr(0x2274, chid + 1)
    q.wr(0x800004 + chid * 8, 0x400)


def push(q, *words, put=1, chid=0):
    """Has the channel execute WORDS."""
    q.vram(PUSH, *words)
    q.vram64(GPFIFO + (put - 1) * 8, PUSH | len(words) << 42)
    q.kick(put, chid)


def mthd(reg, count):
    return 1 << 29 | count << 16 | 4 << 13 | reg >> 2


def copy(src, dst, length=4096, lines=1, src_ram=False, dst_ram=False, launch=0x182):
    """A physical copy; VRAM unless told otherwise."""
    return (mthd(0x260, 2), src_ram, dst_ram,
            mthd(0x400, 8), src >> 32, src & 0xFFFFFFFF, dst >> 32, dst & 0xFFFFFFFF,
            4096, 4096, length, lines,
            mthd(0x300, 1), launch | 1 << 12 | 1 << 13 | 1 << 9)


def test_identity(q):
    q.works()
    assert q.rd(0x300000) & 0xFFFF == 0xAA55
    assert q.rd(0x90020C) == VRAM >> 20
    q.wr(0, 0)
    q.works()


def test_copy(q):
    channel(q)
    q.vram(0x80000, 0x12345678)
    push(q, *copy(0x80000, RAM, dst_ram=True))
    assert q.read32(RAM) == 0x12345678
    q.write32(RAM, 0x9ABCDEF0)
    push(q, *copy(RAM, 0x90000, src_ram=True), put=2)
    q.wr(0x1700, 9)
    assert q.rd(0x700000) == 0x9ABCDEF0


def test_components(q):
    """A remap that takes from each element what its source does not have"""
    channel(q)
    push(q, mthd(0x700, 3), 0, 0, 3 | 3 << 16 | 1 << 20,
         *copy(0x80000, 0x90000, length=4096, launch=0x582))
    q.works()


def test_semaphore(q):
    """Acquire waits for what RAM does not have yet; release writes it."""
    channel(q)
    q.vram64(PT + 0x100 * 8, (RAM >> 4) | 2 << 1 | 1)
    push(q, 1 << 29 | 4 << 16 | 4, 0, 0x100000, 7, 1,
         1 << 29 | 4 << 16 | 4, 0, 0x100004, 8, 2 | 1 << 24)
    assert q.read32(RAM + 4) == 0
    q.write32(RAM, 7)
    q.kick(1)
    assert q.read32(RAM + 4) == 8


def test_unmapped(q):
    """A fault that nobody replays is in the unit's registers, and is reported."""
    channel(q)
    q.wr(0x2140, 0x10000000)
    push(q, mthd(0x400, 8), 0, 0x180000, 0, 0x181000, 4096, 4096, 4096, 1,
         mthd(0x300, 1), 0x382)
    assert q.rd(0x259C) == 1 << 0x15
    assert q.rd(0x2800 + 0x150 + 4) & ~0xFFF == 0x180000
    assert q.rd(0x100) & 0x100
    q.wr(0x259C, 1 << 0x15)
    assert not q.rd(0x100) & 0x100


def test_overflow(q):
    """
    Of faults that find the buffer full the driver does not know, so it does not
    give up on them. They come again with the next replay.
    """
    fault_page, lower = 0x100, INST - 0x1000
    channel(q, 0, INST, True)
    channel(q, 1, lower, True)
    q.wr(0x1714, 0x80000000 | INST >> 12)
    q.vram64(PT + fault_page * 8, 0x80000 >> 4 | 1)
    q.wr(0x2A74, 0)
    q.wr(0x2A70, fault_page << 12 | 1)
    touch = (mthd(0x400, 8), 0, 0x180000, 0, 0x181000, 4096, 4096, 4096, 1,
             mthd(0x300, 1), 0x382)
    push(q, *touch, chid=0)
    q.kick(1, 1)
    assert (q.rd(0x2A7C), q.rd(0x2A80)) == (0, 1)
    assert q.rd(0x409B00) == 0      # read by nobody yet
    q.wr(0x2A7C, 1)
    assert q.rd(0x409B00) == 0x80000000 | INST >> 12
    q.wr(0x100CBC, 3 << 3)
    assert q.rd(0x2800 + 0x150) == INST >> 12
    assert q.rd(0x409B00) == 0
    q.wr(0x100CBC, 1 << 3)
    for _ in range(4):
        q.rd(0)
    assert (q.rd(0x2A7C), q.rd(0x2A80)) == (1, 0)
    q.wr(0x2A7C, 0)
    assert q.rd(0x409B00) == 0x80000000 | lower >> 12


test_overflow.PROPS = ",fault-entries=2"


def test_hang(q):
    """A copy that hangs is done when it may, unless its channel is off."""
    channel(q)
    q.vram(0x80000, 0x12345678)
    q.set("x-hang-copies", 1)
    push(q, *copy(0x80000, RAM, dst_ram=True))
    assert q.read32(RAM) == 0
    q.set("x-hang-copies", 0)
    q.kick(1)
    assert q.read32(RAM) == 0x12345678
    q.write32(RAM, 0)
    q.set("x-hang-copies", 1)
    push(q, *copy(0x80000, RAM, dst_ram=True), put=2)
    q.wr(0x800004, 0x800)
    q.set("x-hang-copies", 0)
    q.kick(2)
    assert q.read32(RAM) == 0


def test_hang_one(q):
    """One channel hangs, and another copies meanwhile."""
    other = INST - 0x1000
    channel(q, 0, INST)
    channel(q, 1, other)
    q.vram(0x80000, 0x12345678)
    q.set("x-hang-copies", 2)
    push(q, *copy(0x80000, RAM, dst_ram=True), chid=0)
    assert q.read32(RAM) == 0
    push(q, *copy(0x80000, RAM + 0x1000, dst_ram=True), chid=1)
    assert q.read32(RAM + 0x1000) == 0x12345678
    assert q.read32(RAM) == 0
    q.set("x-hang-copies", 0)
    q.kick(1)
    assert q.read32(RAM) == 0x12345678


def test_huge_copies(q):
    """Copies of 2^32 lines, empty or not, let QEMU answer."""
    channel(q)
    for put, length in ((1, 0), (2, 0xFFFFFFFF)):
        start = time.monotonic()
        push(q, *copy(0, 0, length=length, lines=0xFFFFFFFF), put=put)
        q.works()
        assert time.monotonic() - start < 2
        q.wr(0x800004, 0x800)       # off, and anew
        channel(q)


def test_own_bars(q):
    """A copy to the device's own registers and window does nothing."""
    channel(q)
    for put, addr in enumerate((BAR0 + 0x800000, BAR1 + USERD, BAR3), 1):
        push(q, *copy(0x80000, addr, dst_ram=True), put=put)
        assert q.rd(0x800000) == 0x80000000 | INST >> 12
        push(q, *copy(addr, 0x80000, src_ram=True), put=put)
        q.works()


def test_wild_channel(q):
    """Indices beyond the rings, tables outside of VRAM"""
    channel(q)
    q.kick(0xFFFFFFFF)
    for size in (0, 31):
        q.vram(INST + 0x48, 0xFFFFFFFF, 0xFF | size << 16)
        q.kick(0x7FFFFFFF)
    q.vram64(INST + 0x200, (1 << 64) - 1 - 3, (1 << 64) - 1)
    q.wr(0x100CBC, 2)
    q.kick(5)
    q.wr(0x2A7C, 0xFFFFFFFF)
    q.wr(0x2A78, 0)
    q.wr(0x2274, 0xF0FFFF)
    q.works()


SPECIAL = [0x100, 0x104, 0x140, 0x160, 0x180, 0x1700, 0x1704, 0x1714, 0x2100, 0x2140,
           0x2254, 0x2270, 0x2274, 0x259C, 0x2634, 0x2A00, 0x2A70, 0x2A74, 0x2A78,
           0x2A7C, 0x2A80, 0x9100, 0x9140, 0x9400, 0x9410, 0x9420, 0x88704, 0x100CB8,
           0x100CBC, 0x100CEC, 0x409504, 0x409B00]


def rubbish(rng):
    """A value that is small, an address that means something, or anything."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randrange(16)
    if kind == 1:
        return rng.choice((INST, PD, PT, GPFIFO, PUSH, USERD, RAM)) >> rng.choice((0, 4, 12)) \
            | rng.randrange(16) << 28
    if kind == 2:
        return 1 << rng.randrange(32)
    return rng.getrandbits(32)


def rubbish_round(q, rng):
    channel(q, rng.randrange(2))
    for _ in range(30):
        what = rng.randrange(6)
        if what == 0:
            q.wr(rng.choice(SPECIAL), rubbish(rng))
        elif what == 1:
            q.wr(rng.randrange(0, 1 << 24, 4), rubbish(rng))
        elif what == 2:
            q.wr(0x800000 + 4 * rng.randrange(8), rubbish(rng))
        elif what == 3:
            at = rng.choice((INST, INST + 0x200, PD, PD + 0x3000, PT, GPFIFO))
            q.vram(at + 4 * rng.randrange(32), rubbish(rng), rubbish(rng))
        elif what == 4:
            words = list(copy(rubbish(rng), rubbish(rng), rubbish(rng), rubbish(rng),
                              rng.randrange(2), rng.randrange(2), rng.getrandbits(14)))
            words[rng.randrange(len(words))] = rubbish(rng)
            words += [mthd(0x700, 3), rubbish(rng), rubbish(rng), rng.getrandbits(26)]
            push(q, *words, put=rng.randrange(1, 5), chid=rng.randrange(2))
        else:
            q.rd(rng.randrange(0, 1 << 24, 4))
            q.read(rng.choice((BAR1, BAR3)) + rng.randrange(0, 1 << 24, 8), 8)


def fuzz(q, seconds, seed):
    rng = random.Random(seed)
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        rubbish_round(q, rng)
        q.works()
        count += 1
    print(f"# seed {seed}, {count} rounds of 30 writes")


if __name__ == "__main__":
    sys.exit(run_tests(Gpu, globals(), fuzz))
