/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Logging with topics. A file that logs declares its topic once and names the object's id in every line:
 *
 *     LOG_TOPIC(topic, "rtmp.session");
 *     log_warn("%s: unknown command, answering _error", s->id);
 *
 * The level is checked before arguments are evaluated. Lines go to stderr, as text or as JSON lines, one write each, so
 * that threads do not mix. Messages say what happens next; secrets never. base/, media/ and *_wire.c log nothing above
 * debug (they return errors), and wires log nothing at all. Any thread.
 *
 * Peers cause lines, so a topic writes 500 warnings and informations at once and 50 a second in the long run; how many were
 * left out is said with the next one. Errors are always written, and so is what somebody asked for by `debug` and `trace`.
 */
#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO,
    LOG_DEBUG,
    LOG_TRACE,
    LOG_LEVEL_N,
};

struct log_topic {
    const char *name;
    int level;             /* private: resolved from the patterns */
    unsigned generation;   /* private: of the configuration that level was resolved from */
    int64_t busy_until_ns; /* private: when the lines written so far are paid for */
    unsigned left_out;     /* private */
};

#define LOG_TOPIC(var, topic_name)                                                                 \
    static struct log_topic var __attribute__((unused)) = {.name = (topic_name)}

/*
 * patterns: a level for all, then exceptions by topic prefix: "info,rtmp=debug,io.tls=trace". NULL = "info".
 * json: JSON lines instead of text. Returns -EINVAL for a pattern it cannot read, and changes nothing then.
 */
int log_configure(const char *patterns, bool json);
/* The same check without changing anything. */
int log_check(const char *patterns);

bool log_enabled(struct log_topic *t, enum log_level level);
void log_write(struct log_topic *t, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define LOG_LIMIT_BURST    500
#define LOG_LIMIT_EVERY_MS 20
/*
 * Whether a line of this topic may be written now, and how many before it may not. For log_write(), and for tests, which
 * have another clock.
 */
bool log_admit(struct log_topic *t, int64_t now_ns, unsigned *ret_left_out);

/* Tests: lines go to sink instead of stderr; NULL puts stderr back. Not thread-safe. */
typedef void (*log_sink_fn)(void *user, enum log_level level, const char *topic, const char *text);
void log_set_sink(log_sink_fn sink, void *user);
/*
 * What the calling thread logs from now on goes to sink, up to this level whatever the patterns say: the loops of an embedder.
 * NULL: as all others.
 */
void log_set_thread_sink(log_sink_fn sink, void *user, enum log_level level);

const char *log_level_to_str(enum log_level level);
int log_level_from_str(const char *s); /* -EINVAL when unknown */

#define log_at(level, ...)                                                                         \
    do {                                                                                           \
        if (log_enabled(&topic, (level))) {                                                        \
            log_write(&topic, (level), __VA_ARGS__);                                               \
        }                                                                                          \
    } while (0)

/* These use the file's `topic`. */
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_TRACE, __VA_ARGS__)
