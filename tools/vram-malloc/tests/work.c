// SPDX-License-Identifier: GPL-2.0
/*
 * What a program does with libibverbs: part of it, or of a plugin that it loads.
 * With REREG it gives the memory region other memory, and other access, in between.
 */
#include <stdlib.h>
#include <string.h>

#include <infiniband/verbs.h>

#undef ibv_reg_mr

int work(void);

static int rereg(struct ibv_mr *mr)
{
	static char buffer[32768] __attribute__((aligned(4096)));
	void *before = mr->addr;

	if (ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, buffer,
			 sizeof(buffer), -1) != IBV_REREG_MR_ERR_INPUT ||
	    mr->addr != before)
		return 1;
	if (ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION, NULL, buffer,
			 sizeof(buffer), 0) ||
	    mr->addr != buffer || mr->length != sizeof(buffer))
		return 1;
	return ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
			    IBV_ACCESS_ON_DEMAND);
}

int work(void)
{
	static char buffer[65536] __attribute__((aligned(4096)));
	struct ibv_mr *mr;

	memset(buffer, 0x5a, sizeof(buffer));
	mr = ibv_reg_mr(NULL, buffer, sizeof(buffer), IBV_ACCESS_LOCAL_WRITE);
	if (!mr || mr->addr != buffer || buffer[100] != 0x5a)
		return 1;
	if (getenv("REREG") && rereg(mr))
		return 1;
	if (ibv_reg_mr(NULL, NULL, 4096, 0) || ibv_dereg_mr(mr) != 7)
		return 1;
	return 42;
}
