// SPDX-License-Identifier: GPL-2.0
/*
 * A process is killed while an access of a peer waits for a page of it, which
 * only its own userfaultfd could bring.
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <linux/netlink.h>
#include <linux/userfaultfd.h>

#include <rdma/rdma_netlink.h>

#include "fixture.h"

#define SIZE		(2 * MIB)
#define LIMIT		30	/* seconds */

FIXTURE(rdma_killed) {
	struct rdma_env env;
};

/* The kernel closes the files of a process in an order of its own. */
FIXTURE_VARIANT(rdma_killed) {
	bool uffd_first;
};

FIXTURE_VARIANT_ADD(rdma_killed, device_first) { };
FIXTURE_VARIANT_ADD(rdma_killed, uffd_first) { .uffd_first = true };

FIXTURE_SETUP(rdma_killed)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, true, false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	ASSERT_EQ(0, rdma_env_read(env, 0, SIZE));
}

FIXTURE_TEARDOWN(rdma_killed)
{
	rdma_env_close(&self->env);
}

/* The sum of all counts in a part of what the kernel says of a device */
static long count_in(const char *data, size_t len)
{
	const struct nlattr *attr;
	uint64_t count;
	long sum = 0;
	size_t off;

	for (off = 0; off + NLA_HDRLEN <= len;
	     off += NLA_ALIGN(attr->nla_len)) {
		attr = (const void *)(data + off);
		if (attr->nla_len < NLA_HDRLEN || off + attr->nla_len > len)
			break;
		switch (attr->nla_type & NLA_TYPE_MASK) {
		case RDMA_NLDEV_ATTR_RES_SUMMARY:
		case RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY:
			sum += count_in((const char *)(attr + 1),
					attr->nla_len - NLA_HDRLEN);
			break;
		case RDMA_NLDEV_ATTR_RES_SUMMARY_ENTRY_CURR:
			memcpy(&count, attr + 1, sizeof(count));
			sum += count;
		}
	}
	return sum;
}

/* How many QPs, MRs and the like a device has, or a negative errno */
static long count(const struct rdma_end *end)
{
	struct {
		struct nlmsghdr head;
		struct nlattr dev;
		uint32_t index;
	} request = {
		.head = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV,
						       RDMA_NLDEV_CMD_RES_GET),
			.nlmsg_flags = NLM_F_REQUEST,
		},
		.dev = { NLA_HDRLEN + 4, RDMA_NLDEV_ATTR_DEV_INDEX },
		.index = ibv_get_device_index(end->ctx->device),
	};
	uint64_t answer[1024];
	struct nlmsghdr *head = (void *)answer;
	long ret = -EIO;
	ssize_t n;
	int fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
	if (fd < 0)
		return -errno;
	if (send(fd, &request, sizeof(request), 0) == sizeof(request)) {
		n = recv(fd, answer, sizeof(answer), 0);
		if (n > 0 && NLMSG_OK(head, n) &&
		    head->nlmsg_type != NLMSG_ERROR)
			ret = count_in(NLMSG_DATA(head), NLMSG_PAYLOAD(head, 0));
	}
	close(fd);
	return ret;
}

/* Memory in VRAM with aliases, and an access to other memory that waits. */
static int victim(bool uffd_first, int ready)
{
	struct rdma_env env;
	struct rdma_wr wr = { .op = IBV_WR_RDMA_READ, .len = PAGE };
	struct uffd_msg msg;
	struct ibv_mr *mr;
	void *mem;
	int uffd;

	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return 1;
	if (uffd_first)
		uffd = uffd_missing(mem, SIZE);
	if (rdma_env_open(&env, SIZE, true, false) ||
	    rdma_env_fill(&env, 7) || rdma_env_read(&env, 0, SIZE))
		return 2;
	if (!uffd_first)
		uffd = uffd_missing(mem, SIZE);
	mr = rdma_reg_odp(&env.own, mem, SIZE);
	if (uffd < 0 || !mr)
		return 3;
	wr.mr = env.stage_mr;
	wr.local = env.stage;
	wr.remote = (uintptr_t)mem;
	wr.rkey = mr->rkey;
	if (rdma_post(&env.peer, &wr, 0) ||
	    uffd_next(uffd, LIMIT * 1000, &msg) ||
	    write(ready, "", 1) != 1)
		return 4;
	pause();
	return 5;
}

TEST_F_TIMEOUT(rdma_killed, in_fault, 180)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters before, d;
	int fd[2], status, tries;
	pid_t pid, dead = 0;
	long had, has;
	char c;

	had = count(&env->own);
	ASSERT_LT(0, had);
	ASSERT_EQ(0, pipe(fd));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &before));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(victim(variant->uffd_first, fd[1]));
	close(fd[1]);
	EXPECT_EQ(1, read(fd[0], &c, 1));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &d));
	EXPECT_EQ(before.alias_pages_live + nr_pages(SIZE), d.alias_pages_live);
	EXPECT_LT(had, count(&env->own));

	ASSERT_EQ(0, kill(pid, SIGKILL));
	for (tries = LIMIT * 20; !dead && tries; tries--) {
		usleep(50000);
		dead = waitpid(pid, &status, WNOHANG);
	}
	ASSERT_EQ(pid, dead);
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("status %#x", status);
	EXPECT_EQ(0, gpu_wait_freed(&env->gpu, before.vram_pages_used,
				    before.alias_pages_live, NULL));
	/* The memory of a process may have the last reference to the device. */
	do {
		has = count(&env->own);
	} while (has > had && tries-- > 0 && !usleep(50000));
	EXPECT_EQ(had, has);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 2));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_HARNESS_MAIN
