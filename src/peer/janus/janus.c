/* SPDX-License-Identifier: Apache-2.0 */
/* Connection and session of one Janus: see the table of states in janus.h. */
#include "peer/janus/janus_private.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

LOG_TOPIC(topic, "janus");

#define PROTOCOL         "janus-protocol"
#define NO_SUCH_SESSION  458
#define NO_SUCH_HANDLE   459
#define CLOSE_GOING_AWAY 1001

static void ask_setup(struct janus *j, enum janus_step step);
static void on_setup(void *user, const struct janus_result *res);
static void open_socket(struct janus *j);

const char *janus_state_to_str(enum janus_state s)
{
    static const char *const names[] = {"connecting", "up", "waiting"};
    return names[s];
}

/* ---- going down ---- */

static void close_socket(struct janus *j)
{
    j->open = false;
    if (j->ws) {
        ws_close(TAKE_PTR(j->ws), CLOSE_GOING_AWAY, NULL);
    }
}

/* Everything that was under way is lost; the session may be claimed, so its number stays. */
static void drop(struct janus *j)
{
    j->setup = janus_call_cancel(j->setup);
    loop_timer_stop(j->keepalive);
    janus_calls_lose(j, -ENOTCONN, "the connection to Janus was lost");
}

static void on_down(struct loop_task *t)
{
    struct janus *j = CONTAINER_OF(t, struct janus, down);
    if (j->ops.on_down) {
        j->ops.on_down(j->user, &j->why);
    }
}

uint64_t janus_backoff_ms(const struct janus *j, unsigned failures)
{
    unsigned doublings = MIN(failures, 16u);
    uint64_t most = MIN((uint64_t)j->backoff_ms << doublings, (uint64_t)j->backoff_max_ms);
    return most - random_below(most / 2 + 1);
}

static void lose(struct janus *j, int r, const char *text)
{
    error_set(&j->why, r, j->name, "%s", text);
    log_warn("%s: %s; trying again", j->name, j->why.text);
    drop(j);
    close_socket(j);
    LIST_FOREACH (it, &j->handles) {
        struct janus_handle *h = LIST_ENTRY(it, struct janus_handle, node);
        if (h->state == HANDLE_ATTACHING) {
            janus_handle_lose(h);
        }
    }
    j->state = JANUS_WAITING;
    j->proven = false;
    loop_timer_start(j->wait, janus_backoff_ms(j, j->failures));
    j->failures++;
    loop_defer(j->loop, LOOP_STAGE_NOTIFY, &j->down);
}

/* The server has forgotten the session (it expired, or the server was restarted), and with it every handle. */
static void forget_session(struct janus *j)
{
    j->session = 0;
    j->n_left = 0;
    LIST_FOREACH (it, &j->handles) {
        janus_handle_lose(LIST_ENTRY(it, struct janus_handle, node));
    }
}

/* The socket may be good: another session on it. Not for one that was lost as soon as it was made; that would never end. */
static void lose_session(struct janus *j, const char *text)
{
    forget_session(j);
    if (!j->proven) {
        lose(j, -ENOTCONN, text);
        return;
    }
    log_warn("%s: %s; making another session", j->name, text);
    drop(j);
    error_set(&j->why, -ENOTCONN, j->name, "%s", text);
    loop_defer(j->loop, LOOP_STAGE_NOTIFY, &j->down);
    j->proven = false;
    j->state = JANUS_CONNECTING;
    ask_setup(j, STEP_CREATE);
}

/* ---- coming up ---- */

bool janus_send(struct janus *j, struct janus_request *r)
{
    if (!j->open) {
        return false;
    }
    _cleanup_(out_done) struct out o = {0};
    r->api_secret = j->api_secret;
    r->token = j->token;
    /* What a server is belongs to no session: with one that it has forgotten it would not tell. */
    r->session_id = strcmp(r->janus, "info") == 0 ? 0 : j->session;
    janus_request_put(&o, r);
    ws_send_text(j->ws, out_view(&o));
    return true;
}

void janus_detach(struct janus *j, int64_t id)
{
    if (j->state == JANUS_UP) {
        struct janus_request r = {
            .janus = "detach", .handle_id = id, .transaction = ++j->next_transaction};
        (void)janus_send(j, &r);
    } else if (j->session != 0) {
        j->left = mem_realloc(j->left, (j->n_left + 1) * sizeof(*j->left));
        j->left[j->n_left++] = id;
    }
}

static void ask_setup(struct janus *j, enum janus_step step)
{
    static const struct {
        const char *word;
        unsigned fits;
    } steps[] = {
        [STEP_INFO] = {"info", JANUS_FITS(JANUS_SERVER_INFO)},
        [STEP_CLAIM] = {"claim", JANUS_FITS(JANUS_SUCCESS)},
        [STEP_CREATE] = {"create", JANUS_FITS(JANUS_SUCCESS)},
    };
    struct janus_request r = {.janus = steps[step].word};
    j->step = step;
    j->setup = janus_call_new(j->loop, j, NULL, on_setup, j);
    j->setup->fits = steps[step].fits;
    janus_call_send(j->setup, &r, 0);
}

static void schedule_keepalive(struct janus *j)
{
    unsigned third = MAX(j->info.session_timeout_s / 3, 1u);
    loop_timer_start(j->keepalive, (uint64_t)MIN(third, j->keepalive_max_s) * 1000);
}

static void come_up(struct janus *j, bool resumed)
{
    log_info("%s: %s, Janus %s", j->name, resumed ? "the session is claimed" : "connected",
             j->info.version_string);
    j->state = JANUS_UP;
    j->why = (struct error){0};
    loop_task_cancel(&j->down);
    schedule_keepalive(j);
    LIST_FOREACH (it, &j->handles) {
        struct janus_handle *h = LIST_ENTRY(it, struct janus_handle, node);
        if (h->state != HANDLE_ATTACHED) {
            janus_handle_attach(h);
        } else {
            loop_defer(j->loop, LOOP_STAGE_NOTIFY, &h->resumed);
        }
    }
    while (j->n_left > 0) {
        janus_detach(j, j->left[--j->n_left]);
    }
    if (j->ops.on_up) {
        j->ops.on_up(j->user, resumed);
    }
}

static void read_info(struct janus *j, const struct janus_message *m)
{
    struct janus_server_info *info = &j->info;
    *info = (struct janus_server_info){.version = m->version};
    snprintf(info->version_string, sizeof(info->version_string), "%s",
             m->version_string ? m->version_string : "?");
    snprintf(info->name, sizeof(info->name), "%s", m->server_name ? m->server_name : "");
    info->session_timeout_s =
        m->session_timeout_s > 0 ? (unsigned)MIN(m->session_timeout_s, 86400) : 60;
    info->reclaim_timeout_s =
        m->reclaim_timeout_s > 0 ? (unsigned)MIN(m->reclaim_timeout_s, 86400) : 0;
}

static void on_created(struct janus *j, int64_t id)
{
    if (id == 0) {
        lose(j, -EPROTO, "Janus made a session and does not say which");
        return;
    }
    j->session = id;
    come_up(j, false);
}

static void on_setup(void *user, const struct janus_result *res)
{
    struct janus *j = user;
    const struct janus_message *m = TAKE_PTR(j->setup)->message;
    if (j->step == STEP_CLAIM && res->code == NO_SUCH_SESSION) {
        log_warn("%s: the session is gone; making another", j->name);
        forget_session(j);
        ask_setup(j, STEP_CREATE);
        return;
    }
    if (res->r < 0) {
        lose(j, res->r, res->text);
        return;
    }
    switch (j->step) {
    case STEP_INFO:
        read_info(j, m);
        ask_setup(j, j->session ? STEP_CLAIM : STEP_CREATE);
        break;
    case STEP_CLAIM:
        come_up(j, true);
        break;
    case STEP_CREATE:
        on_created(j, m->id);
        break;
    }
}

/* ---- while it is up ---- */

static void on_keepalive_answer(void *user, const struct janus_result *res)
{
    struct janus *j = user;
    j->setup = NULL;
    if (res->r < 0) {
        lose(j, res->r, res->text);
        return;
    }
    j->proven = true;
    j->failures = 0;
    schedule_keepalive(j);
}

static void on_keepalive(void *user)
{
    struct janus *j = user;
    struct janus_request r = {.janus = "keepalive"};
    j->setup = janus_call_new(j->loop, j, NULL, on_keepalive_answer, j);
    j->setup->fits = JANUS_FITS(JANUS_ACK);
    janus_call_send(j->setup, &r, 0);
}

/* An answer may tell that what it was asked of is gone: who asked hears -ENOTCONN, with everybody else. */
static bool take_loss(struct janus *j, const struct janus_call *c, const struct janus_message *m)
{
    int code = m->kind == JANUS_ERROR && m->error ? m->error->code : 0;
    if (code == NO_SUCH_SESSION && j->state == JANUS_UP) {
        lose_session(j, "the session is gone");
        return true;
    }
    if (code == NO_SUCH_HANDLE && c->handle) {
        janus_handle_gone(c->handle);
        return true;
    }
    return false;
}

/* A handle that was attached after its owner had left, or had given up waiting, is nobody's. */
static bool is_late_attach(struct janus *j, const struct janus_message *m)
{
    uint64_t transaction = janus_transaction_parse(m->transaction);
    return m->kind == JANUS_SUCCESS && m->id != 0 && j->state == JANUS_UP &&
           m->session_id == j->session && transaction != 0 && transaction <= j->next_transaction &&
           !janus_handle_by_id(j, m->id);
}

static void take(struct janus *j, const struct janus_message *m, struct bytes text)
{
    struct janus_call *c = janus_call_of(j, m);
    if (c) {
        if (!take_loss(j, c, m)) {
            janus_call_finish(c, m, text);
        }
        return;
    }
    if (is_late_attach(j, m)) {
        janus_detach(j, m->id);
        return;
    }
    if (m->kind == JANUS_TIMEOUT && m->session_id == j->session && j->state == JANUS_UP) {
        lose_session(j, "the session expired");
        return;
    }
    struct janus_handle *h = janus_handle_by_id(j, m->sender);
    if (h) {
        janus_handle_take(h, m);
    }
}

static void on_text(void *user, struct bytes text)
{
    struct janus *j = user;
    struct janus_message m;
    struct error err = {0};
    if (janus_message_parse(&m, text, &err) < 0) {
        log_debug("%s: dropping a message that is none of Janus: %s", j->name, err.text);
        return;
    }
    take(j, &m, text);
    janus_message_done(&m);
}

static void on_open(void *user)
{
    struct janus *j = user;
    j->open = true;
    ask_setup(j, STEP_INFO);
}

static void on_close(void *user, int code, const char *reason)
{
    struct janus *j = user;
    char text[160];
    snprintf(text, sizeof(text), "the connection ended%s%s", reason && reason[0] ? ": " : "",
             reason ? reason : "");
    lose(j, -ENOTCONN, text);
}

/* ---- life ---- */

static void open_socket(struct janus *j)
{
    static const struct ws_ops ops = {.on_text = on_text, .on_open = on_open, .on_close = on_close};
    struct error err = {0};
    const struct ws_connect how = {
        .url = j->url, .protocol = PROTOCOL, .tls = j->tls, .timeout_ms = j->request_ms};
    j->state = JANUS_CONNECTING;
    j->ws = ws_connect(j->loop, &how, &ops, j, &err);
    if (!j->ws) {
        lose(j, err.code, err.text);
        return;
    }
    ws_set_max_message(j->ws, JANUS_MESSAGE_MAX);
}

static void on_wait(void *user)
{
    open_socket(user);
}

static int check(const struct janus_config *c, struct error *err)
{
    if (strncmp(c->url, "ws://", 5) != 0 && strncmp(c->url, "wss://", 6) != 0) {
        return error_set(err, -EINVAL, "url", "is no WebSocket address: ws://host:8188");
    }
    if (c->api_secret && !utf8_valid(BYTES_STR(c->api_secret))) {
        return error_set(err, -EINVAL, "api_secret", "is no valid UTF-8");
    }
    if (c->token && !utf8_valid(BYTES_STR(c->token))) {
        return error_set(err, -EINVAL, "token", "is no valid UTF-8");
    }
    return 0;
}

static char *copy_text(const char *s)
{
    return s && s[0] ? mem_strdup(s) : NULL;
}

struct janus *janus_new(struct loop *l, const struct janus_config *config,
                        const struct janus_ops *ops, void *user, struct error *err)
{
    if (check(config, err) < 0) {
        return NULL;
    }
    struct janus *j = mem_new(struct janus);
    j->loop = l;
    j->ops = *ops;
    j->user = user;
    j->name = mem_strdup(config->name ? config->name : "janus");
    j->url = mem_strdup(config->url);
    j->api_secret = copy_text(config->api_secret);
    j->token = copy_text(config->token);
    j->tls = config->tls;
    j->request_ms = config->request_ms ? config->request_ms : 10000;
    j->backoff_ms = config->backoff_ms ? config->backoff_ms : 250;
    j->backoff_max_ms = config->backoff_max_ms ? config->backoff_max_ms : 10000;
    j->keepalive_max_s = config->keepalive_max_s ? config->keepalive_max_s : 25;
    j->wait = loop_timer_new(l, on_wait, j);
    j->keepalive = loop_timer_new(l, on_keepalive, j);
    loop_task_init(&j->down, on_down);
    list_init(&j->handles);
    error_set(&j->why, -ENOTCONN, j->name, "not connected yet");
    /* Not from inside this call: what fails at once must not call back before the owner has the pointer. */
    j->state = JANUS_WAITING;
    loop_timer_start(j->wait, 0);
    return j;
}

static void on_source_up(struct loop_task *t)
{
    struct janus *j = CONTAINER_OF(t, struct janus, up);
    if (j->ops.on_up) {
        j->ops.on_up(j->user, false);
    }
}

struct janus *janus_from(struct loop *l, const char *name, const struct janus_source *source,
                         void *source_user, const struct janus_ops *ops, void *user)
{
    struct janus *j = mem_new(struct janus);
    j->loop = l;
    j->ops = *ops;
    j->user = user;
    j->name = mem_strdup(name ? name : "janus");
    j->request_ms = 10000;
    j->backoff_ms = 250;
    j->backoff_max_ms = 10000;
    j->source = source;
    j->source_user = source_user;
    j->state = JANUS_UP;
    list_init(&j->handles);
    loop_task_init(&j->down, on_down);
    loop_task_init(&j->up, on_source_up);
    loop_defer(l, LOOP_STAGE_NOTIFY, &j->up);
    return j;
}

struct janus *janus_free(struct janus *j)
{
    if (!j) {
        return NULL;
    }
    LIST_FOREACH_SAFE (it, &j->handles) {
        struct janus_handle *h = LIST_ENTRY(it, struct janus_handle, node);
        janus_handle_leave(h);
    }
    if (j->state == JANUS_UP) {
        struct janus_request r = {.janus = "destroy", .transaction = ++j->next_transaction};
        (void)janus_send(j, &r);
    }
    j->setup = janus_call_cancel(j->setup);
    janus_calls_lose(j, -ECANCELED, "the connection to Janus was closed");
    close_socket(j);
    loop_task_cancel(&j->down);
    if (j->source) {
        loop_task_cancel(&j->up);
    }
    j->wait = loop_timer_free(j->wait);
    j->keepalive = loop_timer_free(j->keepalive);
    map_done(&j->calls);
    free(j->left);
    free(j->name);
    free(j->url);
    free(j->api_secret);
    free(j->token);
    free(j);
    return NULL;
}

enum janus_state janus_state(const struct janus *j)
{
    return j->state;
}

const struct janus_server_info *janus_server_info(const struct janus *j)
{
    return j->state == JANUS_UP ? &j->info : NULL;
}

const char *janus_reason(const struct janus *j)
{
    return j->why.text;
}

void janus_retry(struct janus *j)
{
    if (j->state == JANUS_WAITING) {
        loop_timer_start(j->wait, 0);
    }
}
