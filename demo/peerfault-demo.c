// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault-demo: the demonstration.
 *
 * A process fills ordinary anonymous memory with a device, ivgpu, so that its
 * pages live in that device's memory. A second process, with an RDMA device
 * context, protection domain and queue pair of its own, READs all of it over
 * a reliable connection, verifies every byte, and WRITEs new contents, which
 * ivgpu then checks by reading. This is done twice: without the exporter's
 * consent to peer access, and with it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cpuid.h>

#include "alias_common.h"
#include "trace_reasons.h"

enum exit_code {
	EXIT_SHOWN = 0,
	EXIT_WRONG = 1,
	EXIT_USAGE = 2,
	EXIT_NO_DEVICE = 4,
};

#define CHUNK		MIB
#define OUTSTANDING	4

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

static const char usage[] =
"usage: peerfault-demo [options]\n"
"\n"
"An RDMA peer reads, verifies and writes memory whose pages are in the memory\n"
"of a device (ivgpu), first without the device's consent to peer access, then\n"
"with it. Prints what each cost. With consent no page may move.\n"
"\n"
"  -s, --size MIB    amount of memory, in MiB (default 64)\n"
"  -r, --rdma NAME   RDMA device (default: the first with on-demand paging)\n"
"  -j, --json        print one JSON document instead of the table\n"
"  -h, --help        print this\n"
"\n"
"environment: PF_TOPOLOGY names the topology in the JSON document\n"
"\n"
"exit codes: 0 shown; 1 shown to be wrong, or an error; 2 usage;\n"
"4 no ivgpu device, or no RDMA device with on-demand paging\n";

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static int fail(const char *what, int err)
{
	if (err < 0)
		fprintf(stderr, "peerfault-demo: %s: %s\n", what, strerror(-err));
	else
		fprintf(stderr, "peerfault-demo: %s\n", what);
	return EXIT_WRONG;
}

/* The messages are small and the peer is on this machine: never partial. */
static int send_msg(int sock, const void *msg, size_t size)
{
	ssize_t n = send(sock, msg, size, MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

static int recv_msg(int sock, void *msg, size_t size)
{
	ssize_t n = recv(sock, msg, size, 0);

	if (n < 0)
		return -errno;
	if (!n)
		return -EPIPE;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

/* The peer. */

struct peer {
	struct alias_end end;
	struct ibv_mr *mr;
	unsigned char *ring;		/* OUTSTANDING chunks */
	uint64_t *expect;		/* one chunk */
};

static void peer_says(struct outcome *out, int error, const char *what,
		      uint64_t offset)
{
	out->error = error;
	snprintf(out->what, sizeof(out->what), "%s at offset %#" PRIx64, what,
		 offset);
}

static size_t chunk_len(const struct task *task, uint64_t chunk)
{
	uint64_t left = task->size - chunk * CHUNK;

	return left < CHUNK ? left : CHUNK;
}

static int peer_post(struct peer *peer, const struct task *task,
		     enum ibv_wr_opcode op, uint64_t chunk)
{
	struct alias_wr wr = {
		.op = op,
		.mr = peer->mr,
		.local = peer->ring + chunk % OUTSTANDING * CHUNK,
		.len = chunk_len(task, chunk),
		.remote = task->remote + chunk * CHUNK,
		.rkey = task->rkey,
	};

	if (op == IBV_WR_RDMA_WRITE)
		alias_pattern(wr.local, wr.len, task->seed_write,
			      chunk * CHUNK / sizeof(uint64_t));
	return alias_post(&peer->end, &wr, chunk);
}

/* Compares what was READ; the sum of it does not stand for the bytes. */
static bool peer_verify(struct peer *peer, const struct task *task,
			uint64_t chunk, struct outcome *out)
{
	const unsigned char *got = peer->ring + chunk % OUTSTANDING * CHUNK;
	const unsigned char *want = (const void *)peer->expect;
	size_t len = chunk_len(task, chunk);
	size_t i;

	alias_pattern(peer->expect, len, task->seed_read,
		      chunk * CHUNK / sizeof(uint64_t));
	for (i = 0; i < len && got[i] == want[i]; i++)
		;
	out->verified += i;
	if (i < len)
		peer_says(out, EILSEQ, "READ returned a wrong byte",
			  chunk * CHUNK + i);
	return i == len;
}

static void peer_transfer(struct peer *peer, const struct task *task,
			  enum ibv_wr_opcode op, struct outcome *out)
{
	uint64_t chunks = (task->size + CHUNK - 1) / CHUNK;
	uint64_t posted = 0, done = 0, id;
	int ret;

	while (done < chunks) {
		if (posted < chunks && posted - done < OUTSTANDING) {
			ret = peer_post(peer, task, op, posted);
			if (ret) {
				peer_says(out, -ret, "cannot post",
					  posted * CHUNK);
				return;
			}
			posted++;
			continue;
		}
		ret = alias_wait(&peer->end, &id);
		if (ret) {
			peer_says(out, ret < 0 ? -ret : EIO, ret < 0 ?
				  "no completion" : ibv_wc_status_str(ret),
				  done * CHUNK);
			return;
		}
		/* One connection completes in the order of posting. */
		if (id != done) {
			peer_says(out, EPROTO, "completion out of order",
				  done * CHUNK);
			return;
		}
		if (op == IBV_WR_RDMA_READ &&
		    !peer_verify(peer, task, done, out))
			return;
		done++;
	}
}

static int peer_serve(struct peer *peer, int sock)
{
	struct alias_addr owner;
	struct task task;
	int ret;

	ret = send_msg(sock, &peer->end.addr, sizeof(peer->end.addr));
	if (!ret)
		ret = recv_msg(sock, &owner, sizeof(owner));
	if (!ret)
		ret = alias_end_connect(&peer->end, &owner);
	if (ret)
		return ret;
	while (!(ret = recv_msg(sock, &task, sizeof(task)))) {
		struct outcome out = { 0 };

		peer_transfer(peer, &task, IBV_WR_RDMA_READ, &out);
		if (!out.error)
			peer_transfer(peer, &task, IBV_WR_RDMA_WRITE, &out);
		ret = send_msg(sock, &out, sizeof(out));
		if (ret)
			break;
	}
	return ret == -EPIPE ? 0 : ret;
}

static int peer_main(int sock, const char *rdma)
{
	struct peer peer = { 0 };
	int ret;

	peer.ring = mmap(NULL, OUTSTANDING * CHUNK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (peer.ring == MAP_FAILED)
		return fail("peer: mmap", -errno);
	peer.expect = malloc(CHUNK);
	if (!peer.expect)
		return fail("peer: malloc", -ENOMEM);
	ret = alias_end_open(&peer.end, rdma);
	if (ret)
		return fail("peer: cannot open the RDMA device", ret);
	peer.mr = ibv_reg_mr(peer.end.pd, peer.ring, OUTSTANDING * CHUNK,
			     IBV_ACCESS_LOCAL_WRITE);
	if (!peer.mr)
		return fail("peer: cannot register memory", -errno);

	ret = peer_serve(&peer, sock);
	if (ret)
		fail("peer: no connection to the owner", ret);

	ibv_dereg_mr(peer.mr);
	alias_end_close(&peer.end);
	free(peer.expect);
	munmap(peer.ring, OUTSTANDING * CHUNK);
	return ret ? EXIT_WRONG : EXIT_SHOWN;
}

/* The owner of the memory. */

struct owner {
	struct alias_gpu gpu;
	struct alias_end end;
	int sock;
	unsigned char *mem;
	size_t size;
};

static int do_run_mr(struct owner *owner, struct run *run, struct ibv_mr *mr,
		     const struct drm_ivgpu_counters *start, uint64_t t0)
{
	struct task task = {
		.remote = (uintptr_t)owner->mem,
		.size = owner->size,
		.seed_read = run->consent ? 3 : 1,
		.seed_write = run->consent ? 4 : 2,
		.rkey = mr->rkey,
	};
	struct drm_ivgpu_counters end;
	uint64_t sum, expect = 0;
	struct outcome out;
	uint64_t *words;
	size_t off;
	int ret;

	ret = send_msg(owner->sock, &task, sizeof(task));
	if (!ret)
		ret = recv_msg(owner->sock, &out, sizeof(out));
	if (ret)
		return fail("the peer died", ret);
	if (out.error)
		return fail(out.what, -out.error);
	run->verified = out.verified;

	ret = alias_gpu_sum(&owner->gpu, owner->mem, owner->size,
			    run->consent ? IVGPU_JOB_FLAG_VRAM_ONLY : 0, &sum);
	if (ret == -ENXIO)
		return fail("ivgpu: a page has left the VRAM", 0);
	if (ret)
		return fail("ivgpu: CHECKSUM", ret);
	run->ms = now_ms() - t0;
	ret = alias_gpu_counters(&owner->gpu, &end);
	if (ret)
		return fail("ivgpu: COUNTERS", ret);

	words = malloc(CHUNK);
	if (!words)
		return fail("malloc", -ENOMEM);
	for (off = 0; off < owner->size; off += CHUNK) {
		alias_pattern(words, CHUNK, task.seed_write, off / 8);
		expect += alias_sum(words, CHUNK, off / 8);
	}
	free(words);
	if (sum != expect)
		return fail("ivgpu does not see what the peer wrote", 0);
	run->verified += owner->size;

	run->to_ram = end.pages_to_ram - start->pages_to_ram;
	run->to_vram = end.pages_to_vram - start->pages_to_vram;
	run->aliased = end.alias_pages - start->alias_pages;
	return 0;
}

static int do_run(struct owner *owner, struct run *run)
{
	size_t page = sysconf(_SC_PAGESIZE);
	struct drm_ivgpu_counters start;
	struct ibv_mr *mr;
	uint64_t t0;
	long n;
	int ret;

	ret = alias_param_set("p2p", run->consent ? "Y" : "N");
	if (ret)
		return fail("cannot set ivgpu's parameter p2p", ret);
	owner->mem = mmap(NULL, owner->size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (owner->mem == MAP_FAILED)
		return fail("mmap", -errno);

	t0 = now_ms();
	ret = alias_gpu_fill(&owner->gpu, owner->mem, owner->size,
			     run->consent ? 3 : 1);
	if (ret)
		return fail("ivgpu: FILL", ret);
	/* Already there, so this moves nothing: it counts. */
	n = alias_gpu_place(&owner->gpu, owner->mem, owner->size,
			    IVGPU_PLACE_VRAM);
	if (n < 0)
		return fail("ivgpu: PLACE", n);
	if ((size_t)n != owner->size / page)
		return fail("ivgpu: FILL left pages outside the VRAM", 0);
	ret = alias_gpu_counters(&owner->gpu, &start);
	if (ret)
		return fail("ivgpu: COUNTERS", ret);

	ret = decisions_start();
	if (ret)
		return fail("cannot trace", ret);
	mr = alias_reg_odp(&owner->end, owner->mem, owner->size);
	if (!mr)
		return fail("cannot register on-demand memory", -errno);
	ret = do_run_mr(owner, run, mr, &start, t0);
	ibv_dereg_mr(mr);
	if (!ret) {
		ret = decisions_stop(&run->why);
		if (ret)
			ret = fail("cannot read the trace", ret);
	}
	munmap(owner->mem, owner->size);
	return ret;
}

/* Says what was shown; every way to be wrong has its own words. */
static int judge(const struct run *off, const struct run *on, uint64_t size,
		 char *verdict, size_t len)
{
	uint64_t pages = size / sysconf(_SC_PAGESIZE);

	if (on->to_ram || on->to_vram) {
		snprintf(verdict, len, "with consent, %" PRIu64 " pages moved;"
			 " none may", on->to_ram + on->to_vram);
	} else if (on->aliased != pages) {
		snprintf(verdict, len, "with consent, %" PRIu64 " of %" PRIu64
			 " pages were served through an alias", on->aliased,
			 pages);
	} else if (off->to_ram < pages || off->to_vram < pages) {
		snprintf(verdict, len, "without consent, only %" PRIu64 " of %"
			 PRIu64 " pages moved to RAM and %" PRIu64 " back: "
			 "there was nothing to avoid", off->to_ram, pages,
			 off->to_vram);
	} else if (off->aliased) {
		snprintf(verdict, len, "%" PRIu64 " pages were aliased without"
			 " consent", off->aliased);
	} else if (off->verified != 2 * size || on->verified != 2 * size) {
		snprintf(verdict, len, "not every byte was verified");
	} else {
		snprintf(verdict, len, "RDMA read and wrote %" PRIu64 " MiB of"
			 " device memory in place: 0 pages moved with consent,"
			 " %" PRIu64 " without", size / MIB,
			 off->to_ram + off->to_vram);
		return EXIT_SHOWN;
	}
	return EXIT_WRONG;
}

static void print_table(const struct run *off, const struct run *on)
{
	static const struct {
		const char *name;
		size_t offset;
	} rows[] = {
		{ "pages moved to RAM", offsetof(struct run, to_ram) },
		{ "pages moved back to VRAM", offsetof(struct run, to_vram) },
		{ "pages served through an alias",
		  offsetof(struct run, aliased) },
		{ "bytes verified", offsetof(struct run, verified) },
		{ "guest time (ms)", offsetof(struct run, ms) },
	};
	size_t i;

	printf("%-30s %14s %14s\n", "consent to peer access", "off", "on");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *a = (const char *)off + rows[i].offset;
		const char *b = (const char *)on + rows[i].offset;

		printf("%-30s %14" PRIu64 " %14" PRIu64 "\n", rows[i].name,
		       *(const uint64_t *)a, *(const uint64_t *)b);
	}
}

/* Each decision of the kernel's, with its reason, and for how many pages. */
static void print_why(const struct run *run)
{
	const struct decisions *d = &run->why;
	unsigned int i;

	for (i = 0; i < d->n; i++)
		printf("consent %-3s %9" PRIu64 " pages: %s\n",
		       run->consent ? "on" : "off", d->pages[i], d->what[i]);
	if (d->lost)
		printf("consent %-3s %9" PRIu64 " more in events lost\n",
		       run->consent ? "on" : "off", d->lost);
}

/* The hypervisor says in CPUID which accelerator runs the guest. */
static const char *accelerator(void)
{
	unsigned int eax, ebx, ecx, edx;
	char sig[13] = "";

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1U << 31)))
		return "none";
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	memcpy(sig, &ebx, 4);
	memcpy(sig + 4, &ecx, 4);
	memcpy(sig + 8, &edx, 4);
	if (!strcmp(sig, "TCGTCGTCGTCG"))
		return "tcg";
	return !strcmp(sig, "KVMKVMKVM") ? "kvm" : "other";
}

/* Nothing that is printed here can hold a control character but by malice. */
static void print_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s >= ' ')
			putchar(*s);
	}
	putchar('"');
}

static void print_json_why(const struct decisions *d)
{
	unsigned int i;

	printf("{\"lost\": %" PRIu64 ", \"kinds\": [", d->lost);
	for (i = 0; i < d->n; i++) {
		printf("%s{\"pages\": %" PRIu64 ", \"what\": ",
		       i ? ", " : "", d->pages[i]);
		print_string(d->what[i]);
		printf("}");
	}
	printf("]}");
}

static void print_json(const struct run *runs, size_t n, uint64_t size,
		       int code, const char *verdict)
{
	const char *topology = getenv("PF_TOPOLOGY");
	struct utsname u;
	size_t i;

	uname(&u);
	printf("{\"program\": \"peerfault-demo\", \"environment\": {\"kernel\": ");
	print_string(u.release);
	printf(", \"topology\": ");
	print_string(topology ? topology : "");
	printf(", \"accel\": \"%s\"}, \"size\": %" PRIu64 ", \"runs\": [",
	       accelerator(), size);
	for (i = 0; i < n; i++) {
		printf("%s{\"consent\": %s, \"pages_to_ram\": %" PRIu64
		       ", \"pages_to_vram\": %" PRIu64
		       ", \"pages_aliased\": %" PRIu64
		       ", \"bytes_verified\": %" PRIu64 ", \"ms\": %" PRIu64
		       ", \"decisions\": ", i ? ", " : "",
		       runs[i].consent ? "true" : "false",
		       runs[i].to_ram, runs[i].to_vram, runs[i].aliased,
		       runs[i].verified, runs[i].ms);
		print_json_why(&runs[i].why);
		printf("}");
	}
	printf("], \"shown\": %s, \"verdict\": ", code ? "false" : "true");
	print_string(verdict);
	printf("}\n");
}

static int run_both(struct owner *owner, bool json)
{
	struct run runs[2] = { { .consent = false }, { .consent = true } };
	char verdict[200], consent[8];
	int ret = 0;
	size_t i;

	ret = alias_param_get("p2p", consent, sizeof(consent));
	if (ret)
		return fail("cannot read ivgpu's parameter p2p", ret);
	for (i = 0; i < 2 && !ret; i++)
		ret = do_run(owner, &runs[i]);
	alias_param_set("p2p", consent);
	if (ret)
		return ret;

	ret = judge(&runs[0], &runs[1], owner->size, verdict, sizeof(verdict));
	if (json) {
		print_json(runs, 2, owner->size, ret, verdict);
	} else {
		print_table(&runs[0], &runs[1]);
		print_why(&runs[0]);
		print_why(&runs[1]);
		printf("%s: %s\n", ret ? "FAILED" : "shown", verdict);
	}
	return ret;
}

/* Ours first: from the moment the peer knows the address, it may send. */
static int owner_connect(struct owner *owner)
{
	struct alias_addr peer;
	int ret;

	ret = recv_msg(owner->sock, &peer, sizeof(peer));
	if (!ret)
		ret = alias_end_connect(&owner->end, &peer);
	if (!ret)
		ret = send_msg(owner->sock, &owner->end.addr,
			       sizeof(owner->end.addr));
	return ret;
}

static int owner_main(int sock, size_t size, const char *rdma, bool json)
{
	struct owner owner = { .sock = sock, .size = size };
	int ret;

	ret = alias_gpu_open(&owner.gpu, 0);
	if (ret) {
		fail("cannot open ivgpu", ret);
		return ret == -ENODEV ? EXIT_NO_DEVICE : EXIT_WRONG;
	}
	ret = alias_end_open(&owner.end, rdma);
	if (ret) {
		fail("cannot open the RDMA device", ret);
		ret = ret == -ENODEV ? EXIT_NO_DEVICE : EXIT_WRONG;
	} else {
		ret = owner_connect(&owner);
		ret = ret ? fail("cannot connect to the peer", ret) :
			    run_both(&owner, json);
		alias_end_close(&owner.end);
	}
	alias_gpu_close(&owner.gpu);
	return ret;
}

/* The peer's own failure counts, but does not hide what the owner found. */
static int run_peers(size_t size, const char *rdma, bool json)
{
	pid_t parent = getpid();
	int sv[2], status, ret;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return fail("socketpair", -errno);
	pid = fork();
	if (pid < 0)
		return fail("fork", -errno);
	if (!pid) {
		close(sv[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			exit(EXIT_WRONG);
		exit(peer_main(sv[1], rdma));
	}
	close(sv[1]);
	ret = owner_main(sv[0], size, rdma, json);
	close(sv[0]);
	if (waitpid(pid, &status, 0) < 0)
		return fail("waitpid", -errno);
	if (!ret && (!WIFEXITED(status) || WEXITSTATUS(status)))
		ret = fail("the peer failed", 0);
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "rdma", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	const char *rdma = NULL;
	unsigned long mib = 64;
	bool json = false;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "s:r:jh", options, NULL)) != -1) {
		switch (c) {
		case 's':
			errno = 0;
			mib = strtoul(optarg, &end, 10);
			if (errno || *end || end == optarg || *optarg == '-' ||
			    !mib || mib > 1UL << 20) {
				fprintf(stderr, "peerfault-demo: bad size '%s'\n",
					optarg);
				return EXIT_USAGE;
			}
			break;
		case 'r':
			rdma = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SHOWN;
		default:
			fputs(usage, stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return run_peers(mib * MIB, rdma, json);
}
