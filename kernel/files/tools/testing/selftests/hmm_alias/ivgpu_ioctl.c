// SPDX-License-Identifier: GPL-2.0
/*
 * Bad input to each ivgpu ioctl gives the errno that its header documents, and
 * does nothing.
 */
#include <sys/ioctl.h>

#include "fixture.h"

#define SIZE		(64 * 1024UL)
#define KERNEL_ADDR	0xffff888000000000UL
#define TASK_END	0x7ffffffff000UL	/* x86-64, four levels */

FIXTURE(ivgpu_ioctl) {
	struct gpu gpu;
	unsigned char *mem;
};

FIXTURE_SETUP(ivgpu_ioctl)
{
	if (!gpu_count())
		SKIP(return, "no ivshmem-plain device");
	ASSERT_EQ(0, gpu_open(&self->gpu, 0));
	self->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, gpu_fill(&self->gpu, self->mem, SIZE, 1));
}

FIXTURE_TEARDOWN(ivgpu_ioctl)
{
	munmap(self->mem, SIZE);
	gpu_close(&self->gpu);
}

/* With &fixture.mem for an address below one page, so that tables can be. */
static uint64_t at(const void *mem, uint64_t addr)
{
	return addr < PAGE ? (uintptr_t)mem + addr : addr;
}

TEST_F(ivgpu_ioctl, info)
{
	struct drm_ivgpu_info info = { .pad = 1 };

	EXPECT_EQ(0, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_GET_INFO, &info));
	EXPECT_LT(0, info.vram_size);
	EXPECT_EQ(0, info.vram_size % PAGE);
	EXPECT_GE(info.vram_size, info.aperture_size);
	EXPECT_EQ(0, info.flags & ~(IVGPU_INFO_P2P | IVGPU_INFO_CPU_ACCESS));
	EXPECT_EQ(0, info.pad);
}

TEST_F(ivgpu_ioctl, info_follows_consent)
{
	struct drm_ivgpu_info info;

	ASSERT_EQ(0, gpu_consent(false));
	EXPECT_EQ(0, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_GET_INFO, &info));
	EXPECT_EQ(0, info.flags & IVGPU_INFO_P2P);
	ASSERT_EQ(0, gpu_consent(true));
	EXPECT_EQ(0, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_GET_INFO, &info));
	EXPECT_EQ(IVGPU_INFO_P2P, info.flags & IVGPU_INFO_P2P);
}

TEST_F(ivgpu_ioctl, place_bad)
{
	static const struct {
		const char *what;
		struct drm_ivgpu_place place;
		int err;
	} cases[] = {
		{ "no size", { 0, 0, IVGPU_PLACE_VRAM }, -EINVAL },
		{ "odd size", { 0, PAGE + 1, IVGPU_PLACE_VRAM }, -EINVAL },
		{ "odd address", { 8, PAGE, IVGPU_PLACE_VRAM }, -EINVAL },
		{ "bad where", { 0, PAGE, 2 }, -EINVAL },
		{ "huge where", { 0, PAGE, ~0U }, -EINVAL },
		{ "flag", { 0, PAGE, IVGPU_PLACE_VRAM, 1 }, -EINVAL },
		{ "high flag", { 0, PAGE, IVGPU_PLACE_RAM, 1U << 31 },
		  -EINVAL },
		{ "overflow", { 0, -PAGE, IVGPU_PLACE_VRAM }, -EFAULT },
		{ "kernel", { KERNEL_ADDR, PAGE, IVGPU_PLACE_VRAM },
		  -EFAULT },
		{ "kernel, to RAM", { KERNEL_ADDR, PAGE, IVGPU_PLACE_RAM },
		  -EFAULT },
		{ "last page", { -PAGE, PAGE, IVGPU_PLACE_VRAM }, -EFAULT },
		{ "beyond user space", { TASK_END - PAGE, 2 * PAGE,
		  IVGPU_PLACE_VRAM }, -EFAULT },
	};
	struct drm_ivgpu_counters before, after;
	size_t i;

	ASSERT_EQ(0, gpu_counters(&self->gpu, &before));
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct drm_ivgpu_place place = cases[i].place;

		place.addr = at(self->mem, place.addr);
		EXPECT_EQ(cases[i].err, gpu_ioctl(&self->gpu,
						  DRM_IOCTL_IVGPU_PLACE,
						  &place))
			TH_LOG("%s", cases[i].what);
	}
	ASSERT_EQ(0, gpu_counters(&self->gpu, &after));
	EXPECT_EQ(before.pages_to_vram, after.pages_to_vram);
	EXPECT_EQ(before.pages_to_ram, after.pages_to_ram);
}

TEST_F(ivgpu_ioctl, place_resident)
{
	EXPECT_EQ(SIZE / PAGE, gpu_place(&self->gpu, self->mem, SIZE,
					 IVGPU_PLACE_VRAM));
	EXPECT_EQ(0, gpu_place(&self->gpu, self->mem, SIZE, IVGPU_PLACE_RAM));
}

TEST_F(ivgpu_ioctl, job_bad)
{
	static const struct {
		const char *what;
		struct drm_ivgpu_job job;
		int err;
	} cases[] = {
		{ "bad op", { 4, 0, 0, 0, PAGE }, -EINVAL },
		{ "huge op", { ~0U, 0, 0, 0, PAGE }, -EINVAL },
		{ "flag", { IVGPU_JOB_FILL, 4, 0, 0, PAGE }, -EINVAL },
		{ "high flag", { IVGPU_JOB_ADD, 1U << 31, 0, 0, PAGE },
		  -EINVAL },
		{ "no size", { IVGPU_JOB_FILL, 0, 0, 0, 0 }, -EINVAL },
		{ "odd size", { IVGPU_JOB_FILL, 0, 0, 0, 12 }, -EINVAL },
		{ "too much done", { IVGPU_JOB_FILL, 0, 0, 0, PAGE, 0, 0,
		  PAGE + 8 }, -EINVAL },
		{ "odd done", { IVGPU_JOB_FILL, 0, 0, 0, PAGE, 0, 0, 4 },
		  -EINVAL },
		{ "odd dst", { IVGPU_JOB_CHECKSUM, 0, 4, 0, PAGE }, -EINVAL },
		{ "odd src", { IVGPU_JOB_COPY, 0, 0, 12, 8 }, -EINVAL },
		{ "overlap", { IVGPU_JOB_COPY, 0, 8, 16, 16 }, -EINVAL },
		{ "same", { IVGPU_JOB_COPY, 0, 8, 8, 16 }, -EINVAL },
		{ "kernel", { IVGPU_JOB_FILL, 0, KERNEL_ADDR, 0, PAGE },
		  -EFAULT },
		{ "read kernel", { IVGPU_JOB_CHECKSUM, 0, KERNEL_ADDR, 0,
		  PAGE }, -EFAULT },
		{ "copy kernel", { IVGPU_JOB_COPY, 0, 8, KERNEL_ADDR, PAGE },
		  -EFAULT },
		{ "overflow", { IVGPU_JOB_FILL, 0, 8, 0, -8UL }, -EFAULT },
		{ "overflow of src", { IVGPU_JOB_COPY, 0, 8, -8UL, 16 },
		  -EFAULT },
		{ "beyond user space", { IVGPU_JOB_CHECKSUM, 0, TASK_END - 8,
		  0, 16 }, -EFAULT },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct drm_ivgpu_job job = cases[i].job;

		job.dst = at(self->mem, job.dst);
		if (job.op == IVGPU_JOB_COPY)
			job.src = at(self->mem, job.src);
		EXPECT_EQ(cases[i].err, gpu_ioctl(&self->gpu,
						  DRM_IOCTL_IVGPU_JOB, &job))
			TH_LOG("%s", cases[i].what);
	}
	for (i = 0; i < SIZE / 8; i++)
		if (((uint64_t *)self->mem)[i] != pattern_word(1, i))
			break;
	EXPECT_EQ(SIZE / 8, i);
}

TEST_F(ivgpu_ioctl, job_src_unused)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)self->mem,
		.src = (uintptr_t)self->mem,
		.size = PAGE,
	};

	/* "otherwise zero", so that it can mean something one day. */
	EXPECT_EQ(-EINVAL, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
}

TEST_F(ivgpu_ioctl, job_done)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)self->mem,
		.size = SIZE,
		.value = 5,
		.result = 1,
	};

	EXPECT_EQ(0, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	EXPECT_EQ(SIZE, job.done);
	EXPECT_EQ(0, job.result);

	/* A hole stops it where the hole is. */
	ASSERT_EQ(0, munmap(self->mem + SIZE / 2, SIZE / 2));
	job.done = 0;
	EXPECT_EQ(-EFAULT, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	EXPECT_EQ(SIZE / 2, job.done);
}

/* What was done before is left out. */
TEST_F(ivgpu_ioctl, job_resumed)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_ADD,
		.dst = (uintptr_t)self->mem,
		.size = SIZE,
		.value = 1,
		.done = SIZE / 2,
	};
	uint64_t *word = (uint64_t *)self->mem;
	size_t i;

	EXPECT_EQ(0, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	EXPECT_EQ(SIZE, job.done);
	for (i = 0; i < SIZE / 8; i++)
		if (word[i] != pattern_word(1, i) + (i >= SIZE / 16))
			break;
	EXPECT_EQ(SIZE / 8, i);

	job.op = IVGPU_JOB_CHECKSUM;
	job.value = 0;
	job.done = SIZE / 2;
	job.result = pattern_sum(self->mem, SIZE / 2, 0);
	EXPECT_EQ(0, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	EXPECT_EQ(pattern_sum(self->mem, SIZE, 0), job.result);
}

TEST_F(ivgpu_ioctl, job_read_only)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)self->mem,
		.size = SIZE,
		.value = 5,
	};

	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
	EXPECT_EQ(-EPERM, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	job.op = IVGPU_JOB_CHECKSUM;
	EXPECT_EQ(0, gpu_ioctl(&self->gpu, DRM_IOCTL_IVGPU_JOB, &job));
	EXPECT_EQ(pattern_sum(self->mem, SIZE, 0), job.result);
	EXPECT_EQ(pattern_word(1, 0), *(uint64_t *)self->mem);
}

TEST_F(ivgpu_ioctl, job_vram_only)
{
	struct drm_ivgpu_counters before, after;
	uint64_t sum;

	EXPECT_EQ(0, gpu_sum(&self->gpu, self->mem, SIZE,
			     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
	ASSERT_EQ(0, gpu_place(&self->gpu, self->mem, SIZE, IVGPU_PLACE_RAM));
	ASSERT_EQ(0, gpu_counters(&self->gpu, &before));
	EXPECT_EQ(-ENXIO, gpu_sum(&self->gpu, self->mem, SIZE,
				  IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
	EXPECT_EQ(0, gpu_sum(&self->gpu, self->mem, SIZE,
			     IVGPU_JOB_FLAG_NO_MIGRATE, &sum));
	ASSERT_EQ(0, gpu_counters(&self->gpu, &after));
	EXPECT_EQ(before.pages_to_vram, after.pages_to_vram);
	EXPECT_EQ(pattern_sum(self->mem, SIZE, 0), sum);
}

/* The file works on the memory of the process that opened it. */
TEST_F(ivgpu_ioctl, foreign_mm)
{
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		uint64_t sum;

		if (gpu_place(&self->gpu, self->mem, SIZE,
			      IVGPU_PLACE_VRAM) != -EXDEV)
			_exit(1);
		if (gpu_fill(&self->gpu, self->mem, SIZE, 9) != -EXDEV)
			_exit(2);
		if (gpu_sum(&self->gpu, self->mem, SIZE, 0, &sum) !=
		    -EXDEV)
			_exit(3);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	EXPECT_EQ(pattern_word(1, 0), *(uint64_t *)self->mem);
}

TEST_F(ivgpu_ioctl, bad_pointer)
{
	static const unsigned long reqs[] = {
		DRM_IOCTL_IVGPU_GET_INFO, DRM_IOCTL_IVGPU_PLACE,
		DRM_IOCTL_IVGPU_JOB, DRM_IOCTL_IVGPU_COUNTERS,
	};
	void *rdonly = mmap(NULL, PAGE, PROT_READ,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	ASSERT_NE(MAP_FAILED, rdonly);
	for (i = 0; i < ARRAY_SIZE(reqs); i++) {
		EXPECT_EQ(-EFAULT, gpu_ioctl(&self->gpu, reqs[i], (void *)8UL))
			TH_LOG("request %zu", i);
		EXPECT_EQ(-EFAULT, gpu_ioctl(&self->gpu, reqs[i],
					     (void *)KERNEL_ADDR))
			TH_LOG("request %zu", i);
	}
	/* These have no input, so that only the copy to the user can fail. */
	EXPECT_EQ(-EFAULT, gpu_ioctl(&self->gpu, reqs[0], rdonly));
	EXPECT_EQ(-EFAULT, gpu_ioctl(&self->gpu, reqs[3], rdonly));
}

/* A driver without GEM objects has none to share. */
TEST_F(ivgpu_ioctl, prime)
{
	struct drm_prime_handle prime = { .handle = 1, .fd = -1 };

	EXPECT_EQ(-EOPNOTSUPP, gpu_ioctl(&self->gpu,
					 DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime));
	EXPECT_EQ(-EOPNOTSUPP, gpu_ioctl(&self->gpu,
					 DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime));
}

TEST_F(ivgpu_ioctl, unknown_request)
{
	const unsigned long req = DRM_IOR(DRM_COMMAND_BASE + 4,
					  struct drm_ivgpu_info);
	struct drm_ivgpu_info info;

	EXPECT_EQ(-EINVAL, gpu_ioctl(&self->gpu, req, &info));
}

TEST_HARNESS_MAIN
