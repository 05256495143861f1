/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Event queues: 64-byte entries, written to the driver, with an interrupt. */
#include "mlx5.h"
#include "hw/pci/msix.h"

enum { EQE_BYTES = 64, EQE_TYPE = 1, EQE_SUB = 3, EQE_DATA = 32,
       EQE_DATA_BYTES = 28, EQE_OWNER = 63 };

static void eq_fire(Mlx5Dev *d, Mlx5Eq *eq)
{
    eq->armed = false;
    msix_notify(&d->pci, MLX5_GET(eqc, eq->ctx, intr));
}

static void eq_put(Mlx5Dev *d, Mlx5Eq *eq, uint8_t type, uint8_t sub,
                   const void *data)
{
    uint8_t eqe[EQE_BYTES] = { 0 };
    uint64_t off = (uint64_t)(eq->pi & (eq->nent - 1)) * EQE_BYTES;

    eqe[EQE_TYPE] = type;
    eqe[EQE_SUB] = sub;
    memcpy(eqe + EQE_DATA, data, EQE_DATA_BYTES);
    eqe[EQE_OWNER] = !!(eq->pi & eq->nent);
    /* the owner bit last: it hands the entry over */
    mlx5_buf_rw(d, &eq->buf, off, eqe, EQE_BYTES - 1, true);
    mlx5_buf_rw(d, &eq->buf, off + EQE_OWNER, eqe + EQE_OWNER, 1, true);
    eq->pi++;
    mlx5_trace(d, "eqe %u type %#x sub %u", eq->eqn, type, sub);
    if (eq->armed) {
        eq_fire(d, eq);
    }
}

void mlx5_eqe_to(Mlx5Dev *d, uint32_t eqn, uint8_t type, uint8_t sub,
                 const void *data)
{
    if (eqn < MLX5_EQS && d->eq[eqn].used) {
        eq_put(d, &d->eq[eqn], type, sub, data);
    }
}

static Mlx5Eq *eq_of(Mlx5Dev *d, uint8_t type)
{
    for (int i = 0; i < MLX5_EQS; i++) {
        if (d->eq[i].used && d->eq[i].mask[type / 64] >> type % 64 & 1) {
            return &d->eq[i];
        }
    }
    return NULL;
}

bool mlx5_eq_wants(Mlx5Dev *d, uint8_t type)
{
    return eq_of(d, type);
}

/* To the queue that asked for events of this type. */
void mlx5_eqe(Mlx5Dev *d, uint8_t type, uint8_t sub, const void *data)
{
    Mlx5Eq *eq = eq_of(d, type);

    if (eq) {
        eq_put(d, eq, type, sub, data);
    }
}

void mlx5_eqe_number(Mlx5Dev *d, uint8_t type, uint32_t number)
{
    uint8_t data[EQE_DATA_BYTES] = { 0 };

    stl_be_p(data + 24, number);
    mlx5_eqe(d, type, 0, data);
}

void mlx5_eq_doorbell(Mlx5Dev *d, uint32_t val, bool arm)
{
    uint32_t eqn = val >> 24;
    Mlx5Eq *eq = &d->eq[eqn % MLX5_EQS];

    if (eqn >= MLX5_EQS || !eq->used) {
        return;
    }
    eq->ci = val & 0xffffff;
    eq->armed = eq->armed || arm;
    if (eq->armed && eq->ci != (eq->pi & 0xffffff)) {
        eq_fire(d, eq);
    }
}

uint8_t mlx5_create_eq(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    const void *ctx = MLX5_PTR(create_eq_in, in, eq_context_entry);
    unsigned pas = MLX5_BYTES(create_eq_in);
    Mlx5Eq *eq = NULL;

    if (MLX5_GET(eqc, ctx, intr) >= MLX5_VECTORS) {
        return MLX5_ST_BAD_PARAM;
    }
    for (int i = 1; i < MLX5_EQS && !eq; i++) {
        if (!d->eq[i].used) {
            eq = &d->eq[i];
            eq->eqn = i;
        }
    }
    if (!eq) {
        return MLX5_ST_NO_RES;
    }
    memcpy(eq->ctx, ctx, sizeof(eq->ctx));
    eq->nent = 1u << MLX5_GET(eqc, ctx, log_eq_size);
    if (inlen < pas || mlx5_buf_init(&eq->buf, in + pas, inlen - pas,
                                     12 + MLX5_GET(eqc, ctx, log_page_size),
                                     MLX5_GET(eqc, ctx, page_offset),
                                     (uint64_t)eq->nent * EQE_BYTES)) {
        return MLX5_ST_BAD_PARAM;
    }
    for (int i = 0; i < 4; i++) {
        eq->mask[i] = ldq_be_p(MLX5_PTR(create_eq_in, in, event_bitmask) + 8 * i);
    }
    eq->pi = eq->ci = 0;
    eq->armed = MLX5_GET(eqc, ctx, st) == 9;
    eq->used = true;
    MLX5_SET(create_eq_out, out, eq_number, eq->eqn);
    return MLX5_ST_OK;
}

static void eq_free(Mlx5Eq *eq)
{
    mlx5_buf_free(&eq->buf);
    eq->used = false;
}

uint8_t mlx5_destroy_eq(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    uint32_t eqn = MLX5_GET(destroy_eq_in, in, eq_number);

    if (eqn >= MLX5_EQS || !d->eq[eqn].used) {
        return MLX5_ST_BAD_RES;
    }
    eq_free(&d->eq[eqn]);
    return MLX5_ST_OK;
}

uint8_t mlx5_query_eq(Mlx5Dev *d, const void *in, unsigned inlen,
                      void *out, unsigned outlen)
{
    uint32_t eqn = MLX5_GET(query_eq_in, in, eq_number);

    if (eqn >= MLX5_EQS || !d->eq[eqn].used) {
        return MLX5_ST_BAD_RES;
    }
    memcpy(MLX5_PTR(query_eq_out, out, eq_context_entry), d->eq[eqn].ctx,
           MLX5_BYTES(eqc));
    return MLX5_ST_OK;
}

void mlx5_eq_reset(Mlx5Dev *d)
{
    for (int i = 0; i < MLX5_EQS; i++) {
        eq_free(&d->eq[i]);
    }
}
