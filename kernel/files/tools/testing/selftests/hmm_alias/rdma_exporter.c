// SPDX-License-Identifier: GPL-2.0
/*
 * What an exporter may be like, and what may become of it: a small aperture,
 * no CPU access, full VRAM, a second device, and being unbound in use.
 */
#include "fixture.h"

#define SIZE		(4 * MIB)

FIXTURE(rdma_exporter) {
	struct rdma_env env;
	char aperture[16];
	char cpu_access[8];
	bool rebound;
};

FIXTURE_SETUP(rdma_exporter)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, gpu_param_get("aperture", self->aperture,
				   sizeof(self->aperture)));
	ASSERT_EQ(0, gpu_param_get("cpu_access", self->cpu_access,
				   sizeof(self->cpu_access)));
	ASSERT_EQ(0, rdma_env_open(&self->env, SIZE, true, false));
}

/* Also after a crash, the next test finds the device as it was. */
FIXTURE_TEARDOWN_PARENT(rdma_exporter)
{
	struct gpu gpu = self->env.gpu;

	if (!self->rebound)
		return;
	gpu.fd = -1;
	EXPECT_EQ(0, gpu_param_set("cpu_access", self->cpu_access));
	EXPECT_EQ(0, gpu_rebind(&gpu, "aperture", self->aperture));
	gpu_close(&gpu);
}

/*
 * Big memory, in which the peer looks at one odd piece per MiB: what a CPU can
 * emulate in an acceptable time.
 */
#define PIECE_LEN	11

/* Across a page boundary, at another page in each MiB. */
static size_t piece_off(size_t off)
{
	return off + off / MIB % 250 * PAGE + PAGE - 5;
}

struct big {
	unsigned char *mem;
	size_t size;
	void *map;
	size_t map_size;
	struct ibv_mr *mr;
};

static int big_open(struct rdma_env *env, struct big *big, size_t size)
{
	big->size = size;
	big->mem = map_aligned(size, false, &big->map, &big->map_size);
	if (!big->mem)
		return -ENOMEM;
	big->mr = rdma_reg_odp(&env->own, big->mem, size);
	return big->mr ? 0 : -errno;
}

static void big_close(struct big *big)
{
	ibv_dereg_mr(big->mr);
	munmap(big->map, big->map_size);
}

/* In one call, which begins again after every migration */
static int big_prefetch(struct rdma_env *env, struct big *big)
{
	return rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH,
			   IBV_ADVISE_MR_FLAG_FLUSH, big->mr, big->mem,
			   big->size);
}

/* What byte @off of a FILL with @seed is. */
static unsigned char pattern_byte(uint64_t seed, size_t off)
{
	return pattern_word(seed, off / 8) >> off % 8 * 8;
}

/* READs all pieces if @op says so, else WRITEs the complement of the data. */
static int big_run(struct rdma_env *env, struct big *big,
		   enum ibv_wr_opcode op, uint64_t seed, bool inverted)
{
	unsigned char flip = inverted ? 0xff : 0;
	size_t off, i;
	int ret;

	for (off = 0; off < big->size; off += MIB) {
		struct rdma_wr wr = {
			.op = op,
			.mr = env->stage_mr,
			.local = env->stage,
			.len = PIECE_LEN,
			.remote = (uintptr_t)big->mem + piece_off(off),
			.rkey = big->mr->rkey,
		};

		for (i = 0; i < PIECE_LEN; i++)
			env->stage[i] = op == IBV_WR_RDMA_READ ? 0 :
				pattern_byte(seed, piece_off(off) + i) ^ flip;
		ret = rdma_run(&env->peer, &wr);
		if (ret)
			return ret;
		for (i = 0; i < PIECE_LEN; i++)
			if (env->stage[i] != (unsigned char)
			    (pattern_byte(seed, piece_off(off) + i) ^ flip))
				return -EILSEQ;
	}
	return 0;
}

/* The CPU sees complemented pieces, and all else as the engine filled it. */
static int big_cpu(struct big *big, uint64_t seed)
{
	size_t off, i;

	for (i = 0; i < big->size; i += 8) {
		uint64_t want = pattern_word(seed, i / 8);
		unsigned char *b = (unsigned char *)&want;
		size_t j, piece;

		off = i / MIB * MIB;
		piece = piece_off(off);
		if (i + 8 > piece && i < piece + PIECE_LEN)
			for (j = 0; j < 8; j++)
				if (i + j >= piece && i + j < piece + PIECE_LEN)
					b[j] ^= 0xff;
		if (memcmp(big->mem + i, &want, 8))
			return -EILSEQ;
	}
	return 0;
}

TEST_F_TIMEOUT(rdma_exporter, small_aperture, 120)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	uint64_t size = env->gpu.info.vram_size;
	struct big big;
	char mib[16];

	/* Whatever part of VRAM is used first, nearly all of it is used. */
	snprintf(mib, sizeof(mib), "%lu", (unsigned long)(size / 2 / MIB));
	self->rebound = true;
	ASSERT_EQ(0, gpu_rebind(&env->gpu, "aperture", mib));
	ASSERT_EQ(size / 2, env->gpu.info.aperture_size);

	ASSERT_EQ(0, big_open(env, &big, size - size / 8));
	ASSERT_EQ(0, gpu_fill(&env->gpu, big.mem, big.size, 3));
	ASSERT_EQ(0, rdma_env_mark(env));
	EXPECT_EQ(0, big_prefetch(env, &big));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_LE(nr_pages(size / 2 - size / 8), d.alias_pages);
	EXPECT_LE(nr_pages(size / 2 - size / 8), d.pages_to_ram);
	EXPECT_LT(0, d.alias_refused);
	EXPECT_EQ(nr_pages(big.size), d.alias_pages + d.pages_to_ram);

	EXPECT_EQ(0, big_run(env, &big, IBV_WR_RDMA_READ, 3, false));
	EXPECT_EQ(0, big_run(env, &big, IBV_WR_RDMA_WRITE, 3, true));
	EXPECT_EQ(0, big_run(env, &big, IBV_WR_RDMA_READ, 3, true));
	EXPECT_EQ(0, big_cpu(&big, 3));
	big_close(&big);
}

TEST_F_TIMEOUT(rdma_exporter, vram_pressure, 120)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	struct big big;
	uint64_t size;

	size = env->gpu.info.vram_size;
	ASSERT_EQ(0, rdma_env_fill(env, 2));
	ASSERT_EQ(0, rdma_env_read(env, 0, SIZE));
	ASSERT_EQ(0, rdma_env_mark(env));

	ASSERT_EQ(0, big_open(env, &big, size + size / 8));
	ASSERT_EQ(0, gpu_fill(&env->gpu, big.mem, big.size, 4));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_LE(nr_pages(size / 8), d.pages_evicted);
	EXPECT_GE(nr_pages(size), d.vram_pages_used);

	/* Evicted while it was aliased. */
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, big_run(env, &big, IBV_WR_RDMA_READ, 4, false));
	EXPECT_EQ(0, big_run(env, &big, IBV_WR_RDMA_WRITE, 4, true));
	EXPECT_EQ(0, big_run(env, &big, IBV_WR_RDMA_READ, 4, true));
	EXPECT_EQ(0, big_cpu(&big, 4));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	big_close(&big);
}

/*
 * The peer never reads through the CPU what its owner does not let it. What its
 * DMA engine does is another matter.
 */
TEST_F(rdma_exporter, no_cpu_access)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	self->rebound = true;
	ASSERT_EQ(0, gpu_rebind(&env->gpu, "cpu_access", "N"));
	ASSERT_EQ(0, env->gpu.info.flags & IVGPU_INFO_CPU_ACCESS);
	ASSERT_EQ(IVGPU_INFO_P2P, env->gpu.info.flags & IVGPU_INFO_P2P);
	ASSERT_EQ(0, rdma_env_fill(env, 5));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(env->own.cpu ? 0 : nr_pages(SIZE), d.alias_pages);
	EXPECT_EQ(env->own.cpu ? nr_pages(SIZE) : 0, d.pages_to_ram);
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 6));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_exporter, unbind_in_use)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	struct drm_ivgpu_info info;

	ASSERT_EQ(0, rdma_env_fill(env, 7));
	ASSERT_EQ(0, rdma_env_write(env, 0, SIZE, 8));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	ASSERT_EQ(nr_pages(SIZE), d.alias_pages);
	ASSERT_EQ(0, d.pages_to_ram);

	self->rebound = true;
	ASSERT_EQ(0, gpu_bind(env->gpu.bdf, false));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 1, SIZE - 2, 9));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	EXPECT_EQ(-ENODEV, gpu_ioctl(&env->gpu, DRM_IOCTL_IVGPU_GET_INFO,
				     &info));
	EXPECT_EQ(-ENODEV, gpu_fill(&env->gpu, env->mem, SIZE, 1));

	/* With the old file still open. */
	ASSERT_EQ(0, gpu_bind(env->gpu.bdf, true));
	ASSERT_EQ(0, gpu_reopen(&env->gpu));
	ASSERT_EQ(0, rdma_env_fill(env, 10));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_exporter, two_devices)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters before, after, d;
	struct gpu second;
	uint64_t sum;

	if (gpu_count() < 2)
		SKIP(return, "one ivshmem-plain device only");
	ASSERT_EQ(0, gpu_open(&second, 1));
	ASSERT_EQ(0, gpu_fill(&env->gpu, env->mem, SIZE / 2, 11));
	ASSERT_EQ(0, gpu_fill(&second, env->mem + SIZE / 2, SIZE / 2, 12));
	pattern_fill(env->ref, SIZE / 2, 11, 0);
	pattern_fill(env->ref + SIZE / 2, SIZE / 2, 12, 0);
	ASSERT_EQ(0, rdma_env_mark(env));
	ASSERT_EQ(0, gpu_counters(&second, &before));

	/* One READ and one WRITE that each cross from one to the other. */
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, PAGE + 1, SIZE - 2 * PAGE, 13));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));

	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(SIZE / 2), d.alias_pages);
	EXPECT_EQ(0, d.pages_to_ram);
	ASSERT_EQ(0, gpu_counters(&second, &after));
	EXPECT_EQ(nr_pages(SIZE / 2),
		  after.alias_pages - before.alias_pages);
	EXPECT_EQ(0, after.pages_to_ram - before.pages_to_ram);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE / 2));
	EXPECT_EQ(0, gpu_sum(&second, env->mem + SIZE / 2, SIZE / 2,
			     IVGPU_JOB_FLAG_VRAM_ONLY, &sum));
	EXPECT_EQ(pattern_sum(env->ref + SIZE / 2, SIZE / 2, 0), sum);

	/* All of it to the second, from under the aliases of the first. */
	EXPECT_EQ(nr_pages(SIZE), gpu_place(&second, env->mem, SIZE,
					    IVGPU_PLACE_VRAM));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 3, SIZE - 5, 14));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	gpu_close(&second);
}

TEST_HARNESS_MAIN
