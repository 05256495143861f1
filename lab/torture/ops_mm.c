// SPDX-License-Identifier: GPL-2.0
/* What a process does to its memory, and to itself */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "ops.h"
#include "sysfs.h"

#define RW		(PROT_READ | PROT_WRITE)
/* What programs leave to the rest of the system */
#define SPARE		(192 * MIB)
#define SPARSE		(128 * MIB)

/* To change a mapping */
static void layout_enter(const struct span *s, bool wild)
{
	pthread_mutex_lock(&me.layout);
	span_enter(s, wild);
}

static void layout_leave(const struct span *s, bool wild)
{
	span_leave(s, wild);
	pthread_mutex_unlock(&me.layout);
}

int op_map(const struct op *op)
{
	struct span s = { op->arg[0] % NR_REGIONS, 0, REGION_PAGES };
	bool wild = op->how & WILD;
	struct region *reg = &me.region[s.r];
	enum kind kind = op->arg[1] % 3;
	int flags = MAP_FIXED | (kind == SHARED ? MAP_SHARED : MAP_PRIVATE);
	int fd = -1, ret = 0;

	layout_enter(&s, wild);
	if (kind == PRIVATE_FILE) {
		fd = memfd_create("torture", MFD_CLOEXEC);
		if (fd < 0 || ftruncate(fd, REGION_SIZE))
			ret = -errno;
	} else {
		flags |= MAP_ANONYMOUS | MAP_NORESERVE;
	}
	if (!ret && mmap(span_at(&s), REGION_SIZE, RW, flags, fd, 0) == MAP_FAILED)
		ret = -errno;
	if (!ret && op->arg[2])
		madvise(span_at(&s), REGION_SIZE,
			op->arg[2] % 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (fd >= 0)
		close(fd);
	span_again(&s, wild);
	if (!ret) {
		reg->kind = kind;
		reg->dontfork = reg->wipe = reg->uffd = false;
		span_prot(&s, RW);
		span_set(&s, ZERO);
	}
	layout_leave(&s, wild);
	return ret;
}

static int cpu_write(const struct op *op, const struct span *s, struct access *a)
{
	(void)op;
	return TRY(memcpy(span_at(s), a->data, s->n * PAGE)) ? -EFAULT : 0;
}

int op_write(const struct op *op)
{
	struct access a = { "CPU write", cpu_write, .write = true };

	return span_access(op, op_span(op, 0), &a);
}

/* Pages that can be read, or that cannot, as many as there are in a row */
static unsigned int alike(const struct span *s)
{
	const uint8_t *prot = &me.region[s->r].prot[s->page];
	unsigned int n;

	for (n = 1; n < s->n; n++)
		if ((prot[n] ^ prot[0]) & (PROT_READ | GUARD | NOMAP))
			break;
	return n;
}

static int look(const struct span *s, bool all)
{
	volatile const char *p = (volatile const char *)span_at(s);

	/* What cannot be read has no contents. */
	if (span_can(s, false) == NO)
		return TRY((void)*p) ? -EFAULT : 0;
	return TRY(span_verify("CPU", s, span_at(s), 0, all)) ? -EFAULT : 0;
}

int op_check(const struct op *op)
{
	struct span s = op_span(op, 0), part = s;
	bool wild = op->how & WILD, all = !op->arg[3];
	int ret = 0;

	span_enter(&s, wild);
	for (part.n = 0; part.page < s.page + s.n; part.page += part.n) {
		part.n = s.page + s.n - part.page;
		part.n = alike(&part);
		ret = look(&part, all);
		if (!wild)
			judge("CPU read", ret, span_can(&part, false));
	}
	span_again(&s, wild);
	span_leave(&s, wild);
	return ret;
}

int op_unmap(const struct op *op)
{
	struct span s = op_span(op, 0);
	bool wild = op->how & WILD;
	int ret;

	layout_enter(&s, wild);
	ret = munmap(span_at(&s), s.n * PAGE) ? -errno : 0;
	span_again(&s, wild);
	if (!ret) {
		span_prot(&s, NOMAP);
		span_set(&s, ZERO);
	}
	layout_leave(&s, wild);
	return ret;
}

enum effect { KEEP, DROP, MAY_DROP, GUARD_ON, GUARD_OFF, OF_REGION };

static const struct {
	int advice;
	enum effect effect;
} advices[] = {
	{ MADV_DONTNEED, DROP }, { MADV_FREE, MAY_DROP }, { MADV_PAGEOUT, KEEP },
	{ MADV_COLD, KEEP }, { MADV_HUGEPAGE, KEEP }, { MADV_NOHUGEPAGE, KEEP },
	{ MADV_COLLAPSE, KEEP }, { MADV_POPULATE_READ, KEEP },
	{ MADV_POPULATE_WRITE, KEEP }, { MADV_WILLNEED, KEEP },
	{ MADV_RANDOM, KEEP }, { MADV_SEQUENTIAL, KEEP }, { MADV_MERGEABLE, KEEP },
	{ MADV_REMOVE, MAY_DROP }, { MADV_DONTNEED_LOCKED, DROP },
	{ MADV_GUARD_INSTALL, GUARD_ON }, { MADV_GUARD_REMOVE, GUARD_OFF },
	{ MADV_DONTFORK, OF_REGION }, { MADV_DOFORK, OF_REGION },
	{ MADV_WIPEONFORK, OF_REGION }, { MADV_KEEPONFORK, OF_REGION },
	/* Not advice, but the same arguments */
	{ -1, KEEP }, { -2, KEEP },
};

static void guard_span(const struct span *s, bool on)
{
	uint8_t *prot = me.region[s->r].prot;
	unsigned int i;

	for (i = s->page; i < s->page + s->n; i++) {
		if (prot[i] & NOMAP)
			continue;
		/* The page is not there any more, and not back at once. */
		if (on && !(prot[i] & GUARD))
			page_set(s->r, i, ZERO);
		prot[i] = on ? prot[i] | GUARD : prot[i] & ~GUARD;
	}
}

static void region_advised(struct region *reg, int advice, int ret)
{
	/* Holes do not keep the rest from being advised. */
	if (ret && ret != -ENOMEM)
		return;
	if (advice == MADV_DONTFORK || advice == MADV_DOFORK)
		reg->dontfork = advice == MADV_DONTFORK;
	else
		reg->wipe = advice == MADV_WIPEONFORK;
}

int op_advise(const struct op *op)
{
	unsigned int what = op->arg[3] % (sizeof(advices) / sizeof(*advices));
	enum effect effect = advices[what].effect;
	int advice = advices[what].advice, ret;
	struct span s = op_span(op, 0);
	/* What is changed here is not what others may find changing. */
	bool wild = op->how & WILD && (effect == DROP || effect == MAY_DROP ||
				       effect == KEEP);

	if (effect == OF_REGION)
		s = (struct span){ s.r, 0, REGION_PAGES };
	/* What only moves pages, or maps them otherwise, races with all else. */
	if (effect != KEEP)
		layout_enter(&s, wild);
	if (advice == -1)
		ret = mlock(span_at(&s), s.n * PAGE);
	else if (advice == -2)
		ret = munlock(span_at(&s), s.n * PAGE);
	else
		ret = madvise(span_at(&s), s.n * PAGE, advice);
	ret = ret ? -errno : 0;
	if (effect == KEEP)
		return ret;
	span_again(&s, wild);
	if (effect == OF_REGION)
		region_advised(&me.region[s.r], advice, ret);
	else if (effect == GUARD_OFF || (effect == GUARD_ON && !ret))
		guard_span(&s, effect == GUARD_ON);
	else
		span_set(&s, ret || effect != DROP ? UNKNOWN : ZERO);
	/* Some of it may be guarded. */
	if (effect == GUARD_ON && ret && madvise(span_at(&s), s.n * PAGE,
						 MADV_GUARD_REMOVE) && errno != ENOMEM)
		fail("MADV_GUARD_REMOVE: %s", strerror(errno));
	layout_leave(&s, wild);
	return ret;
}

static int protect(const struct op *op, int prot, int key)
{
	struct span s = op_span(op, 0);
	uint8_t *prots = &me.region[s.r].prot[s.page];
	bool wild = op->how & WILD;
	unsigned int i, n;
	int ret;

	layout_enter(&s, wild);
	/* A hole would end it half-way. */
	for (n = 0; n < s.n && !(prots[n] & NOMAP); n++)
		;
	if (key >= 0)
		ret = pkey_mprotect(span_at(&s), n * PAGE, prot, key);
	else
		ret = mprotect(span_at(&s), n * PAGE, prot);
	ret = ret ? -errno : 0;
	span_again(&s, wild);
	for (i = 0; !ret && i < n; i++)
		prots[i] = (prots[i] & GUARD) | prot;
	layout_leave(&s, wild);
	return ret;
}

int op_protect(const struct op *op)
{
	static const int prots[] = { PROT_NONE, PROT_READ, RW };

	return protect(op, prots[op->arg[3] % 3], -1);
}

/* A key that allows all: the mapping is cut, and its page table entries differ. */
int op_pkey(const struct op *op)
{
	int ret, key = pkey_alloc(0, 0);

	if (key < 0)
		return -errno;
	ret = protect(op, RW, key);
	pkey_free(key);
	return ret;
}

static bool has_hole(const struct span *s)
{
	unsigned int i;

	for (i = s->page; i < s->page + s->n; i++)
		if (me.region[s->r].prot[i] & NOMAP)
			return true;
	return false;
}

int op_move(const struct op *op)
{
	struct span from = { op->arg[0] % NR_REGIONS,
			     op->arg[1] % NR_BLOCKS * BLOCK_PAGES, BLOCK_PAGES };
	struct span to = { op->arg[2] % NR_REGIONS,
			   op->arg[3] % NR_BLOCKS * BLOCK_PAGES, BLOCK_PAGES };
	struct region *a = &me.region[from.r], *b = &me.region[to.r];
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED |
		    (op->arg[4] % 2 ? MREMAP_DONTUNMAP : 0);
	int ret = -EINVAL;
	unsigned int i;

	pthread_mutex_lock(&me.layout);
	spans_enter(&from, &to, false);
	/* The flags of a region are those of all of it. */
	if ((from.r == to.r && from.page == to.page) || a->kind != ANON ||
	    b->kind != ANON || a->dontfork || a->wipe || a->uffd ||
	    b->dontfork || b->wipe || b->uffd || has_hole(&from))
		goto out;
	ret = mremap(span_at(&from), BLOCK_PAGES * PAGE, BLOCK_PAGES * PAGE,
		     flags, span_at(&to)) == MAP_FAILED ? -errno : 0;
	if (ret) {
		/* There may be anything at either place now. */
		for (i = 0; i < 2; i++) {
			struct span *s = i ? &to : &from;

			if (munmap(span_at(s), BLOCK_PAGES * PAGE))
				fail("munmap: %s", strerror(errno));
			span_set(s, ZERO);
			span_prot(s, NOMAP);
		}
		goto out;
	}
	for (i = 0; i < BLOCK_PAGES; i++) {
		uint64_t *seed = &a->seed[from.page + i];
		uint8_t *prot = &a->prot[from.page + i];

		if (me.block[from.r * NR_BLOCKS + from.page / BLOCK_PAGES].wild)
			*seed = UNKNOWN;
		page_set(to.r, to.page + i, *seed);
		b->prot[to.page + i] = *prot;
		page_set(from.r, from.page + i, ZERO);
		*prot = op->arg[4] % 2 ? *prot & ~GUARD : NOMAP;
	}
out:
	spans_leave(&from, &to, false);
	pthread_mutex_unlock(&me.layout);
	return ret;
}

/* Ends all waiting, some time after it began */
static void *uffd_serve(void *arg)
{
	struct uffdio_writeprotect wp = { .range.len = PAGE };
	struct uffdio_zeropage zero = { .range.len = PAGE };
	struct uffd_msg msg;
	uint64_t addr;
	int fd = (intptr_t)arg;

	for (;;) {
		if (uffd_next(fd, 1000, &msg) || msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		addr = msg.arg.pagefault.address & -PAGE;
		usleep(addr / PAGE % 64 ? 0 : 3000);
		wp.range.start = zero.range.start = addr;
		if (msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
			ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
		else if (ioctl(fd, UFFDIO_ZEROPAGE, &zero))
			ioctl(fd, UFFDIO_WAKE, &zero.range);
	}
	return NULL;
}

static int uffd_open(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	pthread_t thread;
	int ret = 0;

	pthread_mutex_lock(&me.opening);
	if (me.uffd < 0) {
		me.uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		if (me.uffd < 0 || ioctl(me.uffd, UFFDIO_API, &api) ||
		    pthread_create(&thread, NULL, uffd_serve,
				   (void *)(intptr_t)me.uffd)) {
			ret = -errno;
			close(me.uffd);
			me.uffd = -1;
		}
	}
	pthread_mutex_unlock(&me.opening);
	return ret;
}

int op_uffd(const struct op *op)
{
	struct span s = op_span(op, 0);
	struct uffdio_register reg = {
		.range = { (uintptr_t)span_at(&s), s.n * PAGE },
		.mode = op->arg[3] % 2 ? UFFDIO_REGISTER_MODE_WP :
					 UFFDIO_REGISTER_MODE_MISSING,
	};
	struct uffdio_writeprotect wp = {
		.range = reg.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int ret = uffd_open();

	if (ret)
		return ret;
	layout_enter(&s, false);
	/* What is missing is given as UFFDIO_ZEROPAGE, which files do not have. */
	if (me.region[s.r].kind != ANON)
		ret = -EINVAL;
	else if (op->arg[3] % 3 == 2)
		ret = ioctl(me.uffd, UFFDIO_UNREGISTER, &reg.range) ? -errno : 0;
	else
		ret = ioctl(me.uffd, UFFDIO_REGISTER, &reg) ? -errno : 0;
	/* A part may be registered, also after an error. */
	me.region[s.r].uffd |= me.region[s.r].kind == ANON;
	layout_leave(&s, false);
	if (!ret && op->arg[3] % 3 == 1)
		ret = ioctl(me.uffd, UFFDIO_WRITEPROTECT, &wp) ? -errno : 0;
	return ret;
}

int op_mbind(const struct op *op)
{
	struct span s = op_span(op, 0);
	unsigned long nodes = 1;
	int ret;

	if (op->arg[3] % 2)
		ret = syscall(SYS_migrate_pages, 0, 8UL, &nodes, &nodes);
	else
		ret = syscall(SYS_mbind, span_at(&s), s.n * PAGE, 2 /* BIND */,
			      &nodes, 8UL, 2 /* MOVE */);
	return ret < 0 ? -errno : 0;
}

int op_thp(const struct op *op)
{
	static const char *const modes[] = { "madvise", "always", "never" };

	return sysfs_write("/sys/kernel/mm/transparent_hugepage/enabled",
			   modes[op->arg[0] % 3]);
}

int op_compact(const struct op *op)
{
	if (op->arg[0] % 2)
		return sysfs_write("/proc/sys/vm/drop_caches", "3");
	return sysfs_write("/proc/sys/vm/compact_memory", "1");
}

/*
 * Takes memory from all others. @sparse: what is left is in single pages, because
 * each second one of the last that were taken is given back.
 */
static int hog(char *p, size_t size, bool sparse)
{
	size_t small = sparse && size > SPARSE ? SPARSE : 0, i;

	/* A child has a hog of its own, or none. */
	madvise(p, size, MADV_DONTFORK);
	madvise(p, size - small, MADV_HUGEPAGE);
	madvise(p + size - small, small, MADV_NOHUGEPAGE);
	if (madvise(p, size, MADV_POPULATE_WRITE))
		return -errno;
	for (i = size - small; i < size; i += 2 * PAGE)
		madvise(p + i, PAGE, MADV_DONTNEED);
	return 0;
}

/* Gives back what was taken before, and takes @mb, or what can be spared. */
int op_hog(const struct op *op)
{
	bool sparse = op->arg[1] % 2;
	size_t size = op->arg[0] % 2048 * MIB & -(2 * MIB), room = 0;
	size_t spare = sparse ? SPARE - SPARSE / 2 : SPARE;
	struct sysinfo info;
	int ret = 0;

	pthread_mutex_lock(&me.opening);
	if (me.hog)
		munmap(me.hog, me.hogged);
	me.hog = NULL;
	sysinfo(&info);
	if (info.freeram * info.mem_unit > spare)
		room = info.freeram * info.mem_unit - spare;
	if (size > room)
		size = room & -(2 * MIB);
	if (size) {
		shared->tight = true;
		me.hogged = size;
		me.hog = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS |
			      MAP_NORESERVE, -1, 0);
		if (me.hog == MAP_FAILED)
			me.hog = NULL;
		ret = me.hog ? hog(me.hog, size, sparse) : -ENOMEM;
	}
	pthread_mutex_unlock(&me.opening);
	return ret;
}

int op_rest(const struct op *op)
{
	usleep(op->arg[0] % 20000);
	return 0;
}

/* The child goes on as a process of its own, with what its parent had. */
int op_fork(const struct op *op)
{
	unsigned int slot = shared->box[me.id][thread_id].child, i;
	unsigned int token = shared->proc[slot].token;
	pid_t pid;

	(void)op;
	pthread_mutex_lock(&me.layout);
	blocks_lock(true);
	pthread_mutex_lock(&me.opening);
	pid = fork();
	if (!pid) {
		content_fork();
		pthread_mutex_init(&me.layout, NULL);
		pthread_mutex_init(&me.opening, NULL);
		/* The parent's files stay open, and are of no use. */
		for (i = 0; i < 2; i++) {
			me.gpu[i].fd = -1;
			me.dmirror[i] = -1;
		}
		me.dma = me.uffd = -1;
		me.hog = NULL;
		nic_forget();
		proc_become(slot, token);
	}
	if (pid < 0)
		shared->proc[slot].state = PROC_FREE;
	pthread_mutex_unlock(&me.opening);
	blocks_lock(false);
	pthread_mutex_unlock(&me.layout);
	return pid < 0 ? -errno : 0;
}

int op_exit(const struct op *op)
{
	(void)op;
	shared->proc[me.id].state = PROC_ENDING;
	notify();
	_exit(0);
}
