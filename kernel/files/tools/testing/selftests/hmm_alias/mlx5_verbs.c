// SPDX-License-Identifier: GPL-2.0
/*
 * What an HCA does besides RDMA in RC: transports, shared receive queues, errors
 * and the events that report them. The memory is in VRAM where that matters.
 */
#include <fcntl.h>
#include <poll.h>

#include "fixture.h"

#define SIZE		(16 * PAGE)
#define QKEY		0x11111111
#define GRH		40
#define MLID		0xc001

FIXTURE(mlx5_verbs) {
	struct rdma_env env;
	struct ibv_xrcd *xrcd;
	struct ibv_srq *srq;
	struct ibv_qp *qp[2];
};

FIXTURE_SETUP(mlx5_verbs)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
}

FIXTURE_TEARDOWN(mlx5_verbs)
{
	struct rdma_env *env = &self->env;
	int i;

	for (i = 0; i < 2; i++)
		if (self->qp[i])
			EXPECT_EQ(0, ibv_destroy_qp(self->qp[i]));
	if (self->srq) {
		ibv_destroy_qp(env->own.qp);
		env->own.qp = NULL;
		EXPECT_EQ(0, ibv_destroy_srq(self->srq));
	}
	if (self->xrcd)
		EXPECT_EQ(0, ibv_close_xrcd(self->xrcd));
	rdma_env_close(env);
}

/* The next asynchronous event of a device within 10 s, or -1 */
static int async_event(struct rdma_end *end)
{
	struct pollfd pfd = { .fd = end->ctx->async_fd, .events = POLLIN };
	struct ibv_async_event event;

	if (poll(&pfd, 1, 10000) != 1 ||
	    ibv_get_async_event(end->ctx, &event))
		return -1;
	ibv_ack_async_event(&event);
	return event.event_type;
}

/* One completion: its status, or a negative errno; all of it in @wc */
static int completion(struct rdma_end *end, struct ibv_wc *wc)
{
	int tries, n;

	for (tries = 20000; tries; tries--) {
		n = ibv_poll_cq(end->cq, 1, wc);
		if (n)
			return n < 0 ? -EIO : (int)wc->status;
		usleep(500);
	}
	return -ETIMEDOUT;
}

static int send_stage(struct rdma_env *env, uint32_t len)
{
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = len,
	};

	return rdma_run(&env->peer, &wr);
}

/* A SEND waits for its RECV, which has two parts, and brings a word along. */
TEST_F(mlx5_verbs, late_recv)
{
	struct rdma_env *env = &self->env;
	struct ibv_sge part[2] = {
		{ (uintptr_t)env->mem, 3000, env->mr->lkey },
		{ (uintptr_t)env->mem + 5000, 3000, env->mr->lkey },
	};
	struct ibv_recv_wr recv = { .sg_list = part, .num_sge = 2 }, *bad_recv;
	struct ibv_sge sge = { (uintptr_t)env->stage, 5999, env->stage_mr->lkey };
	struct ibv_send_wr send = {
		.sg_list = &sge,
		.num_sge = 1,
		.opcode = IBV_WR_SEND_WITH_IMM,
		.imm_data = 0x12345678,
	}, *bad_send;
	struct rdma_end *own = &env->own;
	struct ibv_qp_init_attr init = {
		.send_cq = own->cq, .recv_cq = own->cq, .qp_type = IBV_QPT_RC,
		.cap = { 4, 4, 2, 2, 0 },
	};
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = RDMA_ACCESS,
	};
	struct ibv_wc wc;

	/* With two elements */
	ibv_destroy_qp(own->qp);
	own->qp = ibv_create_qp(own->pd, &init);
	ASSERT_NE(NULL, own->qp);
	own->addr.qpn = own->qp->qp_num;
	ASSERT_EQ(0, ibv_modify_qp(own->qp, &attr, IBV_QP_STATE |
				   IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				   IBV_QP_ACCESS_FLAGS));
	ASSERT_EQ(0, rdma_end_reset(&env->peer));
	ASSERT_EQ(0, rdma_connect(own, &env->peer));

	pattern_fill(env->stage, SIZE, 2, 0);
	ASSERT_EQ(0, ibv_post_send(env->peer.qp, &send, &bad_send));
	usleep(50000);
	EXPECT_EQ(0, ibv_poll_cq(env->peer.cq, 1, &wc));
	ASSERT_EQ(0, ibv_post_recv(own->qp, &recv, &bad_recv));
	EXPECT_EQ(0, completion(&env->peer, &wc));
	EXPECT_EQ(0, completion(own, &wc));
	EXPECT_EQ(0x12345678, wc.imm_data);
	EXPECT_EQ(5999, wc.byte_len);
	memcpy(env->ref, env->stage, 3000);
	memcpy(env->ref + 5000, env->stage + 3000, 2999);
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* Nobody receives, and the requester gives up. */
TEST_F(mlx5_verbs, rnr_retries_end)
{
	struct rdma_env *env = &self->env;
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RTS, .rnr_retry = 2 };

	/* Only this transition takes it */
	ASSERT_EQ(0, rdma_end_reset(&env->peer));
	ASSERT_EQ(0, rdma_end_reset(&env->own));
	ASSERT_EQ(0, rdma_connect(&env->own, &env->peer));
	attr.qp_state = IBV_QPS_RESET;
	ASSERT_EQ(0, ibv_modify_qp(env->peer.qp, &attr, IBV_QP_STATE));
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = RDMA_ACCESS,
	};
	ASSERT_EQ(0, ibv_modify_qp(env->peer.qp, &attr, IBV_QP_STATE |
				   IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				   IBV_QP_ACCESS_FLAGS));
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_4096,
		.dest_qp_num = env->own.qp->qp_num,
		.rq_psn = env->own.addr.psn, .max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = {
			.is_global = 1, .port_num = 1,
			.grh = { .dgid = env->own.addr.gid, .hop_limit = 1 },
		},
	};
	ASSERT_EQ(0, ibv_modify_qp(env->peer.qp, &attr, IBV_QP_STATE |
				   IBV_QP_AV | IBV_QP_PATH_MTU |
				   IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
				   IBV_QP_MAX_DEST_RD_ATOMIC |
				   IBV_QP_MIN_RNR_TIMER));
	attr = (struct ibv_qp_attr){
		.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7,
		.rnr_retry = 2, .max_rd_atomic = 1,
		.sq_psn = env->peer.addr.psn,
	};
	ASSERT_EQ(0, ibv_modify_qp(env->peer.qp, &attr, IBV_QP_STATE |
				   IBV_QP_SQ_PSN | IBV_QP_TIMEOUT |
				   IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				   IBV_QP_MAX_QP_RD_ATOMIC));
	EXPECT_EQ(IBV_WC_RNR_RETRY_EXC_ERR, send_stage(env, 8));
}

/* The requester's QP fails, what follows is flushed, the responder is told. */
TEST_F(mlx5_verbs, access_error)
{
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = 8,
		.remote = (uintptr_t)env->mem,
		.rkey = env->mr->rkey ^ 0x5500,
	};

	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_run(&env->peer, &wr));
	wr.rkey = env->mr->rkey;
	EXPECT_EQ(IBV_WC_WR_FLUSH_ERR, rdma_run(&env->peer, &wr));
	EXPECT_EQ(IBV_EVENT_QP_ACCESS_ERR, async_event(&env->own));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_run(&env->peer, &wr));
}

/* A limit is reached, once; a QP that fails has had its last receive. */
TEST_F(mlx5_verbs, srq_events)
{
	struct rdma_env *env = &self->env;
	struct ibv_srq_attr limit = { .srq_limit = 2 }, now;
	struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };
	struct ibv_wc wc;
	int i;

	ASSERT_EQ(0, rdma_use_srq(&env->own, &env->peer, 8, &self->srq));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, rdma_post_srq(self->srq, env->mr,
					   env->mem + i * PAGE, PAGE, i));
	ASSERT_EQ(0, ibv_modify_srq(self->srq, &limit, IBV_SRQ_LIMIT));
	ASSERT_EQ(0, ibv_query_srq(self->srq, &now));
	EXPECT_EQ(2, now.srq_limit);
	for (i = 0; i < 4; i++) {
		pattern_fill(env->stage, PAGE, 10 + i, 0);
		memcpy(env->ref + i * PAGE, env->stage, PAGE);
		EXPECT_EQ(0, send_stage(env, PAGE));
		EXPECT_EQ(0, completion(&env->own, &wc));
		EXPECT_EQ(i, wc.wr_id);
	}
	EXPECT_EQ(IBV_EVENT_SRQ_LIMIT_REACHED, async_event(&env->own));
	ASSERT_EQ(0, ibv_query_srq(self->srq, &now));
	EXPECT_EQ(0, now.srq_limit);
	ASSERT_EQ(0, ibv_modify_qp(env->own.qp, &error, IBV_QP_STATE));
	EXPECT_EQ(IBV_EVENT_QP_LAST_WQE_REACHED, async_event(&env->own));
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* The CQ grows and shrinks with completions in it. */
TEST_F(mlx5_verbs, cq_resize)
{
	static const int sizes[] = { 300, 40, 500 };
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = 8,
		.remote = (uintptr_t)env->mem,
		.rkey = env->mr->rkey,
	};
	uint64_t id, next = 0;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < 8; j++)
			ASSERT_EQ(0, rdma_post(&env->peer, &wr, next + j));
		if (i)
			usleep(100000);
		ASSERT_EQ(0, ibv_resize_cq(env->peer.cq, sizes[i]));
		for (j = 0; j < 8; j++) {
			ASSERT_EQ(0, rdma_wait(&env->peer, &id));
			EXPECT_EQ(next + j, id);
		}
		next += 8;
	}
}

/* More completions than there is room for */
TEST_F(mlx5_verbs, cq_overrun)
{
	struct rdma_env *env = &self->env;
	struct rdma_wr wr = {
		.op = IBV_WR_RDMA_READ,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = 8,
		.remote = (uintptr_t)env->mem,
		.rkey = env->mr->rkey,
	};
	int i;

	ASSERT_EQ(0, ibv_resize_cq(env->peer.cq, 1));
	for (i = 0; i < RDMA_DEPTH; i++)
		ASSERT_EQ(0, rdma_post(&env->peer, &wr, i));
	EXPECT_EQ(IBV_EVENT_CQ_ERR, async_event(&env->peer));
}

/* A QP of another transport at each end. 0, or a negative errno */
static int other_qp(struct _test_data_mlx5_verbs *self, enum ibv_qp_type type)
{
	struct rdma_end *end[2] = { &self->env.own, &self->env.peer };
	int i, ret;

	for (i = 0; i < 2; i++) {
		struct ibv_qp_init_attr init = {
			.send_cq = end[i]->cq, .recv_cq = end[i]->cq,
			.qp_type = type, .sq_sig_all = 1,
			.cap = { 8, 8, 1, 1, 0 },
		};
		struct ibv_qp_attr attr = {
			.qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY,
			.qp_access_flags = IBV_ACCESS_REMOTE_WRITE,
		};

		self->qp[i] = ibv_create_qp(end[i]->pd, &init);
		if (!self->qp[i])
			return -errno;
		ret = ibv_modify_qp(self->qp[i], &attr, IBV_QP_STATE |
				    IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				    (type == IBV_QPT_UD ? IBV_QP_QKEY :
							  IBV_QP_ACCESS_FLAGS));
		if (ret)
			return -ret;
	}
	for (i = 0; i < 2; i++) {
		struct ibv_qp_attr attr = {
			.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_4096,
			.dest_qp_num = self->qp[!i]->qp_num,
			.ah_attr = {
				.is_global = 1, .port_num = 1,
				.grh = {
					.dgid = end[!i]->addr.gid,
					.hop_limit = 1,
				},
			},
		};

		ret = ibv_modify_qp(self->qp[i], &attr, IBV_QP_STATE |
				    (type == IBV_QPT_UD ? 0 : IBV_QP_AV |
				     IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
				     IBV_QP_RQ_PSN));
		attr.qp_state = IBV_QPS_RTS;
		if (!ret)
			ret = ibv_modify_qp(self->qp[i], &attr, IBV_QP_STATE |
					    IBV_QP_SQ_PSN);
		if (ret)
			return -ret;
	}
	return 0;
}

TEST_F(mlx5_verbs, uc_write)
{
	struct rdma_env *env = &self->env;
	struct ibv_sge sge = { (uintptr_t)env->stage, SIZE, env->stage_mr->lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_RDMA_WRITE,
		.wr.rdma = { (uintptr_t)env->mem, env->mr->rkey },
	}, *bad;
	struct ibv_wc wc;

	ASSERT_EQ(0, other_qp(self, IBV_QPT_UC));
	pattern_fill(env->stage, SIZE, 3, 0);
	memcpy(env->ref, env->stage, SIZE);
	ASSERT_EQ(0, ibv_post_send(self->qp[1], &wr, &bad));
	EXPECT_EQ(0, completion(&env->peer, &wc));
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* The ends of an XRC connection: the peer's sends, the own one receives. */
static int xrc_qps(struct _test_data_mlx5_verbs *self)
{
	struct rdma_end *own = &self->env.own, *peer = &self->env.peer;
	struct ibv_xrcd_init_attr domain = {
		.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
		.fd = -1, .oflags = O_CREAT,
	};
	struct ibv_srq_init_attr_ex srq = {
		.attr = { .max_wr = 8, .max_sge = 1 },
		.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_XRCD |
			     IBV_SRQ_INIT_ATTR_CQ | IBV_SRQ_INIT_ATTR_PD,
		.srq_type = IBV_SRQT_XRC, .cq = own->cq, .pd = own->pd,
	};
	struct ibv_qp_init_attr_ex init[2] = {
		{
			.qp_type = IBV_QPT_XRC_RECV,
			.comp_mask = IBV_QP_INIT_ATTR_XRCD,
		}, {
			.qp_type = IBV_QPT_XRC_SEND, .sq_sig_all = 1,
			.comp_mask = IBV_QP_INIT_ATTR_PD, .pd = peer->pd,
			.send_cq = peer->cq,
			.cap = { .max_send_wr = 8, .max_send_sge = 1 },
		},
	};
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = IBV_ACCESS_REMOTE_WRITE,
	};
	int i, ret;

	self->xrcd = ibv_open_xrcd(own->ctx, &domain);
	if (!self->xrcd)
		return -errno;
	srq.xrcd = self->xrcd;
	self->srq = ibv_create_srq_ex(own->ctx, &srq);
	if (!self->srq)
		return -errno;
	init[0].xrcd = self->xrcd;
	for (i = 0; i < 2; i++) {
		self->qp[i] = ibv_create_qp_ex(i ? peer->ctx : own->ctx,
					       &init[i]);
		if (!self->qp[i])
			return -errno;
		ret = ibv_modify_qp(self->qp[i], &attr, IBV_QP_STATE |
				    IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				    IBV_QP_ACCESS_FLAGS);
		if (ret)
			return -ret;
	}
	for (i = 0; i < 2; i++) {
		struct ibv_qp_attr rtr = {
			.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_4096,
			.dest_qp_num = self->qp[!i]->qp_num,
			.max_dest_rd_atomic = 1, .min_rnr_timer = 12,
			.ah_attr = {
				.is_global = 1, .port_num = 1,
				.grh = {
					.dgid = (i ? own : peer)->addr.gid,
					.hop_limit = 1,
				},
			},
		};
		struct ibv_qp_attr rts = {
			.qp_state = IBV_QPS_RTS, .timeout = 14, .retry_cnt = 7,
			.rnr_retry = 7, .max_rd_atomic = 1,
		};
		int mask = IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
			   IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;

		if (!i)
			mask |= IBV_QP_MAX_DEST_RD_ATOMIC |
				IBV_QP_MIN_RNR_TIMER;
		ret = ibv_modify_qp(self->qp[i], &rtr, mask);
		mask = IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT;
		if (i)
			mask |= IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
				IBV_QP_MAX_QP_RD_ATOMIC;
		if (!ret)
			ret = ibv_modify_qp(self->qp[i], &rts, mask);
		if (ret)
			return -ret;
	}
	return 0;
}

/* What the peer sends goes where the request says, into memory in VRAM. */
TEST_F(mlx5_verbs, xrc)
{
	struct rdma_env *env = &self->env;
	struct ibv_sge sge = { (uintptr_t)env->stage, PAGE, env->stage_mr->lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND,
	}, *bad;
	struct ibv_wc wc;
	uint32_t srqn;

	ASSERT_EQ(0, xrc_qps(self));
	ASSERT_EQ(0, ibv_get_srq_num(self->srq, &srqn));
	wr.qp_type.xrc.remote_srqn = srqn;
	ASSERT_EQ(0, rdma_post_srq(self->srq, env->mr, env->mem, PAGE, 7));
	pattern_fill(env->stage, PAGE, 6, 0);
	memcpy(env->ref, env->stage, PAGE);
	ASSERT_EQ(0, ibv_post_send(self->qp[1], &wr, &bad));
	EXPECT_EQ(0, completion(&env->peer, &wc));
	EXPECT_EQ(0, completion(&env->own, &wc));
	EXPECT_EQ(7, wc.wr_id);

	wr.opcode = IBV_WR_RDMA_WRITE;
	wr.wr.rdma.remote_addr = (uintptr_t)env->mem + PAGE;
	wr.wr.rdma.rkey = env->mr->rkey;
	memcpy(env->ref + PAGE, env->stage, PAGE);
	ASSERT_EQ(0, ibv_post_send(self->qp[1], &wr, &bad));
	EXPECT_EQ(0, completion(&env->peer, &wc));
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

static int ud_send(struct _test_data_mlx5_verbs *self, union ibv_gid *gid,
		   uint32_t qpn)
{
	struct rdma_env *env = &self->env;
	struct ibv_ah_attr attr = {
		.is_global = 1, .port_num = 1,
		.dlid = gid->raw[0] == 0xff ? MLID : 0,
		.grh = { .dgid = *gid, .hop_limit = 1 },
	};
	struct ibv_ah *ah = ibv_create_ah(env->peer.pd, &attr);
	struct ibv_sge sge = { (uintptr_t)env->stage, 1000, env->stage_mr->lkey };
	struct ibv_send_wr wr = {
		.sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND,
		.wr.ud = { ah, qpn, QKEY },
	}, *bad;
	struct ibv_wc wc;
	int ret;

	if (!ah)
		return -errno;
	ret = -ibv_post_send(self->qp[1], &wr, &bad);
	if (!ret)
		ret = completion(&env->peer, &wc);
	ibv_destroy_ah(ah);
	return ret;
}

/* A datagram, and one to a group that the receiver joins and leaves */
TEST_F(mlx5_verbs, ud)
{
	union ibv_gid group = { .raw = { 0xff, 0x12, [15] = 0x42 } };
	struct rdma_env *env = &self->env;
	unsigned char *buf = env->stage + 8 * PAGE;
	struct ibv_mr *mr = ibv_reg_mr(env->own.pd, buf, PAGE, RDMA_ACCESS);
	struct ibv_sge sge = { (uintptr_t)buf, PAGE, mr->lkey };
	struct ibv_recv_wr recv = { .sg_list = &sge, .num_sge = 1 }, *bad;
	struct ibv_wc wc;
	int i;

	ASSERT_EQ(0, other_qp(self, IBV_QPT_UD));
	pattern_fill(env->stage, PAGE, 4, 0);
	for (i = 0; i < 3; i++) {
		memset(buf, 0, PAGE);
		ASSERT_EQ(0, ibv_post_recv(self->qp[0], &recv, &bad));
		if (i == 1)
			ASSERT_EQ(0, ibv_attach_mcast(self->qp[0], &group,
						      MLID));
		EXPECT_EQ(0, ud_send(self, i ? &group : &env->own.addr.gid,
				     i ? 0xffffff : self->qp[0]->qp_num));
		if (i == 2) {
			/* Nobody is in the group any more. */
			usleep(50000);
			EXPECT_EQ(0, ibv_poll_cq(env->own.cq, 1, &wc));
			continue;
		}
		EXPECT_EQ(0, completion(&env->own, &wc));
		EXPECT_EQ(1000 + GRH, wc.byte_len);
		EXPECT_EQ(self->qp[1]->qp_num, wc.src_qp);
		EXPECT_EQ(0, memcmp(buf + GRH, env->stage, 1000));
		if (i == 1)
			ASSERT_EQ(0, ibv_detach_mcast(self->qp[0], &group,
						      MLID));
	}
	EXPECT_EQ(0, ibv_destroy_qp(self->qp[0]));
	self->qp[0] = NULL;
	EXPECT_EQ(0, ibv_dereg_mr(mr));
}

TEST_HARNESS_MAIN
