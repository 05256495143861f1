#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Build the users of <linux/hmm.h> that the series does not touch, and compare
# the code before and after. A header changed a constant and the size of struct
# hmm_range, and compilers answer that with other registers or another order. So
# there is a third build: the base with nothing but these two changed. It must
# have the same instructions as ours in the same functions, with the same calls
# and jumps. Only offsets into structures may differ, and are printed. KTAP on
# stdout.
set -eu
# shellcheck source=SCRIPTDIR/../scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=SCRIPTDIR/../scripts/ktap.sh
. "$PF_ROOT/scripts/ktap.sh"
# shellcheck source=SCRIPTDIR/layout.sh
. "$PF_ROOT/kernel/layout.sh"
# shellcheck source=SCRIPTDIR/kbuild.sh
. "$PF_ROOT/kernel/kbuild.sh"

configs=$PF_ROOT/kernel/configs
out=$PF_BUILD/callers

# callers: every .c file that uses HMM and is as it is in the base
callers() {
	tgit grep -lE 'hmm_(range|pfn|dma)_|struct hmm_range|HMM_PFN_' base -- \
		'*.c' ':!tools' ':!samples' | sed 's/^base://' |
		while read -r file; do
			! tgit diff --quiet base HEAD -- "$file" || echo "${file%c}o"
		done
}

# build SRC OUT CFLAGS OBJECT...
build() {
	local src=$1 to=$2 log=$2.log cflags=$3
	shift 3
	configure "$src" "$to" "$configs/base.config" "$configs/peerfault.config" \
		"$configs/check.config" "$configs/callers.config" >"$log" 2>&1
	verify_config "$to/.config" "$configs/callers.config"
	{ kmake "$src" "$to" prepare &&
	  kmake "$src" "$to" CFLAGS_MODULE="$cflags" "$@"; } >>"$log" 2>&1 ||
		die "$E_BUILD" "the callers do not build: see $log"
}

# code OBJECT: FUNCTION, INSTRUCTION and OPERANDS, tab-separated. A symbol that
# is called or named is part of the instruction, and so is where a jump goes,
# counted in instructions. Padding is left out.
code() {
	objdump -dr --no-show-raw-insn "$1" | awk -F '\t' -v OFS='\t' '
		function finish(i) {
			for (i = 0; i < n; i++) {
				if (i in jump)
					what[i] = what[i] " " target(i)
				print fn, what[i], operands[i]
			}
			n = 0
			delete at
			delete jump
		}
		function target(i) {
			return jump[i] in at ? "@" at[jump[i]] : name[i]
		}
		/^[0-9a-f]+ <.*>:$/ {
			finish()
			fn = $0
			gsub(/^.*<|>:$/, "", fn)
			next
		}
		/R_X86_64_/ {
			sub(/[-+]0x[0-9a-f]+$/, "", $NF)
			sub(/^.* /, "", $NF)
			if (n) {
				what[n - 1] = what[n - 1] " " $NF
				delete jump[n - 1]
			}
			next
		}
		/^ *[0-9a-f]+:/ {
			addr = $1
			gsub(/[ :]/, "", addr)
			at[addr] = n
			if ($2 ~ /^((data16|cs) )*(nop|xchg +%ax,%ax$|int3)/)
				next
			split($2, word, / +/)
			what[n] = word[1]
			operands[n] = $2
			if (word[1] ~ /^(j|call)/ && $2 ~ /<.*>$/) {
				jump[n] = word[2]
				name[n] = word[3]
				sub(/\+0x[0-9a-f]+>$/, ">", name[n])
				operands[n] = ""
			}
			n++
		}
		END { finish() }'
}

# no_offsets CODE: offsets into structures left out
no_offsets() {
	sed -E 's/-?0x[0-9a-f]+\(/(/g' "$1"
}

"$PF_ROOT/kernel/tree.sh" >&2
kernel_env "$PF_ROOT"
base_tree
mapfile -t objects < <(callers)
mkdir -p "$out"
base=$PF_BUILD/linux-base
sed 's/\(HMM_PFN_ORDER_SHIFT = (BITS_PER_LONG - \)11/\113/
     /dev_private_owner;/s/$/ unsigned long more[3];/' \
	"$base/include/linux/hmm.h" >"$out/hmm.h"
build "$base" "$out/base" '' "${objects[@]}"
build "$base" "$out/constants" "-include $out/hmm.h" "${objects[@]}"
build "$TREE" "$out/ours" '' "${objects[@]}"

# compare OBJECT: prints what differs besides the constants
compare() {
	local i size from_base
	for i in base constants ours; do code "$out/$i/$1" >"$out/$i.code"; done
	size=$(wc -l <"$out/ours.code")
	[ "$size" -gt 0 ] || { echo "no code"; return 1; }
	diff <(no_offsets "$out/constants.code") <(no_offsets "$out/ours.code") || return
	paste "$out/constants.code" "$out/ours.code" | awk -F '\t' '$3 != $6 {
		print $1 ": " $3 " -> " $6 }' | tr -s ' ' >"$out/offsets"
	from_base=$(diff "$out/base.code" "$out/ours.code" | grep -c '^>' || :)
	echo "of $size instructions $from_base differ from the base," \
		"$(wc -l <"$out/offsets") in more than the constants"
	cat "$out/offsets"
}

ktap_begin "${#objects[@]}"
for object in "${objects[@]}"; do
	rc=0
	compare "$object" >"$out/found" || rc=$?
	sed 's/^/# /' "$out/found"
	ktap_result "$rc" "$object"
done
ktap_end
