// SPDX-License-Identifier: GPL-2.0
/* Options, the corpus, the search, and the smallest program that still fails */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "torture.h"

#define POOL		64
/* Of --minimise: a race is not won each time. */
#define TRIES		4

enum { EXIT_FINE, EXIT_FAILED, EXIT_USAGE, EXIT_STUCK };

/* All files of corpus/, each behind a line "## NAME" */
extern const char corpus[];
__asm__(".pushsection .rodata\n"
	"corpus: .incbin \"" CORPUS "\"\n"
	".byte 0\n"
	".popsection\n");

static struct options {
	uint64_t seed;
	unsigned int seconds, ops, times, minimise;
	const char *replay, *program;
	bool json;
} options = { .seconds = 60, .times = 1, .minimise = 120 };

static unsigned int programs, results;
static uint64_t began;
static bool has_kcov;

static void usage(FILE *f)
{
	fputs("usage: torture [OPTION]...\n\n"
	      "Runs programs of operations on memory that devices share: the corpus, then\n"
	      "programs made up from a seed, until one breaks what must hold. Needs ivgpu,\n"
	      "test_hmm, test_hmm_dma and an RDMA device (RDMA and DMA0 in the environment).\n\n"
	      "  --seed N         what to make up (default: the time)\n"
	      "  --seconds N      for so long (default: 60)\n"
	      "  --ops N          or until so many operations have been called\n"
	      "  --replay FILE    run this program alone, one operation a line\n"
	      "  --program TEXT   the same, with ; between the operations\n"
	      "  --times N        run each program of the corpus, or of these, N times\n"
	      "  --minimise N     seconds to spend on making what fails smaller (default: 120)\n"
	      "  --limit N        seconds that an operation may take (default: 120)\n"
	      "  --list           the names of the corpus\n"
	      "  --json           the result as JSON, on the last line\n"
	      "  --help, --version\n\n"
	      "Prints KTAP: the result \"devices\", one for each program of the corpus, and\n"
	      "\"made-up\" for the rest. TEST, in the environment, is a glob of those to run.\n\n"
	      "Each program goes to the kernel log before it runs, so that it is known what has\n"
	      "killed the kernel.\n\n"
	      "Exit codes: 0 nothing has failed, 1 something has, 2 wrong usage or a program\n"
	      "that cannot be read, 3 something has failed, and a process cannot be killed.\n",
	      f);
}

/* To the kernel log, whose lines are short: "torture P", and "torture +" goes on */
static void announce(const struct program *p)
{
	FILE *kmsg = fopen("/dev/kmsg", "w");
	char *text = program_text(p, ';');
	size_t i, size = strlen(text);

	for (i = 0; kmsg && i < size; i += 800) {
		fprintf(kmsg, "<6>peerfault-lab: torture %c %.800s\n", i ? '+' : 'P',
			text + i);
		fflush(kmsg);
	}
	free(text);
	if (kmsg)
		fclose(kmsg);
}

static bool run(const struct program *p)
{
	return run_program(p, ++programs);
}

/* What a failure is called, without numbers: who has seen it, up to the colon */
static void kind_of(const char *why, char *kind, size_t size)
{
	size_t n = 0;

	for (; *why && *why != ':' && n + 1 < size; why++)
		if (!isdigit(*why))
			kind[n++] = *why;
	kind[n] = '\0';
}

static bool still_fails(const struct program *p, const char *kind, uint64_t until)
{
	char now[64];
	unsigned int i;

	for (i = 0; i < TRIES && !run_over && now_ms() < until; i++) {
		if (run(p))
			continue;
		kind_of(shared->why, now, sizeof(now));
		if (!strcmp(now, kind))
			return true;
	}
	return false;
}

static void without(struct program *p, unsigned int first, unsigned int n)
{
	p->nr -= n;
	memmove(&p->op[first], &p->op[first + n], (p->nr - first) * sizeof(*p->op));
}

/* Leaves out what is not needed to fail, and then what makes it a race. */
static void minimise(struct program *p)
{
	uint64_t until = now_ms() + options.minimise * 1000ULL;
	unsigned int n, i;
	struct program q;
	char kind[64];

	kind_of(shared->why, kind, sizeof(kind));
	if (run_over || !still_fails(p, kind, until)) {
		puts("# did not fail again: not made smaller");
		return;
	}
	for (n = (p->nr + 1) / 2; n; n /= 2) {
		for (i = 0; i + n <= p->nr && p->nr > 1 && now_ms() < until;) {
			q = *p;
			without(&q, i, n);
			if (still_fails(&q, kind, until))
				*p = q;
			else
				i += n;
		}
	}
	for (i = 0; i < p->nr && now_ms() < until; i++) {
		q = *p;
		q.op[i].how = 0;
		q.op[i].thread = 0;
		if (memcmp(&q, p, sizeof(q)) && still_fails(&q, kind, until))
			*p = q;
	}
}

/* "#> " begins the lines of a program. */
static void show(const struct program *p)
{
	char *text = program_text(p, '\n'), *line, *save = NULL;

	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		printf("#> %s\n", line);
	free(text);
}

static void result(bool fine, const char *name)
{
	printf("%sok %u %s\n", fine ? "" : "not ", ++results, name);
	fflush(stdout);
}

static int failed(const struct program *p, const char *name)
{
	struct program small = *p;
	char why[sizeof(shared->why)];

	strcpy(why, shared->why);
	printf("# FAILED after %llu s, seed %llu, program %u: %s\n",
	       (unsigned long long)(now_ms() - began) / 1000,
	       (unsigned long long)options.seed, programs, why);
	show(p);
	fflush(stdout);
	if (options.minimise) {
		minimise(&small);
		printf("# the smallest that fails, %u of %u operations:\n", small.nr,
		       p->nr);
		show(&small);
	}
	result(false, name);
	/* For the summary */
	strcpy(shared->why, why);
	shared->failed = true;
	return run_over ? EXIT_STUCK : EXIT_FAILED;
}

/* The next program of @text, which is moved behind it; false: that was the last */
static bool corpus_next(const char **text, char *name, size_t size,
			struct program *p)
{
	const char *begin = *text, *end, *wrong;
	char *body;

	if (strncmp(begin, "## ", 3))
		return false;
	begin += 3;
	snprintf(name, size, "%.*s", (int)strcspn(begin, "\n"), begin);
	begin += strcspn(begin, "\n");
	end = strstr(begin, "\n## ");
	*text = end ? end + 1 : begin + strlen(begin);
	body = strndup(begin, *text - begin);
	wrong = body ? program_parse(p, body) : "no memory";
	free(body);
	if (wrong) {
		fprintf(stderr, "corpus, %s: %s\n", name, wrong);
		exit(EXIT_USAGE);
	}
	return true;
}

static int run_times(const struct program *p, const char *name)
{
	unsigned int i;

	announce(p);
	for (i = 0; i < options.times; i++)
		if (!run(p))
			return failed(p, name);
	result(true, name);
	return EXIT_FINE;
}

static bool wanted(const char *name)
{
	const char *test = getenv("TEST");

	return !test || !fnmatch(test, name, 0);
}

static unsigned int count_corpus(bool list)
{
	const char *text = corpus;
	unsigned int count = 0;
	struct program p;
	char name[64];

	while (corpus_next(&text, name, sizeof(name), &p)) {
		count += wanted(name);
		if (list)
			printf("%s\t%u operations\n", name, p.nr);
	}
	return count;
}

static int run_corpus(void)
{
	const char *text = corpus;
	struct program p;
	char name[64];
	int ret = EXIT_FINE;

	while (!ret && corpus_next(&text, name, sizeof(name), &p))
		if (wanted(name))
			ret = run_times(&p, name);
	return ret;
}

static int search(void)
{
	static struct program pool[POOL];
	uint64_t until = began + options.seconds * 1000ULL, said = began;
	struct rng rng = { options.seed };
	unsigned int pooled = 0;
	struct program p;

	while (now_ms() < until && (!options.ops || shared->calls < options.ops)) {
		if (pooled && rng_below(&rng, 2)) {
			p = pool[rng_below(&rng, pooled < POOL ? pooled : POOL)];
			program_mutate(&p, &rng);
		} else {
			program_generate(&p, &rng);
		}
		shared->fresh = 0;
		announce(&p);
		if (!run(&p))
			return failed(&p, "made-up");
		/* What did something new is worth more of the like. */
		if (shared->fresh)
			pool[pooled++ % POOL] = p;
		if (now_ms() - said > 60000) {
			said = now_ms();
			printf("# %llu s: %u programs, %llu calls, %u in the pool\n",
			       (unsigned long long)(said - began) / 1000, programs,
			       (unsigned long long)shared->calls, pooled);
			fflush(stdout);
		}
	}
	result(true, "made-up");
	return EXIT_FINE;
}

/* Each device works: with one that is not there, the rest would show nothing. */
static int try_devices(void)
{
	static const unsigned int codes[] = {
		OP_fill, OP_to_dev, OP_dev_read, OP_dma_read, OP_read, OP_nic_write,
	};
	bool fine = true;
	struct program p;
	unsigned int i;

	if (program_parse(&p, "0.0 map r=0;0.0 fill gpu=0 r=0 page=0 n=512;"
			  "0.0 to_dev dm=0 r=0 page=512 n=512;"
			  "0.0 dev_read dm=0 r=0 page=0 n=9;0.0 dma_reg r=0 mode=1;"
			  "0.0 dma_read r=0 page=1;0.0 reg mr=0 type=1 r=0 page=0 n=8;"
			  "0.0 read mr=0 page=0 n=7;0.0 nic_write mr=0 page=0 n=7"))
		abort();
	if (!run(&p))
		return failed(&p, "devices");
	for (i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		if (shared->fine[codes[i]])
			continue;
		printf("# %s does not work\n", ops[codes[i]].name);
		fine = false;
	}
	result(fine, "devices");
	return fine ? EXIT_FINE : EXIT_FAILED;
}

static int replay(void)
{
	const char *wrong;
	struct program p;
	char text[1 << 16];
	size_t n;
	FILE *f;

	if (options.program) {
		wrong = program_parse(&p, options.program);
	} else {
		f = strcmp(options.replay, "-") ? fopen(options.replay, "r") : stdin;
		n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
		text[n] = '\0';
		wrong = f ? program_parse(&p, text) : strerror(errno);
	}
	if (!wrong && !p.nr)
		wrong = "no operations";
	if (wrong) {
		fprintf(stderr, "torture: %s\n", wrong);
		return EXIT_USAGE;
	}
	return run_times(&p, "replay");
}

static void summary(void)
{
	unsigned long long ms = now_ms() - began, calls = shared->calls;
	unsigned int i;
	char *why;

	for (i = 0; i < NR_OPS && !options.json; i++)
		if (shared->done[i])
			printf("# %-10s %7u called %7u without error, the slowest %u ms\n",
			       ops[i].name, shared->done[i], shared->fine[i],
			       shared->slowest[i]);
	if (!options.json) {
		printf("# seed %llu: %u programs, %llu calls, %llu of them refused, in "
		       "%llu s, at most %u ms from SIGKILL to the end, %s KCOV: %s\n",
		       (unsigned long long)options.seed, programs, calls,
		       (unsigned long long)shared->refused, ms / 1000,
		       shared->slowest_end, has_kcov ? "with" : "without",
		       shared->failed ? shared->why : "nothing failed");
		return;
	}
	printf("{\"seed\": %llu, \"programs\": %u, \"calls\": %llu, "
	       "\"refused\": %llu, \"ms\": %llu, \"kcov\": %s, \"failed\": ",
	       (unsigned long long)options.seed, programs, calls,
	       (unsigned long long)shared->refused, ms, has_kcov ? "true" : "false");
	for (why = shared->why; *why; why++)
		if (*why == '"' || *why == '\\' || (unsigned char)*why < ' ')
			*why = '\'';
	printf(shared->failed ? "\"%s\"}\n" : "null}\n", shared->why);
}

static unsigned long long number(const char *text)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-') {
		fprintf(stderr, "torture: not a number: %s\n", text);
		exit(EXIT_USAGE);
	}
	return value;
}

static void parse_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "seed", 1, NULL, 's' }, { "seconds", 1, NULL, 't' },
		{ "ops", 1, NULL, 'o' }, { "replay", 1, NULL, 'r' },
		{ "program", 1, NULL, 'p' }, { "times", 1, NULL, 'n' },
		{ "minimise", 1, NULL, 'm' }, { "limit", 1, NULL, 'l' },
		{ "list", 0, NULL, 'L' }, { "json", 0, NULL, 'j' },
		{ "help", 0, NULL, 'h' }, { "version", 0, NULL, 'v' }, { }
	};
	int c;

	options.seed = time(NULL);
	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 's':
			options.seed = number(optarg);
			break;
		case 't':
			options.seconds = number(optarg);
			break;
		case 'o':
			options.ops = number(optarg);
			break;
		case 'r':
			options.replay = optarg;
			break;
		case 'p':
			options.program = optarg;
			break;
		case 'n':
			options.times = number(optarg);
			break;
		case 'm':
			options.minimise = number(optarg);
			break;
		case 'l':
			limit_ms = number(optarg) * 1000;
			break;
		case 'j':
			options.json = true;
			break;
		case 'L':
			count_corpus(true);
			exit(EXIT_FINE);
		case 'h':
			usage(stdout);
			exit(EXIT_FINE);
		case 'v':
			puts("torture " VERSION);
			exit(EXIT_FINE);
		default:
			usage(stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc) {
		usage(stderr);
		exit(EXIT_USAGE);
	}
}

int main(int argc, char **argv)
{
	int ret = EXIT_FINE;

	parse_options(argc, argv);
	run_init();
	began = now_ms();
	has_kcov = !access("/sys/kernel/debug/kcov", F_OK);
	puts("KTAP version 1");
	if (options.replay || options.program) {
		puts("1..1");
		ret = replay();
	} else {
		printf("1..%u\n# seed %llu\n", wanted("devices") +
		       count_corpus(false) + wanted("made-up"),
		       (unsigned long long)options.seed);
		if (wanted("devices"))
			ret = try_devices();
		if (!ret)
			ret = run_corpus();
		if (!ret && wanted("made-up"))
			ret = search();
	}
	if (ret != EXIT_USAGE)
		summary();
	return ret;
}
