/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An exporter, whichever driver it has. The author of a driver implements
 * struct exporter_ops, adds it to the list in exporter.c, and has the tests
 * that use this header run on a device of his. GPU0 in the environment is its
 * PCI address.
 *
 * Functions return 0 (or a count) or a negative errno, unless they say
 * otherwise.
 */
#ifndef EXPORTER_H
#define EXPORTER_H

#include <stdbool.h>
#include <stddef.h>

struct exporter;

/**
 * struct exporter_ops - what the tests need of a driver
 * @driver: its name in /sys/bus/pci/drivers
 * @open: &exporter.fd is a file of the render node; set up what this process
 *	needs to have its memory on the device. Undo it if it fails. May be NULL
 * @close: the opposite; the file is closed afterwards. May be NULL
 * @place: move anonymous memory of this process to the device. It may leave
 *	pages out; the tests look where they are
 * @evict: move it back to RAM, without the CPU touching it. NULL: there is no
 *	call for that
 * @copy: have an engine copy memory, by its addresses in the process and to
 *	where it is, whole pages, and wait for it. NULL: there is no such
 *	engine, or no way to it
 */
struct exporter_ops {
	const char *driver;
	int (*open)(struct exporter *exp);
	void (*close)(struct exporter *exp);
	int (*place)(struct exporter *exp, void *addr, size_t size);
	int (*evict)(struct exporter *exp, void *addr, size_t size);
	int (*copy)(struct exporter *exp, void *dst, const void *src,
		    size_t size);
};

/**
 * struct exporter - an open exporter
 * @ops: of its driver
 * @bdf: PCI address
 * @fd: render node
 * @priv: of the driver's part
 */
struct exporter {
	const struct exporter_ops *ops;
	char bdf[32];
	int fd;
	void *priv;
};

extern const struct exporter_ops exporter_ivgpu, exporter_nouveau, exporter_xe;

/* ENODEV: no such device, or no driver that the tests know is bound to it */
int exporter_open(struct exporter *exp, const char *bdf);
/* Also after exporter_open() failed */
void exporter_close(struct exporter *exp);

/* All of the range is on the device afterwards, or -ENXIO. */
int exporter_place(struct exporter *exp, void *addr, size_t size);
/* None is; by @evict, or else by touching it */
int exporter_evict(struct exporter *exp, void *addr, size_t size);
/* By the engine; -EOPNOTSUPP if the driver has none */
int exporter_copy(struct exporter *exp, void *dst, const void *src,
		  size_t size);
/* Pages of this process that are not in RAM. Use no swap. */
long exporter_pages(const void *addr, size_t size);

/* May peers reach it? The administrator's switch in sysfs: 0 or 1 */
int exporter_consent_get(const char *bdf);
int exporter_consent(const char *bdf, bool on);
/* Binds it to its driver, or unbinds it; @exp is open or was open. */
int exporter_bind(struct exporter *exp, bool bind);

#endif /* EXPORTER_H */
