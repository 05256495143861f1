// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses to memory that others change all the time, so that a page fault
 * gives up. That is no error: what is asked for happens later.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#include "fixture.h"

#define EVENT		"events/rdma_core/odp_fault_error/enable"
#define GAVE_UP		"err=-16"	/* EBUSY */
#define HUGE		(2 * MIB)
/* As much as an int holds. Each invalidation looks at all of it. */
#define BIG		(1536 * MIB)

/**
 * struct busy - memory that changes all the time
 * @env: the connection; the memory is not its
 * @map: BIG bytes, of which all but the first three HUGE change
 * @mem: the page under test, the first one of a huge page in @map
 * @mr: MR of @map, on demand, of the own end
 * @srq: of the own end, if it has one
 * @thread: changes the memory
 * @churning: there is such a thread
 * @rounds: how often it has done so
 * @stop: it is to end
 */
struct busy {
	struct rdma_env env;
	unsigned char *map;
	unsigned char *mem;
	struct ibv_mr *mr;
	struct ibv_srq *srq;
	pthread_t thread;
	bool churning;
	unsigned long rounds;
	bool stop;
};

FIXTURE(rdma_busy) {
	struct busy busy;
};

FIXTURE_SETUP(rdma_busy)
{
	struct busy *busy = &self->busy;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(&busy->env, 4 * PAGE, true, false));
	busy->map = mmap(NULL, BIG, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, busy->map);
	busy->mem = busy->map + HUGE;
	busy->mem += -(uintptr_t)busy->mem % HUGE;
	ASSERT_EQ(0, madvise(busy->mem, HUGE, MADV_HUGEPAGE));
	busy->mr = rdma_reg_odp(&busy->env.own, busy->map, BIG);
	ASSERT_NE(NULL, busy->mr);
	/* Without the event nothing is seen to give up: -EAGAIN */
	trace_write(EVENT, "1");
}

/*
 * Begins the next invalidation when one has ended. A fault that has waited for
 * its end has not read the page tables yet when the next one begins.
 */
static void *churn(void *arg)
{
	struct busy *busy = arg;

	while (!__atomic_load_n(&busy->stop, __ATOMIC_RELAXED)) {
		madvise(busy->map + 3 * HUGE, BIG - 3 * HUGE, MADV_DONTNEED);
		__atomic_add_fetch(&busy->rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int churn_start(struct busy *busy)
{
	int ret;

	/*
	 * The page has to be faulted, and is zero then. To allocate and clear a
	 * huge page takes longer than the next invalidation needs to begin, or
	 * the fault may be lucky at its first attempt.
	 */
	ret = madvise(busy->mem, HUGE, MADV_DONTNEED);
	if (ret)
		return -errno;
	ret = trace_clear();
	if (ret)
		return ret;
	busy->stop = false;
	busy->rounds = 0;
	ret = -pthread_create(&busy->thread, NULL, churn, busy);
	busy->churning = !ret;
	while (!ret && __atomic_load_n(&busy->rounds, __ATOMIC_RELAXED) < 2)
		usleep(1000);
	return ret;
}

static void churn_stop(struct busy *busy)
{
	if (!busy->churning)
		return;
	__atomic_store_n(&busy->stop, true, __ATOMIC_RELAXED);
	pthread_join(busy->thread, NULL);
	busy->churning = false;
}

FIXTURE_TEARDOWN(rdma_busy)
{
	struct busy *busy = &self->busy;

	trace_write(EVENT, "0");
	churn_stop(busy);
	EXPECT_EQ(0, ibv_dereg_mr(busy->mr));
	munmap(busy->map, BIG);
	if (busy->srq) {
		ibv_destroy_qp(busy->env.own.qp);
		busy->env.own.qp = NULL;
		EXPECT_EQ(0, ibv_destroy_srq(busy->srq));
	}
	rdma_env_close(&busy->env);
}

/*
 * Until a fault has given up, and then ends the churn. Returns as rdma_wait()
 * of @end, or -EAGAIN if no fault has given up.
 */
static int churn_wait(struct busy *busy, struct rdma_end *end)
{
	int tries, n = 0, seen = 0;
	struct ibv_wc wc;

	for (tries = 600; tries && !n && seen < 1; tries--) {
		usleep(50000);
		n = ibv_poll_cq(end->cq, 1, &wc);
		seen = trace_count(NULL, "odp_fault_error", GAVE_UP);
	}
	churn_stop(busy);
	n = n > 0 ? (int)wc.status : rdma_wait(end, NULL);
	return n ? n : seen > 0 ? 0 : -EAGAIN;
}

/*
 * One operation on the page, of the peer or, if not @peer, of the own end.
 * Returns as churn_wait().
 */
static int churn_run(struct busy *busy, bool peer, enum ibv_wr_opcode op,
		     size_t len)
{
	struct rdma_env *env = &busy->env;
	struct rdma_end *end = peer ? &env->peer : &env->own;
	struct rdma_wr wr = {
		.op = op,
		.mr = peer ? env->stage_mr : busy->mr,
		.local = peer ? env->stage : busy->mem,
		.len = len,
		.remote = (uintptr_t)(peer ? busy->mem : env->stage),
		.rkey = (peer ? busy->mr : env->stage_mr)->rkey,
		.a = 3,
	};
	int ret = churn_start(busy);

	if (!ret)
		ret = rdma_post(end, &wr, 0);
	return ret ? ret : churn_wait(busy, end);
}

/* A fault may be lucky at its first attempt, which shows nothing: once more */
static int until_busy(struct busy *busy, int (*attempt)(struct busy *busy))
{
	time_t end = time(NULL) + 60;
	int ret;

	/* On a busy host many of them are. */
	do {
		ret = attempt(busy);
	} while (ret == -EAGAIN && time(NULL) < end);
	return ret;
}

static bool is_pattern(const void *buf, uint64_t seed)
{
	uint64_t want[PAGE / 8];

	pattern_fill(want, PAGE, seed, 0);
	return !memcmp(buf, want, PAGE);
}

static bool is_zero(const unsigned char *buf)
{
	return !buf[0] && !memcmp(buf, buf + 1, PAGE - 1);
}

static int do_write(struct busy *busy)
{
	pattern_fill(busy->env.stage, PAGE, 2, 0);
	return churn_run(busy, true, IBV_WR_RDMA_WRITE, PAGE);
}

TEST_F_TIMEOUT(rdma_busy, write, 120)
{
	EXPECT_EQ(0, until_busy(&self->busy, do_write));
	EXPECT_TRUE(is_pattern(self->busy.mem, 2));
}

static int do_read(struct busy *busy)
{
	memset(busy->env.stage, 0xa5, PAGE);
	return churn_run(busy, true, IBV_WR_RDMA_READ, PAGE);
}

TEST_F_TIMEOUT(rdma_busy, read, 120)
{
	EXPECT_EQ(0, until_busy(&self->busy, do_read));
	EXPECT_TRUE(is_zero(self->busy.env.stage));
}

/* The page and that before it, which is there: half of it is done */
static int do_middle(struct busy *busy, enum ibv_wr_opcode op)
{
	struct rdma_env *env = &busy->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_WRITE,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = 2 * PAGE,
		.remote = (uintptr_t)busy->mem - PAGE,
		.rkey = busy->mr->rkey,
	};
	int ret;

	pattern_fill(env->stage, PAGE, 5, 0);
	ret = rdma_run(&env->peer, &wr);
	if (!ret)
		ret = churn_start(busy);
	if (ret)
		return ret;
	if (op == IBV_WR_RDMA_READ) {
		memset(env->stage, 0xa5, 2 * PAGE);
	} else {
		pattern_fill(env->stage, PAGE, 8, 0);
		pattern_fill(env->stage + PAGE, PAGE, 9, 0);
	}
	wr.op = op;
	ret = rdma_post(&env->peer, &wr, 0);
	return ret ? ret : churn_wait(busy, &env->peer);
}

static int do_read_middle(struct busy *busy)
{
	return do_middle(busy, IBV_WR_RDMA_READ);
}

TEST_F_TIMEOUT(rdma_busy, read_middle, 120)
{
	EXPECT_EQ(0, until_busy(&self->busy, do_read_middle));
	EXPECT_TRUE(is_pattern(self->busy.env.stage, 5));
	EXPECT_TRUE(is_zero(self->busy.env.stage + PAGE));
}

static int do_write_middle(struct busy *busy)
{
	return do_middle(busy, IBV_WR_RDMA_WRITE);
}

TEST_F_TIMEOUT(rdma_busy, write_middle, 120)
{
	EXPECT_EQ(0, until_busy(&self->busy, do_write_middle));
	EXPECT_TRUE(is_pattern(self->busy.mem - PAGE, 8));
	EXPECT_TRUE(is_pattern(self->busy.mem, 9));
}

/* What a SEND returned, if its RECV succeeded as well */
static int received(struct busy *busy, int ret)
{
	int err = !ret || ret == -EAGAIN ? rdma_wait(&busy->env.own, NULL) : 0;

	return err ? err : ret;
}

static int do_recv_middle(struct busy *busy)
{
	int ret = rdma_post_recv(&busy->env.own, busy->mr, busy->mem - PAGE,
				 2 * PAGE);

	return ret ? ret : received(busy, do_middle(busy, IBV_WR_SEND));
}

TEST_F_TIMEOUT(rdma_busy, recv_middle, 120)
{
	EXPECT_EQ(0, until_busy(&self->busy, do_recv_middle));
	EXPECT_TRUE(is_pattern(self->busy.mem - PAGE, 8));
	EXPECT_TRUE(is_pattern(self->busy.mem, 9));
}

/* A RECV, which is used for the same message again */
static int do_recv(struct busy *busy)
{
	int ret = rdma_post_recv(&busy->env.own, busy->mr, busy->mem, PAGE);

	pattern_fill(busy->env.stage, PAGE, 4, 0);
	return ret ? ret : received(busy, churn_run(busy, true, IBV_WR_SEND,
						    PAGE));
}

TEST_F_TIMEOUT(rdma_busy, recv, 120)
{
	EXPECT_EQ(0, until_busy(&self->busy, do_recv));
	EXPECT_TRUE(is_pattern(self->busy.mem, 4));
}

static int do_atomic(struct busy *busy)
{
	return churn_run(busy, true, IBV_WR_ATOMIC_FETCH_AND_ADD, 8);
}

TEST_F_TIMEOUT(rdma_busy, atomic, 120)
{
	memset(self->busy.env.stage, 0xa5, 8);
	EXPECT_EQ(0, until_busy(&self->busy, do_atomic));
	EXPECT_EQ(0, *(uint64_t *)self->busy.env.stage);
	/* Once, however often it was asked for */
	EXPECT_EQ(3, *(uint64_t *)self->busy.mem);
}

static int do_atomic_write(struct busy *busy)
{
	return churn_run(busy, true, IBV_WR_ATOMIC_WRITE, 8);
}

TEST_F_TIMEOUT(rdma_busy, atomic_write, 120)
{
	if (!self->busy.env.peer.atomic_write)
		SKIP(return, "libmlx5 has no ATOMIC WRITE");
	EXPECT_EQ(0, until_busy(&self->busy, do_atomic_write));
	EXPECT_EQ(3, *(uint64_t *)self->busy.mem);
}

/* The page as the source of what its own end sends, and where its READ goes */
static int do_own_write(struct busy *busy)
{
	memset(busy->env.stage, 0xa5, PAGE);
	return churn_run(busy, false, IBV_WR_RDMA_WRITE, PAGE);
}

static int do_own_read(struct busy *busy)
{
	pattern_fill(busy->env.stage, PAGE, 3, 0);
	return churn_run(busy, false, IBV_WR_RDMA_READ, PAGE);
}

static int do_own_atomic(struct busy *busy)
{
	*(uint64_t *)busy->env.stage = 11;
	return churn_run(busy, false, IBV_WR_ATOMIC_FETCH_AND_ADD, 8);
}

TEST_F_TIMEOUT(rdma_busy, requester, 120)
{
	struct busy *busy = &self->busy;

	EXPECT_EQ(0, until_busy(busy, do_own_write));
	EXPECT_TRUE(is_zero(busy->env.stage));
	EXPECT_EQ(0, until_busy(busy, do_own_read));
	EXPECT_TRUE(is_pattern(busy->mem, 3));
	EXPECT_EQ(0, until_busy(busy, do_own_atomic));
	EXPECT_EQ(11, *(uint64_t *)busy->mem);
	EXPECT_EQ(14, *(uint64_t *)busy->env.stage);
}

/* Two messages, of which the first one meets busy memory */
static int do_recv_srq(struct busy *busy)
{
	struct rdma_env *env = &busy->env;
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = PAGE,
	};
	uint64_t id[2] = { 0 };
	int ret;

	if (rdma_post_srq(busy->srq, busy->mr, busy->mem, PAGE, 1) ||
	    rdma_post_srq(busy->srq, busy->mr, busy->mem + PAGE, PAGE, 2))
		return -EIO;
	pattern_fill(env->stage, PAGE, 4, 0);
	ret = churn_run(busy, true, IBV_WR_SEND, PAGE);
	if (ret && ret != -EAGAIN)
		return ret;
	pattern_fill(env->stage, PAGE, 5, 0);
	if (rdma_wait(&env->own, &id[0]) || rdma_run(&env->peer, &wr) ||
	    rdma_wait(&env->own, &id[1]))
		return -EIO;
	return id[0] == 1 && id[1] == 2 ? ret : -EILSEQ;
}

/* Of a shared receive queue, no second RECV is taken for the same message. */
TEST_F_TIMEOUT(rdma_busy, recv_srq, 120)
{
	struct busy *busy = &self->busy;

	ASSERT_EQ(0, rdma_use_srq(&busy->env.own, &busy->env.peer, 4,
				  &busy->srq));
	EXPECT_EQ(0, until_busy(busy, do_recv_srq));
	EXPECT_TRUE(is_pattern(busy->mem, 4));
	EXPECT_TRUE(is_pattern(busy->mem + PAGE, 5));
}

/* rxe waits for the tasks of a QP for 50 s, then it gives up. */
static int do_destroy_qp(struct busy *busy)
{
	struct rdma_env *env = &busy->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_WRITE,
		.mr = busy->mr,
		.local = busy->mem,
		.len = PAGE,
		.remote = (uintptr_t)env->stage,
		.rkey = env->stage_mr->rkey,
	};
	int ret = churn_start(busy);
	struct ibv_wc wc;
	time_t from;

	if (!ret)
		ret = rdma_post(&env->own, &wr, 0);
	while (!ret && trace_count(NULL, "odp_fault_error", GAVE_UP) < 1) {
		usleep(50000);
		if (ibv_poll_cq(env->own.cq, 1, &wc))
			ret = wc.status ? (int)wc.status : -EAGAIN;
	}
	from = time(NULL);
	if (!ret)
		ret = rdma_env_reconnect(env);
	if (time(NULL) - from > 20)
		ret = -ETIMEDOUT;
	churn_stop(busy);
	return ret;
}

/* The QP is destroyed while its accesses give up one after the other. */
TEST_F_TIMEOUT(rdma_busy, destroy_qp, 120)
{
	EXPECT_EQ(0, until_busy(&self->busy, do_destroy_qp));
}

TEST_HARNESS_MAIN
