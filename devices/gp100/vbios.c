/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VBIOS: no code, and the few tables that nouveau cannot do without. The
 * board counts as initialised by the firmware (0x2240c), so that no script is
 * run and nothing is loaded to the PMU; its table is still looked for.
 */
#include "gp100.h"

enum { PCIR = 0x40, BIT = 0x80, INFO = 0x100, INIT = 0x120, PERF = 0x140,
       PMU = 0x160, MEMORY = 0x170, RAMMAP = 0x180, PMU_TABLE = 0x1a0,
       RAM_TYPES = 0x1b0, PMU_APP = 0x200 };

static void put(Gp100 *s, int at, const char *bytes, int len)
{
    memcpy(s->prom + at, bytes, len);
}

#define PUT(s, at, bytes) put(s, at, bytes, sizeof(bytes) - 1)

static void entry(Gp100 *s, int nr, char id, int version, int len, int at)
{
    uint8_t *e = s->prom + BIT + 12 + nr * 6;

    e[0] = id;
    e[1] = version;
    stw_le_p(e + 2, len);
    stw_le_p(e + 4, at);
}

void gp100_vbios_make(Gp100 *s)
{
    PCIDeviceClass *pc = PCI_DEVICE_GET_CLASS(s);
    uint8_t *p = s->prom, sum = 0;
    int i;

    PUT(s, 0, "\x55\xaa");
    p[2] = PROM_SIZE / 512;
    stw_le_p(p + 0x18, PCIR);

    PUT(s, PCIR, "PCIR");
    stw_le_p(p + PCIR + 4, pc->vendor_id);
    stw_le_p(p + PCIR + 6, pc->device_id);
    p[PCIR + 0x0a] = 0x18;
    p[PCIR + 0x0f] = 0x03;
    stw_le_p(p + PCIR + 0x10, PROM_SIZE / 512);
    p[PCIR + 0x15] = 0x80; /* the last image */

    PUT(s, BIT, "\xff\xb8" "BIT\0\0\1\x0c\x06\x05");
    entry(s, 0, 'i', 2, 16, INFO);
    entry(s, 1, 'I', 1, 0x1c, INIT);
    entry(s, 2, 'P', 2, 8, PERF);
    entry(s, 3, 'p', 2, 4, PMU);
    entry(s, 4, 'M', 2, 8, MEMORY);

    PUT(s, INFO, "\x00\x00\x00\x86\x00"); /* version 86.00.00.00.00 */

    stl_le_p(p + PERF + 4, RAMMAP);
    PUT(s, RAMMAP, "\x11\x15"); /* header only: no scripts */

    stl_le_p(p + PMU, PMU_TABLE);
    PUT(s, PMU_TABLE, "\x01\x04\x06\x01");
    PUT(s, PMU_TABLE + 4, "\x04\x00"); /* DEVINIT */
    stl_le_p(p + PMU_TABLE + 6, PMU_APP);

    stw_le_p(p + MEMORY + 3, RAM_TYPES);
    PUT(s, RAM_TYPES, "\x10\x07\x02\x01\x00\x00\x00");
    PUT(s, RAM_TYPES + 7, "\x06\x00"); /* strap 0: HBM2 */

    for (i = 0; i < PROM_SIZE - 1; i++) {
        sum += p[i];
    }
    p[PROM_SIZE - 1] = -sum;
}
