/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The exporter: ivgpu, shared virtual memory on QEMU's ivshmem-plain device.
 *
 * Functions return 0 (or a count) or a negative errno, unless they say
 * otherwise.
 */
#ifndef GPU_H
#define GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <drivers/gpu/drm/ivgpu/ivgpu_ioctl.h>

/**
 * struct gpu - an open ivgpu render node
 * @fd: the file
 * @bdf: PCI address, which survives unbinding; the node's name does not
 * @info: what GET_INFO said when it was opened
 */
struct gpu {
	int fd;
	char bdf[32];
	struct drm_ivgpu_info info;
};

/* Number of ivshmem-plain devices on the PCI bus, bound or not. */
int gpu_count(void);

/* @index counts in the order of PCI addresses. ENODEV: no such device. */
int gpu_open(struct gpu *gpu, unsigned int index);
void gpu_close(struct gpu *gpu);

int gpu_bind(const char *bdf, bool bind);

/*
 * The new file of a device that was bound anew or has come back to the bus. It
 * has the consent of the last gpu_consent().
 */
int gpu_reopen(struct gpu *gpu);

/*
 * Rebinds @gpu, with parameter @name=@value in force unless NULL, and opens it
 * again.
 */
int gpu_rebind(struct gpu *gpu, const char *name, const char *value);

/* Module parameters of ivgpu, as text without a newline. */
int gpu_param_get(const char *name, char *buf, size_t size);
int gpu_param_set(const char *name, const char *value);

/* Do the exporters consent to peer access? 0 or 1 */
int gpu_consent_get(void);
/* From now on all of them do, or none does. */
int gpu_consent(bool on);

int gpu_ioctl(const struct gpu *gpu, unsigned long req, void *arg);

/* Returns the pages that are in VRAM afterwards. */
long gpu_place(const struct gpu *gpu, void *addr, size_t size, uint32_t where);
int gpu_fill(const struct gpu *gpu, void *addr, size_t size, uint64_t seed);
/* Fills and checks that each page is in VRAM; -ENXIO if one is not. */
int gpu_fill_vram(const struct gpu *gpu, void *addr, size_t size,
		  uint64_t seed);
int gpu_sum(const struct gpu *gpu, void *addr, size_t size, uint32_t flags,
	    uint64_t *sum);
int gpu_counters(const struct gpu *gpu, struct drm_ivgpu_counters *c);

/*
 * Waits until at most @used pages of VRAM are in use and at most @live have
 * aliases; @c is then what is counted, unless NULL. A worker frees VRAM some
 * time after its last page, so only 10 s are a leak: -ETIMEDOUT.
 */
int gpu_wait_freed(const struct gpu *gpu, uint64_t used, uint64_t live,
		   struct drm_ivgpu_counters *c);

#endif /* GPU_H */
