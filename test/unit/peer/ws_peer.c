/* SPDX-License-Identifier: Apache-2.0 */
#include "../unit.h"

#include "ws_peer.h"

#include "../await.h"
#include "base/mem.h"

#include <stdlib.h>

struct ws_peer_session {
    struct ws_peer *peer;
    struct ws *ws;
};

static void on_text(void *user, struct bytes text)
{
    struct ws_peer_session *s = user;
    if (s->peer->now == s) {
        s->peer->on_text(s->peer, text);
    }
}

static void on_close(void *user, int code, const char *reason)
{
    struct ws_peer_session *s = user;
    if (s->peer->now == s) {
        s->peer->now = NULL;
    }
    ws_close(s->ws, code, NULL);
    free(s);
}

static void handle(void *user, struct http_request *req, struct http_reply *reply)
{
    static const struct ws_ops ops = {.on_text = on_text, .on_close = on_close};
    struct ws_peer *p = user;
    struct ws_peer_session *s = mem_new(struct ws_peer_session);
    s->peer = p;
    s->ws = ws_accept(req, reply, p->protocol, &ops, s);
    assert_non_null(s->ws);
    ws_set_max_message(s->ws, 1u << 20);
    p->now = s;
    p->connects++;
    if (p->on_open) {
        p->on_open(p);
    }
}

void ws_peer_start(struct ws_peer *p)
{
    static const struct http_route routes[] = {
        {.method = HTTP_GET, .kind = HTTP_ROUTE_MEDIA, .pattern = "/", .handle = handle}};
    const struct http_server_config config = {0};
    const struct listener_config listen = {.address = "127.0.0.1", .name = "peer"};
    struct error err = {0};
    p->server = http_server_new(&config, p->l);
    http_server_mount(p->server, routes, ARRAY_LEN(routes), p);
    assert_int_equal(http_server_listen(p->server, &listen, &p->l, 1, &err), 0);
    snprintf(p->url, sizeof(p->url), "ws://127.0.0.1:%u",
             listener_port(http_server_listener(p->server, 0)));
}

void ws_peer_say_bytes(struct ws_peer *p, struct bytes text)
{
    assert_non_null(p->now);
    ws_send_text(p->now->ws, text);
}

void ws_peer_say(struct ws_peer *p, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    assert_true(n > 0 && (size_t)n < sizeof(text));
    ws_peer_say_bytes(p, BYTES(text, (size_t)n));
}

void ws_peer_hang_up(struct ws_peer *p, int code)
{
    assert_non_null(p->now);
    struct ws_peer_session *s = TAKE_PTR(p->now);
    ws_close(s->ws, code, NULL);
    free(s);
}

void ws_peer_stop(struct ws_peer *p)
{
    RUN_UNTIL(p->l, !p->now);
    p->server = http_server_free(p->server);
}
