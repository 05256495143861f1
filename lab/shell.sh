#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# shell.sh [KERNEL]: an interactive shell in the guest, with every test
# program in its PATH. KERNEL: normal (default), debug or base. Leave with
# "exit" or Ctrl-A x. Honours TOPOLOGY.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"

{ [ -t 0 ] && [ -t 1 ]; } || die "$E_USAGE" "an interactive shell needs a terminal"
"$PF_ROOT/lab/build.sh" "${1:-normal}"
exec "$PF_ROOT/lab/run.sh" -k "${1:-normal}" -i
