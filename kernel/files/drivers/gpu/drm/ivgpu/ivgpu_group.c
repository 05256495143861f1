// SPDX-License-Identifier: GPL-2.0-only
/*
 * A private interconnect between all ivgpu devices, for tests of
 * &struct drm_pagemap_owner: it can be switched on and off at any time.
 */

#include <linux/cleanup.h>
#include <linux/module.h>
#include <linux/moduleparam.h>

#include "ivgpu.h"

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

static bool ivgpu_has_interconnect(struct drm_pagemap_peer *peer1,
				   struct drm_pagemap_peer *peer2)
{
	return owner_group;
}

/* If it fails the device is alone: no other one has this owner. */
static int ivgpu_group_acquire(struct ivgpu_vram *vram)
{
	int err;

	lockdep_assert_held(&ivgpu_devices_lock);

	err = drm_pagemap_acquire_owner(&vram->peer, &ivgpu_owner_list,
					ivgpu_has_interconnect);
	if (err)
		vram->peer.list = NULL;
	WRITE_ONCE(vram->pagemap.owner, err ? (void *)vram : vram->peer.owner);
	vram->grouped = !err && owner_group;

	return err;
}

/*
 * Change the group of a device in use. A peer may have a page of its VRAM mapped
 * only if both are in one group. So no page is in VRAM when the group changes.
 * What the device itself has mapped of its peers is dropped after the change;
 * ivgpu_range_map() does not map with the old owner from then on.
 */
static int ivgpu_group_change(struct ivgpu_device *ivgpu)
{
	struct ivgpu_vram *vram = &ivgpu->vram;
	int err;

	err = down_write_killable(&ivgpu->group_sem);
	if (err)
		return err;
	err = ivgpu_vram_evict_all(ivgpu, true);
	if (!err) {
		drm_pagemap_release_owner(&vram->peer);
		err = ivgpu_group_acquire(vram);
		ivgpu_svm_unmap_all(ivgpu);
	}
	up_write(&ivgpu->group_sem);

	return err;
}

/*
 * If a device cannot be emptied the others still change, and the next write of
 * the parameter, with whatever value, tries this one again.
 */
static int ivgpu_owner_group_set(const char *val, const struct kernel_param *kp)
{
	struct ivgpu_device *ivgpu;
	int err, ret;

	err = mutex_lock_killable(&ivgpu_devices_lock);
	if (err)
		return err;
	ret = param_set_bool(val, kp);
	if (!ret) {
		list_for_each_entry(ivgpu, &ivgpu_devices, link) {
			if (ivgpu->vram.grouped == owner_group)
				continue;
			err = ivgpu_group_change(ivgpu);
			ret = ret ?: err;
		}
	}
	mutex_unlock(&ivgpu_devices_lock);

	return ret;
}

static void ivgpu_group_leave(void *data)
{
	struct ivgpu_device *ivgpu = data;

	guard(mutex)(&ivgpu_devices_lock);
	list_del(&ivgpu->link);
	drm_pagemap_release_owner(&ivgpu->vram.peer);
}

/**
 * ivgpu_group_join() - get the owner of the device's pages
 * @ivgpu: the device, which has no pages yet
 *
 * Until the device is unbound, its owner may change.
 *
 * Return: 0 or a negative error code.
 */
int ivgpu_group_join(struct ivgpu_device *ivgpu)
{
	int err;

	mutex_lock(&ivgpu_devices_lock);
	err = ivgpu_group_acquire(&ivgpu->vram);
	if (!err)
		list_add_tail(&ivgpu->link, &ivgpu_devices);
	mutex_unlock(&ivgpu_devices_lock);
	if (err)
		return err;

	return devm_add_action_or_reset(ivgpu->drm.dev, ivgpu_group_leave,
					ivgpu);
}
