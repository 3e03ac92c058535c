/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A test publisher: sends a fragmented MP4 made by ffmpeg to an RTMP server, with the codecs that ffmpeg 5.1 cannot put into
 * FLV as Enhanced RTMP v2. The message bodies are written here from the specification, not by media/flv.c, so that the two
 * check each other.
 *
 *   ffmpeg ... -movflags empty_moov+default_base_moof+frag_keyframe x.mp4
 *   rtmp_publish [--fast] [--loop N] [--enhanced] rtmp://127.0.0.1/live/x x.mp4
 *
 * --fast sends without waiting for the clock; --enhanced names H.264 and AAC by FourCC too. The second and later tracks of a
 * kind go as E-RTMP multitrack, each in messages of its own. Exit 0 = all was sent.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mp4_samples.h"
#include "protocol/rtmp/rtmp_client.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#define STEP_MS        5
#define FAST_QUEUE_MAX (1 << 20)

struct publisher {
    struct loop *loop;
    struct rtmp_client *client;
    struct loop_timer *timer;
    struct mp4_file file;
    bool fast;
    bool enhanced;
    bool leaving;
    unsigned loops;
    unsigned round;
    size_t next;
    int64_t begun_ns;
    int result;
    struct out body;
};

static const char *const FOURCCS[CODEC_N] = {
    [CODEC_H264] = "avc1", [CODEC_HEVC] = "hvc1", [CODEC_AV1] = "av01", [CODEC_VP9] = "vp09",
    [CODEC_AAC] = "mp4a",  [CODEC_OPUS] = "Opus", [CODEC_MP3] = ".mp3",
};

/* Of multitrack: how many of its kind are before it in the file. */
static uint8_t track_id(const struct publisher *p, unsigned track)
{
    uint8_t id = 0;
    for (unsigned i = 0; i < track; i++) {
        if (codec_kind(p->file.tracks[i].codec) == codec_kind(p->file.tracks[track].codec)) {
            id++;
        }
    }
    return id;
}

static bool is_legacy(const struct publisher *p, unsigned track)
{
    enum codec c = p->file.tracks[track].codec;
    return !p->enhanced && track_id(p, track) == 0 && (c == CODEC_H264 || c == CODEC_AAC);
}

/* flags: ExHeader and frame type, or sound format 9. Tracks but the first are multitrack messages of one track each. */
static void put_ex_head(struct publisher *p, unsigned track, unsigned flags, unsigned packet_type)
{
    enum codec c = p->file.tracks[track].codec;
    uint8_t id = track_id(p, track);
    if (id == 0) {
        out_u8(&p->body, (uint8_t)(flags | packet_type));
        out_puts(&p->body, FOURCCS[c]);
        return;
    }
    out_u8(&p->body, (uint8_t)(flags | (codec_kind(c) == TRACK_VIDEO ? 6 : 5)));
    out_u8(&p->body, (uint8_t)packet_type); /* OneTrack */
    out_puts(&p->body, FOURCCS[c]);
    out_u8(&p->body, id);
}

static void put_cts(struct out *o, int64_t cts_ns)
{
    out_u24be(o, (uint32_t)((cts_ns + 500000) / 1000000) & 0xffffff);
}

/* dOps (Opus in ISOBMFF 4.3.2) is big-endian where the identification header of RFC 7845 5.1 is little-endian. */
static void put_opus_head(struct out *o, struct bytes dops)
{
    struct rd r = rd_init(dops);
    out_puts(o, "OpusHead");
    out_u8(o, 1);
    rd_skip(&r, 1);
    out_u8(o, rd_u8(&r));
    const uint16_t preskip = rd_u16be(&r);
    const uint32_t rate = rd_u32be(&r);
    const uint16_t gain = rd_u16be(&r);
    out_u8(o, (uint8_t)preskip);
    out_u8(o, (uint8_t)(preskip >> 8));
    put_u32le(out_extend(o, 4), rate);
    out_u8(o, (uint8_t)gain);
    out_u8(o, (uint8_t)(gain >> 8));
    out_bytes(o, rd_bytes(&r, rd_left(&r)));
}

static void send_config(struct publisher *p, unsigned track, uint32_t timestamp)
{
    const struct mp4_track *t = &p->file.tracks[track];
    const bool video = codec_kind(t->codec) == TRACK_VIDEO;
    p->body.len = 0;
    if (is_legacy(p, track)) {
        out_u16be(&p->body, video ? 0x1700 : 0xaf00);
        if (video) {
            put_cts(&p->body, 0);
        }
    } else {
        put_ex_head(p, track, 0x90, 0); /* key frame; SequenceStart */
    }
    if (t->codec == CODEC_OPUS) {
        put_opus_head(&p->body, t->config);
    } else if (t->codec != CODEC_MP3) {
        out_bytes(&p->body, t->config);
    }
    if (t->codec != CODEC_MP3) {
        rtmp_client_send(p->client, video ? RTMP_VIDEO : RTMP_AUDIO, timestamp, out_view(&p->body));
    }
}

static void send_sample(struct publisher *p, const struct mp4_sample *s, int64_t dts_ns)
{
    const enum codec codec = p->file.tracks[s->track].codec;
    const bool video = codec_kind(codec) == TRACK_VIDEO;
    const bool has_cts = codec == CODEC_H264 || codec == CODEC_HEVC;
    p->body.len = 0;
    if (is_legacy(p, s->track)) {
        out_u16be(&p->body, !video ? 0xaf01 : s->key ? 0x1701 : 0x2701);
        if (video) {
            put_cts(&p->body, s->cts_ns);
        }
    } else if (video) {
        /* CodedFramesX where there is no composition time to say, CodedFrames else. */
        const bool x = has_cts && s->cts_ns == 0;
        put_ex_head(p, s->track, 0x80u | (s->key ? 1u : 2u) << 4, x ? 3 : 1);
        if (has_cts && !x) {
            put_cts(&p->body, s->cts_ns);
        }
    } else {
        put_ex_head(p, s->track, 0x90, 1);
    }
    out_bytes(&p->body, s->data);
    rtmp_client_send(p->client, video ? RTMP_VIDEO : RTMP_AUDIO,
                     (uint32_t)((dts_ns + 500000) / 1000000), out_view(&p->body));
}

static void send_metadata(struct publisher *p)
{
    _cleanup_(out_done) struct out meta = {0};
    amf_begin_ecma_array(&meta, 4);
    for (unsigned i = 0; i < p->file.n_tracks; i++) {
        const struct mp4_track *t = &p->file.tracks[i];
        const char *f = FOURCCS[t->codec];
        const double fourcc = (double)((uint32_t)f[0] << 24 | (uint32_t)f[1] << 16 |
                                       (uint32_t)f[2] << 8 | (uint32_t)f[3]);
        const bool video = codec_kind(t->codec) == TRACK_VIDEO;
        if (track_id(p, i) > 0) {
            continue; /* metadata knows one of each kind */
        }
        amf_put_member_number(&meta, video ? "videocodecid" : "audiocodecid",
                              !is_legacy(p, i) ? fourcc
                              : video          ? 7
                                               : 10);
        if (video) {
            amf_put_member_number(&meta, "width", t->width);
            amf_put_member_number(&meta, "height", t->height);
        }
    }
    amf_end(&meta);
    rtmp_client_send_metadata(p->client, out_view(&meta));
}

static void finish(struct publisher *p, int result)
{
    p->result = result;
    p->client = rtmp_client_close(p->client);
    p->leaving = true;
    loop_timer_start(p->timer, 200); /* for the leave-taking */
}

static void on_timer(void *user)
{
    struct publisher *p = user;
    if (p->leaving) {
        loop_stop(p->loop);
        return;
    }
    const int64_t elapsed = clock_mono_ns() - p->begun_ns;
    while (p->round < p->loops) {
        const struct mp4_sample *s = &p->file.samples[p->next];
        const int64_t dts_ns = s->dts_ns + p->round * p->file.duration_ns;
        if (p->fast ? rtmp_client_queued(p->client) > FAST_QUEUE_MAX : dts_ns > elapsed) {
            break;
        }
        send_sample(p, s, dts_ns);
        if (++p->next == p->file.n_samples) {
            p->next = 0;
            p->round++;
        }
    }
    if (p->round == p->loops && rtmp_client_queued(p->client) == 0) {
        finish(p, 0);
        return;
    }
    loop_timer_start(p->timer, STEP_MS);
}

static void on_started(void *user)
{
    struct publisher *p = user;
    p->begun_ns = clock_mono_ns();
    send_metadata(p);
    for (unsigned i = 0; i < p->file.n_tracks; i++) {
        send_config(p, i, 0);
    }
    loop_timer_start(p->timer, 0);
}

static void on_close(void *user, int r, const char *why)
{
    fprintf(stderr, "rtmp_publish: %s\n", why);
    finish(user, -1);
}

static int usage(void)
{
    fputs("usage: rtmp_publish [--fast] [--loop N] [--enhanced] URL FILE\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct rtmp_client_ops ops = {.on_started = on_started, .on_close = on_close};
    struct publisher p = {.loops = 1};
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        if (strcmp(argv[i], "--fast") == 0) {
            p.fast = true;
        } else if (strcmp(argv[i], "--enhanced") == 0) {
            p.enhanced = true;
        } else if (strcmp(argv[i], "--loop") == 0 && i + 1 < argc) {
            p.loops = (unsigned)strtoul(argv[++i], NULL, 10);
        } else {
            return usage();
        }
    }
    if (argc - i != 2) {
        return usage();
    }
    signal(SIGPIPE, SIG_IGN);
    log_configure("warn", false);
    struct error err = {0};
    const struct rtmp_client_config config = {.publish = true, .url = argv[i]};
    p.loop = loop_new("publish", LOOP_CONTROL);
    p.timer = loop_timer_new(p.loop, on_timer, &p);
    p.result = mp4_file_open(argv[i + 1], &p.file, &err);
    if (p.result == 0) {
        p.client = rtmp_client_open(p.loop, &config, &ops, &p, &err);
    }
    if (p.client) {
        loop_run(p.loop);
    } else {
        fprintf(stderr, "rtmp_publish: %s %s\n", err.where, err.text);
        p.result = -1;
    }
    loop_timer_free(p.timer);
    loop_free(p.loop);
    mp4_file_done(&p.file);
    out_done(&p.body);
    return p.result < 0;
}
