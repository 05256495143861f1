#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh KERNEL...: brings up to date what a boot needs: those kernels, the
# tools (build/tools) and the kernel tree's selftests (build/kselftest).
# LAB_NO_BUILD=1 takes what is there.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

[ -z "${LAB_NO_BUILD:-}" ] || exit 0
linux=$PF_BUILD/linux
for kernel; do
	KERNEL=$kernel "$PF_ROOT/kernel/build.sh"
done
run "$E_BUILD" tools make -C "$PF_ROOT/tools"

# The selftests want the tree's own uapi headers; the tools have made them.
objects=$PF_BUILD/selftests
selftest() {
	dir=$1
	shift
	mkdir -p "$objects/$dir"
	make -s -C "$linux/tools/testing/selftests/$dir" top_srcdir="$linux" \
		OUTPUT="$objects/$dir" KHDR_INCLUDES="-isystem $PF_BUILD/headers/usr/include" "$@"
}
selftests() {
	selftest mm "$objects/mm/hmm-tests"
	install -D "$objects/mm/hmm-tests" "$PF_BUILD/kselftest/mm/hmm-tests"
	selftest hmm_alias INSTALL_PATH="$PF_BUILD/kselftest/hmm_alias" all install
}
export -f selftest selftests
export linux objects PF_BUILD
run "$E_BUILD" selftests bash -euc selftests
