#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: measures what BENCH names (migrate, alias, transfer; default: all) on the
# base kernel and on ours, prints the tables and writes them with their environment
# to build/bench/NAME.md. Whoever publishes them copies those to docs/results. The
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

benches=${BENCH:-migrate alias transfer}
for bench in $benches; do
	case $bench in
	migrate | alias | transfer) ;;
	*) die "$E_USAGE" "no BENCH '$bench'; there are: migrate alias transfer" ;;
	esac
done
topologies=("${TOPOLOGY:-switch}")
[[ " $benches " != *' transfer '* ]] || topologies=(switch mlx5)
"$LAB/build.sh" base normal "${topologies[@]}"
kernel_env "$PF_ROOT"

# program SOURCE OBJECTS DIR: $bench, with the modules for that kernel in it
program() {
	local symbols=$2/vmlinux.symvers
	local -a with=()
	mkdir -p "$3"
	case $bench,$kernel in
	transfer,base)
		kmake "$1" "$2" modules_prepare
		stock_ivgpu "$@"
		with=("$2/drivers/gpu/drm/drm_gpusvm_helper.ko" "$3/ivgpu/ivgpu.ko") ;;
	transfer,*) ;;
	*)
		cp -u "$PF_ROOT"/bench/Kbuild "$PF_ROOT"/bench/*.[ch] "$3/"
		kmake "$1" "$2" modules_prepare
		# All that a kernel exports whose own modules were built, vmlinux included
		[ ! -s "$2/Module.symvers" ] || symbols=
		kmake "$1" "$2" M="$3" KBUILD_EXTRA_SYMBOLS="$symbols" modules
		with=("$3/${bench}_bench.ko") ;;
	esac
	loaded ${with[0]+"${with[@]}"} >"$3/modules.s"
	make -s -C "$PF_ROOT/bench" OUT="$3" "$3/$bench-bench"
}

# stock_ivgpu SOURCE OBJECTS DIR: the exporter for the base kernel, which has it not
stock_ivgpu() {
	rm -rf "$3/ivgpu"
	cp -r "$FILES/drivers/gpu/drm/ivgpu" "$3/ivgpu"
	git -C "$3/ivgpu" apply -p1 "$PF_ROOT/bench/ivgpu-base.patch"
	kmake "$1" "$2" drivers/gpu/drm/drm_gpusvm_helper.ko
	kmake "$1" "$2" M="$3/ivgpu" CONFIG_DRM_IVGPU=m modules
}

# loaded FILE...: what guest.c loads, as an assembler's source
loaded() {
	local file
	printf '\t.section .rodata\n\t.globl modules, modules_end\nmodules:\n'
	for file; do
		printf '\t.balign 8\n\t.quad 2f - 1f\n1:\t.incbin "%s"\n2:\n' "$file"
	done
	printf 'modules_end:\n\t.section .note.GNU-stack, "", @progbits\n'
}

# guest DIR ARG...: one run of the program on $kernel
guest() {
	local dir=$1
	shift
	step "$bench on $kernel${1:+, $*}"
	ACCEL=${accel:-icount} "$LAB/run.sh" -q -k "$kernel" -T 900 -o "$objects/$dir" \
		-t "${topology:-${TOPOLOGY:-switch}}" \
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
		case $bench in
		transfer) transfers ;;
		migrate)
			guest run
			counted "$out" ;;
		*) guest run ;;
		esac
	done
}

# transfers: a boot for each row, most with mlx5 on a model. Some count no
# instructions, and want two CPUs.
transfers() {
	local row
	for row in F1 F5 F7; do
		topology=mlx5 guest "mlx5-$row" with-mlx5 "$row"
	done
	# These are not compared with the base kernel.
	if [ "$kernel" != base ]; then
		topology=mlx5 guest mlx5-F11 with-mlx5 F11
		accel=tcg topology=mlx5 guest mlx5-F6 with-mlx5 F6
	fi
	for row in F9 F12; do
		accel=tcg topology=switch guest "rxe-$row" with-rxe "$row"
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
