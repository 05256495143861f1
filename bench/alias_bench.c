// SPDX-License-Identifier: GPL-2.0
/*
 * What does hmm_range_fault() cost, for RAM, for a driver's own device memory
 * and for aliases of another's?
 *
 * The exporter is this module. Its device memory is never accessed, so that
 * nothing but the answer is measured, and the same source runs on the base
 * kernel, which has no aliases. Its aliases are in a BAR of the PCI device
 * ivshmem-plain, and the function that imports them is QEMU's edu.
 */

#include <linux/hmm.h>
#include <linux/ioport.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/sizes.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include "clock.h"
#include "alias_bench.h"

#define BENCH_SIZE	SZ_64M
#define BENCH_STRIDE	1031	/* prime to any power of two */

static struct {
	struct dev_pagemap pgmap;
	struct resource *res;
	struct pci_dev *importer;
	atomic_t used;
	bool single;
} device;

static void bench_folio_free(struct folio *folio)
{
	atomic_sub(folio_nr_pages(folio), &device.used);
}

/* No CPU touches the memory. */
static vm_fault_t bench_migrate_to_ram(struct vm_fault *vmf)
{
	return VM_FAULT_SIGBUS;
}

#ifdef HAVE_ALIAS
static int bench_bus_alias(struct dev_pagemap *pgmap, struct page *page,
			   unsigned long *nr_pages, phys_addr_t *phys)
{
	if (device.single)
		*nr_pages = 1;
	*phys = pgmap->p2p_provider->start +
		PFN_PHYS(page_to_pfn(page)) - pgmap->range.start;
	return 0;
}
#endif

static const struct dev_pagemap_ops bench_pagemap_ops = {
	.folio_free = bench_folio_free,
	.migrate_to_ram = bench_migrate_to_ram,
#ifdef HAVE_ALIAS
	.bus_alias = bench_bus_alias,
#endif
};

static bool bench_invalidate(struct mmu_interval_notifier *notifier,
			     const struct mmu_notifier_range *range,
			     unsigned long seq)
{
	mmu_interval_set_seq(notifier, seq);
	return true;
}

static const struct mmu_interval_notifier_ops bench_notifier_ops = {
	.invalidate = bench_invalidate,
};

/* Moves the holes of one PMD to device memory, from its page @first on. */
static int bench_place_pmd(const struct alias_bench_place *place,
			   unsigned long addr, unsigned long first,
			   unsigned long *src, unsigned long *dst)
{
	unsigned long pages = place->size >> PAGE_SHIFT;
	unsigned long step = place->huge ? PTRS_PER_PTE : 1;
	struct migrate_vma args = {
		.vma = vma_lookup(current->mm, addr),
		.start = addr,
		.end = addr + PMD_SIZE,
		.src = src,
		.dst = dst,
		.pgmap_owner = &device,
		.flags = MIGRATE_VMA_SELECT_SYSTEM |
			 (place->huge ? MIGRATE_VMA_SELECT_COMPOUND : 0),
	};
	unsigned long i, pfn;
	int ret;

	ret = migrate_vma_setup(&args);
	if (ret)
		return ret;
	for (i = 0; i < PTRS_PER_PTE; i += step) {
		pfn = first + i;
		if (place->shuffle)
			pfn = pfn * BENCH_STRIDE % pages;
		pfn += PHYS_PFN(device.pgmap.range.start);
		zone_device_page_init(pfn_to_page(pfn), &device.pgmap,
				      place->huge ? HPAGE_PMD_ORDER : 0);
		atomic_add(step, &device.used);
		dst[i] = migrate_pfn(pfn) |
			 (place->huge ? MIGRATE_PFN_COMPOUND : 0);
	}
	migrate_vma_pages(&args);
	for (i = 0; i < PTRS_PER_PTE; i += step)
		if (!(src[i] & MIGRATE_PFN_MIGRATE))
			ret = -ENXIO;
	migrate_vma_finalize(&args);
	return ret;
}

static int bench_place(const struct alias_bench_place *place)
{
	unsigned long *arrays, off;
	int ret = 0;

	if (!place->size || !IS_ALIGNED(place->addr | place->size, PMD_SIZE))
		return -EINVAL;
	if (place->size > BENCH_SIZE)
		return -ENOSPC;
	if (atomic_read(&device.used))
		return -EBUSY;
	arrays = kvcalloc(2 * PTRS_PER_PTE, sizeof(*arrays), GFP_KERNEL);
	if (!arrays)
		return -ENOMEM;
	device.single = place->single;
	mmap_read_lock(current->mm);
	for (off = 0; !ret && off < place->size; off += PMD_SIZE)
		ret = bench_place_pmd(place, place->addr + off,
				      off >> PAGE_SHIFT, arrays,
				      arrays + PTRS_PER_PTE);
	mmap_read_unlock(current->mm);
	kvfree(arrays);
	return ret;
}

static void bench_request(struct hmm_range *range,
			  const struct alias_bench_run *run)
{
	if (run->want != WANT_LOOK)
		range->default_flags |= HMM_PFN_REQ_FAULT;
	if (run->want == WANT_WRITE)
		range->default_flags |= HMM_PFN_REQ_WRITE;
	if (run->importer == IMPORTER_OWNER)
		range->dev_private_owner = &device;
#ifdef HAVE_ALIAS
	if (run->importer == IMPORTER_CPU || run->importer == IMPORTER_PCI) {
		range->default_flags |= HMM_PFN_REQ_ALLOW_P2P;
		range->p2p_client = &device.importer->dev;
		range->p2p_cpu = run->importer == IMPORTER_CPU;
	}
#endif
}

static void bench_count(struct alias_bench_run *run, const unsigned long *pfns)
{
	unsigned long i;

	run->valid = 0;
	run->aliases = 0;
	run->huge = 0;
	for (i = 0; i < run->size >> PAGE_SHIFT; i++) {
		if (!(pfns[i] & HMM_PFN_VALID))
			continue;
		run->valid++;
		run->huge += hmm_pfn_to_map_order(pfns[i]) != 0;
#ifdef HAVE_ALIAS
		run->aliases += !!(pfns[i] & HMM_PFN_ALIAS);
#endif
	}
}

static int bench_run(struct alias_bench_run *run)
{
	struct mmu_interval_notifier notifier;
	struct hmm_range range = {
		.notifier = &notifier,
		.start = run->addr,
		.end = run->addr + run->size,
	};
	int ret;

	if (run->importer >= NR_IMPORTERS || run->want >= NR_WANTS ||
	    !run->size || !PAGE_ALIGNED(run->addr | run->size))
		return -EINVAL;
	if ((run->importer == IMPORTER_CPU || run->importer == IMPORTER_PCI) &&
	    !device.importer)
		return -EOPNOTSUPP;
	bench_request(&range, run);
	range.hmm_pfns = kvcalloc(run->size >> PAGE_SHIFT,
				  sizeof(*range.hmm_pfns), GFP_KERNEL);
	if (!range.hmm_pfns)
		return -ENOMEM;
	ret = mmu_interval_notifier_insert(&notifier, current->mm, run->addr,
					   run->size, &bench_notifier_ops);
	if (ret)
		goto free;

	run->ticks = 0;
	do {
		range.notifier_seq = mmu_interval_read_begin(&notifier);
		mmap_read_lock(current->mm);
		run->ticks -= rdtsc_ordered();
		ret = hmm_range_fault(&range);
		run->ticks += rdtsc_ordered();
		mmap_read_unlock(current->mm);
	} while (ret == -EBUSY);
	if (!ret)
		bench_count(run, range.hmm_pfns);
	mmu_interval_notifier_remove(&notifier);
free:
	kvfree(range.hmm_pfns);
	return ret;
}

static long bench_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct alias_bench_place place;
	struct alias_bench_run run;
	long ret;

	switch (cmd) {
	case ALIAS_BENCH_PLACE:
		if (copy_from_user(&place, user, sizeof(place)))
			return -EFAULT;
		return bench_place(&place);
	case ALIAS_BENCH_RUN:
		if (copy_from_user(&run, user, sizeof(run)))
			return -EFAULT;
		ret = bench_run(&run);
		if (!ret && copy_to_user(user, &run, sizeof(run)))
			ret = -EFAULT;
		return ret;
	case BENCH_TICKS:
		return bench_ticks(user);
	}
	return -ENOTTY;
}

static const struct file_operations bench_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = bench_ioctl,
};

static struct miscdevice bench_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "alias_bench",
	.fops = &bench_fops,
};

/* The devices stay until the guest ends, and so does the module. */
static int bench_find_devices(void)
{
#ifdef HAVE_ALIAS
	struct pci_dev *exporter = pci_get_device(PCI_VENDOR_ID_REDHAT_QUMRANET,
						  0x1110, NULL);

	device.importer = pci_get_device(0x1234, 0x11e8, NULL);
	if (!exporter || !device.importer)
		return -ENODEV;
	device.pgmap.p2p_provider =
		pci_p2pdma_find_provider(pci_resource_start(exporter, 2));
	if (!device.pgmap.p2p_provider)
		return -ENXIO;
#endif
	return 0;
}

static int __init bench_init(void)
{
	void *ptr;
	int ret;

	ret = bench_find_devices();
	if (ret)
		return ret;
	device.res = request_free_mem_region(&iomem_resource, BENCH_SIZE,
					     "alias_bench");
	if (IS_ERR(device.res))
		return PTR_ERR(device.res);
	device.pgmap.type = MEMORY_DEVICE_PRIVATE;
	device.pgmap.range.start = device.res->start;
	device.pgmap.range.end = device.res->end;
	device.pgmap.nr_range = 1;
	device.pgmap.ops = &bench_pagemap_ops;
	device.pgmap.owner = &device;
	ptr = memremap_pages(&device.pgmap, numa_node_id());
	if (IS_ERR(ptr))
		return PTR_ERR(ptr);
	return misc_register(&bench_misc);
}
module_init(bench_init);

MODULE_DESCRIPTION("What hmm_range_fault() costs");
MODULE_LICENSE("GPL");
