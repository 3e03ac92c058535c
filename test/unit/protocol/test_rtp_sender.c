/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RTP sender with real sockets: what arrives is put together again and compared with what was published; and ffmpeg, given the
 * description, must decode every picture.
 */
#include "fixture_source.h"

#include "base/log.h"
#include "base/mem.h"
#include "media/b_filter.h"
#include "media/canon.h"
#include "media/fmp4.h"
#include "media/nal.h"
#include "media/rtcp.h"
#include "media/rtp_depay.h"
#include "media/timeline.h"
#include "protocol/rtp/rtp_sender.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct socket_end {
    int fd;
    struct sockaddr_storage address;
};

static struct socket_end socket_open(void)
{
    struct socket_end s = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    const int size = 8 << 20;
    assert_true(s.fd >= 0);
    assert_int_equal(bind(s.fd, (struct sockaddr *)&a, len), 0);
    (void)setsockopt(s.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    assert_int_equal(getsockname(s.fd, (struct sockaddr *)&a, &len), 0);
    memcpy(&s.address, &a, sizeof(a));
    return s;
}

/* ---- what arrives ---- */

struct sink {
    struct socket_end end;
    struct rtp_depay depay;
    unsigned packets;
    unsigned units;
    uint32_t ssrc;
    uint32_t first;
    uint32_t last;
    const struct source *src; /* whose units they must be; NULL = not compared */
};

static void sink_init(struct sink *s, enum codec codec, const struct source *src)
{
    const struct rtp_depay_config config = {.codec = codec};
    *s = (struct sink){.end = socket_open(), .src = src};
    assert_int_equal(rtp_depay_init(&s->depay, &config), 0);
}

static void sink_done(struct sink *s)
{
    close(s->end.fd);
    rtp_depay_done(&s->depay);
}

/* The unit without parameter sets, as the source's canonical bytes are. */
static void compare(const struct sink *s, struct bytes unit)
{
    _cleanup_(out_done) struct out o = {0};
    struct nal_iter it = nal_iter_init(unit, 4);
    struct bytes nal;
    while (nal_next(&it, &nal) > 0) {
        const unsigned type = nal.data[0] & 0x1f;
        if (type != 7 && type != 8) {
            fixture_unit(&o, nal);
        }
    }
    assert_true(s->units < s->src->n_sent);
    assert_true(bytes_equal(out_view(&o), buf_view(s->src->sent[s->units])));
}

static void sink_read(struct sink *s)
{
    uint8_t datagram[2048];
    ssize_t n;
    while ((n = recv(s->end.fd, datagram, sizeof(datagram), MSG_DONTWAIT)) > 0) {
        struct rtp_packet p;
        struct rtp_unit unit;
        assert_int_equal(rtp_parse(BYTES(datagram, n), &p), 0);
        assert_int_equal(p.payload_type, s->depay.config.codec == CODEC_H264 ? 96 : 97);
        s->first = s->packets == 0 ? p.timestamp : s->first;
        s->last = p.timestamp;
        s->ssrc = p.ssrc;
        s->packets++;
        rtp_depay_push(&s->depay, &p);
        while (rtp_depay_next(&s->depay, &unit) > 0) {
            assert_false(unit.after_loss);
            if (s->src) {
                compare(s, unit.data);
            }
            s->units++;
        }
    }
}

/* ---- the rig ---- */

struct rig {
    struct loop *l;
    struct engine *e;
    struct fixture *f;
    struct source src;
    struct sink video;
    struct sink audio;
    struct socket_end rtcp;
    struct rtp_sender *sender;
    enum reader_state state;
    int ends;
    enum rtp_sender_end end;
    char why[160];
    bool close_on_end;
};

static void on_state(void *user, enum reader_state state, const char *reason)
{
    struct rig *r = user;
    r->state = state;
}

static void on_end(void *user, enum rtp_sender_end end, const char *why)
{
    struct rig *r = user;
    r->ends++;
    r->end = end;
    snprintf(r->why, sizeof(r->why), "%s", why);
    if (r->close_on_end) {
        r->sender = rtp_sender_close(r->sender);
    }
}

static struct rig *rig_new(const char *file)
{
    struct rig *r = mem_new(struct rig);
    log_configure("error", false);
    media_register_forms();
    const struct engine_config config = {.fanout_wait_none = true};
    r->f = fixture_open(file);
    r->l = loop_new("test", 0);
    r->e = engine_new(&config, r->l, &r->l, 1);
    sink_init(&r->video, CODEC_H264, &r->src);
    sink_init(&r->audio, CODEC_AAC, NULL);
    r->rtcp = socket_open();
    source_open(&r->src, r->e, r->l, r->f);
    return r;
}

static struct rtp_sender_config rig_config(struct rig *r, struct rtp_sender_track tracks[2])
{
    tracks[0] = (struct rtp_sender_track){.kind = TRACK_VIDEO,
                                          .codec = CODEC_H264,
                                          .payload_type = 96,
                                          .to = r->video.end.address,
                                          .rtcp_to = r->rtcp.address};
    tracks[1] = (struct rtp_sender_track){.kind = TRACK_AUDIO,
                                          .codec = CODEC_AAC,
                                          .payload_type = 97,
                                          .to = r->audio.end.address,
                                          .rtcp_to = r->rtcp.address};
    return (struct rtp_sender_config){
        .path = "live/a", .tracks = tracks, .n_tracks = 2, .cname = "test"};
}

static void rig_open(struct rig *r, const struct rtp_sender_config *config)
{
    static const struct rtp_sender_ops ops = {on_state, on_end};
    struct error err = {0};
    r->sender = rtp_sender_open(r->e, r->l, config, &ops, r, &err);
    if (!r->sender) {
        fail_msg("%s", err.text);
    }
}

static void rig_free(struct rig *r)
{
    r->sender = rtp_sender_close(r->sender);
    source_done(&r->src);
    sink_done(&r->video);
    sink_done(&r->audio);
    close(r->rtcp.fd);
    for (int i = 0; i < 12; i++) {
        loop_run_once(r->l, 0);
    }
    r->e = engine_free(r->e);
    loop_free(r->l);
    fixture_close(r->f);
    free(r);
    assert_int_equal(sample_live_count(), 0);
    assert_int_equal(buf_live_count(), 0);
}

/* ---- tests ---- */

static void test_every_sample_arrives(void **state)
{
    for (int one_socket = 0; one_socket < 2; one_socket++) {
        struct rig *r = rig_new("h264_aac.mp4");
        struct rtp_sender_track tracks[2];
        struct rtp_sender_config config = rig_config(r, tracks);
        struct rtp_sender_stats stats;
        config.one_socket = one_socket;
        rig_open(r, &config);
        source_file(&r->src, r->l);
        source_file(&r->src, r->l);
        const unsigned n_audio = 2 * r->f->tracks[1].n;
        RUN_UNTIL(r->l, (sink_read(&r->video), sink_read(&r->audio),
                         r->video.units == r->src.n_sent && r->audio.units == n_audio));
        assert_int_equal(r->video.depay.lost, 0);
        assert_int_equal(r->audio.depay.lost, 0);
        rtp_sender_stats(r->sender, &stats);
        assert_int_equal(stats.tracks[0].packets, r->video.packets);
        assert_int_equal(stats.tracks[0].ssrc, r->video.ssrc);
        assert_int_equal(stats.tracks[1].ssrc, r->audio.ssrc);
        assert_int_not_equal(r->video.ssrc, r->audio.ssrc);
        assert_int_equal(stats.samples, r->src.n_sent + n_audio);
        assert_int_equal(stats.send_errors, 0);
        assert_int_equal(r->ends, 0);
        rig_free(r);
    }
}

/* Reads the compounds that came; counts BYEs, keeps each source's last report. */
struct heard {
    unsigned byes;
    unsigned reports;
    struct rtcp_packet sr[2]; /* video, audio */
    bool cname;
};

static void hear(struct rig *r, struct heard *h)
{
    uint8_t datagram[2048];
    ssize_t n;
    while ((n = recv(r->rtcp.fd, datagram, sizeof(datagram), MSG_DONTWAIT)) > 0) {
        struct rtcp_iter it = rtcp_iter_init(BYTES(datagram, n));
        struct rtcp_packet p;
        int x;
        assert_true(rtp_is_rtcp(BYTES(datagram, n)));
        while ((x = rtcp_next(&it, &p)) > 0) {
            if (p.type == RTCP_SR) {
                h->sr[p.ssrc == r->audio.ssrc] = p;
                h->reports++;
            }
            h->cname |= bytes_equal_str(rtcp_sdes_cname(&p), "test");
            h->byes += p.type == RTCP_BYE;
        }
        assert_int_equal(x, 0);
    }
}

static void test_reports_put_the_tracks_side_by_side(void **state)
{
    struct rig *r = rig_new("h264_aac.mp4");
    struct rtp_sender_track tracks[2];
    const struct rtp_sender_config config = rig_config(r, tracks);
    struct heard h = {0};
    rig_open(r, &config);
    source_file(&r->src, r->l);
    RUN_UNTIL(r->l, (sink_read(&r->video), sink_read(&r->audio), hear(r, &h),
                     r->video.packets && r->audio.packets && h.reports >= 2));
    /* The first ones come with the first packets. */
    const int64_t wall = rtcp_wall_ns_from_ntp(h.sr[0].sender.ntp);
    assert_true(llabs(clock_wall_ns() - wall) < 60 * NS_PER_S);
    assert_true(h.cname);
    /* A later report, of the moment it is sent: both tracks' clocks say the same time since their first packets. */
    r->sender = rtp_sender_close(r->sender);
    h.reports = 0;
    RUN_UNTIL(r->l, (sink_read(&r->video), sink_read(&r->audio), hear(r, &h), h.byes == 2));
    const double v = (uint32_t)(h.sr[0].sender.rtp - r->video.first) / 90000.0;
    const double a = (uint32_t)(h.sr[1].sender.rtp - r->audio.first) / 48000.0;
    const double between = (double)(rtcp_wall_ns_from_ntp(h.sr[1].sender.ntp) -
                                    rtcp_wall_ns_from_ntp(h.sr[0].sender.ntp)) /
                           1e9;
    /* The file's first picture is shown 80 ms after its first sound: two B pictures of delay. */
    const struct fixture_track *t = &r->f->tracks[0];
    const double delay = (double)t->samples[0].pts / t->timescale -
                         (double)r->f->tracks[1].samples[0].pts / r->f->tracks[1].timescale;
    assert_true(a - v - between - delay < 0.012 && a - v - between - delay > -0.012);
    assert_int_equal(h.sr[0].sender.packets, r->video.packets);
    rig_free(r);
}

static void send_feedback(struct rig *r, bool fir, uint32_t ssrc)
{
    _cleanup_(out_done) struct out o = {0};
    struct sockaddr_storage to;
    rtcp_write_rr(&o, 99, NULL, 0);
    if (fir) {
        rtcp_write_fir(&o, 99, ssrc, 1);
    } else {
        rtcp_write_pli(&o, 99, ssrc);
    }
    rtp_sender_local(r->sender, 0, &to);
    ((struct sockaddr_in *)&to)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(
        sendto(r->rtcp.fd, o.data, o.len, 0, (struct sockaddr *)&to, sizeof(struct sockaddr_in)),
        o.len);
}

static void test_key_frames_are_asked_for(void **state)
{
    struct rig *r = rig_new("h264_aac.mp4");
    struct rtp_sender_track tracks[2];
    const struct rtp_sender_config config = rig_config(r, tracks);
    struct rtp_sender_stats stats;
    rig_open(r, &config);
    source_file(&r->src, r->l);
    RUN_UNTIL(r->l, (sink_read(&r->video), r->video.units > 0));
    const int before = r->src.keys_wanted;
    send_feedback(r, false, r->video.ssrc + 1); /* somebody else's */
    send_feedback(r, false, r->video.ssrc);
    RUN_UNTIL(r->l, (rtp_sender_stats(r->sender, &stats), stats.key_requests == 1));
    RUN_UNTIL(r->l, r->src.keys_wanted > before);
    send_feedback(r, true, r->video.ssrc);
    RUN_UNTIL(r->l, (rtp_sender_stats(r->sender, &stats), stats.key_requests == 2));
    rig_free(r);
}

/* A picture of 2 MB is 1,700 packets: more than a burst, and more than sockets hold. */
static void test_large_pictures_are_spread(void **state)
{
    struct rig *r = rig_new("h264_aac.mp4");
    struct rtp_sender_track tracks[2];
    const struct rtp_sender_config config = rig_config(r, tracks);
    struct rtp_sender_stats stats;
    rig_open(r, &config);
    source_file(&r->src, r->l);
    RUN_UNTIL(r->l, (sink_read(&r->video), r->video.units == r->src.n_sent));
    _cleanup_(out_done) struct out o = {0};
    out_u32be(&o, 2000000);
    memset(out_extend(&o, 2000000), 0x55, 2000000);
    o.data[4] = 0x65;
    o.data[5] = 0x88;
    struct buf *payload = buf_copy(out_view(&o));
    r->src.sent[r->src.n_sent++] = buf_ref(payload);
    struct sample *x = sample_new(0, r->src.canon[0].params, &payload, r->src.base_ns,
                                  r->src.base_ns + 80 * NS_PER_MS, SAMPLE_KEY, clock_mono_ns());
    publisher_write(r->src.p, &x);
    RUN_UNTIL(r->l, (sink_read(&r->video), r->video.units == r->src.n_sent));
    rtp_sender_stats(r->sender, &stats);
    assert_int_equal(r->video.depay.lost, 0);
    assert_true(stats.paced > 1700 / RTP_SENDER_BURST / 4);
    rig_free(r);
}

static void test_a_codec_nobody_expects_ends_it(void **state)
{
    struct rig *r = rig_new("h264_aac.mp4");
    struct rtp_sender_track tracks[2];
    const struct rtp_sender_config config = rig_config(r, tracks);
    tracks[1].codec = CODEC_OPUS;
    r->close_on_end = true;
    rig_open(r, &config);
    source_file(&r->src, r->l);
    RUN_UNTIL(r->l, r->ends > 0);
    assert_int_equal(r->ends, 1);
    assert_int_equal(r->end, RTP_SENDER_CODEC);
    assert_string_equal(r->why, "audio track 0 is aac, which the receiver does not expect");
    rig_free(r);
}

/* The fixture has B pictures that others refer to: found in its first group. */
static void test_pyramids_need_another_encoder(void **state)
{
    struct rig *r = rig_new("h264_aac.mp4");
    struct rtp_sender_track tracks[2];
    struct rtp_sender_config config = rig_config(r, tracks);
    config.drop_b = true;
    r->close_on_end = true;
    rig_open(r, &config);
    source_file(&r->src, r->l);
    RUN_UNTIL(r->l, r->ends > 0);
    assert_int_equal(r->end, RTP_SENDER_NEEDS_TRANSCODE);
    rig_free(r);
}

/* ---- ffmpeg ---- */

static pid_t ffmpeg_start(const char *sdp, const char *out)
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execlp("ffmpeg", "ffmpeg", "-v", "error", "-nostdin", "-y", "-protocol_whitelist",
               "file,udp,rtp", "-analyzeduration", "1000000", "-i", sdp, "-map", "0:v", "-frames:v",
               "40", "-vsync", "0", "-f", "framehash", out, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static unsigned count_hashes(const char *path, const char *known)
{
    /* Every hash that ffmpeg saw must be one of a picture of the file. */
    char line[512];
    unsigned n = 0;
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    while (fgets(line, sizeof(line), in)) {
        const char *hash = strrchr(line, ',');
        if (line[0] != '#' && hash) {
            assert_non_null(strstr(known, hash + 1));
            n++;
        }
    }
    fclose(in);
    return n;
}

static char *hashes_of_fixture(void)
{
    char command[512];
    char *text = mem_zalloc(1 << 16);
    snprintf(command, sizeof(command),
             "ffmpeg -v error -i %s/media/h264_aac.mp4 -map 0:v -vsync 0 -f framehash -",
             TEST_DATA);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    const size_t n = fread(text, 1, (1 << 16) - 1, in);
    assert_int_equal(pclose(in), 0);
    assert_true(n > 1000);
    return text;
}

static void test_ffmpeg_decodes_it(void **state)
{
    if (system("ffmpeg -version >/dev/null 2>&1") != 0) {
        skip();
    }
    struct rig *r = rig_new("h264_aac.mp4");
    struct rtp_sender_track tracks[2];
    const struct rtp_sender_config config = rig_config(r, tracks);
    _cleanup_(out_done) struct out sdp = {0};
    char folder[] = "/tmp/mast-rtp-XXXXXX";
    char path[64];
    char hashes[64];
    int status;
    pid_t done;
    _cleanup_free_ char *known = hashes_of_fixture();
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/a.sdp", folder);
    snprintf(hashes, sizeof(hashes), "%s/hashes", folder);
    rig_open(r, &config);
    assert_int_equal(rtp_sender_describe(r->sender, &sdp), -EAGAIN);
    source_file(&r->src, r->l);
    RUN_UNTIL(r->l, rtp_sender_describe(r->sender, &sdp) == 0);
    FILE *out = fopen(path, "w");
    assert_int_equal(fwrite(sdp.data, 1, sdp.len, out), sdp.len);
    fclose(out);
    /* ffmpeg binds where we were. */
    close(r->video.end.fd);
    close(r->audio.end.fd);
    r->video.end.fd = r->audio.end.fd = -1;
    const pid_t pid = ffmpeg_start(path, hashes);
    /* The file in real time, picture by picture, until ffmpeg has enough. */
    int64_t next_ns = clock_mono_ns();
    const int64_t give_up = next_ns + AWAIT_MAX_MS * NS_PER_MS;
    while ((done = waitpid(pid, &status, WNOHANG)) == 0 && clock_mono_ns() < give_up) {
        if (clock_mono_ns() >= next_ns) {
            source_file(&r->src, r->l);
            next_ns += 1200 * NS_PER_MS;
        }
        loop_run_once(r->l, 10);
    }
    if (done == 0) {
        kill(pid, SIGKILL);
        (void)waitpid(pid, &status, 0);
        fail_msg("ffmpeg did not see 40 pictures");
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(count_hashes(hashes, known), 40);
    unlink(path);
    unlink(hashes);
    rmdir(folder);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_sample_arrives),
        cmocka_unit_test(test_reports_put_the_tracks_side_by_side),
        cmocka_unit_test(test_key_frames_are_asked_for),
        cmocka_unit_test(test_large_pictures_are_spread),
        cmocka_unit_test(test_a_codec_nobody_expects_ends_it),
        cmocka_unit_test(test_pyramids_need_another_encoder),
        cmocka_unit_test(test_ffmpeg_decodes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
