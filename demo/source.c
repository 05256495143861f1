// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "demo.h"
#include "source.h"

/* So long may an exporter take to make the memory reachable */
#define PATIENCE	100	/* tenths of a second */

int source_open(struct source *source)
{
	const char *bdf = getenv("GPU0");
	int ret = gpu_open(&source->gpu, 0);

	source->ivgpu = !ret;
	source->exp.fd = -1;
	if (ret != -ENODEV || !bdf)
		return ret;
	return exporter_open(&source->exp, bdf);
}

void source_close(struct source *source)
{
	if (source->ivgpu)
		gpu_close(&source->gpu);
	else
		exporter_close(&source->exp);
}

int source_consent_get(const struct source *source)
{
	return source->ivgpu ? gpu_consent_get() :
			       exporter_consent_get(source->exp.bdf);
}

int source_consent(const struct source *source, bool on)
{
	return source->ivgpu ? gpu_consent(on) :
			       exporter_consent(source->exp.bdf, on);
}

/* An exporter may begin to make room in its BAR when it is asked first. */
static int make_ready(struct source *source, struct rdma_end *end, void *mem,
		      size_t size)
{
	struct ibv_mr *mr = rdma_reg_odp(end, mem, size);
	int ret = -ETIMEDOUT, tries;

	if (!mr)
		return -errno;
	for (tries = 0; tries < PATIENCE; tries++) {
		ret = rdma_advise(end, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
				  IBV_ADVISE_MR_FLAG_FLUSH, mr, mem, size);
		if (ret || exporter_pages(mem, size) == (long)nr_pages(size))
			break;
		usleep(100000);
		ret = exporter_place(&source->exp, mem, size);
		if (ret)
			break;
		ret = -ETIMEDOUT;
	}
	ibv_dereg_mr(mr);
	return ret;
}

int source_fill(struct source *source, struct rdma_end *end, void *mem,
		size_t size, uint64_t seed, bool ready)
{
	int ret;

	if (source->ivgpu)
		return gpu_fill_vram(&source->gpu, mem, size, seed);
	pattern_fill(mem, size, seed, 0);
	ret = exporter_place(&source->exp, mem, size);
	return ret || !ready ? ret : make_ready(source, end, mem, size);
}

static int engine_sum(struct source *source, unsigned char *mem, size_t size,
		      uint64_t *sum)
{
	size_t off, len;
	int ret = 0;
	void *buf;

	buf = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return -errno;
	*sum = 0;
	for (off = 0; !ret && off < size; off += CHUNK) {
		len = size - off < CHUNK ? size - off : CHUNK;
		ret = exporter_copy(&source->exp, buf, mem + off, len);
		*sum += pattern_sum(buf, len, off / sizeof(uint64_t));
	}
	munmap(buf, CHUNK);
	return ret;
}

int source_sum(struct source *source, void *mem, size_t size, bool in_place,
	       uint64_t *sum)
{
	long there;
	int ret;

	if (source->ivgpu)
		return gpu_sum(&source->gpu, mem, size,
			       in_place ? IVGPU_JOB_FLAG_VRAM_ONLY : 0, sum);
	there = exporter_pages(mem, size);
	if (there < 0)
		return there;
	source->to_ram += nr_pages(size) - there;
	if (in_place && (size_t)there < nr_pages(size))
		return -ENXIO;
	ret = exporter_place(&source->exp, mem, size);
	if (ret)
		return ret;
	source->to_vram += nr_pages(size) - there;
	return engine_sum(source, mem, size, sum);
}

int source_counters(struct source *source, struct drm_ivgpu_counters *c)
{
	if (source->ivgpu)
		return gpu_counters(&source->gpu, c);
	memset(c, 0, sizeof(*c));
	c->pages_to_ram = source->to_ram;
	c->pages_to_vram = source->to_vram;
	return 0;
}
