/* SPDX-License-Identifier: Apache-2.0 */
/* TLS: certificates and trust, what each side is told when it does not work out. Bytes over TLS: see test_conn.c. */
#include "../unit.h"

#include "rig.h"

#include "io/conn_private.h"

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

static char dir[] = "/tmp/mast-test-tls-XXXXXX";
static char pem[PATH_MAX]; /* the self-signed certificate, and the authority that trusts it */

static int make_dir(void **state)
{
    assert_non_null(mkdtemp(dir));
    snprintf(pem, sizeof(pem), "%s/tls-self-signed.pem", dir);
    return 0;
}

static int remove_dir(void **state)
{
    unlink(pem);
    return rmdir(dir);
}

static struct tls_context *server_context(const char *alpn)
{
    struct error err = {0};
    struct tls_context *t = tls_context_self_signed(dir, alpn, &err);
    if (!t) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return t;
}

static struct tls_context *client_context(const char *ca, const char *alpn, bool verify)
{
    struct error err = {0};
    struct tls_context *t = tls_context_new_client(ca, alpn, verify, &err);
    if (!t) {
        fail_msg("%s: %s", err.where, err.text);
    }
    return t;
}

/* One server, asked by one client after the other. */
struct fixture {
    struct loop *l;
    struct tls_context *context;
    struct listener *li;
    struct end server;
    struct end client;
};

static void start(struct fixture *f, const char *alpn)
{
    *f = (struct fixture){.l = loop_new("t", 0), .context = server_context(alpn)};
    f->li = rig_listen(f->l, f->context, &f->server);
}

static void ask(struct fixture *f, struct tls_context *client, const char *server_name)
{
    struct conn_connect how = {.host = "127.0.0.1",
                               .port = listener_port(f->li),
                               .tls = client,
                               .server_name = server_name};
    end_done(&f->server);
    end_done(&f->client);
    f->server = (struct end){.echo = true};
    f->client = (struct end){0};
    f->client.c = conn_connect(f->l, &how, &end_ops, &f->client);
    RUN_UNTIL(f->l, f->client.opens + f->client.closes > 0);
}

static void stop(struct fixture *f)
{
    end_done(&f->server);
    end_done(&f->client);
    assert_int_equal(listener_live(f->li), 0);
    listener_close(f->li);
    tls_context_free(f->context);
    loop_free(f->l);
}

/* ---- the certificate of our own ---- */

static void test_self_signed_is_kept_and_private(void **state)
{
    struct stat first;
    struct stat second;
    tls_context_free(server_context(NULL));
    assert_int_equal(stat(pem, &first), 0);
    assert_int_equal(first.st_mode & 0777, 0600);
    tls_context_free(server_context(NULL));
    assert_int_equal(stat(pem, &second), 0);
    assert_int_equal(first.st_ino, second.st_ino);
    assert_int_equal(first.st_mtim.tv_nsec, second.st_mtim.tv_nsec);
    /* What is not a certificate is replaced. */
    assert_int_equal(truncate(pem, 100), 0);
    tls_context_free(server_context(NULL));
    assert_int_equal(stat(pem, &second), 0);
    assert_true(second.st_size > 500);
}

static void test_self_signed_says_when_it_cannot_write(void **state)
{
    struct error err = {0};
    assert_null(tls_context_self_signed("/nonexistent/place", NULL, &err));
    assert_int_equal(err.code, -ENOENT);
    assert_string_equal(err.where, "/nonexistent/place/tls-self-signed.pem");
}

/* ---- trust ---- */

static void test_a_trusted_certificate_is_taken(void **state)
{
    struct fixture f;
    char host[256] = {0};
    start(&f, NULL);
    struct tls_context *client = client_context(pem, NULL, true);
    gethostname(host, sizeof(host) - 1);
    const char *names[] = {NULL, "localhost", "127.0.0.1", "::1", host};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        ask(&f, client, names[i]);
        assert_int_equal(f.client.opens, 1);
        RUN_UNTIL(f.l, f.server.opens == 1);
    }
    tls_context_free(client);
    stop(&f);
}

static void test_an_unknown_certificate_is_refused(void **state)
{
    struct fixture f;
    start(&f, NULL);
    struct tls_context *client = client_context(NULL, NULL, true);
    ask(&f, client, NULL);
    assert_int_equal(f.client.close_code, -EKEYREJECTED);
    assert_non_null(strstr(f.client.close_err.text, "certificate is refused: self-signed"));
    assert_non_null(strstr(f.client.close_err.where, "127.0.0.1:"));
    RUN_UNTIL(f.l, f.server.closes == 1);
    assert_int_equal(f.server.opens, 0);
    assert_int_equal(f.server.close_code, -EPROTO);
    tls_context_free(client);
    /* Unless it was asked not to look. */
    client = client_context(NULL, NULL, false);
    ask(&f, client, NULL);
    assert_int_equal(f.client.opens, 1);
    tls_context_free(client);
    stop(&f);
}

static void test_a_certificate_for_another_name_is_refused(void **state)
{
    struct fixture f;
    start(&f, NULL);
    struct tls_context *client = client_context(pem, NULL, true);
    ask(&f, client, "elsewhere.example");
    assert_int_equal(f.client.close_code, -EKEYREJECTED);
    assert_non_null(strstr(f.client.close_err.text, "ostname mismatch"));
    ask(&f, client, "127.0.0.9");
    assert_int_equal(f.client.close_code, -EKEYREJECTED);
    tls_context_free(client);
    stop(&f);
}

/* ---- reload ---- */

static void test_reload_serves_the_new_certificate_to_new_sessions(void **state)
{
    struct fixture f;
    struct error err = {0};
    char old_ca[PATH_MAX];
    start(&f, NULL);
    struct tls_context *trusts_old = client_context(pem, NULL, true);
    ask(&f, trusts_old, NULL);
    assert_int_equal(f.client.opens, 1);

    snprintf(old_ca, sizeof(old_ca), "%s.old", pem);
    assert_int_equal(rename(pem, old_ca), 0);
    /* Nothing there: the old certificate stays. */
    assert_int_equal(tls_context_reload(f.context, &err), -ENOENT);
    tls_context_free(server_context(NULL));
    assert_int_equal(tls_context_reload(f.context, NULL), 0);

    /* The established session goes on. */
    conn_send_bytes(f.client.c, BYTES_STR("still here"));
    RUN_UNTIL(f.l, f.client.n_in == 10);
    struct tls_context *trusts_new = client_context(pem, NULL, true);
    ask(&f, trusts_new, NULL);
    assert_int_equal(f.client.opens, 1);
    ask(&f, trusts_old, NULL);
    assert_int_equal(f.client.close_code, -EKEYREJECTED);
    /* Other files by name: a wrong name changes nothing, a right one is used from now on. */
    assert_int_equal(tls_context_use(f.context, "/nonexistent.pem", pem, &err), -ENOENT);
    ask(&f, trusts_new, NULL);
    assert_int_equal(f.client.opens, 1);
    assert_int_equal(tls_context_use(f.context, old_ca, old_ca, NULL), 0);
    ask(&f, trusts_old, NULL);
    assert_int_equal(f.client.opens, 1);
    assert_int_equal(tls_context_use(f.context, pem, pem, NULL), 0);
    /* A client's trust is reloaded the same way. */
    assert_int_equal(tls_context_reload(trusts_old, NULL), 0);
    ask(&f, trusts_old, NULL);
    assert_int_equal(f.client.opens, 1);
    tls_context_free(trusts_old);
    tls_context_free(trusts_new);
    unlink(old_ca);
    stop(&f);
}

/* Sessions are made on the loop's thread while this one swaps the certificate under them (for the thread sanitizer). */
struct visitor {
    struct loop *l;
    struct end end;
    struct conn_connect how;
    atomic_int opened;
    int wanted;
};

static void visit(struct loop *l, void *arg);

static void visitor_open(void *user)
{
    struct visitor *v = user;
    conn_close(TAKE_PTR(v->end.c));
    if (atomic_fetch_add(&v->opened, 1) + 1 < v->wanted) {
        visit(v->l, v);
    }
}

static void visitor_close(void *user, int r, const struct error *err)
{
    /* The count is not reached then, and the test says so. */
    struct visitor *v = user;
    conn_close(TAKE_PTR(v->end.c));
}

static void visitor_read(void *user, struct bytes data)
{
}

static const struct conn_ops visitor_ops = {
    .on_open = visitor_open, .on_close = visitor_close, .on_read = visitor_read};

static void visit(struct loop *l, void *arg)
{
    struct visitor *v = arg;
    v->end.c = conn_connect(l, &v->how, &visitor_ops, v);
}

static void forget_close(void *user, int r, const struct error *err)
{
    conn_close(user);
}

static const struct conn_ops forgetful_ops = {.on_close = forget_close, .on_read = visitor_read};

static void forgetful_accept(void *user, struct conn *c)
{
    conn_set_ops(c, &forgetful_ops, c);
}

static void test_reload_while_sessions_are_made(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct tls_context *server = server_context(NULL);
    struct tls_context *client = client_context(pem, NULL, true);
    struct listener_config config = {.address = "127.0.0.1", .tls = server};
    struct listener *li = listener_open(&config, &l, 1, forgetful_accept, NULL, NULL);
    struct visitor v = {.l = l, .wanted = 40};
    v.how = (struct conn_connect){.host = "127.0.0.1", .port = listener_port(li), .tls = client};
    assert_int_equal(loop_start(l), 0);
    loop_call(l, visit, &v);
    AWAIT_STEP(atomic_load(&v.opened) >= v.wanted, {
        assert_int_equal(tls_context_reload(server, NULL), 0);
        assert_int_equal(tls_context_reload(client, NULL), 0);
    });
    WAIT_UNTIL(listener_live(li) == 0);
    listener_close(li);
    loop_stop(l);
    loop_free(l);
    tls_context_free(server);
    tls_context_free(client);
}

/* ---- protocols ---- */

static void test_alpn(void **state)
{
    struct fixture f;
    start(&f, "h2,http/1.1");
    struct tls_context *both = client_context(pem, "http/1.1,h2", true);
    struct tls_context *one = client_context(pem, "http/1.1", true);
    struct tls_context *none = client_context(pem, NULL, true);
    struct tls_context *other = client_context(pem, "spdy/3", true);
    ask(&f, both, NULL);
    assert_string_equal(conn_alpn(f.client.c), "h2"); /* the server's preference */
    RUN_UNTIL(f.l, f.server.opens == 1);
    assert_string_equal(conn_alpn(f.server.c), "h2");
    ask(&f, one, NULL);
    assert_string_equal(conn_alpn(f.client.c), "http/1.1");
    ask(&f, none, NULL);
    assert_int_equal(f.client.opens, 1);
    assert_string_equal(conn_alpn(f.client.c), "");
    ask(&f, other, NULL);
    assert_int_equal(f.client.close_code, -EPROTO);
    assert_non_null(strstr(f.client.close_err.text, "no application protocol"));
    tls_context_free(both);
    tls_context_free(one);
    tls_context_free(none);
    tls_context_free(other);
    stop(&f);
    assert_null(tls_context_new_client(NULL, "a,,b", true, NULL));
}

static void test_a_plain_peer_is_named_as_such(void **state)
{
    struct fixture f;
    static const struct {
        const char *sent;
        const char *expected;
    } peers[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "plain HTTP"},
        {"\x03zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "does not speak TLS"},
    };
    start(&f, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(peers); i++) {
        int fd = rig_raw_connect(listener_port(f.li));
        f.server = (struct end){0};
        assert_true(write(fd, peers[i].sent, strlen(peers[i].sent)) > 0);
        RUN_UNTIL(f.l, f.server.closes == 1);
        assert_int_equal(f.server.close_code, -EPROTO);
        assert_non_null(strstr(f.server.close_err.text, peers[i].expected));
        end_done(&f.server);
        close(fd);
    }
    stop(&f);
}

static void test_a_server_that_does_not_speak_tls_is_told(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end server = {.echo = true};
    struct end client = {0};
    struct listener *li = rig_listen(l, NULL, &server);
    struct tls_context *context = client_context(pem, NULL, true);
    rig_connect(l, listener_port(li), context, &client);
    RUN_UNTIL(l, client.closes == 1);
    assert_int_equal(client.close_code, -EPROTO);
    end_done(&client);
    end_done(&server);
    tls_context_free(context);
    listener_close(li);
    loop_free(l);
}

/* ---- deadlines ---- */

static void test_a_handshake_has_a_deadline(void **state)
{
    struct fixture f;
    start(&f, NULL);
    int fd = rig_raw_connect(listener_port(f.li));
    assert_int_equal(write(fd, "\x16\x03\x01", 3), 3); /* and no more */
    RUN_UNTIL(f.l, f.server.c != NULL);
    assert_non_null(f.server.c->deadline);
    assert_true(loop_timer_active(f.server.c->deadline));
    conn_set_deadline(f.server.c, 20); /* instead of ten seconds */
    RUN_UNTIL(f.l, f.server.closes == 1);
    assert_int_equal(f.server.close_code, -ETIMEDOUT);
    assert_non_null(strstr(f.server.close_err.text, "handshake"));
    close(fd);
    stop(&f);
}

static void test_a_clients_deadline_covers_the_handshake(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end server = {0};
    struct end client = {0};
    struct listener *li = rig_listen(l, NULL, &server); /* never answers */
    struct tls_context *context = client_context(pem, NULL, true);
    struct conn_connect how = {
        .host = "127.0.0.1", .port = listener_port(li), .tls = context, .timeout_ms = 100};
    client.c = conn_connect(l, &how, &end_ops, &client);
    RUN_UNTIL(l, client.closes == 1);
    assert_int_equal(client.close_code, -ETIMEDOUT);
    assert_true(server.n_in > 0);
    end_done(&client);
    end_done(&server);
    tls_context_free(context);
    listener_close(li);
    loop_free(l);
}

/* ---- files ---- */

static void test_bad_files_are_named(void **state)
{
    struct error err = {0};
    char junk[PATH_MAX];
    tls_context_free(server_context(NULL));
    snprintf(junk, sizeof(junk), "%s/junk", dir);
    int fd = open(junk, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "junk\n", 5), 5);
    close(fd);
    assert_null(tls_context_new_server("/nonexistent.pem", pem, NULL, &err));
    assert_int_equal(err.code, -ENOENT);
    assert_string_equal(err.where, "/nonexistent.pem");
    assert_null(tls_context_new_server(junk, pem, NULL, &err));
    assert_int_equal(err.code, -EINVAL);
    assert_string_equal(err.where, junk);
    assert_null(tls_context_new_server(pem, junk, NULL, &err));
    assert_string_equal(err.where, junk);
    assert_null(tls_context_new_client(junk, NULL, true, &err));
    assert_int_equal(err.code, -EINVAL);
    /* A key that belongs to another certificate. */
    char other[PATH_MAX];
    snprintf(other, sizeof(other), "%s/other", dir);
    assert_int_equal(rename(pem, other), 0);
    tls_context_free(server_context(NULL));
    assert_null(tls_context_new_server(pem, other, NULL, &err));
    assert_int_equal(err.code, -EINVAL);
    unlink(other);
    unlink(junk);
    assert_null(tls_context_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_self_signed_is_kept_and_private),
        cmocka_unit_test(test_self_signed_says_when_it_cannot_write),
        cmocka_unit_test(test_a_trusted_certificate_is_taken),
        cmocka_unit_test(test_an_unknown_certificate_is_refused),
        cmocka_unit_test(test_a_certificate_for_another_name_is_refused),
        cmocka_unit_test(test_reload_serves_the_new_certificate_to_new_sessions),
        cmocka_unit_test(test_reload_while_sessions_are_made),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_a_plain_peer_is_named_as_such),
        cmocka_unit_test(test_a_server_that_does_not_speak_tls_is_told),
        cmocka_unit_test(test_a_handshake_has_a_deadline),
        cmocka_unit_test(test_a_clients_deadline_covers_the_handshake),
        cmocka_unit_test(test_bad_files_are_named),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
