// SPDX-License-Identifier: GPL-2.0
/*
 * What a process may do to its memory while a peer has aliases of it. Each
 * time the data must be right afterwards, through the NIC and for the CPU.
 */
#include <sched.h>
#include <signal.h>

#include "fixture.h"

#define SIZE		(4 * MIB)
#define HALF		(SIZE / 2)

FIXTURE(rdma_life) {
	struct rdma_env env;
};

FIXTURE_VARIANT(rdma_life) {
	bool consent;
	bool thp;
};

FIXTURE_VARIANT_ADD(rdma_life, consent_pte) { .consent = true };
FIXTURE_VARIANT_ADD(rdma_life, consent_thp) { .consent = true, .thp = true };
FIXTURE_VARIANT_ADD(rdma_life, refused_pte) { };

/* Everything is in VRAM, and with consent aliased for writing. */
FIXTURE_SETUP(rdma_life)
{
	struct rdma_env *env = &self->env;

	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	ASSERT_EQ(0, rdma_env_open(env, SIZE, variant->consent, variant->thp));
	/* Small pages move as they are, a hole would become a huge page. */
	if (!variant->thp)
		memset(env->mem, 0, SIZE);
	ASSERT_EQ(0, rdma_env_fill(env, 1));
	ASSERT_EQ(0, rdma_env_write(env, 0, SIZE, 2));
	ASSERT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_consent(_metadata, env, variant->consent);
	ASSERT_EQ(0, rdma_env_mark(env));
}

FIXTURE_TEARDOWN(rdma_life)
{
	rdma_env_close(&self->env);
	gpu_consent(true);
}

static bool all_poison(const struct rdma_env *env)
{
	size_t i;

	for (i = 1; i < env->size; i++)
		if (env->stage[i] != env->stage[0])
			return false;
	return true;
}

TEST_F(rdma_life, munmap)
{
	struct rdma_env *env = &self->env;
	unsigned char *mem = env->mem;
	size_t i;

	/* Not a byte of the old contents may come out. */
	ASSERT_EQ(0, munmap(mem + HALF, HALF));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_read(env, HALF, HALF));
	EXPECT_TRUE(all_poison(env));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_write(env, HALF, 1, 3));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, HALF));

	/* New memory at the old address is what the peer gets next. */
	ASSERT_EQ(mem + HALF, mmap(mem + HALF, HALF, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				   -1, 0));
	for (i = HALF; i < SIZE; i++)
		mem[i] = i * 7;
	memcpy(env->ref + HALF, mem + HALF, HALF);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 1, SIZE - 2, 4));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_life, mremap)
{
	struct rdma_env *env = &self->env;
	unsigned char *old = env->mem, *new;
	struct ibv_mr *old_mr = env->mr;
	struct drm_ivgpu_counters d;
	size_t map_size;
	void *map;

	new = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, new);
	ASSERT_EQ(new, mremap(old, SIZE, SIZE,
			      MREMAP_MAYMOVE | MREMAP_FIXED, new));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_read(env, 0, SIZE));
	EXPECT_TRUE(all_poison(env));
	ASSERT_EQ(0, rdma_env_reconnect(env));

	env->mem = new;
	env->mr = rdma_reg_odp(&env->own, new, SIZE);
	ASSERT_NE(NULL, env->mr);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 5, SIZE - 7, 3));
	if (variant->consent) {
		/* Moving a mapping moves no data. */
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(0, d.pages_to_ram);
	}
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	ASSERT_EQ(0, ibv_dereg_mr(env->mr));
	env->mr = old_mr;
	munmap(map, map_size);
}

/* Away and back: the MR sees it again. Meanwhile nobody has the old place. */
TEST_F(rdma_life, mremap_back)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	unsigned char *away;
	size_t map_size;
	void *map;

	away = map_aligned(SIZE, false, &map, &map_size);
	ASSERT_NE(NULL, away);
	ASSERT_EQ(away, mremap(env->mem, SIZE, SIZE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, away));
	ASSERT_EQ(env->mem, mmap(env->mem, SIZE, PROT_NONE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				 0));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_write(env, 0, SIZE, 3));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	ASSERT_EQ(env->mem, mremap(away, SIZE, SIZE,
				   MREMAP_MAYMOVE | MREMAP_FIXED, env->mem));

	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 5, SIZE - 7, 4));
	if (variant->consent) {
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(0, d.pages_to_ram);
		EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	}
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	munmap(map, map_size);
}

TEST_F(rdma_life, madv_dontneed)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, madvise(env->mem + PAGE, SIZE - 2 * PAGE,
			     MADV_DONTNEED));
	memset(env->ref + PAGE, 0, SIZE - 2 * PAGE);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));

	ASSERT_EQ(0, rdma_env_fill(env, 5));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	expect_consent(_metadata, env, variant->consent);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_life, mprotect)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, mprotect(env->mem, SIZE, PROT_READ));
	if (env->own.faults_write) {
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_read(env, 0, SIZE));
		ASSERT_EQ(0, rdma_env_reconnect(env));
	}
	EXPECT_EQ(0, rdma_env_readable(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	if (variant->consent)
		EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_write(env, 0, PAGE, 3));
	ASSERT_EQ(0, rdma_env_reconnect(env));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));

	ASSERT_EQ(0, mprotect(env->mem, SIZE, PROT_NONE));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR, rdma_env_read(env, 0, SIZE));
	EXPECT_TRUE(all_poison(env));
	ASSERT_EQ(0, rdma_env_reconnect(env));

	ASSERT_EQ(0, mprotect(env->mem, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 4));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_life, eviction)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	size_t i;

	for (i = 0; i < 3; i++) {
		ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE,
				       IVGPU_PLACE_VRAM));
		EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));
		ASSERT_EQ(0, rdma_env_mark(env));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		/* In the first round they are aliased since the set-up. */
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		if (variant->consent && i)
			EXPECT_EQ(nr_pages(SIZE), d.alias_pages);
		if (variant->consent)
			EXPECT_EQ(0, d.pages_to_ram);

		EXPECT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE,
				       IVGPU_PLACE_RAM));
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(nr_pages(SIZE), d.pages_to_ram);
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_write(env, 9, SIZE - 11, 10 + i));
		EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	}
}

TEST_F(rdma_life, cpu_writes)
{
	struct rdma_env *env = &self->env;
	size_t i;

	for (i = 1; i < SIZE; i += PAGE) {
		env->mem[i] = i / PAGE;
		env->ref[i] = i / PAGE;
	}
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 3));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/*
 * Slots of VRAM that had aliases get new owners: a peer that still uses the
 * old ones would read or change what is there now.
 */
TEST_F(rdma_life, slot_reuse)
{
	struct rdma_env *env = &self->env;
	size_t size = env->gpu.info.vram_size;
	struct drm_ivgpu_counters c;
	uint64_t sum, want = 0;
	size_t map_size, off;
	unsigned char *other;
	uint64_t *words;
	void *map;

	ASSERT_EQ(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	ASSERT_EQ(0, gpu_wait_freed(&env->gpu, 0, 0, NULL));
	other = map_aligned(size, false, &map, &map_size);
	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, gpu_fill(&env->gpu, other, size, 9));
	/* The last of it may have evicted some of the first. */
	ASSERT_EQ(0, gpu_counters(&env->gpu, &c));
	ASSERT_LE(nr_pages(size - size / 32), c.vram_pages_used);

	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 3));

	words = malloc(MIB);
	ASSERT_NE(NULL, words);
	for (off = 0; off < size; off += MIB) {
		pattern_fill(words, MIB, 9, off / 8);
		want += pattern_sum(words, MIB, off / 8);
	}
	free(words);
	/* What is in VRAM is read there: the slots that have a new owner. */
	EXPECT_EQ(0, gpu_sum(&env->gpu, other, size, IVGPU_JOB_FLAG_NO_MIGRATE,
			     &sum));
	EXPECT_EQ(want, sum);
	munmap(map, map_size);
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/* The last user gives everything back. */
TEST_F(rdma_life, freed)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;

	if (variant->consent) {
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(nr_pages(SIZE), d.alias_pages_live);
		EXPECT_LE(nr_pages(SIZE), d.vram_pages_used);
	}
	ASSERT_EQ(0, munmap(env->mem, SIZE));
	EXPECT_EQ(0, gpu_wait_freed(&env->gpu, 0, 0, NULL));
}

/* A process dies with aliases in use. */
TEST_F(rdma_life, killed)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters before, d;
	int fd[2], status;
	pid_t pid;
	char c;

	ASSERT_EQ(0, pipe(fd));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &before));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct rdma_env own;

		if (rdma_env_open(&own, SIZE, variant->consent, false) ||
		    rdma_env_fill(&own, 7) || rdma_env_read(&own, 0, SIZE))
			_exit(1);
		c = 1;
		if (write(fd[1], &c, 1) != 1)
			_exit(1);
		pause();
	}
	close(fd[1]);
	EXPECT_EQ(1, read(fd[0], &c, 1));
	ASSERT_EQ(0, gpu_counters(&env->gpu, &d));
	if (variant->consent)
		EXPECT_EQ(before.alias_pages_live + nr_pages(SIZE),
			  d.alias_pages_live);
	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(0, gpu_wait_freed(&env->gpu, before.vram_pages_used,
				    before.alias_pages_live, NULL));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/*
 * Pages that the kernel may drop unless they are written: what a peer writes
 * to them counts as written. The control pages show that the kernel does drop.
 */
TEST_F(rdma_life, madv_free)
{
	struct rdma_env *env = &self->env;
	unsigned char *control, *mem = env->mem;
	size_t i, map_size, dropped = 0;
	cpu_set_t cpus;
	void *map;

	/* MADV_FREE works in batches, one per CPU. */
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	control = map_aligned(HALF, false, &map, &map_size);
	ASSERT_NE(NULL, control);
	memset(control, 0x77, HALF);

	ASSERT_EQ(0, gpu_place(&env->gpu, mem, SIZE, IVGPU_PLACE_RAM));
	memset(mem, 0x55, SIZE);
	ASSERT_EQ(0, madvise(control, HALF, MADV_FREE));
	ASSERT_EQ(0, madvise(mem, SIZE, MADV_FREE));
	/*
	 * A struct page of the device remembers that it once held memory that
	 * may not be dropped. Those of a device just bound do not.
	 */
	ASSERT_EQ(0, gpu_rebind(&env->gpu, NULL, NULL));
	ASSERT_EQ(nr_pages(SIZE), gpu_place(&env->gpu, mem, SIZE,
					    IVGPU_PLACE_VRAM));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 3));
	if (variant->consent)
		EXPECT_EQ(0, rdma_env_vram(env, 0, SIZE));

	ASSERT_LE(0, gpu_place(&env->gpu, mem, SIZE, IVGPU_PLACE_RAM));
	ASSERT_EQ(0, madvise(control, HALF, MADV_PAGEOUT));
	ASSERT_EQ(0, madvise(mem, SIZE, MADV_PAGEOUT));
	for (i = 0; i < HALF; i += PAGE)
		dropped += !control[i];
	EXPECT_LT(0, dropped)
		TH_LOG("the kernel reclaims nothing: this shows nothing");
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
	munmap(map, map_size);
}

/* Memory that is in VRAM already when it is given up. */
TEST_F(rdma_life, madv_free_in_vram)
{
	struct rdma_env *env = &self->env;

	ASSERT_EQ(0, rdma_env_fill(env, 6));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	ASSERT_EQ(0, madvise(env->mem, SIZE, MADV_FREE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 3));
	ASSERT_LE(0, gpu_place(&env->gpu, env->mem, SIZE, IVGPU_PLACE_RAM));
	ASSERT_EQ(0, madvise(env->mem, SIZE, MADV_PAGEOUT));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

/*
 * A child that has a copy-on-write copy of memory in VRAM. It says in its
 * exit code whether it sees what it should.
 */
static pid_t fork_child(struct rdma_env *env, int *wake, bool write_first)
{
	int fd[2];
	pid_t pid;
	char c;

	if (pipe(fd))
		return -1;
	pid = fork();
	if (!pid) {
		close(fd[1]);
		if (read(fd[0], &c, 1) != 1)
			_exit(2);
		if (write_first)
			memset(env->mem, 0xcc, SIZE);
		else if (rdma_env_cpu(env, 0, SIZE))
			_exit(3);
		_exit(0);
	}
	close(fd[0]);
	*wake = fd[1];
	return pid;
}

static int wake_child(pid_t pid, int wake)
{
	int status;
	char c = 1;

	if (write(wake, &c, 1) != 1 || waitpid(pid, &status, 0) != pid)
		return -1;
	close(wake);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(rdma_life, fork_then_remote_write)
{
	struct rdma_env *env = &self->env;
	struct drm_ivgpu_counters d;
	int wake;
	pid_t pid;

	ASSERT_EQ(0, rdma_env_fill(env, 6));
	ASSERT_EQ(0, rdma_env_write(env, 0, SIZE, 7));
	ASSERT_EQ(0, rdma_env_mark(env));
	pid = fork_child(env, &wake, false);
	ASSERT_LT(0, pid);
	if (variant->consent) {
		/* Reading a shared page in place is fine. */
		EXPECT_EQ(0, rdma_env_readable(env, 0, SIZE));
		EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
		ASSERT_EQ(0, rdma_env_delta(env, &d));
		EXPECT_EQ(0, d.pages_to_ram);
	}
	/* The child's reference copy is from before this. */
	EXPECT_EQ(0, rdma_env_write(env, 3, SIZE - 5, 8));
	EXPECT_EQ(0, wake_child(pid, wake));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_F(rdma_life, fork_then_child_writes)
{
	struct rdma_env *env = &self->env;
	int wake;
	pid_t pid;

	ASSERT_EQ(0, rdma_env_fill(env, 6));
	ASSERT_EQ(0, rdma_env_write(env, 0, SIZE, 7));
	pid = fork_child(env, &wake, true);
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, wake_child(pid, wake));
	EXPECT_EQ(0, rdma_env_read(env, 0, SIZE));
	EXPECT_EQ(0, rdma_env_write(env, 0, SIZE, 8));
	EXPECT_EQ(0, rdma_env_cpu(env, 0, SIZE));
}

TEST_HARNESS_MAIN
