#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# pair.sh [-cl] [-t TOPOLOGY] [-T SECONDS] [-o DIR] -- COMMAND [ARG]...: boots two
# machines of a topology, of which each has what leads to the other, and runs COMMAND
# in both: PAIR is 0 in the one and 1 in the other. KTAP on stdout, of each machine
# what its COMMAND prints.
#
#	-c		COMMAND is no test: what it prints on machine 0, as it runs
#	-l		machine 1 is to be lost: its COMMAND has QEMU end
#	-t TOPOLOGY	(default: two-hosts)
#	-T SECONDS	give up after so long (default: 300)
#	-o DIR		what lab/run.sh leaves goes to DIR/0 and DIR/1 (default:
#			$LAB_OUT, else build/log/pair-TOPOLOGY)
#
# Exit code: 0 if all is well in both, else 1.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

usage() {
	sed -n '4,17s/^# \{0,1\}//p' "$0"
}

topology=two-hosts limit=300 dir='' lost=0 plain=0
while getopts clt:T:o:h opt; do
	case $opt in
	c) plain=1 ;;
	l) lost=1 ;;
	t) topology=$OPTARG ;;
	T) limit=$OPTARG ;;
	o) dir=$OPTARG ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit "$E_USAGE" ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { usage >&2; exit "$E_USAGE"; }
dir=${dir:-${LAB_OUT:-$PF_LOG/pair-$topology}}
"$PF_ROOT/lab/build.sh" normal "$topology" >&2
# The names of sockets must not be long.
sockets=$(mktemp -d /tmp/pair.XXXXXX)
trap 'kill "${guests[@]}" 2>/dev/null || :; rm -rf "$sockets"' EXIT
# A test's name begins with guest0. or guest1.; a machine knows nothing of that.
case ${TEST:-} in
guest?.*) TEST=${TEST#*.} ;;
esac

mkdir -p "$dir"
guests=()
for n in 0 1; do
	quiet=-q
	[ "$plain" -eq 0 ] || [ "$n" -eq 1 ] || quiet=
	"$PF_ROOT/lab/run.sh" $quiet -t "$topology" -T "$limit" \
		-o "$dir/$n" -p "$n:$sockets" -- "$@" 2>"$dir/$n.err" &
	guests+=($!)
done
rc=(0 0)
for n in 0 1; do
	wait "${guests[n]}" || rc[n]=$?
done
guests=()
if [ "$plain" -eq 1 ]; then
	for n in 0 1; do
		[ "${rc[n]}" -eq 0 ] || { echo "machine $n:"; cat "$dir/$n.err"; } >&2
	done
	[ "${rc[*]}" = '0 0' ] || exit "$E_FAIL"
	exit 0
fi

# said N: what the job of machine N has printed, and ended with
said() {
	cat "$dir/$1/out"
	[ "${rc[$1]}" -eq 0 ] || cat "$dir/$1.err" >&2
	return "${rc[$1]}"
}

was_lost() {
	echo "machine 1 ended with ${rc[1]}"
	[ "${rc[1]}" -eq "$E_VM" ] || { cat "$dir/1.err"; return 1; }
}

TEST=''
ktap_begin 2
ktap_suite guest0 said 0
if [ "$lost" -eq 1 ]; then
	ktap_test guest1.lost was_lost
else
	ktap_suite guest1 said 1
fi
ktap_end || exit "$E_FAIL"
