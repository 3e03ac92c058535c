/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A synthetic stream: real parameter sets, then frames of the right size at the right time whose slices hold no picture.
 * Servers that do not decode cannot tell, and no encoder takes the load tool's core.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (4u << 20)

/* 1280x720, High profile, level 3.1, as x264 writes them. */
static const uint8_t avcc[] = {
    0x01, 0x64, 0x00, 0x1f, 0xff, 0xe1, 0x00, 0x1a, 0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40,
    0x50, 0x05, 0xbb, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x03, 0x20,
    0xf1, 0x83, 0x19, 0x60, 0x01, 0x00, 0x04, 0x68, 0xef, 0x8f, 0xcb, 0xfd, 0xf8, 0xf8, 0x00};
static const uint8_t asc[] = {0x12, 0x10}; /* AAC-LC, 44.1 kHz, stereo */

struct out_state {
    int fd;
    uint8_t *frame;
};

static volatile sig_atomic_t stopping;

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

static int send_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return -1;
        }
        p += sent;
        n -= (size_t)sent;
    }
    return 0;
}

static int recv_exactly(int fd, size_t n)
{
    uint8_t sink[4096];
    while (n > 0) {
        ssize_t got = recv(fd, sink, n < sizeof(sink) ? n : sizeof(sink), 0);
        if (got <= 0) {
            return -1;
        }
        n -= (size_t)got;
    }
    return 0;
}

/* Nothing the server says matters to us; it must only not fill the pipe. Returns -1 when it hung up. */
static int drain(int fd)
{
    uint8_t sink[4096];
    ssize_t n;
    while ((n = recv(fd, sink, sizeof(sink), MSG_DONTWAIT)) > 0) {
    }
    return n == 0 ? -1 : 0;
}

static int say_hello(int fd, const struct target *t)
{
    static uint8_t out[1 << 13];
    uint8_t body[1024];
    size_t n = rtmp_hello(t, out, sizeof(out));
    if (send_all(fd, out, n) < 0 || recv_exactly(fd, 1 + 2 * 1536) < 0) {
        return -1;
    }
    memset(out, 0x5a, 1536);
    size_t at = 1536;
    uint8_t chunk_size[4] = {0x00, 0x40, 0x00, 0x00}; /* one chunk a message, up to 4 MiB */
    at += rtmp_command(out + at, 3, 0, body, rtmp_connect_body(body, t), 20);
    n = amf_string(body, "createStream");
    n += amf_number(body + n, 2);
    body[n++] = 5;
    at += rtmp_command(out + at, 3, 0, body, n, 20);
    n = amf_string(body, "publish");
    n += amf_number(body + n, 3);
    body[n++] = 5;
    n += amf_string(body + n, t->name);
    n += amf_string(body + n, "live");
    at += rtmp_command(out + at, 8, 1, body, n, 20);
    at += rtmp_command(out + at, 2, 0, chunk_size, 4, 1);
    return send_all(fd, out, at);
}

/* One whole message in one chunk, the payload at frame + 12 + 4 already in place. */
static int send_message(struct out_state *s, uint8_t csid, uint8_t type, uint32_t ms, size_t n)
{
    uint8_t *p = s->frame;
    size_t header = 12;
    bool extended = ms >= 0xffffff;
    p[0] = csid;
    uint32_t field = extended ? 0xffffff : ms;
    p[1] = (uint8_t)(field >> 16);
    p[2] = (uint8_t)(field >> 8);
    p[3] = (uint8_t)field;
    p[4] = (uint8_t)(n >> 16);
    p[5] = (uint8_t)(n >> 8);
    p[6] = (uint8_t)n;
    p[7] = type;
    p[8] = 1;
    p[9] = p[10] = p[11] = 0;
    if (extended) {
        memmove(p + 16, p + 12, n);
        p[12] = (uint8_t)(ms >> 24);
        p[13] = (uint8_t)(ms >> 16);
        p[14] = (uint8_t)(ms >> 8);
        p[15] = (uint8_t)ms;
        header = 16;
    }
    return send_all(s->fd, p, header + n);
}

static int send_headers(struct out_state *s, bool audio)
{
    uint8_t *b = s->frame + 12;
    memcpy(b, "\x17\x00\x00\x00\x00", 5);
    memcpy(b + 5, avcc, sizeof(avcc));
    if (send_message(s, 6, 9, 0, 5 + sizeof(avcc)) < 0) {
        return -1;
    }
    if (!audio) {
        return 0;
    }
    memcpy(b, "\xaf\x00", 2);
    memcpy(b + 2, asc, sizeof(asc));
    return send_message(s, 4, 8, 0, 2 + sizeof(asc));
}

static int send_video(struct out_state *s, uint32_t number, bool key, uint32_t ms, size_t size)
{
    uint8_t *b = s->frame + 12;
    struct mark m = {now_ns(), number};
    size_t sei = 2 + 1 + MARK_LEN; /* 06 05 size mark 80 */
    size_t n = 0;
    b[n++] = key ? 0x17 : 0x27;
    memcpy(b + n, "\x01\x00\x00\x00", 4);
    n += 4;
    b[n++] = 0;
    b[n++] = 0;
    b[n++] = 0;
    b[n++] = (uint8_t)(sei + 1);
    b[n++] = 6;
    b[n++] = 5;
    b[n++] = MARK_LEN;
    mark_write(b + n, m);
    n += MARK_LEN;
    b[n++] = 0x80;
    size_t slice = size > n + 16 ? size - n - 4 : 12;
    b[n++] = (uint8_t)(slice >> 24);
    b[n++] = (uint8_t)(slice >> 16);
    b[n++] = (uint8_t)(slice >> 8);
    b[n++] = (uint8_t)slice;
    b[n] = key ? 0x65 : 0x41;
    memset(b + n + 1, 0x5a, slice - 1);
    n += slice;
    return send_message(s, 6, 9, ms, n);
}

static int send_audio(struct out_state *s, uint32_t ms, size_t size)
{
    uint8_t *b = s->frame + 12;
    memcpy(b, "\xaf\x01", 2);
    memset(b + 2, 0x5a, size);
    return send_message(s, 4, 8, ms, size + 2);
}

static void sleep_until(int64_t when)
{
    struct timespec ts = {when / 1000000000, when % 1000000000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* What an encoder says when its user presses stop. */
static int say_goodbye(int fd, const struct target *t)
{
    uint8_t out[1024];
    uint8_t body[512];
    size_t n = amf_string(body, "FCUnpublish");
    n += amf_number(body + n, 4);
    body[n++] = 5;
    n += amf_string(body + n, t->name);
    size_t at = rtmp_command(out, 3, 0, body, n, 20);
    n = amf_string(body, "deleteStream");
    n += amf_number(body + n, 5);
    body[n++] = 5;
    n += amf_number(body + n, 1);
    at += rtmp_command(out + at, 3, 0, body, n, 20);
    return send_all(fd, out, at);
}

/* Until the server has hung up too: then the path is free for whoever comes next. */
static void await_end(int fd)
{
    struct timeval patience = {.tv_sec = 10};
    uint8_t sink[4096];
    shutdown(fd, SHUT_WR);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while (recv(fd, sink, sizeof(sink), 0) > 0) {
    }
}

/* How late frames were sent tells whether a stall that players saw was ours. */
struct punctual {
    int64_t next_ns, late_ns;
};

static void report(struct punctual *p, double seconds, int64_t due)
{
    int64_t now = now_ns();
    p->late_ns = now - due > p->late_ns ? now - due : p->late_ns;
    if (seconds > 0 && now >= p->next_ns) {
        if (p->next_ns) {
            printf("{\"late_ms\":%lld}\n", (long long)(p->late_ns / 1000000));
            fflush(stdout);
            p->late_ns = 0;
        }
        p->next_ns = now + (int64_t)(seconds * 1e9);
    }
}

static int run_frames(struct out_state *s, const struct publish *p)
{
    /* A key frame is four times the others; the sizes come out at the bitrate asked for. */
    double video_bps = (p->kbps - p->audio_kbps) * 1000.0;
    double plain = video_bps / 8 / p->fps * p->gop / (p->gop + 3);
    size_t audio_size = (size_t)(p->audio_kbps * 1000.0 / 8 * 1024 / 44100);
    int64_t start = now_ns();
    uint32_t frame = 0;
    uint64_t audio = 0;
    struct punctual punctual = {0};
    while (!stopping && (p->seconds == 0 || frame < p->seconds * p->fps)) {
        int64_t video_at = start + (int64_t)frame * 1000000000 / p->fps;
        int64_t audio_at = start + (int64_t)(audio * 1024 * 1000000000ull / 44100);
        bool next_is_audio = p->audio_kbps > 0 && audio_at < video_at;
        sleep_until(next_is_audio ? audio_at : video_at);
        uint32_t ms = (uint32_t)(((next_is_audio ? audio_at : video_at) - start) / 1000000);
        int r = 0;
        if (next_is_audio) {
            r = send_audio(s, ms, audio_size);
            audio++;
        } else {
            bool key = frame % p->gop == 0;
            r = send_video(s, frame, key, ms, (size_t)(key ? plain * 4 : plain));
            frame++;
            report(&punctual, p->report, video_at);
        }
        if (r < 0 || drain(s->fd) < 0) {
            fprintf(stderr, "load: the server ended the publication\n");
            return 1;
        }
    }
    return 0;
}

int publish_run(const struct target *t, const struct publish *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    struct out_state s = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    int one = 1;
    if (inet_pton(AF_INET, t->host, &to.sin_addr) != 1 ||
        connect(s.fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        fprintf(stderr, "load: cannot connect to %s:%u: %m\n", t->host, t->port);
        return 1;
    }
    setsockopt(s.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    s.frame = malloc(FRAME_MAX);
    struct sigaction term = {.sa_handler = on_term};
    sigaction(SIGTERM, &term, NULL);
    int r = s.frame && say_hello(s.fd, t) == 0 && send_headers(&s, p->audio_kbps > 0) == 0
                ? run_frames(&s, p)
                : 1;
    if (r == 0) {
        r = say_goodbye(s.fd, t) < 0;
        await_end(s.fd);
    }
    close(s.fd);
    free(s.frame);
    return r;
}
