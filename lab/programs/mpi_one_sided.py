#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""MPI's one-sided communication between two ranks, which compare each byte.

usage: mpirun -np 2 mpi_one_sided.py put|get

Debian has no program that does this and checks its data: NetPIPE's one-sided one
passes MPI_Win_create() a NULL info object, which Open MPI refuses. The window's
memory is filled by its own rank before it becomes a window, and not touched until the
peer has read or written it.
"""

import random
import sys

from mpi4py import MPI

SIZES = (65536, 262144)
ROUNDS = 2


def pattern(rank, turn, size):
    """Return what a rank has in that round."""
    return random.Random(2 * turn + rank).randbytes(size)


def exchange(comm, verb, turn, size):
    """Have each rank put into the other's window, or get from it; is it right?"""
    peer = 1 - comm.rank
    mine, theirs = pattern(comm.rank, turn, size), pattern(peer, turn, size)
    memory = bytearray(mine if verb == "get" else size)
    local = bytearray(size) if verb == "get" else bytearray(mine)
    window = MPI.Win.Create(memory, comm=comm)
    window.Fence()
    getattr(window, verb.capitalize())(local, peer)
    window.Fence()
    window.Free()
    return (local if verb == "get" else memory) == theirs


def main():
    """Do it for each size."""
    comm = MPI.COMM_WORLD
    for size in SIZES:
        for turn in range(ROUNDS):
            if not exchange(comm, sys.argv[1], turn, size):
                print(f"rank {comm.rank}: {size} bytes, round {turn}: wrong", flush=True)
                comm.Abort(1)


if __name__ == "__main__":
    main()
