/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests without a guest share: two HCAs that are connected, and checks. */
#ifndef MLX5_CHECK_H
#define MLX5_CHECK_H

#include "guest.h"
#include "send.h"

extern Hca a, b;
extern bool check_ok;           /* of the test that runs */

#define CHECK(cond) do { \
        if (!(cond)) { \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond); \
            check_ok = false; \
        } \
    } while (0)

enum { OP_WRITE = OP_RDMA_WRITE, OP_READ = OP_RDMA_READ, OP_FA = OP_ATOMIC_FA };

void open_both(const char *prop, unsigned st);
void close_both(void);
/* RDMA of the peer's DATA, from and to the own one */
void rdma(uint8_t op, uint64_t laddr, uint32_t lkey, uint64_t raddr,
          uint32_t rkey, uint32_t len);
/* A SEND of the own memory, with immediate data if @op has them */
void send_bytes(uint8_t op, uint64_t addr, uint32_t key, uint32_t len);
/* FETCH_AND_ADD of the peer's DATA */
void check_fetch_add(void);

#endif
