#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# headers.sh [VERSION SUITE]: makes sure that the headers of the installed
# qemu-system-x86 are in the cache, and prints their directory. They come from
# the Debian source package of exactly that version, because Debian's patches
# change the layout of structures. With VERSION and SUITE: those of another
# version, to compile against. All messages go to stderr.
#
# In the directory: include, qapi and so on of the source, and `generated`, what
# QEMU's build would make that the headers include.
#
#	PEERFAULT_KEYRING=file	see scripts/apt.sh

set -eu -o pipefail
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/apt.sh
. "$PF_ROOT/scripts/apt.sh"

apt_begin qemu 'The models are built against the source of the installed qemu-system-x86.'

# All of the source that a device's code includes, or that makes it
parts='include qapi scripts tcg linux-headers VERSION'

# has VERSION: this archive has the source of that version
has() {
	local versions
	versions=$(LC_ALL=C apt-cache -c "$apt/apt.conf" showsrc --only-source qemu 2>>"$log" |
		sed -n 's/^Version: //p')
	grep -qxF "$1" <<<"$versions"
}

# find_source VERSION [SUITE]: our apt's state is an archive that has it
find_source() {
	local uri suite
	while read -r uri suite; do
		if apt_index "$uri" "$suite" deb-src && has "$1"; then
			return
		fi
	done < <(if [ $# -eq 2 ]; then mirrors | sed "s|\$| $2|"; else archives; fi)
	no_package "the source package qemu $1 is in none of this host's Debian archives"
}

# of_parts: a patch without the files that are not in the parts. git apply reads
# those as well, and refuses what patch does not mind.
of_parts() {
	awk -v parts="${parts// /|}" '
		/^diff --git / { other = $4 !~ "^b/(" parts ")(/|$)" }
		!other'
}

# unpack DIR: the parts of the source that was downloaded to DIR, with Debian's
# patches
unpack() {
	local tree=$1/tree patch part
	local include=() in_tar=()
	mkdir "$tree"
	for part in $parts; do
		include+=("--include=$part" "--include=$part/*")
		in_tar+=("*/$part")
	done
	tar -C "$tree" -xf "$1"/qemu_*.orig.tar.xz --strip-components=1 \
		--wildcards --no-wildcards-match-slash "${in_tar[@]}"
	tar -C "$1" -xf "$1"/qemu_*.debian.tar.xz debian/patches
	# Not a part of the repository that may be around it
	export GIT_CEILING_DIRECTORIES=$1
	while read -r patch _; do
		case $patch in
		'' | '#'*) continue ;;
		esac
		of_parts <"$1/debian/patches/$patch" |
			git -C "$tree" apply --allow-empty "${include[@]}"
	done <"$1/debian/patches/series"
}

# generate TREE: what QEMU's configure and meson would make. The layout of what a
# device sees depends on no option of theirs but those of the host.
generate() {
	local to=$1/generated
	mkdir "$to"
	python3 -B "$1/scripts/qapi-gen.py" -b -o "$to/qapi" "$1/qapi/qapi-schema.json"
	printf '#define %s\n' 'CONFIG_LINUX 1' 'CONFIG_POSIX 1' 'CONFIG_IOVEC 1' \
		'CONFIG_SOFTMMU 1' 'CONFIG_TCG 1' 'CONFIG_INT128 1' \
		'CONFIG_INT128_TYPE 1' 'CONFIG_EVENTFD 1' 'HOST_X86_64 1' \
		"QEMU_VERSION \"$(cat "$1/VERSION")\"" \
		"QEMU_VERSION_MAJOR $(cut -d . -f 1 "$1/VERSION")" >"$to/config-host.h"
	: >"$to/config-poison.h"
}

make_tree() {
	unpack "$1"
	generate "$1/tree"
}

# make_headers DIR VERSION [SUITE]
make_headers() {
	local new=$1.new
	rm -rf "$new"
	mkdir -p "$new"
	find_source "$2" "${@:3}"
	step "download the source of qemu $2 (25 MB)" >&2
	(cd "$new" && pf_apt apt-get -q -c "$apt/apt.conf" source --download-only \
		--only-source "qemu=$2") ||
		no_package "the source package qemu $2 could not be downloaded"
	step "headers of qemu $2" >&2
	run "$E_BUILD" headers make_tree "$new" >&2
	mv "$new/tree" "$1"
	rm -rf "$new"
}

case $# in
0)	version=$(dpkg-query -W -f '${source:Version}' qemu-system-x86 2>/dev/null) ||
		die "$E_PACKAGE" "qemu-system-x86 is not installed" ;;
2)	version=$1 ;;
*)	die "$E_USAGE" "usage: headers.sh [VERSION SUITE]" ;;
esac
dir=$PF_CACHE/qemu/${version#*:}
mkdir -p "$PF_CACHE/qemu" "$PF_LOG"
exec 9>"$PF_CACHE/qemu/lock"
flock 9
[ -d "$dir" ] || make_headers "$dir" "$version" "${@:2}"
echo "$dir"
