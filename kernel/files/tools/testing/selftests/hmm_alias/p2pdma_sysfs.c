// SPDX-License-Identifier: GPL-2.0
/*
 * The sysfs group p2pdma of a PCI device that exports memory, here of ivgpu:
 * see Documentation/ABI/testing/sysfs-bus-pci.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest_harness.h"
#include "sysfs.h"

#define DEVICES	"/sys/bus/pci/devices/"
#define DRIVER	"/sys/bus/pci/drivers/ivgpu/"

/* Room for what the kernel says of a hundred devices, and then some */
#define TEXT	16384

/* Reads with buffers of @step bytes. Returns the length, or -errno. */
static ssize_t get(const char *path, char *text, size_t step)
{
	size_t len = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (len + step < TEXT) {
		n = read(fd, text + len, step);
		if (n <= 0)
			break;
		len += n;
	}
	if (n < 0)
		n = -errno;
	text[len] = '\0';
	close(fd);
	return n ? n : (ssize_t)len;
}

FIXTURE(p2pdma_sysfs) {
	char bdf[32];
	char peer_access[128];
	char bars[128];
	char clients[128];
	char text[TEXT];
	char other[TEXT];
};

FIXTURE_SETUP(p2pdma_sysfs)
{
	glob_t g;
	char *bdf;

	if (glob(DRIVER "*:*:*/p2pdma/peer_access", 0, NULL, &g))
		SKIP(return, "no ivgpu device exports memory");
	bdf = g.gl_pathv[0] + strlen(DRIVER);
	snprintf(self->bdf, sizeof(self->bdf), "%.*s",
		 (int)strcspn(bdf, "/"), bdf);
	globfree(&g);
	snprintf(self->peer_access, sizeof(self->peer_access),
		 DEVICES "%s/p2pdma/peer_access", self->bdf);
	snprintf(self->bars, sizeof(self->bars),
		 DEVICES "%s/p2pdma/bars", self->bdf);
	snprintf(self->clients, sizeof(self->clients),
		 DEVICES "%s/p2pdma/clients", self->bdf);
}

FIXTURE_TEARDOWN(p2pdma_sysfs)
{
	sysfs_write(DRIVER "bind", self->bdf);
	EXPECT_EQ(0, sysfs_write(self->peer_access, "1"));
}

TEST_F(p2pdma_sysfs, modes)
{
	struct stat st;

	ASSERT_EQ(0, stat(self->peer_access, &st));
	EXPECT_EQ(S_IFREG | 0644, st.st_mode);
	ASSERT_EQ(0, stat(self->bars, &st));
	EXPECT_EQ(S_IFREG | 0444, st.st_mode);
	ASSERT_EQ(0, stat(self->clients, &st));
	EXPECT_EQ(S_IFREG | 0444, st.st_mode);
}

TEST_F(p2pdma_sysfs, values)
{
	static const char *const bad[] = { "2", "x", "-1", "\n" };
	size_t i;

	ASSERT_EQ(0, sysfs_write(self->peer_access, "0\n"));
	EXPECT_EQ(2, get(self->peer_access, self->text, 64));
	EXPECT_STREQ("0\n", self->text);
	ASSERT_EQ(0, sysfs_write(self->peer_access, "1"));
	EXPECT_EQ(2, get(self->peer_access, self->text, 64));
	EXPECT_STREQ("1\n", self->text);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, sysfs_write(self->peer_access, bad[i]))
			TH_LOG("'%s'", bad[i]);
		EXPECT_EQ(2, get(self->peer_access, self->text, 64));
		EXPECT_STREQ("1\n", self->text);
	}
	EXPECT_EQ(-EACCES, sysfs_write(self->bars, "1"));
	EXPECT_EQ(-EACCES, sysfs_write(self->clients, "1"));
}

/* Anybody may read, and only root may write. */
TEST_F(p2pdma_sysfs, ordinary_user)
{
	int status;
	pid_t pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		if (get(self->bars, self->text, 4096) <= 0 ||
		    get(self->clients, self->text, 4096) <= 0 ||
		    get(self->peer_access, self->text, 4096) <= 0)
			_exit(2);
		if (sysfs_write(self->peer_access, "0") != -EACCES)
			_exit(3);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* The only exported BAR of ivgpu is 2, and is as large as PCI says. */
TEST_F(p2pdma_sysfs, bars)
{
	unsigned long long first, last, size, aperture;
	unsigned int bar, cpu, exported = 0;
	char path[128], *line, *next;
	int got, n, i;

	snprintf(path, sizeof(path), DEVICES "%s/resource", self->bdf);
	ASSERT_LT(0, get(path, self->other, 4096));
	ASSERT_LT(0, get(self->bars, self->text, 4096));
	for (line = self->text; *line; line = next) {
		char *res = self->other;

		next = strchr(line, '\n');
		ASSERT_NE(NULL, next);
		*next++ = '\0';
		n = 0;
		got = sscanf(line, "bar=%u size=%llu aperture=%llu cpu=%u%n",
			     &bar, &size, &aperture, &cpu, &n);
		ASSERT_EQ(4, got);
		EXPECT_EQ('\0', line[n]);
		ASSERT_GT(6, bar);
		for (i = 0; i < (int)bar; i++)
			res = strchr(res, '\n') + 1;
		got = sscanf(res, "%llx %llx", &first, &last);
		ASSERT_EQ(2, got);
		EXPECT_EQ(last - first + 1, size);
		EXPECT_GE(size, aperture);
		EXPECT_GE(1, cpu);
		if (aperture) {
			EXPECT_EQ(2, bar);
			exported++;
		}
	}
	EXPECT_EQ(1, exported);
}

/* How many other devices have a driver and are not bridges? */
static size_t count_clients(const char *bdf)
{
	char path[300], class[64];
	size_t i, n = 0;
	glob_t g;

	if (glob(DEVICES "*/driver", 0, NULL, &g))
		return 0;
	for (i = 0; i < g.gl_pathc; i++) {
		snprintf(path, sizeof(path), "%.*s/class",
			 (int)(strrchr(g.gl_pathv[i], '/') - g.gl_pathv[i]),
			 g.gl_pathv[i]);
		if (strstr(path, bdf) || get(path, class, 32) < 0)
			continue;
		n += strncmp(class, "0x0604", 6) != 0;
	}
	globfree(&g);
	return n;
}

TEST_F(p2pdma_sysfs, clients)
{
	char bdf[32], map[32], path[128], *line, *next;
	unsigned int distance, untrusted, vetoed;
	size_t lines = 0;
	ssize_t len;
	int got, n;

	len = get(self->clients, self->text, 4096);
	ASSERT_LT(0, len);
	/* However it is read, it is the same. */
	ASSERT_EQ(len, get(self->clients, self->other, 1));
	EXPECT_STREQ(self->text, self->other);
	ASSERT_EQ(len, get(self->clients, self->other, 61));
	EXPECT_STREQ(self->text, self->other);

	for (line = self->text; *line; line = next, lines++) {
		next = strchr(line, '\n');
		ASSERT_NE(NULL, next);
		*next++ = '\0';
		n = 0;
		got = sscanf(line,
			     "client=%31s map=%31s distance=%u untrusted=%u vetoed=%u%n",
			     bdf, map, &distance, &untrusted, &vetoed, &n);
		ASSERT_EQ(5, got);
		EXPECT_EQ('\0', line[n]);
		EXPECT_TRUE(!strcmp(map, "bus-addr") ||
			    !strcmp(map, "thru-host-bridge") ||
			    !strcmp(map, "not-supported"))
			TH_LOG("map=%s", map);
		EXPECT_LT(0, distance);
		EXPECT_GE(1, untrusted);
		EXPECT_EQ(0, vetoed);
		EXPECT_STRNE(self->bdf, bdf);
		snprintf(path, sizeof(path), DEVICES "%s/driver", bdf);
		EXPECT_EQ(0, access(path, F_OK))
			TH_LOG("%s has no driver", bdf);
	}
	EXPECT_EQ(count_clients(self->bdf), lines);
}

/* What is read is not logged. */
TEST_F(p2pdma_sysfs, quiet)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char record[8192];
	ssize_t n;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, lseek(fd, 0, SEEK_END));
	ASSERT_LT(0, get(self->bars, self->text, 4096));
	ASSERT_LT(0, get(self->clients, self->text, 4096));
	while ((n = read(fd, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		EXPECT_EQ(NULL, strcasestr(record, "p2p"));
		EXPECT_EQ(NULL, strcasestr(record, "peer-to-peer"));
	}
	EXPECT_EQ(EAGAIN, errno);
	close(fd);
}

/* The administrator's choice outlives the driver, the files do not. */
TEST_F(p2pdma_sysfs, rebind)
{
	int fd[3], i;

	ASSERT_EQ(0, sysfs_write(self->peer_access, "0"));
	fd[0] = open(self->peer_access, O_RDWR);
	fd[1] = open(self->bars, O_RDONLY);
	fd[2] = open(self->clients, O_RDONLY);

	ASSERT_EQ(0, sysfs_write(DRIVER "unbind", self->bdf));
	EXPECT_EQ(-ENOENT, get(self->peer_access, self->text, 64));
	for (i = 0; i < 3; i++) {
		ASSERT_LE(0, fd[i]);
		EXPECT_EQ(-1, read(fd[i], self->text, 64));
		EXPECT_EQ(ENODEV, errno);
	}
	EXPECT_EQ(-1, write(fd[0], "1", 1));
	EXPECT_EQ(ENODEV, errno);

	ASSERT_EQ(0, sysfs_write(DRIVER "bind", self->bdf));
	EXPECT_EQ(2, get(self->peer_access, self->text, 64));
	EXPECT_STREQ("0\n", self->text);
	for (i = 0; i < 3; i++) {
		EXPECT_EQ(-1, read(fd[i], self->text, 64));
		EXPECT_EQ(ENODEV, errno);
		close(fd[i]);
	}
}

struct reader {
	const char *path;
	const char *write;
	bool stop;
	unsigned long done;
	int error;
};

/* The device comes and goes meanwhile: then there is no file, or no device. */
static void *use_file(void *arg)
{
	char text[TEXT];
	struct reader *r = arg;
	ssize_t n;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		n = r->write ? sysfs_write(r->path, r->write) : get(r->path, text, 97);
		if (n >= 0)
			r->done++;
		else if (n != -ENOENT && n != -ENODEV)
			r->error = n;
	}
	return NULL;
}

TEST_F_TIMEOUT(p2pdma_sysfs, rebind_in_use, 600)
{
	struct reader r[] = {
		{ .path = self->bars },
		{ .path = self->clients },
		{ .path = self->peer_access },
		{ .path = self->peer_access, .write = "0" },
		{ .path = self->peer_access, .write = "1" },
	};
	pthread_t thread[ARRAY_SIZE(r)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(r); i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, use_file, &r[i]));
	for (i = 0; i < 20; i++) {
		EXPECT_EQ(0, sysfs_write(DRIVER "unbind", self->bdf));
		EXPECT_EQ(0, sysfs_write(DRIVER "bind", self->bdf));
	}
	for (i = 0; i < ARRAY_SIZE(r); i++)
		__atomic_store_n(&r[i].stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < ARRAY_SIZE(r); i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_EQ(0, r[i].error);
		EXPECT_LT(0, r[i].done);
	}
}

TEST_HARNESS_MAIN
