# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What a mutant is: a file NN-NAME.patch that puts one bug in. It begins with what
# is wrong then. After that come:
#
#	Apply: tree | repo	build/linux, or this repository
#	Expect: SUITE GLOB	of SUITE, as make test takes it, a test that GLOB names
#				has to be red. Of several lines, each has to be
#	Red: KIND		in which way (default: failed)
#		failed		a test fails, and the guest goes on to its end
#		log TEXT	the kernel log has a report that nothing excuses, and TEXT
#		lost		the kernel panics while tests run
#		hang SECONDS	a test does not end; the guest is given so long
#
# Sourced after scripts/common.sh, at the root of the repository.

# shellcheck source=lab/topology.sh
. "$PF_ROOT/lab/topology.sh"
# shellcheck source=lab/suites.sh
. "$PF_ROOT/lab/suites.sh"

# fields KEY FILE: the values of these lines
fields() {
	sed -n "/^--- /q; s/^$1: //p" "$2"
}

# mutant_dir FILE: where it is applied
mutant_dir() {
	case $(fields Apply "$1") in
	tree) echo "$PF_BUILD/linux" ;;
	repo) echo "$PF_ROOT" ;;
	*) die "$E_USAGE" "$1: Apply is neither tree nor repo" ;;
	esac
}

# mutant_paths FILE: what it changes
mutant_paths() {
	sed -n 's|^+++ b/||p' "$1"
}

# suite_line SUITE: "ITEM KERNEL TOPOLOGY SECONDS ALLOW COMMAND", TABs in between,
# as lab/suite.sh takes it. Nothing, if lab/suites has no such suite.
suite_line() {
	local topology=- kernel=host
	case $1 in
	*@*+*) kernel=${1##*+} topology=${1#*@} topology=${topology%+*} ;;
	*@*) kernel=normal topology=${1#*@} ;;
	esac
	awk -F '\t' -v OFS='\t' -v item="$1" -v kernel="$kernel" -v topology="$topology" '
		BEGIN { name = item; sub(/@.*/, "", name) }
		$1 == "suite" && $2 == name {
			print item, kernel, topology, $3 * (kernel == "debug" ? 3 : 1), $4, $5
		}' <<<"$suites"
}

suites=$(suites_read)
