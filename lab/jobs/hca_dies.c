// SPDX-License-Identifier: GPL-2.0
/*
 * An HCA whose firmware dies, that is reset, or that leaves a command without an
 * answer, in the middle of transfers; and several HCAs in one machine, of which
 * one goes. HCA0 is hca0 to QEMU, whose monitor is the file QMP.
 */
#include <errno.h>
#include <poll.h>

#include "fixture.h"
#include "hca_env.h"
#include "sysfs.h"

#define SIZE		(2 * MIB)
#define QUERY_QP	0x50b
#define ALLOC_PD	0x800
#define TIMEOUT_MS	4000

FIXTURE(hca_dies) {
	struct rdma_env env;
	FILE *monitor;
	const char *bdf;
	bool closed;
};

FIXTURE_SETUP(hca_dies)
{
	struct rdma_env *env = &self->env;

	self->bdf = getenv("HCA0");
	if (!getenv("QMP") || !self->bdf)
		SKIP(return, "QMP or HCA0 is not set");
	/* The test before this one may have left it with another name. */
	ASSERT_EQ(0, hca_back(self->bdf, 0));
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
}

FIXTURE_TEARDOWN(hca_dies)
{
	if (!self->closed)
		rdma_env_close(&self->env);
	fclose(self->monitor);
}

/* The driver tells programs that the device is dead; -1: within a minute not */
static int fatal_event(struct rdma_end *end)
{
	struct pollfd pfd = { .fd = end->ctx->async_fd, .events = POLLIN };
	struct ibv_async_event event;

	do {
		if (poll(&pfd, 1, 60000) != 1 ||
		    ibv_get_async_event(end->ctx, &event))
			return -1;
		ibv_ack_async_event(&event);
	} while (event.event_type != IBV_EVENT_DEVICE_FATAL);
	return 0;
}

/*
 * The HCA has died. What it read stays where it is. What waits for it does not wait
 * for ever: memory moves as it should. The driver begins anew, and with it who
 * opens it then. It does that once a minute, and so is bound anew for others.
 */
static void check_recovery(struct __test_metadata *_metadata,
			   struct _test_data_hca_dies *self,
			   struct hca_reader *r, uint64_t old)
{
	struct rdma_env *env = &self->env;

	EXPECT_EQ(0, hca_reader_fails(r));
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	EXPECT_EQ(0, fatal_event(&env->own));
	ASSERT_EQ(0, hca_back(self->bdf, old));
	rdma_env_close(env);
	self->closed = true;
	EXPECT_EQ(0, hca_in_place(SIZE));
	EXPECT_EQ(0, hca_rebind(self->bdf));
}

TEST_F_TIMEOUT(hca_dies, firmware, 240)
{
	uint64_t old = hca_which(self->bdf);
	struct hca_reader r;

	ASSERT_EQ(0, hca_reader_start(&r, &self->env));
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-syndrome", 1));
	check_recovery(_metadata, self, &r, old);
}

/* By an administrator, behind the driver's back */
TEST_F_TIMEOUT(hca_dies, reset, 240)
{
	uint64_t old = hca_which(self->bdf);
	struct hca_reader r;
	char path[128];

	snprintf(path, sizeof(path), PCI_DEVICES "%s/reset_method", self->bdf);
	ASSERT_EQ(0, sysfs_write(path, "flr"));
	snprintf(path, sizeof(path), PCI_DEVICES "%s/reset", self->bdf);
	ASSERT_EQ(0, hca_reader_start(&r, &self->env));
	ASSERT_EQ(0, sysfs_write(path, "1"));
	check_recovery(_metadata, self, &r, old);
}

/*
 * The driver waits for commands for TIMEOUT_MS. It asks how long when it is bound,
 * and will have its own time then.
 */
static void bind_impatient(struct __test_metadata *_metadata,
			   struct _test_data_hca_dies *self)
{
	struct rdma_env *env = &self->env;

	rdma_env_close(env);
	self->closed = true;
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-cmd-timeout",
				TIMEOUT_MS));
	ASSERT_EQ(0, hca_rebind(self->bdf));
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-cmd-timeout", 0));
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	self->closed = false;
	memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
}

/* In transfers, a command has no answer. The program is told. */
static void lose_command(struct __test_metadata *_metadata,
			 struct _test_data_hca_dies *self,
			 struct hca_reader *r)
{
	struct rdma_env *env = &self->env;

	bind_impatient(_metadata, self);
	ASSERT_EQ(0, hca_reader_start(r, env));
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-drop-cmd", ALLOC_PD));
	EXPECT_EQ(NULL, ibv_alloc_pd(env->own.ctx));
	EXPECT_EQ(ETIMEDOUT, errno);
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-drop-cmd", 0));
}

/* Others go on, and so does the driver: it waits for that command no more. */
TEST_F_TIMEOUT(hca_dies, command_timeout, 240)
{
	struct rdma_env *env = &self->env;
	struct hca_reader r;
	struct ibv_pd *pd;

	lose_command(_metadata, self, &r);
	EXPECT_EQ(0, hca_reader_flows(&r));
	EXPECT_EQ(0, hca_reader_stop(&r));
	pd = ibv_alloc_pd(env->own.ctx);
	ASSERT_NE(NULL, pd);
	EXPECT_EQ(0, ibv_dealloc_pd(pd));
	expect_consent(_metadata, env, true);
	rdma_env_close(env);
	self->closed = true;
	EXPECT_EQ(0, hca_rebind(self->bdf));
}

/*
 * The answer comes when nobody waits for it any more, with that of another command,
 * which has no mailbox. It is not written to those of the next ones.
 */
TEST_F_TIMEOUT(hca_dies, command_late, 240)
{
	struct rdma_env *env = &self->env;
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr = {};
	struct ibv_pd *pd;
	int i;

	bind_impatient(_metadata, self);
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-hold-cmd", QUERY_QP));
	EXPECT_EQ(ETIMEDOUT, ibv_query_qp(env->own.qp, &attr, IBV_QP_STATE,
					  &init));
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-hold-cmd", 0));
	for (i = 0; i < 8; i++) {
		pd = ibv_alloc_pd(env->own.ctx);
		ASSERT_NE(NULL, pd);
		EXPECT_EQ(0, ibv_dealloc_pd(pd));
		attr.qp_state = IBV_QPS_UNKNOWN;
		EXPECT_EQ(0, ibv_query_qp(env->own.qp, &attr, IBV_QP_STATE,
					  &init));
		EXPECT_EQ(IBV_QPS_RTS, attr.qp_state);
	}
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_consent(_metadata, env, true);
	rdma_env_close(env);
	self->closed = true;
	EXPECT_EQ(0, hca_rebind(self->bdf));
}

/* The firmware never answers it, because it dies. */
TEST_F_TIMEOUT(hca_dies, firmware_after_timeout, 240)
{
	uint64_t old;
	struct hca_reader r;

	lose_command(_metadata, self, &r);
	old = hca_which(self->bdf);
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-syndrome", 1));
	check_recovery(_metadata, self, &r, old);
}

/* What another HCA has of the same memory: an MR of its own, and a connection */
struct other {
	struct rdma_end own, peer;
	struct ibv_mr *mr, *stage_mr;
	unsigned char *stage;
};

static int other_open(struct other *o, struct rdma_env *env)
{
	int ret;

	memset(o, 0, sizeof(*o));
	ret = rdma_peer_open(&o->own);
	if (!ret)
		ret = rdma_peer_open(&o->peer);
	if (!ret)
		ret = rdma_connect(&o->own, &o->peer);
	if (ret)
		return ret;
	o->stage = calloc(1, SIZE);
	o->stage_mr = ibv_reg_mr(o->peer.pd, o->stage, SIZE, RDMA_ACCESS);
	o->mr = rdma_reg_odp(&o->own, env->mem, SIZE);
	return o->mr && o->stage_mr ? 0 : -errno;
}

static void other_close(struct other *o)
{
	if (o->mr)
		ibv_dereg_mr(o->mr);
	if (o->stage_mr)
		ibv_dereg_mr(o->stage_mr);
	rdma_end_close(&o->peer);
	rdma_end_close(&o->own);
	free(o->stage);
}

static int other_op(struct other *o, struct rdma_env *env,
		    enum ibv_wr_opcode op)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = o->stage_mr,
		.local = o->stage,
		.len = SIZE,
		.remote = (uintptr_t)env->mem,
		.rkey = o->mr->rkey,
	};

	return rdma_run(&o->peer, &wr);
}

static int other_read(struct other *o, struct rdma_env *env)
{
	int ret;

	memset(o->stage, 0xa5, SIZE);
	ret = other_op(o, env, IBV_WR_RDMA_READ);
	return ret ? ret : memcmp(o->stage, env->ref, SIZE) ? -EILSEQ : 0;
}

/* Two HCAs use the same pages, in place, and both follow when they move. */
TEST_F_TIMEOUT(hca_dies, two_importers, 120)
{
	struct rdma_env *env = &self->env;
	struct other o;
	int i;

	ASSERT_EQ(0, other_open(&o, env));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 10 + i));
		EXPECT_EQ(0, other_read(&o, env));
		pattern_fill(o.stage, SIZE, 20 + i, 0);
		EXPECT_EQ(0, other_op(&o, env, IBV_WR_RDMA_WRITE));
		memcpy(env->ref, o.stage, SIZE);
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		if (!i) {
			expect_consent(_metadata, env, true);
			EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
		}
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE,
				       i % 2 ? IVGPU_PLACE_VRAM :
					       IVGPU_PLACE_RAM));
	}
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	other_close(&o);
}

/* One of them goes. The other does not notice. */
TEST_F_TIMEOUT(hca_dies, other_goes_on, 240)
{
	struct rdma_env *env = &self->env;
	struct hca_reader r;
	struct other o;
	int i;

	ASSERT_EQ(0, other_open(&o, env));
	ASSERT_EQ(0, hca_reader_start(&r, env));
	EXPECT_EQ(0, other_read(&o, env));
	ASSERT_EQ(0, unplug(self->monitor, HCA_ID, self->bdf));
	EXPECT_EQ(0, hca_reader_fails(&r));
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, other_read(&o, env));
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	ASSERT_EQ(0, plug(self->monitor, HCA_ID));
	ASSERT_EQ(0, hca_back(self->bdf, 0));
	EXPECT_EQ(0, other_read(&o, env));
	other_close(&o);
	rdma_env_close(env);
	self->closed = true;
	EXPECT_EQ(0, hca_in_place(SIZE));
}

TEST_HARNESS_MAIN
