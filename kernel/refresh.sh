#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Write build/linux back to kernel/files and kernel/patches.
#
# Files: what the overlay commit brought, as it is in the working tree now,
# and every untracked file. Patches: one per commit after the overlay.
#   FORCE=1   although kernel/ has changed since `make tree`: the tree wins
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/lib.sh"

[ -d "$TREE/.git" ] || die "$E_USAGE" "there is no build/linux: run \`make tree\` first"
if [ -d "$TREE/.git/rebase-apply" ] || [ -d "$TREE/.git/rebase-merge" ]; then
	die "$E_DIRTY" "build/linux is in the middle of a git am or rebase:" \
		"finish it there first"
fi
if [ -z "${FORCE:-}" ] &&
   [ "$(cat "$TREE/.git/peerfault-stamp" 2>/dev/null)" != "$(inputs_stamp)" ]; then
	die "$E_DIRTY" "kernel/ has changed since build/linux was made from it:" \
		"\`make tree\` first, or \`make refresh FORCE=1\` to overwrite kernel/"
fi

overlay=$(overlay_commit)
[ -n "$overlay" ] || die "$E_DIRTY" "build/linux has no overlay commit after the base"
tmp=$PF_BUILD/.refresh
rm -rf "$tmp"
mkdir -p "$tmp/files" "$tmp/patches"
trap 'rm -rf "$tmp"' EXIT

# What belongs to the overlay, and what was done to it
tgit diff --name-only --no-renames base "$overlay" | LC_ALL=C sort >"$tmp/overlay"
changed=$(tgit diff --name-only --no-renames --diff-filter=a base "$overlay")
[ -z "$changed" ] || die "$E_DIRTY" "the overlay commit changes files of the" \
	"base; make that a commit of its own:" "$changed"

# A commit that edits an overlay file would leave its first version in files/
# and the rest in a patch: nobody could review that.
tgit diff --name-only --no-renames "$overlay" HEAD | LC_ALL=C sort >"$tmp/patched"
both=$(LC_ALL=C comm -12 "$tmp/overlay" "$tmp/patched")
[ -z "$both" ] || die "$E_DIRTY" "commits after the overlay change overlay" \
	"files; leave such edits uncommitted, or fold them into the overlay" \
	"commit (git rebase -i base):" "$both"

tgit diff --name-only --no-renames HEAD | LC_ALL=C sort >"$tmp/modified"
tgit ls-files --others --exclude-standard | LC_ALL=C sort >"$tmp/untracked"
LC_ALL=C comm -23 "$tmp/modified" "$tmp/overlay" |
	LC_ALL=C comm -23 - "$tmp/untracked" >"$tmp/base-edits"
# A new file that is staged but not committed is new all the same.
tgit diff --name-only --no-renames --diff-filter=A HEAD | LC_ALL=C sort >"$tmp/staged"
edits=$(LC_ALL=C comm -23 "$tmp/base-edits" "$tmp/staged")
[ -z "$edits" ] || die "$E_DIRTY" "uncommitted changes to files of the base or" \
	"of a patch; commit them in build/linux (git commit --fixup=PATCH, then" \
	"git rebase -i --autosquash overlay):" "$edits"

LC_ALL=C sort -u "$tmp/overlay" "$tmp/untracked" "$tmp/staged" >"$tmp/list"
while read -r path; do
	# deleted in the working tree: deleted from kernel/files
	[ -f "$TREE/$path" ] || continue
	if [ -s "$TREE/$path" ] && ! grep -Iq . "$TREE/$path"; then
		die "$E_DIRTY" "$path is a binary file: delete it, or ignore it"
	fi
	mkdir -p "$tmp/files/$(dirname "$path")"
	cp "$TREE/$path" "$tmp/files/$path"
done <"$tmp/list"

format_patches "$overlay..HEAD" "$tmp/patches" -N

mkdir -p "$FILES" "$PATCHES"
# By content: a file that is the same keeps its time.
rsync -rpic --delete "$tmp/files/" "$FILES/" | sed -n 's/^[<>*][^ ]* */    files\//p'
rsync -rpic --delete --include='*.patch' --exclude='*' "$tmp/patches/" "$PATCHES/" |
	sed -n 's/^[<>*][^ ]* */    patches\//p'
rm -rf "$tmp"

# Lay it again: this proves that what was written gives the tree back, and
# moves new overlay files into the overlay commit.
rm -f "$TREE/.git/peerfault-stamp"
FORCE='' "$PF_ROOT/kernel/tree.sh" >/dev/null
say "kernel/ is what build/linux is"
