// SPDX-License-Identifier: GPL-2.0
/* What became of transfers: read, judged and printed */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "verify.h"

#define SWITCH	"/sys/bus/pci/devices/%s/p2pdma/peer_access"

static const char * const verdicts[] = { "right", "wrong", "none", "untried" };

/* Appends, cut where @to is full */
__attribute__((format(printf, 3, 4)))
static void add(char *to, size_t size, const char *fmt, ...)
{
	size_t n = strlen(to);
	va_list args;

	va_start(args, fmt);
	vsnprintf(to + n, size - n, fmt, args);
	va_end(args);
}

#define ADD(array, ...)	add(array, sizeof(array), __VA_ARGS__)

static bool is_known(const char *word, const char *known)
{
	const char *at = strstr(known, word);
	size_t n = strlen(word);

	return at && (at == known || at[-1] == ' ') && (!at[n] || at[n] == ' ');
}

static bool read_way(struct verified *v, const char *words)
{
	struct verified_way *way = &v->ways[v->n_ways];
	int end = -1;

	if (v->n_ways == VERIFY_WAYS ||
	    sscanf(words, "%15s %15s %15s %15s %llu %llu %lld%n",
		   way->direction, way->op, way->side, way->result,
		   &way->wrong, &way->words, &way->distance, &end) != 7 ||
	    end < 0 || !is_known(way->direction, "read write") ||
	    !is_known(way->result, "right ones stale displaced corrupt failed"))
		return false;
	words += end;
	snprintf(way->text, sizeof(way->text), "%s", words + (*words == ' '));
	v->n_ways++;
	return true;
}

void verified_line(struct verified *v, const char *line)
{
	const char *words = line + strcspn(line, " ");
	unsigned long long stayed, moved;
	size_t n = words - line;

	words += *words == ' ';
	if (n == 5 && !strncmp(line, "doing", n)) {
		snprintf(v->doing, sizeof(v->doing), "%s", words);
	} else if (n == 7 && !strncmp(line, "untried", n)) {
		snprintf(v->untried, sizeof(v->untried), "%s", words);
	} else if (n == 5 && !strncmp(line, "pages", n) &&
		   sscanf(words, "%llu %llu", &stayed, &moved) == 2) {
		v->stayed += stayed;
		v->moved += moved;
	} else if (n != 8 || strncmp(line, "transfer", n) ||
		   !read_way(v, words)) {
		snprintf(v->untried, sizeof(v->untried),
			 "peerfault-verify is of another version: %s", line);
	}
}

static bool is_right(const struct verified_way *way)
{
	return !strcmp(way->result, "right");
}

void verified_judge(struct verified *v)
{
	size_t i;

	v->verdict = VERDICT_WRONG;
	for (i = 0; i < v->n_ways; i++)
		if (!is_right(&v->ways[i]))
			return;
	v->verdict = VERDICT_UNTRIED;
	if (*v->untried)
		return;
	if (v->n_ways < VERIFY_WAYS)
		ADD(v->untried, "it ended early, doing %s", v->doing);
	else if (!v->stayed)
		v->verdict = VERDICT_NONE;
	else if (v->moved)
		ADD(v->untried, "%llu of %llu pages moved to RAM", v->moved,
		    v->stayed + v->moved);
	else if (v->aliased < v->stayed)
		ADD(v->untried, "%llu pages stayed, but the kernel granted %llu only",
		    v->stayed, v->aliased);
	else
		v->verdict = VERDICT_RIGHT;
}

/* The first way that is wrong. @n: how many are; @right: how many are not */
static const struct verified_way *find_wrong(const struct verified *v,
					     const char *direction, size_t *n,
					     size_t *right)
{
	const struct verified_way *found = NULL;
	size_t i;

	*n = 0;
	*right = 0;
	for (i = 0; i < v->n_ways; i++) {
		const struct verified_way *way = &v->ways[i];

		if (strcmp(way->direction, direction))
			continue;
		if (is_right(way)) {
			++*right;
			continue;
		}
		++*n;
		found = found ?: way;
	}
	return found;
}

/* True: it is wrong */
static bool describe(char text[512], const struct verified *v,
		     const char *direction)
{
	bool reads = !strcmp(direction, "read");
	const struct verified_way *way;
	size_t n, right;

	way = find_wrong(v, direction, &n, &right);
	add(text, 512, "%ss ", direction);
	if (!way) {
		add(text, 512, right ? "right" : "not tried");
		return false;
	}
	if (!strcmp(way->result, "ones"))
		add(text, 512, "%s (all ones)", reads ? "dropped" : "corrupted");
	else if (!strcmp(way->result, "stale"))
		add(text, 512, "dropped (stale)");
	else if (!strcmp(way->result, "displaced"))
		add(text, 512, "at a wrong offset (%+lld bytes)", way->distance);
	else if (!strcmp(way->result, "failed"))
		add(text, 512, "failed (%s)", way->text);
	else
		add(text, 512, "corrupted");
	/* What is at a wrong offset is wrong there as well. */
	if (way->wrong && strcmp(way->result, "displaced"))
		add(text, 512, ", %llu of %llu words", way->wrong, way->words);
	if (right)
		add(text, 512, ", only by RDMA %s", way->op);
	return true;
}

/* What a line says of the pair. "": nothing is to be said */
static void explain(char text[512], const struct verified *v)
{
	const char *why = v->pair->why;
	bool reads, writes;

	*text = '\0';
	if (v->verdict == VERDICT_UNTRIED) {
		add(text, 512, "%s", v->untried);
		return;
	}
	if (v->verdict == VERDICT_NONE) {
		if (v->n_ways)
			add(text, 512, "right through RAM: ");
		add(text, 512, "%s", *why ? why : *v->refused ? v->refused :
		    "the kernel gave no reason");
		return;
	}
	reads = describe(text, v, "read");
	add(text, 512, "; ");
	writes = describe(text, v, "write");
	if (v->verdict == VERDICT_WRONG && reads != writes)
		add(text, 512, "; one direction only");
	if (*v->untried)
		add(text, 512, "; %s", v->untried);
}

/* Would it help to forbid peer access? */
static bool is_switched(const struct verified *v)
{
	return v->verdict == VERDICT_WRONG && v->stayed;
}

void verified_print_text(const struct verified *v, bool first)
{
	char text[512];

	if (first)
		printf("%-13s %-20s %-8s %8s %8s  %s\n", "exporter", "importer",
		       "verdict", "aliased", "moved", "what");
	explain(text, v);
	printf("%-13s %-20s %-8s %8llu %8llu  %s", v->pair->exporter->bdf,
	       v->pair->importer->name, verdicts[v->verdict], v->aliased,
	       v->moved, text);
	if (is_switched(v))
		printf("; forbid it: echo 0 > " SWITCH, v->pair->exporter->bdf);
	putchar('\n');
}

static void json_word(const char *key, const char *value)
{
	printf("\"%s\": ", key);
	json_string(value);
	fputs(", ", stdout);
}

static void print_way(const struct verified_way *way, bool first)
{
	printf("%s\n\t\t{", first ? "" : ",");
	json_word("direction", way->direction);
	json_word("operation", way->op);
	json_word("side", way->side);
	json_word("result", way->result);
	printf("\"wrong\": %llu, \"words\": %llu, \"distance\": ", way->wrong,
	       way->words);
	if (strcmp(way->result, "displaced"))
		fputs("null", stdout);
	else
		printf("%lld", way->distance);
	printf(", \"text\": ");
	json_string(*way->text ? way->text : NULL);
	putchar('}');
}

void verified_print_json(const struct verified *v, bool first)
{
	char text[512], path[NAME_LEN + 64];
	size_t i;

	explain(text, v);
	snprintf(path, sizeof(path), SWITCH, v->pair->exporter->bdf);
	printf("%s\n\t{", first ? "" : ",");
	json_word("exporter", v->pair->exporter->bdf);
	json_word("importer", v->pair->importer->name);
	json_word("verdict", verdicts[v->verdict]);
	printf("\"aliased\": %llu, \"stayed\": %llu, \"moved\": %llu, ",
	       v->aliased, v->stayed, v->moved);
	json_word("refused", *v->refused ? v->refused : NULL);
	json_word("what", text);
	json_word("switch", is_switched(v) ? path : NULL);
	printf("\"transfers\": [");
	for (i = 0; i < v->n_ways; i++)
		print_way(&v->ways[i], !i);
	printf("]}");
}
