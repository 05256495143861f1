// SPDX-License-Identifier: GPL-2.0
/* An RDMA device reads and writes the memory of an exporter of any driver. */
#include "../kselftest_harness.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "export_env.h"
#include "pci.h"

#define PIECE		(SIZE / 16)

FIXTURE(export_rdma) {
	struct export_env env;
};

FIXTURE_VARIANT(export_rdma) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(export_rdma, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(export_rdma, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(export_rdma, refused_pte) { };
FIXTURE_VARIANT_ADD(export_rdma, refused_thp) { .thp = true };

FIXTURE_SETUP(export_rdma)
{
	if (!getenv("GPU0"))
		SKIP(return, "GPU0, a PCI address, is not set");
	ASSERT_EQ(0, export_env_open(&self->env, variant->consent, variant->thp));
}

FIXTURE_TEARDOWN(export_rdma)
{
	export_env_close(&self->env);
	exporter_consent(getenv("GPU0"), true);
}

/* Pages that are still on the exporter after a peer has used all of them */
static long in_place(bool consent)
{
	return consent ? SIZE / PAGE : 0;
}

TEST_F_TIMEOUT(export_rdma, both_ways, 120)
{
	struct export_env *env = &self->env;

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
	struct export_env *env = &self->env;
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
	struct export_env *env = &self->env;
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

/* Under load consent comes and goes, and pages move there and back. */
TEST_F_TIMEOUT(export_rdma, consent_under_load, 240)
{
	struct export_env *env = &self->env;
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

/* A page may be on its way when the engine is to have it. */
static int copy_in_time(struct exporter *exp, void *dst, const void *src)
{
	int ret, tries;

	for (tries = 0; tries < 50; tries++) {
		ret = exporter_copy(exp, dst, src, SIZE);
		if (!ret || ret == -ETIMEDOUT)
			break;
		usleep(20000);
	}
	return ret;
}

/*
 * The peer and the exporter's engine read the same pages at the same time, while
 * consent comes and goes.
 */
TEST_F_TIMEOUT(export_rdma, shared_under_load, 240)
{
	struct export_env *env = &self->env;
	unsigned char *out;
	struct traffic t;
	size_t map_size, i;
	void *map;

	out = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, out);
	ASSERT_EQ(0, traffic_start_reads(&t, env));
	for (i = 0; i < 8; i++) {
		EXPECT_EQ(0, exporter_consent(env->exp.bdf, i % 2));
		env->exp.ops->place(&env->exp, env->mem, SIZE);
		memset(out, 0, SIZE);
		ASSERT_EQ(0, copy_in_time(&env->exp, out, env->mem));
		EXPECT_EQ(0, memcmp(out, env->ref, SIZE));
		EXPECT_EQ(0, traffic_flows(&t));
	}
	EXPECT_EQ(0, traffic_stop(&t));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	munmap(map, map_size);
}

/* A piece is touched and placed again, while all are in use. */
TEST_F_TIMEOUT(export_rdma, churn, 240)
{
	struct export_env *env = &self->env;
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
	struct export_env *env = &self->env;
	struct traffic t;

	ASSERT_EQ(0, traffic_start(&t, env, HALF, SIZE));
	ASSERT_EQ(0, munmap(env->mem + HALF, HALF));
	EXPECT_NE(0, traffic_flows(&t));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, traffic_stop(&t));
	ASSERT_EQ(0, rdma_reconnect(&env->own, &env->peer));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, peer_run(env, IBV_WR_RDMA_READ,
						  SIZE - PAGE, PAGE));
	ASSERT_EQ(0, rdma_reconnect(&env->own, &env->peer));
	EXPECT_EQ(0, peer_read(env, 0, HALF));
	EXPECT_EQ(0, peer_write(env, 0, HALF, 5));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, HALF));
}

/* After the exporter was away: it can be used as before. */
static void exporter_back(struct __test_metadata *_metadata, struct export_env *env,
			  const char *bdf, bool consent)
{
	ASSERT_EQ(0, exporter_open(&env->exp, bdf));
	ASSERT_EQ(0, exporter_consent(bdf, consent));
	ASSERT_EQ(0, export_fill_as(env, consent, 6));
	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 7));
	EXPECT_EQ(in_place(consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* The exporter's driver brings all home, and no transfer fails. */
TEST_F_TIMEOUT(export_rdma, unbound_in_transfers, 120)
{
	struct export_env *env = &self->env;
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
	struct export_env *env = &self->env;
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

/*
 * The machine sleeps while the memory is aliased. The RDMA device may forget all
 * that it was told.
 */
TEST_F_TIMEOUT(export_rdma, suspended, 240)
{
	struct export_env *env = &self->env;
	int ret = -ENODEV, tries;

	if (!getenv("HMM_ALIAS_SUSPEND"))
		SKIP(return, "HMM_ALIAS_SUSPEND is not set");
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 5));
	ASSERT_EQ(0, pci_suspend());
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	for (tries = 100; ret && tries; tries--) {
		export_env_disconnect(env);
		usleep(100000);
		ret = export_env_connect(env);
	}
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, export_fill_as(env, variant->consent, 6));
	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 7));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

/* A process that wants BIG on the exporter and checks what it gets */
#define BIG	(160 * MIB)

static int crowd(bool thp, uint64_t seed)
{
	struct exporter exp;
	unsigned char *mem;
	uint64_t *word;
	size_t size, i, n;
	void *map;

	if (exporter_open(&exp, getenv("GPU0")))
		return 1;
	mem = map_aligned(BIG, thp, &map, &size);
	if (!mem)
		return 2;
	for (n = 0; n < 2; n++) {
		pattern_fill(mem, BIG, seed + n, 0);
		/* As much as there is room for */
		for (i = 0; i < BIG; i += HALF)
			exp.ops->place(&exp, mem + i, HALF);
		word = (void *)mem;
		for (i = 0; i < BIG / sizeof(*word); i++)
			if (word[i] != pattern_word(seed + n, i))
				return 3;
	}
	exporter_close(&exp);
	return 0;
}

/* Others want more memory of the exporter than it has. */
TEST_F_TIMEOUT(export_rdma, pressure, 300)
{
	struct export_env *env = &self->env;
	struct traffic t;
	pid_t pid[2];
	int status;
	size_t i;

	ASSERT_EQ(0, traffic_start(&t, env, 0, SIZE));
	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		pid[i] = fork();
		ASSERT_LE(0, pid[i]);
		if (!pid[i])
			_exit(crowd(variant->thp, 100 * i));
	}
	for (i = 0; i < ARRAY_SIZE(pid); i++) {
		/* What was evicted comes back, and is evicted again. */
		while (!waitpid(pid[i], &status, WNOHANG)) {
			env->exp.ops->place(&env->exp, env->mem, SIZE);
			ASSERT_EQ(0, traffic_flows(&t));
		}
		EXPECT_EQ(0, status)
			TH_LOG("process %zu", i);
	}
	EXPECT_EQ(0, traffic_stop(&t));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	ASSERT_EQ(0, export_fill_as(env, variant->consent, 8));
	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
}

/* A process is killed in the middle of transfers of its memory. */
TEST_F_TIMEOUT(export_rdma, killed_in_transfers, 120)
{
	struct export_env *env = &self->env;
	struct export_env own = { };
	struct traffic t;
	int go[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(go));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (export_env_open(&own, variant->consent, variant->thp) ||
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

	ASSERT_EQ(0, export_fill_as(env, variant->consent, 8));
	EXPECT_EQ(0, peer_read(env, 0, SIZE));
	EXPECT_EQ(in_place(variant->consent), exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_HARNESS_MAIN
