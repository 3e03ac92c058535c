/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http2_private.h"

#include "base/mem.h"

#include <errno.h>
#include <strings.h>

/*
 * Fields are collected as nghttp2 decodes them, into the same struct that the HTTP/1.1 parser fills, so that requests are
 * made of them by the same code. nghttp2 has checked pseudo-header fields and refused those of the connection (RFC 9113 8.2
 * and 8.3); limits, targets and hosts are ours.
 */

#define FIELD_OVERHEAD 32 /* RFC 9113 6.5.2 */

struct http2_head *http2_head_new(int32_t stream, bool trailers)
{
    struct http2_head *d = mem_new(struct http2_head);
    d->stream = stream;
    d->trailers = trailers;
    d->m.protocol = "HTTP";
    d->m.kind = TEXTMSG_REQUEST;
    d->m.major = 2;
    return d;
}

struct http2_head *http2_head_free(struct http2_head *d)
{
    if (d) {
        out_done(&d->text);
        out_done(&d->cookie);
        free(d);
    }
    return NULL;
}

static void refuse(struct http2_head *d, int status, const char *text)
{
    if (d->status == 0) {
        d->status = status;
        error_set(&d->err, -EBADMSG, "", "%s", text);
    }
}

/* Appends, with a NUL behind, over which a request's strings end. The limits keep offsets within 16 bits. */
static struct textmsg_slice keep(struct http2_head *d, struct bytes b)
{
    struct textmsg_slice s = {(uint16_t)d->text.len, (uint16_t)b.len};
    out_bytes(&d->text, b);
    out_u8(&d->text, 0);
    return s;
}

static bool is_value(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        if (!textmsg_is_value_char(b.data[i])) {
            return false;
        }
    }
    return true;
}

/* What a request line can hold: visible ASCII. */
static bool is_target(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        if (b.data[i] <= 0x20 || b.data[i] >= 0x7f) {
            return false;
        }
    }
    return b.len > 0 && (b.data[0] == '/' || bytes_equal_str(b, "*"));
}

static void take_pseudo(struct http2_head *d, struct bytes name, struct bytes value)
{
    if (bytes_equal_str(name, ":method")) {
        d->m.method = keep(d, value);
    } else if (bytes_equal_str(name, ":scheme")) {
        d->scheme = keep(d, value);
    } else if (bytes_equal_str(name, ":authority")) {
        d->authority = keep(d, value);
    } else if (!bytes_equal_str(name, ":path")) {
        refuse(d, 400, "an unknown pseudo-header field");
    } else if (value.len > HTTP_LINE_MAX) {
        refuse(d, 414, "the path is too long");
    } else if (!is_target(value)) {
        refuse(d, 400, "the request target is malformed");
    } else {
        d->m.target = keep(d, value);
    }
}

static void add_field(struct http2_head *d, struct textmsg_slice name, struct textmsg_slice value)
{
    /* Host stands for :authority, Cookie for its pieces: room for both is always left. */
    d->m.fields[d->m.n_fields++] = (struct textmsg_field){name, value};
}

static void take_host(struct http2_head *d, struct bytes value)
{
    if (d->host.len > 0) {
        refuse(d, 400, "Host is repeated");
        return;
    }
    d->host = keep(d, value);
}

static void take_length(struct http2_head *d, struct bytes value)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9' || n > UINT64_MAX / 10 - 1) {
            refuse(d, 400, "Content-Length is not a length");
            return;
        }
        n = n * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (value.len == 0 || d->has_length) {
        refuse(d, 400, "Content-Length is repeated or empty");
        return;
    }
    d->has_length = true;
    d->length = n;
}

/* RFC 9113 8.2.3: a client may cut its cookies up; handlers see one field. */
static void take_cookie(struct http2_head *d, struct bytes value)
{
    if (d->cookie.len > 0) {
        out_puts(&d->cookie, "; ");
    }
    out_bytes(&d->cookie, value);
}

static void take_regular(struct http2_head *d, struct bytes name, struct bytes value)
{
    if (!textmsg_is_token(name) || !is_value(value)) {
        refuse(d, 400, "a header field is malformed");
    } else if (bytes_equal_str(name, "host")) {
        take_host(d, value);
    } else if (bytes_equal_str(name, "cookie")) {
        take_cookie(d, value);
    } else {
        if (bytes_equal_str(name, "content-length")) {
            take_length(d, value);
        }
        struct textmsg_slice kept = keep(d, name);
        add_field(d, kept, keep(d, value));
    }
}

bool http2_head_field(struct http2_head *d, struct bytes name, struct bytes value)
{
    d->list_bytes += name.len + value.len + FIELD_OVERHEAD;
    d->fields++;
    if (d->list_bytes > HTTP2_HEAD_BOMB) {
        return false;
    }
    /* Two places are kept for Host and Cookie. */
    if (d->list_bytes > HTTP_FIELDS_BYTES_MAX || d->m.n_fields + 2 >= TEXTMSG_FIELDS_MAX ||
        d->fields > TEXTMSG_FIELDS_MAX) {
        refuse(d, 431, "the header is larger than this server takes");
    }
    if (d->status != 0 || d->trailers) {
        return true;
    }
    if (name.len > 0 && name.data[0] == ':') {
        take_pseudo(d, name, value);
    } else {
        take_regular(d, name, value);
    }
    return true;
}

void http2_head_invalid(struct http2_head *d)
{
    refuse(d, 400, "a header field is malformed");
}

static struct bytes view(const struct http2_head *d, struct textmsg_slice s)
{
    return BYTES(d->text.data + s.at, s.len);
}

/* RFC 9113 8.3.1: the authority is the host; a Host beside it must not say otherwise. */
static void finish_host(struct http2_head *d)
{
    struct bytes authority = view(d, d->authority);
    struct bytes host = view(d, d->host);
    if (authority.len > 0 && host.len > 0 &&
        (authority.len != host.len ||
         strncasecmp((const char *)authority.data, (const char *)host.data, host.len) != 0)) {
        refuse(d, 400, "Host and :authority name different hosts");
        return;
    }
    if (authority.len > 0 || host.len > 0) {
        struct textmsg_slice value = authority.len > 0 ? d->authority : d->host;
        add_field(d, keep(d, BYTES_STR("host")), value);
    }
}

int http2_head_finish(struct http2_head *d)
{
    if (d->status == 0 && d->m.method.len == 0) {
        refuse(d, 400, "the method is missing");
    }
    if (d->status == 0 && !textmsg_same(view(d, d->scheme), "https") &&
        !textmsg_same(view(d, d->scheme), "http")) {
        refuse(d, bytes_equal_str(view(d, d->m.method), "CONNECT") ? 501 : 400,
               "only http and https are served");
    }
    if (d->status == 0) {
        finish_host(d);
    }
    if (d->status == 0 && d->cookie.len > 0) {
        struct textmsg_slice name = keep(d, BYTES_STR("cookie"));
        add_field(d, name, keep(d, out_view(&d->cookie)));
    }
    d->m.base = d->text.data;
    return d->status;
}
