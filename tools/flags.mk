# SPDX-License-Identifier: GPL-2.0
# How the programs of tools/ and demo/ are built: what their Makefiles share.

ROOT	:= $(patsubst %/tools/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
VERSION	:= $(shell cat $(ROOT)/VERSION)
FLAGS	:= $(ROOT)/tools/flags.mk $(ROOT)/VERSION

CFLAGS	?= -O2 -g
CFLAGS	+= -std=c11 -Wall -Wextra -Werror
CPPFLAGS += -DPEERFAULT_VERSION='"$(VERSION)"'

ifdef SANITIZE
OUT	:= $(ROOT)/build/tools-sanitize
CFLAGS	+= -fsanitize=address,undefined -fno-sanitize-recover=all \
	   -fno-omit-frame-pointer
else
OUT	:= $(ROOT)/build/tools
endif

.DEFAULT_GOAL := all

$(OUT):
	mkdir -p $@
