/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two judges: the bytes themselves, and ffprobe/ffmpeg as the oracle: our fragmented file must show the same packets (times,
 * sizes, key flags, hashes) and the same decoded frames as the file it was made from.
 */
#include "../unit.h"
#include "fixture.h"

#include "media/canon.h"
#include "media/fmp4.h"
#include "media/timeline.h"

#include <unistd.h>

static struct track_params *params_of(const struct fixture_track *t)
{
    struct track_params *p = NULL;
    struct error err = {0};
    if (track_params_new(t->codec, t->config, &p, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return p;
}

static struct buf *chunk_of(struct sample *s)
{
    struct buf *b = sample_form(s, FORM_CMAF);
    assert_non_null(b);
    return b;
}

static void test_chunk_bytes(void **state)
{
    media_register_forms();
    struct fixture *f = fixture_open("h264_aac.mp4");
    struct track_params *p = params_of(&f->tracks[0]);
    struct buf *payload = buf_from_str("payload");
    struct sample *s =
        sample_new(1, p, &payload, 2000000000, 1960000000, SAMPLE_LEADING | SAMPLE_DROPPABLE, 0);
    s->duration_ns = 40000000;
    s->seq = 0x123456789;
    static const uint8_t want[FMP4_CHUNK_HEADER] = {
        0, 0, 0,    104,  'm',  'o',  'o', 'f',                                                  //
        0, 0, 0,    16,   'm',  'f',  'h', 'd',  0,    0,    0,    0,    0x23, 0x45, 0x67, 0x89, //
        0, 0, 0,    80,   't',  'r',  'a', 'f',                                                  //
        0, 0, 0,    16,   't',  'f',  'h', 'd',  0,    2,    0,    0,    0,    0,    0,    2,    //
        0, 0, 0,    20,   't',  'f',  'd', 't',  1,    0,    0,    0,    0,    0,    0,    0,
        0, 2, 0xbf, 0x20, //
        0, 0, 0,    36,   't',  'r',  'u', 'n',  1,    0,    0xf,  1,    0,    0,    0,    1,
        0, 0, 0,    112,  0,    0,    0xe, 0x10,                         //
        0, 0, 0,    7,    0x05, 0x81, 0,   0,    0xff, 0xff, 0xf1, 0xf0, //
        0, 0, 0,    15,   'm',  'd',  'a', 't',
    };
    struct buf *b = chunk_of(s);
    assert_int_equal(b->len, FMP4_CHUNK_HEADER + 7);
    assert_memory_equal(b->data, want, FMP4_CHUNK_HEADER);
    assert_memory_equal(b->data + FMP4_CHUNK_HEADER, "payload", 7);
    sample_unref(&s);
    track_params_unref(&p);
    fixture_close(f);
    assert_int_equal(buf_live_count(), 0);
}

static void test_mime_names_the_kind_and_every_codec(void **state)
{
    struct fixture *f = fixture_open("h264_aac.mp4");
    struct track_params *v = params_of(&f->tracks[0]);
    struct track_params *a = params_of(&f->tracks[1]);
    const struct track_params *both[] = {v, a};
    const struct track_params *audio[] = {NULL, a};
    char mime[FMP4_MIME_MAX];
    assert_string_equal(fmp4_mime(both, 2, mime, sizeof(mime)),
                        "video/mp4; codecs=\"avc1.64000b,mp4a.40.2\"");
    assert_string_equal(fmp4_mime(audio, 2, mime, sizeof(mime)), "audio/mp4; codecs=\"mp4a.40.2\"");
    /* The demuxed init keeps the track id of the muxed one. */
    struct buf *init = fmp4_init_make(audio, 2);
    struct bytes moov = fixture_box(buf_view(init), "moov");
    struct bytes tkhd = fixture_box(fixture_box(moov, "trak"), "tkhd");
    assert_int_equal(tkhd.data[15], 2);
    struct bytes trex = fixture_box(fixture_box(moov, "mvex"), "trex");
    assert_int_equal(trex.data[7], 2);
    buf_unref(&init);
    track_params_unref(&v);
    track_params_unref(&a);
    fixture_close(f);
}

/* ---- the oracle ---- */

/* What a publisher's session and the home loop do, in one: canonical bytes, then stamps. */
static void write_sample(FILE *out, struct canon *c, const struct fixture_track *t, unsigned track,
                         unsigned k, uint64_t seq)
{
    const struct fixture_sample *in = &t->samples[k];
    int64_t dts_ns = ns_from_ticks(in->dts, t->timescale);
    int64_t pts_ns = ns_from_ticks(in->pts, t->timescale);
    struct canon_unit unit = {in->data, pts_ns, in->key};
    struct canon_result res;
    assert_int_equal(canon_feed(c, &unit, &res, NULL), 0);
    assert_non_null(res.payload);
    struct sample *s = sample_new(track, c->params, &res.payload, dts_ns, pts_ns, res.flags, 0);
    s->duration_ns = ns_from_ticks(in->dts + in->duration, t->timescale) - dts_ns;
    s->seq = seq;
    struct buf *b = chunk_of(s);
    /* In chunks of one sample ffmpeg 5.1 takes durations from the codec, so look here. */
    struct rd duration = rd_init(fixture_skip(buf_view(b), 88));
    assert_int_equal(rd_u32be(&duration),
                     (uint64_t)in->duration * fmp4_timescale(s->params) / t->timescale);
    assert_int_equal(fwrite(b->data, 1, b->len, out), b->len);
    sample_unref(&s);
}

static void write_fragmented(const struct fixture *f, const char *path)
{
    struct canon canon[2];
    unsigned next[2] = {0};
    const struct track_params *params[2];
    for (unsigned i = 0; i < 2; i++) {
        canon_init(&canon[i], f->tracks[i].codec);
        assert_true(canon_config(&canon[i], f->tracks[i].config, NULL) >= 0);
    }
    /* VP9 has its size in the frames: like a publisher, know the first one before the init is made. */
    struct canon_unit first = {f->tracks[0].samples[0].data, 0, true};
    struct canon_result res;
    assert_int_equal(canon_feed(&canon[0], &first, &res, NULL), 0);
    buf_unref(&res.payload);
    for (unsigned i = 0; i < 2; i++) {
        params[i] = canon[i].params;
    }
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    struct buf *init = fmp4_init_make(params, 2);
    assert_int_equal(fwrite(init->data, 1, init->len, out), init->len);
    buf_unref(&init);
    for (uint64_t seq = 1; next[0] < f->tracks[0].n || next[1] < f->tracks[1].n; seq++) {
        unsigned i = next[0] == f->tracks[0].n;
        if (i == 0 && next[1] < f->tracks[1].n) {
            i = f->tracks[1].samples[next[1]].dts * f->tracks[0].timescale <
                f->tracks[0].samples[next[0]].dts * f->tracks[1].timescale;
        }
        write_sample(out, &canon[i], &f->tracks[i], i, next[i], seq);
        next[i]++;
    }
    fclose(out);
    canon_done(&canon[0]);
    canon_done(&canon[1]);
}

/* Standard output of a shell command on "$F"; it must succeed. */
static char *output_of(const char *command, const char *file)
{
    setenv("F", file, 1);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    struct out o = {0};
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), in)) > 0) {
        out_mem(&o, part, n);
    }
    int status = pclose(in);
    if (status != 0) {
        fail_msg("%s: status %d", command, status);
    }
    return out_take_str(&o);
}

static void assert_same_output(const char *command, const char *original, const char *ours)
{
    char *want = output_of(command, original);
    char *got = output_of(command, ours);
    assert_true(strlen(want) > 80); /* the oracle did say something */
    assert_string_equal(got, want);
    free(want);
    free(got);
}

static void check_with_ffprobe(const char *name)
{
    if (system("command -v ffprobe >/dev/null && command -v ffmpeg >/dev/null") != 0) {
        skip();
    }
    media_register_forms();
    struct fixture *f = fixture_open(name);
    char original[512];
    char ours[] = "/tmp/mast-fmp4-XXXXXX";
    snprintf(original, sizeof(original), "%s/media/%s", TEST_DATA, name);
    int fd = mkstemp(ours);
    assert_true(fd >= 0);
    close(fd);
    write_fragmented(f, ours);
    char *errors = output_of("ffprobe -v warning \"$F\" 2>&1 >/dev/null", ours);
    assert_string_equal(errors, "");
    free(errors);
    /* By stream and then in order: the files interleave in other ways. Durations: see write_sample(). */
    assert_same_output(
        "ffprobe -v error -ignore_editlist 1 -show_entries "
        "stream=index,codec_name,codec_tag_string,profile,level,width,height,has_b_frames,"
        "pix_fmt,sample_rate,channels,avg_frame_rate:packet=stream_index,pts_time,dts_time,"
        "size,flags,data_hash -show_data_hash md5 -of csv \"$F\" | sort -s -t, -k1,2",
        original, ours);
    /* Decoded frames: stream and hash alone, since time bases differ. */
    assert_same_output("ffmpeg -v error -ignore_editlist 1 -i \"$F\" -map 0 -f framemd5 - | "
                       "grep -v '^#' | sed 's/,.*, */ /' | sort -s -k1,1",
                       original, ours);
    unlink(ours);
    fixture_close(f);
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(track_params_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

static void test_h264_and_aac(void **state)
{
    check_with_ffprobe("h264_aac.mp4");
}

static void test_hevc_and_aac(void **state)
{
    check_with_ffprobe("hevc_aac.mp4");
}

static void test_av1_and_opus(void **state)
{
    check_with_ffprobe("av1_opus.mp4");
}

static void test_vp9_and_mp3(void **state)
{
    check_with_ffprobe("vp9_mp3.mp4");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chunk_bytes),
        cmocka_unit_test(test_mime_names_the_kind_and_every_codec),
        cmocka_unit_test(test_h264_and_aac),
        cmocka_unit_test(test_hevc_and_aac),
        cmocka_unit_test(test_av1_and_opus),
        cmocka_unit_test(test_vp9_and_mp3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
