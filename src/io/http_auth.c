/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_auth.h"

#include "base/base64.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

static int parse_basic(const char *encoded, struct http_auth *ret)
{
    char clear[sizeof(ret->user) + sizeof(ret->password)];
    size_t n = strlen(encoded);
    if (n > (sizeof(clear) - 1) / 3 * 4) {
        return -EBADMSG;
    }
    int len = base64_decode(BYTES(encoded, n), BASE64_STD, (uint8_t *)clear, sizeof(clear) - 1);
    if (len < 0 || memchr(clear, '\0', (size_t)len)) {
        return -EBADMSG;
    }
    clear[len] = '\0';
    char *colon = strchr(clear, ':');
    if (!colon || (size_t)(colon - clear) >= sizeof(ret->user) ||
        strlen(colon + 1) >= sizeof(ret->password)) {
        return -EBADMSG;
    }
    *colon = '\0';
    snprintf(ret->user, sizeof(ret->user), "%s", clear);
    snprintf(ret->password, sizeof(ret->password), "%s", colon + 1);
    return 0;
}

int http_auth_parse(const struct http_request *req, struct http_auth *ret)
{
    const char *h = http_request_header(req, "Authorization");
    *ret = (struct http_auth){0};
    if (!h) {
        return 0;
    }
    if (strncasecmp(h, "Basic ", 6) == 0) {
        return parse_basic(h + 6 + strspn(h + 6, " "), ret);
    }
    if (strncasecmp(h, "Bearer ", 7) == 0) {
        h += 7 + strspn(h + 7, " ");
        if (strlen(h) >= sizeof(ret->token)) {
            return -EBADMSG;
        }
        snprintf(ret->token, sizeof(ret->token), "%s", h);
        return 0;
    }
    return -EBADMSG;
}

/* RFC 6265 4.2.1: name=value pairs between semicolons. The first of a name counts: browsers send the nearest path first. */
bool http_cookie_find(const char *header, const char *name, char *buf, size_t size)
{
    const size_t n = strlen(name);
    for (const char *at = header; *at;) {
        at += strspn(at, " \t;");
        size_t len = strcspn(at, ";");
        if (len > n && at[n] == '=' && strncmp(at, name, n) == 0) {
            const char *value = at + n + 1;
            size_t value_len = len - n - 1;
            while (value_len > 0 && strchr(" \t", value[value_len - 1])) {
                value_len--;
            }
            if (value_len >= size) {
                return false;
            }
            memcpy(buf, value, value_len);
            buf[value_len] = '\0';
            return true;
        }
        at += len;
    }
    return false;
}

bool http_cookie_get(const struct http_request *req, const char *name, char *buf, size_t size)
{
    const char *header;
    /* HTTP/2 clients may send each cookie as a field of its own (RFC 9113 8.2.3). */
    for (unsigned i = 0; (header = http_request_header_at(req, "Cookie", i)); i++) {
        if (http_cookie_find(header, name, buf, size)) {
            return true;
        }
    }
    return false;
}

void http_auth_challenge(const struct http_request *req, struct http_reply *reply)
{
    const char *mode = http_request_header(req, "Sec-Fetch-Mode");
    const char *accept = http_request_header(req, "Accept");
    /* Browsers leave Sec-Fetch-* out over plain HTTP to other machines: there the page's Accept gives it away. */
    bool from_script = (mode && strcmp(mode, "navigate") != 0) ||
                       (accept && (strcmp(accept, "application/json") == 0 ||
                                   strcmp(accept, "text/event-stream") == 0));
    http_reply_header(reply, "WWW-Authenticate",
                      from_script ? "Mast-Session realm=\"Mast\""
                                  : "Basic realm=\"Mast\", charset=\"UTF-8\"");
}

bool http_origin_is_own(const struct http_request *req)
{
    const char *origin = http_request_header(req, "Origin");
    const char *host = http_request_header(req, "Host");
    if (!origin) {
        return true;
    }
    const char *scheme_end = strstr(origin, "://");
    if (!scheme_end || !host || strcasecmp(scheme_end + 3, host) != 0) {
        return false;
    }
    /* Who came by TLS does not take orders from a plain page of the same name, which anybody on the way may have written. */
    return !http_request_is_tls(req) || strncasecmp(origin, "http:", 5) != 0;
}

bool http_site_is_own(const struct http_request *req)
{
    const char *site = http_request_header(req, "Sec-Fetch-Site");
    const char *mode = http_request_header(req, "Sec-Fetch-Mode");
    bool safe = http_request_method(req) == HTTP_GET || http_request_method(req) == HTTP_HEAD;
    bool link = safe && mode && strcmp(mode, "navigate") == 0;
    bool foreign = site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0;
    return (!foreign || link) && http_origin_is_own(req);
}

bool http_is_forwarded(const struct http_request *req)
{
    static const char *const headers[] = {"Forwarded",        "X-Forwarded-For",
                                          "X-Forwarded-Host", "X-Forwarded-Proto",
                                          "X-Real-IP",        "Via"};
    for (unsigned i = 0; i < ARRAY_LEN(headers); i++) {
        if (http_request_header(req, headers[i])) {
            return true;
        }
    }
    return false;
}
