// SPDX-License-Identifier: GPL-2.0-only
/*
 * ivgpu, a GPU made of ivshmem: shared virtual memory on QEMU's ivshmem-plain
 * device.
 */

#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_managed.h>

#include "ivgpu.h"

/**
 * DOC: Overview
 *
 * A graphics driver that offers shared virtual memory works on the ordinary
 * memory of a process, at the addresses that the process uses, and moves it to
 * the device's own memory (VRAM) and back. ivgpu does this and nothing else,
 * on a device that every QEMU has: ivshmem-plain, whose BAR 2 serves as the
 * VRAM. It is a template for such drivers. In the order in which the frameworks
 * are used:
 *
 * 1. ivgpu_pagemap_init() creates one device-private page for each page of VRAM
 *    with devm_memremap_pages(), and makes them known to drm_pagemap, which
 *    provides the &dev_pagemap_ops. All arithmetic that leads from such a page
 *    to the VRAM behind it is at the top of ivgpu_pagemap.c.
 *
 * 2. Opening the render node makes a &struct drm_gpusvm, a mirror of the
 *    opener's address space (ivgpu_svm_open()).
 *
 * 3. When the engine touches an address, ivgpu_view_fault() finds or makes a
 *    &struct drm_gpusvm_range around it, migrates that to VRAM through
 *    &drm_pagemap_ops.populate_mm, and maps its pages with
 *    drm_gpusvm_get_pages(). With the notifier lock held and the range found
 *    still valid, a driver would now write the page tables of its device. ivgpu
 *    has no such device, and does the work at this point (ivgpu_job_commit()).
 *
 * 4. &drm_gpusvm_ops.invalidate (ivgpu_invalidate()) is told when the CPU's
 *    mapping changes. It unmaps, and it never frees memory.
 *
 * 5. VRAM is given back when the last of its pages is freed, in
 *    &drm_pagemap_devmem_ops.devmem_release, and nowhere else. By then all
 *    notifiers have run, so that neither a CPU nor any device reaches it.
 *
 * 6. When VRAM is full, the least recently placed allocation goes back to RAM
 *    with drm_pagemap_evict_to_ram(). This needs no lock that a fault holds.
 *
 * 7. Unbind is the same as eviction, of everything, after drm_dev_unplug() has
 *    made sure that nothing new is placed (ivgpu_pci_remove()).
 *
 * Not a template, but stand-ins for hardware, are ivgpu_engine.c, which finds the
 * memory at a DMA address, and ivgpu_job.c, which runs a job in the ioctl: there
 * is no queue, no fence and no scheduler. ivgpu_group.c is for tests.
 *
 * Each ivshmem device of a machine may be memory that other virtual machines
 * share, so the driver binds to none by itself. Give it one with driver_override,
 * or all with ``echo 1af4 1110 > /sys/bus/pci/drivers/ivgpu/new_id``. A module
 * that has a device is in use: unbind the device, then remove the module.
 */

/**
 * DOC: Peer-to-peer access
 *
 * Neither the CPU nor other devices can reach a device-private page. If VRAM is
 * behind a PCI BAR, its driver can let other devices reach it in place, by bus
 * aliases (Documentation/mm/hmm_bus_alias.rst). A driver whose memory is linear
 * behind the BAR calls drm_pagemap_set_aperture(), as ivgpu does, and
 * drm_pagemap answers from then on.
 *
 * hmm_range_fault() decides everything else: whether the importer asked, whether
 * the administrator consents (``p2pdma/peer_access`` in the sysfs directory of
 * the PCI device), whether the fabric between the two devices can carry it, and
 * what to do if not. The driver has to guarantee point 5 of the overview: a page
 * that was granted an alias keeps its place until it is freed, because importers
 * are told to stop using it by the same MMU notifiers that precede the freeing.
 *
 * Module parameters restrict what is granted: ``aperture`` limits it to the
 * beginning of VRAM (as a small BAR would), and ``cpu_access`` lets importers
 * without a DMA engine use the driver's mapping of the BAR. ``owner_group``
 * makes all devices members of one &struct drm_pagemap_owner, which reach each
 * other's VRAM without aliases.
 *
 * drm_pagemap determines a device's group when it is bound, and walkers of page
 * tables compare owners without any lock. ivgpu_group_change() shows when it can
 * be changed all the same: when no page of the device is in use, so that no
 * decision depends on the owner.
 */

/**
 * DOC: Locking
 *
 * In the order in which they are taken:
 *
 * - &ivgpu_svm.lock: a job, from the lookup of the range to the end of the
 *   engine's work on it. drm_gpusvm calls it the driver's SVM lock. It is the only
 *   lock that is held while a page is faulted in, because user space decides how
 *   long that takes, with userfaultfd or FUSE. Only jobs of the same file need it.
 * - the mmap lock, taken by the frameworks, for reading.
 * - drm_dev_enter(): to place pages in VRAM, and again when all pages are there,
 *   for the engine's work. Unbind waits for nothing else.
 * - &ivgpu_device.group_sem: for reading, to place pages in VRAM; for writing, a
 *   change of the device's group.
 * - &ivgpu_device.files_lock: the list of open files.
 * - &ivgpu_vram.evict_lock: one eviction at a time. Eviction takes folio locks
 *   with trylock only, and calls the MMU notifiers of all mirrors.
 * - &ivgpu_vram.lock: the buddy allocator.
 * - &drm_gpusvm.notifier_lock: taken for writing by MMU notifiers, also from
 *   reclaim, and for reading by the engine while it works. No memory is allocated
 *   with it held. Unbind takes the device's mappings away with this lock alone.
 * - &ivgpu_vram.lru_lock: taken with interrupts disabled, as pages may be freed
 *   anywhere.
 */

static int ivgpu_info_ioctl(struct drm_device *drm, void *data,
			    struct drm_file *file)
{
	struct ivgpu_vram *vram = &to_ivgpu_device(drm)->vram;
	struct drm_ivgpu_info *info = data;
	int idx;

	/* The provider lives as long as the driver is bound. */
	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;

	info->vram_size = vram->size;
	info->aperture_size = vram->dpagemap.aperture.size;
	info->flags = 0;
	if (ivgpu_pagemap_p2p(vram))
		info->flags |= IVGPU_INFO_P2P;
	if (ivgpu_pagemap_cpu_access(vram))
		info->flags |= IVGPU_INFO_CPU_ACCESS;
	info->pad = 0;
	drm_dev_exit(idx);

	return 0;
}

static const struct drm_ioctl_desc ivgpu_ioctls[] = {
	DRM_IOCTL_DEF_DRV(IVGPU_GET_INFO, ivgpu_info_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(IVGPU_PLACE, ivgpu_place_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(IVGPU_JOB, ivgpu_job_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(IVGPU_COUNTERS, ivgpu_counters_ioctl,
			  DRM_RENDER_ALLOW),
};

static int ivgpu_open(struct drm_device *drm, struct drm_file *file)
{
	return ivgpu_svm_open(to_ivgpu_device(drm), file);
}

static void ivgpu_postclose(struct drm_device *drm, struct drm_file *file)
{
	ivgpu_svm_close(to_ivgpu_device(drm), file);
}

static const struct file_operations ivgpu_fops = {
	.owner = THIS_MODULE,
	.open = drm_open,
	.release = drm_release,
	.unlocked_ioctl = drm_ioctl,
	.compat_ioctl = drm_compat_ioctl,
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.fop_flags = FOP_UNSIGNED_OFFSET,
};

static const struct drm_driver ivgpu_driver = {
	.driver_features = DRIVER_RENDER,
	.open = ivgpu_open,
	.postclose = ivgpu_postclose,
	.ioctls = ivgpu_ioctls,
	.num_ioctls = ARRAY_SIZE(ivgpu_ioctls),
	.fops = &ivgpu_fops,
	.name = "ivgpu",
	.desc = "GPU made of QEMU's ivshmem-plain device",
	.major = 1,
	.minor = 0,
};

static int ivgpu_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	struct ivgpu_device *ivgpu;
	int err;

	/* BAR 1 is that of ivshmem-doorbell, which others use. */
	if (pdev->vendor != PCI_VENDOR_ID_REDHAT_QUMRANET ||
	    pdev->device != 0x1110 || pci_resource_len(pdev, 1))
		return dev_err_probe(dev, -ENODEV, "not an ivshmem-plain device\n");

	ivgpu = devm_drm_dev_alloc(dev, &ivgpu_driver, struct ivgpu_device,
				   drm);
	if (IS_ERR(ivgpu))
		return PTR_ERR(ivgpu);

	err = drmm_mutex_init(&ivgpu->drm, &ivgpu->files_lock);
	if (err)
		return err;
	INIT_LIST_HEAD(&ivgpu->files);
	init_rwsem(&ivgpu->group_sem);

	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = pcim_request_region(pdev, 2, "ivgpu");
	if (err)
		return err;
	err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (err)
		return err;

	err = ivgpu_engine_init(ivgpu);
	if (err)
		return err;
	err = ivgpu_vram_init(ivgpu, pdev);
	if (err)
		return err;
	err = ivgpu_group_join(ivgpu);
	if (err)
		return err;
	err = ivgpu_pagemap_init(ivgpu, pdev);
	if (err)
		return err;

	pci_set_drvdata(pdev, ivgpu);

	return drm_dev_register(&ivgpu->drm, 0);
}

static void ivgpu_pci_remove(struct pci_dev *pdev)
{
	struct ivgpu_device *ivgpu = pci_get_drvdata(pdev);

	/* From here on, nothing new is placed, mapped or granted. */
	drm_dev_unplug(&ivgpu->drm);
	/* Migrate all data to RAM, which also ends all aliases. */
	ivgpu_vram_evict_all(ivgpu, false);
	/* The device must not keep a mapping of system memory, either. */
	ivgpu_svm_unmap_all(ivgpu);
}

/*
 * VRAM does not outlive suspend, and is no part of a hibernation image. Tasks are
 * frozen, so nothing is placed again before they run.
 */
static int ivgpu_pm_prepare(struct device *dev)
{
	return ivgpu_vram_evict_all(dev_get_drvdata(dev), true);
}

static const struct dev_pm_ops ivgpu_pm_ops = {
	.prepare = pm_sleep_ptr(ivgpu_pm_prepare),
};

static struct pci_driver ivgpu_pci_driver = {
	.name = "ivgpu",
	.id_table = NULL, /* only dynamic IDs, see "Overview" above */
	.probe = ivgpu_pci_probe,
	.remove = ivgpu_pci_remove,
	.driver.pm = pm_ptr(&ivgpu_pm_ops),
};
module_pci_driver(ivgpu_pci_driver);

MODULE_DESCRIPTION("GPU with shared virtual memory, made of QEMU's ivshmem-plain device");
MODULE_LICENSE("GPL");
