/* SPDX-License-Identifier: GPL-2.0 */
/* Files of sysfs and tracefs, as text. Functions return 0 or -errno. */
#ifndef SYSFS_H
#define SYSFS_H

#include <stddef.h>

/* What there is in the file, without the newline at its end */
int sysfs_read(const char *path, char *buf, size_t size);
int sysfs_write(const char *path, const char *text);

#endif /* SYSFS_H */
