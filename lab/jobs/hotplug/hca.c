// SPDX-License-Identifier: GPL-2.0
/*
 * What can happen to an HCA, and what the model counts: commands that fail or do
 * not end, events of commands that nobody has sent, death, being unplugged and
 * pulled out. HCA0 is hca0 to QEMU, whose monitor is the file QMP.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fixture.h"
#include "machine.h"

#define SIZE		(2 * MIB)
#define ID		"hca0"
#define ALLOC_PD	0x800

FIXTURE(hca) {
	struct rdma_env env;
	FILE *monitor;
	const char *bdf;
	bool closed;
};

FIXTURE_SETUP(hca)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	self->bdf = getenv("HCA0");
	if (!getenv("QMP") || !self->bdf)
		SKIP(return, "QMP or HCA0 is not set");
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
}

FIXTURE_TEARDOWN(hca)
{
	if (!self->closed)
		rdma_env_close(&self->env);
	fclose(self->monitor);
}

static uint64_t stat_of(struct _test_data_hca *self, const char *name)
{
	uint64_t value = ~0ULL;

	return device_get(self->monitor, ID, name, &value) ? ~0ULL : value;
}

/* The model counts what the driver and the wire do. */
TEST_F(hca, counters)
{
	struct rdma_env *env = &self->env;
	uint64_t faults = stat_of(self, "stat-faults"), umrs, now;

	ASSERT_NE(~0ULL, faults);
	umrs = stat_of(self, "stat-umrs");
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	now = stat_of(self, "stat-faults");
	EXPECT_LT(faults, now);
	EXPECT_EQ(now, stat_of(self, "stat-resumes"));
	EXPECT_LT(umrs, stat_of(self, "stat-umrs"));
	/* What is mapped does not fault again. */
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(now, stat_of(self, "stat-faults"));
	umrs = stat_of(self, "stat-umrs");
	ASSERT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_LT(umrs, stat_of(self, "stat-umrs"));
}

/* No translation is used that the driver has taken back. */
TEST_F(hca, ats)
{
	struct rdma_env *env = &self->env;
	uint64_t requests = stat_of(self, "stat-ats-requests");
	int i;

	ASSERT_EQ(0, ibv_dereg_mr(env->mr));
	env->mr = ibv_reg_mr(env->own.pd, env->mem, SIZE, RDMA_ACCESS |
			     IBV_ACCESS_ON_DEMAND |
			     IBV_ACCESS_RELAXED_ORDERING);
	ASSERT_NE(NULL, env->mr);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	if (stat_of(self, "stat-ats-requests") == requests)
		SKIP(return, "the HCA has no ATS");
	for (i = 0; i < 4; i++) {
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, i % 2 ?
				       IVGPU_PLACE_VRAM : IVGPU_PLACE_RAM));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_write(env, 1, SIZE - 2, i));
	}
	EXPECT_LT(0, stat_of(self, "stat-ats-unmaps"));
	EXPECT_EQ(0, stat_of(self, "stat-ats-stale"));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* The firmware refuses a command: the program hears of it, once. */
TEST_F(hca, command_fails)
{
	struct rdma_env *env = &self->env;
	const uint64_t no_res = 0xf;
	struct ibv_pd *pd;

	ASSERT_EQ(0, device_set(self->monitor, ID, "x-fail-cmd",
				ALLOC_PD | no_res << 16));
	pd = ibv_alloc_pd(env->own.ctx);
	EXPECT_EQ(NULL, pd);
	EXPECT_EQ(EAGAIN, errno);
	ASSERT_EQ(0, device_set(self->monitor, ID, "x-fail-cmd", 0));
	pd = ibv_alloc_pd(env->own.ctx);
	ASSERT_NE(NULL, pd);
	EXPECT_EQ(0, ibv_dealloc_pd(pd));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
}

/* An event names command slots that no command is in. */
TEST_F(hca, idle_slots)
{
	struct rdma_env *env = &self->env;
	struct ibv_pd *pd;
	int i;

	ASSERT_EQ(0, device_set(self->monitor, ID, "x-cmd-event", 0x0ffffffe));
	for (i = 0; i < 8; i++) {
		pd = ibv_alloc_pd(env->own.ctx);
		EXPECT_NE(NULL, pd);
		if (pd)
			EXPECT_EQ(0, ibv_dealloc_pd(pd));
	}
	ASSERT_EQ(0, device_set(self->monitor, ID, "x-cmd-event", 0));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
}

struct reader {
	struct rdma_env *env;
	atomic_int reads;
	int ret;
};

static void *read_all_the_time(void *arg)
{
	struct reader *r = arg;

	while (!r->ret) {
		r->ret = rdma_env_read(r->env, 0, SIZE);
		r->reads++;
	}
	return NULL;
}

/* When its port is up again; -ETIMEDOUT after a minute */
static int back(const char *bdf)
{
	char command[256];
	int tries;

	/* The port can be up before programs can open the device. */
	snprintf(command, sizeof(command), "cd " PCI_DEVICES "%s 2>/dev/null && "
		 "grep -q ACTIVE infiniband/*/ports/1/state 2>/dev/null && "
		 "test -c /dev/infiniband/$(ls infiniband_verbs)", bdf);
	for (tries = 3000; tries; tries--) {
		if (!system(command))
			return 0;
		usleep(20000);
	}
	return -ETIMEDOUT;
}

/* It may have another name now: the old one's is taken until that is closed. */
static int named_again(const char *bdf)
{
	char path[128];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/infiniband", bdf);
	dir = opendir(path);
	if (!dir)
		return -errno;
	do {
		e = readdir(dir);
	} while (e && e->d_name[0] == '.');
	if (e)
		setenv("RDMA", e->d_name, 1);
	closedir(dir);
	return e ? 0 : -ENODEV;
}

static int flows(struct reader *r)
{
	int from = r->reads, tries;

	for (tries = 3000; tries && r->reads < from + 2; tries--)
		usleep(20000);
	return tries ? 0 : -ETIMEDOUT;
}

/*
 * The importer goes in the middle of transfers. The memory stays in VRAM, with
 * what is in it, and with the HCA back it is reached again.
 */
static void check_gone(struct __test_metadata *_metadata,
		       struct _test_data_hca *self, bool surprise)
{
	struct rdma_env *env = &self->env;
	struct reader r = { .env = env };
	struct rdma_env fresh;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, read_all_the_time, &r));
	ASSERT_EQ(0, flows(&r));
	ASSERT_EQ(0, surprise ? pull(self->bdf) :
				unplug(self->monitor, ID, self->bdf));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_NE(0, r.ret);
	EXPECT_NE(-EILSEQ, r.ret);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));

	ASSERT_EQ(0, plug(self->monitor, ID));
	ASSERT_EQ(0, back(self->bdf));
	ASSERT_EQ(0, named_again(self->bdf));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	rdma_env_close(env);
	self->closed = true;
	ASSERT_EQ(0, rdma_env_open(&fresh, SIZE, true, false));
	memset(fresh.mem, 0, SIZE);
	EXPECT_EQ(0, rdma_env_fill(&fresh, 2));
	EXPECT_EQ(0, rdma_env_read(&fresh, 0, SIZE));
	expect_consent(_metadata, &fresh, true);
	rdma_env_close(&fresh);
}

TEST_F_TIMEOUT(hca, unplugged, 180)
{
	check_gone(_metadata, self, false);
}

TEST_F_TIMEOUT(hca, pulled, 180)
{
	check_gone(_metadata, self, true);
}

TEST_HARNESS_MAIN
