#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# anchors.sh [TREE [DOCUMENT...]]: checks that the code which the documents
# quote is in TREE (default: build/linux). Every ```c block of README.md and
# docs/*.md quotes. A line of it
#
#	/* FUNCTION(), FILE */
#
# says what follows, up to the next such line: lines of that function, in their
# order there. A struct's initializer is named without (). "..." and lines that
# are only a comment may stand between them.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

tree=${1:-$PF_BUILD/linux}
[ -d "$tree" ] || die "$E_USAGE" "no tree $tree (make tree)"
shift $(($# > 0))
[ $# -gt 0 ] || set -- "$PF_ROOT/README.md" "$PF_ROOT"/docs/*.md

awk -v tree="$tree" '
	function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
	function bad(text) { print FILENAME ":" FNR ": " text; wrong++ }

	# Read the body of name in file into body[1..n]; 0 when it is not there.
	function open_body(file, name,    line, inside) {
		n = at = 0
		while ((getline line <(tree "/" file)) > 0) {
			if (!inside && line ~ /^[a-zA-Z]/ && line !~ /;$/ &&
			    line ~ ("(^|[^a-zA-Z0-9_])" name "(\\(|\\[| =)"))
				inside = 1
			if (inside)
				body[++n] = trim(line)
			if (inside && line ~ /^}/)
				break
		}
		close(tree "/" file)
		return n
	}

	FNR == 1 { quoting = 0 }
	/^ *```/ { quoting = !quoting && $0 ~ /^ *```c$/; n = named = 0; next }
	!quoting { next }
	{ line = trim($0) }
	match(line, /^\/\* [a-z0-9_]+(\(\))?, [a-z0-9_\/.-]+ \*\/$/) {
		split(line, word, /[ ,()]+/)
		anchors++
		named = 1
		if (!open_body(word[3], word[2]))
			bad("there is no " word[2] " in " word[3])
		next
	}
	line == "" || line == "..." || line ~ /^\/\*.*\*\/$/ { next }
	!named { bad("where is this from? /* FUNCTION(), FILE */"); next }
	n {
		quoted++
		for (i = at + 1; i <= n && body[i] != line; i++)
			;
		if (i > n)
			bad("not there, or not in this order: " line)
		else
			at = i
	}
	END {
		print anchors + 0 " functions, " quoted + 0 " lines quoted, " wrong + 0 " wrong"
		exit !(quoted && !wrong)
	}' "$@"
