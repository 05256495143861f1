#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Boots a lab kernel under QEMU, runs one job in the guest, judges the kernel
# log and exits with the job's exit code. See usage() below.

# shellcheck disable=SC2054 # QEMU's option values have commas
set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/lab/guest.sh"
. "$PF_ROOT/lab/topology.sh"

usage() {
	cat <<END
usage: lab/run.sh [OPTION]... -- COMMAND [ARG]...
       lab/run.sh [OPTION]... -i

Runs COMMAND in the guest and prints its output. COMMAND is a program in the
guest or, if it contains a slash, a file of the host that is copied in.

  -t TOPOLOGY	a file in lab/topologies (default: \$TOPOLOGY, else switch)
  -k KERNEL	see kernel/build.sh (default: \$KERNEL, else normal)
  -T SECONDS	give up after so long (default: 120)
  -o DIR	keep console.log, out, files/, qemu.log, trace here
		(default: build/log/run-TOPOLOGY-KERNEL)
  -a ARGS	more kernel arguments
  -d ROOT	a disk with the programs of lab/roots/ROOT, for the guest's
		in-root; a job that has the words "in-root ROOT" needs no -d
  -x FILE	more excuses for the kernel log, as in lab/allow
  -p N:DIR	as machine N, 0 or 1, of the two of lab/pair.sh: what is between
		them are sockets in DIR. Jobs see N as PAIR
  -r		whatever PCI devices the guest finds: lab/record.sh records them
  -q		print nothing of the job
  -i		an interactive shell instead of a job; Ctrl-A x leaves

Environment:
  TOPOLOGY, KERNEL	see above. KERNEL may be the path of a bzImage
  ACCEL		auto (default: kvm where it boots Linux, else tcg), kvm, tcg, or
		icount (one CPU whose clock counts instructions: slow, repeatable)
  QEMU_ARGS	more arguments for QEMU. With -S it waits for gdb, and -T is off
  TEST		a glob that names the tests to run, for the programs that have it

Exit codes: the job's own, or
$(sed -n 's/^E_\(TOPOLOGY\|TIMEOUT\|LOG\|VM\)=\([0-9]*\)\t# /  \2\t/p' \
	"$PF_ROOT/scripts/common.sh")
  1	also for a job that ends with 123-125 or 255 itself
END
}

topology=${TOPOLOGY:-switch} kernel=$(kernel_name) limit=120 dir='' more=''
disk='' allow=() quiet=0 interactive=0 record=0 pair=''
while getopts t:k:T:o:a:d:x:p:rqih opt; do
	case $opt in
	t) topology=$OPTARG ;;
	k) kernel=$OPTARG ;;
	T) limit=$OPTARG ;;
	o) dir=$OPTARG ;;
	a) more=$OPTARG ;;
	d) disk=$OPTARG ;;
	x) allow+=("$OPTARG") ;;
	p) pair=$OPTARG ;;
	r) record=1 ;;
	q) quiet=1 ;;
	i) interactive=1 ;;
	h) usage; exit 0 ;;
	*) usage >&2; exit "$E_USAGE" ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || [ "$interactive" -eq 1 ] || { usage >&2; exit "$E_USAGE"; }
case $pair in
''|[01]:?*) ;;
*) die "$E_USAGE" "-p wants a number and a directory, not '$pair'" ;;
esac
case $limit in
''|*[!0-9]*|0) die "$E_USAGE" "-T wants seconds, not '$limit'" ;;
esac
case " ${QEMU_ARGS:-} " in
*' -S '*) limit=0 ;;	# to timeout: none
esac
[[ ! " $* " =~ " in-root "([a-z0-9-]+)" " ]] || disk=${BASH_REMATCH[1]}
known_kernel "$kernel"
topology_files "$topology" >/dev/null
image=$(kernel_image "$kernel")
[ -f "$image" ] || die "$E_BUILD" "$image is not built (make kernel)"
command -v qemu-system-x86_64 >/dev/null ||
	die "$E_PACKAGE" "qemu-system-x86_64 not found, package qemu-system-x86"

# What the guest must find of it
disk_pci='0000:00:05.0 1af4:1001 0x010000 bar0=128 bar1=4096 bar4=16384'

# Two runs must not share a directory; only the default one may move aside.
lock_dir() {
	mkdir -p "$1"
	exec 8>"$1/lock"
	flock -n 8
}
if [ -n "$dir" ]; then
	lock_dir "$dir" || die "$E_USAGE" "$dir is in use by another run"
else
	base=$PF_LOG/run-$topology-$kernel dir=$base n=1
	until lock_dir "$dir"; do
		n=$((n + 1)) dir=$base.$n
	done
fi
dir=$(cd "$dir" && pwd)
find "$dir" -mindepth 1 ! -name lock -delete

# --- the topology
overlay=$dir/overlay
guest=$overlay/etc/peerfault
mkdir -p "$guest" "$overlay/lab"
topology_read "$topology" "$guest"
[ -z "${TEST:-}" ] || echo "TEST $TEST" >>"$guest/env"
# A job that is killed before the guest is leaves its results.
job_limit=$((limit - limit / 10))
[ "$limit" -eq 0 ] || echo "JOB_LIMIT $job_limit" >>"$guest/env"
[ "$record" -eq 0 ] || rm "$guest/pci"
[ -z "$pair" ] || echo "PAIR ${pair%%:*}" >>"$guest/env"
preload=
while read -r name; do
	preload+=:$PF_BUILD/devices/$name-model.so
	[ -f "${preload##*:}" ] || die "$E_BUILD" "${preload##*:} is not built (devices/build.sh)"
	[ ! -x "$PF_ROOT/devices/$name/firmware.py" ] ||
		"$PF_ROOT/devices/$name/firmware.py" "$overlay/usr/lib/firmware"
done < <(topology_models "$topology")
put_modules "${image%/arch/x86/boot/*}" "$overlay"
for table in ${acpi[0]+"${acpi[@]}"}; do
	command -v iasl >/dev/null ||
		die "$E_PACKAGE" "iasl not found, package acpica-tools"
	iasl -p "$dir/$table" "$LAB/acpi/$table.asl" >"$dir/iasl.log" 2>&1 ||
		die "$E_BUILD" "lab/acpi/$table.asl: see $dir/iasl.log"
	machine+=(-acpitable "file=$dir/$table.aml")
done

# --- a disk, below the root complex as the lab's other devices are
if [ -n "$disk" ]; then
	disk=$("$LAB/root.sh" "$disk")
	machine+=(-drive "if=none,id=root,format=raw,readonly=on,file=$disk"
		-device virtio-blk-pci,bus=pcie.0,addr=0x5,drive=root)
	[ ! -f "$guest/pci" ] || sed -i "/^0000:00:04\.0 /a $disk_pci" "$guest/pci"
	cp "$LAB"/programs/* "$overlay/lab/"
fi

# --- the job
if [ "$interactive" -eq 1 ]; then
	stty size | awk '{ print "rows", $1, "cols", $2 }' >"$guest/interactive"
else
	if [[ $1 == */* && -f $1 ]]; then
		mapfile -t libs < <(closure "$1")
		put "$overlay" ${libs[0]+"${libs[@]}"}
		cp "$1" "$overlay/lab/"
		job=/lab/${1##*/}
		shift
		set -- "$job" "$@"
	fi
	for arg; do
		case $arg in
		*$'\n'*) die "$E_USAGE" "a job's argument cannot span lines" ;;
		esac
		printf '%s\n' "$arg"
	done >"$guest/job"
fi
"$LAB/initramfs.sh"
pack "$overlay" "$dir/overlay.cpio"
cat "$LAB_BUILD/base.cpio" "$dir/overlay.cpio" >"$dir/initrd"
rm -rf "$overlay" "$dir/overlay.cpio"

# --- the machine. Devices are unplugged by their ports and not by ACPI, as in
# hardware.
how=${ACCEL:-auto}
[ "$how" != auto ] || how=$("$LAB/accel.sh" "$kernel")
case $how in
tcg) accel=(-accel tcg,thread=multi) ;;
icount) accel=(-accel tcg,thread=single -icount shift=0,sleep=off) smp=1 ;;
kvm) accel=(-accel kvm) ;;
*) die "$E_USAGE" "no ACCEL '$how'; there are: auto kvm tcg icount" ;;
esac
ports=(-device virtio-serial-pci,id=ser0,bus=pcie.0,addr=0x2)
# What leads to the other machine of a pair: from devices with chardev=wire and with
# netdev=lan. Only lan is a network; the HCAs of both have one wire.
other=()
n=${pair%%:*} sockets=${pair#*:}
case " ${machine[*]}" in
*,chardev=wire*)
	case $n in
	0) other+=(-chardev "socket,id=wire,path=$sockets/wire,server=on,wait=off") ;;
	1) other+=(-chardev "socket,id=wire,path=$sockets/wire,reconnect=1") ;;
	*) other+=(-chardev null,id=wire) ;;
	esac
	[ -z "$pair" ] || other+=(-global "mlx5-model.lid=$((n + 1))") ;;
esac
case " ${machine[*]}" in
*,netdev=lan*)
	if [ -n "$pair" ]; then
		machine=("${machine[@]/netdev=lan,/netdev=lan,mac=52:54:00:00:00:0$((n + 1)),}")
		other+=(-netdev "dgram,id=lan,local.type=unix,local.path=$sockets/lan$n,remote.type=unix,remote.path=$sockets/lan$((1 - n))")
	else
		other+=(-netdev user,id=lan,restrict=on)
	fi ;;
esac
port() {
	ports+=(-chardev "$2,id=$1"
		-device "virtserialport,bus=ser0.0,chardev=$1,name=peerfault.$1")
}
port rc "file,path=$dir/rc"
port files "file,path=$dir/files.tar"
# QEMU's monitor, for a guest that unplugs its devices. What the one end writes
# the other reads, and the names of fifos, unlike those of sockets, may be long.
mkfifo "$dir/monitor.in" "$dir/monitor.out"
ln -s monitor.out "$dir/port.in"
ln -s monitor.in "$dir/port.out"
ports+=(-chardev "pipe,id=monitor,path=$dir/monitor"
	-mon chardev=monitor,mode=control)
port qmp "pipe,path=$dir/port"
# Another monitor, for a guest that does not end
mkfifo "$dir/nmi.in" "$dir/nmi.out" "$dir/never"
ports+=(-chardev "pipe,id=nmi,path=$dir/nmi" -mon chardev=nmi,mode=readline)
if [ "$interactive" -eq 1 ]; then
	port out null
	console=(-chardev "stdio,id=con,mux=on,signal=off,logfile=$dir/console.log"
		-serial chardev:con -mon chardev=con)
else
	: >"$dir/out"
	port out "file,path=$dir/out"
	console=(-serial "file:$dir/console.log")
fi
# Everything on the console, for the gate. The kernel's test of the timer counts
# ticks in a time that a busy host may not give it, and panics.
args=(console=ttyS0 ignore_loglevel printk.time=1 printk.devkmsg=on
	panic=-1 oops=panic unknown_nmi_panic panic_sys_info=all_bt,blocked_tasks
	no_timer_check kunit.autorun=0 rdinit=/init)
# The models are for QEMU alone: no wrapper has what they use. With 40 bits of
# address an AMD CPU has a reserved range below 1 TiB, where Debian 13's SeaBIOS
# puts 64-bit BARs: a device that is removed could not come back.
qemu=(setpriv --pdeathsig KILL env ${preload:+"LD_PRELOAD=${preload#:}"} qemu-system-x86_64
	-nodefaults -no-user-config -display none -no-reboot
	"${accel[@]}" -cpu "$cpu,phys-bits=39" -smp "$smp" -m "$memory" "${machine[@]}"
	"${ports[@]}" "${console[@]}" ${other[0]+"${other[@]}"}
	-netdev user,id=net0,restrict=on
	-device virtio-net-pci,bus=pcie.0,addr=0x3,netdev=net0,romfile=
	-device virtio-rng-pci,bus=pcie.0,addr=0x4
	-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
	-kernel "$image" -initrd "$dir/initrd"
	-append "${args[*]}$append $more")
# shellcheck disable=SC2206 # a list of words
qemu+=(${QEMU_ARGS:-})
if [ "$interactive" -eq 1 ]; then
	"${qemu[@]}" 2>"$dir/qemu.log" || { cat "$dir/qemu.log" >&2; exit "$E_VM"; }
	exit 0
fi

# QEMU must not outlive us, nor wait longer than the limit. Both wrappers are
# needed: killing timeout with us leaves its child to the second one.
trap 'kill "$vm" $beat $tail $nmi 2>/dev/null || :' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
beat='' tail='' nmi=''
setpriv --pdeathsig TERM timeout --foreground -k 5 "$((limit ? limit + 10 : 0))" \
	"${qemu[@]}" </dev/null 2>"$dir/qemu.log" &
vm=$!
# At the limit the guest's kernel shows by an NMI what its CPUs do, and panics.
if [ "$limit" -gt 0 ]; then
	(read -r -t "$limit" _ <>"$dir/never" || echo nmi >"$dir/nmi.in") 8>&- 2>&- >&- &
	nmi=$!
fi
beat guest "$dir/out" >&2 &
beat=$!
# QEMU truncates what it opens, and our stdout may be a file: not its to open.
if [ "$quiet" -eq 0 ]; then
	tail -n +1 -s 0.2 -f --pid="$vm" "$dir/out" 2>/dev/null &
	tail=$!
fi
status=0
wait "$vm" || status=$?
[ -z "$nmi" ] || kill "$nmi" 2>/dev/null || status=124
kill "$beat" 2>/dev/null || :
wait "$beat" || :
[ -z "$tail" ] || wait "$tail" || :
trap - EXIT
rm -f "$dir/initrd" "$dir"/monitor.* "$dir"/port.* "$dir"/nmi.* "$dir/never"
if [ -s "$dir/files.tar" ]; then
	mkdir -p "$dir/files"
	tar -C "$dir/files" -xf "$dir/files.tar"
fi
rm -f "$dir/files.tar"

# --- the verdict
gate=0
"$LAB/klog-gate.sh" "$dir/console.log" "$LAB/allow/kunit-taint.allow" \
	${allow[0]+"${allow[@]}"} >"$dir/klog" 2>&1 || gate=$?
[ "$gate" -eq 0 ] || "$LAB/trace.sh" "$dir/console.log" "$dir/klog" \
	"$(kernel_vmlinux "$kernel")" >"$dir/trace"
# A panic shows the stacks of all CPUs and of blocked tasks: some 100 lines.
lost() {
	{
		echo "--- $dir/console.log, last lines:"
		tail -n 120 "$dir/console.log" | tr -d '\r'
		grep -v "TCG doesn't support" "$dir/qemu.log" | sed 's/^/--- qemu: /'
		echo "--- $2"
	} >&2
	exit "$1"
}
rc=$(cat "$dir/rc" 2>/dev/null || :)
case $status in
124|137) lost "$E_TIMEOUT" "hang: the guest did not end within $limit s" ;;
esac
case $rc in
timeout) ;;
''|*[!0-9]*) lost "$E_VM" "VM lost: it ended without an exit code" ;;
"$E_TOPOLOGY") exit "$rc" ;;
esac
[ "$gate" -eq 0 ] || sed 's/^/--- kernel log: /' "$dir/klog" >&2
case $rc in
0|4)	[ "$gate" -eq 0 ] || lost "$E_LOG" "the job ended with $rc, but its kernel log is not clean" ;;
"$E_TIMEOUT"|"$E_LOG"|"$E_VM")
	echo "--- the job itself ended with $rc" >&2
	rc=1 ;;
timeout)
	echo "--- hang: the job did not end within $job_limit s" >&2
	rc=$E_TIMEOUT ;;
esac
exit "$rc"
