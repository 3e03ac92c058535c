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

bool http_origin_is_own(const struct http_request *req)
{
    const char *origin = http_request_header(req, "Origin");
    const char *host = http_request_header(req, "Host");
    if (!origin) {
        return true;
    }
    const char *scheme_end = strstr(origin, "://");
    return scheme_end && host && strcasecmp(scheme_end + 3, host) == 0;
}

bool http_is_forwarded(const struct http_request *req)
{
    static const char *const headers[] = {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host",
                                          "X-Real-IP", "Via"};
    for (unsigned i = 0; i < ARRAY_LEN(headers); i++) {
        if (http_request_header(req, headers[i])) {
            return true;
        }
    }
    return false;
}
