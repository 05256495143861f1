// SPDX-License-Identifier: GPL-2.0
/*
 * `peerfault topo --verify` on a fabric that lies: HCA0 is hca0 to QEMU, whose
 * monitor is the file QMP, and its model does to peers' memory what it is told.
 * HCA1 does not lie.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/wait.h>

#include "fixture.h"
#include "hca_env.h"
#include "pci.h"
#include "sysfs.h"
#include "words.h"

#define SIZE		(256 * 1024UL)
#define NOBODY		65534
#define PATIENT		"30"	/* s for a transfer: the host may be busy */
#define IMPATIENT	"5"
#define INSTANCES	TRACEFS "instances"

/* As in peerfault.8 */
enum { RIGHT = 0, WRONG = 3, NO_PAIR = 4, UNTRIED = 5 };

#define LINES		8

/* What was printed, with one blank between words */
struct said {
	int code;
	int n;
	char line[LINES][512];
};

FIXTURE(verify) {
	FILE *monitor;
	struct gpu gpu;
	struct said said;
};

FIXTURE_VARIANT(verify) {
	const char *lie;
	uint64_t value;
	const char *counter;
	const char *what;
};

FIXTURE_VARIANT_ADD(verify, reads_dropped) {
	.lie = "x-peer-read", .value = 1, .counter = "stat-peer-dropped",
	.what = "reads dropped (all ones), 131072 of 131072 words; writes right; one direction only",
};

/* A word in each 64 bytes */
FIXTURE_VARIANT_ADD(verify, reads_corrupted) {
	.lie = "x-peer-read", .value = 2, .counter = "stat-peer-corrupted",
	.what = "reads corrupted, 16384 of 131072 words; writes right; one direction only",
};

FIXTURE_VARIANT_ADD(verify, reads_held) {
	.lie = "x-peer-read", .value = 3, .counter = "stat-peer-held",
	.what = "reads failed (not done after 5 s); writes right; one direction only",
};

FIXTURE_VARIANT_ADD(verify, writes_dropped) {
	.lie = "x-peer-write", .value = 1, .counter = "stat-peer-dropped",
	.what = "reads right; writes dropped (stale), 131072 of 131072 words; one direction only",
};

FIXTURE_VARIANT_ADD(verify, writes_corrupted) {
	.lie = "x-peer-write", .value = 2, .counter = "stat-peer-corrupted",
	.what = "reads right; writes corrupted, 16384 of 131072 words; one direction only",
};

FIXTURE_VARIANT_ADD(verify, writes_displaced) {
	.lie = "x-peer-offset", .value = 64, .counter = "stat-peer-displaced",
	.what = "reads right; writes at a wrong offset (+64 bytes); one direction only",
};

static void be_honest(FILE *monitor)
{
	device_set(monitor, HCA_ID, "x-peer-read", 0);
	device_set(monitor, HCA_ID, "x-peer-write", 0);
	device_set(monitor, HCA_ID, "x-peer-offset", 0);
}

FIXTURE_SETUP(verify)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	if (!getenv("QMP") || !getenv("RDMA") || !getenv("RDMA_PEER"))
		SKIP(return, "QMP, RDMA or RDMA_PEER is not set");
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, gpu_open(&self->gpu, 0));
	ASSERT_EQ(0, gpu_consent(true));
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, variant->lie,
				variant->value));
}

FIXTURE_TEARDOWN(verify)
{
	be_honest(self->monitor);
	gpu_consent(true);
	gpu_close(&self->gpu);
	fclose(self->monitor);
}

static uint64_t counted(FILE *monitor, const char *name)
{
	uint64_t value = ~0ULL;

	return device_get(monitor, HCA_ID, name, &value) ? ~0ULL : value;
}

static int verify_as(uid_t uid, const char *seconds, struct said *said)
{
	int out[2], status;
	FILE *f;
	pid_t pid;

	memset(said, 0, sizeof(*said));
	if (pipe(out))
		return -errno;
	pid = fork();
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		if (setgid(uid) || setuid(uid))
			_exit(125);
		execlp("peerfault", "peerfault", "topo", "--verify",
		       "--timeout", seconds, NULL);
		_exit(126);
	}
	close(out[1]);
	f = fdopen(out[0], "r");
	while (said->n < LINES &&
	       fgets(said->line[said->n], sizeof(said->line[0]), f)) {
		printf("# %s", said->line[said->n]);
		squeeze(said->line[said->n++]);
	}
	fclose(f);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -ECHILD;
	said->code = WEXITSTATUS(status);
	printf("# exit code %d\n", said->code);
	return 0;
}

static int verify(struct said *said)
{
	return verify_as(0, PATIENT, said);
}

/* What is said of a pair, from the verdict on; "": nothing */
static const char *pair(const struct said *said, const char *gpu,
			const char *rdma)
{
	char words[96];
	size_t n;
	int i;

	n = snprintf(words, sizeof(words), "%s %s ", getenv(gpu), getenv(rdma));
	for (i = 0; i < said->n; i++)
		if (!strncmp(said->line[i], words, n))
			return said->line[i] + n;
	return "";
}

static bool is_right(const char *line)
{
	unsigned long aliased, moved;
	int end = 0;

	return sscanf(line, "right %lu %lu %n", &aliased, &moved, &end) == 2 &&
	       end && aliased >= 1024 && !moved &&
	       !strcmp(line + end, "reads right; writes right");
}

static bool is_none_for(const char *line, const char *why)
{
	unsigned long moved;
	int end = 0;

	return sscanf(line, "none 0 %lu right through RAM: %n", &moved, &end) == 1 &&
	       end && moved && !strcmp(line + end, why);
}

static bool is_none(const char *line)
{
	return is_none_for(line, "exporter does not consent to peer access (its p2pdma/peer_access is 0)");
}

static bool is_unreached(const char *line)
{
	return is_none_for(line, "no common switch, and the host bridge is not known to forward between root ports");
}

/* It is found, named and counted, and the switch as well. */
static bool is_wrong(const char *line, const char *what, const char *gpu)
{
	unsigned long aliased, moved;
	char forbid[128];
	int end = 0;

	snprintf(forbid, sizeof(forbid),
		 "; forbid it: echo 0 > " PCI_DEVICES "%s/p2pdma/peer_access",
		 getenv(gpu));
	return sscanf(line, "wrong %lu %lu %n", &aliased, &moved, &end) == 2 &&
	       end && aliased && !moved &&
	       !strncmp(line + end, what, strlen(what)) &&
	       strlen(line) > strlen(forbid) &&
	       !strcmp(line + strlen(line) - strlen(forbid), forbid);
}

static bool no_trace_is_left(void)
{
	DIR *dir = opendir(INSTANCES);
	struct dirent *e;
	int n = 0;

	if (!dir)
		return false;
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	return !n;
}

static bool holds(const FIXTURE_VARIANT(verify) *variant)
{
	return !strcmp(variant->counter, "stat-peer-held");
}

TEST_F_TIMEOUT(verify, found, 180)
{
	uint64_t before = counted(self->monitor, variant->counter);
	struct drm_ivgpu_counters c;
	const struct said *said = &self->said;

	ASSERT_NE(~0ULL, before);
	ASSERT_EQ(0, gpu_counters(&self->gpu, &c));
	ASSERT_EQ(0, verify_as(0, holds(variant) ? IMPATIENT : PATIENT,
			       &self->said));
	EXPECT_EQ(WRONG, said->code);
	EXPECT_EQ(5, said->n);
	EXPECT_TRUE(is_wrong(pair(said, "GPU0", "RDMA"), variant->what, "GPU0"));
	EXPECT_TRUE(is_wrong(pair(said, "GPU1", "RDMA"), variant->what, "GPU1"));
	EXPECT_TRUE(is_right(pair(said, "GPU0", "RDMA_PEER")));
	EXPECT_TRUE(is_right(pair(said, "GPU1", "RDMA_PEER")));
	EXPECT_LT(before, counted(self->monitor, variant->counter));
	EXPECT_EQ(0, gpu_wait_freed(&self->gpu, c.vram_pages_used,
				    c.alias_pages_live, NULL));
	EXPECT_TRUE(no_trace_is_left());
}

/* READ and WRITE of memory that is on the device. 0, or the first error */
static int transfer(struct rdma_env *env)
{
	int ret = rdma_env_fill(env, 1);

	if (!ret)
		ret = rdma_env_read(env, 0, SIZE);
	if (!ret)
		ret = rdma_env_fill(env, 2);
	if (!ret)
		ret = rdma_env_write(env, 0, SIZE, 3);
	return ret ? ret : rdma_env_cpu(env, 0, SIZE);
}

/* The administrator's switch: a program's data are right again. */
TEST_F_TIMEOUT(verify, program, 180)
{
	uint64_t before = counted(self->monitor, variant->counter);
	struct rdma_env env;

	ASSERT_NE(~0ULL, before);
	ASSERT_EQ(0, rdma_env_open(&env, SIZE, false, false));
	memset(env.mem, 0, SIZE);
	EXPECT_EQ(0, transfer(&env));
	EXPECT_EQ(before, counted(self->monitor, variant->counter));
	/* A program waits, if it is held. */
	if (!holds(variant)) {
		ASSERT_EQ(0, gpu_consent(true));
		EXPECT_EQ(-EILSEQ, transfer(&env));
		EXPECT_LT(before, counted(self->monitor, variant->counter));
	}
	be_honest(self->monitor);
	EXPECT_EQ(0, transfer(&env));
	rdma_env_close(&env);
}

FIXTURE(verify_all) {
	FILE *monitor;
	struct said said;
};

FIXTURE_SETUP(verify_all)
{
	if (rdma_env_absent())
		SKIP(return, "%s", rdma_env_absent());
	if (!getenv("QMP") || !getenv("RDMA") || !getenv("RDMA_PEER"))
		SKIP(return, "QMP, RDMA or RDMA_PEER is not set");
	self->monitor = monitor_open();
	ASSERT_NE(NULL, self->monitor);
	ASSERT_EQ(0, gpu_consent(true));
}

FIXTURE_TEARDOWN(verify_all)
{
	be_honest(self->monitor);
	gpu_consent(true);
	fclose(self->monitor);
}

/* On this machine both HCAs reach both GPUs, or neither reaches any. */
TEST_F_TIMEOUT(verify_all, honest, 120)
{
	int reach = reach_between("GPU0", "HCA0");
	const struct said *said = &self->said;
	bool (*is)(const char *) = is_right;

	ASSERT_LE(0, reach);
	if (!reach_allowed(reach))
		is = is_unreached;
	ASSERT_EQ(0, verify(&self->said));
	EXPECT_EQ(reach_allowed(reach) ? RIGHT : NO_PAIR, said->code);
	EXPECT_EQ(5, said->n);
	EXPECT_TRUE(is(pair(said, "GPU0", "RDMA")));
	EXPECT_TRUE(is(pair(said, "GPU1", "RDMA")));
	EXPECT_TRUE(is(pair(said, "GPU0", "RDMA_PEER")));
	EXPECT_TRUE(is(pair(said, "GPU1", "RDMA_PEER")));
}

TEST_F_TIMEOUT(verify_all, both_directions, 120)
{
	const char *line;

	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-peer-read", 1));
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-peer-write", 2));
	ASSERT_EQ(0, verify(&self->said));
	EXPECT_EQ(WRONG, self->said.code);
	line = pair(&self->said, "GPU0", "RDMA");
	EXPECT_TRUE(is_wrong(line, "reads dropped (all ones), 131072 of 131072 words; writes corrupted, 16384 of 131072 words;",
			     "GPU0"));
	EXPECT_EQ(NULL, strstr(line, "one direction only"));
}

/* Nothing goes to a peer, so nobody lies. */
TEST_F_TIMEOUT(verify_all, no_consent, 120)
{
	const struct said *said = &self->said;

	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-peer-read", 1));
	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-peer-write", 1));
	ASSERT_EQ(0, gpu_consent(false));
	ASSERT_EQ(0, verify(&self->said));
	EXPECT_EQ(NO_PAIR, said->code);
	EXPECT_EQ(5, said->n);
	EXPECT_TRUE(is_none(pair(said, "GPU0", "RDMA")));
	EXPECT_TRUE(is_none(pair(said, "GPU1", "RDMA")));
	EXPECT_TRUE(is_none(pair(said, "GPU0", "RDMA_PEER")));
	EXPECT_TRUE(is_none(pair(said, "GPU1", "RDMA_PEER")));
}

/* One switch of two */
TEST_F_TIMEOUT(verify_all, some_consent, 120)
{
	const struct said *said = &self->said;
	char path[96];

	ASSERT_EQ(0, device_set(self->monitor, HCA_ID, "x-peer-read", 1));
	snprintf(path, sizeof(path), PCI_DEVICES "%s/p2pdma/peer_access",
		 getenv("GPU0"));
	ASSERT_EQ(0, sysfs_write(path, "0"));
	ASSERT_EQ(0, verify(&self->said));
	EXPECT_EQ(WRONG, said->code);
	EXPECT_TRUE(is_none(pair(said, "GPU0", "RDMA")));
	EXPECT_TRUE(is_wrong(pair(said, "GPU1", "RDMA"), "reads dropped", "GPU1"));
}

TEST_F(verify_all, user)
{
	ASSERT_EQ(0, verify_as(NOBODY, PATIENT, &self->said));
	EXPECT_EQ(UNTRIED, self->said.code);
	ASSERT_EQ(1, self->said.n);
	EXPECT_NE(NULL, strstr(self->said.line[0], "only root can"));
}

TEST_HARNESS_MAIN
