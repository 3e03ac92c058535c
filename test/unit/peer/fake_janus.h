/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A Janus that does what a test tells it to, word by word: answers well, not at all, with an error, or with what does not
 * fit. It says nothing that the real one does not also say, but when it should not.
 */
#include "peer/janus/janus.h"
#include "ws_peer.h"

enum fake_word {
    FAKE_INFO,
    FAKE_CREATE,
    FAKE_CLAIM,
    FAKE_ATTACH,
    FAKE_KEEPALIVE,
    FAKE_MESSAGE,
    FAKE_DETACH,
    FAKE_DESTROY,
    FAKE_WORD_N,
};

enum fake_manner {
    FAKE_WELL,
    FAKE_SILENT,
    FAKE_NO_SESSION, /* error 458 */
    FAKE_NO_HANDLE,  /* 459 */
    FAKE_NO_PLUGIN,  /* 460 */
    FAKE_NO_ID,      /* a success that does not say of what */
    FAKE_MISFIT,     /* a message of a kind that answers nothing */
    FAKE_RAW,        /* fake->raw, with the transaction in place of %s */
};

struct fake_janus {
    struct ws_peer peer; /* first */
    enum fake_manner manner[FAKE_WORD_N];
    unsigned asked[FAKE_WORD_N];
    char transaction[FAKE_WORD_N][32]; /* of the last of its kind */
    unsigned requests;
    unsigned cut_at;  /* hangs up at this request, from 1; 0 = at none */
    bool cut_answers; /* after it was answered, not instead */
    const char *raw;
    const char *data; /* what plugins answer; NULL = {"streaming":"ok"} */
    void (*after)(struct fake_janus *f, enum fake_word word); /* has answered; may be NULL */
    int64_t session, handle;                                  /* made last */
    int64_t detached;                                         /* asked for last */
    char body[2048];                                          /* of the last message */
};

void fake_janus_start(struct fake_janus *f, struct loop *l);
/* A plugin's event for the handle that was made last. */
void fake_janus_event(struct fake_janus *f, const char *data);
void fake_janus_stop(struct fake_janus *f);
