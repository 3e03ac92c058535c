/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server with the real HTTP server and engine on two media loops with threads of their own: connections of both ask one
 * muxer, some leave while their request is away, the publisher comes and goes, and the end comes while requests wait. Made
 * for ThreadSanitizer; what is asserted holds without it.
 */
#include "../engine/rig.h"

#include "io/http.h"
#include "media/fmp4.h"
#include "protocol/hls/hls_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#define PATH    "/live/cam/"
#define CLIENTS 8
#define ROUNDS  12
#define PARTS   40 /* that all of them have got together before the publisher goes */

/* x264, 192x108 at 25 fps, High, level 1.1. */
static const uint8_t avcc[] = {
    0x01, 0x64, 0x00, 0x0b, 0xff, 0xe1, 0x00, 0x19, 0x67, 0x64, 0x00, 0x0b, 0xac, 0xd9, 0x43,
    0x0f, 0xfb, 0xc0, 0x44, 0x00, 0x00, 0x03, 0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c,
    0x50, 0xa6, 0x58, 0x01, 0x00, 0x05, 0x68, 0xeb, 0xec, 0xb2, 0x2c, 0xfd, 0xf8, 0xf8, 0x00,
};
static const uint8_t asc[] = {0x11, 0x90}; /* AAC-LC, 48 kHz, stereo */

struct client {
    struct world *w;
    unsigned index;
    pthread_t thread;
};

struct world {
    struct loop *control, *media[2];
    struct engine *e;
    struct http_server *http;
    struct hls_server *hls;
    struct source src;
    struct loop_timer *timer; /* media[0] */
    uint16_t port;
    struct client clients[CLIENTS];
    atomic_uint playlists, parts, left, wrong, done;
    atomic_bool ends; /* then connections may break */
};

/* ---- clients, each a thread with plain sockets ---- */

static int dial(const struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(w->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void send_get(int fd, const char *file)
{
    char text[512];
    int n =
        snprintf(text, sizeof(text),
                 "GET " PATH "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", file);
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
        shutdown(fd, SHUT_RDWR); /* what reads sees the end */
    }
}

/* Asks and reads to the end; 0 when the connection broke. *ret has the whole reply, to be freed. */
static int get(struct client *c, const char *file, char **ret)
{
    struct out o = {0};
    int status = 0;
    ssize_t n;
    int fd = dial(c->w);
    if (fd >= 0) {
        send_get(fd, file);
        char chunk[4096];
        while ((n = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
            out_bytes(&o, BYTES(chunk, (size_t)n));
        }
        close(fd);
    }
    out_u8(&o, 0);
    *ret = out_take_str(&o);
    return sscanf(*ret, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

/* Leaves while the answer is on its way, or not there yet. */
static void ask_and_leave(struct client *c, const char *file)
{
    int fd = dial(c->w);
    if (fd >= 0) {
        send_get(fd, file);
        close(fd);
        atomic_fetch_add(&c->w->left, 1);
    }
}

static void expect(struct client *c, int status, int or, int or_else)
{
    bool good = status == 200 || status == or || status == or_else;
    if (!good && !(status == 0 && atomic_load(&c->w->ends))) {
        fprintf(stderr, "a client was told %d\n", status);
        atomic_fetch_add(&c->w->wrong, 1);
    }
}

/* What is hinted at: the name of a file, and as directives. */
static bool read_hint(const char *playlist, char *file, size_t size, char *reload, size_t more)
{
    unsigned long long msn;
    unsigned part;
    const char *at = strstr(playlist, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video1-");
    if (!at || sscanf(at, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"video1-%llu.%u", &msn, &part) != 2) {
        return false;
    }
    snprintf(file, size, "~hls/video1-%llu.%u.m4s", msn, part);
    snprintf(reload, more, "~hls/video1.m3u8?_HLS_msn=%llu&_HLS_part=%u", msn, part);
    return true;
}

static void play_round(struct client *c, unsigned round)
{
    char file[80];
    char reload[120];
    _cleanup_free_ char *master = NULL;
    _cleanup_free_ char *list = NULL;
    _cleanup_free_ char *part = NULL;
    _cleanup_free_ char *next = NULL;
    expect(c, get(c, "index.m3u8", &master), 404, 503);
    int status = get(c, "~hls/video1.m3u8", &list);
    expect(c, status, 404, 503);
    if (status != 200 || !read_hint(list, file, sizeof(file), reload, sizeof(reload))) {
        return;
    }
    atomic_fetch_add(&c->w->playlists, 1);
    if (round % 3 == c->index % 3) {
        ask_and_leave(c, reload);
        ask_and_leave(c, file);
        return;
    }
    status = get(c, file, &part); /* a 404 when the part became the first of another stretch */
    expect(c, status, 404, 503);
    atomic_fetch_add(&c->w->parts, status == 200);
    status = get(c, reload, &next);
    expect(c, status, 404, 503);
}

static void *run_client(void *arg)
{
    struct client *c = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        play_round(c, i);
    }
    while (!atomic_load(&c->w->ends)) { /* something waits when the end comes */
        play_round(c, 1 + c->index);
    }
    atomic_fetch_add(&c->w->done, 1);
    return NULL;
}

/* ---- the publisher, on a loop of its own ---- */

static void on_frame(void *user)
{
    struct world *w = user;
    source_frame(&w->src);
    loop_timer_start(w->timer, 5);
}

static void publish(struct loop *l, void *arg)
{
    struct world *w = arg;
    source_open(&w->src, w->e, l, "live/cam");
    loop_timer_start(w->timer, 1);
}

static void unpublish(struct loop *l, void *arg)
{
    struct world *w = arg;
    loop_timer_stop(w->timer);
    w->src.p = publisher_close(w->src.p);
    w->src.base_ns += 10 * NS_PER_S; /* the next one has a clock of its own */
    w->src.frame = 0;
}

static void new_timer(struct loop *l, void *arg)
{
    struct world *w = arg;
    w->timer = loop_timer_new(l, on_frame, w);
}

static void free_timer(struct loop *l, void *arg)
{
    struct world *w = arg;
    unpublish(l, w);
    w->timer = loop_timer_free(w->timer);
}

static void use_params(struct source *src, unsigned i, enum codec codec, struct bytes config)
{
    struct error err = {0};
    track_params_unref(&src->params[i]);
    assert_int_equal(track_params_new(codec, config, &src->params[i], &err), 0);
}

/* ---- the world ---- */

static struct world *begin(void)
{
    static const struct hls_config config = {
        .segment_ns = NS_PER_S, .part_ns = 200 * NS_PER_MS, .segments = 8, .bytes_max = 16 << 20};
    struct world *w = mem_new(struct world);
    struct error err = {0};
    w->control = loop_new("control", LOOP_CONTROL);
    w->media[0] = loop_new("media0", 0);
    w->media[1] = loop_new("media1", 1);
    w->e = engine_new(&(struct engine_config){.continuity_ms = 200}, w->control, w->media, 2);
    assert_int_equal(loop_start(w->media[0]), 0);
    assert_int_equal(loop_start(w->media[1]), 0);
    w->hls = hls_server_new(&config, w->e, w->media, 2);
    w->http = http_server_new(&(struct http_server_config){0}, w->control);
    http_server_mount(w->http, hls_routes, hls_routes_n, w->hls);
    struct listener_config lc = {.address = "127.0.0.1", .name = "test"};
    assert_int_equal(http_server_listen(w->http, &lc, w->media, 2, &err), 0);
    w->port = (uint16_t)listener_port(http_server_listener(w->http, 0));
    source_init(&w->src, CODEC_H264, true);
    use_params(&w->src, 0, CODEC_H264, BYTES(avcc, sizeof(avcc)));
    use_params(&w->src, 1, CODEC_AAC, BYTES(asc, sizeof(asc)));
    loop_call_wait(w->media[0], new_timer, w);
    loop_call_wait(w->media[0], publish, w);
    return w;
}

static void end(struct world *w)
{
    atomic_store(&w->ends, true);
    loop_call_wait(w->media[0], free_timer, w);
    w->http = http_server_free(
        w->http); /* from here on nobody asks; what waits is still with its muxer */
    w->e = engine_free(w->e);
    w->hls = hls_server_free(w->hls);
    RUN_UNTIL(w->control, atomic_load(&w->done) == CLIENTS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(w->clients[i].thread, NULL);
    }
    for (unsigned i = 0; i < 2; i++) {
        loop_stop(w->media[i]);
        loop_free(w->media[i]);
    }
    loop_free(w->control);
    source_done(&w->src);
    free(w);
    assert_no_media_lives();
}

static void test_many_loops_one_muxer(void **state)
{
    struct world *w = begin();
    for (unsigned i = 0; i < CLIENTS; i++) {
        w->clients[i] = (struct client){.w = w, .index = i};
        assert_int_equal(pthread_create(&w->clients[i].thread, NULL, run_client, &w->clients[i]),
                         0);
    }
    for (unsigned restarts = 1; restarts <= 3; restarts++) {
        RUN_UNTIL(w->control, atomic_load(&w->parts) >= restarts * PARTS / 2);
        loop_call_wait(w->media[0], unpublish, w);
        loop_call_wait(w->media[0], publish, w);
    }
    RUN_UNTIL(w->control, atomic_load(&w->parts) >= 2 * PARTS && atomic_load(&w->left) > CLIENTS);
    struct hls_gauges g;
    hls_server_gauges(w->hls, &g);
    assert_int_equal(g.streams, 1);
    assert_true(g.requests_total > 2 * PARTS);
    assert_true(atomic_load(&w->playlists) > 0);
    assert_int_equal(atomic_load(&w->wrong), 0);
    end(w);
}

int main(void)
{
    media_register_forms();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_loops_one_muxer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
