#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh MODEL...: compiles devices/MODEL against the headers of the installed
# qemu-system-x86, to build/devices/MODEL-model.so, which lab/run.sh preloads.

set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

[ $# -gt 0 ] || die "$E_USAGE" "usage: build.sh MODEL..."
for model; do
	ls "$PF_ROOT/devices/$model"/*.c >/dev/null 2>&1 ||
		die "$E_USAGE" "no model '$model' in devices/"
done
pkg-config --exists glib-2.0 2>/dev/null ||
	die "$E_PACKAGE" "GLib's headers not found, packages pkgconf and libglib2.0-dev"
qemu=$("$PF_ROOT/devices/headers.sh")
"$PF_ROOT/kernel/tree.sh"

# What another version of the headers has left must not be taken for this one's.
out=$PF_BUILD/devices
mkdir -p "$out"
[ "$(cat "$out/headers" 2>/dev/null)" = "$qemu" ] || rm -rf "${out:?}"/*
echo "$qemu" >"$out/headers"

for model; do
	run "$E_BUILD" "device-$model" make -C "$PF_ROOT/devices" -j "$(nproc)" \
		MODEL="$model" QEMU="$qemu" OUT="$out" LINUX="$PF_BUILD/linux"
done
