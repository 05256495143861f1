// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/rdma_user_ioctl_cmds.h>

#include "verbs.h"

/* Far beyond what emulated hardware needs; only a hang takes this long. */
#define WAIT_MS		60000

static bool odp_capable(struct ibv_context *ctx)
{
	const uint32_t need = IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_WRITE;
	struct ibv_device_attr_ex attr;

	if (ibv_query_device_ex(ctx, NULL, &attr))
		return false;
	return (attr.odp_caps.general_caps & IBV_ODP_SUPPORT) &&
	       (attr.odp_caps.per_transport_caps.rc_odp_caps & need) == need;
}

static struct ibv_context *open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *ctx = NULL;
	int i;

	for (i = 0; list && list[i] && !ctx; i++) {
		if (name && strcmp(name, ibv_get_device_name(list[i])))
			continue;
		ctx = ibv_open_device(list[i]);
		if (ctx && !odp_capable(ctx)) {
			ibv_close_device(ctx);
			ctx = NULL;
		}
	}
	if (list)
		ibv_free_device_list(list);
	return ctx;
}

/* An address that is routable on any lab network: IPv4 if there is one. */
static int find_gid(struct rdma_end *end, int count)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const union ibv_gid zero;
	union ibv_gid gid;
	int found = -ENOENT;
	int i;

	for (i = 0; i < count; i++) {
		if (ibv_query_gid(end->ctx, 1, i, &gid) ||
		    !memcmp(&gid, &zero, sizeof(gid)))
			continue;
		if (found >= 0 && memcmp(&gid, mapped, sizeof(mapped)))
			continue;
		found = i;
		end->addr.gid = gid;
		if (!memcmp(&gid, mapped, sizeof(mapped)))
			break;
	}
	end->gid_index = found;
	return found < 0 ? found : 0;
}

static int end_init(struct rdma_end *end)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = RDMA_ACCESS,
	};

	return -ibv_modify_qp(end->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			      IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

/* The driver's name is that of its library, which the kernel tells nobody. */
static void end_driver(struct rdma_end *end)
{
	char path[IBV_SYSFS_PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/device/class",
		 end->ctx->device->ibdev_path);
	end->cpu = access(path, F_OK);
	end->faults_write = !strncmp(end->ctx->device->name, "mlx5_", 5);
}

static int end_create_qp(struct rdma_end *end)
{
	struct ibv_qp_init_attr_ex init = {
		.pd = end->pd,
		.send_cq = end->cq,
		.recv_cq = end->cq,
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
		.cap = {
			.max_send_wr = RDMA_DEPTH,
			.max_recv_wr = RDMA_DEPTH,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
		.comp_mask = IBV_QP_INIT_ATTR_PD |
			     IBV_QP_INIT_ATTR_SEND_OPS_FLAGS,
		.send_ops_flags = IBV_QP_EX_WITH_RDMA_READ |
				  IBV_QP_EX_WITH_RDMA_WRITE |
				  IBV_QP_EX_WITH_SEND |
				  IBV_QP_EX_WITH_ATOMIC_CMP_AND_SWP |
				  IBV_QP_EX_WITH_ATOMIC_FETCH_AND_ADD |
				  IBV_QP_EX_WITH_ATOMIC_WRITE,
	};

	end->qp = ibv_create_qp_ex(end->ctx, &init);
	end->atomic_write = end->qp;
	if (!end->qp && errno == EOPNOTSUPP) {
		init.send_ops_flags &= ~IBV_QP_EX_WITH_ATOMIC_WRITE;
		end->qp = ibv_create_qp_ex(end->ctx, &init);
	}
	if (!end->qp)
		return -errno;
	end->addr.qpn = end->qp->qp_num;
	end->addr.psn = 0x1000 + (end->qp->qp_num & 0xff);
	return end_init(end);
}

static int end_create(struct rdma_end *end)
{
	struct ibv_port_attr port;
	int ret;

	ret = -ibv_query_port(end->ctx, 1, &port);
	if (ret)
		return ret;
	ret = find_gid(end, port.gid_tbl_len);
	if (ret)
		return ret;

	if (!end->twin)
		end->pd = ibv_alloc_pd(end->ctx);
	if (!end->pd)
		return -errno;
	end->chan = ibv_create_comp_channel(end->ctx);
	if (!end->chan)
		return -errno;
	end->cq = ibv_create_cq(end->ctx, 4 * RDMA_DEPTH, NULL, end->chan, 0);
	if (!end->cq)
		return -errno;
	end->addr.mtu = port.active_mtu;
	end->addr.lid = port.lid;
	return end_create_qp(end);
}

int rdma_end_open(struct rdma_end *end, const char *name)
{
	int ret;

	memset(end, 0, sizeof(*end));
	end->ctx = open_device(name ? name : getenv("RDMA"));
	if (!end->ctx)
		return -ENODEV;
	end_driver(end);
	ret = end_create(end);
	if (ret)
		rdma_end_close(end);
	return ret;
}

int rdma_end_twin(struct rdma_end *twin, const struct rdma_end *end)
{
	int ret;

	*twin = (struct rdma_end) {
		.ctx = end->ctx,
		.pd = end->pd,
		.twin = true,
		.cpu = end->cpu,
		.faults_write = end->faults_write,
	};
	ret = end_create(twin);
	if (ret)
		rdma_end_close(twin);
	return ret;
}

int rdma_peer_open(struct rdma_end *end)
{
	return rdma_end_open(end, getenv("RDMA_PEER"));
}

void rdma_end_close(struct rdma_end *end)
{
	if (end->qp)
		ibv_destroy_qp(end->qp);
	if (end->cq)
		ibv_destroy_cq(end->cq);
	if (end->chan)
		ibv_destroy_comp_channel(end->chan);
	if (end->pd && !end->twin)
		ibv_dealloc_pd(end->pd);
	if (end->ctx && !end->twin)
		ibv_close_device(end->ctx);
	memset(end, 0, sizeof(*end));
}

int rdma_end_connect(struct rdma_end *end, const struct rdma_addr *remote)
{
	uint32_t mtu = remote->mtu < end->addr.mtu ? remote->mtu :
						     end->addr.mtu;
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = mtu,
		.dest_qp_num = remote->qpn,
		.rq_psn = remote->psn,
		.max_dest_rd_atomic = RDMA_DEPTH,
		.min_rnr_timer = 12,
		.ah_attr = {
			.dlid = remote->lid,
			.is_global = 1,
			.port_num = 1,
			.grh = {
				.dgid = remote->gid,
				.sgid_index = end->gid_index,
				.hop_limit = 64,
			},
		},
	};
	/* 4 s per try: an emulated CPU may well not answer in a tenth of it. */
	struct ibv_qp_attr rts = {
		.qp_state = IBV_QPS_RTS,
		.sq_psn = end->addr.psn,
		.timeout = 20,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = RDMA_DEPTH,
	};
	int ret;

	ret = -ibv_modify_qp(end->qp, &rtr, IBV_QP_STATE | IBV_QP_AV |
			     IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
			     IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
			     IBV_QP_MIN_RNR_TIMER);
	if (ret)
		return ret;
	return -ibv_modify_qp(end->qp, &rts, IBV_QP_STATE | IBV_QP_SQ_PSN |
			      IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT |
			      IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC);
}

/*
 * A queue pair that has failed may still be on its way to the error state, and
 * would get there after a modify to RESET. Destroying it waits.
 */
int rdma_end_reset(struct rdma_end *end)
{
	struct ibv_wc wc;
	int ret;

	ret = -ibv_destroy_qp(end->qp);
	if (ret)
		return ret;
	end->qp = NULL;
	while (ibv_poll_cq(end->cq, 1, &wc) > 0)
		;
	return end_create_qp(end);
}

int rdma_connect(struct rdma_end *a, struct rdma_end *b)
{
	int ret = rdma_end_connect(a, &b->addr);

	return ret ? ret : rdma_end_connect(b, &a->addr);
}

int rdma_reconnect(struct rdma_end *a, struct rdma_end *b)
{
	int ret = rdma_end_reset(a);

	if (!ret)
		ret = rdma_end_reset(b);
	return ret ? ret : rdma_connect(a, b);
}

int rdma_use_srq(struct rdma_end *own, struct rdma_end *peer, uint32_t max_wr,
		 struct ibv_srq **srq)
{
	struct ibv_srq_init_attr srq_init = {
		.attr = { .max_wr = max_wr, .max_sge = 1 },
	};
	struct ibv_qp_init_attr init = {
		.send_cq = own->cq,
		.recv_cq = own->cq,
		.qp_type = IBV_QPT_RC,
		.cap = { .max_send_wr = 4, .max_send_sge = 1 },
	};
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = RDMA_ACCESS,
	};
	int ret;

	*srq = ibv_create_srq(own->pd, &srq_init);
	if (!*srq)
		return -errno;
	init.srq = *srq;
	ibv_destroy_qp(own->qp);
	own->qp = ibv_create_qp(own->pd, &init);
	if (!own->qp)
		return -errno;
	own->addr.qpn = own->qp->qp_num;
	ret = -ibv_modify_qp(own->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			     IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
	if (!ret)
		ret = rdma_end_reset(peer);
	return ret ? ret : rdma_connect(own, peer);
}

int rdma_post_srq(struct ibv_srq *srq, struct ibv_mr *mr, void *addr,
		  uint32_t len, uint64_t id)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)addr,
		.length = len,
		.lkey = mr->lkey,
	};
	struct ibv_recv_wr wr = {
		.wr_id = id,
		.sg_list = &sge,
		.num_sge = 1,
	}, *bad;

	return -ibv_post_srq_recv(srq, &wr, &bad);
}

struct ibv_mr *rdma_reg_odp(struct rdma_end *end, void *addr, size_t size)
{
	return ibv_reg_mr(end->pd, addr, size,
			  RDMA_ACCESS | IBV_ACCESS_ON_DEMAND);
}

int rdma_advise(struct rdma_end *end, enum ibv_advise_mr_advice advice,
		uint32_t flags, struct ibv_mr *mr, void *addr, size_t len)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)addr,
		.length = len,
		.lkey = mr->lkey,
	};
	struct {
		struct ib_uverbs_ioctl_hdr hdr;
		struct ib_uverbs_attr attrs[4];
	} cmd = {
		.hdr = {
			.length = sizeof(cmd),
			.object_id = UVERBS_OBJECT_MR,
			.method_id = UVERBS_METHOD_ADVISE_MR,
			.num_attrs = 4,
			.driver_id = RDMA_DRIVER_RXE,
		},
		.attrs = { {
			.attr_id = UVERBS_ATTR_ADVISE_MR_PD_HANDLE,
			.flags = UVERBS_ATTR_F_MANDATORY,
			.data = end->pd->handle,
		}, {
			.attr_id = UVERBS_ATTR_ADVISE_MR_ADVICE,
			.flags = UVERBS_ATTR_F_MANDATORY,
			.len = sizeof(uint64_t),
			.data = advice,
		}, {
			.attr_id = UVERBS_ATTR_ADVISE_MR_FLAGS,
			.flags = UVERBS_ATTR_F_MANDATORY,
			.len = sizeof(uint32_t),
			.data = flags,
		}, {
			.attr_id = UVERBS_ATTR_ADVISE_MR_SGE_LIST,
			.flags = UVERBS_ATTR_F_MANDATORY,
			.len = sizeof(sge),
			.data = (uintptr_t)&sge,
		} },
	};

	int ret = ibv_advise_mr(end->pd, advice, flags, &sge, 1);

	if (ret != EOPNOTSUPP)
		return -ret;
	return ioctl(end->ctx->cmd_fd, RDMA_VERBS_IOCTL, &cmd) ? -errno : 0;
}

static int post_atomic_write(struct rdma_end *end, const struct rdma_wr *wr,
			     uint64_t id)
{
	struct ibv_qp_ex *qpx = ibv_qp_to_qp_ex(end->qp);

	ibv_wr_start(qpx);
	qpx->wr_id = id;
	qpx->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_atomic_write(qpx, wr->rkey, wr->remote, &wr->a);
	return -ibv_wr_complete(qpx);
}

int rdma_post(struct rdma_end *end, const struct rdma_wr *wr, uint64_t id)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)wr->local,
		.length = wr->len,
		.lkey = wr->mr ? wr->mr->lkey : 0,
	};
	struct ibv_send_wr send = {
		.wr_id = id,
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = wr->op,
	}, *bad;

	switch (wr->op) {
	case IBV_WR_ATOMIC_WRITE:
		if (!end->atomic_write)
			return -EOPNOTSUPP;
		return post_atomic_write(end, wr, id);
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		send.wr.atomic.remote_addr = wr->remote;
		send.wr.atomic.rkey = wr->rkey;
		send.wr.atomic.compare_add = wr->a;
		send.wr.atomic.swap = wr->b;
		break;
	default:
		send.wr.rdma.remote_addr = wr->remote;
		send.wr.rdma.rkey = wr->rkey;
	}
	return -ibv_post_send(end->qp, &send, &bad);
}

int rdma_post_recv(struct rdma_end *end, struct ibv_mr *mr, void *local,
		   uint32_t len)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)local,
		.length = len,
		.lkey = mr->lkey,
	};
	struct ibv_recv_wr wr = {
		.sg_list = &sge,
		.num_sge = 1,
	}, *bad;

	return -ibv_post_recv(end->qp, &wr, &bad);
}

static void *dereg_run(void *arg)
{
	struct rdma_dereg *dereg = arg;

	dereg->ret = ibv_dereg_mr(dereg->mr);
	dereg->done = 1;
	return NULL;
}

int rdma_dereg_start(struct rdma_dereg *dereg, struct ibv_mr *mr)
{
	*dereg = (struct rdma_dereg) { .mr = mr };
	return -pthread_create(&dereg->thread, NULL, dereg_run, dereg);
}

int rdma_dereg_end(struct rdma_dereg *dereg)
{
	int ret = pthread_join(dereg->thread, NULL);

	return ret ? -ret : dereg->ret;
}

/* Polls before and after arming, so that no completion slips between. */
int rdma_wait(struct rdma_end *end, uint64_t *id)
{
	struct pollfd pfd = { .fd = end->chan->fd, .events = POLLIN };
	struct ibv_cq *cq;
	struct ibv_wc wc;
	void *context;
	int armed = 0;
	int n;

	while (!(n = ibv_poll_cq(end->cq, 1, &wc))) {
		if (!armed) {
			if (ibv_req_notify_cq(end->cq, 0))
				return -EIO;
			armed = 1;
			continue;
		}
		n = poll(&pfd, 1, WAIT_MS);
		if (!n)
			return -ETIMEDOUT;
		if (n < 0)
			return -errno;
		if (ibv_get_cq_event(end->chan, &cq, &context))
			return -errno;
		ibv_ack_cq_events(cq, 1);
		armed = 0;
	}
	if (n < 0)
		return -EIO;
	if (id)
		*id = wc.wr_id;
	return wc.status;
}

int rdma_run(struct rdma_end *end, const struct rdma_wr *wr)
{
	int ret = rdma_post(end, wr, 0);

	return ret ? ret : rdma_wait(end, NULL);
}

int rdma_bind_mw(struct rdma_end *end, struct ibv_mr *mr, struct ibv_mw *mw,
		 uint64_t addr, uint64_t len, unsigned int access)
{
	struct ibv_send_wr wr = {
		.opcode = IBV_WR_BIND_MW,
		.bind_mw = {
			.mw = mw,
			.rkey = ibv_inc_rkey(mw->rkey),
			.bind_info = {
				.mr = mr,
				.addr = addr,
				.length = len,
				.mw_access_flags = access,
			},
		},
	}, *bad;
	int ret = -ibv_post_send(end->qp, &wr, &bad);

	if (!ret)
		ret = rdma_wait(end, NULL);
	if (!ret)
		mw->rkey = wr.bind_mw.rkey;
	return ret;
}
