#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# shell.sh [KERNEL]: an interactive shell in the guest, with every test
# program in its PATH. KERNEL: normal (default), debug or stock. Leave with
# "exit" or Ctrl-A x. Honours TOPOLOGY.

set -eu
# shellcheck source=lib/common.sh
. "$(dirname "$0")/../lib/common.sh"

{ [ -t 0 ] && [ -t 1 ]; } || die "$E_USAGE" "an interactive shell needs a terminal"
"$PF_ROOT/lab/build.sh" "${1:-normal}"
exec "$PF_ROOT/lab/run.sh" -k "${1:-normal}" -i
