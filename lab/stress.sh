#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# stress.sh: races everything with everything on the debug kernel, with all data
# verified, and fails on any report in the kernel log.
#
#	STRESS_SECONDS=n	for so long (default: 600)
#	STRESS_SEED=n		what the threads do (default: another each time)
#	KERNEL=name		on that kernel instead
#	LAB_NO_BUILD=1		build nothing, take what is there
#
# Output, console log and files are left in build/stress.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"

export KERNEL="${KERNEL:-debug}"
seconds=${STRESS_SECONDS:-600} kernel=$(kernel_name)
seed=${STRESS_SEED:-$(date +%s)}
"$PF_ROOT/lab/build.sh" "$kernel" "${TOPOLOGY:-switch}"
step "stress on $kernel, $seconds s, seed $seed"
# It takes some time to start, and to end when a thread is stuck.
"$PF_ROOT/lab/run.sh" -k "$kernel" -T $((seconds + 600)) -o "$PF_BUILD/stress" \
	-- with-rxe with-swap stress "$seconds" "$seed" || {
	rc=$?
	[ ! -s "$PF_BUILD/stress/trace" ] || sed 's/^/    /' "$PF_BUILD/stress/trace" >&2
	die "$rc" "stress failed, see $PF_BUILD/stress;" \
		"again: make stress KERNEL=$KERNEL STRESS_SECONDS=$seconds STRESS_SEED=$seed"
}
