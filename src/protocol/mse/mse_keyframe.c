/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/mse/mse_keyframe.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/stream.h"
#include "media/fmp4.h"
#include "protocol/mse/mse_access.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

LOG_TOPIC(topic, "mse.keyframe");

#define ETAG_MAX 48

enum ask_state {
    ASK_ACCESS, /* the access question runs */
    ASK_ENGINE, /* the engine looks; its answer comes in any case */
};

/* Lives on the loop of its connection. */
struct ask {
    enum ask_state state;
    struct engine *engine;
    struct loop *loop;
    struct http_request *req;
    struct http_reply *reply; /* NULL: the client left while the engine looked */
    struct access_ticket *ticket;
    char path[STREAM_PATH_MAX + 1];
};

/* One for the whole server: what thumbnails may cost has a bound, however many ask. */
static atomic_uint_fast64_t pace_now;

static void ask_free(struct ask *a)
{
    access_cancel(a->ticket);
    free(a);
}

bool mse_pace_take(atomic_uint_fast64_t *pace, int64_t now_ns)
{
    uint64_t second = (uint64_t)(now_ns / NS_PER_S) << 32;
    uint_fast64_t old = atomic_load_explicit(pace, memory_order_relaxed);
    uint64_t next;
    do {
        next = (old & ~UINT64_C(0xffffffff)) == second ? old + 1 : second + 1;
    } while (!atomic_compare_exchange_weak_explicit(pace, &old, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return (next & UINT64_C(0xffffffff)) <= MSE_KEYFRAMES_PER_SECOND;
}

static void answer_problem(struct ask *a, int status, const char *code, int r, const char *text)
{
    struct error err = {0};
    error_set(&err, r, "path", "%s", text);
    if (status == 503) {
        http_reply_header(a->reply, "Retry-After", "1");
    }
    http_reply_problem(a->reply, status, code, &err);
}

/* ---- the file ---- */

/* The same picture at time 0: a player shows the beginning of a file, not the hours before it. */
static struct buf *make_fragment(const struct sample *key)
{
    struct buf *payload = buf_ref(key->payload);
    struct sample *s = sample_new(key->track, key->params, &payload, 0, 0, key->flags, 0);
    s->duration_ns = key->duration_ns;
    struct buf *fragment = fmp4_chunk_make(s);
    sample_unref(&s);
    return fragment;
}

static void answer_key(struct ask *a, const struct sample *key)
{
    char etag[ETAG_MAX];
    /* Group ids grow also over publishers and restarts. */
    snprintf(etag, sizeof(etag), "\"%" PRIx64 "\"", key->group);
    http_reply_header(a->reply, "ETag", etag);
    http_reply_header(a->reply, "Cache-Control", "private, max-age=1");
    http_reply_header(a->reply, "X-Content-Type-Options", "nosniff");
    const char *known = http_request_header(a->req, "if-none-match");
    if (known && strcmp(known, etag) == 0) {
        http_reply_send(a->reply, 304, NULL, NULL);
        return;
    }
    const struct track_params *params[TRACKS_MAX] = {0};
    params[key->track] = key->params;
    struct buf *pieces[2] = {fmp4_init_make(params, key->track + 1u), make_fragment(key)};
    http_reply_send_pieces(a->reply, 200, "video/mp4", pieces, 2);
    buf_unref(&pieces[0]);
    buf_unref(&pieces[1]);
}

static void on_key(void *user, struct sample *key)
{
    struct ask *a = user;
    if (a->reply && key) {
        answer_key(a, key);
    } else if (a->reply) {
        answer_problem(a, 503, "no-key-frame", -EAGAIN, "there is no key frame at hand now");
    }
    ask_free(a);
}

/* ---- asking ---- */

static void on_gone(void *user)
{
    struct ask *a = user;
    a->req = NULL;
    a->reply = NULL;
    if (a->state == ASK_ACCESS) {
        ask_free(a);
    }
}

static void on_answer(void *user, const struct access_answer *answer)
{
    struct ask *a = user;
    a->ticket = NULL;
    if (answer->result < 0) {
        char shown[ACCESS_SHOWN_MAX];
        log_debug("%s: refused: %s", access_path_shown(a->path, shown), answer->err.text);
        mse_refuse(a->reply, answer);
        ask_free(a);
        return;
    }
    a->state = ASK_ENGINE;
    if (engine_key_frame(a->engine, a->loop, answer->path, on_key, a) < 0) {
        answer_problem(a, 404, "not-found", -ENOENT, "nobody publishes this stream");
        ask_free(a);
    }
}

void mse_handle_keyframe(void *user, struct http_request *req, struct http_reply *reply)
{
    const char *path = http_request_param(req, "path");
    if (!mse_path_is_good(path, reply)) {
        return;
    }
    struct ask *a = mem_new(struct ask);
    a->engine = user;
    a->loop = http_request_loop(req);
    a->req = req;
    a->reply = reply;
    snprintf(a->path, sizeof(a->path), "%s", path);
    if (!mse_pace_take(&pace_now, loop_now_ns(a->loop))) {
        answer_problem(a, 503, "too-many", -EBUSY, "too many key frames are asked for");
        ask_free(a);
        return;
    }
    _cleanup_(mse_question_wipe) struct mse_question question;
    mse_question_fill(req, path, &question);
    http_reply_on_gone(reply, on_gone, a);
    /* The answer may come, and free a, before this returns; then there is no ticket to keep. */
    struct access_ticket *ticket = access_ask(a->engine, a->loop, &question.request, on_answer, a);
    if (ticket) {
        a->ticket = ticket;
    }
}
