#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# klog-gate.sh LOG [ALLOW-FILE...]: prints what is wrong with the guest's
# kernel log. Exit code 0: clean. 125: a report that no ALLOW-FILE excuses, or
# a log that is not complete, which must not look like a clean one. 2: usage,
# or an excuse without a reason.

set -eu
[ $# -ge 1 ] || { echo "usage: $0 LOG [ALLOW-FILE...]"; exit 2; }
for file; do
	[ -r "$file" ] || { echo "$file: cannot be read"; exit 2; }
done
log=$1
shift

awk '
FNR == 1 { file++ }
file < files {			# an allow file
	if ($0 ~ /^#/ || $0 ~ /^$/)
		next
	if (split($0, part, /\t+/) < 2 || part[2] == "") {
		print FILENAME ":" FNR ": no reason given: " $0
		broken = 1
		exit
	}
	allow[++allows] = part[1]
	next
}
function excused(text,   i) {
	for (i = 1; i <= allows; i++)
		if (text ~ allow[i])
			return 1
	return 0
}
function object(text) {
	print FNR ": " text
	bad++
}
function taints(mask,   bit, letters) {
	letters = "PFSRMBUDAWCIOELKXTNJ"
	for (bit = 0; mask > 0; bit++) {
		if (mask % 2 && !excused("taint " substr(letters, bit + 1, 1)))
			object("kernel is tainted: " substr(letters, bit + 1, 1) \
			       " (bit " bit ")")
		mask = int(mask / 2)
	}
}
{ sub(/\r$/, "") }
# Only what the kernel printed: "[    1.234567] " or "[    1.234567][  T42] "
!/^\[ *[0-9]+\.[0-9]+\]/ { next }
{ sub(/^\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? /, ""); line++ }
/^Linux version / { started = 1 }
/^peerfault-lab: end of log, tainted [0-9]+$/ {
	ended = 1
	taints($NF)
	next
}
/^peerfault-lab: / { next }	# may quote the arguments of a job
# The rest of an excused report is excused with it.
in_excused { if (/---\[ end trace/) in_excused = 0; next }
/WARNING: |BUG: |kernel BUG at|Oops: |Kernel panic|general protection fault/ ||
/KASAN: |KCSAN: |KFENCE: |UBSAN: |kmemleak: [0-9]+ new suspected/ ||
/INFO: task .* blocked for more than|INFO: trying to register non-static key/ ||
/rcu: INFO: |self-detected stall|detected stalls on|soft lockup|hard LOCKUP/ ||
/Call Trace:|ODEBUG: |DMA-API: .*: |refcount_t: |list_(add|del) corruption/ ||
/Unable to handle kernel|unable to handle|bad page (state|map)|Bad rss-counter/ ||
/DMAR: (\[|DRHD: handling fault|PTE )|fault from EP [0-9]+|printk messages dropped/ ||
/sysfs: cannot create duplicate|possible (recursive|circular) locking/ {
	if (/Call Trace:/ && line <= stack)
		next
	if (excused($0))
		in_excused = cut
	else
		object($0)
	cut = 0
	next
}
# Announces a stack, and is not a report: at most CPU and hardware in between.
excused($0) { stack = line + 3 }
# Announces a report; the next line says which.
/---\[ cut here \]---/ { cut = 1; next }
END {
	if (broken)
		exit 2
	if (!started)
		object("log incomplete: no beginning")
	if (!ended)
		object("log incomplete: no end marker")
	exit bad ? 125 : 0
}
' files=$(($# + 1)) ${1+"$@"} "$log"
