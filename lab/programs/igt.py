#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run Intel's tests of GPU drivers (IGT), unmodified, and print KTAP.

usage: igt.py [-f] [-e N] [-s SECONDS] GLOB...

  -f    only the tests of IGT's own list of fast ones
  -e N  only every N-th test
  -s    a test that says nothing for so long fails (default: 120 s)

A test's name is PROGRAM.SUBTEST, as in xe_vm.bind-once, or PROGRAM if it has no
subtests. Tests that a GLOB names run, and only those that the variable TEST names,
when it is set. Not among them is what IGT's own lists leave out on this GPU, a
virtual function of a Battlemage in a virtual machine. One that igt.not beside this
file names is a skip. Exit code 1: a test failed.
"""

import argparse
import fnmatch
import os
import re
import select
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = "/usr/libexec/igt-gpu-tools"
LISTS = "/usr/share/igt-gpu-tools"
BLOCKED = ("xe.blocklist.txt", "xe.bmg.core.blocklist.txt", "xe.sriov-vm.blocklist.txt")
FAST = "xe.fast-feedback.testlist"
CHUNK = 40      # subtests of one process
BEGIN = re.compile(r"Starting subtest: (\S+)")
END = re.compile(r"Subtest (\S+): (SUCCESS|SKIP|FAIL|CRASH|TIMEOUT)\b")
WHY = re.compile(r"Test requirement|requirement not met|assert|Received signal|"
                 r"Last errno|error:|CRITICAL|WARNING|No .*(found|available)")
CODES = {0: "SUCCESS", 77: "SKIP"}


def listed(path):
    """Return the lines of a file that are no comments."""
    with open(path, encoding="utf-8") as file:
        return [line.rstrip() for line in file if line.strip() and line[0] != "#"]


def is_named(name, globs):
    """Whether one of the globs names this test, or its program."""
    return any(fnmatch.fnmatchcase(word, glob)
               for glob in globs for word in (name, name.split(".")[0]))


def subtests(program):
    """Return the names of its subtests, of which there may be none."""
    names = subprocess.run([os.path.join(PROGRAMS, program), "--list-subtests"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True, check=False)
    return names.stdout.split()


class Ktap:
    """Print a result for each test as it is known."""

    def __init__(self, plan):
        self.number = self.failed = 0
        print(f"KTAP version 1\n1..{plan}", flush=True)

    def result(self, name, state, log):
        """Print one result, with what the test said if it did not pass."""
        self.number += 1
        why = [line for line in log if WHY.search(line)][:6] or log[-6:]
        if state not in ("SUCCESS", "SKIP"):
            self.failed += 1
            print("".join(f"# {line}\n" for line in why), end="")
            print(f"not ok {self.number} {name} # {state}", flush=True)
        elif state == "SKIP":
            text = " ".join(why[:2]).replace("#", "")
            print(f"ok {self.number} {name} # SKIP {text or 'no reason'}", flush=True)
        else:
            print(f"ok {self.number} {name}", flush=True)


class Process:
    """One process of a program, and its output, line by line."""

    def __init__(self, arguments, limit):
        self.limit, self.rest = limit, b""
        # A group of its own: its children keep the pipe.
        self.child = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, start_new_session=True)

    def lines(self):
        """Yield its lines, and None when none comes for too long."""
        pipe = self.child.stdout.fileno()
        while True:
            ready, _, _ = select.select([pipe], [], [], self.limit)
            if not ready:
                yield None
                return
            data = os.read(pipe, 65536)
            if not data:
                return
            *lines, self.rest = (self.rest + data).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace").rstrip()

    def end(self):
        """Kill what is left of it, and return its exit code."""
        try:
            code = self.child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()
        return code


def run_whole(program, limit, ktap):
    """Run a program without subtests."""
    process = Process([os.path.join(PROGRAMS, program)], limit)
    log = list(process.lines())
    late = None in log
    code = process.end()
    state = "TIMEOUT" if late else CODES.get(code, "FAIL")
    ktap.result(program, state, [line for line in log if line])


def run_some(program, names, limit, ktap):
    """Run subtests in one process, and return those that have no result yet."""
    process = Process([os.path.join(PROGRAMS, program), "--run-subtest",
                       ",".join(names)], limit)
    left, current, log, late = list(names), None, [], False
    for line in process.lines():
        if line is None:
            late = True
            break
        begin, end = BEGIN.match(line), END.match(line)
        if begin:
            current, log = begin[1], []
        elif end and end[1] in left:
            ktap.result(f"{program}.{end[1]}", end[2], log)
            left.remove(end[1])
            current, log = None, []
        elif line:
            log.append(line)
    code = process.end()
    if current not in left:
        current = None
    if left and (current or len(left) == len(names)):
        # It ended in the middle of one, or before the first.
        one = current or left[0]
        ktap.result(f"{program}.{one}", "TIMEOUT" if late else
                    f"no result, exit code {code}", log)
        left.remove(one)
    return left


def choose(args):
    """Return the names of the tests that are to run, in the order of running."""
    wanted = os.environ.get("TEST") or "*"
    blocked = [re.compile(line) for name in BLOCKED
               for line in listed(os.path.join(LISTS, name))]
    fast = {tuple(line.split("@")[1:3]) for line in listed(os.path.join(LISTS, FAST))}
    names = []
    for program in sorted(os.listdir(PROGRAMS)):
        # To ask each one for its subtests takes time.
        if (not any(fnmatch.fnmatchcase(program, glob.split(".")[0])
                    for glob in args.glob) or
                args.f and not any(path[0] == program for path in fast)):
            continue
        for subtest in subtests(program) or [""]:
            name, path = program, f"igt@{program}"
            if subtest:
                name, path = f"{program}.{subtest}", f"{path}@{subtest}"
            if (is_named(name, args.glob) and is_named(name, [wanted]) and
                    not any(regex.search(path) for regex in blocked) and
                    (not args.f or tuple(path.split("@")[1:]) in fast)):
                names.append(name)
    return names[::args.e]


def main():
    """Run what the arguments and TEST name."""
    args = argparse.ArgumentParser()
    args.add_argument("-f", action="store_true")
    args.add_argument("-e", type=int, default=1)
    args.add_argument("-s", type=int, default=120)
    args.add_argument("glob", nargs="+")
    args = args.parse_args()
    names = choose(args)
    skips = [line.split("\t") for line in listed(os.path.join(HERE, "igt.not"))]
    chosen = {}
    ktap = Ktap(len(names))
    for name in names:
        reasons = [reason for glob, reason in skips if fnmatch.fnmatchcase(name, glob)]
        program, _, subtest = name.partition(".")
        if reasons:
            ktap.result(name, "SKIP", reasons)
        else:
            chosen.setdefault(program, []).append(subtest)
    for program, left in chosen.items():
        if left == [""]:
            run_whole(program, args.s, ktap)
            continue
        while left:
            left = run_some(program, left[:CHUNK], args.s, ktap) + left[CHUNK:]
    return 1 if ktap.failed or not ktap.number else 0


if __name__ == "__main__":
    sys.exit(main())
