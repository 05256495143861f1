#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: measures what BENCH names (migrate, alias; default: both) on the base
# kernel and on ours, prints the tables and writes them with their environment to
# build/bench/NAME.md. Whoever publishes them copies those to docs/results. The
# guests count instructions (ACCEL=icount), so that the numbers do not depend on
# the machine and hardly on the run.
#
#	LAB_NO_BUILD=1	build no kernel, take what is there

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
# shellcheck source=lab/topology.sh
. "$PF_ROOT/lab/topology.sh"
# shellcheck source=kernel/layout.sh
. "$PF_ROOT/kernel/layout.sh"
# shellcheck source=kernel/kbuild.sh
. "$PF_ROOT/kernel/kbuild.sh"

benches=${BENCH:-migrate alias}
for bench in $benches; do
	[ -f "$PF_ROOT/bench/${bench}_bench.c" ] ||
		die "$E_USAGE" "no BENCH '$bench'; there are: migrate alias"
done
"$LAB/build.sh" base normal
kernel_env "$PF_ROOT"

# program SOURCE OBJECTS DIR: the module for that kernel, in its program
program() {
	local symbols=$2/vmlinux.symvers
	# All that a kernel exports whose own modules were built, vmlinux included
	[ ! -s "$2/Module.symvers" ] || symbols=
	mkdir -p "$3"
	cp -u "$PF_ROOT"/bench/Kbuild "$PF_ROOT"/bench/*.[ch] "$3/"
	kmake "$1" "$2" modules_prepare
	kmake "$1" "$2" M="$3" KBUILD_EXTRA_SYMBOLS="$symbols" modules
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -isystem "$PF_BUILD/headers/usr/include" \
		-DMODULE="\"$3/${bench}_bench.ko\"" -o "$3/$bench-bench" "$3/$bench.c" "$3/guest.c"
}

# guest DIR ARG...: one run of the program on $kernel
guest() {
	local dir=$1
	shift
	step "$bench on $kernel${1:+, $*}"
	ACCEL=icount "$LAB/run.sh" -q -k "$kernel" -T 600 -o "$objects/$dir" \
		-x "$PF_ROOT/bench/module-taint.allow" -- "$objects/$bench-bench" "$@" || {
		rc=$?
		tail -n 3 "$objects/$dir/out" >&2
		die "$rc" "$bench on $kernel failed, see $objects/$dir"
	}
}

# counted DIR: once more, for migrate. QEMU logs each block of code that it
# enters at one of these addresses: all of them, because it does not chain blocks.
counted() {
	cp "$1/System.map" "$objects/"
	filter=$("$PF_ROOT/bench/report.py" "$objects/System.map")
	QEMU_ARGS="-d exec,nochain -D $objects/exec.log -dfilter $filter" guest once once
}

# measure: $bench on both kernels
measure() {
	for kernel in base normal; do
		objects=$PF_BUILD/bench/$bench-$kernel
		case $kernel in
		base) src=$PF_BUILD/linux-base out=$PF_BUILD/kernel-base ;;
		normal) src=$TREE out=$PF_BUILD/kernel-normal ;;
		esac
		run "$E_BUILD" "bench-$bench-$kernel" program "$src" "$out" "$objects"
		guest run
		[ "$bench" != migrate ] || counted "$out"
	done
}

mkdir -p "$PF_BUILD/bench/machine"
topology_read "${TOPOLOGY:-switch}" "$PF_BUILD/bench/machine"
for bench in $benches; do
	begin=$SECONDS
	measure
	case $bench in
	migrate) report=report.py ;;
	*) report=${bench}_report.py ;;
	esac
	"$PF_ROOT/bench/$report" "$PF_BUILD/bench/$bench"-{base,normal} \
		"$PF_BUILD/bench/$bench" \
		"our series=commit $(git -C "$PF_ROOT" rev-parse --short=12 HEAD), $(find "$PATCHES" -name '*.patch' | wc -l) patches" \
		"kernel configuration=kernel/configs/base.config, for ours with peerfault.config" \
		"machine=$cpu, one CPU, $(qemu-system-x86_64 --version | sed -n 's/ version / /; s/ (.*//; 1p'), TCG with -icount shift=0" \
		"compiler=$(gcc --version | head -n 1)" \
		"date=$(date -u +%Y-%m-%d)"
	say "    $bench: $((SECONDS - begin)) s"
done
