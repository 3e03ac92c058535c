/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "protocol/hls/hls_name_wire.h"

#include <errno.h>
#include <stdio.h>

static void test_names_are_read_and_written_the_same(void **state)
{
    static const struct {
        const char *text;
        struct hls_name name;
    } table[] = {
        {"video1.m3u8", {HLS_PLAYLIST, TRACK_VIDEO, 0, 0, 0}},
        {"audio8.m3u8", {HLS_PLAYLIST, TRACK_AUDIO, 7, 0, 0}},
        {"video1-00000000000000ff.mp4", {HLS_INIT, TRACK_VIDEO, 0, 255, 0}},
        {"audio2-1795171502051.m4s", {HLS_SEGMENT, TRACK_AUDIO, 1, 1795171502051, 0}},
        {"video1-18446744073709551615.0.m4s", {HLS_PART, TRACK_VIDEO, 0, UINT64_MAX, 0}},
        {"video3-7.4294967295.m4s", {HLS_PART, TRACK_VIDEO, 2, 7, UINT32_MAX}},
    };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        struct hls_name n;
        assert_int_equal(hls_name_parse(table[i].text, &n), 0);
        assert_int_equal(n.kind, table[i].name.kind);
        assert_int_equal(n.media, table[i].name.media);
        assert_int_equal(n.track, table[i].name.track);
        assert_true(n.id == table[i].name.id);
        assert_int_equal(n.part, table[i].name.part);
        _cleanup_(out_done) struct out o = {0};
        hls_name_put(&o, &n);
        assert_string_equal(out_str(&o), table[i].text);
    }
}

static void test_other_names_are_refused(void **state)
{
    static const char *const table[] = {
        "",
        "x",
        "video.m3u8",
        "video0.m3u8",
        "video9.m3u8",
        "video01.m3u8",
        "video-1.m3u8",
        "videoaudio1.m3u8",
        "audiovideo1.m3u8",
        "Video1.m3u8",
        "video4294967297.m3u8",
        "video1.m3u8x",
        "video1-ff.mp4",
        "video1-00000000000000FF.mp4",
        "video1-000000000000000ff.mp4",
        "video1-.m4s",
        "video1-07.m4s",
        "video1-+7.m4s",
        "video1-18446744073709551616.m4s",
        "video1-7.m4s.m4s",
        "video1-7.01.m4s",
        "video1-7.4294967296.m4s",
        "video1-7.1.2.m4s",
        "video1-7.m4a",
        "../index.m3u8",
        "video1-000000000000000000000000000000000000000000000000000000000000007.m4s",
    };
    struct hls_name n = {.track = 5};
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        if (hls_name_parse(table[i], &n) != -EINVAL) {
            fail_msg("%s is taken", table[i]);
        }
    }
    assert_int_equal(n.track, 5);
}

static void test_directives(void **state)
{
    static const struct {
        const char *query;
        int r;
        struct hls_directives d; /* has_msn, has_part, skip, plain, msn, part */
    } table[] = {
        {"", 0, {0}},
        {"a=1&b", 0, {0}},
        {"_HLS_msn=7", 0, {true, false, false, false, 7, 0}},
        {"_HLS_part=2&_HLS_msn=7", 0, {true, true, false, false, 7, 2}},
        {"_HLS_msn=7&_HLS_skip=YES", 0, {true, false, true, false, 7, 0}},
        {"_HLS_skip=v2&plain", 0, {false, false, true, true, 0, 0}},
        {"_HLS_skip=no&plain=", 0, {false, false, false, true, 0, 0}},
        {"_HLS_msn=9223372036854775807", 0, {true, false, false, false, INT64_MAX, 0}},
        {"_HLS_report=x&_HLS_new", 0, {0}},
        {"_HLS_part=1", -EINVAL, {0}},
        {"_HLS_msn=", -EINVAL, {0}},
        {"_HLS_msn", -EINVAL, {0}},
        {"_HLS_msn=-1", -EINVAL, {0}},
        {"_HLS_msn=1x", -EINVAL, {0}},
        {"_HLS_msn=9223372036854775808", -EINVAL, {0}},
        {"_HLS_msn=99999999999999999999", -EINVAL, {0}},
        {"_HLS_msn=1&_HLS_part=4294967296", -EINVAL, {0}},
    };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        struct hls_directives d = {0};
        struct error err = {0};
        int r = hls_directives_parse(table[i].query, &d, &err);
        if (r != table[i].r || d.has_msn != table[i].d.has_msn ||
            d.has_part != table[i].d.has_part || d.skip != table[i].d.skip ||
            d.plain != table[i].d.plain || d.msn != table[i].d.msn || d.part != table[i].d.part) {
            fail_msg("%s: %d", table[i].query, r);
        }
        assert_int_equal(err.code, r);
    }
}

static void test_the_query_goes_on_without_directives(void **state)
{
    static const char *const table[][2] = {
        {"", ""},
        {"_HLS_msn=1&_HLS_part=2", ""},
        {"token=a%2Fb&_HLS_msn=1&plain", "?token=a%2Fb&plain"},
        {"&&x=1&&", "?x=1"},
        {"x=\"y\"&z=<>", "?x=%22y%22&z=%3C%3E"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        _cleanup_(out_done) struct out o = {0};
        assert_int_equal(hls_query_carry(&o, table[i][0]), 0);
        assert_string_equal(out_str(&o), table[i][1]);
    }
    char longest[HLS_QUERY_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[HLS_QUERY_MAX + 1] = '\0';
    _cleanup_(out_done) struct out o = {0};
    assert_int_equal(hls_query_carry(&o, longest), -E2BIG);
    longest[HLS_QUERY_MAX - 1] = '\0';
    assert_int_equal(hls_query_carry(&o, longest), 0);
    assert_int_equal(o.len, HLS_QUERY_MAX);
    memset(longest, '"', HLS_QUERY_MAX - 1);
    assert_int_equal(hls_query_carry(&o, longest), -E2BIG);
    assert_int_equal(o.len, HLS_QUERY_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_read_and_written_the_same),
        cmocka_unit_test(test_other_names_are_refused),
        cmocka_unit_test(test_directives),
        cmocka_unit_test(test_the_query_goes_on_without_directives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
