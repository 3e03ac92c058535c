/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The publishing half of a session: audio and video messages to samples.
 *
 * Which tracks there will be is known only when each has shown itself: metadata says which kinds to expect, the first message
 * of each which codec it is. A stream's tracks are its contract, so the first samples are held until all expected kinds
 * are there, or for HOLD_MAX_NS of media when metadata is missing or promises too much.
 */
#include "base/log.h"
#include "media/flv.h"
#include "media/timeline.h"
#include "protocol/rtmp/rtmp_session.h"

#include <errno.h>

LOG_TOPIC(topic, "rtmp.publish");

#define HOLD_MAX_NS    (500 * 1000000LL)
#define HOLD_MAX       256
#define MALFORMED_MAX  50 /* messages that cannot be read, before the publisher is dropped */
#define RATE_WINDOW_NS (4 * 1000000000LL)
#define KIND_BIT(k)    (1u << (k))
#define KINDS_ALL      (KIND_BIT(TRACK_VIDEO) | KIND_BIT(TRACK_AUDIO))

struct input {
    enum track_kind kind;
    uint8_t track_id; /* of E-RTMP multitrack */
    struct flv_input flv;
    const struct track_params *announced; /* compared, not used */
};

struct rtmp_publish {
    struct publisher *publisher;
    bool open;             /* the path is ours */
    struct unwrap32 clock; /* one for both kinds: they share the peer's clock */
    unsigned expected;     /* kinds that metadata speaks of; 0 = nobody said */
    bool announced;
    bool unsupported_logged;
    unsigned malformed;
    unsigned n_inputs;
    struct input inputs[TRACKS_MAX];
    struct sample *held[HOLD_MAX];
    unsigned n_held;
    uint64_t rate_bytes; /* allowed in a window, 0 = no limit */
    uint64_t window_bytes;
    int64_t window_ns;
};

/* ---- tracks ---- */

static void announce(struct rtmp_publish *p)
{
    struct publisher_track tracks[TRACKS_MAX];
    for (unsigned i = 0; i < p->n_inputs; i++) {
        struct input *in = &p->inputs[i];
        tracks[i] = (struct publisher_track){in->flv.canon.codec, in->flv.canon.params};
        in->announced = in->flv.canon.params;
    }
    p->announced = true;
    publisher_tracks(p->publisher, tracks, p->n_inputs);
}

static void write_held(struct rtmp_publish *p)
{
    for (unsigned i = 0; i < p->n_held; i++) {
        publisher_write(p->publisher, &p->held[i]);
    }
    p->n_held = 0;
}

static unsigned known_kinds(const struct rtmp_publish *p)
{
    unsigned known = 0;
    for (unsigned i = 0; i < p->n_inputs; i++) {
        /* A codec alone could be announced too, but most encoders send the parameters at once. */
        known |= p->inputs[i].flv.canon.params ? KIND_BIT(p->inputs[i].kind) : 0;
    }
    return known;
}

static bool is_complete(const struct rtmp_publish *p)
{
    const unsigned want = p->expected ? p->expected : KINDS_ALL;
    if ((known_kinds(p) & want) == want) {
        return true;
    }
    return p->n_held == HOLD_MAX ||
           (p->n_held > 1 && p->held[p->n_held - 1]->dts_ns - p->held[0]->dts_ns >= HOLD_MAX_NS);
}

static bool params_changed(const struct rtmp_publish *p)
{
    for (unsigned i = 0; i < p->n_inputs; i++) {
        if (p->inputs[i].announced != p->inputs[i].flv.canon.params) {
            return true;
        }
    }
    return false;
}

static void take_sample(struct rtmp_publish *p, struct sample *s)
{
    if (p->announced) {
        if (params_changed(p)) {
            announce(p);
        }
        publisher_write(p->publisher, &s);
        return;
    }
    p->held[p->n_held++] = s;
    if (is_complete(p)) {
        announce(p);
        write_held(p);
    }
}

/* The input of a packet's track; a new one for a new track, a new codec in place of the old. NULL when there are too many. */
static struct input *find_input(struct rtmp_publish *p, const struct flv_packet *pkt)
{
    for (unsigned i = 0; i < p->n_inputs; i++) {
        struct input *in = &p->inputs[i];
        if (in->kind == pkt->kind && in->track_id == pkt->track_id) {
            if (in->flv.canon.codec != pkt->codec) {
                /* Whether the stream can take it is the engine's to say; it hears of it with the next sample. */
                flv_input_done(&in->flv);
                flv_input_init(&in->flv, i, pkt->codec);
            }
            return in;
        }
    }
    if (p->n_inputs == TRACKS_MAX) {
        return NULL;
    }
    struct input *in = &p->inputs[p->n_inputs];
    *in = (struct input){.kind = pkt->kind, .track_id = pkt->track_id};
    flv_input_init(&in->flv, p->n_inputs, pkt->codec);
    p->n_inputs++;
    return in;
}

/* ---- messages ---- */

static void handle_malformed(struct rtmp_session *s, const struct error *err)
{
    struct rtmp_publish *p = s->publish;
    if (p->malformed == 0) {
        log_warn("%s: %s: %s, leaving such messages out", conn_peer(s->conn)->text, s->path,
                 err->text);
    }
    if (++p->malformed == MALFORMED_MAX) {
        rtmp_session_end(s, RTMP_END_DROP, "%d messages that cannot be read, the last one: %s",
                         MALFORMED_MAX, err->text);
    }
}

static void handle_unsupported(struct rtmp_session *s, const struct error *err)
{
    if (!s->publish->unsupported_logged) {
        s->publish->unsupported_logged = true;
        log_warn("%s: %s: %s, going on without it", conn_peer(s->conn)->text, s->path, err->text);
    }
}

static int handle_packet(struct rtmp_publish *p, const struct flv_packet *pkt, int64_t dts_ns,
                         int64_t arrival_ns, struct error *err)
{
    if (pkt->type == FLV_IGNORED) {
        return 0;
    }
    struct input *in = find_input(p, pkt);
    if (!in) {
        return error_set(err, -ENOTSUP, "", "more than %d tracks", TRACKS_MAX);
    }
    struct sample *sample = NULL;
    const int r = flv_input_feed(&in->flv, pkt, dts_ns, arrival_ns, &sample, err);
    if (r > 0) {
        take_sample(p, sample);
    }
    return r;
}

void rtmp_publish_message(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct rtmp_publish *p = s->publish;
    const int64_t now = rtmp_session_now(s);
    const int64_t dts_ns = unwrap32_next(&p->clock, m->timestamp) * 1000000;
    struct error err = {0};
    struct flv_iter it;
    struct flv_packet pkt;
    p->window_bytes += m->body.len;
    flv_iter_init(&it, m->type == RTMP_VIDEO ? TRACK_VIDEO : TRACK_AUDIO, m->body);
    int r;
    while ((r = flv_next(&it, &pkt, &err)) > 0) {
        r = handle_packet(p, &pkt, dts_ns, now, &err);
        if (r < 0) {
            break;
        }
    }
    if (r == -ENOTSUP) {
        handle_unsupported(s, &err);
    } else if (r < 0) {
        handle_malformed(s, &err);
    }
}

/* What codecs it names is not believed; that it names one says that the kind will come. */
void rtmp_publish_metadata(struct rtmp_session *s, const struct amf_value *metadata)
{
    struct amf_value v;
    unsigned expected = 0;
    if (amf_get(metadata, "videocodecid", &v) || amf_get_number(metadata, "width", 0) > 0) {
        expected |= KIND_BIT(TRACK_VIDEO);
    }
    if (amf_get(metadata, "audiocodecid", &v) ||
        amf_get_number(metadata, "audiosamplerate", 0) > 0) {
        expected |= KIND_BIT(TRACK_AUDIO);
    }
    s->publish->expected = expected;
}

void rtmp_publish_tick(struct rtmp_session *s, int64_t now_ns)
{
    struct rtmp_publish *p = s->publish;
    if (now_ns - p->window_ns < RATE_WINDOW_NS) {
        return;
    }
    if (p->rate_bytes && p->window_bytes > p->rate_bytes) {
        rtmp_session_end(
            s, RTMP_END_DROP, "over the bitrate granted: %llu kb/s",
            (unsigned long long)(p->window_bytes * 8000000 / (uint64_t)(now_ns - p->window_ns)));
        return;
    }
    p->window_bytes = 0;
    p->window_ns = now_ns;
}

/* ---- the engine's news ---- */

static void on_open(void *user)
{
    struct rtmp_session *s = user;
    s->publish->open = true;
    log_info("%s: publishing %s (%s)", conn_peer(s->conn)->text, s->path,
             s->wire.agent ? s->wire.agent : "unnamed");
    rtmp_server_wire_accept(&s->wire, &s->tx);
    rtmp_session_resume(s);
}

static void on_close(void *user, int r, const char *why)
{
    struct rtmp_session *s = user;
    if (s->publish->open) {
        rtmp_server_wire_stop(&s->wire, &s->tx, "NetStream.Unpublish.Success", why);
    } else {
        rtmp_server_wire_refuse(
            &s->wire, &s->tx,
            r == -EBUSY ? "NetStream.Publish.BadName" : "NetStream.Publish.Denied", why);
    }
    rtmp_session_end(s, RTMP_END_DROP, "%s", why);
}

void rtmp_publish_start(struct rtmp_session *s, const struct access_answer *answer)
{
    static const struct publisher_ops ops = {.on_open = on_open, .on_close = on_close};
    struct rtmp_publish *p = mem_new(struct rtmp_publish);
    const struct publisher_info info = {
        .path = answer->path,
        .protocol = conn_is_tls(s->conn) ? "rtmps" : "rtmp",
        .remote = conn_peer(s->conn)->text,
        .agent = s->wire.agent,
        .access_serial = answer->serial,
        .access_expires_mono_ns = answer->expires_mono_ns,
    };
    p->rate_bytes = (uint64_t)answer->max_bitrate_kbps * 125 * (RATE_WINDOW_NS / 1000000000);
    p->window_ns = rtmp_session_now(s);
    s->publish = p;
    p->publisher = publisher_open(s->shard->server->engine, s->shard->loop, &info, &ops, s);
}

void rtmp_publish_stop(struct rtmp_session *s)
{
    struct rtmp_publish *p = TAKE_PTR(s->publish);
    if (!p) {
        return;
    }
    if (!p->announced && p->n_held > 0) {
        announce(p);
        write_held(p);
    }
    p->publisher = publisher_close(p->publisher);
    for (unsigned i = 0; i < p->n_inputs; i++) {
        flv_input_done(&p->inputs[i].flv);
    }
    free(p);
}
