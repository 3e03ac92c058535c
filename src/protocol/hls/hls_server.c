/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/hls/hls_server.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/access_http.h"
#include "io/http_doc.h"
#include "io/http_wire.h"
#include "protocol/hls/hls_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "hls");

/* ---- requests ---- */

static void free_request(struct hls_request *q)
{
    q->ticket = access_cancel(q->ticket);
    for (unsigned i = 0; i < q->n_pieces; i++) {
        buf_unref(&q->pieces[i]);
    }
    free(q->pieces);
    free(q->query);
    free(q);
}

void hls_request_add_piece(struct hls_request *q, struct buf *b)
{
    if (q->n_pieces == q->cap_pieces) {
        q->cap_pieces = MAX(2 * q->cap_pieces, 4u);
        q->pieces = mem_realloc(q->pieces, q->cap_pieces * sizeof(struct buf *));
    }
    q->pieces[q->n_pieces++] = buf_ref(b);
}

static void reply_problem(const struct hls_server *s, struct http_request *req,
                          struct http_reply *reply, int status, const struct error *err)
{
    const char *code = status == 400   ? "bad-request"
                       : status == 401 ? "unauthorized"
                       : status == 403 ? "forbidden"
                       : status == 404 ? "not-found"
                       : status == 429 ? "too-many-attempts"
                                       : "unavailable";
    hls_cors_put(s, req, reply);
    http_reply_header(reply, "Cache-Control", "no-cache");
    if (status == 503 || status == 429) {
        http_reply_header(reply, "Retry-After", status == 429 ? "5" : "1");
    }
    http_reply_problem(reply, status, code, err);
}

static const char *content_type(const struct hls_name *name)
{
    switch (name->kind) {
    case HLS_MASTER:
    case HLS_PLAYLIST:
        return "application/vnd.apple.mpegurl";
    case HLS_INIT:
    case HLS_SEGMENT:
    case HLS_PART:
        break;
    }
    return name->media == TRACK_VIDEO ? "video/mp4" : "audio/mp4";
}

/*
 * A cache that many share must not pass on what was granted to one: credentials of the query are in the address, so in the
 * cache's key, those of a header are not (nginx, for one, would store what came by Authorization).
 */
static bool is_private(const struct http_request *req)
{
    const char *cookie = http_request_header(req, "Cookie");
    return http_request_header(req, "Authorization") || (cookie && strstr(cookie, ACCESS_COOKIE));
}

static void send_answer(struct hls_request *q)
{
    struct http_reply *reply = TAKE_PTR(q->reply);
    bool immutable = q->name.kind != HLS_MASTER && q->name.kind != HLS_PLAYLIST;
    char caching[64];
    if (q->status != 200) {
        reply_problem(q->server, q->req, reply, q->status, &q->err);
        return;
    }
    snprintf(caching, sizeof(caching), "%smax-age=%u%s", is_private(q->req) ? "private, " : "",
             q->max_age_s, immutable ? ", immutable" : "");
    hls_cors_put(q->server, q->req, reply);
    http_reply_header(reply, "Cache-Control", q->max_age_s > 0 ? caching : "no-cache");
    if (q->name.kind == HLS_PLAYLIST) {
        http_reply_header(reply, "Vary", "Accept-Encoding");
    }
    if (q->packed) {
        http_reply_header(reply, "Content-Encoding", "gzip");
    }
    http_reply_send_pieces(reply, 200, content_type(&q->name), q->pieces, q->n_pieces);
}

static void put_muxer(struct hls_server *s, struct hls_muxer *m)
{
    pthread_mutex_lock(&s->lock);
    m->refs--;
    pthread_mutex_unlock(&s->lock);
}

/* The connection's loop: it is back. */
static void deliver_return(struct loop *l, struct loop_msg *msg)
{
    struct hls_request *q = CONTAINER_OF(msg, struct hls_request, msg);
    put_muxer(q->server, q->muxer);
    if (q->reply) {
        send_answer(q);
    }
    free_request(q);
}

void hls_request_return(struct hls_request *q)
{
    q->msg.deliver = deliver_return;
    loop_post(q->loop, &q->msg);
}

/* ---- to the muxer ---- */

bool hls_server_forget(struct hls_server *s, struct hls_muxer *m)
{
    pthread_mutex_lock(&s->lock);
    bool free_now = m->refs == 0;
    if (free_now) {
        map_remove(&s->muxers, m->path);
    }
    pthread_mutex_unlock(&s->lock);
    return free_now;
}

/* With a ref. Only playlists make one: a file is of a muxer that made its playlist. NULL when there is none. */
static struct hls_muxer *get_muxer(struct hls_request *q, const char *path)
{
    struct hls_server *s = q->server;
    bool create = q->name.kind == HLS_MASTER || q->name.kind == HLS_PLAYLIST;
    pthread_mutex_lock(&s->lock);
    struct hls_muxer *m = map_get(&s->muxers, path);
    if (!m && create && s->muxers.len < HLS_MUXERS_MAX) {
        m = hls_muxer_new(s, q->loop, path);
        map_set(&s->muxers, path, m);
    }
    if (m) {
        m->refs++;
    }
    pthread_mutex_unlock(&s->lock);
    return m;
}

static void deliver_take(struct loop *l, struct loop_msg *msg)
{
    struct hls_request *q = CONTAINER_OF(msg, struct hls_request, msg);
    hls_muxer_take(q->muxer, q);
}

static void refuse(struct hls_request *q, int status, const struct error *err)
{
    reply_problem(q->server, q->req, TAKE_PTR(q->reply), status, err);
    free_request(q);
}

static void send_to_muxer(struct hls_request *q, const char *path)
{
    q->muxer = get_muxer(q, path);
    if (!q->muxer) {
        struct error err = {0};
        error_set(&err, -ENOENT, "", "the stream is not read for HLS: ask for its playlist first");
        refuse(q, 404, &err);
        return;
    }
    q->state = HLS_REQUEST_AWAY;
    q->msg.deliver = deliver_take;
    loop_post(q->muxer->loop, &q->msg);
}

/* ---- the access question ---- */

static void on_answer(void *user, const struct access_answer *a)
{
    struct hls_request *q = user;
    q->ticket = NULL;
    if (a->result >= 0) {
        send_to_muxer(q, a->path);
        return;
    }
    int status = a->result == -EACCES   ? 403
                 : a->result == -ENOENT ? 404
                 : a->result == -EBUSY  ? 429
                                        : 503;
    if (a->result == -EPERM) {
        status = 401;
        http_auth_challenge(q->req, q->reply);
    }
    refuse(q, status, &a->err);
}

static void on_gone(void *user)
{
    struct hls_request *q = user;
    q->reply = NULL;
    q->req = NULL;
    switch (q->state) {
    case HLS_REQUEST_ASKING:
        free_request(q);
        break;
    case HLS_REQUEST_AWAY:
        break; /* freed when it is back */
    }
}

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    for (const uint8_t *b = p; n > 0; b++, n--) {
        h = (h ^ *b) * 0x100000001b3;
    }
    return h;
}

static uint64_t hash_agent(const struct http_request *req)
{
    const struct sockaddr *sa = (const struct sockaddr *)&http_request_peer(req)->sa;
    const char *agent = http_request_header(req, "User-Agent");
    uint64_t h = 0xcbf29ce484222325;
    if (sa->sa_family == AF_INET6) {
        h = mix(h, &((const struct sockaddr_in6 *)sa)->sin6_addr, sizeof(struct in6_addr));
    } else if (sa->sa_family == AF_INET) {
        h = mix(h, &((const struct sockaddr_in *)sa)->sin_addr, sizeof(struct in_addr));
    }
    return agent ? mix(h, agent, strlen(agent)) : h;
}

static void ask(struct hls_request *q, const char *path)
{
    _cleanup_(access_credentials_wipe) struct access_credentials credentials;
    struct access_request request;
    (void)access_request_from_http(q->req, &credentials, &request);
    request.action = ACCESS_READ;
    request.protocol = "hls";
    request.path = path;
    http_reply_on_gone(q->reply, on_gone, q);
    /* The answer may come, and q go, before this returns; then there is no ticket to keep. */
    struct access_ticket *ticket = access_ask(q->server->engine, q->loop, &request, on_answer, q);
    if (ticket) {
        q->ticket = ticket;
    }
}

/* ---- routes ---- */

static int read_request(struct hls_request *q, struct error *err)
{
    const char *query = http_request_query(q->req);
    _cleanup_(out_done) struct out carried = {0};
    int r = hls_directives_parse(query, &q->directives, err);
    if (r == 0 && hls_query_carry(&carried, query) < 0) {
        r = error_set(err, -E2BIG, "query", "is longer than %d characters", HLS_QUERY_MAX);
    }
    if (r == 0) {
        q->query = out_take_str(&carried);
        q->agent = hash_agent(q->req);
        q->takes_gzip = http_accepts_gzip(http_request_header(q->req, "Accept-Encoding"));
    }
    return r;
}

static void handle(struct hls_server *s, struct http_request *req, struct http_reply *reply,
                   const struct hls_name *name)
{
    struct error err = {0};
    const char *path = http_request_param(req, "path");
    int r = stream_path_check_read(path, &err);
    if (r < 0) {
        reply_problem(s, req, reply, r == -ENOENT ? 404 : 400, &err);
        return;
    }
    atomic_fetch_add_explicit(&s->requests, 1, memory_order_relaxed);
    struct hls_request *q = mem_new(struct hls_request);
    q->server = s;
    q->loop = http_request_loop(req);
    q->req = req;
    q->reply = reply;
    q->name = *name;
    list_init(&q->node);
    if (read_request(q, &err) < 0) {
        refuse(q, 400, &err);
        return;
    }
    ask(q, path);
}

static void handle_master(void *user, struct http_request *req, struct http_reply *reply)
{
    handle(user, req, reply, &(struct hls_name){.kind = HLS_MASTER});
}

static void handle_file(void *user, struct http_request *req, struct http_reply *reply)
{
    struct hls_name name;
    if (hls_name_parse(http_request_param(req, "file"), &name) < 0) {
        struct error err = {0};
        error_set(&err, -ENOENT, "file", "is no file of an HLS stream");
        reply_problem(user, req, reply, 404, &err);
        return;
    }
    handle(user, req, reply, &name);
}

static const struct http_doc_param master_params[] = {
    {"plain", "query", "Anything: playlists without the tags of low latency.", NULL},
    {.name = NULL},
};
static const struct http_doc_param file_params[] = {
    {"file", "path", "A name out of a playlist.", "video1.m3u8"},
    {"_HLS_msn", "query", "Blocking reload: answered when the playlist has this segment.", NULL},
    {"_HLS_part", "query", "The same for a part of it.", NULL},
    {"_HLS_skip", "query", "`YES`: without the segments that the player has already.", NULL},
    {.name = NULL},
};
static const struct http_doc_problem hls_problems[] = {
    {400, "bad-request", "no stream can have this path, or the query is wrong"},
    {401, "unauthorized", "credentials are needed"},
    {403, "forbidden", "these credentials may not watch this path"},
    {404, "not-found", "there is no such stream or file now"},
    {429, "too-many-attempts", "too many failed attempts from this address"},
    {503, "unavailable",
     "what was asked for did not come in time (`Retry-After` says when to ask again)"},
    {.status = 0},
};
static const struct http_route_doc master_doc = {
    .text =
        "docs/hls.md. What the query holds (credentials, `plain`) goes on into every URI of the playlists.",
    .reply_type = "application/vnd.apple.mpegurl",
    .reply_text = "The playlist",
    .params = master_params,
    .problems = hls_problems,
};
static const struct http_route_doc file_doc = {
    .text = "Playlists are `application/vnd.apple.mpegurl`, all else `video/mp4` or `audio/mp4`.",
    .reply_type = "application/vnd.apple.mpegurl",
    .reply_text = "The playlist, or media as MP4",
    .params = file_params,
    .problems = hls_problems,
};

const struct http_route hls_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_MEDIA,
        .pattern = "/{path+}/index.m3u8",
        .handle = handle_master,
        .summary = "Read a stream as HLS: the multivariant playlist",
        .doc = &master_doc,
    },
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_MEDIA,
        .pattern = "/{path+}/~hls/{file}",
        .handle = handle_file,
        .summary = "Read a stream as HLS: media playlists, init segments, segments and parts",
        .doc = &file_doc,
    },
    {
        .method = HTTP_OPTIONS,
        .kind = HTTP_ROUTE_MEDIA,
        .pattern = "/{path+}/index.m3u8",
        .handle = hls_cors_handle,
    },
    {
        .method = HTTP_OPTIONS,
        .kind = HTTP_ROUTE_MEDIA,
        .pattern = "/{path+}/~hls/{file}",
        .handle = hls_cors_handle,
    },
};
const unsigned hls_routes_n = ARRAY_LEN(hls_routes);

/* ---- server ---- */

struct hls_server *hls_server_new(const struct hls_config *config, struct engine *e,
                                  struct loop *const *loops, unsigned n_loops)
{
    struct hls_server *s = mem_new(struct hls_server);
    s->engine = e;
    s->loops = loops;
    s->n_loops = n_loops;
    s->limits = (struct hls_limits){
        .segment_ns = config->segment_ns,
        .part_ns = config->part_ns,
        .segments = config->segments,
        .bytes_max = config->bytes_max,
    };
    hls_cors_init(s, config->origins, config->n_origins);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* Messages sent before are delivered when this returns. */
static void pass(struct loop *l, void *arg)
{
}

static void close_muxers(struct loop *l, void *arg)
{
    struct hls_server *s = arg;
    pthread_mutex_lock(&s->lock); /* muxers of other loops may still forget themselves */
    MAP_FOREACH (slot, &s->muxers) {
        struct hls_muxer *m = slot->value;
        if (m->loop == l) {
            hls_muxer_close(m);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

static void on_each_loop(struct hls_server *s, void (*fn)(struct loop *l, void *arg))
{
    for (unsigned i = 0; i < s->n_loops; i++) {
        loop_call_wait(s->loops[i], fn, s);
    }
}

struct hls_server *hls_server_free(struct hls_server *s)
{
    if (!s) {
        return NULL;
    }
    on_each_loop(s, pass);         /* requests reach their muxers */
    on_each_loop(s, close_muxers); /* and are sent back */
    on_each_loop(s, pass);         /* and freed */
    MAP_FOREACH (slot, &s->muxers) {
        free(slot->value);
    }
    map_done(&s->muxers);
    pthread_mutex_destroy(&s->lock);
    hls_cors_done(s);
    free(s);
    return NULL;
}

void hls_server_gauges(const struct hls_server *s, struct hls_gauges *ret)
{
    *ret = (struct hls_gauges){
        .streams = atomic_load_explicit(&s->streams, memory_order_relaxed),
        .readers = atomic_load_explicit(&s->readers, memory_order_relaxed),
        .waiting = atomic_load_explicit(&s->waiting, memory_order_relaxed),
        .requests_total = atomic_load_explicit(&s->requests, memory_order_relaxed),
    };
}
