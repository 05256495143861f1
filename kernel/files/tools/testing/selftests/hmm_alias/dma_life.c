// SPDX-License-Identifier: GPL-2.0
/*
 * What takes device memory away from another device's DMA: the program, the
 * exporter or the importer itself. Nothing is reached after its time.
 */
#include <time.h>

#include "fixture.h"
#include "traffic.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)

FIXTURE(dma_life) {
	struct dma_env env;
};

FIXTURE_VARIANT(dma_life) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(dma_life, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(dma_life, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(dma_life, refused_pte) { };

FIXTURE_SETUP(dma_life)
{
	struct dma_env *env = &self->env;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	ASSERT_EQ(0, dma_env_open(env, SIZE, variant->consent, variant->thp,
				  HMM_DMA_ALLOW_P2P));
	ASSERT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, 0));
}

FIXTURE_TEARDOWN(dma_life)
{
	EXPECT_EQ(0, dma_env_close(&self->env));
	gpu_consent(true);
}

/* A transfer by the DMA address that is no longer: it faults, moves nothing. */
static void expect_dead(struct __test_metadata *_metadata,
			struct dma_env *env, uint64_t dma_addr,
			const unsigned char *vram)
{
	/* Without an IOMMU such a transfer would go where the address says. */
	if (env->iommu && !pci_in_bar2(env->gpu.bdf, dma_addr))
		EXPECT_EQ(0, dma_expect_fault(env->fd, &env->faults, dma_addr,
					      vram));
}

/* A page in use, in the middle of the memory: at the start of a huge page. */
struct held {
	unsigned char *mem;
	uint64_t dma_addr;
	unsigned char *vram;
};

/* Everything is mapped for the device, and this page is where it should be. */
static void map_and_check(struct __test_metadata *_metadata,
			  struct dma_env *env, struct held *held)
{
	struct hmm_dma_query query;
	unsigned char buf[BUF];
	char line[512], importer[64];
	unsigned long phys;

	held->mem = env->mem + HALF;
	held->vram = NULL;
	ASSERT_EQ(0, trace_start());
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	ASSERT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	ASSERT_EQ(0, dma_query(env->fd, held->mem, &query));
	held->dma_addr = query.dma_addr;
	if (env->alias) {
		snprintf(importer, sizeof(importer), "importer=%s", env->bdf);
		ASSERT_LT(0, trace_find(held->mem, "hmm_alias_grant", importer,
					line, sizeof(line)));
		ASSERT_NE(NULL, strstr(line, " phys="));
		phys = strtoul(strstr(line, " phys=") + 6, NULL, 16);
		held->vram = pci_bar2_map(env->gpu.bdf, phys);
		ASSERT_NE(NULL, held->vram);
		EXPECT_EQ(0, memcmp(held->vram, env->ref + HALF, PAGE));
	}
	trace_stop();

	/* What expect_dead() does not see afterwards, it would see now. */
	ASSERT_EQ(0, dma_xfer(env->fd, held->dma_addr, BUF, HMM_DMA_RAW));
	ASSERT_EQ(0, dma_buf_get(env->fd, buf));
	EXPECT_EQ(0, memcmp(buf, env->ref + HALF, BUF));
	pattern_fill(buf, BUF, 98, 0);
	ASSERT_EQ(0, dma_buf_set(env->fd, buf));
	ASSERT_EQ(0, dma_xfer(env->fd, held->dma_addr, BUF,
			      HMM_DMA_RAW | HMM_DMA_WRITE));
	memcpy(env->ref + HALF, buf, BUF);
	if (held->vram)
		EXPECT_EQ(0, memcmp(held->vram, buf, BUF));
}

/* The page was taken away from the device; @dma_addr leads nowhere. */
static void expect_gone(struct __test_metadata *_metadata,
			struct dma_env *env, struct held *held)
{
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, held->mem, HALF, 0));
	expect_dead(_metadata, env, held->dma_addr, held->vram);
}

static void unmap_held(struct held *held)
{
	if (held->vram)
		munmap(held->vram, PAGE);
}

/* The device reaches all of the memory, as it is now. */
static void expect_data(struct __test_metadata *_metadata,
			struct dma_env *env)
{
	static const size_t offs[] = { 0, HALF, SIZE - PAGE };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(offs); i++)
		EXPECT_EQ(0, dma_check(env->fd, env->mem + offs[i],
				       env->ref + offs[i], BUF))
			TH_LOG("offset %#zx", offs[i]);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_F(dma_life, munmap)
{
	struct dma_env *env = &self->env;
	struct held held;

	map_and_check(_metadata, env, &held);
	ASSERT_EQ(0, munmap(held.mem, HALF));
	expect_gone(_metadata, env, &held);
	unmap_held(&held);
	EXPECT_EQ(-EFAULT, dma_xfer(env->fd, (uintptr_t)held.mem, LEN, 0));

	/* The first half is as it was. */
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, HALF, env->mapped));
	ASSERT_EQ(held.mem, mmap(held.mem, HALF, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				 -1, 0));
	memset(held.mem, 0x77, HALF);
	memset(env->ref + HALF, 0x77, HALF);
	expect_data(_metadata, env);
}

TEST_F(dma_life, mremap)
{
	struct dma_env *env = &self->env;
	struct held held;
	size_t map_size;
	void *map, *new;

	map_and_check(_metadata, env, &held);
	new = map_aligned(HALF, false, &map, &map_size);
	ASSERT_NE(NULL, new);
	ASSERT_EQ(new, mremap(held.mem, HALF, HALF,
			      MREMAP_MAYMOVE | MREMAP_FIXED, new));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, held.mem, HALF, 0));
	/* The memory is still there, under another address. */
	expect_dead(_metadata, env, held.dma_addr, held.vram);
	EXPECT_EQ(0, memcmp(new, env->ref + HALF, HALF));
	unmap_held(&held);
	munmap(map, map_size);
}

/* Where the data goes, the device follows. */
TEST_F_TIMEOUT(dma_life, migrated, 120)
{
	struct dma_env *env = &self->env;
	struct held held;
	size_t i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, dma_env_fill(env, 40 + i));
		map_and_check(_metadata, env, &held);
		ASSERT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE,
				       IVGPU_PLACE_RAM));
		if (env->alias)
			expect_gone(_metadata, env, &held);
		unmap_held(&held);
		expect_data(_metadata, env);
	}
}

TEST_F(dma_life, cpu_access)
{
	struct dma_env *env = &self->env;
	struct held held;

	map_and_check(_metadata, env, &held);
	/* Written by the device, last. */
	EXPECT_EQ(0, memcmp(held.mem, env->ref + HALF, HALF));
	if (env->alias)
		expect_gone(_metadata, env, &held);
	unmap_held(&held);
	expect_data(_metadata, env);
}

/* VRAM is full, and another fill needs it. */
TEST_F_TIMEOUT(dma_life, evicted, 120)
{
	struct dma_env *env = &self->env;
	size_t size = env->gpu.info.vram_size;
	struct held held;
	unsigned char *other;
	size_t map_size;
	void *map;

	map_and_check(_metadata, env, &held);
	if (env->alias) {
		other = map_aligned(size, false, &map, &map_size);
		ASSERT_NE(NULL, other);
		ASSERT_EQ(0, gpu_fill(&env->gpu, other, size, 50));
		/* The place may have a new owner: it must not be disturbed. */
		expect_gone(_metadata, env, &held);
		munmap(map, map_size);
	}
	unmap_held(&held);
	expect_data(_metadata, env);
}

TEST_F(dma_life, exporter_unbound)
{
	struct dma_env *env = &self->env;
	struct held held;

	map_and_check(_metadata, env, &held);
	ASSERT_EQ(0, gpu_bind(env->gpu.bdf, false));
	if (env->alias)
		expect_gone(_metadata, env, &held);
	unmap_held(&held);
	expect_data(_metadata, env);
	ASSERT_EQ(0, gpu_bind(env->gpu.bdf, true));
	ASSERT_EQ(0, gpu_reopen(&env->gpu));
	ASSERT_EQ(0, dma_env_fill(env, 6));
	EXPECT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	expect_data(_metadata, env);
}

/* The device itself goes away, and comes back. */
TEST_F(dma_life, exporter_unplugged)
{
	struct dma_env *env = &self->env;
	struct held held;

	map_and_check(_metadata, env, &held);
	unmap_held(&held);
	held.vram = NULL;
	ASSERT_EQ(0, pci_remove(env->gpu.bdf));
	if (env->alias)
		expect_gone(_metadata, env, &held);
	expect_data(_metadata, env);
	ASSERT_EQ(0, pci_rescan());
	ASSERT_EQ(0, gpu_reopen(&env->gpu));
	ASSERT_EQ(0, dma_env_fill(env, 6));
	EXPECT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	expect_data(_metadata, env);
}

/* Back again; the old file is closed only now. */
static void importer_back(struct __test_metadata *_metadata,
			  struct dma_env *env, struct held *held)
{
	int fd = dma_open(env->bdf);

	ASSERT_LE(0, fd);
	close(env->fd);
	env->fd = fd;
	expect_dead(_metadata, env, held->dma_addr, held->vram);
	unmap_held(held);
	ASSERT_EQ(0, dma_env_fill(env, 7));
	ASSERT_EQ(0, dma_register(env->fd, env->mem, SIZE));
	EXPECT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	expect_data(_metadata, env);
}

TEST_F(dma_life, importer_closed)
{
	struct dma_env *env = &self->env;
	struct held held;

	map_and_check(_metadata, env, &held);
	close(env->fd);
	env->fd = dma_open(env->bdf);
	importer_back(_metadata, env, &held);
}

TEST_F(dma_life, importer_unbound)
{
	struct dma_env *env = &self->env;
	struct held held;

	map_and_check(_metadata, env, &held);
	ASSERT_EQ(0, dma_bind(env->bdf, false));
	expect_orphan(_metadata, env);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	ASSERT_EQ(0, dma_bind(env->bdf, true));
	expect_orphan(_metadata, env);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	importer_back(_metadata, env, &held);
}

TEST_F(dma_life, importer_unplugged)
{
	struct dma_env *env = &self->env;
	struct held held;

	map_and_check(_metadata, env, &held);
	ASSERT_EQ(0, pci_remove(env->bdf));
	expect_orphan(_metadata, env);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	ASSERT_EQ(0, pci_rescan());
	expect_orphan(_metadata, env);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
	importer_back(_metadata, env, &held);
}

/* With a transfer on its way all the time, everything moves and goes away. */
TEST_F_TIMEOUT(dma_life, in_flight, 120)
{
	struct dma_env *env = &self->env;
	const struct timespec beat = { .tv_nsec = 150000000 };
	unsigned char zero[BUF] = { 0 };
	struct dma_traffic t;
	size_t i, j;

	/* What the device writes is what is there: no write can be seen. */
	memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, dma_buf_set(env->fd, zero));
	ASSERT_EQ(0, dma_traffic_start(&t, env, false));
	for (i = 0; i < 6; i++) {
		/* Best effort: a transfer may hold a page back. */
		EXPECT_LE(0, gpu_place(&env->gpu, env->mem, SIZE,
				       IVGPU_PLACE_VRAM));
		nanosleep(&beat, NULL);
		EXPECT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE,
				       IVGPU_PLACE_RAM));
		nanosleep(&beat, NULL);
	}
	EXPECT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_VRAM));
	nanosleep(&beat, NULL);
	ASSERT_EQ(0, gpu_bind(env->gpu.bdf, false));
	nanosleep(&beat, NULL);
	ASSERT_EQ(0, gpu_bind(env->gpu.bdf, true));
	ASSERT_EQ(0, gpu_reopen(&env->gpu));
	EXPECT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_VRAM));
	nanosleep(&beat, NULL);
	EXPECT_EQ(0, __atomic_load_n(&t.error, __ATOMIC_RELAXED));

	ASSERT_EQ(0, pci_remove(env->bdf));
	EXPECT_EQ(-ENODEV, dma_traffic_fails(&t));
	EXPECT_LT(3, t.count);
	ASSERT_EQ(0, pci_rescan());
	for (i = 0, j = 0; i < SIZE; i++)
		j += env->mem[i];
	EXPECT_EQ(0, j);
}

struct faulter {
	struct dma_env *env;
	pthread_t thread;
	bool stop;
	int error;
	unsigned int count;
};

static void *fault(void *arg)
{
	struct faulter *f = arg;
	int ret;

	do {
		ret = dma_fault(f->env->fd, f->env->mem, SIZE, NULL);
		/* Busy: others changed the pages each time for one second. */
		if (ret && ret != -EBUSY)
			f->error = ret;
		f->count += !ret;
	} while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED));
	return NULL;
}

static void stop(struct faulter *f, size_t n)
{
	while (n--)
		__atomic_store_n(&f[n].stop, true, __ATOMIC_RELAXED);
}

/*
 * Two threads fault all pages, and wait for each other to map them, while the
 * pages leave the exporter, or it is unbound. What was in VRAM when a thread
 * looked is not mapped if it is there no longer.
 */
TEST_F_TIMEOUT(dma_life, two_faults, 120)
{
	struct dma_env *env = &self->env;
	struct faulter f[2];
	struct hmm_dma_query query;
	unsigned int count = 0;
	size_t i, n, off;

	for (i = 0; i < 16; i++) {
		const bool unbind = i % 8 == 7;

		ASSERT_EQ(0, dma_env_fill(env, 60 + i));
		for (n = 0; n < ARRAY_SIZE(f); n++) {
			f[n] = (struct faulter){ .env = env };
			ASSERT_EQ(0, pthread_create(&f[n].thread, NULL, fault,
						    &f[n]));
		}
		usleep(1000 * i);
		/* The last fault of each begins before the pages are gone. */
		if (!unbind)
			stop(f, ARRAY_SIZE(f));
		EXPECT_EQ(0, unbind ? gpu_bind(env->gpu.bdf, false) :
				      gpu_place(&env->gpu, env->mem, SIZE,
						IVGPU_PLACE_RAM));
		stop(f, ARRAY_SIZE(f));
		for (n = 0; n < ARRAY_SIZE(f); n++) {
			ASSERT_EQ(0, pthread_join(f[n].thread, NULL));
			EXPECT_EQ(0, f[n].error);
			count += f[n].count;
		}
		for (off = 0; off < SIZE; off += PAGE) {
			ASSERT_EQ(0, dma_query(env->fd, env->mem + off,
					       &query));
			if (query.flags && query.flags != DMA_MAPPED_RAM)
				break;
		}
		EXPECT_EQ(SIZE, off)
			TH_LOG("round %zu: mapped as %#llx", i,
			       (unsigned long long)query.flags);
		EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
		if (unbind) {
			ASSERT_EQ(0, gpu_bind(env->gpu.bdf, true));
			ASSERT_EQ(0, gpu_reopen(&env->gpu));
		} else {
			EXPECT_EQ(0, gpu_wait_freed(&env->gpu, 0, 0, NULL));
		}
	}
	EXPECT_LT(16, count);
	expect_data(_metadata, env);
}

TEST_HARNESS_MAIN
