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
	{ "pages", pages_main, "where the pages of a process are" },
	{ "watch", watch_main, "what the kernel decides about pages, as it happens" },
};

#define N_COMMANDS	(sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	size_t i;

	fputs("usage: peerfault COMMAND [OPTION]...\n\n", to);
	for (i = 0; i < N_COMMANDS; i++)
		fprintf(to, "  %-8s%s\n", commands[i].name, commands[i].what);
	fputs("\n`peerfault COMMAND --help` describes one, peerfault(8) all of them.\n"
	      "`peerfault --version` prints the version.\n"
	      "exit codes: 0 done; 1 error; 2 usage; `topo --verify` has more\n", to);
}

static void print_version(void)
{
	puts("peerfault " PEERFAULT_VERSION);
}

int close_stdout(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_DONE;
	perror("peerfault: stdout");
	return EXIT_ERROR;
}

int common_option(int opt, const char *usage_text)
{
	switch (opt) {
	case 'h':
		fputs(usage_text, stdout);
		return close_stdout();
	case 'V':
		print_version();
		return close_stdout();
	default:
		return EXIT_USAGE;
	}
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	size_t i;

	if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
		usage(stdout);
		return close_stdout();
	}
	if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
		print_version();
		return close_stdout();
	}
	for (i = 0; i < N_COMMANDS; i++)
		if (!strcmp(word, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	usage(stderr);
	return EXIT_USAGE;
}
