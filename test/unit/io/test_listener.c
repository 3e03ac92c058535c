/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: several loops, limits, running out of descriptors, and what many connects and hang-ups leave behind. */
#include "../unit.h"

#include "rig.h"

#include "base/log.h"
#include "io/inherit.h"
#include "io/tls.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

static char state_dir[] = "/tmp/mast-test-listener-XXXXXX";
static struct tls_context *tls_server;
static struct tls_context *tls_client;

static int make_contexts(void **state)
{
    char ca[PATH_MAX];
    assert_non_null(mkdtemp(state_dir));
    tls_server = tls_context_self_signed(state_dir, NULL, NULL);
    snprintf(ca, sizeof(ca), "%s/tls-self-signed.pem", state_dir);
    tls_client = tls_context_new_client(ca, NULL, true, NULL);
    assert_non_null(tls_server);
    assert_non_null(tls_client);
    unlink(ca);
    rmdir(state_dir);
    return 0;
}

static int free_contexts(void **state)
{
    tls_context_free(tls_server);
    tls_context_free(tls_client);
    return 0;
}

/* ---- a session that echoes, made and freed on its loop ---- */

struct echo {
    struct conn *c;
};

static atomic_int echoes;
static atomic_int born_on[2];

static void echo_read(void *user, struct bytes data)
{
    struct echo *e = user;
    conn_send_bytes(e->c, data);
}

/* Before the connection goes, which the tests see by listener_live(). */
static void echo_close(void *user, int r, const struct error *err)
{
    struct echo *e = user;
    atomic_fetch_sub(&echoes, 1);
    conn_close(e->c);
    free(e);
}

static const struct conn_ops echo_ops = {.on_read = echo_read, .on_close = echo_close};

static void echo_accept(void *user, struct conn *c)
{
    struct echo *e = mem_new(struct echo);
    e->c = c;
    conn_set_ops(c, &echo_ops, e);
    atomic_fetch_add(&echoes, 1);
    assert(loop_is_current(conn_loop(c)));
    atomic_fetch_add(&born_on[loop_index(conn_loop(c))], 1);
}

struct server {
    struct loop *loops[2];
    struct listener *li;
};

static void server_start(struct server *s, struct listener_config config)
{
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        s->loops[i] = loop_new("media", i);
        assert_int_equal(loop_start(s->loops[i]), 0);
        atomic_store(&born_on[i], 0);
    }
    config.address = config.address ? config.address : "127.0.0.1";
    s->li = listener_open(&config, s->loops, 2, echo_accept, NULL, &err);
    if (!s->li) {
        fail_msg("%s: %s", err.where, err.text);
    }
}

static void server_stop(struct server *s)
{
    listener_close(s->li);
    for (int i = 0; i < 2; i++) {
        loop_stop(s->loops[i]);
        loop_free(s->loops[i]);
    }
}

static void echo_once(int fd)
{
    char got[8] = {0};
    assert_int_equal(write(fd, "ping", 4), 4);
    assert_int_equal(recv(fd, got, 4, MSG_WAITALL), 4);
    assert_string_equal(got, "ping");
}

static void test_both_loops_serve_one_port(void **state)
{
    struct server s;
    int fds[64];
    server_start(&s, (struct listener_config){.name = "two"});
    for (int i = 0; i < 64; i++) {
        fds[i] = rig_raw_connect(listener_port(s.li));
        echo_once(fds[i]);
    }
    assert_true(atomic_load(&born_on[0]) > 0);
    assert_true(atomic_load(&born_on[1]) > 0);
    assert_int_equal(atomic_load(&born_on[0]) + atomic_load(&born_on[1]), 64);
    assert_int_equal(listener_live(s.li), 64);
    for (int i = 0; i < 64; i++) {
        close(fds[i]);
    }
    WAIT_UNTIL(listener_live(s.li) == 0);
    assert_int_equal(atomic_load(&echoes), 0);
    assert_int_equal(listener_accepted(s.li), 64);
    server_stop(&s);
}

/* A client of OpenSSL's own, blocking, so that our TLS is checked against more than itself. */
static void tls_echo(uint16_t port, bool hang_up)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int fd = rig_raw_connect(port);
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    if (!hang_up) {
        char big[40000];
        char got[40000];
        int n = 0;
        memset(big, 'x', sizeof(big));
        assert_int_equal(SSL_write(ssl, big, sizeof(big)), sizeof(big));
        while (n < (int)sizeof(got)) {
            int r = SSL_read(ssl, got + n, (int)sizeof(got) - n);
            assert_true(r > 0);
            n += r;
        }
        assert_memory_equal(big, got, sizeof(big));
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
}

static void test_both_loops_serve_tls(void **state)
{
    struct server s;
    server_start(&s, (struct listener_config){.tls = tls_server});
    for (int i = 0; i < 16; i++) {
        tls_echo(listener_port(s.li), i % 4 == 3);
    }
    WAIT_UNTIL(listener_live(s.li) == 0);
    assert_int_equal(atomic_load(&echoes), 0);
    assert_true(atomic_load(&born_on[0]) + atomic_load(&born_on[1]) == 16);
    server_stop(&s);
}

static void hang_up_badly(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

static void test_a_thousand_hang_ups_leave_nothing(void **state)
{
    unsigned fds_before = rig_count_fds();
    struct server s;
    server_start(&s, (struct listener_config){.max_conns_per_address = 5000});
    for (int i = 0; i < 1000; i++) {
        int fd = rig_raw_connect(listener_port(s.li));
        switch (i % 4) {
        case 0:
            close(fd);
            break;
        case 1:
            hang_up_badly(fd);
            break;
        case 2:
            assert_int_equal(write(fd, "half a request", 14), 14);
            close(fd);
            break;
        default:
            echo_once(fd);
            close(fd);
            break;
        }
    }
    WAIT_UNTIL(listener_live(s.li) == 0 && listener_accepted(s.li) == 1000);
    assert_int_equal(atomic_load(&echoes), 0);
    assert_int_equal(listener_refused(s.li), 0);
    server_stop(&s);
    assert_int_equal(rig_count_fds(), fds_before);
    assert_int_equal(buf_live_count(), 0);
}

static void test_a_hundred_hang_ups_in_the_handshake_leave_nothing(void **state)
{
    unsigned fds_before = rig_count_fds();
    struct server s;
    server_start(&s, (struct listener_config){.tls = tls_server});
    for (int i = 0; i < 100; i++) {
        int fd = rig_raw_connect(listener_port(s.li));
        if (i % 2) {
            /* A record header, and then nothing of what it announces. */
            assert_int_equal(write(fd, "\x16\x03\x01\x02\x00\x01", 6), 6);
        }
        if (i % 3) {
            hang_up_badly(fd);
        } else {
            close(fd);
        }
    }
    WAIT_UNTIL(listener_live(s.li) == 0 && listener_accepted(s.li) == 100);
    assert_int_equal(atomic_load(&echoes), 0);
    server_stop(&s);
    assert_int_equal(rig_count_fds(), fds_before);
}

/* A port for both: the first byte decides, and until there is one nothing is decided. */
static void test_plain_and_tls_share_a_port(void **state)
{
    unsigned fds_before = rig_count_fds();
    struct server s;
    server_start(&s, (struct listener_config){.tls = tls_server, .plain_too = true});
    int silent = rig_raw_connect(listener_port(s.li));
    for (int i = 0; i < 8; i++) {
        int fd = rig_raw_connect(listener_port(s.li));
        echo_once(fd);
        echo_once(fd);
        close(fd);
        tls_echo(listener_port(s.li), i % 4 == 3);
    }
    WAIT_UNTIL(listener_live(s.li) == 1);
    echo_once(silent);
    close(silent);
    for (int i = 0; i < 8; i++) {
        int fd = rig_raw_connect(listener_port(s.li));
        if (i % 2) {
            assert_int_equal(write(fd, "\x16", 1), 1);
        }
        if (i & 2) {
            hang_up_badly(fd);
        } else {
            close(fd);
        }
    }
    WAIT_UNTIL(listener_live(s.li) == 0 && listener_accepted(s.li) == 25);
    assert_int_equal(atomic_load(&echoes), 0);
    server_stop(&s);
    assert_int_equal(rig_count_fds(), fds_before);
    assert_int_equal(buf_live_count(), 0);
}

/* ---- sockets that were handed over ---- */

/* Descriptors 3 and 4, as a service manager gives them; what lay there is put back by the caller. */
static uint16_t hand_over(int at)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    if (fd != at) {
        assert_int_equal(dup2(fd, at), at);
        close(fd);
    }
    return ntohs(sa.sin_port);
}

static void say_handed_over(pid_t pid, const char *count)
{
    char text[32];
    snprintf(text, sizeof(text), "%d", (int)pid);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", count, 1);
    inherit_init();
    assert_null(getenv("LISTEN_FDS"));
}

static void test_sockets_that_were_handed_over(void **state)
{
    int kept[2];
    struct server s;
    for (int i = 0; i < 2; i++) {
        kept[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 100);
    }
    uint16_t wanted = hand_over(3);
    uint16_t unwanted = hand_over(4);

    /* Who waits in the queue since before anybody polls it is served too. */
    int early = rig_raw_connect(wanted);
    say_handed_over(getpid(), "2");
    server_start(&s, (struct listener_config){.port = wanted});
    int fds[8];
    assert_int_equal(listener_fds(s.li, fds, 8), 2); /* one for each loop, both the same socket */
    assert_int_equal(listener_port(s.li), wanted);
    echo_once(early);
    for (int i = 0; i < 16; i++) {
        int fd = rig_raw_connect(wanted);
        echo_once(fd);
        close(fd);
    }
    inherit_close_rest();
    assert_int_equal(fcntl(4, F_GETFD), -1);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(unwanted)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), -1);
    close(fd);
    close(early);
    WAIT_UNTIL(listener_live(s.li) == 0);
    server_stop(&s);
    for (int i = 0; i < 2; i++) {
        if (kept[i] >= 0) {
            dup2(kept[i], 3 + i);
            close(kept[i]);
        }
    }
}

static void test_sockets_for_another_process(void **state)
{
    int fds[4];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    say_handed_over(getpid() + 1, "1");
    assert_int_equal(inherit_take((struct sockaddr *)&sa, fds, 4), 0);
}

/* ---- limits ---- */

static bool is_shut(int fd)
{
    char c;
    return recv(fd, &c, 1, 0) <= 0;
}

static void test_the_limit_of_a_listener(void **state)
{
    struct server s;
    int fds[4];
    server_start(&s, (struct listener_config){.max_conns = 3});
    for (int i = 0; i < 3; i++) {
        fds[i] = rig_raw_connect(listener_port(s.li));
        echo_once(fds[i]);
    }
    fds[3] = rig_raw_connect(listener_port(s.li));
    assert_true(is_shut(fds[3]));
    WAIT_UNTIL(listener_refused(s.li) == 1);
    assert_int_equal(listener_live(s.li), 3);
    close(fds[3]);
    /* A place that is free again is given again. */
    close(fds[0]);
    WAIT_UNTIL(listener_live(s.li) == 2);
    fds[0] = rig_raw_connect(listener_port(s.li));
    echo_once(fds[0]);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
    WAIT_UNTIL(listener_live(s.li) == 0);
    server_stop(&s);
}

static int connect_from(const char *address, uint16_t port)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    inet_pton(AF_INET, address, &from.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void test_the_limit_of_an_address_is_its_own(void **state)
{
    struct server s;
    server_start(&s, (struct listener_config){.max_conns_per_address = 2});
    uint16_t port = listener_port(s.li);
    int a = connect_from("127.0.0.1", port);
    int b = connect_from("127.0.0.1", port);
    echo_once(a);
    echo_once(b);
    int over = connect_from("127.0.0.1", port);
    assert_true(is_shut(over));
    int other = connect_from("127.0.0.2", port);
    echo_once(other);
    assert_int_equal(listener_refused(s.li), 1);
    assert_int_equal(listener_live(s.li), 3);
    close(a);
    WAIT_UNTIL(listener_live(s.li) == 2);
    a = connect_from("127.0.0.1", port);
    echo_once(a);
    close(a);
    close(b);
    close(over);
    close(other);
    WAIT_UNTIL(listener_live(s.li) == 0);
    server_stop(&s);
}

/* ---- out of descriptors ---- */

static int complaints;
static int all_clears;

static void count_lines(void *user, enum log_level level, const char *topic, const char *text)
{
    complaints += level == LOG_ERROR && strstr(text, "cannot accept") != NULL;
    all_clears += level == LOG_INFO && strstr(text, "again") != NULL;
}

static void nothing(struct loop *l, void *arg)
{
}

static void test_accepting_waits_while_descriptors_are_out(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct listener_config config = {.address = "127.0.0.1", .name = "full"};
    struct listener *li = listener_open(&config, &l, 1, echo_accept, NULL, NULL);
    struct rlimit before;
    int fds[3];
    complaints = all_clears = 0;
    log_set_sink(count_lines, NULL);
    for (int i = 0; i < 3; i++) {
        fds[i] = rig_raw_connect(listener_port(li));
    }
    loop_call_wait(l, nothing, NULL); /* the listener polls */
    int first_free = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(first_free);
    getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit none = {.rlim_cur = (rlim_t)first_free, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    RUN_UNTIL(l, complaints > 0);
    /* Said once, however often it is tried: several times in this while, on any but the slowest machine. */
    int64_t until = clock_mono_ns() + 600 * NS_PER_MS;
    while (clock_mono_ns() < until) {
        loop_run_once(l, 50);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(listener_accepted(li), 0);
    assert_int_equal(complaints, 1);
    RUN_UNTIL(l, listener_accepted(li) == 3);
    assert_int_equal(all_clears, 1);
    log_set_sink(NULL, NULL);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
    RUN_UNTIL(l, listener_live(li) == 0);
    listener_close(li);
    loop_free(l);
}

/* ---- opening and closing ---- */

static void test_a_port_in_use_is_refused(void **state)
{
    struct server s;
    struct error err = {0};
    server_start(&s, (struct listener_config){0});
    struct listener_config again = {.address = "127.0.0.1", .port = listener_port(s.li)};
    assert_null(listener_open(&again, s.loops, 2, echo_accept, NULL, &err));
    assert_int_equal(err.code, -EADDRINUSE);
    char expected[96];
    snprintf(expected, sizeof(expected), "cannot listen at 127.0.0.1:%u: Address already in use",
             again.port);
    error_prefix(&err, "http");
    assert_string_equal(err.where, "http");
    assert_string_equal(err.text, expected);
    server_stop(&s);
}

static void test_an_address_that_is_none_is_refused(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct error err = {0};
    struct listener_config config = {.address = "localhost"};
    assert_null(listener_open(&config, &l, 1, echo_accept, NULL, &err));
    assert_int_equal(err.code, -EINVAL);
    config.address = "192.0.2.1";
    assert_null(listener_open(&config, &l, 1, echo_accept, NULL, &err));
    assert_int_equal(err.code, -EADDRNOTAVAIL);
    loop_free(l);
}

static void test_connections_outlive_their_listener(void **state)
{
    struct server s;
    server_start(&s, (struct listener_config){.max_conns_per_address = 10});
    uint16_t port = listener_port(s.li);
    int fd = rig_raw_connect(port);
    echo_once(fd);
    s.li = listener_close(s.li);
    assert_null(s.li);
    echo_once(fd);
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int refused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(refused, (struct sockaddr *)&in, sizeof(in)), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(refused);
    close(fd);
    WAIT_UNTIL(atomic_load(&echoes) == 0);
    server_stop(&s);
}

/* The order in which a program ends: loops stop first, listeners are closed after. */
static void test_closing_after_the_loops_have_stopped(void **state)
{
    struct server s;
    server_start(&s, (struct listener_config){0});
    loop_stop(s.loops[0]);
    loop_stop(s.loops[1]);
    server_stop(&s);
}

static void test_a_dual_stack_listener_shows_v4_as_v4(void **state)
{
    struct loop *l = loop_new("t", 0);
    struct end server = {0};
    struct listener_config config = {.address = "::", .max_conns_per_address = 1};
    struct error err = {0};
    struct listener *li = listener_open(&config, &l, 1, end_accept, &server, &err);
    if (!li) {
        assert_int_equal(err.code, -EAFNOSUPPORT); /* a machine without IPv6 */
        loop_free(l);
        return;
    }
    int fd = rig_raw_connect(listener_port(li));
    RUN_UNTIL(l, server.c != NULL);
    assert_memory_equal(conn_peer(server.c)->text, "127.0.0.1:", 10);
    close(fd);
    end_done(&server);
    listener_close(li);
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_loops_serve_one_port),
        cmocka_unit_test(test_both_loops_serve_tls),
        cmocka_unit_test(test_a_thousand_hang_ups_leave_nothing),
        cmocka_unit_test(test_a_hundred_hang_ups_in_the_handshake_leave_nothing),
        cmocka_unit_test(test_plain_and_tls_share_a_port),
        cmocka_unit_test(test_sockets_that_were_handed_over),
        cmocka_unit_test(test_sockets_for_another_process),
        cmocka_unit_test(test_the_limit_of_a_listener),
        cmocka_unit_test(test_the_limit_of_an_address_is_its_own),
        cmocka_unit_test(test_accepting_waits_while_descriptors_are_out),
        cmocka_unit_test(test_a_port_in_use_is_refused),
        cmocka_unit_test(test_an_address_that_is_none_is_refused),
        cmocka_unit_test(test_connections_outlive_their_listener),
        cmocka_unit_test(test_closing_after_the_loops_have_stopped),
        cmocka_unit_test(test_a_dual_stack_listener_shows_v4_as_v4),
    };
    return cmocka_run_group_tests(tests, make_contexts, free_contexts);
}
