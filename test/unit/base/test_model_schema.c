/* SPDX-License-Identifier: Apache-2.0 */
/* The schema that tables yield, read by an independent parser. */
#include "../unit.h"

#include "base/mem.h"
#include "seed_models.h"

#include <jansson.h>

static json_t *document(const struct model *m)
{
    struct out o = {0};
    struct json j = json_init(&o);
    json_error_t err;
    model_schema_document(m, &j);
    json_t *doc = json_loadb((const char *)o.data, o.len, JSON_REJECT_DUPLICATES, &err);
    if (!doc) {
        fail_msg("%s in %.*s", err.text, (int)o.len, (const char *)o.data);
    }
    out_done(&o);
    return doc;
}

/* Follows keys and indexes, "a/b/0". */
static json_t *at(json_t *v, const char *path)
{
    char copy[256];
    char *save = NULL;
    snprintf(copy, sizeof(copy), "%s", path);
    for (char *key = strtok_r(copy, "/", &save); key && v; key = strtok_r(NULL, "/", &save)) {
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(key)) : json_object_get(v, key);
    }
    if (!v) {
        fail_msg("no %s in the schema", path);
    }
    return v;
}

static void assert_at(json_t *v, const char *path, const char *want)
{
    _cleanup_free_ char *got = json_dumps(at(v, path), JSON_ENCODE_ANY | JSON_COMPACT);
    assert_string_equal(got, want);
}

static void test_fields_carry_all_the_table_says(void **state)
{
    json_t *d = document(&transmission_model);
    assert_at(d, "$schema", "\"https://json-schema.org/draft/2020-12/schema\"");
    assert_at(d, "title", "\"Transmission\"");
    assert_at(d, "type", "\"object\"");
    assert_at(d, "properties/name",
              "{\"type\":\"string\",\"maxLength\":200,\"description\":\"What people call it\","
              "\"default\":\"\"}");
    assert_at(d, "properties/id/readOnly", "true");
    assert_at(d, "properties/placeholder/enum", "[\"gray\",\"black\"]");
    assert_at(d, "properties/placeholder/default", "\"gray\"");
    assert_at(d, "properties/stale_after_seconds/minimum", "0.10000000000000001");
    assert_at(d, "properties/created_at/format", "\"date-time\"");
    assert_at(d, "properties/allowed_cidrs/type", "[\"array\",\"string\"]");
    assert_at(d, "properties/outputs/items/$ref", "\"#/$defs/TransmissionOutput\"");
    assert_at(d, "properties/outputs/maxItems", "64");
    assert_at(d, "$defs/TransmissionOutput/required", "[\"protocol\"]");
    assert_at(d, "$defs/TransmissionOutput/properties/fps_limit",
              "{\"type\":[\"integer\",\"null\"],\"minimum\":1,\"maximum\":120}");
    assert_at(d, "$defs/TransmissionOutput/properties/resolution/anyOf/1/type", "\"null\"");
    assert_at(d, "$defs/OutputAuthentication/properties/password/writeOnly", "true");
    assert_at(d, "$defs/Resolution/additionalProperties", "false");
    assert_null(json_object_get(d, "additionalProperties")); /* further fields are kept */
    json_decref(d);
}

static void test_unions_are_one_of_their_forms(void **state)
{
    json_t *d = document(&mountpoint_model);
    assert_at(d, "properties/media/items/$ref", "\"#/$defs/Track\"");
    assert_at(d, "$defs/Track/discriminator/propertyName", "\"type\"");
    assert_at(d, "$defs/Track/oneOf/2/properties/type/const", "\"data\"");
    assert_at(d, "$defs/Track/oneOf/2/properties/datatype/default", "\"text\"");
    assert_at(d, "$defs/Track/oneOf/0/required", "[\"type\",\"port\",\"pt\",\"codec\"]");
    assert_int_equal(json_array_size(at(d, "$defs/Track/oneOf")), 3);
    assert_at(d, "properties/id/type", "[\"integer\",\"string\"]");
    assert_at(d, "properties/extra", "{\"description\":\"Sent to Janus as it is\"}");
    json_decref(d);
    d = document(&cfg_model);
    assert_at(d, "$defs/Source/oneOf/0/required", "[\"kind\"]");
    assert_at(d, "properties/ports/default", "[8554,8555]");
    assert_at(d, "properties/ports/items",
              "{\"type\":\"integer\",\"minimum\":1,\"maximum\":65535}");
    assert_at(d, "properties/streams/additionalProperties/$ref", "\"#/$defs/Stream\"");
    assert_at(d, "$defs/RtmpConfig/properties/linger/default", "\"10s\"");
    assert_at(d, "$defs/Stream/properties/history/default", "16777216");
    json_decref(d);
}

static void test_references_all_resolve(void **state)
{
    static const struct model *const roots[] = {&transmission_model, &broadcast_request_model,
                                                &cfg_model};
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        json_t *d = document(roots[i]);
        _cleanup_free_ char *text = json_dumps(d, 0);
        for (const char *s = text; (s = strstr(s, "#/$defs/")); s++) {
            char name[64];
            assert_int_equal(sscanf(s, "#/$defs/%63[A-Za-z]", name), 1);
            assert_non_null(json_object_get(json_object_get(d, "$defs"), name));
        }
        json_decref(d);
    }
    const struct model *set[3];
    assert_int_equal(model_collect(&broadcast_request_model, set, 0, 3), -E2BIG);
}

/* ---- words for people ---- */

struct about {
    int level;
    uint16_t port;
    int64_t offset;
    int64_t timeout;
    uint64_t room;
    uint64_t any_room;
    char *name;
    char *text;
    int kind;
    double ratio;
    MODEL_ARRAY(char *) tags;
    MODEL_ARRAY(int) kinds;
};

static void test_types_and_ranges_in_words(void **state)
{
    static const struct model_enum kinds[] = {{"one", 1}, {"uno", 1}, {"two", 2}, {NULL, 0}};
    const struct model_field fields[] = {
        MODEL_INT(struct about, level, .min = -3, .max = 7),
        MODEL_INT(struct about, port),
        MODEL_INT(struct about, offset),
        MODEL_DURATION(struct about, timeout, .min = 100000000, .max = 3600000000000),
        MODEL_SIZE(struct about, room, .min = 1000, .max = 1 << 30),
        MODEL_SIZE(struct about, any_room),
        MODEL_STRING(struct about, name, .min = 1, .max = 64),
        MODEL_STRING(struct about, text),
        MODEL_ENUM(struct about, kind, kinds),
        MODEL_DOUBLE(struct about, ratio, .fmin = 0.5, .fmax = 2),
        MODEL_LIST_STRING(struct about, tags, .max = 8),
        MODEL_LIST(struct about, kinds, MODEL_ITEM_ENUM(kinds), .min = 1, .max = 2),
    };
    static const char *const want[][2] = {
        {"integer", "-3 to 7"},
        {"integer", "0 to 65535"},
        {"integer", ""},
        {"duration", "100ms to 1h"},
        {"size", "1000 to 1GiB"},
        {"size", "from 0"},
        {"text", "1 to 64 bytes"},
        {"text", ""},
        {"one of `one`, `two`", ""},
        {"number", "0.5 to 2"},
        {"list of text", "at most 8"},
        {"list of one of `one`, `two`", "1 to 2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        _cleanup_(out_done) struct out type = {0};
        _cleanup_(out_done) struct out range = {0};
        model_about_type(&fields[i], &type);
        model_about_range(&fields[i], &range);
        assert_string_equal(out_str(&type), want[i][0]);
        assert_string_equal(out_str(&range), want[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_carry_all_the_table_says),
        cmocka_unit_test(test_unions_are_one_of_their_forms),
        cmocka_unit_test(test_references_all_resolve),
        cmocka_unit_test(test_types_and_ranges_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
