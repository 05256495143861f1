#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# selftest.sh: shows that run.sh takes for red just what a mutant expects, with
# mutants of a file of its own, in a clone, and a lab/run.sh that boots nothing.
# KTAP on stdout.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
unset KERNEL TOPOLOGY SUITE

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=t \
	GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=t@localhost
git clone -q "$PF_ROOT" "$dir/clone"
cp "$PF_ROOT"/mutants/*.sh "$dir/clone/mutants/"
cd "$dir/clone"
rm mutants/*.patch
sed -i '/^#/!d' mutants/seen
# The judge's parser, in a tree without edits
mkdir -p build/linux/tools/testing
cp -r "$PF_BUILD/linux/tools/testing/kunit" build/linux/tools/testing/
echo '__pycache__' >build/linux/.gitignore
git -C build/linux init -q
git -C build/linux add -A
git -C build/linux commit -qm tree
printf '%s\n' 'suite job 20 a-job' 'run test normal job switch' >lab/suites
echo good >state
# Boots nothing, and does what the file `state` says.
cat >lab/run.sh <<'END'
#!/bin/bash
. scripts/ktap.sh
while [ "$1" != -o ]; do shift; done
mkdir -p "$2"
exec >"$2/out"
state=$(cat state)
fails() {
	case $state in
	"$1-fails"|all-fail) false ;;
	esac
}
[ "$state" = early ] || echo 'peerfault-lab: job: a-job' >"$2/console.log"
: >"$2/klog"
case $state in
panic|early)
	echo 'Kernel panic - not syncing: selftest' >>"$2/console.log"
	exit 255 ;;
hang) exit 124 ;;
esac
[ "$state" != all-fail ] || TEST=
ktap_begin ''
ktap_test a fails a
ktap_test b fails b
ktap_end || exit 1
echo 'peerfault-lab: job done' >>"$2/console.log"
if [ "$state" = report ]; then
	echo 'WARNING: at selftest' | tee "$2/klog" >>"$2/console.log"
	exit 125
fi
END
git add -A
git commit -qm selftest

# mutant NN STATE LINE...: a patch that has lab/run.sh do that
mutant() {
	{
		printf '%s\n' "It is $2" 'Apply: repo' "${@:3}" ''
		printf '%s\n' '--- a/state' '+++ b/state' '@@ -1 +1 @@' '-good' "+$2"
	} >"mutants/$1-selftest.patch"
}

# run_all: run.sh with all of them
run_all() {
	rc=0
	LAB_NO_BUILD=1 mutants/run.sh >"$dir/out" 2>&1 || rc=$?
}

# verdict NN RESULT TEXT: what run_all said of it
verdict() {
	cat "$dir/out"
	[ "$rc" -eq 1 ] && [ "$(cat state)" = good ] &&
		grep -A 1 -E "^$2 [0-9]+ $1-selftest( |$)" "$dir/out" | grep -q "^# $3"
}

# says CODE NAME...: run_all ends with that code, and these are its results
says() {
	local want=$1
	shift
	run_all
	cat "$dir/out"
	echo "exit code $rc"
	grep -E '^(not )?ok' "$dir/out" | sed 's/ [0-9]* / /; s/, seen at .*/, seen/
		s/ #.*//' >"$dir/results"
	[ "$rc" -eq "$want" ] && diff <(printf '%s\n' "$@") "$dir/results"
}

a='Expect: job@switch a'
mutant 01 a-fails "$a"
mutant 02 fine "$a"
mutant 03 all-fail "$a"
mutant 04 a-fails 'Expect: job@switch c'
mutant 05 panic "$a"
mutant 06 panic "$a" 'Red: lost'
mutant 07 early "$a" 'Red: lost'
mutant 08 hang "$a" 'Red: hang 10'
mutant 09 a-fails "$a" 'Red: hang 10'
mutant 10 report "$a" 'Red: log WARNING: at selftest'
mutant 11 report "$a" 'Red: log WARNING: elsewhere'
mutant 12 b-fails 'Expect: job@switch b' "$a"
mutant 13 a-fails "$a"
sed -i 's/^-good/-bad/' mutants/13-selftest.patch
run_all

ktap_begin
ktap_test "a test that fails is red" verdict 01 ok 'red: a$'
ktap_test "one that passes is green" verdict 02 'not ok' 'green: a stays green'
ktap_test "one that was not asked for is wrong" verdict 03 'not ok' 'wrong: not red as'
ktap_test "a test that there is not is wrong" verdict 04 'not ok' 'wrong: not red as'
ktap_test "a panic is no failed test" verdict 05 'not ok' 'wrong: not red as'
ktap_test "a panic that is expected is red" verdict 06 ok 'red: Kernel panic'
ktap_test "not one while the guest boots" verdict 07 'not ok' 'wrong: not red as'
ktap_test "a hang that is expected is red" verdict 08 ok 'red: hang'
ktap_test "a failed test is no hang" verdict 09 'not ok' 'wrong: not red as'
ktap_test "a report that is expected is red" verdict 10 ok 'red: kernel log'
ktap_test "not another one" verdict 11 'not ok' 'wrong: not red as'
ktap_test "each expectation counts" verdict 12 'not ok' 'green: a stays green'
ktap_test "a patch that does not apply is wrong" verdict 13 'not ok' 'wrong: does not apply'

rm mutants/{03,04,05,06,07,08,09,10,11,12,13}-*
ktap_test "a run goes on with what was not red" says 1 \
	'ok job@switch without a mutant' 'ok 01-selftest, seen' 'not ok 02-selftest'
sed -i 's/Expect: job@switch a/&*/' mutants/01-selftest.patch
ktap_test "and with a patch that has changed" says 1 \
	'ok job@switch without a mutant' 'ok 01-selftest' 'not ok 02-selftest'
rm mutants/02-*
echo a-fails >state
sed -i 's/^-good/-a-fails/; s/^+a-fails/+all-fail/' mutants/01-selftest.patch
echo '# more' >>lab/suites
git commit -qam 'A bug, and another lab'
ktap_test "a test that is red without a mutant shows nothing" says 1 \
	'not ok job@switch without a mutant' 'not ok 01-selftest'
ktap_end
