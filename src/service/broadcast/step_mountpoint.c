/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mountpoint: made with a marker by which it is known again, or one that exists, whose ports are asked for. It
 * is destroyed only if this broadcast made it. While up it is asked how old its media is, which tells whether any arrives.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <string.h>

#define ID_BITS   53 /* what Janus makes ids of */
#define TRIES_MAX 16 /* of one start at ports that somebody else may have */

struct mountpoint_step {
    struct janus_step js;
    unsigned tries;
};
#define MOUNTPOINT(s) CONTAINER_OF((s), struct mountpoint_step, js.step)

static struct broadcast_mountpoint_response *response_of(const struct step *s)
{
    struct broadcast_result *res = &broadcast_of(s)->record.result;
    if (!res->mountpoint_response) {
        res->mountpoint_response = mem_new(struct broadcast_mountpoint_response);
    }
    return res->mountpoint_response;
}

static const struct janus_mountpoint *spec_of(const struct step *s)
{
    return request_of(s)->mountpoint_spec;
}

static const struct model_id *id_of(const struct step *s)
{
    const struct broadcast_mountpoint_response *r =
        broadcast_of(s)->record.result.mountpoint_response;
    return r && r->id.kind != MODEL_ID_NONE ? &r->id : &spec_of(s)->id;
}

static struct janus_handle *handle_of(const struct step *s)
{
    return janus_server_streaming(JANUS_STEP(s)->server);
}

/* Before anything runs, so that no server is asked for. */
static void describe_ports(const struct step *s, struct out *o)
{
    const struct janus_server_config *c;
    if (janus_servers_find(broadcast_of(s)->service->config.janus, request_of(s)->janus, &c,
                           NULL) == 0 &&
        c->rtp_ports && rtp_ports_wanted(spec_of(s))) {
        out_printf(o, "; ports of %s", c->rtp_ports);
    }
}

static void describe(const struct step *s, struct out *o)
{
    char id[MODEL_ID_TEXT_MAX];
    const struct janus_mountpoint *m = spec_of(s);
    out_puts(o, request_of(s)->create_mountpoint ? "make mountpoint" : "use mountpoint");
    out_printf(o, " %s", m->id.kind ? model_id_text(&m->id, id) : "with an id of ours");
    for (size_t i = 0; i < m->media.len; i++) {
        const struct janus_track *t = &m->media.items[i];
        out_printf(o, "%s %s %s", i ? "," : ":", t->mid, t->codec ? t->codec : "data");
        if (t->port > 0) {
            out_printf(o, " at port %lld", (long long)t->port);
        }
    }
    if (m->type == JANUS_MOUNTPOINT_RTSP) {
        out_puts(o, ", from an RTSP server that Janus asks");
    } else if (m->type != JANUS_MOUNTPOINT_RTP && m->filename) {
        out_printf(o, ", from %s at Janus", m->filename);
    }
    if (request_of(s)->create_mountpoint) {
        describe_ports(s, o);
        out_puts(o, m->enabled ? "" : "; then disable it");
    }
}

/* ---- what Janus tells of it ---- */

static void keep_raw(struct step *s, const struct janus_result *res)
{
    struct broadcast_mountpoint_response *r = response_of(s);
    free(r->raw);
    r->raw = broadcast_reply_keep(res->data);
}

static bool same_ports(const struct endpoint_list *a, const struct broadcast_mountpoint_response *r)
{
    const struct endpoint_list before = {{r->ports.items, r->ports.len}};
    return model_equal(&endpoint_list_model, a, &before);
}

static void set_ports(struct broadcast_mountpoint_response *r, const struct endpoint_list *ports)
{
    struct endpoint_list old = {{r->ports.items, r->ports.len}};
    model_done(&endpoint_list_model, &old);
    r->ports.items = ports->items.items;
    r->ports.len = ports->items.len;
}

/* Fills the facts. 0, or an error that asking again does not change; *ret_changed: ports or id are others than before. */
static int take_info(struct step *s, const struct janus_mountpoint_info *info, bool *ret_changed,
                     struct error *err)
{
    struct broadcast_mountpoint_response *r = response_of(s);
    struct endpoint_list ports;
    _cleanup_free_ char *host = NULL;
    int x = broadcast_rtp_host(broadcast_of(s), &host, err);
    x = x < 0 ? x : broadcast_endpoints(request_of(s), host, info, &ports, err);
    if (x < 0) {
        return x;
    }
    *ret_changed = !model_id_equal(&r->id, &info->id) || !same_ports(&ports, r);
    set_ports(r, &ports);
    struct model_id id;
    model_id_copy(&id, &info->id);
    model_id_done(&r->id);
    r->id = id;
    MODEL_SET(&broadcast_mountpoint_response_model, r, exists, !s->ours);
    return 0;
}

/* ---- making it ---- */

static void on_disabled(void *user, const struct janus_result *res)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    if (res->r < 0) {
        janus_step_fail(s, res, "disable the mountpoint");
        return;
    }
    MODEL_SET(&broadcast_mountpoint_response_model, response_of(s), enabled, false);
    step_started(s, FACT_MOUNTPOINT);
}

static void disable(struct step *s)
{
    JANUS_STEP(s)->call =
        janus_streaming_enable(handle_of(s), id_of(s), spec_of(s)->secret, false, on_disabled, s);
}

static void make(struct step *s);

/* What an earlier try had bound stays bound in Janus (specs: 0.2): all of them are passed over from now on. */
static bool try_other_ports(struct step *s)
{
    struct broadcast *b = broadcast_of(s);
    struct janus_server *server = JANUS_STEP(s)->server;
    if (!broadcast_ports_wanted(b, server) || !broadcast_ports_refused(b, server) ||
        ++MOUNTPOINT(s)->tries >= TRIES_MAX) {
        return false;
    }
    s->acted = false; /* it has said that nothing is there */
    make(s);
    return true;
}

static void on_created(void *user, const struct janus_result *res,
                       const struct janus_mountpoint_info *info)
{
    struct step *s = user;
    struct error err = {0};
    bool changed;
    JANUS_STEP(s)->call = NULL;
    if (janus_streaming_port_taken(res) && try_other_ports(s)) {
        return;
    }
    if (res->r < 0) {
        janus_step_fail(s, res, "make the mountpoint");
        return;
    }
    s->ours = true;
    keep_raw(s, res);
    int r = take_info(s, info, &changed, &err);
    if (r < 0) {
        step_failed(s, &err, true);
        return;
    }
    MODEL_SET(&broadcast_mountpoint_response_model, response_of(s), enabled, true);
    if (spec_of(s)->enabled) {
        step_started(s, FACT_MOUNTPOINT);
    } else {
        disable(s);
    }
}

/* It was there already. */
static void is_there(struct step *s, const struct janus_mountpoint_info *info)
{
    struct error err = {0};
    bool changed = false;
    int r = take_info(s, info, &changed, &err);
    if (r < 0) {
        step_failed(s, &err, true);
    } else if (s->ours && info->enabled && !spec_of(s)->enabled) {
        disable(s);
    } else {
        MODEL_SET(&broadcast_mountpoint_response_model, response_of(s), enabled, info->enabled);
        step_started(s, changed ? FACT_MOUNTPOINT : 0);
    }
}

static void create(struct step *s)
{
    struct broadcast *b = broadcast_of(s);
    const char *admin_key = janus_server_config(JANUS_STEP(s)->server)->admin_key;
    struct janus_mountpoint m;
    model_copy(&janus_mountpoint_model, &m, spec_of(s));
    model_id_done(&m.id);
    model_id_copy(&m.id, id_of(s));
    if (!m.admin_key && admin_key) {
        m.admin_key = mem_strdup(admin_key);
    }
    if (!m.metadata) {
        m.metadata = broadcast_marker(b);
    }
    if (!m.name) {
        m.name = mem_printf("mast-%s", broadcast_id(b));
        for (char *dot = m.name; (dot = strchr(dot, '.'));) {
            *dot = '_'; /* a permanent one could not be filed by that */
        }
    }
    if (broadcast_ports_wanted(b, JANUS_STEP(s)->server)) {
        broadcast_ports_put(b, &m);
    }
    JANUS_STEP(s)->call = janus_streaming_create(handle_of(s), &m, on_created, s);
    model_done(&janus_mountpoint_model, &m);
}

/* The ports that it is going to have: part of what is written down before it is made, so that nobody else gets them. */
static int choose_ports(struct step *s, struct error *err)
{
    struct broadcast *b = broadcast_of(s);
    struct broadcast_request q = *request_of(s);
    struct janus_mountpoint m;
    struct endpoint_list ports;
    _cleanup_free_ char *host = NULL;
    model_copy(&janus_mountpoint_model, &m, q.mountpoint_spec);
    q.mountpoint_spec = &m;
    int r = broadcast_ports_choose(b, JANUS_STEP(s)->server, &m, err);
    r = r < 0 ? r : broadcast_rtp_host(b, &host, err);
    r = r < 0 ? r : broadcast_endpoints(&q, host, NULL, &ports, err);
    if (r == 0) {
        set_ports(response_of(s), &ports);
    }
    model_done(&janus_mountpoint_model, &m);
    return r;
}

static void make(struct step *s)
{
    struct error err = {0};
    if (broadcast_ports_wanted(broadcast_of(s), JANUS_STEP(s)->server) &&
        choose_ports(s, &err) < 0) {
        step_failed(s, &err, false);
    } else {
        step_commit(s, create);
    }
}

/* An id of ours: what Janus chose could not be found again when its answer is lost. */
static void choose_id(struct step *s)
{
    struct broadcast_mountpoint_response *r = response_of(s);
    if (id_of(s)->kind != MODEL_ID_NONE) {
        return;
    }
    if (janus_server_config(JANUS_STEP(s)->server)->string_ids) {
        r->id = (struct model_id){.kind = MODEL_ID_STR,
                                  .str = mem_printf("mast-%s", broadcast_id(broadcast_of(s)))};
    } else {
        r->id = (struct model_id){.kind = MODEL_ID_INT,
                                  .num = 1 + (int64_t)random_below((1ull << ID_BITS) - 1)};
    }
}

/* ---- whether it is there ---- */

static bool is_ours(const struct step *s, const struct janus_mountpoint_info *info)
{
    const struct janus_mountpoint *spec = spec_of(s);
    _cleanup_free_ char *marker = broadcast_marker(broadcast_of(s));
    if (spec->metadata) {
        /* The caller's own stands there: known by our intent and the id alone. */
        return s->acted && info->metadata && strcmp(info->metadata, spec->metadata) == 0;
    }
    return info->metadata && strcmp(info->metadata, marker) == 0;
}

static void on_exists(void *user, const struct janus_result *res,
                      const struct janus_mountpoint_info *info)
{
    struct step *s = user;
    struct error err = {0};
    char id[MODEL_ID_TEXT_MAX];
    bool wanted = request_of(s)->create_mountpoint;
    JANUS_STEP(s)->call = NULL;
    if (janus_says_gone(res) && !wanted) {
        janus_step_miss(s, res, "tell of the mountpoint");
    } else if (res->r < 0 && !janus_says_gone(res)) {
        janus_step_fail(s, res, "tell of the mountpoint");
    } else if (res->r < 0) {
        MOUNTPOINT(s)->tries = 0;
        make(s);
    } else if (!wanted) {
        s->ours = false;
        keep_raw(s, res);
        is_there(s, info);
    } else if (is_ours(s, info)) {
        s->ours = true;
        is_there(s, info);
    } else {
        error_set(&err, -EEXIST, s->kind->name, "janus %s has a mountpoint %s that is not ours",
                  janus_server_config(JANUS_STEP(s)->server)->name, model_id_text(id_of(s), id));
        step_failed(s, &err, true);
    }
}

static void look(struct step *s)
{
    if (request_of(s)->create_mountpoint) {
        choose_id(s);
    }
    JANUS_STEP(s)->call =
        janus_streaming_info(handle_of(s), id_of(s), spec_of(s)->secret, on_exists, s);
}

static void start(struct step *s)
{
    janus_step_ready(s, look);
}

static void on_adopt(void *user, const struct janus_result *res,
                     const struct janus_mountpoint_info *info)
{
    struct step *s = user;
    struct error err = {0};
    bool changed;
    JANUS_STEP(s)->call = NULL;
    if (res->r < 0 && !janus_says_gone(res)) {
        error_set(&err, res->r, s->kind->name, "%s", res->text);
        step_adopted(s, res->r, STEP_ABSENT, &err);
        return;
    }
    bool found = res->r == 0 && (!request_of(s)->create_mountpoint || is_ours(s, info));
    s->ours = found && request_of(s)->create_mountpoint;
    if (!found) {
        step_adopted(s, 0, STEP_ABSENT, NULL);
    } else if (s->ours && info->enabled && !spec_of(s)->enabled) {
        step_adopted(s, 0, STEP_PART, NULL); /* made, but not disabled yet */
    } else if (s->runner->up && take_info(s, info, &changed, &err) < 0) {
        step_adopted(s, -EPROTO, STEP_ABSENT, &err);
    } else {
        step_adopted(s, 0, STEP_FOUND, NULL); /* to be undone it needs no facts */
    }
}

static void adopt_look(struct step *s)
{
    JANUS_STEP(s)->call =
        janus_streaming_info(handle_of(s), id_of(s), spec_of(s)->secret, on_adopt, s);
}

static void adopt(struct step *s)
{
    if (id_of(s)->kind == MODEL_ID_NONE) {
        step_adopted(s, 0, STEP_ABSENT, NULL);
    } else {
        janus_step_ready(s, adopt_look);
    }
}

/* ---- its health ---- */

static void take_ages(struct step *s, const struct janus_mountpoint_info *info)
{
    struct broadcast *b = broadcast_of(s);
    unsigned limit = b->service->config.stale_ms ? b->service->config.stale_ms : 5000;
    const struct janus_track_info *oldest = NULL;
    /* Janus tells of the tracks of an RTSP server how old they are only while it is connected to it. */
    bool rtsp = spec_of(s)->type == JANUS_MOUNTPOINT_RTSP;
    bool away = rtsp && info->n_tracks == 0;
    broadcast_health_media(b, info);
    for (unsigned i = 0; i < info->n_tracks; i++) {
        const struct janus_track_info *t = &info->tracks[i];
        away |= rtsp && t->age_ms < 0;
        if (t->type != JANUS_DATA && (!oldest || t->age_ms > oldest->age_ms)) {
            oldest = t;
        }
    }
    if (oldest && oldest->age_ms > (int64_t)limit) {
        step_sick(s, "no media for %lld ms on track %s", (long long)oldest->age_ms, oldest->mid);
    } else if (away) {
        step_sick(s, "no media: Janus has no connection to the RTSP server");
    } else {
        step_well(s);
    }
}

/* Somebody destroyed it and made one of the same id: another's, or at other ports. */
static bool is_another(struct step *s, const struct janus_mountpoint_info *info)
{
    struct endpoint_list ports;
    _cleanup_free_ char *host = NULL;
    if (request_of(s)->create_mountpoint) {
        return !is_ours(s, info);
    }
    if (broadcast_rtp_host(broadcast_of(s), &host, NULL) < 0 ||
        broadcast_endpoints(request_of(s), host, info, &ports, NULL) < 0) {
        return false;
    }
    bool same = same_ports(&ports, response_of(s));
    model_done(&endpoint_list_model, &ports);
    return !same;
}

static void on_checked(void *user, const struct janus_result *res,
                       const struct janus_mountpoint_info *info)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    if (janus_says_gone(res)) {
        s->ours = false;
        step_lost(s, "the mountpoint is gone: %s", res->text);
    } else if (res->r == 0 && is_another(s, info)) {
        s->ours = false;
        step_lost(s, "another mountpoint is in its place");
    } else if (res->r == 0) {
        take_ages(s, info);
    }
}

static void check(struct step *s)
{
    struct janus_step *js = JANUS_STEP(s);
    if (!js->call && janus_server_ready(js->server)) {
        js->call = janus_streaming_info(handle_of(s), id_of(s), spec_of(s)->secret, on_checked, s);
    } else if (!janus_server_ready(js->server)) {
        step_sick(s, "%s", janus_server_reason(js->server));
    }
}

/* ---- its end ---- */

static void destroy(struct step *s)
{
    const struct janus_mountpoint *spec = spec_of(s);
    JANUS_STEP(s)->call = janus_streaming_destroy(handle_of(s), id_of(s), spec->secret,
                                                  spec->permanent, janus_step_on_destroyed, s);
}

static void stop(struct step *s)
{
    janus_step_stop(s, destroy);
}

const struct step_kind step_mountpoint = {
    .name = "mountpoint",
    .peer = "janus",
    .size = sizeof(struct mountpoint_step),
    .writes = FACT_MOUNTPOINT,
    .describe = describe,
    .start = start,
    .adopt = adopt,
    .check = check,
    .stop = stop,
    .drop = janus_step_drop,
};
