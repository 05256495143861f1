/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GuC's mailbox: version, what the VF has, where its buffers are */
#include "bmg.h"

#define VF_SW_FLAG      0x190240
#define MED_VF_SW_FLAG  0x190310

/* 1.2 is the oldest that xe takes, and asks for least */
#define VERSION         0x00010200

/* Graphics 20.01, step B0. No media: its IP version is 0. */
#define GMDID           (20 << 22 | 1 << 14 | 4)

/* Table of attributes that xe asks for: number, dwords, value */
static const uint32_t hwconfig[] = {
    1, 1, 1,                    /* slices */
    70, 1, 4,                   /* subslices */
};

void bmg_guc_reset(Bmg *s)
{
    memset(s->guc, 0, sizeof(s->guc));
    s->guc[1].media = true;
}

/* Length in dwords, negative if there is no such key */
static int query(Bmg *s, Guc *g, uint32_t key, uint64_t *value)
{
    switch (key) {
    case GUC_KLV_VF_CFG_GGTT_START_KEY:
        *value = GGTT_START;
        return 2;
    case GUC_KLV_VF_CFG_GGTT_SIZE_KEY:
        *value = GGTT_SIZE;
        return 2;
    case GUC_KLV_VF_CFG_LMEM_SIZE_KEY:
        *value = s->vram_size;
        return 2;
    case GUC_KLV_VF_CFG_NUM_CONTEXTS_KEY:
        *value = NR_CONTEXTS;
        return 1;
    case GUC_KLV_VF_CFG_TILE_MASK_KEY:
        *value = 1;
        return 1;
    case GUC_KLV_VF_CFG_NUM_DOORBELLS_KEY:
        *value = 16;
        return 1;
    case GUC_KLV_GLOBAL_CFG_GMD_ID_KEY:
        *value = g->media ? 0 : GMDID;
        return 1;
    }
    return -1;
}

static bool self_cfg(Guc *g, uint32_t key, uint64_t value)
{
    switch (key) {
    case GUC_KLV_SELF_CFG_MEMIRQ_STATUS_ADDR_KEY:
        g->irq_status = value;
        return true;
    case GUC_KLV_SELF_CFG_MEMIRQ_SOURCE_ADDR_KEY:
        g->irq_source = value;
        return true;
    case GUC_KLV_SELF_CFG_H2G_CTB_ADDR_KEY:
        g->h2g = value;
        return true;
    case GUC_KLV_SELF_CFG_H2G_CTB_DESCRIPTOR_ADDR_KEY:
        g->h2g_desc = value;
        return true;
    case GUC_KLV_SELF_CFG_H2G_CTB_SIZE_KEY:
        g->h2g_size = value;
        return value <= CT_SIZE_MAX;
    case GUC_KLV_SELF_CFG_G2H_CTB_ADDR_KEY:
        g->g2h = value;
        return true;
    case GUC_KLV_SELF_CFG_G2H_CTB_DESCRIPTOR_ADDR_KEY:
        g->g2h_desc = value;
        return true;
    case GUC_KLV_SELF_CFG_G2H_CTB_SIZE_KEY:
        g->g2h_size = value;
        return value <= CT_SIZE_MAX;
    }
    return false;
}

static void mailbox(Bmg *s, Guc *g, uint32_t *m)
{
    uint32_t action = HXG_ACTION(m[0]);
    uint32_t r[4] = { HXG_GUC | HXG(RESPONSE_SUCCESS) };
    uint64_t value;
    int len;

    switch (action) {
    case GUC_ACTION_VF2GUC_VF_RESET:
        if (!g->media) {
            bmg_sched_reset(s);
        }
        g->ct_on = false;
        break;
    case GUC_ACTION_VF2GUC_MATCH_VERSION:
        r[1] = VERSION;
        break;
    case GUC_ACTION_VF2GUC_QUERY_SINGLE_KLV:
        len = query(s, g, m[1] & 0xffff, &value);
        if (len < 0) {
            goto bad;
        }
        r[0] |= len;
        r[1] = value;
        r[2] = len > 1 ? value >> 32 : 0;
        break;
    case GUC_ACTION_HOST2GUC_SELF_CFG:
        if (!self_cfg(g, m[1] >> 16, m[2] | (uint64_t)m[3] << 32)) {
            goto bad;
        }
        r[0] |= 1;              /* key taken */
        break;
    case GUC_ACTION_HOST2GUC_CONTROL_CTB:
        g->ct_on = m[1] & 1;
        break;
    case XE_GUC_ACTION_GET_HWCONFIG:
        value = m[1] | (uint64_t)m[2] << 32;
        if (value) {
            bmg_ggtt_rw(s, value, (void *)hwconfig, MIN(m[3], sizeof(hwconfig)),
                        true);
        } else {
            r[0] |= sizeof(hwconfig);
        }
        break;
    default:
bad:
        WARN(s, "mailbox %08x %08x %08x %08x: not known", m[0], m[1], m[2],
             m[3]);
        r[0] = HXG_GUC | HXG(RESPONSE_FAILURE) | 0x8;
        break;
    }
    TRACE(s, "mailbox%s %08x %08x %08x %08x: %08x %08x %08x",
          g->media ? " media" : "", m[0], m[1], m[2], m[3], r[0], r[1], r[2]);
    memcpy(m, r, sizeof(r));
}

/* One register for the mailbox and the command buffer */
static void run(Bmg *s, Guc *g)
{
    uint32_t *m = bmg_reg(s, g->media ? MED_VF_SW_FLAG : VF_SW_FLAG);

    g->notified = false;
    if (m[0] && !(m[0] & HXG_GUC)) {
        mailbox(s, g, m);
    }
    if (g->ct_on && bmg_ct_run(s, g)) {
        g->notified = true;
        bmg_sched_kick(s);
    }
}

/*
 * The device's own DMA can end up here, when the guest has its page tables or
 * its GGTT point to BAR0: what is to be done then is done afterwards.
 */
void bmg_guc_notify(Bmg *s, Guc *g)
{
    if (s->busy) {
        g->notified = true;
        bmg_sched_kick(s);
        return;
    }
    s->busy = true;
    run(s, g);
    s->busy = false;
}

void bmg_guc_run(Bmg *s)
{
    int i;

    for (i = 0; i < ARRAY_SIZE(s->guc); i++) {
        if (s->guc[i].notified) {
            run(s, &s->guc[i]);
        }
    }
}
