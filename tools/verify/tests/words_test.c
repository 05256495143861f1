// SPDX-License-Identifier: GPL-2.0
/* What is said of memory after transfers that went wrong in known ways; KTAP */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "words.h"

enum { N = 4096, FROM = 1024, TO = 3072, MOVED = TO - FROM, BEFORE = 7, NOW = 8 };

#define CHECK(cond) do {						\
		if (!(cond)) {						\
			printf("# line %d: %s\n", __LINE__, #cond);	\
			ok = false;					\
		}							\
	} while (0)

static const struct transfer transfer = {
	.n = N, .from = FROM, .to = TO, .now = NOW, .before = BEFORE,
};
static uint64_t mem[N];
static struct tally tally;
static bool ok;

static char *bytes(size_t word)
{
	return (char *)&mem[word];
}

/* What is there before the transfer */
static void before(void)
{
	words_fill(mem, N, BEFORE);
}

/* What is transferred, @distance bytes from where it belongs */
static void land(long distance)
{
	uint64_t source[N];

	words_fill(source, N, NOW);
	memcpy(bytes(FROM) + distance, &source[FROM], MOVED * sizeof(*mem));
}

static void look(void)
{
	words_tally(mem, &transfer, &tally);
}

static void t_words(void)
{
	static const size_t indexes[] = { 0, 1, 2, N - 1, 0xffffffff };
	uint64_t word, other;
	size_t i, index;
	int bit;

	for (i = 0; i < sizeof(indexes) / sizeof(*indexes); i++) {
		word = word_make(NOW, indexes[i]);
		CHECK(word_parse(word, &index) == NOW && index == indexes[i]);
		/* No word is another one with a bit that has flipped. */
		for (bit = 0; bit < 64; bit++)
			CHECK(word_parse(word ^ 1ULL << bit, &index) != NOW ||
			      index >= N);
	}
	CHECK(word_make(NOW, 0) != word_make(BEFORE, 0));
	CHECK(!word_parse(UINT64_MAX, &index) && !word_parse(0, &index));
	/* Of another run */
	other = word_make(NOW, 3);
	words_seed(0x123456);
	CHECK(!word_parse(other, &index));
	CHECK(word_parse(word_make(255, 9), &index) == 255 && index == 9);
}

static void t_right(void)
{
	before();
	land(0);
	look();
	CHECK(tally.result == RIGHT && !tally.wrong);
}

static void t_ones(void)
{
	before();
	memset(bytes(FROM), 0xff, MOVED * sizeof(*mem));
	look();
	CHECK(tally.result == ONES && tally.wrong == MOVED);
	CHECK(tally.ones == MOVED && tally.first == FROM);
}

static void t_stale(void)
{
	before();
	look();
	CHECK(tally.result == STALE && tally.wrong == MOVED);
	CHECK(tally.stale == MOVED);
	/* One page only, and from long before */
	land(0);
	mem[FROM + 5] = word_make(1, FROM + 5);
	look();
	CHECK(tally.result == STALE && tally.wrong == 1);
	CHECK(tally.first == FROM + 5);
	/* What was there before, but somewhere else */
	mem[FROM + 5] = word_make(BEFORE, FROM + 6);
	look();
	CHECK(tally.result == CORRUPT && !tally.stale);
}

static void t_corrupt(void)
{
	size_t i;

	before();
	land(0);
	for (i = FROM; i < TO; i += 8)
		mem[i] ^= 0x10;
	look();
	CHECK(tally.result == CORRUPT && tally.wrong == MOVED / 8);
	CHECK(!tally.displaced);
}

/* By words, by parts of them, by more than all of it, in both directions */
static void t_displaced(void)
{
	static const long distances[] = { 8, -8, 64, 4096, -4096, 4, -4, 1, 7,
					  8000, -8000 };
	long distance;
	size_t i;

	for (i = 0; i < sizeof(distances) / sizeof(*distances); i++) {
		distance = distances[i];
		before();
		land(distance);
		look();
		CHECK(tally.result == DISPLACED);
		CHECK(tally.distance == distance);
		CHECK(tally.displaced == MOVED);
	}
}

/* At several distances, of which the last that is met has the fewest words */
static void t_distances(void)
{
	before();
	land(64);
	mem[N - 2] = word_make(NOW, FROM);
	mem[N - 1] = word_make(NOW, FROM);
	look();
	CHECK(tally.result == DISPLACED && tally.displaced == MOVED);
	CHECK(tally.distance == 64);
}

/* Most of it has left this memory: what is still seen tells the distance. */
static void t_mostly_outside(void)
{
	uint64_t source[N];

	words_fill(source, N, NOW);
	before();
	memcpy(bytes(N - 4), &source[FROM], 4 * sizeof(*mem));
	look();
	CHECK(tally.result == DISPLACED && tally.displaced == 4);
	CHECK(tally.distance == (N - 4 - FROM) * 8);
}

/* It is right, and has left something beside. */
static void t_stray(void)
{
	before();
	land(0);
	mem[TO] = ~mem[TO];
	look();
	CHECK(tally.result == CORRUPT && tally.wrong == 1 && tally.first == TO);
	mem[TO] = word_make(NOW, TO);
	look();
	CHECK(tally.wrong == 1 && tally.result != RIGHT);
}

/* All kinds at once: the most frequent has the name. */
static void t_mixed(void)
{
	before();
	land(0);
	mem[FROM] = UINT64_MAX;
	mem[FROM + 1] = 0;
	mem[FROM + 2] = 0;
	look();
	CHECK(tally.result == CORRUPT && tally.wrong == 3);
	mem[FROM + 3] = mem[FROM + 4] = UINT64_MAX;
	look();
	CHECK(tally.result == ONES && tally.ones == 3 && tally.wrong == 5);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*test)(void);
	} tests[] = {
		{ "words", t_words }, { "right", t_right }, { "ones", t_ones },
		{ "stale", t_stale }, { "corrupt", t_corrupt },
		{ "displaced", t_displaced }, { "distances", t_distances },
		{ "mostly_outside", t_mostly_outside },
		{ "stray", t_stray }, { "mixed", t_mixed },
	};
	size_t n = sizeof(tests) / sizeof(*tests), i, failed = 0;

	printf("KTAP version 1\n1..%zu\n", n);
	for (i = 0; i < n; i++) {
		ok = true;
		words_seed(0xabcdef);
		tests[i].test();
		failed += !ok;
		printf("%sok %zu %s\n", ok ? "" : "not ", i + 1, tests[i].name);
	}
	return !!failed;
}
