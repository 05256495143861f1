// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/rdma_user_ioctl_cmds.h>

#include "alias_common.h"

#define PCI_DEVICES	"/sys/bus/pci/devices/"
#define PCI_DRIVER	"/sys/bus/pci/drivers/ivgpu/"
#define PARAMETERS	"/sys/module/ivgpu/parameters/"

/* Far beyond what emulated hardware needs; only a hang takes this long. */
#define WAIT_MS		60000

static int read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, buf, size - 1);
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return len;
	while (len && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	return 0;
}

int alias_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static bool pci_is_ivshmem(const char *dir)
{
	char path[256], vendor[16], device[16];

	snprintf(path, sizeof(path), "%s/vendor", dir);
	if (read_text(path, vendor, sizeof(vendor)))
		return false;
	snprintf(path, sizeof(path), "%s/device", dir);
	if (read_text(path, device, sizeof(device)))
		return false;
	return !strcmp(vendor, "0x1af4") && !strcmp(device, "0x1110");
}

/* Finds device @index, counting by PCI address; returns how many there are. */
static int find_gpu(unsigned int index, char *bdf, size_t size)
{
	unsigned int count = 0;
	glob_t g;
	size_t i;

	if (glob(PCI_DEVICES "*", 0, NULL, &g))
		return 0;
	for (i = 0; i < g.gl_pathc; i++) {
		if (!pci_is_ivshmem(g.gl_pathv[i]))
			continue;
		if (count++ == index)
			snprintf(bdf, size, "%s",
				 g.gl_pathv[i] + strlen(PCI_DEVICES));
	}
	globfree(&g);
	return count;
}

int alias_gpu_count(void)
{
	char bdf[32];

	return find_gpu(0, bdf, sizeof(bdf));
}

static int gpu_open_bdf(struct alias_gpu *gpu)
{
	char path[128], node[300];
	glob_t g;

	gpu->fd = -1;
	snprintf(path, sizeof(path), PCI_DEVICES "%s/drm/renderD*", gpu->bdf);
	if (glob(path, 0, NULL, &g))
		return -ENODEV;
	snprintf(node, sizeof(node), "/dev/dri/%s",
		 strrchr(g.gl_pathv[0], '/') + 1);
	globfree(&g);

	gpu->fd = open(node, O_RDWR | O_CLOEXEC);
	if (gpu->fd < 0)
		return -errno;
	return alias_gpu_ioctl(gpu, DRM_IOCTL_IVGPU_GET_INFO, &gpu->info);
}

int alias_gpu_open(struct alias_gpu *gpu, unsigned int index)
{
	gpu->fd = -1;
	if (find_gpu(index, gpu->bdf, sizeof(gpu->bdf)) <= (int)index)
		return -ENODEV;
	return gpu_open_bdf(gpu);
}

void alias_gpu_close(struct alias_gpu *gpu)
{
	if (gpu->fd >= 0)
		close(gpu->fd);
	gpu->fd = -1;
}

int alias_gpu_bind(const char *bdf, bool bind)
{
	return alias_write(bind ? PCI_DRIVER "bind" : PCI_DRIVER "unbind", bdf);
}

int alias_param_get(const char *name, char *buf, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	return read_text(path, buf, size);
}

int alias_param_set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	return alias_write(path, value);
}

int alias_trace_write(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), ALIAS_TRACE "%s", file);
	return alias_write(path, text);
}

int alias_gpu_rebind(struct alias_gpu *gpu, const char *name,
		     const char *value)
{
	int ret;

	alias_gpu_close(gpu);
	ret = alias_param_set(name, value);
	if (!ret)
		ret = alias_gpu_bind(gpu->bdf, false);
	if (!ret)
		ret = alias_gpu_bind(gpu->bdf, true);
	if (!ret)
		ret = gpu_open_bdf(gpu);
	return ret;
}

int alias_gpu_ioctl(const struct alias_gpu *gpu, unsigned long req, void *arg)
{
	return ioctl(gpu->fd, req, arg) ? -errno : 0;
}

long alias_gpu_place(const struct alias_gpu *gpu, void *addr, size_t size,
		     uint32_t where)
{
	struct drm_ivgpu_place place = {
		.addr = (uintptr_t)addr,
		.size = size,
		.where = where,
	};
	int ret = alias_gpu_ioctl(gpu, DRM_IOCTL_IVGPU_PLACE, &place);

	return ret ? ret : (long)place.resident;
}

int alias_gpu_fill(const struct alias_gpu *gpu, void *addr, size_t size,
		   uint64_t seed)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_FILL,
		.dst = (uintptr_t)addr,
		.size = size,
		.value = seed,
	};

	return alias_gpu_ioctl(gpu, DRM_IOCTL_IVGPU_JOB, &job);
}

int alias_gpu_sum(const struct alias_gpu *gpu, void *addr, size_t size,
		  uint32_t flags, uint64_t *sum)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_CHECKSUM,
		.flags = flags,
		.dst = (uintptr_t)addr,
		.size = size,
	};
	int ret = alias_gpu_ioctl(gpu, DRM_IOCTL_IVGPU_JOB, &job);

	*sum = job.result;
	return ret;
}

int alias_gpu_counters(const struct alias_gpu *gpu,
		       struct drm_ivgpu_counters *c)
{
	return alias_gpu_ioctl(gpu, DRM_IOCTL_IVGPU_COUNTERS, c);
}

void alias_pattern(void *buf, size_t size, uint64_t seed, uint64_t first)
{
	uint64_t *word = buf;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		word[i] = ivgpu_pattern(seed, first + i);
}

uint64_t alias_sum(const void *buf, size_t size, uint64_t first)
{
	const uint64_t *word = buf;
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < size / sizeof(*word); i++)
		sum += word[i] * (2 * (first + i) + 1);
	return sum;
}

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
static int find_gid(struct alias_end *end, int count)
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

static int end_init(struct alias_end *end)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = ALIAS_ACCESS,
	};

	return -ibv_modify_qp(end->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			      IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

static int end_create_qp(struct alias_end *end)
{
	struct ibv_qp_init_attr_ex init = {
		.pd = end->pd,
		.send_cq = end->cq,
		.recv_cq = end->cq,
		.qp_type = IBV_QPT_RC,
		.sq_sig_all = 1,
		.cap = {
			.max_send_wr = ALIAS_DEPTH,
			.max_recv_wr = ALIAS_DEPTH,
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
	if (!end->qp)
		return -errno;
	end->addr.qpn = end->qp->qp_num;
	end->addr.psn = 0x1000 + (end->qp->qp_num & 0xff);
	return end_init(end);
}

static int end_create(struct alias_end *end)
{
	struct ibv_port_attr port;
	int ret;

	ret = -ibv_query_port(end->ctx, 1, &port);
	if (ret)
		return ret;
	ret = find_gid(end, port.gid_tbl_len);
	if (ret)
		return ret;

	end->pd = ibv_alloc_pd(end->ctx);
	if (!end->pd)
		return -errno;
	end->chan = ibv_create_comp_channel(end->ctx);
	if (!end->chan)
		return -errno;
	end->cq = ibv_create_cq(end->ctx, 4 * ALIAS_DEPTH, NULL, end->chan, 0);
	if (!end->cq)
		return -errno;
	end->addr.mtu = port.active_mtu;
	return end_create_qp(end);
}

int alias_end_open(struct alias_end *end, const char *name)
{
	int ret;

	memset(end, 0, sizeof(*end));
	end->ctx = open_device(name);
	if (!end->ctx)
		return -ENODEV;
	ret = end_create(end);
	if (ret)
		alias_end_close(end);
	return ret;
}

void alias_end_close(struct alias_end *end)
{
	if (end->qp)
		ibv_destroy_qp(end->qp);
	if (end->cq)
		ibv_destroy_cq(end->cq);
	if (end->chan)
		ibv_destroy_comp_channel(end->chan);
	if (end->pd)
		ibv_dealloc_pd(end->pd);
	if (end->ctx)
		ibv_close_device(end->ctx);
	memset(end, 0, sizeof(*end));
}

int alias_end_connect(struct alias_end *end, const struct alias_addr *remote)
{
	uint32_t mtu = remote->mtu < end->addr.mtu ? remote->mtu :
						     end->addr.mtu;
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = mtu,
		.dest_qp_num = remote->qpn,
		.rq_psn = remote->psn,
		.max_dest_rd_atomic = ALIAS_DEPTH,
		.min_rnr_timer = 12,
		.ah_attr = {
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
		.max_rd_atomic = ALIAS_DEPTH,
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
int alias_end_reset(struct alias_end *end)
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

struct ibv_mr *alias_reg_odp(struct alias_end *end, void *addr, size_t size)
{
	return ibv_reg_mr(end->pd, addr, size,
			  ALIAS_ACCESS | IBV_ACCESS_ON_DEMAND);
}

int alias_advise(struct alias_end *end, enum ibv_advise_mr_advice advice,
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

	return ioctl(end->ctx->cmd_fd, RDMA_VERBS_IOCTL, &cmd) ? -errno : 0;
}

static int post_atomic_write(struct alias_end *end, const struct alias_wr *wr,
			     uint64_t id)
{
	struct ibv_qp_ex *qpx = ibv_qp_to_qp_ex(end->qp);

	ibv_wr_start(qpx);
	qpx->wr_id = id;
	qpx->wr_flags = IBV_SEND_SIGNALED;
	ibv_wr_atomic_write(qpx, wr->rkey, wr->remote, &wr->a);
	return -ibv_wr_complete(qpx);
}

int alias_post(struct alias_end *end, const struct alias_wr *wr, uint64_t id)
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

int alias_post_recv(struct alias_end *end, struct ibv_mr *mr, void *local,
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

/* Polls before and after arming, so that no completion slips between. */
int alias_wait(struct alias_end *end, uint64_t *id)
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

int alias_run(struct alias_end *end, const struct alias_wr *wr)
{
	int ret = alias_post(end, wr, 0);

	return ret ? ret : alias_wait(end, NULL);
}
