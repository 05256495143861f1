#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh KERNEL... [TOPOLOGY...]: brings up to date what a boot needs: those
# kernels, with modules if one of the topologies loads any, the devices of those
# topologies (build/devices), the tools (build/tools), the kernel tree's selftests
# (build/selftests/install) and the lab's own jobs (build/jobs). A normal kernel
# that the variable KERNEL names by its path is not built. LAB_NO_BUILD=1 takes
# what is there.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
. "$PF_ROOT/lab/topology.sh"

[ -z "${LAB_NO_BUILD:-}" ] || exit 0
linux=$PF_BUILD/linux
kernels=()
while [[ -n ${1:-} && " $PF_KERNELS " == *" $1 "* ]]; do
	kernels+=("$1")
	shift
done
goal=bzImage
[ -z "$(topology_modules "$@")" ] || goal=modules
for kernel in "${kernels[@]}"; do
	image=$(kernel_image "$kernel")
	case $kernel,${KERNEL:-} in
	normal,*/*)
		[ -f "$image" ] || die "$E_USAGE" "KERNEL=$image: no such file"
		"$PF_ROOT/kernel/tree.sh" ;;
	*) KERNEL=$kernel "$PF_ROOT/kernel/build.sh" "$goal" ;;
	esac
done
mapfile -t models < <(topology_models "$@")
[ "${#models[@]}" -eq 0 ] || "$PF_ROOT/devices/build.sh" "${models[@]}"
run "$E_BUILD" tools make -C "$PF_ROOT/tools"

# The selftests want the tree's own uapi headers; the tools have made them.
objects=$PF_BUILD/selftests/obj installed=$PF_BUILD/selftests/install
selftest() {
	dir=$1
	shift
	mkdir -p "$objects/$dir"
	make -s -j "$(nproc)" -C "$linux/tools/testing/selftests/$dir" top_srcdir="$linux" \
		OUTPUT="$objects/$dir" KHDR_INCLUDES="-isystem $PF_BUILD/headers/usr/include" "$@"
}
selftests() {
	selftest mm "$objects/mm/hmm-tests"
	# What is installed is what there is now, and not a test of another name.
	rm -rf "$installed"
	install -D "$objects/mm/hmm-tests" "$installed/mm/hmm-tests"
	selftest hmm_alias INSTALL_PATH="$installed/hmm_alias" all install
	make -s -j "$(nproc)" -C "$LAB/jobs" LINUX="$linux" HEADERS="$PF_BUILD/headers" \
		OUT="$PF_BUILD/jobs"
	make -s -C "$LAB/torture" LINUX="$linux" HEADERS="$PF_BUILD/headers" \
		OUT="$PF_BUILD/jobs"
}
export -f selftest selftests
export linux objects installed PF_BUILD LAB
run "$E_BUILD" selftests bash -euc selftests
