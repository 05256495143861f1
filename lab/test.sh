#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh [-l] [NAME...]: runs the suites of lab/suites, all or those named
# ("hmm_alias" for every topology, "hmm_alias@switch" for one), and ends with
# the line "N passed, N failed, N skipped". Exit code 0: nothing failed. 1:
# something did. 2: no such suite. Others: scripts/common.sh, when a build fails.
#
#	-l		list the suites
#	TOPOLOGY=name	only suites of this topology, and those of the host
#	LAB_NO_BUILD=1	build nothing, take what is there
#
# Results, all in build/results: what lab/suite.sh leaves there.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/lab/lib.sh"
cd "$PF_ROOT"

list=0
while getopts lh opt; do
	case $opt in
	l) list=1 ;;
	h) sed -n '4,17s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) exit "$E_USAGE" ;;
	esac
done
shift $((OPTIND - 1))
if [ -n "${TOPOLOGY:-}" ]; then
	topology_names | grep -qxF "$TOPOLOGY" || die "$E_USAGE" \
		"no topology '$TOPOLOGY'; there are:" "$(topology_names | paste -sd' ')"
fi

# One "item<TAB>kernel<TAB>topology<TAB>seconds<TAB>command" per run
items() {
	local name kernel topologies limit command topology
	while IFS=$'\t' read -r name kernel topologies limit command; do
		case $name in ''|'#'*) continue ;; esac
		if [ "$kernel" = host ]; then
			printf '%s\t%s\t-\t%s\t%s\n' "$name" host "$limit" "$command"
			continue
		fi
		[ "$topologies" != all ] || topologies=$(topology_names)
		for topology in $topologies; do
			[ "${TOPOLOGY:-$topology}" = "$topology" ] || continue
			printf '%s@%s\t%s\t%s\t%s\t%s\n' "$name" "$topology" \
				"$kernel" "$topology" "$limit" "$command"
		done
	done <"$LAB/suites"
}
all=$(items)
if [ "$list" -eq 1 ]; then
	cut -f 1,2,5 <<<"$all"
	exit 0
fi
if [ $# -eq 0 ]; then
	selected=$all
else
	selected=
	for want; do
		match=$(awk -F '\t' -v want="$want" \
			'$1 == want || index($1, want "@") == 1' <<<"$all")
		[ -n "$match" ] || die "$E_USAGE" "no suite '$want'; test.sh -l lists them"
		selected+=$match$'\n'
	done
fi

results=$PF_BUILD/results
mkdir -p "$results"
exec 9>"$results/lock"
flock -n 9 || die "$E_USAGE" "another test.sh is running in this clone"
find "$results" -mindepth 1 ! -path "$results/lock" -delete

# The lab's own boots take the kernel that most suites take.
kernels=$(awk -F '\t' '$2 != "host" && NF { print $2 }
	$1 == "lab-boot" { print "normal" }' <<<"$selected" | sort -u)
# shellcheck disable=SC2086 # a list
[ -z "$kernels" ] || "$LAB/build.sh" $kernels 9>&-

[ -e "$PF_BUILD/linux/.git" ] || "$PF_ROOT/kernel/tree.sh" 9>&-

# Guests of the normal kernel two at a time, because one keeps hardly more than
# one CPU busy. The debug kernel is near the kernel's own time limits as it is.
for kernel in host normal debug base; do
	case $kernel in
	normal) at_once=2 ;;
	*) at_once=1 ;;
	esac
	awk -F '\t' -v kernel="$kernel" '$2 == kernel' <<<"$selected" |
		xargs -r -d '\n' -n 1 -P "$at_once" "$LAB/suite.sh" "$results" 9>&- || :
done
passed=0 failed=0 skipped=0
while IFS=$'\t' read -r item _; do
	[ -n "$item" ] || continue
	p=0 f=1 s=0	# if it ended without a verdict
	[ ! -f "$results/$item.counts" ] || read -r p f s <"$results/$item.counts"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done <<<"$selected"
[ $((passed + failed + skipped)) -gt 0 ] || failed=1
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] || exit "$E_FAIL"
