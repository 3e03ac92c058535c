/* SPDX-License-Identifier: Apache-2.0 */
/* Broadcasts at a real Janus: begun, undone, healed, taken up again, owed. Media is for the end-to-end tests. */
#include "../unit.h"

#include "../await.h"
#include "../peer/real_janus.h"
#include "broadcast_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct world {
    struct loop *l;
    struct real_janus *real;
    struct broadcast_rig rig;
    struct janus_server *server;
    /* of the last question */
    bool answered, exists;
    int r, code;
    struct out events;
    char rtp_ports[16]; /* of the server; "": Janus chooses */
};

static void on_event(void *user, const char *type, const char *id, const char *data)
{
    out_printf(&((struct world *)user)->events, "%s ", type);
}

static void open_service(struct world *w)
{
    const struct janus_server_config jc = {.name = (char *)"main",
                                           .url = (char *)real_janus_url(w->real),
                                           .api_secret = (char *)"apis3cret",
                                           .admin_key = (char *)"stream-admin",
                                           .room_admin_key = (char *)"room-admin",
                                           .rtp_ports = w->rtp_ports[0] ? w->rtp_ports : NULL};
    const struct broadcasts_config config = {
        .observer = {.on_event = on_event, .user = w},
        .pace = {.first_ms = 20, .max_ms = 200, .check_ms = 100, .stop_ms = 5000},
        .debt_ms = 200,
    };
    broadcast_rig_open(&w->rig, &jc, &config);
    assert_int_equal(janus_servers_get(w->rig.janus, NULL, &w->server, NULL), 0);
}

static void drop_service(struct world *w)
{
    broadcast_rig_drop(&w->rig);
}

static struct world *world_with_ports(unsigned first, unsigned last)
{
    struct world *w = mem_new(struct world);
    if (first) {
        snprintf(w->rtp_ports, sizeof(w->rtp_ports), "%u-%u", first, last);
    }
    w->l = loop_new("control", LOOP_CONTROL);
    w->real = real_janus_start(w->l);
    broadcast_rig_init(&w->rig, w->l);
    open_service(w);
    return w;
}

static struct world *world_new(void)
{
    return world_with_ports(0, 0);
}

static void world_free(struct world *w)
{
    broadcast_rig_done(&w->rig);
    real_janus_stop(w->real);
    loop_free(w->l);
    out_done(&w->events);
    free(w);
}

/* ---- asking Janus itself ---- */

static void on_mountpoint(void *user, const struct janus_result *res,
                          const struct janus_mountpoint_info *info)
{
    struct world *w = user;
    w->answered = true;
    w->r = res->r;
    w->code = res->code;
}

static bool has_mountpoint(struct world *w, int64_t id)
{
    const struct model_id mid = {.kind = MODEL_ID_INT, .num = id};
    RUN_UNTIL(w->l, janus_server_ready(w->server));
    w->answered = false;
    janus_streaming_info(janus_server_streaming(w->server), &mid, NULL, on_mountpoint, w);
    RUN_UNTIL(w->l, w->answered);
    assert_true(w->r == 0 || w->code == JANUS_STREAMING_NO_SUCH);
    return w->r == 0;
}

static void on_exists(void *user, const struct janus_result *res, bool exists)
{
    struct world *w = user;
    w->answered = true;
    w->exists = exists;
    assert_int_equal(res->r, 0);
}

static bool has_room(struct world *w, int64_t id)
{
    const struct model_id room = {.kind = MODEL_ID_INT, .num = id};
    RUN_UNTIL(w->l, janus_server_ready(w->server));
    w->answered = false;
    janus_room_exists(janus_server_rooms(w->server), &room, on_exists, w);
    RUN_UNTIL(w->l, w->answered);
    return w->exists;
}

static void on_done(void *user, const struct janus_result *res)
{
    struct world *w = user;
    w->answered = true;
    w->r = res->r;
}

static void on_room(void *user, const struct janus_result *res, const struct model_id *id)
{
    on_done(user, res);
}

static void make_room(struct world *w, int64_t id)
{
    struct janus_room room;
    model_init(&janus_room_model, &room);
    room.room = (struct model_id){.kind = MODEL_ID_INT, .num = id};
    room.admin_key = mem_strdup("room-admin");
    RUN_UNTIL(w->l, janus_server_ready(w->server));
    w->answered = false;
    janus_room_create(janus_server_rooms(w->server), &room, on_room, w);
    RUN_UNTIL(w->l, w->answered);
    assert_int_equal(w->r, 0);
    model_done(&janus_room_model, &room);
}

static void on_made(void *user, const struct janus_result *res,
                    const struct janus_mountpoint_info *info)
{
    on_done(user, res);
}

/* As another client: with what has no marker of ours. */
static int try_mountpoint(struct world *w, int64_t id)
{
    struct janus_mountpoint m;
    struct janus_track *t = mem_new(struct janus_track);
    model_init(&janus_mountpoint_model, &m);
    model_init(&janus_track_model, t);
    m.id = (struct model_id){.kind = MODEL_ID_INT, .num = id};
    m.admin_key = mem_strdup("stream-admin");
    m.media.items = t;
    m.media.len = 1;
    t->type = JANUS_VIDEO;
    t->mid = mem_strdup("v");
    t->codec = mem_strdup("h264");
    MODEL_SET(&janus_track_model, t, port, 0);
    MODEL_SET(&janus_track_model, t, pt, 96);
    RUN_UNTIL(w->l, janus_server_ready(w->server));
    w->answered = false;
    janus_streaming_create(janus_server_streaming(w->server), &m, on_made, w);
    RUN_UNTIL(w->l, w->answered);
    model_done(&janus_mountpoint_model, &m);
    return w->r;
}

static void make_mountpoint(struct world *w, int64_t id)
{
    assert_int_equal(try_mountpoint(w, id), 0);
}

static void destroy_mountpoint(struct world *w, int64_t id)
{
    const struct model_id mid = {.kind = MODEL_ID_INT, .num = id};
    janus_streaming_destroy(janus_server_streaming(w->server), &mid, NULL, false, on_done, w);
}

static void replace_mountpoint(struct world *w, int64_t id)
{
    int64_t other = id + 1000; /* which has its ports then */
    do {
        /* A check may see that it is gone, and have it made anew before we can. */
        destroy_mountpoint(w, id);
        make_mountpoint(w, other++);
    } while (try_mountpoint(w, id) != 0);
}

/* ---- requests ---- */

#define MEDIA                                                                                      \
    "\"media\":[{\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]"

static struct broadcast *begin(struct world *w, const char *json)
{
    return broadcast_rig_begin(&w->rig, json);
}

static const char frontend[] =
    "{\"id\":\"one\",\"source_kind\":\"frontend_owned\",\"room_id\":4321,"
    "\"room_spec\":{\"secret\":\"rs\"},"
    "\"mountpoint_spec\":{\"id\":9001,\"secret\":\"ms\"," MEDIA "}}";

#define AWAIT_STATE(w, b, s) RUN_UNTIL((w)->l, broadcast_state(b) == (s))

/* Up: past its first look at its media, of which there is none here. */
static void await_up(struct world *w, struct broadcast *b)
{
    RUN_UNTIL(w->l,
              broadcast_state(b) == BROADCAST_RUNNING || broadcast_state(b) == BROADCAST_DEGRADED);
}

static void stop_and_wait(struct world *w, struct broadcast *b)
{
    broadcast_stop(b);
    AWAIT_STATE(w, b, BROADCAST_STOPPED);
}

/* ---- tests ---- */

static void test_makes_and_undoes(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    assert_int_equal(broadcast_state(b), BROADCAST_STARTING);
    await_up(w, b);
    const struct broadcast_result *res = broadcast_result(b);
    assert_int_equal(res->steps.len, 2);
    assert_int_equal(res->steps.items[1].state, BROADCAST_STEP_DONE);
    assert_true(res->mountpoint_response->ports.items[0].port > 0);
    assert_true(has_room(w, 4321));
    assert_true(has_mountpoint(w, 9001));
    stop_and_wait(w, b);
    assert_false(has_room(w, 4321));
    assert_false(has_mountpoint(w, 9001));
    assert_string_equal(out_str(&w->events),
                        "broadcast_starting broadcast_running broadcast_stopping "
                        "janus_resource_closed janus_resource_closed broadcast_stopped ");
    world_free(w);
}

/* A room alone: no mountpoint tells whether media arrives, so it waits for a publisher; an id is chosen when none is named. */
static void test_a_room_of_the_front_end(void **state)
{
    struct world *w = world_new();
    struct broadcast *b =
        begin(w, "{\"source_kind\":\"frontend_owned\",\"room_spec\":{\"publishers\":2}}");
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    const struct broadcast_result *res = broadcast_result(b);
    assert_int_equal(res->steps.len, 2);
    assert_int_equal(res->request.room_id.kind, MODEL_ID_INT);
    assert_true(has_room(w, res->request.room_id.num));
    assert_int_equal(res->join->room.num, res->request.room_id.num);
    assert_non_null(strstr(res->reason, "nobody publishes in room"));
    assert_non_null(strstr(res->note, "publish into room"));
    stop_and_wait(w, b);
    assert_false(has_room(w, res->request.room_id.num));
    world_free(w);
}

static void test_leaves_what_was_there(void **state)
{
    struct world *w = world_new();
    make_room(w, 4321);
    struct broadcast *b = begin(w, frontend);
    await_up(w, b);
    stop_and_wait(w, b);
    assert_true(has_room(w, 4321));
    assert_false(has_mountpoint(w, 9001));
    const struct broadcast_result *res = broadcast_result(b);
    assert_int_equal(res->kept.len, 1);
    assert_string_equal(res->kept.items[0].kind, "room");
    world_free(w);
}

static void test_keeps_what_the_app_does_not_own(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, "{\"source_kind\":\"frontend_owned\",\"room_id\":4321,"
                                   "\"owned_by_app\":false,"
                                   "\"mountpoint_spec\":{\"id\":9001," MEDIA "}}");
    await_up(w, b);
    stop_and_wait(w, b);
    assert_true(has_room(w, 4321));
    assert_true(has_mountpoint(w, 9001));
    assert_int_equal(broadcast_result(b)->kept.len, 2);
    world_free(w);
}

static void test_failure_undoes(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, "{\"source_kind\":\"videoroom\",\"room_id\":4321,"
                                   "\"publisher_id\":777,"
                                   "\"mountpoint_spec\":{\"id\":9001," MEDIA "}}");
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_string_equal(broadcast_result(b)->reason,
                        "publisher: publisher 777 does not publish in room 4321");
    assert_false(has_room(w, 4321));
    assert_false(has_mountpoint(w, 9001));
    world_free(w);
}

static void test_refusals_name_step_and_words(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    await_up(w, b);
    struct broadcast *twice = begin(w, "{\"source_kind\":\"frontend_owned\","
                                       "\"mountpoint_spec\":{\"id\":9001," MEDIA "}}");
    AWAIT_STATE(w, twice, BROADCAST_FAILED);
    assert_string_equal(broadcast_result(twice)->reason,
                        "mountpoint: janus main has a mountpoint 9001 that is not ours");
    assert_true(has_mountpoint(w, 9001));
    struct broadcast *key =
        begin(w, "{\"source_kind\":\"frontend_owned\",\"mountpoint_spec\":{\"id\":9002,"
                 "\"admin_key\":\"wrong\"," MEDIA "}}");
    AWAIT_STATE(w, key, BROADCAST_FAILED);
    assert_non_null(strstr(broadcast_result(key)->reason, "Unauthorized (wrong admin_key)"));
    world_free(w);
}

static void test_leaves_what_took_the_place_of_ours(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, "{\"source_kind\":\"frontend_owned\","
                                   "\"mountpoint_spec\":{\"id\":9001," MEDIA "}}");
    await_up(w, b);
    replace_mountpoint(w, 9001);
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_string_equal(broadcast_result(b)->reason,
                        "mountpoint: janus main has a mountpoint 9001 that is not ours");
    assert_true(has_mountpoint(w, 9001));
    world_free(w);
}

static void test_follows_what_it_uses(void **state)
{
    struct world *w = world_new();
    make_mountpoint(w, 9005);
    struct broadcast *b = begin(w, "{\"source_kind\":\"frontend_owned\",\"create_mountpoint\":"
                                   "false,\"mountpoint_spec\":{\"id\":9005}}");
    await_up(w, b);
    int64_t port = broadcast_result(b)->mountpoint_response->ports.items[0].port;
    replace_mountpoint(w, 9005);
    RUN_UNTIL(w->l, broadcast_result(b)->mountpoint_response->ports.items[0].port != port);
    await_up(w, b);
    /* Gone, it is waited for. */
    destroy_mountpoint(w, 9005);
    RUN_UNTIL(w->l, broadcast_result(b)->reason &&
                        strstr(broadcast_result(b)->reason, "No such mountpoint"));
    int64_t until = clock_mono_ns() + 1500 * NS_PER_MS;
    RUN_UNTIL(w->l, clock_mono_ns() > until); /* more tries than a refusal gets */
    assert_int_not_equal(broadcast_state(b), BROADCAST_FAILED);
    make_mountpoint(w, 9005);
    RUN_UNTIL(w->l, !broadcast_result(b)->reason ||
                        !strstr(broadcast_result(b)->reason, "No such mountpoint"));
    await_up(w, b);
    stop_and_wait(w, b);
    assert_true(has_mountpoint(w, 9005));
    world_free(w);
}

static void test_heals_after_a_crash_of_janus(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    await_up(w, b);
    int64_t port = broadcast_result(b)->mountpoint_response->ports.items[0].port;
    real_janus_kill(w->real);
    AWAIT_STATE(w, b, BROADCAST_DEGRADED);
    real_janus_again(w->real);
    RUN_UNTIL(w->l, strstr(out_str(&w->events), "broadcast_restarting") != NULL);
    await_up(w, b);
    assert_true(has_room(w, 4321));
    assert_true(has_mountpoint(w, 9001));
    assert_true(broadcast_result(b)->mountpoint_response->ports.items[0].port > 0);
    (void)port;
    stop_and_wait(w, b);
    assert_false(has_room(w, 4321));
    assert_false(has_mountpoint(w, 9001));
    world_free(w);
}

static void test_is_taken_up_again(void **state)
{
    struct world *w = world_new();
    await_up(w, begin(w, frontend));
    drop_service(w);
    open_service(w);
    struct broadcast *b = broadcasts_find(w->rig.service, "one");
    assert_non_null(b);
    await_up(w, b);
    assert_true(has_room(w, 4321));
    assert_true(has_mountpoint(w, 9001));
    stop_and_wait(w, b);
    assert_false(has_room(w, 4321));
    assert_false(has_mountpoint(w, 9001));
    /* And the end is known after another start. */
    drop_service(w);
    open_service(w);
    assert_int_equal(broadcast_state(broadcasts_find(w->rig.service, "one")), BROADCAST_STOPPED);
    world_free(w);
}

/* The process dies after every so many turns of its loop; the next one makes good whatever was begun. */
static void test_killed_anywhere(void **state)
{
    struct world *w = world_new();
    for (unsigned turns = 0; turns < 60; turns += 3) {
        RUN_UNTIL(w->l, janus_server_ready(w->server));
        (void)begin(w, frontend);
        for (unsigned i = 0; i < turns; i++) {
            loop_run_once(w->l, 1);
        }
        drop_service(w);
        open_service(w);
        struct broadcast *b = broadcasts_find(w->rig.service, "one");
        if (b) { /* else it was never written down: then nothing was done */
            await_up(w, b);
            assert_true(has_mountpoint(w, 9001));
            assert_true(has_room(w, 4321));
            stop_and_wait(w, b);
            assert_int_equal(broadcast_debts(b), 0);
            assert_int_equal(broadcast_forget(b), 0);
        }
        assert_false(has_mountpoint(w, 9001));
        assert_false(has_room(w, 4321));
    }
    world_free(w);
}

/* Janus dies after every so many turns: the broadcast heals, or fails and owes nothing in the end. */
static void test_janus_killed_anywhere(void **state)
{
    struct world *w = world_new();
    for (unsigned turns = 0; turns < 15; turns += 5) {
        RUN_UNTIL(w->l, janus_server_ready(w->server));
        struct broadcast *b = begin(w, frontend);
        for (unsigned i = 0; i < turns; i++) {
            loop_run_once(w->l, 1);
        }
        real_janus_kill(w->real);
        RUN_UNTIL(w->l, !janus_server_ready(w->server));
        real_janus_again(w->real);
        RUN_UNTIL(w->l, janus_server_ready(w->server));
        RUN_UNTIL(w->l, broadcast_state(b) == BROADCAST_RUNNING ||
                            broadcast_state(b) == BROADCAST_FAILED);
        if (broadcast_state(b) == BROADCAST_RUNNING) {
            RUN_UNTIL(w->l, has_mountpoint(w, 9001) && has_room(w, 4321));
            stop_and_wait(w, b);
        }
        RUN_UNTIL(w->l, broadcast_debts(b) == 0);
        assert_false(has_mountpoint(w, 9001));
        assert_false(has_room(w, 4321));
        RUN_UNTIL(w->l, broadcast_forget(b) == 0);
    }
    world_free(w);
}

static void test_suspends(void **state)
{
    struct world *w = world_new();
    await_up(w, begin(w, frontend));
    broadcast_rig_leave(&w->rig, BROADCASTS_SUSPEND);
    assert_false(has_room(w, 4321));
    assert_false(has_mountpoint(w, 9001));
    drop_service(w);
    open_service(w);
    struct broadcast *b = broadcasts_find(w->rig.service, "one");
    await_up(w, b);
    assert_true(has_mountpoint(w, 9001));
    world_free(w);
}

static void test_debts_are_paid(void **state)
{
    struct world *w = world_new();
    struct broadcast *b = begin(w, frontend);
    await_up(w, b);
    real_janus_kill(w->real);
    RUN_UNTIL(w->l, janus_state(janus_server_client(w->server)) == JANUS_WAITING);
    stop_and_wait(w, b);
    assert_true(broadcast_debts(b) > 0);
    real_janus_again(w->real);
    RUN_UNTIL(w->l, broadcast_debts(b) == 0);
    world_free(w);
}

/* ---- ports of a range ---- */

/* Somebody else's, even, with room behind it; closed by the caller. */
static int hold_a_port(unsigned *ret)
{
    for (;;) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(in);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&in, len), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
        *ret = ntohs(in.sin_port);
        if (*ret % 2 == 0 && *ret < 65000) {
            return fd;
        }
        close(fd);
    }
}

static struct broadcast *begin_numbered(struct world *w, unsigned n, const char *media)
{
    _cleanup_free_ char *json = mem_printf("{\"id\":\"n%u\",\"source_kind\":\"frontend_owned\","
                                           "\"mountpoint_spec\":{\"id\":%u,\"media\":[%s]}}",
                                           n, 9000 + n, media);
    return begin(w, json);
}

static const struct endpoint *endpoint_of(struct broadcast *b, unsigned i)
{
    const struct broadcast_mountpoint_response *m = broadcast_result(b)->mountpoint_response;
    assert_true(i < m->ports.len);
    return &m->ports.items[i];
}

#define VIDEO "{\"type\":\"video\",\"codec\":\"h264\"}"
#define BOTH                                                                                       \
    "{\"type\":\"video\",\"codec\":\"vp8\",\"rtcpport\":0,\"simulcast\":true},"                    \
    "{\"type\":\"audio\",\"codec\":\"opus\",\"port\":0}"

static void test_ports_of_a_range(void **state)
{
    unsigned held;
    int fd = hold_a_port(&held);
    struct world *w = world_with_ports(held, held + 79);
    struct broadcast *b = begin_numbered(w, 0, BOTH);
    assert_non_null(strstr(broadcast_result(b)->steps.items[0].describe, w->rtp_ports));
    await_up(w, b);
    /* Janus' own word, as the ports are: the held pair and what was asked for beside it are passed over. */
    const struct endpoint *v = endpoint_of(b, 0);
    const int64_t ports[] = {v->port, v->port_2, v->port_3, endpoint_of(b, 1)->port};
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        assert_int_equal(ports[i] % 2, 0);
        assert_true(ports[i] > held && ports[i] < held + 79);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(ports[i], ports[k]);
        }
    }
    assert_int_equal(v->rtcp_port, v->port + 1);
    /* As they were, after Janus was killed, and after we were. */
    real_janus_kill(w->real);
    RUN_UNTIL(w->l, !janus_server_ready(w->server));
    real_janus_again(w->real);
    RUN_UNTIL(w->l, strstr(out_str(&w->events), "broadcast_restarting") != NULL);
    AWAIT_STATE(w, b, BROADCAST_RUNNING);
    assert_int_equal(endpoint_of(b, 0)->port, ports[0]);
    assert_int_equal(endpoint_of(b, 1)->port, ports[3]);
    drop_service(w);
    open_service(w);
    b = broadcasts_find(w->rig.service, "n0");
    await_up(w, b);
    assert_int_equal(endpoint_of(b, 0)->rtcp_port, ports[0] + 1);
    /* Another one gets others; what the request names is not looked at. */
    struct broadcast *c = begin_numbered(w, 1, VIDEO);
    await_up(w, c);
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        assert_int_not_equal(endpoint_of(c, 0)->port, ports[i]);
    }
    world_free(w);
    close(fd);
}

static void test_a_range_is_used_up(void **state)
{
    unsigned held;
    int fd = hold_a_port(&held);
    struct world *w = world_with_ports(held, held + 9);
    struct broadcast *all[6];
    unsigned n = 0;
    for (; n < ARRAY_LEN(all); n++) {
        all[n] = begin_numbered(w, n, VIDEO);
        RUN_UNTIL(w->l, broadcast_state(all[n]) != BROADCAST_STARTING &&
                            broadcast_state(all[n]) != BROADCAST_STOPPING);
        if (broadcast_state(all[n]) == BROADCAST_FAILED) {
            break;
        }
        for (unsigned i = 0; i < n; i++) {
            assert_int_not_equal(endpoint_of(all[i], 0)->port, endpoint_of(all[n], 0)->port);
        }
    }
    /* Five pairs, of which one is held, and perhaps others by who happens to be here. */
    assert_true(n >= 1 && n <= 4);
    _cleanup_free_ char *why =
        mem_printf("mountpoint: rtp_ports %s of janus main are used up: of 5 pairs %u are "
                   "broadcasts', %u have others",
                   w->rtp_ports, n, 5 - n);
    assert_string_equal(broadcast_result(all[n])->reason, why);
    assert_false(has_mountpoint(w, 9000 + n));
    /* One ends, and its port is the next one's. */
    int64_t port = endpoint_of(all[0], 0)->port;
    stop_and_wait(w, all[0]);
    struct broadcast *next = begin_numbered(w, 6, VIDEO);
    await_up(w, next);
    if (n == 4) {
        assert_int_equal(endpoint_of(next, 0)->port, port);
    }
    world_free(w);
    close(fd);
}

/* A port that the request names is the request's affair: no other one is tried. */
static void test_a_named_port_that_is_taken(void **state)
{
    unsigned held;
    int fd = hold_a_port(&held);
    struct world *w = world_with_ports(held, held + 79);
    _cleanup_free_ char *media =
        mem_printf("{\"type\":\"video\",\"codec\":\"h264\",\"rtcpport\":0,\"port\":%u}", held);
    struct broadcast *b = begin_numbered(w, 0, media);
    AWAIT_STATE(w, b, BROADCAST_FAILED);
    assert_non_null(strstr(broadcast_result(b)->reason, "(456)"));
    assert_int_equal(*janus_server_next_port(w->server), held / 2 + 2);
    world_free(w);
    close(fd);
}

/* ---- looks at forwarders ---- */

struct looker {
    struct forward_look look;
    unsigned answers;
    int r, code;
    struct looker *ends; /* cancelled by this one's answer */
    void (*then)(struct looker *k, struct world *w);
    struct world *w; /* of then */
};

static void on_looked(void *user, const struct janus_result *res, const struct janus_forwarder *f,
                      unsigned n)
{
    struct looker *k = user;
    k->answers++;
    k->r = res->r;
    k->code = res->code;
    assert_int_equal(n, 0);
    if (k->ends) {
        forward_look_cancel(&k->ends->look);
    }
    if (k->then) {
        k->then(k, k->w);
    }
}

static void look_at(struct world *w, struct looker *k, int64_t room)
{
    const struct model_id id = {.kind = MODEL_ID_INT, .num = room};
    k->look.fn = on_looked;
    k->look.user = k;
    forward_look(w->server, &id, NULL, &k->look);
}

static void test_looks_together(void **state)
{
    struct world *w = world_new();
    struct looker k[6] = {0};
    make_room(w, 4321);
    for (unsigned i = 0; i < 4; i++) {
        look_at(w, &k[i], 4321);
    }
    look_at(w, &k[4], 4322);
    look_at(w, &k[5], 4323);
    assert_ptr_equal(k[0].look.round, k[2].look.round);
    assert_ptr_not_equal(k[0].look.round, k[4].look.round);
    forward_look_cancel(&k[3].look);
    forward_look_cancel(&k[5].look); /* the only one of its room */
    k[0].ends = &k[1];
    RUN_UNTIL(w->l, k[2].answers && k[4].answers);
    assert_int_equal(k[0].answers, 1);
    assert_int_equal(k[0].r, 0);
    assert_int_equal(k[1].answers + k[3].answers + k[5].answers, 0);
    assert_int_equal(k[4].code, JANUS_ROOM_NO_SUCH);
    k[0].ends = NULL;
    look_at(w, &k[0], 4321); /* the next round */
    RUN_UNTIL(w->l, k[0].answers == 2);
    assert_int_equal(k[2].answers, 1);
    /* The connection goes: they hear of that. */
    look_at(w, &k[1], 4321);
    real_janus_kill(w->real);
    RUN_UNTIL(w->l, k[1].answers == 1);
    assert_true(k[1].r < 0);
    real_janus_again(w->real);
    world_free(w);
}

static void look_soon_at(struct world *w, struct looker *k, int64_t room)
{
    const struct model_id id = {.kind = MODEL_ID_INT, .num = room};
    k->look.fn = on_looked;
    k->look.user = k;
    forward_look_soon(w->server, &id, NULL, &k->look);
}

/* Told by the first list, of which k is the second: who comes now is not answered by it, but with each other. */
static void look_on(struct looker *k, struct world *w)
{
    look_soon_at(w, &k[2], 4321);
    look_at(w, &k[3], 4321);
    look_soon_at(w, &k[4], 4321);
    assert_ptr_equal(k[3].look.round, k[2].look.round);
    assert_ptr_equal(k[4].look.round, k[2].look.round);
    assert_ptr_not_equal(k[2].look.round, k[1].look.round);
    forward_look_cancel(&k[4].look);
}

/* Many starts: one list for those that come at once, one more for all that come while it is under way. */
static void test_starts_look_together(void **state)
{
    struct world *w = world_new();
    struct looker k[6] = {0};
    make_room(w, 4321);
    look_at(w, &k[0], 4321); /* a check, which the starts take along */
    look_soon_at(w, &k[1], 4321);
    look_soon_at(w, &k[2], 4321);
    assert_ptr_equal(k[1].look.round, k[0].look.round);
    assert_ptr_equal(k[2].look.round, k[0].look.round);
    forward_look_cancel(&k[2].look);
    k[0].then = look_on;
    k[0].w = w;
    RUN_UNTIL(w->l, k[2].answers && k[3].answers);
    assert_int_equal(k[0].answers, 1);
    assert_int_equal(k[1].answers, 1);
    assert_int_equal(k[4].answers, 0);
    /* Given up, in whichever turn: who waits for its end does not wait for ever. */
    for (unsigned turns = 0; turns < 4; turns++) {
        look_soon_at(w, &k[4], 4321);
        for (unsigned i = 0; i < turns; i++) {
            loop_run_once(w->l, 1);
        }
        unsigned before = k[5].answers;
        look_soon_at(w, &k[5], 4321);
        forward_look_cancel(&k[4].look);
        RUN_UNTIL(w->l, k[5].answers > before);
    }
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_makes_and_undoes),
        cmocka_unit_test(test_a_room_of_the_front_end),
        cmocka_unit_test(test_leaves_what_was_there),
        cmocka_unit_test(test_keeps_what_the_app_does_not_own),
        cmocka_unit_test(test_failure_undoes),
        cmocka_unit_test(test_refusals_name_step_and_words),
        cmocka_unit_test(test_leaves_what_took_the_place_of_ours),
        cmocka_unit_test(test_follows_what_it_uses),
        cmocka_unit_test(test_heals_after_a_crash_of_janus),
        cmocka_unit_test(test_is_taken_up_again),
        cmocka_unit_test(test_killed_anywhere),
        cmocka_unit_test(test_janus_killed_anywhere),
        cmocka_unit_test(test_suspends),
        cmocka_unit_test(test_debts_are_paid),
        cmocka_unit_test(test_ports_of_a_range),
        cmocka_unit_test(test_a_range_is_used_up),
        cmocka_unit_test(test_a_named_port_that_is_taken),
        cmocka_unit_test(test_looks_together),
        cmocka_unit_test(test_starts_look_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
