#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Check the scripts, the patches and the overlay. KTAP on stdout, at the end;
# what was found, as diagnostics, in front of its `not ok`. Each result also on
# stderr, at once.
#
# All of it works on build/check/clone, a copy of kernel/ with a tree of its
# own: the developer's build/linux is neither needed nor touched.
#   FAST=1   leave out the builds (reported as skipped)
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/lib.sh
. "$PF_ROOT/kernel/lib.sh"

unset FORCE KERNEL
clone=$PF_BUILD/check/clone
found=$PF_BUILD/check/found
files=$clone/kernel/files
patches=$clone/kernel/patches
n=0 failed=0

# check NAME COMMAND...: one KTAP line; COMMAND's output is what it found
check() {
	local name=$1 line
	shift
	n=$((n + 1))
	if "$@" >"$found" 2>&1; then
		line="ok $n $name"
	else
		failed=$((failed + 1))
		sed 's/^/# /' "$found"
		line="not ok $n $name"
	fi
	echo "$line"
	echo "$line" >&2
}

skip() {
	n=$((n + 1))
	echo "ok $n $1 # SKIP $2"
}

# KTAP wants the plan in front of the results, and it is known last.
finish() {
	exec >&3
	echo "KTAP version 1"
	echo "1..$n"
	cat "$ktap"
}

shell_files() {
	(cd "$PF_ROOT" &&
	 find . -path ./build -prune -o -path ./.git -prune -o -type f -print |
	 while read -r file; do
		if head -n 1 "$file" | grep -qE '^(#!.*[/ ](ba)?sh( |$)|# shellcheck shell)' ||
		   [[ $file == *.sh ]]; then
			echo "$file"
		fi
	 done | sort)
}

c_shellcheck() {
	local list
	mapfile -t list < <(shell_files)
	[ "${#list[@]}" -gt 5 ] || { echo "only ${#list[@]} shell files found"; return 1; }
	(cd "$PF_ROOT" && shellcheck "${list[@]}")
}

c_codespell() {
	local dirs=() dir
	for dir in README.md docs kernel lab scripts tools demo bench; do
		[ -e "$PF_ROOT/$dir" ] && dirs+=("$PF_ROOT/$dir")
	done
	codespell -q 2 -I "$PF_ROOT/scripts/codespell.ignore" "${dirs[@]}"
}

c_anchors() {
	"$PF_ROOT/scripts/anchors.sh" "$TREE"
}

c_named() {
	"$PF_ROOT/scripts/named.sh" "$TREE"
}

c_tree() {
	# A check that was killed has left one of the prefixes there.
	[ ! -d "$clone/build/linux/.git" ] ||
		git -C "$clone/build/linux" checkout -qf peerfault || return
	(cd "$clone" && FORCE=1 kernel/tree.sh)
}

c_refresh() {
	rm -rf "$PF_BUILD/check/before"
	cp -R "$clone/kernel" "$PF_BUILD/check/before"
	"$clone/kernel/refresh.sh" || return
	diff -r "$PF_BUILD/check/before" "$clone/kernel"
}

# As anybody: who mails them signs them, and needs a name.
c_series() {
	tgit update-ref -d refs/peerfault/series
	GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=check \
	GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=check@localhost \
		"$clone/kernel/series.sh"
}

c_names() {
	local i=0 file
	for file in "$patches"/*; do
		[ -e "$file" ] || continue
		i=$((i + 1))
		[[ ${file##*/} == "$(printf '%04d' "$i")"-*.patch ]] || {
			echo "${file##*/} is not number $i"
			return 1
		}
	done
}

# ignored_types: the types in kernel/checkpatch.ignore (lines `TYPE: reason`)
ignored_types() {
	sed -n 's/^\([A-Z_]*\): ..*/\1/p' "$PF_ROOT/kernel/checkpatch.ignore" |
		paste -s -d ,
}

# c_checkpatch OPTION... FILE
c_checkpatch() {
	local ignore args=()
	ignore=$(ignored_types)
	[ -z "$ignore" ] || args+=(--ignore "$ignore")
	(cd "$TREE" && scripts/checkpatch.pl --strict --show-types --no-summary \
		"${args[@]}" "$@")
}

# c_kernel_doc FILE: no warning that the base does not have as well
c_kernel_doc() {
	local old=$PF_BUILD/check/old/$1
	mkdir -p "$(dirname "$old")"
	: >"$old.doc"
	if tgit cat-file -e "base:$1" 2>/dev/null; then
		tgit show "base:$1" >"$old"
		(cd "$PF_BUILD/check/old" && "$TREE/scripts/kernel-doc" -none "$1") 2>&1 |
			sed 's/:[0-9][0-9]*//' | sort >"$old.doc"
	fi
	(cd "$TREE" && scripts/kernel-doc -none "$1") 2>&1 | sed 's/:[0-9][0-9]*//' |
		sort | comm -13 "$old.doc" - >"$found.doc"
	cat "$found.doc"
	[ ! -s "$found.doc" ]
}

# c_prefix COMMIT: the objects that the series touches build without a warning
# as of this commit
c_prefix() {
	local targets=() log=$PF_LOG/check-prefix.log
	tgit checkout -q --detach "$1" || return
	# What user space and documentation change was built with the commit before.
	! tgit diff --quiet "$1^" "$1" -- . ':!tools' ':!Documentation' || return 0
	: >"$log"
	if [ -z "$configured" ] || ! tgit diff --quiet "$1^" "$1" -- '*Kconfig*'; then
		configure "$TREE" "$build_out" "${build_configs[@]}" >"$log" 2>&1 ||
			{ log_tail "$log"; return 1; }
		configured=1
	fi
	mapfile -t targets < <(built_objects "$TREE" "$build_out/.config")
	kmake "$TREE" "$build_out" "${targets[@]}" >>"$log" 2>&1 ||
		{ log_tail "$log"; return 1; }
	if grep -E '(^|[ :])warning: ' "$log"; then
		return 1
	fi
}

# c_compiled: at the end of the series no touched .c file was left out by the
# configuration: what is not compiled is not checked
c_compiled() {
	local file missing=0
	for file in $touched_c; do
		[ -f "$build_out/${file%.c}.o" ] || {
			echo "$file was not compiled: see kernel/objects and kernel/configs/check.config"
			missing=1
		}
	done
	return $missing
}

mkdir -p "$clone" "$PF_LOG"
rsync -a --delete "$PF_ROOT/kernel" "$PF_ROOT/scripts" "$clone/"
ktap=$PF_BUILD/check/ktap
exec 3>&1 >"$ktap"
trap finish EXIT

check shellcheck c_shellcheck
check codespell c_codespell
check patch_names c_names
# Refuses fuzz, and paths in files/ that the base has too.
check tree_applies c_tree
if [ "$failed" -ne 0 ] && [ ! -f "$clone/build/linux/.git/peerfault-stamp" ]; then
	die "$E_FAIL" "the tree could not be laid: nothing more can be checked"
fi
check refresh_is_noop c_refresh

TREE=$clone/build/linux
build_out=$clone/build/kernel-normal
check mails c_series
check "code quoted in docs" c_anchors
check "commits and tests named in docs" c_named
for patch in "$patches"/*.patch; do
	[ -e "$patch" ] || continue
	check "checkpatch ${patch##*/}" c_checkpatch "$patch"
done
while read -r file; do
	check "checkpatch $file" c_checkpatch -f "$file"
done < <(cd "$files" && find . -type f -printf '%P\n' | sort)
tgit diff --name-only --diff-filter=d base HEAD >"$PF_BUILD/check/touched"
while read -r file; do
	[[ $file == *.[ch] ]] || continue
	check "kernel-doc $file" c_kernel_doc "$file"
done <"$PF_BUILD/check/touched"

# User space and documentation are not the kernel build's.
touched_c=$(grep -E '\.c$' "$PF_BUILD/check/touched" |
	    grep -vE '^(tools|Documentation|samples|scripts)/' || :)
build_configs=("$PF_ROOT/kernel/configs/base.config"
	       "$PF_ROOT/kernel/configs/peerfault.config"
	       "$PF_ROOT/kernel/configs/check.config")
# In the order of the mails, which is what others bisect
commits=$(tgit rev-list --reverse base..refs/peerfault/series 2>/dev/null) ||
	commits=$(tgit rev-list --reverse base..HEAD)
if [ -n "${FAST:-}" ]; then
	skip "series builds" "FAST=1"
else
	kernel_env "$clone"
	configured=
	for commit in $commits; do
		check "builds: $(tgit log -1 --format=%s "$commit" | tr '#' ' ')" \
			c_prefix "$commit"
	done
	tgit checkout -q peerfault
	check "all compiled" c_compiled
fi

[ "$failed" -eq 0 ] || exit "$E_FAIL"
