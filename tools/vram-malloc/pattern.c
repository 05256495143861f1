// SPDX-License-Identifier: GPL-2.0
/*
 * A pattern that tells of each word who wrote it, and which word of his it is:
 * mix(seed + index * step), which can be undone.
 */
#include "vram-malloc.h"

#define STEP		0x9e3779b97f4a7c15ULL
#define STEP_INVERSE	0xf1de83e19937733dULL
#define MIX		0xbf58476d1ce4e5b9ULL
#define MIX_INVERSE	0x96de1b173f119089ULL
/* No region is that long, in words, so seeds do not meet. */
#define SEED_SHIFT	48

static uint64_t word(uint64_t seed, uint64_t index)
{
	uint64_t x = ((seed << SEED_SHIFT) + index) * STEP;

	x = (x ^ (x >> 30)) * MIX;
	return x ^ (x >> 27);
}

/* The seed, and @index, of what may be such a word */
static uint64_t seed_of(uint64_t x, uint64_t *index)
{
	x = x ^ (x >> 27) ^ (x >> 54);
	x *= MIX_INVERSE;
	x = x ^ (x >> 30) ^ (x >> 60);
	x *= STEP_INVERSE;
	*index = x & ((1ULL << SEED_SHIFT) - 1);
	return x >> SEED_SHIFT;
}

void pattern_write(struct region *region, uint64_t seed)
{
	uint64_t *words = (uint64_t *)region->data;
	size_t i;

	for (i = 0; i < region->length / sizeof(*words); i++)
		words[i] = word(seed, i);
	region->filled = true;
}

void pattern_report(const struct region *region, uint64_t seed)
{
	const uint64_t *words = (const uint64_t *)region->data;
	size_t n = region->length / sizeof(*words), i;
	size_t own = 0, peer = 0, other = 0;
	uint64_t from, index, shift = 0;

	for (i = 0; i < n; i++) {
		from = seed_of(words[i], &index);
		if (from == seed && index == i) {
			own++;
		} else if (from && from < 16 && from != seed && index < n &&
			   (!peer || index - i == shift)) {
			shift = index - i;
			peer++;
		} else {
			other++;
		}
	}
	say("region %u: of %zu words %zu are its own, %zu the peer's in their "
	    "order, %zu neither", region->number, n, own, peer, other);
}
