/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_private.h"

#include "base/mem.h"
#include "io/conn_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <strings.h>

#define BODY_FIRST 4096

static int bad(struct error *err, int status, const char *text)
{
    error_set(err, -EBADMSG, "", "%s", text);
    return status;
}

/* RFC 9112 3.2: exactly one Host since 1.1; one that contradicts an absolute target is not repaired but refused. */
static int check_host(const struct textmsg *m, const struct http_target *t, struct error *err)
{
    struct bytes host = {0};
    unsigned n = textmsg_field_count(m, "Host");
    if (n > 1) {
        return bad(err, 400, "Host is repeated");
    }
    if (n == 0) {
        return m->major == 1 && m->minor == 0 ? 0 : bad(err, 400, "Host is missing");
    }
    textmsg_field(m, "Host", NULL, &host);
    if (!http_authority_valid(host)) {
        return bad(err, 400, "Host is not a host name with an optional port");
    }
    if (t->authority.len > 0 &&
        (t->authority.len != host.len ||
         strncasecmp((const char *)t->authority.data, (const char *)host.data, host.len) != 0)) {
        return bad(err, 400, "Host and the target name different hosts");
    }
    return 0;
}

static void terminate(char *text, struct textmsg_slice s)
{
    text[s.at + s.len] = '\0';
}

/* text is the head's own copy: strings are ended in place, over colons, blanks and CRs. */
static void take_headers(struct http_request *r, const struct textmsg *m, char *text,
                         struct http_header *headers)
{
    for (unsigned i = 0; i < m->n_fields; i++) {
        headers[i] =
            (struct http_header){text + m->fields[i].name.at, text + m->fields[i].value.at};
        terminate(text, m->fields[i].name);
        terminate(text, m->fields[i].value);
    }
    r->headers = headers;
    r->n_headers = m->n_fields;
}

/* The path is decoded where it stands; the "?" or blank behind it makes room for its NUL. */
static int take_target(struct http_request *r, const struct http_target *t, struct error *err)
{
    r->query = t->query.data ? (const char *)t->query.data : "";
    if (t->asterisk) {
        r->path = "*";
        return r->method == HTTP_OPTIONS ? 0 : bad(err, 400, "only OPTIONS has the target *");
    }
    if (t->path.len == 0) {
        r->path = "/";
        return 0;
    }
    char *path = (char *)t->path.data;
    if (http_path_decode(t->path, path) < 0) {
        return bad(
            err, 400,
            "the path is not percent-encoded UTF-8 within the root, or hides a slash or control");
    }
    r->path = path;
    return 0;
}

static struct http_reply *reply_new(const struct http_carrier *on, const struct textmsg *m,
                                    size_t head_len, char **ret_text,
                                    struct http_header **ret_headers)
{
    /* What a remote party chose is bounded by the limits of the head; parameters are parts of the path. */
    size_t headers = m->n_fields * sizeof(struct http_header);
    size_t params = m->target.len + HTTP_PARAMS_MAX;
    struct http_reply *p = mem_try_alloc(sizeof(*p) + headers + params + head_len + 1);
    if (!p) {
        return NULL;
    }
    memset(p, 0, sizeof(*p));
    atomic_init(&p->refs, 2);
    list_init(&p->node);
    *ret_headers = (struct http_header *)(p + 1);
    *ret_text = (char *)(p + 1) + headers + params;
    p->link = on->link->id;
    p->number = on->number;
    p->req.loop = on->link->worker->loop;
    p->req.tls = conn_is_tls(on->link->c);
    p->req.peer = *conn_peer(on->link->c);
    return p;
}

int http_request_build(const struct textmsg *m, size_t head_len, struct http_carrier *on,
                       struct error *err)
{
    struct http_target target;
    struct http_header *headers;
    char *text;
    int method = http_method_from_bytes(textmsg_bytes(m, m->method));
    if (method < 0) {
        return bad(err, 501, "this method is not known here");
    }
    struct http_reply *p = reply_new(on, m, head_len, &text, &headers);
    if (!p) {
        return bad(err, 503, "out of memory");
    }
    memcpy(text, m->base, head_len);
    p->req.method = (enum http_method)method;
    struct bytes raw = BYTES(text + m->target.at, m->target.len);
    int status = http_target_parse(raw, &target) < 0
                     ? bad(err, 400, "the request target is malformed")
                     : check_host(m, &target, err);
    if (status == 0) {
        terminate(text, m->target);
        take_headers(&p->req, m, text, headers);
        status = take_target(&p->req, &target, err);
    }
    if (status != 0) {
        free(p);
        return status;
    }
    p->server = http_server_ref(on->link->worker->server);
    p->on = on;
    on->reply = p;
    return 0;
}

void http_request_route_to(struct http_request *r, const struct http_match *match)
{
    char *at = (char *)(r->headers + r->n_headers);
    r->route = match->route;
    r->route_user = match->user;
    r->n_params = match->n_params;
    for (unsigned i = 0; i < match->n_params; i++) {
        struct bytes value = match->params[i].value;
        r->params[i] = (struct http_request_param){match->params[i].name, at};
        memcpy(at, value.data, value.len);
        at[value.len] = '\0';
        at += value.len + 1;
    }
}

int http_request_append(struct http_request *r, struct bytes piece, size_t max)
{
    size_t need = r->body_len + piece.len;
    if (need > r->body_cap) {
        /* Grows with what has come, not with what was announced: a promise of 1 MiB costs nothing. */
        size_t cap = MAX(r->body_cap * 2, (size_t)BODY_FIRST);
        cap = MIN(cap, max);
        cap = MAX(cap, need);
        uint8_t *body = mem_try_realloc(r->body, cap);
        if (!body) {
            return -ENOMEM;
        }
        r->body = body;
        r->body_cap = cap;
    }
    memcpy(r->body + r->body_len, piece.data, piece.len);
    r->body_len = need;
    return 0;
}

/* ---- what handlers ask ---- */

const char *http_request_path(const struct http_request *r)
{
    return r->path;
}

const char *http_request_query(const struct http_request *r)
{
    return r->query;
}

const char *http_request_param(const struct http_request *r, const char *name)
{
    for (unsigned i = 0; i < r->n_params; i++) {
        if (bytes_equal_str(r->params[i].name, name)) {
            return r->params[i].value;
        }
    }
    return NULL;
}

const char *http_request_header(const struct http_request *r, const char *name)
{
    for (unsigned i = 0; i < r->n_headers; i++) {
        if (strcasecmp(r->headers[i].name, name) == 0) {
            return r->headers[i].value;
        }
    }
    return NULL;
}

const char *http_request_header_at(const struct http_request *r, const char *name, unsigned i)
{
    for (unsigned k = 0; k < r->n_headers; k++) {
        if (strcasecmp(r->headers[k].name, name) == 0 && i-- == 0) {
            return r->headers[k].value;
        }
    }
    return NULL;
}

bool http_request_query_get(const struct http_request *r, const char *key, char *buf, size_t size)
{
    return http_query_get(r->query, key, buf, size);
}

struct bytes http_request_body(const struct http_request *r)
{
    return BYTES(r->body, r->body_len);
}

const struct conn_addr *http_request_peer(const struct http_request *r)
{
    return &r->peer;
}

enum http_method http_request_method(const struct http_request *r)
{
    return r->method;
}

bool http_request_is_tls(const struct http_request *r)
{
    return r->tls;
}

void http_request_set_client(struct http_request *r, const struct sockaddr_storage *client,
                             bool tls)
{
    conn_addr_set(&r->peer, (const struct sockaddr *)client,
                  client->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                : sizeof(struct sockaddr_in));
    /* Proxies seldom tell the client's port; ":0" would only mislead. */
    size_t n = strlen(r->peer.text);
    if (n > 2 && strcmp(r->peer.text + n - 2, ":0") == 0) {
        r->peer.text[n - 2] = '\0';
    }
    r->tls = tls;
}

void http_request_set_grant(struct http_request *r, const struct http_grant *grant)
{
    r->grant = *grant;
}

struct http_grant http_request_grant(const struct http_request *r)
{
    return r->grant;
}

struct loop *http_request_loop(const struct http_request *r)
{
    return r->loop;
}

const struct http_route *http_request_route(const struct http_request *r)
{
    return r->route;
}
