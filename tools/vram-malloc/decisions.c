// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's decisions, read from a trace buffer of our own. Who may not use
 * tracefs is told so, and no more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vram-malloc.h"

#ifndef INSTANCES	/* the tests have another place */
#define INSTANCES	"/sys/kernel/tracing/instances"
#endif
#define BUFFER_KB	"2048"

static char instance[96];

static int put(const char *file, const char *text)
{
	char path[160];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", instance, file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n < 0 ? -errno : 0;
}

int decisions_open(void)
{
	int ret;

	snprintf(instance, sizeof(instance), INSTANCES "/vram-malloc-%d",
		 getpid());
	if (mkdir(instance, 0700) && errno != EEXIST) {
		instance[0] = '\0';
		return -errno;
	}
	ret = put("buffer_size_kb", BUFFER_KB);
	if (!ret)
		ret = put("events/hmm/hmm_alias_grant/enable", "1");
	if (!ret)
		ret = put("events/hmm/hmm_alias_refuse/enable", "1");
	if (ret)
		decisions_close();
	return ret;
}

void decisions_close(void)
{
	if (instance[0])
		rmdir(instance);
	instance[0] = '\0';
}

/* An event of the one kind or the other */
static void read_event(const char *line,
		       void (*each)(uintptr_t, size_t, bool))
{
	const char *grant = strstr(line, "hmm_alias_grant: ");
	const char *refuse = strstr(line, "hmm_alias_refuse: ");
	unsigned long addr, pages;

	if (!grant && (!refuse || !strstr(refuse, " fallback=ram ")))
		return;
	if (sscanf(strstr(grant ? grant : refuse, "addr="),
		   "addr=%lx pages=%lu", &addr, &pages) == 2)
		each(addr, pages, grant);
}

int decisions_read(void (*each)(uintptr_t addr, size_t pages, bool granted))
{
	char path[128], line[512];
	unsigned long kept, written;
	int ret = 0;
	FILE *file;

	if (!instance[0])
		return -ENOENT;
	snprintf(path, sizeof(path), "%s/trace", instance);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		if (line[0] != '#')
			read_event(line, each);
		else if (sscanf(line, "# entries-in-buffer/entries-written: %lu/%lu",
				&kept, &written) == 2 && kept < written)
			ret = -EOVERFLOW;
	}
	fclose(file);
	put("trace", "");
	return ret;
}
