// SPDX-License-Identifier: GPL-2.0
/*
 * A program: its exit code and its output are its own. PLUGIN names a library that
 * has its work.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *plugin = getenv("PLUGIN");
	void *self = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
	int (*work)(void) = self ? dlsym(self, "work") : NULL;
	int status = 0, ret;

	if (!work)
		return 2;
	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 42;
	ret = work();
	if (argc > 1 && !strcmp(argv[1], "fork")) {
		if (!fork())
			exit(work());
		wait(&status);
		ret = WEXITSTATUS(status) == 42 ? ret : 1;
	}
	puts("mine");
	return ret;
}
