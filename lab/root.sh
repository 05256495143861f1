#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# root.sh [-r] NAME: makes sure that the file system with the programs that
# lab/roots/NAME lists is in the cache, and prints the path of its ext4 image.
# All messages go to stderr.
#
#	-r	make it anew
#
# The packages come from the mirrors that the host itself uses, through an apt
# state of our own; apt checks the archive's signature. They are unpacked and not
# installed: none of their scripts runs, so that this needs no root. What those
# would have made, and a program wants, finish() makes.
#
# A line of lab/roots/NAME:
#
#	suite NAME		the suite of Debian
#	package NAME		with all that it depends on
#	source NAME PATH	PATH of the source package that NAME is built from, as
#				the archive has it, is in /usr/src/NAME
#	build SCRIPT		of lab/roots, is called with the directory of the root
#
#	PEERFAULT_KEYRING=file	see scripts/apt.sh

set -eu -o pipefail
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/apt.sh
. "$PF_ROOT/scripts/apt.sh"
PATH=$PATH:/usr/sbin:/sbin

usage='usage: root.sh [-r] NAME, a file in lab/roots'
refresh=
while getopts r option; do
	case $option in
	r) refresh=1 ;;
	*) die "$E_USAGE" "$usage" ;;
	esac
done
shift $((OPTIND - 1))
[ $# -eq 1 ] || die "$E_USAGE" "$usage"
name=$1
list=$PF_ROOT/lab/roots/$name
[[ $name =~ ^[a-z0-9-]+$ && -f $list ]] || die "$E_USAGE" "no root '$name'; $usage"
image=$PF_CACHE/root/$name.ext4
new=$PF_CACHE/root/$name.new
apt_begin "root-$name" "The programs of lab/roots/$name come from Debian's archive."
options=(-q -y -o "Dir::State::status=$apt/status" -o Debug::NoLocking=true
	-o APT::Install-Recommends=false)

# rows KEY: the values of that key in the list
rows() {
	sed -n "s/^$1[ \t]\+//p" "$list"
}

our_apt() {
	pf_apt apt-get -c "$apt/apt.conf" "${options[@]}" "$@"
}

# index: our apt's state is what the first of the mirrors that serves the suite has
index() {
	local uri suite
	suite=$(rows suite)
	for uri in $(mirrors); do
		if apt_index "$uri" "$suite" 'deb deb-src'; then
			: >"$apt/status"
			return
		fi
	done
	no_package "the package index of $suite could not be downloaded"
}

# download: all packages and sources, into apt's cache and $new/source. apt has the
# hash of each file from the index, and the file that describes a source package
# is not needed.
download() {
	local package path
	# shellcheck disable=SC2046 # a list of names
	our_apt install --download-only $(rows package) ||
		no_package "a package of lab/roots/$name could not be downloaded"
	while read -r package path; do
		[ ! -d "$new/source/$package" ] || continue
		mkdir -p "$new/source/$package"
		(cd "$new/source/$package" && our_apt source --download-only --tar-only \
			"$package") ||
			no_package "the source of $package could not be downloaded"
	done < <(rows source)
}

# unpack: makes $new/root of what was downloaded
unpack() {
	local root=$new/root debs=("$apt"/cache/archives/*.deb) deb package path
	mkdir -p "$root/etc"
	# The links /bin and /lib, which others need
	dpkg-deb -x "$apt"/cache/archives/base-files_*.deb "$root"
	for deb in "${debs[@]}"; do
		dpkg-deb -x "$deb" "$root"
		dpkg-deb -f "$deb" Package Version | paste -s -d ' ' |
			sed 's/Package: //; s/Version: //'
	done >"$root/etc/peerfault-packages"
	while read -r package path; do
		mkdir -p "$root/usr/src/$package"
		tar -C "$root/usr/src/$package" -xf "$new/source/$package"/*.orig.tar.* \
			--strip-components=1 --wildcards --no-wildcards-match-slash "*/$path"
	done < <(rows source)
}

# finish: what the packages' scripts would have made, and the places of mounts
finish() {
	local root=$new/root
	printf '%s\n' 'root::0:0:root:/root:/bin/bash' \
		'sshd:x:100:65534::/run/sshd:/usr/sbin/nologin' >"$root/etc/passwd"
	printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >"$root/etc/group"
	echo 'peerfault' >"$root/etc/hostname"
	printf '%s\n' '127.0.0.1 localhost' '10.0.2.15 peerfault' \
		'10.1.0.1 peerfault0' '10.1.0.2 peerfault1' >"$root/etc/hosts"
	[ -e "$root/usr/bin/awk" ] || [ ! -e "$root/usr/bin/mawk" ] ||
		ln -s mawk "$root/usr/bin/awk"
	rm -rf "$root"/usr/share/{doc,man,locale,info} "$root"/var/{cache,lib}/*
	mkdir -p "$root"/{proc,sys,dev,run,tmp,root,lab,tests}
}

make_image() {
	local mib script
	unpack
	finish
	while read -r script; do
		"$PF_ROOT/lab/roots/$script" "$new/root" || return
	done < <(rows build)
	mib=$(du -sm "$new/root" | cut -f 1)
	# Room for the file system itself, and for what programs write
	mke2fs -q -t ext4 -m 0 -O ^has_journal -E root_owner=0:0 -d "$new/root" \
		"$new/image" "$((mib + mib / 4 + 64))M"
}

mkdir -p "$PF_CACHE/root" "$PF_LOG"
exec 9>"$PF_CACHE/root/$name.lock"
flock 9
mapfile -t scripts < <(rows build | sed "s|^|$PF_ROOT/lab/roots/|")
key=$(cat "$list" "$0" ${scripts[0]+"${scripts[@]}"} | sha256sum)
if [ -n "$refresh" ] || [ ! -f "$image" ] || [ "$(cat "$image.key" 2>/dev/null)" != "$key" ]; then
	"$PF_ROOT/scripts/deps.sh" root >&2
	need_space "$PF_CACHE/root" 1000 "the root $name"
	rm -rf "$new" "$image.key" "$apt/cache/archives"
	mkdir -p "$new"
	index
	step "download lab/roots/$name" >&2
	download
	run "$E_BUILD" "root-$name-image" make_image >&2
	mv "$new/image" "$image"
	echo "$key" >"$image.key"
	rm -rf "$new" "$apt/cache/archives"
fi
echo "$image"
