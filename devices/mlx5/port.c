/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The port: always up, with a LID that no subnet manager gave it. Registers
 * that describe the link are read-only.
 */
#include "mlx5.h"
#include "qemu/cutils.h"

enum { PORT_CM_SUP = 1 << 16, LINK_UP = 5, PORT_ACTIVE = 4, PKEY_DEFAULT = 0xffff };

uint8_t mlx5_query_adapter(Mlx5Dev *d, const void *in, unsigned inlen,
                           void *out, unsigned outlen)
{
    static const char psid[16] = "PFQEMU0000000001";

    memcpy(MLX5_PTR(query_adapter_out, out, query_adapter_struct.vsd_contd_psid),
           psid, sizeof(psid));
    MLX5_SET(query_adapter_out, out, query_adapter_struct.ieee_vendor_id, 0x2c9);
    return MLX5_ST_OK;
}

uint8_t mlx5_query_vport_ctx(Mlx5Dev *d, const void *in, unsigned inlen,
                             void *out, unsigned outlen)
{
    void *c = MLX5_PTR(query_hca_vport_context_out, out, hca_vport_context);

#define CTX(f, v) MLX5_SET(hca_vport_context, c, f, v)
    CTX(has_smi, 1);
    CTX(port_physical_state, LINK_UP);
    CTX(port_state, PORT_ACTIVE);
    CTX(vport_state, PORT_ACTIVE);
    CTX(system_image_guid, d->guid);
    CTX(node_guid, d->guid);
    CTX(port_guid, d->guid + 1);
    CTX(cap_mask1, PORT_CM_SUP);
    CTX(cap_mask1_field_select, PORT_CM_SUP);
    CTX(lid, d->lid);
    CTX(subnet_timeout, 18);
    CTX(sm_lid, 1);
#undef CTX
    return MLX5_ST_OK;
}

uint8_t mlx5_query_vport_gid(Mlx5Dev *d, const void *in, unsigned inlen,
                             void *out, unsigned outlen)
{
    unsigned index = MLX5_GET(query_hca_vport_gid_in, in, gid_index);
    uint8_t *gid = out + MLX5_BYTES(query_hca_vport_gid_out);

    if (index != 0xffff) {
        MLX5_SET(query_hca_vport_gid_out, out, gids_num, 1);
    } else {
        MLX5_SET(query_hca_vport_gid_out, out, gids_num, 8);
        index = 0;
    }
    if (!index) {
        stq_be_p(gid, 0xfe80000000000000ull);
        stq_be_p(gid + 8, d->guid + 1);
    }
    return MLX5_ST_OK;
}

uint8_t mlx5_query_vport_pkey(Mlx5Dev *d, const void *in, unsigned inlen,
                              void *out, unsigned outlen)
{
    unsigned index = MLX5_GET(query_hca_vport_pkey_in, in, pkey_index);
    uint8_t *pkey = out + MLX5_BYTES(query_hca_vport_pkey_out);

    if (index == 0 || index == 0xffff) {
        stl_be_p(pkey, PKEY_DEFAULT);
    }
    return MLX5_ST_OK;
}

uint8_t mlx5_access_reg(Mlx5Dev *d, const void *in, unsigned inlen,
                        void *out, unsigned outlen)
{
    enum { REG_PMTU = 0x5003, REG_PTYS = 0x5004, REG_PVLC = 0x500f,
           REG_NODE_DESC = 0x6001, REG_HOST_ENDIANNESS = 0x7004, REG_DTOR = 0xc00e };
    unsigned reg = MLX5_GET(access_register_in, in, register_id);
    unsigned hdr = MLX5_BYTES(access_register_out);
    uint8_t *r = out + hdr;

    if (outlen > hdr && inlen > MLX5_BYTES(access_register_in)) {
        memcpy(r, in + MLX5_BYTES(access_register_in),
               MIN(outlen - hdr, inlen - MLX5_BYTES(access_register_in)));
    }
    switch (reg) {
    case REG_PMTU:
        MLX5_SET(pmtu_reg, r, max_mtu, 4096);
        MLX5_SET(pmtu_reg, r, admin_mtu, 4096);
        MLX5_SET(pmtu_reg, r, oper_mtu, 4096);
        return MLX5_ST_OK;
    case REG_PTYS:
        MLX5_SET(ptys_reg, r, ib_link_width_capability, 4);
        MLX5_SET(ptys_reg, r, ib_link_width_oper, 4);   /* 4x */
        MLX5_SET(ptys_reg, r, ib_proto_capability, 0x20);
        MLX5_SET(ptys_reg, r, ib_proto_oper, 0x20);     /* EDR */
        return MLX5_ST_OK;
    case REG_PVLC:
        MLX5_SET(pvlc_reg, r, vl_hw_cap, 4);
        MLX5_SET(pvlc_reg, r, vl_admin, 4);
        MLX5_SET(pvlc_reg, r, vl_operational, 4);
        return MLX5_ST_OK;
    case REG_NODE_DESC:
        pstrcpy((char *)r, 64, "mlx5 model");
        return MLX5_ST_OK;
    case REG_HOST_ENDIANNESS:
    case REG_DTOR:                      /* timeouts: the driver's own */
        return MLX5_ST_OK;
    }
    mlx5_warn(d, "no register %#x", reg);
    return MLX5_ST_BAD_PARAM;
}

/* MADs to the device itself. The model has no agents: it is not managed. */
uint8_t mlx5_mad_ifc(Mlx5Dev *d, const void *in, unsigned inlen,
                     void *out, unsigned outlen)
{
    const uint8_t *mad = MLX5_PTR(mad_ifc_in, in, mad);
    uint8_t *resp = MLX5_PTR(mad_ifc_out, out, response_mad_packet);
    unsigned mclass = mad[1], attr = lduw_be_p(mad + 16);

    memcpy(resp, mad, 256);
    resp[3] |= 0x80;                            /* method: response */
    mlx5_trace(d, "mad class %#x method %#x attr %#x", mclass, mad[3], attr);
    stw_be_p(resp + 4, 0x000c);                 /* status: no such attribute */
    return MLX5_ST_OK;
}
