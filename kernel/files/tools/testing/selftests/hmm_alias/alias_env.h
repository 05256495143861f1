/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every test needs: an exporter, a connection, memory that an RDMA peer
 * reaches through an on-demand MR, and a reference copy of its contents.
 */
#ifndef ALIAS_ENV_H
#define ALIAS_ENV_H

#include "alias_common.h"

/**
 * struct alias_env - the environment of a test
 * @gpu: the exporter
 * @own: the end that owns the memory
 * @peer: the other end, with pinned memory
 * @stage: the peer's memory, @size bytes
 * @stage_mr: its MR, of @peer
 * @stage_own_mr: the same as an MR of @own
 * @map: what to munmap() of the mapping that @mem is in
 * @map_size: size of @map
 * @mem: the memory under test, aligned to 2 MiB
 * @ref: what @mem must contain
 * @size: size of @mem
 * @mr: MR of @mem, on demand, of @own
 * @base: counters at alias_env_mark()
 */
struct alias_env {
	struct alias_gpu gpu;
	struct alias_end own;
	struct alias_end peer;
	unsigned char *stage;
	struct ibv_mr *stage_mr;
	struct ibv_mr *stage_own_mr;
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
int alias_env_open(struct alias_env *env, size_t size, bool consent, bool thp);
void alias_env_close(struct alias_env *env);

/* After an error completion: both ends back in working order. */
int alias_env_reconnect(struct alias_env *env);

size_t alias_pages(size_t size);

/*
 * Anonymous memory aligned to 2 MiB, with or without huge pages. @map and
 * @map_size are what to munmap(). NULL on error.
 */
void *alias_map(size_t size, bool thp, void **map, size_t *map_size);

/* The engine fills all of @mem; so does the CPU @ref. All must be in VRAM. */
int alias_env_fill(struct alias_env *env, uint64_t seed);

/*
 * The peer READs, or WRITEs what @seed gives, @len bytes at @off of @mem, with
 * its own buffer at the same offset. Returns an enum ibv_wc_status, or
 * -ETIMEDOUT and the like; -EILSEQ if what was READ is not what @ref says, or
 * if a READ wrote beyond its length. A successful WRITE changes @ref.
 */
int alias_env_read(struct alias_env *env, size_t off, size_t len);
int alias_env_write(struct alias_env *env, size_t off, size_t len,
		    uint64_t seed);

/* -EILSEQ unless the CPU sees @ref in the range; migrates what is in VRAM. */
int alias_env_cpu(struct alias_env *env, size_t off, size_t len);

/* -EILSEQ unless the engine sees @ref; -ENXIO if a page is not in VRAM. */
int alias_env_vram(struct alias_env *env, size_t off, size_t len);

int alias_env_mark(struct alias_env *env);
/* The differences to alias_env_mark(); as they are where it may shrink. */
int alias_env_delta(struct alias_env *env, struct drm_ivgpu_counters *d);

/*
 * Number of events @event that contain @word, a whole key=value, and are about
 * the page at @addr unless NULL: some events know no address. The last one goes
 * to @line unless NULL.
 */
int alias_trace_find(const void *addr, const char *event, const char *word,
		     char *line, size_t size);

/* What hardware is absent, or NULL: nothing else is a reason to skip. */
const char *alias_env_absent(void);

#endif /* ALIAS_ENV_H */
