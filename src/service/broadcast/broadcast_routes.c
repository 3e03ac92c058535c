/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/broadcasts. Everything shown is redacted; what changes something needs the scope admin. */
#include "api/reply.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "service/broadcast/broadcast_private.h"
#include "service/broadcast/broadcast_views.h"

#include <errno.h>
#include <string.h>

#define BODY_MAX   (256 * 1024)
#define WAIT_MAX_S 300
#define LIST_MAX   1000

/* ---- answers ---- */

static void send_broadcast(struct http_reply *reply, int status, struct broadcast *b)
{
    if (status == 201) {
        _cleanup_free_ char *at = mem_printf("/api/v1/broadcasts/%s", broadcast_id(b));
        http_reply_header(reply, "Location", at);
    }
    reply_model(reply, status, &broadcast_result_model, broadcast_result(b));
}

/* What the body names and is not there (a Janus server) is a mistake in the body. */
static const struct reply_problem problems[] = {
    {-EEXIST, 409, "exists"},       {-ENOSPC, 409, "too-many-broadcasts"},
    {-ENOKEY, 409, "needs-secret"}, {-ESHUTDOWN, 503, "ending"},
    {-EBUSY, 409, "has-debts"},     {0, 400, "invalid-body"},
};

/* The one of the pattern's {id}; NULL: the answer is given. */
static struct broadcast *asked(struct broadcasts *s, struct http_request *req,
                               struct http_reply *reply)
{
    struct broadcast *b = broadcasts_find(s, http_request_param(req, "id"));
    struct error err = {0};
    if (!b) {
        error_set(&err, -ENOENT, "id", "there is no such broadcast");
        http_reply_problem(reply, 404, "not-found", &err);
    }
    return b;
}

/* ---- the query ---- */

struct query {
    int64_t wait;
    bool forget;
    uint32_t limit;
    int state;
    char *after;
};
static const struct model_enum any_state[] = {{"starting", BROADCAST_STARTING},
                                              {"running", BROADCAST_RUNNING},
                                              {"degraded", BROADCAST_DEGRADED},
                                              {"restarting", BROADCAST_RESTARTING},
                                              {"stopping", BROADCAST_STOPPING},
                                              {"stopped", BROADCAST_STOPPED},
                                              {"failed", BROADCAST_FAILED},
                                              {"any", BROADCAST_STATE_N},
                                              {NULL, 0}};
static const struct model_field query_fields[] = {
    MODEL_DURATION(struct query, wait, .def = "0s", .max = WAIT_MAX_S * NS_PER_S),
    MODEL_BOOL(struct query, forget, .def = "false"),
    MODEL_INT(struct query, limit, .def = "100", .min = 1, .max = LIST_MAX),
    MODEL_ENUM(struct query, state, any_state, .def = "any"),
    MODEL_STRING(struct query, after, .max = 64),
};
static const struct model query_model = MODEL("BroadcastQuery", struct query, query_fields);

static int read_query(struct http_request *req, struct query *ret, struct error *err)
{
    char text[128];
    int r = 0;
    model_init(&query_model, ret);
    for (size_t i = 0; r >= 0 && i < ARRAY_LEN(query_fields); i++) {
        const char *key = model_key(&query_fields[i]);
        if (http_request_query_get(req, key, text, sizeof(text))) {
            r = model_set_text(&query_model, ret, key, text, err);
        }
    }
    return r;
}

/* False: the answer is given. */
static bool take_query(struct http_request *req, struct http_reply *reply, struct query *ret)
{
    struct error err = {0};
    if (read_query(req, ret, &err) < 0) {
        http_reply_problem(reply, 400, "invalid-query", &err);
        model_done(&query_model, ret);
        return false;
    }
    return true;
}

/* ---- answers that wait for the broadcast ---- */

struct waiter {
    struct broadcast_watch watch;
    struct broadcast *b;
    struct http_reply *reply;
    struct loop_timer *timer;
    int status;
    bool for_end; /* else for what it comes to after a start */
    bool left;    /* it has left the state that is not waited for: only of a restart */
};

static void waiter_free(struct waiter *w)
{
    broadcast_unwatch(&w->watch);
    loop_timer_free(w->timer);
    free(w);
}

static void answer(struct waiter *w)
{
    send_broadcast(w->reply, w->status, w->b);
    waiter_free(w);
}

static bool has_come(struct waiter *w)
{
    switch (broadcast_state(w->b)) {
    case BROADCAST_STOPPED:
    case BROADCAST_FAILED:
        return w->for_end || w->left;
    case BROADCAST_RUNNING:
    case BROADCAST_DEGRADED:
        return !w->for_end && w->left;
    default:
        w->left = true;
        return false;
    }
}

static void on_change(struct broadcast_watch *watch, struct broadcast *b)
{
    struct waiter *w = CONTAINER_OF(watch, struct waiter, watch);
    if (has_come(w)) {
        answer(w);
    }
}

/* It is taken off the list, or the server ends. */
static void on_gone(struct broadcast_watch *watch)
{
    struct waiter *w = CONTAINER_OF(watch, struct waiter, watch);
    list_init(&w->watch.node);
    answer(w);
}

static void on_time(void *user)
{
    answer(user);
}

static void on_left(void *user)
{
    waiter_free(user);
}

/* Answers at once when there is nothing to wait for, else when it has come to something or the time is up. */
static void answer_when(struct http_reply *reply, int status, struct broadcast *b, int64_t wait_ns,
                        bool for_end)
{
    struct waiter *w = mem_new(struct waiter);
    *w = (struct waiter){
        .watch = {.on_change = on_change, .on_gone = on_gone},
        .b = b,
        .reply = reply,
        .status = status,
        .for_end = for_end,
    };
    list_init(&w->watch.node);
    if (has_come(w) || wait_ns == 0) {
        answer(w);
        return;
    }
    broadcast_watch(b, &w->watch);
    http_reply_on_gone(reply, on_left, w);
    w->timer = loop_timer_new(b->service->config.control, on_time, w);
    loop_timer_start(w->timer, (uint64_t)(wait_ns / NS_PER_MS));
}

/* ---- all of them ---- */

struct listing {
    struct json *j;
    const struct query *q;
    uint32_t left;
    bool skipping; /* until the one that `after` names has passed */
    const char *last;
    bool more;
};

static void add_item(void *user, struct broadcast *b)
{
    struct listing *l = user;
    if (l->skipping) {
        l->skipping = strcmp(broadcast_id(b), l->q->after) != 0;
        return;
    }
    if (l->q->state != BROADCAST_STATE_N && (int)broadcast_state(b) != l->q->state) {
        return;
    }
    if (l->left == 0) {
        l->more = true;
        return;
    }
    l->left--;
    l->last = broadcast_id(b);
    (void)model_write(&broadcast_result_model, broadcast_result(b), NULL, l->j);
}

static void handle_list(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    struct query q;
    if (!take_query(req, reply, &q)) {
        return;
    }
    /* One that went meanwhile: the page begins anew, rather than being empty. */
    struct listing l = {
        .j = &j, .q = &q, .left = q.limit, .skipping = q.after && broadcasts_find(user, q.after)};
    json_object_begin(&j);
    json_key(&j, "items");
    json_array_begin(&j);
    broadcasts_each(user, add_item, &l);
    json_array_end(&j);
    if (l.more) {
        json_put_str(&j, "next", l.last);
    }
    json_object_end(&j);
    reply_json(reply, 200, &o);
    model_done(&query_model, &q);
}

static void handle_start(void *user, struct http_request *req, struct http_reply *reply)
{
    struct broadcast_request request;
    struct error err = {0};
    struct query q;
    struct broadcast *b = NULL;
    if (!take_query(req, reply, &q)) {
        return;
    }
    int64_t wait = q.wait;
    model_done(&query_model, &q);
    if (broadcast_request_parse(&request, http_request_body(req), BODY_MAX, &err) < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
        return;
    }
    int r = broadcasts_start(user, &request, &b, &err);
    if (r < 0) {
        reply_errno(reply, problems, r, &err);
        return;
    }
    answer_when(reply, 201, b, wait, false);
}

static void handle_plan(void *user, struct http_request *req, struct http_reply *reply)
{
    _cleanup_(out_done) struct out o = {0};
    struct json j = json_init(&o);
    struct broadcast_request request;
    struct error err = {0};
    if (broadcast_request_parse(&request, http_request_body(req), BODY_MAX, &err) < 0) {
        http_reply_problem(reply, 400, "invalid-body", &err);
        return;
    }
    int r = broadcasts_plan(user, &request, &j, &err);
    model_done(&broadcast_request_model, &request);
    if (r < 0) {
        reply_errno(reply, problems, r, &err);
        return;
    }
    reply_json(reply, 200, &o);
}

struct stopped {
    uint32_t stopping;
};
static const struct model_field stopped_fields[] = {
    MODEL_INT(struct stopped, stopping, .doc = "How many were told to stop."),
};
static const struct model stopped_model =
    MODEL("BroadcastsStopping", struct stopped, stopped_fields, .unknown = MODEL_IGNORE);

static void stop_one(void *user, struct broadcast *b)
{
    struct stopped *n = user;
    n->stopping += broadcast_is_live(b);
    broadcast_stop(b); /* also of one that ended, and is to come back once its debts are paid */
}

static void handle_stop_all(void *user, struct http_request *req, struct http_reply *reply)
{
    struct stopped n = {0};
    broadcasts_each(user, stop_one, &n);
    reply_model(reply, 202, &stopped_model, &n);
}

/* ---- one ---- */

static void handle_get(void *user, struct http_request *req, struct http_reply *reply)
{
    struct broadcast *b = asked(user, req, reply);
    if (b) {
        send_broadcast(reply, 200, b);
    }
}

static void forget(struct broadcast *b, struct http_reply *reply)
{
    struct error err = {0};
    if (broadcast_forget(b) < 0) {
        error_set(&err, -EBUSY, "id", "has not ended: stop it first");
        http_reply_problem(reply, 409, "not-ended", &err);
        return;
    }
    http_reply_send(reply, 204, NULL, NULL);
}

static void handle_delete(void *user, struct http_request *req, struct http_reply *reply)
{
    struct broadcast *b = asked(user, req, reply);
    struct query q;
    if (!b || !take_query(req, reply, &q)) {
        return;
    }
    if (q.forget) {
        forget(b, reply);
    } else {
        broadcast_stop(b);
        answer_when(reply, 202, b, q.wait, true);
    }
    model_done(&query_model, &q);
}

static void handle_restart(void *user, struct http_request *req, struct http_reply *reply)
{
    struct broadcast *b = asked(user, req, reply);
    struct error err = {0};
    struct query q;
    if (!b || !take_query(req, reply, &q)) {
        return;
    }
    int r = broadcast_restart(b, &err);
    if (r < 0) {
        reply_errno(reply, problems, r, &err);
    } else {
        answer_when(reply, 202, b, q.wait, false);
    }
    model_done(&query_model, &q);
}

static void handle_health(void *user, struct http_request *req, struct http_reply *reply)
{
    struct broadcast *b = asked(user, req, reply);
    if (!b) {
        return;
    }
    const struct broadcast_result *res = broadcast_result(b);
    const struct broadcast_health ended = {.reason = res->reason, .checked_at = res->changed_at};
    reply_model(reply, 200, &broadcast_health_model, res->health ? res->health : &ended);
}

static void handle_settle(void *user, struct http_request *req, struct http_reply *reply)
{
    struct broadcast *b = asked(user, req, reply);
    if (b) {
        broadcast_settle(b);
        send_broadcast(reply, 202, b);
    }
}

/* ---- the tables ---- */

#define BAD_BODY                                                                                   \
    {                                                                                              \
        400, "invalid-body", "`field` says which part of the body"                                 \
    }
#define BAD_QUERY                                                                                  \
    {                                                                                              \
        400, "invalid-query", "`field` says which part of the query"                               \
    }
#define NOT_FOUND                                                                                  \
    {                                                                                              \
        404, "not-found", "there is no such broadcast"                                             \
    }
#define LAST                                                                                       \
    {                                                                                              \
        .status = 0                                                                                \
    }

static const struct http_doc_problem start_problems[] = {
    BAD_BODY,
    BAD_QUERY,
    {409, "exists", "there is a broadcast with this id; an ended one counts until it is forgotten"},
    {409, "too-many-broadcasts", "as many run as `broadcasts.max` lets"},
    {409, "needs-secret", "there is no key to keep its secrets with; docs/operation.md"},
    {503, "ending", "the server is ending"},
    LAST,
};
static const struct http_doc_problem plan_problems[] = {BAD_BODY, LAST};
static const struct http_doc_problem list_problems[] = {BAD_QUERY, LAST};
static const struct http_doc_problem one_problems[] = {NOT_FOUND, LAST};
static const struct http_doc_problem delete_problems[] = {
    BAD_QUERY, NOT_FOUND, {409, "not-ended", "only an ended one can be forgotten"}, LAST};
static const struct http_doc_problem restart_problems[] = {
    BAD_QUERY, NOT_FOUND, {409, "has-debts", "something of it could not be undone yet"}, LAST};

#define ID_PARAM                                                                                   \
    {                                                                                              \
        "id", "path", "The broadcast's id.", "br_7QiRQFcj3z6z"                                     \
    }
#define WAIT_PARAM(text)                                                                           \
    {                                                                                              \
        "wait", "query", text " At most 300 s; without it the answer comes at once.", "30s"        \
    }
#define NO_PARAM                                                                                   \
    {                                                                                              \
        .name = NULL                                                                               \
    }

static const struct http_doc_param list_params[] = {
    {"state", "query", "Only those in this state.", "running"},
    {"limit", "query", "At most so many; 100, and 1000 at most.", "100"},
    {"after", "query", "The `next` of the page before.", "br_7QiRQFcj3z6z"},
    NO_PARAM,
};
static const struct http_doc_param start_params[] = {
    WAIT_PARAM("Answers when it runs (also degraded) or has failed, or after this time."),
    NO_PARAM};
static const struct http_doc_param id_params[] = {ID_PARAM, NO_PARAM};
static const struct http_doc_param delete_params[] = {
    ID_PARAM,
    WAIT_PARAM("Answers when it has ended, or after this time."),
    {"forget", "query",
     "true: takes one that has ended off the list, with what it still owes to its peers.", "true"},
    NO_PARAM,
};
static const struct http_doc_param restart_params[] = {
    ID_PARAM, WAIT_PARAM("Answers when it runs again or has failed, or after this time."),
    NO_PARAM};

static const struct http_route_doc list_doc = {
    .text =
        "In the order in which they were made; the ended ones as long as `broadcasts.keep` says.",
    .reply_text = "The broadcasts, and `next` when there are more",
    .params = list_params,
    .problems = list_problems,
};
static const struct http_route_doc start_doc = {
    .text =
        "docs/broadcasts.md has a request for each source. Whether it runs is said by `state`, also when it has failed.",
    .status = 201,
    .reply_text = "The broadcast",
    .body_example =
        "{\"source_kind\":\"videoroom\",\"room_id\":1234,\"publisher_id\":5,\"mountpoint_spec\":{\"id\":9001,"
        "\"media\":[{\"type\":\"video\",\"codec\":\"h264\",\"pt\":96,\"port\":0},"
        "{\"type\":\"audio\",\"codec\":\"opus\",\"pt\":111,\"port\":0}]}}",
    .params = start_params,
    .problems = start_problems,
};
static const struct http_route_doc plan_doc = {
    .text = "Nothing is begun and nobody is asked; a request that a start would refuse is refused.",
    .reply_text = "The steps, in their order",
    .body_example =
        "{\"source_kind\":\"videoroom\",\"room_id\":1234,\"publisher_id\":5,\"mountpoint_spec\":{\"id\":9001,"
        "\"media\":[{\"type\":\"video\",\"codec\":\"h264\",\"pt\":96,\"port\":0}]}}",
    .problems = plan_problems,
};
static const struct http_route_doc stop_all_doc = {
    .text = "A verb of its own, so that a DELETE whose id got lost stops nothing.",
    .status = 202,
    .reply_text = "They are being stopped",
};
static const struct http_route_doc get_doc = {
    .text =
        "With its request, steps, health, what the peers answered; secrets as `***`. A step in state `debt` is an undo that "
        "could not run yet.",
    .reply_text = "The broadcast",
    .params = id_params,
    .problems = one_problems,
};
static const struct http_route_doc delete_doc = {
    .text =
        "What it made is undone, and only that; it stays listed until it is forgotten. One that has ended stays as it is.",
    .status = 202,
    .reply_text = "The broadcast; forgotten: 204 and nothing",
    .params = delete_params,
    .problems = delete_problems,
};
static const struct http_route_doc restart_doc = {
    .text = "Undoes all and begins again, also one that has ended.",
    .status = 202,
    .reply_text = "The broadcast",
    .params = restart_params,
    .problems = restart_problems,
};
static const struct http_route_doc health_doc = {
    .text = "What the last checks found, without asking anybody.",
    .reply_text = "Its health",
    .params = id_params,
    .problems = one_problems,
};
static const struct http_route_doc settle_doc = {
    .text = "Tries now what could not be undone, instead of after the wait.",
    .status = 202,
    .reply_text = "The broadcast",
    .params = id_params,
    .problems = one_problems,
};

#define ROUTE(verb, path, fn, who, text, ...)                                                      \
    {                                                                                              \
        .method = (verb), .kind = HTTP_ROUTE_CONTROL, .pattern = "/api/v1/broadcasts" path,        \
        .handle = (fn), .max_body_bytes = BODY_MAX, .summary = (text), .scope = (who), __VA_ARGS__ \
    }

const struct http_route broadcast_routes[] = {
    ROUTE(HTTP_GET, "", handle_list, "read", "The broadcasts",
          .reply_model = &broadcast_result_list_model, .doc = &list_doc),
    ROUTE(HTTP_POST, "", handle_start, "admin", "Starts a broadcast",
          .body_model = &broadcast_request_model, .reply_model = &broadcast_result_model,
          .doc = &start_doc),
    ROUTE(HTTP_POST, "/plan", handle_plan, "admin", "The steps that a request would take",
          .body_model = &broadcast_request_model, .reply_model = &broadcast_plan_model,
          .doc = &plan_doc),
    ROUTE(HTTP_POST, "/stop-all", handle_stop_all, "admin", "Stops every broadcast",
          .reply_model = &stopped_model, .doc = &stop_all_doc),
    ROUTE(HTTP_GET, "/{id}", handle_get, "read", "A broadcast",
          .reply_model = &broadcast_result_model, .doc = &get_doc),
    ROUTE(HTTP_DELETE, "/{id}", handle_delete, "admin",
          "Stops a broadcast, or forgets an ended one", .reply_model = &broadcast_result_model,
          .doc = &delete_doc),
    ROUTE(HTTP_POST, "/{id}/restart", handle_restart, "admin",
          "Undoes a broadcast and begins again", .reply_model = &broadcast_result_model,
          .doc = &restart_doc),
    ROUTE(HTTP_GET, "/{id}/health", handle_health, "read", "How well a broadcast is",
          .reply_model = &broadcast_health_model, .doc = &health_doc),
    ROUTE(HTTP_POST, "/{id}/settle", handle_settle, "admin", "Pays what a broadcast owes, now",
          .reply_model = &broadcast_result_model, .doc = &settle_doc),
};
const unsigned broadcast_routes_n = ARRAY_LEN(broadcast_routes);
