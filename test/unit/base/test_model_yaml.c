/* SPDX-License-Identifier: Apache-2.0 */
/* The binder over YAML: a configuration as people write it, and file:line:column for everything that is wrong in it. */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "seed_models.h"

static const char config[] = "# how mast.yml looks\n"
                             "rtmp:\n"
                             "  enabled: on\n"
                             "  address: 0.0.0.0\n"
                             "  linger: 1m30s\n"
                             "allowed_origins: https://a.example, https://b.example\n"
                             "ports: [8554, 8556]\n"
                             "streams:\n"
                             "  live/cam-1:\n"
                             "    history: 32MiB\n"
                             "    source:\n"
                             "      url: 'rtsp://user:pass@10.0.0.5/stream'\n"
                             "      timeout: 2.5\n"
                             "      kind: rtsp   # the tag need not stand first\n"
                             "  \"off\":\n"
                             "    source: {kind: file, path: off, loop: yes}\n"
                             "big: 9007199254740993\n"
                             "note: 0123\n";

static void test_a_configuration_is_read(void **state)
{
    struct cfg c;
    struct error err = {0};
    assert_int_equal(model_parse_yaml(&cfg_model, &c, BYTES_STR(config), NULL, &err), 0);
    assert_true(c.rtmp.enabled);
    assert_string_equal(c.rtmp.address, "0.0.0.0");
    assert_int_equal(c.rtmp.port, 1935);
    assert_true(c.rtmp.linger_ns == 90 * NS_PER_S);
    assert_int_equal(c.allowed_origins.len, 2);
    assert_string_equal(c.allowed_origins.items[1], "https://b.example");
    assert_int_equal(c.ports.len, 2);
    assert_int_equal(c.ports.items[1], 8556);
    assert_int_equal(c.streams.len, 2);
    assert_string_equal(c.streams.items[0].key, "live/cam-1");
    assert_int_equal(c.streams.items[0].value.history_bytes, 32 << 20);
    assert_int_equal(c.streams.items[0].value.source.kind, CFG_SOURCE_RTSP);
    assert_true(c.streams.items[0].value.source.rtsp.timeout_ns == 2500 * NS_PER_MS);
    assert_true(c.streams.items[0].value.source.rtsp.tcp);
    /* `off` is a word where the table says text, and a truth where it says so. */
    assert_string_equal(c.streams.items[1].key, "off");
    assert_string_equal(c.streams.items[1].value.source.file.path, "off");
    assert_true(c.streams.items[1].value.source.file.loop);
    assert_int_equal(c.test_source.kind, CFG_SOURCE_NONE);
    assert_true(c.big == 9007199254740993LL);
    assert_string_equal(c.note, "0123");
    _cleanup_free_ char *json = model_to_json(&cfg_model, &c, MODEL_SECRETS_REDACTED);
    assert_non_null(strstr(json, "\"linger\":\"1m30s\""));
    assert_non_null(strstr(json, "rtsp://***@10.0.0.5/stream"));
    model_done(&cfg_model, &c);
}

static void test_what_is_left_empty_has_its_default(void **state)
{
    static const char *const texts[] = {"",
                                        "# nothing\n",
                                        "---\n",
                                        "rtmp:\n",
                                        "rtmp:\n  port:\n  # address: x\n",
                                        "rtmp: ~\nports: null\n"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct cfg c;
        struct error err = {0};
        assert_int_equal(model_parse_yaml(&cfg_model, &c, BYTES_STR(texts[i]), NULL, &err), 0);
        assert_int_equal(c.rtmp.port, 1935);
        assert_string_equal(c.rtmp.address, "127.0.0.1");
        assert_int_equal(c.ports.len, 2);
        model_done(&cfg_model, &c);
    }
}

static void test_errors_have_line_and_column(void **state)
{
    static const struct {
        const char *yaml;
        int code;
        const char *where;
        const char *text;
    } cases[] = {
        {"rtmp:\n  port: 70000\n", -EINVAL, "mast.yml:2:3",
         "rtmp.port: must be between 1 and 65535"},
        {"rtmp:\n  port: 0x10\n", -EINVAL, "mast.yml:2:3", "rtmp.port: must be a whole number"},
        {"rtmp:\n  prt: 1\n", -EINVAL, "mast.yml:2:3", "rtmp.prt: is not a known field"},
        {"rtmp:\n  enabled: maybe\n", -EINVAL, "mast.yml:2:3",
         "rtmp.enabled: must be true or false"},
        {"rtmp:\n  enabled: 'yes'\n", -EINVAL, "mast.yml:2:3",
         "rtmp.enabled: must be true or false"},
        {"rtmp: 5\n", -EINVAL, "mast.yml:1:1", "rtmp: must be an object, not a single value"},
        {"5\n", -EINVAL, "mast.yml:1:1", "must be an object"},
        {"big: 9223372036854775808\n", -EINVAL, "mast.yml:1:1", "big: is too large a number"},
        {"ports:\n  - 1\n  - two\n", -EINVAL, "mast.yml:3:5", "ports[1]: must be a whole number"},
        {"ports: [1, 2, 3, 4, 5]\n", -EINVAL, "mast.yml:1:1", "ports: must have at most 4 entries"},
        {"streams:\n  a:\n    source: {kind: rtsp}\n", -EINVAL, "mast.yml:3:5",
         "streams.a.source.url: is required"},
        {"streams:\n  a:\n    source: {kind: rtsp, url: u, loop: on}\n", -EINVAL, "mast.yml:3:34",
         "streams.a.source.loop: is not a known field"},
        {"note: [\n", -EBADMSG, "mast.yml:2:1", "not YAML"},
        {"note: a\nnote: b\n", -EBADMSG, "mast.yml:2:1", "twice"},
        {"note: \"a\\0b\"\n", -EBADMSG, "mast.yml:1:7", "NUL"},
        {"note: &x a\n", -EBADMSG, "mast.yml:1:7", "anchors and aliases"},
        {"rtmp: &x {}\ntest_source: *x\n", -EBADMSG, "mast.yml:1:7", "anchors and aliases"},
        {"note: *x\n", -EBADMSG, "mast.yml:1:7", "anchors and aliases"},
        {"rtmp:\n  <<: {port: 1}\n", -EBADMSG, "mast.yml:2:3", "merge keys"},
        {"note: !!str 5\n", -EBADMSG, "mast.yml:1:7", "tags"},
        {"? [a]\n: b\n", -EBADMSG, "mast.yml:1:3", "a key must be"},
        {"note: a\n---\nnote: b\n", -EBADMSG, "mast.yml:2:1", "second document"},
        {"a: [[[[[[1]]]]]]\n", -E2BIG, "mast.yml:1:7", "nested deeper than 4 levels"},
        {"ports: [1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]\n", -E2BIG, "mast.yml:1:45",
         "more than 20 values"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cfg c;
        struct error err = {0};
        struct model_parse_opts opts = {.file = "mast.yml", .max_depth = 4, .max_values = 20};
        int r = model_parse_yaml(&cfg_model, &c, BYTES_STR(cases[i].yaml), &opts, &err);
        if (r != cases[i].code || strcmp(err.where, cases[i].where) != 0 ||
            !strstr(err.text, cases[i].text)) {
            print_error("%s -> %d at '%s': %s\n", cases[i].yaml, r, err.where, err.text);
        }
        assert_int_equal(r, cases[i].code);
        assert_string_equal(err.where, cases[i].where);
        assert_non_null(strstr(err.text, cases[i].text));
    }
}

static void test_a_check_points_at_its_field(void **state)
{
    struct transmission t;
    struct error err = {0};
    const char *yaml = "name: x\ncamera_controls:\n  camera_id: ''\n  enabled: true\n";
    assert_int_equal(model_parse_yaml(&transmission_model, &t, BYTES_STR(yaml), NULL, &err),
                     -EINVAL);
    assert_string_equal(err.where, "document:3:3");
    assert_string_equal(err.text,
                        "camera_controls.camera_id: is required when controls are enabled");
}

static void test_kept_fields_get_the_types_of_plain_yaml(void **state)
{
    struct transmission t;
    const char *yaml =
        "a: 1\nb: 1.5\nc: TRUE\nd: '1'\ne: ~\nf: [on, 0x1]\ng: {h: 2026-01-02}\ni: 1e400\n";
    assert_int_equal(model_parse_yaml(&transmission_model, &t, BYTES_STR(yaml), NULL, NULL), 0);
    assert_string_equal(
        t.extra, "{\"a\":1,\"b\":1.5,\"c\":true,\"d\":\"1\",\"e\":null,\"f\":[\"on\",\"0x1\"],"
                 "\"g\":{\"h\":\"2026-01-02\"},\"i\":\"1e400\"}");
    model_done(&transmission_model, &t);
}

static void test_the_end_of_memory_is_an_error(void **state)
{
    struct cfg c;
    long n = 0;
    for (int r = -ENOMEM; r != 0; n++) {
        struct error err = {0};
        assert_true(n < 500);
        mem_fail_after(n);
        r = model_parse_yaml(&cfg_model, &c, BYTES_STR(config), NULL, &err);
        mem_fail_after(-1);
        assert_true(r == 0 || r == -ENOMEM);
        assert_int_equal(err.code, r);
    }
    assert_true(n > 15);
    model_done(&cfg_model, &c);
}

static void test_durations_sizes_and_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ns; /* -1 = refused */
    } durations[] = {{"10s", 10 * NS_PER_S},
                     {"250ms", 250 * NS_PER_MS},
                     {"1h30m", 5400 * NS_PER_S},
                     {"0", 0},
                     {"0.5", NS_PER_S / 2},
                     {"1d", 86400 * NS_PER_S},
                     {"3us", 3000},
                     {"1.5ms", 1500000},
                     {"10 s", -1},
                     {"s", -1},
                     {"1x", -1},
                     {"1.2.3", -1},
                     {"-1s", -1},
                     {".", -1},
                     {"1s1", -1},
                     {"9999999999999d", -1},
                     {"9223372036s", 9223372036 * NS_PER_S},
                     {"9223372037s", -1}};
    static const struct {
        const char *text;
        int64_t ns;
    } times[] = {{"1970-01-01T00:00:00Z", 0},
                 {"2024-02-29T12:00:00.5Z", 1709208000500 * NS_PER_MS},
                 {"2026-01-02 03:04:05+05:30", 1767303245 * NS_PER_S},
                 {"2023-02-29T00:00:00Z", -1},
                 {"2026-04-31T00:00:00Z", -1},
                 {"2026-13-01T00:00:00Z", -1},
                 {"2026-01-01T24:00:00Z", -1},
                 {"2026-01-01T00:00:00", -1},
                 {"2026-01-01T00:00:00Zx", -1},
                 {"2026-1-1T00:00:00Z", -1}};
    struct cfg c;
    model_init(&cfg_model, &c);
    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        int r = model_set_text(&cfg_model, &c, "rtmp.linger", durations[i].text, NULL);
        assert_int_equal(r, durations[i].ns < 0 ? -EINVAL : 0);
        assert_true(durations[i].ns < 0 || c.rtmp.linger_ns == durations[i].ns);
        if (r == 0) {
            /* What is written is read back as the same. */
            int64_t before = c.rtmp.linger_ns;
            _cleanup_free_ char *json =
                model_to_json(&cfg_rtmp_model, &c.rtmp, MODEL_SECRETS_CLEAR);
            model_done(&cfg_rtmp_model, &c.rtmp);
            assert_int_equal(
                model_parse_json(&cfg_rtmp_model, &c.rtmp, BYTES_STR(json), NULL, NULL), 0);
            assert_true(c.rtmp.linger_ns == before);
        }
    }
    model_done(&cfg_model, &c);
    struct transmission t;
    model_init(&transmission_model, &t);
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        int r = model_set_text(&transmission_model, &t, "created_at", times[i].text, NULL);
        assert_int_equal(r, times[i].ns < 0 ? -EINVAL : 0);
        assert_true(times[i].ns < 0 || t.created_at == times[i].ns);
    }
    model_done(&transmission_model, &t);
    struct cfg_stream s;
    model_init(&cfg_stream_model, &s);
    assert_int_equal(model_set_text(&cfg_stream_model, &s, "history", "1.5 MiB", NULL), 0);
    assert_int_equal(s.history_bytes, 1572864);
    assert_int_equal(model_set_text(&cfg_stream_model, &s, "history", "1MB", NULL), 0);
    assert_int_equal(s.history_bytes, 1000000);
    assert_int_equal(model_set_text(&cfg_stream_model, &s, "history", "70000", NULL), 0);
    assert_int_equal(s.history_bytes, 70000);
    assert_int_equal(model_set_text(&cfg_stream_model, &s, "history", "2GiB", NULL), -EINVAL);
    assert_int_equal(model_set_text(&cfg_stream_model, &s, "history", "1MiB2", NULL), -EINVAL);
    assert_int_equal(model_set_text(&cfg_stream_model, &s, "history", "MiB", NULL), -EINVAL);
    assert_int_equal(s.history_bytes, 70000);
    model_done(&cfg_stream_model, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_configuration_is_read),
        cmocka_unit_test(test_what_is_left_empty_has_its_default),
        cmocka_unit_test(test_errors_have_line_and_column),
        cmocka_unit_test(test_a_check_points_at_its_field),
        cmocka_unit_test(test_kept_fields_get_the_types_of_plain_yaml),
        cmocka_unit_test(test_the_end_of_memory_is_an_error),
        cmocka_unit_test(test_durations_sizes_and_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
