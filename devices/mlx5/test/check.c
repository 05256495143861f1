/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What tests without a guest share, see check.h. */
#include "check.h"

Hca a, b;
bool check_ok;

void open_both(const char *prop, unsigned st)
{
    hca_open(&a, 0, prop);
    hca_open(&b, 1, prop);
    hca_connect(&a, &b, st);
}

void close_both(void)
{
    hca_close(&a);
    hca_close(&b);
    memset(standin_ram, 0, sizeof(standin_ram));
}

void rdma(uint8_t op, uint64_t laddr, uint32_t lkey, uint64_t raddr,
          uint32_t rkey, uint32_t len)
{
    uint8_t segs[32] = { 0 };

    stq_be_p(segs, raddr);
    stl_be_p(segs + 8, rkey);
    stl_be_p(segs + 16, len);
    stl_be_p(segs + 20, lkey);
    stq_be_p(segs + 24, laddr);
    hca_post(&a, op, 0, segs, sizeof(segs));
}

void send_bytes(uint8_t op, uint64_t addr, uint32_t key, uint32_t len)
{
    uint8_t seg[16];

    stl_be_p(seg, len);
    stl_be_p(seg + 4, key);
    stq_be_p(seg + 8, addr);
    hca_post(&a, op, 0x1234, seg, sizeof(seg));
}

void check_fetch_add(void)
{
    uint8_t segs[48] = { 0 };

    stq_le_p(hca_mem(&b, DATA), 40);
    stq_be_p(segs, b.base + DATA);
    stl_be_p(segs + 8, b.key);
    stq_be_p(segs + 16, 2);
    stl_be_p(segs + 32, 8);
    stl_be_p(segs + 36, a.key);
    stq_be_p(segs + 40, a.base + DATA);
    hca_post(&a, OP_FA, 0, segs, sizeof(segs));
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(ldq_le_p(hca_mem(&b, DATA)) == 42);
    CHECK(ldq_le_p(hca_mem(&a, DATA)) == 40);
}
