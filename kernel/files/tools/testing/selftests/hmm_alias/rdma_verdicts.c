// SPDX-License-Identifier: GPL-2.0
/*
 * Pages of one page table that are answered differently: each has a verdict of
 * its own, and one that is refused takes no other to RAM.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/userfaultfd.h>

#include "fixture.h"

#define SIZE		(2 * MIB)
#define FEW		(64 * 1024UL)	/* of which all are alike */

FIXTURE(rdma_verdicts) {
	struct rdma_env env;
	char aperture[16];
	bool rebound;
};

/* One page table, of pages that move one by one */
FIXTURE_SETUP(rdma_verdicts)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, gpu_param_get("aperture", self->aperture,
				   sizeof(self->aperture)));
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	memset(env->mem, 0, SIZE);
}

FIXTURE_TEARDOWN_PARENT(rdma_verdicts)
{
	trace_stop();
	if (self->rebound) {
		struct gpu gpu = self->env.gpu;

		gpu.fd = -1;
		EXPECT_EQ(0, gpu_rebind(&gpu, "aperture", self->aperture));
		gpu_close(&gpu);
	}
}

static int prefetch_write(struct rdma_env *env)
{
	return rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
			   IBV_ADVISE_MR_FLAG_FLUSH, env->mr, env->mem, SIZE);
}

/* The two parts are two allocations of VRAM: a CPU fault moves all of one. */
static int place_parts(struct rdma_env *env, size_t first, bool upper_first)
{
	size_t off[] = { 0, first }, len[] = { first, SIZE - first }, i, part;
	long n;

	for (i = 0; i < 2; i++) {
		part = i ^ upper_first;
		n = gpu_place(&env->gpu, env->mem + off[part], len[part],
			      IVGPU_PLACE_VRAM);
		if (n != (long)nr_pages(len[part]))
			return n < 0 ? n : -ENXIO;
	}
	return 0;
}

/*
 * fork() leaves the entries read-only. The CPU has written to all pages but the
 * first few since then.
 */
static int make_few_read_only(struct rdma_env *env)
{
	int status;
	size_t i;
	pid_t pid;

	pid = fork();
	if (!pid)
		_exit(0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return -ECHILD;
	for (i = FEW; i < SIZE; i += PAGE)
		memset(env->mem + i, env->ref[i], 1);
	return place_parts(env, FEW, false);
}

TEST_F(rdma_verdicts, read_only)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	ASSERT_EQ(0, place_parts(env, FEW, false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	ASSERT_EQ(0, make_few_read_only(env));
	ASSERT_EQ(0, rdma_env_mark(env));
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, prefetch_write(env));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(FEW), d.pages_to_ram);
	EXPECT_EQ(nr_pages(SIZE - FEW), d.alias_pages);
	EXPECT_LT(0, trace_count(env->mem, "hmm_alias_refuse",
				 "reason=read-only"));

	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 5));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(FEW), d.pages_to_ram);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* Where in VRAM the page at @addr is, by the last alias it was granted */
static long vram_offset(struct rdma_env *env, void *addr)
{
	char path[128], line[512];
	unsigned long bar = 0, phys;
	FILE *f;
	int i;

	if (trace_find(addr, "hmm_alias_grant", rdma_env_access(env), line,
		       sizeof(line)) < 1 || !strstr(line, " phys="))
		return -ENOENT;
	phys = strtoul(strstr(line, " phys=") + 6, NULL, 16);

	snprintf(path, sizeof(path), PCI_DEVICES "%s/resource",
		 env->gpu.bdf);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	/* BAR 2 is the third line. */
	for (i = 0; i < 3; i++)
		if (fscanf(f, "%lx %*x %*x", &bar) != 1)
			bar = 0;
	fclose(f);
	return bar && phys >= bar ? (long)(phys - bar) : -ENOENT;
}

/* Makes both halves of the memory a request of their own, so that each traces */
static int look(struct rdma_env *env)
{
	size_t off;
	int ret = 0;

	for (off = 0; !ret && off < SIZE; off += SIZE / 2)
		ret = rdma_advise(&env->own,
				  IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
				  IBV_ADVISE_MR_FLAG_FLUSH, env->mr,
				  env->mem + off, SIZE / 2);
	return ret;
}

/*
 * Only one half is in the aperture, and the exporter refuses the other, which
 * comes first in the page table. VRAM is given out alike after each rebind.
 */
TEST_F_TIMEOUT(rdma_verdicts, position, 60)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	char mib[16];
	long lower, upper;
	bool swap = false;

	self->rebound = true;
	do {
		ASSERT_EQ(0, gpu_rebind(&env->gpu, "aperture", "0"));
		ASSERT_EQ(0, place_parts(env, SIZE / 2, swap));
		ASSERT_EQ(0, trace_start());
		ASSERT_EQ(0, look(env));
		lower = vram_offset(env, env->mem);
		upper = vram_offset(env, env->mem + SIZE / 2);
		ASSERT_LE(0, lower);
		ASSERT_LE(0, upper);
		swap = !swap;
	} while (lower < upper && swap);
	swap = !swap;
	ASSERT_GT(lower, upper);

	snprintf(mib, sizeof(mib), "%lu",
		 (unsigned long)(upper + SIZE / 2) / MIB);
	ASSERT_EQ(0, gpu_rebind(&env->gpu, "aperture", mib));
	ASSERT_EQ(0, place_parts(env, SIZE / 2, swap));
	ASSERT_EQ(0, rdma_env_fill(env, 3));
	ASSERT_EQ(0, rdma_env_mark(env));
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, prefetch_write(env));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(SIZE / 2), d.pages_to_ram);
	EXPECT_EQ(nr_pages(SIZE / 2), d.alias_pages);
	/* The trace shows all of them; 16 pages are side by side in VRAM. */
	EXPECT_EQ(nr_pages(SIZE / 2) / 16,
		  trace_count(NULL, "hmm_alias_refuse", "pages=16"));
	EXPECT_EQ(nr_pages(SIZE / 2) / 16,
		  trace_count(NULL, "hmm_alias_refuse",
			      "reason=exporter-refused"));

	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 4));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

struct monitor {
	int uffd;
	struct uffdio_range range;
	atomic_int events;
};

static int rw_protect(struct monitor *m, bool on)
{
	struct uffdio_rwprotect rwp = {
		.range = m->range,
		.mode = on ? UFFDIO_RWPROTECT_MODE_RWP : 0,
	};

	return ioctl(m->uffd, UFFDIO_RWPROTECT, &rwp) ? -errno : 0;
}

static int monitor_open(struct monitor *m, void *addr, size_t size)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_RWP,
	};
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)addr, .len = size },
		.mode = UFFDIO_REGISTER_MODE_RWP,
	};

	m->range = reg.range;
	m->uffd = syscall(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (m->uffd < 0 || ioctl(m->uffd, UFFDIO_API, &api) ||
	    ioctl(m->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	return rw_protect(m, true);
}

/* Lets all accesses in after the first one has been reported. */
static void *monitor_run(void *arg)
{
	struct monitor *m = arg;
	struct pollfd pfd = { .fd = m->uffd, .events = POLLIN };
	struct uffd_msg msg;

	while (poll(&pfd, 1, 3000) == 1) {
		if (read(m->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		if (msg.event == UFFD_EVENT_PAGEFAULT &&
		    msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_RWP)
			m->events++;
		rw_protect(m, false);
	}
	return NULL;
}

/* An access through an alias is an access: userfaultfd is told of it. */
TEST_F(rdma_verdicts, userfaultfd)
{
	struct rdma_env *env = &self->env;
	struct monitor m = {};
	pthread_t thread;

	ASSERT_EQ(0, rdma_env_fill(env, 6));
	ASSERT_EQ(0, monitor_open(&m, env->mem, SIZE));
	ASSERT_EQ(0, look(env));
	ASSERT_EQ(0, pthread_create(&thread, NULL, monitor_run, &m));
	EXPECT_EQ(0, rdma_env_read(env, 0, PAGE));
	pthread_join(thread, NULL);
	EXPECT_LT(0, m.events);
	close(m.uffd);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_HARNESS_MAIN
