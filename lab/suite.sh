#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# suite.sh DIR LINE: runs one suite for lab/test.sh and prints its verdict.
# LINE: "ITEM KERNEL TOPOLOGY SECONDS ALLOW COMMAND", TABs in between.
#
# Leaves in DIR: ITEM.ktap (what it printed), ITEM.err (its errors), ITEM/
# (console log and files of its guest), ITEM.counts ("PASSED FAILED SKIPPED").

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
cd "$PF_ROOT"

results=$1 begin=$SECONDS rc=0
IFS=$'\t' read -r item kernel topology limit allow command <<<"$2"
ktap=$results/$item.ktap err=$results/$item.err
read -ra command <<<"$command"
step "$item"
if [ "$kernel" = host ]; then
	: >"$ktap"
	beat "$item" "$ktap" &
	beat=$!
	# For those that boot guests of their own
	LAB_OUT=$results/$item timeout -k 5 "$limit" "${command[@]}" >"$ktap" 2>"$err" \
		</dev/null || rc=$?
	kill "$beat"
	wait "$beat" 2>/dev/null || :
else
	args=(-q -t "$topology" -k "$kernel" -T "$limit" -o "$results/$item")
	[ "$allow" = - ] || args+=(-x "$LAB/allow/$allow.allow")
	if [ -n "${TEST:-}" ]; then
		# KUnit takes SUITE.TEST, and not what a parameter adds.
		args+=(-a "kunit.filter_glob=$(cut -d . -f 1,2 <<<"$TEST")")
	fi
	"$LAB/run.sh" "${args[@]}" -- "${command[@]}" 2>"$err" </dev/null || rc=$?
	cp "$results/$item/out" "$ktap" 2>/dev/null || : >"$ktap"
fi
report=$("$LAB/judge.py" "$item" "$ktap" "$rc") || :
counts=${report##*$'\n'}
case $counts in
*[0-9]' '[0-9]*' '[0-9]*) ;;
*)	say "$report"
	die "$E_FAIL" "lab/judge.py gave no verdict on $item" ;;
esac
read -r passed failed skipped <<<"$counts"

# explain: where to look further, and the first report of the guest's kernel
explain() {
	local dir=${results#"$PF_ROOT/"}/$item vmlinux with=''
	if [ "$kernel" = host ]; then
		say "      log:   ${ktap#"$PF_ROOT/"}, ${err#"$PF_ROOT/"}"
		find "$results/$item" -name console.log 2>/dev/null | sort |
			sed "s|^$PF_ROOT/|             |"
		return
	fi
	[ "$kernel" = normal ] || with=" KERNEL=$kernel"
	vmlinux=$(kernel_vmlinux "$kernel")
	say "      shell: make shell TOPOLOGY=$topology$with"
	say "      log:   $dir/console.log, $dir.ktap"
	say "      gdb:   make test SUITE=$item${TEST:+ TEST=$TEST} QEMU_ARGS='-s -S'; elsewhere:" \
		"gdb ${vmlinux#"$PF_ROOT/"} -ex 'target remote :1234'"
	[ "$kernel" = debug ] || say "             (lines and variables need KERNEL=debug, which has debug info)"
	[ -s "$results/$item/trace" ] || return 0
	say "      trace, the first of the kernel log:"
	head -n 60 "$results/$item/trace" | sed 's/^/        /'
}

# At once, because another suite may be printing as well
say "$(
	[ "$report" = "$counts" ] || say "${report%$'\n'*}"
	if [ "$failed" -gt 0 ]; then
		[ ! -s "$err" ] || tail -n 40 "$err" | sed 's/^/    | /'
		explain
	fi
	say "    $item: $passed passed, $failed failed, $skipped skipped, $((SECONDS - begin)) s"
)"
echo "$counts $((SECONDS - begin))" >"$results/$item.counts"
