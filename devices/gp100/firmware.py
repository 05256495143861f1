#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Stand-ins for the firmware of a GP100: firmware.py DIRECTORY

Without these files nouveau makes no graphics engine, and without one it gives no
program a channel. They have headers that it accepts, and zeroes: the model runs
none of it.
"""
import pathlib
import struct
import sys


def blob(size, **parts):
    """SIZE bytes: zero, but for lists of words at offsets that the names give."""
    data = bytearray(size)
    for name, words in parts.items():
        struct.pack_into(f"<{len(words)}I", data, int(name[1:], 16), *words)
    return bytes(data)


# A boot loader: magic, version, size, offset of its header, of data, their size
LOADER = blob(0x140, x0=[0x10DE, 1, 0x140, 0x18, 0x40, 0x100],
              x18=[0, 0, 0, 0x100, 0, 0])
# A signed one: in its header are where the signatures and a load header are
SIGNED = blob(0x500, x0=[0x10DE, 1, 0x500, 0x18, 0x100, 0x400],
              x18=[0x60, 16, 0x60, 16, 0x50, 0x54, 0x80, 0x1C],
              x50=[0x200, 0], x80=[0, 0x100, 0x200, 0x100, 1, 0x100, 0x100])
FILES = {
    "acr/bl": LOADER,
    "acr/ucode_load": SIGNED,
    "acr/ucode_unload": SIGNED,
    **{f"gr/sw_{name}": bytes(24)
       for name in ("ctx", "nonctx", "bundle_init", "method_init")},
}
for falcon in "fecs", "gpccs":
    FILES[f"gr/{falcon}_bl"] = LOADER
    FILES[f"gr/{falcon}_inst"] = bytes(256)
    FILES[f"gr/{falcon}_data"] = bytes(256)
    FILES[f"gr/{falcon}_sig"] = bytes(76)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: firmware.py DIRECTORY")
    for name, data in FILES.items():
        path = pathlib.Path(sys.argv[1], "nvidia/gp100", name + ".bin")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


main()
