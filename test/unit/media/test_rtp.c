/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RTP: headers by golden bytes; payloads of real streams cut and put together again, whole and with packets missing; and ffmpeg as
 * the oracle, whose packets must give the samples of the file it read.
 */
#include "../unit.h"
#include "fixture.h"

#include "base/clock.h"
#include "media/canon.h"
#include "media/fmp4.h"
#include "media/rtp_depay.h"
#include "media/rtp_payload.h"
#include "media/rtp_sdp.h"
#include "media/timeline.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- packets ---- */

static void test_header_bytes(void **state)
{
    uint8_t hex[64];
    uint8_t got[RTP_HEADER_SIZE + 4 + RTP_EXTENSION_MAX];
    const struct rtp_packet h = {.payload_type = 96,
                                 .marker = true,
                                 .seq = 0xfffe,
                                 .timestamp = 0x01020304,
                                 .ssrc = 0xa0b0c0d0};
    struct bytes want = fixture_hex("80e0fffe01020304a0b0c0d0", hex);
    assert_ptr_equal(rtp_put_header(got, &h), got + RTP_HEADER_SIZE);
    assert_memory_equal(got, want.data, want.len);

    const struct rtp_packet x = {.payload_type = 1,
                                 .extension_profile = RTP_ONE_BYTE,
                                 .extension = BYTES("\x10\x7f\x31\x01\x02", 5)};
    want = fixture_hex("900100000000000000000000bede0002107f310102000000", hex);
    assert_int_equal(rtp_put_header(got, &x) - got, want.len);
    assert_memory_equal(got, want.data, want.len);
}

static void test_everything_a_header_may_have(void **state)
{
    /* Padding of 3, an extension of one word, two contributing sources. */
    uint8_t hex[64];
    const struct bytes in = fixture_hex("b2e1000700000009000000010000000200000003"
                                        "bede0001107f0000aabb000003",
                                        hex);
    struct rtp_packet p;
    uint8_t id;
    struct bytes data;
    assert_int_equal(rtp_parse(in, &p), 0);
    assert_int_equal(p.payload_type, 0x61);
    assert_true(p.marker);
    assert_int_equal(p.seq, 7);
    assert_int_equal(p.timestamp, 9);
    assert_int_equal(p.ssrc, 1);
    assert_true(bytes_equal(p.payload, BYTES("\xaa\xbb", 2)));
    struct rtp_extension_iter it = rtp_extension_iter_init(&p);
    assert_int_equal(rtp_extension_next(&it, &id, &data), 1);
    assert_int_equal(id, 1);
    assert_true(bytes_equal(data, BYTES("\x7f", 1)));
    assert_int_equal(rtp_extension_next(&it, &id, &data), 0);
    /* Cut anywhere before the payload, it is no packet. */
    for (size_t n = 0; n < 28; n++) {
        assert_int_equal(rtp_parse(BYTES(in.data, n), &p), -EINVAL);
    }
    hex[0] &= 0x3f;
    assert_int_equal(rtp_parse(in, &p), -EINVAL);
}

static void test_padding_longer_than_the_packet_is_refused(void **state)
{
    uint8_t hex[64];
    struct rtp_packet p;
    assert_int_equal(rtp_parse(fixture_hex("a06000010000000100000001aa03", hex), &p), -EINVAL);
    assert_int_equal(rtp_parse(fixture_hex("a06000010000000100000001aa00", hex), &p), -EINVAL);
    assert_int_equal(rtp_parse(fixture_hex("a06000010000000100000001aa02", hex), &p), 0);
    assert_int_equal(p.payload.len, 0);
}

static void test_two_byte_extensions(void **state)
{
    struct rtp_packet p = {.extension_profile = 0x1000,
                           .extension = BYTES("\x05\x00\x00\x06\x02\xaa\xbb\x07\x09", 9)};
    struct rtp_extension_iter it = rtp_extension_iter_init(&p);
    uint8_t id;
    struct bytes data;
    assert_int_equal(rtp_extension_next(&it, &id, &data), 1);
    assert_int_equal(id, 5);
    assert_int_equal(data.len, 0);
    assert_int_equal(rtp_extension_next(&it, &id, &data), 1);
    assert_int_equal(id, 6);
    assert_true(bytes_equal(data, BYTES("\xaa\xbb", 2)));
    assert_int_equal(rtp_extension_next(&it, &id, &data), 0); /* 9 bytes are not there */
}

static void test_sequence_numbers_wrap(void **state)
{
    struct rtp_seq s = {0};
    assert_int_equal(rtp_seq_unwrap(&s, 65534), 65534);
    assert_int_equal(rtp_seq_unwrap(&s, 1), 65537);
    assert_int_equal(rtp_seq_unwrap(&s, 65535), 65535);
    assert_int_equal(s.highest, 65537);
    assert_int_equal(rtp_seq_unwrap(&s, 2), 65538);
}

/* ---- payloads ---- */

static struct sample *sample_of(struct canon *c, const struct fixture_track *t, unsigned k)
{
    const struct fixture_sample *in = &t->samples[k];
    const int64_t pts = ns_from_ticks(in->pts, t->timescale);
    const struct canon_unit unit = {in->data, pts, in->key};
    struct canon_result res;
    assert_int_equal(canon_feed(c, &unit, &res, NULL), 0);
    return sample_new(0, c->params, &res.payload, pts, pts, res.flags, 0);
}

struct path {
    struct canon in;
    struct canon out;
    struct rtp_depay depay;
    uint16_t seq;
    unsigned packets;
};

static void path_init(struct path *p, const struct fixture_track *t)
{
    *p = (struct path){.seq = 65530};
    canon_init(&p->in, t->codec);
    canon_init(&p->out, t->codec);
    assert_true(canon_config(&p->in, t->config, NULL) >= 0);
    const struct rtp_depay_config config = {.codec = t->codec};
    assert_int_equal(rtp_depay_init(&p->depay, &config), 0);
}

static void path_done(struct path *p)
{
    canon_done(&p->in);
    canon_done(&p->out);
    rtp_depay_done(&p->depay);
}

/* Sends a sample's packets, without those of the mask; the unit that comes out, or false. */
static bool path_send(struct path *p, struct sample *s, uint32_t timestamp, uint64_t lose,
                      struct rtp_unit *ret)
{
    struct rtp_payload_iter it = rtp_payload_iter_init(sample_form(s, FORM_RTP));
    struct rtp_payload payload;
    bool got = false;
    for (unsigned i = 0; rtp_payload_next(&it, &payload); i++) {
        assert_true(payload.data.len <= RTP_PAYLOAD_MAX);
        const struct rtp_packet packet = {.seq = p->seq++,
                                          .marker = payload.marker,
                                          .timestamp = timestamp,
                                          .payload = payload.data};
        p->packets++;
        if (lose >> i & 1) {
            continue;
        }
        rtp_depay_push(&p->depay, &packet);
        while (rtp_depay_next(&p->depay, ret) > 0) {
            assert_false(got);
            got = true;
        }
    }
    return got;
}

static void round_trip(const char *file, unsigned track)
{
    media_register_forms();
    struct fixture *f = fixture_open(file);
    const struct fixture_track *t = &f->tracks[track];
    struct path p;
    path_init(&p, t);
    if (t->codec == CODEC_AAC || t->codec == CODEC_OPUS) {
        assert_true(canon_config(&p.out, t->config, NULL) >= 0);
    }
    for (unsigned k = 0; k < t->n; k++) {
        struct sample *s = sample_of(&p.in, t, k);
        struct rtp_unit unit;
        struct canon_result res;
        assert_true(path_send(&p, s, k, 0, &unit));
        assert_int_equal(unit.timestamp, k);
        assert_false(unit.after_loss);
        const struct canon_unit in = {unit.data, s->pts_ns, t->samples[k].key};
        assert_int_equal(canon_feed(&p.out, &in, &res, NULL), 0);
        assert_true(bytes_equal(buf_view(res.payload), buf_view(s->payload)));
        assert_int_equal(res.flags, s->flags);
        /* What the key frame's packets brought along is all there is to know. */
        assert_string_equal(p.in.params->rfc6381, p.out.params->rfc6381);
        assert_int_equal(p.in.params->width, p.out.params->width);
        assert_int_equal(p.in.params->reorder_depth, p.out.params->reorder_depth);
        buf_unref(&res.payload);
        sample_unref(&s);
    }
    assert_true(p.packets >= t->n);
    path_done(&p);
    fixture_close(f);
    assert_int_equal(buf_live_count(), 0);
}

static void test_round_trips(void **state)
{
    round_trip("h264_aac.mp4", 0);
    round_trip("h264_aac.mp4", 1);
    round_trip("hevc_aac.mp4", 0);
    round_trip("av1_opus.mp4", 1);
}

/* A picture of one slice, larger than a packet, with `extra` small units in front of it. */
static struct sample *big_picture(struct canon *c, unsigned extra, size_t slice, bool idr)
{
    _cleanup_(out_done) struct out o = {0};
    for (unsigned i = 0; i < extra; i++) {
        fixture_unit(&o, BYTES("\x06\x05\x01\x00\x80", 5));
    }
    out_u32be(&o, (uint32_t)slice);
    uint8_t *p = out_extend(&o, slice);
    for (size_t i = 0; i < slice; i++) {
        p[i] = (uint8_t)(i % 251 + 1);
    }
    p[0] = idr ? 0x65 : 0x41;
    p[1] = 0x88; /* first_mb_in_slice 0 */
    const struct canon_unit unit = {out_view(&o), 0, idr};
    struct canon_result res;
    assert_int_equal(canon_feed(c, &unit, &res, NULL), 0);
    return sample_new(0, c->params, &res.payload, 0, 0, res.flags, 0);
}

static void test_fragments_have_the_right_bytes(void **state)
{
    struct fixture *f = fixture_open("h264_aac.mp4");
    struct path p;
    path_init(&p, &f->tracks[0]);
    struct sample *s = big_picture(&p.in, 0, 2500, true);
    struct rtp_payload_iter it = rtp_payload_iter_init(sample_form(s, FORM_RTP));
    struct rtp_payload x;
    assert_true(rtp_payload_next(&it, &x));
    assert_int_equal(x.data.data[0], 0x78); /* STAP-A, as important as its sets */
    assert_false(x.marker);
    const uint8_t want[3][3] = {{0x7c, 0x85, 0x88}, {0x7c, 0x05, 0}, {0x7c, 0x45, 0}};
    size_t total = 0;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(rtp_payload_next(&it, &x));
        assert_memory_equal(x.data.data, want[i], i == 0 ? 3 : 2);
        assert_int_equal(x.marker, i == 2);
        total += x.data.len - 2;
    }
    assert_false(rtp_payload_next(&it, &x));
    assert_int_equal(total, 2499);
    sample_unref(&s);
    path_done(&p);
    fixture_close(f);
}

/* Whichever packet is missing, no broken unit comes out, and the next whole one says so. */
static void test_any_missing_packet_costs_one_unit(void **state)
{
    struct fixture *f = fixture_open("h264_aac.mp4");
    for (unsigned lost = 0; lost < 6; lost++) {
        struct path p;
        struct rtp_unit unit;
        path_init(&p, &f->tracks[0]);
        struct sample *key = big_picture(&p.in, 2, 3000, true); /* 1 + 2 + 3 packets */
        struct sample *next = big_picture(&p.in, 0, 3000, false);
        assert_true(path_send(&p, key, 1, 0, &unit));
        assert_int_equal(p.packets, 6);
        const bool got = path_send(&p, key, 2, 1U << lost, &unit);
        /* Without its parameter sets and SEI the picture is whole as far as anybody can tell. */
        assert_true(!got || lost == 0);
        if (got) {
            assert_true(unit.after_loss);
        }
        assert_true(path_send(&p, next, 3, 0, &unit));
        assert_int_equal(unit.after_loss, !got);
        assert_int_equal(unit.data.len, 3004);
        assert_int_equal(p.depay.lost, 1);
        assert_true(path_send(&p, next, 4, 0, &unit));
        assert_false(unit.after_loss);
        sample_unref(&key);
        sample_unref(&next);
        path_done(&p);
    }
    fixture_close(f);
}

static void test_a_unit_larger_than_allowed_is_dropped(void **state)
{
    struct fixture *f = fixture_open("h264_aac.mp4");
    struct path p;
    struct rtp_unit unit;
    path_init(&p, &f->tracks[0]);
    p.depay.config.unit_max = 4000;
    struct sample *big = big_picture(&p.in, 0, 4000, false);
    struct sample *fits = big_picture(&p.in, 0, 3996, false);
    assert_false(path_send(&p, big, 1, 0, &unit));
    assert_int_equal(p.depay.dropped, 1);
    assert_true(p.depay.cap <= 4000);
    assert_true(path_send(&p, fits, 2, 0, &unit));
    assert_true(unit.after_loss);
    sample_unref(&big);
    sample_unref(&fits);
    path_done(&p);
    fixture_close(f);
}

static void test_late_and_doubled_packets_are_dropped(void **state)
{
    struct rtp_depay d;
    const struct rtp_depay_config config = {.codec = CODEC_OPUS};
    struct rtp_unit unit;
    static const uint16_t seqs[] = {10, 11, 11, 9, 12};
    unsigned n = 0;
    assert_int_equal(rtp_depay_init(&d, &config), 0);
    for (size_t i = 0; i < ARRAY_LEN(seqs); i++) {
        const struct rtp_packet p = {.seq = seqs[i], .payload = BYTES("x", 1)};
        rtp_depay_push(&d, &p);
        while (rtp_depay_next(&d, &unit) > 0) {
            n++;
        }
    }
    assert_int_equal(n, 3);
    assert_int_equal(d.late, 2);
    assert_int_equal(d.lost, 0);
    rtp_depay_done(&d);
}

static void test_pictures_end_without_a_marker_too(void **state)
{
    struct rtp_depay d;
    const struct rtp_depay_config config = {.codec = CODEC_H264};
    struct rtp_unit unit;
    assert_int_equal(rtp_depay_init(&d, &config), 0);
    const struct rtp_packet a = {.seq = 1, .timestamp = 1, .payload = BYTES("\x41\x88", 2)};
    const struct rtp_packet b = {.seq = 2, .timestamp = 2, .payload = BYTES("\x41\x99\x01", 3)};
    rtp_depay_push(&d, &a);
    assert_int_equal(rtp_depay_next(&d, &unit), 0);
    rtp_depay_push(&d, &b);
    assert_int_equal(rtp_depay_next(&d, &unit), 1);
    assert_int_equal(unit.timestamp, 1);
    assert_true(bytes_equal(unit.data, BYTES("\0\0\0\2\x41\x88", 6)));
    assert_int_equal(rtp_depay_next(&d, &unit), 0);
    rtp_depay_done(&d);
}

static void test_several_aac_units_in_a_packet(void **state)
{
    struct rtp_depay d;
    const struct rtp_depay_config config = {.codec = CODEC_AAC};
    struct rtp_unit unit;
    assert_int_equal(rtp_depay_init(&d, &config), 0);
    const struct rtp_packet p = {.seq = 1,
                                 .timestamp = 5000,
                                 .marker = true,
                                 .payload = BYTES("\0\x20\0\x10\0\x18"
                                                  "abcde",
                                                  11)};
    rtp_depay_push(&d, &p);
    assert_int_equal(rtp_depay_next(&d, &unit), 1);
    assert_int_equal(unit.timestamp, 5000);
    assert_true(bytes_equal_str(unit.data, "ab"));
    assert_int_equal(rtp_depay_next(&d, &unit), 1);
    assert_int_equal(unit.timestamp, 6024);
    assert_true(bytes_equal_str(unit.data, "cde"));
    assert_int_equal(rtp_depay_next(&d, &unit), 0);
    rtp_depay_done(&d);
}

static void test_aac_larger_than_a_packet(void **state)
{
    struct fixture *f = fixture_open("h264_aac.mp4");
    struct path p;
    struct rtp_unit unit;
    path_init(&p, &f->tracks[1]);
    struct buf *payload = buf_new(3000);
    memset(payload->data, 'a', 3000);
    struct sample *s = sample_new(0, p.in.params, &payload, 0, 0, SAMPLE_KEY, 0);
    assert_true(path_send(&p, s, 1, 0, &unit));
    assert_int_equal(p.packets, 3);
    assert_int_equal(unit.data.len, 3000);
    for (unsigned lost = 0; lost < 3; lost++) {
        assert_false(path_send(&p, s, 2 + lost, 1U << lost, &unit));
    }
    assert_true(path_send(&p, s, 9, 0, &unit));
    assert_true(unit.after_loss);
    sample_unref(&s);
    path_done(&p);
    fixture_close(f);
}

/* ---- what we write in a description is what we read out of it ---- */

static void test_descriptions_carry_the_parameters(void **state)
{
    static const struct {
        const char *file;
        unsigned track;
    } cases[] = {
        {"h264_aac.mp4", 0}, {"h264_aac.mp4", 1}, {"hevc_aac.mp4", 0}, {"av1_opus.mp4", 1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fixture *f = fixture_open(cases[i].file);
        const struct fixture_track *t = &f->tracks[cases[i].track];
        struct track_params *p;
        struct track_params *back;
        _cleanup_(out_done) struct out o = {0};
        struct sdp sdp;
        struct rtp_sdp_format format;
        assert_int_equal(track_params_new(t->codec, t->config, &p, NULL), 0);
        sdp_write_session(&o, 1, 1, "127.0.0.1", "x");
        sdp_write_media(&o, p->kind == TRACK_VIDEO ? "video" : "audio", 5004, "RTP/AVP", 96, NULL);
        assert_int_equal(rtp_sdp_write(&o, p, 96), 0);
        assert_int_equal(sdp_parse(out_view(&o), &sdp, NULL), 0);
        assert_int_equal(sdp.n_media, 1);
        assert_int_equal(rtp_sdp_read(&sdp.media[0], 96, &format, NULL), 0);
        assert_int_equal(format.depay.codec, t->codec);
        assert_int_equal(format.clock_rate, rtp_clock_rate(p));
        assert_int_equal(track_params_new(t->codec, buf_view(format.config), &back, NULL), 0);
        if (t->codec == CODEC_OPUS) {
            assert_int_equal(back->channels, 2); /* pre-skip and rate are not in it */
        } else {
            assert_string_equal(back->rfc6381, p->rfc6381);
            assert_int_equal(back->width, p->width);
            assert_int_equal(back->channels, p->channels);
        }
        track_params_unref(&p);
        track_params_unref(&back);
        buf_unref(&format.config);
        fixture_close(f);
    }
    assert_int_equal(buf_live_count(), 0);
}

/* ---- ffmpeg as the oracle ---- */

static int udp_socket(uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int size = 4 << 20;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *ret_port = ntohs(a.sin_port);
    return fd;
}

/* Runs ffmpeg and reads its description from a pipe; its packets wait in the socket. */
static struct bytes ffmpeg_send(const char *file, const char *map, uint16_t port, uint8_t *sdp)
{
    char command[1024];
    snprintf(command, sizeof(command),
             "ffmpeg -v error -re -i %s/media/%s -map %s -c copy -f rtp -payload_type 96 "
             "-sdp_file pipe:1 'rtp://127.0.0.1:%u?pkt_size=700&rtcpport=9'",
             TEST_DATA, file, map, port);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    const size_t n = fread(sdp, 1, 8192, in);
    assert_int_equal(pclose(in), 0);
    return BYTES(sdp, n);
}

static void hear_ffmpeg(const char *file, unsigned track, const char *map)
{
    struct fixture *f = fixture_open(file);
    const struct fixture_track *t = &f->tracks[track];
    uint8_t text[8192];
    uint8_t datagram[2048];
    uint16_t port;
    struct path p;
    struct sdp sdp;
    struct rtp_sdp_format format;
    const int fd = udp_socket(&port);
    path_init(&p, t);
    const struct bytes description = ffmpeg_send(file, map, port, text);
    assert_int_equal(sdp_parse(description, &sdp, NULL), 0);
    assert_int_equal(sdp.n_media, 1);
    assert_int_equal(rtp_sdp_read(&sdp.media[0], 96, &format, NULL), 0);
    assert_int_equal(format.depay.codec, t->codec);
    assert_true(canon_config(&p.out, buf_view(format.config), NULL) >= 0);
    rtp_depay_done(&p.depay);
    assert_int_equal(rtp_depay_init(&p.depay, &format.depay), 0);
    unsigned k = 0;
    uint32_t first = 0;
    ssize_t n;
    while ((n = recv(fd, datagram, sizeof(datagram), MSG_DONTWAIT)) > 0) {
        struct rtp_packet packet;
        struct rtp_unit unit;
        assert_int_equal(rtp_parse(BYTES(datagram, n), &packet), 0);
        rtp_depay_push(&p.depay, &packet);
        while (rtp_depay_next(&p.depay, &unit) > 0) {
            assert_true(k < t->n);
            struct sample *want = sample_of(&p.in, t, k);
            const struct canon_unit in = {unit.data, want->pts_ns, t->samples[k].key};
            struct canon_result res;
            assert_int_equal(canon_feed(&p.out, &in, &res, NULL), 0);
            assert_true(bytes_equal(buf_view(res.payload), buf_view(want->payload)));
            /* The file's times, on the RTP clock. */
            first = k == 0 ? unit.timestamp : first;
            const int64_t ticks =
                (t->samples[k].pts - t->samples[0].pts) * format.clock_rate / t->timescale;
            const int32_t off = (int32_t)(unit.timestamp - first) - (int32_t)ticks;
            assert_true(off >= -1 && off <= 1);
            buf_unref(&res.payload);
            sample_unref(&want);
            k++;
        }
    }
    /* ffmpeg keeps AAC units back to fill a packet, and forgets the last ones when it ends. */
    assert_true(k == t->n || (t->codec == CODEC_AAC && k + 4 > t->n));
    assert_int_equal(p.depay.lost, 0);
    close(fd);
    buf_unref(&format.config);
    path_done(&p);
    fixture_close(f);
}

static void test_ffmpeg_is_understood(void **state)
{
    if (system("ffmpeg -version >/dev/null 2>&1") != 0) {
        skip();
    }
    media_register_forms();
    hear_ffmpeg("h264_aac.mp4", 0, "0:v");
    hear_ffmpeg("h264_aac.mp4", 1, "0:a");
    hear_ffmpeg("hevc_aac.mp4", 0, "0:v");
    hear_ffmpeg("av1_opus.mp4", 1, "0:a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_bytes),
        cmocka_unit_test(test_everything_a_header_may_have),
        cmocka_unit_test(test_padding_longer_than_the_packet_is_refused),
        cmocka_unit_test(test_two_byte_extensions),
        cmocka_unit_test(test_sequence_numbers_wrap),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_fragments_have_the_right_bytes),
        cmocka_unit_test(test_any_missing_packet_costs_one_unit),
        cmocka_unit_test(test_a_unit_larger_than_allowed_is_dropped),
        cmocka_unit_test(test_late_and_doubled_packets_are_dropped),
        cmocka_unit_test(test_pictures_end_without_a_marker_too),
        cmocka_unit_test(test_several_aac_units_in_a_packet),
        cmocka_unit_test(test_aac_larger_than_a_packet),
        cmocka_unit_test(test_descriptions_carry_the_parameters),
        cmocka_unit_test(test_ffmpeg_is_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
