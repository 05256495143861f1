// SPDX-License-Identifier: GPL-2.0
/*
 * The ports of a switch have ACS, and an administrator turns redirection on after
 * PCI/P2PDMA has given its verdict. That is kept until the importer is removed: the
 * kernel does not see what is written to configuration space.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>
#include <linux/pci_regs.h>

#include "fixture.h"

#define SIZE		(2 * MIB)
#define EXT_CAP		0x100
#define REDIRECT	(PCI_ACS_RR | PCI_ACS_CR)

FIXTURE(acs_changed) {
	struct dma_env env;
	int port[2];		/* configuration space */
	off_t acs[2];
	uint16_t was[2];
};

/* The configuration space of the port above a device */
static int port_of(const char *bdf)
{
	char path[64], real[PATH_MAX];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/..", bdf);
	if (!realpath(path, real))
		return -errno;
	strncat(real, "/config", sizeof(real) - strlen(real) - 1);
	return open(real, O_RDWR | O_CLOEXEC);
}

/* Where its ACS capability is; 0: it has none */
static off_t acs_of(int config)
{
	uint32_t pos = EXT_CAP, header;

	while (pos && pread(config, &header, 4, pos) == 4) {
		if (PCI_EXT_CAP_ID(header) == PCI_EXT_CAP_ID_ACS)
			return pos;
		pos = PCI_EXT_CAP_NEXT(header);
	}
	return 0;
}

static int redirect(struct _test_data_acs_changed *self, bool on)
{
	uint16_t ctrl;
	int i;

	for (i = 0; i < 2; i++) {
		ctrl = self->was[i] & ~REDIRECT;
		if (on)
			ctrl |= REDIRECT;
		if (pwrite(self->port[i], &ctrl, 2,
			   self->acs[i] + PCI_ACS_CTRL) != 2)
			return -errno;
	}
	return 0;
}

FIXTURE_SETUP(acs_changed)
{
	static const char *const names[] = { "GPU0", "DMA0" };
	int i;

	if (dma_env_absent())
		SKIP(return, "%s", dma_env_absent());
	for (i = 0; i < 2; i++) {
		self->port[i] = port_of(getenv(names[i]));
		ASSERT_LE(0, self->port[i]);
		self->acs[i] = acs_of(self->port[i]);
		if (!self->acs[i])
			SKIP(return, "the port above %s has no ACS", names[i]);
		ASSERT_EQ(2, pread(self->port[i], &self->was[i], 2,
				   self->acs[i] + PCI_ACS_CTRL));
	}
	ASSERT_EQ(0, dma_env_open(&self->env, SIZE, true, false,
				  HMM_DMA_ALLOW_P2P));
}

FIXTURE_TEARDOWN(acs_changed)
{
	int i;

	for (i = 0; i < 2; i++) {
		pwrite(self->port[i], &self->was[i], 2,
		       self->acs[i] + PCI_ACS_CTRL);
		close(self->port[i]);
	}
	EXPECT_EQ(0, dma_env_close(&self->env));
	/* The verdict is the one that it was. */
	EXPECT_EQ(0, pci_remove(getenv("DMA0")));
	EXPECT_EQ(0, pci_rescan());
}

/* All of the memory is mapped as it is where @reach is the verdict, and right. */
static void expect_mapped(struct __test_metadata *_metadata,
			  struct dma_env *env, enum reach reach)
{
	ASSERT_EQ(0, dma_fault(env->fd, env->mem, SIZE, NULL));
	EXPECT_EQ(0, dma_all_mapped_as(env->fd, env->mem, SIZE,
				       dma_mapped_as(true, reach)));
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, LEN));
	EXPECT_EQ(0, dma_write(env->fd, env->mem + 9, env->ref + 9, LEN, 3));
	EXPECT_EQ(0, dma_check(env->fd, env->mem, env->ref, LEN));
}

TEST_F(acs_changed, redirected)
{
	struct dma_env *env = &self->env;

	if (env->iommu)
		SKIP(return, "behind an IOMMU ACS is on from the beginning");
	ASSERT_EQ(BUS_ADDR, env->reach);
	expect_mapped(_metadata, env, BUS_ADDR);

	/* A verdict is kept, also for what is mapped anew. */
	ASSERT_EQ(0, redirect(self, true));
	ASSERT_EQ(0, dma_env_fill(env, 2));
	expect_mapped(_metadata, env, BUS_ADDR);

	/* Until the importer is removed */
	close(env->fd);
	ASSERT_EQ(0, pci_remove(env->bdf));
	ASSERT_EQ(0, pci_rescan());
	env->fd = dma_open(env->bdf);
	ASSERT_LE(0, env->fd);
	ASSERT_EQ(0, dma_register(env->fd, env->mem, SIZE));
	ASSERT_EQ(0, dma_env_fill(env, 3));
	expect_mapped(_metadata, env, THRU_HOST_BRIDGE);
	EXPECT_EQ(0, memcmp(env->mem, env->ref, SIZE));
}

TEST_HARNESS_MAIN
