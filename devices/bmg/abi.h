/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GuC's messages, by the names that the headers of the kernel's xe give them */
#ifndef BMG_ABI_H
#define BMG_ABI_H

#include "qemu/osdep.h"

typedef uint32_t u32;
#define __packed QEMU_PACKED
#include "abi/guc_messages_abi.h"
#include "abi/guc_actions_abi.h"
#include "abi/guc_actions_sriov_abi.h"
#include "abi/guc_klvs_abi.h"
#include "abi/guc_relay_actions_abi.h"

#define HXG_GUC         GUC_HXG_MSG_0_ORIGIN
#define HXG_TYPE(x)     (((x) & GUC_HXG_MSG_0_TYPE) >> 28)
#define HXG_ACTION(x)   ((x) & GUC_HXG_REQUEST_MSG_0_ACTION)
/* The first dword of a message from the GuC, or from the PF */
#define HXG(type)       (GUC_HXG_TYPE_##type << 28)

#endif
