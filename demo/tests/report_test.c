// SPDX-License-Identifier: GPL-2.0
/*
 * What report.c makes of two runs. report_test prints one case, by its name,
 * as peerfault-demo would, and exits as that would.
 *
 *	report_test CASE [--json]
 */
#include <stdio.h>
#include <string.h>

#include "../demo.h"

#define SIZE	(4 * MIB)
#define PAGES	(SIZE / PAGE)

int main(int argc, char **argv)
{
	struct run off = {
		.to_ram = PAGES,
		.to_vram = PAGES,
		.verified = 2 * SIZE,
		.ms = 30,
		.why = {
			.n = 2,
			.what = { "refuse: fallback=none", "refuse: \"\\\t" },
			.pages = { PAGES, 32 },
			.lost = 5,
		},
	};
	struct run on = {
		.consent = true,
		.aliased = PAGES,
		.verified = 2 * SIZE,
		.ms = 20,
		.why = { 1, { "grant: write=1" }, { PAGES }, 0 },
	};
	const char *name = argc > 1 ? argv[1] : "";

	if (!strcmp(name, "moved-with-consent"))
		on.to_vram = 1;
	else if (!strcmp(name, "not-all-aliased"))
		on.aliased--;
	else if (!strcmp(name, "nothing-to-avoid"))
		off.to_ram--;
	else if (!strcmp(name, "not-all-moved-back"))
		off.to_vram = 0;
	else if (!strcmp(name, "aliased-without-consent"))
		off.aliased = 1;
	else if (!strcmp(name, "not-verified-off"))
		off.verified--;
	else if (!strcmp(name, "not-verified-on"))
		on.verified--;
	else if (strcmp(name, "shown"))
		return EXIT_USAGE;
	return report(&off, &on, SIZE, argc > 2 && !strcmp(argv[2], "--json"));
}
