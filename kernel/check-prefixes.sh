#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the objects that the series touch (kernel/objects) as of commits of
# build/linux; no compiler may warn. In the end each touched file was compiled.
# KTAP on stdout, each result also on stderr, at once.
# Usage: check-prefixes.sh [heads|all]
#
#   heads   (default) the last commit of each series
#   all     every commit, as a bisection would
#
# It works on build/prefixes/linux; build/linux is not touched.
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
# shellcheck source=SCRIPTDIR/layout.sh
. "$PF_ROOT/kernel/layout.sh"
# shellcheck source=SCRIPTDIR/kbuild.sh
. "$PF_ROOT/kernel/kbuild.sh"

# The same names as in build/, so that ccache knows the objects of there
work=$PF_BUILD/prefixes
src=$work/linux
out=$work/kernel-normal
log=$PF_LOG/prefixes.log
configs=$PF_ROOT/kernel/configs

# commits: "COMMIT NAME" of those to build
commits() {
	history | awk -F '|' -v mode="$mode" '
		function head() { if (mode == "heads" && series != "") print last, series }
		$3 != "" { head(); series = $3; next }
		{
			last = $1
			if (mode == "all") {
				gsub("#", " ")
				print $1, series ": " $4
			}
		}
		END { head() }'
}

# build COMMIT: without a warning
build() {
	local targets
	git -C "$src" checkout -q -f --detach "$1" || return
	# The commit before was built, and user space and text are not compiled.
	! tgit diff --quiet "$before" "$1" -- . ':!tools' ':!Documentation' || return 0
	: >"$log"
	if [ -z "$configured" ] || ! tgit diff --quiet "$before" "$1" -- '*Kconfig*'; then
		configure "$src" "$out" "$configs/base.config" \
			"$configs/peerfault.config" "$configs/check.config" \
			>"$log" 2>&1 || { log_tail "$log"; return 1; }
		configured=1
	fi
	mapfile -t targets < <(built_objects "$src" "$out/.config")
	[ "${#targets[@]}" -gt 0 ] || { echo "no object to build"; return 1; }
	kmake "$src" "$out" "${targets[@]}" >>"$log" 2>&1 ||
		{ log_tail "$log"; return 1; }
	! grep -E '(^|[ :])warning: ' "$log"
}

# What is in no build is not checked.
all_compiled() {
	touched_sources >"$work/touched"
	built_objects "$src" "$out/.config" | missing_sources "$work/touched" >"$work/missing"
	sed 's/$/ was not compiled: see kernel\/objects and check.config/' "$work/missing"
	[ -s "$work/touched" ] && [ ! -s "$work/missing" ]
}

mode=${1:-heads}
case $mode in
heads | all) ;;
*) die "$E_USAGE" "usage: check-prefixes.sh [heads|all]" ;;
esac
"$PF_ROOT/kernel/tree.sh" >&2
kernel_env "$work"
side_tree "$src" base >&2
before=base
configured=
ktap_log=/dev/stderr
ktap_begin
while read -r commit name; do
	ktap_test "builds: $name" build "$commit" </dev/null
	before=$commit
done < <(commits)
ktap_test "all touched files are compiled" all_compiled
ktap_end
