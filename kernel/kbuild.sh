# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Configure and build a kernel tree. Sourced after scripts/common.sh.

# kernel_env CLONE: the same build, byte for byte, in every clone; ccache shares it
kernel_env() {
	export CCACHE_DIR="$PF_CACHE/ccache" CCACHE_BASEDIR="$1"
	export CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=5G
	export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_VERSION=1
	export KBUILD_BUILD_USER=peerfault KBUILD_BUILD_HOST=lab
	# make's own variables would reach the kernel's Makefile as well.
	unset MAKEFLAGS MFLAGS MAKELEVEL KCONFIG_CONFIG O ARCH CROSS_COMPILE
}

# kmake SRC OUT TARGET...
kmake() {
	pf_src=$1 pf_out=$2
	shift 2
	mkdir -p "$pf_out"
	make -C "$pf_src" O="$pf_out" CC="$PF_ROOT/kernel/cc.sh" \
		-j"$(nproc)" "$@"
}

# built_objects SRC CONFIG: those of kernel/objects that SRC has and CONFIG builds
built_objects() {
	awk 'FILENAME == ARGV[1] { sub(/=.*/, ""); on[$0]; next }
	     !/^#/ && $1 in on { print $2 }' \
		"$2" "$PF_ROOT/kernel/objects" |
		while read -r pf_object; do
			[ ! -f "$1/${pf_object%.o}.c" ] || echo "$pf_object"
		done
}

# configure SRC OUT FRAGMENT...: tinyconfig with the fragments over it. An
# unchanged .config keeps its time, so that nothing is rebuilt.
configure() {
	pf_csrc=$1 pf_cout=$2
	shift 2
	mkdir -p "$pf_cout"
	if [ -f "$pf_cout/.config" ]; then
		cp -p "$pf_cout/.config" "$pf_cout/.config.before"
	fi
	kmake "$pf_csrc" "$pf_cout" tinyconfig
	(cd "$pf_csrc" &&
	 scripts/kconfig/merge_config.sh -m -Q -O "$pf_cout" "$pf_cout/.config" "$@")
	kmake "$pf_csrc" "$pf_cout" olddefconfig
	if cmp -s "$pf_cout/.config" "$pf_cout/.config.before"; then
		mv "$pf_cout/.config.before" "$pf_cout/.config"
	fi
}

# verify_config CONFIG FRAGMENT...: every requested line is in the result.
# merge_config.sh only prints what was lost, and succeeds. Of two fragments
# that set one option the later one wins.
verify_config() {
	pf_config=$1
	shift
	pf_lost=$(awk '
		function name(line) {
			sub(/^# /, "", line)
			sub(/[ =].*/, "", line)
			return line
		}
		!/^CONFIG_[A-Z0-9_a-z]+=/ && !/^# CONFIG_[A-Z0-9_a-z]+ is not set$/ { next }
		FILENAME == final { have[name($0)] = $0; next }
		{ want[name($0)] = $0 }
		END {
			for (n in want) {
				# An option that cannot even be asked for is off.
				if (want[n] ~ /^#/ && !(n in have))
					continue
				if (have[n] != want[n])
					print want[n]
			}
		}' final="$pf_config" "$@" "$pf_config" | sort)
	[ -z "$pf_lost" ] || die "$E_CONFIG" "not in the final .config ($pf_config):" \
		"$(echo "$pf_lost" | tr '\n' ';')"
}
