#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make tables and a picture of what bench/alias.c measured on two kernels.

usage: alias_report.py STOCK OURS OUT KEY=VALUE...

STOCK and OURS are directories, each with run/out: what the program printed, one
JSON object a line. The tables are printed, and written with the environment (the
kernels and the KEYs) to OUT.md; the picture goes to OUT.svg. Exit code 0: both
runs are complete, whatever they say.
"""

import os
import statistics
import sys

from chart import draw
from report import environment, rows, table

# (row of the plan, case, pages, what it is compared with, at most): None is the
# same on the base kernel, a name is another case of ours.
TARGETS = [
    *[("F10", f"ram, {want}", n, None, 1.002)
      for want in ("write", "read", "look") for n in (1, 64, 4096)],
    *[("F10", "ram 2 MiB, write", n, None, 1.002) for n in (1, 512, 4096)],
    *[("F10", "holes, write", n, None, 1.002) for n in (1, 512, 4096)],
    ("F10", "shared after fork(), write", 4096, None, None),
    *[("F10", "own, write", n, None, 1.05) for n in (1, 64, 4096)],
    *[("F10", "own 2 MiB, write", n, None, 1.05) for n in (1, 4096)],
    ("F10", "ram, write, cpu", 4096, "ram, write", None),
    *[("F3", f"alias, neighbours, {who}", 4096, "ram, write", 0.5)
      for who in ("cpu", "pci")],
    *[("F3", f"alias, shuffled, {who}", 4096, "ram, write", 1.10)
      for who in ("cpu", "pci")],
    *[("F3", f"alias, page by page, {who}", 4096, "ram, write", 2.5)
      for who in ("cpu", "pci")],
    *[("F4", f"alias 2 MiB, {who}", 4096, "ram 2 MiB, write", 1.0)
      for who in ("cpu", "pci")],
    *[("F4", f"alias 2 MiB, {who}", 1, "ram 2 MiB, write", 1.10)
      for who in ("cpu", "pci")],
]

# What the picture shows: (label, of the base kernel, case)
CURVES = [
    ("RAM, 7.3.4", True, "ram, write"),
    ("RAM", False, "ram, write"),
    ("own, 7.3.4", True, "own, write"),
    ("own", False, "own, write"),
    ("alias, page by page", False, "alias, page by page, pci"),
    ("alias, shuffled", False, "alias, shuffled, pci"),
    ("alias, neighbours", False, "alias, neighbours, pci"),
    ("RAM, 2 MiB", False, "ram 2 MiB, write"),
    ("alias, 2 MiB", False, "alias 2 MiB, pci"),
]


def load(directory):
    """Return the kernel's name and the rows, by (case, pages)."""
    kernel, found = rows(os.path.join(directory, "run", "out"))
    result = {}
    for row in found:
        row["median"] = statistics.median(row["ticks"])
        result[row["case"], row["pages"]] = row
    return kernel, result


def per_page(row):
    """Instructions for each page, and how far the repetitions are apart."""
    if not row:
        return "-"
    spread = max(row["ticks"]) - min(row["ticks"])
    return (f"{row['median'] / row['pages']:,.1f} "
            f"±{50 * spread / row['median']:.1f}%")


def compare(base, ours):
    """Return the lines of the table of targets, and the verdicts."""
    lines, verdicts = [], []
    for plan, case, pages, other, limit in TARGETS:
        row = ours[case, pages]
        than = ours[other, pages] if other else base[case, pages]
        ratio = row["median"] / than["median"]
        verdict = "-"
        if limit:
            verdict = "pass" if ratio <= limit else "MISS"
            verdicts.append(verdict)
        lines.append([plan, case, str(pages), per_page(row),
                      other or "7.3.4", per_page(than), f"{ratio:.3f}",
                      f"≤ {limit:g}" if limit else "-", verdict])

    # An alias takes no memory: nothing is allocated for it that RAM does not.
    for who in ("cpu", "pci"):
        row = ours[f"alias, neighbours, {who}", 4096]
        than = ours["ram, write, cpu", 4096]
        more = max(0, row["allocated"] - than["allocated"])
        verdicts.append("pass" if not more else "MISS")
        lines.append(["F12", f"bytes an aliased page, {who}", "4096",
                      f"{more * 4096 / row['pages']:g}", "ram, write, cpu", "0", "-",
                      "≤ 0", verdicts[-1]])
    return lines, verdicts


def picture(base, ours):
    """Draw instructions for each page against the number of pages."""
    sizes = sorted({pages for _, pages in ours})
    curves = []
    for label, stock, case in CURVES:
        found = base if stock else ours
        curves.append((label, [(n, found[case, n]["median"] / n)
                               for n in sizes if (case, n) in found]))
    return draw(curves, "pages of one call", "instructions a page")


TEXT = """\
# hmm_range_fault(): instructions a page

Written by `make bench BENCH=alias`, which leaves its raw rows in `build/bench`.

{environment}

A module calls `hmm_range_fault()` and reads the clock before and after it. The
clock counts instructions. The numbers are instructions a page: the median of
five calls, with half of the distance between the extremes. The exporter is the
module, too: its device memory is never accessed, and it answers at once. So the
numbers are those of mm/hmm.c and of PCI/P2PDMA, without a driver's share. `own` is
device memory of the driver that asks, `cpu` an importer without a DMA engine,
`pci` a PCI function. `page by page` is an exporter that never answers for a run.
One page is the sixth of the range.

{met}.

{targets}

Rows without a target say what a correctness fix or a question costs. All of it,
as a picture:

![instructions a page](alias.svg)

What the numbers do not say: these are instructions, not cycles, so a locked one
counts 1, and one CPU contends with nobody.
"""


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    stock, base = load(sys.argv[1])
    kernel, ours = load(sys.argv[2])

    lines, verdicts = compare(base, ours)
    head = ["row", "case", "pages", "ours", "compared with", "that", "ratio",
            "target", "verdict"]
    passed = verdicts.count("pass")
    met = f"{passed} of {len(verdicts)} targets are met"

    everything = [[case, str(pages), per_page(base.get((case, pages))),
                   per_page(row)] for (case, pages), row in ours.items()]
    print(table(["case", "pages", "7.3.4", "ours"], everything), end="\n\n")
    print(table(head, lines), end="\n\n")
    with open(sys.argv[3] + ".md", "w", encoding="utf-8") as file:
        file.write(TEXT.format(
            environment=environment(stock, kernel, sys.argv[4:]),
            met=met, targets=table(head, lines)))
    with open(sys.argv[3] + ".svg", "w", encoding="utf-8") as file:
        file.write(picture(base, ours))
    print(met)


if __name__ == "__main__":
    main()
