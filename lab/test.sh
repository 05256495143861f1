#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh [-l] [TIER]: runs the suites of lab/suites: those of the tier test
# (default), of test and all, or of all three with long. It ends with the line
# "N passed, N failed, N skipped". Exit code 0: nothing failed. 1: something did.
# 2: no such suite.
#
#	-l		list what would run
#	SUITE="NAME..."	these instead of a tier: NAME as in lab/suites (all of its
#			boots), NAME@TOPOLOGY or NAME@TOPOLOGY+KERNEL
#	TEST=GLOB	of SUITE, the tests that it names
#	TOPOLOGY=name	only suites of this topology, and those of the host
#	KERNEL=name	with SUITE: the kernel of those that name none; a path: the
#			bzImage that is the normal kernel
#	JOBS=n		so many guests at a time (default: by CPUs and memory)
#	LAB_NO_BUILD=1	build nothing, take what is there
#
# Results, all in build/results: what lab/suite.sh leaves there.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
# shellcheck source=lab/topology.sh
. "$PF_ROOT/lab/topology.sh"
# shellcheck source=lab/suites.sh
. "$PF_ROOT/lab/suites.sh"
cd "$PF_ROOT"

list=0
while getopts lh opt; do
	case $opt in
	l) list=1 ;;
	h) sed -n '4,21s/^# \{0,1\}//p' "$0"; exit 0 ;;
	*) exit "$E_USAGE" ;;
	esac
done
shift $((OPTIND - 1))
case ${1:-test} in
test) tiers='test' ;;
all) tiers='test all' ;;
long) tiers='test all long' ;;
*) die "$E_USAGE" "no tier '$1'; there are: test all long" ;;
esac
[ -z "${TOPOLOGY:-}" ] || topology_files "$TOPOLOGY" >/dev/null
own_kernel=$(kernel_name)
if [ -z "${SUITE:-}" ]; then
	[ -z "${TEST:-}" ] || die "$E_USAGE" "TEST names tests of a suite: say SUITE=... as well"
	[ "$own_kernel" = normal ] || die "$E_USAGE" \
		"each suite has its kernel: say SUITE=... as well as KERNEL=$KERNEL"
fi
case ${TEST:-} in
*[[:space:]\'\"]*) die "$E_USAGE" "TEST has blanks or quotes; ? stands for any one of them" ;;
esac

table=$(suites_read)

# item NAME KERNEL TOPOLOGY: "ITEM KERNEL TOPOLOGY SECONDS ALLOW COMMAND"
item() {
	awk -F '\t' -v OFS='\t' -v name="$1" -v kernel="$2" -v topology="$3" '
	$1 == "suite" && $2 == name {
		item = name (kernel == "host" ? "" : "@" topology) \
		       (kernel ~ /^(host|normal)$/ ? "" : "+" kernel)
		print item, kernel, topology, $3 * (kernel == "debug" ? 3 : 1), $4, $5
	}' <<<"$table"
}

# boots TIER|NAME: the items of a tier, or of a suite
boots() {
	local tier kernel name topology
	while IFS=$'\t' read -r _ tier kernel name topology; do
		[ "$tier" = "$1" ] || [ "$name" = "$1" ] || continue
		if [ "$kernel" != host ] && [ "${TOPOLOGY:-$topology}" != "$topology" ]; then
			continue
		fi
		item "$name" "$kernel" "$topology"
	done < <(grep '^run' <<<"$table")
}

# named NAME[@TOPOLOGY[+KERNEL]]: its items
named() {
	local name=${1%%@*} topology='' kernel=$own_kernel
	cut -f 1,2 <<<"$table" | grep -qxF "suite"$'\t'"$name" ||
		die "$E_USAGE" "no suite '$name'; lab/test.sh -l long lists them"
	if grep -q "^run"$'\t[a-z]*\t'"host"$'\t'"$name"$'\t' <<<"$table"; then
		[ "$1" = "$name" ] || die "$E_USAGE" "suite '$name' runs on the host: not '$1'"
		item "$name" host -
		return
	fi
	case $1 in
	*@*+*) topology=${1#*@} kernel=${1##*+} topology=${topology%+*} ;;
	*@*) topology=${1#*@} ;;
	*)	# As listed; on another kernel, on the topologies listed for the normal
		# one; on one that is not listed, there
		if [ "$kernel" = normal ] && [ -n "$(boots "$name")" ]; then
			# The debug kernel's only when there are no others
			boots "$name" | awk -F '\t' '
				{ all = all $0 "\n" }
				$2 != "debug" { few = few $0 "\n" }
				END { printf "%s", few == "" ? all : few }'
			return
		fi
		topology=${TOPOLOGY:-switch} ;;
	esac
	topology_files "$topology" >/dev/null
	known_kernel "$kernel"
	item "$name" "$kernel" "$topology"
}

selected=''
if [ -n "${SUITE:-}" ]; then
	for name in $SUITE; do
		lines=$(named "$name")
		selected+=$lines$'\n'
	done
else
	for tier in $tiers; do
		lines=$(boots "$tier")
		selected+=$lines$'\n'
	done
fi
selected=$(sed '/^$/d' <<<"$selected" | awk -F '\t' '!seen[$1]++')
[ -n "$selected" ] || die "$E_USAGE" "nothing to run on topology ${TOPOLOGY:-}"
if [ "$list" -eq 1 ]; then
	cut -f 1,6 <<<"$selected"
	exit 0
fi
# The normal kernel's path holds wherever a suite looks for it; its name would
# reach kernel/build.sh.
case ${KERNEL:-} in
*/*) KERNEL=$(realpath "$KERNEL") ;;
*) unset KERNEL ;;
esac

results=${LAB_RESULTS:-$PF_BUILD/results}	# lab/selftest has its own
mkdir -p "$results"
exec 9>"$results/lock"
flock -n 9 || die "$E_USAGE" "another test.sh is running in this clone"
find "$results" -mindepth 1 ! -path "$results/lock" -delete

# at_once KERNEL: how many run side by side, and how many more of those that may run
# beside others. A guest keeps hardly more than one CPU busy, and has 2 GiB. The debug
# kernel is near the kernel's own time limits as it is, and needs memory for what it
# checks. On the host things share files.
at_once() {
	local jobs memory beside=0
	memory=$(awk '/^MemAvailable/ { print int($2 / 2621440) }' /proc/meminfo)
	case $1 in
	host) jobs=1 ;;
	debug) jobs=$(($(nproc) / 2)) ;;
	*) jobs=$(nproc) ;;
	esac
	[ "$jobs" -lt "$memory" ] || jobs=$memory
	[ "$1" = host ] || jobs=${JOBS:-$jobs}
	[ "$jobs" -gt 0 ] || jobs=1
	if [ "$1" != debug ] && [ -z "${JOBS:-}" ] && [ "$memory" -gt "$jobs" ]; then
		beside=$((memory - jobs))
		[ "$beside" -lt "$(nproc)" ] || beside=$(nproc)
	fi
	echo "$jobs $beside"
}

# run_all N [LINE]...: N at a time
run_all() {
	local jobs=$1
	shift
	[ $# -gt 0 ] || return 0
	printf '%s\n' "$@" | ACCEL=${accel:-${ACCEL:-}} xargs -r -d '\n' -n 1 \
		-P "$jobs" "$LAB/suite.sh" "$results" 9>&- || :
}

# batch KERNEL LINE...: builds what these need and runs them
batch() {
	local kernel=$1 need=$1 accel='' begin jobs beside line others=() besides=()
	shift
	if [ "$kernel" = host ]; then
		# The lab's own boots take the kernel that most suites take, and the fuzzer
		# is built with it.
		need=$(printf '%s\n' "$@" |
			grep -qE '^(lab-boot|lab-red|torture-unit)'$'\t' && echo normal) || :
	fi
	if [ -n "$need" ]; then
		# What is not built cannot run, and counts as failed.
		# shellcheck disable=SC2046 # a list of topologies
		"$LAB/build.sh" "$need" $(printf '%s\n' "$@" | cut -f 3 |
			grep -vx -e - | sort -u) 9>&- || return 0
		accel=${ACCEL:-auto}
		[ "$accel" != auto ] || accel=$("$LAB/accel.sh" "$need" 9>&-) || return 0
	fi
	begin=$SECONDS
	read -r jobs beside < <(at_once "$kernel")
	for line; do
		if [ "$beside" -gt 0 ] && grep -qxF "beside"$'\t'"${line%%[@$'\t']*}" <<<"$table"; then
			besides+=("$line")
		else
			others+=("$line")
		fi
	done
	run_all "$beside" "${besides[@]}" &
	# A guest that waits leaves the CPU to others. Beside programs of the host only
	# what is like them.
	[ "$kernel" != host ] || wait
	run_all "$jobs" "${others[@]}"
	wait
	[ "${#others[@]}" -gt 0 ] || jobs=
	[ "${#besides[@]}" -eq 0 ] || jobs="${jobs:+$jobs and }$beside"
	say "    kernel $kernel: $# suites, $jobs at a time, in $((SECONDS - begin)) s"
}

# The judge's parser, and what the host's checks look at
[ -e "$PF_BUILD/linux/.git" ] || "$PF_ROOT/kernel/tree.sh" 9>&-
# In the order of lab/suites: what it lists in a row for one kernel is a batch.
lines=() last=''
while IFS= read -r line; do
	IFS=$'\t' read -r _ kernel _ <<<"$line"
	if [ "$kernel" != "$last" ] && [ -n "$last" ]; then
		batch "$last" "${lines[@]}"
		lines=()
	fi
	lines+=("$line") last=$kernel
done <<<"$selected"
batch "$last" "${lines[@]}"

passed=0 failed=0 skipped=0
while IFS=$'\t' read -r item _; do
	if [ -f "$results/$item.counts" ]; then
		read -r p f s _ <"$results/$item.counts"
	else
		p=0 f=1 s=0
		say "    $item: not run, or without a verdict: counts as failed"
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done <<<"$selected"
say "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] || exit "$E_FAIL"
