/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ATS: the device asks the IOMMU where an address is, keeps the answer, and
 * then sends requests that are not translated any more. What it keeps goes when
 * the IOMMU says so; until then it is used, also if it is stale by a bug of the
 * driver. That is counted.
 *
 * A request may take its time, so that an invalidation comes in between. The
 * answer is the one from before, then, and must not be used.
 */
#include "mlx5.h"
#include "exec/address-spaces.h"
#include "qapi/error.h"
#include "qemu/rcu.h"

enum { PAGE_SHIFT = 12, PAGE_BYTES = 1 << PAGE_SHIFT, ATC_MAX = 1 << 16 };

typedef struct AtsEntry {
    AddressSpace *as;
    uint64_t addr;
    unsigned perm;
} AtsEntry;

typedef struct AtsRequest {
    uint64_t page;
    bool write, ok, crossed;
    AtsEntry answer;
    int64_t asked_at;
    QLIST_ENTRY(AtsRequest) next;
} AtsRequest;

typedef struct AtsListen {
    IOMMUMemoryRegion *mr;
    IOMMUNotifier n;
    Mlx5Dev *dev;
    QLIST_ENTRY(AtsListen) next;
} AtsListen;

static void ats_unmap(IOMMUNotifier *n, IOMMUTLBEntry *e)
{
    AtsListen *l = container_of(n, AtsListen, n);
    uint64_t page = e->iova >> PAGE_SHIFT, pages = (e->addr_mask >> PAGE_SHIFT) + 1;
    GHashTable *atc = l->dev->atc;
    AtsRequest *r;

    l->dev->stat.ats_unmaps++;
    mlx5_trace(l->dev, "ATS invalidation %#" PRIx64 " mask %#" PRIx64,
               (uint64_t)e->iova, (uint64_t)e->addr_mask);
    QLIST_FOREACH(r, &l->dev->ats_requests, next) {
        r->crossed |= r->page - page < pages;
    }
    if (l->dev->inject.ats_deaf & ATS_DEAF_KEPT) {
        return;
    }
    if (pages > g_hash_table_size(atc)) {
        GHashTableIter it;
        gpointer key;

        g_hash_table_iter_init(&it, atc);
        while (g_hash_table_iter_next(&it, &key, NULL)) {
            if ((uint64_t)(uintptr_t)key - page < pages) {
                g_hash_table_iter_remove(&it);
            }
        }
        return;
    }
    for (uint64_t i = 0; i < pages; i++) {
        g_hash_table_remove(atc, (gpointer)(uintptr_t)(page + i));
    }
}

static void ats_add(MemoryListener *ml, MemoryRegionSection *s)
{
    Mlx5Dev *d = container_of(ml, Mlx5Dev, ats_listener);
    AtsListen *l;
    Error *err = NULL;

    if (!memory_region_is_iommu(s->mr)) {
        return;
    }
    l = g_new0(AtsListen, 1);
    l->dev = d;
    l->mr = IOMMU_MEMORY_REGION(s->mr);
    iommu_notifier_init(&l->n, ats_unmap, IOMMU_NOTIFIER_DEVIOTLB_UNMAP,
                        s->offset_within_region,
                        s->offset_within_region + int128_get64(s->size) - 1,
                        memory_region_iommu_attrs_to_index(l->mr,
                                                 MEMTXATTRS_UNSPECIFIED));
    if (memory_region_register_iommu_notifier(s->mr, &l->n, &err)) {
        error_report_err(err);
        g_free(l);
        return;
    }
    QLIST_INSERT_HEAD(&d->ats_listens, l, next);
}

static void ats_del(MemoryListener *ml, MemoryRegionSection *s)
{
    Mlx5Dev *d = container_of(ml, Mlx5Dev, ats_listener);
    AtsListen *l, *next;

    QLIST_FOREACH_SAFE(l, &d->ats_listens, next, next) {
        if (MEMORY_REGION(l->mr) == s->mr &&
            l->n.start == s->offset_within_region) {
            memory_region_unregister_iommu_notifier(s->mr, &l->n);
            QLIST_REMOVE(l, next);
            g_free(l);
        }
    }
    g_hash_table_remove_all(d->atc);
}

static bool ats_ask(Mlx5Dev *d, uint64_t addr, bool write, AtsEntry *e)
{
    unsigned perm = write ? IOMMU_WO : IOMMU_RO;
    IOMMUTLBEntry t;

    RCU_READ_LOCK_GUARD();
    t = address_space_get_iotlb_entry(pci_get_address_space(&d->pci), addr,
                                      write, MEMTXATTRS_UNSPECIFIED);
    if (!t.target_as || !(t.perm & perm)) {
        return false;
    }
    e->as = t.target_as;
    e->addr = (t.translated_addr & ~t.addr_mask) |
              (addr & t.addr_mask & ~(uint64_t)(PAGE_BYTES - 1));
    e->perm = t.perm;
    return true;
}

/*
 * The IOMMU has another answer now, and has not told yet. The driver zaps what
 * leads to an address before it unmaps it: to use one here is its bug.
 */
static void ats_check(Mlx5Dev *d, uint64_t addr, bool write, const AtsEntry *e)
{
    AtsEntry now;

    if (!ats_ask(d, addr, write, &now) || now.addr != e->addr) {
        d->stat.ats_stale++;
        mlx5_warn(d, "ATS %s of %#" PRIx64 " by a translation that is no more",
                  write ? "write" : "read", addr);
    }
}

static void ats_keep(Mlx5Dev *d, uint64_t page, const AtsEntry *e)
{
    if (g_hash_table_size(d->atc) >= ATC_MAX) {
        g_hash_table_remove_all(d->atc);
    }
    g_hash_table_replace(d->atc, (gpointer)(uintptr_t)page,
                         g_memdup2(e, sizeof(*e)));
}

static bool ats_kept(Mlx5Dev *d, uint64_t page, bool write)
{
    AtsEntry *e = g_hash_table_lookup(d->atc, (gpointer)(uintptr_t)page);

    return e && e->perm & (write ? IOMMU_WO : IOMMU_RO);
}

/* Those that wait are done sooner if x-ats-delay is made shorter. */
static int64_t ats_done_at(const Mlx5Dev *d, const AtsRequest *r)
{
    return r->asked_at + d->inject.ats_delay * SCALE_MS;
}

static void ats_request_end(AtsRequest *r)
{
    QLIST_REMOVE(r, next);
    g_free(r);
}

/* Asks, if nothing has been asked yet. True: it can be used, or is refused. */
static bool ats_request(Mlx5Dev *d, uint64_t page, bool write, int64_t now)
{
    AtsRequest *r, *next, *found = NULL;

    QLIST_FOREACH_SAFE(r, &d->ats_requests, next, next) {
        if (r->page == page && r->write == write) {
            found = r;
        } else if (now - ats_done_at(d, r) > NANOSECONDS_PER_SECOND) {
            ats_request_end(r);         /* nobody has come back for it */
        }
    }
    if (found && now >= ats_done_at(d, found)) {
        bool use = !found->crossed || d->inject.ats_deaf & ATS_DEAF_ASKED;
        bool ok = found->ok;

        d->stat.ats_crossed += found->crossed;
        if (use && ok) {
            ats_keep(d, page, &found->answer);
        }
        ats_request_end(found);
        if (use) {
            return true;
        }
        found = NULL;
    }
    if (!found) {
        r = g_new0(AtsRequest, 1);
        r->page = page;
        r->write = write;
        r->ok = ats_ask(d, page << PAGE_SHIFT, write, &r->answer);
        r->asked_at = now;
        QLIST_INSERT_HEAD(&d->ats_requests, r, next);
        d->stat.ats_requests++;
        d->stat.ats_waits++;
        mlx5_trace(d, "ATS request %#" PRIx64 " write %d: %#" PRIx64,
                   page << PAGE_SHIFT, write, r->ok ? r->answer.addr : 0);
    }
    return false;
}

bool mlx5_ats_ready(Mlx5Dev *d, uint64_t addr, size_t len, bool write)
{
    int64_t now = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
    uint64_t page = addr >> PAGE_SHIFT, last = (addr + len - 1) >> PAGE_SHIFT;
    bool ready = true;

    if (!d->inject.ats_delay || !len) {
        return true;
    }
    for (; page <= last; page++) {
        if (!ats_kept(d, page, write)) {
            ready = ats_request(d, page, write, now) && ready;
        }
    }
    return ready;
}

static AtsEntry *ats_translate(Mlx5Dev *d, uint64_t addr, bool write)
{
    gpointer key = (gpointer)(uintptr_t)(addr >> PAGE_SHIFT);
    AtsEntry *e = g_hash_table_lookup(d->atc, key), new;

    if (e && e->perm & (write ? IOMMU_WO : IOMMU_RO)) {
        ats_check(d, addr, write, e);
        return e;
    }
    d->stat.ats_requests++;
    if (!ats_ask(d, addr, write, &new)) {
        return NULL;
    }
    ats_keep(d, addr >> PAGE_SHIFT, &new);
    return g_hash_table_lookup(d->atc, key);
}

int mlx5_ats_dma(Mlx5Dev *d, uint64_t addr, void *buf, size_t len, bool write)
{
    while (len) {
        uint64_t off = addr % PAGE_BYTES;
        size_t n = MIN(len, PAGE_BYTES - off);
        AtsEntry *e = ats_translate(d, addr, write);

        if (!e || address_space_rw(e->as, e->addr + off, MEMTXATTRS_UNSPECIFIED,
                                   buf, n, write) != MEMTX_OK) {
            mlx5_warn(d, "ATS %s of %#" PRIx64 " failed",
                     write ? "write" : "read", addr);
            return -1;
        }
        addr += n;
        buf += n;
        len -= n;
    }
    return 0;
}

void mlx5_ats_init(Mlx5Dev *d)
{
    d->atc = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    d->ats_listener = (MemoryListener) {
        .region_add = ats_add, .region_del = ats_del, .name = TYPE_MLX5,
    };
    memory_listener_register(&d->ats_listener, pci_get_address_space(&d->pci));
}

void mlx5_ats_reset(Mlx5Dev *d)
{
    while (!QLIST_EMPTY(&d->ats_requests)) {
        ats_request_end(QLIST_FIRST(&d->ats_requests));
    }
    g_hash_table_remove_all(d->atc);
}

void mlx5_ats_exit(Mlx5Dev *d)
{
    memory_listener_unregister(&d->ats_listener);
    mlx5_ats_reset(d);
    g_hash_table_destroy(d->atc);
}
