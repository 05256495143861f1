// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA between two machines, into and out of device memory of each, at the same
 * time. Both run this, and check what the other one has done.
 */
#include "fixture.h"
#include "pair_env.h"

#define SIZE		(2 * MIB)
#define ROUNDS		4

FIXTURE(pair) {
	struct pair p;
};

FIXTURE_VARIANT(pair) {
	bool consent;
};

FIXTURE_VARIANT_ADD(pair, consent) { .consent = true };
FIXTURE_VARIANT_ADD(pair, refused) { };

FIXTURE_SETUP(pair)
{
	if (pair_absent())
		SKIP(return, "%s", pair_absent());
	ASSERT_EQ(0, pair_open(&self->p, SIZE, variant->consent));
}

FIXTURE_TEARDOWN(pair)
{
	pair_close(&self->p);
	gpu_consent(true);
}

TEST_F_TIMEOUT(pair, read, 400)
{
	struct pair *p = &self->p;
	unsigned char *want = malloc(SIZE);
	int i;

	for (i = 1; i <= ROUNDS; i++) {
		/* What has moved is aliased anew; what stays would not be. */
		ASSERT_LE(0, gpu_place(&p->env.gpu, p->env.mem, SIZE,
				       IVGPU_PLACE_RAM));
		ASSERT_EQ(0, pair_fill(p, i));
		ASSERT_EQ(0, pair_meet(p));
		memset(p->buf, 0xa5, SIZE);
		EXPECT_EQ(0, pair_run(p, IBV_WR_RDMA_READ));
		pattern_fill(want, SIZE, pair_seed(!p->me, i), 0);
		EXPECT_EQ(0, memcmp(want, p->buf, SIZE));
		ASSERT_EQ(0, pair_meet(p));
		expect_consent(_metadata, &p->env, variant->consent);
	}
	EXPECT_EQ(0, rdma_env_cpu(&p->env, 0, SIZE));
	free(want);
}

TEST_F_TIMEOUT(pair, write, 400)
{
	struct pair *p = &self->p;
	int i;

	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_EQ(0, rdma_env_mark(&p->env));
		pattern_fill(p->buf, SIZE, pair_seed(p->me, 10 + i), 0);
		ASSERT_EQ(0, pair_meet(p));
		EXPECT_EQ(0, pair_run(p, IBV_WR_RDMA_WRITE));
		ASSERT_EQ(0, pair_meet(p));
		/* The other one has written this. */
		pattern_fill(p->env.ref, SIZE, pair_seed(!p->me, 10 + i), 0);
		if (i == 1)
			expect_consent(_metadata, &p->env, variant->consent);
		if (variant->consent)
			EXPECT_EQ(0, rdma_env_vram(&p->env, 0, SIZE));
	}
	EXPECT_EQ(0, rdma_env_cpu(&p->env, 0, SIZE));
}

/* Each sends first in turn, so that one of them waits for a receive. */
TEST_F_TIMEOUT(pair, send, 400)
{
	const uint32_t len = SIZE - 1021;
	struct pair *p = &self->p;
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.mr = p->mr,
		.local = p->buf,
		.len = len,
	};
	int i;

	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_EQ(0, pair_meet(p));
		if (i % 2 == p->me) {
			pattern_fill(p->buf, SIZE, pair_seed(p->me, i), 0);
			EXPECT_EQ(0, rdma_run(&p->end, &wr));
			continue;
		}
		ASSERT_EQ(0, pair_fill(p, i));
		if (i > 2)
			usleep(100000);
		ASSERT_EQ(0, rdma_post_recv(&p->end, p->env.mr, p->env.mem,
					    len));
		EXPECT_EQ(0, rdma_wait(&p->end, NULL));
		pattern_fill(p->buf, SIZE, pair_seed(!p->me, i), 0);
		memcpy(p->env.ref, p->buf, len);
		expect_consent(_metadata, &p->env, variant->consent);
		EXPECT_EQ(0, rdma_env_cpu(&p->env, 0, SIZE));
	}
	ASSERT_EQ(0, pair_meet(p));
}

/* Both add to a word of the other's; the value from before comes back. */
TEST_F_TIMEOUT(pair, atomic, 400)
{
	struct pair *p = &self->p;
	struct rdma_wr wr = {
		.op = IBV_WR_ATOMIC_FETCH_AND_ADD,
		.mr = p->mr,
		.local = p->buf,
		.len = 8,
		.remote = p->other.va + 64,
		.rkey = p->other.rkey,
		.a = 3,
	};
	uint64_t mine, theirs;
	int i;

	theirs = pattern_word(pair_seed(!p->me, 0), 8);
	for (i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(0, rdma_run(&p->end, &wr));
		EXPECT_EQ(theirs + 3 * i, *(uint64_t *)p->buf);
	}
	ASSERT_EQ(0, pair_meet(p));
	mine = pattern_word(pair_seed(p->me, 0), 8) + 3 * ROUNDS;
	memcpy(p->env.ref + 64, &mine, 8);
	EXPECT_EQ(0, rdma_env_cpu(&p->env, 0, SIZE));
}

/* What the other machine refuses is an error here, and an event there. */
TEST_F_TIMEOUT(pair, refuses, 400)
{
	struct pair *p = &self->p;

	if (p->me) {
		p->other.rkey ^= 0x5500;
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
			  pair_run(p, IBV_WR_RDMA_WRITE));
	}
	ASSERT_EQ(0, pair_meet(p));
	EXPECT_EQ(0, rdma_env_cpu(&p->env, 0, SIZE));
}

TEST_HARNESS_MAIN
