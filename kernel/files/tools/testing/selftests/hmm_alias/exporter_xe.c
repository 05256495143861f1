// SPDX-License-Identifier: GPL-2.0
/*
 * xe as an exporter of the tests: a VM in fault mode that mirrors the process.
 * Prefetch moves memory, and a copy engine takes addresses of the process.
 */
#include <errno.h>
#include <stdlib.h>

#include "exporter.h"
#include "xe.h"

static int exp_open(struct exporter *exp)
{
	struct xe *xe = malloc(sizeof(*xe));
	int ret = -ENOMEM;

	if (!xe)
		return ret;
	ret = xe_open(xe, exp->fd);
	if (ret)
		free(xe);
	else
		exp->priv = xe;
	return ret;
}

static void exp_close(struct exporter *exp)
{
	xe_close(exp->priv);
	free(exp->priv);
}

static int exp_place(struct exporter *exp, void *addr, size_t size)
{
	return xe_prefetch(exp->priv, addr, size, XE_VRAM);
}

static int exp_evict(struct exporter *exp, void *addr, size_t size)
{
	return xe_prefetch(exp->priv, addr, size, XE_RAM);
}

/* A fault of the GPU would move it. So it is mapped before, where it is. */
static int map(struct xe *xe, void *addr, size_t size)
{
	long n = exporter_pages(addr, size);

	return n < 0 ? n : xe_prefetch(xe, addr, size, n ? XE_VRAM : XE_RAM);
}

static int exp_copy(struct exporter *exp, void *dst, const void *src,
		    size_t size)
{
	int ret = map(exp->priv, (void *)src, size);

	if (!ret)
		ret = map(exp->priv, dst, size);
	return ret ? ret : xe_copy(exp->priv, dst, src, size);
}

const struct exporter_ops exporter_xe = {
	.driver = "xe",
	.open = exp_open,
	.close = exp_close,
	.place = exp_place,
	.evict = exp_evict,
	.copy = exp_copy,
};
