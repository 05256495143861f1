/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tests of lies about other devices' BARs, see peer.c. */
#ifndef MLX5_TEST_PEER_H
#define MLX5_TEST_PEER_H

void t_peer_reads(void);
void t_peer_writes(void);
void t_peer_own(void);
void t_peer_held(void);
void t_peer_ats(void);

#endif
