// SPDX-License-Identifier: GPL-2.0
/*
 * What was wrong before with device-private memory and came up while aliases
 * were tested. Only second_context needs an RDMA device.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/rdma_user_ioctl_cmds.h>

#include "fixture.h"
#include "sysfs.h"

#define HUGE		(2 * MIB)
#define SIZE		(8 * HUGE)

FIXTURE(rdma_regress) {
	struct gpu gpu;
	unsigned char *mem;
	unsigned char *ref;
	void *map;
	size_t map_size;
};

FIXTURE_SETUP(rdma_regress)
{
	if (!gpu_count())
		SKIP(return, "no ivshmem-plain device");
	ASSERT_EQ(0, gpu_open(&self->gpu, 0));
	self->mem = map_aligned(SIZE, true, &self->map, &self->map_size);
	ASSERT_NE(NULL, self->mem);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->ref);
	pattern_fill(self->ref, SIZE, 1, 0);
}

FIXTURE_TEARDOWN(rdma_regress)
{
	munmap(self->map, self->map_size);
	free(self->ref);
	gpu_close(&self->gpu);
}

/*
 * A range that begins in the middle of a huge device-private entry was
 * answered with the pages from its head on. The engine asks for such a range
 * when a job does, and is not to move anything.
 */
TEST_F(rdma_regress, huge_entry_offset)
{
	const size_t off = HUGE + 3 * PAGE, len = 5 * PAGE;
	uint64_t sum;

	ASSERT_EQ(0, gpu_fill(&self->gpu, self->mem, SIZE, 1));
	ASSERT_EQ(0, gpu_sum(&self->gpu, self->mem + off, len,
			     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
	EXPECT_EQ(pattern_sum(self->ref + off, len, 0), sum);
}

/*
 * A process that exits while a huge folio that it shares is being migrated
 * freed the folio under the migrator. The unbind migrates all that there is.
 */
TEST_F_TIMEOUT(rdma_regress, exit_while_migrating, 120)
{
	int round, status;
	pid_t pid;

	for (round = 0; round < 16; round++) {
		ASSERT_EQ(0, gpu_fill(&self->gpu, self->mem, SIZE, 1));
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* From before the migration to after its end. */
			usleep(round * 2000);
			_exit(0);
		}
		ASSERT_EQ(0, gpu_bind(self->gpu.bdf, false));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
		ASSERT_EQ(0, gpu_bind(self->gpu.bdf, true));
		ASSERT_EQ(0, gpu_reopen(&self->gpu));
	}
}

/*
 * Device memory that a forked child had inherited could not be evicted once
 * the process that it was allocated for had exited.
 */
TEST_F_TIMEOUT(rdma_regress, evict_after_exit, 60)
{
	int go[2], status;
	pid_t heir, pid;
	char c;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct gpu gpu;

		if (gpu_open(&gpu, 0) ||
		    gpu_fill(&gpu, self->mem, SIZE, 1))
			_exit(1);
		heir = fork();
		if (heir)
			_exit(heir < 0);
		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		_exit(memcmp(self->mem, self->ref, SIZE) ? 2 : 0);
	}
	/* The heir becomes our child when its parent is gone. */
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);

	ASSERT_EQ(0, gpu_bind(self->gpu.bdf, false));
	EXPECT_EQ(0, gpu_bind(self->gpu.bdf, true));
	ASSERT_EQ(1, write(go[1], "", 1));
	ASSERT_LT(0, waitpid(-1, &status, 0));
	EXPECT_EQ(0, status);
	close(go[0]);
	close(go[1]);
}

static sigjmp_buf no_memory_bus;

static void no_memory_sigbus(int sig)
{
	siglongjmp(no_memory_bus, sig);
}

/* Touches @at by the CPU while the @nth allocation fails: 1 if one failed */
static int no_memory_touch(int fd, const char *nth, unsigned char *at)
{
	char left[16] = "";

	if (pwrite(fd, nth, strlen(nth), 0) < 0)
		return -errno;
	if (sigsetjmp(no_memory_bus, 1))
		return -EFAULT;
	__atomic_load_n(at, __ATOMIC_RELAXED);
	if (pread(fd, left, sizeof(left) - 1, 0) < 0 || pwrite(fd, "0", 1, 0) < 0)
		return -errno;
	return !atoi(left);
}

/* One allocation that failed in a CPU fault was a SIGBUS, the data intact. */
TEST_F_TIMEOUT(rdma_regress, no_memory, 120)
{
	static const size_t sizes[] = { PAGE, 16 * PAGE, HUGE };
	unsigned int i, failed = 0;
	char nth[16];
	int fd, ret;

	if (sysfs_write("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") ||
	    sysfs_write("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait",
			"N"))
		SKIP(return, "no fault injection");
	sysfs_write("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
	sysfs_write("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	sysfs_write("/sys/kernel/debug/failslab/verbose", "0");
	sysfs_write("/sys/kernel/debug/fail_page_alloc/verbose", "0");
	fd = open("/proc/thread-self/fail-nth", O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_NE(SIG_ERR, signal(SIGBUS, no_memory_sigbus));

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned int n = 0;

		do {
			ASSERT_EQ(0, gpu_fill_vram(&self->gpu, self->mem,
						   sizes[i], 1));
			snprintf(nth, sizeof(nth), "%u", ++n);
			ret = no_memory_touch(fd, nth, self->mem);
			ASSERT_LE(0, ret)
				TH_LOG("allocation %u, %zu bytes", n, sizes[i]);
			failed += ret;
			EXPECT_EQ(0, memcmp(self->mem, self->ref, sizes[i]));
		} while (ret && n < 32);
	}
	/* Or nothing was tested. */
	EXPECT_LT(3, failed);
	close(fd);
}

/*
 * A file has one context. The task that asks for another one was never freed,
 * which kmemleak tells.
 */
TEST_F(rdma_regress, second_context)
{
	struct ib_uverbs_ioctl_hdr hdr = {
		.length = sizeof(hdr),
		.object_id = UVERBS_OBJECT_DEVICE,
		.method_id = UVERBS_METHOD_GET_CONTEXT,
	};
	struct rdma_end end;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_end_open(&end, NULL));
	EXPECT_EQ(-1, ioctl(end.ctx->cmd_fd, RDMA_VERBS_IOCTL, &hdr));
	EXPECT_EQ(EINVAL, errno);
	rdma_end_close(&end);
}

TEST_HARNESS_MAIN
