/* SPDX-License-Identifier: Apache-2.0 */
/* Streams that are made on demand, with a maker that does what the test says. Two media loops, both driven by the test. */
#include "rig.h"

#define PATH "live/x~opus"

struct workshop {
    struct loop *control;
    struct loop *media[2];
    struct engine *e;
    int starts, stops;
    struct stream *stream; /* being made; NULL = none */
    struct loop *home;
    char path[STREAM_PATH_MAX + 1];
    bool publishes; /* at once */
    struct source out;
    struct source parent;
    struct viewer v[3];
};

static void publish_out(struct workshop *w)
{
    const struct publisher_info info = {.path = PATH, .protocol = "derived", .derived = true};
    w->out.frame = 0;
    w->out.base_ns = clock_mono_ns();
    w->out.p = publisher_open(w->e, w->home, &info, &source_ops, &w->out);
    source_announce(&w->out);
}

static void *start(void *user, struct engine *e, struct loop *home, struct stream *s,
                   const char *path)
{
    struct workshop *w = user;
    assert_null(w->stream);
    assert_ptr_equal(loop_current(), home);
    w->starts++;
    w->stream = s;
    w->home = home;
    snprintf(w->path, sizeof(w->path), "%s", path);
    if (w->publishes) {
        publish_out(w);
    }
    return w;
}

static void stop(void *user, void *made)
{
    struct workshop *w = user;
    assert_ptr_equal(made, w);
    assert_non_null(w->stream);
    w->stops++;
    w->stream = NULL;
    w->out.p = publisher_close(w->out.p);
}

static struct workshop *workshop_new(uint32_t linger_ms)
{
    struct workshop *w = mem_new(struct workshop);
    const struct engine_config config = {
        .maker = {.start = start, .stop = stop, .user = w},
        .linger_ms = linger_ms,
        .linger_none = linger_ms == 0,
    };
    log_configure("error", false);
    w->control = loop_new("control", LOOP_CONTROL);
    w->media[0] = loop_new("media0", 0);
    w->media[1] = loop_new("media1", 1);
    w->e = engine_new(&config, w->control, w->media, 2);
    source_init(&w->out, CODEC_H264, true);
    source_init(&w->parent, CODEC_H264, true);
    return w;
}

static void turn(struct workshop *w)
{
    loop_run_once(w->media[0], 1);
    loop_run_once(w->media[1], 1);
    loop_run_once(w->control, 0);
}

#define UNTIL(w, cond) AWAIT_STEP(cond, turn(w))

static void turns(struct workshop *w)
{
    for (int i = 0; i < 20; i++) {
        turn(w);
    }
}

static void workshop_free(struct workshop *w)
{
    for (unsigned i = 0; i < ARRAY_LEN(w->v); i++) {
        w->v[i].r = reader_close(w->v[i].r);
    }
    source_done(&w->parent);
    struct engine *e = w->e;
    engine_free(e);
    assert_int_equal(w->stops, w->starts);
    source_done(&w->out);
    turns(w);
    loop_free(w->media[0]);
    loop_free(w->media[1]);
    loop_free(w->control);
    free(w);
    assert_no_media_lives();
}

/* One that does not wait, as HLS reads. */
static void visit(struct workshop *w, struct viewer *v, unsigned loop)
{
    const struct reader_info info = {.path = PATH, .protocol = "test"};
    v->r = reader_open(w->e, w->media[loop], &info, &viewer_ops, v);
}

static void watch(struct workshop *w, unsigned i, unsigned loop)
{
    viewer_open(&w->v[i], w->e, w->media[loop], PATH, REPLAY_EXACT);
}

static uint64_t streams(struct workshop *w)
{
    struct engine_gauges g;
    engine_gauges(w->e, &g);
    return g.streams;
}

static void test_readers_on_all_loops_are_one_demand(void **state)
{
    struct workshop *w = workshop_new(30);
    w->publishes = true;
    watch(w, 0, 0);
    assert_int_equal(w->starts, 0); /* never inside a reader's call */
    watch(w, 1, 1);
    UNTIL(w, w->starts == 1);
    assert_string_equal(w->path, PATH);
    source_frames(&w->out, w->home, 3);
    UNTIL(w, w->v[0].n == 6 && w->v[1].n == 6);
    w->v[0].r = reader_close(w->v[0].r); /* the home's */
    turns(w);
    assert_int_equal(w->stops, 0);
    w->v[1].r = reader_close(w->v[1].r);
    const int64_t left_ns = clock_mono_ns();
    UNTIL(w, w->stops == 1);
    assert_true(clock_mono_ns() - left_ns >= 29 * NS_PER_MS);
    UNTIL(w, streams(w) == 0);
    workshop_free(w);
}

static void test_who_returns_in_time_finds_it(void **state)
{
    struct workshop *w = workshop_new(60000);
    w->publishes = true;
    watch(w, 0, 0);
    UNTIL(w, w->starts == 1);
    source_frames(&w->out, w->home, 3);
    UNTIL(w, w->v[0].n == 6);
    w->v[0].r = reader_close(w->v[0].r);
    turns(w);
    assert_int_equal(streams(w), 1);
    watch(w, 1, 1);
    UNTIL(w, w->v[1].n == 6);
    assert_int_equal(w->starts, 1);
    w->v[1].r = reader_close(w->v[1].r);
    turns(w);
    assert_int_equal(w->stops, 0);
    workshop_free(w); /* ends what lingers */
}

/* Nobody is kept: what is not on air costs nothing to make again. */
static void test_what_never_came_does_not_linger(void **state)
{
    struct workshop *w = workshop_new(60000);
    watch(w, 0, 0);
    UNTIL(w, w->starts == 1);
    w->v[0].r = reader_close(w->v[0].r);
    UNTIL(w, w->stops == 1);
    UNTIL(w, streams(w) == 0);
    workshop_free(w);
}

static void test_who_does_not_wait_learns_that_the_parent_is_absent(void **state)
{
    struct workshop *w = workshop_new(0);
    visit(w, &w->v[0], 0); /* the parent is not even known */
    UNTIL(w, w->v[0].closes == 1);
    assert_int_equal(w->v[0].close_code, -ENOENT);
    assert_int_equal(w->starts, 0);
    source_open(&w->parent, w->e, w->media[0], "live/x");
    visit(w, &w->v[0], 1);
    UNTIL(w, w->starts == 1);
    turns(w);
    assert_int_equal(w->v[0].closes, 1); /* it waits for the maker's word */
    stream_expect(w->stream, false);
    UNTIL(w, w->v[0].closes == 2);
    assert_int_equal(w->v[0].close_code, -ENOENT);
    UNTIL(w, w->stops == 1);
    workshop_free(w);
}

static void test_those_who_wait_see_it_come_and_go(void **state)
{
    struct workshop *w = workshop_new(0);
    struct viewer *v = &w->v[0];
    watch(w, 0, 0);
    UNTIL(w, w->starts == 1);
    stream_expect(w->stream, false);
    turns(w);
    assert_int_equal(v->state, READER_WAITING);
    stream_expect(w->stream, true);
    publish_out(w);
    source_frames(&w->out, w->home, 3);
    UNTIL(w, v->state == READER_LIVE && v->n == 6);
    /* As the parent ends: not one continuity window after the other. */
    w->out.p = publisher_close(w->out.p);
    UNTIL(w, v->state == READER_WAITING);
    stream_expect(w->stream, false);
    UNTIL(w, v->state == READER_ENDED);
    assert_int_equal(v->closes, 0);
    assert_int_equal(w->stops, 0);
    workshop_free(w);
}

static void test_a_refusal_sends_all_away_and_the_next_one_tries_again(void **state)
{
    struct workshop *w = workshop_new(60000);
    w->publishes = true;
    watch(w, 0, 0);
    watch(w, 1, 1);
    UNTIL(w, w->starts == 1);
    source_frames(&w->out, w->home, 3);
    UNTIL(w, w->v[0].n == 6 && w->v[1].n == 6);
    stream_refuse(w->stream, -ENOTSUP, "no worker");
    assert_int_equal(w->stops, 1);
    UNTIL(w, w->v[0].closes == 1 && w->v[1].closes == 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(w->v[i].close_code, -ENOTSUP);
        assert_string_equal(w->v[i].reason, "no worker");
    }
    UNTIL(w, streams(w) == 0);
    watch(w, 2, 1);
    UNTIL(w, w->starts == 2);
    source_frames(&w->out, w->home, 3);
    UNTIL(w, w->v[2].n == 6);
    workshop_free(w);
}

static void test_only_derived_paths_are_made(void **state)
{
    struct workshop *w = workshop_new(0);
    viewer_open(&w->v[0], w->e, w->media[0], "live/x", REPLAY_EXACT);
    viewer_open(&w->v[1], w->e, w->media[0], "live/x~mp3", REPLAY_EXACT);
    turns(w);
    assert_int_equal(w->starts, 0);
    assert_int_equal(w->v[0].closes, 0);
    assert_int_equal(w->v[1].close_code, -ENOENT);
    workshop_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_readers_on_all_loops_are_one_demand),
        cmocka_unit_test(test_who_returns_in_time_finds_it),
        cmocka_unit_test(test_what_never_came_does_not_linger),
        cmocka_unit_test(test_who_does_not_wait_learns_that_the_parent_is_absent),
        cmocka_unit_test(test_those_who_wait_see_it_come_and_go),
        cmocka_unit_test(test_a_refusal_sends_all_away_and_the_next_one_tries_again),
        cmocka_unit_test(test_only_derived_paths_are_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
