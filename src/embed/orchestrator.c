/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing an orchestrator; what its observer hears. */
#include "embed/orchestrator.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/tls.h"

#include <errno.h>
#include <jansson.h>
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
    broadcasts_leave(o->broadcasts, o->suspend ? BROADCASTS_SUSPEND : BROADCASTS_STOP,
                     deadline_ms + 1000, on_left, o);
}

static void drop(struct embed_part *p)
{
    struct mast_orchestrator *o = CONTAINER_OF(p, struct mast_orchestrator, part);
    o->broadcasts = broadcasts_free(o->broadcasts);
    o->janus = janus_servers_free(o->janus);
    if (o->store) {
        o->store = store_close(o->store);
    }
    o->ring = seal_ring_free(o->ring);
    o->tls = tls_context_free(o->tls);
    free(o->backends);
    free(o);
}

static const struct embed_part_ops part_ops = {.stop = stop, .drop = drop};

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
    struct mast *mast;
    const struct mast_orchestrator_config *config;
    const struct janus_server_config *servers;
    struct mast_orchestrator *made;
};

/* Servers whose session is the embedder's. */
static void back(const struct making *k)
{
    const struct mast_orchestrator_config *c = k->config;
    struct mast_orchestrator *o = k->made;
    o->backends = mem_new_array(struct embed_backend, c->n_janus + 1);
    for (size_t i = 0; i < c->n_janus; i++) {
        struct embed_backend *b = &o->backends[i];
        *b = (struct embed_backend){
            .mast = k->mast, .theirs = c->janus[i].backend, .user = c->janus[i].backend_user};
        if (b->theirs) {
            (void)janus_servers_back(o->janus, k->servers[i].name, &embed_backend_source, b);
        }
    }
}

static void make(struct loop *l, void *arg)
{
    struct making *k = arg;
    struct mast *m = k->mast;
    struct mast_orchestrator *o = k->made;
    embed_part_init(&o->part, m, &part_ops, &k->config->observer);
    o->suspend = k->config->suspend && o->store;
    o->janus = janus_servers_new(l, k->servers, k->config->n_janus);
    janus_servers_secure(o->janus, o->tls);
    back(k);
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
    embed_part_add(&o->part);
}

static void on_loaded(void *user, int r, const struct error *err)
{
    embed_answer(user, r, err, NULL);
}

static void run_load(struct embed_call *c)
{
    struct mast_orchestrator *o = CONTAINER_OF(c->part, struct mast_orchestrator, part);
    broadcasts_load_begin(o->broadcasts, on_loaded, c);
}

static int open_state(struct mast_orchestrator *o, const char *dir, struct error *err)
{
    if (loop_current()) {
        return error_set(err, -EDEADLK, "state_dir", "a thread of libmast cannot wait for it");
    }
    int r = store_open(&(struct store_config){.dir = dir}, &o->store, err);
    return r == 0 ? seal_ring_open(dir, &o->ring, err) : r;
}

static void discard(struct mast_orchestrator *o)
{
    if (o->store) {
        store_close(o->store);
    }
    seal_ring_free(o->ring);
    tls_context_free(o->tls);
    free(o);
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
    struct making k = {.mast = m, .config = config, .servers = servers, .made = o};
    int r = take_servers(config, servers, &why);
    if (r == 0) {
        o->tls = tls_context_new_client(NULL, NULL, true, &why);
        r = o->tls ? 0 : why.code;
    }
    if (r == 0 && config->state_dir) {
        r = open_state(o, config->state_dir, &why);
    }
    if (r < 0) {
        embed_error_out(err, &why);
        discard(o);
        return r;
    }
    r = embed_on_control(m, make, &k, err);
    if (r < 0) {
        discard(o);
        return r;
    }
    r = o->store ? load(o, err) : 0;
    if (r < 0) {
        return r;
    }
    log_debug("an orchestrator with %zu servers", config->n_janus);
    *ret = o;
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
