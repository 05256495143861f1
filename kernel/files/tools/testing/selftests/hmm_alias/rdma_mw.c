// SPDX-License-Identifier: GPL-2.0
/*
 * Memory windows over an on-demand MR in VRAM: their bounds and their end. rxe
 * frees the windows of a QP that is destroyed. With an HCA that is the program's
 * affair: such a window leads nowhere, and is bound again only after it was freed.
 */
#include <sys/wait.h>
#include <time.h>

#include "fixture.h"

#define SIZE		(8 * PAGE)
#define FIRST		PAGE		/* of the window */
#define WINDOW		(2 * PAGE)
/* A QP is destroyed at once; 50 s is when rxe no longer waits for references */
#define SOON		20

FIXTURE(rdma_mw) {
	struct rdma_env env;
	struct ibv_mr *mr;
	struct ibv_mw *mw;
};

FIXTURE_SETUP(rdma_mw)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	self->mr = ibv_reg_mr(env->own.pd, env->mem, SIZE, RDMA_ACCESS |
			      IBV_ACCESS_ON_DEMAND | IBV_ACCESS_MW_BIND);
	ASSERT_NE(NULL, self->mr);
	self->mw = ibv_alloc_mw(env->own.pd, IBV_MW_TYPE_2);
	ASSERT_NE(NULL, self->mw);
}

FIXTURE_TEARDOWN(rdma_mw)
{
	if (self->mw)
		EXPECT_EQ(0, ibv_dealloc_mw(self->mw));
	EXPECT_EQ(0, ibv_dereg_mr(self->mr));
	EXPECT_EQ(0, rdma_env_cpu(&self->env, 0, SIZE));
	rdma_env_close(&self->env);
}

/* A new window in the place of one whose QP is gone */
static int fresh_mw(struct rdma_env *env, struct ibv_mw **mw)
{
	int ret = -ibv_dealloc_mw(*mw);

	*mw = NULL;
	if (!ret)
		*mw = ibv_alloc_mw(env->own.pd, IBV_MW_TYPE_2);
	return ret ? ret : *mw ? 0 : -errno;
}

static int peer_op(struct rdma_env *env, enum ibv_wr_opcode op,
		   struct ibv_mw *mw, uint64_t remote, uint32_t len)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = len,
		.remote = remote,
		.rkey = mw->rkey,
		.a = 1,
	};

	return rdma_run(&env->peer, &wr);
}

/* A window from @base on, in the peer's addresses, over FIRST and WINDOW */
static void check_bounds(struct __test_metadata *_metadata,
			 struct rdma_env *env, struct ibv_mr *mr,
			 struct ibv_mw **mw, uint64_t base, unsigned int access)
{
	const struct {
		enum ibv_wr_opcode op;
		uint64_t remote;
		uint32_t len;
	} refused[] = {
		{ IBV_WR_RDMA_READ, base - 1, 1 },
		{ IBV_WR_RDMA_READ, base + WINDOW, 1 },
		{ IBV_WR_RDMA_WRITE, base - 8, 16 },
		{ IBV_WR_RDMA_WRITE, base + WINDOW - 8, 16 },
		{ IBV_WR_RDMA_WRITE, base, WINDOW + 1 },
		{ IBV_WR_ATOMIC_FETCH_AND_ADD, base + WINDOW, 8 },
		{ IBV_WR_ATOMIC_WRITE, base - 8, 8 },
	};
	uint64_t addr = (uintptr_t)env->mem + FIRST;
	size_t i;

	access |= IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE |
		  IBV_ACCESS_REMOTE_ATOMIC;
	ASSERT_EQ(0, rdma_bind_mw(&env->own, mr, *mw, addr, WINDOW, access));
	memset(env->stage, 0, SIZE);
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, *mw, base, WINDOW));
	EXPECT_EQ(0, memcmp(env->stage, env->ref + FIRST, WINDOW));
	memset(env->stage, 0x5c, WINDOW);
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_WRITE, *mw, base, WINDOW));
	memset(env->ref + FIRST, 0x5c, WINDOW);

	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		if (refused[i].op == IBV_WR_ATOMIC_WRITE &&
		    !env->peer.atomic_write)
			continue;
		memset(env->stage, 0xa5, SIZE);
		ASSERT_EQ(IBV_WC_REM_ACCESS_ERR,
			  peer_op(env, refused[i].op, *mw, refused[i].remote,
				  refused[i].len))
			TH_LOG("case %zu", i);
		/* The QP that it was bound to is gone, and so is the window. */
		ASSERT_EQ(0, rdma_env_reconnect(env));
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
			  peer_op(env, IBV_WR_RDMA_READ, *mw, base, 1));
		ASSERT_EQ(0, rdma_env_reconnect(env));
		if (!env->own.cpu)
			ASSERT_EQ(0, fresh_mw(env, mw));
		ASSERT_EQ(0, rdma_bind_mw(&env->own, mr, *mw, addr, WINDOW,
					  access));
	}
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, *mw, base + WINDOW - 1, 1));
}

TEST_F_TIMEOUT(rdma_mw, bounds, 300)
{
	check_bounds(_metadata, &self->env, self->mr, &self->mw,
		     (uintptr_t)self->env.mem + FIRST, 0);
}

TEST_F_TIMEOUT(rdma_mw, bounds_zero_based, 300)
{
	check_bounds(_metadata, &self->env, self->mr, &self->mw, 0,
		     IBV_ACCESS_ZERO_BASED);
}

/*
 * Windows that are not within the MR: there is none, or none of what is outside
 * is reached through it. An HCA looks when the window is used.
 */
TEST_F_TIMEOUT(rdma_mw, bind_outside, 120)
{
	struct rdma_env *env = &self->env;
	uint64_t addr = (uintptr_t)env->mem;
	const struct {
		uint64_t addr, len, outside;
	} bad[] = {
		{ addr - 1, 2, addr - 1 },
		{ addr + SIZE - 1, 2, addr + SIZE },
		{ addr, SIZE + 1, addr + SIZE },
		{ addr + SIZE, 1, addr + SIZE },
		{ -1ULL, 2, -1ULL },
		{ addr, -addr + 8, addr + SIZE },
	};
	unsigned int access;
	size_t i, zero;
	int ret;

	for (zero = 0; zero < 2; zero++) {
		access = IBV_ACCESS_REMOTE_READ |
			 (zero ? IBV_ACCESS_ZERO_BASED : 0);
		for (i = 0; i < ARRAY_SIZE(bad); i++) {
			ret = rdma_bind_mw(&env->own, self->mr, self->mw,
					   bad[i].addr, bad[i].len, access);
			if (env->own.cpu)
				ASSERT_LT(0, ret) TH_LOG("case %zu", i);
			if (!ret)
				EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
					  peer_op(env, IBV_WR_RDMA_READ,
						  self->mw, bad[i].outside -
						  (zero ? bad[i].addr : 0), 1))
					TH_LOG("case %zu", i);
			ASSERT_EQ(0, rdma_env_reconnect(env));
			if (!env->own.cpu)
				ASSERT_EQ(0, fresh_mw(env, &self->mw));
		}
	}
}

/* A window of type 1 belongs to no QP, and is bound anew as it is. */
TEST_F(rdma_mw, type_1)
{
	struct rdma_env *env = &self->env;
	struct ibv_mw *mw = ibv_alloc_mw(env->own.pd, IBV_MW_TYPE_1);
	uint64_t addr = (uintptr_t)env->mem;
	struct ibv_mw_bind bind = {
		.bind_info = {
			.mr = self->mr,
			.addr = addr,
			.length = WINDOW,
			.mw_access_flags = IBV_ACCESS_REMOTE_READ,
		},
	};

	ASSERT_NE(NULL, mw);
	ASSERT_EQ(0, ibv_bind_mw(env->own.qp, mw, &bind));
	ASSERT_EQ(0, rdma_wait(&env->own, NULL));
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mw, addr, WINDOW));
	EXPECT_EQ(0, memcmp(env->stage, env->ref, WINDOW));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mw, addr, 8));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, IBV_WR_RDMA_WRITE, mw, addr, 8));
	ASSERT_EQ(0, rdma_env_reconnect(env));

	bind.bind_info.addr = addr + FIRST;
	ASSERT_EQ(0, ibv_bind_mw(env->own.qp, mw, &bind));
	ASSERT_EQ(0, rdma_wait(&env->own, NULL));
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mw, addr + FIRST, WINDOW));
	EXPECT_EQ(0, memcmp(env->stage, env->ref + FIRST, WINDOW));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, IBV_WR_RDMA_READ, mw, addr, 8));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, ibv_dealloc_mw(mw));
	expect_consent(_metadata, env, true);
}

/* Whoever invalidates a window, it leads nowhere until it is bound again. */
TEST_F(rdma_mw, invalidated)
{
	struct rdma_env *env = &self->env;
	uint64_t addr = (uintptr_t)env->mem;
	struct ibv_send_wr wr = { }, *bad;
	int by_peer;

	for (by_peer = 0; by_peer < 2; by_peer++) {
		ASSERT_EQ(0, rdma_bind_mw(&env->own, self->mr, self->mw, addr,
					  SIZE, IBV_ACCESS_REMOTE_READ));
		EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, self->mw, addr,
				     SIZE));
		EXPECT_EQ(0, memcmp(env->stage, env->ref, SIZE));
		wr.invalidate_rkey = self->mw->rkey;
		wr.opcode = by_peer ? IBV_WR_SEND_WITH_INV : IBV_WR_LOCAL_INV;
		if (by_peer) {
			ASSERT_EQ(0, rdma_post_recv(&env->own, env->mr,
						    env->mem, 8));
			ASSERT_EQ(0, ibv_post_send(env->peer.qp, &wr, &bad));
			EXPECT_EQ(0, rdma_wait(&env->peer, NULL));
		} else {
			ASSERT_EQ(0, ibv_post_send(env->own.qp, &wr, &bad));
		}
		EXPECT_EQ(0, rdma_wait(&env->own, NULL));
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
			  peer_op(env, IBV_WR_RDMA_READ, self->mw, addr, 8));
		ASSERT_EQ(0, rdma_env_reconnect(env));
	}
	expect_consent(_metadata, env, true);
}

/* Another QP, which may be that of another user, cannot invalidate it. */
TEST_F(rdma_mw, invalidated_by_another)
{
	struct rdma_env *env = &self->env;
	uint64_t addr = (uintptr_t)env->mem;
	struct ibv_send_wr wr = { .opcode = IBV_WR_LOCAL_INV }, *bad;
	struct rdma_end other, its_peer;

	ASSERT_EQ(0, rdma_end_twin(&other, &env->own));
	ASSERT_EQ(0, rdma_end_twin(&its_peer, &env->peer));
	ASSERT_EQ(0, rdma_connect(&other, &its_peer));
	ASSERT_EQ(0, rdma_bind_mw(&env->own, self->mr, self->mw, addr, SIZE,
				  IBV_ACCESS_REMOTE_READ));
	wr.invalidate_rkey = self->mw->rkey;
	ASSERT_EQ(0, ibv_post_send(other.qp, &wr, &bad));
	EXPECT_LT(0, rdma_wait(&other, NULL));
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, self->mw, addr, SIZE));
	EXPECT_EQ(0, memcmp(env->stage, env->ref, SIZE));
	rdma_end_close(&its_peer);
	rdma_end_close(&other);
}

static bool soon(time_t from)
{
	return time(NULL) - from < SOON;
}

/* The QP of a bound window is destroyed. */
TEST_F_TIMEOUT(rdma_mw, destroy_qp, 120)
{
	struct rdma_env *env = &self->env;
	time_t from = time(NULL);

	ASSERT_EQ(0, rdma_bind_mw(&env->own, self->mr, self->mw,
				  (uintptr_t)env->mem, SIZE,
				  IBV_ACCESS_REMOTE_READ));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_TRUE(soon(from));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, IBV_WR_RDMA_READ, self->mw,
			  (uintptr_t)env->mem, 8));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	if (!env->own.cpu)
		ASSERT_EQ(0, fresh_mw(env, &self->mw));
	EXPECT_EQ(0, rdma_bind_mw(&env->own, self->mr, self->mw,
				  (uintptr_t)env->mem, SIZE,
				  IBV_ACCESS_REMOTE_READ));
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, self->mw,
			     (uintptr_t)env->mem, 8));
}

/* A process that has one dies. */
TEST_F_TIMEOUT(rdma_mw, killed, 120)
{
	time_t from = time(NULL);
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		struct rdma_env env;
		struct ibv_mw *mw;
		struct ibv_mr *mr;

		if (rdma_env_open(&env, SIZE, true, false))
			_exit(1);
		mr = ibv_reg_mr(env.own.pd, env.mem, SIZE, RDMA_ACCESS |
				IBV_ACCESS_ON_DEMAND | IBV_ACCESS_MW_BIND);
		mw = ibv_alloc_mw(env.own.pd, IBV_MW_TYPE_2);
		if (!mr || !mw ||
		    rdma_bind_mw(&env.own, mr, mw, (uintptr_t)env.mem, SIZE,
				 IBV_ACCESS_REMOTE_READ))
			_exit(2);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(soon(from));
}

/* A window that is not bound cannot be invalidated: NULL pointers were used. */
TEST_F(rdma_mw, invalidate_free)
{
	struct rdma_env *env = &self->env;
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_LOCAL_INV,
		.invalidate_rkey = self->mw->rkey,
	}, *bad;

	ASSERT_EQ(0, ibv_post_send(env->own.qp, &wr, &bad));
	EXPECT_LT(0, rdma_wait(&env->own, NULL));
	ASSERT_EQ(0, rdma_env_reconnect(env));

	/* By the peer */
	wr.opcode = IBV_WR_SEND_WITH_INV;
	ASSERT_EQ(0, rdma_post_recv(&env->own, env->mr, env->mem, 8));
	ASSERT_EQ(0, ibv_post_send(env->peer.qp, &wr, &bad));
	EXPECT_LT(0, rdma_wait(&env->own, NULL));
	ASSERT_EQ(0, rdma_env_reconnect(env));

	/* Bound, invalidated, and invalidated again */
	ASSERT_EQ(0, rdma_bind_mw(&env->own, self->mr, self->mw,
				  (uintptr_t)env->mem, SIZE,
				  IBV_ACCESS_REMOTE_READ));
	wr.opcode = IBV_WR_LOCAL_INV;
	wr.invalidate_rkey = self->mw->rkey;
	ASSERT_EQ(0, ibv_post_send(env->own.qp, &wr, &bad));
	EXPECT_EQ(0, rdma_wait(&env->own, NULL));
	ASSERT_EQ(0, ibv_post_send(env->own.qp, &wr, &bad));
	EXPECT_LT(0, rdma_wait(&env->own, NULL));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
}

TEST_HARNESS_MAIN
