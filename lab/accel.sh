#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# accel.sh [KERNEL]: prints what ACCEL=auto means here: kvm where it boots Linux,
# else tcg. A host may have /dev/kvm and yet not boot Linux with it, so that lab
# kernel is booted to find out, once for each boot of the host and each QEMU. What
# it said is left in build/lab/accel.log.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/lab/guest.sh"

kernel=${1:-$(kernel_name)}
{ [ -r /dev/kvm ] && [ -w /dev/kvm ]; } || { echo tcg; exit 0; }
image=$(kernel_image "$kernel")
[ -f "$image" ] || die "$E_BUILD" "$image is not built (make kernel)"

mkdir -p "$LAB_BUILD"
exec 9>"$LAB_BUILD/accel.lock"
flock 9
answer=$LAB_BUILD/accel.here
here=$(cat /proc/sys/kernel/random/boot_id
       qemu-system-x86_64 --version | head -n 1)
if [ "$(sed 1d "$answer" 2>/dev/null)" = "$here" ]; then
	head -n 1 "$answer"
	exit 0
fi
accel=tcg
if ACCEL=kvm TOPOLOGY=switch TEST='' QEMU_ARGS='' "$LAB/run.sh" -q -k "$kernel" \
	-T 20 -o "$LAB_BUILD/accel" -- true >"$LAB_BUILD/accel.log" 2>&1 9>&-; then
	accel=kvm
fi
printf '%s\n' "$accel" "$here" >"$answer"
echo "$accel"
