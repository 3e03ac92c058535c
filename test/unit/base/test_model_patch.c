/* SPDX-License-Identifier: Apache-2.0 */
/* Changing bound structs: both PATCH policies, environment variables, differences for reload; and the tables themselves. */
#include "../unit.h"

#include "base/clock.h"
#include "base/mem.h"
#include "seed_models.h"

static const char body[] =
    "{\"id\":\"t1\",\"name\":\"Garden\",\"camera_controls\":{\"enabled\":true,\"camera_id\":\"garden\"},"
    "\"outputs\":[{\"protocol\":\"hls\",\"fps_limit\":10},{\"protocol\":\"rtsp\"}],\"allowed_cidrs\":[\"10.0.0.0/8\"],"
    "\"note\":{\"a\":1,\"b\":{\"c\":2}}}";

static void load(struct transmission *t)
{
    assert_int_equal(model_parse_json(&transmission_model, t, BYTES_STR(body), NULL, NULL), 0);
}

static int patch(struct transmission *t, const char *text, enum model_patch policy,
                 struct error *err)
{
    static const struct model_parse_opts opts = {.client = true};
    return model_patch_json(&transmission_model, t, BYTES_STR(text), policy, &opts, err);
}

static void test_merge_patch_follows_rfc_7396(void **state)
{
    struct transmission t;
    struct error err = {0};
    load(&t);
    assert_int_equal(
        patch(&t,
              "{\"name\":null,\"camera_controls\":{\"camera_source_id\":\"main\"},"
              "\"outputs\":[{\"protocol\":\"webrtc\"}],\"id\":\"other\","
              "\"note\":{\"a\":null,\"b\":{\"d\":[null]}},\"more\":{\"x\":null,\"y\":1}}",
              MODEL_PATCH_MERGE, &err),
        0);
    assert_string_equal(t.name, ""); /* null clears to the default */
    assert_string_equal(t.camera_controls.camera_id, "garden");
    assert_string_equal(t.camera_controls.camera_source_id, "main");
    assert_int_equal(t.outputs.len, 1);
    assert_int_equal(t.outputs.items[0].protocol, OUTPUT_WEBRTC);
    assert_int_equal(t.allowed_cidrs.len, 1);
    assert_string_equal(t.id, "t1"); /* read-only */
    assert_non_null(strstr(t.extra, "\"note\":{\"b\":{\"c\":2,\"d\":[null]}}"));
    assert_non_null(strstr(t.extra, "\"more\":{\"y\":1}"));
    model_done(&transmission_model, &t);
}

static void test_seed_patch_ignores_null_and_refuses_unknown(void **state)
{
    struct transmission t;
    struct error err = {0};
    load(&t);
    assert_int_equal(
        patch(&t,
              "{\"name\":null,\"allowed_cidrs\":[],\"camera_controls\":{\"camera_id\":null,"
              "\"enabled\":false}}",
              MODEL_PATCH_SEED, &err),
        0);
    assert_string_equal(t.name, "Garden");
    assert_int_equal(t.allowed_cidrs.len, 0);
    assert_false(t.camera_controls.enabled);
    assert_string_equal(t.camera_controls.camera_id, "garden");
    assert_non_null(strstr(t.extra, "\"note\""));
    assert_int_equal(patch(&t, "{\"camera_controls\":{\"zoom\":1}}", MODEL_PATCH_SEED, &err),
                     -EINVAL);
    assert_string_equal(err.where, "camera_controls.zoom");
    assert_int_equal(patch(&t, "{\"note\":{\"a\":2}}", MODEL_PATCH_SEED, &err), -EINVAL);
    assert_string_equal(err.where, "note");
    model_done(&transmission_model, &t);
}

static void test_a_refused_patch_changes_nothing(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *where;
    } cases[] = {
        {"{\"name\":\"new\",\"outputs\":[{\"protocol\":\"x\"}]}", -EINVAL, "outputs[0].protocol"},
        {"{\"camera_controls\":{\"camera_id\":null}}", -EINVAL, "camera_controls.camera_id"},
        {"{\"name\":5}", -EINVAL, "name"},
        {"[1]", -EINVAL, ""},
        {"null", -EINVAL, ""},
        {"{\"name\"", -EBADMSG, ""},
    };
    struct transmission t;
    struct transmission before;
    load(&t);
    load(&before);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct error err = {0};
        assert_int_equal(patch(&t, cases[i].text, MODEL_PATCH_MERGE, &err), cases[i].code);
        assert_string_equal(err.where, cases[i].where);
        assert_true(model_equal(&transmission_model, &t, &before));
    }
    model_done(&transmission_model, &t);
    model_done(&transmission_model, &before);
}

static void test_a_patch_may_change_the_form_of_a_union_and_use_aliases(void **state)
{
    struct cfg c;
    struct error err = {0};
    const char *yaml =
        "streams:\n  a: {source: {kind: rtsp, url: u}, history: 1MiB}\n  b: {history: 2MiB}\n";
    assert_int_equal(model_parse_yaml(&cfg_model, &c, BYTES_STR(yaml), NULL, &err), 0);
    const char *text =
        "{\"streams\":{\"a\":{\"source\":{\"kind\":\"file\",\"path\":\"/x\"}},\"b\":null,\"c\":{}}}";
    assert_int_equal(
        model_patch_json(&cfg_model, &c, BYTES_STR(text), MODEL_PATCH_MERGE, NULL, &err), 0);
    assert_int_equal(c.streams.len, 2);
    assert_string_equal(c.streams.items[0].key, "a");
    assert_int_equal(c.streams.items[0].value.source.kind, CFG_SOURCE_FILE);
    assert_string_equal(c.streams.items[0].value.source.file.path, "/x");
    assert_int_equal(c.streams.items[0].value.history_bytes, 1 << 20);
    assert_string_equal(c.streams.items[1].key, "c");
    assert_int_equal(c.streams.items[1].value.history_bytes, 16 << 20);
    model_done(&cfg_model, &c);

    struct room_stream_start s;
    const char *start =
        "{\"roomId\":\"550e8400-e29b-41d4-a716-446655440000\",\"rtmpUrl\":\"rtmp://a/b/c\"}";
    assert_int_equal(model_parse_json(&room_stream_start_model, &s, BYTES_STR(start), NULL, &err),
                     0);
    assert_int_equal(model_patch_json(&room_stream_start_model, &s,
                                      BYTES_STR("{\"rtmpUrl\":\"rtmp://d/e/f\"}"),
                                      MODEL_PATCH_MERGE, NULL, &err),
                     0);
    assert_string_equal(s.rtmp_output_url, "rtmp://d/e/f");
    model_done(&room_stream_start_model, &s);
}

static void test_variables_set_fields(void **state)
{
    char *env[] = {"PATH=/bin",
                   "MAST_RTMP_ADDRESS=::1",
                   "MAST_RTMP_PORT=1936",
                   "MAST_ALLOWED_ORIGINS=a, b,c",
                   "MAST_PORTS=[1,2,3]",
                   "MAST_NOTHING=1",
                   "MASTX=1",
                   "MAST_STREAMS={\"s\":{\"history\":70000}}",
                   "MAST_NOTE=null",
                   NULL};
    struct cfg c;
    struct error err = {0};
    model_init(&cfg_model, &c);
    assert_int_equal(model_set_env(&cfg_model, &c, "MAST", env, &err), 6);
    assert_string_equal(c.rtmp.address, "::1");
    assert_int_equal(c.rtmp.port, 1936);
    assert_int_equal(c.allowed_origins.len, 3);
    assert_string_equal(c.allowed_origins.items[1], "b");
    assert_int_equal(c.ports.len, 3);
    assert_string_equal(c.streams.items[0].key, "s");
    assert_string_equal(c.note, "null"); /* in a variable, text is text */
    assert_true(model_env_known(&cfg_model, "MAST", "MAST_RTMP_LINGER"));
    assert_false(model_env_known(&cfg_model, "MAST", "MAST_RTMP"));
    assert_false(model_env_known(&cfg_model, "MAST", "MAST_RTMP_LINGERS"));
    assert_false(model_env_known(&cfg_model, "MAST", "MAST_"));
    assert_false(model_env_known(&cfg_model, "MAST", "OTHER_RTMP_LINGER"));
    char *bad[] = {"MAST_RTMP_PORT=1937", "MAST_RTMP_LINGER=soon", NULL};
    assert_int_equal(model_set_env(&cfg_model, &c, "MAST", bad, &err), -EINVAL);
    assert_string_equal(err.where, "MAST_RTMP_LINGER");
    assert_non_null(strstr(err.text, "rtmp.linger: must be a duration"));
    assert_int_equal(c.rtmp.port, 1936);
    model_done(&cfg_model, &c);
}

static void test_one_field_is_set_by_its_path(void **state)
{
    struct transmission t;
    struct error err = {0};
    load(&t);
    assert_int_equal(
        model_set_text(&transmission_model, &t, "camera_controls.camera_id", " x ", &err), 0);
    assert_string_equal(t.camera_controls.camera_id, "x");
    /* The check across fields refuses, and nothing has changed. */
    assert_int_equal(model_set_text(&transmission_model, &t, "camera_controls.camera_id", "", &err),
                     -EINVAL);
    assert_string_equal(err.where, "camera_controls.camera_id");
    assert_string_equal(t.camera_controls.camera_id, "x");
    assert_int_equal(model_set_text(&transmission_model, &t, "camera_controls.zoom", "1", &err),
                     -ENOENT);
    assert_int_equal(model_set_text(&transmission_model, &t, "name.x", "1", &err), -ENOENT);
    assert_int_equal(model_set_text(&transmission_model, &t, "", "1", &err), -ENOENT);
    assert_int_equal(model_set_text(&transmission_model, &t, "camera_controls.", "1", &err),
                     -ENOENT);
    assert_int_equal(model_set_text(&transmission_model, &t, "name", "\xff", &err), -EINVAL);
    assert_string_equal(err.where, "name");
    assert_int_equal(model_set_text(&transmission_model, &t, "outputs",
                                    "[{\"protocol\":\"hls\",\"fps_limit\":0}]", &err),
                     -EINVAL);
    assert_string_equal(err.where, "outputs[0].fps_limit");
    /* What is in an absent struct makes the struct. */
    struct output o;
    model_init(&output_model, &o);
    assert_int_equal(model_set_text(&output_model, &o, "authentication.username", "u", &err), 0);
    assert_string_equal(o.authentication->username, "u");
    model_done(&output_model, &o);
    struct cfg c;
    model_init(&cfg_model, &c);
    assert_int_equal(model_set_text(&cfg_model, &c, "test_source.kind", "file", &err), -EINVAL);
    assert_int_equal(
        model_set_text(&cfg_model, &c, "test_source", "{\"kind\":\"file\",\"path\":\"p\"}", &err),
        0);
    assert_int_equal(model_set_text(&cfg_model, &c, "test_source.path", "q", &err), 0);
    assert_string_equal(c.test_source.file.path, "q");
    model_done(&cfg_model, &c);
    model_done(&transmission_model, &t);
}

static int note_path(const struct model_visit *v, void *user)
{
    struct out *o = user;
    out_printf(o, "%s%s;", v->path, v->restart ? "!" : "");
    return 0;
}

static int stop_at_second(const struct model_visit *v, void *user)
{
    return ++*(int *)user == 2 ? 7 : 0;
}

static void test_differences_name_fields_and_restarts(void **state)
{
    struct cfg a;
    struct cfg b;
    struct out o = {0};
    const char *yaml = "rtmp: {port: 1936, address: 0.0.0.0}\nstreams: {a: {history: 70000}}\n"
                       "test_source: {kind: file, path: x}\n";
    model_init(&cfg_model, &a);
    assert_int_equal(model_parse_yaml(&cfg_model, &b, BYTES_STR(yaml), NULL, NULL), 0);
    assert_int_equal(model_diff(&cfg_model, &a, &b, note_path, &o), 0);
    assert_string_equal(out_str(&o), "rtmp.address!;rtmp.port!;streams;test_source.kind;");
    o.len = 0;
    assert_int_equal(model_diff(&cfg_model, &b, &b, note_path, &o), 0);
    assert_int_equal(o.len, 0);
    model_done(&cfg_model, &a);
    model_copy(&cfg_model, &a, &b);
    assert_int_equal(model_set_text(&cfg_model, &a, "test_source.path", "y", NULL), 0);
    assert_int_equal(model_diff(&cfg_model, &a, &b, note_path, &o), 0);
    assert_string_equal(out_str(&o), "test_source.path;");
    o.len = 0;
    assert_int_equal(model_walk(&cfg_model, note_path, &o), 0);
    assert_string_equal(
        out_str(&o),
        "rtmp!;rtmp.enabled!;rtmp.address!;rtmp.port!;rtmp.linger!;allowed_origins;ports;"
        "streams;streams.*.source;streams.*.source.kind;streams.*.source.url;"
        "streams.*.source.timeout;streams.*.source.tcp;streams.*.source.path;"
        "streams.*.source.loop;streams.*.history;test_source;test_source.kind;"
        "test_source.url;test_source.timeout;test_source.tcp;test_source.path;"
        "test_source.loop;big;note;");
    int visits = 0;
    assert_int_equal(model_walk(&cfg_model, stop_at_second, &visits), 7);
    assert_int_equal(visits, 2);
    out_done(&o);
    model_done(&cfg_model, &a);
    model_done(&cfg_model, &b);
}

struct bad {
    int n;
    char *s;
    struct resolution r;
    struct model_present present;
};

static void test_unsound_tables_are_found(void **state)
{
    static const struct model_enum empty[] = {{0}};
    static const struct model_field bad_default[] = {MODEL_INT(struct bad, n, .def = "x")};
    static const struct model_field out_of_bounds[] = {
        MODEL_INT(struct bad, n, .def = "0", .min = 1, .max = 2)};
    static const struct model_field twice[] = {MODEL_INT(struct bad, n),
                                               MODEL_STRING(struct bad, s, .aliases = "n")};
    static const struct model_field no_presence[] = {MODEL_INT(struct bad, n, .nullable = true)};
    static const struct model_field no_names[] = {MODEL_ENUM(struct bad, n, empty)};
    static const struct model_field secret_number[] = {
        MODEL_INT(struct bad, n, .secret = MODEL_SECRET_SEALED)};
    static const struct model_field wrong_model[] = {MODEL_STRUCT(struct bad, r, &output_model)};
    static const struct model models[] = {
        MODEL("A", struct bad, bad_default),
        MODEL("B", struct bad, out_of_bounds),
        MODEL("C", struct bad, twice),
        MODEL("D", struct bad, no_presence),
        MODEL("E", struct bad, no_names),
        MODEL("F", struct bad, secret_number),
        MODEL("G", struct bad, wrong_model),
        MODEL("H", struct bad, bad_default, .unknown = MODEL_KEEP),
        MODEL("I", struct bad, no_presence, .tag = "n"),
    };
    static const char *const where[] = {"A.n", "B.n", "C.s", "D.n", "E.n",
                                        "F.n", "G.r", "H.",  "I.n"};
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        struct error err = {0};
        assert_int_equal(model_check(&models[i], &err), -EINVAL);
        assert_string_equal(err.where, where[i]);
    }
}

static void test_the_seeds_tables_are_sound(void **state)
{
    static const struct model *const models[] = {&transmission_model, &broadcast_request_model,
                                                 &room_stream_start_model, &live_input_model,
                                                 &cfg_model};
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        struct error err = {0};
        if (model_check(models[i], &err) < 0) {
            fail_msg("%s: %s", err.where, err.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_patch_follows_rfc_7396),
        cmocka_unit_test(test_seed_patch_ignores_null_and_refuses_unknown),
        cmocka_unit_test(test_a_refused_patch_changes_nothing),
        cmocka_unit_test(test_a_patch_may_change_the_form_of_a_union_and_use_aliases),
        cmocka_unit_test(test_variables_set_fields),
        cmocka_unit_test(test_one_field_is_set_by_its_path),
        cmocka_unit_test(test_differences_name_fields_and_restarts),
        cmocka_unit_test(test_unsound_tables_are_found),
        cmocka_unit_test(test_the_seeds_tables_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
