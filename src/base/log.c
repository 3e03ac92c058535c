/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RULES_MAX      32
#define LINE_MAX_BYTES 2048

struct rule {
    char prefix[48]; /* "" = all topics */
    enum log_level level;
};

/* Under the lock. A topic looks at the rules once after each change, so the usual line takes no lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX] = {{"", LOG_INFO}};
static unsigned n_rules = 1;
static atomic_uint generation = 1;
static atomic_bool as_json;
static log_sink_fn sink_fn;
static void *sink_user;

static __thread struct {
    log_sink_fn fn;
    void *user;
    enum log_level level;
} thread_sink;

static const char *const level_names[LOG_LEVEL_N] = {"error", "warn", "info", "debug", "trace"};

const char *log_level_to_str(enum log_level level)
{
    return level_names[level];
}

int log_level_from_str(const char *s)
{
    for (int i = 0; i < LOG_LEVEL_N; i++) {
        if (strcmp(s, level_names[i]) == 0) {
            return i;
        }
    }
    return -EINVAL;
}

static int parse_rule(char *item, struct rule *ret)
{
    char *eq = strchr(item, '=');
    const char *prefix = eq ? item : "";
    if (eq) {
        *eq = '\0';
    }
    int level = log_level_from_str(eq ? eq + 1 : item);
    if (level < 0 || strlen(prefix) >= sizeof(ret->prefix)) {
        return -EINVAL;
    }
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->prefix, prefix, strlen(prefix));
    ret->level = (enum log_level)level;
    return 0;
}

static int parse_rules(const char *patterns, struct rule parsed[RULES_MAX], unsigned *ret_n)
{
    unsigned n = 0;
    parsed[n++] = (struct rule){"", LOG_INFO};
    _cleanup_free_ char *copy = mem_strdup(patterns ? patterns : "info");
    char *save = NULL;
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        if (n == RULES_MAX) {
            return -EINVAL;
        }
        int r = parse_rule(item, &parsed[n]);
        if (r < 0) {
            return r;
        }
        n++;
    }
    *ret_n = n;
    return 0;
}

int log_check(const char *patterns)
{
    struct rule parsed[RULES_MAX];
    unsigned n = 0;
    return parse_rules(patterns, parsed, &n);
}

int log_configure(const char *patterns, bool json)
{
    struct rule parsed[RULES_MAX];
    unsigned n = 0;
    int r = parse_rules(patterns, parsed, &n);
    if (r < 0) {
        return r;
    }
    pthread_mutex_lock(&lock);
    memcpy(rules, parsed, sizeof(rules));
    n_rules = n;
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
    atomic_fetch_add_explicit(&generation, 1, memory_order_release);
    pthread_mutex_unlock(&lock);
    return 0;
}

void log_set_sink(log_sink_fn sink, void *user)
{
    sink_fn = sink;
    sink_user = user;
}

void log_set_thread_sink(log_sink_fn sink, void *user, enum log_level level)
{
    thread_sink.fn = sink;
    thread_sink.user = user;
    thread_sink.level = level;
}

/* "rtmp" covers "rtmp" and "rtmp.session", not "rtmps"; the longest prefix wins. */
static int resolve(const char *name)
{
    int level = LOG_INFO;
    size_t best = 0;
    for (unsigned i = 0; i < n_rules; i++) {
        size_t n = strlen(rules[i].prefix);
        bool covers = n == 0 || (strncmp(name, rules[i].prefix, n) == 0 &&
                                 (name[n] == '\0' || name[n] == '.'));
        if (covers && n >= best) {
            best = n;
            level = (int)rules[i].level;
        }
    }
    return level;
}

bool log_enabled(struct log_topic *t, enum log_level level)
{
    if (thread_sink.fn) {
        return level <= thread_sink.level;
    }
    if (__atomic_load_n(&t->generation, __ATOMIC_ACQUIRE) !=
        atomic_load_explicit(&generation, memory_order_acquire)) {
        pthread_mutex_lock(&lock);
        __atomic_store_n(&t->level, resolve(t->name), __ATOMIC_RELAXED);
        __atomic_store_n(&t->generation, generation, __ATOMIC_RELEASE);
        pthread_mutex_unlock(&lock);
    }
    return (int)level <= __atomic_load_n(&t->level, __ATOMIC_RELAXED);
}

/*
 * Control characters and what is not UTF-8 are escaped in both forms: a log line is one line and readable, whatever a peer
 * sent. The C1 controls count too: a terminal may act on them.
 */
static size_t escape(char *out, size_t room, const char *in, bool json)
{
    size_t n = 0;
    struct bytes left = BYTES_STR(in);
    while (left.len > 0 && n + 7 < room) {
        unsigned char c = left.data[0];
        size_t len = utf8_char_len(left);
        bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && len == 2 && left.data[1] < 0xa0);
        if (len == 0 && json) {
            n += (size_t)snprintf(out + n, room - n, "\\ufffd");
        } else if (len == 0 || control) {
            /* The second byte of a C1 control is its code point. */
            c = len == 2 ? left.data[1] : c;
            n += (size_t)snprintf(out + n, room - n, json ? "\\u%04x" : "\\x%02x", c);
        } else if (json && (c == '"' || c == '\\')) {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else {
            memcpy(out + n, left.data, len);
            n += len;
        }
        len = len > 0 ? len : 1;
        left.data += len;
        left.len -= len;
    }
    out[n] = '\0';
    return n;
}

bool log_admit(struct log_topic *t, int64_t now_ns, unsigned *ret_left_out)
{
    const int64_t each_ns = LOG_LIMIT_EVERY_MS * NS_PER_MS;
    int64_t busy_ns = __atomic_load_n(&t->busy_until_ns, __ATOMIC_RELAXED);
    int64_t next_ns;
    do {
        next_ns = MAX(busy_ns, now_ns) + each_ns;
        if (next_ns - now_ns > LOG_LIMIT_BURST * each_ns) {
            __atomic_add_fetch(&t->left_out, 1, __ATOMIC_RELAXED);
            return false;
        }
    } while (!__atomic_compare_exchange_n(&t->busy_until_ns, &busy_ns, next_ns, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    *ret_left_out = __atomic_exchange_n(&t->left_out, 0, __ATOMIC_RELAXED);
    return true;
}

static void put_line(const struct log_topic *t, enum log_level level, const char *text)
{
    char escaped[LINE_MAX_BYTES - 256];
    char line[LINE_MAX_BYTES];
    char when[CLOCK_RFC3339_MAX];
    escape(escaped, sizeof(escaped), text, as_json);
    clock_format_rfc3339(clock_wall_ns(), when);
    int n = as_json
                ? snprintf(line, sizeof(line),
                           "{\"time\":\"%s\",\"level\":\"%s\",\"topic\":\"%s\",\"text\":\"%s\"}\n",
                           when, level_names[level], t->name, escaped)
                : snprintf(line, sizeof(line), "%s %-5s %s: %s\n", when, level_names[level],
                           t->name, escaped);
    /* Nothing sensible is left to do when stderr itself fails. */
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)MIN(n, (int)sizeof(line) - 1));
    (void)ignored;
}

static void put(const struct log_topic *t, enum log_level level, const char *text)
{
    if (thread_sink.fn) {
        thread_sink.fn(thread_sink.user, level, t->name, text);
    } else if (sink_fn) {
        sink_fn(sink_user, level, t->name, text);
    } else {
        put_line(t, level, text);
    }
}

void log_write(struct log_topic *t, enum log_level level, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES / 2];
    unsigned left_out = 0;
    bool limited = level == LOG_WARN || level == LOG_INFO;
    bool tested = !thread_sink.fn && sink_fn; /* sees every line */
    va_list ap;
    if (!tested && limited && !log_admit(t, clock_mono_ns(), &left_out)) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (left_out > 0) {
        char lost[64];
        snprintf(lost, sizeof(lost), "%u lines were too many, leaving them out", left_out);
        put(t, LOG_WARN, lost);
    }
    put(t, level, text);
}
