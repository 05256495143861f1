#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fetch.sh [--check | --mirrors]: makes sure that the base package of base.env is in the
# cache, verified, and prints its path. All messages go to stderr.
#
#	--check		download nothing but the archive's index, and that only
#			when the package is not in the cache: can it be had?
#	--mirrors	print the archives to ask, and stop
#
# The package comes from the mirrors that the host itself uses, through an apt
# state of our own: the host's sources and package lists stay as they are. apt
# checks the archive's signature; the sha256 in base.env is checked here.
#
# When the archive has another version instead, the newest one of the package
# stands in for it. That is said each time, and kernel/tree.sh takes it only if
# every patch applies.
#
#	PEERFAULT_KEYRING=file	see scripts/apt.sh

set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/base.env
. "$PF_ROOT/kernel/base.env"
# shellcheck source=SCRIPTDIR/../scripts/apt.sh
. "$PF_ROOT/scripts/apt.sh"

dl=$PF_CACHE/dl
apt_begin fetch 'With a tree or tarball of that kernel at hand: make KERNEL_SRC=path ...'

# verify FILE SHA256: delete what is damaged
verify() {
	echo "$2  $1" | sha256sum --check --status 2>/dev/null && return
	rm -f "$1"
	die "$E_CORRUPT" "$1 does not have the expected sha256; it has been" \
		"deleted: run the same command again to download it"
}

# index SUITE: apt knows what the first of the mirrors that serves SUITE has
index() {
	local uri uris
	uris=$(mirrors)
	[ -n "$uris" ] || no_package "this host's apt sources name no Debian archive"
	for uri in $uris; do
		! apt_index "$uri" "$1" deb || return 0
	done
	no_package "the package index of $1 could not be downloaded"
}

# offered PACKAGE VERSION: VERSION if the archive has it, else the newest one
# that is newer. Nothing: no_package.
offered() {
	local versions newest
	# madison lists the newest first
	versions=$(LC_ALL=C apt-cache -c "$apt/apt.conf" madison "$1" | awk '{ print $3 }')
	newest=${versions%%$'\n'*}
	if grep -qxF "$2" <<<"$versions"; then
		echo "$2"
	elif [ -n "$newest" ] && dpkg --compare-versions "$newest" gt "$2"; then
		echo "$newest"
	else
		: >"$log"
		no_package "$1 $2 is gone from the archive, and there is no newer one"
	fi
}

# stands_in PACKAGE VERSION OTHER: must not be overlooked
stands_in() {
	note "$1 $2 is gone from the archive, which has $3:"
	note "signed by the archive, never tested here, and taken only if every patch applies."
	note "To build what was tested: make KERNEL_SRC=path ... with a tree or tarball of $2."
}

# fetch PACKAGE VERSION SHA256 SUITE: prints the path of the verified .deb
fetch() {
	local deb=$dl/$1_$2_all.deb other=$dl/$1_$2.instead version new file
	if [ -f "$deb" ]; then
		[ -n "$check" ] || verify "$deb" "$3"
		echo "$deb"
		return
	fi
	index "$4"
	version=$(offered "$1" "$2")
	if [ "$version" != "$2" ]; then
		stands_in "$1" "$2" "$version"
	fi
	if [ -n "$check" ]; then
		return
	fi
	# apt writes the version's `~` and `:` in its own way: one file, our name.
	file=$dl/$1_${version}_all.deb
	if [ -f "$file" ]; then
		verify "$file" "$(cat "$other")"
		echo "$file"
		return
	fi
	need_space "$PF_CACHE" 400 "downloading $1"
	mkdir -p "$dl"
	step "download $1 $version (160 MB)" >&2
	# apt writes to the current directory
	new=$dl/partial
	rm -rf "$new"
	mkdir "$new"
	(cd "$new" && pf_apt apt-get -q -c "$apt/apt.conf" download "$1=$version") ||
		no_package "$1 $version could not be downloaded"
	mv "$new"/*.deb "$file"
	rmdir "$new"
	if [ "$version" = "$2" ]; then
		verify "$file" "$3"
	else
		# apt has compared it with the signed index.
		sha256sum <"$file" | cut -d ' ' -f 1 >"$other"
	fi
	echo "$file"
}

check=
case ${1:-} in
'') ;;
--check) check=1 ;;
--mirrors) mirrors; exit ;;
*) die "$E_USAGE" "usage: fetch.sh [--check | --mirrors]" ;;
esac
fetch "$BASE_PACKAGE" "$BASE_VERSION" "$BASE_SHA256" "$BASE_SUITE"
