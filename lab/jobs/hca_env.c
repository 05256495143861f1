// SPDX-License-Identifier: GPL-2.0
/* What tests of an HCA's misfortunes share. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hca_env.h"
#include "pci.h"
#include "sysfs.h"

#define DRIVER	"/sys/bus/pci/drivers/mlx5_core/"
#define TRIES	3000	/* of 20 ms */

static void *read_all_the_time(void *arg)
{
	struct hca_reader *r = arg;

	while (!r->ret && !r->stop) {
		r->ret = rdma_env_read(r->env, 0, r->env->size);
		r->reads++;
	}
	return NULL;
}

int hca_reader_flows(struct hca_reader *r)
{
	int from = r->reads, tries;

	for (tries = TRIES; tries && r->reads < from + 2; tries--)
		usleep(20000);
	return tries ? 0 : -ETIMEDOUT;
}

int hca_reader_start(struct hca_reader *r, struct rdma_env *env)
{
	*r = (struct hca_reader){ .env = env };
	if (pthread_create(&r->thread, NULL, read_all_the_time, r))
		return -EAGAIN;
	return hca_reader_flows(r);
}

int hca_reader_stop(struct hca_reader *r)
{
	r->stop = true;
	pthread_join(r->thread, NULL);
	return r->ret;
}

int hca_reader_fails(struct hca_reader *r)
{
	pthread_join(r->thread, NULL);
	return !r->ret ? -ENODATA : r->ret == -EILSEQ ? -EILSEQ : 0;
}

/* The one entry of a directory of @bdf's, if it is there */
static int entry_of(const char *bdf, const char *dir, char *name, size_t size)
{
	char path[128];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), PCI_DEVICES "%s/%s", bdf, dir);
	d = opendir(path);
	if (!d)
		return -errno;
	do {
		e = readdir(d);
	} while (e && e->d_name[0] == '.');
	if (e)
		snprintf(name, size, "%s", e->d_name);
	closedir(d);
	return e ? 0 : -ENODEV;
}

/* Its directory in sysfs has a number of its own. */
uint64_t hca_which(const char *bdf)
{
	char name[256], path[512];
	struct stat st;

	if (entry_of(bdf, "infiniband_verbs", name, sizeof(name)))
		return 0;
	snprintf(path, sizeof(path), PCI_DEVICES "%s/infiniband_verbs/%s", bdf,
		 name);
	return stat(path, &st) ? 0 : st.st_ino;
}

/* The port can be up before programs can open the device. */
static bool usable(const char *bdf, uint64_t old)
{
	char name[256], path[512], state[32] = "";
	uint64_t which = hca_which(bdf);
	FILE *f;

	if (!which || which == old ||
	    entry_of(bdf, "infiniband_verbs", name, sizeof(name)))
		return false;
	snprintf(path, sizeof(path), "/dev/infiniband/%s", name);
	if (access(path, R_OK | W_OK) ||
	    entry_of(bdf, "infiniband", name, sizeof(name)))
		return false;
	snprintf(path, sizeof(path),
		 "/sys/class/infiniband/%s/ports/1/state", name);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(state, sizeof(state), f))
		state[0] = '\0';
	fclose(f);
	if (!strstr(state, "ACTIVE"))
		return false;
	setenv("RDMA", name, 1);
	return true;
}

int hca_back(const char *bdf, uint64_t old)
{
	int tries;

	for (tries = TRIES; tries; tries--) {
		if (usable(bdf, old))
			return 0;
		usleep(20000);
	}
	return -ETIMEDOUT;
}

int hca_rebind(const char *bdf)
{
	int ret = sysfs_write(DRIVER "unbind", bdf);

	if (!ret)
		ret = sysfs_write(DRIVER "bind", bdf);
	return ret ? ret : hca_back(bdf, 0);
}

int hca_in_place(size_t size)
{
	struct drm_ivgpu_counters d;
	struct rdma_env env;
	int ret;

	ret = rdma_env_open(&env, size, true, false);
	if (ret)
		return ret;
	memset(env.mem, 0, size);
	ret = rdma_env_fill(&env, 2);
	if (!ret)
		ret = rdma_env_read(&env, 0, size);
	if (!ret)
		ret = rdma_env_delta(&env, &d);
	if (!ret && (d.pages_to_ram || !d.alias_pages))
		ret = -ESTALE;
	rdma_env_close(&env);
	return ret;
}
