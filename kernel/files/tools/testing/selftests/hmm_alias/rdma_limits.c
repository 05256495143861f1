// SPDX-License-Identifier: GPL-2.0
/*
 * How much: what a process may pin, what one message may carry, and what one MR
 * may span.
 */
#include <grp.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "fixture.h"

#define GIB		(1024 * MIB)
#define NOBODY		65534

FIXTURE(rdma_limits) {
	struct rdma_env env;
};

/* Each test opens @env, of the size that it needs. */
FIXTURE_SETUP(rdma_limits)
{
	self->env.gpu.fd = -1;
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
}

FIXTURE_TEARDOWN(rdma_limits)
{
	rdma_env_close(&self->env);
}

/* All of @env->mem is read and written, in one message each, where it is. */
static void expect_in_place(struct __test_metadata *_metadata,
			    struct rdma_env *env, uint64_t seed)
{
	struct drm_ivgpu_counters d;

	EXPECT_EQ(0, rdma_env_read(env, 0, env->size));
	EXPECT_EQ(0, rdma_env_write(env, 0, env->size, seed));
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(env->size), d.alias_pages);
	EXPECT_EQ(0, d.pages_to_ram);
	EXPECT_EQ(0, rdma_env_vram(env, 0, env->size));
}

static int become_nobody(size_t memlock)
{
	const struct rlimit limit = { memlock, memlock };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgroups(0, NULL) ||
	    setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	return 0;
}

/* As rdma_env_open() of 16 MiB, by nobody: nothing is pinned, so @mr is to do. */
static int nobody_open(struct rdma_env *env)
{
	int ret = gpu_consent(true);

	env->size = 16 * MIB;
	/* The node is root's, but what RDMA does is done by who has opened it. */
	if (!ret)
		ret = gpu_open(&env->gpu, 0);
	if (!ret)
		ret = become_nobody(env->size / 2);
	if (!ret)
		ret = rdma_env_prepare(env, false);
	if (ret)
		return ret;
	env->stage_mr = rdma_reg_odp(&env->peer, env->stage, env->size);
	return env->stage_mr ? 0 : -errno;
}

/* RLIMIT_MEMLOCK bounds what is pinned; a refusal comes before any page moves. */
TEST_F_TIMEOUT(rdma_limits, memlock, 60)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	struct ibv_mr *mr;

	ASSERT_EQ(0, nobody_open(env));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	mr = ibv_reg_mr(env->own.pd, env->mem, env->size, RDMA_ACCESS);
	EXPECT_EQ(NULL, mr);
	EXPECT_EQ(ENOMEM, errno);
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(0, d.pages_to_ram);
	/* It is the size that is refused. */
	mr = ibv_reg_mr(env->own.pd, env->stage, env->size / 4, RDMA_ACCESS);
	ASSERT_NE(NULL, mr);
	EXPECT_EQ(0, ibv_dereg_mr(mr));

	env->mr = rdma_reg_odp(&env->own, env->mem, env->size);
	ASSERT_NE(NULL, env->mr);
	expect_in_place(_metadata, env, 2);
}

/*
 * One work request, of which nothing is mapped before it comes. On the debug
 * kernel it takes minutes.
 */
TEST_F_TIMEOUT(rdma_limits, one_message, 500)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, rdma_env_open(env, 160 * MIB, true, true));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	expect_in_place(_metadata, env, 2);
}

/* An MR over a large reservation, of which a few pieces are memory */
TEST_F_TIMEOUT(rdma_limits, reservation, 240)
{
	static const size_t size = 64 * GIB, piece = 2 * MIB;
	const size_t offs[] = { 0, size / 2 - piece, size - piece };
	struct rdma_env *env = &self->env;
	struct ibv_mr *mr, *own_mr;
	unsigned char *own_mem, *map, *p;
	size_t i;

	ASSERT_EQ(0, rdma_env_open(env, piece, true, false));
	own_mem = env->mem;
	own_mr = env->mr;
	map = mmap(NULL, size + piece, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	p = map + -(uintptr_t)map % piece;
	mr = rdma_reg_odp(&env->own, p, size);
	ASSERT_NE(NULL, mr);

	env->mr = mr;
	for (i = 0; i < ARRAY_SIZE(offs); i++) {
		env->mem = p + offs[i];
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_read(env, 0, PAGE));
		ASSERT_EQ(0, rdma_env_reconnect(env));
		ASSERT_EQ(0, mprotect(env->mem, piece, PROT_READ | PROT_WRITE));
		ASSERT_EQ(0, rdma_env_fill(env, 10 + i));
		expect_in_place(_metadata, env, 20 + i);
	}
	env->mem = own_mem;
	env->mr = own_mr;
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	munmap(map, size + piece);
}

TEST_HARNESS_MAIN
