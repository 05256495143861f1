#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# headers.sh: compiles what the library has from the kernel's tests once with the
# headers in uapi and once with those of the patched kernel: both have to be the same
# instructions and data. A copy that differs in one number has to be seen.
#
#	LINUX=dir	the patched kernel (default: build/linux)

set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
linux=${LINUX:-$root/build/linux}
shared=$root/kernel/files/tools/testing/selftests/hmm_alias
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# objects NAME: what the headers in $tmp/NAME/drm make of it
objects() {
	local file
	for file in "$shared"/exporter*.c "$shared/xe.c" "$here/../device.c"; do
		gcc -std=c11 -O2 -w -D__user= -I"$here/.." -I"$shared" \
			-I"$root/kernel/files" -isystem "$tmp/$1" -c \
			-o "$tmp/$1/$(basename "$file" .c).o" "$file"
	done
}

mkdir "$tmp"/{ours,kernel,wrong}
cp -r "$here/../uapi/drm" "$tmp/ours"
cp -r "$linux/include/uapi/drm" "$tmp/kernel"
# drm_mode.h wants it, and Debian 12 has none.
install -D -m 644 -t "$tmp/kernel/linux" "$linux/include/uapi/linux/bits.h"
cp -r "$here/../uapi/drm" "$tmp/wrong"
sed -i 's/FAULT_MODE.*(1 << 2)/FAULT_MODE (1 << 3)/' "$tmp/wrong/drm/xe_drm.h"
for name in ours kernel wrong; do
	objects "$name"
done
for object in "$tmp"/ours/*.o; do
	cmp "$object" "$tmp/kernel/$(basename "$object")"
done
! cmp -s "$tmp"/{ours,wrong}/xe.o || { echo 'a wrong number is not seen'; exit 1; }
