/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ws_handshake.h"

#include "base/base64.h"
#include "base/random.h"
#include "io/http_private.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <strings.h>

/* RFC 6455 1.3. SHA-1 proves here that the other side speaks WebSocket, nothing more. */
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static void encode(const void *p, size_t n, char *ret, size_t size)
{
    struct out o = {0};
    base64_encode(&o, BYTES(p, n), BASE64_STD);
    snprintf(ret, size, "%s", out_str(&o));
    out_done(&o);
}

void ws_accept_value(const char *key, char ret[WS_ACCEPT_MAX])
{
    char text[WS_KEY_MAX + sizeof(GUID)];
    unsigned char hash[EVP_MAX_MD_SIZE] = {0};
    unsigned n = 0;
    int len = snprintf(text, sizeof(text), "%s%s", key, GUID);
    int ok = EVP_Digest(text, (size_t)len, hash, &n, EVP_sha1(), NULL);
    assert(ok == 1 && n == 20);
    encode(hash, n, ret, WS_ACCEPT_MAX);
}

void ws_key_new(char ret[WS_KEY_MAX])
{
    uint8_t key[16];
    random_bytes(key, sizeof(key));
    encode(key, sizeof(key), ret, WS_KEY_MAX);
}

/* ---- server ---- */

/* A token in any of the request's fields of that name. */
static bool has_token(const struct http_request *r, const char *name, const char *token,
                      bool any_case)
{
    struct bytes element;
    for (unsigned i = 0; i < r->n_headers; i++) {
        struct bytes list = BYTES_STR(r->headers[i].value);
        if (strcasecmp(r->headers[i].name, name) != 0) {
            continue;
        }
        while (textmsg_list_next(&list, &element)) {
            if (any_case ? textmsg_same(element, token) : bytes_equal_str(element, token)) {
                return true;
            }
        }
    }
    return false;
}

static unsigned count(const struct http_request *r, const char *name)
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->n_headers; i++) {
        n += strcasecmp(r->headers[i].name, name) == 0;
    }
    return n;
}

static int refuse(struct error *err, int status, const char *text)
{
    error_set(err, -EPROTO, "", "%s", text);
    return status;
}

int ws_handshake_judge(const struct http_request *req, const char *protocol, struct out *head,
                       struct error *err)
{
    char accept[WS_ACCEPT_MAX];
    uint8_t nonce[32];
    const char *version = http_request_header(req, "Sec-WebSocket-Version");
    const char *key = http_request_header(req, "Sec-WebSocket-Key");
    if (req->method != HTTP_GET || !has_token(req, "Upgrade", "websocket", true) ||
        !has_token(req, "Connection", "upgrade", true)) {
        return refuse(err, 426,
                      "this path speaks WebSocket: GET with Upgrade: websocket is needed");
    }
    if (!version || strcmp(version, "13") != 0) {
        return refuse(err, 426, "only version 13 of WebSocket is spoken here");
    }
    if (count(req, "Sec-WebSocket-Key") != 1 ||
        base64_decode(BYTES_STR(key), BASE64_STD, nonce, sizeof(nonce)) != 16) {
        return refuse(err, 400, "Sec-WebSocket-Key is not 16 bytes in base64, once");
    }
    if (http_request_body(req).len > 0) {
        return refuse(err, 400, "a WebSocket handshake has no body");
    }
    ws_accept_value(key, accept);
    out_printf(head,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\n",
               accept);
    if (protocol && has_token(req, "Sec-WebSocket-Protocol", protocol, false)) {
        out_printf(head, "Sec-WebSocket-Protocol: %s\r\n", protocol);
    }
    out_puts(head, "\r\n");
    return 0;
}

/* ---- client ---- */

void ws_handshake_ask(struct out *o, const struct url *u, const char *key, const char *protocol)
{
    out_printf(o, "GET %s%s%s%s HTTP/1.1\r\nHost: ", u->path[0] ? "" : "/", u->path,
               u->query ? "?" : "", u->query ? u->query : "");
    out_printf(o, u->ipv6 ? "[%s]" : "%s", u->host);
    if (u->has_port) {
        out_printf(o, ":%d", u->port);
    }
    out_printf(o,
               "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
               "Sec-WebSocket-Version: 13\r\n",
               key);
    if (protocol) {
        out_printf(o, "Sec-WebSocket-Protocol: %s\r\n", protocol);
    }
    out_puts(o, "\r\n");
}

static int wrong(struct error *err, const char *text)
{
    return error_set(err, -EPROTO, "", "%s", text);
}

int ws_handshake_check(const struct textmsg *m, const char *key, const char *protocol,
                       struct error *err)
{
    char accept[WS_ACCEPT_MAX];
    struct bytes value;
    if (m->status != 101) {
        return error_set(err, -EPROTO, "",
                         "the server answered %u instead of a WebSocket handshake", m->status);
    }
    if (!textmsg_has_token(m, "Upgrade", "websocket") ||
        !textmsg_has_token(m, "Connection", "upgrade")) {
        return wrong(err, "the server upgraded to something else than WebSocket");
    }
    ws_accept_value(key, accept);
    if (textmsg_field_count(m, "Sec-WebSocket-Accept") != 1 ||
        !textmsg_field(m, "Sec-WebSocket-Accept", NULL, &value) ||
        !bytes_equal_str(value, accept)) {
        return wrong(err, "Sec-WebSocket-Accept does not belong to our key");
    }
    if (textmsg_field(m, "Sec-WebSocket-Extensions", NULL, &value) && value.len > 0) {
        return wrong(err, "the server uses an extension that was not offered");
    }
    if (textmsg_field(m, "Sec-WebSocket-Protocol", NULL, &value) &&
        (!protocol || !bytes_equal_str(value, protocol))) {
        return wrong(err, "the server chose a subprotocol that was not offered");
    }
    return 0;
}
