// SPDX-License-Identifier: GPL-2.0
/*
 * What an administrator is told: the counters of an MR, as "rdma statistic show
 * mr" shows them, and what sysfs says of the device.
 */
#include <sys/socket.h>
#include <linux/netlink.h>

#include <rdma/rdma_netlink.h>

#include "fixture.h"
#include "sysfs.h"

#define SIZE		(16 * PAGE)
#define PAGES		(SIZE / PAGE)

FIXTURE(rdma_stat) {
	struct rdma_env env;
};

FIXTURE_SETUP(rdma_stat)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(&self->env, SIZE, true, false));
}

FIXTURE_TEARDOWN(rdma_stat)
{
	rdma_env_close(&self->env);
}

/*
 * What is looked for in the answers of the kernel. With @name NULL it is the
 * number of the MR with @lkey, else a counter of the MR with that number.
 */
struct search {
	uint32_t lkey;
	uint32_t number;
	const char *name;
	uint64_t value;
	bool found;

	/* The attributes before the one that is looked at */
	uint32_t last_lkey;
	uint32_t last_number;
	const char *last_name;
};

static void look(struct search *s, int type, const void *data)
{
	switch (type) {
	case RDMA_NLDEV_ATTR_RES_MR_ENTRY:
		s->last_lkey = 0;
		break;
	case RDMA_NLDEV_ATTR_RES_LKEY:
		memcpy(&s->last_lkey, data, sizeof(s->last_lkey));
		break;
	case RDMA_NLDEV_ATTR_RES_MRN:
		memcpy(&s->last_number, data, sizeof(s->last_number));
		if (!s->name && s->last_lkey == s->lkey) {
			s->number = s->last_number;
			s->found = true;
		}
		break;
	case RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY_NAME:
		s->last_name = data;
		break;
	case RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY_VALUE:
		if (s->name && s->last_number == s->number &&
		    !strcmp(s->last_name, s->name)) {
			memcpy(&s->value, data, sizeof(s->value));
			s->found = true;
		}
		break;
	}
}

static bool has_parts(int type)
{
	return type == RDMA_NLDEV_ATTR_RES_MR ||
	       type == RDMA_NLDEV_ATTR_RES_MR_ENTRY ||
	       type == RDMA_NLDEV_ATTR_STAT_HWCOUNTERS ||
	       type == RDMA_NLDEV_ATTR_STAT_HWCOUNTER_ENTRY;
}

static void look_at_all(struct search *s, const char *data, size_t len)
{
	const struct nlattr *attr;
	size_t off, size;
	int type;

	for (off = 0; off + NLA_HDRLEN <= len; off += NLA_ALIGN(size)) {
		attr = (const void *)(data + off);
		size = attr->nla_len;
		if (size < NLA_HDRLEN || off + size > len)
			break;
		type = attr->nla_type & NLA_TYPE_MASK;
		look(s, type, data + off + NLA_HDRLEN);
		if (has_parts(type))
			look_at_all(s, data + off + NLA_HDRLEN,
				    size - NLA_HDRLEN);
	}
}

/* Looks in all that the kernel says of MRs of the device. */
static int search(struct rdma_end *end, int command, struct search *s)
{
	struct {
		struct nlmsghdr head;
		struct nlattr dev;
		uint32_t index;
		struct nlattr what;
		uint32_t stat;
	} request = {
		.head = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command),
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.dev = { NLA_HDRLEN + 4, RDMA_NLDEV_ATTR_DEV_INDEX },
		.index = ibv_get_device_index(end->ctx->device),
		.what = { NLA_HDRLEN + 4, RDMA_NLDEV_ATTR_STAT_RES },
		.stat = RDMA_NLDEV_ATTR_RES_MR,
	};
	static uint64_t answer[8192];
	struct nlmsghdr *head;
	int fd, ret = 0;
	ssize_t n;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
	if (fd < 0)
		return -errno;
	if (send(fd, &request, sizeof(request), 0) < 0)
		ret = -errno;
	while (!ret) {
		n = recv(fd, answer, sizeof(answer), 0);
		if (n < 0)
			ret = -errno;
		for (head = (void *)answer; n > 0 && NLMSG_OK(head, n);
		     head = NLMSG_NEXT(head, n)) {
			if (head->nlmsg_type == NLMSG_ERROR ||
			    head->nlmsg_type == NLMSG_DONE)
				ret = s->found ? 1 : -ENOENT;
			else
				look_at_all(s, NLMSG_DATA(head),
					    NLMSG_PAYLOAD(head, 0));
		}
	}
	close(fd);
	return ret < 0 ? ret : 0;
}

/* A counter of an MR, or a negative errno */
static long counter(struct rdma_end *end, struct ibv_mr *mr, const char *name)
{
	struct search s = { .lkey = mr->lkey };
	int ret = search(end, RDMA_NLDEV_CMD_RES_MR_GET, &s);

	if (ret)
		return ret;
	s.found = false;
	s.name = name;
	ret = search(end, RDMA_NLDEV_CMD_STAT_GET, &s);
	return ret ? ret : (long)s.value;
}

static long aliases(struct rdma_env *env)
{
	return counter(&env->own, env->mr, "page_aliases");
}

/* A page counts once, until it moves. */
TEST_F(rdma_stat, aliases)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, rdma_env_fill(env, 1));
	EXPECT_EQ(0, aliases(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, PAGE));
	EXPECT_EQ(1, aliases(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 2));
	EXPECT_EQ(PAGES, aliases(env));

	ASSERT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(PAGES, aliases(env));

	ASSERT_EQ(PAGES, gpu_place(&env->gpu, env->mem, SIZE,
				   IVGPU_PLACE_VRAM));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(2 * PAGES, aliases(env));
	EXPECT_EQ(0, counter(&env->own, env->mr, "page_alias_fallbacks"));
}

/* What is refused is none, and no fallback either: no alias was mapped. */
TEST_F(rdma_stat, refused)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, gpu_consent(false));
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, aliases(env));
	EXPECT_EQ(0, counter(&env->own, env->mr, "page_alias_fallbacks"));
	ASSERT_EQ(0, gpu_consent(true));
}

TEST_F(rdma_stat, pinned_has_none)
{
	struct rdma_env *env = &self->env;

	EXPECT_EQ(-ENOENT, counter(&env->peer, env->stage_mr, "page_aliases"));
}

/* It is what the device says itself, and that its driver takes aliases. */
TEST_F(rdma_stat, sysfs)
{
	struct ibv_context *ctx = self->env.own.ctx;
	char path[IBV_SYSFS_PATH_MAX + 8], text[64], want[64];
	struct ibv_device_attr_ex attr;

	ASSERT_EQ(0, ibv_query_device_ex(ctx, NULL, &attr));
	snprintf(want, sizeof(want), "explicit%s alias",
		 attr.odp_caps.general_caps & IBV_ODP_SUPPORT_IMPLICIT ?
		 " implicit" : "");
	snprintf(path, sizeof(path), "%s/odp", ctx->device->ibdev_path);
	ASSERT_EQ(0, sysfs_read(path, text, sizeof(text)));
	EXPECT_STREQ(want, text);
}

TEST_HARNESS_MAIN
