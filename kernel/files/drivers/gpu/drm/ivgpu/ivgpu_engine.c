// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory as the engine reaches it. The engine is emulated by the CPU: it
 * accesses VRAM through the BAR, and system memory at the addresses that the
 * DMA API returned.
 */

#include <linux/dma-mapping.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iommu.h>

#include "ivgpu.h"

/*
 * The page at an address that the DMA API returned for @dev. This goes the way
 * that a bus transaction of the device would go, through its IOMMU domain, so
 * that a page that is not mapped for the device is not reached by mistake. NULL
 * is where a device would take an IOMMU fault.
 *
 * A driver has no business doing this; its device does. But the copy methods of
 * drm_pagemap are given nothing but the DMA address of a system page.
 */
static struct page *ivgpu_dma_page(struct device *dev, dma_addr_t addr)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	phys_addr_t phys = domain ? iommu_iova_to_phys(domain, addr) : addr;

	return phys && pfn_valid(PHYS_PFN(phys)) ? phys_to_page(phys) : NULL;
}

/**
 * ivgpu_engine_init() - can the engine find memory by its DMA address
 * @ivgpu: the device
 *
 * Without an IOMMU, a DMA address has to be a physical address: not that of a
 * bounce buffer, and without an offset or an encryption bit.
 *
 * Return: 0, -EOPNOTSUPP, or another negative error code.
 */
int ivgpu_engine_init(struct ivgpu_device *ivgpu)
{
	struct device *dev = ivgpu->drm.dev;
	struct page *page;
	dma_addr_t addr;
	int err = 0;

	page = alloc_page(GFP_KERNEL);
	if (!page)
		return -ENOMEM;
	addr = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, addr)) {
		err = -ENOMEM;
	} else {
		if (ivgpu_dma_page(dev, addr) != page)
			err = dev_err_probe(dev, -EOPNOTSUPP,
					    "DMA addresses are neither physical addresses nor IOVAs\n");
		dma_unmap_page(dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	}
	__free_page(page);

	return err;
}

/**
 * ivgpu_engine_map() - begin to use memory within one page
 * @dev: the device
 * @addr: where the memory is
 * @offset: offset of the first byte from @addr
 * @map: filled in; ivgpu_engine_unmap() in reverse order
 *
 * Return: 0, or -EFAULT where a device would take an IOMMU fault.
 */
int ivgpu_engine_map(struct device *dev, const struct drm_pagemap_addr *addr,
		     u64 offset, struct ivgpu_mapping *map)
{
	dma_addr_t dma = addr->addr + offset;

	*map = (struct ivgpu_mapping) {};
	if (addr->proto == DRM_INTERCONNECT_DRIVER) {
		/* See ivgpu_device_map() for what the address is. */
		map->iomem = (void __iomem *)dma;
		return 0;
	}

	map->page = ivgpu_dma_page(dev, dma);
	if (!map->page)
		return -EFAULT;
	map->vaddr = kmap_local_page(map->page) + offset_in_page(dma);

	return 0;
}

/**
 * ivgpu_engine_unmap() - undo ivgpu_engine_map()
 * @map: the mapping
 */
void ivgpu_engine_unmap(struct ivgpu_mapping *map)
{
	if (map->vaddr)
		kunmap_local(map->vaddr);
}

/**
 * ivgpu_engine_read() - copy from mapped memory
 * @map: the mapping
 * @to: where to
 * @n: how many bytes
 */
void ivgpu_engine_read(struct ivgpu_mapping *map, void *to, size_t n)
{
	if (map->vaddr)
		memcpy(to, map->vaddr, n);
	else
		memcpy_fromio(to, map->iomem, n);
}

/**
 * ivgpu_engine_write() - copy to mapped memory
 * @map: the mapping
 * @from: where from
 * @n: how many bytes
 */
void ivgpu_engine_write(struct ivgpu_mapping *map, const void *from, size_t n)
{
	if (map->vaddr)
		memcpy(map->vaddr, from, n);
	else
		memcpy_toio(map->iomem, from, n);
}

/**
 * ivgpu_engine_flush() - wait until writes to VRAM are there
 * @last: where the last write went, or NULL if none went to VRAM
 *
 * The BAR is mapped write-combined, and writes to it are posted. wmb() hands
 * them to the bus, and a read of the same device returns behind them. A peer
 * may reach the VRAM on another way, and read it next.
 */
void ivgpu_engine_flush(void __iomem *last)
{
	/* Hand over what is in write-combining buffers. */
	wmb();
	if (last)
		readb(last);
}

static void ivgpu_copy_vram_page(void __iomem *dst, const void __iomem *src)
{
	unsigned int i;

	for (i = 0; i < PAGE_SIZE; i += sizeof(u64))
		writeq(readq(src + i), dst + i);
}

/* Copies between VRAM at @ptr and the memory at @addr. */
static int ivgpu_copy_entry(struct device *dev, void __iomem *ptr,
			    const struct drm_pagemap_addr *addr, bool to_vram)
{
	unsigned long i;

	for (i = 0; i < NR_PAGES(addr->order); i++, ptr += PAGE_SIZE) {
		struct ivgpu_mapping map;
		int err;

		err = ivgpu_engine_map(dev, addr, i * PAGE_SIZE, &map);
		if (err)
			return err;
		if (map.iomem)
			ivgpu_copy_vram_page(map.iomem, ptr);
		else if (to_vram)
			memcpy_toio(ptr, map.vaddr, PAGE_SIZE);
		else
			memcpy_fromio(map.vaddr, ptr, PAGE_SIZE);
		ivgpu_engine_unmap(&map);
	}

	return 0;
}

static void ivgpu_count_copy(struct ivgpu_device *ivgpu,
			     const struct drm_pagemap_addr *addr, bool to_vram,
			     unsigned long nr)
{
	struct ivgpu_counters *counters = &ivgpu->counters;

	if (to_vram) {
		atomic64_add(nr, &counters->pages_to_vram);
	} else if (addr->proto == DRM_INTERCONNECT_SYSTEM) {
		atomic64_add(nr, &counters->pages_to_ram);
		if (READ_ONCE(ivgpu->vram.evictor) == current)
			atomic64_add(nr, &counters->pages_evicted);
	}
}

static int ivgpu_engine_copy(struct page **pages,
			     struct drm_pagemap_addr *pagemap_addr,
			     unsigned long npages, bool to_vram)
{
	void __iomem *last = NULL;
	unsigned long i, nr;

	for (i = 0; i < npages; i += nr) {
		struct drm_pagemap_addr *addr = &pagemap_addr[i];
		struct ivgpu_device *ivgpu;
		void __iomem *ptr;
		int err;

		nr = 1;
		if (!pages[i] || (!to_vram && !addr->addr))
			continue;

		ivgpu = vram_to_ivgpu(ivgpu_page_vram(pages[i]));
		ptr = ivgpu_page_ptr(pages[i]);
		if (addr->addr) {
			nr = NR_PAGES(addr->order);
			err = ivgpu_copy_entry(ivgpu->drm.dev, ptr, addr,
					       to_vram);
			if (err)
				return err;
			if (addr->proto == DRM_INTERCONNECT_DRIVER)
				last = (void __iomem *)addr->addr;
		} else {
			/*
			 * Nothing was there before: what the last user left
			 * in this VRAM must not show through.
			 */
			nr = folio_nr_pages(page_folio(pages[i]));
			memset_io(ptr, 0, nr * PAGE_SIZE);
		}
		if (to_vram)
			last = ptr;
		ivgpu_count_copy(ivgpu, addr, to_vram, nr);
	}
	ivgpu_engine_flush(last);

	return 0;
}

/**
 * ivgpu_engine_copy_to_devmem() - &drm_pagemap_devmem_ops.copy_to_devmem
 * @pages: the pages in VRAM
 * @pagemap_addr: where the data is; nowhere, if an address is zero
 * @npages: entries in both arrays
 * @pre_migrate_fence: not used
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_engine_copy_to_devmem(struct page **pages,
				struct drm_pagemap_addr *pagemap_addr,
				unsigned long npages,
				struct dma_fence *pre_migrate_fence)
{
	return ivgpu_engine_copy(pages, pagemap_addr, npages, true);
}

/**
 * ivgpu_engine_copy_to_ram() - &drm_pagemap_devmem_ops.copy_to_ram
 * @pages: the pages in VRAM
 * @pagemap_addr: where the data goes: to RAM or to the VRAM of a peer
 * @npages: entries in both arrays
 * @pre_migrate_fence: not used
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_engine_copy_to_ram(struct page **pages,
			     struct drm_pagemap_addr *pagemap_addr,
			     unsigned long npages,
			     struct dma_fence *pre_migrate_fence)
{
	return ivgpu_engine_copy(pages, pagemap_addr, npages, false);
}
