// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "traffic.h"

static int transfer(struct dma_traffic *t)
{
	struct dma_env *env = t->env;
	unsigned char *mem = env->mem + t->off, *ref = env->ref + t->off;
	bool write = t->off >= env->size / 2;

	if (!t->verify)
		return dma_xfer(env->fd, (uintptr_t)mem, BUF,
				write ? HMM_DMA_WRITE : 0);
	return write ? dma_write(env->fd, mem, ref, BUF, t->seed) :
		       dma_check(env->fd, mem, ref, BUF);
}

static void *work(void *arg)
{
	struct dma_traffic *t = arg;
	int ret = 0;

	while (!ret && !__atomic_load_n(&t->stop, __ATOMIC_RELAXED)) {
		t->off = ++t->seed * 37 * PAGE % t->env->size;
		ret = transfer(t);
		if (ret)
			__atomic_store_n(&t->error, ret, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&t->count, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

int dma_traffic_start(struct dma_traffic *t, struct dma_env *env, bool verify)
{
	int ret;

	memset(t, 0, sizeof(*t));
	t->env = env;
	t->verify = verify;
	ret = -pthread_create(&t->thread, NULL, work, t);
	t->running = !ret;
	return ret ? ret : dma_traffic_flows(t);
}

int dma_traffic_flows(struct dma_traffic *t)
{
	unsigned long count = __atomic_load_n(&t->count, __ATOMIC_RELAXED);
	int tries, error = 0;

	for (tries = 3000; !error && tries; tries--) {
		if (__atomic_load_n(&t->count, __ATOMIC_RELAXED) > count + 3)
			return 0;
		usleep(20000);
		error = __atomic_load_n(&t->error, __ATOMIC_RELAXED);
	}
	return error ? error : -ETIMEDOUT;
}

int dma_traffic_stop(struct dma_traffic *t)
{
	__atomic_store_n(&t->stop, true, __ATOMIC_RELAXED);
	return dma_traffic_fails(t);
}

int dma_traffic_fails(struct dma_traffic *t)
{
	pthread_join(t->thread, NULL);
	t->running = false;
	return t->error;
}
