// SPDX-License-Identifier: GPL-2.0
/*
 * What `peerfault watch` does with events, which come from stdin, a line each:
 *
 *	EVENT: TEXT	as the kernel prints it; what is wrong with it is printed
 *	lost N		so many events were lost
 *	print SECONDS	what is new
 *	total SECONDS	all of it
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch.h"

static void feed(struct watch *watch, char *line)
{
	char *text = strstr(line, ": ");
	struct decision decision;
	int ret;

	if (sscanf(line, "lost %lu", &watch->lost) == 1)
		return;
	if (!strncmp(line, "print ", 6) || !strncmp(line, "total ", 6)) {
		watch_print(watch, atof(line + 6), *line == 't');
		return;
	}
	if (!text)
		abort();
	*text = '\0';
	ret = decision_parse(line, text + 2, &decision);
	if (!ret)
		ret = watch_add(watch, &decision);
	if (ret)
		printf("%s\n", strerrorname_np(-ret));
}

int main(int argc, char **argv)
{
	struct watch watch = { .json = argc > 1 && !strcmp(argv[1], "--json") };
	char line[1024];

	while (fgets(line, sizeof(line), stdin))
		feed(&watch, line);
	watch_free(&watch);
	return 0;
}
