// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests for the decision about aliases of device-private memory, for the
 * layout of the hmm_pfns[] entries that carry it, and for the retry in RAM.
 */
#include <kunit/device.h>
#include <kunit/test.h>
#include <linux/bitops.h>
#include <linux/dma-mapping.h>
#include <linux/hmm-dma.h>
#include <linux/hmm.h>
#include <linux/module.h>

#include "../hmm_alias.h"

struct hmm_decide_case {
	const char *name;
	struct hmm_alias_facts facts;
	enum hmm_alias_verdict want;
};

/* DMA importer, @_fabric is the verdict of PCI/P2PDMA */
#define DMA(_fabric, ...) \
	{ .offers = true, .consent = true, \
	  .fabric = PCI_P2PDMA_MAP_##_fabric, ##__VA_ARGS__ }
/* CPU-side importer: no fabric between it and the BAR */
#define CPU(_access, ...) \
	{ .offers = true, .consent = true, .cpu = true, \
	  .cpu_access = (_access), ##__VA_ARGS__ }

static const struct hmm_decide_case hmm_decide_cases[] = {
	{ "dma same switch", DMA(BUS_ADDR), HMM_ALIAS_GRANTED },
	{ "dma host bridge", DMA(THRU_HOST_BRIDGE), HMM_ALIAS_GRANTED },
	{ "dma not supported", DMA(NOT_SUPPORTED), HMM_ALIAS_NO_FABRIC },
	{ "dma not p2p", DMA(NONE), HMM_ALIAS_NO_FABRIC },
	{ "dma verdict unknown", DMA(UNKNOWN), HMM_ALIAS_NO_FABRIC },
	{ "dma ignores cpu access", DMA(NOT_SUPPORTED, .cpu_access = true),
	  HMM_ALIAS_NO_FABRIC },
	{ "cpu allowed", CPU(true), HMM_ALIAS_GRANTED },
	{ "cpu not allowed", CPU(false), HMM_ALIAS_NO_CPU_ACCESS },
	{ "cpu needs no fabric",
	  CPU(true, .fabric = PCI_P2PDMA_MAP_NOT_SUPPORTED),
	  HMM_ALIAS_GRANTED },
	{ "cpu ignores a fabric that could",
	  CPU(false, .fabric = PCI_P2PDMA_MAP_BUS_ADDR),
	  HMM_ALIAS_NO_CPU_ACCESS },
	{ "untrusted on a good fabric", DMA(BUS_ADDR, .untrusted = true),
	  HMM_ALIAS_UNTRUSTED },
	{ "untrusted behind the host bridge",
	  DMA(THRU_HOST_BRIDGE, .untrusted = true), HMM_ALIAS_UNTRUSTED },
	{ "write to a read-only entry", DMA(BUS_ADDR, .needs_fault = true),
	  HMM_ALIAS_READ_ONLY },
	{ "cpu write to a read-only entry", CPU(true, .needs_fault = true),
	  HMM_ALIAS_READ_ONLY },
	{ "exporter offers nothing",
	  { .consent = true, .fabric = PCI_P2PDMA_MAP_BUS_ADDR,
	    .cpu_access = true },
	  HMM_ALIAS_NO_EXPORTER },
	{ "exporter offers nothing to a cpu",
	  { .consent = true, .cpu = true, .cpu_access = true },
	  HMM_ALIAS_NO_EXPORTER },
	{ "no consent",
	  { .offers = true, .fabric = PCI_P2PDMA_MAP_BUS_ADDR },
	  HMM_ALIAS_NO_CONSENT },
	{ "no consent to a cpu",
	  { .offers = true, .cpu = true, .cpu_access = true },
	  HMM_ALIAS_NO_CONSENT },
	{ "no consent, and none of the rest",
	  { .offers = true, .untrusted = true, .needs_fault = true },
	  HMM_ALIAS_NO_CONSENT },
	{ "no exporter to consent", { .fabric = PCI_P2PDMA_MAP_BUS_ADDR },
	  HMM_ALIAS_NO_EXPORTER },
};

static void hmm_decide_case_desc(const struct hmm_decide_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(hmm_decide, hmm_decide_cases, hmm_decide_case_desc);

static void hmm_decide(struct kunit *test)
{
	const struct hmm_decide_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, hmm_alias_decide(&c->facts), c->want);
}

/* All combinations of facts: an alias needs each condition to hold */
static void hmm_decide_never(struct kunit *test)
{
	unsigned int bits, fabric;

	for (bits = 0; bits < 1 << 6; bits++) {
		for (fabric = PCI_P2PDMA_MAP_UNKNOWN;
		     fabric <= PCI_P2PDMA_MAP_THRU_HOST_BRIDGE; fabric++) {
			struct hmm_alias_facts f = {
				.offers = bits & BIT(0),
				.needs_fault = bits & BIT(1),
				.untrusted = bits & BIT(2),
				.cpu = bits & BIT(3),
				.cpu_access = bits & BIT(4),
				.consent = bits & BIT(5),
				.fabric = fabric,
			};
			bool reach = f.cpu ? f.cpu_access :
				fabric == PCI_P2PDMA_MAP_BUS_ADDR ||
				fabric == PCI_P2PDMA_MAP_THRU_HOST_BRIDGE;
			bool want = f.offers && f.consent && reach &&
				    !f.needs_fault && (f.cpu || !f.untrusted);

			KUNIT_EXPECT_EQ_MSG(test, want,
					    hmm_alias_decide(&f) ==
					    HMM_ALIAS_GRANTED,
					    "facts %#x fabric %u", bits,
					    fabric);
		}
	}
}

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
	KUNIT_CASE_PARAM(hmm_decide, hmm_decide_gen_params),
	KUNIT_CASE(hmm_decide_never),
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
