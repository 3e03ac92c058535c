/* SPDX-License-Identifier: Apache-2.0 */
/* The stream here that a broadcast's media comes by, and which relay sends it on. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/url.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <string.h>

LOG_TOPIC(topic, "broadcast");

#define VIDEO_PT 96
#define AUDIO_PT 111

char *broadcast_stream_path(const struct broadcast *b)
{
    const struct broadcast_request *q = &b->record.result.request;
    return q->stream ? mem_strdup(q->stream) : mem_printf("broadcast/%s", broadcast_id(b));
}

char *broadcast_pull_url(const struct broadcast *b)
{
    const struct broadcast_request *q = &b->record.result.request;
    if (q->input_url) {
        return mem_strdup(q->input_url);
    }
    return q->srs && q->source_kind != BROADCAST_STREAM ? srs_ingest_publish_url(q->srs, false)
                                                        : NULL;
}

/* By its id: the same one after each restart of a step, and all of them in turn. */
struct loop *broadcast_media_loop(const struct broadcast *b)
{
    const struct broadcasts_config *c = &b->service->config;
    uint32_t sum = 0;
    for (const char *p = broadcast_id(b); *p; p++) {
        sum = sum * 31 + (uint8_t)*p;
    }
    return c->loops[sum % c->n_loops];
}

/* ---- the relay ---- */

enum broadcast_relay broadcast_relay_now(const struct broadcast *b)
{
    const struct broadcast_relay_info *info = b->record.result.relay_info;
    return info && info->why ? info->kind : broadcast_request_relay(&b->record.result.request);
}

struct broadcast_relay_info *broadcast_relay_info(struct broadcast *b)
{
    struct broadcast_result *res = &b->record.result;
    if (!res->relay_info) {
        res->relay_info = mem_new(struct broadcast_relay_info);
        model_init(&broadcast_relay_info_model, res->relay_info);
        MODEL_SET(&broadcast_relay_info_model, res->relay_info, kind,
                  broadcast_request_relay(&res->request));
    }
    return res->relay_info;
}

void broadcast_set_text(char **to, const char *text)
{
    if (!*to || strcmp(*to, text) != 0) {
        free(*to);
        *to = mem_strdup(text);
    }
}

void broadcast_relay_state(struct broadcast *b, const char *state)
{
    broadcast_set_text(&broadcast_relay_info(b)->state, state);
    broadcast_set_text(&broadcast_health(b)->relay, state);
}

void broadcast_relay_endpoints(struct broadcast *b)
{
    const struct broadcast_mountpoint_response *m = b->record.result.mountpoint_response;
    struct broadcast_relay_info *info = broadcast_relay_info(b);
    struct endpoint_list old = {{info->endpoints.items, info->endpoints.len}};
    const struct endpoint_list now = {{m->ports.items, m->ports.len}};
    struct endpoint_list copy;
    model_done(&endpoint_list_model, &old);
    model_copy(&endpoint_list_model, &copy, &now);
    info->endpoints.items = copy.items.items;
    info->endpoints.len = copy.items.len;
}

uint8_t broadcast_endpoint_pt(const struct endpoint *e)
{
    return MODEL_HAS(&endpoint_model, e, pt) ? (uint8_t)e->pt
           : e->kind == JANUS_VIDEO          ? VIDEO_PT
                                             : AUDIO_PT;
}

/* Nothing here can: another publisher may come with what can be sent. */
static void cannot(struct step *s, const char *why)
{
    struct error err = {0};
    error_set(&err, -ENOTSUP, s->kind->name, "another relay is needed, which wants our RTMP: %s",
              why);
    if (s->state == STEP_UP) {
        step_lost(s, "%s", err.text);
    } else {
        step_failed(s, &err, false);
    }
}

static char *fallen_words(const char *why)
{
    return mem_printf("relay ffmpeg in place of builtin: %s", why);
}

void broadcast_take_ffmpeg(struct broadcast *b, const char *why)
{
    struct broadcast_relay_info *info = broadcast_relay_info(b);
    MODEL_SET(&broadcast_relay_info_model, info, kind, BROADCAST_RELAY_FFMPEG);
    broadcast_set_text(&info->why, why);
    _cleanup_free_ char *warning = fallen_words(why);
    broadcast_result_add_warning(&b->record.result, warning);
    log_info("broadcast %s: %s", broadcast_id(b), warning);
}

static void tell_change(struct broadcast *b, const char *relay, const char *why)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    json_put_str(&j, "relay", relay);
    json_put_str(&j, "why", why);
    broadcast_emit(b, BROADCAST_EVENT_RELAY_CHANGED, out_str(&o));
    broadcast_forget_views(b);
}

void broadcast_fall_back(struct step *s, const char *why)
{
    struct broadcast *b = broadcast_of(s);
    _cleanup_free_ char *pulled = broadcast_pull_url(b);
    if (!b->service->config.ingest.rtmp && !pulled) {
        cannot(s, why);
        return;
    }
    broadcast_take_ffmpeg(b, why);
    tell_change(b, "ffmpeg", why);
    (void)runner_swap(s, &step_relay);
}

bool broadcast_fall_forward(struct step *s)
{
    struct broadcast *b = broadcast_of(s);
    struct broadcast_relay_info *info = b->record.result.relay_info;
    if (!info || !info->why || !b->service->config.engine || b->service->config.n_loops == 0) {
        return false;
    }
    _cleanup_free_ char *why = TAKE_PTR(info->why);
    _cleanup_free_ char *warning = fallen_words(why);
    broadcast_result_drop_warning(&b->record.result, warning);
    MODEL_SET(&broadcast_relay_info_model, info, kind, broadcast_request_relay(request_of(s)));
    model_mark(&broadcast_relay_info_model, info, offsetof(struct broadcast_relay_info, pid),
               false);
    log_info("broadcast %s: relay builtin again", broadcast_id(b));
    tell_change(b, "builtin", "another publisher may send what it can");
    (void)runner_swap(s, &step_sender);
    return true;
}

/* ---- our own ingest ---- */

void broadcast_note_ingest(struct broadcast *b)
{
    struct broadcast_result *res = &b->record.result;
    const struct broadcast_request *q = &res->request;
    const char *rtmp = b->service->config.ingest.rtmp;
    bool publishes = q->source_kind == BROADCAST_OBS ||
                     (q->source_kind == BROADCAST_RTMP_EXTERNAL && !q->input_url);
    if (res->srs_info || !publishes) {
        return;
    }
    struct broadcast_srs_info *info = mem_new(struct broadcast_srs_info);
    model_init(&broadcast_srs_info_model, info);
    res->srs_info = info;
    if (q->srs) {
        info->rtmp_url = url_redact(q->srs->rtmp_url, URL_MASK_KEYS);
        broadcast_set_text(&info->app, q->srs->app);
        info->publish_url = srs_ingest_publish_url(q->srs, true);
    } else {
        info->builtin = true;
        info->path = broadcast_stream_path(b);
        info->publish_url = rtmp ? mem_printf("%s/%s", rtmp, info->path) : NULL;
    }
}
