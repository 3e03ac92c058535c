/* SPDX-License-Identifier: Apache-2.0 */
/* The outbox over a real store: its bound, and what another process finds. Receivers are test/e2e/webhook.test.mjs. */
#include "../await.h"
#include "../store/folder.h"

#include "service/webhook/webhook_service.h"

struct rig {
    char *dir;
    struct loop *control;
    struct store *store;
    struct events *events;
    struct events_listener listener;
    struct webhook_service *s;
    unsigned dropped;
};

static void on_event(void *user, const struct event *e)
{
    struct rig *g = user;
    g->dropped += strcmp(e->type, "webhook.dropped") == 0;
}

static void open_rig(struct rig *g)
{
    struct webhook w;
    struct error err = {0};
    /* Nobody listens on port 1. */
    static const char json[] = "{\"name\":\"one\",\"url\":\"http://127.0.0.1:1/\"}";
    g->control = loop_new("control", LOOP_CONTROL);
    assert_int_equal(store_open(&(struct store_config){.dir = g->dir}, &g->store, &err), 0);
    g->events = events_new(g->control, &(struct events_config){0});
    g->listener = (struct events_listener){.on_event = on_event, .user = g};
    events_listen(g->events, &g->listener);
    g->s = webhook_service_new(&(struct webhook_service_config){
        .control = g->control, .store = g->store, .events = g->events, .outbox_max = 3});
    assert_int_equal(model_parse_json(&webhook_file_model, &w, BYTES_STR(json), NULL, &err), 0);
    webhook_service_configure(g->s, &w, 1, &(struct net_guard){0});
    webhook_done(&w);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_oldest_go_when_the_outbox_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
