/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward of a publisher's streams to the mountpoint's ports. Forwarders carry no marker: they are known by publisher and
 * port. Janus makes a second one to the same port without a word, so that what is there is looked for before anything is
 * made, and only what is missing is asked for. Janus forwards a track as a whole: of one whose layers are not all there any
 * more the others are stopped first, as are those to ports that the mountpoint had before.
 */
#include "base/mem.h"
#include "service/broadcast/broadcast_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct forward_step {
    struct janus_step js;
    unsigned stopping; /* forwarders that are still to be stopped, from the end of the list */
    struct forward_look look;
};
#define FORWARD(s) CONTAINER_OF((s), struct forward_step, js.step)

static struct broadcast_forward_response *response_of(const struct step *s)
{
    struct broadcast_result *res = &broadcast_of(s)->record.result;
    if (!res->forward_response) {
        res->forward_response = mem_new(struct broadcast_forward_response);
    }
    return res->forward_response;
}

static struct janus_handle *handle_of(const struct step *s)
{
    return janus_server_rooms(JANUS_STEP(s)->server);
}

static const struct broadcast_mountpoint_response *mountpoint_of(const struct step *s)
{
    return broadcast_of(s)->record.result.mountpoint_response;
}

static const char *secret_of(const struct step *s)
{
    return request_of(s)->room_spec ? request_of(s)->room_spec->secret : NULL;
}

static const char *admin_key_of(const struct step *s)
{
    const struct janus_room *spec = request_of(s)->room_spec;
    return spec && spec->admin_key ? spec->admin_key
                                   : janus_server_config(JANUS_STEP(s)->server)->room_admin_key;
}

static void describe(const struct step *s, struct out *o)
{
    const struct broadcast_request *q = request_of(s);
    out_printf(o, "forward its streams to the mountpoint's ports at %s",
               q->host ? q->host : "127.0.0.1");
}

/* ---- facts ---- */

static void clear_forwarders(struct broadcast_forward_response *r)
{
    for (size_t i = 0; i < r->forwarders.len; i++) {
        free(r->forwarders.items[i].host);
    }
    free(r->forwarders.items);
    r->forwarders.items = NULL;
    r->forwarders.len = 0;
}

static void add_forwarder(struct broadcast_forward_response *r, const struct janus_forwarder *f)
{
    for (size_t i = 0; i < r->forwarders.len; i++) {
        if (r->forwarders.items[i].stream_id == f->stream_id) {
            return;
        }
    }
    r->forwarders.items =
        mem_realloc(r->forwarders.items, (r->forwarders.len + 1) * sizeof(*r->forwarders.items));
    struct broadcast_forwarder *to = &r->forwarders.items[r->forwarders.len++];
    model_init(&broadcast_forwarder_model, to);
    MODEL_SET(&broadcast_forwarder_model, to, stream_id, f->stream_id);
    to->type = f->type;
    to->host = mem_strdup(f->host);
    MODEL_SET(&broadcast_forwarder_model, to, port, f->port);
    if (f->pt >= 0) {
        MODEL_SET(&broadcast_forwarder_model, to, pt, f->pt);
    }
    if (f->substream >= 0) {
        MODEL_SET(&broadcast_forwarder_model, to, substream, f->substream);
    }
}

/* What stands in the facts: of whom, into which room. */
static void note_publisher(struct step *s)
{
    struct broadcast_forward_response *r = response_of(s);
    const struct janus_feed *feed = broadcast_of(s)->feed;
    model_id_done(&r->room);
    model_id_copy(&r->room, &request_of(s)->room_id);
    model_id_done(&r->publisher_id);
    model_id_copy(&r->publisher_id, &feed->id);
    free(r->publisher_display);
    r->publisher_display = mem_strdup(feed->display);
}

static bool goes_to(int64_t port, const struct endpoint *e)
{
    return port == e->port || (e->port_2 && port == e->port_2) || (e->port_3 && port == e->port_3);
}

/* How many forwarders a track's forward makes: one a layer. */
static unsigned layers(const struct endpoint *e)
{
    return 1 + (e->port_2 > 0) + (e->port_3 > 0);
}

static bool has_port(const struct broadcast_forward_response *r, int64_t port)
{
    for (size_t i = 0; i < r->forwarders.len; i++) {
        if (r->forwarders.items[i].port == port) {
            return true;
        }
    }
    return false;
}

static bool is_whole(const struct broadcast_forward_response *r, const struct endpoint *e)
{
    return has_port(r, e->port) && (!e->port_2 || has_port(r, e->port_2)) &&
           (!e->port_3 || has_port(r, e->port_3));
}

static bool all_are_whole(const struct step *s)
{
    for (size_t i = 0; i < mountpoint_of(s)->ports.len; i++) {
        if (!is_whole(response_of(s), &mountpoint_of(s)->ports.items[i])) {
            return false;
        }
    }
    return true;
}

/* A forwarder that is part of no whole track; NULL: there is none. */
static const struct broadcast_forwarder *odd_one(const struct step *s)
{
    const struct broadcast_forward_response *r = response_of(s);
    for (size_t i = 0; i < r->forwarders.len; i++) {
        bool fits = false;
        for (size_t k = 0; k < mountpoint_of(s)->ports.len; k++) {
            const struct endpoint *e = &mountpoint_of(s)->ports.items[k];
            fits = fits || (goes_to(r->forwarders.items[i].port, e) && is_whole(r, e));
        }
        if (!fits) {
            return &r->forwarders.items[i];
        }
    }
    return NULL;
}

static unsigned expected(const struct step *s)
{
    unsigned n = 0;
    for (size_t i = 0; i < mountpoint_of(s)->ports.len; i++) {
        n += layers(&mountpoint_of(s)->ports.items[i]);
    }
    return n;
}

/* ---- the request ---- */

static void add_stream(struct janus_forward *f, const struct endpoint *e,
                       const struct janus_feed_stream *from)
{
    const struct model *m = &janus_forward_stream_model;
    f->streams.items =
        mem_realloc(f->streams.items, (f->streams.len + 1) * sizeof(*f->streams.items));
    struct janus_forward_stream *to = &f->streams.items[f->streams.len++];
    model_init(m, to);
    to->mid = mem_strdup(from->mid);
    MODEL_SET(m, to, port, e->port);
    if (e->kind == JANUS_DATA) {
        return;
    }
    MODEL_SET(m, to, pt, e->pt);
    if (e->kind == JANUS_VIDEO && e->rtcp_port > 0) {
        MODEL_SET(m, to, rtcp_port, e->rtcp_port);
    }
    if (e->port_2 > 0) {
        MODEL_SET(m, to, port_2, e->port_2);
        MODEL_SET(m, to, pt_2, e->pt);
    }
    if (e->port_3 > 0) {
        MODEL_SET(m, to, port_3, e->port_3);
        MODEL_SET(m, to, pt_3, e->pt);
    }
}

/* Janus forwards one codec to a mountpoint of another without a word, and viewers see nothing. */
static int check_codec(const struct endpoint *e, const struct janus_feed_stream *from,
                       struct error *err)
{
    if (e->kind != JANUS_DATA && e->codec && from->codec[0] &&
        strcasecmp(e->codec, from->codec) != 0) {
        return error_set(err, -EINVAL, "mountpoint_spec.media",
                         "the publisher sends %s, track %s of the mountpoint is %s", from->codec,
                         e->mid ? e->mid : "?", e->codec);
    }
    return 0;
}

/* Of what is not there yet: one stream a track. */
static int make_forward(struct step *s, struct janus_forward *f, struct error *err)
{
    const struct janus_feed *feed = broadcast_of(s)->feed;
    const char *host = request_of(s)->host;
    model_init(&janus_forward_model, f);
    model_id_copy(&f->room, &request_of(s)->room_id);
    model_id_copy(&f->publisher_id, &feed->id);
    f->host = mem_strdup(host ? host : "127.0.0.1");
    f->secret = secret_of(s) ? mem_strdup(secret_of(s)) : NULL;
    f->admin_key = admin_key_of(s) ? mem_strdup(admin_key_of(s)) : NULL;
    for (size_t i = 0; i < mountpoint_of(s)->ports.len; i++) {
        const struct endpoint *e = &mountpoint_of(s)->ports.items[i];
        int k = endpoint_pick(e, feed, err);
        if (k < 0) {
            return k;
        }
        int r = check_codec(e, &feed->streams[k], err);
        if (r < 0) {
            return r;
        }
        if (!is_whole(response_of(s), e)) {
            add_stream(f, e, &feed->streams[k]);
        }
    }
    return 0;
}

/* ---- starting ---- */

static void on_forwarded(void *user, const struct janus_result *res,
                         const struct janus_forwarder *f, unsigned n)
{
    struct step *s = user;
    struct broadcast_forward_response *r = response_of(s);
    JANUS_STEP(s)->call = NULL;
    if (res->r < 0) {
        janus_step_fail(s, res, "forward the publisher");
        return;
    }
    free(r->raw);
    r->raw = broadcast_reply_keep(res->data);
    s->ours = true;
    for (unsigned i = 0; i < n; i++) {
        add_forwarder(r, &f[i]);
    }
    if (r->forwarders.len < expected(s)) {
        struct error err = {0};
        error_set(&err, -ENODATA, s->kind->name, "janus made %zu of %u forwarders",
                  r->forwarders.len, expected(s));
        step_failed(s, &err, false);
        return;
    }
    step_started(s, 0);
}

static void list(struct step *s);

/* The publisher step tells of it, and whether it is waited for. */
static void wait_for_publisher(struct step *s)
{
    step_waits(s, "the publisher is gone");
}

static void forward(struct step *s)
{
    const struct janus_feed *feed = broadcast_of(s)->feed;
    if (!feed) {
        wait_for_publisher(s);
        return;
    }
    if (!model_id_equal(&feed->id, &response_of(s)->publisher_id)) {
        list(s); /* it returned as another one while what it had was looked for */
        return;
    }
    struct janus_forward f;
    struct error err = {0};
    int x = make_forward(s, &f, &err);
    if (x < 0) {
        /* A publisher that returned without its camera may switch it on. */
        step_failed(s, &err, x != -ENOENT);
    } else {
        JANUS_STEP(s)->call = janus_room_forward(handle_of(s), &f, on_forwarded, s);
    }
    model_done(&janus_forward_model, &f);
}

static bool is_known(const struct broadcast_forward_response *r, int64_t stream_id)
{
    for (size_t i = 0; i < r->forwarders.len; i++) {
        if (r->forwarders.items[i].stream_id == stream_id) {
            return true;
        }
    }
    return false;
}

static bool is_ours(const struct step *s, const struct broadcast_forward_response *before,
                    const struct janus_forwarder *f)
{
    bool fits = is_known(before, f->stream_id);
    for (size_t k = 0; k < mountpoint_of(s)->ports.len; k++) {
        fits = fits || goes_to(f->port, &mountpoint_of(s)->ports.items[k]);
    }
    return fits && model_id_equal(&f->publisher_id, &response_of(s)->publisher_id);
}

/* What of this broadcast's is there already, into the facts: known from before, or by its port. */
static void take_present(struct step *s, const struct janus_forwarder *f, unsigned n)
{
    struct broadcast_forward_response *r = response_of(s);
    struct broadcast_forward_response before = {.forwarders = r->forwarders};
    r->forwarders.items = NULL;
    r->forwarders.len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (is_ours(s, &before, &f[i])) {
            add_forwarder(r, &f[i]);
        }
    }
    clear_forwarders(&before);
}

static void on_odd_stopped(void *user, const struct janus_result *res)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    if (res->r == 0 || janus_says_gone(res)) {
        list(s);
    } else {
        janus_step_fail(s, res, "stop a forwarder");
    }
}

static void ask_stop(struct step *s, const struct broadcast_forwarder *f, janus_done_fn done)
{
    struct broadcast_forward_response *r = response_of(s);
    JANUS_STEP(s)->call =
        janus_room_stop_forward(handle_of(s), &r->room, &r->publisher_id, f->stream_id,
                                secret_of(s), admin_key_of(s), done, s);
}

static void on_present(void *user, const struct janus_result *res, const struct janus_forwarder *f,
                       unsigned n)
{
    struct step *s = user;
    if (res->r < 0) {
        janus_step_fail(s, res, "list the forwarders");
        return;
    }
    take_present(s, f, n);
    const struct broadcast_forwarder *odd = odd_one(s);
    if (odd) {
        s->ours = true;
        ask_stop(s, odd, on_odd_stopped);
    } else if (all_are_whole(s)) {
        s->ours = true;
        step_started(s, 0);
    } else {
        step_commit(s, forward);
    }
}

static void look_soon(struct step *s, janus_forwarders_fn fn)
{
    struct forward_look *look = &FORWARD(s)->look;
    forward_look_cancel(look); /* it would tell of what was */
    look->fn = fn;
    look->user = s;
    forward_look_soon(JANUS_STEP(s)->server, &request_of(s)->room_id, secret_of(s), look);
}

static void list(struct step *s)
{
    if (!broadcast_of(s)->feed) {
        wait_for_publisher(s);
        return;
    }
    note_publisher(s);
    look_soon(s, on_present);
}

static void start(struct step *s)
{
    forward_look_cancel(&FORWARD(s)->look); /* of a check */
    janus_step_ready(s, list);
}

/* ---- adopting ---- */

static void on_adopt(void *user, const struct janus_result *res, const struct janus_forwarder *f,
                     unsigned n)
{
    struct step *s = user;
    if (res->r < 0 && !janus_says_gone(res)) {
        struct error err = {0};
        error_set(&err, res->r, s->kind->name, "%s", res->text);
        step_adopted(s, res->r, STEP_ABSENT, &err);
        return;
    }
    take_present(s, f, res->r < 0 ? 0 : n);
    s->ours = response_of(s)->forwarders.len > 0;
    bool whole = all_are_whole(s) && !odd_one(s);
    step_adopted(s, 0, whole ? STEP_FOUND : s->ours ? STEP_PART : STEP_ABSENT, NULL);
}

static void adopt_list(struct step *s)
{
    look_soon(s, on_adopt);
}

static void adopt(struct step *s)
{
    if (response_of(s)->publisher_id.kind == MODEL_ID_NONE || !mountpoint_of(s)) {
        step_adopted(s, 0, STEP_ABSENT, NULL);
    } else {
        janus_step_ready(s, adopt_list);
    }
}

/* ---- its health ---- */

static void on_checked(void *user, const struct janus_result *res, const struct janus_forwarder *f,
                       unsigned n)
{
    struct step *s = user;
    struct broadcast_forward_response *r = response_of(s);
    if (s->state != STEP_UP || (res->r < 0 && !janus_says_gone(res))) {
        return;
    }
    unsigned there = 0;
    for (size_t i = 0; i < r->forwarders.len; i++) {
        for (unsigned k = 0; res->r == 0 && k < n; k++) {
            there += f[k].stream_id == r->forwarders.items[i].stream_id;
        }
    }
    broadcast_health_forwarders(broadcast_of(s), there, expected(s));
    if (there < r->forwarders.len) {
        step_lost(s, "%zu of %zu forwarders are gone", r->forwarders.len - there,
                  r->forwarders.len);
    } else {
        step_well(s);
    }
}

static void check(struct step *s)
{
    struct janus_step *js = JANUS_STEP(s);
    struct forward_look *look = &FORWARD(s)->look;
    if (!look->round && janus_server_ready(js->server)) {
        look->fn = on_checked;
        look->user = s;
        forward_look(js->server, &request_of(s)->room_id, secret_of(s), look);
    }
}

/* ---- its end ---- */

static void stop_next(struct step *s);

static void on_stopped(void *user, const struct janus_result *res)
{
    struct step *s = user;
    JANUS_STEP(s)->call = NULL;
    if (res->r == 0 || janus_says_gone(res)) {
        FORWARD(s)->stopping--;
        stop_next(s);
    } else {
        janus_step_undone(s, res);
    }
}

static void stop_next(struct step *s)
{
    struct broadcast_forward_response *r = response_of(s);
    if (FORWARD(s)->stopping == 0) {
        clear_forwarders(r);
        step_stopped(s, 0, NULL);
        return;
    }
    ask_stop(s, &r->forwarders.items[FORWARD(s)->stopping - 1], on_stopped);
}

static void drop(struct step *s)
{
    janus_step_drop(s);
    forward_look_cancel(&FORWARD(s)->look);
}

static void stop(struct step *s)
{
    drop(s);
    FORWARD(s)->stopping = (unsigned)response_of(s)->forwarders.len;
    if (!s->ours || FORWARD(s)->stopping == 0) {
        clear_forwarders(response_of(s));
        step_stopped(s, 0, NULL);
    } else {
        janus_step_ready(s, stop_next);
    }
}

const struct step_kind step_forward = {
    .name = "forward",
    .peer = "janus",
    .size = sizeof(struct forward_step),
    .reads = FACT_ROOM | FACT_PUBLISHER | FACT_MOUNTPOINT,
    .describe = describe,
    .start = start,
    .adopt = adopt,
    .check = check,
    .stop = stop,
    .drop = drop,
};
