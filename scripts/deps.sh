#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Install the Debian packages that are missing, and only those; then look for
# what they must have brought.
# Usage: deps.sh [-n] GROUP...   (groups: see scripts/packages)
#
#	-n	install nothing: print the packages that are missing
set -eu
. "$(dirname "$0")/../scripts/common.sh"

PATH=$PATH:/usr/sbin:/sbin
usage="usage: deps.sh [-n] GROUP..."
list=$PF_ROOT/scripts/packages
dry=
if [ "${1:-}" = -n ]; then
	dry=1
	shift
fi
[ $# -gt 0 ] || die "$E_USAGE" "$usage"

# rows GROUP: "PACKAGE WHAT..." for each line of the group
rows() {
	awk -F '\t' -v group="$1" '$1 == group { print $2, $3 }' "$list"
}

# there WHAT: a program, a file or a module of Python
there() {
	case $1 in
	/*)
		# shellcheck disable=SC2086 # a glob
		set -- $1
		[ -e "$1" ] ;;
	python3:*)
		/usr/bin/python3 -c "import ${1#*:}" 2>/dev/null ;;
	*)
		command -v "$1" >/dev/null ;;
	esac
}

# absent: "PACKAGE (WHAT...)" for each package whose files are not there
absent() {
	for group in $groups; do
		rows "$group"
	done | while read -r pkg what; do
		set -f
		gone=
		for file in $what; do
			set +f
			there "$file" || gone="$gone $file"
		done
		set +f
		[ -z "$gone" ] || printf '%s (%s)\n' "$pkg" "${gone# }"
	done
}

groups=$*
missing=
for group; do
	wanted=$(rows "$group" | cut -d ' ' -f 1)
	[ -n "$wanted" ] || die "$E_USAGE" "no package group '$group'"
	for pkg in $wanted; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$pkg" 2>/dev/null) || :
		[ "$status" = installed ] || missing="$missing $pkg"
	done
done
if [ -n "$dry" ]; then
	[ -z "$missing" ] || printf '%s\n' "${missing# }"
	exit 0
fi

# One function, so that there is one log.
install_missing() {
	# A stale index of some unrelated source must not stop us: the install
	# says whether ours was good enough.
	$sudo apt-get -q update || :
	# shellcheck disable=SC2086 # a list of names
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
		--no-install-recommends -o DPkg::Lock::Timeout=120 $missing
}

if [ -n "$missing" ]; then
	sudo=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || die "$E_PACKAGE" \
			"not root and no sudo; as root, run: apt-get install$missing"
		say "These Debian packages are missing:$missing"
		say "sudo is used for apt-get, to install them, and for nothing else."
		sudo=sudo
		# Ask for the password here: below, the output goes to a log.
		$sudo true || die "$E_PACKAGE" \
			"sudo refused; as root, run: apt-get install$missing"
	fi
	mkdir -p "$PF_LOG"
	log=$PF_LOG/packages.log
	step "packages:$missing"
	if ! install_missing >"$log" 2>&1 </dev/null; then
		log_tail "$log" >&2
		if grep -qE "$NO_NETWORK" "$log"; then
			die "$E_NETWORK" "no network, and these packages are missing:$missing"
		fi
		die "$E_PACKAGE" "apt could not install:$missing (log: $log)"
	fi
fi

gone=$(absent)
[ -z "$gone" ] || die "$E_PACKAGE" "installed, but not there:" \
	"$(printf '%s' "$gone" | tr '\n' ' '); apt-get install --reinstall may help"
