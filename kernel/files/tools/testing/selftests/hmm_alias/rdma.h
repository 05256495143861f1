/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The environment of an RDMA test: an exporter, a connection, memory that an
 * RDMA peer reaches through an on-demand MR, and a reference copy of it.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef RDMA_H
#define RDMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu.h"
#include "verbs.h"

/**
 * struct rdma_env - the environment of a test
 * @gpu: the exporter
 * @own: the end that owns the memory
 * @peer: the other end, with pinned memory
 * @stage: the peer's memory, @size bytes
 * @stage_mr: its MR, of @peer
 * @map: what to munmap() of the mapping that @mem is in
 * @map_size: size of @map
 * @mem: the memory under test, aligned to 2 MiB
 * @ref: what @mem must contain
 * @size: size of @mem
 * @mr: MR of @mem, on demand, of @own
 * @base: counters at rdma_env_mark()
 */
struct rdma_env {
	struct gpu gpu;
	struct rdma_end own;
	struct rdma_end peer;
	unsigned char *stage;
	struct ibv_mr *stage_mr;
	void *map;
	size_t map_size;
	unsigned char *mem;
	unsigned char *ref;
	size_t size;
	struct ibv_mr *mr;
	struct drm_ivgpu_counters base;
};

/*
 * Opens everything. @consent is put in force first. The memory is not
 * populated unless @thp, then it is, with huge pages, and zero.
 */
int rdma_env_open(struct rdma_env *env, size_t size, bool consent, bool thp);
/* Of that, what needs no privilege: both ends and @size bytes, but no MR yet */
int rdma_env_prepare(struct rdma_env *env, bool thp);
void rdma_env_close(struct rdma_env *env);

/* After an error completion: both ends back in working order. */
int rdma_env_reconnect(struct rdma_env *env);

/* The engine fills all of @mem; so does the CPU @ref. All must be in VRAM. */
int rdma_env_fill(struct rdma_env *env, uint64_t seed);

/*
 * The peer READs, or WRITEs what @seed gives, @len bytes at @off of @mem, with
 * its own buffer at the same offset. Returns an enum ibv_wc_status, or
 * -ETIMEDOUT and the like; -EILSEQ if what was READ is not what @ref says, or
 * if a READ wrote beyond its length. A successful WRITE changes @ref.
 */
int rdma_env_read(struct rdma_env *env, size_t off, size_t len);
int rdma_env_write(struct rdma_env *env, size_t off, size_t len, uint64_t seed);

/*
 * So that the peer may READ what cannot be written, or is not to be copied
 * although it is shared: an importer that faults for writing is told before.
 */
int rdma_env_readable(struct rdma_env *env, size_t off, size_t len);

/* -EILSEQ unless the CPU sees @ref in the range; migrates what is in VRAM. */
int rdma_env_cpu(struct rdma_env *env, size_t off, size_t len);

/* -EILSEQ unless the engine sees @ref; -ENXIO if a page is not in VRAM. */
int rdma_env_vram(struct rdma_env *env, size_t off, size_t len);

int rdma_env_mark(struct rdma_env *env);
/* The differences to rdma_env_mark(); as they are where it may shrink. */
int rdma_env_delta(struct rdma_env *env, struct drm_ivgpu_counters *d);

/* How the importer reaches an alias, as the trace has it */
const char *rdma_env_access(const struct rdma_env *env);

/* What hardware is absent, or NULL: nothing else is a reason to skip. */
const char *rdma_env_absent(void);

#endif /* RDMA_H */
