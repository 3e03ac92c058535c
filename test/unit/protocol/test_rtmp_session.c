/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server sessions over loopback TCP with a real engine: publishers are replays of what ffmpeg and GStreamer said
 * (test/data/rtmp), players are our client. Media loops run on their threads; the control loop, and the clients on it, are
 * driven by the test.
 */
#include "../await.h"

#include "base/log.h"
#include "base/mem.h"
#include "protocol/rtmp/rtmp_client.h"
#include "protocol/rtmp/rtmp_form.h"
#include "protocol/rtmp/rtmp_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define LOOPS 2

struct world {
    struct loop *control;
    struct loop *loops[LOOPS];
    struct engine *engine;
    struct rtmp_server *server;
};

static struct world W;

static void world_open(const struct engine_config *engine, const struct rtmp_server_config *server)
{
    W.control = loop_new("control", LOOP_CONTROL);
    for (int i = 0; i < LOOPS; i++) {
        W.loops[i] = loop_new("media", i);
        assert_int_equal(loop_start(W.loops[i]), 0);
    }
    W.engine = engine_new(engine, W.control, W.loops, LOOPS);
    struct error err = {0};
    W.server = rtmp_server_open(server, W.engine, W.loops, LOOPS, &err);
    assert_non_null(W.server);
}

static uint64_t live_sessions(void)
{
    struct rtmp_server_gauges g;
    rtmp_server_gauges(W.server, &g);
    uint64_t n = 0;
    for (int i = 0; i < RTMP_SERVER_STATE_N; i++) {
        n += g.sessions[i];
    }
    return n;
}

static uint64_t dropped(void)
{
    struct rtmp_server_gauges g;
    rtmp_server_gauges(W.server, &g);
    return g.dropped_total;
}

static bool in_state(enum rtmp_server_state state, uint64_t n)
{
    struct rtmp_server_gauges g;
    rtmp_server_gauges(W.server, &g);
    return g.sessions[state] == n;
}

#define AWAIT(cond) RUN_UNTIL(W.control, cond)

static void world_close(void)
{
    W.server = rtmp_server_close(W.server);
    W.engine = engine_free(W.engine);
    for (int i = 0; i < LOOPS; i++) {
        loop_stop(W.loops[i]);
        loop_free(W.loops[i]);
    }
    loop_run_once(W.control, 0);
    loop_free(W.control);
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

/* ---- raw peers ---- */

static struct bytes recorded(const char *name)
{
    _cleanup_free_ char *path = mem_printf("%s/rtmp/%s", TEST_DATA, name);
    const int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    const size_t max = 1 << 20;
    uint8_t *p = mem_alloc(max);
    const ssize_t n = read(fd, p, max);
    assert_true(n > 0);
    close(fd);
    return BYTES(p, (size_t)n);
}

static int dial_with(int fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(rtmp_server_port(W.server))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static int dial(void)
{
    return dial_with(socket(AF_INET, SOCK_STREAM, 0));
}

static void say(int fd, struct bytes b)
{
    while (b.len > 0) {
        const ssize_t n = send(fd, b.data, b.len, MSG_NOSIGNAL);
        if (n < 0) {
            return; /* the server has had enough */
        }
        b = BYTES(b.data + n, b.len - (size_t)n);
    }
}

/* Up to where the recorded peer takes leave, so that it goes on publishing. Counted in messages of media. */
static size_t bytes_until_media(struct bytes all, unsigned n_media)
{
    struct rtmp_chunk_reader r;
    rtmp_chunk_reader_init(&r, RTMP_MESSAGE_MAX);
    struct rd in = rd_init(all);
    rd_skip(&in, 1 + 2 * RTMP_HANDSHAKE_SIZE);
    struct rtmp_message m;
    while (n_media > 0 && rtmp_chunk_read(&r, &in, &m, NULL) > 0) {
        n_media -= m.type == RTMP_VIDEO || m.type == RTMP_AUDIO;
    }
    assert_int_equal(n_media, 0);
    rtmp_chunk_reader_done(&r);
    return all.len - rd_left(&in);
}

/* Publishes the first n_media messages of a record and stays. */
static int replay(const char *name, unsigned n_media)
{
    const struct bytes all = recorded(name);
    const int fd = dial();
    say(fd, BYTES(all.data, bytes_until_media(all, n_media)));
    free((void *)all.data);
    return fd;
}

/* ---- players ---- */

struct player {
    struct rtmp_client *client;
    bool started;
    bool ended;
    int result;
    char why[200];
    unsigned n[10]; /* messages by type */
    uint32_t last_ts[10];
    bool backwards;
    uint32_t body_sum;
    struct out log; /* statuses */
    bool close_on_media;
};

static void on_started(void *user)
{
    ((struct player *)user)->started = true;
}

static void on_media(void *user, const struct rtmp_message *m)
{
    struct player *p = user;
    if (p->n[m->type] > 0 && (int32_t)(m->timestamp - p->last_ts[m->type]) < 0) {
        p->backwards = true;
    }
    p->last_ts[m->type] = m->timestamp;
    p->n[m->type]++;
    for (size_t i = 0; i < m->body.len; i++) {
        p->body_sum += m->body.data[i];
    }
    if (p->close_on_media) {
        p->client = rtmp_client_close(p->client);
    }
}

static void on_metadata(void *user, const struct amf_value *metadata)
{
    struct player *p = user;
    out_printf(&p->log, "metadata(%g,%g) ", amf_get_number(metadata, "videocodecid", 0),
               amf_get_number(metadata, "audiocodecid", 0));
}

static void on_status(void *user, struct bytes code)
{
    struct player *p = user;
    out_printf(&p->log, "%.*s ", (int)code.len, code.data);
}

static void on_close(void *user, int r, const char *why)
{
    struct player *p = user;
    p->ended = true;
    p->result = r;
    snprintf(p->why, sizeof(p->why), "%s", why);
}

static void start(struct player *p, bool publish, const char *path)
{
    static const struct rtmp_client_ops ops = {.on_started = on_started,
                                               .on_media = on_media,
                                               .on_metadata = on_metadata,
                                               .on_status = on_status,
                                               .on_close = on_close};
    _cleanup_free_ char *url =
        mem_printf("rtmp://127.0.0.1:%u/%s", rtmp_server_port(W.server), path);
    const struct rtmp_client_config c = {.publish = publish, .url = url};
    p->client = rtmp_client_open(W.control, &c, &ops, p, NULL);
    assert_non_null(p->client);
}

static void stop(struct player *p)
{
    p->client = rtmp_client_close(p->client);
    out_done(&p->log);
}

static bool logged(struct player *p, const char *what)
{
    return strstr(out_str(&p->log), what) != NULL;
}

/* ---- tests ---- */

static void test_play_what_programs_publish(void **state)
{
    static const struct {
        const char *name;
        unsigned messages; /* of media sent, among them the sequence headers */
        unsigned video, audio;
        const char *metadata;
    } t[] = {
        {"ffmpeg-publish", 40, 10, 20, "metadata(7,10)"},
        {"ffmpeg-audio", 30, 0, 20, "metadata(0,2)"},
        {"gst-rtmp2sink", 12, 8, 0, "metadata(7,0)"},
        {"gst-rtmpsink", 12, 8, 0, "metadata(7,0)"},
    };
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        _cleanup_free_ char *file = mem_printf("%s.c2s", t[i].name);
        _cleanup_free_ char *path = mem_printf("live/%s", t[i].name);
        struct player before = {0};
        struct player after = {0};
        start(&before, false, path);
        AWAIT(before.started);
        const int fd = replay(file, t[i].messages);
        AWAIT(before.n[RTMP_VIDEO] >= t[i].video && before.n[RTMP_AUDIO] >= t[i].audio);
        start(&after, false, path);
        AWAIT(after.n[RTMP_VIDEO] + after.n[RTMP_AUDIO] > 3);
        assert_false(before.backwards);
        assert_false(after.backwards);
        assert_true(logged(&before, t[i].metadata));
        assert_true(logged(&after, t[i].metadata));
        stop(&before);
        stop(&after);
        close(fd);
        AWAIT(live_sessions() == 0);
    }
    assert_int_equal(dropped(), 0);
    world_close();
}

/* Every audio message and its distance in time arrive as they were sent. */
static void test_nothing_is_lost(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    const struct bytes all = recorded("ffmpeg-audio.c2s");
    uint32_t sum = 0;
    unsigned n = 0;
    uint32_t first = 0;
    uint32_t last = 0;
    struct rtmp_chunk_reader r;
    rtmp_chunk_reader_init(&r, RTMP_MESSAGE_MAX);
    struct rd in = rd_init(all);
    rd_skip(&in, 1 + 2 * RTMP_HANDSHAKE_SIZE);
    struct rtmp_message m;
    while (rtmp_chunk_read(&r, &in, &m, NULL) > 0) {
        if (m.type == RTMP_AUDIO && m.body.len > 0) {
            first = n++ == 0 ? m.timestamp : first;
            last = m.timestamp;
            for (size_t i = 0; i < m.body.len; i++) {
                sum += m.body.data[i];
            }
        }
    }
    rtmp_chunk_reader_done(&r);

    struct player p = {0};
    start(&p, false, "live/ffmpeg-audio");
    AWAIT(p.started);
    /* A reader that waited starts at the newest group: it has to be there before there are two. */
    const size_t begun = bytes_until_media(all, 2);
    const int fd = dial();
    say(fd, BYTES(all.data, begun));
    AWAIT(p.n[RTMP_AUDIO] > 0);
    say(fd, BYTES(all.data + begun, bytes_until_media(all, n) - begun));
    AWAIT(p.n[RTMP_AUDIO] == n);
    free((void *)all.data);
    assert_int_equal(p.body_sum, sum);
    assert_false(p.backwards);
    assert_true(last > first);
    stop(&p);
    close(fd);
    AWAIT(live_sessions() == 0);
    world_close();
}

static void test_second_publisher_is_refused(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    const int fd = replay("ffmpeg-publish.c2s", 20);
    AWAIT(in_state(RTMP_SERVER_PUBLISHING, 1));
    struct player p = {0};
    start(&p, true, "live/ffmpeg-publish");
    AWAIT(p.ended);
    assert_int_equal(p.result, -EACCES);
    assert_non_null(strstr(p.why, "NetStream.Publish.BadName"));
    stop(&p);
    close(fd);
    AWAIT(live_sessions() == 0);
    world_close();
}

static void test_bad_path_is_refused(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    struct player a = {0};
    struct player b = {0};
    start(&a, true, "live/~x");
    start(&b, false, "live/~x");
    AWAIT(a.ended && b.ended);
    assert_non_null(strstr(a.why, "NetStream.Publish.BadName"));
    assert_non_null(strstr(b.why, "NetStream.Play.StreamNotFound"));
    stop(&a);
    stop(&b);
    AWAIT(live_sessions() == 0);
    world_close();
}

/* An answerer that keeps its tickets until the test answers. */
static struct access_ticket *_Atomic asked;
static char asked_query[64];
static char asked_user[64];

static void keep_ticket(void *user, struct access_ticket *t)
{
    const struct access_request *req = access_ticket_request(t);
    snprintf(asked_query, sizeof(asked_query), "%s", req->query ? req->query : "");
    snprintf(asked_user, sizeof(asked_user), "%s", req->user ? req->user : "");
    asked = t;
}

static void test_access(void **state)
{
    const struct engine_config e = {.access = {.ask = keep_ticket}};
    world_open(&e, &(struct rtmp_server_config){0});
    /* Everything is sent while the question is open: nothing of it gets lost. */
    asked = NULL;
    const int fd = replay("ffmpeg-publish.c2s", 40);
    AWAIT(asked);
    assert_string_equal(asked_query, "key=k");
    assert_true(in_state(RTMP_SERVER_ASKED_PUBLISH, 1));
    struct access_answer yes = {.path = "mapped/path"};
    access_reply(asked, &yes);
    AWAIT(in_state(RTMP_SERVER_PUBLISHING, 1));

    struct player p = {0};
    asked = NULL;
    start(&p, false, "other/name?user=u&pass=p");
    AWAIT(asked);
    assert_string_equal(asked_user, "u");
    access_reply(asked, &yes);
    AWAIT(p.n[RTMP_VIDEO] > 5);
    stop(&p);

    struct player refused = {0};
    asked = NULL;
    start(&refused, false, "live/x");
    AWAIT(asked);
    struct access_answer no = {.result = -EACCES};
    error_set(&no.err, -EACCES, "", "the key is not known");
    access_reply(asked, &no);
    AWAIT(refused.ended);
    assert_non_null(strstr(refused.why, "the key is not known"));
    stop(&refused);

    /* Gone while the question is open. */
    struct player gone = {0};
    asked = NULL;
    start(&gone, false, "live/x");
    AWAIT(asked);
    stop(&gone);
    close(fd);
    AWAIT(live_sessions() == 0);
    access_reply(asked, &yes);
    world_close();
}

static void test_nobody_publishes(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){.wait_ms = 100});
    struct player p = {0};
    start(&p, false, "live/nobody");
    AWAIT(p.ended);
    assert_true(p.started);
    assert_non_null(strstr(p.why, "NetStream.Play.StreamNotFound"));
    stop(&p);
    AWAIT(live_sessions() == 0);
    world_close();
}

/* Five times gone and back: the player stays, and time goes on rising. */
static void test_publisher_returns(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    struct player p = {0};
    start(&p, false, "live/ffmpeg-publish");
    for (int round = 0; round < 5; round++) {
        p.log.len = 0;
        const unsigned before = p.n[RTMP_VIDEO];
        const int fd = replay("ffmpeg-publish.c2s", 40);
        AWAIT(p.n[RTMP_VIDEO] >= before + 8);
        assert_int_equal(logged(&p, "NetStream.Play.PublishNotify"), round > 0);
        close(fd);
        AWAIT(logged(&p, "dry"));
    }
    assert_false(p.backwards);
    assert_false(p.ended);
    stop(&p);
    AWAIT(live_sessions() == 0);
    world_close();
}

static void test_end_of_stream(void **state)
{
    const struct engine_config e = {.continuity_ms = 50};
    world_open(&e, &(struct rtmp_server_config){.wait_ms = AWAIT_MAX_MS});
    struct player p = {0};
    start(&p, false, "live/ffmpeg-publish");
    int fd = replay("ffmpeg-publish.c2s", 40);
    AWAIT(p.n[RTMP_VIDEO] >= 8);
    close(fd);
    AWAIT(logged(&p, "NetStream.Play.UnpublishNotify"));
    /* Back within the wait: goes on. */
    const unsigned before = p.n[RTMP_VIDEO];
    fd = replay("ffmpeg-publish.c2s", 40);
    AWAIT(p.n[RTMP_VIDEO] >= before + 8);
    assert_false(p.backwards);
    stop(&p);
    close(fd);
    AWAIT(live_sessions() == 0);
    world_close();
    /* Not back within the wait. */
    world_open(&e, &(struct rtmp_server_config){.wait_ms = 50});
    fd = replay("ffmpeg-publish.c2s", 40);
    AWAIT(in_state(RTMP_SERVER_PUBLISHING, 1));
    p = (struct player){0};
    start(&p, false, "live/ffmpeg-publish");
    AWAIT(p.n[RTMP_VIDEO] > 0);
    close(fd);
    AWAIT(p.ended);
    assert_int_equal(p.result, 0);
    stop(&p);
    AWAIT(live_sessions() == 0);
    world_close();
}

static void test_deadlines(void **state)
{
    world_open(&(struct engine_config){0},
               &(struct rtmp_server_config){.handshake_ms = 100, .silent_ms = AWAIT_MAX_MS});
    const struct bytes all = recorded("ffmpeg-publish.c2s");
    const int nothing = dial();
    const int shaken = dial();
    say(shaken, BYTES(all.data, 1 + 2 * RTMP_HANDSHAKE_SIZE));
    AWAIT(dropped() == 2 && live_sessions() == 0);
    close(nothing);
    close(shaken);
    free((void *)all.data);
    world_close();

    world_open(&(struct engine_config){0},
               &(struct rtmp_server_config){.handshake_ms = AWAIT_MAX_MS, .silent_ms = 1200});
    const int silent = replay("ffmpeg-publish.c2s", 20);
    AWAIT(dropped() == 1 && live_sessions() == 0);
    /* The silent one was asked first: a ping request is the last that it was sent. */
    static uint8_t got[65536];
    size_t n = 0;
    ssize_t k;
    while ((k = recv(silent, got + n, sizeof(got) - n, 0)) > 0) {
        n += (size_t)k;
    }
    static const uint8_t ping[] = {0x02, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6};
    assert_non_null(memmem(got, n, ping, sizeof(ping)));
    close(silent);
    world_close();
}

static void map_to_one(void *user, struct access_ticket *t)
{
    access_reply(t, &(struct access_answer){.path = "live/one"});
}

/* A reader that takes nothing is dropped; the one beside it gets everything. */
static void test_stalled_reader(void **state)
{
    world_open(&(struct engine_config){.access = {.ask = map_to_one}},
               &(struct rtmp_server_config){.stalled_ms = 300});
    struct player pub = {0};
    struct player good = {0};
    start(&good, false, "live/good");
    start(&pub, true, "live/pub");
    const struct bytes all = recorded("ffmpeg-play.c2s");
    const int bad = socket(AF_INET, SOCK_STREAM, 0);
    const int small = 4096;
    setsockopt(bad, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    dial_with(bad);
    /* Without its leave-taking. */
    const uint8_t *leave = memmem(all.data, all.len, "deleteStream", 12);
    assert_non_null(leave);
    say(bad, BYTES(all.data, (size_t)(leave - all.data) - 15));
    free((void *)all.data);
    AWAIT(pub.started && good.started && in_state(RTMP_SERVER_PLAYING, 2));

    /* MP3 at 128 kb/s and 44.1 kHz has frames of 417 bytes, 1152 samples each. */
    const unsigned n = 6000;
    _cleanup_(out_done) struct out meta = {0};
    amf_begin_ecma_array(&meta, 1);
    amf_put_member_number(&meta, "audiocodecid", 2);
    amf_end(&meta);
    rtmp_client_send_metadata(pub.client, out_view(&meta));
    uint8_t body[1 + 417] = {0x2f, 0xff, 0xfb, 0x90, 0x64};
    for (unsigned i = 0; i < n; i++) {
        put_u32be(body + 40, i);
        rtmp_client_send(pub.client, RTMP_AUDIO, i * 26, BYTES(body, sizeof(body)));
        /* Much less than a group, which is a second, so that nothing is behind. */
        if (i % 16 == 0) {
            AWAIT(good.n[RTMP_AUDIO] == i + 1);
        }
    }
    AWAIT(dropped() == 1);
    AWAIT(good.n[RTMP_AUDIO] == n);
    assert_true(in_state(RTMP_SERVER_PLAYING, 1));
    stop(&pub);
    stop(&good);
    close(bad);
    AWAIT(live_sessions() == 0);
    world_close();
}

static unsigned warnings;
static void count_warnings(void *user, enum log_level level, const char *topic, const char *text)
{
    if (level == LOG_WARN && strstr(text, "dropping the connection") &&
        strstr(text, "127.0.0.1:")) {
        __atomic_add_fetch(&warnings, 1, __ATOMIC_RELAXED);
    }
}

static void test_hostile_bytes(void **state)
{
    log_set_sink(count_warnings, NULL);
    log_configure("warn", false);
    warnings = 0;
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){.handshake_ms = 3000});
    const int viewer_fd = replay("ffmpeg-publish.c2s", 30);
    static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const struct bytes all = recorded("ffmpeg-publish.c2s");
    unsigned n = 0;
    int fds[40];
    fds[n] = dial();
    say(fds[n++], BYTES(http, sizeof(http) - 1));
    fds[n] = dial();
    say(fds[n++], BYTES("\x06", 1));
    uint32_t x = 1;
    for (int i = 0; i < 20; i++) {
        /* A good handshake and connect, then noise. */
        uint8_t noise[400];
        for (size_t k = 0; k < sizeof(noise); k++) {
            x = x * 1664525 + 1013904223;
            noise[k] = (uint8_t)(x >> 24);
        }
        fds[n] = dial();
        say(fds[n], BYTES(all.data, 1 + 2 * RTMP_HANDSHAKE_SIZE + 10 * (size_t)i));
        say(fds[n++], BYTES(noise, sizeof(noise)));
    }
    free((void *)all.data);
    AWAIT(dropped() == n);
    AWAIT(live_sessions() == 1);
    assert_int_equal(__atomic_load_n(&warnings, __ATOMIC_RELAXED), n);
    for (unsigned i = 0; i < n; i++) {
        close(fds[i]);
    }
    close(viewer_fd);
    AWAIT(live_sessions() == 0);
    world_close();
    log_configure("error", false);
    log_set_sink(NULL, NULL);
}

/* A peer that goes after any number of bytes, in any state, leaves nothing behind. */
static void test_close_anywhere(void **state)
{
    world_open(&(struct engine_config){.continuity_none = true}, &(struct rtmp_server_config){0});
    static const char *const files[] = {"ffmpeg-publish.c2s", "gst-rtmp2sink.c2s",
                                        "ffmpeg-play.c2s"};
    uint64_t total = 0;
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        const struct bytes all = recorded(files[f]);
        for (size_t n = 0; n <= all.len; n += 1 + (n > 3000 && n < 4000 ? 22 : all.len / 40)) {
            const int fd = dial();
            say(fd, BYTES(all.data, n));
            if (n % 2) {
                const struct linger rst = {.l_onoff = 1, .l_linger = 0};
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
            }
            close(fd);
            total++;
        }
        free((void *)all.data);
    }
    struct rtmp_server_gauges g;
    do {
        loop_run_once(W.control, 5);
        rtmp_server_gauges(W.server, &g);
    } while (g.sessions_total < total);
    AWAIT(live_sessions() == 0);
    struct engine_gauges eg;
    do {
        loop_run_once(W.control, 5);
        engine_gauges(W.engine, &eg);
    } while (eg.publishers + eg.readers > 0);
    world_close();
}

/* The client may be closed in its callbacks, and the server while sessions of every kind are alive. */
static void test_close_under_way(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    const int fd = replay("ffmpeg-publish.c2s", 40);
    struct player a = {.close_on_media = true};
    struct player b = {0};
    struct player waits = {0};
    start(&a, false, "live/ffmpeg-publish");
    start(&b, false, "live/ffmpeg-publish");
    start(&waits, false, "live/nobody");
    AWAIT(!a.client && b.n[RTMP_VIDEO] > 0 && waits.started);
    const int idle = dial();
    AWAIT(live_sessions() == 4);
    W.server = rtmp_server_close(W.server);
    AWAIT(b.ended && waits.ended);
    stop(&a);
    stop(&b);
    stop(&waits);
    close(fd);
    close(idle);
    world_close();
}

static uint32_t sum_of(struct bytes b)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < b.len; i++) {
        sum += b.data[i];
    }
    return sum;
}

static void announce(struct player *pub, const char *member)
{
    _cleanup_(out_done) struct out meta = {0};
    amf_begin_ecma_array(&meta, 1);
    amf_put_member_number(&meta, member, 1);
    amf_end(&meta);
    rtmp_client_send_metadata(pub->client, out_view(&meta));
}

/* Frames of several chunks, more than the socket takes at once. */
static void test_big_frames(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    struct player pub = {0};
    struct player p = {0};
    start(&p, false, "live/big");
    start(&pub, true, "live/big");
    AWAIT(p.started && pub.started);
    announce(&pub, "videocodecid");
    /* The sequence header is the first video message of the record. */
    const struct bytes all = recorded("ffmpeg-publish.c2s");
    struct rtmp_chunk_reader r;
    rtmp_chunk_reader_init(&r, RTMP_MESSAGE_MAX);
    struct rd in = rd_init(all);
    rd_skip(&in, 1 + 2 * RTMP_HANDSHAKE_SIZE);
    struct rtmp_message m = {0};
    while (m.type != RTMP_VIDEO) {
        assert_int_equal(rtmp_chunk_read(&r, &in, &m, NULL), 1);
    }
    rtmp_client_send(pub.client, RTMP_VIDEO, 0, m.body);
    uint32_t sum = sum_of(m.body);

    const size_t len = 1500000;
    uint8_t *body = mem_alloc(len);
    memset(body, 0x5a, len);
    put_u8(put_u32be(put_u8(put_u32be(body, 0x17010000), 0), (uint32_t)len - 9), 0x65);
    for (unsigned i = 1; i <= 12; i++) {
        put_u32be(body + len - 4, i);
        sum += sum_of(BYTES(body, len));
        rtmp_client_send(pub.client, RTMP_VIDEO, 0xfffff0 + i * 40, BYTES(body, len));
        AWAIT(p.n[RTMP_VIDEO] == i + 1);
    }
    assert_int_equal(p.body_sum, sum);
    free(body);
    rtmp_chunk_reader_done(&r);
    free((void *)all.data);
    stop(&pub);
    stop(&p);
    AWAIT(live_sessions() == 0);
    world_close();
}

/* Opus comes in and goes out as Enhanced RTMP, byte for byte. */
static void test_enhanced(void **state)
{
    world_open(&(struct engine_config){0}, &(struct rtmp_server_config){0});
    struct player pub = {0};
    struct player p = {0};
    start(&p, false, "live/opus");
    start(&pub, true, "live/opus");
    AWAIT(p.started && pub.started);
    announce(&pub, "audiocodecid");
    static const uint8_t head[] = "\x90Opus"
                                  "OpusHead\x01\x02\x38\x01\x80\xbb\x00\x00\x00\x00\x00";
    const struct bytes start_body = BYTES(head, sizeof(head) - 1);
    rtmp_client_send(pub.client, RTMP_AUDIO, 0, start_body);
    uint32_t sum = sum_of(start_body);
    for (unsigned i = 0; i < 100; i++) {
        /* One CELT frame of 20 ms, stereo (RFC 6716 3.1). */
        uint8_t frame[60] = {0x91, 'O', 'p', 'u', 's', 0xfc, (uint8_t)i, 1, 2, 3};
        rtmp_client_send(pub.client, RTMP_AUDIO, i * 20, BYTES(frame, sizeof(frame)));
        sum += sum_of(BYTES(frame, sizeof(frame)));
        AWAIT(p.n[RTMP_AUDIO] == i + 2);
    }
    assert_int_equal(p.body_sum, sum);
    assert_true(logged(&p, "metadata(0,1.33277e+09)")); /* "Opus" as a number */
    stop(&pub);
    stop(&p);
    AWAIT(live_sessions() == 0);
    world_close();
}

static void test_client_url(void **state)
{
    struct rtmp_client_url u;
    assert_int_equal(rtmp_client_url_parse("rtmp://user:pw@h.example/a/b/key?x=y", &u, NULL), 0);
    assert_string_equal(u.host, "h.example");
    assert_int_equal(u.port, 1935);
    assert_string_equal(u.app, "a/b");
    assert_string_equal(u.name, "key?x=y");
    assert_string_equal(u.tc_url, "rtmp://h.example:1935/a/b");
    rtmp_client_url_done(&u);
    assert_int_equal(rtmp_client_url_parse("rtmps://[::1]/key", &u, NULL), 0);
    assert_true(u.tls);
    assert_int_equal(u.port, 443);
    assert_string_equal(u.app, "");
    assert_string_equal(u.tc_url, "rtmps://[::1]:443/");
    rtmp_client_url_done(&u);
    struct error err = {0};
    assert_int_equal(rtmp_client_url_parse("http://h/app/secret", &u, &err), -EINVAL);
    assert_null(strstr(err.text, "secret"));
    assert_int_equal(rtmp_client_url_parse("rtmp://h", &u, NULL), -EINVAL);
    assert_int_equal(rtmp_client_url_parse("rtmp://h/", &u, NULL), -EINVAL);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_configure("error", false);
    rtmp_register_forms();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_play_what_programs_publish),
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_second_publisher_is_refused),
        cmocka_unit_test(test_bad_path_is_refused),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_nobody_publishes),
        cmocka_unit_test(test_publisher_returns),
        cmocka_unit_test(test_end_of_stream),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_stalled_reader),
        cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_close_anywhere),
        cmocka_unit_test(test_close_under_way),
        cmocka_unit_test(test_big_frames),
        cmocka_unit_test(test_enhanced),
        cmocka_unit_test(test_client_url),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
