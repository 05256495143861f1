/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The relay to the PF's driver: handshake, and fuses that a VF cannot read */
#include "bmg.h"

/* As the PF's driver has them for graphics 20, in order of the offset */
static const struct {
    uint32_t offset, value;
} runtime[] = {
    { 0x0d00, 1 << 3 | 3 << 1 },        /* RPM_CONFIG0: 19.2 MHz */
    { 0x9114, 1 << 16 },                /* XEHP_FUSE4: CCS0 */
    { 0x9118, 1 << 16 | 1 << 4 },       /* MIRROR_FUSE3: an L3 node, a bank */
    { 0x911c, 0 },                      /* MIRROR_FUSE1 */
    { 0x9134, 0xff },                   /* XELP_EU_ENABLE */
    { 0x913c, 0xf },                    /* XELP_GT_GEOMETRY_DSS_ENABLE */
    { 0x9140, 0 },                      /* GT_VEBOX_VDBOX_DISABLE */
    { 0x9144, 0xf },                    /* XEHP_GT_COMPUTE_DSS_ENABLE */
    { 0x9148, 0 },
    { 0x914c, 0 },
    { 0x9150, 0 },
    { 0x9154, 0 },
    { 0xc1dc, 0 },                      /* HUC_KERNEL_LOAD_INFO */
};

/* Length of the reply in dwords; 0: none */
uint32_t bmg_pf_request(Bmg *s, const uint32_t *msg, uint32_t len,
                        uint32_t *reply)
{
    uint32_t limit, start, n;

    if (!len || HXG_TYPE(msg[0]) != GUC_HXG_TYPE_REQUEST) {
        return 0;
    }
    reply[0] = HXG(RESPONSE_SUCCESS);
    switch (HXG_ACTION(msg[0])) {
    case GUC_RELAY_ACTION_VF2PF_HANDSHAKE:
        reply[1] = 1 << 16;             /* 1.0 */
        return 2;
    case GUC_RELAY_ACTION_VF2PF_QUERY_RUNTIME:
        limit = msg[0] >> 16 & 0xfff;
        start = MIN(msg[1], ARRAY_SIZE(runtime));
        n = ARRAY_SIZE(runtime) - start;
        if (limit && n > limit) {
            n = limit;
        }
        reply[0] |= n;
        reply[1] = ARRAY_SIZE(runtime) - start - n;
        memcpy(reply + 2, runtime + start, n * 8);
        return 2 + 2 * n;
    }
    WARN(s, "relay action %08x: not known", msg[0]);
    reply[0] = HXG(RESPONSE_FAILURE) | 56;
    return 1;
}
