/* SPDX-License-Identifier: Apache-2.0 */
#include "media/av_wire.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>

#define LENGTH_BYTES 4

static void put_codec(struct out *o, enum codec codec)
{
    const char *name = codec_to_str(codec);
    out_u8(o, (uint8_t)strlen(name));
    out_puts(o, name);
}

static enum codec get_codec(struct rd *r)
{
    char name[16];
    struct bytes b = rd_bytes(r, rd_u8(r));
    if (b.len == 0 || b.len >= sizeof(name)) {
        r->failed = true;
        return CODEC_N;
    }
    memcpy(name, b.data, b.len);
    name[b.len] = '\0';
    int codec = codec_from_str(name);
    r->failed = r->failed || codec < 0 || strlen(name) != b.len;
    return codec < 0 ? CODEC_N : (enum codec)codec;
}

static void put_config(struct out *o, struct bytes config)
{
    assert(config.len <= AV_WIRE_CONFIG_MAX);
    out_u16be(o, (uint16_t)config.len);
    out_bytes(o, config);
}

static struct bytes get_config(struct rd *r)
{
    uint16_t len = rd_u16be(r);
    r->failed = r->failed || len > AV_WIRE_CONFIG_MAX;
    return rd_bytes(r, len);
}

/* What is left of the message. */
static struct bytes get_rest(struct rd *r, size_t max)
{
    size_t n = rd_left(r);
    r->failed = r->failed || n > max;
    return rd_bytes(r, n);
}

static void get_open(struct rd *r, struct av_msg *m)
{
    m->codec = get_codec(r);
    m->config = get_config(r);
    m->to = get_codec(r);
    m->rate = rd_u32be(r);
    m->channels = rd_u8(r);
    m->kbps = rd_u16be(r);
    bool sane = m->rate >= 8000 && m->rate <= 96000 && m->channels >= 1 && m->channels <= 2 &&
                m->kbps >= 6 && m->kbps <= 512;
    r->failed = r->failed || !sane || codec_kind(m->codec) != TRACK_AUDIO ||
                codec_kind(m->to) != TRACK_AUDIO;
}

static void get_fields(struct rd *r, struct av_msg *m)
{
    switch (m->kind) {
    case AV_HELLO:
    case AV_PING:
    case AV_PONG:
    case AV_DONE:
        m->number = rd_u32be(r);
        return;
    case AV_OPEN:
        get_open(r, m);
        return;
    case AV_FRAME:
        m->pts_ns = (int64_t)rd_u64be(r);
        m->data = get_rest(r, AV_WIRE_DATA_MAX);
        return;
    case AV_CLOSE:
        return;
    case AV_PARAMS:
        m->codec = get_codec(r);
        m->config = get_config(r);
        return;
    case AV_OUT:
        m->pts_ns = (int64_t)rd_u64be(r);
        m->duration_ns = rd_u32be(r);
        m->data = get_rest(r, AV_WIRE_DATA_MAX);
        return;
    case AV_ERROR:
        m->data = get_rest(r, AV_WIRE_TEXT_MAX);
        return;
    case AV_KIND_N:
        r->failed = true;
        return;
    }
}

/* Those of the connection, and those of a job: a mix-up is a broken peer. */
static bool names_job(enum av_kind kind)
{
    return kind != AV_HELLO && kind != AV_PING && kind != AV_PONG;
}

int av_wire_parse(struct bytes in, struct av_msg *ret)
{
    struct rd r = rd_init(in);
    uint32_t len = rd_u32be(&r);
    if (rd_failed(&r)) {
        return 0;
    }
    if (len < AV_WIRE_HEADER - LENGTH_BYTES || len > AV_WIRE_MESSAGE_MAX - LENGTH_BYTES) {
        return -EPROTO;
    }
    if (rd_left(&r) < len) {
        return 0;
    }
    struct rd body = rd_init(rd_bytes(&r, len));
    uint8_t kind = rd_u8(&body);
    struct av_msg m = {.kind = kind < AV_KIND_N ? kind : AV_KIND_N, .job = rd_u32be(&body)};
    get_fields(&body, &m);
    if (rd_failed(&body) || rd_left(&body) > 0 || names_job(m.kind) != (m.job != 0)) {
        return -EPROTO;
    }
    *ret = m;
    return (int)(LENGTH_BYTES + len);
}

static void put_fields(struct out *o, const struct av_msg *m)
{
    switch (m->kind) {
    case AV_HELLO:
    case AV_PING:
    case AV_PONG:
    case AV_DONE:
        out_u32be(o, m->number);
        return;
    case AV_OPEN:
        put_codec(o, m->codec);
        put_config(o, m->config);
        put_codec(o, m->to);
        out_u32be(o, m->rate);
        out_u8(o, m->channels);
        out_u16be(o, m->kbps);
        return;
    case AV_OUT:
    case AV_FRAME:
        assert(m->data.len <= AV_WIRE_DATA_MAX);
        out_u64be(o, (uint64_t)m->pts_ns);
        if (m->kind == AV_OUT) {
            out_u32be(o, m->duration_ns);
        }
        out_bytes(o, m->data);
        return;
    case AV_CLOSE:
        return;
    case AV_PARAMS:
        put_codec(o, m->codec);
        put_config(o, m->config);
        return;
    case AV_ERROR:
        out_bytes(o, BYTES(m->data.data, MIN(m->data.len, (size_t)AV_WIRE_TEXT_MAX)));
        return;
    case AV_KIND_N:
        return;
    }
}

void av_wire_put(struct out *o, const struct av_msg *m)
{
    size_t at = o->len;
    assert(m->kind < AV_KIND_N && names_job(m->kind) == (m->job != 0));
    out_u32be(o, 0);
    out_u8(o, (uint8_t)m->kind);
    out_u32be(o, m->job);
    put_fields(o, m);
    put_u32be(o->data + at, (uint32_t)(o->len - at - LENGTH_BYTES));
}
