// SPDX-License-Identifier: GPL-2.0
/* The peer: READs the owner's memory, verifies every byte, WRITEs it anew. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "demo.h"
#include "verbs.h"

#define OUTSTANDING	4

struct peer {
	struct rdma_end end;
	struct ibv_mr *mr;
	unsigned char *ring;		/* OUTSTANDING chunks */
	uint64_t *expect;		/* one chunk */
};

static void peer_says(struct outcome *out, int error, const char *what,
		      uint64_t offset)
{
	out->error = error;
	snprintf(out->what, sizeof(out->what), "%s at offset %#" PRIx64, what,
		 offset);
}

static size_t chunk_len(const struct task *task, uint64_t chunk)
{
	uint64_t left = task->size - chunk * CHUNK;

	return left < CHUNK ? left : CHUNK;
}

static int peer_post(struct peer *peer, const struct task *task,
		     enum ibv_wr_opcode op, uint64_t chunk)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = peer->mr,
		.local = peer->ring + chunk % OUTSTANDING * CHUNK,
		.len = chunk_len(task, chunk),
		.remote = task->remote + chunk * CHUNK,
		.rkey = task->rkey,
	};

	if (op == IBV_WR_RDMA_WRITE)
		pattern_fill(wr.local, wr.len, task->seed_write,
			     chunk * CHUNK / sizeof(uint64_t));
	return rdma_post(&peer->end, &wr, chunk);
}

/* Compares what was READ; the sum of it does not stand for the bytes. */
static bool peer_verify(struct peer *peer, const struct task *task,
			uint64_t chunk, struct outcome *out)
{
	const unsigned char *got = peer->ring + chunk % OUTSTANDING * CHUNK;
	const unsigned char *want = (const void *)peer->expect;
	size_t len = chunk_len(task, chunk);
	size_t i;

	pattern_fill(peer->expect, len, task->seed_read,
		     chunk * CHUNK / sizeof(uint64_t));
	for (i = 0; i < len && got[i] == want[i]; i++)
		;
	out->verified += i;
	if (i < len)
		peer_says(out, EILSEQ, "READ returned a wrong byte",
			  chunk * CHUNK + i);
	return i == len;
}

static void peer_transfer(struct peer *peer, const struct task *task,
			  enum ibv_wr_opcode op, struct outcome *out)
{
	uint64_t chunks = (task->size + CHUNK - 1) / CHUNK;
	uint64_t posted = 0, done = 0, id;
	int ret;

	while (done < chunks) {
		if (posted < chunks && posted - done < OUTSTANDING) {
			ret = peer_post(peer, task, op, posted);
			if (ret) {
				peer_says(out, -ret, "cannot post",
					  posted * CHUNK);
				return;
			}
			posted++;
			continue;
		}
		ret = rdma_wait(&peer->end, &id);
		if (ret) {
			peer_says(out, ret < 0 ? -ret : EIO, ret < 0 ?
				  "no completion" : ibv_wc_status_str(ret),
				  done * CHUNK);
			return;
		}
		/* One connection completes in the order of posting. */
		if (id != done) {
			peer_says(out, EPROTO, "completion out of order",
				  done * CHUNK);
			return;
		}
		if (op == IBV_WR_RDMA_READ &&
		    !peer_verify(peer, task, done, out))
			return;
		done++;
	}
}

static int peer_serve(struct peer *peer, int sock)
{
	struct rdma_addr owner;
	struct task task;
	int ret;

	ret = send_msg(sock, &peer->end.addr, sizeof(peer->end.addr));
	if (!ret)
		ret = recv_msg(sock, &owner, sizeof(owner));
	if (!ret)
		ret = rdma_end_connect(&peer->end, &owner);
	if (ret)
		return ret;
	while (!(ret = recv_msg(sock, &task, sizeof(task)))) {
		struct outcome out = { 0 };

		peer_transfer(peer, &task, IBV_WR_RDMA_READ, &out);
		if (!out.error)
			peer_transfer(peer, &task, IBV_WR_RDMA_WRITE, &out);
		ret = send_msg(sock, &out, sizeof(out));
		if (ret)
			break;
	}
	return ret == -EPIPE ? 0 : ret;
}

/* The caller closes what this has opened, also when it fails. */
static int peer_open(struct peer *peer, const char *rdma)
{
	int ret;

	peer->expect = malloc(CHUNK);
	if (!peer->expect)
		return fail("peer: malloc", -ENOMEM);
	ret = rdma ? rdma_end_open(&peer->end, rdma) :
		     rdma_peer_open(&peer->end);
	if (ret)
		return fail("peer: cannot open the RDMA device", ret);
	peer->mr = ibv_reg_mr(peer->end.pd, peer->ring, OUTSTANDING * CHUNK,
			      IBV_ACCESS_LOCAL_WRITE);
	if (!peer->mr)
		return fail("peer: cannot register memory", -errno);
	return 0;
}

int peer_main(int sock, const char *rdma)
{
	struct peer peer = { 0 };
	int ret;

	peer.ring = mmap(NULL, OUTSTANDING * CHUNK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (peer.ring == MAP_FAILED)
		return fail("peer: mmap", -errno);
	ret = peer_open(&peer, rdma);
	if (!ret) {
		ret = peer_serve(&peer, sock);
		if (ret)
			ret = fail("peer: no connection to the owner", ret);
	}
	if (peer.mr)
		ibv_dereg_mr(peer.mr);
	rdma_end_close(&peer.end);
	free(peer.expect);
	munmap(peer.ring, OUTSTANDING * CHUNK);
	return ret ? EXIT_WRONG : EXIT_SHOWN;
}
