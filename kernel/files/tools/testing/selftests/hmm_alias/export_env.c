// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "export_env.h"

/* Of a transfer that goes on while something happens */
#define PIECE		(SIZE / 16)
/* So long may an exporter refuse */
#define PATIENCE	50	/* tenths of a second */
#define POISON		0xa5

int peer_run(struct export_env *env, enum ibv_wr_opcode op, size_t off,
	     size_t len)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage + off,
		.len = len,
		.remote = (uintptr_t)env->mem + off,
		.rkey = env->mr->rkey,
	};

	return rdma_run(&env->peer, &wr);
}

int peer_read(struct export_env *env, size_t off, size_t len)
{
	int ret;

	memset(env->stage + off, POISON, len);
	ret = peer_run(env, IBV_WR_RDMA_READ, off, len);
	if (!ret && memcmp(env->stage + off, env->ref + off, len))
		ret = -EILSEQ;
	return ret;
}

int peer_write(struct export_env *env, size_t off, size_t len, uint64_t seed)
{
	int ret;

	pattern_fill(env->stage + off, len, seed, 0);
	ret = peer_run(env, IBV_WR_RDMA_WRITE, off, len);
	if (!ret)
		memcpy(env->ref + off, env->stage + off, len);
	return ret;
}

int export_fill(struct export_env *env, uint64_t seed)
{
	pattern_fill(env->ref, SIZE, seed, 0);
	memcpy(env->mem, env->ref, SIZE);
	return exporter_place(&env->exp, env->mem, SIZE);
}

int export_fill_as(struct export_env *env, bool consent, uint64_t seed)
{
	int ret, tries;

	if (!consent)
		return export_fill(env, seed);
	for (tries = 0; tries < PATIENCE; tries++) {
		ret = export_fill(env, seed);
		if (!ret)
			ret = peer_read(env, 0, SIZE);
		if (ret)
			return ret;
		if (exporter_pages(env->mem, SIZE) == SIZE / PAGE)
			return 0;
		usleep(100000);
	}
	return -ETIMEDOUT;
}

int export_env_connect(struct export_env *env)
{
	int ret = rdma_end_open(&env->own, NULL);

	if (!ret)
		ret = rdma_peer_open(&env->peer);
	if (!ret)
		ret = rdma_connect(&env->own, &env->peer);
	if (ret)
		return ret;
	env->stage_mr = ibv_reg_mr(env->peer.pd, env->stage, SIZE,
				   RDMA_ACCESS);
	env->mr = rdma_reg_odp(&env->own, env->mem, SIZE);
	return env->stage_mr && env->mr ? 0 : -errno;
}

void export_env_disconnect(struct export_env *env)
{
	if (env->mr)
		ibv_dereg_mr(env->mr);
	if (env->stage_mr)
		ibv_dereg_mr(env->stage_mr);
	env->mr = NULL;
	env->stage_mr = NULL;
	rdma_end_close(&env->peer);
	rdma_end_close(&env->own);
}

int export_env_open(struct export_env *env, bool consent, bool thp)
{
	int ret = exporter_open(&env->exp, getenv("GPU0"));

	if (!ret)
		ret = exporter_consent(env->exp.bdf, consent);
	if (ret)
		return ret;
	env->mem = map_aligned(SIZE, thp, &env->map, &env->map_size);
	env->ref = malloc(SIZE);
	env->stage = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!env->mem || !env->ref || env->stage == MAP_FAILED)
		return -ENOMEM;
	ret = export_env_connect(env);
	return ret ? ret : export_fill_as(env, consent, 1);
}

void export_env_close(struct export_env *env)
{
	export_env_disconnect(env);
	if (env->map)
		munmap(env->map, env->map_size);
	if (env->stage && env->stage != MAP_FAILED)
		munmap(env->stage, SIZE);
	free(env->ref);
	exporter_close(&env->exp);
}

static void *transfers(void *arg)
{
	struct traffic *t = arg;
	size_t off;
	int ret = 0;

	while (!ret && !__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		off = t->from + t->count / 2 * PIECE % (t->to - t->from);
		ret = t->count % 2 && !t->reads ?
		      peer_write(t->env, off, PIECE, t->count) :
		      peer_read(t->env, off, PIECE);
		if (!ret)
			__atomic_add_fetch(&t->count, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&t->error, ret, __ATOMIC_RELAXED);
	return NULL;
}

int traffic_flows(struct traffic *t)
{
	unsigned long seen = __atomic_load_n(&t->count, __ATOMIC_RELAXED);
	int tries;

	for (tries = 0; tries < 3000; tries++) {
		if (__atomic_load_n(&t->error, __ATOMIC_RELAXED))
			break;
		if (__atomic_load_n(&t->count, __ATOMIC_RELAXED) > seen + 2)
			return 0;
		usleep(20000);
	}
	return t->error ? t->error : -ETIMEDOUT;
}

static int start(struct traffic *t)
{
	if (pthread_create(&t->thread, NULL, transfers, t))
		return -EAGAIN;
	return traffic_flows(t);
}

int traffic_start(struct traffic *t, struct export_env *env, size_t from,
		  size_t to)
{
	*t = (struct traffic) { .env = env, .from = from, .to = to };
	return start(t);
}

int traffic_start_reads(struct traffic *t, struct export_env *env)
{
	*t = (struct traffic) { .env = env, .to = SIZE, .reads = true };
	return start(t);
}

int traffic_stop(struct traffic *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	pthread_join(t->thread, NULL);
	return t->error;
}
