/* SPDX-License-Identifier: Apache-2.0 */
#include "media/sample.h"

#include "base/mem.h"

#include <assert.h>

static atomic_uint_fast64_t live_count;

/* Written before loops run (form_register), only read after. */
static form_make_fn makers[FORM_N];

/*
 * What a slot holds when the maker answered "no such form": readers then need not ask again. Never dereferenced as a
 * buffer and never unref'd.
 */
static struct buf none_mark;
#define FORM_NONE (&none_mark)

struct sample *sample_new(unsigned track, struct track_params *params, struct buf **payload,
                          int64_t dts_ns, int64_t pts_ns, unsigned flags, int64_t arrival_ns)
{
    assert(track < TRACKS_MAX);
    struct sample *s = mem_new(struct sample);
    atomic_init(&s->refs, 1);
    s->track = (uint16_t)track;
    s->flags = (uint16_t)flags;
    s->dts_ns = dts_ns;
    s->pts_ns = pts_ns;
    s->arrival_ns = arrival_ns;
    s->params = track_params_ref(params);
    s->payload = TAKE_PTR(*payload);
    for (unsigned i = 0; i < FORM_N; i++) {
        atomic_init(&s->forms[i], NULL);
    }
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    return s;
}

struct sample *sample_ref(struct sample *s)
{
    unsigned before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    assert(before > 0);
    return s;
}

void sample_unref(struct sample **ps)
{
    struct sample *s = TAKE_PTR(*ps);
    if (!s) {
        return;
    }
    unsigned before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before > 1) {
        return;
    }
    for (unsigned i = 0; i < FORM_N; i++) {
        struct buf *form = atomic_load_explicit(&s->forms[i], memory_order_relaxed);
        if (form != FORM_NONE) {
            buf_unref(&form);
        }
    }
    buf_unref(&s->payload);
    track_params_unref(&s->params);
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    free(s);
}

uint64_t sample_live_count(void)
{
    return atomic_load_explicit(&live_count, memory_order_relaxed);
}

void form_register(enum form f, form_make_fn make)
{
    assert(f < FORM_N);
    makers[f] = make;
}

struct buf *sample_form(struct sample *s, enum form f)
{
    struct buf *have = atomic_load_explicit(&s->forms[f], memory_order_acquire);
    if (!have) {
        struct buf *made = makers[f] ? makers[f](s) : NULL;
        made = made ? made : FORM_NONE;
        /* On failure `have` is what another loop stored meanwhile; both made the same bytes, the second ones are let go. */
        if (atomic_compare_exchange_strong_explicit(&s->forms[f], &have, made, memory_order_acq_rel,
                                                    memory_order_acquire)) {
            have = made;
        } else if (made != FORM_NONE) {
            buf_unref(&made);
        }
    }
    return have == FORM_NONE ? NULL : have;
}
