/* SPDX-License-Identifier: Apache-2.0 */
/* The event feed over real connections: positions, resuming, clients that are too many or too slow. */
#include "../await.h"

#include "api/events.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The control loop is run by the test; connections live on a thread. */
struct world {
    struct loop *control;
    struct loop *media;
    struct events *events;
    struct http_server *server;
    struct http_grant grant; /* that the guard gives */
};

static bool let_in(void *user, struct http_request *req, struct http_reply *reply)
{
    const struct world *w = user;
    http_request_set_grant(req, &w->grant);
    return true;
}

static void start(struct world *w, struct events_config config)
{
    struct listener_config lc = {.address = "127.0.0.1"};
    w->control = loop_new("control", LOOP_CONTROL);
    w->media = loop_new("media", 0);
    assert_int_equal(loop_start(w->media), 0);
    w->events = events_new(w->control, &config);
    w->grant = (struct http_grant){0};
    w->server =
        http_server_new(&(struct http_server_config){.guard = let_in, .guard_user = w}, w->control);
    http_server_mount(w->server, events_routes, events_routes_n, w->events);
    assert_int_equal(http_server_listen(w->server, &lc, &w->media, 1, NULL), 0);
}

static void stop(struct world *w)
{
    http_server_free(w->server);
    events_free(w->events);
    loop_stop(w->media);
    loop_free(w->media);
    loop_free(w->control);
    assert_int_equal(buf_live_count(), 0);
}

struct client {
    int fd;
    struct out in;
};

static struct client ask_at(struct world *w, const char *method, const char *query,
                            const char *last_id)
{
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(listener_port(http_server_listener(w->server, 0)))};
    assert_int_equal(connect(c.fd, (struct sockaddr *)&to, sizeof(to)), 0);
    _cleanup_free_ char *text =
        mem_printf("%s /api/v1/events%s HTTP/1.1\r\nHost: x\r\n%s%s%s\r\n", method, query,
                   last_id ? "Last-Event-ID: " : "", last_id ? last_id : "", last_id ? "\r\n" : "");
    assert_int_equal(write(c.fd, text, strlen(text)), strlen(text));
    return c;
}

static struct client ask_how(struct world *w, const char *method, const char *last_id)
{
    return ask_at(w, method, "", last_id);
}

static struct client ask(struct world *w, const char *last_id)
{
    return ask_how(w, "GET", last_id);
}

static void leave(struct client *c)
{
    close(c->fd);
    out_done(&c->in);
}

static bool has(struct client *c, const char *text)
{
    char part[4096];
    for (;;) {
        ssize_t n = recv(c->fd, part, sizeof(part), MSG_DONTWAIT);
        if (n <= 0) {
            break;
        }
        out_mem(&c->in, part, (size_t)n);
    }
    return c->in.len > 0 && strstr(out_str(&c->in), text) != NULL;
}

#define SEES(w, c, text) RUN_UNTIL((w)->control, has((c), (text)))

static void emit(struct world *w, const char *type)
{
    events_emit(w->events, 0, type, "streams/live/x", "{\"n\":1}");
}

static void test_a_client_gets_what_happens_from_now_on(void **state)
{
    struct world w;
    start(&w, (struct events_config){0});
    emit(&w, "before.it.came");
    struct client c = ask(&w, NULL);
    SEES(&w, &c, "event: start\nid: ");
    SEES(&w, &c, events_position(w.events));
    assert_true(has(&c, "Content-Type: text/event-stream\r\n"));
    emit(&w, "one");
    emit(&w, "two");
    _cleanup_free_ char *frame =
        mem_printf("id: %s\ndata: {\"id\":\"%s\",\"time\":\"1970-01-01T00:00:00.000Z\","
                   "\"type\":\"two\",\"resource\":\"streams/live/x\",\"data\":{\"n\":1}}\n\n",
                   events_position(w.events), events_position(w.events));
    SEES(&w, &c, frame);
    assert_true(has(&c, "\"type\":\"one\""));
    assert_false(has(&c, "before.it.came"));
    leave(&c);
    RUN_UNTIL(w.control, http_server_live(w.server) == 0);
    emit(&w, "nobody listens");
    stop(&w);
}

static void test_a_client_that_returns_gets_what_it_missed(void **state)
{
    struct world w;
    start(&w, (struct events_config){.kept_max = 4});
    emit(&w, "e1");
    emit(&w, "e2");
    _cleanup_free_ char *at_two = mem_strdup(events_position(w.events));
    emit(&w, "e3");
    emit(&w, "e4");
    _cleanup_free_ char *at_four = mem_strdup(events_position(w.events));
    struct client c = ask(&w, at_two);
    struct client latest = ask(&w, at_four);
    SEES(&w, &c, "e4");
    assert_true(has(&c, "e3"));
    assert_false(has(&c, "e2"));
    assert_false(has(&c, "event:"));
    SEES(&w, &latest, "\r\n\r\n");
    emit(&w, "e5");
    SEES(&w, &latest, "e5");
    assert_false(has(&latest, "e4"));
    assert_false(has(&latest, "event:"));
    leave(&c);
    leave(&latest);

    /* Four are kept, 3 to 6: after the second it goes on without a gap, after the first it does not. */
    emit(&w, "e6");
    c = ask(&w, at_two);
    SEES(&w, &c, "e6");
    assert_true(has(&c, "e3"));
    leave(&c);
    emit(&w, "e7");
    c = ask(&w, at_two);
    SEES(&w, &c, "event: reset\n");
    assert_false(has(&c, "e7"));
    leave(&c);
    stop(&w);
}

static void test_what_is_kept_comes_before_the_start(void **state)
{
    struct world w;
    start(&w, (struct events_config){.kept_max = 2});
    emit(&w, "e1");
    emit(&w, "e2");
    emit(&w, "e3");
    struct client c = ask_at(&w, "GET", "?kept=true", NULL);
    SEES(&w, &c, "event: start\n");
    const char *all = out_str(&c.in);
    const char *two = strstr(all, "\"e2\"");
    const char *three = strstr(all, "\"e3\"");
    assert_null(strstr(all, "\"e1\""));
    assert_true(two && three && two < three && three < strstr(all, "event: start\n"));
    emit(&w, "e4");
    SEES(&w, &c, "\"e4\"");
    leave(&c);

    /* Who says where it was gets what came since. */
    c = ask_at(&w, "GET", "?kept=true", events_position(w.events));
    SEES(&w, &c, "\r\n\r\n");
    emit(&w, "e5");
    SEES(&w, &c, "\"e5\"");
    assert_false(has(&c, "\"e4\""));
    leave(&c);
    stop(&w);
}

static void test_positions_that_are_not_ours(void **state)
{
    struct world w;
    start(&w, (struct events_config){0});
    emit(&w, "e1");
    _cleanup_free_ char *boot = mem_strdup(events_position(w.events));
    *strrchr(boot, '-') = '\0';
    _cleanup_free_ char *future = mem_printf("%s-2", boot);
    _cleanup_free_ char *sign = mem_printf("%s--1", boot);
    _cleanup_free_ char *rest = mem_printf("%s-1x", boot);
    _cleanup_free_ char *huge = mem_printf("%s-99999999999999999999999", boot);
    _cleanup_free_ char *none = mem_printf("%s-", boot);
    const char *const bad[] = {future, sign, rest, huge, none, boot, "1", "otherboot0-1", "-"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct client c = ask(&w, bad[i]);
        SEES(&w, &c, "event: reset\n");
        leave(&c);
    }
    stop(&w);
}

static void test_the_ring_is_bounded_by_bytes(void **state)
{
    struct world w;
    start(&w, (struct events_config){.kept_bytes_max = 1000});
    for (int i = 0; i < 3; i++) {
        emit(&w, "small");
    }
    _cleanup_free_ char *at = mem_strdup(events_position(w.events));
    char big[901];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    emit(&w, big); /* larger than all that may be kept together with anything else */
    struct client c = ask(&w, at);
    SEES(&w, &c, "xxx");
    assert_false(has(&c, "small"));
    leave(&c);
    stop(&w);
}

static void test_too_many_clients(void **state)
{
    struct world w;
    start(&w, (struct events_config){.clients_max = 2});
    struct client a = ask(&w, NULL);
    struct client b = ask(&w, NULL);
    SEES(&w, &a, "event: start");
    SEES(&w, &b, "event: start");
    struct client over = ask(&w, NULL);
    SEES(&w, &over, "too-many-clients");
    assert_true(has(&over, "HTTP/1.1 503 "));
    leave(&a);
    RUN_UNTIL(w.control, http_server_live(w.server) == 2);
    /* A place that is free again is given again, as soon as the control loop has heard of it. */
    for (bool in = false; !in;) {
        struct client again = ask(&w, NULL);
        SEES(&w, &again, "\r\n\r\n");
        in = has(&again, "HTTP/1.1 200 ");
        leave(&again);
    }
    leave(&b);
    leave(&over);
    stop(&w);
}

static void test_a_client_that_does_not_read_is_cut_off(void **state)
{
    struct world w;
    char big[60001];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    start(&w, (struct events_config){0});
    struct client c = ask(&w, NULL);
    SEES(&w, &c, "event: start");
    /* What the kernel takes in between is some megabytes. */
    AWAIT_STEP(http_server_live(w.server) == 0, {
        emit(&w, big);
        loop_run_once(w.control, 1);
    });
    leave(&c);
    stop(&w);
}

static void test_silence_is_broken_by_comments(void **state)
{
    struct world w;
    start(&w, (struct events_config){.keepalive_ms = 5});
    struct client c = ask(&w, NULL);
    SEES(&w, &c, ":\n\n\r\n");
    leave(&c);
    stop(&w);
}

static void test_head_ends(void **state)
{
    struct world w;
    start(&w, (struct events_config){0});
    struct client c = ask_how(&w, "HEAD", NULL);
    SEES(&w, &c, "Content-Length: 0\r\n");
    leave(&c);
    stop(&w);
}

static void test_who_is_revoked_is_cut_off_alone(void **state)
{
    struct world w;
    start(&w, (struct events_config){0});
    struct client free_one = ask(&w, NULL);
    SEES(&w, &free_one, "event: start");
    w.grant.serial = 7; /* nothing is under way */
    struct client gone = ask(&w, NULL);
    SEES(&w, &gone, "event: start");
    w.grant.serial = 8;
    struct client other = ask(&w, NULL);
    SEES(&w, &other, "event: start");
    events_revoke(w.events, 0);
    events_revoke(w.events, 7);
    emit(&w, "after");
    SEES(&w, &free_one, "\"type\":\"after\"");
    SEES(&w, &other, "\"type\":\"after\"");
    SEES(&w, &gone, "\r\n0\r\n\r\n"); /* the end of the answer */
    assert_false(has(&gone, "\"type\":\"after\""));
    leave(&free_one);
    leave(&gone);
    leave(&other);
    stop(&w);
}

static bool seven_holds_not(void *user, uint64_t serial)
{
    return serial != 7;
}

static void test_who_is_revoked_on_the_way_is_refused(void **state)
{
    struct world w;
    start(&w, (struct events_config){.holds = seven_holds_not});
    w.grant.serial = 7;
    struct client late = ask(&w, NULL);
    SEES(&w, &late, "HTTP/1.1 403 ");
    w.grant.serial = 8;
    struct client c = ask(&w, NULL);
    SEES(&w, &c, "event: start");
    leave(&late);
    leave(&c);
    stop(&w);
}

static void test_a_grant_that_expires_ends_the_feed(void **state)
{
    struct world w;
    start(&w, (struct events_config){.keepalive_ms = 10});
    struct client stays = ask(&w, NULL);
    SEES(&w, &stays, "event: start");
    w.grant.expires_mono_ns = 1; /* long ago */
    struct client c = ask(&w, NULL);
    SEES(&w, &c, "\r\n0\r\n\r\n");
    emit(&w, "after");
    SEES(&w, &stays, "\"type\":\"after\"");
    leave(&c);
    leave(&stays);
    stop(&w);
}

struct heard {
    struct events_listener listener;
    struct out text;
};

static void on_heard(void *user, const struct event *e)
{
    struct heard *h = user;
    out_printf(&h->text, "%s %s %.*s|", e->type, e->resource, (int)e->json.len,
               (const char *)e->json.data);
}

static void test_listeners_get_the_event_as_it_is_sent(void **state)
{
    struct loop *l = loop_new("control", LOOP_CONTROL);
    struct events *e = events_new(l, &(struct events_config){0});
    struct heard h = {.listener = {.on_event = on_heard}};
    h.listener.user = &h;
    events_listen(e, &h.listener);
    events_emit(e, 0, "stream.ready", "streams/a", "{\"path\":\"a\"}");
    _cleanup_free_ char *expected = mem_printf(
        "stream.ready streams/a {\"id\":\"%s\",\"time\":\"1970-01-01T00:00:00.000Z\",\"type\":"
        "\"stream.ready\",\"resource\":\"streams/a\",\"data\":{\"path\":\"a\"}}|",
        events_position(e));
    assert_string_equal(out_str(&h.text), expected);
    events_unlisten(&h.listener);
    events_emit(e, 0, "stream.lost", "streams/a", NULL);
    assert_string_equal(out_str(&h.text), expected);
    out_done(&h.text);
    events_free(e);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_client_gets_what_happens_from_now_on),
        cmocka_unit_test(test_a_client_that_returns_gets_what_it_missed),
        cmocka_unit_test(test_what_is_kept_comes_before_the_start),
        cmocka_unit_test(test_positions_that_are_not_ours),
        cmocka_unit_test(test_the_ring_is_bounded_by_bytes),
        cmocka_unit_test(test_too_many_clients),
        cmocka_unit_test(test_a_client_that_does_not_read_is_cut_off),
        cmocka_unit_test(test_silence_is_broken_by_comments),
        cmocka_unit_test(test_head_ends),
        cmocka_unit_test(test_who_is_revoked_is_cut_off_alone),
        cmocka_unit_test(test_who_is_revoked_on_the_way_is_refused),
        cmocka_unit_test(test_a_grant_that_expires_ends_the_feed),
        cmocka_unit_test(test_listeners_get_the_event_as_it_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
