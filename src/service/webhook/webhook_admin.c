/* SPDX-License-Identifier: Apache-2.0 */
/* What the API does with webhooks: made, changed, deleted, tested, replayed. */
#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "service/webhook/webhook_internal.h"
#include "store/hash.h"

#include <errno.h>
#include <string.h>

LOG_TOPIC(topic, "webhook");

#define ID_RANDOM 12

/* ---- changes through the API ---- */

struct change {
    struct webhook_service *s;
    struct webhook w;
    int64_t version;
    bool made_secret; /* so it is shown */
    webhook_fn fn;
    void *user;
};

static void change_end(struct change *c, int r, struct sub *sub, const struct error *err)
{
    if (sub) {
        struct webhook_view v = sub_view(sub);
        v.secret = c->made_secret ? sub->w.secret : NULL;
        c->fn(c->user, r, &v, err);
    } else {
        c->fn(c->user, r, NULL, err);
    }
    webhook_done(&c->w);
    free(c);
}

static int write_webhook(struct webhook_service *s, const struct webhook *w, struct out *o,
                         struct error *err)
{
    struct seal_document sealed = {.ring = s->config.ring, .kind = WEBHOOK_KIND, .id = w->id};
    const struct model_write_opts opts = {
        .secrets = MODEL_SECRETS_SEALED, .seal = seal_model_field, .user = &sealed};
    struct json j = json_init(o);
    int r = model_write(&webhook_stored_model, w, &opts, &j);
    return r < 0 ? error_set(err, r, "", "its secret cannot be sealed: there is no key to do it")
                 : 0;
}

/* Writes c->w; fn gets c. */
static void put(struct change *c, store_fn fn)
{
    struct webhook_service *s = c->s;
    _cleanup_(out_done) struct out o = {0};
    struct store_result result = {0};
    int r = write_webhook(s, &c->w, &o, &result.err);
    if (r == 0) {
        struct store_op *op = store_op_write();
        store_op_put(op, WEBHOOK_KIND, c->w.id, c->version, out_view(&o));
        r = store_submit(s->config.store, s->config.control, op, fn, c);
        if (r < 0) {
            error_set(&result.err, r, "", "the change cannot be stored: %s", error_name(r));
        }
    }
    if (r < 0) {
        fn(c, r, &result);
    }
}

static void on_created(void *user, int r, const struct store_result *result)
{
    struct change *c = user;
    struct webhook_service *s = c->s;
    if (r < 0) {
        s->n_api--;
        change_end(c, r, NULL, &result->err);
        return;
    }
    struct sub *sub = sub_new(s, &c->w, false);
    sub->version = result->docs[0].version;
    log_info("webhook %s made", sub->w.id);
    change_end(c, 0, sub, NULL);
}

static bool make_secret(struct webhook *w)
{
    if (w->secret) {
        return false;
    }
    w->secret = hash_new_key(WEBHOOK_KEY_PREFIX);
    return true;
}

void webhook_create(struct webhook_service *s, const struct webhook *wanted, webhook_fn fn,
                    void *user)
{
    struct error err = {0};
    char random[ID_RANDOM + 1];
    if (s->n_api >= WEBHOOKS_MAX) {
        int r = error_set(&err, -ENOSPC, "", "no more than %d webhooks can be kept", WEBHOOKS_MAX);
        fn(user, r, NULL, &err);
        return;
    }
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = s, .version = STORE_CREATE, .fn = fn, .user = user};
    model_copy(&webhook_stored_model, &c->w, wanted);
    c->w.id = mem_printf(WEBHOOK_ID_PREFIX "%s", random_id(random, ID_RANDOM));
    c->w.created_at = clock_wall_ns();
    c->made_secret = make_secret(&c->w);
    s->n_api++;
    put(c, on_created);
}

/* The webhook, when the API may change it; else the refusal in *ret_r and err. */
static struct sub *changeable(struct webhook_service *s, const char *id, int *ret_r,
                              struct error *err)
{
    struct sub *sub = webhook_find(s, id);
    if (!sub) {
        *ret_r = error_set(err, -ENOENT, "id", "there is no such webhook");
        return NULL;
    }
    if (sub->from_file) {
        *ret_r = error_set(err, -EPERM, "id", "mast.yml declares it: change it there");
        return NULL;
    }
    return sub;
}

static void on_changed(void *user, int r, const struct store_result *result)
{
    struct change *c = user;
    struct sub *sub = webhook_find(c->s, c->w.id);
    if (r < 0 || !sub) {
        change_end(c, r < 0 ? r : -ENOENT, NULL, &result->err);
        return;
    }
    sub_take_settings(sub, &c->w);
    sub->version = result->docs[0].version;
    webhook_pump_soon(c->s);
    change_end(c, 0, sub, NULL);
}

void webhook_change(struct webhook_service *s, const char *id, struct bytes patch, webhook_fn fn,
                    void *user)
{
    struct error err = {0};
    struct webhook w;
    int r = 0;
    const struct model_parse_opts opts = {.client = true};
    struct sub *sub = changeable(s, id, &r, &err);
    if (!sub) {
        fn(user, r, NULL, &err);
        return;
    }
    model_copy(&webhook_new_model, &w, &sub->w);
    w.id = NULL; /* not of that table, so copied as it is */
    r = model_patch_json(&webhook_new_model, &w, patch, MODEL_PATCH_MERGE, &opts, &err);
    if (r < 0) {
        webhook_done(&w);
        fn(user, r == -ENOMEM ? r : -EINVAL, NULL, &err);
        return;
    }
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = s, .w = w, .version = sub->version, .fn = fn, .user = user};
    c->w.id = mem_strdup(sub->w.id);
    c->w.created_at = sub->w.created_at;
    c->made_secret = make_secret(&c->w);
    put(c, on_changed);
}

static void on_deleted(void *user, int r, const struct store_result *result)
{
    struct change *c = user;
    struct sub *sub = webhook_find(c->s, c->w.id);
    if (r < 0 || !sub) {
        change_end(c, r < 0 ? r : -ENOENT, NULL, &result->err);
        return;
    }
    log_info("webhook %s deleted", sub->w.id);
    outbox_remove_all(sub);
    sub_free(sub);
    c->s->n_api--;
    change_end(c, 0, NULL, NULL);
}

void webhook_delete(struct webhook_service *s, const char *id, webhook_fn fn, void *user)
{
    struct error err = {0};
    int r = 0;
    struct sub *sub = changeable(s, id, &r, &err);
    if (!sub) {
        fn(user, r, NULL, &err);
        return;
    }
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = s, .fn = fn, .user = user};
    c->w.id = mem_strdup(id);
    struct store_op *op = store_op_write();
    store_op_delete(op, WEBHOOK_KIND, id, STORE_ANY);
    r = store_submit(s->config.store, s->config.control, op, on_deleted, c);
    if (r < 0) {
        struct store_result result = {0};
        error_set(&result.err, r, "", "the change cannot be stored: %s", error_name(r));
        on_deleted(c, r, &result);
    }
}

static void on_disabled(void *user, int r, const struct webhook_view *view, const struct error *err)
{
    if (r < 0) {
        log_warn("webhook: that it is disabled could not be stored: %s; it is until a restart",
                 err->text);
    }
}

/* What we changed ourselves. */
void sub_store(struct sub *sub)
{
    struct change *c = mem_new(struct change);
    *c = (struct change){.s = sub->s, .version = sub->version, .fn = on_disabled};
    model_copy(&webhook_stored_model, &c->w, &sub->w);
    put(c, on_changed);
}

/* ---- asking ---- */

int webhook_get(struct webhook_service *s, const char *id, struct webhook_view *ret)
{
    const struct sub *sub = webhook_find(s, id);
    if (!sub) {
        return -ENOENT;
    }
    *ret = sub_view(sub);
    return 0;
}

void webhook_each(struct webhook_service *s,
                  void (*each)(void *user, const struct webhook_view *view), void *user)
{
    LIST_FOREACH (it, &s->subs) {
        struct webhook_view v = sub_view(LIST_ENTRY(it, struct sub, node));
        each(user, &v);
    }
}

int webhook_each_delivery(struct webhook_service *s, const char *id, unsigned max,
                          void (*each)(void *user, const struct webhook_delivery *d), void *user)
{
    const struct sub *sub = webhook_find(s, id);
    if (!sub) {
        return -ENOENT;
    }
    const struct list *const lists[] = {&sub->q.dead, &sub->q.all};
    for (unsigned i = 0; i < ARRAY_LEN(lists); i++) {
        LIST_FOREACH (it, lists[i]) {
            if (max-- == 0) {
                return 0;
            }
            each(user, LIST_ENTRY(it, struct webhook_delivery, in_all));
        }
    }
    return 0;
}

int webhook_replay(struct webhook_service *s, const char *id, const char *delivery)
{
    struct sub *sub = webhook_find(s, id);
    int64_t now = clock_wall_ns();
    int n = 0;
    if (!sub) {
        return -ENOENT;
    }
    LIST_FOREACH_SAFE (it, &sub->q.dead) {
        struct webhook_delivery *d = LIST_ENTRY(it, struct webhook_delivery, in_all);
        if (!delivery || strcmp(d->id, delivery) == 0) {
            webhook_queue_replay(&sub->q, d, now);
            outbox_update(s, d);
            n++;
        }
    }
    webhook_pump_soon(s);
    return delivery && n == 0 ? -ESRCH : n;
}

static const struct model_field test_fields[] = {
    MODEL_BOOL(struct webhook_test_view, accepted),
    MODEL_INT(struct webhook_test_view, status, .doc = "0: no reply."),
    MODEL_DURATION(struct webhook_test_view, elapsed, .max = -1),
    MODEL_STRING(struct webhook_test_view, error),
};
const struct model webhook_test_model = MODEL("WebhookTest", struct webhook_test_view, test_fields);

static void on_ping(void *user, const struct webhook_result *result)
{
    struct ping *p = user;
    const struct webhook_test_view v = {
        .accepted = result->verdict == WEBHOOK_ACCEPTED,
        .status = result->status,
        .elapsed = result->elapsed_ns / NS_PER_MS * NS_PER_MS,
        .error = (char *)result->error,
    };
    list_remove(&p->node);
    p->fn(p->user, 0, &v, NULL);
    free(p);
}

static char *test_event(const struct sub *sub, const char *id, int64_t now)
{
    char when[CLOCK_RFC3339_MAX];
    struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "id", id);
    json_put_str(&j, "time", clock_format_rfc3339(now, when));
    json_put_str(&j, "type", "webhook.test");
    json_key(&j, "resource");
    json_printf(&j, "webhooks/%s", sub->w.id);
    json_put_raw(&j, "data", "{}");
    json_object_end(&j);
    return out_take_str(&o);
}

void webhook_test(struct webhook_service *s, const char *id, webhook_test_fn fn, void *user)
{
    struct error err = {0};
    char delivery[WEBHOOK_NEW_ID_MAX];
    int64_t now = clock_wall_ns();
    const struct sub *sub = webhook_find(s, id);
    if (!sub) {
        fn(user, error_set(&err, -ENOENT, "id", "there is no such webhook"), NULL, &err);
        return;
    }
    if (sub->needs_secret) {
        fn(user, error_set(&err, -ENOKEY, "secret", "needs a new secret"), NULL, &err);
        return;
    }
    outbox_new_id(s, delivery);
    _cleanup_free_ char *body = test_event(sub, delivery, now);
    const struct webhook_message m = {
        .webhook = &sub->w,
        .guard = sub_guard(sub),
        .event = "webhook.test",
        .id = delivery,
        .body = body,
        .now_ns = now,
    };
    struct ping *p = mem_new(struct ping);
    *p = (struct ping){.fn = fn, .user = user};
    int r = webhook_send(s->http, &m, on_ping, p, &p->attempt, &err);
    if (r < 0) {
        free(p);
        fn(user, r, NULL, &err);
        return;
    }
    list_append(&s->pings, &p->node);
}
