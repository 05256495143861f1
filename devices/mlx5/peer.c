/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fabric that lies: what a test wants to become of data that goes to and from
 * the BARs of other devices. Work requests end as if all were well, and RAM is
 * always right.
 */
#include "mlx5.h"
#include "exec/address-spaces.h"
#include "qemu/rcu.h"

enum { FLIP = 0x10, FLIP_EACH = 64 };

typedef struct Peer {
    const PCIDevice *self;
    AddressSpace *as;
    uint64_t addr;
    uint64_t left;              /* of the BAR, from there on; 0: in none */
} Peer;

static void look_at(PCIBus *bus, PCIDevice *pci, void *opaque)
{
    Peer *peer = opaque;

    for (int i = 0; pci != peer->self && i < PCI_ROM_SLOT; i++) {
        const PCIIORegion *r = &pci->io_regions[i];

        if (r->size && r->addr != PCI_BAR_UNMAPPED &&
            !(r->type & PCI_BASE_ADDRESS_SPACE_IO) &&
            peer->addr - r->addr < r->size) {
            peer->left = r->addr + r->size - peer->addr;
        }
    }
}

static void look_on(PCIBus *bus, void *opaque)
{
    pci_for_each_device_under_bus(bus, look_at, opaque);
}

/* False: it is not in a BAR of another device. */
static bool peer_find(const Mlx5Span *s, bool write, Peer *peer)
{
    PCIDevice *pci = &s->dev->pci;
    IOMMUTLBEntry t;

    t = address_space_get_iotlb_entry(pci_get_address_space(pci), s->dma, write,
                                      MEMTXATTRS_UNSPECIFIED);
    if (!t.target_as) {
        return false;
    }
    *peer = (Peer) {
        .self = pci, .as = t.target_as,
        .addr = (t.translated_addr & ~t.addr_mask) | (s->dma & t.addr_mask),
    };
    pci_for_each_bus(pci_device_root_bus(pci), look_on, peer);
    return peer->left;
}

static void peer_rw(const Peer *peer, uint64_t off, void *p, size_t len,
                    bool write)
{
    if (off < peer->left) {
        address_space_rw(peer->as, peer->addr + off, MEMTXATTRS_UNSPECIFIED, p,
                         MIN(len, peer->left - off), write);
    }
}

static void flip(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i += FLIP_EACH) {
        p[i] ^= FLIP;
    }
}

static bool read_lies(Mlx5Dev *d, const Peer *peer, uint8_t *p, size_t len)
{
    switch (d->inject.peer_read) {
    case PEER_DROP:
        memset(p, 0xff, len);   /* as the root complex does */
        d->stat.peer_dropped++;
        return true;
    case PEER_CORRUPT:
        peer_rw(peer, 0, p, len, false);
        flip(p, len);
        d->stat.peer_corrupted++;
        return true;
    }
    return false;
}

static bool write_lies(Mlx5Dev *d, const Peer *peer, const uint8_t *p, size_t len)
{
    g_autofree uint8_t *copy = NULL;

    switch (d->inject.peer_write) {
    case PEER_DROP:
        d->stat.peer_dropped++;
        return true;
    case PEER_CORRUPT:
        copy = g_memdup2(p, len);
        flip(copy, len);
        peer_rw(peer, 0, copy, len, true);
        d->stat.peer_corrupted++;
        return true;
    }
    if (!d->inject.peer_offset) {
        return false;
    }
    peer_rw(peer, d->inject.peer_offset, (void *)p, len, true);
    d->stat.peer_displaced++;
    return true;
}

bool mlx5_peer_lies(Mlx5Span *s, void *p, size_t len, bool write)
{
    Mlx5Dev *d = s->dev;
    Peer peer;

    if (!(write ? d->inject.peer_write | d->inject.peer_offset :
                  d->inject.peer_read)) {
        return false;
    }
    RCU_READ_LOCK_GUARD();
    return peer_find(s, write, &peer) &&
           (write ? write_lies(d, &peer, p, len) : read_lies(d, &peer, p, len));
}

bool mlx5_peer_holds(const Mlx5Span *s, bool write)
{
    Peer peer;

    if (s->host || (write ? s->dev->inject.peer_write :
                            s->dev->inject.peer_read) != PEER_HOLD) {
        return false;
    }
    RCU_READ_LOCK_GUARD();
    if (!peer_find(s, write, &peer)) {
        return false;
    }
    s->dev->stat.peer_held++;
    return true;
}
