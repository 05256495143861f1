/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stand-in's memory regions that are not I/O: a device's memory, parts of it,
 * and containers.
 */
#include "standin.h"
#include "exec/memory.h"

void memory_region_init(MemoryRegion *mr, Object *owner, const char *name,
                        uint64_t size)
{
    mr->size = int128_make64(size);
    QTAILQ_INIT(&mr->subregions);
}

/* bool in QEMU 10.0, void in 7.2 */
typedef typeof(memory_region_init_ram(NULL, NULL, NULL, 0, NULL)) InitRam;

InitRam memory_region_init_ram(MemoryRegion *mr, Object *owner, const char *name,
                               uint64_t size, Error **errp)
{
    memory_region_init(mr, owner, name, size);
    mr->ram = true;
    mr->opaque = g_malloc0(size);
    return (InitRam)true;
}

void *memory_region_get_ram_ptr(MemoryRegion *mr)
{
    return mr->opaque;
}

void memory_region_init_alias(MemoryRegion *mr, Object *owner, const char *name,
                              MemoryRegion *orig, hwaddr offset, uint64_t size)
{
    memory_region_init(mr, owner, name, size);
    mr->alias = orig;
    mr->alias_offset = offset;
}

void memory_region_add_subregion(MemoryRegion *mr, hwaddr offset,
                                 MemoryRegion *sub)
{
    sub->addr = offset;
    QTAILQ_INSERT_TAIL(&mr->subregions, sub, subregions_link);
}

void memory_region_del_subregion(MemoryRegion *mr, MemoryRegion *sub)
{
    QTAILQ_REMOVE(&mr->subregions, sub, subregions_link);
}

void memory_region_set_dirty(MemoryRegion *mr, hwaddr addr, hwaddr size)
{
}
