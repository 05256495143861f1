// SPDX-License-Identifier: GPL-2.0
/*
 * An exporter of any driver, GPU0, and an RDMA device that reads and writes
 * what is on it, by an on-demand memory region. In the environment, RDMA is
 * the name of the device that has the region, and RDMA_PEER that of its peer.
 * Without them both are the first RDMA device that does on-demand paging.
 *
 * An exporter may refuse at first, for instance because it makes room in its
 * BAR when it is asked. The page is in RAM then, and is moved and asked for
 * again.
 */
#include "../kselftest_harness.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "exporter.h"
#include "mem.h"
#include "pci.h"
#include "verbs.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)
/* Of a transfer that goes on while something happens */
#define PIECE		(SIZE / 16)
/* So long may an exporter refuse */
#define PATIENCE	50	/* tenths of a second */
#define POISON		0xa5

struct env {
	struct exporter exp;
	struct rdma_end own, peer;
	struct ibv_mr *mr, *stage_mr;
	unsigned char *mem, *ref, *stage;
	void *map;
	size_t map_size;
};

FIXTURE(export_rdma) {
	struct env env;
};

FIXTURE_VARIANT(export_rdma) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(export_rdma, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(export_rdma, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(export_rdma, refused_pte) { };
FIXTURE_VARIANT_ADD(export_rdma, refused_thp) { .thp = true };

static int run(struct rdma_end *peer, enum ibv_wr_opcode op, struct env *env,
	       size_t off, size_t len)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage + off,
		.len = len,
		.remote = (uintptr_t)env->mem + off,
		.rkey = env->mr->rkey,
	};

	return rdma_run(peer, &wr);
}

/* The peer READs; -EILSEQ if that is not what @ref says. */
static int peer_read(struct env *env, size_t off, size_t len)
{
	int ret;

	memset(env->stage + off, POISON, len);
	ret = run(&env->peer, IBV_WR_RDMA_READ, env, off, len);
	if (!ret && memcmp(env->stage + off, env->ref + off, len))
		ret = -EILSEQ;
	return ret;
}

/* The peer WRITEs what @seed gives, to @ref as well. */
static int peer_write(struct env *env, size_t off, size_t len, uint64_t seed)
{
	int ret;

	pattern_fill(env->stage + off, len, seed, 0);
	ret = run(&env->peer, IBV_WR_RDMA_WRITE, env, off, len);
	if (!ret)
		memcpy(env->ref + off, env->stage + off, len);
	return ret;
}

/* All of it on the exporter, with contents that @ref has as well. */
static int fill(struct env *env, uint64_t seed)
{
	pattern_fill(env->ref, SIZE, seed, 0);
	memcpy(env->mem, env->ref, SIZE);
	return exporter_place(&env->exp, env->mem, SIZE);
}

/* The same, and if there is consent, until the exporter does not refuse. */
static int fill_as(struct env *env, bool consent, uint64_t seed)
{
	int ret, tries;

	if (!consent)
		return fill(env, seed);
	for (tries = 0; tries < PATIENCE; tries++) {
		ret = fill(env, seed);
		if (!ret)
			ret = peer_read(env, 0, SIZE);
		if (ret)
			return ret;
		if (exporter_pages(env->mem, SIZE) == SIZE / PAGE)
			return 0;
		usleep(100000);
	}
	return -ETIMEDOUT;
}

static int env_open(struct env *env, bool consent, bool thp)
{
	int ret;

	ret = exporter_open(&env->exp, getenv("GPU0"));
	if (!ret)
		ret = exporter_consent(env->exp.bdf, consent);
	if (!ret)
		ret = rdma_end_open(&env->own, NULL);
	if (!ret)
		ret = rdma_peer_open(&env->peer);
	if (!ret)
		ret = rdma_connect(&env->own, &env->peer);
	if (ret)
		return ret;
	env->mem = map_aligned(SIZE, thp, &env->map, &env->map_size);
	env->ref = malloc(SIZE);
	env->stage = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!env->mem || !env->ref || env->stage == MAP_FAILED)
		return -ENOMEM;
	env->stage_mr = ibv_reg_mr(env->peer.pd, env->stage, SIZE,
				   RDMA_ACCESS);
	env->mr = rdma_reg_odp(&env->own, env->mem, SIZE);
	if (!env->stage_mr || !env->mr)
		return -errno;
	return fill_as(env, consent, 1);
}

static void env_close(struct env *env)
{
	if (env->mr)
		ibv_dereg_mr(env->mr);
	if (env->stage_mr)
		ibv_dereg_mr(env->stage_mr);
	rdma_end_close(&env->peer);
	rdma_end_close(&env->own);
	if (env->map)
		munmap(env->map, env->map_size);
	if (env->stage && env->stage != MAP_FAILED)
		munmap(env->stage, SIZE);
	free(env->ref);
	exporter_close(&env->exp);
}

FIXTURE_SETUP(export_rdma)
{
	if (!getenv("GPU0"))
		SKIP(return, "GPU0, a PCI address, is not set");
	ASSERT_EQ(0, env_open(&self->env, variant->consent, variant->thp));
}

FIXTURE_TEARDOWN(export_rdma)
{
	env_close(&self->env);
	exporter_consent(getenv("GPU0"), true);
}

/* Pages that are still on the exporter after a peer has used all of them */
static long in_place(bool consent)
{
	return consent ? SIZE / PAGE : 0;
}

TEST_F_TIMEOUT(export_rdma, both_ways, 120)
{
	struct env *env = &self->env;

	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 2));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	/* Less than a page, across a border of two huge ones */
	EXPECT_EQ(0, peer_write(env, HALF - 1021, 2000, 3));
	EXPECT_EQ(0, peer_read(env, HALF - 3 * PAGE + 5, 5 * PAGE));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* The exporter's engine and the peer use the same pages. */
TEST_F_TIMEOUT(export_rdma, engine_as_well, 120)
{
	struct env *env = &self->env;
	unsigned char *out;
	size_t map_size;
	void *map;

	out = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, out);
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 2));
	ASSERT_EQ(0, exporter_copy(&env->exp, out, env->mem, SIZE));
	EXPECT_EQ(0, memcmp(out, env->ref, SIZE));
	pattern_fill(env->ref, SIZE, 3, 0);
	memcpy(out, env->ref, SIZE);
	ASSERT_EQ(0, exporter_copy(&env->exp, env->mem, out, SIZE));
	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	munmap(map, map_size);
}

/* Whoever needs it has it, again and again. */
TEST_F_TIMEOUT(export_rdma, moved, 120)
{
	struct env *env = &self->env;
	size_t i;

	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, peer_write(env, 0, SIZE, 20 + i));
		ASSERT_EQ(0, exporter_evict(&env->exp, env->mem, SIZE));
		EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
		EXPECT_EQ(0, peer_read(env, 0, SIZE));
		EXPECT_EQ(0, exporter_pages(env->mem, SIZE));
		ASSERT_EQ(0, exporter_place(&env->exp, env->mem, SIZE));
		EXPECT_EQ(0, peer_read(env, 0, SIZE));
	}
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* Transfers of pieces one after the other, each checked, until told to stop */
struct traffic {
	struct env *env;
	pthread_t thread;
	size_t from, to;	/* what is transferred */
	bool stop;
	unsigned long count;
	int error;
};

static void *traffic(void *arg)
{
	struct traffic *t = arg;
	size_t off;
	int ret = 0;

	while (!ret && !__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		off = t->from + t->count / 2 * PIECE % (t->to - t->from);
		ret = t->count % 2 ?
		      peer_write(t->env, off, PIECE, t->count) :
		      peer_read(t->env, off, PIECE);
		if (!ret)
			__atomic_add_fetch(&t->count, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&t->error, ret, __ATOMIC_RELAXED);
	return NULL;
}

/* Some of them have been done when it returns. */
static int traffic_flows(struct traffic *t)
{
	unsigned long seen = __atomic_load_n(&t->count, __ATOMIC_RELAXED);
	int tries;

	for (tries = 0; tries < 3000; tries++) {
		if (__atomic_load_n(&t->error, __ATOMIC_RELAXED))
			break;
		if (__atomic_load_n(&t->count, __ATOMIC_RELAXED) > seen + 2)
			return 0;
		usleep(20000);
	}
	return t->error ? t->error : -ETIMEDOUT;
}

static int traffic_start(struct traffic *t, struct env *env, size_t from,
			 size_t to)
{
	*t = (struct traffic) { .env = env, .from = from, .to = to };
	if (pthread_create(&t->thread, NULL, traffic, t))
		return -EAGAIN;
	return traffic_flows(t);
}

static int traffic_stop(struct traffic *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	pthread_join(t->thread, NULL);
	return t->error;
}

/* Under load consent comes and goes, and pages move there and back. */
TEST_F_TIMEOUT(export_rdma, consent_under_load, 240)
{
	struct env *env = &self->env;
	struct traffic t;
	size_t i;

	ASSERT_EQ(0, traffic_start(&t, env, 0, SIZE));
	for (i = 0; i < 12; i++) {
		EXPECT_EQ(0, exporter_consent(env->exp.bdf, i % 2));
		/* Best effort: a transfer may hold a page back. */
		env->exp.ops->place(&env->exp, env->mem, SIZE);
		EXPECT_EQ(0, traffic_flows(&t));
	}
	EXPECT_EQ(0, traffic_stop(&t));
	/* It is on now, and what is placed stays in place. */
	i = 0;
	do {
		ASSERT_EQ(0, exporter_place(&env->exp, env->mem, SIZE));
		EXPECT_EQ(0, peer_read(env, 0, SIZE));
	} while (exporter_pages(env->mem, SIZE) != in_place(true) && ++i < 4);
	EXPECT_EQ(in_place(true), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* A piece is touched and placed again, while all are in use. */
TEST_F_TIMEOUT(export_rdma, churn, 240)
{
	struct env *env = &self->env;
	struct traffic t;
	size_t i, off;

	ASSERT_EQ(0, traffic_start(&t, env, 0, SIZE));
	for (i = 0; i < 64; i++) {
		off = i * 5 % 16 * PIECE;
		__atomic_load_n(env->mem + off, __ATOMIC_RELAXED);
		EXPECT_EQ(0, env->exp.ops->place(&env->exp, env->mem + off,
						 PIECE));
	}
	EXPECT_EQ(0, traffic_flows(&t));
	EXPECT_EQ(0, traffic_stop(&t));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* Of what is unmapped nothing is reached; the rest stays as it was. */
TEST_F_TIMEOUT(export_rdma, munmap_in_transfers, 120)
{
	struct env *env = &self->env;
	struct traffic t;

	ASSERT_EQ(0, traffic_start(&t, env, HALF, SIZE));
	ASSERT_EQ(0, munmap(env->mem + HALF, HALF));
	EXPECT_NE(0, traffic_flows(&t));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, traffic_stop(&t));
	ASSERT_EQ(0, rdma_reconnect(&env->own, &env->peer));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, run(&env->peer, IBV_WR_RDMA_READ,
					     env, SIZE - PAGE, PAGE));
	ASSERT_EQ(0, rdma_reconnect(&env->own, &env->peer));
	EXPECT_EQ(0, peer_read(env, 0, HALF));
	EXPECT_EQ(0, peer_write(env, 0, HALF, 5));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, HALF));
}

/* After the exporter was away: it can be used as before. */
static void exporter_back(struct __test_metadata *_metadata, struct env *env,
			  const char *bdf, bool consent)
{
	ASSERT_EQ(0, exporter_open(&env->exp, bdf));
	ASSERT_EQ(0, exporter_consent(bdf, consent));
	ASSERT_EQ(0, fill_as(env, consent, 6));
	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 7));
	EXPECT_EQ(in_place(consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* The exporter's driver brings all home, and no transfer fails. */
TEST_F_TIMEOUT(export_rdma, unbound_in_transfers, 120)
{
	struct env *env = &self->env;
	struct traffic t;

	ASSERT_EQ(0, traffic_start(&t, env, 0, SIZE));
	ASSERT_EQ(0, exporter_bind(&env->exp, false));
	EXPECT_EQ(0, exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, traffic_flows(&t));
	EXPECT_EQ(0, traffic_stop(&t));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	exporter_close(&env->exp);
	ASSERT_EQ(0, exporter_bind(&env->exp, true));
	exporter_back(_metadata, env, getenv("GPU0"), variant->consent);
}

/* The device is taken off the bus. */
TEST_F_TIMEOUT(export_rdma, removed_in_transfers, 120)
{
	struct env *env = &self->env;
	struct traffic t;

	ASSERT_EQ(0, traffic_start(&t, env, 0, SIZE));
	ASSERT_EQ(0, pci_remove(getenv("GPU0")));
	EXPECT_EQ(0, exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, traffic_flows(&t));
	EXPECT_EQ(0, traffic_stop(&t));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	exporter_close(&env->exp);
	ASSERT_EQ(0, pci_rescan());
	exporter_back(_metadata, env, getenv("GPU0"), variant->consent);
}

/* A process is killed in the middle of transfers of its memory. */
TEST_F_TIMEOUT(export_rdma, killed_in_transfers, 120)
{
	struct env *env = &self->env;
	struct env own = { };
	struct traffic t;
	int go[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (env_open(&own, variant->consent, variant->thp) ||
		    traffic_start(&t, &own, 0, SIZE) ||
		    write(go[1], &pid, 1) != 1)
			_exit(1);
		pthread_join(t.thread, NULL);
		_exit(2);
	}
	close(go[1]);
	ASSERT_EQ(1, read(go[0], &status, 1));
	close(go[0]);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));

	ASSERT_EQ(0, fill_as(env, variant->consent, 8));
	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_HARNESS_MAIN
