/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Absolute URLs with an authority (RFC 3986): scheme://user:password@host:port/path?query#fragment, as media programs
 * write them. Host names are not resolved and, but for their characters, not judged. Any thread.
 */
#include "base/bytes.h"
#include "base/error.h"

#define URL_MAX 8192

/* All texts are owned; NULL = absent. */
struct url {
    char *scheme;   /* small letters */
    char *user;     /* decoded */
    char *password; /* decoded */
    char *
        host; /* small letters, IPv6 without brackets; "" where the scheme allows none (file, srt listeners) */
    bool ipv6;      /* host is an IPv6 literal */
    int port;       /* as written, else url_default_port(), else 0 */
    bool has_port;  /* it was written */
    char *path;     /* as written, with percent signs; "" or begins with a slash */
    char *query;    /* as written, without the question mark */
    char *fragment; /* as written */
};

/* -EINVAL with the reason; err never shows text of the URL, since it may hold a password. ret is zeroed on failure. */
int url_parse(const char *text, struct url *ret, struct error *err);
void url_done(struct url *u);
/* The inverse: user and password are encoded again, the port is written when has_port. */
void url_format(const struct url *u, struct out *o);

int url_default_port(const char *scheme); /* 0 when unknown */

/* The decoded value of the first parameter with that name, which the caller frees; NULL when absent or badly encoded. */
char *url_query_get(const char *query, const char *name);

/* Appends text with everything percent-encoded but unreserved characters and those of keep. */
void url_encode(struct out *o, struct bytes text, const char *keep);
/*
 * Decodes percent signs (and plus as space, for queries and forms) into a text that the caller frees. NULL for a bad
 * escape, for %00, and when memory runs out.
 */
char *url_decode(struct bytes text, bool plus);

enum url_mask {
    URL_MASK_KEYS, /* userinfo, and the values of query parameters whose names speak of keys */
    URL_MASK_TAIL, /* userinfo, the last path segment and the whole query: RTMP targets */
};
/* A copy fit for logs, which the caller frees. Takes any text: what looks like credentials is hidden even if malformed. */
char *url_redact(const char *text, enum url_mask mask);
