#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# preflight.sh VERB: can this machine do all of `make VERB`? Called first by
# make. Looks at everything that the whole run needs, names all that is not
# there at once, and stops before anything is downloaded or compiled. Only when
# nothing but packages is missing are those installed (scripts/deps.sh).
#
# Exit code: that of the first thing missing (scripts/common.sh).
set -eu
. "$(dirname "$0")/../scripts/common.sh"

# MiB of memory that are free: a guest has 2 GiB, and QEMU and its devices'
# memory come on top of that. A compiler or linker takes less. The guest for
# Intel's tests of xe has 5 GiB, and another one runs beside it.
guest_memory=3000
build_memory=1500
all_memory=8500

verb=${1:-}
groups="start run" memory=$build_memory
# What the run makes, and how many MiB it becomes: PATH:MIB, with PATH in build/
# or cache/. What is there already needs no more room.
makes="cache/dl:170 cache/base.git:1700 cache/qemu:40 build/linux:1900"
boots="cache/ccache:200 build/kernel-normal:450 build/selftests:50 build/lab:200"
checks="build/check:2400"
kernels="build/linux-base:1900 build/kernel-base:400 build/kernel-debug:1200"
all="cache/root:1000 build/prefixes:2200 build/bare:5000"

case $verb in
install)
	# On any distribution: nothing is installed but the tools, and not by apt.
	missing=
	command -v cc >/dev/null || missing=" gcc"
	command -v pkg-config >/dev/null || missing="$missing pkgconf"
	for library in libtracefs libtraceevent; do
		pkg-config --exists "$library" 2>/dev/null || missing="$missing $library-dev"
	done
	[ -z "$missing" ] || die "$E_PACKAGE" \
		"\`make install\` needs what these Debian packages hold:$missing"
	exit 0 ;;
tree | refresh | series)
	;;
kernel | demo | shell)
	groups="$groups guest" makes="$makes $boots" memory=$guest_memory
	[ -z "${APP:-}" ] || groups="$groups root" makes="$makes cache/root:1000" ;;
bench)
	groups="$groups guest model" makes="$makes $boots $kernels" memory=$guest_memory ;;
stress | torture)
	groups="$groups guest" makes="$makes $boots $kernels" memory=$guest_memory ;;
check)
	groups="$groups check" makes="$makes $checks" ;;
check-matrix)
	groups="$groups check matrix"
	makes="$makes build/linux-base:1900 build/matrix:5000" ;;
deb)
	groups="$groups deb" makes="$makes build/kernel-deb:12000" ;;
test)
	groups="$groups guest model check" makes="$makes $boots $checks" memory=$guest_memory ;;
mutants)
	groups="$groups guest model check" memory=$guest_memory
	makes="$makes $boots $checks $kernels" ;;
test-all)
	groups="$groups guest model root check fuzz bare" memory=$all_memory
	makes="$makes $boots $checks $kernels $all" ;;
test-long)
	groups="$groups guest model root check fuzz matrix deb bare" memory=$all_memory
	makes="$makes $boots $checks $kernels $all build/docs:5000 build/matrix:5000
		build/kernel-no-p2pdma:400 build/kernel-deb:12000 build/deb-test:3000" ;;
*)
	die "$E_USAGE" "usage: preflight.sh VERB; no verb '$verb'" ;;
esac

case $verb in
kernel | demo | shell | stress | torture)
	# shellcheck disable=SC2016 # for the bash inside
	models=$(bash -euc '. "${0%/*}/common.sh"; . "$PF_ROOT/lab/topology.sh"
		topology_files "$1" >/dev/null; topology_models "$1"' "$0" "${TOPOLOGY:-switch}") || exit
	[ -z "$models" ] || groups="$groups model" ;;
esac

# problem CODE TEXT...: one more; the first one's code is the exit code
code=0
problem() {
	[ "$code" -ne 0 ] || code=$1
	shift
	printf 'missing: %s\n' "$*" >&2
}

# A package has this name there, and not in every other distribution.
supported() {
	[ "$(uname -m)" = x86_64 ] && command -v apt-get >/dev/null &&
		(. /etc/os-release && [ "$ID" = debian ] &&
		 case ${VERSION_ID:-} in 12 | 13) ;; *) false ;; esac)
}

# room DIR MIB: "FILE-SYSTEM MIB FREE DIR", for need_room
room() {
	if mkdir -p "$1" 2>/dev/null && [ -w "$1" ]; then
		df -Pk "$1" | awk -v mib="$2" -v dir="$1" \
			'NR == 2 { print $6, mib, int($4 / 1024), dir }'
	else
		echo "$1 1 0 $1 (which cannot be written)"
	fi
}

# need_room: build/ and the cache may share one file system, and its room
need_room() {
	build=0 cache=0
	for made in $makes; do
		path=${made%:*} mib=${made#*:}
		case $path in
		build/*) [ -e "$PF_ROOT/$path" ] || build=$((build + mib)) ;;
		cache/*) [ -e "$PF_CACHE/${path#cache/}" ] || cache=$((cache + mib)) ;;
		esac
	done
	{
		room "$PF_BUILD" "$build"
		room "$PF_CACHE" "$cache"
	} | awk '{ fs = $1; need[fs] += $2; free[fs] = $3; $1 = $2 = $3 = ""
	       sub(/^ */, " "); dirs[fs] = dirs[fs] $0 }
		 END { for (fs in need) if (need[fs] > free[fs])
			printf "%d MiB of disk for%s, of which %d MiB are free\n",
				need[fs], dirs[fs], free[fs] }'
}

# shellcheck disable=SC2086 # a list of groups
if ! supported; then
	wanted=$(awk -F '\t' -v groups=" $groups " \
		'!/^#/ && index(groups, " " $1 " ") { print $2 }' \
		"$PF_ROOT/scripts/packages" | sort -u | paste -s -d ' ')
	die "$E_PACKAGE" "this is not Debian 12 or 13 on x86-64 ($(uname -m)," \
		"$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-unknown}"))." \
		"\`make $verb\` needs what these Debian packages hold: $wanted"
fi

short=$(need_room)
[ -z "$short" ] || problem "$E_SPACE" "$short"
available=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ "$available" -ge "$memory" ] || problem "$E_SPACE" \
	"$memory MiB of memory, of which $available MiB are available"
if command -v python3 >/dev/null &&
   ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
	problem "$E_PACKAGE" "Python 3.9 or later; $(command -v python3) is $(python3 -V 2>&1)"
fi
# The base kernel: given, laid, in the cache, or in the archive
if [ -z "${KERNEL_SRC:-}" ] && [ ! -e "$PF_BUILD/linux/.git/peerfault-stamp" ]; then
	said=$("$PF_ROOT/kernel/fetch.sh" --check 2>&1 >/dev/null) || {
		rc=$?
		problem "$rc" "the base kernel: $(echo "$said" | sed -n 's/^error [0-9]*: //p')"
		said=
	}
	echo "$said" | grep '^NOTE: ' >&2 || :
fi
# shellcheck disable=SC2086
packages=$("$PF_ROOT/scripts/deps.sh" -n $groups)
if [ -n "$packages" ] && [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
	problem "$E_PACKAGE" "root or sudo, to install packages"
fi
if [ "$code" -ne 0 ]; then
	[ -z "$packages" ] || printf 'missing: the Debian packages %s\n' "$packages" >&2
	die "$code" "\`make $verb\` cannot be done here: see the lines above"
fi
# shellcheck disable=SC2086
exec "$PF_ROOT/scripts/deps.sh" $groups
