// SPDX-License-Identifier: GPL-2.0
/*
 * A page fault of a device takes as long as user space wants, here with
 * userfaultfd. No other device, no other user of the same device, and no unbind
 * waits for it.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "fixture.h"

#define SIZE	(2 * MIB)
#define LIMIT	30	/* seconds, for what takes much less than one */

FIXTURE(fault_wait) {
	int uffd;
	unsigned char *mem;
	void *map;
	size_t map_size;
	struct gpu gpu;
	int dma;
	pthread_t thread;
	bool waiting;
	int error;
	pid_t late[8];
	size_t nr_late;
};

FIXTURE_VARIANT(fault_wait) {
	bool dma;
};

FIXTURE_VARIANT_ADD(fault_wait, engine) { };
FIXTURE_VARIANT_ADD(fault_wait, importer) { .dma = true };

static void *engine_fault(void *arg)
{
	struct _test_data_fault_wait *self = arg;

	self->error = gpu_fill(&self->gpu, self->mem, SIZE, 1);
	return NULL;
}

static void *importer_fault(void *arg)
{
	struct _test_data_fault_wait *self = arg;

	self->error = dma_fault(self->dma, self->mem, SIZE, NULL);
	return NULL;
}

FIXTURE_SETUP(fault_wait)
{
	struct uffd_msg msg;

	self->uffd = -1;
	self->gpu.fd = -1;
	self->dma = -1;
	if (gpu_count() < 2)
		SKIP(return, "less than two ivshmem-plain devices");
	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	self->mem = map_aligned(SIZE, false, &self->map, &self->map_size);
	ASSERT_NE(NULL, self->mem);
	self->uffd = uffd_missing(self->mem, SIZE);
	ASSERT_LE(0, self->uffd);
	ASSERT_EQ(0, gpu_open(&self->gpu, 0));
	self->dma = dma_open(getenv("DMA0"));
	ASSERT_LE(0, self->dma);
	ASSERT_EQ(0, dma_register(self->dma, self->mem, SIZE));

	ASSERT_EQ(0, pthread_create(&self->thread, NULL, variant->dma ?
				    importer_fault : engine_fault, self));
	self->waiting = true;
	ASSERT_EQ(0, uffd_next(self->uffd, LIMIT * 1000, &msg));
}

/* The fault ends, and with it what waits for it after all. */
static int end_wait(struct _test_data_fault_wait *self)
{
	struct uffdio_range range = { (uintptr_t)self->mem, SIZE };
	size_t i;

	if (self->uffd >= 0) {
		ioctl(self->uffd, UFFDIO_UNREGISTER, &range);
		close(self->uffd);
	}
	self->uffd = -1;
	if (self->waiting)
		pthread_join(self->thread, NULL);
	self->waiting = false;
	for (i = 0; i < self->nr_late; i++)
		waitpid(self->late[i], NULL, 0);
	self->nr_late = 0;
	return self->error;
}

FIXTURE_TEARDOWN(fault_wait)
{
	end_wait(self);
	if (self->dma >= 0)
		close(self->dma);
	gpu_close(&self->gpu);
	/* What was killed may have left one unbound. */
	gpu_bind(self->gpu.bdf, true);
	dma_bind(getenv("DMA0"), true);
	if (self->map)
		munmap(self->map, self->map_size);
}

/* What fn() returns, in a process of its own; -ETIMEDOUT and it is killed. */
static int in_time(struct _test_data_fault_wait *self, int (*fn)(void))
{
	int status, tries;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(-fn());
	for (tries = LIMIT * 100; tries; tries--) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? -WEXITSTATUS(status) :
						   -EINTR;
		usleep(10000);
	}
	kill(pid, SIGKILL);
	self->late[self->nr_late++] = pid;
	return -ETIMEDOUT;
}

static int rebind_other_gpu(void)
{
	struct gpu gpu;
	int ret = gpu_open(&gpu, 1);

	gpu_close(&gpu);
	if (!ret)
		ret = gpu_bind(gpu.bdf, false);
	return ret ? ret : gpu_bind(gpu.bdf, true);
}

static int rebind_gpu(void)
{
	int ret = gpu_bind(getenv("GPU0"), false);

	return ret ? ret : gpu_bind(getenv("GPU0"), true);
}

static int rebind_importer(void)
{
	int ret = dma_bind(getenv("DMA0"), false);

	return ret ? ret : dma_bind(getenv("DMA0"), true);
}

static int change_group(void)
{
	int ret = gpu_param_set("owner_group", "Y");

	return ret ? ret : gpu_param_set("owner_group", "N");
}

static int use_gpu(void)
{
	unsigned char *mem;
	size_t map_size;
	struct gpu gpu;
	void *map;
	int ret;

	mem = map_aligned(SIZE, false, &map, &map_size);
	if (!mem)
		return -ENOMEM;
	ret = gpu_open(&gpu, 0);
	if (!ret)
		ret = gpu_fill_vram(&gpu, mem, SIZE, 3);
	if (!ret && gpu_place(&gpu, mem, SIZE, IVGPU_PLACE_RAM))
		ret = -EBUSY;
	gpu_close(&gpu);
	return ret;
}

static int use_importer(void)
{
	unsigned char buf[BUF] = { 7 };
	unsigned char *mem;
	size_t map_size;
	void *map;
	int fd, ret;

	mem = map_aligned(SIZE, false, &map, &map_size);
	fd = dma_open(getenv("DMA0"));
	if (!mem || fd < 0)
		return mem ? fd : -ENOMEM;
	ret = dma_register(fd, mem, SIZE);
	if (!ret)
		ret = dma_buf_set(fd, buf);
	if (!ret)
		ret = dma_xfer(fd, (uintptr_t)mem, BUF, HMM_DMA_WRITE);
	if (!ret)
		ret = dma_check(fd, mem, buf, BUF);
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(fault_wait, other_gpu_unbound, 120)
{
	EXPECT_EQ(0, in_time(self, rebind_other_gpu));
	EXPECT_EQ(0, end_wait(self));
}

TEST_F_TIMEOUT(fault_wait, group_changed, 240)
{
	EXPECT_EQ(0, in_time(self, change_group));
	EXPECT_EQ(0, in_time(self, use_gpu));
	EXPECT_EQ(0, end_wait(self));
}

TEST_F_TIMEOUT(fault_wait, other_users, 240)
{
	EXPECT_EQ(0, in_time(self, use_gpu));
	EXPECT_EQ(0, in_time(self, use_importer));
	EXPECT_EQ(0, in_time(self, use_importer));
	EXPECT_EQ(0, end_wait(self));
}

/* The device itself goes away, and comes back. */
TEST_F_TIMEOUT(fault_wait, unbound, 240)
{
	EXPECT_EQ(0, in_time(self, variant->dma ? rebind_importer :
						  rebind_gpu));
	EXPECT_EQ(0, in_time(self, variant->dma ? use_importer : use_gpu));
	EXPECT_EQ(-ENODEV, end_wait(self));
	EXPECT_EQ(0, in_time(self, variant->dma ? use_importer : use_gpu));
}

TEST_HARNESS_MAIN
