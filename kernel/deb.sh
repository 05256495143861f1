#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Build Debian packages of our kernel in build/deb.
#
#   CONFIG=file       the configuration of the machine that is to run it
#                     (default: the newest /boot/config-*)
#
# kernel/configs/integrate.config goes on top. The keys that a distribution
# signs with, which nobody else has, and debug information are left out.
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/layout.sh"
. "$PF_ROOT/kernel/kbuild.sh"

fragment=$PF_ROOT/kernel/configs/integrate.config
out=$PF_BUILD/kernel-deb
packages=$PF_BUILD/deb

config=${CONFIG:-$(find /boot -maxdepth 1 -name 'config-*' 2>/dev/null |
	sort -V | tail -n 1)}
[ -n "$config" ] || die "$E_USAGE" "this machine has no /boot/config-*;" \
	"name one: make deb CONFIG=file"
[ -f "$config" ] || die "$E_USAGE" "CONFIG=$config: no such file"

# deb_config: that configuration with the fragment over it
deb_config() {
	cp "$config" "$out/.config"
	(cd "$TREE" &&
	 scripts/config --file "$out/.config" --set-str SYSTEM_TRUSTED_KEYS '' \
		--set-str SYSTEM_REVOCATION_KEYS '' \
		--enable DEBUG_INFO_NONE --disable DEBUG_INFO \
		--disable DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT \
		--disable DEBUG_INFO_DWARF4 --disable DEBUG_INFO_DWARF5 &&
	 scripts/kconfig/merge_config.sh -m -Q -O "$out" "$out/.config" "$fragment")
	kmake "$TREE" "$out" olddefconfig
}

"$PF_ROOT/kernel/tree.sh"
kernel_env "$PF_ROOT"
need_space "$PF_BUILD" 12000 "a distribution's kernel"
mkdir -p "$out"
rm -rf "$packages"
say "    configuration: $config"
run "$E_BUILD" config-deb deb_config
verify_config "$out/.config" "$fragment"
# It writes the packages next to the objects.
run "$E_BUILD" kernel-deb kmake "$TREE" "$out" bindeb-pkg
mkdir -p "$packages"
find "$PF_BUILD" -maxdepth 1 -name 'linux-*.deb' -newer "$out/.config" \
	-exec mv {} "$packages/" \;
rm -f "$PF_BUILD"/linux-*.buildinfo "$PF_BUILD"/linux-*.changes
find "$packages" -name '*.deb' | sort
[ -n "$(find "$packages" -name 'linux-image-*.deb')" ] ||
	die "$E_BUILD" "make bindeb-pkg made no linux-image-*.deb"
