#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Write each series of kernel/patches as mails for git send-email, with its
# cover letter. Each is on top of those before it.
# Usage: series.sh [DIR]     (below build/; default: build/series)
#
#   SIGNOFF='Name <address>'  required: who mails them signs each, and is the
#                     author of those that no other person wrote
#   VERSION=2         [PATCH v2 ...]
#   TRAILERS=text     more trailers for each patch: a file, or the lines
#   COVER_NOTE=text   the end of each cover letter: a file, or the lines
#
# Proof: the mails, applied to the base, give the tree of build/linux.
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/layout.sh"
. "$PF_ROOT/kernel/base.env"

out=${1:-$PF_BUILD/series}
case $out in
"$PF_BUILD"/?*) ;;
*) die "$E_USAGE" "series.sh: $out is not below build/" ;;
esac
signoff=${SIGNOFF:-}
echo "$signoff" | grep -qE '^[^<>@]+ <[^<> @]+@[^<> @]+>$' || die "$E_USAGE" \
	"SIGNOFF='${signoff}': who mails the patches signs them:" \
	"make series SIGNOFF='Your Name <you@example.org>'"
"$PF_ROOT/kernel/tree.sh"
if [ -n "$(tgit status --porcelain)" ] ||
   [ "$(tgit rev-parse HEAD)" != "$(tgit rev-parse $APPLIED)" ]; then
	die "$E_DIRTY" "build/linux has work that is not in kernel/: make refresh first"
fi

work=$PF_BUILD/.series
rm -rf "$out" "$work"
mkdir -p "$out" "$work"
trap 'rm -rf "$work"; tgit worktree prune' EXIT
email=${signoff##*<}
# A cover letter takes its author from the committer.
export GIT_COMMITTER_NAME="${signoff% <*}" GIT_COMMITTER_EMAIL="${email%>}"

# text VALUE: a file, or lines
text() {
	if [ -f "$1" ]; then
		cat "$1"
	elif [ -n "$1" ]; then
		printf '%s\n' "$1"
	fi
}

# mail COMMIT TREE: its copy on $head, signed and without `Files:`
mail() {
	author=$(tgit log -1 --format='%an <%ae>' "$1")
	[ "$author" != "$ROLE" ] || author=$signoff
	email=${author##*<}
	commit=$1 tree=$2
	set --
	while IFS= read -r line; do
		set -- "$@" --trailer "$line"
	done <"$work/trailers"
	head=$(tgit log -1 --format=%B "$commit" | without_trailer Files |
		tgit interpret-trailers --no-divider --if-exists addIfDifferent "$@" |
		GIT_AUTHOR_NAME=${author% <*} GIT_AUTHOR_EMAIL=${email%>} \
		GIT_AUTHOR_DATE=$(tgit log -1 --format=%aD "$commit") \
		tgit commit-tree "$tree" -p "$head")
}

# write SERIES COVER: the mails of $first..$head
write() {
	# format-patch takes the cover letter's text from a branch description.
	tgit branch -f series "$head"
	tgit config branch.series.description "$(
		tgit log -1 --format=%B "$2" | without_trailer Series
		[ -z "${COVER_NOTE:-}" ] || { echo && text "$COVER_NOTE"; }
		printf '\nBase: Debian %s %s\n  sha256 of the package: %s\n  git tree: %s\n' \
			"$BASE_PACKAGE" "$BASE_VERSION" "$BASE_SHA256" \
			"$(tgit rev-parse 'base^{tree}')"
		[ -z "$below" ] || printf 'On top of:%s\n' "$below")"
	format_patches "$first..series" "$out/$1" -n --cover-letter \
		--cover-from-description=subject ${VERSION:+-v "$VERSION"}
	tgit config --unset branch.series.description
	tgit branch -q -D series
	# It looks for what is not ASCII in commits only.
	for cover in "$out/$1"/*0000-cover-letter.patch; do
		grep -q '^MIME-Version:' "$cover" || sed -i '0,/^$/s//MIME-Version: 1.0\
Content-Type: text\/plain; charset=UTF-8\
Content-Transfer-Encoding: 8bit\
/' "$cover"
	done
	say "    $1: $(tgit rev-list --count "$first..$head") patches"
	below="$below $1"
}

{ text "${TRAILERS:-}" && echo "Signed-off-by: $signoff"; } >"$work/trailers"
! grep -vE '^[A-Za-z][A-Za-z-]*: .' "$work/trailers" >&2 ||
	die "$E_USAGE" "TRAILERS: each line has to be \`Name: value\`"
history >"$work/history"
head=$(tgit rev-parse base)
series='' below=''
while IFS='|' read -r commit tree name _; do
	if [ -z "$name" ]; then
		mail "$commit" "$tree"
		continue
	fi
	[ -z "$series" ] || write "$series" "$letter"
	series=$name letter=$commit first=$head
done <"$work/history"
write "$series" "$letter"

# Would the mails give the tree? Ask git am, on the base.
tgit worktree add -q --detach --no-checkout "$work/proof" base
git -C "$work/proof" read-tree base
find "$out" -name '*.patch' ! -name '*0000-cover-letter.patch' | sort >"$work/mails"
xargs -d '\n' git -C "$work/proof" am -q <"$work/mails" >"$PF_LOG/series.log" 2>&1 || {
	log_tail "$PF_LOG/series.log" >&2
	die "$E_PATCH" "the mails do not apply to the base"
}
[ "$(git -C "$work/proof" rev-parse 'HEAD^{tree}')" = "$(tgit rev-parse 'HEAD^{tree}')" ] ||
	die "$E_PATCH" "the mails do not give the tree of build/linux"
say "$(wc -l <"$work/mails") mails and their cover letters in $out;" \
	"applied to the base, they give build/linux"
say "To mail one: git send-email --to=... $out/NAME/*.patch"
# The base has no history: whoever mails looks these up there.
{
	echo 'Ids of Fixes: that could not be checked here:'
	xargs -d '\n' grep -h '^Fixes: ' <"$work/mails" | sort -u
	printf '\nPatches without Fixes:, of which some want Cc: stable as well:\n'
	grep '/1-fixes-' "$work/mails" | grep -v selftests |
		xargs -d '\n' grep -L '^Fixes: ' | sed "s|^$out/||" || :
} >"$out/to-check"
say "Before that, see $out/to-check"
