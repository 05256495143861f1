/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of page faults without a guest */
#ifndef MLX5_TEST_FAULTS_H
#define MLX5_TEST_FAULTS_H

void t_odp_transport(void);
void t_odp_memory(void);
void t_odp_events(void);
void t_odp_recv(void);
void t_reset_in_fault(void);

#endif
