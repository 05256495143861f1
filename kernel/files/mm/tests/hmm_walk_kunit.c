// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of hmm_range_fault() with device-private pages of an exporter that
 * does not exist, in the page tables of a process that does: which locks are
 * held when the exporter is asked, that it is asked for no page that is being
 * migrated or not mapped any more, what is asked and checked again after a page
 * fault, and how long an exporter is waited for that is slow, or does not
 * migrate its pages.
 */
#include <kunit/test.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/workqueue.h>

#include <trace/events/hmm.h>

#if defined(CONFIG_DEVICE_PRIVATE) && defined(CONFIG_PCI_P2PDMA)
#define HMM_WALK_APERTURE	SZ_1G
#define HMM_WALK_PMDS		3UL

/**
 * struct hmm_walk - an exporter, an importer, and memory that both use
 * @test: whose
 * @exporter: the owner of @provider
 * @importer: the device that asks for aliases; a CPU does its accesses
 * @provider: the exporter's BAR
 * @pgmap: its memory
 * @res: the physical addresses of @pgmap
 * @notifier: of the importer
 * @mm: the address space
 * @addr: HMM_WALK_PMDS * PMD_SIZE of anonymous memory in @mm
 * @npages: how many pages from there on are in the exporter's memory
 * @order: of each
 * @asked: how often the exporter was asked for aliases
 * @unlocked: and how often without the lock of the page table
 * @unmapped: pages it was asked for that nothing maps
 * @busy: how many pages hmm_alias_refuse called busy
 * @refuse: how often it refuses, each time one page
 * @faults: CPU page faults on its pages
 * @slow: how many jiffies each takes
 * @decline: those that are not served
 * @also: a page, behind @addr, that a fault on another one migrates as well
 * @pfns: what hmm_range_fault() has answered
 * @src: of the migration
 * @dst: of the migration
 */
struct hmm_walk {
	struct kunit *test;
	struct pci_dev exporter;
	struct pci_dev importer;
	struct p2pdma_provider provider;
	struct dev_pagemap pgmap;
	struct resource *res;
	struct mmu_interval_notifier notifier;
	struct mm_struct *mm;
	unsigned long addr;
	unsigned long npages;
	unsigned int order;
	unsigned int asked;
	unsigned int unlocked;
	unsigned int unmapped;
	unsigned long busy;
	unsigned int refuse;
	unsigned int faults;
	unsigned int slow;
	unsigned int decline;
	unsigned int also;
	unsigned long pfns[HMM_WALK_PMDS * PTRS_PER_PTE];
	unsigned long src[PTRS_PER_PTE];
	unsigned long dst[PTRS_PER_PTE];
};

static void hmm_walk_folio_free(struct folio *folio)
{
}

static vm_fault_t hmm_walk_to_ram(struct hmm_walk *walk,
				  struct vm_area_struct *vma,
				  unsigned long addr, struct page *fault_page)
{
	unsigned long src = 0, dst = 0;
	struct migrate_vma args = {
		.vma = vma,
		.start = addr,
		.end = addr + PAGE_SIZE,
		.src = &src,
		.dst = &dst,
		.pgmap_owner = walk,
		.fault_page = fault_page,
		.flags = MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
	};
	struct page *page;

	if (migrate_vma_setup(&args))
		return VM_FAULT_SIGBUS;
	page = src & MIGRATE_PFN_MIGRATE ?
	       alloc_page(GFP_HIGHUSER | __GFP_ZERO) : NULL;
	if (page) {
		lock_page(page);
		dst = migrate_pfn(page_to_pfn(page));
	}
	migrate_vma_pages(&args);
	migrate_vma_finalize(&args);
	return page ? 0 : VM_FAULT_OOM;
}

static vm_fault_t hmm_walk_migrate_to_ram(struct vm_fault *vmf)
{
	struct hmm_walk *walk = container_of(page_pgmap(vmf->page),
					     struct hmm_walk, pgmap);
	vm_fault_t ret;

	if (walk->slow)
		schedule_timeout_uninterruptible(walk->slow);
	if (walk->faults++ < walk->decline)
		return 0;
	ret = hmm_walk_to_ram(walk, vmf->vma, vmf->address & PAGE_MASK,
			      vmf->page);
	if (!ret && walk->also)
		ret = hmm_walk_to_ram(walk, vmf->vma, walk->addr +
				      walk->also * PAGE_SIZE, NULL);
	return ret;
}

static int hmm_walk_bus_alias(struct dev_pagemap *pgmap, struct page *page,
			      unsigned long *nr_pages, phys_addr_t *phys)
{
	struct hmm_walk *walk = container_of(pgmap, struct hmm_walk, pgmap);
	pmd_t *pmd = pmd_off(walk->mm, walk->addr);
	spinlock_t *ptl = walk->order ? pmd_lockptr(walk->mm, pmd) :
					pte_lockptr(walk->mm, pmd);
	unsigned long i;

	walk->asked++;
	if (IS_ENABLED(CONFIG_SMP) && spin_trylock(ptl)) {
		walk->unlocked++;
		spin_unlock(ptl);
	}
	for (i = 0; i < *nr_pages; i++)
		walk->unmapped += !folio_mapped(page_folio(page + i));
	if (walk->refuse) {
		walk->refuse--;
		*nr_pages = 1;
		return -EBUSY;
	}
	*phys = HMM_WALK_APERTURE +
		PFN_PHYS(page_to_pfn(page)) - pgmap->range.start;
	return 0;
}

static const struct dev_pagemap_ops hmm_walk_pagemap_ops = {
	.folio_free = hmm_walk_folio_free,
	.migrate_to_ram = hmm_walk_migrate_to_ram,
	.bus_alias = hmm_walk_bus_alias,
};

static bool hmm_walk_invalidate(struct mmu_interval_notifier *notifier,
				const struct mmu_notifier_range *range,
				unsigned long cur_seq)
{
	mmu_interval_set_seq(notifier, cur_seq);
	return true;
}

static const struct mmu_interval_notifier_ops hmm_walk_notifier_ops = {
	.invalidate = hmm_walk_invalidate,
};

static void hmm_walk_remove_pgmap(void *data)
{
	struct hmm_walk *walk = data;

	memunmap_pages(&walk->pgmap);
	release_mem_region(walk->res->start, resource_size(walk->res));
}

static void hmm_walk_remove_notifier(void *data)
{
	struct hmm_walk *walk = data;

	mmu_interval_notifier_remove(&walk->notifier);
}

static void hmm_walk_add_pgmap(struct hmm_walk *walk)
{
	struct kunit *test = walk->test;
	void *ptr;

	walk->exporter.p2pdma_peer_access = true;
	walk->provider.owner = &walk->exporter.dev;
	walk->provider.start = HMM_WALK_APERTURE;
	walk->provider.size = PMD_SIZE;
	walk->provider.aperture = PMD_SIZE;
	walk->provider.cpu_base = (void __iomem *)walk;

	walk->res = request_free_mem_region(&iomem_resource, SZ_128M,
					    "hmm_walk");
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, walk->res);
	walk->pgmap.type = MEMORY_DEVICE_PRIVATE;
	walk->pgmap.range.start = walk->res->start;
	walk->pgmap.range.end = walk->res->end;
	walk->pgmap.nr_range = 1;
	walk->pgmap.ops = &hmm_walk_pagemap_ops;
	walk->pgmap.owner = walk;
	walk->pgmap.p2p_provider = &walk->provider;
	ptr = memremap_pages(&walk->pgmap, numa_node_id());
	if (IS_ERR(ptr))
		release_mem_region(walk->res->start, resource_size(walk->res));
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, ptr);
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test, hmm_walk_remove_pgmap,
						  walk));
}

static struct hmm_walk *hmm_walk_init(struct kunit *test)
{
	struct hmm_walk *walk;

	walk = kunit_kzalloc(test, sizeof(*walk), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, walk);
	walk->test = test;
	/* After the test: its mm, which frees the pages, is gone then. */
	hmm_walk_add_pgmap(walk);

	walk->addr = kunit_vm_mmap(test, NULL, 0,
				   (HMM_WALK_PMDS + 1) * PMD_SIZE,
				   PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, 0);
	KUNIT_ASSERT_NE(test, walk->addr, 0);
	KUNIT_ASSERT_FALSE(test, IS_ERR_VALUE(walk->addr));
	walk->addr = ALIGN(walk->addr, PMD_SIZE);
	walk->mm = current->mm;
	KUNIT_ASSERT_EQ(test, 0,
			mmu_interval_notifier_insert(&walk->notifier, walk->mm,
						     walk->addr,
						     HMM_WALK_PMDS * PMD_SIZE,
						     &hmm_walk_notifier_ops));
	KUNIT_ASSERT_EQ(test, 0,
			kunit_add_action_or_reset(test,
						  hmm_walk_remove_notifier,
						  walk));
	return walk;
}

/* How many pages hmm_range_fault() answers with an alias */
static unsigned long hmm_walk_aliases(struct hmm_walk *walk,
				      unsigned long flags)
{
	unsigned long first = PHYS_PFN(HMM_WALK_APERTURE);
	struct hmm_range range = {
		.notifier = &walk->notifier,
		.start = walk->addr,
		.end = walk->addr + (walk->npages << PAGE_SHIFT),
		.hmm_pfns = walk->pfns,
		.default_flags = HMM_PFN_REQ_ALLOW_P2P | flags,
		.p2p_client = &walk->importer.dev,
		.p2p_cpu = true,
	};
	unsigned long i, n = 0;
	int ret;

	do {
		range.notifier_seq = mmu_interval_read_begin(&walk->notifier);
		ret = hmm_range_fault(&range);
	} while (flags && ret == -EBUSY);
	KUNIT_EXPECT_EQ(walk->test, 0, ret);
	for (i = 0; i < walk->npages; i++) {
		if (!(walk->pfns[i] & HMM_PFN_ALIAS))
			continue;
		KUNIT_EXPECT_EQ(walk->test, walk->pfns[i] & ~HMM_PFN_FLAGS,
				first + i);
		n++;
	}
	KUNIT_EXPECT_EQ(walk->test, walk->unlocked, 0);
	KUNIT_EXPECT_EQ(walk->test, walk->unmapped, 0);
	return n;
}

/*
 * Fill holes with the exporter's pages, from page @first of it on. Until
 * migrate_vma_finalize() the pages are mapped and locked, and a driver may be
 * filling them: they have no aliases.
 */
static void hmm_walk_place(struct hmm_walk *walk, unsigned long addr,
			   unsigned long first)
{
	unsigned long pfn = PHYS_PFN(walk->pgmap.range.start) + first;
	unsigned long i, step = 1UL << walk->order;
	struct migrate_vma args = {
		.vma = vma_lookup(walk->mm, addr),
		.start = addr,
		.end = addr + (walk->npages << PAGE_SHIFT),
		.src = walk->src,
		.dst = walk->dst,
		.pgmap_owner = walk,
		.flags = MIGRATE_VMA_SELECT_SYSTEM |
			 (walk->order ? MIGRATE_VMA_SELECT_COMPOUND : 0),
	};

	if (migrate_vma_setup(&args)) {
		/* No assertion: the mmap lock is held. */
		KUNIT_FAIL(walk->test, "migrate_vma_setup()");
		return;
	}
	for (i = 0; i < walk->npages; i += step) {
		zone_device_page_init(pfn_to_page(pfn + i), &walk->pgmap,
				      walk->order);
		walk->dst[i] = migrate_pfn(pfn + i) |
			       (walk->order ? MIGRATE_PFN_COMPOUND : 0);
	}
	migrate_vma_pages(&args);
	if (!first) {
		KUNIT_EXPECT_EQ(walk->test, hmm_walk_aliases(walk, 0), 0);
		KUNIT_EXPECT_EQ(walk->test, walk->asked, 0);
	}
	migrate_vma_finalize(&args);
	for (i = 0; i < walk->npages; i += step)
		KUNIT_EXPECT_TRUE(walk->test,
				  walk->src[i] & MIGRATE_PFN_MIGRATE);
}

static void hmm_walk_trace_refuse(void *data, const struct hmm_range *range,
				  unsigned long addr, unsigned long npages,
				  enum hmm_alias_verdict reason, int err,
				  bool fault,
				  const struct p2pdma_provider *provider)
{
	struct hmm_walk *walk = data;

	if (reason == HMM_ALIAS_BUSY)
		walk->busy += npages;
}

/* Aliases of all pages, and of none while they are being filled */
static void hmm_walk_run(struct hmm_walk *walk)
{
	bool traced = !register_trace_hmm_alias_refuse(hmm_walk_trace_refuse,
						       walk);
	struct folio *folio;

	mmap_read_lock(walk->mm);
	hmm_walk_place(walk, walk->addr, 0);
	KUNIT_EXPECT_EQ(walk->test, hmm_walk_aliases(walk, 0), walk->npages);
	KUNIT_EXPECT_GT(walk->test, walk->asked, 0);

	/* One folio is busy, and its neighbours are not. */
	folio = page_folio(pfn_to_page(PHYS_PFN(walk->pgmap.range.start) + 5));
	folio_lock(folio);
	walk->busy = 0;
	KUNIT_EXPECT_EQ(walk->test, hmm_walk_aliases(walk, 0),
			walk->npages - (1UL << walk->order));
	if (traced)
		KUNIT_EXPECT_EQ(walk->test, walk->busy, 1UL << walk->order);
	KUNIT_EXPECT_EQ(walk->test, walk->pfns[5] & HMM_PFN_ALIAS, 0);
	folio_unlock(folio);
	KUNIT_EXPECT_EQ(walk->test, hmm_walk_aliases(walk, 0), walk->npages);
	mmap_read_unlock(walk->mm);
	if (traced)
		unregister_trace_hmm_alias_refuse(hmm_walk_trace_refuse, walk);
	tracepoint_synchronize_unregister();
}

static void hmm_walk_small(struct kunit *test)
{
	struct hmm_walk *walk = hmm_walk_init(test);

	walk->npages = 16;
	hmm_walk_run(walk);
}

static void hmm_walk_huge(struct kunit *test)
{
	struct hmm_walk *walk;

	if (!thp_migration_supported())
		kunit_skip(test, "no huge migration entries here");
	walk = hmm_walk_init(test);
	walk->order = HPAGE_PMD_ORDER;
	walk->npages = 1UL << walk->order;
	hmm_walk_run(walk);
}

/*
 * The exporter refuses the first of 16 neighbours, which takes one fault. Then
 * @aliases of them are answered.
 */
static void hmm_walk_refuse_first(struct hmm_walk *walk, unsigned long aliases)
{
	walk->npages = 16;
	mmap_read_lock(walk->mm);
	hmm_walk_place(walk, walk->addr, 0);
	walk->refuse = 1;
	KUNIT_EXPECT_EQ(walk->test, hmm_walk_aliases(walk, HMM_PFN_REQ_FAULT),
			aliases);
	mmap_read_unlock(walk->mm);
	KUNIT_EXPECT_EQ(walk->test, walk->faults, 1);
}

/* The fault changes nothing: the exporter is asked for that page again. */
static void hmm_walk_refused(struct kunit *test)
{
	struct hmm_walk *walk = hmm_walk_init(test);

	walk->decline = 1;
	hmm_walk_refuse_first(walk, 16);
}

/* The fault takes another page away as well: they are neighbours no more. */
static void hmm_walk_parted(struct kunit *test)
{
	struct hmm_walk *walk = hmm_walk_init(test);

	walk->also = 8;
	hmm_walk_refuse_first(walk, 14);
}

/* One page of the exporter in each of several page tables, to be faulted */
static struct hmm_range hmm_walk_spread(struct hmm_walk *walk)
{
	unsigned long i;

	walk->npages = 1;
	memset(walk->pfns, 0, sizeof(walk->pfns));
	mmap_read_lock(walk->mm);
	for (i = 0; i < HMM_WALK_PMDS; i++) {
		hmm_walk_place(walk, walk->addr + i * PMD_SIZE, i);
		walk->pfns[i * PTRS_PER_PTE] = HMM_PFN_REQ_FAULT;
	}
	mmap_read_unlock(walk->mm);
	return (struct hmm_range){
		.notifier = &walk->notifier,
		.start = walk->addr,
		.end = walk->addr + (HMM_WALK_PMDS - 1) * PMD_SIZE + PAGE_SIZE,
		.hmm_pfns = walk->pfns,
		.pfn_flags_mask = HMM_PFN_REQ_FAULT,
	};
}

/* Each fault invalidates the range, which ends a call after that page table. */
static void hmm_walk_invalidated(struct kunit *test)
{
	struct hmm_walk *walk = hmm_walk_init(test);
	struct hmm_range range = hmm_walk_spread(walk);
	unsigned long i;

	mmap_read_lock(walk->mm);
	for (i = 0; i < HMM_WALK_PMDS; i++) {
		range.notifier_seq = mmu_interval_read_begin(&walk->notifier);
		KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), -EBUSY);
		KUNIT_EXPECT_EQ(test, walk->faults, i + 1);
	}
	range.notifier_seq = mmu_interval_read_begin(&walk->notifier);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), 0);
	KUNIT_EXPECT_FALSE(test, mmu_interval_read_retry(&walk->notifier,
							 range.notifier_seq));
	mmap_read_unlock(walk->mm);
}

/* Each fault invalidates the range and takes longer than the timeout. */
static void hmm_walk_slow(struct kunit *test)
{
	struct hmm_walk *walk = hmm_walk_init(test);
	struct hmm_range range = hmm_walk_spread(walk);
	unsigned long i;

	walk->slow = 10;
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked_timeout(&range, 2), 0);
	KUNIT_EXPECT_EQ(test, walk->faults, HMM_WALK_PMDS);
	for (i = 0; i < HMM_WALK_PMDS; i++)
		KUNIT_EXPECT_TRUE(test, walk->pfns[i * PTRS_PER_PTE] &
				  HMM_PFN_VALID);
}

/* An exporter that does not migrate is not waited for any longer. */
static void hmm_walk_declined(struct kunit *test)
{
	struct hmm_walk *walk = hmm_walk_init(test);
	struct hmm_range range = hmm_walk_spread(walk);

	walk->slow = 1;
	walk->decline = 500;
	KUNIT_EXPECT_EQ(test, hmm_range_fault_unlocked_timeout(&range, 20),
			-EBUSY);
	KUNIT_EXPECT_LT(test, walk->faults, walk->decline);
}

/* Requests of aliases, but for one page, which has others */
static void hmm_walk_ask(struct hmm_walk *walk, unsigned long flags)
{
	unsigned long i;

	for (i = 0; i < walk->npages; i++)
		walk->pfns[i] = i == 7 ? flags : HMM_PFN_REQ_ALLOW_P2P;
}

/* Requests of a huge entry that differ from page to page */
static void hmm_walk_masked(struct kunit *test)
{
	struct hmm_range range = {
		.default_flags = HMM_PFN_REQ_FAULT,
		.pfn_flags_mask = HMM_PFN_REQ_ALLOW_P2P | HMM_PFN_REQ_WRITE,
		.p2p_cpu = true,
	};
	struct hmm_walk *walk;
	unsigned long i;

	if (!thp_migration_supported())
		kunit_skip(test, "no huge migration entries here");
	walk = hmm_walk_init(test);
	walk->order = HPAGE_PMD_ORDER;
	walk->npages = 1UL << walk->order;
	range.notifier = &walk->notifier;
	range.start = walk->addr;
	range.end = walk->addr + PMD_SIZE;
	range.hmm_pfns = walk->pfns;
	range.p2p_client = &walk->importer.dev;

	/* The entry is read-only because the VMA is. */
	mmap_write_lock(walk->mm);
	vm_flags_clear(vma_lookup(walk->mm, walk->addr), VM_WRITE);
	mmap_write_downgrade(walk->mm);
	hmm_walk_place(walk, walk->addr, 0);

	/* A write to one page is one that the entry does not allow. */
	hmm_walk_ask(walk, HMM_PFN_REQ_ALLOW_P2P | HMM_PFN_REQ_WRITE);
	range.notifier_seq = mmu_interval_read_begin(&walk->notifier);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), -EPERM);
	KUNIT_EXPECT_EQ(test, walk->asked, 0);

	hmm_walk_ask(walk, HMM_PFN_REQ_ALLOW_P2P);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), 0);
	KUNIT_EXPECT_EQ(test, walk->asked, 1);
	for (i = 0; i < walk->npages; i++)
		KUNIT_EXPECT_EQ(test, HMM_PFN_VALID | HMM_PFN_ALIAS,
				walk->pfns[i] & (HMM_PFN_VALID | HMM_PFN_WRITE |
						 HMM_PFN_ALIAS));

	/* The VMA allows a write. It is one page's, so only that one faults. */
	mmap_read_unlock(walk->mm);
	mmap_write_lock(walk->mm);
	vm_flags_set(vma_lookup(walk->mm, walk->addr), VM_WRITE);
	mmap_write_downgrade(walk->mm);
	hmm_walk_ask(walk, HMM_PFN_REQ_ALLOW_P2P | HMM_PFN_REQ_WRITE);
	walk->decline = UINT_MAX;
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), -EBUSY);
	KUNIT_EXPECT_EQ(test, walk->asked, 1);
	KUNIT_EXPECT_EQ(test, walk->faults, 16);

	/* One page that does not ask for an alias: the entry gets none. */
	hmm_walk_ask(walk, 0);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), -EBUSY);
	KUNIT_EXPECT_EQ(test, walk->asked, 1);
	mmap_read_unlock(walk->mm);
}

struct hmm_walk_unlock {
	struct folio *folio;
	struct delayed_work work;
};

static void hmm_walk_unlock(struct work_struct *work)
{
	struct hmm_walk_unlock *unlock = container_of(to_delayed_work(work),
						      struct hmm_walk_unlock,
						      work);

	folio_unlock(unlock->folio);
}

static void hmm_walk_sigkill(bool pending)
{
	spin_lock_irq(&current->sighand->siglock);
	if (pending) {
		sigaddset(&current->pending.signal, SIGKILL);
		set_thread_flag(TIF_SIGPENDING);
	} else {
		sigdelset(&current->pending.signal, SIGKILL);
		recalc_sigpending();
	}
	spin_unlock_irq(&current->sighand->siglock);
}

/* A task that is killed waits for a migration once, and walks no more. */
static void hmm_walk_killed(struct kunit *test)
{
	struct hmm_walk *walk = hmm_walk_init(test);
	struct migrate_vma args = {
		.start = walk->addr,
		.end = walk->addr + PAGE_SIZE,
		.src = walk->src,
		.dst = walk->dst,
		.pgmap_owner = walk,
		.flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	struct hmm_range range = {
		.notifier = &walk->notifier,
		.start = walk->addr,
		.end = walk->addr + PAGE_SIZE,
		.hmm_pfns = walk->pfns,
		.default_flags = HMM_PFN_REQ_FAULT | HMM_PFN_REQ_WRITE,
	};
	struct hmm_walk_unlock unlock;

	mmap_read_lock(walk->mm);
	range.notifier_seq = mmu_interval_read_begin(&walk->notifier);
	KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), 0);
	unlock.folio = page_folio(hmm_pfn_to_page(walk->pfns[0]));
	args.vma = vma_lookup(walk->mm, walk->addr);
	KUNIT_EXPECT_EQ(test, migrate_vma_setup(&args), 0);
	if (args.cpages) {
		INIT_DELAYED_WORK_ONSTACK(&unlock.work, hmm_walk_unlock);
		schedule_delayed_work(&unlock.work, 5);
		range.notifier_seq = mmu_interval_read_begin(&walk->notifier);
		hmm_walk_sigkill(true);
		/* The entry stays. */
		KUNIT_EXPECT_EQ(test, hmm_range_fault(&range), -EINTR);
		hmm_walk_sigkill(false);
		flush_delayed_work(&unlock.work);
		destroy_delayed_work_on_stack(&unlock.work);
		folio_lock(unlock.folio);
	}
	KUNIT_EXPECT_EQ(test, args.cpages, 1);
	migrate_vma_finalize(&args);
	mmap_read_unlock(walk->mm);
}

static struct kunit_case hmm_walk_test_cases[] = {
	KUNIT_CASE(hmm_walk_small),
	KUNIT_CASE(hmm_walk_huge),
	KUNIT_CASE(hmm_walk_refused),
	KUNIT_CASE(hmm_walk_parted),
	KUNIT_CASE(hmm_walk_invalidated),
	KUNIT_CASE(hmm_walk_slow),
	KUNIT_CASE(hmm_walk_declined),
	KUNIT_CASE(hmm_walk_masked),
	KUNIT_CASE(hmm_walk_killed),
	{}
};

static struct kunit_suite hmm_walk_test_suite = {
	.name = "hmm_walk",
	.test_cases = hmm_walk_test_cases,
};

kunit_test_suite(hmm_walk_test_suite);
#endif /* CONFIG_DEVICE_PRIVATE && CONFIG_PCI_P2PDMA */

MODULE_DESCRIPTION("KUnit tests of hmm_range_fault() in page tables");
MODULE_LICENSE("GPL");
