/* SPDX-License-Identifier: Apache-2.0 */
/* The queue in a real Redis: the common suite, and what is its own. */
#include "queue_suite.h"

#include "../peer/real_redis.h"
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

int main(void)
{
#define X(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown),
    const struct CMUnitTest tests[] = {SUITE_TESTS(X)};
#undef X
    return cmocka_run_group_tests(tests, begin, end);
}
