/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fabric that lies, without a guest: a device with memory behind its BAR, of
 * which the first page is the first page of B's DATA to those who use B's key.
 * The second one is RAM.
 */
#include "check.h"
#include "peer.h"

#define TYPE_VRAM "test-vram"

/* The BAR ends in a page. */
enum { PAGE = 4096, BAR = 2, BAR_BYTES = 4 * PAGE - 64, OFFSET = 0x140 };

typedef struct Vram {
    PCIDevice pci;
    MemoryRegion mr;
} Vram;

static Vram *vram;

static void vram_realize(PCIDevice *pci, Error **errp)
{
    Vram *v = (Vram *)pci;

    memory_region_init_ram(&v->mr, NULL, "vram", BAR_BYTES, errp);
    pci_register_bar(pci, BAR, PCI_BASE_ADDRESS_SPACE_MEMORY, &v->mr);
}

static void vram_exit(PCIDevice *pci)
{
    g_free(((Vram *)pci)->mr.opaque);
}

static void vram_class_init(ObjectClass *klass, void *data)
{
    PCI_DEVICE_CLASS(klass)->realize = vram_realize;
    PCI_DEVICE_CLASS(klass)->exit = vram_exit;
}

static const TypeInfo vram_type = {
    .name = TYPE_VRAM,
    .instance_size = sizeof(Vram),
    .class_init = vram_class_init,
};

static void vram_register(void)
{
    type_register_static(&vram_type);
}
type_init(vram_register)

static uint8_t *vram_mem(void)
{
    return vram->mr.opaque;
}

static void fill(uint8_t *p, uint8_t seed)
{
    for (int i = 0; i < PAGE; i++) {
        p[i] = seed + i * 7;
    }
}

static bool is_filled(const uint8_t *p, uint8_t seed)
{
    uint8_t want[PAGE];

    fill(want, seed);
    return !memcmp(p, want, PAGE);
}

static bool is_all(const uint8_t *p, uint8_t byte, size_t len)
{
    return p[0] == byte && !memcmp(p, p + 1, len - 1);
}

static void peer_open(const char *prop)
{
    Mlx5Mkey *mk;

    open_both(prop, MLX5_ST_RC);
    vram = (Vram *)standin_new(TYPE_VRAM, NULL);
    mk = g_hash_table_lookup(MLX5(b.pci)->mkeys, GUINT_TO_POINTER(b.key >> 8));
    stq_be_p(mk->xlt, standin_bar(&vram->pci, BAR) | 3);
    fill(vram_mem(), 1);
    fill(hca_mem(&b, DATA + PAGE), 2);
}

static void peer_close(void)
{
    standin_delete(&vram->pci);
}

/* Both pages, into A's DATA from its third page on */
static bool read_both(void)
{
    memset(hca_mem(&a, DATA + 2 * PAGE), 0x55, 2 * PAGE);
    rdma(OP_READ, a.base + DATA + 2 * PAGE, a.key, b.base + DATA, b.key,
         2 * PAGE);
    return hca_poll(&a, NULL) == MLX5_CQE_REQ;
}

/* Both pages, from A's DATA */
static bool write_both(uint8_t seed)
{
    fill(hca_mem(&a, DATA), seed);
    fill(hca_mem(&a, DATA + PAGE), seed + 1);
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA, b.key, 2 * PAGE);
    return hca_poll(&a, NULL) == MLX5_CQE_REQ;
}

void t_peer_reads(void)
{
    const uint8_t *got;
    Mlx5Dev *d;

    peer_open(NULL);
    got = hca_mem(&a, DATA + 2 * PAGE);
    d = MLX5(b.pci);
    /* Nobody lies, or only about writes, or only the other HCA does */
    d->inject.peer_write = PEER_DROP;
    MLX5(a.pci)->inject.peer_read = PEER_DROP;
    CHECK(read_both());
    CHECK(is_filled(got, 1) && is_filled(got + PAGE, 2));
    CHECK(!d->stat.peer_dropped && !MLX5(a.pci)->stat.peer_dropped);
    d->inject.peer_read = PEER_DROP;
    CHECK(read_both());
    CHECK(is_all(got, 0xff, PAGE) && is_filled(got + PAGE, 2));
    CHECK(d->stat.peer_dropped == 1);
    d->inject.peer_read = PEER_CORRUPT;
    CHECK(read_both());
    CHECK(got[0] == (1 ^ 0x10) && got[1] == 8);
    CHECK(got[64] == ((uint8_t)(1 + 64 * 7) ^ 0x10));
    CHECK(is_filled(got + PAGE, 2));
    CHECK(d->stat.peer_corrupted == 1);
    CHECK(is_filled(vram_mem(), 1));
    d->inject.peer_read = 0;
    CHECK(read_both());
    CHECK(is_filled(got, 1) && is_filled(got + PAGE, 2));
    CHECK(d->stat.peer_dropped == 1 && d->stat.peer_corrupted == 1);
    peer_close();
}

void t_peer_writes(void)
{
    const uint8_t *ram;
    Mlx5Dev *d;

    peer_open(NULL);
    ram = hca_mem(&b, DATA + PAGE);
    d = MLX5(b.pci);
    d->inject.peer_read = PEER_DROP;
    CHECK(write_both(10));
    CHECK(is_filled(vram_mem(), 10) && is_filled(ram, 11));
    d->inject.peer_read = 0;
    d->inject.peer_write = PEER_DROP;
    CHECK(write_both(20));
    CHECK(is_filled(vram_mem(), 10) && is_filled(ram, 21));
    CHECK(d->stat.peer_dropped == 1);
    d->inject.peer_write = PEER_CORRUPT;
    CHECK(write_both(30));
    CHECK(vram_mem()[0] == (30 ^ 0x10) && vram_mem()[1] == 37);
    CHECK(is_filled(ram, 31) && is_filled(hca_mem(&a, DATA), 30));
    CHECK(d->stat.peer_corrupted == 1);
    /* In another place of the same BAR, and not beyond it */
    d->inject.peer_write = 0;
    d->inject.peer_offset = OFFSET;
    fill(vram_mem(), 1);
    memset(vram_mem() + PAGE, 0, BAR_BYTES - PAGE);
    CHECK(write_both(40));
    CHECK(vram_mem()[OFFSET - 1] == (uint8_t)(1 + (OFFSET - 1) * 7));
    CHECK(is_filled(vram_mem() + OFFSET, 40) && is_filled(ram, 41));
    CHECK(d->stat.peer_displaced == 1);
    d->inject.peer_offset = BAR_BYTES - 1;
    CHECK(write_both(50));
    CHECK(vram_mem()[BAR_BYTES - 1] == 50 && is_filled(ram, 51));
    d->inject.peer_offset = BAR_BYTES;
    CHECK(write_both(60));
    CHECK(is_filled(vram_mem() + OFFSET, 40) && vram_mem()[BAR_BYTES - 1] == 50);
    CHECK(d->stat.peer_displaced == 3);
    peer_close();
}

/* Its own BAR is that of no other device. */
void t_peer_own(void)
{
    PCIDevice *pci[2];
    Mlx5Mkey *mk;

    peer_open(NULL);
    pci[0] = b.pci;
    pci[1] = a.pci;
    mk = g_hash_table_lookup(MLX5(b.pci)->mkeys, GUINT_TO_POINTER(b.key >> 8));
    MLX5(b.pci)->inject.peer_read = PEER_DROP;
    for (int i = 0; i < 2; i++) {
        stq_be_p(mk->xlt, standin_bar(pci[i], 0) | 3);
        rdma(OP_READ, a.base + DATA, a.key, b.base + DATA, b.key, 4);
        CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
        CHECK(is_all(hca_mem(&a, DATA), 0xff, 4) == i);
    }
    CHECK(MLX5(b.pci)->stat.peer_dropped == 1);
    peer_close();
}

/* A request waits until the test lets it go on. */
void t_peer_held(void)
{
    Mlx5Dev *d;

    peer_open(NULL);
    d = MLX5(b.pci);
    d->inject.peer_read = PEER_HOLD;
    d->inject.peer_write = PEER_HOLD;
    CHECK(!read_both());
    standin_pass(10 * SCALE_MS);
    CHECK(hca_poll(&a, NULL) == -1);
    CHECK(d->stat.peer_held > 1);
    d->inject.peer_read = 0;
    standin_pass(2 * SCALE_MS);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(is_filled(hca_mem(&a, DATA + 2 * PAGE), 1));
    CHECK(!write_both(10));
    CHECK(is_filled(vram_mem(), 1));
    d->inject.peer_write = 0;
    standin_pass(2 * SCALE_MS);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    CHECK(is_filled(vram_mem(), 10));
    /* RAM does not wait. */
    d->inject.peer_write = PEER_HOLD;
    rdma(OP_WRITE, a.base + DATA, a.key, b.base + DATA + PAGE, b.key, PAGE);
    CHECK(hca_poll(&a, NULL) == MLX5_CQE_REQ);
    peer_close();
}

/* What the IOMMU makes of an address counts, with ATS and without. */
void t_peer_ats(void)
{
    Mlx5Mkey *mk;

    standin_iommu = true;
    for (int i = 0; i < ARRAY_SIZE(standin_iova); i++) {
        standin_iova[i] = (uint64_t)i * PAGE;
    }
    for (int ats = 0; ats < 2; ats++) {
        peer_open("ats=1");
        mk = g_hash_table_lookup(MLX5(b.pci)->mkeys,
                                 GUINT_TO_POINTER(b.key >> 8));
        MLX5_SET(mkc, mk->ctx, ma_translation_mode, ats);
        stq_be_p(mk->xlt, (b.base + DATA) | 3);
        standin_iova[(b.base + DATA) / PAGE] = standin_bar(&vram->pci, BAR);
        MLX5(b.pci)->inject.peer_read = PEER_DROP;
        CHECK(read_both());
        CHECK(is_all(hca_mem(&a, DATA + 2 * PAGE), 0xff, PAGE));
        CHECK(is_filled(hca_mem(&a, DATA + 3 * PAGE), 2));
        MLX5(b.pci)->inject.peer_read = 0;
        CHECK(read_both());
        CHECK(is_filled(hca_mem(&a, DATA + 2 * PAGE), 1));
        standin_iova[(b.base + DATA) / PAGE] = b.base + DATA;
        peer_close();
        close_both();
    }
    standin_iommu = false;
    open_both(NULL, MLX5_ST_RC);
}
