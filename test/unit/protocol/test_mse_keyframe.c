/* SPDX-License-Identifier: Apache-2.0 */
/* The route with the real HTTP server and client and the engine, all on one loop that the test turns. */
#include "../engine/rig.h"

#include "io/http.h"
#include "io/http_client.h"
#include "media/fmp4.h"
#include "protocol/mse/mse.h"
#include "protocol/mse/mse_keyframe.h"

#define PATH "live/cam"

/* x264, 192x108 at 25 fps, High, level 1.1. */
static const uint8_t avcc[] = {
    0x01, 0x64, 0x00, 0x0b, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0b, 0xac, 0xd9, 0x43,
    0x0f, 0xfb, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c,
    0x50, 0xa6, 0x58, 0x01, 0x00, 0x05, 0x68, 0xeb, 0xec, 0xb2, 0x2c, 0xfd, 0xf8, 0xf8, 0x00,
};

struct world {
    struct loop *l;
    struct engine *e;
    struct http_server *http;
    struct http_client *client;
    struct source src;
    char events[64];
    /* The answerer. */
    bool hold;
    int result;
    struct access_ticket *held;
    unsigned asked;
    /* The last reply. */
    unsigned replies;
    int status;
    char etag[64];
    char cache[64];
    uint8_t body[4096];
    size_t len;
};

static void answer(struct world *w, struct access_ticket *t)
{
    struct access_answer a = {.result = w->result};
    snprintf(a.path, sizeof(a.path), "%s", access_ticket_request(t)->path);
    if (w->result < 0) {
        error_set(&a.err, w->result, "", "not this one");
    }
    access_reply(t, &a);
}

static void on_ask(void *user, struct access_ticket *t)
{
    struct world *w = user;
    assert_int_equal(access_ticket_request(t)->action, ACCESS_READ);
    assert_string_equal(access_ticket_request(t)->path, PATH);
    w->asked++;
    if (w->hold) {
        w->held = t;
    } else {
        answer(w, t);
    }
}

static void on_event(void *user, enum stream_event event, const char *path, const char *session,
                     const char *reason)
{
    struct world *w = user;
    size_t n = strlen(w->events);
    w->events[n] = "PRLEjl"[event];
}

static struct world *begin(enum codec codec)
{
    struct world *w = mem_new(struct world);
    struct error err = {0};
    log_configure("error", false);
    w->l = loop_new("test", 0);
    w->e =
        engine_new(&(struct engine_config){.access = {.ask = on_ask, .user = w}}, w->l, &w->l, 1);
    engine_set_event_fn(w->e, on_event, w);
    w->http = http_server_new(&(struct http_server_config){0}, w->l);
    http_server_mount(w->http, mse_routes, mse_routes_n, w->e);
    w->client = http_client_new(w->l, &(struct http_client_config){0});
    struct listener_config lc = {.address = "127.0.0.1", .name = "test"};
    assert_int_equal(http_server_listen(w->http, &lc, &w->l, 1, &err), 0);
    source_init(&w->src, codec, codec == CODEC_H264);
    if (codec == CODEC_H264) {
        track_params_unref(&w->src.params[0]);
        assert_int_equal(
            track_params_new(codec, BYTES(avcc, sizeof(avcc)), &w->src.params[0], &err), 0);
    }
    return w;
}

static void end(struct world *w)
{
    w->client = http_client_free(w->client);
    source_done(&w->src);
    settle(w->l);
    engine_free(w->e);
    http_server_free(w->http);
    loop_free(w->l);
    assert_no_media_lives();
    free(w);
}

static void on_done(void *user, const struct http_result *result)
{
    struct world *w = user;
    const char *etag = result->status ? http_result_header(result, "etag") : NULL;
    const char *cache = result->status ? http_result_header(result, "cache-control") : NULL;
    w->replies++;
    w->status = result->status;
    snprintf(w->etag, sizeof(w->etag), "%s", etag ? etag : "");
    snprintf(w->cache, sizeof(w->cache), "%s", cache ? cache : "");
    assert_true(result->body.len <= sizeof(w->body));
    w->len = result->body.len;
    memcpy(w->body, result->body.data, w->len);
}

static struct http_call *start(struct world *w, const char *if_none_match)
{
    static const struct http_call_ops ops = {.on_done = on_done};
    char url[128];
    char header[96];
    struct error err = {0};
    struct http_call *call;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/" PATH "/keyframe.mp4",
             listener_port(http_server_listener(w->http, 0)));
    snprintf(header, sizeof(header), "If-None-Match: %s", if_none_match ? if_none_match : "");
    const char *const headers[] = {if_none_match ? header : NULL, NULL};
    struct http_call_spec spec = {.url = url, .headers = headers};
    assert_int_equal(http_client_start(w->client, &spec, &ops, w, &call, &err), 0);
    return call;
}

static int get(struct world *w, const char *if_none_match)
{
    unsigned before = w->replies;
    start(w, if_none_match);
    RUN_UNTIL(w->l, w->replies > before);
    return w->status;
}

/* The payload of the box of this type in b, which is a list of boxes. */
static struct bytes find_box(struct bytes b, const char *type)
{
    while (b.len >= 8) {
        struct rd r = rd_init(b);
        uint32_t size = rd_u32be(&r);
        assert_in_range(size, 8, b.len);
        if (memcmp(b.data + 4, type, 4) == 0) {
            return BYTES(b.data + 8, size - 8);
        }
        b = BYTES(b.data + size, b.len - size);
    }
    fail_msg("no %s", type);
    return b;
}

static void test_the_newest_key_frame_at_time_zero(void **state)
{
    struct world *w = begin(CODEC_H264);
    source_open(&w->src, w->e, w->l, PATH);
    w->src.payload = 111;
    source_frames(&w->src, w->l, GOP_FRAMES);
    w->src.payload = 222;
    source_frames(&w->src, w->l, 5); /* the second group began with it */
    assert_int_equal(get(w, NULL), 200);
    assert_string_equal(w->cache, "private, max-age=1");
    struct bytes file = BYTES(w->body, w->len);
    find_box(file, "ftyp");
    find_box(file, "moov");
    assert_int_equal(find_box(file, "mdat").len, 222);
    struct bytes tfdt = find_box(find_box(find_box(file, "moof"), "traf"), "tfdt");
    static const uint8_t zero[8];
    assert_int_equal(tfdt.len, 12);
    assert_memory_equal(tfdt.data + 4, zero, 8);
    assert_int_equal(w->asked, 1);
    end(w);
}

static void test_it_is_no_viewer(void **state)
{
    struct world *w = begin(CODEC_H264);
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 5);
    assert_int_equal(get(w, NULL), 200);
    struct engine_gauges g;
    engine_gauges(w->e, &g);
    assert_int_equal(g.readers, 0);
    assert_int_equal(g.reads_total, 0);
    settle(w->l);
    assert_string_equal(w->events, "PR"); /* published, ready; nobody joined or left */
    end(w);
}

static void test_nothing_new_is_not_sent_again(void **state)
{
    struct world *w = begin(CODEC_H264);
    char etag[64];
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 3);
    assert_int_equal(get(w, NULL), 200);
    snprintf(etag, sizeof(etag), "%s", w->etag);
    assert_int_equal(get(w, etag), 304);
    assert_int_equal(w->len, 0);
    source_frames(&w->src, w->l, GOP_FRAMES);
    assert_int_equal(get(w, etag), 200);
    assert_string_not_equal(w->etag, etag);
    end(w);
}

static void test_none_is_404_or_503(void **state)
{
    struct world *w = begin(CODEC_H264);
    assert_int_equal(get(w, NULL), 404); /* nobody publishes */
    source_open(&w->src, w->e, w->l, PATH);
    settle(w->l);
    assert_int_equal(get(w, NULL), 503); /* no key frame yet */
    source_frames(&w->src, w->l, 1);
    assert_int_equal(get(w, NULL), 200);
    w->src.p = publisher_close(w->src.p);
    settle(w->l);
    assert_int_equal(get(w, NULL), 503); /* the window runs: what history has is not live */
    end(w);
}

static void test_sound_alone_has_none(void **state)
{
    struct world *w = begin(CODEC_AAC);
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 30);
    assert_int_equal(get(w, NULL), 503);
    end(w);
}

static void test_refusals(void **state)
{
    static const struct {
        int result;
        int status;
    } cases[] = {{-EPERM, 401}, {-EACCES, 403}, {-EBUSY, 429}, {-ETIMEDOUT, 503}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = begin(CODEC_H264);
        source_open(&w->src, w->e, w->l, PATH);
        source_frames(&w->src, w->l, 3);
        w->result = cases[i].result;
        assert_int_equal(get(w, NULL), cases[i].status);
        end(w);
    }
}

static void test_a_client_that_leaves_before_the_answer(void **state)
{
    struct world *w = begin(CODEC_H264);
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 3);
    w->hold = true;
    struct http_call *call = start(w, NULL);
    RUN_UNTIL(w->l, w->held);
    http_call_cancel(call);
    RUN_UNTIL(w->l, http_server_live(w->http) == 0);
    answer(w, TAKE_PTR(w->held)); /* dropped */
    settle(w->l);
    assert_int_equal(w->replies, 0);
    end(w);
}

static void test_the_pace_is_bounded(void **state)
{
    atomic_uint_fast64_t pace = 0;
    for (int64_t second = 5; second < 8; second++) {
        for (int i = 0; i < MSE_KEYFRAMES_PER_SECOND; i++) {
            assert_true(mse_pace_take(&pace, second * NS_PER_S + i));
        }
        assert_false(mse_pace_take(&pace, second * NS_PER_S + NS_PER_S / 2));
        assert_false(mse_pace_take(&pace, second * NS_PER_S + NS_PER_S - 1));
    }
}

int main(void)
{
    media_register_forms();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_newest_key_frame_at_time_zero),
        cmocka_unit_test(test_it_is_no_viewer),
        cmocka_unit_test(test_nothing_new_is_not_sent_again),
        cmocka_unit_test(test_none_is_404_or_503),
        cmocka_unit_test(test_sound_alone_has_none),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_client_that_leaves_before_the_answer),
        cmocka_unit_test(test_the_pace_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
