/* SPDX-License-Identifier: Apache-2.0 */
/* The facts that checks bring home, and the picture of a broadcast that is shown: steps, health, join data. */
#include "base/clock.h"
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <string.h>

struct broadcast_health *broadcast_health(struct broadcast *b)
{
    struct broadcast_result *res = &b->record.result;
    if (!res->health) {
        res->health = mem_new(struct broadcast_health);
        model_init(&broadcast_health_model, res->health);
    }
    res->health->checked_at = clock_wall_ns();
    return res->health;
}

void broadcast_health_media(struct broadcast *b, const struct janus_mountpoint_info *info)
{
    struct broadcast_health *h = broadcast_health(b);
    if (h->media.len != info->n_tracks) {
        for (size_t i = 0; i < h->media.len; i++) {
            free(h->media.items[i].mid);
        }
        free(h->media.items);
        h->media.items = mem_new_array(struct broadcast_media_health, info->n_tracks);
        h->media.len = info->n_tracks;
    }
    for (unsigned i = 0; i < info->n_tracks; i++) {
        struct broadcast_media_health *to = &h->media.items[i];
        free(to->mid);
        to->mid = mem_strdup(info->tracks[i].mid);
        to->type = info->tracks[i].type;
        MODEL_SET(&broadcast_media_health_model, to, age_ms, info->tracks[i].age_ms);
    }
    if (info->complete) {
        MODEL_SET(&broadcast_health_model, h, viewers, info->viewers);
    }
}

void broadcast_health_forwarders(struct broadcast *b, unsigned there, unsigned expected)
{
    struct broadcast_health *h = broadcast_health(b);
    MODEL_SET(&broadcast_health_model, h, forwarders, there);
    MODEL_SET(&broadcast_health_model, h, forwarders_expected, expected);
}

/* ---- steps as they are shown ---- */

static enum broadcast_step_state shown(const struct broadcast *b, const struct step *s)
{
    switch (s->state) {
    case STEP_IDLE:
        if (b->runner.up) {
            return s->reason ? BROADCAST_STEP_FAILED : BROADCAST_STEP_WAITING;
        }
        return b->runner.failed == s ? BROADCAST_STEP_FAILED : BROADCAST_STEP_UNDONE;
    case STEP_WAITING:
        return BROADCAST_STEP_WAITING;
    case STEP_STARTING:
    case STEP_ADOPTING:
        return BROADCAST_STEP_STARTING;
    case STEP_UP:
        return BROADCAST_STEP_DONE;
    case STEP_LOST:
    case STEP_UNSURE:
        return BROADCAST_STEP_FAILED;
    case STEP_STALE:
    case STEP_STOPPING:
        return BROADCAST_STEP_UNDOING;
    case STEP_KEPT:
        return BROADCAST_STEP_KEPT;
    default:
        return BROADCAST_STEP_DEBT;
    }
}

static char *peer_of(const struct broadcast *b, const struct step *s)
{
    const struct broadcast_request *q = &b->record.result.request;
    const struct janus_server_config *server;
    if (strcmp(s->kind->peer, "janus") == 0 &&
        janus_servers_find(b->service->config.janus, q->janus, &server, NULL) == 0) {
        return mem_printf("janus:%s", server->name);
    }
    if (strcmp(s->kind->peer, "obs") == 0) {
        return mem_printf("obs:%s:%d", q->obs_host, q->obs_port);
    }
    if (s->kind == &step_relay) {
        return mem_strdup(model_enum_name(broadcast_relay_names, (int)broadcast_relay_now(b)));
    }
    return mem_strdup(s->kind->peer);
}

void broadcast_forget_views(struct broadcast *b)
{
    struct broadcast_result *res = &b->record.result;
    for (size_t i = 0; i < res->steps.len; i++) {
        model_done(&broadcast_step_view_model, &res->steps.items[i]);
    }
    free(TAKE_PTR(res->steps.items));
    res->steps.len = 0;
}

static void refresh_steps(struct broadcast *b)
{
    struct broadcast_result *res = &b->record.result;
    if (res->steps.len != b->runner.n) {
        broadcast_forget_views(b);
        res->steps.len = b->runner.n;
        res->steps.items = mem_new_array(struct broadcast_step_view, b->runner.n);
    }
    for (unsigned i = 0; i < b->runner.n; i++) {
        const struct step *s = b->runner.steps[i];
        struct broadcast_step_view *v = &res->steps.items[i];
        _cleanup_(out_done) struct out o = {0};
        if (!v->name) {
            v->name = mem_strdup(s->kind->name);
            v->peer = peer_of(b, s);
            if (s->kind->describe) {
                s->kind->describe(s, &o);
            }
            v->describe = out_take_str(&o);
        }
        v->state = shown(b, s);
        free(v->error);
        v->error = s->reason ? mem_strdup(s->reason) : NULL;
        if (s->state == STEP_UP) {
            v->started_at = v->started_at ? v->started_at : s->since_ns;
            v->ended_at = 0;
        } else if (v->started_at && !v->ended_at &&
                   (s->state == STEP_IDLE || s->state == STEP_KEPT)) {
            v->ended_at = s->since_ns;
        }
    }
}

/* What the front end is to do, as nothing here does. */
static char *frontend_note(const struct broadcast *b)
{
    const struct broadcast_request *q = &b->record.result.request;
    const struct janus_mountpoint *m = q->mountpoint_spec;
    char id[MODEL_ID_TEXT_MAX];
    _cleanup_(out_done) struct out o = {0};
    out_puts(&o, "no relay runs, the front end brings the media:");
    if (q->room_id.kind != MODEL_ID_NONE) {
        out_printf(&o, " publish into room %s;", model_id_text(&q->room_id, id));
    }
    if (q->srs || q->stream) {
        out_puts(&o, " publish by RTMP to join.publish_url;");
    }
    if (m && m->type != JANUS_MOUNTPOINT_RTP) {
        out_puts(&o, " the mountpoint's media is fetched by Janus itself;");
    } else if (m) {
        out_puts(&o, " send RTP to mountpoint_response.ports, or forward a publisher there;");
    }
    o.len--; /* the last semicolon */
    return out_take_str(&o);
}

static void refresh_join(struct broadcast *b)
{
    struct broadcast_result *res = &b->record.result;
    const struct broadcast_request *q = &res->request;
    const struct janus_server_config *server;
    if (res->join || (q->source_kind != BROADCAST_FRONTEND_OWNED &&
                      q->source_kind != BROADCAST_BROWSER_WEBRTC)) {
        return;
    }
    struct broadcast_join *j = mem_new(struct broadcast_join);
    if (janus_servers_find(b->service->config.janus, q->janus, &server, NULL) == 0) {
        j->janus = mem_strdup(server->name);
        j->janus_url = server->public_url ? mem_strdup(server->public_url) : NULL;
    }
    model_id_copy(&j->room, &q->room_id);
    model_id_copy(&j->publisher_id, &q->publisher_id);
    j->display = q->publisher_display ? mem_strdup(q->publisher_display) : NULL;
    j->pin_required = q->room_spec && q->room_spec->pin;
    if (q->srs) {
        j->publish_url = srs_ingest_publish_url(q->srs, true);
    } else if (q->stream && b->service->config.ingest.rtmp) {
        j->publish_url = mem_printf("%s/%s", b->service->config.ingest.rtmp, q->stream);
    }
    j->mountpoint_pin_required = q->mountpoint_spec && q->mountpoint_spec->pin;
    res->join = j;
    if (!res->note && q->source_kind == BROADCAST_FRONTEND_OWNED) {
        res->note = frontend_note(b);
    }
}

/* Not told before it was asked for. */
static void refresh_session(const struct broadcast *b, struct broadcast_health *h)
{
    for (unsigned i = 0; i < b->runner.n; i++) {
        const struct step *s = b->runner.steps[i];
        if (strcmp(s->kind->peer, "janus") == 0 && JANUS_STEP(s)->server) {
            MODEL_SET(&broadcast_health_model, h, session,
                      janus_server_ready(JANUS_STEP(s)->server));
            return;
        }
    }
}

void broadcast_refresh(struct broadcast *b)
{
    struct broadcast_result *res = &b->record.result;
    refresh_steps(b);
    refresh_join(b);
    if (res->join && res->mountpoint_response &&
        !model_id_equal(&res->join->mountpoint, &res->mountpoint_response->id)) {
        model_id_done(&res->join->mountpoint);
        model_id_copy(&res->join->mountpoint, &res->mountpoint_response->id);
    }
    if (broadcast_is_live(b)) {
        struct broadcast_health *h = broadcast_health(b);
        h->healthy = res->state == BROADCAST_RUNNING;
        free(h->reason);
        h->reason = res->reason ? mem_strdup(res->reason) : NULL;
        refresh_session(b, h);
        if (runner_find(&b->runner, step_publisher.name)) {
            MODEL_SET(&broadcast_health_model, h, publisher, b->feed != NULL);
        }
    }
}
