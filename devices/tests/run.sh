#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh MODEL [SECONDS [SEED]]: tests a model without a guest, with devices/tests/
# MODEL.py, which prints KTAP. The model is built with ASan and UBSan. The last
# test writes random commands for SECONDS.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"

[ $# -gt 0 ] || die "$E_USAGE" "usage: run.sh MODEL [SECONDS [SEED]]"
test=$PF_ROOT/devices/tests/$1.py out=$PF_BUILD/devices-asan
[ -f "$test" ] || die "$E_USAGE" "no tests of '$1' in devices/tests/"
headers=$("$PF_ROOT/devices/headers.sh")
run "$E_BUILD" "asan-$1" make -C "$PF_ROOT/devices" -j "$(nproc)" MODEL="$1" \
	QEMU="$headers" OUT="$out" LINUX="$PF_BUILD/linux" \
	CC='gcc -fsanitize=address,undefined -fno-sanitize=alignment' >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
SANITIZER=$(gcc -print-file-name=libasan.so) PYTHONDONTWRITEBYTECODE=1 \
	python3 "$test" "$out/$1-model.so" "${@:2}"
