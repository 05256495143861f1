// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests for the verdict about aliases of device-private memory, for the
 * layout of the hmm_pfns[] entries that carry it, and for the retry in RAM.
 */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/bitops.h>
#include <linux/dma-mapping.h>
#include <linux/hmm-dma.h>
#include <linux/hmm.h>
#include <linux/memremap.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "../hmm_alias.h"

#ifdef CONFIG_PCI_P2PDMA
/**
 * struct hmm_verdict_case - an exporter and an importer that never existed
 * @name: of the case
 * @lacks: what the exporter does not have, HMM_LACKS_*
 * @cpu: the importer accesses pages with the CPU
 * @untrusted: it is an untrusted PCI device
 * @no_pci: it is no PCI device
 * @vetoed: p2pdma_client of the importer is 0
 * @want: the verdict. A DMA importer gets no alias from an exporter that
 *	PCI/P2PDMA does not know.
 */
struct hmm_verdict_case {
	const char *name;
	unsigned int lacks;
	bool cpu;
	bool untrusted;
	bool no_pci;
	bool vetoed;
	enum hmm_alias_verdict want;
};

enum {
	HMM_LACKS_PROVIDER = BIT(0),
	HMM_LACKS_APERTURE = BIT(1),
	HMM_LACKS_METHOD = BIT(2),
	HMM_LACKS_CONSENT = BIT(3),
	HMM_LACKS_CPU_BASE = BIT(4),
	HMM_LACKS_ALL = BIT(5) - 1,
};

static const struct hmm_verdict_case hmm_verdict_cases[] = {
	{ "no provider", HMM_LACKS_PROVIDER, .want = HMM_ALIAS_NO_EXPORTER },
	{ "no provider for a cpu", HMM_LACKS_PROVIDER, .cpu = true,
	  .want = HMM_ALIAS_NO_EXPORTER },
	{ "no aperture", HMM_LACKS_APERTURE, .want = HMM_ALIAS_NO_EXPORTER },
	{ "no aperture for a cpu", HMM_LACKS_APERTURE, .cpu = true,
	  .want = HMM_ALIAS_NO_EXPORTER },
	{ "no bus_alias()", HMM_LACKS_METHOD, .want = HMM_ALIAS_NO_EXPORTER },
	{ "no bus_alias() for a cpu", HMM_LACKS_METHOD, .cpu = true,
	  .want = HMM_ALIAS_NO_EXPORTER },
	{ "no consent", HMM_LACKS_CONSENT, .want = HMM_ALIAS_NO_CONSENT },
	{ "no consent to a cpu", HMM_LACKS_CONSENT, .cpu = true,
	  .want = HMM_ALIAS_NO_CONSENT },
	{ "no consent to an untrusted device", HMM_LACKS_CONSENT,
	  .untrusted = true, .want = HMM_ALIAS_NO_CONSENT },
	{ "vetoed", 0, .vetoed = true, .want = HMM_ALIAS_NO_CONSENT },
	{ "cpu allowed", 0, .cpu = true, .want = HMM_ALIAS_GRANTED },
	{ "cpu not allowed", HMM_LACKS_CPU_BASE, .cpu = true,
	  .want = HMM_ALIAS_NO_CPU_ACCESS },
	{ "cpu needs no trust", 0, .cpu = true, .untrusted = true,
	  .want = HMM_ALIAS_GRANTED },
	{ "cpu is no pci device", 0, .cpu = true, .no_pci = true,
	  .want = HMM_ALIAS_GRANTED },
	{ "dma untrusted", 0, .untrusted = true, .want = HMM_ALIAS_UNTRUSTED },
	{ "dma no fabric", 0, .want = HMM_ALIAS_NO_FABRIC },
	{ "dma is no pci device", 0, .no_pci = true,
	  .want = HMM_ALIAS_NO_FABRIC },
	{ "dma does not use cpu access", HMM_LACKS_CPU_BASE,
	  .want = HMM_ALIAS_NO_FABRIC },
};

static void hmm_verdict_case_desc(const struct hmm_verdict_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(hmm_verdict, hmm_verdict_cases, hmm_verdict_case_desc);

static int hmm_no_alias(struct dev_pagemap *pgmap, struct page *page,
			unsigned long *nr_pages, phys_addr_t *phys)
{
	return -EOPNOTSUPP;
}

static enum hmm_alias_verdict hmm_verdict_of(struct kunit *test,
					     const struct hmm_verdict_case *c)
{
	static const struct dev_pagemap_ops method = {
		.bus_alias = hmm_no_alias,
	};
	static const struct dev_pagemap_ops no_method;
	struct pci_dev *exporter, *importer;
	struct p2pdma_provider provider = {
		.start = SZ_1G,
		.size = SZ_1G,
		.aperture = c->lacks & HMM_LACKS_APERTURE ? 0 : SZ_1M,
	};
	struct dev_pagemap pgmap = {
		.ops = c->lacks & HMM_LACKS_METHOD ? &no_method : &method,
	};
	struct hmm_range range = { .p2p_cpu = c->cpu };

	exporter = kunit_kzalloc(test, sizeof(*exporter), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, exporter);
	importer = kunit_kzalloc(test, sizeof(*importer), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, importer);

	exporter->p2pdma_peer_access = !(c->lacks & HMM_LACKS_CONSENT);
	provider.owner = &exporter->dev;
	if (!(c->lacks & HMM_LACKS_CPU_BASE))
		provider.cpu_base = (void __iomem *)exporter;
	if (!(c->lacks & HMM_LACKS_PROVIDER))
		pgmap.p2p_provider = &provider;
	if (!c->no_pci)
		importer->dev.bus = &pci_bus_type;
	importer->untrusted = c->untrusted;
	importer->p2pdma_vetoed = c->vetoed;
	range.p2p_client = &importer->dev;

	return hmm_alias_verdict(&range, &pgmap);
}

static void hmm_verdict(struct kunit *test)
{
	const struct hmm_verdict_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, hmm_verdict_of(test, c), c->want);
}

/* Only an exporter that lacks nothing grants, and here only to a CPU. */
static void hmm_verdict_never(struct kunit *test)
{
	struct hmm_verdict_case c = {};
	unsigned int bits;

	for (bits = 0; bits < 8 * (HMM_LACKS_ALL + 1); bits++) {
		c.lacks = bits & HMM_LACKS_ALL;
		c.cpu = bits & BIT(5);
		c.untrusted = bits & BIT(6);
		c.no_pci = bits & BIT(7);
		KUNIT_EXPECT_EQ_MSG(test, !c.lacks && c.cpu,
				    hmm_verdict_of(test, &c) ==
				    HMM_ALIAS_GRANTED, "bits %#x", bits);
	}
}

#endif /* CONFIG_PCI_P2PDMA */

/* The alias flag disturbs neither the order nor the sticky flags nor the pfn */
static void hmm_pfn_layout(struct kunit *test)
{
	const unsigned long flags = HMM_PFN_VALID | HMM_PFN_WRITE |
		HMM_PFN_ERROR | HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA |
		HMM_PFN_P2PDMA_BUS;
	const unsigned long order = 0x1fUL << HMM_PFN_ORDER_SHIFT;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, flags & order, 0);
	KUNIT_EXPECT_EQ(test, flags & HMM_PFN_ALIAS, 0);
	KUNIT_EXPECT_EQ(test, order & HMM_PFN_ALIAS, 0);
	KUNIT_EXPECT_EQ(test, flags | order | HMM_PFN_ALIAS, HMM_PFN_FLAGS);
	KUNIT_EXPECT_EQ(test, HMM_PFN_REQ_ALLOW_P2P, HMM_PFN_ALIAS);
	if (IS_ENABLED(CONFIG_64BIT)) {
		KUNIT_EXPECT_NE(test, HMM_PFN_ALIAS, 0);
		/* 52 bits of physical address and more */
		KUNIT_EXPECT_GE(test, HMM_PFN_ORDER_SHIFT + PAGE_SHIFT, 52);
	}

	for (i = 0; i < 32; i++) {
		unsigned long e = flags | HMM_PFN_ALIAS | 0x1234 |
			((unsigned long)i << HMM_PFN_ORDER_SHIFT);

		KUNIT_EXPECT_EQ(test, hmm_pfn_to_map_order(e), i);
		KUNIT_EXPECT_EQ(test, hmm_pfn_to_phys(e),
				(phys_addr_t)0x1234 << PAGE_SHIFT);
	}
}

/* Only the request for aliases goes, to the entries, and only once */
static void hmm_drop_p2p(struct kunit *test)
{
	struct hmm_range range = {
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE |
				 HMM_PFN_REQ_ALLOW_P2P,
		.pfn_flags_mask = HMM_PFN_REQ_WRITE,
	};
	struct hmm_range never = { .default_flags = HMM_PFN_REQ_FAULT };

	KUNIT_EXPECT_FALSE(test, hmm_range_drop_p2p(&never));
	KUNIT_EXPECT_EQ(test, never.default_flags, HMM_PFN_REQ_FAULT);
	KUNIT_EXPECT_EQ(test, never.pfn_flags_mask, 0);

	if (HMM_PFN_ALIAS == 0)
		return;

	KUNIT_EXPECT_TRUE(test, hmm_range_drop_p2p(&range));
	KUNIT_EXPECT_EQ(test, range.default_flags,
			HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE);
	KUNIT_EXPECT_EQ(test, range.pfn_flags_mask,
			HMM_PFN_REQ_WRITE | HMM_PFN_REQ_ALLOW_P2P);
	KUNIT_EXPECT_FALSE(test, hmm_range_drop_p2p(&range));
}

/* An address of no provider is refused, and its entry then requests RAM */
static void hmm_map_refused(struct kunit *test)
{
	const unsigned long alias = HMM_PFN_VALID | HMM_PFN_WRITE |
		HMM_PFN_ALIAS | 0x1234 | (9UL << HMM_PFN_ORDER_SHIFT);
	unsigned long pfns[] = { alias, alias, alias };
	struct hmm_dma_map map = {
		.pfn_list = pfns,
		.dma_entry_size = PAGE_SIZE,
	};
	struct pci_p2pdma_map_state state = {};
	struct device *dev = kunit_device_register(test, "importer");

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, dev);
	if (HMM_PFN_ALIAS == 0)
		kunit_skip(test, "no aliases here");

	KUNIT_EXPECT_TRUE(test, hmm_dma_map_pfn(dev, &map, 1, &state) ==
				DMA_MAPPING_ERROR);
	KUNIT_EXPECT_EQ(test, pfns[1],
			alias & ~(HMM_PFN_VALID | HMM_PFN_ALIAS));
	KUNIT_EXPECT_EQ(test, pfns[0], alias);
	KUNIT_EXPECT_EQ(test, pfns[2], alias);
	/* It was never mapped */
	KUNIT_EXPECT_FALSE(test, hmm_dma_unmap_pfn(dev, &map, 1));
}

static struct kunit_case hmm_test_cases[] = {
#ifdef CONFIG_PCI_P2PDMA
	KUNIT_CASE_PARAM(hmm_verdict, hmm_verdict_gen_params),
	KUNIT_CASE(hmm_verdict_never),
#endif
	KUNIT_CASE(hmm_pfn_layout),
	KUNIT_CASE(hmm_drop_p2p),
	KUNIT_CASE(hmm_map_refused),
	{}
};

static struct kunit_suite hmm_test_suite = {
	.name = "hmm",
	.test_cases = hmm_test_cases,
};

kunit_test_suite(hmm_test_suite);

MODULE_DESCRIPTION("KUnit tests for HMM");
MODULE_IMPORT_NS("EXPORTED_FOR_KUNIT_TESTING");
MODULE_LICENSE("GPL");
