/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What tests of relays share: UDP ports that look at the RTP that comes, the children of a relay, servers to relay from. */
#include "../await.h"
#include "../port.h"

#include "base/mem.h"
#include "io/proc.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct rtp_port {
    int fd;
    uint16_t port;
    unsigned packets; /* of the SSRC that came last */
    unsigned sources; /* how often the SSRC changed, the first included */
    uint32_t ssrc;
    uint8_t pt;
    uint32_t nal_types; /* bit n: a packet that begins with a NAL unit of type n */
    unsigned longest;
};

static inline struct rtp_port rtp_port_open(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    struct rtp_port p = {.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    assert_true(p.fd >= 0);
    assert_int_equal(bind(p.fd, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(p.fd, (struct sockaddr *)&in, &len), 0);
    p.port = ntohs(in.sin_port);
    return p;
}

/* Takes what has come; how many packets of the present SSRC there were. */
static inline unsigned rtp_port_look(struct rtp_port *p)
{
    uint8_t b[2048];
    for (ssize_t n; (n = recv(p->fd, b, sizeof(b), 0)) > 0;) {
        if (n < 13 || b[0] >> 6 != 2 || (b[1] >= 192 && b[1] <= 223)) { /* RTCP */
            continue;
        }
        uint32_t ssrc = (uint32_t)b[8] << 24 | (uint32_t)b[9] << 16 | (uint32_t)b[10] << 8 | b[11];
        if (p->sources == 0 || ssrc != p->ssrc) {
            p->sources++;
            p->packets = 0;
        }
        p->ssrc = ssrc;
        p->packets++;
        p->pt = b[1] & 0x7f;
        p->nal_types |= 1u << (b[12] & 31);
        p->longest = MAX(p->longest, (unsigned)n);
    }
    return p->packets;
}

/* Whether a file of /proc/PID has the text in it; NULs count as blanks. */
static inline bool rig_proc_has(pid_t pid, const char *name, const char *text)
{
    char path[64];
    char buf[65536];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, buf, sizeof(buf) - 1);
    assert_true(n > 0);
    close(fd);
    for (ssize_t i = 0; i < n; i++) {
        buf[i] = buf[i] ? buf[i] : ' ';
    }
    buf[n] = '\0';
    return strstr(buf, text) != NULL;
}

/* A program that relays get their media from. */
struct rig_server {
    struct proc *proc;
    bool ended;
    bool ready; /* it wrote something to stdout */
};

static inline void rig_on_server_exit(void *user, const struct proc_exit *e)
{
    struct rig_server *s = user;
    s->ended = true;
}

static inline void rig_on_server_output(void *user, struct bytes chunk)
{
    struct rig_server *s = user;
    s->ready = true;
}

static inline void rig_server_start(struct loop *l, struct rig_server *s, const char *const *argv)
{
    static const struct proc_ops ops = {.on_exit = rig_on_server_exit,
                                        .on_output = rig_on_server_output};
    struct error err = {0};
    *s = (struct rig_server){0};
    const struct proc_spec spec = {.argv = argv};
    assert_int_equal(proc_start(l, &spec, &ops, s, &s->proc, &err), 0);
}

static inline void rig_server_stop(struct loop *l, struct rig_server *s)
{
    if (!s->ended) {
        proc_stop(s->proc, 0);
    }
    RUN_UNTIL(l, s->ended);
    s->proc = proc_free(s->proc);
}

/* ffmpeg as an RTMP server for one player: H.264 without B pictures and AAC, for so many seconds. */
static inline void rig_rtmp_start(struct loop *l, struct rig_server *s, const char *url,
                                  const char *seconds)
{
    const char *argv[] = {"ffmpeg",
                          "-nostdin",
                          "-loglevel",
                          "error",
                          "-re",
                          "-f",
                          "lavfi",
                          "-i",
                          "testsrc2=size=320x240:rate=30[out0];sine=sample_rate=48000[out1]",
                          "-t",
                          seconds,
                          "-c:v",
                          "libx264",
                          "-preset",
                          "ultrafast",
                          "-tune",
                          "zerolatency",
                          "-g",
                          "15",
                          "-pix_fmt",
                          "yuv420p",
                          "-c:a",
                          "aac",
                          "-f",
                          "flv",
                          "-listen",
                          "1",
                          url,
                          NULL};
    rig_server_start(l, s, argv);
}

/* A camera with a password: rtsp://cam:...@127.0.0.1:PORT/cam, H.264 and Opus. */
static inline void rig_rtsp_start(struct loop *l, struct rig_server *s, uint16_t port,
                                  const char *password)
{
    char number[8];
    snprintf(number, sizeof(number), "%u", port);
    const char *argv[] = {
        "/usr/bin/python3", "test/tools/rtsp_server.py", number, "cam", password, NULL};
    rig_server_start(l, s, argv);
    RUN_UNTIL(l, s->ready || s->ended);
    if (s->ended) {
        fail_msg("the RTSP server ended (packages python3-gi and gir1.2-gst-rtsp-server-1.0)");
    }
}

/* A Mast of the build, with ffmpeg that publishes H.264 without B pictures and AAC to it. */
struct rig_mast {
    struct rig_server server, publisher;
    char dir[32];
    char *url; /* rtmp://... */
};

static inline bool rig_connects(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    bool connects = connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
    close(fd);
    return connects;
}

static inline void rig_mast_start(struct loop *l, struct rig_mast *m, const char *name)
{
    uint16_t rtmp = port_get(SOCK_STREAM);
    uint16_t http = port_get(SOCK_STREAM);
    const char *libexec = getenv("MAST_LIBEXEC_DIR");
    _cleanup_free_ char *program = mem_printf("%s/../app/mast", libexec ? libexec : ".");
    snprintf(m->dir, sizeof(m->dir), "/tmp/mast-relay-XXXXXX");
    assert_non_null(mkdtemp(m->dir));
    _cleanup_free_ char *config = mem_printf("%s/mast.yml", m->dir);
    FILE *f = fopen(config, "w");
    assert_non_null(f);
    fprintf(f, "state_dir: %s\nhttp:\n  port: %u\nrtmp:\n  port: %u\nrtmps:\n  enabled: false\n",
            m->dir, http, rtmp);
    assert_int_equal(fclose(f), 0);
    const char *argv[] = {program, "serve", "--config", config, NULL};
    rig_server_start(l, &m->server, argv);
    RUN_UNTIL(l, rig_connects(rtmp) || m->server.ended);
    assert_false(m->server.ended);
    m->url = mem_printf("rtmp://127.0.0.1:%u/live/%s", rtmp, name);
    const char *publish[] = {
        "ffmpeg",    "-nostdin", "-loglevel",
        "error",     "-re",      "-f",
        "lavfi",     "-i",       "testsrc2=size=320x240:rate=30[out0];sine=sample_rate=48000[out1]",
        "-c:v",      "libx264",  "-preset",
        "ultrafast", "-tune",    "zerolatency",
        "-g",        "15",       "-pix_fmt",
        "yuv420p",   "-c:a",     "aac",
        "-f",        "flv",      m->url,
        NULL};
    rig_server_start(l, &m->publisher, publish);
}

static inline void rig_mast_stop(struct loop *l, struct rig_mast *m)
{
    rig_server_stop(l, &m->publisher);
    rig_server_stop(l, &m->server);
    _cleanup_free_ char *command = mem_printf("rm -rf %s", m->dir);
    assert_int_equal(system(command), 0);
    free(m->url);
}
