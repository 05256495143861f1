#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Remove build/. Refuses (without FORCE=1) while build/linux has work that
# make refresh has not saved.
set -eu
. "$(dirname "$0")/../scripts/common.sh"
. "$PF_ROOT/kernel/layout.sh"

if [ -d "$TREE/.git" ] && [ -z "${FORCE:-}" ]; then
	saved=$(tgit rev-parse -q --verify "$APPLIED") || saved=
	if [ "$(tgit rev-parse HEAD)" != "$saved" ] ||
	   [ "$(worktree_id "$TREE")" != "$(tgit rev-parse "$saved^{tree}")" ]; then
		die "$E_DIRTY" "build/linux has work that make refresh has not saved" \
			"(FORCE=1 removes it)"
	fi
fi
rm -rf "$PF_BUILD"
