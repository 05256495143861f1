// SPDX-License-Identifier: GPL-2.0
/*
 * Two devices migrate memory, and two more read and write it, while the process
 * does to it all that a process may do. At any time each byte is known.
 *
 *	alias_stress [SECONDS [SEED]]	20 s, another seed each time
 *
 * What changes the contents of a page, or looks at it, holds the page's lock.
 * What only moves it or maps it otherwise holds none, and races with all else.
 * SEED decides what each thread does; when it gets to it, the scheduler does.
 *
 * Needs two ivshmem-plain devices, an edu device (environment variable DMA0),
 * an RDMA device with on-demand paging, and swap.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/mman.h>
#include <lib/test_hmm_dma_uapi.h>

#include "../kselftest.h"
#include "alias_env.h"

#define PAGE		4096UL
#define WORDS		(PAGE / sizeof(uint64_t))
#define BLOCK		(2 * MIB)
#define BLOCK_PAGES	(BLOCK / PAGE)
#define NR_BLOCKS	8
#define SIZE		(NR_BLOCKS * BLOCK)
#define NR_PAGES	(SIZE / PAGE)
/* What one operation locks at most, unless it takes a block */
#define RUN		16
/* No operation takes so long, however slow the machine, unless it hangs. */
#define STUCK		180

/**
 * struct content - what is in a page
 * @seed: of ivgpu_pattern()
 * @first: index of the first word
 * @zero: all zero instead
 */
struct content {
	uint64_t seed;
	uint64_t first;
	bool zero;
};

static struct content content[NR_PAGES];
static pthread_mutex_t locks[NR_PAGES];
static unsigned char *mem;	/* SIZE bytes */
static unsigned char *aside;	/* where a block goes for a while */
static struct alias_gpu gpus[2];
static struct alias_end own, peer;
static unsigned char *stage;	/* the peer's memory, RUN pages */
static struct ibv_mr *stage_mr, *mr;
static uint64_t reconnects;
static int dma = -1;

static bool stop, failed;

#define MAX_OPS		5

/**
 * struct worker - one thread
 * @name: of the thread
 * @ops: what it does, in random order; ends with an empty one
 * @pause: at most so many us between two, for what is done quickly and would
 *	leave the others no time
 * @gpu: which of the devices, for those that use one
 * @nr_ops: number of @ops
 * @random: where it is in its random numbers
 * @done: how often it has done each
 * @total: the sum
 * @thread: the thread
 */
struct worker {
	const char *name;
	const struct op {
		const char *name;
		void (*run)(struct worker *w);
	} *ops;
	unsigned int pause;
	int gpu;
	int nr_ops;
	uint64_t random;
	uint64_t done[MAX_OPS];
	uint64_t total;
	pthread_t thread;
};

static void fail(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* The first one says it; the others may be its consequences. */
	if (!__atomic_exchange_n(&failed, true, __ATOMIC_SEQ_CST))
		ksft_print_msg("%s\n", text);
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
}

static uint64_t random_next(struct worker *w)
{
	return ivgpu_pattern(w->random++, 0);
}

static size_t below(struct worker *w, size_t n)
{
	return random_next(w) % n;
}

/* A run of pages, at most @max, across blocks as well */
static size_t pick(struct worker *w, size_t max, size_t *count)
{
	*count = 1 + below(w, max);
	return below(w, NR_PAGES - *count + 1);
}

static void lock(size_t page, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		pthread_mutex_lock(&locks[page + i]);
}

static void unlock(size_t page, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		pthread_mutex_unlock(&locks[page + i]);
}

static unsigned char *at(size_t page)
{
	return mem + page * PAGE;
}

static void expected(void *buf, const struct content *c)
{
	if (c->zero)
		memset(buf, 0, PAGE);
	else
		alias_pattern(buf, PAGE, c->seed, c->first);
}

static void set(size_t page, size_t count, uint64_t seed)
{
	size_t i;

	for (i = 0; i < count; i++)
		content[page + i] = (struct content){ seed, i * WORDS, false };
}

/* Returns the first wrong word of what should be page @page, or -1. */
static int wrong(const void *data, size_t page)
{
	const uint64_t *word = data;
	uint64_t want[WORDS];
	size_t i;

	expected(want, &content[page]);
	for (i = 0; i < WORDS; i++)
		if (word[i] != want[i])
			return i;
	return -1;
}

static void verify(const unsigned char *data, size_t page, size_t count,
		   const char *who)
{
	uint64_t want[WORDS];
	size_t i;
	int word;

	for (i = 0; i < count; i++) {
		word = wrong(data + i * PAGE, page + i);
		if (word < 0)
			continue;
		expected(want, &content[page + i]);
		fail("%s: page %zu word %d is %#llx, not %#llx (seed %#llx)",
		     who, page + i, word,
		     ((unsigned long long *)(data + i * PAGE))[word],
		     (unsigned long long)want[word],
		     (unsigned long long)content[page + i].seed);
		return;
	}
}

/* What the CPU does */

static void cpu_write(struct worker *w)
{
	size_t i, count, page = pick(w, RUN, &count);

	lock(page, count);
	set(page, count, random_next(w));
	for (i = 0; i < count; i++)
		expected(at(page + i), &content[page + i]);
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
	size_t i, count, page = pick(w, below(w, 8) ? RUN : BLOCK_PAGES, &count);

	lock(page, count);
	for (i = 0; i < count; i++)
		content[page + i].zero = true;
	if (madvise(at(page), count * PAGE, MADV_DONTNEED))
		fail("MADV_DONTNEED: %s", strerror(errno));
	unlock(page, count);
}

/* What the engines do */

static void place(struct worker *w, uint32_t where)
{
	size_t count, page = pick(w, 2 * BLOCK_PAGES, &count);
	long ret = alias_gpu_place(&gpus[w->gpu], at(page), count * PAGE,
				   where);

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
	ret = alias_gpu_fill(&gpus[w->gpu], at(page), count * PAGE, seed);
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
		expected(buf, &content[page + i]);
		want += alias_sum(buf, PAGE, i * WORDS);
	}
	ret = alias_gpu_sum(&gpus[w->gpu], at(page), count * PAGE,
			    below(w, 2) ? IVGPU_JOB_FLAG_NO_MIGRATE : 0, &sum);
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
	size_t i, count, from = pick(w, RUN, &count);
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
	for (i = 0; i < count; i++)
		content[to + i] = content[from + i];
	ret = alias_gpu_ioctl(&gpus[w->gpu], DRM_IOCTL_IVGPU_JOB, &job);
	if (ret)
		fail("copy, GPU %d: %s", w->gpu, strerror(-ret));
	unlock(high, count);
	unlock(low, count);
}

/* What the importers do */

static int rdma_connect(void)
{
	int ret = alias_end_connect(&own, &peer.addr);

	return ret ? ret : alias_end_connect(&peer, &own.addr);
}

static int rdma_reconnect(void)
{
	int ret = alias_end_reset(&own);

	if (!ret)
		ret = alias_end_reset(&peer);
	return ret ? ret : rdma_connect();
}

/*
 * The device gives up on a page that others take away all the time for one
 * second. That ends the connection, as no access at all does; on a slow machine
 * it happens, but not many times in a row.
 */
static void rdma(size_t page, size_t count, enum ibv_wr_opcode op)
{
	struct alias_wr wr = {
		.op = op,
		.mr = stage_mr,
		.local = stage,
		.len = count * PAGE,
		.remote = (uintptr_t)at(page),
		.rkey = mr->rkey,
	};
	int ret = alias_run(&peer, &wr);
	int tries = 10;

	while (ret == IBV_WC_REM_ACCESS_ERR && tries--) {
		__atomic_add_fetch(&reconnects, 1, __ATOMIC_RELAXED);
		ret = rdma_reconnect();
		if (!ret)
			ret = alias_run(&peer, &wr);
	}
	if (ret)
		fail("%s: page %zu, %zu pages: %d",
		     op == IBV_WR_RDMA_READ ? "RDMA READ" : "RDMA WRITE", page,
		     count, ret);
}

static void rdma_read(struct worker *w)
{
	size_t count, page = pick(w, RUN, &count);

	memset(stage, 0xa5, count * PAGE);
	lock(page, count);
	rdma(page, count, IBV_WR_RDMA_READ);
	verify(stage, page, count, "RDMA READ");
	unlock(page, count);
}

static void rdma_write(struct worker *w)
{
	size_t i, count, page = pick(w, RUN, &count);

	lock(page, count);
	set(page, count, random_next(w));
	for (i = 0; i < count; i++)
		expected(stage + i * PAGE, &content[page + i]);
	rdma(page, count, IBV_WR_RDMA_WRITE);
	unlock(page, count);
}

/* A piece of a page, between memory and the buffer in the device */
static bool dma_xfer(unsigned char *addr, uint64_t flags)
{
	struct hmm_dma_xfer xfer = {
		.addr = (uintptr_t)addr,
		.size = HMM_DMA_BUF_SIZE,
		.flags = flags,
	};

	int ret;

	/* Busy: others changed the page each time for one second. */
	do {
		ret = ioctl(dma, HMM_DMA_XFER, &xfer);
	} while (ret && errno == EBUSY);
	if (ret)
		fail("DMA: %s", strerror(errno));
	return !ret;
}

static void dma_read(struct worker *w)
{
	size_t off, count, page = pick(w, 1, &count);
	unsigned char buf[PAGE];

	lock(page, count);
	for (off = 0; off < PAGE; off += HMM_DMA_BUF_SIZE) {
		if (!dma_xfer(at(page) + off, 0))
			break;
		if (pread(dma, buf + off, HMM_DMA_BUF_SIZE, 0) !=
		    HMM_DMA_BUF_SIZE)
			fail("DMA buffer: %s", strerror(errno));
	}
	if (off == PAGE)
		verify(buf, page, count, "DMA");
	unlock(page, count);
}

static void dma_write(struct worker *w)
{
	size_t off, count, page = pick(w, 1, &count);
	unsigned char buf[PAGE];

	lock(page, count);
	set(page, count, random_next(w));
	expected(buf, &content[page]);
	for (off = 0; off < PAGE; off += HMM_DMA_BUF_SIZE) {
		if (pwrite(dma, buf + off, HMM_DMA_BUF_SIZE, 0) !=
		    HMM_DMA_BUF_SIZE)
			fail("DMA buffer: %s", strerror(errno));
		if (!dma_xfer(at(page) + off, HMM_DMA_WRITE))
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
	move_block(at(page), aside);
	if (below(w, 2))
		verify(aside, page, BLOCK_PAGES, "moved");
	if (below(w, 2) &&
	    alias_gpu_place(&gpus[below(w, 2)], aside, BLOCK,
			    IVGPU_PLACE_VRAM) < 0)
		fail("place what was moved");
	move_block(aside, at(page));
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

static uint64_t swapped;

static void pageout(struct worker *w)
{
	size_t count, page = pick(w, BLOCK_PAGES, &count);

	if (madvise(at(page), count * PAGE, MADV_PAGEOUT))
		fail("MADV_PAGEOUT: %s", strerror(errno));
	swapped += in_swap() / (PAGE / 1024);
}

static uint64_t collapsed;

static void collapse(struct worker *w)
{
	size_t page = below(w, NR_BLOCKS) * BLOCK_PAGES;

	/* Best effort: what is in VRAM, or busy, is not collapsed. */
	if (!madvise(at(page), BLOCK, MADV_COLLAPSE))
		__atomic_add_fetch(&collapsed, 1, __ATOMIC_RELAXED);
}

static void advise(struct worker *w)
{
	size_t page = below(w, NR_BLOCKS) * BLOCK_PAGES;

	if (madvise(at(page), BLOCK, below(w, 3) ? MADV_HUGEPAGE :
						  MADV_NOHUGEPAGE))
		fail("MADV_HUGEPAGE: %s", strerror(errno));
}

#define OP(function) { #function, function }

static const struct op gpu_ops[] = {
	OP(to_vram), OP(to_ram), OP(engine_fill), OP(engine_sum),
	OP(engine_copy), { }
}, cpu_ops[] = {
	OP(cpu_write), OP(cpu_read), OP(dontneed), { }
}, rdma_ops[] = {
	OP(rdma_read), OP(rdma_write), { }
}, dma_ops[] = {
	OP(dma_read), OP(dma_write), { }
}, fork_ops[] = {
	OP(fork_exit), { }
}, map_ops[] = {
	OP(move), OP(protect), { }
}, pageout_ops[] = {
	OP(pageout), { }
}, huge_ops[] = {
	OP(collapse), OP(advise), { }
};

static struct worker workers[] = {
	{ "gpu0", gpu_ops, 0, 0 },
	{ "gpu1", gpu_ops, 0, 1 },
	{ "cpu", cpu_ops, 20000 },
	{ "rdma", rdma_ops },
	{ "dma", dma_ops },
	{ "fork", fork_ops, 200000 },
	{ "map", map_ops, 200000 },
	{ "pageout", pageout_ops, 200000 },
	{ "huge", huge_ops, 200000 },
};

#define NR_WORKERS	(sizeof(workers) / sizeof(*workers))

static void *work(void *arg)
{
	struct worker *w = arg;
	size_t op;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		op = below(w, w->nr_ops);
		w->ops[op].run(w);
		w->done[op]++;
		__atomic_add_fetch(&w->total, 1, __ATOMIC_RELAXED);
		if (w->pause)
			usleep(below(w, w->pause));
	}
	return NULL;
}

/* What must have been provoked, or the run shows nothing. */
struct effects {
	uint64_t swapped_in, collapsed, to_vram[2], to_ram[2];
	uint64_t aliased;
};

static void effects_get(struct effects *e)
{
	struct drm_ivgpu_counters c;
	struct rusage usage;
	int i;

	memset(e, 0, sizeof(*e));
	getrusage(RUSAGE_SELF, &usage);
	e->swapped_in = usage.ru_majflt;
	e->collapsed = __atomic_load_n(&collapsed, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++) {
		if (alias_gpu_counters(&gpus[i], &c))
			ksft_exit_fail_msg("no counters\n");
		e->to_vram[i] = c.pages_to_vram;
		e->to_ram[i] = c.pages_to_ram;
		e->aliased += c.alias_pages;
	}
}

static unsigned char *map_blocks(size_t size)
{
	size_t map_size;
	void *map;
	unsigned char *p = alias_map(size, false, &map, &map_size);

	if (!p || madvise(p, size, MADV_HUGEPAGE))
		ksft_exit_fail_msg("no memory\n");
	return p;
}

static void set_up_rdma(void)
{
	int ret = alias_end_open(&own, NULL);

	if (ret == -ENODEV)
		ksft_exit_skip("no RDMA device with on-demand paging\n");
	if (!ret)
		ret = alias_end_open(&peer, NULL);
	if (!ret)
		ret = rdma_connect();
	if (ret)
		ksft_exit_fail_msg("RDMA: %s\n", strerror(-ret));

	stage = mmap(NULL, RUN * PAGE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (stage == MAP_FAILED)
		ksft_exit_fail_msg("no memory\n");
	stage_mr = ibv_reg_mr(peer.pd, stage, RUN * PAGE, ALIAS_ACCESS);
	mr = alias_reg_odp(&own, mem, SIZE);
	if (!stage_mr || !mr)
		ksft_exit_fail_msg("MR: %s\n", strerror(errno));
}

static void set_up_dma(void)
{
	struct hmm_dma_register reg = {
		.addr = (uintptr_t)mem,
		.size = SIZE,
		.flags = HMM_DMA_ALLOW_P2P,
	};
	const char *bdf = getenv("DMA0");
	char path[64];

	if (!bdf)
		ksft_exit_skip("no edu device\n");
	snprintf(path, sizeof(path), "/dev/hmm_dma-%s", bdf);
	dma = open(path, O_RDWR | O_CLOEXEC);
	if (dma < 0 || ioctl(dma, HMM_DMA_REGISTER, &reg))
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
}

static void set_up(void)
{
	size_t i;
	int ret;

	for (i = 0; i < 2; i++) {
		ret = alias_gpu_open(&gpus[i], i);
		if (ret == -ENODEV)
			ksft_exit_skip("no two ivshmem-plain devices\n");
		if (ret)
			ksft_exit_fail_msg("GPU: %s\n", strerror(-ret));
	}
	mem = map_blocks(SIZE);
	aside = map_blocks(BLOCK);
	for (i = 0; i < NR_PAGES; i++) {
		content[i].zero = true;
		pthread_mutex_init(&locks[i], NULL);
	}
	set_up_rdma();
	set_up_dma();
}

/* Has each thread done all that it does? */
static bool complete(void)
{
	size_t i;
	int j;

	for (i = 0; i < NR_WORKERS; i++)
		for (j = 0; j < workers[i].nr_ops; j++)
			if (!workers[i].done[j])
				return false;
	return __atomic_load_n(&collapsed, __ATOMIC_RELAXED);
}

/*
 * Until the time is over, or something fails, or nothing happens any more. A
 * slow machine gets more time to do each thing once.
 */
static void supervise(unsigned int seconds)
{
	uint64_t last[NR_WORKERS] = { 0 };
	unsigned int since[NR_WORKERS] = { 0 };
	unsigned int now;
	size_t i;

	for (now = 1; !__atomic_load_n(&stop, __ATOMIC_RELAXED); now++) {
		if (now > seconds && (complete() || now > 10 * seconds))
			return;
		sleep(1);
		for (i = 0; i < NR_WORKERS; i++) {
			uint64_t total = __atomic_load_n(&workers[i].total,
							 __ATOMIC_RELAXED);

			if (total != last[i])
				since[i] = now;
			else if (now - since[i] >= STUCK)
				fail("%s: stuck for %d s", workers[i].name,
				     STUCK);
			last[i] = total;
		}
		if (now % 60)
			continue;
		ksft_print_msg("%u s:", now);
		for (i = 0; i < NR_WORKERS; i++)
			printf(" %s %llu", workers[i].name,
			       (unsigned long long)last[i]);
		printf("\n");
	}
}

static void finish(void)
{
	struct timespec limit;
	size_t i;

	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < NR_WORKERS; i++) {
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += STUCK;
		if (pthread_timedjoin_np(workers[i].thread, NULL, &limit)) {
			fail("%s: does not end", workers[i].name);
			return;
		}
	}
	/* All of it, once more, with nothing racing */
	if (!__atomic_load_n(&failed, __ATOMIC_RELAXED))
		verify(mem, 0, NR_PAGES, "at the end");
}

static void result(const char *what, uint64_t count)
{
	ksft_print_msg("%s: %llu\n", what, (unsigned long long)count);
	ksft_test_result(count > 0, "%s\n", what);
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 1 ? atoi(argv[1]) : 20;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : time(NULL);
	struct effects before, after;
	unsigned int plan = 1 + 8;
	char name[64];
	size_t i;
	int j;

	ksft_print_header();
	for (i = 0; i < NR_WORKERS; i++) {
		while (workers[i].ops[workers[i].nr_ops].run)
			workers[i].nr_ops++;
		plan += workers[i].nr_ops;
	}
	set_up();
	ksft_set_plan(plan);
	ksft_print_msg("%u s, seed %llu\n", seconds, (unsigned long long)seed);
	effects_get(&before);

	for (i = 0; i < NR_WORKERS; i++) {
		workers[i].random = ivgpu_pattern(seed, i);
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			ksft_exit_fail_msg("no thread\n");
	}
	supervise(seconds);
	finish();
	ksft_test_result(!failed, "data\n");

	for (i = 0; i < NR_WORKERS; i++) {
		for (j = 0; j < workers[i].nr_ops; j++) {
			snprintf(name, sizeof(name), "%s.%s", workers[i].name,
				 workers[i].ops[j].name);
			result(name, workers[i].done[j]);
		}
	}
	effects_get(&after);
	result("pages seen in swap", swapped);
	result("pages swapped in", after.swapped_in - before.swapped_in);
	result("blocks collapsed", after.collapsed);
	result("pages to VRAM, GPU 0", after.to_vram[0] - before.to_vram[0]);
	result("pages to VRAM, GPU 1", after.to_vram[1] - before.to_vram[1]);
	result("pages to RAM, GPU 0", after.to_ram[0] - before.to_ram[0]);
	result("pages to RAM, GPU 1", after.to_ram[1] - before.to_ram[1]);
	result("pages aliased", after.aliased - before.aliased);
	ksft_print_msg("RDMA connected again: %llu\n",
		       (unsigned long long)reconnects);
	ksft_finished();
}
