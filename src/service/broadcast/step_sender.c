/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relay builtin: a stream of the engine to the mountpoint's ports, by the RTP sender on a media loop. While nobody publishes the
 * step waits; once packets flowed it is up, and stays so when the publisher goes: sick, until he returns. Sound for Opus tracks
 * comes by the derived stream "<path>~opus". What the sender cannot send without encoding goes to another relay.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"
#include "service/broadcast/media_sender.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS  200
#define FRESH_NS (3 * NS_PER_S) /* no packet for so long: it does not flow */

struct sender_step {
    struct step step;
    struct media_sender *sender;
    struct loop_timer *look; /* between live and the first packet */
    enum reader_state state; /* as last told, with the packets and when they grew */
    uint64_t packets;
    int64_t grew_ns;
};
#define SENDER(s) CONTAINER_OF((s), struct sender_step, step)

/* ---- what it sends ---- */

/* By the names that SDP and Janus have for them. */
static enum codec codec_of(const char *name)
{
    int c = name ? codec_from_str(strcmp(name, "h265") == 0 ? "hevc" : name) : -1;
    return c < 0 ? CODEC_N : (enum codec)c;
}

/* The ports of what is there tell more than the request: it may name no tracks. */
static bool wants_opus(const struct step *s)
{
    const struct broadcast_mountpoint_response *there =
        broadcast_of(s)->record.result.mountpoint_response;
    const struct janus_mountpoint *m = request_of(s)->mountpoint_spec;
    for (size_t i = 0; there && i < there->ports.len; i++) {
        const struct endpoint *e = &there->ports.items[i];
        if (e->kind == JANUS_AUDIO && (!e->codec || strcmp(e->codec, "opus") == 0)) {
            return true;
        }
    }
    for (size_t i = 0; !there && i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        if (t->type == JANUS_AUDIO && (!t->codec || strcmp(t->codec, "opus") == 0)) {
            return true;
        }
    }
    return false;
}

/* To be freed. */
static char *path_of(const struct step *s)
{
    _cleanup_free_ char *path = broadcast_stream_path(broadcast_of(s));
    return strchr(path, '~') || !wants_opus(s) ? TAKE_PTR(path) : mem_printf("%s~opus", path);
}

static void describe(const struct step *s, struct out *o)
{
    _cleanup_free_ char *path = path_of(s);
    out_printf(o, "send stream %s to the mountpoint by RTP, without another program", path);
}

static int address(const char *host, int64_t port, struct sockaddr_storage *ret, struct error *err)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    *ret = (struct sockaddr_storage){.ss_family = AF_INET};
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &in->sin_addr) ==
        1) {
        in->sin_port = htons((uint16_t)port);
        return 0;
    }
    ret->ss_family = AF_INET6;
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_port = htons((uint16_t)port);
        return 0;
    }
    return error_set(err, -EINVAL, "host", "must be a numeric address: relays resolve no names");
}

static int make_track(const struct endpoint *e, struct rtp_sender_track *t, struct error *err)
{
    bool video = e->kind == JANUS_VIDEO;
    *t = (struct rtp_sender_track){
        .kind = video ? TRACK_VIDEO : TRACK_AUDIO,
        .index = (unsigned)e->mindex,
        .codec = codec_of(e->codec),
        .payload_type = broadcast_endpoint_pt(e),
    };
    if (e->codec && t->codec == CODEC_N) {
        return error_set(err, -ENOTSUP, "codec", "builtin sends no %s", e->codec);
    }
    int r = address(e->host, e->port, &t->to, err);
    return r == 0 && e->rtcp_port > 0 ? address(e->host, e->rtcp_port, &t->rtcp_to, err) : r;
}

static int make_tracks(const struct step *s, struct rtp_sender_track *tracks, unsigned *ret,
                       struct error *err)
{
    const struct broadcast_mountpoint_response *m =
        broadcast_of(s)->record.result.mountpoint_response;
    *ret = 0;
    for (size_t i = 0; i < m->ports.len; i++) {
        if (m->ports.items[i].kind == JANUS_DATA) {
            continue;
        }
        if (*ret == RTP_SENDER_TRACKS_MAX) {
            return error_set(err, -E2BIG, "media", "builtin sends at most %d tracks",
                             RTP_SENDER_TRACKS_MAX);
        }
        int r = make_track(&m->ports.items[i], &tracks[*ret], err);
        if (r < 0) {
            return r;
        }
        ++*ret;
    }
    return *ret ? 0 : error_set(err, -ENODATA, "media", "the mountpoint has no tracks");
}

/* ---- how it gets on ---- */

static void drop(struct step *s)
{
    struct sender_step *x = SENDER(s);
    x->sender = media_sender_close(x->sender);
    x->look = loop_timer_free(x->look);
    x->state = READER_WAITING;
    x->packets = 0;
    x->grew_ns = 0;
}

static bool flows(const struct sender_step *x)
{
    return x->state == READER_LIVE && x->grew_ns && clock_mono_ns() - x->grew_ns < FRESH_NS;
}

static void note(struct step *s)
{
    struct sender_step *x = SENDER(s);
    struct broadcast *b = broadcast_of(s);
    bool live = x->sender && x->state == READER_LIVE;
    broadcast_relay_state(b, !x->sender ? "stopped" : flows(x) ? "running" : "waiting");
    MODEL_SET(&broadcast_health_model, broadcast_health(b), stream, live);
}

/* What keeps it from flowing. */
static void say_why(const struct step *s, char *ret, size_t size)
{
    _cleanup_free_ char *path = broadcast_stream_path(broadcast_of(s));
    if (SENDER(s)->state == READER_LIVE) {
        snprintf(ret, size, "%s is live, but no packets leave", path);
    } else {
        snprintf(ret, size, "nobody publishes %s%s", path, s->state == STEP_UP ? "" : " yet");
    }
}

static void judge(struct step *s)
{
    struct sender_step *x = SENDER(s);
    char why[STREAM_PATH_MAX + 64];
    note(s);
    if (flows(x)) {
        if (s->state == STEP_UP) {
            step_well(s);
        } else {
            step_started(s, 0);
        }
        return;
    }
    say_why(s, why, sizeof(why));
    if (s->state == STEP_UP) {
        step_sick(s, "%s", why);
        return;
    }
    step_waits(s, "%s", why);
    if (x->state == READER_LIVE) {
        loop_timer_start(x->look, LOOK_MS);
    }
}

static void on_look(void *user)
{
    struct step *s = user;
    media_sender_ask(SENDER(s)->sender);
}

static void on_end(struct step *s, const struct media_sender_view *v)
{
    struct error err = {0};
    if (v->end == RTP_SENDER_NEEDS_TRANSCODE || v->end == RTP_SENDER_CODEC) {
        broadcast_fall_back(s, v->why);
        return;
    }
    error_set(&err, -EPIPE, s->kind->name, "the stream ended: %s", v->why);
    drop(s);
    note(s);
    s->ours = false;
    if (s->state == STEP_UP) {
        step_lost(s, "%s", err.text);
    } else {
        step_failed(s, &err, false);
    }
}

static void on_told(void *user, const struct media_sender_view *v)
{
    struct step *s = user;
    struct sender_step *x = SENDER(s);
    struct broadcast_relay_info *info = broadcast_relay_info(broadcast_of(s));
    x->state = v->state;
    if (v->packets > x->packets) {
        x->grew_ns = clock_mono_ns();
    }
    x->packets = v->packets;
    MODEL_SET(&broadcast_relay_info_model, info, packets, (int64_t)v->packets);
    MODEL_SET(&broadcast_relay_info_model, info, b_dropped, (int64_t)v->b_dropped);
    if (v->ended) {
        on_end(s, v);
    } else {
        judge(s);
    }
}

static void check(struct step *s)
{
    if (SENDER(s)->sender) {
        media_sender_ask(SENDER(s)->sender);
    }
}

/* ---- its life ---- */

static void start(struct step *s)
{
    struct sender_step *x = SENDER(s);
    struct broadcast *b = broadcast_of(s);
    struct rtp_sender_track tracks[RTP_SENDER_TRACKS_MAX];
    struct error err = {0};
    unsigned n = 0;
    _cleanup_free_ char *path = path_of(s);
    drop(s);
    int r = make_tracks(s, tracks, &n, &err);
    if (r == -ENOTSUP) {
        broadcast_fall_back(s, err.text);
        return;
    }
    if (r < 0) {
        step_failed(s, &err, true);
        return;
    }
    const struct rtp_sender_config config = {
        .path = path,
        .tracks = tracks,
        .n_tracks = n,
        .replay = REPLAY_LIVE,
        .drop_b = true,
    };
    s->ours = true;
    broadcast_relay_endpoints(b);
    x->look = loop_timer_new(s->runner->loop, on_look, s);
    x->sender = media_sender_open(b->service->config.engine, s->runner->loop,
                                  broadcast_media_loop(b), &config, on_told, s);
    judge(s);
}

static void stop(struct step *s)
{
    drop(s);
    note(s);
    step_stopped(s, 0, NULL);
}

const struct step_kind step_sender = {
    .name = "sender",
    .peer = "engine",
    .size = sizeof(struct sender_step),
    .reads = FACT_MOUNTPOINT, /* the stream, pulled or not, is waited for by the reader itself */
    .describe = describe,
    .start = start,
    .check = check,
    .stop = stop,
    .drop = drop,
};
