// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mem.h"
#include "rdma.h"

/* Neither a byte of the patterns' first words nor what memory starts with. */
#define POISON		0xa5

const char *rdma_env_absent(void)
{
	struct rdma_end end;
	int ret;

	if (!gpu_count())
		return "no ivshmem-plain device";
	ret = rdma_end_open(&end, NULL);
	if (!ret)
		rdma_end_close(&end);
	return ret == -ENODEV ? "no RDMA device with on-demand paging" : NULL;
}

int rdma_env_prepare(struct rdma_env *env, bool thp)
{
	int ret;

	ret = rdma_end_open(&env->own, NULL);
	if (!ret)
		ret = rdma_peer_open(&env->peer);
	if (!ret)
		ret = rdma_connect(&env->own, &env->peer);
	if (ret)
		return ret;

	env->mem = map_aligned(env->size, thp, &env->map, &env->map_size);
	env->ref = calloc(1, env->size);
	env->stage = mmap(NULL, env->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!env->mem || !env->ref || env->stage == MAP_FAILED)
		return -ENOMEM;
	return 0;
}

static int env_open(struct rdma_env *env, bool consent, bool thp)
{
	int ret;

	ret = gpu_consent(consent);
	if (!ret)
		ret = gpu_open(&env->gpu, 0);
	if (!ret)
		ret = rdma_env_prepare(env, thp);
	if (ret)
		return ret;

	env->stage_mr = ibv_reg_mr(env->peer.pd, env->stage, env->size,
				   RDMA_ACCESS);
	/* Before the engine fills it: registering must not be what aliases. */
	env->mr = rdma_reg_odp(&env->own, env->mem, env->size);
	if (!env->stage_mr || !env->mr)
		return -errno;
	return rdma_env_mark(env);
}

int rdma_env_open(struct rdma_env *env, size_t size, bool consent, bool thp)
{
	int ret;

	memset(env, 0, sizeof(*env));
	env->gpu.fd = -1;
	env->size = size;
	ret = env_open(env, consent, thp);
	if (ret)
		rdma_env_close(env);
	return ret;
}

void rdma_env_close(struct rdma_env *env)
{
	if (env->mr)
		ibv_dereg_mr(env->mr);
	if (env->stage_mr)
		ibv_dereg_mr(env->stage_mr);
	rdma_end_close(&env->peer);
	rdma_end_close(&env->own);
	if (env->stage && env->stage != MAP_FAILED)
		munmap(env->stage, env->size);
	free(env->ref);
	if (env->map)
		munmap(env->map, env->map_size);
	gpu_close(&env->gpu);
}

const char *rdma_env_access(const struct rdma_env *env)
{
	return env->own.cpu ? "access=cpu" : "access=dma";
}

int rdma_env_reconnect(struct rdma_env *env)
{
	return rdma_reconnect(&env->own, &env->peer);
}

int rdma_env_fill(struct rdma_env *env, uint64_t seed)
{
	int ret = gpu_fill_vram(&env->gpu, env->mem, env->size, seed);

	pattern_fill(env->ref, env->size, seed, 0);
	return ret ? ret : rdma_env_mark(env);
}

static struct rdma_wr env_wr(struct rdma_env *env, enum ibv_wr_opcode op,
			     size_t off, size_t len)
{
	return (struct rdma_wr){
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage + off,
		.len = len,
		.remote = (uintptr_t)env->mem + off,
		.rkey = env->mr->rkey,
	};
}

int rdma_env_read(struct rdma_env *env, size_t off, size_t len)
{
	struct rdma_wr wr = env_wr(env, IBV_WR_RDMA_READ, off, len);
	size_t i;
	int ret;

	memset(env->stage, POISON, env->size);
	ret = rdma_run(&env->peer, &wr);
	if (ret)
		return ret;
	if (memcmp(env->stage + off, env->ref + off, len))
		return -EILSEQ;
	for (i = 0; i < env->size; i++) {
		if (i == off)
			i += len;
		if (i < env->size && env->stage[i] != POISON)
			return -EILSEQ;
	}
	return 0;
}

int rdma_env_write(struct rdma_env *env, size_t off, size_t len, uint64_t seed)
{
	struct rdma_wr wr = env_wr(env, IBV_WR_RDMA_WRITE, off, len);
	int ret;

	/* The words around it differ from those of @mem: strays show. */
	pattern_fill(env->stage, env->size, seed, 0);
	ret = rdma_run(&env->peer, &wr);
	if (!ret)
		memcpy(env->ref + off, env->stage + off, len);
	return ret;
}

int rdma_env_readable(struct rdma_env *env, size_t off, size_t len)
{
	if (!env->own.faults_write)
		return 0;
	return rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH,
			   IBV_ADVISE_MR_FLAG_FLUSH, env->mr, env->mem + off,
			   len);
}

int rdma_env_cpu(struct rdma_env *env, size_t off, size_t len)
{
	return memcmp(env->mem + off, env->ref + off, len) ? -EILSEQ : 0;
}

int rdma_env_vram(struct rdma_env *env, size_t off, size_t len)
{
	uint64_t sum;
	int ret;

	ret = gpu_sum(&env->gpu, env->mem + off, len, IVGPU_JOB_FLAG_VRAM_ONLY,
		      &sum);
	if (ret)
		return ret;
	return sum == pattern_sum(env->ref + off, len, 0) ? 0 : -EILSEQ;
}

int rdma_env_mark(struct rdma_env *env)
{
	return gpu_counters(&env->gpu, &env->base);
}

int rdma_env_delta(struct rdma_env *env, struct drm_ivgpu_counters *d)
{
	int ret = gpu_counters(&env->gpu, d);

	d->pages_to_vram -= env->base.pages_to_vram;
	d->pages_to_ram -= env->base.pages_to_ram;
	d->pages_evicted -= env->base.pages_evicted;
	d->engine_faults -= env->base.engine_faults;
	d->alias_pages -= env->base.alias_pages;
	d->alias_refused -= env->base.alias_refused;
	return ret;
}
