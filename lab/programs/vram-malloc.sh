#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vram-malloc.sh [TEST]...: what vram-malloc.so does when something is missing: the
# program has its own result, and the library says one line. KTAP. Without arguments:
# the tests for rxe. Those whose names begin with no_odp are for a device that has no
# on-demand paging.
#
# RDMA is the client's device and RDMA_PEER the server's (default: rxe0).

set -u
# shellcheck source=scripts/ktap.sh
. /lab/ktap.sh
# shellcheck source=lab/programs/listens.sh
. /lab/listens.sh
: "${RDMA:=rxe0}" "${RDMA_PEER:=$RDMA}"
library=/tests/vram-malloc.so
preload=$library
port=18600

# lines WANT FILE: so many lines are the library's
lines() {
	local got
	# perftest has not ended its own line then.
	got=$(grep -o 'vram-malloc: ' "$2" | wc -l)
	[ "$got" -eq "$1" ] || { cat "$2"; echo "$got lines, not $1"; return 1; }
}

# says WORDS [LINES]: both sides have one line of the library with these words, and
# so many lines of it in all
says() {
	local file
	for file in /tmp/server /tmp/client; do
		[ "$(grep -c "vram-malloc: .*$1" "$file")" -eq 1 ] || {
			cat "$file"
			echo "$file has not one line '$1'"
			return 1
		}
		lines "${2:-1}" "$file" || return
	done
}

# pair ENV... -- OPTION...: ib_read_bw with the library on both sides. With pattern=1
# each fills its memory with another pattern.
pair() {
	local env=() server rc=0
	while [ "$1" != -- ]; do
		env+=("$1")
		shift
	done
	shift
	port=$((port + 1))
	env "${env[@]}" ${pattern:+VRAM_MALLOC_PATTERN=1} LD_PRELOAD="$preload" \
		timeout 100 ib_read_bw -F -p "$port" -d "$RDMA_PEER" "$@" >/tmp/server 2>&1 &
	server=$!
	listens "$port" || echo 'the server does not listen'
	env "${env[@]}" ${pattern:+VRAM_MALLOC_PATTERN=2} LD_PRELOAD="$preload" \
		timeout 100 ib_read_bw -F -p "$port" -d "$RDMA" "$@" 127.0.0.1 \
		>/tmp/client 2>&1 || rc=$?
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
		says 'no device ffff:1f:1f.7'
}

# No device has a driver that the library knows.
no_exporter() {
	local rc=0 gpu
	for gpu in "$GPU0" "$GPU1"; do
		echo "$gpu" >/sys/bus/pci/drivers/ivgpu/unbind || rc=1
	done
	pair -- --odp -s 65536 -n 50 &&
		says 'no device: No such device; memory stays in RAM' || rc=1
	for gpu in "$GPU0" "$GPU1"; do
		echo "$gpu" >/sys/bus/pci/drivers/ivgpu/bind || rc=1
	done
	return "$rc"
}

quiet() {
	pair VRAM_MALLOC_DEVICE="$GPU0" VRAM_MALLOC_QUIET=1 -- --odp -s 65536 -n 50 &&
		lines 0 /tmp/client
}

# registers LINES ARG...: registers.py with the library, which has so many lines
registers() {
	local rc=0
	VRAM_MALLOC_DEVICE="$GPU0" LD_PRELOAD=$library timeout 300 /lab/registers.py "${@:2}" \
		>/tmp/out 2>&1 || rc=$?
	cat /tmp/out
	[ "$rc" -eq 0 ] && lines "$1" /tmp/out
}

# The device has 256 MiB. What does not fit stays in RAM, and of two lines one says so.
out_of_vram() {
	registers 2 280 &&
		grep -q 'region 1: [1-9][0-9]* of 71680 pages are on .*, the others stay in RAM' \
			/tmp/out &&
		grep -q '71680 pages, placed [1-9]' /tmp/out
}

# One process takes the room of another. All was there, so each has the line of its
# region alone.
evicted() {
	registers 2 200 /lab/registers.py 200 &&
		[ "$(grep -c 'placed 51200, .* there 51200$' /tmp/out)" -eq 1 ] &&
		grep -q 'placed 51200, .* left [1-9].* there ' /tmp/out
}

# sent: packets of the device that has the server
sent() {
	cat "/sys/class/infiniband/$RDMA_PEER/ports/1/hw_counters/sent_pkts"
}

# unbind DRIVER MORE: once so many packets more were sent
unbind() {
	local until=$(($(sent) + $2))
	for _ in {1..600}; do
		[ "$(sent)" -lt "$until" ] || break
		sleep 0.1
	done
	echo "$GPU0" >"$1/unbind" && date +%s
}

# Memory of a device that goes away in the middle of transfers comes back to RAM. The
# program is still running then: the server ends after it, and the bind is the last.
unbound() {
	local driver rc=0 unbinder
	driver=$(readlink -f "/sys/bus/pci/devices/$GPU0/driver")
	unbind "$driver" 2000 >/tmp/gone &
	unbinder=$!
	pair VRAM_MALLOC_DEVICE="$GPU0" -- --odp -s 1048576 -D 8 || rc=$?
	[ -s /tmp/gone ] || { echo 'the program had ended before'; rc=1; }
	wait "$unbinder" || rc=1
	[ ! -e "/sys/bus/pci/devices/$GPU0/driver" ] || rc=1
	echo "$GPU0" >"$driver/bind"
	[ "$rc" -eq 0 ] && says "$GPU0 is gone; memory is in RAM, and stays there" 2 &&
		says 'placed [1-9].* there 0' 2
}

# Pinned memory is read as ever, from RAM, and the region's line says why. The second
# line is about the pattern.
no_odp_pinned() {
	local words=' words [0-9]* are its own, [1-9][0-9]* the peer.s in their order, 0 neither'
	pattern=1 pair VRAM_MALLOC_DEVICE="$GPU0" -- -s 65536 -n 50 &&
		says 'pinned: 32 pages, placed [1-9].* there 0; pinned: it is in RAM from its registration on' 2 &&
		{ grep -q "$words" /tmp/client || { cat /tmp/client; false; }; }
}

# own: what both sides have said, without the library
own() {
	sed -e '/^vram-malloc: /d' -e 's/vram-malloc: .*//' /tmp/server /tmp/client
}

# What ends with an error of the program's own ends in the same way with the library.
no_odp_refused() {
	local alone=0 rc=0 said
	preload='' pair -- --odp -s 65536 -n 50 || alone=$?
	said=$(own)
	pair VRAM_MALLOC_DEVICE="$GPU0" -- --odp -s 65536 -n 50 || rc=$?
	echo "it ends with $alone, and with the library with $rc"
	[ "$alone" -ne 0 ] && [ "$rc" -eq "$alone" ] && [ "$(own)" = "$said" ] &&
		[[ $said == *'does not support On-Demand Paging'* ]] &&
		says 'no memory region was registered'
}

# peerfault is a program of the guest, not of the root.
no_odp_topo() {
	/usr/sbin/chroot /proc/1/root /tests/peerfault topo >/tmp/topo || return
	cat /tmp/topo
	grep -qE "^$RDMA +[0-9a-f:.]+ +no " /tmp/topo &&
		grep -qE "^$GPU0 +$RDMA .* no: importer cannot fault" /tmp/topo
}

[ $# -gt 0 ] || set -- never_registers no_libibverbs no_device quiet out_of_vram \
	evicted unbound no_exporter
ktap_begin
for test; do
	ktap_test "$test" "$test"
done
ktap_end
