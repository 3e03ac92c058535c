/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_input.h"

#include "base/mem.h"
#include "media/flv.h"
#include "media/timeline.h"

#include <errno.h>

#define HOLD_MAX_NS (500 * 1000000LL)
#define HOLD_MAX    256
#define KIND_BIT(k) (1u << (k))
#define KINDS_ALL   (KIND_BIT(TRACK_VIDEO) | KIND_BIT(TRACK_AUDIO))

struct track {
    enum track_kind kind;
    uint8_t track_id; /* of E-RTMP multitrack */
    struct flv_input flv;
    const struct track_params *announced; /* compared, not used */
};

struct rtmp_input {
    struct publisher *publisher;
    struct unwrap32 clock; /* one for both kinds: they share the peer's clock */
    unsigned expected;     /* kinds that metadata speaks of; 0 = nobody said */
    bool announced;
    unsigned n_inputs;
    struct track inputs[TRACKS_MAX];
    struct sample *held[HOLD_MAX];
    unsigned n_held;
    uint64_t samples; /* made */
};

/* ---- tracks ---- */

static void announce(struct rtmp_input *p)
{
    struct publisher_track tracks[TRACKS_MAX];
    for (unsigned i = 0; i < p->n_inputs; i++) {
        struct track *in = &p->inputs[i];
        tracks[i] = (struct publisher_track){in->flv.canon.codec, in->flv.canon.params};
        in->announced = in->flv.canon.params;
    }
    p->announced = true;
    publisher_tracks(p->publisher, tracks, p->n_inputs);
}

static void write_held(struct rtmp_input *p)
{
    for (unsigned i = 0; i < p->n_held; i++) {
        publisher_write(p->publisher, &p->held[i]);
    }
    p->n_held = 0;
}

static unsigned known_kinds(const struct rtmp_input *p)
{
    unsigned known = 0;
    for (unsigned i = 0; i < p->n_inputs; i++) {
        /* A codec alone could be announced too, but most encoders send the parameters at once. */
        known |= p->inputs[i].flv.canon.params ? KIND_BIT(p->inputs[i].kind) : 0;
    }
    return known;
}

static bool is_complete(const struct rtmp_input *p)
{
    const unsigned want = p->expected ? p->expected : KINDS_ALL;
    if ((known_kinds(p) & want) == want) {
        return true;
    }
    return p->n_held == HOLD_MAX ||
           (p->n_held > 1 && p->held[p->n_held - 1]->dts_ns - p->held[0]->dts_ns >= HOLD_MAX_NS);
}

static bool params_changed(const struct rtmp_input *p)
{
    for (unsigned i = 0; i < p->n_inputs; i++) {
        if (p->inputs[i].announced != p->inputs[i].flv.canon.params) {
            return true;
        }
    }
    return false;
}

static void take_sample(struct rtmp_input *p, struct sample *s)
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
static struct track *find_track(struct rtmp_input *p, const struct flv_packet *pkt)
{
    for (unsigned i = 0; i < p->n_inputs; i++) {
        struct track *in = &p->inputs[i];
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
    struct track *in = &p->inputs[p->n_inputs];
    *in = (struct track){.kind = pkt->kind, .track_id = pkt->track_id};
    flv_input_init(&in->flv, p->n_inputs, pkt->codec);
    p->n_inputs++;
    return in;
}

/* ---- messages ---- */

static int handle_packet(struct rtmp_input *p, const struct flv_packet *pkt, int64_t dts_ns,
                         int64_t arrival_ns, struct error *err)
{
    if (pkt->type == FLV_IGNORED) {
        return 0;
    }
    struct track *in = find_track(p, pkt);
    if (!in) {
        return error_set(err, -ENOTSUP, "", "more than %d tracks", TRACKS_MAX);
    }
    struct sample *sample = NULL;
    const int r = flv_input_feed(&in->flv, pkt, dts_ns, arrival_ns, &sample, err);
    if (r > 0) {
        p->samples++;
        take_sample(p, sample);
    }
    return r;
}

int rtmp_input_message(struct rtmp_input *p, const struct rtmp_message *m, int64_t arrival_ns,
                       struct error *err)
{
    const int64_t dts_ns = unwrap32_next(&p->clock, m->timestamp) * 1000000;
    struct flv_iter it;
    struct flv_packet pkt;
    const uint64_t before = p->samples;
    flv_iter_init(&it, m->type == RTMP_VIDEO ? TRACK_VIDEO : TRACK_AUDIO, m->body);
    int r;
    while ((r = flv_next(&it, &pkt, err)) > 0) {
        r = handle_packet(p, &pkt, dts_ns, arrival_ns, err);
        if (r < 0) {
            break;
        }
    }
    return r < 0 ? r : p->samples > before;
}

void rtmp_input_metadata(struct rtmp_input *p, const struct amf_value *metadata)
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
    p->expected = expected;
}

struct rtmp_input *rtmp_input_new(struct publisher *publisher)
{
    struct rtmp_input *p = mem_new(struct rtmp_input);
    p->publisher = publisher;
    return p;
}

struct rtmp_input *rtmp_input_free(struct rtmp_input *p)
{
    if (!p) {
        return NULL;
    }
    if (!p->announced && p->n_held > 0) {
        announce(p);
        write_held(p);
    }
    for (unsigned i = 0; i < p->n_inputs; i++) {
        flv_input_done(&p->inputs[i].flv);
    }
    free(p);
    return NULL;
}
