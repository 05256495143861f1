/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An exporter of any driver, GPU0, and an RDMA device that reads and writes
 * what is on it, by an on-demand memory region. In the environment, RDMA is
 * the name of the device that has the region, and RDMA_PEER that of its peer.
 * Without them both are the first RDMA device that does on-demand paging.
 *
 * An exporter may refuse at first, for instance because it makes room in its
 * BAR when it is asked. The page is in RAM then, and is moved and asked for
 * again.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef EXPORT_ENV_H
#define EXPORT_ENV_H

#include <pthread.h>

#include "exporter.h"
#include "mem.h"
#include "verbs.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)

/**
 * struct export_env - the environment of a test
 * @exp: the exporter
 * @own: the end that owns the memory
 * @peer: the other end, with pinned memory
 * @mr: MR of @mem, on demand, of @own
 * @stage_mr: MR of @stage, of @peer
 * @mem: the memory under test, SIZE bytes, aligned to 2 MiB
 * @ref: what @mem must contain
 * @stage: the peer's memory
 * @map: what to munmap() of the mapping that @mem is in
 * @map_size: size of @map
 */
struct export_env {
	struct exporter exp;
	struct rdma_end own, peer;
	struct ibv_mr *mr, *stage_mr;
	unsigned char *mem, *ref, *stage;
	void *map;
	size_t map_size;
};

/* Opens everything. @consent is put in force, and all is on the exporter. */
int export_env_open(struct export_env *env, bool consent, bool thp);
void export_env_close(struct export_env *env);
/* The RDMA part alone, and its opposite */
int export_env_connect(struct export_env *env);
void export_env_disconnect(struct export_env *env);

/* All of it on the exporter, with contents that @ref has as well */
int export_fill(struct export_env *env, uint64_t seed);
/* The same, and if there is consent, until the exporter does not refuse */
int export_fill_as(struct export_env *env, bool consent, uint64_t seed);

/*
 * The peer does @op. Returns an enum ibv_wc_status, or -ETIMEDOUT and the like.
 */
int peer_run(struct export_env *env, enum ibv_wr_opcode op, size_t off,
	     size_t len);
/* The peer READs; -EILSEQ if that is not what @ref says. */
int peer_read(struct export_env *env, size_t off, size_t len);
/* The peer WRITEs what @seed gives, to @ref as well. */
int peer_write(struct export_env *env, size_t off, size_t len, uint64_t seed);

/**
 * struct traffic - transfers of pieces one after the other, each checked
 * @env: of what
 * @thread: who
 * @from: where they begin
 * @to: where they end
 * @reads: only READs; else every other one is a WRITE
 * @stop: told to
 * @count: of transfers done
 * @error: that ended them, as peer_run() returns it
 */
struct traffic {
	struct export_env *env;
	pthread_t thread;
	size_t from, to;
	bool reads;
	bool stop;
	unsigned long count;
	int error;
};

int traffic_start(struct traffic *t, struct export_env *env, size_t from,
		  size_t to);
int traffic_start_reads(struct traffic *t, struct export_env *env);
/* Some more of them have been done when it returns. */
int traffic_flows(struct traffic *t);
/* @error */
int traffic_stop(struct traffic *t);

#endif /* EXPORT_ENV_H */
