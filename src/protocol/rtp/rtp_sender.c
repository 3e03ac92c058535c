/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtp/rtp_sender.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "io/udp.h"
#include "media/b_filter.h"
#include "media/rtp_payload.h"
#include "media/rtp_sdp.h"
#include "media/timeline.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>

LOG_TOPIC(topic, "rtp.sender");

/* RFC 3550 6.2: five seconds, by chance half or one and a half times that, so that senders do not fall into step. */
#define REPORT_MS 5000
#define CNAME_MAX 64

struct track {
    struct rtp_sender_track config;
    struct udp *socket;          /* own, or the one of all */
    int stream_track;            /* -1 = not there now */
    struct track_params *params; /* what was read or announced last; owned */
    uint32_t clock_rate;
    uint32_t base; /* random: RTP time of stream time 0 */
    uint16_t seq;
    bool begun; /* has sent: reports make sense */
    bool report_due;
    struct b_filter b_filter;
    struct rtp_sender_track_stats stats;
};

struct rtp_sender {
    struct loop *loop;
    struct reader *reader;
    struct rtp_sender_ops ops;
    void *user;
    bool drop_b;
    bool one_socket;
    bool ended; /* told the owner */
    bool closed;
    char path[STREAM_PATH_MAX + 1];
    char cname[CNAME_MAX];
    unsigned n_tracks;
    struct track tracks[RTP_SENDER_TRACKS_MAX];

    /* The sample at the cursor: how far it has been sent. */
    uint64_t seq;
    unsigned packets_sent;
    bool looked; /* the filter has seen it */

    /* Pacing. */
    unsigned tokens;
    int64_t tokens_ns;
    struct loop_timer *pace;
    bool blocked; /* a socket is full */

    /*
     * The least-delayed sample of the time since the last report: what monotonic time is ahead of stream time. All tracks' reports
     * are made from it, so receivers can put them side by side.
     */
    bool has_offset;
    int64_t offset_ns;
    int64_t window_ns; /* INT64_MAX = no sample since */
    struct loop_timer *report;
    struct loop_task reap;

    uint64_t samples, b_dropped, key_requests, paced;
};

static void end(struct rtp_sender *s, enum rtp_sender_end why, const char *text)
{
    if (!s->ended) {
        s->ended = true;
        loop_timer_stop(s->pace);
        loop_timer_stop(s->report);
        reader_pause(s->reader);
        s->ops.on_end(s->user, why, text);
    }
}

/* ---- reports ---- */

static void send_rtcp(struct track *t, struct bytes compound)
{
    const struct udp_datagram d = {.head = compound};
    (void)udp_send(t->socket, (const struct sockaddr *)&t->config.rtcp_to, &d, 1);
}

static void write_report(const struct rtp_sender *s, const struct track *t, struct out *o)
{
    const int64_t stream_ns = loop_now_ns(s->loop) - s->offset_ns;
    const struct rtcp_sender_info info = {
        /* The same moment as loop_now_ns(), by the other clock. */
        .ntp = rtcp_ntp_from_wall_ns(clock_wall_ns() - (clock_mono_ns() - loop_now_ns(s->loop))),
        .rtp = t->base + (uint32_t)ticks_from_ns(stream_ns, t->clock_rate),
        .packets = (uint32_t)t->stats.packets,
        .bytes = (uint32_t)t->stats.bytes,
    };
    rtcp_write_sr(o, t->stats.ssrc, &info, NULL, 0);
    rtcp_write_cname(o, t->stats.ssrc, s->cname);
}

static bool has_reports(const struct track *t)
{
    return t->begun && t->config.rtcp_to.ss_family != AF_UNSPEC;
}

static void send_report(struct rtp_sender *s, struct track *t, bool bye)
{
    _cleanup_(out_done) struct out o = {0};
    t->report_due = false;
    if (has_reports(t)) {
        write_report(s, t, &o);
        if (bye) {
            rtcp_write_bye(&o, t->stats.ssrc);
        }
        send_rtcp(t, out_view(&o));
    }
}

static void on_report(void *user)
{
    struct rtp_sender *s = user;
    if (s->window_ns != INT64_MAX) {
        s->offset_ns = s->window_ns;
        s->window_ns = INT64_MAX;
    }
    for (unsigned i = 0; i < s->n_tracks; i++) {
        send_report(s, &s->tracks[i], false);
    }
    loop_timer_start(s->report, REPORT_MS / 2 + random_below(REPORT_MS));
}

static void note_delay(struct rtp_sender *s, const struct sample *k)
{
    const int64_t arrival = k->arrival_ns ? k->arrival_ns : loop_now_ns(s->loop);
    const int64_t ahead = arrival - k->dts_ns;
    s->window_ns = MIN(s->window_ns, ahead);
    s->offset_ns = s->has_offset ? MIN(s->offset_ns, ahead) : ahead;
    s->has_offset = true;
}

static void on_datagram(void *user, struct bytes data, const struct sockaddr *from)
{
    struct rtp_sender *s = user;
    struct rtcp_iter it = rtcp_iter_init(rtp_is_rtcp(data) ? data : BYTES(NULL, 0));
    struct rtcp_packet p;
    while (rtcp_next(&it, &p) > 0) {
        for (unsigned i = 0; i < s->n_tracks; i++) {
            struct rtp_sender_track_stats *t = &s->tracks[i].stats;
            if (rtcp_wants_key(&p, t->ssrc)) {
                s->key_requests++;
                reader_want_key(s->reader); /* the engine limits how often */
            }
            for (unsigned k = 0; k < p.n_reports; k++) {
                if (p.reports[k].ssrc == t->ssrc) {
                    t->report = p.reports[k];
                    t->reported = true;
                }
            }
        }
    }
}

/* ---- samples ---- */

static struct track *find_track(struct rtp_sender *s, const struct sample *k)
{
    for (unsigned i = 0; i < s->n_tracks; i++) {
        if (s->tracks[i].stream_track == k->track) {
            return &s->tracks[i];
        }
    }
    return NULL;
}

static void refill(struct rtp_sender *s)
{
    const int64_t now = loop_now_ns(s->loop);
    const int64_t more = (now - s->tokens_ns) * RTP_SENDER_PER_MS / NS_PER_MS;
    if (more > 0) {
        s->tokens = (unsigned)MIN((int64_t)s->tokens + more, (int64_t)RTP_SENDER_BURST);
        s->tokens_ns = now;
    }
}

static unsigned gather(struct rtp_sender *s, struct track *t, const struct sample *k,
                       struct rtp_payload_iter *it, uint8_t (*heads)[RTP_HEADER_SIZE],
                       struct udp_datagram *out)
{
    struct rtp_payload x;
    int64_t dts;
    int64_t pts;
    reader_stamps(s->reader, k, &dts, &pts);
    const uint32_t timestamp = t->base + (uint32_t)ticks_from_ns(pts, t->clock_rate);
    unsigned n = 0;
    while (n < s->tokens && rtp_payload_next(it, &x)) {
        const struct rtp_packet h = {
            .payload_type = t->config.payload_type,
            .marker = x.marker,
            .seq = (uint16_t)(t->seq + n),
            .timestamp = timestamp,
            .ssrc = t->stats.ssrc,
        };
        rtp_put_header(heads[n], &h);
        out[n] = (struct udp_datagram){BYTES(heads[n], RTP_HEADER_SIZE), x.data};
        n++;
    }
    return n;
}

static void count_sent(struct rtp_sender *s, struct track *t, const struct udp_datagram *d,
                       unsigned n)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < n; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the n that were filled, of which all or some were sent */
        bytes += d[i].body.len;
    }
    t->seq = (uint16_t)(t->seq + n);
    t->stats.packets += n;
    t->stats.bytes += bytes;
    s->tokens -= n;
    s->packets_sent += n;
    reader_count_sent(s->reader, bytes + (uint64_t)n * RTP_HEADER_SIZE);
}

/* What is left of a sample's packets. False when it has to wait. */
static bool send_packets(struct rtp_sender *s, struct track *t, struct sample *k)
{
    uint8_t heads[RTP_SENDER_BURST][RTP_HEADER_SIZE];
    struct udp_datagram d[RTP_SENDER_BURST];
    struct rtp_payload x;
    const struct buf *form = sample_form(k, FORM_RTP);
    struct rtp_payload_iter it = rtp_payload_iter_init(form);
    for (unsigned i = 0; i < s->packets_sent; i++) {
        (void)rtp_payload_next(&it, &x);
    }
    while (rd_left(&it.r) > 0) {
        refill(s);
        if (s->tokens == 0) {
            s->paced++;
            loop_timer_start(s->pace, 1);
            return false;
        }
        const unsigned n = gather(s, t, k, &it, heads, d);
        const unsigned sent = udp_send(t->socket, (const struct sockaddr *)&t->config.to, d, n);
        count_sent(s, t, d, sent);
        if (sent < n) {
            s->blocked = true;
            return false;
        }
    }
    if (!t->begun && form) {
        t->begun = true;
        send_report(s, t, false); /* at once: receivers need it to put sound and picture together */
    }
    return true;
}

enum verdict {
    SKIP,
    SEND,
    OVER,
};

static void keep_params(struct track *t, struct track_params *p)
{
    if (t->params != p) {
        track_params_unref(&t->params);
        t->params = track_params_ref(p);
    }
}

static enum verdict judge(struct rtp_sender *s, struct track *t, const struct sample *k)
{
    if (!t || !k->params || k->params->codec != t->params->codec) {
        return SKIP;
    }
    keep_params(t, k->params);
    if (!s->drop_b || s->looked) {
        return SEND;
    }
    s->looked = true;
    switch (b_filter_look(&t->b_filter, k)) {
    case B_FILTER_PASS:
        return SEND;
    case B_FILTER_DROP:
        s->b_dropped++;
        return SKIP;
    case B_FILTER_NEEDS_TRANSCODE:
        return OVER;
    }
    return SKIP;
}

static void pump(struct rtp_sender *s)
{
    struct sample *k;
    while (!s->ended && (k = reader_peek(s->reader, 0))) {
        if (k->seq != s->seq) {
            s->seq = k->seq;
            s->packets_sent = 0;
            s->looked = false;
        }
        struct track *t = find_track(s, k);
        const enum verdict v = judge(s, t, k);
        if (v == OVER) {
            end(s, RTP_SENDER_NEEDS_TRANSCODE,
                "pictures do not come in the order they are shown, and others need them");
            return;
        }
        if (v == SEND) {
            if (s->packets_sent == 0) {
                note_delay(s, k);
            }
            if (!send_packets(s, t, k)) {
                reader_pause(s->reader);
                return;
            }
            s->samples++;
        }
        reader_advance(s->reader, 1);
    }
    if (!s->ended) {
        reader_resume(s->reader);
    }
}

static bool is_held(const struct rtp_sender *s)
{
    return s->blocked || loop_timer_active(s->pace);
}

static void on_samples(void *user)
{
    struct rtp_sender *s = user;
    if (!is_held(s)) {
        pump(s);
    }
}

static void on_pace(void *user)
{
    pump(user);
}

static void on_writable(void *user)
{
    struct rtp_sender *s = user;
    s->blocked = false;
    if (!s->ended) {
        pump(s);
    }
}

/* ---- the stream's news ---- */

static int nth_of_kind(const struct track_params *const *params, unsigned n, enum track_kind kind,
                       unsigned index)
{
    for (unsigned i = 0; i < n; i++) {
        if (params[i] && params[i]->kind == kind && index-- == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* False when the sender has ended over it. */
static bool bind_tracks(struct rtp_sender *s)
{
    const struct track_params *params[TRACKS_MAX];
    const unsigned n = reader_tracks(s->reader, params);
    for (unsigned i = 0; i < s->n_tracks; i++) {
        struct track *t = &s->tracks[i];
        t->stream_track = nth_of_kind(params, n, t->config.kind, t->config.index);
        if (t->stream_track < 0) {
            continue;
        }
        const struct track_params *p = params[t->stream_track];
        const uint32_t rate = rtp_clock_rate(p);
        const bool other = t->config.codec != CODEC_N && t->config.codec != p->codec;
        if (other || rate == 0 || (t->begun && t->clock_rate != rate)) {
            char why[120];
            snprintf(why, sizeof(why), "%s track %u is %s, which the receiver does not expect",
                     t->config.kind == TRACK_VIDEO ? "video" : "audio", t->config.index,
                     codec_to_str(p->codec));
            end(s, RTP_SENDER_CODEC, why);
            return false;
        }
        t->clock_rate = rate;
        keep_params(t, (struct track_params *)p);
        t->b_filter = (struct b_filter){0};
    }
    return true;
}

static void on_state(void *user, enum reader_state state, const char *reason)
{
    struct rtp_sender *s = user;
    if (s->ended || (state == READER_LIVE && !bind_tracks(s))) {
        return;
    }
    log_debug("%s: reader state %d (%s)", s->path, state, reason ? reason : "");
    if (s->ops.on_state) {
        s->ops.on_state(s->user, state, reason);
    }
}

/* -ENOTSUP: a derived stream whose sound cannot be made. */
static void on_close(void *user, int r, const char *why)
{
    end(user, r == -ENOTSUP ? RTP_SENDER_CODEC : RTP_SENDER_CLOSED, why);
}

/* ---- open and close ---- */

static void reap(struct loop_task *task)
{
    struct rtp_sender *s = CONTAINER_OF(task, struct rtp_sender, reap);
    free(s);
}

static void close_sockets(struct rtp_sender *s)
{
    for (unsigned i = 0; i < s->n_tracks; i++) {
        if (i == 0 || !s->one_socket) {
            udp_close(s->tracks[i].socket);
        }
        s->tracks[i].socket = NULL;
        track_params_unref(&s->tracks[i].params);
    }
}

static int open_socket(struct rtp_sender *s, unsigned i, const struct rtp_sender_config *config,
                       struct error *err)
{
    static const struct udp_ops ops = {.on_datagram = on_datagram, .on_writable = on_writable};
    struct track *t = &s->tracks[i];
    const struct sockaddr_storage any = {.ss_family = t->config.to.ss_family};
    if (i > 0 && s->one_socket) {
        t->socket = s->tracks[0].socket;
        return 0;
    }
    t->socket = udp_open(s->loop, config->bind ? config->bind : (const struct sockaddr *)&any, &ops,
                         s, err);
    return t->socket ? 0 : -EADDRNOTAVAIL;
}

static void track_init(struct track *t, const struct rtp_sender_track *config)
{
    *t = (struct track){
        .config = *config,
        .stream_track = -1,
        .base = (uint32_t)random_u64(),
        .seq =
            (uint16_t)random_below(1 << 15), /* the lower half: no wrap at once (RFC 3711 3.3.1) */
        .stats.ssrc = (uint32_t)random_u64(),
    };
}

static void address_text(const struct sockaddr_storage *a, char *ret, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    const bool v6 = a->ss_family == AF_INET6;
    const struct sockaddr_in6 *a6 = (const void *)a;
    const struct sockaddr_in *a4 = (const void *)a;
    (void)inet_ntop(a->ss_family, v6 ? (const void *)&a6->sin6_addr : &a4->sin_addr, host,
                    sizeof(host));
    snprintf(ret, size, v6 ? "[%s]:%u" : "%s:%u", host, ntohs(v6 ? a6->sin6_port : a4->sin_port));
}

static void open_reader(struct rtp_sender *s, struct engine *e,
                        const struct rtp_sender_config *config)
{
    static const struct reader_ops ops = {
        .on_state = on_state, .on_samples = on_samples, .on_close = on_close};
    char remote[64];
    address_text(&s->tracks[0].config.to, remote, sizeof(remote));
    const struct reader_info info = {
        .path = config->path,
        .protocol = "rtp",
        .remote = config->remote ? config->remote : remote,
        .replay = config->replay,
        .forms = FORM_BIT(FORM_RTP),
        .audio_resumes = true,
        .wait = true,
    };
    s->reader = reader_open(e, s->loop, &info, &ops, s);
}

struct rtp_sender *rtp_sender_open(struct engine *e, struct loop *l,
                                   const struct rtp_sender_config *config,
                                   const struct rtp_sender_ops *ops, void *user, struct error *err)
{
    char cname[17];
    if (config->n_tracks == 0 || config->n_tracks > RTP_SENDER_TRACKS_MAX) {
        error_set(err, -EINVAL, "tracks", "needs 1 to %d tracks", RTP_SENDER_TRACKS_MAX);
        return NULL;
    }
    struct rtp_sender *s = mem_new(struct rtp_sender);
    s->loop = l;
    s->ops = *ops;
    s->user = user;
    s->drop_b = config->drop_b;
    s->one_socket = config->one_socket;
    s->seq = UINT64_MAX;
    s->tokens = RTP_SENDER_BURST;
    s->window_ns = INT64_MAX;
    s->tokens_ns = loop_now_ns(l);
    snprintf(s->path, sizeof(s->path), "%s", config->path);
    snprintf(s->cname, sizeof(s->cname), "%s",
             config->cname ? config->cname : random_id(cname, sizeof(cname) - 1));
    for (; s->n_tracks < config->n_tracks; s->n_tracks++) {
        track_init(&s->tracks[s->n_tracks], &config->tracks[s->n_tracks]);
        if (open_socket(s, s->n_tracks, config, err) < 0) {
            close_sockets(s);
            free(s);
            return NULL;
        }
    }
    s->pace = loop_timer_new(l, on_pace, s);
    s->report = loop_timer_new(l, on_report, s);
    loop_timer_start(s->report, REPORT_MS / 2 + random_below(REPORT_MS));
    loop_task_init(&s->reap, reap);
    open_reader(s, e, config);
    return s;
}

struct rtp_sender *rtp_sender_close(struct rtp_sender *s)
{
    if (!s || s->closed) {
        return NULL;
    }
    s->closed = true;
    s->ended = true;
    for (unsigned i = 0; i < s->n_tracks; i++) {
        send_report(s, &s->tracks[i], true);
    }
    s->reader = reader_close(s->reader);
    close_sockets(s);
    s->pace = loop_timer_free(s->pace);
    s->report = loop_timer_free(s->report);
    loop_defer(s->loop, LOOP_STAGE_NOTIFY, &s->reap); /* a callback of ours may be what runs */
    return NULL;
}

/* ---- looking at it ---- */

void rtp_sender_stats(const struct rtp_sender *s, struct rtp_sender_stats *ret)
{
    *ret = (struct rtp_sender_stats){
        .samples = s->samples,
        .b_dropped = s->b_dropped,
        .key_requests = s->key_requests,
        .paced = s->paced,
    };
    for (unsigned i = 0; i < s->n_tracks; i++) {
        ret->tracks[i] = s->tracks[i].stats;
        if (s->tracks[i].socket && (i == 0 || !s->one_socket)) {
            struct udp_stats u;
            udp_stats(s->tracks[i].socket, &u);
            ret->send_errors += u.errors_out;
            ret->socket_full += u.full;
        }
    }
}

int rtp_sender_describe(const struct rtp_sender *s, struct out *out)
{
    char host[INET6_ADDRSTRLEN] = "";
    bool any = false;
    for (unsigned i = 0; i < s->n_tracks; i++) {
        const struct track *t = &s->tracks[i];
        const struct sockaddr_in6 *a6 = (const void *)&t->config.to;
        const struct sockaddr_in *a4 = (const void *)&t->config.to;
        const bool v6 = t->config.to.ss_family == AF_INET6;
        if (t->stream_track < 0) {
            continue;
        }
        (void)inet_ntop(t->config.to.ss_family, v6 ? (const void *)&a6->sin6_addr : &a4->sin_addr,
                        host, sizeof(host));
        if (!any) {
            sdp_write_session(out, s->tracks[0].stats.ssrc, 1, host, s->path);
        }
        sdp_write_media(out, t->config.kind == TRACK_VIDEO ? "video" : "audio",
                        ntohs(v6 ? a6->sin6_port : a4->sin_port), "RTP/AVP", t->config.payload_type,
                        host);
        const int r = rtp_sdp_write(out, t->params, t->config.payload_type);
        if (r < 0) {
            return r;
        }
        any = true;
    }
    return any ? 0 : -EAGAIN;
}

void rtp_sender_local(const struct rtp_sender *s, unsigned track, struct sockaddr_storage *ret)
{
    assert(track < s->n_tracks);
    udp_local(s->tracks[track].socket, ret);
}
