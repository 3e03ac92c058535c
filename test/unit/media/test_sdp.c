/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "media/rtp_sdp.h"
#include "media/sdp.h"

#include <errno.h>

static const char camera[] = "v=0\r\n"
                             "o=- 1700000000 1 IN IP4 192.168.1.10\r\n"
                             "s=Media Presentation\r\n"
                             "c=IN IP4 0.0.0.0\r\n"
                             "t=0 0\r\n"
                             "a=control:*\r\n"
                             "a=range:npt=now-\r\n"
                             "m=video 0 RTP/AVP 96\r\n"
                             "a=control:trackID=1\r\n"
                             "a=rtpmap:96 H264/90000\r\n"
                             "a=fmtp:96 profile-level-id=640029; packetization-mode=1; "
                             "sprop-parameter-sets=Z0IAH5WoFAFuQA==,aM48gA==\r\n"
                             "a=recvonly\r\n"
                             "m=audio 5006/2 RTP/AVP 0 97\n"
                             "c=IN IP4 224.2.1.1/127/3\n"
                             "a=rtpmap:97 MPEG4-GENERIC/16000/1\n"
                             "a=fmtp:97 streamtype=5;profile-level-id=15;mode=AAC-hbr;"
                             "sizeLength=13;indexLength=3;indexDeltaLength=3;config=1408\n"
                             "\n";

static void parse(const char *text, struct sdp *ret)
{
    struct error err = {0};
    if (sdp_parse(BYTES_STR(text), ret, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
}

static void test_a_camera_is_read(void **state)
{
    struct sdp s;
    struct bytes v;
    parse(camera, &s);
    assert_true(bytes_equal_str(s.name, "Media Presentation"));
    assert_true(bytes_equal_str(s.session.connection, "0.0.0.0"));
    assert_int_equal(s.n_media, 2);
    assert_true(sdp_attr(&s.session, "control", &v));
    assert_true(bytes_equal_str(v, "*"));
    assert_false(sdp_attr(&s.session, "rtpmap", &v)); /* is the media's */
    const struct sdp_media *m = &s.media[0];
    assert_true(bytes_equal_str(m->kind, "video"));
    assert_true(bytes_equal_str(m->proto, "RTP/AVP"));
    assert_int_equal(m->port, 0);
    assert_int_equal(sdp_payload_type(m, 0), 96);
    assert_int_equal(sdp_payload_type(m, 1), -EINVAL);
    assert_true(sdp_attr(&m->section, "control", &v));
    assert_true(bytes_equal_str(v, "trackID=1"));
    assert_true(sdp_attr(&m->section, "recvonly", NULL));
    assert_false(sdp_attr(&m->section, "sendonly", NULL));
    m = &s.media[1];
    assert_int_equal(m->port, 5006);
    assert_true(bytes_equal_str(m->section.connection, "224.2.1.1"));
    assert_int_equal(m->n_formats, 2);
}

static void test_formats_are_read(void **state)
{
    struct sdp s;
    struct sdp_rtpmap map;
    struct rtp_sdp_format f;
    struct bytes fmtp;
    struct bytes v;
    parse(camera, &s);
    assert_true(sdp_format_attr(&s.media[0], "fmtp", 96, &fmtp));
    assert_true(sdp_fmtp_param(fmtp, "packetization-mode", &v));
    assert_true(bytes_equal_str(v, "1"));
    assert_false(sdp_fmtp_param(fmtp, "mode", &v));
    assert_int_equal(rtp_sdp_read(&s.media[0], 96, &f, NULL), 0);
    assert_int_equal(f.depay.codec, CODEC_H264);
    assert_non_null(f.config);
    buf_unref(&f.config);
    assert_int_equal(sdp_rtpmap(&s.media[1], 0, &map), 0);
    assert_true(bytes_equal_str(map.encoding, "PCMU"));
    assert_int_equal(sdp_rtpmap(&s.media[1], 98, &map), -ENOENT);
    assert_int_equal(rtp_sdp_read(&s.media[1], 0, &f, NULL), -ENOTSUP);
    assert_int_equal(rtp_sdp_read(&s.media[1], 97, &f, NULL), 0);
    assert_int_equal(f.clock_rate, 16000);
    assert_int_equal(f.depay.size_bits, 13);
    assert_int_equal(f.depay.index_delta_bits, 3);
    buf_unref(&f.config);
    assert_int_equal(buf_live_count(), 0);
}

static void test_sets_that_make_no_sense_are_none(void **state)
{
    struct sdp s;
    struct rtp_sdp_format f;
    parse("v=0\nm=video 1 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
          "a=fmtp:96 sprop-parameter-sets=Zw==,,!!\n",
          &s);
    assert_int_equal(rtp_sdp_read(&s.media[0], 96, &f, NULL), 0);
    assert_null(f.config);
}

static void test_what_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "\r\n",
        "s=x\r\nv=0\r\n",
        "v=1\r\n",
        "v=0\r\nm=video\r\n",
        "v=0\r\nm=video 99999 RTP/AVP 96\r\n",
        "v=0\r\nm=video 1 RTP/AVP\r\n",
        "v=0\r\nc=IN IP4\r\n",
        "v=0\r\nnonsense\r\n",
    };
    struct sdp s;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        assert_int_equal(sdp_parse(BYTES_STR(bad[i]), &s, &err), -EINVAL);
        assert_string_not_equal(err.text, "");
    }
    _cleanup_(out_done) struct out o = {0};
    out_puts(&o, "v=0\r\n");
    for (unsigned i = 0; i < SDP_MEDIA_MAX; i++) {
        out_puts(&o, "m=audio 1 RTP/AVP 0\r\n");
    }
    assert_int_equal(sdp_parse(out_view(&o), &s, NULL), 0);
    out_puts(&o, "m=audio 1 RTP/AVP 0\r\n");
    assert_int_equal(sdp_parse(out_view(&o), &s, NULL), -E2BIG);
    o.len = 0;
    out_puts(&o, "v=0\r\nm=audio 1 RTP/AVP");
    for (unsigned i = 0; i <= SDP_FORMATS_MAX; i++) {
        out_printf(&o, " %u", i);
    }
    assert_int_equal(sdp_parse(out_view(&o), &s, NULL), -E2BIG);
}

static void test_what_is_written(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    sdp_write_session(&o, 7, 8, "::1", "");
    sdp_write_media(&o, "audio", 5004, "RTP/AVP", 111, "10.0.0.1");
    assert_string_equal(out_str(&o), "v=0\r\no=- 7 8 IN IP6 ::1\r\ns=-\r\nc=IN IP6 ::1\r\nt=0 0\r\n"
                                     "m=audio 5004 RTP/AVP 111\r\nc=IN IP4 10.0.0.1\r\n");
    struct sdp s;
    parse(out_str(&o), &s);
    assert_int_equal(s.media[0].port, 5004);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_camera_is_read),
        cmocka_unit_test(test_formats_are_read),
        cmocka_unit_test(test_sets_that_make_no_sense_are_none),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
