/* SPDX-License-Identifier: Apache-2.0 */
#include "media/h264.h"

#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "media/bits.h"
#include "media/sample.h"

enum nal_type {
    NAL_SLICE = 1,
    NAL_SLICE_PART_A = 2,
    NAL_IDR = 5,
    NAL_SEI = 6,
    NAL_SPS = 7,
    NAL_PPS = 8,
    NAL_AUD = 9,
};

static bool has_chroma_fields(uint8_t profile)
{
    static const uint8_t profiles[] = {100, 110, 122, 244, 44,  83, 86,
                                       118, 128, 138, 139, 134, 135};
    return memchr(profiles, profile, sizeof(profiles)) != NULL;
}

/* 7.3.2.1.1.1: only its length matters here. */
static void skip_scaling_list(struct bits *b, unsigned size)
{
    int32_t last = 8;
    int32_t next = 8;
    for (unsigned i = 0; i < size && !b->failed; i++) {
        if (next != 0) {
            next = (int32_t)(((int64_t)last + bits_se(b) + 256) & 255);
        }
        last = next == 0 ? last : next;
    }
}

static void parse_chroma(struct bits *b, struct h264_sps *s, bool *ret_separate)
{
    s->chroma_format_idc = (uint8_t)bits_ue_max(b, 3);
    if (s->chroma_format_idc == 3) {
        *ret_separate = bits_flag(b);
    }
    s->bit_depth_luma = (uint8_t)(8 + bits_ue_max(b, 6));
    s->bit_depth_chroma = (uint8_t)(8 + bits_ue_max(b, 6));
    bits_skip(b, 1); /* qpprime_y_zero_transform_bypass_flag */
    if (bits_flag(b)) {
        unsigned lists = s->chroma_format_idc != 3 ? 8 : 12;
        for (unsigned i = 0; i < lists; i++) {
            if (bits_flag(b)) {
                skip_scaling_list(b, i < 6 ? 16 : 64);
            }
        }
    }
}

static unsigned parse_poc(struct bits *b)
{
    unsigned type = bits_ue_max(b, 2);
    if (type == 0) {
        bits_ue_max(b, 12);
    } else if (type == 1) {
        bits_skip(b, 1);
        bits_se(b);
        bits_se(b);
        uint32_t n = bits_ue_max(b, 255);
        for (uint32_t i = 0; i < n; i++) {
            bits_se(b);
        }
    }
    return type;
}

static void skip_hrd(struct bits *b)
{
    uint32_t n = bits_ue_max(b, 31) + 1;
    bits_skip(b, 8);
    for (uint32_t i = 0; i < n; i++) {
        bits_ue(b);
        bits_ue(b);
        bits_skip(b, 1);
    }
    bits_skip(b, 20);
}

/* E.1.1. Sets fps, and *ret_reorder when bitstream_restriction is there; leaves both alone from where the bits end. */
static void parse_vui(struct bits *b, struct h264_sps *s, int *ret_reorder)
{
    if (bits_flag(b) && bits_u(b, 8) == 255) {
        bits_skip(b, 32); /* Extended_SAR */
    }
    if (bits_flag(b)) {
        bits_skip(b, 1); /* overscan */
    }
    if (bits_flag(b)) {
        bits_skip(b, 4); /* video_format, full range */
        if (bits_flag(b)) {
            bits_skip(b, 24);
        }
    }
    if (bits_flag(b)) {
        bits_ue(b); /* chroma_loc */
        bits_ue(b);
    }
    if (bits_flag(b)) {
        uint32_t units = bits_u(b, 32);
        uint32_t scale = bits_u(b, 32);
        bits_skip(b, 1);
        if (!bits_failed(b) && units > 0 && scale > 0 && units <= UINT32_MAX / 2) {
            s->fps_num = scale;
            s->fps_den = units * 2; /* a tick is a field (E.2.1) */
        }
    }
    bool nal_hrd = bits_flag(b);
    if (nal_hrd) {
        skip_hrd(b);
    }
    bool vcl_hrd = bits_flag(b);
    if (vcl_hrd) {
        skip_hrd(b);
    }
    bits_skip(b, nal_hrd || vcl_hrd ? 2 : 1); /* low_delay_hrd, pic_struct_present */
    if (bits_flag(b)) {
        bits_skip(b, 1);
        for (int i = 0; i < 4; i++) {
            bits_ue(b);
        }
        uint32_t reorder = bits_ue_max(b, 16);
        if (!bits_failed(b)) {
            *ret_reorder = (int)reorder;
        }
    }
}

/* A.3.1 h) and table A-1. */
static unsigned max_dpb_frames(const struct h264_sps *s, uint32_t frame_mbs)
{
    static const struct {
        uint8_t level;
        uint32_t mbs;
    } table[] = {
        {10, 396},   {11, 900},   {20, 2376},  {21, 4752},   {30, 8100},   {31, 18000},
        {32, 20480}, {41, 32768}, {42, 34816}, {50, 110400}, {52, 184320}, {255, 696320},
    };
    bool is_1b = s->level_idc == 11 && (s->constraints & 0x10) &&
                 (s->profile_idc == 66 || s->profile_idc == 77 || s->profile_idc == 88);
    unsigned level = is_1b ? 10 : s->level_idc;
    unsigned i = 0;
    while (level > table[i].level) {
        i++;
    }
    return MIN(table[i].mbs / frame_mbs, 16u);
}

/*
 * E.2.1, max_num_reorder_frames when it is not sent: 0 for intra profiles (constraint_set3), else the whole picture buffer.
 * Picture order count type 2 cannot reorder (8.2.1.3); Baseline has no B slices, and no encoder reorders P pictures.
 */
static unsigned infer_reorder(const struct h264_sps *s, unsigned poc_type, uint32_t frame_mbs)
{
    static const uint8_t intra[] = {44, 86, 100, 110, 122, 244};
    if ((s->constraints & 0x10) && memchr(intra, s->profile_idc, sizeof(intra))) {
        return 0;
    }
    if (poc_type == 2 || s->profile_idc == 66) {
        return 0;
    }
    return max_dpb_frames(s, frame_mbs);
}

/* 7.4.2.1.1, frame_crop_*. False when nothing would be left, or over 16 bits. */
static bool set_size(struct bits *b, struct h264_sps *s, uint32_t w, uint32_t h, bool separate,
                     unsigned field_factor)
{
    uint64_t crop[4] = {0};
    if (bits_flag(b)) {
        for (int i = 0; i < 4; i++) {
            crop[i] = bits_ue(b);
        }
    }
    bool mono = separate || s->chroma_format_idc == 0;
    unsigned unit_x = !mono && s->chroma_format_idc < 3 ? 2 : 1;
    unsigned unit_y = (!mono && s->chroma_format_idc == 1 ? 2 : 1) * field_factor;
    uint64_t cut_x = unit_x * (crop[0] + crop[1]);
    uint64_t cut_y = unit_y * (crop[2] + crop[3]);
    if (cut_x >= w || cut_y >= h || w - cut_x > UINT16_MAX || h - cut_y > UINT16_MAX) {
        return false;
    }
    s->width = (uint16_t)(w - cut_x);
    s->height = (uint16_t)(h - cut_y);
    return true;
}

int h264_sps_parse(struct bytes nal, struct h264_sps *ret, struct error *err)
{
    struct h264_sps s = {.chroma_format_idc = 1, .bit_depth_luma = 8, .bit_depth_chroma = 8};
    struct bits b = bits_init_nal(nal);
    bool separate = false;
    if ((bits_u(&b, 8) & 0x1f) != NAL_SPS) {
        return error_set(err, -EINVAL, "sps", "not a sequence parameter set");
    }
    s.profile_idc = (uint8_t)bits_u(&b, 8);
    s.constraints = (uint8_t)bits_u(&b, 8);
    s.level_idc = (uint8_t)bits_u(&b, 8);
    s.id = (uint8_t)bits_ue_max(&b, 31);
    if (has_chroma_fields(s.profile_idc)) {
        parse_chroma(&b, &s, &separate);
    }
    bits_ue_max(&b, 12); /* log2_max_frame_num_minus4 */
    unsigned poc_type = parse_poc(&b);
    bits_ue_max(&b, 16); /* max_num_ref_frames */
    bits_skip(&b, 1);
    uint32_t mbs_x = bits_ue_max(&b, 4095) + 1;
    uint32_t map_y = bits_ue_max(&b, 4095) + 1;
    bool frames_only = bits_flag(&b);
    if (!frames_only) {
        bits_skip(&b, 1);
    }
    bits_skip(&b, 1); /* direct_8x8_inference_flag */
    unsigned field_factor = frames_only ? 1 : 2;
    bool fits = set_size(&b, &s, mbs_x * 16, map_y * field_factor * 16, separate, field_factor);
    bool has_vui = bits_flag(&b);
    if (bits_failed(&b) || !fits) {
        return error_set(err, -EINVAL, "sps",
                         "sequence parameter set is cut short or out of range");
    }
    int reorder = -1;
    if (has_vui) {
        parse_vui(&b, &s, &reorder);
    }
    s.reorder_depth =
        (uint8_t)(reorder >= 0 ? (unsigned)reorder
                               : infer_reorder(&s, poc_type, mbs_x * map_y * field_factor));
    *ret = s;
    return 0;
}

int h264_config_parse(struct bytes avcc, struct h264_config *ret, struct error *err)
{
    struct rd r = rd_init(avcc);
    ret->sps.n = 0;
    ret->pps.n = 0;
    uint8_t version = rd_u8(&r);
    rd_skip(&r, 3); /* profile, compatibility, level: the SPS says them */
    ret->nal_length_size = (uint8_t)((rd_u8(&r) & 3) + 1);
    if (rd_failed(&r) || version != 1 || ret->nal_length_size == 3) {
        return error_set(err, -EINVAL, "avcC", "not an AVC decoder configuration record");
    }
    if (nal_sets_read(&r, rd_u8(&r) & 0x1f, &ret->sps) < 0 || rd_failed(&r) ||
        nal_sets_read(&r, rd_u8(&r), &ret->pps) < 0 || rd_failed(&r)) {
        return error_set(err, -EINVAL, "avcC", "parameter sets are cut short or too many");
    }
    return 0;
}

int h264_config_build(const struct h264_config *c, struct buf **ret, struct error *err)
{
    struct h264_sps sps;
    if (c->sps.n == 0 || c->sps.n > 31 || c->pps.n > 255) {
        return error_set(err, -EINVAL, "avcC", "needs 1 to 31 sequence parameter sets, has %u",
                         c->sps.n);
    }
    int r = h264_sps_parse(c->sps.item[0], &sps, err);
    if (r < 0) {
        return r;
    }
    bool high = sps.profile_idc == 100 || sps.profile_idc == 110 || sps.profile_idc == 122 ||
                sps.profile_idc == 144 || sps.profile_idc == 244;
    size_t size = 7 + nal_sets_size(&c->sps) + nal_sets_size(&c->pps) + (high ? 4 : 0);
    struct buf *b = buf_try_new(size);
    if (!b) {
        return error_set(err, -ENOMEM, "avcC", "out of memory");
    }
    uint8_t *p = put_u8(b->data, 1);
    p = put_u8(p, sps.profile_idc);
    p = put_u8(p, sps.constraints);
    p = put_u8(p, sps.level_idc);
    p = put_u8(p, 0xff); /* lengths of 4 bytes */
    p = put_u8(p, (uint8_t)(0xe0 | c->sps.n));
    p = nal_sets_put(p, &c->sps);
    p = put_u8(p, (uint8_t)c->pps.n);
    p = nal_sets_put(p, &c->pps);
    if (high) {
        p = put_u8(p, 0xfc | sps.chroma_format_idc);
        p = put_u8(p, (uint8_t)(0xf8 | (sps.bit_depth_luma - 8)));
        p = put_u8(p, (uint8_t)(0xf8 | (sps.bit_depth_chroma - 8)));
        (void)put_u8(p, 0); /* no SPS extensions */
    }
    *ret = b;
    return 0;
}

int h264_params_fill(struct track_params *p, struct bytes config, struct error *err)
{
    struct h264_config c;
    struct h264_sps sps;
    int r = h264_config_parse(config, &c, err);
    if (r < 0) {
        return r;
    }
    if (c.sps.n == 0) {
        return error_set(err, -EINVAL, "avcC", "no sequence parameter set");
    }
    r = h264_sps_parse(c.sps.item[0], &sps, err);
    if (r < 0) {
        return r;
    }
    p->width = sps.width;
    p->height = sps.height;
    p->fps_num = sps.fps_num;
    p->fps_den = sps.fps_den;
    p->reorder_depth = sps.reorder_depth;
    p->nal_length_size = c.nal_length_size;
    snprintf(p->rfc6381, sizeof(p->rfc6381), "avc1.%02x%02x%02x", sps.profile_idc, sps.constraints,
             sps.level_idc);
    return 0;
}

/* ---- access units ---- */

/* first_mb_in_slice, slice_type (7.3.3). */
int h264_slice_type(struct bytes nal)
{
    struct bits b = bits_init_nal(nal);
    const uint32_t type = bits_u(&b, 8) & 0x1f;
    bits_ue(&b);
    const uint32_t slice = bits_ue_max(&b, 9) % 5;
    const bool is_slice = type == NAL_SLICE || type == NAL_SLICE_PART_A || type == NAL_IDR;
    return is_slice && !bits_failed(&b) ? (int)slice : -EINVAL;
}

/* I and SI. */
static bool slice_is_intra(struct bytes nal)
{
    const int type = h264_slice_type(nal);
    return type == H264_SLICE_I || type == H264_SLICE_SI;
}

/* 7.3.2.3.1: does an SEI unit hold payload type 6, the recovery point? */
static bool sei_has_recovery_point(struct bytes nal)
{
    struct bits b = bits_init_nal(nal);
    bits_skip(&b, 8);
    while (!bits_failed(&b)) {
        uint32_t value[2] = {0}; /* payload type, payload size */
        for (int i = 0; i < 2; i++) {
            uint32_t byte;
            do {
                byte = bits_u(&b, 8);
                value[i] += byte;
            } while (byte == 255 && value[i] < CANON_UNIT_MAX);
        }
        if (!bits_failed(&b) && value[0] == 6 && value[1] > 0) {
            return true;
        }
        for (uint32_t i = 0; i < value[1] && !bits_failed(&b); i++) {
            bits_skip(&b, 8);
        }
    }
    return false;
}

struct unit_scan {
    struct nal_sets sps;
    struct nal_sets pps;
    size_t size; /* of the canonical bytes */
    bool idr;
    bool vcl;
    bool all_intra;
    bool reference;
    bool recovery_point;
};

static int scan_nal(struct unit_scan *u, struct bytes nal)
{
    unsigned type = nal.data[0] & 0x1f;
    switch (type) {
    case NAL_SPS:
        return nal_sets_add(&u->sps, nal);
    case NAL_PPS:
        return nal_sets_add(&u->pps, nal);
    case NAL_AUD:
        return 0;
    case NAL_SEI:
        u->recovery_point = u->recovery_point || sei_has_recovery_point(nal);
        break;
    case NAL_IDR:
    case NAL_SLICE:
    case NAL_SLICE_PART_A:
        u->idr = u->idr || type == NAL_IDR;
        u->all_intra = (!u->vcl || u->all_intra) && slice_is_intra(nal);
        u->reference = u->reference || (nal.data[0] & 0x60) != 0;
        u->vcl = true;
        break;
    default:
        break;
    }
    u->size += 4 + nal.len;
    return 0;
}

/* seq_parameter_set_id or pic_parameter_set_id. */
static uint32_t set_id(struct bytes nal)
{
    struct bits b = bits_init_nal(nal);
    bits_skip(&b, (nal.data[0] & 0x1f) == NAL_SPS ? 32 : 8);
    return bits_ue(&b);
}

/*
 * Parameter sets in band against those of the configuration. A set with a known id replaces that one; an SPS with a new id
 * starts over, so that the first SPS, from which size and profile are read, is the one in use.
 */
static int update_params(struct canon *c, const struct unit_scan *u, struct error *err)
{
    _cleanup_buf_ struct buf *config = NULL;
    struct h264_config now = {.nal_length_size = 4};
    struct h264_config old = {.nal_length_size = 4};
    if (u->sps.n == 0 && u->pps.n == 0) {
        return 0;
    }
    if (c->params) {
        int r = h264_config_parse(buf_view(c->params->config), &old, err);
        if (r < 0) {
            return r;
        }
        now = old;
    }
    if (nal_sets_has_new(&now.sps, &u->sps, set_id)) {
        now.sps.n = 0;
        now.pps.n = u->pps.n > 0 ? 0 : now.pps.n;
    }
    if (nal_sets_merge(&now.sps, &u->sps, set_id) < 0 ||
        nal_sets_merge(&now.pps, &u->pps, set_id) < 0) {
        return error_set(err, -EINVAL, "h264", "too many parameter sets");
    }
    if (c->params && nal_sets_equal(&old.sps, &now.sps) && nal_sets_equal(&old.pps, &now.pps)) {
        return 0;
    }
    if (now.sps.n == 0) {
        return 0; /* a PPS before any SPS: nothing to build from yet */
    }
    int r = h264_config_build(&now, &config, err);
    unsigned length_size = c->params ? c->params->nal_length_size : 4;
    return r < 0 ? r : canon_replace(c, buf_view(config), length_size, err);
}

static unsigned classify(struct canon *c, const struct unit_scan *u, const struct canon_unit *in)
{
    bool open_key = !u->idr && in->container_key && (u->recovery_point || u->all_intra);
    if (u->idr || open_key) {
        c->open_gop = open_key;
        c->key_pts_ns = in->pts_ns;
        return SAMPLE_KEY;
    }
    unsigned flags = 0;
    if (c->open_gop && in->pts_ns < c->key_pts_ns) {
        flags |= SAMPLE_LEADING;
    } else {
        c->open_gop = false; /* in decoding order no leading picture comes after a trailing one */
    }
    return flags | (u->reference ? 0 : SAMPLE_DROPPABLE);
}

static void put_units(uint8_t *p, struct nal_iter it)
{
    struct bytes nal;
    while (nal_next(&it, &nal) > 0) {
        unsigned type = nal.data[0] & 0x1f;
        if (type != NAL_SPS && type != NAL_PPS && type != NAL_AUD) {
            p = put_u32be(p, (uint32_t)nal.len);
            p = put_bytes(p, nal);
        }
    }
}

int h264_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                      struct error *err)
{
    struct unit_scan u = {0};
    struct bytes nal;
    int r;
    struct nal_iter it = nal_iter_init(in->data, c->params ? c->params->nal_length_size : 0);
    struct nal_iter again = it;
    while ((r = nal_next(&it, &nal)) > 0) {
        r = scan_nal(&u, nal);
        if (r < 0) {
            break;
        }
    }
    if (r < 0) {
        return error_set(err, -EINVAL, "h264", "NAL units are cut short or too many sets");
    }
    r = update_params(c, &u, err);
    if (r < 0) {
        return r;
    }
    if (!u.vcl) {
        return 0;
    }
    if (!c->params) {
        return error_set(err, -ENODATA, "h264", "no parameter sets yet");
    }
    ret->payload = buf_try_new(u.size);
    if (!ret->payload) {
        return error_set(err, -ENOMEM, "h264", "out of memory");
    }
    put_units(ret->payload->data, again);
    ret->flags = classify(c, &u, in);
    return 0;
}
