/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/mse/mse_wire.h"

#include "base/json.h"
#include "media/fmp4.h"

#include <errno.h>

#define NS_IN_MS 1000000 /* base/clock.h is not for wires */

/* ---- tracks= ---- */

static int parse_one(struct bytes word, struct mse_selection *sel)
{
    if (bytes_equal_str(word, "video")) {
        sel->kind[TRACK_VIDEO] = true;
    } else if (bytes_equal_str(word, "audio")) {
        sel->kind[TRACK_AUDIO] = true;
    } else if (word.len == 1 && word.data[0] >= '1' && word.data[0] <= '0' + TRACKS_MAX) {
        sel->ids |= 1u << (word.data[0] - '1');
    } else {
        return -EINVAL;
    }
    return 0;
}

int mse_selection_parse(const char *text, struct mse_selection *ret, struct error *err)
{
    _Static_assert(TRACKS_MAX <= 9, "track ids have one digit");
    struct mse_selection sel = {.given = true};
    for (const char *p = text;;) {
        size_t len = strcspn(p, ",");
        if (parse_one(BYTES(p, len), &sel) < 0) {
            return error_set(err, -EINVAL, "tracks",
                             "is a comma list of \"video\", \"audio\" and track ids from 1 to %d",
                             TRACKS_MAX);
        }
        if (p[len] == '\0') {
            break;
        }
        p += len + 1;
    }
    *ret = sel;
    return 0;
}

uint32_t mse_select(const struct mse_selection *sel, const struct track_params *const params[],
                    unsigned n)
{
    uint32_t mask = 0;
    bool found[TRACK_KIND_N] = {false};
    for (unsigned i = 0; i < n; i++) {
        if (!params[i]) {
            continue;
        }
        enum track_kind kind = params[i]->kind;
        bool by_kind = !found[kind] && (!sel->given || sel->kind[kind]);
        found[kind] = true;
        if (by_kind || (sel->ids & 1u << i)) {
            mask |= 1u << i;
        }
    }
    return mask;
}

/* ---- messages ---- */

static struct json begin(struct out *o, const char *type)
{
    struct json j = json_init(o);
    json_object_begin(&j);
    json_put_str(&j, "type", type);
    return j;
}

static void put_track(struct json *j, unsigned index, const struct track_params *p)
{
    json_object_begin(j);
    json_put_uint(j, "id", index + 1);
    json_put_str(j, "kind", p->kind == TRACK_VIDEO ? "video" : "audio");
    json_put_str(j, "codec", codec_to_str(p->codec));
    json_put_str(j, "codecs", p->rfc6381);
    if (p->kind == TRACK_VIDEO) {
        json_put_uint(j, "width", p->width);
        json_put_uint(j, "height", p->height);
    } else {
        json_put_uint(j, "sample_rate", p->sample_rate);
        json_put_uint(j, "channels", p->channels);
    }
    json_object_end(j);
}

void mse_put_init(struct out *o, const struct mse_init *init)
{
    char mime[FMP4_MIME_MAX];
    struct json j = begin(o, "init");
    json_put_str(&j, "mime", fmp4_mime(init->params, init->n, mime, sizeof(mime)));
    json_key(&j, "tracks");
    json_array_begin(&j);
    for (unsigned i = 0; i < init->n; i++) {
        if (init->params[i]) {
            put_track(&j, i, init->params[i]);
        }
    }
    json_array_end(&j);
    json_put_uint(&j, "epoch", init->epoch);
    json_put_int(&j, "start_ms", init->start_ns / NS_IN_MS);
    json_put_int(&j, "edge_ms", init->edge_ns / NS_IN_MS);
    json_object_end(&j);
}

void mse_put_state(struct out *o, const char *state, const char *reason)
{
    struct json j = begin(o, "state");
    json_put_str(&j, "state", state);
    if (reason[0]) {
        json_put_str(&j, "reason", reason);
    }
    json_object_end(&j);
}

void mse_put_discontinuity(struct out *o, uint32_t epoch, int64_t start_ns)
{
    struct json j = begin(o, "state");
    json_put_str(&j, "state", "discontinuity");
    json_put_uint(&j, "epoch", epoch);
    json_put_int(&j, "start_ms", start_ns / NS_IN_MS);
    json_object_end(&j);
}

void mse_put_jumped(struct out *o, uint64_t dropped)
{
    struct json j = begin(o, "jumped");
    json_put_uint(&j, "dropped", dropped);
    json_object_end(&j);
}
