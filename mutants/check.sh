#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check.sh: checks that each mutants/NN-NAME.patch applies, that its number is its
# own, and that its `Expect:` lines name tests that there are. Builds nothing.
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
cd "$PF_ROOT"
# shellcheck source=mutants/mutants.sh
. "$PF_ROOT/mutants/mutants.sh"
tree=$PF_BUILD/linux
tests=$tree/tools/testing/selftests

# kselftests PROGRAM...: PROGRAM.FIXTURE[.VARIANT].TEST of each
kselftests() {
	local program source
	for program; do
		for source in "$tests"/{hmm_alias,mm}/"$program.c" lab/jobs/"$program.c"; do
			[ ! -f "$source" ] || sed -nE "s/^(FIXTURE_VARIANT_ADD|TEST_F)(_TIMEOUT)?\((\w+), *(\w+).*/$program \1 \3 \4/p" "$source"
		done
	done | awk '
		$2 == "TEST_F" { test[++n] = $4; of[n] = $1 " " $3; next }
		{ variant[$1 " " $3] = variant[$1 " " $3] " " $4 }
		END {
			for (i = 1; i <= n; i++) {
				split(of[i], w, " ")
				m = split(variant[of[i]], v, " ")
				if (!m)
					print w[1] "." w[2] "." test[i]
				for (j = 1; j <= m; j++)
					print w[1] "." w[2] "." v[j] "." test[i]
			}
		}'
}

# kunit: SUITE.TEST of each
kunit() {
	awk '
		match($0, /KUNIT_CASE[A-Z_]*\([a-z0-9_]+/) {
			split(substr($0, RSTART, RLENGTH), w, "(")
			test[++n] = w[2]
		}
		/^static struct kunit_suite/ { suite = 1 }
		suite && /\.name = / {
			split($0, w, "\"")
			for (; n; n--)
				print w[2] "." test[n]
			suite = 0
		}' \
		"$tree"/mm/tests/hmm*_kunit.c "$tree"/drivers/gpu/drm/tests/drm_alias_test.c \
		"$tree"/drivers/infiniband/core/tests/odp_kunit.c
}

# script FILE...: what it calls its tests, those of another script with .*
script() {
	sed -nE 's/.*ktap_test "([^"$]+).*/\1/p; s/.*ktap_test ([a-z][a-z0-9_]*) .*/\1/p
		 s/.*ktap_suite ([a-z][a-z0-9-]*) .*/\1.*/p' "$@"
}

# names COMMAND...: the tests of a suite that runs it; * if nothing here knows
names() {
	local globs=() name glob words=("$@")
	case " $* " in
	*" ksft "*)
		while [ "${words[0]}" != ksft ]; do words=("${words[@]:1}"); done
		words=("${words[@]:1}")
		while [ "${words[0]}" = -t ]; do
			globs+=("${words[1]}")
			words=("${words[@]:2}")
		done
		kselftests "${words[@]}" | while read -r name; do
			for glob in "${globs[@]:-*}"; do
				# shellcheck disable=SC2053 # a glob
				[[ $name != $glob ]] || { echo "$name"; break; }
			done
		done ;;
	" kunit ") kunit ;;
	*"topo-test "*) script lab/guest/bin/topo-test ;;
	*" scripts/check.sh "*) script scripts/check.sh ;;
	*"/unit.sh "*)
		awk -F '[ (:]' '/^class / { class = $2 } /^    def test_/ { print class "." $6 }' \
			"$(dirname "$1")"/*.py ;;
	*) echo '*' ;;
	esac
}

# wrong TEXT...: of $file
wrong() {
	say "$file: $*"
	bad=$((bad + 1))
}

# There are few suites, and many mutants.
declare -A known

# expectation SUITE GLOB
expectation() {
	local line topology kernel command name words
	line=$(suite_line "$1")
	[ -n "$line" ] || { wrong "lab/suites has no suite ${1%%@*}"; return; }
	IFS=$'\t' read -r _ kernel topology _ _ command <<<"$line"
	[ "$topology" = - ] || [ -f "lab/topologies/$topology" ] ||
		wrong "no topology $topology"
	[[ " host $PF_KERNELS " == *" $kernel "* ]] || wrong "no kernel $kernel"
	read -ra words <<<"$command"
	[ -n "${known[$command]:-}" ] || known[$command]=$(names "${words[@]}")
	while IFS= read -r name; do
		# Either may be a glob.
		# shellcheck disable=SC2053
		[[ $name != $2 && $2 != $name ]] || return 0
	done <<<"${known[$command]}"
	wrong "suite $1 has no test $2"
}

# The table of docs/properties.md, by the numbers in its first column
declare -A row
for range in $(sed -nE 's/^\| ([0-9]{2,3}[0-9, -]*) \|.*/\1/p' docs/properties.md | tr ',' ' '); do
	for ((n = 10#${range%-*}; n <= 10#${range#*-}; n++)); do
		row[$n]=$range
	done
done

bad=0 count=0
for file in mutants/*.patch; do
	count=$((count + 1))
	number=${file##*/} number=${number%%-*}
	if [[ ! $number =~ ^[0-9]{2,3}$ ]]; then
		wrong "its name does not begin with a number"
	elif [ -z "${row[$((10#$number))]:-}" ]; then
		wrong "no row of docs/properties.md has it"
	fi
	same=(mutants/"$number"-*.patch)
	[ "${#same[@]}" -eq 1 ] || wrong "another one has its number"
	[ -n "$(sed '/^Apply: /q; /^Apply: /d' "$file" | head -n 1)" ] || wrong "says nothing"
	git -C "$(mutant_dir "$file")" apply --check "$PF_ROOT/$file" 2>&1 || wrong "does not apply"
	case $(fields Red "$file") in
	''|failed|lost|"log "?*|"hang "[1-9]*) ;;
	*) wrong "Red: is none of failed, lost, log TEXT, hang SECONDS" ;;
	esac
	[ -n "$(fields Expect "$file")" ] || wrong "expects nothing"
	while read -r suite glob; do
		expectation "$suite" "$glob"
	done < <(fields Expect "$file")
done
say "$count mutants, $bad errors"
[ "$count" -gt 0 ] && [ "$bad" -eq 0 ]
