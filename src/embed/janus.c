/* SPDX-License-Identifier: Apache-2.0 */
/* mast/janus.h over peer/janus. */
#include "embed/embed.h"

#include "base/json.h"
#include "base/mem.h"
#include "io/tls.h"
#include "peer/janus/janus.h"

#include <errno.h>
#include <mast/janus.h>
#include <strings.h>

struct mast_janus {
    struct embed_part part;
    char *name;
    struct tls_context *tls; /* NULL unless wss */
    struct janus *janus;
    struct list handles; /* struct mast_janus_handle.of_client */
};

struct mast_janus_handle {
    struct embed_part part;
    struct list of_client; /* alone: the client was freed before it */
    char *plugin;
    mast_janus_event_fn on_event;
    void *user;
    struct janus_handle *handle;
    struct error failed; /* Janus gave none; code 0: it did, or was not asked yet */
    struct list waits;   /* struct handle_call.node: until it is attached */
};

struct handle_call {
    struct embed_call call;
    struct list node;       /* of the handle's waits */
    struct janus_call *ask; /* under way */
};

/* The answer of an object that ends at once. */
static void stop_now(struct embed_part *p, unsigned deadline_ms)
{
    embed_part_stopped(p, NULL);
}

/* ---- the client ---- */

static struct mast_janus *janus_of(struct embed_part *p)
{
    return CONTAINER_OF(p, struct mast_janus, part);
}

static void on_up(void *user, bool resumed)
{
    struct mast_janus *j = user;
    embed_state(&j->part, j->name, "up", resumed ? "the session was resumed" : "");
}

static void on_down(void *user, const struct error *err)
{
    struct mast_janus *j = user;
    embed_state(&j->part, j->name, "down", err->text);
}

static void answer_waits(struct mast_janus_handle *h, int r, const struct error *err)
{
    LIST_FOREACH_SAFE (it, &h->waits) {
        struct handle_call *c = LIST_ENTRY(it, struct handle_call, node);
        list_remove(&c->node);
        embed_answer(&c->call, r, err, NULL);
    }
}

static const struct error client_gone = {.code = -EAGAIN, .text = "its client was freed"};

static void drop_janus(struct embed_part *p)
{
    struct mast_janus *j = janus_of(p);
    LIST_FOREACH_SAFE (it, &j->handles) {
        list_remove(it);
        answer_waits(LIST_ENTRY(it, struct mast_janus_handle, of_client), -EAGAIN, &client_gone);
    }
    janus_free(j->janus);
    tls_context_free(j->tls);
    free(j->name);
    free(j);
}

static int make(struct embed_part *p, struct loop *l, const void *arg, struct error *err)
{
    static const struct janus_ops ops = {.on_up = on_up, .on_down = on_down};
    const struct mast_janus_config *c = arg;
    struct mast_janus *j = janus_of(p);
    if (c->url && strncasecmp(c->url, "wss:", 4) == 0 && !(j->tls = embed_tls(&c->tls, err))) {
        return err->code;
    }
    const struct janus_config config = {.name = j->name,
                                        .url = c->url ? c->url : "",
                                        .api_secret = c->api_secret,
                                        .token = c->token,
                                        .tls = j->tls,
                                        .request_ms = c->request_ms};
    j->janus = janus_new(l, &config, &ops, j, err);
    return j->janus ? 0 : err->code;
}

int mast_janus_new(struct mast *m, const struct mast_janus_config *config, struct mast_janus **ret,
                   struct mast_error *err)
{
    static const struct embed_part_ops ops = {.stop = stop_now, .drop = drop_janus};
    struct mast_janus *j = mem_new(struct mast_janus);
    embed_part_init(&j->part, m, &ops, &config->observer);
    j->name = mem_strdup(config->name ? config->name : "janus");
    j->part.name = j->name;
    list_init(&j->handles);
    *ret = j;
    int r = embed_part_begin(&j->part, make, config, err);
    if (r < 0) {
        *ret = NULL;
    }
    return r;
}

int mast_janus_free(struct mast_janus *j, mast_done_fn done, void *user)
{
    return j ? embed_part_free(&j->part, 0, done, user) : 0;
}

int mast_janus_free_wait(struct mast_janus *j)
{
    return j ? embed_part_free_wait(&j->part, 0, NULL) : 0;
}

static void run_status(struct embed_call *c)
{
    const struct mast_janus *m = janus_of(c->part);
    const struct janus_server_info *info = janus_server_info(m->janus);
    struct out o = {0};
    struct json j = json_init(&o);
    json_object_begin(&j);
    json_put_str(&j, "state", janus_state_to_str(janus_state(m->janus)));
    json_put_str(&j, "reason", info ? "" : janus_reason(m->janus));
    if (info) {
        json_put_str(&j, "version", info->version_string);
        json_put_str(&j, "server_name", info->name);
    }
    json_object_end(&j);
    embed_answer(c, 0, NULL, out_take_str(&o));
}

static void *new_status(struct mast_janus *j)
{
    return embed_call_new(&j->part, sizeof(struct embed_call), run_status, NULL);
}

int mast_janus_status(struct mast_janus *j, mast_done_fn done, void *user)
{
    return embed_call_post(new_status(j), done, user);
}

int mast_janus_status_wait(struct mast_janus *j, char **ret, struct mast_error *err)
{
    return embed_call_wait(new_status(j), ret, err);
}

/* ---- handles ---- */

static struct mast_janus_handle *handle_of(struct embed_part *p)
{
    return CONTAINER_OF(p, struct mast_janus_handle, part);
}

static void on_attached(void *user, bool again)
{
    struct mast_janus_handle *h = user;
    h->failed.code = 0;
    embed_state(&h->part, h->plugin, again ? "attached_again" : "attached", "");
    answer_waits(h, 0, NULL);
}

static void on_failed(void *user, const struct error *err)
{
    struct mast_janus_handle *h = user;
    h->failed = *err;
    embed_error(&h->part, "attach", h->plugin, err->text);
    answer_waits(h, -ENODEV, err);
}

static void run_event(const struct embed_note *n)
{
    ((mast_janus_event_fn)n->fn)(n->user, n->text[0]);
}

static void on_event(void *user, struct bytes data)
{
    struct mast_janus_handle *h = user;
    _cleanup_free_ char *text = mem_strndup((const char *)data.data, data.len);
    if (h->on_event) {
        embed_tell(h->part.mast, &(struct embed_note){.run = run_event,
                                                      .fn = (void (*)(void))h->on_event,
                                                      .user = h->user,
                                                      .text = {text},
                                                      .part = &h->part,
                                                      .event = true});
    }
}

static void drop_handle(struct embed_part *p)
{
    struct mast_janus_handle *h = handle_of(p);
    list_remove(&h->of_client);
    janus_handle_free(h->handle);
    free(h->plugin);
    free(h);
}

struct attaching {
    struct mast_janus *client;
};

static int attach(struct embed_part *p, struct loop *l, const void *arg, struct error *err)
{
    static const struct janus_handle_ops ops = {
        .on_attached = on_attached, .on_event = on_event, .on_failed = on_failed};
    struct mast_janus *j = ((const struct attaching *)arg)->client;
    struct mast_janus_handle *h = handle_of(p);
    if (j->part.stopping) {
        return error_set(err, -ESHUTDOWN, "", "its client is being freed");
    }
    h->handle = janus_handle_new(j->janus, h->plugin, &ops, h);
    list_append(&j->handles, &h->of_client);
    return 0;
}

int mast_janus_attach(struct mast_janus *j, const char *plugin, mast_janus_event_fn event_fn,
                      void *user, struct mast_janus_handle **ret, struct mast_error *err)
{
    static const struct embed_part_ops ops = {
        .stop = stop_now, .drop = drop_handle, .serves_ends = true};
    *ret = NULL;
    if (!plugin) {
        embed_error_out(err,
                        &(struct error){.code = -EINVAL, .where = "plugin", .text = "is needed"});
        return -EINVAL;
    }
    struct mast_janus_handle *h = mem_new(struct mast_janus_handle);
    embed_part_init(&h->part, j->part.mast, &ops, &j->part.observer);
    h->plugin = mem_strdup(plugin);
    h->part.name = h->plugin;
    h->on_event = event_fn;
    h->user = user;
    list_init(&h->waits);
    list_init(&h->of_client);
    *ret = h;
    int r = embed_part_begin(&h->part, attach, &(struct attaching){j}, err);
    if (r < 0) {
        *ret = NULL;
    }
    return r;
}

int mast_janus_handle_free(struct mast_janus_handle *h, mast_done_fn done, void *user)
{
    return h ? embed_part_free(&h->part, 0, done, user) : 0;
}

int mast_janus_handle_free_wait(struct mast_janus_handle *h)
{
    return h ? embed_part_free_wait(&h->part, 0, NULL) : 0;
}

static void forget_handle_call(struct embed_call *call)
{
    struct handle_call *c = CONTAINER_OF(call, struct handle_call, call);
    list_remove(&c->node);
    c->ask = janus_call_cancel(c->ask);
}

static void run_ready(struct embed_call *call)
{
    struct mast_janus_handle *h = handle_of(call->part);
    if (janus_handle_is_attached(h->handle)) {
        embed_answer(call, 0, NULL, NULL);
        return;
    }
    if (h->failed.code) {
        embed_answer(call, -ENODEV, &h->failed, NULL);
        return;
    }
    if (list_empty(&h->of_client)) {
        embed_answer(call, -EAGAIN, &client_gone, NULL);
        return;
    }
    call->forget = forget_handle_call;
    list_append(&h->waits, &CONTAINER_OF(call, struct handle_call, call)->node);
}

static void on_answered(void *user, const struct janus_result *res)
{
    struct handle_call *c = user;
    c->ask = NULL;
    embed_answer_peer(&c->call, res->r, res->code, res->text, res->data);
}

static void run_ask(struct embed_call *call)
{
    struct handle_call *c = CONTAINER_OF(call, struct handle_call, call);
    const struct janus_ask ask = {.body = BYTES_STR(call->arg ? call->arg : "")};
    call->forget = forget_handle_call;
    c->ask = janus_ask(handle_of(call->part)->handle, &ask, on_answered, c);
}

static void *new_handle_call(struct mast_janus_handle *h, void (*run)(struct embed_call *c),
                             const char *arg)
{
    struct handle_call *c = embed_call_new(&h->part, sizeof(*c), run, arg);
    list_init(&c->node);
    return c;
}

int mast_janus_handle_ready(struct mast_janus_handle *h, mast_done_fn done, void *user)
{
    return embed_call_post(new_handle_call(h, run_ready, NULL), done, user);
}

int mast_janus_handle_ready_wait(struct mast_janus_handle *h, struct mast_error *err)
{
    return embed_call_wait(new_handle_call(h, run_ready, NULL), NULL, err);
}

int mast_janus_ask(struct mast_janus_handle *h, const char *body, mast_done_fn done, void *user)
{
    return embed_call_post(new_handle_call(h, run_ask, body), done, user);
}

int mast_janus_ask_wait(struct mast_janus_handle *h, const char *body, char **ret,
                        struct mast_error *err)
{
    return embed_call_wait(new_handle_call(h, run_ask, body), ret, err);
}
