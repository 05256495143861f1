#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# unit.sh: what peerfault-verify makes of memory, and of its arguments, with ASan
# and UBSan. KTAP.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$root/scripts/ktap.sh"
out=$root/build/tools-sanitize
program=$out/peerfault-verify
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# ends CODE ARG...: how the program ends; what it says is in $said
ends() {
	local rc=0
	"$program" "${@:2}" >"$said" 2>&1 || rc=$?
	cat "$said"
	[ "$rc" -eq "$1" ]
}

usage() {
	ends 2 && ends 2 mlx5_0 && ends 2 mlx5_0 0000:03:00.0 0 &&
		ends 2 mlx5_0 0000:03:00.0 3601 && ends 2 mlx5_0 0000:03:00.0 5x &&
		ends 0 --help && grep -q '^usage: peerfault-verify ' "$said" &&
		ends 0 --version && grep -qx "peerfault-verify $(cat "$root/VERSION")" "$said"
}

no_device() {
	ends 1 no-such-device ffff:1f:1f.7 5 &&
		grep -q '^untried no-such-device cannot be used: ' "$said"
}

ktap_begin
ktap_need build make -s -C "$here/.." SANITIZE=1 all "$out/words_test"
ktap_suite memory "$out/words_test"
ktap_test usage usage
ktap_test no_device no_device
ktap_end
