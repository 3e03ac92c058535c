/* SPDX-License-Identifier: Apache-2.0 */
/* Just enough WebSocket to watch: frame lengths are followed, only the head of a frame is kept. */
#include "load.h"

#include <stdio.h>
#include <string.h>

size_t ws_hello(const struct target *t, uint8_t *out, size_t cap)
{
    int n =
        snprintf((char *)out, cap,
                 "GET /%s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "Sec-WebSocket-Key: bWFzdC1sb2FkLW1hcmstMQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                 t->name, t->host, t->port);
    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

static unsigned header_need(const struct ws_player *p)
{
    if (p->header_len < 2) {
        return 2;
    }
    unsigned n = p->header[1] & 127;
    return n == 126 ? 4 : n == 127 ? 10 : 2;
}

static void header_done(struct ws_player *p)
{
    unsigned n = p->header[1] & 127;
    unsigned extra = n == 126 ? 2 : n == 127 ? 8 : 0;
    p->left = extra ? 0 : n;
    for (unsigned i = 0; i < extra; i++) {
        p->left = p->left << 8 | p->header[2 + i];
    }
    p->opcode = p->header[0] & 15;
    p->head_len = 0;
    p->header_len = 0;
}

/* The answer's status line is its first bytes: anything but 101 is a refusal. */
static int take_answer(struct ws_player *p, const uint8_t **data, const uint8_t *end)
{
    static const char mark[] = "\r\n\r\n";
    for (; *data < end && p->match < 4; (*data)++) {
        if (p->head_len < 12) {
            p->head[p->head_len++] = **data;
        }
        p->match = **data == (uint8_t)mark[p->match] ? p->match + 1 : **data == '\r';
    }
    if (p->match == 4) {
        p->upgraded = true;
        return memcmp(p->head, "HTTP/1.1 101", 12) == 0 ? 0 : -1;
    }
    return 0;
}

int ws_feed(struct ws_player *p, struct frames *f, struct tally *t, const uint8_t *data, size_t n)
{
    const uint8_t *end = data + n;
    int64_t now = now_ns();
    if (!p->upgraded && take_answer(p, &data, end) < 0) {
        return -1;
    }
    while (data < end) {
        if (p->left == 0) {
            while (p->header_len < header_need(p) && data < end) {
                p->header[p->header_len++] = *data++;
            }
            if (p->header_len == header_need(p)) {
                header_done(p);
            }
            p->pinged |= p->opcode == 9;
            if (p->opcode == 8) {
                return -1; /* hanging up is answer enough to a goodbye */
            }
            continue;
        }
        size_t part = (size_t)(end - data) < p->left ? (size_t)(end - data) : (size_t)p->left;
        size_t room = HEAD_MAX - p->head_len;
        memcpy(p->head + p->head_len, data, part < room ? part : room);
        p->head_len = (uint16_t)(p->head_len + (part < room ? part : room));
        data += part;
        p->left -= part;
        if (p->left == 0) {
            t->messages += t->measuring;
            if (p->opcode == 2) {
                tally_frame(t, f, p->head, p->head_len, now);
            }
        }
    }
    return 0;
}
