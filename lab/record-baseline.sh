#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# record-baseline.sh: runs the base tree's own hmm-tests on the base kernel
# and records their status in lab/expect/hmm-tests.base, which lab/judge.py
# holds our kernel to. Needed again only when the base version, the config or
# the guest's memory changes. Exit code 1: the base kernel fails a test.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/lab/lib.sh"

"$LAB/build.sh" base
# Not ours, which has more tests than the base kernel stands.
base=$PF_BUILD/linux-base objects=$LAB_BUILD/hmm-tests-base
mkdir -p "$objects"
run "$E_BUILD" hmm-tests-base make -C "$base/tools/testing/selftests/mm" \
	top_srcdir="$base" OUTPUT="$objects" "$objects/hmm-tests" \
	KHDR_INCLUDES="-isystem $PF_BUILD/headers/usr/include"
"$LAB/run.sh" -q -k base -t switch -T 300 -o "$LAB_BUILD/baseline" -- "$objects/hmm-tests" ||
	die "$E_FAIL" "hmm-tests fails on the base kernel ($?), nothing recorded"
# Only lines that this kselftest prints: every test is "ok" when it exits 0.
awk '/^ok [0-9]+ / { print (/# SKIP/ ? "SKIP" : "PASS") "\t" $3 }' \
	"$LAB_BUILD/baseline/out" >"$LAB_BUILD/baseline/new"
[ -s "$LAB_BUILD/baseline/new" ] || die "$E_FAIL" "hmm-tests reported no test"
cp "$LAB_BUILD/baseline/new" "$LAB/expect/hmm-tests.base"
say "    recorded: $(cut -f 1 "$LAB/expect/hmm-tests.base" | sort | uniq -c | paste -sd' ')"
