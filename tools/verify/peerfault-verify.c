// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault-verify: moves words between RAM and the memory of an exporter with an
 * importer, in all ways that RDMA has, and compares them without the importer.
 * `peerfault topo --verify` runs it for each pair, and ends it if it does not end:
 * what it prints is for that program, see verify.h there.
 *
 * It is a program of its own because it needs libibverbs, and because a process
 * that is gone has left nothing behind.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "exporter.h"
#include "mem.h"
#include "verbs.h"
#include "words.h"

#define SIZE		(2 * MIB)
#define WORDS		(SIZE / sizeof(uint64_t))
/* What is transferred has as much in front of it and behind it. */
#define FROM		(WORDS / 4)
#define TO		(WORDS - FROM)
#define TRANSFER	((TO - FROM) * sizeof(uint64_t))
#define TRANSFERRED(p)	((char *)(p) + FROM * sizeof(uint64_t))

/* So often, and so many us between, an exporter may refuse before it is ready. */
#define TRIES		30
#define TRY_US		100000
#define POLL_US		500

static const char usage[] =
"usage: peerfault-verify IMPORTER EXPORTER SECONDS\n"
"\n"
"Moves a pattern between RAM and the memory of the PCI device EXPORTER with the\n"
"RDMA device IMPORTER, and prints for `peerfault topo --verify` what became of it.\n"
"A transfer that takes longer than SECONDS has failed.\n"
"\n"
"  --help, --version\n"
"\n"
"exit codes: 0 done, whatever was found; 1 it could not be done; 2 usage\n";

/**
 * struct job - what is verified
 * @exp: the exporter
 * @own: the end that posts
 * @twin: its peer, on the same device
 * @mem: memory that @exp takes, SIZE bytes
 * @mem_mr: on demand
 * @ram: memory that stays in RAM, as large
 * @ram_mr: pinned
 * @seconds: for a transfer
 * @fills: numbers that were given to fills
 */
struct job {
	struct exporter exp;
	struct rdma_end own;
	struct rdma_end twin;
	uint64_t *mem;
	struct ibv_mr *mem_mr;
	uint64_t *ram;
	struct ibv_mr *ram_mr;
	unsigned int seconds;
	unsigned int fills;
};

/* A way to move data. Each has the importer read @mem, or write it. */
static const struct way {
	const char *name;
	const char *side;	/* of the connection that @mem is on */
	enum ibv_wr_opcode op;
	bool reads;
} ways[] = {
	{ "READ", "remote", IBV_WR_RDMA_READ, true },
	{ "WRITE", "local", IBV_WR_RDMA_WRITE, true },
	{ "WRITE", "remote", IBV_WR_RDMA_WRITE, false },
	{ "READ", "local", IBV_WR_RDMA_READ, false },
};

#define N_WAYS		(sizeof(ways) / sizeof(*ways))

/* It cannot be told whether the pair is right. Returns 1, the exit code. */
__attribute__((format(printf, 1, 2)))
static int untried(const char *fmt, ...)
{
	va_list args;

	fputs("untried ", stdout);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	putchar('\n');
	return 1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Returns an enum ibv_wc_status, or -ETIMEDOUT */
static int complete(struct job *job)
{
	int64_t end = now_ms() + job->seconds * 1000LL;
	struct ibv_wc wc;
	int n;

	while (!(n = ibv_poll_cq(job->own.cq, 1, &wc))) {
		if (now_ms() > end)
			return -ETIMEDOUT;
		usleep(POLL_US);
	}
	return n < 0 ? -EIO : (int)wc.status;
}

static int run_way(struct job *job, const struct way *way)
{
	/* READ fills the local side, WRITE the remote one. */
	bool remote = !strcmp(way->side, "remote");
	struct rdma_wr wr = {
		.op = way->op,
		.mr = remote ? job->ram_mr : job->mem_mr,
		.local = TRANSFERRED(remote ? job->ram : job->mem),
		.len = TRANSFER,
		.remote = (uintptr_t)TRANSFERRED(remote ? job->mem : job->ram),
		.rkey = (remote ? job->mem_mr : job->ram_mr)->rkey,
	};
	int ret = rdma_post(&job->own, &wr, 0);

	return ret ? ret : complete(job);
}

/*
 * An exporter may begin to make room in its BAR when it is asked first, and refuse
 * until there is some. Without consent it will not.
 */
static int make_ready(struct job *job)
{
	int ret = exporter_place(&job->exp, job->mem, SIZE), i;

	if (exporter_consent_get(job->exp.bdf) == 0)
		return ret;
	for (i = 0; !ret && i < TRIES; i++) {
		ret = rdma_advise(&job->own, IBV_ADVISE_MR_ADVICE_PREFETCH_WRITE,
				  IBV_ADVISE_MR_FLAG_FLUSH, job->mem_mr,
				  job->mem, SIZE);
		if (ret || exporter_pages(job->mem, SIZE) == (long)nr_pages(SIZE))
			break;
		usleep(TRY_US);
		ret = exporter_place(&job->exp, job->mem, SIZE);
	}
	/* That was an attempt only. */
	return exporter_place(&job->exp, job->mem, SIZE);
}

static void print_result(const struct way *way, const struct tally *tally,
			 const uint64_t *mem, const struct transfer *t)
{
	size_t i = tally->first;
	bool moved = i >= t->from && i < t->to;

	/* What is read at a distance has been read from there. */
	printf("transfer %s %s %s %s %zu %zu %lld ",
	       way->reads ? "read" : "write", way->name, way->side,
	       result_names[tally->result], tally->wrong, TO - FROM,
	       way->reads ? -tally->distance : tally->distance);
	if (tally->wrong)
		printf("first at byte %zu: %#llx, not %#llx",
		       i * sizeof(*mem), (unsigned long long)mem[i],
		       (unsigned long long)word_make(moved ? t->now : t->before, i));
	putchar('\n');
}

static void print_failure(const struct job *job, const struct way *way, int ret)
{
	printf("transfer %s %s %s failed 0 %zu 0 ",
	       way->reads ? "read" : "write", way->name, way->side, TO - FROM);
	if (ret == -ETIMEDOUT)
		printf("not done after %u s\n", job->seconds);
	else
		puts(ret < 0 ? strerror(-ret) : ibv_wc_status_str(ret));
}

/* The memory of the exporter comes home, by its engine or by page faults. */
static void bring_home(struct job *job)
{
	exporter_evict(&job->exp, job->mem, SIZE);
}

/*
 * One transfer. @place: through the exporter's memory, and print what became of
 * it; else through RAM, where it must be right. False: no more of them
 */
static bool try_way(struct job *job, const struct way *way, bool place)
{
	uint64_t *from = way->reads ? job->mem : job->ram;
	uint64_t *to = way->reads ? job->ram : job->mem;
	struct transfer t = { .n = WORDS, .from = FROM, .to = TO }, source;
	struct tally tally;
	long there = 0;
	int ret = 0;

	printf("doing RDMA %s, %s side%s\n", way->name, way->side,
	       place ? "" : ", in RAM");
	t.before = ++job->fills;
	words_fill(to, WORDS, t.before);
	t.now = ++job->fills;
	words_fill(from, WORDS, t.now);
	source = (struct transfer){ .n = WORDS, .to = WORDS, .now = t.now };
	if (place && way == ways)
		ret = make_ready(job);
	else if (place)
		ret = exporter_place(&job->exp, job->mem, SIZE);
	if (ret)
		return !untried("%s does not take memory: %s", job->exp.bdf,
				strerror(-ret));

	ret = run_way(job, way);
	if (place)
		there = exporter_pages(TRANSFERRED(job->mem), TRANSFER);
	if (there < 0)
		return !untried("pages cannot be counted: %s", strerror(-there));
	if (place)
		printf("pages %ld %ld\n", there,
		       (long)nr_pages(TRANSFER) - there);
	if (ret && place)
		print_failure(job, way, ret);
	/* The queue pair has failed, or is to forget what it was told. */
	if (ret && (!place || rdma_reconnect(&job->own, &job->twin)))
		return !untried("RDMA %s fails%s: %s", way->name,
				place ? " and cannot go on" : " in RAM",
				ret < 0 ? strerror(-ret) : ibv_wc_status_str(ret));

	bring_home(job);
	if (ret)
		return true;
	/* What the exporter has brought home wrong is not the importer's doing. */
	words_tally(from, &source, &tally);
	if (tally.wrong)
		return !untried("the source has %zu wrong words after RDMA %s",
				tally.wrong, way->name);
	words_tally(to, &t, &tally);
	if (place)
		print_result(way, &tally, to, &t);
	return place || !tally.wrong ||
	       !untried("RDMA %s is wrong in RAM as well: %zu words %s",
			way->name, tally.wrong, result_names[tally.result]);
}

static int job_open(struct job *job, const char *importer, const char *exporter)
{
	size_t size;
	void *map;
	int ret;

	ret = rdma_end_open(&job->own, importer);
	if (!ret)
		ret = rdma_end_twin(&job->twin, &job->own);
	if (!ret)
		ret = rdma_connect(&job->own, &job->twin);
	if (ret)
		return untried("%s cannot be used: %s", importer, ret == -ENODEV ?
			       "libibverbs has no such device with on-demand paging" :
			       strerror(-ret));
	ret = exporter_open(&job->exp, exporter);
	if (ret)
		return untried("memory cannot be put on %s: %s", exporter,
			       ret == -ENODEV ? "not ivgpu, nouveau or xe, or no render node" :
			       strerror(-ret));
	job->mem = map_aligned(SIZE, false, &map, &size);
	job->ram = map_aligned(SIZE, false, &map, &size);
	if (!job->mem || !job->ram)
		return untried("%s", strerror(ENOMEM));
	job->mem_mr = rdma_reg_odp(&job->own, job->mem, SIZE);
	job->ram_mr = ibv_reg_mr(job->own.pd, job->ram, SIZE, RDMA_ACCESS);
	if (!job->mem_mr || !job->ram_mr)
		return untried("memory cannot be registered: %s", strerror(errno));
	return 0;
}

/* Memory goes with the process. */
static void job_close(struct job *job)
{
	if (job->ram_mr)
		ibv_dereg_mr(job->ram_mr);
	if (job->mem_mr)
		ibv_dereg_mr(job->mem_mr);
	rdma_end_close(&job->twin);
	rdma_end_close(&job->own);
	exporter_close(&job->exp);
}

int main(int argc, char **argv)
{
	struct job job = { .exp.fd = -1 };
	uint32_t seed = getpid();
	size_t i;
	char *end;
	bool on;

	setlinebuf(stdout);
	if (argc == 2 && !strcmp(argv[1], "--help"))
		return fputs(usage, stdout) < 0;
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return puts("peerfault-verify " PEERFAULT_VERSION) < 0;
	if (argc == 4)
		job.seconds = strtoul(argv[3], &end, 10);
	if (argc != 4 || *end || !job.seconds || job.seconds > 3600) {
		fputs(usage, stderr);
		return 2;
	}
	if (getrandom(&seed, sizeof(seed), 0) < 0)
		seed ^= time(NULL);
	words_seed(seed);
	puts("doing the setup");
	on = !job_open(&job, argv[1], argv[2]);
	for (i = 0; on && i < N_WAYS; i++)
		on = try_way(&job, &ways[i], false);
	for (i = 0; on && i < N_WAYS; i++)
		on = try_way(&job, &ways[i], true);
	puts("doing the cleanup");
	job_close(&job);
	return !on;
}
