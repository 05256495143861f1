#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# initramfs.sh: packs the guest's file system, build/lab/base.cpio, from the
# host's own programs: busybox, iproute2, the verbs libraries with rxe's
# provider, the scripts in lab/guest and the built tests. Does nothing when no
# input has changed.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/lab/lib.sh"

out=$LAB_BUILD/base.cpio
libdir=/usr/lib/x86_64-linux-gnu

# program:package
wanted="busybox:busybox-static ip:iproute2 rdma:iproute2
	ibv_devinfo:ibverbs-utils ibv_rc_pingpong:ibverbs-utils cpio:cpio"
programs=()
for entry in $wanted; do
	path=$(PATH=$PATH:/usr/sbin:/sbin command -v "${entry%%:*}") ||
		die "$E_PACKAGE" "${entry%%:*} not found, package ${entry#*:}"
	[ "${entry%%:*}" = cpio ] || programs+=("$path")
done
busybox=${programs[0]}
[ -z "$(closure "$busybox")" ] ||
	die "$E_PACKAGE" "$busybox is not static, package busybox-static"
provider=$(echo "$libdir"/libibverbs/librxe-rdmav*.so)
[ -e "$provider" ] ||
	die "$E_PACKAGE" "rxe's verbs provider not found, package ibverbs-providers"

# Test programs are flat in the guest, so two of one name would hide a test.
tests=()
for dir in "$PF_BUILD/tools" "$PF_BUILD/kselftest"; do
	[ -d "$dir" ] || continue
	while IFS= read -r file; do
		tests+=("$file")
	done < <(find "$dir" -type f -perm -u+x | LC_ALL=C sort)
done
twice=$(printf '%s\n' "${tests[@]##*/}" | sort | uniq -d)
[ -z "$twice" ] || die "$E_BUILD" "two test programs of one name: $twice"

mapfile -t libs < <(closure "${programs[@]}" "$provider" "${tests[@]}")
inputs=("$0" "$PF_ROOT/lab/lib.sh" "$LAB"/guest/init "$LAB"/guest/motd
	"$LAB"/guest/bin/* /etc/libibverbs.d/rxe.driver "$provider"
	"${programs[@]}" "${libs[@]}" "${tests[@]}")
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
	"$root"/etc/{libibverbs.d,peerfault} "$root"/usr/{bin,sbin,lib,lib64}
for dir in bin sbin lib lib64; do
	ln -s "usr/$dir" "$root/$dir"
done
cp "$busybox" "$root/bin/busybox"
"$busybox" --list | while IFS= read -r applet; do
	[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
done
for file in "${programs[@]}" "${libs[@]}" "$provider"; do
	mkdir -p "$root$(dirname "$file")"
	cp -L --remove-destination "$file" "$root$file"
done
cp /etc/libibverbs.d/rxe.driver "$root/etc/libibverbs.d/"
[ "${#tests[@]}" -eq 0 ] || cp "${tests[@]}" "$root/tests/"
cp "$LAB"/guest/bin/* "$root/lab/"
cp "$LAB/guest/motd" "$root/etc/motd"
cp "$LAB/guest/init" "$root/init"
pack "$root" "$out.tmp"
rm -rf "$root"
mv "$out.tmp" "$out"
echo "$sum" >"$out.inputs"
say "    guest file system: $(du -h "$out" | cut -f1), ${#tests[@]} test programs"
