#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# igt.sh: what lab/programs/igt.py makes of programs and lists that are made up. KTAP.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$PF_ROOT/lab/programs
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/programs"

# A program with subtests: each does what it is called.
cat >"$tmp/programs/xe_a" <<'END'
#!/bin/bash
[ "$1" = --run-subtest ] || { printf '%s\n' good bad skip crash hang after blocked; exit; }
for test in ${2//,/ }; do
	echo "Starting subtest: $test"
	case $test in
	bad) echo 'Test assertion failure: words'; echo "Subtest $test: FAIL (0.1s)" ;;
	skip) echo 'Test requirement: a second GPU'; echo "Subtest $test: SKIP (0.0s)" ;;
	crash) kill -SEGV $$ ;;
	hang) sleep 60 ;;
	*) echo "Subtest $test: SUCCESS (0.1s)" ;;
	esac
done
END
printf '#!/bin/sh\nexit 0\n' >"$tmp/programs/xe_whole"
printf '#!/bin/sh\n[ $# -eq 0 ] || exit 0\nexit 98\n' >"$tmp/programs/xe_whole_bad"
chmod +x "$tmp"/programs/*
echo 'igt@xe_a@blocked$' >"$tmp/xe.blocklist.txt"
: >"$tmp/xe.bmg.core.blocklist.txt"
printf '# none\n\n' >"$tmp/xe.sriov-vm.blocklist.txt"
printf '%s\n' '#igt@xe_a@bad' igt@xe_a@good igt@xe_a@blocked igt@xe_whole \
	>"$tmp/xe.fast-feedback.testlist"
printf 'xe_a.hang\tit hangs\n' >"$tmp/igt.not"

# runs CODE WANT ARGUMENT...: it ends with CODE, and its results are WANT
runs() {
	local rc=0 got
	python3 - "$tmp" "${@:3}" >"$tmp/out" <<-'END' || rc=$?
		import sys, igt
		igt.HERE = igt.LISTS = sys.argv.pop(1)
		igt.PROGRAMS = igt.HERE + "/programs"
		sys.exit(igt.main())
	END
	cat "$tmp/out"
	got=$(sed -n 's/ok [0-9]* /ok /p; s/^1\.\./plan /p' "$tmp/out" | paste -sd ';')
	echo "exit code $rc, $got"
	[ "$rc" -eq "$1" ] && [ "$got" = "$2" ]
}

wanted() {
	TEST=xe_a.after runs 0 'plan 1;ok xe_a.after' 'xe_*'
}

hangs() {
	: >"$tmp/igt.not"
	runs 1 'plan 1;not ok xe_a.hang # TIMEOUT' -s 1 xe_a.hang
}

ktap_begin
ktap_test all runs 1 "plan 8;ok xe_a.hang # SKIP it hangs;ok xe_a.good;not ok xe_a.bad # \
FAIL;ok xe_a.skip # SKIP Test requirement: a second GPU;not ok xe_a.crash # no result, exit \
code -11;ok xe_a.after;ok xe_whole;not ok xe_whole_bad # FAIL" 'xe_*'
ktap_test globs runs 0 'plan 2;ok xe_a.good;ok xe_a.after' xe_a.good '*.aft*'
ktap_test fast runs 0 'plan 2;ok xe_a.good;ok xe_whole' -f 'xe_*'
ktap_test every runs 0 'plan 3;ok xe_a.good;ok xe_a.skip # SKIP Test requirement: a second GPU;ok xe_whole' \
	-e 2 xe_a.good xe_a.bad xe_a.skip xe_a.crash xe_whole xe_whole_bad
ktap_test wanted wanted
ktap_test none runs 1 'plan 0' xe_b
ktap_test hangs hangs
ktap_end
