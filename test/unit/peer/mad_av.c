/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stand-in for mast-av that goes mad on demand: frames come out as they went in, but for those that tell it to die, to
 * hang, to talk nonsense or to cheat. What the pool makes of it is in test_av.c.
 */
#include "base/mem.h"
#include "media/av_wire.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static struct out to_mast;

static void say(enum av_kind kind, uint32_t job, uint32_t number, const struct av_msg *frame)
{
    static const uint8_t dops[] = {0, 2, 1, 56, 0, 0, 0xbb, 0x80, 0, 0, 0};
    struct av_msg m = {.kind = kind, .job = job, .number = number, .codec = CODEC_OPUS};
    m.config = BYTES(dops, sizeof(dops));
    if (frame) {
        m.data = frame->data;
        m.pts_ns = frame->pts_ns;
        m.duration_ns = 20000000;
    }
    av_wire_put(&to_mast, &m);
}

static bool tells(const struct av_msg *m, const char *what)
{
    return m->data.len >= strlen(what) && memcmp(m->data.data, what, strlen(what)) == 0;
}

static void handle_frame(const struct av_msg *m)
{
    if (tells(m, "die")) {
        raise(SIGKILL);
    } else if (tells(m, "hang")) {
        for (;;) {
            pause();
        }
    } else if (tells(m, "junk")) {
        out_puts(&to_mast, "\xff\xff\xff\xff what is this");
    } else if (tells(m, "cheat")) {
        say(AV_DONE, m->job, 1000, NULL);
    } else if (tells(m, "twice")) {
        say(AV_PARAMS, m->job, 0, NULL);
    } else if (tells(m, "deaf")) {
        shutdown(AV_FD_SOCKET, SHUT_RDWR);
        pause();
    } else if (tells(m, "stranger")) {
        say(AV_OUT, m->job + 77, 0, m);
    } else if (tells(m, "refuse")) {
        struct av_msg e = {.kind = AV_ERROR, .job = m->job, .data = BYTES_STR("not\nthis")};
        av_wire_put(&to_mast, &e);
    }
    say(AV_OUT, m->job, 0, m);
    say(AV_DONE, m->job, 1, NULL);
}

static void handle(const struct av_msg *m)
{
    switch (m->kind) {
    case AV_OPEN:
        say(AV_PARAMS, m->job, 0, NULL);
        return;
    case AV_FRAME:
        handle_frame(m);
        return;
    case AV_PING:
        say(AV_PONG, 0, m->number, NULL);
        return;
    default:
        return;
    }
}

/* Blocking, as the pool takes all that comes. */
static void give(void)
{
    size_t at = 0;
    while (at < to_mast.len) {
        ssize_t n = send(AV_FD_SOCKET, to_mast.data + at, to_mast.len - at, MSG_NOSIGNAL);
        if (n > 0) {
            at += (size_t)n;
        } else {
            usleep(1000);
        }
    }
    to_mast.len = 0;
}

int main(void)
{
    struct out in = {0};
    struct av_msg m;
    volatile uint64_t *desk =
        mmap(NULL, AV_DESK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, AV_FD_DESK, 0);
    say(AV_HELLO, 0, AV_WIRE_VERSION, NULL);
    for (;;) {
        give();
        uint8_t *room = out_extend(&in, 4096);
        ssize_t n = recv(AV_FD_SOCKET, room, 4096, 0);
        in.len -= 4096 - (size_t)MAX(n, (ssize_t)0);
        if (n == 0) {
            _exit(0);
        }
        if (n < 0) {
            usleep(1000);
        }
        for (int r; (r = av_wire_parse(BYTES(in.data, in.len), &m)) > 0;) {
            *desk = m.job;
            handle(&m);
            *desk = 0;
            in.len -= (size_t)r;
            memmove(in.data, in.data + r, in.len);
        }
    }
}
