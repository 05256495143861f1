# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2034
#
# The layout of build/linux, and a git that behaves the same for everybody.
# Sourced after scripts/common.sh.
#
# Commits of build/linux, oldest first:
#   base       (tag) the base kernel
#   then for each directory of kernel/patches, a series of mails:
#     its cover letter: a commit without changes, the text with the trailer
#                `Series: DIRECTORY`
#     its patches, a commit each. The trailer `Files: PATH` names files of
#                kernel/files that the commit adds: one, or all below a
#                directory that no earlier commit adds.
# refs/peerfault/applied is the last of these as tree.sh left them.

TREE=$PF_BUILD/linux
FILES=$PF_ROOT/kernel/files
PATCHES=$PF_ROOT/kernel/patches
APPLIED=refs/peerfault/applied
ROLE='peerfault <peerfault@localhost>'

# A user's git settings (diff.noprefix, am.threeWay, commit.gpgSign, hooks...)
# would change the patches that we write or break applying them.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 LC_ALL=C
# The same inputs give the same commits on every machine.
export GIT_COMMITTER_NAME="${ROLE% <*}" GIT_COMMITTER_EMAIL=peerfault@localhost
export GIT_AUTHOR_NAME="${ROLE% <*}" GIT_AUTHOR_EMAIL=peerfault@localhost
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

# unfinished: build/linux is in the middle of a git am or rebase
unfinished() {
	[ -d "$TREE/.git/rebase-apply" ] || [ -d "$TREE/.git/rebase-merge" ]
}

# history: "COMMIT|TREE|SERIES|SUBJECT" of each commit after the base. SERIES is
# empty unless the commit is a cover letter.
history() {
	tgit log --reverse --first-parent base..HEAD \
		--format='%H|%T|%(trailers:key=Series,valueonly,separator=%x20)|%s'
}

# without_trailer KEY: the message on stdin without the trailers of that name
without_trailer() {
	awk -v key="$1:" '
		{ line[NR] = $0 }
		NF { last = NR }
		END {
			for (from = last; from > 1 && line[from - 1] != ""; from--)
				;
			n = 0
			for (i = 1; i <= last; i++)
				if (i < from || index(line[i], key " ") != 1)
					kept[++n] = line[i]
			while (n && kept[n] == "")
				n--
			for (i = 1; i <= n; i++)
				print kept[i]
		}'
}

# assign CLAIMS LIST: which mail adds each file of LIST, as "MAIL<tab>FILE".
# CLAIMS has "MAIL<tab>PATH", one for each `Files:`, in the order of the mails.
# "<tab>FILE": none adds it. "MAIL<tab>PATH<tab>": there is nothing for it to add.
assign() {
	awk -F '\t' -v OFS='\t' '
		FILENAME == ARGV[1] {
			sub("/+$", "", $2)
			mail[++n] = $1
			path[n] = $2
			next
		}
		{
			for (i = 1; i <= n; i++)
				if ($0 == path[i] || index($0, path[i] "/") == 1)
					break
			used[i] = 1
			print mail[i], $0
		}
		END {
			for (i = 1; i <= n; i++)
				if (!used[i])
					print mail[i], path[i], ""
		}' "$1" "$2"
}

# check_assigned FILE CODE: what assign() printed has an error
check_assigned() {
	pf_lines=$(sed -n 's/^\t//p' "$1")
	[ -z "$pf_lines" ] || die "$2" "no patch adds these files; give the one" \
		"that should a trailer \`Files: PATH\`:" "$pf_lines"
	pf_lines=$(sed -n 's/^\(.*\)\t\(.*\)\t$/\1: Files: \2/p' "$1")
	[ -z "$pf_lines" ] || die "$2" "no files are left for these trailers:" \
		"$pf_lines"
}

# format_patches RANGE DIR OPTION...: byte for byte what kernel/patches holds
format_patches() {
	pf_range=$1 pf_out=$2
	shift 2
	tgit format-patch -q --zero-commit --no-signature --full-index --always \
		--stat=72 --no-base --no-thread -o "$pf_out" "$@" "$pf_range"
}

# touched_sources: the files that the series touch and the kernel compiles, sorted
touched_sources() {
	tgit diff --name-only --diff-filter=d base HEAD -- '*.c' \
		':!tools' ':!Documentation' ':!samples' ':!scripts' | sort
}

# missing_sources SOURCES: those in that file, sorted, of which no object is on
# stdin
missing_sources() {
	sed 's#[^/]*/\.\./##; s/o$/c/' | sort | comm -23 "$1" -
}

# unlisted_sources SOURCES: those of them that kernel/objects does not name
unlisted_sources() {
	awk '!/^#/ { print $2 }' "$PF_ROOT/kernel/objects" | missing_sources "$1" |
		sed 's/$/ is not in kernel\/objects/'
}

# base_tree: the base, unpatched, in build/linux-base
base_tree() {
	side_tree "$PF_BUILD/linux-base" base
}

# side_tree DIR COMMIT: that commit of build/linux, checked out in DIR
side_tree() {
	if [ ! -e "$1/.git" ] || ! git -C "$1" rev-parse -q HEAD >/dev/null 2>&1; then
		rm -rf "$1"
		need_space "$PF_BUILD" 2000 "another kernel tree"
		tgit worktree prune
		run "$E_FAIL" "checkout-${1##*/}" git -C "$TREE" worktree add -q \
			--detach "$1" "$2"
	else
		git -C "$1" checkout -q -f --detach "$2"
	fi
}
