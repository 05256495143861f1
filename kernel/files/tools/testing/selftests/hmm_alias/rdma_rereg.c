// SPDX-License-Identifier: GPL-2.0
/*
 * An MR is given new rights, by the process that registered it and by a child that
 * has inherited it. It remains an MR of the same memory.
 */
#include <errno.h>
#include <sys/wait.h>

#include "fixture.h"

#define SIZE		(2 * MIB)
#define FEWER		(RDMA_ACCESS & ~IBV_ACCESS_REMOTE_ATOMIC)

FIXTURE(rdma_rereg) {
	struct rdma_env env;
	struct ibv_mr *mr;
};

FIXTURE_VARIANT(rdma_rereg) {
	bool implicit;
	/* With it the driver uses ATS, if the device has it. */
	bool relaxed;
};

FIXTURE_VARIANT_ADD(rdma_rereg, explicit) { };
FIXTURE_VARIANT_ADD(rdma_rereg, implicit) { .implicit = true };
FIXTURE_VARIANT_ADD(rdma_rereg, relaxed) { .relaxed = true };

FIXTURE_SETUP(rdma_rereg)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	self->mr = ibv_reg_mr(env->own.pd, variant->implicit ? NULL : env->mem,
			      variant->implicit ? SIZE_MAX : SIZE,
			      RDMA_ACCESS | IBV_ACCESS_ON_DEMAND |
			      (variant->relaxed ? IBV_ACCESS_RELAXED_ORDERING :
						  0));
	ASSERT_NE(NULL, self->mr);
}

FIXTURE_TEARDOWN(rdma_rereg)
{
	if (self->mr)
		EXPECT_EQ(0, ibv_dereg_mr(self->mr));
	rdma_env_close(&self->env);
}

static int rereg(struct ibv_mr *mr)
{
	return ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
			    FEWER | IBV_ACCESS_ON_DEMAND);
}

/* The peer READs all of it; -EILSEQ if that is not what @ref says. */
static int peer_read(struct rdma_env *env, struct ibv_mr *mr)
{
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = SIZE,
		.remote = (uintptr_t)env->mem,
		.rkey = mr->rkey,
	};
	int ret;

	memset(env->stage, 0xa5, SIZE);
	ret = rdma_run(&env->peer, &wr);
	return ret ? ret : memcmp(env->stage, env->ref, SIZE) ? -EILSEQ : 0;
}

TEST_F(rdma_rereg, by_owner)
{
	struct rdma_env *env = &self->env;

	EXPECT_EQ(0, peer_read(env, self->mr));
	ASSERT_EQ(0, rereg(self->mr));
	EXPECT_EQ(0, peer_read(env, self->mr));
	expect_consent(_metadata, env, true);
	ASSERT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_EQ(0, peer_read(env, self->mr));
}

/* Whether the child may or not: the memory is that of the parent. */
TEST_F(rdma_rereg, by_child)
{
	struct rdma_env *env = &self->env;
	int ready[2], go[2], status;
	char byte = 0;
	pid_t pid;

	EXPECT_EQ(0, peer_read(env, self->mr));
	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int ret = rereg(self->mr);

		/* It lives, with its memory, until the parent is done. */
		byte = !ret || errno == EOPNOTSUPP;
		close(go[1]);
		if (write(ready[1], &byte, 1) != 1)
			_exit(1);
		_exit(read(go[0], &byte, 1) != 0);
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_EQ(1, byte);
	/* Other than the child's from here on */
	pattern_fill(env->mem, SIZE, 2, 0);
	pattern_fill(env->ref, SIZE, 2, 0);
	EXPECT_EQ(0, peer_read(env, self->mr));
	close(go[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, peer_read(env, self->mr));
	ASSERT_EQ(0, rereg(self->mr));
	EXPECT_EQ(0, peer_read(env, self->mr));
}

TEST_HARNESS_MAIN
