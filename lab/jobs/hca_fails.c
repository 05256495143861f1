// SPDX-License-Identifier: GPL-2.0
/*
 * An HCA whose firmware refuses commands, one kind after the other: while a program
 * makes and destroys every kind of object that verbs have, and while the driver is
 * bound and unbound. HCA0 is hca0 to QEMU, whose monitor is the file QMP.
 */
#include <errno.h>
#include <fcntl.h>

#include "fixture.h"
#include "hca_env.h"
#include "sysfs.h"

/* The opcodes, as the driver has them */
typedef uint8_t u8;
#define BIT(n)		(1u << (n))
#define BIT_ULL(n)	(1ull << (n))
#define DECLARE_FLEX_ARRAY(type, name) \
	struct { struct { } no_##name; type name[]; }
#include "mlx5_ifc.h"

#define SIZE		(2 * MIB)
#define GROUP_LID	0xc001
#define NO_RESOURCES	0xf
#define DRIVER		"/sys/bus/pci/drivers/mlx5_core/"

struct command {
	const char *name;
	uint16_t op;
};

#define CMD(op)	{ #op, MLX5_CMD_OP_##op }

/*
 * What the driver sends for a program. The mkey of an MR comes from a pool and goes
 * back to it; only a memory window has one made and destroyed.
 */
static const struct command used[] = {
	CMD(ALLOC_UAR), CMD(DEALLOC_UAR),
	CMD(ALLOC_TRANSPORT_DOMAIN), CMD(DEALLOC_TRANSPORT_DOMAIN),
	CMD(ALLOC_PD), CMD(DEALLOC_PD),
	CMD(ALLOC_XRCD), CMD(DEALLOC_XRCD),
	CMD(CREATE_CQ), CMD(MODIFY_CQ), CMD(DESTROY_CQ),
	CMD(CREATE_RMP), CMD(QUERY_RMP), CMD(DESTROY_RMP),
	CMD(CREATE_XRC_SRQ), CMD(DESTROY_XRC_SRQ),
	CMD(CREATE_QP), CMD(RST2INIT_QP), CMD(INIT2RTR_QP), CMD(RTR2RTS_QP),
	CMD(QUERY_QP), CMD(2ERR_QP), CMD(2RST_QP), CMD(DESTROY_QP),
	CMD(ATTACH_TO_MCG), CMD(DETACH_FROM_MCG),
	CMD(CREATE_MKEY), CMD(DESTROY_MKEY),
};

/*
 * What the driver sends in its probe. Nothing of its remove is here: it asks once,
 * and frees the memory of what firmware has refused to destroy.
 */
static const struct command bound[] = {
	CMD(ENABLE_HCA), CMD(QUERY_ISSI), CMD(SET_ISSI), CMD(QUERY_PAGES),
	CMD(QUERY_HCA_CAP), CMD(SET_HCA_CAP), CMD(INIT_HCA), CMD(QUERY_ADAPTER),
	CMD(CREATE_EQ), CMD(ALLOC_UAR), CMD(ACCESS_REG),
	CMD(QUERY_SPECIAL_CONTEXTS), CMD(QUERY_HCA_VPORT_CONTEXT),
	CMD(QUERY_HCA_VPORT_GID), CMD(QUERY_HCA_VPORT_PKEY), CMD(MAD_IFC),
	CMD(ALLOC_PD), CMD(CREATE_MKEY), CMD(CREATE_CQ), CMD(CREATE_RMP),
	CMD(CREATE_QP), CMD(RST2INIT_QP),
};

/* All that a program may have of an HCA */
struct objects {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_xrcd *xrcd;
	struct ibv_cq *cq;
	struct ibv_srq *srq, *xrc_srq;
	struct ibv_qp *rc, *ud;
	struct ibv_mr *mr, *implicit;
	struct ibv_mw *mw;
	bool attached;
	char *mem;
};

static const union ibv_gid group = { .raw = { 0xff, 0x12, 0x40, 0x1b, [15] = 1 } };

static struct ibv_qp *make_qp(struct objects *o, enum ibv_qp_type type)
{
	struct ibv_qp_init_attr init = {
		.qp_type = type,
		.send_cq = o->cq,
		.recv_cq = o->cq,
		.srq = type == IBV_QPT_RC ? o->srq : NULL,
		.cap = {
			.max_send_wr = 4,
			.max_recv_wr = 4,
			.max_send_sge = 1,
			.max_recv_sge = 1,
		},
	};

	return ibv_create_qp(o->pd, &init);
}

/* 0, or an errno */
static int move_qps(struct objects *o)
{
	struct ibv_qp_attr rc = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = RDMA_ACCESS,
	}, ud = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qkey = 1,
	};
	struct rdma_end end = { .qp = o->rc };
	struct rdma_addr self = { .qpn = o->rc->qp_num };
	struct ibv_qp_init_attr init;
	struct ibv_port_attr port;
	int ret;

	ret = ibv_query_port(o->ctx, 1, &port);
	if (ret)
		return ret;
	self.lid = port.lid;
	self.mtu = end.addr.mtu = port.active_mtu;
	ret = ibv_query_gid(o->ctx, 1, 0, &self.gid) ? errno : 0;
	if (!ret)
		ret = ibv_modify_qp(o->rc, &rc, IBV_QP_STATE |
				    IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				    IBV_QP_ACCESS_FLAGS);
	if (!ret)
		ret = ibv_modify_qp(o->ud, &ud, IBV_QP_STATE |
				    IBV_QP_PKEY_INDEX | IBV_QP_PORT |
				    IBV_QP_QKEY);
	if (!ret)
		ret = -rdma_end_connect(&end, &self);
	if (!ret)
		ret = ibv_query_qp(o->rc, &rc, IBV_QP_STATE, &init);
	if (!ret) {
		ret = ibv_attach_mcast(o->ud, &group, GROUP_LID);
		o->attached = !ret;
	}
	rc.qp_state = IBV_QPS_ERR;
	if (!ret)
		ret = ibv_modify_qp(o->rc, &rc, IBV_QP_STATE);
	rc.qp_state = IBV_QPS_RESET;
	if (!ret)
		ret = ibv_modify_qp(o->rc, &rc, IBV_QP_STATE);
	return ret;
}

/* Makes them all, up to the first that fails. 0, or an errno */
static int make(struct objects *o)
{
	struct ibv_xrcd_init_attr xrcd = {
		.comp_mask = IBV_XRCD_INIT_ATTR_FD | IBV_XRCD_INIT_ATTR_OFLAGS,
		.fd = -1,
		.oflags = O_CREAT,
	};
	struct ibv_srq_init_attr srq = {
		.attr = { .max_wr = 4, .max_sge = 1 },
	};
	struct ibv_srq_init_attr_ex xrc = {
		.attr = { .max_wr = 4, .max_sge = 1 },
		.comp_mask = IBV_SRQ_INIT_ATTR_TYPE | IBV_SRQ_INIT_ATTR_XRCD |
			     IBV_SRQ_INIT_ATTR_CQ | IBV_SRQ_INIT_ATTR_PD,
		.srq_type = IBV_SRQT_XRC,
	};
	struct ibv_srq_attr srq_attr;
	int ret;

#define MAKE(object, call)			\
	do {					\
		o->object = (call);		\
		if (!o->object)			\
			return errno;		\
	} while (0)
	MAKE(pd, ibv_alloc_pd(o->ctx));
	MAKE(xrcd, ibv_open_xrcd(o->ctx, &xrcd));
	MAKE(cq, ibv_create_cq(o->ctx, 4, NULL, NULL, 0));
	ret = ibv_resize_cq(o->cq, 100);
	if (ret)
		return ret;
	MAKE(srq, ibv_create_srq(o->pd, &srq));
	ret = ibv_query_srq(o->srq, &srq_attr);
	if (ret)
		return ret;
	xrc.xrcd = o->xrcd;
	xrc.cq = o->cq;
	xrc.pd = o->pd;
	MAKE(xrc_srq, ibv_create_srq_ex(o->ctx, &xrc));
	MAKE(rc, make_qp(o, IBV_QPT_RC));
	MAKE(ud, make_qp(o, IBV_QPT_UD));
	ret = move_qps(o);
	if (ret)
		return ret;
	MAKE(mr, ibv_reg_mr(o->pd, o->mem, SIZE,
			    RDMA_ACCESS | IBV_ACCESS_ON_DEMAND));
	MAKE(implicit, ibv_reg_mr(o->pd, NULL, SIZE_MAX,
				  RDMA_ACCESS | IBV_ACCESS_ON_DEMAND));
	MAKE(mw, ibv_alloc_mw(o->pd, IBV_MW_TYPE_2));
#undef MAKE
	return 0;
}

/* Destroys what there is, as far as it can. 0, or the errno of one that is left */
static int destroy(struct objects *o)
{
	int ret, left = 0;

	if (o->attached) {
		ret = ibv_detach_mcast(o->ud, &group, GROUP_LID);
		o->attached = ret;
		left = ret ? ret : left;
	}
#define DESTROY(object, call)			\
	do {					\
		if (!o->object)			\
			break;			\
		ret = call(o->object);		\
		if (ret)			\
			left = ret;		\
		else				\
			o->object = NULL;	\
	} while (0)
	DESTROY(mw, ibv_dealloc_mw);
	DESTROY(implicit, ibv_dereg_mr);
	DESTROY(mr, ibv_dereg_mr);
	DESTROY(rc, ibv_destroy_qp);
	DESTROY(ud, ibv_destroy_qp);
	DESTROY(xrc_srq, ibv_destroy_srq);
	DESTROY(srq, ibv_destroy_srq);
	DESTROY(cq, ibv_destroy_cq);
	DESTROY(xrcd, ibv_close_xrcd);
	DESTROY(pd, ibv_dealloc_pd);
	if (!left)
		DESTROY(ctx, ibv_close_device);
#undef DESTROY
	return left;
}

static uint64_t refusals(FILE *monitor)
{
	uint64_t n = 0;

	return device_get(monitor, HCA_ID, "stat-refused", &n) ? 0 : n;
}

static int refuse(FILE *monitor, const struct command *cmd)
{
	return device_set(monitor, HCA_ID, "x-fail-cmd",
			  cmd ? cmd->op | NO_RESOURCES << 16 : 0);
}

FIXTURE(hca_fails) {
	FILE *monitor;
	const char *bdf;
};

FIXTURE_SETUP(hca_fails)
{
	self->bdf = getenv("HCA0");
	if (!getenv("QMP") || !self->bdf)
		SKIP(return, "QMP or HCA0 is not set");
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
}

FIXTURE_TEARDOWN(hca_fails)
{
	refuse(self->monitor, NULL);
	fclose(self->monitor);
}

/*
 * A call of the program fails, or the refusal makes no difference to it. Afterwards
 * it can destroy all that it has. The memory of another program stays where it is,
 * and is read there.
 */
TEST_F_TIMEOUT(hca_fails, used, 300)
{
	struct objects o = { 0 };
	struct rdma_env env;
	uint64_t before;
	int made, left, i;

	ASSERT_EQ(0, rdma_env_open(&env, SIZE, true, false));
	memset(env.mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(&env, 1));
	for (i = 0; i < ARRAY_SIZE(used); i++) {
		before = refusals(self->monitor);
		ASSERT_EQ(0, refuse(self->monitor, &used[i]));
		o.mem = (char *)env.mem;
		o.ctx = ibv_open_device(env.own.ctx->device);
		made = o.ctx ? make(&o) : errno;
		left = destroy(&o);
		ASSERT_EQ(0, refuse(self->monitor, NULL));
		printf("# %s: make %d, destroy %d\n", used[i].name, made, left);
		EXPECT_LT(before, refusals(self->monitor));
		EXPECT_EQ(0, destroy(&o));
		EXPECT_EQ(0, rdma_env_read(&env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_vram(&env, 0, SIZE));
	}
	rdma_env_close(&env);
}

/* The driver does without the command, or its probe fails. The next probe works. */
TEST_F_TIMEOUT(hca_fails, bound, 600)
{
	uint64_t before;
	int ret, i;

	for (i = 0; i < ARRAY_SIZE(bound); i++) {
		before = refusals(self->monitor);
		ASSERT_EQ(0, refuse(self->monitor, &bound[i]));
		EXPECT_EQ(0, sysfs_write(DRIVER "unbind", self->bdf));
		ret = sysfs_write(DRIVER "bind", self->bdf);
		ASSERT_EQ(0, refuse(self->monitor, NULL));
		printf("# %s: bind %d\n", bound[i].name, ret);
		EXPECT_LT(before, refusals(self->monitor));
		if (!ret)
			EXPECT_EQ(0, sysfs_write(DRIVER "unbind", self->bdf));
		EXPECT_EQ(0, sysfs_write(DRIVER "bind", self->bdf));
		EXPECT_EQ(0, hca_back(self->bdf, 0));
	}
	EXPECT_EQ(0, hca_in_place(SIZE));
}

TEST_HARNESS_MAIN
