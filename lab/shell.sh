#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# shell.sh: an interactive shell in a guest with TOPOLOGY (default: switch) and
# KERNEL (default: normal), with every test program in its PATH. Leave with
# "exit" or Ctrl-A x.

set -eu
# shellcheck source=scripts/common.sh
. "$(dirname "$0")/../scripts/common.sh"
# shellcheck source=lab/guest.sh
. "$PF_ROOT/lab/guest.sh"

kernel=$(kernel_name)
{ [ -t 0 ] && [ -t 1 ]; } || die "$E_USAGE" "an interactive shell needs a terminal"
"$PF_ROOT/lab/build.sh" "$kernel" "${TOPOLOGY:-switch}"
exec "$PF_ROOT/lab/run.sh" -i
