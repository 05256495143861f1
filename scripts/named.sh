#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# named.sh [TREE]: checks that the commits and tests that the documents name
# exist, the tests in TREE (default: build/linux). A commit is named by its
# subject, or by how it begins and an ellipsis (…), a test by `suite.test` or
# `suite.variant`, * included. `.test` is one of the suite named before it.
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
export LC_ALL=C.UTF-8
tree=${1:-$PF_BUILD/linux}
[ -d "$tree" ] || die "$E_USAGE" "no tree $tree (make tree)"

# tests SUITE SOURCE...: its kselftests and their variants, or its KUnit tests
tests() {
	sed -nE "s/^(TEST_F|TEST_F_TIMEOUT|FIXTURE_VARIANT_ADD)\((\w+), *(\w+).*/\2.\3/p
		 s/.*KUNIT_CASE\w*\((\w+).*/$1.\1/p" "${@:2}" | sed -E "s/^hmm2?(_fault|_fork)?\./$1./"
}
have=$(awk 'FNR == 1 { s = "" } /^Subject: / { s = substr($0, 18); next }
	    s && /^ / { s = s $0; next } s { print s; nextfile }' "$PF_ROOT"/kernel/patches/*/*.patch
	tests '' "$tree"/tools/testing/selftests/hmm_alias/*.c
	tests '' "$PF_ROOT"/lab/jobs/*.c
	tests hmm-tests "$tree"/tools/testing/selftests/mm/hmm-tests.c
	tests hmm "$tree"/mm/tests/hmm_kunit.c
	tests hmm_walk "$tree"/mm/tests/hmm_walk_kunit.c
	tests drm_alias "$tree"/drivers/gpu/drm/tests/drm_alias_test.c
	tests ib_odp "$tree"/drivers/infiniband/core/tests/odp_kunit.c)
areas=$(sed -n 's/^\([^. ]*\): .*/\1/p' <<<"$have" | sort -u | paste -sd '|')
suites=$(sed -n 's/^\([^ .]*\)\.[^ ]*$/\1/p' <<<"$have" | sort -u | paste -sd '|')

named=0 wrong=0 suite=''
while IFS=: read -r doc name; do
	case $name in
	\`.*) set -- "$suite${name//\`/}" ;;
	\`*)
		name=${name//\`/} suite=${name%%.*}
		IFS=. read -ra part <<<"${name#*.}"
		set -- "${part[@]/#/$suite.}"
		;;
	*) set -- "${name%"${name##*[! ]}"}" ;;
	esac
	for name; do
		named=$((named + 1)) re=${name//./\\.} re=${re//…/*}
		grep -qx -- "${re//\*/.*}" <<<"$have" && continue
		say "$doc: there is no $name"
		wrong=$((wrong + 1))
	done
done < <(for doc in "$PF_ROOT"/README.md "$PF_ROOT"/docs/*.md; do
	tr -s ' \n' ' ' <"$doc" |
		grep -oE "\`(($suites)?\.[a-z0-9_*.]+)\`|\b($areas): [A-Z](\(\)|\.[a-z]|[^;,|.(\`\"…])*…?" |
		sed "s|^|${doc##*/}:|"
done)
say "$named commits and tests named, $wrong missing"
[ "$named" -gt 0 ] && [ "$wrong" -eq 0 ]
