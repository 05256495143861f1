#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make a table of what bench/migrate.c measured on two kernels.

usage: report.py STOCK OURS OUT KEY=VALUE...
       report.py SYSTEM-MAP	what QEMU has to log, for its -dfilter

STOCK and OURS are directories with what was left of two runs of the program,
one JSON object a line:
  run/out     timed
  once/out    each way once, while QEMU logged (-d exec) the calls of PROBES
  exec.log    to this file
  System.map  the kernel's
The tables are printed. Their rows that have a target are written to OUT.md, with
the environment: the kernels and the KEYs. Exit code 0: both runs are complete,
whatever they say.
"""

import json
import os
import re
import statistics
import sys

# What ours must not exceed, as a part of what the base kernel needs
TARGETS = {
    "present": (1.01, "setup"),
    "huge": (1.02, "setup"),
    "missing": (0.6, "fault-setup"),
    "missing-1%": (0.75, "fault-setup"),
    "swapped-1%": (0.75, "fault-setup"),
}
# Of one page, in instructions more. What is 1% of one page is not compared.
ONE_PAGE = {"present": (50, "setup")}
PAGE = 4096
TABLE = 2 << 20


# What is counted, between the calls that begin and end each run
BEGIN, END = "mmu_interval_notifier_insert", "mmu_interval_notifier_remove"
PROBES = {
    "__walk_page_range": "walks",
    "migrate_vma_collect_pmd": "tables",
    "hmm_vma_walk_pmd": "tables",
    "handle_mm_fault": "faults",
}


def addresses(system_map):
    """Return {address: name} of what must be logged."""
    found = {}
    with open(system_map, encoding="utf-8") as file:
        for line in file:
            address, _, name = line.split()
            if name in (BEGIN, END) or name in PROBES:
                found[int(address, 16)] = name
    lost = {BEGIN, END, *PROBES} - set(found.values())
    if lost:
        sys.exit(f"{system_map}: no {', '.join(sorted(lost))}")
    return found


def count(directory):
    """Return the counts of each run, in order."""
    names = addresses(os.path.join(directory, "System.map"))
    runs, running = [], False
    with open(os.path.join(directory, "exec.log"), encoding="utf-8") as file:
        for line in file:
            # "Stopped": was logged before, but an interrupt came first.
            step = -1 if line.startswith("Stopped") else 1
            match = re.search(r"/([0-9a-f]{16})/|\[([0-9a-f]{16})\]", line)
            name = match and names.get(int(match[1] or match[2], 16))
            if name == BEGIN:
                if step > 0:
                    runs.append(dict.fromkeys(PROBES.values(), 0))
                else:
                    runs.pop()
                running = step > 0
            elif name == END:
                running = step < 0
            elif name and running:
                runs[-1][PROBES[name]] += step
    return runs


def rows(path):
    """Return the kernel's name and the rows of one run."""
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    if len(lines) < 2 or "kernel" not in lines[0]:
        sys.exit(f"{path}: incomplete")
    return lines[0]["kernel"], lines[1:]


def load(directory):
    """Return the kernel's name and the rows, by (case, size, way)."""
    kernel, timed = rows(os.path.join(directory, "run", "out"))
    _, once = rows(os.path.join(directory, "once", "out"))
    counts = count(directory)
    if not len(timed) == len(once) == len(counts):
        sys.exit(f"{directory}: {len(timed)} rows timed, {len(once)} made, "
                 f"{len(counts)} counted")
    result = {}
    for row, other, counted in zip(timed, once, counts):
        key = row["case"], row["size"], row["way"]
        if key != (other["case"], other["size"], other["way"]):
            sys.exit(f"{directory}: {key} is not where it should be")
        row.update(counted)
        row["median"] = int(statistics.median(row["ticks"]))
        row["spread"] = max(row["ticks"]) - min(row["ticks"])
        result[key] = row
    return kernel, result


def number(row):
    """Instructions, and how far the repetitions are apart."""
    if not row:
        return "-"
    spread = 100 * row["spread"] / row["median"]
    return f"{row['median']:,} ±{spread / 2:.1f}%"


def counts(row):
    """Calls, walks, page tables looked at, faults."""
    if not row:
        return "-"
    return "/".join(str(row[key])
                    for key in ("setups", "walks", "tables", "faults"))


def verdict(case, base, ours):
    """Return (what the target is about, pass or MISS or -)."""
    if not ours or case not in TARGETS:
        return "-", "-"
    if ours["bytes"] == PAGE and case in ONE_PAGE:
        limit, way = ONE_PAGE[case]
        value = ours["median"] - base[way]["median"]
        text = f"{value} more than {way} (≤ {limit})"
    elif ours["bytes"] == PAGE and case.endswith("%"):
        return "-", "-"
    else:
        limit, way = TARGETS[case]
        value = ours["median"] / base[way]["median"]
        text = f"{value:.3f} of {way} (≤ {limit})"
    return text, "pass" if value <= limit else "MISS"


def counts_verdict(case, row):
    """One walk that looks once at each page table, when all is present. Where
    each page table has an entry to fault, a call for each, and one."""
    if not row:
        return "-"
    tables = ((row["skew"] + row["bytes"] + TABLE - 1) // TABLE)
    if case in ("present", "huge"):
        met = row["walks"] == 1 and row["tables"] == tables
    elif case == "swapped-1%":
        met = row["setups"] <= tables + 1
    else:
        return "-"
    return "pass" if met else "MISS"


def table(head, rows):
    """Lay out a Markdown table in columns."""
    rows = [head] + rows
    width = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width[i])
                               for i, cell in enumerate(row)) + " |"
             for row in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in width) + "|")
    return "\n".join(lines)


def with_target(rows):
    return [row for row in rows if row[-1] != "-"]


def environment(stock, kernel, args):
    """List the kernels and the KEY=VALUEs of the command line."""
    known = {"base kernel": stock, "our kernel": kernel}
    known.update(arg.split("=", 1) for arg in args)
    return "\n".join(f"- {key}: {value}" for key, value in known.items())


TEXT = """\
# Fault and migration: instructions and page-table walks

Written by `make bench BENCH=migrate`. These are the cases that have a target;
the run prints all of them, and leaves its raw rows in `build/bench`.

{environment}

Each run makes a range of anonymous memory ready to be moved to a device and to
be written there, and puts it back. It moves nothing, so that only walks, page
faults and collecting are counted. The numbers are instructions: the median of
three to five repetitions, with half of the distance between the extremes. The
base kernel has these ways:

- `setup`: `migrate_vma_setup()`, as far as it goes;
- `setup-fault-setup`: if that left pages out or read-only, it is undone, then
  `hmm_range_fault()` for writing, then `migrate_vma_setup()` again;
- `fault-setup`: `hmm_range_fault()` for writing, then `migrate_vma_setup()`.

Ours has these as well:

- `one-setup`: `migrate_vma_setup()` with `MIGRATE_VMA_FAULT` and
  `MIGRATE_VMA_WRITE`;
- `one-fault`: `hmm_range_fault()` with `HMM_PFN_REQ_MIGRATE`.

The target is for `one-setup`; {met}.

{times}

The module counted its calls of `migrate_vma_setup()`. QEMU counted the rest once
more, from outside: calls / page-table walks / page tables or huge entries that were
looked at / calls of `handle_mm_fault()`. The target is one walk, and one look at each 2 MiB, if all
pages are present. If some of each 2 MiB have to be faulted, it is one call more
than there are of these.

{counted}
"""


def main():
    if len(sys.argv) == 2:
        print(",".join(f"{a:#x}+1" for a in addresses(sys.argv[1])))
        return
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    stock, base = load(sys.argv[1])
    kernel, ours = load(sys.argv[2])

    old = ("setup", "setup-fault-setup", "fault-setup")
    new = ("one-setup", "one-fault")
    times, counted, verdicts = [], [], []
    for case, size in dict.fromkeys(key[:2] for key in base):
        s = {way: base.get((case, size, way)) for way in old}
        o = {way: ours.get((case, size, way)) for way in new}
        if None in s.values():
            sys.exit(f"{sys.argv[1]}: incomplete: {case}, {size}")
        ratio, cost = verdict(case, s, o["one-setup"])
        looks = counts_verdict(case, o["one-setup"])
        verdicts += [cost, looks]
        cells = list(s.values()) + list(o.values())
        times.append([case, size, *map(number, cells), ratio, cost])
        counted.append([case, size, *map(counts, cells), looks])
    passed, missed = verdicts.count("pass"), verdicts.count("MISS")
    met = f"{passed} of {passed + missed} targets are met"

    head = ["memory", "range", *old, *new]
    print(table(head + ["ratio", "target"], times), end="\n\n")
    print(table(head + ["target"], counted), end="\n\n")
    text = TEXT.format(
        environment=environment(stock, kernel, sys.argv[4:]),
        met=met, times=table(head + ["ratio", "target"], with_target(times)),
        counted=table(head + ["target"], with_target(counted)))
    with open(sys.argv[3] + ".md", "w", encoding="utf-8") as file:
        file.write(text)
    print(met)


if __name__ == "__main__":
    main()
