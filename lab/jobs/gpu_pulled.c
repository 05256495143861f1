// SPDX-License-Identifier: GPL-2.0
/*
 * An exporter of any driver is pulled out while an RDMA device reads its memory.
 * It is GPU0 in the environment, and gpu0 to QEMU.
 */
#include "../kselftest_harness.h"

#include "export_env.h"
#include "machine.h"

#define LEFT		(256 * MIB)
#define LEFT_BYTE	0x5a

FIXTURE(gpu_pulled) {
	struct export_env env;
	FILE *monitor;
};

FIXTURE_VARIANT(gpu_pulled) {
	bool thp;
};

FIXTURE_VARIANT_ADD(gpu_pulled, pte) { };
FIXTURE_VARIANT_ADD(gpu_pulled, thp) { .thp = true };

FIXTURE_SETUP(gpu_pulled)
{
	ASSERT_NE(NULL, getenv("GPU0"));
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, export_env_open(&self->env, true, variant->thp));
}

FIXTURE_TEARDOWN(gpu_pulled)
{
	export_env_close(&self->env);
	fclose(self->monitor);
}

/* Words that mem_leave() has left */
static size_t left(const void *mem, size_t size)
{
	const uint64_t *word = mem;
	uint64_t was;
	size_t i, n = 0;

	memset(&was, LEFT_BYTE, sizeof(was));
	for (i = 0; i < size / sizeof(*word); i++)
		n += word[i] == was;
	return n;
}

/* When its driver is there. */
static int gpu_back(struct exporter *exp, const char *bdf)
{
	int tries, ret = -ENODEV;

	exporter_close(exp);
	for (tries = 3000; ret && tries; tries--) {
		usleep(20000);
		ret = exporter_open(exp, bdf);
	}
	return ret;
}

/*
 * What was on it is lost, and nothing of others is in its place. What was in RAM
 * is not lost. Both can be used.
 */
TEST_F_TIMEOUT(gpu_pulled, in_transfers, 300)
{
	struct export_env *env = &self->env;
	const char *bdf = getenv("GPU0");
	struct traffic t;

	ASSERT_EQ(0, exporter_evict(&env->exp, env->mem, HALF));
	ASSERT_EQ(HALF / PAGE, exporter_pages(env->mem, SIZE));
	ASSERT_EQ(0, mem_leave(LEFT, LEFT_BYTE));
	ASSERT_EQ(0, traffic_start(&t, env, HALF, SIZE));
	ASSERT_EQ(0, pull(bdf));
	/* A transfer may fail, or bring what is no data any more. */
	traffic_stop(&t);
	ASSERT_EQ(0, rdma_reconnect(&env->own, &env->peer));
	EXPECT_EQ(0, exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, HALF));
	EXPECT_EQ(0, left(env->mem, SIZE));
	EXPECT_EQ(0, peer_read(env, 0, HALF));
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 5));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));

	ASSERT_EQ(0, plug(self->monitor, "gpu0"));
	ASSERT_EQ(0, gpu_back(&env->exp, bdf));
	ASSERT_EQ(0, exporter_consent(bdf, true));
	ASSERT_EQ(0, export_fill_as(env, true, 6));
	EXPECT_EQ(0, peer_write(env, 0, SIZE, 7));
	EXPECT_EQ(SIZE / PAGE, exporter_pages(env->mem, SIZE));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_HARNESS_MAIN
