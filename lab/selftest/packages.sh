#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# packages.sh [SUITE [PACKAGE...]]: each line of scripts/packages is needed.
# Prepares one machine (see bare.sh) with SUITE (default: bookworm) that has
# all of a group's packages and has run the group's command. Then, for each
# line, a copy of it without that line and without the packages that the
# other lines do not bring: there the command has to fail. Where it does
# not, or where another line brings the package as well, the line is not
# needed, or a test is missing. KTAP on stdout.
#
#	KERNEL=path	a bzImage: spares compiling one at the beginning
#	PACKAGE...	only these

set -eu
# shellcheck source=SCRIPTDIR/../../scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

suite=${1:-bookworm}
[ $# -eq 0 ] || shift
only=" $* "
kernel=${KERNEL:-} refresh=
# shellcheck source=SCRIPTDIR/machine.sh
. "$PF_ROOT/lab/selftest/machine.sh"
all=$machines/all
less=$machines/less

# command GROUP: what needs the packages of a group, the cheapest first
command_of() {
	case $1 in
	start | run | guest)
		# All but the tree anew; then really all
		echo 'git clone -q /srv/peerfault /tmp/clone &&
			rm -rf build/[!l]* build/lab && make demo KERNEL=/srv/bzImage &&
			kernel/build.sh prepare &&
			rm -rf build ~/.cache/peerfault/base.git && make demo' ;;
	check)
		echo 'export KERNEL=/srv/bzImage && lab/build.sh normal untrusted &&
			lab/run.sh -t untrusted -- true && scripts/check.sh' ;;
	matrix)
		echo 'kernel/check-matrix.sh cocci && kernel/check-matrix.sh arm64 &&
			kernel/check-matrix.sh all' ;;
	model)
		echo 'rm -rf build/devices && devices/build.sh mlx5' ;;
	root)
		echo 'lab/root.sh -r igt' ;;
	fuzz)
		echo 'devices/test.sh fuzz 1' ;;
	deb)
		echo 'make -s -C build/linux O=/tmp/defconfig x86_64_defconfig &&
			CONFIG=/tmp/defconfig/.config kernel/deb.sh' ;;
	bare)
		# Machines are not made inside of a machine: as far as that
		echo 'scripts/deps.sh bare && mmdebstrap --version' ;;
	esac
}

# groups_of GROUP: those whose packages are there when its command runs
groups_of() {
	case $1 in
	start | run | guest) echo start run guest ;;
	matrix) echo start run guest check matrix ;;
	fuzz) echo start run guest model check fuzz ;;
	bare) echo start bare ;;
	*) echo start run guest "$1" ;;
	esac
}

# listed GROUP...: the packages of these groups
listed() {
	awk -F '\t' -v groups=" $* " 'index(groups, " " $1 " ") { print $2 }' \
		"$PF_ROOT/scripts/packages" | sort -u
}

# closure PACKAGE...: what apt installs on the minimal Debian for these
closure() {
	chroot "$all" apt-get -q -s -o Dir::State::status=/srv/minimal.status \
		--no-install-recommends install "$@" | awk '/^Inst / { print $2 }' | sort -u
}

# enter_copy ROOT USER COMMAND: enter a machine that is $all, and takes with it
# what is changed
enter_copy() {
	mount -t overlay -o "lowerdir=$all,upperdir=$1.upper,workdir=$1.work" copy "$1"
	enter "$@"
}
export -f enter_copy
export all

# in_copy COMMAND
in_copy() {
	rm -rf --one-file-system "$less" "$less.upper" "$less.work"
	mkdir -p "$less" "$less.upper" "$less.work"
	in_namespace bash -euc 'enter_copy "$@"' bash "$less" root "$1" </dev/null
}

# ready GROUP: the machine has the packages of the group's command and runs it
ready() {
	local log=$PF_LOG/packages-$1.log list
	list=$(groups_of "$1")
	in_machine "$all" root "cd peerfault && scripts/deps.sh $list && {
		[ -f /srv/bzImage ] || { kernel/build.sh &&
			cp build/kernel-normal/arch/x86/boot/bzImage /srv/; }; } &&
		$(command_of "$1") && touch /srv/runs-$1" >"$log" 2>&1 && return
	tail -n 25 "$log"
	return 1
}

# without GROUP PACKAGE: its line is needed
without() {
	local log=$PF_LOG/packages-$1-$2.log others less_packages remove rc=0

	# Else it is red for another reason.
	[ -e "$all/srv/runs-$as" ] || { echo "the command does not run with all of them"; return 1; }
	# shellcheck disable=SC2046 # a list of groups
	others=$(listed $(groups_of "$1") | grep -vxF "$2")
	# shellcheck disable=SC2086 # a list of packages
	less_packages=$(closure $others)
	if grep -qxF "$2" <<<"$less_packages"; then
		echo "another line brings $2 as well"
		return 1
	fi
	remove=$(comm -23 <(installed "$all/var/lib/dpkg/status") \
		<(installed "$all/srv/minimal.status" | sort -u - <(echo "$less_packages")))
	if grep -qxF "$2" <<<"$(installed "$all/srv/minimal.status")" && [ "$1" = start ]; then
		remove="$remove $2"
	fi
	in_copy "cd peerfault && sed -i '/^$1\t$2\t/d' scripts/packages &&
		dpkg --purge --force-all $(paste -s -d ' ' <<<"$remove") >/srv/purge.log 2>&1
		touch /srv/removed
		$(command_of "$1")" >"$log" 2>&1 || rc=$?
	[ -e "$less.upper/srv/removed" ] || { tail -n 5 "$log"; return 1; }
	grep -m 1 -iE '^error|not found|No such file' "$log" || tail -n 3 "$log"
	[ "$rc" -ne 0 ] || echo "$(command_of "$1") does without $2"
	[ "$rc" -ne 0 ]
}

# installed STATUS: the packages that dpkg has as installed
installed() {
	awk '/^Package: / { name = $2 } /^Status: .* installed$/ { print name }' "$1" | sort -u
}

start_machine() {
	minimal && machine "$all" root || return
	cp "$all/var/lib/dpkg/status" "$all/srv/minimal.status"
	in_machine "$all" root "apt-get -q update &&
		git -c advice.detachedHead=false clone -q /srv/peerfault peerfault"
}

prepare 9000
# shellcheck disable=SC2119 # the plan is known last
ktap_begin
ktap_test "machine $suite" start_machine
for group in start run guest root model check matrix fuzz deb bare; do
	mapfile -t packages < <(listed "$group" | if [ "$only" = "  " ]; then cat; else
		grep -xF "$(tr ' ' '\n' <<<"$only" | grep .)" || :; fi)
	[ "${#packages[@]}" -gt 0 ] || continue
	case $group in
	run | guest) as=start ;;
	*) as=$group ;;
	esac
	[ -e "$all/srv/runs-$as" ] || ktap_test "$as runs" ready "$as"
	for package in "${packages[@]}"; do
		ktap_test "red without $group $package" without "$group" "$package"
		[ -z "${BARE_VERBOSE:-}" ] || tail -n 3 "$ktap_kept" >&2
	done
done
rm -rf --one-file-system "$machines"
ktap_end || exit "$E_FAIL"
