# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# Shared by the lab's host scripts. Sourced after scripts/common.sh.

LAB=$PF_ROOT/lab
LAB_BUILD=$PF_BUILD/lab
TOPOLOGIES=${LAB_TOPOLOGIES:-$LAB/topologies}	# lab/selftest has its own

# closure FILE...: the shared libraries that these programs load, one a line
closure() {
	# ldd calls a static program and a script an error. Neither is one.
	{ ldd "$@" 2>/dev/null || :; } |
		awk '$2 == "=>" && $3 ~ /^\// { print $3 }
		     $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u
}

# pack DIR OUT: DIR as a cpio archive, the same bytes for the same content
pack() {
	find "$1" -exec touch -h -d @0 {} +
	(cd "$1" && find . | LC_ALL=C sort |
		cpio -o -H newc -R 0:0 --reproducible --quiet) >"$2"
}

# topology_names: every topology, one a line
topology_names() {
	(cd "$TOPOLOGIES" && printf '%s\n' *)
}

# kernel_image KIND: where kernel/build.sh puts that kernel
kernel_image() {
	case $1 in
	normal) echo "$PF_BUILD/kernel-normal/arch/x86/boot/bzImage" ;;
	debug) echo "$PF_BUILD/kernel-debug/arch/x86/boot/bzImage" ;;
	base) echo "$PF_BUILD/kernel-base/arch/x86/boot/bzImage" ;;
	esac
}
