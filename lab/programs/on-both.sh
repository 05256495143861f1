#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# on-both.sh [-l] COMMAND...: run COMMAND on machine 0 of the two of lab/pair.sh,
# with $ON_BOTH HOST COMMAND as the way to run something on the other one, peerfault1.
# There it starts an sshd, and waits until COMMAND has ended; with -l it is to be
# lost. Both machines are of the lab, and nothing else is on their network: root has
# no password.

set -u
lost=0
[ "${1:-}" != -l ] || { lost=1; shift; }
ready=/run/on-both.ready ended=/run/on-both.ended
export ON_BOTH='ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR'

if [ "${PAIR:?}" -eq 1 ]; then
	mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -f /tmp/host-key || exit
	/usr/sbin/sshd -f /dev/null -h /tmp/host-key -o UsePAM=no \
		-o PermitRootLogin=yes -o PermitEmptyPasswords=yes || exit
	until [ -e "$ended" ]; do
		sleep 0.2
	done
	exit 0
fi

tries=600
until $ON_BOTH -o ConnectTimeout=1 peerfault1 : >"$ready" 2>&1; do
	tries=$((tries - 1))
	[ "$tries" -gt 0 ] || { cat "$ready"; exit 1; }
	sleep 0.2
done
rc=0
"$@" || rc=$?
[ "$lost" -eq 1 ] || $ON_BOTH peerfault1 "touch $ended" || rc=1
exit "$rc"
