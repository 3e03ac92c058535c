/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting and pipelines as tables; relays with the real gst-launch-1.0. */
#include "relay_rig.h"

#include "peer/gstreamer/gstreamer.h"

#include <errno.h>

#define SECRET "s3cret-key"
/* Whatever gst-launch has a meaning for. */
#define ODD "a b\"c d'e\\f!g@h,i;j=k \303\244 "

static char *join(char *const *argv, const char *with)
{
    struct out o = {0};
    for (; *argv; argv++) {
        out_printf(&o, "%s%s", o.len ? with : "", *argv);
    }
    return out_take_str(&o);
}

/* ---- the caller's own string ---- */

static void test_split(void **state)
{
    static const char *const cases[][2] = {
        {"a ! b", "a|!|b"},
        {"  a\tb\n", "a|b"},
        {"caps=\"video/x-raw, width=1\" c", "caps=video/x-raw, width=1|c"},
        {"'it is' a'b'c", "it is|abc"},
        {"a\\ b 'c\\d' \"e\\\"f\\g\"", "a b|c\\d|e\"f\\g"},
        {"a ! \\\n b", "a|!|b"},
        {"$HOME `id` $(id) * ;", "$HOME|`id`|$(id)|*|;"},
        {"'' a", "|a"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        char **words;
        unsigned n;
        assert_int_equal(gstreamer_split(cases[i][0], &words, &n, NULL), 0);
        _cleanup_(out_done) struct out o = {0};
        for (unsigned k = 0; k < n; k++) {
            out_printf(&o, "%s%s", k ? "|" : "", words[k]);
            free(words[k]);
        }
        free(words);
        assert_string_equal(out_str(&o), cases[i][1]);
    }
}

static void test_what_cannot_be_split(void **state)
{
    char **words;
    unsigned n;
    char many[2 * GSTREAMER_WORDS_MAX + 4];
    char *large = mem_alloc(GSTREAMER_PIPELINE_MAX + 2);
    memset(large, 'x', GSTREAMER_PIPELINE_MAX + 1);
    large[GSTREAMER_PIPELINE_MAX + 1] = '\0';
    for (unsigned i = 0; i < sizeof(many) - 1; i++) {
        many[i] = i % 2 ? ' ' : 'a';
    }
    many[sizeof(many) - 1] = '\0';
    assert_int_equal(gstreamer_split("a 'b", &words, &n, NULL), -EINVAL);
    assert_int_equal(gstreamer_split("a \"b", &words, &n, NULL), -EINVAL);
    assert_int_equal(gstreamer_split("a\001", &words, &n, NULL), -EINVAL);
    assert_int_equal(gstreamer_split(large, &words, &n, NULL), -E2BIG);
    assert_int_equal(gstreamer_split(many, &words, &n, NULL), -E2BIG);
    free(large);
}

static void test_own_pipelines(void **state)
{
    static const struct {
        const char *pipeline;
        const char *words; /* NULL: refused */
        bool secret;
    } cases[] = {
        {"gst-launch-1.0 -e -v videotestsrc ! fakesink",
         "gst-launch-1.0 -q videotestsrc ! fakesink", false},
        {"rtspsrc location=rtsp://h/a ! fakesink",
         "gst-launch-1.0 -q rtspsrc location=rtsp://h/a ! fakesink", false},
        {"rtspsrc location=rtsp://u:p@h/a ! fakesink",
         "gst-launch-1.0 -q rtspsrc location=rtsp://u:p@h/a ! fakesink", true},
        {"rtmp2src location=rtmp://h/a/key ! fakesink",
         "gst-launch-1.0 -q rtmp2src location=rtmp://h/a/key ! fakesink", true},
        {"rtspsrc user-pw=x ! fakesink", "gst-launch-1.0 -q rtspsrc user-pw=x ! fakesink", true},
        {"--gst-plugin-load=/tmp/x.so videotestsrc", NULL, false},
        {"gst-launch-1.0 -q", NULL, false},
        {"", NULL, false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        const struct gstreamer_spec spec = {.pipeline = cases[i].pipeline};
        struct gstreamer_command c;
        int r = gstreamer_command_make(&spec, &c, NULL);
        assert_int_equal(r, cases[i].words ? 0 : -EINVAL);
        if (r == 0) {
            _cleanup_free_ char *all = join(c.argv, " ");
            assert_string_equal(all, cases[i].words);
            assert_int_equal(c.secret_visible, cases[i].secret);
            gstreamer_command_done(&c);
        }
    }
}

/* ---- generated pipelines ---- */

#define Q      "! queue max-size-time=2000000000 max-size-bytes=0 max-size-buffers=0 "
#define REPORT "! progressreport update-freq=1 do-query=false silent=false format=time "
#define VIDEO_TO(port)                                                                             \
    REPORT "! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96 mtu=1200 ! udpsink " \
           "host=127.0.0.1 port=" port " sync=false async=false"
#define AUDIO_TO(port)                                                                             \
    REPORT "! rtpopuspay pt=111 mtu=1200 ! udpsink host=127.0.0.1 port=" port                      \
           " sync=false async=false"
#define OPUS                                                                                       \
    "! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2 ! opusenc bitrate=64000 "  \
    "frame-size=20 inband-fec=true "

static struct gstreamer_output output(enum track_kind kind, unsigned index, uint16_t port)
{
    struct gstreamer_output o = {.kind = kind,
                                 .index = index,
                                 .host = "127.0.0.1",
                                 .port = port,
                                 .pt = kind == TRACK_VIDEO ? 96 : 111};
    strcpy(o.codec, kind == TRACK_VIDEO ? "h264" : "opus");
    return o;
}

static void expect_pipeline(const struct gstreamer_spec *spec, const char *text, bool secret)
{
    struct gstreamer_command c;
    struct error err = {0};
    assert_int_equal(gstreamer_command_make(spec, &c, &err), 0);
    _cleanup_free_ char *all = join(c.argv, " ");
    assert_string_equal(all, text);
    assert_int_equal(c.secret_visible, secret);
    gstreamer_command_done(&c);
}

static void test_pipelines(void **state)
{
    const struct gstreamer_spec rtmp = {
        .input = GSTREAMER_RTMP,
        .url = "rtmp://h/live/a b\"",
        .copy_video = true,
        .n_outputs = 2,
        .outputs = {output(TRACK_VIDEO, 0, 5004), output(TRACK_AUDIO, 0, 5006)}};
    expect_pipeline(&rtmp,
                    "gst-launch-1.0 -q rtmp2src location=rtmp://h/live/a b\\\" ! flvdemux "
                    "name=in in.video " Q "! h264parse config-interval=-1 " VIDEO_TO(
                        "5004") " in.audio " Q "! aacparse ! avdec_aac " OPUS AUDIO_TO("5006"),
                    true);
    /* The sound of a camera, twice. */
    const struct gstreamer_spec rtsp = {
        .input = GSTREAMER_RTSP,
        .url = "rtsp://h/cam",
        .n_outputs = 2,
        .copy_audio = true,
        .outputs = {output(TRACK_AUDIO, 0, 5006), output(TRACK_AUDIO, 0, 5008)}};
    expect_pipeline(&rtsp,
                    "gst-launch-1.0 -q rtspsrc name=in latency=100 protocols=tcp "
                    "location=rtsp://h/cam in. ! application/x-rtp,media=audio " Q
                    "! rtpopusdepay ! tee name=tee1_0 tee1_0. " Q AUDIO_TO(
                        "5006") " tee1_0. " Q AUDIO_TO("5008"),
                    false);
    /* The second sound of a file. */
    const struct gstreamer_spec file = {.input = GSTREAMER_URI,
                                        .url = "udp://127.0.0.1:5000",
                                        .n_outputs = 1,
                                        .outputs = {output(TRACK_AUDIO, 1, 5006)}};
    expect_pipeline(&file,
                    "gst-launch-1.0 -q uridecodebin name=in uri=udp://127.0.0.1:5000 in. ! "
                    "audio/x-raw " Q
                    "! fakesink sync=false async=false in. ! audio/x-raw " Q OPUS AUDIO_TO("5006"),
                    false);
}

static void test_what_is_refused(void **state)
{
    const struct gstreamer_spec good = {.input = GSTREAMER_RTMP,
                                        .url = "rtmp://h/a/b",
                                        .n_outputs = 1,
                                        .outputs = {output(TRACK_VIDEO, 0, 5004)}};
    struct gstreamer_command c;
    struct gstreamer_spec bad[8];
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        bad[i] = good;
    }
    bad[0].url = NULL;
    bad[1].url = "file:///etc/passwd";
    bad[2].outputs[0].index = 1; /* FLV has one of each */
    bad[3].n_outputs = 0;
    strcpy(bad[4].outputs[0].codec, "opus");
    strcpy(bad[5].outputs[0].host, "1.1.1.1 ! filesink");
    bad[6].outputs[0].port = 0;
    bad[7].copy_video = true;
    strcpy(bad[7].outputs[0].codec, "vp8");
    assert_int_equal(gstreamer_command_make(&good, &c, NULL), 0);
    gstreamer_command_done(&c);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct error err = {0};
        if (gstreamer_command_make(&bad[i], &c, &err) != -EINVAL || !err.text[0]) {
            fail_msg("case %u was taken", i);
        }
    }
}

/* ---- relays ---- */

struct fixture {
    struct loop *loop;
    struct gstreamer_relay *relay;
    struct rtp_port video, audio;
    struct gstreamer_spec spec;
    struct rig_server server;
    unsigned seen;
    char backoff[ERROR_TEXT_MAX];
    struct out lines;
    bool stopped;
};

static void on_state(void *user, enum supervisor_state s, const char *reason)
{
    struct fixture *f = user;
    f->seen |= 1u << s;
    if (s == SUPERVISOR_BACKOFF) {
        snprintf(f->backoff, sizeof(f->backoff), "%s", reason);
    }
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
    f->spec = (struct gstreamer_spec){
        .input = GSTREAMER_TEST,
        .width = 320,
        .height = 240,
        .fps = 30,
        .n_outputs = 2,
        .outputs = {output(TRACK_VIDEO, 0, f->video.port), output(TRACK_AUDIO, 0, f->audio.port)}};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    gstreamer_relay_free(f->relay);
    proc_free(f->server.proc);
    RUN_UNTIL(f->loop, proc_live() == 0);
    loop_free(f->loop);
    close(f->video.fd);
    close(f->audio.fd);
    out_done(&f->lines);
    free(f);
    return 0;
}

static void start(struct fixture *f, unsigned stall_ms)
{
    static const struct gstreamer_relay_ops ops = {on_state, on_line};
    struct error err = {0};
    f->relay = gstreamer_relay_new(f->loop, "relay test", &f->spec, stall_ms, &ops, f, &err);
    assert_non_null(f->relay);
    assert_int_equal(gstreamer_relay_start(f->relay), 0);
}

static pid_t child(const struct fixture *f)
{
    struct proc *p = supervisor_proc(gstreamer_relay_supervisor(f->relay));
    return p ? proc_pid(p) : 0;
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
    f->stopped = false;
    assert_int_equal(gstreamer_relay_stop(f->relay, on_stopped, f), 0);
    RUN_UNTIL(f->loop, f->stopped);
    assert_int_equal(child(f), 0);
    assert_true(pid == 0 || kill(pid, 0) < 0);
}

static void test_a_relay_that_stands_still_is_replaced(void **state)
{
    struct fixture *f = *state;
    start(f, 2500);
    wait_for_media(f, 60);
    /* On a slow machine it may have been replaced before. */
    RUN_UNTIL(f->loop,
              supervisor_state(gstreamer_relay_supervisor(f->relay)) == SUPERVISOR_RUNNING);
    pid_t pid = child(f);
    unsigned sources = f->video.sources;
    f->seen = 0;
    kill(pid, SIGSTOP);
    RUN_UNTIL(f->loop, f->seen & 1u << SUPERVISOR_BACKOFF);
    assert_non_null(strstr(f->backoff, "nothing has passed"));
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) >= 30 && f->video.sources > sources);
    assert_true(child(f) != pid);
    stop(f);
}

/* What passes is told: a relay that works is not replaced; one whose source has gone is. */
static void test_rtmp(void **state)
{
    struct fixture *f = *state;
    struct rig_mast mast;
    rig_mast_start(f->loop, &mast, SECRET);
    f->spec.input = GSTREAMER_RTMP;
    f->spec.url = mast.url;
    f->spec.copy_video = true;
    start(f, 3000);
    assert_true(gstreamer_relay_secret_visible(f->relay));
    wait_for_media(f, 20);
    /* Five seconds of one source: one relay, which is replaced after three that it says nothing. */
    RUN_UNTIL(f->loop, rtp_port_look(&f->audio) > 250);
    assert_true(f->video.nal_types & (1u << 24 | 1u << 7));
    f->seen = 0;
    kill(proc_pid(mast.publisher.proc), SIGKILL);
    RUN_UNTIL(f->loop, f->seen & 1u << SUPERVISOR_BACKOFF);
    stop(f);
    assert_true(f->lines.len == 0 || !strstr(out_str(&f->lines), SECRET));
    rig_mast_stop(f->loop, &mast);
}

/* A password that is wrong, one that is odd; copied and encoded anew. */
static void test_rtsp(void **state)
{
    struct fixture *f = *state;
    uint16_t port = port_get(SOCK_STREAM);
    rig_rtsp_start(f->loop, &f->server, port, ODD);
    _cleanup_free_ char *url = mem_printf("rtsp://127.0.0.1:%u/cam", port);
    f->spec.input = GSTREAMER_RTSP;
    f->spec.url = url;
    f->spec.user = "cam";
    f->spec.password = "wrongsecret";
    start(f, 0);
    RUN_UNTIL(f->loop, f->seen & 1u << SUPERVISOR_BACKOFF);
    assert_non_null(strstr(out_str(&f->lines), "401"));
    assert_null(strstr(out_str(&f->lines), "wrongsecret"));
    f->spec.password = ODD;
    f->spec.copy_video = f->spec.copy_audio = true;
    assert_int_equal(gstreamer_relay_change(f->relay, &f->spec, NULL), 0);
    wait_for_media(f, 30);
    f->spec.copy_video = f->spec.copy_audio = false;
    assert_int_equal(gstreamer_relay_change(f->relay, &f->spec, NULL), 0);
    unsigned sources = f->video.sources;
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) >= 30 && f->video.sources > sources);
    stop(f);
}

static void test_uri_and_own_pipeline(void **state)
{
    struct fixture *f = *state;
    uint16_t port = port_get(SOCK_STREAM);
    rig_rtsp_start(f->loop, &f->server, port, "camsecret");
    _cleanup_free_ char *url = mem_printf("rtsp://cam:camsecret@127.0.0.1:%u/cam", port);
    f->spec.input = GSTREAMER_URI;
    f->spec.url = url;
    start(f, 0);
    wait_for_media(f, 30);
    _cleanup_free_ char *own = mem_printf(
        "gst-launch-1.0 -v videotestsrc is-live=true ! \"video/x-raw, width=160, height=120\" ! "
        "vp8enc deadline=1 ! rtpvp8pay pt=100 ! udpsink host=127.0.0.1 port=%u",
        f->video.port);
    const struct gstreamer_spec spec = {.pipeline = own};
    assert_int_equal(gstreamer_relay_change(f->relay, &spec, NULL), 0);
    assert_false(gstreamer_relay_secret_visible(f->relay));
    RUN_UNTIL(f->loop, rtp_port_look(&f->video) > 10 && f->video.pt == 100);
    stop(f);
}

#define RELAY(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_what_cannot_be_split),
        cmocka_unit_test(test_own_pipelines),
        cmocka_unit_test(test_pipelines),
        cmocka_unit_test(test_what_is_refused),
        RELAY(test_a_relay_that_stands_still_is_replaced),
        RELAY(test_rtmp),
        RELAY(test_rtsp),
        RELAY(test_uri_and_own_pipeline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
