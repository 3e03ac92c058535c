/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 connection as the server runs it, fed by bytes over a socket pair: the client's preface and its SETTINGS are sent
 * for the input, which is frames. The first byte says in how many pieces they come. Routes answer at once, later, in a
 * stream, and never; whatever was sent, nothing may be left when the client has gone.
 */
#include "base/buf.h"
#include "base/log.h"
#include "io/http2_private.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PREFACE NGHTTP2_CLIENT_MAGIC "\0\0\0\4\0\0\0\0\0"

static struct loop *loop;
static struct http_server *server;

static void on_gone(void *user)
{
}

static void handle_hello(void *user, struct http_request *req, struct http_reply *p)
{
    struct buf *b = buf_copy(http_request_body(req));
    http_reply_header(p, "X-Path", "some");
    http_reply_send(p, 200, "text/plain", &b);
}

static void handle_block(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_on_gone(p, on_gone, NULL);
}

static void handle_stream(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_begin(p, 200, "text/plain");
    for (int i = 0; i < 3; i++) {
        struct buf *b = buf_new(40000);
        memset(b->data, 'x', b->len);
        (void)http_reply_write(p, &b);
    }
    http_reply_end(p);
}

static void handle_file(void *user, struct http_request *req, struct http_reply *p)
{
    http_reply_file(p, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "text/plain", NULL);
}

static const struct http_route routes[] = {
    {.method = HTTP_GET, .kind = HTTP_ROUTE_MEDIA, .pattern = "/", .handle = handle_hello},
    {.method = HTTP_POST, .kind = HTTP_ROUTE_CONTROL, .pattern = "/c", .handle = handle_hello},
    {.method = HTTP_GET, .kind = HTTP_ROUTE_CONTROL, .pattern = "/b", .handle = handle_block},
    {.method = HTTP_GET, .kind = HTTP_ROUTE_MEDIA, .pattern = "/m", .handle = handle_block},
    {.method = HTTP_GET, .kind = HTTP_ROUTE_MEDIA, .pattern = "/s", .handle = handle_stream},
    {.method = HTTP_GET, .kind = HTTP_ROUTE_MEDIA, .pattern = "/f", .handle = handle_file},
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct error err;
    const struct listener_config listen = {.address = "127.0.0.1", .name = "fuzz"};
    (void)log_configure("error", false);
    loop = loop_new("fuzz", LOOP_CONTROL);
    server = http_server_new(&(struct http_server_config){.max_body_bytes = 10000}, loop);
    http_server_mount(server, routes, ARRAY_LEN(routes), NULL);
    return http_server_listen(server, &listen, &loop, 1, &err);
}

/* What the server says is read and forgotten, so that it goes on. */
static void turn(int fd)
{
    static uint8_t sink[65536];
    loop_run_once(loop, 0);
    while (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) > 0) {
    }
}

static void feed(int fd, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (int tries = 0; size > 0 && tries < 100; tries++) {
        ssize_t n = send(fd, p, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            return;
        }
        p += MAX(n, (ssize_t)0);
        size -= (size_t)MAX(n, (ssize_t)0);
        turn(fd);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[2];
    if (size < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        return 0;
    }
    struct conn *c = conn_from_fd(loop, fds[0], NULL, true);
    assert(c);
    http2_accept(server->workers[0], c);
    feed(fds[1], PREFACE, sizeof(PREFACE) - 1);
    size_t piece = data[0] ? (size_t)data[0] * 4 : size;
    for (size_t at = 1; at < size; at += piece) {
        feed(fds[1], data + at, MIN(piece, size - at));
    }
    for (int i = 0; i < 4; i++) {
        turn(fds[1]);
    }
    close(fds[1]);
    for (int i = 0; i < 1000 && (http_server_live(server) > 0 || buf_live_count() > 0 ||
                                 !list_empty(&server->control_replies));
         i++) {
        loop_run_once(loop, 1);
    }
    assert(http_server_live(server) == 0 && buf_live_count() == 0);
    assert(list_empty(&server->control_replies));
    return 0;
}
