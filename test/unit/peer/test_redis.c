/* SPDX-License-Identifier: Apache-2.0 */
/* The client of Redis: replies in pieces and beyond all bounds, a real redis-server, and one that breaks every rule. */
#include "../unit.h"

#include "real_redis.h"

#include "../await.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/conn.h"
#include "peer/redis/redis.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

/* Of all that is fed, in parts of so many bytes: the error, or 0; ret: the last reply. */
static int read_parts(const char *text, size_t len, size_t part, struct redis_reply **ret)
{
    struct redis_reader *r = redis_reader_new();
    struct error err = {0};
    int res = 0;
    *ret = NULL;
    for (size_t at = 0; at < len && res >= 0; at += part) {
        res = redis_reader_feed(r, BYTES(text + at, MIN(part, len - at)), &err);
        while (res >= 0) {
            struct redis_reply *reply;
            res = redis_reader_next(r, &reply, &err);
            if (res < 0 || !reply) {
                break;
            }
            redis_reply_free(*ret);
            *ret = reply;
        }
    }
    assert_int_equal(res, err.code);
    redis_reader_free(r);
    return res;
}

static void test_replies_in_pieces(void **state)
{
    static const char text[] =
        "*6\r\n+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\nb\0\r\n$-1\r\n*2\r\n$4\r\nname\r\n$2\r\n17\r\n";
    for (size_t part = 1; part < sizeof(text); part++) {
        struct redis_reply *reply;
        assert_int_equal(read_parts(text, sizeof(text) - 1, part, &reply), 0);
        assert_non_null(reply);
        assert_int_equal(reply->type, REDIS_ARRAY);
        assert_int_equal(reply->n, 6);
        assert_int_equal(redis_item(reply, 0)->type, REDIS_STATUS);
        assert_string_equal(redis_item(reply, 0)->text, "OK");
        assert_int_equal(redis_item(reply, 1)->type, REDIS_FAILED);
        assert_string_equal(redis_item(reply, 1)->text, "ERR no");
        assert_int_equal(redis_int(redis_item(reply, 2), 0), -42);
        assert_int_equal(redis_item(reply, 3)->len, 5);
        assert_memory_equal(redis_item(reply, 3)->text, "a\r\nb", 5);
        assert_int_equal(redis_item(reply, 4)->type, REDIS_NIL);
        assert_int_equal(redis_int(redis_item(reply, 4), 7), 7);
        assert_int_equal(redis_int(redis_named(redis_item(reply, 5), "name"), 0), 17);
        assert_int_equal(redis_named(redis_item(reply, 5), "17")->type, REDIS_NIL);
        assert_int_equal(redis_item(reply, 6)->type, REDIS_NIL);
        redis_reply_free(reply);
    }
}

static void test_beyond_the_bounds(void **state)
{
    static const struct {
        const char *text;
        int r;
    } bad[] = {
        {"HTTP/1.1 400 Bad Request\r\n", -EPROTO},
        {"*65537\r\n", -ENOBUFS},
        {"*2147483647\r\n", -ENOBUFS},
        {"*2147483648\r\n", -EPROTO},
        {"*-2\r\n", -EPROTO},
        {"*40000\r\n*40000\r\n", -ENOBUFS},
        {"$-2\r\n", -EPROTO},
        {"$99999999999999999999\r\n", -EPROTO},
        {":12x\r\n", -EPROTO},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", -EPROTO},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct redis_reply *reply;
        int r = read_parts(bad[i].text, strlen(bad[i].text), 7, &reply);
        if (r != bad[i].r) {
            fail_msg("%s: %d", bad[i].text, r);
        }
        assert_null(reply);
    }
}

/* What is announced costs nothing; what comes is held until it is too much. */
static void test_a_bulk_without_end(void **state)
{
    struct redis_reader *r = redis_reader_new();
    struct redis_reply *reply;
    struct error err = {0};
    size_t fed = 0;
    int res = redis_reader_feed(r, BYTES_STR("$4000000000\r\n"), &err);
    _cleanup_free_ uint8_t *part = mem_zalloc(1 << 16);
    while (res >= 0) {
        assert_int_equal(redis_reader_next(r, &reply, &err), 0);
        assert_null(reply);
        res = redis_reader_feed(r, BYTES(part, 1 << 16), &err);
        fed += 1 << 16;
        assert_true(fed <= REDIS_REPLY_MAX + (1 << 16));
    }
    assert_int_equal(res, -ENOBUFS);
    redis_reader_free(r);
}

static void test_no_memory(void **state)
{
    static const char text[] = "*3\r\n$3\r\nabc\r\n*1\r\n:1\r\n$-1\r\n";
    int r = -1;
    for (long n = 0; r != 0; n++) {
        struct redis_reply *reply;
        assert_true(n < 20);
        mem_fail_after(n);
        r = read_parts(text, sizeof(text) - 1, 1000, &reply);
        mem_fail_after(-1);
        assert_true(r == 0 || r == -ENOMEM);
        assert_int_equal(reply != NULL, r == 0);
        redis_reply_free(reply);
    }
}

/* ---- the client ---- */

struct rig {
    struct loop *l;
    struct redis *r;
    int states[3]; /* how often each was told */
    int last;      /* of the newest answer */
    int answers;
    char text[512];
    char order[64];
    struct error why;
    bool free_in_answer;
};

static void on_state(void *user, enum redis_state state, const struct error *err)
{
    struct rig *g = user;
    g->states[state]++;
    g->why = *err;
}

static void on_answer(void *user, int r, const struct redis_reply *reply, const struct error *err)
{
    struct rig *g = user;
    g->answers++;
    g->last = r;
    snprintf(g->text, sizeof(g->text), "%s", r < 0 ? err->text : reply->text);
    size_t n = strlen(g->order);
    if (n + 1 < sizeof(g->order)) {
        g->order[n] = r < 0 ? '!' : reply->text[0];
    }
    if (g->free_in_answer) {
        g->r = redis_free(g->r);
    }
}

static void start(struct rig *g, const char *url, unsigned timeout_ms)
{
    struct error err = {0};
    g->r = redis_new(
        &(struct redis_config){
            .loop = g->l, .url = url, .timeout_ms = timeout_ms, .on_state = on_state, .user = g},
        &err);
    if (!g->r) {
        fail_msg("%s", err.text);
    }
}

static void ask(struct rig *g, const char *a, const char *b, const char *c)
{
    const struct bytes args[] = {BYTES_STR(a), BYTES_STR(b ? b : ""), BYTES_STR(c ? c : "")};
    int before = g->answers;
    redis_command(g->r, args, c ? 3 : b ? 2 : 1, 0, on_answer, g);
    assert_int_equal(g->answers, before);
}

static struct rig *rig_new(void)
{
    struct rig *g = mem_new(struct rig);
    g->l = loop_new("control", LOOP_CONTROL);
    return g;
}

static void rig_free(struct rig *g)
{
    redis_free(g->r);
    loop_free(g->l);
    free(g);
}

static void test_a_real_one(void **state)
{
    static struct redis_script script = {.text = "return {KEYS[1], ARGV[1]}"};
    struct rig *g = rig_new();
    struct real_redis *s = real_redis_start(g->l, NULL, NULL);
    _cleanup_free_ char *url = mem_printf("%s/3", real_redis_url(s));
    start(g, url, 0);
    /* Before it is there, and in order. */
    ask(g, "SET", "k", "1st");
    ask(g, "GET", "k", NULL);
    ask(g, "NOSUCH", NULL, NULL);
    ask(g, "LPUSH", "k", "x");
    ask(g, "SET", "k", "2nd");
    ask(g, "GET", "k", NULL);
    RUN_UNTIL(g->l, g->answers == 6);
    assert_string_equal(g->order, "O1!!O2");
    assert_int_equal(g->states[REDIS_UP], 1);
    _cleanup_free_ char *there = real_redis_ask(s, "-n 3 get k");
    assert_string_equal(there, "2nd");
    /* A script that is not there is sent whole, once. */
    const struct bytes args[] = {BYTES_STR("key"), BYTES_STR("a\r\nb")};
    for (int i = 0; i < 3; i++) {
        if (i == 2) {
            free(real_redis_ask(s, "script flush"));
        }
        int before = g->answers;
        redis_eval(g->r, &script, 1, args, 2, on_answer, g);
        RUN_UNTIL(g->l, g->answers > before);
        assert_int_equal(g->last, 0);
    }
    assert_int_equal(strlen(script.sha), 40);
    /* An asker who is gone. */
    int before = g->answers;
    const struct bytes ping = BYTES_STR("PING");
    redis_forget(redis_command(g->r, &ping, 1, 0, on_answer, g));
    ask(g, "PING", NULL, NULL);
    RUN_UNTIL(g->l, g->answers > before);
    assert_int_equal(g->answers, before + 1);
    /* As many at once as there may be. */
    before = g->answers;
    for (int i = 0; i < REDIS_CALLS_MAX; i++) {
        redis_eval(g->r, &script, 1, args, 2, on_answer, g);
    }
    RUN_UNTIL(g->l, g->answers == before + REDIS_CALLS_MAX);
    assert_int_equal(g->last, 0);
    assert_int_equal(g->states[REDIS_WAITING], 0);
    /* Killed: told, answered at once, and found again. */
    real_redis_kill(s);
    RUN_UNTIL(g->l, g->states[REDIS_WAITING] > 0);
    before = g->answers;
    ask(g, "PING", NULL, NULL);
    RUN_UNTIL(g->l, g->answers > before);
    assert_int_equal(g->last, -EAGAIN);
    real_redis_again(s);
    RUN_UNTIL(g->l, redis_state(g->r) == REDIS_UP);
    before = g->answers;
    ask(g, "GET", "k", NULL);
    RUN_UNTIL(g->l, g->answers > before);
    assert_string_equal(g->text, "2nd");
    g->free_in_answer = true;
    ask(g, "PING", NULL, NULL);
    ask(g, "PING", NULL, NULL);
    RUN_UNTIL(g->l, !g->r);
    assert_int_equal(g->answers, before + 2);
    real_redis_stop(s);
    rig_free(g);
}

static char logged[8192];

static void on_line(void *user, enum log_level level, const char *name, const char *text)
{
    size_t n = strlen(logged);
    snprintf(logged + n, sizeof(logged) - n, "%s\n", text);
}

static void test_a_wrong_password(void **state)
{
    struct rig *g = rig_new();
    struct real_redis *s = real_redis_start(g->l, NULL, "s3cr3t-right");
    static const char *const users[] = {":s3cr3t-wrong@", "bob:s3cr3t-wrong@", "", ":s3cr3t-right@",
                                        "default:s3cr3t-right@"};
    log_set_sink(on_line, NULL);
    for (unsigned i = 0; i < 5; i++) {
        _cleanup_free_ char *url =
            mem_printf("redis://%s127.0.0.1:%u", users[i], real_redis_port(s));
        int before = g->answers;
        start(g, url, 0);
        ask(g, "PING", NULL, NULL);
        RUN_UNTIL(g->l, g->answers > before);
        assert_int_equal(g->last, i < 3 ? -EACCES : 0);
        assert_int_equal(redis_state(g->r), i < 3 ? REDIS_WAITING : REDIS_UP);
        assert_non_null(strstr(g->text, i < 2 ? "WRONGPASS" : i < 3 ? "NOAUTH" : "PONG"));
        g->r = redis_free(g->r);
    }
    log_set_sink(NULL, NULL);
    assert_non_null(strstr(logged, "WRONGPASS"));
    assert_null(strstr(logged, "s3cr3t"));
    real_redis_stop(s);
    rig_free(g);
}

static void test_urls(void **state)
{
    struct loop *l = loop_new("control", LOOP_CONTROL);
    static const char *const bad[] = {"http://h",   "redis://h/x",      "redis://h/0/1",
                                      "rediss://h", "redis://h/123456", "jobs"};
    for (unsigned i = 0; i < 6; i++) {
        struct error err = {0};
        assert_null(redis_new(&(struct redis_config){.loop = l, .url = bad[i]}, &err));
        assert_int_equal(err.code, -EINVAL);
    }
    loop_free(l);
}

/* ---- one that breaks every rule ---- */

struct fake {
    struct listener *listener;
    struct conn *conn;
    const char *says; /* to whatever comes; NULL = nothing */
    int conns;
    char url[64];
};

static void fake_read(void *user, struct bytes data)
{
    struct fake *f = user;
    if (f->says) {
        conn_send_bytes(f->conn, BYTES_STR(f->says));
    }
}

static void fake_closed(void *user, int r, const struct error *err)
{
    struct fake *f = user;
    conn_close(f->conn);
    f->conn = NULL;
}

static void fake_accept(void *user, struct conn *c)
{
    static const struct conn_ops fake_ops = {.on_read = fake_read, .on_close = fake_closed};
    struct fake *f = user;
    if (f->conn) {
        conn_close(f->conn);
    }
    f->conn = c;
    f->conns++;
    conn_set_ops(c, &fake_ops, f);
}

static void fake_start(struct fake *f, struct loop *l)
{
    struct error err = {0};
    f->listener = listener_open(&(struct listener_config){.address = "127.0.0.1", .name = "fake"},
                                &l, 1, fake_accept, f, &err);
    assert_non_null(f->listener);
    snprintf(f->url, sizeof(f->url), "redis://127.0.0.1:%u", listener_port(f->listener));
}

static void fake_stop(struct fake *f)
{
    listener_close(f->listener);
    if (f->conn) {
        conn_close(f->conn);
    }
}

/* Each ends the connection, is told, and all that was asked is answered. */
static void test_hostile_replies(void **state)
{
    static const char *const says[] = {
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "*1000000000\r\n",
        "+PONG\r\n*1000000000\r\n",
        "+PONG\r\n+one\r\n+and one that nobody asked for\r\n+another\r\n",
        "-ERR max number of clients reached\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-NOSCRIPT\x01\x02\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        "$-7\r\n",
    };
    for (unsigned i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
        struct rig *g = rig_new();
        struct fake f = {.says = says[i]};
        fake_start(&f, g->l);
        start(g, f.url, 0);
        ask(g, "GET", "k", NULL);
        RUN_UNTIL(g->l, g->states[REDIS_WAITING] > 0 && g->answers > 0);
        assert_true(g->why.text[0]);
        assert_null(strchr(g->why.text, '\x01'));
        assert_int_equal(g->why.code, -EAGAIN);
        RUN_UNTIL(g->l, f.conns > 1); /* and is tried again */
        g->r = redis_free(g->r);
        fake_stop(&f);
        rig_free(g);
    }
}

static void test_silence(void **state)
{
    struct rig *g = rig_new();
    struct fake f = {0};
    fake_start(&f, g->l);
    start(g, f.url, 100);
    ask(g, "GET", "k", NULL);
    RUN_UNTIL(g->l, g->answers > 0);
    assert_int_equal(g->last, -EAGAIN);
    assert_non_null(strstr(g->text, "does not answer"));
    g->r = redis_free(g->r);
    fake_stop(&f);
    rig_free(g);
}

/* While it is away commands cost nothing, and the waits between tries grow. */
static void test_nobody_there(void **state)
{
    struct rig *g = rig_new();
    struct fake f = {0};
    fake_start(&f, g->l);
    fake_stop(&f); /* the port of nobody */
    start(g, f.url, 0);
    int64_t begun = clock_mono_ns();
    RUN_UNTIL(g->l, g->states[REDIS_WAITING] >= 4);
    /* At least half of 250, 500 and 1000 ms. */
    assert_true(clock_mono_ns() - begun >= 875 * NS_PER_MS);
    rig_free(g);
}

static void test_too_much_under_way(void **state)
{
    struct rig *g = rig_new();
    struct fake f = {0};
    fake_start(&f, g->l);
    start(g, f.url, 0);
    const struct bytes args = BYTES_STR("PING");
    for (int i = 0; i < REDIS_CALLS_MAX + 3; i++) {
        redis_command(g->r, &args, 1, 0, on_answer, g);
    }
    RUN_UNTIL(g->l, g->answers > 0);
    assert_int_equal(g->answers, 3);
    assert_int_equal(g->last, -EAGAIN);
    g->r = redis_free(g->r);
    fake_stop(&f);
    rig_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies_in_pieces),
        cmocka_unit_test(test_beyond_the_bounds),
        cmocka_unit_test(test_a_bulk_without_end),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_a_real_one),
        cmocka_unit_test(test_a_wrong_password),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_hostile_replies),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_too_much_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
