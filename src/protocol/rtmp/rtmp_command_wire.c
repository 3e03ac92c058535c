/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_command_wire.h"

#include "base/mem.h"
#include "media/flv.h"

#include <errno.h>

/* FourCcInfoMask of Enhanced RTMP v2. */
#define CAN_DECODE  1
#define CAN_ENCODE  2
#define CAN_FORWARD 4

struct rd rtmp_amf_body(const struct rtmp_message *m)
{
    struct rd r = rd_init(m->body);
    const bool amf3 = m->type == RTMP_COMMAND_AMF3 || m->type == RTMP_DATA_AMF3;
    if (amf3 && rd_left(&r) > 0 && *r.p == 0) {
        rd_skip(&r, 1);
    }
    return r;
}

int rtmp_command_parse(const struct rtmp_message *m, struct rtmp_command *ret)
{
    struct rtmp_command c = {.args = rtmp_amf_body(m), .object = {.type = AMF_NULL}};
    struct amf_value v;
    int r = amf_read(&c.args, &v);
    if (r < 0 || v.type != AMF_STRING) {
        return r < 0 ? r : -EINVAL;
    }
    c.name = v.str;
    /* Commands that nobody answers are sent without a transaction too: "onFCPublish" by ffmpeg as server. */
    if (rd_left(&c.args) > 0) {
        r = amf_read(&c.args, &v);
        c.transaction = r == 0 && v.type == AMF_NUMBER ? v.number : 0;
    }
    if (r == 0 && rd_left(&c.args) > 0) {
        r = amf_read(&c.args, &c.object);
    }
    if (r < 0) {
        return r;
    }
    *ret = c;
    return 0;
}

static bool next_arg(struct rtmp_command *c, enum amf_type type, struct amf_value *ret)
{
    return rd_left(&c->args) > 0 && amf_read(&c->args, ret) == 0 && ret->type == type;
}

struct bytes rtmp_arg_str(struct rtmp_command *c)
{
    struct amf_value v;
    return next_arg(c, AMF_STRING, &v) ? v.str : BYTES(NULL, 0);
}

double rtmp_arg_number(struct rtmp_command *c, double otherwise)
{
    struct amf_value v;
    return next_arg(c, AMF_NUMBER, &v) ? v.number : otherwise;
}

bool rtmp_arg_bool(struct rtmp_command *c, bool otherwise)
{
    struct amf_value v;
    return next_arg(c, AMF_BOOL, &v) ? v.boolean : otherwise;
}

void rtmp_write_command(struct out *o, uint32_t stream_id, struct bytes body, uint32_t chunk_size)
{
    const struct rtmp_message m = {
        .type = RTMP_COMMAND, .csid = RTMP_CSID_COMMAND, .stream_id = stream_id, .body = body};
    rtmp_chunk_write(o, &m, chunk_size);
}

void rtmp_write_data(struct out *o, uint32_t stream_id, struct bytes body, uint32_t chunk_size)
{
    const struct rtmp_message m = {
        .type = RTMP_DATA, .csid = RTMP_CSID_DATA, .stream_id = stream_id, .body = body};
    rtmp_chunk_write(o, &m, chunk_size);
}

void rtmp_begin_command(struct out *body, const char *name, double transaction)
{
    amf_put_str(body, name);
    amf_put_number(body, transaction);
    amf_put_null(body);
}

void rtmp_write_status(struct out *o, uint32_t stream_id, bool error, const char *code,
                       const char *description, uint32_t chunk_size)
{
    _cleanup_(out_done) struct out body = {0};
    rtmp_begin_command(&body, "onStatus", 0);
    amf_begin_object(&body);
    amf_put_member_str(&body, "level", error ? "error" : "status");
    amf_put_member_str(&body, "code", code);
    amf_put_member_str(&body, "description", description);
    amf_end(&body);
    rtmp_write_command(o, stream_id, out_view(&body), chunk_size);
}

/* ---- Enhanced RTMP v2, "Enhancing NetConnection connect Command" ---- */

static uint32_t codecs_of(struct bytes fourcc)
{
    if (bytes_equal_str(fourcc, "*")) {
        return (1u << CODEC_N) - 1;
    }
    for (unsigned c = 0; c < CODEC_N; c++) {
        if (bytes_equal_str(fourcc, flv_fourcc_str(c))) {
            return 1u << c;
        }
    }
    return 0;
}

static uint32_t info_map_codecs(const struct amf_value *connect, const char *name)
{
    struct amf_value map;
    if (!amf_get(connect, name, &map)) {
        return 0;
    }
    struct rd r = rd_init(map.members);
    struct bytes fourcc;
    struct amf_value mask;
    uint32_t codecs = 0;
    const bool named = map.type == AMF_OBJECT || map.type == AMF_ECMA_ARRAY;
    while (named && amf_next_member(&r, &fourcc, &mask)) {
        /* Comparing before converting: a number out of range must not be cast. */
        const bool in_range = mask.type == AMF_NUMBER && mask.number >= 0 && mask.number < 256;
        if (in_range && ((unsigned)mask.number & (CAN_DECODE | CAN_FORWARD))) {
            codecs |= codecs_of(fourcc);
        }
    }
    return codecs;
}

uint32_t rtmp_announced_codecs(const struct amf_value *connect)
{
    uint32_t codecs = info_map_codecs(connect, "videoFourCcInfoMap") |
                      info_map_codecs(connect, "audioFourCcInfoMap");
    struct amf_value list;
    if (amf_get(connect, "fourCcList", &list) && list.type == AMF_STRICT_ARRAY) {
        struct rd r = rd_init(list.members);
        struct amf_value v;
        while (amf_next_element(&r, &v)) {
            codecs |= v.type == AMF_STRING ? codecs_of(v.str) : 0;
        }
    }
    return codecs;
}

static void put_info_map(struct out *body, const char *name, enum track_kind kind)
{
    amf_put_key(body, name);
    amf_begin_object(body);
    for (unsigned c = 0; c < CODEC_N; c++) {
        if (codec_kind(c) == kind) {
            amf_put_member_number(body, flv_fourcc_str(c), CAN_FORWARD);
        }
    }
    amf_end(body);
}

void rtmp_put_codecs(struct out *body)
{
    amf_put_key(body, "fourCcList");
    amf_begin_strict_array(body, CODEC_N);
    for (unsigned c = 0; c < CODEC_N; c++) {
        amf_put_str(body, flv_fourcc_str(c));
    }
    put_info_map(body, "videoFourCcInfoMap", TRACK_VIDEO);
    put_info_map(body, "audioFourCcInfoMap", TRACK_AUDIO);
    amf_put_member_number(body, "capsEx",
                          0); /* no reconnect, no multitrack, no extra time stamps */
}
