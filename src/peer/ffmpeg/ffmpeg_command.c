/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of a relay. Each oddity is there because the plain form fails towards WebRTC viewers; the numbers are in
 * specs/janus-obs-reference.md 3.1 (frames decoded with and without).
 */
#include "peer/ffmpeg/ffmpeg.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ARGS_MAX         1024u /* 16 outputs that are encoded take 565 */
#define TEXT_MAX         4096u
#define PACKET_BYTES     1200 /* SRTP and 1472 do not fit through real networks */
#define PIPE_CHILD       3
#define DEFAULT_TIMEOUT  (10 * INT64_C(1000000000))
#define DEFAULT_VIDEO    2500
#define DEFAULT_AUDIO    64
#define DEFAULT_FPS      30  /* of the key frame interval, where the source's rate is not known */
#define PROGRESS_CHILD_S "1" /* stdout */

static void add(struct ffmpeg_command *c, const char *arg)
{
    assert(c->n + 1 < ARGS_MAX);
    c->argv[c->n++] = mem_strdup(arg);
    c->argv[c->n] = NULL;
}

static void add2(struct ffmpeg_command *c, const char *name, const char *value)
{
    add(c, name);
    add(c, value);
}

__attribute__((format(printf, 3, 4))) static void add_value(struct ffmpeg_command *c,
                                                            const char *name, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add2(c, name, text);
}

/* ---- what is asked ---- */

static const char *video_encoder(const char *codec)
{
    static const char *const known[][2] = {
        {"h264", "libx264"}, {"vp8", "libvpx"}, {"vp9", "libvpx-vp9"}};
    for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(codec, known[i][0]) == 0) {
            return known[i][1];
        }
    }
    return NULL;
}

static const char *audio_encoder(const char *codec)
{
    static const char *const known[][2] = {{"opus", "libopus"},
                                           {"pcmu", "pcm_mulaw"},
                                           {"pcma", "pcm_alaw"},
                                           {"g722", "adpcm_g722"},
                                           {"l16", "pcm_s16be"}};
    for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(codec, known[i][0]) == 0) {
            return known[i][1];
        }
    }
    return NULL;
}

/* Numeric, so that no resolver and no option of the address can come in between. */
static bool is_address(const char *host)
{
    return host[0] != '\0' && strspn(host, "0123456789abcdefABCDEF.:") == strlen(host);
}

static int check_output(const struct ffmpeg_output *o, enum ffmpeg_video video, struct error *err)
{
    if (o->kind == TRACK_VIDEO && !video_encoder(o->codec)) {
        return error_set(err, -EINVAL, "codec", "is none this relay makes: %s", o->codec);
    }
    if (o->kind == TRACK_VIDEO && video == FFMPEG_COPY && strcmp(o->codec, "h264") != 0) {
        return error_set(err, -EINVAL, "codec", "can be copied as h264 only");
    }
    if (o->kind == TRACK_AUDIO && !o->copy_audio && !audio_encoder(o->codec)) {
        return error_set(err, -EINVAL, "codec", "is none this relay makes: %s", o->codec);
    }
    if (!is_address(o->host)) {
        return error_set(err, -EINVAL, "host", "must be a numeric address");
    }
    if (o->port == 0 || o->pt > 127 || o->index > 255) {
        return error_set(err, -EINVAL,
                         o->port == 0  ? "port"
                         : o->pt > 127 ? "pt"
                                       : "index",
                         "is out of range");
    }
    return 0;
}

static bool begins_with_any(const char *text, const char *const *with)
{
    for (; *with; with++) {
        if (strncasecmp(text, *with, strlen(*with)) == 0) {
            return true;
        }
    }
    return false;
}

static int check_scheme(const struct ffmpeg_spec *s, struct error *err)
{
    static const char *const rtmp[] = {"rtmp://", "rtmps://", NULL};
    static const char *const rtsp[] = {"rtsp://", "rtsps://", NULL};
    static const char *const any[] = {"http://", "https://", "srt://", "udp://",
                                      "rtp://",  "tcp://",   "tls://", NULL};
    switch (s->input) {
    case FFMPEG_RTMP:
        return begins_with_any(s->url, rtmp) ? 0
                                             : error_set(err, -EINVAL, "url", "must be of rtmp");
    case FFMPEG_RTSP:
        return begins_with_any(s->url, rtsp) ? 0
                                             : error_set(err, -EINVAL, "url", "must be of rtsp");
    case FFMPEG_URL:
        return begins_with_any(s->url, any)
                   ? 0
                   : error_set(err, -EINVAL, "url", "is of no scheme that this relay opens");
    case FFMPEG_FILE:
        return s->url[0] == '/' ? 0 : error_set(err, -EINVAL, "url", "must be an absolute path");
    case FFMPEG_TEST:
        break;
    }
    return 0;
}

static int check_url(const struct ffmpeg_spec *s, struct error *err)
{
    size_t len = s->url ? strlen(s->url) : 0;
    if (s->input == FFMPEG_TEST) {
        return 0;
    }
    if (len == 0 || len > TEXT_MAX) {
        return error_set(err, -EINVAL, "url", len == 0 ? "is needed" : "is too long");
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)s->url[i] < 0x20 || s->url[i] == 0x7f) {
            return error_set(err, -EINVAL, "url", "has a control character in it");
        }
    }
    return check_scheme(s, err);
}

int ffmpeg_spec_check(const struct ffmpeg_spec *s, struct error *err)
{
    char where[32];
    int r = check_url(s, err);
    if (r < 0) {
        return r;
    }
    if (s->n_outputs == 0 || s->n_outputs > FFMPEG_OUTPUTS_MAX) {
        return error_set(err, -EINVAL, "outputs", "must be 1 to %u", FFMPEG_OUTPUTS_MAX);
    }
    for (unsigned i = 0; i < s->n_outputs; i++) {
        r = check_output(&s->outputs[i], s->video, err);
        if (r < 0) {
            snprintf(where, sizeof(where), "outputs[%u]", i);
            error_prefix(err, where);
            return r;
        }
    }
    return 0;
}

/* ---- input ---- */

/*
 * The concat demuxer reads the URL from an inherited descriptor, so that it is never in argv: the name of a stream may be its
 * key. Measured against the plain form: no packet comes later (RTMP, RTSP over TCP and UDP). It wants the URL quoted as its
 * own lexer does: a quote ends the quoting, is escaped, and begins it anew.
 */
static void put_quoted(struct out *o, const char *text)
{
    out_puts(o, "'");
    for (const char *p = text; *p; p++) {
        if (*p == '\'') {
            out_puts(o, "'\\''");
        } else {
            out_bytes(o, BYTES(p, 1));
        }
    }
    out_puts(o, "'\n");
}

/* What each kind of input may open: a playlist from elsewhere cannot name a file of ours. */
static const char *protocols(enum ffmpeg_input input)
{
    switch (input) {
    case FFMPEG_RTMP:
        return "rtmp,rtmps,tcp,tls,crypto";
    case FFMPEG_RTSP:
        return "rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto";
    case FFMPEG_URL:
        return "http,https,httpproxy,tcp,tls,udp,rtp,srt,crypto";
    case FFMPEG_FILE:
    case FFMPEG_TEST:
        break;
    }
    return "file,crypto";
}

/* What stands before -i is heard by the concat demuxer; the one that it opens hears only the options written here. */
static char *concat_script(const struct ffmpeg_spec *s)
{
    long long timeout_us = (s->timeout_ns ? s->timeout_ns : DEFAULT_TIMEOUT) / 1000;
    _cleanup_(out_done) struct out o = {0};
    out_puts(&o, "ffconcat version 1.0\nfile ");
    if (s->input == FFMPEG_FILE) {
        /* Without the scheme a path is taken relative to the pipe's. */
        _cleanup_free_ char *url = mem_printf("file:%s", s->url);
        put_quoted(&o, url);
    } else {
        put_quoted(&o, s->url);
    }
    out_printf(&o, "option protocol_whitelist %s\n", protocols(s->input));
    if (s->input == FFMPEG_FILE) {
        return out_take_str(&o);
    }
    out_puts(&o, "option fflags nobuffer\noption probesize 1000000\n"
                 "option analyzeduration 1000000\n");
    if (s->input == FFMPEG_RTSP) {
        /* TCP first: cameras behind wireless links lose UDP. `timeout` is that of RTSP's reads. */
        out_printf(&o, "option rtsp_transport %s\noption timeout %lld\n",
                   s->rtsp_udp ? "udp" : "tcp", timeout_us);
    } else {
        /* Not `timeout`: to RTMP that means to listen. UDP hears only that. */
        out_printf(&o, "option rw_timeout %lld\n", timeout_us);
        if (s->input == FFMPEG_URL) {
            out_printf(&o, "option timeout %lld\n", timeout_us);
        }
    }
    return out_take_str(&o);
}

static void add_concat(struct ffmpeg_command *c, const struct ffmpeg_spec *s)
{
    c->pipe_text = concat_script(s);
    c->pipe_child = PIPE_CHILD;
    add2(c, "-f", "concat");
    add2(c, "-safe", "0");
    add2(c, "-protocol_whitelist", "pipe");
    add_value(c, "-i", "pipe:%d", PIPE_CHILD);
}

static void add_test(struct ffmpeg_command *c, const struct ffmpeg_spec *s)
{
    unsigned fps = s->fps ? s->fps : DEFAULT_FPS;
    add(c, "-re");
    add2(c, "-f", "lavfi");
    add_value(c, "-i",
              "testsrc2=size=%ux%u:rate=%u[out0];sine=frequency=440:sample_rate=48000[out1]",
              s->width ? s->width : 640, s->height ? s->height : 360, fps);
}

static void add_input(struct ffmpeg_command *c, const struct ffmpeg_spec *s)
{
    switch (s->input) {
    case FFMPEG_TEST:
        add_test(c, s);
        return;
    case FFMPEG_FILE:
        add(c, "-re");
        break;
    case FFMPEG_RTSP:
    case FFMPEG_RTMP:
    case FFMPEG_URL:
        add2(c, "-fflags", "nobuffer");
        add2(c, "-flags", "low_delay");
        break;
    }
    add_concat(c, s);
}

/* ---- outputs ---- */

static void add_h264(struct ffmpeg_command *c, const struct ffmpeg_spec *s, unsigned fps)
{
    add2(c, "-preset", s->preset ? s->preset : "veryfast");
    add2(c, "-tune", "zerolatency"); /* no B pictures: WebRTC decoders show 12 of 163 with them */
    add2(c, "-profile:v", "baseline");
    add2(c, "-pix_fmt", "yuv420p");
    add2(c, "-sc_threshold", "0");
    add_value(c, "-keyint_min", "%u", fps);
}

static void add_encoder(struct ffmpeg_command *c, const struct ffmpeg_spec *s,
                        const struct ffmpeg_output *o)
{
    unsigned kbps = s->video_kbps ? s->video_kbps : DEFAULT_VIDEO;
    unsigned fps = s->fps ? s->fps : DEFAULT_FPS;
    add2(c, "-c:v", video_encoder(o->codec));
    if (strcmp(o->codec, "h264") == 0) {
        add_h264(c, s, fps);
    } else {
        add2(c, "-deadline", "realtime");
        add2(c, "-cpu-used", "8");
    }
    if (s->width && s->height) {
        add_value(c, "-s", "%ux%u", s->width, s->height);
    }
    if (s->fps) {
        add_value(c, "-r", "%u", s->fps);
    }
    /* ffmpeg hears no PLI: only a short group lets a late viewer in. */
    add_value(c, "-g", "%u", fps);
    add_value(c, "-b:v", "%uk", kbps);
    add_value(c, "-maxrate", "%uk", kbps);
    add_value(c, "-bufsize", "%uk", kbps);
}

static void add_video(struct ffmpeg_command *c, const struct ffmpeg_spec *s,
                      const struct ffmpeg_output *o)
{
    add_value(c, "-map", "0:v:%u", o->index);
    add(c, "-an"); /* without, a missing track is replaced by whatever there is */
    if (s->video == FFMPEG_ENCODE) {
        add_encoder(c, s, o);
        return;
    }
    add2(c, "-c:v", "copy");
    /* RTMP has its parameter sets outside the stream; RTSP has them in it, and not before each key frame. */
    add2(c, "-bsf:v", s->input == FFMPEG_RTSP ? "dump_extra=freq=keyframe" : "h264_mp4toannexb");
}

static void add_audio(struct ffmpeg_command *c, const struct ffmpeg_spec *s,
                      const struct ffmpeg_output *o)
{
    bool opus = strcmp(o->codec, "opus") == 0;
    bool l16 = strcmp(o->codec, "l16") == 0;
    add_value(c, "-map", "0:a:%u", o->index);
    add(c, "-vn");
    if (o->copy_audio) {
        add2(c, "-c:a", "copy");
        return;
    }
    /* Without it a quarter of the audio of an RTMP source is concealed by the viewer. */
    add2(c, "-af", "aresample=async=1:min_hard_comp=0.100:first_pts=0");
    add2(c, "-c:a", audio_encoder(o->codec));
    add2(c, "-ar", opus || l16 ? "48000" : strcmp(o->codec, "g722") == 0 ? "16000" : "8000");
    add2(c, "-ac", opus || l16 ? "2" : "1");
    if (opus) {
        add_value(c, "-b:a", "%uk", s->audio_kbps ? s->audio_kbps : DEFAULT_AUDIO);
        add2(c, "-application", "lowdelay");
        add2(c, "-frame_duration", "20");
    }
}

static void add_output(struct ffmpeg_command *c, const struct ffmpeg_spec *s,
                       const struct ffmpeg_output *o)
{
    char url[128];
    bool v6 = strchr(o->host, ':') != NULL;
    if (o->kind == TRACK_VIDEO) {
        add_video(c, s, o);
    } else {
        add_audio(c, s, o);
    }
    /* No -ssrc: a relay that comes back with the one it had freezes every viewer. */
    add_value(c, "-payload_type", "%u", o->pt);
    add2(c, "-f", "rtp");
    snprintf(url, sizeof(url), "rtp://%s%s%s:%u?pkt_size=%d", v6 ? "[" : "", o->host, v6 ? "]" : "",
             o->port, PACKET_BYTES);
    add(c, url);
}

int ffmpeg_command_make(const struct ffmpeg_spec *s, struct ffmpeg_command *ret, struct error *err)
{
    int r = ffmpeg_spec_check(s, err);
    if (r < 0) {
        return r;
    }
    *ret = (struct ffmpeg_command){.argv = mem_new_array(char *, ARGS_MAX)};
    add(ret, "ffmpeg");
    add(ret, "-nostdin");
    add(ret, "-hide_banner");
    add2(ret, "-loglevel", "warning");
    add2(ret, "-progress", "pipe:" PROGRESS_CHILD_S);
    add(ret, "-nostats");
    add_input(ret, s);
    for (unsigned i = 0; i < s->n_outputs; i++) {
        add_output(ret, s, &s->outputs[i]);
    }
    return 0;
}

void ffmpeg_command_done(struct ffmpeg_command *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        free(c->argv[i]);
    }
    free(c->argv);
    free(c->pipe_text);
    *c = (struct ffmpeg_command){0};
}
