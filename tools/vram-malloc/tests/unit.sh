#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# unit.sh: vram-malloc.so on a machine without a device: its parts with ASan and
# UBSan, and preloaded into a program whose libibverbs is a fake. KTAP.

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

build() {
	make -s -C "$here/.."
	"${cc[@]}" -fsanitize=address,undefined -fno-sanitize-recover=all \
		-DINSTANCES="\"$tmp/instances\"" -o "$tmp/unit" \
		"$here"/{unit.c,../pattern.c,../decisions.c}
	"${cc[@]}" -shared -fPIC -Wl,-soname,libibverbs.so.1 -o "$tmp/libibverbs.so.1" \
		"$here/fake.c"
	"${cc[@]}" -rdynamic -o "$tmp/program" "$here"/{program,work}.c "$tmp/libibverbs.so.1"
	"${cc[@]}" -shared -fPIC -o "$tmp/plugin.so" "$here/work.c" "$tmp/libibverbs.so.1"
	"${cc[@]}" -o "$tmp/loader" "$here/program.c"
}

# Of the kernel, only files of this repository are needed, and of the host no header
# of drm.
builds_alone() {
	local clone=$tmp/clone
	mkdir "$clone"
	(cd "$root" && cp -r --parents VERSION tools/flags.mk tools/vram-malloc \
		kernel/files/drivers/gpu/drm/ivgpu/ivgpu_ioctl.h "$shared" "$clone") &&
		make -s -C "$clone/tools/vram-malloc" all install DESTDIR="$tmp/dest" \
			PREFIX=/usr &&
		[ -x "$tmp/dest/usr/lib/vram-malloc.so" ]
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

ktap_begin
ktap_need build build
ktap_suite unit "$tmp/unit"
ktap_test "built without the kernel" builds_alone
ktap_test "a program that registers, without a device" own 1 registers
ktap_test "a program that does not register" own 1 nothing
ktap_test "a program that forks" own 2 fork
PLUGIN=$tmp/plugin.so ktap_test "a plugin that registers" own 1 registers loader
PLUGIN=$tmp/plugin.so ktap_test "a plugin, and a fork" own 2 fork loader
ktap_end
