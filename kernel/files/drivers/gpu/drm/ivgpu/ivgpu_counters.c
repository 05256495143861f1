// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters for the tests. drm_pagemap answers for the aperture without the
 * driver, which learns from the events of mm/hmm.c what was granted and what was
 * refused.
 */

#include <linux/bitmap.h>
#include <linux/hmm.h>
#include <linux/pci-p2pdma.h>
#include <trace/events/hmm.h>

#include <drm/drm_drv.h>

#include "ivgpu.h"

static void ivgpu_count_grant(void *data, const struct hmm_range *range,
			      unsigned long addr, unsigned long npages,
			      phys_addr_t phys, bool write,
			      const struct p2pdma_provider *provider)
{
	struct ivgpu_device *ivgpu = data;
	unsigned long *granted = ivgpu->vram.granted;
	unsigned long bit, end, n = 0;

	if (provider != ivgpu->vram.pagemap.p2p_provider)
		return;

	bit = PHYS_PFN(phys - provider->start);
	for (end = bit + npages; bit < end; bit++)
		if (!test_bit(bit, granted) && !test_and_set_bit(bit, granted))
			n++;
	atomic64_add(n, &ivgpu->counters.alias_pages);
	atomic64_add(n, &ivgpu->counters.alias_pages_live);
}

static void ivgpu_count_refuse(void *data, const struct hmm_range *range,
			       unsigned long addr, unsigned long npages,
			       enum hmm_alias_verdict reason, int err,
			       bool fault,
			       const struct p2pdma_provider *provider)
{
	struct ivgpu_device *ivgpu = data;

	if (reason == HMM_ALIAS_REFUSED &&
	    provider == ivgpu->vram.pagemap.p2p_provider)
		atomic64_inc(&ivgpu->counters.alias_refused);
}

/**
 * ivgpu_count_freed() - forget the grants of pages that are free now
 * @ivgpu: the device
 * @bit: the first page, counted from the beginning of the VRAM
 * @npages: how many there are
 */
void ivgpu_count_freed(struct ivgpu_device *ivgpu, unsigned long bit,
		       unsigned long npages)
{
	unsigned long *granted = ivgpu->vram.granted;
	unsigned long end = bit + npages, n = 0;

	if (!granted)
		return;

	for_each_set_bit_from(bit, granted, end) {
		clear_bit(bit, granted);
		n++;
	}
	atomic64_sub(n, &ivgpu->counters.alias_pages_live);
}

static void ivgpu_counters_fini(void *ivgpu)
{
	unregister_trace_hmm_alias_refuse(ivgpu_count_refuse, ivgpu);
	unregister_trace_hmm_alias_grant(ivgpu_count_grant, ivgpu);
	tracepoint_synchronize_unregister();
}

/**
 * ivgpu_counters_init() - count aliases until the device is unbound
 * @ivgpu: the device; its pagemap is not mapped yet
 *
 * A kernel without CONFIG_TRACEPOINTS counts none.
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_counters_init(struct ivgpu_device *ivgpu)
{
	struct device *dev = ivgpu->drm.dev;
	int err;

	if (!IS_ENABLED(CONFIG_TRACEPOINTS))
		return 0;

	err = register_trace_hmm_alias_grant(ivgpu_count_grant, ivgpu);
	if (err)
		return err;
	err = register_trace_hmm_alias_refuse(ivgpu_count_refuse, ivgpu);
	if (err) {
		unregister_trace_hmm_alias_grant(ivgpu_count_grant, ivgpu);
		tracepoint_synchronize_unregister();
		return err;
	}

	return devm_add_action_or_reset(dev, ivgpu_counters_fini, ivgpu);
}

/**
 * ivgpu_counters_ioctl() - DRM_IOCTL_IVGPU_COUNTERS
 * @drm: the device
 * @data: &struct drm_ivgpu_counters
 * @file: the caller's file
 *
 * Return: 0, or -ENODEV if the device is unplugged.
 */
int ivgpu_counters_ioctl(struct drm_device *drm, void *data,
			 struct drm_file *file)
{
	struct ivgpu_device *ivgpu = to_ivgpu_device(drm);
	struct ivgpu_counters *counters = &ivgpu->counters;
	struct drm_ivgpu_counters *args = data;
	int idx;

	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;

	args->pages_to_vram = atomic64_read(&counters->pages_to_vram);
	args->pages_to_ram = atomic64_read(&counters->pages_to_ram);
	args->pages_evicted = atomic64_read(&counters->pages_evicted);
	args->engine_faults = atomic64_read(&counters->engine_faults);
	args->alias_pages = atomic64_read(&counters->alias_pages);
	args->alias_pages_live = atomic64_read(&counters->alias_pages_live);
	args->alias_refused = atomic64_read(&counters->alias_refused);
	args->vram_pages_used = ivgpu_vram_pages_used(&ivgpu->vram);
	drm_dev_exit(idx);

	return 0;
}
