/* SPDX-License-Identifier: Apache-2.0 */
#include "base/textmsg.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <strings.h>

/* ---- characters ---- */

bool textmsg_is_token_char(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return true;
    }
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') {
        return true;
    }
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool textmsg_is_token(struct bytes b)
{
    for (size_t i = 0; i < b.len; i++) {
        if (!textmsg_is_token_char(b.data[i])) {
            return false;
        }
    }
    return b.len > 0;
}

bool textmsg_is_value_char(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
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

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static struct bytes trim(struct bytes b)
{
    while (b.len > 0 && is_blank(b.data[0])) {
        b = BYTES(b.data + 1, b.len - 1);
    }
    while (b.len > 0 && is_blank(b.data[b.len - 1])) {
        b.len--;
    }
    return b;
}

bool textmsg_same(struct bytes a, const char *b)
{
    return a.len == strlen(b) && (a.len == 0 || strncasecmp((const char *)a.data, b, a.len) == 0);
}

/* ---- the head ---- */

void textmsg_init(struct textmsg *m, enum textmsg_kind kind, const char *protocol,
                  const struct textmsg_limits *limits)
{
    assert(limits->fields <= TEXTMSG_FIELDS_MAX);
    assert(limits->line_bytes + limits->fields_bytes + 4 <= TEXTMSG_HEAD_MAX);
    m->protocol = protocol;
    m->kind = kind;
    m->limits = *limits;
    m->major = m->minor = 0;
    m->status = 0;
    m->method = m->target = m->reason = (struct textmsg_slice){0};
    m->n_fields = 0;
    m->base = NULL;
    m->line_at = m->scanned = m->fields_at = 0;
    m->skipped_empty = false;
}

static struct textmsg_slice slice(const struct textmsg *m, struct bytes b)
{
    return (struct textmsg_slice){.at = (uint16_t)(b.data - m->base), .len = (uint16_t)b.len};
}

static int malformed(struct error *err, const char *what)
{
    return error_set(err, -EBADMSG, "", "%s", what);
}

/* "HTTP/1.1" */
static bool parse_version(struct textmsg *m, struct bytes b)
{
    size_t n = strlen(m->protocol);
    if (b.len != n + 4 || memcmp(b.data, m->protocol, n) != 0) {
        return false;
    }
    const uint8_t *p = b.data + n;
    if (p[0] != '/' || !is_digit(p[1]) || p[2] != '.' || !is_digit(p[3])) {
        return false;
    }
    m->major = (uint8_t)(p[1] - '0');
    m->minor = (uint8_t)(p[3] - '0');
    return true;
}

/* Splits b at the first space; false when there is none. */
static bool cut(struct bytes *b, struct bytes *ret_front)
{
    const uint8_t *space = b->len > 0 ? memchr(b->data, ' ', b->len) : NULL;
    if (!space) {
        return false;
    }
    size_t n = (size_t)(space - b->data);
    *ret_front = BYTES(b->data, n);
    *b = BYTES(space + 1, b->len - n - 1);
    return true;
}

/* RFC 9112 3: method SP request-target SP HTTP-version, exactly one space each. */
static int parse_request_line(struct textmsg *m, struct bytes line, struct error *err)
{
    struct bytes method;
    struct bytes target;
    if (!cut(&line, &method) || !cut(&line, &target)) {
        return malformed(err, "the request line is not: method, target, version");
    }
    if (!textmsg_is_token(method)) {
        return malformed(err, "the method is not a token");
    }
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f) {
            return malformed(err, "the request target has a byte that must be percent-encoded");
        }
    }
    if (target.len == 0) {
        return malformed(err, "the request target is empty");
    }
    if (!parse_version(m, line)) {
        return malformed(err, "the protocol version is malformed");
    }
    m->method = slice(m, method);
    m->target = slice(m, target);
    return 0;
}

/* RFC 9112 4: version SP status SP [reason]; the space before an empty reason is often missing. */
static int parse_status_line(struct textmsg *m, struct bytes line, struct error *err)
{
    struct bytes version;
    if (!cut(&line, &version) || !parse_version(m, version)) {
        return malformed(err, "the status line does not start with a protocol version");
    }
    if (line.len < 3 || !is_digit(line.data[0]) || !is_digit(line.data[1]) ||
        !is_digit(line.data[2]) || line.data[0] == '0' || (line.len > 3 && line.data[3] != ' ')) {
        return malformed(err, "the status is not a number of three digits");
    }
    m->status =
        (uint16_t)((line.data[0] - '0') * 100 + (line.data[1] - '0') * 10 + line.data[2] - '0');
    struct bytes reason =
        line.len > 4 ? BYTES(line.data + 4, line.len - 4) : BYTES(line.data + 3, 0);
    if (!is_value(reason)) {
        return malformed(err, "the reason phrase has a control character");
    }
    m->reason = slice(m, reason);
    return 0;
}

static int parse_field(struct textmsg *m, struct bytes line, struct error *err)
{
    if (is_blank(line.data[0])) {
        return malformed(err, "a header line is folded or starts with a blank");
    }
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (!colon) {
        return malformed(err, "a header line has no colon");
    }
    struct bytes name = BYTES(line.data, (size_t)(colon - line.data));
    if (!textmsg_is_token(name)) {
        return malformed(err, "a header name is empty or not a token");
    }
    struct bytes value = trim(BYTES(colon + 1, line.len - name.len - 1));
    if (!is_value(value)) {
        return malformed(err, "a header value has a control character");
    }
    if (m->n_fields == m->limits.fields) {
        return error_set(err, -E2BIG, "", "more than %u header fields", m->limits.fields);
    }
    m->fields[m->n_fields++] = (struct textmsg_field){slice(m, name), slice(m, value)};
    return 0;
}

/* Start line and header have own limits, which count from their own first byte; `end` is past what is there of a line. */
static int check_limits(const struct textmsg *m, size_t end, struct error *err)
{
    if (m->fields_at == 0) {
        return end - m->line_at > m->limits.line_bytes
                   ? error_set(err, -ENAMETOOLONG, "", "the first line is longer than %u bytes",
                               m->limits.line_bytes)
                   : 0;
    }
    /* The empty line at the end does not count. */
    return end - m->fields_at > m->limits.fields_bytes + 2u
               ? error_set(err, -E2BIG, "", "the header is larger than %u bytes",
                           m->limits.fields_bytes)
               : 0;
}

/* One line without its CRLF. Returns 1 when it was the one that ends the head. */
static int parse_line(struct textmsg *m, struct bytes line, size_t next, struct error *err)
{
    int r;
    if (m->fields_at > 0) {
        return line.len == 0 ? 1 : parse_field(m, line, err);
    }
    if (line.len == 0) {
        if (m->skipped_empty) {
            return malformed(err, "more than one empty line before the first line");
        }
        m->skipped_empty = true;
        return 0;
    }
    r = m->kind == TEXTMSG_REQUEST ? parse_request_line(m, line, err)
                                   : parse_status_line(m, line, err);
    if (r == 0) {
        m->fields_at = (uint32_t)next;
    }
    return r;
}

ssize_t textmsg_parse(struct textmsg *m, struct bytes data, struct error *err)
{
    m->base = data.data;
    while (m->scanned < data.len) {
        /* Whoever speaks another protocol (TLS, say) is told so at its first byte, not at the first LF it happens to send. */
        uint8_t front = data.data[m->line_at];
        if (m->fields_at == 0 && front != '\r' && !textmsg_is_token_char(front)) {
            return malformed(err, "this is not the start of a message");
        }
        const uint8_t *lf = memchr(data.data + m->scanned, '\n', data.len - m->scanned);
        size_t end = lf ? (size_t)(lf - data.data) + 1 : data.len;
        int r = check_limits(m, end, err);
        if (r < 0) {
            return r;
        }
        m->scanned = (uint32_t)end;
        if (!lf) {
            break;
        }
        if (end - m->line_at < 2 || lf[-1] != '\r') {
            return malformed(err, "a line ends in LF without CR");
        }
        struct bytes line = BYTES(data.data + m->line_at, end - 2 - m->line_at);
        m->line_at = (uint32_t)end;
        r = parse_line(m, line, end, err);
        if (r != 0) {
            return r < 0 ? r : (ssize_t)end;
        }
    }
    return 0;
}

struct bytes textmsg_bytes(const struct textmsg *m, struct textmsg_slice s)
{
    return BYTES(m->base + s.at, s.len);
}

bool textmsg_field(const struct textmsg *m, const char *name, unsigned *index,
                   struct bytes *ret_value)
{
    for (unsigned i = index ? *index : 0; i < m->n_fields; i++) {
        if (textmsg_same(textmsg_bytes(m, m->fields[i].name), name)) {
            *ret_value = textmsg_bytes(m, m->fields[i].value);
            if (index) {
                *index = i + 1;
            }
            return true;
        }
    }
    return false;
}

unsigned textmsg_field_count(const struct textmsg *m, const char *name)
{
    unsigned n = 0;
    unsigned at = 0;
    struct bytes value;
    while (textmsg_field(m, name, &at, &value)) {
        n++;
    }
    return n;
}

bool textmsg_list_next(struct bytes *list, struct bytes *ret_element)
{
    while (list->len > 0) {
        const uint8_t *comma = memchr(list->data, ',', list->len);
        size_t n = comma ? (size_t)(comma - list->data) : list->len;
        struct bytes element = trim(BYTES(list->data, n));
        size_t used = comma ? n + 1 : n;
        *list = BYTES(list->data + used, list->len - used);
        if (element.len > 0) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

bool textmsg_has_token(const struct textmsg *m, const char *name, const char *token)
{
    unsigned at = 0;
    struct bytes list;
    struct bytes element;
    while (textmsg_field(m, name, &at, &list)) {
        while (textmsg_list_next(&list, &element)) {
            if (textmsg_same(element, token)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- framing ---- */

static bool parse_length(struct bytes value, uint64_t *ret)
{
    uint64_t n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.data[i]) || n > (uint64_t)INT64_MAX / 10 - 1) {
            return false;
        }
        n = n * 10 + (uint64_t)(value.data[i] - '0');
    }
    *ret = n;
    return value.len > 0;
}

/* Only "chunked", once and alone, is a coding that we undo. */
static int check_transfer_encoding(const struct textmsg *m, struct error *err)
{
    unsigned at = 0;
    unsigned codings = 0;
    struct bytes list;
    struct bytes coding = {0};
    bool other = false;
    while (textmsg_field(m, "Transfer-Encoding", &at, &list)) {
        while (textmsg_list_next(&list, &coding)) {
            codings++;
            other = other || !textmsg_same(coding, "chunked");
        }
    }
    if (codings == 0 || !textmsg_same(coding, "chunked")) {
        /* Without chunked as the last one, nobody can tell where a request ends (RFC 9112 6.3, 4.1). */
        return malformed(err, "the last transfer coding is not chunked");
    }
    if (other) {
        return error_set(err, -ENOTSUP, "", "no transfer coding but chunked is understood");
    }
    return codings == 1 ? 0 : malformed(err, "chunked is applied more than once");
}

int textmsg_framing(const struct textmsg *m, bool no_body, struct textmsg_framing *ret,
                    struct error *err)
{
    struct textmsg_framing f = {0};
    struct bytes value = {0};
    bool http = strcmp(m->protocol, "HTTP") == 0;
    unsigned lengths = textmsg_field_count(m, "Content-Length");
    unsigned encodings = textmsg_field_count(m, "Transfer-Encoding");

    if (lengths > 1) {
        return malformed(err, "Content-Length is repeated");
    }
    if (lengths == 1) {
        textmsg_field(m, "Content-Length", NULL, &value);
        if (!parse_length(value, &f.length)) {
            return malformed(err, "Content-Length is not a number");
        }
        f.body = f.length > 0 ? TEXTMSG_BODY_LENGTH : TEXTMSG_BODY_NONE;
    }
    if (encodings > 0) {
        if (lengths > 0) {
            return malformed(err, "both Content-Length and Transfer-Encoding are given");
        }
        if (!http || (m->major == 1 && m->minor == 0)) {
            return malformed(err, "this protocol version has no Transfer-Encoding");
        }
        int r = check_transfer_encoding(m, err);
        if (r < 0) {
            return r;
        }
        f.body = TEXTMSG_BODY_CHUNKED;
    }
    if (m->kind == TEXTMSG_RESPONSE) {
        if (no_body || m->status < 200 || m->status == 204 || m->status == 304) {
            f = (struct textmsg_framing){.body = TEXTMSG_BODY_NONE};
        } else if (http && lengths == 0 && encodings == 0) {
            f.body = TEXTMSG_BODY_UNTIL_CLOSE;
        }
    }
    *ret = f;
    return 0;
}

/* ---- chunked ---- */

void textmsg_chunked_init(struct textmsg_chunked *c, uint64_t max)
{
    *c = (struct textmsg_chunked){.max = max};
}

static int hex_digit(uint8_t c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A size line is over: its chunk counts against the limit before a byte of it is taken. */
static int begin_chunk(struct textmsg_chunked *c)
{
    if (c->left > c->max - c->total) {
        return -EFBIG;
    }
    c->total += c->left;
    c->digits = 0;
    c->state = c->left > 0 ? TEXTMSG_CHUNK_DATA : TEXTMSG_CHUNK_TRAILER;
    return 0;
}

static int size_char(struct textmsg_chunked *c, uint8_t ch)
{
    int digit = hex_digit(ch);
    if (digit >= 0) {
        if (c->digits == 16 || c->left > UINT64_MAX >> 8) {
            return c->digits == 16 ? -EBADMSG : -EFBIG;
        }
        c->digits++;
        c->left = c->left << 4 | (uint64_t)digit;
        return 0;
    }
    if (c->digits == 0) {
        return -EBADMSG;
    }
    if (ch == '\r') {
        c->state = TEXTMSG_CHUNK_SIZE_LF;
        return 0;
    }
    if (ch == ';' || is_blank(ch)) {
        c->state = TEXTMSG_CHUNK_EXT;
        return 0;
    }
    return -EBADMSG;
}

static int expect(struct textmsg_chunked *c, uint8_t ch, uint8_t wanted,
                  enum textmsg_chunk_state next)
{
    c->state = next;
    return ch == wanted ? 0 : -EBADMSG;
}

static int ext_char(struct textmsg_chunked *c, uint8_t ch)
{
    if (ch == '\r') {
        c->state = TEXTMSG_CHUNK_SIZE_LF;
        return 0;
    }
    if (++c->ext > TEXTMSG_CHUNK_EXT_MAX) {
        return -E2BIG;
    }
    return textmsg_is_value_char(ch) ? 0 : -EBADMSG;
}

/* Trailer fields are checked as header fields are, and dropped: none of them may change the framing or the request. */
static int trailer_char(struct textmsg_chunked *c, uint8_t ch)
{
    if (++c->trailer > TEXTMSG_TRAILER_MAX) {
        return -E2BIG;
    }
    if (c->state == TEXTMSG_CHUNK_TRAILER) {
        if (ch == '\r') {
            c->state = TEXTMSG_CHUNK_END_LF;
            return 0;
        }
        c->state = TEXTMSG_CHUNK_TRAILER_LINE;
        c->has_colon = false;
        return textmsg_is_token_char(ch) ? 0 : -EBADMSG;
    }
    if (ch == '\r') {
        c->state = TEXTMSG_CHUNK_TRAILER_LF;
        return c->has_colon ? 0 : -EBADMSG;
    }
    if (c->has_colon) {
        return textmsg_is_value_char(ch) ? 0 : -EBADMSG;
    }
    c->has_colon = ch == ':';
    return c->has_colon || textmsg_is_token_char(ch) ? 0 : -EBADMSG;
}

static int chunk_char(struct textmsg_chunked *c, uint8_t ch)
{
    switch (c->state) {
    case TEXTMSG_CHUNK_SIZE:
        return size_char(c, ch);
    case TEXTMSG_CHUNK_EXT:
        return ext_char(c, ch);
    case TEXTMSG_CHUNK_SIZE_LF:
        return ch == '\n' ? begin_chunk(c) : -EBADMSG;
    case TEXTMSG_CHUNK_DATA_CR:
        return expect(c, ch, '\r', TEXTMSG_CHUNK_DATA_LF);
    case TEXTMSG_CHUNK_DATA_LF:
        return expect(c, ch, '\n', TEXTMSG_CHUNK_SIZE);
    case TEXTMSG_CHUNK_TRAILER:
    case TEXTMSG_CHUNK_TRAILER_LINE:
        return trailer_char(c, ch);
    case TEXTMSG_CHUNK_TRAILER_LF:
        return expect(c, ch, '\n', TEXTMSG_CHUNK_TRAILER);
    case TEXTMSG_CHUNK_END_LF:
        return expect(c, ch, '\n', TEXTMSG_CHUNK_DONE);
    case TEXTMSG_CHUNK_DATA:
    case TEXTMSG_CHUNK_DONE:
        break;
    }
    return -EBADMSG;
}

int textmsg_chunked_next(struct textmsg_chunked *c, struct bytes *in, struct bytes *ret)
{
    while (in->len > 0 && c->state != TEXTMSG_CHUNK_DONE) {
        if (c->state == TEXTMSG_CHUNK_DATA) {
            size_t n = (size_t)MIN(c->left, (uint64_t)in->len);
            *ret = BYTES(in->data, n);
            *in = BYTES(in->data + n, in->len - n);
            c->left -= n;
            if (c->left == 0) {
                c->state = TEXTMSG_CHUNK_DATA_CR;
            }
            return 1;
        }
        int r = chunk_char(c, in->data[0]);
        if (r < 0) {
            return r;
        }
        *in = BYTES(in->data + 1, in->len - 1);
    }
    return 0;
}
