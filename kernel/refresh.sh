#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Write build/linux back to kernel/patches and kernel/files (kernel/layout.sh
# says which commit is what).
# Usage: refresh.sh [-n]
#
#   -n        write nothing: print what would change, and fail if anything would
#   FORCE=1   although kernel/ has changed since `make tree`: the tree wins
#
# Only two things may be uncommitted: an edit of a file of kernel/files that no
# later patch changes, and a new file that a commit's `Files:` covers.
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/layout.sh"
umask 022

case $* in
'' | -n) ;;
*) die "$E_USAGE" "usage: refresh.sh [-n]" ;;
esac
[ -d "$TREE/.git" ] || die "$E_USAGE" "there is no build/linux: run \`make tree\` first"
! unfinished || die "$E_DIRTY" "build/linux is in the middle of a git am or rebase:" \
	"finish it there first"
if [ -z "${FORCE:-}" ] &&
   [ "$(cat "$TREE/.git/peerfault-stamp" 2>/dev/null)" != "$(inputs_stamp)" ]; then
	die "$E_DIRTY" "kernel/ has changed since build/linux was made from it:" \
		"\`make tree\` first, or \`make refresh FORCE=1\` to overwrite kernel/"
fi

tmp=$PF_BUILD/.refresh
rm -rf "$tmp"
mkdir -p "$tmp/files" "$tmp/patches"
trap 'rm -rf "$tmp"' EXIT

# split_history: "COMMIT SERIES NUMBER" of each commit in $tmp/commits, number 0
# for a cover letter
split_history() {
	[ -z "$(tgit rev-list --merges base..HEAD)" ] ||
		die "$E_DIRTY" "build/linux has merge commits; rebase them: git rebase -i base"
	series='' before=$(tgit rev-parse 'base^{tree}')
	while IFS='|' read -r commit tree cover subject; do
		case $subject in
		fixup!* | squash!* | amend!*)
			die "$E_DIRTY" "\"$subject\" is not folded in yet:" \
				"git rebase -i --autosquash base" ;;
		esac
		if [ -n "$cover" ]; then
			new_series "$cover"
		elif [ -z "$series" ]; then
			die "$E_DIRTY" "\"$subject\" comes before the first cover letter:" \
				"git rebase -i base"
		else
			number=$((number + 1))
		fi
		echo "$commit $series $number"
		before=$tree
	done <"$tmp/history" >"$tmp/commits"
	[ -n "$series" ] || die "$E_DIRTY" "build/linux has no cover letter (a commit" \
		"without changes and with the trailer \`Series: NAME\`)"
}

# new_series NAME: the commit at hand is its cover letter
new_series() {
	[ "$tree" = "$before" ] || die "$E_DIRTY" "the cover letter of $1 changes" \
		"files; make them a commit of their own: git rebase -i base"
	case $1 in
	*[!A-Za-z0-9._-]* | [!A-Za-z0-9]*)
		die "$E_DIRTY" "\"Series: $1\": not the name of one directory" ;;
	esac
	# The names give the order when the tree is laid again.
	printf '%s\n' "$series" "$1" | sort -c -u 2>/dev/null ||
		die "$E_DIRTY" "\"Series: $1\" comes after \"Series: $series\":" \
			"rename one, or git rebase -i base"
	series=$1 number=0
}

# find_new_files: $tmp/claims, each `Files:`; $tmp/added, "COMMIT FILE" for what
# they add; $tmp/plain, those of them that no other commit touches
find_new_files() {
	tgit log --reverse --first-parent base..HEAD \
		--format='%H%x09%(trailers:key=Files,valueonly,separator=%x09)' |
		awk -F '\t' -v OFS='\t' '{ for (i = 2; i <= NF; i++)
			if ($i != "") print $1, $i }' >"$tmp/claims"
	tgit log --reverse --first-parent --no-renames --name-status \
		--format='commit	%H' base..HEAD |
		awk -F '\t' -v OFS='\t' -v plain="$tmp/plain.unsorted" '
			FILENAME == ARGV[1] { sub("/+$", "", $2); paths[$1, ++n[$1]] = $2; next }
			$1 == "commit" { commit = $2; next }
			NF < 2 { next }
			{ touched[$2]++ }
			$1 == "A" {
				for (i = 1; i <= n[commit]; i++)
					if ($2 == paths[commit, i] ||
					    index($2, paths[commit, i] "/") == 1) {
						print commit, $2
						mine[$2]
						break
					}
			}
			END { for (f in mine) if (touched[f] == 1) print f >plain }' \
			"$tmp/claims" - >"$tmp/added"
	[ ! -f "$tmp/plain.unsorted" ] || sort "$tmp/plain.unsorted" >"$tmp/plain"
}

# check_uncommitted: refuse what no patch and no file of kernel/ would hold
check_uncommitted() {
	{
		tgit ls-files --others --exclude-standard
		tgit diff --name-only --no-renames --diff-filter=A HEAD
	} | sort -u >"$tmp/new"
	tgit diff --name-only --no-renames HEAD | sort | comm -23 - "$tmp/new" >"$tmp/edited"
	comm -23 "$tmp/edited" "$tmp/plain" >"$tmp/refused"
	[ ! -s "$tmp/refused" ] || {
		say "In build/linux, to fold the edits into the last commit of each file:"
		while read -r path; do
			commit=$(tgit log -1 --format='%h|%s' base..HEAD -- "$path")
			case $commit in
			'') say "    git commit $path    (no patch has it: a new one)" ;;
			*) say "    git commit --fixup=${commit%%|*} $path    (${commit#*|})" ;;
			esac
		done <"$tmp/refused"
		say "    git rebase -i --autosquash base"
		die "$E_DIRTY" "uncommitted changes to files of the base or of a patch:" \
			"$(paste -sd ' ' "$tmp/refused")"
	} >&2

	# As tree.sh will assign them
	cut -f 2 "$tmp/added" | cat - "$tmp/new" | sort | while read -r path; do
		# deleted in the working tree: deleted from kernel/files
		[ ! -f "$TREE/$path" ] && grep -qxF -e "$path" "$tmp/edited" || echo "$path"
	done >"$tmp/list"
	assign "$tmp/claims" "$tmp/list" >"$tmp/assigned"
	check_assigned "$tmp/assigned" "$E_DIRTY"
	awk -F '\t' 'NR == FNR { to[$2] = $1; next }
		$2 in to && to[$2] != $1 { print to[$2] ": " $2 }' \
		"$tmp/assigned" "$tmp/added" >"$tmp/moved"
	[ ! -s "$tmp/moved" ] || die "$E_DIRTY" "the \`Files:\` of an earlier commit" \
		"name what a later one adds; make them say which files:" "$(cat "$tmp/moved")"
}

# write_files: kernel/files, each as the commit has it that adds it, or as it is
# in the working tree if it was edited there
write_files() {
	while read -r path; do
		mkdir -p "$tmp/files/$(dirname "$path")"
		commit=$(awk -F '\t' -v f="$path" '$2 == f { print $1 }' "$tmp/added")
		if [ -z "$commit" ] || grep -qxF -e "$path" "$tmp/edited"; then
			cp --preserve=mode "$TREE/$path" "$tmp/files/$path"
		else
			tgit cat-file blob "$commit:$path" >"$tmp/files/$path"
			! tgit ls-tree "$commit" -- "$path" | grep -q ^100755 ||
				chmod +x "$tmp/files/$path"
		fi
		if [ -s "$tmp/files/$path" ] && ! grep -Iq . "$tmp/files/$path"; then
			die "$E_DIRTY" "$path is a binary file: delete it, or ignore it"
		fi
	done <"$tmp/list"
}

# without_files COMMIT: it, as a new commit, without the files that it adds
without_files() {
	awk -F '\t' -v c="$1" '$1 == c { print $2 }' "$tmp/added" >"$tmp/less"
	GIT_INDEX_FILE=$tmp/index tgit read-tree "$1"
	sed 's/^/0 0000000000000000000000000000000000000000\t/' "$tmp/less" |
		GIT_INDEX_FILE=$tmp/index tgit update-index --index-info
	less=$(GIT_INDEX_FILE=$tmp/index tgit write-tree)
	tgit cat-file commit "$1" | sed "1s/.*/tree $less/" |
		tgit hash-object -t commit -w --stdin
}

# write_patches: kernel/patches
write_patches() {
	# "COMMIT SERIES NUMBER", and the last commit of the series
	awk 'NR == FNR { last[$2] = $1; next } { print $0, last[$2] }' \
		"$tmp/commits" "$tmp/commits" >"$tmp/ends"
	while read -r commit series number last; do
		if [ "$number" -eq 0 ]; then
			mkdir "$tmp/patches/$series"
			tgit log -1 --format=%B "$commit" | without_trailer Series \
				>"$tmp/patches/$series/cover"
			format_patches "$commit..$last" "$tmp/patches/$series" -N
		elif grep -q "^$commit" "$tmp/claims"; then
			less=$(without_files "$commit")
			format_patches "$less^..$less" "$tmp/patches/$series" -N \
				--start-number "$number"
		fi
	done <"$tmp/ends"
}

history >"$tmp/history"
split_history
: >"$tmp/plain"
find_new_files
check_uncommitted
write_files
write_patches
if [ "${1:-}" = -n ]; then
	for dir in patches files; do
		diff -r "$PF_ROOT/kernel/$dir" "$tmp/$dir" || exit "$E_FAIL"
	done
	exit 0
fi

mkdir -p "$FILES" "$PATCHES"
# By content: a file that is the same keeps its time.
for dir in files patches; do
	rsync -rpic --delete "$tmp/$dir/" "$PF_ROOT/kernel/$dir/" |
		sed -n "s|^[<>*][^ ]* *|    $dir/|p"
done
rm -rf "$tmp"

# Lay it again: this proves that what was written gives the tree back, and
# commits new files.
rm -f "$TREE/.git/peerfault-stamp"
FORCE='' "$PF_ROOT/kernel/tree.sh" >/dev/null
say "kernel/ is what build/linux is"
