/* SPDX-License-Identifier: GPL-2.0 */
/*
 * RC connections over libibverbs, between two ends that may be in one process.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef VERBS_H
#define VERBS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>

/**
 * struct rdma_addr - what one end of a connection must know of the other
 * @gid: where it is
 * @lid: the same on InfiniBand, else 0
 * @mtu: its active MTU, an enum ibv_mtu
 * @qpn: its queue pair
 * @psn: the first packet number it sends
 */
struct rdma_addr {
	union ibv_gid gid;
	uint16_t lid;
	uint32_t mtu;
	uint32_t qpn;
	uint32_t psn;
};

/**
 * struct rdma_end - one end of an RC connection, with a device of its own
 * @ctx: device
 * @pd: protection domain
 * @chan: completion channel, so that waiting leaves the CPU to the driver
 * @cq: completion queue of both directions
 * @qp: queue pair
 * @atomic_write: @qp has ATOMIC WRITE, which libmlx5 does not offer
 * @cpu: the device has no DMA engine: the CPU copies, as in rxe
 * @twin: @ctx and @pd belong to another end
 * @faults_write: a page fault is for writing if the MR is writable, whatever
 *	the access is: mlx5 is not told
 * @gid_index: which GID of the port @addr holds
 * @addr: to be handed to the other end
 */
struct rdma_end {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *chan;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	bool atomic_write;
	bool cpu;
	bool twin;
	bool faults_write;
	int gid_index;
	struct rdma_addr addr;
};

#define RDMA_DEPTH	16	/* work requests that may be outstanding */

#define RDMA_ACCESS							\
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |		\
	 IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

/*
 * Opens @name, or with NULL what RDMA in the environment names, or else the
 * first device whose RC transport does on-demand paging. ENODEV: there is none.
 */
int rdma_end_open(struct rdma_end *end, const char *name);
/* The other end of a connection: a device of its own if RDMA_PEER names one */
int rdma_peer_open(struct rdma_end *end);
void rdma_end_close(struct rdma_end *end);
/*
 * Another end of the same device and PD, so that MRs of @end are its own as well.
 * It is closed before @end.
 */
int rdma_end_twin(struct rdma_end *twin, const struct rdma_end *end);
int rdma_end_connect(struct rdma_end *end, const struct rdma_addr *remote);
/* To be connected anew, with a new address; drops what is queued. */
int rdma_end_reset(struct rdma_end *end);

/* Two ends of this process; again, after an error completion, with new ones */
int rdma_connect(struct rdma_end *a, struct rdma_end *b);
int rdma_reconnect(struct rdma_end *a, struct rdma_end *b);
/*
 * Connects them anew, @own with a QP that receives from a new @srq. It is the
 * caller's, also after an error, and has to outlive the QP.
 */
int rdma_use_srq(struct rdma_end *own, struct rdma_end *peer, uint32_t max_wr,
		 struct ibv_srq **srq);
int rdma_post_srq(struct ibv_srq *srq, struct ibv_mr *mr, void *addr,
		  uint32_t len, uint64_t id);

/* Registers on-demand memory that is aliased, not pinned. */
struct ibv_mr *rdma_reg_odp(struct rdma_end *end, void *addr, size_t size);

/**
 * struct rdma_dereg - ibv_dereg_mr() in a thread of its own
 * @mr: of this one
 * @thread: the thread
 * @done: it has returned
 * @ret: what it has returned
 */
struct rdma_dereg {
	struct ibv_mr *mr;
	pthread_t thread;
	atomic_int done;
	int ret;
};

int rdma_dereg_start(struct rdma_dereg *dereg, struct ibv_mr *mr);
/* Waits for it. Returns @ret. */
int rdma_dereg_end(struct rdma_dereg *dereg);

/*
 * ibv_advise_mr() of a range of an MR of @end. The provider of rxe does not have
 * it; the kernel does.
 */
int rdma_advise(struct rdma_end *end, enum ibv_advise_mr_advice advice,
		uint32_t flags, struct ibv_mr *mr, void *addr, size_t len);

/**
 * struct rdma_wr - one work request, local side and remote side
 * @op: IBV_WR_*
 * @mr: local memory region
 * @local: local address
 * @len: bytes
 * @remote: remote address (one-sided operations)
 * @rkey: remote key (one-sided operations)
 * @a: compare value of a CMP_AND_SWP, addend of a FETCH_AND_ADD, value of an
 *	ATOMIC_WRITE
 * @b: swap value of a CMP_AND_SWP
 */
struct rdma_wr {
	enum ibv_wr_opcode op;
	struct ibv_mr *mr;
	void *local;
	uint32_t len;
	uint64_t remote;
	uint32_t rkey;
	uint64_t a, b;
};

int rdma_post(struct rdma_end *end, const struct rdma_wr *wr, uint64_t id);
int rdma_post_recv(struct rdma_end *end, struct ibv_mr *mr, void *local,
		   uint32_t len);
/*
 * Waits for one completion. Returns its enum ibv_wc_status, or -ETIMEDOUT; an
 * id of the work request that completed goes to @id unless NULL.
 */
int rdma_wait(struct rdma_end *end, uint64_t *id);
/* Posts and waits. Returns as rdma_wait() does. */
int rdma_run(struct rdma_end *end, const struct rdma_wr *wr);
/*
 * Binds a memory window to a part of an MR. Returns as rdma_wait() does. rxe
 * completes a failed bind as flushed, so the status says no more than that.
 */
int rdma_bind_mw(struct rdma_end *end, struct ibv_mr *mr, struct ibv_mw *mw,
		 uint64_t addr, uint64_t len, unsigned int access);

#endif /* VERBS_H */
