/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tickets. A ticket belongs to two: the asker (its loop, until answered, cancelled or timed out) and the answerer (until it
 * replies). It is freed on the asker's loop, by the delivery of the reply, or by access_ask() when it was answered at once.
 */
#include "base/clock.h"
#include "engine/internal.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum ticket_state {
    TICKET_ASKING,  /* inside the answerer's ask() */
    TICKET_WAITING, /* the asker waits for the reply */
    TICKET_DONE,    /* the asker has its answer, or wants none */
};

struct access_ticket {
    struct loop_msg msg; /* the reply's way to the loop */
    struct engine *e;    /* owns a reference */
    struct loop *loop;
    struct access_request request; /* a private copy */
    char derived
        [16]; /* "~opus": the question is that for its parent, the answer's path gets it back */
    struct sockaddr_storage peer;
    access_answer_fn answer;
    void *user;
    enum ticket_state state;    /* asker's loop */
    struct loop_timer *timeout; /* asker's loop */
    atomic_bool replied;
    bool replied_inside; /* answered within ask() on the asker's thread */
    struct access_answer reply;
};

const char *access_path_key(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    return strncmp(last, ACCESS_STREAM_KEY, strlen(ACCESS_STREAM_KEY)) == 0 ? last : NULL;
}

const char *access_path_shown(const char *path, char buf[ACCESS_SHOWN_MAX])
{
    const char *key = access_path_key(path);
    if (!key) {
        return path;
    }
    snprintf(buf, ACCESS_SHOWN_MAX, "%.*s" ACCESS_STREAM_KEY "***",
             (int)MIN((size_t)(key - path), (size_t)200), path);
    return buf;
}

static const char *copy_text(const char *s)
{
    return s ? mem_strdup(s) : NULL;
}

static void free_text(const char *s)
{
    if (s) {
        explicit_bzero((void *)s, strlen(s));
        free((void *)s);
    }
}

static socklen_t address_size(const struct sockaddr *sa)
{
    switch (sa->sa_family) {
    case AF_INET:
        return sizeof(struct sockaddr_in);
    case AF_INET6:
        return sizeof(struct sockaddr_in6);
    default:
        return sizeof(sa->sa_family);
    }
}

static void copy_request(struct access_ticket *t, const struct access_request *req)
{
    struct access_request *r = &t->request;
    *r = *req;
    r->protocol = copy_text(req->protocol);
    r->path = copy_text(req->path);
    r->query = copy_text(req->query);
    r->user = copy_text(req->user);
    r->password = copy_text(req->password);
    r->proof_salt = copy_text(req->proof_salt);
    r->proof_challenge = copy_text(req->proof_challenge);
    r->proof_response = copy_text(req->proof_response);
    r->token = copy_text(req->token);
    r->cookie = copy_text(req->cookie);
    r->origin = copy_text(req->origin);
    if (req->peer) {
        memcpy(&t->peer, req->peer, address_size(req->peer));
        r->peer = (const struct sockaddr *)&t->peer;
    }
}

static void ticket_free(struct access_ticket *t)
{
    struct access_request *r = &t->request;
    loop_timer_free(t->timeout);
    free_text(r->protocol);
    free_text(r->path);
    free_text(r->query);
    free_text(r->user);
    free_text(r->password);
    free_text(r->proof_salt);
    free_text(r->proof_challenge);
    free_text(r->proof_response);
    free_text(r->token);
    free_text(r->cookie);
    free_text(r->origin);
    engine_unref(t->e);
    free(t);
}

static void grant_answer(const struct access_request *req, struct access_answer *ret)
{
    *ret = (struct access_answer){0};
    const char *path = req->path ? req->path : "";
    int r = req->action == ACCESS_READ ? stream_path_check_read(path, &ret->err)
                                       : stream_path_check(path, &ret->err);
    ret->result = r;
    if (r == 0) {
        snprintf(ret->path, sizeof(ret->path), "%s", path);
    }
}

/* Who may read a stream may read what is derived from it: the question is for the parent. */
static void ask_for_parent(struct access_ticket *t)
{
    char parent[STREAM_PATH_MAX + 1];
    const char *path = t->request.path;
    const char *word =
        t->request.action == ACCESS_READ && path ? stream_path_derived(path, parent) : NULL;
    if (word) {
        snprintf(t->derived, sizeof(t->derived), "~%s", word);
        t->request.path = copy_text(parent);
        free_text(path);
    }
}

static void set_reply(struct access_ticket *t, const struct access_answer *answer)
{
    t->reply = *answer;
    size_t len = strlen(t->reply.path);
    if (t->derived[0] == '\0' || t->reply.result < 0) {
        return;
    }
    if (len + strlen(t->derived) >= sizeof(t->reply.path)) {
        t->reply.result =
            error_set(&t->reply.err, -ENOENT, "path", "the path of the derived stream is too long");
        return;
    }
    snprintf(t->reply.path + len, sizeof(t->reply.path) - len, "%s", t->derived);
}

static void on_timeout(void *user)
{
    struct access_ticket *t = user;
    struct access_answer answer = {0};
    answer.result =
        error_set(&answer.err, -ETIMEDOUT, "access", "nobody answered the access question");
    t->state = TICKET_DONE; /* the answerer's reply will free it */
    t->timeout = loop_timer_free(t->timeout);
    t->answer(t->user, &answer);
}

struct access_ticket *access_ask(struct engine *e, struct loop *l, const struct access_request *req,
                                 access_answer_fn answer, void *user)
{
    if (!e->config.access.ask) {
        struct access_answer granted;
        grant_answer(req, &granted);
        answer(user, &granted);
        return NULL;
    }
    struct access_ticket *t = mem_new(struct access_ticket);
    t->e = engine_ref(e);
    t->loop = l;
    t->answer = answer;
    t->user = user;
    copy_request(t, req);
    ask_for_parent(t);
    e->config.access.ask(e->config.access.user, t);
    if (t->replied_inside) {
        t->answer(t->user, &t->reply);
        ticket_free(t);
        return NULL;
    }
    t->state = TICKET_WAITING;
    t->timeout = loop_timer_new(l, on_timeout, t);
    loop_timer_start(t->timeout, atomic_load(&e->access_timeout_ms));
    return t;
}

struct access_ticket *access_cancel(struct access_ticket *t)
{
    /* DONE: cancelled from inside its own answer. */
    if (t && t->state == TICKET_WAITING) {
        t->state = TICKET_DONE;
        t->timeout = loop_timer_free(t->timeout);
    }
    return NULL;
}

const struct access_request *access_ticket_request(const struct access_ticket *t)
{
    return &t->request;
}

struct loop *access_ticket_loop(const struct access_ticket *t)
{
    return t->loop;
}

static void deliver_reply(struct loop *l, struct loop_msg *m)
{
    struct access_ticket *t = CONTAINER_OF(m, struct access_ticket, msg);
    if (t->state == TICKET_WAITING) {
        t->state = TICKET_DONE;
        t->answer(t->user, &t->reply);
    }
    ticket_free(t);
}

void access_reply(struct access_ticket *t, const struct access_answer *answer)
{
    bool twice = atomic_exchange(&t->replied, true);
    assert(!twice);
    set_reply(t, answer);
    /* Only the asker's thread can be inside its own ask(); another one never reads state. */
    if (loop_is_current(t->loop) && t->state == TICKET_ASKING) {
        t->replied_inside = true;
        return;
    }
    t->msg.deliver = deliver_reply;
    loop_post(t->loop, &t->msg);
}
