# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Sourced by what has a server and a client in the guest.

# listens PORT: waits until a process listens there; it says so too late
listens() {
	local port
	port=$(printf '%04X' "$1")
	for _ in {1..200}; do
		! grep -qE "^ *[0-9]+: [0-9A-F]+:$port [0-9A-F:]+ 0A " \
			/proc/net/tcp /proc/net/tcp6 || return 0
		sleep 0.1
	done
	return 1
}
