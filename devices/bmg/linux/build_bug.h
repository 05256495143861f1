/* SPDX-License-Identifier: GPL-2.0-or-later */
/* In place of the kernel's, for xe's headers: static_assert() is C's. */
#include <assert.h>
