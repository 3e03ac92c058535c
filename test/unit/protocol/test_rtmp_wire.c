/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server role: by hand-made commands, and against the client role, where everything that either says is fed to the
 * other in pieces. No sockets.
 */
#include "../unit.h"

#include "base/mem.h"
#include "protocol/rtmp/rtmp_client_wire.h"
#include "protocol/rtmp/rtmp_server_wire.h"

#include <errno.h>
#include <stdio.h>

/* ---- both roles ---- */

struct pair {
    struct rtmp_server_wire server;
    struct rtmp_client_wire client;
    struct out to_server;
    struct out to_client;
    struct out log; /* events of both, as text */
    const char *refuse;
    int client_result;
    struct error err;
};

static void pair_init(struct pair *p, bool publish, const char *name)
{
    *p = (struct pair){0};
    rtmp_server_wire_init(&p->server, 1, 1);
    const struct rtmp_client_target t = {
        .publish = publish, .app = "live", .tc_url = "rtmp://127.0.0.1/live", .name = name};
    rtmp_client_wire_init(&p->client, &t, 2, 2, &p->to_server);
}

static void pair_done(struct pair *p)
{
    rtmp_server_wire_done(&p->server);
    rtmp_client_wire_done(&p->client);
    out_done(&p->to_server);
    out_done(&p->to_client);
    out_done(&p->log);
}

static void drop(struct out *o, size_t n)
{
    memmove(o->data, o->data + n, o->len - n);
    o->len -= n;
}

static void server_event(struct pair *p, const struct rtmp_server_event *ev)
{
    switch (ev->type) {
    case RTMP_EVENT_PUBLISH:
    case RTMP_EVENT_PLAY:
        out_printf(&p->log, "%s(%s?%s) ", ev->type == RTMP_EVENT_PLAY ? "play" : "publish",
                   ev->name->path, ev->name->query ? ev->name->query : "");
        if (p->refuse) {
            rtmp_server_wire_refuse(&p->server, &p->to_client, p->refuse, "no");
        } else {
            rtmp_server_wire_accept(&p->server, &p->to_client);
        }
        break;
    case RTMP_EVENT_MEDIA:
        out_printf(&p->log, "media(%u@%u:%zu) ", ev->message.type, ev->message.timestamp,
                   ev->message.body.len);
        break;
    case RTMP_EVENT_METADATA:
        out_printf(&p->log, "metadata(%g) ", amf_get_number(&ev->metadata, "width", 0));
        break;
    case RTMP_EVENT_STOP:
        out_puts(&p->log, "stop ");
        break;
    case RTMP_EVENT_PAUSE:
        out_printf(&p->log, "pause(%d) ", ev->on);
        break;
    case RTMP_EVENT_RECEIVE:
        out_printf(&p->log, "receive(%d,%d) ", ev->kind, ev->on);
        break;
    case RTMP_EVENT_ALIVE:
        out_puts(&p->log, "alive ");
        break;
    case RTMP_EVENT_LEAVE:
        out_puts(&p->log, "leave ");
        break;
    }
}

static int run_server(struct pair *p, size_t step)
{
    int r = 0;
    while (p->to_server.len > 0 && r >= 0) {
        const size_t n = MIN(step, p->to_server.len);
        struct rd rd = rd_init(BYTES(p->to_server.data, n));
        struct rtmp_server_event ev;
        while ((r = rtmp_server_wire_next(&p->server, &rd, &p->to_client, &ev, &p->err)) > 0) {
            server_event(p, &ev);
        }
        drop(&p->to_server, n);
    }
    return r;
}

static int run_client(struct pair *p, size_t step)
{
    int r = 0;
    while (p->to_client.len > 0 && r >= 0) {
        const size_t n = MIN(step, p->to_client.len);
        struct rd rd = rd_init(BYTES(p->to_client.data, n));
        struct rtmp_client_event ev;
        while ((r = rtmp_client_wire_next(&p->client, &rd, &p->to_server, &ev, &p->err)) > 0) {
            static const char *const names[] = {"STARTED", "MEDIA",   "METADATA",
                                                "STATUS",  "STOPPED", "DRY"};
            out_printf(&p->log, "%s", names[ev.type]);
            if (ev.type == RTMP_CLIENT_MEDIA) {
                out_printf(&p->log, "(%u@%u:%zu)", ev.message.type, ev.message.timestamp,
                           ev.message.body.len);
            } else if (ev.code.len) {
                out_printf(&p->log, "(%.*s)", (int)ev.code.len, ev.code.data);
            }
            out_puts(&p->log, " ");
        }
        drop(&p->to_client, n);
    }
    return r;
}

static void run(struct pair *p, size_t step)
{
    while ((p->to_server.len > 0 || p->to_client.len > 0) && p->client_result >= 0) {
        assert_true(run_server(p, step) >= 0);
        p->client_result = run_client(p, step);
    }
}

static const size_t STEPS[] = {1, 100, 1 << 20};

static void test_publish(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(STEPS); i++) {
        struct pair p;
        pair_init(&p, true, "cam?key=k");
        run(&p, STEPS[i]);
        assert_int_equal(p.server.state, RTMP_SERVER_PUBLISHING);
        assert_int_equal(p.client.state, RTMP_CLIENT_RUNNING);
        assert_int_equal(p.server.codecs, (1u << CODEC_N) - 1);

        _cleanup_(out_done) struct out meta = {0};
        amf_begin_ecma_array(&meta, 1);
        amf_put_member_number(&meta, "width", 640);
        amf_end(&meta);
        rtmp_client_wire_metadata(&p.client, out_view(&meta), &p.to_server);
        uint8_t *big = mem_zalloc(70000); /* over the limit before publish, and of several chunks */
        rtmp_client_wire_media(&p.client, RTMP_VIDEO, 5, BYTES(big, 70000), &p.to_server);
        rtmp_client_wire_media(&p.client, RTMP_AUDIO, 0x1000000, BYTES(big, 3), &p.to_server);
        free(big);
        run(&p, STEPS[i]);
        rtmp_client_wire_stop(&p.client, &p.to_server);
        run(&p, STEPS[i]);
        assert_string_equal(
            out_str(&p.log),
            "publish(live/cam?key=k) STARTED(NetStream.Publish.Start) metadata(640) media(9@5:70000) "
            "media(8@16777216:3) stop STOPPED(NetStream.Unpublish.Success) ");
        assert_int_equal(p.server.state, RTMP_SERVER_IDLE);
        pair_done(&p);
    }
}

static void test_play(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(STEPS); i++) {
        struct pair p;
        pair_init(&p, false, "cam");
        run(&p, STEPS[i]);
        assert_int_equal(p.server.state, RTMP_SERVER_PLAYING);
        rtmp_write_user_control(&p.to_client, RTMP_STREAM_DRY, 1);
        const struct rtmp_message m = {RTMP_VIDEO, RTMP_CSID_VIDEO, 1, 77, BYTES("abc", 3)};
        rtmp_chunk_write(&p.to_client, &m, RTMP_OUT_CHUNK_SIZE);
        rtmp_write_user_control(&p.to_client, RTMP_PING_REQUEST, 9);
        rtmp_server_wire_stop(&p.server, &p.to_client, "NetStream.Play.Failed", "gone");
        run(&p, STEPS[i]);
        assert_string_equal(
            out_str(&p.log),
            "play(live/cam?) STATUS(NetStream.Play.Reset) STARTED(NetStream.Play.Start) DRY MEDIA(9@77:3) ");
        assert_int_equal(p.client_result, -EACCES);
        assert_int_equal(run_server(&p, 1 << 20), 0);
        assert_non_null(strstr(out_str(&p.log), "alive"));
        pair_done(&p);
    }
}

static void test_refused(void **state)
{
    struct pair p;
    pair_init(&p, true, "cam");
    p.refuse = "NetStream.Publish.BadName";
    run(&p, 1 << 20);
    assert_int_equal(p.client_result, -EACCES);
    assert_non_null(strstr(p.err.text, "NetStream.Publish.BadName no"));
    assert_int_equal(p.server.state, RTMP_SERVER_IDLE);
    pair_done(&p);
}

/* After so many bytes each side says how many it has. */
static void test_acknowledgement(void **state)
{
    struct pair p;
    pair_init(&p, true, "cam");
    run(&p, 1 << 20);
    const uint32_t before = p.server.in_bytes;
    rtmp_write_control(&p.to_server, RTMP_WINDOW_ACK_SIZE, 1000);
    uint8_t zero[999] = {0};
    rtmp_client_wire_media(&p.client, RTMP_VIDEO, 5, BYTES(zero, 999), &p.to_server);
    const uint32_t sent = (uint32_t)p.to_server.len;
    assert_int_equal(run_server(&p, 1 << 20), 0);
    struct rtmp_chunk_reader r;
    rtmp_chunk_reader_init(&r, 1000);
    struct rd rd = rd_init(out_view(&p.to_client));
    struct rtmp_message m;
    assert_int_equal(rtmp_chunk_read(&r, &rd, &m, NULL), 1);
    assert_int_equal(m.type, RTMP_ACK);
    struct rd body = rd_init(m.body);
    assert_int_equal(rd_u32be(&body), before + sent);
    assert_int_equal(rd_left(&rd), 0);
    rtmp_chunk_reader_done(&r);
    pair_done(&p);
}

/* ---- hand-made commands ---- */

static void shake_hands(struct rtmp_server_wire *w)
{
    rtmp_server_wire_init(w, 1, 1);
    uint8_t *hello = mem_zalloc(1 + 2 * RTMP_HANDSHAKE_SIZE);
    hello[0] = 3;
    _cleanup_(out_done) struct out out = {0};
    struct rd rd = rd_init(BYTES(hello, 1 + 2 * RTMP_HANDSHAKE_SIZE));
    struct rtmp_server_event ev;
    assert_int_equal(rtmp_server_wire_next(w, &rd, &out, &ev, NULL), 0);
    free(hello);
    assert_int_equal(w->state, RTMP_SERVER_CONNECT);
}

/* Sends one command as message of `type`; replies are left in out. */
static int send_body(struct rtmp_server_wire *w, uint8_t type, struct bytes body, struct out *out,
                     struct rtmp_server_event *ev)
{
    _cleanup_(out_done) struct out wire = {0};
    const struct rtmp_message m = {type, 3, 0, 0, body};
    rtmp_chunk_write(&wire, &m, RTMP_CHUNK_SIZE_DEFAULT);
    struct rd rd = rd_init(out_view(&wire));
    return rtmp_server_wire_next(w, &rd, out, ev, NULL);
}

static int send_command(struct rtmp_server_wire *w, const char *name, double id, const char *arg,
                        struct out *out, struct rtmp_server_event *ev)
{
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, name, id);
    if (arg) {
        amf_put_str(&body, arg);
    }
    return send_body(w, RTMP_COMMAND, out_view(&body), out, ev);
}

/* All commands in out as "name(id) ", with the code of a status. */
static void describe(struct out *out, uint32_t chunk_size, struct out *text)
{
    struct rtmp_chunk_reader r;
    rtmp_chunk_reader_init(&r, 65536);
    r.chunk_size = chunk_size;
    struct rd rd = rd_init(out_view(out));
    struct rtmp_message m;
    text->len = 0;
    while (rtmp_chunk_read(&r, &rd, &m, NULL) > 0) {
        struct rtmp_command c;
        if (m.type != RTMP_COMMAND) {
            out_printf(text, "%u ", m.type);
        } else if (rtmp_command_parse(&m, &c) == 0) {
            out_printf(text, "%.*s(%g", (int)c.name.len, c.name.data, c.transaction);
            struct amf_value v;
            if (rd_left(&c.args) > 0 && amf_read(&c.args, &v) == 0) {
                const struct bytes code = amf_get_str(&v, "code");
                if (v.type == AMF_NUMBER) {
                    out_printf(text, ",%g", v.number);
                } else {
                    out_printf(text, ",%.*s", (int)code.len, code.data);
                }
            }
            out_puts(text, ") ");
        }
    }
    rtmp_chunk_reader_done(&r);
    out->len = 0;
    out_str(text);
}

static void connect_object(struct out *body, double encoding)
{
    amf_put_str(body, "connect");
    amf_put_number(body, 1);
    amf_begin_object(body);
    amf_put_member_str(body, "app", "live");
    amf_put_member_str(body, "flashVer", "LNX 9,0,124,2");
    amf_put_member_number(body, "objectEncoding", encoding);
    amf_end(body);
}

static void connect_wire(struct rtmp_server_wire *w)
{
    shake_hands(w);
    _cleanup_(out_done) struct out body = {0};
    _cleanup_(out_done) struct out out = {0};
    struct rtmp_server_event ev;
    connect_object(&body, 0);
    assert_int_equal(send_body(w, RTMP_COMMAND, out_view(&body), &out, &ev), 0);
    assert_int_equal(w->state, RTMP_SERVER_IDLE);
    /* Nothing of Enhanced RTMP to those that did not speak of it. */
    assert_null(memmem(out.data, out.len, "fourCcList", 10));
    _cleanup_(out_done) struct out text = {0};
    describe(&out, 128, &text);
    assert_string_equal(out_str(&text), "5 6 _result(1,NetConnection.Connect.Success) ");
}

static void test_commands(void **state)
{
    static const struct {
        const char *name;
        double id;
        const char *idle, *playing;
    } t[] = {
        {"createStream", 4, "_result(4,1) ", "_result(4,1) "},
        {"releaseStream", 2, "_result(2) ", "_result(2) "},
        {"FCPublish", 3, "_result(3) ", "_result(3) "},
        {"FCPublish", 0, "", ""},
        {"_checkbw", 5, "_result(5) ", "_result(5) "},
        {"getStreamLength", 6, "_result(6,0) ", "_result(6,0) "},
        {"FCSubscribe", 7, "_result(7) onFCSubscribe(0,NetStream.Play.Start) ",
         "_result(7) onFCSubscribe(0,NetStream.Play.Start) "},
        {"connect", 8, "_error(8,NetConnection.Call.Failed) ",
         "_error(8,NetConnection.Call.Failed) "},
        {"pause", 0, "", "onStatus(0,NetStream.Pause.Notify) "},
        {"pause", 9, "_error(9,NetConnection.Call.Failed) ", "onStatus(0,NetStream.Pause.Notify) "},
        {"seek", 0, "", "onStatus(0,NetStream.Seek.Failed) "},
        {"receiveVideo", 0, "", ""},
        {"setPlaylist", 10, "_error(10,NetConnection.Call.Failed) ",
         "_error(10,NetConnection.Call.Failed) "},
        {"setPlaylist", 0, "", ""},
        {"_result", 11, "", ""},
        {"_error", 0, "", ""},
        {"FCUnpublish", 12, "_result(12) ", "_result(12) 4 onStatus(0,NetStream.Play.Stop) "},
        {"deleteStream", 0, "", ""},
    };
    struct rtmp_server_wire idle;
    struct rtmp_server_wire playing;
    connect_wire(&idle);
    connect_wire(&playing);
    _cleanup_(out_done) struct out out = {0};
    _cleanup_(out_done) struct out text = {0};
    struct rtmp_server_event ev;
    assert_int_equal(send_command(&playing, "play", 0, "x", &out, &ev), 1);
    assert_string_equal(ev.name->path, "live/x");
    assert_int_equal(playing.state, RTMP_SERVER_ASKED_PLAY);
    /* Nothing is read while the question is open. */
    struct rd rd = rd_init(BYTES("x", 1));
    assert_int_equal(rtmp_server_wire_next(&playing, &rd, &out, &ev, NULL), 0);
    assert_int_equal(rd_left(&rd), 1);
    rtmp_server_wire_accept(&playing, &out);
    describe(&out, RTMP_OUT_CHUNK_SIZE, &text);
    assert_string_equal(out_str(&text),
                        "4 onStatus(0,NetStream.Play.Reset) onStatus(0,NetStream.Play.Start) ");
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        assert_true(send_command(&idle, t[i].name, t[i].id, NULL, &out, &ev) >= 0);
        describe(&out, RTMP_OUT_CHUNK_SIZE, &text);
        assert_string_equal(out_str(&text), t[i].idle);
        assert_true(send_command(&playing, t[i].name, t[i].id, NULL, &out, &ev) >= 0);
        describe(&out, RTMP_OUT_CHUNK_SIZE, &text);
        assert_string_equal(out_str(&text), t[i].playing);
    }
    assert_int_equal(playing.state, RTMP_SERVER_IDLE);
    rtmp_server_wire_done(&idle);
    rtmp_server_wire_done(&playing);
}

static void test_player_events(void **state)
{
    struct rtmp_server_wire w;
    connect_wire(&w);
    _cleanup_(out_done) struct out out = {0};
    struct rtmp_server_event ev;
    /* play without reset does not say so */
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, "play", 0);
    amf_put_str(&body, "x");
    amf_put_number(&body, -2);
    amf_put_number(&body, -1);
    amf_put_bool(&body, false);
    assert_int_equal(send_body(&w, RTMP_COMMAND, out_view(&body), &out, &ev), 1);
    rtmp_server_wire_accept(&w, &out);
    assert_null(memmem(out.data, out.len, "Reset", 5));
    body.len = 0;
    rtmp_begin_command(&body, "receiveAudio", 0);
    amf_put_bool(&body, false);
    assert_int_equal(send_body(&w, RTMP_COMMAND, out_view(&body), &out, &ev), 1);
    assert_int_equal(ev.type, RTMP_EVENT_RECEIVE);
    assert_true(ev.kind == TRACK_AUDIO && !ev.on);
    /* a player's media and metadata are nobody's business */
    assert_int_equal(send_body(&w, RTMP_AUDIO, BYTES("a", 1), &out, &ev), 0);
    body.len = 0;
    amf_put_str(&body, "onMetaData");
    amf_begin_object(&body);
    amf_end(&body);
    assert_int_equal(send_body(&w, RTMP_DATA, out_view(&body), &out, &ev), 0);
    rtmp_server_wire_done(&w);
}

static void test_amf3_envelopes(void **state)
{
    struct rtmp_server_wire w;
    shake_hands(&w);
    _cleanup_(out_done) struct out body = {0};
    _cleanup_(out_done) struct out out = {0};
    struct rtmp_server_event ev;
    out_u8(&body, 0);
    connect_object(&body, 3);
    assert_int_equal(send_body(&w, RTMP_COMMAND_AMF3, out_view(&body), &out, &ev), 0);
    assert_int_equal(w.state, RTMP_SERVER_IDLE);
    assert_string_equal(w.agent, "LNX 9,0,124,2");
    body.len = 0;
    out_u8(&body, 0);
    rtmp_begin_command(&body, "publish", 5);
    amf_put_str(&body, "cam");
    assert_int_equal(send_body(&w, RTMP_COMMAND_AMF3, out_view(&body), &out, &ev), 1);
    assert_string_equal(ev.name->path, "live/cam");
    rtmp_server_wire_accept(&w, &out);
    body.len = 0;
    out_u8(&body, 0);
    amf_put_str(&body, "@setDataFrame");
    amf_put_str(&body, "onMetaData");
    amf_begin_object(&body);
    amf_put_member_number(&body, "width", 320);
    amf_end(&body);
    assert_int_equal(send_body(&w, RTMP_DATA_AMF3, out_view(&body), &out, &ev), 1);
    assert_true(amf_get_number(&ev.metadata, "width", 0) == 320);
    rtmp_server_wire_done(&w);
}

static void test_announced_codecs(void **state)
{
    _cleanup_(out_done) struct out o = {0};
    amf_begin_object(&o);
    amf_put_key(&o, "fourCcList");
    amf_begin_strict_array(&o, 2);
    amf_put_str(&o, "hvc1");
    amf_put_str(&o, "xyz1");
    amf_put_key(&o, "audioFourCcInfoMap");
    amf_begin_object(&o);
    amf_put_member_number(&o, "Opus", 1);
    amf_put_member_number(&o, "mp4a", 2); /* can encode, which is of no use to a player */
    amf_put_member_number(&o, ".mp3", 1e300);
    amf_end(&o);
    amf_end(&o);
    struct rd r = rd_init(out_view(&o));
    struct amf_value v;
    assert_int_equal(amf_read(&r, &v), 0);
    assert_int_equal(rtmp_announced_codecs(&v), 1u << CODEC_HEVC | 1u << CODEC_OPUS);
}

static void test_hostile(void **state)
{
    struct rtmp_server_wire w;
    _cleanup_(out_done) struct out out = {0};
    struct rtmp_server_event ev;
    shake_hands(&w);
    assert_int_equal(send_command(&w, "publish", 1, "x", &out, &ev), -EPROTO);
    rtmp_server_wire_done(&w);
    shake_hands(&w);
    assert_int_equal(send_command(&w, "connect", 1, NULL, &out, &ev), -EPROTO);
    rtmp_server_wire_done(&w);
    /* live\0x is not live. */
    shake_hands(&w);
    _cleanup_(out_done) struct out zero = {0};
    rtmp_begin_command(&zero, "connect", 1);
    amf_begin_object(&zero);
    amf_put_key(&zero, "app");
    out_bytes(&zero, BYTES("\x02\x00\x06live\x00x", 9));
    amf_end(&zero);
    assert_int_equal(send_body(&w, RTMP_COMMAND, out_view(&zero), &out, &ev), -EPROTO);
    rtmp_server_wire_done(&w);
    connect_wire(&w);
    assert_int_equal(send_body(&w, RTMP_COMMAND, BYTES("\x02\x00", 2), &out, &ev), -EPROTO);
    rtmp_server_wire_done(&w);
    connect_wire(&w);
    int r = 0;
    unsigned n = 0;
    while (r == 0 && n < 1000) {
        r = send_command(&w, "createStream", 1, NULL, &out, &ev);
        n++;
    }
    assert_int_equal(r, -EPROTO);
    assert_true(n < 200);
    rtmp_server_wire_done(&w);
    connect_wire(&w);
    static char name[RTMP_NAME_MAX + 2];
    memset(name, 'n', sizeof(name) - 1);
    assert_int_equal(send_command(&w, "publish", 1, name, &out, &ev), -EPROTO);
    rtmp_server_wire_done(&w);
}

/* ---- what real programs said ---- */

static void run_recorded(struct pair *p, const char *name, size_t step)
{
    _cleanup_free_ char *path = mem_printf("%s/rtmp/%s.c2s", TEST_DATA, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *bytes = mem_alloc(65536);
    const size_t n = fread(bytes, 1, 65536, f);
    fclose(f);
    *p = (struct pair){0};
    rtmp_server_wire_init(&p->server, 1, 1);
    struct rd in = rd_init(BYTES(bytes, n));
    while (rd_left(&in) > 0) {
        struct rd piece = rd_init(rd_bytes(&in, MIN(step, rd_left(&in))));
        struct rtmp_server_event ev;
        int r;
        while ((r = rtmp_server_wire_next(&p->server, &piece, &p->to_client, &ev, &p->err)) > 0) {
            server_event(p, &ev);
        }
        if (r < 0) {
            fail_msg("%s: %s", name, p->err.text);
        }
        assert_int_equal(rd_left(&piece), 0);
    }
    free(bytes);
    out_str(&p->log);
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;
    while ((text = strstr(text, what))) {
        n++;
        text++;
    }
    return n;
}

static void test_recorded(void **state)
{
    static const struct {
        const char *name, *begin;
        unsigned video, audio, metadata;
    } t[] = {
        {"ffmpeg-publish", "publish(live/ffmpeg-publish?key=k) metadata(64) ", 17, 67, 1},
        {"ffmpeg-audio", "publish(live/ffmpeg-audio?key=k) metadata(0) ", 0, 59, 1},
        {"gst-rtmp2sink", "publish(live/gst-rtmp2sink?key=k) metadata(64) ", 17, 0, 5},
        {"gst-rtmpsink", "publish(live/gst-rtmpsink?key=k) metadata(64) ", 17, 0, 5},
        {"ffmpeg-play", "play(live/playme?) stop ", 0, 0, 0},
        {"gst-rtmpsrc", "play(live/playme?) stop ", 0, 0, 0},
        {"gst-rtmp2src", "play(live/playme?) ", 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        struct pair whole;
        struct pair bytewise;
        run_recorded(&whole, t[i].name, 1 << 20);
        run_recorded(&bytewise, t[i].name, 1);
        assert_string_equal((char *)whole.log.data, (char *)bytewise.log.data);
        assert_true(bytes_equal(out_view(&whole.to_client), out_view(&bytewise.to_client)));
        const char *log = (char *)whole.log.data;
        if (strncmp(log, t[i].begin, strlen(t[i].begin)) != 0 ||
            count(log, "media(9") != t[i].video || count(log, "media(8") != t[i].audio ||
            count(log, "metadata") != t[i].metadata) {
            fail_msg("%s: %u video, %u audio, %u metadata: %s", t[i].name, count(log, "media(9"),
                     count(log, "media(8"), count(log, "metadata"), log);
        }
        rtmp_server_wire_done(&whole.server);
        rtmp_server_wire_done(&bytewise.server);
        out_done(&whole.to_client);
        out_done(&whole.log);
        out_done(&bytewise.to_client);
        out_done(&bytewise.log);
    }
}

/* ffmpeg -listen 1 as the server of our publisher: it leaves transactions out. */
static void test_recorded_server(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(STEPS); i++) {
        struct pair p;
        pair_init(&p, true, "x");
        p.to_server.len = 0;
        uint8_t bytes[8192];
        FILE *f = fopen(TEST_DATA "/rtmp/ffmpeg-listen.s2c", "rb");
        assert_non_null(f);
        out_mem(&p.to_client, bytes, fread(bytes, 1, sizeof(bytes), f));
        fclose(f);
        assert_int_equal(run_client(&p, STEPS[i]), 0);
        assert_int_equal(p.client.state, RTMP_CLIENT_RUNNING);
        assert_non_null(strstr(out_str(&p.log), "STARTED(NetStream.Publish.Start)"));
        pair_done(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish),         cmocka_unit_test(test_play),
        cmocka_unit_test(test_refused),         cmocka_unit_test(test_acknowledgement),
        cmocka_unit_test(test_commands),        cmocka_unit_test(test_player_events),
        cmocka_unit_test(test_amf3_envelopes),  cmocka_unit_test(test_announced_codecs),
        cmocka_unit_test(test_hostile),         cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_recorded_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
