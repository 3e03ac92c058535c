/* SPDX-License-Identifier: Apache-2.0 */
/* A session of the embedder's own that answers when the test wants it; no Janus is there. */
#include "../unit.h"

#include "../await.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <mast/mast.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

struct world {
    struct mast *mast;
    struct mast_orchestrator *orchestrator;
    atomic_int asked, freed;
    int freed_r;
};

static void on_freed(void *user, const struct mast_reply *reply)
{
    struct world *w = user;
    w->freed_r = reply->r;
    atomic_fetch_add(&w->freed, 1);
}

static void attach(void *user, struct mast_janus_seat *seat, const char *plugin)
{
    mast_janus_attached(seat);
}

/* There is no mountpoint; whether one comes is never told. */
static void ask(void *user, struct mast_janus_seat *seat, struct mast_janus_call *call,
                const char *body)
{
    struct world *w = user;
    if (strstr(body, "\"create\"")) {
        atomic_fetch_add(&w->asked, 1);
    } else if (strstr(body, "\"info\"")) {
        mast_janus_answer(call, "{\"janus\":\"success\",\"plugindata\":{\"plugin\":\"p\",\"data\":{"
                                "\"error_code\":455,\"error\":\"No such mountpoint\"}}}");
    }
}

static void detach(void *user, struct mast_janus_seat *seat)
{
}

static const struct mast_janus_backend silent = {.attach = attach, .ask = ask, .detach = detach};

static void open_world(struct world *w, const struct mast_janus_backend *backend)
{
    const struct mast_janus_server server = {.backend = backend, .backend_user = w};
    const struct mast_orchestrator_config config = {.janus = &server, .n_janus = 1};
    w->mast = mast_new(&(struct mast_config){.stop_ms = 10, .log_level = MAST_LOG_ERROR});
    assert_int_equal(mast_orchestrator_new(w->mast, &config, &w->orchestrator, NULL), 0);
}

static const char frontend[] =
    "{\"id\":\"one\",\"source_kind\":\"frontend_owned\",\"mountpoint_spec\":{\"id\":9001,\"media\":[{"
    "\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]}}";

/* What was asked may have happened: it is waited for as long as the embedder wants, not for less than a second. */
static void test_the_longest_deadline(void **state)
{
    struct world w = {0};
    open_world(&w, &silent);
    mast_broadcast_start(w.orchestrator, frontend, NULL, NULL);
    WAIT_UNTIL(atomic_load(&w.asked) > 0);
    mast_orchestrator_free(w.orchestrator, UINT_MAX, on_freed, &w);
    int64_t until = clock_mono_ns() + 1300 * NS_PER_MS;
    while (clock_mono_ns() < until) {
        assert_int_equal(atomic_load(&w.freed), 0);
        usleep(10000);
    }
    (void)mast_free(w.mast);
    assert_int_equal(atomic_load(&w.freed), 1);
    assert_int_equal(w.freed_r, -ETIMEDOUT);
}

/* ---- a handle that is lost while more is to be asked of it ---- */

struct lost {
    struct world w; /* first: the same user */
    atomic_bool held, go;
    atomic_int late; /* asked or detached after it was said that the handle is gone */
    atomic_int told;
};

static void attach_once(void *user, struct mast_janus_seat *seat, const char *plugin)
{
    struct lost *l = user;
    if (atomic_load(&l->told) == 0) {
        mast_janus_attached(seat);
    }
}

static void lose(void *user, struct mast_janus_seat *seat, struct mast_janus_call *call,
                 const char *body)
{
    struct lost *l = user;
    if (mast_janus_seat_own(seat) == l) {
        atomic_fetch_add(&l->late, 1);
        return;
    }
    mast_janus_seat_set(seat, l);
    mast_janus_detached(seat, "the session was lost");
    atomic_fetch_add(&l->told, 1);
}

static void detach_lost(void *user, struct mast_janus_seat *seat)
{
    struct lost *l = user;
    atomic_fetch_add(&l->late, mast_janus_seat_own(seat) == l);
}

static const struct mast_janus_backend losing = {
    .attach = attach_once, .ask = lose, .detach = detach_lost};

/* Keeps the control thread, so that what is posted meanwhile is done in one pass. */
static void hold(void *user, const struct mast_reply *reply)
{
    struct lost *l = user;
    atomic_store(&l->held, true);
    while (!atomic_load(&l->go)) {
        usleep(1000);
    }
}

static void test_nothing_is_asked_of_a_handle_that_is_gone(void **state)
{
    struct lost l = {0};
    open_world(&l.w, &losing);
    mast_broadcast_list(l.w.orchestrator, hold, &l);
    WAIT_UNTIL(atomic_load(&l.held));
    for (unsigned i = 0; i < 3; i++) {
        _cleanup_free_ char *json = mem_printf(
            "{\"source_kind\":\"frontend_owned\",\"mountpoint_spec\":{\"id\":%u,\"media\":[{"
            "\"type\":\"video\",\"mid\":\"v\",\"port\":0,\"pt\":96,\"codec\":\"h264\"}]}}",
            9001 + i);
        mast_broadcast_start(l.w.orchestrator, json, NULL, NULL);
    }
    atomic_store(&l.go, true);
    WAIT_UNTIL(atomic_load(&l.told) > 0);
    (void)mast_free(l.w.mast);
    assert_int_equal(atomic_load(&l.late), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_deadline),
        cmocka_unit_test(test_nothing_is_asked_of_a_handle_that_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
