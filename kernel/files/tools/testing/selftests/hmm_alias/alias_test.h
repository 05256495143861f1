/* SPDX-License-Identifier: GPL-2.0 */
#ifndef ALIAS_TEST_H
#define ALIAS_TEST_H

#include "../kselftest_harness.h"
#include "alias_env.h"

/*
 * The two sides of consent, since alias_env_mark(): all in place and through
 * aliases, or moved to RAM and none aliased.
 */
static inline void expect_consent(struct __test_metadata *_metadata,
				  struct alias_env *env, bool consent)
{
	struct drm_ivgpu_counters d;

	ASSERT_EQ(0, alias_env_delta(env, &d));
	if (consent) {
		EXPECT_EQ(0, d.pages_to_ram);
		EXPECT_LT(0, d.alias_pages);
	} else {
		EXPECT_LT(0, d.pages_to_ram);
		EXPECT_EQ(0, d.alias_pages);
	}
}

#endif /* ALIAS_TEST_H */
