// SPDX-License-Identifier: GPL-2.0
/*
 * nouveau as an exporter of the tests: shared virtual memory (SVM) of a Pascal,
 * and its copy engine, which takes addresses of the process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <drm/nouveau_drm.h>

#include "exporter.h"
#include "mem.h"

/*
 * A part of the address space is left to the driver, for its buffers. Push
 * buffers have 40 bits of address.
 */
#define UNMANAGED	(1ULL << 32)
#define UNMANAGED_FROM	(1ULL << 36)
#define UNMANAGED_TO	(1ULL << 39)

#define PASCAL_DMA_COPY_A	0xc0b5
#define SUBCHANNEL		4
#define METHODS(mthd, count)	\
	(1U << 29 | (count) << 16 | SUBCHANNEL << 13 | (mthd) / 4)
#define SET_OBJECT		0x000
#define LAUNCH_DMA		0x300
#define OFFSET_IN_UPPER		0x400
/* Virtual addresses, pitch layouts, as many lines as LINE_COUNT says */
#define LAUNCH			0x386

struct svm {
	void *unmanaged;
	bool channel;
	int chid;
	uint32_t *push;		/* a page, which the engine reads */
	uint32_t push_bo;
};

static int nv_ioctl(struct exporter *exp, unsigned long req, void *arg)
{
	return ioctl(exp->fd, req, arg) ? -errno : 0;
}

/* Addresses that this process will not use. */
static void *reserve(void)
{
	uint64_t at;
	void *p;

	for (at = UNMANAGED_FROM; at < UNMANAGED_TO; at += UNMANAGED) {
		p = mmap((void *)(uintptr_t)at, UNMANAGED, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			 MAP_FIXED_NOREPLACE, -1, 0);
		if (p == (void *)(uintptr_t)at)
			return p;
		if (p != MAP_FAILED)
			munmap(p, UNMANAGED);
	}
	return NULL;
}

static int nouveau_open(struct exporter *exp)
{
	struct drm_nouveau_svm_init init = { .unmanaged_size = UNMANAGED };
	struct svm *svm = calloc(1, sizeof(*svm));
	int ret = -ENOMEM;

	if (!svm)
		return ret;
	svm->unmanaged = reserve();
	if (!svm->unmanaged)
		goto free;
	init.unmanaged_addr = (uintptr_t)svm->unmanaged;
	ret = nv_ioctl(exp, DRM_IOCTL_NOUVEAU_SVM_INIT, &init);
	if (ret)
		goto unmap;
	exp->priv = svm;
	return 0;

unmap:
	munmap(svm->unmanaged, UNMANAGED);
free:
	free(svm);
	return ret;
}

/* The addresses are in use until the file is closed, which comes next. */
static void nouveau_close(struct exporter *exp)
{
	struct svm *svm = exp->priv;

	if (svm->push)
		munmap(svm->push, PAGE);
	munmap(svm->unmanaged, UNMANAGED);
	free(svm);
}

static int nouveau_place(struct exporter *exp, void *addr, size_t size)
{
	struct drm_nouveau_svm_bind bind = {
		.header = (uint64_t)NOUVEAU_SVM_BIND_COMMAND__MIGRATE <<
			  NOUVEAU_SVM_BIND_COMMAND_SHIFT |
			  (uint64_t)NOUVEAU_SVM_BIND_TARGET__GPU_VRAM <<
			  NOUVEAU_SVM_BIND_TARGET_SHIFT,
		.va_start = (uintptr_t)addr,
		.va_end = (uintptr_t)addr + size,
		.npages = nr_pages(size),
	};

	return nv_ioctl(exp, DRM_IOCTL_NOUVEAU_SVM_BIND, &bind);
}

/* A channel of the copy engine, and a buffer for what it shall do */
static int channel_open(struct exporter *exp, struct svm *svm)
{
	struct drm_nouveau_channel_alloc chan = {
		.fb_ctxdma_handle = ~0U,
		.tt_ctxdma_handle = NOUVEAU_FIFO_ENGINE_CE,
	};
	struct drm_nouveau_gem_new bo = {
		.info = {
			.size = PAGE,
			.domain = NOUVEAU_GEM_DOMAIN_GART |
				  NOUVEAU_GEM_DOMAIN_MAPPABLE,
		},
	};
	void *p;
	int ret;

	if (!svm->channel) {
		ret = nv_ioctl(exp, DRM_IOCTL_NOUVEAU_CHANNEL_ALLOC, &chan);
		if (ret)
			return ret;
		svm->channel = true;
		svm->chid = chan.channel;
	}
	if (svm->push)
		return 0;
	ret = nv_ioctl(exp, DRM_IOCTL_NOUVEAU_GEM_NEW, &bo);
	if (ret)
		return ret;
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, exp->fd,
		 bo.info.map_handle);
	if (p == MAP_FAILED)
		return -errno;
	svm->push = p;
	svm->push_bo = bo.info.handle;
	return 0;
}

static int nouveau_copy(struct exporter *exp, void *dst, const void *src,
			size_t size)
{
	struct svm *svm = exp->priv;
	uint64_t from = (uintptr_t)src, to = (uintptr_t)dst;
	const uint32_t words[] = {
		METHODS(SET_OBJECT, 1), PASCAL_DMA_COPY_A,
		METHODS(OFFSET_IN_UPPER, 8), from >> 32, from, to >> 32, to,
		/* pitches, length and number of lines */
		PAGE, PAGE, PAGE, nr_pages(size),
		METHODS(LAUNCH_DMA, 1), LAUNCH,
	};
	struct drm_nouveau_gem_pushbuf_bo bo = {
		.read_domains = NOUVEAU_GEM_DOMAIN_GART,
		.valid_domains = NOUVEAU_GEM_DOMAIN_GART,
	};
	struct drm_nouveau_gem_pushbuf_push push = { .length = sizeof(words) };
	struct drm_nouveau_gem_pushbuf req = {
		.nr_buffers = 1,
		.buffers = (uintptr_t)&bo,
		.nr_push = 1,
		.push = (uintptr_t)&push,
	};
	struct drm_nouveau_gem_cpu_prep prep = {
		.flags = NOUVEAU_GEM_CPU_PREP_WRITE,
	};
	size_t i;
	int ret;

	ret = channel_open(exp, svm);
	if (ret)
		return ret;
	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		svm->push[i] = words[i];
	bo.handle = svm->push_bo;
	prep.handle = svm->push_bo;
	req.channel = svm->chid;
	ret = nv_ioctl(exp, DRM_IOCTL_NOUVEAU_GEM_PUSHBUF, &req);
	if (ret)
		return ret;
	return nv_ioctl(exp, DRM_IOCTL_NOUVEAU_GEM_CPU_PREP, &prep);
}

const struct exporter_ops exporter_nouveau = {
	.driver = "nouveau",
	.open = nouveau_open,
	.close = nouveau_close,
	.place = nouveau_place,
	.copy = nouveau_copy,
};
