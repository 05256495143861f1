// SPDX-License-Identifier: GPL-2.0
/*
 * ivgpu when memory goes away under a job, with signals, unbind and limits; and
 * which devices the two drivers bind to.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "fixture.h"
#include "sysfs.h"

#define THP		(2 * MIB)
#define WINDOW		(512 * MIB)	/* what one notifier of ivgpu covers */
#define DRIVERS		"/sys/bus/pci/drivers/"

FIXTURE(ivgpu_life) {
	struct gpu gpu;
	unsigned char *space;
	unsigned char *mem;
};

FIXTURE_SETUP(ivgpu_life)
{
	if (!gpu_count())
		SKIP(return, "no ivshmem-plain device");
	ASSERT_EQ(0, gpu_open(&self->gpu, 0));
	/* The first two windows that are wholly ours begin at @mem. */
	self->space = mmap(NULL, 3 * WINDOW, PROT_NONE, MAP_PRIVATE |
			   MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->space);
	self->mem = self->space + (-(uintptr_t)self->space % WINDOW);
}

FIXTURE_TEARDOWN(ivgpu_life)
{
	munmap(self->space, 3 * WINDOW);
	gpu_close(&self->gpu);
}

static int map_at(void *addr, size_t size)
{
	void *p = mmap(addr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		       MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

	return p == MAP_FAILED ? -errno : 0;
}

struct unmapper {
	unsigned char *mem;
	unsigned int delay;
	bool go;
	bool stop;
};

static void *unmap(void *arg)
{
	struct unmapper *u = arg;
	unsigned int i;

	while (!__atomic_load_n(&u->stop, __ATOMIC_ACQUIRE)) {
		if (!__atomic_load_n(&u->go, __ATOMIC_ACQUIRE))
			continue;
		for (i = 0; i < u->delay; i++)
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
		munmap(u->mem, THP);
		__atomic_store_n(&u->go, false, __ATOMIC_RELEASE);
	}
	return NULL;
}

/*
 * The destination goes away while the job looks for the source. KASAN says if
 * anything of it is used. What is in VRAM of others stays as it is.
 */
TEST_F_TIMEOUT(ivgpu_life, job_unmapped, 300)
{
	struct unmapper u = { .mem = self->mem };
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_COPY,
		.flags = IVGPU_JOB_FLAG_VRAM_ONLY,
		.dst = (uintptr_t)self->mem,
		.src = (uintptr_t)self->mem + WINDOW,
		.size = THP,
	};
	unsigned char *other = self->mem + WINDOW + WINDOW / 2;
	unsigned int i, hit = 0;
	pthread_t thread;
	uint64_t sum;
	int ret;

	ASSERT_EQ(0, map_at(self->mem + WINDOW, THP));
	ASSERT_EQ(0, gpu_fill_vram(&self->gpu, self->mem + WINDOW, THP, 1));
	ASSERT_EQ(0, map_at(other, THP));
	ASSERT_EQ(0, gpu_fill_vram(&self->gpu, other, THP, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, unmap, &u));
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, map_at(self->mem, THP));
		ASSERT_EQ(0, gpu_fill_vram(&self->gpu, self->mem, THP, 3));
		u.delay = i * 997 % 30000;
		job.done = 0;
		__atomic_store_n(&u.go, true, __ATOMIC_RELEASE);
		ret = gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job);
		EXPECT_TRUE(!ret || ret == -ENXIO || ret == -EFAULT)
			TH_LOG("%d", ret);
		hit += !!ret;
		while (__atomic_load_n(&u.go, __ATOMIC_ACQUIRE))
			;
	}
	__atomic_store_n(&u.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	EXPECT_LT(0, hit);
	EXPECT_EQ(0, gpu_sum(&self->gpu, other, THP, IVGPU_JOB_FLAG_VRAM_ONLY,
			     &sum));
	for (i = 0; i < THP / 8; i++)
		if (((uint64_t *)other)[i] != pattern_word(2, i))
			break;
	EXPECT_EQ(THP / 8, i);
}

/* The number behind @name in a file of "name number" lines; -errno */
static long stat_of(const char *path, const char *name)
{
	char line[128], key[64];
	long value, ret = -ENOENT;
	FILE *f = fopen(path, "r");

	if (!f)
		return -errno;
	while (ret < 0 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %ld", key, &value) == 2 &&
		    !strcmp(key, name))
			ret = value;
	fclose(f);
	return ret;
}

/* PLACE of untouched memory leaves nothing allocated in the kernel. */
TEST_F_TIMEOUT(ivgpu_life, place_leaves_nothing, 240)
{
	const size_t size = 64 * MIB;
	long before, after;
	size_t off;

	ASSERT_EQ(0, map_at(self->mem, size));
	ASSERT_EQ(0, gpu_place(&self->gpu, self->mem, PAGE, IVGPU_PLACE_RAM));
	before = stat_of("/proc/meminfo", "Slab:");
	for (off = 0; off < size; off += PAGE)
		ASSERT_EQ(0, gpu_place(&self->gpu, self->mem + off, PAGE,
				       IVGPU_PLACE_RAM));
	after = stat_of("/proc/meminfo", "Slab:");
	ASSERT_LT(0, before);
	/*
	 * 128 bytes for each page would be 2048 KiB. What is freed stays in
	 * KASAN's quarantine for a while.
	 */
	EXPECT_GT(2048, after - before)
		TH_LOG("%ld KiB of slab", after - before);
}

#define RANGES	192

/* Joins the cgroup at @dir; each range takes an array of 8 KiB, charged there. */
static int charge(struct gpu *gpu, unsigned char *mem, const char *dir)
{
	char path[128];
	long before, after;
	uint64_t sum;
	size_t i;
	int ret;

	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	ret = sysfs_write(path, "0");
	if (!ret)
		ret = gpu_open(gpu, 0);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "%s/memory.stat", dir);
	before = stat_of(path, "slab");
	if (before < 0)
		return before;
	for (i = 0; !ret && i < RANGES; i++)
		ret = gpu_sum(gpu, mem + i * THP, 8,
			      IVGPU_JOB_FLAG_NO_MIGRATE, &sum);
	after = stat_of(path, "slab");
	/* The kernel may be late with up to 128 pages. */
	if (!ret && after - before < RANGES * 8192L / 2) {
		printf("# %ld bytes charged\n", after - before);
		ret = -ENOSPC;
	}
	return ret;
}

TEST_F_TIMEOUT(ivgpu_life, ranges_charged, 240)
{
	char dir[] = "/tmp/ivgpu_life", sub[64];
	int status;
	pid_t pid;

	snprintf(sub, sizeof(sub), "%s/test", dir);
	mkdir(dir, 0755);
	ASSERT_EQ(0, mount("none", dir, "cgroup2", 0, NULL));
	snprintf(sub, sizeof(sub), "%s/cgroup.subtree_control", dir);
	EXPECT_EQ(0, sysfs_write(sub, "+memory"));
	snprintf(sub, sizeof(sub), "%s/test", dir);
	EXPECT_EQ(0, mkdir(sub, 0755));
	ASSERT_EQ(0, map_at(self->mem, RANGES * THP));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(-charge(&self->gpu, self->mem, sub));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(0, rmdir(sub));
	EXPECT_EQ(0, umount2(dir, MNT_DETACH));
	rmdir(dir);
}

struct asker {
	int fd;
	bool stop;
	int error;
	unsigned long count;
};

static void *ask(void *arg)
{
	struct drm_ivgpu_info info;
	struct asker *a = arg;

	while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
		if (ioctl(a->fd, DRM_IOCTL_IVGPU_GET_INFO, &info) &&
		    errno != ENODEV)
			a->error = errno;
		a->count++;
	}
	return NULL;
}

TEST_F_TIMEOUT(ivgpu_life, info_unbind, 240)
{
	pthread_t thread;
	size_t i;

	for (i = 0; i < 5; i++) {
		struct asker a = { .fd = self->gpu.fd };

		ASSERT_EQ(0, pthread_create(&thread, NULL, ask, &a));
		EXPECT_EQ(0, gpu_bind(self->gpu.bdf, false));
		EXPECT_EQ(0, gpu_bind(self->gpu.bdf, true));
		__atomic_store_n(&a.stop, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		EXPECT_EQ(0, a.error);
		EXPECT_LT(0, a.count);
		ASSERT_EQ(0, gpu_reopen(&self->gpu));
	}
}

static void nothing(int sig)
{
}

/* As libdrm does it: the same ioctl once more, until it is not interrupted. */
TEST_F_TIMEOUT(ivgpu_life, interrupted_add, 240)
{
	const size_t size = 32 * MIB;
	const struct sigaction action = { .sa_handler = nothing };
	struct itimerval beat = {
		.it_interval.tv_usec = 20000,
		.it_value.tv_usec = 20000,
	};
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_ADD,
		.dst = (uintptr_t)self->mem,
		.size = size,
		.value = 1,
	};
	unsigned int interrupted = 0;
	int ret;
	size_t i;

	ASSERT_EQ(0, map_at(self->mem, size));
	memset(self->mem, 0, size);
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &beat, NULL));
	do {
		ret = gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job);
		if (ret == -EINTR && ++interrupted == 100) {
			beat.it_value.tv_usec = 0;
			setitimer(ITIMER_REAL, &beat, NULL);
		}
	} while (ret == -EINTR);
	beat.it_value.tv_usec = 0;
	setitimer(ITIMER_REAL, &beat, NULL);
	EXPECT_EQ(0, ret);
	EXPECT_LT(0, interrupted);
	for (i = 0; i < size / 8; i++)
		if (((uint64_t *)self->mem)[i] != 1)
			break;
	EXPECT_EQ(size / 8, i)
		TH_LOG("%llu at word %zu",
		       (unsigned long long)((uint64_t *)self->mem)[i], i);
}

struct neighbour {
	unsigned char *mem;
	bool stop;
};

static void *invalidate(void *arg)
{
	struct neighbour *n = arg;

	while (!__atomic_load_n(&n->stop, __ATOMIC_RELAXED))
		madvise(n->mem, PAGE, MADV_DONTNEED);
	return NULL;
}

/* A write goes on while other memory in the same window is invalidated. */
TEST_F_TIMEOUT(ivgpu_life, neighbour_invalidates, 120)
{
	const size_t size = 8 * MIB;
	struct neighbour n = { .mem = self->mem + WINDOW - PAGE };
	pthread_t thread;

	ASSERT_EQ(0, map_at(self->mem, size));
	ASSERT_EQ(0, map_at(n.mem, PAGE));
	memset(self->mem, 1, size);
	ASSERT_EQ(0, pthread_create(&thread, NULL, invalidate, &n));
	EXPECT_EQ(0, gpu_fill(&self->gpu, self->mem, size, 6));
	__atomic_store_n(&n.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(pattern_word(6, size / 8 - 1),
		  ((uint64_t *)self->mem)[size / 8 - 1]);
}

#define PATH	128

FIXTURE(ivgpu_ids) {
	char bind[PATH];
	char unbind[PATH];
	char new_id[PATH];
	char remove_id[PATH];
	char override[PATH];
};

static void driver_file(char *path, const char *driver, const char *name)
{
	snprintf(path, PATH, DRIVERS "%s/%s", driver, name);
}

FIXTURE_VARIANT(ivgpu_ids) {
	const char *driver;
	const char *id;
	const char *name;
};

FIXTURE_VARIANT_ADD(ivgpu_ids, ivgpu) {
	.driver = "ivgpu", .id = "1af4 1110", .name = "GPU0",
};

FIXTURE_VARIANT_ADD(ivgpu_ids, test_hmm_dma) {
	.driver = "test_hmm_dma", .id = "1234 11e8", .name = "DMA0",
};

FIXTURE_SETUP(ivgpu_ids)
{
	if (!getenv(variant->name))
		SKIP(return, "%s, a PCI address, is not set", variant->name);
	driver_file(self->bind, variant->driver, "bind");
	driver_file(self->unbind, variant->driver, "unbind");
	driver_file(self->new_id, variant->driver, "new_id");
	driver_file(self->remove_id, variant->driver, "remove_id");
	snprintf(self->override, sizeof(self->override),
		 "/sys/bus/pci/devices/%s/driver_override",
		 getenv(variant->name));
}

FIXTURE_TEARDOWN(ivgpu_ids)
{
	sysfs_write(self->override, "\n");
	/* Binds all devices again; EEXIST if the ID is still there. */
	sysfs_write(self->new_id, variant->id);
	sysfs_write(self->bind, getenv(variant->name));
}

/* No device is taken that the driver was not told to take. */
TEST_F(ivgpu_ids, opt_in)
{
	const char *bdf = getenv(variant->name);

	EXPECT_EQ(0, sysfs_write(self->remove_id, variant->id));
	ASSERT_EQ(0, sysfs_write(self->unbind, bdf));
	EXPECT_EQ(-ENODEV, sysfs_write(self->bind, bdf));

	EXPECT_EQ(0, sysfs_write(self->override, variant->driver));
	EXPECT_EQ(0, sysfs_write(self->bind, bdf));
	EXPECT_EQ(0, sysfs_write(self->unbind, bdf));
	EXPECT_EQ(0, sysfs_write(self->override, "\n"));
	EXPECT_EQ(-ENODEV, sysfs_write(self->bind, bdf));

	EXPECT_EQ(0, sysfs_write(self->new_id, variant->id));
	EXPECT_EQ(0, sysfs_write(self->unbind, bdf));
	EXPECT_EQ(0, sysfs_write(self->bind, bdf));
}

TEST_HARNESS_MAIN
