/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stand-in's QOM: one class per type, properties, counters. Casts are not
 * checked.
 */
#include "standin.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-control.h"
#include "qapi/qapi-types-control.h"

enum { TYPES = 8, STATS = 64 };

static struct {
    const TypeInfo *info;
    PCIDeviceClass class;
    ModelProperty *props;
    size_t nprops;
    void (*reset)(DeviceState *dev);
} types[TYPES];
static void (*inits[TYPES])(void);
Error *error_abort, *error_fatal;

void standin_add(PCIDevice *pci);
void standin_remove(PCIDevice *pci);

void register_module_init(void (*fn)(void), module_init_type type)
{
    for (int i = 0; i < TYPES; i++) {
        if (!inits[i]) {
            inits[i] = fn;
            return;
        }
    }
    abort();
}

Type type_register_static(const TypeInfo *info)
{
    for (int i = 0; i < TYPES; i++) {
        if (!types[i].info) {
            types[i].info = info;
            return NULL;
        }
    }
    abort();
}

static int type_of(const char *name)
{
    static bool done;

    for (int i = 0; i < TYPES && !done && inits[i]; i++) {
        inits[i]();
    }
    done = true;
    for (int i = 0; i < TYPES && types[i].info; i++) {
        if (!strcmp(types[i].info->name, name)) {
            return i;
        }
    }
    abort();
}

static void set_props(DeviceClass *dc, ModelProperty *props, size_t n)
{
    for (int i = 0; i < TYPES; i++) {
        if (&types[i].class.parent_class == dc) {
            types[i].props = props;
            types[i].nprops = n;
        }
    }
}

#if QEMU_VERSION_MAJOR >= 10
void device_class_set_props_n(DeviceClass *dc, const Property *props, size_t n)
{
    set_props(dc, props, n);
}

void device_class_set_legacy_reset(DeviceClass *dc, DeviceReset reset)
{
    for (int i = 0; i < TYPES; i++) {
        if (&types[i].class.parent_class == dc) {
            types[i].reset = reset;
        }
    }
}
#else
void device_class_set_props(DeviceClass *dc, Property *props)
{
    size_t n = 0;

    while (props[n].name) {
        n++;
    }
    set_props(dc, props, n);
}
#endif

static void set(void *dev, ModelProperty *p, uint64_t v)
{
    void *field = (char *)dev + p->offset;

    if (p->info == &qdev_prop_bool) {
        *(bool *)field = v;
    } else if (p->info == &qdev_prop_uint16) {
        *(uint16_t *)field = v;
    } else if (p->info == &qdev_prop_uint32) {
        *(uint32_t *)field = v;
    } else {
        *(uint64_t *)field = v;
    }
}

PCIDevice *standin_new(const char *type, ...)
{
    int t = type_of(type);
    PCIDeviceClass *pc = &types[t].class;
    const TypeInfo *info = types[t].info;
    PCIDevice *pci = g_malloc0(info->instance_size);
    Error *err = NULL;
    const char *arg;
    va_list ap;

    if (!pc->realize) {
        info->class_init(&pc->parent_class.parent_class, NULL);
    }
    OBJECT(pci)->class = (ObjectClass *)pc;
    pci->config = g_malloc0(4096);
    if (info->instance_init) {
        info->instance_init(OBJECT(pci));
    }
    for (ModelProperty *p = types[t].props; p < types[t].props + types[t].nprops;
         p++) {
        size_t len = strlen(p->name);

        set(pci, p, p->defval.u);
        va_start(ap, type);
        while ((arg = va_arg(ap, const char *))) {
            if (!strncmp(arg, p->name, len) && arg[len] == '=') {
                set(pci, p, strtoull(arg + len + 1, NULL, 0));
            }
        }
        va_end(ap);
    }
    standin_add(pci);
    pc->realize(pci, &err);
    assert(!err);
    return pci;
}

void standin_delete(PCIDevice *pci)
{
    PCIDeviceClass *pc = (PCIDeviceClass *)OBJECT(pci)->class;

    pc->exit(pci);
    standin_remove(pci);
    g_free(pci->config);
    g_free(pci);
}

void standin_reset(PCIDevice *pci)
{
#if QEMU_VERSION_MAJOR >= 10
    for (int i = 0; i < TYPES; i++) {
        if ((ObjectClass *)&types[i].class == OBJECT(pci)->class) {
            types[i].reset(DEVICE(pci));
        }
    }
#else
    ((PCIDeviceClass *)OBJECT(pci)->class)->parent_class.reset(DEVICE(pci));
#endif
}

Object *object_dynamic_cast_assert(Object *obj, const char *type,
                                   const char *file, int line, const char *func)
{
    return obj;
}

ObjectClass *object_class_dynamic_cast_assert(ObjectClass *klass,
                                              const char *type, const char *file,
                                              int line, const char *func)
{
    return klass;
}

ObjectClass *object_get_class(Object *obj)
{
    return obj->class;
}

ObjectClass *object_class_by_name(const char *name)
{
    return NULL;
}

/* The stand-in is compiled with the same headers as the model. */
size_t object_type_get_instance_size(const char *name)
{
    return !strcmp(name, TYPE_OBJECT) ? sizeof(Object) :
           !strcmp(name, TYPE_DEVICE) ? sizeof(DeviceState) :
           !strcmp(name, TYPE_PCI_DEVICE) ? sizeof(PCIDevice) :
           !strcmp(name, TYPE_MEMORY_REGION) ? sizeof(MemoryRegion) :
           !strcmp(name, TYPE_IOMMU_MEMORY_REGION) ? sizeof(IOMMUMemoryRegion) :
           types[type_of(name)].info->instance_size;
}

VersionInfo *qmp_query_version(Error **errp)
{
    abort();
}

ObjectProperty *object_property_add_uint64_ptr(Object *obj, const char *name,
                                               const uint64_t *v,
                                               ObjectPropertyFlags flags)
{
    return NULL;
}

void error_setg_internal(Error **errp, const char *src, int line,
                         const char *func, const char *fmt, ...)
{
    abort();
}

void error_report_err(Error *err)
{
    abort();
}

void pstrcpy(char *buf, int size, const char *str)
{
    snprintf(buf, size, "%s", str);
}

const PropertyInfo qdev_prop_bool, qdev_prop_uint16, qdev_prop_uint32,
                   qdev_prop_uint64, qdev_prop_size;
