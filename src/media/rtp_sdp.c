/* SPDX-License-Identifier: Apache-2.0 */
#include "media/rtp_sdp.h"

#include "base/base64.h"
#include "base/mem.h"
#include "media/h264.h"
#include "media/hevc.h"

#include <errno.h>
#include <strings.h>

#define SETS_TEXT_MAX 16384 /* base64 of all parameter sets of one kind */
#define ASC_MAX       64    /* AudioSpecificConfig */

/* ---- writing ---- */

static void write_sets(struct out *out, const char *name, const struct nal_sets *sets)
{
    out_puts(out, name);
    for (unsigned i = 0; i < sets->n; i++) {
        out_puts(out, i > 0 ? "," : "");
        base64_encode(out, sets->item[i], BASE64_STD);
    }
}

static int write_h264(struct out *out, const struct track_params *p, uint8_t pt)
{
    struct h264_config c;
    const int r = h264_config_parse(buf_view(p->config), &c, NULL);
    if (r < 0 || c.sps.n == 0 || c.sps.item[0].len < 4) {
        return -EINVAL;
    }
    const uint8_t *sps = c.sps.item[0].data;
    struct nal_sets all = c.sps;
    for (unsigned i = 0; i < c.pps.n; i++) {
        if (nal_sets_add(&all, c.pps.item[i]) < 0) {
            return -EINVAL;
        }
    }
    out_printf(out,
               "a=rtpmap:%u H264/90000\r\na=fmtp:%u packetization-mode=1;"
               "profile-level-id=%02x%02x%02x;",
               pt, pt, sps[1], sps[2], sps[3]);
    write_sets(out, "sprop-parameter-sets=", &all);
    out_puts(out, "\r\n");
    return 0;
}

static int write_hevc(struct out *out, const struct track_params *p, uint8_t pt)
{
    struct hevc_config c;
    const int r = hevc_config_parse(buf_view(p->config), &c, NULL);
    if (r < 0) {
        return r;
    }
    out_printf(out, "a=rtpmap:%u H265/90000\r\na=fmtp:%u ", pt, pt);
    write_sets(out, "sprop-vps=", &c.vps);
    write_sets(out, ";sprop-sps=", &c.sps);
    write_sets(out, ";sprop-pps=", &c.pps);
    out_puts(out, "\r\n");
    return 0;
}

static int write_aac(struct out *out, const struct track_params *p, uint8_t pt)
{
    char hex[2 * ASC_MAX + 1];
    if (p->config->len > ASC_MAX) {
        return -EINVAL;
    }
    out_printf(out,
               "a=rtpmap:%u mpeg4-generic/%u/%u\r\na=fmtp:%u streamtype=5;profile-level-id=1;"
               "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=%s\r\n",
               pt, p->sample_rate, p->channels, pt, hex_encode(buf_view(p->config), hex));
    return 0;
}

int rtp_sdp_write(struct out *out, const struct track_params *p, uint8_t pt)
{
    switch (p->codec) {
    case CODEC_H264:
        return write_h264(out, p, pt);
    case CODEC_HEVC:
        return write_hevc(out, p, pt);
    case CODEC_AAC:
        return write_aac(out, p, pt);
    case CODEC_OPUS:
        if (p->channels > 2) {
            return -ENOTSUP;
        }
        /* The map says 2 whatever there is (RFC 7587 7). */
        out_printf(out, "a=rtpmap:%u opus/48000/2\r\na=fmtp:%u sprop-stereo=%u\r\n", pt, pt,
                   p->channels - 1u);
        return 0;
    case CODEC_VP9:
        out_printf(out, "a=rtpmap:%u VP9/90000\r\n", pt);
        return 0;
    case CODEC_AV1:
        out_printf(out, "a=rtpmap:%u AV1/90000\r\n", pt);
        return 0;
    case CODEC_MP3:
        out_printf(out, "a=rtpmap:%u MPA/90000\r\n", pt);
        return 0;
    case CODEC_N:
        break;
    }
    return -ENOTSUP;
}

/* ---- reading ---- */

static uint8_t type_of(enum codec codec, struct bytes nal)
{
    return codec == CODEC_HEVC ? nal.data[0] >> 1 & 0x3f : nal.data[0] & 0x1f;
}

/* Comma-separated base64 of NAL units of one type, decoded behind each other into the space left at *room. */
static int read_sets(struct bytes text, enum codec codec, uint8_t type, struct rd *room,
                     struct nal_sets *ret)
{
    while (text.len > 0) {
        const uint8_t *comma = memchr(text.data, ',', text.len);
        const size_t n = comma ? (size_t)(comma - text.data) : text.len;
        const int len =
            base64_decode(BYTES(text.data, n), BASE64_STD, (uint8_t *)room->p, rd_left(room));
        const struct bytes nal = BYTES(room->p, len > 0 ? len : 0);
        if (len < 0) {
            return len;
        }
        if (nal.len > 0 && type_of(codec, nal) == type) {
            if (nal_sets_add(ret, nal) < 0) {
                return -E2BIG;
            }
            rd_skip(room, nal.len);
        }
        text = comma ? BYTES(comma + 1, text.len - n - 1) : BYTES(NULL, 0);
    }
    return 0;
}

static void read_h264(struct bytes fmtp, struct rtp_sdp_format *f)
{
    struct h264_config c = {.nal_length_size = 4};
    struct bytes text;
    if (!sdp_fmtp_param(fmtp, "sprop-parameter-sets", &text) || text.len > SETS_TEXT_MAX) {
        return;
    }
    uint8_t space[2 * SETS_TEXT_MAX];
    struct rd room = rd_init(BYTES(space, sizeof(space)));
    if (read_sets(text, CODEC_H264, 7, &room, &c.sps) == 0 &&
        read_sets(text, CODEC_H264, 8, &room, &c.pps) == 0) {
        (void)h264_config_build(&c, &f->config, NULL);
    }
}

static void read_hevc(struct bytes fmtp, struct rtp_sdp_format *f)
{
    struct hevc_config c = {.nal_length_size = 4};
    const struct {
        const char *name;
        uint8_t type;
        struct nal_sets *sets;
    } kinds[] = {{"sprop-vps", 32, &c.vps}, {"sprop-sps", 33, &c.sps}, {"sprop-pps", 34, &c.pps}};
    uint8_t space[SETS_TEXT_MAX];
    struct rd room = rd_init(BYTES(space, sizeof(space)));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct bytes text;
        if (!sdp_fmtp_param(fmtp, kinds[i].name, &text) ||
            read_sets(text, CODEC_HEVC, kinds[i].type, &room, kinds[i].sets) < 0) {
            return;
        }
    }
    (void)hevc_config_build(&c, &f->config, NULL);
}

static uint8_t bits_param(struct bytes fmtp, const char *name)
{
    struct bytes text;
    const int64_t v = sdp_fmtp_param(fmtp, name, &text) ? sdp_number(text, 32) : 0;
    return v > 0 ? (uint8_t)v : 0;
}

static int read_aac(struct bytes fmtp, struct rtp_sdp_format *f, struct error *err)
{
    struct bytes text;
    uint8_t asc[ASC_MAX];
    if (!sdp_fmtp_param(fmtp, "mode", &text) || text.len != 7 ||
        (strncasecmp((const char *)text.data, "AAC-hbr", 7) != 0 &&
         strncasecmp((const char *)text.data, "AAC-lbr", 7) != 0)) {
        return error_set(err, -ENOTSUP, "fmtp", "mpeg4-generic in another mode than AAC");
    }
    f->depay.size_bits = bits_param(fmtp, "sizelength");
    f->depay.index_bits = bits_param(fmtp, "indexlength");
    f->depay.index_delta_bits = bits_param(fmtp, "indexdeltalength");
    if (!sdp_fmtp_param(fmtp, "config", &text)) {
        return error_set(err, -EINVAL, "fmtp", "mpeg4-generic without config");
    }
    const int n = hex_decode(text, asc, sizeof(asc));
    struct track_params *p;
    int r = n < 0 ? n : track_params_new(CODEC_AAC, BYTES(asc, n), &p, err);
    if (r < 0) {
        return error_set(err, -EINVAL, "fmtp", "config is no AudioSpecificConfig");
    }
    f->depay.frame_samples = p->frame_samples;
    /* Where SBR doubles the rate, the clock may run at either; a unit's ticks follow the clock. */
    if (p->sample_rate == 2 * f->clock_rate) {
        f->depay.frame_samples /= 2;
    }
    f->config = buf_ref(p->config);
    track_params_unref(&p);
    return 0;
}

/* dOps for two channels: mono packets decode to two alike, stereo ones would be mixed down for one. */
static int read_opus(struct rtp_sdp_format *f, struct error *err)
{
    static const uint8_t dops[11] = {0, 2, 0, 0, 0, 0, 0xbb, 0x80, 0, 0, 0};
    f->config = buf_try_new(sizeof(dops));
    if (!f->config) {
        return error_set(err, -ENOMEM, "opus", "out of memory");
    }
    put_bytes(f->config->data, BYTES(dops, sizeof(dops)));
    return 0;
}

static int codec_of(struct bytes encoding)
{
    static const struct {
        const char *name;
        enum codec codec;
    } known[] = {
        {"H264", CODEC_H264},
        {"H265", CODEC_HEVC},
        {"mpeg4-generic", CODEC_AAC},
        {"opus", CODEC_OPUS},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (encoding.len == strlen(known[i].name) &&
            strncasecmp((const char *)encoding.data, known[i].name, encoding.len) == 0) {
            return (int)known[i].codec;
        }
    }
    return -ENOTSUP;
}

int rtp_sdp_read(const struct sdp_media *m, uint8_t pt, struct rtp_sdp_format *ret,
                 struct error *err)
{
    struct sdp_rtpmap map;
    struct bytes fmtp = BYTES(NULL, 0);
    int r = sdp_rtpmap(m, pt, &map);
    if (r < 0) {
        return error_set(err, -EINVAL, "rtpmap", "nothing says what payload type %u is", pt);
    }
    const int codec = codec_of(map.encoding);
    if (codec < 0) {
        return error_set(err, -ENOTSUP, "rtpmap", "%.*s is not read",
                         (int)MIN(map.encoding.len, 40u), (const char *)map.encoding.data);
    }
    struct rtp_sdp_format f = {.depay.codec = (enum codec)codec, .clock_rate = map.clock_rate};
    (void)sdp_format_attr(m, "fmtp", pt, &fmtp);
    switch (f.depay.codec) {
    case CODEC_H264:
        read_h264(fmtp, &f);
        break;
    case CODEC_HEVC:
        read_hevc(fmtp, &f);
        break;
    case CODEC_AAC:
        r = read_aac(fmtp, &f, err);
        break;
    case CODEC_OPUS:
        r = read_opus(&f, err);
        break;
    default:
        break;
    }
    if (r < 0) {
        buf_unref(&f.config);
        return r;
    }
    *ret = f;
    return 0;
}
