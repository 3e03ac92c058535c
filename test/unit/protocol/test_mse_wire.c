/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "protocol/mse/mse_wire.h"

#include <errno.h>
#include <string.h>

static struct track_params video = {
    .codec = CODEC_H264,
    .kind = TRACK_VIDEO,
    .rfc6381 = "avc1.64001f",
    .width = 1280,
    .height = 720,
};
static struct track_params audio = {
    .codec = CODEC_AAC,
    .kind = TRACK_AUDIO,
    .rfc6381 = "mp4a.40.2",
    .sample_rate = 48000,
    .channels = 2,
};

/* Video, nothing yet, audio, a second video, a second audio. */
static const struct track_params *const many[] = {&video, NULL, &audio, &video, &audio};

static uint32_t selected(const char *text)
{
    struct mse_selection sel = {0};
    struct error err = {0};
    if (text && mse_selection_parse(text, &sel, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return mse_select(&sel, many, ARRAY_LEN(many));
}

static void test_which_tracks_are_selected(void **state)
{
    assert_int_equal(selected(NULL), 1 << 0 | 1 << 2);
    assert_int_equal(selected("video"), 1 << 0);
    assert_int_equal(selected("audio"), 1 << 2);
    assert_int_equal(selected("audio,video"), 1 << 0 | 1 << 2);
    assert_int_equal(selected("4"), 1 << 3);
    assert_int_equal(selected("4,audio"), 1 << 3 | 1 << 2);
    assert_int_equal(selected("5,3,1"), 1 << 4 | 1 << 2 | 1 << 0);
    assert_int_equal(selected("2"), 0); /* known by number, but without parameters yet */
    assert_int_equal(selected("8"), 0);
}

static void test_without_audio_the_default_is_video(void **state)
{
    struct mse_selection sel = {0};
    const struct track_params *const one[] = {&video};
    assert_int_equal(mse_select(&sel, one, 1), 1);
    assert_int_equal(mse_select(&sel, NULL, 0), 0);
}

static void test_bad_selections_are_refused_and_leave_the_result_alone(void **state)
{
    static const char *const bad[] = {"",  ",",  "video,", ",video", "Video", "0",
                                      "9", "12", "1 ",     "text",   "-1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct mse_selection sel = {.ids = 42};
        struct error err = {0};
        assert_int_equal(mse_selection_parse(bad[i], &sel, &err), -EINVAL);
        assert_int_equal(sel.ids, 42);
        assert_string_equal(err.where, "tracks");
    }
}

static void test_init_message(void **state)
{
    struct mse_init init = {
        .params = {&video, NULL, &audio},
        .n = 3,
        .epoch = 7,
        .start_ns = 1234567890,
        .edge_ns = 2 * NS_PER_S,
    };
    _cleanup_(out_done) struct out o = {0};
    mse_put_init(&o, &init);
    assert_string_equal(
        out_str(&o),
        "{\"type\":\"init\",\"mime\":\"video/mp4; codecs=\\\"avc1.64001f,mp4a.40.2\\\"\",\"tracks\":["
        "{\"id\":1,\"kind\":\"video\",\"codec\":\"h264\",\"codecs\":\"avc1.64001f\",\"width\":1280,\"height\":720},"
        "{\"id\":3,\"kind\":\"audio\",\"codec\":\"aac\",\"codecs\":\"mp4a.40.2\",\"sample_rate\":48000,\"channels\":2}],"
        "\"epoch\":7,\"start_ms\":1234,\"edge_ms\":2000}");
}

static void test_state_messages(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    mse_put_state(&o, "live", "");
    assert_string_equal(out_str(&o), "{\"type\":\"state\",\"state\":\"live\"}");
    o.len = 0;
    mse_put_state(&o, "waiting", "the \"publisher\" left");
    assert_string_equal(
        out_str(&o),
        "{\"type\":\"state\",\"state\":\"waiting\",\"reason\":\"the \\\"publisher\\\" left\"}");
    o.len = 0;
    mse_put_discontinuity(&o, 3, 5 * NS_PER_S + 999999);
    assert_string_equal(
        out_str(&o),
        "{\"type\":\"state\",\"state\":\"discontinuity\",\"epoch\":3,\"start_ms\":5000}");
    o.len = 0;
    mse_put_jumped(&o, 120);
    assert_string_equal(out_str(&o), "{\"type\":\"jumped\",\"dropped\":120}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_tracks_are_selected),
        cmocka_unit_test(test_without_audio_the_default_is_video),
        cmocka_unit_test(test_bad_selections_are_refused_and_leave_the_result_alone),
        cmocka_unit_test(test_init_message),
        cmocka_unit_test(test_state_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
