// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault topo --verify: has each importer move a pattern from and to the memory
 * of each exporter, and compares. The program peerfault-verify does that, which
 * is beside this one: it needs libibverbs, and may hang where hardware does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "peerfault.h"
#include "verify.h"
#include "watch.h"

#define PROGRAM		"peerfault-verify"
/* Each way once in RAM and once in the exporter's memory */
#define TRANSFERS	(2 * VERIFY_WAYS)
#ifndef SETUP_SECONDS	/* the tests have less */
#define SETUP_SECONDS	30
#endif
#define REAP_MS		5000
#define REAP_EACH_MS	10

/* The run of the program for a pair */
struct trial {
	struct verified *v;
	pid_t pid;
	int out;		/* what it prints */
	char line[512];
	size_t n;
};

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	stopped = sig;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Where this program is, the other one is as well. False: it is not. */
static bool find_program(char path[PATH_MAX])
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return false;
	self[n] = '\0';
	return snprintf(path, PATH_MAX, "%s/" PROGRAM, dirname(self)) < PATH_MAX &&
	       !access(path, X_OK);
}

static void run_program(const char *path, int out, const struct pair *pair,
			unsigned int seconds, pid_t parent, const sigset_t *mask)
{
	char text[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* It may be gone already. */
	if (getppid() != parent)
		_exit(EXIT_ERROR);
	snprintf(text, sizeof(text), "%u", seconds);
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (dup2(out, STDOUT_FILENO) >= 0)
		execl(path, PROGRAM, pair->importer->name, pair->exporter->bdf,
		      text, NULL);
	dprintf(out, "untried cannot run %s: %s\n", path, strerror(errno));
	_exit(EXIT_ERROR);
}

static int trial_start(struct trial *trial, const char *path,
		       unsigned int seconds, const sigset_t *mask)
{
	pid_t self = getpid();
	int out[2];

	if (pipe2(out, O_CLOEXEC))
		return -errno;
	trial->out = out[0];
	trial->pid = fork();
	if (!trial->pid)
		run_program(path, out[1], trial->v->pair, seconds, self, mask);
	close(out[1]);
	if (trial->pid > 0)
		return 0;
	close(out[0]);
	return -errno;
}

/* Takes the lines that are whole */
static void trial_lines(struct trial *trial)
{
	char *line = trial->line, *end;

	trial->line[trial->n] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		verified_line(trial->v, line);
		line = end + 1;
	}
	trial->n -= line - trial->line;
	/* Longer than any that it prints */
	if (trial->n == sizeof(trial->line) - 1)
		trial->n = 0;
	memmove(trial->line, line, trial->n);
}

/* False: it has not ended by @end, or this program is to. */
static bool trial_listen(struct trial *trial, int64_t end, const sigset_t *mask)
{
	struct pollfd pfd = { .fd = trial->out, .events = POLLIN };
	struct timespec wait;
	int64_t left;
	ssize_t n;

	while (!stopped && (left = end - now_ms()) > 0) {
		wait.tv_sec = left / 1000;
		wait.tv_nsec = left % 1000 * 1000000;
		if (ppoll(&pfd, 1, &wait, mask) <= 0)
			continue;
		n = read(trial->out, trial->line + trial->n,
			 sizeof(trial->line) - 1 - trial->n);
		if (n <= 0)
			return true;
		trial->n += n;
		trial_lines(trial);
	}
	return false;
}

/* A device that does not answer may keep it for ever. */
static bool trial_reap(struct trial *trial, int *status)
{
	int ms;

	for (ms = 0; ms < REAP_MS; ms += REAP_EACH_MS) {
		if (waitpid(trial->pid, status, WNOHANG) == trial->pid)
			return true;
		usleep(REAP_EACH_MS * 1000);
	}
	return false;
}

static void trial_end(struct trial *trial, bool ended)
{
	struct verified *v = trial->v;
	int status = 0;
	bool reaped;

	if (!ended)
		kill(trial->pid, SIGKILL);
	reaped = trial_reap(trial, &status);
	close(trial->out);
	if (*v->untried)
		return;
	if (!ended || !reaped)
		snprintf(v->untried, sizeof(v->untried), "timed out, doing %s%s",
			 v->doing, reaped ? "" : ", and cannot be killed");
	else if (!WIFEXITED(status))
		snprintf(v->untried, sizeof(v->untried),
			 PROGRAM " ended by signal %d, doing %s",
			 WTERMSIG(status), v->doing);
	else if (WEXITSTATUS(status))
		snprintf(v->untried, sizeof(v->untried),
			 PROGRAM " ended with %d, doing %s",
			 WEXITSTATUS(status), v->doing);
}

/* What the kernel has decided about the memory of the program */
static void count(struct verified *v, const struct watch *watch, pid_t pid)
{
	size_t i, w, n = 0;

	for (i = 0; i < watch->n_rows; i++) {
		const struct watch_row *row = &watch->rows[i];

		/* 0: this kernel knows no owners. */
		if (row->pid && row->pid != pid)
			continue;
		if (strcmp(row->exporter, v->pair->exporter->bdf) &&
		    strcmp(row->exporter, "none"))
			continue;
		v->aliased += row->now.granted;
		for (w = 0; w < WATCH_REASONS && n < sizeof(v->refused); w++)
			if (row->now.why[w])
				n += snprintf(v->refused + n,
					      sizeof(v->refused) - n,
					      "%s%s:%llu", n ? " " : "",
					      watch->reasons[w],
					      (unsigned long long)row->now.why[w]);
	}
}

static int try_pair(struct verified *v, const char *path, unsigned int seconds,
		    const sigset_t *mask)
{
	struct trial trial = { .v = v };
	struct watch watch = { 0 };
	int64_t end = now_ms() + (TRANSFERS * seconds + SETUP_SECONDS) * 1000LL;
	int ret = trial_start(&trial, path, seconds, mask);

	if (ret) {
		snprintf(v->untried, sizeof(v->untried),
			 "cannot run " PROGRAM ": %s", strerror(-ret));
		return 0;
	}
	trial_end(&trial, trial_listen(&trial, end, mask));
	ret = watch_trace_read(&watch);
	count(v, &watch, trial.pid);
	watch_free(&watch);
	return ret;
}

/* RDMA devices only, and an exporter once, whatever BARs it has */
static bool is_tried(const struct topo *topo, size_t i)
{
	const struct pair *pair = &topo->pairs[i];
	size_t k;

	for (k = 0; k < i; k++)
		if (topo->pairs[k].importer == pair->importer &&
		    !strcmp(topo->pairs[k].exporter->bdf, pair->exporter->bdf))
			return false;
	return pair->importer->rdma;
}

static int try_pairs(const struct topo *topo, bool json, unsigned int seconds,
		     const char *path, const sigset_t *mask)
{
	size_t found[VERDICT_UNTRIED + 1] = { 0 }, n = 0, i;
	int ret = 0;

	for (i = 0; !ret && !stopped && i < topo->n_pairs; i++) {
		struct verified v = { .pair = &topo->pairs[i] };

		if (!is_tried(topo, i))
			continue;
		if (v.pair->importer->odp == NO)
			v.verdict = VERDICT_NONE;
		else
			ret = try_pair(&v, path, seconds, mask);
		if (stopped || ret)
			break;
		if (v.pair->importer->odp != NO)
			verified_judge(&v);
		found[v.verdict]++;
		if (json)
			verified_print_json(&v, !n++);
		else
			verified_print_text(&v, !n++);
		fflush(stdout);
	}
	if (ret || stopped)
		return EXIT_ERROR;
	return found[VERDICT_WRONG] ? EXIT_WRONG :
	       found[VERDICT_UNTRIED] ? EXIT_UNTRIED :
	       found[VERDICT_RIGHT] ? EXIT_DONE : EXIT_NO_PAIR;
}

static bool has_pair(const struct topo *topo)
{
	size_t i;

	for (i = 0; i < topo->n_pairs; i++)
		if (is_tried(topo, i))
			return true;
	return false;
}

static int verify(const struct topo *topo, bool json, unsigned int seconds)
{
	struct sigaction action = { .sa_handler = stop };
	char path[PATH_MAX];
	sigset_t ends, mask;
	int ret;

	if (!topo->n_exporters && topo->n_missing) {
		fprintf(stderr, "peerfault: %s\n", topo->missing[0]);
		return EXIT_UNTRIED;
	}
	if (!has_pair(topo)) {
		if (!json)
			puts(topo->n_exporters ? "no pair: no RDMA device" :
			     "no pair: no exporter");
		return EXIT_NO_PAIR;
	}
	if (!find_program(path)) {
		fprintf(stderr, "peerfault: no " PROGRAM " beside this program (make -C tools/verify install)\n");
		return EXIT_UNTRIED;
	}
	/* Whatever ends this, the trace buffer has to go. */
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, &mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = watch_trace_open() ? EXIT_UNTRIED :
	      try_pairs(topo, json, seconds, path, &mask);
	watch_trace_close();
	return ret;
}

int topo_verify(const struct topo *topo, bool json, unsigned int seconds)
{
	int ret;

	if (json)
		printf("{\"verify\": [");
	ret = verify(topo, json, seconds);
	if (json)
		puts("]}");
	return close_stdout() ? EXIT_ERROR : ret;
}
