#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The life of programs that use RDMA, on device memory; print KTAP.

usage: life.py

fork(), munmap() and mmap(), malloc() and free() beside memory regions that page on
demand, in a program that uses pyverbs; and perftest, killed while it transfers.
Both run with vram-malloc.so, which puts their regions into the memory of the
exporter GPU0. With the consent to peer access, which is given here, the access of
an RDMA device must move no page, and each word must be right.

RDMA is the program's device, RDMA_PEER the other one's, TEST a glob that names
tests. Exit code 1: a test failed.

What the program does that uses pyverbs is in life_owner.py.
"""

import fnmatch
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

import app

OWNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "life_owner.py")
PATIENCE = 60
# What `--run_infinitely` prints of each second: size, iterations, bandwidth
TRANSFERRED = re.compile(r"^ *65536 +[1-9]\d* ", re.MULTILINE)
GPU = os.environ.get("GPU0", "")
# perftest retries 7 times, which rxe takes for endless: if nobody is left to refuse
# what its client sends, the client goes on until it is interrupted as well.
ENDLESS = app.CLIENT.startswith("rxe")


def until(condition):
    """Wait until it holds, and say whether it does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def owner(name):
    """Run a test of life_owner; return why it failed, or nothing."""
    program = app.Program(name, "python3-pyverbs", "on-demand",
                          [[sys.executable, OWNER, name]], check="itself")
    said, good = app.run(program)
    why = app.complaint(program, True, app.count(program, said),
                        app.right(program, said, good))
    return why and f"{why}\n" + "".join(said)


class Perftest:
    """A server and a client, which transfer until they are killed."""

    port = 18700

    def __init__(self, name):
        Perftest.port += 1
        options = [name, "-F", "--odp", "-s", "65536", "-p", str(Perftest.port),
                   "-D", "1", "--run_infinitely"]
        self.program = app.Program(name, "perftest", "on-demand", [])
        self.server = self.start("server", options + ["-d", app.SERVER])
        until(lambda: app.listens(Perftest.port))
        self.client = self.start("client", options + ["-d", app.CLIENT, app.ADDRESS])

    def start(self, side, command):
        """Start one of them. It must write each line at once."""
        with open(f"/tmp/{side}", "w", encoding="utf-8") as file:
            return subprocess.Popen(["stdbuf", "-oL", *command], stdout=file,
                                    stderr=subprocess.STDOUT,
                                    env=app.environment_of(self.program))

    @staticmethod
    def said(side):
        """Return what it has printed."""
        with open(f"/tmp/{side}", encoding="utf-8", errors="replace") as file:
            return file.read()

    def both(self):
        """Return what both have printed."""
        return self.said("server") + self.said("client")

    def transfers(self):
        """Wait until data have been transferred; return whether both still run."""
        until(lambda: TRANSFERRED.search(self.said("client")) or self.client.poll()
              is not None)
        return (TRANSFERRED.search(self.said("client")) and self.client.poll() is None
                and self.server.poll() is None)

    def end(self):
        """End what still runs."""
        for child in (self.server, self.client):
            if child.poll() is None:
                child.kill()
                child.wait()


def ends(child, patience=PATIENCE):
    """Wait for the end of a process, and say whether it came."""
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        return False
    return True


def resources():
    """Return the memory regions and queue pairs that programs have."""
    found = []
    for kind in ("mr", "qp"):
        said = subprocess.run(["rdma", "-j", "resource", "show", kind], check=True,
                              text=True, stdout=subprocess.PIPE).stdout
        # The kernel's own have no pid.
        found += [f"{kind}: {entry}" for entry in json.loads(said or "[]")
                  if "pid" in entry]
    return found


def rebind():
    """Unbind the exporter and bind it again; return why it failed, or nothing."""
    device = f"/sys/bus/pci/devices/{GPU}/driver"
    driver = os.path.realpath(device)
    for action in ("unbind", "bind"):
        # An unbind waits for each page of the device that somebody still has, and
        # nothing can end it then.
        with open(f"{driver}/{action}", "w", encoding="ascii") as file:
            child = subprocess.Popen(["echo", GPU], stdout=file)
        if not ends(child):
            return f"{action} of the exporter does not end"
        if child.returncode or os.path.exists(device) != (action == "bind"):
            return f"{action} of the exporter has failed"
    app.consent(True)
    return ""


def killed(name, victim, number):
    """Kill one of them in the middle; return what is not as it should be then."""
    pair = Perftest(name)
    try:
        if not pair.transfers():
            return "nothing was transferred\n" + pair.both()
        if not [entry for entry in resources() if name in entry]:
            return "the resources of a program that runs are not listed"
        dies, stays = ((pair.server, pair.client) if victim == "server"
                       else (pair.client, pair.server))
        dies.send_signal(number)
        if not ends(dies):
            return "it does not end\n" + pair.both()
        if ENDLESS and not ends(stays, 10):
            stays.send_signal(signal.SIGINT)
        if not ends(stays):
            return "the other one does not end\n" + pair.both()
        if number == signal.SIGKILL and dies.returncode != -number:
            return f"it ended with {dies.returncode}\n" + pair.both()
    finally:
        pair.end()
    why = app.complaint(pair.program, True, app.count(pair.program, [pair.both()]), "-")
    if why:
        return f"{why}\n" + pair.both()
    if not until(lambda: not resources()):
        return "there are left:\n" + "\n".join(resources())
    return rebind() or transfers_right(name)


def transfers_right(name):
    """Let it transfer what can be told apart; return what is wrong, or nothing."""
    program = next(program for program in app.perftest()
                   if program.name == name and program.kind == "on-demand")
    said, good = app.run(program)
    data = app.right(program, said, good)
    why = app.complaint(program, True, app.count(program, said), data)
    if not why and data != "yes":
        why = "nobody looked at the data"
    return why and f"afterwards: {why}\n" + "".join(said)


def tests():
    """Return each test's name, what it calls, and with which arguments."""
    found = [(name, owner, (name,)) for name in
             ("fork_copies", "fork_in_place", "cache", "heap")]
    for name in ("ib_write_bw", "ib_read_bw"):
        for victim in ("server", "client"):
            for number in (signal.SIGINT, signal.SIGKILL):
                found.append((f"{name}.{victim}.{number.name}", killed,
                              (name, victim, number)))
    return found


def main():
    """Run the tests that TEST names."""
    # A shell starts what is in the background without it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    chosen = [test for test in tests()
              if fnmatch.fnmatchcase(test[0], os.environ.get("TEST", "*"))]
    app.consent(True)
    failed = 0
    print(f"KTAP version 1\n1..{len(chosen)}", flush=True)
    for number, (name, function, arguments) in enumerate(chosen, 1):
        why = function(*arguments)
        # Those of the killed: nobody else removes them.
        for path in glob.glob("/sys/kernel/tracing/instances/vram-malloc-*"):
            os.rmdir(path)
        for line in why.splitlines():
            print(f"# {line}")
        print(f"{'not ok' if why else 'ok'} {number} {name}", flush=True)
        failed += bool(why)
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
