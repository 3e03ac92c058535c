/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /api/v1/janus: the Janus servers, and what is at them as they tell it now, with the broadcasts that it belongs to. A
 * question waits for the server as long as READY_MS, then for the answer as long as a call may take.
 */
#include "api/reply.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "service/broadcast/broadcast_private.h"
#include "service/broadcast/broadcast_views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READY_MS 8000

static char *dup_text(const char *text)
{
    return text && *text ? mem_strdup(text) : NULL;
}

/* ---- whose is it ---- */

static bool is_at(const struct broadcast *b, const struct janus_server_config *server)
{
    const struct janus_server_config *own;
    return broadcast_is_live(b) &&
           janus_servers_find(b->service->config.janus, b->record.result.request.janus, &own,
                              NULL) == 0 &&
           own == server;
}

/* The id in our marker, {"mast":"br_..."}; to be freed, NULL: there is none. */
static char *marker_id(const char *metadata)
{
    struct marker {
        char *mast;
    };
    static const struct model_field fields[] = {MODEL_STRING(struct marker, mast, .max = 64)};
    static const struct model model =
        MODEL("Marker", struct marker, fields, .unknown = MODEL_IGNORE);
    struct marker m;
    if (!metadata || model_parse_json(&model, &m, BYTES_STR(metadata), NULL, NULL) < 0) {
        return NULL;
    }
    return m.mast;
}

static const struct broadcast *user_of(const struct broadcasts *s,
                                       const struct janus_server_config *server,
                                       const struct model_id *mountpoint)
{
    LIST_FOREACH (it, &s->all) {
        const struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        const struct broadcast_mountpoint_response *r = b->record.result.mountpoint_response;
        if (r && is_at(b, server) && model_id_equal(&r->id, mountpoint)) {
            return b;
        }
    }
    return NULL;
}

static bool is_in_room(const struct broadcast *b, const struct janus_server_config *server,
                       const struct model_id *room)
{
    return is_at(b, server) && model_id_equal(&b->record.result.request.room_id, room);
}

/* Of the room, when one of our broadcasts knows it. */
static const char *secret_of_room(const struct broadcasts *s,
                                  const struct janus_server_config *server,
                                  const struct model_id *room)
{
    LIST_FOREACH (it, &s->all) {
        const struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        const struct janus_room *spec = b->record.result.request.room_spec;
        if (spec && spec->secret && is_in_room(b, server, room)) {
            return spec->secret;
        }
    }
    return NULL;
}

static const struct broadcast *maker_of(const struct broadcasts *s,
                                        const struct janus_server_config *server,
                                        const struct model_id *room,
                                        const struct janus_forwarder *f)
{
    LIST_FOREACH (it, &s->all) {
        const struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        const struct broadcast_forward_response *r = b->record.result.forward_response;
        if (!r || !is_in_room(b, server, room)) {
            continue;
        }
        for (size_t i = 0; i < r->forwarders.len; i++) {
            if (r->forwarders.items[i].stream_id == f->stream_id) {
                return b;
            }
        }
    }
    return NULL;
}

/* ---- servers ---- */

static void fill_server(const struct broadcasts *s, unsigned i, struct janus_server_view *v)
{
    const struct janus_server_config *c = janus_servers_config(s->config.janus, i);
    struct janus *client = janus_servers_client(s->config.janus, i);
    const struct janus_server_info *info = client ? janus_server_info(client) : NULL;
    *v = (struct janus_server_view){
        .name = mem_strdup(c->name),
        .url = mem_strdup(c->url),
        .public_url = dup_text(c->public_url),
        .state = mem_strdup(client ? janus_state_to_str(janus_state(client)) : "idle"),
        .version = info ? dup_text(info->version_string) : NULL,
        .server_name = info ? dup_text(info->name) : NULL,
    };
    struct janus_server *server = NULL;
    if (client && janus_servers_get(s->config.janus, c->name, &server, NULL) == 0 &&
        !janus_server_ready(server)) {
        v->reason = mem_strdup(janus_server_reason(server));
    }
    LIST_FOREACH (it, &s->all) {
        v->broadcasts += is_at(LIST_ENTRY(it, struct broadcast, node), c);
    }
}

static void handle_servers(void *user, struct http_request *req, struct http_reply *reply)
{
    const struct broadcasts *s = user;
    struct janus_server_view_list list = {{0}};
    list.items.len = janus_servers_len(s->config.janus);
    list.items.items = mem_new_array(struct janus_server_view, list.items.len);
    for (unsigned i = 0; i < list.items.len; i++) {
        fill_server(s, i, &list.items.items[i]);
    }
    reply_model(reply, 200, &janus_server_view_list_model, &list);
    model_done(&janus_server_view_list_model, &list);
}

/* ---- questions to a server ---- */

struct question {
    struct broadcasts *service;
    struct janus_server *server;
    struct janus_server_user use;
    struct janus_call *call;
    struct loop_timer *timer;
    struct http_reply *reply;
    void (*ask)(struct question *q);
    bool asked;
    struct model_id room;
    struct janus_room_view view; /* of one room, as far as it is known */
};

static void question_free(struct question *q)
{
    janus_server_leave(&q->use);
    loop_timer_free(q->timer);
    janus_call_cancel(q->call);
    model_id_done(&q->room);
    model_done(&janus_room_view_model, &q->view);
    free(q);
}

static void refuse(struct question *q, int status, const char *code, const char *text)
{
    struct error err = {0};
    error_set(&err, -EREMOTEIO, "janus", "%s", text);
    http_reply_problem(q->reply, status, code, &err);
    question_free(q);
}

static void refuse_result(struct question *q, const struct janus_result *res)
{
    bool gone = res->code == JANUS_ROOM_NO_SUCH;
    refuse(q, gone ? 404 : 502, gone ? "not-found" : "janus-refused", res->text);
}

static void ask_now(struct question *q)
{
    q->asked = true;
    loop_timer_stop(q->timer);
    q->ask(q);
}

static void on_ready(struct janus_server_user *u, bool lost)
{
    struct question *q = CONTAINER_OF(u, struct question, use);
    if (!q->asked) {
        ask_now(q);
    }
}

static void on_time(void *user)
{
    struct question *q = user;
    refuse(q, 503, "janus-unreachable", janus_server_reason(q->server));
}

/* The try that was made for it failed. A call that is under way is answered by peer/janus itself. */
static void on_down(struct janus_server_user *u)
{
    struct question *q = CONTAINER_OF(u, struct question, use);
    if (!q->asked) {
        on_time(q);
    }
}

static void on_left(void *user)
{
    question_free(user);
}

/* NULL: the answer is given. */
static struct question *question_new(struct broadcasts *s, struct http_request *req,
                                     struct http_reply *reply)
{
    struct error err = {0};
    struct janus_server *server;
    int r = janus_servers_get(s->config.janus, http_request_param(req, "name"), &server, &err);
    if (r == -ENOENT) {
        http_reply_problem(reply, 404, "not-found", &err);
        return NULL;
    }
    if (r < 0) {
        http_reply_problem(reply, 503, "janus-unreachable", &err);
        return NULL;
    }
    struct question *q = mem_new(struct question);
    *q = (struct question){.service = s,
                           .server = server,
                           .use = {.on_ready = on_ready, .on_down = on_down},
                           .reply = reply};
    list_init(&q->use.node);
    return q;
}

static void question_ask(struct question *q, void (*ask)(struct question *q))
{
    q->ask = ask;
    q->timer = loop_timer_new(q->service->config.control, on_time, q);
    http_reply_on_gone(q->reply, on_left, q);
    if (janus_server_ready(q->server)) {
        ask_now(q);
        return;
    }
    janus_server_use(q->server, &q->use);
    loop_timer_start(q->timer, READY_MS);
    janus_retry(janus_server_client(q->server)); /* last: when it fails, q is gone */
}

/* ---- mountpoints ---- */

static void fill_mountpoint(const struct question *q, const struct janus_mountpoint_info *from,
                            struct janus_mountpoint_view *v)
{
    *v = (struct janus_mountpoint_view){.description = dup_text(from->description),
                                        .enabled = from->enabled};
    model_id_copy(&v->id, &from->id);
    v->broadcast = marker_id(from->metadata);
    const struct broadcast *b = v->broadcast
                                    ? broadcasts_find(q->service, v->broadcast)
                                    : user_of(q->service, janus_server_config(q->server), &v->id);
    v->ours = b != NULL;
    if (b && !v->broadcast) {
        v->broadcast = mem_strdup(broadcast_id(b));
    }
    v->media.items = mem_new_array(struct janus_track_view, MAX(from->n_tracks, 1u));
    v->media.len = from->n_tracks;
    for (unsigned i = 0; i < from->n_tracks; i++) {
        struct janus_track_view *t = &v->media.items[i];
        *t = (struct janus_track_view){.mid = dup_text(from->tracks[i].mid),
                                       .type = from->tracks[i].type,
                                       .codec = dup_text(from->tracks[i].codec)};
        if (from->tracks[i].age_ms >= 0) {
            MODEL_SET(&janus_track_view_model, t, age_ms, from->tracks[i].age_ms);
        }
    }
}

/* false: it is refused, and q is gone. */
static bool take_result(struct question *q, const struct janus_result *res)
{
    bool answered = res->r >= 0;
    q->call = NULL;
    if (!answered) {
        refuse_result(q, res);
    }
    return answered;
}

/* The end of q, and of the list. */
static void send_list(struct question *q, const struct model *m, void *list)
{
    reply_model(q->reply, 200, m, list);
    model_done(m, list);
    question_free(q);
}

static void on_mountpoints(void *user, const struct janus_result *res,
                           const struct janus_mountpoint_info *infos, unsigned n)
{
    struct question *q = user;
    if (!take_result(q, res)) {
        return;
    }
    struct janus_mountpoint_view_list list = {{0}};
    list.items.items = mem_new_array(struct janus_mountpoint_view, MAX(n, 1u));
    list.items.len = n;
    for (unsigned i = 0; i < n; i++) {
        fill_mountpoint(q, &infos[i], &list.items.items[i]);
    }
    send_list(q, &janus_mountpoint_view_list_model, &list);
}

static void ask_mountpoints(struct question *q)
{
    q->call = janus_streaming_list(janus_server_streaming(q->server),
                                   janus_server_config(q->server)->admin_key, on_mountpoints, q);
}

static void handle_mountpoints(void *user, struct http_request *req, struct http_reply *reply)
{
    struct question *q = question_new(user, req, reply);
    if (q) {
        question_ask(q, ask_mountpoints);
    }
}

/* ---- rooms ---- */

static void fill_room(const struct question *q, const struct janus_room_info *from,
                      struct janus_room_view *v)
{
    const struct janus_server_config *server = janus_server_config(q->server);
    *v = (struct janus_room_view){.description = dup_text(from->description),
                                  .pin_required = from->pin_required,
                                  .participants_now = from->participants,
                                  .publishers_max = from->publishers_max,
                                  .audiocodec = dup_text(from->audiocodec),
                                  .videocodec = dup_text(from->videocodec)};
    model_id_copy(&v->room, &from->room);
    LIST_FOREACH (it, &q->service->all) {
        const struct broadcast *b = LIST_ENTRY(it, struct broadcast, node);
        if (is_in_room(b, server, &v->room)) {
            v->broadcasts.items =
                mem_realloc(v->broadcasts.items, (v->broadcasts.len + 1) * sizeof(char *));
            v->broadcasts.items[v->broadcasts.len++] = mem_strdup(broadcast_id(b));
        }
    }
}

static void on_rooms(void *user, const struct janus_result *res,
                     const struct janus_room_info *rooms, unsigned n)
{
    struct question *q = user;
    if (!take_result(q, res)) {
        return;
    }
    struct janus_room_view_list list = {{0}};
    list.items.items = mem_new_array(struct janus_room_view, MAX(n, 1u));
    list.items.len = n;
    for (unsigned i = 0; i < n; i++) {
        fill_room(q, &rooms[i], &list.items.items[i]);
    }
    send_list(q, &janus_room_view_list_model, &list);
}

static void ask_rooms(struct question *q)
{
    q->call = janus_room_list(janus_server_rooms(q->server),
                              janus_server_config(q->server)->room_admin_key, on_rooms, q);
}

static void handle_rooms(void *user, struct http_request *req, struct http_reply *reply)
{
    struct question *q = question_new(user, req, reply);
    if (q) {
        question_ask(q, ask_rooms);
    }
}

/* ---- one room: its entry in the list, who is inside, what is forwarded ---- */

static void send_room(struct question *q)
{
    reply_model(q->reply, 200, &janus_room_view_model, &q->view);
    question_free(q);
}

static void on_forwarders(void *user, const struct janus_result *res,
                          const struct janus_forwarder *f, unsigned n)
{
    struct question *q = user;
    q->call = NULL;
    if (res->r < 0) {
        q->view.forwarders_hidden = mem_strdup(res->text);
        send_room(q);
        return;
    }
    q->view.forwarders.items = mem_new_array(struct janus_forwarder_view, MAX(n, 1u));
    q->view.forwarders.len = n;
    for (unsigned i = 0; i < n; i++) {
        struct janus_forwarder_view *v = &q->view.forwarders.items[i];
        const struct broadcast *b =
            maker_of(q->service, janus_server_config(q->server), &q->room, &f[i]);
        *v = (struct janus_forwarder_view){.stream_id = f[i].stream_id,
                                           .type = f[i].type,
                                           .host = dup_text(f[i].host),
                                           .port = f[i].port,
                                           .broadcast = b ? mem_strdup(broadcast_id(b)) : NULL};
        model_id_copy(&v->publisher_id, &f[i].publisher_id);
    }
    send_room(q);
}

static void on_participants(void *user, const struct janus_result *res,
                            const struct janus_participant *p, unsigned n)
{
    struct question *q = user;
    const struct janus_server_config *server = janus_server_config(q->server);
    if (!take_result(q, res)) {
        return;
    }
    q->view.participants.items = mem_new_array(struct janus_participant_view, MAX(n, 1u));
    q->view.participants.len = n;
    for (unsigned i = 0; i < n; i++) {
        struct janus_participant_view *v = &q->view.participants.items[i];
        *v = (struct janus_participant_view){.display = dup_text(p[i].display),
                                             .publisher = p[i].publisher};
        model_id_copy(&v->id, &p[i].id);
    }
    q->call = janus_room_forwarders(janus_server_rooms(q->server), &q->room,
                                    secret_of_room(q->service, server, &q->room), on_forwarders, q);
}

static void on_room_listed(void *user, const struct janus_result *res,
                           const struct janus_room_info *rooms, unsigned n)
{
    struct question *q = user;
    if (!take_result(q, res)) {
        return;
    }
    model_id_copy(&q->view.room, &q->room);
    for (unsigned i = 0; i < n; i++) {
        if (model_id_equal(&rooms[i].room, &q->room)) {
            model_id_done(&q->view.room);
            fill_room(q, &rooms[i], &q->view);
        }
    }
    /* One that is not listed may be private. */
    q->call = janus_room_participants(janus_server_rooms(q->server), &q->room, on_participants, q);
}

static void ask_room(struct question *q)
{
    q->call = janus_room_list(janus_server_rooms(q->server),
                              janus_server_config(q->server)->room_admin_key, on_room_listed, q);
}

/* As the server has its ids: numbers, unless its plugins are configured with string_ids. */
static bool parse_room(const struct janus_server_config *server, const char *text,
                       struct model_id *ret)
{
    if (server->string_ids) {
        *ret = (struct model_id){.kind = MODEL_ID_STR, .str = mem_strdup(text)};
        return true;
    }
    char *end;
    errno = 0;
    long long num = strtoll(text, &end, 10);
    *ret = (struct model_id){.kind = MODEL_ID_INT, .num = num};
    return errno == 0 && end != text && *end == '\0' && num > 0;
}

static void handle_room(void *user, struct http_request *req, struct http_reply *reply)
{
    struct question *q = question_new(user, req, reply);
    if (!q) {
        return;
    }
    if (!parse_room(janus_server_config(q->server), http_request_param(req, "room"), &q->room)) {
        refuse(q, 404, "not-found", "rooms of this server have numbers");
        return;
    }
    question_ask(q, ask_room);
}

/* ---- the table ---- */

static const struct http_doc_problem problems[] = {
    {404, "not-found", "the configuration has no such server, or the server no such room"},
    {502, "janus-refused", "`detail` has its words"},
    {503, "janus-unreachable", "`detail` says why, as far as is known"},
    {.status = 0},
};
static const struct http_doc_param params[] = {
    {"name", "path", "The server's name in the configuration.", "main"},
    {"room", "path", "The room's id.", "1234"},
    {.name = NULL},
};
static const struct http_route_doc servers_doc = {
    .text = "Those of `janus` in the configuration; without one, the one on this machine.",
    .reply_text = "The servers",
};
static const struct http_route_doc mountpoints_doc = {
    .text = "As the server lists them now, private ones when it has our `admin_key`.",
    .reply_text = "The mountpoints",
    .params = params,
    .problems = problems,
};
static const struct http_route_doc rooms_doc = {
    .text = "As the server lists them now, private ones when it has our `room_admin_key`.",
    .reply_text = "The rooms",
    .params = params,
    .problems = problems,
};
static const struct http_route_doc room_doc = {
    .text =
        "Its forwarders are told to who knows the room's secret: a broadcast of this server in that room.",
    .reply_text = "The room with its participants and forwarders",
    .params = params,
    .problems = problems,
};

#define ROUTE(path, fn, text, model, about)                                                        \
    {                                                                                              \
        .method = HTTP_GET, .kind = HTTP_ROUTE_CONTROL, .pattern = "/api/v1/janus" path,           \
        .handle = (fn), .summary = (text), .reply_model = (model), .doc = (about), .scope = "read" \
    }

const struct http_route janus_routes[] = {
    ROUTE("", handle_servers, "The Janus servers", &janus_server_view_list_model, &servers_doc),
    ROUTE("/{name}/mountpoints", handle_mountpoints, "The mountpoints of a Janus",
          &janus_mountpoint_view_list_model, &mountpoints_doc),
    ROUTE("/{name}/rooms", handle_rooms, "The rooms of a Janus", &janus_room_view_list_model,
          &rooms_doc),
    ROUTE("/{name}/rooms/{room}", handle_room, "A room of a Janus, and who is in it",
          &janus_room_view_model, &room_doc),
};
const unsigned janus_routes_n = ARRAY_LEN(janus_routes);
