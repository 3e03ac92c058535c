/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline of a relay, as words for gst-launch-1.0:
 *
 *   source ─► branch of each source track ─► [decode ─► convert ─► encode] ─► progressreport ─► pay ─► udpsink
 *
 * with what is known to work towards WebRTC viewers (specs/janus-obs-reference.md 3.2): no B pictures, a key frame a second,
 * parameter sets before each, packets of 1200 bytes. The payloaders choose another SSRC at each start by themselves.
 */
#include "peer/gstreamer/gstreamer.h"

#include "base/bytes.h"
#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX           4096u
#define INDEX_MAX          15u
#define DEFAULT_LATENCY_MS 100u
#define DEFAULT_FPS        30u
#define DEFAULT_VIDEO      2500u
#define DEFAULT_AUDIO      64u
#define PACKET_BYTES       1200u /* SRTP and 1472 do not fit through real networks */
#define PROGRAM            "gst-launch-1.0"
#define QUEUE              " ! queue max-size-time=2000000000 max-size-bytes=0 max-size-buffers=0"
/* Writes a line a second as long as something passes. */
#define REPORT " ! progressreport update-freq=1 do-query=false silent=false format=time"
#define SINK   "sync=false async=false"

struct chain {
    const char *name;
    enum track_kind kind;
    const char *caps; /* what its encoder wants; audio only */
    const char *encode;
    const char *depay; /* to copy it from RTSP */
    const char *pay;
};

static const struct chain codecs[] = {
    {"h264", TRACK_VIDEO, NULL, "x264enc", "rtph264depay ! h264parse config-interval=-1",
     "rtph264pay config-interval=-1 aggregate-mode=zero-latency"},
    {"vp8", TRACK_VIDEO, NULL, "vp8enc", "rtpvp8depay", "rtpvp8pay picture-id-mode=15-bit"},
    {"vp9", TRACK_VIDEO, NULL, "vp9enc", "rtpvp9depay", "rtpvp9pay picture-id-mode=15-bit"},
    {"opus", TRACK_AUDIO, "rate=48000,channels=2", "opusenc", "rtpopusdepay", "rtpopuspay"},
    {"pcmu", TRACK_AUDIO, "rate=8000,channels=1", "mulawenc", "rtppcmudepay", "rtppcmupay"},
    {"pcma", TRACK_AUDIO, "rate=8000,channels=1", "alawenc", "rtppcmadepay", "rtppcmapay"},
    {"g722", TRACK_AUDIO, "rate=16000,channels=1", "avenc_g722", "rtpg722depay", "rtpg722pay"},
};

static const struct chain *find_codec(const struct gstreamer_output *o)
{
    for (unsigned i = 0; i < ARRAY_LEN(codecs); i++) {
        if (codecs[i].kind == o->kind && strcmp(codecs[i].name, o->codec) == 0) {
            return &codecs[i];
        }
    }
    return NULL;
}

static bool copies(const struct gstreamer_spec *s, enum track_kind kind)
{
    return kind == TRACK_VIDEO ? s->copy_video : s->copy_audio;
}

/* ---- words ---- */

static void add_word(struct gstreamer_command *c, const char *word, size_t len)
{
    if (c->n < GSTREAMER_WORDS_MAX) {
        c->argv[c->n++] = mem_strndup(word, len);
        c->argv[c->n] = NULL;
    }
}

/* Text of ours: blanks part words. */
__attribute__((format(printf, 2, 3))) static void add(struct gstreamer_command *c, const char *fmt,
                                                      ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (char *save = NULL, *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        add_word(c, w, strlen(w));
    }
}

/*
 * Text of others. gst-launch joins its words again and parses the whole, so all but the plainest characters stand behind a
 * backslash. Joining puts one before blanks by itself, until it has seen a double quote.
 */
static void add_value(struct gstreamer_command *c, const char *name, const char *value)
{
    _cleanup_(out_done) struct out o = {0};
    bool quote = false;
    out_printf(&o, "%s=", name);
    for (const char *p = value; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("_-+/:.", *p) && (*p != ' ' || quote)) {
            out_u8(&o, '\\');
        }
        out_u8(&o, (uint8_t)*p);
        quote |= *p == '"';
    }
    add_word(c, (const char *)o.data, o.len);
}

/* ---- what is asked ---- */

static int check_text(const char *text, const char *where, struct error *err)
{
    size_t len = text ? strnlen(text, TEXT_MAX + 1) : 0;
    if (len > TEXT_MAX) {
        return error_set(err, -EINVAL, where, "is too long");
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return error_set(err, -EINVAL, where, "has a control character in it");
        }
    }
    return 0;
}

static bool has_scheme(const char *url, const char *const *schemes)
{
    for (; *schemes; schemes++) {
        if (strncasecmp(url, *schemes, strlen(*schemes)) == 0) {
            return true;
        }
    }
    return false;
}

static int check_url(const struct gstreamer_spec *s, struct error *err)
{
    static const char *const rtmp[] = {"rtmp://", "rtmps://", NULL};
    static const char *const rtsp[] = {"rtsp://", "rtsps://", NULL};
    static const char *const any[] = {"rtsp://",  "rtsps://", "rtmp://", "rtmps://", "http://",
                                      "https://", "srt://",   "udp://",  "rtp://",   NULL};
    const char *const *schemes = s->input == GSTREAMER_RTMP   ? rtmp
                                 : s->input == GSTREAMER_RTSP ? rtsp
                                                              : any;
    if (s->input == GSTREAMER_TEST) {
        return 0;
    }
    if (!s->url || !s->url[0]) {
        return error_set(err, -EINVAL, "url", "is needed");
    }
    int r = check_text(s->url, "url", err);
    r = r < 0 ? r : check_text(s->user, "user", err);
    r = r < 0 ? r : check_text(s->password, "password", err);
    if (r == 0 && !has_scheme(s->url, schemes)) {
        return error_set(err, -EINVAL, "url", "is of no scheme that this input takes");
    }
    return r;
}

/* Numeric, so that no resolver and nothing of the pipeline's grammar can come in between. */
static bool is_address(const char *host)
{
    return host[0] != '\0' && strspn(host, "0123456789abcdefABCDEF.:") == strlen(host);
}

static int check_copy(const struct gstreamer_spec *s, const struct gstreamer_output *o,
                      struct error *err)
{
    bool h264 = strcmp(o->codec, "h264") == 0;
    if (!copies(s, o->kind) || s->input == GSTREAMER_RTSP || (s->input == GSTREAMER_RTMP && h264)) {
        return 0;
    }
    return error_set(err, -EINVAL, "codec", "cannot be copied from this input: %s", o->codec);
}

static int check_output(const struct gstreamer_spec *s, const struct gstreamer_output *o,
                        struct error *err)
{
    if (!find_codec(o)) {
        return error_set(err, -EINVAL, "codec", "is none this relay makes: %s", o->codec);
    }
    if (!is_address(o->host)) {
        return error_set(err, -EINVAL, "host", "must be a numeric address");
    }
    if (o->port == 0 || o->pt > 127) {
        return error_set(err, -EINVAL, o->port == 0 ? "port" : "pt", "is out of range");
    }
    /* FLV has one of each. The pads of rtspsrc come in the order of the first packets: nobody can count by them. */
    bool counts = s->input == GSTREAMER_URI || s->input == GSTREAMER_TEST;
    if (o->index > (counts ? INDEX_MAX : 0)) {
        return error_set(err, -EINVAL, "index", "is more than this input has");
    }
    return check_copy(s, o, err);
}

static int check(const struct gstreamer_spec *s, struct error *err)
{
    char where[32];
    int r = check_url(s, err);
    if (r == 0 && (s->n_outputs == 0 || s->n_outputs > GSTREAMER_OUTPUTS_MAX)) {
        return error_set(err, -EINVAL, "outputs", "must be 1 to %u", GSTREAMER_OUTPUTS_MAX);
    }
    for (unsigned i = 0; r == 0 && i < s->n_outputs; i++) {
        r = check_output(s, &s->outputs[i], err);
        if (r < 0) {
            snprintf(where, sizeof(where), "outputs[%u]", i);
            error_prefix(err, where);
        }
    }
    return r;
}

/* ---- the source and its branches ---- */

static void add_source(struct gstreamer_command *c, const struct gstreamer_spec *s)
{
    switch (s->input) {
    case GSTREAMER_RTMP:
        add(c, "rtmp2src");
        add_value(c, "location", s->url);
        add(c, "! flvdemux name=in");
        break;
    case GSTREAMER_RTSP:
        add(c, "rtspsrc name=in latency=%u protocols=%s",
            s->latency_ms ? s->latency_ms : DEFAULT_LATENCY_MS, s->rtsp_udp ? "udp" : "tcp");
        add_value(c, "location", s->url);
        if (s->user) {
            add_value(c, "user-id", s->user);
            add_value(c, "user-pw", s->password ? s->password : "");
        }
        break;
    case GSTREAMER_URI:
        add(c, "uridecodebin name=in");
        add_value(c, "uri", s->url);
        break;
    case GSTREAMER_TEST:
        break;
    }
}

/* The nth track of its kind is what the nth branch gets: links that wait for a pad are made in their order. */
static void add_branch(struct gstreamer_command *c, const struct gstreamer_spec *s,
                       enum track_kind kind)
{
    bool video = kind == TRACK_VIDEO;
    const char *name = video ? "video" : "audio";
    switch (s->input) {
    case GSTREAMER_RTMP:
        add(c, "in.%s" QUEUE, name);
        break;
    case GSTREAMER_RTSP:
        add(c, "in. ! application/x-rtp,media=%s" QUEUE, name);
        break;
    case GSTREAMER_URI:
        add(c, "in. ! %s/x-raw" QUEUE, name);
        break;
    case GSTREAMER_TEST:
        if (video) {
            add(c,
                "videotestsrc is-live=true pattern=ball ! "
                "video/x-raw,width=%u,height=%u,framerate=%u/1",
                s->width ? s->width : 640, s->height ? s->height : 360,
                s->fps ? s->fps : DEFAULT_FPS);
        } else {
            add(c, "audiotestsrc is-live=true freq=440");
        }
        break;
    }
}

/* To raw pictures and sound, or to frames of the codec that is copied. */
static void add_decoder(struct gstreamer_command *c, const struct gstreamer_spec *s,
                        const struct gstreamer_output *o)
{
    bool video = o->kind == TRACK_VIDEO;
    if (copies(s, o->kind)) {
        add(c, "! %s",
            s->input == GSTREAMER_RTSP ? find_codec(o)->depay : "h264parse config-interval=-1");
    } else if (s->input == GSTREAMER_RTMP) {
        add(c, video ? "! h264parse ! avdec_h264" : "! aacparse ! avdec_aac");
    } else if (s->input == GSTREAMER_RTSP) {
        add(c, "! decodebin");
    }
}

/* ---- outputs ---- */

static void add_video_encoder(struct gstreamer_command *c, const struct gstreamer_spec *s,
                              const struct chain *codec)
{
    unsigned kbps = s->video_kbps ? s->video_kbps : DEFAULT_VIDEO;
    unsigned fps = s->fps ? s->fps : DEFAULT_FPS;
    char size[64] = "";
    char rate[32] = "";
    if (s->width && s->height) {
        snprintf(size, sizeof(size), ",width=%u,height=%u", s->width, s->height);
    }
    if (s->fps) {
        snprintf(rate, sizeof(rate), ",framerate=%u/1", s->fps);
    }
    add(c, "! videoconvert ! videoscale ! videorate ! video/x-raw,format=I420%s%s !", size, rate);
    /* gst-launch hears no PLI: only a short group lets a late viewer in. */
    if (strcmp(codec->name, "h264") == 0) {
        add(c,
            "x264enc tune=zerolatency speed-preset=veryfast byte-stream=true bitrate=%u "
            "key-int-max=%u ! video/x-h264,profile=constrained-baseline",
            kbps, fps);
    } else {
        add(c, "%s deadline=1 cpu-used=8 end-usage=cbr target-bitrate=%u keyframe-max-dist=%u",
            codec->encode, kbps * 1000, fps);
    }
}

static void add_audio_encoder(struct gstreamer_command *c, const struct gstreamer_spec *s,
                              const struct chain *codec)
{
    add(c, "! audioconvert ! audioresample ! audio/x-raw,%s ! %s", codec->caps, codec->encode);
    if (strcmp(codec->name, "opus") == 0) {
        add(c, "bitrate=%u frame-size=20 inband-fec=true",
            (s->audio_kbps ? s->audio_kbps : DEFAULT_AUDIO) * 1000);
    }
}

static void add_output(struct gstreamer_command *c, const struct gstreamer_spec *s,
                       const struct gstreamer_output *o)
{
    const struct chain *codec = find_codec(o);
    if (!copies(s, o->kind)) {
        if (o->kind == TRACK_VIDEO) {
            add_video_encoder(c, s, codec);
        } else {
            add_audio_encoder(c, s, codec);
        }
    }
    add(c, REPORT " ! %s pt=%u mtu=%u ! udpsink host=%s port=%u " SINK, codec->pay, o->pt,
        PACKET_BYTES, o->host, o->port);
}

/* What goes where of the nth track of a kind; nothing of it: it is thrown away, to be the nth nevertheless. */
static void add_track(struct gstreamer_command *c, const struct gstreamer_spec *s,
                      enum track_kind kind, unsigned index)
{
    const struct gstreamer_output *to[GSTREAMER_OUTPUTS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < s->n_outputs; i++) {
        if (s->outputs[i].kind == kind && s->outputs[i].index == index) {
            to[n++] = &s->outputs[i];
        }
    }
    if (n == 0 && s->input == GSTREAMER_TEST) {
        return;
    }
    add_branch(c, s, kind);
    if (n == 0) {
        add(c, "! fakesink " SINK);
        return;
    }
    add_decoder(c, s, to[0]);
    if (n == 1) {
        add_output(c, s, to[0]);
        return;
    }
    add(c, "! tee name=tee%d_%u", (int)kind, index);
    for (unsigned i = 0; i < n; i++) {
        add(c, "tee%d_%u." QUEUE, (int)kind, index);
        add_output(c, s, to[i]);
    }
}

static void add_tracks(struct gstreamer_command *c, const struct gstreamer_spec *s,
                       enum track_kind kind)
{
    int last = -1;
    for (unsigned i = 0; i < s->n_outputs; i++) {
        if (s->outputs[i].kind == kind) {
            last = MAX(last, (int)s->outputs[i].index);
        }
    }
    for (int index = 0; index <= last; index++) {
        add_track(c, s, kind, (unsigned)index);
    }
}

/* ---- whole commands ---- */

/* RTMP: the name of the stream may be its key. */
static bool url_is_secret(const char *url)
{
    size_t authority = strcspn(url, ":") + 3;
    const char *host = strlen(url) > authority ? url + authority : "";
    return strncasecmp(url, "rtmp", 4) == 0 || memchr(host, '@', strcspn(host, "/?#")) != NULL ||
           strchr(url, '?') != NULL;
}

static bool word_is_secret(const char *word)
{
    static const char *const names[] = {
        "user-pw=", "password=", "passphrase=", "proxy-pw=", "secret", "token"};
    const char *scheme = strstr(word, "://");
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasestr(word, names[i])) {
            return true;
        }
    }
    for (; scheme && scheme > word && isalnum((unsigned char)scheme[-1]); scheme--) {
    }
    return scheme && url_is_secret(scheme);
}

static void begin(struct gstreamer_command *c)
{
    *c = (struct gstreamer_command){.argv = mem_new_array(char *, GSTREAMER_WORDS_MAX + 1)};
    add(c, PROGRAM " -q");
}

/* Documented pipelines begin with the program and its harmless options. Its others read files and load libraries. */
static bool is_harmless(const char *word, unsigned at)
{
    static const char *const known[] = {"-q", "-e", "-v", "-m"};
    for (unsigned i = 0; i < ARRAY_LEN(known); i++) {
        if (strcmp(word, known[i]) == 0) {
            return true;
        }
    }
    return at == 0 && strcmp(word, PROGRAM) == 0;
}

static int make_own(const struct gstreamer_spec *s, struct gstreamer_command *ret,
                    struct error *err)
{
    char **words;
    unsigned n;
    int r = gstreamer_split(s->pipeline, &words, &n, err);
    if (r < 0) {
        return r;
    }
    begin(ret);
    for (unsigned i = 0; i < n && r == 0; i++) {
        if (is_harmless(words[i], i)) {
            continue;
        }
        if (words[i][0] == '-') {
            r = error_set(err, -EINVAL, "pipeline", "takes no options of " PROGRAM);
        } else if (ret->n == GSTREAMER_WORDS_MAX) {
            r = error_set(err, -E2BIG, "pipeline", "has more than %u words",
                          GSTREAMER_WORDS_MAX - 2);
        } else {
            add_word(ret, words[i], strlen(words[i]));
            ret->secret_visible |= word_is_secret(words[i]);
        }
    }
    if (r == 0 && ret->n == 2) {
        r = error_set(err, -EINVAL, "pipeline", "is empty");
    }
    for (unsigned i = 0; i < n; i++) {
        free(words[i]);
    }
    free(words);
    if (r < 0) {
        gstreamer_command_done(ret);
    }
    return r;
}

int gstreamer_command_make(const struct gstreamer_spec *s, struct gstreamer_command *ret,
                           struct error *err)
{
    if (s->pipeline) {
        return make_own(s, ret, err);
    }
    int r = check(s, err);
    if (r < 0) {
        return r;
    }
    begin(ret);
    add_source(ret, s);
    add_tracks(ret, s, TRACK_VIDEO);
    add_tracks(ret, s, TRACK_AUDIO);
    ret->secret_visible = s->input != GSTREAMER_TEST && (s->password || url_is_secret(s->url));
    return 0;
}

void gstreamer_command_done(struct gstreamer_command *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        free(c->argv[i]);
    }
    free(c->argv);
    *c = (struct gstreamer_command){0};
}
