/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/mse/mse.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/http_doc.h"
#include "io/ws.h"
#include "media/fmp4.h"
#include "protocol/mse/mse_access.h"
#include "protocol/mse/mse_keyframe.h"
#include "protocol/mse/mse_wire.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "mse");

#define WRITE_BATCH   64          /* chunks in one writev */
#define NOTSENT_LOWAT (64u << 10) /* lateness shows in our ring, not in the kernel (design 3) */
#define MESSAGE_MAX   4096        /* of what a client says */
#define INIT_SCAN_MAX 8192        /* samples looked at for the edge of what waits */

enum session_state {
    SESSION_ASKING, /* the access question runs; the HTTP reply is owed */
    SESSION_OPEN,   /* upgraded; reads the stream */
    SESSION_DEAD,   /* being freed */
};

struct session {
    enum session_state state;
    struct engine *engine;
    struct loop *loop;

    /* SESSION_ASKING */
    struct http_request *req;
    struct http_reply *reply;
    struct access_ticket *ticket;

    /* SESSION_OPEN */
    struct ws *ws;
    struct reader *reader;
    bool blocked; /* the socket is full: on_writable goes on */

    struct mse_selection selection;
    enum replay_policy replay;

    /* What the client has been told. */
    struct track_params *params[TRACKS_MAX]; /* references; of all tracks, selected or not */
    unsigned n_params;
    uint32_t mask; /* selected tracks */
    bool started;  /* an init has been sent */
    uint32_t epoch;
    uint64_t group;
    uint64_t next_seq;

    /* To tell before the next chunk. */
    bool tell_state;
    enum reader_state reader_state;
    char reason[120];

    /* A chunk of which the socket took only the first part; its frame header counts as part of it. */
    struct sample *partial;
    size_t partial_offset;

    char remote[64];
    char path[STREAM_PATH_MAX + 1];
};

static atomic_uint_fast64_t live_count;

uint64_t mse_live(void)
{
    return atomic_load_explicit(&live_count, memory_order_relaxed);
}

/* ---- end ---- */

static void free_session(struct session *s)
{
    s->state = SESSION_DEAD;
    s->ticket = access_cancel(s->ticket);
    s->reader = reader_close(s->reader);
    if (s->partial) {
        sample_unref(&s->partial);
    }
    for (unsigned i = 0; i < s->n_params; i++) {
        if (s->params[i]) {
            track_params_unref(&s->params[i]);
        }
    }
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    free(s);
}

static void close_session(struct session *s, int code, const char *reason)
{
    log_info("%s: viewer %s leaves%s%s", s->path, s->remote, reason[0] ? ": " : "", reason);
    struct ws *ws = TAKE_PTR(s->ws);
    free_session(s);
    ws_close(ws, code, reason);
}

/* ---- what is said between chunks ---- */

static void send_text(struct session *s, struct out *o)
{
    ws_send_text(s->ws, out_view(o));
}

static void say_state(struct session *s)
{
    static const char *const names[] = {
        [READER_WAITING] = "waiting",
        [READER_LIVE] = "live",
        [READER_ENDED] = "ended",
    };
    _Static_assert(ARRAY_LEN(names) == READER_STATE_N, "a word for each state");
    _cleanup_(out_done) struct out o = {0};
    s->tell_state = false;
    mse_put_state(&o, names[s->reader_state], s->reason);
    send_text(s, &o);
}

static void set_params(struct session *s, unsigned i, struct track_params *p)
{
    if (s->params[i]) {
        track_params_unref(&s->params[i]);
    }
    s->params[i] = track_params_ref(p);
    s->n_params = MAX(s->n_params, i + 1);
}

/*
 * Before an init: the parameters of every track, from the samples that wait (history may be older than what the stream has
 * announced since), and how far all tracks reach. Rare, so walking over what waits is fine.
 */
static int64_t survey(struct session *s, const struct sample *first)
{
    const struct track_params *announced[TRACKS_MAX];
    unsigned n = reader_tracks(s->reader, announced);
    for (unsigned i = 0; i < n; i++) {
        if (announced[i]) {
            set_params(s, i, (struct track_params *)announced[i]);
        }
    }
    uint32_t seen = 0;
    int64_t newest[TRACKS_MAX] = {0};
    struct sample *k;
    for (unsigned i = 0; i < INIT_SCAN_MAX && (k = reader_peek(s->reader, i)); i++) {
        if (k->epoch != first->epoch) {
            break;
        }
        if (!(seen & 1u << k->track)) {
            set_params(s, k->track, k->params);
        }
        seen |= 1u << k->track;
        newest[k->track] = k->dts_ns;
    }
    s->mask = mse_select(&s->selection, (const struct track_params *const *)s->params, s->n_params);
    int64_t edge = INT64_MAX;
    for (unsigned i = 0; i < s->n_params; i++) {
        if (seen & s->mask & 1u << i) {
            edge = MIN(edge, newest[i]);
        }
    }
    return edge == INT64_MAX ? first->dts_ns : edge;
}

static void say_init(struct session *s, const struct sample *first)
{
    struct mse_init init = {.epoch = first->epoch, .start_ns = first->pts_ns};
    init.edge_ns = survey(s, first);
    init.n = s->n_params;
    for (unsigned i = 0; i < s->n_params; i++) {
        init.params[i] = s->mask & 1u << i ? s->params[i] : NULL;
    }
    _cleanup_(out_done) struct out o = {0};
    if (s->mask == 0) {
        mse_put_state(&o, "waiting", "the stream has none of the tracks that were asked for");
        send_text(s, &o);
        return;
    }
    mse_put_init(&o, &init);
    send_text(s, &o);
    _cleanup_buf_ struct buf *segment = fmp4_init_make(init.params, init.n);
    ws_send_binary(s->ws, buf_view(segment));
}

/* True when the client must hear something before this sample. */
static bool is_border(const struct session *s, const struct sample *k)
{
    return !s->started || k->epoch != s->epoch || k->params != s->params[k->track] ||
           (k->seq != s->next_seq && k->group != s->group);
}

/* Says it. Parameters that are equal but another object (a publisher that came back) need no new init. */
static void cross_border(struct session *s, const struct sample *k)
{
    if (s->started && k->group != s->group && k->seq > s->next_seq) {
        _cleanup_(out_done) struct out o = {0};
        mse_put_jumped(&o, k->seq - s->next_seq);
        send_text(s, &o);
        log_debug("%s: viewer %s is too slow, left out %" PRIu64 " samples", s->path, s->remote,
                  k->seq - s->next_seq);
    }
    if (s->started && k->epoch != s->epoch) {
        _cleanup_(out_done) struct out o = {0};
        mse_put_discontinuity(&o, k->epoch, k->pts_ns);
        send_text(s, &o);
    }
    struct track_params *known = s->params[k->track];
    if (!s->started || !known || !track_params_equal(known, k->params)) {
        say_init(s, k);
    } else if (known != k->params) {
        set_params(s, k->track, k->params);
    }
    s->started = true;
    s->epoch = k->epoch;
    s->group = k->group;
    s->next_seq = k->seq;
}

/* ---- chunks ---- */

/* One frame as bytes on the wire: header and shared chunk. Nothing when this client does not get the sample. */
struct frame {
    struct sample *sample;
    uint8_t header[WS_HEADER_MAX];
    unsigned header_len;
    struct bytes chunk;
};

static void make_frame(const struct session *s, struct sample *k, struct frame *ret)
{
    struct buf *form = s->mask & 1u << k->track ? sample_form(k, FORM_CMAF) : NULL;
    ret->sample = k;
    ret->chunk = buf_view(form);
    ret->header_len = form ? ws_frame_header(ret->header, form->len) : 0;
}

static size_t frame_size(const struct frame *f)
{
    return f->header_len + f->chunk.len;
}

/* Appends what is left of the frame after offset bytes; returns how many vectors were used. */
static int put_iov(struct iovec *iov, struct frame *f, size_t offset)
{
    int n = 0;
    if (offset < f->header_len) {
        iov[n++] = (struct iovec){f->header + offset, f->header_len - offset};
        offset = f->header_len;
    }
    size_t from = offset - f->header_len;
    if (from < f->chunk.len) {
        iov[n++] = (struct iovec){(void *)(f->chunk.data + from), f->chunk.len - from};
    }
    return n;
}

enum flow {
    FLOW_ON,
    FLOW_BLOCKED, /* on_writable goes on */
    FLOW_IDLE,    /* nothing to send */
    FLOW_BROKEN,
};

static enum flow write_iov(struct session *s, const struct iovec *iov, int n, size_t *ret_taken)
{
    *ret_taken = 0;
    if (n == 0) {
        return FLOW_ON;
    }
    ssize_t r = ws_writev(s->ws, iov, n);
    if (r == -EAGAIN) {
        return FLOW_BLOCKED;
    }
    if (r < 0) {
        return FLOW_BROKEN;
    }
    *ret_taken = (size_t)r;
    reader_count_sent(s->reader, (uint64_t)r);
    return FLOW_ON;
}

static enum flow write_partial(struct session *s)
{
    struct frame f;
    struct iovec iov[2];
    size_t taken;
    make_frame(s, s->partial, &f);
    enum flow flow = write_iov(s, iov, put_iov(iov, &f, s->partial_offset), &taken);
    s->partial_offset += taken;
    if (flow != FLOW_ON) {
        return flow;
    }
    if (s->partial_offset < frame_size(&f)) {
        return FLOW_BLOCKED;
    }
    sample_unref(&s->partial);
    return FLOW_ON;
}

/*
 * As many chunks as wait, up to the next border, in one writev. The frame headers live here for the call: a header follows
 * from its chunk, so it is made again for the rest of a chunk that the socket took in part.
 */
static enum flow write_chunks(struct session *s)
{
    struct frame frames[WRITE_BATCH];
    struct iovec iov[2 * WRITE_BATCH];
    unsigned n = 0;
    int n_iov = 0;
    size_t total = 0;
    struct sample *k;
    while (n < WRITE_BATCH && (k = reader_peek(s->reader, n))) {
        if (is_border(s, k)) {
            if (n > 0) {
                break;
            }
            cross_border(s, k);
        }
        make_frame(s, k, &frames[n]);
        n_iov += put_iov(iov + n_iov, &frames[n], 0);
        total += frame_size(&frames[n]);
        s->group = k->group;
        s->next_seq = k->seq + 1;
        n++;
    }
    if (n == 0) {
        return FLOW_IDLE;
    }
    size_t taken;
    enum flow flow = write_iov(s, iov, n_iov, &taken);
    size_t left = taken;
    unsigned done = 0;
    while (done < n && left >= frame_size(&frames[done])) {
        left -= frame_size(&frames[done]);
        done++;
    }
    if (done < n) {
        k = frames[done].sample;
        s->group = k->group;
        s->next_seq = k->seq;
        if (left > 0) {
            s->partial = sample_ref(k);
            s->partial_offset = left;
            s->next_seq++;
            done++;
        }
    }
    reader_advance(s->reader, done);
    return flow == FLOW_ON && taken < total ? FLOW_BLOCKED : flow;
}

static enum flow write_some(struct session *s)
{
    if (s->partial) {
        return write_partial(s);
    }
    if (s->tell_state) {
        say_state(s);
    }
    return write_chunks(s);
}

/* Frees s when the connection is broken. */
static void flush(struct session *s)
{
    if (s->blocked) {
        return;
    }
    enum flow flow;
    do {
        flow = write_some(s);
    } while (flow == FLOW_ON);
    switch (flow) {
    case FLOW_ON:
    case FLOW_IDLE:
        break;
    case FLOW_BLOCKED:
        s->blocked = true;
        reader_pause(s->reader);
        break;
    case FLOW_BROKEN:
        close_session(s, 1001, "connection lost");
        break;
    }
}

/* ---- callbacks of the reader ---- */

static void on_state(void *user, enum reader_state state, const char *reason)
{
    struct session *s = user;
    s->reader_state = state;
    s->tell_state = true;
    snprintf(s->reason, sizeof(s->reason), "%s", reason ? reason : "");
    if (s->reader) { /* the first state may come while reader_open() runs */
        flush(s);
    }
}

static void on_samples(void *user)
{
    flush(user);
}

static void on_reader_close(void *user, int r, const char *why)
{
    close_session(user, r == -EACCES || r == -EPERM ? 1008 : 1001, why ? why : "");
}

static const struct reader_ops reader_ops = {
    .on_state = on_state,
    .on_samples = on_samples,
    .on_close = on_reader_close,
};

/* ---- callbacks of the WebSocket ---- */

/* A client may report statistics one day; what is not understood is ignored, and today that is everything. */
static void on_text(void *user, struct bytes text)
{
}

static void on_writable(void *user)
{
    struct session *s = user;
    s->blocked = false;
    reader_resume(s->reader);
    flush(s);
}

static void on_ws_close(void *user, int code, const char *reason)
{
    close_session(user, 1000, code == 1006 ? "connection lost" : "");
}

static const struct ws_ops ws_ops = {
    .on_text = on_text,
    .on_binary = on_text,
    .on_writable = on_writable,
    .on_close = on_ws_close,
};

/* ---- start ---- */

static void refuse(struct session *s, const struct access_answer *a)
{
    char shown[ACCESS_SHOWN_MAX];
    log_info("%s: viewer %s refused: %s", access_path_shown(s->path, shown), s->remote,
             a->err.text);
    mse_refuse(s->reply, a);
    free_session(s);
}

static void upgrade(struct session *s, const struct access_answer *a)
{
    const char *agent = http_request_header(s->req, "user-agent");
    char agent_copy[64];
    snprintf(agent_copy, sizeof(agent_copy), "%s", agent ? agent : "");
    s->ws = ws_accept(s->req, s->reply, NULL, &ws_ops, s);
    s->req = NULL;
    s->reply = NULL;
    if (!s->ws) {
        free_session(s); /* not a WebSocket handshake: it has been told so */
        return;
    }
    s->state = SESSION_OPEN;
    ws_set_max_message(s->ws, MESSAGE_MAX);
    conn_set_notsent_lowat(ws_conn(s->ws), NOTSENT_LOWAT);
    conn_set_nodelay(ws_conn(s->ws), true);
    snprintf(s->path, sizeof(s->path), "%s", a->path);
    log_info("%s: viewer %s connected", s->path, s->remote);
    s->reader = reader_open(s->engine, s->loop,
                            &(struct reader_info){
                                .path = s->path,
                                .protocol = "mse",
                                .remote = s->remote,
                                .agent = agent_copy[0] ? agent_copy : NULL,
                                .replay = s->replay,
                                .forms = FORM_BIT(FORM_CMAF),
                                .wait = true,
                                .access_serial = a->serial,
                                .access_expires_mono_ns = a->expires_mono_ns,
                            },
                            &reader_ops, s);
    flush(s);
}

static void on_answer(void *user, const struct access_answer *a)
{
    struct session *s = user;
    s->ticket = NULL;
    if (a->result < 0) {
        refuse(s, a);
    } else {
        upgrade(s, a);
    }
}

/* The client left while the question ran: the reply is dead. */
static void on_gone(void *user)
{
    struct session *s = user;
    s->req = NULL;
    s->reply = NULL;
    free_session(s);
}

static int read_query(struct session *s, struct error *err)
{
    char value[64];
    if (http_request_query_get(s->req, "start", value, sizeof(value))) {
        if (strcmp(value, "live") != 0) {
            return error_set(err, -EINVAL, "start", "is \"live\" or absent");
        }
        s->replay = REPLAY_NEXT_KEY;
    }
    if (http_request_query_get(s->req, "tracks", value, sizeof(value))) {
        return mse_selection_parse(value, &s->selection, err);
    }
    return 0;
}

static void ask(struct session *s)
{
    _cleanup_(mse_question_wipe) struct mse_question question;
    mse_question_fill(s->req, s->path, &question);
    http_reply_on_gone(s->reply, on_gone, s);
    /* The answer may come, and free the session, before this returns; then there is no ticket to keep. */
    struct access_ticket *ticket = access_ask(s->engine, s->loop, &question.request, on_answer, s);
    if (ticket) {
        s->ticket = ticket;
    }
}

static void handle_mse(void *user, struct http_request *req, struct http_reply *reply)
{
    struct error err = {0};
    const char *path = http_request_param(req, "path");
    if (!mse_path_is_good(path, reply)) {
        return;
    }
    struct session *s = mem_new(struct session);
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    s->engine = user;
    s->loop = http_request_loop(req);
    s->req = req;
    s->reply = reply;
    s->replay = REPLAY_EXACT;
    snprintf(s->path, sizeof(s->path), "%s", path);
    snprintf(s->remote, sizeof(s->remote), "%s", http_request_peer(req)->text);
    if (read_query(s, &err) < 0) {
        http_reply_problem(reply, 400, "bad-query", &err);
        free_session(s);
        return;
    }
    ask(s);
}

static const struct http_doc_param mse_params[] = {
    {"start", "query",
     "`live`: begin with the next key frame instead of the newest one that is there.", NULL},
    {"tracks", "query", "A comma list of `video`, `audio` and track ids.", NULL},
    {.name = NULL},
};
static const struct http_doc_problem mse_problems[] = {
    {400, "bad-path", "no stream can have this path"},
    {400, "bad-query", "`field` says which part of the query"},
    {400, "bad-request", "the WebSocket handshake is wrong"},
    {401, "unauthorized", "credentials are needed"},
    {403, "forbidden", "these credentials may not watch this path"},
    {403, "foreign-origin", "a browser asked from another site's page"},
    {404, "not-found", "there is no such stream"},
    {426, "upgrade-required", "it would be granted, but this is no WebSocket handshake"},
    {429, "too-many-attempts", "too many failed attempts from this address"},
    {503, "unavailable", "the question of access could not be answered, or the server is full"},
    {.status = 0},
};
static const struct http_route_doc mse_doc = {
    .text = "docs/mse-protocol.md describes the messages.",
    .status = 101,
    .reply_text = "The WebSocket",
    .params = mse_params,
    .problems = mse_problems,
};

static const struct http_doc_problem keyframe_problems[] = {
    {400, "bad-path", "no stream can have this path"},
    {401, "unauthorized", "credentials are needed"},
    {403, "forbidden", "these credentials may not watch this path"},
    {404, "not-found", "nobody publishes this stream"},
    {429, "too-many-attempts", "too many failed attempts from this address"},
    {503, "no-key-frame", "there is none at hand now"},
    {503, "too-many", "too many key frames are asked for in this second"},
    {503, "unavailable", "the question of access could not be answered"},
    {.status = 0},
};
static const struct http_route_doc keyframe_doc = {
    .text = "A thumbnail that the browser decodes: `<video src=... muted>`. Has an `ETag`.",
    .reply_type = "video/mp4",
    .reply_text = "One picture",
    .problems = keyframe_problems,
};

const struct http_route mse_routes[] = {
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_MEDIA,
        .pattern = "/{path+}/mse",
        .handle = handle_mse,
        .summary = "Read a stream as fragmented MP4 over a WebSocket",
        .doc = &mse_doc,
    },
    {
        .method = HTTP_GET,
        .kind = HTTP_ROUTE_MEDIA,
        .pattern = "/{path+}/keyframe.mp4",
        .handle = mse_handle_keyframe,
        .summary = "The newest key frame of a stream as an MP4 file of one picture",
        .doc = &keyframe_doc,
    },
};
const unsigned mse_routes_n = ARRAY_LEN(mse_routes);
