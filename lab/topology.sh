# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
#
# Reads lab/topologies/NAME, which describes a machine, a key and its value on
# each line. Sourced after scripts/common.sh.
#
#   extends NAME	first line: all that NAME has, and what follows on top.
#			A key with one value replaces that of NAME; a list grows
#   machine, cpu, smp, memory	QEMU's -machine, -cpu, -smp and -m
#   append WORDS	list: kernel arguments
#   object, device ARGS	list: QEMU's -object and -device
#			A device of type NAME-model is one of devices/NAME
#   module NAME [ARGS]	list: a driver that the guest loads before its job
#   acpi NAME		list: a table, lab/acpi/NAME.asl
#   name NAME BDF	a device, which tests find in the variable NAME
#   reach PROVIDER CLIENT MAP	what pci_p2pdma_map_type() must say of two names
#   iommu none|identity|translates	what an IOMMU does with DMA. If there is
#			one, the kernel turns ACS on in each root port
#
# NAME.pci lists the PCI devices that the guest must find, the lab's own
# (00:02.0 to 00:04.0) included. lab/record.sh writes it. A machine without one
# has the list of the one that it extends.

TOPOLOGIES=${LAB_TOPOLOGIES:-$PF_ROOT/lab/topologies}	# lab/selftest has its own

# topology_names: every topology, one a line
topology_names() {
	(cd "$TOPOLOGIES" && printf '%s\n' * | grep -v '[.]')
}

# topology_plain: those with QEMU's own devices and drivers in the kernel
topology_plain() {
	local name
	topology_names | while read -r name; do
		[ -n "$(topology_models "$name")$(topology_modules "$name")" ] ||
			echo "$name"
	done
}

# topology_lines KEY NAME...: the values of that key in these topologies
topology_lines() {
	local key=$1 name
	shift
	for name; do
		topology_files "$name" | xargs -r -d '\n' sed -n "s/^${key}[ \t]*//p"
	done
}

# topology_models NAME...: the models that their devices are, each once
topology_models() {
	topology_lines device "$@" | sed -n 's/^\([a-z0-9]*\)-model\(,.*\)\?$/\1/p' | sort -u
}

# topology_modules NAME...: the modules that their guests load, each once
topology_modules() {
	topology_lines module "$@" | awk '{ print $1 }' | sort -u
}

# topology_file NAME: a name that a self-test does not have is the lab's
topology_file() {
	local dir
	case $1 in
	''|*/*|.*) return 1 ;;
	esac
	for dir in "$TOPOLOGIES" "$PF_ROOT/lab/topologies"; do
		if [ -f "$dir/$1" ]; then
			echo "$dir/$1"
			return
		fi
	done
	return 1
}

# topology_files NAME: its file, and those that it extends, the last one first
topology_files() {
	local name=$1 from='' file key value list=''
	while :; do
		file=$(topology_file "$name") || {
			[ -z "$from" ] || die "$E_USAGE" "$from: extends '$name'," \
				"which is not there"
			die "$E_USAGE" "no topology '$name'; there are:" \
				"$(topology_names | paste -sd' ')"
		}
		[[ $'\n'$list != *$'\n'$file$'\n'* ]] || die "$E_USAGE" \
			"$from: extends '$name', which extends it"
		list=$file$'\n'$list from=$file
		read -r key value < <(grep -v '^#' "$file") || :
		[ "$key" = extends ] || break
		name=$value
	done
	printf '%s' "$list"
}

# topology_read NAME DIR: sets cpu, smp, memory, append (words for the kernel),
# machine and acpi (lists for QEMU), and writes to DIR what the guest must know:
# env (variables for tests), reach, pci, modules, qemu (its devices and objects).
topology_read() {
	local -a files
	local file key value name a b map rows=''
	local -A one=() names=() reach=()
	append='' machine=() acpi=()
	files=$(topology_files "$1") || exit
	mapfile -t files <<<"$files"
	: >"$2/pci"
	: >"$2/qemu"
	: >"$2/modules"
	for file in "${files[@]}"; do
		rows=''
		[ ! -f "$file.pci" ] || cp "$file.pci" "$2/pci"
		while read -r key value; do
			case $key in
			''|'#'*) continue ;;
			esac
			rows+=.
			[ -n "$value" ] || die "$E_USAGE" "$file: $key without a value"
			case $key in
			extends) [ "$rows" = . ] || die "$E_USAGE" \
				"$file: extends is not in the first line" ;;
			machine|cpu|smp|memory) one[$key]=$value ;;
			append) append+=" $value" ;;
			acpi) acpi+=("$value") ;;
			module) echo "$value" >>"$2/modules" ;;
			object|device)
				machine+=("-$key" "$value")
				echo "$key $value" >>"$2/qemu" ;;
			name)
				read -r name a b <<<"$value"
				[[ -z $b && $name =~ ^[A-Z][A-Z0-9_]*$ &&
				   $a =~ ^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$ ]] ||
					die "$E_USAGE" "$file: not a name and an address: $value"
				names[$name]=$a ;;
			reach)
				read -r a b map <<<"$value"
				case $map in
				bus-addr|thru-host-bridge|not-supported|untrusted) ;;
				*) die "$E_USAGE" "$file: not two names and a map type: $value" ;;
				esac
				reach["$a $b"]=$map ;;
			iommu)
				case $value in
				none|identity|translates) one[iommu]=$value ;;
				*) die "$E_USAGE" "$file: no such iommu: $value" ;;
				esac ;;
			*) die "$E_USAGE" "$file: no such key '$key'" ;;
			esac
		done <"$file"
	done
	for key in machine cpu smp memory iommu; do
		[ -n "${one[$key]:-}" ] || die "$E_USAGE" "$file: names no $key"
	done
	for key in "${!reach[@]}"; do
		for name in $key; do
			[ -n "${names[$name]:-}" ] ||
				die "$E_USAGE" "$file: reach of $name, which is no name"
		done
	done
	for key in "${!reach[@]}"; do
		echo "$key ${reach[$key]}"
	done | sort >"$2/reach"
	{
		echo "TOPOLOGY $1"
		echo "IOMMU ${one[iommu]}"
		for key in "${!names[@]}"; do
			echo "$key ${names[$key]}"
		done | sort
	} >"$2/env"
	machine=(-machine "${one[machine]}" "${machine[@]}")
	cpu=${one[cpu]} smp=${one[smp]} memory=${one[memory]}
}
