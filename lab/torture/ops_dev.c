// SPDX-License-Identifier: GPL-2.0
/* ivgpu, test_hmm and test_hmm_dma */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <lib/test_hmm_uapi.h>

#include "dma.h"
#include "ops.h"

/* GPU @i, opened by this process; NULL: there is none */
static struct gpu *gpu(unsigned int i)
{
	struct gpu *g = &me.gpu[i % 2];

	pthread_mutex_lock(&me.opening);
	if (g->fd < 0 && gpu_open(g, i % 2))
		g->fd = -1;
	pthread_mutex_unlock(&me.opening);
	return g->fd < 0 ? NULL : g;
}

int op_place(const struct op *op)
{
	struct gpu *g = gpu(op->arg[0]);
	struct span s = op_span(op, 1);
	long ret;

	if (!g)
		return -ENODEV;
	ret = gpu_place(g, span_at(&s), s.n * PAGE, op->arg[4] % 3 ?
			IVGPU_PLACE_VRAM : IVGPU_PLACE_RAM);
	if (ret > (long)s.n)
		fail("PLACE: %ld of %u pages are in VRAM", ret, s.n);
	return ret < 0 ? ret : 0;
}

static int job(struct gpu *g, struct drm_ivgpu_job *args, unsigned int flags)
{
	int ret;

	args->flags = flags % 3;
	do {
		ret = gpu_ioctl(g, DRM_IOCTL_IVGPU_JOB, args);
	} while (ret == -EINTR);
	if (!ret && args->done != args->size)
		fail("job %u: %llu of %llu bytes done", args->op,
		     args->done, args->size);
	return ret;
}

static int fill_io(const struct op *op, const struct span *s, struct access *a)
{
	struct drm_ivgpu_job args = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)span_at(s),
		.size = s->n * PAGE,
		.value = a->fill,
	};

	return job(a->priv, &args, op->arg[4]);
}

int op_fill(const struct op *op)
{
	struct access a = { "FILL", fill_io, .write = true, .device = true,
			    .priv = gpu(op->arg[0]) };

	return a.priv ? span_access(op, op_span(op, 1), &a) : -ENODEV;
}

static bool known(const struct span *s)
{
	unsigned int i;

	for (i = s->page; i < s->page + s->n; i++)
		if (me.region[s->r].seed[i] == UNKNOWN)
			return false;
	return true;
}

/* What a CHECKSUM must give, if each word has @add added */
static uint64_t want_sum(const struct span *s, uint64_t add)
{
	const unsigned int words = PAGE / 8;
	uint64_t sum = 0, i;

	for (i = 0; i < s->n * words; i++)
		sum += (page_word(s->r, s->page + i / words, i % words) + add) *
		       (2 * i + 1);
	return sum;
}

static int checksum(struct gpu *g, const struct span *s, unsigned int flags,
		    uint64_t add)
{
	struct drm_ivgpu_job args = {
		.op = IVGPU_JOB_CHECKSUM,
		.dst = (uintptr_t)span_at(s),
		.size = s->n * PAGE,
	};
	bool can_tell = span_can(s, false) == YES && known(s);
	int ret = job(g, &args, flags);

	if (!ret && can_tell && args.result != want_sum(s, add))
		fail("CHECKSUM: p%u region %u: %u pages at %u sum up to %#llx, not %#llx",
		     me.id, s->r, s->n, s->page, args.result,
		     (unsigned long long)want_sum(s, add));
	return ret;
}

int op_sum(const struct op *op)
{
	struct gpu *g = gpu(op->arg[0]);
	struct span s = op_span(op, 1);
	bool wild = op->how & WILD;
	int ret;

	if (!g)
		return -ENODEV;
	span_enter(&s, wild);
	ret = checksum(g, &s, op->arg[4], 0);
	span_again(&s, wild);
	judge("CHECKSUM", ret, device_can(&s, false));
	span_leave(&s, wild);
	return ret;
}

/* To the next region, at the same place in it */
int op_copy(const struct op *op)
{
	struct gpu *g = gpu(op->arg[0]);
	struct span s = op_span(op, 1), to = s;
	bool wild = op->how & WILD;
	enum can can, from;
	unsigned int i;
	int ret;

	to.r = (s.r + 1) % NR_REGIONS;
	if (!g)
		return -ENODEV;
	struct drm_ivgpu_job args = {
		.op = IVGPU_JOB_COPY,
		.dst = (uintptr_t)span_at(&to),
		.src = (uintptr_t)span_at(&s),
		.size = s.n * PAGE,
	};
	spans_enter(&s, &to, wild);
	/* What others share may be of others. */
	if (me.region[s.r].kind == SHARED) {
		spans_again(&s, &to, wild);
		spans_leave(&s, &to, wild);
		return -EINVAL;
	}
	ret = job(g, &args, op->arg[4]);
	spans_again(&s, &to, wild);
	can = device_can(&to, true);
	from = device_can(&s, false);
	judge("COPY", ret, can == YES || from == NO ? from : can);
	for (i = 0; i < s.n; i++)
		page_set(to.r, to.page + i, ret ? UNKNOWN :
			 me.region[s.r].seed[s.page + i]);
	spans_leave(&s, &to, wild);
	return ret;
}

/* Adds something, looks, and takes it away again */
int op_add(const struct op *op)
{
	struct gpu *g = gpu(op->arg[0]);
	struct span s = op_span(op, 1);
	uint64_t value = fill_new();
	struct drm_ivgpu_job args = {
		.op = IVGPU_JOB_ADD,
		.dst = (uintptr_t)span_at(&s),
		.size = s.n * PAGE,
		.value = value,
	};
	int ret;

	if (!g)
		return -ENODEV;
	span_enter(&s, false);
	/* Half of it would be nobody's data. */
	if (device_can(&s, true) != YES || shared->tight || op->arg[4] % 3 == 2) {
		span_leave(&s, false);
		return -EBUSY;
	}
	ret = judge("ADD", job(g, &args, op->arg[4]), YES);
	if (!ret) {
		checksum(g, &s, op->arg[4], value);
		args.done = 0;
		args.value = -value;
		ret = judge("ADD", job(g, &args, op->arg[4]), YES);
	}
	if (ret && !TRY(memset(span_at(&s), 0, s.n * PAGE)))
		span_set(&s, ZERO);
	span_leave(&s, false);
	return ret;
}

int op_info(const struct op *op)
{
	struct drm_ivgpu_counters c;
	struct drm_ivgpu_info info;
	struct gpu *g = gpu(op->arg[0]);
	int ret;

	if (!g)
		return -ENODEV;
	ret = gpu_counters(g, &c);
	if (!ret && c.vram_pages_used > g->info.vram_size / PAGE)
		fail("COUNTERS: %llu pages of VRAM used", c.vram_pages_used);
	return ret ? ret : gpu_ioctl(g, DRM_IOCTL_IVGPU_GET_INFO, &info);
}

/*
 * Any ioctl of the node, with numbers at the edges of what makes sense. A job reads
 * only: what is written must be known.
 */
int op_drm(const struct op *op)
{
	const uint64_t edges[] = {
		0, 1, 8, PAGE, REGION_SIZE, 1ULL << 40, -1ULL, -PAGE,
		(uintptr_t)at(0, 0), (uintptr_t)at(1, 0), (uintptr_t)at(0, 1) + 4,
		1ULL << 32, 2, 3, 4, 5,
	};
	unsigned int nr = op->arg[1] / 2 % 0xd0, size = op->arg[2] % 256, i;
	struct gpu *g = gpu(op->arg[0]);
	uint64_t arg[32];

	if (!g)
		return -ENODEV;
	for (i = 0; i < 32; i++)
		arg[i] = edges[(op->arg[3] * (i + 1) >> i) % 16];
	if (op->arg[1] % 2) {
		nr = DRM_COMMAND_BASE + nr % 5;
		size = op->arg[2] % 4 ? 64 : size;
	}
	if (nr == DRM_COMMAND_BASE + DRM_IVGPU_JOB)
		arg[0] = IVGPU_JOB_CHECKSUM | arg[0] << 32;
	return gpu_ioctl(g, _IOC(_IOC_READ | _IOC_WRITE, DRM_IOCTL_BASE, nr, size),
			 arg);
}

/* Others may be inside: the number stays taken, by a file that is of no use. */
static void retire(int *fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	pthread_mutex_lock(&me.opening);
	if (*fd >= 0 && null >= 0)
		dup2(null, *fd);
	*fd = -1;
	pthread_mutex_unlock(&me.opening);
	close(null);
}

int op_close_gpu(const struct op *op)
{
	struct gpu *g = &me.gpu[op->arg[0] % 2];

	retire(&g->fd);
	return 0;
}

int op_consent(const struct op *op)
{
	return gpu_consent(op->arg[0] % 4);
}

int op_group(const struct op *op)
{
	return gpu_param_set("owner_group", op->arg[0] % 2 ? "Y" : "N");
}

/* test_hmm: a device of which each file mirrors a process */

static int dmirror(unsigned int i)
{
	char path[32];

	i %= 2;
	pthread_mutex_lock(&me.opening);
	if (me.dmirror[i] < 0) {
		snprintf(path, sizeof(path), "/dev/hmm_dmirror%u", i);
		me.dmirror[i] = open(path, O_RDWR | O_CLOEXEC);
	}
	pthread_mutex_unlock(&me.opening);
	return me.dmirror[i];
}

/* @data: what is read or written, of as many pages */
static int mirror(unsigned int i, unsigned long request, const struct span *s,
		  void *data)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)span_at(s),
		.ptr = (uintptr_t)data,
		.npages = s->n,
	};
	int fd = dmirror(i);

	if (fd < 0)
		return -ENODEV;
	return ioctl(fd, request, &cmd) ? -errno : 0;
}

/* Requests that change nothing but where pages are; what they read is not looked at. */
static int mirror_op(const struct op *op, unsigned long request)
{
	struct span s = op_span(op, 1);
	void *data = mmap(NULL, s.n * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret = mirror(op->arg[0], request, &s, data);

	munmap(data, s.n * PAGE);
	return ret;
}

int op_to_dev(const struct op *op)
{
	return mirror_op(op, op->arg[4] % 2 ? HMM_DMIRROR_FAULT_TO_DEV :
					      HMM_DMIRROR_MIGRATE_TO_DEV);
}

int op_to_sys(const struct op *op)
{
	return mirror_op(op, HMM_DMIRROR_MIGRATE_TO_SYS);
}

int op_snapshot(const struct op *op)
{
	return mirror_op(op, op->arg[4] % 4 ? HMM_DMIRROR_SNAPSHOT :
					      HMM_DMIRROR_CHECK_EXCLUSIVE);
}

/* The page of the mirror is not looked after if it is unmapped meanwhile. */
int op_exclusive(const struct op *op)
{
	return mirror_op(op, HMM_DMIRROR_EXCLUSIVE);
}

int op_release(const struct op *op)
{
	struct span s = { 0, 0, 1 };

	return mirror(op->arg[0], HMM_DMIRROR_RELEASE, &s, NULL);
}

int op_dev_flags(const struct op *op)
{
	static const unsigned int sets[] = {
		0, HMM_DMIRROR_FLAG_FAIL_ALLOC, HMM_DMIRROR_FLAG_FAIL_LARGE,
		HMM_DMIRROR_FLAG_FAULT_SMALL, HMM_DMIRROR_FLAG_FAULT,
		HMM_DMIRROR_FLAG_WRITE,
	};
	unsigned int set = op->arg[1], flags = sets[set % 6] | sets[set / 6 % 6];
	/* Which is where this one is passed */
	struct span s = { 0, 0, flags };

	/* It is nobody's fault whose access of such a page finds no memory. */
	if (flags & HMM_DMIRROR_FLAG_FAIL_ALLOC)
		shared->tight = true;
	return flags ? mirror(op->arg[0], HMM_DMIRROR_FLAGS, &s, NULL) : -EINVAL;
}

static int mirror_io(const struct op *op, const struct span *s, struct access *a)
{
	return mirror(op->arg[0], a->write ? HMM_DMIRROR_WRITE : op->arg[4] % 2 ?
		      HMM_DMIRROR_READ_UNLOCKED : HMM_DMIRROR_READ, s, a->data);
}

int op_dev_read(const struct op *op)
{
	struct access a = { "test_hmm READ", mirror_io, .device = true };

	return span_access(op, op_span(op, 1), &a);
}

int op_dev_write(const struct op *op)
{
	struct access a = { "test_hmm WRITE", mirror_io, .write = true,
			    .device = true };

	return span_access(op, op_span(op, 1), &a);
}

int op_close_dev(const struct op *op)
{
	retire(&me.dmirror[op->arg[0] % 2]);
	return 0;
}

/* test_hmm_dma: an importer with a DMA engine, which each file has one region of */

/* A new file has region @r, whoever wants it first. */
static int dma(unsigned int r, unsigned int flags)
{
	const char *bdf = getenv("DMA0");

	pthread_mutex_lock(&me.opening);
	if (me.dma < 0 && bdf) {
		me.dma = dma_open(bdf);
		if (me.dma >= 0)
			dma_register_as(me.dma, at(r % NR_REGIONS, 0), REGION_SIZE,
					flags);
	}
	pthread_mutex_unlock(&me.opening);
	return me.dma;
}

int op_dma_reg(const struct op *op)
{
	retire(&me.dma);
	return dma(op->arg[0], op->arg[1] % 4) < 0 ? -ENODEV : 0;
}

int op_dma_fault(const struct op *op)
{
	struct span s = op_span(op, 0);

	if (dma(s.r, HMM_DMA_ALLOW_P2P) < 0)
		return -ENODEV;
	return dma_fault(me.dma, span_at(&s), s.n * PAGE,
			 op->arg[3] % 8 ? NULL : span_at(&s));
}

/* A page, in two pieces. The buffer in the device is that of all processes. */
static int dma_io(const struct op *op, const struct span *s, struct access *a)
{
	int ret = 0, nobody = 0;
	unsigned int off;

	(void)op;
	while (!atomic_compare_exchange_strong(&shared->dma_owner, &nobody, getpid())) {
		nobody = 0;
		usleep(1000);
	}
	for (off = 0; !ret && off < PAGE; off += BUF) {
		if (a->write)
			ret = dma_buf_set(me.dma, a->data + off);
		if (!ret)
			ret = dma_xfer(me.dma, (uintptr_t)span_at(s) + off, BUF,
				       a->write ? HMM_DMA_WRITE : 0);
		if (!ret && !a->write)
			ret = dma_buf_get(me.dma, a->data + off);
	}
	shared->dma_owner = 0;
	return ret;
}

static int dma_page(const struct op *op, const char *who, bool write)
{
	struct span s = { op->arg[0] % NR_REGIONS, op->arg[1] % REGION_PAGES, 1 };
	/* It may be registered or not. */
	struct access a = { who, dma_io, .write = write, .device = true,
			    .unsure = true };

	return dma(s.r, HMM_DMA_ALLOW_P2P) < 0 ? -ENODEV : span_access(op, s, &a);
}

int op_dma_read(const struct op *op)
{
	return dma_page(op, "DMA read", false);
}

int op_dma_write(const struct op *op)
{
	return dma_page(op, "DMA write", true);
}

int op_dma_query(const struct op *op)
{
	struct hmm_dma_query query;

	if (dma(op->arg[0], HMM_DMA_ALLOW_P2P) < 0)
		return -ENODEV;
	return dma_query(me.dma, at(op->arg[0] % NR_REGIONS,
				    op->arg[1] % REGION_PAGES), &query);
}
