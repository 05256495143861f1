/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A fuzzer of memory that devices share: programs of operations, run by several
 * processes with several threads each, and what must hold whatever they do.
 *
 * A supervisor (run.c) hands each operation to a thread of a process (proc.c).
 * An operation is waited for, unless it is ASYNC. What each page must contain is
 * known (content.c), so operations that change the contents of the same block
 * exclude each other, unless one is WILD: then nothing is known of its pages
 * but whose data they may have.
 *
 * Functions return 0 or a negative errno, unless they say otherwise.
 */
#ifndef TORTURE_H
#define TORTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gpu.h"
#include "mem.h"
#include "verbs.h"

#define NR_PROCS	4
#define NR_THREADS	3
/* Regions of a process, 1 GiB apart, at the same addresses in each of them */
#define NR_REGIONS	4
#define NR_BLOCKS	2
#define BLOCK_PAGES	512U
#define REGION_PAGES	(NR_BLOCKS * BLOCK_PAGES)
#define REGION_SIZE	(REGION_PAGES * PAGE)
#define NR_MRS		4
#define MAX_OPS		96
#define MAX_ARGS	5
#define STAGE_PAGES	64U

/* What the table of operations says of one */
#define F_WILD		1	/* may be wild */
#define F_ALONE		2	/* with nothing else under way */
#define F_SUPER		4	/* done by the supervisor */

/*
 * X(name, arguments, weight, flags). What an argument may be, and what is likely,
 * depends on its name: program.c. Each operation takes any value.
 */
#define OPS(X)								\
	X(map,		"r kind huge",		6, F_WILD)		\
	X(write,	"r page n",		20, F_WILD)		\
	X(check,	"r page n few",		12, F_WILD)		\
	X(unmap,	"r page n",		3, F_WILD)		\
	X(advise,	"r page n what",	12, F_WILD)		\
	X(protect,	"r page n prot",	5, F_WILD)		\
	X(pkey,		"r page n",		1, 0)			\
	X(move,		"r b r2 b2 keep",	4, 0)			\
	X(uffd,		"r page n mode",	2, 0)			\
	X(mbind,	"r page n mode",	1, 0)			\
	X(thp,		"mode",			1, 0)			\
	X(compact,	"mode",			1, 0)			\
	X(hog,		"mb mode",		2, 0)			\
	X(rest,		"us",			2, 0)			\
	X(fork,		"",			9, 0)			\
	X(exit,		"",			2, 0)			\
	X(kill,		"",			2, F_SUPER)		\
	X(spawn,	"",			2, F_SUPER)		\
	X(place,	"gpu r page n where",	14, 0)			\
	X(fill,		"gpu r page n flags",	10, F_WILD)		\
	X(sum,		"gpu r page n flags",	8, F_WILD)		\
	X(copy,		"gpu r page n flags",	6, F_WILD)		\
	X(add,		"gpu r page n flags",	3, 0)		\
	X(info,		"gpu",			2, 0)			\
	X(drm,		"gpu nr size word",	3, 0)			\
	X(close_gpu,	"gpu",			2, 0)			\
	X(consent,	"on",			4, 0)			\
	X(group,	"on",			1, 0)			\
	X(to_dev,	"dm r page n mode",	14, 0)			\
	X(to_sys,	"dm r page n",		4, 0)			\
	X(dev_read,	"dm r page n mode",	6, F_WILD)		\
	X(dev_write,	"dm r page n",		6, F_WILD)		\
	X(dev_flags,	"dm set",		8, 0)			\
	X(snapshot,	"dm r page n mode",	3, 0)			\
	X(exclusive,	"dm r page n",		2, F_ALONE)		\
	X(release,	"dm",			1, F_ALONE)		\
	X(close_dev,	"dm",			2, 0)			\
	X(dma_reg,	"r mode",		3, 0)			\
	X(dma_fault,	"r page n flags",	4, 0)			\
	X(dma_read,	"r page",		3, F_WILD)		\
	X(dma_write,	"r page",		3, F_WILD)		\
	X(dma_query,	"r page",		2, 0)			\
	X(reg,		"mr type r page n",	8, 0)			\
	X(dereg,	"mr",			3, 0)			\
	X(rereg,	"mr flags",		2, 0)			\
	X(prefetch,	"mr page n flags",	5, 0)			\
	X(read,		"mr page n off",	10, F_WILD)		\
	X(nic_write,	"mr page n",		10, F_WILD)		\
	X(send,		"mr page n",		3, F_WILD)		\
	X(push,		"mr page n",		4, F_WILD)		\
	X(atomic,	"mr page word mode",	3, 0)			\
	X(outside,	"mr dist mode",		3, 0)			\
	X(abort,	"mr page n mode",	2, 0)			\
	X(window,	"mr page n",		3, 0)			\
	X(reset,	"",			1, 0)

enum {
#define X(name, args, weight, flags) OP_##name,
	OPS(X)
#undef X
	NR_OPS
};

#define ASYNC		1
#define WILD		2

struct op {
	uint8_t code, proc, thread, how;
	uint32_t arg[MAX_ARGS];
};

struct program {
	unsigned int nr;
	struct op op[MAX_OPS];
};

struct op_def {
	const char *name, *args;
	unsigned int weight, flags;
	int (*run)(const struct op *op);
};

extern const struct op_def ops[NR_OPS];

/* program.c */
struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *rng);
unsigned int rng_below(struct rng *rng, unsigned int n);
void program_generate(struct program *p, struct rng *rng);
void program_mutate(struct program *p, struct rng *rng);
/* With @sep between the operations; to be freed */
char *program_text(const struct program *p, char sep);
/* NULL, or what is wrong with @text: operations, one a line or separated by ; */
const char *program_parse(struct program *p, const char *text);

/* What a page must contain: of which fill, and which words of it; or these: */
#define ZERO		0ULL
#define UNKNOWN		1ULL	/* words of this process, or zero */

/* Of a page, beside PROT_READ and PROT_WRITE */
#define GUARD		0x40
#define NOMAP		0x80

enum kind { ANON, PRIVATE_FILE, SHARED };

struct region {
	enum kind kind;
	bool dontfork, wipe, uffd;
	int fd;
	uint64_t seed[REGION_PAGES];
	uint8_t prot[REGION_PAGES];
};

struct span {
	unsigned int r, page, n;
};

/* content.c */
enum can { NO, YES, MAYBE };

static inline unsigned char *at(unsigned int r, unsigned int page)
{
	return (void *)(0x200000000000UL + ((uint64_t)r << 30) + page * PAGE);
}

static inline unsigned char *span_at(const struct span *s)
{
	return at(s->r, s->page);
}

/* From the arguments @r, @page and @n of an operation, in this order, from @first */
struct span op_span(const struct op *op, int first);
/*
 * To use a span: enter, use it, again, say what that did to it, leave. A wild one
 * holds no lock while it uses it.
 */
void span_enter(const struct span *s, bool wild);
void span_again(const struct span *s, bool wild);
void span_leave(const struct span *s, bool wild);
/* Two spans, which may be of the same blocks; @b may be NULL */
void spans_enter(const struct span *a, const struct span *b, bool wild);
void spans_again(const struct span *a, const struct span *b, bool wild);
void spans_leave(const struct span *a, const struct span *b, bool wild);
void blocks_lock(bool lock);
/* May all of it be read, or written? Between enter and leave, as all below. */
enum can span_can(const struct span *s, bool write);
/* A new fill, which is what has to be written; then, that this was done */
uint64_t fill_new(void);
void span_filled(const struct span *s, uint64_t fill);
void span_set(const struct span *s, uint64_t seed);
void span_prot(const struct span *s, unsigned int prot);
void page_set(unsigned int r, unsigned int page, uint64_t seed);
/* Is @data, which somebody has read from @off of @s on, what it must be? */
void span_verify(const char *who, const struct span *s, const void *data,
		 unsigned int off, bool all);
/* The words of a page that is not UNKNOWN */
uint64_t page_word(unsigned int r, unsigned int page, unsigned int word);
/* After fork(), in the child: what it has inherited */
void content_fork(void);

/**
 * struct access - a transfer between memory and a buffer
 * @who: who reads or writes, for messages
 * @io: does it, and returns 0 or an error
 * @write: to memory
 * @device: not by the CPU: pages of files may be refused, and userfaultfd's
 * @unsure: it may fail for other reasons than the memory
 * @blind: what is read is not sure to be what is there now
 * @off: bytes at the beginning that are left out
 * @data: the buffer; NULL: one is made
 * @fill: what is written
 * @priv: @io's
 */
struct access {
	const char *who;
	int (*io)(const struct op *op, const struct span *s, struct access *a);
	bool write, device, unsure, blind;
	unsigned int off;
	void *data;
	uint64_t fill;
	void *priv;
};

/* Does it, and judges it; as the operation may be, wild */
int span_access(const struct op *op, struct span s, struct access *a);
enum can device_can(const struct span *s, bool write);

/* proc.c */
struct mr {
	pthread_mutex_t lock;
	struct ibv_mr *mr;
	bool implicit, odp;
	uint64_t ahead;		/* of the memory, in the device's addresses */
	struct span s;
};

/* The two ends that a thread talks with */
struct conn {
	bool up;
	struct rdma_end own, peer;
	unsigned char *stage;
	struct ibv_mr *stage_mr;
};

struct block {
	pthread_mutex_t lock;
	int wild;
};

/* A process. fork() copies it. */
struct self {
	unsigned int id;
	uint64_t tag, tags[MAX_OPS + 1];
	unsigned int nr_tags;
	_Atomic unsigned int fills;
	struct region region[NR_REGIONS];
	struct block block[NR_REGIONS * NR_BLOCKS];
	/* Changes of mappings, one at a time; then opening of devices */
	pthread_mutex_t layout, opening;
	struct gpu gpu[2];
	int dmirror[2], dma, uffd;
	struct rdma_end nic;
	bool nic_open, nic_absent;
	struct mr mr[NR_MRS];
	struct conn conn[NR_THREADS];
	void *hog;
	size_t hogged;
};

extern struct self me;
extern __thread unsigned int thread_id;
extern __thread sigjmp_buf *caught;

/* Runs @x. Not 0: it was ended by a signal for memory that cannot be accessed. */
#define TRY(x) ({							\
	sigjmp_buf jump_;						\
	int signal_ = sigsetjmp(jump_, 0);				\
	if (!signal_) {							\
		caught = &jump_;					\
		x;							\
	}								\
	caught = NULL;							\
	signal_;							\
})

enum { BOX_IDLE, BOX_POSTED, BOX_RUNNING };
enum { PROC_FREE, PROC_STARTING, PROC_LIVE, PROC_ENDING };

/* What a thread is to do, and does */
struct box {
	_Atomic unsigned int state;
	_Atomic uint64_t since;		/* ms */
	int ret;
	unsigned int child;
	struct op op;
};

struct shared {
	struct box box[NR_PROCS][NR_THREADS];
	struct {
		_Atomic int pid;
		_Atomic int state;
		_Atomic unsigned int token;
	} proc[NR_PROCS];
	_Atomic unsigned int changed;	/* futex of the supervisor */
	_Atomic bool claimed, failed;
	char why[400];
	_Atomic unsigned int tags;
	uint16_t program;
	_Atomic bool tight;		/* allocations may fail in this program */
	_Atomic int dma_owner;		/* who uses the buffer of the DMA engine */
	_Atomic uint64_t calls, refused;
	_Atomic unsigned int done[NR_OPS], fine[NR_OPS];
	/* ms; of several at a time one may be lost */
	_Atomic unsigned int slowest[NR_OPS], slowest_end;
	uint8_t seen[1 << 16];		/* coverage */
	_Atomic unsigned int fresh;	/* how much of it is new */
};

extern struct shared *shared;

/* The first failure counts; what comes later may be its consequence. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/*
 * What an operation has returned, against what it must: not fail where the
 * process itself may access all, and not work where it may not access some.
 */
int judge(const char *what, int ret, enum can can);
void futex_wait(_Atomic unsigned int *word, unsigned int value, int ms);
void futex_wake(_Atomic unsigned int *word);
/* Something has changed that the supervisor may be waiting for. */
void notify(void);
uint64_t now_ms(void);
pid_t proc_start(unsigned int slot);
/*
 * A new process in @slot, which the caller becomes, in the child of fork(), if
 * @token is still that of the slot
 */
void proc_become(unsigned int slot, unsigned int token) __attribute__((noreturn));

/* kcov.c, by each thread. Does nothing where the kernel has no KCOV. */
bool kcov_open(void);
void kcov_begin(void);
void kcov_end(void);
void covered(uint64_t what);

/* ops_nic.c: nothing of the parent's is of use to a child */
void nic_forget(void);

/* run.c */
extern unsigned int limit_ms;
void run_init(void);
/* false: something does not hold, and shared->why says what */
bool run_program(const struct program *p, uint16_t number);
/* A process that cannot be killed, or a dead kernel: no more can be run. */
extern bool run_over;

#endif /* TORTURE_H */
