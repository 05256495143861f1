#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A program that lives with RDMA, fork() and malloc(), for life.py.

usage: life_owner.py TEST

It has memory regions that page on demand, and starts itself as the peer ("--peer"),
another process on RDMA_PEER, which reads and writes them. vram-malloc.so is preloaded
into the owner, and moves its regions to a device when they are registered and each
time that a queue pair becomes ready. The peer has a buffer in RAM. Exit code 0: each
word was right, and what was in the device has stayed there.
"""

import array
import ctypes
import errno
import os
import pickle
import subprocess
import sys
import time

import pyverbs.enums as e
from pyverbs.addr import AHAttr, GID, GlobalRoute
from pyverbs.cq import CQ
from pyverbs.device import Context
from pyverbs.fork import is_fork_initialized
from pyverbs.mem_alloc import (MAP_ANONYMOUS_, MAP_FIXED_, MAP_PRIVATE_, free, malloc,
                               mmap, munmap)
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr
from pyverbs.wr import SGE, SendWR

PAGE = 4096
SIZE = 64 * PAGE
# Nothing else maps memory there, so that it is free again after munmap().
AT = 1 << 40
# Below the size from which malloc() uses mmap(), and not of whole pages
BLOCK = 40000
BLOCKS = 16
ROUNDS = 6
PATIENCE = 60
ACCESS = e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_REMOTE_WRITE


def words(seed, size=SIZE):
    """Return words that are all different, also from those of another seed."""
    return array.array("Q", range(seed << 32, (seed << 32) + size // 8)).tobytes()


def same(got, want, what):
    """Fail if a word is not what it should be."""
    if got == want:
        return
    pairs = list(zip(array.array("Q", got), array.array("Q", want)))
    wrong = [index for index, (mine, other) in enumerate(pairs) if mine != other]
    mine, other = pairs[wrong[0]]
    raise AssertionError(f"{what}: {len(wrong)} of {len(pairs)} words are wrong, the "
                         f"first at {wrong[0]}: {mine:#x} for {other:#x}")


def load(address, size):
    """Return what the CPU finds there."""
    return ctypes.string_at(address, size)


def store(address, data):
    """Have the CPU write."""
    ctypes.memmove(address, data, len(data))


def on_device(address, size):
    """Return how many whole pages of it are not in RAM. There is no swap."""
    first, last = -(-address // PAGE), (address + size) // PAGE
    with open("/proc/self/pagemap", "rb", buffering=0) as file:
        file.seek(first * 8)
        entries = array.array("Q", file.read((last - first) * 8))
    return sum(entry >> 62 == 1 for entry in entries)


def map_memory():
    """Map memory at AT."""
    mmap(addr=AT, length=SIZE, flags=MAP_PRIVATE_ | MAP_ANONYMOUS_ | MAP_FIXED_)


class Side:
    """One side of a connection."""

    def __init__(self, device):
        self.context = Context(name=device)
        self.pd = PD(self.context)
        self.cq = CQ(self.context, 16)
        self.qp = None

    def renew(self):
        """Take a new queue pair; return what the other side has to know of it."""
        if self.qp:
            self.qp.close()
        attributes = QPAttr(port_num=1)
        attributes.qp_access_flags = ACCESS
        self.qp = QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=self.cq, rcq=self.cq,
                                         cap=QPCap()), attributes)
        return (self.qp.qp_num, self.context.query_port(1).lid,
                self.context.query_gid(1, 0).gid)

    def connect(self, number, lid, gid):
        """Connect it to the other side's."""
        attributes = QPAttr(port_num=1)
        attributes.path_mtu = e.IBV_MTU_1024
        attributes.max_rd_atomic = attributes.max_dest_rd_atomic = 1
        attributes.min_rnr_timer = 12
        attributes.retry_cnt = attributes.rnr_retry = 7
        attributes.timeout = 18
        attributes.dest_qp_num = number
        attributes.ah_attr = AHAttr(port_num=1, is_global=1, dlid=lid,
                                    gr=GlobalRoute(dgid=GID(gid), sgid_index=0))
        self.qp.to_rts(attributes)


class Peer:
    """The other process, as the owner sees it."""

    def __init__(self):
        environment = {name: value for name, value in os.environ.items()
                       if name != "LD_PRELOAD"}
        self.process = subprocess.Popen([sys.executable, __file__, "--peer"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=environment)

    def ask(self, *what):
        """Have it do something, and return its answer."""
        pickle.dump(what, self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def read(self, mr, address, size):
        """Return what RDMA READ gives."""
        status, data = self.ask("read", address, mr.rkey, size)
        assert status == e.IBV_WC_SUCCESS, f"RDMA READ ends with status {status}"
        return data

    def write(self, mr, address, data):
        """RDMA WRITE"""
        status, _ = self.ask("write", address, mr.rkey, data)
        assert status == e.IBV_WC_SUCCESS, f"RDMA WRITE ends with status {status}"

    def cannot_read(self, mr, address, size):
        """RDMA READ fails, and brings nothing."""
        status, data = self.ask("read", address, mr.rkey, size)
        assert status == e.IBV_WC_REM_ACCESS_ERR, f"RDMA READ ends with status {status}"
        assert data == b"\xff" * size, "RDMA READ has failed, and brought something"


class PeerSide(Side):
    """What the other process does."""

    def __init__(self, device):
        super().__init__(device)
        self.mr = MR(self.pd, SIZE, e.IBV_ACCESS_LOCAL_WRITE)

    def transfer(self, opcode, address, rkey, size):
        """Return how it has ended."""
        request = SendWR(opcode=opcode, num_sge=1,
                         sg=[SGE(self.mr.buf, size, self.mr.lkey)])
        request.set_wr_rdma(rkey, address)
        self.qp.post_send(request)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            count, completions = self.cq.poll()
            if count:
                return completions[0].status
        return "none"

    def do_read(self, address, rkey, size):
        """RDMA READ into a buffer that shows what was not written"""
        self.mr.write(b"\xff" * size, size, 0)
        status = self.transfer(e.IBV_WR_RDMA_READ, address, rkey, size)
        return status, bytes(self.mr.read(size, 0))

    def do_write(self, address, rkey, data):
        """RDMA WRITE"""
        self.mr.write(data, len(data), 0)
        return self.transfer(e.IBV_WR_RDMA_WRITE, address, rkey, len(data)), None

    def do_connect(self, *other):
        """Connect a new queue pair."""
        answer = self.renew()
        self.connect(*other)
        return answer

    def serve(self):
        """Do what the owner asks for, until it has ended."""
        while True:
            try:
                what, *arguments = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            pickle.dump(getattr(self, f"do_{what}")(*arguments), sys.stdout.buffer)
            sys.stdout.buffer.flush()


class Owner(Side):
    """The program whose memory is in a device."""

    def __init__(self):
        super().__init__(os.environ.get("RDMA", "rxe0"))
        self.peer = Peer()

    def register(self, address, size):
        """Register memory that pages on demand."""
        return MR(self.pd, size, ACCESS | e.IBV_ACCESS_ON_DEMAND, address=address)

    def reconnect(self):
        """Connect anew: the library moves all regions to the device."""
        self.connect(*self.peer.ask("connect", *self.renew()))

    def place(self):
        """Have all pages at AT in the device. One that is in use at that moment is not."""
        for _ in range(20):
            self.reconnect()
            if on_device(AT, SIZE) == SIZE // PAGE:
                return
        raise AssertionError(f"only {on_device(AT, SIZE)} pages are in the device")

    def in_place(self, mr, seed, new_seed=None):
        """Let the peer read words of a seed, and write others, in the device."""
        same(self.peer.read(mr, AT, SIZE), words(seed), "the peer has read")
        if new_seed is not None:
            self.peer.write(mr, AT, words(new_seed))
        left = SIZE // PAGE - on_device(AT, SIZE)
        assert not left, f"{left} pages have moved to RAM"


class Child:
    """A child that has the memory at AT of before the fork."""

    def __init__(self):
        ask, self.requests = os.pipe()
        self.answers, answer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.requests)
            with os.fdopen(ask, "rb") as requests, os.fdopen(answer, "wb") as answers:
                self.serve(requests, answers)
            os._exit(0)
        os.close(ask)
        os.close(answer)
        self.requests = os.fdopen(self.requests, "wb")
        self.answers = os.fdopen(self.answers, "rb")

    @staticmethod
    def serve(requests, answers):
        """Of the child: look, or write."""
        while True:
            try:
                what, seed = pickle.load(requests)
                if what == "write":
                    store(AT, words(seed))
                same(load(AT, SIZE), words(seed), "the child has")
                said = ""
            except EOFError:
                return
            except AssertionError as error:
                said = str(error)
            pickle.dump(said, answers)
            answers.flush()

    def ask(self, what, seed):
        """Have it look for words of a seed, or write them."""
        pickle.dump((what, seed), self.requests)
        self.requests.flush()
        said = pickle.load(self.answers)
        assert not said, said

    def end(self):
        """Wait until it has ended."""
        self.requests.close()
        _, status = os.waitpid(self.pid, 0)
        assert not status, f"the child has ended with status {status}"


def shared(owner):
    """Return a region in the device, with words of seed 2, and a child that has it."""
    map_memory()
    store(AT, words(1))
    mr = owner.register(AT, SIZE)
    owner.place()
    owner.in_place(mr, 1, 2)
    return mr, Child()


def fork_copies(owner):
    """A child reads and overwrites; the parent's data are the parent's."""
    mr, child = shared(owner)
    # Without ibv_fork_init(), which would have kept the memory from the child
    assert is_fork_initialized() != e.IBV_FORK_ENABLED, "ibv_fork_init() was called"
    child.ask("look", 2)
    same(owner.peer.read(mr, AT, SIZE), words(2), "the peer has read")
    child.ask("write", 3)
    same(owner.peer.read(mr, AT, SIZE), words(2), "after the child's write the peer has read")
    owner.peer.write(mr, AT, words(4))
    same(load(AT, SIZE), words(4), "the parent has")
    child.ask("look", 3)
    # While the child has its copy
    owner.place()
    owner.in_place(mr, 4, 5)
    child.ask("look", 3)
    child.end()
    owner.in_place(mr, 5, 6)
    same(load(AT, SIZE), words(6), "at the end the parent has")


def fork_in_place(owner):
    """Memory of the device that a child shares is read where it is."""
    mr, child = shared(owner)
    # mlx5 asks for write access whatever it does, unless it is told otherwise. That
    # ends the sharing, and moves the page. rxe's provider has no such call.
    try:
        owner.pd.advise_mr(e._IBV_ADVISE_MR_ADVICE_PREFETCH,
                           e._IBV_ADVISE_MR_FLAG_FLUSH, [SGE(AT, SIZE, mr.lkey)])
    except PyverbsRDMAError as error:
        if error.error_code != errno.EOPNOTSUPP:
            raise
    owner.in_place(mr, 2)
    child.ask("look", 2)
    child.end()
    # The first write after a fork ends the sharing, in RAM: let it be the program's.
    store(AT, words(3))
    owner.place()
    owner.in_place(mr, 3, 4)
    same(load(AT, SIZE), words(4), "the parent has")


def cache(owner):
    """A region stays registered while its memory is freed, and mapped again."""
    mr = None
    for number in range(1, ROUNDS + 1):
        map_memory()
        store(AT, words(2 * number))
        mr = mr or owner.register(AT, SIZE)
        owner.place()
        owner.in_place(mr, 2 * number, 2 * number + 1)
        same(load(AT, SIZE), words(2 * number + 1), "the program has")
        munmap(AT, SIZE)
        owner.peer.cannot_read(mr, AT, SIZE)


def heap(owner):
    """Blocks of malloc() that are registered, beside some that are not."""
    blocks, cached, hits = [malloc(BLOCK) for _ in range(BLOCKS)], {}, 0
    for number in range(ROUNDS):
        registered, own = blocks[::2], blocks[1::2]
        for address in registered:
            if address not in cached:
                cached[address] = owner.register(address, BLOCK)
        seeds = {address: 100 * number + index for index, address in enumerate(blocks, 1)}
        for address, seed in seeds.items():
            store(address, words(seed, BLOCK))
        owner.reconnect()
        for address in registered:
            same(owner.peer.read(cached[address], address, BLOCK),
                 words(seeds[address], BLOCK), "the peer has read")
            owner.peer.write(cached[address], address, words(seeds[address] + 50, BLOCK))
        assert sum(on_device(address, BLOCK) for address in registered), "all is in RAM"
        # The program writes to the pages at the edges of what the peer writes to.
        for mine, other in zip(own, registered):
            store(mine, words(seeds[mine] + 50, BLOCK))
            owner.peer.write(cached[other], other, words(seeds[other] + 70, BLOCK))
        for address in registered:
            same(load(address, BLOCK), words(seeds[address] + 70, BLOCK), "registered")
        for address in own:
            same(load(address, BLOCK), words(seeds[address] + 50, BLOCK), "not registered")
        # All of them, so that the heap may shrink, or each second one
        gone = blocks if number % 2 else registered
        for address in gone:
            free(address)
        taken = [malloc(BLOCK) for _ in gone]
        hits += sum(address in cached for address in taken)
        blocks = taken if number % 2 else [
            address for both in zip(taken, own) for address in both]
    assert hits, "malloc() has never given the same block again"


def main():
    """Be the owner, or the peer."""
    if sys.argv[1] == "--peer":
        PeerSide(os.environ.get("RDMA_PEER", os.environ.get("RDMA", "rxe0"))).serve()
        return
    os.environ.pop("RDMAV_FORK_SAFE", None)
    os.environ.pop("IBV_FORK_SAFE", None)
    tests = {"fork_copies": fork_copies, "fork_in_place": fork_in_place, "cache": cache,
             "heap": heap}
    tests[sys.argv[1]](Owner())


if __name__ == "__main__":
    main()
