#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# app.sh: what lab/programs/app.py thinks of runs that are made up. KTAP.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$PF_ROOT/lab/programs

region='vram-malloc: region 1: 65536 bytes'
words='vram-malloc: region 1: of 8192 words'

# complains WORD KIND CONSENT CHECK TEXT...: about a program with regions of KIND
# whose server and client have said TEXT; no WORD: it has nothing to complain of
complains() {
	python3 - "$@" <<-'END'
		import sys, app
		want, kind, consent, check, *said = sys.argv[1:]
		good = "failed" not in said
		program = app.Program("p", "p", kind, [], check=check)
		data = app.right(program, said, good)
		got = app.complaint(program, consent == "on", app.count(program, said), data)
		print(f"data: {data}, complaint: {got}")
		sys.exit(0 if (want and want in got) or (not want and not got) else 1)
	END
}

# pages KIND PLACED ALIASED MOVED: what the library says
pages() {
	echo "$region, $1: 16 pages, placed $2, aliased $3, moved $4, left 0, there 0"
}

both() {
	complains '' "$1" "$2" '' "$(pages "$1" 16 "$3" "$4")" "$(pages "$1" 16 "$3" "$4")"
}

# The server has the client's words, or not.
data() {
	complains "$1" on-demand on server "$(pages on-demand 16 16 0)
$words 4096 are its own, $2 the peer's in their order, $3 neither" \
		"$(pages on-demand 16 16 0)
$words 8192 are its own, 0 the peer's in their order, 0 neither"
}

ktap_begin
ktap_test 'in place' both on-demand on 16 0
ktap_test 'moved without consent' both on-demand off 0 16
ktap_test 'pinned' both pinned on 0 0
ktap_test 'moved with consent' complains 'moved pages' on-demand on '' \
	"$(pages on-demand 16 15 1)"
ktap_test 'an alias without consent' complains 'had an alias' on-demand off '' \
	"$(pages on-demand 16 1 15)"
ktap_test 'no alias with consent' complains 'no page had' on-demand on '' \
	"$(pages on-demand 16 0 0)"
ktap_test 'nothing placed' complains 'no page was placed' pinned on '' \
	"$(pages pinned 0 0 0)"
ktap_test 'regions of the other kind' complains 'no page was placed' on-demand on '' \
	"$(pages pinned 16 0 0)"
ktap_test 'said nothing' complains 'no page was placed' on-demand on '' ''
ktap_test 'failed' complains 'it failed' on-demand on itself failed
ktap_test 'says that data are wrong' complains 'data were wrong' pinned on itself \
	"$(pages pinned 16 0 0)
invalid data in page 3"
ktap_test 'data right' data '' 4096 0
ktap_test 'nothing received' data 'data were wrong' 0 4096
ktap_test 'a word of nobody' data 'data were wrong' 4095 1
ktap_end
