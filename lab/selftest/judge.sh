#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lab/judge.py's cases, without a VM: what it must say of a suite's KTAP. KTAP.

set -u
lab=$(cd "$(dirname "$0")/.." && pwd)
kunit_py=$lab/../build/linux/tools/testing/kunit/kunit.py
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
printf 'boots@*\tslow*\ttoo slow here\n' >"$tmp/skips"
printf 'PASS\ta\nSKIP\tslow\n' >"$tmp/recorded.base"
printf 'recorded\tslow\ttoo slow here\n' >>"$tmp/skips"
number=0 rc=0

# judge NAME "PASSED FAILED SKIPPED" SUITE EXIT_CODE LINE...
judge() {
	local name=$1 want=$2 suite=$3 code=$4 got
	shift 4
	number=$((number + 1))
	: >"$tmp/ktap"
	[ $# -eq 0 ] || printf '%s\n' "$@" >"$tmp/ktap"
	out=$("$lab/judge.py" "$kunit_py" "$tmp" "$suite" "$tmp/ktap" "$code")
	got="${out##*$'\n'} rc $?"
	if [ "${got% rc *}" = "$want" ]; then
		echo "ok $number $name"
	else
		printf '# %s\n' "$out"
		echo "not ok $number $name # $got, want $want"
		rc=1
	fi
}

v='KTAP version 1'
echo "$v"
echo "1..15"
judge passes "2 0 0" x 0 "$v" 1..2 'ok 1 a' 'ok 2 b'
judge fails "1 1 0" x 1 "$v" 1..2 'ok 1 a' 'not ok 2 b'
judge fails-with-exit-code-0 "1 1 0" x 0 "$v" 1..2 'ok 1 a' 'not ok 2 b'
judge exit-code-1-without-failure "1 1 0" x 1 "$v" 1..1 'ok 1 a'
judge empty "0 1 0" x 0
judge not-ktap "0 1 0" x 0 'all is well'
judge no-tests "0 1 0" x 0 "$v" 1..0
judge truncated "1 1 0" x 0 "$v" 1..3 'ok 1 a'
judge unexpected-skip "1 1 0" x 0 "$v" 1..2 'ok 1 a' 'ok 2 slow # SKIP no'
judge expected-skip "1 0 1" boots@switch 0 "$v" 1..2 'ok 1 a' 'ok 2 slow # SKIP no'
judge only-an-expected-skip "0 0 1" boots@switch 4 "$v" 1..1 'ok 1 slow # SKIP no'
judge dirty-log "1 1 0" x 125 "$v" 1..1 'ok 1 a'
judge lost-after-the-last-test "1 1 0" x 255 "$v" 1..1 'ok 1 a'
judge as-base "1 0 1" recorded 0 "$v" 1..2 'ok 1 a' 'ok 2 slow # SKIP no'
judge not-as-base "1 2 0" recorded 0 "$v" 1..2 'ok 1 a # SKIP no' 'ok 2 b'
judge new-to-base "2 1 1" recorded 0 "$v" 1..4 'ok 1 a' 'ok 2 slow # SKIP no' \
	'ok 3 b' 'ok 4 c # SKIP no'
exit "$rc"
