// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that use malloc(): the same addresses come back from the heap, while
 * a cache keeps their registrations, and while the pages are where a device has
 * left them.
 */
#include <malloc.h>
#include <pthread.h>

#include "fixture.h"

#define BLOCK		(96 * 1024UL)	/* less than what malloc() maps */
#define SLOTS		24
#define CACHE		256
#define THREADS		4
#define ROUNDS		40
#define STAGE		(128 * 1024UL)

/**
 * struct heap - a registration cache
 * @env: the connection; the memory is not its
 * @cache: on-demand MRs, which are not deregistered when a block is freed
 * @cached: number of @cache
 * @hits: blocks for which an MR was there
 */
struct heap {
	struct rdma_env env;
	struct ibv_mr *cache[CACHE];
	int cached;
	int hits;
};

FIXTURE(rdma_heap) {
	struct heap heap;
};

FIXTURE_VARIANT(rdma_heap) {
	bool consent;
};

FIXTURE_VARIANT_ADD(rdma_heap, consent) { .consent = true };
FIXTURE_VARIANT_ADD(rdma_heap, refused) { .consent = false };

FIXTURE_SETUP(rdma_heap)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	/* One heap, by brk(), which does not shrink */
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 32 * MIB);
	mallopt(M_TRIM_THRESHOLD, 512 * MIB);
	ASSERT_EQ(0, rdma_env_open(&self->heap.env, STAGE, variant->consent, false));
}

FIXTURE_TEARDOWN(rdma_heap)
{
	struct heap *heap = &self->heap;

	while (heap->cached)
		ibv_dereg_mr(heap->cache[--heap->cached]);
	rdma_env_close(&heap->env);
	gpu_consent(true);
}

/* The MR of a block: of an earlier one at that place, or a new one */
static struct ibv_mr *cache_get(struct heap *heap, void *addr,
				size_t len)
{
	uintptr_t start = (uintptr_t)addr & -PAGE;
	uintptr_t end = ((uintptr_t)addr + len + PAGE - 1) & -PAGE;
	struct ibv_mr *mr;
	int i;

	for (i = 0; i < heap->cached; i++) {
		mr = heap->cache[i];
		if ((uintptr_t)mr->addr <= start &&
		    (uintptr_t)mr->addr + mr->length >= end) {
			heap->hits++;
			return mr;
		}
	}
	if (heap->cached == CACHE)
		return NULL;
	mr = rdma_reg_odp(&heap->env.own, (void *)start, end - start);
	if (mr)
		heap->cache[heap->cached++] = mr;
	return mr;
}

/* Does the peer READ what the block contains, and is what it WRITEs there? */
static int check_block(struct heap *heap, void *block, size_t len,
		       uint64_t seed)
{
	struct rdma_env *env = &heap->env;
	struct ibv_mr *mr = cache_get(heap, block, len);
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = len,
		.remote = (uintptr_t)block,
	};
	int ret;

	if (!mr)
		return -ENOMEM;
	wr.rkey = mr->rkey;
	memset(env->stage, 0xa5, len);
	ret = rdma_run(&env->peer, &wr);
	if (ret)
		return ret;
	pattern_fill(env->ref, len, seed, 0);
	if (memcmp(env->stage, env->ref, len))
		return -EILSEQ;
	pattern_fill(env->stage, len, seed + 1, 0);
	wr.op = IBV_WR_RDMA_WRITE;
	ret = rdma_run(&env->peer, &wr);
	if (ret)
		return ret;
	return memcmp(block, env->stage, len) ? -EILSEQ : 0;
}

/* The whole pages of a block, which a device can have */
static void *inner(void *block)
{
	return (void *)(((uintptr_t)block + PAGE - 1) & -PAGE);
}

#define INNER		(BLOCK - 2 * PAGE)

/*
 * Blocks are freed and allocated again, at addresses that are registered, in
 * pages that are in VRAM or in RAM. Sizes differ, so that blocks share pages.
 */
TEST_F_TIMEOUT(rdma_heap, registration_cache, 240)
{
	struct heap *heap = &self->heap;
	struct rdma_env *env = &heap->env;
	uint64_t random = 1, seed[SLOTS];
	void *block[SLOTS] = { 0 };
	size_t len[SLOTS];
	int i, slot;

	for (i = 0; i < SLOTS * 8; i++) {
		random = pattern_word(random, i);
		slot = random % SLOTS;
		free(block[slot]);
		len[slot] = (BLOCK - random / SLOTS % 8 * 4096 - 8) & -8;
		seed[slot] = i * 2;
		block[slot] = malloc(len[slot]);
		ASSERT_NE(NULL, block[slot]);
		/* Below the end of the heap: not a mapping of its own */
		ASSERT_LT((uintptr_t)block[slot], (uintptr_t)sbrk(0));
		/* The device had it, or gets it now, or the CPU writes first */
		if (random & 0x10000)
			ASSERT_LE(0, gpu_place(&env->gpu, inner(block[slot]),
					       BLOCK / 2, IVGPU_PLACE_VRAM));
		pattern_fill(block[slot], len[slot], seed[slot], 0);
		if (random & 0x20000)
			ASSERT_LE(0, gpu_place(&env->gpu, inner(block[slot]),
					       BLOCK / 2, IVGPU_PLACE_VRAM));
		ASSERT_EQ(0, check_block(heap, block[slot], len[slot],
					 seed[slot]))
			TH_LOG("round %d", i);
		seed[slot]++;
	}
	EXPECT_LT(0, heap->hits);
	for (slot = 0; slot < SLOTS; slot++) {
		if (!block[slot])
			continue;
		pattern_fill(env->ref, len[slot], seed[slot], 0);
		EXPECT_EQ(0, memcmp(block[slot], env->ref, len[slot]));
		free(block[slot]);
	}
}

struct toucher {
	pthread_t thread;
	struct gpu *gpu;
	unsigned int id;
	bool stop;
	unsigned long rounds;
	int error;
};

/* What was freed in VRAM is what this thread writes to first. */
static void *touch(void *arg)
{
	struct toucher *t = arg;
	unsigned char *p;
	size_t i;

	while (!__atomic_load_n(&t->stop, __ATOMIC_RELAXED) && !t->error) {
		p = malloc(BLOCK);
		if (!p) {
			t->error = -ENOMEM;
			break;
		}
		memset(p, t->id + t->rounds, BLOCK);
		if (gpu_place(t->gpu, inner(p), INNER, IVGPU_PLACE_VRAM) < 0)
			t->error = -EIO;
		for (i = 0; i < BLOCK; i++)
			if (p[i] != (unsigned char)(t->id + t->rounds))
				t->error = -EILSEQ;
		if (t->rounds % 2 &&
		    gpu_place(t->gpu, inner(p), INNER, IVGPU_PLACE_VRAM) < 0)
			t->error = -EIO;
		free(p);
		t->rounds++;
	}
	return NULL;
}

/* Threads allocate, touch, place and free while the peer works on the heap. */
TEST_F_TIMEOUT(rdma_heap, first_touch, 240)
{
	struct heap *heap = &self->heap;
	struct toucher t[THREADS] = { 0 };
	struct rdma_env *env = &heap->env;
	unsigned char *keep[8], *p;
	int i;

	/* One MR over all that the heap may become */
	p = malloc(16 * MIB);
	ASSERT_NE(NULL, p);
	ASSERT_NE(NULL, cache_get(heap, p, 16 * MIB));
	memset(p, 1, 16 * MIB);
	ASSERT_LE(0, gpu_place(&env->gpu, inner(p), 15 * MIB,
			       IVGPU_PLACE_VRAM));
	free(p);

	for (i = 0; i < THREADS; i++) {
		t[i].gpu = &env->gpu;
		t[i].id = 16 * (i + 1);
		ASSERT_EQ(0, pthread_create(&t[i].thread, NULL, touch, &t[i]));
	}
	for (i = 0; i < ROUNDS; i++) {
		int slot = i % ARRAY_SIZE(keep);

		if (i >= ARRAY_SIZE(keep))
			free(keep[slot]);
		keep[slot] = malloc(BLOCK);
		EXPECT_NE(NULL, keep[slot]);
		pattern_fill(keep[slot], BLOCK, i * 2, 0);
		EXPECT_EQ(0, check_block(heap, keep[slot], BLOCK, i * 2))
			TH_LOG("round %d", i);
	}
	for (i = 0; i < THREADS; i++) {
		__atomic_store_n(&t[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(t[i].thread, NULL);
		EXPECT_EQ(0, t[i].error);
		EXPECT_LT(0, t[i].rounds);
	}
	EXPECT_LT(0, heap->hits);
}

TEST_HARNESS_MAIN
