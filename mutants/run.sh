#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh [NN]...: puts each bug of mutants/NN-NAME.patch, or only of these, into
# the kernel tree or the repository, one at a time, and runs the test that has to
# see it. Exit code 1 if one stays green, or cannot be tried.
#
# A patch begins with what it breaks. Then:
#
#	Apply: tree | repo	build/linux, or this repository
#	Expect: SUITE GLOB	make test SUITE=... TEST=... must be red by a test

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
cd "$PF_ROOT"

field() {
	sed -n "s/^$1: //p" "$2" | head -n 1
}

# mutant FILE: whether the tests see it
mutant() {
	local file=$PF_ROOT/$1 dir suite glob log rc=0
	case $(field Apply "$file") in
	tree) dir=$PF_BUILD/linux ;;
	repo) dir=$PF_ROOT ;;
	*) die "$E_USAGE" "$1: Apply is neither tree nor repo" ;;
	esac
	read -r suite glob < <(field Expect "$file")
	log=$PF_LOG/${1##*/}.log
	git -C "$dir" apply "$file" || return 1
	# shellcheck disable=SC2064 # now
	trap "git -C '$dir' apply -R '$file'" EXIT
	make test SUITE="$suite" TEST="$glob" >"$log" 2>&1 || rc=$?
	git -C "$dir" apply -R "$file"
	trap - EXIT
	# Not what cannot be built, or has no such test
	[ "$rc" -ne 0 ] && grep -q '^    .*: failed$' "$log"
}

green=0 files=()
mkdir -p "$PF_LOG"
[ $# -gt 0 ] || files=(mutants/*.patch)
for number; do
	files+=(mutants/"$number"-*.patch)
done
for file in "${files[@]}"; do
	if mutant "$file"; then
		say "red   $file"
	else
		say "GREEN $file: see $PF_LOG/${file##*/}.log"
		green=$((green + 1))
	fi
done
[ "$green" -eq 0 ] || exit "$E_FAIL"
