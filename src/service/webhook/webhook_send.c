/* SPDX-License-Identifier: Apache-2.0 */
#include "service/webhook/webhook_send.h"

#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HEADERS_MAX 24
#define REPLY_MAX   (64 * 1024) /* more of a reply is not read: its status is known by then */
#define CONNECT_MS  10000
#define WAIT_DIGITS 9

struct webhook_attempt {
    struct http_call *call;
    const struct net_guard *guard;
    webhook_result_fn fn;
    void *user;
    int64_t started_ns; /* wall clock */
    size_t seen;        /* of the reply */
};

/* ---- the signature ---- */

void webhook_signature(const char *secret, int64_t now_ns, struct bytes body,
                       char ret[WEBHOOK_SIGNATURE_MAX])
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    _cleanup_(out_done) struct out text = {0};
    out_printf(&text, "%lld.", now_ns / NS_PER_S);
    out_bytes(&text, body);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), text.data, text.len, mac, &len);
    int n = snprintf(ret, WEBHOOK_SIGNATURE_MAX, "t=%lld,v1=", now_ns / NS_PER_S);
    for (unsigned i = 0; i < len; i++) {
        n += snprintf(ret + n, WEBHOOK_SIGNATURE_MAX - (size_t)n, "%02x", mac[i]);
    }
}

/* ---- the reply ---- */

int64_t webhook_retry_after(const char *value, int64_t now_ns)
{
    struct tm tm = {0};
    size_t digits = strspn(value, "0123456789");
    if (digits > 0 && value[digits] == '\0') {
        return digits > WAIT_DIGITS ? INT64_MAX / 4 : strtoll(value, NULL, 10) * NS_PER_S;
    }
    const char *end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    if (!end || *end != '\0') {
        return 0;
    }
    /* Bounded before it is multiplied: the year may be 9999. */
    int64_t until_s = MIN((int64_t)timegm(&tm), INT64_MAX / NS_PER_S);
    return MAX(until_s - now_ns / NS_PER_S, INT64_C(0)) * NS_PER_S;
}

static int on_data(void *user, struct bytes data)
{
    struct webhook_attempt *a = user;
    a->seen += data.len;
    return a->seen > REPLY_MAX ? -EFBIG : 0;
}

static enum webhook_verdict judge(const struct http_result *r, bool complete)
{
    if (!complete) {
        return WEBHOOK_FAILED;
    }
    if (r->status == 410) {
        return WEBHOOK_GONE;
    }
    return r->status >= 200 && r->status < 300 ? WEBHOOK_ACCEPTED : WEBHOOK_FAILED;
}

static void on_done(void *user, const struct http_result *r)
{
    struct webhook_attempt *a = user;
    char error[ERROR_TEXT_MAX + 128] = "";
    /* A reply that goes on for ever was cut by us, and says what it says. */
    bool complete = r->err.code == 0 || (r->err.code == -EFBIG && a->seen > REPLY_MAX);
    struct webhook_result result = {
        .verdict = judge(r, complete),
        .status = complete ? r->status : 0,
        .elapsed_ns = r->elapsed_ns,
        .error = error,
    };
    if (result.verdict == WEBHOOK_ACCEPTED) {
        result.error = NULL;
    } else if (!complete) {
        snprintf(error, sizeof(error), "%s%s%s", r->err.where, r->err.where[0] ? ": " : "",
                 r->err.text);
    } else if (r->status >= 300 && r->status < 400) {
        snprintf(error, sizeof(error), "answered %d: redirects are not followed", r->status);
    } else {
        snprintf(error, sizeof(error), "answered %d", r->status);
    }
    if (r->status == 429 || r->status == 503) {
        const char *wait = http_result_header(r, "Retry-After");
        result.wait_ns = wait ? webhook_retry_after(wait, a->started_ns + r->elapsed_ns) : 0;
    }
    a->fn(a->user, &result);
    free(a);
}

static int check_address(void *user, const struct sockaddr *address, socklen_t len,
                         struct error *err)
{
    const struct webhook_attempt *a = user;
    return a->guard ? net_guard_check(a->guard, address, err) : 0;
}

static const struct http_call_ops call_ops = {
    .check_address = check_address, .on_data = on_data, .on_done = on_done};

/* ---- the request ---- */

struct headers {
    char *lines[HEADERS_MAX + 1];
    unsigned n;
};

static void add(struct headers *h, char *line)
{
    h->lines[h->n++] = line;
}

static void fill(struct headers *h, const struct webhook_message *m)
{
    const struct webhook *w = m->webhook;
    add(h, mem_strdup("Content-Type: application/json"));
    add(h, mem_printf("Mast-Event: %s", m->event));
    add(h, mem_printf("Mast-Delivery: %s", m->id));
    if (w->secret) {
        char signature[WEBHOOK_SIGNATURE_MAX];
        webhook_signature(w->secret, m->now_ns, BYTES_STR(m->body), signature);
        add(h, mem_printf("Mast-Signature: %s", signature));
    }
    for (size_t i = 0; i < w->headers.len && h->n < HEADERS_MAX; i++) {
        add(h, mem_printf("%s: %s", w->headers.items[i].key, w->headers.items[i].value));
    }
}

static void headers_done(struct headers *h)
{
    for (unsigned i = 0; i < h->n; i++) {
        OPENSSL_cleanse(h->lines[i], strlen(h->lines[i]));
        free(h->lines[i]);
    }
}

int webhook_send(struct http_client *client, const struct webhook_message *m, webhook_result_fn fn,
                 void *user, struct webhook_attempt **ret, struct error *err)
{
    struct headers h = {0};
    struct webhook_attempt *a = mem_new(struct webhook_attempt);
    *a = (struct webhook_attempt){
        .guard = m->guard, .fn = fn, .user = user, .started_ns = m->now_ns};
    fill(&h, m);
    const struct http_call_spec spec = {
        .method = "POST",
        .url = m->webhook->url,
        .headers = (const char *const *)h.lines,
        .body = BYTES_STR(m->body),
        .connect_timeout_ms = CONNECT_MS,
        .timeout_ms = (unsigned)(m->webhook->timeout / NS_PER_MS),
        .max_reply_bytes = SIZE_MAX,
    };
    int r = http_client_start(client, &spec, &call_ops, a, &a->call, err);
    headers_done(&h);
    if (r < 0) {
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

struct webhook_attempt *webhook_attempt_cancel(struct webhook_attempt *a)
{
    if (a) {
        http_call_cancel(a->call);
        free(a);
    }
    return NULL;
}
