/* SPDX-License-Identifier: Apache-2.0 */
/* mast/obs.h over peer/obs. */
#include "embed/embed.h"

#include "base/clock.h"
#include "base/mem.h"
#include "io/tls.h"
#include "peer/obs/obs.h"

#include <errno.h>
#include <mast/obs.h>

struct mast_obs {
    struct embed_part part;
    char *name;
    struct tls_context *tls; /* NULL unless secure */
    struct obs *obs;
    bool bridging;               /* a start or stop is under way */
    bool started;                /* by us, or it may be: a stop puts back what was changed */
    struct obs_service previous; /* to be put back; type NULL: nothing was changed */
    struct list waits;           /* struct obs_call.node: until OBS has let us in */
};

struct obs_call {
    struct embed_call call;
    struct list node;
    struct error failed; /* a start, while its changes are put back */
};

static struct mast_obs *obs_of(struct embed_part *p)
{
    return CONTAINER_OF(p, struct mast_obs, part);
}

/* ---- what is heard ---- */

static void answer_waits(struct mast_obs *o, int r, const struct error *err)
{
    LIST_FOREACH_SAFE (it, &o->waits) {
        struct obs_call *c = LIST_ENTRY(it, struct obs_call, node);
        list_remove(&c->node);
        embed_answer(&c->call, r, err, NULL);
    }
}

static void on_up(void *user)
{
    struct mast_obs *o = user;
    embed_state(&o->part, o->name, "up", "");
    answer_waits(o, 0, NULL);
}

static void on_down(void *user, const struct error *err, bool permanent)
{
    struct mast_obs *o = user;
    embed_state(&o->part, o->name, permanent ? "refused" : "down", err->text);
    if (permanent) {
        answer_waits(o, -EACCES, err);
    }
}

static void on_output(void *user, enum obs_output output)
{
    struct mast_obs *o = user;
    embed_state(&o->part, o->name, obs_output_to_str(output), "");
}

/* ---- its end ---- */

static void forget_previous(struct mast_obs *o)
{
    o->started = false;
    model_done(&obs_service_model, &o->previous);
    o->previous = (struct obs_service){0};
}

static void on_last_stop(void *user, const struct obs_result *res)
{
    struct mast_obs *o = user;
    struct error err;
    error_set(&err, res->r, "", "OBS was not put back: %s", res->text);
    embed_part_stopped(&o->part, res->r < 0 ? &err : NULL);
}

static void stop(struct embed_part *p, unsigned deadline_ms)
{
    struct mast_obs *o = obs_of(p);
    if (o->bridging) {
        return; /* its end comes back here */
    }
    if (!o->started || !obs_stream_stop(o->obs, &o->previous, deadline_ms, on_last_stop, o)) {
        embed_part_stopped(p, NULL);
    }
}

static void drop(struct embed_part *p)
{
    struct mast_obs *o = obs_of(p);
    obs_free(o->obs);
    tls_context_free(o->tls);
    forget_previous(o);
    free(o->name);
    free(o);
}

/* ---- its making ---- */

static int make(struct embed_part *p, struct loop *l, const void *arg, struct error *err)
{
    static const struct obs_ops ops = {.on_up = on_up, .on_down = on_down, .on_output = on_output};
    const struct mast_obs_config *c = arg;
    struct mast_obs *o = obs_of(p);
    if (c->port < 0 || c->port > 65535) {
        return error_set(err, -EINVAL, "port", "is 1 to 65535");
    }
    if (c->secure && !(o->tls = embed_tls(&c->tls, err))) {
        return err->code;
    }
    const struct obs_connection connection = {
        .host = (char *)(c->host ? c->host : "127.0.0.1"),
        .port = c->port ? c->port : 4455,
        .password = (char *)c->password,
        .secure = c->secure,
        .timeout_ns = (c->timeout_ms ? c->timeout_ms : 10000) * NS_PER_MS,
    };
    o->obs = obs_new(l, &connection, o->tls, &ops, o, err);
    return o->obs ? 0 : err->code;
}

int mast_obs_new(struct mast *m, const struct mast_obs_config *config, struct mast_obs **ret,
                 struct mast_error *err)
{
    static const struct embed_part_ops ops = {.stop = stop, .drop = drop};
    struct mast_obs *o = mem_new(struct mast_obs);
    embed_part_init(&o->part, m, &ops, &config->observer);
    o->name = mem_strdup(config->name ? config->name : "obs");
    o->part.name = o->name;
    list_init(&o->waits);
    *ret = o;
    int r = embed_part_begin(&o->part, make, config, err);
    if (r < 0) {
        *ret = NULL;
    }
    return r;
}

int mast_obs_free(struct mast_obs *o, unsigned deadline_ms, mast_done_fn done, void *user)
{
    return o ? embed_part_free(&o->part, deadline_ms, done, user) : 0;
}

int mast_obs_free_wait(struct mast_obs *o, unsigned deadline_ms, struct mast_error *err)
{
    return o ? embed_part_free_wait(&o->part, deadline_ms, err) : 0;
}

/* ---- calls ---- */

static void forget_wait(struct embed_call *call)
{
    struct obs_call *c = CONTAINER_OF(call, struct obs_call, call);
    list_remove(&c->node);
}

static void run_ready(struct embed_call *call)
{
    struct mast_obs *o = obs_of(call->part);
    struct error err;
    call->forget = forget_wait;
    switch (obs_state(o->obs)) {
    case OBS_UP:
        embed_answer(call, 0, NULL, NULL);
        break;
    case OBS_REFUSED:
        error_set(&err, -EACCES, "", "%s", obs_reason(o->obs));
        embed_answer(call, -EACCES, &err, NULL);
        break;
    case OBS_CONNECTING:
    case OBS_WAITING:
    case OBS_STATE_N:
        list_append(&o->waits, &CONTAINER_OF(call, struct obs_call, call)->node);
        break;
    }
}

static void answer(struct obs_call *c, const struct obs_result *res)
{
    embed_answer_peer(&c->call, res->r, res->code, res->text, res->data);
}

/* Not after obs_free(), which follows at once when the calls of a part that ends were answered. */
static void on_answered(void *user, const struct obs_result *res)
{
    answer(user, res);
}

static void run_ask(struct embed_call *call)
{
    struct obs_call *c = CONTAINER_OF(call, struct obs_call, call);
    struct bytes data = call->arg_2 ? BYTES_STR(call->arg_2) : BYTES(NULL, 0);
    call->forget = forget_wait;
    obs_ask(obs_of(call->part)->obs, call->arg ? call->arg : "", data, on_answered, c);
}

/* ---- the bridge ---- */

static void bridge_ended(struct mast_obs *o)
{
    o->bridging = false;
    if (o->part.stopping) {
        stop(&o->part, o->part.mast->config.stop_ms);
    }
}

/* What a start that failed had changed is put back, or will be by a stop; then the failure is told. */
static void on_given_back(void *user, const struct obs_result *res)
{
    struct obs_call *c = user;
    struct mast_obs *o = obs_of(c->call.part);
    if (res->r == 0) {
        forget_previous(o);
    }
    embed_answer(&c->call, c->failed.code, &c->failed, NULL);
    bridge_ended(o);
}

static void on_started(void *user, const struct obs_result *res, const struct obs_service *previous)
{
    struct obs_call *c = user;
    struct mast_obs *o = obs_of(c->call.part);
    /* What a second start changed is what the first one set: OBS' own are those of before it. */
    if (previous && !o->previous.type) {
        model_copy(&obs_service_model, &o->previous, previous);
    }
    o->started = o->started || res->r == 0 || previous;
    if (res->r < 0 && previous) {
        error_set(&c->failed, res->r, "", "%s", res->text);
        if (obs_stream_stop(o->obs, &o->previous, 0, on_given_back, c)) {
            return;
        }
    }
    answer(c, res);
    bridge_ended(o);
}

static void on_stopped(void *user, const struct obs_result *res)
{
    struct obs_call *c = user;
    struct mast_obs *o = obs_of(c->call.part);
    if (res->r == 0) {
        forget_previous(o);
    }
    answer(c, res);
    bridge_ended(o);
}

static void answer_busy(struct obs_call *c)
{
    const struct error err = {.code = -EBUSY, .text = "another start or stop is under way"};
    embed_answer(&c->call, -EBUSY, &err, NULL);
}

static void run_start(struct embed_call *call)
{
    struct obs_call *c = CONTAINER_OF(call, struct obs_call, call);
    struct mast_obs *o = obs_of(call->part);
    const struct obs_stream_target target = {.server = call->arg ? call->arg : "",
                                             .key = call->arg_2 ? call->arg_2 : ""};
    if (!target.server[0]) {
        const struct error err = {.code = -EINVAL, .where = "server", .text = "is needed"};
        embed_answer(call, -EINVAL, &err, NULL);
        return;
    }
    call->forget = forget_wait;
    o->bridging = obs_stream_start(o->obs, &target, 0, on_started, c);
    if (!o->bridging) {
        o->bridging = true; /* by the other one */
        answer_busy(c);
    }
}

static void run_stop(struct embed_call *call)
{
    struct obs_call *c = CONTAINER_OF(call, struct obs_call, call);
    struct mast_obs *o = obs_of(call->part);
    call->forget = forget_wait;
    o->bridging = obs_stream_stop(o->obs, &o->previous, 0, on_stopped, c);
    if (!o->bridging) {
        o->bridging = true;
        answer_busy(c);
    }
}

/* ---- the API ---- */

static void *new_call(struct mast_obs *o, void (*run)(struct embed_call *c), const char *arg,
                      const char *data)
{
    struct obs_call *c = embed_call_new(&o->part, sizeof(*c), run, arg);
    list_init(&c->node);
    c->call.arg_2 = data ? mem_strdup(data) : NULL;
    return c;
}

int mast_obs_ready(struct mast_obs *o, mast_done_fn done, void *user)
{
    return embed_call_post(new_call(o, run_ready, NULL, NULL), done, user);
}

int mast_obs_ready_wait(struct mast_obs *o, struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_ready, NULL, NULL), NULL, err);
}

int mast_obs_ask(struct mast_obs *o, const char *request_type, const char *request_data,
                 mast_done_fn done, void *user)
{
    return embed_call_post(new_call(o, run_ask, request_type, request_data), done, user);
}

int mast_obs_ask_wait(struct mast_obs *o, const char *request_type, const char *request_data,
                      char **ret, struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_ask, request_type, request_data), ret, err);
}

int mast_obs_start_stream(struct mast_obs *o, const char *server, const char *key,
                          mast_done_fn done, void *user)
{
    return embed_call_post(new_call(o, run_start, server, key), done, user);
}

int mast_obs_start_stream_wait(struct mast_obs *o, const char *server, const char *key,
                               struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_start, server, key), NULL, err);
}

int mast_obs_stop_stream(struct mast_obs *o, mast_done_fn done, void *user)
{
    return embed_call_post(new_call(o, run_stop, NULL, NULL), done, user);
}

int mast_obs_stop_stream_wait(struct mast_obs *o, struct mast_error *err)
{
    return embed_call_wait(new_call(o, run_stop, NULL, NULL), NULL, err);
}
