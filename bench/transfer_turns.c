// SPDX-License-Identifier: GPL-2.0
/* The device and the peer use the same memory in turn. */
#include <err.h>
#include <string.h>

#include "transfer.h"
#include "work.h"

#define F1_SIZE		(64 * MIB)
#define F1_PIECE	MIB
#define ROUNDS		2
#define ADDEND		7

/**
 * struct round - what one round has taken
 * @moved: pages
 * @work: instructions
 */
struct round {
	uint64_t moved[ROUNDS];
	uint64_t work[ROUNDS];
};

/* The device writes, the peer reads unless @peer is false, the device adds. */
static void f1_round(struct transfer *t, struct area *a, uint64_t seed,
		     bool peer, uint64_t *moved, uint64_t *work)
{
	uint64_t before, begin = pages_moved(t);
	size_t off;

	before = work_now();
	must(gpu_fill(&t->env.gpu, a->mem, a->size, seed), "FILL");
	*work = work_now() - before;
	for (off = 0; peer && off < a->size; off += F1_PIECE) {
		before = work_now();
		peer_move(t, IBV_WR_RDMA_READ, a->mr, a->mem + off, F1_PIECE);
		*work += work_now() - before;
		peer_check(t, F1_PIECE, seed, off);
	}
	before = work_now();
	gpu_add(t, a->mem, a->size, ADDEND);
	*work += work_now() - before;
	*moved = pages_moved(t) - begin;
}

/* The CPU sees what the device has written and added. Moves all to RAM. */
static void f1_verify(struct area *a, uint64_t seed)
{
	const uint64_t *word = (void *)a->mem;
	size_t i;

	for (i = 0; i < a->size / sizeof(*word); i++)
		if (word[i] != pattern_word(seed, i) + ADDEND)
			errx(1, "word %zu is wrong", i);
}

static void f1_rounds(struct transfer *t, struct area *a, bool peer,
		      struct round *r)
{
	uint64_t moved, work;
	int i;

	/* The first one gets there from whatever was before. */
	f1_round(t, a, 1, peer, &moved, &work);
	for (i = 0; i < ROUNDS; i++)
		f1_round(t, a, i + 2, peer, &r->moved[i], &r->work[i]);
}

static void f1_case(struct transfer *t, const char *name, bool thp)
{
	struct round with, without;
	struct area a;

	area_open(&a, F1_SIZE, thp);
	area_register(t, &a, ON_DEMAND);
	f1_rounds(t, &a, true, &with);
	/* What the engine takes, whose part the CPU plays */
	f1_rounds(t, &a, false, &without);
	f1_verify(&a, ROUNDS + 1);
	result_open("F1", name, nr_pages(F1_SIZE));
	result_values("moved", with.moved, ROUNDS);
	result_values("work", with.work, ROUNDS);
	result_values("engine_moved", without.moved, ROUNDS);
	result_values("engine", without.work, ROUNDS);
	result_close();
	area_close(t, &a);
}

void turns_f1(struct transfer *t)
{
	f1_case(t, "4 KiB", false);
	f1_case(t, "2 MiB", true);
}

/* Where the engine reaches it: it does not move what it copies. */
static void gpu_copy(struct transfer *t, void *to, void *from, size_t size)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_COPY,
		.flags = IVGPU_JOB_FLAG_NO_MIGRATE,
		.dst = (uintptr_t)to,
		.src = (uintptr_t)from,
		.size = size,
	};

	must(gpu_ioctl(&t->env.gpu, DRM_IOCTL_IVGPU_JOB, &job), "COPY");
}

/*
 * Two messages: the device writes one, which the peer reads, and the peer writes
 * one, which the device reads. With @bounce the device has the data copied, from
 * and to memory that is pinned. Returns the instructions.
 */
static uint64_t f7_turn(struct transfer *t, struct area *a,
			struct area *bounce, size_t len, uint64_t seed)
{
	/* The engine's jobs are of whole words. */
	size_t bytes = (len + 7) & -8UL;
	struct area *at = bounce ? bounce : a;
	uint64_t work, begin, sum;

	begin = work_now();
	must(gpu_fill(&t->env.gpu, a->mem, bytes, seed), "FILL");
	if (bounce)
		gpu_copy(t, bounce->mem, a->mem, bytes);
	peer_move(t, IBV_WR_RDMA_READ, at->mr, at->mem, len);
	work = work_now() - begin;
	peer_check(t, len, seed, 0);

	pattern_fill(t->env.stage, bytes, seed + 1, 0);
	/* The rest of the last word stays what the device has written. */
	memcpy(t->env.ref, t->env.stage, len);
	begin = work_now();
	peer_move(t, IBV_WR_RDMA_WRITE, at->mr, at->mem, len);
	if (bounce)
		gpu_copy(t, a->mem, bounce->mem, bytes);
	must(gpu_sum(&t->env.gpu, a->mem, bytes, 0, &sum), "CHECKSUM");
	work += work_now() - begin;
	if (sum != pattern_sum(t->env.ref, bytes, 0))
		errx(1, "the device has read something else");
	return work;
}

static void f7_case(struct transfer *t, struct area *a, struct area *bounce,
		    size_t len)
{
	int i, turns = len < MIB ? 8 : 2;
	uint64_t moved, work = 0;

	f7_turn(t, a, bounce, len, 1);
	moved = pages_moved(t);
	for (i = 0; i < turns; i++)
		work += f7_turn(t, a, bounce, len, 2 * i + 3);
	moved = pages_moved(t) - moved;
	result_open("F7", bounce ? "staged" : "in place", len);
	result_value("messages", 2 * turns);
	result_value("moved", moved);
	result_value("work", work);
	result_close();
}

void turns_f7(struct transfer *t)
{
	static const size_t sizes[] = {
		1, 64, PAGE, 16 * PAGE, MIB, 8 * MIB
	};
	struct area a, bounce;
	size_t i;

	area_open(&a, STAGE, false);
	area_register(t, &a, ON_DEMAND);
	area_open(&bounce, STAGE, false);
	area_register(t, &bounce, PINNED);
	must(gpu_fill_vram(&t->env.gpu, a.mem, a.size, 1), "FILL");
	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		f7_case(t, &a, NULL, sizes[i]);
		f7_case(t, &a, &bounce, sizes[i]);
	}
	area_close(t, &a);
	area_close(t, &bounce);
}
