#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The kernel log gate's cases, without a VM: klog/NAME.CODE.log must make it
# exit with CODE. NAME.allow, if there, is given to it as excuses. KTAP.

set -u
cd "$(dirname "$0")/klog" || exit 1
gate=../../klog-gate.sh
number=0 rc=0

# expect NAME CODE COMMAND...
expect() {
	name=$1 want=$2
	shift 2
	number=$((number + 1)) got=0
	out=$("$@" 2>&1) || got=$?
	if [ "$got" -eq "$want" ] && { [ "$got" -eq 0 ] || [ -n "$out" ]; }; then
		echo "ok $number $name"
	else
		echo "$out" | sed 's/^/# /'
		echo "not ok $number $name # exit code $got, want $want, with a reason"
		rc=1
	fi
}

set -- *.log
echo "KTAP version 1"
echo "1..$(($# + 2))"
for log; do
	name=${log%.*.log} code=${log%.log}
	set -- ../../klog-allow
	[ ! -e "$name.allow" ] || set -- "$@" "$name.allow"
	expect "$name" "${code##*.}" "$gate" "$log" "$@"
done
expect excuse-without-reason 2 "$gate" clean.0.log no-reason.allow
expect no-such-log 2 "$gate" nonexistent.log
exit "$rc"
