// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * KUnit tests for ODP MRs that take aliases of device-private memory. The code
 * under test is ib_umem_odp_map_dma_and_lock() itself; what hmm_range_fault()
 * finds and what the fabric carries are fakes.
 */
#include <kunit/device.h>
#include <kunit/static_stub.h>
#include <kunit/test.h>
#include <linux/bitmap.h>
#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/hmm-dma.h>
#include <linux/module.h>

#include <rdma/ib_umem_odp.h>

#include "../../hw/mlx5/ats.h"

#define PAGES 16
#define ADDR SZ_1G
#define ALIAS_PFN 0x100000 /* of page 0 in the BAR */
#define RAM_PFN 0x1000
#define BUS_OFFSET BIT_ULL(44)

#define MAPPED (HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | HMM_PFN_P2PDMA_BUS)
#define IN_RAM (HMM_PFN_VALID | HMM_PFN_WRITE)
#define IN_PLACE (IN_RAM | HMM_PFN_ALIAS | HMM_PFN_P2PDMA_BUS | \
		  HMM_PFN_DMA_MAPPED)

struct fake {
	struct ib_device ibdev;
	struct ib_odp_counters counters;
	struct ib_umem_odp *odp;

	/* The exporter has these pages; others are in RAM */
	DECLARE_BITMAP(vram, PAGES);
	/* The importer cannot map these aliases */
	DECLARE_BITMAP(broken, PAGES);
	/* nor these, from the second fault on: they are moved before it */
	DECLARE_BITMAP(broken_later, PAGES);
	/* The process may not write to what is in VRAM */
	bool read_only;
	/* What the first fault finds is gone before it can be used */
	bool stale;

	int faults;
	int maps[PAGES];
	/* Pages that were faulted while they were in VRAM */
	DECLARE_BITMAP(migrated, PAGES);
};

static size_t page_index(struct fake *fake, unsigned long addr)
{
	return (addr - ib_umem_start(fake->odp)) >> PAGE_SHIFT;
}

/* What a driver's invalidate() does */
static void invalidate(struct fake *fake, size_t idx)
{
	unsigned long addr = ib_umem_start(fake->odp) + idx * PAGE_SIZE;

	mutex_lock(&fake->odp->umem_mutex);
	ib_umem_odp_unmap_dma_pages(fake->odp, addr, addr + PAGE_SIZE);
	mutex_unlock(&fake->odp->umem_mutex);
}

/* Stands in for the page tables: aliases if asked for, else RAM if faulted */
static int fake_range_fault(struct hmm_range *range, unsigned long timeout)
{
	struct kunit *test = kunit_get_current_test();
	struct fake *fake = test->priv;
	size_t first = page_index(fake, range->start);
	size_t nr = (range->end - range->start) >> PAGE_SHIFT;
	bool stale;
	size_t i, idx;

	/* A fault invalidates, and the invalidation waits for this lock */
	if (mutex_is_locked(&fake->odp->umem_mutex)) {
		KUNIT_FAIL(test, "umem_mutex held across a fault");
		mutex_unlock(&fake->odp->umem_mutex);
	}
	fake->faults++;

	if (fake->faults == 2) {
		for_each_set_bit(idx, fake->broken_later, PAGES) {
			set_bit(idx, fake->broken);
			invalidate(fake, idx);
		}
	}

	stale = fake->stale && fake->faults == 1;
	range->notifier_seq = mmu_interval_read_begin(range->notifier) - stale;
	for (i = 0; i < nr; i++) {
		unsigned long *pfn = &range->hmm_pfns[i];
		unsigned long req = range->default_flags |
				    (*pfn & range->pfn_flags_mask);

		idx = first + i;
		*pfn = 0;
		if (test_bit(idx, fake->vram)) {
			if (range->p2p_client &&
			    (req & HMM_PFN_REQ_ALLOW_P2P)) {
				*pfn = HMM_PFN_VALID | HMM_PFN_ALIAS |
				       (ALIAS_PFN + idx + stale);
				if (!fake->read_only)
					*pfn |= HMM_PFN_WRITE;
				continue;
			}
			if (!(req & HMM_PFN_REQ_FAULT))
				continue;
			clear_bit(idx, fake->vram);
			set_bit(idx, fake->migrated);
			invalidate(fake, idx);
		}
		*pfn = IN_RAM | (RAM_PFN + idx);
	}
	return 0;
}

/* Stands in for the fabric and keeps to what hmm_range_drop_p2p() describes */
static dma_addr_t fake_map_pfn(struct device *dev, struct hmm_dma_map *map,
			       size_t idx, struct pci_p2pdma_map_state *state)
{
	struct kunit *test = kunit_get_current_test();
	struct fake *fake = test->priv;
	unsigned long *pfn = &map->pfn_list[idx];

	KUNIT_ASSERT_TRUE(test, mutex_is_locked(&fake->odp->umem_mutex));
	KUNIT_EXPECT_PTR_EQ(test, dev, fake->ibdev.dma_device);
	/* RAM is the driver's to map */
	KUNIT_EXPECT_TRUE(test, *pfn & HMM_PFN_ALIAS);
	fake->maps[idx]++;

	if (test_bit(idx, fake->broken)) {
		*pfn &= ~(HMM_PFN_VALID | HMM_PFN_ALIAS);
		return DMA_MAPPING_ERROR;
	}
	*pfn |= HMM_PFN_P2PDMA_BUS | HMM_PFN_DMA_MAPPED;
	return hmm_pfn_to_phys(*pfn) + BUS_OFFSET;
}

static bool fake_invalidate(struct mmu_interval_notifier *mni,
			    const struct mmu_notifier_range *range,
			    unsigned long seq)
{
	mmu_interval_set_seq(mni, seq);
	return true;
}

static const struct mmu_interval_notifier_ops fake_mn_ops = {
	.invalidate = fake_invalidate,
};

KUNIT_DEFINE_ACTION_WRAPPER(release_odp, ib_umem_odp_release,
			    struct ib_umem_odp *);

/* An MR of PAGES pages, all of them in VRAM; no @dma: the importer is a CPU */
static struct fake *make_fake(struct kunit *test, bool dma)
{
	struct fake *fake = kunit_kzalloc(test, sizeof(*fake), GFP_KERNEL);
	struct ib_device *ibdev;

	KUNIT_ASSERT_NOT_NULL(test, fake);
	test->priv = fake;
	bitmap_fill(fake->vram, PAGES);

	ibdev = &fake->ibdev;
	ibdev->attrs.kernel_cap_flags = IBK_ON_DEMAND_PAGING | IBK_ODP_ALIAS;
	if (dma) {
		ibdev->dma_device = kunit_device_register(test, "hca");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ibdev->dma_device);
		KUNIT_ASSERT_EQ(test, 0,
				dma_set_mask_and_coherent(ibdev->dma_device,
							  DMA_BIT_MASK(64)));
	}

	KUNIT_ASSERT_EQ(test, 0, kunit_attach_mm());
	fake->odp = ib_umem_odp_get(ibdev, ADDR, PAGES * PAGE_SIZE,
				    IB_ACCESS_ON_DEMAND | IB_ACCESS_LOCAL_WRITE,
				    &fake_mn_ops);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, fake->odp);
	fake->odp->counters = &fake->counters;
	KUNIT_ASSERT_EQ(test, 0, kunit_add_action_or_reset(test, release_odp,
							   fake->odp));

	kunit_activate_static_stub(test, hmm_range_fault_unlocked_timeout,
				   fake_range_fault);
	kunit_activate_static_stub(test, hmm_dma_map_pfn, fake_map_pfn);
	return fake;
}

static int map_pages(struct fake *fake, size_t first, size_t nr, bool fault)
{
	int ret = ib_umem_odp_map_dma_and_lock(fake->odp,
					       ADDR + first * PAGE_SIZE,
					       nr * PAGE_SIZE, HMM_PFN_WRITE,
					       fault);

	if (ret >= 0)
		mutex_unlock(&fake->odp->umem_mutex);
	return ret;
}

/* Those in @ram, and no others, went to RAM; the rest is mapped, each once */
static void expect_in_ram(struct kunit *test, const unsigned long *ram)
{
	struct fake *fake = test->priv;
	unsigned int nr = bitmap_weight(ram, PAGES), i;

	KUNIT_EXPECT_TRUE(test, bitmap_equal(fake->migrated, ram, PAGES));
	for (i = 0; i < PAGES; i++) {
		unsigned long want = test_bit(i, ram) ?
			IN_RAM | (RAM_PFN + i) : IN_PLACE | (ALIAS_PFN + i);

		KUNIT_EXPECT_EQ_MSG(test, fake->odp->map.pfn_list[i], want,
				    "page %u", i);
		KUNIT_EXPECT_EQ_MSG(test, fake->maps[i], 1, "page %u", i);
	}
	KUNIT_EXPECT_EQ(test, fake->odp->npages, PAGES - nr);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.aliases),
			PAGES - nr);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.alias_fallbacks),
			nr);
}

struct fallback_case {
	const char *name;
	unsigned long broken;
};

static const struct fallback_case fallback_cases[] = {
	{ "none", 0 },
	{ "first", BIT(0) },
	{ "last", BIT(PAGES - 1) },
	{ "one in the middle", BIT(7) },
	{ "every other", 0x5555 },
	{ "all but one", GENMASK(PAGES - 1, 0) & ~BIT(3) },
	{ "all", GENMASK(PAGES - 1, 0) },
};

KUNIT_ARRAY_PARAM_DESC(fallback, fallback_cases, name);

/* Exactly the aliases that could not be mapped are asked for in RAM, once */
static void odp_fallback(struct kunit *test)
{
	const struct fallback_case *c = test->param_value;
	struct fake *fake = make_fake(test, true);

	fake->broken[0] = c->broken;
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	KUNIT_EXPECT_EQ(test, fake->faults, c->broken ? 2 : 1);
	expect_in_ram(test, &c->broken);

	/* What is there is found again, neither mapped nor counted again */
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	expect_in_ram(test, &c->broken);

	mutex_lock(&fake->odp->umem_mutex);
	ib_umem_odp_unmap_dma_pages(fake->odp, ADDR, ADDR + PAGES * PAGE_SIZE);
	mutex_unlock(&fake->odp->umem_mutex);
	KUNIT_EXPECT_EQ(test, fake->odp->npages, 0);
}

/* A second failure is an error, and nothing of the page is left behind */
static void odp_fallback_once(struct kunit *test)
{
	struct fake *fake = make_fake(test, true);

	set_bit(2, fake->broken);
	set_bit(5, fake->broken_later);
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), -EFAULT);
	KUNIT_EXPECT_EQ(test, fake->faults, 2);
	KUNIT_EXPECT_FALSE(test, mutex_is_locked(&fake->odp->umem_mutex));
	KUNIT_EXPECT_EQ(test, fake->odp->map.pfn_list[5], 0);
	/* Two have no mapping, and the others are still counted */
	KUNIT_EXPECT_EQ(test, fake->odp->npages, PAGES - 2);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.aliases),
			PAGES - 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.alias_fallbacks),
			2);
}

/* An answer is not used that mmu_interval_read_retry() does not approve */
static void odp_stale(struct kunit *test)
{
	struct fake *fake = make_fake(test, true);
	const unsigned long none = 0;

	fake->stale = true;
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	KUNIT_EXPECT_EQ(test, fake->faults, 2);
	expect_in_ram(test, &none);
}

/* Registration and prefetch migrate nothing, also not what cannot be mapped */
static void odp_fallback_no_fault(struct kunit *test)
{
	struct fake *fake = make_fake(test, true);

	set_bit(2, fake->broken);
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, false), PAGES);
	/* The lock stays: the driver has not enabled what it is to zap */
	KUNIT_EXPECT_EQ(test, fake->faults, 1);
	KUNIT_EXPECT_TRUE(test, bitmap_empty(fake->migrated, PAGES));
	KUNIT_EXPECT_EQ(test, fake->odp->map.pfn_list[2], 0);
	KUNIT_EXPECT_EQ(test, fake->odp->npages, PAGES - 1);
}

/* A device that cannot use bus addresses gets all in RAM, and keeps nothing */
static void odp_no_bus_addr(struct kunit *test)
{
	struct fake *fake = make_fake(test, true);
	unsigned int i;

	fake->odp->no_bus_addr = true;
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, false), PAGES);
	for (i = 0; i < PAGES; i++)
		KUNIT_EXPECT_EQ(test, fake->odp->map.pfn_list[i], 0);
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	for (i = 0; i < PAGES; i++)
		KUNIT_EXPECT_EQ(test, fake->odp->map.pfn_list[i],
				IN_RAM | (RAM_PFN + i));
	KUNIT_EXPECT_TRUE(test, bitmap_full(fake->migrated, PAGES));
	KUNIT_EXPECT_EQ(test, fake->odp->npages, 0);
}

/* A part of the MR: the right pages, and none outside */
static void odp_part(struct kunit *test)
{
	struct fake *fake = make_fake(test, true);
	unsigned int i;

	set_bit(1, fake->broken);
	set_bit(4, fake->broken);
	KUNIT_EXPECT_EQ(test, map_pages(fake, 3, 5, true), 5);
	for (i = 0; i < PAGES; i++) {
		unsigned long want = 0;

		if (i == 4)
			want = IN_RAM | (RAM_PFN + i);
		else if (i >= 3 && i < 8)
			want = IN_PLACE | (ALIAS_PFN + i);
		KUNIT_EXPECT_EQ_MSG(test, fake->odp->map.pfn_list[i], want,
				    "page %u", i);
	}
	KUNIT_EXPECT_EQ(test, fake->odp->npages, 4);

	/* Outside of the MR nothing is asked for */
	fake->faults = 0;
	KUNIT_EXPECT_EQ(test, map_pages(fake, PAGES, 1, true), -EFAULT);
	KUNIT_EXPECT_EQ(test, map_pages(fake, PAGES - 1, 2, true), -EFAULT);
	KUNIT_EXPECT_EQ(test, fake->faults, 0);
}

/* Flags that say how a page is mapped outlive each new answer about it */
static void odp_sticky(struct kunit *test)
{
	struct fake *fake = make_fake(test, true);
	unsigned long *pfns = fake->odp->map.pfn_list;

	/* In RAM, and mapped by the driver, behind a host bridge for once */
	clear_bit(0, fake->vram);
	pfns[0] = HMM_PFN_VALID | HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | RAM_PFN;
	/* First for reading, then for writing: no other mapping, a new right */
	fake->read_only = true;
	KUNIT_EXPECT_EQ(test, map_pages(fake, 1, 1, true), 1);
	KUNIT_EXPECT_EQ(test, pfns[1] & HMM_PFN_WRITE, 0);

	fake->read_only = false;
	set_bit(3, fake->broken);
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	KUNIT_EXPECT_EQ(test, pfns[0] & (MAPPED | IN_RAM),
			HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA | IN_RAM);
	KUNIT_EXPECT_EQ(test, pfns[1], IN_PLACE | (ALIAS_PFN + 1));
	KUNIT_EXPECT_EQ(test, fake->maps[0], 0);
	KUNIT_EXPECT_EQ(test, fake->maps[1], 1);
	KUNIT_EXPECT_EQ(test, pfns[3], IN_RAM | (RAM_PFN + 3));

	/* It has no page to be marked dirty */
	pfns[0] = 0;
}

/* An importer that copies with the CPU has nothing to map, or to fail at */
static void odp_virt_dma(struct kunit *test)
{
	struct fake *fake = make_fake(test, false);
	unsigned int i;

	bitmap_fill(fake->broken, PAGES);
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	for (i = 0; i < PAGES; i++) {
		KUNIT_EXPECT_EQ(test, fake->odp->map.pfn_list[i],
				IN_RAM | HMM_PFN_ALIAS | (ALIAS_PFN + i));
		KUNIT_EXPECT_EQ(test, fake->maps[i], 0);
	}
	KUNIT_EXPECT_EQ(test, fake->faults, 1);
	KUNIT_EXPECT_EQ(test, fake->odp->npages, 0);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.aliases), PAGES);

	/* What is there is not counted again, unless it was taken away */
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.aliases), PAGES);
	invalidate(fake, 3);
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.aliases),
			PAGES + 1);
	KUNIT_EXPECT_EQ(test, atomic64_read(&fake->counters.alias_fallbacks),
			0);
}

/* Who did not say that it knows aliases gets RAM, and large page MRs do */
static void odp_takes_no_aliases(struct kunit *test)
{
	struct fake *fake = make_fake(test, true);
	unsigned int i;

	KUNIT_EXPECT_TRUE(test, ib_umem_odp_takes_aliases(fake->odp));
	fake->odp->page_shift = PMD_SHIFT;
	KUNIT_EXPECT_FALSE(test, ib_umem_odp_takes_aliases(fake->odp));
	fake->odp->page_shift = PAGE_SHIFT;

	fake->ibdev.attrs.kernel_cap_flags &= ~IBK_ODP_ALIAS;
	KUNIT_EXPECT_FALSE(test, ib_umem_odp_takes_aliases(fake->odp));
	KUNIT_EXPECT_EQ(test, map_pages(fake, 0, PAGES, true), PAGES);
	for (i = 0; i < PAGES; i++)
		KUNIT_EXPECT_EQ(test, fake->odp->map.pfn_list[i],
				IN_RAM | (RAM_PFN + i));
	KUNIT_EXPECT_TRUE(test, bitmap_full(fake->migrated, PAGES));
}

struct ats_case {
	const char *name;
	struct mlx5_ats_facts facts;
	bool want;
};

/* An HCA with ATS and a relaxed ordered MR */
#define ATS(...) { .hca = true, .relaxed = true, ##__VA_ARGS__ }

static const struct ats_case ats_cases[] = {
	{ "ram", ATS(.odp_ats = true), false },
	{ "dma-buf", ATS(.dmabuf = true, .odp_ats = true), true },
	{ "odp", ATS(.odp_aliases = true, .odp_ats = true), true },
	{ "odp_ats=0", ATS(.odp_aliases = true), false },
	{ "odp_ats=0 is not for dma-buf", ATS(.dmabuf = true), true },
	{ "odp, strict order",
	  { .hca = true, .odp_aliases = true, .odp_ats = true }, false },
	{ "dma-buf, strict order", { .hca = true, .dmabuf = true }, false },
	{ "odp, hca without ats",
	  { .relaxed = true, .odp_aliases = true, .odp_ats = true }, false },
	{ "dma-buf, hca without ats",
	  { .relaxed = true, .dmabuf = true }, false },
};

KUNIT_ARRAY_PARAM_DESC(ats, ats_cases, name);

static void odp_mlx5_ats(struct kunit *test)
{
	const struct ats_case *c = test->param_value;

	KUNIT_EXPECT_EQ(test, mlx5_ats_decide(&c->facts), c->want);
}

static struct kunit_case odp_test_cases[] = {
	KUNIT_CASE_PARAM(odp_fallback, fallback_gen_params),
	KUNIT_CASE(odp_fallback_once),
	KUNIT_CASE(odp_stale),
	KUNIT_CASE(odp_fallback_no_fault),
	KUNIT_CASE(odp_no_bus_addr),
	KUNIT_CASE(odp_part),
	KUNIT_CASE(odp_sticky),
	KUNIT_CASE(odp_virt_dma),
	KUNIT_CASE(odp_takes_no_aliases),
	KUNIT_CASE_PARAM(odp_mlx5_ats, ats_gen_params),
	{}
};

static struct kunit_suite odp_test_suite = {
	.name = "ib_odp",
	.test_cases = odp_test_cases,
};

kunit_test_suite(odp_test_suite);

MODULE_DESCRIPTION("KUnit tests for ODP MRs that take aliases");
MODULE_LICENSE("Dual BSD/GPL");
