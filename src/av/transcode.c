/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time. Decoded sound is laid end to end on a line that begins at the stamp of its first frame (the anchor) and advances by
 * samples. How far each frame's own stamp lies off the end of the line decides (docs/internals/av.md):
 *
 *     up to 2 ms, averaged      jitter of wires that count ms: nothing
 *     up to 40 ms               two clocks: the resampler stretches by what is off, over one second
 *     later, up to 1 s          frames are missing: silence of that length
 *     later than that           a hole: the line ends with a whole frame, a new one begins at the stamp
 *     earlier                   cut off, so that stamps rise
 *
 * Encoders answer frame by frame, some frames late (their priming): the n-th packet is the n-th frame, stamped earlier by
 * the priming, which is what a decoder's output is late by.
 */
#include "av/transcode.h"

#include "base/clock.h"
#include "base/mem.h"
#include "media/opus.h"
#include "media/timeline.h"

#include <errno.h>
#include <libavcodec/avcodec.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdio.h>

#define JITTER_NS   (2 * NS_PER_MS)
#define STRETCH_NS  (40 * NS_PER_MS)
#define SILENCE_NS  NS_PER_S
#define AVERAGE     16 /* frames that the averaged offset looks back on */
#define STAMPS      32 /* frames inside the encoder at most; a power of two */
#define REFUSED_MAX 50 /* frames in a row that cannot be decoded: a second of garbage */

struct transcode {
    transcode_out_fn on_out;
    void *user;
    enum codec to;
    struct buf *config; /* of what comes out */
    AVCodecContext *dec;
    AVCodecContext *enc;
    SwrContext *swr; /* NULL until the first frame */
    AVAudioFifo *fifo;
    AVPacket *packet;
    AVFrame *decoded;
    AVFrame *frame; /* one of the encoder's, filled from fifo */
    /* What swr was made for. */
    int in_rate;
    int in_format;
    AVChannelLayout in_layout;
    /* The line. */
    bool anchored;
    int64_t anchor_ns;
    int64_t taken;  /* samples that left the fifo since the anchor */
    int64_t off_ns; /* averaged offset of the stamps */
    bool stretching;
    int64_t stretch_end; /* the line's length when it is over */
    int64_t last_out_ns;
    /* Stamps of the frames that went into the encoder. */
    int64_t stamps[STAMPS];
    uint64_t sent;
    uint64_t received;
    unsigned refused; /* in a row */
};

static int fail_av(struct error *err, const char *what, int r)
{
    char text[AV_ERROR_MAX_STRING_SIZE];
    bool known = av_strerror(r, text, sizeof(text)) >= 0;
    return error_set(err, r == AVERROR(ENOMEM) ? -ENOMEM : -EINVAL, "", "%s%s%s", what,
                     known ? ": " : "", known ? text : "");
}

/* ---- opening ---- */

static enum AVCodecID codec_id(enum codec c)
{
    switch (c) {
    case CODEC_AAC:
        return AV_CODEC_ID_AAC;
    case CODEC_OPUS:
        return AV_CODEC_ID_OPUS;
    case CODEC_MP3:
        return AV_CODEC_ID_MP3;
    default:
        return AV_CODEC_ID_NONE;
    }
}

static int set_extradata(AVCodecContext *c, struct bytes config)
{
    c->extradata = av_mallocz(config.len + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!c->extradata) {
        return -ENOMEM;
    }
    put_bytes(c->extradata, config);
    c->extradata_size = (int)config.len;
    return 0;
}

/* The stream's time counts from the first sample of a packet, priming or not (RFC 7845 4.3): nothing may be skipped. */
static int set_opus_head(AVCodecContext *c, struct bytes dops)
{
    struct buf *head = opus_head_build(dops);
    if (!head || head->len < 19) {
        buf_unref(&head);
        return -EINVAL;
    }
    head->data[10] = head->data[11] = 0;
    int r = set_extradata(c, buf_view(head));
    buf_unref(&head);
    return r;
}

static int open_decoder(struct transcode *t, const struct av_msg *spec, struct error *err)
{
    const AVCodec *codec = avcodec_find_decoder(codec_id(spec->codec));
    if (!codec) {
        return error_set(err, -ENOTSUP, "", "libavcodec has no decoder for %s",
                         codec_to_str(spec->codec));
    }
    t->dec = avcodec_alloc_context3(codec);
    if (!t->dec) {
        return error_set(err, -ENOMEM, "", "out of memory");
    }
    t->dec->thread_count = 1;
    t->dec->flags2 |= AV_CODEC_FLAG2_SKIP_MANUAL;
    t->dec->pkt_timebase = (AVRational){1, NS_PER_S};
    int r = spec->codec == CODEC_OPUS  ? set_opus_head(t->dec, spec->config)
            : spec->codec == CODEC_AAC ? set_extradata(t->dec, spec->config)
                                       : 0;
    if (r < 0) {
        return error_set(err, r, "", "the configuration of the %s track is of no use",
                         codec_to_str(spec->codec));
    }
    r = avcodec_open2(t->dec, codec, NULL);
    return r < 0 ? fail_av(err, "the decoder refuses the track's configuration", r) : 0;
}

/* libavcodec's own Opus encoder is experimental: only libopus will do. */
static const AVCodec *find_encoder(enum codec to)
{
    return to == CODEC_AAC    ? avcodec_find_encoder_by_name("aac")
           : to == CODEC_OPUS ? avcodec_find_encoder_by_name("libopus")
                              : NULL;
}

void transcode_about(char *text, size_t size)
{
    unsigned v = avcodec_version();
    bool aac = find_encoder(CODEC_AAC) != NULL;
    bool opus = find_encoder(CODEC_OPUS) != NULL;
    snprintf(text, size, "libavcodec %u.%u.%u: %s%s%s", AV_VERSION_MAJOR(v), AV_VERSION_MINOR(v),
             AV_VERSION_MICRO(v), aac ? "aac" : "", aac && opus ? ", " : "", opus ? "opus" : "");
}

static int keep_config(struct transcode *t, struct error *err)
{
    struct bytes made = BYTES(t->enc->extradata, (size_t)MAX(t->enc->extradata_size, 0));
    if (t->to == CODEC_OPUS) {
        return opus_config_from_head(made, &t->config, err);
    }
    t->config = buf_copy(made);
    return 0;
}

static int open_encoder(struct transcode *t, const struct av_msg *spec, struct error *err)
{
    const AVCodec *codec = find_encoder(spec->to);
    if (!codec) {
        return error_set(err, -ENOTSUP, "", "libavcodec has no encoder for %s",
                         codec_to_str(spec->to));
    }
    t->enc = avcodec_alloc_context3(codec);
    if (!t->enc) {
        return error_set(err, -ENOMEM, "", "out of memory");
    }
    t->enc->thread_count = 1;
    t->enc->sample_rate = (int)spec->rate;
    t->enc->sample_fmt = spec->to == CODEC_AAC ? AV_SAMPLE_FMT_FLTP : AV_SAMPLE_FMT_FLT;
    t->enc->bit_rate = spec->kbps * 1000L;
    t->enc->time_base = (AVRational){1, (int)spec->rate};
    t->enc->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_channel_layout_default(&t->enc->ch_layout, spec->channels);
    if (spec->to == CODEC_OPUS) {
        av_opt_set(t->enc->priv_data, "application", "audio", 0);
        av_opt_set(t->enc->priv_data, "frame_duration", "20", 0);
    }
    int r = avcodec_open2(t->enc, codec, NULL);
    if (r < 0) {
        return fail_av(err, "the encoder refuses rate, channels or bit rate", r);
    }
    return keep_config(t, err);
}

static int make_frame(struct transcode *t)
{
    AVFrame *f = t->frame = av_frame_alloc();
    t->decoded = av_frame_alloc();
    t->packet = av_packet_alloc();
    t->fifo = av_audio_fifo_alloc(t->enc->sample_fmt, t->enc->ch_layout.nb_channels,
                                  2 * t->enc->frame_size);
    if (!f || !t->decoded || !t->packet || !t->fifo) {
        return AVERROR(ENOMEM);
    }
    f->nb_samples = t->enc->frame_size;
    f->format = t->enc->sample_fmt;
    f->sample_rate = t->enc->sample_rate;
    int r = av_channel_layout_copy(&f->ch_layout, &t->enc->ch_layout);
    return r < 0 ? r : av_frame_get_buffer(f, 0);
}

int transcode_new(const struct av_msg *spec, transcode_out_fn on_out, void *user,
                  struct transcode **ret, struct error *err)
{
    struct transcode *t = mem_new(struct transcode);
    t->on_out = on_out;
    t->user = user;
    t->to = spec->to;
    t->last_out_ns = INT64_MIN;
    int r = open_decoder(t, spec, err);
    if (r >= 0) {
        r = open_encoder(t, spec, err);
    }
    if (r >= 0 && (r = make_frame(t)) < 0) {
        r = fail_av(err, "no room for a frame", r);
    }
    if (r < 0) {
        transcode_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

struct transcode *transcode_free(struct transcode *t)
{
    if (!t) {
        return NULL;
    }
    av_channel_layout_uninit(&t->in_layout);
    av_audio_fifo_free(t->fifo);
    av_frame_free(&t->frame);
    av_frame_free(&t->decoded);
    av_packet_free(&t->packet);
    swr_free(&t->swr);
    avcodec_free_context(&t->enc);
    avcodec_free_context(&t->dec);
    buf_unref(&t->config);
    free(t);
    return NULL;
}

void transcode_describe(const struct transcode *t, enum codec *ret_codec, struct bytes *ret_config)
{
    *ret_codec = t->to;
    *ret_config = buf_view(t->config);
}

/* ---- encoding ---- */

static int64_t ns_of(const struct transcode *t, int64_t samples)
{
    return ns_from_ticks(samples, (uint32_t)t->enc->sample_rate);
}

static void hand_out(struct transcode *t)
{
    int64_t stamp = t->stamps[t->received++ % STAMPS];
    int64_t pts = stamp - ns_of(t, t->enc->initial_padding);
    uint32_t duration = (uint32_t)ns_of(t, t->enc->frame_size);
    if (pts > t->last_out_ns && t->packet->size > 0 && t->packet->size <= AV_WIRE_DATA_MAX) {
        t->last_out_ns = pts;
        t->on_out(t->user, BYTES(t->packet->data, (size_t)t->packet->size), pts, duration);
    }
}

static int encode_frame(struct transcode *t, struct error *err)
{
    int r = av_frame_make_writable(t->frame);
    if (r >= 0) {
        r = av_audio_fifo_read(t->fifo, (void **)t->frame->extended_data, t->enc->frame_size);
    }
    t->frame->pts = (int64_t)t->sent * t->enc->frame_size;
    t->stamps[t->sent % STAMPS] = t->anchor_ns + ns_of(t, t->taken);
    t->taken += t->enc->frame_size;
    if (r >= 0) {
        r = avcodec_send_frame(t->enc, t->frame);
    }
    if (r < 0) {
        return fail_av(err, "the encoder failed", r);
    }
    t->sent++;
    while ((r = avcodec_receive_packet(t->enc, t->packet)) >= 0) {
        if (t->received < t->sent) {
            hand_out(t);
        }
        av_packet_unref(t->packet);
    }
    return r == AVERROR(EAGAIN) ? 0 : fail_av(err, "the encoder failed", r);
}

static int encode_whole_frames(struct transcode *t, struct error *err)
{
    int r = 0;
    while (r >= 0 && av_audio_fifo_size(t->fifo) >= t->enc->frame_size) {
        r = encode_frame(t, err);
    }
    return r;
}

/* ---- the line ---- */

/* Where the next decoded sample goes: behind what waits in the fifo and inside the resampler. */
static int64_t line_length(const struct transcode *t)
{
    int64_t inside = t->swr ? swr_get_delay(t->swr, t->enc->sample_rate) : 0;
    return t->taken + av_audio_fifo_size(t->fifo) + inside;
}

static int add_silence(struct transcode *t, int64_t samples, struct error *err)
{
    int r = 0;
    while (r >= 0 && samples > 0) {
        int n = (int)MIN(samples, (int64_t)t->enc->frame_size);
        r = av_frame_make_writable(t->frame);
        if (r >= 0) {
            av_samples_set_silence(t->frame->extended_data, 0, n, t->enc->ch_layout.nb_channels,
                                   t->enc->sample_fmt);
            r = av_audio_fifo_write(t->fifo, (void **)t->frame->extended_data, n);
        }
        if (r < 0) {
            return fail_av(err, "no room for silence", r);
        }
        samples -= n;
        r = encode_whole_frames(t, err);
    }
    return r;
}

/* What the resampler still holds goes into the fifo, and it forgets. */
static int convert(struct transcode *t, const AVFrame *in, int skip, struct error *err);

static int flush_resampler(struct transcode *t, struct error *err)
{
    int r = t->swr && swr_get_delay(t->swr, t->enc->sample_rate) > 0 ? convert(t, NULL, 0, err) : 0;
    swr_free(&t->swr);
    t->stretching = false;
    return r;
}

static int begin_line(struct transcode *t, int64_t at_ns, struct error *err)
{
    int r = flush_resampler(t, err);
    int partial = av_audio_fifo_size(t->fifo) % t->enc->frame_size;
    if (r >= 0 && partial > 0) {
        r = add_silence(t, t->enc->frame_size - partial, err);
    }
    if (r >= 0) {
        r = encode_whole_frames(t, err);
    }
    t->anchored = true;
    t->anchor_ns = at_ns;
    t->taken = 0;
    t->off_ns = 0;
    return r;
}

/* Two clocks that are not the same: a little longer or shorter for a second. */
static int stretch(struct transcode *t, struct error *err)
{
    int rate = t->enc->sample_rate;
    if (t->stretching && line_length(t) < t->stretch_end) {
        return 0;
    }
    t->stretching = false;
    if (llabs(t->off_ns) <= JITTER_NS) {
        return 0;
    }
    int r = swr_set_compensation(t->swr, (int)ticks_from_ns(t->off_ns, (uint32_t)rate), rate);
    if (r < 0) {
        return fail_av(err, "the resampler failed", r);
    }
    t->stretching = true;
    t->stretch_end = line_length(t) + rate;
    t->off_ns = 0;
    return 0;
}

/*
 * Brings the line's end to the stamp of what was decoded. Returns how many of its samples (of its own rate) lie before the
 * end and are to be left out.
 */
static int meet(struct transcode *t, int64_t pts_ns, int samples, struct error *err)
{
    if (!t->anchored) {
        return begin_line(t, pts_ns, err);
    }
    int64_t off = pts_ns - (t->anchor_ns + ns_of(t, line_length(t)));
    if (off > SILENCE_NS) {
        return begin_line(t, pts_ns, err);
    }
    if (off > STRETCH_NS) {
        t->off_ns = 0;
        int r = flush_resampler(t, err);
        off = pts_ns - (t->anchor_ns + ns_of(t, line_length(t)));
        return r < 0 ? r : add_silence(t, ticks_from_ns(off, (uint32_t)t->enc->sample_rate), err);
    }
    if (off < -STRETCH_NS) {
        int64_t early_ns = MIN(-off, SILENCE_NS);
        int64_t early = ticks_from_ns(early_ns, (uint32_t)t->in_rate);
        return (int)MIN(early, (int64_t)samples);
    }
    t->off_ns += (off - t->off_ns) / AVERAGE;
    return t->swr ? stretch(t, err) : 0;
}

/* ---- resampling and decoding ---- */

static int open_resampler(struct transcode *t, AVFrame *f, struct error *err)
{
    int r =
        swr_alloc_set_opts2(&t->swr, &t->enc->ch_layout, t->enc->sample_fmt, t->enc->sample_rate,
                            &f->ch_layout, f->format, f->sample_rate, 0, NULL);
    if (r >= 0) {
        r = swr_init(t->swr);
    }
    if (r < 0) {
        return fail_av(err, "the resampler refuses what was decoded", r);
    }
    t->in_rate = f->sample_rate;
    t->in_format = f->format;
    r = av_channel_layout_copy(&t->in_layout, &f->ch_layout);
    return r < 0 ? fail_av(err, "no room for a layout", r) : 0;
}

static bool is_other_sound(const struct transcode *t, const AVFrame *f)
{
    return t->in_rate != f->sample_rate || t->in_format != f->format ||
           av_channel_layout_compare(&t->in_layout, &f->ch_layout) != 0;
}

/* All of `in` but its first samples, or what is left inside with NULL, into the fifo. */
static int convert(struct transcode *t, const AVFrame *in, int skip, struct error *err)
{
    const uint8_t *planes[AV_NUM_DATA_POINTERS] = {NULL};
    uint8_t *out[AV_NUM_DATA_POINTERS] = {NULL};
    int n_in = in ? in->nb_samples - skip : 0;
    if (in) {
        bool planar = av_sample_fmt_is_planar(in->format);
        int step = av_get_bytes_per_sample(in->format) * (planar ? 1 : in->ch_layout.nb_channels);
        for (int i = 0; i < (planar ? in->ch_layout.nb_channels : 1); i++) {
            planes[i] = in->extended_data[i] + (ptrdiff_t)skip * step;
        }
    }
    int room = swr_get_out_samples(t->swr, n_in);
    int r = room > 0 ? av_samples_alloc(out, NULL, t->enc->ch_layout.nb_channels, room,
                                        t->enc->sample_fmt, 0)
                     : room;
    if (r > 0) {
        r = swr_convert(t->swr, out, room, in ? planes : NULL, n_in);
    }
    if (r > 0) {
        r = av_audio_fifo_write(t->fifo, (void **)out, r);
    }
    av_freep((void *)&out[0]);
    return r < 0 ? fail_av(err, "the resampler failed", r) : 0;
}

static int handle_decoded(struct transcode *t, struct error *err)
{
    AVFrame *f = t->decoded;
    int r = 0;
    if (f->nb_samples <= 0 || f->sample_rate < 1000 || f->sample_rate > 384000 ||
        f->ch_layout.nb_channels < 1 || f->ch_layout.nb_channels > AV_NUM_DATA_POINTERS) {
        return error_set(err, -EINVAL, "", "what was decoded has no sane rate or channels");
    }
    if (t->swr && is_other_sound(t, f)) {
        r = flush_resampler(t, err);
    }
    t->in_rate = f->sample_rate;
    int skip = r < 0 || f->pts == AV_NOPTS_VALUE ? r : meet(t, f->pts, f->nb_samples, err);
    if (skip < 0) {
        return skip;
    }
    if (!t->swr && (r = open_resampler(t, f, err)) < 0) {
        return r;
    }
    r = skip < f->nb_samples ? convert(t, f, skip, err) : 0;
    return r < 0 ? r : encode_whole_frames(t, err);
}

int transcode_feed(struct transcode *t, struct bytes data, int64_t pts_ns, struct error *err)
{
    int r = av_new_packet(t->packet, (int)data.len);
    if (r < 0) {
        return fail_av(err, "no room for a frame", r);
    }
    put_bytes(t->packet->data, data);
    t->packet->pts = t->packet->dts = pts_ns;
    r = avcodec_send_packet(t->dec, t->packet);
    av_packet_unref(t->packet);
    t->refused++;
    while (r >= 0 && (r = avcodec_receive_frame(t->dec, t->decoded)) >= 0) {
        t->refused = 0;
        int e = handle_decoded(t, err);
        av_frame_unref(t->decoded);
        if (e < 0) {
            return e;
        }
    }
    if (t->refused >= REFUSED_MAX) {
        return r < 0 && r != AVERROR(EAGAIN)
                   ? fail_av(err, "the decoder refuses the data", r)
                   : error_set(err, -EINVAL, "", "nothing can be decoded");
    }
    return 0;
}
