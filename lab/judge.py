#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judge one suite's KTAP, as read by the kernel's own kunit.py parse.

usage: judge.py KUNIT_PY EXPECT_DIR SUITE KTAP EXIT_CODE

Prints a line for each test that failed, then "PASSED FAILED SKIPPED". A test
fails when it says so, when its plan announces it and it does not report (all of
those count as one), when it skips without a line in EXPECT_DIR/skips, or when
its status, or its absence, is not what EXPECT_DIR/SUITE.base has for it, if
there is that file. One more has failed when the lab ended the suite (VM lost,
hang, dirty kernel log, wrong topology), and when the suite's exit code is not
0, or its KTAP is malformed or empty, although no test failed. SUITE is NAME or
NAME@TOPOLOGY.
Exit code 0: nothing failed. 1: something did.
"""

import fnmatch
import json
import os
import subprocess
import sys
import tempfile


# lab/run.sh's own exit codes
LAB = {
    "123": "wrong topology: the guest's PCI devices are not those described",
    "124": "hang: the guest did not end in time",
    "125": "kernel log not clean",
    "255": "VM lost",
}


def leaves(group, prefix=""):
    """Yield (name, status) of every test, "suite.test" when nested."""
    for case in group["test_cases"]:
        yield prefix + case["name"], case["status"]
    for sub in group["sub_groups"]:
        yield from leaves(sub, prefix + sub["name"] + ".")


def parse(kunit_py, ktap):
    """Return (kunit.py's exit code, its error count, the tests)."""
    with tempfile.TemporaryDirectory() as tmp:
        out = os.path.join(tmp, "json")
        rc = subprocess.run(
            [sys.executable, kunit_py, "parse", "--json=" + out,
             os.path.abspath(ktap)],
            stdout=subprocess.DEVNULL, check=False).returncode
        with open(out, encoding="utf-8") as file:
            result = json.load(file)
    return rc, result["misc"]["errors"], list(leaves(result))


def table(path, columns):
    """Return the rows of a commented, tab-separated file."""
    rows = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    row = line.rstrip("\n").split("\t")
                    if len(row) != columns or not all(row):
                        sys.exit(f"{path}: want {columns} columns: {line}")
                    rows.append(row)
    return rows


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    kunit_py, expect, suite, ktap, code = sys.argv[1:]
    parse_rc, errors, tests = parse(kunit_py, ktap)
    skips = table(os.path.join(expect, "skips"), 3)
    base = {name: status for status, name in
             table(os.path.join(expect, suite.split("@")[0] + ".base"), 2)}

    count = {"PASS": 0, "FAIL": 0, "SKIP": 0}
    missing = sum(not name for name, _ in tests)
    tests = [test for test in tests if test[0]]
    if missing:
        print(f"    {suite}: {missing} planned tests have no result")
        count["FAIL"] += 1
    for name, status in tests:
        why = ""
        if base.get(name, status) != status:
            why = f"{status}, on the base kernel {base[name]}"
        elif status == "SKIP":
            if not any(fnmatch.fnmatch(suite, row[0]) and
                       fnmatch.fnmatch(name, row[1]) for row in skips):
                why = "skipped, and expect/skips does not say why it may"
        elif status != "PASS":
            why = "no result" if status == "ERROR" else "failed"
        if why:
            print(f"    {suite}: {name}: {why}")
        count["FAIL" if why else status] += 1
    # A suite that was cut short is one failure, not one for each test it lost.
    gone = [] if missing else base.keys() - {name for name, _ in tests}
    for name in sorted(gone):
        print(f"    {suite}: {name}: absent, on the base kernel {base[name]}")
        count["FAIL"] += 1

    if code in LAB:
        print(f"    {suite}: {LAB[code]}")
        count["FAIL"] += 1
    if not count["FAIL"]:
        if code != "0" and (code != "4" or not count["SKIP"]):
            print(f"    {suite}: exit code {code}, and no test failed")
            count["FAIL"] = 1
        # kunit.py's exit code is 1, too, when all tests were skipped.
        elif not tests or errors or (parse_rc and count["PASS"]):
            print(f"    {suite}: no test found" if not tests else
                  f"    {suite}: malformed KTAP, {errors} errors")
            count["FAIL"] = 1
    print(count["PASS"], count["FAIL"], count["SKIP"])
    return 1 if count["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
