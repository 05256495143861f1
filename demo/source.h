/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The device that has the memory: ivgpu, which fills and sums it by itself and
 * counts what moves, or the exporter at the PCI address GPU0, whichever driver
 * it has. Then the CPU fills the memory, which is moved to the device, and what
 * moves is told by where the pages are.
 *
 * Functions return 0 or a negative errno.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exporter.h"
#include "gpu.h"
#include "verbs.h"

/**
 * struct source - the device
 * @ivgpu: it is @gpu, and not @exp
 * @gpu: an ivgpu
 * @exp: another exporter
 * @to_ram: pages that have left @exp
 * @to_vram: pages that were moved to it
 */
struct source {
	bool ivgpu;
	struct gpu gpu;
	struct exporter exp;
	uint64_t to_ram;
	uint64_t to_vram;
};

int source_open(struct source *source);
void source_close(struct source *source);

int source_consent_get(const struct source *source);
int source_consent(const struct source *source, bool on);

/*
 * All of it has the pattern of @seed, and is on the device. @ready: and can be
 * reached there by @end at once, as far as that is up to the device.
 */
int source_fill(struct source *source, struct rdma_end *end, void *mem,
		size_t size, uint64_t seed, bool ready);
/*
 * What the device's engine reads, after the memory was moved to it. ENXIO: a
 * page was not there, and @in_place says that it has to be.
 */
int source_sum(struct source *source, void *mem, size_t size, bool in_place,
	       uint64_t *sum);
/* What has moved, and with ivgpu, how many pages it has given aliases of */
int source_counters(struct source *source, struct drm_ivgpu_counters *c);

#endif /* SOURCE_H */
