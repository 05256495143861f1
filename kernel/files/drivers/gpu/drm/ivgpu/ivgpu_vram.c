// SPDX-License-Identifier: GPL-2.0-only
/*
 * VRAM: who has which part of it, how data gets in and out of it, and who else
 * may reach it.
 */

#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/dma-direct.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iommu.h>
#include <linux/kref.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci-p2pdma.h>
#include <linux/pci.h>
#include <linux/sched/mm.h>

#include <drm/drm_drv.h>
#include <drm/drm_print.h>

#include "ivgpu.h"

static uint aperture;
module_param(aperture, uint, 0644);
MODULE_PARM_DESC(aperture, "MiB of VRAM, from offset 0, that bus_alias() grants to other devices; 0: all; read when a device is bound (default: 0)");

static bool cpu_access = true;
module_param(cpu_access, bool, 0644);
MODULE_PARM_DESC(cpu_access, "let software importers such as rxe, which have no DMA engine, access the aperture with the CPU; read when a device is bound (default: Y)");

static bool owner_group;
static int ivgpu_owner_group_set(const char *val, const struct kernel_param *kp);
static const struct kernel_param_ops ivgpu_owner_group_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = ivgpu_owner_group_set,
	.get = param_get_bool,
};
module_param_cb(owner_group, &ivgpu_owner_group_ops, &owner_group, 0644);
MODULE_PARM_DESC(owner_group, "let all ivgpu devices reach the VRAM of each other over a private interconnect (one drm_pagemap owner); a change migrates all VRAM to RAM (default: N)");

static DRM_PAGEMAP_OWNER_LIST_DEFINE(ivgpu_owner_list);

/* Serializes changes of groups with each other, with bind and with unbind. */
static DEFINE_MUTEX(ivgpu_devices_lock);
static LIST_HEAD(ivgpu_devices);

/**
 * struct ivgpu_alloc - VRAM allocated for one migration
 * @base: what drm_pagemap knows about it
 * @ref: one held for the device pages in use, one by whoever evicts them. The
 *	blocks are reused only when the last is gone, so that an eviction can
 *	never hit the pages of somebody else.
 * @vram: where the blocks are from
 * @blocks: the buddy blocks
 * @lru: entry in &struct ivgpu_vram.lru
 * @dead: entry in &struct ivgpu_vram.dead
 * @released: no page is in use any more
 */
struct ivgpu_alloc {
	struct drm_pagemap_devmem base;
	struct kref ref;
	struct ivgpu_vram *vram;
	struct list_head blocks;
	struct list_head lru;
	struct llist_node dead;
	bool released;
};

static struct ivgpu_alloc *to_ivgpu_alloc(struct drm_pagemap_devmem *devmem)
{
	return container_of(devmem, struct ivgpu_alloc, base);
}

static struct ivgpu_device *vram_to_ivgpu(struct ivgpu_vram *vram)
{
	return container_of(vram, struct ivgpu_device, vram);
}

/*
 * The only three functions that know how device-private pages, offsets in the
 * VRAM and the CPU's mapping of it belong together.
 */
static struct ivgpu_vram *page_to_vram(struct page *page)
{
	return container_of(page_pgmap(page), struct ivgpu_vram, pagemap);
}

static unsigned long ivgpu_vram_first_pfn(struct ivgpu_vram *vram)
{
	return PHYS_PFN(vram->pagemap.range.start);
}

static u64 page_to_vram_offset(struct page *page)
{
	return PFN_PHYS(page_to_pfn(page) -
			ivgpu_vram_first_pfn(page_to_vram(page)));
}

static void __iomem *page_to_vram_ptr(struct page *page)
{
	return page_to_vram(page)->base + page_to_vram_offset(page);
}

/**
 * ivgpu_vram_page() - the device-private page behind a VRAM address
 * @vram: the VRAM
 * @ptr: address in the CPU's mapping of it
 *
 * Return: the page.
 */
struct page *ivgpu_vram_page(struct ivgpu_vram *vram, void __iomem *ptr)
{
	return pfn_to_page(ivgpu_vram_first_pfn(vram) +
			   ((ptr - vram->base) >> PAGE_SHIFT));
}

/**
 * ivgpu_dma_page() - the page that the engine reaches at a DMA address
 * @dev: the device
 * @addr: an address that the DMA API returned for @dev
 *
 * The CPU stands in for the engine. It goes the way a bus transaction of the
 * device would go, through the device's IOMMU domain, so that a page that is
 * not mapped for the device is not reached by mistake.
 *
 * Return: the page, or NULL where a device would take an IOMMU fault.
 */
struct page *ivgpu_dma_page(struct device *dev, dma_addr_t addr)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	phys_addr_t phys;

	phys = domain ? iommu_iova_to_phys(domain, addr) :
			dma_to_phys(dev, addr);

	return phys && pfn_valid(PHYS_PFN(phys)) ? phys_to_page(phys) : NULL;
}

static void ivgpu_vram_copy_page(void __iomem *dst, const void __iomem *src)
{
	unsigned int i;

	for (i = 0; i < PAGE_SIZE; i += sizeof(u64))
		writeq(readq(src + i), dst + i);
}

static int ivgpu_copy_entry(struct device *dev, void __iomem *ptr,
			    const struct drm_pagemap_addr *addr, bool to_vram)
{
	unsigned long i;

	for (i = 0; i < NR_PAGES(addr->order); i++, ptr += PAGE_SIZE) {
		dma_addr_t dma = addr->addr + i * PAGE_SIZE;
		struct page *page;
		void *kaddr;

		if (addr->proto != DRM_INTERCONNECT_SYSTEM) {
			/* See ivgpu_device_map() for what the address is. */
			ivgpu_vram_copy_page((void __iomem *)dma, ptr);
			continue;
		}

		page = ivgpu_dma_page(dev, dma);
		if (!page)
			return -EFAULT;

		kaddr = kmap_local_page(page);
		if (to_vram)
			memcpy_toio(ptr, kaddr, PAGE_SIZE);
		else
			memcpy_fromio(kaddr, ptr, PAGE_SIZE);
		kunmap_local(kaddr);
	}

	return 0;
}

static int ivgpu_copy(struct page **pages, struct drm_pagemap_addr *pagemap_addr,
		      unsigned long npages, bool to_vram)
{
	unsigned long i, nr;

	for (i = 0; i < npages; i += nr) {
		struct drm_pagemap_addr *addr = &pagemap_addr[i];
		struct ivgpu_device *ivgpu;
		void __iomem *ptr;
		int err;

		nr = 1;
		if (!pages[i] || (!to_vram && !addr->addr))
			continue;

		ivgpu = vram_to_ivgpu(page_to_vram(pages[i]));
		ptr = page_to_vram_ptr(pages[i]);
		if (addr->addr) {
			nr = NR_PAGES(addr->order);
			err = ivgpu_copy_entry(ivgpu->drm.dev, ptr, addr,
					       to_vram);
			if (err)
				return err;
		} else {
			/*
			 * Nothing was there before: what the last user left
			 * in this VRAM must not show through.
			 */
			nr = folio_nr_pages(page_folio(pages[i]));
			memset_io(ptr, 0, nr * PAGE_SIZE);
		}

		if (to_vram) {
			atomic64_add(nr, &ivgpu->counters.pages_to_vram);
		} else if (addr->proto == DRM_INTERCONNECT_SYSTEM) {
			atomic64_add(nr, &ivgpu->counters.pages_to_ram);
			if (READ_ONCE(ivgpu->vram.evictor) == current)
				atomic64_add(nr,
					     &ivgpu->counters.pages_evicted);
		}
	}
	/* The BAR, our own or that of a peer, is mapped write-combined. */
	wmb();

	return 0;
}

static int ivgpu_copy_to_devmem(struct page **pages,
				struct drm_pagemap_addr *pagemap_addr,
				unsigned long npages,
				struct dma_fence *pre_migrate_fence)
{
	return ivgpu_copy(pages, pagemap_addr, npages, true);
}

static int ivgpu_copy_to_ram(struct page **pages,
			     struct drm_pagemap_addr *pagemap_addr,
			     unsigned long npages,
			     struct dma_fence *pre_migrate_fence)
{
	return ivgpu_copy(pages, pagemap_addr, npages, false);
}

static int ivgpu_populate_devmem_pfn(struct drm_pagemap_devmem *devmem,
				     unsigned long npages, unsigned long *pfn)
{
	struct ivgpu_alloc *alloc = to_ivgpu_alloc(devmem);
	struct ivgpu_vram *vram = alloc->vram;
	struct gpu_buddy_block *block;
	unsigned long i, n = 0;

	list_for_each_entry(block, &alloc->blocks, link) {
		unsigned long first = ivgpu_vram_first_pfn(vram) +
				      PHYS_PFN(gpu_buddy_block_offset(block));

		for (i = 0; i < PHYS_PFN(gpu_buddy_block_size(&vram->buddy,
							      block)); i++) {
			if (n == npages)
				return 0;
			pfn[n++] = first + i;
		}
	}

	return n == npages ? 0 : -EINVAL;
}

static void ivgpu_alloc_destroy(struct ivgpu_alloc *alloc)
{
	struct ivgpu_vram *vram = alloc->vram;
	struct gpu_buddy_block *block;
	unsigned long bit, end, n = 0;

	mutex_lock(&vram->lock);
	list_for_each_entry(block, &alloc->blocks, link) {
		bit = PHYS_PFN(gpu_buddy_block_offset(block));
		end = bit + PHYS_PFN(gpu_buddy_block_size(&vram->buddy, block));
		for_each_set_bit_from(bit, vram->granted, end) {
			clear_bit(bit, vram->granted);
			n++;
		}
	}
	atomic64_sub(n, &vram_to_ivgpu(vram)->counters.alias_pages_live);
	gpu_buddy_free_list(&vram->buddy, &alloc->blocks, 0);
	mutex_unlock(&vram->lock);

	mmdrop(alloc->base.mm);
	kfree(alloc);
}

static void ivgpu_vram_free_work(struct work_struct *work)
{
	struct ivgpu_vram *vram = container_of(work, struct ivgpu_vram,
					       free_work);
	struct ivgpu_alloc *alloc, *next;

	llist_for_each_entry_safe(alloc, next, llist_del_all(&vram->dead), dead)
		ivgpu_alloc_destroy(alloc);
}

static void ivgpu_alloc_free(struct kref *ref)
{
	struct ivgpu_alloc *alloc = container_of(ref, struct ivgpu_alloc, ref);

	/* The last page may be freed in atomic context. */
	if (llist_add(&alloc->dead, &alloc->vram->dead))
		schedule_work(&alloc->vram->free_work);
}

static void ivgpu_alloc_put(struct ivgpu_alloc *alloc)
{
	kref_put(&alloc->ref, ivgpu_alloc_free);
}

/*
 * No CPU page table and no importer has any of the pages any more: all MMU
 * notifiers have returned before the last reference to a folio is dropped. Only
 * from here on may the VRAM be given to somebody else.
 */
static void ivgpu_devmem_release(struct drm_pagemap_devmem *devmem)
{
	struct ivgpu_alloc *alloc = to_ivgpu_alloc(devmem);
	unsigned long flags;

	spin_lock_irqsave(&alloc->vram->lru_lock, flags);
	alloc->released = true;
	list_del_init(&alloc->lru);
	spin_unlock_irqrestore(&alloc->vram->lru_lock, flags);

	ivgpu_alloc_put(alloc);
}

static const struct drm_pagemap_devmem_ops ivgpu_devmem_ops = {
	.devmem_release = ivgpu_devmem_release,
	.populate_devmem_pfn = ivgpu_populate_devmem_pfn,
	.copy_to_devmem = ivgpu_copy_to_devmem,
	.copy_to_ram = ivgpu_copy_to_ram,
};

/* Evict the least recently placed allocation. Returns its size, or an error. */
static long ivgpu_vram_evict_one(struct ivgpu_vram *vram, bool make_room)
{
	struct ivgpu_alloc *alloc;
	long ret;

	mutex_lock(&vram->evict_lock);
	spin_lock_irq(&vram->lru_lock);
	alloc = list_first_entry_or_null(&vram->lru, struct ivgpu_alloc, lru);
	if (alloc) {
		kref_get(&alloc->ref);
		/* If it cannot be evicted now, the next one is tried first. */
		list_move_tail(&alloc->lru, &vram->lru);
	}
	spin_unlock_irq(&vram->lru_lock);

	ret = -ENOENT;
	if (alloc) {
		if (make_room)
			WRITE_ONCE(vram->evictor, current);
		ret = drm_pagemap_evict_to_ram(&alloc->base);
		WRITE_ONCE(vram->evictor, NULL);
		if (!ret)
			ret = alloc->base.size;
		ivgpu_alloc_put(alloc);
	}
	mutex_unlock(&vram->evict_lock);

	return ret;
}

static struct ivgpu_alloc *ivgpu_alloc_create(struct ivgpu_device *ivgpu,
					      struct mm_struct *mm, u64 size)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	/* A device-private huge page needs one aligned piece of VRAM. */
	u64 align = size == IVGPU_CHUNK_MAX ? size : PAGE_SIZE;
	struct ivgpu_alloc *alloc;
	unsigned int tries = 0;
	u64 evicted = 0;
	int err;

	alloc = kzalloc_obj(*alloc);
	if (!alloc)
		return ERR_PTR(-ENOMEM);

	for (;;) {
		long ret;

		INIT_LIST_HEAD(&alloc->blocks);
		mutex_lock(&vram->lock);
		err = gpu_buddy_alloc_blocks(&vram->buddy, 0, vram->size, size,
					     align, &alloc->blocks, 0);
		mutex_unlock(&vram->lock);
		if (err != -ENOSPC)
			break;

		/*
		 * Evicting more than twice what is needed did not help: VRAM is
		 * fragmented, or others take it as fast as we free it. The
		 * caller is better off with smaller pieces, or with RAM.
		 */
		if (evicted >= 2 * size || tries++ > 2 * PHYS_PFN(size))
			break;

		ret = ivgpu_vram_evict_one(vram, true);
		if (ret == -ENOENT)
			break;
		if (ret > 0)
			evicted += ret;
		flush_work(&vram->free_work);
	}
	if (err) {
		kfree(alloc);
		return ERR_PTR(err);
	}

	kref_init(&alloc->ref);
	INIT_LIST_HEAD(&alloc->lru);
	alloc->vram = vram;
	/* The pages can outlive the process, if it forked. */
	mmgrab(mm);
	drm_pagemap_devmem_init(&alloc->base, ivgpu->drm.dev, mm,
				&ivgpu_devmem_ops, &vram->dpagemap, size, NULL);

	return alloc;
}

static int ivgpu_vram_place(struct ivgpu_device *ivgpu, struct mm_struct *mm,
			    unsigned long start, unsigned long end,
			    unsigned long timeslice_ms)
{
	const struct drm_pagemap_migrate_details details = {
		.timeslice_ms = timeslice_ms,
		.can_migrate_same_pagemap = 1,
	};
	struct ivgpu_vram *vram = &ivgpu->vram;
	struct ivgpu_alloc *alloc;
	int err;

	alloc = ivgpu_alloc_create(ivgpu, mm, end - start);
	if (IS_ERR(alloc))
		return PTR_ERR(alloc);

	kref_get(&alloc->ref);
	err = drm_pagemap_migrate_to_devmem(&alloc->base, mm, start, end,
					    &details);

	/*
	 * Also after an error some of the pages may be in use. And also after
	 * success all may be gone again.
	 */
	spin_lock_irq(&vram->lru_lock);
	if (!alloc->released)
		list_add_tail(&alloc->lru, &vram->lru);
	spin_unlock_irq(&vram->lru_lock);
	ivgpu_alloc_put(alloc);

	return err;
}

static unsigned long ivgpu_smaller_chunk(unsigned long chunk)
{
	return chunk == IVGPU_CHUNK_MAX ? IVGPU_CHUNK_MID : IVGPU_CHUNK_MIN;
}

/* Best effort: the first error is returned, but all of the range is tried. */
static int ivgpu_populate_mm(struct drm_pagemap *dpagemap, unsigned long start,
			     unsigned long end, struct mm_struct *mm,
			     unsigned long timeslice_ms)
{
	struct ivgpu_device *ivgpu = dpagemap_to_ivgpu(dpagemap);
	unsigned long chunk = IVGPU_CHUNK_MAX;
	unsigned long addr, next;
	int err, ret = 0;
	int idx;

	if (!drm_dev_enter(&ivgpu->drm, &idx))
		return -ENODEV;

	for (addr = start; addr < end; addr = next) {
		next = min(end, ALIGN(addr + 1, chunk));
		err = ivgpu_vram_place(ivgpu, mm, addr, next, timeslice_ms);
		if (err == -ENOSPC && next - addr > IVGPU_CHUNK_MIN) {
			chunk = ivgpu_smaller_chunk(chunk);
			next = addr;
			continue;
		}
		if (err && !ret)
			ret = err;
		if (err == -ENOSPC || err == -ENOMEM)
			break;
		chunk = IVGPU_CHUNK_MAX;
	}

	drm_dev_exit(idx);

	return ret;
}

/*
 * All engines of an interconnect group are played by the CPU, so that the
 * address space of the interconnect is that of the kernel: the address of VRAM
 * on it is the CPU's mapping of the BAR.
 */
static struct drm_pagemap_addr
ivgpu_device_map(struct drm_pagemap *dpagemap, struct device *dev,
		 struct page *page, unsigned int order,
		 enum dma_data_direction dir)
{
	struct ivgpu_device *ivgpu = dpagemap_to_ivgpu(dpagemap);

	/* The engine maps for reading or both; only a migration just writes. */
	if (dir == DMA_FROM_DEVICE)
		atomic64_add(NR_PAGES(order), &ivgpu->counters.pages_to_vram);

	return drm_pagemap_addr_encode((uintptr_t)page_to_vram_ptr(page),
				       DRM_INTERCONNECT_DRIVER, order, dir);
}

static void ivgpu_device_unmap(struct drm_pagemap *dpagemap, struct device *dev,
			       const struct drm_pagemap_addr *addr)
{
	/* Nothing was mapped, but drm_pagemap calls this unconditionally. */
}

static int ivgpu_bus_alias(struct drm_pagemap *dpagemap, struct folio *folio,
			   phys_addr_t *phys)
{
	struct ivgpu_device *ivgpu = dpagemap_to_ivgpu(dpagemap);
	u64 offset = page_to_vram_offset(folio_page(folio, 0));
	struct ivgpu_vram *vram = &ivgpu->vram;
	unsigned long bit = PHYS_PFN(offset);
	unsigned long i, n = 0;
	int err = 0;

	if (offset + folio_size(folio) > vram->aperture)
		err = -ERANGE;
	else if (drm_dev_is_unplugged(&ivgpu->drm))
		err = -ENODEV;
	if (err) {
		atomic64_inc(&ivgpu->counters.alias_refused);
		return err;
	}

	for (i = bit; i < bit + folio_nr_pages(folio); i++)
		if (!test_bit(i, vram->granted) &&
		    !test_and_set_bit(i, vram->granted))
			n++;
	atomic64_add(n, &ivgpu->counters.alias_pages);
	atomic64_add(n, &ivgpu->counters.alias_pages_live);

	*phys = vram->bar_start + offset;

	return 0;
}

static void ivgpu_pagemap_destroy(struct drm_pagemap *dpagemap,
				  bool is_atomic_or_reclaim)
{
	/* Part of the DRM device, and goes with it. */
}

static const struct drm_pagemap_ops ivgpu_pagemap_ops = {
	.device_map = ivgpu_device_map,
	.device_unmap = ivgpu_device_unmap,
	.bus_alias = ivgpu_bus_alias,
	.populate_mm = ivgpu_populate_mm,
	.destroy = ivgpu_pagemap_destroy,
};

/**
 * ivgpu_vram_pages_used() - VRAM in use
 * @vram: the VRAM
 *
 * Return: the number of pages that are allocated.
 */
u64 ivgpu_vram_pages_used(struct ivgpu_vram *vram)
{
	guard(mutex)(&vram->lock);

	return PHYS_PFN(vram->buddy.size - vram->buddy.avail);
}

/**
 * ivgpu_vram_p2p() - does the administrator consent to peer access now
 * @vram: the VRAM; the device must be bound
 *
 * Return: true if pages in the aperture are granted an alias.
 */
bool ivgpu_vram_p2p(struct ivgpu_vram *vram)
{
	return vram->provider && pci_p2pdma_peer_access(vram->provider);
}

/**
 * ivgpu_vram_cpu_access() - may importers access the aperture with the CPU
 * @vram: the VRAM; the device must be bound
 *
 * Return: true if they may.
 */
bool ivgpu_vram_cpu_access(struct ivgpu_vram *vram)
{
	return vram->provider && vram->provider->cpu_base;
}

/**
 * ivgpu_vram_evict_all() - bring all data back to RAM
 * @ivgpu: the device; unplugged, or its group_sem is held for writing, so that
 *	nothing new is placed
 *
 * What cannot be evicted now is tried again. The pages cannot be taken from
 * whoever uses them, so that there is no way but to wait; but not in silence.
 */
void ivgpu_vram_evict_all(struct ivgpu_device *ivgpu)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	unsigned long warn = jiffies + 10 * HZ;
	long ret;

	for (;;) {
		ret = ivgpu_vram_evict_one(vram, false);
		if (ret == -ENOENT)
			break;
		if (ret > 0)
			continue;
		if (time_after(jiffies, warn)) {
			drm_warn(&ivgpu->drm,
				 "drm_pagemap_evict_to_ram() leaves %llu pages in VRAM, trying again (%pe)\n",
				 ivgpu_vram_pages_used(vram), ERR_PTR(ret));
			warn = jiffies + 10 * HZ;
		}
		msleep(20);
	}
}

static bool ivgpu_has_interconnect(struct drm_pagemap_peer *peer1,
				   struct drm_pagemap_peer *peer2)
{
	return owner_group;
}

/*
 * Changes the group of a device in use. What its group was decides whether a
 * page of its VRAM is mapped for a peer, or a peer's for it: so nothing is
 * mapped when it changes. Walkers of page tables may still compare the old
 * owner; they see the change when the page has moved, as for any other page.
 */
static int ivgpu_vram_regroup(struct ivgpu_device *ivgpu)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	int err;

	/* Nothing is placed, and no peer's page mapped, until the end. */
	guard(rwsem_write)(&ivgpu->group_sem);
	ivgpu_vram_evict_all(ivgpu);
	ivgpu_svm_unmap_all(ivgpu);

	drm_pagemap_release_owner(&vram->peer);
	err = drm_pagemap_acquire_owner(&vram->peer, &ivgpu_owner_list,
					ivgpu_has_interconnect);
	/* If that fails the device is alone: nobody else is this owner. */
	if (err)
		vram->peer.list = NULL;
	WRITE_ONCE(vram->pagemap.owner, err ? (void *)vram : vram->peer.owner);

	return err;
}

static int ivgpu_owner_group_set(const char *val, const struct kernel_param *kp)
{
	const bool before = owner_group;
	struct ivgpu_device *ivgpu;
	int err, ret;

	guard(mutex)(&ivgpu_devices_lock);
	ret = param_set_bool(val, kp);
	if (ret || owner_group == before)
		return ret;
	list_for_each_entry(ivgpu, &ivgpu_devices, link) {
		err = ivgpu_vram_regroup(ivgpu);
		ret = ret ?: err;
	}

	return ret;
}

static void ivgpu_vram_leave(void *data)
{
	struct ivgpu_device *ivgpu = data;

	guard(mutex)(&ivgpu_devices_lock);
	list_del(&ivgpu->link);
}

static void ivgpu_vram_release_owner(void *data)
{
	drm_pagemap_release_owner(data);
}

static void ivgpu_vram_put_pagemap(void *data)
{
	drm_pagemap_put(data);
}

/* After the pagemap has gone: the last pages are freed while it goes. */
static void ivgpu_vram_fini(void *data)
{
	struct ivgpu_vram *vram = data;

	flush_work(&vram->free_work);
	gpu_buddy_fini(&vram->buddy);
	if (vram->provider)
		vram->provider->cpu_base = NULL;
}

/*
 * Consent is the default: an importer has to ask, and the fabric has to allow
 * it, before it matters, and all that is in this VRAM was put there for devices
 * to work on.
 */
static int ivgpu_vram_init_p2p(struct ivgpu_vram *vram, struct pci_dev *pdev)
{
	struct p2pdma_provider *provider;
	u64 size = vram->size;

	if (aperture)
		size = min(size, (u64)aperture * SZ_1M);

	provider = pcim_p2pdma_export(pdev, 2, size, true);
	if (IS_ERR(provider))
		return provider == ERR_PTR(-EOPNOTSUPP) ? 0 : PTR_ERR(provider);

	vram->aperture = size;
	vram->provider = provider;
	if (cpu_access)
		provider->cpu_base = vram->base;

	return 0;
}

/**
 * ivgpu_vram_init() - set up the VRAM
 * @ivgpu: the device
 * @pdev: its PCI device, enabled, BAR 2 requested
 *
 * Everything is undone by devres, in reverse order.
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_vram_init(struct ivgpu_device *ivgpu, struct pci_dev *pdev)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	struct device *dev = &pdev->dev;
	struct resource *res;
	void *addr;
	int err;

	mutex_init(&vram->lock);
	mutex_init(&vram->evict_lock);
	spin_lock_init(&vram->lru_lock);
	spin_lock_init(&vram->atomic_lock);
	INIT_LIST_HEAD(&vram->lru);
	init_llist_head(&vram->dead);
	INIT_WORK(&vram->free_work, ivgpu_vram_free_work);

	vram->bar_start = pci_resource_start(pdev, 2);
	vram->size = ALIGN_DOWN(pci_resource_len(pdev, 2), IVGPU_CHUNK_MAX);
	if (!vram->size)
		return dev_err_probe(dev, -ENODEV, "BAR 2, the VRAM, is smaller than 2 MiB\n");

	vram->base = devm_ioremap_wc(dev, vram->bar_start, vram->size);
	if (!vram->base)
		return -ENOMEM;

	vram->granted = devm_bitmap_zalloc(dev, PHYS_PFN(vram->size),
					   GFP_KERNEL);
	if (!vram->granted)
		return -ENOMEM;

	err = ivgpu_vram_init_p2p(vram, pdev);
	if (err)
		return err;

	err = gpu_buddy_init(&vram->buddy, vram->size, PAGE_SIZE);
	if (err)
		return err;
	gpu_buddy_driver_set_lock(&vram->buddy, &vram->lock);
	err = devm_add_action_or_reset(dev, ivgpu_vram_fini, vram);
	if (err)
		return err;

	res = devm_request_free_mem_region(dev, &iomem_resource, vram->size);
	if (IS_ERR(res))
		return PTR_ERR(res);

	guard(mutex)(&ivgpu_devices_lock);
	err = drm_pagemap_acquire_owner(&vram->peer, &ivgpu_owner_list,
					ivgpu_has_interconnect);
	if (err)
		return err;
	err = devm_add_action_or_reset(dev, ivgpu_vram_release_owner,
				       &vram->peer);
	if (err)
		return err;

	err = drm_pagemap_init(&vram->dpagemap, &vram->pagemap, &ivgpu->drm,
			       &ivgpu_pagemap_ops);
	if (err)
		return err;
	err = devm_add_action_or_reset(dev, ivgpu_vram_put_pagemap,
				       &vram->dpagemap);
	if (err)
		return err;

	vram->pagemap.type = MEMORY_DEVICE_PRIVATE;
	vram->pagemap.range.start = res->start;
	vram->pagemap.range.end = res->end;
	vram->pagemap.nr_range = 1;
	vram->pagemap.owner = vram->peer.owner;
	vram->pagemap.ops = drm_pagemap_pagemap_ops_get();
	vram->pagemap.p2p_provider = vram->provider;
	addr = devm_memremap_pages(dev, &vram->pagemap);
	if (IS_ERR(addr))
		return PTR_ERR(addr);

	err = devm_add_action(dev, ivgpu_vram_leave, ivgpu);
	if (err)
		return err;
	list_add_tail(&ivgpu->link, &ivgpu_devices);

	return 0;
}
