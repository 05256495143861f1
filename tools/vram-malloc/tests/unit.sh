#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# unit.sh: vram-malloc.so on a machine without a device: its parts with ASan and
# UBSan, and preloaded into a program whose libibverbs is a fake, and with it a device
# that is one. KTAP.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$root/scripts/ktap.sh"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
shared=kernel/files/tools/testing/selftests/hmm_alias
cc=(gcc -std=gnu11 -Wall -Wextra -Werror -g -I"$here/..")
library=$root/build/tools/vram-malloc.so
pinned='; pinned: it is in RAM from its registration on'

build() {
	make -s -C "$here/.."
	"${cc[@]}" -fsanitize=address,undefined -fno-sanitize-recover=all \
		-DINSTANCES="\"$tmp/instances\"" -o "$tmp/unit" \
		"$here"/{unit.c,../pattern.c,../decisions.c}
	"${cc[@]}" -shared -fPIC -Wl,-soname,libibverbs.so.1 -o "$tmp/libibverbs.so.1" \
		"$here/fake.c"
	"${cc[@]}" -I"$root/$shared" -shared -fPIC -pthread -fvisibility=hidden \
		-o "$tmp/on-fake.so" "$here"/{fake_device.c,../vram-malloc.c,../pattern.c}
	"${cc[@]}" -rdynamic -o "$tmp/program" "$here"/{program,work}.c "$tmp/libibverbs.so.1"
	"${cc[@]}" -shared -fPIC -o "$tmp/plugin.so" "$here/work.c" "$tmp/libibverbs.so.1"
	"${cc[@]}" -o "$tmp/loader" "$here/program.c"
}

# Of the kernel, only files of this repository are needed, and of the host no header
# of drm. It is installed with its manual page.
builds_alone() {
	local clone=$tmp/clone
	mkdir "$clone"
	(cd "$root" && cp -r --parents VERSION tools/flags.mk tools/vram-malloc \
		kernel/files/drivers/gpu/drm/ivgpu/ivgpu_ioctl.h "$shared" "$clone") &&
		make -s -C "$clone/tools/vram-malloc" all install DESTDIR="$tmp/dest" \
			PREFIX=/usr &&
		[ -x "$tmp/dest/usr/lib/vram-malloc.so" ] &&
		[ -f "$tmp/dest/usr/share/man/man8/vram-malloc.so.8" ]
}

# own LINES ARG [PROGRAM]: the program has its own exit code and output, and so many
# lines are the library's
own() {
	local rc=0
	LD_LIBRARY_PATH=$tmp LD_PRELOAD=$library VRAM_MALLOC_DEVICE=ffff:1f:1f.7 \
		"$tmp/${3:-program}" "$2" >"$tmp/out" 2>"$tmp/err" || rc=$?
	cat "$tmp/out" "$tmp/err"
	[ "$rc" -eq 42 ] && [ "$(grep -vc '^vram-malloc: ' "$tmp/err")" -eq 0 ] &&
		[ "$(wc -l <"$tmp/err")" -eq "$1" ] &&
		{ [ "$2" = nothing ] || [ "$(cat "$tmp/out")" = mine ]; }
}

# says ENV LINE...: on a device that is a fake, with ENV, the library says these lines
says() {
	local library=$tmp/on-fake.so env=$1 line
	shift
	for line; do
		echo "vram-malloc: $line"
	done >"$tmp/want"
	(for word in $env; do
		export "${word?}"
	done; own $# registers) && diff "$tmp/want" "$tmp/err"
}

region='region 1: 65536 bytes, pinned: 16 pages'
none='aliased 0, moved 0'
gone='ffff:00:00.0 is gone; memory is in RAM, and stays there'

ktap_begin
ktap_need build build
ktap_suite unit "$tmp/unit"
ktap_test "built without the kernel" builds_alone
ktap_test "a program that registers, without a device" own 1 registers
ktap_test "a program that does not register" own 1 nothing
ktap_test "a program that forks" own 2 fork
PLUGIN=$tmp/plugin.so ktap_test "a plugin that registers" own 1 registers loader
PLUGIN=$tmp/plugin.so ktap_test "a plugin, and a fork" own 2 fork loader
REREG=1 ktap_test "a program that registers again, without a device" own 1 registers
ktap_test "a region" says '' "$region, placed 16, $none, left 0, there 16$pinned"
ktap_test "a region, quietly" says VRAM_MALLOC_QUIET=1
ktap_test "a region that is registered again" says REREG=1 \
	"$region, placed 16, $none, left 0, there 16$pinned" \
	"region 3: 32768 bytes, on-demand: 8 pages, placed 0, $none, left 0, there 8"
ktap_test "no room, said once" says 'FAKE=full REREG=1' \
	"region 1: 3 of 16 pages are on ffff:00:00.0, the others stay in RAM: it is full, or they are in use" \
	"$region, placed 3, $none, left 0, there 3$pinned" \
	"region 3: 32768 bytes, on-demand: 8 pages, placed 0, $none, left 0, there 3"
ktap_test "the device goes, and nothing is registered any more" says FAKE=gone \
	"$gone" "$region, placed 16, $none, left 16, there 0$pinned"
ktap_test "the device goes before another region" says 'FAKE=gone REREG=1' \
	"$gone" "$region, placed 16, $none, left 16, there 0$pinned"
ktap_test "the device goes, quietly" says 'FAKE=gone VRAM_MALLOC_QUIET=1' "$gone"
ktap_end
