/* SPDX-License-Identifier: Apache-2.0 */
/* Derived streams on a real engine, with the real mast-av. Control loop and media loop are driven by the test. */
#include "../await.h"
#include "../media/fixture.h"

#include "io/proc.h"
#include "service/stream/derived.h"
#include "service/stream/derived_maker.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define SEEN_MAX 512

struct seen {
    uint16_t track;
    int64_t dts_ns;
    int64_t pts_ns;
    uint32_t epoch;
    struct buf *payload; /* a reference */
};

struct viewer {
    struct reader *reader;
    enum reader_state state;
    bool may_end;
    int end_code;
    char why[160];
    const struct track_params *params[TRACKS_MAX]; /* as last told; to compare only */
    enum codec codecs[TRACKS_MAX];
    unsigned n_tracks;
    unsigned n;
    struct seen seen[SEEN_MAX];
};

struct rig {
    struct loop *control;
    struct loop *media;
    struct engine *engine;
    struct av_pool *pool;
    struct fixture *file;
    struct track_params *params[2];
    struct publisher *publisher;
    int closes; /* of the publisher */
    int close_code;
    struct derived *derived;
    struct derived_maker maker;
    int ends;
    struct error why;
    struct viewer parent;
    struct viewer child;
};

static void pass(struct rig *r)
{
    loop_run_once(r->media, 0);
    loop_run_once(r->control, 2);
}

#define UNTIL(r, cond) AWAIT_STEP(cond, pass(r))

static void viewer_on_state(void *user, enum reader_state state, const char *reason)
{
    struct viewer *v = user;
    v->state = state;
    if (state == READER_LIVE) {
        v->n_tracks = reader_tracks(v->reader, v->params);
        for (unsigned i = 0; i < v->n_tracks; i++) {
            v->codecs[i] = v->params[i] ? v->params[i]->codec : CODEC_N;
        }
    }
}

static void viewer_on_samples(void *user)
{
    struct viewer *v = user;
    struct sample *s;
    while ((s = reader_peek(v->reader, 0)) != NULL) {
        assert_true(v->n < SEEN_MAX && s->track < TRACKS_MAX);
        v->params[s->track] = s->params;
        v->codecs[s->track] = s->params->codec;
        v->seen[v->n++] = (struct seen){.track = s->track,
                                        .dts_ns = s->dts_ns,
                                        .pts_ns = s->pts_ns,
                                        .epoch = s->epoch,
                                        .payload = buf_ref(s->payload)};
        reader_advance(v->reader, 1);
    }
}

static void viewer_on_close(void *user, int r, const char *why)
{
    struct viewer *v = user;
    if (!v->may_end) {
        fail_msg("a viewer was ended: %s", why);
    }
    v->end_code = r;
    snprintf(v->why, sizeof(v->why), "%s", why);
}

static void viewer_open(struct rig *r, struct viewer *v, const char *path)
{
    static const struct reader_ops ops = {viewer_on_state, viewer_on_samples, viewer_on_close};
    const struct reader_info info = {
        .path = path, .protocol = "test", .replay = REPLAY_EXACT, .wait = true};
    v->reader = reader_open(r->engine, r->media, &info, &ops, v);
}

static void viewer_done(struct viewer *v)
{
    v->reader = reader_close(v->reader);
    for (unsigned i = 0; i < v->n; i++) {
        buf_unref(&v->seen[i].payload);
    }
    v->n = 0;
}

static unsigned count(const struct viewer *v, unsigned track)
{
    unsigned n = 0;
    for (unsigned i = 0; i < v->n; i++) {
        n += v->seen[i].track == track;
    }
    return n;
}

/* The k-th sample of a track. */
static const struct seen *seen_at(const struct viewer *v, unsigned track, unsigned k)
{
    for (unsigned i = 0; i < v->n; i++) {
        if (v->seen[i].track == track && k-- == 0) {
            return &v->seen[i];
        }
    }
    fail_msg("no such sample");
    return NULL;
}

/* ---- the parent's publisher ---- */

static void on_open(void *user)
{
}

static void on_close(void *user, int code, const char *why)
{
    struct rig *r = user;
    r->closes++;
    r->close_code = code;
    r->publisher = publisher_close(r->publisher);
}

static const struct publisher_ops publisher_ops = {.on_open = on_open, .on_close = on_close};

static void publish_open(struct rig *r, const char *path)
{
    const struct publisher_info info = {.path = path, .protocol = "test"};
    r->publisher = publisher_open(r->engine, r->media, &info, &publisher_ops, r);
    struct publisher_track tracks[2] = {{r->params[0]->codec, r->params[0]},
                                        {r->params[1]->codec, r->params[1]}};
    publisher_tracks(r->publisher, tracks, 2);
}

static void publish_one(struct rig *r, unsigned track, unsigned k)
{
    const struct fixture_track *t = &r->file->tracks[track];
    const struct fixture_sample *f = &t->samples[k];
    struct buf *payload = buf_copy(f->data);
    struct sample *s =
        sample_new(track, r->params[track], &payload, f->dts * NS_PER_S / t->timescale,
                   f->pts * NS_PER_S / t->timescale, f->key ? SAMPLE_KEY : 0, 0);
    publisher_write(r->publisher, &s);
}

/* The whole file in the order of its stamps. */
static void publish_file(struct rig *r, const char *path)
{
    unsigned at[2] = {0, 0};
    publish_open(r, path);
    for (;;) {
        const struct fixture_track *t = r->file->tracks;
        bool more[2] = {at[0] < t[0].n, at[1] < t[1].n};
        if (!more[0] && !more[1]) {
            break;
        }
        unsigned next =
            !more[0] || (more[1] && t[1].samples[at[1]].dts * (int64_t)t[0].timescale <
                                        t[0].samples[at[0]].dts * (int64_t)t[1].timescale)
                ? 1
                : 0;
        publish_one(r, next, at[next]++);
        pass(r);
        if (at[0] == 1 && at[1] == 1 && r->child.reader) {
            /* The worker has started; else the child's viewer would begin with the newest group. */
            UNTIL(r, r->child.n_tracks == 2);
        }
    }
}

/* ---- the rig ---- */

static void on_end(void *user, int code, const char *why)
{
    struct rig *r = user;
    r->ends++;
    error_set(&r->why, code, "", "%s", why);
}

static const struct derived_ops derived_ops = {.on_end = on_end};

static void derive(struct rig *r, const char *path)
{
    r->derived = derived_start(r->engine, r->media, r->pool, path, &derived_ops, r);
}

/* on_demand: who reads makes; else the test derives. continuity_ms 0: none. */
static struct rig *rig_open_with(bool with_worker, bool on_demand, unsigned continuity_ms)
{
    char program[512];
    snprintf(program, sizeof(program), "%s/../../src/av/mast-av", getenv("MAST_LIBEXEC_DIR"));
    if (with_worker && access(program, X_OK) < 0) {
        skip(); /* built without libav */
    }
    struct rig *r = mem_new(struct rig);
    struct av_pool_config config = {.program = with_worker ? program : NULL};
    r->control = loop_new("control", LOOP_CONTROL);
    r->media = loop_new("media", 0);
    r->pool = av_pool_new(r->control, &config);
    derived_maker_init(&r->maker, r->pool);
    const struct engine_config engine = {
        .continuity_ms = continuity_ms,
        .continuity_none = continuity_ms == 0,
        .linger_ms = 50,
        .maker = on_demand ? derived_maker_for_engine(&r->maker) : (struct stream_maker){0},
    };
    r->engine = engine_new(&engine, r->control, &r->media, 1);
    r->file = fixture_open("h264_aac.mp4");
    for (unsigned i = 0; i < 2; i++) {
        const struct fixture_track *t = &r->file->tracks[i];
        assert_int_equal(track_params_new(t->codec, t->config, &r->params[i], NULL), 0);
    }
    return r;
}

static struct rig *rig_open(bool with_worker, bool on_demand)
{
    return rig_open_with(with_worker, on_demand, 300);
}

static struct rig *rig_new(bool with_worker)
{
    return rig_open(with_worker, false);
}

static void rig_free(struct rig *r)
{
    struct av_gauges g = {.jobs = 1};
    r->derived = derived_stop(r->derived);
    viewer_done(&r->parent);
    viewer_done(&r->child);
    r->publisher = publisher_close(r->publisher);
    UNTIL(r, (av_pool_gauges(r->pool, &g), g.jobs == 0));
    UNTIL(r, r->maker.live == 0);
    for (int i = 0; i < 10; i++) {
        pass(r);
    }
    av_pool_free(r->pool);
    UNTIL(r, proc_live() == 0);
    engine_free(r->engine);
    loop_free(r->media);
    loop_free(r->control);
    track_params_unref(&r->params[0]);
    track_params_unref(&r->params[1]);
    fixture_close(r->file);
    free(r);
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
    assert_int_equal(track_params_live_count(), 0);
}

/* Pictures are the parent's own bytes at the parent's times; sound is Opus, step by step, from the same time on. */
static void check_child(const struct rig *r)
{
    const struct viewer *p = &r->parent;
    const struct viewer *c = &r->child;
    assert_int_equal(c->n_tracks, 2);
    assert_int_equal(c->codecs[0], CODEC_H264);
    assert_ptr_equal(c->params[0], p->params[0]);
    assert_int_equal(c->codecs[1], CODEC_OPUS);
    for (unsigned k = 0; k < count(p, 0); k++) {
        const struct seen *a = seen_at(p, 0, k);
        const struct seen *b = seen_at(c, 0, k);
        assert_ptr_equal(a->payload, b->payload);
        assert_int_equal(a->dts_ns, b->dts_ns);
        assert_int_equal(a->pts_ns, b->pts_ns);
    }
    int64_t off = seen_at(c, 1, 0)->pts_ns - seen_at(p, 1, 0)->pts_ns;
    assert_in_range(-off, 6 * NS_PER_MS, 7 * NS_PER_MS); /* the encoder's priming */
    for (unsigned k = 1; k < count(c, 1); k++) {
        int64_t step = seen_at(c, 1, k)->pts_ns - seen_at(c, 1, k - 1)->pts_ns;
        assert_in_range(step, 20 * NS_PER_MS - 1, 20 * NS_PER_MS + 1);
    }
}

static void pictures_pass_and_sound_is_converted(void **state)
{
    struct rig *r = rig_new(true);
    derive(r, "live/x~opus");
    viewer_open(r, &r->parent, "live/x");
    viewer_open(r, &r->child, "live/x~opus");
    publish_file(r, "live/x");
    UNTIL(r, count(&r->child, 0) == r->file->tracks[0].n && count(&r->child, 1) >= 55);
    check_child(r);
    assert_int_equal(r->ends, 0);
    rig_free(r);
}

static void it_begins_with_the_parents_history(void **state)
{
    struct rig *r = rig_new(true);
    publish_file(r, "live/x");
    viewer_open(r, &r->parent, "live/x");
    for (int i = 0; i < 5; i++) {
        pass(r);
    }
    assert_true(count(&r->parent, 0) > 0);
    derive(r, "live/x~opus");
    viewer_open(r, &r->child, "live/x~opus");
    UNTIL(r, count(&r->child, 0) == count(&r->parent, 0) && count(&r->child, 1) >= 20);
    check_child(r);
    rig_free(r);
}

static void the_parents_next_publisher_is_followed(void **state)
{
    struct rig *r = rig_new(true);
    derive(r, "live/x~opus");
    viewer_open(r, &r->parent, "live/x");
    viewer_open(r, &r->child, "live/x~opus");
    publish_file(r, "live/x");
    UNTIL(r, count(&r->child, 1) >= 55);
    r->publisher = publisher_close(r->publisher);
    pass(r);
    publish_file(r, "live/x");
    unsigned pictures = 2 * r->file->tracks[0].n;
    UNTIL(r, count(&r->child, 0) == pictures && count(&r->child, 1) >= 100);
    const struct seen *a = seen_at(&r->parent, 0, pictures - 1);
    const struct seen *b = seen_at(&r->child, 0, pictures - 1);
    assert_ptr_equal(a->payload, b->payload);
    assert_int_equal(a->dts_ns, b->dts_ns);
    assert_true(b->epoch > seen_at(&r->child, 0, 0)->epoch);
    assert_int_equal(r->ends, 0);
    rig_free(r);
}

/* While its sound waits for the worker, another publisher brings what needs none. */
static void the_next_publisher_needs_no_worker(void **state)
{
    static const uint8_t dops[] = {0, 2, 0x01, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0};
    struct rig *r = rig_open_with(true, false, 0); /* else it would have to send the same codecs */
    struct av_gauges g = {0};
    derive(r, "live/x~opus");
    viewer_open(r, &r->child, "live/x~opus");
    publish_open(r, "live/x");
    publish_one(r, 0, 0);
    publish_one(r, 1, 0);
    UNTIL(r, (av_pool_gauges(r->pool, &g), g.jobs == 1));
    r->publisher = publisher_close(r->publisher);
    track_params_unref(&r->params[1]);
    assert_int_equal(track_params_new(CODEC_OPUS, BYTES(dops, sizeof(dops)), &r->params[1], NULL),
                     0);
    publish_open(r, "live/x");
    for (int i = 0; i < 10; i++) {
        loop_run_once(r->media, 1); /* the worker is on the other loop: it has no answer */
    }
    for (unsigned k = 0; k < 5; k++) {
        publish_one(r, 0, k);
        publish_one(r, 1, k);
    }
    UNTIL(r, count(&r->child, 0) == 5 && count(&r->child, 1) == 5);
    assert_int_equal(r->child.codecs[1], CODEC_OPUS);
    assert_int_equal(r->ends, 0);
    rig_free(r);
}

static void sound_of_that_codec_passes_too(void **state)
{
    struct rig *r = rig_new(false); /* no worker is needed, and none is there */
    struct av_gauges g;
    derive(r, "live/x~aac");
    viewer_open(r, &r->parent, "live/x");
    viewer_open(r, &r->child, "live/x~aac");
    publish_file(r, "live/x");
    unsigned all = r->file->tracks[0].n + r->file->tracks[1].n;
    UNTIL(r, r->child.n == all);
    assert_int_equal(r->parent.n, all);
    for (unsigned i = 0; i < all; i++) {
        assert_ptr_equal(r->child.seen[i].payload, r->parent.seen[i].payload);
        assert_int_equal(r->child.seen[i].pts_ns, r->parent.seen[i].pts_ns);
    }
    av_pool_gauges(r->pool, &g);
    assert_int_equal(g.jobs, 0);
    rig_free(r);
}

static void without_a_worker_it_ends_with_the_reason(void **state)
{
    struct rig *r = rig_new(false);
    derive(r, "live/x~opus");
    publish_file(r, "live/x");
    UNTIL(r, r->ends > 0);
    assert_int_equal(r->why.code, -ENOENT);
    assert_non_null(strstr(r->why.text, "not found"));
    rig_free(r);
}

static void on_kicked(void *user, int code)
{
    *(int *)user = code;
}

/* Somebody ends the reader of the parent while the job waits for its worker: what the job then tells finds no reader. */
static void a_job_outlives_the_reader(void **state)
{
    struct rig *r = rig_new(true);
    struct av_gauges g = {0};
    int kicked = 1;
    derive(r, "live/x~opus");
    publish_open(r, "live/x");
    publish_one(r, 0, 0);
    publish_one(r, 1, 0);
    UNTIL(r, (av_pool_gauges(r->pool, &g), g.jobs == 1));
    engine_kick(r->engine, "live/x", "readers", on_kicked, &kicked);
    UNTIL(r, kicked == 0 && r->ends == 1);
    assert_int_equal(track_params_live_count(), 2); /* the worker did not answer before */
    UNTIL(r, track_params_live_count() == 3);
    pass(r); /* from the control loop to the job's */
    pass(r);
    assert_int_equal(r->ends, 1);
    rig_free(r);
}

/* ---- on demand ---- */

static void who_reads_it_makes_it(void **state)
{
    struct rig *r = rig_open(true, true);
    viewer_open(r, &r->parent, "live/x");
    viewer_open(r, &r->child, "live/x~opus"); /* before anybody publishes */
    UNTIL(r, r->maker.live == 1);
    publish_file(r, "live/x");
    UNTIL(r, count(&r->child, 0) == r->file->tracks[0].n && count(&r->child, 1) >= 55);
    check_child(r);
    r->child.reader = reader_close(r->child.reader);
    UNTIL(r, r->maker.live == 0);
    assert_int_equal(r->maker.failed_total, 0);
    rig_free(r);
}

/* It is live when its parent is, waits as long, and is over when that is. */
static void it_ends_with_its_parent_and_returns_with_it(void **state)
{
    struct rig *r = rig_open(true, true);
    viewer_open(r, &r->parent, "live/x");
    viewer_open(r, &r->child, "live/x~opus");
    publish_file(r, "live/x");
    UNTIL(r, count(&r->child, 1) >= 55);
    r->publisher = publisher_close(r->publisher);
    UNTIL(r, r->parent.state == READER_ENDED);
    UNTIL(r, r->child.state == READER_ENDED);
    publish_file(r, "live/x");
    unsigned pictures = 2 * r->file->tracks[0].n;
    UNTIL(r, r->child.state == READER_LIVE && count(&r->child, 0) == pictures &&
                 count(&r->child, 1) >= 100);
    assert_int_equal(r->maker.started_total, 1);
    rig_free(r);
}

static void without_a_worker_its_readers_are_told_why(void **state)
{
    struct rig *r = rig_open(false, true);
    r->child.may_end = true;
    publish_file(r, "live/x");
    viewer_open(r, &r->child, "live/x~opus");
    UNTIL(r, r->child.end_code != 0);
    assert_int_equal(r->child.end_code, -ENOTSUP);
    assert_non_null(strstr(r->child.why, "mast-av is not installed"));
    UNTIL(r, r->maker.live == 0);
    assert_int_equal(r->maker.failed_total, 1);
    rig_free(r);
}

/* Its reader stays, sound goes on, and what was lost is what was in the worker. */
static void a_killed_worker_is_survived(void **state)
{
    struct rig *r = rig_open(true, true);
    struct av_gauges g = {0};
    viewer_open(r, &r->child, "live/x~opus");
    publish_open(r, "live/x");
    unsigned half = r->file->tracks[1].n / 2;
    for (unsigned k = 0; k < half; k++) {
        if (k < r->file->tracks[0].n) {
            publish_one(r, 0, k);
        }
        publish_one(r, 1, k);
        pass(r);
    }
    UNTIL(r, count(&r->child, 1) >= 10);
    pid_t pid = av_pool_worker_pid(r->pool, 0);
    assert_true(pid > 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    UNTIL(r, (av_pool_gauges(r->pool, &g), g.restarts_total == 1));
    unsigned before = count(&r->child, 1);
    for (unsigned k = half; k < r->file->tracks[1].n; k++) {
        publish_one(r, 1, k);
        pass(r);
    }
    UNTIL(r, count(&r->child, 1) >= before + 10);
    assert_true(av_pool_worker_pid(r->pool, 0) != pid);
    assert_int_equal(r->maker.started_total, 1);
    const unsigned n = count(&r->child, 1);
    for (unsigned k = 1; k < n; k++) {
        assert_true(seen_at(&r->child, 1, k)->pts_ns > seen_at(&r->child, 1, k - 1)->pts_ns);
    }
    rig_free(r);
}

static void only_derived_streams_have_such_paths(void **state)
{
    char parent[STREAM_PATH_MAX + 1];
    enum codec codec = CODEC_N;
    assert_int_equal(derived_parse("live/x~opus", parent, &codec), 0);
    assert_string_equal(parent, "live/x");
    assert_int_equal(codec, CODEC_OPUS);
    assert_int_equal(derived_parse("a~aac", parent, &codec), 0);
    assert_int_equal(codec, CODEC_AAC);
    static const char *const none[] = {
        "live/x",          "live/x~",      "~opus",      "live/x~mp3",  "live/x~opus/",
        "live/x~aac~opus", "live//x~opus", "api/x~opus", "live/x~OPUS", "live/.x~opus"};
    for (unsigned i = 0; i < ARRAY_LEN(none); i++) {
        assert_int_equal(derived_parse(none[i], parent, &codec), -EINVAL);
    }
    struct rig *r = rig_new(false);
    publish_open(r, "live/x~opus");
    UNTIL(r, r->closes == 1);
    assert_int_equal(r->close_code, -EINVAL);
    derive(r, "live/x~mp3");
    UNTIL(r, r->ends == 1);
    assert_int_equal(r->why.code, -EINVAL);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_pass_and_sound_is_converted),
        cmocka_unit_test(it_begins_with_the_parents_history),
        cmocka_unit_test(the_parents_next_publisher_is_followed),
        cmocka_unit_test(the_next_publisher_needs_no_worker),
        cmocka_unit_test(sound_of_that_codec_passes_too),
        cmocka_unit_test(without_a_worker_it_ends_with_the_reason),
        cmocka_unit_test(a_job_outlives_the_reader),
        cmocka_unit_test(who_reads_it_makes_it),
        cmocka_unit_test(it_ends_with_its_parent_and_returns_with_it),
        cmocka_unit_test(without_a_worker_its_readers_are_told_why),
        cmocka_unit_test(a_killed_worker_is_survived),
        cmocka_unit_test(only_derived_streams_have_such_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
