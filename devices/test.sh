#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh unit [MODEL...]: tests of the models without a guest, with ASan and
# UBSan: MODEL/test/unit.c with a small stand-in for QEMU, MODEL/test/unit.py with
# the installed QEMU's qtest. The last of those writes random commands for 20 s;
# SEED=n repeats it.
# test.sh fuzz SECONDS [MODEL...]: each model's fuzz target, for so long, or for
# 10^7 inputs; what it finds is left in build/devices-test. It begins with the
# corpus in devices/MODEL/test/corpus.tar.xz.
# test.sh merge MODEL: makes that corpus anew of it and of what fuzz has found, as
# far as an input reaches what no other does.
#
# KTAP on stdout.

set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

usage() {
	die "$E_USAGE" "usage: test.sh unit [MODEL...] | fuzz SECONDS [MODEL...] | merge MODEL"
}

devices=$PF_ROOT/devices
out=$PF_BUILD/devices-test

# build MODEL PROGRAM [VARIABLE=VALUE...]
build() {
	mkdir -p "$out"
	make -s -C "$devices" MODEL="$1" QEMU="$qemu" OUT="$out" \
		LINUX="$PF_BUILD/linux" "${@:3}" "$out/$1-$2"
}

with_clang() {
	build "$1" fuzz CC=clang \
		SAN='-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all'
}

unit() {
	if [ -f "$devices/$1/test/unit.py" ]; then
		with_qtest "$1"
	else
		build "$1" unit && "$out/$1-unit" 2>"$out/$1-unit.err"
	fi
}

with_qtest() {
	make -s -C "$devices" -j "$(nproc)" MODEL="$1" QEMU="$qemu" OUT="$out/asan" \
		LINUX="$PF_BUILD/linux" \
		CC='gcc -fsanitize=address,undefined -fno-sanitize=alignment' >&2 || return
	SANITIZER=$(gcc -print-file-name=libasan.so) PYTHONDONTWRITEBYTECODE=1 \
		PYTHONPATH=$devices/test QEMU_LOG=$out/$1-unit.err \
		python3 "$devices/$1/test/unit.py" "$out/asan/$1-model.so" 20 ${SEED:+"$SEED"}
}

# corpus MODEL: what is in the tree and what was found before, in one directory
corpus() {
	mkdir -p "$out/$1-corpus"
	[ ! -f "$devices/$1/test/corpus.tar.xz" ] ||
		tar -C "$out/$1-corpus" -xf "$devices/$1/test/corpus.tar.xz"
}

# No step of a model takes 10 s.
fuzz() {
	with_clang "$1" || return
	mkdir -p "$out/$1-found"
	corpus "$1" || return
	"$out/$1-fuzz" -max_total_time="$seconds" -runs=10000000 -max_len=4096 \
		-len_control=20 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 \
		-artifact_prefix="$out/$1-found/" "$out/$1-corpus" \
		>"$out/$1-fuzz.log" 2>&1 || {
		tail -n 40 "$out/$1-fuzz.log"
		return 1
	}
	grep -E '^stat::(number_of_executed_units|average_exec)' "$out/$1-fuzz.log" |
		sed 's/^/# /' >&2
}

merge() {
	with_clang "$1"
	corpus "$1"
	rm -rf "$out/$1-merged"
	mkdir "$out/$1-merged"
	"$out/$1-fuzz" -merge=1 -max_len=4096 "$out/$1-merged" "$out/$1-corpus" \
		>"$out/$1-merge.log" 2>&1
	tar -C "$out/$1-merged" --sort=name --owner=0 --group=0 --mtime=@0 -cJf \
		"$devices/$1/test/corpus.tar.xz" .
}

# models PROGRAM: those that have one
models() {
	(cd "$devices" && ls -d -- */test/"$1".[cp]*) | sed 's|/.*||'
}

what=${1:-} seconds=
[ $# -eq 0 ] || shift
case $what in
unit | merge) ;;
fuzz)
	seconds=${1:-}
	case $seconds in
	'' | *[!0-9]*) usage ;;
	esac
	shift ;;
*) usage ;;
esac
"$PF_ROOT/kernel/tree.sh" >&2
qemu=$("$devices/headers.sh")
if [ "$what" = merge ]; then
	[ $# -eq 1 ] || usage
	merge "$1"
	exit
fi
[ $# -gt 0 ] || mapfile -t -O 1 all < <(models "$what")
[ $# -gt 0 ] || set -- "${all[@]}"
ktap_begin $#
for model; do
	case $what in
	unit) ktap_suite "$model" unit "$model" ;;
	fuzz) ktap_test "$model" fuzz "$model" ;;
	esac
done
ktap_end || exit "$E_FAIL"
