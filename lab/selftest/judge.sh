#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lab/judge.py's cases, without a VM: what it must say of a suite's KTAP. KTAP.

set -u
lab=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$lab/../scripts/ktap.sh"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
names=
printf 'boots@*\tslow*\ttoo slow here\n' >"$tmp/skips"
printf 'PASS\ta\nSKIP\tslow\n' >"$tmp/recorded.base"
printf 'recorded\tslow\ttoo slow here\n' >>"$tmp/skips"

# judge "PASSED FAILED SKIPPED" SUITE EXIT_CODE LINE...
judge() {
	local want=$1 suite=$2 code=$3 out rc=0 right=1
	shift 3
	: >"$tmp/ktap"
	[ $# -eq 0 ] || printf '%s\n' "$@" >"$tmp/ktap"
	out=$(TEST=$names "$lab/judge.py" --expect "$tmp" "$suite" "$tmp/ktap" "$code") || rc=$?
	[[ $want == *' 0 '* ]] || right=0
	printf '%s\nexit code %s, want %s\n' "$out" "$rc" "$want"
	[ "${out##*$'\n'}" = "$want" ] && [ "$rc" -eq $((1 - right)) ]
}

# says TEXT SUITE EXIT_CODE LINE...: the same, and it says TEXT
says() {
	local text=$1
	shift
	judge "$@" >"$tmp/said" || { cat "$tmp/said"; return 1; }
	grep -F -- "$text" "$tmp/said" || { cat "$tmp/said"; return 1; }
}

v='KTAP version 1'
ktap_begin
ktap_test passes judge "2 0 0" x 0 "$v" 1..2 'ok 1 a' 'ok 2 b'
ktap_test fails judge "1 1 0" x 1 "$v" 1..2 'ok 1 a' 'not ok 2 b'
ktap_test fails-with-exit-code-0 judge "1 1 0" x 0 "$v" 1..2 'ok 1 a' 'not ok 2 b'
ktap_test exit-code-1-without-failure judge "1 1 0" x 1 "$v" 1..1 'ok 1 a'
ktap_test empty judge "0 1 0" x 0
ktap_test not-ktap judge "0 1 0" x 0 'all is well'
ktap_test no-tests judge "0 1 0" x 0 "$v" 1..0
ktap_test truncated judge "1 1 0" x 0 "$v" 1..3 'ok 1 a'
ktap_test no-plan judge "1 1 0" x 0 "$v" 'ok 1 a'
ktap_test more-than-planned judge "1 1 0" x 0 "$v" 1..1 'ok 1 a' 'ok 2 b'
ktap_test failure-beyond-the-plan judge "1 1 0" x 0 "$v" 1..1 'ok 1 a' 'not ok 2 b'
ktap_test more-after-a-second-header judge "1 1 0" x 0 "$v" 1..1 'ok 1 a' \
	"$v" 1..1 'not ok 1 b'
ktap_test wrong-number judge "2 1 0" x 0 "$v" 1..2 'ok 1 a' 'ok 3 b'
ktap_test number-twice judge "2 1 0" x 0 "$v" 1..2 'ok 1 a' 'ok 1 b'
ktap_test more-than-planned-in-a-subtest judge "1 1 0" x 0 "$v" 1..1 \
	'    # Subtest: p' '    1..1' '    ok 1 a' '    ok 2 b' 'ok 1 p'
ktap_test unexpected-skip judge "1 1 0" x 0 "$v" 1..2 'ok 1 a' 'ok 2 slow # SKIP no'
ktap_test expected-skip judge "1 0 1" boots@switch 0 "$v" 1..2 'ok 1 a' 'ok 2 slow # SKIP no'
ktap_test only-an-expected-skip judge "0 0 1" boots@switch 4 "$v" 1..1 'ok 1 slow # SKIP no'
ktap_test dirty-log judge "1 1 0" x 125 "$v" 1..1 'ok 1 a'
ktap_test lost-after-the-last-test judge "1 1 0" x 255 "$v" 1..1 'ok 1 a'
ktap_test as-base judge "1 0 1" recorded 0 "$v" 1..2 'ok 1 a' 'ok 2 slow # SKIP no'
ktap_test not-as-base judge "1 2 0" recorded 0 "$v" 1..2 'ok 1 a # SKIP no' 'ok 2 b'
ktap_test new-to-base judge "2 1 1" recorded 0 "$v" 1..4 'ok 1 a' 'ok 2 slow # SKIP no' \
	'ok 3 b' 'ok 4 c # SKIP no'

# Every code that only the lab's runner gives has its text from the one list.
while read -r code text; do
	ktap_test "code-$code" says "$text" "1 1 0" x "$code" "$v" 1..1 'ok 1 a'
done < <(sed -n 's/^E_\(TOPOLOGY\|TIMEOUT\|LOG\|VM\)=\([0-9]*\)\t# /\2 /p' \
	"$lab/../scripts/common.sh")

# What it says of a test that has failed
failed=("$v" 1..2 'ok 1 a' '    # Subtest: dma_life' '    1..2' '    ok 1 f.a'
	'    #  RUN           f.v.munmap ...'
	'    # dma_life.c:587:munmap:Expected 0 (0) == leaked (2048)'
	'    # munmap: Test failed'
	'    #          FAIL  f.v.munmap' '    not ok 2 f.v.munmap'
	'not ok 2 dma_life # exit code 1')
ktap_test says-the-name says 'dma@iommu: dma_life.f.v.munmap: failed' \
	"2 1 0" dma@iommu 1 "${failed[@]}"
ktap_test says-the-assertion says 'dma_life.c:587:munmap:Expected 0 (0) == leaked (2048)' \
	"2 1 0" dma@iommu 1 "${failed[@]}"
ktap_test says-how-to-repeat-it says \
	"again: make test SUITE=dma@iommu TEST='dma_life.f.v.munmap'" \
	"2 1 0" dma@iommu 1 "${failed[@]}"
ktap_test repeats-a-name-with-blanks says \
	"again: make test SUITE=topo@switch TEST='kernel?GPU0?DMA0'" \
	"0 1 0" topo@switch 1 "$v" 1..1 'not ok 1 kernel GPU0 DMA0'
ktap_test repeats-all-when-cut-short says 'again: make test SUITE=dma@iommu' \
	"1 1 0" dma@iommu 255 "$v" 1..1 'ok 1 a'
ktap_test kunit-says-the-expectation says 'EXPECTATION FAILED at mm/tests/hmm_kunit.c:12' \
	"0 1 0" kunit@switch 1 "$v" 1..1 '    # Subtest: hmm' '    1..1' \
	'    # hmm_decide: EXPECTATION FAILED at mm/tests/hmm_kunit.c:12' \
	'    Expected a == b, but' '    not ok 1 hmm_decide' 'not ok 1 hmm'
ktap_test kunit-repeats-the-test-of-a-parameter says \
	"again: make test SUITE=kunit@switch TEST='hmm.hmm_decide'" \
	"0 1 0" kunit@switch 1 "$v" 1..1 '    # Subtest: hmm' '    1..1' \
	'        # Subtest: hmm_decide' '        1..1' '        not ok 1 no consent' \
	'    not ok 1 hmm_decide' 'not ok 1 hmm'

# Of those that TEST names
names='*.munmap'
ktap_test only-those-named judge "1 0 0" recorded 0 "$v" 1..1 'ok 1 dma.munmap'
ktap_test none-named judge "0 1 0" x 1 "$v" 1..0
ktap_test ignores-the-names says 'x: other: not one of' "1 1 0" x 0 "$v" 1..2 \
	'ok 1 dma.munmap' 'ok 2 other'
ktap_end
