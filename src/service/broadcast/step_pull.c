/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RTMP of another server into a stream here, by the pull on a media loop. A pull tries once, so when to try again is decided
 * here: it waits longer after each try that brought nothing. Until media came once the step waits; from then on it stays up, sick
 * with the server's words while the media is away. URLs, which may hold keys, are made for each try and not kept.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/url.h"
#include "service/broadcast/broadcast_private.h"
#include "service/broadcast/media_pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct pull_step {
    struct step step;
    struct media_pull *pull;
    struct loop_timer *again;
    unsigned tries; /* in a row that brought nothing */
    bool flows;
    char *words; /* why it does not, as the server says it; NULL: it has not been asked yet */
};
#define PULL(s) CONTAINER_OF((s), struct pull_step, step)

/* Fit for logs, to be freed. */
static char *shown(const struct step *s)
{
    _cleanup_free_ char *url = broadcast_pull_url(broadcast_of(s));
    char *text = url_redact(url, URL_MASK_TAIL);
    explicit_bzero(url, strlen(url));
    return text;
}

static void describe(const struct step *s, struct out *o)
{
    _cleanup_free_ char *from = shown(s);
    _cleanup_free_ char *path = broadcast_stream_path(broadcast_of(s));
    out_printf(o, "pull %s into stream %s", from, path);
}

static void set_words(struct pull_step *p, const char *words)
{
    free(p->words);
    p->words = words ? mem_strdup(words) : NULL;
}

static void drop(struct step *s)
{
    struct pull_step *p = PULL(s);
    p->pull = media_pull_close(p->pull);
    p->again = loop_timer_free(p->again);
    p->tries = 0;
    p->flows = false;
    set_words(p, NULL);
}

/* Nobody is held up: what reads the stream here waits for it by itself. */
static void judge(struct step *s)
{
    struct pull_step *p = PULL(s);
    const char *words = p->words ? p->words : "being connected";
    if (p->flows && s->state == STEP_UP) {
        step_well(s);
    } else if (p->flows) {
        step_started(s, 0);
    } else if (s->state == STEP_UP) {
        step_sick(s, "the source is away: %s", words);
    } else {
        step_waits(s, "%s", words);
    }
}

/* ---- tries ---- */

static void on_open(void *user)
{
    struct step *s = user;
    struct pull_step *p = PULL(s);
    p->flows = true;
    p->tries = 0;
    set_words(p, NULL);
    judge(s);
}

static void on_end(void *user, enum rtmp_pull_end end, const char *why)
{
    struct step *s = user;
    struct pull_step *p = PULL(s);
    char text[ERROR_TEXT_MAX];
    snprintf(text, sizeof(text), "%s: %s", rtmp_pull_end_to_str(end), why);
    p->pull = media_pull_close(p->pull);
    p->flows = false;
    p->tries++;
    set_words(p, text);
    loop_timer_start(p->again, runner_wait_ms(&s->runner->pace, p->tries));
    judge(s);
}

static void try(struct step *s)
{
    static const struct media_pull_ops ops = {.on_open = on_open, .on_end = on_end};
    struct broadcast *b = broadcast_of(s);
    const struct broadcasts_config *c = &b->service->config;
    _cleanup_free_ char *url = broadcast_pull_url(b);
    _cleanup_free_ char *path = broadcast_stream_path(b);
    const struct rtmp_pull_config config = {
        .url = url, .path = path, .tls = c->client_tls, .guard = c->guard};
    PULL(s)->pull =
        media_pull_open(c->engine, s->runner->loop, broadcast_media_loop(b), &config, &ops, s);
    explicit_bzero(url, strlen(url));
}

static void on_again(void *user)
{
    try(user);
}

/* ---- its life ---- */

static int check_url(const struct step *s, struct error *err)
{
    const struct broadcasts_config *c = &broadcast_of(s)->service->config;
    _cleanup_free_ char *url = broadcast_pull_url(broadcast_of(s));
    _cleanup_(rtmp_client_url_done) struct rtmp_client_url u = {0};
    int r = rtmp_client_url_parse(url, &u, err);
    explicit_bzero(url, strlen(url));
    if (r == 0 && u.tls && !c->client_tls) {
        r = error_set(err, -ENOTSUP, s->kind->name, "rtmps needs TLS, which is not set up");
    }
    /* What no try can change: an address that must not be reached. Names are judged with each connection. */
    return r < 0 || !c->guard ? r : net_guard_check_host(c->guard, u.host, err);
}

static void start(struct step *s)
{
    struct error err = {0};
    drop(s);
    if (check_url(s, &err) < 0) {
        step_failed(s, &err, true);
        return;
    }
    s->ours = true;
    PULL(s)->again = loop_timer_new(s->runner->loop, on_again, s);
    try(s);
    judge(s);
}

static void check(struct step *s)
{
    judge(s);
}

static void stop(struct step *s)
{
    drop(s);
    step_stopped(s, 0, NULL);
}

const struct step_kind step_pull = {
    .name = "pull",
    .peer = "rtmp",
    .size = sizeof(struct pull_step),
    .describe = describe,
    .start = start,
    .check = check,
    .stop = stop,
    .drop = drop,
};
