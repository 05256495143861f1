#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Write build/series: the whole of our change as mails for git send-email.
#
# The overlay becomes new-file patches, one per file in kernel/series (in name
# order: a `Paths:` line, an empty line, the commit message; the first that
# matches a path takes it). Then come the patches. Proof: the mails, applied to
# the base, give the tree of build/linux.
#   VERSION=2   [PATCH v2 ...]
set -eu
. "$(dirname "$0")/../lib/common.sh"
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

out=$PF_BUILD/series
work=$PF_BUILD/.series
rm -rf "$out" "$work"
mkdir -p "$out" "$work"
trap 'rm -rf "$work"; tgit worktree prune' EXIT
# The cover letter takes its author from the committer.
export GIT_AUTHOR_NAME="$PF_NAME" GIT_AUTHOR_EMAIL="$PF_EMAIL"
export GIT_COMMITTER_NAME="$PF_NAME" GIT_COMMITTER_EMAIL="$PF_EMAIL"

# The overlay, group by group, in an index of our own
GIT_INDEX_FILE=$work/index
export GIT_INDEX_FILE
tgit read-tree base
tgit diff --name-only base overlay | LC_ALL=C sort >"$work/left"
head=$(tgit rev-parse base)
for group in "$PF_ROOT"/kernel/series/*; do
	paths=$(sed -n '1s/^Paths: *//p' "$group")
	[ -n "$paths" ] || die "$E_USAGE" "$group does not begin with Paths:"
	: >"$work/take"
	for path in $paths; do
		awk -v p="$path" '$0 == p || index($0, p "/") == 1' "$work/left" >>"$work/take"
	done
	[ -s "$work/take" ] || continue
	LC_ALL=C sort -u -o "$work/take" "$work/take"
	LC_ALL=C comm -23 "$work/left" "$work/take" >"$work/rest"
	mv "$work/rest" "$work/left"
	tgit ls-tree -r overlay >"$work/tree"
	awk -F '\t' 'NR == FNR { take[$0]; next } $2 in take' "$work/take" "$work/tree" |
		tgit update-index --index-info
	head=$({
		tail -n +3 "$group"
		printf '\nSigned-off-by: %s <%s>\n' "$PF_NAME" "$PF_EMAIL"
	} | tgit commit-tree "$(tgit write-tree)" -p "$head")
done
unset GIT_INDEX_FILE
[ ! -s "$work/left" ] || die "$E_USAGE" "no file in kernel/series takes:" "$(cat "$work/left")"

# The patches: the same trees and authors, on the new parent
for commit in $(tgit rev-list --reverse overlay..HEAD); do
	head=$(tgit log -1 --format=%B "$commit" |
		GIT_AUTHOR_NAME=$(tgit log -1 --format=%an "$commit") \
		GIT_AUTHOR_EMAIL=$(tgit log -1 --format=%ae "$commit") \
		GIT_AUTHOR_DATE=$(tgit log -1 --format=%aD "$commit") \
		tgit commit-tree "$commit^{tree}" -p "$head")
done
[ "$head" != "$(tgit rev-parse base)" ] || die "$E_USAGE" "there is nothing to mail"
tgit update-ref refs/peerfault/series "$head"

# format-patch takes the cover letter's text from a branch description.
tgit branch -f series "$head"
tgit config branch.series.description "$(cat "$PF_ROOT/kernel/cover-letter"
	printf '\nBase: Debian %s %s\n  sha256 of the package: %s\n  git tree: %s\n' \
		"$BASE_PACKAGE" "$BASE_VERSION" "$BASE_SHA256" \
		"$(tgit rev-parse 'base^{tree}')")"
format_patches base..series "$out" -n --cover-letter \
	--cover-from-description=subject ${VERSION:+-v "$VERSION"}
tgit config --unset branch.series.description
tgit branch -q -D series

# Would the mails give the tree? Ask git am, on the base.
tgit worktree add -q --detach --no-checkout "$work/proof" base
git -C "$work/proof" read-tree base
set -- "$out"/*.patch
shift	# the cover letter
git -C "$work/proof" am -q "$@" >"$PF_LOG/series.log" 2>&1 </dev/null || {
	log_tail "$PF_LOG/series.log" >&2
	die "$E_PATCH" "the series does not apply to the base"
}
[ "$(git -C "$work/proof" rev-parse 'HEAD^{tree}')" = "$(tgit rev-parse 'HEAD^{tree}')" ] ||
	die "$E_PATCH" "the series does not give the tree of build/linux"
say "$# patches and a cover letter in build/series; applied to the base, they give build/linux"
say "To mail them: git send-email --to=... build/series/*.patch"
