// SPDX-License-Identifier: GPL-2.0
/*
 * Memory regions as programs register them: with an IOVA of their own, large,
 * pinned, read-only, prefetched, and behind memory windows.
 */
#include <grp.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "fixture.h"

#define SIZE		(16 * PAGE)
#define GIB		(1024 * MIB)
#define NOBODY		65534

FIXTURE(rdma_mr) {
	struct rdma_env env;
};

FIXTURE_SETUP(rdma_mr)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(&self->env, SIZE, true, false));
}

FIXTURE_TEARDOWN(rdma_mr)
{
	rdma_env_close(&self->env);
}

/* One operation of the peer on what @rkey has at @remote */
static int peer_op(struct rdma_env *env, enum ibv_wr_opcode op, uint32_t rkey,
		   uint64_t remote, size_t off, uint32_t len)
{
	struct rdma_wr wr = {
		.op = op,
		.mr = env->stage_mr,
		.local = env->stage + off,
		.len = len,
		.remote = remote,
		.rkey = rkey,
		.a = 5,
	};

	return rdma_run(&env->peer, &wr);
}

/* The peer READs what @ref says, WRITEs, and READs that */
static void check_transfer(struct __test_metadata *_metadata,
			   struct rdma_env *env, struct ibv_mr *mr,
			   uint64_t remote, size_t off, size_t len)
{
	memset(env->stage, 0xa5, SIZE);
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mr->rkey, remote, off,
			     len));
	EXPECT_EQ(0, memcmp(env->stage + off, env->ref + off, len));
	pattern_fill(env->ref + off, len, remote, 0);
	memcpy(env->stage + off, env->ref + off, len);
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_WRITE, mr->rkey, remote, off,
			     len));
	memset(env->stage, 0xa5, SIZE);
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mr->rkey, remote, off,
			     len));
	EXPECT_EQ(0, memcmp(env->stage + off, env->ref + off, len));
}

/* What the peer asks for is refused, and the connection begins anew. */
static void check_refused(struct __test_metadata *_metadata,
			  struct rdma_env *env, uint32_t rkey, uint64_t remote,
			  uint32_t len)
{
	memset(env->stage, 0xa5, SIZE);
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, IBV_WR_RDMA_READ, rkey, remote, 0, len))
		TH_LOG("READ at %#lx", (unsigned long)remote);
	EXPECT_EQ(0xa5, env->stage[0]);
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, IBV_WR_RDMA_WRITE, rkey, remote, 0, len))
		TH_LOG("WRITE at %#lx", (unsigned long)remote);
	ASSERT_EQ(0, rdma_env_reconnect(env));
}

/* Every access to an MR whose memory is @env->mem + @skew and IOVA is @iova */
static void check_iova(struct __test_metadata *_metadata, struct rdma_env *env,
		       size_t skew, uint64_t iova)
{
	uint64_t *word = (uint64_t *)(env->ref + skew + 8), old;
	size_t len = SIZE - skew;
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.local = (void *)(uintptr_t)iova,
		.len = len,
	};
	struct ibv_mr *mr;

	mr = ibv_reg_mr_iova(env->own.pd, env->mem + skew, len, iova,
			     RDMA_ACCESS | IBV_ACCESS_ON_DEMAND);
	ASSERT_NE(NULL, mr);
	check_transfer(_metadata, env, mr, iova, skew, len);
	check_transfer(_metadata, env, mr, iova + len - 1, SIZE - 1, 1);

	/* Atomics, at an address that is a multiple of 8 */
	EXPECT_EQ(0, peer_op(env, IBV_WR_ATOMIC_FETCH_AND_ADD, mr->rkey,
			     iova + 8, 0, 8));
	memcpy(&old, env->stage, 8);
	EXPECT_EQ(*word, old);
	*word += 5;
	if (env->peer.atomic_write) {
		EXPECT_EQ(0, peer_op(env, IBV_WR_ATOMIC_WRITE, mr->rkey,
				     iova + len - 8, 0, 8));
		memcpy(env->ref + SIZE - 8, &(uint64_t){ 5 }, 8);
	}

	/* As the local side: source of a SEND, and where a RECV goes */
	wr.mr = mr;
	ASSERT_EQ(0, rdma_post_recv(&env->peer, env->stage_mr, env->stage,
				    SIZE));
	EXPECT_EQ(0, rdma_run(&env->own, &wr));
	EXPECT_EQ(0, rdma_wait(&env->peer, NULL));
	EXPECT_EQ(0, memcmp(env->stage, env->ref + skew, len));
	pattern_fill(env->stage, SIZE, iova + 1, 0);
	ASSERT_EQ(0, rdma_post_recv(&env->own, mr, wr.local, len));
	wr.mr = env->stage_mr;
	wr.local = env->stage;
	EXPECT_EQ(0, rdma_run(&env->peer, &wr));
	EXPECT_EQ(0, rdma_wait(&env->own, NULL));
	memcpy(env->ref + skew, env->stage, len);

	EXPECT_EQ(0, rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH,
				 IBV_ADVISE_MR_FLAG_FLUSH, mr,
				 (void *)(uintptr_t)iova, len));
	EXPECT_EQ(-EFAULT, rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH,
				       IBV_ADVISE_MR_FLAG_FLUSH, mr,
				       (void *)(uintptr_t)iova, len + 1));
	EXPECT_EQ(-EFAULT, rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH,
				       IBV_ADVISE_MR_FLAG_FLUSH, mr, env->mem,
				       PAGE));
	check_refused(_metadata, env, mr->rkey, iova + len, 1);
	check_refused(_metadata, env, mr->rkey, iova + len - 1, 2);
	check_refused(_metadata, env, mr->rkey, iova - 1, 1);
	check_refused(_metadata, env, mr->rkey, (uintptr_t)env->mem, 1);
	EXPECT_EQ(0, ibv_dereg_mr(mr));
}

static void check_iovas(struct __test_metadata *_metadata, struct rdma_env *env)
{
	uint64_t addr = (uintptr_t)env->mem;

	check_iova(_metadata, env, 0, 0);
	check_iova(_metadata, env, 0, addr + 2 * SIZE);
	check_iova(_metadata, env, 0, addr - GIB);
	check_iova(_metadata, env, 0, addr + (1ULL << 62));
	check_iova(_metadata, env, PAGE + 8, 7 * PAGE + 8);
}

/* With an IOVA that is not its address, pfns were taken from other MRs. */
TEST_F(rdma_mr, iova_ram)
{
	struct rdma_env *env = &self->env;

	pattern_fill(env->mem, SIZE, 1, 0);
	memcpy(env->ref, env->mem, SIZE);
	check_iovas(_metadata, env);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_mr, iova_vram)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, rdma_env_fill(env, 1));
	check_iovas(_metadata, env);
	expect_consent(_metadata, env, true);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* Returns how many accesses to own memory went wrong, or a negative errno. */
static int nobody_accesses(void)
{
	static const uint64_t skews[] = {
		PAGE, 2 * PAGE, 8 * PAGE, 64 * PAGE, MIB, 16 * MIB, GIB,
		-PAGE, -64 * PAGE, -GIB,
	};
	struct rdma_env env = { .size = SIZE };
	struct ibv_mr *mr;
	int ret, bad = 0;
	size_t i;

	if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	    setresuid(NOBODY, NOBODY, NOBODY))
		return -errno;
	ret = rdma_end_open(&env.own, NULL);
	if (!ret)
		ret = rdma_peer_open(&env.peer);
	if (!ret)
		ret = rdma_connect(&env.own, &env.peer);
	if (ret)
		return ret;
	env.mem = mmap(NULL, 2 * SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	env.stage = env.mem + SIZE;
	env.stage_mr = ibv_reg_mr(env.peer.pd, env.stage, SIZE, RDMA_ACCESS);
	if (!env.stage_mr)
		return -errno;

	for (i = 0; i < ARRAY_SIZE(skews); i++) {
		uint64_t iova = (uintptr_t)env.mem + skews[i];

		mr = ibv_reg_mr_iova(env.own.pd, env.mem, PAGE, iova,
				     RDMA_ACCESS | IBV_ACCESS_ON_DEMAND);
		if (!mr)
			return -errno;
		memset(env.mem, i + 1, PAGE);
		memset(env.stage, 0, PAGE);
		if (peer_op(&env, IBV_WR_RDMA_READ, mr->rkey, iova, 0, PAGE)) {
			bad++;
			if (rdma_env_reconnect(&env))
				return -EIO;
		} else if (memcmp(env.stage, env.mem, PAGE)) {
			bad++;
		}
		memset(env.stage, 0xee, PAGE);
		if (peer_op(&env, IBV_WR_RDMA_WRITE, mr->rkey, iova, 0, PAGE)) {
			bad++;
			if (rdma_env_reconnect(&env))
				return -EIO;
		} else if (memcmp(env.stage, env.mem, PAGE)) {
			bad++;
		}
		ibv_dereg_mr(mr);
	}
	return bad;
}

/* Neither does a process without privileges reach the MRs of others so. */
TEST_F(rdma_mr, iova_unprivileged)
{
	struct rdma_env *env = &self->env;
	struct ibv_mr *mr[32];
	size_t i;
	int status;
	pid_t pid;

	ASSERT_EQ(0, rdma_env_fill(env, 3));
	/* Of one page each, like those of the other process */
	for (i = 0; i < ARRAY_SIZE(mr); i++) {
		mr[i] = rdma_reg_odp(&env->own, env->mem + i % 16 * PAGE, PAGE);
		ASSERT_NE(NULL, mr[i]);
		EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mr[i]->rkey,
				     (uintptr_t)mr[i]->addr, 0, PAGE));
	}
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int ret = nobody_accesses();

		_exit(ret < 0 ? 200 : ret);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	for (i = 0; i < ARRAY_SIZE(mr); i++)
		EXPECT_EQ(0, ibv_dereg_mr(mr[i]));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* advise_mr() took the umem of a pinned MR for one with on-demand paging. */
TEST_F(rdma_mr, prefetch_pinned)
{
	struct rdma_env *env = &self->env;
	uint32_t flags;
	int advice;

	for (advice = IBV_ADVISE_MR_ADVICE_PREFETCH;
	     advice <= IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT; advice++)
		for (flags = 0; flags <= IBV_ADVISE_MR_FLAG_FLUSH; flags++)
			EXPECT_EQ(env->peer.cpu ? -EINVAL : -ENOENT,
				  rdma_advise(&env->peer, advice, flags,
					      env->stage_mr, env->stage, SIZE));
}

/* Lengths that do not fit into an int, and what is at their ends */
TEST_F_TIMEOUT(rdma_mr, large, 120)
{
	static const size_t sizes[] = {
		GIB, 2 * GIB - PAGE, 2 * GIB, 3 * GIB, 4 * GIB, 5 * GIB,
		8 * GIB,
	};
	struct rdma_env *env = &self->env;
	size_t i, j, size = 8 * GIB;
	unsigned char *p;
	struct ibv_mr *mr;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		const size_t offs[] = { 0, sizes[i] / 2, sizes[i] - PAGE };

		mr = rdma_reg_odp(&env->own, p, sizes[i]);
		EXPECT_NE(NULL, mr)
			TH_LOG("%zu MiB: %s", sizes[i] / MIB, strerror(errno));
		for (j = 0; mr && j < ARRAY_SIZE(offs); j++) {
			memset(p + offs[j], i + j + 1, PAGE);
			memcpy(env->ref, p + offs[j], PAGE);
			check_transfer(_metadata, env, mr,
				       (uintptr_t)p + offs[j], 0, PAGE);
			EXPECT_EQ(0, memcmp(p + offs[j], env->ref, PAGE));
		}
		if (mr)
			EXPECT_EQ(0, ibv_dereg_mr(mr));
	}
	munmap(p, size);
}

/*
 * What is mapped in one go takes the driver several updates of the device's
 * tables. Pages that are not there must not get what the update before had.
 */
TEST_F_TIMEOUT(rdma_mr, hole_after_memory, 120)
{
	/* What mlx5 updates at a time, at most */
	const size_t part = ((1 << 20) - 64) / 8 * PAGE, few = 8 * PAGE;
	struct rdma_env *env = &self->env;
	unsigned char *p;
	struct ibv_mr *mr;
	size_t off;

	p = mmap(NULL, part + few, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x77, few);
	mr = rdma_reg_odp(&env->own, p, part + few);
	ASSERT_NE(NULL, mr);
	ASSERT_EQ(0, rdma_advise(&env->own,
				 IBV_ADVISE_MR_ADVICE_PREFETCH_NO_FAULT,
				 IBV_ADVISE_MR_FLAG_FLUSH, mr, p, part + few));
	for (off = part; off < part + few; off += PAGE) {
		memset(env->stage, 0xa5, 8);
		EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mr->rkey,
				     (uintptr_t)p + off, 0, 8));
		EXPECT_EQ(0, *(uint64_t *)env->stage)
			TH_LOG("at page %zu", off / PAGE);
	}
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	munmap(p, part + few);
}

/* More pages than kmalloc() has an array for; the same ones again and again */
TEST_F_TIMEOUT(rdma_mr, large_pinned, 120)
{
	const size_t piece = 64 * MIB, nr = 20;
	struct rdma_env *env = &self->env;
	int fd = memfd_create("pinned", 0);
	unsigned char *p;
	struct ibv_mr *mr;
	size_t i;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, piece));
	p = mmap(NULL, nr * piece, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0);
	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(p + i * piece,
			  mmap(p + i * piece, piece, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, fd, 0));
	mr = ibv_reg_mr(env->own.pd, p, nr * piece, RDMA_ACCESS);
	EXPECT_NE(NULL, mr) TH_LOG("%s", strerror(errno));
	if (mr) {
		memset(p + piece - PAGE, 0x66, PAGE);
		memset(env->ref, 0x66, PAGE);
		check_transfer(_metadata, env, mr,
			       (uintptr_t)p + nr * piece - PAGE, 0, PAGE);
		EXPECT_EQ(0, memcmp(p + piece - PAGE, env->ref, PAGE));
		EXPECT_EQ(0, ibv_dereg_mr(mr));
	}
	munmap(p, nr * piece);
	close(fd);
}

/* Pinning moves what is in VRAM to RAM, and it stays there as long. */
TEST_F(rdma_mr, pinned_vram)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	struct ibv_mr *mr;

	ASSERT_EQ(0, rdma_env_fill(env, 4));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	mr = ibv_reg_mr(env->own.pd, env->mem, SIZE, RDMA_ACCESS);
	ASSERT_NE(NULL, mr);
	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(nr_pages(SIZE), d.alias_pages);
	EXPECT_EQ(nr_pages(SIZE), d.pages_to_ram);
	check_transfer(_metadata, env, mr, (uintptr_t)env->mem, 0, SIZE);

	EXPECT_GE(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_VRAM));
	check_transfer(_metadata, env, mr, (uintptr_t)env->mem, 0, SIZE);
	/* The on-demand MR beside it finds the same memory. */
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 1, SIZE - 2, 5));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));

	ASSERT_EQ(0, ibv_dereg_mr(mr));
	EXPECT_EQ(nr_pages(SIZE), gpu_place(&env->gpu, env->mem, SIZE,
					    IVGPU_PLACE_VRAM));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/*
 * An MR may have more rights than the mapping: it can be read, in place, and
 * nothing is written to it, by whatever operation.
 */
TEST_F(rdma_mr, read_only_mapping)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	struct ibv_mr *mr;
	struct rdma_wr wr = {
		.op = IBV_WR_SEND,
		.mr = env->stage_mr,
		.local = env->stage,
		.len = PAGE,
	};

	ASSERT_EQ(0, rdma_env_fill(env, 6));
	ASSERT_EQ(0, mprotect(env->mem, SIZE, PROT_READ));
	mr = rdma_reg_odp(&env->own, env->mem, SIZE);
	ASSERT_NE(NULL, mr);
	EXPECT_EQ(0, peer_op(env, IBV_WR_RDMA_READ, mr->rkey,
			     (uintptr_t)env->mem, 0, SIZE));
	EXPECT_EQ(0, memcmp(env->stage, env->ref, SIZE));
	EXPECT_EQ(0, rdma_advise(&env->own, IBV_ADVISE_MR_ADVICE_PREFETCH,
				 IBV_ADVISE_MR_FLAG_FLUSH, mr, env->mem, SIZE));

	memset(env->stage, 0x11, SIZE);
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, IBV_WR_RDMA_WRITE, mr->rkey,
			  (uintptr_t)env->mem, 0, SIZE));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  peer_op(env, IBV_WR_ATOMIC_FETCH_AND_ADD, mr->rkey,
			  (uintptr_t)env->mem, 0, 8));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	if (env->peer.atomic_write) {
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
			  peer_op(env, IBV_WR_ATOMIC_WRITE, mr->rkey,
				  (uintptr_t)env->mem, 0, 8));
		ASSERT_EQ(0, rdma_env_reconnect(env));
	}
	ASSERT_EQ(0, rdma_post_recv(&env->own, mr, env->mem, PAGE));
	EXPECT_NE(0, rdma_run(&env->peer, &wr));
	EXPECT_NE(0, rdma_wait(&env->own, NULL));
	ASSERT_EQ(0, rdma_env_reconnect(env));

	ASSERT_EQ(0, rdma_env_delta(env, &d));
	EXPECT_EQ(0, d.pages_to_ram);
	EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_HARNESS_MAIN
