// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sysfs.h"
#include "trace.h"

int trace_write(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	return sysfs_write(path, text);
}

int trace_start(void)
{
	int ret = trace_clear();

	return ret ? ret : trace_write("events/hmm/enable", "1");
}

int trace_clear(void)
{
	return trace_write("trace", "");
}

int trace_stop(void)
{
	return trace_write("events/hmm/enable", "0");
}

int trace_find(const void *addr, const char *event, const char *word,
	       char *line, size_t size)
{
	char buf[512], name[64], first[64], field[96];
	FILE *f = fopen(TRACEFS "trace", "r");
	int n = 0;

	if (!f)
		return -errno;
	snprintf(name, sizeof(name), " %s: ", event);
	snprintf(first, sizeof(first), " addr=%#lx ", (unsigned long)addr);
	snprintf(field, sizeof(field), " %s ", word);
	while (fgets(buf, sizeof(buf), f)) {
		buf[strcspn(buf, "\n")] = ' ';
		if (!strstr(buf, name) || !strstr(buf, field))
			continue;
		if (addr && !strstr(buf, first))
			continue;
		n++;
		if (line)
			snprintf(line, size, "%s", buf);
	}
	fclose(f);
	return n;
}

int trace_count(const void *addr, const char *event, const char *word)
{
	return trace_find(addr, event, word, NULL, 0);
}
