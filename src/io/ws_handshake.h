/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The opening handshake of RFC 6455 4, both sides, for ws.c: what to ask, and whether what was asked or answered is a
 * handshake. Opens nothing and keeps nothing.
 */
#include "base/textmsg.h"
#include "base/url.h"
#include "io/http.h"

#define WS_KEY_MAX    25 /* 16 bytes in base64, and NUL */
#define WS_ACCEPT_MAX 29 /* 20 bytes in base64, and NUL */

/* Sec-WebSocket-Accept for a key. */
void ws_accept_value(const char *key, char ret[WS_ACCEPT_MAX]);

/*
 * Judges a request. 0: head is the whole 101 answer. Otherwise the status to refuse with (400, 426), and err.
 */
int ws_handshake_judge(const struct http_request *req, const char *protocol, struct out *head,
                       struct error *err);

/* A client's random key. */
void ws_key_new(char ret[WS_KEY_MAX]);
/* The request for u. */
void ws_handshake_ask(struct out *o, const struct url *u, const char *key, const char *protocol);
/* Whether the response answers it: 0, or -EPROTO and err. */
int ws_handshake_check(const struct textmsg *m, const char *key, const char *protocol,
                       struct error *err);
