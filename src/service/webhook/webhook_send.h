/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One attempt: a POST of an event to a webhook's URL, signed, and what the receiver made of it. Redirects are not followed,
 * of the reply nothing but its status and Retry-After is used. Addresses that the API gave pass the guard; the
 * administrator's own go anywhere. Control loop.
 */
#include "io/http_client.h"
#include "io/net_guard.h"
#include "service/webhook/webhook.h"

struct webhook_attempt; /* one request under way */

enum webhook_verdict {
    WEBHOOK_ACCEPTED, /* 2xx */
    WEBHOOK_FAILED,   /* anything else: try again */
    WEBHOOK_GONE,     /* 410: never again */
};

struct webhook_result {
    enum webhook_verdict verdict;
    int status; /* 0: no reply */
    int64_t elapsed_ns;
    int64_t wait_ns;   /* 429 and 503: what Retry-After asks for; 0 = nothing */
    const char *error; /* one sentence; NULL when accepted */
};
typedef void (*webhook_result_fn)(void *user, const struct webhook_result *result);

/* What is sent; read during the call only. */
struct webhook_message {
    const struct webhook *webhook;
    const struct net_guard *guard; /* NULL: any address; else it outlives the attempt */
    const char *event;
    const char *id;
    const char *body;
    int64_t now_ns; /* wall clock */
};

/* fn comes once, later, unless cancelled. -EINVAL, -ENOBUFS with a sentence: then it does not. */
int webhook_send(struct http_client *client, const struct webhook_message *m, webhook_result_fn fn,
                 void *user, struct webhook_attempt **ret, struct error *err);
/* NULL is fine; returns NULL. Not inside its fn. */
struct webhook_attempt *webhook_attempt_cancel(struct webhook_attempt *a);

/*
 * Mast-Signature: "t=<seconds since 1970>,v1=<HMAC-SHA256 of "t.body" in hex>". The time is signed with the body, so that a
 * receiver can refuse what is recorded and sent again later.
 */
#define WEBHOOK_SIGNATURE_MAX 96
void webhook_signature(const char *secret, int64_t now_ns, struct bytes body,
                       char ret[WEBHOOK_SIGNATURE_MAX]);
/* Seconds or an HTTP date (RFC 9110 10.2.3) as a wait from now; 0 when it is neither, or past. */
int64_t webhook_retry_after(const char *value, int64_t now_ns);
