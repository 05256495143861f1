#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vram-malloc.sh: what vram-malloc.so does when something is missing: the program
# has its own result, and the library says one line. KTAP.
#
# RDMA is the client's device and RDMA_PEER the server's (default: rxe0).

set -u
# shellcheck source=scripts/ktap.sh
. /lab/ktap.sh
# shellcheck source=lab/programs/listens.sh
. /lab/listens.sh
: "${RDMA:=rxe0}" "${RDMA_PEER:=$RDMA}"
library=/tests/vram-malloc.so
port=18600

# lines WANT FILE: so many lines are the library's
lines() {
	local got
	# perftest has not ended its own line then.
	got=$(grep -o 'vram-malloc: ' "$2" | wc -l)
	[ "$got" -eq "$1" ] || { cat "$2"; echo "$got lines, not $1"; return 1; }
}

# pair ENV... -- OPTION...: ib_read_bw with the library on both sides
pair() {
	local env=() server rc=0
	while [ "$1" != -- ]; do
		env+=("$1")
		shift
	done
	shift
	port=$((port + 1))
	env "${env[@]}" LD_PRELOAD=$library timeout 100 ib_read_bw -F -p "$port" \
		-d "$RDMA_PEER" "$@" >/tmp/server 2>&1 &
	server=$!
	listens "$port" || echo 'the server does not listen'
	env "${env[@]}" LD_PRELOAD=$library timeout 100 ib_read_bw -F -p "$port" \
		-d "$RDMA" "$@" 127.0.0.1 >/tmp/client 2>&1 || rc=$?
	wait "$server" || rc=$((rc ? rc : $?))
	[ "$rc" -eq 0 ] || cat /tmp/server /tmp/client
	return "$rc"
}

never_registers() {
	LD_PRELOAD=$library ibv_devinfo -d "$RDMA" >/tmp/out 2>&1 &&
		lines 1 /tmp/out && grep -q 'hca_id' /tmp/out &&
		grep -q 'no memory region was registered' /tmp/out
}

no_libibverbs() {
	[ "$(LD_PRELOAD=$library VRAM_MALLOC_QUIET=1 cat /etc/hostname 2>&1)" = peerfault ]
}

no_device() {
	pair VRAM_MALLOC_DEVICE=ffff:1f:1f.7 -- --odp -s 65536 -n 50 &&
		lines 1 /tmp/client && lines 1 /tmp/server &&
		grep -q 'no device ffff:1f:1f.7' /tmp/client
}

# No device has a driver that the library knows.
no_exporter() {
	local rc=0 gpu
	for gpu in "$GPU0" "$GPU1"; do
		echo "$gpu" >/sys/bus/pci/drivers/ivgpu/unbind || rc=1
	done
	pair -- --odp -s 65536 -n 50 && lines 1 /tmp/client && lines 1 /tmp/server &&
		grep -q 'no device: No such device; memory stays in RAM' /tmp/client || rc=1
	for gpu in "$GPU0" "$GPU1"; do
		echo "$gpu" >/sys/bus/pci/drivers/ivgpu/bind || rc=1
	done
	return "$rc"
}

quiet() {
	pair VRAM_MALLOC_DEVICE="$GPU0" VRAM_MALLOC_QUIET=1 -- --odp -s 65536 -n 50 &&
		lines 0 /tmp/client
}

# The memory of both together, 280 MB, is more than the device has: what does not
# fit stays in RAM, and nobody notices.
out_of_vram() {
	pair VRAM_MALLOC_DEVICE="$GPU0" -- --odp -s 70000000 -n 5 &&
		grep -q 'placed [1-9]' /tmp/client
}

# Memory of a device that goes away in the middle comes back to RAM. The program is
# still running then: the server ends after it, and the bind is the last.
unbound() {
	local driver rc=0 unbinder
	driver=$(readlink -f "/sys/bus/pci/devices/$GPU0/driver")
	(sleep 4 && echo "$GPU0" >"$driver/unbind" && date +%s) >/tmp/gone &
	unbinder=$!
	pair VRAM_MALLOC_DEVICE="$GPU0" -- --odp -s 1048576 -D 8 || rc=$?
	[ -s /tmp/gone ] || { echo 'the program had ended before'; rc=1; }
	wait "$unbinder" || rc=1
	[ ! -e "/sys/bus/pci/devices/$GPU0/driver" ] || rc=1
	echo "$GPU0" >"$driver/bind"
	return "$rc"
}

tests=(never_registers no_libibverbs no_device quiet out_of_vram unbound no_exporter)
ktap_begin
for test in "${tests[@]}"; do
	ktap_test "$test" "$test"
done
ktap_end
