/* SPDX-License-Identifier: Apache-2.0 */
#include "media/hevc.h"

#include "base/mem.h"
#include "media/bits.h"
#include "media/sample.h"

#include <errno.h>
#include <stdio.h>

/* Table 7-1 */
enum nal_type {
    NAL_RASL_N = 8,
    NAL_RASL_R = 9,
    NAL_RSV_VCL_R15 = 15,
    NAL_BLA_W_LP = 16,
    NAL_CRA = 21,
    NAL_VCL_MAX = 31,
    NAL_VPS = 32,
    NAL_SPS = 33,
    NAL_PPS = 34,
    NAL_AUD = 35,
};

#define HVCC_FIXED   23
#define RPS_MAX      64
#define RPS_PICS_MAX 16

static unsigned nal_type(struct bytes nal)
{
    return nal.data[0] >> 1 & 0x3f;
}

static unsigned layer_id(struct bytes nal)
{
    return (nal.data[0] & 1u) << 5 | nal.data[1] >> 3;
}

/* profile_tier_level( 1, max_sub_layers_minus1 ), 7.3.3. profile may be NULL. */
static void parse_ptl(struct bits *b, unsigned sub_layers_minus1, uint8_t *profile)
{
    bool has_profile[8] = {0};
    bool has_level[8] = {0};
    for (int i = 0; i < 12; i++) {
        uint8_t byte = (uint8_t)bits_u(b, 8);
        if (profile) {
            profile[i] = byte;
        }
    }
    for (unsigned i = 0; i < sub_layers_minus1; i++) {
        has_profile[i] = bits_flag(b);
        has_level[i] = bits_flag(b);
    }
    bits_skip(b, sub_layers_minus1 > 0 ? 2 * (8 - sub_layers_minus1) : 0);
    for (unsigned i = 0; i < sub_layers_minus1; i++) {
        bits_skip(b, (has_profile[i] ? 88 : 0) + (has_level[i] ? 8 : 0));
    }
}

/* 7.3.4 */
static void skip_scaling_lists(struct bits *b)
{
    for (unsigned size = 0; size < 4; size++) {
        for (unsigned matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
            if (!bits_flag(b)) {
                bits_ue(b);
                continue;
            }
            unsigned coefs = size == 0 ? 16 : 64;
            if (size > 1) {
                bits_se(b);
            }
            for (unsigned i = 0; i < coefs; i++) {
                bits_se(b);
            }
        }
    }
}

/* st_ref_pic_set( idx ) inside an SPS, 7.3.7: where the reference set is always the one before. */
static void skip_rps(struct bits *b, unsigned idx, uint8_t *pics)
{
    unsigned n = 0;
    if (idx > 0 && bits_flag(b)) {
        bits_skip(b, 1);
        bits_ue(b);
        for (unsigned j = 0; j <= pics[idx - 1]; j++) {
            bool used = bits_flag(b);
            n += used || bits_flag(b);
        }
    } else {
        uint32_t negative = bits_ue_max(b, RPS_PICS_MAX);
        uint32_t positive = bits_ue_max(b, RPS_PICS_MAX);
        n = negative + positive;
        for (unsigned j = 0; j < n && !bits_failed(b); j++) {
            bits_ue(b);
            bits_skip(b, 1);
        }
    }
    if (n > RPS_PICS_MAX) {
        b->failed = true;
        n = 0;
    }
    pics[idx] = (uint8_t)n;
}

static void set_fps(struct bits *b, uint32_t *ret_num, uint32_t *ret_den)
{
    uint32_t units = bits_u(b, 32);
    uint32_t scale = bits_u(b, 32);
    if (!bits_failed(b) && units > 0 && scale > 0) {
        *ret_num = scale;
        *ret_den = units;
    }
}

/* E.2.1, up to the timing. */
static void parse_vui(struct bits *b, struct hevc_sps *s)
{
    if (bits_flag(b) && bits_u(b, 8) == 255) {
        bits_skip(b, 32);
    }
    if (bits_flag(b)) {
        bits_skip(b, 1);
    }
    if (bits_flag(b)) {
        bits_skip(b, 4);
        if (bits_flag(b)) {
            bits_skip(b, 24);
        }
    }
    if (bits_flag(b)) {
        bits_ue(b);
        bits_ue(b);
    }
    bits_skip(b, 3);
    if (bits_flag(b)) { /* default display window: a suggestion, players do not follow it */
        for (int i = 0; i < 4; i++) {
            bits_ue(b);
        }
    }
    if (bits_flag(b)) {
        set_fps(b, &s->fps_num, &s->fps_den);
    }
}

/* Size inside the conformance window, 7.4.3.2.1. False when nothing would be left. */
static bool parse_size(struct bits *b, struct hevc_sps *s, bool separate)
{
    uint32_t w = bits_ue_max(b, UINT16_MAX);
    uint32_t h = bits_ue_max(b, UINT16_MAX);
    uint64_t cut[4] = {0};
    if (bits_flag(b)) {
        for (int i = 0; i < 4; i++) {
            cut[i] = bits_ue(b);
        }
    }
    bool mono = separate || s->chroma_format_idc == 0;
    uint64_t cut_x = (cut[0] + cut[1]) * (!mono && s->chroma_format_idc < 3 ? 2 : 1);
    uint64_t cut_y = (cut[2] + cut[3]) * (!mono && s->chroma_format_idc == 1 ? 2 : 1);
    if (cut_x >= w || cut_y >= h) {
        return false;
    }
    s->width = (uint16_t)(w - cut_x);
    s->height = (uint16_t)(h - cut_y);
    return true;
}

/* From log2_max_pic_order_cnt_lsb_minus4 to the flag in front of the VUI. */
static bool skip_to_vui(struct bits *b, struct hevc_sps *s)
{
    uint8_t pics[RPS_MAX] = {0};
    uint32_t poc_bits = bits_ue_max(b, 12) + 4;
    unsigned first = bits_flag(b) ? 0 : s->sub_layers - 1u;
    for (unsigned i = first; i < s->sub_layers; i++) {
        bits_ue(b);
        s->reorder_depth = (uint8_t)bits_ue_max(b, 16);
        bits_ue(b);
    }
    bool enough = !bits_failed(b); /* all that is needed; the rest only leads to the frame rate */
    for (int i = 0; i < 6; i++) {
        bits_ue(b);
    }
    if (bits_flag(b) && bits_flag(b)) {
        skip_scaling_lists(b);
    }
    bits_skip(b, 2);
    if (bits_flag(b)) { /* PCM */
        bits_skip(b, 8);
        bits_ue(b);
        bits_ue(b);
        bits_skip(b, 1);
    }
    uint32_t sets = bits_ue_max(b, RPS_MAX);
    for (uint32_t i = 0; i < sets; i++) {
        skip_rps(b, i, pics);
    }
    if (bits_flag(b)) {
        uint32_t long_term = bits_ue_max(b, 32);
        bits_skip(b, long_term * (poc_bits + 1));
    }
    bits_skip(b, 2);
    return enough;
}

int hevc_sps_parse(struct bytes nal, struct hevc_sps *ret, struct error *err)
{
    struct hevc_sps s = {0};
    struct bits b = bits_init_nal(nal);
    bool separate = false;
    if (nal.len < 2 || nal_type(nal) != NAL_SPS) {
        return error_set(err, -EINVAL, "sps", "not a sequence parameter set");
    }
    bits_skip(&b, 16 + 4);
    unsigned sub_layers_minus1 = bits_u(&b, 3);
    s.temporal_id_nesting = bits_flag(&b);
    s.sub_layers = (uint8_t)(sub_layers_minus1 + 1);
    parse_ptl(&b, sub_layers_minus1, s.profile);
    s.id = (uint8_t)bits_ue_max(&b, 15);
    s.chroma_format_idc = (uint8_t)bits_ue_max(&b, 3);
    if (s.chroma_format_idc == 3) {
        separate = bits_flag(&b);
    }
    bool fits = sub_layers_minus1 <= 6 && parse_size(&b, &s, separate);
    s.bit_depth_luma = (uint8_t)(8 + bits_ue_max(&b, 8));
    s.bit_depth_chroma = (uint8_t)(8 + bits_ue_max(&b, 8));
    if (!fits || !skip_to_vui(&b, &s)) {
        return error_set(err, -EINVAL, "sps",
                         "sequence parameter set is cut short or out of range");
    }
    if (bits_flag(&b)) {
        parse_vui(&b, &s);
    }
    *ret = s;
    return 0;
}

bool hevc_vps_timing(struct bytes nal, uint32_t *ret_num, uint32_t *ret_den)
{
    struct bits b = bits_init_nal(nal);
    uint32_t num = 0;
    uint32_t den = 0;
    bits_skip(&b, 16 + 4 + 2 + 6);
    unsigned sub_layers_minus1 = bits_u(&b, 3);
    bits_skip(&b, 1 + 16);
    if (sub_layers_minus1 > 6) {
        return false;
    }
    parse_ptl(&b, sub_layers_minus1, NULL);
    unsigned first = bits_flag(&b) ? 0 : sub_layers_minus1;
    for (unsigned i = first; i <= sub_layers_minus1; i++) {
        bits_ue(&b);
        bits_ue(&b);
        bits_ue(&b);
    }
    uint32_t layers = bits_u(&b, 6) + 1;
    uint32_t sets = bits_ue_max(&b, 1023);
    bits_skip(&b, sets * layers);
    if (bits_flag(&b)) {
        set_fps(&b, &num, &den);
    }
    if (den == 0) {
        return false;
    }
    *ret_num = num;
    *ret_den = den;
    return true;
}

/* ---- hvcC ---- */

static struct nal_sets *sets_of(struct hevc_config *c, unsigned type)
{
    return type == NAL_VPS ? &c->vps : type == NAL_SPS ? &c->sps : type == NAL_PPS ? &c->pps : NULL;
}

int hevc_config_parse(struct bytes hvcc, struct hevc_config *ret, struct error *err)
{
    struct rd r = rd_init(hvcc);
    ret->vps.n = ret->sps.n = ret->pps.n = 0;
    uint8_t version = rd_u8(&r);
    rd_skip(&r, 20); /* what the SPS says as well */
    ret->nal_length_size = (uint8_t)((rd_u8(&r) & 3) + 1);
    unsigned arrays = rd_u8(&r);
    /* Before the standard was final, writers left the version at 0. */
    if (rd_failed(&r) || version > 1 || ret->nal_length_size == 3) {
        return error_set(err, -EINVAL, "hvcC", "not an HEVC decoder configuration record");
    }
    for (unsigned i = 0; i < arrays; i++) {
        struct nal_sets other = {.n = 0};
        struct nal_sets *sets = sets_of(ret, rd_u8(&r) & 0x3f);
        if (nal_sets_read(&r, rd_u16be(&r), sets ? sets : &other) < 0 || rd_failed(&r)) {
            return error_set(err, -EINVAL, "hvcC", "parameter sets are cut short or too many");
        }
    }
    return 0;
}

static uint8_t *put_array(uint8_t *p, unsigned type, const struct nal_sets *sets)
{
    p = put_u8(p, (uint8_t)(0x80 | type)); /* complete: none in band */
    p = put_u16be(p, (uint16_t)sets->n);
    return nal_sets_put(p, sets);
}

int hevc_config_build(const struct hevc_config *c, struct buf **ret, struct error *err)
{
    struct hevc_sps sps;
    if (c->sps.n == 0) {
        return error_set(err, -EINVAL, "hvcC", "no sequence parameter set");
    }
    int r = hevc_sps_parse(c->sps.item[0], &sps, err);
    if (r < 0) {
        return r;
    }
    struct buf *b = buf_try_new(HVCC_FIXED + 9 + nal_sets_size(&c->vps) + nal_sets_size(&c->sps) +
                                nal_sets_size(&c->pps));
    if (!b) {
        return error_set(err, -ENOMEM, "hvcC", "out of memory");
    }
    uint8_t *p = put_u8(b->data, 1);
    p = put_bytes(p, BYTES(sps.profile, 12));
    p = put_u16be(p, 0xf000); /* min_spatial_segmentation_idc: unknown */
    p = put_u8(p, 0xfc);      /* parallelismType: unknown */
    p = put_u8(p, 0xfc | sps.chroma_format_idc);
    p = put_u8(p, (uint8_t)(0xf8 | (sps.bit_depth_luma - 8)));
    p = put_u8(p, (uint8_t)(0xf8 | (sps.bit_depth_chroma - 8)));
    p = put_u16be(p, 0); /* avgFrameRate: unspecified */
    p = put_u8(p, (uint8_t)(sps.sub_layers << 3 | sps.temporal_id_nesting << 2 | 3));
    p = put_u8(p, 3);
    p = put_array(p, NAL_VPS, &c->vps);
    p = put_array(p, NAL_SPS, &c->sps);
    put_array(p, NAL_PPS, &c->pps);
    *ret = b;
    return 0;
}

/* ISO/IEC 14496-15 E.3: hvc1.PROFILE.COMPATIBILITY.TIER+LEVEL.CONSTRAINTS, trailing zero bytes left out. */
static void write_rfc6381(char *text, size_t size, const uint8_t profile[12])
{
    static const char *const spaces[] = {"", "A", "B", "C"};
    uint32_t compatibility = 0;
    for (int i = 0; i < 32; i++) { /* in reverse bit order */
        compatibility |= (uint32_t)(profile[1 + i / 8] >> (7 - i % 8) & 1) << i;
    }
    int n = snprintf(text, size, "hvc1.%s%u.%X.%c%u", spaces[profile[0] >> 6], profile[0] & 31,
                     compatibility, profile[0] & 0x20 ? 'H' : 'L', profile[11]);
    int constraints = 6;
    while (constraints > 0 && profile[4 + constraints] == 0) {
        constraints--;
    }
    for (int i = 0; i < constraints && (size_t)n + 4 <= size; i++) {
        n += snprintf(text + n, size - (size_t)n, ".%X", profile[5 + i]);
    }
}

int hevc_params_fill(struct track_params *p, struct bytes config, struct error *err)
{
    struct hevc_config c;
    struct hevc_sps sps;
    int r = hevc_config_parse(config, &c, err);
    if (r < 0) {
        return r;
    }
    if (c.sps.n == 0) {
        return error_set(err, -EINVAL, "hvcC", "no sequence parameter set");
    }
    r = hevc_sps_parse(c.sps.item[0], &sps, err);
    if (r < 0) {
        return r;
    }
    p->width = sps.width;
    p->height = sps.height;
    p->fps_num = sps.fps_num;
    p->fps_den = sps.fps_den;
    if (p->fps_den == 0 && c.vps.n > 0) {
        hevc_vps_timing(c.vps.item[0], &p->fps_num, &p->fps_den);
    }
    p->reorder_depth = sps.reorder_depth;
    p->nal_length_size = c.nal_length_size;
    write_rfc6381(p->rfc6381, sizeof(p->rfc6381), sps.profile);
    return 0;
}

/* ---- access units ---- */

struct unit_scan {
    struct hevc_config sets;
    size_t size;  /* of the canonical bytes */
    int type;     /* of the first VCL unit of the base layer; -1 = none */
    unsigned tid; /* its temporal id */
};

/* Parameter sets of the base layer go into the parameters, those of other layers stay in band. One byte is no unit. */
static bool is_dropped(struct bytes nal)
{
    unsigned type = nal_type(nal);
    return nal.len < 2 || type == NAL_AUD ||
           (type >= NAL_VPS && type <= NAL_PPS && layer_id(nal) == 0);
}

static int scan_nal(struct unit_scan *u, struct bytes nal)
{
    unsigned type = nal_type(nal);
    if (is_dropped(nal)) {
        struct nal_sets *sets = nal.len < 2 ? NULL : sets_of(&u->sets, type);
        return sets ? nal_sets_add(sets, nal) : 0;
    }
    if (type <= NAL_VCL_MAX && layer_id(nal) == 0 && u->type < 0) {
        u->type = (int)type;
        u->tid = (nal.data[1] & 7u) - 1;
    }
    u->size += 4 + nal.len;
    return 0;
}

static uint32_t set_id(struct bytes nal)
{
    struct bits b = bits_init_nal(nal);
    bits_skip(&b, 16);
    switch (nal_type(nal)) {
    case NAL_VPS:
        return bits_u(&b, 4);
    case NAL_SPS: {
        bits_skip(&b, 4);
        unsigned sub_layers_minus1 = bits_u(&b, 3);
        bits_skip(&b, 1);
        parse_ptl(&b, sub_layers_minus1, NULL);
        return bits_ue(&b);
    }
    default:
        return bits_ue(&b);
    }
}

/* As in H.264: a known id replaces, an SPS with a new id starts over (h264.c). */
static int update_params(struct canon *c, const struct unit_scan *u, struct error *err)
{
    _cleanup_buf_ struct buf *config = NULL;
    struct hevc_config old = {.nal_length_size = 4};
    const struct hevc_config *in = &u->sets;
    if (in->vps.n == 0 && in->sps.n == 0 && in->pps.n == 0) {
        return 0;
    }
    int r = c->params ? hevc_config_parse(buf_view(c->params->config), &old, err) : 0;
    if (r < 0) {
        return r;
    }
    struct hevc_config now = old;
    if (nal_sets_has_new(&now.sps, &in->sps, set_id)) {
        now.sps.n = 0;
        now.vps.n = in->vps.n > 0 ? 0 : now.vps.n;
        now.pps.n = in->pps.n > 0 ? 0 : now.pps.n;
    }
    if (nal_sets_merge(&now.vps, &in->vps, set_id) < 0 ||
        nal_sets_merge(&now.sps, &in->sps, set_id) < 0 ||
        nal_sets_merge(&now.pps, &in->pps, set_id) < 0) {
        return error_set(err, -EINVAL, "hevc", "too many parameter sets");
    }
    if (c->params && nal_sets_equal(&old.vps, &now.vps) && nal_sets_equal(&old.sps, &now.sps) &&
        nal_sets_equal(&old.pps, &now.pps)) {
        return 0;
    }
    if (now.sps.n == 0) {
        return 0; /* nothing to build from yet */
    }
    r = hevc_config_build(&now, &config, err);
    unsigned length_size = c->params ? c->params->nal_length_size : 4;
    return r < 0 ? r : canon_replace(c, buf_view(config), length_size, err);
}

static unsigned classify(const struct track_params *p, const struct unit_scan *u)
{
    if (u->type >= NAL_BLA_W_LP && u->type <= NAL_CRA) {
        return SAMPLE_KEY;
    }
    unsigned flags = u->type == NAL_RASL_N || u->type == NAL_RASL_R ? SAMPLE_LEADING : 0;
    unsigned sub_layers = p->config->data[21] >> 3 & 7; /* numTemporalLayers; 0 = unknown */
    /* Even types below 16 are sub-layer non-reference pictures; a higher sub-layer could still refer to them. */
    if (u->type < NAL_RSV_VCL_R15 && u->type % 2 == 0 && u->tid + 1 == sub_layers) {
        flags |= SAMPLE_DROPPABLE;
    }
    return flags;
}

static void put_units(uint8_t *p, struct nal_iter it)
{
    struct bytes nal;
    while (nal_next(&it, &nal) > 0) {
        if (!is_dropped(nal)) {
            p = put_u32be(p, (uint32_t)nal.len);
            p = put_bytes(p, nal);
        }
    }
}

int hevc_canonicalise(struct canon *c, const struct canon_unit *in, struct canon_result *ret,
                      struct error *err)
{
    struct unit_scan u = {.type = -1};
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
        return error_set(err, -EINVAL, "hevc", "NAL units are cut short or too many sets");
    }
    r = update_params(c, &u, err);
    if (r < 0 || u.type < 0) {
        return r;
    }
    if (!c->params) {
        return error_set(err, -ENODATA, "hevc", "no parameter sets yet");
    }
    ret->payload = buf_try_new(u.size);
    if (!ret->payload) {
        return error_set(err, -ENOMEM, "hevc", "out of memory");
    }
    put_units(ret->payload->data, again);
    ret->flags = classify(c->params, &u);
    return 0;
}
