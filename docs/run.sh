#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh [--list] [DOCUMENT...]: runs the commands of the documents as they are
# written. DOCUMENT is a path in the repository; the default is all of them:
# README.md, CHANGELOG.md, CONTRIBUTING.md, docs/*.md, docs/results/*.md and
# kernel/README.md.
#
#	--list	only check how the blocks are tagged, and list them
#
# docs/blocks.py finds the blocks and says how one is tagged. Each block that
# is tagged "run" is one test: a shell of its own (sh -e) at the root of a clone
# of this repository, made for its document, with what is not committed yet.
# Blocks of one document run in order, and find what those before them have
# left. The rest are listed, with the reason why they are not run.
#
# KTAP on stdout. Exit code 0: all passed. 1: a test failed, or a tag is wrong.
#
#	PF_DOCS_ROOT	documents, Makefile and git repository of another place
#	PF_DOCS_WORK	where the clones are (default: build/docs)

set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

root=${PF_DOCS_ROOT:-$PF_ROOT} work=${PF_DOCS_WORK:-$PF_BUILD/docs} list=0
case ${1:-} in
-h|--help) sed -n '4,20s/^#[[:space:]]\{0,1\}//p' "$0"; exit 0 ;;
--list) list=1; shift ;;
-*) die "$E_USAGE" "no option '$1'; there are: --list" ;;
esac
if [ $# -eq 0 ]; then
	mapfile -t documents < <(cd "$root" &&
		ls README.md CHANGELOG.md CONTRIBUTING.md docs/*.md docs/results/*.md kernel/README.md)
	set -- "${documents[@]}"
fi
for document; do
	[ -f "$root/$document" ] || die "$E_USAGE" "no document '$document'"
done

blocks=$(mktemp -d)
trap 'rm -rf "$blocks"' EXIT
wrong=0
"$PF_ROOT/docs/blocks.py" -o "$blocks" "$root" "$@" >"$blocks/list" || wrong=$?
if [ "$list" -eq 1 ] || [ "$wrong" -ne 0 ]; then
	sed 's/\t/  /g' "$blocks/list"
	[ "$wrong" -eq 0 ] || die "$E_FAIL" "the documents are not as docs/blocks.py wants them"
	exit 0
fi

# fresh_clone: what a reader of this document begins with
fresh_clone() {
	rm -rf "$work/clone"
	mkdir -p "$work"
	git clone -q "$root" "$work/clone"
	git -C "$root" ls-files -z --deleted | (cd "$work/clone" && xargs -0r rm -f)
	git -C "$root" ls-files -z --cached --others --exclude-standard |
		rsync -a --from0 --files-from=- --ignore-missing-args "$root/" "$work/clone/"
}

# As a reader who has told git a name, and none of our variables
unset MAKEFLAGS MAKELEVEL MFLAGS ACCEL BENCH CONFIG FORCE JOBS KERNEL KERNEL_SRC \
	LAB_NO_BUILD QEMU_ARGS SIGNOFF STRESS_SECONDS STRESS_SEED SUITE TEST TOPOLOGY
export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=reader \
	GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=reader@localhost

# block N SECONDS
block() {
	local rc=0
	(cd "$work/clone" && timeout -k 10 "$2" sh -e "$blocks/$1.sh" </dev/null) || rc=$?
	[ "$rc" -ne 124 ] || echo "it did not end within $2 s"
	# A skip, for ktap.sh. A document has none.
	[ "$rc" -ne 4 ] || rc=1
	return "$rc"
}

ktap_begin ''
n=0 current=
while IFS=$'\t' read -r place kind detail; do
	if [ "$kind" != run ]; then
		echo "# not run: $place: $kind: $detail" | ktap_print
		continue
	fi
	n=$((n + 1))
	if [ "${place%:*}" != "$current" ]; then
		current=${place%:*}
		fresh_clone
	fi
	echo "==> $place" >&2
	ktap_test "$place" block "$n" "$detail"
done <"$blocks/list"
rm -rf "$work/clone"
ktap_end
