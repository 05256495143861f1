// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault: what an administrator wants to know about peer-to-peer access to
 * device-private memory. One subcommand, one file.
 */
#include <stdio.h>
#include <string.h>

#include "peerfault.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "topo", topo_main, "which devices reach whose memory, and why not" },
};

#define N_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	size_t i;

	fputs("usage: peerfault COMMAND [OPTION]...\n\n", to);
	for (i = 0; i < N_COMMANDS; i++)
		fprintf(to, "  %-8s%s\n", commands[i].name, commands[i].what);
	fputs("\npeerfault COMMAND --help tells more.\n"
	      "exit codes: 0 done; 1 error; 2 usage\n", to);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		usage(stdout);
		return EXIT_DONE;
	}
	for (i = 0; argc > 1 && i < N_COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	usage(stderr);
	return EXIT_USAGE;
}
