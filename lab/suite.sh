#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# suite.sh DIR LINE: runs one suite for lab/test.sh and prints its verdict.
# LINE: "item<TAB>kernel<TAB>topology<TAB>seconds<TAB>command".
#
# Leaves in DIR: ITEM.ktap (what it printed), ITEM.err (its errors), ITEM/
# (console log and files of its guest), ITEM.counts ("PASSED FAILED SKIPPED").
#
# lab/expect/NAME.klog excuses what a suite provokes in the kernel log.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/lab/lib.sh"

results=$1 begin=$SECONDS rc=0
IFS=$'\t' read -r item kernel topology limit command <<<"$2"
ktap=$results/$item.ktap err=$results/$item.err
step "$item"
# shellcheck disable=SC2086 # the table's commands are plain words
if [ "$kernel" = host ]; then
	: >"$ktap"
	beat "$item" "$ktap" &
	beat=$!
	timeout -k 5 "$limit" $command >"$ktap" 2>"$err" </dev/null || rc=$?
	kill "$beat"
	wait "$beat" 2>/dev/null || :
else
	excuses=()
	[ ! -f "$LAB/expect/${item%@*}.klog" ] ||
		excuses=(-x "$LAB/expect/${item%@*}.klog")
	"$LAB/run.sh" -q -t "$topology" -k "$kernel" -T "$limit" \
		"${excuses[@]}" -o "$results/$item" -- $command 2>"$err" </dev/null || rc=$?
	cp "$results/$item/out" "$ktap" 2>/dev/null || : >"$ktap"
fi
report=$("$LAB/judge.py" "$PF_BUILD/linux/tools/testing/kunit/kunit.py" \
	"$LAB/expect" "$item" "$ktap" "$rc") || :
counts=${report##*$'\n'}
case $counts in
*[0-9]' '[0-9]*' '[0-9]*) ;;
*)	say "$report"
	die "$E_FAIL" "lab/judge.py gave no verdict on $item" ;;
esac
read -r passed failed skipped <<<"$counts"
# At once, because another suite may be printing as well
say "$(
	[ "$report" = "$counts" ] || say "${report%$'\n'*}"
	if [ "$failed" -gt 0 ]; then
		[ ! -s "$err" ] || tail -n 40 "$err" | sed 's/^/    | /'
		say "    see $ktap"
	fi
	say "    $item: $passed passed, $failed failed, $skipped skipped, $((SECONDS - begin)) s"
)"
echo "$counts" >"$results/$item.counts"
