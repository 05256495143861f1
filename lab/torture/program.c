// SPDX-License-Identifier: GPL-2.0
/* Programs: made up, changed, printed and read */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

const struct op_def ops[NR_OPS] = {
#define X(name, args, weight, flags) \
	[OP_##name] = { #name, args, weight, flags, op_##name },
	OPS(X)
#undef X
};

/* splitmix64 */
uint64_t rng_next(struct rng *rng)
{
	uint64_t x = rng->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

unsigned int rng_below(struct rng *rng, unsigned int n)
{
	return rng_next(rng) % n;
}

/* Copies name @i of a definition's arguments to @name; false: there is none */
static bool arg_name(const struct op_def *def, int i, char *name)
{
	const char *p = def->args;
	size_t n;

	while (i-- && *p) {
		p += strcspn(p, " ");
		p += strspn(p, " ");
	}
	n = strcspn(p, " ");
	memcpy(name, p, n);
	name[n] = '\0';
	return n;
}

/* A program has favourites, so that its operations meet. */
struct taste {
	unsigned int r, dm, gpu, async, wild;
	bool use[NR_OPS];
};

/* Whole blocks more often than not: what is huge is handled whole, or cut. */
static void gen_pages(struct rng *rng, uint32_t *page, uint32_t *n)
{
	unsigned int block = rng_below(rng, NR_BLOCKS) * BLOCK_PAGES;

	switch (rng_below(rng, 10)) {
	case 0 ... 4:
		*page = block;
		*n = BLOCK_PAGES;
		break;
	case 5:
		*page = 0;
		*n = REGION_PAGES;
		break;
	case 6:
		*page = block + rng_below(rng, 2) * BLOCK_PAGES / 2;
		*n = BLOCK_PAGES / 2;
		break;
	case 7:
		*page = rng_below(rng, REGION_PAGES);
		*n = 1 + rng_below(rng, BLOCK_PAGES);
		break;
	default:
		*page = block + rng_below(rng, BLOCK_PAGES);
		*n = 1 + rng_below(rng, 16);
	}
}

static uint32_t gen_arg(struct rng *rng, const struct taste *taste,
			const char *name)
{
	if (!strcmp(name, "r") || !strcmp(name, "r2"))
		return rng_below(rng, 3) ? taste->r : rng_below(rng, NR_REGIONS);
	if (!strcmp(name, "dm"))
		return rng_below(rng, 4) ? taste->dm : !taste->dm;
	if (!strcmp(name, "gpu"))
		return rng_below(rng, 4) ? taste->gpu : !taste->gpu;
	if (!strcmp(name, "kind"))
		return rng_below(rng, 4) ? ANON : 1 + rng_below(rng, 2);
	if (!strcmp(name, "huge"))
		return rng_below(rng, 4) ? 1 : 2 * rng_below(rng, 2);
	if (!strcmp(name, "prot"))
		return rng_below(rng, 2) ? 2 : rng_below(rng, 3);
	if (!strcmp(name, "mb"))
		return rng_below(rng, 3) ? 0 : 64 << rng_below(rng, 6);
	if (!strcmp(name, "mr"))
		return rng_below(rng, 2) ? 0 : rng_below(rng, NR_MRS);
	if (!strcmp(name, "b") || !strcmp(name, "b2"))
		return rng_below(rng, NR_BLOCKS);
	if (!strcmp(name, "few"))
		return 0;
	if (!strcmp(name, "n"))		/* of an MR */
		return rng_below(rng, STAGE_PAGES);
	return rng_below(rng, 1 << (4 + 4 * rng_below(rng, 4)));
}

static void gen_args(struct rng *rng, const struct taste *taste, struct op *op)
{
	const struct op_def *def = &ops[op->code];
	/* Of a region, and not of an MR */
	bool region = strstr(def->args, " r page n") ||
		      !strncmp(def->args, "r page n", 8);
	char name[16];
	int i;

	for (i = 0; i < MAX_ARGS && arg_name(def, i, name); i++) {
		if (region && !strcmp(name, "page")) {
			gen_pages(rng, &op->arg[i], &op->arg[i + 1]);
			i++;
			continue;
		}
		op->arg[i] = gen_arg(rng, taste, name);
	}
}

static void gen_op(struct rng *rng, const struct taste *taste, struct op *op)
{
	unsigned int total = 0, i, pick;

	memset(op, 0, sizeof(*op));
	for (i = 0; i < NR_OPS; i++)
		total += taste->use[i] ? ops[i].weight : 0;
	pick = rng_below(rng, total);
	for (i = 0; pick >= (taste->use[i] ? ops[i].weight : 0); i++)
		pick -= taste->use[i] ? ops[i].weight : 0;
	op->code = i;
	op->proc = rng_below(rng, 3) ? 0 : rng_below(rng, NR_PROCS);
	if (rng_below(rng, 100) < taste->async) {
		op->how |= ASYNC;
		op->thread = rng_below(rng, NR_THREADS);
	}
	if (ops[i].flags & F_WILD && rng_below(rng, 100) < taste->wild)
		op->how |= WILD;
	gen_args(rng, taste, op);
}

static void gen_taste(struct rng *rng, struct taste *taste)
{
	/* The first operation of each device, and what is behind the last one */
	static const unsigned int devices[] = {
		OP_place, OP_consent, OP_to_dev, OP_dma_reg, OP_reg, NR_OPS
	};
	unsigned int i, j;

	taste->r = rng_below(rng, NR_REGIONS);
	taste->dm = rng_below(rng, 2);
	taste->gpu = rng_below(rng, 2);
	taste->async = rng_below(rng, 2) ? 0 : 20 + rng_below(rng, 60);
	taste->wild = taste->async && rng_below(rng, 2) ? 10 + rng_below(rng, 50) : 0;
	/* Few kinds of operations, often: more than all kinds, once each, do. */
	for (i = 0; i < NR_OPS; i++)
		taste->use[i] = !rng_below(rng, 3);
	/* Those of a device are of use with each other. */
	for (i = 0; devices[i] != NR_OPS; i++)
		if (rng_below(rng, 2))
			for (j = devices[i]; j < devices[i + 1]; j++)
				taste->use[j] = true;
	taste->use[OP_map] = taste->use[OP_write] = taste->use[OP_check] = true;
	taste->use[OP_fork] |= rng_below(rng, 2);
}

static struct op *add_op(struct program *p, unsigned int code, unsigned int proc)
{
	struct op *op = &p->op[p->nr++];

	memset(op, 0, sizeof(*op));
	op->code = code;
	op->proc = proc;
	return op;
}

/* Something to begin with, mostly of huge pages */
static void gen_region(struct program *p, struct rng *rng, struct taste *taste,
		       unsigned int proc, unsigned int r)
{
	struct op *op = add_op(p, OP_map, proc);

	op->arg[0] = r % NR_REGIONS;
	op->arg[1] = gen_arg(rng, taste, "kind");
	op->arg[2] = gen_arg(rng, taste, "huge");
	op = add_op(p, OP_write, proc);
	op->arg[0] = r % NR_REGIONS;
	op->arg[2] = rng_below(rng, 2) ? BLOCK_PAGES : REGION_PAGES;
}

void program_generate(struct program *p, struct rng *rng)
{
	unsigned int nr = 8 + rng_below(rng, 40);
	struct taste taste;
	struct op *op;

	p->nr = 0;
	gen_taste(rng, &taste);
	gen_region(p, rng, &taste, 0, taste.r);
	gen_region(p, rng, &taste, 0, taste.r + 1);
	/* A neighbour, which has nothing to do with the others */
	if (!rng_below(rng, 3)) {
		add_op(p, OP_spawn, 0);
		gen_region(p, rng, &taste, 1, taste.r);
	}
	if (taste.use[OP_read] || taste.use[OP_nic_write] || taste.use[OP_push]) {
		op = add_op(p, OP_reg, 0);
		gen_args(rng, &taste, op);
		op->arg[0] = 0;
	}
	while (nr--)
		gen_op(rng, &taste, &p->op[p->nr++]);
}

void program_mutate(struct program *p, struct rng *rng)
{
	unsigned int times = 1 + rng_below(rng, 6), i;
	struct taste taste;

	gen_taste(rng, &taste);
	while (times--) {
		i = rng_below(rng, p->nr);
		switch (rng_below(rng, 4)) {
		case 0:
			if (p->nr < MAX_OPS) {
				memmove(&p->op[i + 1], &p->op[i],
					(p->nr - i) * sizeof(*p->op));
				p->nr++;
			}
			/* fallthrough */
		case 1:
			gen_op(rng, &taste, &p->op[i]);
			break;
		case 2:
			if (p->nr > 4) {
				p->nr--;
				memmove(&p->op[i], &p->op[i + 1],
					(p->nr - i) * sizeof(*p->op));
			}
			break;
		case 3:
			p->op[i].how ^= ASYNC;
			p->op[i].thread = rng_below(rng, NR_THREADS);
			break;
		}
	}
}

char *program_text(const struct program *p, char sep)
{
	char name[16], *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	unsigned int i;
	int j;

	for (i = 0; f && i < p->nr; i++) {
		const struct op *op = &p->op[i];

		if (i)
			fputc(sep, f);
		fprintf(f, "%u.%u %s", op->proc, op->thread, ops[op->code].name);
		for (j = 0; j < MAX_ARGS && arg_name(&ops[op->code], j, name); j++)
			fprintf(f, " %s=%u", name, op->arg[j]);
		fprintf(f, "%s%s", op->how & ASYNC ? " &" : "",
			op->how & WILD ? " !" : "");
	}
	if (!f || fclose(f))
		abort();
	return text;
}

static bool parse_arg(struct op *op, const char *word)
{
	const char *value = strchr(word, '=');
	char name[16], *end;
	int i;

	for (i = 0; value && i < MAX_ARGS &&
	     arg_name(&ops[op->code], i, name); i++) {
		if (strlen(name) != (size_t)(value - word) ||
		    strncmp(name, word, value - word))
			continue;
		op->arg[i] = strtoul(value + 1, &end, 0);
		return isdigit(value[1]) && !*end;
	}
	return false;
}

static const char *parse_op(struct op *op, char *line)
{
	char *save, *word = strtok_r(line, " \t", &save);
	unsigned int i, proc, thread;

	memset(op, 0, sizeof(*op));
	if (sscanf(word, "%u.%u", &proc, &thread) != 2 || proc >= NR_PROCS ||
	    thread >= NR_THREADS)
		return "no PROCESS.THREAD";
	op->proc = proc;
	op->thread = thread;
	word = strtok_r(NULL, " \t", &save);
	for (i = 0; word && i < NR_OPS && strcmp(word, ops[i].name); i++)
		;
	if (!word || i == NR_OPS)
		return "no such operation";
	op->code = i;
	while ((word = strtok_r(NULL, " \t", &save))) {
		if (!strcmp(word, "&"))
			op->how |= ASYNC;
		else if (!strcmp(word, "!"))
			op->how |= WILD;
		else if (!parse_arg(op, word))
			return "no such argument, or no number";
	}
	return NULL;
}

const char *program_parse(struct program *p, const char *text)
{
	static char why[200];
	char line[160];
	size_t n;

	p->nr = 0;
	for (; *text; text += n + (text[n] != '\0')) {
		const char *wrong;

		n = strcspn(text, "\n;");
		if (!n || *text == '#')
			continue;
		snprintf(line, sizeof(line), "%.*s", (int)n, text);
		if (!line[strspn(line, " \t")])
			continue;
		wrong = p->nr == MAX_OPS ? "too many operations" :
					   parse_op(&p->op[p->nr], line);
		if (wrong) {
			snprintf(why, sizeof(why), "%s: %.*s", wrong, (int)n, text);
			return why;
		}
		p->nr++;
	}
	return NULL;
}
