#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# record.sh TOPOLOGY...: boots each machine and writes the PCI devices that its
# guest finds to lab/topologies/TOPOLOGY.pci, or removes that file when they are
# those of the topology that it extends. `git diff` shows whether they are what
# was meant. From then on a guest that finds others fails.
#
# record.sh hmm-tests: runs the base tree's own hmm-tests on the base kernel and
# writes their status to lab/expect/hmm-tests.base, which lab/judge.py holds our
# kernel to. Needed again only when the base version, the config or the guest's
# memory changes. Exit code 1: the base kernel fails a test.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
# shellcheck source=lab/topology.sh
. "$PF_ROOT/lab/topology.sh"

record_topology() {
	local file files own dir=$LAB_BUILD/record
	files=$(topology_files "$1")
	own=$TOPOLOGIES/$1.pci
	"$LAB/run.sh" -q -r -t "$1" -o "$dir" -- pci-list ||
		die "$E_FAIL" "$1 does not boot ($?), nothing recorded: see $dir"
	[ -s "$dir/out" ] || die "$E_FAIL" "$1 has no PCI device, nothing recorded"
	# What it would have without a list of its own
	: >"$dir/base"
	while IFS= read -r file; do
		[ "$file.pci" = "$own" ] || [ ! -f "$file.pci" ] ||
			cp "$file.pci" "$dir/base"
	done <<<"$files"
	if cmp -s "$dir/out" "$dir/base"; then
		rm -f "$own"
		say "    $1: the devices of the topology that it extends"
	else
		cp "$dir/out" "$own"
		say "    $1: $(wc -l <"$own") devices, in ${own#"$PF_ROOT/"}"
	fi
}

record_hmm_tests() {
	local base=$PF_BUILD/linux-base objects=$LAB_BUILD/hmm-tests-base
	local dir=$LAB_BUILD/baseline
	"$LAB/build.sh" base
	# Not ours, which has more tests than the base kernel stands.
	mkdir -p "$objects"
	run "$E_BUILD" hmm-tests-base make -C "$base/tools/testing/selftests/mm" \
		top_srcdir="$base" OUTPUT="$objects" "$objects/hmm-tests" \
		KHDR_INCLUDES="-isystem $PF_BUILD/headers/usr/include"
	"$LAB/run.sh" -q -k base -t switch -T 300 -o "$dir" -- "$objects/hmm-tests" ||
		die "$E_FAIL" "hmm-tests fails on the base kernel ($?), nothing recorded"
	# Only lines that this kselftest prints: every test is "ok" when it exits 0.
	awk '/^ok [0-9]+ / { print (/# SKIP/ ? "SKIP" : "PASS") "\thmm-tests." $3 }' \
		"$dir/out" >"$dir/new"
	[ -s "$dir/new" ] || die "$E_FAIL" "hmm-tests reported no test"
	cp "$dir/new" "$LAB/expect/hmm-tests.base"
	say "    recorded: $(cut -f 1 "$LAB/expect/hmm-tests.base" | sort | uniq -c | paste -sd' ')"
}

[ $# -gt 0 ] || die "$E_USAGE" "usage: record.sh TOPOLOGY... or record.sh hmm-tests"
if [ "$1" = hmm-tests ]; then
	record_hmm_tests
	exit 0
fi
for name; do
	topology_files "$name" >/dev/null
done
"$LAB/build.sh" "$(kernel_name)" "$@"
for name; do
	record_topology "$name"
done
