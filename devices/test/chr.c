/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stand-in's character devices: chardev=1 and chardev=2 are the two ends of a
 * wire, which takes so many bytes at a time. What is written to it arrives when
 * bottom halves run.
 */
#include "standin.h"
#include "chardev/char-fe.h"
#include "qemu/main-loop.h"

enum { ENDS = 2, TAKES = 10000 };

static struct {
    CharBackend *be;
    IOReadHandler *read;
    IOEventHandler *event;
    void *opaque;
    GByteArray *on_its_way;     /* to this end */
    FEWatchFunc watch;
    void *watch_opaque;
    QEMUBH *bh;
} ends[ENDS];

const PropertyInfo qdev_prop_chr;

static int end_of(CharBackend *be)
{
    return (int)(uintptr_t)be->chr - 1;
}

bool qemu_chr_fe_backend_connected(CharBackend *be)
{
    return be->chr;
}

static void deliver(void *opaque)
{
    int i = (int)(uintptr_t)opaque, n = MIN(ends[i].on_its_way->len, TAKES);
    g_autofree uint8_t *buf = NULL;
    FEWatchFunc watch = ends[!i].watch;

    if (n && ends[i].be) {
        buf = g_memdup2(ends[i].on_its_way->data, n);
        g_byte_array_remove_range(ends[i].on_its_way, 0, n);
        ends[i].read(ends[i].opaque, buf, n);
    }
    if (ends[i].on_its_way->len) {
        qemu_bh_schedule(ends[i].bh);
    }
    if (watch) {
        ends[!i].watch = NULL;
        watch(NULL, G_IO_OUT, ends[!i].watch_opaque);
    }
}

void qemu_chr_fe_set_handlers(CharBackend *be, IOCanReadHandler *can_read,
                              IOReadHandler *read, IOEventHandler *event,
                              BackendChangeHandler *change, void *opaque,
                              GMainContext *context, bool set_open)
{
    int i = end_of(be);

    ends[i].be = be;
    ends[i].read = read;
    ends[i].event = event;
    ends[i].opaque = opaque;
    ends[i].watch = NULL;
    if (!ends[i].on_its_way) {
        ends[i].on_its_way = g_byte_array_new();
        ends[i].bh = qemu_bh_new_full(deliver, (void *)(uintptr_t)i, "chr", NULL);
    }
    g_byte_array_set_size(ends[i].on_its_way, 0);
    if (ends[!i].be) {
        event(opaque, CHR_EVENT_OPENED);
        ends[!i].event(ends[!i].opaque, CHR_EVENT_OPENED);
    }
}

int qemu_chr_fe_write(CharBackend *be, const uint8_t *buf, int len)
{
    int to = !end_of(be), n;

    n = MIN(len, 3 * TAKES - (int)ends[to].on_its_way->len);
    if (n > 0) {
        g_byte_array_append(ends[to].on_its_way, buf, n);
        qemu_bh_schedule(ends[to].bh);
    }
    return n;
}

guint qemu_chr_fe_add_watch(CharBackend *be, GIOCondition cond, FEWatchFunc func,
                            void *opaque)
{
    int i = end_of(be);

    ends[i].watch = func;
    ends[i].watch_opaque = opaque;
    return 1;
}

void qemu_chr_fe_disconnect(CharBackend *be)
{
    int i = end_of(be);

    for (int n = 0; n < ENDS; n++) {
        if (ends[n].be && ends[!n].be) {
            ends[n].event(ends[n].opaque, CHR_EVENT_CLOSED);
        }
    }
    ends[i].be = NULL;
}

void qemu_chr_fe_deinit(CharBackend *be, bool del)
{
    if (be->chr) {
        int i = end_of(be);

        ends[i].be = NULL;
        ends[i].watch = NULL;
        if (ends[!i].be) {
            ends[!i].event(ends[!i].opaque, CHR_EVENT_CLOSED);
        }
        be->chr = NULL;
    }
}
