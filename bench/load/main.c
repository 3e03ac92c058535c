/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few players, the probes, are read the moment something arrives: they tell how late frames are. All others are read in
 * turns, ten times a second, so that the tool needs far less of its core than the server of its own; they are counted in
 * full (bytes, frames, what is missing), only their lateness is not looked at.
 *
 * mast-load publish --url rtmp://127.0.0.1:1935/live/x [--kbps 600] [--audio-kbps 64] [--fps 25] [--gop 50] [--seconds N] [--report N]
 * mast-load play    --url rtmp://...|ws://.../mse [--clients 1000] [--rate 500] [--probes 100] [--warmup 5] [--seconds 15]
 *
 * Players are given the warm-up, and longer until each of them has a picture, before anything is measured.
 * play prints one JSON object: what was received while measuring, how late, and what share of a core the tool itself took.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_MAX    (256 << 10)
#define SWEEP_NS    100000000   /* every bulk player is read once in this time */
#define SWEEP_PARTS 20          /* in so many portions, so that probes do not wait long */
#define ALL_PLAY_NS 60000000000 /* how long players are waited for, beside the warm-up */
#define STEP_NS     50000000

struct options {
    const char *url;
    unsigned clients, rate, probes;
    double warmup, seconds;
    struct publish publish;
};

int target_parse(const char *url, struct target *ret)
{
    char rest[400];
    unsigned port;
    memset(ret, 0, sizeof(*ret));
    if (sscanf(url, "rtmp://%63[^:/]:%u/%399s", ret->host, &port, rest) == 3) {
        char *slash = strrchr(rest, '/');
        if (!slash) {
            return -1;
        }
        *slash = '\0';
        snprintf(ret->app, sizeof(ret->app), "%s", rest);
        snprintf(ret->name, sizeof(ret->name), "%s", slash + 1);
    } else if (sscanf(url, "ws://%63[^:/]:%u/%199s", ret->host, &port, ret->name) == 3) {
        ret->websocket = true;
    } else {
        return -1;
    }
    ret->port = (uint16_t)port;
    return 0;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/*
 * Each source address has 28,000 free ports to one server port, and loopback has sixteen million addresses: players are
 * spread over 127.0.x.1.
 */
static int open_player(struct player *p, const struct target *t, unsigned i, int epoll)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(t->port)};
    memset(p, 0, sizeof(*p));
    p->websocket = t->websocket;
    if (!t->websocket) {
        p->rtmp.skip = 1 + 2 * 1536;
        p->rtmp.chunk_size = 128;
    }
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0 || inet_pton(AF_INET, t->host, &to.sin_addr) != 1) {
        return -1;
    }
    if (ntohl(to.sin_addr.s_addr) >> 24 == 127) {
        from.sin_addr.s_addr = htonl(0x7f000001u + ((i / 20000) << 8));
        (void)bind(p->fd, (struct sockaddr *)&from, sizeof(from));
    }
    if (connect(p->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
        return -1;
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = p};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &ev);
}

static void close_player(struct player *p, struct tally *t)
{
    close(p->fd);
    p->fd = -1;
    t->closed++;
}

static int on_connected(struct player *p, const struct target *t, int epoll)
{
    uint8_t out[2048];
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};
    size_t n = t->websocket ? ws_hello(t, out, sizeof(out)) : rtmp_hello(t, out, sizeof(out));
    p->connected = true;
    epoll_ctl(epoll, EPOLL_CTL_MOD, p->fd, &ev);
    return send(p->fd, out, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

static int on_readable(struct player *p, const struct target *t, struct tally *tally)
{
    static uint8_t in[READ_MAX];
    uint8_t out[4096];
    size_t reply = 0;
    ssize_t n = recv(p->fd, in, sizeof(in), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) {
        return -1;
    }
    tally->bytes += tally->measuring ? (uint64_t)n : 0;
    if (p->websocket) {
        return ws_feed(&p->ws, &p->frames, tally, in, (size_t)n);
    }
    int r = rtmp_feed(&p->rtmp, &p->frames, tally, t, in, (size_t)n, out, sizeof(out), &reply);
    return r == 0 && reply > 0 && send(p->fd, out, reply, MSG_NOSIGNAL) != (ssize_t)reply ? -1 : r;
}

struct field {
    const struct target *target;
    struct player *players;
    unsigned n; /* opened so far */
    int epoll;
    struct tally tally;
    unsigned next_part;
    int64_t next_sweep_ns;
};

static void handle_event(struct field *f, struct player *p, uint32_t events)
{
    int r = 0;
    if (!p->connected && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        r = events & (EPOLLERR | EPOLLHUP) ? -1 : on_connected(p, f->target, f->epoll);
    } else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        r = on_readable(p, f->target, &f->tally);
    }
    if (r < 0) {
        close_player(p, &f->tally);
    } else if (p->frames.started && !p->probe && !p->swept) {
        p->swept = true;
        epoll_ctl(f->epoll, EPOLL_CTL_DEL, p->fd, NULL);
    }
}

static void sweep(struct field *f, int64_t now)
{
    if (now < f->next_sweep_ns) {
        return;
    }
    f->next_sweep_ns = now + SWEEP_NS / SWEEP_PARTS;
    for (unsigned i = f->next_part; i < f->n; i += SWEEP_PARTS) {
        struct player *p = &f->players[i];
        if (p->swept && p->fd >= 0 && on_readable(p, f->target, &f->tally) < 0) {
            close_player(p, &f->tally);
        }
    }
    f->next_part = (f->next_part + 1) % SWEEP_PARTS;
}

static void run_until(struct field *f, int64_t end)
{
    struct epoll_event events[256];
    int64_t now;
    while ((now = now_ns()) < end) {
        int64_t wake = end < f->next_sweep_ns ? end : f->next_sweep_ns;
        int n =
            epoll_wait(f->epoll, events, 256, wake > now ? (int)((wake - now) / 1000000) + 1 : 0);
        for (int i = 0; i < n; i++) {
            handle_event(f, events[i].data.ptr, events[i].events);
        }
        sweep(f, now_ns());
    }
}

/* A server that is overloaded may never serve them all. */
static void run_until_all_play(struct field *f)
{
    int64_t end = now_ns() + ALL_PLAY_NS;
    while (f->tally.playing + f->tally.closed < f->n && now_ns() < end) {
        run_until(f, now_ns() + STEP_NS);
    }
}

static void print_result(const struct options *o, const struct tally *t, double wall, double cpu)
{
    printf(
        "{\"clients\":%u,\"playing\":%llu,\"closed\":%llu,\"seconds\":%.2f,\"gbit_per_s\":%.4f,\"messages\":%llu,"
        "\"frames\":%llu,\"lost\":%llu,\"late_us\":{\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f,\"p999\":%.0f,\"max\":%llu},"
        "\"tool_core_share\":%.3f}\n",
        o->clients, (unsigned long long)t->playing, (unsigned long long)t->closed, wall,
        (double)t->bytes * 8 / wall / 1e9, (unsigned long long)t->messages,
        (unsigned long long)t->frames, (unsigned long long)t->lost, hist_quantile(&t->late, 0.5),
        hist_quantile(&t->late, 0.9), hist_quantile(&t->late, 0.99), hist_quantile(&t->late, 0.999),
        (unsigned long long)t->late.max, cpu / wall);
}

static int play_run(const struct options *o, const struct target *t)
{
    static struct field f;
    int64_t start = now_ns();
    unsigned every = o->probes && o->probes < o->clients ? o->clients / o->probes : 1;
    f.target = t;
    f.players = calloc(o->clients, sizeof(*f.players));
    f.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!f.players || f.epoll < 0) {
        return 1;
    }
    for (; f.n < o->clients; f.n++) {
        struct player *p = &f.players[f.n];
        if (open_player(p, t, f.n, f.epoll) < 0) {
            fprintf(stderr, "load: player %u: %m\n", f.n);
            return 1;
        }
        p->probe = f.n % every == 0;
        p->frames.probe = p->probe;
        run_until(&f, start + (int64_t)(f.n + 1) * 1000000000 / o->rate);
    }
    run_until(&f, now_ns() + (int64_t)(o->warmup * 1e9));
    run_until_all_play(&f);
    double cpu = cpu_seconds();
    int64_t from = now_ns();
    fprintf(stderr, "measuring\n");
    f.tally.measuring = true;
    run_until(&f, from + (int64_t)(o->seconds * 1e9));
    fprintf(stderr, "measured\n");
    print_result(o, &f.tally, (double)(now_ns() - from) / 1e9, cpu_seconds() - cpu);
    fflush(stdout);
    for (unsigned i = 0; i < f.n; i++) {
        if (f.players[i].fd >= 0) {
            close(f.players[i].fd);
        }
    }
    free(f.players);
    close(f.epoll);
    return 0;
}

static int read_options(struct options *o, int argc, char **argv)
{
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *k = argv[i];
        const char *v = argv[i + 1];
        if (strcmp(k, "--url") == 0) {
            o->url = v;
        } else if (strcmp(k, "--clients") == 0) {
            o->clients = (unsigned)atoi(v);
        } else if (strcmp(k, "--rate") == 0) {
            o->rate = (unsigned)atoi(v);
        } else if (strcmp(k, "--probes") == 0) {
            o->probes = (unsigned)atoi(v);
        } else if (strcmp(k, "--warmup") == 0) {
            o->warmup = atof(v);
        } else if (strcmp(k, "--seconds") == 0) {
            o->seconds = o->publish.seconds = atof(v);
        } else if (strcmp(k, "--report") == 0) {
            o->publish.report = atof(v);
        } else if (strcmp(k, "--kbps") == 0) {
            o->publish.kbps = (unsigned)atoi(v);
        } else if (strcmp(k, "--audio-kbps") == 0) {
            o->publish.audio_kbps = (unsigned)atoi(v);
        } else if (strcmp(k, "--fps") == 0) {
            o->publish.fps = (unsigned)atoi(v);
        } else if (strcmp(k, "--gop") == 0) {
            o->publish.gop = (unsigned)atoi(v);
        } else {
            return -1;
        }
    }
    return o->url && o->clients && o->rate && o->publish.fps && o->publish.gop ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct options o = {
        .clients = 1000,
        .rate = 500,
        .probes = 100,
        .warmup = 5,
        .seconds = 15,
        .publish = {.kbps = 600, .audio_kbps = 64, .fps = 25, .gop = 50},
    };
    struct target t;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc < 2 || read_options(&o, argc, argv) < 0 || target_parse(o.url, &t) < 0) {
        fprintf(
            stderr,
            "usage: mast-load publish|play --url URL [--clients N] [--rate N] [--probes N] [--warmup S] [--seconds S]\n"
            "                 [--kbps N] [--audio-kbps N] [--fps N] [--gop N]\n");
        return 2;
    }
    return strcmp(argv[1], "publish") == 0 ? publish_run(&t, &o.publish) : play_run(&o, &t);
}
