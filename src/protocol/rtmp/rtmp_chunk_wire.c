/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_chunk_wire.h"

#include "base/mem.h"

#include <errno.h>

#define TS_EXTENDED    0xffffffu /* in the 24-bit field: 32 bits follow the header */
#define BODY_FIRST_CAP 256

enum state {
    READ_HEADER, /* basic header, message header, extended timestamp of types 0 to 2 */
    READ_TYPE3_TIME, /* four bytes that are an extended timestamp, or the body from a peer that leaves it out */
    READ_BODY,
};

struct rtmp_chunk_stream {
    uint32_t csid;
    uint32_t stream_id;
    uint32_t timestamp; /* of the message under way, or of the last one */
    uint32_t ts_field;  /* absolute or delta, as last sent: what a type 3 header repeats */
    uint32_t length;
    uint32_t received;
    uint32_t cap;
    uint8_t *body;
    uint8_t type;
    bool extended;
    bool under_way; /* a message has begun and is not whole */
};

void rtmp_chunk_reader_init(struct rtmp_chunk_reader *r, uint32_t message_max)
{
    *r = (struct rtmp_chunk_reader){
        .message_max = message_max,
        .chunk_size = RTMP_CHUNK_SIZE_DEFAULT,
    };
}

void rtmp_chunk_reader_done(struct rtmp_chunk_reader *r)
{
    for (unsigned i = 0; i < r->n_streams; i++) {
        free(r->streams[i].body);
    }
    free(r->streams);
    rtmp_chunk_reader_init(r, 0);
}

static void release_body(struct rtmp_chunk_reader *r, struct rtmp_chunk_stream *s)
{
    free(s->body);
    s->body = NULL;
    r->held -= s->cap;
    s->cap = 0;
}

void rtmp_chunk_reader_shrink(struct rtmp_chunk_reader *r)
{
    for (unsigned i = 0; i < r->n_streams; i++) {
        if (!r->streams[i].under_way) {
            release_body(r, &r->streams[i]);
        }
    }
    r->delivered = false;
}

/* ---- headers ---- */

static unsigned basic_len(uint8_t first)
{
    const unsigned csid = first & 63;
    return csid == 0 ? 2 : csid == 1 ? 3 : 1;
}

static uint32_t basic_csid(const uint8_t *h)
{
    switch (h[0] & 63) {
    case 0:
        return 64u + h[1];
    case 1:
        return 64u + h[1] + 256u * h[2]; /* 5.3.1.1: the third byte is the high one */
    default:
        return h[0] & 63;
    }
}

/* How many header bytes there are, as far as those that are here tell. */
static unsigned header_len(const struct rtmp_chunk_reader *r)
{
    static const uint8_t message_header[4] = {11, 7, 3, 0};
    if (r->have == 0) {
        return 1;
    }
    const unsigned basic = basic_len(r->header[0]);
    const unsigned type = r->header[0] >> 6;
    unsigned len = basic + message_header[type];
    if (type != 3 && r->have >= basic + 3) {
        struct rd ts = rd_init(BYTES(r->header + basic, 3));
        len += rd_u24be(&ts) == TS_EXTENDED ? 4 : 0;
    }
    return len;
}

static bool take_header(struct rtmp_chunk_reader *r, struct rd *in, unsigned want)
{
    while (r->have < want && rd_left(in) > 0) {
        r->header[r->have++] = rd_u8(in);
    }
    return r->have >= want;
}

static struct rtmp_chunk_stream *find_stream(struct rtmp_chunk_reader *r, uint32_t csid)
{
    for (uint16_t i = 0; i < r->n_streams; i++) {
        if (r->streams[i].csid == csid) {
            r->current = i;
            return &r->streams[i];
        }
    }
    return NULL;
}

static int add_stream(struct rtmp_chunk_reader *r, uint32_t csid, struct error *err)
{
    if (r->n_streams == RTMP_CHUNK_STREAMS_MAX) {
        return error_set(err, -EPROTO, "", "more than %d chunk streams", RTMP_CHUNK_STREAMS_MAX);
    }
    if (r->n_streams == r->cap_streams) {
        const uint16_t cap = r->cap_streams ? (uint16_t)(r->cap_streams * 2) : 4;
        void *p = mem_try_realloc(r->streams, cap * sizeof(*r->streams));
        if (!p) {
            return error_set(err, -ENOMEM, "", "out of memory for a chunk stream");
        }
        r->streams = p;
        r->cap_streams = cap;
    }
    r->current = r->n_streams++;
    r->streams[r->current] = (struct rtmp_chunk_stream){.csid = csid};
    return 0;
}

/*
 * A header of types 0 to 2 begins a message (5.3.1.2). When one comes in the middle of a message, its sender has given that
 * one up: the rest would come with type 3.
 */
static int begin_message(struct rtmp_chunk_reader *r, struct rtmp_chunk_stream *s, unsigned type,
                         struct error *err)
{
    struct rd h = rd_init(BYTES(r->header, r->have));
    rd_skip(&h, basic_len(r->header[0]));
    uint32_t ts = rd_u24be(&h);
    if (type <= 1) {
        s->length = rd_u24be(&h);
        s->type = rd_u8(&h);
    }
    if (type == 0) {
        const struct bytes id = rd_bytes(&h, 4); /* the one little-endian field */
        struct rd le = rd_init(id);
        s->stream_id = rd_u32le(&le);
    }
    s->extended = ts == TS_EXTENDED;
    if (s->extended) {
        ts = rd_u32be(&h);
    }
    s->ts_field = ts;
    s->timestamp = type == 0 ? ts : s->timestamp + ts;
    s->received = 0;
    s->under_way = true;
    if (s->length > r->message_max) {
        return error_set(err, -EMSGSIZE, "", "message of %u bytes, %u are allowed", s->length,
                         r->message_max);
    }
    return 0;
}

/* Type 3: goes on with the message, or begins one whose header is that of the last (5.3.1.2.4). */
static int continue_message(struct rtmp_chunk_reader *r, struct rtmp_chunk_stream *s,
                            struct error *err)
{
    if (s->under_way) {
        return 0;
    }
    s->timestamp += s->ts_field;
    s->received = 0;
    s->under_way = true;
    return s->length > r->message_max
               ? error_set(err, -EMSGSIZE, "", "message of %u bytes, %u are allowed", s->length,
                           r->message_max)
               : 0;
}

static int handle_header(struct rtmp_chunk_reader *r, struct error *err)
{
    const unsigned type = r->header[0] >> 6;
    const uint32_t csid = basic_csid(r->header);
    struct rtmp_chunk_stream *s = find_stream(r, csid);
    if (!s) {
        /* Type 1 as the first is against 5.3.1.2, but librtmp opens with it; its stream id is then 0. */
        if (type > 1) {
            return error_set(err, -EPROTO, "", "chunk stream %u begins with header type %u", csid,
                             type);
        }
        const int k = add_stream(r, csid, err);
        if (k < 0) {
            return k;
        }
        s = &r->streams[r->current];
    }
    const int k = type == 3 ? continue_message(r, s, err) : begin_message(r, s, type, err);
    if (k < 0) {
        return k;
    }
    r->chunk_left = MIN(s->length - s->received, r->chunk_size);
    r->have = 0;
    r->state = READ_BODY;
    if (type == 3 && s->extended && (r->chunk_left >= 4 || !r->bare_type3)) {
        r->state = READ_TYPE3_TIME;
    }
    return 0;
}

/* ---- bodies ---- */

static int grow_body(struct rtmp_chunk_reader *r, struct rtmp_chunk_stream *s, uint32_t need,
                     struct error *err)
{
    if (need <= s->cap) {
        return 0;
    }
    uint32_t cap = s->cap ? s->cap : BODY_FIRST_CAP;
    while (cap < need) {
        cap *= 2;
    }
    cap = MIN(cap, MAX(s->length, s->cap));
    const size_t held_max = 2 * (size_t)r->message_max;
    if (r->held - s->cap + cap > held_max) {
        rtmp_chunk_reader_shrink(r);
        if (r->held - s->cap + cap > held_max) {
            return error_set(err, -EMSGSIZE, "", "unfinished messages hold more than %zu bytes",
                             held_max);
        }
    }
    void *p = mem_try_realloc(s->body, cap);
    if (!p) {
        return error_set(err, -ENOMEM, "", "out of memory for a message of %u bytes", s->length);
    }
    s->body = p;
    r->held += cap - s->cap;
    s->cap = cap;
    return 0;
}

static int append_body(struct rtmp_chunk_reader *r, struct bytes b, struct error *err)
{
    struct rtmp_chunk_stream *s = &r->streams[r->current];
    if (b.len == 0) {
        return 0;
    }
    const int k = grow_body(r, s, s->received + (uint32_t)b.len, err);
    if (k < 0) {
        return k;
    }
    put_bytes(s->body + s->received, b);
    s->received += (uint32_t)b.len;
    r->chunk_left -= (uint32_t)b.len;
    return 0;
}

/*
 * Adobe's text can be read either way; Flash, ffmpeg and librtmp repeat the extended timestamp in type 3 chunks, others do
 * not. Four bytes that equal it are taken for it. Where the chunk is too short to look, the peer's habit decides.
 */
static int handle_type3_time(struct rtmp_chunk_reader *r, struct error *err)
{
    const struct rtmp_chunk_stream *s = &r->streams[r->current];
    struct rd h = rd_init(BYTES(r->header, 4));
    const uint32_t ts = rd_u32be(&h);
    r->have = 0;
    r->state = READ_BODY;
    if (r->chunk_left < 4 || ts == s->ts_field || ts == s->timestamp) {
        return 0;
    }
    r->bare_type3 = true;
    return append_body(r, BYTES(r->header, 4), err);
}

static struct bytes stream_body(const struct rtmp_chunk_stream *s)
{
    return BYTES(s->body, s->received);
}

/* 5.4.1 and 5.4.2 change how the next bytes are read, so they are handled before those are. */
static int handle_own(struct rtmp_chunk_reader *r, const struct rtmp_chunk_stream *s,
                      struct error *err)
{
    struct rd body = rd_init(stream_body(s));
    const uint32_t value = rd_u32be(&body);
    if (rd_failed(&body)) {
        return error_set(err, -EPROTO, "", "control message %u is cut off", s->type);
    }
    if (s->type == RTMP_SET_CHUNK_SIZE) {
        if ((value & 0x7fffffff) == 0) {
            return error_set(err, -EPROTO, "", "chunk size 0");
        }
        r->chunk_size = MIN(value & 0x7fffffff, (uint32_t)RTMP_CHUNK_SIZE_MAX);
        return 0;
    }
    const uint16_t keep = r->current;
    struct rtmp_chunk_stream *aborted = find_stream(r, value);
    if (aborted) {
        aborted->under_way = false;
        aborted->received = 0;
    }
    r->current = keep;
    return 0;
}

/* 1 when ret was filled, 0 when the chunk or the message is not whole, or was ours. */
static int finish_chunk(struct rtmp_chunk_reader *r, struct rtmp_message *ret, struct error *err)
{
    if (r->chunk_left > 0) {
        return 0;
    }
    r->state = READ_HEADER;
    struct rtmp_chunk_stream *s = &r->streams[r->current];
    if (s->received < s->length) {
        return 0;
    }
    s->under_way = false;
    if (s->type == RTMP_SET_CHUNK_SIZE || s->type == RTMP_ABORT) {
        return handle_own(r, s, err);
    }
    r->delivered = true;
    *ret = (struct rtmp_message){
        .type = s->type,
        .csid = s->csid,
        .stream_id = s->stream_id,
        .timestamp = s->timestamp,
        .body = stream_body(s),
    };
    return 1;
}

int rtmp_chunk_read(struct rtmp_chunk_reader *r, struct rd *in, struct rtmp_message *ret,
                    struct error *err)
{
    if (r->delivered) {
        r->delivered = false;
        struct rtmp_chunk_stream *s = &r->streams[r->current];
        if (s->cap > RTMP_KEEP_MAX) {
            release_body(r, s);
        }
    }
    int k = 0;
    while (k == 0) {
        switch ((enum state)r->state) {
        case READ_HEADER:
            while (take_header(r, in, header_len(r)) && r->have < header_len(r)) {
                /* each byte may make the header longer */
            }
            if (r->have == 0 || r->have < header_len(r)) {
                return 0;
            }
            k = handle_header(r, err);
            break;
        case READ_TYPE3_TIME:
            if (!take_header(r, in, 4)) {
                return 0;
            }
            k = handle_type3_time(r, err);
            break;
        case READ_BODY: {
            const size_t n = MIN(rd_left(in), (size_t)r->chunk_left);
            if (n == 0 && r->chunk_left > 0) {
                return 0;
            }
            k = append_body(r, rd_bytes(in, n), err);
            k = k < 0 ? k : finish_chunk(r, ret, err);
            break;
        }
        }
    }
    return k;
}

/* ---- writing ---- */

static unsigned basic_size(uint32_t csid)
{
    return csid < 64 ? 1 : csid < 320 ? 2 : 3;
}

static uint8_t *put_basic(uint8_t *p, unsigned type, uint32_t csid)
{
    const uint8_t fmt = (uint8_t)(type << 6);
    if (csid < 64) {
        return put_u8(p, fmt | (uint8_t)csid);
    }
    if (csid < 320) {
        p = put_u8(p, fmt);
        return put_u8(p, (uint8_t)(csid - 64));
    }
    p = put_u8(p, fmt | 1);
    p = put_u8(p, (uint8_t)(csid - 64));
    return put_u8(p, (uint8_t)((csid - 64) >> 8));
}

size_t rtmp_chunk_wire_len(size_t body_len, uint32_t csid, uint32_t timestamp, uint32_t chunk_size)
{
    const size_t each = basic_size(csid) + (timestamp >= TS_EXTENDED ? 4 : 0);
    const size_t chunks = body_len ? (body_len + chunk_size - 1) / chunk_size : 1;
    return 11 + chunks * each + body_len;
}

uint8_t *rtmp_chunk_put(uint8_t *p, const struct rtmp_message *m, struct bytes more,
                        uint32_t chunk_size)
{
    const size_t total = m->body.len + more.len;
    const bool extended = m->timestamp >= TS_EXTENDED;
    p = put_basic(p, 0, m->csid);
    p = put_u24be(p, extended ? TS_EXTENDED : m->timestamp);
    p = put_u24be(p, (uint32_t)total);
    p = put_u8(p, m->type);
    p = put_u32le(p, m->stream_id);
    p = extended ? put_u32be(p, m->timestamp) : p;

    struct rd parts[2] = {rd_init(m->body), rd_init(more)};
    unsigned part = 0;
    size_t room = chunk_size;
    for (size_t left = total; left > 0;) {
        if (room == 0) {
            p = put_basic(p, 3, m->csid);
            p = extended ? put_u32be(p, m->timestamp) : p;
            room = chunk_size;
        }
        if (rd_left(&parts[part]) == 0) {
            part++;
        }
        const size_t n = MIN(rd_left(&parts[part]), room);
        p = put_bytes(p, rd_bytes(&parts[part], n));
        room -= n;
        left -= n;
    }
    return p;
}

void rtmp_chunk_write(struct out *o, const struct rtmp_message *m, uint32_t chunk_size)
{
    uint8_t *p = out_extend(o, rtmp_chunk_wire_len(m->body.len, m->csid, m->timestamp, chunk_size));
    rtmp_chunk_put(p, m, BYTES(NULL, 0), chunk_size);
}

static void write_control(struct out *o, enum rtmp_type type, struct bytes body)
{
    const struct rtmp_message m = {.type = (uint8_t)type, .csid = RTMP_CSID_CONTROL, .body = body};
    rtmp_chunk_write(o, &m, RTMP_CHUNK_SIZE_DEFAULT); /* they are shorter than any chunk */
}

void rtmp_write_control(struct out *o, enum rtmp_type type, uint32_t value)
{
    uint8_t body[4];
    put_u32be(body, value);
    write_control(o, type, BYTES(body, sizeof(body)));
}

void rtmp_write_peer_bandwidth(struct out *o, uint32_t window, uint8_t limit_type)
{
    uint8_t body[5];
    put_u8(put_u32be(body, window), limit_type);
    write_control(o, RTMP_SET_PEER_BANDWIDTH, BYTES(body, sizeof(body)));
}

void rtmp_write_user_control(struct out *o, enum rtmp_user_event event, uint32_t value)
{
    uint8_t body[6];
    put_u32be(put_u16be(body, (uint16_t)event), value);
    write_control(o, RTMP_USER_CONTROL, BYTES(body, sizeof(body)));
}
