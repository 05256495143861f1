#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# record-baseline.sh: runs the base tree's own hmm-tests on the stock kernel
# and records their status in lab/expect/hmm-tests.stock, which lab/judge.py
# holds our kernel to. Needed again only when the base version, the config or
# the guest's memory changes. Exit code 1: the stock kernel fails a test.

set -eu
# shellcheck source=lib/common.sh
. "$(dirname "$0")/../lib/common.sh"
. "$PF_ROOT/lab/lib.sh"

"$LAB/build.sh" stock
# Not ours, which has more tests than the stock kernel stands.
stock=$PF_BUILD/linux-stock objects=$LAB_BUILD/hmm-tests-stock
mkdir -p "$objects"
run "$E_BUILD" hmm-tests-stock make -C "$stock/tools/testing/selftests/mm" \
	top_srcdir="$stock" OUTPUT="$objects" "$objects/hmm-tests" \
	KHDR_INCLUDES="-isystem $PF_BUILD/headers/usr/include"
"$LAB/run.sh" -q -k stock -t switch -T 300 -o "$LAB_BUILD/baseline" -- "$objects/hmm-tests" ||
	die "$E_FAIL" "hmm-tests fails on the stock kernel ($?), nothing recorded"
# Only lines that this kselftest prints: every test is "ok" when it exits 0.
awk '/^ok [0-9]+ / { print (/# SKIP/ ? "SKIP" : "PASS") "\t" $3 }' \
	"$LAB_BUILD/baseline/out" >"$LAB_BUILD/baseline/new"
[ -s "$LAB_BUILD/baseline/new" ] || die "$E_FAIL" "hmm-tests reported no test"
cp "$LAB_BUILD/baseline/new" "$LAB/expect/hmm-tests.stock"
say "    recorded: $(cut -f 1 "$LAB/expect/hmm-tests.stock" | sort | uniq -c | paste -sd' ')"
