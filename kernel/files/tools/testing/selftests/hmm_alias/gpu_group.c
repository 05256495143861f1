// SPDX-License-Identifier: GPL-2.0
/*
 * A private interconnect: GPUs of one owner group reach each other's VRAM where
 * it is, without aliases; others do not. The group changes while both are in use.
 */
#include <pthread.h>

#include "fixture.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)

FIXTURE(gpu_group) {
	struct gpu gpu[2];
	unsigned char *mem;
	unsigned char *ref;
	void *map;
	size_t map_size;
	struct drm_ivgpu_counters base[2];
};

FIXTURE_VARIANT(gpu_group) {
	bool thp;
};

FIXTURE_VARIANT_ADD(gpu_group, pte) { };
FIXTURE_VARIANT_ADD(gpu_group, thp) { .thp = true };

static int mark(struct _test_data_gpu_group *self)
{
	int ret = gpu_counters(&self->gpu[0], &self->base[0]);

	return ret ? ret : gpu_counters(&self->gpu[1], &self->base[1]);
}

/* All is in the VRAM of GPU0. */
static int fill(struct _test_data_gpu_group *self, uint64_t seed)
{
	int ret = gpu_fill_vram(&self->gpu[0], self->mem, SIZE, seed);

	pattern_fill(self->ref, SIZE, seed, 0);
	return ret ? ret : mark(self);
}

FIXTURE_SETUP(gpu_group)
{
	if (gpu_count() < 2)
		SKIP(return, "less than two ivshmem-plain devices");
	ASSERT_EQ(0, gpu_param_set("owner_group", "Y"));
	ASSERT_EQ(0, gpu_open(&self->gpu[0], 0));
	ASSERT_EQ(0, gpu_open(&self->gpu[1], 1));
	self->mem = map_aligned(SIZE, variant->thp, &self->map,
				&self->map_size);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->mem);
	ASSERT_NE(NULL, self->ref);
	ASSERT_EQ(0, fill(self, 1));
}

FIXTURE_TEARDOWN(gpu_group)
{
	munmap(self->map, self->map_size);
	free(self->ref);
	gpu_close(&self->gpu[0]);
	gpu_close(&self->gpu[1]);
	EXPECT_EQ(0, gpu_param_set("owner_group", "N"));
}

/* The engine of @gpu works on the pages where it finds them. */
static int job(struct gpu *gpu, uint32_t op, void *dst, void *src,
	       size_t size, uint64_t value, uint64_t *result)
{
	struct drm_ivgpu_job job = {
		.op = op,
		.flags = IVGPU_JOB_FLAG_NO_MIGRATE,
		.dst = (uintptr_t)dst,
		.src = (uintptr_t)src,
		.size = size,
		.value = value,
	};
	int ret = gpu_ioctl(gpu, DRM_IOCTL_IVGPU_JOB, &job);

	if (result)
		*result = job.result;
	return ret;
}

/* GPU1 reads all of it; @pages of GPU0's VRAM move to RAM for that. */
static void expect_read(struct __test_metadata *_metadata,
			struct _test_data_gpu_group *self, size_t pages)
{
	struct drm_ivgpu_counters now[2];
	uint64_t sum;

	EXPECT_EQ(0, job(&self->gpu[1], IVGPU_JOB_CHECKSUM, self->mem, NULL,
			 SIZE, 0, &sum));
	EXPECT_EQ(pattern_sum(self->ref, SIZE, 0), sum);
	ASSERT_EQ(0, gpu_counters(&self->gpu[0], &now[0]));
	ASSERT_EQ(0, gpu_counters(&self->gpu[1], &now[1]));
	EXPECT_EQ(pages, now[0].pages_to_ram - self->base[0].pages_to_ram);
	EXPECT_EQ(0, now[1].pages_to_vram - self->base[1].pages_to_vram);
	EXPECT_EQ(0, now[0].alias_pages - self->base[0].alias_pages);
}

static void expect_vram(struct __test_metadata *_metadata,
			struct _test_data_gpu_group *self)
{
	uint64_t sum;

	EXPECT_EQ(0, gpu_sum(&self->gpu[0], self->mem, SIZE,
			     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
	EXPECT_EQ(pattern_sum(self->ref, SIZE, 0), sum);
}

TEST_F(gpu_group, in_place)
{
	expect_read(_metadata, self, 0);
	EXPECT_EQ(0, job(&self->gpu[1], IVGPU_JOB_FILL, self->mem, NULL, HALF,
			 2, NULL));
	pattern_fill(self->ref, HALF, 2, 0);
	EXPECT_EQ(0, job(&self->gpu[1], IVGPU_JOB_COPY, self->mem + HALF,
			 self->mem, HALF / 2, 0, NULL));
	memcpy(self->ref + HALF, self->ref, HALF / 2);
	expect_read(_metadata, self, 0);
	expect_vram(_metadata, self);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* An importer that is not in the group still reaches it on the bus. */
TEST_F(gpu_group, importer)
{
	int reach = reach_between("GPU0", "DMA0");
	uint64_t mapped = dma_mapped_as(true, reach);
	int fd;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_LE(0, reach);
	ASSERT_EQ(0, gpu_consent(true));
	expect_read(_metadata, self, 0);
	fd = dma_open(getenv("DMA0"));
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, dma_register(fd, self->mem, SIZE));
	EXPECT_EQ(0, dma_fault(fd, self->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(fd, self->mem, SIZE, mapped));
	EXPECT_EQ(0, dma_write(fd, self->mem + HALF, self->ref + HALF, LEN, 3));
	ASSERT_EQ(0, mark(self));
	expect_read(_metadata, self, 0);
	if (reach_allowed(reach))
		expect_vram(_metadata, self);
	close(fd);
}

TEST_F(gpu_group, others)
{
	ASSERT_EQ(0, gpu_param_set("owner_group", "N"));
	ASSERT_EQ(0, fill(self, 4));
	expect_read(_metadata, self, nr_pages(SIZE));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* A change takes back what the old group had, and holds for what is new. */
TEST_F(gpu_group, changed)
{
	struct drm_ivgpu_counters now;
	size_t i;

	for (i = 0; i < 2; i++) {
		expect_read(_metadata, self, 0);
		ASSERT_EQ(0, gpu_param_set("owner_group", "N"));
		EXPECT_EQ(0, gpu_wait_freed(&self->gpu[0], 0, 0, &now));
		EXPECT_EQ(nr_pages(SIZE),
			  now.pages_to_ram - self->base[0].pages_to_ram);
		ASSERT_EQ(0, mark(self));
		expect_read(_metadata, self, 0);
		ASSERT_EQ(0, fill(self, 5 + i));
		expect_read(_metadata, self, nr_pages(SIZE));

		ASSERT_EQ(0, fill(self, 7 + i));
		ASSERT_EQ(0, gpu_param_set("owner_group", "Y"));
		EXPECT_EQ(0, gpu_wait_freed(&self->gpu[0], 0, 0, &now));
		ASSERT_EQ(0, fill(self, 9 + i));
	}
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* One leaves by being unbound; what it had is the other's to use, in RAM. */
TEST_F(gpu_group, rebound)
{
	uint64_t sum;

	expect_read(_metadata, self, 0);
	ASSERT_EQ(0, gpu_bind(self->gpu[0].bdf, false));
	EXPECT_EQ(0, job(&self->gpu[1], IVGPU_JOB_CHECKSUM, self->mem, NULL,
			 SIZE, 0, &sum));
	EXPECT_EQ(pattern_sum(self->ref, SIZE, 0), sum);
	ASSERT_EQ(0, gpu_bind(self->gpu[0].bdf, true));
	ASSERT_EQ(0, gpu_reopen(&self->gpu[0]));
	ASSERT_EQ(0, fill(self, 11));
	expect_read(_metadata, self, 0);
	expect_vram(_metadata, self);
}

struct adder {
	struct gpu *gpu;
	unsigned char *mem;
	bool stop;
	uint64_t count;
	int error;
};

static void *add(void *arg)
{
	struct adder *t = arg;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED) && !t->error) {
		t->error = job(t->gpu, IVGPU_JOB_ADD, t->mem, NULL, SIZE, 1,
			       NULL);
		if (!t->error)
			t->count++;
	}
	return NULL;
}

/* Both engines add to all words, and no addition is lost. */
TEST_F_TIMEOUT(gpu_group, in_flight, 120)
{
	struct adder t[2] = { };
	pthread_t thread[2];
	size_t i;

	memset(self->mem, 0, SIZE);
	for (i = 0; i < 2; i++) {
		t[i].gpu = &self->gpu[i];
		t[i].mem = self->mem;
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, add, &t[i]));
	}
	for (i = 0; i < 10; i++) {
		EXPECT_LE(0, gpu_place(&self->gpu[i / 2 % 2], self->mem, SIZE,
				       IVGPU_PLACE_VRAM));
		EXPECT_EQ(0, gpu_param_set("owner_group", i % 2 ? "Y" : "N"));
	}
	for (i = 0; i < 2; i++) {
		__atomic_store_n(&t[i].stop, true, __ATOMIC_RELAXED);
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(0, t[i].error);
		EXPECT_LT(0, t[i].count);
	}
	for (i = 0; i < SIZE; i += sizeof(uint64_t))
		if (*(uint64_t *)(self->mem + i) != t[0].count + t[1].count)
			break;
	EXPECT_EQ(SIZE, i)
		TH_LOG("%llu after %llu + %llu",
		       (unsigned long long)*(uint64_t *)(self->mem + i),
		       (unsigned long long)t[0].count,
		       (unsigned long long)t[1].count);
}

TEST_HARNESS_MAIN
