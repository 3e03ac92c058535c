/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in and out: joins the table of sessions (sessions.h) to the rules, the engine and the throttle. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/access/access_private.h"

#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "access");

#define SWEEP_MS 30000

struct sweep {
    struct access_rules *rules;
    struct access_now now;
};

static bool holder_is_gone(void *user, const struct access_session *session)
{
    const struct sweep *w = user;
    struct access_holder h = access_session_holder(w->rules, session, &w->now);
    return !h.user && !h.key;
}

/* What was granted by it ends too; of none, nothing. */
static void end_session(struct access_service *s, const struct session_gone *gone)
{
    if (gone->serial != 0) {
        access_session_forget(s, gone->hash);
        access_end(s, gone->serial);
    }
}

void access_sessions_sweep(struct access_service *s)
{
    if (s->loading) {
        return; /* the rules do not know all holders yet */
    }
    struct sweep w = {.rules = access_take_rules(s), .now = access_now()};
    for (bool more = true; more;) {
        struct session_gone gone;
        pthread_mutex_lock(&s->lock);
        more = sessions_sweep(s->sessions, w.now.wall_ns, s->session_idle_ns, holder_is_gone, &w,
                              &gone);
        pthread_mutex_unlock(&s->lock);
        end_session(s, &gone);
    }
    access_rules_unref(&w.rules);
}

static void on_sweep(void *user)
{
    struct access_service *s = user;
    access_sessions_sweep(s);
    access_sessions_store_used(s);
    loop_timer_start(s->sweep, SWEEP_MS);
}

void access_sessions_start(struct access_service *s)
{
    s->sweep = loop_timer_new(s->control, on_sweep, s);
    loop_timer_start(s->sweep, SWEEP_MS);
}

bool access_session_of(struct access_service *s, const struct access_rules *rules,
                       const struct access_request *req, const struct access_now *now,
                       struct access_session *ret, struct access_holder *ret_holder)
{
    if (!req->cookie) {
        return false;
    }
    pthread_mutex_lock(&s->lock);
    struct access_session *found =
        sessions_find(s->sessions, req->cookie, now->wall_ns, s->session_idle_ns);
    bool holds = false;
    if (found) {
        *ret_holder = access_session_holder(rules, found, now);
        holds = access_session_check(found, ret_holder, req->cookie, now->wall_ns);
        *ret = *found;
        ret->user = ret->key = ret->proof = ret->hash = NULL; /* the table's */
    }
    pthread_mutex_unlock(&s->lock);
    return holds;
}

static const char *name_of(const struct access_holder *h)
{
    return h->user ? h->user->name : h->key->name ? h->key->name : h->key->id;
}

/* Takes over nothing; the session ends with its holder, and a key's end is the session's too. */
static uint64_t open_for(struct access_service *s, const struct access_holder *h,
                         const struct access_now *now, char secret[SESSION_SECRET_LEN + 1],
                         int64_t *ret_expires_ns)
{
    int64_t expires = now->wall_ns + s->config.sessions.lifetime;
    if (h->key && h->key->expires_at) {
        expires = MIN(expires, h->key->expires_at);
    }
    const struct access_session like = {
        .serial = ++s->last_serial,
        .holder = h->user ? h->user->serial : h->key->serial,
        .user = h->user ? h->user->name : NULL,
        .key = h->user ? NULL : h->key->id,
        .created_at = now->wall_ns,
        .expires_at = expires,
    };
    struct session_gone dropped;
    pthread_mutex_lock(&s->lock);
    struct access_session *opened = sessions_open(s->sessions, &like, secret, &dropped);
    access_session_prove(opened, h, secret, now->wall_ns);
    struct store_op *op = access_session_put_op(s, opened);
    pthread_mutex_unlock(&s->lock);
    access_session_store(s, op);
    end_session(s, &dropped);
    *ret_expires_ns = expires;
    return like.serial;
}

int access_login(struct access_service *s, const struct access_request *req,
                 char secret[ACCESS_SESSION_SECRET_MAX], int64_t *ret_expires_ns)
{
    _Static_assert(ACCESS_SESSION_SECRET_MAX == SESSION_SECRET_LEN + 1, "the same secret");
    struct access_rules *rules = access_take_rules(s);
    const struct access_now now = access_now_for(s, req);
    int r;
    const struct access_holder h = access_rules_login(rules, req, &now, &r);
    if (r == 0 && !h.user && !h.key) {
        r = -EACCES;
    }
    enum access_source source = h.key    ? ACCESS_BY_KEY
                                : h.user ? ACCESS_BY_PASSWORD
                                         : ACCESS_BY_NOTHING;
    if (r != -EBUSY && access_weigh(s, req, source, r, now.mono_ns) != 0) {
        r = -EBUSY;
    }
    if (r == 0) {
        uint64_t serial = open_for(s, &h, &now, secret, ret_expires_ns);
        log_info("%s '%s' logged in, session %llu", h.user ? "user" : "key", name_of(&h),
                 (unsigned long long)serial);
    }
    access_rules_unref(&rules);
    return r;
}

bool access_logout(struct access_service *s, const struct access_request *req)
{
    struct session_gone gone = {0};
    if (!req->cookie) {
        return false;
    }
    pthread_mutex_lock(&s->lock);
    const struct access_session *found =
        sessions_find(s->sessions, req->cookie, clock_wall_ns(), s->session_idle_ns);
    if (found) {
        (void)sessions_end(s->sessions, found->serial, &gone);
    }
    pthread_mutex_unlock(&s->lock);
    end_session(s, &gone);
    if (gone.serial != 0) {
        log_info("session %llu logged out", (unsigned long long)gone.serial);
    }
    return gone.serial != 0;
}

/* ---- who am I ---- */

static void add_text(char ***items, size_t *len, const char *text)
{
    *items = mem_realloc(*items, (*len + 1) * sizeof(char *));
    (*items)[(*len)++] = mem_strdup(text);
}

static void add_scope(struct access_identity *id, enum access_scope scope)
{
    id->scopes.items = mem_realloc(id->scopes.items, (id->scopes.len + 1) * sizeof(int));
    id->scopes.items[id->scopes.len++] = (int)scope;
}

static void copy_patterns(struct access_identity *id, char *const *watch, size_t n_watch,
                          char *const *publish, size_t n_publish)
{
    for (size_t i = 0; i < n_watch; i++) {
        add_text(&id->watch.items, &id->watch.len, watch[i]);
    }
    for (size_t i = 0; i < n_publish; i++) {
        add_text(&id->publish.items, &id->publish.len, publish[i]);
    }
}

static void show_holder(struct access_identity *id, const struct access_holder *h)
{
    const struct access_user *u = h->user;
    const struct access_key *k = h->key;
    for (int scope = 0; scope < ACCESS_SCOPE_N; scope++) {
        bool media = scope == ACCESS_SCOPE_WATCH || scope == ACCESS_SCOPE_PUBLISH;
        bool has = media && u ? (scope == ACCESS_SCOPE_WATCH ? u->read.len : u->publish.len) > 0
                              : access_holder_has_scope(h, (enum access_scope)scope);
        if (has) {
            add_scope(id, (enum access_scope)scope);
        }
    }
    if (u) {
        id->user = mem_strdup(u->name);
        copy_patterns(id, u->read.items, u->read.len, u->publish.items, u->publish.len);
    } else {
        bool watch = access_key_has_scope(k, ACCESS_SCOPE_WATCH);
        bool publish = access_key_has_scope(k, ACCESS_SCOPE_PUBLISH);
        id->key = mem_strdup(k->name ? k->name : k->id);
        copy_patterns(id, k->paths.items, watch ? k->paths.len : 0, k->paths.items,
                      publish ? k->paths.len : 0);
    }
}

static void show_trusted(struct access_identity *id, bool open)
{
    id->by = open ? ACCESS_IDENTITY_OPEN : ACCESS_IDENTITY_LOCAL;
    for (int scope = 0; scope < ACCESS_SCOPE_N; scope++) {
        add_scope(id, (enum access_scope)scope);
    }
    add_text(&id->watch.items, &id->watch.len, "*");
    add_text(&id->publish.items, &id->publish.len, "*");
}

/* Who comes with credentials, or with nothing; *ret_r as access_identify(). */
static struct access_holder identify_request(struct access_service *s,
                                             const struct access_rules *rules,
                                             const struct access_request *req,
                                             const struct access_now *now,
                                             struct access_identity *id, int *ret_r)
{
    int r;
    struct access_holder h = access_rules_login(rules, req, now, &r);
    enum access_source source = h.key ? ACCESS_BY_KEY : ACCESS_BY_PASSWORD;
    if (r < 0) {
        *ret_r = r;
        return h;
    }
    id->by = h.key ? ACCESS_IDENTITY_KEY : ACCESS_IDENTITY_PASSWORD;
    if (!h.key && !h.user) {
        struct access_answer answer;
        source = access_rules_api(rules, req, ACCESS_SCOPE_ADMIN, now, &answer);
        r = answer.result;
        id->by = ACCESS_IDENTITY_NOBODY;
        if (r == 0 && source == ACCESS_BY_TOKEN) {
            id->by = ACCESS_IDENTITY_TOKEN;
            add_scope(id, ACCESS_SCOPE_READ);
            add_scope(id, ACCESS_SCOPE_ADMIN);
        } else if (r == 0 && access_rules_trust(rules, req)) {
            show_trusted(id, access_rules_are_open(rules));
        }
    }
    *ret_r = access_weigh(s, req, source, r, now->mono_ns) != 0 ? -EBUSY : r == -EPERM ? 0 : r;
    return h;
}

int access_identify(struct access_service *s, const struct access_request *req,
                    struct access_identity *ret)
{
    struct access_rules *rules = access_take_rules(s);
    const struct access_now now = access_now_for(s, req);
    struct access_session session;
    struct access_holder h = {0};
    int r = 0;
    *ret = (struct access_identity){.by = ACCESS_IDENTITY_NOBODY};
    if (access_session_of(s, rules, req, &now, &session, &h)) {
        ret->by = ACCESS_IDENTITY_COOKIE;
        ret->expires_at = session.expires_at;
    } else {
        h = identify_request(s, rules, req, &now, ret, &r);
    }
    if (r == 0 && (h.user || h.key)) {
        show_holder(ret, &h);
    }
    access_rules_unref(&rules);
    return r;
}
