#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# cc.sh ARG...: the kernel's C compiler, through ccache.
#
# In depend mode ccache learns the headers from gcc's own list and does not
# preprocess before each miss, which is a third of a cold build. It then does
# not see .incbin, by which piggy.S takes the compressed kernel in, and would
# answer with an older one. So assembler files are preprocessed as ever.
set -eu
for last; do :; done
case ${last:-} in
*.S) ;;
*) export CCACHE_DEPEND=1 ;;
esac
exec ccache "${CROSS_COMPILE:-}gcc" "$@"
