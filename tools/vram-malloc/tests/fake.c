// SPDX-License-Identifier: GPL-2.0
/*
 * In libibverbs' place: registers, and says no to an address that is none, or to
 * access that is wrong.
 */
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

int ibv_rereg_mr(struct ibv_mr *mr, int flags, struct ibv_pd *pd, void *addr,
		 size_t length, int access)
{
	(void)pd;
	if (access < 0)
		return IBV_REREG_MR_ERR_INPUT;
	if (flags & IBV_REREG_MR_CHANGE_TRANSLATION) {
		mr->addr = addr;
		mr->length = length;
	}
	return 0;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	free(mr);
	return 7;
}
