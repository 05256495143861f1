/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory full of words that say where they belong, so that after a transfer each
 * wrong one tells what has happened to it.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>
#include <stdint.h>

/* A fill of memory has a number of its own, from 1 to 255. */
uint64_t word_make(unsigned int fill, size_t index);
/* The fill that the word is of, and its index; 0: it is of none */
unsigned int word_parse(uint64_t word, size_t *index);
/* Words of another run are of no fill of this one. */
void words_seed(uint32_t seed);
void words_fill(uint64_t *mem, size_t n, unsigned int fill);

/**
 * struct transfer - what should be in memory afterwards
 * @n: words of it
 * @from: the first one that was transferred
 * @to: the one after the last
 * @now: fill of those
 * @before: fill of the others
 */
struct transfer {
	size_t n;
	size_t from;
	size_t to;
	unsigned int now;
	unsigned int before;
};

enum result { RIGHT, ONES, STALE, DISPLACED, CORRUPT, FAILED };

/**
 * struct tally - what is in memory afterwards
 * @result: what has happened to most of the wrong words
 * @wrong: so many are wrong
 * @ones: of which all bits are set
 * @stale: that an earlier fill has put there
 * @displaced: words of the transfer that are elsewhere, the most that are at
 *	one distance, at any byte
 * @distance: of those, in bytes: where they are, less where they belong
 * @first: index of the first wrong one
 */
struct tally {
	enum result result;
	size_t wrong;
	size_t ones;
	size_t stale;
	size_t displaced;
	long long distance;
	size_t first;
};

void words_tally(const uint64_t *mem, const struct transfer *t,
		 struct tally *tally);

/* One word for each enum result */
extern const char *const result_names[];

#endif /* WORDS_H */
