// SPDX-License-Identifier: GPL-2.0
/*
 * The exporter and the importer are taken out of the machine and put back while
 * the importer's DMA is on its way: by QEMU's device_del, which asks the guest,
 * and by surprise, which does not.
 *
 * The device that is called GPU0 in the environment is gpu0 to QEMU, whose
 * monitor is the file QMP. /etc/peerfault/qemu has a line for each device and
 * object of the machine, as QEMU wants to have them.
 */
#include "fixture.h"
#include "machine.h"
#include "traffic.h"

#define DEBUGFS		"/sys/kernel/debug/"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)

FIXTURE(hotplug) {
	struct dma_env env;
	struct dma_traffic traffic;
	FILE *monitor;
	int mappings;
	uint64_t dma_addr;
	unsigned char page[PAGE];
};

FIXTURE_VARIANT(hotplug) {
	bool consent;
};

FIXTURE_VARIANT_ADD(hotplug, consent) { .consent = true };
FIXTURE_VARIANT_ADD(hotplug, refused) { };

/* When its driver is there. */
static int gpu_back(struct gpu *gpu)
{
	int tries, ret = -ENODEV;

	for (tries = 3000; ret && tries; tries--) {
		usleep(20000);
		ret = gpu_reopen(gpu);
	}
	return ret;
}

static int dma_reopen(const char *bdf)
{
	int tries, fd = -ENOENT;

	for (tries = 3000; fd < 0 && tries; tries--) {
		usleep(20000);
		fd = dma_open(bdf);
	}
	return fd;
}

static int count_lines(const char *path, const char *word)
{
	FILE *f = fopen(path, "r");
	char line[256];
	int n = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, word);
	fclose(f);
	return n;
}

/*
 * What is mapped for the device, by its page tables if the IOMMU of the machine
 * shows them, and by the debugging of the DMA API if the kernel has it. 0 if
 * nobody counts.
 */
static int mappings(const char *bdf)
{
	char path[128], word[64];
	int tables, calls;

	snprintf(path, sizeof(path),
		 DEBUGFS "iommu/intel/%s/domain_translation_struct", bdf);
	tables = count_lines(path, " |\t0x");
	snprintf(word, sizeof(word), " %s ", bdf);
	calls = count_lines(DEBUGFS "dma-api/dump", word);
	return (tables < 0 ? 0 : tables) + (calls < 0 ? 0 : calls);
}

/* Everything is in VRAM, and mapped for the importer as it must be. */
static void expect_works(struct __test_metadata *_metadata,
			 struct _test_data_hotplug *self, uint64_t seed)
{
	struct dma_env *env = &self->env;
	struct hmm_dma_query query;

	ASSERT_EQ(0, dma_env_fill(env, seed));
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	ASSERT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	ASSERT_EQ(0, dma_check(env->fd, env->mem, env->ref, BUF));
	ASSERT_EQ(0, dma_write(env->fd, env->mem + HALF, env->ref + HALF,
			       BUF, seed + 1));
	/* Counted, if anybody counts. */
	if (env->iommu)
		EXPECT_LT(self->mappings, mappings(env->bdf));
	ASSERT_EQ(0, dma_query(env->fd, env->mem, &query));
	self->dma_addr = query.dma_addr;
	memcpy(self->page, env->ref, PAGE);
}

/* The address that expect_works() has seen leads nowhere now. */
static void expect_dead(struct __test_metadata *_metadata,
			struct _test_data_hotplug *self)
{
	struct dma_env *env = &self->env;

	if (env->iommu)
		EXPECT_EQ(0, dma_expect_fault(env->fd, &env->faults,
					      self->dma_addr, self->page));
}

FIXTURE_SETUP(hotplug)
{
	struct dma_env *env = &self->env;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	if (!getenv("QMP"))
		SKIP(return, "QMP is not set");
	if (!strncmp(getenv("GPU0"), getenv("DMA0"), strlen("0000:00:00")))
		SKIP(return, "one slot has both devices");
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	self->mappings = mappings(getenv("DMA0"));
	ASSERT_EQ(0, dma_env_open(env, SIZE, variant->consent, false,
				  HMM_DMA_ALLOW_P2P));
	expect_works(_metadata, self, 1);
	/* Refused, all of it is in RAM now: have something to lose. */
	ASSERT_EQ(nr_pages(SIZE), gpu_place(&env->gpu, env->mem, SIZE,
					    IVGPU_PLACE_VRAM));

	ASSERT_EQ(0, dma_traffic_start(&self->traffic, env, true));
}

/* What a test has used, with all of it in use, is free again. */
FIXTURE_TEARDOWN(hotplug)
{
	struct dma_env *env = &self->env;

	if (self->traffic.running)
		dma_traffic_stop(&self->traffic);
	EXPECT_EQ(0, dma_env_fill(env, 9));
	EXPECT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	close(env->fd);
	env->fd = -1;
	EXPECT_EQ(self->mappings, mappings(env->bdf));
	munmap(env->map, env->map_size);
	env->map = NULL;
	EXPECT_EQ(0, gpu_wait_freed(&env->gpu, 0, 0, NULL));
	EXPECT_EQ(0, dma_env_close(env));
	fclose(self->monitor);
	gpu_consent(true);
}

TEST_F_TIMEOUT(hotplug, exporter, 300)
{
	struct dma_env *env = &self->env;
	struct drm_ivgpu_counters c;

	ASSERT_EQ(0, unplug(self->monitor, "gpu0", env->gpu.bdf));
	/* The importer goes on, in RAM. */
	EXPECT_EQ(0, dma_traffic_flows(&self->traffic));
	EXPECT_EQ(0, dma_traffic_stop(&self->traffic));
	if (env->alias)
		expect_dead(_metadata, self);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	EXPECT_EQ(-ENODEV, gpu_counters(&env->gpu, &c));

	ASSERT_EQ(0, plug(self->monitor, "gpu0"));
	ASSERT_EQ(0, gpu_back(&env->gpu));
	EXPECT_EQ(0, gpu_wait_freed(&env->gpu, 0, 0, NULL));
	expect_works(_metadata, self, 2);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

static void importer_back(struct __test_metadata *_metadata,
			  struct _test_data_hotplug *self)
{
	struct dma_env *env = &self->env;
	int fd;

	ASSERT_EQ(0, plug(self->monitor, "dma0"));
	fd = dma_reopen(env->bdf);
	ASSERT_LE(0, fd);
	/* The old file is closed only now. */
	expect_orphan(_metadata, env);
	close(env->fd);
	env->fd = fd;
	EXPECT_EQ(self->mappings, mappings(env->bdf));
	expect_dead(_metadata, self);
	ASSERT_EQ(0, dma_register(env->fd, env->mem, SIZE));
	expect_works(_metadata, self, 3);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_F_TIMEOUT(hotplug, importer, 300)
{
	struct dma_env *env = &self->env;

	ASSERT_EQ(0, unplug(self->monitor, "dma0", env->bdf));
	EXPECT_EQ(-ENODEV, dma_traffic_stop(&self->traffic));
	expect_orphan(_metadata, env);
	/* Nobody has asked the exporter to move anything. */
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	importer_back(_metadata, self);
}

/* What was in VRAM is lost. What was in RAM is not. */
TEST_F_TIMEOUT(hotplug, exporter_pulled, 300)
{
	struct dma_env *env = &self->env;

	EXPECT_EQ(0, dma_traffic_stop(&self->traffic));
	ASSERT_EQ(0, gpu_place(&env->gpu, env->mem, HALF, IVGPU_PLACE_RAM));
	ASSERT_EQ(0, dma_traffic_start(&self->traffic, env, false));
	ASSERT_EQ(0, pull(env->gpu.bdf));
	EXPECT_EQ(0, dma_traffic_flows(&self->traffic));
	EXPECT_EQ(0, dma_traffic_stop(&self->traffic));
	EXPECT_EQ(0, memcmp(env->mem, env->ref, HALF));
	if (env->alias)
		expect_dead(_metadata, self);

	ASSERT_EQ(0, plug(self->monitor, "gpu0"));
	ASSERT_EQ(0, gpu_back(&env->gpu));
	EXPECT_EQ(0, gpu_wait_freed(&env->gpu, 0, 0, NULL));
	expect_works(_metadata, self, 2);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_F_TIMEOUT(hotplug, importer_pulled, 300)
{
	struct dma_env *env = &self->env;
	struct dma_traffic *t = &self->traffic;
	unsigned char last[BUF];
	int error;

	ASSERT_EQ(0, pull(env->bdf));
	error = dma_traffic_stop(t);
	EXPECT_TRUE(error == -EIO || error == -ENODEV)
		TH_LOG("error %d", error);
	expect_orphan(_metadata, env);
	/* A write on its way may have arrived. */
	pattern_fill(last, BUF, t->seed, 0);
	if (t->off >= HALF && !memcmp(env->mem + t->off, last, BUF))
		memcpy(env->ref + t->off, last, BUF);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	importer_back(_metadata, self);
}

TEST_HARNESS_MAIN
