# SPDX-License-Identifier: GPL-2.0
"""A machine without a guest: the installed QEMU with a model, and -qtest.

The test is the guest. It sees one PCI device, whose BARs are mapped, and RAM.
"""
import json
import os
import random
import socket
import struct
import subprocess
import sys

RAM = 64 << 20
BUS_MASTER, MEMORY = 4, 2


class Machine:
    """QEMU with one device, at 00:10.0.

    With SANITIZER=PATH that library is loaded before the model's.
    """

    def __init__(self, library, device):
        # Debian's QEMU has no accelerator qtest. No CPU runs with -S, and
        # virtual time stands still.
        args = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-S",
                "-m", "64M", "-nodefaults", "-display", "none",
                "-qtest", "stdio", "-qtest-log", "none",
                "-device", device + ",id=dut,bus=pcie.0,addr=0x10"]
        ours, monitor = socket.socketpair()
        args += ["-chardev", f"socket,id=qmp,fd={monitor.fileno()}",
                 "-mon", "chardev=qmp,mode=control"]
        self.monitor = ours.makefile("rw", encoding="utf-8")
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
        env["LD_PRELOAD"] = f"{env.get('SANITIZER', '')} {library}"
        self.errors = open(os.environ.get("QEMU_LOG", "qemu.log"), "w+",
                           encoding="utf-8", errors="replace")
        self.qemu = subprocess.Popen(args, stdin=subprocess.PIPE, env=env,
                                     stdout=subprocess.PIPE,
                                     stderr=self.errors,
                                     pass_fds=[monitor.fileno()])
        ours.close()
        monitor.close()
        self.qmp("qmp_capabilities")
        self.bars = []
        at = 0x1000000000
        for bar in (0, 2):
            low = 0x10 + 4 * bar
            self.config_write(low, 0xffffffff)
            self.config_write(low + 4, 0xffffffff)
            size = (self.config_read(low) & ~0xf |
                    self.config_read(low + 4) << 32)
            size = -size & 0xffffffffffffffff
            at = -(-at // size) * size
            self.config_write(low, at & 0xffffffff)
            self.config_write(low + 4, at >> 32)
            self.bars.append(at)
            at += size
        self.config_write(4, BUS_MASTER | MEMORY)

    def ask(self, command):
        """The words of the answer, without the first one, which is OK."""
        self.qemu.stdin.write(command.encode() + b"\n")
        self.qemu.stdin.flush()
        while True:
            line = self.qemu.stdout.readline().decode().split()
            if not line:
                raise AssertionError("QEMU has ended: " + self.log()[-2000:])
            if line[0] != "IRQ":
                assert line[0] == "OK", line
                return line[1:]

    def qmp(self, command, **arguments):
        """What QMP's COMMAND returns."""
        json.dump({"execute": command, "arguments": arguments}, self.monitor)
        self.monitor.flush()
        for line in self.monitor:
            answer = json.loads(line)
            assert "error" not in answer, answer
            if "return" in answer:
                return answer["return"]
        raise AssertionError("QEMU has ended: " + self.log()[-2000:])

    def set(self, name, value):
        """Sets a property of the device."""
        self.qmp("qom-set", path="/machine/peripheral/dut", property=name,
                 value=value)

    def config(self, reg):
        self.ask(f"outl 0xcf8 {0x80000000 | 0x10 << 11 | reg:#x}")

    def config_read(self, reg):
        self.config(reg)
        return int(self.ask("inl 0xcfc")[0], 0)

    def config_write(self, reg, value):
        self.config(reg)
        self.ask(f"outl 0xcfc {value:#x}")

    def read32(self, addr):
        return int(self.ask(f"readl {addr:#x}")[0], 0)

    def write32(self, addr, value):
        self.ask(f"writel {addr:#x} {value & 0xffffffff:#x}")

    def write64(self, addr, value):
        self.ask(f"writeq {addr:#x} {value:#x}")

    def read(self, addr, size):
        return bytes.fromhex(self.ask(f"read {addr:#x} {size:#x}")[0][2:])

    def write(self, addr, data):
        self.ask(f"write {addr:#x} {len(data):#x} 0x{data.hex()}")

    def write_words(self, addr, words):
        self.write(addr, struct.pack(f"<{len(words)}I",
                                     *(w & 0xffffffff for w in words)))

    def log(self):
        self.errors.seek(0)
        return self.errors.read()

    def end(self):
        """QEMU's exit code; with a sanitizer not 0 if it had a report."""
        self.qemu.stdin.close()
        self.qemu.terminate()
        return self.qemu.wait(60)


def run_tests(make, tests, fuzz):
    """main() of a model's tests: LIBRARY [SECONDS [SEED]]. Exit code.

    make(library, props) is a Machine with works(), which shows that the model
    still does what it has to; tests are functions named test_NAME, each with a
    machine of its own, which has the properties in the function's PROPS, if it
    has any; fuzz(machine, seconds, seed) is the last test.
    """
    library = os.path.abspath(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.getrandbits(32)
    tests = [(name[5:], test) for name, test in sorted(tests.items())
             if name.startswith("test_")]
    tests.append(("fuzz", lambda machine: fuzz(machine, seconds, seed)))
    failed = 0
    print(f"KTAP version 1\n1..{len(tests)}", flush=True)
    for number, (name, test) in enumerate(tests, 1):
        machine = make(library, getattr(test, "PROPS", ""))
        why = None
        try:
            test(machine)
            machine.works()
        except AssertionError as error:
            why = f"seed {seed}: line {error.__traceback__.tb_next.tb_lineno}: {error}"
        if machine.end() not in (0, -15) or "runtime error" in machine.log():
            why = why or machine.log()[-3000:]
        if why:
            failed = 1
            print("\n".join("# " + line for line in why.splitlines()))
        print(f"{'not ' if why else ''}ok {number} {name}", flush=True)
    return failed
