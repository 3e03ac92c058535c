/* SPDX-License-Identifier: Apache-2.0 */
#include "media/av1.h"

#include "base/mem.h"
#include "media/bits.h"
#include "media/sample.h"

#include <errno.h>
#include <stdio.h>

#define AV1C_FIXED 4

/* 4.10.5; over 32 bits is out of range for a size. */
static size_t read_leb128(struct rd *r)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        uint8_t byte = rd_u8(r);
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            return v <= UINT32_MAX ? v : SIZE_MAX;
        }
    }
    return SIZE_MAX;
}

static size_t leb128_size(size_t v)
{
    size_t n = 1;
    while (v >>= 7) {
        n++;
    }
    return n;
}

static uint8_t *put_leb128(uint8_t *p, size_t v)
{
    for (; v > 0x7f; v >>= 7) {
        p = put_u8(p, (uint8_t)(0x80 | (v & 0x7f)));
    }
    return put_u8(p, (uint8_t)v);
}

int av1_obu_next(struct rd *r, struct av1_obu *ret)
{
    if (rd_left(r) == 0) {
        return 0;
    }
    uint8_t header = rd_u8(r);
    bool has_size = header & 2;
    *ret = (struct av1_obu){
        .header = header,
        .type = header >> 3 & 15,
        .has_extension = header & 4,
    };
    if (ret->has_extension) {
        ret->extension = rd_u8(r);
    }
    size_t size = has_size ? read_leb128(r) : rd_left(r);
    ret->payload = rd_bytes(r, size);
    return rd_failed(r) || header & 0x80 ? -EINVAL : 1;
}

/* ---- sequence header, 5.5 ---- */

/* 5.5.3, 5.5.4. Returns the bits of a buffer delay, 0 without a decoder model. */
static unsigned parse_timing(struct bits *b, struct av1_sequence *s)
{
    uint32_t units = bits_u(b, 32);
    uint32_t scale = bits_u(b, 32);
    if (bits_flag(b)) { /* equal_picture_interval */
        uint64_t den = (uint64_t)units * ((uint64_t)bits_ue(b) + 1);
        if (scale > 0 && den > 0 && den <= UINT32_MAX) {
            s->fps_num = scale;
            s->fps_den = (uint32_t)den;
        }
    }
    if (!bits_flag(b)) {
        return 0;
    }
    unsigned delay_bits = bits_u(b, 5) + 1;
    bits_skip(b, 32 + 5 + 5);
    return delay_bits;
}

static void parse_operating_points(struct bits *b, struct av1_sequence *s)
{
    unsigned delay_bits = bits_flag(b) ? parse_timing(b, s) : 0;
    bool display_delay = bits_flag(b);
    unsigned count = bits_u(b, 5) + 1;
    for (unsigned i = 0; i < count; i++) {
        bits_skip(b, 12);
        uint8_t level = (uint8_t)bits_u(b, 5);
        uint8_t tier = (uint8_t)(level > 7 ? bits_u(b, 1) : 0);
        if (i == 0) {
            s->level_idx = level;
            s->tier = tier;
        }
        if (delay_bits > 0 && bits_flag(b)) {
            bits_skip(b, 2 * delay_bits + 1);
        }
        if (display_delay && bits_flag(b)) {
            bits_skip(b, 4);
        }
    }
}

/* enable_interintra_compound to order_hint_bits_minus_1. */
static void skip_inter_tools(struct bits *b)
{
    bits_skip(b, 4);
    bool order_hint = bits_flag(b);
    bits_skip(b, order_hint ? 2 : 0);
    bool screen_content = bits_flag(b) || bits_flag(b); /* chosen per frame, or forced on */
    if (screen_content && !bits_flag(b)) {
        bits_skip(b, 1);
    }
    bits_skip(b, order_hint ? 3 : 0);
}

/* 5.5.2 */
static void parse_color(struct bits *b, struct av1_sequence *s)
{
    s->high_bitdepth = bits_flag(b);
    s->twelve_bit = s->profile == 2 && s->high_bitdepth && bits_flag(b);
    s->monochrome = s->profile != 1 && bits_flag(b);
    uint32_t description = bits_flag(b) ? bits_u(b, 24) : 0x020202;
    if (s->monochrome) {
        bits_skip(b, 1);
        s->subsampling_x = s->subsampling_y = true;
        return;
    }
    if (description == 0x010d00) { /* BT.709 primaries, sRGB, identity */
        return;
    }
    bits_skip(b, 1);
    if (s->profile == 0) {
        s->subsampling_x = s->subsampling_y = true;
    } else if (s->profile == 2 && s->twelve_bit) {
        s->subsampling_x = bits_flag(b);
        s->subsampling_y = s->subsampling_x && bits_flag(b);
    } else {
        s->subsampling_x = s->profile == 2;
    }
    if (s->subsampling_x && s->subsampling_y) {
        s->chroma_sample_position = (uint8_t)bits_u(b, 2);
    }
}

int av1_sequence_parse(struct bytes payload, struct av1_sequence *ret, struct error *err)
{
    struct av1_sequence s = {0};
    struct bits b = bits_init(payload);
    s.profile = (uint8_t)bits_u(&b, 3);
    bits_skip(&b, 1);
    s.reduced_still_picture_header = bits_flag(&b);
    if (s.reduced_still_picture_header) {
        s.level_idx = (uint8_t)bits_u(&b, 5);
    } else {
        parse_operating_points(&b, &s);
    }
    unsigned width_bits = bits_u(&b, 4) + 1;
    unsigned height_bits = bits_u(&b, 4) + 1;
    uint32_t width = bits_u(&b, width_bits) + 1;
    uint32_t height = bits_u(&b, height_bits) + 1;
    if (!s.reduced_still_picture_header && bits_flag(&b)) {
        bits_skip(&b, 7); /* frame ids */
    }
    bits_skip(&b, 3);
    if (!s.reduced_still_picture_header) {
        skip_inter_tools(&b);
    }
    bits_skip(&b, 3);
    parse_color(&b, &s);
    if (bits_failed(&b) || s.profile > 2 || width > UINT16_MAX || height > UINT16_MAX) {
        return error_set(err, -EINVAL, "av1", "sequence header is cut short or out of range");
    }
    s.width = (uint16_t)width;
    s.height = (uint16_t)height;
    *ret = s;
    return 0;
}

/* ---- av1C ---- */

static size_t obu_size(const struct av1_obu *o)
{
    return 1u + o->has_extension + leb128_size(o->payload.len) + o->payload.len;
}

static uint8_t *put_obu(uint8_t *p, const struct av1_obu *o)
{
    p = put_u8(p, o->header | 2); /* obu_has_size_field */
    if (o->has_extension) {
        p = put_u8(p, o->extension);
    }
    p = put_leb128(p, o->payload.len);
    return put_bytes(p, o->payload);
}

static int build_config(const struct av1_obu *header, struct buf **ret, struct error *err)
{
    struct av1_sequence s;
    int r = av1_sequence_parse(header->payload, &s, err);
    if (r < 0) {
        return r;
    }
    struct buf *b = buf_try_new(AV1C_FIXED + obu_size(header));
    if (!b) {
        return error_set(err, -ENOMEM, "av1", "out of memory");
    }
    uint8_t *p = put_u8(b->data, 0x81); /* marker, version 1 */
    p = put_u8(p, (uint8_t)(s.profile << 5 | s.level_idx));
    p = put_u8(p, (uint8_t)(s.tier << 7 | s.high_bitdepth << 6 | s.twelve_bit << 5 |
                            s.monochrome << 4 | s.subsampling_x << 3 | s.subsampling_y << 2 |
                            s.chroma_sample_position));
    p = put_u8(p, 0);
    put_obu(p, header);
    *ret = b;
    return 0;
}

/* The sequence header inside an av1C; an empty view when it has none. */
static struct bytes config_header(struct bytes config)
{
    struct rd r = rd_init(config);
    struct av1_obu o;
    rd_skip(&r, AV1C_FIXED);
    while (av1_obu_next(&r, &o) > 0) {
        if (o.type == AV1_OBU_SEQUENCE_HEADER) {
            return o.payload;
        }
    }
    return BYTES(NULL, 0);
}

int av1_params_fill(struct track_params *p, struct bytes config, struct error *err)
{
    if (config.len < AV1C_FIXED || config.data[0] != 0x81) {
        return error_set(err, -EINVAL, "av1C", "not an AV1 codec configuration record");
    }
    uint8_t flags = config.data[2];
    bool high = flags & 0x40;
    bool twelve = flags & 0x20;
    struct bytes header = config_header(config);
    if (header.len > 0) {
        struct av1_sequence s;
        int r = av1_sequence_parse(header, &s, err);
        if (r < 0) {
            return r;
        }
        p->width = s.width;
        p->height = s.height;
        p->fps_num = s.fps_num;
        p->fps_den = s.fps_den;
    }
    /* AV1-ISOBMFF 5: profile, level and tier, bit depth */
    snprintf(p->rfc6381, sizeof(p->rfc6381), "av01.%u.%02u%c.%02u", config.data[1] >> 5,
             config.data[1] & 31, flags & 0x80 ? 'H' : 'M', high ? (twelve ? 12 : 10) : 8);
    return 0;
}

/* ---- temporal units ---- */

struct unit_scan {
    size_t size; /* of the canonical bytes */
    bool header; /* a sequence header was seen; more of them in one unit say the same (7.5) */
    bool frame;
    struct bytes first; /* the first frame's payload */
};

static bool is_dropped(const struct av1_obu *o)
{
    return o->type == AV1_OBU_TEMPORAL_DELIMITER || o->type == AV1_OBU_PADDING;
}

/* uncompressed_header(), 5.9.2: show_existing_frame, frame_type, show_frame. */
static bool is_shown_key(struct bytes frame, bool reduced)
{
    struct bits b = bits_init(frame);
    bool key = reduced || (!bits_flag(&b) && bits_u(&b, 2) == 0 && bits_flag(&b));
    return key && !bits_failed(&b);
}

static bool is_reduced(const struct track_params *p)
{
    struct bytes header = p ? config_header(buf_view(p->config)) : BYTES(NULL, 0);
    return header.len > 0 && (header.data[0] & 8);
}

static int update_params(struct canon *c, const struct av1_obu *header, struct error *err)
{
    _cleanup_buf_ struct buf *config = NULL;
    struct bytes have = c->params ? config_header(buf_view(c->params->config)) : BYTES(NULL, 0);
    if (have.len > 0 && bytes_equal(have, header->payload)) {
        return 0;
    }
    int r = build_config(header, &config, err);
    return r < 0 ? r : canon_replace(c, buf_view(config), 0, err);
}

static int scan_unit(struct canon *c, struct bytes data, struct unit_scan *u, struct error *err)
{
    struct rd r = rd_init(data);
    struct av1_obu o;
    int res;
    while ((res = av1_obu_next(&r, &o)) > 0) {
        if (is_dropped(&o)) {
            continue;
        }
        u->size += obu_size(&o);
        if (o.type == AV1_OBU_SEQUENCE_HEADER && !u->header) {
            u->header = true;
            res = update_params(c, &o, err);
            if (res < 0) {
                return res;
            }
        } else if ((o.type == AV1_OBU_FRAME || o.type == AV1_OBU_FRAME_HEADER) && !u->frame) {
            u->frame = true;
            u->first = o.payload;
        }
    }
    return res < 0 ? error_set(err, res, "av1", "OBUs are cut short") : 0;
}

int av1_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                     struct error *err)
{
    struct unit_scan u = {0};
    struct av1_obu o;
    int res = scan_unit(c, in->data, &u, err);
    if (res < 0 || !u.frame) {
        return res;
    }
    if (!c->params) {
        return error_set(err, -ENODATA, "av1", "no sequence header yet");
    }
    ret->payload = buf_try_new(u.size);
    if (!ret->payload) {
        return error_set(err, -ENOMEM, "av1", "out of memory");
    }
    struct rd r = rd_init(in->data);
    uint8_t *p = ret->payload->data;
    while (av1_obu_next(&r, &o) > 0) {
        p = is_dropped(&o) ? p : put_obu(p, &o);
    }
    ret->flags = is_shown_key(u.first, is_reduced(c->params)) ? SAMPLE_KEY : 0;
    return 0;
}
