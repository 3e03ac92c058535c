/* SPDX-License-Identifier: Apache-2.0 */
/* Commands as tables; relays with the real ffmpeg. */
#include "relay_rig.h"

#include "peer/ffmpeg/ffmpeg.h"

#include <errno.h>

#define SECRET "s3cret-key"

/* ---- commands ---- */

static char *join(char *const *argv)
{
    struct out o = {0};
    for (; *argv; argv++) {
        out_printf(&o, "%s%s", o.len ? " " : "", *argv);
    }
    return out_take_str(&o);
}

static struct ffmpeg_output video_to(uint16_t port)
{
    return (struct ffmpeg_output){
        .kind = TRACK_VIDEO, .codec = "h264", .host = "127.0.0.1", .port = port, .pt = 96};
}

static struct ffmpeg_output audio_to(uint16_t port)
{
    return (struct ffmpeg_output){
        .kind = TRACK_AUDIO, .codec = "opus", .host = "127.0.0.1", .port = port, .pt = 111};
}

static void expect_command(const struct ffmpeg_spec *spec, const char *args, const char *text)
{
    struct ffmpeg_command c;
    struct error err = {0};
    assert_int_equal(ffmpeg_command_make(spec, &c, &err), 0);
    _cleanup_free_ char *all = join(c.argv);
    assert_string_equal(all, args);
    if (text) {
        assert_string_equal(c.pipe_text, text);
        assert_int_equal(c.pipe_child, 3);
    } else {
        assert_null(c.pipe_text);
    }
    ffmpeg_command_done(&c);
}

#define HEAD "ffmpeg -nostdin -hide_banner -loglevel warning -progress pipe:1 -nostats "
#define PIPED                                                                                      \
    "-fflags nobuffer -flags low_delay -f concat -safe 0 -protocol_whitelist pipe -i pipe:3 "
#define OPUS                                                                                       \
    "-map 0:a:0 -vn -af aresample=async=1:min_hard_comp=0.100:first_pts=0 -c:a libopus -ar 48000 " \
    "-ac 2 -b:a 64k -application lowdelay -frame_duration 20 -payload_type 111 -f rtp "            \
    "rtp://127.0.0.1:5006?pkt_size=1200"
#define LIVE "option fflags nobuffer\noption probesize 1000000\noption analyzeduration 1000000\n"

static void test_commands(void **state)
{
    const struct ffmpeg_spec copy = {.input = FFMPEG_RTMP,
                                     .url = "rtmp://h/live/it's",
                                     .video = FFMPEG_COPY,
                                     .n_outputs = 2,
                                     .outputs = {video_to(5004), audio_to(5006)}};
    expect_command(&copy,
                   HEAD PIPED
                   "-map 0:v:0 -an -c:v copy -bsf:v h264_mp4toannexb -payload_type 96 -f rtp "
                   "rtp://127.0.0.1:5004?pkt_size=1200 " OPUS,
                   "ffconcat version 1.0\nfile 'rtmp://h/live/it'\\''s'\n"
                   "option protocol_whitelist rtmp,rtmps,tcp,tls,crypto\n" LIVE
                   "option rw_timeout 10000000\n");
    struct ffmpeg_spec encode = {.input = FFMPEG_RTSP,
                                 .url = "rtsp://u:p@h/cam",
                                 .timeout_ns = 5 * NS_PER_S,
                                 .fps = 25,
                                 .width = 640,
                                 .height = 360,
                                 .video_kbps = 800,
                                 .preset = "ultrafast",
                                 .n_outputs = 1,
                                 .outputs = {video_to(5004)}};
    snprintf(encode.outputs[0].host, sizeof(encode.outputs[0].host), "::1");
    encode.outputs[0].index = 1;
    expect_command(
        &encode,
        HEAD PIPED "-map 0:v:1 -an -c:v libx264 -preset ultrafast -tune zerolatency -profile:v "
                   "baseline -pix_fmt yuv420p -sc_threshold 0 -keyint_min 25 -s 640x360 -r 25 -g "
                   "25 -b:v 800k -maxrate 800k -bufsize 800k -payload_type 96 -f rtp "
                   "rtp://[::1]:5004?pkt_size=1200",
        "ffconcat version 1.0\nfile 'rtsp://u:p@h/cam'\n"
        "option protocol_whitelist rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto\n" LIVE
        "option rtsp_transport tcp\noption timeout 5000000\n");
    const struct ffmpeg_spec file = {
        .input = FFMPEG_FILE, .url = "/a b.mp4", .n_outputs = 1, .outputs = {audio_to(5006)}};
    expect_command(&file, HEAD "-re -f concat -safe 0 -protocol_whitelist pipe -i pipe:3 " OPUS,
                   "ffconcat version 1.0\nfile 'file:/a b.mp4'\n"
                   "option protocol_whitelist file,crypto\n");
    const struct ffmpeg_spec test = {
        .input = FFMPEG_TEST, .n_outputs = 1, .outputs = {audio_to(5006)}};
    expect_command(&test,
                   HEAD "-re -f lavfi -i testsrc2=size=640x360:rate=30[out0];"
                        "sine=frequency=440:sample_rate=48000[out1] " OPUS,
                   NULL);
}

static void refuse(const struct ffmpeg_spec *good, void (*spoil)(struct ffmpeg_spec *s),
                   const char *where)
{
    struct ffmpeg_command c;
    struct error err = {0};
    struct ffmpeg_spec bad = *good;
    spoil(&bad);
    assert_int_equal(ffmpeg_command_make(&bad, &c, &err), -EINVAL);
    assert_string_equal(err.where, where);
}

#define SPOIL(name, what)                                                                          \
    static void name(struct ffmpeg_spec *s)                                                        \
    {                                                                                              \
        what;                                                                                      \
    }
SPOIL(no_url, s->url = NULL)
SPOIL(other_scheme, s->url = "file:///etc/passwd")
SPOIL(line_in_url, s->url = "rtmp://h/a\noption x y")
SPOIL(relative_file, (s->input = FFMPEG_FILE, s->url = "a.mp4"))
SPOIL(no_outputs, s->n_outputs = 0)
SPOIL(many_outputs, s->n_outputs = FFMPEG_OUTPUTS_MAX + 1)
SPOIL(no_such_codec, strcpy(s->outputs[1].codec, "flac"))
SPOIL(copy_of_vp8, (s->video = FFMPEG_COPY, strcpy(s->outputs[0].codec, "vp8")))
SPOIL(host_name, strcpy(s->outputs[0].host, "localhost"))
SPOIL(host_with_options, strcpy(s->outputs[0].host, "1.1.1.1?ttl=9"))
SPOIL(no_port, s->outputs[1].port = 0)
SPOIL(high_pt, s->outputs[1].pt = 128)

/* Every output is there, whatever its number and options. */
static void test_all_outputs(void **state)
{
    struct ffmpeg_command c;
    struct ffmpeg_spec s = {.input = FFMPEG_RTSP,
                            .url = "rtsp://h/cam",
                            .fps = 25,
                            .width = 640,
                            .height = 360,
                            .n_outputs = FFMPEG_OUTPUTS_MAX};
    for (unsigned i = 0; i < FFMPEG_OUTPUTS_MAX; i++) {
        s.outputs[i] = video_to((uint16_t)(5000 + 2 * i));
    }
    assert_int_equal(ffmpeg_command_make(&s, &c, NULL), 0);
    assert_string_equal(c.argv[c.n - 1], "rtp://127.0.0.1:5030?pkt_size=1200");
    unsigned urls = 0;
    for (unsigned i = 0; i < c.n; i++) {
        urls += strncmp(c.argv[i], "rtp://", 6) == 0;
    }
    assert_int_equal(urls, FFMPEG_OUTPUTS_MAX);
    assert_null(c.argv[c.n]);
    ffmpeg_command_done(&c);
}

static void test_what_is_refused(void **state)
{
    const struct ffmpeg_spec good = {.input = FFMPEG_RTMP,
                                     .url = "rtmp://h/a/b",
                                     .n_outputs = 2,
                                     .outputs = {video_to(5004), audio_to(5006)}};
    struct ffmpeg_command c;
    assert_int_equal(ffmpeg_command_make(&good, &c, NULL), 0);
    ffmpeg_command_done(&c);
    refuse(&good, no_url, "url");
    refuse(&good, other_scheme, "url");
    refuse(&good, line_in_url, "url");
    refuse(&good, relative_file, "url");
    refuse(&good, no_outputs, "outputs");
    refuse(&good, many_outputs, "outputs");
    refuse(&good, no_such_codec, "outputs[1].codec");
    refuse(&good, copy_of_vp8, "outputs[0].codec");
    refuse(&good, host_name, "outputs[0].host");
    refuse(&good, host_with_options, "outputs[0].host");
    refuse(&good, no_port, "outputs[1].port");
    refuse(&good, high_pt, "outputs[1].pt");
}

/* ---- progress ---- */

#define REPORT                                                                                     \
    "SDP:\nv=0\no=- 0 0 IN IP4 127.0.0.1\n\nframe=31\nfps=29.90\nstream_0_0_q=18.0\nbitrate= "     \
    "892.6kbits/s\ntotal_size=113078\nout_time_us=1013500\nout_time_ms=1013500\n"                  \
    "out_time=00:00:01.013500\ndup_frames=2\ndrop_frames=1\nspeed=0.978x\nprogress=continue\n"

static void test_progress_in_any_pieces(void **state)
{
    for (size_t piece = 1; piece < sizeof(REPORT); piece++) {
        struct ffmpeg_progress_parser parser = {0};
        struct ffmpeg_progress p = {0};
        unsigned n = 0;
        for (size_t at = 0; at < strlen(REPORT); at += piece) {
            struct bytes data = BYTES(REPORT + at, MIN(piece, strlen(REPORT) - at));
            while (ffmpeg_progress_feed(&parser, &data, &p)) {
                n++;
            }
        }
        assert_int_equal(n, 1);
        assert_int_equal(p.frames, 31);
        assert_int_equal(p.bytes, 113078);
        assert_int_equal(p.out_time_us, 1013500);
        assert_int_equal(p.duplicated, 2);
        assert_int_equal(p.dropped, 1);
        assert_true(p.fps > 29.8 && p.fps < 30 && p.speed > 0.97 && p.speed < 0.98);
        assert_false(p.ended);
    }
}

static void test_odd_progress(void **state)
{
    struct ffmpeg_progress_parser parser = {0};
    struct ffmpeg_progress p;
    char line[1000];
    memset(line, 'x', sizeof(line));
    struct bytes data = BYTES(line, sizeof(line));
    assert_false(ffmpeg_progress_feed(&parser, &data, &p));
    data = BYTES_STR("\nframe=N/A\nout_time_us=-5\nfps=nan\nspeed=N/A\n=\n\nprogress=end\nframe=1");
    assert_true(ffmpeg_progress_feed(&parser, &data, &p));
    assert_true(p.ended);
    assert_int_equal(p.frames, -1);
    assert_int_equal(p.out_time_us, -1);
    assert_int_equal(p.bytes, -1);
    assert_true(p.fps < 0 && p.speed < 0);
    assert_int_equal(data.len, 7);
    assert_false(ffmpeg_progress_feed(&parser, &data, &p));
    data = BYTES_STR("2\nprogress=continue\n");
    assert_true(ffmpeg_progress_feed(&parser, &data, &p));
    assert_int_equal(p.frames, 12);
    assert_false(p.ended);
}

/* ---- relays ---- */

struct fixture {
    struct loop *loop;
    struct ffmpeg_relay *relay;
    struct rtp_port video, audio;
    struct ffmpeg_spec spec;
    unsigned seen; /* bit n: supervisor state n */
    char backoff[ERROR_TEXT_MAX];
    struct out reasons; /* of all backoffs, a line each */
    struct out lines;
    bool ended; /* ffmpeg went in order: it wrote its last report */
    bool stopped;
    struct rig_server server;
};

static void on_state(void *user, enum supervisor_state s, const char *reason)
{
    struct fixture *f = user;
    f->seen |= 1u << s;
    if (s == SUPERVISOR_BACKOFF) {
        snprintf(f->backoff, sizeof(f->backoff), "%s", reason);
        out_printf(&f->reasons, "%s\n", reason);
    }
}

static void on_progress(void *user, const struct ffmpeg_progress *p)
{
    ((struct fixture *)user)->ended = p->ended;
}

static void on_line(void *user, const char *line)
{
    out_printf(&((struct fixture *)user)->lines, "%s\n", line);
}

static void on_stopped(void *user)
{
    ((struct fixture *)user)->stopped = true;
}

static int setup(void **state)
{
    struct fixture *f = mem_new(struct fixture);
    f->loop = loop_new("test", LOOP_CONTROL);
    f->video = rtp_port_open();
    f->audio = rtp_port_open();
    f->spec = (struct ffmpeg_spec){.input = FFMPEG_TEST,
                                   .preset = "ultrafast",
                                   .width = 320,
                                   .height = 240,
                                   .fps = 30,
                                   .video_kbps = 400,
                                   .n_outputs = 2,
                                   .outputs = {video_to(f->video.port), audio_to(f->audio.port)}};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    ffmpeg_relay_free(f->relay);
    proc_free(f->server.proc);
    RUN_UNTIL(f->loop, proc_live() == 0);
    loop_free(f->loop);
    close(f->video.fd);
    close(f->audio.fd);
    out_done(&f->reasons);
    out_done(&f->lines);
    free(f);
    return 0;
}

static void start(struct fixture *f, unsigned stall_ms)
{
    static const struct ffmpeg_relay_ops ops = {on_state, on_progress, on_line};
    struct error err = {0};
    f->relay = ffmpeg_relay_new(f->loop, "relay test", &f->spec, stall_ms, &ops, f, &err);
    assert_non_null(f->relay);
    assert_int_equal(ffmpeg_relay_start(f->relay), 0);
}

static pid_t child(const struct fixture *f)
{
    struct proc *p = supervisor_proc(ffmpeg_relay_supervisor(f->relay));
    return p ? proc_pid(p) : 0;
}

static bool is_running(const struct fixture *f)
{
    return supervisor_state(ffmpeg_relay_supervisor(f->relay)) == SUPERVISOR_RUNNING;
}

static void wait_for_media(struct fixture *f, unsigned packets)
{
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) >= packets && rtp_port_look(&f->audio) >= packets);
    assert_int_equal(f->video.pt, 96);
    assert_int_equal(f->audio.pt, 111);
    assert_true(f->video.longest <= 1200);
}

static void stop(struct fixture *f)
{
    pid_t pid = child(f);
    assert_int_equal(ffmpeg_relay_stop(f->relay, on_stopped, f), 0);
    RUN_UNTIL(f->loop, f->stopped);
    assert_int_equal(child(f), 0);
    assert_true(pid == 0 || kill(pid, 0) < 0);
}

static void test_a_killed_relay_returns_with_another_ssrc(void **state)
{
    struct fixture *f = *state;
    start(f, 0);
    wait_for_media(f, 30);
    assert_int_equal(f->video.sources, 1);
    RUN_UNTIL(f->loop, ffmpeg_relay_progress(f->relay)->out_time_us > 0);
    uint32_t ssrc = f->video.ssrc;
    kill(child(f), SIGKILL);
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) >= 30 && f->video.sources == 2);
    assert_true(f->video.ssrc != ssrc);
    assert_string_equal(f->backoff, "killed by SIGKILL");
    assert_int_equal(supervisor_restarts(ffmpeg_relay_supervisor(f->relay)), 1);
    stop(f);
    assert_true(f->ended);
}

static void test_a_relay_that_stands_still_is_replaced(void **state)
{
    struct fixture *f = *state;
    start(f, 1500);
    wait_for_media(f, 10);
    /* On a slow machine it may have been replaced before. */
    RUN_UNTIL(f->loop, is_running(f) && ffmpeg_relay_progress(f->relay)->out_time_us > 0);
    pid_t pid = child(f);
    unsigned sources = f->video.sources;
    f->seen = 0;
    kill(pid, SIGSTOP);
    RUN_UNTIL(f->loop, f->seen & 1u << SUPERVISOR_BACKOFF);
    assert_string_equal(f->backoff, "no progress for 1.5 s");
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) >= 30 && f->video.sources > sources);
    assert_true(child(f) != pid);
    stop(f);
}

static void test_other_ports(void **state)
{
    struct fixture *f = *state;
    struct rtp_port other = rtp_port_open();
    start(f, 0);
    wait_for_media(f, 5);
    f->spec.outputs[0].port = other.port;
    assert_int_equal(ffmpeg_relay_change(f->relay, &f->spec, NULL), 0);
    RUN_UNTIL(f->loop, rtp_port_look(&other) >= 5);
    f->spec.outputs[0].port = 0;
    assert_int_equal(ffmpeg_relay_change(f->relay, &f->spec, NULL), -EINVAL);
    stop(f);
    close(other.fd);
}

/* All that the source had sent has come through: ffmpeg waits for more. */
static bool is_quiet(struct fixture *f)
{
    unsigned before = rtp_port_look(&f->video);
    RUN_FOR(f->loop, 500);
    return rtp_port_look(&f->video) == before;
}

/* The key of the stream reaches ffmpeg, and nobody else sees it. */
static void test_rtmp(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *url =
        mem_printf("rtmp://127.0.0.1:%u/live/" SECRET, port_get(SOCK_STREAM));
    rig_rtmp_start(f->loop, &f->server, url, "600");
    f->spec.input = FFMPEG_RTMP;
    f->spec.url = url;
    f->spec.video = FFMPEG_COPY;
    start(f, 0);
    wait_for_media(f, 60);
    assert_false(rig_proc_has(child(f), "cmdline", SECRET));
    assert_false(rig_proc_has(child(f), "environ", SECRET));
    /* Parameter sets before key frames, together in one packet. */
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) && f->video.nal_types & (1u << 24 | 1u << 7));
    /* A source that has gone silent: ffmpeg waits in a read, where one SIGTERM does not end it. */
    kill(proc_pid(f->server.proc), SIGSTOP);
    RUN_UNTIL(f->loop, is_quiet(f));
    int64_t asked = clock_mono_ns();
    stop(f);
    int64_t took = clock_mono_ns() - asked;
    /* It went by itself, and says so where it was slow. */
    assert_true(took < FFMPEG_GRACE_MS * NS_PER_MS ||
                strstr(out_str(&f->lines), "Immediate exit requested"));
    rig_server_stop(f->loop, &f->server);
}

static void test_the_end_of_a_live_source_is_a_failure(void **state)
{
    struct fixture *f = *state;
    _cleanup_free_ char *url =
        mem_printf("rtmp://127.0.0.1:%u/live/" SECRET, port_get(SOCK_STREAM));
    rig_rtmp_start(f->loop, &f->server, url, "2");
    f->spec.input = FFMPEG_RTMP;
    f->spec.url = url;
    start(f, 0);
    wait_for_media(f, 5);
    RUN_UNTIL(f->loop, f->reasons.len > 0 && strstr(out_str(&f->reasons), "ended\n"));
    /* Then nobody is there: what it says of that has the key taken out. */
    RUN_UNTIL(f->loop, f->lines.len > 0 && strstr(out_str(&f->lines), "***") &&
                           strstr(f->backoff, "code 1"));
    assert_null(strstr(out_str(&f->lines), SECRET));
    assert_null(strstr(f->backoff, SECRET));
    stop(f);
    rig_server_stop(f->loop, &f->server);
}

static void relay_rtsp(struct fixture *f, bool udp, enum ffmpeg_video video)
{
    f->spec.rtsp_udp = udp;
    f->spec.video = video;
    f->spec.outputs[1].copy_audio = video == FFMPEG_COPY;
    f->video.nal_types = 0;
    start(f, 0);
    wait_for_media(f, 40);
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) && f->video.nal_types & (1u << 24 | 1u << 7));
    assert_false(rig_proc_has(child(f), "cmdline", "camsecret"));
    f->stopped = false;
    stop(f);
    f->relay = ffmpeg_relay_free(f->relay);
    f->video.packets = f->audio.packets = 0;
}

static void test_rtsp(void **state)
{
    struct fixture *f = *state;
    uint16_t port = port_get(SOCK_STREAM);
    rig_rtsp_start(f->loop, &f->server, port, "camsecret");
    _cleanup_free_ char *url = mem_printf("rtsp://cam:camsecret@127.0.0.1:%u/cam", port);
    _cleanup_free_ char *wrong = mem_printf("rtsp://cam:wrongsecret@127.0.0.1:%u/cam", port);
    f->spec.input = FFMPEG_RTSP;
    f->spec.url = url;
    relay_rtsp(f, false, FFMPEG_COPY);
    relay_rtsp(f, true, FFMPEG_ENCODE);
    f->spec.url = wrong;
    start(f, 0);
    RUN_UNTIL(f->loop, strstr(f->backoff, "401"));
    assert_null(strstr(out_str(&f->lines), "wrongsecret"));
    stop(f);
    rig_server_stop(f->loop, &f->server);
}

static void test_a_file_has_an_end(void **state)
{
    struct fixture *f = *state;
    char dir[] = "/tmp/mast-it's a relay-XXXXXX";
    assert_non_null(mkdtemp(dir));
    _cleanup_free_ char *path = mem_printf("%s/a.mkv", dir);
    const char *argv[] = {"ffmpeg",
                          "-nostdin",
                          "-loglevel",
                          "error",
                          "-f",
                          "lavfi",
                          "-i",
                          "testsrc2=size=320x240:rate=30:duration=2[out0];"
                          "sine=sample_rate=48000:duration=2[out1]",
                          "-c:v",
                          "libx264",
                          "-preset",
                          "ultrafast",
                          path,
                          NULL};

    rig_server_start(f->loop, &f->server, argv);
    RUN_UNTIL(f->loop, f->server.ended);
    f->spec.input = FFMPEG_FILE;
    f->spec.url = path;
    start(f, 0);
    RUN_UNTIL(f->loop, (rtp_port_look(&f->video), f->seen & 1u << SUPERVISOR_STOPPED));
    assert_true(f->ended);
    assert_false(f->seen & 1u << SUPERVISOR_BACKOFF);
    rtp_port_look(&f->video);
    assert_true(f->video.packets >= 60);
    rig_server_stop(f->loop, &f->server);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* Without a stop before, and in the middle of a callback. */
static void on_state_free(void *user, enum supervisor_state s, const char *reason)
{
    struct fixture *f = user;
    if (s == SUPERVISOR_RUNNING) {
        f->relay = ffmpeg_relay_free(f->relay);
    }
}

static void test_freed_as_it_starts(void **state)
{
    static const struct ffmpeg_relay_ops ops = {.on_state = on_state_free};
    struct fixture *f = *state;
    f->relay = ffmpeg_relay_new(f->loop, "relay test", &f->spec, 0, &ops, f, NULL);
    assert_int_equal(ffmpeg_relay_start(f->relay), 0);
    RUN_UNTIL(f->loop, !f->relay && proc_live() == 0);
}

#define RELAY(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_all_outputs),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_progress_in_any_pieces),
        cmocka_unit_test(test_odd_progress),
        RELAY(test_a_killed_relay_returns_with_another_ssrc),
        RELAY(test_a_relay_that_stands_still_is_replaced),
        RELAY(test_other_ports),
        RELAY(test_rtmp),
        RELAY(test_the_end_of_a_live_source_is_a_failure),
        RELAY(test_rtsp),
        RELAY(test_a_file_has_an_end),
        RELAY(test_freed_as_it_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
