#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Write build/series: all of our change as mails for git send-email, in several
# series, each on top of those before it.
#
# kernel/series/NAME is one of them. `cover` is its cover letter. `order` has a
# line for each mail, its subject. That is the subject of one of kernel/patches,
# or of a *.msg next to it, for a mail that only brings new files. Indented
# below it is what it brings besides: paths of kernel/files (all that is below
# them and not taken yet), or a *.diff, which is a change of such files that
# earlier mails have brought; those bring them as they are without it.
#
# Proof: the mails, applied to the base, give the tree of build/linux.
#   VERSION=2   [PATCH v2 ...]
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/lib.sh"
. "$PF_ROOT/kernel/base.env"

if [ -z "$PF_NAME" ] || [ -z "$PF_EMAIL" ]; then
	die "$E_USAGE" "git config user.name and user.email: the patches are signed with them"
fi
"$PF_ROOT/kernel/tree.sh"
if [ -n "$(tgit status --porcelain)" ] ||
   [ "$(tgit rev-parse HEAD)" != "$(tgit rev-parse $APPLIED)" ]; then
	die "$E_DIRTY" "build/linux has work that is not in kernel/: make refresh first"
fi

series=$PF_ROOT/kernel/series
out=$PF_BUILD/series
work=$PF_BUILD/.series
rm -rf "$out" "$work"
mkdir -p "$out" "$work"
trap 'rm -rf "$work"; tgit worktree prune' EXIT
# A cover letter takes its author from the committer.
export GIT_AUTHOR_NAME="$PF_NAME" GIT_AUTHOR_EMAIL="$PF_EMAIL"
export GIT_COMMITTER_NAME="$PF_NAME" GIT_COMMITTER_EMAIL="$PF_EMAIL"

# change FILE OPTION...: apply it to the index
change() {
	pf_diff=$1
	shift
	tgit apply --cached --3way "$@" "$pf_diff" >"$PF_LOG/series.log" 2>&1 || {
		log_tail "$PF_LOG/series.log" >&2
		die "$E_PATCH" "$pf_diff does not apply${subject:+ in the mail \"$subject\"}"
	}
}

# bring ITEM: new files, or a change of some, into the index
bring() {
	case $1 in
	*.diff) change "$dir/$1" ;;
	*)
		# `mode object stage<tab>path`, as --index-info wants it
		awk -F '\t' -v p="$1" '$2 == p || index($2, p "/") == 1' \
			"$work/files" >"$work/take"
		[ -s "$work/take" ] || die "$E_USAGE" \
			"$name/order: \"$subject\" wants $1, which is not in kernel/files or taken"
		tgit update-index --index-info <"$work/take"
		grep -vxF -f "$work/take" "$work/files" >"$work/rest" || :
		mv "$work/rest" "$work/files"
		;;
	esac
}

# mail SUBJECT ITEM...: a commit on $head, with the index for its tree
mail() {
	subject=$1
	shift
	commit=$(awk -v s="$subject" 'substr($0, index($0, " ") + 1) == s { print $1 }' \
		"$work/commits")
	message=$(grep -lxF -e "$subject" "$dir"/*.msg 2>/dev/null || :)
	if [ -n "$commit" ]; then
		tgit diff-tree -p --binary --full-index "$commit" >"$work/diff"
		change "$work/diff"
	elif [ -z "$message" ]; then
		die "$E_USAGE" "$name/order: no patch and no *.msg is \"$subject\""
	fi
	for item; do
		bring "$item"
	done
	tree=$(tgit write-tree)
	if [ -n "$commit" ]; then
		head=$(tgit log -1 --format=%B "$commit" |
			GIT_AUTHOR_NAME=$(tgit log -1 --format=%an "$commit") \
			GIT_AUTHOR_EMAIL=$(tgit log -1 --format=%ae "$commit") \
			GIT_AUTHOR_DATE=$(tgit log -1 --format=%aD "$commit") \
			tgit commit-tree "$tree" -p "$head")
	else
		head=$({
			cat "$message"
			printf '\nSigned-off-by: %s <%s>\n' "$PF_NAME" "$PF_EMAIL"
		} | tgit commit-tree "$tree" -p "$head")
	fi
	echo "$subject" >>"$work/mailed"
}

# In an index of our own: the new files as they are without the changes, then,
# from the base on, mail by mail
export GIT_INDEX_FILE="$work/index"
subject=
: >"$work/mailed"
tgit log --format='%H %s' overlay..HEAD >"$work/commits"
tgit read-tree overlay
find "$series" -name '*.diff' | LC_ALL=C sort -r >"$work/diffs"
while read -r diff; do
	change "$diff" -R
done <"$work/diffs"
tgit diff --name-only base overlay >"$work/new"
tgit ls-files -s | awk -F '\t' 'NR == FNR { new[$0]; next } $2 in new' \
	"$work/new" - >"$work/files"
tgit read-tree base
head=$(tgit rev-parse base)
below=
for dir in "$series"/*/; do
	dir=${dir%/}
	name=${dir##*/}
	first=$head
	# One line per mail, tabs between subject and items
	awk '/^[^ \t]/ { printf "%s%s", sep, $0; sep = "\n"; next }
	     { for (i = 1; i <= NF; i++) printf "\t%s", $i }
	     END { print "" }' "$dir/order" >"$work/order"
	while IFS= read -r line; do
		oldifs=$IFS
		IFS='	'
		# shellcheck disable=SC2086 # split at tabs
		set -f -- $line
		set +f
		IFS=$oldifs
		mail "$@"
	done <"$work/order"

	# format-patch takes the cover letter's text from a branch description.
	tgit branch -f series "$head"
	tgit config branch.series.description "$(cat "$dir/cover"
		printf '\nBase: Debian %s %s\n  sha256 of the package: %s\n  git tree: %s\n' \
			"$BASE_PACKAGE" "$BASE_VERSION" "$BASE_SHA256" \
			"$(tgit rev-parse 'base^{tree}')"
		[ -z "$below" ] || printf 'On top of:%s\n' "$below")"
	format_patches "$first..series" "$out/$name" -n --cover-letter \
		--cover-from-description=subject ${VERSION:+-v "$VERSION"}
	# It looks for what is not ASCII in commits only.
	for cover in "$out/$name"/*0000-cover-letter.patch; do
		grep -q '^MIME-Version:' "$cover" || sed -i '0,/^$/s//MIME-Version: 1.0\
Content-Type: text\/plain; charset=UTF-8\
Content-Transfer-Encoding: 8bit\
/' "$cover"
	done
	say "    $name: $(tgit rev-list --count "$first..series") patches"
	below="$below $name"
done
unset GIT_INDEX_FILE
tgit config --unset branch.series.description
tgit branch -q -D series
tgit update-ref refs/peerfault/series "$head"

missing=$(tgit log --format=%s overlay..HEAD | grep -vxF -f "$work/mailed" || :)
[ -z "$missing" ] || die "$E_USAGE" "no kernel/series/*/order has:" "$missing"
[ ! -s "$work/files" ] || die "$E_USAGE" "no kernel/series/*/order brings:" \
	"$(cut -f 2 "$work/files")"

# Would the mails give the tree? Ask git am, on the base.
tgit worktree add -q --detach --no-checkout "$work/proof" base
git -C "$work/proof" read-tree base
find "$out" -name '*.patch' ! -name '*0000-cover-letter.patch' |
	LC_ALL=C sort >"$work/mails"
xargs -d '\n' git -C "$work/proof" am -q <"$work/mails" >"$PF_LOG/series.log" 2>&1 || {
	log_tail "$PF_LOG/series.log" >&2
	die "$E_PATCH" "the mails do not apply to the base"
}
[ "$(git -C "$work/proof" rev-parse 'HEAD^{tree}')" = "$(tgit rev-parse 'HEAD^{tree}')" ] ||
	die "$E_PATCH" "the mails do not give the tree of build/linux"
say "$(wc -l <"$work/mails") mails and their cover letters in build/series;" \
	"applied to the base, they give build/linux"
say "To mail one: git send-email --to=... build/series/NAME/*.patch"
