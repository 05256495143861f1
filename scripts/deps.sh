#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Install the Debian packages that are missing, and only those.
# Usage: deps.sh GROUP...   (groups: see scripts/packages)
set -eu
. "$(dirname "$0")/../scripts/common.sh"

[ $# -gt 0 ] || die "$E_USAGE" "usage: deps.sh GROUP..."

missing=
for group; do
	wanted=$(awk -v g="$group" '$1 == g { print $2 }' "$PF_ROOT/scripts/packages")
	[ -n "$wanted" ] || die "$E_USAGE" "no package group '$group'"
	for pkg in $wanted; do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$pkg" 2>/dev/null) || :
		[ "$status" = installed ] || missing="$missing $pkg"
	done
done
[ -n "$missing" ] || exit 0

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

# One function, so that `run` sees one command and one log.
install_missing() {
	# A stale index of some unrelated source must not stop us: the install
	# says whether ours was good enough.
	$sudo apt-get -q update || :
	# shellcheck disable=SC2086 # a list of names
	$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
		--no-install-recommends -o DPkg::Lock::Timeout=120 $missing
}

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
