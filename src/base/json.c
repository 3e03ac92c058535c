/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static void separate(struct json *j)
{
    if (j->comma) {
        out_u8(j->o, ',');
    }
    j->comma = true;
}

static void open_with(struct json *j, char c)
{
    separate(j);
    out_u8(j->o, (uint8_t)c);
    j->comma = false;
}

static void close_with(struct json *j, char c)
{
    out_u8(j->o, (uint8_t)c);
    j->comma = true;
}

void json_object_begin(struct json *j)
{
    open_with(j, '{');
}

void json_object_end(struct json *j)
{
    close_with(j, '}');
}

void json_array_begin(struct json *j)
{
    open_with(j, '[');
}

void json_array_end(struct json *j)
{
    close_with(j, ']');
}

/* Characters that go out as they are: printable ASCII but the quote and the backslash. */
static bool plain(uint8_t c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void escape_control(struct out *o, uint8_t c)
{
    static const char shorts[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    if (c == '"' || c == '\\') {
        out_u8(o, '\\');
        out_u8(o, c);
    } else if (c < sizeof(shorts) && shorts[c]) {
        out_u8(o, '\\');
        out_u8(o, (uint8_t)shorts[c]);
    } else {
        out_printf(o, "\\u%04x", c);
    }
}

static void quote(struct out *o, struct bytes text)
{
    out_reserve(o, text.len + 2);
    out_u8(o, '"');
    for (size_t i = 0; i < text.len;) {
        size_t run = i;
        while (run < text.len && plain(text.data[run])) {
            run++;
        }
        out_mem(o, text.data + i, run - i);
        i = run;
        if (i == text.len) {
            break;
        }
        if (text.data[i] < 0x80) {
            escape_control(o, text.data[i++]);
            continue;
        }
        size_t n = utf8_char_len(BYTES(text.data + i, text.len - i));
        if (n > 0) {
            out_mem(o, text.data + i, n);
        } else {
            out_puts(o, "\xef\xbf\xbd");
        }
        i += MAX(n, (size_t)1);
    }
    out_u8(o, '"');
}

void json_key(struct json *j, const char *key)
{
    separate(j);
    quote(j->o, BYTES_STR(key));
    out_u8(j->o, ':');
    j->comma = false;
}

void json_bytes(struct json *j, struct bytes text)
{
    separate(j);
    quote(j->o, text);
}

void json_str(struct json *j, const char *s)
{
    if (!s) {
        json_none(j);
        return;
    }
    json_bytes(j, BYTES_STR(s));
}

void json_printf(struct json *j, const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    json_bytes(j, BYTES(s, n < 0 ? 0 : (size_t)n));
    if (n >= 0) {
        free(s);
    }
}

void json_int(struct json *j, int64_t v)
{
    separate(j);
    out_printf(j->o, "%lld", (long long)v);
}

void json_uint(struct json *j, uint64_t v)
{
    separate(j);
    out_printf(j->o, "%llu", (unsigned long long)v);
}

int json_format_double(double v, char *buf)
{
    int n = 0;
    /* 15 digits are enough for what people write, 17 for every double. */
    for (int precision = 15; precision <= 17; precision++) {
        n = snprintf(buf, 32, "%.*g", precision, v);
        if (strtod(buf, NULL) == v) {
            break;
        }
    }
    return n;
}

void json_double(struct json *j, double v)
{
    char buf[32];
    if (!isfinite(v)) {
        json_none(j);
        return;
    }
    separate(j);
    /* The sum turns -0.0 into 0.0, which JSON's readers would do anyway. */
    out_mem(j->o, buf, (size_t)json_format_double(v + 0.0, buf));
}

void json_bool(struct json *j, bool v)
{
    json_raw(j, v ? "true" : "false");
}

void json_none(struct json *j)
{
    json_raw(j, NULL);
}

void json_raw(struct json *j, const char *text)
{
    separate(j);
    out_puts(j->o, text ? text : "null");
}

void json_put_str(struct json *j, const char *key, const char *s)
{
    json_key(j, key);
    json_str(j, s);
}

void json_put_int(struct json *j, const char *key, int64_t v)
{
    json_key(j, key);
    json_int(j, v);
}

void json_put_uint(struct json *j, const char *key, uint64_t v)
{
    json_key(j, key);
    json_uint(j, v);
}

void json_put_double(struct json *j, const char *key, double v)
{
    json_key(j, key);
    json_double(j, v);
}

void json_put_bool(struct json *j, const char *key, bool v)
{
    json_key(j, key);
    json_bool(j, v);
}

void json_put_raw(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    json_raw(j, text);
}
