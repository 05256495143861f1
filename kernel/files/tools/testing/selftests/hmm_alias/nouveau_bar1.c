// SPDX-License-Identifier: GPL-2.0
/*
 * Aliases of nouveau's memory need room in BAR1, and take it from nobody. That
 * of GPU1 has 512 MiB.
 */
#include "../kselftest_harness.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <drm/nouveau_drm.h>

#include "dma.h"
#include "exporter.h"

#define SIZE	(2 * MIB)
/* What BAR1 shows for this process, in parts: a chunk of SVM has 256 MiB */
#define PART	(64 * MIB)
#define PARTS	5

FIXTURE(nouveau_bar1) {
	struct exporter exp;
	int fd;
	unsigned char *mem, *ref;
	void *map;
	size_t map_size;
	uint32_t bo[PARTS];
	unsigned char *part[PARTS];
};

FIXTURE_SETUP(nouveau_bar1)
{
	self->fd = -1;
	if (dma_env_absent() || !getenv("GPU1"))
		SKIP(return, "GPU1, a PCI address, is not set");
	ASSERT_EQ(0, exporter_open(&self->exp, getenv("GPU1")));
	ASSERT_STREQ("nouveau", self->exp.ops->driver);
	ASSERT_EQ(0, exporter_consent(self->exp.bdf, true));
	self->mem = map_aligned(SIZE, false, &self->map, &self->map_size);
	ASSERT_NE(NULL, self->mem);
	self->ref = malloc(SIZE);
	ASSERT_NE(NULL, self->ref);
	self->fd = dma_open(getenv("DMA0"));
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, dma_register(self->fd, self->mem, SIZE));
}

FIXTURE_TEARDOWN(nouveau_bar1)
{
	close(self->fd);
	munmap(self->map, self->map_size);
	free(self->ref);
	exporter_close(&self->exp);
}

/* Placed and mapped for the importer: the pages that stay */
static long map_anew(struct _test_data_nouveau_bar1 *self, uint64_t seed)
{
	int ret;

	pattern_fill(self->ref, SIZE, seed, 0);
	memcpy(self->mem, self->ref, SIZE);
	ret = exporter_place(&self->exp, self->mem, SIZE);
	if (!ret)
		ret = dma_fault(self->fd, self->mem, SIZE, NULL);
	if (!ret)
		ret = dma_check(self->fd, self->mem + SIZE - BUF,
				self->ref + SIZE - BUF, BUF);
	return ret ? ret : exporter_pages(self->mem, SIZE);
}

/* Buffers in VRAM, which a process has mapped and uses. */
static void take(struct __test_metadata *_metadata,
		 struct _test_data_nouveau_bar1 *self)
{
	size_t i;

	for (i = 0; i < PARTS; i++) {
		struct drm_nouveau_gem_new bo = {
			.info = {
				.size = PART,
				.domain = NOUVEAU_GEM_DOMAIN_VRAM |
					  NOUVEAU_GEM_DOMAIN_MAPPABLE,
			},
		};

		ASSERT_EQ(0, ioctl(self->exp.fd, DRM_IOCTL_NOUVEAU_GEM_NEW,
				   &bo));
		self->bo[i] = bo.info.handle;
		self->part[i] = mmap(NULL, PART, PROT_READ | PROT_WRITE,
				     MAP_SHARED, self->exp.fd,
				     bo.info.map_handle);
		ASSERT_NE(MAP_FAILED, self->part[i]);
		self->part[i][0] = i;
	}
}

static void give_back(struct __test_metadata *_metadata,
		      struct _test_data_nouveau_bar1 *self)
{
	size_t i;

	for (i = 0; i < PARTS; i++) {
		struct drm_gem_close bo = { .handle = self->bo[i] };

		/* Nobody has taken it away. */
		EXPECT_EQ(i, self->part[i][0]);
		munmap(self->part[i], PART);
		ASSERT_EQ(0, ioctl(self->exp.fd, DRM_IOCTL_GEM_CLOSE, &bo));
	}
}

TEST_F_TIMEOUT(nouveau_bar1, busy, 120)
{
	long n = 0;
	int tries;

	take(_metadata, self);
	for (tries = 0; tries < 5; tries++) {
		EXPECT_EQ(0, map_anew(self, tries));
		usleep(200000);
	}
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
	give_back(_metadata, self);
	/* It tries again when it has been idle for a while. */
	for (tries = 0; n != SIZE / PAGE && tries < 300; tries++) {
		n = map_anew(self, 10 + tries);
		ASSERT_LE(0, n);
		usleep(100000);
	}
	EXPECT_EQ(SIZE / PAGE, n);
	EXPECT_EQ(0, memcmp(self->mem, self->ref, SIZE));
}

/* A buffer that BAR1 cannot show is SIGBUS, however often it is touched. */
TEST_F(nouveau_bar1, too_large)
{
	struct drm_nouveau_gem_new bo = {
		.info = {
			.size = 10 * PART,
			.domain = NOUVEAU_GEM_DOMAIN_VRAM |
				  NOUVEAU_GEM_DOMAIN_MAPPABLE,
			.tile_flags = NOUVEAU_GEM_TILE_NONCONTIG,
		},
	};
	unsigned char *map;
	int fd, tries, status;
	char path[32];
	pid_t child;

	/* A file without SVM has addresses of the GPU for it. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->exp.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, DRM_IOCTL_NOUVEAU_GEM_NEW, &bo) ? errno : 0);
	map = mmap(NULL, bo.info.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   bo.info.map_handle);
	ASSERT_NE(MAP_FAILED, map);
	for (tries = 0; tries < 3; tries++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			_exit(!memchr(map, 0, 1));
		ASSERT_EQ(child, waitpid(child, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_EQ(SIGBUS, WTERMSIG(status));
	}
	munmap(map, bo.info.size);
	close(fd);
}

TEST_HARNESS_MAIN
