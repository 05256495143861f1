#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the Makefile's verbs pass on, without a VM: in a copy of the scripts whose
# packages, kernel builds and guests only say what they were asked for. KTAP.

set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=scripts/ktap.sh
. "$root/scripts/ktap.sh"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
# Also make's own, when this runs below `make test`
unset KERNEL TOPOLOGY SUITE MAKEFLAGS MFLAGS MAKELEVEL LAB_NO_BUILD LAB_SUITES
cp -R "$root/Makefile" "$root/lab" "$root/scripts" "$tmp/"
mkdir "$tmp/kernel" "$tmp/tools"
for stub in scripts/deps.sh scripts/preflight.sh kernel/tree.sh; do
	printf '#!/bin/sh\n' >"$tmp/$stub"
done
# shellcheck disable=SC2016 # for the stubs
printf '#!/bin/sh\necho "built $KERNEL"\n' >"$tmp/kernel/build.sh"
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "booted $KERNEL ${TOPOLOGY:-}"\n' >"$tmp/lab/run.sh"
# All but the kernels
# shellcheck disable=SC2016
sed -i '/^run "\$E_BUILD"/d' "$tmp/lab/build.sh"
printf 'all:\n' >"$tmp/tools/Makefile"
chmod +x "$tmp"/{scripts/{deps,preflight},kernel/*,lab/run}.sh
touch "$tmp/bzImage"

# does WANT VERB ARG...: it ends with 0 and says WANT, one line after the other
does() {
	local said
	said=$(make -C "$tmp" "${@:2}" 2>&1 </dev/null) || { echo "$said"; return 1; }
	echo "$said"
	[ "$(grep -E '^(built|booted) ' <<<"$said" | paste -sd' ')" = "$1" ]
}

# refuses WANT VERB ARG...
refuses() {
	! make -C "$tmp" "${@:2}" >"$tmp/said" 2>&1 </dev/null || return 1
	cat "$tmp/said"
	grep -qF "$1" "$tmp/said"
}

# An interactive shell wants a terminal
shell() {
	script -qec "make -C $tmp shell $2" /dev/null </dev/null | tr -d '\r' >"$tmp/said"
	cat "$tmp/said"
	[ "$(grep -E '^(built|booted) ' "$tmp/said" | paste -sd' ')" = "$1" ]
}

clean() {
	mkdir -p "$tmp/build"/{linux,linux-base,results,kernel-debug,of-tomorrow}
	make -C "$tmp" clean && [ "$(ls -A "$tmp/build")" = linux ] && make -C "$tmp" clean
}

help() {
	make -C "$tmp" >"$tmp/said"
	while read -r verb; do
		grep -q "^$verb " "$tmp/said" || { echo "no $verb"; return 1; }
	done < <(printf '%s\n' demo test test-all test-long check bench mutants stress torture \
		shell kernel tree refresh series check-matrix deb install clean distclean help)
	# What the scripts are given
	while read -r name; do
		grep -q "\<$name=" "$tmp/said" || { echo "no $name="; return 1; }
	done < <(sed -n 's/^export //p' "$tmp/Makefile" | tr ' ' '\n')
}

ktap_begin
ktap_test demo does 'built normal booted  ' demo
ktap_test demo-of-a-kernel does 'built debug booted debug ' demo KERNEL=debug
ktap_test demo-of-a-topology does 'built normal booted  iommu' demo TOPOLOGY=iommu
ktap_test demo-of-an-image does "booted $tmp/bzImage " demo KERNEL="$tmp/bzImage"
ktap_test demo-of-no-image refuses 'error 2: KERNEL=./none: no such file' demo KERNEL=./none
ktap_test demo-of-no-kernel refuses "error 2: no kernel 'fast'" demo KERNEL=fast
ktap_test shell shell 'built normal booted  ' ''
ktap_test shell-of-a-kernel shell 'built debug booted debug iommu' 'KERNEL=debug TOPOLOGY=iommu'
ktap_test shell-of-no-kernel refuses "error 2: no kernel 'fast'" shell KERNEL=fast
ktap_test stress does 'built debug booted debug ' stress
ktap_test stress-of-a-kernel does 'built normal booted normal ' stress KERNEL=normal
ktap_test stress-of-no-kernel refuses "error 2: no kernel 'fast'" stress KERNEL=fast
ktap_test torture does 'built normal booted  ' torture SECONDS=5 SEED=7
ktap_test torture-debug does 'built debug booted debug iommu' torture DEBUG=1 TOPOLOGY=iommu
ktap_test old-name refuses 'error 2: KCONFIG has another name: KERNEL' demo KCONFIG=debug
ktap_test shell-wants-a-terminal refuses 'error 2: an interactive shell needs a terminal' shell
ktap_test clean clean
ktap_test help help
ktap_end
