// SPDX-License-Identifier: GPL-2.0
/*
 * The owner of the memory: lets the device fill it, so that its pages are in
 * VRAM, hands it to the peer, and lets the device check what the peer wrote.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "demo.h"
#include "source.h"

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

struct owner {
	struct source source;
	struct rdma_end end;
	int sock;
	unsigned char *mem;
	size_t size;
};

/* The peer does its work and the device looks at the result. */
static int transfer(struct owner *owner, struct run *run, struct ibv_mr *mr)
{
	const struct task task = {
		.remote = (uintptr_t)owner->mem,
		.size = owner->size,
		.seed_read = run->consent ? 3 : 1,
		.seed_write = run->consent ? 4 : 2,
		.rkey = mr->rkey,
	};
	struct outcome out;
	uint64_t *words, sum, expect = 0;
	size_t off;
	int ret;

	ret = send_msg(owner->sock, &task, sizeof(task));
	if (!ret)
		ret = recv_msg(owner->sock, &out, sizeof(out));
	if (ret)
		return fail("the peer died", ret);
	if (out.error)
		return fail(out.what, -out.error);
	run->verified = out.verified;

	ret = source_sum(&owner->source, owner->mem, owner->size, run->consent,
			 &sum);
	if (ret == -ENXIO)
		return fail("a page has left the VRAM", 0);
	if (ret)
		return fail("the device cannot read the memory", ret);
	run->ms = now_ms() - run->ms;

	words = malloc(CHUNK);
	if (!words)
		return fail("malloc", -ENOMEM);
	for (off = 0; off < owner->size; off += CHUNK) {
		pattern_fill(words, CHUNK, task.seed_write, off / 8);
		expect += pattern_sum(words, CHUNK, off / 8);
	}
	free(words);
	if (sum != expect)
		return fail("the device does not see what the peer wrote", 0);
	run->verified += owner->size;
	return 0;
}

/* Everything is in VRAM. What moves, and why, is counted from here on. */
static int count_transfer(struct owner *owner, struct run *run)
{
	struct drm_ivgpu_counters start, end;
	struct ibv_mr *mr;
	int ret;

	ret = source_counters(&owner->source, &start);
	if (ret)
		return fail("cannot count", ret);
	mr = rdma_reg_odp(&owner->end, owner->mem, owner->size);
	if (!mr)
		return fail("cannot register on-demand memory", -errno);
	ret = transfer(owner, run, mr);
	if (!ret) {
		ret = source_counters(&owner->source, &end);
		if (ret)
			ret = fail("cannot count", ret);
	}
	ibv_dereg_mr(mr);
	if (ret)
		return ret;
	run->to_ram = end.pages_to_ram - start.pages_to_ram;
	run->to_vram = end.pages_to_vram - start.pages_to_vram;
	run->aliased = end.alias_pages - start.alias_pages;
	ret = decisions_stop(&run->why);
	if (!owner->source.ivgpu)
		run->aliased = decisions_granted(&run->why);
	return ret ? fail("cannot read the trace", ret) : 0;
}

static int do_run(struct owner *owner, struct run *run)
{
	int ret;

	ret = source_consent(&owner->source, run->consent);
	if (ret)
		return fail("cannot set the device's consent", ret);
	owner->mem = mmap(NULL, owner->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (owner->mem == MAP_FAILED)
		return fail("mmap", -errno);

	run->ms = now_ms();
	ret = source_fill(&owner->source, &owner->end, owner->mem, owner->size,
			  run->consent ? 3 : 1, run->consent);
	if (ret == -ENXIO)
		return fail("FILL left pages outside the VRAM", 0);
	if (ret)
		return fail("cannot move the memory to the device", ret);
	ret = decisions_start();
	if (ret)
		return fail("cannot trace", ret);
	ret = count_transfer(owner, run);
	decisions_end();
	munmap(owner->mem, owner->size);
	return ret;
}

static int run_both(struct owner *owner, bool json)
{
	struct run runs[2] = { { .consent = false }, { .consent = true } };
	int consent = source_consent_get(&owner->source);
	int ret = 0;
	size_t i;

	if (consent < 0)
		return fail("cannot read the device's consent", consent);
	for (i = 0; i < 2 && !ret; i++)
		ret = do_run(owner, &runs[i]);
	source_consent(&owner->source, consent);
	if (ret)
		return ret;

	return report(&runs[0], &runs[1], owner->size, json);
}

/* Ours first: from the moment the peer knows the address, it may send. */
static int owner_connect(struct owner *owner)
{
	struct rdma_addr peer;
	int ret;

	ret = recv_msg(owner->sock, &peer, sizeof(peer));
	if (!ret)
		ret = rdma_end_connect(&owner->end, &peer);
	if (!ret)
		ret = send_msg(owner->sock, &owner->end.addr,
			       sizeof(owner->end.addr));
	return ret;
}

int owner_main(int sock, size_t size, const char *rdma, bool json)
{
	struct owner owner = { .sock = sock, .size = size };
	int ret;

	ret = source_open(&owner.source);
	if (ret) {
		fail("cannot open ivgpu, or the exporter GPU0", ret);
		return ret == -ENODEV ? EXIT_NO_DEVICE : EXIT_WRONG;
	}
	ret = rdma_end_open(&owner.end, rdma);
	if (ret) {
		fail("cannot open the RDMA device", ret);
		ret = ret == -ENODEV ? EXIT_NO_DEVICE : EXIT_WRONG;
	} else {
		ret = owner_connect(&owner);
		ret = ret ? fail("cannot connect to the peer", ret) :
			    run_both(&owner, json);
		rdma_end_close(&owner.end);
	}
	source_close(&owner.source);
	return ret;
}
