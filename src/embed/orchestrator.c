/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing an orchestrator; what its observer hears. */
#include "embed/orchestrator.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/tls.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "embed");

#define SERVERS_MAX 256u

/* ---- what is heard ---- */

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void tell_error(struct mast_orchestrator *o, const char *id, const json_t *data)
{
    _cleanup_free_ char *text = mem_printf("%s: %s", text_of(data, "step"), text_of(data, "error"));
    embed_error(&o->part, text_of(data, "phase"), id, text);
}

/* A change of state is the event of its name. */
static bool is_state(const char *type, const char *state)
{
    static const char prefix[] = "broadcast_";
    return strncmp(type, prefix, sizeof(prefix) - 1) == 0 &&
           strcmp(type + sizeof(prefix) - 1, state) == 0;
}

/* ---- numbers: those of `mast serve`'s /metrics page ---- */

static void gauge_states(struct mast_orchestrator *o, const struct broadcasts_counts *now)
{
    for (int i = 0; i < BROADCAST_STATE_N; i++) {
        if (now->states[i] != o->told.states[i] || !o->told_once) {
            embed_metric(&o->part, MAST_METRIC_GAUGE, "mast_broadcasts", "state",
                         model_enum_name(broadcast_state_names, i), now->states[i]);
        }
    }
}

static void tell_one(struct mast_orchestrator *o, enum mast_metric_type type, const char *name,
                     uint64_t now, uint64_t told)
{
    if (now != told || !o->told_once) {
        embed_metric(&o->part, type, name, NULL, NULL, (double)now);
    }
}

/* Once a pass, however many events were in it. */
static void on_count(struct loop_task *t)
{
    struct mast_orchestrator *o = CONTAINER_OF(t, struct mast_orchestrator, count);
    const struct broadcasts_counts *told = &o->told;
    struct broadcasts_counts now;
    broadcasts_count(o->broadcasts, &now);
    gauge_states(o, &now);
    tell_one(o, MAST_METRIC_GAUGE, "mast_broadcast_debts", now.debts, told->debts);
    tell_one(o, MAST_METRIC_COUNTER, "mast_broadcasts_started_total", now.started, told->started);
    tell_one(o, MAST_METRIC_COUNTER, "mast_broadcasts_failed_total", now.failed, told->failed);
    tell_one(o, MAST_METRIC_COUNTER, "mast_broadcasts_healed_total", now.healed, told->healed);
    o->told = now;
    o->told_once = true;
}

static void tell_numbers(struct mast_orchestrator *o, const char *id, const char *state)
{
    struct broadcast *b = broadcasts_find(o->broadcasts, id);
    if (!o->part.observer.on_metric) {
        return;
    }
    loop_defer(o->part.mast->control, LOOP_STAGE_NOTIFY, &o->count);
    const struct broadcast_result *res =
        b && strcmp(state, "running") == 0 ? broadcast_result(b) : NULL;
    /* The first time that it runs. */
    if (res && res->started_at == res->changed_at) {
        embed_metric(&o->part, MAST_METRIC_TIMING, "mast_broadcast_start_seconds", NULL, NULL,
                     (double)(res->started_at - res->created_at) / 1e9);
    }
}

static void on_event(void *user, const char *type, const char *id, const char *text)
{
    struct mast_orchestrator *o = user;
    json_t *data = json_loads(text, 0, NULL);
    const char *state = text_of(data, "state");
    if (strcmp(type, "broadcast_error") == 0) {
        tell_error(o, id, data);
    } else if (is_state(type, state)) {
        embed_state(&o->part, id, state, text_of(data, "reason"));
    }
    embed_event(&o->part, type, id, text);
    tell_numbers(o, id, state);
    json_decref(data);
}

/* ---- its end ---- */

static void count_debts(void *user, struct broadcast *b)
{
    *(unsigned *)user += broadcast_debts(b);
}

static void on_left(void *user)
{
    struct mast_orchestrator *o = user;
    unsigned debts = 0;
    struct error err;
    broadcasts_each(o->broadcasts, count_debts, &debts);
    error_set(&err, -EREMOTEIO, "", "%u steps could not be undone", debts);
    embed_part_stopped(&o->part, debts ? &err : NULL);
}

static void stop(struct embed_part *p, unsigned deadline_ms)
{
    struct mast_orchestrator *o = CONTAINER_OF(p, struct mast_orchestrator, part);
    /* The part's own deadline is the one that is told. */
    broadcasts_leave(o->broadcasts, o->leave, MIN(deadline_ms, UINT_MAX - 1000) + 1000, on_left, o);
}

static void drop(struct embed_part *p)
{
    struct mast_orchestrator *o = CONTAINER_OF(p, struct mast_orchestrator, part);
    loop_task_cancel(&o->count);
    o->broadcasts = broadcasts_free(o->broadcasts);
    o->janus = janus_servers_free(o->janus);
    if (o->store) {
        o->store = store_close(o->store);
    }
    o->ring = seal_ring_free(o->ring);
    o->tls = tls_context_free(o->tls);
    for (size_t i = 0; i < o->n_servers; i++) {
        tls_context_free(o->servers[i].tls);
    }
    free(o->servers);
    free(o);
}

static const struct embed_part_ops part_ops = {.stop = stop, .drop = drop, .asks_others = true};

/* ---- its making ---- */

static int take_server(const struct mast_janus_server *from, struct janus_server_config *to,
                       struct error *err)
{
    *to = (struct janus_server_config){
        .name = (char *)(from->name ? from->name : "main"),
        .url = (char *)from->url,
        .api_secret = (char *)from->api_secret,
        .token = (char *)from->token,
        .admin_key = (char *)from->admin_key,
        .room_admin_key = (char *)from->room_admin_key,
        .string_ids = from->string_ids,
        .public_url = (char *)from->public_url,
        .rtp_ports = (char *)from->rtp_ports,
    };
    struct rtp_port_range ports;
    if (to->rtp_ports && rtp_port_range_parse(to->rtp_ports, &ports, err) < 0) {
        error_prefix(err, "rtp_ports");
        return -EINVAL;
    }
    if (!to->name[0] || !to->url == !from->backend) {
        return error_set(err, -EINVAL, "janus", "a server needs a name, and a url or a backend");
    }
    return 0;
}

static int take_servers(const struct mast_orchestrator_config *config,
                        struct janus_server_config *to, struct error *err)
{
    for (size_t i = 0; i < config->n_janus; i++) {
        int r = take_server(&config->janus[i], &to[i], err);
        for (size_t k = 0; r == 0 && k < i; k++) {
            if (strcmp(to[k].name, to[i].name) == 0) {
                r = error_set(err, -EINVAL, "janus", "two servers are called \"%s\"", to[i].name);
            }
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

struct making {
    const struct mast_orchestrator_config *config;
    const struct janus_server_config *servers;
};

/* Servers whose session is the embedder's, or whose certificate is trusted otherwise. */
static void fit_servers(struct mast_orchestrator *o, const struct making *k)
{
    for (size_t i = 0; i < o->n_servers; i++) {
        const struct mast_janus_server *from = &k->config->janus[i];
        struct embed_server *s = &o->servers[i];
        s->backend = (struct embed_backend){
            .mast = o->part.mast, .theirs = from->backend, .user = from->backend_user};
        if (from->backend) {
            (void)janus_servers_back(o->janus, k->servers[i].name, &embed_backend_source,
                                     &s->backend);
        }
        if (s->tls) {
            (void)janus_servers_trust(o->janus, k->servers[i].name, TAKE_PTR(s->tls));
        }
    }
}

static int make(struct embed_part *p, struct loop *l, const void *arg, struct error *err)
{
    const struct making *k = arg;
    struct mast_orchestrator *o = CONTAINER_OF(p, struct mast_orchestrator, part);
    struct mast *m = p->mast;
    o->janus = janus_servers_new(l, k->servers, o->n_servers);
    janus_servers_secure(o->janus, o->tls);
    fit_servers(o, k);
    const struct broadcasts_config config = {
        .control = l,
        .store = o->store,
        .ring = o->ring,
        .engine = m->engine,
        .loops = m->loops,
        .n_loops = m->n_loops,
        .janus = o->janus,
        .client_tls = o->tls,
        .observer = {.on_event = on_event, .user = o},
        .max = k->config->max,
        .keep = k->config->keep,
    };
    o->broadcasts = broadcasts_new(&config);
    return 0;
}

static void on_loaded(void *user, int r, const struct error *err)
{
    struct embed_call *c = user;
    if (r < 0) { /* nobody asked for an end of what could be read */
        CONTAINER_OF(c->part, struct mast_orchestrator, part)->leave = BROADCASTS_HAND_ON;
    }
    embed_answer(c, r, err, NULL);
}

static void run_load(struct embed_call *c)
{
    struct mast_orchestrator *o = CONTAINER_OF(c->part, struct mast_orchestrator, part);
    broadcasts_load_begin(o->broadcasts, on_loaded, c);
}

static int open_tls(struct mast_orchestrator *o, const struct mast_orchestrator_config *config,
                    struct error *err)
{
    o->n_servers = config->n_janus;
    o->servers = mem_new_array(struct embed_server, o->n_servers + 1);
    o->tls = embed_tls(&config->tls, err);
    for (size_t i = 0; o->tls && i < o->n_servers; i++) {
        const struct mast_tls *own = &config->janus[i].tls;
        if ((own->ca_file || own->insecure) && !(o->servers[i].tls = embed_tls(own, err))) {
            return err->code;
        }
    }
    return o->tls ? 0 : err->code;
}

static int open_state(struct mast_orchestrator *o, const struct mast_orchestrator_config *config,
                      struct error *err)
{
    const char *dir = config->state_dir;
    if (!dir) {
        return 0;
    }
    if (loop_current()) {
        return error_set(err, -EDEADLK, "state_dir", "a thread of libmast cannot wait for it");
    }
    o->leave = config->suspend ? BROADCASTS_SUSPEND : BROADCASTS_STOP;
    int r = store_open(&(struct store_config){.dir = dir}, &o->store, err);
    return r == 0 ? seal_ring_open(dir, &o->ring, err) : r;
}

static int load(struct mast_orchestrator *o, struct mast_error *err)
{
    struct mast_error failed = {0};
    struct embed_call *c = embed_call_new(&o->part, sizeof(*c), run_load, NULL);
    int r = embed_call_wait(c, NULL, &failed);
    if (r < 0) {
        embed_part_free_wait(&o->part, 0, NULL);
        if (err) {
            *err = failed;
        }
    }
    return r;
}

int mast_orchestrator_new(struct mast *m, const struct mast_orchestrator_config *config,
                          struct mast_orchestrator **ret, struct mast_error *err)
{
    static const struct mast_orchestrator_config none;
    struct error why = {0};
    config = config ? config : &none;
    *ret = NULL;
    if (config->n_janus > SERVERS_MAX) {
        error_set(&why, -E2BIG, "janus", "at most %u servers", SERVERS_MAX);
        embed_error_out(err, &why);
        return -E2BIG;
    }
    _cleanup_free_ struct janus_server_config *servers =
        mem_new_array(struct janus_server_config, MAX(config->n_janus, (size_t)1));
    struct mast_orchestrator *o = mem_new(struct mast_orchestrator);
    embed_part_init(&o->part, m, &part_ops, &config->observer);
    loop_task_init(&o->count, on_count);
    int r = take_servers(config, servers, &why);
    r = r == 0 ? open_tls(o, config, &why) : r;
    r = r == 0 ? open_state(o, config, &why) : r;
    if (r < 0) {
        embed_error_out(err, &why);
        drop(&o->part);
        return r;
    }
    *ret = o;
    r = embed_part_begin(&o->part, make, &(struct making){config, servers}, err);
    r = r == 0 && o->store ? load(o, err) : r;
    if (r < 0) {
        *ret = NULL;
        return r;
    }
    log_debug("an orchestrator with %zu servers", config->n_janus);
    return 0;
}

int mast_orchestrator_free(struct mast_orchestrator *o, unsigned deadline_ms, mast_done_fn done,
                           void *user)
{
    return o ? embed_part_free(&o->part, deadline_ms, done, user) : 0;
}

int mast_orchestrator_free_wait(struct mast_orchestrator *o, unsigned deadline_ms,
                                struct mast_error *err)
{
    return o ? embed_part_free_wait(&o->part, deadline_ms, err) : 0;
}
