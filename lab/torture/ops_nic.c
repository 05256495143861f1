// SPDX-License-Identifier: GPL-2.0
/*
 * What an RDMA device does: all threads of a process share its MRs, and each has
 * a connection of its own, between two ends of this process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ops.h"

#define ODP_ACCESS	(RDMA_ACCESS | IBV_ACCESS_ON_DEMAND)

void nic_forget(void)
{
	unsigned int i;

	me.nic_open = me.nic_absent = false;
	for (i = 0; i < NR_MRS; i++) {
		pthread_mutex_init(&me.mr[i].lock, NULL);
		me.mr[i].mr = NULL;
	}
	memset(me.conn, 0, sizeof(me.conn));
}

static bool nic(void)
{
	pthread_mutex_lock(&me.opening);
	if (!me.nic_open && !me.nic_absent) {
		me.nic_open = !rdma_end_open(&me.nic, NULL);
		me.nic_absent = !me.nic_open;
	}
	pthread_mutex_unlock(&me.opening);
	return me.nic_open;
}

static void disconnect(struct conn *c)
{
	if (c->stage_mr)
		ibv_dereg_mr(c->stage_mr);
	rdma_end_close(&c->peer);
	rdma_end_close(&c->own);
	if (c->stage)
		munmap(c->stage, STAGE_PAGES * PAGE);
	memset(c, 0, sizeof(*c));
}

/* The connection of this thread; NULL: there is no device, or no memory */
static struct conn *conn(void)
{
	struct conn *c = &me.conn[thread_id];
	int ret;

	if (c->up)
		return c;
	if (!nic())
		return NULL;
	ret = rdma_end_twin(&c->own, &me.nic);
	if (!ret)
		ret = rdma_end_twin(&c->peer, &me.nic);
	if (!ret)
		ret = rdma_connect(&c->own, &c->peer);
	if (!ret) {
		c->stage = mmap(NULL, STAGE_PAGES * PAGE, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (c->stage == MAP_FAILED)
			c->stage = NULL;
	}
	if (c->stage) {
		/* A child writes to its own. */
		madvise(c->stage, STAGE_PAGES * PAGE, MADV_DONTFORK);
		c->stage_mr = ibv_reg_mr(me.nic.pd, c->stage, STAGE_PAGES * PAGE,
					 RDMA_ACCESS);
	}
	c->up = c->stage_mr;
	if (!c->up)
		disconnect(c);
	return c->up ? c : NULL;
}

/* After an error completion nothing works before this. */
static void again(struct conn *c)
{
	if (rdma_reconnect(&c->own, &c->peer))
		disconnect(c);
}

/* The MR of an operation, with its lock held; NULL: none is registered there */
static struct mr *mr_get(const struct op *op)
{
	struct mr *mr = &me.mr[op->arg[0] % NR_MRS];

	pthread_mutex_lock(&mr->lock);
	if (mr->mr)
		return mr;
	pthread_mutex_unlock(&mr->lock);
	return NULL;
}

/* The part of an MR that arguments @page and @n say, at most what a stage holds */
static struct span mr_span(const struct mr *mr, const struct op *op)
{
	struct span s = mr->s;
	unsigned int first = op->arg[1] % s.n, n = 1 + op->arg[2] % STAGE_PAGES;

	s.page += first;
	s.n -= first;
	if (s.n > n)
		s.n = n;
	return s;
}

/* Where the device has it */
static uint64_t remote(const struct mr *mr, const struct span *s)
{
	return (uintptr_t)span_at(s) + mr->ahead;
}

int op_reg(const struct op *op)
{
	const unsigned int type = op->arg[1] % 8;
	struct mr *mr = &me.mr[op->arg[0] % NR_MRS];
	struct span s = op_span(op, 2);
	int ret = 0;

	if (!nic())
		return -ENODEV;
	pthread_mutex_lock(&mr->lock);
	if (mr->mr)
		ibv_dereg_mr(mr->mr);
	mr->odp = type;
	mr->ahead = type == 2 ? 0x123000 : type == 3 ? -0x5000000ULL : 0;
	mr->implicit = type == 4;
	if (mr->implicit) {
		s = (struct span){ s.r, 0, REGION_PAGES };
		mr->mr = ibv_reg_mr(me.nic.pd, NULL, SIZE_MAX, ODP_ACCESS);
	} else {
		mr->mr = ibv_reg_mr_iova(me.nic.pd, span_at(&s), s.n * PAGE,
					 (uintptr_t)span_at(&s) + mr->ahead,
					 RDMA_ACCESS | IBV_ACCESS_MW_BIND |
					 (mr->odp ? IBV_ACCESS_ON_DEMAND : 0));
	}
	ret = mr->mr ? 0 : -errno;
	mr->s = s;
	pthread_mutex_unlock(&mr->lock);
	return ret;
}

int op_dereg(const struct op *op)
{
	struct mr *mr = mr_get(op);
	int ret;

	if (!mr)
		return -ENOENT;
	ret = -ibv_dereg_mr(mr->mr);
	if (ret)
		fail("ibv_dereg_mr: p%u: %d", me.id, ret);
	mr->mr = NULL;
	pthread_mutex_unlock(&mr->lock);
	return ret;
}

/* The same access, so that nothing is to be known of it */
int op_rereg(const struct op *op)
{
	struct mr *mr = mr_get(op);
	int ret;

	if (!mr)
		return -ENOENT;
	ret = ibv_rereg_mr(mr->mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
			   RDMA_ACCESS | (mr->implicit ? 0 : IBV_ACCESS_MW_BIND) |
			   (mr->odp ? IBV_ACCESS_ON_DEMAND : 0));
	pthread_mutex_unlock(&mr->lock);
	return ret ? -errno : 0;
}

int op_prefetch(const struct op *op)
{
	struct mr *mr = mr_get(op);
	struct span s;
	int ret;

	if (!mr)
		return -ENOENT;
	s = mr_span(mr, op);
	ret = rdma_advise(&me.nic, op->arg[3] % 3, op->arg[3] / 3 % 2, mr->mr,
			  (void *)remote(mr, &s), s.n * PAGE);
	pthread_mutex_unlock(&mr->lock);
	return ret;
}

enum way { READ, PUSH, WRITE, SEND };

/* What a transfer is between, and which way it goes */
struct route {
	enum way way;
	struct conn *c;
	struct mr *mr;
	uint32_t rkey;
};

static int route_io(const struct op *op, const struct span *s, struct access *a)
{
	static const enum ibv_wr_opcode codes[] = {
		IBV_WR_RDMA_READ, IBV_WR_RDMA_WRITE, IBV_WR_RDMA_WRITE, IBV_WR_SEND
	};
	struct route *route = a->priv;
	struct conn *c = route->c;
	/* By the peer, whose memory the stage is */
	struct rdma_wr wr = {
		.op = codes[route->way],
		.mr = c->stage_mr,
		.local = c->stage + a->off,
		.len = s->n * PAGE - a->off,
		.remote = remote(route->mr, s) + a->off,
		.rkey = route->rkey,
	};
	int ret = 0;

	(void)op;
	if (route->way == PUSH) {
		wr.mr = route->mr->mr;
		wr.local = (void *)remote(route->mr, s);
		wr.remote = (uintptr_t)c->stage;
		wr.rkey = c->stage_mr->rkey;
		return rdma_run(&c->own, &wr);
	}
	if (route->way == SEND)
		ret = rdma_post_recv(&c->own, route->mr->mr,
				     (void *)remote(route->mr, s), wr.len);
	if (!ret)
		ret = rdma_run(&c->peer, &wr);
	if (!ret && route->way == SEND)
		ret = rdma_wait(&c->own, NULL);
	return ret;
}

static int move(const struct op *op, enum way way, unsigned int off)
{
	static const char *const names[] = {
		"RDMA READ", "RDMA WRITE from it", "RDMA WRITE", "SEND"
	};
	struct route route = { way, conn() };
	struct access a = { names[way], route_io, .write = way == WRITE || way == SEND,
			    .device = true, .off = off, .priv = &route };
	int ret;

	if (!route.c)
		return -ENODEV;
	route.mr = mr_get(op);
	if (!route.mr)
		return -ENOENT;
	/* The pages of a pinned MR may be anywhere now: they must not change. */
	if (a.write && !route.mr->odp) {
		pthread_mutex_unlock(&route.mr->lock);
		return -EINVAL;
	}
	a.data = route.c->stage;
	/* An HCA faults for writing. */
	a.blind = !route.mr->odp;
	a.unsure = a.blind || (me.nic.faults_write && !a.write);
	route.rkey = route.mr->mr->rkey;
	ret = span_access(op, mr_span(route.mr, op), &a);
	pthread_mutex_unlock(&route.mr->lock);
	if (ret)
		again(route.c);
	return ret;
}

int op_read(const struct op *op)
{
	return move(op, READ, op->arg[3] % PAGE);
}

int op_push(const struct op *op)
{
	return move(op, PUSH, 0);
}

int op_nic_write(const struct op *op)
{
	return move(op, WRITE, 0);
}

int op_send(const struct op *op)
{
	return move(op, SEND, 0);
}

/* Adds something to a word, or swaps it, and undoes that; each gives what was there. */
int op_atomic(const struct op *op)
{
	struct conn *c = conn();
	struct mr *mr = c ? mr_get(op) : NULL;
	unsigned int word = op->arg[2] % (PAGE / 8), i;
	bool add = op->arg[3] % 2;
	uint64_t want, value = fill_new();
	struct span s;
	int ret = 0;

	if (!mr)
		return c ? -ENOENT : -ENODEV;
	s = mr->s;
	s.page += op->arg[1] % s.n;
	s.n = 1;
	span_enter(&s, false);
	if (!mr->odp || device_can(&s, true) != YES || shared->tight ||
	    me.region[s.r].seed[s.page] == UNKNOWN) {
		span_leave(&s, false);
		pthread_mutex_unlock(&mr->lock);
		return -EBUSY;
	}
	want = page_word(s.r, s.page, word);
	for (i = 0; !ret && i < 2; i++) {
		uint64_t next = i ? want - value : want + value;
		struct rdma_wr wr = {
			.op = add ? IBV_WR_ATOMIC_FETCH_AND_ADD :
				    IBV_WR_ATOMIC_CMP_AND_SWP,
			.mr = c->stage_mr,
			.local = c->stage,
			.len = 8,
			.remote = remote(mr, &s) + word * 8,
			.rkey = mr->mr->rkey,
			.a = add ? next - want : want,
			.b = next,
		};

		ret = judge("atomic", rdma_run(&c->peer, &wr), YES);
		if (!ret && *(uint64_t *)c->stage != want)
			fail("atomic: p%u region %u page %u word %u was %#llx, not %#llx",
			     me.id, s.r, s.page, word,
			     *(unsigned long long *)c->stage,
			     (unsigned long long)want);
		want = next;
	}
	if (ret && !TRY(memset(span_at(&s), 0, PAGE)))
		span_set(&s, ZERO);
	span_leave(&s, false);
	pthread_mutex_unlock(&mr->lock);
	if (ret)
		again(c);
	return ret;
}

/* Neither end of an MR is further away than it says. */
int op_outside(const struct op *op)
{
	static const unsigned int dists[] = { 1, 8, PAGE, 16 * PAGE, 1 << 20, 1 << 30 };
	struct conn *c = conn();
	struct mr *mr = c ? mr_get(op) : NULL;
	uint64_t dist = dists[op->arg[1] % 6];
	struct rdma_wr wr;
	int ret;

	if (!mr)
		return c ? -ENOENT : -ENODEV;
	if (mr->implicit) {
		pthread_mutex_unlock(&mr->lock);
		return -EINVAL;
	}
	wr = (struct rdma_wr){
		.op = op->arg[2] % 2 ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
		.mr = c->stage_mr,
		.local = c->stage,
		.len = 8,
		.remote = remote(mr, &mr->s),
		.rkey = mr->mr->rkey,
	};
	wr.remote += op->arg[2] % 4 < 2 ? mr->s.n * PAGE - 8 + dist : -dist;
	memset(c->stage, 0, PAGE);
	ret = rdma_run(&c->peer, &wr);
	if (!ret)
		fail("outside: p%u: %#llx bytes %s an MR can be accessed", me.id,
		     (unsigned long long)dist, op->arg[2] % 4 < 2 ? "behind" : "before");
	again(c);
	pthread_mutex_unlock(&mr->lock);
	return ret;
}

/* Destroys the queue pairs while they are at work. Nothing is written later. */
int op_abort(const struct op *op)
{
	struct conn *c = conn();
	struct mr *mr = c ? mr_get(op) : NULL;
	uint64_t fill = fill_new();
	unsigned int i;
	struct span s;
	bool write;

	if (!mr)
		return c ? -ENOENT : -ENODEV;
	write = mr->odp && op->arg[3] % 2;
	s = mr_span(mr, op);
	span_enter(&s, false);
	pattern_fill(c->stage, s.n * PAGE, fill, 0);
	for (i = 0; i < 4; i++) {
		struct rdma_wr wr = {
			.op = write ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ,
			.mr = c->stage_mr,
			.local = c->stage,
			.len = s.n * PAGE,
			.remote = remote(mr, &s),
			.rkey = mr->mr->rkey,
		};

		rdma_post(&c->peer, &wr, i);
	}
	if (op->arg[3] % 4 < 2)
		usleep(op->arg[3] % 1000);
	again(c);
	if (write)
		span_set(&s, UNKNOWN);
	span_leave(&s, false);
	pthread_mutex_unlock(&mr->lock);
	return 0;
}

/* A memory window over a part of an MR, which leads no further than that */
static int window(const struct op *op, struct conn *c, struct mr *mr,
		  struct ibv_mw *mw)
{
	struct span s = mr_span(mr, op), more = s;
	struct route route = { READ, c, mr };
	struct access a = { "READ of a window", route_io, .device = true,
			    .data = c->stage, .priv = &route };
	int ret, beyond = 0;

	a.blind = !mr->odp;
	a.unsure = a.blind || me.nic.faults_write;
	ret = rdma_bind_mw(&c->own, mr->mr, mw, remote(mr, &s), s.n * PAGE,
			   RDMA_ACCESS & ~IBV_ACCESS_LOCAL_WRITE);
	ret = judge("bind of a window", ret, a.blind ? MAYBE : YES);
	route.rkey = mw->rkey;
	if (!ret)
		ret = span_access(op, s, &a);
	if (!ret && s.n < STAGE_PAGES) {
		more.n++;
		beyond = route_io(op, &more, &a);
		if (!beyond)
			fail("window: p%u: READ beyond its end works", me.id);
	}
	if (ret || beyond)
		again(c);
	return ret;
}

int op_window(const struct op *op)
{
	struct conn *c = conn();
	struct mr *mr = c ? mr_get(op) : NULL;
	struct ibv_mw *mw;
	int ret = -EINVAL;

	if (!mr)
		return c ? -ENOENT : -ENODEV;
	mw = mr->implicit ? NULL : ibv_alloc_mw(me.nic.pd, IBV_MW_TYPE_2);
	if (mw) {
		ret = window(op, c, mr, mw);
		ibv_dealloc_mw(mw);
	}
	pthread_mutex_unlock(&mr->lock);
	return ret;
}

int op_reset(const struct op *op)
{
	struct conn *c = conn();

	(void)op;
	if (!c)
		return -ENODEV;
	disconnect(c);
	return conn() ? 0 : -EIO;
}
