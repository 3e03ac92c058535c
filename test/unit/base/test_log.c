/* SPDX-License-Identifier: Apache-2.0 */
/* Logging, errors, clocks and memory helpers. */
#include "../unit.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool enabled(const char *name, enum log_level level)
{
    struct log_topic t = {.name = name};
    return log_enabled(&t, level);
}

static void test_the_longest_prefix_decides(void **state)
{
    assert_int_equal(log_configure("warn,rtmp=debug,rtmp.wire=trace,io.tls=error", false), 0);
    assert_true(enabled("hls", LOG_WARN));
    assert_false(enabled("hls", LOG_INFO));
    assert_true(enabled("rtmp", LOG_DEBUG));
    assert_true(enabled("rtmp.session", LOG_DEBUG));
    assert_false(enabled("rtmp.session", LOG_TRACE));
    assert_true(enabled("rtmp.wire", LOG_TRACE));
    assert_false(enabled("rtmps", LOG_DEBUG));
    assert_false(enabled("io.tls", LOG_WARN));
    assert_true(enabled("io", LOG_WARN));
    /* A topic notices that the configuration has changed. */
    struct log_topic t = {.name = "hls"};
    assert_false(log_enabled(&t, LOG_INFO));
    assert_int_equal(log_configure(NULL, false), 0);
    assert_true(log_enabled(&t, LOG_INFO));
    assert_false(log_enabled(&t, LOG_DEBUG));
}

static void test_bad_patterns_change_nothing(void **state)
{
    static const char *const bad[] = {"loud", "rtmp=", "rtmp=loud", "info,=x"};
    assert_int_equal(log_configure("error", false), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(log_configure(bad[i], false), -EINVAL);
        assert_false(enabled("x", LOG_WARN));
    }
    assert_int_equal(log_level_from_str("trace"), LOG_TRACE);
    assert_int_equal(log_level_from_str("TRACE?"), -EINVAL);
    assert_string_equal(log_level_to_str(LOG_WARN), "warn");
    assert_int_equal(log_configure("info", false), 0);
}

/* What one call writes to stderr. */
static char *captured(bool as_json, const char *text, char *buf, size_t size)
{
    struct log_topic topic = {.name = "test.topic"};
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int saved = dup(STDERR_FILENO);
    assert_int_equal(log_configure("info", as_json), 0);
    dup2(fds[1], STDERR_FILENO);
    log_info("%s", text);
    log_debug("%s", "below the level");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    ssize_t n = read(fds[0], buf, size - 1);
    close(fds[0]);
    assert_true(n > 0);
    buf[n] = '\0';
    assert_int_equal(log_configure("info", false), 0);
    return buf;
}

static void test_a_line_stays_one_line(void **state)
{
    char buf[8192];
    captured(false, "evil\n2026 error x: \x1b[31m\x7f\xc2\x9b\xff \xc3\xa4", buf, sizeof(buf));
    assert_non_null(strstr(
        buf, " info  test.topic: evil\\x0a2026 error x: \\x1b[31m\\x7f\\x9b\\xff \xc3\xa4\n"));
    assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);
    /* A line of more than the bound is cut, and still ends. */
    char longer[5000];
    memset(longer, '\n', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    captured(false, longer, buf, sizeof(buf));
    assert_int_equal(buf[strlen(buf) - 1], '\n');
    assert_ptr_equal(strchr(buf, '\n'), buf + strlen(buf) - 1);
}

static void test_json_lines_are_json(void **state)
{
    static const char *const texts[] = {"plain", "q\"b\\s\nt\x01\x7f", "\xc3\xa4"};
    char buf[8192];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        json_t *line = json_loads(captured(true, texts[i], buf, sizeof(buf)), 0, NULL);
        assert_non_null(line);
        assert_string_equal(json_string_value(json_object_get(line, "text")), texts[i]);
        assert_string_equal(json_string_value(json_object_get(line, "level")), "info");
        assert_string_equal(json_string_value(json_object_get(line, "topic")), "test.topic");
        json_decref(line);
    }
    /* The longest line is whole JSON too, and so is one that is not UTF-8. */
    char longer[5000];
    memset(longer, '"', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    json_t *line = json_loads(captured(true, longer, buf, sizeof(buf)), 0, NULL);
    assert_non_null(line);
    json_decref(line);
    line = json_loads(captured(true, "bad \xff\xc3 end", buf, sizeof(buf)), 0, NULL);
    assert_non_null(line);
    json_decref(line);
}

static char last[200];

static void keep(void *user, enum log_level level, const char *topic_name, const char *text)
{
    snprintf(last, sizeof(last), "%d %s %s %s", (int)level, topic_name, text, (const char *)user);
}

static void test_a_sink_takes_lines(void **state)
{
    struct log_topic topic = {.name = "a.b"};
    log_set_sink(keep, "user");
    log_warn("n=%d", 5);
    log_set_sink(NULL, NULL);
    assert_string_equal(last, "1 a.b n=5 user");
}

static void test_a_flood_is_cut_and_counted(void **state)
{
    struct log_topic t = {.name = "flooded"};
    unsigned left_out = 0;
    int64_t now = 1000 * NS_PER_S;
    for (unsigned i = 0; i < LOG_LIMIT_BURST; i++) {
        assert_true(log_admit(&t, now, &left_out));
        assert_int_equal(left_out, 0);
    }
    assert_false(log_admit(&t, now, &left_out));
    assert_false(log_admit(&t, now, &left_out));
    now += LOG_LIMIT_EVERY_MS * NS_PER_MS;
    assert_true(log_admit(&t, now, &left_out));
    assert_int_equal(left_out, 2);
    assert_false(log_admit(&t, now, &left_out));
    /* After a while of quiet it is as new. */
    now += LOG_LIMIT_BURST * LOG_LIMIT_EVERY_MS * NS_PER_MS;
    for (unsigned i = 0; i < LOG_LIMIT_BURST; i++) {
        assert_true(log_admit(&t, now, &left_out));
        assert_int_equal(left_out, i == 0 ? 1 : 0);
    }
    assert_false(log_admit(&t, now, &left_out));
}

static void count_lines(void *user, enum log_level level, const char *topic_name, const char *text)
{
    unsigned *n = user;
    if (strcmp(topic_name, "flooded") == 0) {
        n[level]++;
    }
}

/* An embedder's log is as safe from peers as ours. */
static void test_a_flood_is_cut_for_a_thread_too(void **state)
{
    struct log_topic t = {.name = "flooded"};
    unsigned n[LOG_TRACE + 1] = {0};
    log_set_thread_sink(count_lines, n, LOG_DEBUG);
    for (unsigned i = 0; i < 10 * LOG_LIMIT_BURST; i++) {
        log_write(&t, LOG_WARN, "again");
        log_write(&t, LOG_ERROR, "never too often");
    }
    log_set_thread_sink(NULL, NULL, LOG_ERROR);
    assert_in_range(n[LOG_WARN], LOG_LIMIT_BURST, 5 * LOG_LIMIT_BURST);
    assert_int_equal(n[LOG_ERROR], 10 * LOG_LIMIT_BURST);
}

static void test_errors_carry_their_place(void **state)
{
    struct error err = {0};
    assert_int_equal(error_set(NULL, -EINVAL, "x", "y"), -EINVAL);
    assert_int_equal(error_set(&err, -EINVAL, "fps", "must be %d", 5), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
    error_prefix(&err, "[2]");
    assert_string_equal(err.where, "[2].fps");
    error_prefix(&err, "outputs");
    assert_string_equal(err.where, "outputs[2].fps");
    error_prefix(&err, "");
    error_prefix(&err, NULL);
    error_prefix(NULL, "x");
    assert_string_equal(err.where, "outputs[2].fps");
    assert_string_equal(err.text, "must be 5");
    error_set(&err, -EIO, NULL, "z");
    assert_string_equal(err.where, "");
    error_prefix(&err, "a");
    assert_string_equal(err.where, "a");
    /* Too long a place is cut, not overrun. */
    char longer[300];
    memset(longer, 'p', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    error_prefix(&err, longer);
    assert_int_equal(strlen(err.where), sizeof(err.where) - 1);
    error_set(&err, -EIO, longer, "%s%s", longer, longer);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_string_equal(error_name(-ENOENT), "No such file or directory");
    assert_string_equal(error_name(-99999), "unknown error");
}

static void test_times_are_written_as_rfc_3339(void **state)
{
    char buf[CLOCK_RFC3339_MAX];
    assert_string_equal(clock_format_rfc3339(0, buf), "1970-01-01T00:00:00.000Z");
    assert_string_equal(clock_format_rfc3339(1767323045678999999LL, buf),
                        "2026-01-02T03:04:05.678Z");
    assert_string_equal(clock_format_rfc3339(-NS_PER_MS, buf), "1969-12-31T23:59:59.999Z");
    int64_t a = clock_mono_ns();
    assert_true(clock_mono_ns() >= a);
    assert_true(clock_wall_ns() > 1700000000 * NS_PER_S);
}

static void test_memory_fails_when_told(void **state)
{
    mem_fail_after(1);
    void *p = mem_try_alloc(1);
    assert_non_null(p);
    assert_null(mem_try_zalloc(1));
    assert_null(mem_try_realloc(p, 2));
    mem_fail_after(-1);
    p = mem_try_realloc(p, 2);
    assert_non_null(p);
    free(p);
    _cleanup_free_ char *s = mem_printf("%s-%d", "a", 5);
    assert_string_equal(s, "a-5");
    _cleanup_free_ char *cut = mem_strndup("abc", 2);
    assert_string_equal(cut, "ab");
    char *owned = TAKE_PTR(s);
    assert_null(s);
    free(owned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_prefix_decides),
        cmocka_unit_test(test_bad_patterns_change_nothing),
        cmocka_unit_test(test_a_line_stays_one_line),
        cmocka_unit_test(test_json_lines_are_json),
        cmocka_unit_test(test_a_sink_takes_lines),
        cmocka_unit_test(test_a_flood_is_cut_and_counted),
        cmocka_unit_test(test_a_flood_is_cut_for_a_thread_too),
        cmocka_unit_test(test_errors_carry_their_place),
        cmocka_unit_test(test_times_are_written_as_rfc_3339),
        cmocka_unit_test(test_memory_fails_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
