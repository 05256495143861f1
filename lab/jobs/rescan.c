// SPDX-License-Identifier: GPL-2.0
/*
 * A device that is removed and found again has its old address on the bus, but
 * the bridge above has got other ACS settings meanwhile: PCI/P2PDMA must not
 * answer for it as for the device that was there before.
 */
#include <fcntl.h>

#include "fixture.h"
#include "sysfs.h"

#define DEVICES		"/sys/bus/pci/devices/"

#define SIZE		(1 * MIB)

#define EXT_CAP_ACS	0x000d
#define ACS_CTRL	6
/* Request and completion redirect: peers no longer reach each other directly */
#define ACS_REDIRECT	0x000c

FIXTURE(rescan) {
	struct dma_env env;
	bool open;
	int config;
	off_t ctrl;
	uint16_t was;
};

/* Where the ACS control register of the port above @bdf is, or -errno */
static off_t acs_ctrl(const char *bdf, int *config)
{
	char path[128];
	uint32_t header;
	off_t at;

	snprintf(path, sizeof(path), DEVICES "%s/../config", bdf);
	*config = open(path, O_RDWR | O_CLOEXEC);
	if (*config < 0)
		return -errno;
	for (at = 0x100; at; at = header >> 20) {
		if (pread(*config, &header, 4, at) != 4)
			return -EIO;
		if ((header & 0xffff) == EXT_CAP_ACS)
			return at + ACS_CTRL;
	}
	return -ENOENT;
}

/* Removes the importer and has it found again, its driver included. */
static int find_again(const char *bdf)
{
	int tries, fd = -ENOENT;
	char path[128];

	snprintf(path, sizeof(path), DEVICES "%s/remove", bdf);
	if (sysfs_write(path, "1") || sysfs_write("/sys/bus/pci/rescan", "1"))
		return -EIO;
	for (tries = 500; fd < 0 && tries; tries--) {
		usleep(20000);
		fd = dma_open(bdf);
	}
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* What the exporter's p2pdma/clients says of the importer, in @map */
static int map_type(const char *exporter, const char *importer, char *map)
{
	char path[128], line[256], client[64];
	int ret = -ENOENT;
	FILE *f;

	snprintf(path, sizeof(path), DEVICES "%s/p2pdma/clients", exporter);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	while (ret && fgets(line, sizeof(line), f))
		if (sscanf(line, "client=%63s map=%63s", client, map) == 2 &&
		    !strcmp(client, importer))
			ret = 0;
	fclose(f);
	return ret;
}

FIXTURE_SETUP(rescan)
{
	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	self->config = -1;
	self->ctrl = acs_ctrl(getenv("DMA0"), &self->config);
	if (self->ctrl == -ENOENT)
		SKIP(return, "the port above the importer has no ACS");
	ASSERT_LT(0, self->ctrl);
	ASSERT_EQ(2, pread(self->config, &self->was, 2, self->ctrl));
	ASSERT_EQ(0, self->was & ACS_REDIRECT);
	ASSERT_EQ(0, dma_env_open(&self->env, SIZE, true, false,
				  HMM_DMA_ALLOW_P2P));
	self->open = true;
}

FIXTURE_TEARDOWN(rescan)
{
	if (self->open)
		EXPECT_EQ(0, dma_env_close(&self->env));
	if (self->ctrl > 0) {
		EXPECT_EQ(2, pwrite(self->config, &self->was, 2, self->ctrl));
		EXPECT_EQ(0, find_again(getenv("DMA0")));
	}
	if (self->config >= 0)
		close(self->config);
}

TEST_F_TIMEOUT(rescan, acs, 60)
{
	const char *exporter = getenv("GPU0"), *importer = getenv("DMA0");
	struct dma_env *env = &self->env;
	uint16_t redirect = self->was | ACS_REDIRECT;
	char map[64];

	/* The answer of before, and it is remembered. */
	ASSERT_EQ(BUS_ADDR, env->reach);
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	ASSERT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE, env->mapped));
	ASSERT_EQ(0, map_type(exporter, importer, map));
	ASSERT_STREQ("bus-addr", map);
	self->open = false;
	ASSERT_EQ(0, dma_env_close(env));

	ASSERT_EQ(2, pwrite(self->config, &redirect, 2, self->ctrl));
	ASSERT_EQ(0, find_again(importer));
	ASSERT_EQ(0, map_type(exporter, importer, map));
	EXPECT_STREQ("thru-host-bridge", map);

	ASSERT_EQ(0, dma_env_open(env, SIZE, true, false, HMM_DMA_ALLOW_P2P));
	self->open = true;
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE,
				       dma_mapped_as(true, THRU_HOST_BRIDGE)));
	ASSERT_EQ(0, dma_check(env->fd, env->mem, env->ref, BUF));
}

TEST_HARNESS_MAIN
