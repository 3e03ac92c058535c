/* SPDX-License-Identifier: Apache-2.0 */
/* Answers and events of the plugins as Janus 1.1.2 gave them (specs/janus-obs-reference.md 1.5, 1.6), and what is none. */
#include "../unit.h"

#include "base/mem.h"
#include "peer/janus/janus_room_wire.h"
#include "peer/janus/janus_streaming_wire.h"
#include "peer/janus/janus_wire.h"

#include <errno.h>
#include <string.h>

static struct janus_room_said said(const char *json)
{
    struct janus_room_said s;
    struct error err = {0};
    if (janus_room_parse(BYTES_STR(json), &s, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return s;
}

static struct janus_mountpoints mountpoints(const char *json)
{
    struct janus_mountpoints m;
    struct error err = {0};
    if (janus_streaming_parse(BYTES_STR(json), &m, &err) < 0) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return m;
}

static void test_rooms(void **state)
{
    struct janus_room_said s =
        said("{\"videoroom\":\"success\",\"list\":[{\"room\":4321,\"description\":\"bridge\","
             "\"pin_required\":true,\"is_private\":true,\"max_publishers\":4,\"bitrate\":1024000,"
             "\"fir_freq\":2,\"audiocodec\":\"opus\",\"videocodec\":\"h264,vp8\",\"record\":true,"
             "\"num_participants\":3},{\"room\":\"lobby\"}]}");
    assert_int_equal(s.n_rooms, 2);
    const struct janus_room_info *r = &s.rooms[0];
    assert_int_equal(r->room.num, 4321);
    assert_string_equal(r->description, "bridge");
    assert_true(r->pin_required && r->is_private && r->record);
    assert_int_equal(r->publishers_max, 4);
    assert_int_equal(r->participants, 3);
    assert_int_equal(r->bitrate, 1024000);
    assert_int_equal(r->fir_freq, 2);
    assert_string_equal(r->audiocodec, "opus");
    assert_string_equal(r->videocodec, "h264,vp8");
    assert_string_equal(s.rooms[1].room.str, "lobby");
    janus_room_said_done(&s);
    s = said("{\"videoroom\":\"participants\",\"room\":4321,\"participants\":[{\"id\":5678,"
             "\"display\":\"pub\",\"publisher\":true,\"talking\":true},{\"id\":5}]}");
    assert_int_equal(s.n_participants, 2);
    assert_int_equal(s.participants[0].id.num, 5678);
    assert_string_equal(s.participants[0].display, "pub");
    assert_true(s.participants[0].publisher && s.participants[0].talking);
    assert_string_equal(s.participants[1].display, "");
    assert_false(s.participants[1].publisher || s.participants[1].talking);
    janus_room_said_done(&s);
}

static void test_forwarders(void **state)
{
    struct janus_room_said s = said(
        "{\"publisher_id\":5678,\"forwarders\":[{\"stream_id\":2430782235,\"host\":\"127.0.0.1\","
        "\"port\":21004,\"type\":\"video\",\"local_rtcp_port\":34277,\"remote_rtcp_port\":21005,"
        "\"pt\":96,\"ssrc\":7,\"srtp\":true},{\"stream_id\":1440621880,\"host\":\"127.0.0.1\","
        "\"port\":21006,\"type\":\"audio\"}],\"room\":4321,\"videoroom\":\"rtp_forward\"}");
    assert_int_equal(s.n_forwarders, 2);
    const struct janus_forwarder *f = &s.forwarders[0];
    assert_int_equal(f->publisher_id.num, 5678);
    assert_int_equal(f->stream_id, 2430782235);
    assert_string_equal(f->host, "127.0.0.1");
    assert_int_equal(f->port, 21004);
    assert_int_equal(f->rtcp_port, 21005);
    assert_int_equal(f->type, JANUS_VIDEO);
    assert_int_equal(f->pt, 96);
    assert_int_equal(f->ssrc, 7);
    assert_true(f->srtp);
    assert_int_equal(f->substream, -1);
    f = &s.forwarders[1];
    assert_int_equal(f->pt, -1);
    assert_int_equal(f->rtcp_port, 0);
    janus_room_said_done(&s);
    s = said("{\"videoroom\":\"forwarders\",\"room\":4321,\"publishers\":[{\"publisher_id\":5678,"
             "\"forwarders\":[{\"stream_id\":1,\"port\":21006,\"type\":\"audio\"}]},"
             "{\"publisher_id\":5679,\"forwarders\":[{\"stream_id\":2,\"port\":21008,\"type\":"
             "\"video\",\"substream\":1}]}]}");
    assert_int_equal(s.n_forwarders, 2);
    assert_int_equal(s.forwarders[0].publisher_id.num, 5678);
    assert_int_equal(s.forwarders[1].publisher_id.num, 5679);
    assert_int_equal(s.forwarders[1].substream, 1);
    janus_room_said_done(&s);
}

static void test_who_is_gone(void **state)
{
    static const struct {
        const char *json;
        int64_t who; /* 0: nobody */
        const char *why, *self;
    } cases[] = {
        {"{\"videoroom\":\"event\",\"room\":5,\"unpublished\":5678}", 5678, "unpublished", NULL},
        {"{\"videoroom\":\"event\",\"room\":5,\"leaving\":5678}", 5678, "left", NULL},
        {"{\"videoroom\":\"event\",\"room\":5,\"kicked\":5680}", 5680, "kicked", NULL},
        {"{\"videoroom\":\"event\",\"room\":5,\"leaving\":\"ok\",\"reason\":\"kicked\"}", 0, NULL,
         "kicked"},
        {"{\"videoroom\":\"event\",\"room\":5,\"leaving\":\"ok\"}", 0, NULL, ""},
        {"{\"videoroom\":\"event\",\"room\":5,\"unpublished\":\"ok\"}", 0, NULL, NULL},
        {"{\"videoroom\":\"event\",\"room\":5}", 0, NULL, NULL},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct janus_room_said s = said(cases[i].json);
        assert_int_equal(s.gone.num, cases[i].who);
        assert_int_equal(s.gone_why != NULL, cases[i].why != NULL);
        if (cases[i].why) {
            assert_string_equal(s.gone_why, cases[i].why);
        }
        assert_int_equal(s.self_gone, cases[i].self != NULL);
        if (cases[i].self) {
            assert_string_equal(s.self_why, cases[i].self);
        }
        janus_room_said_done(&s);
    }
}

static void test_mountpoints(void **state)
{
    struct janus_mountpoints m = mountpoints(
        "{\"streaming\":\"info\",\"info\":{\"id\":9001,\"name\":\"n9001\",\"description\":\"camera "
        "feed\",\"metadata\":\"b1\",\"secret\":\"s3cret\",\"is_private\":true,\"enabled\":false,"
        "\"viewers\":2,\"type\":\"live\",\"media\":[{\"mindex\":0,\"type\":\"video\",\"mid\":\"v\","
        "\"label\":\"cam\",\"pt\":96,\"codec\":\"h264\",\"rtpmap\":\"H264/90000\",\"port\":21004,"
        "\"rtcpport\":21005,\"age_ms\":16},{\"mindex\":1,\"type\":\"audio\",\"mid\":\"a\"}]}}");
    assert_int_equal(m.n, 1);
    const struct janus_mountpoint_info *i = &m.infos[0];
    assert_int_equal(i->id.num, 9001);
    assert_string_equal(i->name, "n9001");
    assert_string_equal(i->type, "live");
    assert_string_equal(i->description, "camera feed");
    assert_string_equal(i->metadata, "b1");
    assert_true(i->is_private && i->complete && !i->enabled);
    assert_int_equal(i->viewers, 2);
    assert_int_equal(i->n_tracks, 2);
    const struct janus_track_info *t = &i->tracks[0];
    assert_string_equal(t->mid, "v");
    assert_string_equal(t->label, "cam");
    assert_string_equal(t->codec, "h264");
    assert_int_equal(t->pt, 96);
    assert_int_equal(t->port, 21004);
    assert_int_equal(t->rtcp_port, 21005);
    assert_int_equal(t->age_ms, 16);
    assert_int_equal(i->tracks[1].age_ms, -1);
    assert_int_equal(i->tracks[1].mindex, 1);
    janus_mountpoints_done(&m);
    m = mountpoints("{\"streaming\":\"list\",\"list\":[{\"id\":9004,\"type\":\"live\",\"enabled\":"
                    "true,\"media\":[{\"mid\":\"v\",\"type\":\"video\",\"label\":\"video\",\"age_"
                    "ms\":9}]},{\"id\":\"x\"}]}");
    assert_int_equal(m.n, 2);
    assert_null(m.infos[0].name);
    assert_false(m.infos[0].complete);
    assert_int_equal(m.infos[0].tracks[0].age_ms, 9);
    assert_string_equal(m.infos[1].id.str, "x");
    assert_int_equal(m.infos[1].n_tracks, 0);
    janus_mountpoints_done(&m);
    m = mountpoints("{\"streaming\":\"created\",\"created\":\"mp\",\"stream\":{\"id\":1,\"type\":"
                    "\"live\",\"ports\":[{\"type\":\"video\",\"mid\":\"v\",\"host\":\"127.0.0.1\","
                    "\"port\":21010,\"rtcp_port\":21003,\"port_2\":21011,\"port_3\":21012}]}}");
    assert_true(m.infos[0].complete);
    assert_string_equal(m.infos[0].host, "127.0.0.1");
    assert_int_equal(m.infos[0].tracks[0].port_2, 21011);
    assert_int_equal(m.infos[0].tracks[0].port_3, 21012);
    janus_mountpoints_done(&m);
}

/* What one server may hold is listed, and a list without end is not read. */
static void test_long_lists(void **state)
{
    for (unsigned n = 10000; n <= 10001; n++) {
        _cleanup_(out_done) struct out o = {0};
        struct janus_mountpoints m;
        struct error err = {0};
        out_puts(&o, "{\"streaming\":\"list\",\"list\":[");
        for (unsigned i = 0; i < n; i++) {
            out_printf(&o,
                       "%s{\"id\":%u,\"type\":\"live\",\"description\":\"camera %u\",\"enabled\":"
                       "true,\"media\":[{\"mid\":\"v\",\"type\":\"video\",\"age_ms\":9},{\"mid\":"
                       "\"a\",\"type\":\"audio\",\"age_ms\":9}]}",
                       i ? "," : "", i + 1, i);
        }
        out_puts(&o, "]}");
        int r = janus_streaming_parse(out_view(&o), &m, &err);
        assert_int_equal(r, n > 10000 ? -EPROTO : 0);
        assert_int_equal(m.n, r < 0 ? 0 : n);
        assert_int_equal(r < 0 ? 10000 : m.infos[n - 1].id.num, 10000);
        janus_mountpoints_done(&m);
    }
}

#define PORT_TOO_HIGH                                                                              \
    "{\"streaming\":\"info\",\"info\":{\"id\":1,\"media\":[{\"type\":\"video\",\"port\":70000}]}}"

static void test_what_is_no_answer(void **state)
{
    static const char *const bad[] = {"",
                                      "[]",
                                      "{}",
                                      "{\"streaming\":5}",
                                      "{\"streaming\":\"ok\"}",
                                      "{\"streaming\":\"info\",\"info\":[]}",
                                      "{\"streaming\":\"list\",\"list\":[{}]}",
                                      PORT_TOO_HIGH};
    static const char *const bad_room[] = {
        "", "{}", "{\"videoroom\":7}", "{\"videoroom\":\"x\",\"publishers\":[{\"display\":\"x\"}]}",
        "{\"videoroom\":\"x\",\"forwarders\":[{\"port\":1}]}"};
    struct janus_mountpoints m;
    struct janus_room_said s;
    struct error err;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(janus_streaming_parse(BYTES_STR(bad[i]), &m, &err), -EPROTO);
        assert_null(m.document);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad_room); i++) {
        assert_int_equal(janus_room_parse(BYTES_STR(bad_room[i]), &s, &err), -EPROTO);
        assert_null(s.document);
    }
}

/* What Janus fetches itself has the flat keys of before there were several tracks, which are all that 1.1.2 reads there. */
static void test_what_janus_fetches(void **state)
{
    static const struct {
        const char *json, *sent;
    } cases[] = {
        {"{\"type\":\"live\",\"filename\":\"/a.opus\"}",
         "{\"request\":\"create\",\"type\":\"live\",\"filename\":\"/a.opus\",\"audio\":true,\"video\":"
         "false,\"audiocodec\":\"opus\",\"audiopt\":111}"},
        {"{\"type\":\"ondemand\",\"filename\":\"/a.mulaw\",\"media\":[{\"type\":\"audio\",\"extra\":{"
         "\"x\":1}}]}",
         "{\"request\":\"create\",\"type\":\"ondemand\",\"filename\":\"/a.mulaw\",\"audio\":true,"
         "\"video\":false,\"audiocodec\":\"pcmu\",\"audiopt\":0,\"x\":1}"},
        {"{\"type\":\"rtsp\",\"url\":\"rtsp://h/\",\"rtsp_timeout\":3}",
         "{\"request\":\"create\",\"type\":\"rtsp\",\"audio\":true,\"video\":true,\"url\":\"rtsp://h/\","
         "\"rtsp_timeout\":3}"},
        {"{\"type\":\"rtsp\",\"url\":\"rtsp://h/\",\"media\":[{\"type\":\"video\",\"pt\":97,\"codec\":"
         "\"h264\",\"fmtp\":\"f\",\"iface\":\"lo\",\"bufferkf\":true}]}",
         "{\"request\":\"create\",\"type\":\"rtsp\",\"audio\":false,\"video\":true,\"videocodec\":"
         "\"h264\",\"videofmtp\":\"f\",\"videopt\":97,\"rtspiface\":\"lo\",\"videobufferkf\":true,"
         "\"url\":\"rtsp://h/\"}"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct janus_mountpoint m;
        struct error err = {0};
        assert_int_equal(
            model_parse_json(&janus_mountpoint_model, &m, BYTES_STR(cases[i].json), NULL, &err), 0);
        assert_int_equal(janus_mountpoint_check(&m, true, &err), 0);
        assert_int_equal(janus_mountpoint_check(&m, true, &err), 0); /* again changes nothing */
        _cleanup_free_ char *sent = janus_streaming_put_create(&m, &err);
        assert_string_equal(sent, cases[i].sent);
        model_done(&janus_mountpoint_model, &m);
    }
}

static void test_the_tables_are_sound(void **state)
{
    const struct model *const models[] = {&janus_track_model, &janus_mountpoint_model,
                                          &janus_room_model, &janus_forward_stream_model,
                                          &janus_forward_model};
    struct error err = {0};
    for (unsigned i = 0; i < ARRAY_LEN(models); i++) {
        assert_int_equal(model_check(models[i], &err), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rooms),
        cmocka_unit_test(test_forwarders),
        cmocka_unit_test(test_who_is_gone),
        cmocka_unit_test(test_mountpoints),
        cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_what_is_no_answer),
        cmocka_unit_test(test_what_janus_fetches),
        cmocka_unit_test(test_the_tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
