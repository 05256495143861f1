#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# `peerfault topo` on machines that no guest is: made-up copies of sysfs, and
# this one. Built with ASan and UBSan. KTAP.

set -u
root=$(cd "$(dirname "$0")/../../.." && pwd)
tmp=$(mktemp -d) || exit 1
trap 'chmod -R u+rwX "$tmp"; rm -rf "$tmp"' EXIT
chmod 755 "$tmp"
make -s -C "$root/tools" SANITIZE=1 >"$tmp/make" 2>&1 || { cat "$tmp/make" >&2; exit 1; }
cp "$root/build/tools-sanitize/peerfault" "$tmp/"
number=0 rc=0 results=''

# ok NAME STATUS: one result; $tmp/out and $tmp/err say why
ok() {
	number=$((number + 1))
	if [ "$2" -eq 0 ]; then
		results+="ok $number $1"$'\n'
	else
		results+=$(sed 's/^/# /' "$tmp/out" "$tmp/err")$'\n'
		results+="not ok $number $1"$'\n'
		rc=1
	fi
}

topo() {
	"$tmp/peerfault" topo --sysfs "$tmp/sys" "$@" >"$tmp/out" 2>"$tmp/err"
}

# says NAME PYTHON: an expression about the document d and its one pair of
# exporter and importer, p("BUS:DEV.FN", "NAME")
says() {
	topo --json && python3 - "$tmp/out" "$2" 2>>"$tmp/err" <<'END'
import json, sys
d = json.load(open(sys.argv[1]))
def p(exporter, importer):
    pair, = [x for x in d["pairs"] if x["exporter"] == "0000:" + exporter
             and x["importer"] == importer]
    return pair
sys.exit(not eval(sys.argv[2]))
END
	ok "$1" $?
}

# device PATH DRIVER DMA_BITS: a PCI device, BAR 2 at 64 GiB; PATH below root
device() {
	local dir=$tmp/sys/devices/pci0000:00/$1
	mkdir -p "$dir" "$tmp/sys/bus/pci/drivers/$2" "$tmp/sys/bus/pci/devices"
	ln -s "../../../devices/pci0000:00/$1" "$tmp/sys/bus/pci/devices/${1##*/}"
	ln -s "$tmp/sys/bus/pci/drivers/$2" "$dir/driver"
	echo "$3" >"$dir/dma_mask_bits"
	printf '%s\n' '0x0 0x0 0x0' '0x0 0x0 0x0' \
		'0x0000001000000000 0x00000010000fffff 0x14220c' >"$dir/resource"
	truncate -s 4096 "$dir/config"
}

# acs BDF CONTROL: second in the list of extended capabilities
acs() {
	local config=$tmp/sys/bus/pci/devices/$1/config
	printf '\x01\x00\x01\x14' | dd of="$config" bs=1 seek=256 conv=notrunc status=none
	printf '\x0d\x00\x01\x00\x00\x00%b' "\\x$2" |
		dd of="$config" bs=1 seek=320 conv=notrunc status=none
}

rdma() {
	mkdir -p "$tmp/sys/class/infiniband/$1"
	[ -z "$2" ] || ln -s "$tmp/sys/devices/pci0000:00/$2" "$tmp/sys/class/infiniband/$1/device"
}

kernel() {
	mkdir -p "$tmp/sys/kernel/debug/pci-p2pdma"
	printf '%s\n' "${@:2}" >"$tmp/sys/kernel/debug/pci-p2pdma/0000:$1"
}

# --- this machine, and none
"$tmp/peerfault" topo >"$tmp/out" 2>"$tmp/err" &&
	grep -qE '^(exporter|no exporter|exporters: not known)' "$tmp/out" &&
	"$tmp/peerfault" topo -j | python3 -m json.tool >/dev/null
ok here $?
mkdir -p "$tmp/sys/kernel/debug"
says debugfs-not-mounted 'not d["exporters"] and "debugfs is not mounted" in d["missing"][0]'
mkdir "$tmp/sys/kernel/debug/other"
says kernel-without-file '"no pci-p2pdma" in d["missing"][0]'
mkdir "$tmp/sys/kernel/debug/pci-p2pdma"
says neither 'd == {"exporters": [], "importers": [], "pairs": [], "missing": []}'
topo && grep -q '^no exporter:' "$tmp/out" && grep -q '^no importer:' "$tmp/out"
ok neither-in-words $?

# --- a switch below 00:01.0 with GPUs 03 and 07 and NICs 04, 05; NIC 08 is
# below another root port
up=0000:00:01.0/0000:01:00.0
device 0000:00:01.0 pcieport 64
device $up pcieport 64
for n in 0 1 2 3; do
	device "$up/0000:02:0$n.0" pcieport 64
done
device 0000:00:02.0 pcieport 64
device $up/0000:02:00.0/0000:03:00.0 gpu 47
device $up/0000:02:01.0/0000:04:00.0 mlx5_core 64
device $up/0000:02:02.0/0000:05:00.0 nic 32
device $up/0000:02:03.0/0000:07:00.0 nvme 64
device 0000:00:02.0/0000:08:00.0 nic 64
device 0000:00:02.0/10000:00:01.0 nic 64
mkdir -p "$tmp/sys/devices/pci0000:00/$up/0000:02:01.0/0000:04:00.0/mlx5.rdma.0"
rdma mlx5_0 "$up/0000:02:01.0/0000:04:00.0/mlx5.rdma.0"
rdma small "$up/0000:02:02.0/0000:05:00.0"
rdma far 0000:00:02.0/0000:08:00.0
rdma vmd 0000:00:02.0/10000:00:01.0
rdma "odd\"name\\" ''
kernel 07:00.0 'bar=0 size=16384 alias=0 cpu=0' \
	'client=0000:03:00.0 map=bus-addr distance=4 untrusted=0'
bars=('bar=0 size=4096 alias=0 cpu=1' 'bar=2 size=1048576 alias=1 cpu=0')
clients=('client=0000:04:00.0 map=bus-addr distance=4 untrusted=0'
	 'client=0000:05:00.0 map=bus-addr distance=4 untrusted=0'
	 'client=0000:08:00.0 map=not-supported distance=5 untrusted=0')
kernel 03:00.0 "${bars[@]}" "${clients[@]}"
says exporter 'd["exporters"] == [{"device": "0000:03:00.0", "driver": "gpu", "bar": 2, "bar_size": 1048576, "aperture": 1048576, "consent": None, "cpu_access": False, "iommu": "none"}]'
says auxiliary-device 'p("03:00.0", "mlx5_0")["importer_device"] == "0000:04:00.0"'
says domain-of-5-digits 'p("03:00.0", "vmd")["importer_device"] == "10000:00:01.0"'
says yes 'p("03:00.0", "mlx5_0")["peer_access"] and p("03:00.0", "mlx5_0")["acs_redirect"] == []'
says dma-mask '"mask of 32 bits does not reach" in p("03:00.0", "small")["why_not"]'
says root-ports '"no common switch" in p("03:00.0", "far")["why_not"]'
says cpu '"lets none access" in p("03:00.0", "odd\"name\\")["why_not"]'
topo && grep -q '^0000:07:00.0 (nvme) is no exporter' "$tmp/out"
ok provider-without-private-memory $?

mkdir -p "$tmp/sys/bus/pci/drivers/gpu/module/parameters"
consent=$tmp/sys/bus/pci/drivers/gpu/module/parameters/p2p
echo N >"$consent"
says no-consent '"does not consent" in p("03:00.0", "mlx5_0")["why_not"]'
says two-reasons 'p("03:00.0", "far")["why_not"].count("; ") == 1'
echo Y >"$consent"
says consent 'p("03:00.0", "mlx5_0")["peer_access"] and d["exporters"][0]["consent"]'

# The kernel then says through the host bridge, or not at all. Source
# validation (01) redirects nothing, nor does ACS above both.
acs 0000:02:00.0 01
acs 0000:00:01.0 1d
says acs-elsewhere 'p("03:00.0", "mlx5_0")["acs_redirect"] == []'
acs 0000:02:01.0 04
kernel 03:00.0 "${bars[@]}" "${clients[0]/bus-addr/not-supported}" "${clients[@]:1}"
says acs 'p("03:00.0", "mlx5_0")["acs_redirect"] == ["0000:02:01.0"]'
says acs-in-words 'p("03:00.0", "mlx5_0")["why_not"].startswith("ACS at 0000:02:01.0 sends")'
says acs-of-two-root-ports '"no common switch" in p("03:00.0", "far")["why_not"]'

kernel 03:00.0 "${bars[@]}" "${clients[0]/untrusted=0/untrusted=1 more=1}" "${clients[@]:1}"
says untrusted 'p("03:00.0", "mlx5_0")["untrusted"] and "untrusted" in p("03:00.0", "mlx5_0")["why_not"]'
kernel 03:00.0 "${bars[@]}" "${clients[1]}"
says unbound-importer '"no driver is bound" in p("03:00.0", "mlx5_0")["why_not"] and p("03:00.0", "mlx5_0")["fabric"] == "unknown"'
mkdir "$tmp/sys/devices/pci0000:00/$up/0000:02:02.0/0000:05:00.0/iommu_group"
echo DMA-FQ >"$tmp/sys/devices/pci0000:00/$up/0000:02:02.0/0000:05:00.0/iommu_group/type"
kernel 03:00.0 "${bars[@]}" "${clients[1]/bus-addr/thru-host-bridge}"
says dma-mask-behind-iommu 'p("03:00.0", "small")["peer_access"] and d["importers"][3]["iommu"] == "DMA-FQ"'

kernel 03:00.0 'bar=2 size=12'
topo
[ $? -eq 1 ] && grep -q 'cannot read: bar=2' "$tmp/err"
ok unknown-format $?
topo --no-such
[ $? -eq 2 ]
ok usage $?
kernel 03:00.0 "${bars[@]}"
"$tmp/peerfault" topo --sysfs "$tmp/sys" >/dev/full 2>"$tmp/err"
[ $? -eq 1 ]
ok full $?

# --- as nobody
kernel 03:00.0 "${bars[@]}" "${clients[@]}"
chmod 000 "$tmp/sys/kernel/debug"
nobody=()
[ "$(id -u)" -ne 0 ] || nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
"${nobody[@]}" "$tmp/peerfault" topo --sysfs "$tmp/sys" >"$tmp/out" 2>"$tmp/err" &&
	grep -q '^exporters: not known' "$tmp/out" &&
	grep -q '^missing: .*Permission denied (only root may)' "$tmp/out"
ok nobody $?

echo "KTAP version 1"
echo "1..$number"
printf '%s' "$results"
exit $rc
