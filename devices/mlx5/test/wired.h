/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of the wire to another QEMU, without a guest */
#ifndef MLX5_TEST_WIRED_H
#define MLX5_TEST_WIRED_H

void t_wire(void);
void t_wire_cut(void);

#endif
