#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Where the base kernel comes from: kernel/fetch.sh and `make tree` against an
# archive made here, in a directory and signed by a key made here. KTAP on stdout.

set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
clone=$work/clone archive=$work/archive
pool=$archive/pool index=$archive/dists/trixie-backports
export PEERFAULT_CACHE=$work/cache PEERFAULT_KEYRING=$work/ours.gpg
export APT_CONFIG=$work/apt.conf GIT_CONFIG_GLOBAL=/dev/null
export SOURCE_DATE_EPOCH=0	# one version, one sha256
unset KERNEL KERNEL_SRC FORCE MAKEFLAGS MFLAGS MAKELEVEL

# key NAME: a key pair in $work/NAME, and its public half as a keyring
key() {
	mkdir -m 700 "$work/$1"
	gpg -q --homedir "$work/$1" --batch --passphrase '' --quick-generate-key \
		"$1@localhost" ed25519 sign never
	gpg -q --homedir "$work/$1" --export >"$work/$1.gpg"
}

# sign NAME: the archive's index, signed with that key
sign() {
	(cd "$index" && {
		printf '%s\n' 'Origin: Debian' 'Suite: trixie-backports' \
			'Codename: trixie-backports' 'Architectures: amd64 all' \
			'Components: main' "Date: $(LC_ALL=C date -Ru)" 'SHA256:'
		printf ' %s %s %s\n' "$(sha256sum <"$packages" | cut -d ' ' -f 1)" \
			"$(stat -c %s "$packages")" "$packages"
	} >Release)
	gpg -q --homedir "$work/$1" --batch --yes --clearsign \
		-o "$index/InRelease" "$index/Release"
}
packages=main/binary-amd64/Packages

# add VERSION [LINE]: a package of that version; LINE is line 10 of mm/memory.c
add() {
	local deb=$work/deb/linux-source-7.3_$1_all src=$work/src file
	mkdir -p "$pool" "$deb/DEBIAN" "$deb/usr/src" "$src/linux/mm" \
		"$(dirname "$index/$packages")"
	printf 'VERSION = 7\nPATCHLEVEL = 3\n# %s\n' "$1" >"$src/linux/Makefile"
	echo 'mainmenu "fake"' >"$src/linux/Kconfig"
	seq 20 | sed "10s/.*/${2:-10}/" >"$src/linux/mm/memory.c"
	tar -C "$src" --sort=name --mtime=@0 -cJf "$deb/usr/src/linux-source-7.3.tar.xz" linux
	printf '%s\n' 'Package: linux-source-7.3' "Version: $1" 'Architecture: all' \
		'Maintainer: nobody <nobody@localhost>' 'Description: fake' \
		>"$deb/DEBIAN/control"
	file=$pool/linux-source-7.3_$1_all.deb
	dpkg-deb -b --root-owner-group -Znone "$deb" "$file" >/dev/null
	{
		dpkg-deb -f "$file"
		printf '%s\n' "Filename: pool/${file##*/}" "Size: $(stat -c %s "$file")" \
			"SHA256: $(sha256sum <"$file" | cut -d ' ' -f 1)" ''
	} >>"$index/$packages"
}

# fresh: no archive and no cache; a clone with one patch, that is pinned to 7.3.4
fresh() {
	rm -rf "$clone" "$archive" "$work/deb" "$PEERFAULT_CACHE"
	mkdir -p "$clone/kernel/patches"
	cp -R "$PF_ROOT/scripts" "$clone/"
	cp "$PF_ROOT"/kernel/*.sh "$clone/kernel/"
	cp -R "$PF_ROOT/kernel/selftest/patches/1-fix" "$clone/kernel/patches/"
	add 7.3.4-1
	pin "$(sha256sum <"$pool/linux-source-7.3_7.3.4-1_all.deb" | cut -d ' ' -f 1)"
	host "deb file:$archive $codename main"
}
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

# pin SHA256
pin() {
	printf '%s\n' BASE_PACKAGE=linux-source-7.3 BASE_VERSION=7.3.4-1 \
		"BASE_SHA256=$1" BASE_SUITE=trixie-backports >"$clone/kernel/base.env"
}

# gone: the pinned version is not in the archive any more
gone() {
	rm -f "$pool"/* "$index/$packages"
}

# host LINE...: the apt sources of the host
host() {
	printf '%s\n' "$@" >"$work/sources.list"
	printf '%s "%s";\n' Dir::Etc::sourcelist "$work/sources.list" \
		Dir::Etc::sourceparts "$work/sources.list.d" >"$APT_CONFIG"
}

# expect CODE TEXT COMMAND...: that exit code, and that text in the output
expect() {
	local want=$1 text=$2 rc=0
	shift 2
	"$clone/$1" "${@:2}" >"$work/out" 2>&1 || rc=$?
	[ "$rc" = "$want" ] && [[ $(<"$work/out") == *"$text"* ]] && return
	echo "'$*' gave $rc, not $want; or did not say: $text"
	cat "$work/out"
	return 1
}

# at_once CODE TEXT: the preflight says so, and nothing was downloaded
at_once() {
	expect "$1" "$2" scripts/preflight.sh tree || return
	! find "$PEERFAULT_CACHE" -name '*.deb' | grep . || return
}

memory_line() {
	[ "$(sed -n 10p "$clone/build/linux/mm/memory.c")" = ten ]
}

t_exact() {
	fresh
	sign ours
	at_once 0 "" || return
	expect 0 "1 patches" kernel/tree.sh || return
	memory_line && ! grep NOTE "$work/out" || return
	# From now on without the archive
	rm -r "$archive" "$clone/build"
	expect 0 "" scripts/preflight.sh tree || return
	expect 0 "1 patches" kernel/tree.sh
}

t_gone_newer_applies() {
	fresh
	gone
	add 7.3.5-1
	add 7.3.6-1
	sign ours
	at_once 0 "7.3.4-1 is gone from the archive, which has 7.3.6-1" || return
	expect 0 "7.3.4-1 is gone from the archive, which has 7.3.6-1" kernel/tree.sh || return
	grep -q "1 patches" "$work/out" && memory_line || return
	grep -q '7.3.6-1' "$clone/build/linux/Makefile" || return
	# It is said each time, and not laid again.
	expect 0 "7.3.4-1 is gone" kernel/tree.sh || return
	! grep "1 patches" "$work/out" || return
	# What is pinned is taken as soon as it is there.
	gone
	add 7.3.4-1
	sign ours
	expect 0 "1 patches" kernel/tree.sh || return
	! grep NOTE "$work/out" && grep -q '7.3.4-1' "$clone/build/linux/Makefile"
}

t_gone_newer_does_not_apply() {
	fresh
	gone
	add 7.3.6-1 changed
	sign ours
	expect "$E_PATCH" "make KERNEL_SRC=path" kernel/tree.sh || return
	grep -q 'do not apply to linux-source-7.3_7.3.6-1_all.deb' "$work/out" || return
	# It is not left half-way, and does not pass the next time.
	[ ! -e "$clone/build/linux/.git/rebase-apply" ] || return
	expect "$E_PATCH" "make KERNEL_SRC=path" kernel/tree.sh || return
	# The way out works.
	gone
	add 7.3.4-1
	export KERNEL_SRC=$pool/linux-source-7.3_7.3.4-1_all.deb
	local rc=0
	expect 0 "1 patches" kernel/tree.sh || rc=1
	unset KERNEL_SRC
	return "$rc"
}

t_gone_only_older() {
	fresh
	gone
	add 7.3.3-1
	sign ours
	at_once "$E_NETWORK" "there is no newer one" || return
	grep -q "make KERNEL_SRC=path" "$work/out" || return
	expect "$E_NETWORK" "make KERNEL_SRC=path" kernel/tree.sh
}

t_gone_for_good() {
	fresh
	gone
	: >"$index/$packages"
	sign ours
	at_once "$E_NETWORK" "there is no newer one" || return
	expect "$E_NETWORK" "make KERNEL_SRC=path" kernel/tree.sh
}

t_wrong_signature() {
	fresh
	sign theirs
	at_once "$E_CORRUPT" "signature or hash is wrong" || return
	expect "$E_CORRUPT" "signature or hash is wrong" kernel/tree.sh || return
	# and without any
	rm "$index/InRelease"
	at_once "$E_CORRUPT" "signature or hash is wrong"
}

t_wrong_sha256() {
	fresh
	sign ours
	pin 0000000000000000000000000000000000000000000000000000000000000000
	expect "$E_CORRUPT" "does not have the expected sha256" kernel/tree.sh || return
	! find "$PEERFAULT_CACHE" -name '*.deb' | grep .
}

# What the index says and what the archive has are two things.
t_changed_on_the_way() {
	fresh
	sign ours
	echo more >>"$pool/linux-source-7.3_7.3.4-1_all.deb"
	expect "$E_CORRUPT" "signature or hash is wrong" kernel/tree.sh
}

t_no_network() {
	fresh
	host "deb http://127.0.0.1:9/debian $codename main"
	at_once "$E_NETWORK" "could not be downloaded" || return
	expect "$E_NETWORK" "make KERNEL_SRC=path" kernel/tree.sh
}

# All that is missing, in one go, and the code of the first
# shellcheck disable=SC2016 # for the other sh
t_preflight_names_all() {
	fresh
	mkdir -p "$work/bin"
	printf '%s\n' '#!/bin/sh' 'echo Python 3.8.1' '[ "$1" = -V ]' >"$work/bin/python3"
	chmod +x "$work/bin/python3"
	printf 'run\tno-such-package-here\tnone\n' >>"$clone/scripts/packages"
	local said
	PEERFAULT_CACHE=/proc/none PATH=$work/bin:$PATH \
		expect "$E_SPACE" "no-such-package-here" scripts/preflight.sh tree || return
	for said in "disk for /proc/none (which cannot be written)" \
		    "Python 3.9 or later; $work/bin/python3 is Python 3.8.1" \
		    "the base kernel: " "make tree"; do
		grep -F "$said" "$work/out" || { cat "$work/out"; return 1; }
	done
	expect "$E_USAGE" "no verb 'nonsense'" scripts/preflight.sh nonsense
}

# On any distribution, before the compiler says so
t_preflight_install() {
	fresh
	expect 0 "" scripts/preflight.sh install || return
	PKG_CONFIG_LIBDIR=/none expect "$E_PACKAGE" \
		"hold: libtracefs-dev libtraceevent-dev" scripts/preflight.sh install
}

# What the list promises has to be there, and not only the package.
t_files_are_there() {
	fresh
	printf 'start\tgit\tgit no-such-program /usr/lib/*/no-such.so python3:none\n' \
		>"$clone/scripts/packages"
	expect "$E_PACKAGE" "git (no-such-program /usr/lib/*/no-such.so python3:none)" \
		scripts/deps.sh start
}

# The first archive that serves the suite with a good signature
t_next_mirror() {
	fresh
	sign ours
	host "deb http://127.0.0.1:9/debian $codename main" \
		"deb file:$archive $codename main"
	expect 0 "1 patches" kernel/tree.sh
}

t_no_sources() {
	fresh
	host "# none"
	at_once "$E_NETWORK" "name no Debian archive" || return
	expect "$E_NETWORK" "make KERNEL_SRC=path" kernel/tree.sh
}

t_both_formats() {
	fresh
	host "# deb http://off.example/debian $codename main" \
		"deb [arch=amd64] http://one.example/debian $codename main contrib" \
		"deb http://one.example/debian $codename-updates main" \
		"deb http://security.example/debian $codename-security main" \
		"deb http://nonfree.example/debian $codename non-free"
	mkdir "$work/sources.list.d"
	printf '%s\n' 'Types: deb deb-src' 'URIs: http://two.example/debian' \
		"Suites: $codename $codename-backports" 'Components: main' '' \
		'Types: deb' 'URIs: http://off.example/debian' "Suites: $codename" \
		'Components: main' 'Enabled: no' '' \
		'Types: deb' 'URIs: http://three.example/debian' 'Suites: stable' \
		'Components: contrib main' >"$work/sources.list.d/debian.sources"
	local rc=0
	expect 0 "" kernel/fetch.sh --mirrors || rc=1
	rm -r "$work/sources.list.d"
	[ "$rc" -eq 0 ] && diff "$work/out" <(printf 'http://%s.example/debian/\n' one two three)
}

key ours
key theirs
mapfile -t tests < <(declare -F | sed -n 's/^declare -f t_//p')
ktap_begin "${#tests[@]}"
for t in "${tests[@]}"; do
	ktap_test "fetch_$t" "t_$t"
done
ktap_end || exit "$E_FAIL"
