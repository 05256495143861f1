#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run programs that use RDMA, unmodified, on device memory, and print a table.

usage: app.py APP [GLOB]

APP is perftest, ibverbs, pyverbs, ucx_perftest, openmpi, fi_pingpong, fabtests or
rping. GLOB names programs of it, in place of all of them.
Each program runs with vram-malloc.so preloaded, so that what it registers is in
the memory of the exporter GPU0, first without the consent to peer access and then
with it. RDMA is the client's device and RDMA_PEER the server's. The table says of
each run what became of the pages; what a column is, is in docs/programs.md. Exit
code 1: a program failed, its data were wrong, or the access of a device moved a
page of an on-demand region although there was consent. rows.json in RESULTS is
for docs/programs.py, which makes the table of docs/programs.md of it.

With PAIR, one of the two ranks of openmpi is on the other machine, which
on-both.sh reaches.
"""

import fnmatch
import json
import os
import re
import subprocess
import sys
import time

LIBRARY = "/tests/vram-malloc.so"
LIMIT = 240
REGION = re.compile(
    r"vram-malloc: region \d+: \d+ bytes, (on-demand|pinned): \d+ pages, placed (\d+), "
    r"aliased (\d+), moved (\d+), left (\d+), there (\d+)")
# What a program says of data that are wrong, if its exit code does not
WRONG = re.compile(r"invalid data in page")
WORDS = re.compile(
    r"vram-malloc: region \d+: of (\d+) words (\d+) are its own, (\d+) the peer's in "
    r"their order, (\d+) neither")
COLUMNS = ("placed", "aliased", "moved", "left", "there")
CLIENT = os.environ.get("RDMA", "rxe0")
SERVER = os.environ.get("RDMA_PEER", CLIENT)
ADDRESS = "10.0.2.15"
# The two machines, if there are two, and what reaches the second
HOSTS = ("peerfault0", "peerfault1") if "PAIR" in os.environ else ()
REMOTE = os.environ.get("ON_BOTH", "").split()


class Program:
    """What is run: one or two commands.

    check says whose memory must have the peer's words afterwards (client or
    server), or that the program checks its data itself (itself), or nothing.
    machines are the names that begin the lines of each, if there are two.
    """

    def __init__(self, name, package, kind, commands, port=0, check="", env=None,
                 machines=("",)):
        self.name, self.package, self.kind = name, package, kind
        self.commands, self.port, self.check = commands, port, check
        self.env, self.machines = env or {}, machines


def perftest():
    """Return the programs of perftest."""
    programs, port = [], 18515
    for name, check in (("ib_read_bw", "client"), ("ib_write_bw", "server"),
                        ("ib_send_bw", "server"), ("ib_atomic_bw", ""),
                        ("ib_read_lat", "client"), ("ib_write_lat", ""),
                        ("ib_send_lat", "server"), ("ib_atomic_lat", "")):
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
    if CLIENT == "rxe0":
        # Connected by rdma_cm, which wants an RDMA device on a network
        options = ["ib_write_bw", "-F", "-R", "-n", "200", "-p", str(port + 1),
                   "-s", "65536", "--odp"]
        programs.append(Program("ib_write_bw -R", "perftest", "on-demand",
                                [options, options + [ADDRESS]], port + 1, "server"))
    return programs


def pyverbs():
    """Return rdma-core's tests of on-demand paging, and of what else looks at data."""
    return [Program(f"pyverbs {name}", "python3-pyverbs", kind,
                    [["/lab/pyverbs_tests.py", f"{name}.*"]], check="itself")
            for name, kind in (("test_odp", "on-demand"), ("test_mr", "pinned"),
                               ("test_atomic", "pinned"), ("test_srq", "pinned"))]


def ibverbs():
    """Return rdma-core's examples. The server sends back what it has received.

    In front of a datagram is a header, so that the program looks at the data itself.
    """
    programs, port = [], 18600
    for name, kind, check, options in (
            ("ibv_rc_pingpong", "on-demand", "server", ["-s", "65536", "-o"]),
            ("ibv_rc_pingpong", "pinned", "server", ["-s", "65536"]),
            ("ibv_srq_pingpong", "on-demand", "server", ["-s", "65536", "-o"]),
            ("ibv_srq_pingpong", "pinned", "server", ["-s", "65536"]),
            ("ibv_ud_pingpong", "pinned", "itself", ["-s", "2048", "-c"])):
        port += 1
        options = [name, "-n", "50", "-g", "0", "-p", str(port), *options]
        programs.append(Program(
            name, "ibverbs-utils", kind,
            [options + ["-d", SERVER], options + ["-d", CLIENT, ADDRESS]],
            port, check))
    return programs


UCX = {
    "UCX_TLS": "rc_verbs,ud_verbs", "UCX_NET_DEVICES": f"{CLIENT}:1",
    "UCX_IB_GID_INDEX": "0", "UCX_ZCOPY_THRESH": "4096", "UCX_RNDV_THRESH": "8192",
    "UCX_RNDV_SCHEME": "get_zcopy", "UCX_WARN_UNUSED_ENV_VARS": "n",
    "OMPI_MCA_pml": "ucx", "OMPI_MCA_osc": "ucx", "HOME": "/tmp",
}
# mpirun would notice after five minutes only that a machine is gone.
BETWEEN = {
    "PRTE_MCA_plm_ssh_agent": " ".join(REMOTE), "PRTE_MCA_oob_tcp_keepalive_time": "5",
    "PRTE_MCA_oob_tcp_keepalive_intvl": "2", "PRTE_MCA_oob_tcp_keepalive_probes": "3",
}
MPIRUN = ["mpirun.openmpi", "--allow-run-as-root"]


def with_ucx(name, package, command, check=""):
    """Return a program of two ranks, with on-demand memory and without."""
    programs = []
    for kind in ("on-demand", "pinned"):
        env = UCX | ({"UCX_REG_NONBLOCK_MEM_TYPES": "host"}
                     if kind == "on-demand" else {})
        if not HOSTS:
            launch = MPIRUN + ["--oversubscribe", "-np", "2"]
            programs.append(Program(name, package, kind, [launch + command],
                                    check=check, env=env))
            continue
        env |= BETWEEN
        launch = MPIRUN + ["--host", ",".join(HOSTS), "--output", "tag"]
        for variable in [*env, "LD_PRELOAD", "VRAM_MALLOC_DEVICE", "RDMA"]:
            launch += ["-x", variable]
        programs.append(Program(f"{name}, two machines", package, kind,
                                [launch + command], check=check, env=env,
                                machines=(",0]<", ",1]<")))
    return programs


def ucx_perftest():
    """Return UCX' own benchmark."""
    programs = []
    for test in ("ucp_put_bw", "ucp_get", "tag_bw", "ucp_am_bw"):
        programs += with_ucx(f"ucx_perftest {test}", "ucx-utils",
                             ["ucx_perftest", "-t", test, "-s", "65536", "-n", "50",
                              "-w", "5"])
    return programs


def openmpi():
    """Return what comes with mpi4py, around a ring, NetPIPE, and a program of ours.

    ringtest only warns if what has gone around is not what was sent: an error here.
    """
    bench = ["/usr/bin/python3", "-W", "error::UserWarning", "-m", "mpi4py.bench"]
    netpipe = ["-i", "-p", "0", "-n", "5", "-l", "65536", "-u", "262144", "-o", "/dev/null"]
    return (with_ucx("Open MPI, mpi4py.bench ringtest", "openmpi-bin",
                     bench + ["ringtest", "-n", "65536", "-l", "20"], "itself") +
            with_ucx("Open MPI, NetPIPE", "openmpi-bin", ["NPopenmpi", *netpipe],
                     "itself") +
            with_ucx("Open MPI, mpi_one_sided.py put (ours)", "openmpi-bin",
                     ["/usr/bin/python3", "/lab/mpi_one_sided.py", "put"], "itself") +
            with_ucx("Open MPI, mpi_one_sided.py get (ours)", "openmpi-bin",
                     ["/usr/bin/python3", "/lab/mpi_one_sided.py", "get"], "itself"))


def fi_pingpong():
    """Return libfabric's own, which checks its data. It needs rdma_cm."""
    command = ["fi_pingpong", "-p", "verbs", "-e", "msg", "-c", "-S", "65536", "-I", "50"]
    return [Program("fi_pingpong", "libfabric-bin", kind,
                    [command, command + [ADDRESS]], 47592, "itself",
                    {"FI_VERBS_USE_ODP": str(int(kind == "on-demand"))})
            for kind in ("on-demand", "pinned")]


def fabtests():
    """Return benchmarks of libfabric's source.

    They check their data, but for READ and WRITE: there they would want completions
    that the verbs provider does not have. What they say to each other is in the same
    memory, so that nobody else can check it.
    """
    programs, rma = [], ["-e", "msg", "-o"]
    for name, options, check in (("fi_msg_pingpong", [], "itself"),
                                 ("fi_msg_bw", [], "itself"),
                                 ("fi_rma_bw", [*rma, "writedata"], "itself"),
                                 ("fi_rma_bw", [*rma, "write"], ""),
                                 ("fi_rma_bw", [*rma, "read"], "")):
        command = [name, "-p", "verbs", "-S", "65536", "-I", "50", *options]
        if check == "itself":
            command.append("-v")
        for kind in ("on-demand", "pinned"):
            programs.append(Program(
                " ".join([name, *options[2:]]), "libfabric-bin", kind,
                [command, command + [ADDRESS]], 0, check,
                {"FI_VERBS_USE_ODP": str(int(kind == "on-demand"))}))
    return programs


def rping():
    """Return rdma_cm's own, which checks its data. It has no option for ODP."""
    command = ["rping", "-V", "-C", "20", "-S", "32768", "-a", ADDRESS]
    return [Program("rping", "rdmacm-utils", "pinned",
                    [command + ["-s"], command + ["-c"]], 0, "itself")]


APPS = {"perftest": perftest, "ibverbs": ibverbs, "pyverbs": pyverbs,
        "ucx_perftest": ucx_perftest, "openmpi": openmpi, "fi_pingpong": fi_pingpong,
        "fabtests": fabtests, "rping": rping}


def consent(is_given):
    """The administrator's switch of each exporter, on each machine."""
    for name in ("GPU0", "GPU1"):
        path = f"/sys/bus/pci/devices/{os.environ.get(name)}/p2pdma/peer_access"
        if os.path.exists(path):
            with open(path, "w", encoding="ascii") as file:
                file.write(str(int(is_given)))
            for host in HOSTS[1:]:
                subprocess.run(
                    [*REMOTE, host, f"echo {int(is_given)} >{path}"], check=True)


def listens(port):
    """Whether a process waits for connections there."""
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(path, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                words = line.split()
                if words[3] == "0A" and int(words[1].rsplit(":", 1)[1], 16) == port:
                    return True
    return False


def environment_of(program):
    """Return the variables that a program of it runs with."""
    return os.environ | program.env | {
        "LD_PRELOAD": LIBRARY, "VRAM_MALLOC_DEVICE": os.environ["GPU0"], "RDMA": CLIENT}


def run(program):
    """Return the output of each of its commands, and whether all succeeded."""
    environment, children = environment_of(program), []
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
    if not good or any(WRONG.search(text) for text in said):
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


def driver(bdf):
    """Return the driver of a PCI device."""
    return os.path.basename(os.path.realpath(f"/sys/bus/pci/devices/{bdf}/driver"))


def count(program, said, machine=""):
    """Return what the library says of the regions of the program's kind."""
    lines = [line for text in said for line in text.splitlines() if machine in line]
    return {name: sum(int(match[column]) for line in lines
                      for match in REGION.finditer(line) if match[1] == program.kind)
            for column, name in enumerate(COLUMNS, 2)}


def complaint(program, is_given, pages, data):
    """Return what is not as it should be on a machine, or nothing."""
    if data == "no":
        return "it failed, or its data were wrong"
    if not pages["placed"]:
        return "no page was placed on the device"
    if not is_given and pages["aliased"]:
        return "a page had an alias although there was no consent"
    if not is_given or program.kind != "on-demand":
        return ""
    if pages["moved"]:
        return "an access moved pages although there was consent"
    return "" if pages["aliased"] else "no page had an alias although there was consent"


def measure(program):
    """Run it twice, print its row, and return it."""
    row = {"program": program.name, "version": version(program.package),
           "region": program.kind, "right": "-", "wrong": []}
    for is_given, word in ((False, "off"), (True, "on")):
        consent(is_given)
        said, good = run(program)
        pages = count(program, said)
        data = right(program, said, good)
        if row["right"] != "no":
            row["right"] = data
        row[word] = pages
        why = next(filter(None, (
            complaint(program, is_given, count(program, said, machine), data)
            for machine in program.machines)), "")
        if why:
            row["wrong"].append(why)
        if why or os.environ.get("APP_VERBOSE"):
            print("".join(f"# {line}\n" for text in said for line in text.splitlines()) +
                  f"# {program.name}, {program.kind}, consent {word}: {why or pages}",
                  flush=True)
    off, on = row["off"], row["on"]
    print("|", " | ".join(str(cell) for cell in (
        row["program"], row["version"], row["region"], row["right"], off["placed"],
        off["moved"], on["moved"], off["aliased"], on["aliased"], off["left"],
        on["left"])), "|", flush=True)
    return row


def main():
    """Run what the argument names."""
    programs = [program for program in APPS[sys.argv[1]]()
                if fnmatch.fnmatch(program.name, (sys.argv[2:] or ["*"])[0])]
    if not programs:
        sys.exit(f"no program {sys.argv[2]}")
    print("| program | version | region | data right | placed | moved: off | on "
          "| aliased: off | on | left: off | on |")
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    rows = [measure(program) for program in programs]
    with open(os.path.join(os.environ["RESULTS"], "rows.json"), "w",
              encoding="utf-8") as file:
        json.dump({"app": sys.argv[1], "exporter": driver(os.environ["GPU0"]),
                   "importer": "mlx5" if "RDMA" in os.environ else "rxe",
                   "rows": rows}, file, indent=1)
    wrong = sum(bool(row["wrong"]) for row in rows)
    if wrong:
        print(f"{wrong} of {len(programs)} programs: not as they should be")
    else:
        print(f"shown: {len(programs)} runs of unmodified programs on device memory, "
              "0 pages of on-demand regions moved by RDMA with consent")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
