#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run-selftest.sh: shows that docs/run.sh turns red for what it must not let
# pass, with documents made up here. KTAP on stdout.

# shellcheck disable=SC2016 # backticks of Markdown
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export PF_DOCS_ROOT=$dir/repo PF_DOCS_WORK=$dir/work
git init -q "$dir/repo"
cd "$dir/repo"
printf 'demo:\n\t@echo demo\n' >Makefile
git add Makefile
git -c user.name=t -c user.email=t@localhost commit -qm Makefile

# verdict WANT TEXT OPTION...: what run.sh makes of README.md, which stdin is:
# its exit code, and TEXT in what it prints
verdict() {
	local want=$1 text=$2 rc=0
	shift 2
	cat >README.md
	"$PF_ROOT/docs/run.sh" "$@" README.md >"$dir/out" 2>&1 || rc=$?
	cat "$dir/out"
	echo "exit code $rc"
	[ "$rc" -eq "$want" ] && grep -qF -- "$text" "$dir/out"
}

# listed WANT TEXT LINE...: the same of a document of these lines, with --list
listed() {
	local want=$1 text=$2
	shift 2
	printf '%s\n' "$@" | verdict "$want" "$text" --list
}

runs() {
	local want=$1 text=$2
	shift 2
	printf '%s\n' "$@" | verdict "$want" "$text"
}

ktap_begin ''
ktap_test "a tagged block is listed" \
	listed 0 'README.md:1  run  600' '```sh run' true '```'
ktap_test "an interactive block is listed with its reason" \
	listed 0 'interactive  a shell' '```sh interactive (a shell)' 'make demo' '```'
ktap_test "an untagged block is red" \
	listed 1 "README.md:1: 'sh': tag it" '```sh' true '```'
ktap_test "an unknown tag is red" \
	listed 1 "'sh walk': tag it" '```sh walk' true '```'
ktap_test "a missing reason is red" \
	listed 1 "'sh needs-hardware': tag it" '```sh needs-hardware' true '```'
ktap_test "an empty reason is red" \
	listed 1 "'sh interactive ()': tag it" '```sh interactive ()' true '```'
ktap_test "a block without a language is red" \
	listed 1 "a block of ''" '```' true '```'
ktap_test "commands in another language are red" \
	listed 1 "a block of 'bash'" '```bash' true '```'
ktap_test "commands among output are red" \
	listed 1 "README.md:3: a command" '```text' 'ok 1' 'make demo' '```'
ktap_test "an indented block is red" \
	listed 1 "README.md:3: an indented block" 'Run' '' '    make demo'
ktap_test "an indented block in a list is red" \
	listed 1 "README.md:3: an indented block" '- Run' '' '      make demo'
ktap_test "text that goes on in a list is none" \
	listed 0 'README.md:5' '- Run' '' '  and see.' '' '```sh run' true '```'
ktap_test "a fence in a list is a block" \
	listed 1 "'sh': tag it" '- Run' '' '  ```sh' '  true' '  ```'
ktap_test "a block without end is red" \
	listed 1 'a block without end' '```sh run' true
ktap_test "an empty block is red" \
	listed 1 'an empty block' '```sh run' '```'
ktap_test "a dead link is red" \
	listed 1 'a link to docs/no.md' '[no](docs/no.md)'
ktap_test "a link to no heading is red" \
	listed 1 'no such heading' '# One' '[two](README.md#two)'
ktap_test "a link to a heading is good" \
	listed 0 'README.md:3' '# One `two` (3)' '[one](#one-two-3)' '```sh run' true '```'
ktap_test "a place that is not filled in is red" \
	listed 1 '@TIME@ is not filled in' 'It takes @TIME@.'
ktap_test "a verb that is not there is red" \
	listed 1 "'make dmo'" 'See `make dmo`.'

ktap_test "a block that succeeds is green" \
	runs 0 'ok 1 README.md:1' '```sh run' 'make demo | grep demo' '```'
ktap_test "a block that fails is red" \
	runs 1 'not ok 1 README.md:1' '```sh run' 'false' 'true' '```'
ktap_test "so is one that exits with a skip's code" \
	runs 1 'not ok 1 README.md:1' '```sh run' 'exit 4' '```'
ktap_test "so is one that takes too long" \
	runs 1 'did not end within 1 s' '```sh run 1' 'sleep 20' '```'
ktap_test "an interactive block is not run" \
	runs 0 '# not run: README.md:1: interactive: a shell' \
	'```sh interactive (a shell)' false '```' '```sh run' true '```'
ktap_test "a document of which nothing is run is red" \
	runs 1 '1..0' '```sh interactive (a shell)' false '```'
ktap_test "a block finds what the one before has left" \
	runs 0 'ok 2' '```sh run' 'echo 1 >left' '```' '```sh run' 'grep 1 left' '```'
ktap_test "nothing of it is left here" test ! -e left
touch uncommitted
ktap_test "the clone has what is not committed" \
	runs 0 'ok 1' '```sh run' 'test -e uncommitted' '```'
ktap_test "a wrong tag stops the run" \
	runs 1 'tag it' '```sh' true '```' '```sh run' true '```'
ktap_end
