#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# `make check`: all that needs neither a built kernel nor a guest. KTAP on
# stdout; each result at the top also on stderr, at once.
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
cd "$PF_ROOT"

# listed PATTERN...: the files of the repository, those not committed yet as well
listed() {
	git ls-files --cached --others --exclude-standard -- "$@" | sort -u |
		while read -r file; do
			[ ! -f "$file" ] || echo "$file"
		done
}

shell_files() {
	listed ':!kernel/files' | while read -r file; do
		if [[ $file == *.sh ]] || head -n 1 "$file" |
				grep -qE '^(#!.*[/ ](ba)?sh( |$)|# shellcheck shell)'; then
			echo "$file"
		fi
	done
}

# some COMMAND...: run it with the files on stdin, of which there have to be some
some() {
	local files
	mapfile -t files
	[ "${#files[@]}" -gt 0 ] || { echo "no files found"; return 1; }
	"$@" "${files[@]}"
}

check_shell() {
	shell_files | some shellcheck
}

check_spelling() {
	listed | some codespell -q 2 -I scripts/codespell.ignore
}

check_python() {
	listed '*.py' | some pyflakes3
}

work=$PF_BUILD/check
mkdir -p "$work"
declare -A commands pids

# beside NAME COMMAND: begins what takes long, for `ktap_suite NAME begun NAME`
beside() {
	commands[$1]=$2
	[ -z "${TEST:-}" ] || return 0
	"$2" >"$work/$1.ktap" 2>"$work/$1.err" &
	pids[$1]=$!
}

# begun NAME: what that has printed; with TEST, runs it only now
begun() {
	local rc=0
	[ -n "${pids[$1]:-}" ] || { "${commands[$1]}"; return; }
	wait "${pids[$1]}" || rc=$?
	cat "$work/$1.ktap"
	cat "$work/$1.err" >&2
	return "$rc"
}

# What several of them read. Where it cannot be laid, kernel says why.
kernel/tree.sh >&2 || :
beside kernel kernel/check.sh
beside kernel-selftest-fetch kernel/selftest-fetch.sh
beside lab-suites lab/selftest/suites.sh
ktap_log=/dev/stderr
ktap_begin
ktap_test shellcheck check_shell
ktap_test codespell check_spelling
ktap_test pyflakes check_python
ktap_suite kernel-selftest kernel/selftest.sh
ktap_test "code quoted in docs" scripts/anchors.sh
ktap_test "commits and tests named in docs" scripts/named.sh
ktap_test "vram-malloc's headers are the kernel's" tools/vram-malloc/tests/headers.sh
ktap_test "commands in docs are tagged" docs/run.sh --list
ktap_suite docs-run docs/run-selftest.sh
ktap_suite docs-programs docs/programs-selftest.sh
ktap_test "no new test is half done" lab/new-test.sh -c
ktap_test "mutants apply, and their tests exist" mutants/check.sh
ktap_suite mutants-selftest mutants/selftest.sh
for suite in judge klog topology verbs app igt; do
	ktap_suite "lab-$suite" "lab/selftest/$suite.sh"
done
for suite in lab-suites kernel-selftest-fetch kernel; do
	ktap_suite "$suite" begun "$suite"
done
ktap_end
