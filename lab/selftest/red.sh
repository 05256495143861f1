#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A red run must say all that one needs to go on, and what it says must work:
# a suite that fails on purpose is run, and then what it says is run. KTAP.

set -u
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
cd "$PF_ROOT" || exit
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
wanted=${TEST:-}
export LAB_SUITES=$PF_ROOT/lab/selftest/red.suites LAB_RESULTS=$tmp/results
export LAB_NO_BUILD=1
# make's own, when this runs below `make test`
unset TEST SUITE TOPOLOGY MAKEFLAGS MFLAGS MAKELEVEL

# Where the kernel with symbols is, if it is not in the build directory
vmlinux=build/kernel-normal/vmlinux
case ${KERNEL:-} in
*/arch/x86/boot/bzImage) vmlinux=${KERNEL%/arch/x86/boot/bzImage}/vmlinux ;;
*/*) vmlinux=${KERNEL%/*}/vmlinux ;;
esac
vmlinux=${vmlinux#"$PF_ROOT/"}

# says FILE TEXT...: one line of it has all of these
says() {
	local lines
	lines=$(cat "$1")
	for text in "${@:2}"; do
		lines=$(grep -F -- "$text" <<<"$lines") || { cat "$1"; return 1; }
	done
}

# counts FILE PASSED FAILED: so many, and no others
counts() {
	says "$1" "$2 passed, $3 failed, 0 skipped" && [ "$(tail -n 1 "$1")" = \
		"$2 passed, $3 failed, 0 skipped" ]
}

ends_with() {
	[ "$(cat "$1")" = "$2" ]
}

# The command behind "again:" of a test
again() {
	grep -A 3 -F "red@switch: $1: failed" "$tmp/red" |
		sed -n 's/^ *again: //p' | head -n 1
}

# As the last line of make test; make itself adds one that says "Error 1".
lab/test.sh >"$tmp/red" 2>&1
echo $? >"$tmp/red.rc"
sh -c "$(again job.leaks)" 2>&1 | grep -v '^make' >"$tmp/again"
# Two cases in which the guest does not come to an end
mkdir "$tmp/lost"
lab/run.sh -q -o "$tmp/lost" -- sh -c 'echo PANIC >/sys/kernel/debug/provoke-crash/DIRECT' \
	>"$tmp/lost.log" 2>&1

# decoded: trace.sh gives file and line, when there is debug info
decoded() {
	local size begin after symbol
	printf '%s\n' 'int object(int x);' 'int lkdtm_test(int x)' '{' \
		'	return object(x) + 1;' '}' >"$tmp/decode.c"
	printf 'int object(int x) { return x; }\nint main(void) { return lkdtm_test(1); }\n' |
		sed '1i int lkdtm_test(int x);' >"$tmp/main.c"
	gcc -g1 -O1 -no-pie -o "$tmp/vmlinux" "$tmp/decode.c" "$tmp/main.c" || return
	# The call, from the beginning of the function
	size=$(nm -S "$tmp/vmlinux" | awk '$4 == "lkdtm_test" { print $2 }')
	read -r begin after < <(objdump -d "$tmp/vmlinux" --disassemble=lkdtm_test | awk '
		/<lkdtm_test>:/ { begin = $1; next }
		called { sub(/:/, "", $1); print begin, $1; exit }
		/call/ { called = 1 }')
	symbol=$(printf 'lkdtm_test+%#x/%#x' $((0x$after - 0x$begin)) $((0x$size)))
	printf '%s\r\n' '[    1.0] ------------[ cut here ]------------' \
		'[    1.0] WARNING: CPU: 0' '[    1.0] Call Trace:' \
		"[    1.0]  $symbol" \
		'[    1.0] ---[ end trace 0000000000000000 ]---' >"$tmp/console"
	printf '2: WARNING: CPU: 0\n' >"$tmp/klog"
	lab/trace.sh "$tmp/console" "$tmp/klog" "$tmp/vmlinux" | tee "$tmp/decoded"
	says "$tmp/decoded" lkdtm_test 'decode.c:4' && says "$tmp/decoded" 'cut here'
}

results=$tmp/results/red@switch
[ -z "$wanted" ] || export TEST=$wanted
ktap_begin
ktap_test exit-code ends_with "$tmp/red.rc" 1
ktap_test last-line counts "$tmp/red" 1 2
ktap_test name says "$tmp/red" 'red@switch: job.leaks: failed'
ktap_test assertion says "$tmp/red" 'red.c:7:leaks:Expected 0 (0) == leaked (2048)'
ktap_test again says "$tmp/red" "again: make test SUITE=red@switch TEST='job.leaks'"
ktap_test again-of-each says "$tmp/red" "again: make test SUITE=red@switch TEST='job.warns'"
ktap_test shell says "$tmp/red" 'shell: make shell TOPOLOGY=switch'
ktap_test log says "$tmp/red" "log:   $results/console.log, $results.ktap"
ktap_test log-is-there test -s "$results/console.log"
ktap_test gdb says "$tmp/red" "gdb:   make test SUITE=red@switch QEMU_ARGS='-s -S'" \
	"gdb $vmlinux -ex 'target remote :1234'"
ktap_test trace says "$tmp/red" lkdtm_WARNING
ktap_test again-repeats-it says "$tmp/again" 'red@switch: job.leaks: failed'
ktap_test again-repeats-nothing-else counts "$tmp/again" 0 1
ktap_test trace-of-a-lost-guest says "$tmp/lost/trace" lkdtm_PANIC
ktap_test trace-with-lines decoded
ktap_end
