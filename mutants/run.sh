#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh [-l] [NN]...: puts the bug of each mutants/NN-NAME.patch in, one at a
# time, builds what it changes, runs just the tests that have to see it, and takes
# it out again. KTAP on stdout. mutants/mutants.sh says what a mutant is.
#
#	-l	list the mutants in the order in which they are run, with what
#		mutants/seen has of each; run nothing
#
# A mutant fails if its test stays green, and as well if it is red in another way
# than the patch says: something does not build, the guest does not boot or ends
# early, or the test is not run.
#
# First of all the same tests have to be green without a mutant. That is left out
# for NN, or if it was so at this commit before.
#
# mutants/seen keeps how each was last seen, and at which commit of kernel,
# devices and lab. A run passes over those that were red at this commit, so it
# goes on where the last one was interrupted. NN is always run. LAB_NO_BUILD=1
# takes for granted that all is built before the first mutant.
#
# Exit code 0: all are red. 1: one is not. 18: edits are in the way.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
# shellcheck source=kernel/kbuild.sh
. "$PF_ROOT/kernel/kbuild.sh"
cd "$PF_ROOT"
# shellcheck source=mutants/mutants.sh
. "$PF_ROOT/mutants/mutants.sh"

list=0
case ${1:-} in
-h|--help) sed -n '4,25s/^# \{0,1\}//p' "$0"; exit 0 ;;
-l) list=1; shift ;;
-*) die "$E_USAGE" "no option '$1'; there is: -l" ;;
esac
# M= of our Makefile would be that of the kernel's.
unset KERNEL TOPOLOGY SUITE TEST QEMU_ARGS JOBS M MAKEFLAGS MFLAGS MAKELEVEL
tree=$PF_BUILD/linux work=$PF_BUILD/mutants seen=mutants/seen
code=(kernel devices lab)
commit=$(git log -1 --format=%h -- "${code[@]}")

# --- which, in what order, and what was seen of them

# goals FILE TOPOLOGY: what kbuild has to make for it
goals() {
	[ "$(fields Apply "$1")" = tree ] && [ "$2" != - ] || return 0
	if [ -z "$(topology_modules "$2")" ]; then
		echo bzImage
	elif mutant_paths "$1" | grep -qv '^drivers/gpu/drm/\(nouveau\|xe\)/'; then
		echo bzImage modules
	else
		echo modules
	fi
}

# rank FILE: what to sort by. First what needs no kernel, then what needs modules
# only, then what needs an image; and mutants of one file one after another.
rank() {
	local line kernel topology
	read -r line _ < <(fields Expect "$1")
	IFS=$'\t' read -r _ kernel topology _ < <(suite_line "$line") ||
		die "$E_USAGE" "$1: lab/suites has no $line"
	case $kernel,$(goals "$1" "$topology") in
	host,*) printf 1 ;;
	*,) printf 2 ;;
	normal,modules) printf 3 ;;
	normal,*) printf 4 ;;
	*) printf 5 ;;
	esac
	echo " $(mutant_paths "$1" | head -n 1) $1"
}

sum() {
	sha256sum "$1" | cut -c 1-12
}

name() {
	basename "$1" .patch
}

# row FILE: "COMMIT RESULT" of its line in mutants/seen, if the patch is the same
row() {
	awk -F '\t' -v name="$(name "$1")" -v sum="$(sum "$1")" '
		$1 == name && $3 == sum { print $2, $4 }' "$seen"
}

# record FILE RESULT SECONDS TEXT
record() {
	[ -n "$commit" ] || return 0
	{
		grep '^#' "$seen"
		{
			awk -F '\t' -v name="$(name "$1")" '!/^#/ && $1 != name' "$seen"
			printf '%s\t' "$(name "$1")" "$commit" "$(sum "$1")" "$2" "$3"
			printf '%s\n' "$4"
		} | sort -n
	} >"$work/seen"
	cp "$work/seen" "$seen"
}

files=()
for number; do
	found=(mutants/"$number"-*.patch)
	[ -f "${found[0]}" ] || die "$E_USAGE" "there is no mutants/$number-*.patch"
	files+=("${found[@]}")
done
named=${#files[@]}
[ "$named" -gt 0 ] || files=(mutants/*.patch)
ranked=$(for file in "${files[@]}"; do rank "$file" || exit; done)
mapfile -t files < <(sort -k 1,1n -k 2,2 -k 3,3V <<<"$ranked" | cut -d ' ' -f 3)
if [ "$list" -eq 1 ]; then
	for file in "${files[@]}"; do
		printf '%-30s %-14s %s\n' "$(name "$file")" "$(row "$file")" \
			"$(fields Expect "$file" | paste -sd,)"
	done
	exit 0
fi

# --- what was left behind, and what is in the way

mkdir -p "$work"
exec 9>"$work/lock"
flock -n 9 || die "$E_USAGE" "another mutants/run.sh is running in this clone"

# take_out: what put_in has put in, now or in a run that was killed
take_out() {
	local dir
	[ -s "$work/applied" ] || return 0
	dir=$(cat "$work/applied")
	git -C "$dir" apply -R "$work/applied.patch" 2>/dev/null ||
		git -C "$dir" apply --check "$work/applied.patch" ||
		die "$E_DIRTY" "$dir has a mutant, and edits: take out $work/applied.patch"
	: >"$work/applied"
}

put_in() {
	local dir
	dir=$(mutant_dir "$1")
	git -C "$dir" apply --check "$PF_ROOT/$1" || return
	cp "$1" "$work/applied.patch"
	echo "$dir" >"$work/applied"
	git -C "$dir" apply "$work/applied.patch"
}

take_out
[ -e "$tree/.git" ] || kernel/tree.sh >&2
[ -z "$(git -C "$tree" status --porcelain)" ] ||
	die "$E_DIRTY" "build/linux has edits; a mutant must be the only one"
if [ -n "$(git status --porcelain -- "${code[@]}")" ]; then
	note "${code[*]} have edits: what is seen of them is not recorded"
	commit=
fi

# --- build

# A kernel with a mutant must not pass for one without: its image goes in the end,
# and kernel/build.sh makes another. image has the kernels whose image has one.
declare -A image=() touched=()
leave() {
	take_out
	for kernel in "${!touched[@]}"; do
		rm -f "$PF_BUILD/kernel-$kernel/arch/x86/boot/bzImage"
	done
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# build FILE KERNEL TOPOLOGY: what it changes. After the first image of a mutant
# the next one needs an image without that.
build() {
	local out=$PF_BUILD/kernel-$2 goals models
	models=$(mutant_paths "$1" | sed -n 's|^devices/\([a-z0-9]*\)/.*|\1|p' | sort -u)
	# shellcheck disable=SC2086 # a list of words
	[ -z "$models" ] || devices/build.sh $models || return
	goals=$(goals "$1" "$3")
	[ "$3" = - ] || [ -z "${image[$2]:-}" ] || [[ $goals == bzImage* ]] ||
		goals="bzImage $goals"
	[ -n "$goals" ] || return 0
	rm -f "$out"/.peerfault-*
	touched[$2]=1
	[[ $goals != bzImage* ]] || image[$2]=1
	# shellcheck disable=SC2086 # a list of words
	(kernel_env "$PF_ROOT"
	 [ "$2" != debug ] || export KCFLAGS=-g1
	 kmake "$tree" "$out" $goals)
}

# --- run and judge

# ended CODE: whether lab/judge.py says that lab/run.sh ended with E_CODE
ended() {
	grep -qF "    $item: $(sed -n "s/^E_$1=[0-9]*\t# //p" scripts/common.sh)" "$log"
}

# in_job: the guest's last word came while it ran tests, and those are the GLOB's
in_job() {
	grep -q 'peerfault-lab: job: ' "$console" && ! grep -q 'peerfault-lab: job done' "$console"
}

# judge KIND [WORD...]: whether it was red in just this way. Sets text.
judge() {
	local name others=0
	console=$results/$item/console.log text=
	# The second is of a suite that lab/expect compares with the base kernel.
	while IFS= read -r name; do
		# shellcheck disable=SC2053 # a glob
		if [[ $name == $glob || $name == $glob.* ]]; then
			text+="${text:+ }${name// /_}"
		else
			others=1
		fi
	done < <(sed -nE "s/^    ${item//+/\\+}: (.*): (failed|FAIL, on the base kernel .*)$/\1/p" "$log")
	text=${text:0:160}
	[ "$others" -eq 0 ] || return
	case $1 in
	failed)	[ -n "$text" ] && ! ended VM && ! ended TIMEOUT && ! ended TOPOLOGY ;;
	log)	shift
		text="kernel log: $*"
		! ended VM && ! ended TIMEOUT && ! ended TOPOLOGY &&
			[ -s "$results/$item/klog" ] && grep -qF -- "$*" "$console" ;;
	lost)	text=$(sed -n 's/.*\(Kernel panic.*\)/\1/p' "$console" | tr -d '\r' | head -n 1)
		ended VM && [ -n "$text" ] && in_job ;;
	hang)	text=hang
		ended TIMEOUT && in_job ;;
	*)	die "$E_USAGE" "Red: there is no $1" ;;
	esac
}

# suite TEST WORD...: lab/suite.sh with a line of these words
suite() {
	local line
	printf -v line '%s\t' "${@:2}"
	LAB_NO_BUILD=1 TEST=$1 lab/suite.sh "$results" "${line%$'\t'}" >"$log" 2>&1 \
		</dev/null 9>&- || :
}

# expect SUITE GLOB RED: runs it; 0 if it is red. Sets result and text.
expect() {
	local item=$1 glob=$2 red=$3 kernel topology limit allow command
	IFS=$'\t' read -r item kernel topology limit allow command < <(suite_line "$item")
	case $red in
	hang*) limit=${red#hang } red=hang ;;
	esac
	result=wrong text="does not build: $log.build"
	build "$file" "$kernel" "$topology" >"$log.build" 2>&1 </dev/null || return
	suite "$glob" "$item" "$kernel" "$topology" "$limit" "$allow" "$command"
	# shellcheck disable=SC2086 # a list of words
	if judge $red; then
		result=red
		return
	fi
	text="not red as expected: $log"
	if grep -qE "^    ${item//+/\\+}: [1-9][0-9]* passed, 0 failed" "$log"; then
		result=green text="$glob stays green"
	fi
	return 1
}

# mutant FILE: all of it. Its output is a failure's diagnostics.
mutant() {
	local file=$1 begin=$SECONDS n=0 red suite glob
	results=$work/$(name "$file") result=wrong text='does not apply'
	rm -rf "$results"
	mkdir -p "$results"
	red=$(fields Red "$file")
	if put_in "$file"; then
		while read -r suite glob; do
			n=$((n + 1)) log=$results/log.$n
			expect "$suite" "$glob" "${red:-failed}" || break
		done < <(fields Expect "$file")
		take_out
		case $(mutant_paths "$file") in
		devices/*) build "$file" - - >/dev/null 2>&1 ;;
		esac
	fi
	record "$file" "$result" $((SECONDS - begin)) "$text"
	echo "$result: $text"
	[ "$result" = red ] && return
	[ ! -s "${log:-}" ] || cat "$log"
	return 1
}

# green SUITE: all that the mutants expect to be red of it is green without one
green() {
	local globs item kernel topology limit allow command glob counts tests=('')
	results=$work/green
	mkdir -p "$results"
	mapfile -t globs < <(for file in "${files[@]}"; do
		fields Expect "$file" | sed -n "s/^$1 //p"
	done | sort -u)
	IFS=$'\t' read -r item kernel topology limit allow command < <(suite_line "$1")
	log=$results/$item.log
	case " $command " in
	*" ksft "*)
		# shellcheck disable=SC2001 # a regular expression
		command=$(sed 's/ -t [^ ]*//g' <<<"$command")
		command=${command/ksft /ksft $(printf -- '-t %s ' "${globs[@]}")} ;;
	*" kunit ") ;;
	*) tests=("${globs[@]}") ;;
	esac
	for glob in "${tests[@]}"; do
		rm -f "$results/$item.counts"
		suite "$glob" "$item" "$kernel" "$topology" "$limit" "$allow" "$command"
		counts=$(cat "$results/$item.counts") || counts=none
		[[ $counts =~ ^[1-9][0-9]*\ 0\  ]] || { cat "$log"; return 1; }
	done
	echo "$green" >"$results/$item.green"
}

# prepare: all that the mutants start from, if a guest runs any
prepare() {
	local suite kernel topology
	local -A wanted=()
	for file in "${files[@]}"; do
		while read -r suite _; do
			IFS=$'\t' read -r _ kernel topology _ < <(suite_line "$suite")
			[ "$kernel" = host ] || wanted[$kernel]+=" $topology"
		done < <(fields Expect "$file")
	done
	[ "${#wanted[@]}" -gt 0 ] || return 0
	for kernel in "${!wanted[@]}"; do
		# shellcheck disable=SC2046,SC2086 # lists of words
		lab/build.sh "$kernel" $(printf '%s\n' ${wanted[$kernel]} | sort -u)
	done
	ACCEL=$(lab/accel.sh "${!wanted[@]}")
	export ACCEL
}

[ -n "${LAB_NO_BUILD:-}" ] || prepare >&2
mapfile -t wanted < <(for file in "${files[@]}"; do fields Expect "$file"; done |
	cut -d ' ' -f 1 | sort -u)
[ "$named" -eq 0 ] || wanted=()
ktap_begin $((${#files[@]} + ${#wanted[@]}))
for item in ${wanted[0]+"${wanted[@]}"}; do
	# Of this commit, and of these expectations
	green=$commit-$(for file in "${files[@]}"; do fields Expect "$file"; done |
		grep -F "$item " | sort -u | sha256sum)
	if [ -n "$commit" ] && [ "$(cat "$work/green/$item.green" 2>/dev/null)" = "$green" ]; then
		ktap_result 0 "$item without a mutant, seen at $commit"
	else
		ktap_test "$item without a mutant" green "$item"
	fi
done
for file in "${files[@]}"; do
	if [ "$named" -eq 0 ] && [ -n "$commit" ] && [ "$(row "$file")" = "$commit red" ]; then
		ktap_result 0 "$(name "$file"), seen at $commit"
	else
		ktap_test "$(name "$file")" mutant "$file"
		say "# $result: $text"
	fi
done
ktap_end
