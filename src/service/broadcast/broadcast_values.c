/* SPDX-License-Identifier: Apache-2.0 */
/* What is made of requests and replies: endpoints, replies without secrets, documents of the store. */
#include "service/broadcast/broadcast_models.h"

#include "base/mem.h"
#include "base/url.h"
#include "store/seal.h"
#include "store/store.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- endpoints ---- */

static const char *kind_word(enum janus_media kind)
{
    return model_enum_name(janus_media_names, kind);
}

static unsigned place_in_info(const struct janus_mountpoint_info *info, unsigned i)
{
    unsigned n = 0;
    for (unsigned k = 0; k < i; k++) {
        n += info->tracks[k].type == info->tracks[i].type;
    }
    return n;
}

static unsigned place_in_spec(const struct janus_mountpoint *m, size_t i)
{
    unsigned n = 0;
    for (size_t k = 0; k < i; k++) {
        n += m->media.items[k].type == m->media.items[i].type;
    }
    return n;
}

/* By mid, else by its place among its kind: mids are ours when the caller named none. */
static const struct janus_track_info *find_info(const struct janus_mountpoint *m, size_t i,
                                                const struct janus_mountpoint_info *info)
{
    const struct janus_track *t = &m->media.items[i];
    const struct janus_track_info *nth = NULL;
    for (unsigned k = 0; info && k < info->n_tracks; k++) {
        const struct janus_track_info *ti = &info->tracks[k];
        if (ti->type != t->type) {
            continue;
        }
        if (t->mid && strcmp(ti->mid, t->mid) == 0) {
            return ti;
        }
        if (place_in_info(info, k) == place_in_spec(m, i)) {
            nth = ti;
        }
    }
    return nth;
}

#define SET(e, member, value) MODEL_SET(&endpoint_model, (e), member, (value))

static void set_port(struct endpoint *e, size_t at, int64_t *member, int64_t told, int64_t asked)
{
    int64_t port = told ? told : asked;
    *member = port;
    model_mark(&endpoint_model, e, at, port != 0);
}

#define SET_PORT(e, member, told, asked)                                                           \
    set_port((e), offsetof(struct endpoint, member), &(e)->member, (told), (asked))

static void take_info(struct endpoint *e, const struct janus_track_info *ti)
{
    static const struct janus_track_info none = {.pt = -1};
    ti = ti ? ti : &none;
    SET_PORT(e, port, ti->port, e->port);
    SET_PORT(e, rtcp_port, ti->rtcp_port, e->rtcp_port);
    SET_PORT(e, port_2, ti->port_2, e->port_2);
    SET_PORT(e, port_3, ti->port_3, e->port_3);
    if (!e->mid && ti->mid[0]) {
        e->mid = mem_strdup(ti->mid);
    }
    if (!e->codec && ti->codec[0]) {
        e->codec = mem_strdup(ti->codec);
    }
    if (!MODEL_HAS(&endpoint_model, e, pt) && ti->pt >= 0) {
        SET(e, pt, ti->pt);
    }
}

static void take_track(struct endpoint *e, const struct janus_track *t)
{
    SET(e, kind, t->type);
    SET(e, mindex, t->mindex);
    e->port = t->port;
    e->rtcp_port = t->rtcpport;
    e->port_2 = t->simulcast ? t->port2 : 0;
    e->port_3 = t->simulcast ? t->port3 : 0;
    e->mid = t->mid ? mem_strdup(t->mid) : NULL;
    e->codec = t->codec ? mem_strdup(t->codec) : NULL;
    if (MODEL_HAS(&janus_track_model, t, pt)) {
        SET(e, pt, t->pt);
    }
}

int broadcast_endpoints(const struct broadcast_request *r, const char *host,
                        const struct janus_mountpoint_info *info, struct endpoint_list *ret,
                        struct error *err)
{
    const struct janus_mountpoint *m = r->mountpoint_spec;
    size_t named = m ? m->media.len : 0;
    size_t n = named ? named : info ? info->n_tracks : 0;
    *ret = (struct endpoint_list){0};
    if (m && m->type != JANUS_MOUNTPOINT_RTP) {
        return 0; /* Janus fetches it itself */
    }
    ret->items.items = mem_new_array(struct endpoint, n ? n : 1);
    for (size_t i = 0; i < n; i++) {
        struct endpoint *e = &ret->items.items[ret->items.len++];
        model_init(&endpoint_model, e);
        e->host = mem_strdup(host);
        if (named) {
            take_track(e, &m->media.items[i]);
        } else {
            SET(e, kind, info->tracks[i].type);
            SET(e, mindex, (int32_t)place_in_info(info, (unsigned)i));
        }
        take_info(e, named ? find_info(m, i, info) : &info->tracks[i]);
        if (e->port == 0) {
            char where[48];
            snprintf(where, sizeof(where), "mountpoint_spec.media[%zu].port", i);
            model_done(&endpoint_list_model, ret);
            return error_set(err, -ENODATA, where,
                             "is not known: Janus tells it to who knows the mountpoint's secret");
        }
    }
    return 0;
}

int endpoint_pick(const struct endpoint *e, const struct janus_feed *feed, struct error *err)
{
    int n = 0;
    for (unsigned i = 0; i < feed->n_streams; i++) {
        if (feed->streams[i].type == e->kind && n++ == e->mindex) {
            return (int)i;
        }
    }
    return error_set(err, -ENOENT, "mindex", "%d: the source has %d %s streams", (int)e->mindex, n,
                     kind_word(e->kind));
}

/* ---- replies ---- */

bool broadcast_is_secret_key(const char *key)
{
    static const char *const whole[] = {"pin", "new_pin", "key", "private_id", "session_id"};
    static const char *const part[] = {"secret",     "passw",  "pwd", "token",
                                       "credential", "crypto", "_key"};
    for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
        if (strcasecmp(key, whole[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        if (strcasestr(key, part[i])) {
            return true;
        }
    }
    return false;
}

static json_t *redacted(json_t *value, const char *key);

static void redact_members(json_t *o)
{
    const char *key = NULL;
    void *next = NULL;
    json_t *value = NULL;
    json_object_foreach_safe(o, next, key, value)
    {
        json_t *kept = redacted(value, key);
        if (kept) {
            json_object_set_new(o, key, kept);
        }
    }
}

static void redact_elements(json_t *a, const char *key)
{
    for (size_t i = 0; i < json_array_size(a); i++) {
        json_t *kept = redacted(json_array_get(a, i), key);
        if (kept) {
            json_array_set_new(a, i, kept);
        }
    }
}

/* What stands in the place of value; NULL: it stays, its parts were seen to. The depth is bounded by jansson (2048). */
static json_t *redacted(json_t *value, const char *key)
{
    bool secret = broadcast_is_secret_key(key);
    if (json_is_object(value)) {
        redact_members(value);
    } else if (json_is_array(value)) {
        redact_elements(value, key);
    } else if (secret && (json_is_string(value) || json_is_number(value))) {
        return json_string("***");
    } else if (json_is_string(value) && strstr(json_string_value(value), "://")) {
        _cleanup_free_ char *url = url_redact(json_string_value(value), URL_MASK_KEYS);
        return json_string(url);
    }
    return NULL;
}

char *broadcast_reply_keep(struct bytes json)
{
    if (json.len > BROADCAST_REPLY_MAX) {
        return NULL;
    }
    json_t *root = json_loadb((const char *)json.data, json.len, 0, NULL);
    if (!root) {
        return NULL;
    }
    if (json_is_array(root)) {
        redact_elements(root, "");
    } else {
        redact_members(root);
    }
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text && strlen(text) > BROADCAST_REPLY_MAX) {
        free(TAKE_PTR(text));
    }
    return text;
}

/* ---- the store ---- */

int broadcast_seal(const struct model *m, const void *obj, const struct seal_ring *ring,
                   const char *id, char **ret, struct error *err)
{
    struct seal_document sealed = {.ring = ring, .kind = BROADCAST_KIND, .id = id};
    const struct model_write_opts opts = {
        .secrets = MODEL_SECRETS_SEALED, .seal = seal_model_field, .user = &sealed};
    struct out o = {0};
    struct json j = json_init(&o);
    int r = model_write(m, obj, &opts, &j);
    if (r < 0) {
        out_done(&o);
        return error_set(err, r, "", "its secrets cannot be sealed: there is no key to do it");
    }
    *ret = out_take_str(&o);
    return 0;
}

int broadcast_unseal(const struct model *m, void *obj, struct bytes json,
                     const struct seal_ring *ring, const char *id, unsigned *ret_missing,
                     struct error *err)
{
    struct seal_document sealed = {.ring = ring, .kind = BROADCAST_KIND, .id = id};
    const struct model_parse_opts opts = {
        .max_bytes = STORE_BODY_MAX, .unseal = seal_open_model_field, .user = &sealed};
    int r = model_parse_json(m, obj, json, &opts, err);
    if (ret_missing) {
        *ret_missing = sealed.missing;
    }
    return r;
}
