#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run programs that use RDMA, unmodified, on device memory, and print a table.

usage: app.py perftest|ibverbs|pyverbs|ucx|openmpi|libfabric|rdmacm

Each program runs with vram-malloc.so preloaded, so that what it registers is in
the memory of the exporter GPU0, first without the consent to peer access and then
with it. RDMA is the client's device and RDMA_PEER the server's. The table says of
each run what became of the pages; what a column is, is in docs/programs.md. Exit
code 1: a program failed, its data were wrong, or the access of a device moved a
page of an on-demand region although there was consent.
"""

import os
import re
import subprocess
import sys
import time

LIBRARY = "/tests/vram-malloc.so"
LIMIT = 120
REGION = re.compile(
    r"vram-malloc: region \d+: \d+ bytes, (on-demand|pinned): \d+ pages, placed (\d+), "
    r"aliased (\d+), moved (\d+), left (\d+), there (\d+)")
WORDS = re.compile(
    r"vram-malloc: region \d+: of (\d+) words (\d+) are its own, (\d+) the peer's in "
    r"their order, (\d+) neither")
CLIENT = os.environ.get("RDMA", "rxe0")
SERVER = os.environ.get("RDMA_PEER", CLIENT)
ADDRESS = "10.0.2.15"


class Program:
    """What is run: one or two commands.

    check says whose memory must have the peer's words afterwards (client or
    server), or that the program checks its data itself (itself), or nothing.
    """

    def __init__(self, name, package, kind, commands, port=0, check="", env=None):
        self.name, self.package, self.kind = name, package, kind
        self.commands, self.port, self.check = commands, port, check
        self.env = env or {}


def perftest():
    """Return the programs of perftest."""
    programs, port = [], 18515
    for name, check in (("ib_read_bw", "client"), ("ib_write_bw", "server"),
                        ("ib_send_bw", "server"), ("ib_atomic_bw", ""),
                        ("ib_read_lat", "client"), ("ib_write_lat", ""),
                        ("ib_send_lat", ""), ("ib_atomic_lat", "")):
        size = [] if "atomic" in name else ["-s", "65536"]
        for kind in ("on-demand", "pinned"):
            port += 1
            options = [name, "-F", "-n", "200", "-p", str(port), *size]
            if kind == "on-demand":
                options.append("--odp")
            programs.append(Program(
                name, "perftest", kind,
                [options + ["-d", SERVER], options + ["-d", CLIENT, ADDRESS]],
                port, check))
    return programs


def pyverbs():
    """Return rdma-core's tests of on-demand paging."""
    return [Program("test_odp", "python3-pyverbs", "on-demand",
                    [["/lab/pyverbs_tests.py", "test_odp.*"]], check="itself")]


def ibverbs():
    """Return rdma-core's examples, which check their data with the CPU."""
    programs, port = [], 18600
    for name, kind, options in (("ibv_rc_pingpong", "on-demand", ["-o"]),
                                ("ibv_rc_pingpong", "pinned", []),
                                ("ibv_srq_pingpong", "on-demand", ["-o"]),
                                ("ibv_ud_pingpong", "pinned", ["-s", "2048"])):
        port += 1
        size = [] if "ud" in name else ["-s", "65536"]
        options = [name, "-c", "-n", "50", "-g", "0", "-p", str(port), *size, *options]
        programs.append(Program(
            name, "ibverbs-utils", kind,
            [options + ["-d", SERVER], options + ["-d", CLIENT, ADDRESS]],
            port, "itself"))
    return programs


UCX = {
    "UCX_TLS": "rc_verbs,ud_verbs", "UCX_NET_DEVICES": f"{CLIENT}:1",
    "UCX_IB_GID_INDEX": "0", "UCX_ZCOPY_THRESH": "4096", "UCX_RNDV_THRESH": "8192",
    "UCX_RNDV_SCHEME": "get_zcopy", "UCX_WARN_UNUSED_ENV_VARS": "n",
    "OMPI_MCA_pml": "ucx", "OMPI_MCA_osc": "ucx", "HOME": "/tmp",
}
MPIRUN = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe", "-np", "2"]


def with_ucx(name, package, command, check=""):
    """Return a program of two ranks, with on-demand memory and without."""
    return [Program(name, package, kind, [MPIRUN + command], check=check,
                    env=UCX | ({"UCX_REG_NONBLOCK_MEM_TYPES": "host"}
                               if kind == "on-demand" else {}))
            for kind in ("on-demand", "pinned")]


def ucx():
    """Return UCX' own benchmark."""
    programs = []
    for test in ("ucp_put_bw", "ucp_get", "tag_bw", "ucp_am_bw"):
        programs += with_ucx(f"ucx_perftest {test}", "ucx-utils",
                             ["ucx_perftest", "-t", test, "-s", "65536", "-n", "50",
                              "-w", "5"])
    return programs


def openmpi():
    """Return what comes with mpi4py: objects around a ring, and back and forth."""
    bench = ["/usr/bin/python3", "-m", "mpi4py.bench"]
    return (with_ucx("Open MPI, mpi4py.bench ringtest", "openmpi-bin",
                     bench + ["ringtest", "-n", "65536", "-l", "20"]) +
            with_ucx("Open MPI, mpi4py.bench pingpong", "openmpi-bin",
                     bench + ["pingpong", "-m", "65536", "-n", "262144"]))


def libfabric():
    """Return libfabric's own, which checks its data. It needs rdma_cm."""
    command = ["fi_pingpong", "-p", "verbs", "-e", "msg", "-c", "-S", "65536", "-I", "50"]
    return [Program("fi_pingpong", "libfabric-bin", kind,
                    [command, command + [ADDRESS]], 47592, "itself",
                    {"FI_VERBS_USE_ODP": str(int(kind == "on-demand"))})
            for kind in ("on-demand", "pinned")]


def rdmacm():
    """Return rdma_cm's own, which checks its data. It has no option for ODP."""
    command = ["rping", "-V", "-C", "20", "-S", "32768", "-a", ADDRESS]
    return [Program("rping", "rdmacm-utils", "pinned",
                    [command + ["-s"], command + ["-c"]], 0, "itself")]


APPS = {"perftest": perftest, "ibverbs": ibverbs, "pyverbs": pyverbs, "ucx": ucx,
        "openmpi": openmpi, "libfabric": libfabric, "rdmacm": rdmacm}


def consent(is_given):
    """The administrator's switch of each exporter."""
    for name in ("GPU0", "GPU1"):
        path = f"/sys/bus/pci/devices/{os.environ.get(name)}/p2pdma/peer_access"
        if os.path.exists(path):
            with open(path, "w", encoding="ascii") as file:
                file.write("1" if is_given else "0")


def listens(port):
    """Whether a process waits for connections there."""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(path, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rsplit(":", 1)[1], 16) == port:
                    return True
    return False


def run(program):
    """Return the output of each of its commands, and whether all succeeded."""
    environment = os.environ | program.env | {
        "LD_PRELOAD": LIBRARY, "VRAM_MALLOC_DEVICE": os.environ["GPU0"]}
    children = []
    for number, command in enumerate(program.commands, 1):
        if program.check in ("client", "server"):
            environment["VRAM_MALLOC_PATTERN"] = str(number)
        children.append(subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace"))
        for _ in range(300):
            if number == len(program.commands) or listens(program.port):
                break
            time.sleep(0.1)
            if not program.port:
                time.sleep(2)
                break
    said, good = [], True
    for child in reversed(children):
        try:
            out, _ = child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            child.kill()
            out, _ = child.communicate()
            out += f"killed after {LIMIT} s\n"
        said.insert(0, out)
        good = good and child.returncode == 0
    return said, good


def right(program, said, good):
    """Say whether the data were right: yes, no, or - if nobody looked."""
    if not good:
        return "no"
    if program.check == "itself":
        return "yes"
    if not program.check:
        return "-"
    receiver = said[0 if program.check == "server" else 1]
    words = [[int(word) for word in match.groups()]
             for text in said for match in WORDS.finditer(text)]
    received = sum(int(match[3]) for match in WORDS.finditer(receiver))
    return "yes" if words and received and not any(word[3] for word in words) else "no"


def version(package):
    """Return the version of a package of this root."""
    with open("/etc/peerfault-packages", encoding="ascii") as file:
        versions = dict(line.split() for line in file)
    return versions[package].split("-")[0]


def measure(program):
    """Run it twice, print its row, and return whether it is as it should be."""
    rows, fine, data = [], True, []
    for is_given in (False, True):
        consent(is_given)
        said, good = run(program)
        pages = [sum(int(match[column]) for text in said
                     for match in REGION.finditer(text) if match[1] == program.kind)
                 for column in range(2, 7)]
        rows.append(pages)
        data.append(right(program, said, good))
        # With consent, no access may move a page; and pages were there at all.
        wrong = data[-1] == "no" or not pages[0] or (
            is_given and program.kind == "on-demand" and (pages[2] or not pages[1]))
        if wrong or os.environ.get("APP_VERBOSE"):
            print("".join(f"# {line}\n" for text in said for line in text.splitlines()),
                  flush=True)
        fine = fine and not wrong
    off, on = rows
    print("|", " | ".join(str(cell) for cell in (
        program.name, version(program.package), program.kind,
        "no" if "no" in data else data[0], off[0], off[2], on[2], off[1], on[1],
        off[3], on[3])), "|", flush=True)
    return fine


def main():
    """Run what the argument names."""
    programs = APPS[sys.argv[1]]()
    print("| program | version | region | data right | placed | moved: off | on "
          "| aliased: off | on | left: off | on |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    wrong = sum(not measure(program) for program in programs)
    if wrong:
        print(f"{wrong} of {len(programs)} programs: not as they should be")
    else:
        print(f"shown: {len(programs)} runs of unmodified programs on device memory, "
              "0 pages of on-demand regions moved by RDMA with consent")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
