#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The kernel log gate's cases, without a VM: klog/NAME.CODE.log must make it
# exit with CODE. NAME.allow, if there, is given to it as excuses. KTAP.

set -u
cd "$(dirname "$0")/klog" || exit 1
# shellcheck source=scripts/ktap.sh
. ../../../scripts/ktap.sh
gate=../../klog-gate.sh

# exits CODE COMMAND...: and says why, when it is not 0
exits() {
	want=$1
	shift
	said=$("$@" 2>&1) && got=0 || got=$?
	echo "$said"
	echo "exit code $got, want $want, with a reason"
	[ "$got" -eq "$want" ] && { [ "$got" -eq 0 ] || [ -n "$said" ]; }
}

ktap_begin
for log in *.log; do
	name=${log%.*.log} code=${log%.log}
	set -- ../../allow/kunit-taint.allow
	[ ! -e "$name.allow" ] || set -- "$@" "$name.allow"
	ktap_test "$name" exits "${code##*.}" "$gate" "$log" "$@"
done
ktap_test excuse-without-reason exits 2 "$gate" clean.0.log no-reason.allow
ktap_test no-such-log exits 2 "$gate" nonexistent.log
ktap_end
