#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# perftest.sh [PROGRAM]...: run programs of perftest, unmodified, each as server
# and client, over on-demand and over pinned memory; KTAP. Without arguments: all
# of them. A test's name is PROGRAM.odp or PROGRAM.pinned.
#
# RDMA is the client's device and RDMA_PEER the server's (default: rxe0).

set -u
# shellcheck source=scripts/ktap.sh
. /lab/ktap.sh
# shellcheck source=lab/programs/listens.sh
. /lab/listens.sh
: "${RDMA:=rxe0}" "${RDMA_PEER:=$RDMA}"
size=65536 count=200 port=18515

# measures FILE SIZE: the program's own table has a line with this size and count
measures() {
	awk -v size="$2" -v count="$count" '
		/^ *#bytes/ { table = 1; next }
		table && $1 == size && $2 == count && $4 > 0 { found = 1 }
		END { exit !found }' "$1"
}

# both PROGRAM SIZE OPTION...: a server and its client
both() {
	local program=$1 bytes=$2 server rc=0
	port=$((port + 1))
	local args=(-F -s "$bytes" -n "$count" -p "$port")
	args+=("${@:3}")
	timeout 60 "$program" -d "$RDMA_PEER" "${args[@]}" >/tmp/server 2>&1 &
	server=$!
	listens "$port" || echo 'the server does not listen'
	timeout 60 "$program" -d "$RDMA" "${args[@]}" 127.0.0.1 >/tmp/client 2>&1 || rc=$?
	wait "$server" || rc=$((rc ? rc : $?))
	cat /tmp/server /tmp/client
	[ "$rc" -eq 0 ] && measures /tmp/client "$bytes"
}

[ $# -gt 0 ] || set -- ib_{read,write,send,atomic}_{bw,lat}
tests=()
for program; do
	for kind in odp pinned; do
		# shellcheck disable=SC2254 # it is a glob
		case $program.$kind in
		${TEST:-*}) tests+=("$program.$kind") ;;
		esac
	done
done
ktap_begin "${#tests[@]}"
for name in ${tests[0]+"${tests[@]}"}; do
	bytes=$size option=()
	case $name in
	ib_atomic_*) bytes=8 ;;
	esac
	case $name in
	*.odp) option=(--odp) ;;
	esac
	ktap_test "$name" both "${name%.*}" "$bytes" ${option[0]+"${option[@]}"}
done
ktap_end
