/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What tests of an HCA's misfortunes share. HCA0 is hca0 to QEMU.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef HCA_ENV_H
#define HCA_ENV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine.h"
#include "rdma.h"

#define HCA_ID	"hca0"

/**
 * struct hca_reader - a thread in which the peer reads all of the memory, always
 * @env: whose memory
 * @thread: the thread
 * @reads: how often it has done so
 * @stop: to be set for it to end
 * @ret: what a read ended with that failed
 */
struct hca_reader {
	struct rdma_env *env;
	pthread_t thread;
	atomic_int reads;
	atomic_bool stop;
	int ret;
};

/* Some reads are done when it returns. */
int hca_reader_start(struct hca_reader *r, struct rdma_env *env);
/* Waits for some more */
int hca_reader_flows(struct hca_reader *r);
/* Ends it. What a read has failed with */
int hca_reader_stop(struct hca_reader *r);
/* Waits until one fails, for whatever reason but wrong data */
int hca_reader_fails(struct hca_reader *r);

/* The RDMA device of @bdf: one that is made anew is another. 0: there is none */
uint64_t hca_which(const char *bdf);
/*
 * Waits until programs can use the RDMA device of @bdf, and it is not @old. RDMA
 * in the environment names it then: it may have another name than before.
 */
int hca_back(const char *bdf, uint64_t old);
/* Its driver's, bound anew */
int hca_rebind(const char *bdf);

/* -ESTALE unless whoever opens it now reads memory in VRAM, and in place */
int hca_in_place(size_t size);

#endif /* HCA_ENV_H */
