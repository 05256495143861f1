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
 *
 * Where there is no ivgpu, the device is the exporter at the PCI address GPU0
 * in the environment. RDMA and RDMA_PEER there may name the RDMA devices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "demo.h"

static const char usage[] =
"usage: peerfault-demo [options]\n"
"\n"
"ivgpu fills anonymous memory, so that its pages are in device memory. An RDMA\n"
"peer reads, verifies and overwrites all of it: first without the device's\n"
"consent to peer access, then with it. Prints what each run cost. With consent\n"
"no page may move.\n"
"\n"
"  -s, --size MIB    amount of memory, in MiB (default 64)\n"
"  -r, --rdma NAME   RDMA device of both ends (default: what RDMA and RDMA_PEER\n"
"                    name, or else the first with on-demand paging)\n"
"  -j, --json        print one JSON document instead of the table\n"
"  -h, --help        print this\n"
"  -V, --version     print the version\n"
"\n"
"exit codes: 0 shown; 1 shown to be wrong, or an error; 2 usage;\n"
"4 no ivgpu device, or no RDMA device with on-demand paging\n";

int fail(const char *what, int err)
{
	if (err < 0)
		fprintf(stderr, "peerfault-demo: %s: %s\n", what,
			strerror(-err));
	else
		fprintf(stderr, "peerfault-demo: %s\n", what);
	return EXIT_WRONG;
}

/* The messages are small and the peer is on this machine: never partial. */
int send_msg(int sock, const void *msg, size_t size)
{
	ssize_t n = send(sock, msg, size, MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return n == (ssize_t)size ? 0 : -EPROTO;
}

int recv_msg(int sock, void *msg, size_t size)
{
	ssize_t n = recv(sock, msg, size, 0);

	if (n < 0)
		return -errno;
	if (!n)
		return -EPIPE;
	return n == (ssize_t)size ? 0 : -EPROTO;
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
		{ "version", no_argument, NULL, 'V' },
		{ 0 }
	};
	const char *rdma = NULL;
	unsigned long mib = 64;
	bool json = false;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "s:r:jhV", options, NULL)) != -1) {
		switch (c) {
		case 's':
			errno = 0;
			mib = strtoul(optarg, &end, 10);
			if (errno || *end || end == optarg || *optarg == '-' ||
			    !mib || mib > 1UL << 20) {
				fprintf(stderr,
					"peerfault-demo: bad size '%s'\n",
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
		case 'V':
			puts("peerfault-demo " PEERFAULT_VERSION);
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
