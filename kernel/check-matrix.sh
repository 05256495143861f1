#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build what the series touches, in the configurations that the lab never
# boots: W=1, sparse and Coccinelle, and no warning that the base does not have.
# KTAP on stdout, each result also on stderr, at once.
# Usage: check-matrix.sh [NAME...]   (those of the list below, listed, cocci;
# default: all)
#
# The base is only built where the patched tree warns. `adapted` is our tree with
# the patches of kernel/adapt, which make room for series in flight.
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
# shellcheck source=SCRIPTDIR/layout.sh
. "$PF_ROOT/kernel/layout.sh"
# shellcheck source=SCRIPTDIR/kbuild.sh
. "$PF_ROOT/kernel/kbuild.sh"

# NAME ARCH SPARSE FRAGMENT...: on top of base, peerfault and check.config
builds='
all        x86_64 C=1
no-p2pdma  x86_64 C=0 no-p2pdma
no-private x86_64 C=0 no-private
no-thp     x86_64 C=0 no-thp
no-odp     x86_64 C=0 no-odp
no-hmm     x86_64 C=0 no-hmm
arm64      arm64  C=1
arm64-none arm64  C=0 no-p2pdma no-private no-thp no-odp
i386       i386   C=0 i386
adapted    x86_64 C=0
'
configs=$PF_ROOT/kernel/configs
base=$PF_BUILD/linux-base
# Debian's sparse is older than the kernel's headers: it has no
# __typeof_unqual__, and cannot fold the __builtin_strlen() of module_param().
sparse='sparse -D__typeof_unqual__=__typeof__'

# nothing FILE: FILE is what was found, nothing is good
nothing() {
	cat "$1"
	[ ! -s "$1" ]
}

# result NAME FILE
result() {
	ktap_test "$1" nothing "$2"
}

# warnings LOG: without the line numbers, which patches move
warnings() {
	grep -E '(^|[ :])(warning|error): ' "$1" |
		grep -v 'error: bad constant expression$' |
		sed -E 's/^(\.\.\/)*//; s/:[0-9]+(:[0-9]+)?:/:/g; s#^.*/linux(-base)?/##' |
		sort -u || :
}

# build SRC OUT SPARSE OBJECT...: all of them anew, since only a compiler warns
build() {
	local src=$1 out=$2 sparse_too=$3
	shift 3
	(cd "$out" && rm -f "$@")
	kmake "$src" "$out" prepare >/dev/null 2>&1 &&
		kmake "$src" "$out" -k W=1 "$sparse_too" CHECK="$sparse" "$@"
}

# check_build NAME ARCH SPARSE FRAGMENT...
check_build() {
	local name=$1 out=$PF_BUILD/matrix/$1 log=$PF_LOG/matrix-$1.log i
	local fragments=() off=() objects=() old=() sparse_too=$3 src=$TREE
	export ARCH=$2 CROSS_COMPILE=
	[ "$ARCH" != arm64 ] || CROSS_COMPILE=aarch64-linux-gnu-
	shift 3
	for i; do off+=("$configs/without/$i.config"); done
	fragments=("$configs/base.config" "$configs/peerfault.config"
		   "$configs/check.config" "${off[@]}")

	if [ "$name" = adapted ]; then
		src=$PF_BUILD/matrix/linux
		side_tree "$src" "$(tgit rev-parse HEAD)" >&2
		git -C "$src" apply "$PF_ROOT"/kernel/adapt/*.patch
	fi
	configure "$src" "$out" "${fragments[@]}" >"$log" 2>&1
	[ ${#off[@]} -eq 0 ] || verify_config "$out/.config" "${off[@]}"
	mapfile -t objects < <(built_objects "$src" "$out/.config")
	build "$src" "$out" "$sparse_too" "${objects[@]}" >>"$log" 2>&1 || :
	{
		warnings "$log"
		for i in "${objects[@]}"; do
			[ -f "$out/$i" ] || echo "$i was not built, see $log"
		done
	} | sort >"$found"
	if [ -s "$found" ]; then
		configure "$base" "$out-base" "${fragments[@]}" >"$log.base" 2>&1
		mapfile -t old < <(built_objects "$base" "$out-base/.config")
		build "$base" "$out-base" "$sparse_too" "${old[@]}" >>"$log.base" 2>&1 || :
		warnings "$log.base" | sort | comm -23 "$found" - >"$found.new"
		mv "$found.new" "$found"
	fi
	result "$name: ${#objects[@]} objects" "$found"
}

# What is touched and in no build is not checked.
check_listed() {
	unlisted_sources "$found.c" >"$found"
	built_objects "$TREE" "$PF_BUILD/matrix/all/.config" | wc -l |
		grep -qx "$(grep -vc '^#' "$PF_ROOT/kernel/objects")" ||
		echo "the build 'all' leaves out an object of kernel/objects" >>"$found"
	result "all touched files are built" "$found"
}

# Coccinelle's reports on the touched files, less those on the base's
check_cocci() {
	command -v spatch >/dev/null || die "$E_PACKAGE" "no spatch"
	export -f cocci cocci_new
	export TREE base
	xargs -P "$(nproc)" -I FILE bash -euc 'cocci_new FILE' <"$found.c" >"$found"
	result coccicheck "$found"
}

cocci_new() {
	local now
	now=$(cocci "$TREE" "$1")
	[ -z "$now" ] || comm -23 <(echo "$now") <(cocci "$base" "$1")
}

# cocci SRC FILE
cocci() {
	local rule
	[ -f "$1/$2" ] || return 0
	(cd "$1" && find scripts/coccinelle -name '*.cocci' | while read -r rule; do
		grep -q '^virtual report' "$rule" || continue
		timeout 60 spatch -D report --very-quiet --no-show-diff \
			--cocci-file "$rule" --no-includes "$2" 2>/dev/null || :
	 done) | sed -E 's/:[0-9]+(-[0-9]+)?(:[0-9]+)?:?/:/; s/ on line [0-9]+//' | sort -u
}

"$PF_ROOT/kernel/tree.sh" >&2
kernel_env "$PF_ROOT"
base_tree
mkdir -p "$PF_BUILD/matrix" "$PF_LOG"
found=$PF_BUILD/matrix/found

touched_sources >"$found.c"
want() {
	[ -z "$wanted" ] || [[ " $wanted " == *" $1 "* ]]
}
wanted="$*"

ktap_log=/dev/stderr
ktap_begin
while read -r name arch sparse_too fragments; do
	[ -n "$name" ] || continue
	want "$name" || continue
	# shellcheck disable=SC2086 # a list of names
	check_build "$name" "$arch" "$sparse_too" $fragments
done <<<"$builds"
if want listed; then check_listed; fi
if want cocci; then check_cocci; fi
[ "$ktap_n" -gt 0 ] || die "$E_USAGE" "there is no $*"
ktap_end
