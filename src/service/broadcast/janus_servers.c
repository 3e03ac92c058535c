/* SPDX-License-Identifier: Apache-2.0 */
#include "service/broadcast/janus_servers.h"

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "broadcast");

#define DEFAULT_NAME "main"
#define DEFAULT_URL  "ws://127.0.0.1:8188"

/* Checks come every two seconds, by default; so much later does one see what it looks for. */
#define ROUND_MS 250

static int check_ports(const void *member, struct error *err)
{
    struct rtp_port_range ignored;
    return rtp_port_range_parse(*(char *const *)member, &ignored, err);
}

static const struct model_field server_fields[] = {
    MODEL_STRING(struct janus_server_config, name, .required = true, .min = 1, .max = 64,
                 .doc = "How requests call it."),
    MODEL_STRING(struct janus_server_config, url, .required = true, .mask = MODEL_MASK_URL,
                 .format = "uri", .example = DEFAULT_URL,
                 .doc = "Its WebSocket address: ws:// or wss://."),
    MODEL_STRING(struct janus_server_config, ca, .example = "/etc/mast/janus-ca.pem",
                 .doc = "wss:// with a certificate of one's own: PEM file of the authority that "
                        "signed it, or the certificate itself. Absent: the system's authorities."),
    MODEL_STRING(struct janus_server_config, api_secret, .secret = MODEL_SECRET_SEALED,
                 .doc = "`api_secret` of janus.jcfg."),
    MODEL_STRING(struct janus_server_config, token, .secret = MODEL_SECRET_SEALED,
                 .doc = "A token, where Janus has `token_auth`."),
    MODEL_STRING(struct janus_server_config, admin_key, .secret = MODEL_SECRET_SEALED,
                 .doc = "`admin_key` of the Streaming plugin; used where a request brings none."),
    MODEL_STRING(struct janus_server_config, room_admin_key, .secret = MODEL_SECRET_SEALED,
                 .doc = "`admin_key` of the VideoRoom plugin; used where a request brings none."),
    MODEL_BOOL(struct janus_server_config, string_ids, .def = "false",
               .doc = "Its plugins are configured with `string_ids`."),
    MODEL_STRING(struct janus_server_config, public_url, .format = "uri",
                 .doc = "Where browsers reach it; told to those that shall join a room."),
    MODEL_STRING(struct janus_server_config, rtp_ports, .check = check_ports,
                 .example = "20000-20999",
                 .doc = "Ports of this range, in pairs for RTP and RTCP, are given to mountpoints "
                        "whose request names none; without it Janus chooses."),
};
const struct model janus_server_model =
    MODEL("JanusServer", struct janus_server_config, server_fields,
          .doc = "A Janus that broadcasts are made at.");

/* One participant that listens for several ears. */
struct ear_post {
    struct list node; /* of its server */
    struct janus_server *server;
    struct model_id room;
    char *display, *pin;
    struct janus_listener *listener;
    struct list ears, untold;
    unsigned telling; /* rounds under way */
    struct list feeds;
    bool in;
    bool out_told, out_permanent;
    struct error out;
    int out_code;
    struct loop_task tell_in; /* once the feeds that came with it are known */
};

struct post_feed {
    struct list node;
    bool seen; /* told again since the last join */
    char *display;
    struct janus_feed feed;
};

struct room_ear {
    struct list node;
    struct ear_post *post;
    struct room_ear_ops ops;
    void *user;
};

/* Those who look at the forwarders of one room together. */
struct forward_round {
    struct list node; /* of its server */
    struct janus_server *server;
    struct model_id room;
    char *secret;
    struct list looks;
    struct loop_timer *timer; /* until it is asked for */
    struct janus_call *call;
    bool soon;   /* asked for as soon as none is under way */
    bool closed; /* asked for: who comes now waits for the next one */
    bool telling;
};

struct janus_server {
    struct janus_servers *all;
    struct janus_server_config config;
    const struct janus_source *source; /* NULL: we connect to it */
    void *source_user;
    struct janus *janus;     /* NULL: not needed yet */
    struct tls_context *tls; /* of config.ca, or told; NULL: that of all */
    struct janus_handle *streaming, *rooms;
    struct error failed; /* a plugin that the server does not have */
    bool ready;
    bool lost; /* the session was not claimed: tell when ready */
    struct list users, untold;
    struct list posts;
    struct list rounds;
    struct rtp_port_range ports;
    struct rtp_port_set taken;
    uint16_t next_port;
    char reason[320];
};

struct janus_servers {
    struct loop *loop;
    struct tls_context *tls; /* NULL: wss:// fails */
    struct janus_server *items;
    unsigned n;
};

/* ---- users ---- */

/* A callback may take any user off, and begin another round: who is still to be told stands in a list of its own. */
static void tell_users(struct janus_server *s, bool ready, bool lost)
{
    list_append_all(&s->untold, &s->users);
    while (!list_empty(&s->untold)) {
        struct janus_server_user *u = LIST_ENTRY(s->untold.next, struct janus_server_user, node);
        list_remove(&u->node);
        list_append(&s->users, &u->node);
        if (ready) {
            u->on_ready(u, lost);
        } else {
            u->on_down(u);
        }
    }
}

void janus_server_use(struct janus_server *s, struct janus_server_user *u)
{
    list_append(&s->users, &u->node);
}

void janus_server_leave(struct janus_server_user *u)
{
    if (u->node.next) {
        list_remove(&u->node);
    }
}

static void look(struct janus_server *s)
{
    bool ready = janus_state(s->janus) == JANUS_UP && janus_handle_is_attached(s->streaming) &&
                 janus_handle_is_attached(s->rooms);
    if (ready == s->ready) {
        return;
    }
    s->ready = ready;
    if (ready) {
        bool lost = s->lost;
        s->lost = false;
        s->failed.code = 0;
        s->taken = lost ? (struct rtp_port_set){0} : s->taken;
        log_info("janus %s: ready%s", s->config.name, lost ? ", with a new session" : "");
        tell_users(s, true, lost);
    } else {
        log_warn("janus %s: %s", s->config.name, janus_reason(s->janus));
        tell_users(s, false, false);
    }
}

static void on_up(void *user, bool resumed)
{
    struct janus_server *s = user;
    s->lost = s->lost || !resumed;
    look(s);
}

static void on_down(void *user, const struct error *err)
{
    struct janus_server *s = user;
    if (s->ready) {
        look(s);
    } else {
        tell_users(s, false, false); /* another try failed */
    }
}

static void on_attached(void *user, bool again)
{
    look(user);
}

static void on_failed(void *user, const struct error *err)
{
    struct janus_server *s = user;
    s->failed = *err;
    log_error("janus %s: %s", s->config.name, err->text);
    look(s);
}

/* ---- servers ---- */

struct janus_servers *janus_servers_new(struct loop *l, const struct janus_server_config *items,
                                        size_t n)
{
    static const struct janus_server_config def = {.name = (char *)DEFAULT_NAME,
                                                   .url = (char *)DEFAULT_URL};
    struct janus_servers *s = mem_new(struct janus_servers);
    s->loop = l;
    s->n = n ? (unsigned)n : 1;
    s->items = mem_new_array(struct janus_server, s->n);
    for (unsigned i = 0; i < s->n; i++) {
        struct janus_server *one = &s->items[i];
        one->all = s;
        model_copy(&janus_server_model, &one->config, n ? &items[i] : &def);
        list_init(&one->users);
        list_init(&one->untold);
        list_init(&one->posts);
        list_init(&one->rounds);
        if (one->config.rtp_ports) {
            /* Checked by whoever brought it. */
            (void)rtp_port_range_parse(one->config.rtp_ports, &one->ports, NULL);
        }
    }
    return s;
}

struct janus_servers *janus_servers_free(struct janus_servers *s)
{
    for (unsigned i = 0; s && i < s->n; i++) {
        struct janus_server *one = &s->items[i];
        one->streaming = janus_handle_free(one->streaming);
        one->rooms = janus_handle_free(one->rooms);
        one->janus = janus_free(one->janus);
        one->tls = tls_context_free(one->tls);
        model_done(&janus_server_model, &one->config);
    }
    if (s) {
        free(s->items);
        free(s);
    }
    return NULL;
}

static struct janus_server *find(const struct janus_servers *s, const char *name, struct error *err)
{
    for (unsigned i = 0; i < s->n; i++) {
        if (!name || strcmp(s->items[i].config.name, name) == 0) {
            return &s->items[i];
        }
    }
    error_set(err, -ENOENT, "janus", "no Janus server is called \"%s\"", name);
    return NULL;
}

void janus_servers_secure(struct janus_servers *s, struct tls_context *tls)
{
    s->tls = tls;
}

int janus_servers_trust(struct janus_servers *s, const char *name, struct tls_context *tls)
{
    struct janus_server *one = find(s, name, NULL);
    if (!one) {
        return -ENOENT;
    }
    tls_context_free(one->tls);
    one->tls = tls;
    return 0;
}

int janus_servers_back(struct janus_servers *s, const char *name, const struct janus_source *source,
                       void *source_user)
{
    struct janus_server *one = find(s, name, NULL);
    if (!one) {
        return -ENOENT;
    }
    one->source = source;
    one->source_user = source_user;
    return 0;
}

static int connect_server(struct janus_server *s, struct error *err)
{
    static const struct janus_ops ops = {.on_up = on_up, .on_down = on_down};
    static const struct janus_handle_ops handle_ops = {.on_attached = on_attached,
                                                       .on_failed = on_failed};
    if (s->config.ca && !s->tls) {
        s->tls = tls_context_new_client(s->config.ca, NULL, true, err);
        if (!s->tls) {
            error_prefix(err, "janus.ca");
            return -EINVAL;
        }
    }
    const struct janus_config config = {.name = s->config.name,
                                        .url = s->config.url,
                                        .api_secret = s->config.api_secret,
                                        .token = s->config.token,
                                        .tls = s->tls ? s->tls : s->all->tls};
    s->janus = s->source ? janus_from(s->all->loop, config.name, s->source, s->source_user, &ops, s)
                         : janus_new(s->all->loop, &config, &ops, s, err);
    if (!s->janus) {
        error_prefix(err, "janus");
        return -EINVAL;
    }
    s->streaming = janus_handle_new(s->janus, JANUS_STREAMING, &handle_ops, s);
    s->rooms = janus_handle_new(s->janus, JANUS_VIDEOROOM, &handle_ops, s);
    return 0;
}

int janus_servers_get(struct janus_servers *s, const char *name, struct janus_server **ret,
                      struct error *err)
{
    struct janus_server *one = find(s, name, err);
    *ret = one;
    if (!one) {
        return -ENOENT;
    }
    return one->janus ? 0 : connect_server(one, err);
}

int janus_servers_find(struct janus_servers *s, const char *name,
                       const struct janus_server_config **ret, struct error *err)
{
    const struct janus_server *one = find(s, name, err);
    *ret = one ? &one->config : NULL;
    return one ? 0 : -ENOENT;
}

unsigned janus_servers_len(const struct janus_servers *s)
{
    return s->n;
}

const struct janus_server_config *janus_servers_config(const struct janus_servers *s, unsigned i)
{
    return &s->items[i].config;
}

struct janus *janus_servers_client(const struct janus_servers *s, unsigned i)
{
    return s->items[i].janus;
}

const struct janus_server_config *janus_server_config(const struct janus_server *s)
{
    return &s->config;
}

struct janus *janus_server_client(struct janus_server *s)
{
    return s->janus;
}

struct janus_handle *janus_server_streaming(struct janus_server *s)
{
    return s->streaming;
}

struct janus_handle *janus_server_rooms(struct janus_server *s)
{
    return s->rooms;
}

bool janus_server_ready(const struct janus_server *s)
{
    return s->ready;
}

const char *janus_server_reason(struct janus_server *s)
{
    snprintf(s->reason, sizeof(s->reason), "janus %s: %s", s->config.name,
             s->failed.code ? s->failed.text : janus_reason(s->janus));
    return s->reason;
}

const struct rtp_port_range *janus_server_ports(const struct janus_server *s)
{
    return &s->ports;
}

struct rtp_port_set *janus_server_taken(struct janus_server *s)
{
    return &s->taken;
}

uint16_t *janus_server_next_port(struct janus_server *s)
{
    return &s->next_port;
}

/* ---- ears ---- */

static void free_feed(struct post_feed *f)
{
    list_remove(&f->node);
    model_id_done(&f->feed.id);
    free(f->display);
    free(f);
}

static struct post_feed *find_feed(const struct ear_post *p, const struct model_id *id,
                                   const char *display)
{
    LIST_FOREACH (it, &p->feeds) {
        struct post_feed *f = LIST_ENTRY(it, struct post_feed, node);
        bool by_id = id && id->kind != MODEL_ID_NONE;
        bool same = by_id     ? model_id_equal(&f->feed.id, id)
                    : display ? strcmp(f->display, display) == 0
                              : f->feed.n_streams > 0;
        if (same) {
            return f;
        }
    }
    return NULL;
}

/* The last round to end closes a post without ears. */
static void close_if_idle(struct ear_post *p)
{
    if (p->telling || !list_empty(&p->ears) || !list_empty(&p->untold)) {
        return;
    }
    p->listener = janus_listener_free(p->listener);
    loop_task_cancel(&p->tell_in);
    LIST_FOREACH_SAFE (it, &p->feeds) {
        free_feed(LIST_ENTRY(it, struct post_feed, node));
    }
    list_remove(&p->node);
    model_id_done(&p->room);
    free(p->display);
    free(p->pin);
    free(p);
}

/* Runs `call` for each ear, which may free any of them, also the last, and the post with it. */
#define TELL_EARS(p, call)                                                                         \
    do {                                                                                           \
        (p)->telling++;                                                                            \
        list_append_all(&(p)->untold, &(p)->ears);                                                 \
        while (!list_empty(&(p)->untold)) {                                                        \
            struct room_ear *e = LIST_ENTRY((p)->untold.next, struct room_ear, node);              \
            list_remove(&e->node);                                                                 \
            list_append(&(p)->ears, &e->node);                                                     \
            call;                                                                                  \
        }                                                                                          \
        (p)->telling--;                                                                            \
        close_if_idle(p);                                                                          \
    } while (0)

static void tell_in(struct loop_task *t)
{
    struct ear_post *p = CONTAINER_OF(t, struct ear_post, tell_in);
    LIST_FOREACH_SAFE (it, &p->feeds) {
        struct post_feed *f = LIST_ENTRY(it, struct post_feed, node);
        if (!f->seen) {
            free_feed(f);
        }
    }
    TELL_EARS(p, e->ops.on_in(e->user));
}

static void on_joined(void *user)
{
    struct ear_post *p = user;
    p->in = true;
    p->out_told = false;
    LIST_FOREACH (it, &p->feeds) {
        LIST_ENTRY(it, struct post_feed, node)->seen = false;
    }
    loop_defer(p->server->all->loop, LOOP_STAGE_NOTIFY, &p->tell_in);
}

static void on_feed(void *user, const struct janus_feed *feed)
{
    struct ear_post *p = user;
    struct post_feed *f = find_feed(p, &feed->id, NULL);
    if (!f) {
        f = mem_new(struct post_feed);
        list_append(&p->feeds, &f->node);
    } else {
        model_id_done(&f->feed.id);
        free(f->display);
    }
    f->feed = *feed;
    f->display = mem_strdup(feed->display ? feed->display : "");
    f->feed.display = f->display;
    f->seen = true;
    model_id_copy(&f->feed.id, &feed->id);
    if (!loop_task_pending(&p->tell_in)) {
        TELL_EARS(p, e->ops.on_feed(e->user, &f->feed));
    }
}

static void on_feed_gone(void *user, const struct model_id *id, const char *why)
{
    struct ear_post *p = user;
    struct post_feed *f = find_feed(p, id, NULL);
    if (f) {
        free_feed(f);
    }
    TELL_EARS(p, e->ops.on_feed_gone(e->user, id, why));
}

static void on_out(void *user, const struct error *err, int code, bool permanent)
{
    struct ear_post *p = user;
    p->in = false;
    p->out_told = true;
    p->out = *err;
    p->out_code = code;
    p->out_permanent = permanent;
    loop_task_cancel(&p->tell_in);
    LIST_FOREACH_SAFE (it, &p->feeds) {
        free_feed(LIST_ENTRY(it, struct post_feed, node));
    }
    TELL_EARS(p, e->ops.on_out(e->user, err, code, permanent));
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static struct ear_post *find_post(const struct janus_server *s, const struct room_ear_config *c)
{
    LIST_FOREACH (it, &s->posts) {
        struct ear_post *p = LIST_ENTRY(it, struct ear_post, node);
        if (model_id_equal(&p->room, &c->room) && same_text(p->display, c->display) &&
            same_text(p->pin, c->pin)) {
            return p;
        }
    }
    return NULL;
}

static struct ear_post *new_post(struct janus_server *s, const struct room_ear_config *c)
{
    static const struct janus_listener_ops ops = {
        .on_joined = on_joined, .on_feed = on_feed, .on_feed_gone = on_feed_gone, .on_out = on_out};
    struct ear_post *p = mem_new(struct ear_post);
    p->server = s;
    model_id_copy(&p->room, &c->room);
    p->display = c->display ? mem_strdup(c->display) : NULL;
    p->pin = c->pin ? mem_strdup(c->pin) : NULL;
    list_init(&p->ears);
    list_init(&p->untold);
    list_init(&p->feeds);
    loop_task_init(&p->tell_in, tell_in);
    list_append(&s->posts, &p->node);
    const struct janus_listener_config config = {
        .room = &p->room, .display = p->display, .pin = p->pin, .token = s->config.token};
    p->listener = janus_listener_new(s->janus, &config, &ops, p);
    return p;
}

struct room_ear *room_ear_new(struct janus_server *s, const struct room_ear_config *config,
                              const struct room_ear_ops *ops, void *user)
{
    struct room_ear *e = mem_new(struct room_ear);
    e->ops = *ops;
    e->user = user;
    e->post = find_post(s, config);
    if (!e->post) {
        e->post = new_post(s, config);
    }
    list_append(&e->post->ears, &e->node);
    if (e->post->in) {
        loop_defer(s->all->loop, LOOP_STAGE_NOTIFY, &e->post->tell_in);
    }
    return e;
}

struct room_ear *room_ear_free(struct room_ear *e)
{
    if (e) {
        struct ear_post *p = e->post;
        list_remove(&e->node);
        free(e);
        close_if_idle(p);
    }
    return NULL;
}

bool room_ear_is_in(const struct room_ear *e)
{
    return e->post->in && !loop_task_pending(&e->post->tell_in) &&
           janus_server_ready(e->post->server);
}

const struct error *room_ear_out(const struct room_ear *e, int *ret_code, bool *ret_permanent)
{
    *ret_code = e->post->out_code;
    *ret_permanent = e->post->out_permanent;
    return e->post->out_told ? &e->post->out : NULL;
}

const struct janus_feed *room_ear_find(const struct room_ear *e, const struct model_id *id,
                                       const char *display)
{
    const struct post_feed *f = find_feed(e->post, id, display);
    return f ? &f->feed : NULL;
}

/* ---- looks at a room's forwarders ---- */

static struct forward_round *find_round(struct janus_server *s, const struct model_id *room,
                                        const char *secret, bool closed)
{
    LIST_FOREACH (it, &s->rounds) {
        struct forward_round *r = LIST_ENTRY(it, struct forward_round, node);
        if (r->closed == closed && model_id_equal(&r->room, room) && same_text(r->secret, secret)) {
            return r;
        }
    }
    return NULL;
}

static void free_round(struct forward_round *r)
{
    list_remove(&r->node);
    struct forward_round *next = find_round(r->server, &r->room, r->secret, false);
    if (r->closed && next && next->soon) {
        loop_timer_start(next->timer, 0);
    }
    r->timer = loop_timer_free(r->timer);
    r->call = janus_call_cancel(r->call);
    model_id_done(&r->room);
    free(r->secret);
    free(r);
}

static void on_listed(void *user, const struct janus_result *res, const struct janus_forwarder *f,
                      unsigned n)
{
    struct forward_round *r = user;
    r->call = NULL;
    r->telling = true;
    while (!list_empty(&r->looks)) {
        struct forward_look *look = LIST_ENTRY(r->looks.next, struct forward_look, node);
        list_remove(&look->node);
        look->round = NULL;
        look->fn(look->user, res, f, n);
    }
    free_round(r);
}

static void on_round(void *user)
{
    struct forward_round *r = user;
    r->closed = true;
    r->call = janus_room_forwarders(r->server->rooms, &r->room, r->secret, on_listed, r);
}

static struct forward_round *open_round(struct janus_server *s, const struct model_id *room,
                                        const char *secret)
{
    struct forward_round *open = find_round(s, room, secret, false);
    if (open) {
        return open;
    }
    struct forward_round *r = mem_new(struct forward_round);
    r->server = s;
    model_id_copy(&r->room, room);
    r->secret = secret ? mem_strdup(secret) : NULL;
    list_init(&r->looks);
    list_append(&s->rounds, &r->node);
    r->timer = loop_timer_new(s->all->loop, on_round, r);
    loop_timer_start(r->timer, ROUND_MS);
    return r;
}

void forward_look(struct janus_server *s, const struct model_id *room, const char *secret,
                  struct forward_look *look)
{
    look->round = open_round(s, room, secret);
    list_append(&look->round->looks, &look->node);
}

void forward_look_soon(struct janus_server *s, const struct model_id *room, const char *secret,
                       struct forward_look *look)
{
    forward_look(s, room, secret, look);
    struct forward_round *r = look->round;
    if (find_round(s, room, secret, true)) {
        r->soon = true;
        loop_timer_stop(r->timer);
    } else if (!r->soon) {
        r->soon = true;
        loop_timer_start(r->timer, 0); /* with those that come in this very turn */
    }
}

void forward_look_cancel(struct forward_look *look)
{
    struct forward_round *r = look->round;
    if (r) {
        look->round = NULL;
        list_remove(&look->node);
        if (list_empty(&r->looks) && !r->telling) {
            free_round(r);
        }
    }
}
