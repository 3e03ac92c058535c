/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two media loops on threads of their own, control on the test's thread. What watchers see is checked where they see it, on
 * their loop, and counted; the test reads the counts.
 */
#include "rig.h"

#include <stdatomic.h>

struct watcher {
    struct reader *r; /* its loop */
    uint64_t next_seq;
    uint32_t epoch;
    atomic_uint n, errors, closes, state;
    atomic_uint_fast64_t last_seq;
    struct world *w;
    unsigned loop;
};

#define WATCHERS 40

struct world {
    struct loop *control;
    struct loop *media[2];
    struct engine *e;
    struct source src; /* belongs to media[publisher_on] */
    unsigned publisher_on;
    const char *path;
    struct watcher watchers[WATCHERS];
    int walks;
    char events[4096];
};

static void watch_state(void *user, enum reader_state state, const char *reason)
{
    struct watcher *w = user;
    atomic_store(&w->state, state);
}

static void watch_samples(void *user)
{
    struct watcher *w = user;
    struct sample *s;
    unsigned k = 0;
    unsigned errors = 0;
    for (; (s = reader_peek(w->r, k)); k++) {
        bool first = w->next_seq == 0;
        errors += first ? s->track != 0 || !(s->flags & SAMPLE_KEY) : s->seq != w->next_seq;
        errors += s->epoch < w->epoch;
        errors += !s->payload || s->payload->len != 100;
        errors += sample_form(s, FORM_RTMP) == NULL;
        w->next_seq = s->seq + 1;
        w->epoch = s->epoch;
    }
    reader_advance(w->r, k);
    reader_count_sent(w->r, k);
    atomic_fetch_add(&w->n, k);
    atomic_fetch_add(&w->errors, errors);
    atomic_store(&w->last_seq, w->next_seq - 1);
}

static void watch_close(void *user, int r, const char *why)
{
    struct watcher *w = user;
    atomic_fetch_add(&w->closes, 1);
    w->r = reader_close(w->r);
}

static const struct reader_ops watch_ops = {watch_state, watch_samples, watch_close};

static void watcher_toggle(struct loop *l, void *arg)
{
    struct watcher *w = arg;
    if (w->r) {
        w->r = reader_close(w->r);
        return;
    }
    w->next_seq = 0;
    w->epoch = 0;
    const struct reader_info info = {
        .path = w->w->path, .protocol = "test", .forms = FORM_BIT(FORM_RTMP), .wait = true};
    w->r = reader_open(w->w->e, l, &info, &watch_ops, w);
}

static void watcher_close(struct loop *l, void *arg)
{
    struct watcher *w = arg;
    w->r = reader_close(w->r);
}

static void publish(struct loop *l, void *arg)
{
    struct world *w = arg;
    w->src.frame = 0;
    source_open(&w->src, w->e, l, w->path);
}

static void frame(struct loop *l, void *arg)
{
    struct world *w = arg;
    source_frame(&w->src);
}

static void unpublish(struct loop *l, void *arg)
{
    struct world *w = arg;
    w->src.p = publisher_close(w->src.p);
}

static atomic_uint forms_made;

static struct buf *make_form(const struct sample *s)
{
    atomic_fetch_add(&forms_made, 1);
    return buf_copy(BYTES_STR("form"));
}

static void on_event(void *user, enum stream_event event, const char *path, const char *session_id,
                     const char *reason)
{
    struct world *w = user;
    size_t len = strlen(w->events);
    if (event <= STREAM_EVENT_ENDED && len + 1 < sizeof(w->events)) {
        w->events[len] = "PRLE"[event];
    }
}

static struct world *world_new(const struct engine_config *config, unsigned publisher_on)
{
    struct world *w = mem_new(struct world);
    log_configure("error", false);
    w->control = loop_new("control", LOOP_CONTROL);
    w->media[0] = loop_new("media0", 0);
    w->media[1] = loop_new("media1", 1);
    w->e = engine_new(config, w->control, w->media, 2);
    engine_set_event_fn(w->e, on_event, w);
    assert_int_equal(loop_start(w->media[0]), 0);
    assert_int_equal(loop_start(w->media[1]), 0);
    source_init(&w->src, CODEC_H264, true);
    w->publisher_on = publisher_on;
    w->path = "live/a";
    for (unsigned i = 0; i < WATCHERS; i++) {
        w->watchers[i].w = w;
        w->watchers[i].loop = i % 2;
    }
    return w;
}

static void on_publisher_loop(struct world *w, void (*fn)(struct loop *l, void *arg))
{
    loop_call_wait(w->media[w->publisher_on], fn, w);
}

static void on_watcher_loop(struct world *w, unsigned i, void (*fn)(struct loop *l, void *arg))
{
    loop_call(w->media[w->watchers[i].loop], fn, &w->watchers[i]);
}

static void world_free(struct world *w)
{
    w->e = engine_free(w->e);
    for (unsigned i = 0; i < 2; i++) {
        loop_stop(w->media[i]);
        loop_free(w->media[i]);
    }
    loop_free(w->control);
    source_done(&w->src);
    for (unsigned i = 0; i < WATCHERS; i++) {
        assert_int_equal(w->watchers[i].errors, 0);
        assert_null(w->watchers[i].r);
    }
    free(w);
    assert_no_media_lives();
}

static uint64_t max_last_seq(struct world *w)
{
    uint64_t max = 0;
    for (unsigned i = 0; i < WATCHERS; i++) {
        max = MAX(max, atomic_load(&w->watchers[i].last_seq));
    }
    return max;
}

/* The source outruns the clock: with less, a loop that gets no processor for a while would find its readers thrown forward. */
static const struct engine_config long_memory = {.history_max_ms = 600000,
                                                 .history_slack_ms = 600000};

/* Readers come and go on both loops while samples flow: each is gapless from a key frame to the end. */
static void join_race(unsigned publisher_on, bool reader_first)
{
    struct world *w = world_new(&long_memory, publisher_on);
    struct watcher *resident = &w->watchers[0];
    srand(publisher_on + 1);
    if (reader_first) {
        /* Its loop becomes the home of the stream, and the publisher sends from the other. */
        resident->loop = !publisher_on;
        loop_call_wait(w->media[resident->loop], watcher_toggle, resident);
        on_publisher_loop(w, publish);
    } else {
        resident->loop = publisher_on;
        on_publisher_loop(w, publish);
        loop_call_wait(w->media[resident->loop], watcher_toggle, resident);
    }
    for (unsigned i = 0; i < 600; i++) {
        loop_call(w->media[publisher_on], frame, w);
        if (rand() % 4 == 0) {
            on_watcher_loop(w, 1 + (unsigned)rand() % (WATCHERS - 1), watcher_toggle);
        }
        if (i % 16 == 0) {
            on_publisher_loop(w, frame);
        }
        loop_run_once(w->control, 0);
    }
    on_watcher_loop(w, 1, watcher_close);
    on_watcher_loop(w, 1, watcher_toggle);
    on_watcher_loop(w, 2, watcher_close);
    on_watcher_loop(w, 2, watcher_toggle);
    on_publisher_loop(w, frame);
    uint64_t last = 2 * (600 + 38 + 1) - 1;
    RUN_UNTIL(w->control, atomic_load(&resident->last_seq) == last &&
                              atomic_load(&w->watchers[1].last_seq) == last &&
                              atomic_load(&w->watchers[2].last_seq) == last);
    assert_int_equal(max_last_seq(w), last);
    assert_int_equal(resident->n, last + 1);
    world_free(w); /* with everything open */
}

static void test_joining_while_it_flows_publisher_at_home(void **state)
{
    join_race(0, false);
    join_race(1, false);
}

static void test_joining_while_it_flows_publisher_elsewhere(void **state)
{
    join_race(0, true);
    join_race(1, true);
}

/* Loops whose last reader leaves and whose next one comes before the goodbye has arrived. */
static void test_leaving_and_joining_at_once(void **state)
{
    struct world *w = world_new(&long_memory, 0);
    on_publisher_loop(w, publish);
    on_publisher_loop(w, frame);
    for (unsigned i = 0; i < 400; i++) {
        on_watcher_loop(w, 1, watcher_toggle);
        if (i % 3 == 0) {
            on_publisher_loop(w, frame);
        }
        if (i % 7 == 0) {
            loop_call_wait(w->media[1], watcher_close, &w->watchers[3]);
        }
    }
    struct engine_gauges g;
    on_watcher_loop(w, 1, watcher_close);
    RUN_UNTIL(w->control, (engine_gauges(w->e, &g), g.replicas == 0));
    assert_int_equal(g.streams, 1);
    on_publisher_loop(w, unpublish);
    world_free(w);
}

static void test_publishers_come_and_go_under_readers(void **state)
{
    struct world *w = world_new(NULL, 1);
    for (unsigned i = 0; i < 2; i++) {
        w->watchers[i].state = READER_STATE_N;
        on_watcher_loop(w, i, watcher_toggle);
    }
    RUN_UNTIL(w->control, atomic_load(&w->watchers[0].state) == READER_WAITING &&
                              atomic_load(&w->watchers[1].state) == READER_WAITING);
    for (unsigned round = 0; round < 20; round++) {
        on_publisher_loop(w, publish);
        unsigned before = w->watchers[0].n;
        for (unsigned i = 0; i < 12; i++) {
            on_publisher_loop(w, frame);
        }
        RUN_UNTIL(w->control, atomic_load(&w->watchers[0].n) == before + 24 &&
                                  atomic_load(&w->watchers[1].n) == before + 24);
        on_publisher_loop(w, unpublish);
        w->publisher_on = !w->publisher_on;
        RUN_UNTIL(w->control, atomic_load(&w->watchers[0].state) == READER_WAITING &&
                                  atomic_load(&w->watchers[1].state) == READER_WAITING);
        assert_int_equal(w->watchers[0].closes + w->watchers[1].closes, 0);
    }
    RUN_UNTIL(w->control, strlen(w->events) == 60);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(w->events[i], "PRL"[i % 3]);
    }
    world_free(w);
}

/* One form a sample, made at home before it is shared; history's ones lazily. */
static void test_forms_are_made_once(void **state)
{
    struct world *w = world_new(NULL, 0);
    struct engine_gauges g;
    atomic_store(&forms_made, 0);
    on_publisher_loop(w, publish);
    on_publisher_loop(w, frame);
    assert_int_equal(forms_made, 0);
    for (unsigned i = 0; i < 6; i++) {
        on_watcher_loop(w, i, watcher_toggle);
    }
    for (unsigned i = 0; i < 6; i++) {
        RUN_UNTIL(w->control, atomic_load(&w->watchers[i].n) == 2);
    }
    for (unsigned k = 0; k < 50; k++) {
        on_publisher_loop(w, frame);
    }
    for (unsigned i = 0; i < 6; i++) {
        RUN_UNTIL(w->control, atomic_load(&w->watchers[i].n) == 102);
    }
    /* Both loops may have met at the two samples of history. */
    assert_in_range(forms_made, 102, 104);
    for (unsigned i = 0; i < 6; i++) {
        on_watcher_loop(w, i, watcher_close);
    }
    RUN_UNTIL(w->control, (engine_gauges(w->e, &g), g.readers + g.replicas == 0));
    loop_call_wait(w->media[0], watcher_close, &w->watchers[0]); /* and what the report deferred */
    unsigned made = forms_made;
    on_publisher_loop(w, frame);
    on_publisher_loop(w, frame);
    assert_int_equal(forms_made, made);
    world_free(w);
}

/* ---- looking and kicking ---- */

static struct stream_info shown;
static struct session_info shown_readers[8];
static int kick_result;

static void on_list(void *user, const struct stream_info *list, unsigned n)
{
    struct world *w = user;
    w->walks++;
    assert_int_equal(n, 1);
    shown = list[0];
}

static void on_show(void *user, const struct stream_info *info)
{
    struct world *w = user;
    w->walks++;
    shown = info ? *info : (struct stream_info){0};
    for (unsigned i = 0; info && i < MIN(info->n_listed, 8U); i++) {
        shown_readers[i] = info->readers[i];
    }
}

static void on_kick(void *user, int r)
{
    struct world *w = user;
    w->walks++;
    kick_result = r;
}

static int kick(struct world *w, const char *path, const char *id)
{
    int walks = w->walks;
    engine_kick(w->e, path, id, on_kick, w);
    RUN_UNTIL(w->control, w->walks == walks + 1);
    return kick_result;
}

static void test_list_show_and_kick(void **state)
{
    struct world *w = world_new(NULL, 0);
    on_publisher_loop(w, publish);
    for (unsigned i = 0; i < 4; i++) {
        on_watcher_loop(w, i, watcher_toggle);
    }
    for (unsigned k = 0; k < 25; k++) {
        on_publisher_loop(w, frame);
    }
    for (unsigned i = 0; i < 4; i++) {
        RUN_UNTIL(w->control, atomic_load(&w->watchers[i].last_seq) == 49);
    }
    engine_list(w->e, on_list, w);
    RUN_UNTIL(w->control, w->walks == 1);
    assert_string_equal(shown.path, "live/a");
    assert_true(shown.ready && shown.on_air && shown.has_publisher && !shown.waiting);
    assert_int_equal(shown.n_tracks, 2);
    assert_int_equal(shown.tracks[0].codec, CODEC_H264);
    assert_int_equal(shown.tracks[1].samples, 25);
    assert_int_equal(shown.n_readers, 4);
    assert_int_equal(shown.bytes_in, 5000);
    assert_true(shown.bytes_out > 0);
    assert_int_equal(shown.history_ms, 965);
    assert_null(shown.readers);

    engine_show(w->e, "live/a", on_show, w);
    RUN_UNTIL(w->control, w->walks == 2);
    assert_int_equal(shown.n_listed, 4);
    assert_string_equal(shown.publisher.protocol, "test");
    assert_true(shown.publisher.on_air);
    assert_int_equal(shown.publisher.samples, 50);
    engine_show(w->e, "live/none", on_show, w);
    RUN_UNTIL(w->control, w->walks == 3);
    assert_string_equal(shown.path, "");

    assert_int_equal(kick(w, "live/a", shown_readers[0].id), 0);
    assert_int_equal(kick(w, "live/a", shown_readers[0].id), -ENOENT);
    assert_int_equal(kick(w, "live/b", shown_readers[1].id), -ENOENT);
    assert_int_equal(kick(w, "live/a", "nonsense"), -ENOENT);
    unsigned closes = 0;
    for (unsigned i = 0; i < 4; i++) {
        closes += w->watchers[i].closes;
    }
    assert_int_equal(closes, 1);
    assert_int_equal(kick(w, "live/a", "readers"), 0);
    struct engine_gauges g;
    engine_gauges(w->e, &g);
    assert_int_equal(g.readers, 0);
    assert_int_equal(kick(w, "live/a", "publisher"), 0);
    assert_int_equal(kick(w, "live/a", "all"), -ENOENT);
    assert_int_equal(w->src.close_code, -ECONNABORTED);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joining_while_it_flows_publisher_at_home),
        cmocka_unit_test(test_joining_while_it_flows_publisher_elsewhere),
        cmocka_unit_test(test_leaving_and_joining_at_once),
        cmocka_unit_test(test_publishers_come_and_go_under_readers),
        cmocka_unit_test(test_forms_are_made_once),
        cmocka_unit_test(test_list_show_and_kick),
    };
    form_register(FORM_RTMP, make_form);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
