// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device-private pages of the VRAM, what drm_pagemap asks about them, and
 * the aperture by which other devices reach them.
 */

#include <linux/io.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci-p2pdma.h>
#include <linux/pci.h>

#include "ivgpu.h"

static uint aperture;
module_param(aperture, uint, 0644);
MODULE_PARM_DESC(aperture, "MiB of VRAM, from offset 0, that other devices may reach by bus aliases; 0: all; read when a device is bound (default: 0)");

static bool cpu_access = true;
module_param(cpu_access, bool, 0644);
MODULE_PARM_DESC(cpu_access, "let software importers such as rxe, which have no DMA engine, access the aperture with the CPU; read when a device is bound (default: Y)");

/*
 * The only functions that know how device-private pages, offsets in the VRAM
 * and the CPU's mapping of it belong together.
 */

/**
 * ivgpu_page_vram() - the VRAM behind a device-private page
 * @page: the page, of any ivgpu device
 *
 * Return: the VRAM.
 */
struct ivgpu_vram *ivgpu_page_vram(struct page *page)
{
	return container_of(page_pgmap(page), struct ivgpu_vram, pagemap);
}

/**
 * ivgpu_vram_first_pfn() - the page at offset 0 of a VRAM
 * @vram: the VRAM
 *
 * Return: its page frame number.
 */
unsigned long ivgpu_vram_first_pfn(struct ivgpu_vram *vram)
{
	return PHYS_PFN(vram->pagemap.range.start);
}

/**
 * ivgpu_page_ptr() - where the CPU reaches a device-private page
 * @page: the page, of any ivgpu device
 *
 * Return: its address in the CPU's mapping of the BAR.
 */
void __iomem *ivgpu_page_ptr(struct page *page)
{
	struct ivgpu_vram *vram = ivgpu_page_vram(page);

	return vram->base + PFN_PHYS(page_to_pfn(page) -
				     ivgpu_vram_first_pfn(vram));
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

	return drm_pagemap_addr_encode((uintptr_t)ivgpu_page_ptr(page),
				       DRM_INTERCONNECT_DRIVER, order, dir);
}

static void ivgpu_device_unmap(struct drm_pagemap *dpagemap, struct device *dev,
			       const struct drm_pagemap_addr *addr)
{
	/* Nothing was mapped, but drm_pagemap calls this unconditionally. */
}

static void ivgpu_pagemap_destroy(struct drm_pagemap *dpagemap,
				  bool is_atomic_or_reclaim)
{
	/* Part of the DRM device, and goes with it. */
}

static const struct drm_pagemap_ops ivgpu_pagemap_ops = {
	.device_map = ivgpu_device_map,
	.device_unmap = ivgpu_device_unmap,
	.populate_mm = ivgpu_vram_populate_mm,
	.destroy = ivgpu_pagemap_destroy,
};

/**
 * ivgpu_pagemap_p2p() - does the administrator consent to peer access now
 * @vram: the VRAM; the device must be bound
 *
 * Return: true if pages in the aperture are granted an alias.
 */
bool ivgpu_pagemap_p2p(struct ivgpu_vram *vram)
{
	struct p2pdma_provider *provider = vram->pagemap.p2p_provider;

	return provider && pci_p2pdma_peer_access(provider, NULL);
}

/**
 * ivgpu_pagemap_cpu_access() - may importers access the aperture with the CPU
 * @vram: the VRAM; the device must be bound
 *
 * Return: true if they may.
 */
bool ivgpu_pagemap_cpu_access(struct ivgpu_vram *vram)
{
	struct p2pdma_provider *provider = vram->pagemap.p2p_provider;

	return provider && provider->cpu_base;
}

/*
 * Let peers on the bus reach the VRAM. All that is in it was put there for
 * devices to work on.
 */
static void ivgpu_pagemap_init_p2p(struct ivgpu_vram *vram,
				   struct pci_dev *pdev)
{
	u64 size = vram->size;

	if (aperture)
		size = min(size, (u64)aperture * SZ_1M);

	drm_pagemap_set_aperture(&vram->dpagemap, pdev, 2,
				 pci_resource_start(pdev, 2), size);
	if (cpu_access && vram->pagemap.p2p_provider)
		vram->pagemap.p2p_provider->cpu_base = vram->base;
}

static void ivgpu_pagemap_put(void *data)
{
	drm_pagemap_put(data);
}

/**
 * ivgpu_pagemap_init() - create the device-private pages
 * @ivgpu: the device; its VRAM is set up and its group is known
 * @pdev: its PCI device
 *
 * Everything is undone by devres, in reverse order: the pages first, which
 * waits until the last one is free, and then what other devices may use.
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_pagemap_init(struct ivgpu_device *ivgpu, struct pci_dev *pdev)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	struct device *dev = &pdev->dev;
	struct resource *res;
	int err;

	res = devm_request_free_mem_region(dev, &iomem_resource, vram->size);
	if (IS_ERR(res))
		return PTR_ERR(res);

	err = drm_pagemap_init(&vram->dpagemap, &vram->pagemap, &ivgpu->drm,
			       &ivgpu_pagemap_ops);
	if (err)
		return err;
	err = devm_add_action_or_reset(dev, ivgpu_pagemap_put, &vram->dpagemap);
	if (err)
		return err;

	vram->pagemap.type = MEMORY_DEVICE_PRIVATE;
	vram->pagemap.range.start = res->start;
	vram->pagemap.range.end = res->end;
	vram->pagemap.nr_range = 1;
	vram->pagemap.ops = drm_pagemap_pagemap_ops_get();
	ivgpu_pagemap_init_p2p(vram, pdev);
	err = ivgpu_counters_init(ivgpu);
	if (err)
		return err;

	return PTR_ERR_OR_ZERO(devm_memremap_pages(dev, &vram->pagemap));
}
