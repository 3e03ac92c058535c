/* SPDX-License-Identifier: Apache-2.0 */
/* The model and its playlists, by tables, with times that the tests choose. */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/hls/hls_playlist_wire.h"

#include <inttypes.h>
#include <stdio.h>

/* x264, 192x108 at 25 fps, High, level 1.1. */
static const uint8_t avcc[] = {
    0x01, 0x64, 0x00, 0x0b, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0b, 0xac, 0xd9, 0x43,
    0x0f, 0xfb, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c,
    0x50, 0xa6, 0x58, 0x01, 0x00, 0x05, 0x68, 0xeb, 0xec, 0xb2, 0x2c, 0xfd, 0xf8, 0xf8, 0x00,
};
static const uint8_t asc48[] = {0x11, 0x90}; /* AAC-LC, stereo */
static const uint8_t asc44[] = {0x12, 0x10};

#define FRAME (40 * NS_PER_MS) /* 25 fps */
#define AUDIO 21333333LL       /* 1024 samples at 48 kHz */
#define WALL  (1700000000 * NS_PER_S)
#define GROUP 1000

/* A publisher and the muxer it feeds. */
struct world {
    struct hls_mux m;
    struct track_params *video, *audio;
    uint64_t seq, group;
    uint32_t epoch;
    int64_t video_ns, audio_ns; /* of the next sample */
    unsigned frames;            /* since the last key frame */
    unsigned gop;
    int64_t frame_ns;
    bool silent;
    size_t large;  /* pictures are so long */
    uint64_t bufs; /* before */
};

static struct track_params *params(enum codec codec, const uint8_t *config, size_t n)
{
    struct track_params *p = NULL;
    assert_int_equal(track_params_new(codec, BYTES(config, n), &p, NULL), 0);
    return p;
}

static void setup(struct world *w, unsigned gop)
{
    static const struct hls_limits limits = {2 * NS_PER_S, 300 * NS_PER_MS, 8, 1 << 20};
    *w = (struct world){.gop = gop, .epoch = 3, .group = GROUP - 1, .frame_ns = FRAME};
    w->bufs = buf_live_count();
    hls_mux_init(&w->m, &limits);
    w->video = params(CODEC_H264, avcc, sizeof(avcc));
    w->audio = params(CODEC_AAC, asc48, sizeof(asc48));
    w->video_ns = w->audio_ns = 10 * NS_PER_S;
}

static void teardown(struct world *w)
{
    hls_mux_done(&w->m);
    track_params_unref(&w->video);
    track_params_unref(&w->audio);
    assert_int_equal(buf_live_count(), w->bufs);
}

static void push(struct world *w, unsigned track, struct track_params *p, int64_t dts,
                 int64_t duration, unsigned flags)
{
    char text[32];
    snprintf(text, sizeof(text), "%u@%lld;", track, dts / NS_PER_MS);
    struct buf *payload = NULL;
    size_t len = MAX(strlen(text), track == 0 ? w->large : 0);
    _cleanup_buf_ struct buf *chunk = buf_new(len);
    memset(chunk->data, '.', len);
    memcpy(chunk->data, text, strlen(text));
    struct sample *s = sample_new(track, p, &payload, dts, dts + 2 * FRAME * (track == 0), flags,
                                  dts + 5 * NS_PER_MS);
    s->seq = w->seq++;
    s->group = w->group;
    s->epoch = w->epoch;
    s->duration_ns = duration;
    hls_mux_push(&w->m, s, chunk, WALL);
    sample_unref(&s);
}

static void push_picture(struct world *w)
{
    bool key = w->frames % w->gop == 0;
    w->group += key;
    w->frames++;
    push(w, 0, w->video, w->video_ns, w->frame_ns, key ? SAMPLE_KEY : 0);
    w->video_ns += w->frame_ns;
}

/* Everything up to a time, in order. */
static void run_until(struct world *w, int64_t end_ns)
{
    while (w->video_ns < end_ns || (!w->silent && w->audio_ns < end_ns)) {
        if (w->silent || w->video_ns <= w->audio_ns) {
            push_picture(w);
        } else {
            push(w, 1, w->audio, w->audio_ns, AUDIO, 0);
            w->audio_ns += AUDIO;
        }
    }
}

static void run_for(struct world *w, int64_t ns)
{
    run_until(w, w->video_ns + ns);
}

/* The next samples are another publisher's, gap_ns later. */
static void restart(struct world *w, int64_t gap_ns)
{
    w->epoch++;
    w->frames = 0;
    w->video_ns += gap_ns;
    w->audio_ns = w->video_ns;
}

static char *playlist(struct world *w, unsigned track, const char *query)
{
    struct out o = {0};
    struct hls_directives d;
    assert_int_equal(hls_directives_parse(query, &d, NULL), 0);
    hls_put_playlist(&o, &w->m, track, &d, "");
    return out_take_str(&o);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) {
        n++;
    }
    return n;
}

static void check_has(const char *text, const char *what)
{
    assert_non_null(text);
    if (!strstr(text, what)) {
        fail_msg("no \"%s\" in:\n%s", what, text);
    }
}

static void check_lacks(const char *text, const char *what)
{
    assert_non_null(text);
    if (strstr(text, what)) {
        fail_msg("\"%s\" in:\n%s", what, text);
    }
}

/* ---- segments and parts ---- */

static void test_segments_are_whole_groups_and_parts_add_up(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 7 * NS_PER_S);
    assert_int_equal(w.m.n_segments, 4); /* three of two groups, and the open one */
    for (unsigned i = 0; i < 3; i++) {
        const struct hls_segment *g = w.m.segments[i];
        assert_true(g->msn == GROUP + i);
        assert_true(g->independent);
        for (unsigned t = 0; t < 2; t++) {
            const struct hls_piece *p = &g->pieces[t];
            int64_t sum = 0;
            assert_true(p->closed);
            for (unsigned k = 0; k < p->n_parts; k++) {
                int64_t d = p->parts[k].duration_ns;
                assert_true(p->parts[k].start_ns == p->start_ns + sum);
                assert_true(d <= w.m.tracks[t].part_target_ns);
                assert_true(k + 1 == p->n_parts || d * 100 >= 85 * w.m.tracks[t].part_target_ns);
                assert_int_equal(p->parts[k].independent, t == 1 || k == 0 || k == 3);
                sum += d;
            }
            assert_true(sum == p->duration_ns);
        }
        assert_true(g->pieces[0].duration_ns == 2 * NS_PER_S);
    }
    teardown(&w);
}

/* Stamps in whole milliseconds: 66, 67, 67, as RTMP has them. */
static void test_parts_fit_their_target_with_rounded_stamps(void **state)
{
    static const int64_t frames_us[] = {16667, 33333, 41667, 66667, 83333, 133333};
    for (unsigned i = 0; i < ARRAY_LEN(frames_us); i++) {
        struct world w;
        setup(&w, 1000);
        w.group++;
        for (unsigned k = 0; k < 120; k++) {
            int64_t dts = (10 * NS_PER_S + k * frames_us[i] * NS_PER_US) / NS_PER_MS * NS_PER_MS;
            push(&w, 0, w.video, dts, frames_us[i] * NS_PER_US, k == 0 ? SAMPLE_KEY : 0);
        }
        const struct hls_piece *p = &w.m.segments[0]->pieces[0];
        int64_t target = w.m.tracks[0].part_target_ns;
        assert_in_range(p->n_parts, 4, 100);
        for (unsigned k = 0; k + p->closed < p->n_parts; k++) {
            assert_true(p->parts[k].duration_ns <= target);
            assert_true(p->parts[k].duration_ns * 100 >= target * 85);
        }
        teardown(&w);
    }
}

/* 85 % of PART-TARGET and no more than it, whatever the frame rate. */
static void test_parts_fit_their_target_at_any_frame_rate(void **state)
{
    static const int64_t frames_us[] = {4000,  8333,  16667, 20000,  33333,  40000, 41708,
                                        50000, 66667, 80000, 100000, 200000, 500000};
    for (unsigned i = 0; i < ARRAY_LEN(frames_us); i++) {
        struct world w;
        setup(&w, 1000);
        w.silent = true;
        w.frame_ns = frames_us[i] * NS_PER_US;
        run_for(&w, 4 * NS_PER_S);
        const struct hls_piece *p = &w.m.segments[0]->pieces[0];
        int64_t target = w.m.tracks[0].part_target_ns;
        assert_in_range(p->n_parts, 4, 100);
        for (unsigned k = 0; k < p->n_parts; k++) {
            assert_true(p->parts[k].duration_ns <= target);
            assert_true(p->parts[k].duration_ns * 100 >= target * 85);
        }
        teardown(&w);
    }
}

/* The length of groups, and what segments they make. */
static void test_where_segments_are_cut(void **state)
{
    static const struct {
        unsigned gop;
        int64_t segment_ms; /* of the second one */
        unsigned target_s;
    } table[] = {
        {1, 1800, 2},                     /* every picture is a key frame */
        {12, 1920, 2},                    /* 480 ms */
        {25, 2000, 2},     {37, 1480, 2}, /* two would be too long */
        {50, 2000, 2},     {60, 2400, 3}, /* sound that lags may make 2.5 of it */
        {100, 4000, 4},                   /* longer than configured: the target follows */
        {1000, 12000, 12},                /* no key frame for too long */
    };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        struct world w;
        setup(&w, table[i].gop);
        run_for(&w, 50 * NS_PER_S);
        assert_true(w.m.n_segments > 2);
        int64_t ms = w.m.segments[1]->pieces[0].duration_ns / NS_PER_MS;
        if (ms != table[i].segment_ms || w.m.target_s != table[i].target_s) {
            fail_msg("%u: %" PRId64 " ms, target %u", table[i].gop, ms, w.m.target_s);
        }
        teardown(&w);
    }
}

static void check_segments_fit(const struct world *w, unsigned target_s)
{
    assert_int_equal(w->m.target_s, target_s);
    for (unsigned i = 0; i + 1 < w->m.n_segments; i++) {
        for (unsigned t = 0; t < 2; t++) {
            int64_t ns = w->m.segments[i]->pieces[t].duration_ns;
            assert_in_range((ns + NS_PER_S / 2) / NS_PER_S, 0, target_s);
        }
    }
}

/* The target duration that was told stays; groups that are longer are cut, and the next life knows better. */
static void test_the_target_duration_never_changes(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 5 * NS_PER_S);
    _cleanup_free_ char *before = playlist(&w, 0, "plain");
    check_has(before, "#EXT-X-TARGETDURATION:2\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    w.frames = 0;
    w.gop = 250;
    run_for(&w, 22 * NS_PER_S);
    check_segments_fit(&w, 2);
    _cleanup_free_ char *cut = playlist(&w, 0, "plain");
    check_lacks(cut, "INDEPENDENT-SEGMENTS");
    _cleanup_free_ char *sound = playlist(&w, 1, "plain"); /* sound can begin anywhere */
    check_has(sound, "INDEPENDENT-SEGMENTS");
    hls_mux_reset(&w.m);
    w.frames = 0;
    run_for(&w, 33 * NS_PER_S);
    check_segments_fit(&w, 10);
    _cleanup_free_ char *whole = playlist(&w, 0, "plain");
    check_has(whole, "#EXT-X-TARGETDURATION:10\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    teardown(&w);
}

/* The first segment is what history has, and may be longer than was configured. */
static void test_a_long_history_makes_the_target_duration(void **state)
{
    struct world w;
    setup(&w, 250);
    run_for(&w, 6 * NS_PER_S);
    hls_mux_settle(&w.m, 3);
    run_for(&w, 20 * NS_PER_S);
    check_segments_fit(&w, 6);
    teardown(&w);
}

/* Sound that lags, and catches up when a segment has its full length. */
static void test_lagging_sound_fits_as_well(void **state)
{
    struct world w;
    setup(&w, 57); /* 2.28 s */
    run_for(&w, 10 * NS_PER_S);
    for (unsigned i = 0; i < 40; i++) {
        int64_t until = w.video_ns + 600 * NS_PER_MS;
        while (w.video_ns < until) {
            push_picture(&w);
        }
        run_until(&w, w.video_ns);
    }
    check_segments_fit(&w, w.m.target_s);
    teardown(&w);
}

static void test_a_running_stream_has_a_playlist_at_once(void **state)
{
    struct world w;
    setup(&w, 50);
    run_for(&w, 700 * NS_PER_MS); /* history */
    hls_mux_settle(&w.m, 3);
    assert_false(hls_is_ready(&w.m, 3));
    run_for(&w, 2 * FRAME);
    assert_true(hls_is_ready(&w.m, 3));
    _cleanup_free_ char *first = playlist(&w, 0, "");
    check_has(first, "#EXTINF:0.72000,\nvideo1-1000.m4s\n");
    check_has(first, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video1-1001.0.m4s\"");
    run_for(&w, 3 * NS_PER_S);
    /* The rest of the group, then whole groups again. */
    _cleanup_free_ char *next = playlist(&w, 0, "plain");
    check_has(next, "#EXTINF:1.28000,\nvideo1-1001.m4s\n");
    assert_true(w.m.segments[2]->independent);
    teardown(&w);
}

/* As that of a derived stream, which comes through an encoder: no playlist without it, and then it is in the first segment. */
static void test_sound_that_begins_late_is_waited_for(void **state)
{
    struct world w;
    setup(&w, 50);
    for (unsigned i = 0; i < 18; i++) {
        push_picture(&w);
    }
    hls_mux_settle(&w.m, 3);
    push_picture(&w);
    assert_int_equal(w.m.n_segments, 1);
    run_until(&w, w.video_ns);
    hls_mux_settle(&w.m, 3);
    run_for(&w, 2 * FRAME);
    assert_int_equal(w.m.n_segments, 2);
    assert_true(hls_is_ready(&w.m, 3));
    assert_true(w.m.segments[0]->pieces[1].begun && w.m.segments[0]->pieces[1].closed);
    teardown(&w);
}

static void test_too_little_history_is_not_cut(void **state)
{
    struct world w;
    setup(&w, 50);
    run_for(&w, 300 * NS_PER_MS);
    hls_mux_settle(&w.m, 3);
    run_for(&w, 3 * FRAME);
    assert_int_equal(w.m.n_segments, 1);
    teardown(&w);
}

/* ---- playlists ---- */

static void test_a_playlist_word_for_word(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 2 * NS_PER_S + 15 * FRAME);
    _cleanup_free_ char *full = playlist(&w, 0, "");
    char expect[4096];
    uint64_t init = w.m.tracks[0].init_id;
    snprintf(
        expect, sizeof(expect),
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.90000,CAN-SKIP-UNTIL=12.0\n"
        "#EXT-X-PART-INF:PART-TARGET=0.30000\n"
        "#EXT-X-MEDIA-SEQUENCE:1000\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n"
        "#EXT-X-MAP:URI=\"video1-%016" PRIx64 ".mp4\"\n"
        /* stream time 10 s, composition 80 ms, arrival 5 ms after its time */
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:30.085Z\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1000.0.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1000.1.m4s\"\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1000.2.m4s\"\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1000.3.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1000.4.m4s\"\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1000.5.m4s\"\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1000.6.m4s\"\n"
        "#EXT-X-PART:DURATION=0.04000,URI=\"video1-1000.7.m4s\"\n"
        "#EXTINF:2.00000,\nvideo1-1000.m4s\n"
        "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:32.085Z\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1001.0.m4s\",INDEPENDENT=YES\n"
        "#EXT-X-PART:DURATION=0.28000,URI=\"video1-1001.1.m4s\"\n"
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video1-1001.2.m4s\"\n"
        "#EXT-X-RENDITION-REPORT:URI=\"audio2.m3u8\",LAST-MSN=1001,LAST-PART=1\n",
        init);
    assert_string_equal(full, expect);
    _cleanup_free_ char *plain = playlist(&w, 0, "plain");
    snprintf(expect, sizeof(expect),
             "#EXTM3U\n#EXT-X-VERSION:8\n#EXT-X-TARGETDURATION:2\n#EXT-X-INDEPENDENT-SEGMENTS\n"
             "#EXT-X-MEDIA-SEQUENCE:1000\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n"
             "#EXT-X-MAP:URI=\"video1-%016" PRIx64 ".mp4\"\n"
             "#EXT-X-PROGRAM-DATE-TIME:2023-11-14T22:13:30.085Z\n"
             "#EXTINF:2.00000,\nvideo1-1000.m4s\n",
             init);
    assert_string_equal(plain, expect);
    teardown(&w);
}

static void test_the_master_playlist(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 3 * NS_PER_S);
    _cleanup_(out_done) struct out o = {0};
    hls_put_master(&o, &w.m, "?k=v");
    const char *text = out_str(&o);
    check_has(text, "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio2\",NAME=\"Audio 1\",DEFAULT=YES,"
                    "AUTOSELECT=YES,CHANNELS=\"2\",URI=\"~hls/audio2.m3u8?k=v\"\n");
    check_has(text, ",CODECS=\"avc1.64000b,mp4a.40.2\",RESOLUTION=192x108,FRAME-RATE=25.000,"
                    "AUDIO=\"audio2\"\n~hls/video1.m3u8?k=v\n");
    assert_int_equal(count(text, "EXT-X-STREAM-INF"), 1);
    teardown(&w);
}

/* A group for each codec, a default in each, and the variant once with each. */
static void test_several_tracks_of_sound(void **state)
{
    static const uint8_t dops[] = {0, 2, 1, 0x38, 0, 0, 0xbb, 0x80, 0, 0, 0};
    struct world w;
    setup(&w, 25);
    struct track_params *opus = params(CODEC_OPUS, dops, sizeof(dops));
    for (unsigned i = 0; i < 120; i++) {
        push_picture(&w);
        for (unsigned k = 0; k < 2; k++) {
            push(&w, 1, w.audio, w.audio_ns, FRAME / 2, 0);
            push(&w, 2, opus, w.audio_ns, FRAME / 2, 0);
            push(&w, 3, w.audio, w.audio_ns, FRAME / 2, 0);
            w.audio_ns += FRAME / 2;
        }
    }
    assert_true(hls_is_ready(&w.m, 15));
    _cleanup_(out_done) struct out o = {0};
    hls_put_master(&o, &w.m, "");
    const char *text = out_str(&o);
    check_has(text, "GROUP-ID=\"audio2\",NAME=\"Audio 1\",DEFAULT=YES,AUTOSELECT=YES");
    check_has(text, "GROUP-ID=\"audio3\",NAME=\"Audio 2\",DEFAULT=YES,AUTOSELECT=YES");
    check_has(text, "GROUP-ID=\"audio2\",NAME=\"Audio 3\",DEFAULT=NO,AUTOSELECT=YES");
    check_has(text, "CODECS=\"avc1.64000b,mp4a.40.2\"");
    check_has(text, "CODECS=\"avc1.64000b,opus\"");
    assert_int_equal(count(text, "EXT-X-STREAM-INF"), 2);
    assert_int_equal(count(text, "AUDIO=\"audio3\"\n~hls/video1.m3u8\n"), 1);
    _cleanup_free_ char *third = playlist(&w, 3, "");
    assert_int_equal(count(third, "RENDITION-REPORT"), 3);
    track_params_unref(&opus);
    teardown(&w);
}

static void test_audio_alone_and_video_alone(void **state)
{
    struct world w;
    setup(&w, 25);
    w.silent = true;
    run_for(&w, 3 * NS_PER_S);
    _cleanup_(out_done) struct out o = {0};
    hls_put_master(&o, &w.m, "");
    check_lacks(out_str(&o), "AUDIO");
    check_has(out_str(&o), "CODECS=\"avc1.64000b\"");
    hls_mux_reset(&w.m);
    for (int i = 0; i < 300; i++) { /* groups of a second, as the engine makes them */
        w.group += i % 47 == 0;
        push(&w, 0, w.audio, w.audio_ns, AUDIO, 0);
        w.audio_ns += AUDIO;
    }
    o.len = 0;
    hls_put_master(&o, &w.m, "");
    check_has(out_str(&o), "CODECS=\"mp4a.40.2\"\n~hls/audio1.m3u8\n");
    check_lacks(out_str(&o), "RESOLUTION");
    check_lacks(out_str(&o), "EXT-X-MEDIA:");
    _cleanup_free_ char *text = playlist(&w, 0, "");
    check_has(text, "#EXTINF:2.00533,\naudio1-");
    teardown(&w);
}

static void test_what_is_old_slides_out(void **state)
{
    struct world w;
    setup(&w, 50);
    run_for(&w, 60 * NS_PER_S);
    _cleanup_free_ char *text = playlist(&w, 1, "plain");
    assert_int_equal(count(text, "#EXTINF"), 8);
    check_has(text, "#EXT-X-MEDIA-SEQUENCE:1021\n");
    assert_int_equal(w.m.n_segments, 18);
    /* Parts only near the end: three target durations. */
    _cleanup_free_ char *full = playlist(&w, 0, "");
    check_lacks(full, "video1-1025.0.m4s");
    check_has(full, "video1-1027.0.m4s");
    teardown(&w);
}

static void test_delta_updates(void **state)
{
    struct world w;
    setup(&w, 50);
    run_for(&w, 60 * NS_PER_S + FRAME);
    _cleanup_free_ char *text = playlist(&w, 0, "_HLS_skip=YES");
    /* 1022 to 1029; behind 1023 lie 12 s, which is not yet too far */
    check_has(text, "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n");
    check_has(text, "#EXT-X-MEDIA-SEQUENCE:1022\n");
    assert_int_equal(count(text, "#EXTINF"), 7);
    check_lacks(text, "video1-1022.m4s");
    _cleanup_free_ char *plain = playlist(&w, 0, "_HLS_skip=YES&plain");
    assert_int_equal(count(plain, "#EXTINF"), 8);
    teardown(&w);
}

static void test_memory_is_bounded(void **state)
{
    struct world w;
    setup(&w, 50);
    w.m.limits.bytes_max = 20000; /* a segment is some 1200 bytes of our text */
    w.m.limits.segments = 500;
    run_for(&w, 100 * NS_PER_S);
    assert_in_range(w.m.bytes, 15000, 20000 + 2000);
    assert_in_range(w.m.n_segments, 8, 20);
    teardown(&w);
}

/* ---- stretches ---- */

static void test_another_publisher_is_a_discontinuity(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 3 * NS_PER_S);
    uint64_t before = w.m.current->msn;
    restart(&w, 4 * NS_PER_S);
    run_for(&w, 5 * NS_PER_S);
    for (unsigned t = 0; t < 2; t++) {
        _cleanup_free_ char *text = playlist(&w, t, "plain");
        assert_int_equal(count(text, "#EXT-X-DISCONTINUITY\n"), 1);
        assert_int_equal(count(text, "#EXT-X-MAP"), 1); /* the same parameters */
        check_has(text, "#EXT-X-DISCONTINUITY-SEQUENCE:3\n");
    }
    assert_true(w.m.current->msn > before);
    /* Once it has slid to the front, the tag is still there and not counted; then it is counted. */
    run_for(&w, 40 * NS_PER_S);
    _cleanup_free_ char *text = playlist(&w, 0, "");
    check_lacks(text, "#EXT-X-DISCONTINUITY\n");
    check_has(text, "#EXT-X-DISCONTINUITY-SEQUENCE:4\n");
    teardown(&w);
}

static void test_new_parameters_are_a_new_map(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 3 * NS_PER_S);
    track_params_unref(&w.audio);
    w.audio = params(CODEC_AAC, asc44, sizeof(asc44));
    run_for(&w, 6 * NS_PER_S);
    for (unsigned t = 0; t < 2; t++) {
        _cleanup_free_ char *text = playlist(&w, t, "");
        assert_int_equal(count(text, "#EXT-X-DISCONTINUITY\n"), 1);
        assert_int_equal(count(text, "#EXT-X-MAP"), t + 1);
    }
    teardown(&w);
}

static void test_a_silent_track_has_gaps(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 3 * NS_PER_S);
    w.silent = true;
    run_for(&w, 8 * NS_PER_S);
    _cleanup_free_ char *text = playlist(&w, 1, "plain");
    check_has(text, "#EXT-X-GAP\n#EXTINF:2.00000,\naudio2-");
    /* It comes back. */
    w.silent = false;
    w.audio_ns = w.video_ns;
    run_for(&w, 6 * NS_PER_S);
    _cleanup_free_ char *back = playlist(&w, 1, "plain");
    const char *gap = strstr(back, "#EXT-X-GAP");
    assert_non_null(gap);
    check_has(gap, "#EXT-X-PROGRAM-DATE-TIME");
    teardown(&w);
}

static void test_the_end_is_said(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 3 * NS_PER_S);
    hls_mux_end(&w.m);
    _cleanup_free_ char *text = playlist(&w, 0, "");
    check_has(text, "#EXT-X-ENDLIST\n");
    check_lacks(text, "PRELOAD-HINT");
    check_has(text, "#EXTINF:1.00000,\nvideo1-1001.m4s\n"); /* what was open is complete */
    restart(&w, 60 * NS_PER_S);
    run_for(&w, 3 * NS_PER_S);
    _cleanup_free_ char *again = playlist(&w, 0, "");
    check_lacks(again, "ENDLIST");
    check_has(again, "#EXT-X-DISCONTINUITY\n");
    teardown(&w);
}

static void test_numbers_survive_idleness(void **state)
{
    struct world w;
    setup(&w, 1000); /* groups do not grow by themselves here, but cuts were made */
    run_for(&w, 50 * NS_PER_S);
    uint64_t last = w.m.current->msn;
    hls_mux_reset(&w.m);
    assert_int_equal(w.m.n_segments, 0);
    assert_int_equal(w.m.bytes, 0);
    run_for(&w, NS_PER_S);
    assert_true(w.m.current->msn == last + 1);
    assert_true(w.m.current->dsn == 3);
    /* Another publisher came while nobody watched; the engine's groups went on. */
    hls_mux_reset(&w.m);
    restart(&w, NS_PER_S);
    w.group += 500;
    run_for(&w, NS_PER_S);
    assert_true(w.m.current->msn == w.group);
    assert_true(w.m.current->dsn == 4);
    teardown(&w);
}

static void test_a_hole_is_a_discontinuity(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 3 * NS_PER_S);
    w.seq += 100; /* the reader was too slow: it goes on with a later group */
    w.frames = 0;
    w.video_ns += 3 * NS_PER_S;
    w.audio_ns = w.video_ns;
    run_for(&w, 3 * NS_PER_S);
    _cleanup_free_ char *text = playlist(&w, 0, "");
    assert_int_equal(count(text, "#EXT-X-DISCONTINUITY\n"), 1);
    teardown(&w);
}

/* ---- blocking reload ---- */

static void test_when_a_reload_is_due(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 2 * NS_PER_S + 15 * FRAME); /* 1000 is complete (0..7), of 1001 parts 0 and 1 */
    static const struct {
        const char *query;
        enum hls_verdict verdict;
    } table[] = {
        {"", HLS_NOW},
        {"_HLS_msn=1", HLS_NOW},
        {"_HLS_msn=1000", HLS_NOW},
        {"_HLS_msn=1001", HLS_WAIT},
        {"_HLS_msn=1002", HLS_WAIT},
        {"_HLS_msn=1003", HLS_TOO_FAR},
        {"_HLS_msn=1000&_HLS_part=7", HLS_NOW},
        {"_HLS_msn=1000&_HLS_part=8", HLS_NOW}, /* means 1001, part 0 */
        {"_HLS_msn=1001&_HLS_part=1", HLS_NOW},
        {"_HLS_msn=1001&_HLS_part=2", HLS_WAIT},
        {"_HLS_msn=1001&_HLS_part=11", HLS_WAIT}, /* 3 s of parts ahead */
        {"_HLS_msn=1001&_HLS_part=12", HLS_TOO_FAR},
        {"_HLS_msn=1002&_HLS_part=0", HLS_WAIT},
        {"_HLS_msn=1003&_HLS_part=0", HLS_TOO_FAR},
    };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        struct hls_directives d;
        assert_int_equal(hls_directives_parse(table[i].query, &d, NULL), 0);
        if (hls_check_reload(&w.m, 0, &d) != table[i].verdict) {
            fail_msg("%s", table[i].query);
        }
    }
    struct hls_directives d = {.has_msn = true, .msn = 1001};
    assert_int_equal(hls_check_reload(&w.m, 5, &d), HLS_WAIT); /* no such track yet */
    hls_mux_end(&w.m);
    assert_int_equal(hls_check_reload(&w.m, 0, &(struct hls_directives){true, .msn = 9999}),
                     HLS_NOW);
    teardown(&w);
}

/* ---- files ---- */

static void collect(void *user, struct buf *chunk)
{
    out_bytes(user, buf_view(chunk));
}

static enum hls_found fetch(struct world *w, const char *file, struct out *o)
{
    struct hls_name name;
    o->len = 0;
    assert_int_equal(hls_name_parse(file, &name), 0);
    return hls_find(&w->m, &name, collect, o);
}

static void test_files(void **state)
{
    struct world w;
    setup(&w, 25);
    run_for(&w, 2 * NS_PER_S + 15 * FRAME);
    _cleanup_(out_done) struct out o = {0};
    assert_int_equal(fetch(&w, "video1-1000.0.m4s", &o), HLS_FOUND);
    assert_string_equal(out_str(&o), "0@10000;0@10040;0@10080;0@10120;0@10160;0@10200;0@10240;");
    assert_int_equal(fetch(&w, "video1-1000.7.m4s", &o), HLS_FOUND);
    assert_string_equal(out_str(&o), "0@11960;");
    assert_int_equal(fetch(&w, "video1-1000.m4s", &o), HLS_FOUND);
    assert_int_equal(count(out_str(&o), "0@"), 50);
    assert_int_equal(fetch(&w, "audio2-1000.m4s", &o), HLS_FOUND);
    check_has(out_str(&o), "1@10000;1@10021;");
    check_lacks(out_str(&o), "0@");
    assert_int_equal(fetch(&w, "video1-1001.1.m4s", &o), HLS_FOUND);
    assert_int_equal(fetch(&w, "video1-1001.2.m4s", &o), HLS_COMING);
    static const char *const absent[] = {
        "video1-999.m4s",
        "video1-1001.m4s",
        "video1-1001.3.m4s",
        "video1-1000.8.m4s",
        "video1-1002.m4s",
        "audio1-1000.m4s",
        "video2-1000.m4s",
        "video5-1000.m4s",
        "video1-0.m4s",
        "video1-1002.0.m4s",
        "video1-0000000000000001.mp4",
    };
    for (unsigned i = 0; i < ARRAY_LEN(absent); i++) {
        assert_int_equal(fetch(&w, absent[i], &o), HLS_ABSENT);
        assert_int_equal(o.len, 0);
    }
    char init[64];
    snprintf(init, sizeof(init), "video1-%016" PRIx64 ".mp4", w.m.tracks[0].init_id);
    assert_int_equal(fetch(&w, init, &o), HLS_FOUND);
    assert_memory_equal(o.data + 4, "ftyp", 4);
    teardown(&w);
}

/* Of key frames only: a segment is as bounded in bytes as one of long groups is. */
static void test_large_key_frames_do_not_fill_memory(void **state)
{
    struct world w;
    setup(&w, 1);
    w.silent = true;
    w.large = 60000;
    run_for(&w, 20 * NS_PER_S);
    assert_true(w.m.n_segments >= 4);
    for (unsigned i = 0; i < w.m.n_segments; i++) {
        assert_true(w.m.segments[i]->independent);
        assert_in_range(w.m.segments[i]->bytes, 1, w.m.limits.bytes_max / 4 + w.large);
    }
    assert_true(w.m.bytes < 2 * w.m.limits.bytes_max);
    teardown(&w);
}

/* A group of large pictures; the same bytes come out in chunks and, asked for often, in one buffer. */
static void count_pieces(void *user, struct buf *chunk)
{
    (*(unsigned *)user)++;
    assert_true(chunk->len > 0);
}

static void test_a_wanted_segment_is_in_one_piece(void **state)
{
    struct world w;
    setup(&w, 25);
    w.large = 4000;
    run_for(&w, 2 * NS_PER_S + 15 * FRAME);
    uint64_t kept = w.m.bytes;
    _cleanup_(out_done) struct out first = {0};
    _cleanup_(out_done) struct out o = {0};
    struct hls_name name;
    assert_int_equal(fetch(&w, "video1-1000.m4s", &first), HLS_FOUND);
    assert_true(first.len > 65536);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fetch(&w, "video1-1000.m4s", &o), HLS_FOUND);
        assert_int_equal(o.len, first.len);
        assert_memory_equal(o.data, first.data, o.len);
        assert_int_equal(fetch(&w, "video1-1000.0.m4s", &o), HLS_FOUND);
        assert_true(o.len < first.len / 2);
    }
    unsigned pieces = 0;
    assert_int_equal(hls_name_parse("video1-1000.m4s", &name), 0);
    assert_int_equal(hls_find(&w.m, &name, count_pieces, &pieces), HLS_FOUND);
    assert_int_equal(pieces, 1);
    assert_int_equal(w.m.bytes, kept + first.len); /* counted against the limit */
    /* A small one is not worth a descriptor. */
    for (unsigned i = 0; i < 5; i++) {
        pieces = 0;
        assert_int_equal(hls_name_parse("audio2-1000.m4s", &name), 0);
        assert_int_equal(hls_find(&w.m, &name, count_pieces, &pieces), HLS_FOUND);
        assert_true(pieces > 1);
    }
    teardown(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments_are_whole_groups_and_parts_add_up),
        cmocka_unit_test(test_parts_fit_their_target_at_any_frame_rate),
        cmocka_unit_test(test_parts_fit_their_target_with_rounded_stamps),
        cmocka_unit_test(test_where_segments_are_cut),
        cmocka_unit_test(test_the_target_duration_never_changes),
        cmocka_unit_test(test_a_long_history_makes_the_target_duration),
        cmocka_unit_test(test_lagging_sound_fits_as_well),
        cmocka_unit_test(test_a_running_stream_has_a_playlist_at_once),
        cmocka_unit_test(test_sound_that_begins_late_is_waited_for),
        cmocka_unit_test(test_too_little_history_is_not_cut),
        cmocka_unit_test(test_a_playlist_word_for_word),
        cmocka_unit_test(test_the_master_playlist),
        cmocka_unit_test(test_several_tracks_of_sound),
        cmocka_unit_test(test_audio_alone_and_video_alone),
        cmocka_unit_test(test_what_is_old_slides_out),
        cmocka_unit_test(test_delta_updates),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_another_publisher_is_a_discontinuity),
        cmocka_unit_test(test_new_parameters_are_a_new_map),
        cmocka_unit_test(test_a_silent_track_has_gaps),
        cmocka_unit_test(test_the_end_is_said),
        cmocka_unit_test(test_numbers_survive_idleness),
        cmocka_unit_test(test_a_hole_is_a_discontinuity),
        cmocka_unit_test(test_when_a_reload_is_due),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_a_wanted_segment_is_in_one_piece),
        cmocka_unit_test(test_large_key_frames_do_not_fill_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
