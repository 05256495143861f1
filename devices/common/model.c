/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the models share: the layout check, DMA, counters and messages.
 */
#include "model.h"
#include "exec/address-spaces.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-control.h"
#include "qapi/qapi-types-control.h"

/* QEMU 10.0 has it no more. */
size_t object_type_get_instance_size(const char *name) __attribute__((weak));

/*
 * What QEMU's object.c keeps of a type begins so, in 7.2 as in 10.0. The model's
 * own type, whose size is known, shows whether it is still so.
 */
struct TypeImpl {
    const char *name;
    size_t class_size, instance_size;
};

static size_t type_size(const char *of)
{
    if (object_type_get_instance_size) {
        return object_type_get_instance_size(of);
    }
    return ((struct TypeImpl *)object_class_by_name(of)->type)->instance_size;
}

static void check_size(const char *type, const char *of, size_t size)
{
    size_t is = type_size(of);
    VersionInfo *v;

    if (is == size) {
        return;
    }
    v = qmp_query_version(&error_abort);
    model_print(type, "refused: built for QEMU " QEMU_VERSION ", where a %s has "
                "%zu bytes; this is QEMU %" PRId64 ".%" PRId64 ".%" PRId64
                " (%s), where it has %zu", of, size, v->qemu->major,
                v->qemu->minor, v->qemu->micro, v->package, is);
    exit(1);
}

void model_check_layout(const char *type, size_t size)
{
    check_size(type, type, size);
    check_size(type, TYPE_OBJECT, sizeof(Object));
    check_size(type, TYPE_DEVICE, sizeof(DeviceState));
    check_size(type, TYPE_PCI_DEVICE, sizeof(PCIDevice));
    check_size(type, TYPE_MEMORY_REGION, sizeof(MemoryRegion));
    check_size(type, TYPE_IOMMU_MEMORY_REGION, sizeof(IOMMUMemoryRegion));
}

bool model_dma(PCIDevice *pci, uint64_t addr, void *buf, uint64_t len,
               bool write)
{
    return pci_dma_rw(pci, addr, buf, len,
                      write ? DMA_DIRECTION_FROM_DEVICE :
                      DMA_DIRECTION_TO_DEVICE,
                      MEMTXATTRS_UNSPECIFIED) == MEMTX_OK;
}

void model_add_stats(Object *obj, const ModelStat *stats)
{
    for (; stats->name; stats++) {
        object_property_add_uint64_ptr(obj, stats->name,
                                       (void *)((char *)obj + stats->offset),
                                       stats->writable ?
                                       OBJ_PROP_FLAG_READWRITE :
                                       OBJ_PROP_FLAG_READ);
    }
}

void model_print(const char *type, const char *fmt, ...)
{
    va_list ap;
    char *text;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: %s\n", type, text);
    g_free(text);
}
