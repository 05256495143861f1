#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# trace.sh CONSOLE_LOG KLOG VMLINUX: prints the first report of a kernel log
# that lab/klog-gate.sh objects to (KLOG is what it has printed), its addresses
# decoded by the kernel tree's own scripts/decode_stacktrace.sh. That needs a
# vmlinux with debug info; without, functions and offsets are all that is known.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

console=$1 klog=$2 vmlinux=$3
decode=$PF_BUILD/linux/scripts/decode_stacktrace.sh

first=$(grep -v '^[0-9]*: log incomplete' "$klog" | sed -n 's/^\([0-9]*\): .*/\1/p' |
	head -n 1)
[ -n "$first" ] || exit 0
# "cut here" is the line before.
report=$(awk -v first=$((first > 1 ? first - 1 : 1)) '
	{ sub(/\r$/, "") }
	NR < first { next }
	/peerfault-lab: / || NR > first + 60 { exit }
	NR == first && !/cut here/ { next }
	{ print }
	/---\[ end (trace|Kernel panic)/ { exit }' "$console")
if [ -x "$decode" ] && readelf -S --wide "$vmlinux" 2>/dev/null | grep -q '\.debug_line'; then
	timeout 120 "$decode" "$vmlinux" <<<"$report" 2>&1 || printf '%s\n' "$report"
else
	printf '%s\n' "$report"
	echo "(no file and line: $vmlinux has no debug info; KERNEL=debug has)"
fi
