// SPDX-License-Identifier: GPL-2.0
/*
 * peerfault topo: for each exporter of device-private memory and each importer
 * on this machine, whether the importer reaches the memory in place, or why not.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peerfault.h"
#include "topo.h"
#include "verify.h"

static const char usage[] =
"usage: peerfault topo [OPTION]...\n"
"\n"
"For each exporter (a device with device-private memory behind a PCI BAR) and\n"
"each importer (an RDMA device, or a device of test_hmm_dma): can the importer\n"
"reach the memory in place, and if not, why not?\n"
"\n"
"  -j, --json        print one JSON document instead of tables\n"
"  -s, --sysfs DIR   read DIR instead of /sys, a copy from another machine\n"
"  -v, --verify      have each RDMA device that can fault move a pattern from and\n"
"                    to the memory of each exporter, and compare: a line for each\n"
"                    pair. For root; it needs the program peerfault-verify\n"
"  -t, --timeout N   with --verify: a transfer that takes longer than N seconds has\n"
"                    failed (default: 10)\n"
"  -h, --help        print this\n"
"  -V, --version     print the version\n"
"\n"
"\"yes\" means that nothing this command can see is in the way. The program must\n"
"register its memory on demand, and the exporter's driver decides for each page;\n"
"`peerfault watch` shows what they did. \"dist\" counts the steps from device to\n"
"device, \"*\" marks the exporter that is nearest to an importer: a hint only, the\n"
"fewer the better.\n"
"\n"
"Any user may run it. Only root can read the ACS settings of bridges; what could\n"
"not be read is listed as \"missing\".\n"
"\n"
"exit codes: 0 done, also if there is no exporter or something is missing;\n"
"1 error; 2 usage\n"
"exit codes of --verify: 0 there is a pair, and all data were right; 1 error;\n"
"2 usage; 3 wrong data, or a failed transfer, through a peer's memory; 4 no pair:\n"
"all went through RAM; 5 a pair could not be tried\n";

/* Append to what there is in @to, cut where it is full. */
__attribute__((format(printf, 4, 5)))
static void append(char *to, size_t size, const char *between,
		   const char *fmt, ...)
{
	size_t n = strlen(to);
	va_list args;

	if (n)
		n += snprintf(to + n, size - n, "%s", between);
	if (n >= size)
		return;
	va_start(args, fmt);
	vsnprintf(to + n, size - n, fmt, args);
	va_end(args);
}

#define BECAUSE(pair, ...)	\
	append((pair)->why, sizeof((pair)->why), "; ", __VA_ARGS__)

bool topo_iommu_translates(const char *iommu)
{
	return !strncmp(iommu, "DMA", 3);
}

const char *topo_fabric(const struct pair *pair)
{
	if (!*pair->importer->bdf)
		return "cpu";
	return pair->client ? pair->client->map : "unknown";
}

/* Adds what redirects on @path, which leads to a device, from @common on. */
static void find_acs_on(struct pair *pair, const char *path, size_t common)
{
	char copy[PATH_MAX], *save, *name;

	snprintf(copy, sizeof(copy), "%s", path + common);
	for (name = strtok_r(copy, "/", &save); name;
	     name = strtok_r(NULL, "/", &save)) {
		enum answer acs = topo_is_bdf(name) ?
				  topo_acs_redirects(name) : NO;

		if (acs == UNKNOWN || (acs == YES && pair->acs == NO))
			pair->acs = acs;
		if (acs == YES)
			append(pair->acs_at, sizeof(pair->acs_at), " ", "%s",
			       name);
	}
}

static void find_acs(struct pair *pair)
{
	char a[PATH_MAX], b[PATH_MAX];
	size_t i, common = 0;

	if (!topo_pci_path(a, pair->exporter->bdf) ||
	    !topo_pci_path(b, pair->importer->bdf)) {
		pair->acs = UNKNOWN;
		return;
	}
	for (i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			common = i;
	a[common] = '\0';
	pair->below_one = topo_is_bdf(strrchr(a, '/') + 1);
	a[common] = '/';
	find_acs_on(pair, a, common);
	find_acs_on(pair, b, common);
}

static void explain_dma(struct pair *pair)
{
	const struct importer *importer = pair->importer;
	const struct client *client = pair->client;
	const uint64_t last = pair->exporter->last;
	bool by_address;

	if (!client) {
		BECAUSE(pair, "the kernel does not list the importer: no driver is bound to it");
		return;
	}
	if (client->untrusted)
		BECAUSE(pair, "importer is untrusted: firmware calls its port external");
	if (client->vetoed)
		BECAUSE(pair, "importer is vetoed: its p2pdma_client is 0");
	if (!strcmp(client->map, "not-supported")) {
		if (pair->below_one && *pair->acs_at)
			BECAUSE(pair, "ACS at %s redirects requests to the host bridge, which is not known to forward them",
				pair->acs_at);
		else
			BECAUSE(pair, "no common switch, and the host bridge is not known to forward between root ports");
		return;
	}
	by_address = !strcmp(client->map, "bus-addr") ||
		     !topo_iommu_translates(importer->iommu);
	if (by_address && importer->dma_bits && importer->dma_bits < 64 &&
	    last >> importer->dma_bits)
		BECAUSE(pair, "importer's DMA mask of %d bits does not reach the BAR, which ends at %#" PRIx64,
			importer->dma_bits, last);
}

/* In the order in which the kernel decides */
static void explain(struct pair *pair)
{
	if (pair->importer->odp == NO)
		BECAUSE(pair, "importer cannot fault: without on-demand paging it pins memory in RAM");
	else if (pair->importer->aliases == NO)
		BECAUSE(pair, "importer's driver does not ask for memory of other devices");
	if (*pair->importer->bdf)
		explain_dma(pair);
	else if (!pair->exporter->cpu)
		BECAUSE(pair, "importer has no DMA engine, and the exporter does not allow CPU access to its BAR (parameter cpu_access)");
	if (pair->exporter->consent == NO)
		BECAUSE(pair, "exporter does not consent to peer access (its p2pdma/peer_access is 0)");
}

static bool is_reached(const struct pair *pair)
{
	return pair->client && strcmp(pair->client->map, "not-supported");
}

/* Of those that the importer reaches. Several may be equally near. */
static void find_nearest(struct topo *topo)
{
	size_t i, k;

	for (i = 0; i < topo->n_pairs; i++) {
		struct pair *pair = &topo->pairs[i];

		pair->nearest = is_reached(pair);
		for (k = 0; k < topo->n_pairs && pair->nearest; k++) {
			const struct pair *other = &topo->pairs[k];

			if (other->importer == pair->importer &&
			    is_reached(other) &&
			    other->client->distance < pair->client->distance)
				pair->nearest = false;
		}
	}
}

static void find_pairs(struct topo *topo)
{
	size_t e, i, c;

	for (e = 0; e < topo->n_exporters; e++) {
		const struct exporter *exporter = &topo->exporters[e];

		for (i = 0; i < topo->n_importers; i++) {
			struct pair *pair = GROW(topo->pairs, topo->n_pairs);

			pair->exporter = exporter;
			pair->importer = &topo->importers[i];
			for (c = 0; c < exporter->n_clients; c++)
				if (!strcmp(exporter->clients[c].bdf,
					    pair->importer->bdf))
					pair->client = &exporter->clients[c];
			if (*pair->importer->bdf)
				find_acs(pair);
			explain(pair);
		}
	}
	find_nearest(topo);
	for (i = 0; i < topo->n_pairs; i++) {
		if (topo->pairs[i].acs != UNKNOWN)
			continue;
		topo_missing(topo, "ACS: the configuration space of PCI devices (only root may read all of it)");
		break;
	}
}

static bool read_seconds(const char *text, unsigned int *seconds)
{
	unsigned long n;
	char *end;

	n = strtoul(text, &end, 10);
	*seconds = n;
	return end != text && !*end && n && n <= 3600;
}

int topo_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "sysfs", required_argument, NULL, 's' },
		{ "verify", no_argument, NULL, 'v' },
		{ "timeout", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ 0 }
	};
	struct topo topo = { 0 };
	bool json = false, verify = false;
	unsigned int seconds = 10;
	int opt, ret = 0;

	while ((opt = getopt_long(argc, argv, "js:vt:hV", options, NULL)) != -1) {
		switch (opt) {
		case 'j':
			json = true;
			break;
		case 's':
			topo_sysfs = optarg;
			break;
		case 'v':
			verify = true;
			break;
		case 't':
			if (read_seconds(optarg, &seconds))
				break;
			fputs("peerfault: a timeout is 1 to 3600 seconds\n",
			      stderr);
			return EXIT_USAGE;
		default:
			return common_option(opt, usage);
		}
	}
	if (optind < argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}

	topo_read(&topo);
	find_pairs(&topo);
	if (verify)
		ret = topo_verify(&topo, json, seconds);
	else if (json)
		topo_print_json(&topo);
	else
		topo_print_text(&topo);
	topo_free(&topo);
	return verify ? ret : close_stdout();
}
