/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "base/mem.h"
#include "io/http_router.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void handle(void *user, struct http_request *req, struct http_reply *reply)
{
}

#define ROUTE(m, p)                                                                                \
    {                                                                                              \
        .method = HTTP_##m, .pattern = p, .handle = handle, .summary = p                           \
    }

static const struct http_route routes[] = {
    ROUTE(GET, "/{path+}"),
    ROUTE(GET, "/"),
    ROUTE(GET, "/{path+}/mse"),
    ROUTE(POST, "/{path+}/whip"),
    ROUTE(GET, "/{path+}/a/b"),
    ROUTE(GET, "/api/v1/streams"),
    ROUTE(GET, "/api/v1/streams/{path+}"),
    ROUTE(DELETE, "/api/v1/streams/{name+}"),
    ROUTE(POST, "/api/v1/streams/kick/{path+}"),
    ROUTE(GET, "/api/v1/{what}"),
    ROUTE(GET, "/api/v1/{what}/{id}/x"),
    ROUTE(GET, "/api/v1/jobs/{id}/{tail}"),
    ROUTE(GET, "/healthz"),
};

/* "pattern name=value ..." or the set of allowed methods in hexadecimal. */
static void match(enum http_method method, const char *path, const char *expected)
{
    struct http_router *r = http_router_new();
    struct http_match m;
    _cleanup_(out_done) struct out o = {0};
    http_router_add(r, routes, ARRAY_LEN(routes), NULL);
    http_router_match(r, method, BYTES_STR(path), &m);
    if (m.route) {
        out_puts(&o, m.route->pattern);
        for (unsigned i = 0; i < m.n_params; i++) {
            out_puts(&o, " ");
            out_bytes(&o, m.params[i].name);
            out_puts(&o, "=");
            out_bytes(&o, m.params[i].value);
        }
    } else {
        out_printf(&o, "%x", m.allow);
    }
    assert_string_equal(out_str(&o), expected);
    http_router_free(r);
}

static void test_precedence(void **state)
{
    match(HTTP_GET, "/", "/");
    match(HTTP_GET, "/healthz", "/healthz");
    match(HTTP_GET, "/cam", "/{path+} path=cam");
    match(HTTP_GET, "/live/cam-1", "/{path+} path=live/cam-1");
    match(HTTP_GET, "/mse", "/{path+} path=mse");
    match(HTTP_GET, "/live/mse", "/{path+}/mse path=live");
    match(HTTP_GET, "/a/b/c/mse", "/{path+}/mse path=a/b/c");
    match(HTTP_GET, "/x/a/b", "/{path+}/a/b path=x");
    match(HTTP_GET, "/a/b", "/{path+} path=a/b");
    match(HTTP_GET, "/api/v1/streams", "/api/v1/streams");
    match(HTTP_GET, "/api/v1/streams/live/cam", "/api/v1/streams/{path+} path=live/cam");
    match(HTTP_GET, "/api/v1/streams/live/mse", "/api/v1/streams/{path+} path=live/mse");
    match(HTTP_DELETE, "/api/v1/streams/a", "/api/v1/streams/{name+} name=a");
    match(HTTP_POST, "/api/v1/streams/kick/a", "/api/v1/streams/kick/{path+} path=a");
    match(HTTP_GET, "/api/v1/jobs", "/api/v1/{what} what=jobs");
    match(HTTP_GET, "/api/v1/jobs/7/x", "/api/v1/jobs/{id}/{tail} id=7 tail=x");
    match(HTTP_GET, "/api/v1/cams/7/x", "/api/v1/{what}/{id}/x what=cams id=7");
    match(HTTP_HEAD, "/healthz", "/healthz");
}

static void test_what_is_not_there(void **state)
{
    /* The most specific pattern decides about the method. */
    match(HTTP_GET, "/live/whip", "4");
    match(HTTP_POST, "/healthz", "1");
    match(HTTP_PUT, "/api/v1/streams/a", "21");
    match(HTTP_GET, "/api/v1/streams/kick/a", "4");
    match(HTTP_GET, "//", "0");
    match(HTTP_GET, "/a//b", "0");
    match(HTTP_GET, "/a/", "0");
    match(HTTP_GET, "//mse", "0");
    _cleanup_(out_done) struct out deep = {0};
    for (int i = 0; i < HTTP_SEGMENTS_MAX; i++) {
        out_puts(&deep, "/a");
    }
    struct http_match m;
    struct http_router *r = http_router_new();
    http_router_add(r, routes, ARRAY_LEN(routes), NULL);
    http_router_match(r, HTTP_GET, out_view(&deep), &m);
    assert_non_null(m.route);
    out_puts(&deep, "/a");
    http_router_match(r, HTTP_GET, out_view(&deep), &m);
    assert_null(m.route);
    assert_int_equal(m.allow, 0);
    http_router_free(r);
}

static void test_allow(void **state)
{
    char buf[HTTP_ALLOW_MAX];
    assert_string_equal(http_allow_format(1u << HTTP_GET, buf), "GET, HEAD, OPTIONS");
    assert_string_equal(http_allow_format(1u << HTTP_POST | 1u << HTTP_DELETE, buf),
                        "POST, DELETE, OPTIONS");
    assert_string_equal(http_allow_format(~0u, buf),
                        "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
}

/* Runs fn in a child; true when it was aborted by an assertion. */
static bool aborts(const struct http_route *a, const struct http_route *b)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        struct http_router *r = http_router_new();
        http_router_add(r, a, 1, NULL);
        http_router_add(r, b, 1, NULL);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void test_ambiguous_mounts(void **state)
{
    static const struct http_route get_a = ROUTE(GET, "/x/{a}");
    static const struct http_route get_b = ROUTE(GET, "/x/{b}");
    static const struct http_route put_b = ROUTE(PUT, "/x/{b}");
    static const struct http_route greedy_a = ROUTE(GET, "/{a+}/x");
    static const struct http_route greedy_b = ROUTE(GET, "/{b+}/x");
    static const struct http_route greedy_c = ROUTE(GET, "/{b+}/y");
    static const struct http_route empty = ROUTE(GET, "/x//y");
    static const struct http_route two = ROUTE(GET, "/{a+}/x/{b+}");
    assert_true(aborts(&get_a, &get_b));
    assert_false(aborts(&get_a, &put_b));
    assert_true(aborts(&greedy_a, &greedy_b));
    assert_false(aborts(&greedy_a, &greedy_c));
    assert_true(aborts(&get_a, &empty));
    assert_true(aborts(&get_a, &two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_what_is_not_there),
        cmocka_unit_test(test_allow),
        cmocka_unit_test(test_ambiguous_mounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
