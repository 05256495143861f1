/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What `peerfault topo --verify` finds: verify.c has it tried, verify_result.c
 * judges and prints.
 *
 * The program peerfault-verify, which tries, prints lines:
 *
 *	doing TEXT		what it begins now
 *	pages STAYED MOVED	of a transfer through the exporter's memory: pages
 *				that were there afterwards, and that were not
 *	transfer read|write OP SIDE RESULT WRONG WORDS DISTANCE TEXT
 *				such a transfer. RESULT: right, ones, stale,
 *				displaced, corrupt or failed; WRONG words, in it
 *				and beside it, of WORDS; most of the displaced
 *				ones are DISTANCE bytes away
 *	untried TEXT		why it cannot go on
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "topo.h"

#define VERIFY_WAYS	4
#define VERIFY_WORD	16

enum verdict { VERDICT_RIGHT, VERDICT_WRONG, VERDICT_NONE, VERDICT_UNTRIED };

/**
 * struct verified_way - a transfer through the exporter's memory
 * @direction: of the importer: read or write
 * @op: READ or WRITE, of RDMA
 * @side: which side of the connection that memory was on
 * @result: as above
 * @wrong: wrong words, also beside what was transferred
 * @words: that were transferred
 * @distance: in bytes
 * @text: what else is known; may be empty
 */
struct verified_way {
	char direction[VERIFY_WORD];
	char op[VERIFY_WORD];
	char side[VERIFY_WORD];
	char result[VERIFY_WORD];
	unsigned long long wrong;
	unsigned long long words;
	long long distance;
	char text[128];
};

/**
 * struct verified - a pair
 * @pair: this one
 * @verdict: see verified_judge()
 * @ways: what was transferred
 * @n_ways: so many times
 * @stayed: pages that the transfers have left on the exporter
 * @moved: and that they have not
 * @aliased: pages that the kernel has granted meanwhile
 * @refused: why it has not, "REASON:PAGES", separated by blanks
 * @doing: what was begun last
 * @untried: why it was not done, or not all of it; "": it was
 */
struct verified {
	const struct pair *pair;
	enum verdict verdict;
	struct verified_way ways[VERIFY_WAYS];
	size_t n_ways;
	unsigned long long stayed;
	unsigned long long moved;
	unsigned long long aliased;
	char refused[256];
	char doing[128];
	char untried[256];
};

/* Reads a line as above. Others are an error, which @untried says then. */
void verified_line(struct verified *v, const char *line);
/*
 * Right: all words are, and all pages were reached in place. Wrong: data, or a
 * transfer has failed. None: all went through RAM, with the data right.
 */
void verified_judge(struct verified *v);

void verified_print_text(const struct verified *v, bool first);
void verified_print_json(const struct verified *v, bool first);

/* Tries all pairs and prints. A transfer may take @seconds. Returns an exit code. */
int topo_verify(const struct topo *topo, bool json, unsigned int seconds);

#endif /* VERIFY_H */
