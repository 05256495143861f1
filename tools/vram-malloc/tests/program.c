// SPDX-License-Identifier: GPL-2.0
/* A program: its exit code and its output are its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <infiniband/verbs.h>

#undef ibv_reg_mr

static int work(void)
{
	static char buffer[65536];
	struct ibv_mr *mr;

	memset(buffer, 0x5a, sizeof(buffer));
	mr = ibv_reg_mr(NULL, buffer, sizeof(buffer), IBV_ACCESS_LOCAL_WRITE);
	if (!mr || mr->addr != buffer || buffer[100] != 0x5a)
		return 1;
	if (ibv_reg_mr(NULL, NULL, 4096, 0) || ibv_dereg_mr(mr) != 7)
		return 1;
	return 42;
}

int main(int argc, char **argv)
{
	int status = 0, ret = 42;

	if (argc > 1 && !strcmp(argv[1], "nothing"))
		return 42;
	ret = work();
	if (argc > 1 && !strcmp(argv[1], "fork")) {
		if (!fork())
			exit(work());
		wait(&status);
		ret = WEXITSTATUS(status) == 42 ? ret : 1;
	}
	puts("mine");
	return ret;
}
