#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# anchors.sh [-w] [TREE]: checks that the code which the guides quote is where
# they say, in TREE (default: build/linux). An anchor is `FILE:LINE` `CODE`, in
# one line of docs/*.md, and CODE is in that line of FILE.
#
#	-w	write the right numbers, where CODE is in one line of FILE only

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

write=0
if [ "${1:-}" = -w ]; then
	write=1
	shift
fi
tree=${1:-$PF_BUILD/linux}
[ -d "$tree" ] || die "$E_USAGE" "no tree $tree (make tree)"

# shellcheck disable=SC2016 # backticks of Markdown
anchor='`([^` :]+\.[a-z]+):([0-9]+)`( `([^`]+)`)?'
anchors=0 wrong=0

# place FILE LINE CODE: where CODE is: at LINE, or else where it is alone
place() {
	local lines
	if sed -n "$2p" "$tree/$1" | grep -qF -- "$3"; then
		echo "$2"
		return
	fi
	lines=$(grep -nF -- "$3" "$tree/$1" | cut -d : -f 1 | paste -sd' ')
	case $lines in
	*' '*|'') [ "$write" -eq 0 ] || lines='' ;;
	esac
	echo "$lines"
	[ "$write" -eq 1 ] && [ -n "$lines" ]
}

for doc in "$PF_ROOT"/docs/*.md; do
	text=''
	while IFS= read -r rest; do
		while [[ $rest =~ $anchor ]]; do
			all=${BASH_REMATCH[0]} file=${BASH_REMATCH[1]}
			line=${BASH_REMATCH[2]} code=${BASH_REMATCH[4]}
			anchors=$((anchors + 1))
			if [ -z "$code" ] || ! at=$(place "$file" "$line" "$code"); then
				say "${doc##*/}: $file:$line is not '$code'${at:+, but line $at}"
				wrong=$((wrong + 1)) at=$line
			fi
			text+=${rest%%"$all"*}${all/":$line\`"/":$at\`"}
			rest=${rest#*"$all"}
		done
		text+=$rest$'\n'
	done <"$doc"
	if [ "$write" -eq 1 ] && [ "$text" != "$(cat "$doc")"$'\n' ]; then
		printf '%s' "$text" >"$doc"
	fi
done
say "$anchors anchors, $wrong wrong"
[ "$anchors" -gt 0 ] && [ "$wrong" -eq 0 ]
