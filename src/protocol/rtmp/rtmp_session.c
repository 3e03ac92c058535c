/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/rtmp/rtmp_session.h"

#include "base/log.h"
#include "base/random.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

LOG_TOPIC(topic, "rtmp.session");

#define FORMS_PER_FLUSH 64
#define TX_MAX          (256 << 10) /* replies that a peer may leave unread */
#define KEPT_MAX        (64 << 10)
#define LINGER_MS       1000

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static struct rtmp_counters *counters(struct rtmp_session *s)
{
    return &s->shard->server->counters;
}

/* The wire's state may have changed: gauges and deadlines follow. */
static void update(struct rtmp_session *s)
{
    const enum rtmp_server_state now = s->wire.state;
    if (s->counted == now) {
        return;
    }
    log_debug("%s: %s -> %s", conn_peer(s->conn)->text, rtmp_server_state_to_str(s->counted),
              rtmp_server_state_to_str(now));
    add(&counters(s)->sessions[s->counted], (uint64_t)-1);
    add(&counters(s)->sessions[now], 1);
    s->counted = now;
    s->since_ns = rtmp_session_now(s);
}

/* ---- the end ---- */

static void reap(struct loop_task *t)
{
    struct rtmp_session *s = CONTAINER_OF(t, struct rtmp_session, reap);
    rtmp_server_wire_done(&s->wire);
    out_done(&s->kept_in);
    out_done(&s->tx);
    free(s->path);
    free(s);
}

/* The last words, behind what is already on its way. */
static void send_rest(struct rtmp_session *s)
{
    if (s->partial) {
        const struct bytes form = buf_view(s->partial);
        conn_send_bytes(s->conn, BYTES(form.data + s->partial_done, form.len - s->partial_done));
    }
    if (s->tx.len > s->tx_done) {
        conn_send_bytes(s->conn, BYTES(s->tx.data + s->tx_done, s->tx.len - s->tx_done));
    }
}

static void let_go(struct rtmp_session *s, bool peer_is_gone)
{
    s->ticket = access_cancel(s->ticket);
    rtmp_publish_stop(s);
    rtmp_play_stop(s);
    if (peer_is_gone) {
        conn_close(s->conn);
    } else {
        send_rest(s);
        conn_close_gracefully(s->conn, LINGER_MS);
    }
    s->conn = NULL;
    buf_unref(&s->partial);
    add(&counters(s)->sessions[s->counted], (uint64_t)-1);
    list_remove(&s->node);
    if (list_empty(&s->shard->sessions)) {
        loop_timer_stop(s->shard->tick);
    }
    loop_defer(s->shard->loop, LOOP_STAGE_NOTIFY, &s->reap);
}

void rtmp_session_end(struct rtmp_session *s, enum rtmp_end how, const char *fmt, ...)
{
    if (s->ended) {
        return;
    }
    s->ended = true;
    char why[ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    log_at(how == RTMP_END_DROP ? LOG_WARN : LOG_INFO, "%s: %s%s%s: %s%s", conn_peer(s->conn)->text,
           rtmp_server_state_to_str(s->wire.state), s->path ? " " : "", s->path ? s->path : "", why,
           how == RTMP_END_DROP ? ", dropping the connection" : "");
    if (how == RTMP_END_DROP) {
        add(&counters(s)->dropped_total, 1);
    }
    let_go(s, how == RTMP_END_PEER);
}

/* ---- writing ---- */

struct flight {
    struct iovec iov[2 + FORMS_PER_FLUSH];
    int n;
    size_t bytes;
    struct buf *forms[FORMS_PER_FLUSH];
    unsigned n_forms;
};

static void load(struct flight *f, const uint8_t *p, size_t len)
{
    f->iov[f->n++] = (struct iovec){.iov_base = (void *)p, .iov_len = len};
    f->bytes += len;
}

static void load_all(struct rtmp_session *s, struct flight *f)
{
    f->n = 0;
    f->bytes = 0;
    f->n_forms = s->play ? rtmp_play_forms(s, f->forms, FORMS_PER_FLUSH) : 0;
    if (s->partial) {
        load(f, s->partial->data + s->partial_done, s->partial->len - s->partial_done);
    }
    if (s->tx.len > s->tx_done) {
        load(f, s->tx.data + s->tx_done, s->tx.len - s->tx_done);
    }
    for (unsigned i = 0; i < f->n_forms; i++) {
        if (f->forms[i]) {
            load(f, f->forms[i]->data, f->forms[i]->len);
        }
    }
}

/* Takes up to n of *left; returns how many. */
static size_t take(size_t *left, size_t n)
{
    n = MIN(n, *left);
    *left -= n;
    return n;
}

/* A form that was taken in part stays as `partial`: the cursor is behind it already and may jump. */
static void account_forms(struct rtmp_session *s, const struct flight *f, size_t left)
{
    unsigned done = 0;
    uint64_t bytes = 0;
    for (; done < f->n_forms; done++) {
        struct buf *form = f->forms[done];
        if (!form) {
            continue;
        }
        const size_t n = take(&left, form->len);
        bytes += n;
        if (n == 0) {
            break;
        }
        if (n < form->len) {
            s->partial = buf_ref(form);
            s->partial_done = n;
            done++;
            break;
        }
    }
    if (done > 0) {
        rtmp_play_advance(s, done, bytes);
    }
}

static void account(struct rtmp_session *s, const struct flight *f, size_t taken)
{
    size_t left = taken;
    if (s->partial) {
        s->partial_done += take(&left, s->partial->len - s->partial_done);
        if (s->partial_done < s->partial->len) {
            return;
        }
        buf_unref(&s->partial);
    }
    s->tx_done += take(&left, s->tx.len - s->tx_done);
    if (s->tx_done < s->tx.len) {
        return;
    }
    if (s->play) {
        out_done(&s->tx); /* a player is written replies once: no memory kept */
    }
    s->tx.len = 0;
    s->tx_done = 0;
    account_forms(s, f, left);
}

static void set_blocked(struct rtmp_session *s, bool blocked)
{
    s->blocked = blocked;
    if (s->play) {
        rtmp_play_blocked(s, blocked);
    }
}

void rtmp_session_flush(struct rtmp_session *s)
{
    struct flight f;
    while (!s->ended && !s->blocked) {
        load_all(s, &f);
        if (f.n == 0) {
            if (f.n_forms == 0) {
                break;
            }
            account_forms(s, &f, 0); /* samples that this player does not get */
            continue;
        }
        const ssize_t r = conn_writev(s->conn, f.iov, f.n);
        if (r < 0) {
            rtmp_session_end(s, RTMP_END_PEER, "write: %s", error_name((int)r));
            return;
        }
        add(&counters(s)->bytes_out_total, (uint64_t)r);
        if (r > 0) {
            s->out_ns = rtmp_session_now(s);
        }
        account(s, &f, (size_t)r);
        if ((size_t)r < f.bytes) {
            set_blocked(s, true);
        }
    }
    if (!s->ended && s->tx.len - s->tx_done > TX_MAX) {
        rtmp_session_end(s, RTMP_END_DROP, "does not read what it asks for");
    }
}

static void on_writable(void *user)
{
    struct rtmp_session *s = user;
    s->out_ns = rtmp_session_now(s);
    set_blocked(s, false);
    rtmp_session_flush(s);
}

/* ---- access ---- */

static void on_answer(void *user, const struct access_answer *a)
{
    struct rtmp_session *s = user;
    s->ticket = NULL;
    const bool publish = s->wire.state == RTMP_SERVER_ASKED_PUBLISH;
    if (a->result < 0) {
        const char *text = a->err.text[0] ? a->err.text : "not allowed";
        rtmp_server_wire_refuse(
            &s->wire, &s->tx, publish ? "NetStream.Publish.Denied" : "NetStream.Play.Failed", text);
        rtmp_session_end(s, RTMP_END_DROP, "%s refused: %s", publish ? "publish" : "play", text);
        return;
    }
    free(s->path);
    s->path = mem_strdup(a->path); /* a stream key was asked for by another */
    if (publish) {
        rtmp_publish_start(s, a);
    } else {
        rtmp_play_start(s, a);
    }
}

static void ask(struct rtmp_session *s, const struct rtmp_name *name, enum access_action action)
{
    const bool publish = action == ACCESS_PUBLISH;
    struct error err = {0};
    free(s->path);
    s->path = NULL;
    int r =
        publish ? stream_path_check(name->path, &err) : stream_path_check_read(name->path, &err);
    if (r < 0) {
        rtmp_server_wire_refuse(
            &s->wire, &s->tx,
            publish ? "NetStream.Publish.BadName" : "NetStream.Play.StreamNotFound", err.text);
        rtmp_session_end(s, RTMP_END_DROP, "%s: %s", publish ? "publish" : "play", err.text);
        return;
    }
    char shown[ACCESS_SHOWN_MAX];
    s->path = mem_strdup(access_path_shown(name->path, shown));
    const struct access_request req = {
        .action = action,
        .protocol = conn_is_tls(s->conn) ? "rtmps" : "rtmp",
        .path = name->path,
        .query = name->query,
        .user = name->user,
        .password = name->password,
        .proof_salt = s->wire.proof.salt,
        .proof_challenge = s->wire.proof.challenge,
        .proof_response = s->wire.proof.response,
        .peer = (const struct sockaddr *)&conn_peer(s->conn)->sa,
        .encrypted = conn_is_tls(s->conn),
    };
    struct access_ticket *t =
        access_ask(s->shard->server->engine, s->shard->loop, &req, on_answer, s);
    s->ticket = s->ended ? NULL : t;
}

/* ---- reading ---- */

static void handle_event(struct rtmp_session *s, const struct rtmp_server_event *ev)
{
    switch (ev->type) {
    case RTMP_EVENT_PUBLISH:
        ask(s, ev->name, ACCESS_PUBLISH);
        break;
    case RTMP_EVENT_PLAY:
        ask(s, ev->name, ACCESS_READ);
        break;
    case RTMP_EVENT_MEDIA:
        rtmp_publish_message(s, &ev->message);
        break;
    case RTMP_EVENT_METADATA:
        rtmp_publish_metadata(s, &ev->metadata);
        break;
    case RTMP_EVENT_STOP:
        log_info("%s: %s: stopped by the peer", conn_peer(s->conn)->text, s->path);
        rtmp_publish_stop(s);
        rtmp_play_stop(s);
        break;
    case RTMP_EVENT_PAUSE:
        rtmp_play_pause(s, ev->on);
        break;
    case RTMP_EVENT_RECEIVE:
        rtmp_play_receive(s, ev->kind, ev->on);
        break;
    case RTMP_EVENT_ALIVE:
        break; /* in_ns says so */
    case RTMP_EVENT_LEAVE:
        rtmp_session_end(s, RTMP_END_OURS, "asked for user and password, it may come again");
        break;
    }
}

static bool is_asked(const struct rtmp_session *s)
{
    return s->wire.state == RTMP_SERVER_ASKED_PUBLISH || s->wire.state == RTMP_SERVER_ASKED_PLAY;
}

/* Behind a request that a question is open about. Reading goes on for a while, to see the peer go. */
static void keep(struct rtmp_session *s, struct bytes data)
{
    out_bytes(&s->kept_in, data);
    if (s->kept_in.len >= KEPT_MAX) {
        conn_read_pause(s->conn);
    }
}

static void feed(struct rtmp_session *s, struct bytes data)
{
    struct rd in = rd_init(data);
    struct error err = {0};
    int r = 1;
    while (!s->ended && r > 0) {
        struct rtmp_server_event ev;
        r = rtmp_server_wire_next(&s->wire, &in, &s->tx, &ev, &err);
        update(s);
        if (r < 0) {
            rtmp_session_end(s, RTMP_END_DROP, "%s", err.text);
        } else if (r > 0) {
            handle_event(s, &ev);
        }
    }
    if (s->ended) {
        return;
    }
    update(s);
    if (is_asked(s)) {
        keep(s, BYTES(in.p, rd_left(&in)));
    }
    rtmp_session_flush(s);
}

void rtmp_session_resume(struct rtmp_session *s)
{
    update(s);
    _cleanup_(out_done) struct out kept = s->kept_in;
    s->kept_in = (struct out){0};
    conn_read_resume(s->conn);
    feed(s, out_view(&kept));
}

static void on_read(void *user, struct bytes data)
{
    struct rtmp_session *s = user;
    add(&counters(s)->bytes_in_total, data.len);
    s->in_ns = rtmp_session_now(s);
    s->pinged = false;
    if (is_asked(s)) {
        keep(s, data);
    } else {
        feed(s, data);
    }
}

static void on_close(void *user, int r, const struct error *err)
{
    struct rtmp_session *s = user;
    if (r == 0) {
        rtmp_session_end(s, RTMP_END_PEER, "closed by the peer");
    } else {
        rtmp_session_end(s, RTMP_END_PEER, "%s", err && err->text[0] ? err->text : error_name(r));
    }
}

static const struct conn_ops CONN_OPS = {
    .on_read = on_read,
    .on_writable = on_writable,
    .on_close = on_close,
};

void rtmp_session_start(struct rtmp_shard *shard, struct conn *c)
{
    struct rtmp_session *s = mem_new(struct rtmp_session);
    s->shard = shard;
    s->conn = c;
    loop_task_init(&s->reap, reap);
    const int64_t now = loop_now_ns(shard->loop);
    s->since_ns = now;
    s->in_ns = now;
    s->out_ns = now;
    rtmp_server_wire_init(&s->wire, random_u64(), (uint32_t)(now / 1000000));
    s->wire.auth = shard->server->config.challenge ? &shard->server->auth : NULL;
    add(&counters(s)->sessions_total, 1);
    add(&counters(s)->sessions[s->counted], 1);
    list_append(&shard->sessions, &s->node);
    conn_set_nodelay(c, true);
    conn_set_ops(c, &CONN_OPS, s);
}

/* ---- deadlines ---- */

static void tick_publishing(struct rtmp_session *s, int64_t now_ns)
{
    const int64_t silent_ms = (now_ns - s->in_ns) / 1000000;
    const int64_t limit_ms = s->shard->server->config.silent_ms;
    if (silent_ms >= limit_ms) {
        rtmp_session_end(s, RTMP_END_DROP, "nothing received for %lld ms", (long long)silent_ms);
    } else if (silent_ms >= limit_ms / 2 && !s->pinged) {
        s->pinged = true;
        rtmp_write_user_control(&s->tx, RTMP_PING_REQUEST, (uint32_t)(now_ns / 1000000));
        rtmp_session_flush(s);
    } else {
        rtmp_publish_tick(s, now_ns);
    }
}

void rtmp_session_tick(struct rtmp_session *s, int64_t now_ns)
{
    const struct rtmp_server_config *c = &s->shard->server->config;
    const int64_t age_ms = (now_ns - s->since_ns) / 1000000;
    /* In every state: replies and samples alike are to be taken. */
    if (s->blocked && (now_ns - s->out_ns) / 1000000 >= c->stalled_ms) {
        rtmp_session_end(s, RTMP_END_DROP, "takes nothing for %u ms", c->stalled_ms);
        return;
    }
    switch (s->wire.state) {
    case RTMP_SERVER_HANDSHAKE:
    case RTMP_SERVER_CONNECT:
    case RTMP_SERVER_IDLE:
        if (age_ms >= c->handshake_ms) {
            rtmp_session_end(s, RTMP_END_DROP, "nothing came of it in %u ms", c->handshake_ms);
        }
        break;
    case RTMP_SERVER_ASKED_PUBLISH:
    case RTMP_SERVER_ASKED_PLAY:
        break; /* the question has its own deadline */
    case RTMP_SERVER_PUBLISHING:
        tick_publishing(s, now_ns);
        break;
    case RTMP_SERVER_PLAYING:
        rtmp_play_tick(s, now_ns);
        break;
    case RTMP_SERVER_STATE_N:
        assert(false);
    }
}
