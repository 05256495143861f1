// SPDX-License-Identifier: GPL-2.0
/* A process of a program: its threads, which do what they are told, and signals. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "torture.h"

struct shared *shared;
struct self me;
__thread unsigned int thread_id;
__thread sigjmp_buf *caught;

uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

void futex_wait(_Atomic unsigned int *word, unsigned int value, int ms)
{
	struct timespec limit = { ms / 1000, ms % 1000 * 1000000L };

	syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}

void futex_wake(_Atomic unsigned int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void notify(void)
{
	shared->changed++;
	futex_wake(&shared->changed);
}

void fail(const char *format, ...)
{
	va_list args;

	if (atomic_exchange(&shared->claimed, true))
		return;
	va_start(args, format);
	vsnprintf(shared->why, sizeof(shared->why), format, args);
	va_end(args);
	shared->failed = true;
	notify();
}

int judge(const char *what, int ret, enum can can)
{
	/* Nobody is to blame. ENXIO: not in VRAM, as was asked for. */
	switch (ret) {
	case -ENOMEM:
	case -ENXIO:
	case -EINTR:
	case -EBUSY:
	case -ENODEV:
	case -ENOSYS:
	case -EOPNOTSUPP:
		return ret;
	}
	if (ret && can == YES && !shared->tight)
		fail("%s: p%u: %d (%s), though the process may access all of it",
		     what, me.id, ret, ret < 0 ? strerror(-ret) : "completion");
	if (!ret && can == NO)
		fail("%s: p%u: works, though the process may not do that",
		     what, me.id);
	return ret;
}

static void on_signal(int sig)
{
	if (caught)
		siglongjmp(*caught, sig);
	fail("p%u.%u: signal %d where no memory of the program is accessed",
	     me.id, thread_id, sig);
	_exit(1);
}

static void run_box(struct box *box)
{
	const struct op op = box->op;
	int ret;

	box->since = now_ms();
	box->state = BOX_RUNNING;
	kcov_begin();
	ret = ops[op.code].run(&op);
	kcov_end();
	/* Without KCOV: which operation came after which, with which result. */
	covered((uint64_t)op.code << 32 | (uint32_t)(ret > 0 ? 1 : ret) % 251);
	box->ret = ret;
	if (now_ms() - box->since > shared->slowest[op.code])
		shared->slowest[op.code] = now_ms() - box->since;
	/* Not the last look at everything */
	shared->calls += op.code != OP_check || !op.arg[3];
	shared->done[op.code]++;
	shared->fine[op.code] += !ret;
	shared->refused += !!ret;
	box->state = BOX_IDLE;
	notify();
}

static void *work(void *arg)
{
	struct box *box = &shared->box[me.id][thread_id = (uintptr_t)arg];

	kcov_open();
	for (;;) {
		if (box->state == BOX_POSTED)
			run_box(box);
		else
			futex_wait(&box->state, BOX_IDLE, 1000);
	}
	return NULL;
}

static void proc_tag(void)
{
	me.tag = (uint64_t)shared->program << 8 | (shared->tags++ & 0xff);
	if (me.nr_tags < sizeof(me.tags) / sizeof(*me.tags))
		me.tags[me.nr_tags++] = me.tag;
}

void proc_become(unsigned int slot, unsigned int token)
{
	pthread_t thread;
	uintptr_t i;

	/* Too late */
	if (shared->proc[slot].token != token)
		_exit(0);
	me.id = slot;
	proc_tag();
	shared->proc[slot].pid = getpid();
	for (i = 1; i < NR_THREADS; i++)
		if (pthread_create(&thread, NULL, work, (void *)i))
			fail("p%u: no thread", slot);
	shared->proc[slot].state = PROC_LIVE;
	notify();
	work(NULL);
	abort();
}

static void self_init(void)
{
	unsigned int i;

	memset(&me, 0, sizeof(me));
	for (i = 0; i < NR_REGIONS; i++) {
		memset(me.region[i].prot, NOMAP, REGION_PAGES);
		me.region[i].fd = -1;
	}
	for (i = 0; i < NR_REGIONS * NR_BLOCKS; i++)
		pthread_mutex_init(&me.block[i].lock, NULL);
	for (i = 0; i < NR_MRS; i++)
		pthread_mutex_init(&me.mr[i].lock, NULL);
	pthread_mutex_init(&me.layout, NULL);
	pthread_mutex_init(&me.opening, NULL);
	me.gpu[0].fd = me.gpu[1].fd = -1;
	me.dmirror[0] = me.dmirror[1] = me.dma = me.uffd = -1;
}

pid_t proc_start(unsigned int slot)
{
	struct sigaction action = {
		.sa_handler = on_signal,
		.sa_flags = SA_NODEFER,
	};
	unsigned int token = shared->proc[slot].token;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	self_init();
	proc_become(slot, token);
}
