/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The playing half of a session: a cursor, and what has to be said around the samples.
 *
 * RTMP as players know it has one video and one audio track. Of each kind the first track in a codec goes out that this
 * player can take: those RTMP always had (H.264, AAC, MP3), and those it announced in connect. When a kind has none of
 * these its first track is sent all the same, in Enhanced RTMP: players from ffmpeg 6.1 on read it without having said so.
 */
#include "base/log.h"
#include "media/flv.h"
#include "protocol/rtmp/rtmp_form.h"
#include "protocol/rtmp/rtmp_session.h"

LOG_TOPIC(topic, "rtmp.play");

#define NOTSENT_LOWAT 65536
#define PING_MS       30000
#define LEGACY_CODECS (1u << CODEC_H264 | 1u << CODEC_AAC | 1u << CODEC_MP3)

struct rtmp_play {
    struct reader *reader;
    enum reader_state state;
    bool was_live;
    bool paused;                             /* by the player */
    bool headers_due;                        /* LIVE, and the tracks are not announced yet */
    bool muted[TRACK_KIND_N];                /* by receiveAudio and receiveVideo */
    int track[TRACK_KIND_N];                 /* index in the stream, -1 = none */
    struct track_params *sent[TRACK_KIND_N]; /* whose configuration the player has; owned */
    int64_t state_since_ns;
    int64_t ping_ns;
};

static void write_status(struct rtmp_session *s, bool error, const char *code, const char *text)
{
    rtmp_write_status(&s->tx, RTMP_STREAM_ID, error, code, text, RTMP_OUT_CHUNK_SIZE);
}

/* ---- headers ---- */

static void choose_tracks(struct rtmp_session *s, const struct track_params *const *tracks,
                          unsigned n)
{
    struct rtmp_play *p = s->play;
    const uint32_t able = LEGACY_CODECS | s->wire.codecs;
    for (unsigned kind = 0; kind < TRACK_KIND_N; kind++) {
        p->track[kind] = -1;
        bool sure = false;
        for (unsigned i = 0; i < n && !sure; i++) {
            if (!tracks[i] || tracks[i]->kind != kind) {
                continue;
            }
            sure = able & 1u << tracks[i]->codec;
            if (sure || p->track[kind] < 0) {
                p->track[kind] = (int)i;
            }
        }
    }
}

static void set_sent(struct rtmp_play *p, enum track_kind kind, const struct track_params *params)
{
    track_params_unref(&p->sent[kind]);
    p->sent[kind] = params ? track_params_ref((struct track_params *)params) : NULL;
}

static void write_metadata(struct rtmp_session *s)
{
    const struct track_params *tracks[TRACK_KIND_N];
    for (unsigned kind = 0; kind < TRACK_KIND_N; kind++) {
        tracks[kind] = s->play->sent[kind];
    }
    rtmp_write_metadata(&s->tx, tracks);
}

/* Before the first sample after the stream went live: all there is to say, at the time of that sample. */
static void write_headers(struct rtmp_session *s, int64_t dts_ns)
{
    struct rtmp_play *p = s->play;
    const struct track_params *tracks[TRACKS_MAX];
    const unsigned n = reader_tracks(p->reader, tracks);
    choose_tracks(s, tracks, n);
    for (unsigned kind = 0; kind < TRACK_KIND_N; kind++) {
        set_sent(p, kind, p->track[kind] < 0 ? NULL : tracks[p->track[kind]]);
    }
    write_metadata(s);
    for (unsigned kind = 0; kind < TRACK_KIND_N; kind++) {
        if (p->sent[kind]) {
            rtmp_write_sequence_start(&s->tx, p->sent[kind], flv_timestamp_ms(dts_ns));
        }
    }
    p->headers_due = false;
}

/* The player has another configuration than this sample needs. */
static void write_change(struct rtmp_session *s, const struct sample *sample)
{
    const enum track_kind kind = sample->params->kind;
    set_sent(s->play, kind, sample->params);
    write_metadata(s);
    rtmp_write_sequence_start(&s->tx, sample->params, flv_timestamp_ms(sample->dts_ns));
}

/* ---- samples ---- */

static bool is_wanted(const struct rtmp_play *p, const struct sample *sample)
{
    const enum track_kind kind = sample->params->kind;
    return p->track[kind] == sample->track && !p->muted[kind];
}

static bool is_announced(const struct rtmp_play *p, const struct sample *sample)
{
    return p->sent[sample->params->kind] == sample->params;
}

unsigned rtmp_play_forms(struct rtmp_session *s, struct buf *forms[], unsigned max)
{
    struct rtmp_play *p = s->play;
    if (p->paused || p->state != READER_LIVE) {
        return 0;
    }
    unsigned n = 0;
    struct sample *sample;
    while (n < max && (sample = reader_peek(p->reader, n))) {
        /* What is written stands in front of all forms of this flush, so that only the first sample may need it. */
        if (p->headers_due) {
            write_headers(s, sample->dts_ns);
        }
        const bool wanted = sample->params && is_wanted(p, sample);
        if (wanted && !is_announced(p, sample)) {
            if (n > 0) {
                break;
            }
            write_change(s, sample);
        }
        forms[n++] = wanted ? sample_form(sample, FORM_RTMP) : NULL;
    }
    return n;
}

void rtmp_play_advance(struct rtmp_session *s, unsigned n, uint64_t bytes)
{
    reader_advance(s->play->reader, n);
    if (bytes) {
        reader_count_sent(s->play->reader, bytes);
    }
}

static void update_flow(struct rtmp_session *s)
{
    if (s->blocked || s->play->paused) {
        reader_pause(s->play->reader);
    } else {
        reader_resume(s->play->reader);
    }
}

void rtmp_play_blocked(struct rtmp_session *s, bool blocked)
{
    update_flow(s);
}

/* A live stream goes on meanwhile; after a long pause the cursor jumps to the newest group. */
void rtmp_play_pause(struct rtmp_session *s, bool on)
{
    if (s->play && s->play->paused != on) {
        s->play->paused = on;
        update_flow(s);
    }
}

void rtmp_play_receive(struct rtmp_session *s, enum track_kind kind, bool on)
{
    if (s->play) {
        s->play->muted[kind] = !on;
    }
}

/* ---- the engine's news ---- */

static void handle_live(struct rtmp_session *s)
{
    struct rtmp_play *p = s->play;
    if (p->was_live) {
        rtmp_write_user_control(&s->tx, RTMP_STREAM_BEGIN, RTMP_STREAM_ID);
        write_status(s, false, "NetStream.Play.PublishNotify", "The stream is published again.");
    } else {
        log_info("%s: playing %s (%s)", conn_peer(s->conn)->text, s->path,
                 s->wire.agent ? s->wire.agent : "unnamed");
    }
    p->was_live = true;
    p->headers_due = true;
}

static void handle_ended(struct rtmp_session *s)
{
    if (!s->play->was_live) {
        return; /* still waits for its first publisher */
    }
    rtmp_write_user_control(&s->tx, RTMP_STREAM_EOF, RTMP_STREAM_ID);
    write_status(s, false, "NetStream.Play.UnpublishNotify", "The publisher is gone.");
}

static void on_state(void *user, enum reader_state state, const char *reason)
{
    struct rtmp_session *s = user;
    struct rtmp_play *p = s->play;
    log_debug("%s: %s: reader state %d (%s)", conn_peer(s->conn)->text, s->path, state,
              reason ? reason : "");
    p->state = state;
    p->state_since_ns = rtmp_session_now(s);
    switch (state) {
    case READER_WAITING:
        /* Players stay through it: what they have buffered plays on. */
        if (p->was_live) {
            rtmp_write_user_control(&s->tx, RTMP_STREAM_DRY, RTMP_STREAM_ID);
        }
        break;
    case READER_LIVE:
        handle_live(s);
        break;
    case READER_ENDED:
        handle_ended(s);
        break;
    case READER_STATE_N:
        break;
    }
    rtmp_session_flush(s);
}

static void on_samples(void *user)
{
    rtmp_session_flush(user);
}

static void on_close(void *user, int r, const char *why)
{
    struct rtmp_session *s = user;
    rtmp_server_wire_stop(&s->wire, &s->tx, "NetStream.Play.Failed", why);
    rtmp_session_end(s, RTMP_END_DROP, "%s", why);
}

void rtmp_play_start(struct rtmp_session *s, const struct access_answer *answer)
{
    static const struct reader_ops ops = {
        .on_state = on_state, .on_samples = on_samples, .on_close = on_close};
    struct rtmp_play *p = mem_new(struct rtmp_play);
    const struct reader_info info = {
        .path = answer->path,
        .protocol = conn_is_tls(s->conn) ? "rtmps" : "rtmp",
        .remote = conn_peer(s->conn)->text,
        .agent = s->wire.agent,
        .access_serial = answer->serial,
        .access_expires_mono_ns = answer->expires_mono_ns,
        .replay = REPLAY_EXACT,
        .forms = FORM_BIT(FORM_RTMP),
        .wait = true,
    };
    const int64_t now = rtmp_session_now(s);
    *p = (struct rtmp_play){.track = {-1, -1}, .state_since_ns = now, .ping_ns = now};
    s->play = p;
    conn_set_notsent_lowat(s->conn, NOTSENT_LOWAT);
    rtmp_server_wire_accept(&s->wire, &s->tx);
    p->reader = reader_open(s->shard->server->engine, s->shard->loop, &info, &ops, s);
    rtmp_session_resume(s);
}

void rtmp_play_stop(struct rtmp_session *s)
{
    struct rtmp_play *p = TAKE_PTR(s->play);
    if (!p) {
        return;
    }
    p->reader = reader_close(p->reader);
    for (unsigned kind = 0; kind < TRACK_KIND_N; kind++) {
        track_params_unref(&p->sent[kind]);
    }
    free(p);
}

/* ---- deadlines ---- */

void rtmp_play_tick(struct rtmp_session *s, int64_t now_ns)
{
    struct rtmp_play *p = s->play;
    const unsigned wait_ms = atomic_load_explicit(&s->shard->server->wait_ms, memory_order_relaxed);
    const bool waits = p->was_live ? p->state == READER_ENDED : p->state != READER_LIVE;
    const int64_t since = p->was_live ? p->state_since_ns : s->since_ns;
    if (waits && (now_ns - since) / 1000000 >= wait_ms) {
        if (!p->was_live) {
            write_status(s, true, "NetStream.Play.StreamNotFound", "Nobody publishes this stream.");
        }
        rtmp_session_end(s, RTMP_END_OURS, "no publisher for %u ms", wait_ms);
        return;
    }
    /* Finds out about peers that vanished while there is nothing to send. */
    if ((now_ns - p->ping_ns) / 1000000 >= PING_MS && !s->blocked) {
        p->ping_ns = now_ns;
        rtmp_write_user_control(&s->tx, RTMP_PING_REQUEST, (uint32_t)(now_ns / 1000000));
        rtmp_session_flush(s);
    }
}
