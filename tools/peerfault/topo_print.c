// SPDX-License-Identifier: GPL-2.0
/* What `peerfault topo` prints: tables, or one JSON document. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "topo.h"

static const char * const answer_text[] = { "no", "yes", "unknown" };
static const char * const answer_json[] = { "false", "true", "null" };

/* One word, so that a table has the same columns in each line */
static const char *size_text(char text[32], uint64_t size)
{
	if (size % (1 << 20))
		snprintf(text, 32, "%" PRIu64, size);
	else
		snprintf(text, 32, "%" PRIu64 "MiB", size >> 20);
	return text;
}

static void print_exporters(const struct topo *topo)
{
	char size[32], aperture[32];
	size_t i;

	if (!topo->n_exporters) {
		puts(topo->n_missing ? "exporters: not known, see \"missing\"" :
		     "no exporter: no driver offers device-private memory through a PCI BAR");
		return;
	}
	printf("%-13s %-10s %3s %10s %10s %-8s %-10s %s\n", "exporter",
	       "driver", "bar", "size", "aperture", "consent", "cpu-access",
	       "iommu");
	for (i = 0; i < topo->n_exporters; i++) {
		const struct exporter *e = &topo->exporters[i];

		printf("%-13s %-10s %3d %10s %10s %-8s %-10s %s\n", e->bdf,
		       e->driver, e->bar, size_text(size, e->size),
		       size_text(aperture, e->aperture),
		       answer_text[e->consent], answer_text[e->cpu], e->iommu);
	}
}

static void print_importers(const struct topo *topo)
{
	size_t i;

	if (!topo->n_importers) {
		puts("no importer: no RDMA device, and no device of test_hmm_dma");
		return;
	}
	printf("%-20s %-13s %-8s %-8s %-8s %s\n", "importer", "device",
	       "odp", "aliases", "dma-mask", "iommu");
	for (i = 0; i < topo->n_importers; i++) {
		const struct importer *m = &topo->importers[i];
		char bits[16] = "-";

		if (m->dma_bits)
			snprintf(bits, sizeof(bits), "%d", m->dma_bits);
		printf("%-20s %-13s %-8s %-8s %-8s %s\n", m->name,
		       *m->bdf ? m->bdf : "cpu", answer_text[m->odp],
		       answer_text[m->aliases], bits, m->iommu);
	}
}

static void print_pairs(const struct topo *topo)
{
	size_t i;

	printf("\n%-13s %-20s %-16s %4s %-13s %s\n", "exporter", "importer",
	       "fabric", "dist", "acs-redirect", "peer access");
	for (i = 0; i < topo->n_pairs; i++) {
		const struct pair *p = &topo->pairs[i];
		char dist[16] = "-";

		if (p->client)
			snprintf(dist, sizeof(dist), "%d%s",
				 p->client->distance, p->nearest ? "*" : "");
		printf("%-13s %-20s %-16s %4s %-13s %s%s\n", p->exporter->bdf,
		       p->importer->name, topo_fabric(p), dist,
		       !*p->importer->bdf ? "-" : p->acs == YES ? p->acs_at :
		       answer_text[p->acs], *p->why ? "no: " : "yes", p->why);
	}
}

void topo_print_text(const struct topo *topo)
{
	size_t i;

	print_exporters(topo);
	putchar('\n');
	print_importers(topo);
	if (topo->n_pairs)
		print_pairs(topo);
	for (i = 0; i < topo->n_missing; i++)
		printf("%smissing: %s\n", i ? "" : "\n", topo->missing[i]);
}

static void json_key(const char *key, const char *value)
{
	printf("\"%s\": ", key);
	json_string(value);
	fputs(", ", stdout);
}

/* A list of the words in @value, or null */
static void json_words(const char *key, const char *value)
{
	char word[NAME_LEN];
	size_t n, i;

	printf("\"%s\": %s", key, value ? "[" : "null");
	for (i = 0; value && *value; i++) {
		n = strcspn(value, " ");
		snprintf(word, sizeof(word), "%.*s", (int)n, value);
		json_comma(i);
		json_string(word);
		value += n + (value[n] == ' ');
	}
	printf("%s, ", value ? "]" : "");
}

static void json_exporter(const struct exporter *e)
{
	json_key("device", e->bdf);
	json_key("driver", e->driver);
	printf("\"bar\": %d, \"bar_size\": %" PRIu64 ", \"aperture\": %" PRIu64
	       ", \"consent\": %s, \"cpu_access\": %s, \"iommu\": ", e->bar,
	       e->size, e->aperture, answer_json[e->consent],
	       answer_json[e->cpu]);
	json_string(e->iommu);
}

static void json_importer(const struct importer *m)
{
	json_key("name", m->name);
	json_key("device", *m->bdf ? m->bdf : NULL);
	printf("\"odp\": %s, \"aliases\": %s, ", answer_json[m->odp],
	       answer_json[m->aliases]);
	if (m->dma_bits)
		printf("\"dma_mask_bits\": %d, ", m->dma_bits);
	else
		printf("\"dma_mask_bits\": null, ");
	printf("\"iommu\": ");
	json_string(m->iommu);
}

static void json_pair(const struct pair *p)
{
	json_key("exporter", p->exporter->bdf);
	printf("\"bar\": %d, ", p->exporter->bar);
	json_key("importer", p->importer->name);
	json_key("importer_device", *p->importer->bdf ? p->importer->bdf : NULL);
	json_key("fabric", topo_fabric(p));
	if (p->client)
		printf("\"distance\": %d, \"nearest\": %s, \"untrusted\": %s, \"vetoed\": %s, ",
		       p->client->distance, answer_json[p->nearest],
		       answer_json[p->client->untrusted],
		       answer_json[p->client->vetoed]);
	else
		printf("\"distance\": null, \"nearest\": null, \"untrusted\": null, \"vetoed\": null, ");
	json_words("acs_redirect", p->acs == UNKNOWN || !*p->importer->bdf ?
		   NULL : p->acs_at);
	printf("\"peer_access\": %s, \"why_not\": ", *p->why ? "false" : "true");
	json_string(*p->why ? p->why : NULL);
}

#define JSON_LIST(name, print, array, n)				\
	do {								\
		size_t i_;						\
									\
		printf("\"%s\": [", name);				\
		for (i_ = 0; i_ < (n); i_++) {				\
			printf(i_ ? ",\n\t{" : "\n\t{");		\
			print(&(array)[i_]);				\
			putchar('}');					\
		}							\
		printf("],\n");						\
	} while (0)

void topo_print_json(const struct topo *topo)
{
	size_t i;

	puts("{");
	JSON_LIST("exporters", json_exporter, topo->exporters,
		  topo->n_exporters);
	JSON_LIST("importers", json_importer, topo->importers,
		  topo->n_importers);
	JSON_LIST("pairs", json_pair, topo->pairs, topo->n_pairs);
	printf("\"missing\": [");
	for (i = 0; i < topo->n_missing; i++) {
		json_comma(i);
		json_string(topo->missing[i]);
	}
	printf("]\n}\n");
}
