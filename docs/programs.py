#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Put what runs of `make demo APP=` have measured into docs/programs.md.

usage: programs.py [-n] [DIRECTORY...]

DIRECTORY is what such a run has left (default: each build/log/demo-*-*, or machine 0
of two there, that has rows). Its rows take the place of those of the same programs,
exporter and importer in the table; others stay. A run that did not end, or whose rows
are not as they should be, is an error, and nothing is written.

  -n    write nothing: print the table

The variable PF_DOCS_ROOT names another repository than this one.
"""

import glob
import json
import os
import re
import sys

ROOT = os.environ.get("PF_DOCS_ROOT") or os.path.dirname(
    os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = os.path.join(ROOT, "docs", "programs.md")
BEGIN, END = "<!-- docs/programs.py -->\n", "<!-- end -->\n"
HEAD = ("| program | version | importer | exporter | region | data right | placed "
        "| moved: off | on | aliased: off | on | left: off | on | kernel log |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
KEY = (0, 2, 3, 4)      # the columns that tell a row from others


def fail(text):
    """End with a message."""
    sys.exit(f"error 1: {text}")


def read_run(directory):
    """Return the rows of a run, as lists of cells."""
    try:
        with open(os.path.join(directory, "files", "rows.json"),
                  encoding="utf-8") as file:
            run = json.load(file)
        with open(os.path.join(directory, "rc"), encoding="ascii") as file:
            code = file.read().strip()
        with open(os.path.join(directory, "klog"), encoding="utf-8") as file:
            clean = not file.read()
    except OSError as error:
        fail(f"{directory} is no run of `make demo APP=` that has ended: {error}")
    wrong = [row["program"] for row in run["rows"] if row["wrong"]]
    if wrong or code != "0":
        fail(f"{directory}: not as it should be: {', '.join(wrong) or code}")
    cells = []
    for row in run["rows"]:
        off, on = row["off"], row["on"]
        cells.append([row["program"], row["version"], run["importer"],
                      run["exporter"], row["region"], row["right"], off["placed"],
                      off["moved"], on["moved"], off["aliased"], on["aliased"],
                      off["left"], on["left"], "clean" if clean else "not clean"])
    return [[str(cell) for cell in row] for row in cells]


def merge(rows, new):
    """Put new rows in the place of old ones, or behind them."""
    places = {tuple(row[i] for i in KEY): n for n, row in enumerate(rows)}
    for row in new:
        key = tuple(row[i] for i in KEY)
        if key in places:
            rows[places[key]] = row
        else:
            places[key] = len(rows)
            rows.append(row)


def main():
    """Do what the arguments say."""
    arguments = sys.argv[1:]
    dry = arguments[:1] == ["-n"]
    directories = arguments[dry:]
    if any(name.startswith("-") for name in directories):
        sys.exit(__doc__)
    if not directories:
        found = [path for machine in ("", "0/") for path in glob.glob(
            os.path.join(ROOT, f"build/log/demo-*-*/{machine}files/rows.json"))]
        directories = sorted(os.path.dirname(os.path.dirname(path)) for path in found)
    if not directories:
        fail("there is no run: make demo APP=...")
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        fail(f"{DOCUMENT} has no place for the table")
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    rows = [re.split(r" *\| *", line.strip("| \n"))
            for line in table.splitlines()[2:] if line.startswith("|")]
    for directory in directories:
        merge(rows, read_run(directory))
    table = HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
    if dry:
        print(table, end="")
        return
    with open(DOCUMENT, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + table + END + after)


if __name__ == "__main__":
    main()
