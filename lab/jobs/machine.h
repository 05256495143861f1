/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The machine around the guest: QEMU's monitor, which is the file QMP, and the
 * devices that /etc/peerfault/qemu has a line for.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>
#include <stdio.h>

FILE *monitor_open(void);
/* The next line with all of these words; what comes before it is dropped. */
int monitor_expect(FILE *monitor, const char *a, const char *b);
/* A command that has nothing to say unless it failed. */
int monitor_do(FILE *monitor, const char *command, const char *args);

/* Presses the button of the slot, and returns when the device is no more. */
int unplug(FILE *monitor, const char *id, const char *bdf);
int pull(const char *bdf);
/* As the machine was made. The memory of a GPU is a new one, too. */
int plug(FILE *monitor, const char *id);
int wait_gone(const char *bdf);

/* A property of a device: a number */
int device_set(FILE *monitor, const char *id, const char *name, uint64_t value);
int device_get(FILE *monitor, const char *id, const char *name, uint64_t *value);

#endif /* MACHINE_H */
