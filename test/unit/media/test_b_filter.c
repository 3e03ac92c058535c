/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The B-picture filter on streams that x264 makes here: what ffmpeg decodes of the filtered stream must be the pictures other
 * than B that it decodes of the original. Skipped without ffmpeg, but for what the committed fixtures show.
 */
#include "../unit.h"
#include "fixture.h"

#include "media/b_filter.h"
#include "media/canon.h"
#include "media/h264.h"
#include "media/timeline.h"

#include <unistd.h>

struct result {
    unsigned pass;
    unsigned drop;
    int refused_at; /* the sample that cannot be left out; -1 = none */
    int second_key; /* the sample that begins the second group */
    int64_t last_pts;
};

static void put_unit(FILE *out, struct bytes nal)
{
    assert_int_equal(fwrite("\0\0\0\1", 1, 4, out), 4);
    assert_int_equal(fwrite(nal.data, 1, nal.len, out), nal.len);
}

static void put_picture(FILE *out, const struct sample *s)
{
    struct h264_config c;
    struct bytes nal;
    assert_int_equal(h264_config_parse(buf_view(s->params->config), &c, NULL), 0);
    if (s->flags & SAMPLE_KEY) {
        put_unit(out, c.sps.item[0]);
        put_unit(out, c.pps.item[0]);
    }
    struct nal_iter it = nal_iter_init(buf_view(s->payload), 4);
    while (nal_next(&it, &nal) > 0) {
        put_unit(out, nal);
    }
}

/* Filters the file's video; what passes goes to out as Annex B, when there is one. */
static struct result filter(const struct fixture *f, FILE *out)
{
    const struct fixture_track *t = &f->tracks[0];
    struct result res = {.refused_at = -1, .second_key = -1, .last_pts = INT64_MIN};
    struct b_filter filter = {0};
    struct canon c;
    canon_init(&c, t->codec);
    assert_true(canon_config(&c, t->config, NULL) >= 0);
    for (unsigned k = 0; k < t->n; k++) {
        const int64_t pts = ns_from_ticks(t->samples[k].pts, t->timescale);
        const struct canon_unit unit = {t->samples[k].data, pts, t->samples[k].key};
        struct canon_result r;
        assert_int_equal(canon_feed(&c, &unit, &r, NULL), 0);
        struct sample *s = sample_new(0, c.params, &r.payload, pts, pts, r.flags, 0);
        if (k > 0 && res.second_key < 0 && s->flags & SAMPLE_KEY) {
            res.second_key = (int)k;
        }
        switch (b_filter_look(&filter, s)) {
        case B_FILTER_PASS:
            assert_true(pts > res.last_pts || res.refused_at >= 0);
            res.last_pts = pts;
            res.pass++;
            if (out) {
                put_picture(out, s);
            }
            break;
        case B_FILTER_DROP:
            assert_true(s->flags & SAMPLE_DROPPABLE);
            res.drop++;
            break;
        case B_FILTER_NEEDS_TRANSCODE:
            res.refused_at = res.refused_at < 0 ? (int)k : res.refused_at;
            break;
        }
        sample_unref(&s);
    }
    canon_done(&c);
    return res;
}

static void test_pyramids_are_refused_in_the_first_group(void **state)
{
    static const char *const files[] = {"h264_aac.mp4", "hevc_aac.mp4"};
    for (unsigned i = 0; i < 2; i++) {
        struct fixture *f = fixture_open(files[i]);
        const struct result r = filter(f, NULL);
        assert_true(r.refused_at > 0);
        assert_true(r.refused_at < r.second_key);
        fixture_close(f);
    }
}

static void test_other_codecs_pass(void **state)
{
    struct fixture *f = fixture_open("vp9_mp3.mp4");
    const struct result r = filter(f, NULL);
    assert_int_equal(r.pass, f->tracks[0].n);
    fixture_close(f);
}

/* ---- x264 and ffmpeg ---- */

static bool has_x264(void)
{
    return system("ffmpeg -v error -hide_banner -encoders 2>/dev/null | grep -q libx264") == 0;
}

static void encode(const char *path, const char *x264)
{
    char command[1024];
    snprintf(command, sizeof(command),
             "ffmpeg -v error -y -f lavfi -i testsrc2=s=160x96:r=25:d=2 -f lavfi -i "
             "sine=440:d=2:r=48000 -pix_fmt yuv420p -c:v libx264 -preset medium -g 25 %s "
             "-c:a aac %s",
             x264, path);
    assert_int_equal(system(command), 0);
}

/* One hash a line. */
static char *hashes(const char *input, const char *select)
{
    char command[1024];
    char line[512];
    _cleanup_(out_done) struct out o = {0};
    snprintf(command, sizeof(command),
             "ffmpeg -v error -i %s -map 0:v %s -vsync 0 -f framehash -hash md5 -", input, select);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    while (fgets(line, sizeof(line), in)) {
        const char *hash = strrchr(line, ',');
        if (line[0] != '#' && hash) {
            out_puts(&o, hash + 1);
        }
    }
    assert_int_equal(pclose(in), 0);
    return out_take_str(&o);
}

static void check_stream(const char *x264, bool has_b)
{
    char folder[] = "/tmp/mast-b-XXXXXX";
    char mp4[64];
    char h264[64];
    assert_non_null(mkdtemp(folder));
    snprintf(mp4, sizeof(mp4), "%s/a.mp4", folder);
    snprintf(h264, sizeof(h264), "%s/a.h264", folder);
    encode(mp4, x264);
    struct fixture *f = fixture_open_path(mp4);
    FILE *out = fopen(h264, "wb");
    assert_non_null(out);
    const struct result r = filter(f, out);
    fclose(out);
    assert_int_equal(r.refused_at, -1);
    assert_int_equal(r.drop > 0, has_b);
    assert_int_equal(r.pass + r.drop, f->tracks[0].n);
    _cleanup_free_ char *want = hashes(mp4, "-vf \"select=not(eq(pict_type\\,B))\"");
    _cleanup_free_ char *got = hashes(h264, "");
    assert_true(strlen(want) > 32 * 10);
    assert_string_equal(got, want);
    unlink(mp4);
    unlink(h264);
    rmdir(folder);
    fixture_close(f);
}

static void test_what_is_left_decodes_the_same(void **state)
{
    if (!has_x264()) {
        skip();
    }
    check_stream("-bf 2 -x264-params b-pyramid=0", true);
    check_stream("-bf 3 -x264-params b-pyramid=0:b-adapt=0:slices=3:open-gop=0", true);
    check_stream("-bf 0", false);
}

static void test_a_pyramid_made_here_is_refused(void **state)
{
    if (!has_x264()) {
        skip();
    }
    char folder[] = "/tmp/mast-b-XXXXXX";
    char mp4[64];
    assert_non_null(mkdtemp(folder));
    snprintf(mp4, sizeof(mp4), "%s/a.mp4", folder);
    encode(mp4, "-bf 2 -x264-params b-pyramid=normal:b-adapt=0");
    struct fixture *f = fixture_open_path(mp4);
    const struct result r = filter(f, NULL);
    assert_true(r.refused_at > 0 && r.refused_at < r.second_key);
    unlink(mp4);
    rmdir(folder);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pyramids_are_refused_in_the_first_group),
        cmocka_unit_test(test_other_codecs_pass),
        cmocka_unit_test(test_what_is_left_decodes_the_same),
        cmocka_unit_test(test_a_pyramid_made_here_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
