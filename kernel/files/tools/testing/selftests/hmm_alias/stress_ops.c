// SPDX-License-Identifier: GPL-2.0
/* What the threads of stress.c do. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/mman.h>

#include "stress.h"

/* What the CPU does */

static void cpu_write(struct worker *w)
{
	size_t i, count, page = pick(w, RUN, &count);

	lock(page, count);
	set(page, count, random_next(w));
	for (i = 0; i < count; i++)
		expected(at(page + i), page + i);
	unlock(page, count);
}

static void cpu_read(struct worker *w)
{
	size_t count, page = pick(w, RUN, &count);

	lock(page, count);
	verify(at(page), page, count, "CPU");
	unlock(page, count);
}

static void dontneed(struct worker *w)
{
	size_t count, page = pick(w, below(w, 8) ? RUN : BLOCK_PAGES, &count);

	lock(page, count);
	set_zero(page, count);
	if (madvise(at(page), count * PAGE, MADV_DONTNEED))
		fail("MADV_DONTNEED: %s", strerror(errno));
	unlock(page, count);
}

/* What the engines do */

static void place(struct worker *w, uint32_t where)
{
	size_t count, page = pick(w, 2 * BLOCK_PAGES, &count);
	long ret = gpu_place(&race.gpus[w->gpu], at(page), count * PAGE, where);

	if (ret < 0)
		fail("to %s, GPU %d: %s", where == IVGPU_PLACE_RAM ?
		     "RAM" : "VRAM", w->gpu, strerror(-ret));
}

static void to_vram(struct worker *w)
{
	place(w, IVGPU_PLACE_VRAM);
}

static void to_ram(struct worker *w)
{
	place(w, IVGPU_PLACE_RAM);
}

static void engine_fill(struct worker *w)
{
	size_t count, page = pick(w, RUN, &count);
	uint64_t seed = random_next(w);
	int ret;

	lock(page, count);
	set(page, count, seed);
	ret = gpu_fill(&race.gpus[w->gpu], at(page), count * PAGE, seed);
	if (ret)
		fail("fill, GPU %d: %s", w->gpu, strerror(-ret));
	unlock(page, count);
}

static void engine_sum(struct worker *w)
{
	size_t i, count, page = pick(w, RUN, &count);
	uint64_t buf[WORDS], sum, want = 0;
	int ret;

	lock(page, count);
	for (i = 0; i < count; i++) {
		expected(buf, page + i);
		want += pattern_sum(buf, PAGE, i * WORDS);
	}
	ret = gpu_sum(&race.gpus[w->gpu], at(page), count * PAGE, below(w, 2) ?
		      IVGPU_JOB_FLAG_NO_MIGRATE : 0, &sum);
	if (ret)
		fail("checksum, GPU %d: %s", w->gpu, strerror(-ret));
	else if (sum != want)
		fail("GPU %d: %zu pages at %zu sum up to %#llx, not %#llx",
		     w->gpu, count, page, (unsigned long long)sum,
		     (unsigned long long)want);
	unlock(page, count);
}

static void engine_copy(struct worker *w)
{
	size_t count, from = pick(w, RUN, &count);
	size_t to = below(w, NR_PAGES - count + 1);
	size_t low = from < to ? from : to, high = from < to ? to : from;
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_COPY,
		.dst = (uintptr_t)at(to),
		.src = (uintptr_t)at(from),
		.size = count * PAGE,
	};
	int ret;

	/* Overlapping ranges are refused. */
	if (high < low + count)
		return;
	lock(low, count);
	lock(high, count);
	set_copy(to, from, count);
	ret = gpu_ioctl(&race.gpus[w->gpu], DRM_IOCTL_IVGPU_JOB, &job);
	if (ret)
		fail("copy, GPU %d: %s", w->gpu, strerror(-ret));
	unlock(high, count);
	unlock(low, count);
}

/* What the importers do */

/* No access fails, and with it the connection, because others move the page. */
static void rdma(size_t page, size_t count, enum ibv_wr_opcode op)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = race.stage_mr,
		.local = race.stage,
		.len = count * PAGE,
		.remote = (uintptr_t)at(page),
		.rkey = race.mr->rkey,
	};
	int ret = rdma_run(&race.peer, &wr);

	if (ret)
		fail("%s: page %zu, %zu pages: %d",
		     op == IBV_WR_RDMA_READ ? "RDMA READ" : "RDMA WRITE", page,
		     count, ret);
}

static void rdma_read(struct worker *w)
{
	size_t count, page = pick(w, RUN, &count);

	memset(race.stage, 0xa5, count * PAGE);
	lock(page, count);
	rdma(page, count, IBV_WR_RDMA_READ);
	verify(race.stage, page, count, "RDMA READ");
	unlock(page, count);
}

static void rdma_write(struct worker *w)
{
	size_t i, count, page = pick(w, RUN, &count);

	lock(page, count);
	set(page, count, random_next(w));
	for (i = 0; i < count; i++)
		expected(race.stage + i * PAGE, page + i);
	rdma(page, count, IBV_WR_RDMA_WRITE);
	unlock(page, count);
}

/* A piece of a page, between memory and the buffer in the device */
static bool dma_piece(unsigned char *addr, uint64_t flags)
{
	int ret;

	/* Busy: others changed the page each time for one second. */
	do {
		ret = dma_xfer(race.dma, (uintptr_t)addr, BUF, flags);
	} while (ret == -EBUSY);
	if (ret)
		fail("DMA: %s", strerror(-ret));
	return !ret;
}

static void dma_read_page(struct worker *w)
{
	size_t off, count, page = pick(w, 1, &count);
	unsigned char buf[PAGE];

	lock(page, count);
	for (off = 0; off < PAGE; off += BUF) {
		if (!dma_piece(at(page) + off, 0))
			break;
		if (dma_buf_get(race.dma, buf + off))
			fail("DMA buffer: read");
	}
	if (off == PAGE)
		verify(buf, page, count, "DMA");
	unlock(page, count);
}

static void dma_write_page(struct worker *w)
{
	size_t off, count, page = pick(w, 1, &count);
	unsigned char buf[PAGE];

	lock(page, count);
	set(page, count, random_next(w));
	expected(buf, page);
	for (off = 0; off < PAGE; off += BUF) {
		if (dma_buf_set(race.dma, buf + off))
			fail("DMA buffer: write");
		if (!dma_piece(at(page) + off, HMM_DMA_WRITE))
			break;
	}
	unlock(page, count);
}

/* What the process does to its mapping */

/*
 * The child has what was there when it was made. Other threads may hold locks
 * then, of malloc() as well, so it does nothing but look and write. It says
 * in its exit code what it saw.
 */
static void fork_child(size_t page, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (i % 2)
			memset(at(page + i), 0xcc, PAGE);
		else if (wrong(at(page + i), page + i) >= 0)
			_exit(1);
	}
	/* The parent's threads went on; this is still the child's. */
	for (i = 0; i < count; i++) {
		if (i % 2) {
			const unsigned char *p = at(page + i);

			if (p[0] != 0xcc || memcmp(p, p + 1, PAGE - 1))
				_exit(2);
		} else if (wrong(at(page + i), page + i) >= 0) {
			_exit(3);
		}
	}
	_exit(0);
}

static void fork_exit(struct worker *w)
{
	size_t count, page = pick(w, 4 * RUN, &count);
	int status = 0;
	pid_t pid;

	lock(page, count);
	pid = fork();
	if (!pid)
		fork_child(page, count);
	unlock(page, count);
	if (pid < 0)
		fail("fork: %s", strerror(errno));
	else if (waitpid(pid, &status, 0) != pid || status)
		fail("child of pages %zu to %zu: status %#x", page,
		     page + count - 1, status);
}

/* DONTUNMAP, so that nobody else gets the address meanwhile. */
static void move_block(unsigned char *from, unsigned char *to)
{
	if (mremap(from, BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED |
		   MREMAP_DONTUNMAP, to) != to)
		fail("mremap: %s", strerror(errno));
}

static void move(struct worker *w)
{
	size_t page = below(w, NR_BLOCKS) * BLOCK_PAGES;

	lock(page, BLOCK_PAGES);
	move_block(at(page), race.aside);
	if (below(w, 2))
		verify(race.aside, page, BLOCK_PAGES, "moved");
	if (below(w, 2) && gpu_place(&race.gpus[below(w, 2)], race.aside, BLOCK,
				     IVGPU_PLACE_VRAM) < 0)
		fail("place what was moved");
	move_block(race.aside, at(page));
	unlock(page, BLOCK_PAGES);
}

static void protect(struct worker *w)
{
	size_t count, page = pick(w, 8 * RUN, &count);
	bool none = below(w, 2);

	lock(page, count);
	if (mprotect(at(page), count * PAGE, none ? PROT_NONE : PROT_READ))
		fail("mprotect: %s", strerror(errno));
	else if (!none)
		verify(at(page), page, count, "read-only");
	if (mprotect(at(page), count * PAGE, PROT_READ | PROT_WRITE))
		fail("mprotect: %s", strerror(errno));
	unlock(page, count);
}

/* kB of this process that are in swap now */
static uint64_t in_swap(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	uint64_t value = 0;
	char line[128];

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmSwap: %lu", &value) == 1)
			break;
	fclose(f);
	return value;
}

static void pageout(struct worker *w)
{
	size_t count, page = pick(w, BLOCK_PAGES, &count);

	if (madvise(at(page), count * PAGE, MADV_PAGEOUT))
		fail("MADV_PAGEOUT: %s", strerror(errno));
	race.swapped += in_swap() / (PAGE / 1024);
}

static void collapse(struct worker *w)
{
	size_t page = below(w, NR_BLOCKS) * BLOCK_PAGES;

	/* Best effort: what is in VRAM, or busy, is not race.collapsed. */
	if (!madvise(at(page), BLOCK, MADV_COLLAPSE))
		__atomic_add_fetch(&race.collapsed, 1, __ATOMIC_RELAXED);
}

static void advise(struct worker *w)
{
	size_t page = below(w, NR_BLOCKS) * BLOCK_PAGES;

	if (madvise(at(page), BLOCK, below(w, 3) ? MADV_HUGEPAGE :
		    MADV_NOHUGEPAGE))
		fail("MADV_HUGEPAGE: %s", strerror(errno));
}

#define OP(function) { #function, function }

const struct op gpu_ops[] = {
	OP(to_vram), OP(to_ram), OP(engine_fill), OP(engine_sum),
	OP(engine_copy), { }
}, cpu_ops[] = {
	OP(cpu_write), OP(cpu_read), OP(dontneed), { }
}, rdma_ops[] = {
	OP(rdma_read), OP(rdma_write), { }
}, dma_ops[] = {
	{ "dma_read", dma_read_page }, { "dma_write", dma_write_page }, { }
}, fork_ops[] = {
	OP(fork_exit), { }
}, map_ops[] = {
	OP(move), OP(protect), { }
}, pageout_ops[] = {
	OP(pageout), { }
}, huge_ops[] = {
	OP(collapse), OP(advise), { }
};
