// SPDX-License-Identifier: GPL-2.0
/* What a program does with libibverbs: part of it, or of a plugin that it loads. */
#include <string.h>

#include <infiniband/verbs.h>

#undef ibv_reg_mr

int work(void);

int work(void)
{
	static char buffer[65536] __attribute__((aligned(4096)));
	struct ibv_mr *mr;

	memset(buffer, 0x5a, sizeof(buffer));
	mr = ibv_reg_mr(NULL, buffer, sizeof(buffer), IBV_ACCESS_LOCAL_WRITE);
	if (!mr || mr->addr != buffer || buffer[100] != 0x5a)
		return 1;
	if (ibv_reg_mr(NULL, NULL, 4096, 0) || ibv_dereg_mr(mr) != 7)
		return 1;
	return 42;
}
