# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2034
#
# What tree.sh, refresh.sh, build.sh, check.sh and series.sh share: the layout
# of build/linux and a git that behaves the same for everybody. Sourced after
# scripts/common.sh.
#
# build/linux, oldest commit first:
#   base       (tag) the base kernel
#   overlay    (tag) kernel/files/, one commit
#   ...        one commit per kernel/patches/*.patch
# refs/peerfault/applied is the last of these as tree.sh left them.

TREE=$PF_BUILD/linux
FILES=$PF_ROOT/kernel/files
PATCHES=$PF_ROOT/kernel/patches
APPLIED=refs/peerfault/applied

# Who the user is, before their settings are put aside: series.sh signs.
PF_NAME=$(git config user.name) || PF_NAME=
PF_EMAIL=$(git config user.email) || PF_EMAIL=

# A user's git settings (diff.noprefix, am.threeWay, commit.gpgSign, hooks...)
# would change the patches that we write or break applying them.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 LC_ALL=C
# The same inputs give the same commits on every machine.
export GIT_COMMITTER_NAME=peerfault GIT_COMMITTER_EMAIL=peerfault@localhost
export GIT_AUTHOR_NAME=peerfault GIT_AUTHOR_EMAIL=peerfault@localhost
EPOCH='2026-01-01T00:00:00Z'

tgit() {
	git -C "$TREE" "$@"
}

# inputs_stamp: a hash over everything that decides what build/linux holds
inputs_stamp() {
	{
		cat "$PF_ROOT/kernel/base.env"
		source_id
		for pf_dir in "$FILES" "$PATCHES"; do
			[ -d "$pf_dir" ] || continue
			(cd "$pf_dir" && find . -type f -perm -u+x | LC_ALL=C sort &&
			 find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum)
		done
	} | sha256sum | cut -d ' ' -f 1
}

# source_id: names the content of KERNEL_SRC without reading all of it
source_id() {
	pf_src=${KERNEL_SRC:-}
	if [ -z "$pf_src" ]; then
		echo "base.env"
	elif [ -f "$pf_src" ]; then
		stat -L -c 'tarball %n %s %Y' "$(realpath "$pf_src")"
	elif [ -e "$pf_src/.git" ]; then
		echo "git $(git -c safe.directory='*' -C "$pf_src" rev-parse HEAD)"
	else
		realpath "$pf_src"
		(cd "$pf_src" && find . -type f -printf '%P %s %T@\n' | LC_ALL=C sort)
	fi
}

# worktree_id DIR: the tree object of all that is in a working tree now,
# uncommitted and untracked files included; its index stays as it is
worktree_id() {
	pf_index=$(git -C "$1" rev-parse --absolute-git-dir)/peerfault-index
	cp "$(git -C "$1" rev-parse --absolute-git-dir)/index" "$pf_index"
	GIT_INDEX_FILE=$pf_index git -C "$1" add -A
	GIT_INDEX_FILE=$pf_index git -C "$1" write-tree
	rm -f "$pf_index"
}

# overlay_commit: the first commit after the base
overlay_commit() {
	tgit rev-list --reverse --first-parent base..HEAD | head -n 1
}

# format_patches RANGE DIR OPTION...: byte for byte what kernel/patches holds
format_patches() {
	pf_range=$1 pf_out=$2
	shift 2
	tgit format-patch -q --zero-commit --no-signature --full-index \
		--stat=72 --no-base --no-thread -o "$pf_out" "$@" "$pf_range"
}

# kernel_env CLONE: the same build, byte for byte, in every clone; ccache shares it
kernel_env() {
	export CCACHE_DIR="$PF_CACHE/ccache" CCACHE_BASEDIR="$1"
	export CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=5G
	export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_VERSION=1
	export KBUILD_BUILD_USER=peerfault KBUILD_BUILD_HOST=lab
	# make's own variables would reach the kernel's Makefile as well.
	unset MAKEFLAGS MFLAGS MAKELEVEL KCONFIG_CONFIG O ARCH CROSS_COMPILE
}

# kmake SRC OUT TARGET...
kmake() {
	pf_src=$1 pf_out=$2
	shift 2
	mkdir -p "$pf_out"
	make -C "$pf_src" O="$pf_out" CC="ccache ${CROSS_COMPILE:-}gcc" \
		-j"$(nproc)" "$@"
}

# base_tree: the base, unpatched, in build/linux-base
base_tree() {
	pf_basetree=$PF_BUILD/linux-base
	if [ ! -e "$pf_basetree/.git" ]; then
		need_space "$PF_BUILD" 2000 "the base tree"
		tgit worktree prune
		run "$E_FAIL" checkout-base git -C "$TREE" worktree add -q \
			--detach "$pf_basetree" base
	elif [ "$(git -C "$pf_basetree" rev-parse HEAD)" != "$(tgit rev-parse base)" ]; then
		git -C "$pf_basetree" checkout -q --detach base
	fi
}

# built_objects SRC CONFIG: those of kernel/objects that SRC has and CONFIG builds
built_objects() {
	awk 'FILENAME == ARGV[1] { sub(/=.*/, ""); on[$0]; next }
	     !/^#/ && $1 in on { print $2 }' \
		"$2" "$PF_ROOT/kernel/objects" |
		while read -r pf_object; do
			[ ! -f "$1/${pf_object%.o}.c" ] || echo "$pf_object"
		done
}

# configure SRC OUT FRAGMENT...: tinyconfig with the fragments over it. An
# unchanged .config keeps its time, so that nothing is rebuilt.
configure() {
	pf_csrc=$1 pf_cout=$2
	shift 2
	mkdir -p "$pf_cout"
	if [ -f "$pf_cout/.config" ]; then
		cp -p "$pf_cout/.config" "$pf_cout/.config.before"
	fi
	kmake "$pf_csrc" "$pf_cout" tinyconfig
	(cd "$pf_csrc" &&
	 scripts/kconfig/merge_config.sh -m -Q -O "$pf_cout" "$pf_cout/.config" "$@")
	kmake "$pf_csrc" "$pf_cout" olddefconfig
	if cmp -s "$pf_cout/.config" "$pf_cout/.config.before"; then
		mv "$pf_cout/.config.before" "$pf_cout/.config"
	fi
}

# verify_config CONFIG FRAGMENT...: every requested line is in the result.
# merge_config.sh only prints what was lost, and succeeds. Of two fragments
# that set one option the later one wins.
verify_config() {
	pf_config=$1
	shift
	pf_lost=$(awk '
		function name(line) {
			sub(/^# /, "", line)
			sub(/[ =].*/, "", line)
			return line
		}
		!/^CONFIG_[A-Z0-9_a-z]+=/ && !/^# CONFIG_[A-Z0-9_a-z]+ is not set$/ { next }
		FILENAME == final { have[name($0)] = $0; next }
		{ want[name($0)] = $0 }
		END {
			for (n in want) {
				# An option that cannot even be asked for is off.
				if (want[n] ~ /^#/ && !(n in have))
					continue
				if (have[n] != want[n])
					print want[n]
			}
		}' final="$pf_config" "$@" "$pf_config" | sort)
	[ -z "$pf_lost" ] || die "$E_CONFIG" "not in the final .config ($pf_config):" \
		"$(echo "$pf_lost" | tr '\n' ';')"
}
