// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guest: a device and an RDMA peer work on the same memory. Prints
 * what that takes, one JSON object a line.
 *
 *	transfer-bench [with-rxe|with-mlx5] ROW...
 *
 * Exit code 1: something could not be measured as described; 2: no such row.
 */
#define _GNU_SOURCE
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "guest.h"
#include "transfer.h"
#include "work.h"

/* The rows, and which of them count instructions */
static const struct {
	const char *name;
	bool work;
	void (*run)(struct transfer *t);
} rows[] = {
	{ "F1", true, turns_f1 },	/* F2 as well */
	{ "F5", true, mr_f5 },
	{ "F6", false, mr_f6 },
	{ "F7", true, turns_f7 },
	{ "F8", false, vram_f8 },
	{ "F9", false, vram_f9 },
	{ "F11", true, mr_f11 },
	{ "F12", false, mr_f12 },
};

#define NR_ROWS		(sizeof(rows) / sizeof(*rows))

void must(int ret, const char *what)
{
	if (ret < 0)
		errx(1, "%s: %s", what, strerror(-ret));
	if (ret)
		errx(1, "%s: %s", what, ibv_wc_status_str(ret));
}

void area_open(struct area *a, size_t size, bool thp)
{
	*a = (struct area){ .size = size };
	a->mem = map_aligned(size, thp, &a->map, &a->map_size);
	if (!a->mem)
		err(1, "mmap of %zu bytes", size);
}

void area_register(struct transfer *t, struct area *a, enum registered how)
{
	if (how == ON_DEMAND)
		a->mr = rdma_reg_odp(&t->env.own, a->mem, a->size);
	else if (how == PINNED)
		a->mr = ibv_reg_mr(t->env.own.pd, a->mem, a->size, RDMA_ACCESS);
	if (how != NOT && !a->mr)
		err(1, "ibv_reg_mr");
}

void area_deregister(struct area *a)
{
	if (a->mr)
		must(-ibv_dereg_mr(a->mr), "ibv_dereg_mr");
	a->mr = NULL;
}

void area_close(struct transfer *t, struct area *a)
{
	area_deregister(a);
	munmap(a->map, a->map_size);
	must(gpu_wait_freed(&t->env.gpu, 0, UINT64_MAX, NULL),
	     "what was in the device is not freed");
}

void peer_move(struct transfer *t, enum ibv_wr_opcode op, struct ibv_mr *mr,
	       void *remote, size_t len)
{
	const struct rdma_wr wr = {
		.op = op,
		.mr = t->env.stage_mr,
		.local = t->env.stage,
		.len = len,
		.remote = (uintptr_t)remote,
		.rkey = mr->rkey,
	};

	must(rdma_run(&t->env.peer, &wr), "the peer's work request");
}

void peer_move_all(struct transfer *t, enum ibv_wr_opcode op, struct area *a,
		   size_t piece)
{
	size_t off;

	for (off = 0; off < a->size; off += piece)
		peer_move(t, op, a->mr, a->mem + off, piece);
}

void peer_check(struct transfer *t, size_t len, uint64_t seed, size_t first)
{
	size_t words = (len + sizeof(uint64_t) - 1) / sizeof(uint64_t);

	pattern_fill(t->env.ref, words * sizeof(uint64_t), seed,
		     first / sizeof(uint64_t));
	if (memcmp(t->env.stage, t->env.ref, len))
		errx(1, "the peer has read something else at offset %zu", first);
}

void gpu_add(struct transfer *t, void *addr, size_t size, uint64_t value)
{
	struct drm_ivgpu_job job = {
		.op = IVGPU_JOB_ADD,
		.dst = (uintptr_t)addr,
		.size = size,
		.value = value,
	};

	must(gpu_ioctl(&t->env.gpu, DRM_IOCTL_IVGPU_JOB, &job), "ADD");
}

uint64_t pages_moved(struct transfer *t)
{
	struct drm_ivgpu_counters now;

	must(gpu_counters(&t->env.gpu, &now), "the exporter's counters");
	return now.pages_to_vram + now.pages_to_ram;
}

void result_open(const char *row, const char *name, uint64_t n)
{
	printf("{\"row\": \"%s\", \"case\": \"%s\", \"n\": %" PRIu64, row, name,
	       n);
}

void result_value(const char *key, uint64_t value)
{
	printf(", \"%s\": %" PRIu64, key, value);
}

void result_values(const char *key, const uint64_t *values, int n)
{
	int i;

	printf(", \"%s\": [", key);
	for (i = 0; i < n; i++)
		printf("%s%" PRIu64, i ? ", " : "", values[i]);
	printf("]");
}

void result_close(void)
{
	printf("}\n");
	fflush(stdout);
}

static int row_find(const char *name)
{
	size_t i;

	for (i = 0; i < NR_ROWS; i++)
		if (!strcmp(name, rows[i].name))
			return i;
	errx(2, "no row %s", name);
}

static void set_up(struct transfer *t)
{
	/* What is in a kernel binds to devices when the guest begins. */
	if (bench_load())
		put("/sys/bus/pci/drivers/ivgpu/new_id", "1af4 1110");
	bench_quiet();
	/* The base kernel has nothing to consent to. */
	t->ours = gpu_consent_get() >= 0;
	must(rdma_env_open(&t->env, STAGE, t->ours, false),
	     "the exporter and the connection");
}

int main(int argc, char **argv)
{
	struct transfer t = { 0 };
	bool work = false;
	struct utsname uts;
	int i;

	if (argc > 1 && !strncmp(argv[1], "with-", strlen("with-"))) {
		char *with = argv[1];

		argv[1] = argv[0];
		argv[0] = with;
		execvp(with, argv);
		err(1, "%s", with);
	}
	for (i = 1; i < argc; i++)
		work |= rows[row_find(argv[i])].work;
	set_up(&t);
	if (work)
		work_init();
	uname(&uts);
	printf("{\"kernel\": \"%s %s\"}\n", uts.release, uts.version);
	for (i = 1; i < argc; i++)
		rows[row_find(argv[i])].run(&t);
	rdma_env_close(&t.env);
	return 0;
}
