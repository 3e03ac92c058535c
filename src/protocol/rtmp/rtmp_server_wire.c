/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_server_wire.h"

#include <errno.h>

#define COMMANDS_MAX  100 /* before publish or play; real peers need up to eight */
#define AGENT_MAX     64
#define LIMIT_DYNAMIC 2 /* 5.4.5 */

/* What a command handler works with. */
struct call {
    struct rtmp_server_wire *w;
    struct rtmp_command *command;
    struct out *out;
    struct rtmp_server_event *event;
    struct error *err;
};

const char *rtmp_server_state_to_str(enum rtmp_server_state s)
{
    static const char *const names[] = {
        [RTMP_SERVER_HANDSHAKE] = "handshake",
        [RTMP_SERVER_CONNECT] = "connect",
        [RTMP_SERVER_IDLE] = "idle",
        [RTMP_SERVER_ASKED_PUBLISH] = "asked-publish",
        [RTMP_SERVER_ASKED_PLAY] = "asked-play",
        [RTMP_SERVER_PUBLISHING] = "publishing",
        [RTMP_SERVER_PLAYING] = "playing",
    };
    _Static_assert(ARRAY_LEN(names) == RTMP_SERVER_STATE_N, "a name for each state");
    return names[s];
}

void rtmp_server_wire_init(struct rtmp_server_wire *w, uint64_t seed, uint32_t now_ms)
{
    *w = (struct rtmp_server_wire){
        .handshake = rtmp_handshake_new(RTMP_SERVER, seed, now_ms),
        .begun_ms = now_ms,
        .in_window = RTMP_ACK_WINDOW,
        .commands_left = COMMANDS_MAX,
    };
    rtmp_chunk_reader_init(&w->chunks, RTMP_MESSAGE_MAX_EARLY);
}

void rtmp_server_wire_done(struct rtmp_server_wire *w)
{
    w->handshake = rtmp_handshake_free(w->handshake);
    rtmp_chunk_reader_done(&w->chunks);
    rtmp_name_done(&w->name);
    rtmp_proof_done(&w->proof);
    free(TAKE_PTR(w->app));
    free(TAKE_PTR(w->tc_url));
    free(TAKE_PTR(w->agent));
}

/* ---- answers ---- */

static void answer(const struct call *c, uint32_t stream_id, struct out *body)
{
    rtmp_write_command(c->out, stream_id, out_view(body), RTMP_OUT_CHUNK_SIZE);
}

static void answer_result(const struct call *c, const double *value)
{
    if (c->command->transaction == 0) {
        return;
    }
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, "_result", c->command->transaction);
    if (value) {
        amf_put_number(&body, *value);
    }
    answer(c, 0, &body);
}

static void answer_error(const struct call *c, const char *code, const char *description)
{
    if (c->command->transaction == 0) {
        return;
    }
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, "_error", c->command->transaction);
    amf_begin_object(&body);
    amf_put_member_str(&body, "level", "error");
    amf_put_member_str(&body, "code", code);
    amf_put_member_str(&body, "description", description);
    amf_end(&body);
    answer(c, 0, &body);
}

static void write_status(struct out *out, bool error, const char *code, const char *description)
{
    rtmp_write_status(out, RTMP_STREAM_ID, error, code, description, RTMP_OUT_CHUNK_SIZE);
}

/* ---- commands ---- */

static char *bounded_text(struct bytes b, size_t max)
{
    return mem_strndup(b.len ? (const char *)b.data : "", MIN(b.len, max));
}

/*
 * The answer of connect. What Enhanced RTMP adds goes only to those that announced it, so that older ones get what they
 * always got.
 */
static void write_connect_result(const struct call *c, double encoding)
{
    _cleanup_(out_done) struct out body = {0};
    amf_put_str(&body, "_result");
    amf_put_number(&body, c->command->transaction);
    amf_begin_object(&body);
    /* Clients look into fmsVer to learn what a server can do; this is the oldest that knows all of it. */
    amf_put_member_str(&body, "fmsVer", "FMS/3,5,7,7009");
    amf_put_member_number(&body, "capabilities", 31);
    amf_put_member_number(&body, "mode", 1);
    if (c->w->codecs) {
        rtmp_put_codecs(&body);
    }
    amf_end(&body);
    amf_begin_object(&body);
    amf_put_member_str(&body, "level", "status");
    amf_put_member_str(&body, "code", "NetConnection.Connect.Success");
    amf_put_member_str(&body, "description", "Connection succeeded.");
    amf_put_member_number(&body, "objectEncoding", encoding);
    amf_end(&body);
    answer(c, 0, &body);
}

/*
 * Only the first answer of a connection can ask for credentials, before it is known what will be published; so who has some
 * in the address is left alone, and players are (they do not say "nonprivate"). Returns 1 when the peer is to come again.
 */
static int check_credentials(struct call *c)
{
    struct rtmp_server_wire *w = c->w;
    _cleanup_(rtmp_name_done) struct rtmp_name n = {0};
    const struct bytes type = amf_get_str(&c->command->object, "type");
    if (!w->auth || !bytes_equal_str(type, "nonprivate") ||
        rtmp_name_parse(BYTES_STR(w->app), BYTES_STR(w->tc_url), BYTES(NULL, 0), &n, NULL) < 0 ||
        (n.user && n.password)) {
        return 0;
    }
    _cleanup_(out_done) struct out text = {0};
    const int r = rtmp_auth_read(w->auth, n.query, w->begun_ms, &w->proof, &text, c->err);
    if (r > 0) {
        return 0;
    }
    /* The next connect, on this connection or another, says it all again. */
    free(TAKE_PTR(w->app));
    free(TAKE_PTR(w->tc_url));
    free(TAKE_PTR(w->agent));
    _cleanup_free_ char *description = out_take_str(&text);
    rtmp_write_control(c->out, RTMP_SET_CHUNK_SIZE, RTMP_OUT_CHUNK_SIZE);
    answer_error(c, "NetConnection.Connect.Rejected", description);
    c->event->type = RTMP_EVENT_LEAVE;
    return r < 0 ? r : 1;
}

static int handle_connect(struct call *c)
{
    struct rtmp_server_wire *w = c->w;
    const struct amf_value *object = &c->command->object;
    const struct bytes app = amf_get_str(object, "app");
    const struct bytes tc_url = amf_get_str(object, "tcUrl");
    if (object->type != AMF_OBJECT && object->type != AMF_ECMA_ARRAY) {
        return error_set(c->err, -EPROTO, "", "connect without an object");
    }
    if (app.len > RTMP_NAME_MAX || tc_url.len > RTMP_NAME_MAX) {
        return error_set(c->err, -EPROTO, "", "connect with an app or a tcUrl of over %d bytes",
                         RTMP_NAME_MAX);
    }
    /* They are kept as strings: what stands behind a zero byte would be lost, and another path asked for. */
    if ((app.len && memchr(app.data, 0, app.len)) ||
        (tc_url.len && memchr(tc_url.data, 0, tc_url.len))) {
        return error_set(c->err, -EPROTO, "", "connect with a zero byte in app or tcUrl");
    }
    w->app = bounded_text(app, RTMP_NAME_MAX);
    w->tc_url = bounded_text(tc_url, RTMP_NAME_MAX);
    const struct bytes agent = amf_get_str(object, "flashVer");
    w->agent = agent.len ? bounded_text(agent, AGENT_MAX) : NULL;
    w->codecs = rtmp_announced_codecs(object);
    const int r = check_credentials(c);
    if (r != 0) {
        return r;
    }

    rtmp_write_control(c->out, RTMP_WINDOW_ACK_SIZE, RTMP_ACK_WINDOW);
    rtmp_write_peer_bandwidth(c->out, RTMP_ACK_WINDOW, LIMIT_DYNAMIC);
    rtmp_write_control(c->out, RTMP_SET_CHUNK_SIZE, RTMP_OUT_CHUNK_SIZE);
    /* Who asks for AMF3 gets it promised: only the envelope differs, and we take both. */
    write_connect_result(c, amf_get_number(object, "objectEncoding", 0) == 3 ? 3 : 0);
    w->state = RTMP_SERVER_IDLE;
    return 0;
}

static int handle_create_stream(struct call *c)
{
    const double id = RTMP_STREAM_ID;
    answer_result(c, &id);
    return 0;
}

static int handle_accepted(struct call *c)
{
    answer_result(c, NULL);
    return 0;
}

static int handle_stream_length(struct call *c)
{
    const double live = 0;
    answer_result(c, &live);
    return 0;
}

static int handle_subscribe(struct call *c)
{
    answer_result(c, NULL);
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, "onFCSubscribe", 0);
    amf_begin_object(&body);
    amf_put_member_str(&body, "level", "status");
    amf_put_member_str(&body, "code", "NetStream.Play.Start");
    amf_end(&body);
    answer(c, 0, &body);
    return 0;
}

static int ask(struct call *c, enum rtmp_server_state state, enum rtmp_server_event_type type)
{
    struct rtmp_server_wire *w = c->w;
    const struct bytes name = rtmp_arg_str(c->command);
    rtmp_name_done(&w->name);
    const int r = rtmp_name_parse(BYTES_STR(w->app), BYTES_STR(w->tc_url), name, &w->name, c->err);
    if (r < 0) {
        return -EPROTO;
    }
    w->state = state;
    c->event->type = type;
    c->event->name = &w->name;
    return 1;
}

/* The type ("live", "record", "append") does not matter: what is published is live. */
static int handle_publish(struct call *c)
{
    return ask(c, RTMP_SERVER_ASKED_PUBLISH, RTMP_EVENT_PUBLISH);
}

/* play(name, start, duration, reset): there is only live here, so start and duration say nothing. */
static int handle_play(struct call *c)
{
    const int r = ask(c, RTMP_SERVER_ASKED_PLAY, RTMP_EVENT_PLAY);
    rtmp_arg_number(c->command, -2);
    rtmp_arg_number(c->command, -1);
    c->w->reset = rtmp_arg_bool(c->command, true);
    return r;
}

static int handle_stop(struct call *c)
{
    struct rtmp_server_wire *w = c->w;
    answer_result(c, NULL);
    if (w->state == RTMP_SERVER_IDLE) {
        return 0;
    }
    if (w->state == RTMP_SERVER_PUBLISHING) {
        write_status(c->out, false, "NetStream.Unpublish.Success", "Stream is now unpublished.");
    } else {
        rtmp_write_user_control(c->out, RTMP_STREAM_EOF, RTMP_STREAM_ID);
        write_status(c->out, false, "NetStream.Play.Stop", "Stopped playing.");
    }
    w->state = RTMP_SERVER_IDLE;
    w->chunks.message_max = RTMP_MESSAGE_MAX_EARLY;
    c->event->type = RTMP_EVENT_STOP;
    return 1;
}

static int handle_pause(struct call *c)
{
    c->event->on = rtmp_arg_bool(c->command, true);
    write_status(c->out, false,
                 c->event->on ? "NetStream.Pause.Notify" : "NetStream.Unpause.Notify",
                 c->event->on ? "Paused." : "Playing at the live edge.");
    c->event->type = RTMP_EVENT_PAUSE;
    return 1;
}

static int handle_receive(struct call *c)
{
    c->event->type = RTMP_EVENT_RECEIVE;
    c->event->kind = bytes_equal_str(c->command->name, "receiveAudio") ? TRACK_AUDIO : TRACK_VIDEO;
    c->event->on = rtmp_arg_bool(c->command, true);
    return 1;
}

static int handle_seek(struct call *c)
{
    write_status(c->out, true, "NetStream.Seek.Failed", "A live stream cannot seek.");
    return 0;
}

static int handle_nothing(struct call *c)
{
    return 0;
}

#define IN(state) (1u << RTMP_SERVER_##state)
#define ANY_MEDIA (IN(PUBLISHING) | IN(PLAYING))
#define CONNECTED (IN(IDLE) | ANY_MEDIA)

static const struct command {
    const char *name;
    unsigned states; /* elsewhere it is answered by _error */
    int (*handle)(struct call *c);
} COMMANDS[] = {
    {"connect", IN(CONNECT), handle_connect},
    {"createStream", CONNECTED, handle_create_stream},
    {"publish", IN(IDLE), handle_publish},
    {"play", IN(IDLE), handle_play},
    {"releaseStream", CONNECTED, handle_accepted},
    {"FCPublish", CONNECTED, handle_accepted},
    {"FCSubscribe", CONNECTED, handle_subscribe},
    {"getStreamLength", CONNECTED, handle_stream_length},
    {"_checkbw", CONNECTED, handle_accepted},
    {"FCUnpublish", CONNECTED, handle_stop},
    {"deleteStream", CONNECTED, handle_stop},
    {"closeStream", CONNECTED, handle_stop},
    {"pause", IN(PLAYING), handle_pause},
    {"seek", IN(PLAYING), handle_seek},
    {"receiveAudio", IN(PLAYING), handle_receive},
    {"receiveVideo", IN(PLAYING), handle_receive},
    /* Answers to what we never ask for, and news that need none. */
    {"_result", CONNECTED, handle_nothing},
    {"_error", CONNECTED, handle_nothing},
    {"onStatus", CONNECTED, handle_nothing},
};

static int handle_command(struct call *c, const struct rtmp_message *m)
{
    struct rtmp_server_wire *w = c->w;
    const int r = rtmp_command_parse(m, c->command);
    if (r < 0) {
        return error_set(c->err, -EPROTO, "", "a command that cannot be read (%s)", error_name(r));
    }
    if (w->state == RTMP_SERVER_CONNECT || w->state == RTMP_SERVER_IDLE) {
        if (w->commands_left-- == 0) {
            return error_set(c->err, -EPROTO, "", "%d commands, none of them publish or play",
                             COMMANDS_MAX);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++) {
        if (bytes_equal_str(c->command->name, COMMANDS[i].name) &&
            (COMMANDS[i].states & 1u << w->state)) {
            return COMMANDS[i].handle(c);
        }
    }
    if (w->state == RTMP_SERVER_CONNECT) {
        return error_set(c->err, -EPROTO, "", "a command before connect");
    }
    answer_error(c, "NetConnection.Call.Failed", "Unknown command, or not now.");
    return 0;
}

/* ---- messages ---- */

static int handle_user_control(struct call *c, const struct rtmp_message *m)
{
    struct rd r = rd_init(m->body);
    const uint16_t event = rd_u16be(&r);
    const uint32_t value = rd_u32be(&r);
    if (rd_failed(&r)) {
        return 0; /* of no use, and of no harm */
    }
    if (event == RTMP_PING_REQUEST) {
        rtmp_write_user_control(c->out, RTMP_PING_RESPONSE, value);
    } else if (event == RTMP_PING_RESPONSE) {
        c->event->type = RTMP_EVENT_ALIVE;
        return 1;
    }
    return 0;
}

/* "@setDataFrame", "onMetaData", {...}; some leave the first out. */
static int handle_data(struct call *c, const struct rtmp_message *m)
{
    struct rd r = rtmp_amf_body(m);
    struct amf_value v;
    int k = amf_read(&r, &v);
    if (k == 0 && v.type == AMF_STRING && bytes_equal_str(v.str, "@setDataFrame")) {
        k = amf_read(&r, &v);
    }
    const bool metadata = k == 0 && v.type == AMF_STRING && bytes_equal_str(v.str, "onMetaData") &&
                          amf_read(&r, &c->event->metadata) == 0;
    /* Cue points, text and what cannot be read: the media says all we need. */
    if (!metadata || c->w->state != RTMP_SERVER_PUBLISHING) {
        return 0;
    }
    c->event->type = RTMP_EVENT_METADATA;
    return 1;
}

static int handle_message(struct call *c, const struct rtmp_message *m)
{
    struct rtmp_server_wire *w = c->w;
    switch (m->type) {
    case RTMP_AUDIO:
    case RTMP_VIDEO:
        if (w->state != RTMP_SERVER_PUBLISHING) {
            return 0; /* what was under way when the publish ended */
        }
        c->event->type = RTMP_EVENT_MEDIA;
        c->event->message = *m;
        return 1;
    case RTMP_DATA:
    case RTMP_DATA_AMF3:
        return handle_data(c, m);
    case RTMP_COMMAND:
    case RTMP_COMMAND_AMF3:
        return handle_command(c, m);
    case RTMP_USER_CONTROL:
        return handle_user_control(c, m);
    case RTMP_WINDOW_ACK_SIZE: {
        struct rd r = rd_init(m->body);
        const uint32_t window = rd_u32be(&r);
        w->in_window = window ? window : w->in_window;
        return 0;
    }
    default: /* acknowledgements, peer bandwidth, shared objects, aggregates */
        return 0;
    }
}

static void acknowledge(struct rtmp_server_wire *w, struct out *out)
{
    if (w->in_bytes - w->in_acked >= w->in_window) {
        rtmp_write_control(out, RTMP_ACK, w->in_bytes);
        w->in_acked = w->in_bytes;
    }
}

int rtmp_server_wire_next(struct rtmp_server_wire *w, struct rd *in, struct out *out,
                          struct rtmp_server_event *ret, struct error *err)
{
    if (w->state == RTMP_SERVER_HANDSHAKE) {
        const int r = rtmp_handshake_feed(w->handshake, in, out, err);
        if (r <= 0) {
            return r;
        }
        w->handshake = rtmp_handshake_free(w->handshake);
        w->state = RTMP_SERVER_CONNECT;
    }
    struct rtmp_command command;
    struct call c = {.w = w, .command = &command, .out = out, .event = ret, .err = err};
    int r = 0;
    while (r == 0 && w->state != RTMP_SERVER_ASKED_PUBLISH && w->state != RTMP_SERVER_ASKED_PLAY) {
        const size_t before = rd_left(in);
        struct rtmp_message m;
        r = rtmp_chunk_read(&w->chunks, in, &m, err);
        w->in_bytes += (uint32_t)(before - rd_left(in));
        acknowledge(w, out);
        if (r <= 0) {
            return r;
        }
        *ret = (struct rtmp_server_event){0};
        r = handle_message(&c, &m);
    }
    return r;
}

/* ---- the owner's answers ---- */

void rtmp_server_wire_accept(struct rtmp_server_wire *w, struct out *out)
{
    rtmp_write_user_control(out, RTMP_STREAM_BEGIN, RTMP_STREAM_ID);
    if (w->state == RTMP_SERVER_ASKED_PUBLISH) {
        w->state = RTMP_SERVER_PUBLISHING;
        w->chunks.message_max = RTMP_MESSAGE_MAX;
        write_status(out, false, "NetStream.Publish.Start", "Publishing.");
    } else {
        w->state = RTMP_SERVER_PLAYING;
        if (w->reset) {
            write_status(out, false, "NetStream.Play.Reset", "Playing and resetting.");
        }
        write_status(out, false, "NetStream.Play.Start", "Started playing.");
        rtmp_chunk_reader_shrink(&w->chunks);
    }
    rtmp_name_done(&w->name);
}

void rtmp_server_wire_refuse(struct rtmp_server_wire *w, struct out *out, const char *code,
                             const char *description)
{
    write_status(out, true, code, description);
    rtmp_name_done(&w->name);
    w->state = RTMP_SERVER_IDLE;
}

void rtmp_server_wire_stop(struct rtmp_server_wire *w, struct out *out, const char *code,
                           const char *description)
{
    write_status(out, true, code, description);
    w->state = RTMP_SERVER_IDLE;
    w->chunks.message_max = RTMP_MESSAGE_MAX_EARLY;
}
