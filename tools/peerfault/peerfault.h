/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PEERFAULT_H
#define PEERFAULT_H

/* What the command and its subcommands exit with, see usage in peerfault.c */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_ERROR = 1,
	EXIT_USAGE = 2,
	/* `peerfault topo --verify` only */
	EXIT_WRONG = 3,
	EXIT_NO_PAIR = 4,
	EXIT_UNTRIED = 5,
};

/* Subcommands: argv[0] is the subcommand's name. They return an exit code. */
int topo_main(int argc, char **argv);
int pages_main(int argc, char **argv);
int watch_main(int argc, char **argv);

/* What a subcommand returns for options that are not its own: -h, -V, wrong ones */
int common_option(int opt, const char *usage_text);
/* Done, unless something that was printed did not get out */
int close_stdout(void);

#endif /* PEERFAULT_H */
