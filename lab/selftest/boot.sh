#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The lab's runner must give each way for a job to end its exact exit code.
# KTAP. LAB_KERNEL chooses the kernel (default: normal).

set -u
lab=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
kernel=${LAB_KERNEL:-normal}
names=() wants=() texts=()
export TOPOLOGY=switch

# ends NAME CODE TEXT RUN-OPTION... -- JOB: it ends with CODE and says TEXT.
# Two at a time, because a boot keeps hardly more than one CPU busy.
ends() {
	local n=${#names[@]}
	names+=("$1") wants+=("$2") texts+=("$3")
	shift 3
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
		wait -n
	done
	("$lab/run.sh" -k "$kernel" -o "$tmp/$n" "$@" >"$tmp/$n.log" 2>&1
	 echo $? >"$tmp/$n.rc") &
}

# Even when the runner has no chance to clean up, QEMU must go with it.
killed() {
	local tries=300 runner
	"$lab/run.sh" -k "$kernel" -o "$tmp/killed" -- sh -c 'echo up; sleep 1000' &
	runner=$!
	until grep -q '^up' "$tmp/killed/out" 2>/dev/null; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
	pgrep -f "path=$tmp/killed/rc" >/dev/null || return 1
	kill -KILL "$runner"
	tries=50
	while pgrep -f "path=$tmp/killed/rc" >/dev/null; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

echo "KTAP version 1"
echo "1..13"
ends hang 124 'hang: the guest did not end' -T 20 -- sleep 1000
ends true 0 'the job ran' -- sh -c 'echo the job ran'
ends false 1 '' -- false
ends skip 4 '' -- sh -c 'exit 4'
ends code-of-its-own-lab 1 'the job itself ended with 125' -- sh -c 'exit 125'
ends no-such-command 127 'not found' -- no-such-command
ends panic 255 'sysrq triggered crash' -- sh -c 'echo c >/proc/sysrq-trigger'
ends warn 125 'WARNING: ' -- \
	sh -c 'echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT'
ends excused-warn 0 '' -x "$lab/selftest/lkdtm.allow" -- \
	sh -c 'echo WARNING >/sys/kernel/debug/provoke-crash/DIRECT'
LAB_TOPOLOGIES=$lab/selftest/topologies \
	ends wrong-topology 123 'not the one described' -t wrong -- true
ends unknown-topology 2 'two-root-ports' -t nonsense -- true
ends rdma 0 '100 iters' -- "$lab/selftest/rdma-traffic"
wait

rc=0
for n in "${!names[@]}"; do
	got=$(cat "$tmp/$n.rc")
	if [ "$got" = "${wants[n]}" ] &&
	   { [ -z "${texts[n]}" ] || grep -qF -- "${texts[n]}" "$tmp/$n.log"; }; then
		echo "ok $((n + 1)) ${names[n]}"
		continue
	fi
	sed 's/^/# /' "$tmp/$n.log"
	echo "not ok $((n + 1)) ${names[n]} # exit code $got," \
		"want ${wants[n]} and '${texts[n]}'"
	rc=1
done
n=$((${#names[@]} + 1))
if killed >"$tmp/log" 2>&1; then
	echo "ok $n killed-runner-leaves-nothing"
else
	sed 's/^/# /' "$tmp/log"
	echo "not ok $n killed-runner-leaves-nothing"
	rc=1
fi
exit "$rc"
