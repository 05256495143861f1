#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Lay the base kernel, kernel/files/ and kernel/patches/ as a git tree in
# build/linux. Instant when none of them has changed.
#
#   KERNEL_SRC=path   a tree or tarball in place of the package in base.env
#   FORCE=1           go on although build/linux has unsaved work (what is
#                     there is kept under refs/peerfault/lost/)
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/lib.sh"

store=$PF_CACHE/base.git
stamp_file=$TREE/.git/peerfault-stamp
scratch=$PF_BUILD/.apply

is_kernel() {
	grep -qs '^PATCHLEVEL = ' "$1/Makefile" && [ -f "$1/Kconfig" ]
}

check_source() {
	[ -n "${KERNEL_SRC:-}" ] || return 0
	if [ -d "$KERNEL_SRC" ]; then
		is_kernel "$KERNEL_SRC" || die "$E_SRC" "KERNEL_SRC=$KERNEL_SRC is" \
			"not a kernel tree (no Makefile with PATCHLEVEL, or no Kconfig)"
	elif [ -f "$KERNEL_SRC" ]; then
		case $KERNEL_SRC in
		*.tar | *.tar.* | *.tgz | *.deb) ;;
		*) die "$E_SRC" "KERNEL_SRC=$KERNEL_SRC is not a tarball" ;;
		esac
	else
		die "$E_SRC" "KERNEL_SRC=$KERNEL_SRC does not exist"
	fi
}

# unpack SOURCE DIR
unpack() {
	mkdir -p "$2"
	case $1 in
	*.deb)
		dpkg-deb --fsys-tarfile "$1" |
			tar -x -O -f - --wildcards './usr/src/linux-source-*.tar.xz' |
			tar -x -J -f - -C "$2" --strip-components=1
		;;
	*)
		if [ -f "$1" ]; then
			tar -x -f "$1" -C "$2" --strip-components=1
		elif [ -e "$1/.git" ]; then
			git -c safe.directory='*' -C "$1" archive HEAD | tar -x -f - -C "$2"
		else
			tar -c -C "$1" -f - . | tar -x -f - -C "$2"
		fi
		;;
	esac
	# A pipe hides the left side's failure; an empty tree shows it.
	if ! is_kernel "$2"; then
		echo "error: $1 holds no kernel tree"
		return 1
	fi
	# Debian's .gitignore ends with rules that hide every file.
	[ ! -f "$2/.gitignore" ] ||
		sed -i '/^# Debian packaging: ignore everything/,$d' "$2/.gitignore"
}

# commit_base DIR REF: DIR as a root commit in the store. The date is fixed,
# so that one base is one commit id on every machine.
commit_base() {
	export GIT_DIR="$store" GIT_WORK_TREE="$1"
	export GIT_INDEX_FILE="$store/index"
	# Stream all blobs into one pack: 96,000 loose files would be slow to
	# write, and slow again to read for each clone.
	git -c core.bigFileThreshold=1 add -f -A
	tree=$(git write-tree)
	version=$(make -s -C "$1" kernelversion 2>/dev/null) || version=unknown
	commit=$(echo "Linux $version (base)" |
		GIT_AUTHOR_DATE=$EPOCH GIT_COMMITTER_DATE=$EPOCH git commit-tree "$tree")
	git update-ref "$2" "$commit"
}

# make_base: the base commit of this source is in the store afterwards, as $1
make_base() {
	git -C "$store" rev-parse -q --verify "$1" >/dev/null 2>&1 && return
	source=${KERNEL_SRC:-}
	if [ -z "$source" ]; then
		source=$("$PF_ROOT/kernel/fetch.sh")
		need_space "$PF_CACHE" 4000 "unpacking the base kernel"
	fi
	if [ ! -d "$store" ]; then
		git init -q --bare "$store"
		git -C "$store" config core.compression 0
		git -C "$store" config core.autocrlf false
		git -C "$store" config gc.auto 0
	fi
	tmp=$PF_BUILD/.unpack
	rm -rf "$tmp"
	need_space "$PF_BUILD" 2500 "the kernel tree"
	trap 'rm -rf "$tmp" "$store/index"' EXIT
	run "$E_SRC" unpack unpack "$source" "$tmp"
	run "$E_FAIL" base-commit commit_base "$tmp" "$1"
	# What was unpacked is the checkout already, and the index knows it.
	if [ ! -e "$TREE" ]; then
		mv "$tmp" "$TREE"
		git init -q "$TREE"
		mv "$store/index" "$TREE/.git/index"
	fi
	rm -rf "$tmp" "$store/index"
	trap - EXIT
}

# made_here: build/linux is what an interrupted run of ours left
made_here() {
	[ -d "$TREE/.git" ] && ! tgit rev-parse -q --verify HEAD >/dev/null
}

# clone_base COMMIT
clone_base() {
	git init -q "$TREE"
	echo "$store/objects" >"$TREE/.git/objects/info/alternates"
	tgit config core.compression 0
	tgit config core.autocrlf false
	tgit config gc.auto 0
	tgit config user.name "${PF_NAME:-peerfault}"
	tgit config user.email "${PF_EMAIL:-peerfault@localhost}"
	tgit update-ref refs/tags/base "$1"
	tgit symbolic-ref HEAD refs/heads/peerfault
	tgit reset -q --hard "$1"
	# Last: tree.sh takes a build/linux without it for half-made.
	tgit update-ref "$APPLIED" "$1"
}

sgit() {
	git -C "$scratch" "$@"
}

# apply_series COMMIT: overlay and patches on top of the base, in a worktree
# that has no files but those they touch. build/linux itself changes only once
# all of it has succeeded, and make rebuilds only what really differs.
apply_series() {
	rm -rf "$scratch"
	tgit worktree prune
	tgit worktree add -q --detach --no-checkout "$scratch" "$1"
	sgit read-tree "$1"

	if [ -d "$FILES" ]; then
		(cd "$FILES" && find . -type f -printf '%P\n' | LC_ALL=C sort) >"$scratch.list"
		shadow=$(xargs -r -d '\n' git -C "$scratch" ls-files -- <"$scratch.list")
		[ -z "$shadow" ] || die "$E_PATCH" "kernel/files/ has paths that the" \
			"base has too; make them patches:" "$shadow"
		cp -R "$FILES/." "$scratch/"
		xargs -r -d '\n' git -C "$scratch" add -f -- <"$scratch.list"
		rm -f "$scratch.list"
	fi
	GIT_AUTHOR_DATE=$EPOCH GIT_COMMITTER_DATE=$EPOCH sgit commit -q \
		--allow-empty -m "overlay: kernel/files"
	overlay=$(sgit rev-parse HEAD)

	set -- "$PATCHES"/*.patch
	[ -e "$1" ] || return 0
	sgit am -q --keep-non-patch --committer-date-is-author-date "$@" \
		>"$PF_LOG/apply.log" 2>&1 </dev/null
}

# stop_at_patch: lay what applied, and stop `git am` in build/linux just where
# a developer can go on
stop_at_patch() {
	good=$(sgit rev-parse HEAD)
	count=$(sgit rev-list --count "$overlay..$good")
	tgit worktree remove -f "$scratch"
	tgit checkout -q -B peerfault "$good"
	tgit update-ref refs/tags/overlay "$overlay"
	set -- "$PATCHES"/*.patch
	shift "$count"
	tgit am -q --keep-non-patch --committer-date-is-author-date "$@" \
		>/dev/null 2>&1 </dev/null || :
	rm -f "$stamp_file"
	sed 's/^/    /' "$PF_LOG/apply.log" >&2
	cat >&2 <<EOT
In build/linux, git am has stopped at this patch. To go on there:
    git apply --reject $1
    (edit what is in the *.rej files, then delete them)
    git add -u && git am --continue
then, here:
    make refresh FORCE=1
To give up instead: git -C build/linux am --abort
EOT
	die "$E_PATCH" "$(basename "$1") does not apply"
}

# keep_work: what the user is about to lose, as a commit that git keeps
keep_work() {
	lost=refs/peerfault/lost/$(date +%Y%m%d-%H%M%S)
	tgit update-ref "$lost" "$(echo "unsaved work" |
		tgit commit-tree "$1" -p HEAD)"
	note "build/linux had unsaved work; it is kept as $lost"
}

check_source
mkdir -p "$PF_LOG"
stamp=$(inputs_stamp)
if [ "$(cat "$stamp_file" 2>/dev/null)" = "$stamp" ]; then
	[ "$(tgit rev-parse HEAD)" = "$(tgit rev-parse $APPLIED)" ] ||
		note "build/linux has commits that make refresh has not saved"
	exit 0
fi

# One at a time: build/.apply and the store are shared.
mkdir -p "$PF_CACHE"
exec 9>"$PF_CACHE/lock"
flock 9

key=refs/bases/$({ source_id; cat "$PF_ROOT/kernel/base.env"; } | sha256sum | cut -c 1-16)
make_base "$key"
base=$(git -C "$store" rev-parse "$key")

if ! tgit rev-parse -q --verify "$APPLIED" >/dev/null 2>&1; then
	if [ -e "$TREE" ] && ! made_here; then
		die "$E_DIRTY" "build/linux was not made by make tree; move it away first"
	fi
	need_space "$PF_BUILD" 2500 "the kernel tree"
	run "$E_FAIL" checkout clone_base "$base"
fi
if [ -d "$TREE/.git/rebase-apply" ] || [ -d "$TREE/.git/rebase-merge" ]; then
	[ -n "${FORCE:-}" ] || die "$E_DIRTY" "build/linux is in the middle of a" \
		"git am or rebase: finish or abort it there (or FORCE=1)"
fi

work=$(worktree_id "$TREE")
clean=
if [ "$(tgit rev-parse HEAD)" = "$(tgit rev-parse $APPLIED)" ] &&
   [ "$work" = "$(tgit rev-parse "$APPLIED^{tree}")" ]; then
	clean=1
fi

overlay=
applied=1
step "apply kernel/files and kernel/patches"
apply_series "$base" || applied=
new=$(sgit rev-parse HEAD)
if [ -z "$clean" ] && { [ -z "$applied" ] || [ "$work" != "$(tgit rev-parse "$new^{tree}")" ]; }; then
	if [ -z "${FORCE:-}" ]; then
		sgit am --quit 2>/dev/null || :
		tgit worktree remove -f "$scratch"
		tgit status --short >&2
		die "$E_DIRTY" "build/linux has work that is not in kernel/, and kernel/" \
			"has changed since: save it with \`make refresh FORCE=1\` (tree wins)" \
			"or drop it with \`make tree FORCE=1\` (kernel/ wins)"
	fi
	keep_work "$work"
	tgit am --quit 2>/dev/null || :
fi
# Untracked files that are saved or of no more use must not block the checkout.
tgit add -A
tgit reset -q --hard "$(echo "before make tree" | tgit commit-tree "$work" -p HEAD)"
if [ -z "$applied" ]; then
	stop_at_patch
fi
tgit update-ref refs/tags/base "$base"
tgit update-ref refs/tags/overlay "$overlay"
tgit worktree remove -f "$scratch"
tgit checkout -q -B peerfault "$new"
tgit update-ref "$APPLIED" "$new"
echo "$stamp" >"$stamp_file"
say "    build/linux: $(tgit rev-list --count "overlay..HEAD") patches," \
	"$(tgit diff --name-only base overlay | wc -l) new files"
