/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The input of a fuzz target, taken by its bytes; zeroes when there are no more.
 */
#ifndef DEVICES_TEST_INPUT_H
#define DEVICES_TEST_INPUT_H

#include "qemu/osdep.h"

static const uint8_t *in;
static size_t left;

static uint64_t take(unsigned bytes)
{
    uint64_t v = 0;

    while (bytes--) {
        v = v << 8 | (left ? *in : 0);
        in += !!left;
        left -= !!left;
    }
    return v;
}

#endif
