/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of ATS without a guest */
#ifndef MLX5_TEST_ATS_H
#define MLX5_TEST_ATS_H

void t_ats(void);
void t_ats_crossed(void);

#endif
