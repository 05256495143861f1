#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# programs-selftest.sh: programs.py on a document and runs that are made up. KTAP.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
PF_DOCS_ROOT=$(mktemp -d)
export PF_DOCS_ROOT
trap 'rm -rf "$PF_DOCS_ROOT"' EXIT
mkdir "$PF_DOCS_ROOT/docs"
document=$PF_DOCS_ROOT/docs/programs.md

# run_of NAME EXPORTER PROGRAM MOVED [WRONG]: what `make demo APP=` leaves
run_of() {
	local dir=$PF_DOCS_ROOT/build/log/demo-$1
	mkdir -p "$dir/files"
	echo 0 >"$dir/rc"
	: >"$dir/klog"
	cat >"$dir/files/rows.json" <<-END
		{"importer": "rxe", "exporter": "$2", "rows": [
		 {"program": "$3", "version": "1.0", "region": "on-demand", "right": "yes",
		  "wrong": [${5:+\"$5\"}],
		  "off": {"placed": 8, "aliased": 0, "moved": $4, "left": 1, "there": 0},
		  "on": {"placed": 8, "aliased": 4, "moved": 0, "left": 2, "there": 2}}]}
	END
}

begin() {
	rm -rf "$PF_DOCS_ROOT/build"
	printf '%s\n' 'Before' '<!-- docs/programs.py -->' '<!-- end -->' 'After' >"$document"
}

programs() {
	"$PF_ROOT/docs/programs.py" "$@"
}

# rows LINE...: the document has these rows, and what was around them
rows() {
	{
		printf '%s\n' 'Before' '<!-- docs/programs.py -->'
		sed -n '/^| program/,/^|---/p' "$document"
		[ $# -eq 0 ] || printf '| %s |\n' "$@"
		printf '%s\n' '<!-- end -->' 'After'
	} | diff - "$document"
}

a='a | 1.0 | rxe | ivgpu | on-demand | yes | 8 | 4 | 0 | 0 | 4 | 1 | 2 | clean'
b='b | 1.0 | rxe | ivgpu | on-demand | yes | 8 | 5 | 0 | 0 | 4 | 1 | 2 | clean'

one() {
	begin
	run_of a-switch ivgpu a 4
	programs && rows "$a" && programs && rows "$a"
}

others_stay() {
	begin
	run_of a-switch ivgpu a 4
	programs
	rm -r "$PF_DOCS_ROOT/build"
	run_of b-switch ivgpu b 5
	run_of a-seeds nouveau a 6
	programs && rows "$a" "$(sed 's/ivgpu/nouveau/; s/| 4 | 0 | 0/| 6 | 0 | 0/' <<<"$a")" "$b"
}

replaced() {
	begin
	run_of a-switch ivgpu a 3
	run_of b-switch ivgpu b 5
	programs
	run_of a-switch ivgpu a 4
	programs "$PF_DOCS_ROOT/build/log/demo-a-switch" && rows "$a" "$b"
}

dry() {
	begin
	run_of a-switch ivgpu a 4
	programs -n | grep -qxF "| $a |" && grep -c . "$document" | grep -qx 4
}

# refused WORD: nothing is written, and the message says it
refused() {
	local rc=0 before
	before=$(cat "$document")
	programs >"$PF_DOCS_ROOT/said" 2>&1 || rc=$?
	cat "$PF_DOCS_ROOT/said"
	[ "$rc" -eq 1 ] && grep -q "^error 1: .*$1" "$PF_DOCS_ROOT/said" &&
		[ "$before" = "$(cat "$document")" ]
}

wrong() {
	begin
	run_of a-switch ivgpu a 4
	run_of b-switch ivgpu b 5 'its data were wrong'
	refused 'not as it should be: b'
}

failed() {
	begin
	run_of a-switch ivgpu a 4
	echo 125 >"$PF_DOCS_ROOT/build/log/demo-a-switch/rc"
	refused 'not as it should be: 125'
}

cut_off() {
	begin
	run_of a-switch ivgpu a 4
	rm "$PF_DOCS_ROOT/build/log/demo-a-switch/rc"
	refused 'no run .* that has ended'
}

no_run() {
	begin
	refused 'there is no run'
}

no_place() {
	begin
	echo 'No table' >"$document"
	run_of a-switch ivgpu a 4
	refused 'no place for the table'
}

dirty_log() {
	begin
	run_of a-switch ivgpu a 4
	echo WARNING >"$PF_DOCS_ROOT/build/log/demo-a-switch/klog"
	programs && rows "${a/clean/not clean}"
}

ktap_begin
for test in one others_stay replaced dry wrong failed cut_off no_run no_place dirty_log; do
	ktap_test "$test" "$test"
done
ktap_end
