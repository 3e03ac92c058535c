/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_client_wire.h"

#include <errno.h>

/* Transaction ids: one per question, so that the state says which answer is waited for. */
#define ASK_CONNECT       1
#define ASK_RELEASE       2
#define ASK_FC_PUBLISH    3
#define ASK_CREATE_STREAM 4
#define ASK_START         5

#define BUFFER_MS 3000

void rtmp_client_wire_init(struct rtmp_client_wire *w, const struct rtmp_client_target *target,
                           uint64_t seed, uint32_t now_ms, struct out *out)
{
    *w = (struct rtmp_client_wire){
        .publish = target->publish,
        .app = mem_strdup(target->app),
        .tc_url = mem_strdup(target->tc_url),
        .name = mem_strdup(target->name),
        .agent = mem_strdup(target->agent ? target->agent : "FMLE/3.0 (compatible; Mast)"),
        .handshake = rtmp_handshake_new(RTMP_CLIENT, seed, now_ms),
        .in_window = RTMP_ACK_WINDOW,
    };
    rtmp_chunk_reader_init(&w->chunks, target->publish ? RTMP_MESSAGE_MAX_EARLY : RTMP_MESSAGE_MAX);
    rtmp_handshake_start(w->handshake, out);
}

void rtmp_client_wire_done(struct rtmp_client_wire *w)
{
    w->handshake = rtmp_handshake_free(w->handshake);
    rtmp_chunk_reader_done(&w->chunks);
    free(TAKE_PTR(w->app));
    free(TAKE_PTR(w->tc_url));
    free(TAKE_PTR(w->name));
    free(TAKE_PTR(w->agent));
}

static void send(struct out *out, uint32_t stream_id, struct out *body)
{
    rtmp_write_command(out, stream_id, out_view(body), RTMP_CLIENT_CHUNK_SIZE);
}

static void write_connect(struct rtmp_client_wire *w, struct out *out)
{
    rtmp_write_control(out, RTMP_SET_CHUNK_SIZE, RTMP_CLIENT_CHUNK_SIZE);
    _cleanup_(out_done) struct out body = {0};
    amf_put_str(&body, "connect");
    amf_put_number(&body, ASK_CONNECT);
    amf_begin_object(&body);
    amf_put_member_str(&body, "app", w->app);
    if (w->publish) {
        amf_put_member_str(&body, "type", "nonprivate");
    }
    amf_put_member_str(&body, "flashVer", w->agent);
    amf_put_member_str(&body, "tcUrl", w->tc_url);
    if (!w->publish) {
        amf_put_member_bool(&body, "fpad", false);
        amf_put_member_number(&body, "capabilities", 239);
        amf_put_member_number(&body, "audioCodecs", 0x0fff);
        amf_put_member_number(&body, "videoCodecs", 0x00ff);
        amf_put_member_number(&body, "videoFunction", 1);
    }
    rtmp_put_codecs(&body);
    amf_end(&body);
    send(out, 0, &body);
    w->state = RTMP_CLIENT_CONNECTING;
}

static void write_named(struct rtmp_client_wire *w, struct out *out, const char *command, double id)
{
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, command, id);
    amf_put_str(&body, w->name);
    send(out, 0, &body);
}

static void write_create_stream(struct rtmp_client_wire *w, struct out *out)
{
    if (w->publish) {
        /* What encoders have sent since FMLE; some servers do not let one publish without. */
        write_named(w, out, "releaseStream", ASK_RELEASE);
        write_named(w, out, "FCPublish", ASK_FC_PUBLISH);
    } else {
        rtmp_write_control(out, RTMP_WINDOW_ACK_SIZE, RTMP_ACK_WINDOW);
    }
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, "createStream", ASK_CREATE_STREAM);
    send(out, 0, &body);
    w->state = RTMP_CLIENT_CREATING;
}

static void write_start(struct rtmp_client_wire *w, struct out *out)
{
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, w->publish ? "publish" : "play", ASK_START);
    amf_put_str(&body, w->name);
    if (w->publish) {
        amf_put_str(&body, "live");
    } else {
        amf_put_number(&body, -1000); /* live only, as the specification's ms have it (7.2.2.1) */
    }
    send(out, w->stream_id, &body);
    if (!w->publish) {
        uint8_t event[10];
        put_u32be(put_u32be(put_u16be(event, RTMP_SET_BUFFER_LENGTH), w->stream_id), BUFFER_MS);
        const struct rtmp_message m = {.type = RTMP_USER_CONTROL,
                                       .csid = RTMP_CSID_CONTROL,
                                       .body = BYTES(event, sizeof(event))};
        rtmp_chunk_write(out, &m, RTMP_CLIENT_CHUNK_SIZE);
    }
    w->state = RTMP_CLIENT_ASKING;
}

/* ---- what the server says ---- */

static int refused(const struct amf_value *info, const char *step, struct error *err)
{
    const struct bytes code = amf_get_str(info, "code");
    const struct bytes text = amf_get_str(info, "description");
    static const char not_found[] = "NotFound"; /* NetStream.Play.StreamNotFound, .FileNotFound */
    const size_t n = sizeof(not_found) - 1;
    const bool absent = code.len >= n && memcmp(code.data + code.len - n, not_found, n) == 0;
    return error_set(err, absent ? -ENOENT : -EACCES, "", "%s refused: %.*s %.*s", step,
                     (int)MIN(code.len, 80u), code.len ? (const char *)code.data : "",
                     (int)MIN(text.len, 120u), text.len ? (const char *)text.data : "");
}

static bool begins_with(struct bytes b, const char *prefix)
{
    const size_t n = strlen(prefix);
    return b.len >= n && memcmp(b.data, prefix, n) == 0;
}

static int handle_result(struct rtmp_client_wire *w, struct rtmp_command *c, struct out *out,
                         struct error *err)
{
    if (w->state == RTMP_CLIENT_CONNECTING && c->transaction == ASK_CONNECT) {
        write_create_stream(w, out);
    } else if (w->state == RTMP_CLIENT_CREATING && c->transaction == ASK_CREATE_STREAM) {
        const double id = rtmp_arg_number(c, -1);
        if (!(id >= 0 && id <= UINT32_MAX)) {
            return error_set(err, -EPROTO, "", "createStream answered without a stream id");
        }
        w->stream_id = (uint32_t)id;
        write_start(w, out);
    }
    return 0;
}

static int handle_error(struct rtmp_client_wire *w, struct rtmp_command *c, struct error *err)
{
    struct amf_value info = {.type = AMF_NULL};
    if (rd_left(&c->args) > 0) {
        (void)amf_read(&c->args, &info);
    }
    if (w->state == RTMP_CLIENT_CONNECTING && c->transaction == ASK_CONNECT) {
        return refused(&info, "connect", err);
    }
    if (w->state == RTMP_CLIENT_CREATING && c->transaction == ASK_CREATE_STREAM) {
        return refused(&info, "createStream", err);
    }
    return 0; /* of releaseStream and the like, which servers are free not to know */
}

static int handle_status(struct rtmp_client_wire *w, struct rtmp_command *c,
                         struct rtmp_client_event *ret, struct error *err)
{
    struct amf_value info;
    if (rd_left(&c->args) == 0 || amf_read(&c->args, &info) < 0) {
        return 0;
    }
    ret->code = amf_get_str(&info, "code");
    if (bytes_equal_str(amf_get_str(&info, "level"), "error")) {
        return refused(&info, w->publish ? "publish" : "play", err);
    }
    const char *start = w->publish ? "NetStream.Publish.Start" : "NetStream.Play.Start";
    if (w->state == RTMP_CLIENT_ASKING && bytes_equal_str(ret->code, start)) {
        w->state = RTMP_CLIENT_RUNNING;
        ret->type = RTMP_CLIENT_STARTED;
        return 1;
    }
    const bool over = bytes_equal_str(ret->code, "NetStream.Play.Stop") ||
                      bytes_equal_str(ret->code, "NetStream.Play.Complete") ||
                      begins_with(ret->code, "NetStream.Unpublish.") ||
                      bytes_equal_str(ret->code, "NetConnection.Connect.Closed");
    ret->type = over ? RTMP_CLIENT_STOPPED : RTMP_CLIENT_STATUS;
    w->state = over ? RTMP_CLIENT_ENDED : w->state;
    return 1;
}

static int handle_command(struct rtmp_client_wire *w, const struct rtmp_message *m, struct out *out,
                          struct rtmp_client_event *ret, struct error *err)
{
    struct rtmp_command c;
    const int r = rtmp_command_parse(m, &c);
    if (r < 0) {
        return error_set(err, -EPROTO, "", "a command that cannot be read (%s)", error_name(r));
    }
    if (bytes_equal_str(c.name, "_result")) {
        return handle_result(w, &c, out, err);
    }
    if (bytes_equal_str(c.name, "_error")) {
        return handle_error(w, &c, err);
    }
    if (bytes_equal_str(c.name, "onStatus")) {
        return handle_status(w, &c, ret, err);
    }
    return 0; /* onBWDone, onFCPublish, |RtmpSampleAccess ... */
}

static int handle_user_control(struct rtmp_client_wire *w, const struct rtmp_message *m,
                               struct out *out, struct rtmp_client_event *ret)
{
    struct rd r = rd_init(m->body);
    const uint16_t event = rd_u16be(&r);
    const uint32_t value = rd_u32be(&r);
    if (!rd_failed(&r) && event == RTMP_PING_REQUEST) {
        rtmp_write_user_control(out, RTMP_PING_RESPONSE, value);
    }
    if (!rd_failed(&r) && event == RTMP_STREAM_DRY && w->state == RTMP_CLIENT_RUNNING) {
        ret->type = RTMP_CLIENT_DRY;
        return 1;
    }
    return 0;
}

static int handle_message(struct rtmp_client_wire *w, const struct rtmp_message *m, struct out *out,
                          struct rtmp_client_event *ret, struct error *err)
{
    switch (m->type) {
    case RTMP_AUDIO:
    case RTMP_VIDEO:
        if (w->publish || w->state != RTMP_CLIENT_RUNNING || m->body.len == 0) {
            return 0;
        }
        ret->type = RTMP_CLIENT_MEDIA;
        ret->message = *m;
        return 1;
    case RTMP_DATA:
    case RTMP_DATA_AMF3: {
        struct rd r = rtmp_amf_body(m);
        struct amf_value name;
        if (amf_read(&r, &name) < 0 || name.type != AMF_STRING ||
            !bytes_equal_str(name.str, "onMetaData") || amf_read(&r, &ret->metadata) < 0) {
            return 0;
        }
        ret->type = RTMP_CLIENT_METADATA;
        return 1;
    }
    case RTMP_COMMAND:
    case RTMP_COMMAND_AMF3:
        return handle_command(w, m, out, ret, err);
    case RTMP_USER_CONTROL:
        return handle_user_control(w, m, out, ret);
    case RTMP_WINDOW_ACK_SIZE: {
        struct rd r = rd_init(m->body);
        const uint32_t window = rd_u32be(&r);
        w->in_window = window ? window : w->in_window;
        return 0;
    }
    case RTMP_SET_PEER_BANDWIDTH:
        rtmp_write_control(out, RTMP_WINDOW_ACK_SIZE, RTMP_ACK_WINDOW);
        return 0;
    default:
        return 0;
    }
}

int rtmp_client_wire_next(struct rtmp_client_wire *w, struct rd *in, struct out *out,
                          struct rtmp_client_event *ret, struct error *err)
{
    if (w->state == RTMP_CLIENT_HANDSHAKE) {
        const int r = rtmp_handshake_feed(w->handshake, in, out, err);
        if (r <= 0) {
            return r;
        }
        w->handshake = rtmp_handshake_free(w->handshake);
        write_connect(w, out);
    }
    int r = 0;
    while (r == 0) {
        const size_t before = rd_left(in);
        struct rtmp_message m;
        r = rtmp_chunk_read(&w->chunks, in, &m, err);
        w->in_bytes += (uint32_t)(before - rd_left(in));
        if (w->in_bytes - w->in_acked >= w->in_window) {
            rtmp_write_control(out, RTMP_ACK, w->in_bytes);
            w->in_acked = w->in_bytes;
        }
        if (r <= 0) {
            return r;
        }
        *ret = (struct rtmp_client_event){0};
        r = handle_message(w, &m, out, ret, err);
    }
    return r;
}

void rtmp_client_wire_media(struct rtmp_client_wire *w, enum rtmp_type type, uint32_t timestamp,
                            struct bytes body, struct out *out)
{
    const struct rtmp_message m = {
        .type = (uint8_t)type,
        .csid = type == RTMP_AUDIO ? RTMP_CSID_AUDIO : RTMP_CSID_VIDEO,
        .stream_id = w->stream_id,
        .timestamp = timestamp,
        .body = body,
    };
    rtmp_chunk_write(out, &m, RTMP_CLIENT_CHUNK_SIZE);
}

void rtmp_client_wire_metadata(struct rtmp_client_wire *w, struct bytes metadata, struct out *out)
{
    _cleanup_(out_done) struct out body = {0};
    amf_put_str(&body, "@setDataFrame");
    amf_put_str(&body, "onMetaData");
    out_bytes(&body, metadata);
    rtmp_write_data(out, w->stream_id, out_view(&body), RTMP_CLIENT_CHUNK_SIZE);
}

void rtmp_client_wire_stop(struct rtmp_client_wire *w, struct out *out)
{
    if (w->state < RTMP_CLIENT_ASKING || w->state == RTMP_CLIENT_ENDED) {
        return;
    }
    if (w->publish) {
        write_named(w, out, "FCUnpublish", 0);
    }
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, "deleteStream", 0);
    amf_put_number(&body, w->stream_id);
    send(out, 0, &body);
    w->state = RTMP_CLIENT_ENDED;
}
