/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the models share: QEMU's headers, whatever their version; the check that
 * QEMU itself was built from the same ones; DMA, counters and messages.
 *
 * A model is a shared object that is preloaded into Debian's QEMU. It exports no
 * symbol (-fvisibility=hidden): each that it did would replace QEMU's of the
 * same name.
 */
#ifndef DEVICES_MODEL_H
#define DEVICES_MODEL_H

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "hw/pci/pci.h"
#if __has_include("hw/pci/pci_device.h")
#include "hw/pci/pci_device.h"          /* QEMU 8.0 */
#endif
#include "hw/qdev-properties.h"

/*
 * static ModelProperty props[] = {
 *     DEFINE_PROP_...,
 *     MODEL_PROPERTIES_END
 * };
 */
#if QEMU_VERSION_MAJOR >= 10
typedef const Property ModelProperty;
#define MODEL_PROPERTIES_END
#define model_set_reset(dc, f) device_class_set_legacy_reset(dc, f)
#define model_reset_of(dc) ((dc)->legacy_reset)
#else
typedef Property ModelProperty;
#define MODEL_PROPERTIES_END DEFINE_PROP_END_OF_LIST(),
#define model_set_reset(dc, f) ((dc)->reset = (f))
#define model_reset_of(dc) ((dc)->reset)
#endif

/*
 * The first thing in each class_init, with the size of an instance. QEMU ends
 * when a type is not as large as the headers say that the model was compiled
 * with: then nothing is where the model looks for it.
 */
void model_check_layout(const char *type, size_t size);

/* As the device; false: the bus said no. The buffer is not changed, then. */
bool model_dma(PCIDevice *pci, uint64_t addr, void *buf, uint64_t len,
               bool write);

/* Counters, that QMP's qom-get reads. The last one has no name. */
typedef struct ModelStat {
    const char *name;
    size_t offset;              /* of a uint64_t, in the instance */
    bool writable;              /* by qom-set: no counter, but for a test */
} ModelStat;

void model_add_stats(Object *obj, const ModelStat *stats);

/* To stderr, which the lab keeps as qemu.log: a line */
void model_print(const char *type, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

#define model_trace(on, type, ...) do { \
        if (on) { \
            model_print(type, __VA_ARGS__); \
        } \
    } while (0)

/* What a guest can cause any number of times: the first ones of a place do. */
#define model_warn(type, ...) do { \
        static unsigned warned; \
        if (warned < 100) { \
            warned++; \
            model_print(type, __VA_ARGS__); \
        } \
    } while (0)

#endif
