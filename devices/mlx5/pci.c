/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI function: BAR 0 with the init segment and the UAR pages, whose
 * doorbells start everything, MSI-X, and DMA. Devices find each other in a
 * list, which is the wire.
 */
#include "mlx5.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/qdev-properties-system.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"

static QLIST_HEAD(, Mlx5Dev) wire;
static bool inside;
static void do_reset(Mlx5Dev *d);

/*
 * A guest may have a device write to the registers of a device: then what
 * it rings for would change what the first one is just working with. All such
 * doorbells are dropped, and a reset waits for the end.
 */
bool mlx5_begin(Mlx5Dev *d)
{
    if (inside) {
        mlx5_warn(d, "doorbell rung by a device: dropped");
        return false;
    }
    inside = true;
    return true;
}

void mlx5_end(void)
{
    Mlx5Dev *d;

    inside = false;
    QLIST_FOREACH(d, &wire, wire) {
        if (d->reset_wanted) {
            d->reset_wanted = false;
            do_reset(d);
        }
    }
}

/* An HCA with a wire of its own shares it with nobody in this QEMU. */
static bool same_wire(Mlx5Dev *a, Mlx5Dev *b)
{
    return a == b || (!mlx5_wired(a) && !mlx5_wired(b));
}

Mlx5Dev *mlx5_by_lid(Mlx5Dev *from, uint16_t lid)
{
    Mlx5Dev *d;

    QLIST_FOREACH(d, &wire, wire) {
        if (d->lid == lid && same_wire(d, from)) {
            return d;
        }
    }
    return NULL;
}

Mlx5Dev *mlx5_by_gid(Mlx5Dev *from, const uint8_t *gid)
{
    Mlx5Dev *d;

    QLIST_FOREACH(d, &wire, wire) {
        if (d->guid + 1 == ldq_be_p(gid + 8) && same_wire(d, from)) {
            return d;
        }
    }
    return NULL;
}

Mlx5Dev *mlx5_next(Mlx5Dev *d)
{
    return d ? QLIST_NEXT(d, wire) : QLIST_FIRST(&wire);
}

/* All of the device's memory accesses end here. */
int mlx5_dma(Mlx5Dev *d, uint64_t addr, void *buf, size_t len, bool write)
{
    if (!model_dma(&d->pci, addr, buf, len, write)) {
        mlx5_warn(d, "DMA %s of %zu at %#" PRIx64 " failed",
                  write ? "write" : "read", len, addr);
        return -1;
    }
    return 0;
}

enum { PAGE_SHIFT_MAX = 43 };

/* A queue may begin at each 64th of its first page. */
int mlx5_buf_init(Mlx5Buf *b, const void *pas, unsigned bytes, unsigned shift,
                  unsigned page_offset, uint64_t size)
{
    uint64_t offset, need;

    if (shift > PAGE_SHIFT_MAX) {
        return -1;
    }
    offset = (uint64_t)page_offset << (shift - 6);
    need = (offset + size + (1ull << shift) - 1) >> shift;
    if (need > bytes / 8) {
        return -1;
    }
    b->pas = g_new(uint64_t, need);
    b->npas = need;
    b->shift = shift;
    b->offset = offset;
    for (unsigned i = 0; i < need; i++) {
        b->pas[i] = ldq_be_p(pas + i * 8) & ~3ull;
    }
    return 0;
}

void mlx5_buf_free(Mlx5Buf *b)
{
    g_free(b->pas);
    b->pas = NULL;
    b->npas = 0;
}

int mlx5_buf_rw(Mlx5Dev *d, Mlx5Buf *b, uint64_t off, void *p, size_t len,
                bool write)
{
    off += b->offset;
    while (len) {
        uint64_t page = off >> b->shift, in = off & ((1ull << b->shift) - 1);
        size_t n = MIN(len, (1ull << b->shift) - in);

        if (page >= b->npas || mlx5_dma(d, b->pas[page] + in, p, n, write)) {
            return -1;
        }
        off += n;
        p += n;
        len -= n;
    }
    return 0;
}

enum {
    ISEG_FW_REV = 0x0, ISEG_CMDIF = 0x4, ISEG_CMDQ_H = 0x10,
    ISEG_CMDQ_L = 0x14, ISEG_CMD_DBELL = 0x18, ISEG_INIT = 0x1fc,
    ISEG_RFR = 0x238, ISEG_SYNDROME = 0x23c, ISEG_CMD_TO = 0xff8,
    ISEG_INIT_TO = 0xffc, ISEG_TIMER_H = 0x1000, ISEG_TIMER_L = 0x1004,
    ISEG_HEALTH = 0x1010,
    CMDQ_LOG_SIZE = 5, CMDQ_LOG_STRIDE = 6,
    UAR_CQ_ARM = 0x20, UAR_EQ_ARM = 0x40, UAR_EQ_CI = 0x48, UAR_BF = 0x800,
    UAR_BF_BUF = 0x100,
    INIT_TO_MS = 2000, INIT_CAN_RESET = 1 << 30,
    NIC_SHIFT = 8, NIC_MASK = 7, NIC_DISABLED = 1, NIC_SW_RESET = 7,
};

static uint64_t iseg_read(Mlx5Dev *d, hwaddr addr)
{
    uint64_t ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);

    switch (addr) {
    case ISEG_FW_REV:
        return 36 << 16 | 28;
    case ISEG_CMDIF:
        return 5 << 16 | 1000;
    case ISEG_CMDQ_H:
        return d->cmdq >> 32;
    case ISEG_CMDQ_L:
        return d->nic_interface << NIC_SHIFT | CMDQ_LOG_SIZE << 4 |
               CMDQ_LOG_STRIDE;
    case ISEG_INIT:
        return INIT_CAN_RESET;
    case ISEG_CMD_TO:
        return d->inject.cmd_timeout;
    case ISEG_INIT_TO:
        return d->inject.cmd_timeout ? INIT_TO_MS : 0;
    case ISEG_TIMER_H:
        return ns >> 32;
    case ISEG_TIMER_L:
        return ns;
    case ISEG_RFR:
        return d->inject.syndrome ? 1u << 31 : 0;
    case ISEG_SYNDROME:
        return (d->inject.syndrome & 0xff) << 16;
    case ISEG_HEALTH:
        return d->inject.syndrome ? 1 : (ns / SCALE_MS / 10) & 0xffffff;
    }
    return 0;
}

static void iseg_write(Mlx5Dev *d, hwaddr addr, uint32_t val)
{
    switch (addr) {
    case ISEG_CMDQ_H:
        d->cmdq = (uint64_t)val << 32 | (uint32_t)d->cmdq;
        break;
    case ISEG_CMDQ_L:
        d->cmdq = (d->cmdq >> 32 << 32) | (val & ~0xfffu);
        d->held = 0;
        d->nic_interface = val >> NIC_SHIFT & NIC_MASK;
        if (d->nic_interface == NIC_SW_RESET) {
            d->inject.syndrome = 0;     /* another firmware, that lives */
            do_reset(d);
        }
        break;
    case ISEG_CMD_DBELL:
        mlx5_cmd_doorbell(d, val);
        break;
    }
}

/*
 * BlueFlame may carry the whole WQE, but it is in the send queue as well, and
 * fetched from there: only the first 8 bytes count, which name the QP.
 */
static void uar_write(Mlx5Dev *d, hwaddr off, uint64_t val, unsigned size)
{
    if (off == UAR_EQ_ARM || off == UAR_EQ_CI) {
        mlx5_eq_doorbell(d, size == 8 ? val >> 32 : val, off == UAR_EQ_ARM);
    } else if (off == UAR_CQ_ARM && size == 8) {
        mlx5_cq_doorbell(d, val & 0xffffff, val >> 32);
    } else if (off >= UAR_BF && off % UAR_BF_BUF == 0 && size == 8) {
        Mlx5Qp *qp = mlx5_qp(d, (uint32_t)val >> 8);

        if (qp) {
            mlx5_qp_kick(qp);
        }
    }
}

static uint64_t bar_read(void *opaque, hwaddr addr, unsigned size)
{
    Mlx5Dev *d = opaque;

    if (addr < MLX5_UAR_FIRST * 4096) {
        uint32_t v = iseg_read(d, addr & ~3);

        return size == 8 ? (uint64_t)v << 32 | (uint32_t)iseg_read(d, addr + 4) :
                           v >> (8 * (4 - size - (addr & 3)));
    }
    return 0;
}

static void bar_write(void *opaque, hwaddr addr, uint64_t val, unsigned size)
{
    Mlx5Dev *d = opaque;

    if (!mlx5_begin(d)) {
        return;
    }
    if (addr >= MLX5_UAR_FIRST * 4096) {
        uar_write(d, addr % 4096, val, size);
    } else if (size == 4) {
        iseg_write(d, addr, val);
    }
    mlx5_end();
}

static const MemoryRegionOps bar_ops = {
    .read = bar_read,
    .write = bar_write,
    .endianness = DEVICE_BIG_ENDIAN,
    .valid = { .min_access_size = 1, .max_access_size = 8 },
    .impl = { .min_access_size = 1, .max_access_size = 8 },
};

static void do_reset(Mlx5Dev *d)
{
    g_hash_table_remove_all(d->qps);
    g_hash_table_remove_all(d->cqs);
    g_hash_table_remove_all(d->srqs);
    g_hash_table_remove_all(d->mkeys);
    mlx5_wire_reset(d);
    mlx5_fault_reset(d);
    mlx5_eq_reset(d);
    if (d->ats) {
        mlx5_ats_reset(d);
    }
    mlx5_caps_exit(d);
    mlx5_caps_init(d);
    d->cmdq = 0;
    d->held = 0;
    d->nic_interface = NIC_DISABLED;
    g_array_set_size(d->pages, 0);
    g_array_set_size(d->groups, 0);
}

static void mlx5_reset(DeviceState *dev)
{
    Mlx5Dev *d = MLX5(dev);

    if (inside) {
        d->reset_wanted = true;
    } else {
        do_reset(d);
    }
}

static void mlx5_config_write(PCIDevice *pci, uint32_t addr, uint32_t val,
                              int len)
{
    pci_default_write_config(pci, addr, val, len);
    pcie_cap_flr_write_config(pci, addr, val, len);
}

static void mlx5_realize(PCIDevice *pci, Error **errp)
{
    Mlx5Dev *d = MLX5(pci);
    static uint16_t lids;

    pci_config_set_interrupt_pin(pci->config, 1);
    memory_region_init_io(&d->bar, OBJECT(d), &bar_ops, d, "mlx5",
                          MLX5_UARS * 4096);
    pci_register_bar(pci, 0, PCI_BASE_ADDRESS_SPACE_MEMORY |
                     PCI_BASE_ADDRESS_MEM_TYPE_64 |
                     PCI_BASE_ADDRESS_MEM_PREFETCH, &d->bar);
    if (msix_init_exclusive_bar(pci, MLX5_VECTORS, 4, errp)) {
        return;
    }
    for (int i = 0; i < MLX5_VECTORS; i++) {
        msix_vector_use(pci, i);
    }
    if (pcie_endpoint_cap_init(pci, 0) < 0) {
        error_setg(errp, "no PCI Express capability");
        return;
    }
    pcie_cap_flr_init(pci);
    if (d->ats) {
        pcie_ats_init(pci, 256, true);
        mlx5_ats_init(d);
    }

    lids++;
    d->lid = d->lid ?: lids;
    d->guid = d->guid ?: 0x0002c90300000000ull + d->lid * 0x10;
    d->cqs = g_hash_table_new_full(NULL, NULL, NULL, mlx5_cq_free);
    d->qps = g_hash_table_new_full(NULL, NULL, NULL, mlx5_qp_free);
    d->srqs = g_hash_table_new_full(NULL, NULL, NULL, mlx5_srq_free);
    d->mkeys = g_hash_table_new_full(NULL, NULL, NULL, mlx5_mkey_free);
    d->pages = g_array_new(false, false, 8);
    d->groups = g_array_new(false, false, sizeof(Mlx5Group));
    QTAILQ_INIT(&d->run);
    QLIST_INIT(&d->poll);
    QLIST_INIT(&d->faults);
    d->bh = qemu_bh_new(mlx5_run, d);
    d->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, mlx5_timer, d);
    mlx5_caps_init(d);
    mlx5_wire_init(d);
    QLIST_INSERT_HEAD(&wire, d, wire);
}

static void mlx5_exit(PCIDevice *pci)
{
    Mlx5Dev *d = MLX5(pci);

    QLIST_REMOVE(d, wire);
    mlx5_wire_exit(d);
    if (d->ats) {
        mlx5_ats_exit(d);
    }
    g_hash_table_destroy(d->qps);
    g_hash_table_destroy(d->cqs);
    g_hash_table_destroy(d->srqs);
    g_hash_table_destroy(d->mkeys);
    mlx5_fault_reset(d);
    mlx5_eq_reset(d);
    mlx5_caps_exit(d);
    g_array_unref(d->pages);
    g_array_unref(d->groups);
    qemu_bh_delete(d->bh);
    timer_free(d->timer);
    msix_uninit_exclusive_bar(pci);
}

static ModelProperty mlx5_props[] = {
    DEFINE_PROP_UINT16("lid", Mlx5Dev, lid, 0),
    DEFINE_PROP_UINT64("guid", Mlx5Dev, guid, 0),
    DEFINE_PROP_BOOL("odp", Mlx5Dev, odp, true),
    DEFINE_PROP_BOOL("odp-memory-scheme", Mlx5Dev, odp_memory, true),
    DEFINE_PROP_BOOL("ats", Mlx5Dev, ats, false),
    DEFINE_PROP_CHR("chardev", Mlx5Dev, wire_out.chr),
    DEFINE_PROP_UINT32("x-odp-events", Mlx5Dev, odp_events, 1),
    DEFINE_PROP_BOOL("x-trace", Mlx5Dev, trace, false),
    DEFINE_PROP_UINT32("x-boot-pages", Mlx5Dev, boot_pages, 16),
    DEFINE_PROP_UINT32("x-init-pages", Mlx5Dev, init_pages, 64),
    MODEL_PROPERTIES_END
};

static const ModelStat mlx5_stats[] = {
#define STAT(name, field) { name, offsetof(Mlx5Dev, stat.field) }
#define INJECT(name, field) { name, offsetof(Mlx5Dev, inject.field), true }
    STAT("stat-faults", faults), STAT("stat-resumes", resumes),
    STAT("stat-umrs", umrs), STAT("stat-wqes", wqes), STAT("stat-bytes", bytes),
    STAT("stat-ats-requests", ats_requests), STAT("stat-ats-unmaps", ats_unmaps),
    STAT("stat-commands", commands), STAT("stat-refused", refused),
    STAT("stat-translations", translations), STAT("stat-ats-waits", ats_waits),
    STAT("stat-ats-crossed", ats_crossed), STAT("stat-ats-stale", ats_stale),
    INJECT("x-fail-cmd", fail_cmd), INJECT("x-drop-cmd", drop_cmd),
    INJECT("x-hold-cmd", hold_cmd),
    INJECT("x-cmd-event", cmd_event), INJECT("x-syndrome", syndrome),
    INJECT("x-cmd-timeout", cmd_timeout), INJECT("x-ats-delay", ats_delay),
    INJECT("x-ats-deaf", ats_deaf),
    STAT("stat-peer-dropped", peer_dropped),
    STAT("stat-peer-corrupted", peer_corrupted),
    STAT("stat-peer-displaced", peer_displaced),
    STAT("stat-peer-held", peer_held),
    INJECT("x-peer-read", peer_read), INJECT("x-peer-write", peer_write),
    INJECT("x-peer-offset", peer_offset),
#undef INJECT
#undef STAT
    { }
};

static void mlx5_instance_init(Object *obj)
{
    model_add_stats(obj, mlx5_stats);
}

static void mlx5_class_init(ObjectClass *klass, void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    model_check_layout(TYPE_MLX5, sizeof(Mlx5Dev));

    dc->desc = "ConnectX HCA with one InfiniBand port";
    model_set_reset(dc, mlx5_reset);
    device_class_set_props(dc, mlx5_props);
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
    pc->realize = mlx5_realize;
    pc->exit = mlx5_exit;
    pc->config_write = mlx5_config_write;
    pc->vendor_id = 0x15b3;
    pc->device_id = 0x1021;     /* ConnectX-7 */
    pc->class_id = 0x0207;      /* InfiniBand */
}

static const TypeInfo mlx5_type = {
    .name = TYPE_MLX5,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(Mlx5Dev),
    .instance_init = mlx5_instance_init,
    .class_init = mlx5_class_init,
    .interfaces = (InterfaceInfo[]) { { INTERFACE_PCIE_DEVICE }, { } },
};

static void mlx5_register(void)
{
    type_register_static(&mlx5_type);
}
type_init(mlx5_register)
