/* SPDX-License-Identifier: Apache-2.0 */
/* The session with the real HTTP server, WebSocket client and engine, all on one loop that the test turns. */
#include "../engine/rig.h"

#include "io/http.h"
#include "io/ws.h"
#include "media/fmp4.h"
#include "protocol/mse/mse.h"

#define PATH "live/cam"

/* x264, 192x108 at 25 fps, High, level 1.1; and the same with another picture parameter set. */
static const uint8_t avcc[] = {
    0x01, 0x64, 0x00, 0x0b, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0b, 0xac, 0xd9, 0x43,
    0x0f, 0xfb, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c,
    0x50, 0xa6, 0x58, 0x01, 0x00, 0x05, 0x68, 0xeb, 0xec, 0xb2, 0x2c, 0xfd, 0xf8, 0xf8, 0x00,
};
static const uint8_t asc[] = {0x11, 0x90}; /* AAC-LC, 48 kHz, stereo */

#define EVENTS_MAX 4096

struct event {
    bool text;
    char *data; /* NUL-terminated copy */
    size_t len;
};

struct client {
    struct ws *ws;
    struct event events[EVENTS_MAX];
    unsigned n;
    unsigned close_after; /* events; 0 = never */
    int opens, closes, close_code;
    char why[160];
};

static void record(struct client *c, bool text, struct bytes data)
{
    assert_true(c->n < EVENTS_MAX);
    c->events[c->n++] =
        (struct event){text, mem_strndup((const char *)data.data, data.len), data.len};
    if (!text) { /* strndup stops at a zero byte */
        free(c->events[c->n - 1].data);
        c->events[c->n - 1].data = mem_memdup(data.data, data.len);
    }
    if (c->close_after && c->n == c->close_after) {
        struct ws *ws = TAKE_PTR(c->ws);
        ws_close(ws, 1000, "");
    }
}

static void client_on_text(void *user, struct bytes text)
{
    record(user, true, text);
}

static void client_on_binary(void *user, struct bytes data)
{
    record(user, false, data);
}

static void client_on_close(void *user, int code, const char *reason)
{
    struct client *c = user;
    c->closes++;
    c->close_code = code;
    snprintf(c->why, sizeof(c->why), "%s", reason);
    struct ws *ws = TAKE_PTR(c->ws);
    ws_close(ws, 1000, "");
}

static void client_on_open(void *user)
{
    struct client *c = user;
    c->opens++;
}

static void client_on_writable(void *user)
{
}

static const struct ws_ops client_ops = {
    .on_text = client_on_text,
    .on_binary = client_on_binary,
    .on_writable = client_on_writable,
    .on_close = client_on_close,
    .on_open = client_on_open,
};

/* ---- the world ---- */

struct world {
    struct loop *l;
    struct engine *e;
    struct http_server *http;
    struct source src;
    struct client c;
    /* The answerer: with hold it keeps the ticket, else it answers with result. */
    bool hold;
    int result;
    struct access_ticket *held;
    unsigned asked;
    char asked_query[64];
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
    const struct access_request *r = access_ticket_request(t);
    assert_int_equal(r->action, ACCESS_READ);
    assert_string_equal(r->protocol, "mse");
    w->asked++;
    snprintf(w->asked_query, sizeof(w->asked_query), "%s", r->query ? r->query : "");
    if (w->hold) {
        w->held = t;
    } else {
        answer(w, t);
    }
}

static void use_params(struct source *src, unsigned i, enum codec codec, struct bytes config)
{
    struct error err = {0};
    if (src->params[i]) {
        track_params_unref(&src->params[i]);
    }
    if (track_params_new(codec, config, &src->params[i], &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static struct world *begin(void)
{
    struct world *w = mem_new(struct world);
    struct error err = {0};
    w->l = loop_new("test", 0);
    w->e =
        engine_new(&(struct engine_config){.access = {.ask = on_ask, .user = w}}, w->l, &w->l, 1);
    w->http = http_server_new(&(struct http_server_config){0}, w->l);
    http_server_mount(w->http, mse_routes, mse_routes_n, w->e);
    struct listener_config lc = {.address = "127.0.0.1", .name = "test"};
    assert_int_equal(http_server_listen(w->http, &lc, &w->l, 1, &err), 0);
    source_init(&w->src, CODEC_H264, true);
    use_params(&w->src, 0, CODEC_H264, BYTES(avcc, sizeof(avcc)));
    use_params(&w->src, 1, CODEC_AAC, BYTES(asc, sizeof(asc)));
    return w;
}

static void connect_client(struct world *w, const char *path_and_query)
{
    char url[256];
    struct error err = {0};
    snprintf(url, sizeof(url), "ws://127.0.0.1:%u/%s",
             listener_port(http_server_listener(w->http, 0)), path_and_query);
    w->c.ws = ws_connect(w->l, &(struct ws_connect){.url = url, .timeout_ms = AWAIT_MAX_MS},
                         &client_ops, &w->c, &err);
    assert_non_null(w->c.ws);
    ws_set_max_message(w->c.ws, 16 << 20);
}

static void forget_events(struct client *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        free(c->events[i].data);
    }
    c->n = 0;
}

static void leave(struct world *w)
{
    if (w->c.ws) {
        struct ws *ws = TAKE_PTR(w->c.ws);
        ws_close(ws, 1000, "");
    }
    RUN_UNTIL(w->l, mse_live() == 0);
}

static void end(struct world *w)
{
    leave(w);
    forget_events(&w->c);
    source_done(&w->src);
    engine_free(w->e);
    http_server_free(w->http);
    loop_free(w->l);
    assert_no_media_lives();
    free(w);
}

/* ---- looking at what came ---- */

static bool is_text(const struct event *e, const char *part)
{
    return e->text && strstr(e->data, part);
}

static int find_text(const struct client *c, const char *part)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (is_text(&c->events[i], part)) {
            return (int)i;
        }
    }
    return -1;
}

static unsigned count_chunks(const struct client *c)
{
    unsigned n = 0;
    for (unsigned i = 0; i < c->n; i++) {
        n += !c->events[i].text && memcmp(c->events[i].data + 4, "moof", 4) == 0;
    }
    return n;
}

static unsigned chunk_track(const struct event *e)
{
    /* moof(8) mfhd(16) traf(8) tfhd: size, type, flags, then the id */
    const uint8_t *p = (const uint8_t *)e->data + 8 + 16 + 8;
    assert_memory_equal(p + 4, "tfhd", 4);
    struct rd r = rd_init(BYTES(p + 12, 4));
    return rd_u32be(&r);
}

/* Every binary message is an init segment or exactly one chunk: framing held. */
static void assert_whole_messages(const struct client *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        const struct event *e = &c->events[i];
        if (e->text) {
            assert_int_equal(e->data[0], '{');
            assert_int_equal(e->data[e->len - 1], '}');
            continue;
        }
        size_t at = 0;
        const char *second = NULL;
        for (int boxes = 0; at < e->len; boxes++) {
            struct rd r = rd_init(BYTES(e->data + at, e->len - at));
            uint32_t size = rd_u32be(&r);
            second = e->data + at + 4;
            at += size;
            assert_true(size >= 8 && boxes < 2);
        }
        assert_int_equal(at, e->len);
        assert_true(memcmp(second, "mdat", 4) == 0 || memcmp(second, "moov", 4) == 0);
    }
}

/* ---- tests ---- */

static void test_waits_then_plays(void **state)
{
    struct world *w = begin();
    connect_client(w, PATH "/mse");
    RUN_UNTIL(w->l, w->c.n > 0);
    assert_true(is_text(&w->c.events[0], "\"waiting\""));

    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 25);
    RUN_UNTIL(w->l, count_chunks(&w->c) == 50);
    int live = find_text(&w->c, "\"state\":\"live\"");
    int init = find_text(&w->c, "\"type\":\"init\"");
    assert_true(live > 0 && init > live);
    const struct event *said = &w->c.events[init];
    assert_true(is_text(said, "\"mime\":\"video/mp4; codecs=\\\"avc1.64000b,mp4a.40.2\\\"\""));
    assert_true(is_text(said, "\"width\":192,\"height\":108"));
    assert_false(w->c.events[init + 1].text);
    assert_memory_equal(w->c.events[init + 1].data + 4, "ftyp", 4);
    assert_int_equal(find_text(&w->c, "discontinuity"), -1);
    assert_int_equal(find_text(&w->c, "jumped"), -1);
    assert_whole_messages(&w->c);
    end(w);
}

static void test_only_the_tracks_asked_for(void **state)
{
    static const struct {
        const char *query;
        unsigned track;
        const char *mime;
    } cases[] = {
        {PATH "/mse?tracks=video", 1, "video/mp4; codecs=\\\"avc1.64000b\\\""},
        {PATH "/mse?tracks=audio", 2, "audio/mp4; codecs=\\\"mp4a.40.2\\\""},
        {PATH "/mse?tracks=2", 2, "audio/mp4; codecs=\\\"mp4a.40.2\\\""},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct world *w = begin();
        source_open(&w->src, w->e, w->l, PATH);
        source_frames(&w->src, w->l, 10);
        connect_client(w, cases[i].query);
        RUN_UNTIL(w->l, count_chunks(&w->c) == 10);
        assert_true(find_text(&w->c, cases[i].mime) >= 0);
        for (unsigned k = 0; k < w->c.n; k++) {
            if (!w->c.events[k].text && memcmp(w->c.events[k].data + 4, "moof", 4) == 0) {
                assert_int_equal(chunk_track(&w->c.events[k]), cases[i].track);
            }
        }
        end(w);
    }
}

static void test_history_comes_at_once_and_the_edge_is_told(void **state)
{
    struct world *w = begin();
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 18); /* the newest group has eight pictures */
    connect_client(w, PATH "/mse");
    RUN_UNTIL(w->l, count_chunks(&w->c) == 16);
    long long start = 0, edge = 0;
    const char *text = w->c.events[find_text(&w->c, "\"type\":\"init\"")].data;
    assert_int_equal(
        sscanf(strstr(text, "\"start_ms\""), "\"start_ms\":%lld,\"edge_ms\":%lld", &start, &edge),
        2);
    assert_in_range(edge - start, 279, 281); /* seven pictures of 40 ms */
    end(w);
}

static void test_start_live_waits_for_the_next_key_frame(void **state)
{
    struct world *w = begin();
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 15);
    connect_client(w, PATH "/mse?start=live");
    RUN_UNTIL(w->l, w->c.n > 0);
    settle(w->l);
    source_frames(&w->src, w->l, 4);
    settle(w->l);
    assert_int_equal(count_chunks(&w->c), 0);
    source_frames(&w->src, w->l, 5);
    RUN_UNTIL(w->l, count_chunks(&w->c) >= 7);
    assert_int_equal(find_text(&w->c, "jumped"), -1);
    end(w);
}

static void test_a_publisher_that_returns_is_a_discontinuity(void **state)
{
    struct world *w = begin();
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 10);
    connect_client(w, PATH "/mse");
    RUN_UNTIL(w->l, count_chunks(&w->c) == 20);
    forget_events(&w->c);

    w->src.p = publisher_close(w->src.p);
    RUN_UNTIL(w->l, find_text(&w->c, "\"waiting\"") >= 0);
    use_params(&w->src, 0, CODEC_H264, BYTES(avcc, sizeof(avcc))); /* another object, equal */
    source_open(&w->src, w->e, w->l, PATH);
    w->src.frame = 0;
    source_frames(&w->src, w->l, 10);
    RUN_UNTIL(w->l, count_chunks(&w->c) == 20);
    assert_true(find_text(&w->c, "\"state\":\"live\"") > 0);
    assert_true(find_text(&w->c, "\"discontinuity\",\"epoch\":2") > 0);
    assert_int_equal(find_text(&w->c, "\"init\""), -1);
    assert_int_equal(w->c.opens, 1);
    end(w);
}

static void test_other_parameters_bring_a_new_init(void **state)
{
    struct world *w = begin();
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 10);
    connect_client(w, PATH "/mse");
    RUN_UNTIL(w->l, count_chunks(&w->c) == 20);
    forget_events(&w->c);

    uint8_t other[sizeof(avcc)];
    memcpy(other, avcc, sizeof(avcc));
    other[38] ^= 0x04; /* inside the picture parameter set */
    use_params(&w->src, 0, CODEC_H264, BYTES(other, sizeof(other)));
    source_announce(&w->src);
    source_frames(&w->src, w->l, 10);
    RUN_UNTIL(w->l, count_chunks(&w->c) == 20);
    int init = find_text(&w->c, "\"init\"");
    assert_true(init >= 0);
    assert_memory_equal(w->c.events[init + 1].data + 4, "ftyp", 4);
    assert_int_equal(chunk_track(&w->c.events[init + 2]), 1);
    assert_int_equal(find_text(&w->c, "discontinuity"), -1);
    end(w);
}

static void test_refusals_come_before_the_upgrade(void **state)
{
    static const int results[] = {-EACCES, -EPERM, -ETIMEDOUT};
    for (unsigned i = 0; i < ARRAY_LEN(results); i++) {
        struct world *w = begin();
        w->result = results[i];
        connect_client(w, PATH "/mse?token=secret");
        RUN_UNTIL(w->l, w->c.closes == 1);
        assert_int_equal(w->c.opens, 0);
        assert_int_equal(w->asked, 1);
        assert_string_equal(w->asked_query, "token=secret");
        end(w);
    }
}

static void test_bad_requests_are_not_even_asked_about(void **state)
{
    static const char *const bad[] = {
        PATH "/mse?tracks=picture",
        PATH "/mse?start=yesterday",
        "live/.hidden/mse",
        "api/cam/mse",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct world *w = begin();
        connect_client(w, bad[i]);
        RUN_UNTIL(w->l, w->c.closes == 1);
        assert_int_equal(w->c.opens, 0);
        assert_int_equal(w->asked, 0);
        end(w);
    }
}

static void test_a_late_answer_opens(void **state)
{
    struct world *w = begin();
    w->hold = true;
    connect_client(w, PATH "/mse");
    RUN_UNTIL(w->l, w->held);
    assert_int_equal(w->c.opens, 0);
    assert_int_equal(mse_live(), 1);
    answer(w, TAKE_PTR(w->held));
    RUN_UNTIL(w->l, w->c.n > 0);
    assert_int_equal(w->c.opens, 1);
    end(w);
}

static void test_a_client_that_leaves_before_the_answer(void **state)
{
    struct world *w = begin();
    w->hold = true;
    connect_client(w, PATH "/mse");
    RUN_UNTIL(w->l, w->held);
    leave(w);
    answer(w, TAKE_PTR(w->held)); /* dropped */
    settle(w->l);
    end(w);
}

/* The client reads nothing while the stream goes on for more than history holds. */
static void test_a_slow_reader_is_told_and_its_framing_holds(void **state)
{
    struct world *w = begin();
    w->src.payload = 60000;
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 10);
    connect_client(w, PATH "/mse?tracks=video");
    RUN_UNTIL(w->l, count_chunks(&w->c) >= 5);
    conn_read_pause(ws_conn(w->c.ws));
    source_frames(&w->src, w->l, 900); /* 54 MB, history holds 16 MiB */
    conn_read_resume(ws_conn(w->c.ws));
    RUN_UNTIL(w->l, find_text(&w->c, "\"jumped\"") >= 0);
    unsigned at_jump = count_chunks(&w->c);
    source_frames(&w->src, w->l, 20);
    RUN_UNTIL(w->l, count_chunks(&w->c) > at_jump + 10);
    assert_whole_messages(&w->c);
    assert_int_equal(w->c.closes, 0);
    end(w);
}

static void test_leaving_at_every_event(void **state)
{
    for (unsigned n = 1; n <= 12; n++) {
        struct world *w = begin();
        w->c.close_after = n;
        connect_client(w, PATH "/mse");
        for (int i = 0; i < 400 && w->c.n == 0; i++) {
            loop_run_once(w->l, 5);
        }
        source_open(&w->src, w->e, w->l, PATH);
        for (int i = 0; i < 40 && w->c.ws; i++) {
            source_frames(&w->src, w->l, 1);
            settle(w->l);
        }
        RUN_UNTIL(w->l, !w->c.ws && mse_live() == 0);
        assert_int_equal(w->c.n, n);
        end(w);
    }
}

static void test_the_end_of_the_engine_closes_it(void **state)
{
    struct world *w = begin();
    source_open(&w->src, w->e, w->l, PATH);
    source_frames(&w->src, w->l, 5);
    connect_client(w, PATH "/mse");
    RUN_UNTIL(w->l, count_chunks(&w->c) == 10);
    w->e = engine_free(w->e);
    RUN_UNTIL(w->l, w->c.closes == 1);
    assert_int_equal(w->c.close_code, 1001);
    end(w);
}

int main(void)
{
    media_register_forms();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_then_plays),
        cmocka_unit_test(test_only_the_tracks_asked_for),
        cmocka_unit_test(test_history_comes_at_once_and_the_edge_is_told),
        cmocka_unit_test(test_start_live_waits_for_the_next_key_frame),
        cmocka_unit_test(test_a_publisher_that_returns_is_a_discontinuity),
        cmocka_unit_test(test_other_parameters_bring_a_new_init),
        cmocka_unit_test(test_refusals_come_before_the_upgrade),
        cmocka_unit_test(test_bad_requests_are_not_even_asked_about),
        cmocka_unit_test(test_a_late_answer_opens),
        cmocka_unit_test(test_a_client_that_leaves_before_the_answer),
        cmocka_unit_test(test_a_slow_reader_is_told_and_its_framing_holds),
        cmocka_unit_test(test_leaving_at_every_event),
        cmocka_unit_test(test_the_end_of_the_engine_closes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
