/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command queue. An entry carries 16 bytes of input and of output; more is
 * in chains of mailboxes of 512 bytes. Commands are executed in the doorbell.
 */
#include "mlx5.h"

enum {
    ENT_BYTES = 64, ENT_INLEN = 4, ENT_IN_PTR = 8, ENT_IN = 16, ENT_OUT = 32,
    ENT_OUT_PTR = 48, ENT_OUTLEN = 56, ENT_STATUS = 63, ENT_INLINE = 16,
    BOX_DATA = 512, BOX_NEXT = 0x230, BOX_BYTES = 576,
    CMD_MAX = 8 << 20,
    STATUS_OWNER_HW = 1, DELIVERY_BAD_LENGTH = 7,
};

/* Commands that only give out a number, or take one back, or do nothing. */
static uint8_t cmd_nop(Mlx5Dev *d, const void *in, unsigned inlen,
                       void *out, unsigned outlen)
{
    return MLX5_ST_OK;
}

/* All of these have the number in the low 24 bits of the third word. */
static uint8_t cmd_number(Mlx5Dev *d, const void *in, unsigned inlen,
                          void *out, unsigned outlen)
{
    uint16_t op = MLX5_GET(mbox_in, in, opcode);

    stl_be_p(out + 8, ++d->next[1 + op % 63]);
    return MLX5_ST_OK;
}

static uint8_t cmd_alloc_uar(Mlx5Dev *d, const void *in, unsigned inlen,
                             void *out, unsigned outlen)
{
    uint32_t n = MLX5_UAR_FIRST + d->next[1 + MLX5_CMD_OP_ALLOC_UAR % 63]++ %
                 (MLX5_UARS - MLX5_UAR_FIRST);

    MLX5_SET(alloc_uar_out, out, uar, n);
    return MLX5_ST_OK;
}

static uint8_t cmd_alloc_q_counter(Mlx5Dev *d, const void *in, unsigned inlen,
                                   void *out, unsigned outlen)
{
    MLX5_SET(alloc_q_counter_out, out, counter_set_id, 1);
    return MLX5_ST_OK;
}

static uint8_t cmd_teardown(Mlx5Dev *d, const void *in, unsigned inlen,
                            void *out, unsigned outlen)
{
    mlx5_trace(d, "WQEs %" PRIu64 ", bytes %" PRIu64 ", UMRs %" PRIu64 ", faults %"
               PRIu64 ", resumes %" PRIu64 ", ATS requests %" PRIu64
               ", invalidations %" PRIu64, d->stat.wqes, d->stat.bytes,
               d->stat.umrs, d->stat.faults, d->stat.resumes,
               d->stat.ats_requests, d->stat.ats_unmaps);
    return MLX5_ST_OK;
}

static uint8_t cmd_query_issi(Mlx5Dev *d, const void *in, unsigned inlen,
                              void *out, unsigned outlen)
{
    MLX5_SET(query_issi_out, out, supported_issi_dw0, 1 << 1);
    return MLX5_ST_OK;
}

/* The firmware of the device wants pages for itself. The model has no use for
 * them, but takes and returns them as one does that has. */
static uint8_t cmd_query_pages(Mlx5Dev *d, const void *in, unsigned inlen,
                               void *out, unsigned outlen)
{
    enum { BOOT = 1, INIT = 2 };
    unsigned mod = MLX5_GET(query_pages_in, in, op_mod);

    MLX5_SET(query_pages_out, out, num_pages, mod == BOOT ? d->boot_pages :
                                              mod == INIT ? d->init_pages : 0);
    return MLX5_ST_OK;
}

static uint8_t cmd_manage_pages(Mlx5Dev *d, const void *in, unsigned inlen,
                                void *out, unsigned outlen)
{
    enum { GIVE = 1, TAKE = 2, PAGES_MAX = 1 << 20 };
    unsigned n = MLX5_GET(manage_pages_in, in, input_num_entries);
    unsigned in_hdr = MLX5_BYTES(manage_pages_in);
    unsigned out_hdr = MLX5_BYTES(manage_pages_out);

    switch (MLX5_GET(manage_pages_in, in, op_mod)) {
    case GIVE:
        if (n > (inlen - MIN(inlen, in_hdr)) / 8 ||
            n > PAGES_MAX - d->pages->len) {
            return MLX5_ST_BAD_PARAM;
        }
        g_array_append_vals(d->pages, in + in_hdr, n);
        return MLX5_ST_OK;
    case TAKE:
        n = MIN(n, d->pages->len);
        n = MIN(n, (outlen - MIN(outlen, out_hdr)) / 8);
        memcpy(out + out_hdr,
               &g_array_index(d->pages, uint64_t, d->pages->len - n), n * 8);
        g_array_set_size(d->pages, d->pages->len - n);
        MLX5_SET(manage_pages_out, out, output_num_entries, n);
        return MLX5_ST_OK;
    }
    return MLX5_ST_OK;
}

#define CMD(op, fn) [MLX5_CMD_OP_##op] = { #op, fn }
static const struct {
    const char *name;
    Mlx5Cmd *fn;
} commands[MLX5_CMD_OP_MAX] = {
    CMD(QUERY_HCA_CAP, mlx5_query_hca_cap),
    CMD(SET_HCA_CAP, mlx5_set_hca_cap),
    CMD(QUERY_ADAPTER, mlx5_query_adapter),
    CMD(INIT_HCA, cmd_nop),
    CMD(TEARDOWN_HCA, cmd_teardown),
    CMD(ENABLE_HCA, cmd_nop),
    CMD(DISABLE_HCA, cmd_nop),
    CMD(QUERY_PAGES, cmd_query_pages),
    CMD(MANAGE_PAGES, cmd_manage_pages),
    CMD(QUERY_ISSI, cmd_query_issi),
    CMD(SET_ISSI, cmd_nop),
    CMD(SET_DRIVER_VERSION, cmd_nop),
    CMD(CREATE_MKEY, mlx5_create_mkey),
    CMD(QUERY_MKEY, mlx5_query_mkey),
    CMD(DESTROY_MKEY, mlx5_destroy_mkey),
    CMD(QUERY_SPECIAL_CONTEXTS, mlx5_query_special_contexts),
    CMD(PAGE_FAULT_RESUME, mlx5_page_fault_resume),
    CMD(CREATE_EQ, mlx5_create_eq),
    CMD(DESTROY_EQ, mlx5_destroy_eq),
    CMD(QUERY_EQ, mlx5_query_eq),
    CMD(CREATE_CQ, mlx5_create_cq),
    CMD(DESTROY_CQ, mlx5_destroy_cq),
    CMD(QUERY_CQ, mlx5_query_cq),
    CMD(MODIFY_CQ, mlx5_modify_cq),
    CMD(CREATE_QP, mlx5_create_qp),
    CMD(DESTROY_QP, mlx5_destroy_qp),
    CMD(RST2INIT_QP, mlx5_modify_qp),
    CMD(INIT2INIT_QP, mlx5_modify_qp),
    CMD(INIT2RTR_QP, mlx5_modify_qp),
    CMD(RTR2RTS_QP, mlx5_modify_qp),
    CMD(RTS2RTS_QP, mlx5_modify_qp),
    CMD(SQERR2RTS_QP, mlx5_modify_qp),
    CMD(SQD_RTS_QP, mlx5_modify_qp),
    CMD(2ERR_QP, mlx5_modify_qp),
    CMD(2RST_QP, mlx5_modify_qp),
    CMD(QUERY_QP, mlx5_query_qp),
    CMD(QUERY_HCA_VPORT_CONTEXT, mlx5_query_vport_ctx),
    CMD(MODIFY_HCA_VPORT_CONTEXT, cmd_nop),
    CMD(QUERY_HCA_VPORT_GID, mlx5_query_vport_gid),
    CMD(QUERY_HCA_VPORT_PKEY, mlx5_query_vport_pkey),
    CMD(ACCESS_REG, mlx5_access_reg),
    CMD(MAD_IFC, mlx5_mad_ifc),
    CMD(ALLOC_Q_COUNTER, cmd_alloc_q_counter),
    CMD(DEALLOC_Q_COUNTER, cmd_nop),
    CMD(QUERY_Q_COUNTER, cmd_nop),
    CMD(QUERY_VPORT_COUNTER, cmd_nop),
    CMD(ALLOC_PD, cmd_number),
    CMD(DEALLOC_PD, cmd_nop),
    CMD(ALLOC_UAR, cmd_alloc_uar),
    CMD(DEALLOC_UAR, cmd_nop),
    CMD(ALLOC_XRCD, cmd_number),
    CMD(DEALLOC_XRCD, cmd_nop),
    CMD(ALLOC_TRANSPORT_DOMAIN, cmd_number),
    CMD(DEALLOC_TRANSPORT_DOMAIN, cmd_nop),
    CMD(CREATE_XRC_SRQ, mlx5_create_xrc_srq),
    CMD(DESTROY_XRC_SRQ, mlx5_destroy_srq),
    CMD(QUERY_XRC_SRQ, mlx5_query_xrc_srq),
    CMD(ARM_XRC_SRQ, mlx5_arm_xrc_srq),
    CMD(CREATE_RMP, mlx5_create_rmp),
    CMD(QUERY_RMP, mlx5_query_rmp),
    CMD(MODIFY_RMP, mlx5_modify_rmp),
    CMD(DESTROY_RMP, mlx5_destroy_srq),
    CMD(ATTACH_TO_MCG, mlx5_attach_to_mcg),
    CMD(DETACH_FROM_MCG, mlx5_detach_from_mcg),
};

static void cmd_exec(Mlx5Dev *d, const void *in, unsigned inlen,
                     void *out, unsigned outlen)
{
    uint16_t op = MLX5_GET(mbox_in, in, opcode);
    uint16_t mod = MLX5_GET(mbox_in, in, op_mod);
    uint8_t status = MLX5_ST_BAD_OP;
    const char *name = NULL;

    d->stat.commands++;
    if (op < ARRAY_SIZE(commands) && commands[op].fn) {
        name = commands[op].name;
        if (op == (d->inject.fail_cmd & 0xffff)) {
            status = d->inject.fail_cmd >> 16;
            d->stat.refused++;
        } else {
            status = commands[op].fn(d, in, inlen, out, outlen);
        }
    }
    if (status) {
        mlx5_warn(d, "command %#x %s op_mod %#x: status %u", op,
                 name ?: "(unknown)", mod, status);
    } else {
        mlx5_trace(d, "command %s op_mod %#x", name, mod);
    }
    MLX5_SET(mbox_out, out, status, status);
    MLX5_SET(mbox_out, out, syndrome, status ? 0x10000 | op : 0);
}

/* Copies between a buffer and a chain of mailboxes. */
static int boxes_rw(Mlx5Dev *d, uint64_t box, void *p, unsigned len, bool write)
{
    while (len) {
        unsigned n = MIN(len, BOX_DATA);
        uint64_t next;

        if (!box || mlx5_dma(d, box, p, n, write) ||
            mlx5_dma(d, box + BOX_NEXT, &next, 8, false)) {
            return -1;
        }
        p += n;
        len -= n;
        box = be64_to_cpu(next);
    }
    return 0;
}

/* False: the command will not end, or not yet. */
static bool cmd_slot(Mlx5Dev *d, unsigned slot)
{
    uint64_t addr = d->cmdq + slot * ENT_BYTES;
    uint8_t ent[ENT_BYTES], delivery = 0;
    unsigned inlen, outlen, head;
    uint8_t *in, *out;

    if (mlx5_dma(d, addr, ent, sizeof(ent), false)) {
        return false;
    }
    if (d->inject.syndrome || (d->inject.drop_cmd &&
                               lduw_be_p(ent + ENT_IN) == d->inject.drop_cmd)) {
        return false;
    }
    if (d->inject.hold_cmd && lduw_be_p(ent + ENT_IN) == d->inject.hold_cmd) {
        d->held |= 1u << slot;
        return false;
    }
    inlen = ldl_be_p(ent + ENT_INLEN);
    outlen = ldl_be_p(ent + ENT_OUTLEN);
    if (inlen > CMD_MAX || outlen > CMD_MAX) {
        ent[ENT_STATUS] = DELIVERY_BAD_LENGTH << 1;
        mlx5_dma(d, addr + ENT_STATUS, ent + ENT_STATUS, 1, true);
        return true;
    }
    /* room for the fixed part of any command, so that handlers may read it */
    in = g_malloc0(MAX(inlen, 8192));
    out = g_malloc0(MAX(outlen, 8192));
    head = MIN(inlen, ENT_INLINE);
    memcpy(in, ent + ENT_IN, head);
    if (boxes_rw(d, ldq_be_p(ent + ENT_IN_PTR), in + head, inlen - head, false)) {
        delivery = DELIVERY_BAD_LENGTH;
    } else {
        cmd_exec(d, in, inlen, out, outlen);
        head = MIN(outlen, ENT_INLINE);
        mlx5_dma(d, addr + ENT_OUT, out, head, true);
        if (boxes_rw(d, ldq_be_p(ent + ENT_OUT_PTR), out + head, outlen - head,
                     true)) {
            delivery = DELIVERY_BAD_LENGTH;
        }
    }
    g_free(in);
    g_free(out);
    ent[ENT_STATUS] = delivery << 1;
    mlx5_dma(d, addr + ENT_STATUS, ent + ENT_STATUS, 1, true);
    return true;
}

/* The driver is told by an event, too, but not that its queue is created. */
void mlx5_cmd_doorbell(Mlx5Dev *d, uint32_t slots)
{
    bool event = mlx5_eq_wants(d, MLX5_EV_CMD);
    uint8_t data[28] = { 0 };

    if (!d->inject.hold_cmd) {
        slots |= d->held;
        d->held = 0;
    }
    for (unsigned i = 0; i < 32; i++) {
        if (slots >> i & 1 && !cmd_slot(d, i)) {
            slots &= ~(1u << i);
        }
    }
    slots |= d->inject.cmd_event;
    if (event && slots) {
        stl_be_p(data, slots);
        mlx5_eqe(d, MLX5_EV_CMD, 0, data);
    }
}
