// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests for what the drivers know about aliases of their memory: where in
 * a BAR it is, and which pages have one.
 */
#include <kunit/test.h>
#include <linux/bits.h>
#include <linux/limits.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include <drm/drm_pagemap.h>

#include "../nouveau/nouveau_dmem_grants.h"

struct aperture_case {
	const char *name;
	struct drm_pagemap_aperture aperture;
	u64 offset;
	unsigned long pages;
	phys_addr_t want; /* 0: refused */
	unsigned long want_pages;
};

#define BAR BIT_ULL(40)
#define PAGES(size) ((size) >> PAGE_SHIFT)

static const struct aperture_case aperture_cases[] = {
	{ "first page", { BAR, SZ_1G }, 0, 1, BAR, 1 },
	{ "last page", { BAR, SZ_1G }, SZ_1G - PAGE_SIZE, 1,
	  BAR + SZ_1G - PAGE_SIZE, 1 },
	{ "all of it", { BAR, SZ_1G }, 0, PAGES(SZ_1G), BAR, PAGES(SZ_1G) },
	{ "more than all of it", { BAR, SZ_1G }, 0, PAGES(SZ_1G) + 1, BAR,
	  PAGES(SZ_1G) },
	{ "small bar, last huge page", { BAR, SZ_256M }, SZ_256M - SZ_2M,
	  PAGES(SZ_2M), BAR + SZ_256M - SZ_2M, PAGES(SZ_2M) },
	{ "small bar, one page too far", { BAR, SZ_256M }, SZ_256M, 1 },
	{ "small bar, half of a huge page", { BAR, SZ_256M + SZ_1M }, SZ_256M,
	  PAGES(SZ_2M), BAR + SZ_256M, PAGES(SZ_1M) },
	{ "small bar, half a page", { BAR, SZ_256M + PAGE_SIZE / 2 }, SZ_256M,
	  1 },
	{ "small bar, one page and a half",
	  { BAR, SZ_256M + PAGE_SIZE + PAGE_SIZE / 2 }, SZ_256M, 2,
	  BAR + SZ_256M, 1 },
	{ "small bar, far away", { BAR, SZ_256M }, 64ULL * SZ_1G, 1 },
	{ "small bar, huge page over its end", { BAR, SZ_256M },
	  SZ_256M - SZ_2M + PAGE_SIZE, PAGES(SZ_2M),
	  BAR + SZ_256M - SZ_2M + PAGE_SIZE, PAGES(SZ_2M) - 1 },
	{ "second tile", { BAR + SZ_1G, SZ_1G }, PAGE_SIZE, 1,
	  BAR + SZ_1G + PAGE_SIZE, 1 },
	{ "second tile, small bar, last page", { BAR + SZ_1G, SZ_256M },
	  SZ_256M - PAGE_SIZE, 1, BAR + SZ_1G + SZ_256M - PAGE_SIZE, 1 },
	{ "second tile, small bar, one page too far", { BAR + SZ_1G, SZ_256M },
	  SZ_256M, 1 },
	{ "bar at the end of the addresses", { 0 - (u64)SZ_256M, SZ_256M },
	  SZ_256M - PAGE_SIZE, 1, 0 - (u64)PAGE_SIZE, 1 },
	{ "no aperture", { 0, 0 }, 0, 1 },
	{ "offset wraps", { BAR, SZ_1G }, U64_MAX - PAGE_SIZE + 1, 2 },
	{ "size wraps", { BAR, SZ_1G }, PAGE_SIZE, ULONG_MAX, BAR + PAGE_SIZE,
	  PAGES(SZ_1G) - 1 },
};

static void aperture_desc(const struct aperture_case *c, char *desc)
{
	strscpy(desc, c->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(aperture, aperture_cases, aperture_desc);

static void drm_test_aperture(struct kunit *test)
{
	const struct aperture_case *c = test->param_value;
	unsigned long pages = c->pages;
	phys_addr_t phys = 0;
	int ret;

	ret = drm_pagemap_aperture_alias(&c->aperture, c->offset, &pages,
					 &phys);
	KUNIT_EXPECT_EQ(test, ret, c->want ? 0 : -ERANGE);
	/* What is refused has no address either */
	KUNIT_EXPECT_EQ(test, phys, c->want);
	KUNIT_EXPECT_EQ(test, pages, c->want ? c->want_pages : c->pages);
}

#define GRANT_PAGES 2048
#define HUGE 512

static struct nouveau_dmem_grants *make_grants(struct kunit *test)
{
	struct nouveau_dmem_grants *grants;

	grants = kunit_kzalloc(test, sizeof(*grants), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, grants);
	grants->pages = kunit_kcalloc(test, BITS_TO_LONGS(GRANT_PAGES),
				      sizeof(long), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, grants->pages);
	return grants;
}

static int grants_init(struct kunit *test)
{
	test->priv = make_grants(test);
	return 0;
}

static void drm_test_grant_twice(struct kunit *test)
{
	struct nouveau_dmem_grants *grants = test->priv;

	/* Two importers: the page is free once, and then it is for both */
	nouveau_dmem_grant(grants, BAR, 7, 1);
	nouveau_dmem_grant(grants, BAR, 7, 1);
	KUNIT_EXPECT_EQ(test, grants->nr, 1);
	KUNIT_EXPECT_TRUE(test, nouveau_dmem_ungrant(grants, 7, 1));
	KUNIT_EXPECT_EQ(test, grants->nr, 0);
	KUNIT_EXPECT_TRUE(test, bitmap_empty(grants->pages, GRANT_PAGES));
}

static void drm_test_grant_last(struct kunit *test)
{
	struct nouveau_dmem_grants *grants = test->priv;

	nouveau_dmem_grant(grants, BAR, 0, 1);
	nouveau_dmem_grant(grants, BAR, GRANT_PAGES - 1, 1);
	nouveau_dmem_grant(grants, BAR, HUGE, HUGE);
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(grants, HUGE, HUGE));
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(grants, 0, 1));
	KUNIT_EXPECT_TRUE(test, nouveau_dmem_ungrant(grants, GRANT_PAGES - 1,
						     1));
}

/* Granted as one, freed as many, and some of them granted again in between */
static void drm_test_grant_split(struct kunit *test)
{
	struct nouveau_dmem_grants *grants = test->priv;
	unsigned long i;

	nouveau_dmem_grant(grants, BAR, HUGE, HUGE);
	nouveau_dmem_grant(grants, BAR, HUGE + 1, 1);
	KUNIT_EXPECT_EQ(test, grants->nr, HUGE);
	for (i = HUGE; i < 2 * HUGE - 1; i++)
		KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(grants, i, 1));
	KUNIT_EXPECT_TRUE(test, nouveau_dmem_ungrant(grants, i, 1));
}

/* Only a part of a folio, and then all of it */
static void drm_test_grant_part(struct kunit *test)
{
	struct nouveau_dmem_grants *grants = test->priv;

	nouveau_dmem_grant(grants, BAR, HUGE + 3, 5);
	KUNIT_EXPECT_EQ(test, grants->nr, 5);
	nouveau_dmem_grant(grants, BAR, HUGE, HUGE);
	KUNIT_EXPECT_EQ(test, grants->nr, HUGE);
	nouveau_dmem_grant(grants, BAR, 2 * HUGE + 7, 2);
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(grants, HUGE, HUGE));
	KUNIT_EXPECT_EQ(test, grants->nr, 2);
	KUNIT_EXPECT_TRUE(test, nouveau_dmem_ungrant(grants, 2 * HUGE, HUGE));
	KUNIT_EXPECT_TRUE(test, bitmap_empty(grants->pages, GRANT_PAGES));
}

static void drm_test_grant_never(struct kunit *test)
{
	struct nouveau_dmem_grants *grants = test->priv;
	struct nouveau_dmem_grants none = {};

	/* A page that nobody asked for is not the last one */
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(grants, 3, 1));
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(&none, 3, 1));
	nouveau_dmem_grant(grants, BAR, 4, 1);
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(grants, 3, 1));
	KUNIT_EXPECT_EQ(test, grants->nr, 1);
}

/* Each chunk is somewhere else in BAR1, and has its own last page */
static void drm_test_grant_chunks(struct kunit *test)
{
	struct nouveau_dmem_grants *a = test->priv, *b = make_grants(test);
	const phys_addr_t at_a = BAR + SZ_1G, at_b = BAR;

	KUNIT_EXPECT_EQ(test, nouveau_dmem_grant(a, at_a, 0, 1), at_a);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_grant(b, at_b, 0, 1), at_b);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_grant(b, at_b, HUGE, HUGE),
			at_b + HUGE * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_grant(b, at_b, GRANT_PAGES - 1, 1),
			at_b + (GRANT_PAGES - 1) * PAGE_SIZE);
	/* Asked again for a page that is granted: the same place */
	KUNIT_EXPECT_EQ(test, nouveau_dmem_grant(b, at_b, HUGE + 1, 1),
			at_b + (HUGE + 1) * PAGE_SIZE);

	KUNIT_EXPECT_TRUE(test, nouveau_dmem_ungrant(a, 0, 1));
	KUNIT_EXPECT_EQ(test, b->nr, HUGE + 2);
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(a, HUGE, HUGE));
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(b, 0, 1));
	KUNIT_EXPECT_FALSE(test, nouveau_dmem_ungrant(b, HUGE, HUGE));
	KUNIT_EXPECT_TRUE(test, nouveau_dmem_ungrant(b, GRANT_PAGES - 1, 1));
}

static void drm_test_alias_chunks(struct kunit *test)
{
	const u64 chunk = SZ_256M;

	/* A BAR1 in which half a chunk, or not quite one, is free for peers */
	KUNIT_EXPECT_EQ(test, nouveau_dmem_alias_chunks(0, chunk), 0);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_alias_chunks(SZ_256M, chunk), 0);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_alias_chunks(SZ_512M - 1, chunk), 0);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_alias_chunks(SZ_512M, chunk), 1);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_alias_chunks(SZ_1G - 1, chunk), 1);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_alias_chunks(SZ_16G, chunk), 32);
	KUNIT_EXPECT_EQ(test, nouveau_dmem_alias_chunks(U64_MAX, chunk),
			BIT_ULL(63 - 28) - 1);
}

static struct kunit_case drm_alias_test_cases[] = {
	KUNIT_CASE_PARAM(drm_test_aperture, aperture_gen_params),
	KUNIT_CASE(drm_test_grant_twice),
	KUNIT_CASE(drm_test_grant_last),
	KUNIT_CASE(drm_test_grant_split),
	KUNIT_CASE(drm_test_grant_part),
	KUNIT_CASE(drm_test_grant_never),
	KUNIT_CASE(drm_test_grant_chunks),
	KUNIT_CASE(drm_test_alias_chunks),
	{}
};

static struct kunit_suite drm_alias_test_suite = {
	.name = "drm_alias",
	.init = grants_init,
	.test_cases = drm_alias_test_cases,
};

kunit_test_suite(drm_alias_test_suite);

MODULE_DESCRIPTION("KUnit tests for aliases of device memory");
MODULE_LICENSE("GPL");
