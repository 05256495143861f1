/* SPDX-License-Identifier: GPL-2.0 */
/* DMA that does not end by itself, in a thread of its own. */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "dma.h"

/**
 * struct dma_traffic - reads pieces of the first half of the memory and writes
 * pieces of the second one
 * @env: the memory and the importer
 * @verify: compare what is read with @ref, and write to it what is written;
 *	else it does not matter what is moved
 * @thread: the thread
 * @running: there is one
 * @stop: it is to end
 * @count: transfers that have ended well
 * @off: of the last transfer
 * @seed: of its data
 * @error: how it ended
 */
struct dma_traffic {
	struct dma_env *env;
	bool verify;
	pthread_t thread;
	bool running;
	bool stop;
	unsigned long count;
	size_t off;
	unsigned long seed;
	int error;
};

/* Returns when some transfers have ended; -errno of the one that failed. */
int dma_traffic_start(struct dma_traffic *t, struct dma_env *env, bool verify);
/* Some more transfers have ended; -errno of the one that failed. */
int dma_traffic_flows(struct dma_traffic *t);
/* Both return how the last transfer ended; the second one lets it fail first. */
int dma_traffic_stop(struct dma_traffic *t);
int dma_traffic_fails(struct dma_traffic *t);

#endif /* TRAFFIC_H */
