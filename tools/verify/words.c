// SPDX-License-Identifier: GPL-2.0
#include <stdbool.h>
#include <string.h>

#include "words.h"

/* A word before it is mixed: 24 bits of the run, 8 of the fill, 32 of the index */
#define RUN_SHIFT	40
#define FILL_SHIFT	32
#define FILL_MASK	0xff

/* Odd, and the inverse of each modulo 2^64 */
#define MIX_1		0x9e3779b97f4a7c15ULL
#define UNMIX_1		0xf1de83e19937733dULL
#define MIX_2		0xbf58476d1ce4e5b9ULL
#define UNMIX_2		0x96de1b173f119089ULL

/* As many distances are told apart; words of others count for nothing. */
#define DISTANCES	16

const char *const result_names[] = {
	"right", "ones", "stale", "displaced", "corrupt", "failed",
};

static uint64_t run;

void words_seed(uint32_t seed)
{
	run = (uint64_t)seed << RUN_SHIFT;
}

/* Both ways without a loss, so that each bit of a word changes with its index */
static uint64_t mix(uint64_t x)
{
	x *= MIX_1;
	x ^= x >> 32;
	return x * MIX_2;
}

static uint64_t unmix(uint64_t x)
{
	x *= UNMIX_2;
	x ^= x >> 32;
	return x * UNMIX_1;
}

uint64_t word_make(unsigned int fill, size_t index)
{
	return mix(run | (uint64_t)fill << FILL_SHIFT | index);
}

unsigned int word_parse(uint64_t word, size_t *index)
{
	uint64_t x = unmix(word);

	*index = (uint32_t)x;
	return x >> RUN_SHIFT == run >> RUN_SHIFT ?
	       x >> FILL_SHIFT & FILL_MASK : 0;
}

void words_fill(uint64_t *mem, size_t n, unsigned int fill)
{
	size_t i;

	for (i = 0; i < n; i++)
		mem[i] = word_make(fill, i);
}

struct distances {
	long long distance[DISTANCES];
	size_t count[DISTANCES];
	size_t n;
};

static void count_distance(struct distances *d, long long distance)
{
	size_t i;

	for (i = 0; i < d->n && d->distance[i] != distance; i++)
		;
	if (i == DISTANCES)
		return;
	if (i == d->n)
		d->distance[d->n++] = distance;
	d->count[i]++;
}

/* A distance may be of any number of bytes, and a word begin at any byte. */
static void find_displaced(const uint64_t *mem, const struct transfer *t,
			   struct tally *tally)
{
	const size_t last = (t->n - 1) * sizeof(*mem);
	struct distances d = { .n = 0 };
	size_t at, index, i;
	uint64_t word;

	for (at = 0; at <= last; at++) {
		memcpy(&word, (const char *)mem + at, sizeof(word));
		if (word_parse(word, &index) == t->now && index < t->n &&
		    index * sizeof(word) != at)
			count_distance(&d, (long long)at -
					   (long long)(index * sizeof(word)));
	}
	for (i = 0; i < d.n; i++) {
		if (d.count[i] <= tally->displaced)
			continue;
		tally->displaced = d.count[i];
		tally->distance = d.distance[i];
	}
}

/* Words that have found their way elsewhere are no accident: they explain all. */
static enum result judge(const struct tally *tally)
{
	size_t corrupt = tally->wrong - tally->ones - tally->stale;

	if (!tally->wrong)
		return RIGHT;
	if (tally->displaced)
		return DISPLACED;
	if (tally->ones > tally->stale && tally->ones > corrupt)
		return ONES;
	return tally->stale > corrupt ? STALE : CORRUPT;
}

void words_tally(const uint64_t *mem, const struct transfer *t,
		 struct tally *tally)
{
	unsigned int fill;
	size_t i, index;
	bool moved;

	memset(tally, 0, sizeof(*tally));
	for (i = 0; i < t->n; i++) {
		moved = i >= t->from && i < t->to;
		if (mem[i] == word_make(moved ? t->now : t->before, i))
			continue;
		if (!tally->wrong++)
			tally->first = i;
		fill = word_parse(mem[i], &index);
		if (mem[i] == UINT64_MAX)
			tally->ones++;
		else if (fill && fill != t->now && index == i)
			tally->stale++;
	}
	if (tally->wrong)
		find_displaced(mem, t, tally);
	tally->result = judge(tally);
}
