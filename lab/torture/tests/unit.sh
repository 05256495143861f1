#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The fuzzer sees what a system does wrong, and makes the program small that shows
# it; here, with wrong calls of libc in place of a wrong kernel. Without devices, and
# without privileges, so that nothing is changed on this machine. KTAP.

set -u
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
torture=$PF_BUILD/jobs/torture
[ -x "$torture" ] || die "$E_BUILD" "$torture is not built (lab/build.sh)"
cc -shared -fPIC -Wall -Wextra -Werror -o "$tmp/broken.so" \
	"$PF_ROOT/lab/torture/tests/broken.c" || exit 1
cp "$torture" "$tmp/"
alone=()
[ "$(id -u)" -ne 0 ] || alone=(setpriv --reuid 65534 --regid 65534 --clear-groups)

# A page that is known, one that may be zero, one that is gone, one that is protected
program='0.0 map r=0;0.0 fork;0.0 write r=0 page=0 n=64;0.0 check r=0 page=0 n=64;'
program+='0.0 advise r=0 page=8 n=8 what=0;0.0 unmap r=0 page=16 n=8;'
program+='0.0 protect r=0 page=24 n=8 prot=1;0.0 protect r=0 page=32 n=8 prot=2;'
program+='1.0 write r=0 page=40 n=8 & !;0.0 advise r=0 page=48 n=8 what=1;'
program+='0.0 advise r=0 page=WHERE n=1 what=3;0.0 write r=0 page=24 n=1;'
program+='0.0 write r=0 page=32 n=1;0.0 check r=0 page=0 n=64;1.0 exit'

# run_it BROKEN WHERE ARG...: MADV_COLD of page WHERE is what is broken, if it is that
run_it() {
	env BROKEN="$1" LD_PRELOAD="$tmp/broken.so" \
		${alone[0]+"${alone[@]}"} "$tmp/torture" --limit 2 \
		--program "${program/WHERE/$2}" "${@:3}" >"$tmp/said" 2>&1
}

fine() {
	run_it nothing 0 || { cat "$tmp/said"; return 1; }
	grep -q '^ok 1 replay' "$tmp/said"
}

# sees BROKEN WHERE TEXT
sees() {
	run_it "$1" "$2" --minimise 0
	[ $? -eq 1 ] && grep '^# FAILED' "$tmp/said" | grep -qF "$3" && return
	cat "$tmp/said"
	return 1
}

smaller() {
	run_it flip 0 --minimise 20
	cat "$tmp/said"
	# map, MADV_COLD, check
	grep -q '^# the smallest that fails, 3 of 15' "$tmp/said"
}

json() {
	run_it kept 0 --minimise 0 --json
	cat "$tmp/said"
	tail -n 1 "$tmp/said" | python3 -c 'import json, sys
sys.exit("though" not in json.load(sys.stdin)["failed"])'
}

# refuses ARG...: wrong usage
refuses() {
	"$tmp/torture" "$@" >"$tmp/said" 2>&1
	[ $? -eq 2 ] || { cat "$tmp/said"; return 1; }
}

ktap_begin
ktap_test fine fine
ktap_test data-changes sees flip 0 'not own fill'
ktap_test data-stays sees lost 0 'own fill 1, not zero'
ktap_test leak sees leak 0 'looks like a kernel address'
ktap_test leak-where-little-is-known sees leak 48 'which it may not have'
ktap_test still-mapped sees kept 0 'CPU read: p0: works'
ktap_test write-to-read-only sees open 0 'CPU write: p0: works'
ktap_test write-refused sees shut 0 'CPU write: p0: -14'
ktap_test stuck sees slow 0 'advise did not return'
ktap_test killed sees dead 0 'was killed, but not by us'
ktap_test stray-signal sees wild 0 'signal 11'
ktap_test smaller smaller
ktap_test json json
ktap_test no-operation refuses --program '0.0 dance'
ktap_test no-argument refuses --program '0.0 write r=0 pages=1'
ktap_test no-process refuses --program '9.0 write r=0'
ktap_test no-option refuses --dance
ktap_test no-number refuses --seed tomorrow
ktap_end
