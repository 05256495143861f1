#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fabtests.sh ROOT: compiles libfabric's benchmarks, which are in its source package
# but in no binary one, for ROOT: from its /usr/src to its /usr/bin. The host's
# glibc must not be newer than ROOT's.

set -eu
root=$1
src=$root/usr/src/libfabric-bin
tests=$src/fabtests
out=$root/usr/bin
# What configure would find out
cat >"$tests/config.h" <<END
#define HAVE_CLOCK_GETTIME 1
#define HAVE_EPOLL 1
#define PACKAGE_VERSION "$(sed -n 's/^AC_INIT(\[[a-z]*\], \[\([0-9.a-z]*\)\].*/\1/p' "$tests/configure.ac")"
END
for name in msg_pingpong msg_bw rma_bw; do
	"${CC:-gcc}" -O2 -w -D_GNU_SOURCE -include "$tests/config.h" -I"$tests/include" \
		-I"$tests/include/unix" -I"$src/include" "$tests/benchmarks/$name.c" \
		"$tests/benchmarks/benchmark_shared.c" "$tests"/common/{shared,ofi_atomic,hmem*}.c \
		-o "$out/fi_$name" "$root"/usr/lib/*/libfabric.so.1 -lpthread -ldl \
		-Wl,--allow-shlib-undefined
done
