/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stand-in's machine: memory, BARs, interrupts, an IOMMU, timers and
 * bottom halves. What a model calls and no test needs does nothing.
 */
#include "standin.h"
#include "exec/address-spaces.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"

enum { DEVICES = 8, BARS = 6 };

static struct {
    PCIDevice *pci;
    MemoryRegion *bar[BARS];
} devices[DEVICES];

uint8_t standin_ram[STANDIN_RAM];
unsigned standin_turns = 1000;
unsigned standin_interrupts;
bool standin_iommu;
uint64_t standin_iova[STANDIN_RAM / 4096];
static bool dirty[STANDIN_RAM / 4096];
static AddressSpace memory;             /* behind the IOMMU */
static QLIST_HEAD(, IOMMUNotifier) notifiers;

static int slot_of(PCIDevice *pci)
{
    for (int i = 0; i < DEVICES; i++) {
        if (devices[i].pci == pci) {
            return i;
        }
    }
    abort();
}

void standin_add(PCIDevice *pci);
void standin_add(PCIDevice *pci)
{
    devices[slot_of(NULL)].pci = pci;
}

void standin_remove(PCIDevice *pci);
void standin_remove(PCIDevice *pci)
{
    int slot = slot_of(pci);

    memset(&devices[slot], 0, sizeof(devices[slot]));
}

/* --- memory */

uint64_t standin_bar(PCIDevice *pci, int bar)
{
    return STANDIN_BARS + (slot_of(pci) * BARS + bar) * STANDIN_BAR;
}

static MemoryRegion *region_sub(MemoryRegion *mr, uint64_t off)
{
    MemoryRegion *sub;

    QTAILQ_FOREACH(sub, &mr->subregions, subregions_link) {
        if (off >= sub->addr && off - sub->addr < int128_get64(sub->size)) {
            return sub;
        }
    }
    return NULL;
}

static bool region_rw(MemoryRegion *mr, uint64_t off, uint8_t *buf,
                      uint64_t len, bool write)
{
    if (off >= int128_get64(mr->size) || len > int128_get64(mr->size) - off) {
        return false;
    }
    if (mr->alias) {
        return region_rw(mr->alias, mr->alias_offset + off, buf, len, write);
    }
    if (!mr->ops && !mr->ram) {
        MemoryRegion *sub = region_sub(mr, off);

        return sub && region_rw(sub, off - sub->addr, buf, len, write);
    }
    if (mr->ram) {
        memcpy(write ? (uint8_t *)mr->opaque + off : buf,
               write ? buf : (uint8_t *)mr->opaque + off, len);
        return true;
    }
    while (len) {
        unsigned n = MIN(MIN(len, mr->ops->impl.max_access_size ?: 4),
                         off ? off & -off : 8);
        bool big = mr->ops->endianness == DEVICE_BIG_ENDIAN;

        n = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        if (write && mr->ops->write) {
            mr->ops->write(mr->opaque, off, big ? ldn_be_p(buf, n) :
                                                  ldn_le_p(buf, n), n);
        } else if (!write && mr->ops->read) {
            uint64_t v = mr->ops->read(mr->opaque, off, n);

            if (big) {
                stn_be_p(buf, n, v);
            } else {
                stn_le_p(buf, n, v);
            }
        }
        off += n;
        buf += n;
        len -= n;
    }
    return true;
}

bool standin_rw(uint64_t addr, void *buf, uint64_t len, bool write)
{
    uint64_t bar = (addr - STANDIN_BARS) / STANDIN_BAR;
    MemoryRegion *mr;

    if (addr < STANDIN_RAM && len <= STANDIN_RAM - addr) {
        for (uint64_t page = addr / 4096; write && page * 4096 < addr + len;
             page++) {
            dirty[page] = true;
        }
        memcpy(write ? (void *)(standin_ram + addr) : buf,
               write ? buf : (void *)(standin_ram + addr), len);
        return true;
    }
    if (addr < STANDIN_BARS || bar >= DEVICES * BARS) {
        return false;
    }
    mr = devices[bar / BARS].bar[bar % BARS];
    return mr && region_rw(mr, addr % STANDIN_BAR, buf, len, write);
}

void standin_clean(void)
{
    for (int i = 0; i < ARRAY_SIZE(dirty); i++) {
        if (dirty[i]) {
            memset(standin_ram + i * 4096, 0, 4096);
            dirty[i] = false;
        }
    }
}

static bool translate(uint64_t *addr)
{
    if (standin_iommu && *addr < STANDIN_RAM) {
        uint64_t to = standin_iova[*addr / 4096];

        if (to == UINT64_MAX) {
            return false;
        }
        *addr = (to & ~4095ull) + *addr % 4096;
    }
    return true;
}

MemTxResult address_space_rw(AddressSpace *as, hwaddr addr, MemTxAttrs attrs,
                             void *buf, hwaddr len, bool is_write)
{
    while (len) {
        uint64_t n = MIN(len, 4096 - addr % 4096), at = addr;

        if ((as != &memory && !translate(&at)) ||
            !standin_rw(at, buf, n, is_write)) {
            return MEMTX_DECODE_ERROR;
        }
        addr += n;
        buf = (uint8_t *)buf + n;
        len -= n;
    }
    return MEMTX_OK;
}

IOMMUTLBEntry address_space_get_iotlb_entry(AddressSpace *as, hwaddr addr,
                                            bool is_write, MemTxAttrs attrs)
{
    uint64_t at = addr;

    if (!translate(&at)) {
        return (IOMMUTLBEntry) { };
    }
    return (IOMMUTLBEntry) {
        .target_as = &memory, .iova = addr & ~4095ull,
        .translated_addr = at & ~4095ull, .addr_mask = 4095, .perm = IOMMU_RW,
    };
}

void standin_unmap(uint64_t iova, uint64_t size)
{
    IOMMUTLBEntry e = { .iova = iova, .addr_mask = size - 1 };
    IOMMUNotifier *n;

    for (uint64_t i = 0; i < size; i += 4096) {
        standin_iova[(iova + i) / 4096] = UINT64_MAX;
    }
    QLIST_FOREACH(n, &notifiers, node) {
        n->notify(n, &e);
    }
}

static MemoryRegion iommu_region;

void memory_listener_register(MemoryListener *listener, AddressSpace *as)
{
    MemoryRegionSection s = { .mr = &iommu_region };

    if (standin_iommu) {
        iommu_region.is_iommu = true;
        s.size = int128_make64(STANDIN_RAM);
        listener->region_add(listener, &s);
    }
}

void memory_listener_unregister(MemoryListener *listener)
{
    MemoryRegionSection s = { .mr = &iommu_region };

    listener->region_del(listener, &s);
}

int memory_region_register_iommu_notifier(MemoryRegion *mr, IOMMUNotifier *n,
                                          Error **errp)
{
    QLIST_INSERT_HEAD(&notifiers, n, node);
    return 0;
}

void memory_region_unregister_iommu_notifier(MemoryRegion *mr, IOMMUNotifier *n)
{
    QLIST_REMOVE(n, node);
}

int memory_region_iommu_attrs_to_index(IOMMUMemoryRegion *mr, MemTxAttrs attrs)
{
    return 0;
}

void memory_region_init_io(MemoryRegion *mr, Object *owner,
                           const MemoryRegionOps *ops, void *opaque,
                           const char *name, uint64_t size)
{
    mr->ops = ops;
    mr->opaque = opaque;
    mr->size = int128_make64(size);
}

void pci_register_bar(PCIDevice *pci, int nr, uint8_t attr, MemoryRegion *mr)
{
    devices[slot_of(pci)].bar[nr] = mr;
    pci->io_regions[nr] = (PCIIORegion) {
        .addr = standin_bar(pci, nr), .size = int128_get64(mr->size),
        .type = attr, .memory = mr,
    };
}

/* There is one bus. */
PCIBus *pci_device_root_bus(const PCIDevice *pci)
{
    return NULL;
}

void pci_for_each_bus_depth_first(PCIBus *bus, pci_bus_ret_fn begin,
                                  pci_bus_fn end, void *parent_state)
{
    end(bus, parent_state);
}

void pci_for_each_device_under_bus(PCIBus *bus, pci_bus_dev_fn fn, void *opaque)
{
    for (int i = 0; i < DEVICES; i++) {
        if (devices[i].pci) {
            fn(bus, devices[i].pci, opaque);
        }
    }
}

/* --- capabilities and interrupts */

int pcie_endpoint_cap_init(PCIDevice *pci, uint8_t offset)
{
    return 0x40;
}

void pcie_cap_exit(PCIDevice *pci)
{
}

void pcie_cap_flr_init(PCIDevice *pci)
{
}

void pcie_cap_flr_write_config(PCIDevice *pci, uint32_t addr, uint32_t val,
                               int len)
{
}

void pci_default_write_config(PCIDevice *pci, uint32_t addr, uint32_t val,
                              int len)
{
}

void pcie_ats_init(PCIDevice *pci, uint16_t offset, bool aligned)
{
}

#if QEMU_VERSION_MAJOR >= 10
int msix_init_exclusive_bar(PCIDevice *pci, uint32_t nentries, uint8_t bar,
                            Error **errp)
#else
int msix_init_exclusive_bar(PCIDevice *pci, unsigned short nentries, uint8_t bar,
                            Error **errp)
#endif
{
    pci->msix_entries_nr = nentries;
    return 0;
}

void msix_uninit_exclusive_bar(PCIDevice *pci)
{
}

void msix_vector_use(PCIDevice *pci, unsigned vector)
{
}

void msix_notify(PCIDevice *pci, unsigned vector)
{
    assert(vector < pci->msix_entries_nr);
    standin_interrupts++;
}

/* --- time and bottom halves */

struct QEMUBH {
    QEMUBHFunc *cb;
    void *opaque;
    bool scheduled;
    QTAILQ_ENTRY(QEMUBH) next;
};

static QTAILQ_HEAD(, QEMUBH) bhs = QTAILQ_HEAD_INITIALIZER(bhs);
static QEMUTimer *timers;
static int64_t now = 1;

QEMUBH *qemu_bh_new_full(QEMUBHFunc *cb, void *opaque, const char *name,
                         MemReentrancyGuard *guard)
{
    QEMUBH *bh = g_new0(QEMUBH, 1);

    bh->cb = cb;
    bh->opaque = opaque;
    QTAILQ_INSERT_TAIL(&bhs, bh, next);
    return bh;
}

void qemu_bh_schedule(QEMUBH *bh)
{
    bh->scheduled = true;
}

void qemu_bh_cancel(QEMUBH *bh)
{
    bh->scheduled = false;
}

void qemu_bh_delete(QEMUBH *bh)
{
    QTAILQ_REMOVE(&bhs, bh, next);
    g_free(bh);
}

void standin_run(void)
{
    for (unsigned i = 0; i < standin_turns; i++) {
        QEMUBH *bh;

        QTAILQ_FOREACH(bh, &bhs, next) {
            if (bh->scheduled) {
                break;
            }
        }
        if (!bh) {
            return;
        }
        bh->scheduled = false;
        bh->cb(bh->opaque);
    }
}

int64_t qemu_clock_get_ns(QEMUClockType type)
{
    return now;
}

void timer_init_full(QEMUTimer *ts, QEMUTimerListGroup *group,
                     QEMUClockType type, int scale, int attributes,
                     QEMUTimerCB *cb, void *opaque)
{
    *ts = (QEMUTimer) { .cb = cb, .opaque = opaque, .expire_time = -1 };
}

void timer_del(QEMUTimer *ts)
{
    for (QEMUTimer **t = &timers; *t; t = &(*t)->next) {
        if (*t == ts) {
            *t = ts->next;
            break;
        }
    }
    ts->expire_time = -1;
}

void timer_mod(QEMUTimer *ts, int64_t expire_time)
{
    timer_del(ts);
    ts->expire_time = expire_time;
    ts->next = timers;
    timers = ts;
}

void standin_pass(int64_t ns)
{
    now += ns;
    for (QEMUTimer *t = timers, *next; t; t = next) {
        next = t->next;
        if (t->expire_time <= now) {
            timer_del(t);
            t->cb(t->opaque);
            next = timers;
        }
    }
    standin_run();
}

/* --- RCU: there is one thread */

static struct rcu_reader_data reader;
unsigned long rcu_gp_ctr = 1;
QemuEvent rcu_gp_event;

struct rcu_reader_data *get_ptr_rcu_reader(void)
{
    return &reader;
}

void qemu_event_set(QemuEvent *ev)
{
}
