// SPDX-License-Identifier: GPL-2.0
/* Runs a program: hands out its operations, and sees to what must hold. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "ops.h"
#include "sysfs.h"

/* For a box, and for the end of a process that is killed */
unsigned int limit_ms = 120000;
#define BIRTH_MS	3000
bool run_over;

/* What a process that is not expected any more does not know */
static unsigned int tokens;
static uint64_t starting[NR_PROCS];
static int kmsg = -1;
static regex_t splat;

void run_init(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	/* Processes that end are waited for by nobody, also if their parents have. */
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
	/* The first line of a report; lab/klog-gate.sh has the last word. */
	if (regcomp(&splat, "WARNING: |BUG: |kernel BUG at|Oops: |general protection"
		    "|KASAN: |KCSAN: |KFENCE: |UBSAN: |Bad rss-counter|bad page |"
		    "bad page$|INFO: task .* blocked|non-static key|refcount_t: |"
		    "rcu: INFO: |soft lockup|corruption|ODEBUG: |DMA-API: .*: |"
		    "possible (recursive|circular) locking|suspicious RCU",
		    REG_EXTENDED | REG_NOSUB))
		abort();
}

/* What the kernel has said since it was asked last */
static void look_at_log(void)
{
	char line[1024], *text;
	ssize_t n;

	for (;;) {
		n = kmsg < 0 ? -1 : read(kmsg, line, sizeof(line) - 1);
		if (n < 0 && kmsg >= 0 && errno == EPIPE)
			continue;	/* some was lost */
		if (n <= 0)
			return;
		line[n] = '\0';
		text = strchr(line, ';');
		text = text ? text + 1 : line;
		text[strcspn(text, "\n")] = '\0';
		if (!regexec(&splat, text, 0, NULL, 0))
			fail("kernel: %s", text);
	}
}

static bool alive(unsigned int slot)
{
	return shared->proc[slot].pid && !kill(shared->proc[slot].pid, 0);
}

/* Where the threads of a process are */
static void show_stacks(unsigned int slot)
{
	char command[200];

	snprintf(command, sizeof(command), "for t in /proc/%d/task/*; do "
		 "echo \"# $t: $(cat $t/wchan)\"; sed 's/^/#   /' $t/stack; done",
		 shared->proc[slot].pid);
	fflush(NULL);
	if (system(command))
		puts("# (no stacks)");
}

static void gone(unsigned int slot)
{
	if (shared->dma_owner == shared->proc[slot].pid)
		shared->dma_owner = 0;
	shared->proc[slot].pid = 0;
	shared->proc[slot].token = ++tokens;
	memset(shared->box[slot], 0, sizeof(shared->box[slot]));
	shared->proc[slot].state = PROC_FREE;
}

/* SIGKILL ends it soon, whatever it does. */
static void end(unsigned int slot)
{
	uint64_t since = now_ms();

	shared->proc[slot].state = PROC_ENDING;
	while (alive(slot)) {
		kill(shared->proc[slot].pid, SIGKILL);
		if (now_ms() - since > limit_ms) {
			fail("p%u: does not end %u s after SIGKILL", slot,
			     limit_ms / 1000);
			show_stacks(slot);
			run_over = true;
			return;
		}
		usleep(2000);
	}
	if (now_ms() - since > shared->slowest_end)
		shared->slowest_end = now_ms() - since;
	gone(slot);
}

/* Looks after all processes. Those that were lost, and nobody knows why, fail. */
static void look_after(void)
{
	unsigned int slot, t;

	for (slot = 0; slot < NR_PROCS; slot++) {
		if (shared->proc[slot].state == PROC_FREE)
			continue;
		/* Its parent was killed before it was born. */
		if (shared->proc[slot].state == PROC_STARTING &&
		    now_ms() - starting[slot] > BIRTH_MS) {
			gone(slot);
			continue;
		}
		if (shared->proc[slot].pid && !alive(slot)) {
			if (shared->proc[slot].state != PROC_ENDING &&
			    !shared->tight && !shared->failed)
				fail("p%u: was killed, but not by us", slot);
			gone(slot);
			continue;
		}
		for (t = 0; t < NR_THREADS; t++) {
			struct box *box = &shared->box[slot][t];

			if (box->state != BOX_RUNNING ||
			    now_ms() - box->since < limit_ms || shared->failed)
				continue;
			fail("p%u.%u: %s did not return in %u s", slot, t,
			     ops[box->op.code].name, limit_ms / 1000);
			show_stacks(slot);
		}
	}
}

/* Waits until @done. false: never, as something has failed */
static bool wait_for(bool (*done)(unsigned int slot, unsigned int t),
		     unsigned int slot, unsigned int t)
{
	unsigned int changed;

	for (;;) {
		changed = shared->changed;
		if (shared->failed)
			return false;
		if (done(slot, t))
			return true;
		futex_wait(&shared->changed, changed, 50);
		if (shared->changed == changed)
			look_after();
	}
}

static bool usable(unsigned int slot)
{
	return shared->proc[slot].state == PROC_LIVE;
}

static bool idle(unsigned int slot, unsigned int t)
{
	return !usable(slot) || shared->box[slot][t].state == BOX_IDLE;
}

static bool started(unsigned int slot, unsigned int t)
{
	(void)t;
	return shared->proc[slot].state != PROC_STARTING;
}

static bool all_idle(unsigned int slot, unsigned int t)
{
	for (slot = 0; slot < NR_PROCS; slot++) {
		if (shared->proc[slot].state == PROC_STARTING ||
		    shared->proc[slot].state == PROC_ENDING)
			return false;
		for (t = 0; t < NR_THREADS; t++)
			if (!idle(slot, t))
				return false;
	}
	return true;
}

static int free_slot(void)
{
	unsigned int slot;

	look_after();
	for (slot = 0; slot < NR_PROCS; slot++)
		if (shared->proc[slot].state == PROC_FREE)
			return slot;
	return -1;
}

static void expect(unsigned int slot)
{
	starting[slot] = now_ms();
	shared->proc[slot].token = ++tokens;
	shared->proc[slot].state = PROC_STARTING;
}

static bool start(unsigned int slot)
{
	expect(slot);
	shared->proc[slot].pid = proc_start(slot);
	return wait_for(started, slot, 0);
}

/* The operations of the supervisor: each ends in another thread than it is about. */
int op_kill(const struct op *op)
{
	if (usable(op->proc))
		end(op->proc);
	return 0;
}

int op_spawn(const struct op *op)
{
	int slot = free_slot();

	(void)op;
	return slot >= 0 && start(slot) ? 0 : -EAGAIN;
}

static bool post(const struct op *op, unsigned int slot)
{
	struct box *box = &shared->box[slot][op->thread];
	int child = -1;

	if (!wait_for(idle, slot, op->thread))
		return false;
	if (!usable(slot))
		return true;
	if (op->code == OP_fork) {
		child = free_slot();
		if (child < 0)
			return true;
		expect(child);
		box->child = child;
	}
	box->op = *op;
	box->since = now_ms();
	box->state = BOX_POSTED;
	futex_wake(&box->state);
	if (op->how & ASYNC)
		return true;
	return wait_for(idle, slot, op->thread) &&
	       (child < 0 || wait_for(started, child, 0));
}

static bool run_op(const struct op *op)
{
	unsigned int slot = usable(op->proc) ? op->proc : 0;

	if (ops[op->code].flags & F_SUPER) {
		shared->done[op->code]++;
		shared->fine[op->code] += !ops[op->code].run(op);
		return !shared->failed;
	}
	if (ops[op->code].flags & F_ALONE && !wait_for(all_idle, 0, 0))
		return false;
	if (ops[op->code].flags & F_ALONE) {
		struct op alone = *op;

		alone.how = 0;
		return post(&alone, slot);
	}
	return post(op, slot);
}

/* All that all processes have, once more */
static bool check_all(void)
{
	struct op op = { .code = OP_check, .arg = { 0, 0, REGION_PAGES, true } };
	unsigned int slot, r;

	if (!wait_for(all_idle, 0, 0))
		return false;
	for (slot = 0; slot < NR_PROCS; slot++) {
		for (r = 0; usable(slot) && r < NR_REGIONS; r++) {
			op.arg[0] = r;
			if (!post(&op, slot))
				return false;
		}
	}
	return true;
}

bool run_program(const struct program *p, uint16_t number)
{
	unsigned int i, slot;

	memset(shared->proc, 0, sizeof(shared->proc));
	memset(shared->box, 0, sizeof(shared->box));
	shared->program = number;
	shared->tags = 0;
	shared->dma_owner = 0;
	shared->tight = false;
	shared->claimed = shared->failed = false;
	shared->why[0] = '\0';
	sysfs_write("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	if (start(0)) {
		for (i = 0; i < p->nr && run_op(&p->op[i]); i++)
			;
		if (!shared->failed)
			check_all();
	}
	for (slot = 0; slot < NR_PROCS; slot++) {
		/* A child that is being born */
		while (shared->proc[slot].state == PROC_STARTING &&
		       now_ms() - starting[slot] < BIRTH_MS)
			usleep(1000);
		if (shared->proc[slot].pid)
			end(slot);
		else
			gone(slot);
	}
	look_at_log();
	return !shared->failed;
}
