# SPDX-License-Identifier: GPL-2.0
# For what puts memory into a device: the user-space form of the kernel's headers,
# of our tree and not of the host, and one copy of what the tests in that tree
# share.

LINUX	?= $(ROOT)/build/linux
HEADERS	:= $(ROOT)/build/headers
SHARED	:= $(ROOT)/kernel/files/tools/testing/selftests/hmm_alias
CPPFLAGS += -I$(SHARED) -I$(ROOT)/kernel/files -isystem $(HEADERS)/usr/include
SHARED_DEPS := $(wildcard $(SHARED)/*.h) $(HEADERS)/usr/include/drm/drm.h \
	       $(ROOT)/kernel/files/drivers/gpu/drm/ivgpu/ivgpu_ioctl.h \
	       $(ROOT)/tools/headers.mk

$(ROOT)/build/linux/include/uapi/drm/drm.h:
	$(MAKE) -C $(ROOT) tree

$(HEADERS)/usr/include/drm/drm.h: $(LINUX)/include/uapi/drm/drm.h
	mkdir -p $(HEADERS)
	$(MAKE) -s -C $(LINUX) O=$(HEADERS) headers
	touch $@
