#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# unit.sh: builds `peerfault` with ASan and UBSan and runs each test of
# test_topo.py, test_verify.py, test_pages.py and test_watch.py, and of the
# installation. KTAP.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$root/scripts/ktap.sh"
out=$root/build/tools-sanitize
VERSION=$(cat "$root/VERSION") PEERFAULT=$out/peerfault WATCH_FEED=$out/watch_feed
UNTRACED=$out/untraced
export VERSION PEERFAULT WATCH_FEED UNTRACED PYTHONDONTWRITEBYTECODE=1

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

installs() {
	make -C "$here/.." install DESTDIR="$tmp" PREFIX=/usr &&
		(cd "$tmp" && find . -type f | sort) >"$tmp.files" &&
		diff - "$tmp.files" <<-END &&
			./usr/bin/peerfault
			./usr/share/man/man8/peerfault.8
		END
		rm "$tmp.files" &&
		[ "$("$tmp/usr/bin/peerfault" --version)" = "peerfault $VERSION" ]
}

# Each option of the program is in the manual page, and the other way round.
manual() {
	{ "$PEERFAULT" --help && "$PEERFAULT" topo --help &&
		"$PEERFAULT" pages --help && "$PEERFAULT" watch --help; } | options >"$tmp/help"
	sed 's/\\-/-/g' "$here/../peerfault.8" | options >"$tmp/manual"
	diff "$tmp/help" "$tmp/manual"
}

options() {
	grep -oE -- '--[a-z]+' | sort -u
}

ktap_begin ''
ktap_need build make -s -C "$here/.." SANITIZE=1 all "$WATCH_FEED" "$UNTRACED"
for part in topo verify pages watch; do
	for test in $(python3 "$here/test_$part.py" --list); do
		ktap_test "$test" python3 "$here/test_$part.py" -q "$test"
	done
done
ktap_test installs installs
ktap_test manual manual
ktap_end
