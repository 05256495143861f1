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
#include <fcntl.h>
#include <limits.h>

#include <linux/pci_regs.h>

#include "fixture.h"
#include "traffic.h"

#define MACHINE		"/etc/peerfault/qemu"
#define DEBUGFS		"/sys/kernel/debug/"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)
#define SLOT_OFF	(PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF)

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

/* The next line with all of these words; what comes before it is dropped. */
static int monitor_expect(FILE *monitor, const char *a, const char *b)
{
	char line[512];

	while (fgets(line, sizeof(line), monitor))
		if (strstr(line, a) && strstr(line, b))
			return 0;
	return -EPIPE;
}

static FILE *monitor_open(void)
{
	int fd = open(getenv("QMP") ?: "", O_RDWR | O_CLOEXEC);
	FILE *monitor = fd < 0 ? NULL : fdopen(fd, "r");

	if (!monitor)
		return NULL;
	/* An error, from the second time on: only the answer matters. */
	dprintf(fd, "{\"execute\":\"qmp_capabilities\",\"id\":%d}\n", getpid());
	if (!monitor_expect(monitor, "\"id\": ", ""))
		return monitor;
	fclose(monitor);
	return NULL;
}

/* A command that has nothing to say unless it failed. */
static int monitor_do(FILE *monitor, const char *command, const char *args)
{
	char line[512];

	dprintf(fileno(monitor),
		"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s %s\"}}\n",
		command, args);
	while (fgets(line, sizeof(line), monitor)) {
		if (strstr(line, "\"return\": \"\""))
			return 0;
		if (!strstr(line, "\"return\": ") &&
		    !strstr(line, "\"error\": "))
			continue;
		printf("# %s %s: %s", command, args, line);
		return -EREMOTEIO;
	}
	return -EPIPE;
}

/* What QEMU was told to make @id. */
static int machine_find(const char *kind, const char *id, char *args,
			size_t size)
{
	FILE *f = fopen(MACHINE, "r");
	char line[256], k[16], name[32];
	int ret = -ENOENT;

	if (!f)
		return -errno;
	snprintf(name, sizeof(name), ",id=%s,", id);
	while (ret && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%15s", k) != 1 || strcmp(k, kind) ||
		    !strstr(line, name))
			continue;
		snprintf(args, size, "%s", line + strlen(k) + 1);
		ret = 0;
	}
	fclose(f);
	return ret;
}

static int wait_gone(const char *bdf)
{
	char path[64];
	int tries;

	snprintf(path, sizeof(path), PCI_DEVICES "%s", bdf);
	for (tries = 3000; tries; tries--) {
		if (access(path, F_OK))
			return 0;
		usleep(20000);
	}
	return -ETIMEDOUT;
}

/* Presses the button of the slot, and returns when the device is no more. */
static int unplug(FILE *monitor, const char *id, const char *bdf)
{
	char word[32];
	int ret = monitor_do(monitor, "device_del", id);

	snprintf(word, sizeof(word), "\"%s\"", id);
	if (!ret)
		ret = wait_gone(bdf);
	return ret ?: monitor_expect(monitor, "DEVICE_DELETED", word);
}

/* Where the PCI Express capability is in the configuration space; 0: nowhere */
static uint8_t express_cap(int config)
{
	uint8_t pos = PCI_CAPABILITY_LIST, cap[2];

	if (pread(config, &pos, 1, pos) != 1)
		return 0;
	while (pos && pread(config, cap, 2, pos) == 2) {
		if (cap[0] == PCI_CAP_ID_EXP)
			return pos;
		pos = cap[1];
	}
	return 0;
}

/*
 * Pulls the device out. QEMU removes what is in a slot that is switched off,
 * which is done here behind the kernel's back. It hears of it when the slot is
 * empty, on again, and may interrupt. When it is done it switches it off.
 */
static int pull(const char *bdf)
{
	char path[64], port[PATH_MAX];
	int fd, tries, ret = -EIO;
	uint16_t on, off;
	off_t pos;

	snprintf(path, sizeof(path), PCI_DEVICES "%s", bdf);
	if (!realpath(path, port))
		return -errno;
	*strrchr(port, '/') = '\0';
	strncat(port, "/config", sizeof(port) - strlen(port) - 1);
	fd = open(port, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	pos = express_cap(fd) + PCI_EXP_SLTCTL;
	if (pread(fd, &on, 2, pos) == 2) {
		off = on & ~PCI_EXP_SLTCTL_HPIE;
		off |= SLOT_OFF;
		if (pwrite(fd, &off, 2, pos) == 2 &&
		    pwrite(fd, &on, 2, pos) == 2)
			ret = wait_gone(bdf);
	}
	for (tries = 3000; !ret; tries--) {
		if (pread(fd, &on, 2, pos) != 2)
			ret = -EIO;
		else if ((on & SLOT_OFF) == SLOT_OFF)
			break;
		else if (!tries)
			ret = -ETIMEDOUT;
		usleep(20000);
	}
	close(fd);
	return ret;
}

/* As the machine was made. The memory of a GPU is a new one, too. */
static int plug(FILE *monitor, const char *id)
{
	char device[256], object[256], mem[32] = "";
	int ret = machine_find("device", id, device, sizeof(device));

	if (ret)
		return ret;
	if (strstr(device, "memdev="))
		sscanf(strstr(device, "memdev="), "memdev=%31[^,]", mem);
	if (mem[0])
		ret = machine_find("object", mem, object, sizeof(object));
	/* QEMU 7.2 does not survive using the same one again. */
	if (mem[0] && !ret)
		ret = monitor_do(monitor, "object_del", mem);
	if (mem[0] && !ret)
		ret = monitor_do(monitor, "object_add", object);
	return ret ?: monitor_do(monitor, "device_add", device);
}

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
