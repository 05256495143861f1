# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# What goes into a guest: a kernel, and programs with their libraries. Sourced
# after scripts/common.sh.

LAB=$PF_ROOT/lab
LAB_BUILD=$PF_BUILD/lab

# known_kernel NAME [MORE]: NAME is one of PF_KERNELS; else ends, and says MORE
known_kernel() {
	[[ " $PF_KERNELS " == *" $1 "* ]] ||
		die "$E_USAGE" "no kernel '$1'; there are: $PF_KERNELS${2:-}"
}

# kernel_name: which kernel the variable KERNEL asks for. The path of a bzImage
# stands for the normal one.
kernel_name() {
	case ${KERNEL:-normal} in
	*/*) echo normal ;;
	*)	known_kernel "${KERNEL:-normal}" ", and the path of a bzImage"
		echo "${KERNEL:-normal}" ;;
	esac
}

# kernel_image NAME: where kernel/build.sh puts that kernel, or what KERNEL names
kernel_image() {
	case $1,${KERNEL:-} in
	normal,*/*) echo "$KERNEL" ;;
	*) echo "$PF_BUILD/kernel-$1/arch/x86/boot/bzImage" ;;
	esac
}

# kernel_vmlinux NAME: that kernel with its symbols, which may not be there
kernel_vmlinux() {
	local image
	image=$(kernel_image "$1")
	case $image in
	*/arch/x86/boot/*) echo "${image%/arch/x86/boot/*}/vmlinux" ;;
	*) echo "${image%/*}/vmlinux" ;;
	esac
}

# modules DIR NAME...: the files of these modules of the kernel that is built in
# DIR, each after those that it depends on
modules() {
	local dir=$1 name file
	local -a deps
	shift
	for name; do
		file=$(grep -E "(^|/)${name//[-_]/[-_]}\.o$" "$dir/modules.order") ||
			die "$E_BUILD" "$dir has no module $name"
		file=$dir/${file%.o}.ko
		deps=$(readelf -p .modinfo "$file" | sed -n 's/.*\] *depends=//p')
		IFS=, read -ra deps <<<"$deps"
		[ "${#deps[@]}" -eq 0 ] || modules "$dir" "${deps[@]}"
		echo "$file"
	done
}

# put_modules DIR ROOT: those that ROOT/etc/peerfault/modules names, with their
# arguments, and those that they depend on, of the kernel that is built in DIR.
# ROOT/etc/peerfault/insmod has them in the order of loading.
put_modules() {
	local list=$2/etc/peerfault/modules order file
	[ -s "$list" ] || return 0
	# shellcheck disable=SC2046 # a list of names
	order=$(modules "$1" $(awk '{ print $1 }' "$list"))
	mkdir -p "$2/lab/modules"
	awk '!seen[$0]++' <<<"$order" | while read -r file; do
		strip --strip-debug -o "$2/lab/modules/${file##*/}" "$file"
		file=${file##*/}
		echo "$file $(sed -n "s/^${file%.ko} //p" "$list")"
	done >"$2/etc/peerfault/insmod"
}

# closure FILE...: the shared libraries that these programs load, one a line
closure() {
	# ldd calls a static program and a script an error. Neither is one.
	{ ldd "$@" 2>/dev/null || :; } |
		awk '$2 == "=>" && $3 ~ /^\// { print $3 }
		     $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u
}

# put ROOT FILE...: copies host files to their own paths below ROOT, where /bin,
# /sbin and /lib* are in /usr, as they are on the host
put() {
	local root=$1 file to
	shift
	for file; do
		case $file in
		/bin/*|/sbin/*|/lib*) to=$root/usr$file ;;
		*) to=$root$file ;;
		esac
		mkdir -p "${to%/*}"
		cp -L --remove-destination "$file" "$to"
	done
}

# pack DIR OUT: DIR as a cpio archive, the same bytes for the same content
pack() {
	find "$1" -exec touch -h -d @0 {} +
	(cd "$1" && find . | LC_ALL=C sort |
		cpio -o -H newc -R 0:0 --reproducible --quiet) >"$2"
}
