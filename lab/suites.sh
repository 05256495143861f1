# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Reads lab/suites. Sourced after scripts/common.sh and lab/topology.sh.

SUITES=${LAB_SUITES:-$PF_ROOT/lab/suites}	# lab/selftest has its own

# suites_read: checks all of it and prints "suite NAME SECONDS ALLOW COMMAND",
# "beside NAME" and "run TIER KERNEL NAME TOPOLOGY", TABs in between; one line for
# each boot. ALLOW is - for none, and TOPOLOGY is - on the host.
suites_read() {
	awk -v kernels="host $PF_KERNELS" -v topologies="$(topology_names | paste -sd' ')" \
		-v plain="$(topology_plain | paste -sd' ')" \
		-v allows="$(cd "$PF_ROOT/lab/allow" && printf '%s\n' *.allow |
			     sed 's/\.allow$//' | paste -sd' ')" '
	BEGIN {
		OFS = "\t"
		split("test all long", word, " ")
		for (n in word) tier[word[n]]
		split(kernels, word, " ")
		for (n in word) kernel[word[n]]
		split(allows, word, " ")
		for (n in word) allow[word[n]]
		split(topologies, word, " ")
		for (n in word) topology[word[n]]
		split(plain, order, " ")
	}
	function wrong(text) {
		print FILENAME ":" FNR ": " text ": " $0 >"/dev/stderr"
		bad = 1
	}
	function boot(where,   item) {
		item = $4 "@" where "+" $3
		if (item in seen)	# a lower tier has it
			return
		seen[item]
		print "run", $2, $3, $4, where
	}
	NF == 0 || /^[ \t]*#/ { next }
	$1 == "suite" {
		if ($2 !~ /^[a-z][a-z0-9-]*$/)
			wrong("not a name of small letters, digits and hyphens")
		else if ($2 in suite)
			wrong("there is a suite of this name")
		else if ($3 !~ /^[1-9][0-9]*$/)
			wrong("seconds wanted after the name")
		else {
			suite[$2]
			excuse = "-"
			first = 4
			if ($first == "beside") {
				print "beside", $2
				first++
			}
			if ($first ~ /^allow=/) {
				excuse = substr($first, 7)
				if (!(excuse in allow))
					wrong("no such file in lab/allow")
				first++
			}
			if (NF < first)
				wrong("no command")
			command = $first
			for (n = first + 1; n <= NF; n++)
				command = command " " $n
			print "suite", $2, $3, excuse, command
		}
		next
	}
	$1 == "run" {
		if (!($2 in tier))
			wrong("no such tier; there are: test all long")
		else if (!($3 in kernel))
			wrong("no such kernel; there are: " kernels)
		else if (!($4 in suite))
			wrong("no such suite above")
		else if ($3 == "host" && NF > 4)
			wrong("the host has no topology")
		else if ($3 == "host")
			boot("-")
		else if (NF < 5)
			wrong("no topology")
		else if ($5 == "all" && NF == 5)
			for (n = 1; n in order; n++)
				boot(order[n])
		else
			for (n = 5; n <= NF; n++)
				if ($n in topology)
					boot($n)
				else
					wrong("no topology " $n "; there are: " topologies)
		next
	}
	{ wrong("neither suite nor run") }
	END { exit bad }' "$SUITES" || die "$E_USAGE" "$SUITES is wrong, see above"
}
