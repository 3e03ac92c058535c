/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mixed audience in one thread, for hours: groups of players over RTMP, WebSocket, secure WebSocket, HLS and low-latency
 * HLS, that stay or come and go. Who is thrown out comes back after a second, and is counted.
 *
 * mast-crowd [--report S] --group LABEL,COUNT,LIFE,URL ...
 *
 *   URL   rtmp://h:p/app/name  ws://h:p/path/mse  wss://...  hls://h:p/path  llhls://h:p/path  (hlss, llhlss: over TLS)
 *   LIFE  0: stays; else seconds after which a player leaves, half of them without a goodbye, and a new one comes
 *
 * Each report is a line of JSON: for each group what happened since the last one. gap_ms is the longest that a staying
 * player waited for a frame; own_late_ms is by how much this program itself was late, which explains that much of a gap.
 * SIGTERM: a last report, then the end.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUPS   64
#define READ_MAX (256 << 10)
#define TICK_NS  5000000
#define TURNS    20 /* a streaming player is read every so many ticks */
#define MS       1000000ll
#define SECOND   1000000000ll

enum kind {
    KIND_RTMP,
    KIND_WS,
    KIND_HLS
};

struct group {
    char label[32];
    enum kind kind;
    bool tls, low_latency;
    unsigned count;
    double life;
    struct target target;
    char host[96];
    struct tally tally;
    /* since the last report */
    uint64_t joined, left, broken, bad, backwards, skipped, unavailable;
};

enum state {
    STATE_OUT,
    STATE_CONNECTING,
    STATE_TLS,
    STATE_IN
};

struct man {
    struct group *group;
    enum state state;
    int fd;
    SSL *ssl;
    unsigned number;
    int64_t next_ns;  /* out: when to come */
    int64_t leave_ns; /* 0: stays */
    struct frames frames;
    union {
        struct rtmp_player rtmp;
        struct ws_player ws;
        struct hls_player hls;
    };
};

static struct group groups[GROUPS];
static unsigned n_groups;
static struct man *men;
static unsigned n_men;
static int epoll;
static SSL_CTX *tls;
static int64_t own_late_ns;
static volatile sig_atomic_t stopping;

static void on_term(int sig)
{
    (void)sig;
    stopping = 1;
}

/* ---- coming and going ---- */

static void move_counts(struct man *m)
{
    struct group *g = m->group;
    if (g->kind != KIND_HLS) {
        return;
    }
    g->bad += m->hls.bad;
    g->backwards += m->hls.backwards;
    g->skipped += m->hls.skipped;
    g->unavailable += m->hls.unavailable;
    m->hls.bad = m->hls.backwards = m->hls.skipped = m->hls.unavailable = 0;
}

static void leave(struct man *m, bool rude)
{
    move_counts(m);
    if (m->group->kind == KIND_HLS) {
        hls_done(&m->hls);
    }
    if (rude) {
        struct linger reset = {1, 0};
        setsockopt(m->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    } else if (m->ssl && m->state == STATE_IN) {
        SSL_shutdown(m->ssl);
    }
    SSL_free(m->ssl);
    m->ssl = NULL;
    if (m->fd >= 0) {
        close(m->fd);
    }
    m->fd = -1;
    m->state = STATE_OUT;
}

/* Thrown out, or could not come in. */
static void lose(struct man *m)
{
    m->group->broken++;
    leave(m, false);
    m->next_ns = now_ns() + SECOND;
}

static int come(struct man *m, int64_t now)
{
    struct group *g = m->group;
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(g->target.port)};
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (m->fd < 0 || inet_pton(AF_INET, g->target.host, &to.sin_addr) != 1) {
        return -1;
    }
    if (ntohl(to.sin_addr.s_addr) >> 24 == 127) {
        /* Everybody has an address. */
        from.sin_addr.s_addr = htonl(0x7f010001u + ((m->number / 250) << 8) + m->number % 250);
        (void)bind(m->fd, (struct sockaddr *)&from, sizeof(from));
    }
    memset(&m->frames, 0, sizeof(m->frames));
    m->frames.probe = true;
    if (g->kind == KIND_RTMP) {
        m->rtmp = (struct rtmp_player){.skip = 1 + 2 * 1536, .chunk_size = 128};
    } else if (g->kind == KIND_WS) {
        m->ws = (struct ws_player){0};
    } else {
        hls_init(&m->hls, g->low_latency);
    }
    m->state = STATE_CONNECTING;
    m->leave_ns = 0;
    if (g->life > 0) {
        double part = 0.5 + (double)(rand() % 1000) / 1000;
        m->leave_ns = now + (int64_t)(g->life * part * 1e9);
    }
    if (connect(m->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
        return -1;
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = m};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, m->fd, &ev);
}

/* ---- bytes ---- */

static int put(struct man *m, const void *p, size_t n)
{
    /* What players say is short: it always fits. */
    if (m->ssl) {
        return SSL_write(m->ssl, p, (int)n) == (int)n ? 0 : -1;
    }
    return send(m->fd, p, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1;
}

/* 0: nothing now; -1: over. */
static ssize_t get(struct man *m, uint8_t *in, size_t cap)
{
    if (m->ssl) {
        ERR_clear_error();
        int n = SSL_read(m->ssl, in, (int)cap);
        return n > 0 ? n : SSL_get_error(m->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t n = recv(m->fd, in, cap, 0);
    if (n > 0) {
        return n;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static int ask(struct man *m)
{
    char out[1024];
    struct group *g = m->group;
    size_t n = hls_ask(&m->hls, g->host, g->target.name, now_ns(), out, sizeof(out));
    return n ? put(m, out, n) : 0;
}

static int feed(struct man *m, const uint8_t *in, size_t n)
{
    static const uint8_t pong[] = {0x8a, 0x80, 0, 0, 0, 0};
    uint8_t out[4096];
    size_t reply = 0;
    struct group *g = m->group;
    int r = -1;
    switch (g->kind) {
    case KIND_RTMP:
        r = rtmp_feed(&m->rtmp, &m->frames, &g->tally, &g->target, in, n, out, sizeof(out), &reply);
        return r == 0 && reply ? put(m, out, reply) : r;
    case KIND_WS:
        r = ws_feed(&m->ws, &m->frames, &g->tally, in, n);
        if (r == 0 && m->ws.pinged) {
            m->ws.pinged = false;
            r = put(m, pong, sizeof(pong));
        }
        return r;
    case KIND_HLS:
        r = hls_feed(&m->hls, &m->frames, &g->tally, in, n);
        return r == 0 ? ask(m) : r;
    }
    return r;
}

static int read_all(struct man *m)
{
    static uint8_t in[READ_MAX];
    for (;;) {
        ssize_t n = get(m, in, sizeof(in));
        if (n <= 0) {
            return (int)n;
        }
        m->group->tally.bytes += (uint64_t)n;
        if (feed(m, in, (size_t)n) < 0) {
            return -1;
        }
        if (!m->ssl && n < READ_MAX) {
            return 0;
        }
    }
}

/* ---- states ---- */

static int enter_in(struct man *m)
{
    uint8_t out[4096];
    struct group *g = m->group;
    m->state = STATE_IN;
    g->joined++;
    if (g->kind == KIND_HLS) {
        return ask(m);
    }
    /* From now on read in turns: a wakeup for every frame of every player would cost more than the server takes. */
    epoll_ctl(epoll, EPOLL_CTL_DEL, m->fd, NULL);
    size_t n = g->kind == KIND_WS ? ws_hello(&g->target, out, sizeof(out))
                                  : rtmp_hello(&g->target, out, sizeof(out));
    return put(m, out, n);
}

static int shake_hands(struct man *m)
{
    ERR_clear_error();
    int r = SSL_connect(m->ssl);
    if (r == 1) {
        return enter_in(m);
    }
    return SSL_get_error(m->ssl, r) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static int on_connected(struct man *m)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = m};
    epoll_ctl(epoll, EPOLL_CTL_MOD, m->fd, &ev);
    if (!m->group->tls) {
        return enter_in(m);
    }
    m->ssl = SSL_new(tls);
    SSL_set_fd(m->ssl, m->fd);
    m->state = STATE_TLS;
    return shake_hands(m);
}

static void on_event(struct man *m, uint32_t events)
{
    int r = 0;
    switch (m->state) {
    case STATE_OUT:
        return;
    case STATE_CONNECTING:
        r = events & (EPOLLERR | EPOLLHUP) ? -1 : on_connected(m);
        break;
    case STATE_TLS:
        r = shake_hands(m);
        break;
    case STATE_IN:
        r = read_all(m);
        break;
    }
    if (r < 0) {
        lose(m);
    }
}

/* One player's turn: timers, and what streaming players are sent. */
static void turn(struct man *m, int64_t now)
{
    int r = 0;
    if (m->state == STATE_OUT) {
        r = now >= m->next_ns ? come(m, now) : 0;
    } else if (m->leave_ns && now >= m->leave_ns) {
        m->group->left++;
        leave(m, rand() & 1);
        m->next_ns = now;
        return;
    } else if (m->state == STATE_IN) {
        r = m->group->kind == KIND_HLS ? ask(m) : read_all(m);
    }
    if (r < 0) {
        lose(m);
    }
}

/* ---- reports ---- */

static void report_group(struct group *g, int64_t now, unsigned playing, const char *comma)
{
    struct tally *t = &g->tally;
    printf("%s\"%s\":{\"players\":%u,\"playing\":%u,\"joined\":%llu,\"left\":%llu,\"broken\":%llu,"
           "\"bad\":%llu,\"backwards\":%llu,\"skipped\":%llu,\"unavailable\":%llu,\"frames\":%llu,"
           "\"lost\":%llu,\"bytes\":%llu,\"gap_ms\":%lld,\"late_ms\":{\"p50\":%.1f,\"p99\":%.1f}}",
           comma, g->label, g->count, playing, (unsigned long long)g->joined,
           (unsigned long long)g->left, (unsigned long long)g->broken, (unsigned long long)g->bad,
           (unsigned long long)g->backwards, (unsigned long long)g->skipped,
           (unsigned long long)g->unavailable, (unsigned long long)t->frames,
           (unsigned long long)t->lost, (unsigned long long)t->bytes, (long long)(t->gap_ns / MS),
           hist_quantile(&t->late, 0.5) / 1000, hist_quantile(&t->late, 0.99) / 1000);
    g->joined = g->left = g->broken = g->bad = g->backwards = g->skipped = g->unavailable = 0;
    *t = (struct tally){.measuring = true};
    (void)now;
}

static void report(int64_t now, int64_t start)
{
    unsigned playing[GROUPS] = {0};
    for (unsigned i = 0; i < n_men; i++) {
        struct man *m = &men[i];
        struct group *g = m->group;
        playing[g - groups] += m->state == STATE_IN && m->frames.started;
        if (m->state == STATE_IN) {
            move_counts(m);
        }
        /* A gap that has not ended yet is one all the same. */
        if (m->frames.last_ns && now - m->frames.last_ns > g->tally.gap_ns) {
            g->tally.gap_ns = now - m->frames.last_ns;
        }
    }
    printf("{\"seconds\":%.1f,\"own_late_ms\":%lld,\"groups\":{", (double)(now - start) / 1e9,
           (long long)(own_late_ns / MS));
    for (unsigned i = 0; i < n_groups; i++) {
        report_group(&groups[i], now, playing[i], i ? "," : "");
    }
    printf("}}\n");
    fflush(stdout);
    own_late_ns = 0;
}

static void run(double every)
{
    struct epoll_event events[256];
    int64_t start = now_ns();
    int64_t tick = start;
    int64_t next_report = start + (int64_t)(every * 1e9);
    for (unsigned part = 0; !stopping; part = (part + 1) % TURNS) {
        int64_t now;
        while ((now = now_ns()) < tick) {
            int n = epoll_wait(epoll, events, 256, (int)((tick - now) / MS) + 1);
            for (int i = 0; i < n; i++) {
                on_event(events[i].data.ptr, events[i].events);
            }
        }
        own_late_ns = now - tick > own_late_ns ? now - tick : own_late_ns;
        for (unsigned i = part; i < n_men; i += TURNS) {
            turn(&men[i], now);
        }
        if (now >= next_report) {
            report(now, start);
            next_report += (int64_t)(every * 1e9);
        }
        tick = now - tick > SECOND ? now + TICK_NS : tick + TICK_NS;
    }
    report(now_ns(), start);
}

/* ---- options ---- */

static const struct {
    const char *scheme;
    enum kind kind;
    bool tls, low_latency;
} schemes[] = {
    {"rtmp", KIND_RTMP, false, false}, {"rtmps", KIND_RTMP, true, false},
    {"ws", KIND_WS, false, false},     {"wss", KIND_WS, true, false},
    {"hls", KIND_HLS, false, false},   {"hlss", KIND_HLS, true, false},
    {"llhls", KIND_HLS, false, true},  {"llhlss", KIND_HLS, true, true},
};

static int parse_group(struct group *g, const char *text)
{
    char scheme[16];
    char path[200];
    unsigned port;
    struct target *t = &g->target;
    if (sscanf(text, "%31[^,],%u,%lf,%15[a-z]://%63[^:/]:%u/%199s", g->label, &g->count, &g->life,
               scheme, t->host, &port, path) != 7) {
        return -1;
    }
    t->port = (uint16_t)port;
    snprintf(g->host, sizeof(g->host), "%s:%u", t->host, port);
    snprintf(t->name, sizeof(t->name), "%s", path);
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strcmp(scheme, schemes[i].scheme) == 0) {
            g->kind = schemes[i].kind;
            g->tls = schemes[i].tls;
            g->low_latency = schemes[i].low_latency;
            char *slash = strrchr(path, '/');
            if (g->kind == KIND_RTMP && slash) {
                *slash = '\0';
                snprintf(t->app, sizeof(t->app), "%s", path);
                snprintf(t->name, sizeof(t->name), "%s", slash + 1);
            }
            return 0;
        }
    }
    return -1;
}

static int read_options(int argc, char **argv, double *every)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--report") == 0) {
            *every = atof(argv[i + 1]);
        } else if (strcmp(argv[i], "--group") == 0 && n_groups < GROUPS) {
            if (parse_group(&groups[n_groups], argv[i + 1]) < 0) {
                return -1;
            }
            groups[n_groups].tally.measuring = true;
            n_men += groups[n_groups++].count;
        } else {
            return -1;
        }
    }
    return n_men > 0 && *every > 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    double every = 10;
    struct rlimit limit;
    struct sigaction term = {.sa_handler = on_term};
    if (read_options(argc, argv, &every) < 0) {
        fprintf(stderr, "usage: mast-crowd [--report S] --group LABEL,COUNT,LIFE,URL ...\n");
        return 2;
    }
    sigaction(SIGTERM, &term, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    tls = SSL_CTX_new(TLS_client_method());
    epoll = epoll_create1(EPOLL_CLOEXEC);
    men = calloc(n_men, sizeof(*men));
    if (!tls || epoll < 0 || !men) {
        return 1;
    }
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
    /* They come over five seconds. */
    int64_t now = now_ns();
    for (unsigned i = 0, g = 0, in_group = 0; i < n_men; i++) {
        while (in_group == groups[g].count) {
            g++;
            in_group = 0;
        }
        in_group++;
        men[i] = (struct man){.group = &groups[g], .fd = -1, .number = i};
        men[i].next_ns = now + (int64_t)i * 5 * SECOND / n_men;
    }
    run(every);
    for (unsigned i = 0; i < n_men; i++) {
        if (men[i].state != STATE_OUT) {
            leave(&men[i], false);
        }
    }
    free(men);
    SSL_CTX_free(tls);
    close(epoll);
    return 0;
}
