# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2034
#
# Shared by every host-side script: exit codes, messages, progress, space.
# Sourced, never run:
#
#	. "$(dirname "$0")/../scripts/common.sh"
#
# The script that sources it runs under `set -eu`.
# It sets PF_ROOT (the clone), PF_BUILD (what `make clean` removes), PF_LOG
# (one log per step) and PF_CACHE (survives the clone, shared by all clones).

# What KERNEL= and lab/suites name, see kernel/build.sh
PF_KERNELS='normal debug base no-p2pdma'

# Exit codes. This is the only list of them. make turns every failure of a
# recipe into its own 2, so die() also prints the code.
E_FAIL=1	# tests or checks ran, and at least one failed
E_USAGE=2	# wrong argument or variable
E_PACKAGE=10	# a Debian package is missing and could not be installed
E_NETWORK=11	# nothing could be downloaded
E_CORRUPT=12	# a download does not have the expected sha256
E_SPACE=13	# not enough free disk space or memory
E_PATCH=14	# a patch does not apply, or a path of kernel/files is in the base
E_CONFIG=15	# a requested kernel option is not in the final .config
E_BUILD=16	# a compiler or linker said no
E_SRC=17	# KERNEL_SRC is not a kernel tree or tarball
E_DIRTY=18	# build/linux has work that `make refresh` has not saved
E_CHROOT=19	# no chroot or mount here (lab/selftest/bare.sh)
E_TOPOLOGY=123	# the guest's PCI devices are not those that the topology lists
E_TIMEOUT=124	# hang: no end within the time limit
E_LOG=125	# the guest's kernel log has a report that nothing excuses
E_VM=255	# VM lost: no result came back

PF_ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
until [ -e "$PF_ROOT/scripts/common.sh" ] || [ "$PF_ROOT" = / ]; do
	PF_ROOT=$(dirname -- "$PF_ROOT")
done
PF_BUILD=$PF_ROOT/build
PF_LOG=$PF_BUILD/log
PF_CACHE=${PEERFAULT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/peerfault}

# What apt says when it is the network, and not a package, that is missing
NO_NETWORK='Could not resolve|Temporary failure|[Cc]ould not connect|Unable to connect|Connection (failed|timed out|refused)|Network is unreachable|Cannot initiate the connection'

# say TEXT...: one line of progress
say() {
	printf '%s\n' "$*"
}

# note TEXT...: a line that must not be overlooked
note() {
	printf 'NOTE: %s\n' "$*" >&2
}

# die CODE TEXT...: the message, and the code that make would swallow
die() {
	pf_code=$1
	shift
	printf 'error %s: %s\n' "$pf_code" "$*" >&2
	exit "$pf_code"
}

# step TEXT...: names what starts now
step() {
	printf '==> %s\n' "$*"
}

# need_space DIR MIB WHAT: refuse now rather than fail half-way
need_space() {
	mkdir -p "$1" || die "$E_SPACE" "cannot create $1"
	pf_free=$(($(df -Pk "$1" | awk 'NR == 2 { print $4 }') / 1024))
	[ "$pf_free" -ge "$2" ] || die "$E_SPACE" \
		"$3 needs $2 MiB in $1, only $pf_free MiB are free"
}

# log_tail FILE: the lines of a log that matter, errors first
log_tail() {
	if grep -qE '(error|Error|ERROR|fatal|undefined reference)[: ]' "$1"; then
		grep -nE '(error|Error|ERROR|fatal|undefined reference)[: ]' "$1" |
			head -n 15 | sed 's/^/    /'
	else
		tail -n 15 "$1" | sed 's/^/    /'
	fi
}

# beat NAME LOG: a line every 20 s, until killed or its parent is gone
beat() {
	pf_sleep=
	trap 'kill "$pf_sleep" 2>/dev/null; exit 0' TERM
	pf_start=$(date +%s)
	while kill -0 "$$" 2>/dev/null; do
		sleep 20 >/dev/null 2>&1 &
		pf_sleep=$!
		wait "$pf_sleep"
		printf '    %s: %s s, %s log lines, at: %s\n' "$1" \
			"$(($(date +%s) - pf_start))" "$(wc -l <"$2")" \
			"$(tail -n 1 "$2" | cut -c 1-60)"
	done
}

# run CODE NAME COMMAND...: run a long command quietly. Its output goes to
# build/log/NAME.log; progress shows every 20 s, at the end what it took. When
# it fails: the step, the log and its last lines that matter, then exit CODE.
run() {
	pf_code=$1 pf_name=$2
	shift 2
	mkdir -p "$PF_LOG"
	pf_file=$PF_LOG/$pf_name.log
	pf_begin=$(date +%s)
	step "$pf_name"
	: >"$pf_file"
	beat "$pf_name" "$pf_file" &
	pf_beat=$!
	# Not `"$@" || rc=$?`: that switches errexit off inside of a function.
	set +e
	(trap 'times >"$pf_file.times"' EXIT; set -e; "$@") >"$pf_file" 2>&1 </dev/null
	pf_rc=$?
	set -e
	kill "$pf_beat" 2>/dev/null || :
	wait "$pf_beat" 2>/dev/null || :
	if [ "$pf_rc" -ne 0 ]; then
		printf 'step "%s" failed (%s). Log: %s\n' "$pf_name" "$pf_rc" \
			"$pf_file" >&2
		log_tail "$pf_file" >&2
		die "$pf_code" "$pf_name failed, see $pf_file"
	fi
	say "    $pf_name: done in $(($(date +%s) - pf_begin)) s, $(cpu_time "$pf_file.times") s of CPU time"
}

# cpu_time FILE: the sum, in seconds, of what the shell's times wrote there
cpu_time() {
	awk -F '[m s]+' '{ sum += $1 * 60 + $2 + $3 * 60 + $4 } END { printf "%d\n", sum }' "$1"
}
