/* SPDX-License-Identifier: Apache-2.0 */
/* The guard asked about a name: resolved on libuv's threads, each address judged. */
#include "io/net_guard.h"

#include "base/mem.h"
#include "io/loop.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>

/* A request that runs cannot be taken back: it may outlive who asked. */
struct net_guard_question {
    uv_getaddrinfo_t req;
    struct net_guard guard;
    char *host;
    net_guard_fn done; /* NULL: nobody waits any more */
    void *user;
    struct loop_task fail; /* LOOP_STAGE_NOTIFY: it could not be asked */
};

static void question_free(struct net_guard_question *q)
{
    free(q->host);
    free(q);
}

static int judge(const struct net_guard_question *q, const struct addrinfo *addresses,
                 struct error *err)
{
    for (const struct addrinfo *a = addresses; a; a = a->ai_next) {
        int r = net_guard_check(&q->guard, a->ai_addr, err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *addresses)
{
    struct net_guard_question *q = CONTAINER_OF(req, struct net_guard_question, req);
    struct error err = {0};
    int r = status < 0 || !addresses
                ? error_set(&err, -EHOSTUNREACH, q->host, "the name cannot be resolved: %s",
                            uv_strerror(status))
                : judge(q, addresses, &err);
    net_guard_fn done = q->done;
    void *user = q->user;
    uv_freeaddrinfo(addresses);
    question_free(q);
    if (done) {
        done(user, r, &err);
    }
}

static void on_fail(struct loop_task *t)
{
    struct net_guard_question *q = CONTAINER_OF(t, struct net_guard_question, fail);
    struct error err = {0};
    int r = error_set(&err, -EHOSTUNREACH, "", "the host name is not one");
    net_guard_fn done = q->done;
    void *user = q->user;
    question_free(q);
    done(user, r, &err);
}

struct net_guard_question *net_guard_ask(struct loop *l, const struct net_guard *g,
                                         const char *host, net_guard_fn done, void *user)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct net_guard_question *q = mem_new(struct net_guard_question);
    q->guard = *g;
    q->host = mem_strdup(host);
    q->done = done;
    q->user = user;
    loop_task_init(&q->fail, on_fail);
    if (!host[0] || uv_getaddrinfo(loop_uv(l), &q->req, on_resolved, q->host, NULL, &hints) < 0) {
        loop_defer(l, LOOP_STAGE_NOTIFY, &q->fail);
    }
    return q;
}

struct net_guard_question *net_guard_forget(struct net_guard_question *q)
{
    if (!q) {
        return NULL;
    }
    q->done = NULL;
    if (loop_task_pending(&q->fail)) {
        loop_task_cancel(&q->fail);
        question_free(q);
    } else {
        (void)uv_cancel((uv_req_t *)&q->req);
    }
    return NULL;
}
