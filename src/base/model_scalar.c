/* SPDX-License-Identifier: Apache-2.0 */
/* What single values look like as text: in YAML, in environment variables, in defaults, and quoted in JSON. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/model_impl.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

int scalar_bool(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"yes", true}, {"on", true},
                 {"false", false}, {"no", false}, {"off", false}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

int scalar_int(const char *text, int64_t *ret)
{
    const char *digits = text + (*text == '-' || *text == '+');
    if (!isdigit((unsigned char)*digits) || digits[strspn(digits, "0123456789")] != '\0') {
        return -EINVAL;
    }
    errno = 0;
    long long v = strtoll(text, NULL, 10);
    if (errno == ERANGE) {
        return -ERANGE;
    }
    *ret = v;
    return 0;
}

/* Decimal only: strtod() alone would also take hexadecimal, "inf" and "nan". */
int scalar_double(const char *text, double *ret)
{
    char *end;
    if (!*text || text[strspn(text, "+-.0123456789eE")] != '\0' || !strpbrk(text, "0123456789")) {
        return -EINVAL;
    }
    double v = strtod(text, &end);
    if (*end) {
        return -EINVAL;
    }
    if (!isfinite(v)) {
        return -ERANGE;
    }
    *ret = v;
    return 0;
}

/* A number with up to 18 digits, point included; *at moves behind it. Scaled by unit, exact where the digits allow. */
static int scaled(const char **at, int64_t unit, int64_t *ret)
{
    int64_t whole = 0;
    int64_t fraction = 0;
    int64_t place = 1;
    unsigned digits = 0;
    bool point = false;
    for (; isdigit((unsigned char)**at) || (**at == '.' && !point); (*at)++) {
        if (**at == '.') {
            point = true;
            continue;
        }
        if (++digits > 18) {
            return -ERANGE;
        }
        if (!point) {
            whole = whole * 10 + (**at - '0');
        } else if (place < 1000000000) {
            place *= 10;
            fraction = fraction * 10 + (**at - '0');
        }
    }
    if (digits == 0) {
        return -EINVAL;
    }
    int64_t v;
    if (__builtin_mul_overflow(whole, unit, &v)) {
        return -ERANGE;
    }
    /* fraction < place <= 10^9, so this product is taken in 128 bits. */
    int64_t part = (int64_t)((__int128)fraction * unit / place);
    return __builtin_add_overflow(v, part, ret) ? -ERANGE : 0;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* The unit whose name stands at *at, which moves behind it; names that begin alike stand longest first. */
static const struct unit *take_unit(const char **at, const struct unit *units, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(units[i].name);
        if (strncasecmp(*at, units[i].name, len) == 0) {
            *at += len;
            return &units[i];
        }
    }
    return NULL;
}

/* Where a number at the start of text ends. */
static const char *after_number(const char *text)
{
    return text + strspn(text, "0123456789.");
}

int scalar_duration(const char *text, int64_t *ret_ns)
{
    static const struct unit units[] = {
        {"ns", 1},
        {"us", NS_PER_US},
        {"ms", NS_PER_MS},
        {"s", NS_PER_S},
        {"m", 60 * NS_PER_S},
        {"h", 3600 * NS_PER_S},
        {"d", 86400 * NS_PER_S},
    };
    int64_t total = 0;
    if (*after_number(text) == '\0') {
        int r = scaled(&text, NS_PER_S, ret_ns);
        return r < 0 ? r : *text ? -EINVAL : 0;
    }
    while (*text) {
        const char *at = after_number(text);
        const struct unit *u = take_unit(&at, units, ARRAY_LEN(units));
        int64_t part;
        int r = u ? scaled(&text, u->factor, &part) : -EINVAL;
        if (r < 0) {
            return r;
        }
        if (__builtin_add_overflow(total, part, &total)) {
            return -ERANGE;
        }
        text += strlen(u->name);
    }
    *ret_ns = total;
    return 0;
}

char *duration_str(int64_t ns, char *buf)
{
    static const struct unit units[] = {
        {"h", 3600 * NS_PER_S}, {"m", 60 * NS_PER_S}, {"s", NS_PER_S},
        {"ms", NS_PER_MS},      {"us", NS_PER_US},    {"ns", 1},
    };
    size_t n = 0;
    if (ns <= 0) {
        return memcpy(buf, "0s", sizeof("0s"));
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (ns >= units[i].factor) {
            n += (size_t)snprintf(buf + n, 32 - n, "%lld%s", (long long)(ns / units[i].factor),
                                  units[i].name);
            ns %= units[i].factor;
        }
    }
    return buf;
}

int scalar_size(const char *text, int64_t *ret_bytes)
{
    static const struct unit units[] = {
        {"KiB", 1LL << 10}, {"MiB", 1LL << 20},    {"GiB", 1LL << 30},
        {"TiB", 1LL << 40}, {"kB", 1000},          {"MB", 1000000},
        {"GB", 1000000000}, {"TB", 1000000000000}, {"B", 1},
    };
    const char *at = after_number(text);
    at += strspn(at, " ");
    const struct unit *u =
        *at ? take_unit(&at, units, ARRAY_LEN(units)) : &units[ARRAY_LEN(units) - 1];
    if (!u || *at) {
        return -EINVAL;
    }
    const char *number_end = text;
    int r = scaled(&number_end, u->factor, ret_bytes);
    return r < 0 ? r : number_end != after_number(text) ? -EINVAL : 0;
}

/* n digits at *at as a number within lo..hi. */
static int digits(const char **at, int n, int lo, int hi, int *ret)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*at)++) {
        if (!isdigit((unsigned char)**at)) {
            return -EINVAL;
        }
        v = v * 10 + (**at - '0');
    }
    *ret = v;
    return v < lo || v > hi ? -EINVAL : 0;
}

static int expect(const char **at, const char *chars)
{
    if (!**at || !strchr(chars, **at)) {
        return -EINVAL;
    }
    (*at)++;
    return 0;
}

/* ".5" up to nine digits; further ones are dropped. */
static int64_t fraction_ns(const char **at)
{
    int64_t ns = 0;
    int64_t place = NS_PER_S / 10;
    if (**at != '.') {
        return 0;
    }
    for ((*at)++; isdigit((unsigned char)**at); (*at)++, place /= 10) {
        ns += place * (**at - '0');
    }
    return ns;
}

static int offset_seconds(const char **at, int *ret)
{
    int hours;
    int minutes;
    int sign = **at == '-' ? -1 : 1;
    if (**at == 'Z' || **at == 'z') {
        (*at)++;
        *ret = 0;
        return 0;
    }
    if (expect(at, "+-") < 0 || digits(at, 2, 0, 23, &hours) < 0 || expect(at, ":") < 0 ||
        digits(at, 2, 0, 59, &minutes) < 0) {
        return -EINVAL;
    }
    *ret = sign * (hours * 3600 + minutes * 60);
    return 0;
}

/* RFC 3339, from 1685 to 2255: what 64-bit nanoseconds hold, with room for rounding. */
#define TIME_SECONDS_MAX 9000000000

int scalar_time(const char *text, int64_t *ret_ns)
{
    struct tm tm = {0};
    int offset;
    if (digits(&text, 4, 1, 9999, &tm.tm_year) < 0 || expect(&text, "-") < 0 ||
        digits(&text, 2, 1, 12, &tm.tm_mon) < 0 || expect(&text, "-") < 0 ||
        digits(&text, 2, 1, 31, &tm.tm_mday) < 0 || expect(&text, "Tt ") < 0 ||
        digits(&text, 2, 0, 23, &tm.tm_hour) < 0 || expect(&text, ":") < 0 ||
        digits(&text, 2, 0, 59, &tm.tm_min) < 0 || expect(&text, ":") < 0 ||
        digits(&text, 2, 0, 60, &tm.tm_sec) < 0) {
        return -EINVAL;
    }
    int64_t ns = fraction_ns(&text);
    if (offset_seconds(&text, &offset) < 0 || *text) {
        return -EINVAL;
    }
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int leap =
        tm.tm_mon == 2 && tm.tm_year % 4 == 0 && (tm.tm_year % 100 != 0 || tm.tm_year % 400 == 0);
    if (tm.tm_mday > month_days[tm.tm_mon - 1] + leap) {
        return -EINVAL;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    int64_t seconds = timegm(&tm) - offset;
    if (seconds < -TIME_SECONDS_MAX || seconds > TIME_SECONDS_MAX) {
        return -EINVAL;
    }
    *ret_ns = seconds * NS_PER_S + ns;
    return 0;
}
