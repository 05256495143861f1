#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Judge one suite's KTAP, as read by the parser of the kernel's kunit.py.

A line says what is wrong with each test that failed, followed by what the test
itself said and the command that repeats it. The last line is
"PASSED FAILED SKIPPED".

A test fails when it says so, when it skips without a line in EXPECT/skips, or
when its status, or its absence, is not what EXPECT/SUITE.base has for it, if
there is that file. One more has failed for each of these:
- tests that the plan announces and that have no result, all together
- results beyond the plan, all together, or no plan
- the lab ended the suite (VM lost, hang, dirty kernel log, wrong topology)
- no test failed, but the exit code is not 0, or the KTAP is malformed or empty
- TEST is set, and tests ran that it does not name

SUITE is NAME or NAME@TOPOLOGY[+KERNEL]. Exit code 0: nothing failed. 1:
something did. 2: wrong arguments, or no kernel tree to take the parser from.
"""

import argparse
import fnmatch
import importlib
import io
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULT = re.compile(r"(not )?ok [0-9]+( |$)")
# What a failed assertion prints: kselftest's harness, and KUnit
ASSERTION = re.compile(r"[\w/.-]+\.[chS]:[0-9]+|FAILED at ")
CHATTER = re.compile(r" *(RUN|OK|FAIL) +\S+( \.\.\.)?$|\S+: Test (failed|terminated)")


def lab_codes():
    """Return the exit codes that lab/run.sh has of its own, with their text."""
    codes = {}
    with open(os.path.join(ROOT, "scripts/common.sh"), encoding="utf-8") as file:
        for line in file:
            code = re.match(r"E_(TOPOLOGY|TIMEOUT|LOG|VM)=([0-9]+)\t# (.*)", line)
            if code:
                codes[code[2]] = code[3]
    return codes


class Results:
    """The tests of one KTAP stream.

    tests: (name, status, log) of each, "suite.test" when nested. errors: how
    much is malformed. planned: whether there is a plan. beyond: how many results
    come after its end.
    """

    def __init__(self, kunit, ktap):
        sys.path.insert(0, kunit)
        try:
            parser = importlib.import_module("kunit_parser")
            printer = importlib.import_module("kunit_printer")
        except ImportError:
            sys.exit(f"no parser in {kunit} (make tree)")
        self.said = io.StringIO()
        out = printer.Printer(output=self.said)
        self.status = parser.TestStatus
        self.tests, self.planned, self.beyond = [], True, 0
        with open(ktap, encoding="utf-8", errors="replace") as file:
            lines = parser.extract_tap_lines(file)
            if not lines:
                self.errors = 0
                return
            main = parser.parse_test(lines, 0, [], False, out)
            self.beyond = sum(bool(RESULT.match(line)) for line in lines)
        self.errors, self.planned = main.counts.errors, main.expected_count is not None
        for test in main.subtests:
            self._add(test, "")

    def _add(self, test, prefix):
        if test.subtests:
            for sub in test.subtests:
                self._add(sub, prefix + test.name + ".")
            return
        names = {self.status.SUCCESS: "PASS", self.status.SKIPPED: "SKIP",
                 self.status.TEST_CRASHED: "ERROR"}
        # A planned test without a result has no name either.
        self.tests.append((prefix + test.name if test.name else "",
                           names.get(test.status, "FAIL"), test.log))

    def complaints(self):
        """Return what the parser said is wrong."""
        return [re.sub(r".*\[ERROR\] Test: ", "", line)
                for line in self.said.getvalue().splitlines() if "[ERROR]" in line]


def table(path, columns):
    """Return the rows of a commented, tab-separated file."""
    rows = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    row = re.split(r"\t+", line.rstrip("\n"))
                    if len(row) != columns or not all(row):
                        sys.exit(f"{path}: want {columns} columns, TABs "
                                 f"between them: {line}")
                    rows.append(row)
    return rows


def said(log):
    """Return the lines of a failed test's log that matter."""
    lines = [re.sub(r"^\s*#? ?", "", line).rstrip() for line in log]
    lines = [line for line in lines if line and not CHATTER.match(line)]
    where = [n for n, line in enumerate(lines) if ASSERTION.search(line)]
    if not where:
        return lines[-5:]
    if "FAILED at " in lines[where[0]]:
        return lines[where[0]:where[0] + 4]
    return [lines[n] for n in where[:4]]


class Judge:
    """Counts the tests of a suite, and says why one has failed."""

    def __init__(self, suite, expect, wanted):
        self.suite, self.wanted = suite, wanted
        self.count = {"PASS": 0, "FAIL": 0, "SKIP": 0}
        self.skips = table(os.path.join(expect, "skips"), 3)
        self.base = {name: status for status, name in table(
            os.path.join(expect, suite.split("@")[0] + ".base"), 2)}

    def fail(self, why, name="", log=()):
        """Count one failure, and print it."""
        self.count["FAIL"] += 1
        print(f"    {self.suite}: {name}{': ' if name else ''}{why}")
        for line in said(log):
            print(f"        {line}")
        again = f"make test SUITE={self.suite}"
        if name and self.suite.startswith("kunit"):
            # KUnit chooses tests, not the parameters of one.
            name = ".".join(name.split(".")[:2])
        if name or self.wanted:
            # TEST is a glob, and takes no blanks.
            glob = re.sub(r"[\s'\"]", "?", name) or self.wanted
            again += f" TEST='{glob}'"
        print(f"      again: {again}")

    def why(self, name, status):
        """Return what is wrong with this result, or nothing."""
        if self.base.get(name, status) != status:
            return f"{status}, on the base kernel {self.base[name]}"
        if status == "SKIP" and not any(
                fnmatch.fnmatch(self.suite, row[0]) and
                fnmatch.fnmatch(name, row[1]) for row in self.skips):
            return "skipped, and expect/skips does not say why it may"
        if status == "ERROR":
            return "no result"
        return "" if status in ("PASS", "SKIP") else "failed"

    def is_wanted(self, name):
        """Whether TEST names this test, or the one that it is a part of."""
        return not self.wanted or any(
            fnmatch.fnmatchcase(name, glob)
            for glob in (self.wanted, self.wanted + ".*"))

    def results(self, results):
        """Judge each result, and their number."""
        tests = [test for test in results.tests if test[0]]
        missing = len(results.tests) - len(tests)
        if missing:
            self.fail(f"{missing} planned tests have no result")
        if not results.planned:
            self.fail("no plan says how many results there must be")
        if results.beyond:
            self.fail(f"{results.beyond} results more than planned")
        for name, status, log in tests:
            why = self.why(name, status)
            if why:
                self.fail(why, name, log)
            elif self.is_wanted(name):
                self.count[status] += 1
            else:
                self.fail(f"not one of TEST='{self.wanted}'", name)
        # A suite that was cut short is one failure, not one for each test it
        # lost; and of those that TEST does not name nothing is known.
        if not missing and not self.wanted:
            for name in sorted(self.base.keys() - {test[0] for test in tests}):
                self.fail(f"absent, on the base kernel {self.base[name]}", name)

    def end(self, code, results):
        """Judge how it ended."""
        if code in lab_codes():
            self.fail(lab_codes()[code])
        if self.count["FAIL"]:
            return
        if not results.tests:
            self.fail("no test matches" if self.wanted else "no test found")
        elif results.errors:
            self.fail("malformed KTAP", log=results.complaints())
        elif code != "0" and (code != "4" or not self.count["SKIP"]):
            self.fail(f"exit code {code}, and no test failed")


def main():
    """Judge what the arguments name."""
    args = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--expect", default=os.path.join(ROOT, "lab/expect"))
    args.add_argument("--kunit", default=os.path.join(
        ROOT, "build/linux/tools/testing/kunit"))
    args.add_argument("suite")
    args.add_argument("ktap")
    args.add_argument("code", help="the suite's exit code")
    args = args.parse_args()

    results = Results(args.kunit, args.ktap)
    judge = Judge(args.suite, args.expect, os.environ.get("TEST", ""))
    judge.results(results)
    judge.end(args.code, results)
    print(*judge.count.values())
    return 1 if judge.count["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
