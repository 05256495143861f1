/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two machines that run the same test: memory of each in VRAM, which the other
 * reaches by RDMA, and a connection by which they wait for each other. PAIR is 0
 * or 1.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef PAIR_ENV_H
#define PAIR_ENV_H

#include "rdma.h"

/* What one has to know of the other's memory */
struct pair_mem {
	struct rdma_addr addr;
	uint64_t va;
	uint32_t rkey;
};

/**
 * struct pair - one of two machines
 * @me: which
 * @sock: to the other one
 * @env: its memory, and as long as its ends are of use, a connection to itself
 * @end: its end of the connection to the other machine, in the PD of @env.own
 * @mr: of @buf, pinned
 * @buf: what it reads to and writes from, as large as @env.mem
 * @other: the other machine's
 */
struct pair {
	int me;
	int sock;
	struct rdma_env env;
	struct rdma_end end;
	struct ibv_mr *mr;
	unsigned char *buf;
	struct pair_mem other;
};

/* Why there is none here, or NULL */
const char *pair_absent(void);
int pair_open(struct pair *p, size_t size, bool consent);
void pair_close(struct pair *p);

/* Both have got here, and nothing has failed: else -EPIPE, sooner or later */
int pair_meet(struct pair *p);
/* The memory's contents are what pair_seed() gives for @me, in VRAM. */
int pair_fill(struct pair *p, int round);
uint64_t pair_seed(int machine, int round);

/* An RDMA request to the other machine's memory, all of it; as rdma_run() */
int pair_run(struct pair *p, enum ibv_wr_opcode op);

#endif /* PAIR_ENV_H */
