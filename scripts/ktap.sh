# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# Test results in KTAP, for scripts of the host and of the guest. Sourced:
#
#	ktap_begin		results are kept, ktap_end prints them
#	ktap_begin COUNT	the plan is known: results are printed at once
#	ktap_test NAME COMMAND...	ok when COMMAND succeeds; a skip when it
#			exits with 4; what it prints is diagnostics of a failure
#	ktap_need NAME COMMAND...	the same for what later tests need. TEST does
#			not pass over it, but then only a failure is a result
#	ktap_suite NAME COMMAND...	the same for a COMMAND that prints KTAP,
#			which becomes the subtests of NAME
#	ktap_result STATUS NAME [TEXT]	a result that is known already
#	ktap_end		the last command: it returns 1 when a test failed,
#			or when their number is not the plan's
#
# TEST, when set, is a glob: ktap_test passes over the tests that it does not
# name.
#
# ktap_log, when set, gets each result line as well, as soon as it is known.

ktap_begin() {
	ktap_n=0 ktap_failed=0 ktap_plan=${1:-} ktap_kept=
	ktap_out=$(mktemp) || return
	if [ -n "$ktap_plan" ]; then
		printf 'KTAP version 1\n1..%s\n' "$ktap_plan"
	else
		ktap_kept=$(mktemp) || return
	fi
}

ktap_print() {
	if [ -n "$ktap_kept" ]; then
		cat >>"$ktap_kept"
	else
		cat
	fi
}

ktap_result() {
	ktap_n=$((ktap_n + 1))
	case $1 in
	0) ktap_line="ok $ktap_n $2" ;;
	4) ktap_line="ok $ktap_n $2 # SKIP ${3:-exit code 4}" ;;
	*) ktap_line="not ok $ktap_n $2 # ${3:-exit code $1}"
	   ktap_failed=$((ktap_failed + 1)) ;;
	esac
	printf '%s\n' "$ktap_line" | ktap_print
	[ -z "${ktap_log:-}" ] || printf '%s\n' "$ktap_line" >>"$ktap_log"
}

ktap_test() {
	# shellcheck disable=SC2254 # it is a glob
	case $1 in
	${TEST:-*}) ktap_run "$@" ;;
	esac
}

ktap_need() {
	# shellcheck disable=SC2254 # it is a glob
	case $1 in
	${TEST:-*}) ;;
	*)	ktap_name=$1
		shift
		! "$@" >/dev/null 2>&1 || return 0
		set -- "$ktap_name" "$@" ;;
	esac
	ktap_run "$@"
}

ktap_run() {
	ktap_name=$1 ktap_status=0
	shift
	"$@" >"$ktap_out" 2>&1 || ktap_status=$?
	case $ktap_status in
	0) ;;
	*) sed 's/^/# /' "$ktap_out" | ktap_print ;;
	esac
	ktap_result "$ktap_status" "$ktap_name"
}

ktap_suite() {
	ktap_name=$1 ktap_status=0
	shift
	case ${TEST:-} in
	'' | "$ktap_name") ktap_glob= ;;
	"$ktap_name".*) ktap_glob=${TEST#"$ktap_name".} ;;
	*) return 0 ;;
	esac
	TEST=$ktap_glob "$@" >"$ktap_out" || ktap_status=$?
	sed -e "1a # Subtest: $ktap_name" "$ktap_out" | sed 's/^/    /' | ktap_print
	ktap_result "$ktap_status" "$ktap_name"
}

ktap_end() {
	if [ -n "$ktap_kept" ]; then
		printf 'KTAP version 1\n1..%s\n' "$ktap_n"
		cat "$ktap_kept"
		rm -f "$ktap_kept"
	elif [ "$ktap_n" -ne "$ktap_plan" ]; then
		ktap_failed=1
	fi
	rm -f "$ktap_out"
	[ "$ktap_failed" -eq 0 ] && [ "$ktap_n" -gt 0 ]
}
