// SPDX-License-Identifier: GPL-2.0
/*
 * What each page must contain, and who may change it now.
 *
 * Word i of a page is what a FILL of ivgpu writes: a mix of the page's seed and i
 * that can be undone. So a word that is wrong says which fill it is of, and of
 * which process, if it is of any.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "torture.h"

#define WORDS		(PAGE / 8)
#define STEP		0x9e3779b97f4a7c15ULL	/* of pattern_word() */
#define MAGIC		0xc0deULL
#define NR_ALL		(NR_REGIONS * NR_BLOCKS)

struct span op_span(const struct op *op, int first)
{
	struct span s = {
		.r = op->arg[first] % NR_REGIONS,
		.page = op->arg[first + 1] % REGION_PAGES,
		.n = op->arg[first + 2],
	};

	if (!s.n || s.n > REGION_PAGES - s.page)
		s.n = s.n ? REGION_PAGES - s.page : 1;
	return s;
}

static unsigned int first_block(const struct span *s)
{
	return s->r * NR_BLOCKS + s->page / BLOCK_PAGES;
}

static unsigned int last_block(const struct span *s)
{
	return s->r * NR_BLOCKS + (s->page + s->n - 1) / BLOCK_PAGES;
}

static bool has_block(const struct span *s, unsigned int b)
{
	return s && b >= first_block(s) && b <= last_block(s);
}

static void spans_lock(const struct span *a, const struct span *b)
{
	unsigned int i;

	for (i = 0; i < NR_ALL; i++)
		if (has_block(a, i) || has_block(b, i))
			pthread_mutex_lock(&me.block[i].lock);
}

void spans_enter(const struct span *a, const struct span *b, bool wild)
{
	unsigned int i;

	spans_lock(a, b);
	for (i = 0; i < NR_ALL && wild; i++) {
		if (!has_block(a, i) && !has_block(b, i))
			continue;
		me.block[i].wild++;
		pthread_mutex_unlock(&me.block[i].lock);
	}
}

void spans_again(const struct span *a, const struct span *b, bool wild)
{
	if (wild)
		spans_lock(a, b);
}

void spans_leave(const struct span *a, const struct span *b, bool wild)
{
	unsigned int i;

	for (i = 0; i < NR_ALL; i++) {
		if (!has_block(a, i) && !has_block(b, i))
			continue;
		if (wild)
			me.block[i].wild--;
		pthread_mutex_unlock(&me.block[i].lock);
	}
}

void span_enter(const struct span *s, bool wild)
{
	spans_enter(s, NULL, wild);
}

void span_again(const struct span *s, bool wild)
{
	spans_again(s, NULL, wild);
}

void span_leave(const struct span *s, bool wild)
{
	spans_leave(s, NULL, wild);
}

void blocks_lock(bool lock)
{
	unsigned int i;

	for (i = 0; i < NR_ALL; i++) {
		if (lock)
			pthread_mutex_lock(&me.block[i].lock);
		else
			pthread_mutex_unlock(&me.block[i].lock);
	}
}

static bool is_wild(unsigned int r, unsigned int page)
{
	return me.block[r * NR_BLOCKS + page / BLOCK_PAGES].wild;
}

enum can span_can(const struct span *s, bool write)
{
	const unsigned int need = PROT_READ | (write ? PROT_WRITE : 0);
	enum can can = YES;
	unsigned int i, prot;

	for (i = s->page; i < s->page + s->n; i++) {
		prot = me.region[s->r].prot[i];
		if (is_wild(s->r, i))
			return MAYBE;
		if ((prot & (need | GUARD | NOMAP)) != need)
			can = NO;
	}
	return can;
}

uint64_t fill_new(void)
{
	return MAGIC << 48 | me.tag << 24 | (++me.fills & 0xffffff);
}

void page_set(unsigned int r, unsigned int page, uint64_t seed)
{
	if (is_wild(r, page) || me.region[r].kind == SHARED)
		seed = UNKNOWN;
	me.region[r].seed[page] = seed;
}

void span_filled(const struct span *s, uint64_t fill)
{
	unsigned int i;

	for (i = 0; i < s->n; i++)
		page_set(s->r, s->page + i, fill + i * WORDS * STEP);
}

void span_set(const struct span *s, uint64_t seed)
{
	unsigned int i;

	for (i = 0; i < s->n; i++)
		page_set(s->r, s->page + i, seed);
}

void span_prot(const struct span *s, unsigned int prot)
{
	memset(&me.region[s->r].prot[s->page], prot, s->n);
}

uint64_t page_word(unsigned int r, unsigned int page, unsigned int word)
{
	uint64_t seed = me.region[r].seed[page];

	return seed == ZERO ? 0 : pattern_word(seed, word);
}

/*
 * The seed of the fill that @word, at @index of its page, is of: one with the same
 * bits as @like in @mask. 0: there is none.
 */
static uint64_t fill_of(uint64_t word, unsigned int index, uint64_t like,
			uint64_t mask)
{
	uint64_t x = word ^ (word >> 27) ^ (word >> 54);
	unsigned int i;

	x *= 0x96de1b173f119089ULL;
	x ^= (x >> 30) ^ (x >> 60);
	x -= index * STEP;
	for (i = 0; i < REGION_PAGES; i++, x -= WORDS * STEP)
		if (!((x ^ like) & mask))
			return x;
	return 0;
}

/* May a page that is UNKNOWN have this word? */
static bool is_ours(unsigned int r, uint64_t word, unsigned int index)
{
	unsigned int i;

	if (!word)
		return true;
	if (me.region[r].kind == SHARED)
		return fill_of(word, index, MAGIC << 48 |
			       (uint64_t)shared->program << 32, ~0ULL << 32);
	for (i = 0; i < me.nr_tags; i++)
		if (fill_of(word, index, MAGIC << 48 | me.tags[i] << 24,
			    ~0ULL << 24))
			return true;
	return false;
}

static const char *whose(uint64_t word, unsigned int index, char *text)
{
	uint64_t seed = fill_of(word, index, MAGIC << 48, ~0ULL << 48);
	uint64_t tag = seed >> 24 & 0xffffff;

	if (!word)
		strcpy(text, "zero");
	else if (word >> 40 == 0xffffff || word >> 47 == 0x1ffff)
		strcpy(text, "LEAK: looks like a kernel address");
	else if (!seed)
		strcpy(text, "LEAK: of nobody here");
	else if (tag >> 8 != shared->program)
		strcpy(text, "LEAK: of an earlier program");
	else if (tag != me.tag)
		sprintf(text, "of process %u, fill %u", (unsigned int)tag & 0xff,
			(unsigned int)seed & 0xffffff);
	else
		sprintf(text, "own fill %u", (unsigned int)seed & 0xffffff);
	return text;
}

void span_verify(const char *who, const struct span *s, const void *data,
		 unsigned int off, bool all)
{
	unsigned int i, w, step;
	const uint64_t *words;
	uint64_t seed, want;
	char got[64];

	for (i = 0; i < s->n; i++) {
		words = (const uint64_t *)data + i * WORDS;
		seed = me.region[s->r].seed[s->page + i];
		if (is_wild(s->r, s->page + i))
			seed = UNKNOWN;
		step = seed == UNKNOWN ? 203 : all ? 1 : 61;
		for (w = i ? 0 : (off + 7) / 8; w < WORDS; w += step) {
			uint64_t word = *(volatile const uint64_t *)&words[w];

			want = seed == ZERO ? 0 : pattern_word(seed, w);
			if (seed == UNKNOWN ? is_ours(s->r, word, w) : word == want)
				continue;
			fail("%s: p%u region %u page %u word %u is %#llx, %s%s%s",
			     who, me.id, s->r, s->page + i, w,
			     (unsigned long long)word, whose(word, w, got),
			     seed == UNKNOWN ? "" : ", not ",
			     seed == UNKNOWN ? ", which it may not have" :
			     whose(want, w, (char[64]){ 0 }));
			return;
		}
	}
}

enum can device_can(const struct span *s, bool write)
{
	const struct region *reg = &me.region[s->r];
	enum can can = span_can(s, write);

	return can == YES && (reg->kind != ANON || reg->uffd) ? MAYBE : can;
}

int span_access(const struct op *op, struct span s, struct access *a)
{
	bool wild = op->how & WILD, own = !a->data;
	enum can can;
	int ret;

	a->fill = fill_new();
	if (own)
		a->data = mmap(NULL, s.n * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->data == MAP_FAILED)
		return -ENOMEM;
	if (a->write)
		pattern_fill(a->data, s.n * PAGE, a->fill, 0);
	else
		memset(a->data, 0xa5, s.n * PAGE);

	span_enter(&s, wild);
	ret = a->io(op, &s, a);
	if (!ret && !a->write && !a->blind)
		span_verify(a->who, &s, a->data, a->off, true);
	span_again(&s, wild);
	if (a->write && ret)
		span_set(&s, UNKNOWN);
	else if (a->write)
		span_filled(&s, a->fill);
	can = a->device ? device_can(&s, a->write) : span_can(&s, a->write);
	judge(a->who, ret, a->blind || (a->unsure && can == YES) ? MAYBE : can);
	span_leave(&s, wild);
	if (own)
		munmap(a->data, s.n * PAGE);
	return ret;
}

void content_fork(void)
{
	unsigned int r, i;

	for (r = 0; r < NR_REGIONS; r++) {
		struct region *reg = &me.region[r];

		for (i = 0; i < REGION_PAGES; i++) {
			if (is_wild(r, i))
				reg->seed[i] = UNKNOWN;
			if (reg->dontfork)
				reg->prot[i] = NOMAP;
			else if (reg->wipe)
				reg->seed[i] = ZERO;
		}
		reg->uffd = false;
	}
	for (i = 0; i < NR_ALL; i++) {
		me.block[i].wild = 0;
		pthread_mutex_init(&me.block[i].lock, NULL);
	}
}
