#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftest.sh: every model compiles without a warning, QEMU takes it, and one that
# was compiled with other headers than QEMU's is refused. KTAP on stdout.

set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

devices=$PF_ROOT/devices
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# models: the directories of devices/ that have one
models() {
	grep -lE '^#define TYPE_[A-Z0-9]+ +"[a-z0-9]+-model"' "$devices"/*/*.h |
		sed "s|^$devices/||; s|/.*||" | sort -u
}

# asks DIR MODEL: QEMU with the model of DIR, about its properties. All that the
# model calls is looked up first.
asks() {
	LD_BIND_NOW=1 LD_PRELOAD=$1/$2-model.so qemu-system-x86_64 -device "$2-model,help" </dev/null 2>&1
}

takes() {
	asks "$PF_BUILD/devices" "$1" | grep "^  addr="
}

# refuses MODEL: compiled with a DeviceState that is larger than QEMU's
refuses() {
	local headers said
	headers=$("$devices/headers.sh")
	mkdir -p "$work/include/hw"
	sed 's/^struct DeviceState {/&\n    char larger[64];/' \
		"$headers/include/hw/qdev-core.h" >"$work/include/hw/qdev-core.h"
	make -s -C "$devices" MODEL="$1" QEMU="$headers" OUT="$work" \
		LINUX="$PF_BUILD/linux" EXTRA="-isystem $work/include" || return
	! said=$(asks "$work" "$1") || { echo "taken: $said"; return 1; }
	echo "$said"
	[[ $said == *"refused: built for QEMU "*" this is QEMU "* ]]
}

mapfile -t all < <(models)
[ "${#all[@]}" -gt 0 ] || die "$E_FAIL" "no model found in devices/"
ktap_begin $((3 * ${#all[@]}))
for model in "${all[@]}"; do
	ktap_test "$model compiles" "$devices/build.sh" "$model"
	ktap_test "QEMU takes $model" takes "$model"
	ktap_test "$model with other headers is refused" refuses "$model"
done
ktap_end || exit "$E_FAIL"
