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
#include <pthread.h>

#include <linux/pci_regs.h>

#include "alias_test.h"
#include "dma_env.h"

#define MACHINE		"/etc/peerfault/qemu"
#define DEBUGFS		"/sys/kernel/debug/"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)
#define BUF		HMM_DMA_BUF_SIZE
#define SLOT_OFF	(PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF)

/* DMA that does not end by itself. */
struct traffic {
	int fd;
	unsigned char *mem;
	/* NULL: it does not matter what is moved */
	unsigned char *ref;
	pthread_t thread;
	bool running;
	bool stop;
	unsigned long count;
	/* The last transfer, and how it ended */
	size_t off;
	unsigned long seed;
	int error;
};

FIXTURE(alias_hotplug) {
	struct alias_gpu gpu;
	const char *bdf;
	int fd;
	bool iommu;
	bool alias;
	uint64_t mapped;
	unsigned char *mem;
	unsigned char *ref;
	void *map;
	size_t map_size;
	struct dma_faults faults;
	struct traffic traffic;
	FILE *monitor;
	int mappings;
	uint64_t dma_addr;
	unsigned char page[PAGE];
};

FIXTURE_VARIANT(alias_hotplug) {
	bool consent;
};

FIXTURE_VARIANT_ADD(alias_hotplug, consent) { .consent = true };
FIXTURE_VARIANT_ADD(alias_hotplug, refused) { };

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
		if (!strstr(line, "\"return\": ") && !strstr(line, "\"error\": "))
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

/* When its driver is there; not the other one's, which moves up meanwhile. */
static int gpu_reopen(struct alias_gpu *gpu)
{
	struct alias_gpu new;
	int tries, ret = -ENODEV;

	alias_gpu_close(gpu);
	for (tries = 3000; tries; tries--) {
		ret = alias_gpu_open(&new, 0);
		if (!ret && !strcmp(new.bdf, gpu->bdf)) {
			*gpu = new;
			return 0;
		}
		alias_gpu_close(&new);
		usleep(20000);
	}
	return ret ?: -ENODEV;
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

static int traffic_one(struct traffic *t)
{
	unsigned char *mem = t->mem + t->off;
	unsigned char *ref = t->ref + t->off;

	if (!t->ref)
		return dma_xfer(t->fd, (uintptr_t)mem, BUF,
				t->off < HALF ? 0 : HMM_DMA_WRITE);
	if (t->off < HALF)
		return dma_check(t->fd, mem, ref, BUF);
	return dma_write(t->fd, mem, ref, BUF, t->seed);
}

/* Reads pieces of the first half and writes pieces of the second one. */
static void *traffic(void *arg)
{
	struct traffic *t = arg;
	int ret = 0;

	while (!ret && !__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		t->off = ++t->seed * 37 * PAGE % SIZE;
		ret = traffic_one(t);
		if (ret)
			__atomic_store_n(&t->error, ret, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&t->count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Some transfers more have ended; -errno of the one that did not. */
static int traffic_flows(struct traffic *t)
{
	unsigned long count = __atomic_load_n(&t->count, __ATOMIC_RELAXED);
	int tries, error = 0;

	for (tries = 3000; !error && tries; tries--) {
		if (__atomic_load_n(&t->count, __ATOMIC_RELAXED) > count + 3)
			return 0;
		usleep(20000);
		error = __atomic_load_n(&t->error, __ATOMIC_RELAXED);
	}
	return error ?: -ETIMEDOUT;
}

static int traffic_start(struct traffic *t)
{
	int ret;

	t->stop = false;
	ret = -pthread_create(&t->thread, NULL, traffic, t);
	t->running = !ret;
	return ret ?: traffic_flows(t);
}

/* Returns how the last transfer ended. */
static int traffic_stop(struct traffic *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	pthread_join(t->thread, NULL);
	t->running = false;
	return t->error;
}

static int fill(struct _test_data_alias_hotplug *self, uint64_t seed)
{
	int ret = alias_gpu_fill(&self->gpu, self->mem, SIZE, seed);

	alias_pattern(self->ref, SIZE, seed, 0);
	if (!ret && alias_gpu_place(&self->gpu, self->mem, SIZE,
				    IVGPU_PLACE_VRAM) != alias_pages(SIZE))
		ret = -ENXIO;
	return ret;
}

/* Everything is in VRAM, and mapped for the importer as it must be. */
static void expect_works(struct __test_metadata *_metadata,
			 struct _test_data_alias_hotplug *self, uint64_t seed)
{
	struct hmm_dma_query query;

	ASSERT_EQ(0, fill(self, seed));
	ASSERT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	ASSERT_EQ(0, dma_all(self->fd, self->mem, SIZE, self->mapped));
	ASSERT_EQ(0, dma_check(self->fd, self->mem, self->ref, BUF));
	ASSERT_EQ(0, dma_write(self->fd, self->mem + HALF, self->ref + HALF,
			       BUF, seed + 1));
	/* Counted, if anybody counts. */
	if (self->iommu)
		EXPECT_LT(self->mappings, mappings(self->bdf));
	ASSERT_EQ(0, dma_query(self->fd, self->mem, &query));
	self->dma_addr = query.dma_addr;
	memcpy(self->page, self->ref, PAGE);
}

/* The address that expect_works() has seen leads nowhere now. */
static void expect_dead(struct __test_metadata *_metadata,
			struct _test_data_alias_hotplug *self)
{
	if (self->iommu)
		EXPECT_EQ(0, dma_dead(self->fd, &self->faults, self->dma_addr,
				      self->page));
}

/* Nobody uses VRAM, and nobody has an alias of it. */
static int gpu_idle(struct alias_gpu *gpu)
{
	struct drm_ivgpu_counters c;
	int tries, ret = 0;

	for (tries = 500; !ret && tries; tries--) {
		ret = alias_gpu_counters(gpu, &c);
		if (!ret && !c.alias_pages_live && !c.vram_pages_used)
			return 0;
		usleep(20000);
	}
	return ret ?: -EBUSY;
}

FIXTURE_SETUP(alias_hotplug)
{
	int verdict;

	self->bdf = getenv("DMA0");
	if (!getenv("GPU0") || !self->bdf || !getenv("QMP"))
		SKIP(return, "GPU0, DMA0 and QMP are not set");
	ASSERT_EQ(0, alias_param_set("p2p", variant->consent ? "Y" : "N"));
	ASSERT_EQ(0, alias_gpu_open(&self->gpu, 0));
	ASSERT_STREQ(getenv("GPU0"), self->gpu.bdf);
	verdict = dma_verdict("GPU0", "DMA0");
	ASSERT_LE(0, verdict);
	self->mapped = dma_mapped_as(variant->consent, verdict);
	self->alias = self->mapped & HMM_DMA_PAGE_ALIAS;
	self->iommu = pci_translated(self->bdf);
	ASSERT_EQ(0, dma_faults_open(&self->faults, self->bdf));
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);

	self->mem = alias_map(SIZE, false, &self->map, &self->map_size);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->mem);
	ASSERT_NE(NULL, self->ref);
	ASSERT_EQ(0, gpu_idle(&self->gpu));
	self->fd = dma_open(self->bdf);
	ASSERT_LE(0, self->fd);
	self->mappings = mappings(self->bdf);
	ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
	expect_works(_metadata, self, 1);
	/* Refused, all of it is in RAM now: have something to lose. */
	ASSERT_EQ(alias_pages(SIZE), alias_gpu_place(&self->gpu, self->mem,
						     SIZE, IVGPU_PLACE_VRAM));

	self->traffic.mem = self->mem;
	self->traffic.ref = self->ref;
	self->traffic.fd = self->fd;
	ASSERT_EQ(0, traffic_start(&self->traffic));
}

/* What a test has used, with all of it in use, is free again. */
FIXTURE_TEARDOWN(alias_hotplug)
{
	if (self->traffic.running)
		traffic_stop(&self->traffic);
	EXPECT_EQ(0, fill(self, 9));
	EXPECT_EQ(0, dma_fault(self->fd, self->mem, SIZE, NULL));
	close(self->fd);
	EXPECT_EQ(self->mappings, mappings(self->bdf));
	munmap(self->map, self->map_size);
	EXPECT_EQ(0, gpu_idle(&self->gpu));
	EXPECT_EQ(0, dma_faults_close(&self->faults));
	alias_gpu_close(&self->gpu);
	fclose(self->monitor);
	free(self->ref);
	alias_param_set("p2p", "Y");
}

TEST_F_TIMEOUT(alias_hotplug, exporter, 300)
{
	struct drm_ivgpu_counters c;

	ASSERT_EQ(0, unplug(self->monitor, "gpu0", self->gpu.bdf));
	/* The importer goes on, in RAM. */
	EXPECT_EQ(0, traffic_flows(&self->traffic));
	EXPECT_EQ(0, traffic_stop(&self->traffic));
	if (self->alias)
		expect_dead(_metadata, self);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	EXPECT_EQ(-ENODEV, alias_gpu_counters(&self->gpu, &c));

	ASSERT_EQ(0, plug(self->monitor, "gpu0"));
	ASSERT_EQ(0, gpu_reopen(&self->gpu));
	EXPECT_EQ(0, gpu_idle(&self->gpu));
	expect_works(_metadata, self, 2);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* The file of an importer that is gone is of no use, and does no harm. */
static void expect_orphan(struct __test_metadata *_metadata,
			  struct _test_data_alias_hotplug *self)
{
	struct hmm_dma_query query;

	EXPECT_EQ(-ENODEV, dma_fault(self->fd, self->mem, SIZE, NULL));
	EXPECT_EQ(-ENODEV, dma_query(self->fd, self->mem, &query));
	EXPECT_EQ(-ENODEV, dma_xfer(self->fd, (uintptr_t)self->mem, BUF, 0));
}

static void importer_back(struct __test_metadata *_metadata,
			  struct _test_data_alias_hotplug *self)
{
	int fd;

	ASSERT_EQ(0, plug(self->monitor, "dma0"));
	fd = dma_reopen(self->bdf);
	ASSERT_LE(0, fd);
	/* The old file is closed only now. */
	expect_orphan(_metadata, self);
	close(self->fd);
	self->fd = fd;
	EXPECT_EQ(self->mappings, mappings(self->bdf));
	expect_dead(_metadata, self);
	ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
	expect_works(_metadata, self, 3);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_F_TIMEOUT(alias_hotplug, importer, 300)
{
	ASSERT_EQ(0, unplug(self->monitor, "dma0", self->bdf));
	EXPECT_EQ(-ENODEV, traffic_stop(&self->traffic));
	expect_orphan(_metadata, self);
	/* Nobody has asked the exporter to move anything. */
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	importer_back(_metadata, self);
}

/* What was in VRAM is lost. What was in RAM is not. */
TEST_F_TIMEOUT(alias_hotplug, exporter_pulled, 300)
{
	EXPECT_EQ(0, traffic_stop(&self->traffic));
	ASSERT_EQ(0, alias_gpu_place(&self->gpu, self->mem, HALF,
				     IVGPU_PLACE_RAM));
	self->traffic.ref = NULL;
	ASSERT_EQ(0, traffic_start(&self->traffic));
	ASSERT_EQ(0, pull(self->gpu.bdf));
	EXPECT_EQ(0, traffic_flows(&self->traffic));
	EXPECT_EQ(0, traffic_stop(&self->traffic));
	EXPECT_EQ(0, memcmp(self->mem, self->ref, HALF));
	if (self->alias)
		expect_dead(_metadata, self);

	ASSERT_EQ(0, plug(self->monitor, "gpu0"));
	ASSERT_EQ(0, gpu_reopen(&self->gpu));
	EXPECT_EQ(0, gpu_idle(&self->gpu));
	expect_works(_metadata, self, 2);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

TEST_F_TIMEOUT(alias_hotplug, importer_pulled, 300)
{
	struct traffic *t = &self->traffic;
	unsigned char last[BUF];
	int error;

	ASSERT_EQ(0, pull(self->bdf));
	error = traffic_stop(t);
	EXPECT_TRUE(error == -EIO || error == -ENODEV)
		TH_LOG("error %d", error);
	expect_orphan(_metadata, self);
	/* A write on its way may have arrived. */
	alias_pattern(last, BUF, t->seed, 0);
	if (t->off >= HALF && !memcmp(self->mem + t->off, last, BUF))
		memcpy(self->ref + t->off, last, BUF);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	importer_back(_metadata, self);
}

TEST_HARNESS_MAIN
