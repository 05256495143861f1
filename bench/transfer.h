/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the rows of transfer.c share: memory that a device has and that an RDMA
 * peer reads and writes, and how a result is printed. Each function ends with
 * exit code 1 if something fails.
 */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"
#include "rdma.h"

#define STAGE		(8 * MIB)	/* what the peer has to move data to */

/**
 * struct transfer - the machine
 * @env: exporter, connection and the peer's memory; its @ref serves to compare
 * @ours: a kernel with aliases, which are allowed
 */
struct transfer {
	struct rdma_env env;
	bool ours;
};

/* How memory is registered. An MR that is pinned keeps it in RAM. */
enum registered { NOT, ON_DEMAND, PINNED };

/**
 * struct area - anonymous memory
 * @mem: aligned to 2 MiB
 * @size: of @mem
 * @map: what to munmap()
 * @map_size: size of @map
 * @mr: MR of all of it, or NULL
 */
struct area {
	unsigned char *mem;
	size_t size;
	void *map;
	size_t map_size;
	struct ibv_mr *mr;
};

/* Ends the program unless @ret is 0; @what failed. */
void must(int ret, const char *what);

/* @mem is not populated, unless @thp. */
void area_open(struct area *a, size_t size, bool thp);
void area_register(struct transfer *t, struct area *a, enum registered how);
void area_deregister(struct area *a);
/* Nothing else is in the device, or is so when it returns. */
void area_close(struct transfer *t, struct area *a);

/* One work request of the peer, between @remote and the beginning of its memory */
void peer_move(struct transfer *t, enum ibv_wr_opcode op, struct ibv_mr *mr,
	       void *remote, size_t len);
/* All of the area, in pieces */
void peer_move_all(struct transfer *t, enum ibv_wr_opcode op,
		   struct area *a, size_t piece);
/* What the peer has READ last is what a FILL with @seed has written there. */
void peer_check(struct transfer *t, size_t len, uint64_t seed, size_t first);

void gpu_add(struct transfer *t, void *addr, size_t size, uint64_t value);
/* Pages that have been moved until now, either way */
uint64_t pages_moved(struct transfer *t);

/* A result: one JSON object on a line */
void result_open(const char *row, const char *name, uint64_t n);
void result_value(const char *key, uint64_t value);
void result_values(const char *key, const uint64_t *values, int n);
void result_close(void);

/* The rows; what each measures is in the file that has it. */
void turns_f1(struct transfer *t);
void turns_f7(struct transfer *t);
void vram_f8(struct transfer *t);
void vram_f9(struct transfer *t);
void mr_f5(struct transfer *t);
void mr_f6(struct transfer *t);
void mr_f11(struct transfer *t);
void mr_f12(struct transfer *t);

#endif /* TRANSFER_H */
