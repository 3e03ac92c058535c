/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The pieces of HTTP that are bytes in, bytes out: targets and paths, queries, ranges, conditions, dates, problem bodies
 * (RFC 9110, 9112, 9457). Sans-I/O; used by the server's connection and replies, and by fuzzers. Any thread.
 */
#include "base/bytes.h"
#include "base/error.h"

/* "Not Found" for 404, "Unknown" for what is not in the registry. */
const char *http_reason(int status);
/* Answers with these statuses never have a body (RFC 9110 6.4.1). */
bool http_status_has_body(int status);

/* ---- what was asked for ---- */
struct http_target {
    struct bytes
        path; /* raw, starts with "/"; empty for "*" and for an absolute form without a path */
    struct bytes query;     /* raw, without "?" */
    struct bytes authority; /* of the absolute form, else empty */
    bool asterisk;          /* "*", for OPTIONS */
};
/* Origin, absolute (http, https) and asterisk form (RFC 9112 3.2). -EBADMSG for all else. */
int http_target_parse(struct bytes target, struct http_target *ret);

/* A Host value or authority: reg-name or address with optional port; empty is valid (RFC 9110 7.2). */
bool http_authority_valid(struct bytes authority);

/*
 * Percent-decodes a raw path and removes its dot segments. out needs raw.len + 1 bytes and may be raw.data itself. Returns
 * the length. -EBADMSG for what could mean two things to two parsers: bad escapes, an encoded "/" or "\", NUL and other
 * controls, text that is not UTF-8, "..", also encoded, above the root.
 */
int http_path_decode(struct bytes raw, char *out);

/* The first value of key in a raw query, decoded ("+" is a space) and terminated. False: absent, too long or malformed. */
bool http_query_get(const char *query, const char *key, char *buf, size_t size);

/* ---- dates (RFC 9110 5.6.7), in seconds since 1970 ---- */
#define HTTP_DATE_MAX 30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and NUL */
void http_date_format(int64_t t, char buf[HTTP_DATE_MAX]);
/* All three forms; false when it is none of them. */
bool http_date_parse(const char *s, int64_t *ret);

/* ---- conditions and ranges; NULL = the header is absent ---- */
struct http_conditions {
    const char *if_match;
    const char *if_none_match;
    const char *if_modified_since;
    const char *if_unmodified_since;
    const char *if_range;
    const char *range;
};

enum http_verdict {
    HTTP_PROCEED,       /* 200 */
    HTTP_PARTIAL,       /* 206, first and last are set */
    HTTP_NOT_MODIFIED,  /* 304 */
    HTTP_FAILED,        /* 412 */
    HTTP_UNSATISFIABLE, /* 416 */
};

/*
 * Judges GET and HEAD of a thing of size bytes with this strong etag (with its quotes) and time of change, in the order of
 * RFC 9110 13.2.2. One range is served; for several ones the whole is sent, which RFC 9110 14.2 leaves to the server.
 */
enum http_verdict http_judge(const struct http_conditions *c, const char *etag, int64_t changed,
                             uint64_t size, uint64_t *ret_first, uint64_t *ret_last);

/* Whether an Accept-Encoding (NULL = absent) takes gzip (RFC 9110 12.5.3); "*" does not, who means it says it. */
bool http_accepts_gzip(const char *value);

/* ---- problem+json (RFC 9457) ---- */
/* err may be NULL: its where becomes "field", its text "detail". */
void http_problem_json(struct out *o, int status, const char *code, const struct error *err);
