/* SPDX-License-Identifier: Apache-2.0 */
#include "../await.h"
#include "../store/folder.h"

#include "io/http_client.h"
#include "io/proc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* A label of 64 characters: the resolver refuses it by itself, no name server is asked. */
#define NO_HOST "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid"

/* One loop and one peer for all tests; the client is new in each. */
static struct {
    struct loop *loop;
    struct proc *peer;
    bool peer_gone;
    struct out ports;
    char *dir;
    int plain;
    int tls;
    int garbage;
    struct http_client *client;
} rig;

static void on_peer_output(void *user, struct bytes chunk)
{
    out_bytes(&rig.ports, chunk);
}

static void on_peer_exit(void *user, const struct proc_exit *e)
{
    rig.peer_gone = true;
    rig.peer = proc_free(rig.peer);
}

static const struct proc_ops peer_ops = {.on_output = on_peer_output, .on_exit = on_peer_exit};

static int start_peer(void **state)
{
    rig.loop = loop_new("control", LOOP_CONTROL);
    rig.dir = folder_new();
    const char *argv[] = {"python3", "test/unit/io/http_peer.py", rig.dir, NULL};
    struct error err = {0};
    if (proc_start(rig.loop, &(struct proc_spec){.argv = argv, .stdin_pipe = true}, &peer_ops, NULL,
                   &rig.peer, &err) < 0) {
        fail_msg("%s", err.text);
    }
    RUN_UNTIL(rig.loop,
              rig.peer_gone || (rig.ports.len > 0 && rig.ports.data[rig.ports.len - 1] == '\n'));
    assert_false(rig.peer_gone);
    assert_int_equal(sscanf(out_str(&rig.ports), "%d %d %d", &rig.plain, &rig.tls, &rig.garbage),
                     3);
    return 0;
}

static int stop_peer(void **state)
{
    proc_stop(rig.peer, 0);
    RUN_UNTIL(rig.loop, rig.peer_gone);
    loop_free(rig.loop);
    folder_free(rig.dir);
    out_done(&rig.ports);
    return 0;
}

static int setup(void **state)
{
    rig.client = http_client_new(rig.loop, NULL);
    return 0;
}

static int teardown(void **state)
{
    assert_int_equal(http_client_live(rig.client), 0);
    rig.client = http_client_free(rig.client);
    return 0;
}

/* ---- one call and what it brought ---- */

struct seen {
    struct http_call *call;
    bool done;
    int status;
    struct error err;
    struct out body;
    struct out streamed;
    char header[64];
    char url[256];
    int on_data_result;
    bool cancel_in_data;
    unsigned checks;
    int refuse_from; /* refuse the n-th check and all later ones; 0 = none */
};

static int on_check(void *user, const struct sockaddr *sa, socklen_t len, struct error *err)
{
    struct seen *s = user;
    assert_int_equal(sa->sa_family, AF_INET);
    assert_int_equal(((const struct sockaddr_in *)sa)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    s->checks++;
    if (s->refuse_from && s->checks >= (unsigned)s->refuse_from) {
        return error_set(err, -EPERM, "", "127.0.0.1 is inside");
    }
    return 0;
}

static int on_data(void *user, struct bytes data)
{
    struct seen *s = user;
    out_bytes(&s->streamed, data);
    if (s->cancel_in_data) {
        http_call_cancel(s->call);
    }
    return s->on_data_result;
}

static void on_done(void *user, const struct http_result *r)
{
    struct seen *s = user;
    assert_false(s->done);
    s->done = true;
    s->status = r->status;
    s->err = r->err;
    out_bytes(&s->body, r->body);
    const char *h = http_result_header(r, "x-TEST");
    snprintf(s->header, sizeof(s->header), "%s", h ? h : "");
    snprintf(s->url, sizeof(s->url), "%s", r->url);
    assert_true(r->elapsed_ns > 0);
}

static const struct http_call_ops plain_ops = {.on_done = on_done};
static const struct http_call_ops checked_ops = {.on_done = on_done, .check_address = on_check};
static const struct http_call_ops stream_ops = {.on_done = on_done, .on_data = on_data};

static const char *url_of(int port, const char *path)
{
    static char url[512];
    snprintf(url, sizeof(url), "http%s://127.0.0.1:%d%s", port == rig.tls ? "s" : "", port, path);
    return url;
}

static void begin(struct seen *s, struct http_call_spec spec, const struct http_call_ops *ops)
{
    struct error err = {0};
    if (http_client_start(rig.client, &spec, ops, s, &s->call, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static void finish(struct seen *s)
{
    RUN_UNTIL(rig.loop, s->done);
    RUN_UNTIL(rig.loop, http_client_live(rig.client) == 0);
}

static void seen_done(struct seen *s)
{
    out_done(&s->body);
    out_done(&s->streamed);
}

static void test_a_request_goes_out_as_asked(void **state)
{
    struct seen s = {0};
    const char *headers[] = {"X-One: 1", "Authorization: Bearer t", NULL};
    struct http_call_spec spec = {
        .url = url_of(rig.plain, "/echo?q=1"), .headers = headers, .body = BYTES_STR("{\"a\":1}")};
    begin(&s, spec, &plain_ops);
    finish(&s);
    assert_int_equal(s.err.code, 0);
    assert_int_equal(s.status, 201);
    assert_string_equal(out_str(&s.body),
                        "POST\nAuthorization: Bearer t\nUser-Agent: mast\nX-One: 1\n{\"a\":1}");
    assert_string_equal(s.header, "yes");
    assert_string_equal(s.url, url_of(rig.plain, "/echo?q=1"));
    seen_done(&s);
}

static void test_every_method_with_and_without_body(void **state)
{
    const struct {
        const char *method;
        const char *body;
        const char *echo;
    } rows[] = {
        {NULL, "", "GET\nUser-Agent: mast\n"},        {"GET", "", "GET\nUser-Agent: mast\n"},
        {"POST", "", "POST\nUser-Agent: mast\n"},     {"PUT", "b", "PUT\nUser-Agent: mast\nb"},
        {"DELETE", "", "DELETE\nUser-Agent: mast\n"}, {"HEAD", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct seen s = {0};
        begin(&s,
              (struct http_call_spec){.method = rows[i].method,
                                      .url = url_of(rig.plain, "/echo"),
                                      .body = BYTES_STR(rows[i].body)},
              &plain_ops);
        finish(&s);
        assert_int_equal(s.status, 201);
        assert_string_equal(out_str(&s.body), rows[i].echo);
        seen_done(&s);
    }
}

static void test_an_error_status_is_a_result(void **state)
{
    struct seen s = {0};
    begin(&s, (struct http_call_spec){.url = url_of(rig.plain, "/nothing")}, &plain_ops);
    finish(&s);
    assert_int_equal(s.err.code, 0);
    assert_int_equal(s.status, 404);
    assert_string_equal(out_str(&s.body), "no such page");
    seen_done(&s);
}

static void expect_error(const char *url, struct http_call_spec spec, int code, const char *text)
{
    struct seen s = {0};
    spec.url = url;
    begin(&s, spec, &plain_ops);
    finish(&s);
    assert_int_equal(s.err.code, code);
    if (!strstr(s.err.text, text)) {
        fail_msg("\"%s\" does not say \"%s\"", s.err.text, text);
    }
    assert_null(strstr(s.err.text, "secret"));
    assert_null(strstr(s.err.where, "secret"));
    seen_done(&s);
}

static void test_failures_are_sentences(void **state)
{
    struct http_call_spec plain = {0};
    struct http_call_spec hasty = {.timeout_ms = 100};
    /* A port that was free a moment ago. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    getsockname(fd, (struct sockaddr *)&sa, &len);
    expect_error(url_of(ntohs(sa.sin_port), "/?secret"), plain, -ECONNREFUSED, "connect");
    close(fd);
    expect_error(url_of(rig.plain, "/hang?secret"), hasty, -ETIMEDOUT, "timed out");
    expect_error(url_of(rig.garbage, "/secret"), plain, -EPROTO, "HTTP/0.9");
    expect_error(url_of(rig.tls, "/secret"), plain, -EPROTO, "certificate");
    expect_error("http://" NO_HOST "/secret", plain, -EHOSTUNREACH, "resolve");
    expect_error(url_of(rig.plain, "/headers"), plain, -EFBIG, "headers");
    expect_error(url_of(rig.plain, "/loop"), (struct http_call_spec){.max_redirects = 3}, -ELOOP,
                 "redirects");
}

static void test_the_where_is_the_server_only(void **state)
{
    struct seen s = {0};
    char expected[64];
    char url[128];
    snprintf(expected, sizeof(expected), "http://127.0.0.1:%d", rig.plain);
    snprintf(url, sizeof(url), "http://user:secret@127.0.0.1:%d/bytes?n=5&key=secret", rig.plain);
    begin(&s, (struct http_call_spec){.url = url, .max_reply_bytes = 4}, &plain_ops);
    finish(&s);
    assert_int_equal(s.err.code, -EFBIG);
    assert_string_equal(s.err.where, expected);
    assert_string_equal(s.err.text, "the reply is longer than 4 bytes");
    seen_done(&s);
}

static void test_tls_checks_the_certificate(void **state)
{
    _cleanup_free_ char *ca = folder_path(rig.dir, "cert.pem");
    struct http_call_spec good = {.url = url_of(rig.tls, "/echo"), .ca_file = ca};
    struct seen s = {0};
    begin(&s, good, &plain_ops);
    finish(&s);
    assert_int_equal(s.err.code, 0);
    assert_int_equal(s.status, 201);
    seen_done(&s);
    struct seen lax = {0};
    begin(&lax, (struct http_call_spec){.url = url_of(rig.tls, "/echo"), .insecure = true},
          &plain_ops);
    finish(&lax);
    assert_int_equal(lax.status, 201);
    seen_done(&lax);
    /* A connection that was accepted laxly must not serve a strict call. */
    expect_error(url_of(rig.tls, "/echo"), (struct http_call_spec){0}, -EPROTO, "certificate");
}

static void test_bodies_are_bounded(void **state)
{
    struct seen exact = {0};
    begin(&exact,
          (struct http_call_spec){.url = url_of(rig.plain, "/bytes?n=100000"),
                                  .max_reply_bytes = 100000},
          &plain_ops);
    finish(&exact);
    assert_int_equal(exact.err.code, 0);
    assert_int_equal(exact.body.len, 100000);
    seen_done(&exact);
    struct seen endless = {0};
    begin(&endless,
          (struct http_call_spec){.url = url_of(rig.plain, "/endless"), .max_reply_bytes = 50000},
          &plain_ops);
    finish(&endless);
    assert_int_equal(endless.err.code, -EFBIG);
    assert_in_range(endless.body.len, 0, 50000);
    seen_done(&endless);
}

static void test_bodies_stream(void **state)
{
    struct seen s = {0};
    begin(&s, (struct http_call_spec){.url = url_of(rig.plain, "/bytes?n=300000")}, &stream_ops);
    finish(&s);
    assert_int_equal(s.err.code, 0);
    assert_int_equal(s.streamed.len, 300000);
    assert_int_equal(s.body.len, 0);
    seen_done(&s);
    struct seen picky = {.on_data_result = -EDOM};
    begin(&picky, (struct http_call_spec){.url = url_of(rig.plain, "/endless")}, &stream_ops);
    finish(&picky);
    assert_int_equal(picky.err.code, -EDOM);
    seen_done(&picky);
}

static void test_redirects_are_followed_when_allowed(void **state)
{
    struct seen no = {0};
    begin(&no, (struct http_call_spec){.url = url_of(rig.plain, "/redirect?to=/echo")}, &plain_ops);
    finish(&no);
    assert_int_equal(no.status, 302);
    seen_done(&no);
    struct seen yes = {0};
    const char *headers[] = {"Authorization: Bearer t", NULL};
    begin(&yes,
          (struct http_call_spec){.url = url_of(rig.plain, "/redirect?to=/echo"),
                                  .headers = headers,
                                  .max_redirects = 1},
          &plain_ops);
    finish(&yes);
    assert_int_equal(yes.status, 201);
    assert_non_null(strstr(out_str(&yes.body), "Bearer t"));
    assert_string_equal(yes.url, url_of(rig.plain, "/echo"));
    seen_done(&yes);
    /* Another host must not get the credentials. */
    char url[256];
    struct seen other = {0};
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/redirect?to=http://localhost:%d/echo",
             rig.plain, rig.plain);
    begin(&other, (struct http_call_spec){.url = url, .headers = headers, .max_redirects = 1},
          &plain_ops);
    finish(&other);
    assert_int_equal(other.status, 201);
    assert_null(strstr(out_str(&other.body), "Bearer"));
    seen_done(&other);
    expect_error(url_of(rig.plain, "/redirect?to=ftp://127.0.0.1/x"),
                 (struct http_call_spec){.max_redirects = 1}, -EPROTO, "ftp");
    expect_error(url_of(rig.plain, "/redirect?to=file:///etc/passwd"),
                 (struct http_call_spec){.max_redirects = 1}, -EPROTO, "file");
}

static void test_refused_addresses_get_no_byte(void **state)
{
    struct seen first = {.refuse_from = 1};
    begin(&first, (struct http_call_spec){.url = url_of(rig.plain, "/echo")}, &checked_ops);
    finish(&first);
    assert_int_equal(first.err.code, -EACCES);
    assert_string_equal(first.err.text, "127.0.0.1 is inside");
    assert_int_equal(first.status, 0);
    assert_int_equal(first.checks, 1);
    seen_done(&first);
    /* Allowed at first (before connecting, before the request), refused after the redirect to another port. */
    char url[256];
    struct seen later = {.refuse_from = 3};
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/redirect?to=http://127.0.0.1:%d/echo",
             rig.plain, rig.garbage);
    begin(&later, (struct http_call_spec){.url = url, .max_redirects = 3}, &checked_ops);
    finish(&later);
    assert_int_equal(later.err.code, -EACCES);
    assert_int_equal(later.checks, 3);
    seen_done(&later);
}

static void test_kept_connections_are_checked_again(void **state)
{
    struct seen a = {0};
    struct seen b = {0};
    begin(&a, (struct http_call_spec){.url = url_of(rig.plain, "/port")}, &plain_ops);
    finish(&a);
    begin(&b, (struct http_call_spec){.url = url_of(rig.plain, "/port")}, &plain_ops);
    finish(&b);
    /* The connection is kept: the far side saw one port. */
    assert_string_equal(out_str(&a.body), out_str(&b.body));
    struct seen c = {.refuse_from = 1};
    begin(&c, (struct http_call_spec){.url = url_of(rig.plain, "/port")}, &checked_ops);
    finish(&c);
    assert_int_equal(c.err.code, -EACCES);
    assert_int_equal(c.body.len, 0);
    assert_int_equal(c.checks, 1);
    seen_done(&a);
    seen_done(&b);
    seen_done(&c);
}

static void test_cancel_at_any_time(void **state)
{
    struct seen before = {0};
    begin(&before, (struct http_call_spec){.url = url_of(rig.plain, "/echo")}, &plain_ops);
    http_call_cancel(before.call);
    RUN_UNTIL(rig.loop, http_client_live(rig.client) == 0);
    struct seen during = {0};
    begin(&during, (struct http_call_spec){.url = url_of(rig.plain, "/hang")}, &plain_ops);
    for (int i = 0; i < 5; i++) {
        loop_run_once(rig.loop, 5);
    }
    http_call_cancel(during.call);
    RUN_UNTIL(rig.loop, http_client_live(rig.client) == 0);
    struct seen inside = {.cancel_in_data = true};
    begin(&inside, (struct http_call_spec){.url = url_of(rig.plain, "/endless")}, &stream_ops);
    RUN_UNTIL(rig.loop, http_client_live(rig.client) == 0);
    assert_in_range(inside.streamed.len, 1, 1 << 20);
    struct seen resolving = {0};
    begin(&resolving, (struct http_call_spec){.url = "http://" NO_HOST "/"}, &plain_ops);
    loop_run_once(rig.loop, 0);
    /* The resolver's thread may already have answered. */
    bool cancelled = !resolving.done;
    http_call_cancel(cancelled ? resolving.call : NULL);
    RUN_UNTIL(rig.loop, http_client_live(rig.client) == 0);
    assert_true(resolving.done != cancelled);
    assert_false(before.done || during.done || inside.done);
    seen_done(&inside);
}

static void start_next(void *user, const struct http_result *r);
static const struct http_call_ops chain_ops = {.on_done = start_next};

static void start_next(void *user, const struct http_result *r)
{
    struct seen *s = user;
    assert_int_equal(r->err.code, 0);
    if (++s->checks < 5) {
        begin(s, (struct http_call_spec){.url = url_of(rig.plain, "/echo")}, &chain_ops);
    }
}

static void test_an_answer_starts_the_next_call(void **state)
{
    struct seen s = {0};
    begin(&s, (struct http_call_spec){.url = url_of(rig.plain, "/echo")}, &chain_ops);
    RUN_UNTIL(rig.loop, s.checks == 5 && http_client_live(rig.client) == 0);
}

static void test_bad_requests_and_too_many(void **state)
{
    struct seen s = {0};
    struct error err;
    const char *urls[] = {"", "nonsense", "ftp://127.0.0.1/", "file:///etc/passwd", "http://"};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct http_call_spec spec = {.url = urls[i]};
        assert_int_equal(http_client_start(rig.client, &spec, &plain_ops, &s, &s.call, &err),
                         -EINVAL);
    }
    struct http_call_spec injected = {.url = url_of(rig.plain, "/"),
                                      .method = "GET /x HTTP/1.1\r\nA: b"};
    assert_int_equal(http_client_start(rig.client, &injected, &plain_ops, &s, &s.call, &err),
                     -EINVAL);
    const char *split[] = {"X-A: b\r\nX-C: d", NULL};
    struct http_call_spec smuggled = {.url = url_of(rig.plain, "/"), .headers = split};
    assert_int_equal(http_client_start(rig.client, &smuggled, &plain_ops, &s, &s.call, &err),
                     -EINVAL);
    struct http_call_spec spec = {.url = url_of(rig.plain, "/")};
    for (int i = 0; i < HTTP_CLIENT_CALLS_MAX; i++) {
        assert_int_equal(http_client_start(rig.client, &spec, &plain_ops, &s, &s.call, &err), 0);
    }
    assert_int_equal(http_client_start(rig.client, &spec, &plain_ops, &s, &s.call, &err), -ENOBUFS);
    http_client_free(rig.client);
    rig.client = http_client_new(rig.loop, NULL);
    assert_false(s.done);
}

static void test_free_with_calls_under_way(void **state)
{
    struct seen s = {0};
    for (int i = 0; i < 3; i++) {
        begin(&s, (struct http_call_spec){.url = url_of(rig.plain, "/hang")}, &plain_ops);
    }
    for (int i = 0; i < 5; i++) {
        loop_run_once(rig.loop, 5);
    }
    http_client_free(rig.client);
    rig.client = http_client_new(rig.loop, NULL);
    assert_false(s.done);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_request_goes_out_as_asked),
        T(test_every_method_with_and_without_body),
        T(test_an_error_status_is_a_result),
        T(test_failures_are_sentences),
        T(test_the_where_is_the_server_only),
        T(test_tls_checks_the_certificate),
        T(test_bodies_are_bounded),
        T(test_bodies_stream),
        T(test_redirects_are_followed_when_allowed),
        T(test_refused_addresses_get_no_byte),
        T(test_kept_connections_are_checked_again),
        T(test_cancel_at_any_time),
        T(test_an_answer_starts_the_next_call),
        T(test_bad_requests_and_too_many),
        T(test_free_with_calls_under_way),
    };
    return cmocka_run_group_tests(tests, start_peer, stop_peer);
}
