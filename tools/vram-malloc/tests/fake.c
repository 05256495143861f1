// SPDX-License-Identifier: GPL-2.0
/* In libibverbs' place: registers, and says no to an address that is none. */
#include <stdlib.h>

#include <infiniband/verbs.h>

#undef ibv_reg_mr

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
			  int access)
{
	struct ibv_mr *mr = addr ? calloc(1, sizeof(*mr)) : NULL;

	(void)access;
	if (mr)
		*mr = (struct ibv_mr){ .pd = pd, .addr = addr, .length = length };
	return mr;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	free(mr);
	return 7;
}
