/* SPDX-License-Identifier: Apache-2.0 */
#include "base/url.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define HIDDEN "***"

static const struct {
    const char *scheme;
    int port;
    bool hostless; /* the authority may be empty */
} schemes[] = {
    {"http", 80, false},   {"https", 443, false},  {"ws", 80, false},       {"wss", 443, false},
    {"rtmp", 1935, false}, {"rtmps", 443, false},  {"rtsp", 554, false},    {"rtsps", 322, false},
    {"srt", 0, true},      {"udp", 0, true},       {"rtp", 0, true},        {"tcp", 0, true},
    {"moq", 443, false},   {"redis", 6379, false}, {"rediss", 6379, false}, {"file", 0, true},
};

int url_default_port(const char *scheme)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (strcmp(schemes[i].scheme, scheme) == 0) {
            return schemes[i].port;
        }
    }
    return 0;
}

static bool may_be_hostless(const char *scheme)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (strcmp(schemes[i].scheme, scheme) == 0) {
            return schemes[i].hostless;
        }
    }
    return false;
}

static bool unreserved(uint8_t c)
{
    return isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

void url_encode(struct out *o, struct bytes text, const char *keep)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x80 && (unreserved(c) || (c && strchr(keep, c)))) {
            out_u8(o, c);
        } else {
            out_printf(o, "%%%02X", c);
        }
    }
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *url_decode(struct bytes text, bool plus)
{
    _cleanup_free_ char *s = mem_try_alloc(text.len + 1);
    size_t n = 0;
    if (!s) {
        return NULL;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '+' && plus) {
            c = ' ';
        } else if (c == '%') {
            if (text.len - i < 3 || hex(text.data[i + 1]) < 0 || hex(text.data[i + 2]) < 0) {
                return NULL;
            }
            c = (uint8_t)(hex(text.data[i + 1]) << 4 | hex(text.data[i + 2]));
            i += 2;
        }
        if (c == '\0') {
            return NULL;
        }
        s[n++] = (char)c;
    }
    s[n] = '\0';
    return TAKE_PTR(s);
}

static char *dup_lower(const char *s, size_t n)
{
    char *copy = mem_strndup(s, n);
    for (char *c = copy; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    return copy;
}

static int bad(struct error *err, const char *why)
{
    return error_set(err, -EINVAL, NULL, "not a usable URL: %s", why);
}

/* The part in front of "://": a letter, then letters, digits, plus, minus, dot (RFC 3986 3.1). */
static int parse_scheme(const char **at, struct url *u, struct error *err)
{
    const char *end = strstr(*at, "://");
    if (!end || end == *at || !isalpha((unsigned char)**at)) {
        return bad(err, "it does not begin with a scheme such as rtmp://");
    }
    for (const char *c = *at; c < end; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("+-.", *c)) {
            return bad(err, "its scheme has characters that cannot be there");
        }
    }
    u->scheme = dup_lower(*at, (size_t)(end - *at));
    *at = end + 3;
    return 0;
}

static int parse_userinfo(const char *s, size_t n, struct url *u, struct error *err)
{
    const char *colon = memchr(s, ':', n);
    size_t user_len = colon ? (size_t)(colon - s) : n;
    u->user = url_decode(BYTES(s, user_len), false);
    if (u->user && colon) {
        u->password = url_decode(BYTES(colon + 1, n - user_len - 1), false);
    }
    if (!u->user || (colon && !u->password)) {
        return bad(err, "its user or password is badly percent-encoded");
    }
    return 0;
}

static int parse_port(const char *s, size_t n, struct url *u, struct error *err)
{
    int port = 0;
    if (n == 0) {
        return 0; /* "host:" is allowed and means the default (RFC 3986 3.2.3) */
    }
    for (size_t i = 0; i < n; i++) {
        if (!isdigit((unsigned char)s[i]) || n > 5) {
            return bad(err, "its port is not a number from 1 to 65535");
        }
        port = port * 10 + (s[i] - '0');
    }
    if (port < 1 || port > 65535) {
        return bad(err, "its port is not a number from 1 to 65535");
    }
    u->port = port;
    u->has_port = true;
    return 0;
}

static int parse_ipv6(const char *s, size_t n, struct url *u, struct error *err)
{
    struct in6_addr ignored;
    const char *end = memchr(s, ']', n);
    if (!end) {
        return bad(err, "its IPv6 address lacks the closing bracket");
    }
    u->host = dup_lower(s + 1, (size_t)(end - s) - 1);
    u->ipv6 = true;
    if (inet_pton(AF_INET6, u->host, &ignored) != 1) {
        return bad(err, "what stands in brackets is not an IPv6 address");
    }
    const char *rest = end + 1;
    size_t left = n - (size_t)(rest - s);
    if (left > 0 && *rest != ':') {
        return bad(err, "there is something between its IPv6 address and its port");
    }
    return left > 0 ? parse_port(rest + 1, left - 1, u, err) : 0;
}

static int parse_host(const char *s, size_t n, struct url *u, struct error *err)
{
    if (n > 0 && *s == '[') {
        return parse_ipv6(s, n, u, err);
    }
    const char *colon = memchr(s, ':', n);
    size_t host_len = colon ? (size_t)(colon - s) : n;
    for (size_t i = 0; i < host_len; i++) {
        if (!unreserved((uint8_t)s[i])) {
            return bad(err, "its host has characters that cannot be there");
        }
    }
    if (host_len > 253) {
        return bad(err, "its host is longer than 253 characters");
    }
    u->host = dup_lower(s, host_len);
    if (host_len == 0 && !may_be_hostless(u->scheme)) {
        return bad(err, "it names no host");
    }
    return colon ? parse_port(colon + 1, n - host_len - 1, u, err) : 0;
}

static int parse_authority(const char **at, struct url *u, struct error *err)
{
    const char *s = *at;
    size_t n = strcspn(s, "/?#");
    /* Passwords with an unencoded at sign are common in camera URLs: the last one ends the userinfo. */
    const char *sign = memrchr(s, '@', n);
    *at = s + n;
    if (sign) {
        size_t info = (size_t)(sign - s);
        int r = parse_userinfo(s, info, u, err);
        if (r < 0) {
            return r;
        }
        s = sign + 1;
        n -= info + 1;
    }
    return parse_host(s, n, u, err);
}

static int parse(const char *text, struct url *u, struct error *err)
{
    if (strnlen(text, URL_MAX + 1) > URL_MAX) {
        return bad(err, "it is too long");
    }
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= 0x20 || *c == 0x7f) {
            return bad(err, "it holds white space or control characters");
        }
    }
    int r = parse_scheme(&text, u, err);
    if (r < 0) {
        return r;
    }
    r = parse_authority(&text, u, err);
    if (r < 0) {
        return r;
    }
    size_t n = strcspn(text, "?#");
    u->path = mem_strndup(text, n);
    text += n;
    if (*text == '?') {
        n = strcspn(text, "#");
        u->query = mem_strndup(text + 1, n - 1);
        text += n;
    }
    if (*text == '#') {
        u->fragment = mem_strdup(text + 1);
    }
    if (!u->has_port) {
        u->port = url_default_port(u->scheme);
    }
    return 0;
}

int url_parse(const char *text, struct url *ret, struct error *err)
{
    struct url u = {0};
    int r = parse(text, &u, err);
    if (r < 0) {
        url_done(&u);
    }
    *ret = u;
    return r;
}

void url_done(struct url *u)
{
    free(u->scheme);
    free(u->user);
    free(u->password);
    free(u->host);
    free(u->path);
    free(u->query);
    free(u->fragment);
    *u = (struct url){0};
}

void url_format(const struct url *u, struct out *o)
{
    out_printf(o, "%s://", u->scheme);
    if (u->user) {
        url_encode(o, BYTES_STR(u->user), "!$&'()*+,;=");
        if (u->password) {
            out_u8(o, ':');
            url_encode(o, BYTES_STR(u->password), "!$&'()*+,;=");
        }
        out_u8(o, '@');
    }
    out_printf(o, u->ipv6 ? "[%s]" : "%s", u->host);
    if (u->has_port) {
        out_printf(o, ":%d", u->port);
    }
    out_puts(o, u->path);
    if (u->query) {
        out_printf(o, "?%s", u->query);
    }
    if (u->fragment) {
        out_printf(o, "#%s", u->fragment);
    }
}

char *url_query_get(const char *query, const char *name)
{
    while (query && *query) {
        size_t n = strcspn(query, "&");
        const char *equals = memchr(query, '=', n);
        size_t name_len = equals ? (size_t)(equals - query) : n;
        _cleanup_free_ char *key = url_decode(BYTES(query, name_len), true);
        if (key && strcmp(key, name) == 0) {
            return equals ? url_decode(BYTES(equals + 1, n - name_len - 1), true) : mem_strdup("");
        }
        query += n + (query[n] == '&');
    }
    return NULL;
}

/* Names that speak of keys: long words anywhere in the name, short ones only as the whole of it. */
static bool key_like(const char *name, size_t n)
{
    static const char *const words[] = {"key",  "token", "secret", "pass", "pwd",     "sign",
                                        "auth", "cred",  "jwt",    "hash", "streamid"};
    static const char *const wholes[] = {"tok", "sk", "sig", "pw", "pin", "code", "user", "hmac"};
    char low[64];
    size_t len = MIN(n, sizeof(low) - 1);
    for (size_t i = 0; i < len; i++) {
        low[i] = (char)tolower((unsigned char)name[i]);
    }
    low[len] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strstr(low, words[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(wholes); i++) {
        if (strcmp(low, wholes[i]) == 0) {
            return true;
        }
    }
    /* A percent-encoded or very long name could be anything. */
    return memchr(name, '%', n) != NULL || n >= sizeof(low);
}

/*
 * Where the credentials after "://" end, 0 when there are none. A password with an unencoded slash or question mark cuts
 * the authority short; what is left then looks like user:word, which is no host:port, and the last at sign of all counts.
 */
static size_t userinfo_len(const char *s)
{
    size_t n = strcspn(s, "/?#");
    const char *sign = memrchr(s, '@', n);
    if (!sign && *s != '[') {
        const char *colon = memchr(s, ':', n);
        size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
        if (colon && digits != n - (size_t)(colon - s) - 1) {
            sign = strrchr(s, '@');
        }
    }
    return sign ? (size_t)(sign - s) : 0;
}

static void redact_query(struct out *o, const char *query)
{
    while (*query) {
        size_t n = strcspn(query, "&;#");
        const char *equals = memchr(query, '=', n);
        size_t name_len = equals ? (size_t)(equals - query) : n;
        out_mem(o, query, name_len);
        if (equals && key_like(query, name_len)) {
            out_puts(o, "=" HIDDEN);
        } else {
            out_mem(o, query + name_len, n - name_len);
        }
        query += n;
        if (*query) {
            out_u8(o, (uint8_t)*query++);
        }
    }
}

char *url_redact(const char *text, enum url_mask mask)
{
    struct out o = {0};
    const char *authority = strstr(text, "://");
    if (authority) {
        authority += 3;
        out_mem(&o, text, (size_t)(authority - text));
        size_t hidden = userinfo_len(authority);
        if (hidden > 0) {
            out_puts(&o, HIDDEN);
        }
        text = authority + hidden;
    }
    size_t n = strcspn(text, "?#");
    if (mask == URL_MASK_TAIL) {
        const char *slash = memrchr(text, '/', n);
        out_mem(&o, text, slash ? (size_t)(slash - text) + 1 : authority ? n : 0);
        out_puts(&o, slash || !authority ? HIDDEN : "");
        return out_take_str(&o);
    }
    out_mem(&o, text, n);
    if (text[n]) {
        out_u8(&o, (uint8_t)text[n]);
        redact_query(&o, text + n + 1);
    }
    return out_take_str(&o);
}
