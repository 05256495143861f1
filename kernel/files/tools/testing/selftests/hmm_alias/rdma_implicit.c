// SPDX-License-Identifier: GPL-2.0
/*
 * Implicit MRs: one for the whole address space, which the driver makes of
 * parts (in mlx5 children of 1 GiB) that come and go with the memory.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/userfaultfd.h>

#include "fixture.h"

#define PART		(1024 * MIB)
#define SIZE		(2 * MIB)
#define ROUNDS		30
#define LIMIT		60000	/* ms */

/*
 * An implicit MR of the own end, and address space of which @part is a whole part
 * with nothing else in it.
 */
FIXTURE(rdma_implicit) {
	struct rdma_env env;
	struct ibv_mr *mr;
	unsigned char *map;
	unsigned char *part;
};

static bool implicit_capable(struct ibv_context *ctx)
{
	struct ibv_device_attr_ex attr;

	return !ibv_query_device_ex(ctx, NULL, &attr) &&
	       attr.odp_caps.general_caps & IBV_ODP_SUPPORT_IMPLICIT;
}

FIXTURE_SETUP(rdma_implicit)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	if (!implicit_capable(env->own.ctx))
		SKIP(return, "no implicit MRs");
	self->mr = ibv_reg_mr(env->own.pd, NULL, SIZE_MAX,
			      RDMA_ACCESS | IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, self->mr);
	self->map = mmap(NULL, 3 * PART, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, self->map);
	self->part = self->map + -(uintptr_t)self->map % PART;
}

FIXTURE_TEARDOWN(rdma_implicit)
{
	if (self->mr)
		EXPECT_EQ(0, ibv_dereg_mr(self->mr));
	if (self->map)
		munmap(self->map, 3 * PART);
	rdma_env_close(&self->env);
}

/* The peer READs, or WRITEs, what is at @addr. Returns as rdma_run() does. */
static int peer_op(struct rdma_env *env, struct ibv_mr *mr,
		   enum ibv_wr_opcode op, void *addr, size_t len)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = len,
		.remote = (uintptr_t)addr,
		.rkey = mr->rkey,
	};

	return rdma_run(&env->peer, &wr);
}

/* New memory, and nothing else, in the part */
static void *fresh(void *part, size_t len)
{
	return mmap(part, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* What is in VRAM is reached there. */
TEST_F(rdma_implicit, vram)
{
	struct rdma_env *env = &self->env;

	memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	EXPECT_EQ(0, peer_op(env, self->mr, IBV_WR_RDMA_READ, env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->stage, env->ref, SIZE));
	pattern_fill(env->stage, SIZE, 2, 0);
	EXPECT_EQ(0, peer_op(env, self->mr, IBV_WR_RDMA_WRITE, env->mem, SIZE));
	memcpy(env->ref, env->stage, SIZE);
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* One access over the border of two parts */
TEST_F(rdma_implicit, two_parts)
{
	struct rdma_env *env = &self->env;
	unsigned char *mem = fresh(self->part + PART - SIZE / 2, SIZE);

	ASSERT_NE(MAP_FAILED, mem);
	pattern_fill(env->stage, SIZE, 3, 0);
	EXPECT_EQ(0, peer_op(env, self->mr, IBV_WR_RDMA_WRITE, mem, SIZE));
	EXPECT_EQ(0, memcmp(env->stage, mem, SIZE));
	pattern_fill(mem, SIZE, 4, 0);
	EXPECT_EQ(0, peer_op(env, self->mr, IBV_WR_RDMA_READ, mem, SIZE));
	EXPECT_EQ(0, memcmp(env->stage, mem, SIZE));
}

/*
 * All memory of a part goes, and with it the part. What is there next is not
 * missed because of that.
 */
TEST_F_TIMEOUT(rdma_implicit, drop, 120)
{
	struct rdma_env *env = &self->env;
	unsigned char *mem;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		mem = fresh(self->part, SIZE);
		ASSERT_NE(MAP_FAILED, mem);
		pattern_fill(env->stage, SIZE, round, 0);
		ASSERT_EQ(0, peer_op(env, self->mr, IBV_WR_RDMA_WRITE, mem,
				     SIZE))
			TH_LOG("round %d", round);
		EXPECT_EQ(0, memcmp(env->stage, mem, SIZE));
		ASSERT_EQ(0, munmap(mem, SIZE));
	}
	/* Nothing is reached that is not there. */
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, self->mr, IBV_WR_RDMA_READ, self->part, 1));
	ASSERT_EQ(0, rdma_env_reconnect(env));
}

/* The MR goes while a page fault of it waits. @touched: in a part it has. */
static void check_dereg(struct __test_metadata *_metadata,
			struct _test_data_rdma_implicit *self, bool touched)
{
	struct rdma_env *env = &self->env;
	struct rdma_dereg dereg;
	unsigned char *mem = fresh(self->part, SIZE);
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = PAGE,
		.remote = (uintptr_t)mem,
		.rkey = self->mr->rkey,
	};
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)mem, .len = PAGE },
	};
	struct uffd_msg msg;
	int uffd, status;

	ASSERT_NE(MAP_FAILED, mem);
	if (touched) {
		mem[SIZE - 1] = 1;
		ASSERT_EQ(0, peer_op(env, self->mr, IBV_WR_RDMA_READ,
				     mem + SIZE - 1, 1));
	}
	uffd = uffd_missing(mem, PAGE);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, rdma_post(&env->peer, &wr, 0));
	ASSERT_EQ(0, uffd_next(uffd, LIMIT, &msg));
	ASSERT_EQ(UFFD_EVENT_PAGEFAULT, msg.event);

	ASSERT_EQ(0, rdma_dereg_start(&dereg, self->mr));
	usleep(300000);
	EXPECT_EQ(0, dereg.done);
	ASSERT_EQ(0, ioctl(uffd, UFFDIO_ZEROPAGE, &zero));
	ASSERT_EQ(0, rdma_dereg_end(&dereg));
	self->mr = NULL;
	status = rdma_wait(&env->peer, NULL);
	EXPECT_TRUE(!status || status == IBV_WC_REM_ACCESS_ERR)
		TH_LOG("status %d", status);
	close(uffd);
}

TEST_F(rdma_implicit, dereg_in_fault)
{
	check_dereg(_metadata, self, false);
}

TEST_F(rdma_implicit, dereg_in_fault_of_part)
{
	check_dereg(_metadata, self, true);
}

TEST_HARNESS_MAIN
