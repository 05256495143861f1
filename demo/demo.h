/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The demo: a process that owns memory (owner.c), its RDMA peer (peer.c), what
 * is made of it (report.c). They talk over a socket. The device that has the
 * memory is behind source.h.
 */
#ifndef DEMO_H
#define DEMO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mem.h"
#include "trace_reasons.h"

enum exit_code {
	EXIT_SHOWN = 0,
	EXIT_WRONG = 1,
	EXIT_USAGE = 2,
	EXIT_NO_DEVICE = 4,
};

#define CHUNK		MIB

/* What the owner of the memory asks of the peer. */
struct task {
	uint64_t remote;
	uint64_t size;
	uint64_t seed_read;
	uint64_t seed_write;
	uint32_t rkey;
};

/* Why the peer stopped, or how far it came. */
struct outcome {
	int error;
	uint64_t verified;
	char what[96];
};

/* One of the two runs, consent off and consent on. */
struct run {
	bool consent;
	uint64_t to_ram;
	uint64_t to_vram;
	uint64_t aliased;
	uint64_t verified;
	uint64_t ms;
	struct decisions why;
};

/* Says on stderr what failed; @err is a negative errno, or 0. EXIT_WRONG */
int fail(const char *what, int err);

/* The two ends of the socket. 0 or a negative errno */
int send_msg(int sock, const void *msg, size_t size);
int recv_msg(int sock, void *msg, size_t size);

/* Both processes return an exit code. @rdma: name of the device, or NULL */
int peer_main(int sock, const char *rdma);
int owner_main(int sock, size_t size, const char *rdma, bool json);

/* Prints both runs and what they show. Returns the exit code. */
int report(const struct run *off, const struct run *on, uint64_t size,
	   bool json);

#endif /* DEMO_H */
