// SPDX-License-Identifier: GPL-2.0
/* Two machines that run the same test */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"
#include "pair_env.h"

#define SERVER		"10.1.0.1"
#define PORT		7000
/* The other machine may boot later, or be at a test that takes its time. */
#define PATIENCE	240	/* s */

const char *pair_absent(void)
{
	return getenv("PAIR") ? rdma_env_absent() : "PAIR is not set";
}

static int wait_for(struct sockaddr_in *at)
{
	int one = 1, fd, sock;
	struct pollfd pfd = { .events = POLLIN };

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	pfd.fd = fd;
	if (bind(fd, (struct sockaddr *)at, sizeof(*at)) || listen(fd, 1))
		sock = -errno;
	else if (poll(&pfd, 1, PATIENCE * 1000) != 1)
		sock = -ETIMEDOUT;
	else
		sock = accept(fd, NULL, NULL);
	close(fd);
	return sock;
}

static int call(struct sockaddr_in *at)
{
	int tries, fd;

	for (tries = PATIENCE * 10; tries; tries--) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return -errno;
		if (!connect(fd, (struct sockaddr *)at, sizeof(*at)))
			return fd;
		close(fd);
		usleep(100000);
	}
	return -ETIMEDOUT;
}

/* As the other one does, at the same time */
static int swap(struct pair *p, const void *mine, void *theirs, size_t size)
{
	struct timeval patience = { .tv_sec = PATIENCE };
	ssize_t n;

	setsockopt(p->sock, SOL_SOCKET, SO_RCVTIMEO, &patience,
		   sizeof(patience));
	if (send(p->sock, mine, size, MSG_NOSIGNAL) != (ssize_t)size)
		return -EPIPE;
	n = recv(p->sock, theirs, size, MSG_WAITALL);
	return n == (ssize_t)size ? 0 : -EPIPE;
}

int pair_meet(struct pair *p)
{
	char here = 0, there;

	return swap(p, &here, &there, 1);
}

static int connect_both(struct pair *p)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = inet_addr(SERVER),
	};
	struct pair_mem mine = {
		.addr = p->end.addr,
		.va = (uintptr_t)p->env.mem,
		.rkey = p->env.mr->rkey,
	};
	int ret;

	p->sock = p->me ? call(&at) : wait_for(&at);
	if (p->sock < 0)
		return p->sock;
	ret = swap(p, &mine, &p->other, sizeof(mine));
	if (!ret)
		ret = rdma_end_connect(&p->end, &p->other.addr);
	return ret ? ret : pair_meet(p);
}

int pair_open(struct pair *p, size_t size, bool consent)
{
	int ret;

	memset(p, 0, sizeof(*p));
	p->sock = -1;
	p->me = atoi(getenv("PAIR"));
	ret = rdma_env_open(&p->env, size, consent, false);
	if (ret)
		return ret;
	memset(p->env.mem, 0, size);
	ret = rdma_end_twin(&p->end, &p->env.own);
	p->buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!ret && p->buf != MAP_FAILED)
		p->mr = ibv_reg_mr(p->env.own.pd, p->buf, size, RDMA_ACCESS);
	if (!ret && !p->mr)
		ret = -errno;
	if (!ret)
		ret = pair_fill(p, 0);
	if (!ret)
		ret = connect_both(p);
	if (ret)
		pair_close(p);
	return ret;
}

void pair_close(struct pair *p)
{
	if (p->sock >= 0)
		close(p->sock);
	if (p->mr)
		ibv_dereg_mr(p->mr);
	rdma_end_close(&p->end);
	if (p->buf && p->buf != MAP_FAILED)
		munmap(p->buf, p->env.size);
	rdma_env_close(&p->env);
}

uint64_t pair_seed(int machine, int round)
{
	return 100 * round + 10 + machine;
}

int pair_fill(struct pair *p, int round)
{
	return rdma_env_fill(&p->env, pair_seed(p->me, round));
}

int pair_run(struct pair *p, enum ibv_wr_opcode op)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = p->mr,
		.local = p->buf,
		.len = p->env.size,
		.remote = p->other.va,
		.rkey = p->other.rkey,
	};

	return rdma_run(&p->end, &wr);
}
