#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# initramfs.sh: packs the guest's file system, build/lab/base.cpio, from the
# host's own programs: what the group `guest` of scripts/packages names, the
# scripts in lab/guest and the built tests. Does nothing when no input has
# changed.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/lab/guest.sh"

out=$LAB_BUILD/base.cpio

# A file of the list is a program, or a path with globs.
files=() busybox=
while read -r package name; do
	case $name in
	/*)
		mapfile -t found < <(compgen -G "$name")
		[ "${#found[@]}" -gt 0 ] ||
			die "$E_PACKAGE" "$name not found, package $package" ;;
	*)
		found=("$(PATH=$PATH:/usr/sbin:/sbin command -v "$name")") ||
			die "$E_PACKAGE" "$name not found, package $package" ;;
	esac
	case $name in
	busybox) busybox=${found[0]} ;;
	*) files+=("${found[@]}") ;;
	esac
done < <(awk '$1 == "guest" { for (i = 3; i <= NF; i++) print $2, $i }' \
	"$PF_ROOT/scripts/packages")
[ -n "$busybox" ] || die "$E_PACKAGE" "scripts/packages has no busybox for the guest"
[ -z "$(closure "$busybox")" ] ||
	die "$E_PACKAGE" "$busybox is not static, package busybox-static"
command -v cpio >/dev/null || die "$E_PACKAGE" "cpio not found, package cpio"

# Test programs are flat in the guest, so two of one name would hide a test.
tests=()
for dir in "$PF_BUILD/tools" "$PF_BUILD/jobs" "$PF_BUILD/selftests/install"; do
	[ -d "$dir" ] || continue
	while IFS= read -r file; do
		tests+=("$file")
	done < <(find "$dir" -type f -perm -u+x | LC_ALL=C sort)
done
twice=$(printf '%s\n' "${tests[@]##*/}" | sort | uniq -d)
[ -z "$twice" ] || die "$E_BUILD" "two test programs of one name: $twice"

mapfile -t libs < <(closure "${files[@]}" "${tests[@]}")
inputs=("$0" "$PF_ROOT/lab/guest.sh" "$LAB"/guest/init "$LAB"/guest/motd
	"$LAB"/guest/bin/* "$PF_ROOT/scripts/"{ktap.sh,as-test} "$busybox"
	"${files[@]}" "${libs[@]}" "${tests[@]}")
mkdir -p "$LAB_BUILD"
exec 9>"$LAB_BUILD/initramfs.lock"
flock 9
sum=$(sha256sum "${inputs[@]}" | sha256sum)
if [ -e "$out" ] && [ "$(cat "$out.inputs" 2>/dev/null)" = "$sum" ]; then
	exit 0
fi

root=$LAB_BUILD/root
rm -rf "$root"
mkdir -p "$root"/{dev,proc,sys,run,tmp,root,lab,tests} \
	"$root"/etc/peerfault "$root"/usr/{bin,sbin,lib,lib64}
for dir in bin sbin lib lib64; do
	ln -s "usr/$dir" "$root/$dir"
done
cp "$busybox" "$root/bin/busybox"
"$busybox" --list | while IFS= read -r applet; do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
put "$root" "${files[@]}" "${libs[@]}"
[ "${#tests[@]}" -eq 0 ] || cp "${tests[@]}" "$root/tests/"
cp "$LAB"/guest/bin/* "$PF_ROOT/scripts/"{ktap.sh,as-test} "$root/lab/"
cp "$LAB/guest/motd" "$root/etc/motd"
cp "$LAB/guest/init" "$root/init"
pack "$root" "$out.tmp"
rm -rf "$root"
mv "$out.tmp" "$out"
echo "$sum" >"$out.inputs"
say "    guest file system: $(du -h "$out" | cut -f1), ${#tests[@]} test programs"
