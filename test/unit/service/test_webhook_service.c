/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox over a real store: its bound, and what another process finds. Receivers are test/e2e/webhook.test.mjs. */
#include "../await.h"
#include "../store/folder.h"

#include "service/webhook/webhook_service.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct rig {
    char *dir;
    struct loop *control;
    struct store *store;
    struct events *events;
    struct events_listener listener;
    struct webhook_service *s;
    unsigned dropped;
    unsigned disabled;
    unsigned dead;
};

static void on_event(void *user, const struct event *e)
{
    struct rig *g = user;
    g->dropped += strcmp(e->type, "webhook.dropped") == 0;
    g->disabled += strcmp(e->type, "webhook.disabled") == 0;
    g->dead += strcmp(e->type, "webhook.dead") == 0;
}

/* The webhook of mast.yml. */
static void configure(struct rig *g, unsigned port, const char *path)
{
    struct webhook w;
    struct error err = {0};
    _cleanup_free_ char *json =
        mem_printf("{\"name\":\"one\",\"url\":\"http://127.0.0.1:%u/%s\"}", port, path);
    assert_int_equal(model_parse_json(&webhook_file_model, &w, BYTES_STR(json), NULL, &err), 0);
    webhook_service_configure(g->s, &w, 1, &(struct net_guard){0});
    webhook_done(&w);
}

static void open_rig(struct rig *g)
{
    struct error err = {0};
    g->control = loop_new("control", LOOP_CONTROL);
    assert_int_equal(store_open(&(struct store_config){.dir = g->dir}, &g->store, &err), 0);
    g->events = events_new(g->control, &(struct events_config){0});
    g->listener = (struct events_listener){.on_event = on_event, .user = g};
    events_listen(g->events, &g->listener);
    g->s = webhook_service_new(&(struct webhook_service_config){
        .control = g->control, .store = g->store, .events = g->events, .outbox_max = 3});
    configure(g, 1, ""); /* nobody listens there */
    assert_int_equal(webhook_service_load(g->s, &err), 0);
}

static void close_rig(struct rig *g)
{
    webhook_service_stop(g->s);
    g->store = store_close(g->store);
    events_unlisten(&g->listener);
    events_free(g->events);
    loop_free(g->control);
    g->s = webhook_service_free(g->s);
}

static void note(void *user, const struct webhook_delivery *d)
{
    out_printf(user, "%s ", d->resource);
}

static const char *resources(struct rig *g, struct out *o)
{
    o->len = 0;
    assert_int_equal(webhook_each_delivery(g->s, "one", 100, note, o), 0);
    return out_str(o);
}

static unsigned failed(struct rig *g)
{
    struct webhook_view v;
    assert_int_equal(webhook_get(g->s, "one", &v), 0);
    return (unsigned)v.failed;
}

static void test_the_oldest_go_when_the_outbox_is_full(void **state)
{
    struct rig g = {.dir = folder_new()};
    _cleanup_(out_done) struct out o = {0};
    open_rig(&g);
    static const char *const names[] = {"streams/a", "streams/b", "streams/c", "streams/d",
                                        "streams/e"};
    for (unsigned i = 0; i < 5; i++) {
        events_emit(g.events, 0, "stream.ready", names[i], NULL);
    }
    assert_string_equal(resources(&g, &o), "streams/c streams/d streams/e ");
    RUN_UNTIL(g.control, g.dropped == 1 && failed(&g) >= 3);
    close_rig(&g);
    /* Another process finds these and no others. */
    open_rig(&g);
    assert_string_equal(resources(&g, &o), "streams/c streams/d streams/e ");
    close_rig(&g);
    folder_free(g.dir);
}

/* ---- 410 ---- */

/* Takes requests and answers when the test says so. */
struct receiver {
    int fd;
    uint16_t port;
    int conns[4];
    unsigned n; /* connections */
    bool asked[4];
};

static void receiver_open(struct receiver *r)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    *r = (struct receiver){.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(r->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(r->fd, 8), 0);
    assert_int_equal(getsockname(r->fd, (struct sockaddr *)&in, &len), 0);
    r->port = ntohs(in.sin_port);
}

static void receiver_close(struct receiver *r)
{
    for (unsigned i = 0; i < r->n; i++) {
        close(r->conns[i]);
    }
    close(r->fd);
}

/* How many requests have come. */
static unsigned receiver_take(struct receiver *r)
{
    char text[4096];
    unsigned n = 0;
    int fd = r->n < ARRAY_LEN(r->conns) ? accept4(r->fd, NULL, NULL, SOCK_NONBLOCK) : -1;
    if (fd >= 0) {
        r->conns[r->n++] = fd;
    }
    for (unsigned i = 0; i < r->n; i++) {
        r->asked[i] = recv(r->conns[i], text, sizeof(text), 0) > 0 || r->asked[i];
        n += r->asked[i];
    }
    return n;
}

static void receiver_answer(const struct receiver *r, unsigned i)
{
    static const char gone[] =
        "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert_int_equal(send(r->conns[i], gone, sizeof(gone) - 1, MSG_NOSIGNAL), sizeof(gone) - 1);
}

static bool is_disabled(struct rig *g)
{
    struct webhook_view v;
    assert_int_equal(webhook_get(g->s, "one", &v), 0);
    return strcmp(v.status, "gone") == 0;
}

static void test_gone_is_said_once(void **state)
{
    struct rig g = {.dir = folder_new()};
    struct receiver r;
    receiver_open(&r);
    open_rig(&g);
    configure(&g, r.port, "");
    events_emit(g.events, 0, "stream.ready", "streams/a", NULL);
    events_emit(g.events, 0, "stream.ready", "streams/b", NULL);
    RUN_UNTIL(g.control, receiver_take(&r) == 2);
    receiver_answer(&r, 0);
    receiver_answer(&r, 1);
    RUN_UNTIL(g.control, failed(&g) == 2);
    assert_true(is_disabled(&g));
    assert_int_equal(g.disabled, 1);
    assert_int_equal(g.dead, 1);
    close_rig(&g);
    receiver_close(&r);
    folder_free(g.dir);
}

/* What an address answered that is no longer the webhook's says nothing about the one that is. */
static void test_gone_of_what_was_changed_counts_no_more(void **state)
{
    struct rig g = {.dir = folder_new()};
    struct receiver r;
    receiver_open(&r);
    open_rig(&g);
    configure(&g, r.port, "old");
    events_emit(g.events, 0, "stream.ready", "streams/a", NULL);
    RUN_UNTIL(g.control, receiver_take(&r) == 1);
    configure(&g, r.port, "new");
    receiver_answer(&r, 0);
    RUN_UNTIL(g.control, failed(&g) == 1);
    assert_false(is_disabled(&g));
    RUN_UNTIL(g.control, receiver_take(&r) == 2); /* the same, to the new address */
    receiver_answer(&r, 1);
    RUN_UNTIL(g.control, is_disabled(&g));
    assert_int_equal(g.disabled, 1);
    close_rig(&g);
    receiver_close(&r);
    folder_free(g.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_go_when_the_outbox_is_full),
        cmocka_unit_test(test_gone_is_said_once),
        cmocka_unit_test(test_gone_of_what_was_changed_counts_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
