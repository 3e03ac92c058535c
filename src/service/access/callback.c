/* SPDX-License-Identifier: Apache-2.0 */
#include "service/access/callback.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "io/http_client.h"
#include "service/access/answer_cache.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>

LOG_TOPIC(topic, "access.http");

static int check_url(const void *member, struct error *err)
{
    char *const *url = member;
    if (strncmp(*url, "http://", 7) != 0 && strncmp(*url, "https://", 8) != 0) {
        return error_set(err, -EINVAL, "", "is not an http or https address");
    }
    return 0;
}

static const struct model_field config_fields[] = {
    MODEL_STRING(
        struct callback_config, url, .max = 2048, .check = check_url, .restart = true,
        .mask = MODEL_MASK_URL,
        .doc = "Asked by POST when nothing else grants; 2xx grants, 401 asks for credentials.",
        .example = "http://127.0.0.1:9000/auth"),
    MODEL_DURATION(struct callback_config, timeout, .def = "5s", .min = 100000000,
                   .max = 9000000000, .restart = true, .doc = "No answer in this time refuses."),
    MODEL_DURATION(
        struct callback_config, cache, .def = "10s", .max = 3600000000000, .restart = true,
        .doc = "For so long an answer counts for the same question; 0s = it is asked each time."),
};
const struct model callback_config_model =
    MODEL("AccessHttp", struct callback_config, config_fields);

struct callback {
    char *url;
    unsigned timeout_ms;
    struct loop *control;
    struct http_client *http;
    void (*denied)(void *user, const struct access_request *req);
    void *user;
    struct answer_cache *cache; /* NULL = none */
    atomic_uint asked;          /* taken and not replied to yet */
    unsigned arrived;           /* of those, on this loop: in calls */
    bool ending;
    struct list calls;
};

struct call {
    struct loop_msg msg;
    struct list node;
    struct callback *c;
    struct access_ticket *ticket;
    struct http_call *http;
    uint8_t digest[ANSWER_DIGEST_LEN];
};

struct callback *callback_new(const struct callback_config *config, struct loop *control,
                              void (*denied)(void *user, const struct access_request *req),
                              void *user)
{
    struct callback *c = mem_new(struct callback);
    c->url = mem_strdup(config->url);
    c->timeout_ms = (unsigned)(config->timeout / NS_PER_MS);
    c->control = control;
    c->http = http_client_new(control, &(struct http_client_config){.max_per_host = 16});
    c->denied = denied;
    c->user = user;
    c->cache = config->cache > 0 ? answer_cache_new(config->cache) : NULL;
    list_init(&c->calls);
    return c;
}

/* ---- the answer ---- */

static void refuse(struct access_ticket *t, int r, const char *text)
{
    struct access_answer answer = {0};
    answer.result = error_set(&answer.err, r, "", "%s", text);
    access_reply(t, &answer);
}

static void grant(struct access_ticket *t)
{
    struct access_answer answer = {0};
    snprintf(answer.path, sizeof(answer.path), "%s", access_ticket_request(t)->path);
    access_reply(t, &answer);
}

static void answer(struct access_ticket *t, int r)
{
    if (r == 0) {
        grant(t);
    } else {
        refuse(t, r, r == -EPERM ? "credentials are needed" : "access is refused");
    }
}

static struct access_ticket *call_end(struct call *k)
{
    struct access_ticket *t = k->ticket;
    list_remove(&k->node);
    k->c->arrived--;
    atomic_fetch_sub(&k->c->asked, 1);
    free(k);
    return t;
}

static void on_done(void *user, const struct http_result *result)
{
    struct call *k = user;
    struct callback *c = k->c;
    uint8_t digest[ANSWER_DIGEST_LEN];
    memcpy(digest, k->digest, sizeof(digest));
    struct access_ticket *t = call_end(k);
    const struct access_request *req = access_ticket_request(t);
    if (result->err.code < 0) {
        log_warn("access.http.url: %s %s, refusing", result->err.where, result->err.text);
        refuse(t, -ETIMEDOUT, "who decides about access cannot be reached");
        return;
    }
    int r = -EACCES;
    if (result->status >= 200 && result->status < 300) {
        r = 0;
    } else if (result->status == 401 && !req->user && !req->token) {
        r = -EPERM;
    }
    /* A program in trouble has not decided anything. */
    if (c->cache && result->status < 500) {
        answer_cache_put(c->cache, digest, r, clock_mono_ns());
    }
    if (r == -EACCES) {
        c->denied(c->user, req);
    }
    answer(t, r);
}

/* ---- the question ---- */

static const char *peer_text(const struct sockaddr *sa, char buf[INET6_ADDRSTRLEN])
{
    buf[0] = '\0';
    if (sa && sa->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, buf, INET6_ADDRSTRLEN);
    } else if (sa && sa->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;
        bool v4 = IN6_IS_ADDR_V4MAPPED(a);
        inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? (const void *)&a->s6_addr[12] : (const void *)a,
                  buf, INET6_ADDRSTRLEN);
    }
    return buf;
}

static void put(struct json *j, const char *key, const char *value)
{
    json_put_str(j, key, value ? value : "");
}

static void write_body(const struct access_request *req, struct out *o)
{
    char ip[INET6_ADDRSTRLEN];
    char id[RANDOM_UUID_MAX];
    struct json j = json_init(o);
    json_object_begin(&j);
    put(&j, "user", req->user);
    put(&j, "password", req->password);
    put(&j, "token", req->token);
    put(&j, "ip", peer_text(req->peer, ip));
    put(&j, "action", req->action == ACCESS_PUBLISH ? "publish" : "read");
    put(&j, "path", req->path);
    put(&j, "protocol", req->protocol);
    put(&j, "id", random_uuid(id));
    put(&j, "query", req->query);
    json_object_end(&j);
}

static const struct http_call_ops call_ops = {.on_done = on_done};

static void deliver(struct loop *l, struct loop_msg *m)
{
    struct call *k = CONTAINER_OF(m, struct call, msg);
    struct callback *c = k->c;
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct error err = {0};
    list_append(&c->calls, &k->node);
    c->arrived++;
    if (c->ending) {
        return; /* callback_free() replies */
    }
    _cleanup_(out_done) struct out body = {0};
    write_body(access_ticket_request(k->ticket), &body);
    const struct http_call_spec spec = {.url = c->url,
                                        .headers = headers,
                                        .body = out_view(&body),
                                        .timeout_ms = c->timeout_ms,
                                        .max_reply_bytes = 65536};
    int r = http_client_start(c->http, &spec, &call_ops, k, &k->http, &err);
    OPENSSL_cleanse(body.data, body.len);
    if (r < 0) {
        log_warn("access.http.url: %s, refusing", err.text);
        refuse(call_end(k), -ETIMEDOUT, "who decides about access cannot be asked");
    }
}

void callback_ask(struct callback *c, struct access_ticket *t)
{
    uint8_t digest[ANSWER_DIGEST_LEN] = {0};
    int known;
    if (c->cache) {
        answer_digest(c->cache, access_ticket_request(t), digest);
    }
    if (c->cache && answer_cache_get(c->cache, digest, clock_mono_ns(), &known)) {
        answer(t, known);
        return;
    }
    if (atomic_fetch_add(&c->asked, 1) >= CALLBACKS_MAX) {
        atomic_fetch_sub(&c->asked, 1);
        refuse(t, -EBUSY, "too many questions about access are open, try again");
        return;
    }
    struct call *k = mem_new(struct call);
    *k = (struct call){.msg.deliver = deliver, .c = c, .ticket = t};
    memcpy(k->digest, digest, sizeof(digest));
    list_init(&k->node);
    loop_post(c->control, &k->msg);
}

struct callback *callback_free(struct callback *c)
{
    if (!c) {
        return NULL;
    }
    /* What is still on its way here must not come after the askers' loops are gone. */
    c->ending = true;
    while (atomic_load(&c->asked) > c->arrived) {
        loop_run_once(c->control, 10);
    }
    c->http = http_client_free(c->http); /* cancels */
    while (!list_empty(&c->calls)) {
        refuse(call_end(CONTAINER_OF(c->calls.next, struct call, node)), -ESHUTDOWN,
               "the server is ending");
    }
    answer_cache_free(c->cache);
    free(c->url);
    free(c);
    return NULL;
}
