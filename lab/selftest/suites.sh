#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What lab/test.sh selects, without a VM: it reads lab/suites and says clearly
# what is wrong with another, or with SUITE, TEST, KERNEL and TOPOLOGY. KTAP.

set -u
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
cd "$PF_ROOT" || exit
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
unset SUITE TOPOLOGY KERNEL

# lists WANT ARG...: the names that test.sh would run, with blanks in between
lists() {
	local got
	got=$(env -u TEST "${@:2}" | cut -f 1 | paste -sd' ')
	echo "got  $got"
	echo "want $1"
	[ "$got" = "$1" ]
}

# refuses TEXT ARG...: the exit code is that of wrong usage, with this message
refuses() {
	local said rc=0
	said=$(env -u TEST "${@:2}" 2>&1) || rc=$?
	echo "exit code $rc: $said"
	[ "$rc" -eq "$E_USAGE" ] && grep -qF -- "$1" <<<"$said"
}

# wrong TEXT LINE...: a lab/suites with this in it
wrong() {
	printf '%s\n' "${@:2}" >"$tmp/suites"
	refuses "$1" LAB_SUITES="$tmp/suites" lab/test.sh -l
}

# exist: every file of the repository that a suite names is there
exist() {
	local command word missing=0
	while read -r _ _ _ command; do
		for word in $command; do
			case $word in
			allow=*|*=*|-*|'*'*) ;;
			*/*) [ -x "$word" ] || { echo "no $word"; missing=1; } ;;
			esac
		done
	done < <(grep '^suite' lab/suites)
	return $missing
}

s='suite a 10 true'
printf '%s\n' '# two suites' "$s" $'suite\tb  20\tbeside allow=iommu-faults with-rxe  b' '' \
	'run test host a' 'run test normal b switch pairs' 'run all debug b switch' \
	'run long normal b all' >"$tmp/good"
export LAB_SUITES=$tmp/good
ktap_begin
ktap_test tier-test lists 'a b@switch b@pairs' lab/test.sh -l
ktap_test tier-all lists 'a b@switch b@pairs b@switch+debug' lab/test.sh -l all
# plain NAME: the guest of that topology has no model of a device and no module
plain() {
	local base
	! grep -qE '^module|-model' "$1" || return 1
	base=$(sed -n 's/^extends[[:space:]]*//p' "$1")
	[ -z "$base" ] || plain "$base"
}

# `all` are those whose guest is a plain one.
ktap_test tier-long lists "a b@switch b@pairs b@switch+debug $(cd lab/topologies &&
	printf '%s\n' * | grep -vE '[.]|^(switch|pairs)$' | while read -r name; do
		plain "$name" && echo "b@$name"
	done | paste -sd' ')" lab/test.sh -l long
ktap_test topology lists 'a b@pairs' TOPOLOGY=pairs lab/test.sh -l
ktap_test suite-of-the-host lists 'a' SUITE=a KERNEL=debug TOPOLOGY=iommu lab/test.sh -l
ktap_test topology-for-the-host refuses "runs on the host: not 'a@switch'" SUITE=a@switch lab/test.sh
ktap_test suite lists 'a' SUITE=a lab/test.sh -l
ktap_test suite-and-topology lists 'b@pairs' SUITE=b TOPOLOGY=pairs lab/test.sh -l
ktap_test suite-on-any-topology lists 'b@iommu' SUITE=b@iommu lab/test.sh -l
ktap_test suite-on-any-kernel lists 'b@iommu+debug' SUITE=b@iommu+debug lab/test.sh -l
ktap_test suite-and-kernel lists 'b@iommu+debug' SUITE=b@iommu KERNEL=debug lab/test.sh -l
ktap_test suite-alone-and-kernel lists 'b@switch+debug' SUITE=b KERNEL=debug lab/test.sh -l
ktap_test suites lists 'b@iommu a' SUITE='b@iommu a b@iommu' lab/test.sh -l
ktap_test path-of-a-kernel lists 'a b@switch b@pairs' KERNEL=./bzImage lab/test.sh -l

ktap_test unknown-tier refuses "no tier 'some'" lab/test.sh some
ktap_test unknown-suite refuses "no suite 'c'" SUITE=c lab/test.sh
ktap_test unknown-topology-of-a-suite refuses "no topology 'x'" SUITE=b@x lab/test.sh
ktap_test unknown-kernel-of-a-suite refuses "no kernel 'x'" SUITE=b@switch+x lab/test.sh
ktap_test unknown-topology refuses "no topology 'x'" TOPOLOGY=x lab/test.sh
ktap_test unknown-kernel refuses "no kernel 'x'" KERNEL=x lab/test.sh
ktap_test test-without-suite refuses 'say SUITE=' TEST=x lab/test.sh
ktap_test kernel-without-suite refuses 'say SUITE=' KERNEL=debug lab/test.sh
ktap_test blank-in-test refuses 'TEST has blanks' SUITE=b TEST='x y' lab/test.sh

ktap_test unknown-word wrong "suites:2: neither suite nor run: sweet" "$s" 'sweet c'
ktap_test no-seconds wrong 'suites:1: seconds wanted after the name' 'suite a true'
ktap_test no-command wrong 'suites:1: no command' 'suite a 10'
ktap_test no-command-but-an-excuse wrong 'suites:1: no command' 'suite a 10 allow=iommu-faults'
ktap_test no-command-but-beside wrong 'suites:1: no command' 'suite a 10 beside'
ktap_test suite-twice wrong 'suites:2: there is a suite of this name' "$s" "$s"
ktap_test underscore wrong 'suites:1: not a name' 'suite a_b 10 true'
ktap_test unknown-excuse wrong 'suites:1: no such file in lab/allow' 'suite a 10 allow=x true'
ktap_test run-unknown-tier wrong 'suites:2: no such tier' "$s" 'run some host a'
ktap_test run-unknown-kernel wrong 'suites:2: no such kernel' "$s" 'run test some a switch'
ktap_test run-unknown-suite wrong 'suites:1: no such suite above' 'run test host a'
ktap_test run-unknown-topology wrong 'suites:2: no topology x' "$s" 'run test normal a x'
ktap_test run-without-topology wrong 'suites:2: no topology' "$s" 'run test normal a'
ktap_test host-with-topology wrong 'suites:2: the host has no topology' "$s" 'run test host a switch'

unset LAB_SUITES
ktap_test own-files-exist exist
ktap_end
