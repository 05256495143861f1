#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Make sure that the base package is in the cache, verified, and print its
# path on stdout (all messages go to stderr).
#
# The package comes from the mirror that the host itself uses, through an apt
# state of our own: the host's sources and package lists stay as they are.
# apt checks the archive's signature, and we check the sha256 in base.env.
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/base.env"

dl=$PF_CACHE/dl
apt=$PF_CACHE/apt
deb=$dl/${BASE_PACKAGE}_${BASE_VERSION}_all.deb
# Remembers which package stands in for one that the archive no longer has.
instead=$deb.instead
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# verify FILE SHA256: delete what is damaged
verify() {
	echo "$2  $1" | sha256sum --check --status 2>/dev/null && return
	rm -f "$1"
	die "$E_CORRUPT" "$1 is not what kernel/base.env asks for (sha256);" \
		"it has been deleted: run the same command again to download it"
}

pf_apt() {
	LC_ALL=C "$@" >>"$log" 2>&1 </dev/null
}

no_package() {
	log_tail "$log" >&2
	if grep -qE 'signature|NO_PUBKEY|Hash Sum mismatch' "$log"; then
		die "$E_CORRUPT" "$1: the archive's signature or hash is wrong (log: $log)"
	fi
	die "$E_NETWORK" "$1 (log: $log). With a kernel tree or tarball at hand:" \
		"make KERNEL_SRC=path ..."
}

if [ -f "$deb" ]; then
	verify "$deb" "$BASE_SHA256"
	echo "$deb"
	exit
fi
if [ -f "$instead" ]; then
	read -r sha file <"$instead"
	if [ -f "$dl/$file" ]; then
		verify "$dl/$file" "$sha"
		note "$BASE_VERSION is gone from the archive; using $file"
		echo "$dl/$file"
		exit
	fi
fi

need_space "$PF_CACHE" 400 "downloading the base kernel"
mkdir -p "$dl" "$apt/lists/partial" "$apt/cache/archives/partial" "$PF_LOG"
log=$PF_LOG/fetch.log
: >"$log"

set --
for file in /etc/apt/sources.list.d/*.sources /etc/apt/sources.list \
	    /etc/apt/sources.list.d/*.list; do
	[ -f "$file" ] && set -- "$@" "$file"
done
[ $# -gt 0 ] || die "$E_NETWORK" "this host has no apt sources; use KERNEL_SRC=path"
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
uris=$(awk -v suite="$codename" -f "$PF_ROOT/kernel/debian-uris.awk" "$@")
[ -n "$uris" ] || die "$E_NETWORK" "no Debian archive in the host's apt sources; use KERNEL_SRC=path"

cat >"$apt/apt.conf" <<CONF
#clear APT::Update;
#clear DPkg;
Dir::State "$apt";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/base.sources";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
CONF

# In the host's own order, the first archive that serves the suite with a
# good signature.
found=
for uri in $uris; do
	step "package index of $BASE_SUITE" >&2
	printf '%s\n' 'Types: deb' "URIs: $uri" "Suites: $BASE_SUITE" \
		'Components: main' 'Targets: Packages' \
		"Signed-By: $keyring" >"$apt/base.sources"
	if pf_apt apt-get -q -c "$apt/apt.conf" update; then
		found=1
		break
	fi
done
[ -n "$found" ] || no_package "the package index of $BASE_SUITE could not be downloaded"

version=$BASE_VERSION
versions=$(LC_ALL=C apt-cache -c "$apt/apt.conf" madison "$BASE_PACKAGE" |
	   awk '{ print $3 }')
[ -n "$versions" ] || no_package "$BASE_SUITE has no $BASE_PACKAGE any more"
if ! echo "$versions" | grep -qxF "$BASE_VERSION"; then
	# madison lists the newest first
	version=$(echo "$versions" | head -n 1)
	note "**************************************************************"
	note "$BASE_PACKAGE $BASE_VERSION is gone from the archive."
	note "Using $version: signed by the archive, but never tested here."
	note "**************************************************************"
fi

step "download $BASE_PACKAGE $version (160 MB)" >&2
# apt writes to the current directory
new=$dl/partial
rm -rf "$new"
mkdir "$new"
(cd "$new" && pf_apt apt-get -q -c "$apt/apt.conf" download "$BASE_PACKAGE=$version") ||
	no_package "$BASE_PACKAGE $version could not be downloaded"
# apt writes the version's `~` and `:` in its own way: one file, our name.
file=${BASE_PACKAGE}_${version}_all.deb
mv "$new"/*.deb "$dl/$file"
rmdir "$new"
if [ "$version" = "$BASE_VERSION" ]; then
	verify "$deb" "$BASE_SHA256"
else
	printf '%s %s\n' "$(sha256sum <"$dl/$file" | cut -d ' ' -f 1)" \
		"$file" >"$instead"
fi
echo "$dl/$file"
