#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Build the lab's kernel.
# Usage: build.sh [prepare|modules]
#
#   prepare	all that precedes the first object
#   modules	the image, and the modules of its configuration
#
#   KERNEL=normal (default)  build/kernel-normal        our tree
#   KERNEL=debug             build/kernel-debug  our tree, debug.config added
#   KERNEL=base              build/kernel-base   the base, without our options
#   KERNEL=no-p2pdma         build/kernel-no-p2pdma     our tree, without CONFIG_PCI_P2PDMA
#   KERNEL=DIR/IMAGE         no build: that image, which has to be there
#
# The image is arch/x86/boot/bzImage below that directory.
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/layout.sh"
. "$PF_ROOT/kernel/kbuild.sh"

configs=$PF_ROOT/kernel/configs
kernel=${KERNEL:-normal}
goal=${1:-bzImage}
case $goal in
bzImage|prepare) ;;
modules) "$0" ;;
*) die "$E_USAGE" "usage: build.sh [prepare|modules]" ;;
esac
[ -z "${KCONFIG:-}" ] || die "$E_USAGE" "KCONFIG=$KCONFIG is not used any more:" \
	"KERNEL=normal, debug or base"
src=$TREE
case $kernel in
*/*)
	[ "$goal" = bzImage ] || die "$E_USAGE" "KERNEL=$kernel is built already:" \
		"there is nothing to prepare, and no module"
	[ -f "$kernel" ] || die "$E_USAGE" "KERNEL=$kernel: there is no such file"
	exec "$PF_ROOT/kernel/tree.sh"
	;;
normal)
	out=$PF_BUILD/kernel-normal
	set -- base peerfault
	;;
debug)
	out=$PF_BUILD/kernel-debug
	set -- base peerfault debug
	;;
base)
	out=$PF_BUILD/kernel-base
	src=$PF_BUILD/linux-base
	set -- base unpatched
	;;
no-p2pdma)
	out=$PF_BUILD/kernel-no-p2pdma
	set -- base peerfault without/no-p2pdma
	;;
*)
	die "$E_USAGE" "KERNEL=$kernel: there are: $PF_KERNELS, or a path with a slash"
	;;
esac

"$PF_ROOT/kernel/tree.sh"
kernel_env "$PF_ROOT"
# File and line of each address, for traces and gdb: 1% of compile time, where
# DEBUG_INFO_REDUCED costs 13%.
[ "$kernel" != debug ] || export KCFLAGS=-g1

[ "$kernel" != base ] || base_tree

# Nothing to do when the tree has no edits and all else is what it was.
now=$({
	git -C "$src" rev-parse 'HEAD^{tree}'
	echo "$goal $*"
	for name; do cat "$configs/$name.config"; done
	cat "$PF_ROOT/kernel/build.sh" "$PF_ROOT/kernel/kbuild.sh" "$PF_ROOT/kernel/cc.sh"
	gcc --version
} | sha256sum)
stamp=$out/.peerfault-$goal
image=$out/arch/x86/boot/bzImage
if [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && [ -f "$image" ] &&
   [ -z "$(git -C "$src" status --porcelain)" ]; then
	exit 0
fi
rm -f "$stamp"

need_space "$PF_BUILD" 2000 "building the kernel"
fragments=
for name; do
	fragments="$fragments $configs/$name.config"
done
# shellcheck disable=SC2086 # a list of paths
run "$E_BUILD" "config-$kernel" configure "$src" "$out" $fragments
# shellcheck disable=SC2086
verify_config "$out/.config" $fragments

name=kernel-$kernel
[ "$goal" != modules ] || name=modules-$kernel
run "$E_BUILD" "$name" kmake "$src" "$out" "$goal"
[ "$goal" != prepare ] || exit 0
[ -f "$image" ] || die "$E_BUILD" "make made no $image"
# An image of edits that are undone later must not pass for one without.
[ -n "$(git -C "$src" status --porcelain)" ] || echo "$now" >"$stamp"
