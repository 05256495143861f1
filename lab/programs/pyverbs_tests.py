#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the tests that rdma-core has for pyverbs, unmodified, and print KTAP.

usage: pyverbs_tests.py [GLOB]...

A test's name is MODULE.CLASS.TEST, as in test_odp.OdpTestCase.test_odp_rc_traffic.
Only tests that a GLOB names run, when there is one, and only those that the
variable TEST names, when it is set. The variable RDMA names the device (default:
rxe0). A test that takes longer than LIMIT seconds fails. One that pyverbs.not beside
this file names is a skip. Exit code 1: a test failed.
"""

import fnmatch
import os
import random
import signal
import sys
import traceback
import unittest

SOURCE = "/usr/src/python3-pyverbs"
LIMIT = 120


def name(test):
    """Return the name of a test, without the package."""
    return test.id().removeprefix("tests.")


class Ktap(unittest.TestResult):
    """Print one result for each test that was started, once it has ended."""

    def __init__(self, plan):
        super().__init__()
        self.number, self.bad, self.skip = 0, [], None
        print(f"KTAP version 1\n1..{plan}", flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.bad, self.skip = [], None
        signal.alarm(LIMIT)

    def stopTest(self, test):
        super().stopTest(test)
        signal.alarm(0)
        self.result(test.id() and name(test))

    def result(self, title):
        """Print the result of the test of this title."""
        self.number += 1
        for text in self.bad:
            print("".join(f"# {line}\n" for line in text.splitlines()), end="")
        state = "not ok" if self.bad else "ok"
        skip = "" if self.bad or self.skip is None else f" # SKIP {self.skip}"
        print(f"{state} {self.number} {title}{skip}", flush=True)

    def failed(self, test, err):
        """Keep what went wrong. What is no test has its result at once."""
        self.bad.append("".join(traceback.format_exception(*err)))
        if not isinstance(test, unittest.TestCase):
            self.result(str(test))

    def addError(self, test, err):
        super().addError(test, err)
        self.failed(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed(test, err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.bad.append("an unexpected success")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.skip = " ".join(reason.split()) or "no reason"


def flat(suite):
    """Yield each test of a suite."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def not_run():
    """Return "GLOB, REASON" of each line of pyverbs.not."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pyverbs.not")
    with open(path, encoding="utf-8") as file:
        return [line.rstrip().split("\t") for line in file if line[0] != "#"]


def skip_if_named(test, names):
    """Make a skip of a test that is not run."""
    for glob, reason in names:
        if fnmatch.fnmatchcase(name(test), glob):
            setattr(test, "setUp", lambda: test.skipTest(reason))


def late(*_):
    """Fail the test that is running."""
    raise TimeoutError(f"no end within {LIMIT} s")


def main():
    """Run what the arguments and TEST name."""
    globs = sys.argv[1:] or ["*"]
    wanted = os.environ.get("TEST", "*")
    sys.argv[1:] = ["--dev", os.environ.get("RDMA", "rxe0")]
    sys.path[:0] = [SOURCE, SOURCE + "/tests"]
    from args_parser import parser
    parser.parse_args()
    tests = __import__("tests")
    with open("/proc/sys/vm/nr_hugepages", "w", encoding="ascii") as file:
        file.write("16")
    random.seed(1)
    signal.signal(signal.SIGALRM, late)
    suite = unittest.defaultTestLoader.loadTestsFromModule(tests)
    chosen = [test for test in flat(suite)
              if fnmatch.fnmatchcase(name(test), wanted)
              and any(fnmatch.fnmatchcase(name(test), glob) for glob in globs)]
    names = not_run()
    for test in chosen:
        skip_if_named(test, names)
    result = Ktap(len(chosen))
    unittest.TestSuite(chosen).run(result)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
