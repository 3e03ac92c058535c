/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ws_wire.h"

#include "base/mem.h"

#include <errno.h>

#define FIN        0x80
#define RSV        0x70
#define OPCODE     0x0f
#define MASKED     0x80
#define LEN_16     126
#define LEN_64     127
#define DATA_FIRST 256

void ws_parser_init(struct ws_parser *p, enum ws_role role, size_t max_message)
{
    *p = (struct ws_parser){.role = role, .max_message = max_message};
}

void ws_parser_done(struct ws_parser *p)
{
    free(p->data);
    p->data = NULL;
    p->len = p->cap = 0;
}

static int fail(struct ws_parser *p, int code, const char *why)
{
    p->error_code = code;
    p->error = why;
    return -EBADMSG;
}

bool ws_close_code_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static bool is_control(uint8_t opcode)
{
    return opcode & 0x8;
}

/* ---- masking ---- */

void ws_mask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], uint64_t at)
{
    uint8_t turned[8];
    uint64_t wide;
    for (int i = 0; i < 8; i++) {
        turned[i] = key[(at + (uint64_t)i) & 3];
    }
    memcpy(&wide, turned, 8);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        memcpy(&word, src + i, 8);
        word ^= wide;
        memcpy(dst + i, &word, 8);
    }
    for (; i < n; i++) {
        dst[i] = src[i] ^ turned[i & 7];
    }
}

unsigned ws_header_put(uint8_t p[WS_FRAME_HEADER_MAX], enum ws_opcode opcode, uint64_t len,
                       const uint8_t mask[4])
{
    uint8_t bit = mask ? MASKED : 0;
    uint8_t *at = put_u8(p, (uint8_t)(FIN | opcode));
    if (len < LEN_16) {
        at = put_u8(at, (uint8_t)(bit | len));
    } else if (len <= UINT16_MAX) {
        at = put_u16be(put_u8(at, bit | LEN_16), (uint16_t)len);
    } else {
        at = put_u64be(put_u8(at, bit | LEN_64), len);
    }
    if (mask) {
        at = put_bytes(at, BYTES(mask, 4));
    }
    return (unsigned)(at - p);
}

/* Size of a header by its first two bytes. */
static unsigned header_size(const uint8_t *h)
{
    unsigned extended = (h[1] & 0x7f) == LEN_16 ? 2 : (h[1] & 0x7f) == LEN_64 ? 8 : 0;
    return 2 + extended + (h[1] & MASKED ? 4 : 0);
}

static uint64_t header_length(const uint8_t *h)
{
    struct rd r = rd_init(BYTES(h + 2, 8));
    uint8_t n = h[1] & 0x7f;
    return n == LEN_16 ? rd_u16be(&r) : n == LEN_64 ? rd_u64be(&r) : n;
}

/* ---- headers ---- */

/* RFC 6455 5.2: what the first two bytes alone give away. */
static int check_start(struct ws_parser *p)
{
    const uint8_t *h = p->header;
    uint8_t opcode = h[0] & OPCODE;
    bool masked = h[1] & MASKED;
    if (h[0] & RSV) {
        return fail(p, WS_CLOSE_PROTOCOL, "a reserved bit is set, but no extension was agreed on");
    }
    if (masked != (p->role == WS_ROLE_SERVER)) {
        return fail(p, WS_CLOSE_PROTOCOL,
                    masked ? "a server's frame is masked" : "a client's frame is not masked");
    }
    switch (opcode) {
    case WS_OP_CONTINUATION:
        return p->message ? 0 : fail(p, WS_CLOSE_PROTOCOL, "a continuation continues nothing");
    case WS_OP_TEXT:
    case WS_OP_BINARY:
        return p->message ? fail(p, WS_CLOSE_PROTOCOL, "a message starts inside another one") : 0;
    case WS_OP_CLOSE:
    case WS_OP_PING:
    case WS_OP_PONG:
        if (!(h[0] & FIN)) {
            return fail(p, WS_CLOSE_PROTOCOL, "a control frame is fragmented");
        }
        return (h[1] & 0x7f) <= WS_CONTROL_MAX
                   ? 0
                   : fail(p, WS_CLOSE_PROTOCOL, "a control frame is too long");
    default:
        return fail(p, WS_CLOSE_PROTOCOL, "the opcode is reserved");
    }
}

static int begin_frame(struct ws_parser *p)
{
    const uint8_t *h = p->header;
    uint64_t len = header_length(h);
    uint8_t form = h[1] & 0x7f;
    if ((form == LEN_16 && len < LEN_16) ||
        (form == LEN_64 && (len <= UINT16_MAX || len > INT64_MAX))) {
        return fail(p, WS_CLOSE_PROTOCOL, "a length is not in its shortest form");
    }
    p->opcode = h[0] & OPCODE;
    p->fin = h[0] & FIN;
    p->frame_len = p->left = len;
    if (p->role == WS_ROLE_SERVER) {
        memcpy(p->mask, h + header_size(h) - 4, 4);
    }
    p->header_len = 0;
    p->in_payload = true;
    if (is_control(p->opcode)) {
        p->control_len = 0;
        return 0;
    }
    if (p->opcode != WS_OP_CONTINUATION) {
        p->message = p->opcode;
        p->utf8 = (struct utf8){0};
    }
    return len > p->max_message - MIN(p->len, p->max_message)
               ? fail(p, WS_CLOSE_TOO_LARGE, "the message is larger than is taken here")
               : 0;
}

/* Returns 1 when the header is complete. */
static int take_header(struct ws_parser *p, struct bytes *in)
{
    while (in->len > 0) {
        p->header[p->header_len++] = in->data[0];
        *in = BYTES(in->data + 1, in->len - 1);
        if (p->header_len < 2) {
            continue;
        }
        if (p->header_len == 2) {
            int r = check_start(p);
            if (r < 0) {
                return r;
            }
        }
        if (p->header_len == header_size(p->header)) {
            int r = begin_frame(p);
            return r < 0 ? r : 1;
        }
    }
    return 0;
}

/* ---- payloads ---- */

/* Room for n more bytes of the message; only what has come is ever asked for. */
static uint8_t *room(struct ws_parser *p, size_t n)
{
    if (p->len + n > p->cap) {
        size_t cap = MAX(p->cap * 2, (size_t)DATA_FIRST);
        cap = MAX(cap, p->len + n);
        uint8_t *data = mem_try_realloc(p->data, cap);
        if (!data) {
            return NULL;
        }
        p->data = data;
        p->cap = cap;
    }
    return p->data + p->len;
}

static int take_payload(struct ws_parser *p, struct bytes *in)
{
    size_t n = (size_t)MIN(p->left, (uint64_t)in->len);
    bool control = is_control(p->opcode);
    uint8_t *dst = control ? p->control + p->control_len : room(p, n);
    if (!dst) {
        return fail(p, WS_CLOSE_INTERNAL, "out of memory");
    }
    if (p->role == WS_ROLE_SERVER) {
        ws_mask(dst, in->data, n, p->mask, p->frame_len - p->left);
    } else {
        memcpy(dst, in->data, n);
    }
    *in = BYTES(in->data + n, in->len - n);
    p->left -= n;
    if (control) {
        p->control_len = (uint8_t)(p->control_len + n);
        return 0;
    }
    p->len += n;
    /* Text is refused at its first bad byte, not at its end (RFC 6455 8.1). */
    if (p->message == WS_OP_TEXT && !utf8_feed(&p->utf8, BYTES(dst, n))) {
        return fail(p, WS_CLOSE_NOT_UTF8, "a text message is not UTF-8");
    }
    return 0;
}

static int end_close(struct ws_parser *p, struct ws_event *ret)
{
    ret->code = WS_CLOSE_NO_CODE;
    ret->data = BYTES(p->control, 0);
    if (p->control_len == 1) {
        return fail(p, WS_CLOSE_PROTOCOL, "a close frame has half a code");
    }
    if (p->control_len >= 2) {
        ret->code = p->control[0] << 8 | p->control[1];
        ret->data = BYTES(p->control + 2, p->control_len - 2u);
    }
    if (p->control_len >= 2 && !ws_close_code_valid(ret->code)) {
        return fail(p, WS_CLOSE_PROTOCOL, "the close code may not be sent");
    }
    if (!utf8_valid(ret->data)) {
        return fail(p, WS_CLOSE_NOT_UTF8, "the close reason is not UTF-8");
    }
    p->closed = true;
    return 1;
}

/* A frame is complete. Returns 1 when that makes an event. */
static int end_frame(struct ws_parser *p, struct ws_event *ret)
{
    p->in_payload = false;
    *ret = (struct ws_event){.opcode = p->opcode, .data = BYTES(p->control, p->control_len)};
    if (p->opcode == WS_OP_CLOSE) {
        return end_close(p, ret);
    }
    if (is_control(p->opcode)) {
        return 1;
    }
    if (!p->fin) {
        return 0;
    }
    if (p->message == WS_OP_TEXT && !utf8_complete(&p->utf8)) {
        return fail(p, WS_CLOSE_NOT_UTF8, "a text message ends inside a character");
    }
    ret->opcode = p->message;
    ret->data = BYTES(p->data, p->len);
    p->message = 0;
    p->given = true;
    return 1;
}

int ws_parser_next(struct ws_parser *p, struct bytes *in, struct ws_event *ret)
{
    if (p->given) {
        /* Idle peers hold no memory. */
        ws_parser_done(p);
        p->given = false;
    }
    if (p->closed) {
        *in = BYTES(in->data + in->len, 0);
    }
    while (in->len > 0) {
        int r = p->in_payload ? take_payload(p, in) : take_header(p, in);
        if (r >= 0 && p->in_payload && p->left == 0) {
            r = end_frame(p, ret);
            if (r > 0) {
                return 1;
            }
        }
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* ---- written frames ---- */

size_t ws_tracker_take(struct ws_tracker *t, struct bytes b)
{
    size_t used = 0;
    while (t->left == 0 && used < b.len) {
        t->header[t->header_len++] = b.data[used++];
        if (t->header_len >= 2 && t->header_len == header_size(t->header)) {
            t->left = header_length(t->header);
            t->header_len = 0;
            if (t->left == 0) {
                return used;
            }
        }
    }
    size_t n = (size_t)MIN(t->left, (uint64_t)(b.len - used));
    t->left -= n;
    return used + n;
}
