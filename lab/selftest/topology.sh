#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What lab/topology.sh makes of a file, without a VM: it reads the lab's own,
# and says clearly what is wrong with others. KTAP.

# shellcheck disable=SC2154 # what topology_read sets
set -u
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../../scripts/common.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/topologies" "$tmp/guest"
LAB_TOPOLOGIES=$tmp/topologies
# shellcheck source=lab/topology.sh
. "$PF_ROOT/lab/topology.sh"

# file NAME LINE...: a made-up topology
file() {
	printf '%s\n' "${@:2}" >"$LAB_TOPOLOGIES/$1"
}

# read_as WANT NAME: it is read, and WANT is what it says
read_as() {
	local said
	said=$(set -e
	       topology_read "$2" "$tmp/guest"
	       echo "$cpu $smp $memory$append ${machine[*]} ${acpi[*]}"
	       cat "$tmp"/guest/{env,reach,pci,qemu}) || return
	grep -F -- "$1" <<<"$said" || { echo "$said"; return 1; }
}

# refused TEXT NAME: it is not read, the exit code is that of wrong usage, and
# the message has TEXT
refused() {
	local said rc=0
	said=$(topology_read "$2" "$tmp/guest" 2>&1) || rc=$?
	echo "exit code $rc: $said"
	[ "$rc" -eq "$E_USAGE" ] && grep -qF -- "$1" <<<"$said"
}

ktap_begin
while IFS= read -r name; do
	ktap_test "lab-$name" read_as "TOPOLOGY $name" "$name"
	ktap_test "lab-$name-devices" read_as '0000:00:00.0 8086:29c0' "$name"
done < <(cd "$PF_ROOT/lab/topologies" && printf '%s\n' * | grep -v '[.]')

file replaces 'extends refused' 'cpu EPYC-Rome' 'reach GPU0 DMA0 bus-addr' \
	'append quiet' 'name DMA0 0000:00:09.0'
ktap_test one-value-replaces read_as 'EPYC-Rome 2 2G quiet' replaces
ktap_test a-list-grows read_as 'edu,id=dma0' replaces
ktap_test reach-replaces read_as 'GPU0 DMA0 bus-addr' replaces
ktap_test other-reach-stays read_as 'GPU1 DMA0 not-supported' replaces
ktap_test name-replaces read_as 'DMA0 0000:00:09.0' replaces
file pci 'extends switch'
file pci.pci '0000:00:1f.9 1234:5678 0x060100'
ktap_test own-devices read_as '1234:5678' pci
file blanks 'extends   switch' '# a comment' '' $'cpu \t EPYC'
ktap_test blanks-and-tabs read_as 'EPYC 2 2G' blanks

ktap_test unknown-topology refused "no topology 'none'; there are: blanks pci" none
ktap_test path-for-a-name refused "no topology" ../topologies/switch
file unknown-base 'extends none'
ktap_test unknown-base refused "unknown-base: extends 'none', which is not there" unknown-base
file loop-a 'extends loop-b'
file loop-b 'extends loop-a'
ktap_test loop refused "extends 'loop-a', which extends it" loop-a
file self 'extends self'
ktap_test extends-itself refused "extends 'self', which extends it" self
file key 'extends switch' 'devise edu'
ktap_test unknown-key refused "key: no such key 'devise'" key
file no-value 'extends switch' 'device'
ktap_test no-value refused 'no-value: device without a value' no-value
file no-machine 'cpu EPYC' 'smp 2' 'memory 1G' 'iommu none'
ktap_test no-machine refused 'no-machine: names no machine' no-machine
file no-cpu 'extends common.part' 'iommu none'
ktap_test no-cpu refused 'no-cpu: names no cpu' no-cpu
file no-iommu 'extends common.part' 'cpu EPYC'
ktap_test no-iommu refused 'no-iommu: names no iommu' no-iommu
file iommu 'extends switch' 'iommu on'
ktap_test unknown-iommu refused 'iommu: no such iommu: on' iommu
file map 'extends switch' 'reach GPU0 DMA0 yes'
ktap_test unknown-map refused 'map: not two names and a map type: GPU0 DMA0 yes' map
file who 'extends switch' 'reach GPU0 DMA7 bus-addr'
ktap_test unknown-name refused 'reach of DMA7, which is no name' who
file bdf 'extends switch' 'name GPU0 03:00.0'
ktap_test address-without-domain refused 'not a name and an address' bdf
file second-extends 'cpu EPYC' 'extends switch'
ktap_test extends-not-first refused 'extends is not in the first line' second-extends
ktap_end
