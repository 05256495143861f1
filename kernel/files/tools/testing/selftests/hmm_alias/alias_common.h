/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the hmm_alias tests and the verbs demo share: the ivgpu device, RC
 * connections over libibverbs, and process memory with a reference copy.
 *
 * Functions return 0 (or a count) or a negative errno, unless they say
 * otherwise.
 */
#ifndef ALIAS_COMMON_H
#define ALIAS_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>
#include <drm/ivgpu_drm.h>

#define MIB	(1024UL * 1024)

/* The exporter. */

/**
 * struct alias_gpu - an open ivgpu render node
 * @fd: the file
 * @bdf: PCI address, which survives unbinding; the node's name does not
 * @info: what GET_INFO said when it was opened
 */
struct alias_gpu {
	int fd;
	char bdf[32];
	struct drm_ivgpu_info info;
};

/* Number of ivshmem-plain devices on the PCI bus, bound or not. */
int alias_gpu_count(void);

/* @index counts in the order of PCI addresses. ENODEV: no such device. */
int alias_gpu_open(struct alias_gpu *gpu, unsigned int index);
void alias_gpu_close(struct alias_gpu *gpu);

int alias_gpu_bind(const char *bdf, bool bind);

/* Module parameters of ivgpu, as text without a newline. */
int alias_param_get(const char *name, char *buf, size_t size);
int alias_param_set(const char *name, const char *value);

/* Empties a file, of sysfs for instance, and writes @text. */
int alias_write(const char *path, const char *text);

/* The same for a file of tracefs. */
#define ALIAS_TRACE	"/sys/kernel/tracing/"
int alias_trace_write(const char *file, const char *text);

/* Rebinds @gpu with @name=@value in force and opens it again. */
int alias_gpu_rebind(struct alias_gpu *gpu, const char *name,
		     const char *value);

int alias_gpu_ioctl(const struct alias_gpu *gpu, unsigned long req, void *arg);

/* Returns the pages that are in VRAM afterwards. */
long alias_gpu_place(const struct alias_gpu *gpu, void *addr, size_t size,
		     uint32_t where);
int alias_gpu_fill(const struct alias_gpu *gpu, void *addr, size_t size,
		   uint64_t seed);
int alias_gpu_sum(const struct alias_gpu *gpu, void *addr, size_t size,
		  uint32_t flags, uint64_t *sum);
int alias_gpu_counters(const struct alias_gpu *gpu,
		       struct drm_ivgpu_counters *c);

/* What FILL and CHECKSUM do, on the CPU: words from @first on. */
void alias_pattern(void *buf, size_t size, uint64_t seed, uint64_t first);
uint64_t alias_sum(const void *buf, size_t size, uint64_t first);

/* The importer. */

/**
 * struct alias_addr - what one end of a connection must know of the other
 * @gid: where it is
 * @mtu: its active MTU, an enum ibv_mtu
 * @qpn: its queue pair
 * @psn: the first packet number it sends
 */
struct alias_addr {
	union ibv_gid gid;
	uint32_t mtu;
	uint32_t qpn;
	uint32_t psn;
};

/**
 * struct alias_end - one end of an RC connection, with a device of its own
 * @ctx: device
 * @pd: protection domain
 * @chan: completion channel, so that waiting leaves the CPU to the driver
 * @cq: completion queue of both directions
 * @qp: queue pair
 * @gid_index: which GID of the port @addr holds
 * @addr: to be handed to the other end
 */
struct alias_end {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *chan;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	int gid_index;
	struct alias_addr addr;
};

#define ALIAS_DEPTH	16	/* work requests that may be outstanding */

#define ALIAS_ACCESS							\
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |		\
	 IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_ATOMIC)

/*
 * Opens @name, or with NULL the first device whose RC transport does
 * on-demand paging. ENODEV: there is none.
 */
int alias_end_open(struct alias_end *end, const char *name);
void alias_end_close(struct alias_end *end);
int alias_end_connect(struct alias_end *end, const struct alias_addr *remote);
/* To be connected anew, with a new address; drops what is queued. */
int alias_end_reset(struct alias_end *end);

/* Registers on-demand memory that is aliased, not pinned. */
struct ibv_mr *alias_reg_odp(struct alias_end *end, void *addr, size_t size);

/*
 * ibv_advise_mr() of a range of an MR of @end. The library leaves it to its
 * provider, and that of rxe does not have it; the kernel does.
 */
int alias_advise(struct alias_end *end, enum ibv_advise_mr_advice advice,
		 uint32_t flags, struct ibv_mr *mr, void *addr, size_t len);

/**
 * struct alias_wr - one work request, local side and remote side
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
struct alias_wr {
	enum ibv_wr_opcode op;
	struct ibv_mr *mr;
	void *local;
	uint32_t len;
	uint64_t remote;
	uint32_t rkey;
	uint64_t a, b;
};

int alias_post(struct alias_end *end, const struct alias_wr *wr, uint64_t id);
int alias_post_recv(struct alias_end *end, struct ibv_mr *mr, void *local,
		    uint32_t len);
/*
 * Waits for one completion. Returns its enum ibv_wc_status, or -ETIMEDOUT; an
 * id of the work request that completed goes to @id unless NULL.
 */
int alias_wait(struct alias_end *end, uint64_t *id);
/* Posts and waits. Returns as alias_wait() does. */
int alias_run(struct alias_end *end, const struct alias_wr *wr);

#endif /* ALIAS_COMMON_H */
