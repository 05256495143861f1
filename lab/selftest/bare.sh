#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# bare.sh [-r] [-t] SUITE: `make demo` on a machine that has nothing. Makes a
# minimal Debian SUITE (bookworm or trixie), with the packages of the group
# `start` and sudo, clones this repository's HEAD in it, and runs `make demo`
# there as root, and once more as a user who has sudo. KTAP on stdout.
#
#	-r		make the minimal Debian anew (else: once for each list of packages)
#	-t		`make test` as well, as root, after the demo
#	KERNEL=path	a bzImage: only compiling the kernel is left out, not for -t
#	BARE_KEEP=1	keep the machines in build/bare (else: only when one fails, its log)
#
# Wants root, for chroot and mount; without them it ends with E_CHROOT. All
# mounts are in a namespace that ends with the run. The machine takes downloads
# and ccache from this host's cache, and nothing else; packages are kept in
# the cache, in bare/SUITE.debs.

set -eu
# shellcheck source=SCRIPTDIR/../../scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

refresh='' with_test=''
while getopts rt option; do
	case $option in
	r) refresh=1 ;;
	t) with_test=1 ;;
	*) exit "$E_USAGE" ;;
	esac
done
shift $((OPTIND - 1))
suite=${1:-}
case $suite in
bookworm | trixie) ;;
*) die "$E_USAGE" "usage: bare.sh [-r] [-t] SUITE, which is bookworm or trixie" ;;
esac
kernel=${KERNEL:-}
case $kernel in
*/*) [ -f "$kernel" ] || die "$E_USAGE" "KERNEL=$kernel does not exist" ;;
'') ;;
*) die "$E_USAGE" "KERNEL=$kernel: bare.sh takes the path of a bzImage" ;;
esac

# shellcheck source=SCRIPTDIR/machine.sh
. "$PF_ROOT/lab/selftest/machine.sh"

# demo USER: as far as the last line of `make demo`
demo() {
	local root=$machines/$1 log=$PF_LOG/bare-$suite-$1.log rc=0 run
	run="umask 022; git -c advice.detachedHead=false clone -q /srv/peerfault peerfault && cd peerfault &&
		make demo ${kernel:+KERNEL=/srv/bzImage}"
	[ -d "$root" ] || machine "$root" "$1" || return
	if [ "$1" != root ]; then
		# Root has filled the host's ccache; a user can only read it.
		run="export CCACHE_READONLY=1 CCACHE_TEMPDIR=/tmp; $run"
		# To unpack the base once is enough; and half of the disk is, without
		# what root has built.
		rm -rf "$machines/root/root/peerfault/build"
		mv "$machines/root/root/.cache/peerfault/base.git" \
			"$root/home/$1/.cache/peerfault/"
		chroot "$root" chown -R "$1" "/home/$1/.cache/peerfault/base.git"
	elif [ -n "$kernel" ]; then
		# What precedes compiling needs packages that nothing else needs.
		run="$run && kernel/build.sh prepare"
	fi
	in_machine "$root" "$1" "$run" >"$log" 2>&1 || rc=$?
	tail -n 25 "$log"
	[ "$rc" -eq 0 ] || { echo "exit code $rc, log: $log"; return 1; }
	grep -q '^shown: RDMA read and wrote' "$log" ||
		{ echo "no last line of the demo, log: $log"; return 1; }
}

# as_tested: `make test` where the demo has run
as_tested() {
	local log=$PF_LOG/bare-$suite-test.log
	in_machine "$machines/root" root \
		"cd peerfault && make test" >"$log" 2>&1 || :
	tail -n 40 "$log"
	grep -qE '^[0-9]+ passed, 0 failed, [0-9]+ skipped$' "$log"
}

# Without network: all packages are named, and nothing is left half-done.
offline() {
	local root=$machines/root rc=0 said=$PF_LOG/bare-$suite-offline.log
	machine "$root" root || return
	namespaces=--net in_machine "$root" root "git -c advice.detachedHead=false \
		clone -q /srv/peerfault /tmp/clone && make -C /tmp/clone demo" \
		>"$said" 2>&1 || rc=$?
	cat "$said"
	[ "$rc" -eq 2 ] && ! chroot "$root" dpkg -s gcc >/dev/null 2>&1 || return
	grep -q '^error 11: no network, .* bc .* ibverbs-utils' "$said"
}

# Every other Debian, and what is none, is told what it needs, and nothing is
# downloaded.
unsupported() {
	local root=$machines/root rc=0 said=$PF_LOG/bare-$suite-unsupported.log
	sed -i 's/^VERSION_ID=.*/VERSION_ID="11"/' "$root/etc/os-release"
	in_machine "$root" root 'git -c advice.detachedHead=false clone -q \
		/srv/peerfault other && cd other && scripts/preflight.sh demo' \
		>"$said" 2>&1 || rc=$?
	cat "$said"
	[ "$rc" -eq "$E_PACKAGE" ] && [ ! -e "$root/root/other/build" ] || return
	grep -q '^error 10: this is not Debian 12 or 13 .* ibverbs-utils ' "$said"
}

prepare 5000

ktap_begin $((5 + ${with_test:-0}))
ktap_test "minimal $suite" minimal
ktap_test "make demo without network stops" offline
ktap_test "make demo as root" demo root
[ -z "$with_test" ] || ktap_test "make test as root" as_tested
ktap_test "make demo as a user with sudo" demo tester
ktap_test "make demo on another distribution stops" unsupported
# Minutes, on a slow disk: nobody waits for it.
if [ -z "${BARE_KEEP:-}" ]; then
	mv "$machines" "$machines.$$"
	nice rm -rf --one-file-system "$machines.$$" >/dev/null 2>&1 </dev/null 9>&- &
fi
ktap_end || exit "$E_FAIL"
