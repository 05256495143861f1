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
. "$PF_ROOT/kernel/layout.sh"
. "$PF_ROOT/kernel/base.env"

store=$PF_CACHE/base.git
stamp_file=$TREE/.git/peerfault-stamp
scratch=$PF_BUILD/.apply
mails=$PF_BUILD/.mails

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
	! stored || return 0
	source=${KERNEL_SRC:-$fetched}
	need_space "$PF_CACHE" 2000 "unpacking the base kernel"
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
	tgit config user.name "$GIT_AUTHOR_NAME"
	tgit config user.email "$GIT_AUTHOR_EMAIL"
	tgit update-ref refs/tags/base "$1"
	tgit symbolic-ref HEAD refs/heads/peerfault
	tgit reset -q --hard "$1"
	# Last: tree.sh takes a build/linux without it for half-made.
	tgit update-ref "$APPLIED" "$1"
}

sgit() {
	git -C "$scratch" "$@"
}

# cover_mail SERIES: its cover letter, as a mail that git am makes a commit of
cover_mail() {
	printf 'From: %s\nDate: %s\nSubject: [PATCH] ' "$ROLE" "$EPOCH"
	printf '%s\n\nSeries: %s\n' "$(cat "$PATCHES/$1/cover")" "$1"
}

# copy_mails: kernel/patches as mails in $mails, and their order in $mails/list
copy_mails() {
	rm -rf "$mails"
	mkdir -p "$mails"
	: >"$mails/list"
	for dir in "$PATCHES"/*/; do
		dir=${dir%/}
		series=${dir##*/}
		set -- "$dir"/*.patch
		if [ ! -f "$dir/cover" ] || [ ! -f "$1" ]; then
			die "$E_PATCH" "kernel/patches/$series has no cover, or no patch"
		fi
		mkdir "$mails/$series"
		cover_mail "$series" >"$mails/$series/cover"
		cp "$@" "$mails/$series/"
		(cd "$mails" && printf '%s\n' "$series/cover" "$series"/*.patch) >>"$mails/list"
	done
}

# add_files BASE: put the new files into the mails, as their `Files:` say
add_files() {
	grep -rl '^Files: ' "$mails" | sed "s|^$mails/||" | sort >"$mails/adding"
	while read -r mail; do
		git interpret-trailers --parse "$mails/$mail" |
			sed -n "s|^Files: *|$mail	|p"
	done <"$mails/adding" >"$mails/claims"
	mkdir -p "$FILES"
	GIT_INDEX_FILE=$mails/index git --git-dir="$TREE/.git" \
		--work-tree="$FILES" -C "$FILES" add -f -A
	files=$(GIT_INDEX_FILE=$mails/index tgit write-tree)
	tgit ls-tree -r --name-only "$files" >"$mails/files"

	shadow=$(xargs -r -d '\n' git -C "$TREE" ls-tree --name-only "$1" -- \
		<"$mails/files")
	[ -z "$shadow" ] || die "$E_PATCH" "kernel/files/ has paths that the" \
		"base has too; make them patches:" "$shadow"
	assign "$mails/claims" "$mails/files" >"$mails/assigned"
	check_assigned "$mails/assigned" "$E_PATCH"

	none=$(git hash-object -t tree /dev/null)
	while read -r mail; do
		awk -F '\t' -v mail="$mail" '$1 == mail { print $2 }' "$mails/assigned" |
			GIT_LITERAL_PATHSPECS=1 xargs -r -d '\n' git -C "$TREE" \
				diff-tree -p --binary --full-index "$none" "$files" -- \
				>>"$mails/$mail"
	done <"$mails/adding"
}

# am GITDIR FIRST: git am, from the mail of that number on. The same mails give
# the same commits.
am() {
	tail -n "+$2" "$mails/list" | sed "s|^|$mails/|" >"$mails/todo"
	[ ! -s "$mails/todo" ] || xargs -d '\n' -a "$mails/todo" git -C "$1" am -q \
		--keep-non-patch --empty=keep --committer-date-is-author-date </dev/null
}

# apply_mails COMMIT: the mails on top of it, in a worktree that has no files
# but those they touch. build/linux itself changes only once all of it has
# succeeded, and make rebuilds only what really differs.
apply_mails() {
	rm -rf "$scratch"
	tgit worktree prune
	tgit worktree add -q --detach --no-checkout "$scratch" "$1"
	sgit read-tree "$1"
	am "$scratch" 1 >"$PF_LOG/apply.log" 2>&1
}

# stop_at_patch BASE: lay what applied, and stop `git am` in build/linux just
# where a developer can go on
stop_at_patch() {
	good=$(sgit rev-parse HEAD)
	next=$(($(sgit rev-list --count "$1..$good") + 1))
	tgit worktree remove -f "$scratch"
	tgit checkout -q -B peerfault "$good"
	tgit update-ref refs/tags/base "$1"
	am "$TREE" "$next" >/dev/null 2>&1 || :
	rm -f "$stamp_file"
	sed 's/^/    /' "$PF_LOG/apply.log" >&2
	cat >&2 <<EOT
In build/linux, git am has stopped at this patch. To go on there:
    git apply --reject .git/rebase-apply/patch
    (edit what is in the *.rej files, then delete them)
    git add -A && git am --continue --empty=keep
then, here:
    make refresh FORCE=1
To give up instead: git -C build/linux am --abort
EOT
	die "$E_PATCH" "$(sed -n "${next}p" "$mails/list") does not apply"
}

# keep_work: what the user is about to lose, as a commit that git keeps
keep_work() {
	lost=refs/peerfault/lost/$(date +%Y%m%d-%H%M%S)
	tgit update-ref "$lost" "$(echo "unsaved work" |
		tgit commit-tree "$1" -p HEAD)"
	note "build/linux had unsaved work; it is kept as $lost"
}

# messages COMMIT: of all commits from the base to it
messages() {
	tgit log --format=%B "$base..$1" | sed 's/[ \t]*$//; /^$/d'
}

# saved COMMIT: what build/linux has now, it has as well
saved() {
	[ -n "$applied" ] && [ "$work" = "$(tgit rev-parse "$1^{tree}")" ] &&
		[ "$(messages HEAD)" = "$(messages "$1")" ]
}

# laid: build/linux is made of just these inputs already
laid() {
	stamp=$(inputs_stamp)
	[ "$(cat "$stamp_file" 2>/dev/null)" = "$stamp" ] || return
	[ "$(tgit rev-parse HEAD)" = "$(tgit rev-parse $APPLIED)" ] ||
		note "build/linux has commits that make refresh has not saved"
}

# base_key: the store's name for this base; stored: it has that base
base_key() {
	key=refs/bases/$({ source_id; cat "$PF_ROOT/kernel/base.env"; } |
		sha256sum | cut -c 1-16)
}

stored() {
	git -C "$store" rev-parse -q --verify "$key" >/dev/null 2>&1
}

check_source
mkdir -p "$PF_LOG"
! laid || exit 0

# One at a time: build/.apply and the store are shared.
mkdir -p "$PF_CACHE"
exec 9>"$PF_CACHE/lock"
flock 9

base_key
fetched=
standin=
if [ -z "${KERNEL_SRC:-}" ] && ! stored; then
	fetched=$("$PF_ROOT/kernel/fetch.sh")
	# Another version than that of base.env is another source: as if
	# KERNEL_SRC named it.
	case $fetched in
	*_"$BASE_VERSION"_*) ;;
	*)
		standin=$fetched KERNEL_SRC=$fetched
		! laid || exit 0
		base_key ;;
	esac
fi
make_base "$key"
base=$(git -C "$store" rev-parse "$key")

if ! tgit rev-parse -q --verify "$APPLIED" >/dev/null 2>&1; then
	if [ -e "$TREE" ] && ! made_here; then
		die "$E_DIRTY" "build/linux was not made by make tree; move it away first"
	fi
	need_space "$PF_BUILD" 2500 "the kernel tree"
	run "$E_FAIL" checkout clone_base "$base"
fi
if unfinished; then
	[ -n "${FORCE:-}" ] || die "$E_DIRTY" "build/linux is in the middle of a" \
		"git am or rebase: finish or abort it there (or FORCE=1)"
fi

work=$(worktree_id "$TREE")
clean=
if [ "$(tgit rev-parse HEAD)" = "$(tgit rev-parse $APPLIED)" ] &&
   [ "$work" = "$(tgit rev-parse "$APPLIED^{tree}")" ]; then
	clean=1
fi

applied=1
step "apply kernel/files and kernel/patches"
copy_mails
add_files "$base"
apply_mails "$base" || applied=
if [ -z "$applied" ] && [ -n "$standin" ]; then
	sed 's/^/    /' "$PF_LOG/apply.log" >&2
	tgit worktree remove -f "$scratch"
	die "$E_PATCH" "the patches do not apply to $(basename "$standin")," \
		"and $BASE_VERSION is gone from the archive. With a tree or" \
		"tarball of $BASE_VERSION: make KERNEL_SRC=path ..."
fi
new=$(sgit rev-parse HEAD)
if [ -z "$clean" ] && ! saved "$new"; then
	if [ -z "${FORCE:-}" ]; then
		sgit am --quit 2>/dev/null || :
		tgit worktree remove -f "$scratch"
		tgit status --short >&2
		die "$E_DIRTY" "build/linux has work that is not in kernel/, and kernel/" \
			"has changed since: save it with \`make refresh FORCE=1\` (tree wins)" \
			"or drop it with \`make tree FORCE=1\` (kernel/ wins)"
	fi
	keep_work "$work"
	tgit am --quit 2>/dev/null || tgit rebase --quit 2>/dev/null || :
fi
# Untracked files that are saved or of no more use must not block the checkout.
tgit add -A
tgit reset -q --hard "$(echo "before make tree" | tgit commit-tree "$work" -p HEAD)"
[ -n "$applied" ] || stop_at_patch "$base"
tgit update-ref refs/tags/base "$base"
tgit worktree remove -f "$scratch"
tgit checkout -q -B peerfault "$new"
tgit update-ref "$APPLIED" "$new"
echo "$stamp" >"$stamp_file"
rm -rf "$mails"
say "    build/linux: $(history | grep -c '^[^|]*|[^|]*||') patches in" \
	"$(history | grep -vc '^[^|]*|[^|]*||') series"
