// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alias_env.h"

#define THP_SIZE	(2 * MIB)
/* Neither a byte of the patterns' first words nor what memory starts with. */
#define POISON		0xa5

const char *alias_env_absent(void)
{
	struct alias_end end;
	int ret;

	if (!alias_gpu_count())
		return "no ivshmem-plain device";
	ret = alias_end_open(&end, NULL);
	if (!ret)
		alias_end_close(&end);
	return ret == -ENODEV ? "no RDMA device with on-demand paging" : NULL;
}

size_t alias_pages(size_t size)
{
	return size / sysconf(_SC_PAGESIZE);
}

void *alias_map(size_t size, bool thp, void **map, size_t *map_size)
{
	char *p;

	*map_size = size + THP_SIZE;
	p = mmap(NULL, *map_size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	*map = p;
	p += -(uintptr_t)p % THP_SIZE;
	if (madvise(p, size, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return NULL;
	/* The engine's fault alone may choose small pages. */
	if (thp)
		memset(p, 0, size);
	return p;
}

static int env_connect(struct alias_env *env)
{
	int ret = alias_end_connect(&env->own, &env->peer.addr);

	return ret ? ret : alias_end_connect(&env->peer, &env->own.addr);
}

static int env_open(struct alias_env *env, bool consent, bool thp)
{
	size_t stage = env->size;
	int ret;

	ret = alias_param_set("p2p", consent ? "Y" : "N");
	if (!ret)
		ret = alias_gpu_open(&env->gpu, 0);
	if (!ret)
		ret = alias_end_open(&env->own, NULL);
	if (!ret)
		ret = alias_end_open(&env->peer, NULL);
	if (!ret)
		ret = env_connect(env);
	if (ret)
		return ret;

	env->mem = alias_map(env->size, thp, &env->map, &env->map_size);
	env->ref = calloc(1, env->size);
	env->stage = mmap(NULL, stage, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!env->mem || !env->ref || env->stage == MAP_FAILED)
		return -ENOMEM;

	env->stage_mr = ibv_reg_mr(env->peer.pd, env->stage, stage,
				   ALIAS_ACCESS);
	env->stage_own_mr = ibv_reg_mr(env->own.pd, env->stage, stage,
				       ALIAS_ACCESS);
	/* Before the engine fills it: registering must not be what aliases. */
	env->mr = alias_reg_odp(&env->own, env->mem, env->size);
	if (!env->stage_mr || !env->stage_own_mr || !env->mr)
		return -errno;
	return alias_env_mark(env);
}

int alias_env_open(struct alias_env *env, size_t size, bool consent, bool thp)
{
	int ret;

	memset(env, 0, sizeof(*env));
	env->gpu.fd = -1;
	env->size = size;
	ret = env_open(env, consent, thp);
	if (ret)
		alias_env_close(env);
	return ret;
}

void alias_env_close(struct alias_env *env)
{
	if (env->mr)
		ibv_dereg_mr(env->mr);
	if (env->stage_own_mr)
		ibv_dereg_mr(env->stage_own_mr);
	if (env->stage_mr)
		ibv_dereg_mr(env->stage_mr);
	alias_end_close(&env->peer);
	alias_end_close(&env->own);
	if (env->stage && env->stage != MAP_FAILED)
		munmap(env->stage, env->size);
	free(env->ref);
	if (env->map)
		munmap(env->map, env->map_size);
	alias_gpu_close(&env->gpu);
}

int alias_env_reconnect(struct alias_env *env)
{
	int ret = alias_end_reset(&env->own);

	if (!ret)
		ret = alias_end_reset(&env->peer);
	return ret ? ret : env_connect(env);
}

int alias_env_fill(struct alias_env *env, uint64_t seed)
{
	long n;
	int ret;

	ret = alias_gpu_fill(&env->gpu, env->mem, env->size, seed);
	if (ret)
		return ret;
	alias_pattern(env->ref, env->size, seed, 0);
	n = alias_gpu_place(&env->gpu, env->mem, env->size, IVGPU_PLACE_VRAM);
	if (n < 0)
		return n;
	if ((size_t)n != alias_pages(env->size))
		return -ENXIO;
	return alias_env_mark(env);
}

static struct alias_wr env_wr(struct alias_env *env, enum ibv_wr_opcode op,
			      size_t off, size_t len)
{
	return (struct alias_wr){
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage + off,
		.len = len,
		.remote = (uintptr_t)env->mem + off,
		.rkey = env->mr->rkey,
	};
}

int alias_env_read(struct alias_env *env, size_t off, size_t len)
{
	struct alias_wr wr = env_wr(env, IBV_WR_RDMA_READ, off, len);
	size_t i;
	int ret;

	memset(env->stage, POISON, env->size);
	ret = alias_run(&env->peer, &wr);
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

int alias_env_write(struct alias_env *env, size_t off, size_t len,
		    uint64_t seed)
{
	struct alias_wr wr = env_wr(env, IBV_WR_RDMA_WRITE, off, len);
	int ret;

	/* The words around it differ from those of @mem: strays show. */
	alias_pattern(env->stage, env->size, seed, 0);
	ret = alias_run(&env->peer, &wr);
	if (!ret)
		memcpy(env->ref + off, env->stage + off, len);
	return ret;
}

int alias_env_cpu(struct alias_env *env, size_t off, size_t len)
{
	return memcmp(env->mem + off, env->ref + off, len) ? -EILSEQ : 0;
}

int alias_env_vram(struct alias_env *env, size_t off, size_t len)
{
	uint64_t sum;
	int ret;

	ret = alias_gpu_sum(&env->gpu, env->mem + off, len,
			    IVGPU_JOB_FLAG_VRAM_ONLY, &sum);
	if (ret)
		return ret;
	return sum == alias_sum(env->ref + off, len, 0) ? 0 : -EILSEQ;
}

int alias_env_mark(struct alias_env *env)
{
	return alias_gpu_counters(&env->gpu, &env->base);
}

int alias_env_delta(struct alias_env *env, struct drm_ivgpu_counters *d)
{
	int ret = alias_gpu_counters(&env->gpu, d);

	d->pages_to_vram -= env->base.pages_to_vram;
	d->pages_to_ram -= env->base.pages_to_ram;
	d->pages_evicted -= env->base.pages_evicted;
	d->engine_faults -= env->base.engine_faults;
	d->alias_pages -= env->base.alias_pages;
	d->alias_refused -= env->base.alias_refused;
	return ret;
}

int alias_trace_find(const void *addr, const char *event, const char *word,
		     char *line, size_t size)
{
	char buf[512], name[64], first[64], field[96];
	FILE *f = fopen(ALIAS_TRACE "trace", "r");
	int n = 0;

	if (!f)
		return -errno;
	snprintf(name, sizeof(name), " %s: ", event);
	snprintf(first, sizeof(first), " addr=%#lx ", (unsigned long)addr);
	snprintf(field, sizeof(field), " %s ", word);
	while (fgets(buf, sizeof(buf), f)) {
		buf[strcspn(buf, "\n")] = ' ';
		if (!strstr(buf, name) || !strstr(buf, field))
			continue;
		if (addr && !strstr(buf, first))
			continue;
		n++;
		if (line)
			snprintf(line, size, "%s", buf);
	}
	fclose(f);
	return n;
}
