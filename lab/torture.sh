#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# torture.sh: runs the fuzzer of lab/torture in a guest: what once broke, then what
# is made up from a seed. At the first failure it prints the seed and the smallest
# program that still fails.
#
#	TORTURE_SECONDS=n	for so long (default: 600)
#	TORTURE_SEED=n		what to make up (default: another each time)
#	TORTURE_ARGS=args	more arguments for the fuzzer (torture --help)
#	TORTURE_BOOTS=n		so many boots, at most, to make a program smaller that
#				kills the kernel (default: 12)
#	DEBUG=1			on the debug kernel
#	KERNEL=, TOPOLOGY=	on that one
#	LAB_NO_BUILD=1		build nothing, take what is there
#
# Output, console log and files are left in build/torture, and the program that fails
# in build/torture.prog. Exit code 1: there is one.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"
# shellcheck source=lab/topology.sh
. "$PF_ROOT/lab/topology.sh"

[ -z "${DEBUG:-}" ] || export KERNEL=debug
topology=${TOPOLOGY:-switch} kernel=$(kernel_name)
seconds=${TORTURE_SECONDS:-600} seed=${TORTURE_SEED:-$(date +%s)}
boots=${TORTURE_BOOTS:-12} out=$PF_BUILD/torture
read -ra more <<<"${TORTURE_ARGS:-}"
nic=with-rxe
! topology_models "$topology" | grep -qx mlx5 || nic=with-mlx5
"$LAB/build.sh" "$kernel" "$topology"

[ "$kernel" != debug ] || more=(--limit 300 ${more[0]+"${more[@]}"})

# boot SECONDS [-q] -- ARG...: one guest
boot() {
	local limit=$1 quiet=()
	shift
	[ "$1" != -q ] || quiet=(-q)
	shift "${#quiet[@]}"
	"$LAB/run.sh" ${quiet[0]+"${quiet[@]}"} -k "$kernel" -t "$topology" -T "$limit" \
		-o "$out" -x "$LAB/allow/failing-allocations.allow" \
		-- "$nic" with-swap torture "${@:2}"
}

# dies OP...: does a program of these kill the kernel, or leave a report
dies() {
	boots=$((boots - 1))
	! boot 300 -q -- --program "$(IFS=';'; echo "$*")" --times 5 --minimise 0 \
		>"$PF_LOG/torture.log" 2>&1
}

# shrink OP...: leaves out what is not needed to die. Result: ops
shrink() {
	local n i
	ops=("$@")
	for ((n = (${#ops[@]} + 1) / 2; n > 0; n /= 2)); do
		for ((i = 0; i + n <= ${#ops[@]} && ${#ops[@]} > 1 && boots > 0;)); do
			if dies "${ops[@]:0:i}" "${ops[@]:i+n}"; then
				ops=("${ops[@]:0:i}" "${ops[@]:i+n}")
			else
				i=$((i + n))
			fi
		done
	done
}

step "torture on $topology, kernel $kernel, $seconds s, seed $seed"
rc=0
boot $((seconds + 600)) -- --seed "$seed" --seconds "$seconds" \
	${more[0]+"${more[@]}"} || rc=$?
[ "$rc" -ne 0 ] || exit 0

repro=$PF_BUILD/torture.prog
mkdir -p "$PF_LOG"
cp "$out/console.log" "$PF_LOG/torture.console"
cp "$out/out" "$PF_LOG/torture.out"
[ ! -s "$out/trace" ] || sed 's/^/    /' "$out/trace"
if grep -q '^# FAILED' "$PF_LOG/torture.out"; then
	# The last program that is printed, which is the smallest
	awk '/^#> / { sub(/^#> /, ""); text = text $0 "\n"; next }
		text != "" { last = text; text = "" }
		END { printf "%s", last text }' "$PF_LOG/torture.out" >"$repro"
else
	# It did not come to say so: the program that it ran last
	text=$(tr -d '\r' <"$PF_LOG/torture.console" |
		awk 'sub(/.*peerfault-lab: torture P /, "") { text = $0; next }
			sub(/.*peerfault-lab: torture [+] /, "") { text = text $0 }
			END { print text }')
	IFS=';' read -ra ops <<<"$text"
	step "the guest was lost or its log is not clean ($rc); leaving out some of" \
		"${#ops[@]} operations, in $boots boots at most"
	if dies "${ops[@]}"; then
		shrink "${ops[@]}"
	else
		say "    not again in 5 runs: all of them"
	fi
	printf '%s\n' "${ops[@]}" | tee "$repro"
fi
die "$E_FAIL" "torture failed ($rc), see $PF_LOG/torture.{out,console} and $repro;" \
	"again: make torture TOPOLOGY=$topology KERNEL=$kernel SECONDS=$seconds SEED=$seed"
