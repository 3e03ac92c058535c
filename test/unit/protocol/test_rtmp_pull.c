/* SPDX-License-Identifier: Apache-2.0 */
/* Pulling over loopback TCP from our own server: what comes out is what went in, and every end has its name. */
#include "fixture_source.h"

#include "base/log.h"
#include "media/flv.h"
#include "protocol/rtmp/rtmp_form.h"
#include "protocol/rtmp/rtmp_input.h"
#include "protocol/rtmp/rtmp_pull.h"
#include "protocol/rtmp/rtmp_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>

struct rig {
    struct loop *l;
    struct engine *e;
    struct rtmp_server *server;
    struct fixture *f;
    struct source src;
    struct rtmp_pull *pull;
    int opens;
    int ends;
    enum rtmp_pull_end end;
    char why[200];
    struct reader *reader;
    unsigned seen;
    unsigned wrong;
    unsigned flags;
    unsigned sound;
};

static void on_open(void *user)
{
    struct rig *r = user;
    r->opens++;
}

static void on_end(void *user, enum rtmp_pull_end end, const char *why)
{
    struct rig *r = user;
    r->ends++;
    r->end = end;
    snprintf(r->why, sizeof(r->why), "%s", why);
    r->pull = rtmp_pull_close(r->pull);
}

static void on_samples(void *user)
{
    struct rig *r = user;
    struct sample *s;
    while ((s = reader_peek(r->reader, 0))) {
        if (s->params->kind == TRACK_VIDEO) {
            const struct buf *sent = r->src.sent[r->seen];
            r->wrong += !bytes_equal(buf_view(s->payload), buf_view(sent));
            r->flags |= s->flags;
            r->seen++;
        } else {
            r->sound++;
        }
        reader_advance(r->reader, 1);
    }
}

static void on_state(void *user, enum reader_state state, const char *reason)
{
}

static void on_reader_close(void *user, int r, const char *why)
{
    fail_msg("the reader was closed: %s", why);
}

/* Everybody may everything, but live/secret. */
static void on_ask(void *user, struct access_ticket *t)
{
    const char *path = access_ticket_request(t)->path;
    struct access_answer answer = {.result = strcmp(path, "live/secret") == 0 ? -EACCES : 0};
    snprintf(answer.path, sizeof(answer.path), "%s", path);
    access_reply(t, &answer);
}

static struct rig *rig_new(void)
{
    struct rig *r = mem_new(struct rig);
    struct error err = {0};
    log_configure("error", false);
    rtmp_register_forms();
    const struct engine_config config = {.fanout_wait_none = true, .access.ask = on_ask};
    const struct rtmp_server_config server = {.address = "127.0.0.1", .wait_ms = 100};
    r->f = fixture_open("h264_aac.mp4");
    r->l = loop_new("test", 0);
    r->e = engine_new(&config, r->l, &r->l, 1);
    r->server = rtmp_server_open(&server, r->e, &r->l, 1, &err);
    if (!r->server) {
        fail_msg("%s", err.text);
    }
    return r;
}

static void rig_pull(struct rig *r, const char *host_and_path, unsigned silent_ms)
{
    static const struct rtmp_pull_ops ops = {on_open, on_end};
    _cleanup_free_ char *url = mem_printf("rtmp://%s", host_and_path);
    const struct rtmp_pull_config config = {
        .url = url, .path = "live/copy", .silent_ms = silent_ms};
    r->pull = rtmp_pull_open(r->e, r->l, &config, &ops, r, NULL);
    assert_non_null(r->pull);
}

static void rig_pull_from_server(struct rig *r, const char *path, unsigned silent_ms)
{
    _cleanup_free_ char *at = mem_printf("127.0.0.1:%u/%s", rtmp_server_port(r->server), path);
    rig_pull(r, at, silent_ms);
}

static void rig_read(struct rig *r)
{
    static const struct reader_ops ops = {on_state, on_samples, on_reader_close};
    const struct reader_info info = {.path = "live/copy", .protocol = "test", .wait = true};
    r->reader = reader_open(r->e, r->l, &info, &ops, r);
}

static void rig_free(struct rig *r)
{
    r->pull = rtmp_pull_close(r->pull);
    r->reader = reader_close(r->reader);
    if (r->src.f) {
        source_done(&r->src);
    }
    for (int i = 0; i < 20; i++) {
        loop_run_once(r->l, 1);
    }
    r->server = rtmp_server_close(r->server);
    r->e = engine_free(r->e);
    loop_free(r->l);
    fixture_close(r->f);
    free(r);
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

static void test_what_is_pulled_is_what_was_published(void **state)
{
    struct rig *r = rig_new();
    source_open(&r->src, r->e, r->l, r->f);
    rig_read(r);
    source_file(&r->src, r->l);
    rig_pull_from_server(r, "live/a", 0);
    RUN_UNTIL(r->l, r->opens == 1 && r->seen > 0);
    /* The pull began with the second group, as any reader; from there on nothing is missing. */
    const unsigned first = r->src.n_sent / 2;
    r->reader = reader_close(r->reader);
    r->seen = first;
    r->wrong = 0;
    rig_read(r);
    source_file(&r->src, r->l);
    RUN_UNTIL(r->l, r->seen >= r->src.n_sent);
    assert_int_equal(r->seen, r->src.n_sent);
    assert_int_equal(r->wrong, 0);
    assert_true(r->flags & SAMPLE_KEY);
    assert_true(r->flags & SAMPLE_DROPPABLE);
    assert_true(r->sound > r->f->tracks[1].n);
    assert_int_equal(r->ends, 0);
    rig_free(r);
}

static void test_a_stream_that_is_not_there(void **state)
{
    struct rig *r = rig_new();
    rig_pull_from_server(r, "live/nobody", 0);
    RUN_UNTIL(r->l, r->ends > 0);
    assert_int_equal(r->end, RTMP_PULL_NOT_FOUND);
    assert_non_null(strstr(r->why, "StreamNotFound"));
    assert_null(r->pull);
    rig_free(r);
}

static void test_a_stream_that_the_server_refuses(void **state)
{
    struct rig *r = rig_new();
    rig_pull_from_server(r, "live/secret", 0);
    RUN_UNTIL(r->l, r->ends > 0);
    assert_int_equal(r->end, RTMP_PULL_REFUSED);
    rig_free(r);
}

static void test_nobody_answers(void **state)
{
    struct rig *r = rig_new();
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    char at[64];
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0); /* and does not listen */
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    snprintf(at, sizeof(at), "127.0.0.1:%u/live/a", ntohs(a.sin_port));
    rig_pull(r, at, 0);
    RUN_UNTIL(r->l, r->ends > 0);
    assert_int_equal(r->end, RTMP_PULL_UNREACHABLE);
    close(fd);
    rig_free(r);
}

static void test_silence_ends_it(void **state)
{
    struct rig *r = rig_new();
    source_open(&r->src, r->e, r->l, r->f);
    source_file(&r->src, r->l);
    rig_pull_from_server(r, "live/a", 1);
    RUN_UNTIL(r->l, r->ends > 0);
    assert_int_equal(r->end, RTMP_PULL_SILENT);
    rig_free(r);
}

static void test_a_path_that_is_taken(void **state)
{
    struct rig *r = rig_new();
    source_open(&r->src, r->e, r->l, r->f);
    source_file(&r->src, r->l);
    struct source other;
    source_open_at(&other, r->e, r->l, r->f, "live/copy");
    source_file(&other, r->l);
    rig_pull_from_server(r, "live/a", 0);
    RUN_UNTIL(r->l, r->ends > 0);
    assert_int_equal(r->end, RTMP_PULL_UNWANTED);
    source_done(&other);
    rig_free(r);
}

static void test_bad_urls(void **state)
{
    static const char *const bad[] = {"http://a/b/c", "rtmp://", "rtmps://127.0.0.1/a/b", "x"};
    struct rig *r = rig_new();
    static const struct rtmp_pull_ops ops = {on_open, on_end};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        const struct rtmp_pull_config config = {.url = bad[i], .path = "live/copy"};
        assert_null(rtmp_pull_open(r->e, r->l, &config, &ops, r, &err));
        assert_int_equal(err.code, -EINVAL);
    }
    rig_free(r);
}

static int feed(struct rtmp_input *in, uint8_t type, struct bytes body)
{
    struct error err = {0};
    const struct rtmp_message m = {.type = type, .body = body};
    return rtmp_input_message(in, &m, 0, &err);
}

static void on_ignored(void *user, int r, const char *why)
{
}

/* A server that tells the codecs of a stream, and things that nobody knows, sends no pictures and no sound yet. */
static void test_parameters_are_no_media(void **state)
{
    static const struct publisher_ops ops = {.on_open = source_on_open, .on_close = on_ignored};
    const struct publisher_info info = {.path = "live/a", .protocol = "test"};
    struct rig *r = rig_new();
    struct publisher *p = publisher_open(r->e, r->l, &info, &ops, NULL);
    struct rtmp_input *in = rtmp_input_new(p);
    struct canon canon;
    canon_init(&canon, r->f->tracks[1].codec);
    assert_true(canon_config(&canon, r->f->tracks[1].config, NULL) >= 0);
    struct buf *start = flv_sequence_start(canon.params);
    const uint8_t sound[] = {0xaf, 1, 0x21, 0x10, 0x05};
    const uint8_t command[] = {0x57, 0};
    assert_int_equal(feed(in, RTMP_AUDIO, buf_view(start)), 0);
    assert_int_equal(feed(in, RTMP_AUDIO, BYTES(NULL, 0)), 0);
    assert_int_equal(feed(in, RTMP_VIDEO, BYTES(command, sizeof(command))), 0);
    assert_int_equal(feed(in, RTMP_AUDIO, BYTES(sound, sizeof(sound))), 1);
    buf_unref(&start);
    canon_done(&canon);
    in = rtmp_input_free(in);
    p = publisher_close(p);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_pulled_is_what_was_published),
        cmocka_unit_test(test_a_stream_that_is_not_there),
        cmocka_unit_test(test_a_stream_that_the_server_refuses),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_silence_ends_it),
        cmocka_unit_test(test_a_path_that_is_taken),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_parameters_are_no_media),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
