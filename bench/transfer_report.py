#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make tables and pictures of what bench/transfer.c measured on two kernels.

usage: transfer_report.py STOCK OURS OUT KEY=VALUE...

STOCK and OURS are directories with what was left of a run for each row of RUNS, as
IMPORTER-ROW/out: one JSON object a line. The tables are printed, and written with the environment
(the kernels and the KEYs) to OUT.md; the pictures go to OUT-turns.svg
and OUT-size.svg. Exit code 0: the runs are complete, whatever they say.
"""

import os
import statistics
import sys

from chart import draw
from report import environment, rows, table

RUNS = {"rxe": ("F9", "F12"), "mlx5": ("F1", "F5", "F6", "F7", "F11")}
OURS_ONLY = ("F6", "F11")
IMPORTERS = ("mlx5",)
STOCK = "7.3.4"
MESSAGES = (1, 64, 4096, 65536, 1 << 20, 8 << 20)
GIB = 1 << 30
FOLIOS = ("4 KiB", "2 MiB")


class Results:
    """What one kernel has printed."""

    def __init__(self, directory, leave_out=()):
        self.found = {}
        for importer, row in ((i, row) for i in RUNS for row in RUNS[i]
                              if row not in leave_out):
            self.kernel, found = rows(os.path.join(
                directory, f"{importer}-{row}", "out"))
            for line in found:
                self.found[importer, row, line["case"], line["n"]] = line

    def get(self, importer, row, case, n):
        """The row, or an end: nothing that should be there is left out."""
        try:
            return self.found[importer, row, case, n]
        except KeyError:
            sys.exit(f"no row {row} of {importer}: {case}, {n}")

    def sizes(self, importer, row, case):
        """Return the n of all rows of that case, in order."""
        return sorted(n for i, r, c, n in self.found
                      if (i, r, c) == (importer, row, case))


def median(values):
    return statistics.median(values) if isinstance(values, list) else values


def number(value):
    if value and abs(value) < 10:
        return f"{value:,.3f}"
    return f"{value:,.0f}"


class Table:
    """The table of targets, and the verdicts."""

    def __init__(self):
        self.lines, self.verdicts = [], []

    def add(self, row, importer, what, ours, other, that, limit=None):
        """@limit: a ratio to @that"""
        ratio = f"{ours / that:.3f}" if that else "-"
        ok = limit is None or ours <= limit * that
        self.line(row, importer, what, ours, other, that, ratio,
                  None if limit is None else f"≤ {limit:g}", ok)

    def add_most(self, row, importer, what, ours, other, that, most):
        """@most: the most that ours may be, whatever @that is"""
        self.line(row, importer, what, ours, other, that, "-", f"{most:g}" if
                  not most else f"≤ {most:g} each", ours <= most)

    def line(self, row, importer, what, ours, other, that, ratio, target, ok):
        verdict = "-" if target is None else "pass" if ok else "MISS"
        if target is not None:
            self.verdicts.append(verdict)
        self.lines.append([row, importer, what, number(ours), other,
                           "-" if that is None else number(that), ratio,
                           target or "-", verdict])


def rounds(out, base, ours):
    """F1 and F2: the device writes, the NIC reads, the device adds."""
    for importer in IMPORTERS:
        for case in FOLIOS:
            b = base.get(importer, "F1", case, 16384)
            o = ours.get(importer, "F1", case, 16384)
            out.add_most("F1", importer, f"pages moved a round, {case}",
                         max(o["moved"]), STOCK, median(b["moved"]), 0)
            for row in b, o:
                if max(row["engine_moved"]):
                    sys.exit("the engine alone has moved pages")
            out.add("F2", importer, f"instructions a round, {case}",
                    median(o["work"]), STOCK, median(b["work"]))
            rest = [median(row["work"]) - median(row["engine"])
                    for row in (o, b)]
            out.add("F2", importer, f"less those of the engine, {case}",
                    rest[0], STOCK, rest[1],
                    0.2 if importer == "mlx5" else None)


def messages(out, base, ours):
    """F7: they take turns on one buffer."""
    for importer in IMPORTERS:
        for n in MESSAGES:
            b = base.get(importer, "F7", "in place", n)
            o = ours.get(importer, "F7", "in place", n)
            out.add_most("F7", importer, f"pages moved a message of {n} B",
                         o["moved"] / o["messages"], STOCK,
                         b["moved"] / b["messages"], 0)
        for n in MESSAGES:
            o, b, staged = (kernel.get(importer, "F7", case, n) for kernel, case
                            in ((ours, "in place"), (base, "in place"),
                                (ours, "staged")))
            o, b, staged = (row["work"] / row["messages"]
                            for row in (o, b, staged))
            what = f"instructions a message of {n} B"
            out.add("F7", importer, what, o, STOCK, b)
            out.add("F7", importer, what, o, "staged", staged)


def reuse(out, base, ours):
    """F9: memory that is used again while it is in VRAM."""
    for case in FOLIOS:
        for n in ours.sizes("rxe", "F9", case):
            o, b = (row["faults"] / row["blocks"] for row in
                    (kernel.get("rxe", "F9", case, n)
                     for kernel in (ours, base)))
            what = f"page faults for 2 MiB, {case}, {n} threads"
            # More than one page fault may be one call, and others that wait.
            if o <= 1:
                out.add_most("F9", "-", what, o, STOCK, b, 1)
            else:
                out.add("F9", "-", what, o, STOCK, b)


def steady(out, base, ours):
    """F5: without a verdict, because nothing is left but how the guest waits."""
    n = ours.sizes("mlx5", "F5", "RAM")[0]
    device, ram = (ours.get("mlx5", "F5", case, n) for case in ("device", "RAM"))
    stock = base.get("mlx5", "F5", "RAM", n)
    for way in ("read", "write"):
        what = f"instructions for 64 MiB, {way.upper()}"
        out.add("F5", "mlx5", f"{what}, device", min(device[way]), "RAM",
                min(ram[way]))
        out.add("F10", "mlx5", f"{what}, RAM", min(ram[way]), STOCK,
                min(stock[way]))


def growth(out, ours):
    """F11: more pages, and more MRs."""
    for importer in IMPORTERS:
        for case in ("device 4 KiB", "device 2 MiB"):
            sizes = ours.sizes(importer, "F11", case)
            few, many = (ours.get(importer, "F11", case, n)
                         for n in (4096, sizes[-1]))
            for key, what in (("fetch", "prefetch"), ("drop", "dereg")):
                out.add("F11", importer, f"{what}, a page of {many['n']}, {case}",
                        median(many[key]) / many["n"], "of 4096",
                        median(few[key]) / few["n"], 1.05)
        case = "MRs of a page of the device"
        few, many = (ours.get(importer, "F11", case, n) for n in (4, 64))
        for key, what in (("fetch", "prefetch"), ("gone", "page is freed")):
            out.add("F11", importer, f"{what}, for each of 64 MRs",
                    median(many[key]) / 64, "of 4", median(few[key]) / 4, 1.05)


def memory(out, base, ours):
    """F12: bytes for each page"""
    for importer in ("rxe",):
        device, ram = (ours.get(importer, "F12", case, 16384)["bytes"] / 16384
                       for case in ("device", "RAM"))
        out.add("F12", importer, "bytes a page in an MR, device", device, "RAM",
                ram, 1)
        n = ours.sizes(importer, "F12", "exported page")[0]
        o, b = (kernel.get(importer, "F12", "exported page", n)["bytes"] / n
                for kernel in (ours, base))
        out.add("F12", importer, "bytes an exported page", o, STOCK, b, 1)


STATS = ("faults", "umrs", "translations", "commands")


def first_touch(out, ours):
    """F6: return the lines of its table, each for a GiB."""
    lines = []
    for n in (4096, 1 << 20):
        for where in ("device", "RAM", "pinned"):
            for folio in FOLIOS:
                case = f"{where} {folio}"
                row = ours.get("mlx5", "F6", case, n)
                times = GIB / row["size"]
                lines.append([case, str(n)] + [
                    number(row[f"{when}_{stat}"] * times)
                    for when in ("register", "touch") for stat in STATS])
    row = ours.get("mlx5", "F6", "device 2 MiB", 4096)
    folios = row["size"] / (2 << 20)
    out.add_most("F6", "mlx5", "translations written a folio of 2 MiB",
                 (row["register_translations"] + row["touch_translations"]) /
                 folios, "-", None, 1)
    return lines


def pictures(base, ours):
    """Return {name: picture}."""
    def turns(kernel, importer, case):
        found = (kernel.get(importer, "F7", case, n) for n in MESSAGES)
        return [(row["n"], row["work"] / row["messages"]) for row in found]

    def size(case):
        found = (ours.get("mlx5", "F11", case, n)
                 for n in ours.sizes("mlx5", "F11", case))
        return [(row["n"], median(row["fetch"]) / row["n"]) for row in found]

    return {
        "size": draw(
            [(case, size(case)) for case in ("RAM 4 KiB", "device 4 KiB",
                                             "RAM 2 MiB", "device 2 MiB")],
            "pages of an MR", "instructions a page of a prefetch"),
        "turns": draw(
            [(f"{importer}, {label}", turns(kernel, importer, case))
             for importer in IMPORTERS for label, kernel, case in (
                 (STOCK, base, "in place"), ("staged", ours, "staged"),
                 ("in place", ours, "in place"))],
            "bytes of a message", "instructions a message"),
    }


TEXT = """\
# Transfers: pages moved, instructions, work of the HCA

Written by `make bench BENCH=transfer`, which leaves its raw rows in `build/bench`.

{environment}

A device and an RDMA peer work on the same anonymous memory, which is registered on
demand. The device is ivgpu, on both kernels: on 7.3.4 the same driver, from before
its calls to fault and migrate at once, as a module and without what 7.3.4 has not
([ivgpu-base.patch](../../bench/ivgpu-base.patch)). The importer is mlx5, on a model
of its device below the same switch, or rxe. The data are compared.

- *Pages moved* are those that ivgpu counts, either way.
- *Instructions* are those of the guest's only CPU. A thread of the lowest priority
  takes the time in which nothing else runs, and is left out. ivgpu's engine
  is the CPU; what mlx5's model does is no instruction. *Those of
  the engine* are counted in rounds without the peer.
- F9: page faults, each of which calls `migrate_to_ram()` once or waits for another
  that has. Memory of 24 MiB is freed while it is in the device, allocated again, and
  written to by threads that take the pages in turn, on two CPUs.
- F5, and F10 of MRs, which continues [alias.md](alias.md): the least of three. What
  is left are the work requests and timer ticks while the guest waits, which depend
  on the host. So there is no verdict.
- F11: medians of three. The VRAM, and with it an MR, has at most 65536 pages.
- F12: pages that the kernel gives out, and does not get back, while an MR of 64 MiB
  is made and prefetched, or while the driver of a device of 256 MiB is bound.

{met}.

{targets}

Rows without a target are for comparison. The instructions of F7, of all messages:

![instructions a message](transfer-turns.svg)

A prefetch of F11, with MRs of RAM beside it:

![instructions a page](transfer-size.svg)

## F6: the first touch, for the HCA

Counted by the model, for each GiB: page-fault events, UMR work requests, entries of
translation tables that are written, and commands, when an MR is registered and when
the peer READs all of it for the first time. In a message of one page there is
nothing for the HCA to hint at; in one of 1 MiB the rest of it is a hint. A pinned
MR is registered for memory in RAM; a dma-buf of device memory was not measured,
because ivgpu exports none. The memory is there before it is registered, and mlx5
maps what is there when it registers: so the touch takes no page fault, and page
faults of a first touch were not measured.

{touch}

## What the numbers do not say

Instructions are not cycles: a locked one counts 1, and so does an access to a BAR,
which is slow in hardware. One CPU contends with nobody, but in F9. The engine of
ivgpu is the CPU, so that F2 and F7 understate what is saved where an engine is not.
The model of the HCA has no time, and moves a page fault and its answer in none.
"""


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    base, ours = Results(sys.argv[1], OURS_ONLY), Results(sys.argv[2])

    out = Table()
    rounds(out, base, ours)
    steady(out, base, ours)
    touch = first_touch(out, ours)
    messages(out, base, ours)
    reuse(out, base, ours)
    growth(out, ours)
    memory(out, base, ours)

    head = ["row", "importer", "what", "ours", "compared with", "that", "ratio",
            "target", "verdict"]
    targets = table(head, out.lines)
    touch = table(["memory", "message"] + [
        f"{stat}, {when}" for when in ("registered", "touched")
        for stat in ("events", "UMRs", "entries", "commands")], touch)
    met = (f"{out.verdicts.count('pass')} of {len(out.verdicts)} targets "
           "are met")
    print(targets, end="\n\n")
    print(touch, end="\n\n")
    with open(sys.argv[3] + ".md", "w", encoding="utf-8") as file:
        file.write(TEXT.format(
            environment=environment(base.kernel, ours.kernel, sys.argv[4:]),
            met=met, targets=targets, touch=touch))
    for name, picture in pictures(base, ours).items():
        with open(f"{sys.argv[3]}-{name}.svg", "w", encoding="utf-8") as file:
            file.write(picture)
    print(met)


if __name__ == "__main__":
    main()
