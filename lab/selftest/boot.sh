#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The lab's runner must give each way for a job to end its exact exit code.
# KTAP. KERNEL chooses the kernel (default: normal).

set -u
lab=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$lab/../scripts/ktap.sh"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
names=() wants=() texts=()
export TOPOLOGY=switch

# ends NAME CODE TEXT RUN-OPTION... -- JOB: it ends with CODE and says TEXT.
# Two at a time, because a boot keeps hardly more than one CPU busy.
ends() {
	local n=${#names[@]}
	# shellcheck disable=SC2254 # it is a glob
	case $1 in
	${TEST:-*}) ;;
	*) return ;;
	esac
	names+=("$1") wants+=("$2") texts+=("$3")
	shift 3
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
		wait -n
	done
	(TEST='' "$lab/run.sh" -o "$tmp/$n" "$@" >"$tmp/$n.log" 2>&1
	 echo $? >"$tmp/$n.rc") &
}

# attach SOCKET: what gdb does, as soon as QEMU is there and then after a time
# that is longer than the job may take
attach() {
	# shellcheck disable=SC2016 # gdb's $c
	python3 -c 'if True:
		import socket, sys, time
		gdb = socket.socket(socket.AF_UNIX)
		end = time.time() + 120
		while gdb.connect_ex(sys.argv[1]) and time.time() < end:
			time.sleep(0.1)
		time.sleep(4)
		gdb.sendall(b"$c#63")	# continue
		while gdb.recv(100): pass' "$1"
}

# killed_runs: its QEMU does. The pattern is none that matches grep itself, and
# /proc is there where a pgrep may not be.
killed_runs() {
	grep -qs "path=$tmp/killed/[r]c" /proc/[0-9]*/cmdline
}

# Even when the runner has no chance to clean up, QEMU must go with it.
killed() {
	local tries=300 runner
	"$lab/run.sh" -o "$tmp/killed" -- sh -c 'echo up; sleep 1000' &
	runner=$!
	until grep -q '^up' "$tmp/killed/out" 2>/dev/null; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
	killed_runs || return 1
	kill -KILL "$runner"
	tries=50
	while killed_runs; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

ends hang 124 'hang: the job did not end' -T 50 -- sleep 1000
ends hangs-in-the-kernel 124 lkdtm_HUNG_TASK -T 20 -- \
	sh -c 'echo HUNG_TASK >/sys/kernel/debug/provoke-crash/DIRECT'
ends true 0 'the job ran' -- sh -c 'echo the job ran'
ends false 1 '' -- false
ends skip 4 '' -- sh -c 'exit 4'
ends code-of-its-own-lab 1 'the job itself ended with 125' -- sh -c 'exit 125'
ends no-such-command 127 "can't execute 'no-such-command'" -- no-such-command
ends panic 255 'sysrq triggered crash' -- sh -c 'echo c >/proc/sysrq-trigger'
ends warn 125 'WARNING: ' -- \
	sh -c 'echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT'
ends excused-warn 0 '' -x "$lab/selftest/lkdtm.allow" -- \
	sh -c 'echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT'
LAB_TOPOLOGIES=$lab/selftest/topologies \
	ends wrong-topology 123 'lab/record.sh wrong' -t wrong -- true
LAB_TOPOLOGIES=$lab/selftest/topologies \
	ends recorded-topology 0 '1af4:1110' -r -t wrong -- pci-list
ends unknown-topology 2 'two-root-ports' -t nonsense -- true
KERNEL=$tmp/none/bzImage ends no-image 16 'is not built' -- true
KERNEL=nonsense ends unknown-kernel 2 "no kernel 'nonsense'" -- true
ACCEL=nonsense ends unknown-accel 2 "no ACCEL 'nonsense'" -- true
attach "$tmp/gdb" &
QEMU_ARGS="-S -gdb unix:$tmp/gdb,server=on,wait=off" ends waits-for-gdb 0 '' -T 1 -- true
ends rdma 0 '100 iters' -- "$lab/selftest/rdma-traffic"
wait

# ended N: as it was meant to
ended() {
	local got
	got=$(cat "$tmp/$1.rc")
	cat "$tmp/$1.log"
	echo "exit code $got, want ${wants[$1]} and '${texts[$1]}'"
	[ "$got" = "${wants[$1]}" ] &&
		{ [ -z "${texts[$1]}" ] || grep -qF -- "${texts[$1]}" "$tmp/$1.log"; }
}

ktap_begin
for n in "${!names[@]}"; do
	ktap_test "${names[n]}" ended "$n"
done
ktap_test killed-runner-leaves-nothing killed
ktap_end
