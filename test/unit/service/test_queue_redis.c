/* SPDX-License-Identifier: Apache-2.0 */
/* The queue in a real Redis: the common suite, and what is its own. */
#include "queue_suite.h"

#include "../peer/real_redis.h"
#include "../store/folder.h"
#include "io/tls.h"
#include "service/job/queue_redis.h"

struct rig {
    struct suite suite;
    struct real_redis *redis;
};

static struct queue *open_queue(struct rig *g, const char *more)
{
    struct error err = {0};
    _cleanup_free_ char *url = mem_printf("%s%s", real_redis_url(g->redis), more);
    struct queue *q = queue_redis_new(
        &(struct queue_redis_config){.control = g->suite.l, .url = url, .keep = 5}, &err);
    if (!q) {
        fail_msg("%s", err.text);
    }
    return q;
}

static int begin(void **state)
{
    struct rig *g = mem_new(struct rig);
    g->suite.l = loop_new("control", LOOP_CONTROL);
    g->redis = real_redis_start(g->suite.l, NULL, NULL);
    *state = g;
    return 0;
}

static int end(void **state)
{
    struct rig *g = *state;
    real_redis_stop(g->redis);
    loop_free(g->suite.l);
    free(g);
    return 0;
}

/* redis-cli, with what it must say; NULL = anything. */
static void cli(struct rig *g, const char *words, const char *expected)
{
    _cleanup_free_ char *said = real_redis_ask(g->redis, words);
    if (expected && !strstr(said, expected)) {
        fail_msg("redis-cli %s: %s", words, said);
    }
}

static int setup(void **state)
{
    struct rig *g = *state;
    struct suite s = {.l = g->suite.l};
    g->suite = s;
    cli(g, "flushall", "OK");
    g->suite.q = open_queue(g, "/0?stream=jobs");
    return 0;
}

static int teardown(void **state)
{
    struct rig *g = *state;
    suite_forget(&g->suite);
    g->suite.q = queue_free(g->suite.q);
    return 0;
}

#define X(name)                                                                                    \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        name(&((struct rig *)*state)->suite);                                                      \
    }
SUITE_TESTS(X)
#undef X

/* ---- when Redis goes away ---- */

static void on_away(void *user, int r, const struct queue_result *res)
{
    struct suite *s = user;
    s->answers++;
    s->r = r;
    snprintf(s->text, sizeof(s->text), "%s", r < 0 ? res->err.text : "");
    s->ready = res->stats->ready;
    s->lag = res->stats->lag;
    s->dead = res->stats->dead;
}

static int ask_stats_away(struct suite *s)
{
    int before = s->answers;
    queue_stats(s->q, on_away, s);
    RUN_UNTIL(s->l, s->answers > before);
    return s->r;
}

static void test_killed_and_started_again(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    const struct queue_settle done = {.outcome = QUEUE_DONE};
    char receipt[96];
    assert_int_equal(suite_own(s, "br_1", "w1", LEASE), 0);
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "b"), 0);
    assert_int_equal(suite_claim(s, "w1", 2, 0, LEASE), 2);
    snprintf(receipt, sizeof(receipt), "%s", s->receipts[0]);
    assert_true(job_failed(&s->jobs[1], "later", false, clock_wall_ns()));
    s->jobs[1].not_before = clock_wall_ns() + 3600 * NS_PER_S;
    assert_int_equal(suite_settle(s, 1, QUEUE_RETRY), 0);
    assert_int_equal(suite_put(s, "c"), 0);
    /* One that waits is told, too. */
    assert_int_equal(suite_claim(s, "w2", 1, 0, LEASE), 1);
    int before = s->answers;
    queue_claim(s->q, "w2", 1, 600000, LEASE, suite_on_answer, s);
    RUN_FOR(s->l, 50);
    real_redis_kill(g->redis);
    RUN_UNTIL(s->l, s->answers > before);
    assert_int_equal(s->r, -EAGAIN);
    assert_int_equal(ask_stats_away(s), -EAGAIN);
    assert_int_equal(s->ready, -1);
    assert_int_equal(s->lag, -1);
    assert_int_equal(s->dead, -1);
    assert_true(s->text[0]);
    assert_int_equal(suite_put(s, "d"), -EAGAIN);
    assert_int_equal(ASK(s, settle, receipt, &done), -EAGAIN);
    real_redis_again(g->redis);
    while (ask_stats_away(s) != 0) {
        loop_run_once(s->l, 20);
    }
    ASK(s, stats);
    assert_int_equal(s->claimed, 2);
    assert_int_equal(s->scheduled, 1);
    assert_int_equal(s->ready, 0);
    assert_int_equal(ASK(s, settle, receipt, &done), 0);
    assert_int_equal(suite_put(s, "d"), 0);
    assert_int_equal(suite_claim(s, "w2", 1, 600000, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "d");
    ASK(s, owner_of, "br_1");
    assert_string_equal(s->owner, "w1");
}

/* ---- what others do to the stream ---- */

static void put_five(struct suite *s)
{
    char id[8];
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        assert_int_equal(suite_put(s, id), 0);
    }
}

static void assert_waiting(struct suite *s, int ready, int claimed)
{
    assert_int_equal(ASK(s, stats), 0);
    assert_int_equal(s->ready, ready);
    assert_int_equal(s->lag, ready);
    assert_int_equal(s->claimed, claimed);
}

/* Lag is right, and what was cut off comes back. */
static void test_xtrim(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    put_five(s);
    assert_int_equal(suite_claim(s, "w1", 2, 0, LEASE), 2);
    cli(g, "xtrim jobs maxlen 1", "4");
    assert_waiting(s, 1, 2);
    assert_int_equal(ASK(s, reap), 0);
    assert_int_equal(s->n, 0);
    assert_waiting(s, 3, 2);
    assert_int_equal(ASK(s, reap), 0);
    assert_waiting(s, 3, 2);
    assert_int_equal(suite_claim(s, "w2", 9, 0, LEASE), 3);
    assert_string_equal(s->jobs[0].id, "j4");
    assert_string_equal(s->jobs[1].id, "j2");
    assert_string_equal(s->jobs[2].id, "j3");
    assert_waiting(s, 0, 5);
}

static void test_xdel(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    put_five(s);
    assert_int_equal(suite_claim(s, "w1", 2, 0, LEASE), 2);
    _cleanup_free_ char *entry = real_redis_ask(g->redis, "xrevrange jobs + - count 1");
    entry[strcspn(entry, "\n")] = '\0';
    _cleanup_free_ char *words = mem_printf("xdel jobs %s", entry);
    cli(g, words, "1");
    assert_waiting(s, 2, 2);
    assert_int_equal(ASK(s, reap), 0);
    assert_waiting(s, 3, 2);
    assert_int_equal(suite_claim(s, "w1", 9, 0, LEASE), 3);
}

/* Somebody made the group where nothing before it is handed out. */
static void test_a_group_in_the_middle(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    put_five(s);
    cli(g, "xgroup create jobs mast '$'", "OK");
    assert_waiting(s, 0, 0);
    assert_int_equal(suite_put(s, "new"), 0);
    assert_waiting(s, 1, 0);
    assert_int_equal(ASK(s, reap), 0);
    assert_waiting(s, 6, 0);
    assert_int_equal(suite_claim(s, "w1", 9, 0, LEASE), 6);
    assert_string_equal(s->jobs[0].id, "new");
    assert_string_equal(s->jobs[1].id, "j0");
}

/* Redis throws away what it had in its hands; we do not. */
static void test_a_consumer_deleted(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    put_five(s);
    assert_int_equal(suite_claim(s, "w1", 2, 0, 300), 2);
    cli(g, "xgroup delconsumer jobs mast w1", "2");
    assert_int_equal(ASK(s, stats), 0);
    assert_int_equal(s->ready, 3);
    assert_int_equal(s->claimed, 2);
    assert_int_equal(s->consumers, 0);
    do {
        assert_int_equal(ASK(s, stats), 0);
    } while (s->lag < 5); /* until the lease has ended */
    assert_int_equal(s->lag, 5);
    assert_int_equal(suite_claim(s, "w2", 9, 600000, LEASE), 5);
    assert_waiting(s, 0, 5);
}

/* All of it goes while a claim waits: what is put then arrives. */
static void test_flushed_while_waiting(void **state)
{
    static const char *const how[] = {"flushall", "xgroup destroy jobs mast", "del jobs"};
    struct rig *g = *state;
    struct suite *s = &g->suite;
    for (unsigned i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof(id), "j%u", i);
        const int before = s->answers;
        queue_claim(s->q, "w1", 1, 600000, LEASE, suite_on_answer, s);
        RUN_FOR(s->l, 50);
        cli(g, how[i], NULL);
        struct job j = suite_job(id, "work");
        queue_enqueue(s->q, &j, NULL, NULL);
        model_done(&job_model, &j);
        RUN_UNTIL(s->l, s->answers > before);
        assert_int_equal(s->r, 0);
        assert_int_equal(s->n_jobs, 1);
        assert_string_equal(s->jobs[0].id, id);
        assert_int_equal(suite_settle(s, 0, QUEUE_DONE), 0);
    }
}

static void test_entries_of_others(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    cli(g, "xadd jobs '*' hello world", "-");
    cli(g, "xadd jobs '*' id nobody", "-");
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_claim(s, "w1", 9, 0, LEASE), 1);
    assert_string_equal(s->jobs[0].id, "a");
    assert_int_equal(ASK(s, list, JOB_DEAD, "", 9), 0);
    assert_int_equal(s->n_jobs, 2);
    assert_non_null(strstr(s->jobs[0].id, "foreign-"));
    assert_string_equal(s->jobs[0].payload, "[\"hello\",\"world\"]");
    assert_non_null(strstr(s->jobs[0].last_error, "enqueueing"));
    assert_waiting(s, 0, 1);
    /* And an envelope that nobody can read. */
    assert_int_equal(suite_put(s, "b"), 0);
    cli(g, "hset '{jobs}:job:b' body '{'", "0");
    assert_int_equal(suite_claim(s, "w1", 9, 0, LEASE), 0);
    assert_int_equal(ASK(s, stats), 0); /* it was said before we asked */
    assert_int_equal(s->dead, 3);
}

/* ---- what is not as it should be ---- */

static void test_another_type(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    cli(g, "set jobs x", "OK");
    assert_int_equal(suite_put(s, "a"), -EINVAL);
    assert_non_null(strstr(s->text, "no stream"));
    assert_int_equal(ASK(s, claim, "w1", 1, 600000, LEASE), -EINVAL);
    assert_int_equal(ask_stats_away(s), -EINVAL);
    assert_int_equal(s->lag, -1);
    cli(g, "del jobs", "1");
    assert_int_equal(ASK(s, get, "a"), -ENOENT);
    assert_int_equal(suite_put(s, "a"), 0);
}

static void test_a_right_is_missing(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    cli(g, "acl setuser limited on '>pw' '~*' '&*' +@all -xadd", "OK");
    queue_free(s->q);
    _cleanup_free_ char *url =
        mem_printf("redis://limited:pw@127.0.0.1:%u/?stream=jobs", real_redis_port(g->redis));
    s->q = queue_redis_new(&(struct queue_redis_config){.control = s->l, .url = url}, NULL);
    assert_non_null(s->q);
    assert_int_equal(suite_put(s, "a"), -EACCES);
    assert_non_null(strstr(s->text, "Redis says"));
    assert_int_equal(ASK(s, get, "a"), -ENOENT);
    assert_waiting(s, 0, 0);
}

static void test_a_wrong_password(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    queue_free(s->q);
    _cleanup_free_ char *url = mem_printf("redis://:wrong@127.0.0.1:%u", real_redis_port(g->redis));
    cli(g, "config set requirepass right", "OK");
    s->q = queue_redis_new(&(struct queue_redis_config){.control = s->l, .url = url}, NULL);
    assert_int_equal(suite_put(s, "a"), -EACCES);
    assert_non_null(strstr(s->text, "WRONGPASS"));
    assert_int_equal(ask_stats_away(s), -EACCES);
    assert_int_equal(s->lag, -1);
    /* Put right at the other side, it works by itself. */
    cli(g, "-a right config set requirepass wrong", "OK");
    while (suite_put(s, "a") != 0) {
        loop_run_once(s->l, 20);
    }
    cli(g, "-a wrong config set requirepass ''", "OK");
}

static void test_tls(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    struct error err = {0};
    char *dirs[] = {folder_new(), folder_new()};
    _cleanup_free_ char *certificate = tls_self_signed_file(dirs[0], &err);
    _cleanup_free_ char *other = tls_self_signed_file(dirs[1], &err);
    struct tls_context *right = tls_context_new_client(certificate, NULL, true, &err);
    struct tls_context *wrong = tls_context_new_client(other, NULL, true, &err);
    assert_non_null(right);
    assert_non_null(wrong);
    struct real_redis *secure = real_redis_start(s->l, certificate, NULL);
    struct queue_redis_config how = {.control = s->l, .url = real_redis_url(secure), .tls = wrong};
    queue_free(s->q);
    s->q = queue_redis_new(&how, &err);
    assert_int_equal(suite_put(s, "a"), -EAGAIN);
    assert_non_null(strstr(s->text, "certificate"));
    queue_free(s->q);
    how.tls = right;
    s->q = queue_redis_new(&how, &err);
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 1);
    s->q = queue_free(s->q);
    real_redis_stop(secure);
    tls_context_free(right);
    tls_context_free(wrong);
    folder_free(dirs[0]);
    folder_free(dirs[1]);
}

static void test_urls(void **state)
{
    struct suite *s = &((struct rig *)*state)->suite;
    static const char *const bad[] = {"kafka://h", "redis://h/0?stream=", "redis://h/0?group=a%20b",
                                      "redis://h/0?stream=%7Ba%7D", "rediss://h"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        const struct queue_redis_config how = {.control = s->l, .url = bad[i]};
        assert_null(queue_redis_new(&how, &err));
        assert_int_equal(err.code, -EINVAL);
        assert_true(err.text[0]);
    }
}

/* ---- bounds ---- */

static void test_what_ended_goes(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    char id[8];
    for (int i = 0; i < 8; i++) {
        snprintf(id, sizeof(id), "j%d", i);
        assert_int_equal(suite_put(s, id), 0);
        assert_int_equal(suite_claim(s, "w1", 1, 0, LEASE), 1);
        assert_int_equal(suite_settle(s, 0, QUEUE_DONE), 0);
    }
    assert_int_equal(ASK(s, list, JOB_DONE, "", 50), 0);
    assert_int_equal(s->n_jobs, 5);
    assert_string_equal(s->jobs[0].id, "j3");
    /* Nothing of the others is left. */
    cli(g, "xlen jobs", "0");
    cli(g, "exists '{jobs}:job:j2'", "0");
    cli(g, "exists '{jobs}:job:j3'", "1");
}

static void test_large_ones(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    struct job j = suite_job("large", "work");
    free(j.payload);
    j.payload = mem_alloc(JOB_PAYLOAD_MAX - 2);
    memset(j.payload, 'x', JOB_PAYLOAD_MAX - 2);
    j.payload[0] = j.payload[JOB_PAYLOAD_MAX - 4] = '"';
    j.payload[JOB_PAYLOAD_MAX - 3] = '\0';
    for (int i = 0; i < 12; i++) {
        free(j.id);
        j.id = mem_printf("l%d", i);
        assert_int_equal(ASK(s, enqueue, &j), 0);
    }
    /* Not all at once. */
    assert_true(suite_claim(s, "w1", 12, 0, LEASE) < 12);
    assert_true(s->n_jobs >= 8);
    assert_int_equal(strlen(s->jobs[0].payload), JOB_PAYLOAD_MAX - 3);
    assert_int_equal(ASK(s, list, -1, "", 12), 0);
    assert_true(s->more && s->n_jobs >= 8);
    free(j.payload);
    j.payload = mem_alloc(10 << 20);
    memset(j.payload, '1', 10 << 20);
    j.payload[(10 << 20) - 1] = '\0';
    free(j.id);
    j.id = mem_strdup("far_too_large");
    assert_int_equal(ASK(s, enqueue, &j), -EFBIG);
    model_done(&job_model, &j);
}

static void test_a_full_queue(void **state)
{
    struct rig *g = *state;
    struct suite *s = &g->suite;
    queue_free(s->q);
    const struct queue_redis_config how = {
        .control = s->l, .url = real_redis_url(g->redis), .max = 2};
    s->q = queue_redis_new(&how, NULL);
    assert_int_equal(suite_put(s, "a"), 0);
    assert_int_equal(suite_put(s, "b"), 0);
    assert_int_equal(suite_put(s, "c"), -ENOSPC);
    /* Redis' own bound. */
    assert_int_equal(suite_claim(s, "w1", 2, 0, LEASE), 2);
    cli(g, "config set maxmemory 1", "OK");
    assert_int_equal(suite_put(s, "c"), -ENOSPC);
    assert_non_null(strstr(s->text, "OOM"));
    cli(g, "config set maxmemory 0", "OK");
    assert_int_equal(suite_put(s, "c"), 0);
}

/* What is asked and not answered when the queue ends, on its way or waiting, is nobody's any more. */
static void test_freed_with_open_questions(void **state)
{
    struct suite *s = &((struct rig *)*state)->suite;
    struct job j = suite_job("a", "work");
    queue_claim(s->q, "w1", 1, 600000, LEASE, suite_on_answer, s);
    RUN_FOR(s->l, 30);
    queue_enqueue(s->q, &j, suite_on_answer, s);
    queue_stats(s->q, suite_on_answer, s);
    model_done(&job_model, &j);
    s->q = queue_free(s->q);
    RUN_FOR(s->l, 30);
    assert_int_equal(s->answers, 0);
}

static void test_bad_receipts(void **state)
{
    struct suite *s = &((struct rig *)*state)->suite;
    const struct queue_settle done = {.outcome = QUEUE_DONE};
    static const char *const bad[] = {"", "x", ":", ":a", "1-1:", "1-1:a", "0-0:a\r\nb"};
    assert_int_equal(suite_put(s, "a"), 0);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(ASK(s, settle, bad[i], &done), -ESTALE);
        assert_int_equal(ASK(s, extend, "w1", bad[i], LEASE), -ESTALE);
    }
    ASK(s, stats);
    assert_int_equal(s->ready, 1);
}

#define OWN_TESTS(X)                                                                               \
    X(killed_and_started_again)                                                                    \
    X(xtrim)                                                                                       \
    X(xdel)                                                                                        \
    X(a_group_in_the_middle)                                                                       \
    X(a_consumer_deleted)                                                                          \
    X(flushed_while_waiting)                                                                       \
    X(entries_of_others)                                                                           \
    X(another_type)                                                                                \
    X(a_right_is_missing)                                                                          \
    X(a_wrong_password)                                                                            \
    X(tls)                                                                                         \
    X(urls)                                                                                        \
    X(what_ended_goes)                                                                             \
    X(large_ones)                                                                                  \
    X(a_full_queue)                                                                                \
    X(freed_with_open_questions)                                                                   \
    X(bad_receipts)

int main(void)
{
#define X(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown),
    const struct CMUnitTest tests[] = {SUITE_TESTS(X) OWN_TESTS(X)};
#undef X
    return cmocka_run_group_tests(tests, begin, end);
}
