#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# new-test.sh NAME: begins a new kselftest program, and a suite that runs it:
#
#   kernel/files/tools/testing/selftests/hmm_alias/NAME.c	from lab/new-test.c
#   Makefile and .gitignore there	know it
#   lab/suites				has a suite of that name, on topology switch
#
# Then `make test SUITE=NAME` builds and runs it, `make test SUITE=NAME@iommu
# TEST='*.read'` one test of it elsewhere. What is left to do is marked there
# with "TODO(new test)", and `make check` fails until that is gone.
#
# new-test.sh -c: prints the marks that are left; exit code 1 if there are any.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
cd "$PF_ROOT"

tests=kernel/files/tools/testing/selftests/hmm_alias
mark='TODO(new test)'
if [ "${1:-}" = -c ]; then
	! grep -rnF "$mark" kernel/files lab/suites || exit "$E_FAIL"
	exit 0
fi
name=${1:-}
[[ $# -eq 1 && $name =~ ^[a-z][a-z0-9_]*$ ]] || die "$E_USAGE" \
	"usage: new-test.sh NAME (small letters, digits, underscores), or -c"
suite=${name//_/-}
[ ! -e "$tests/$name.c" ] || die "$E_USAGE" "$tests/$name.c is there already"
! grep -qE "^suite[[:blank:]]+${suite}[[:blank:]]" lab/suites ||
	die "$E_USAGE" "lab/suites has a suite $suite already"
grep -q '^TEST_GEN_PROGS := ' "$tests/Makefile" ||
	die "$E_FAIL" "$tests/Makefile has no line 'TEST_GEN_PROGS := '"

sed "s/\<NAME\>/$name/g" lab/new-test.c >"$tests/$name.c"
sed -i "s/^TEST_GEN_PROGS := /&$name /" "$tests/Makefile"
{
	head -n 1 "$tests/.gitignore"
	{ sed 1d "$tests/.gitignore"; echo "$name"; } | LC_ALL=C sort
} >"$tests/.gitignore.new"
mv "$tests/.gitignore.new" "$tests/.gitignore"
cat >>lab/suites <<END

# $mark: move these to their like, choose the topologies that decide something
suite $suite	400	allow=iommu-faults ksft $name
run test normal $suite	switch
END
say "    $tests/$name.c: edit it, then make test SUITE=$suite"
say "    a series must bring the file: kernel/README.md"
