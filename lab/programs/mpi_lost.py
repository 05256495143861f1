#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Kill the other of two machines while Open MPI transfers between them.

usage: mpi_lost.py

For machine 0, by on-both.sh. Memory of both ranks is on a device. The other machine
ends; then mpirun has to end and say so, nothing of it may be left, and Open MPI
has to run here with its data right and in place. Exit code 0: it is so.
"""

import os
import subprocess
import sys
import time

import app
import life

PATIENCE = 120
QUIT = ("printf '%s\\n' '{\"execute\":\"qmp_capabilities\"}' '{\"execute\":\"quit\"}' "
        f">{os.environ['QMP']}")


def netpipe():
    """Return a transfer that takes minutes and says now and then that it is right."""
    program = next(program for program in app.openmpi()
                   if "NetPIPE," in program.name and program.kind == "on-demand")
    command = program.commands[0]
    command[command.index("-n") + 1] = "1000"
    return program


def until_it_is_right(child, seen):
    """Read what it says until a transfer was right; False if there was none."""
    for line in child.stdout:
        seen.append(line)
        if "Integrity check passed" in line:
            return True
    return False


def transfer_and_kill():
    """Return why the program did not end as it should, or nothing."""
    program, seen = netpipe(), []
    with subprocess.Popen(program.commands[0], env=app.environment_of(program),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace") as child:
        right = until_it_is_right(child, seen)
        with subprocess.Popen([*app.REMOTE, app.HOSTS[1], QUIT]) as ssh:
            begin = time.monotonic()
            try:
                seen += child.communicate(timeout=PATIENCE)[0].splitlines(True)
            except subprocess.TimeoutExpired:
                child.kill()
                return f"it has not ended after {PATIENCE} s\n" + "".join(seen)
            finally:
                ssh.kill()
        print(f"mpirun ended with {child.returncode} after "
              f"{time.monotonic() - begin:.0f} s")
    said = "".join(seen)
    # mpirun of Open MPI 5.0.7 ends with 0 then.
    if not right or "lost communication with a remote daemon" not in said:
        return "no transfer was right, or it does not say what was lost\n" + said
    return ""


def main():
    """Do it, and then run the program here."""
    app.consent(True)
    why = transfer_and_kill()
    # This machine is alone now.
    app.HOSTS = ()
    # mpirun does not wait for the rank that it kills.
    if not why and not life.until(lambda: not life.resources()):
        why = "there are left:\n" + "\n".join(life.resources())
    why = why or life.rebind()
    if why:
        sys.exit(why)
    here = {name: value for name, value in os.environ.items() if name != "PAIR"}
    sys.exit(subprocess.run(["/lab/app.py", "openmpi", "*, NetPIPE*"], env=here,
                            check=False).returncode)


if __name__ == "__main__":
    main()
