#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# deb-test.sh: makes the packages of `make deb` with the tree's defconfig, installs the
# kernel's with dpkg in a minimal system of the host's own release, puts that
# on an ext4 file system, and boots the machine from it as a virtio disk. There
# the demo runs on the installed kernel's modules. KTAP.
#
# What it does not show: a boot loader, and a distribution's configuration.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
# shellcheck source=lab/topology.sh
. "$PF_ROOT/lab/topology.sh"
# shellcheck source=scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"

work=$PF_BUILD/deb-test
root=$work/root
disk=$work/disk.img
log=$work/console.log

# The demo's GPU is on top of what `make deb` adds.
build() {
	"$PF_ROOT/kernel/tree.sh" &&
		make -s -C "$PF_BUILD/linux" O="$work/defconfig" x86_64_defconfig &&
		echo CONFIG_DRM_IVGPU=m >>"$work/defconfig/.config" &&
		CONFIG="$work/defconfig/.config" "$PF_ROOT/kernel/deb.sh" &&
		make -C "$PF_ROOT/tools" >/dev/null
}

# A system as small as apt allows, with what the demo needs
system() {
	local suite uri
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# shellcheck disable=SC2016 # apt expands those
	uri=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' |
		awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
	[ -n "$uri" ] || { echo "no source of $suite in apt's list"; return 1; }
	rm -rf "$root"
	mmdebstrap --variant=minbase --include=initramfs-tools,kmod,iproute2,ibverbs-providers \
		"$suite" "$root" "$uri"
}

install_packages() {
	local image program
	image=$(find "$PF_BUILD/deb" -name 'linux-image-*.deb' ! -name '*-dbg_*')
	cp "$image" "$root/tmp/image.deb"
	# All modules: the initramfs is made here for a machine that is not this.
	echo MODULES=most >"$root/etc/initramfs-tools/conf.d/modules"
	chroot "$root" dpkg -i /tmp/image.deb || return
	program=$PF_BUILD/tools/peerfault-demo
	cp "$program" "$root/usr/bin/"
	closure "$program" | while IFS= read -r file; do
		[ -e "$root$file" ] || cp -L --parents "$file" "$root/"
	done
	install -m 755 "$PF_ROOT/lab/deb/init" "$root/sbin/peerfault-init"
	cp "$root"/boot/vmlinuz-* "$work/vmlinuz"
	cp "$root"/boot/initrd.img-* "$work/initrd"
}

make_disk() {
	rm -f "$disk"
	truncate -s 3G "$disk"
	mke2fs -q -t ext4 -d "$root" "$disk"
}

boot() {
	topology_read switch "$work"
	# shellcheck disable=SC2154 # topology_read sets them
	timeout -k 5 600 qemu-system-x86_64 -accel tcg,thread=multi \
		-nodefaults -no-user-config -display none -no-reboot \
		-cpu "$cpu" -smp "$smp" -m "$memory" "${machine[@]}" \
		-drive "file=$disk,format=raw,if=virtio,snapshot=on" \
		-netdev user,id=net0,restrict=on \
		-device virtio-net-pci,netdev=net0,romfile= \
		-serial "file:$log" -kernel "$work/vmlinuz" -initrd "$work/initrd" \
		-append "console=ttyS0 root=/dev/vda rw init=/sbin/peerfault-init \
ignore_loglevel printk.time=1 panic=-1 oops=panic no_timer_check" </dev/null
	tail -n 60 "$log" | tr -d '\r'
	tr -d '\r' <"$log" | grep -q '^peerfault-deb: exit code 0$'
}

log_is_clean() {
	"$LAB/klog-gate.sh" "$log"
}

mkdir -p "$work"
ktap_begin
ktap_test make_deb build
ktap_test system system
ktap_test install install_packages
ktap_test ext4_disk make_disk
ktap_test boot_and_demo boot
ktap_test kernel_log log_is_clean
ktap_end
