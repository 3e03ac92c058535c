/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_wire.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/textmsg.h"
#include "base/utf8.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_reason(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

bool http_status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

/* ---- targets ---- */

static bool starts_with(struct bytes b, const char *prefix)
{
    size_t n = strlen(prefix);
    return b.len >= n && textmsg_same(BYTES(b.data, n), prefix);
}

static struct bytes skip(struct bytes b, size_t n)
{
    return BYTES(b.data + n, b.len - n);
}

bool http_authority_valid(struct bytes a)
{
    for (size_t i = 0; i < a.len; i++) {
        uint8_t c = a.data[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        /* No "@": user information has no place here (RFC 9110 4.2.4). */
        if (!alnum && (c == 0 || !strchr("-._~!$&'()*+,;=:%[]", c))) {
            return false;
        }
    }
    return true;
}

int http_target_parse(struct bytes target, struct http_target *ret)
{
    struct http_target t = {0};
    size_t scheme = starts_with(target, "http://") ? 7 : starts_with(target, "https://") ? 8 : 0;

    if (bytes_equal_str(target, "*")) {
        t.asterisk = true;
        *ret = t;
        return 0;
    }
    if (scheme > 0) {
        size_t n = scheme;
        while (n < target.len && target.data[n] != '/' && target.data[n] != '?') {
            n++;
        }
        t.authority = BYTES(target.data + scheme, n - scheme);
        if (t.authority.len == 0 || !http_authority_valid(t.authority)) {
            return -EBADMSG;
        }
        target = skip(target, n);
    } else if (target.len == 0 || target.data[0] != '/') {
        return -EBADMSG;
    }
    /* A fragment never goes over the wire (RFC 9110 4.2.5). */
    if (target.len > 0 && memchr(target.data, '#', target.len)) {
        return -EBADMSG;
    }
    const uint8_t *mark = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;
    size_t n = mark ? (size_t)(mark - target.data) : target.len;
    t.path = BYTES(target.data, n);
    t.query = mark ? skip(target, n + 1) : BYTES(NULL, 0);
    *ret = t;
    return 0;
}

static int hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at *p, unescaped, and *p past it; -1 for a bad escape. */
static int decode_byte(const uint8_t **p, const uint8_t *end)
{
    uint8_t c = *(*p)++;
    if (c != '%') {
        return c;
    }
    if (end - *p < 2) {
        return -1;
    }
    int high = hex((*p)[0]);
    int low = hex((*p)[1]);
    *p += 2;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Ends the segment that starts at out[seg] (after its slash); returns the new length, or negative for ".." above the root. */
static int end_segment(const char *out, int seg, int len)
{
    if (len - seg == 1 && out[seg] == '.') {
        return seg;
    }
    if (len - seg != 2 || out[seg] != '.' || out[seg + 1] != '.') {
        return len;
    }
    if (seg < 2) {
        return -EBADMSG;
    }
    /* Back to after the slash before the previous segment; out[seg - 1] is this one's. */
    int i = seg - 1;
    while (out[i - 1] != '/') {
        i--;
    }
    return i;
}

int http_path_decode(struct bytes raw, char *out)
{
    const uint8_t *p = raw.data;
    const uint8_t *end = p + raw.len;
    int len = 0;
    int seg = 1;
    if (raw.len == 0 || *p != '/') {
        return -EBADMSG;
    }
    /* Decoding never grows, so the write position stays behind the read position. */
    while (p < end) {
        bool slash = *p == '/';
        int c = decode_byte(&p, end);
        if (c < 0x20 || c == 0x7f || c == '\\' || (c == '/' && !slash)) {
            return -EBADMSG;
        }
        if (slash && len > 0) {
            int r = end_segment(out, seg, len);
            if (r < 0) {
                return r;
            }
            /* A removed segment has left its own slash in place. */
            bool removed = r < len;
            len = r;
            if (removed) {
                seg = len;
                continue;
            }
        }
        out[len++] = (char)c;
        seg = slash ? len : seg;
    }
    len = end_segment(out, seg, len);
    if (len < 0 || !utf8_valid(BYTES(out, (size_t)len))) {
        return -EBADMSG;
    }
    out[len] = '\0';
    return len;
}

/* Decodes [p, end) of a query into buf; false when it does not fit or is malformed. */
static bool query_decode(const uint8_t *p, const uint8_t *end, char *buf, size_t size)
{
    size_t n = 0;
    while (p < end) {
        bool plus = *p == '+';
        int c = decode_byte(&p, end);
        if (c <= 0 || n + 1 >= size) {
            return false;
        }
        buf[n++] = (char)(plus ? ' ' : c);
    }
    if (size == 0) {
        return false;
    }
    buf[n] = '\0';
    return true;
}

bool http_query_get(const char *query, const char *key, char *buf, size_t size)
{
    char name[128];
    while (*query) {
        size_t n = strcspn(query, "&");
        size_t k = strcspn(query, "=&");
        const uint8_t *p = (const uint8_t *)query;
        if (query_decode(p, p + k, name, sizeof(name)) && strcmp(name, key) == 0) {
            return query_decode(p + MIN(k + 1, n), p + n, buf, size);
        }
        query += n;
        query += *query == '&';
    }
    return false;
}

/* ---- dates ---- */

static const char days[7][10] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                 "Thursday", "Friday", "Saturday"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/*
 * The Gregorian calendar, counted in years that start in March, so that the day that comes and goes is the last one:
 * month m (0 = March) starts on day (153 m + 2) / 5 of its year. 719468 days lie between 0000-03-01 and 1970-01-01.
 */
#define DAYS_TO_1970 719468

static int64_t days_of(int64_t year, int month, int day)
{
    int64_t y = month < 2 ? year - 1 : year;
    int m = (month + 10) % 12;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - DAYS_TO_1970;
}

void http_date_format(int64_t t, char buf[HTTP_DATE_MAX])
{
    /* Four digits of year are all there is room for. */
    t = MAX(t, (int64_t)0);
    t = MIN(t, (int64_t)253402300799);
    int64_t days_since = t / 86400;
    int second = (int)(t % 86400);
    /* The year by its mean length, at most one too late. */
    int64_t year = 1970 + days_since * 400 / 146097;
    if (days_of(year, 0, 1) > days_since) {
        year--;
    } else if (days_of(year + 1, 0, 1) <= days_since) {
        year++;
    }
    int month = 11;
    while (days_of(year, month, 1) > days_since) {
        month--;
    }
    int day = (int)(days_since - days_of(year, month, 1)) + 1;
    snprintf(buf, HTTP_DATE_MAX, "%.3s, %02d %s %04d %02d:%02d:%02d GMT",
             days[(days_since + 4) % 7], day, months[month], (int)year, second / 3600,
             second / 60 % 60, second % 60);
}

static int month_of(const char *name)
{
    for (int i = 0; i < 12; i++) {
        if (strcmp(name, months[i]) == 0) {
            return i;
        }
    }
    return -1;
}

struct date {
    int year, month, day, hour, minute, second;
    char name[4];
};

static bool date_valid(const struct date *d)
{
    return d->month >= 0 && d->year >= 1970 && d->day >= 1 && d->day <= 31 && d->hour >= 0 &&
           d->hour <= 23 && d->minute >= 0 && d->minute <= 59 && d->second >= 0 && d->second <= 60;
}

bool http_date_parse(const char *s, int64_t *ret)
{
    struct date d = {0};
    int end[3] = {0};
    size_t len = strlen(s);
    const char *comma = strchr(s, ',');
    const char *rest = comma ? comma : "";
    if (len > 40) {
        return false;
    }
    if (sscanf(rest, ", %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &d.day, d.name, &d.year, &d.hour,
               &d.minute, &d.second, &end[0]) == 6 &&
        end[0] > 0) {
        end[0] += (int)(rest - s);
    } else if (sscanf(rest, ", %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &d.day, d.name, &d.year,
                      &d.hour, &d.minute, &d.second, &end[1]) == 6 &&
               end[1] > 0) {
        end[0] = end[1] + (int)(rest - s);
        /* Two digits that look more than 50 years ahead are of the past (RFC 9110 5.6.7); 1970 is the earliest we know. */
        d.year += d.year < 70 ? 2000 : 1900;
    } else if (sscanf(s, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", d.name, &d.day, &d.hour,
                      &d.minute, &d.second, &d.year, &end[2]) == 6) {
        end[0] = end[2];
    } else {
        return false;
    }
    d.month = month_of(d.name);
    if ((size_t)end[0] != len || !date_valid(&d)) {
        return false;
    }
    *ret = ((days_of(d.year, d.month, d.day) * 24 + d.hour) * 60 + d.minute) * 60 + d.second;
    return true;
}

/* ---- conditions ---- */

/* One of the entity tags in the list is this one. Weak ones match only when weak_ok (RFC 9110 8.8.3.2). */
static bool etag_listed(const char *list, const char *etag, bool weak_ok)
{
    const char *p = list;
    while (*p) {
        p += strspn(p, " \t,");
        bool weak = strncmp(p, "W/", 2) == 0;
        p += weak ? 2 : 0;
        if (*p != '"') {
            return !weak && *p == '*' && p[1 + strspn(p + 1, " \t")] == '\0';
        }
        const char *close = strchr(p + 1, '"');
        if (!close) {
            return false;
        }
        size_t n = (size_t)(close + 1 - p);
        if ((weak_ok || !weak) && n == strlen(etag) && memcmp(p, etag, n) == 0) {
            return true;
        }
        p = close + 1;
    }
    return false;
}

/* A run of digits; false when there is none or it is too large to be of any use. */
static bool number(const char **p, uint64_t *ret)
{
    uint64_t n = 0;
    const char *start = *p;
    for (; **p >= '0' && **p <= '9'; (*p)++) {
        if (n > (uint64_t)INT64_MAX / 10 - 1) {
            return false;
        }
        n = n * 10 + (uint64_t)(**p - '0');
    }
    *ret = n;
    return *p > start;
}

/* RFC 9110 14.1.2. What is malformed, of another unit or of several ranges is not acted upon. */
static enum http_verdict judge_range(const char *p, uint64_t size, uint64_t *ret_first,
                                     uint64_t *ret_last)
{
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    if (strncasecmp(p, "bytes=", 6) != 0) {
        return HTTP_PROCEED;
    }
    p += 6;
    bool has_first = number(&p, &first);
    if (*p++ != '-') {
        return HTTP_PROCEED;
    }
    bool has_last = number(&p, &last);
    if (*p != '\0' || (!has_first && !has_last) || (has_first && has_last && last < first)) {
        return HTTP_PROCEED;
    }
    if (!has_first) {
        /* The last bytes: "-500". */
        if (last == 0 || size == 0) {
            return HTTP_UNSATISFIABLE;
        }
        *ret_first = last < size ? size - last : 0;
        *ret_last = size - 1;
        return HTTP_PARTIAL;
    }
    if (first >= size) {
        return HTTP_UNSATISFIABLE;
    }
    *ret_first = first;
    *ret_last = has_last ? MIN(last, size - 1) : size - 1;
    return HTTP_PARTIAL;
}

/* If-Range: the range counts only for the very thing the client has a part of; a date must be the same one. */
static bool range_applies(const char *if_range, const char *etag, int64_t changed)
{
    int64_t t;
    if (!if_range) {
        return true;
    }
    if (if_range[0] == '"') {
        return strcmp(if_range, etag) == 0;
    }
    return http_date_parse(if_range, &t) && t == changed;
}

enum http_verdict http_judge(const struct http_conditions *c, const char *etag, int64_t changed,
                             uint64_t size, uint64_t *ret_first, uint64_t *ret_last)
{
    int64_t t;
    if (c->if_match) {
        if (!etag_listed(c->if_match, etag, false)) {
            return HTTP_FAILED;
        }
    } else if (c->if_unmodified_since && http_date_parse(c->if_unmodified_since, &t) &&
               changed > t) {
        return HTTP_FAILED;
    }
    if (c->if_none_match) {
        if (etag_listed(c->if_none_match, etag, true)) {
            return HTTP_NOT_MODIFIED;
        }
    } else if (c->if_modified_since && http_date_parse(c->if_modified_since, &t) && changed <= t) {
        return HTTP_NOT_MODIFIED;
    }
    if (c->range && range_applies(c->if_range, etag, changed)) {
        return judge_range(c->range, size, ret_first, ret_last);
    }
    return HTTP_PROCEED;
}

/* ---- content coding ---- */

/* "q=0" and "q=0.000" refuse, all other weights are as good as none (RFC 9110 12.4.2). */
static bool is_refused(struct bytes parameters)
{
    struct bytes p = parameters;
    while (p.len > 0 && (*p.data == ';' || *p.data == ' ' || *p.data == '\t')) {
        p = skip(p, 1);
    }
    bool zero = p.len > 2 && (*p.data | 0x20) == 'q' && p.data[1] == '=';
    for (size_t i = 2; zero && i < p.len; i++) {
        zero = p.data[i] == '0' || p.data[i] == '.';
    }
    return zero;
}

bool http_accepts_gzip(const char *value)
{
    struct bytes list = value ? BYTES_STR(value) : BYTES(NULL, 0);
    struct bytes element;
    while (textmsg_list_next(&list, &element)) {
        size_t n = 0;
        while (n < element.len && !strchr("; \t", element.data[n])) {
            n++;
        }
        if (textmsg_same(BYTES(element.data, n), "gzip")) {
            return !is_refused(skip(element, n));
        }
    }
    return false;
}

/* ---- problems ---- */

void http_problem_json(struct out *o, int status, const char *code, const struct error *err)
{
    struct json j = json_init(o);
    json_object_begin(&j);
    json_put_str(&j, "type", "about:blank");
    json_put_str(&j, "title", http_reason(status));
    json_put_int(&j, "status", status);
    json_put_str(&j, "code", code);
    if (err && err->text[0]) {
        json_put_str(&j, "detail", err->text);
    }
    if (err && err->where[0]) {
        json_put_str(&j, "field", err->where);
    }
    json_object_end(&j);
    out_puts(o, "\n");
}
