// SPDX-License-Identifier: GPL-2.0
/* What each page must contain, and whose turn it is to change it. */
#include <pthread.h>
#include <string.h>

#include "stress.h"

/**
 * struct content - what is in a page
 * @seed: of pattern_fill()
 * @first: index of the first word
 * @zero: all zero instead
 */
struct content {
	uint64_t seed;
	uint64_t first;
	bool zero;
};

static struct content content[NR_PAGES];
static pthread_mutex_t locks[NR_PAGES];

/* splitmix64 */
uint64_t random_next(struct worker *w)
{
	uint64_t x = w->random += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

size_t below(struct worker *w, size_t n)
{
	return random_next(w) % n;
}

size_t pick(struct worker *w, size_t max, size_t *count)
{
	*count = 1 + below(w, max);
	return below(w, NR_PAGES - *count + 1);
}

void content_init(void)
{
	size_t i;

	for (i = 0; i < NR_PAGES; i++) {
		content[i].zero = true;
		pthread_mutex_init(&locks[i], NULL);
	}
}

void lock(size_t page, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		pthread_mutex_lock(&locks[page + i]);
}

void unlock(size_t page, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		pthread_mutex_unlock(&locks[page + i]);
}

unsigned char *at(size_t page)
{
	return race.mem + page * PAGE;
}

void expected(void *buf, size_t page)
{
	const struct content *c = &content[page];

	if (c->zero)
		memset(buf, 0, PAGE);
	else
		pattern_fill(buf, PAGE, c->seed, c->first);
}

void set(size_t page, size_t count, uint64_t seed)
{
	size_t i;

	for (i = 0; i < count; i++)
		content[page + i] = (struct content){ seed, i * WORDS, false };
}

int wrong(const void *data, size_t page)
{
	const uint64_t *word = data;
	uint64_t want[WORDS];
	size_t i;

	expected(want, page);
	for (i = 0; i < WORDS; i++)
		if (word[i] != want[i])
			return i;
	return -1;
}

void verify(const unsigned char *data, size_t page, size_t count,
	    const char *who)
{
	uint64_t want[WORDS];
	size_t i;
	int word;

	for (i = 0; i < count; i++) {
		word = wrong(data + i * PAGE, page + i);
		if (word < 0)
			continue;
		expected(want, page + i);
		fail("%s: page %zu word %d is %#llx, not %#llx (seed %#llx)",
		     who, page + i, word,
		     ((unsigned long long *)(data + i * PAGE))[word],
		     (unsigned long long)want[word],
		     (unsigned long long)content[page + i].seed);
		return;
	}
}

void set_zero(size_t page, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		content[page + i].zero = true;
}

void set_copy(size_t to, size_t from, size_t count)
{
	memcpy(&content[to], &content[from], count * sizeof(*content));
}
