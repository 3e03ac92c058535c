/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The access question (design 3): may this peer publish to, or read from, this path? One asynchronous question, one
 * answer. Every session has a state that waits for it before it allocates media memory. Who answers is set once in the
 * engine's configuration (service/access does; tests answer themselves). Without an answerer everything is granted.
 */
#include "base/error.h"
#include "io/loop.h"

#include <stdbool.h>
#include <sys/socket.h>

struct engine;

enum access_action {
    ACCESS_PUBLISH,
    ACCESS_READ,
    ACCESS_ACTION_N,
};

/*
 * A path whose last segment begins so is not a stream's: the segment is a stream key, as OBS sends it (server rtmp://host/live,
 * key sk_...). The answerer maps it to the stream; nothing else may show or keep it.
 */
#define ACCESS_STREAM_KEY "sk_"
/* The key in a path, NULL when there is none. */
const char *access_path_key(const char *path);
/* The path as logs may show it: with "sk_***" for a key. Returns path, or buf, which holds ACCESS_SHOWN_MAX. */
#define ACCESS_SHOWN_MAX 208
const char *access_path_shown(const char *path, char buf[ACCESS_SHOWN_MAX]);

/* All strings may be NULL; none is kept after access_ask() returns (the callee copies). */
struct access_request {
    enum access_action action;
    const char *protocol; /* "rtmp", "rtmps", "mse", "hls", ... */
    const char *
        path; /* as asked for, already checked; for a derived stream the answerer sees its parent's */
    const char *
        query; /* raw, without "?": keys and tokens may be in it; never logged, never part of a path */
    const char *user;
    const char *password;
    /*
     * Instead of the password, where a protocol has only a proof that the peer knows it (RTMP's authmod=adobe):
     * response = base64(md5(base64(md5(user + salt + password)) + challenge)). The protocol vouches for salt and challenge.
     */
    const char *proof_salt;
    const char *proof_challenge;
    const char *proof_response;
    const char *token;  /* Bearer */
    const char *cookie; /* the secret of a session that was opened by logging in (HTTP only) */
    const char *origin; /* WebSocket and page requests */
    const struct sockaddr *peer;
    bool encrypted;
    bool forwarded; /* the request came through a proxy: loopback trust does not apply */
};

struct access_answer {
    int result; /* 0 = granted; -EACCES refused, -EPERM credentials missing, -EBUSY, -ETIMEDOUT ... */
    struct error err;          /* when refused: what may be told to the peer */
    char path[201];            /* the stream's path, which the answerer may map */
    int64_t expires_mono_ns;   /* 0 = never */
    uint64_t serial;           /* access_revoke() of this serial ends the session */
    uint32_t max_bitrate_kbps; /* publish; 0 = no limit */
};

typedef void (*access_answer_fn)(void *user, const struct access_answer *answer);

/*
 * Asks from the session's loop; answer is called exactly once there, possibly before this returns, unless the ticket is
 * cancelled first. Returns NULL when the answer has already been given. Unanswered after 10 s: -ETIMEDOUT.
 */
struct access_ticket;
struct access_ticket *access_ask(struct engine *e, struct loop *l, const struct access_request *req,
                                 access_answer_fn answer, void *user);
struct access_ticket *access_cancel(struct access_ticket *t); /* NULL is fine; returns NULL */

/* Any thread: ends every session whose grant had this serial (on_close -EACCES). 0 is nobody's serial. */
void access_revoke(struct engine *e, uint64_t serial);

/*
 * The other side. ask runs on the session's loop and must not block: it answers at once, or keeps the ticket, moves the
 * question to another thread (access_ticket_request() is a private copy and stays valid) and calls access_reply() from any
 * thread later. It replies exactly once to every ticket it was asked, which frees the ticket; the reply to one that was
 * cancelled or timed out meanwhile is dropped.
 */
struct access_answerer {
    void (*ask)(void *user, struct access_ticket *t);
    /*
     * Whether what was granted with this serial still holds; asked when a session attaches, because access_revoke() reaches
     * only those that have: an answer may be on its way while its serial is revoked. Any media loop; NULL = yes.
     */
    bool (*holds)(void *user, uint64_t serial);
    void *user;
};
const struct access_request *access_ticket_request(const struct access_ticket *t);
/* Where the question was asked; the answerer may have timers there. */
struct loop *access_ticket_loop(const struct access_ticket *t);
void access_reply(struct access_ticket *t, const struct access_answer *answer);
