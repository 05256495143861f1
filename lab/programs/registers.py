#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Register memory on demand, and see that its content stays what it was.

usage: registers.py MIB [COMMAND...]

COMMAND runs while the memory is registered. RDMA is the device (default: rxe0). Exit
code 1: a page has other content, or COMMAND failed.
"""

import ctypes
import mmap
import os
import subprocess
import sys

from pyverbs.device import Context
from pyverbs.enums import IBV_ACCESS_LOCAL_WRITE, IBV_ACCESS_ON_DEMAND
from pyverbs.mr import MR
from pyverbs.pd import PD

PAGE = 4096


def word(page):
    """Return what is at the beginning of a page."""
    return (page + 1).to_bytes(8, "little")


def main():
    """Fill, register, run the command, compare."""
    size = int(sys.argv[1]) << 20
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(size // PAGE):
        memory[page * PAGE:page * PAGE + 8] = word(page)
    with Context(name=os.environ.get("RDMA", "rxe0")) as context, PD(context) as pd:
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        with MR(pd, size, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_ON_DEMAND, address=address):
            if sys.argv[2:]:
                subprocess.run(sys.argv[2:], check=True)
    wrong = sum(memory[page * PAGE:page * PAGE + 8] != word(page)
                for page in range(size // PAGE))
    print(f"{size // PAGE} pages, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
