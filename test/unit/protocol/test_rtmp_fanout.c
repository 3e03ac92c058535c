/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path of a sample to players allocates nothing per player: counted by interposing the allocator, with one and with
 * many players on raw sockets.
 */
#include "../allocations.h"
#include "../await.h"

#include "base/log.h"
#include "base/mem.h"
#include "protocol/rtmp/rtmp_client.h"
#include "protocol/rtmp/rtmp_form.h"
#include "protocol/rtmp/rtmp_server.h"

#include <arpa/inet.h>
#include <signal.h>
#include <unistd.h>

#define WARM_UP 60
#define FRAMES  200
#define MANY    50

static bool started;

static void on_started(void *user)
{
    started = true;
}

static void on_close(void *user, int r, const char *why)
{
    fail_msg("the publisher was closed: %s", why);
}

/* A player that shook hands and asked for live/x. */
static int dial_player(uint16_t port)
{
    _cleanup_(out_done) struct out o = {0};
    uint8_t *hello = out_extend(&o, 1 + 2 * RTMP_HANDSHAKE_SIZE);
    memset(hello, 0, 1 + 2 * RTMP_HANDSHAKE_SIZE);
    hello[0] = 3;
    _cleanup_(out_done) struct out body = {0};
    amf_put_str(&body, "connect");
    amf_put_number(&body, 1);
    amf_begin_object(&body);
    amf_put_member_str(&body, "app", "live");
    amf_end(&body);
    rtmp_write_command(&o, 0, out_view(&body), RTMP_CHUNK_SIZE_DEFAULT);
    body.len = 0;
    rtmp_begin_command(&body, "play", 0);
    amf_put_str(&body, "x");
    rtmp_write_command(&o, 1, out_view(&body), RTMP_CHUNK_SIZE_DEFAULT);

    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct timeval patience = {.tv_sec = AWAIT_MAX_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(send(fd, o.data, o.len, MSG_NOSIGNAL), o.len);
    return fd;
}

/* Until the bytes end with mark, which ends a frame. */
static void read_until(int fd, const uint8_t mark[8])
{
    uint8_t got[65536];
    do {
        const ssize_t n = recv(fd, got + 8, sizeof(got) - 8, 0);
        assert_true(n > 0);
        const size_t tail = MIN((size_t)n, (size_t)8);
        memmove(got, got + tail, 8 - tail);
        memcpy(got + 8 - tail, got + 8 + (size_t)n - tail, tail);
    } while (memcmp(got, mark, 8) != 0);
}

static void wait_for(struct loop *control, const struct rtmp_server *s,
                     enum rtmp_server_state state, uint64_t n)
{
    struct rtmp_server_gauges g;
    RUN_UNTIL(control, (rtmp_server_gauges(s, &g), g.sessions[state] == n));
}

static void send_frame(struct loop *control, struct rtmp_client *pub, unsigned i, uint8_t mark[8])
{
    /* MP3 at 128 kb/s and 44.1 kHz: 417 bytes. */
    uint8_t body[1 + 417] = {0x2f, 0xff, 0xfb, 0x90, 0x64};
    put_u32be(put_u32be(mark, 0xc0ffee11), i);
    memcpy(body + sizeof(body) - 8, mark, 8);
    rtmp_client_send(pub, RTMP_AUDIO, i * 26, BYTES(body, sizeof(body)));
    do {
        loop_run_once(control, 1);
    } while (rtmp_client_queued(pub) > 0);
}

static unsigned long count_with(unsigned n)
{
    static const struct rtmp_client_ops ops = {.on_started = on_started, .on_close = on_close};
    struct loop *control = loop_new("control", LOOP_CONTROL);
    struct loop *media = loop_new("media", 0);
    assert_int_equal(loop_start(media), 0);
    struct engine *e = engine_new(&(struct engine_config){0}, control, &media, 1);
    struct rtmp_server *s = rtmp_server_open(&(struct rtmp_server_config){0}, e, &media, 1, NULL);
    assert_non_null(s);
    _cleanup_free_ char *url = mem_printf("rtmp://127.0.0.1:%u/live/x", rtmp_server_port(s));
    const struct rtmp_client_config c = {.publish = true, .url = url};
    started = false;
    struct rtmp_client *pub = rtmp_client_open(control, &c, &ops, NULL, NULL);
    wait_for(control, s, RTMP_SERVER_PUBLISHING, 1);
    int fds[MANY];
    for (unsigned i = 0; i < n; i++) {
        fds[i] = dial_player(rtmp_server_port(s));
    }
    wait_for(control, s, RTMP_SERVER_PLAYING, n);
    while (!started) {
        loop_run_once(control, 5);
    }

    unsigned long before = 0;
    for (unsigned i = 0; i < WARM_UP + FRAMES; i++) {
        uint8_t mark[8];
        send_frame(control, pub, i, mark);
        /* The first half second is held until the tracks are known. */
        for (unsigned k = 0; i >= WARM_UP / 2 && k < n; k++) {
            read_until(fds[k], mark);
        }
        before = i == WARM_UP ? atomic_load(&allocations) : before;
    }
    const unsigned long after = atomic_load(&allocations);
    for (unsigned i = 0; i < n; i++) {
        close(fds[i]);
    }
    pub = rtmp_client_close(pub);
    loop_run_once(control, 5);
    wait_for(control, s, RTMP_SERVER_PLAYING, 0);
    rtmp_server_close(s);
    engine_free(e);
    loop_stop(media);
    loop_free(media);
    loop_run_once(control, 5);
    /* The client's connection lingers until it sees the server's end. */
    for (int i = 0; i < 300 && uv_loop_alive(loop_uv(control)); i++) {
        loop_run_once(control, 5);
    }
    loop_free(control);
    return after - before;
}

static void test_no_allocation_per_player_and_sample(void **state)
{
    const unsigned long one = count_with(1);
    const unsigned long many = count_with(MANY);
    print_message("%lu allocations with 1 player, %lu with %d\n", one, many, MANY);
    assert_true(one > FRAMES); /* the samples themselves: the counter works */
    /* Batches differ from run to run, by far less than one for every player and sample. */
    assert_true(many < one + FRAMES);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_configure("error", false);
    rtmp_register_forms();
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_allocation_per_player_and_sample)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
