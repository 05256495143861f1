// SPDX-License-Identifier: GPL-2.0
/*
 * An MR is deregistered while one of its page faults waits for user space. That is
 * waited for. Other accesses fail: they must neither be repeated for as long, nor
 * hold up the dereg.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/userfaultfd.h>

#include "fixture.h"

#define SIZE		(2 * MIB)
/* Milliseconds that nothing happens for */
#define QUIET		300
#define LIMIT		60000

FIXTURE(rdma_dereg) {
	struct rdma_env env;
	struct rdma_end own, peer;	/* of a second connection */
	struct ibv_mr *mr;
	unsigned char *mem;
	int uffd;
};

FIXTURE_VARIANT(rdma_dereg) {
	bool implicit;
};

FIXTURE_VARIANT_ADD(rdma_dereg, explicit) { };
FIXTURE_VARIANT_ADD(rdma_dereg, implicit) { .implicit = true };

FIXTURE_SETUP(rdma_dereg)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, rdma_end_twin(&self->own, &env->own));
	ASSERT_EQ(0, rdma_end_twin(&self->peer, &env->peer));
	ASSERT_EQ(0, rdma_connect(&self->own, &self->peer));
	self->mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, madvise(self->mem, SIZE, MADV_NOHUGEPAGE));
	/* A part of an implicit MR exists as long as there is a page of it. */
	self->mem[SIZE - 1] = 1;
	if (variant->implicit)
		self->mr = ibv_reg_mr(env->own.pd, NULL, SIZE_MAX,
				      RDMA_ACCESS | IBV_ACCESS_ON_DEMAND);
	else
		self->mr = rdma_reg_odp(&env->own, self->mem, SIZE);
	ASSERT_NE(NULL, self->mr);
	self->uffd = uffd_missing(self->mem, SIZE / 2);
	ASSERT_LE(0, self->uffd);
}

FIXTURE_TEARDOWN(rdma_dereg)
{
	close(self->uffd);
	if (self->mr)
		ibv_dereg_mr(self->mr);
	rdma_end_close(&self->peer);
	rdma_end_close(&self->own);
	munmap(self->mem, SIZE);
	rdma_env_close(&self->env);
}

/* The peer reads a page, by one of the connections */
static int post_read(struct _test_data_rdma_dereg *self, struct rdma_end *peer,
		     size_t off)
{
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = self->env.stage_mr,
		.local = self->env.stage + off,
		.len = PAGE,
		.remote = (uintptr_t)self->mem + off,
		.rkey = self->mr->rkey,
	};

	return rdma_post(peer, &wr, 0);
}

TEST_F_TIMEOUT(rdma_dereg, in_fault, 120)
{
	struct rdma_env *env = &self->env;
	struct rdma_dereg dereg;
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)self->mem, .len = PAGE },
	};
	struct uffd_msg msg;
	int status;

	ASSERT_EQ(0, post_read(self, &env->peer, SIZE - PAGE));
	ASSERT_EQ(0, rdma_wait(&env->peer, NULL));
	ASSERT_EQ(0, post_read(self, &env->peer, 0));
	ASSERT_EQ(0, uffd_next(self->uffd, LIMIT, &msg));
	ASSERT_EQ((uintptr_t)self->mem, msg.arg.pagefault.address);
	ASSERT_EQ(0, rdma_dereg_start(&dereg, self->mr));
	usleep(QUIET * 1000);
	EXPECT_EQ(0, dereg.done);

	/* Another page: nobody waits for it. */
	ASSERT_EQ(0, post_read(self, &self->peer, SIZE / 4));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_wait(&self->peer, NULL));
	EXPECT_EQ(-ETIMEDOUT, uffd_next(self->uffd, QUIET, &msg));
	EXPECT_EQ(0, dereg.done);

	ASSERT_EQ(0, ioctl(self->uffd, UFFDIO_ZEROPAGE, &zero));
	ASSERT_EQ(0, rdma_dereg_end(&dereg));
	self->mr = NULL;
	status = rdma_wait(&env->peer, NULL);
	EXPECT_TRUE(!status || status == IBV_WC_REM_ACCESS_ERR)
		TH_LOG("status %d", status);
}

TEST_HARNESS_MAIN
