// SPDX-License-Identifier: GPL-2.0
/*
 * vram-malloc.so: preloaded into a program that uses RDMA, it moves each memory
 * region that the program registers to the memory of a device, and says at the
 * end what became of its pages. The program is not changed, and its own result
 * stays right whatever happens here.
 *
 *	VRAM_MALLOC_DEVICE=bdf	PCI address of the device (default: the first one
 *				whose driver is known: ivgpu, nouveau, xe)
 *	VRAM_MALLOC_PATTERN=n	1 to 15: fill each region with a pattern of that
 *				number before a queue pair is ready to receive,
 *				and tell at the end whose words are in it. For
 *				programs that do not care what they transfer
 *	VRAM_MALLOC_QUIET=1	say only what has failed
 *
 * A region is moved when it is registered, and again when a queue pair becomes
 * ready, because programs touch their buffers in between.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniband/verbs.h>

#include "exporter.h"
#include "mem.h"
#include "vram-malloc.h"

#define EXPORT		__attribute__((visibility("default")))
#define PINNED_WORDS	"; pinned: it is in RAM from its registration on"

#undef ibv_reg_mr
#undef ibv_reg_mr_iova

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct region *regions;		/* all that follows: with @lock */
static unsigned int numbers;
static struct exporter device;
static enum { CLOSED, OPEN, ABSENT } state;
static bool told;			/* that something was not moved */
static int traced = -ENOENT;
static pid_t owner;
static uint64_t seed;
/* libibverbs calls itself. */
static __thread unsigned int depth;

void say(const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "vram-malloc: %s\n", text);
}

static bool quiet(void)
{
	return getenv("VRAM_MALLOC_QUIET");
}

static void open_device(void)
{
	const char *pattern = getenv("VRAM_MALLOC_PATTERN");
	int ret;

	/* A device belongs to the process that opened it. */
	if (owner != getpid()) {
		regions = NULL;
		state = CLOSED;
		told = false;
		owner = getpid();
	}
	if (state != CLOSED)
		return;
	seed = pattern ? strtoull(pattern, NULL, 10) % 16 : 0;
	ret = device_open(&device);
	state = ret ? ABSENT : OPEN;
	if (ret) {
		say("no device%s%s: %s; memory stays in RAM",
		    *device.bdf ? " " : "", device.bdf, strerror(-ret));
		return;
	}
	traced = decisions_open();
}

static void count_decision(uintptr_t addr, size_t pages, bool granted)
{
	struct region *region;
	uintptr_t start, page;

	for (region = regions; region; region = region->next) {
		start = (uintptr_t)region->start;
		for (page = addr; page < addr + pages * PAGE; page += PAGE) {
			if (page < start || page >= start + region->size)
				continue;
			if (granted)
				region->aliased[(page - start) / PAGE] = 1;
			else
				region->moved++;
		}
	}
}

/* It does not come back for a file that is open. */
static void lose_device(void)
{
	state = ABSENT;
	say("%s is gone; memory is in RAM, and stays there", device.bdf);
}

/* What has happened up to now */
static void look(void)
{
	struct region *region;

	if (state == OPEN && device_gone(&device))
		lose_device();
	if (!traced)
		traced = decisions_read(count_decision);
	for (region = regions; region; region = region->next)
		region->there = exporter_pages(region->start, region->size);
}

static void region_free(struct region *region)
{
	free(region->aliased);
	free(region);
}

static bool on_demand(const struct region *region)
{
	return region->access & IBV_ACCESS_ON_DEMAND;
}

static void place(struct region *region)
{
	size_t pages = region->size / PAGE;
	long before, after;
	int ret;

	if (state != OPEN)
		return;
	before = exporter_pages(region->start, region->size);
	ret = device.ops->place(&device, region->start, region->size);
	/* After an error, a part of it may be there. */
	after = exporter_pages(region->start, region->size);
	if (before >= 0 && after > before)
		region->placed += after - before;
	region->there = after;
	if (ret == -ENODEV) {
		lose_device();
	} else if (!told && (ret || (after >= 0 && (size_t)after < pages))) {
		told = true;
		say("region %u: %ld of %zu pages are on %s, the others stay in "
		    "RAM: %s", region->number, after > 0 ? after : 0, pages,
		    device.bdf,
		    ret ? strerror(-ret) : "it is full, or they are in use");
	}
}

/* What is about to be registered. NULL: it is none of ours */
static struct region *region_new(void *addr, size_t length, int access)
{
	uintptr_t start = (uintptr_t)addr & ~(PAGE - 1);
	struct region *region;

	/* A region of the whole address space has no memory of its own. */
	if (depth || !length || length > SIZE_MAX / 2)
		return NULL;
	region = calloc(1, sizeof(*region));
	if (!region)
		return NULL;
	region->data = addr;
	region->length = length;
	region->start = (char *)start;
	region->size = ((uintptr_t)addr + length - start + PAGE - 1) &
		       ~(PAGE - 1);
	region->access = access;
	region->aliased = calloc(region->size / PAGE, 1);
	pthread_mutex_lock(&lock);
	open_device();
	if (!region->aliased || state != OPEN) {
		pthread_mutex_unlock(&lock);
		region_free(region);
		return NULL;
	}
	region->number = ++numbers;
	region->fill = seed && access & IBV_ACCESS_LOCAL_WRITE &&
		       !((uintptr_t)addr % sizeof(uint64_t));
	place(region);
	pthread_mutex_unlock(&lock);
	return region;
}

/* It is registered; or @mr is NULL, and it is not. */
static void region_add(struct region *region, struct ibv_mr *mr)
{
	if (!region)
		return;
	if (!mr) {
		region_free(region);
		return;
	}
	pthread_mutex_lock(&lock);
	region->mr = mr;
	region->next = regions;
	regions = region;
	pthread_mutex_unlock(&lock);
}

static void region_report(const struct region *region)
{
	const char *pinned = on_demand(region) ? "" : PINNED_WORDS;
	size_t pages = region->size / PAGE, aliased = 0, there, i, gone;
	char text[128];

	for (i = 0; i < pages; i++)
		aliased += region->aliased[i];
	there = region->there > 0 ? region->there : 0;
	gone = there + region->moved;
	gone = region->placed > gone ? region->placed - gone : 0;
	snprintf(text, sizeof(text), "region %u: %zu bytes, %s: %zu pages",
		 region->number, region->length,
		 on_demand(region) ? "on-demand" : "pinned", pages);
	if (region->there < 0 || traced)
		say("%s, placed on the device; what became of them is root's "
		    "to know (%s)%s", text,
		    strerror(region->there < 0 ? -region->there : -traced),
		    pinned);
	else
		say("%s, placed %zu, aliased %zu, moved %zu, left %zu, "
		    "there %zu%s", text, region->placed, aliased, region->moved,
		    gone, there, pinned);
}

/* Where it is in the list, or NULL is. With @lock */
static struct region **region_at(struct ibv_mr *mr)
{
	static struct region *none;
	struct region **at = &regions;

	if (owner != getpid())
		return &none;
	while (*at && (*at)->mr != mr)
		at = &(*at)->next;
	return at;
}

/* Its access, which becomes @change first, unless that is NULL */
static int region_access(struct ibv_mr *mr, const int *change)
{
	struct region *region;
	int access = 0;

	pthread_mutex_lock(&lock);
	region = *region_at(mr);
	if (region && change)
		region->access = *change;
	if (region)
		access = region->access;
	pthread_mutex_unlock(&lock);
	return access;
}

/* It is about to be registered no more. Its memory is still there. */
static void region_end(struct ibv_mr *mr)
{
	struct region **at, *region;

	pthread_mutex_lock(&lock);
	at = region_at(mr);
	region = *at;
	if (!region)
		goto unlock;
	look();
	*at = region->next;
	if (!quiet()) {
		region_report(region);
		if (region->filled)
			pattern_report(region, seed);
	}
	region_free(region);
unlock:
	pthread_mutex_unlock(&lock);
}

/*
 * The program's buffers are as they will be when it transfers. @receive: from now
 * on a peer may write to them. Before the first time nothing has.
 */
static void ready(bool receive)
{
	struct region *region;

	pthread_mutex_lock(&lock);
	if (owner == getpid() && state == OPEN) {
		look();
		for (region = regions; region; region = region->next) {
			if (receive && region->fill && !region->filled)
				pattern_write(region, seed);
			if (on_demand(region))
				place(region);
		}
	}
	pthread_mutex_unlock(&lock);
}

__attribute__((destructor))
static void at_exit(void)
{
	struct region *region;

	if (owner != getpid()) {
		if (!owner && !quiet())
			say("no memory region was registered");
		return;
	}
	if (state == CLOSED)
		return;
	look();
	for (region = regions; region; region = region->next)
		if (!quiet())
			region_report(region);
	decisions_close();
}

static void fork_begin(void)
{
	pthread_mutex_lock(&lock);
}

static void fork_end(void)
{
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor))
static void at_start(void)
{
	pthread_atfork(fork_begin, fork_end, fork_end);
}

/*
 * The libibverbs behind us. A program may not be linked with it, but load a plugin
 * that is, as UCX, libfabric and Python do: RTLD_NEXT does not find it then.
 */
static void *next(const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name), *library;

	if (!symbol) {
		library = dlopen("libibverbs.so.1", RTLD_LAZY | RTLD_NOLOAD);
		if (library)
			symbol = dlsym(library, name);
	}
	if (!symbol) {
		say("no %s to call", name);
		abort();
	}
	return symbol;
}

EXPORT struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
				 int access)
{
	struct ibv_mr *(*real)(struct ibv_pd *, void *, size_t, int) =
		next("ibv_reg_mr");
	struct region *region = region_new(addr, length, access);
	struct ibv_mr *mr;

	depth++;
	mr = real(pd, addr, length, access);
	depth--;
	region_add(region, mr);
	return mr;
}

EXPORT struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *addr,
				      size_t length, uint64_t iova, int access)
{
	struct ibv_mr *(*real)(struct ibv_pd *, void *, size_t, uint64_t, int) =
		next("ibv_reg_mr_iova");
	struct region *region = region_new(addr, length, access);
	struct ibv_mr *mr;

	depth++;
	mr = real(pd, addr, length, iova, access);
	depth--;
	region_add(region, mr);
	return mr;
}

EXPORT struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr,
				       size_t length, uint64_t iova,
				       unsigned int access)
{
	struct ibv_mr *(*real)(struct ibv_pd *, void *, size_t, uint64_t,
			       unsigned int) = next("ibv_reg_mr_iova2");
	struct region *region = region_new(addr, length, access);
	struct ibv_mr *mr;

	depth++;
	mr = real(pd, addr, length, iova, access);
	depth--;
	region_add(region, mr);
	return mr;
}

EXPORT int ibv_dereg_mr(struct ibv_mr *mr)
{
	int (*real)(struct ibv_mr *) = next("ibv_dereg_mr");

	region_end(mr);
	return real(mr);
}

/* Other memory is another region, with a number and a line of its own. */
EXPORT int ibv_rereg_mr(struct ibv_mr *mr, int flags, struct ibv_pd *pd,
			void *addr, size_t length, int access)
{
	int (*real)(struct ibv_mr *, int, struct ibv_pd *, void *, size_t, int) =
		next("ibv_rereg_mr");
	const int *change = flags & IBV_REREG_MR_CHANGE_ACCESS ? &access : NULL;
	bool moves = flags & IBV_REREG_MR_CHANGE_TRANSLATION;
	struct region *region = NULL;
	int ret;

	if (moves)
		region = region_new(addr, length,
				    change ? access : region_access(mr, NULL));
	depth++;
	ret = real(mr, flags, pd, addr, length, access);
	depth--;
	/* With this error, @mr has what was asked for. */
	if (ret && ret != IBV_REREG_MR_ERR_DO_FORK_OLD) {
		region_add(region, NULL);
	} else if (moves) {
		region_end(mr);
		region_add(region, mr);
	} else {
		region_access(mr, change);
	}
	return ret;
}

EXPORT int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask)
{
	int (*real)(struct ibv_qp *, struct ibv_qp_attr *, int) =
		next("ibv_modify_qp");
	int ret;

	if (mask & IBV_QP_STATE && attr->qp_state == IBV_QPS_RTR)
		ready(true);
	ret = real(qp, attr, mask);

	if (!ret && mask & IBV_QP_STATE && attr->qp_state == IBV_QPS_RTS)
		ready(false);
	return ret;
}
