#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Check kernel/patches and kernel/files; nothing is compiled. KTAP on stdout.
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
# shellcheck source=SCRIPTDIR/layout.sh
. "$PF_ROOT/kernel/layout.sh"

unset FORCE KERNEL KCONFIG VERSION TRAILERS COVER_NOTE
work=$PF_BUILD/check
# checkpatch's spdxcheck.py needs modules that are Debian's, so its Python is, too.
PATH=/usr/bin:$PATH

# As somebody who mails them; that needs a name
mails() {
	SIGNOFF='Check <check@localhost>' "$PF_ROOT/kernel/series.sh" "$work/series"
}

# one_checkpatch MAIL: with all of its new files; leaves a log and an exit code.
# What passed is not read again before it, the base or the rules change; the
# first line of a mail has the hash of a commit.
one_checkpatch() {
	local mail=$work/series/$1 passed rc=0
	passed=$work/passed/$({ echo "$base $ignore"; sed 1d "$mail"; } |
		sha256sum | cut -d ' ' -f 1)
	if [ -e "$passed" ]; then
		: >"$mail.log"
	elif (cd "$TREE" && scripts/checkpatch.pl --strict --show-types --no-summary \
			${ignore:+--ignore "$ignore"} "$mail") >"$mail.log" 2>&1; then
		: >"$passed"
	else
		rc=$?
	fi
	echo "$rc" >"$mail.rc"
}

# Every mail
checkpatch_all() {
	local base ignore
	base=$(tgit rev-parse base)
	ignore=$(sed -n 's/^\([A-Z_]*\): ..*/\1/p' "$PF_ROOT/kernel/checkpatch.ignore" |
		paste -s -d ,)
	mkdir -p "$work/passed"
	export -f one_checkpatch
	export base ignore work TREE
	(cd "$work/series" && printf '%s\n' */*.patch | grep -v 0000-cover-letter) |
		xargs -P "$(nproc)" -I MAIL bash -euc 'one_checkpatch MAIL'
}

# Without its modules spdxcheck.py fails, and checkpatch takes its silence for
# consent.
spdx_is_checked() {
	(cd "$TREE" && echo "SPDX-License-Identifier: No-Such-License" |
		scripts/spdxcheck.py - | grep No-Such-License)
}

# checkpatch MAIL: its result
checkpatch() {
	cat "$work/series/$1.log"
	[ "$(cat "$work/series/$1.rc")" = 0 ]
}

# doc_warnings DIR: kernel-doc's, of the files on stdin, without line numbers
doc_warnings() {
	(cd "$1" && xargs -r -d '\n' "$TREE/scripts/kernel-doc" -none 2>&1) |
		sed 's/:[0-9][0-9]*//' | sort
}

# No warning that the base does not have as well
kernel_doc() {
	tgit diff --name-only --diff-filter=d base HEAD -- '*.[ch]' >"$work/touched"
	[ -s "$work/touched" ] || return
	tgit diff --name-only --diff-filter=M base HEAD -- '*.[ch]' >"$work/changed"
	rm -rf "$work/base"
	mkdir -p "$work/base"
	xargs -r -d '\n' git -C "$TREE" archive base -- <"$work/changed" |
		tar -x -C "$work/base" || return
	doc_warnings "$work/base" <"$work/changed" >"$work/doc.base"
	doc_warnings "$TREE" <"$work/touched" | comm -13 "$work/doc.base" - >"$work/doc"
	cat "$work/doc"
	[ ! -s "$work/doc" ]
}

# What kernel/objects does not name, check-prefixes.sh and check-matrix.sh do
# not compile.
objects_listed() {
	touched_sources >"$work/sources"
	unlisted_sources "$work/sources" >"$work/missing"
	cat "$work/missing"
	[ -s "$work/sources" ] && [ ! -s "$work/missing" ]
}

mkdir -p "$work"
rm -rf "$work/series"
ktap_begin
# Refuses fuzz, and paths in files/ that the base has too.
ktap_test tree_applies "$PF_ROOT/kernel/tree.sh"
if [ "$ktap_failed" -eq 0 ]; then
	ktap_test refresh_is_noop "$PF_ROOT/kernel/refresh.sh" -n
	ktap_test mails mails
	ktap_test spdx_is_checked spdx_is_checked
	checkpatch_all
	for mail in "$work"/series/*/[0-9]*.patch; do
		mail=${mail#"$work/series/"}
		[[ $mail == */0000-cover-letter.patch ]] ||
			ktap_test "checkpatch ${mail%.patch}" checkpatch "$mail"
	done
	ktap_test kernel_doc kernel_doc
	ktap_test objects_listed objects_listed
fi
ktap_end
