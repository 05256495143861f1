#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# topo.sh: builds `peerfault` with ASan and UBSan and runs each test of
# test_topo.py and of the installation. KTAP.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$root/scripts/ktap.sh"
VERSION=$(cat "$root/VERSION") PEERFAULT=$root/build/tools-sanitize/peerfault
export VERSION PEERFAULT

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
	{ "$PEERFAULT" --help && "$PEERFAULT" topo --help; } | options >"$tmp/help"
	sed 's/\\-/-/g' "$here/../peerfault.8" | options >"$tmp/manual"
	diff "$tmp/help" "$tmp/manual"
}

options() {
	grep -oE -- '--[a-z]+' | sort -u
}

ktap_begin ''
ktap_test build make -s -C "$here/.." SANITIZE=1
for test in $(python3 "$here/test_topo.py" --list); do
	ktap_test "$test" python3 "$here/test_topo.py" -q "$test"
done
ktap_test installs installs
ktap_test manual manual
ktap_end
