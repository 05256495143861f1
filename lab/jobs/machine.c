// SPDX-License-Identifier: GPL-2.0
/* The machine around the guest, by QEMU's monitor and by the slots' registers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/pci_regs.h>

#include "machine.h"
#include "pci.h"

#define MACHINE		"/etc/peerfault/qemu"
#define SLOT_OFF	(PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF)

int monitor_expect(FILE *monitor, const char *a, const char *b)
{
	char line[512];

	while (fgets(line, sizeof(line), monitor))
		if (strstr(line, a) && strstr(line, b))
			return 0;
	return -EPIPE;
}

FILE *monitor_open(void)
{
	int fd = open(getenv("QMP") ?: "", O_RDWR | O_CLOEXEC);
	FILE *monitor = fd < 0 ? NULL : fdopen(fd, "r");

	if (!monitor)
		return NULL;
	/* An error, from the second time on: only the answer matters. */
	dprintf(fd, "{\"execute\":\"qmp_capabilities\",\"id\":%d}\n", getpid());
	if (!monitor_expect(monitor, "\"id\": ", ""))
		return monitor;
	fclose(monitor);
	return NULL;
}

int monitor_do(FILE *monitor, const char *command, const char *args)
{
	char line[512];

	dprintf(fileno(monitor),
		"{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"%s %s\"}}\n",
		command, args);
	while (fgets(line, sizeof(line), monitor)) {
		if (strstr(line, "\"return\": \"\""))
			return 0;
		if (!strstr(line, "\"return\": ") &&
		    !strstr(line, "\"error\": "))
			continue;
		printf("# %s %s: %s", command, args, line);
		return -EREMOTEIO;
	}
	return -EPIPE;
}

/* What QEMU was told to make @id. */
static int machine_find(const char *kind, const char *id, char *args,
			size_t size)
{
	FILE *f = fopen(MACHINE, "r");
	char line[256], k[16], name[32];
	int ret = -ENOENT;

	if (!f)
		return -errno;
	snprintf(name, sizeof(name), ",id=%s,", id);
	while (ret && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "%15s", k) != 1 || strcmp(k, kind) ||
		    !strstr(line, name))
			continue;
		snprintf(args, size, "%s", line + strlen(k) + 1);
		ret = 0;
	}
	fclose(f);
	return ret;
}

int wait_gone(const char *bdf)
{
	char path[64];
	int tries;

	snprintf(path, sizeof(path), PCI_DEVICES "%s", bdf);
	for (tries = 3000; tries; tries--) {
		if (access(path, F_OK))
			return 0;
		usleep(20000);
	}
	return -ETIMEDOUT;
}

int unplug(FILE *monitor, const char *id, const char *bdf)
{
	char word[32];
	int ret = monitor_do(monitor, "device_del", id);

	snprintf(word, sizeof(word), "\"%s\"", id);
	if (!ret)
		ret = wait_gone(bdf);
	return ret ?: monitor_expect(monitor, "DEVICE_DELETED", word);
}

/* Where the PCI Express capability is in the configuration space; 0: nowhere */
static uint8_t express_cap(int config)
{
	uint8_t pos = PCI_CAPABILITY_LIST, cap[2];

	if (pread(config, &pos, 1, pos) != 1)
		return 0;
	while (pos && pread(config, cap, 2, pos) == 2) {
		if (cap[0] == PCI_CAP_ID_EXP)
			return pos;
		pos = cap[1];
	}
	return 0;
}

/*
 * Pulls the device out. QEMU removes what is in a slot that is switched off,
 * which is done here behind the kernel's back. It hears of it when the slot is
 * empty, on again, and may interrupt. When it is done it switches it off.
 */
int pull(const char *bdf)
{
	char path[64], port[PATH_MAX];
	int fd, tries, ret = -EIO;
	uint16_t on, off;
	off_t pos;

	snprintf(path, sizeof(path), PCI_DEVICES "%s", bdf);
	if (!realpath(path, port))
		return -errno;
	*strrchr(port, '/') = '\0';
	strncat(port, "/config", sizeof(port) - strlen(port) - 1);
	fd = open(port, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	pos = express_cap(fd) + PCI_EXP_SLTCTL;
	if (pread(fd, &on, 2, pos) == 2) {
		off = on & ~PCI_EXP_SLTCTL_HPIE;
		off |= SLOT_OFF;
		if (pwrite(fd, &off, 2, pos) == 2 &&
		    pwrite(fd, &on, 2, pos) == 2)
			ret = wait_gone(bdf);
	}
	for (tries = 3000; !ret; tries--) {
		if (pread(fd, &on, 2, pos) != 2)
			ret = -EIO;
		else if ((on & SLOT_OFF) == SLOT_OFF)
			break;
		else if (!tries)
			ret = -ETIMEDOUT;
		usleep(20000);
	}
	close(fd);
	return ret;
}

int plug(FILE *monitor, const char *id)
{
	char device[256], object[256], mem[32] = "";
	int ret = machine_find("device", id, device, sizeof(device));

	if (ret)
		return ret;
	if (strstr(device, "memdev="))
		sscanf(strstr(device, "memdev="), "memdev=%31[^,]", mem);
	if (mem[0])
		ret = machine_find("object", mem, object, sizeof(object));
	/* QEMU 7.2 does not survive using the same one again. */
	if (mem[0] && !ret)
		ret = monitor_do(monitor, "object_del", mem);
	if (mem[0] && !ret)
		ret = monitor_do(monitor, "object_add", object);
	return ret ?: monitor_do(monitor, "device_add", device);
}

int device_set(FILE *monitor, const char *id, const char *name, uint64_t value)
{
	char args[128];

	snprintf(args, sizeof(args), "/machine/peripheral/%s %s %llu", id, name,
		 (unsigned long long)value);
	return monitor_do(monitor, "qom-set", args);
}

int device_get(FILE *monitor, const char *id, const char *name, uint64_t *value)
{
	char line[512], *at;

	dprintf(fileno(monitor),
		"{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"/machine/peripheral/%s\",\"property\":\"%s\"}}\n",
		id, name);
	while (fgets(line, sizeof(line), monitor)) {
		at = strstr(line, "\"return\": ");
		if (at) {
			*value = strtoull(at + 10, NULL, 10);
			return 0;
		}
		if (strstr(line, "\"error\": "))
			return -EREMOTEIO;
	}
	return -EPIPE;
}
